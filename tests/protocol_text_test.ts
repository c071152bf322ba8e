/**
 * The parts of `protocol.ts` that need no connection: errors, octets and text, media types, the
 * grammar of fields, datagrams and time.
 *
 * @module
 */
import { assert, assertEquals, assertRejects, assertThrows } from "jsr:@std/assert@^1.0.19";
import {
  ClosedError,
  concat,
  DeadlineError,
  decodeUtf8,
  escapeText,
  ExitError,
  FIELD_VALUE,
  Fields,
  fromByteString,
  LimitError,
  MalformedError,
  mediaType,
  pause,
  readCertificates,
  receiveAll,
  requireDatagrams,
  showHost,
  signalTimer,
  timeOfDay,
  toByteString,
  TOKEN,
  UsageError,
  WireError,
} from "../protocol.ts";
import { octetsOf, TLS } from "./helpers.ts";

for (const kind of [WireError, MalformedError, LimitError, ClosedError, DeadlineError]) {
  Deno.test(`errors: ${kind.name} has its name, and is a WireError`, () => {
    const error = new kind("why");
    assertEquals(String(error), `${kind.name}: why`);
    assert(error instanceof WireError);
  });
}

Deno.test("errors: a UsageError has its name, and is not a WireError", () => {
  assertEquals(String(new UsageError("why")), "UsageError: why");
  assert(!(new UsageError("why") instanceof WireError));
});

Deno.test("errors: an ExitError has its name, message, status and cause", () => {
  const cause = new Error("deeper");
  const error = new ExitError(7, "why", { cause });
  assertEquals(String(error), "ExitError: why");
  assertEquals([error.status, error.cause], [7, cause]);
});

// ---- Octets and text -----------------------------------------------------

for (const length of [0, 1, 8191, 8192, 8193, 16_384, 16_385]) {
  Deno.test(`byte strings: ${length} octets there and back`, () => {
    const octets = Uint8Array.from({ length }, (_, index) => index * 31);
    const text = toByteString(octets);
    assertEquals(text, Array.from(octets, (octet) => String.fromCharCode(octet)).join(""));
    assertEquals(fromByteString(text), octets);
  });
}

for (const pieces of [[], [""], ["a"], ["a", "", "bc"], ["abc", "de", "f"]]) {
  Deno.test(`concat: ${JSON.stringify(pieces)}`, () => {
    assertEquals(toByteString(concat(pieces.map(octetsOf))), pieces.join(""));
  });
}

for (
  const [text, want, rule] of [
    ["caf\xc3\xa9", "café", "octets that are UTF-8 are decoded"],
    ["caf\xe9", "caf\xe9", "octets that are not UTF-8 stay"],
    ["\xc3\xa9\xff", "\xc3\xa9\xff", "octets of which some are not UTF-8 stay"],
    ["\xc2\x80", "\x80", "the first character of two octets"],
    ["\xf4\x8f\xbf\xbf", "\u{10ffff}", "the last character of four octets"],
    ["\xed\xa0\x80", "\xed\xa0\x80", "a surrogate is not UTF-8"],
    ["\0\xc3\xa9", "\0é", "NUL is an octet as others"],
    ["\xc3\xbf\x7f", "\xff\x7f", "all octets are octets"],
    ["\xef\xbb\xbfa", "\ufeffa", "a byte order mark stays"],
    ["\xc3\xa9\u0141", "\xc3\xa9\u0141", "text with characters beyond octets stays"],
    ["", "", "nothing"],
  ] as const
) {
  Deno.test(`decodeUtf8(${JSON.stringify(text)}): ${rule}`, () => {
    assertEquals(decodeUtf8(text), want);
  });
}

/** The first and the last character of each range that is escaped. */
const ESCAPED = [
  ...[[0x00, 0x1f], [0x7f, 0x9f], [0x61c, 0x61c], [0x200e, 0x200f], [0x2028, 0x202e]],
  ...[[0x2066, 0x2069], [0xd800, 0xdfff], [0xfeff, 0xfeff]],
] as [number, number][];

for (const [first, last] of ESCAPED) {
  const shown = (code: number) => code.toString(16).padStart(4, "0");
  Deno.test(`escapeText: U+${shown(first)} to U+${shown(last)} are escaped, neighbours are not`, () => {
    for (let code = first; code <= last; code++) {
      const want = code < 0x100 ? `\\x${shown(code).slice(2)}` : `\\u${shown(code)}`;
      assertEquals(escapeText(String.fromCharCode(code)), want);
    }
    for (const code of [Math.max(first - 1, 0x20), last + 1]) {
      assertEquals(escapeText(String.fromCharCode(code)), String.fromCharCode(code));
    }
  });
}

Deno.test("escapeText: a pair of surrogates is a character", () => {
  assertEquals(escapeText("a\u{1f600}b"), "a\u{1f600}b");
});

for (
  const [name, want] of [
    ["index.html", "text/html"],
    ["INDEX.HTM", "text/html"],
    [".html", "text/html"],
    ["a.mjs", "text/javascript"],
    ["a.ics", "text/calendar"],
    ["a.c", "text/plain"],
    ["a.b.svg", "image/svg+xml"],
    ["a.jpg", "image/jpeg"],
    ["a.png", "image/png"],
    ["a.opus", "audio/ogg"],
    ["a.mkv", "video/x-matroska"],
    ["a.woff2", "font/woff2"],
    ["a.glb", "model/gltf-binary"],
    ["a.geojson", "application/json"],
    ["a.wasm", "application/wasm"],
    ["a.tar.gz", "application/gzip"],
    ["a.7z", "application/x-7z-compressed"],
    ["a.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"],
    ["a.pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"],
    ["html", undefined],
    ["a.", undefined],
    ["", undefined],
    ["a.html5", undefined],
    ["a.text", undefined],
    ["a.constructor", undefined],
  ] as const
) {
  Deno.test(`mediaType("${name}") is ${want}`, () => assertEquals(mediaType(name), want));
}

const OWN = Deno.readTextFileSync(`${TLS}own.pem`);
const block = (base64: string) =>
  `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`;
for (
  const [rule, pem, sizes] of [
    ["an empty text has none", "", []],
    ["one", block("MAA="), [2]],
    ["several, with text between", `a\n${block("MAA=")}b-c\n${block("MAEA")}d`, [2, 3]],
    ["one that is not closed", block("MAA=").slice(0, -8), []],
    ["one that is not Base64, after a good one", block("MAA=") + block("M*A="), []],
    ["one that is not a SEQUENCE, after a good one", block("MAA=") + block("MQA="), []],
    ["one of nothing", block(""), []],
    ["a key", block("MAA=").replaceAll("CERTIFICATE", "PRIVATE KEY"), []],
    ["a real one", OWN, [Uint8Array.fromBase64(OWN.replace(/-----[^-]*-----/g, "")).length]],
  ] as [string, string, number[]][]
) {
  Deno.test(`RFC 7468 §5: certificates of a text: ${rule}`, () => {
    assertEquals(readCertificates(pem).map(({ length }) => length), sizes);
  });
}

// ---- Header fields -------------------------------------------------------

/** All octets as chars. */
const OCTETS = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code));

/** `tchar` of RFC 9110 §5.6.2, in the order of ASCII. */
const TCHARS = "!#$%&'*+-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ^_`abcdefghijklmnopqrstuvwxyz|~";

Deno.test("RFC 9110 §5.6.2: a token is one or more tchar", () => {
  assertEquals(OCTETS.filter((char) => TOKEN.test(char)).join(""), TCHARS);
  for (const text of ["", "a b", "a ", " a", "a\n", "\u0141"]) assert(!TOKEN.test(text), text);
  assert(TOKEN.test(TCHARS));
});

Deno.test("RFC 9110 §5.5: a field value has no control character except tab", () => {
  const refused = OCTETS.filter((char) => !FIELD_VALUE.test(`a${char}b`));
  const controls = OCTETS.filter((char) => char < " " && char !== "\t" || char === "\x7f");
  assertEquals(refused, controls);
  for (const text of ["", "\t", "\u{80}", "\u{10ffff}"]) assert(FIELD_VALUE.test(text), text);
  for (const text of ["a\n", "\na", "a\nb"]) assert(!FIELD_VALUE.test(text), text);
});

Deno.test("RFC 9110 §5.5: a lenient header refuses CR, LF and NUL only", () => {
  const fields = new Fields({ isLenient: true });
  const isTaken = (char: string) => {
    try {
      fields.append("A", `a${char}b`);
      return true;
    } catch (error) {
      assert(error instanceof MalformedError);
      return false;
    }
  };
  assertEquals(OCTETS.filter((char) => !isTaken(char)), ["\0", "\n", "\r"]);
  assertEquals(fields.size, 253);
  assertEquals(fields.appendLine("B:").get("B"), "");
});

Deno.test("RFC 9112 §5: a lenient header still wants a token as the name", () => {
  const fields = new Fields({ isLenient: true });
  assertThrows(() => fields.appendLine("A : a"), MalformedError, 'Field name "A " is not a token');
});

for (
  const [line, message] of [
    ["Host", "Field line has no colon"],
    ["", "Field line has no colon"],
    [": a", 'Field name "" is not a token'],
    ["A: \x01", "Value of field A has a control character"],
  ] as const
) {
  Deno.test(`RFC 9112 §5: field line ${JSON.stringify(line)}: ${message}`, () => {
    assertEquals(
      assertThrows(() => new Fields().appendLine(line), MalformedError).message,
      message,
    );
  });
}

Deno.test("RFC 9110 §5.3: fields that have no value give an empty value", () => {
  const fields = new Fields().appendLine("A:").appendLine("a: \t").appendLine("B: :");
  assertEquals([fields.get("A"), fields.get("b"), fields.size], [", ", ":", 3]);
  assertEquals(fields.all("c"), []);
});

// ---- Datagrams and time --------------------------------------------------

for (
  const [hostname, want] of [
    ["::ffff:127.0.0.1", "127.0.0.1"],
    ["::ffff:10.0.0.255", "10.0.0.255"],
    ["::ffff:1.2", "1.2"],
    ["::ffff:1:2", "::ffff:1:2"],
    ["::ffff:a.b", "::ffff:a.b"],
    ["::ffff:1.b", "::ffff:1.b"],
    ["1::ffff:1.2.3.4", "1::ffff:1.2.3.4"],
    ["fe80::1%eth0", "fe80::1%eth0"],
  ] as const
) {
  Deno.test(`showHost("${hostname}") is ${want}`, () => assertEquals(showHost(hostname), want));
}

Deno.test("timeOfDay: the time of day now, by the clock of the system, too", () => {
  assert(Math.abs(Number(timeOfDay()) - Date.now() / 1000) < 60);
});

Deno.test("requireDatagrams: names the flag that Deno was started without", () => {
  requireDatagrams();
  const { listenDatagram } = Deno;
  const set = (value: unknown) => Object.defineProperty(Deno, "listenDatagram", { value });
  try {
    set(undefined);
    assertThrows(requireDatagrams, Error, "Deno was started without UDP; add --unstable-net");
  } finally {
    set(listenDatagram);
  }
});

/** A socket that does with each receive what its step says, and is then closed. */
class ScriptedSocket implements Partial<Deno.DatagramConn> {
  isClosed = false;
  readonly #steps: (string | Error | Deno.Addr)[];
  #fail: (error: Error) => void = () => {};

  constructor(...steps: (string | Error | Deno.Addr)[]) {
    this.#steps = steps;
  }

  async receive(buffer = new Uint8Array()): Promise<[Uint8Array<ArrayBuffer>, Deno.Addr]> {
    const step = this.#steps.shift();
    if (step === undefined) return await new Promise((_, reject) => this.#fail = reject);
    if (step instanceof Error) throw step;
    if (typeof step !== "string") return [octetsOf("local"), step];
    assertEquals(buffer.length >= 65_535, true, "a datagram of any length fits");
    return [octetsOf(step), { transport: "udp", hostname: "127.0.0.1", port: 9 }];
  }

  close(): void {
    this.isClosed = true;
    this.#fail(new Deno.errors.BadResource("closed"));
  }
}

/** Receives what the steps say until "end". */
async function receiveFrom(...steps: (string | Error | Deno.Addr)[]): Promise<string[]> {
  const socket = new ScriptedSocket(...steps);
  const stop = new AbortController();
  const seen: string[] = [];
  await receiveAll(socket as unknown as Deno.DatagramConn, stop.signal, (octets) => {
    const text = toByteString(octets);
    if (text === "end") stop.abort();
    else seen.push(text);
  });
  assert(socket.isClosed);
  return seen;
}

Deno.test("receiveAll: the fault of an earlier datagram does not end the reading", async () => {
  const reset = new Deno.errors.ConnectionReset("An existing connection was closed");
  assertEquals(await receiveFrom("a", reset, "b", "end", "late"), ["a", "b"]);
});

Deno.test("receiveAll: any other fault of the socket is thrown", async () => {
  const fault = new Deno.errors.NotConnected("gone");
  await assertRejects(() => receiveFrom("a", fault, "end"), Deno.errors.NotConnected, "gone");
});

Deno.test("receiveAll: a datagram without an IP address is dropped", async () => {
  const local: Deno.UnixAddr = { transport: "unixpacket", path: "/tmp/x" };
  assertEquals(await receiveFrom(local, "a", "end"), ["a"]);
});

Deno.test("receiveAll: a signal that aborts during a receive closes the socket", async () => {
  const socket = new ScriptedSocket("a");
  const stop = new AbortController();
  const receiving = receiveAll(socket as unknown as Deno.DatagramConn, stop.signal, () => {});
  await new Promise((resolve) => setTimeout(resolve, 1));
  assertEquals(socket.isClosed, false);
  stop.abort();
  await receiving;
  assertEquals(socket.isClosed, true);
});

Deno.test("signalTimer: calls once when the time is over", async () => {
  const began = performance.now();
  let calls = 0;
  await new Promise<void>((resolve) =>
    signalTimer(20, () => {
      calls++;
      resolve();
    })
  );
  assert(performance.now() - began >= 19);
  assertEquals(calls, 1);
});

Deno.test("signalTimer: what it returns prevents the call", async () => {
  let calls = 0;
  signalTimer(1, () => calls++)();
  await new Promise<void>((resolve) => signalTimer(20, resolve));
  assertEquals(calls, 0);
});

/** Runs with a clock that stands still, and with timers that advance it and are over at once. */
async function withClock(run: (delays: number[]) => Promise<void>): Promise<void> {
  const { setTimeout } = globalThis;
  const { now } = performance;
  const delays: number[] = [];
  let time = 1000;
  performance.now = () => time;
  globalThis.setTimeout = ((call: () => void, delay: number) => {
    delays.push(delay);
    time += delay;
    return setTimeout(call, 0);
  }) as typeof setTimeout;
  try {
    await run(delays);
  } finally {
    globalThis.setTimeout = setTimeout;
    performance.now = now;
  }
}

for (
  const [ms, want] of [
    [5, [5]],
    [0, [0]],
    [-5, [0]],
    [2 ** 31 - 1, [2 ** 31 - 1]],
    [2 ** 31, [2 ** 31 - 1, 1]],
    [2 ** 32, [2 ** 31 - 1, 2 ** 31 - 1, 2]],
  ] as [number, number[]][]
) {
  Deno.test(`pause: ${ms} ms are waited for in steps of up to 2^31 - 1`, () =>
    withClock(async (delays) => {
      await pause(ms, new AbortController().signal);
      assertEquals(delays, want);
    }));
}

Deno.test("pause: leaves no listener on a signal that lives on", async () => {
  const { signal } = new AbortController();
  const listeners = new Set<unknown>();
  signal.addEventListener = (_: string, listener: unknown) => void listeners.add(listener);
  signal.removeEventListener = (_: string, listener: unknown) => void listeners.delete(listener);
  const paused = pause(1, signal);
  assertEquals(listeners.size, 1);
  await paused;
  assertEquals(listeners.size, 0);
});
