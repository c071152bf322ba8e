/**
 * The mail client's command line: options, usage errors, output, permissions, terminals.
 *
 * @module
 */
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "jsr:@std/assert@^1.0.19";
import { escapeText, UsageError, Wire } from "../protocol.ts";
import { formatHelp, parseCommandLine } from "../cli.ts";
import { COMMAND, OPTIONS } from "../smtp_client.ts";
import { LOCAL, ROOT, runProgram, TLS } from "./helpers.ts";
import {
  b64,
  BYE,
  converse,
  DATA,
  DONE,
  MAIL,
  MINIMAL,
  PASSWORD,
  prelude,
  rcpt,
  run,
  SENT,
  text,
} from "./smtp_helpers.ts";

/** Changes of an attachment after the job was read; "end" is the last line that the server gets. */
const CHANGES: [
  rule: string,
  change: (file: string) => Promise<void>,
  code: number,
  says: string,
][] = [
  ["gets shorter", (file) => Deno.truncate(file, 10), 75, "it got shorter"],
  ["is removed", (file) => Deno.remove(file), 75, "no such file or directory"],
  [
    "becomes a folder",
    (file) => Deno.remove(file).then(() => Deno.mkdir(file)),
    75,
    "a regular file",
  ],
  [
    "gets longer",
    (file) => Deno.writeFile(file, new Uint8Array(9), { append: true }),
    0,
    "sent to",
  ],
];

for (const [rule, change, code, says] of CHANGES) {
  const result = code === 0 ? "what it was is sent" : "the message is not finished, exit 75";
  Deno.test(`an attachment that ${rule} while it is sent: ${result}`, async () => {
    const file = await Deno.makeTempFile();
    await Deno.writeFile(file, new Uint8Array(1000));
    using listener = Deno.listen(LOCAL);
    const serving = listener.accept().then(async (conn) => {
      using wire = new Wire(conn);
      await wire.write("220 mx\r\n");
      let size: string | undefined;
      for (const reply of ["250-mx\r\n250 SIZE", "250 ok", "250 ok", "354 go"]) {
        const command = await wire.readLine(1000) ?? "";
        size ??= /SIZE=(\d+)/.exec(command)?.[1];
        if (reply === "354 go") await change(file);
        await wire.write(`${reply}\r\n`);
      }
      let message = "";
      let end: string | null = "";
      while ((end = await wire.readLine(1000)) !== null && end !== ".") message += `${end}\r\n`;
      if (code === 0) await wire.write("250 ok\r\n");
      return { length: message.length, size: Number(size), end };
    });
    const server = ["--server", `127.0.0.1:${listener.addr.port}`, "--tls", "none"];
    const mail = ["-f", "a@x.example", "-t", "b@x.example", "-m", "x", "-a", file];
    const outcome = await run([...server, ...mail]);
    const { length, size, end } = await serving;
    assertEquals([outcome.code, end], [code, code === 0 ? "." : null], outcome.stderr);
    assertStringIncludes(outcome.stderr, says);
    if (code === 0) assertEquals(length, size);
    await Deno.remove(file, { recursive: true }).catch(() => {});
  });
}

/** Standard input that is not a terminal and fails when it is read. */
const UNREADABLE = {
  isTerminal: () => false,
  get readable() {
    return new ReadableStream<Uint8Array<ArrayBuffer>>({
      start: (stream) => stream.error(new Deno.errors.IsADirectory("Is a directory (os error 21)")),
    });
  },
};
const DRY_RUN = ["--dry-run", "-f", "a@x.example", "-t", "b@x.example"];

Deno.test("standard input is not read if --body gives the body", async () => {
  const { stdout } = await run([...DRY_RUN, "-m", "given"], { input: UNREADABLE });
  assertStringIncludes(stdout, "given\r\n");
});

Deno.test("standard input is not read as the body if it is the HTML", async () => {
  const { stdout } = await run([...DRY_RUN, "--html-file", "-"], { stdin: "<p>" });
  assert(!stdout.includes("text/plain"));
});

Deno.test("standard input is not read from a terminal: the body is empty", async () => {
  const terminal = { ...UNREADABLE, isTerminal: () => true };
  const { code } = await run([...DRY_RUN], { input: terminal });
  assertEquals(code, 0);
});

Deno.test("standard input is not the body if it has the certificates for --ca", async () => {
  const stdin = await Deno.readTextFile(`${TLS}ca.pem`);
  const { stdout } = await run([...DRY_RUN, "--ca", "-"], { stdin });
  assertMatch(stdout, /\r\n\r\n\r\n$/);
});

Deno.test("usage: standard input that cannot be read is one line, exit 2", async () => {
  const expected = "Cannot read standard input: is a directory";
  await assertRejects(() => run(DRY_RUN, { input: UNREADABLE }), UsageError, expected);
});

Deno.test("--json: accepted and refused recipients, reply, Message-ID, size and status", async () => {
  const dialogue = {
    rule: "",
    talk: `${MAIL}\n${rcpt("a")}\n${rcpt("b", "550 no")}\n${DATA}\n${DONE}`,
    args: ["-t", "a@x.example,b@x.example", "--json"],
    code: 67,
  };
  const { stdout } = await converse(dialogue, "none", (text) => [text]);
  const { accepted, refused, response, messageId, size, status } = JSON.parse(stdout);
  assertEquals(accepted, ["a@x.example"]);
  assertEquals(refused, [{ address: "b@x.example", code: 550, text: "no" }]);
  assertEquals([status, response], [67, "250 2.0.0 Queued as 1"]);
  assertMatch(messageId, /^<[-0-9a-f]+@example\.org>$/);
  assert(size > 100);
});

Deno.test("-v shows commands, replies and the size of the message, not the message", async () => {
  const { stderr } = await converse(
    { rule: "", talk: SENT, args: ["-t", "bob@example.org", "-v"], code: 0 },
    "starttls",
    (text) => [text],
  );
  const lines = stderr.split("\n").map((line) => line.replace(/\d+/g, "N"));
  for (
    const line of [
      "< N mx.example ESMTP",
      "> EHLO [N.N.N.N]",
      "> STARTTLS",
      "* TLS, certificate trusted for N.N.N.N",
      "> DATA",
      "> [N octets]",
      "> .",
      "< N N.N.N Queued as N",
      "> QUIT",
    ]
  ) {
    assert(lines.includes(line), `${line} is not in\n${stderr}`);
  }
  assert(!stderr.includes("hi\n"));
});
/** What -v shows of a whole session. */
const SESSION = `* Connected to 127.0.0.1 (127.0.0.1), port PORT
< 220 mx.example ESMTP
> EHLO [127.0.0.1]
< 250-mx.example
< 250 STARTTLS
> STARTTLS
< 220 Go ahead
* TLS, certificate trusted for 127.0.0.1
> EHLO [127.0.0.1]
< 250-mx.example
< 250 AUTH PLAIN
> AUTH PLAIN [credentials]
< 235 in
> MAIL FROM:<ann@example.org>
< 250 2.1.0 Ok
> RCPT TO:<bob@example.org>
< 250 2.1.5 Ok
> DATA
< 354 Go ahead
> [SIZE octets]
> .
< 250 2.0.0 Queued as 1
> QUIT
< 221 2.0.0 Bye
sent to 1 recipient (SIZE B): 250 2.0.0 Queued as 1
`;

Deno.test("-v shows a session line by line", async () => {
  const talk = `C: AUTH PLAIN ${b64("\0ann\0s3cret")}\nS: 235 in\n${SENT}`;
  const dialogue = { rule: "", talk, offers: ["AUTH PLAIN"], env: PASSWORD, code: 0 };
  const args = ["-t", "bob@example.org", "-u", "ann", "-v"];
  const { stderr } = await converse({ ...dialogue, args }, "starttls", (text) => [text]);
  const shown = stderr.replace(/port \d+/, "port PORT").replace(/\d+(?= octets| B\))/g, "SIZE");
  assertEquals(shown, SESSION);
});

Deno.test("a mail that is sent prints nothing on standard output", async () => {
  const dialogue = { rule: "", talk: SENT, args: ["-t", "bob@example.org"], code: 0 };
  const offers = ["HELP", "VRFY"];
  assertEquals((await converse({ ...dialogue, offers }, "none", (text) => [text])).stdout, "");
});

Deno.test("--check whose login is refused prints nothing on standard output", async () => {
  const talk = `C: AUTH PLAIN ${b64("\0ann\0s3cret")}\nS: 535 no\n${BYE}`;
  const dialogue = { rule: "", talk, offers: ["AUTH PLAIN"], env: PASSWORD, code: 77 };
  const args = ["--check", "-u", "ann"];
  const { stdout } = await converse({ ...dialogue, args }, "implicit", (text) => [text]);
  assertEquals(stdout, "");
});

Deno.test("advice is not given for a mail that is sent", async () => {
  const talk = SENT.replace("2.0.0 Queued as 1", "2.0.0 Queued: 530 5.7.139");
  const dialogue = { rule: "", talk, args: ["-t", "bob@example.org"], code: 0 };
  const { stderr } = await converse(dialogue, "none", (text) => [text]);
  assertMatch(stderr, /^sent to 1 recipient \([\d.]+ .?B\): 250 2\.0\.0 Queued: 530 5\.7\.139\n$/);
});

Deno.test("--check without a login says so", async () => {
  const dialogue = { rule: "", talk: BYE, args: ["--check"], code: 0 };
  const { stderr } = await converse(dialogue, "none", (text) => [text]);
  assertEquals(stderr, "127.0.0.1 is ready: no TLS, login not tried\n");
});

Deno.test("-v notes that QUIT got no reply", async () => {
  const talk = SENT.replace(/\nS: 221.*$/, "\nGONE:");
  const dialogue = { rule: "", talk, args: ["-t", "bob@example.org", "-v"], code: 0 };
  const { stderr } = await converse(dialogue, "none", (text) => [text]);
  assertStringIncludes(stderr, "* No reply to QUIT: Server closed the connection\n");
});

for (const mode of ["none", "try"]) {
  Deno.test(`-v shows the connection, and with --tls try that TLS is missing [${mode}]`, async () => {
    const talk = `${prelude("none", [])}\n${BYE}`;
    const dialogue = { rule: "", talk, args: ["--check", "-v", "--tls", mode], code: 0 };
    const { stderr } = await converse(dialogue, null, (text) => [text]);
    assertMatch(stderr, /^\* Connected to 127\.0\.0\.1 \(127\.0\.0\.1\), port \d+\n< 220 /);
    assertEquals(stderr.includes("* No TLS, continuing in the clear\n"), mode === "try");
  });
}

Deno.test("--check prints what the server offers, one keyword a line", async () => {
  const talk = `C: AUTH PLAIN ${b64("\0ann\0s3cret")}\nS: 235 in\n${BYE}`;
  const dialogue = {
    rule: "",
    talk,
    offers: ["SIZE 1000", "", "AUTH PLAIN"], // a line without a keyword offers nothing
    args: ["--check", "-u", "ann"],
    env: PASSWORD,
    code: 0,
  };
  const { stdout, stderr } = await converse(dialogue, "implicit", (text) => [text]);
  assertEquals(stdout, "SIZE 1000\nAUTH PLAIN\n");
  assertStringIncludes(stderr, "TLS, login by PLAIN");
});
const BAD: [args: string[], says: string][] = [
  [["--prot", "1"], "--port"],
  [["--server"], "needs a value"],
  [[...MINIMAL, "--port", "http"], "http"],
  [[...MINIMAL, "--port", "0"], "0"],
  [[...MINIMAL, "--tls", "maybe"], "maybe"],
  [[...MINIMAL, "--timeout", "soon"], "soon"],
  [[...MINIMAL, "--auth", "digest-md5", "-u", "ann"], "digest-md5"],
  [[...MINIMAL, "--auth", "plain"], "--user"],
  [[...MINIMAL, "-u", "ann", "--tls", "none"], "--tls none"],
  [[...MINIMAL, "-u", "ann"], "SMTP_PASSWORD"],
  [[...MINIMAL, "-u", "ann", "--auth", "xoauth2"], "SMTP_TOKEN"],
  [[...MINIMAL, "-u", "ann", "--auth", "oauthbearer"], "SMTP_TOKEN"],
  [[...MINIMAL, "-u", "ann", "--password-file", "/no/such"], "/no/such"],
  ...[
    ["--tls", "maybe"],
    ["--port", "http"],
    ["--timeout", "soon"],
    ["--auth", "digest-md5"],
    [
      "--helo",
      "a_b",
    ],
    ["--ca", "/no/such"],
    ["--server", "a b"],
  ].map((
    [option = "", value = ""],
  ): [args: string[], says: string] => [[...MINIMAL, "--dry-run", option, value], value]),
  [[...MINIMAL, "--dry-run", "--check"], "--check"],
  [[...MINIMAL, "-u", ""], "-u"],
  [[...MINIMAL, "--password-file", ""], "--user"],
  [[...MINIMAL, "--to", ""], "--to"],
  [[...MINIMAL, "--cc", " "], "--cc"],
  [[...MINIMAL, "--ca", "/dev/null"], "PEM"],
  [[...MINIMAL, "--ca", "/no/such"], "/no/such"],
  [[...MINIMAL, "--helo", "a b"], "a b"],
  [[...MINIMAL, "--helo", "a\r\nQUIT"], "a\\x0d\\x0aQUIT"],
  [[...MINIMAL, "--server", "a\r\nb"], "a\\x0d\\x0ab"],
  [[...MINIMAL, "--server", "a b"], "a b"],
  [[...MINIMAL, "--server", "127.1"], "127.1"],
  [[...MINIMAL, "--server", "2130706433"], "2130706433"],
  [[...MINIMAL, "--server", "[::::]"], "[::::]"],
  [[...MINIMAL, "--server", "a:b"], "a:b"],
  [[...MINIMAL, "--server", "host:99999"], "99999"],
  [[...MINIMAL, "-f", "a@x.example,b@x.example"], "one address"],
  [[...MINIMAL, "-f", "a@x.example>\r\nRCPT TO:<eve@x.example"], "\\x0d"],
  [[...MINIMAL, "-H", "X: y\nBcc: eve@x.example"], "\\x0a"],
  [[...MINIMAL, "eve"], 'recipient "eve"'],
  [MINIMAL.slice(2), "--server"],
  [[...MINIMAL.slice(0, -2), "--eml", "-", "--password-file", "-"], "--eml and --password-file"],
  [[...MINIMAL.slice(0, -2), "--html-file", "-", "--body-file", "-"], "standard input"],
  [[...MINIMAL, "--ca", "-", "--html-file", "-"], "standard input"],
  [["--server", "x.example", "-m", "x", "-f", "a@x.example"], "--to"],
  [["--server", "x.example", "-m", "x", "-t", "a@x.example"], "--from"],
  ...[
    ["--from", "ann"],
    ["--to", "bob"],
    ["--cc", "bob@"],
    ["--reply-to", "a b@x.example"],
    ["--header", "nothing"],
    ["--attach", "/no/such"],
    ["--inline", "/tmp"],
  ].map((
    [option = "", value = ""],
  ): [args: string[], says: string] => [
    ["--check", "--server", "x.example", option, value],
    value,
  ]),
];
for (const [args, says] of BAD) {
  Deno.test(`usage: ${args.slice(-2).map((arg) => JSON.stringify(arg)).join(" ")} is one line, exit 2`, async () => {
    const error = await assertRejects(() => run(args), UsageError);
    assertStringIncludes(escapeText(error.message), says);
  });
}

const OUTSIDE: {
  rule: string;
  args: string[];
  code: number;
  says: string;
  allow?: string[];
  env?: Record<string, string>;
  stdin?: string;
}[] = [
  {
    rule: "--help prints the help",
    args: ["--help"],
    code: 0,
    says: "Usage: smtp_client",
    allow: [],
  },
  {
    rule: "--version prints the version",
    args: ["-V"],
    code: 0,
    says: "smtp_client 1.",
    allow: [],
  },
  {
    rule: "an unknown option is exit 2, with a suggestion",
    args: ["--prot", "1"],
    code: 2,
    says: 'Unknown option "--prot": did you mean --port?',
  },
  {
    rule: "a port where no server listens is exit 68",
    args: MINIMAL,
    code: 68,
    says: "Cannot connect to 127.0.0.1, port 1: connection refused\n" +
      "smtp_client: Check --server and --port: 587 or 465; many networks block 25\n",
    allow: ["--allow-net"],
  },
  {
    rule: "a host name that does not exist is exit 68",
    args: ["--check", "--server", "no.such.host.invalid"],
    code: 68,
    says: "Cannot connect to no.such.host.invalid, port 587: no such host",
  },
  {
    rule: "a file that Deno may not read names --allow-read",
    args: [...MINIMAL, "-a", "README.md"],
    code: 2,
    says: "smtp_client: Deno was not allowed to read README.md; add --allow-read=README.md\n",
    allow: ["--allow-net"],
  },
  {
    rule: "a server that Deno may not connect to names --allow-net",
    args: MINIMAL,
    code: 2,
    says:
      "smtp_client: Deno was not allowed to use the network at 127.0.0.1:1; add --allow-net=127.0.0.1:1\n",
    allow: [],
  },
  {
    rule: "SMTP_FROM without --allow-env is not read, and Deno does not ask",
    args: ["--server", "x.example", "-m", "x", "-t", "b@x.example"],
    code: 2,
    says: "No sender",
    allow: [],
    env: { SMTP_FROM: "a@x.example" },
  },
  {
    rule: "SMTP_FROM is the sender, and standard input the body",
    args: ["--dry-run", "-t", "b@x.example"],
    code: 0,
    says: "From: a@x.example\r\n",
    env: { SMTP_FROM: "a@x.example" },
    stdin: "hi",
  },
];

for (const { rule, args, code, says, allow = ["--allow-all"], env = {}, stdin } of OUTSIDE) {
  Deno.test(`process: ${rule}`, async () => {
    const outcome = await runProgram("smtp_client.ts", args, {
      allow,
      env,
      ...(stdin && { stdin }),
    });
    assertStringIncludes(`${outcome.stdout}${outcome.stderr}`, says);
    assertEquals(outcome.code, code, outcome.stderr);
    assert(!outcome.stderr.includes("    at "), "no stack trace");
  });
}

/** Runs a command on a terminal, and types the password. */
const TERMINAL = String.raw`
import os, pty, signal, sys, time
pid, fd = pty.fork()
if pid == 0: os.execvp(sys.argv[1], sys.argv[1:])
signal.alarm(20)
shown = b""
asked = False
try:
    while octets := os.read(fd, 65536):
        shown += octets
        if b"Password" in octets and not asked:
            asked = True
            time.sleep(0.2)  # a terminal that still echoes would show the password
            os.write(fd, b"s3cret\n")
except OSError: pass
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode())
`;
const python = await new Deno.Command("python3", { args: ["-V"] }).output().catch(() => null);
if (python === null) {
  console.log("skipped: no python3 to make a terminal (apt-get install python3)");
}

/** Runs the program on a terminal, by a line of the shell; returns its status and what is shown. */
async function onTerminal(rest: string): Promise<string> {
  const program = [Deno.execPath(), "run", "-A", `${ROOT}smtp_client.ts`, ...MINIMAL, "-u", "ann"];
  const args = ["-c", TERMINAL, "sh", "-c", `'${program.join("' '")}' --json ${rest}`];
  const output = text((await new Deno.Command("python3", { args }).output()).stdout);
  const [, status = "", octets = ""] = /^(\d+ )([^]*)$/.exec(output) ?? [];
  return status + octets.split("\n").map(shownOf).join("\n");
}

/** The text that a line leaves on the screen, where CR and erasing begin it anew. */
function shownOf(line: string): string {
  // deno-lint-ignore no-control-regex
  return line.split(/\r(?=.)|\x1b\[K/).findLast((part) => part.trim() !== "") ?? line;
}

const ignore = python === null;

Deno.test("terminal: the password is asked for and not shown", { ignore }, async () => {
  const shown = await onTerminal("");
  assertMatch(shown, /^68 Password for "ann": \*{6}\r\n{"status":68/);
  assert(!shown.includes("s3cret"));
});

Deno.test(
  "terminal: with standard output in a file no password is asked for",
  { ignore },
  async () => {
    const file = await Deno.makeTempFile();
    try {
      assertMatch(await onTerminal(`> ${file}`), /^2 smtp_client: No password for "ann"/);
      assertEquals(await Deno.readTextFile(file), "");
    } finally {
      await Deno.remove(file);
    }
  },
);

Deno.test("the help names every option and fits 80 columns", () => {
  const help = formatHelp(COMMAND);
  for (const { spellings } of Object.values(OPTIONS)) {
    for (const spelling of spellings) assertStringIncludes(help, spelling);
  }
  for (const line of help.split("\n")) assert(line.length <= 80, line);
});

/** Lines of the help with numbers and defaults. */
const HELP = [
  "Usage: smtp_client.ts [options] [recipient…] < text",
  "default: 587; 465 means implicit TLS",
  "default: implicit on port 465, otherwise starttls, and then without TLS nothing is sent",
  "limit for each step; default: 60, for the message 300, for its end 600",
  "plain, login, cram-md5, scram-sha-256, xoauth2, oauthbearer; default: the best",
  "Exit status: 0 accepted for all recipients, 2 usage, 65 cannot be sent here, 67 some " +
  "recipients refused, 68 cannot connect, 69 refused, 75 try again, 76 TLS or protocol, 77 login " +
  "refused, 130 Ctrl-C.",
];

for (const words of HELP) {
  Deno.test(`--help says "${words.slice(0, 60)}"`, () => {
    assertStringIncludes(formatHelp(COMMAND).replace(/\s+/g, " "), words);
  });
}

/** Providers, and the server of each. */
const PROVIDERS: [name: string, hostname: string, port: number][] = [
  ["gmail", "smtp.gmail.com", 587],
  ["office365", "smtp.office365.com", 587],
  ["outlook", "smtp-mail.outlook.com", 587],
  ["yahoo", "smtp.mail.yahoo.com", 465],
  ["icloud", "smtp.mail.me.com", 587],
  ["fastmail", "smtp.fastmail.com", 465],
];

for (const [name, hostname, port] of PROVIDERS) {
  Deno.test(`RFC 6409 §3.1: --server ${name} is ${hostname}, port ${port}`, () => {
    const { server } = parseCommandLine(COMMAND, ["--server", name]).options;
    assertEquals(server, { hostname, port });
  });
}

/** Names of servers. */
const SERVERS: [name: string, hostname: string | null][] = [
  ["mail_server", "mail_server"],
  ["localhost.", "localhost."],
  ["gmail", "smtp.gmail.com"],
  ["GMail", "smtp.gmail.com"],
  ["constructor", "constructor"],
  ["bücher.example", "xn--bcher-kva.example"],
  ["[::1]:25", "::1"],
  ["::1", "::1"],
  ["x.example:1", "x.example"],
  ["x.example:65535", "x.example"],
  ["x.example:0", null],
  ["x.example:65536", null],
  ["_mail_.example", "_mail_.example"],
  [`${"x".repeat(63)}.example`, `${"x".repeat(63)}.example`],
  [`${"x".repeat(64)}.example`, null],
  [`${"abcdefghi.".repeat(25)}abc`, `${"abcdefghi.".repeat(25)}abc`],
  [`${"abcdefghi.".repeat(25)}abcd`, null],
  ["-x.example", null],
  ["x-.example", null],
  ["x..example", null],
  ["a:b", null],
  ["::1]/[x", null],
  ["x⑴.example", null],
  [".", null],
];

for (const [name, hostname] of SERVERS) {
  const shown = name.length > 70 ? `of ${name.length} chars` : name;
  Deno.test(`--server ${shown} is ${hostname === null ? "refused" : `the server ${hostname.slice(0, 70)}`}`, () => {
    const read = () => parseCommandLine(COMMAND, ["--server", name]).options.server?.hostname;
    if (hostname === null) {
      assertThrows(read, UsageError, `Cannot use --server "${name.slice(0, 70)}`);
    } else assertEquals(read(), hostname);
  });
}

Deno.test("SMTP_SERVER is the server, and the first line names it", async () => {
  const env = { SMTP_SERVER: "127.0.0.1:1\n" };
  const { code, stderr } = await run(["--check"], { env });
  assertEquals(code, 68);
  assertEquals(stderr.split("\n")[0], "server: 127.0.0.1, port 1 (SMTP_SERVER)");
});

for (const [args, port] of [[[], 587], [["-p", "465"], 465], [["-p", "25"], 25]] as const) {
  Deno.test(`RFC 8314 §7.3: the port with ${args.join(" ") || "no option"} is ${port}`, async () => {
    const env = { SMTP_SERVER: "127.0.0.1" };
    const { stderr } = await run(["--check", "--timeout", "0.2", ...args], { env });
    assertEquals(stderr.split("\n")[0], `server: 127.0.0.1, port ${port} (SMTP_SERVER)`);
  });
}

/** When TLS starts, by port and --tls. */
const TLS_STARTS: [
  args: string[],
  tls: "starts at once" | "starts after STARTTLS" | "never starts",
][] = [
  [["--server", "127.0.0.1:464"], "starts after STARTTLS"],
  [["--server", "127.0.0.1:465"], "starts at once"],
  [["--server", "127.0.0.1:466"], "starts after STARTTLS"],
  [["--server", "127.0.0.1"], "starts after STARTTLS"],
  [["--server", "127.0.0.1", "-p", "465"], "starts at once"],
  [["--server", "127.0.0.1:465", "-p", "587"], "starts after STARTTLS"],
  [["--server", "127.0.0.1:465", "--tls", "starttls"], "starts after STARTTLS"],
  [["--server", "127.0.0.1:465", "--tls", "none"], "never starts"],
  [["--server", "127.0.0.1:587", "--tls", "implicit"], "starts at once"],
];

for (const [args, tls] of TLS_STARTS) {
  Deno.test(`RFC 8314 §3.3: with ${args.slice(1).join(" ")} TLS ${tls}`, async () => {
    using listener = Deno.listen(LOCAL);
    const { connect } = Deno;
    const redirected = (options: Deno.ConnectOptions) =>
      connect({ ...options, port: listener.addr.port });
    const serving = (async () => {
      using conn = await listener.accept();
      await conn.write(new TextEncoder().encode("220 mx\r\n"));
      const first = new Uint8Array(1_000);
      await conn.read(first);
      if (first[0] === 0x16) return "starts at once"; // a record of a TLS handshake
      await conn.write(new TextEncoder().encode("250-mx\r\n250 STARTTLS\r\n"));
      const count = await conn.read(first) ?? 0;
      const command = new TextDecoder().decode(first.subarray(0, count));
      return command === "STARTTLS\r\n" ? "starts after STARTTLS" : "never starts";
    })();
    try {
      Deno.connect = redirected as typeof connect;
      await run(["--check", "--timeout", "20", ...args]);
    } finally {
      Deno.connect = connect;
    }
    assertEquals(await serving, tls);
  });
}

Deno.test("SMTP_SERVER is not named with -q or with --server", async () => {
  const env = { SMTP_SERVER: "127.0.0.1:2" };
  const quiet = await run(["--check", "-q"], { env });
  const given = await run(["--check", "--server", "127.0.0.1:1"], { env });
  assert(!`${quiet.stderr}${given.stderr}`.includes("SMTP_SERVER"));
  assertStringIncludes(given.stderr, "Cannot connect to 127.0.0.1, port 1");
});

for (
  const [env, says] of [
    [{ SMTP_SERVER: "a b" }, 'Cannot use SMTP_SERVER "a b": expected a provider'],
    [
      { SMTP_SERVER: "x.example", SMTP_FROM: "ann" },
      'Cannot use SMTP_FROM "ann": expected an address',
    ],
    [{ SMTP_SERVER: "x.example", SMTP_USER: "ann" }, "No sender: give --from"],
    [
      { SMTP_SERVER: "x.example", SMTP_USER: "a@x.example" },
      "Cannot log in with --tls none: credentials never go in the clear (SMTP_USER is set)",
    ],
  ] as const
) {
  Deno.test(`usage: the variables ${JSON.stringify(env)} are one line, exit 2`, async () => {
    const args = ["-t", "b@x.example", "-m", "x", "--tls", "none"];
    await assertRejects(() => run(args, { env }), UsageError, says);
  });
}

Deno.test("usage: --user with --tls none does not name SMTP_USER", async () => {
  const error = await assertRejects(() => run([...MINIMAL, "-u", "ann", "--tls", "none"]));
  assertMatch(String(error), /: credentials never go in the clear$/);
});

Deno.test("SMTP_USER that is an address is the sender", async () => {
  const env = { SMTP_USER: "ann@example.org" };
  const { stdout } = await run(["--dry-run", "-t", "b@x.example", "-m", "x"], { env });
  assertStringIncludes(stdout, "From: ann@example.org\r\n");
});

Deno.test("--check escapes what a server offers", async () => {
  const talk = `S: 220 mx\nC: EHLO [127.0.0.1]\nRAW: ${
    JSON.stringify("250-mx\r\n250 X\x1b[2J \xc2\x9bX\r\n")
  }\n${BYE}`;
  const args = ["--check", "--tls", "none"];
  const { stdout } = await converse({ rule: "", talk, args, code: 0 }, null, (text) => [text]);
  assertEquals(stdout, "X\\x1b[2J \\x9bX\n");
});

Deno.test("--json escapes what a server sends", async () => {
  const talk = `S: 220 mx\nC: EHLO [127.0.0.1]\nRAW: ${
    JSON.stringify("250-mx\r\n250 X \xc2\x9b\xe2\x80\xae\r\n")
  }\n${BYE}`;
  const args = ["--check", "--json", "--tls", "none"];
  const { stdout } = await converse({ rule: "", talk, args, code: 0 }, null, (text) => [text]);
  assertStringIncludes(stdout, '"X \\u009b\\u202e"');
  assertEquals(JSON.parse(stdout).offered, ["X \x9b\u202e"]);
});

/** Ranges of options: the first and the last value, and those beyond. */
const RANGES: [option: string, accepted: string[], refused: string[]][] = [
  ["--port", ["1", "65535"], ["0", "65536", "25.5", "-1", ""]],
  ["--timeout", ["0.001", "1ms", "86400"], ["0", "0.0009", "86400.1", "1e3", ""]],
  ["--tls", ["starttls", "Implicit", "TRY", "none"], ["ssl", ""]],
  ["--auth", ["PLAIN", "scram-sha-256"], ["digest-md5", "plain,login"]],
  ["--notify", ["never", "Success", "failure, delay"], ["never,failure", "always", ""]],
  ["--helo", ["me.example", "[192.0.2.1]", "[IPv6:::1]"], [
    "[IPv6:::1]/[x]",
    "a_b",
    "a b",
    "me.example.",
    "é.example",
  ]],
];

for (const [name, accepted, refused] of RANGES) {
  for (const value of accepted) {
    Deno.test(`${name} ${JSON.stringify(value)} is accepted`, () => {
      parseCommandLine(COMMAND, [name, value]);
    });
  }
  for (const value of refused) {
    Deno.test(`${name} ${JSON.stringify(value)} is refused`, () => {
      const read = () => parseCommandLine(COMMAND, [name, value]);
      assertThrows(read, UsageError, `Cannot use ${name} ${JSON.stringify(value)}: expected`);
    });
  }
}
