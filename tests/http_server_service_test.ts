/**
 * The service: many clients at once, broken ones, the end of the service, and the log.
 *
 * @module
 */
import { assert, assertEquals, assertMatch } from "jsr:@std/assert@^1.0.19";
import {
  type Exchange,
  formatExchange,
  formatSummary,
  serve,
  type ServeOptions,
} from "../http_server.ts";
import { Fields } from "../protocol.ts";
import { LOCAL } from "./helpers.ts";
import {
  ask,
  askKept,
  basic,
  Client,
  Folder,
  H,
  HUGE,
  LARGE,
  pause,
  readAnswers,
  readSlowly,
  request,
  type Service,
  start,
  systemError,
  talk,
  WWW,
} from "./http_server_helpers.ts";

for (const many of [1, 2]) {
  Deno.test(`connections: at most --max-connections, others wait; listeners: ${many}`, async () => {
    const ending = new AbortController();
    const listeners = Array.from({ length: many }, () => Deno.listen(LOCAL));
    const done = serve(listeners, { root: WWW, signal: ending.signal, maxConnections: 2 });
    const ports = listeners.map(({ addr }) => addr.port);
    const open = (at: number) => Client.open(ports[at % many] ?? 0);
    const first = await open(0);
    await first.send("GET /hello.txt HTTP/1.1\r\n"); // takes its place until the request ends
    const clients = [await open(1), await open(2), await open(3)];
    for (const client of clients) await client.send(request("/end.txt", ["Connection: close"]));
    // One of the three has the second place, and then the others: one after the other.
    const answered = await Promise.all(clients.map((client) => client.until()));
    for (const text of answered) assertMatch(text, /the end/);
    const holders = [await open(0), await open(1), await open(2)];
    for (const holder of holders) await holder.send(request("/hello.txt"));
    await pause(150);
    const got = await Promise.all(holders.map(async (holder) => {
      const reading = holder.until(/Hello/, 60_000);
      return await Promise.race([reading, pause(50).then(() => "nothing yet")]);
    }));
    const served = got.filter((text) => text.includes("Hello")).length;
    assertEquals(served, 1, "the first and one more");
    first[Symbol.dispose]();
    for (const client of [...clients, ...holders]) client[Symbol.dispose]();
    ending.abort();
    await done;
  });
}

Deno.test("connections: 300 at once, and each gets what it asked for", async () => {
  await using service = start();
  const names = ["hello.txt", "end.txt", "digits.txt", "empty.txt", "about", "folder/"];
  const bodies = new Map<string, string>();
  for (const name of names) bodies.set(name, (await ask(service.port, `/${name}`)).body);
  await Promise.all(Array.from({ length: 300 }, async (_, at) => {
    const name = names[at % names.length] ?? "";
    for (let round = 0; round < 3; round++) {
      assertEquals((await ask(service.port, `/${name}?${at}`)).body, bodies.get(name));
    }
  }));
});

Deno.test("connections: 40 clients send the same request at once, and some leave", async () => {
  using folder = new Folder({ "small.txt": "small", "large.bin": LARGE });
  await using service = start({ root: folder.root });
  const wanted = { "/small.txt": "small", "/large.bin": LARGE, "/nothing": "404 Not Found\n" };
  for (const [target, body] of Object.entries(wanted)) {
    for (let round = 0; round < 3; round++) {
      const text = request(`${target}?${round}`, ["Connection: close"]);
      const clients = await Promise.all(
        Array.from({ length: 40 }, () => Client.open(service.port)),
      );
      await Promise.all(clients.map((client) => client.send(text)));
      for (const client of clients.splice(0, 10)) client[Symbol.dispose]();
      for (const client of clients) {
        assert(readAnswers(await client.until())[0]?.body === body, target);
        client[Symbol.dispose]();
      }
    }
  }
});

Deno.test("connections: resets before and after accept end no other connection", async () => {
  const { connect } = await import("node:net");
  await using service = start();
  for (const text of ["", "GET / HT", request("/hello.txt"), request("/hello.txt").repeat(50)]) {
    for (let count = 0; count < 20; count++) {
      await new Promise<void>((resolve) => {
        const socket = connect(service.port, "127.0.0.1", () => {
          if (text !== "") socket.write(text);
          socket.resetAndDestroy();
        });
        socket.on("error", () => {}).on("close", () => resolve());
      });
    }
    assertMatch((await ask(service.port, "/hello.txt")).body, /Hello/);
  }
});

Deno.test("connections: clients that left before accept cause no delay", async () => {
  const { connect } = await import("node:net");
  const listener = Deno.listen(LOCAL);
  for (let count = 0; count < 15; count++) {
    await new Promise<void>((resolve) => {
      const socket = connect(listener.addr.port, "127.0.0.1", () => socket.resetAndDestroy());
      socket.on("error", () => {}).on("close", () => resolve());
    });
  }
  await using service = start({}, listener);
  const begun = performance.now();
  assertMatch((await ask(service.port, "/hello.txt")).body, /Hello/);
  assert(performance.now() - begun < 1_500, "some milliseconds are wanted, not seconds");
});

Deno.test("connections: a client that leaves in the middle of a large answer", async () => {
  using folder = new Folder({ "huge.bin": new Uint8Array(HUGE), "end.txt": "the end\n" });
  await using service = start({ root: folder.root });
  for (let count = 0; count < 5; count++) {
    using client = await Client.open(service.port);
    await client.send(request("/huge.bin"));
    await client.until(/\r\n\r\n/);
  }
  assertEquals((await ask(service.port, "/end.txt")).body, "the end\n");
  const { requests } = await service.stop();
  assertEquals(requests, 6);
  const cut = service.exchanges.filter(({ due }) => due === HUGE);
  assertEquals(cut.length, 5);
  assert(cut.every(({ sent }) => sent < HUGE));
});

Deno.test("connections: after a request with close the place is free at once", async () => {
  await using service = start({ maxConnections: 1, timeouts: { linger: 60_000 } });
  using first = await Client.open(service.port);
  await first.send(request("/hello.txt", ["Connection: close"]));
  assertMatch(await first.until(), /Hello/); // and does not close its side
  assertMatch((await ask(service.port, "/end.txt")).body, /the end/);
});

Deno.test("RFC 9112 §9.6: what follows a request with close does not destroy the responses", async () => {
  using folder = new Folder({ "a.bin": new Uint8Array(131_072) });
  await using service = start({ root: folder.root });
  using client = await Client.open(service.port);
  const last = request("/a.bin", ["Connection: close"]);
  const sending = client.send(request("/a.bin").repeat(59), last + "x".repeat(300_000));
  await pause(100); // more is waiting now than the client has room for
  const answers = readAnswers(await readSlowly(client));
  assertEquals(answers.map(({ body }) => body.length), Array(60).fill(131_072));
  client[Symbol.dispose]();
  await sending;
});

Deno.test("the end: idle and silent connections are closed at once", async () => {
  await using service = start();
  using idle = await Client.open(service.port);
  using silent = await Client.open(service.port);
  await askKept(idle);
  const begun = performance.now();
  const summary = await service.stop();
  assert(performance.now() - begun < 600, "0.2 s are wanted");
  assertEquals(summary, { requests: 1, sent: 14 });
  await idle.until();
  await silent.until();
  assertEquals(silent.text, "");
});

Deno.test("the end: a response in progress is sent whole, nothing new is accepted", async () => {
  using folder = new Folder({ "huge.bin": new Uint8Array(HUGE).fill(0x61) });
  await using service = start({ root: folder.root });
  using client = await Client.open(service.port);
  await client.send(request("/huge.bin") + request("/huge.bin"));
  await client.until(/\r\n\r\n/);
  const done = service.stop();
  await pause(20);
  const refused = await Client.open(service.port).then(
    (late) => late.conn.close(),
    () => "refused",
  );
  assertEquals(refused, "refused");
  const [answer, ...others] = readAnswers(await client.until());
  client[Symbol.dispose]();
  assertEquals([answer?.body.length, others], [HUGE, []]);
  assertEquals((await done).sent, HUGE);
});

Deno.test("the end: a signal that is aborted before the start", async () => {
  const listener = Deno.listen(LOCAL);
  const signal = AbortSignal.abort();
  assertEquals(await serve([listener], { root: WWW, signal }), { requests: 0, sent: 0 });
});

Deno.test("the end: a connection that waits for a place is closed at once", async () => {
  using folder = new Folder({ "huge.bin": new Uint8Array(HUGE) });
  const timeouts = { shutdown: 60_000 };
  await using service = start({ root: folder.root, maxConnections: 1, timeouts });
  using client = await Client.open(service.port);
  await client.send(request("/huge.bin"));
  await client.until(/\r\n\r\n/);
  // It waits for a signal, and not for the next look at the idle connections.
  using waiting = await Client.open(service.port);
  const { setTimeout } = globalThis;
  globalThis.setTimeout =
    ((call: () => void, ms: number) =>
      setTimeout(call, ms < 1_000 ? 600_000 : ms)) as typeof setTimeout;
  try {
    await waiting.send(request("/huge.bin"));
    await new Promise((resolve) => setTimeout(resolve, 150));
  } finally {
    globalThis.setTimeout = setTimeout;
  }
  const done = service.stop();
  assertEquals(await waiting.until(), "");
  assertEquals(readAnswers(await client.until())[0]?.body.length, HUGE);
  client[Symbol.dispose]();
  await done;
});

Deno.test("the end: a listener that its owner closes ends the service", async () => {
  const listener = Deno.listen(LOCAL);
  const done = serve([listener], { root: WWW, signal: new AbortController().signal });
  assertMatch((await ask(listener.addr.port, "/hello.txt")).body, /Hello/);
  listener.close();
  assertEquals(await done, { requests: 1, sent: 14 });
});

// ---- Accepting ---------------------------------------------------------

/** Serves a listener that gives these errors, and null for a connection; returns the pauses (ms). */
async function pausesAfter(outcomes: readonly (Error | null)[]): Promise<number[]> {
  await serve([], { root: WWW, signal: AbortSignal.abort() }); // loads node:fs, which has a timer
  const listener = Deno.listen(LOCAL);
  const { port } = listener.addr;
  const accept = listener.accept.bind(listener);
  const left = [...outcomes];
  listener.accept = async () => {
    const outcome = left.shift();
    if (outcome === undefined) ending.abort();
    if (outcome instanceof Error) throw outcome;
    if (outcome === null) (await Deno.connect({ hostname: "127.0.0.1", port })).close();
    return await accept();
  };
  const ending = new AbortController();
  const pauses: number[] = [];
  const { setTimeout } = globalThis;
  globalThis.setTimeout = ((call: () => void, ms: number) => {
    if (ms <= 2_000) pauses.push(ms); // others are the limits of a connection
    return setTimeout(call, ms <= 2_000 ? 0 : ms);
  }) as typeof setTimeout;
  try {
    await serve([listener], { root: WWW, signal: ending.signal });
  } finally {
    globalThis.setTimeout = setTimeout;
  }
  return pauses;
}

Deno.test("accepting: without descriptors, again after 5 ms, then twice as long, up to 1 s", async () => {
  const pauses = await pausesAfter(Array(10).fill(systemError("EMFILE")));
  assertEquals(pauses, [5, 10, 20, 40, 80, 160, 320, 640, 1_000, 1_000]);
});

Deno.test("accepting: a connection ends the longer pauses", async () => {
  const full = systemError("ENFILE");
  assertEquals(await pausesAfter([full, full, full, null, full, full]), [5, 10, 20, 5, 10]);
});

Deno.test("accepting: no pause after connections that were reset", async () => {
  const codes = ["ENOTCONN", "ECONNABORTED", "ECONNRESET"];
  assertEquals(await pausesAfter(codes.map(systemError)), []);
});

// ---- The log -----------------------------------------------------------

/** Requests that want to be more than a line of a log. */
const FORGERIES = [
  'GET /"quoted" HTTP/1.1',
  "GET /\\x22 HTTP/1.1",
  "\x1b[2JGET / HTTP/1.1",
  "\x1b[31mX \x1b[2J\x07 HTTP/1.1",
  "GET /\x9b31m HTTP/1.1",
  "GET /%1b%5b2J HTTP/1.1",
  "GET /\u00c2\u009b HTTP/1.1",
  "GET /\xe2\x80\xae HTTP/1.1",
  "GET /a\rb HTTP/1.1",
  "GET /a\0b HTTP/1.1",
  "\x1b]0;title\x07",
];

/** Fields with what a log must escape. */
const HOSTILE = [
  'User-Agent: a"b\\c',
  'Referer: http://a.test/"\xff',
  "Authorization: Basic YSJcYjpj",
];

const LOGGED = [
  ...FORGERIES.map((line) => `${line}\r\n${H}${HOSTILE.join("\r\n")}\r\n\r\n`),
  request("/hello.txt", [...HOSTILE, "Connection: close"]),
  request("/digits.txt", [...HOSTILE, "Range: bytes=0-1", "Connection: close"]),
  request(`/hello.txt?"\x1b`, HOSTILE),
  request("/hello.txt", ["Authorization: Bearer \xff", "Connection: close"]),
  request("/hello.txt", ["Authorization: Basic IiBcIGE6Yg==", "Connection: close"]),
];

for (const text of LOGGED) {
  Deno.test(`log: one line without raw octets for ${JSON.stringify(text.slice(0, 160))}`, async () => {
    await using service = start();
    const now = new Date("2026-11-22T13:14:15Z");
    await talk(service.port, [text], true);
    const exchange = service.exchanges.at(-1);
    assert(exchange);
    const combined = formatExchange(exchange, "combined", now);
    assertMatch(
      combined,
      /^127\.0\.0\.1 - \S+ \[22\/Nov\/2026:13:14:15 \+0000\] "(?:[^"\\]|\\.)*" \d{3} \d+ "(?:[^"\\]|\\.)*" "(?:[^"\\]|\\.)*"$/,
    );
    const json = formatExchange(exchange, "json", now);
    assertEquals(JSON.parse(json).status, exchange.status);
    for (const line of [combined, json, formatExchange(exchange, "short", now)]) {
      // deno-lint-ignore no-control-regex
      assert(!/[\x00-\x1f\x7f-\x9f\u202e]/.test(line), JSON.stringify(line));
    }
  });
}

Deno.test("log: a quote, a backslash and a control octet are escaped as by Apache", async () => {
  await using service = start();
  await talk(service.port, ['GET /a"\\\x1b HTTP/1.1\r\n\r\n']);
  const [exchange] = service.exchanges;
  assert(exchange);
  for (const format of ["short", "combined"] as const) {
    assertMatch(formatExchange(exchange, format), / \/a\\"\\\\\\x1b /);
  }
});

Deno.test("log: the three formats", async () => {
  await using service = start();
  const fields = [
    "User-Agent: tester/1",
    "Referer: http://a.test/",
    "Authorization: Basic YW5uOmI=",
  ];
  await ask(service.port, "/digits.txt?q", [...fields, "Range: bytes=2-5"]);
  const [exchange] = service.exchanges;
  assert(exchange);
  assertEquals([exchange.sent, exchange.status, exchange.remote], [4, 206, "127.0.0.1"]);
  const now = new Date("2026-11-22T13:14:15Z");
  assertEquals(
    formatExchange(exchange, "combined", now),
    '127.0.0.1 - ann [22/Nov/2026:13:14:15 +0000] "GET /digits.txt?q HTTP/1.1" 206 4 ' +
      '"http://a.test/" "tester/1"',
  );
  assertEquals(JSON.parse(formatExchange({ ...exchange, ms: 3.5 }, "json", now)), {
    time: "2026-11-22T13:14:15.000Z",
    remote: "127.0.0.1",
    method: "GET",
    target: "/digits.txt?q",
    user: "ann",
    referer: "http://a.test/",
    agent: "tester/1",
    status: 206,
    sent: 4,
    due: 4,
    ms: 3.5,
  });
});

/** Exchanges that differ from a first one, and their lines in the short format. */
const SHORT_LINES: readonly [change: Partial<Exchange>, line: string][] = [
  [{}, "13:14:15  200  GET   /a.txt                                   4 B     3 ms  127.0.0.1"],
  [
    { ms: 2.5 },
    "13:14:15  200  GET   /a.txt                                   4 B     3 ms  127.0.0.1",
  ],
  [
    { ms: 12_345.6 },
    "13:14:15  200  GET   /a.txt                                   4 B 12346 ms  127.0.0.1",
  ],
  [
    { sent: 0, due: 0 },
    "13:14:15  200  GET   /a.txt                                     –     3 ms  127.0.0.1",
  ],
  [
    { sent: 0, due: 1, cut: "client left" },
    "13:14:15  200! GET   /a.txt  client left at 0 B of 1 B        0 B     3 ms  127.0.0.1",
  ],
  [
    { sent: 1_000, due: 2_000_000, cut: "client left" },
    "13:14:15  200! GET   /a.txt  client left at 1 kB of 2 MB      1 kB     3 ms  127.0.0.1",
  ],
  [
    { line: "OPTIONS * HTTP/1.1", status: 204 },
    "13:14:15  204  OPTIONS *                                        4 B     3 ms  127.0.0.1",
  ],
  [
    { line: "PROPFINDS / HTTP/1.1", status: 501 },
    "13:14:15  501  PROPFIND /                                        4 B     3 ms  127.0.0.1",
  ],
  [
    { line: "BAD", status: 400 },
    "13:14:15  400  BAD   BAD                                      4 B     3 ms  127.0.0.1",
  ],
];

for (const [change, want] of SHORT_LINES) {
  Deno.test(`log: the short line of ${JSON.stringify(change)}`, () => {
    const exchange: Exchange = {
      remote: "127.0.0.1",
      line: "GET /a.txt HTTP/1.1",
      fields: new Fields(),
      status: 200,
      sent: 4,
      due: 4,
      ms: 3,
      ...change,
    };
    assertEquals(formatExchange(exchange, "short", new Date(2026, 10, 22, 13, 14, 15)), want);
  });
}

for (const [status, ranged] of [[206, "/a.txt  0-1  "], [200, "/a.txt  "]] as const) {
  Deno.test(`log: a Range field is shown with ${status}: ${status === 206}`, () => {
    const fields = new Fields();
    fields.appendLine("Range: BYTES=0-1");
    const line = "GET /a.txt HTTP/1.1";
    const exchange = { remote: "::1", line, fields, status, sent: 2, due: 2, ms: 1 };
    assertMatch(formatExchange(exchange, "short"), new RegExp(` GET   ${ranged} `));
  });
}

Deno.test("log: a user name is not logged with 401, because it was not checked", async () => {
  await using service = start({ credentials: "ann:secret" });
  for (const credentials of ["ann:wrong", "ann:secret"]) {
    await ask(service.port, "/hello.txt", [basic(credentials)]);
  }
  const users = service.exchanges.map((exchange) =>
    JSON.parse(formatExchange(exchange, "json")).user
  );
  assertEquals(users, ["", "ann"]);
});

/** Requests that are not understood, and the request line in the log. */
const UNPARSED: readonly [rule: string, sent: string, line: string][] = [
  ["a request line that is cut", "GET /hel", "GET /hel"],
  ["two lines that are cut", "GET / HTTP/1.1\r\nHos", "GET / HTTP/1.1"],
  ["a request line that is too long", `GET /${"a".repeat(9_000)}`, `GET /${"a".repeat(95)}`],
  ["nothing but an empty line and an end", "\r\n\r\n\r\n\r\n\r\n", ""],
];

for (const [rule, sent, line] of UNPARSED) {
  Deno.test(`log: the request line of ${rule}`, async () => {
    await using service = start();
    await talk(service.port, [sent], true);
    assertEquals(service.exchanges.map((exchange) => exchange.line), [line]);
  });
}

Deno.test("log: an IPv4 client of a listener on :: has its IPv4 address", async () => {
  await using service = start({}, Deno.listen({ hostname: "::", port: 0 }));
  await ask(service.port, "/hello.txt");
  assertEquals(service.exchanges[0]?.remote, "127.0.0.1");
});

/** Durations (ms) of a service, and the last line. */
const SUMMARIES: readonly [ms: number, line: string][] = [
  [1, "Stopped after 1s: 3 requests, 1 kB sent.\n"],
  [1_000, "Stopped after 1s: 3 requests, 1 kB sent.\n"],
  [1_001, "Stopped after 2s: 3 requests, 1 kB sent.\n"],
  [3_600_000, "Stopped after 1h: 3 requests, 1 kB sent.\n"],
  [90_061_000, "Stopped after 1d 1h 1m 1s: 3 requests, 1 kB sent.\n"],
];

for (const [ms, line] of SUMMARIES) {
  Deno.test(`summary: two threads after ${ms} ms`, () => {
    const summaries = [{ requests: 1, sent: 200 }, { requests: 2, sent: 800 }];
    assertEquals(formatSummary(summaries, ms), line);
  });
}

/** Ends a response in the middle; returns the reason that the log gives. */
async function reasonFor(
  end: (client: Client, folder: Folder, service: Service) => unknown,
  timeouts: ServeOptions["timeouts"] = {},
): Promise<string | undefined> {
  using folder = new Folder({ "large.bin": new Uint8Array(HUGE) });
  await using service = start({ root: folder.root, timeouts });
  using client = await Client.open(service.port);
  await client.send(request("/large.bin"));
  await client.read();
  await end(client, folder, service);
  while (service.exchanges.length === 0) await pause(5);
  service.complaints.length = 0; // a file that became shorter is one
  return service.exchanges[0]?.cut;
}

Deno.test("log: a response was cut short because the client left", async () => {
  assertEquals(await reasonFor((client) => client.conn.close()), "client left");
});

Deno.test("log: a response was cut short because the client read too slowly", async () => {
  assertEquals(await reasonFor(() => {}, { write: 200 }), "client read too slowly for 0.2 s");
});

Deno.test("log: a response was cut short because the file became shorter", async () => {
  const reason = await reasonFor(async (client, folder) => {
    Deno.truncateSync(folder.path("large.bin"), 9_000_000);
    await client.until();
  });
  assertEquals(reason, "the file could not be read to its end");
});

Deno.test("log: a response was cut short because the service stopped", async () => {
  const stop = (_client: Client, _folder: Folder, service: Service) => service.stop();
  assertEquals(await reasonFor(stop, { shutdown: 50 }), "server stopped");
});

Deno.test("log: a response was cut short because the client left while the service stopped", async () => {
  const leave = (client: Client, _folder: Folder, service: Service) => {
    service.stop();
    client.conn.close();
  };
  assertEquals(await reasonFor(leave), "client left");
});

Deno.test("log: a response whose first write fails has sent nothing", async () => {
  using folder = new Folder({ "a.bin": new Uint8Array(131_072) });
  await using service = start({ root: folder.root, timeouts: { write: 100 } });
  using client = await Client.open(service.port);
  await client.send(request("/a.bin").repeat(400)); // more than the buffers of the sockets hold
  while (service.exchanges.at(-1)?.cut === undefined) await pause(5);
  const last = service.exchanges.at(-1);
  assertEquals([last?.sent, last?.due, last?.cut], [
    0,
    131_072,
    "client read too slowly for 0.1 s",
  ]);
  const { requests, sent } = await service.stop();
  assertEquals([requests, sent], [service.exchanges.length, (requests - 1) * 131_072]);
});

Deno.test("log: a response that was sent whole has no reason", async () => {
  await using service = start();
  await ask(service.port, "/hello.txt");
  const [exchange] = service.exchanges;
  assert(exchange);
  assertEquals(exchange.cut, undefined);
  assert(!("cut" in JSON.parse(formatExchange(exchange, "json"))));
});

// ---- More connections than are allowed ---------------------------------

/** A service that holds three connections, reached from two addresses. */
async function serveThree(
  body: (v4: number, v6: number) => Promise<void>,
  minIdle = 0,
): Promise<void> {
  const listeners = [Deno.listen(LOCAL), Deno.listen({ hostname: "::1", port: 0 })];
  const ending = new AbortController();
  const options = { root: WWW, signal: ending.signal, maxConnections: 3, timeouts: { minIdle } };
  const done = serve(listeners, options);
  const [v4 = 0, v6 = 0] = listeners.map(({ addr }) => addr.port);
  try {
    await body(v4, v6);
  } finally {
    ending.abort();
    await done;
  }
}

/** True if the connection answers one more request. */
async function isOpen(client: Client): Promise<boolean> {
  client.text = "";
  await client.send(request("/end.txt"));
  return /the end\n/.test(await client.until(/the end\n/));
}

Deno.test("all connections taken: a new one closes the longest idle of the same address", async () => {
  await serveThree(async (v4) => {
    using first = await Client.open(v4);
    using second = await Client.open(v4);
    using third = await Client.open(v4);
    for (const client of [second, first, third]) await askKept(client);
    using fourth = await Client.open(v4);
    assert(await isOpen(fourth));
    assertEquals(await second.until(), second.text); // ends
    assert(await isOpen(first));
    assert(await isOpen(third));
  });
});

Deno.test("all connections taken: the address that holds most loses one", async () => {
  await serveThree(async (v4, v6) => {
    using other = await Client.open(v6, "::1");
    await askKept(other);
    using first = await Client.open(v4);
    await askKept(first);
    using second = await Client.open(v4);
    await askKept(second);
    using fourth = await Client.open(v6, "::1");
    assert(await isOpen(fourth));
    assert(
      await isOpen(other),
      "the other address holds fewer, though its connection idled longest",
    );
    assert(await isOpen(second));
    await first.until();
  });
});

Deno.test("all connections taken: one that has begun a request is not closed", async () => {
  await serveThree(async (v4) => {
    const clients = await Promise.all([1, 2, 3].map(() => Client.open(v4)));
    for (const client of clients) await client.send("GET /hello.txt HTTP/1.1\r\n");
    await pause(50);
    using fourth = await Client.open(v4);
    const waiting = isOpen(fourth);
    for (const client of clients) {
      await client.send("Host: localhost\r\nConnection: close\r\n\r\n");
      assertMatch(await client.until(), /^HTTP\/1.1 200/);
      client[Symbol.dispose]();
    }
    assert(await waiting);
  });
});

Deno.test("all connections taken: one that has just become idle is not closed", async () => {
  await serveThree(async (v4) => {
    const clients = await Promise.all([1, 2, 3].map(() => Client.open(v4)));
    for (const client of clients) await askKept(client);
    using fourth = await Client.open(v4);
    const waiting = isOpen(fourth);
    await pause(150);
    for (const client of clients) assert(await isOpen(client));
    for (const client of clients) client[Symbol.dispose]();
    assert(await waiting);
  }, 60_000);
});

Deno.test("all connections taken: a new one waits until another has been idle for long enough", async () => {
  await serveThree(async (v4) => {
    const clients = await Promise.all([1, 2, 3].map(() => Client.open(v4)));
    for (const client of clients) await askKept(client);
    using fourth = await Client.open(v4);
    assert(await isOpen(fourth));
    for (const client of clients) client[Symbol.dispose]();
  }, 200);
});

Deno.test("trace: both sides without credentials", async () => {
  const lines: string[] = [];
  await using service = start({ trace: (mark, text) => lines.push(`${mark} ${text}`) });
  await ask(service.port, "/hello.txt", [basic("ann:secret"), "A: \xc2\x9b31m"]);
  assert(lines.includes("< GET /hello.txt HTTP/1.1"));
  assert(lines.includes("> HTTP/1.1 200 OK"));
  assert(lines.includes("< Authorization: [credentials]"), lines.join("\n"));
  assert(lines.includes("< A: \u009b31m"), "decoded; what shows it escapes it");
  assert(!lines.some((line) => line.includes("YW5u")));
});
