/**
 * Rows about connections that wait for real time: time limits, a slow reader.
 *
 * @module
 */
import { assert, assertEquals, assertMatch } from "jsr:@std/assert@^1.0.19";
import { TIMEOUTS } from "../http_server.ts";
import { certificate, LOCAL, send, TLS } from "./helpers.ts";
import {
  askKept,
  chunked,
  Client,
  endOf,
  Folder,
  H,
  HUGE,
  pause,
  readAnswers,
  readSlowly,
  request,
  start,
} from "./http_server_helpers.ts";

/** Time limits that are short enough for a test (ms). */
const SHORT = { request: 400, idle: 400, write: 400, linger: 400, shutdown: 400 };

/** Time by which a timer may seem to fire early, because its clock has whole ms (ms). */
const ROUNDING = 5;

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
    const begun = performance.now(); // the time runs from the accept
    using client = await Client.open(service.port);
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
    assert(ms >= SHORT.request - ROUNDING && ms < 8_000, `${ms} ms`);
  });
}

Deno.test("time limits: the header section and the body have the request time limit each", async () => {
  await using service = start({ timeouts: { request: 1_500 } });
  using client = await Client.open(service.port);
  const [head, body] = [request("/end.txt", ["Content-Length: 5"]), "hello"];
  await client.send(head.slice(0, 9));
  await pause(800);
  await client.send(head.slice(9), body.slice(0, 1));
  await pause(800);
  await client.send(body.slice(1));
  assertMatch(await client.until(/the end/), /^HTTP\/1\.1 200 /);
});

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
  const begun = performance.now();
  await client.send("BAD\r\n\r\n");
  for (let broken = false; !broken;) {
    broken = await send(client.conn, ["x"]).then(() => false, () => true);
    await pause(50);
    assert(performance.now() - begun < 8_000);
  }
  assert(performance.now() - begun >= SHORT.linger - ROUNDING);
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
  assert(ms >= SHORT.shutdown - ROUNDING && ms < 8_000, `${ms} ms`);
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
    cached: 60_000,
    linger: 2_000,
    shutdown: 5_000,
  });
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
