/**
 * The command line of the web server, and the program as its user runs it.
 *
 * @module
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
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

/** Command lines that come to nothing: the exit status, and what the one line says. */
const COMMANDS: readonly [args: string[], code: number, says: string | RegExp][] = [
  [["--prot", "80"], 2, 'Unknown option "--prot": did you mean --port?'],
  [["--no-listings"], 2, "did you mean --no-listing?"],
  [["-Z"], 2, '"-Z"'],
  [["--spa=1"], 2, "--spa"],
  [["--port"], 2, "--port"],
  [["-p"], 2, "-p"],
  [["-p", "http"], 2, '"http"'],
  [["-p", "65536"], 2, '"65536"'],
  [["-p", "-1"], 2, '"-1"'],
  [["--port="], 2, "--port"],
  [["-p", "1e3"], 2, '"1e3"'],
  [["-p", "0x50"], 2, '"0x50"'],
  [["-p", "80.5"], 2, '"80.5"'],
  [["-t", "0"], 2, '"0"'],
  [["-t", "many"], 2, '"many"'],
  [["-c", "-2"], 2, '"-2"'],
  [["-c", "soon"], 2, '"soon"'],
  [["--idle", "0"], 2, '"0"'],
  [["--idle", "x"], 2, '"x"'],
  [["--max-connections", "0"], 2, '"0"'],
  [["--log", "long"], 2, '"long"'],
  [["--auth", "nobody"], 2, "--auth"],
  [["-H", "nothing"], 2, '"nothing"'],
  [["-H", "A B: c"], 2, "A B"],
  [["-H", "A: b\r\nC: d"], 2, "-H|header"],
  [["-H", "Content-Length: 5"], 2, "Content-Length"],
  [["-H", "transfer-encoding: chunked"], 2, "transfer-encoding"],
  [["-H", "Connection: close"], 2, "Connection"],
  [["--cert", "x.pem"], 2, "--key"],
  [["--key", "x.pem"], 2, "--cert"],
  [["--lan", "--bind", "127.0.0.1"], 2, "--bind"],
  [["here", "there"], 2, "there"],
  [["\x1b[2J", "there\x1b[2J"], 2, "there"],
  [["nowhere"], 1, "nowhere"],
  [["LICENSE/"], 1, '"LICENSE/": no such'],
  [["LICENSE/nothing"], 1, "no such folder or file"],
  [["/dev/null"], 1, UNIX ? "neither a folder nor" : "null"],
  [["--allow-host", ""], 2, "--allow-host"],
  [["--allow-host", "http://dev.test/"], 2, "http://dev.test/"],
  [["--allow-host", "dev.test:8000"], 2, "without a port"],
  [["nowhere\x1b[2J"], 1, "nowhere"],
  [["--bind", "192.0.2.1", "-p", "0"], 1, "192.0.2.1"],
  [["--bind", "no such host", "-p", "0"], 1, "no such host"],
  [["--auth", "@nowhere"], 1, "nowhere"],
  [["--auth", "@LICENSE"], 1, "--auth"],
  [["--cert", "nowhere", "--key", "nowhere"], 1, "nowhere"],
  [["--cert", `${TLS}localhost.pem`, "--key", "LICENSE", "-p", "0"], 1, "--key: .* not encrypted"],
  [["--cert", `${TLS}localhost.pem`, "--key", `${TLS}other.key`, "-p", "0"], 1, "--key: keys"],
  [["--cert", "README.md", "--key", "README.md", "-p", "0"], 1, "README|certificate|cert"],
];

for (const [args, code, says] of COMMANDS) {
  Deno.test(`command line: ${JSON.stringify(args.join(" "))} ends with ${code}`, async () => {
    await using program = await startServer(args);
    const outcome = await program.stop();
    assertEquals([outcome.code, outcome.stdout], [code, ""], outcome.stderr);
    assertMatch(outcome.stderr, /^http_server: [^\n]+\n$/);
    const pattern = typeof says === "string" ? new RegExp(says.replace(/[?]/g, "\\?")) : says;
    assertMatch(outcome.stderr, pattern);
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
      "-p --port -b --bind --host --lan -t --threads -s --spa -c --cache -H --header -C --cors --no-listing --dotfiles --cert --key --auth --log --allow-host --max-connections --idle -q --quiet -v --verbose -h --help -V --version";
    for (const option of options.split(" ")) {
      assertMatch(stdout, new RegExp(`(^|[ ,(])${option}\\b`, "m"), option);
    }
    assert(stdout.split("\n").every((line) => line.length <= 80), "80 columns");
    for (const word of ["8000", "no-cache", "1000", "15", "short", "Example", "Exit"]) {
      assertMatch(stdout, new RegExp(word), "defaults, an example, the exit statuses");
    }
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

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.test({ name: `program: from banner to summary, ${signal}`, ignore: !UNIX }, async () => {
    const begun = performance.now();
    await using program = await startServer(["-p0", WWW]);
    assert(program.port > 0, program.stderr);
    assertEquals((await ask(program.port, "/hello.txt")).body, "Hello, world!\n");
    assert(performance.now() - begun < 3_000, "60 ms are wanted");
    const [, rss] = /VmRSS:\s+(\d+)/.exec(
      await Deno.readTextFile(`/proc/${program.pid}/status`).catch(() => "VmRSS: 1"),
    ) ?? [];
    assert(Number(rss) < 150_000, `50 MB are wanted, ${rss} kB it is`);
    await ask(program.port, "/nothing");
    using idle = await Client.open(program.port);
    await askKept(idle);
    const asked = performance.now();
    const { code, stdout, stderr } = await program.stop(signal);
    assert(performance.now() - asked < 1_500, "0.2 s are wanted");
    assertEquals(code, 0);
    const [banner = "", summary = "", ...others] = stderr.trimEnd().split("\n");
    assertMatch(banner, /^http_server: serving \S*www at http:\/\/localhost:\d+\/$/);
    assertMatch(summary, /^Stopped after .+: 3 requests, /);
    assertEquals(others, []);
    const lines = stdout.trimEnd().split("\n");
    assertEquals(lines.length, 3);
    assertMatch(
      lines[0] ?? "",
      /^\d\d:\d\d:\d\d +200 +GET +\/hello\.txt +14 B +\d+ ms +127\.0\.0\.1$/,
    );
    assertMatch(lines[1] ?? "", / +404 +GET +\/nothing /);
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
  assert(performance.now() - begun < 1_500);
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

Deno.test("program: a port that is busy, named and not", async () => {
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

Deno.test("program: both addresses of this machine, and no other", async () => {
  await using program = await startServer(["-p0", "-q", WWW]);
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
  assertEquals((await program.stop("SIGTERM")).stdout, "", "-q is no log");
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
      assertMatch(`${(await ask(program.port, target)).status}`, /^40[04]$/);
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
  await client.send(request("/hello.txt", ["Connection: close"]));
  assertMatch(await client.until(), /^HTTP\/1\.1 200 OK\r\n[^]*Hello/);
});

Deno.test({ name: "program: two threads, one log, one summary", ignore: !UNIX }, async () => {
  await using program = await startServer(["-p0", "--threads", "2", WWW]);
  assert(program.port > 0, program.stderr);
  await Promise.all(Array.from({ length: 60 }, async () => {
    assertEquals((await ask(program.port, "/hello.txt")).body, "Hello, world!\n");
  }));
  const { code, stdout, stderr } = await program.stop("SIGTERM");
  assertEquals([code, stdout.match(/ 200 +GET +\/hello\.txt /g)?.length], [0, 60]);
  assertMatch(stderr, /60 requests, 840 B sent/);
});

Deno.test({ name: "program: out of descriptors it goes on", ignore: !UNIX }, async () => {
  await using program = await startServer(["-p0", WWW], {
    by: ["sh", "-c", 'ulimit -n 64; exec "$@"', "sh"],
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
});

Deno.test(
  { name: "program: nobody reads the log, so it ends quietly", ignore: !UNIX },
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

for (const [granted, flag] of [["--allow-net", "--allow-read"], ["--allow-read", "--allow-net"]]) {
  Deno.test(`program: with ${granted} alone it names ${flag}`, async () => {
    await using program = await startServer(["-p0", WWW], { allow: [`${granted}`] });
    const { code, stderr } = await program.stop();
    assertEquals(code, 1);
    assertMatch(stderr, /^http_server: Deno was not allowed to [^\n]+\n$/);
    assertMatch(stderr, new RegExp(`${flag}`));
  });
}

Deno.test("program: threads need to read the program itself", async () => {
  const allow = ["--allow-net", `--allow-read=${WWW}`];
  await using program = await startServer(["-p0", "-t2", WWW], { allow });
  const { code, stderr } = await program.stop();
  assertEquals(code, 1);
  assertMatch(stderr, /^http_server: Deno was not allowed to read \S+; add --allow-read=\S+\n$/);
});

Deno.test("program: --allow-net and --allow-read are enough, --lan included", async () => {
  const allow = ["--allow-net", `--allow-read=${WWW}`];
  await using program = await startServer(["-p0", "--lan", WWW], { allow });
  assertEquals((await ask(program.port, "/hello.txt")).status, 200, program.stderr);
  assertEquals((await ask(program.port, "/bare/")).status, 200);
});

/** Root may read everything: as root these run as nobody, by way of util-linux. */
const asNobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
const isRoot = UNIX && Deno.uid() === 0;
const canBeNobody = !isRoot ||
  await new Deno.Command("setpriv", {
    args: [...asNobody.slice(1), "test", "-r", `${ROOT}protocol.ts`],
  })
    .output().then(({ success }) => success, () => false);

/** Where a nobody may write what Deno itself keeps. */
function homeless(folder: Folder): Record<string, string> {
  const cache = folder.path("../cache");
  return { HOME: cache, DENO_DIR: cache, DENO_COVERAGE_DIR: cache };
}

const skipped = canBeNobody ? "" : ": skipped as root without setpriv";

Deno.test(
  { name: `program: what it may not read is 403${skipped}`, ignore: !UNIX || !canBeNobody },
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
      "a sibling that is unreadable is none",
    );
    assertEquals(await status("/ok.txt"), 200);
    Deno.chmodSync(folder.path("404.html"), 0);
    assertMatch(`${await status("/nothing")}`, /^40[34]$/);
    for (const name of ["locked"]) Deno.chmodSync(folder.path(name), 0o755);
    assertEquals((await program.stop("SIGTERM")).code, 0);
  },
);

Deno.test({
  name: `program: a folder it may not read, a port it may not have${skipped}`,
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
