/**
 * What the programs share, in the order of `protocol.ts`'s wire, fields, text and command line:
 * lines over real sockets, at once and octet by octet; then the tables.
 *
 * @module
 */
import { assert, assertEquals, assertMatch, assertRejects } from "jsr:@std/assert@^1.0.19";
import { assertStringIncludes, assertThrows } from "jsr:@std/assert@^1.0.19";
import {
  ClosedError,
  DeadlineError,
  Fields,
  LimitError,
  listMembers,
  MalformedError,
  pause,
  percent,
  printable,
  receiveAll,
  showAddress,
  timeOfDay,
  toByteString,
  trimOws,
  Wire,
} from "../protocol.ts";
import { formatTrace } from "../cli.ts";
import { CUTS, LOCAL, octetsOf, receive, send } from "./helpers.ts";

/** Two ends of one connection. */
async function socketPair(): Promise<[Deno.TcpConn, Deno.TcpConn]> {
  using listener = Deno.listen(LOCAL);
  const accepted = listener.accept();
  const { hostname, port } = listener.addr;
  const conn = await Deno.connect({ hostname, port });
  conn.setNoDelay();
  return [conn, await accepted];
}

const LINES = [
  { rule: "a line is what stands before CRLF", sent: "abc\r\n", want: "abc" },
  { rule: "an empty line", sent: "\r\n", want: "" },
  {
    rule: "a line as long as the limit, CRLF included",
    sent: "a".repeat(14) + "\r\n",
    want: "a".repeat(14),
  },
  { rule: "one octet longer than the limit", sent: "a".repeat(15) + "\r\n", want: LimitError },
  { rule: "no end within the limit", sent: "a".repeat(40), want: LimitError },
  { rule: "one char an octet", sent: "\xe9\xff\x80\r\n", want: "\xe9\xff\x80" },
  { rule: "RFC 9112 §2.2: a bare LF does not end a line", sent: "a\nb\r\n", want: MalformedError },
  { rule: "RFC 9112 §2.2: a bare CR does not end a line", sent: "a\rb\r\n", want: MalformedError },
  { rule: "RFC 9112 §2.2: a bare LF is not an empty line", sent: "\nab\r\n", want: MalformedError },
  { rule: "CR CR LF holds a bare CR", sent: "a\r\r\n", want: MalformedError },
  { rule: "an end before a line begins gives null", sent: "", want: null },
  { rule: "an end inside a line is a ClosedError", sent: "abc", want: ClosedError },
  { rule: "an end between CR and LF is a ClosedError", sent: "abc\r", want: ClosedError },
] as const;

const LENIENT = [
  { rule: "LF ends a line", sent: "abc\n", want: "abc" },
  { rule: "CRLF ends a line", sent: "abc\r\n", want: "abc" },
  { rule: "LF is an empty line", sent: "\nabc\n", want: "" },
  { rule: "a CR inside the line is refused", sent: "a\rb\n", want: MalformedError },
  { rule: "two CRs before the LF are refused", sent: "a\r\r\n", want: MalformedError },
] as const;

for (const [how, cut] of Object.entries(CUTS)) {
  for (const [end, table] of [["CRLF", LINES], ["LF", LENIENT]] as const) {
    for (const { rule, sent, want } of table) {
      Deno.test(`readLine(16, ${end}), ${how}: ${rule}`, async () => {
        const [ours, theirs] = await socketPair();
        using wire = new Wire(ours);
        using _peer = theirs;
        wire.setDeadline(2000);
        const sending = send(theirs, cut(sent)).then(() => theirs.closeWrite());
        if (typeof want === "function") await assertRejects(() => wire.readLine(16, end), want);
        else assertEquals(await wire.readLine(16, end), want);
        await sending;
      });
    }
  }
}

Deno.test("readLine leaves what follows for the next read", async () => {
  const [ours, theirs] = await socketPair();
  using wire = new Wire(ours);
  using _peer = theirs;
  wire.setDeadline(2000);
  await send(theirs, ["one\r\ntwo\r\nrest"]);
  assertEquals(await wire.readLine(16), "one");
  assertEquals(await wire.readLine(16), "two");
  const octets = new Uint8Array(2);
  assertEquals(await wire.readInto(octets), 2);
  assertEquals(toByteString(octets) + toByteString(wire.buffered), "rest");
});

Deno.test("readLine: a line may be longer than the first buffer", async () => {
  const [ours, theirs] = await socketPair();
  using wire = new Wire(ours, { buffer: 4 });
  using peer = new Wire(theirs);
  await peer.write("0123456789\r\nab\r\n");
  assertEquals(await wire.readLine(100), "0123456789");
  assertEquals(await wire.readLine(100), "ab");
});

Deno.test("fill() grows the buffer, and keeps every octet in its place", async () => {
  const [ours, theirs] = await socketPair();
  using wire = new Wire(ours);
  using _peer = theirs;
  wire.setDeadline(5000);
  const text = Array.from({ length: 3000 }, (_, index) => `line ${index}\r\n`).join("");
  const sending = send(theirs, [text]);
  while (wire.buffered.length < 9000) await wire.fill();
  assertEquals(toByteString(wire.buffered).slice(0, 9000), text.slice(0, 9000));
  for (let index = 0; index < 3000; index++) {
    assertEquals(await wire.readLine(100), `line ${index}`);
  }
  await sending;
});

Deno.test("readInto goes past the buffer, and is 0 at the end", async () => {
  const [ours, theirs] = await socketPair();
  using wire = new Wire(ours);
  using _peer = theirs;
  await send(theirs, ["abc"]);
  await theirs.closeWrite();
  const octets = new Uint8Array(16);
  assertEquals(await wire.readInto(octets), 3);
  assertEquals(await wire.readInto(octets), 0);
});

Deno.test("setDeadline: a silent peer ends in DeadlineError, and so does all that follows", async () => {
  const [ours, theirs] = await socketPair();
  using wire = new Wire(ours);
  using _peer = theirs;
  wire.setDeadline(20);
  await assertRejects(() => wire.readLine(16), DeadlineError);
  await assertRejects(() => wire.write("late"), DeadlineError);
});

Deno.test("setDeadline is for all that follows: a drip of octets does not move it", async () => {
  const [ours, theirs] = await socketPair();
  using wire = new Wire(ours);
  wire.setDeadline(100);
  const drip = setInterval(() => theirs.write(new Uint8Array([97])).catch(() => {}), 10);
  await assertRejects(() => wire.readLine(1000), DeadlineError);
  clearInterval(drip);
  theirs.close();
});

Deno.test("setDeadline: starts no timer on a wire that is closed", async () => {
  const [ours, theirs] = await socketPair();
  using _peer = theirs;
  const wire = new Wire(ours);
  wire.close();
  wire.setDeadline(60_000); // the sanitizer finds a timer that is left
  await wire.lingeringClose(60_000);
});

Deno.test("setDeadline: a later one replaces an earlier one, and an earlier one a later", async () => {
  const [ours, theirs] = await socketPair();
  using wire = new Wire(ours);
  using _peer = theirs;
  wire.setDeadline(20);
  wire.setDeadline(5000);
  const line = wire.readLine(16);
  await new Promise((resolve) => setTimeout(resolve, 60));
  await send(theirs, ["ok\r\n"]);
  assertEquals(await line, "ok");
  wire.setDeadline(20);
  await assertRejects(() => wire.readLine(16), DeadlineError);
});

Deno.test("setDeadline(null) takes the deadline away", async () => {
  const [ours, theirs] = await socketPair();
  using wire = new Wire(ours);
  using _peer = theirs;
  wire.setDeadline(20);
  wire.setDeadline(null);
  const line = wire.readLine(16);
  await new Promise((resolve) => setTimeout(resolve, 60));
  await send(theirs, ["ok\r\n"]);
  assertEquals(await line, "ok");
});

Deno.test("close: what is in progress rejects with the reason", async () => {
  const [ours, theirs] = await socketPair();
  using wire = new Wire(ours);
  using _peer = theirs;
  const line = wire.readLine(16);
  wire.close(new LimitError("enough"));
  await assertRejects(() => line, LimitError, "enough");
});

Deno.test("write sends all of a long message", async () => {
  const [ours, theirs] = await socketPair();
  using wire = new Wire(ours);
  using _peer = theirs;
  wire.setDeadline(10_000);
  const writing = wire.write("x".repeat(12_000_000)).then(() => wire.lingeringClose(5000));
  assertEquals((await receive(theirs)).length, 12_000_000);
  theirs.close();
  await writing;
});

Deno.test("write to a peer that is gone is a ClosedError with the cause", async () => {
  const [ours, theirs] = await socketPair();
  using wire = new Wire(ours);
  theirs.close();
  const writing = async () => {
    for (;;) await wire.write("x".repeat(100_000));
  };
  const error = await assertRejects(writing, ClosedError);
  assertEquals(
    error.cause instanceof Deno.errors.BrokenPipe ||
      error.cause instanceof Deno.errors.ConnectionReset,
    true,
  );
});

Deno.test("writeLine refuses CR, LF and NUL, and shows the trace no secret", async () => {
  const [ours, theirs] = await socketPair();
  const trace: string[] = [];
  using wire = new Wire(ours, { trace: (mark, text) => trace.push(`${mark} ${text}`) });
  using _peer = theirs;
  for (const line of ["a\rb", "a\nb", "a\0b"]) {
    await assertRejects(() => wire.writeLine(line), MalformedError);
  }
  await wire.writeLine("PASS hunter2", "PASS [credentials]");
  wire.note("done");
  assertEquals(trace, ["> PASS [credentials]", "* done"]);
});

Deno.test("readLine: the trace gets the decoded line, and formatTrace escapes it", async () => {
  const [ours, theirs] = await socketPair();
  const trace: string[] = [];
  using wire = new Wire(ours, { trace: (mark, text) => trace.push(`${mark} ${text}`) });
  using _peer = theirs;
  await send(theirs, ["\x1b]0;caf\xc3\xa9\x07\r\n"]);
  await wire.readLine(100);
  assertEquals(trace, ["< \x1b]0;café\x07"]);
  assertEquals(formatTrace("<", "\x1b]0;café\x07"), "< \\x1b]0;café\\x07");
});

Deno.test("lingeringClose: the answer arrives although the input was never read", async () => {
  const [ours, theirs] = await socketPair();
  using wire = new Wire(ours);
  await send(theirs, ["x".repeat(100_000)]);
  await wire.fill();
  await wire.write("refused");
  const hangingUp = wire.lingeringClose(2000);
  assertEquals(await receive(theirs), "refused");
  theirs.close();
  await hangingUp;
});

Deno.test("lingeringClose: the response arrives at a peer that sends 20 MB before it reads", async () => {
  const [ours, theirs] = await socketPair();
  using wire = new Wire(ours);
  await wire.write("refused");
  const hangingUp = wire.lingeringClose(60_000);
  for (let round = 0; round < 20; round++) await send(theirs, ["x".repeat(1_000_000)]);
  assertEquals(await receive(theirs), "refused");
  theirs.close();
  await hangingUp;
});

Deno.test("lingeringClose: closes after its timeout if the peer never ends", async () => {
  const [ours, theirs] = await socketPair();
  using _peer = theirs;
  await new Wire(ours).lingeringClose(20);
});

Deno.test("release gives the connection back, unless octets are waiting", async () => {
  const [ours, theirs] = await socketPair();
  using _ours = ours;
  using _peer = theirs;
  const wire = new Wire(ours);
  await send(theirs, ["220 go\r\n"]);
  await wire.readLine(100);
  assertEquals(wire.release(), ours);
  await assertRejects(() => wire.write("x"), ClosedError);

  const second = new Wire(ours);
  await send(theirs, ["220 go\r\n250 injected\r\n"]);
  await second.readLine(100);
  assertThrows(() => second.release(), MalformedError);
});

Deno.test("readLine returns or throws a WireError, whatever the octets", async () => {
  const seed = crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
  let state = seed;
  const random = (below: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor(state / 2 ** 32 * below);
  };
  for (let round = 0; round < 200; round++) {
    const text = Array.from({ length: random(60) }, () => "\r\n:a \x00\xff"[random(7)]).join("");
    const [ours, theirs] = await socketPair();
    using wire = new Wire(ours);
    using _peer = theirs;
    await send(theirs, [text]);
    await theirs.closeWrite();
    try {
      while (await wire.readLine(16, random(2) ? "LF" : "CRLF") !== null);
    } catch (error) {
      const fine = [ClosedError, LimitError, MalformedError].some((kind) => error instanceof kind);
      assertStringIncludes(fine ? "WireError" : String(error), "WireError", `seed ${seed}`);
    }
  }
});

const FIELD_LINES = [
  { line: "Host: a", want: [["Host", "a"]] },
  { line: "Host:a", want: [["Host", "a"]] },
  { line: "X: \t a b \t", want: [["X", "a b"]] },
  { line: "X:", want: [["X", ""]] },
  { line: "X: \xe9\xff", want: [["X", "\xe9\xff"]] },
  { line: "X: a\tb", want: [["X", "a\tb"]] },
  { line: "Host : a", want: MalformedError },
  { line: " Host: a", want: MalformedError },
  { line: ": a", want: MalformedError },
  { line: "Host", want: MalformedError },
  { line: "Ho\x00st: a", want: MalformedError },
  { line: "H\xe9: a", want: MalformedError },
  { line: "X: a\x00b", want: MalformedError },
  { line: "X: a\x7fb", want: MalformedError },
  { line: "X: a\x0bb", want: MalformedError },
  { line: "X: a\r\nY: b", want: MalformedError },
] as const;

for (const { line, want } of FIELD_LINES) {
  Deno.test(`RFC 9112 §5: field line ${JSON.stringify(line)}`, () => {
    const read = () => [...new Fields().appendLine(line)];
    if (typeof want === "function") assertThrows(read, want);
    else assertEquals(read(), want.map(([name, value]) => [name, value]));
  });
}

Deno.test("Fields: duplicates are kept in order, names compare without case", () => {
  const fields = new Fields().append("A", "1").append("b", "2").append("a", "3");
  assertEquals(fields.all("A"), ["1", "3"]);
  assertEquals(fields.get("a"), "1, 3");
  assertEquals(fields.get("c"), undefined);
  assertEquals(fields.size, 3);
  assertEquals(fields.toString(), "A: 1\r\nb: 2\r\na: 3\r\n");
});

const PRINTED = [
  { text: "plain", want: "plain" },
  { text: "caf\xc3\xa9", want: "café", rule: "octets that are UTF-8 are decoded" },
  { text: "caf\xe9", want: "café", rule: "others stand for themselves" },
  { text: "日本", want: "日本", rule: "text beyond octets is text" },
  { text: "\x00\x07\x1b[31m\x7f", want: "\\x00\\x07\\x1b[31m\\x7f", rule: "C0 and DEL" },
  {
    text: "a\r\n\tb",
    want: "a\\x0d\\x0a\\x09b",
    rule: "line ends and tabs: a log line is one line",
  },
  { text: "\x9b31m", want: "\\x9b31m", rule: "C1 as an octet" },
  { text: "\xc2\x9b31m", want: "\\x9b31m", rule: "C1 as UTF-8" },
  { text: "a\u202eb\u2066c", want: "a\\u202eb\\u2066c", rule: "marks that turn text around" },
  { text: "\xe2\x80\xae", want: "\\u202e", rule: "the same as UTF-8" },
  { text: "\ud800", want: "\\ud800", rule: "half a surrogate pair" },
];

for (const { text, want, rule = "as it is" } of PRINTED) {
  Deno.test(`printable(${JSON.stringify(text)}): ${rule}`, () =>
    assertEquals(printable(text), want));
}

const TRIMMED = [
  { text: "", want: "" },
  { text: " \t ", want: "" },
  { text: " \ta b\t ", want: "a b" },
  { text: "a", want: "a" },
  { text: "\xa0a\x0b", want: "\xa0a\x0b" },
] as const;

for (const { text, want } of TRIMMED) {
  Deno.test(`RFC 9110 §5.6.3: OWS around ${JSON.stringify(text)}`, () =>
    assertEquals(trimOws(text), want));
}

Deno.test("RFC 9110 §5.6.1: a list is split at its commas, without the OWS", () => {
  assertEquals(listMembers("a ,b\t,\t c,,"), ["a", "b", "c", "", ""]);
});

/** What a peer can repeat until its limit. */
const FILLERS = [" ", "\t", ",", ";", '"', "%", ".", "\\", "=", ":", "a", "\xe9", " ,", ";a", "%2"];

/** Work on a text of a peer, none of which may grow with the square of its length. */
const WORK: Record<string, (text: string) => unknown> = {
  "Fields.append": (text) => new Fields().append("A", text),
  "Fields.appendLine": (text) => new Fields().appendLine(`A:${text}`),
  "Fields.appendLine as a name": (text) => {
    try {
      new Fields().appendLine(`${text}: a`);
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error;
    }
  },
  "trimOws": trimOws,
  "listMembers": listMembers,
  "printable": printable,
  "printable of text beyond octets": (text) => printable(`${text}\u65e5`),
};

/** The duration of the fastest of some runs (ms): on a busy machine one run proves nothing. */
function fastest(run: () => void, runs = 5): number {
  return Math.min(...Array.from({ length: runs }, () => {
    const begun = performance.now();
    run();
    return performance.now() - begun;
  }));
}

for (const [name, work] of Object.entries(WORK)) {
  for (const filler of FILLERS) {
    Deno.test(`linear time: ${name} of 64 KiB of ${JSON.stringify(filler)}`, () => {
      const text = `b${filler.repeat(65_536 / filler.length)}b`;
      const ms = fastest(() => work(text));
      assert(ms < 100, `${ms} ms`); // 1 to 5 ms; quadratic time would be a second or more
    });
  }
}

const PERCENT = [[0.3, 30], [1 / 3, 33.3333], [4 / 11, 36.3636], [0.005, 0.5], [0 / 0, 0]] as const;
for (const [part, want] of PERCENT) {
  Deno.test(`percent(${part})`, () => assertEquals(percent(part), want));
}

const ADDRESSES = [
  ["127.0.0.1", "127.0.0.1:80"],
  ["::ffff:127.0.0.1", "127.0.0.1:80"],
  ["::ffff:1", "[::ffff:1]:80"],
  ["::1", "[::1]:80"],
  ["localhost", "localhost:80"],
] as const;
for (const [hostname, want] of ADDRESSES) {
  Deno.test(`showAddress("${hostname}", 80)`, () => assertEquals(showAddress(hostname, 80), want));
}

Deno.test("timeOfDay is seconds with six decimals, by the monotonic clock", () => {
  assertEquals(timeOfDay(1500), ((performance.timeOrigin + 1500) / 1000).toFixed(6));
  assertMatch(timeOfDay(), /^\d{10}\.\d{6}$/);
});

Deno.test("receiveAll hands over datagrams whole and in order, waits for the handler, and closes", async () => {
  const socket = Deno.listenDatagram({ ...LOCAL, transport: "udp" });
  const stop = new AbortController();
  const sent = ["", "x", "y".repeat(65_507)];
  const seen: string[] = [];
  const receiving = receiveAll(socket, stop.signal, async (octets, { hostname }) => {
    await pause(1, stop.signal); // the octets must stay until then
    seen.push(toByteString(octets));
    assertEquals(hostname, LOCAL.hostname);
    if (seen.length === sent.length) stop.abort();
  });
  for (const text of sent) await socket.send(octetsOf(text), socket.addr);
  await receiving;
  assertEquals(seen, sent);
});

Deno.test("receiveAll rejects with what the handler throws", async () => {
  const socket = Deno.listenDatagram({ ...LOCAL, transport: "udp" });
  const receiving = receiveAll(socket, new AbortController().signal, () => {
    throw new RangeError("gone");
  });
  await socket.send(octetsOf("x"), socket.addr);
  await assertRejects(() => receiving, RangeError, "gone");
  socket.close();
});

Deno.test("pause ends with its signal, also with one that has aborted before", async () => {
  const stop = new AbortController();
  const paused = pause(60_000, stop.signal);
  stop.abort();
  await paused;
  await pause(60_000, stop.signal);
  await pause(1, new AbortController().signal);
});

Deno.test("pause: a wait longer than the longest timer does not end early", async () => {
  const stop = new AbortController();
  let isOver = false;
  const months = pause(2 ** 32, stop.signal).then(() => isOver = true);
  await pause(20, new AbortController().signal);
  assertEquals(isOver, false);
  stop.abort();
  await months;
});
