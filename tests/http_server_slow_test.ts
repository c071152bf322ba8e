/**
 * Rows that wait for real time. This file runs after the others, by itself.
 *
 * @module
 */
import { assert, assertEquals, assertMatch, assertNotEquals } from "jsr:@std/assert@^1.0.19";
import { TIMEOUTS } from "../http_server.ts";
import { certificate, LOCAL, ROOT, send, TLS } from "./helpers.ts";
import {
  type Answer,
  ask,
  askKept,
  chunked,
  Client,
  endOf,
  Folder,
  H,
  HUGE,
  LARGE,
  octets,
  pause,
  readAnswers,
  readSlowly,
  request,
  start,
  startServer,
  talk,
  UNIX,
  WWW,
} from "./http_server_helpers.ts";

/** A seeded source of numbers from 0 to below a bound (mulberry32). */
function random(seed: number): (bound: number) => number {
  return (bound) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % bound;
  };
}

const SEEDS = [
  request("/hello.txt"),
  request("/"),
  request("/bare/", ["Accept: application/json"]),
  request("/an%20awkward%20n%C3%A4me%2C%20100%25%20%26%20%231.txt"),
  request("/digits.txt", ["Range: bytes=0-1,4-5,-1", "If-Range: Wed, 01 Jan 2020 00:00:00 GMT"]),
  request("/digits.txt", [
    'If-None-Match: W/"a", "b"',
    "If-Modified-Since: Wed, 01 Jan 2020 00:00:00 GMT",
  ]),
  request("/hello.txt", ["Connection: close, TE", "Accept-Encoding: gzip;q=0.5, br;q=0, *"]),
  request("http://localhost:80/folder?a=b", ["Authorization: Basic YTpi"], "HEAD"),
  request("*", ["Content-Length: 0"], "OPTIONS"),
  request("/hello.txt", ["Content-Length: 5", "Expect: 100-continue"]) + "hello",
  chunked('5;a="b"\r\nhello\r\n0\r\nTrailer: x\r\n\r\n'),
  "GET /hello.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
  request("/hello.txt") + request("/nothing", [], "POST") + request("/folder"),
];
const SPICES = [
  "\r\n",
  "\n",
  "\r",
  "\0",
  " ",
  "\t",
  ":",
  "/",
  "..",
  "%00",
  "%2f",
  "\xff",
  "HTTP/1.1",
  "Host: b\r\n",
];
SPICES.push(
  "0",
  "99999999999999999999",
  "-",
  ",",
  ";",
  '"',
  "\r\n\r\n",
  "Transfer-Encoding: chunked\r\n",
  "bytes=",
);

/** One of the seeds with a few things changed. */
function mutate(roll: (bound: number) => number): string {
  let text = SEEDS[roll(SEEDS.length)] ?? "";
  for (let count = 1 + roll(4); count > 0; count--) {
    const [at, length] = [roll(text.length + 1), roll(9)];
    const piece = text.slice(roll(text.length), roll(text.length));
    const spice = SPICES[roll(SPICES.length)] ?? "";
    const middle = [
      spice,
      "",
      piece,
      String.fromCharCode(roll(256)),
      spice.repeat(roll(400)),
    ][roll(5)] ?? "";
    text = text.slice(0, at) + middle + text.slice(at + (roll(2) === 0 ? 0 : length));
  }
  return text;
}

/** Ten thousand requests gone wrong: each ends in answers or in a close. */
async function fuzz(seed: number): Promise<void> {
  await using service = start();
  const roll = random(seed);
  const statuses = new Map<number, number>();
  for (let round = 0; round < 10_000; round += 20) {
    const texts = Array.from({ length: 20 }, () => mutate(roll));
    await Promise.all(texts.map(async (text) => {
      const where = `seed ${seed}, round ${round}: ${JSON.stringify(text.slice(0, 500))}`;
      const came = await talk(service.port, [text], true).catch((error) => {
        throw new Error(`${where}: ${error}`);
      });
      assertMatch(came, /^(HTTP\/1\.1 [1-5]\d\d [^]*)?$/, where);
      const status = Number(came.slice(9, 12));
      assert(status !== 500, where);
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }));
    if (round % 1_000 === 0) assertMatch((await ask(service.port, "/hello.txt")).body, /Hello/);
  }
  assert((statuses.get(200) ?? 0) > 500 && (statuses.get(400) ?? 0) > 500, "a mix of both");
}

/** Time limits that are short enough for a test (ms). */
const SHORT = { request: 400, idle: 400, write: 400, linger: 400, shutdown: 400 };

/** Requests that do not come to their end, and what goes on arriving every 100 ms. */
const UNFINISHED: readonly [rule: string, sent: string, dripped: string][] = [
  ["a silent client", "", ""],
  ["half a request line", "GET /he", ""],
  ["a header section that arrives octet by octet", `GET / HTTP/1.1\r\n${H}A: `, "b".repeat(30)],
  ["half a body", request("/hello.txt", ["Content-Length: 100"]) + "hello", "x".repeat(30)],
  ["chunks that arrive octet by octet", chunked(""), "1\r\nx\r\n".repeat(5)],
];

for (const [rule, sent, dripped] of UNFINISHED) {
  Deno.test(`time limits: the request time limit closes ${rule}`, async () => {
    await using service = start({ timeouts: { request: SHORT.request } });
    using client = await Client.open(service.port);
    const begun = performance.now();
    await client.send(sent);
    let isOpen = true;
    const ended = client.until(undefined, 40_000).finally(() => isOpen = false);
    for (const octet of dripped) {
      await pause(100);
      if (!isOpen) break;
      await client.send(octet);
    }
    await ended;
    const ms = performance.now() - begun;
    assert(ms >= SHORT.request && ms < 8_000, `${ms} ms`);
  });
}

Deno.test("time limits: a client that does not shake hands gives up its place", async () => {
  const listener = Deno.listenTls({ ...LOCAL, ...await certificate("localhost") });
  const caCerts = [await Deno.readTextFile(`${TLS}ca.pem`)];
  const timeouts = { request: SHORT.request };
  await using service = start({ secure: true, maxConnections: 1, timeouts }, listener);
  using _silent = await Client.open(service.port); // Deno keeps its socket, but it counts no more
  await pause(100);
  const conn = await Deno.connect({ hostname: "127.0.0.1", port: service.port });
  using next = new Client(await Deno.startTls(conn, { caCerts }));
  await next.send(request("/hello.txt", ["Connection: close"]));
  assertMatch(await next.until(undefined, 30_000), /Hello/);
});

Deno.test("time limits: a kept connection ends when it is idle for too long", async () => {
  await using service = start({ timeouts: { idle: 1_500 } });
  using client = await Client.open(service.port);
  await askKept(client);
  await pause(300);
  const asked = performance.now();
  await askKept(client); // it was not idle for long enough
  await endOf(client);
  const ms = performance.now() - asked;
  assert(ms >= 1_400 && ms < 8_000, `${ms} ms`);
  assertMatch(client.text, /Hello/);
});

Deno.test("time limits: a connection is idle between requests, not within one", async () => {
  await using service = start({ timeouts: { idle: 500 } });
  using client = await Client.open(service.port);
  await askKept(client);
  client.text = "";
  await client.send("GET /end.txt HT");
  await pause(1_500);
  await client.send(`TP/1.1\r\n${H}\r\n`);
  assertMatch(await client.until(/the end/), /the end/);
});

Deno.test("time limits: a client that rests while it reads gets it all", async () => {
  using folder = new Folder({ "huge.bin": new Uint8Array(HUGE) });
  await using service = start({ root: folder.root, timeouts: { idle: 300 } });
  using client = await Client.open(service.port);
  await client.send(request("/huge.bin", ["Connection: close"]));
  await pause(2_000);
  assertEquals(readAnswers(await client.until())[0]?.body.length, HUGE);
});

Deno.test("time limits: a client that takes nothing is closed", async () => {
  using folder = new Folder({ "huge.bin": new Uint8Array(HUGE) });
  await using service = start({ root: folder.root, timeouts: { write: SHORT.write } });
  using client = await Client.open(service.port);
  await client.send(request("/huge.bin"));
  await client.until(/\r\n\r\n/);
  const begun = performance.now();
  while (service.exchanges.length === 0 && performance.now() - begun < 8_000) await pause(20);
  assert((service.exchanges[0]?.sent ?? HUGE) < HUGE);
});

Deno.test("time limits: a client that sends on after an error is closed", async () => {
  await using service = start({ timeouts: { linger: SHORT.linger } });
  using client = await Client.open(service.port);
  await client.send("BAD\r\n\r\n");
  const begun = performance.now();
  for (let broken = false; !broken;) {
    broken = await send(client.conn, ["x"]).then(() => false, () => true);
    await pause(50);
    assert(performance.now() - begun < 8_000);
  }
  assert(performance.now() - begun >= SHORT.linger);
});

Deno.test("time limits: the end of the service waits for a client that does not read", async () => {
  using folder = new Folder({ "huge.bin": new Uint8Array(HUGE) });
  await using service = start({ root: folder.root, timeouts: { shutdown: SHORT.shutdown } });
  using client = await Client.open(service.port);
  await client.send(request("/huge.bin"));
  await client.until(/\r\n\r\n/);
  const begun = performance.now();
  await service.stop();
  const ms = performance.now() - begun;
  assert(ms >= SHORT.shutdown && ms < 8_000, `${ms} ms`);
});

Deno.test("time limits: the end of the service waits no longer for half a request", async () => {
  await using service = start({ timeouts: { shutdown: SHORT.shutdown } });
  using client = await Client.open(service.port);
  await client.send("GET /hel");
  await pause(50);
  const begun = performance.now();
  await service.stop();
  assert(performance.now() - begun < 8_000);
});

Deno.test("time limits: the defaults", () => {
  assertEquals(TIMEOUTS, {
    request: 10_000,
    idle: 15_000,
    minIdle: 1_000,
    write: 300_000,
    settle: 2_000,
    cached: 10_000,
    linger: 2_000,
    shutdown: 5_000,
  });
});

Deno.test("noise: 10,000 mutated requests get responses or a close", () => fuzz(20_261_122));

Deno.test(
  "RFC 9110 §8.8.3: a settled file changes, its size and time do not",
  async () => {
    using folder = new Folder({ "small.txt": "old", "large.txt": `old${LARGE}` });
    await using service = start({ root: folder.root });
    const look = async (round: number) => {
      const answers = [];
      for (const name of ["small", "large"]) {
        const { body, fields } = await ask(service.port, `/${name}.txt?${round}`);
        answers.push([body.slice(0, 3), fields.get("ETag")]);
      }
      return answers;
    };
    await pause(1_200); // for long
    const [before, again] = [await look(1), await look(2)];
    assertEquals(again, before);
    folder.write("small.txt", "new");
    folder.write("large.txt", `new${LARGE}`);
    const after = await look(3);
    for (const [at, [body, etag]] of after.entries()) {
      assertEquals([before[at]?.[0], body], ["old", "new"]);
      assertNotEquals(etag, before[at]?.[1]);
    }
  },
);

for (const size of [1_000, 300_000]) {
  Deno.test(`freshness: a changed file is served new soon (${size} octets)`, async () => {
    using folder = new Folder({ "file.txt": `old${octets(size)}` });
    await using service = start({ root: folder.root });
    using client = await Client.open(service.port);
    const look = async (): Promise<Answer> => {
      client.text = "";
      await client.send(request("/file.txt"));
      for (let known: Answer[] = [];;) {
        await client.read();
        const end = client.text.indexOf("\r\n\r\n") + 4;
        if (end < 4) continue;
        const length = Number(/\r\nContent-Length: (\d+)/.exec(client.text)?.[1]);
        if (client.text.length < end + length) continue;
        known = readAnswers(client.text);
        const [answer] = known;
        assert(answer);
        return answer;
      }
    };
    const before = await look();
    folder.write("file.txt", `new, longer${octets(size)}`, new Date());
    const changed = performance.now();
    let now = before;
    for (let asked = changed; now.body === before.body;) {
      assert(asked - changed < 100, "an old answer, long after the change");
      asked = performance.now();
      now = await look();
      assertEquals(now.fields.get("ETag") === before.fields.get("ETag"), now.body === before.body);
    }
    assert(now.body.startsWith("new"));
    assertNotEquals(now.fields.get("Last-Modified"), before.fields.get("Last-Modified"));
    Deno.removeSync(folder.path("file.txt"));
    const removed = performance.now();
    for (let asked = removed; (await look()).status !== 404; asked = performance.now()) {
      assert(asked - removed < 100, "an answer from a file long gone");
    }
  });
}

Deno.test({ name: "files: the root is a link that is switched", ignore: !UNIX }, async () => {
  using folder = new Folder({ "1/a.txt": "one", "2/a.txt": "two", "2/b.txt": "new" });
  folder.link("1", "current");
  await using service = start({ root: folder.path("current") });
  assertEquals((await ask(service.port, "/a.txt")).body, "one");
  folder.link("2", "next");
  Deno.renameSync(folder.path("next"), folder.path("current"));
  await pause(1_100); // what was known may be kept for a second
  assertEquals((await ask(service.port, "/a.txt")).body, "two");
  assertEquals((await ask(service.port, "/b.txt")).body, "new");
  assertEquals((await ask(service.port, "/")).status, 200);
});

/** A slow reader takes a second or more; these limits are far from it on a busy machine (ms). */
const LONG = { linger: 60_000, shutdown: 60_000 };

Deno.test(
  "RFC 9112 §9.6: unread input does not destroy the response at the end of the service",
  async () => {
    using folder = new Folder({ "huge.bin": new Uint8Array(HUGE).fill(0x61) });
    await using service = start({ root: folder.root, timeouts: LONG });
    using client = await Client.open(service.port);
    await client.send(request("/huge.bin"));
    await client.until(/\r\n\r\n/);
    await client.send(request("/huge.bin"));
    const done = service.stop();
    assertEquals(readAnswers(await readSlowly(client))[0]?.body.length, HUGE);
    client[Symbol.dispose]();
    await done;
  },
);

for (const version of ["1.0", "1.1"]) {
  Deno.test(
    `RFC 9112 §9.6: unread input does not destroy the response to HTTP/${version} with close`,
    async () => {
      using folder = new Folder({ "huge.bin": new Uint8Array(HUGE).fill(0x61) });
      await using service = start({ root: folder.root, timeouts: LONG });
      using client = await Client.open(service.port);
      await client.send(`GET /huge.bin HTTP/${version}\r\n${H}Connection: close\r\n\r\n`);
      await client.until(/\r\n\r\n/);
      await client.send("\r\n"); // as some clients do
      assertEquals(readAnswers(await readSlowly(client))[0]?.body.length, HUGE);
    },
  );
}

Deno.test(
  { name: "program: a stuck reader of the log does not keep it", ignore: !UNIX },
  async () => {
    using folder = new Folder();
    const path = folder.path("log");
    await new Deno.Command("mkfifo", { args: [path] }).output();
    const opening = Deno.open(path);
    await using program = await startServer(["-p0", WWW], {
      by: ["sh", "-c", 'exec "$@" > "$0"', path],
    });
    using _stuck = await opening; // and never read
    const text = request("/hello.txt").repeat(1_999) + request("/end.txt", ["Connection: close"]);
    assertEquals(readAnswers(await talk(program.port, [text])).length, 2_000);
    const begun = performance.now();
    const last = setTimeout(() => program.stop("SIGKILL"), 9_000);
    const { code } = await program.stop("SIGTERM");
    clearTimeout(last);
    assert(performance.now() - begun < 6_000);
    assertEquals(code, 0);
  },
);

/** A terminal, as util-linux makes one. */
const hasTerminal = UNIX && await new Deno.Command("script", { args: ["--version"] }).output()
  .then(({ success }) => success, () => false);

/** What it shows there, by arguments and colours. */
const TERMINALS: readonly [args: string, colour: boolean, want: RegExp][] = [
  ["", false, /serving \S*www[^]*Local +http:\/\/localhost:\d+\/[^]*--lan[^]*Ctrl-C/],
  ["-b 0.0.0.0", false, /Local +http:[^]*Network +http:\/\/[^]*Anyone on this network can read/],
  ["--lan", false, /Local +http:[^]*Network +http:\/\/[^]*Anyone on this network can read/],
  // deno-lint-ignore no-control-regex
  ["", true, /\x1b\[\d+m/],
];

for (const [args, colour, want] of TERMINALS) {
  const name = `program: on a terminal, ${args} ${colour ? "in colour" : "NO_COLOR"}`;
  Deno.test({ name, ignore: !hasTerminal }, async () => {
    const command = `timeout 5 ${Deno.execPath()} run -A ${ROOT}http_server.ts -p0 ${args} ${WWW}`;
    const child = new Deno.Command("script", {
      args: ["-qefc", command, "/dev/null"],
      env: { NO_COLOR: colour ? "" : "1" },
      stdin: "null",
      stdout: "piped",
    }).spawn();
    let shown = "";
    for await (const octets of child.stdout) {
      shown += new TextDecoder().decode(octets);
      if (want.test(shown)) break;
    }
    child.kill();
    await child.status;
    assertMatch(shown, want);
    if (!colour) assert(!shown.includes("\x1b["), JSON.stringify(shown));
  });
}

Deno.test("freshness: a change that keeps size and modification time is seen after two seconds", async () => {
  using folder = new Folder({ "a.txt": "old" });
  await pause(3_100); // Deno tells the time of a status change in whole seconds
  await using service = start({ root: folder.root });
  using client = await Client.open(service.port);
  await client.send(request("/a.txt"));
  await client.until(/old$/);
  folder.write("a.txt", "new");
  await client.send(request("/a.txt", ["X-Other: 1"]), request("/a.txt"));
  await client.until(/new[^]*new$/);
});

Deno.test("cache: a response that is kept gets the Date of now", async () => {
  for (const given of [undefined, "yesterday"]) {
    await using service = start({ fields: given === undefined ? [] : [["Date", given]] });
    using client = await Client.open(service.port);
    const dates = new Set<string>();
    for (const begun = Date.now(); Date.now() - begun < 2_100;) {
      client.text = "";
      await client.send(request("/hello.txt"));
      await client.until(/Hello/);
      const [, date = ""] = /\r\nDate: (.*)\r\n/.exec(client.text) ?? [];
      dates.add(date);
      if (given === undefined) assert(Math.abs(Date.parse(date) - Date.now()) < 1_500, date);
      await pause(15);
    }
    assert(given === undefined ? dates.size >= 2 : dates.size === 1);
  }
});
