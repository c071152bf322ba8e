/**
 * Follows the README and the lessons as a reader would: section by section, each command as printed,
 * and compares what it prints with what the document says. What needs the internet or a tool that
 * is not installed is skipped, in a line that says so.
 *
 * ```sh
 * deno task test:readme
 * ```
 *
 * The rules that the documents keep: a block marked `sh` holds commands, one a line. The block marked
 * `text` right after it is what the last one prints, where `…` stands for anything. A command that
 * serves runs until its section ends; where it has ended by itself, the reader starts it again.
 *
 * @module
 */
import { assert, assertEquals } from "jsr:@std/assert@^1.0.19";
import { programsIn } from "../docs/lesson.ts";
import { LOCAL, ROOT, TLS } from "./helpers.ts";
import { type Mail, serveMailbox } from "./mailbox.ts";

const DOCUMENTS = [
  "README.md",
  "docs/1-web.md",
  "docs/2-udp.md",
  "docs/3-mail.md",
  "docs/scale.md",
];

/** Commands that cannot run here, or that another test runs, and why. */
const ELSEWHERE: readonly (readonly [command: RegExp, why: string])[] = [
  [/^npx |^npm /, "tests/fresh_machine.sh runs it"],
  [
    /^deno install|^deno publish|^curl .*deno\.land/,
    "tests/fresh_machine.sh tries what can be tried",
  ],
  [/^deno task (ok|rules|test|compile|bundle|bench|pictures|fuzz)/, "a task of its own in CI"],
  [/^deno task$|^git clone/, "nothing to check"],
  [/--server gmail|@gmail\.com/, "needs the internet"],
];

/** Commands that run until they are stopped. */
const SERVES =
  /^deno task (serve|mailbox)|http_server\.ts|udp_ping_server\.ts|--heartbeat(?!.* -c )|web\.ts \d|ping\.ts echo|beat\.ts monitor|say .*--listen|say \d+$/;

/** How long a server may take until it listens (ms). */
const START = 10_000;

/** How long any other command may take (ms). */
const MAX_TIME = 60_000;

/** A command, and what the document says that it prints. */
interface Step {
  command: string;
  expected: string;
}

/** The commands of a document, by section. */
function sectionsOf(markdown: string): Map<string, Step[]> {
  const sections = new Map<string, Step[]>();
  let heading = "the beginning";
  let last: Step | undefined;
  for (const part of markdown.split(/^(?=## |```)/m)) {
    if (part.startsWith("##")) {
      heading = (part.split("\n")[0] ?? "").replace(/^#+ /, "");
      last = undefined;
      continue;
    }
    const [, kind, body = ""] = /^```(\w*)\n([^]*)$/.exec(part) ?? [];
    if (kind === "sh") {
      const steps = body.trimEnd().replaceAll(/\\\n\s*/g, "").split("\n")
        .map((line) => line.replace(/ {2,}# .*$/, "").trim())
        .filter((line) => line !== "" && !line.startsWith("#"))
        .map((command): Step => ({ command, expected: "" }));
      sections.set(heading, [...sections.get(heading) ?? [], ...steps]);
      last = steps.at(-1);
    } else if (kind === "text" && last) {
      last.expected = body;
      last = undefined;
    } else if (kind === "" && body.trim() === "") {
      continue; // the blank line between a block and the next
    } else last = undefined;
  }
  return sections;
}

/** Whether this was printed: line by line, where a line that is only "…" stands for any lines. */
function isPrinted(expected: string, output: string): boolean {
  const pattern = expected.trimEnd().split("\n").map((line) =>
    line.trim() === "…"
      ? "(?:[^\\n]*\\n)*?"
      : `${line.split("…").map(RegExp.escape).join("[^\\n]*?")} *\\r?\\n`
  ).join("");
  return new RegExp(`(?:^|\\n)${pattern}`).test(`${output.trimEnd()}\n`);
}

const bin = Deno.makeTempDirSync();
Deno.symlinkSync(Deno.execPath(), `${bin}/deno`);
Deno.test.afterAll(() => Deno.removeSync(bin, { recursive: true }));

/** A command that runs, and what it has printed so far. */
class Running {
  output = "";
  hasEnded = false;
  readonly ended: Promise<number>;
  readonly #child: Deno.ChildProcess;

  constructor(readonly command: string) {
    this.#child = new Deno.Command("bash", {
      args: ["-o", "pipefail", "-c", SERVES.test(command) ? `exec ${command}` : command],
      env: { PATH: `${bin}:${Deno.env.get("PATH")}`, NO_COLOR: "1" },
      cwd: ROOT,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const read = async (stream: ReadableStream<Uint8Array<ArrayBuffer>>) => {
      for await (const text of stream.pipeThrough(new TextDecoderStream())) this.output += text;
    };
    this.ended = Promise.all([
      this.#child.status,
      read(this.#child.stdout),
      read(this.#child.stderr),
    ]).then(([{ code }]) => {
      this.hasEnded = true;
      return code;
    });
  }

  /** Waits until a server has printed something and listens; one that prints nothing gets a second. */
  async started(): Promise<void> {
    const quiet = /say \d+$|say .*--listen|lesson\//.test(this.command);
    if (quiet) return await new Promise((resolve) => setTimeout(resolve, 1_000));
    const since = performance.now();
    while (!this.hasEnded && !/listening|http:\/\/|heartbeat/i.test(this.output)) {
      assert(performance.now() < since + START, `${this.command} does not start: ${this.output}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }

  async stop(): Promise<void> {
    if (!this.hasEnded) {
      this.#child.kill("SIGTERM");
      const killing = setTimeout(() => this.#child.kill("SIGKILL"), 8_000);
      await this.ended;
      clearTimeout(killing);
    }
  }
}

async function isInstalled(program: string): Promise<boolean> {
  const { success } = await new Deno.Command("which", { args: [program] }).output();
  return success;
}

/** Checks what a command has printed. */
function check({ command, expected }: Step, output: string): void {
  if (expected === "" || isPrinted(expected, output)) return;
  throw new Error(`${command}\nprinted\n${output}\nand the document says\n${expected}`);
}

/** Stops the servers whose command matches. */
async function stopAll(servers: [Step, Running][], pattern: RegExp): Promise<void> {
  for (const [{ command }, server] of servers) {
    if (pattern.test(command)) await server.stop();
  }
}

/** Follows one section; the servers that it starts end with it. */
async function follow(steps: Step[], t: Deno.TestContext): Promise<void> {
  const servers: [Step, Running][] = [];
  for (const step of steps) {
    const { command } = step;
    const why = ELSEWHERE.find(([pattern]) => pattern.test(command))?.[1] ??
      (command.includes("| nc ") && !await isInstalled("nc") ? "nc is not installed" : undefined);
    await t.step({
      name: why === undefined ? command : `${command} (${why})`,
      ignore: why !== undefined,
      sanitizeOps: false, // the servers of a section go on during the other commands
      sanitizeResources: false,
      fn: async () => {
        if (SERVES.test(command)) {
          if (/--listen/.test(command)) await stopAll(servers, /--listen/);
          const server = new Running(command);
          servers.push([step, server]);
          return await server.started();
        }
        for (const [at, [of, server]] of servers.entries()) {
          if (!server.hasEnded || /--listen|say \d+$/.test(of.command)) continue;
          const again = new Running(of.command); // as the reader does
          servers[at] = [of, again];
          again.output = server.output;
          await again.started();
        }
        const running = new Running(command);
        const tooLong = setTimeout(() => running.stop(), MAX_TIME);
        const code = await running.ended;
        clearTimeout(tooLong);
        await stopAll(servers, /say \d+$/); // the reader presses Ctrl-C
        check(step, running.output);
        assertEquals(code, 0, `${command}: ${running.output}`);
      },
    });
  }
  for (const [step, server] of servers.reverse()) {
    await server.stop();
    check(step, server.output);
  }
}

/** The script for `git send-email` in the README, with the path of this project. */
async function wrapper(): Promise<string> {
  const text = await Deno.readTextFile(`${ROOT}README.md`);
  const [, script = ""] = /^```text\n(#!\/bin\/sh\n[^`]*)^```/m.exec(text) ?? [];
  return script.replace("/path/to/", ROOT);
}

const hasSendEmail = await new Deno.Command("sh", {
  args: ["-c", 'test -e "$(git --exec-path)/git-send-email"'],
}).output().then(({ success }) => success);

Deno.test("README.md: git send-email sends a patch through the wrapper", {
  ignore: !hasSendEmail, // apt-get install git-email
}, async () => {
  const listener = Deno.listen(LOCAL);
  const arrived: Mail[] = [];
  const serving = serveMailbox(listener, { deliver: (mail) => arrived.push(mail) });
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/wrapper`, await wrapper(), { mode: 0o755 });
    const identity = "-c user.name=Ann -c user.email=ann@example.org";
    const commands = [
      "git init -q repository",
      "cd repository",
      "echo text > file && git add file",
      `git ${identity} commit -q -m 'A patch'`,
      "git format-patch -q -1",
      `git ${identity} -c sendemail.smtpServer=${folder}/wrapper send-email --quiet ` +
      "--confirm=never --suppress-cc=all --from ann@example.org --to bob@example.org --bcc carol@example.org *.patch",
    ];
    const { code, stderr } = await new Deno.Command("sh", {
      args: ["-c", commands.join(" && ")],
      cwd: folder,
      env: {
        PATH: `${bin}:${Deno.env.get("PATH")}`,
        HOME: folder,
        DENO_CERT: `${TLS}selfsigned.pem`,
        SMTP_SERVER: `127.0.0.1:${listener.addr.port}`,
        SMTP_USER: "ann@example.org",
        SMTP_PASSWORD: "secret",
      },
    }).output();
    assertEquals(code, 0, new TextDecoder().decode(stderr));
  } finally {
    listener.close();
    await serving;
    await Deno.remove(folder, { recursive: true });
  }
  assertEquals(arrived.map(({ to }) => to.toSorted()), [["bob@example.org", "carol@example.org"]]);
  assert(arrived[0]?.message.includes("Subject: [PATCH] A patch\n"));
  assertEquals(arrived[0]?.message.includes("carol@"), false);
});

Deno.test("README.md: the numbers of lines of the programs are right to a tenth", async () => {
  const text = await Deno.readTextFile(`${ROOT}README.md`);
  const rows = text.matchAll(/^\| `(\w+\.ts)`.*\| ([\d,]+) +\|$/gm).toArray();
  assertEquals(rows.length, 5);
  for (const [, file = "", number = ""] of rows) {
    const lines = (await Deno.readTextFile(`${ROOT}${file}`)).split("\n").length - 1;
    const ratio = Number(number.replace(",", "")) / lines;
    assert(ratio > 0.9 && ratio < 1.1, `${file} has ${lines} lines, not ${number}`);
  }
});

for (const document of DOCUMENTS) {
  const text = await Deno.readTextFile(`${ROOT}${document}`).catch(() => "");
  const options = { sanitizeOps: false, sanitizeResources: false };
  if (programsIn(text).length > 0) {
    const number = /\d/.exec(document)?.[0] ?? "";
    Deno.test(`${document}: its programs are written to lesson/`, options, async (t) => {
      await follow([{ command: `deno task lesson ${number}`, expected: "" }], t);
    });
  }
  for (const [heading, steps] of sectionsOf(text)) {
    Deno.test(
      `${document}, "${heading}": every command works as printed`,
      options,
      (t) => follow(steps, t),
    );
  }
}
