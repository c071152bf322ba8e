/**
 * The mail client where a server is silent or slow. These tests wait for real time.
 *
 * @module
 */
import { Wire } from "../protocol.ts";
import { assert, assertEquals, assertStringIncludes } from "jsr:@std/assert@^1.0.19";
import { type MailTimes, TIMES } from "../smtp_client.ts";
import { LOCAL, send } from "./helpers.ts";
import {
  CLEAR,
  converse,
  type Dialogue,
  HI,
  prelude,
  run,
  SENT,
  testDialogues,
} from "./smtp_helpers.ts";

/** Silence. The transcripts are whole. */
const DIALOGUES: Dialogue[] = [
  {
    rule: "RFC 5321 §4.5.3.2.1: without a greeting the client gives up after --timeout",
    talk: "SILENT:",
    args: [...CLEAR, "--timeout", "0.2"],
    code: 75,
    says: "took too long at the greeting\n" +
      "smtp_client: If the port starts with TLS, as 465: --tls implicit\n",
  },
  {
    rule: "RFC 8446 §4: --timeout limits the TLS handshake",
    talk: `${HI}C: STARTTLS\nS: 220 go\nSTILL:`,
    args: ["-t", "bob@example.org", "--timeout", "0.3"],
    code: 75,
    says: "TLS handshake",
  },
];

testDialogues(DIALOGUES, null);

Deno.test("RFC 5321 §4.5.3.2: the default time limits", () => {
  assertEquals(TIMES, { step: 60_000, block: 300_000, end: 600_000, quit: 2000 });
});

Deno.test("RFC 5321 §4.5.3.2: --timeout limits a whole reply, however slowly its lines come", async () => {
  using listener = Deno.listen(LOCAL);
  const serving = listener.accept().then(async (conn) => {
    try {
      for (;;) {
        await send(conn, ["220-x\r\n"]);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    } catch {
      conn.close(); // the client is gone
    }
  });
  const args = ["--check", "--server", `127.0.0.1:${listener.addr.port}`, "--timeout", "0.3"];
  assertEquals((await run(args)).code, 75);
  await serving;
});
Deno.test("RFC 5321 §4.1.1.10: --timeout limits the wait for the reply to QUIT", async () => {
  const talk = `${prelude("none", [])}\n${SENT.replace(/\n[^\n]*$/, "\nSILENT:")}`;
  const args = ["-t", "bob@example.org", "--tls", "none", "--timeout", "0.3"];
  const start = performance.now();
  await converse({ rule: "", talk, args, code: 0 }, null, (text) => [text]);
  assert(performance.now() - start < 1500);
});

Deno.test("RFC 5321 §4.5.3.2.6: --timeout limits the wait for the reply to the final dot", async () => {
  const talk = `${prelude("none", [])}\n${SENT.split("\nS: 250 2.0.0")[0]}\nSILENT:`;
  const args = ["-t", "bob@example.org", "--tls", "none", "--timeout", "0.3"];
  const start = performance.now();
  const says = "took too long at the end of the message, which may have been delivered";
  await converse({ rule: "", talk, args, code: 75, says }, null, (text) => [text]);
  assert(performance.now() - start < 5000);
});

/** Limits of the steps, and what becomes of a mail whose final dot is answered after 300 ms. */
const DOT_LIMITS: [times: Partial<MailTimes>, code: number][] = [
  [{ block: 100, end: 20_000 }, 0],
  [{ end: 100 }, 75],
];

for (const [limits, code] of DOT_LIMITS) {
  Deno.test(`RFC 5321 §4.5.3.2.6: the limit for the final dot is its own: ${limits.end} ms`, async () => {
    using listener = Deno.listen(LOCAL);
    const serving = listener.accept().then(async (conn) => {
      using wire = new Wire(conn);
      await wire.write("220 mx\r\n");
      for (const reply of ["250 mx", "250 ok", "250 ok", "354 go"]) {
        await wire.readLine(1000);
        await wire.write(`${reply}\r\n`);
      }
      while (await wire.readLine(1000) !== ".");
      await new Promise((resolve) => setTimeout(resolve, 300));
      await wire.write("250 ok\r\n");
      await wire.readLine(1000);
    }).catch(() => {});
    const server = ["--server", `127.0.0.1:${listener.addr.port}`, "--tls", "none"];
    const mail = ["-f", "a@x.example", "-t", "b@x.example", "-m", "x"];
    const result = await run([...server, ...mail], { times: { ...TIMES, quit: 100, ...limits } });
    assertEquals(result.code, code, result.stderr);
    await serving;
  });
}

/** Runs a mail of 16 MB against a server that reads `size` octets each `pause` ms, then stops. */
async function sendSlowly(
  times: Partial<MailTimes>,
  reads: number,
  pause: number,
  others: string[] = [],
) {
  using listener = Deno.listen(LOCAL);
  const stop = Promise.withResolvers<void>();
  const serving = listener.accept().then(async (conn) => {
    using wire = new Wire(conn);
    await wire.write("220 mx\r\n");
    for (const reply of ["250 mx", "250 ok", "250 ok", "354 go"]) {
      await wire.readLine(1000);
      await wire.write(`${reply}\r\n`);
    }
    const block = new Uint8Array(4 << 20);
    for (let left = reads; left > 0; left--) {
      for (let read = 0; read < block.length;) read += await wire.readInto(block.subarray(read));
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
    if (reads > 0) {
      while (await wire.readLine(1000) !== ".");
      await wire.write("250 ok\r\n");
    } else await stop.promise;
  }).catch(() => {});
  const eml = `Date: 1\nMessage-ID: 2\n\n${`${"x".repeat(79)}\n`.repeat(200_000)}`;
  const args = ["--server", `127.0.0.1:${listener.addr.port}`, "--tls", "none", "--eml", "-"];
  const envelope = ["-f", "a@x.example", "-t", "b@x.example"];
  const result = await run([...args, ...envelope, ...others], {
    stdin: eml,
    times: { ...TIMES, ...times },
  });
  stop.resolve();
  await serving;
  return result;
}

Deno.test("RFC 5321 §4.5.3.2.5: a receiver that is slow but steady gets the message", async () => {
  const { code, stderr } = await sendSlowly({ step: 200, block: 3000, end: 3000 }, 3, 400);
  assertEquals(code, 0, stderr);
});

Deno.test("RFC 5321 §4.5.3.2.5: a receiver that stops is given up after the block limit", async () => {
  const { code, stderr } = await sendSlowly({ block: 300 }, 0, 0);
  assertEquals(code, 75, stderr);
  assertStringIncludes(stderr, "took too long at the message");
});

Deno.test("RFC 5321 §4.5.3.2.5: --timeout limits the wait for a part of the message", async () => {
  const { code, stderr } = await sendSlowly({}, 0, 0, ["--timeout", "0.3"]);
  assertEquals(code, 75, stderr);
});

Deno.test("RFC 5321 §4.1.1.10: the limit for QUIT is its own", async () => {
  using listener = Deno.listen(LOCAL);
  const serving = listener.accept().then(async (conn) => {
    using wire = new Wire(conn);
    await wire.write("220 mx\r\n");
    await wire.readLine(100);
    await wire.write("250 mx\r\n");
    while (await wire.fill().catch(() => 0)) wire.skip(wire.buffered.length);
  });
  const args = ["--check", "--tls", "none", "--server", `127.0.0.1:${listener.addr.port}`];
  const start = performance.now();
  const { code } = await run(args, { times: { ...TIMES, quit: 300 } });
  assertEquals(code, 0);
  assert(performance.now() - start < 5000);
  await serving;
});

Deno.test("RFC 5321 §4.5.3.2: --timeout limits the connection attempt", async () => {
  using listener = Deno.listen({ ...LOCAL, tcpBacklog: 0 }); // when it is full, SYNs are dropped
  const { hostname, port } = listener.addr;
  const waiting: Deno.Conn[] = [];
  try {
    for (;;) waiting.push(await Deno.connect({ hostname, port, signal: AbortSignal.timeout(200) }));
  } catch {
    const args = ["--check", "--tls", "none", "--server", `${hostname}:${port}`];
    const { code, stderr } = await run([...args, "--timeout", "0.3"]);
    assertEquals(code, 68);
    assertStringIncludes(stderr, `Cannot connect to 127.0.0.1, port ${port}: no answer`);
  }
  for (const conn of waiting) conn.close();
});
