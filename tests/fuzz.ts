/**
 * Seeded noise for every parser, in memory: a million inputs in under three minutes. Each must end in
 * a result or in the right error, and in bounded time; what is found becomes a row of the tests.
 *
 * ```sh
 * deno task fuzz [--count 1000000] [--seed 1] [--only NAME]
 * ```
 *
 * @module
 */
import process from "node:process";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import {
  flag,
  formatTrace,
  list,
  negatable,
  nonEmpty,
  option,
  parseCommandLine,
  print,
  probability,
  run,
  seconds,
  text,
  wholeNumber,
} from "../cli.ts";
import { runHere } from "./http_client_helpers.ts";
import { type Listener, serve, type ServeOptions } from "../http_server.ts";
import { printable, toByteString, UsageError } from "../protocol.ts";
import { COMMAND as MAIL, main as mail } from "../smtp_client.ts";
import {
  describe as describeBeat,
  EchoServer,
  Monitor,
  type MonitorEvent,
} from "../udp_ping_server.ts";
import { Pinger } from "../udp_pinger.ts";
import { octetsOf, ROOT } from "./helpers.ts";

// ---- Noise ---------------------------------------------------------------

/** A generator of numbers from 0 up to 1, the same for the same seed (mulberry32). */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

type Random = () => number;

/** Lets timers of finished inputs run, at every 256th input. */
async function rest(done: number): Promise<void> {
  if (done % 256 === 0) await new Promise((resolve) => setTimeout(resolve));
}

function pick<T>(random: Random, from: readonly T[]): T {
  const found = from[Math.floor(random() * from.length)];
  if (found === undefined) throw new RangeError("Nothing to pick from");
  return found;
}

const OCTETS = ["\0", "\t", "\n", "\r", "\r\n", "\x1b", " ", '"', "%", ",", "-", ".", "/", "0", ":"]
  .concat([";", "<", "=", "\\", "{", "\x7f", "\x80", "\xff", "9999999999999999999999", "a"]);

/** Octets that a slow regex or loop would stumble over when there are many of them. */
const REPEATED = [
  " ",
  "\t",
  ",",
  ";",
  '"',
  "%",
  ".",
  "/",
  "a",
  "=",
  "(",
  "<",
  "\\",
  ", ",
  "%2e",
  "\r\n ",
];

/** Share of the inputs that get a long run of octets. */
const LONG_SHARE = 0.02;

/** Longest such run (octets). Beyond every limit of a line, a header section and a datagram. */
const MAX_RUN = 70_000;

/**
 * Corrupts a good input in a few places: octets inserted, deleted, replaced or repeated, and now
 * and then a long run of one octet.
 */
function corrupt(random: Random, text: string): string {
  for (let times = Math.floor(random() * 5); times > 0; times--) {
    const at = Math.floor(random() * (text.length + 1));
    const length = Math.floor(random() * 8);
    const [before, after] = [text.slice(0, at), text.slice(at)];
    const kinds = [
      () => before + pick(random, OCTETS) + after,
      () => before + after.slice(length),
      () => before + pick(random, OCTETS) + after.slice(length),
      () => before + after.slice(0, length).repeat(2) + after.slice(length),
      () => before,
    ];
    text = pick(random, kinds)();
  }
  if (random() >= LONG_SHARE) return text;
  const at = Math.floor(random() * (text.length + 1));
  const octets = pick(random, REPEATED);
  const run = octets.repeat(Math.floor(MAX_RUN * random() ** 2 / octets.length));
  return `${text.slice(0, at)}${run}${text.slice(at)}`;
}

/** Shows an input in a message, long runs shortened. */
function show(input: unknown): string {
  return JSON.stringify(input).replace(
    /(.{1,6}?)\1{30,}/gs,
    (run, unit) => `${unit}{${run.length / unit.length} times}`,
  );
}

/** Processor time that one input may take (ms). Linear work on the longest takes a tenth of it. */
const TIME_LIMIT = 150;

/**
 * Runs one input against its time limit. Garbage collection is told from a slow parser by the
 * shortest of three runs.
 *
 * @throws {Error} If each of three runs takes too long.
 */
async function timed<T>(input: unknown, run: () => T | Promise<T>): Promise<T> {
  for (let tries = 1;; tries++) {
    const began = process.cpuUsage();
    const result = await run();
    const { user, system } = process.cpuUsage(began);
    const time = (user + system) / 1000;
    if (time <= TIME_LIMIT) return result;
    if (tries === 3) throw new Error(`${time.toFixed(0)} ms for ${show(input)}`);
  }
}

// ---- Connections in memory ----------------------------------------------

/** A connection whose peer says this, in pieces, and then no more; what it is told is kept. */
class Heard implements Deno.Conn {
  readonly rid = 0;
  readonly localAddr = { transport: "tcp", hostname: "127.0.0.1", port: 1 } as const;
  readonly remoteAddr = { transport: "tcp", hostname: "127.0.0.1", port: 2 } as const;
  readonly readable = new ReadableStream<Uint8Array<ArrayBuffer>>();
  readonly writable = new WritableStream<Uint8Array>();
  readonly closed: Promise<void>;
  told = "";
  #close: () => void;
  #pieces: string[];

  constructor(pieces: string[]) {
    this.#pieces = pieces;
    const { promise, resolve } = Promise.withResolvers<void>();
    [this.closed, this.#close] = [promise, resolve];
  }

  read(target: Uint8Array): Promise<number | null> {
    const piece = this.#pieces.shift();
    if (piece === undefined) return Promise.resolve(null);
    const octets = octetsOf(piece).subarray(0, target.length);
    target.set(octets);
    if (octets.length < piece.length) this.#pieces.unshift(piece.slice(octets.length));
    return Promise.resolve(octets.length);
  }

  write(octets: Uint8Array): Promise<number> {
    if (this.told.length < 100_000) this.told += toByteString(octets);
    return Promise.resolve(octets.length);
  }

  setNoDelay(): void {}
  setKeepAlive(): void {}
  ref(): void {}
  unref(): void {}
  closeWrite(): Promise<void> {
    return Promise.resolve();
  }
  close(): void {
    this.#close();
  }
  [Symbol.dispose](): void {
    this.#close();
  }
}

/** Says a text in one to three pieces. */
function say(random: Random, text: string): string[] {
  const at = Math.floor(random() * text.length);
  const pieces = random() < 0.5 ? [text] : [text.slice(0, at), text.slice(at)];
  return pieces.filter((piece) => piece !== "");
}

// ---- The parsers --------------------------------------------------------

const REQUESTS = [
  "GET /index.html HTTP/1.1\r\nHost: localhost\r\n\r\n",
  'GET /sockets.svg HTTP/1.1\r\nHost: localhost:8000\r\nRange: bytes=0-1,5-9,-3\r\nIf-Range: "x"\r\n\r\n',
  "HEAD http://localhost/%2e%2e/a?b=c HTTP/1.0\r\nConnection: keep-alive\r\nHost: [::1]\r\n\r\n",
  'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a="b"\r\nhello\r\n0\r\nT: x\r\n\r\n',
  "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc",
  'GET / HTTP/1.1\r\nHost: a\r\nIf-None-Match: W/"a", "b", *\r\nAccept-Encoding: br;q=0.5, *;q=0\r\n' +
  "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\nAuthorization: Basic QTpC\r\n\r\n",
];

/** Settings of the services that get the requests. */
const SERVICES: readonly Omit<Partial<ServeOptions>, "signal">[] = [
  {},
  { spa: true, cors: true, listing: false, fields: [["X-A", "b"]], cache: "no-store" },
  { credentials: "A:B", dotfiles: true },
  { hosts: ["localhost"] },
];

/** Every request gets whole responses of HTTP/1.1, and the server reports no fault of its own. */
async function fuzzRequests(random: Random, count: number): Promise<void> {
  const stop = new AbortController();
  const faults: unknown[] = [];
  const services = SERVICES.map((settings) => {
    const service = { connect: (_: Deno.Conn) => {} };
    const listener = {
      accept: () => new Promise((resolve) => service.connect = resolve),
      close: () => {},
      addr: { transport: "tcp", hostname: "127.0.0.1", port: 1 },
    } as unknown as Listener; // as much of one as serve() asks for
    serve([listener], {
      root: `${ROOT}public`,
      signal: stop.signal,
      ...settings,
      onError: (error) => faults.push(error),
    });
    return service;
  });
  for (let done = 0; done < count; done++) {
    await rest(done);
    const service = pick(random, services);
    // two connections at once, one to three requests on each
    const inputs = Array.from({ length: 2 }, () =>
      Array.from(
        { length: 1 + Math.floor(random() * 3) },
        () => corrupt(random, pick(random, REQUESTS)),
      ).join(""));
    const pieces = inputs.map((input) => say(random, input));
    const conns = await timed(inputs, async () => {
      const conns: Heard[] = [];
      for (const each of pieces) {
        conns.push(new Heard([...each]));
        service.connect(conns[conns.length - 1] as Heard);
        await Promise.resolve(); // lets the service accept again
        await Promise.resolve();
      }
      await Promise.all(conns.map((conn) => conn.closed));
      await Promise.resolve();
      return conns;
    });
    const isAnswered = conns.every(({ told }) =>
      told === "" || /^HTTP\/1\.1 [1-5]\d\d [A-Z]/.test(told)
    );
    if (faults.length > 0 || !isAnswered) {
      throw new Error(`${show(inputs)}: ${faults[0] ?? conns.map(({ told }) => told)}`);
    }
  }
  stop.abort();
}

const BEATS = [
  "sequence=7\ttime=12.345678\tname=web1\tinterval=5",
  "sequence=8\ttime=13.000000\tname=web1\tinterval=5\tbye=1",
  "sequence=1700000000\ttime=1700000000.5\tname=job\tinterval=86400\tfail=disk full",
  "9 - 14.5",
  "Ping 10 15.5",
];

/**
 * Every datagram is a heartbeat or junk, from several hosts, with senders forgotten and late. What
 * is reported is fit for a terminal; nothing is lost that was not sent; percentages are percentages.
 */
function fuzzHeartbeats(random: Random, count: number): void {
  let said = "";
  const report = (event: MonitorEvent) => said += describeBeat(event);
  const expected = [{ name: "job", timeout: 50 }, { name: "never" }];
  const monitor = new Monitor({ report, timeout: 100, maxSenders: 20, expected }, 0);
  for (let done = 0; done < count; done++) {
    const hostname = pick(random, ["127.0.0.1", "::1", "::ffff:192.0.2.7"]);
    const text = corrupt(random, pick(random, BEATS));
    said = "";
    monitor.onDatagram(octetsOf(text), { transport: "udp", hostname, port: 9 }, done);
    if (random() < 0.1) monitor.sweep(done);
    if (printable(said) !== said) throw new Error(`${show(text)}: ${said}`);
  }
  for (const sender of monitor.summary(count)) {
    const { lost, loss, up, jitter } = sender;
    const isRight = lost >= 0 && [loss, up].every((part) => part >= 0 && part <= 100) &&
      jitter >= 0;
    if (!isRight) throw new Error(show(sender));
  }
}

const PLACES = "\trx=0000000000.000000\ttx=0000000000.000000\tn=0000000000";

/** Makes a socket that receives the datagrams of `say`, and gives `hear` what is sent. */
function fakeSocket(
  say: () => string | Promise<string>,
  hear: (octets: Uint8Array) => void,
  close = () => {},
): Deno.DatagramConn {
  const addr = { transport: "udp", hostname: "127.0.0.1", port: 12_000 } as const;
  const from = { ...addr, port: 50_000 };
  return {
    addr,
    receive: async () => [octetsOf(await say()), from],
    send: (octets: Uint8Array) => (hear(octets), Promise.resolve(octets.length)),
    close,
  } as unknown as Deno.DatagramConn; // as much of one as the two programs ask for
}

/** Every request has a fate, and no reply is longer than its request, or comes three times. */
async function fuzzEcho(random: Random, count: number): Promise<void> {
  const probes = [`sequence=7\ttime=12.345678\tid=0a1b${PLACES}`, "sequence=8\ttime=1.000000", ""];
  const faults = { loss: 0.1, delay: 0, jitter: 0, duplicate: 0.1, corrupt: 0.1, reorder: 0.1 };
  const stop = new AbortController();
  let [done, sent, received] = [0, 0, 0];
  const socket = fakeSocket(async () => {
    await rest(done);
    if (done++ === count) stop.abort();
    const text = corrupt(random, pick(random, probes)).slice(0, 60_000);
    received += text.length;
    return text;
  }, (octets) => sent += octets.length);
  const options = { rate: pick(random, [0, 1e6]), seed: 1, upper: pick(random, [false, true]) };
  const server = new EchoServer(socket, { ...faults, ...options }, stop.signal);
  await server.serve();
  const { counts } = server;
  const fates = counts.dropped + counts.echoed + counts.held + counts.failed + counts.limited;
  if (counts.received < count || fates !== counts.received || sent > 2 * received) {
    throw new Error(show({ ...counts, sent }));
  }
}

/** Only what comes back as it went out is a reply; what is reported is fit for a terminal. */
async function fuzzPinger(random: Random, count: number): Promise<void> {
  const stop = new AbortController();
  let done = 0;
  let said = Promise.withResolvers<string>();
  const socket = fakeSocket(
    () => said.promise,
    (octets) => {
      if (done === count) stop.abort();
      const before = said;
      said = Promise.withResolvers();
      before.resolve(corrupt(random, toByteString(octets)));
      done++;
    },
    () => said.reject(new Error("closed")),
  );
  const target = { transport: "udp", hostname: "127.0.0.1", port: 50_000 } as const;
  const pinger = new Pinger(socket, target, {
    ...{ count: Infinity, timeout: 5, preload: 1, flood: true, oneWay: true, size: 120 },
    signal: stop.signal,
    report: ({ event, reason = "", from = "" }) => {
      if (printable(reason + from) !== reason + from) throw new Error(`${event}: ${reason}`);
    },
  });
  await pinger.run();
  const { received, late, corrupted, foreign, duplicates } = pinger.statistics.counts;
  const heard = received + late + corrupted + foreign + duplicates;
  if (done < count || heard < count / 2 || heard > done) throw new Error(`${heard} of ${done}`);
}

/** A table with each kind of option. */
const TABLE = {
  port: option("-p, --port N", "a number", wholeNumber(0, 65_535), "8000"),
  timeout: option("--timeout S", "a time", seconds(0.001, 86_400)),
  loss: option("--loss P", "a probability", probability),
  header: list("-H, --header 'N: V'", "a list", nonEmpty),
  quiet: flag("-q, --quiet", "a flag"),
  listing: negatable("--no-listing", "a flag that is on", true),
};

/** Every command line gives values or a UsageError. */
async function fuzzCommandLines(random: Random, count: number): Promise<void> {
  const words = ["--port", "-p", "--port=1", "-q", "-qp", "--", "-", "--no-listing", "-H", "x"]
    .concat(["--header=a: b", "--timeout=5ms", "--loss=4/11", "--loss", "30%", "-p80"]);
  for (let done = 0; done < count; done++) {
    const args = Array.from(
      { length: Math.floor(random() * 5) },
      () => corrupt(random, pick(random, words)),
    );
    await timed(args, () => {
      try {
        parseCommandLine({ options: TABLE }, args);
      } catch (error) {
        if (!(error instanceof UsageError)) throw new Error(`${show(args)}: ${error}`);
      }
    });
  }
}

/** Lets what connects find this peer, in memory, until it is done. */
async function withPeer<T>(pieces: string[], talk: () => Promise<T>): Promise<T> {
  const { connect } = Deno;
  Object.assign(Deno, { connect: () => Promise.resolve(new Heard(pieces)) });
  try {
    return await talk();
  } finally {
    Object.assign(Deno, { connect });
  }
}

const HELLO = new TextEncoder().encode("hello");
const BODIES = ["hello", "5\r\nhello\r\n0\r\n\r\n", "5;a=b\r\nhello\r\n0\r\nT: x\r\n\r\n"]
  .concat([gzipSync(HELLO), deflateSync(HELLO), brotliCompressSync(HELLO)].map(toByteString));
const RESPONSES = [
  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: T\r\n\r\n",
  "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\nContent-Length: 5, 5\n\n",
  "HTTP/1.0 301 Moved\r\nLocation: http://localhost/a b\xe9\r\nX: a\r\n folded\r\n\r\n",
  "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-4/9\r\nContent-Encoding: gzip\r\n\r\n",
  "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n",
  "HTTP/1.1 200 OK\r\nContent-Encoding: deflate, br\r\nContent-Type: text/html\r\n\r\n",
  "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nRetry-After: 0\r\n\r\n",
];
const URLS = [
  "http://localhost:8000/a/b?c=d#e",
  "[::1]:80/x",
  ":8000/y",
  "http://u:p@h.example/%41",
];
/** Options that change how a response is read. */
const SETTINGS = [[], ["-i"], ["-v"], ["--compressed"], ["-I"], ["-r", "0-4"], ["-f"]]
  .concat([["-s", "-N"], ["-x", "u:p@127.0.0.1:1"], ["--json", "{}"]]);

/** The statuses of curl that a spoilt response or URL may lead to. */
const STATUSES = [0, 1, 2, 3, 6, 7, 8, 18, 22, 23, 28, 35, 47, 52, 55, 56, 60, 61, 63, 100];

/** Every response and every URL ends in a status of curl's, and nothing raw is said. */
async function fuzzClient(random: Random, count: number, url: () => string): Promise<void> {
  for (let done = 0; done < count; done++) {
    await rest(done);
    const response = corrupt(random, pick(random, RESPONSES) + pick(random, BODIES));
    const limits = ["-m", "1", "--max-redirs", "2", "--max-filesize", "100000"];
    const args = ["-L", ...limits, ...pick(random, SETTINGS), url()];
    const case_ = show([args, response]);
    const pieces = say(random, response);
    const outcome = await timed(
      case_,
      () => withPeer([...pieces], () => runHere(args, { isTerminal: true })),
    )
      .catch((error) => {
        throw new Error(`${case_}: ${error.stack}`);
      });
    const { code, stderr } = outcome;
    const lines = stderr.replaceAll("\n", "");
    const isRaw = printable(lines) !== lines && /[^\n\x20-\x7e\x80-\xff]/.test(lines);
    if (!STATUSES.includes(code) || isRaw) throw new Error(`${case_}: ${code} ${stderr}`);
  }
}

const SESSION = [
  ["220 mail.example ESMTP\r\n", "220-mail.example\r\n220 hello\r\n"],
  [
    "250-mail.example\r\n250-SIZE 1000000\r\n250-AUTH PLAIN LOGIN\r\n250 PIPELINING\r\n",
    "250 x\r\n",
  ],
  ["250 2.1.0 Ok\r\n", "250\r\n"],
  ["250 2.1.5 Ok\r\n", "251 forwarded\r\n", "450 4.2.1 later\r\n"],
  ["354 go on\r\n"],
  ["250 2.0.0 queued as 1\r\n", "552 5.2.2 full\r\n"],
  ["221 bye\r\n"],
];

const COMPOSED = [
  ["-t", '"Doe, J" <j@example.org>, Grüße <g@bücher.example>', "-s", "Grüße aus Köln ".repeat(9)],
  ["-t", "a@[IPv6:::1], b@x.example (B)", "-H", "Sender: S <s@example.org>", "-s", "x".repeat(99)],
  ["--bcc", "b@x.example", "-H", "References: <1@x> <2@x>", "-H", "Date: 1 Jan 2026 00:00:00 GMT"],
];
const FINISHED = "From: Ann <a@x.example>\r\nTo: g: b@x.example, c@x.example (C);\r\n" +
  "Bcc: d@x.example,\r\n e@x.example\r\nSubject: x\r\n\r\n.\r\nFrom here\r\n";

/** A message is refused in one line, or every line of it ends in CRLF, and no field is Bcc. */
async function fuzzMessages(random: Random, count: number): Promise<void> {
  for (let done = 0; done < count; done++) {
    await rest(done);
    const isFinished = random() < 0.5;
    const input = octetsOf(corrupt(random, isFinished ? FINISHED : "body\n"));
    const words = pick(random, COMPOSED).map((word) =>
      /^--?[a-z]+$/i.test(word) ? word : corrupt(random, word)
    );
    const args = isFinished ? ["--eml", "-"] : ["-f", "a@x.example", ...words];
    let [said, message] = ["", ""];
    const case_ = show([args, toByteString(input)]);
    const around = {
      env: {},
      stdin: { readable: new Blob([input]).stream(), isTerminal: () => false },
      askSecret: () => null,
      say: (line: string) => said += line,
      trace: () => {},
      print: (output: string | Uint8Array) => {
        message += typeof output === "string" ? output : toByteString(output);
      },
      signal: () => new AbortController().signal,
    };
    try {
      const status = await mail(parseCommandLine(MAIL, ["--dry-run", ...args]), around);
      const [header = ""] = message.split("\r\n\r\n");
      const isWrong = /\r(?!\n)|(?<!\r)\n|\0|[^\r\n]{999}/.test(message) ||
        /^bcc[ \t]*:/im.test(header);
      if (![0, 65].includes(status) || printable(said) !== said || isWrong) throw new Error(said);
    } catch (error) {
      if (!(error instanceof UsageError)) {
        throw new Error(`${case_}: ${show(message)}`, { cause: error });
      }
    }
  }
}

/** Every session ends in an exit status of ours, and nothing raw is said. */
async function fuzzMail(random: Random, count: number): Promise<void> {
  const args = ["--tls", "none", "--server", "127.0.0.1:25", "--timeout", "1", "-v"]
    .concat(["-f", "ann@example.org", "-t", "bob@example.org", "-m", "Hi"]);
  for (let done = 0; done < count; done++) {
    await rest(done);
    const session = corrupt(random, SESSION.map((replies) => pick(random, replies)).join(""));
    let said = "";
    const around = {
      env: {},
      stdin: Deno.stdin,
      askSecret: () => null,
      say: (line: string) => said += line,
      trace: (mark: ">" | "<" | "*", text: string) => said += formatTrace(mark, text),
      print: () => {},
      signal: () => new AbortController().signal,
    };
    const status = await withPeer(
      session.match(/[^\n]*\n|[^\n]+$/g) ?? [],
      () => mail(parseCommandLine(MAIL, args), around),
    )
      .catch((error) => {
        throw new Error(`${show(session)}: ${error.stack}`);
      });
    const fine = [0, 65, 67, 68, 69, 75, 76, 77].includes(status) && printable(said) === said;
    if (!fine) throw new Error(`${show(session)}: ${status} ${said}`);
  }
}

// ---- Command line -------------------------------------------------------

/** The parsers, and their share of the inputs. */
const PARSERS: Record<string, [share: number, fuzz: (random: Random, count: number) => unknown]> = {
  requests: [0.2, fuzzRequests],
  responses: [0.1, (random, count) => fuzzClient(random, count, () => "http://localhost/")],
  URLs: [
    0.05,
    (random, count) => fuzzClient(random, count, () => corrupt(random, pick(random, URLS))),
  ],
  "mail replies": [0.05, fuzzMail],
  "mail messages": [0.05, fuzzMessages],
  heartbeats: [0.2, fuzzHeartbeats],
  "echo requests": [0.1, fuzzEcho],
  "echo replies": [0.1, fuzzPinger],
  "command lines": [0.2, fuzzCommandLines],
};

const OPTIONS = {
  count: option("--count N", "inputs for all parsers together", wholeNumber(1, 1e9), "1000000"),
  seed: option("--seed N", "the same inputs for the same seed", wholeNumber(0, 2 ** 32)),
  only: option("--only NAME", "one parser", text),
};

await run({
  name: "fuzz",
  summary: "Gives the parsers of the five programs a lot of corrupted input.",
  usage: ["[options]"],
  options: OPTIONS,
  example: "deno task fuzz --count 10000 --only requests",
  exitStatuses: "0 nothing found, 2 usage",
}, async ({ options: { count, only, seed = Math.floor(Math.random() * 2 ** 32) } }) => {
  for (const [name, [share, fuzz]] of Object.entries(PARSERS)) {
    if (only !== undefined && only !== name) continue;
    const [inputs, began] = [Math.round(count * share), performance.now()];
    print(`${name}: ${inputs} inputs, seed ${seed} ... `);
    await fuzz(generator(seed), inputs);
    print(`ok, ${((performance.now() - began) / 1000).toFixed(1)} s\n`);
  }
  return 0;
});
