/**
 * `Wire` on a connection that follows a script: how much it reads and writes at a time, when it
 * sets a timer, and what it does to the connection. `protocol_test.ts` uses real sockets.
 *
 * @module
 */
import { assertEquals, assertRejects, assertThrows } from "jsr:@std/assert@^1.0.19";
import {
  ClosedError,
  DeadlineError,
  fromByteString,
  LimitError,
  MalformedError,
  toByteString,
  Wire,
  type WireOptions,
} from "../protocol.ts";

/** A connection that reads what its steps say, and notes what is done to it. */
class ScriptedConn {
  /** What was done, in order: `read 8`, `write abc`, `closeWrite`, `close`. */
  readonly log: string[] = [];
  /** Maximum number of octets that one write takes. */
  maxWrite = Infinity;
  /** Fault of all writes. */
  fault: Error | undefined;
  readonly #steps: (string | Error | null)[];
  #fail: (error: Error) => void = () => {};

  constructor(...steps: (string | Error | null)[]) {
    this.#steps = steps;
  }

  async read(target: Uint8Array): Promise<number | null> {
    this.log.push(`read ${target.length}`);
    const step = this.#steps.shift();
    if (step === undefined) return await new Promise((_, reject) => this.#fail = reject);
    if (step instanceof Error) throw step;
    if (step === null) return null;
    const octets = fromByteString(step).subarray(0, target.length);
    if (step.length > octets.length) this.#steps.unshift(step.slice(octets.length));
    target.set(octets);
    return octets.length;
  }

  // deno-lint-ignore require-await
  async write(octets: Uint8Array): Promise<number> {
    if (this.fault) throw this.fault;
    const written = octets.subarray(0, this.maxWrite);
    this.log.push(`write ${toByteString(written)}`);
    return written.length;
  }

  async closeWrite(): Promise<void> {
    await Promise.resolve(); // a close that does not wait comes first
    this.log.push("closeWrite");
    if (this.fault) throw this.fault;
  }

  [Symbol.dispose](): void {
    this.log.push("close");
    this.#fail(new Deno.errors.BadResource("closed"));
  }
}

/** Makes a wire on a scripted connection. */
function wireOn(conn: ScriptedConn, options?: WireOptions): Wire {
  return new Wire(conn as unknown as Deno.Conn, options);
}

/** Timers that are over when the test says so. */
class Timers {
  /** The delay of each timer that was started, in order. */
  readonly delays: number[] = [];
  /** Number of timers that were stopped. */
  stopped = 0;
  #call: () => void = () => {};

  readonly timer = (ms: number, call: () => void): () => void => {
    this.delays.push(ms);
    this.#call = call;
    return () => void this.stopped++;
  };

  /** Ends the time of the last timer. */
  fire(): void {
    this.#call();
  }
}

/** Runs with a clock that stands still unless it is set. */
function withClock(run: (setTime: (ms: number) => void) => void): void {
  const { now } = performance;
  let time = 1000;
  performance.now = () => time;
  try {
    run((ms) => time = ms);
  } finally {
    performance.now = now;
  }
}

// ---- Reading -------------------------------------------------------------

Deno.test("Wire: the receive buffer begins with 2048 octets", async () => {
  const conn = new ScriptedConn("a".repeat(3000));
  using wire = wireOn(conn);
  assertEquals(await wire.fill(), 2048);
  assertEquals(conn.log, ["read 2048"]);
});

Deno.test("Wire: a buffer that is all read is used from its start", async () => {
  const conn = new ScriptedConn("abcde", "fgh");
  using wire = wireOn(conn, { buffer: 8 });
  await wire.fill();
  wire.skip(5);
  await wire.fill();
  assertEquals(conn.log, ["read 8", "read 8"]);
  assertEquals(toByteString(wire.buffered), "fgh");
});

Deno.test("Wire: a read goes on where the last one ended", async () => {
  const conn = new ScriptedConn("abcde", "fghi");
  using wire = wireOn(conn, { buffer: 8 });
  await wire.fill();
  wire.skip(4);
  await wire.fill();
  assertEquals(conn.log, ["read 8", "read 3"]);
  assertEquals(toByteString(wire.buffered), "efgh");
});

for (const [unread, room] of [[8, 8], [5, 5], [4, 4], [3, 5], [1, 7]] as const) {
  const skipped = 8 - unread;
  Deno.test(`Wire: a full buffer of 8 with ${unread} unread octets reads ${room} more`, async () => {
    const text = "abcdefgh";
    const conn = new ScriptedConn(text, "0123456789");
    using wire = wireOn(conn, { buffer: 8 });
    await wire.fill();
    wire.skip(skipped);
    assertEquals(wire.available, unread);
    await wire.fill();
    assertEquals(conn.log, ["read 8", `read ${room}`]); // twice the unread if that is more than 8
    assertEquals(toByteString(wire.buffered), text.slice(skipped) + "0123456789".slice(0, room));
    assertEquals(wire.available, unread + room);
    assertEquals(wire.received, 8 + room);
  });
}

Deno.test("readLine: a line as long as the limit without its end needs no further read", async () => {
  const conn = new ScriptedConn("a".repeat(16));
  using wire = wireOn(conn);
  const { message } = await assertRejects(() => wire.readLine(16), LimitError);
  assertEquals(message, "Line is longer than 16 octets");
  assertEquals(conn.log, ["read 2048"]);
});

Deno.test("readLine: one octet less than the limit without an end waits for more", async () => {
  const conn = new ScriptedConn("a".repeat(14) + "\r", "\n");
  using wire = wireOn(conn);
  assertEquals(await wire.readLine(16), "a".repeat(14));
});

Deno.test("readLine: an end after a line was read is null, and stays null", async () => {
  using wire = wireOn(new ScriptedConn("a\r\n", null, null));
  assertEquals([await wire.readLine(16), await wire.readLine(16), await wire.readLine(16)], [
    "a",
    null,
    null,
  ]);
});

Deno.test("readLine: a line feed after a line that was read is an empty line", async () => {
  using wire = wireOn(new ScriptedConn("a\n\nb\n"));
  const lines = [await wire.readLine(16, "LF"), await wire.readLine(16, "LF")];
  assertEquals([...lines, await wire.readLine(16, "LF")], ["a", "", "b"]);
});

Deno.test("RFC 9112 §2.2: a bare LF after a line that was read is malformed", async () => {
  using wire = wireOn(new ScriptedConn("a\r\n\nb\r\n"));
  assertEquals(await wire.readLine(16), "a");
  await assertRejects(() => wire.readLine(16), MalformedError);
});

for (
  const [text, end, message] of [
    ["abc", "CRLF", "Connection closed inside a line"],
    ["abc\n", undefined, "Line has a CR or LF outside its CRLF"],
    ["a\nb\r\n", "CRLF", "Line has a CR or LF outside its CRLF"],
    ["a\rb\n", "LF", "Line has a CR or LF outside its CRLF"],
  ] as const
) {
  Deno.test(`readLine(16, ${end}) of ${JSON.stringify(text)}: ${message}`, async () => {
    using wire = wireOn(new ScriptedConn(text, null));
    const error = await assertRejects(() => wire.readLine(16, end));
    assertEquals((error as Error).message, message);
  });
}

Deno.test("readInto: takes what is buffered first, then reads into the target itself", async () => {
  const conn = new ScriptedConn("abc", "def", null);
  using wire = wireOn(conn, { buffer: 8 });
  await wire.fill();
  const target = new Uint8Array(5);
  assertEquals(await wire.readInto(target.subarray(0, 2)), 2);
  assertEquals(await wire.readInto(target.subarray(2)), 1);
  assertEquals(toByteString(target), "abc\0\0");
  assertEquals([wire.available, wire.received], [0, 3]);
  assertEquals(await wire.readInto(target), 3);
  assertEquals(toByteString(target), "def\0\0");
  assertEquals([wire.available, wire.received], [0, 6]);
  assertEquals(await wire.readInto(target), 0);
  assertEquals(conn.log, ["read 8", "read 5", "read 5"]);
});

for (const cause of [new Deno.errors.ConnectionReset("reset by peer"), "reset by peer"]) {
  const kind = typeof cause === "string" ? "a thrown text" : "an error";
  Deno.test(`Wire: ${kind} of the system is the cause of a ClosedError`, async () => {
    const conn = new ScriptedConn();
    conn.read = () => Promise.reject(cause);
    using wire = wireOn(conn);
    const error = await assertRejects(() => wire.fill(), ClosedError);
    assertEquals([error.message, error.cause], ["reset by peer", cause]);
  });
}

// ---- Writing -------------------------------------------------------------

for (
  const [maxWrite, writes] of [
    [3, ["write abc", "write d"]],
    [1, ["write a", "write b", "write c", "write d"]],
  ] as const
) {
  Deno.test(`write: goes on after a write that took ${maxWrite} of the octets`, async () => {
    const conn = new ScriptedConn();
    conn.maxWrite = maxWrite;
    using wire = wireOn(conn);
    await wire.write("abcd");
    await wire.write("");
    assertEquals(conn.log, [...writes]);
  });
}

Deno.test("write: with a timeout each step of progress has a deadline of its own", async () => {
  const conn = new ScriptedConn();
  conn.maxWrite = 3;
  const timers = new Timers();
  using wire = wireOn(conn, { timer: timers.timer });
  await wire.write("abc");
  assertEquals(timers.delays, []);
  const write = conn.write.bind(conn);
  conn.write = (octets) => (wire.setDeadline(null), timers.fire(), write(octets));
  await wire.write("abcdef", 500);
  assertEquals(timers.delays, [500, 500]);
});

Deno.test("write: a fault of the system is the cause of a ClosedError", async () => {
  const conn = new ScriptedConn();
  conn.fault = new Deno.errors.BrokenPipe("broken");
  using wire = wireOn(conn);
  const error = await assertRejects(() => wire.write("a"), ClosedError, "broken");
  assertEquals(error.cause, conn.fault);
});

Deno.test("write: octets are sent as they are", async () => {
  const conn = new ScriptedConn();
  using wire = wireOn(conn);
  await wire.write(Uint8Array.of(0x41, 0xff, 0x0a));
  assertEquals(conn.log, ["write A\xff\n"]);
});

Deno.test("writeLine: refuses a line break, and rejects if the write fails", async () => {
  const conn = new ScriptedConn();
  conn.fault = new Deno.errors.BrokenPipe("broken");
  using wire = wireOn(conn);
  const refused = await assertRejects(() => wire.writeLine("a\nb"), MalformedError);
  assertEquals(refused.message, "Cannot send CR, LF or NUL inside a line");
  await assertRejects(() => wire.writeLine("a"), ClosedError, "broken");
});

Deno.test("writeLine: sends the line with its CRLF, and shows it in the trace", async () => {
  const conn = new ScriptedConn();
  const trace: string[] = [];
  using wire = wireOn(conn, { trace: (mark, text) => trace.push(`${mark} ${text}`) });
  await wire.writeLine("NOOP é");
  assertEquals(conn.log, ["write NOOP \xc3\xa9\r\n"]);
  assertEquals(trace, ["> NOOP é"]);
});

// ---- The deadline --------------------------------------------------------

Deno.test("setDeadline: starts a timer only if the one that runs is too late", () =>
  withClock((setTime) => {
    const timers = new Timers();
    using wire = wireOn(new ScriptedConn(), { timer: timers.timer });
    wire.setDeadline(null);
    assertEquals(timers.delays, []);
    assertEquals(wire.setDeadline(500), 1000);
    assertEquals(wire.setDeadline(500), 1000); // no earlier
    setTime(1001);
    assertEquals(wire.setDeadline(500), 1001);
    wire.setDeadline(null);
    assertEquals([timers.delays, timers.stopped], [[500], 0]);
    wire.setDeadline(498); // earlier by one
    assertEquals([timers.delays, timers.stopped], [[500, 498], 1]);
  }));

Deno.test("setDeadline: a timer that is over too early is started for what is left", () =>
  withClock((setTime) => {
    const conn = new ScriptedConn();
    const timers = new Timers();
    using wire = wireOn(conn, { timer: timers.timer });
    wire.setDeadline(500);
    setTime(1100);
    wire.setDeadline(500); // due at 1600
    setTime(1500);
    timers.fire();
    assertEquals(timers.delays, [500, 100]);
    setTime(1599);
    timers.fire();
    assertEquals([timers.delays, conn.log], [[500, 100, 1], []]);
    setTime(1600);
    timers.fire();
    assertEquals([timers.delays, conn.log], [[500, 100, 1], ["close"]]);
  }));

Deno.test("setDeadline: without a deadline a timer that is over does nothing", () =>
  withClock((setTime) => {
    const conn = new ScriptedConn();
    const timers = new Timers();
    using wire = wireOn(conn, { timer: timers.timer });
    wire.setDeadline(500);
    wire.setDeadline(null);
    setTime(1600);
    timers.fire();
    assertEquals([timers.delays, conn.log], [[500], []]);
    wire.setDeadline(700); // no timer runs, so this one starts
    assertEquals(timers.delays, [500, 700]);
  }));

Deno.test("setDeadline: a timer is for 2^31 - 1 ms at the most, the longest of setTimeout", () =>
  withClock((setTime) => {
    const timers = new Timers();
    using wire = wireOn(new ScriptedConn(), { timer: timers.timer });
    wire.setDeadline(2 ** 31);
    setTime(1000 + 2 ** 31 - 1);
    timers.fire();
    assertEquals(timers.delays, [2 ** 31 - 1, 1]);
  }));

Deno.test("setDeadline: a timer that is started again is known to be due later", () =>
  withClock((setTime) => {
    const timers = new Timers();
    using wire = wireOn(new ScriptedConn(), { timer: timers.timer });
    wire.setDeadline(100);
    wire.setDeadline(300);
    setTime(1100);
    timers.fire(); // for 200 ms more
    wire.setDeadline(200);
    assertEquals(timers.delays, [100, 200]);
    wire.setDeadline(199);
    assertEquals(timers.delays, [100, 200, 199]);
  }));

Deno.test("setDeadline: at the deadline the wire closes, and its calls reject", async () => {
  const conn = new ScriptedConn();
  const timers = new Timers();
  using wire = wireOn(conn, { timer: timers.timer });
  wire.setDeadline(0);
  const reading = wire.fill();
  timers.fire();
  await assertRejects(() => reading, DeadlineError, "Peer took too long");
  await assertRejects(() => wire.write("a"), DeadlineError, "Peer took too long");
  await assertRejects(() => wire.fill(), DeadlineError, "Peer took too long");
  wire.setDeadline(5);
  assertEquals(timers.delays, [0]);
});

// ---- The end -------------------------------------------------------------

Deno.test("close: closes the connection once, stops the timer, and keeps the first reason", async () => {
  const conn = new ScriptedConn();
  const timers = new Timers();
  const wire = wireOn(conn, { timer: timers.timer });
  wire.setDeadline(500);
  wire.close();
  wire.close(new LimitError("second"));
  wire[Symbol.dispose]();
  assertEquals([conn.log, timers.stopped], [["close"], 1]);
  await assertRejects(() => wire.fill(), ClosedError, "The wire was closed");
});

Deno.test("release: stops the timer; the connection stays open, the wire is closed", async () => {
  const conn = new ScriptedConn();
  const timers = new Timers();
  const wire = wireOn(conn, { timer: timers.timer });
  wire.setDeadline(500);
  assertEquals<unknown>(wire.release(), conn);
  wire.close();
  assertEquals([conn.log, timers.stopped], [[], 1]);
  await assertRejects(() => wire.fill(), ClosedError, "The wire was released");
});

Deno.test("RFC 3207 §6: release refuses a single octet that was received too early", async () => {
  const conn = new ScriptedConn("a");
  const wire = wireOn(conn);
  await wire.fill();
  assertThrows(() => wire.release(), MalformedError, "Peer sent more in the clear");
  wire.skip(1);
  assertEquals<unknown>(wire.release(), conn);
});

Deno.test("RFC 9112 §9.6: lingeringClose ends sending, drops all input, and closes", async () => {
  const conn = new ScriptedConn("a".repeat(20_000), null);
  const timers = new Timers();
  await wireOn(conn, { timer: timers.timer }).lingeringClose(700);
  const reads = ["read 16384", "read 16384", "read 16384"];
  assertEquals(conn.log, ["closeWrite", ...reads, "close"]);
  assertEquals([timers.delays, timers.stopped], [[700], 1]);
});

Deno.test("lingeringClose: drops 64 MiB, and then closes", async () => {
  const conn = new ScriptedConn();
  let left = 2 ** 26 / 16_384;
  conn.read = (target) => Promise.resolve(left-- > 0 ? target.length : 0);
  await wireOn(conn).lingeringClose(5000);
  assertEquals(left, 0);
  assertEquals(conn.log, ["closeWrite", "close"]);
});

Deno.test("lingeringClose: a peer that ends after 64 MiB less one octet is read to its end", async () => {
  const conn = new ScriptedConn();
  const sizes = [2 ** 26 - 1, 0];
  conn.read = () => Promise.resolve(sizes.shift() ?? 0);
  await wireOn(conn).lingeringClose(5000);
  assertEquals(sizes, []);
});

Deno.test("lingeringClose: a connection whose sending side is gone is closed", async () => {
  const conn = new ScriptedConn();
  conn.fault = new Deno.errors.NotConnected("gone");
  await wireOn(conn).lingeringClose(5000);
  assertEquals(conn.log, ["closeWrite", "close"]);
});

Deno.test("lingeringClose: leaves a wire that is closed as it is", async () => {
  const conn = new ScriptedConn();
  const wire = wireOn(conn);
  wire.close();
  await wire.lingeringClose(5000);
  await wire.closeTls(5000);
  assertEquals(conn.log, ["close"]);
});

for (const fault of [undefined, new Deno.errors.BrokenPipe("gone")]) {
  Deno.test(`RFC 8446 §6.1: closeTls ends sending and closes${fault ? ", also after a fault" : ""}`, async () => {
    const conn = new ScriptedConn();
    conn.fault = fault;
    const timers = new Timers();
    await wireOn(conn, { timer: timers.timer }).closeTls(700);
    assertEquals(conn.log, ["closeWrite", "close"]);
    assertEquals([timers.delays, timers.stopped], [[700], 1]);
  });
}

Deno.test("Wire: numbers of octets begin with 0", () => {
  using wire = wireOn(new ScriptedConn());
  assertEquals([wire.received, wire.available, wire.buffered.length], [0, 0, 0]);
});
