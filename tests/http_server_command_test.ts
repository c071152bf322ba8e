/**
 * The command line of the web server, and the program as its user runs it.
 *
 * @module
 */
import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
  assertThrows,
} from "jsr:@std/assert@^1.0.19";
import { parseCommandLine } from "../cli.ts";
import { OPTIONS } from "../http_server.ts";
import { UsageError } from "../protocol.ts";
import { LOCAL, ROOT, TLS } from "./helpers.ts";
import {
  ask,
  askKept,
  basic,
  Client,
  endOf,
  Folder,
  HTML,
  HUGE,
  pause,
  readAnswers,
  request,
  startServer,
  talk,
  UNIX,
  WWW,
} from "./http_server_helpers.ts";

/** Command lines that the table of options refuses, and the message. */
const REFUSED: readonly [args: string[], says: string][] = [
  [["--prot", "80"], 'Unknown option "--prot": did you mean --port?'],
  [["--no-listings"], 'Unknown option "--no-listings": did you mean --no-listing?'],
  [["--cookie"], 'Unknown option "--cookie": see --help'],
  [["-Z"], 'Unknown option "-Z": see --help'],
  [["--spa=1"], 'Option "--spa" takes no value'],
  [["--port"], 'Option "--port" needs a value'],
  [["-p"], 'Option "-p" needs a value'],
  [["-p", "http"], 'Cannot use -p "http": expected a whole number from 0 to 65535'],
  [["-p", "65536"], 'Cannot use -p "65536": expected a whole number from 0 to 65535'],
  [["-p", "-1"], 'Cannot use -p "-1": expected a whole number from 0 to 65535'],
  [["--port="], 'Cannot use --port "": expected a whole number from 0 to 65535'],
  [["-p", "1e3"], 'Cannot use -p "1e3": expected a whole number from 0 to 65535'],
  [["-p", "0x50"], 'Cannot use -p "0x50": expected a whole number from 0 to 65535'],
  [["-p", "80.5"], 'Cannot use -p "80.5": expected a whole number from 0 to 65535'],
  [["-t", "0"], 'Cannot use -t "0": expected a whole number from 1 to 256'],
  [["-t", "257"], 'Cannot use -t "257": expected a whole number from 1 to 256'],
  [["-c", "-2"], 'Cannot use -c "-2": expected a whole number from -1 to 2147483648'],
  [["-c", "soon"], 'Cannot use -c "soon": expected a whole number from -1 to 2147483648'],
  [["--cache", "2147483649"], 'Cannot use --cache "2147483649": expected a whole number from -1 '],
  [["--idle", "0.09"], 'Cannot use --idle "0.09": expected a number from 0.1 to 86400'],
  [["--idle", "86401"], 'Cannot use --idle "86401": expected a number from 0.1 to 86400'],
  [["--idle", "x"], 'Cannot use --idle "x": expected a number from 0.1 to 86400'],
  [["--max-connections", "0"], 'Cannot use --max-connections "0": expected a whole number from 1 '],
  [["--max-connections", "1000001"], 'Cannot use --max-connections "1000001": expected a whole '],
  [["--log", "long"], 'Cannot use --log "long": expected short, combined, json, off'],
  [["--auth", "secret"], "Cannot use --auth: expected USER:PASSWORD or @FILE"],
  [["--auth", "@"], "Cannot use --auth: expected USER:PASSWORD or @FILE"],
  [["-H", "nothing"], 'Cannot use -H "nothing": expected "Name: value"; Field line has no colon'],
  [["--header", "A B: c"], 'Cannot use --header "A B: c": expected "Name: value"; '],
  [["-H", "A: b\r\nC: d"], 'Cannot use -H "A: b\r\nC: d": expected "Name: value"; '],
  [["-H", "Content-Length: 5"], 'Cannot use -H "Content-Length: 5": expected a field other than '],
  [["-H", "transfer-encoding: x"], 'Cannot use -H "transfer-encoding: x": expected a field other'],
  [["-H", "Connection: close"], 'Cannot use -H "Connection: close": expected a field other than '],
  [["--allow-host", ""], 'Cannot use --allow-host "": expected a host name, without a port'],
  [["--allow-host", "http://a/"], 'Cannot use --allow-host "http://a/": expected a host name, '],
  [["--allow-host", "a:8000"], 'Cannot use --allow-host "a:8000": expected a host name, without '],
  [["-b", " "], 'Cannot use -b " ": expected a text that is not empty'],
];

for (const [args, says] of REFUSED) {
  Deno.test(`command line: ${JSON.stringify(args.join(" "))} is refused`, () => {
    const error = assertThrows(() => parseCommandLine({ options: OPTIONS }, args), UsageError);
    assert(error.message.startsWith(says), error.message);
  });
}

/** Command lines with the last value that is accepted, and that value. */
const ACCEPTED: readonly [args: string[], name: keyof typeof OPTIONS, want: unknown][] = [
  [[], "port", undefined],
  [["-p", "0"], "port", 0],
  [["-p65535"], "port", 65_535],
  [[], "threads", 1],
  [["-t", "256"], "threads", 256],
  [[], "cache", undefined],
  [["-c", "-1"], "cache", "no-store"],
  [["-c0"], "cache", "public, max-age=0"],
  [["-c", "2147483648"], "cache", "public, max-age=2147483648"],
  [[], "idle", 15_000],
  [["--idle", "0.1"], "idle", 100],
  [["--idle=86400"], "idle", 86_400_000],
  [[], "maxConnections", 1_000],
  [["--max-connections", "1"], "maxConnections", 1],
  [["--max-connections", "1000000"], "maxConnections", 1_000_000],
  [[], "log", "short"],
  [["--log", "JSON"], "log", "json"],
  [[], "listing", true],
  [["--no-listing"], "listing", false],
  [["-H", "A: b", "--header=C:d"], "fields", [["A", "b"], ["C", "d"]]],
  [["--allow-host", "Dev.Test.", "--allow-host", "*"], "allowHosts", ["dev.test", "*"]],
  [["--auth", "a:b:c"], "auth", "a:b:c"],
  [["--host", "::1"], "bind", "::1"],
];

for (const [args, name, want] of ACCEPTED) {
  Deno.test(`command line: ${name} of ${JSON.stringify(args.join(" "))}`, () => {
    assertEquals(parseCommandLine({ options: OPTIONS }, args).options[name], want);
  });
}

/** Command lines that end the program: the exit status, and what the one line says. */
const FAILURES: readonly [args: string[], code: number, says: string | RegExp][] = [
  [["-p", "http\x1b[2J"], 2, 'Cannot use -p "http\\x1b[2J": expected a whole number'],
  [["--cert", "x.pem"], 2, 'Option "--cert" needs --key'],
  [["--key", "x.pem"], 2, 'Option "--key" needs --cert'],
  [["--lan", "-b", "127.0.0.1"], 2, "Cannot use --lan with -b"],
  [["here", "there"], 2, 'Cannot serve "there" as well: expected one operand'],
  [["\x1b[2J", "there\x1b[2J"], 2, 'Cannot serve "there\\x1b[2J" as well'],
  [["nowhere"], 1, 'Cannot serve "nowhere": no such folder or file'],
  [["LICENSE/"], 1, 'Cannot serve "LICENSE/": no such folder or file'],
  [["LICENSE/nothing"], 1, 'Cannot serve "LICENSE/nothing": no such folder or file'],
  [["/dev/null"], 1, UNIX ? 'Cannot serve "/dev/null": neither a folder nor' : "Cannot serve"],
  [["nowhere\x1b[2J"], 1, 'Cannot serve "nowhere\\x1b[2J"'],
  [["-b", "192.0.2.1", "-p", "0"], 1, 'Cannot listen on "192.0.2.1": not an address of this mach'],
  [["-b", "no such host", "-p", "0"], 1, 'Cannot listen on "no such host": not an address'],
  [["--auth", "@nowhere"], 1, 'Cannot read --auth "nowhere": no such file or directory'],
  [["--auth", "@LICENSE"], 1, 'Cannot use --auth: "LICENSE" does not begin with USER:PASSWORD'],
  [["--cert", "nowhere", "--key", "nowhere"], 1, 'Cannot read --cert "nowhere": no such file'],
  [
    ["--cert", `${TLS}localhost.pem`, "--key", "LICENSE", "-p", "0"],
    1,
    /^http_server: Cannot use --cert and --key: .* not encrypted\n$/,
  ],
  [
    ["--cert", `${TLS}localhost.pem`, "--key", `${TLS}other.key`, "-p", "0"],
    1,
    "Cannot use --cert and --key: keys",
  ],
  [["--cert", "README.md", "--key", "README.md", "-p", "0"], 1, /README|certificate|cert/],
];

for (const [args, code, says] of FAILURES) {
  Deno.test(`program: ${JSON.stringify(args.join(" "))} ends with ${code}`, async () => {
    await using program = await startServer(args);
    const outcome = await program.stop();
    assertEquals([outcome.code, outcome.stdout], [code, ""], outcome.stderr);
    assertMatch(outcome.stderr, /^http_server: [^\n]+\n$/);
    if (typeof says === "string") assertStringIncludes(outcome.stderr, `http_server: ${says}`);
    else assertMatch(outcome.stderr, says);
    // deno-lint-ignore no-control-regex
    assert(!/[\x00-\x09\x0b-\x1f]|\bat .*:\d+:\d+/.test(outcome.stderr), outcome.stderr);
  });
}

for (const flag of ["--help", "-h"]) {
  Deno.test(`command line: ${flag} names every option and its default`, async () => {
    await using program = await startServer([flag], { allow: [] });
    const { code, stdout, stderr } = await program.stop();
    assertEquals([code, stderr], [0, ""]);
    const options =
      "-p --port -b --bind --host --lan -t --threads -s --spa -c --cache -H --header -C --cors --no-listing --dotfiles --cert --key --auth --log --allow-host --max-connections --idle --wire -q --quiet -v --verbose -h --help -V --version";
    for (const option of options.split(" ")) {
      assertMatch(stdout, new RegExp(`(^|[ ,(])${option}\\b`, "m"), option);
    }
    assert(stdout.split("\n").every((line) => line.length <= 80), "80 columns");
    const text = stdout.replace(/\s+/g, " ");
    for (
      const part of [
        "0 takes any free one (default: 8000, or the next free one up to 8019)",
        "(default: 127.0.0.1 and ::1, this machine only)",
        "-1 is no-store (default: no-cache, which asks each time)",
        "(default: 1)",
        "(default: 1000)",
        "(default: 15)",
        "(default: short)",
        "Example: deno run --allow-net --allow-read=. http_server.ts -p 8080 ./public",
        "Exit status: 0 stopped by a signal, 1 cannot start, 2 usage.",
      ]
    ) assertStringIncludes(text, part);
  });
}

for (const flag of ["--version", "-V"]) {
  Deno.test(`command line: ${flag} shows the version`, async () => {
    await using program = await startServer([flag], { allow: [] });
    const { code, stdout } = await program.stop();
    assertEquals(code, 0);
    assertMatch(stdout, /^http_server \d+\.\d+\.\d+\n$/);
  });
}

Deno.test({
  name: "program: takes less than 150 MB of memory",
  ignore: Deno.build.os !== "linux",
}, async () => {
  await using program = await startServer(["-p0", WWW]);
  await ask(program.port, "/hello.txt");
  const file = `/proc/${program.pid}/status`; // which Deno does not let a test read
  const { stdout } = await new Deno.Command("cat", { args: [file] }).output();
  const [, kilobytes] = /VmRSS:\s+(\d+)/.exec(new TextDecoder().decode(stdout)) ?? [];
  assert(Number(kilobytes) < 150_000, `50 MB are wanted, ${kilobytes} kB it is`);
});

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.test({ name: `program: from banner to summary, ${signal}`, ignore: !UNIX }, async () => {
    const begun = performance.now();
    await using program = await startServer(["-p0", WWW]);
    assert(program.port >= 1_024, program.stderr);
    assertEquals((await ask(program.port, "/hello.txt")).body, "Hello, world!\n");
    assert(performance.now() - begun < 10_000, "60 ms are wanted");
    assertEquals((await ask(program.port, "/.hidden")).status, 404);
    using idle = await Client.open(program.port);
    await askKept(idle);
    const asked = performance.now();
    const { code, stdout, stderr } = await program.stop(signal);
    assert(performance.now() - asked < 4_000, "0.2 s are wanted");
    assertEquals(code, 0);
    // The client may have the last response before the server counts it as sent.
    const [banner = "", summary = "", ...others] = stderr.trimEnd().split("\n")
      .filter((line) => !line.startsWith("Finishing 1 transfer "));
    assertMatch(banner, /^http_server: serving \S*www at http:\/\/localhost:\d+\/$/);
    assertMatch(summary, /^Stopped after \ds: 3 requests, 42 B sent\.$/);
    assertEquals(others, []);
    const lines = stdout.trimEnd().split("\n");
    assertEquals(lines.length, 3);
    assertMatch(
      lines[0] ?? "",
      /^\d\d:\d\d:\d\d +200 +GET +\/hello\.txt +14 B +\d+ ms +127\.0\.0\.1$/,
    );
    assertMatch(lines[1] ?? "", / +404 +GET +\/\.hidden /);
  });
}

Deno.test({ name: "program: the second signal ends it at once", ignore: !UNIX }, async () => {
  using folder = new Folder({ "huge.bin": new Uint8Array(HUGE) });
  await using program = await startServer(["-p", "0", folder.root]);
  using client = await Client.open(program.port);
  await client.send(request("/huge.bin"));
  await client.until(/\r\n\r\n/);
  const ended = program.stop("SIGINT");
  await pause(200);
  const begun = performance.now();
  program.stop("SIGINT");
  const { code } = await ended;
  assert(performance.now() - begun < 4_000, "not the 5 s of an orderly end");
  assertEquals(code, 130);
});

Deno.test({ name: "program: a signal lets a transfer finish", ignore: !UNIX }, async () => {
  using folder = new Folder({ "huge.bin": new Uint8Array(HUGE) });
  await using program = await startServer(["-p", "0", "--log", "json", folder.root]);
  using client = await Client.open(program.port);
  await client.send(request("/huge.bin"));
  await client.until(/\r\n\r\n/);
  const ended = program.stop("SIGTERM");
  await pause(100);
  assertEquals(readAnswers(await client.until())[0]?.body.length, HUGE);
  const { code, stdout, stderr } = await ended;
  assertEquals(code, 0, stderr);
  assertEquals(JSON.parse(stdout).sent, HUGE);
  assertMatch(stderr, /\nFinishing 1 transfer \(Ctrl-C again to quit now\)\.\.\.\nStopped after /);
});

Deno.test("program: a busy port is an error with -p, and passed over without", async () => {
  using busy = Deno.listen(LOCAL);
  const { port } = busy.addr;
  await using named = await startServer(["-p", `${port}`, WWW]);
  const { code, stderr } = await named.stop();
  assertEquals(code, 1);
  assertMatch(stderr, new RegExp(`^http_server: [^\\n]*${port}[^\\n]*-p[^\\n]*\\n$`));
  // the default is 8000: it is busy now, by us or by someone else
  let taken: Disposable | undefined;
  try {
    taken = Deno.listen({ hostname: "127.0.0.1", port: 8_000 });
  } catch (error) {
    if (!(error instanceof Deno.errors.AddrInUse)) throw error;
  }
  await using hopped = await startServer([WWW]);
  assert(hopped.port > 8_000 && hopped.port < 8_020, hopped.stderr);
  assertMatch(hopped.stderr, new RegExp(`8000[^\\n]*${hopped.port}`));
  assertEquals((await ask(hopped.port, "/hello.txt")).body, "Hello, world!\n");
  taken?.[Symbol.dispose]();
});

/** An address that other tests do not use; macOS has only 127.0.0.1. */
const OTHER = { hostname: "127.0.0.2", ignore: Deno.build.os !== "linux" };

Deno.test(
  { name: "program: tries port 8000 to 8019 without -p", ignore: OTHER.ignore },
  async () => {
    const { hostname } = OTHER;
    const ports = Array.from({ length: 20 }, (_, at) => 8_000 + at);
    const taken = ports.map((port) => Deno.listen({ hostname, port }));
    try {
      await using refused = await startServer(["-b", hostname, WWW]);
      const { code, stderr } = await refused.stop();
      assertEquals([code, stderr], [
        1,
        "http_server: Cannot listen on port 8019: it is already in use; " +
        "try -p 8020, or -p 0 for any free port\n",
      ]);
      taken.pop()?.close();
      await using last = await startServer(["-b", hostname, WWW]);
      assertEquals(last.stderr.split("\n"), [
        "Port 8000 is in use, so this is 8019.",
        `http_server: serving ${WWW} at http://127.0.0.2:8019/`,
        "",
      ]);
      taken.shift()?.close();
      await using first = await startServer(["-b", hostname, WWW]);
      assertEquals(first.stderr, `http_server: serving ${WWW} at http://127.0.0.2:8000/\n`);
    } finally {
      for (const listener of taken) listener.close();
    }
  },
);

for (const [port, other] of [[65_535, 65_534], [65_534, 65_535]] as const) {
  const name = `program: port ${port} is in use: try ${other}`;
  Deno.test({ name, ignore: OTHER.ignore }, async () => {
    using _taken = Deno.listen({ hostname: OTHER.hostname, port });
    await using program = await startServer(["-b", OTHER.hostname, "-p", `${port}`, WWW]);
    const { code, stderr } = await program.stop();
    assertEquals([code, stderr], [
      1,
      `http_server: Cannot listen on port ${port}: it is already in use; ` +
      `try -p ${other}, or -p 0 for any free port\n`,
    ]);
  });
}

Deno.test("program: --max-connections 1 serves one connection, then the next", async () => {
  await using program = await startServer(["-qp0", "--max-connections", "1", WWW]);
  using first = await Client.open(program.port);
  await first.send("GET /hello.txt HTTP/1.1\r\n");
  using second = await Client.open(program.port);
  await second.send(request("/end.txt"));
  const reading = second.read();
  assertEquals(await Promise.race([reading, pause(100).then(() => "nothing")]), "nothing");
  await first.send("Host: localhost\r\nConnection: close\r\n\r\n");
  assertMatch(await first.until(), /Hello/);
  first[Symbol.dispose]();
  await reading;
  assertMatch(await second.until(/the end/), /the end/);
});

/** Addresses of this machine that other machines may reach. */
const ADDRESSES = Deno.networkInterfaces().map(({ address }) => address)
  .filter((address) => !address.startsWith("127.") && address !== "::1")
  .filter((address) => !address.startsWith("fe80:")) // these need the name of the interface, too
  .map((address) => address.includes(":") ? `[${address}]` : address);

for (const args of [["--lan"], ["-b", "0.0.0.0"], ["-b", "::"], ["-b", "[::]"]]) {
  Deno.test(`program: ${args.join(" ")} prints a URL for each address of this machine`, async () => {
    await using program = await startServer(["-qp0", ...args, WWW]);
    const { port, stderr } = program;
    const others = ADDRESSES.length > 0 ? ADDRESSES : ["<this machine's address>"];
    const urls = ["localhost", ...others].map((host) => `http://${host}:${port}/`);
    assertEquals(stderr, `http_server: serving ${WWW} at ${urls.join(" ")}\n`);
  });
}

for (const bind of ["::1", "[::1]"]) {
  Deno.test(`program: bound to ${bind}, its URL has one pair of brackets`, async () => {
    await using program = await startServer(["-qp0", "-b", bind, WWW]);
    const { port, stderr } = program;
    assertEquals(stderr, `http_server: serving ${WWW} at http://[::1]:${port}/\n`);
  });
}

Deno.test("program: listens on 127.0.0.1 and ::1, and checks Host", async () => {
  await using program = await startServer(["-p0", "-q", WWW]);
  assertEquals((await ask(program.port, "http://localhost/hello.txt")).status, 200);
  for (const hostname of ["127.0.0.1", "::1"]) {
    using client = await Client.open(program.port, hostname).catch((error) => {
      if (hostname === "127.0.0.1") throw error;
      return new Client({ [Symbol.dispose]() {} } as Deno.Conn); // no IPv6 here
    });
    if (client.conn.localAddr === undefined) continue;
    await client.send(request("/hello.txt", ["Connection: close"]));
    assertMatch(await client.until(), /Hello/);
  }
  assertEquals((await ask(program.port, "/hello.txt", [])).status, 200);
  const text = "GET /hello.txt HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n";
  assertMatch(await talk(program.port, [text]), /^HTTP\/1\.1 421 /);
  assertEquals((await program.stop("SIGTERM")).stdout, "", "-q turns the log off");
});

for (const [bind, own] of [["127.1", "127.1"], ["LOCALHOST"], ["0x7f.1", "0X7f.1:80"]]) {
  Deno.test(`program: bound to ${bind}, it checks Host`, async () => {
    await using program = await startServer(["-p0", "--bind", `${bind}`, WWW]);
    const status = async (host: string) => {
      const text = `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
      return readAnswers(await talk(program.port, [text]))[0]?.status;
    };
    assertEquals(await status("evil.test"), 421, program.stderr);
    for (const host of ["localhost", own ?? "127.0.0.1"]) assertEquals(await status(host), 200);
  });
}

Deno.test("program: bound to every address, it answers to all, and says where", async () => {
  await using program = await startServer(["-p0", "--bind", "0.0.0.0", WWW]);
  assertMatch(program.stderr, /at http:\/\/localhost:\d+\/ http:/);
  const text = "GET / HTTP/1.1\r\nHost: my.test\r\nConnection: close\r\n\r\n";
  assertEquals(readAnswers(await talk(program.port, [text]))[0]?.status, 200);
});

Deno.test("program: options reach the service", async () => {
  using folder = new Folder({
    "../secret": "ann:b\n",
    "a.txt": "a\n",
    "index.html": "home",
    ".b": "hidden",
  });
  await using program = await startServer([
    ...[
      "-sCp0",
      "-c60",
      "-H",
      "X-A: b",
      "--header=X-C: d",
      "--auth",
      `@${folder.path("../secret")}`,
    ],
    ...[
      "--log=combined",
      "--allow-host",
      "Dev.test",
      "--dotfiles",
      "--idle",
      "0.3",
      "--",
      folder.root,
    ],
  ]);
  const text = (target: string, fields: string[]) =>
    request(target, [...fields, "Connection: close"]).replace("Host: localhost", "Host: dev.TEST");
  const tell = async (target: string, fields: string[]) =>
    readAnswers(await talk(program.port, [text(target, fields)]))[0];
  assertEquals((await tell("/a.txt", []))?.status, 401);
  const answer = await tell("/a.txt", [basic("ann:b")]);
  const values = ["X-A", "X-C", "Cache-Control", "Access-Control-Allow-Origin"].map((name) =>
    answer?.fields.get(name)
  );
  assertEquals(values, ["b", "d", "public, max-age=60", "*"]);
  assertEquals((await tell("/nothing", [basic("ann:b"), HTML]))?.body, "home");
  assertEquals((await tell("/.b", [basic("ann:b"), HTML]))?.body, "hidden");
  using idle = await Client.open(program.port);
  await askKept(idle);
  assert(await endOf(idle) < 4, "--idle");
  const { stdout } = await program.stop("SIGTERM");
  assertMatch(stdout, /^127\.0\.0\.1 - ann \[[^\]]+\] "GET \/a\.txt HTTP\/1\.1" 200 2 "-" "-"$/m);
  assert(!stdout.includes("ann:b") && !stdout.includes("YW5u"));
});

/** One file as the operand: its name, and whether it is named from its own folder. */
const OPERANDS: readonly [named: string, inside: boolean][] = [
  [".hidden", true],
  ["link.txt", true],
  ["link.txt", false],
  ["../outside.txt", false],
];

for (const [named, inside] of OPERANDS) {
  const name = `program: serves one file, ${named} ${inside ? "by name" : "by path"}`;
  Deno.test({ name, ignore: !UNIX }, async () => {
    using folder = new Folder({ ".hidden": "named", "../outside.txt": "named", "other.txt": "" });
    folder.link("../outside.txt", "link.txt");
    const operand = inside ? named : folder.path(named);
    const options = { cwd: inside ? folder.root : ROOT };
    await using program = await startServer(["-p0", operand], options);
    const base = operand.slice(operand.lastIndexOf("/") + 1);
    assertEquals((await ask(program.port, "/")).body, "named", program.stderr);
    assertEquals((await ask(program.port, `/${base}`)).body, "named");
    for (const target of ["/other.txt", "/root/other.txt", "/../other.txt"]) {
      assertEquals((await ask(program.port, target)).status, 404);
    }
  });
}

Deno.test("program: HTTPS", async () => {
  const files = ["--cert", `${TLS}localhost.pem`, "--key", `${TLS}localhost.key`];
  await using program = await startServer(["-p0", ...files, WWW]);
  assertMatch(program.stderr, /https:\/\/localhost:/);
  const conn = await Deno.connect({ hostname: "127.0.0.1", port: program.port });
  const caCerts = [await Deno.readTextFile(`${TLS}ca.pem`)];
  using client = new Client(await Deno.startTls(conn, { hostname: "localhost", caCerts }));
  await client.send(request("https://localhost/hello.txt", ["Connection: close"]));
  assertMatch(await client.until(), /^HTTP\/1\.1 200 OK\r\n[^]*Hello/);
});

Deno.test(
  { name: "program: two threads write one log and one summary", ignore: !UNIX },
  async () => {
    await using program = await startServer(["-p0", "--threads", "2", WWW]);
    assert(program.port > 0, program.stderr);
    await Promise.all(Array.from({ length: 60 }, async () => {
      assertEquals((await ask(program.port, "/hello.txt")).body, "Hello, world!\n");
    }));
    const { code, stdout, stderr } = await program.stop("SIGTERM");
    assertEquals([code, stdout.match(/ 200 +GET +\/hello\.txt /g)?.length], [0, 60]);
    assertMatch(stderr, /60 requests, 840 B sent/);
  },
);

for (const threads of [1, 2, 3]) {
  const name = `program: --threads ${threads} listens as many times`;
  Deno.test({ name, ignore: Deno.build.os !== "linux" }, async () => {
    const args = ["-qp0", "-b", "127.0.0.1", "-t", `${threads}`];
    await using program = await startServer([...args, WWW]);
    const port = program.port.toString(16).toUpperCase().padStart(4, "0");
    const listening = new RegExp(`^ *\\d+: 0100007F:${port} 00000000:0000 0A `, "gm");
    const count = async () => {
      const { stdout } = await new Deno.Command("cat", { args: ["/proc/net/tcp"] }).output();
      return new TextDecoder().decode(stdout).match(listening)?.length ?? 0;
    };
    for (let tries = 0; await count() < threads && tries < 100; tries++) await pause(10);
    await pause(200); // none is added later
    assertEquals(await count(), threads);
  });
}

Deno.test(
  { name: "program: threads share no port with another program", ignore: !UNIX },
  async () => {
    using other = Deno.listen({ ...LOCAL, reusePort: true });
    const { port } = other.addr;
    await using program = await startServer(["-t2", "-b", "127.0.0.1", "-p", `${port}`, WWW]);
    const { code, stderr } = await program.stop();
    const said = `http_server: Cannot listen on port ${port}: it is already in use`;
    assertEquals([code, stderr.slice(0, said.length)], [1, said]);
  },
);

Deno.test(
  { name: "program: without descriptors it goes on, and serves again", ignore: !UNIX },
  async () => {
    await using program = await startServer(["-p0", WWW], {
      by: ["sh", "-c", 'ulimit -n 64; exec "$@"', "sh"],
      env: { NODE_EXTRA_CA_CERTS: "" }, // node:fs would read that file, and warn that it cannot
    });
    assert(program.port > 0, program.stderr);
    const crowd = await Promise.all(Array.from({ length: 90 }, () => Client.open(program.port)));
    await pause(100);
    const late = ask(program.port, "/hello.txt");
    await pause(100);
    for (const client of crowd) client[Symbol.dispose]();
    assertMatch(`${(await late).status}`, /^(200|503)$/);
    assertEquals((await ask(program.port, "/hello.txt")).body, "Hello, world!\n");
    const { code, stderr } = await program.stop("SIGTERM");
    assertEquals(code, 0);
    assert(!/\bat .*:\d+:\d+|os error/.test(stderr), stderr);
  },
);

Deno.test(
  { name: "program: a log that its reader has closed ends the program quietly", ignore: !UNIX },
  async () => {
    await using program = await startServer(["-p0", WWW], { unread: true });
    let ended = false;
    for (let count = 0; !ended && count < 100; count++) {
      ended = await ask(program.port, "/hello.txt").then(() => false, () => true);
      await pause(20);
    }
    // SIGCONT does nothing: it is to end by itself
    const { code, stderr } = await program.stop(ended ? "SIGCONT" : "SIGKILL");
    assertMatch(`${code}`, /^(0|141)$/, "it ends by itself");
    assert(!/error|pipe/i.test(stderr), stderr);
  },
);

Deno.test(
  { name: "program: a full disk loses lines of the log, not the service", ignore: !UNIX },
  async () => {
    await using program = await startServer(["-p0", WWW], {
      by: ["sh", "-c", 'exec "$@" > /dev/full', "sh"],
    });
    for (let count = 0; count < 3; count++) {
      assertEquals((await ask(program.port, "/hello.txt")).status, 200);
      await pause(30); // each line is a write of its own
    }
    const { code, stderr } = await program.stop("SIGTERM");
    assertEquals(code, 0);
    const lost = /Cannot write the log, lines are lost: no space left on device/gi;
    assertEquals(stderr.match(lost)?.length, 1, stderr);
  },
);

for (const [granted, flag] of [["--allow-net", "--allow-read"], ["--allow-read", "--allow-net"]]) {
  Deno.test(`program: with ${granted} alone it names ${flag}`, async () => {
    await using program = await startServer(["-p0", WWW], { allow: [`${granted}`] });
    const { code, stderr } = await program.stop();
    assertEquals(code, 1);
    assertMatch(stderr, /^http_server: Deno was not allowed to [^\n]+\n$/);
    assertMatch(stderr, new RegExp(`${flag}`));
  });
}

Deno.test("program: threads without --unstable-net get one line", async () => {
  const copy = Deno.makeTempDirSync();
  try {
    for (const name of ["http_server.ts", "cli.ts", "protocol.ts"]) {
      Deno.copyFileSync(`${ROOT}${name}`, `${copy}/${name}`);
    }
    const args = ["run", "--allow-all", `${copy}/http_server.ts`, "-t2", "-p0", WWW];
    const { links = [] } = JSON.parse(Deno.readTextFileSync(`${ROOT}deno.json`));
    const config = { links: links.map((folder: string) => `${ROOT}${folder}`) };
    Deno.writeTextFileSync(`${copy}/deno.json`, JSON.stringify(config));
    const command = new Deno.Command(Deno.execPath(), { args, env: { NO_COLOR: "1" } });
    const { code, stderr } = await command.output();
    const said = new TextDecoder().decode(stderr);
    assertEquals([code, said], [
      1,
      "http_server: Cannot share a port between threads: add --unstable-net\n",
    ]);
  } finally {
    Deno.removeSync(copy, { recursive: true });
  }
});

for (const readable of [WWW, `${WWW},${ROOT}http_server.ts`]) {
  const name = readable.replaceAll(ROOT, "");
  Deno.test(`program: threads need to read the folder of the program, not only ${name}`, async () => {
    const allow = ["--allow-net", "--unstable-net", `--allow-read=${readable}`];
    await using program = await startServer(["-p0", "-t2", WWW], { allow });
    const { code, stderr } = await program.stop();
    const folder = ROOT.slice(0, -1);
    assertEquals([code, stderr], [
      1,
      `http_server: Deno was not allowed to read ${folder}; add --allow-read=${folder}\n`,
    ]);
  });
}

Deno.test("program: --allow-net and --allow-read are enough, --lan included", async () => {
  const allow = ["--allow-net", `--allow-read=${WWW}`];
  await using program = await startServer(["-p0", "--lan", WWW], { allow });
  assertStringIncludes(program.stderr, `http://<address; --allow-sys shows it>:${program.port}/\n`);
  assertEquals((await ask(program.port, "/hello.txt")).status, 200, program.stderr);
  assertEquals((await ask(program.port, "/bare/")).status, 200);
});

/** Root may read everything: as root these run as the user nobody, by way of util-linux. */
const asNobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
const isRoot = UNIX && Deno.uid() === 0;
const canBeNobody = !isRoot ||
  await new Deno.Command("setpriv", {
    args: [...asNobody.slice(1), "test", "-r", `${ROOT}protocol.ts`],
  })
    .output().then(({ success }) => success, () => false);

/** The environment of a user who has no home folder. */
function homeless(folder: Folder): Record<string, string> {
  const cache = folder.path("../cache");
  return { HOME: cache, DENO_DIR: cache, DENO_COVERAGE_DIR: cache };
}

const skipped = canBeNobody ? "" : ": skipped as root without setpriv";

Deno.test(
  {
    name: `program: a file that it may not read gets 403${skipped}`,
    ignore: !UNIX || !canBeNobody,
  },
  async () => {
    using folder = new Folder({
      "secret.txt": "secret",
      "locked/a.txt": "secret",
      "style.css": "plain",
      "style.css.br": "secret",
      "ok.txt": "fine",
      "404.html": "lost",
      "../cache/": "",
    });
    const locked = ["secret.txt", "locked", "style.css.br"];
    for (const name of locked) Deno.chmodSync(folder.path(name), 0);
    for (const name of ["", "..", "../cache"]) Deno.chmodSync(folder.path(name), 0o777);
    await using program = await startServer(["-p0", folder.root], {
      by: isRoot ? asNobody : [],
      env: homeless(folder),
    });
    assert(program.port > 0, program.stderr);
    const status = async (target: string, fields: string[] = []) =>
      (await ask(program.port, target, fields)).status;
    for (let count = 0; count < 80; count++) {
      assertEquals(
        await status(`/secret.txt?${count}`),
        403,
      );
    }
    assertEquals(await status("/locked/a.txt"), 403);
    assertEquals(await status("/locked/nothing"), 403);
    assertEquals(await status("/locked/"), 403);
    assertEquals(await status("/"), 200);
    const plain = await ask(program.port, "/style.css", ["Accept-Encoding: br"]);
    assertEquals(
      [plain.status, plain.body],
      [200, "plain"],
      "a sibling that cannot be read is passed over",
    );
    assertEquals(await status("/ok.txt"), 200);
    Deno.chmodSync(folder.path("404.html"), 0);
    assertEquals(await status("/nothing"), 404);
    for (const name of ["locked"]) Deno.chmodSync(folder.path(name), 0o755);
    assertEquals((await program.stop("SIGTERM")).code, 0);
  },
);

Deno.test({
  name: `program: a folder that it may not read, a port below 1024${skipped}`,
  ignore: !isRoot || !canBeNobody,
}, async () => {
  using folder = new Folder({ "a.txt": "", "../cache/": "" });
  Deno.chmodSync(folder.path(".."), 0o755);
  Deno.chmodSync(folder.path("../cache"), 0o777);
  const options = {
    by: asNobody,
    env: homeless(folder),
  };
  await using low = await startServer(["-p", "1", folder.root], options);
  if (low.port === 0) {
    const { code, stderr } = await low.stop();
    assertEquals(code, 1);
    assertMatch(stderr, /^http_server: [^\n]*\b1\b[^\n]*-p 8080[^\n]*\n$/);
  } // else the ports below 1024 are free for all here
  Deno.chmodSync(folder.root, 0);
  await using shut = await startServer(["-p", "0", folder.root], options);
  assertMatch((await shut.stop()).stderr, /^http_server: [^\n]*root[^\n]* permission denied\n$/);
  await using locked = await startServer(["-p", "0", `${folder.root}/a.txt`], options);
  const { code, stderr } = await locked.stop();
  assertEquals(code, 1);
  assertMatch(stderr, /^http_server: [^\n]*a\.txt[^\n]*\n$/);
  Deno.chmodSync(folder.root, 0o755);
});
