// deno-lint-ignore-file no-control-regex no-regex-spaces
/**
 * The web client against scripted servers: what each one sends, and the body and the exit status
 * that must come of it. Each row runs twice in this process, its octets sent at once and octet by
 * octet; the program is started where its terminal, its shell or its folder is the point.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import net from "node:net";
import zlib from "node:zlib";
import { fetchUrl } from "../http_client.ts";
import { toByteString } from "../protocol.ts";
import {
  certificate,
  CUTS,
  LOCAL,
  octetsOf,
  type Outcome,
  ROOT,
  runProgram,
  TLS,
} from "./helpers.ts";

// ---- Scripted servers --------------------------------------------------

/** What a server does beside sending. */
interface Action {
  readonly ends: boolean;
}
/** Closes at once; with the request unread, that is a reset. */
const RESET: Action = { ends: true };
/** Says no more, and keeps the connection open until the client goes. */
const STAY: Action = { ends: false };

/** As the first step: does not wait for a request, nor read it. */
const BLIND: Action = { ends: false };

/** Octets to send, a pause in milliseconds, or something else. */
type Step = string | number | Action;

interface Row {
  /** What must hold. */
  rule: string;
  /** What the server does on its first connection, on its second, …; numbers are pauses in ms. */
  sends: Step[][];
  /** Options; `URL` stands for the server, `HOST` and `PORT` for its parts. Default: the URL. */
  args?: string[];
  /** The body, or what it matches. */
  out?: string | RegExp;
  code?: number;
  /** What standard error holds. */
  says?: string | RegExp;
  /** What standard error must not hold. */
  hides?: string | RegExp;
  /** What each request must match. */
  asks?: (string | RegExp | { not: RegExp })[];
  /** Over TLS, with this certificate. */
  tls?: string;
  /** How many connections there must have been. */
  hops?: number;
}

/** A server with a script; `requests` are the heads (and bodies) it got. */
class ScriptedServer implements AsyncDisposable {
  readonly requests: string[] = [];
  readonly #listener: Deno.Listener;
  readonly #conns: Promise<void>[] = [];
  readonly #open = new Set<Deno.Conn>();

  constructor(
    readonly sends: Step[][],
    readonly cut: (text: string) => string[],
    listener: Deno.Listener,
  ) {
    this.#listener = listener;
    this.#accept();
  }

  get port(): number {
    return (this.#listener.addr as Deno.NetAddr).port;
  }

  async #accept(): Promise<void> {
    try {
      for (let count = 0;; count++) {
        const conn = await this.#listener.accept();
        const script = this.sends[Math.min(count, this.sends.length - 1)] ?? [];
        this.#conns.push(this.#play(conn, script).catch(() => {}));
      }
    } catch {
      // the end of the test
    }
  }

  async #play(conn: Deno.Conn, script: Step[]): Promise<void> {
    this.#open.add(conn);
    try {
      if ("setNoDelay" in conn && typeof conn.setNoDelay === "function") conn.setNoDelay();
      if (script[0] !== BLIND) this.requests.push(await readRequest(conn));
      for (const step of script) {
        if (step === RESET) return;
        if (step === BLIND) continue;
        if (step === STAY) await conn.read(new Uint8Array(1));
        else if (typeof step === "number") await new Promise((done) => setTimeout(done, step));
        else if (typeof step === "string") {
          for (const piece of this.cut(step)) {
            const octets = octetsOf(piece);
            for (let sent = 0; sent < octets.length;) {
              sent += await conn.write(octets.subarray(sent));
            }
          }
        }
      }
      await conn.closeWrite();
      await conn.read(new Uint8Array(65_536));
    } finally {
      this.#open.delete(conn);
      conn[Symbol.dispose]();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const conn of this.#open) conn[Symbol.dispose]();
    await Promise.all(this.#conns);
  }
}

/** Reads a head, and as much of a body as its Content-Length says. */
async function readRequest(conn: Deno.Conn): Promise<string> {
  let text = "";
  const octets = new Uint8Array(65_536);
  for (;;) {
    const end = text.indexOf("\r\n\r\n");
    const length = Number(/^Content-Length: (\d+)/mi.exec(text)?.[1] ?? 0);
    if (end >= 0 && text.length >= end + 4 + length) return text;
    const count = await conn.read(octets);
    if (count === null) return text;
    text += toByteString(octets.subarray(0, count));
  }
}

/** Runs the client in this process. */
async function runHere(args: string[], isTerminal = false): Promise<Outcome> {
  let [stdout, stderr] = ["", ""];
  const code = await fetchUrl(args, {
    stdout: {
      write: (octets) => Promise.resolve((stdout += toByteString(octets), octets.length)),
      isTerminal: () => isTerminal,
    },
    stderr: {
      writeSync: (octets) => (stderr += new TextDecoder().decode(octets), octets.length),
      isTerminal: () => isTerminal,
    },
    signal: () => new AbortController().signal,
  });
  return { code, stdout, stderr };
}

async function check(row: Row, cut: string): Promise<void> {
  const { rule, sends, args = ["URL"], out = "", code = 0, says, hides, asks = [], tls } = row;
  const listener = tls === undefined
    ? Deno.listen(LOCAL)
    : Deno.listenTls({ ...LOCAL, ...await certificate(tls) });
  const steps = sends.map((script) => [...script]);
  await using server = new ScriptedServer(steps, CUTS[cut] ?? ((text) => [text]), listener);
  const scheme = tls === undefined ? "http" : "https";
  const url = `${scheme}://127.0.0.1:${server.port}/`;
  const place = (text: string) => text.replaceAll("URL", url).replaceAll("PORT", `${server.port}`);
  server.sends.forEach((steps) =>
    steps.forEach((step, i) => typeof step === "string" && (steps[i] = place(step)))
  );
  const real = args.map(place);
  const outcome = await runHere(real);
  const shown = JSON.stringify(outcome);
  assertEquals(outcome.code, code, `${rule}: ${shown}`);
  if (typeof out === "string") assertEquals(outcome.stdout, out, shown);
  else assert(out.test(outcome.stdout), shown);
  if (code !== 0 && outcome.stderr !== "") assertStringIncludes(outcome.stderr, `(${code}) `);
  if (says !== undefined) assert(matches(outcome.stderr, says), `stderr: ${shown}`);
  if (hides !== undefined) assert(!matches(outcome.stderr, hides), `stderr: ${shown}`);
  if (row.hops !== undefined) assertEquals(server.requests.length, row.hops, shown);
  asks.forEach((ask, i) => {
    const request = server.requests[i] ?? "";
    if (typeof ask === "string" || ask instanceof RegExp) assert(matches(request, ask), request);
    else assert(!ask.not.test(request), request);
  });
}

/** Makes each row a step, some of them at the same time. */
async function inSteps<T>(
  t: Deno.TestContext,
  rows: readonly T[],
  name: (row: T) => string,
  check: (row: T) => Promise<void>,
): Promise<void> {
  const left = [...rows];
  const worker = async () => {
    for (let row; (row = left.shift()) !== undefined;) {
      const step = { name: name(row), fn: () => check(row) };
      await t.step({ ...step, sanitizeOps: false, sanitizeResources: false, sanitizeExit: false });
    }
  };
  await Promise.all(Array.from({ length: 8 }, worker));
}

function matches(text: string, wanted: string | RegExp): boolean {
  return typeof wanted === "string" ? text.includes(wanted) : wanted.test(text);
}

// ---- The rows ----------------------------------------------------------

const OK = "HTTP/1.1 200 OK\r\n";
const hello = (head: string) => `${OK}${head}\r\n\r\nhello`;
const gz = (text: string) => toByteString(zlib.gzipSync(octetsOf(text)));
const zl = (text: string) => toByteString(zlib.deflateSync(octetsOf(text)));
const raw = (text: string) => toByteString(zlib.deflateRawSync(octetsOf(text)));
const br = (text: string) => toByteString(zlib.brotliCompressSync(octetsOf(text)));
const coded = (coding: string, body: string, more = "") =>
  `${OK}Content-Encoding: ${coding}\r\nContent-Length: ${body.length}\r\n${more}\r\n${body}`;
const chunked = (body: string) => `${OK}Transfer-Encoding: chunked\r\n\r\n${body}`;
const to = (location: string, status = 302) =>
  `HTTP/1.1 ${status} Moved\r\nLocation: ${location}\r\nContent-Length: 0\r\n\r\n`;
const DONE = `${OK}Content-Length: 4\r\n\r\ndone`;
const LONG = "abcdefgh".repeat(500);

const ROWS: Row[] = [
  // status lines, RFC 9112 §4
  { rule: "a plain response", sends: [[hello("Content-Length: 5")]], out: "hello" },
  {
    rule: "no reason phrase",
    sends: [["HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello"]],
    out: "hello",
  },
  {
    rule: "an empty reason phrase",
    sends: [["HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\nhello"]],
    out: "hello",
  },
  { rule: "HTTP/1.0", sends: [["HTTP/1.0 200 OK\r\n\r\nhello"]], out: "hello" },
  {
    rule: "status 999",
    sends: [["HTTP/1.1 999 X\r\nContent-Length: 5\r\n\r\nhello"]],
    out: "hello",
  },
  { rule: "four digits of status", sends: [["HTTP/1.1 2000 OK\r\n\r\nhello"]], code: 8 },
  { rule: "two digits of status", sends: [["HTTP/1.1 20 OK\r\n\r\nhello"]], code: 8 },
  { rule: "a hundred digits", sends: [[`HTTP/1.1 200${"0".repeat(100)} OK\r\n\r\n`]], code: 8 },
  { rule: "status 099", sends: [["HTTP/1.1 099 OK\r\n\r\nhello"]], code: 8 },
  { rule: "no status at all", sends: [["HTTP/1.1\r\n\r\nhello"]], code: 8 },
  { rule: "two blanks before the status", sends: [["HTTP/1.1  200 OK\r\n\r\nhello"]], code: 8 },
  { rule: "HTTP/2.0", sends: [["HTTP/2.0 200 OK\r\n\r\nhello"]], code: 8 },
  { rule: "http in lower case", sends: [["http/1.1 200 OK\r\n\r\nhello"]], code: 8 },
  { rule: "no HTTP, and no line end", sends: [["SSH-2.0-x", STAY]], code: 8, says: "SSH-2.0" },
  { rule: "a body without a head", sends: [["<html>hello</html>"]], code: 8 },
  { rule: "an empty line first", sends: [["\r\nHTTP/1.1 200 OK\r\n\r\n"]], code: 8 },
  { rule: "NUL in the reason", sends: [["HTTP/1.1 200 O\0K\r\n\r\nhello"]], code: 8 },
  {
    rule: "TLS alert in the clear",
    sends: [["\x15\x03\x01\x00\x02\x02\x46"]],
    code: 8,
    says: "\\x15",
  },

  // header fields, §5
  {
    rule: "LF alone ends lines",
    sends: [["HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"]],
    out: "hello",
  },
  {
    rule: "obs-fold is joined",
    sends: [[`${OK}X: a\r\n b\r\nContent-Length: 5\r\n\r\nhello`]],
    out: "hello",
  },
  {
    rule: "obs-fold goes on with a length",
    sends: [[`${OK}Content-Length:\r\n 5\r\n\r\nhello`]],
    out: "hello",
  },
  {
    rule: "obs-fold of digits is no number",
    sends: [[`${OK}Content-Length: 1\r\n 5\r\n\r\nhello`]],
    code: 8,
  },
  { rule: "obs-fold comes first", sends: [[`${OK} X: a\r\n\r\nhello`]], code: 8 },
  { rule: "a blank before the colon", sends: [[hello("Content-Length : 5")]], code: 8 },
  { rule: "no colon", sends: [[hello("Content-Length 5")]], code: 8 },
  { rule: "no name", sends: [[hello(": 5")]], code: 8 },
  { rule: "a name with a blank", sends: [[hello("A B: 5")]], code: 8 },
  { rule: "NUL in a value", sends: [[hello("X: a\0b")]], code: 8 },
  { rule: "a lone CR in a value", sends: [[hello("X: a\rb")]], code: 8 },
  { rule: "a lone CR ends the status line", sends: [["HTTP/1.1 200 OK\rX: y\r\n\r\n"]], code: 8 },
  {
    rule: "obs-text in a value",
    sends: [[hello("X: \xe9\x80\r\nContent-Length: 5")]],
    out: "hello",
  },
  {
    rule: "ESC in a value, as a body goes on",
    sends: [[hello("X: \x1b[2J\r\nContent-Length: 5")]],
    out: "hello",
  },
  {
    rule: "-v shows no ESC",
    sends: [[hello("X: \x1b[2J\xc2\x9b\r\nContent-Length: 5")]],
    args: ["-v", "URL"],
    out: "hello",
    says: "\\x1b[2J\\x9b",
    hides: /\x1b|\x9b/,
  },
  { rule: "no fields at all", sends: [[`${OK}\r\nhello`]], out: "hello" },
  { rule: "an empty value", sends: [[hello("X:\r\nContent-Length:5")]], out: "hello" },
  { rule: "names in any case", sends: [[hello("cOnTeNt-LeNgTh: 5")]], out: "hello" },

  // limits
  { rule: "a line of a megabyte", sends: [[`${OK}X: ${"a".repeat(1 << 20)}\r\n\r\n`]], code: 100 },
  {
    rule: "a head of many lines",
    sends: [[OK + `X: ${"a".repeat(2000)}\r\n`.repeat(200) + "\r\n"]],
    code: 100,
  },
  { rule: "too many fields", sends: [[OK + "X: a\r\n".repeat(2100) + "\r\n"]], code: 100 },
  {
    rule: "a status line without end",
    sends: [[`HTTP/1.1 200 ${"a".repeat(100_000)}`, STAY]],
    code: 100,
  },
  {
    rule: "a line of 60,000 octets is held",
    sends: [[hello(`X: ${"a".repeat(60_000)}\r\nContent-Length: 5`)]],
    out: "hello",
  },

  // 1xx, RFC 9110 §15.2
  {
    rule: "100 is skipped",
    sends: [["HTTP/1.1 100 Continue\r\n\r\n" + hello("Content-Length: 5")]],
    out: "hello",
  },
  {
    rule: "103 with fields is skipped",
    sends: [[
      "HTTP/1.1 103 Early Hints\r\nLink: x\r\nContent-Length: 9\r\n\r\n" +
      hello("Content-Length: 5"),
    ]],
    out: "hello",
  },
  {
    rule: "several 1xx",
    sends: [["HTTP/1.1 102 P\r\n\r\n".repeat(50) + hello("Content-Length: 5")]],
    out: "hello",
  },
  { rule: "a flood of 1xx", sends: [["HTTP/1.1 102 P\r\n\r\n".repeat(2000), STAY]], code: 100 },
  {
    rule: "101 was not asked for",
    sends: [["HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\nbytes"]],
    code: 8,
  },
  { rule: "1xx and then nothing", sends: [["HTTP/1.1 100 Continue\r\n\r\n"]], code: 52 },

  // Content-Length, §6.3
  { rule: "zero", sends: [[`${OK}Content-Length: 0\r\n\r\n`]], out: "" },
  { rule: "what follows is not read", sends: [[hello("Content-Length: 4"), STAY]], out: "hell" },
  { rule: "the end need not come", sends: [[hello("Content-Length: 5"), STAY]], out: "hello" },
  { rule: "leading zeros", sends: [[hello("Content-Length: 0005")]], out: "hello" },
  {
    rule: "equal lengths",
    sends: [[hello("Content-Length: 5\r\nContent-Length: 5")]],
    out: "hello",
  },
  { rule: "an equal list", sends: [[hello("Content-Length: 5, 5")]], out: "hello" },
  {
    rule: "different lengths",
    sends: [[hello("Content-Length: 5\r\nContent-Length: 4")]],
    code: 8,
  },
  { rule: "a different list", sends: [[hello("Content-Length: 5, 4")]], code: 8 },
  { rule: "a list with a gap", sends: [[hello("Content-Length: 5,")]], code: 8 },
  { rule: "more than 2^53", sends: [[hello("Content-Length: 9007199254740993")]], code: 8 },
  { rule: "2^64 + 5", sends: [[hello("Content-Length: 18446744073709551621")]], code: 8 },
  ...["", "-5", "+5", "0x5", "5e0", "5.0", "five", "5 5", "\xb2"].map((length) => (
    { rule: `length "${length}" is none`, sends: [[hello(`Content-Length: ${length}`)]], code: 8 }
  )),
  {
    rule: "cut short",
    sends: [[`${OK}Content-Length: 100\r\n\r\nhello, world!`]],
    out: "hello, world!",
    code: 18,
    says: "http_client: (18) 87 bytes missing of 100\n",
  },
  { rule: "nothing of the body", sends: [[`${OK}Content-Length: 5\r\n\r\n`]], code: 18 },
  {
    rule: "reset in the body",
    sends: [[`${OK}Content-Length: 100\r\n\r\nhello`, 50, RESET]],
    args: ["-m", "5", "URL"],
    out: /hello|/,
    code: 18,
  },

  // Transfer-Encoding, §6.1 and §7.1
  { rule: "chunked", sends: [[chunked("5\r\nhello\r\n0\r\n\r\n")]], out: "hello" },
  {
    rule: "chunked, and no more is read",
    sends: [[chunked("5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n"), STAY]],
    out: "hello",
  },
  { rule: "two chunks", sends: [[chunked("2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n")]], out: "hello" },
  {
    rule: "upper-case digits",
    sends: [[chunked("A\r\n0123456789\r\n0\r\n\r\n")]],
    out: "0123456789",
  },
  {
    rule: "leading zeros of a size",
    sends: [[chunked("000000000000005\r\nhello\r\n00\r\n\r\n")]],
    out: "hello",
  },
  { rule: "extensions", sends: [[chunked('5;a=b;c="d;e"\r\nhello\r\n0;x\r\n\r\n')]], out: "hello" },
  {
    rule: "blanks behind the size",
    sends: [[chunked("5  \r\nhello\r\n0 ; x\r\n\r\n")]],
    out: "hello",
  },
  {
    rule: "trailers are dropped",
    sends: [[chunked("5\r\nhello\r\n0\r\nX: y\r\nContent-Length: 9\r\n\r\n")]],
    out: "hello",
  },
  {
    rule: "a NUL in a trailer",
    sends: [[chunked("5\r\nhello\r\n0\r\nX: a\0b\r\n\r\n")]],
    out: "hello",
    code: 56,
  },
  { rule: "LF alone in the coding", sends: [[chunked("5\nhello\n0\n\n")]], out: "hello" },
  { rule: "an empty body in chunks", sends: [[chunked("0\r\n\r\n")]], out: "" },
  {
    rule: "Chunked in any case, with gaps",
    sends: [[`${OK}Transfer-Encoding: , ChunKED ,\r\n\r\n5\r\nhello\r\n0\r\n\r\n`]],
    out: "hello",
  },
  {
    rule: "chunked wins over a length",
    sends: [[
      `${OK}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
    ]],
    out: "hello",
  },
  {
    rule: "a thousand chunks of an octet",
    sends: [[chunked("1\r\nx\r\n".repeat(1000) + "0\r\n\r\n")]],
    out: "x".repeat(1000),
  },
  ...["5zz", "5,", "5\0", "0x5", "+5", "-5", " 5", "", "g", "5 5", "fffffffffffffffff", ";a"].map((
    size,
  ) => (
    {
      rule: `chunk size "${size}" is none`,
      sends: [[chunked(`${size}\r\nhello\r\n0\r\n\r\n`)]],
      code: 56,
    }
  )),
  {
    rule: "data behind a chunk's size",
    sends: [[chunked("3\r\nhello\r\n0\r\n\r\n")]],
    out: "hel",
    code: 56,
  },
  {
    rule: "one octet too many",
    sends: [[chunked("4\r\nhello\r\n0\r\n\r\n"), STAY]],
    out: "hell",
    code: 56,
  },
  { rule: "an endless size line", sends: [[chunked(`5;${"a".repeat(20_000)}`), STAY]], code: 56 },
  {
    rule: "endless trailers",
    sends: [[chunked(`0\r\n${"X: y\r\n".repeat(20_000)}`), STAY]],
    code: 100,
  },
  {
    rule: "an endless trailer",
    sends: [[chunked(`0\r\nX: ${"y".repeat(70_000)}`), STAY]],
    code: 100,
  },
  { rule: "cut in a chunk", sends: [[chunked("5\r\nhel")]], out: "hel", code: 18 },
  { rule: "cut behind a chunk", sends: [[chunked("5\r\nhello")]], out: "hello", code: 18 },
  {
    rule: "cut before the last chunk",
    sends: [[chunked("5\r\nhello\r\n")]],
    out: "hello",
    code: 18,
  },
  { rule: "cut in a size", sends: [[chunked("5\r\nhello\r\n1")]], out: "hello", code: 18 },
  {
    rule: "cut in the trailers",
    sends: [[chunked("5\r\nhello\r\n0\r\nX: y\r\n")]],
    out: "hello",
    code: 18,
  },
  {
    rule: "cut at the last line",
    sends: [[chunked("5\r\nhello\r\n0\r\n")]],
    out: "hello",
    code: 18,
  },
  ...["gzip, chunked", "chunked, chunked", "identity", "chunked;x", "", "xchunked"].map((
    coding,
  ) => (
    {
      rule: `Transfer-Encoding "${coding}"`,
      sends: [[`${OK}Transfer-Encoding: ${coding}\r\n\r\n5\r\nhello\r\n0\r\n\r\n`]],
      code: 8,
    }
  )),

  // to the end of the connection
  { rule: "no length: to the end", sends: [[`${OK}\r\n${LONG}`]], out: LONG },
  { rule: "no length, nothing", sends: [[`${OK}\r\n`]], out: "" },
  { rule: "nothing came", sends: [[]], code: 52 },
  { rule: "cut in the status line", sends: [["HTTP/1.1 20"]], code: 8 },
  { rule: "cut in a field", sends: [[`${OK}Content-Le`]], code: 8 },
  { rule: "cut before the empty line", sends: [[`${OK}Content-Length: 5\r\n`]], code: 8 },

  // no body, whatever the header says: §6.3 rule 1
  ...["Content-Length: 5", "Transfer-Encoding: chunked", "X: y"].flatMap((field) => [
    { rule: `204 with ${field}`, sends: [[`HTTP/1.1 204 No\r\n${field}\r\n\r\n`, STAY]], out: "" },
    { rule: `304 with ${field}`, sends: [[`HTTP/1.1 304 Not\r\n${field}\r\n\r\n`, STAY]], out: "" },
    {
      rule: `HEAD with ${field}`,
      sends: [[`${OK}${field}\r\n\r\n`, STAY]],
      args: ["-I", "URL"],
      out: `${OK}${field}\r\n\r\n`,
      asks: [/^HEAD /],
    },
  ]),
  {
    rule: "-X HEAD has no body",
    sends: [[`${OK}Content-Length: 5\r\n\r\n`, STAY]],
    args: ["-X", "HEAD", "URL"],
    out: "",
  },
  {
    rule: "205 is framed as any",
    sends: [["HTTP/1.1 205 Reset\r\nContent-Length: 0\r\n\r\n", STAY]],
    out: "",
  },
  {
    rule: "HEAD with a coding",
    sends: [[`${OK}Content-Encoding: zzz\r\n\r\n`, STAY]],
    args: ["-I", "URL"],
    out: /zzz/,
  },

  // content codings, RFC 9110 §8.4
  {
    rule: "gzip",
    sends: [[coded("gzip", gz("hello"))]],
    out: "hello",
    asks: [/^Accept-Encoding: gzip, deflate, br\r$/m],
  },
  { rule: "x-gzip, in any case", sends: [[coded("X-GZIP", gz("hello"))]], out: "hello" },
  {
    rule: "gzip in chunks",
    sends: [[
      `${OK}Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n${
        gz("hello").slice(0, 5)
      }\r\n14\r\n${gz("hello").slice(5)}\r\n0\r\n\r\n`,
    ]],
    out: "hello",
  },
  {
    rule: "gzip to the end of the connection",
    sends: [[`${OK}Content-Encoding: gzip\r\n\r\n${gz("hello")}`]],
    out: "hello",
  },
  { rule: "two gzip members", sends: [[coded("gzip", gz("hel") + gz("lo"))]], out: "hello" },
  {
    rule: "zeros behind gzip",
    sends: [[coded("gzip", gz("hello") + "\0".repeat(20))]],
    out: "hello",
  },
  { rule: "gzip cut short", sends: [[coded("gzip", gz(LONG).slice(0, -9))]], out: /^/, code: 61 },
  {
    rule: "gzip without its check",
    sends: [[coded("gzip", gz("hello").slice(0, -8))]],
    out: /^/,
    code: 61,
  },
  {
    rule: "a second member cut short",
    sends: [[coded("gzip", gz("hel") + gz("lo").slice(0, -3))]],
    out: /^/,
    code: 61,
  },
  {
    rule: "gzip with a wrong check",
    sends: [[coded("gzip", gz("hello").slice(0, -8) + "abcd\x05\0\0\0")]],
    out: /^/,
    code: 61,
  },
  { rule: "gzip that is none", sends: [[coded("gzip", "hello, world")]], code: 61 },
  { rule: "gzip of nothing", sends: [[coded("gzip", "")]], out: "" },
  { rule: "one octet of gzip", sends: [[coded("gzip", "\x1f")]], code: 61 },
  { rule: "deflate is zlib", sends: [[coded("deflate", zl("hello"))]], out: "hello" },
  { rule: "deflate may be raw", sends: [[coded("deflate", raw("hello"))]], out: "hello" },
  {
    rule: "raw deflate, its first octet alone",
    sends: [[
      coded("deflate", raw("hello")).slice(0, -raw("hello").length + 1),
      60,
      raw("hello").slice(1),
    ]],
    out: "hello",
  },
  {
    rule: "zlib cut short",
    sends: [[coded("deflate", zl(LONG).slice(0, -5))]],
    out: /^/,
    code: 61,
  },
  {
    rule: "zlib without its check",
    sends: [[coded("deflate", zl("hello").slice(0, -4))]],
    out: /^/,
    code: 61,
  },
  {
    rule: "raw deflate cut short",
    sends: [[coded("deflate", raw(LONG).slice(0, -2))]],
    out: /^/,
    code: 61,
  },
  { rule: "brotli", sends: [[coded("br", br("hello"))]], out: "hello" },
  { rule: "brotli, long", sends: [[coded("br", br(LONG))]], out: LONG },
  { rule: "brotli cut short", sends: [[coded("br", br(LONG).slice(0, -1))]], out: /^/, code: 61 },
  {
    rule: "brotli cut in the middle",
    sends: [[coded("br", br(LONG).slice(0, 12))]],
    out: /^/,
    code: 61,
  },
  ...[1, 2, 3, 4, 5].map((size) => ({
    rule: `nothing is made up for the last ${size} octets of a brotli stream`,
    sends: [[coded("br", br("hello world".repeat(20)).slice(0, -size))]],
    out: /^(hello world)*[helo wrd]{0,10}$/,
    code: 61,
  })),
  {
    rule: "brotli that is none",
    sends: [[coded("br", "\xff\xff\xff\xff\xff\xff")]],
    out: /^/,
    code: 61,
  },
  { rule: "gzip upon gzip", sends: [[coded("gzip, gzip", gz(gz("hello")))]], out: "hello" },
  {
    rule: "deflate, then br, in two fields",
    sends: [[coded("deflate", br(zl("hello")), "Content-Encoding: br\r\n")]],
    out: "hello",
  },
  {
    rule: "six codings are too many",
    sends: [[coded("gzip,gzip,gzip,gzip,gzip,gzip", "x")]],
    code: 61,
  },
  { rule: "identity is none", sends: [[coded("identity", "hello")]], out: "hello" },
  { rule: "an unknown coding", sends: [[coded("zstd", "hello")]], code: 61, says: "zstd" },
  {
    rule: "--no-compressed asks for none and undoes none",
    sends: [[coded("gzip", gz("hello"))]],
    args: ["--no-compressed", "URL"],
    out: gz("hello"),
    asks: [/^Accept-Encoding: identity\r$/m],
  },
  {
    rule: "a range is not decoded",
    sends: [[coded("gzip", "abc")]],
    args: ["-r", "0-2", "URL"],
    out: "abc",
    asks: [/^Range: bytes=0-2\r$/m],
  },
  {
    rule: "a cut body tells before its coding",
    sends: [[
      `${OK}Content-Encoding: gzip\r\nContent-Length: 999\r\n\r\n${gz("hello").slice(0, 15)}`,
    ]],
    out: /^/,
    code: 18,
  },

  // --max-filesize
  {
    rule: "as large as allowed",
    sends: [[hello("Content-Length: 5")]],
    args: ["--max-filesize", "5", "URL"],
    out: "hello",
  },
  {
    rule: "a larger length",
    sends: [[hello("Content-Length: 5"), STAY]],
    args: ["--max-filesize", "4", "URL"],
    code: 63,
  },
  {
    rule: "larger without a length",
    sends: [[`${OK}\r\nhello`]],
    args: ["--max-filesize", "4", "URL"],
    out: /^(hell)?/,
    code: 63,
  },
  {
    rule: "larger in chunks",
    sends: [[chunked("5\r\nhello\r\n5\r\nhello\r\n"), STAY]],
    args: ["--max-filesize", "9", "URL"],
    out: /^(hello)?$/,
    code: 63,
  },
  {
    rule: "decoded octets count",
    sends: [[coded("gzip", gz("a".repeat(100_000)))]],
    args: ["--max-filesize", "99999", "URL"],
    out: /^a*$/,
    code: 63,
  },
  {
    rule: "decoded octets fit",
    sends: [[coded("gzip", gz("a".repeat(1000)))]],
    args: ["--max-filesize", "1000", "URL"],
    out: "a".repeat(1000),
  },

  // redirections, RFC 9110 §15.4
  ...[301, 302, 303, 307, 308].map((status) => (
    {
      rule: `${status} is followed`,
      sends: [[to("/x", status)], [DONE]],
      args: ["-L", "URL"],
      out: "done",
      asks: [/^GET \/ /, /^GET \/x /],
      hops: 2,
    }
  )),
  ...[300, 304, 305, 306, 399].map((status) => (
    {
      rule: `${status} is final`,
      sends: [[to("/x", status)], [DONE]],
      args: ["-L", "URL"],
      out: "",
      hops: 1,
    }
  )),
  {
    rule: "200 with a Location is final",
    sends: [[hello("Location: /x\r\nContent-Length: 5")], [DONE]],
    args: ["-L", "URL"],
    out: "hello",
    hops: 1,
  },
  {
    rule: "201 with a Location is final",
    sends: [["HTTP/1.1 201 Created\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"], [DONE]],
    args: ["-L", "URL"],
    hops: 1,
  },
  {
    rule: "without -L a redirection is shown",
    sends: [["HTTP/1.1 302 F\r\nLocation: /x\r\nContent-Length: 5\r\n\r\nhello"]],
    out: "hello",
    hops: 1,
  },
  {
    rule: "302 without Location is final",
    sends: [["HTTP/1.1 302 F\r\nContent-Length: 5\r\n\r\nhello"]],
    args: ["-L", "URL"],
    out: "hello",
  },
  {
    rule: "an empty Location is none",
    sends: [["HTTP/1.1 302 F\r\nLocation:\r\nContent-Length: 5\r\n\r\nhello"]],
    args: ["-L", "URL"],
    out: "hello",
  },
  {
    rule: "two Locations",
    sends: [["HTTP/1.1 302 F\r\nLocation: /a\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n"]],
    args: ["-L", "URL"],
    code: 8,
  },
  {
    rule: "the same Location twice",
    sends: [["HTTP/1.1 302 F\r\nLocation: /a\r\nLocation: /a\r\nContent-Length: 0\r\n\r\n"], [
      DONE,
    ]],
    args: ["-L", "URL"],
    out: "done",
  },
  {
    rule: "a body that never ends does not hold up a redirection",
    sends: [["HTTP/1.1 302 F\r\nLocation: /x\r\nContent-Length: 99\r\n\r\nhello", STAY], [DONE]],
    args: ["-L", "URL"],
    out: "done",
  },
  {
    rule: "left-over octets answer nothing",
    sends: [[to("/x") + hello("Content-Length: 5"), STAY], [DONE]],
    args: ["-L", "URL"],
    out: "done",
    hops: 2,
  },
  {
    rule: "relative to the folder",
    sends: [[to("b?q#frag")], [DONE]],
    args: ["-L", "URLa/x"],
    out: "done",
    asks: [/^GET \/a\/x /, /^GET \/a\/b\?q HTTP/],
  },
  {
    rule: "up a folder",
    sends: [[to("../y")], [DONE]],
    args: ["-L", "URLa/b/c"],
    out: "done",
    asks: [/./, /^GET \/a\/y /],
  },
  {
    rule: "//authority",
    sends: [[to("//127.0.0.1:PORT/y")], [DONE]],
    args: ["-L", "URL"],
    out: "done",
    asks: [/./, /^GET \/y /],
  },
  {
    rule: "an absolute URL",
    sends: [[to("URLy")], [DONE]],
    args: ["-L", "URL"],
    out: "done",
    asks: [/./, /^GET \/y /],
  },
  {
    rule: "a query only",
    sends: [[to("?z")], [DONE]],
    args: ["-L", "URLa?q"],
    out: "done",
    asks: [/./, /^GET \/a\?z /],
  },
  {
    rule: "raw UTF-8 in a Location",
    sends: [[to("/\xc3\xa9\x80")], [DONE]],
    args: ["-L", "URL"],
    out: "done",
    asks: [/./, /^GET \/%C3%A9%80 /],
  },
  {
    rule: "a blank in a Location",
    sends: [[to("/a b")], [DONE]],
    args: ["-L", "URL"],
    out: "done",
    asks: [/./, /^GET \/a%20b /],
  },
  {
    rule: "an encoded line end stays encoded",
    sends: [[to("/a%0d%0ab")], [DONE]],
    args: ["-L", "URL"],
    out: "done",
    asks: [/./, /^GET \/a%0d%0ab /],
  },
  ...["ftp://127.0.0.1/", "file:///etc/passwd", "javascript:alert(1)", "data:,x", "gopher://x/"]
    .map((location) => (
      {
        rule: `no way to ${location}`,
        sends: [[to(location)], [DONE]],
        args: ["-L", "URL"],
        code: 1,
        hops: 1,
      }
    )),
  ...["http://", "http:///x", "http:x", "http://[::1/", "http://h:99999/"].map((location) => (
    {
      rule: `${location} is no Location`,
      sends: [[to(location)], [DONE]],
      args: ["-L", "URL"],
      code: 3,
      hops: 1,
    }
  )),
  { rule: "a loop ends at 20", sends: [[to("/x")]], args: ["-L", "URL"], code: 47, hops: 21 },
  {
    rule: "--max-redirs 0",
    sends: [[to("/x")], [DONE]],
    args: ["-L", "--max-redirs", "0", "URL"],
    code: 47,
    hops: 1,
  },
  {
    rule: "--max-redirs 1",
    sends: [[to("/x")], [DONE]],
    args: ["-L", "--max-redirs", "1", "URL"],
    out: "done",
  },
  {
    rule: "302 makes a POST a GET",
    sends: [[to("/x")], [DONE]],
    args: ["-L", "-d", "a=b", "URL"],
    out: "done",
    asks: [/^POST [^]*a=b$/, /^GET \/x [^]*\r\n\r\n$/],
  },
  {
    rule: "and drops what described the body",
    sends: [[to("/x", 301)], [DONE]],
    args: ["-L", "-d", "a=b", "-H", "Content-Type: x/y", "URL"],
    out: "done",
    asks: [/^Content-Type: x\/y\r$/m, { not: /Content-/ }],
  },
  {
    rule: "303 makes a PUT a GET",
    sends: [[to("/x", 303)], [DONE]],
    args: ["-L", "-X", "PUT", "-d", "a", "URL"],
    out: "done",
    asks: [/^PUT/, /^GET/],
  },
  {
    rule: "302 leaves a PUT",
    sends: [[to("/x", 302)], [DONE]],
    args: ["-L", "-X", "PUT", "-d", "a", "URL"],
    out: "done",
    asks: [/^PUT/, /^PUT [^]*a$/],
  },
  {
    rule: "303 leaves HEAD",
    sends: [[to("/x", 303)], [`${OK}\r\n`]],
    args: ["-LI", "URL"],
    out: /200 OK/,
    asks: [/^HEAD/, /^HEAD/],
  },
  {
    rule: "307 keeps method and body",
    sends: [[to("/x", 307)], [DONE]],
    args: ["-L", "-d", "a=b", "URL"],
    out: "done",
    asks: [/^POST/, /^POST \/x [^]*\r\n\r\na=b$/],
  },
  {
    rule: "-i shows every header",
    sends: [[to("/x")], [DONE]],
    args: ["-iL", "URL"],
    out: /^HTTP\/1.1 302[^]*\r\n\r\nHTTP\/1.1 200 OK\r\n[^]*\r\n\r\ndone$/,
  },

  // credentials: for one origin
  {
    rule: "-u for the origin",
    sends: [[DONE]],
    args: ["-u", "ann:s3cret", "URL"],
    out: "done",
    asks: [/^Authorization: Basic YW5uOnMzY3JldA==\r$/m],
  },
  {
    rule: "-u in UTF-8",
    sends: [[DONE]],
    args: ["-u", "é:ü", "URL"],
    out: "done",
    asks: [/^Authorization: Basic w6k6w7w=\r$/m],
  },
  {
    rule: "a user in the URL",
    sends: [[DONE]],
    args: ["http://a%20b:c%40d@127.0.0.1:PORT/"],
    out: "done",
    asks: [/^Authorization: Basic YSBiOmNAZA==\r$/m],
  },
  {
    rule: "-u before the URL's",
    sends: [[DONE]],
    args: ["-u", "x:y", "http://a:b@127.0.0.1:PORT/"],
    out: "done",
    asks: [/^Authorization: Basic eDp5\r$/m],
  },
  {
    rule: "the same origin keeps credentials",
    sends: [[to("/x")], [DONE]],
    args: ["-L", "-u", "a:b", "-H", "Cookie: c=1", "URL"],
    out: "done",
    asks: [/^Authorization/m, /^Authorization[^]*^Cookie: c=1/m],
  },
  {
    rule: "another name gets none, for good",
    sends: [[to("http://localhost:PORT/y")], [to("URLz")], [DONE]],
    args: [
      "-L",
      "-u",
      "a:b",
      "-H",
      "Cookie: c=1",
      "-H",
      "Proxy-Authorization: p",
      "-H",
      "Host: h.example",
      "-H",
      "X-Y: kept",
      "URL",
    ],
    out: "done",
    asks: [/^Host: h.example[^]*|^Authorization[^]*^Cookie/m, {
      not: /Authorization|Cookie|h\.example/,
    }, { not: /Authorization|Cookie|h\.example/ }],
    hops: 3,
  },
  {
    rule: "a field Authorization is dropped as well",
    sends: [[to("http://localhost:PORT/y")], [DONE]],
    args: ["-L", "-H", "Authorization: Bearer t", "URL"],
    out: "done",
    asks: [/^Authorization: Bearer t\r$/m, { not: /Bearer/ }],
  },
  {
    rule: "other fields go along",
    sends: [[to("http://localhost:PORT/y")], [DONE]],
    args: ["-L", "-H", "X-Y: kept", "URL"],
    out: "done",
    asks: [/./, /^X-Y: kept\r$/m],
  },
  {
    rule: "a user in a Location is for there",
    sends: [[to("http://c:d@localhost:PORT/y")], [DONE]],
    args: ["-L", "-u", "a:b", "URL"],
    out: "done",
    asks: [/YTpi/, /^Authorization: Basic Yzpk\r$/m],
  },
  {
    rule: "-v hides secrets",
    sends: [[DONE]],
    args: ["-v", "-u", "ann:s3cret", "-H", "Cookie: k=v1", "http://127.0.0.1:PORT/"],
    out: "done",
    says: /> Authorization: \[credentials\]\n[^]*> Cookie: \[credentials\]/,
    hides: /s3cret|YW5u|k=v1/,
  },
  {
    rule: "-v hides the URL's secrets",
    sends: [[to("http://u:pa55@127.0.0.1:PORT/")], [DONE]],
    args: ["-vL", "http://ann:s3cret@127.0.0.1:PORT/"],
    out: "done",
    hides: /s3cret/,
  },

  // the request
  {
    rule: "a browser's GET",
    sends: [[DONE]],
    out: "done",
    asks: [
      /^GET \/ HTTP\/1.1\r\nHost: 127.0.0.1:\d+\r\nUser-Agent: http_client\/[\d.]+\r\nAccept: \*\/\*\r\n/,
    ],
  },
  {
    rule: "three words print the header",
    sends: [[hello("Content-Length: 5")]],
    args: ["127.0.0.1", "PORT", "a/hello.html"],
    out: `${OK}Content-Length: 5\r\n\r\nhello`,
    asks: [/^GET \/a\/hello.html /],
  },
  {
    rule: "three words, a slash, a blank, a hash",
    sends: [[DONE]],
    args: ["127.0.0.1", "PORT", "/a b#c"],
    out: /done$/,
    asks: [/^GET \/a%20b%23c /],
  },
  {
    rule: "the course's server",
    sends: [[
      "HTTP/1.1 200 OK\r\nConnection: close\r\nDate: Sun Nov 22 2026 17:00\r\nContent-Type: text/html\r\n\r\n<p>hi</p>",
    ]],
    args: ["localhost", "PORT", "index.html"],
    out: /<p>hi<\/p>$/,
  },
  {
    rule: "host:port/path",
    sends: [[DONE]],
    args: ["127.0.0.1:PORT/a"],
    out: "done",
    asks: [/^GET \/a /],
  },
  {
    rule: "localhost:port/path",
    sends: [[DONE]],
    args: ["localhost:PORT/a"],
    out: "done",
    asks: [/Host: localhost:/],
  },
  {
    rule: ":port/path",
    sends: [[DONE]],
    args: [":PORT/a"],
    out: "done",
    asks: [/Host: localhost:/],
  },
  { rule: ":port", sends: [[DONE]], args: [":PORT"], out: "done", asks: [/^GET \/ /] },
  {
    rule: "a query without a path",
    sends: [[DONE]],
    args: ["127.0.0.1:PORT?q=1"],
    out: "done",
    asks: [/^GET \/\?q=1 /],
  },
  {
    rule: "an empty query stays",
    sends: [[DONE]],
    args: ["URLx?"],
    out: "done",
    asks: [/^GET \/x\? /],
  },
  {
    rule: "a fragment is not sent",
    sends: [[DONE]],
    args: ["URLx#y?z"],
    out: "done",
    asks: [/^GET \/x HTTP/],
  },
  {
    rule: "a backslash is a backslash",
    sends: [[DONE]],
    args: ["URLa\\b"],
    out: "done",
    asks: [/^GET \/a%5Cb /],
  },
  {
    rule: "a percent sign is left alone",
    sends: [[DONE]],
    args: ["URL%zz%2f"],
    out: "done",
    asks: [/^GET \/%zz%2f /],
  },
  {
    rule: "a scheme in upper case",
    sends: [[DONE]],
    args: ["HTTP://127.0.0.1:PORT/"],
    out: "done",
  },
  { rule: "-X", sends: [[DONE]], args: ["-X", "DELETE", "URL"], out: "done", asks: [/^DELETE /] },
  {
    rule: "-d is POST",
    sends: [[DONE]],
    args: ["-d", "a=b", "-d", "c=d", "URL"],
    out: "done",
    asks: [
      /^POST [^]*Content-Type: application\/x-www-form-urlencoded\r\n[^]*Content-Length: 7\r\n\r\na=b&c=d$/,
    ],
  },
  {
    rule: "POST without a body has a length",
    sends: [[DONE]],
    args: ["-X", "POST", "URL"],
    out: "done",
    asks: [/^Content-Length: 0\r$/m],
  },
  {
    rule: "-d of nothing",
    sends: [[DONE]],
    args: ["-d", "", "URL"],
    out: "done",
    asks: [/^POST [^]*Content-Length: 0\r/],
  },
  {
    rule: "-d in UTF-8 counts octets",
    sends: [[DONE]],
    args: ["-d", "é", "URL"],
    out: "done",
    asks: [/Content-Length: 2\r/],
  },
  {
    rule: "-H adds, replaces and removes",
    sends: [[DONE]],
    args: ["-H", "X-A: 1", "-H", "accept: b/c", "-H", "User-Agent:", "-H", "X-E;", "URL"],
    out: "done",
    asks: [/^X-A: 1\r\naccept: b\/c\r\nX-E: \r$/m],
  },
  {
    rule: "-H Host",
    sends: [[DONE]],
    args: ["-H", "Host: h.example", "URL"],
    out: "done",
    asks: [/^Host: h.example\r$/m],
  },
  {
    rule: "-A",
    sends: [[DONE]],
    args: ["-A", "me/1", "URL"],
    out: "done",
    asks: [/^User-Agent: me\/1\r$/m],
  },
  {
    rule: "-A of nothing",
    sends: [[DONE]],
    args: ["-A", "", "URL"],
    out: "done",
    asks: [{ not: /User-Agent/ }],
  },
  {
    rule: "-r from the end",
    sends: [["HTTP/1.1 206 P\r\nContent-Range: bytes 3-4/5\r\nContent-Length: 2\r\n\r\nlo"]],
    args: ["-r", "-2", "URL"],
    out: "lo",
    asks: [/^Range: bytes=-2\r$/m],
  },
  {
    rule: "an answer to half a request",
    sends: [[DONE]],
    args: ["-d", "x".repeat(100_000), "URL"],
    out: "done",
  },

  // -f
  {
    rule: "404 without -f is a response",
    sends: [["HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\nsorr"]],
    out: "sorr",
  },
  {
    rule: "404 with -f",
    sends: [["HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\nsorr"]],
    args: ["-f", "URL"],
    code: 22,
    says: "404 No",
  },
  {
    rule: "-f does not wait for the body",
    sends: [["HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\n", STAY]],
    args: ["-f", "URL"],
    code: 22,
  },
  {
    rule: "399 passes -f",
    sends: [["HTTP/1.1 399 Hm\r\nContent-Length: 2\r\n\r\nok"]],
    args: ["-f", "URL"],
    out: "ok",
  },
  {
    rule: "--fail-with-body",
    sends: [["HTTP/1.1 400 No\r\nContent-Length: 4\r\n\r\nsorr"]],
    args: ["--fail-with-body", "URL"],
    out: "sorr",
    code: 22,
  },
  {
    rule: "--fail-with-body cut short",
    sends: [["HTTP/1.1 400 No\r\nContent-Length: 9\r\n\r\nsorr"]],
    args: ["--fail-with-body", "URL"],
    out: "sorr",
    code: 18,
  },
  {
    rule: "a reason with ESC is escaped",
    sends: [["HTTP/1.1 404 \x1b]0;x\x07\r\n\r\n"]],
    args: ["-f", "URL"],
    code: 22,
    says: "\\x1b]0;x\\x07",
    hides: "\x1b",
  },

  {
    rule: "-f with -i shows the header",
    sends: [["HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\nsorr"]],
    args: ["-fi", "URL"],
    out: "HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\n",
    code: 22,
  },
  {
    rule: "a line where a chunk ends",
    sends: [[chunked("5\r\nhelloX\n0\r\n\r\n")]],
    out: "hello",
    code: 56,
  },
  {
    rule: "-H with the length that is sent",
    sends: [[DONE]],
    args: ["-X", "POST", "-H", "Content-Length: 0", "URL"],
    out: "done",
    asks: [/Content-Length: 0\r/],
  },

  // time
  { rule: "-m while the head is awaited", sends: [[STAY]], args: ["-m", "0.4", "URL"], code: 28 },
  {
    rule: "-m while the body is awaited",
    sends: [[`${OK}Content-Length: 5\r\n\r\nhe`, STAY]],
    args: ["-m", "0.4", "URL"],
    out: /^(he)?$/,
    code: 28,
  },
  {
    rule: "-m in a chunk",
    sends: [[chunked("5\r\nhe"), STAY]],
    args: ["-m", "0.4", "URL"],
    out: /^(he)?$/,
    code: 28,
  },
  {
    rule: "-m over all hops",
    sends: [[250, to("/x")]],
    args: ["-L", "-m", "0.7", "URL"],
    code: 28,
  },
  { rule: "-m is enough", sends: [[50, DONE]], args: ["-m", "5", "URL"], out: "done" },
  {
    rule: "--connect-timeout does not count after the connection",
    sends: [[400, DONE]],
    args: ["--connect-timeout", "0.3", "URL"],
    out: "done",
  },

  // --retry
  {
    rule: "503 and Retry-After: 0",
    sends: [["HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 4\r\n\r\nbusy"], [DONE]],
    args: ["--retry", "1", "URL"],
    out: "done",
    says: "(22)",
    hops: 2,
  },
  {
    rule: "429 and a date long past",
    sends: [[
      "HTTP/1.1 429 Slow\r\nRetry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\nContent-Length: 0\r\n\r\n",
    ], [DONE]],
    args: ["-s", "--retry", "1", "URL"],
    out: "done",
    hides: /./,
    hops: 2,
  },
  {
    rule: "the last answer counts",
    sends: [["HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 4\r\n\r\nbusy"]],
    args: ["--retry", "2", "URL"],
    out: "busy",
    hops: 3,
  },
  {
    rule: "408 is tried again",
    sends: [["HTTP/1.1 408 Slow\r\nRetry-After: 0\r\nContent-Length: 4\r\n\r\nslow"], [DONE]],
    args: ["--retry", "1", "URL"],
    out: "done",
    hops: 2,
  },
  {
    rule: "the header shows once, with the body of another attempt",
    sends: [[`${OK}Content-Length: 4\r\n\r\n`], [DONE]],
    args: ["--retry", "1", "-i", "URL"],
    out: DONE,
    hops: 2,
  },
  {
    rule: "404 is not tried again",
    sends: [["HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\nsorr"]],
    args: ["--retry", "2", "URL"],
    out: "sorr",
    hops: 1,
  },
  ...["1.5", "-1", "soon 3"].map((value) => ({
    rule: `Retry-After: ${value} says nothing`,
    sends: [[`HTTP/1.1 503 B\r\nRetry-After: ${value}\r\nContent-Length: 0\r\n\r\n`], [DONE]],
    args: ["--retry", "1", "URL"],
    out: "done",
    says: "again in 1 s",
  })),
  {
    rule: "a wait of a day is none",
    sends: [["HTTP/1.1 503 Busy\r\nRetry-After: 86400\r\nContent-Length: 4\r\n\r\nbusy"]],
    args: ["--retry", "2", "URL"],
    out: "busy",
    hops: 1,
  },
  {
    rule: "and with -f an error",
    sends: [["HTTP/1.1 503 Busy\r\nRetry-After: 86400\r\nContent-Length: 4\r\n\r\nbusy"]],
    args: ["--retry", "2", "-f", "URL"],
    code: 22,
    hops: 1,
  },
  {
    rule: "a download on standard output goes on",
    sends: [[`${OK}ETag: "a"\r\nContent-Length: 5\r\n\r\nhe`], [
      "HTTP/1.1 206 P\r\nContent-Range: bytes 2-4/5\r\nContent-Length: 3\r\n\r\nllo",
    ]],
    args: ["--retry", "1", "--no-compressed", "URL"],
    out: "hello",
    asks: [/^GET/, /^Range: bytes=2-\r\nIf-Range: "a"\r$/m],
  },
  {
    rule: "and does not begin twice",
    sends: [[`${OK}Content-Length: 5\r\n\r\nhe`], [hello("Content-Length: 5")]],
    args: ["--retry", "1", "URL"],
    out: "he",
    code: 33,
  },

  // TLS
  {
    rule: "https with a CA of one's own",
    tls: "localhost",
    sends: [[DONE]],
    args: ["--cacert", `${TLS}ca.pem`, "URL"],
    out: "done",
  },
  {
    rule: "an unknown CA",
    tls: "localhost",
    sends: [[DONE]],
    code: 60,
    says: /127\.0\.0\.1.*nobody known/,
  },
  {
    rule: "signed by itself",
    tls: "selfsigned",
    sends: [[DONE]],
    args: ["--cacert", `${TLS}ca.pem`, "URL"],
    code: 60,
  },
  {
    rule: "for another name",
    tls: "other",
    sends: [[DONE]],
    args: ["--cacert", `${TLS}ca.pem`, "URL"],
    code: 60,
    says: /127\.0\.0\.1.*other\.example/,
  },
  {
    rule: "expired",
    tls: "expired",
    sends: [[DONE]],
    args: ["--cacert", `${TLS}ca.pem`, "URL"],
    code: 60,
    says: /expired on .*2021/,
  },
  {
    rule: "not valid yet",
    tls: "future",
    sends: [[DONE]],
    args: ["--cacert", `${TLS}ca.pem`, "URL"],
    code: 60,
    says: /not valid before .*2100/,
  },
  ...["localhost", "other", "expired", "future", "selfsigned"].map((tls) => (
    {
      rule: `-k takes ${tls}`,
      tls,
      sends: [[DONE]],
      args: ["-k", "URL"],
      out: "done",
      says: "warning",
    }
  )),
  {
    rule: "-k warns not under -s",
    tls: "other",
    sends: [[DONE]],
    args: ["-sk", "URL"],
    out: "done",
    hides: /./,
  },
  {
    rule: "no close_notify, framed",
    tls: "localhost",
    sends: [[DONE, STAY]],
    args: ["--cacert", `${TLS}ca.pem`, "URL"],
    out: "done",
  },
  {
    rule: "https in the clear",
    sends: [[BLIND, "HTTP/1.1 400 No\r\n\r\n", STAY]],
    args: ["-m", "5", "https://127.0.0.1:PORT/"],
    code: 35,
  },
  {
    rule: "a handshake that never comes",
    sends: [[BLIND, 1500, RESET]],
    args: ["--connect-timeout", "0.4", "https://127.0.0.1:PORT/"],
    code: 28,
  },
  {
    rule: "a handshake that never comes, and -m",
    sends: [[BLIND, 1500, RESET]],
    args: ["-m", "0.4", "https://127.0.0.1:PORT/"],
    code: 28,
  },
  {
    rule: "closed in the handshake",
    sends: [[BLIND, 50, RESET]],
    args: ["https://127.0.0.1:PORT/"],
    code: 35,
  },

  // --timing and -v
  {
    rule: "--timing",
    sends: [[DONE]],
    args: ["--timing", "URL"],
    out: "done",
    says: /^dns \d+\.\d  connect \d+\.\d  tls \d+\.\d  first-byte \d+\.\d  total \d+\.\d ms\n$/,
  },
  {
    rule: "-v shows the conversation",
    sends: [[hello("Content-Length: 5")]],
    args: ["-v", "URL"],
    out: "hello",
    says:
      /^\* connected to 127\.0\.0\.1 port \d+\n> GET \/ HTTP\/1\.1\n[^]*\n> \n< HTTP\/1\.1 200 OK\n< Content-Length: 5\n< \n\* /,
  },
  { rule: "bundles", sends: [[DONE]], args: ["-fsSL", "URL"], out: "done", hides: /./ },
  { rule: "-- ends the options", sends: [[DONE]], args: ["-s", "--", "URL"], out: "done" },
  { rule: "-o - is standard output", sends: [[DONE]], args: ["-o", "-", "URL"], out: "done" },
];

for (const cut of Object.keys(CUTS)) {
  Deno.test(`responses, ${cut}`, async (t) => {
    await inSteps(t, ROWS, ({ rule }) => rule, (row) => check(row, cut));
  });
}

// ---- What takes a server of another kind --------------------------------

/** A server of node:net, which can reset a connection: says something, or null, then resets it. */
async function resetting(text: string | null, args: string[]): Promise<Outcome> {
  const server = net.createServer((socket) => {
    socket.on("error", () => {});
    if (text === null) return socket.resetAndDestroy();
    socket.once("data", () => {
      socket.pause();
      socket.write(octetsOf(text), () => setTimeout(() => socket.resetAndDestroy(), 100));
    });
  });
  const listening = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", listening.resolve);
  await listening.promise;
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const outcome = await runProgram("http_client.ts", [...args, `http://127.0.0.1:${port}/`]);
  const closed = Promise.withResolvers<void>();
  server.close(() => closed.resolve());
  await closed.promise;
  return outcome;
}

const RESETS = [
  { rule: "a reset before the head", text: "", out: "" },
  { rule: "a reset in the head", text: `${OK}X`, out: "" },
  {
    rule: "a reset in a body with a length",
    text: `${OK}Content-Length: 9\r\n\r\nhello`,
    out: "hello",
  },
  { rule: "a reset in a body without a length", text: `${OK}\r\nhello`, out: "hello" },
  { rule: "a reset in a chunk", text: chunked("9\r\nhello"), out: "hello" },
];

Deno.test("resets", async (t) => {
  await inSteps(t, RESETS, ({ rule }) => rule, async ({ text, out }) => {
    const { code, stdout, stderr } = await resetting(text, []);
    assertEquals({ code, stdout }, { code: 56, stdout: out }, stderr);
    assertStringIncludes(stderr, "http_client: (56) ");
  });
});

Deno.test("a reset before the request is no empty answer", async () => {
  const { code, stderr } = await resetting(null, []);
  assertEquals(code, 56, stderr);
});

/** A TLS server of Python's, which can leave the close_notify out. */
const TLS_SERVER = `
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1] + ".pem", sys.argv[1] + ".key")
if sys.argv[2] == "1.2": context.maximum_version = ssl.TLSVersion.TLSv1_2
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
print(listener.getsockname()[1], flush=True)
conn = context.wrap_socket(listener.accept()[0], server_side=True)
conn.recv(65536)
conn.sendall(sys.argv[4].encode())
if sys.argv[3] == "polite":
    try: conn.unwrap()
    except OSError: pass
else: conn.shutdown(socket.SHUT_RDWR)
`;

const ENDINGS = [
  {
    rule: "close_notify ends a body without length",
    how: "polite",
    text: `${OK}\r\nhello`,
    code: 0,
  },
  { rule: "without close_notify it is cut", how: "rude", text: `${OK}\r\nhello`, code: 56 },
  {
    rule: "with a length that does not matter",
    how: "rude",
    text: `${OK}Content-Length: 5\r\n\r\nhello`,
    code: 0,
  },
  { rule: "nor in chunks", how: "rude", text: chunked("5\r\nhello\r\n0\r\n\r\n"), code: 0 },
  {
    rule: "a length cut short",
    how: "polite",
    text: `${OK}Content-Length: 6\r\n\r\nhello`,
    code: 18,
  },
];

const ENDED = [["--cacert", `${TLS}ca.pem`], ["-k"]].flatMap((trust) =>
  ["1.2", "1.3"].flatMap((version) => ENDINGS.map((ending) => ({ trust, version, ...ending })))
);

Deno.test("endings of TLS", { ignore: !await has("python3") }, async (t) => {
  const name = ({ rule, trust, version }: typeof ENDED[0]) => `TLS ${version} ${trust[0]}: ${rule}`;
  await inSteps(t, ENDED, name, async ({ trust, version, how, text, code }) => {
    const child = new Deno.Command("python3", {
      args: ["-c", TLS_SERVER, `${TLS}localhost`, version, how, text],
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const reader = child.stdout.getReader();
    const { value } = await reader.read();
    const port = new TextDecoder().decode(value).trim();
    const outcome = await runHere([...trust, `https://127.0.0.1:${port}/`]);
    await reader.cancel();
    await child.status;
    assertEquals(outcome.code, code, JSON.stringify(outcome));
    assertEquals(outcome.stdout, "hello");
  });
});

Deno.test("-k: a slow reader gets what came before the end", async () => {
  const listener = Deno.listenTls({ ...LOCAL, ...await certificate("other") });
  const body = "x".repeat(1 << 20);
  const sends = [[`${OK}Content-Length: ${body.length}\r\n\r\n${body}`]];
  await using server = new ScriptedServer(sends, (text) => [text], listener);
  let size = 0;
  const stdout = {
    async write(octets: Uint8Array) {
      if (size === 0) await new Promise((done) => setTimeout(done, 300));
      size += octets.length;
      return octets.length;
    },
    isTerminal: () => false,
  };
  let said = "";
  const stderr = {
    writeSync: (octets: Uint8Array) => (said += toByteString(octets), octets.length),
    isTerminal: () => false,
  };
  const signal = () => new AbortController().signal;
  const args = ["-sk", `https://127.0.0.1:${server.port}/`];
  assertEquals(await fetchUrl(args, { stdout, stderr, signal }), 0, said);
  assertEquals(size, body.length);
});

Deno.test("--retry waits for what is being written yet", async () => {
  const sends = [[`${OK}Content-Length: 5\r\n\r\nhe`, STAY], [
    "HTTP/1.1 206 P\r\nContent-Range: bytes 2-4/5\r\nContent-Length: 3\r\n\r\nllo",
  ]];
  await using server = new ScriptedServer(sends, (text) => [text], Deno.listen(LOCAL));
  let shown = "";
  const stdout = {
    async write(octets: Uint8Array) {
      if (shown === "") await new Promise((done) => setTimeout(done, 4000));
      shown += toByteString(octets);
      return octets.length;
    },
    isTerminal: () => false,
  };
  const stderr = { writeSync: (octets: Uint8Array) => octets.length, isTerminal: () => false };
  const signal = () => new AbortController().signal;
  const args = ["-m", "0.5", "--retry", "1", "--no-compressed", `:${server.port}`];
  assertEquals(await fetchUrl(args, { stdout, stderr, signal }), 0);
  assertEquals(shown, "hello");
  assertStringIncludes(server.requests[1] ?? "", "Range: bytes=2-\r\n");
});

/** Whether a program is there; a line says so where it is not. */
async function has(program: string): Promise<boolean> {
  try {
    await new Deno.Command(program, { args: ["--version"], stdout: "null", stderr: "null" })
      .output();
    return true;
  } catch {
    console.log(`skipped what needs ${program}: apt-get install ${program}`);
    return false;
  }
}

// ---- The terminal ------------------------------------------------------

/** Runs the client on a terminal of Python's making, and gives what was shown on it. */
async function onTerminal(
  args: string[],
  options: { interrupt?: boolean } = {},
): Promise<{ code: number; shown: string }> {
  const script = String.raw`
import os, pty, signal, sys, time, select
pid, fd = pty.fork()
if pid == 0: os.execvp(sys.argv[2], sys.argv[2:])
shown, start, sent = b"", time.time(), sys.argv[1] == "wait"
while True:
    ready, _, _ = select.select([fd], [], [], 0.2)
    if ready:
        try: octets = os.read(fd, 65536)
        except OSError: break
        if not octets: break
        shown += octets
    if not sent and time.time() - start > 1.2:
        os.write(fd, b"\x03"); sent = True
    if time.time() - start > 20: os.kill(pid, signal.SIGKILL)
status = os.waitpid(pid, 0)[1]
sys.stdout.buffer.write(b"%d\n" % os.waitstatus_to_exitcode(status) + shown)
`;
  const { stdout } = await new Deno.Command("python3", {
    args: [
      ...["-c", script, options.interrupt ? "interrupt" : "wait", Deno.execPath(), "run"],
      ...["--allow-all", `${ROOT}http_client.ts`, ...args],
    ],
    env: { NO_COLOR: "1", TERM: "xterm" },
  }).output();
  const text = toByteString(stdout);
  const end = text.indexOf("\n");
  return { code: Number(text.slice(0, end)), shown: text.slice(end + 1) };
}

const TERMINAL: {
  rule: string;
  sends: Step[][];
  args?: string[];
  code?: number;
  shows: string | RegExp;
  hides?: RegExp;
  interrupt?: boolean;
}[] = [
  {
    rule: "a body is text without control characters",
    sends: [[hello("X: y").replace("hello", "a\x1b[2Jb\x07\xc2\x9bc\r\n\td\x9be\xc3\xa9")]],
    shows: "a\\x1b[2Jb\\x07\\x9bc\r\n\td\xef\xbf\xbde\xc3\xa9",
    hides: /\x1b/,
  },
  {
    rule: "a header, too",
    sends: [[hello("X: \x1b]0;t\x07")]],
    args: ["-i", "URL"],
    shows: "X: \\x1b]0;t\\x07\r\n",
    hides: /\x1b/,
  },
  {
    rule: "a binary body is refused",
    sends: [[`${OK}\r\nab\0cd`]],
    code: 23,
    shows: "(23) Binary body",
  },
  {
    rule: "but for -o -",
    sends: [[`${OK}\r\nab\0cd`]],
    args: ["-o", "-", "URL"],
    shows: "ab\\x00cd",
  },
  {
    rule: "half a character at the end shows",
    sends: [[hello("X: y").replace("hello", "caf\xc3")]],
    shows: /^caf\xef\xbf\xbd$/,
  },
  {
    rule: "half a character of a body cut short, too",
    sends: [[hello("Content-Length: 9").replace("hello", "caf\xc3")]],
    code: 18,
    shows: /^caf\xef\xbf\xbdhttp_client: \(18\)/,
  },
  {
    rule: "304 has nothing to save",
    sends: [["HTTP/1.1 304 Same\r\n\r\n"]],
    args: ["-o", "/dev/null", "URL"],
    shows: /^nothing new to save: The server answered 304 Same\r\n$/,
  },
  {
    rule: "a redirection is pointed at",
    sends: [["HTTP/1.1 302 F\r\nLocation: /\x1bx\r\nContent-Length: 0\r\n\r\n"]],
    shows: "302 -> /\\x1bx (use -L)",
    hides: /\x1b/,
  },
  {
    rule: "what is saved is said",
    sends: [[DONE]],
    args: ["-o", "/dev/null", "URL"],
    shows: /saved \/dev\/null  4 B in \d\.\d s/,
  },
  { rule: "not with -s", sends: [[DONE]], args: ["-s", "-o", "/dev/null", "URL"], shows: /^$/ },
  {
    rule: "progress with a length",
    sends: [[
      `${OK}Content-Length: 100\r\n\r\n${"x".repeat(50)}`,
      800,
      "x".repeat(10),
      300,
      "x".repeat(40),
    ]],
    args: ["-o", "/dev/null", "URL"],
    shows: /\r#{12}-{8}  60 B  [\d.]+ k?B\/s of 100 B  00:00:0\d left\x1b\[K[^]*\r\x1b\[Ksaved/,
  },
  {
    rule: "progress without one",
    sends: [[`${OK}\r\n${"x".repeat(50)}`, 800, "x".repeat(50), 300, "x"]],
    args: ["-o", "/dev/null", "URL"],
    shows: /\r100 B  [\d.]+ k?B\/s\x1b\[K/,
  },
  {
    rule: "Ctrl-C says what is kept",
    sends: [[`${OK}Content-Length: 100\r\n\r\nhello`, STAY]],
    args: ["-o", "FILE", "URL"],
    code: 130,
    interrupt: true,
    shows:
      /5 bytes kept in [^]*; to resume: http_client\.ts -C - -o [^]*\r\nhttp_client: \(130\) Interrupted\r\n$/,
  },
  {
    rule: "Ctrl-C at the prompt for a password",
    sends: [[DONE]],
    args: ["-u", "me", "URL"],
    code: -2, // by the signal itself
    interrupt: true,
    shows: "Password for me: ",
  },
  {
    rule: "Ctrl-C instead of a body to send",
    sends: [[DONE]],
    args: ["-d", "@-", "URL"],
    code: -2,
    interrupt: true,
    shows: "^C",
  },
  {
    rule: "Ctrl-C before anything came",
    sends: [[STAY]],
    code: 130,
    interrupt: true,
    shows: "(130) Interrupted",
  },
];

Deno.test("on a terminal", { ignore: !await has("python3") }, async (t) => {
  await inSteps(t, TERMINAL, ({ rule }) => rule, async (row) => {
    const { sends, args = ["URL"], code = 0, shows, hides, interrupt = false } = row;
    const file = await Deno.makeTempFile();
    await using server = new ScriptedServer(sends, (text) => [text], Deno.listen(LOCAL));
    const url = `http://127.0.0.1:${server.port}/`;
    const real = args.map((arg) => arg.replace("URL", url).replace("FILE", file));
    const outcome = await onTerminal(real, { interrupt });
    await Deno.remove(file);
    assert(matches(outcome.shown, shows), JSON.stringify(outcome));
    if (hides !== undefined) assert(!hides.test(outcome.shown), JSON.stringify(outcome));
    assertEquals(outcome.code, code);
  });
});

/** A copy of the client that waits two seconds where the client waits five minutes. */
async function hurriedClient(): Promise<string> {
  const source = await Deno.readTextFile(`${ROOT}http_client.ts`);
  const hurried = source.replace("PATIENCE = 300_000", "PATIENCE = 2_000")
    .replaceAll('"./protocol.ts"', `"file://${ROOT}protocol.ts"`);
  const path = await Deno.makeTempFile({ suffix: ".ts" });
  await Deno.writeTextFile(path, hurried);
  return path;
}

/** Runs a line of shell with CLIENT and URL in it, for what only a shell can do to a program. */
async function shell(line: string, sends: Step[][], hurried = ""): Promise<Outcome> {
  await using server = new ScriptedServer(sends, (text) => [text], Deno.listen(LOCAL));
  const client = `${Deno.execPath()} run --allow-all ${ROOT}http_client.ts`;
  const { code, stdout, stderr } = await new Deno.Command("sh", {
    args: [
      "-c",
      line.replaceAll("CLIENT", client).replaceAll("URL", `http://127.0.0.1:${server.port}/`)
        .replaceAll("HURRIED", `${Deno.execPath()} run -A -c ${ROOT}deno.json ${hurried}`)
        .replaceAll("NET_ONLY", client.replace("--allow-all", "--no-prompt --allow-net")),
    ],
    env: { NO_COLOR: "1" },
  }).output();
  return { code, stdout: toByteString(stdout), stderr: toByteString(stderr) };
}

/** A line of shell that sends SIGINT to a command as soon as it has said something. */
const interruptedAt = (command: string, said: string) =>
  `e=$(mktemp); ${command} 2> $e & until grep -q "${said}" $e; do sleep 0.05; done; ` +
  "kill -INT $!; wait $!; echo $?; cat $e >&2; rm $e";

const BIG = "x".repeat(1 << 20);
const SHELL: { rule: string; line: string; sends: Step[][]; out: RegExp; err: RegExp }[] = [
  {
    rule: "a reader that goes ends it quietly",
    line: "{ CLIENT URL; echo $? >&2; } | head -c 5",
    sends: [[`${OK}\r\n${BIG}`, 200, BIG]],
    out: /^xxxxx$/,
    err: /^23\n$/,
  },
  {
    rule: "-m with a FIFO that nobody reads on",
    line: "f=$(mktemp -u); mkfifo $f; sleep 3 <> $f & CLIENT -m 1 -o $f URL; echo $?; rm $f",
    sends: [[`${OK}\r\n${BIG}`, BIG, BIG]],
    out: /^28\n$/,
    err: /\(28\)/,
  },
  {
    rule: "a full disk",
    line: "CLIENT -o /dev/full URL; echo $?",
    sends: [[DONE]],
    out: /^23\n$/,
    err: /\(23\) .*\/dev\/full.*space/i,
  },
  {
    rule: "a full disk behind standard output",
    line: "CLIENT URL > /dev/full; echo $?",
    sends: [[DONE]],
    out: /^23\n$/,
    err: /\(23\) .*standard output.*space/i,
  },
  {
    rule: "SIGINT",
    line: interruptedAt("CLIENT -v URL", "^> $"),
    sends: [[STAY]],
    out: /^130\n$/,
    err: /\(130\) Interrupted/,
  },
  {
    rule: "-m with a reader that does not read",
    line: "{ CLIENT -m 1 URL; echo $? >&2; } | sleep 3",
    sends: [[`${OK}\r\n${BIG}`, BIG, BIG]],
    out: /^$/,
    err: /\(28\).*\n28\n/,
  },
  {
    rule: "a server that falls silent",
    line: "HURRIED URL; echo $?",
    sends: [[`${OK}\r\nhello`, STAY]],
    out: /^hello28\n$/,
    err: /\(28\) The server was silent for 2 s/,
  },
  ...[`${OK}Content-Length: ${BIG.length}\r\n\r\n${BIG}`, chunked(`100000\r\n${BIG}\r\n0\r\n\r\n`)]
    .map((response) => ({
      rule: `a reader that rests is no silence of the server: ${response.slice(17, 35)}`,
      line: "{ HURRIED URL; echo $? >&2; } | { sleep 6; wc -c; }",
      sends: [[response]],
      out: new RegExp(`^${BIG.length}\n$`),
      err: /^0\n$/,
    })),
  {
    rule: "SIGINT between two attempts",
    line: interruptedAt("CLIENT --retry 3 URL", "again in"),
    sends: [["HTTP/1.1 503 B\r\nRetry-After: 30\r\nContent-Length: 0\r\n\r\n"]],
    out: /^130\n$/,
    err: /again in 30 s, 3 left\n[^]*\(130\) Interrupted/,
  },
  {
    rule: "-d from standard input, with --allow-net alone",
    line: "{ printf 'a='; sleep 0.1; printf 'b\\n'; } | NET_ONLY -v -d @- URL",
    sends: [[DONE]],
    out: /^done$/,
    err: /> Content-Length: 3\n/,
  },
  {
    rule: "nobody who listens to the talk",
    line: "exec 3>&1; { CLIENT -v URL 2>&1 >&3; echo $? >&3; } | true; CLIENT -v URL 2> /dev/full",
    sends: [[50, DONE]],
    out: /^done0\ndone$/,
    err: /^$/,
  },
];

Deno.test("in a shell", { ignore: Deno.build.os !== "linux" }, async (t) => {
  const hurried = await hurriedClient();
  await inSteps(t, SHELL, ({ rule }) => rule, async ({ line, sends, out, err }) => {
    const { stdout, stderr } = await shell(line, sends, hurried);
    assert(out.test(stdout), stdout.slice(0, 500) + stderr);
    assert(err.test(stderr), stderr);
  });
  await Deno.remove(hurried);
});

const SLOW = [
  {
    rule: "a server that takes only a part of the body",
    check: async () => {
      const file = await Deno.makeTempFile();
      await Deno.writeFile(file, new Uint8Array(16 << 20).fill(0x61));
      const { code, stderr } = await resetting("", ["-d", `@${file}`]);
      await Deno.remove(file);
      assertEquals(code, 55, stderr);
    },
  },
  {
    rule: "a connection that never comes ends by --connect-timeout",
    check: async () => {
      // With its backlog full, a listener lets a SYN go unanswered.
      using listener = Deno.listen({ ...LOCAL, tcpBacklog: 0 });
      const { port } = listener.addr;
      const conns: Deno.Conn[] = [];
      try {
        const dial = (signal: AbortSignal) => Deno.connect({ hostname: "127.0.0.1", port, signal });
        for (;;) conns.push(await dial(AbortSignal.timeout(100)));
      } catch {
        // full
      }
      for (const args of [["--connect-timeout", "0.4"], ["-m", "0.4"]]) {
        const { code, stderr } = await runProgram("http_client.ts", [...args, `:${port}`]);
        assertEquals(code, 28, stderr);
      }
      for (const conn of conns) conn.close();
    },
  },
  {
    rule: "a server that does not read ends by -m",
    check: async () => {
      await using server = new ScriptedServer(
        [[BLIND, 1500]],
        (text) => [text],
        Deno.listen(LOCAL),
      );
      const file = await Deno.makeTempFile();
      await Deno.writeFile(file, new Uint8Array(16 << 20).fill(0x61));
      const args = ["-m", "0.8", "-d", `@${file}`, `:${server.port}`];
      const { code, stderr } = await runProgram("http_client.ts", args);
      await Deno.remove(file);
      assertEquals(code, 28, stderr);
    },
  },
  {
    rule: "a bomb is stopped in bounded memory",
    check: async () => {
      const zeros = new Uint8Array(1 << 28);
      const quick = { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 3 } };
      const bombs = {
        gzip: zlib.gzipSync(zeros, { level: 1 }),
        br: zlib.brotliCompressSync(zeros, quick),
      };
      const measured = "import resource, subprocess, sys; code = subprocess.call(sys.argv[1:]); " +
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024); sys.exit(code)";
      for (const [coding, bomb] of Object.entries(bombs)) {
        for (const [limit, expected] of [["1000000", 63], ["300000000", 0]]) {
          const options = `--max-filesize ${limit} --compressed -o /dev/null`;
          const text = coded(coding, toByteString(bomb));
          const line = `python3 -c '${measured}' CLIENT ${options} URL`;
          const { code, stdout, stderr } = await shell(line, [[text]]);
          assertEquals(code, expected, stderr);
          assert(Number(stdout) < 150, `${stdout} MiB`);
        }
      }
    },
  },
];

Deno.test("what takes its time", { ignore: !await has("python3") }, async (t) => {
  await inSteps(t, SLOW, ({ rule }) => rule, ({ check }) => check());
});

Deno.test("an IPv6 address, with a zone or without", async () => {
  let listener: Deno.Listener;
  try {
    listener = Deno.listen({ hostname: "::1", port: 0 });
  } catch {
    console.log("skipped: no IPv6 here");
    return;
  }
  await using server = new ScriptedServer([[DONE]], (text) => [text], listener);
  for (
    const args of [[`[::1]:${server.port}/a`], [`http://[::1%25lo]:${server.port}/`], [
      "::1",
      `${server.port}`,
      "f",
    ], ["-6", `[::1]:${server.port}`]]
  ) {
    const { code, stdout, stderr } = await runProgram("http_client.ts", args);
    assertEquals(code, 0, stderr);
    assert(stdout.endsWith("done"));
  }
  for (const request of server.requests) {
    assertStringIncludes(request, `Host: [::1]:${server.port}\r\n`);
  }
});

// ---- Files -------------------------------------------------------------

interface FileRow {
  rule: string;
  sends: Step[][];
  args: string[];
  /** What is in the folder before, and what must be in it in the end. */
  before?: Record<string, string>;
  after: Record<string, string>;
  code?: number;
  says?: string | RegExp;
  out?: string;
  asks?: (string | RegExp | { not: RegExp })[];
  hops?: number;
}

const named = (disposition: string) =>
  `${OK}Content-Disposition: ${disposition}\r\nContent-Length: 4\r\n\r\ndone`;
const part = (range: string, body: string, more = "") =>
  `HTTP/1.1 206 Partial\r\nContent-Range: ${range}\r\nContent-Length: ${body.length}\r\n${more}\r\n${body}`;
const resume = ["-C", "-", "-o", "f", "URL"];

const FILES: FileRow[] = [
  {
    rule: "-o",
    sends: [[DONE]],
    args: ["-o", "f", "URL"],
    after: { f: "done" },
    asks: [/^Accept-Encoding: identity\r$/m],
  },
  {
    rule: "-o overwrites",
    sends: [[DONE]],
    args: ["-o", "f", "URL"],
    before: { f: "something else" },
    after: { f: "done" },
  },
  {
    rule: "-o keeps a coding",
    sends: [[coded("gzip", gz("x"))]],
    args: ["-o", "f", "URL"],
    after: { f: gz("x") },
  },
  {
    rule: "-o with --compressed",
    sends: [[coded("gzip", gz("x"))]],
    args: ["--compressed", "-o", "f", "URL"],
    after: { f: "x" },
  },
  {
    rule: "-o of nothing is an empty file",
    sends: [[`${OK}Content-Length: 0\r\n\r\n`]],
    args: ["-o", "f", "URL"],
    after: { f: "" },
  },
  {
    rule: "-o in a folder that is not there",
    sends: [[DONE]],
    args: ["-o", "no/f", "URL"],
    after: {},
    code: 23,
  },
  { rule: "-o of a folder", sends: [[DONE]], args: ["-o", ".", "URL"], after: {}, code: 23 },
  {
    rule: "304 leaves the file",
    sends: [["HTTP/1.1 304 Not Modified\r\n\r\n"]],
    args: ["-H", 'If-None-Match: "a"', "-o", "f", "URL"],
    before: { f: "old" },
    after: { f: "old" },
  },
  {
    rule: "a failure before the body leaves the file",
    sends: [[]],
    args: ["-o", "f", "URL"],
    before: { f: "old" },
    after: { f: "old" },
    code: 52,
  },
  {
    rule: "-f leaves the file",
    sends: [["HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\nsorr"]],
    args: ["-f", "-o", "f", "URL"],
    before: { f: "old" },
    after: { f: "old" },
    code: 22,
  },
  {
    rule: "a cut body is kept, with the way to go on",
    sends: [[`${OK}Content-Length: 9\r\n\r\nhello`]],
    args: ["-o", "f", "URL"],
    after: { f: "hello" },
    code: 18,
    says: /5 bytes kept in f; to resume: http_client\.ts -C - -o f http:\/\/127/,
  },
  {
    rule: "-i goes into the file",
    sends: [[hello("Content-Length: 5")]],
    args: ["-i", "-o", "f", "URL"],
    after: { f: hello("Content-Length: 5") },
  },
  { rule: "-O", sends: [[DONE]], args: ["-O", "URLa/b.txt?q#f"], after: { "b.txt": "done" } },
  {
    rule: "-O decodes the name",
    sends: [[DONE]],
    args: ["-O", "URLa%20%C3%A9"],
    after: { "a é": "done" },
  },
  {
    rule: "-O does not leave the folder",
    sends: [[DONE]],
    args: ["-O", "URLx/..%2f..%2fb"],
    after: { b: "done" },
  },
  {
    rule: "-O does not leave the folder by a backslash",
    sends: [[DONE]],
    args: ["-O", "URLx/..%5cb"],
    after: { b: "done" },
  },
  {
    rule: "-O cleans the name",
    sends: [[DONE]],
    args: ["-O", "URLa%1bb%0a"],
    after: { "a_b_": "done" },
  },
  {
    rule: "-O does not overwrite",
    sends: [[DONE]],
    args: ["-O", "URLb"],
    before: { b: "old" },
    after: { b: "old" },
    code: 23,
    says: "not overwritten",
  },
  {
    rule: "-O without a name",
    sends: [[DONE]],
    args: ["-O", "URLa/"],
    after: {},
    code: 23,
    hops: 0,
  },
  { rule: "-O of ..", sends: [[DONE]], args: ["-O", "URLa%2f.."], after: {}, code: 23 },
  {
    rule: "-O takes the name from the URL given",
    sends: [[to("/other")], [DONE]],
    args: ["-LO", "URLb"],
    after: { b: "done" },
  },
  {
    rule: "-J",
    sends: [[named('attachment; filename="c.txt"')]],
    args: ["-OJ", "URLb"],
    after: { "c.txt": "done" },
  },
  {
    rule: "-J alone",
    sends: [[named("attachment; filename=c.txt; x=y")]],
    args: ["-J", "URLb"],
    after: { "c.txt": "done" },
  },
  {
    rule: "-J prefers filename*",
    sends: [[named("attachment; filename=c; filename*=UTF-8''%e2%82%ac%20d")]],
    args: ["-J", "URLb"],
    after: { "€ d": "done" },
  },
  {
    rule: "-J in raw UTF-8",
    sends: [[named('attachment; filename="\xc3\xa9"')]],
    args: ["-J", "URLb"],
    after: { "é": "done" },
  },
  { rule: "-J without a name is -O", sends: [[DONE]], args: ["-J", "URLb"], after: { b: "done" } },
  {
    rule: "-J does not leave the folder",
    sends: [[named('attachment; filename="../../c"')]],
    args: ["-J", "URLb"],
    after: { c: "done" },
  },
  {
    rule: "-J does not leave the folder by an encoded slash",
    sends: [[named("attachment; filename*=UTF-8''..%2f..%2fc")]],
    args: ["-J", "URLb"],
    after: { c: "done" },
  },
  {
    rule: "-J, a path of Windows",
    sends: [[named('attachment; filename="C:\\\\x\\\\c"')]],
    args: ["-J", "URLb"],
    after: { c: "done" },
  },
  {
    rule: "-J, a root",
    sends: [[named("attachment; filename=/etc/passwd")]],
    args: ["-J", "URLb"],
    after: { passwd: "done" },
  },
  {
    rule: "-J makes no hidden file",
    sends: [[named('attachment; filename=".bashrc"')]],
    args: ["-J", "URLb"],
    after: { bashrc: "done" },
  },
  {
    rule: "-J of ..",
    sends: [[named('attachment; filename=".."')]],
    args: ["-J", "URLb"],
    after: {},
    code: 23,
  },
  {
    rule: "-J cleans the name",
    sends: [[named('attachment; filename="a\x1b[2Jb\xe2\x80\xaec"')]],
    args: ["-J", "URLb"],
    after: { "a_[2Jb_c": "done" },
  },
  {
    rule: "-J does not overwrite",
    sends: [[named("attachment; filename=c")]],
    args: ["-J", "URLb"],
    before: { c: "old" },
    after: { c: "old" },
    code: 23,
  },
  {
    rule: "-J reads a name, not what looks like one",
    sends: [[named('attachment; x="; filename=evil"; filename="a;b"')]],
    args: ["-J", "URLb"],
    after: { "a;b": "done" },
  },

  {
    rule: "-C goes on",
    sends: [[part("bytes 3-8/9", "456789")]],
    args: resume,
    before: { f: "123" },
    after: { f: "123456789" },
    asks: [/^Range: bytes=3-\r$/m],
  },
  {
    rule: "-C without a file asks for all",
    sends: [[DONE]],
    args: resume,
    after: { f: "done" },
    asks: [{ not: /Range/ }],
  },
  {
    rule: "-C: 200 starts again",
    sends: [[DONE]],
    args: resume,
    before: { f: "123456789" },
    after: { f: "done" },
  },
  {
    rule: "-C: 206 of another place",
    sends: [[part("bytes 2-8/9", "3456789")]],
    args: resume,
    before: { f: "123" },
    after: { f: "123" },
    code: 33,
  },
  {
    rule: "-C: 206 of no place",
    sends: [["HTTP/1.1 206 P\r\nContent-Length: 3\r\n\r\n456"]],
    args: resume,
    before: { f: "123" },
    after: { f: "123" },
    code: 33,
  },
  {
    rule: "-C: 206 of more than the rest",
    sends: [[part("bytes 3-8/9", "456789!")]],
    args: resume,
    before: { f: "123" },
    after: { f: "123456789!" },
    code: 18,
    says: "1 bytes more than the 9 announced",
  },
  {
    rule: "-C with -i: no header amid the file",
    sends: [[part("bytes 3-8/9", "456789")]],
    args: ["-i", ...resume],
    before: { f: "123" },
    after: { f: "123456789" },
  },
  {
    rule: "-C: 206 in lines",
    sends: [[part("lines 3-8/9", "456789")]],
    args: resume,
    before: { f: "123" },
    after: { f: "123" },
    code: 33,
  },
  {
    rule: "-C: 206 of less than the rest",
    sends: [[part("bytes 3-5/9", "456")]],
    args: resume,
    before: { f: "123" },
    after: { f: "123456" },
    code: 18,
    says: "3 bytes missing of 9",
  },
  {
    rule: "-C: 206 of unknown size",
    sends: [[part("bytes 3-5/*", "456")]],
    args: resume,
    before: { f: "123" },
    after: { f: "123456" },
  },
  {
    rule: "-C: 416 of our size is success",
    sends: [["HTTP/1.1 416 R\r\nContent-Range: bytes */3\r\nContent-Length: 4\r\n\r\nsorr"]],
    args: resume,
    before: { f: "123" },
    after: { f: "123" },
  },
  {
    rule: "-C: 416 of our size is success with -f, too",
    sends: [["HTTP/1.1 416 R\r\nContent-Range: bytes */3\r\nContent-Length: 4\r\n\r\nsorr"]],
    args: ["-f", ...resume],
    before: { f: "123" },
    after: { f: "123" },
  },
  {
    rule: "-C: 416 of another size",
    sends: [["HTTP/1.1 416 R\r\nContent-Range: bytes */2\r\nContent-Length: 4\r\n\r\nsorr"]],
    args: resume,
    before: { f: "123" },
    after: { f: "123" },
    code: 33,
  },
  {
    rule: "-C: 416 of no size",
    sends: [["HTTP/1.1 416 R\r\nContent-Length: 4\r\n\r\nsorr"]],
    args: resume,
    before: { f: "123" },
    after: { f: "123" },
    code: 33,
  },
  {
    rule: "-C: 404 is not appended",
    sends: [["HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\nsorr"]],
    args: resume,
    before: { f: "123" },
    after: { f: "123" },
    code: 33,
  },
  {
    rule: "-C: 404 with -f",
    sends: [["HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\nsorr"]],
    args: ["-f", ...resume],
    before: { f: "123" },
    after: { f: "123" },
    code: 22,
  },
  {
    rule: "-C with -O",
    sends: [[part("bytes 3-4/5", "45")]],
    args: ["-C", "-", "-O", "URLb"],
    before: { b: "123" },
    after: { b: "12345" },
  },
  {
    rule: "-C through a redirection",
    sends: [[to("/x")], [part("bytes 3-4/5", "45")]],
    args: ["-L", ...resume],
    before: { f: "123" },
    after: { f: "12345" },
    asks: [/^Range/m, /^Range: bytes=3-\r$/m],
  },
  {
    rule: "-C cut short again",
    sends: [[part("bytes 3-8/9", "456789").slice(0, -2)]],
    args: resume,
    before: { f: "123" },
    after: { f: "1234567" },
    code: 18,
  },

  {
    rule: "--retry goes on where it broke",
    sends: [[`${OK}ETag: "v1"\r\nContent-Length: 9\r\n\r\n1234`], [part("bytes 4-8/9", "56789")]],
    args: ["--retry", "2", "-o", "f", "URL"],
    after: { f: "123456789" },
    asks: [{ not: /Range/ }, /^Range: bytes=4-\r\nIf-Range: "v1"\r$/m],
    hops: 2,
  },
  {
    rule: "--retry starts again on 200",
    sends: [[`${OK}Content-Length: 9\r\n\r\n1234`], [DONE]],
    args: ["--retry", "2", "-o", "f", "URL"],
    after: { f: "done" },
    hops: 2,
  },
  {
    rule: "--retry gives up in the end",
    sends: [[`${OK}Content-Length: 9\r\n\r\n1234`], [part("bytes 4-8/9", "56789").slice(0, -4)]],
    args: ["--retry", "1", "-o", "f", "URL"],
    after: { f: "12345" },
    code: 18,
    hops: 2,
  },
  {
    rule: "--retry with -O goes on in its own file",
    sends: [[`${OK}Content-Length: 9\r\n\r\n1234`], [part("bytes 4-8/9", "56789")]],
    args: ["--retry", "1", "-O", "URLb"],
    after: { b: "123456789" },
  },
  {
    rule: "--retry after a time-out",
    sends: [[STAY], [DONE]],
    args: ["--retry", "1", "-m", "0.5", "-o", "f", "URL"],
    after: { f: "done" },
    hops: 2,
  },
  {
    rule: "--retry of a compressed body starts again",
    sends: [[coded("gzip", gz(LONG)).slice(0, -9)], [coded("gzip", gz(LONG))]],
    args: ["--retry", "1", "--compressed", "-o", "f", "URL"],
    after: { f: LONG },
    asks: [/./, { not: /Range/ }],
    hops: 2,
  },
  {
    rule: "--retry does not append what is compressed",
    sends: [[`${OK}Content-Length: 9\r\n\r\n1234`], [
      part("bytes 4-8/9", "56789", "Content-Encoding: gzip\r\n"),
    ]],
    args: ["--retry", "1", "--compressed", "-o", "f", "URL"],
    after: { f: "1234" },
    code: 33,
    asks: [/gzip, deflate/, /^Accept-Encoding: identity\r$/m],
  },
  {
    rule: "--retry does not append what is another version",
    sends: [[`${OK}ETag: "v1"\r\nContent-Length: 9\r\n\r\n1234`], [
      part("bytes 4-8/9", "56789", 'ETag: "v2"\r\n'),
    ]],
    args: ["--retry", "1", "-o", "f", "URL"],
    after: { f: "1234" },
    code: 33,
  },
  {
    rule: "--retry keeps the condition of the first answer",
    sends: [
      [`${OK}ETag: "v1"\r\nContent-Length: 9\r\n\r\n1234`],
      [part("bytes 4-8/9", "56789").slice(0, -4)],
      [part("bytes 5-8/9", "6789")],
    ],
    args: ["--retry", "2", "-o", "f", "URL"],
    after: { f: "123456789" },
    asks: [/./, /^If-Range: "v1"\r$/m, /^Range: bytes=5-\r\nIf-Range: "v1"\r$/m],
  },
  {
    rule: "--retry of a range asks for the same again",
    sends: [[part("bytes 2-5/9", "3456").slice(0, -2)], [part("bytes 2-5/9", "3456")]],
    args: ["--retry", "1", "-r", "2-5", "-o", "f", "URL"],
    after: { f: "3456" },
    asks: [/^Range: bytes=2-5\r$/m, { not: /bytes=2-\r/ }],
    hops: 2,
  },
  {
    rule: "--retry does not go on with an error page",
    sends: [["HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\nso"], [DONE]],
    args: ["--retry", "1", "-o", "f", "URL"],
    after: { f: "done" },
    asks: [/./, { not: /Range/ }],
  },
  {
    rule: "--retry does not ask for the rest of a POST",
    sends: [[`${OK}Content-Length: 4\r\n\r\ndo`], [DONE]],
    args: ["--retry", "1", "-d", "x", "-o", "f", "URL"],
    after: { f: "done" },
    asks: [/./, { not: /Range/ }],
  },
  {
    rule: "a weak ETag is no condition",
    sends: [[`${OK}ETag: W/"v1"\r\nContent-Length: 9\r\n\r\n1234`], [part("bytes 4-8/9", "56789")]],
    args: ["--retry", "2", "-o", "f", "URL"],
    after: { f: "123456789" },
    asks: [/./, { not: /If-Range/ }],
  },
  {
    rule: "-d @FILE, line ends dropped as curl does",
    sends: [[DONE]],
    args: ["-d", "@f", "URL"],
    before: { f: "a=b\r\nc\n" },
    after: { f: "a=b\r\nc\n" },
    out: "done",
    asks: [/\r\n\r\na=bc$/],
  },
];

Deno.test("files", async (t) => {
  await inSteps(t, FILES, ({ rule }) => rule, async (row) => {
    const { sends, args, before = {}, after, code = 0, out = "", says, asks = [], hops } = row;
    const folder = await Deno.makeTempDir();
    for (const [name, text] of Object.entries(before)) {
      await Deno.writeFile(`${folder}/${name}`, octetsOf(text));
    }
    const steps = sends.map((script) => [...script]);
    await using server = new ScriptedServer(steps, (text) => [text], Deno.listen(LOCAL));
    const url = `http://127.0.0.1:${server.port}/`;
    const real = args.map((arg) => arg.replaceAll("URL", url));
    const outcome = await runProgram("http_client.ts", real, { cwd: folder });
    const found: Record<string, string> = {};
    for await (const { name } of Deno.readDir(folder)) {
      found[name] = toByteString(await Deno.readFile(`${folder}/${name}`));
    }
    await Deno.remove(folder, { recursive: true });
    assertEquals(outcome.code, code, JSON.stringify(outcome));
    assertEquals(found, after);
    assertEquals(outcome.stdout, out);
    if (says !== undefined) assert(matches(outcome.stderr, says), JSON.stringify(outcome));
    if (hops !== undefined) assertEquals(server.requests.length, hops);
    asks.forEach((ask, i) => {
      const request = server.requests[i] ?? "";
      const fits = typeof ask === "object" && "not" in ask
        ? !ask.not.test(request)
        : matches(request, ask);
      assert(fits, request);
    });
  });
});

// ---- The command line --------------------------------------------------

const COMMANDS: { args: string[]; code: number; says?: string | RegExp; out?: RegExp }[] = [
  { args: ["--help"], code: 0, out: /^Fetches one URL[^]*130 Ctrl-C\.\n$/ },
  { args: ["-h"], code: 0, out: /--max-filesize/ },
  { args: ["--version"], code: 0, out: /^http_client \d+\.\d+\.\d+\n$/ },
  { args: ["-V"], code: 0, out: /^http_client/ },
  { args: [], code: 2, says: "expected URL" },
  { args: ["a", "b"], code: 2, says: "expected URL" },
  { args: ["a", "80", "b", "c"], code: 2 },
  { args: ["h", "http", "f"], code: 2, says: '"http"' },
  { args: ["h", "0", "f"], code: 2, says: '"0"' },
  { args: ["h", "65536", "f"], code: 2 },
  { args: ["--prot", "u"], code: 2, says: 'Unknown option "--prot"' },
  { args: ["-Z", "u"], code: 2, says: 'Unknown option "-Z"' },
  { args: ["-o"], code: 2, says: 'Option "-o" needs a value' },
  { args: ["--max-time", "soon", "u"], code: 2, says: '"soon"' },
  { args: ["-m", "-1", "u"], code: 2, says: '"-1"' },
  { args: ["-m", "1e3", "u"], code: 2, says: '"1e3"' },
  { args: ["--max-redirs", "x", "u"], code: 2 },
  { args: ["--max-filesize", "0x10", "u"], code: 2 },
  { args: ["--retry", "1.5", "u"], code: 2 },
  { args: ["-r", "abc", "u"], code: 2, says: '"abc"' },
  { args: ["-C", "5", "-o", "f", "u"], code: 2, says: '"5"' },
  { args: ["-C", "-", "u"], code: 2, says: "-C without" },
  { args: ["-C", "-", "-o", "f", "-r", "0-1", "u"], code: 2 },
  { args: ["-f", "--fail-with-body", "u"], code: 2 },
  { args: ["-46", "u"], code: 2 },
  { args: ["-I", "-d", "x", "u"], code: 2 },
  { args: ["-o", "f", "-O", "u"], code: 2 },
  { args: ["-X", "G T", "u"], code: 2, says: '"G T"' },
  { args: ["-H", "X: a\r\nY: b", "u"], code: 2, says: "X: a\\x0d\\x0aY: b" },
  { args: ["-A", "a\r\nX: y", "u"], code: 2, says: "a\\x0d\\x0aX: y" },
  { args: ["-H", "no colon", "u"], code: 2 },
  { args: ["-H", "A B: c", "u"], code: 2 },
  { args: ["-H", "Content-Length: 7", "-d", "x", "u"], code: 2 },
  { args: ["-H", "Transfer-Encoding: chunked", "u"], code: 2 },
  { args: ["-d", "@/no/such/file", "u"], code: 2, says: "/no/such/file" },
  { args: ["ftp://h/"], code: 1, says: '"ftp"' },
  { args: ["file:///etc/passwd"], code: 1 },
  { args: ["h/x", "80", "f"], code: 3, says: '"h/x": HOST is' },
  { args: ["http://h", "80", "f"], code: 3, says: '"http://h": HOST is' },
  { args: ["u:s3cret@h", "80", "f"], code: 3, says: /^(?!.*s3cret)/ },
  { args: ["http://"], code: 3 },
  { args: ["http:///x"], code: 3 },
  { args: ["http://?x"], code: 3 },
  { args: ["://x"], code: 3 },
  { args: ["http://u:s3cret@/"], code: 3, says: /^(?!.*s3cret)/ },
  { args: ["http://h:port/"], code: 3 },
  { args: ["http://h:99999/"], code: 3 },
  { args: ["http://[::1/"], code: 3 },
  { args: ["http://[::1]x/"], code: 3 },
  { args: ["http://h/a b"], code: 3 },
  { args: ["http://h/\r\nX: y"], code: 3, says: "\\x0d\\x0a" },
  { args: ["http://a\\@b/"], code: 3 },
  { args: ["http://a b/"], code: 3 },
  { args: [""], code: 3 },
  { args: ["http://no.such.host.invalid/"], code: 6, says: "no.such.host.invalid" },
  { args: ["http://bücher.invalid/"], code: 6, says: "xn--bcher-kva.invalid" },
  {
    args: ["-v", "http://bücher.invalid/"],
    code: 6,
    says: "* bücher.invalid is xn--bcher-kva.invalid to the DNS",
  },
  { args: [`http://${"a".repeat(300)}/`], code: 6 },
  { args: ["-6", "http://127.0.0.1:1/"], code: 6 },
  { args: ["-4", "http://[::1]:1/"], code: 6 },
  { args: ["http://127.0.0.1:1/"], code: 7, says: "127.0.0.1 port 1" },
  { args: ["http://127.0.0.1:0/"], code: 7 },
  { args: ["--cacert", "/no/such/ca", "https://h/"], code: 77, says: "/no/such/ca" },
  { args: ["--cacert", `${ROOT}deno.json`, "https://h/"], code: 77, says: "no PEM certificate" },
  { args: ["--cacert", `${TLS}localhost.key`, "https://h/"], code: 77 },
];

Deno.test("the command line", async (t) => {
  const name = ({ args }: typeof COMMANDS[0]) => args.join(" ").slice(0, 70);
  await inSteps(t, COMMANDS, name, async ({ args, code, says, out = /^$/ }) => {
    const outcome = code === 0 ? await runProgram("http_client.ts", args) : await runHere(args);
    const shown = JSON.stringify(outcome);
    assertEquals(outcome.code, code, shown);
    assert(out.test(outcome.stdout), shown);
    assert(
      code === 0 ||
        new RegExp(`^(\\* [^\n]*\n)*http_client: \\(${code}\\) [^\n]+\n$`).test(outcome.stderr),
      shown,
    );
    if (says !== undefined) assert(matches(outcome.stderr, says), shown);
  });
});

Deno.test("every option is in the help, in 80 columns", async () => {
  const { stdout } = await runProgram("http_client.ts", ["--help"]);
  for (const line of stdout.split("\n")) assert(line.length <= 80, line);
  const source = await Deno.readTextFile(`${ROOT}http_client.ts`);
  const options = source.slice(source.indexOf("const OPTIONS"), source.indexOf("negatable: ["));
  for (const [, name] of options.matchAll(/"([a-z0-9-]+)"/g)) {
    if (name !== "show-error") assertStringIncludes(stdout, `--${name}`);
  }
});

for (
  const [flag, args] of Object.entries({ net: ["http://127.0.0.1:1/"], read: ["-d", "@x", "u"] })
) {
  Deno.test(`a missing --allow-${flag} is named`, async () => {
    const { stderr, code } = await runProgram("http_client.ts", args, { allow: [] });
    assertStringIncludes(stderr, `--allow-${flag}`);
    assert(code > 0 && stderr.trim().split("\n").length === 1, stderr);
  });
}

Deno.test("a missing --allow-write is named", async () => {
  await using server = new ScriptedServer([[DONE]], (text) => [text], Deno.listen(LOCAL));
  const args = ["-o", "f", `:${server.port}`];
  const { stderr, code } = await runProgram("http_client.ts", args, { allow: ["--allow-net"] });
  assertStringIncludes(stderr, "--allow-write");
  assertEquals(code, 23);
});

for (const option of ["-v", "--timing"]) {
  Deno.test(`${option} wants no more permission than the name`, async () => {
    await using server = new ScriptedServer([[DONE]], (text) => [text], Deno.listen(LOCAL));
    const allow = ["--allow-net=localhost"];
    const args = [option, `http://localhost:${server.port}/`];
    const { code, stdout, stderr } = await runProgram("http_client.ts", args, { allow });
    assertEquals({ code, stdout }, { code: 0, stdout: "done" }, stderr);
  });
}
