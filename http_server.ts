#!/usr/bin/env -S deno run --unstable-net --allow-net --allow-read
/**
 * Serves the files of one folder over HTTP/1.1, on bare TCP sockets.
 *
 * ```sh
 * deno run --allow-net --allow-read http_server.ts -p 8000 ./public
 * ```
 *
 * The message on the wire is RFC 9112's, its meaning RFC 9110's, and the target RFC 3986's. Read
 * from the top: the terms, the numbers, then a connection from accept to close: its request, what
 * the request names, what becomes of it, the response. The command line comes last.
 *
 * Left out, because a proxy in front does it better: compression on the fly, HTTP/2, uploads.
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { bold, cyan } from "@std/fmt/colors";
import { format as formatOctets } from "@std/fmt/bytes";
import { format as formatDuration } from "@std/fmt/duration";
import {
  explain,
  Fields,
  LimitError,
  MalformedError,
  printable,
  readNumber,
  run,
  showTrace,
  shutdownSignal,
  spellOut,
  toByteString,
  TOKEN,
  type Trace,
  UsageError,
  VERSION,
  Wire,
  WireError,
} from "./protocol.ts";

// ---- Terms -------------------------------------------------------------

/** A field of a response. */
export type Field = readonly [name: string, value: string];

/** What to serve, and how. Plain data, so that it can travel to a Worker. */
export interface Settings {
  /** The folder; no file outside it is ever sent. */
  root: string;
  /** Serve this one file of the folder, as "/" and under its name, and nothing else. */
  only?: string | undefined;
  /** Answer navigation to what is not there with /index.html. */
  spa?: boolean;
  /** The value of Cache-Control. Default: no-cache. */
  cache?: string;
  /** Fields for every response; they replace ours of the same name. */
  fields?: Field[];
  /** Let pages of other origins read everything. */
  cors?: boolean;
  /** List folders that have no index.html. Default: true. */
  listing?: boolean;
  /** Serve and list names that begin with a dot. */
  dotfiles?: boolean;
  /** "user:password" of Basic authentication. */
  credentials?: string | undefined;
  /** The host names answered to, in lower case, beside loopback's. Default: all. */
  hosts?: string[] | undefined;
  /** Whether the listeners speak TLS. */
  secure?: boolean;
  /** More connections than this wait. Default: 1000. */
  maxConnections?: number;
  /** How long a kept connection may be silent, in milliseconds. Default: 15,000. */
  idle?: number;
}

/** Where connections come from. */
export type Listener = Deno.TcpListener | Deno.TlsListener;

/** Settings, and how the service is watched and ended. */
export interface ServeOptions extends Settings {
  /** Ends the service. */
  signal: AbortSignal;
  /** Gets each request when its response has ended. */
  log?: ((exchange: Exchange) => void) | undefined;
  /** Sees each line of a header section. */
  trace?: Trace | undefined;
  /** Gets what went wrong on our side; the client saw a 500 or the end of the connection. */
  complain?: ((error: unknown) => void) | undefined;
}

/** One request and what became of it; strings are as the client sent them. */
export interface Exchange {
  remote: string;
  /** The request line; "" if none could be read. */
  request: string;
  status: number;
  /** Octets of content sent, and promised. */
  sent: number;
  promised: number;
  /** From the whole request to the end of the response, in milliseconds. */
  ms: number;
  range: string;
  referer: string;
  agent: string;
  user: string;
}

/** What a service did. */
export interface Summary {
  requests: number;
  /** Octets of content sent. */
  sent: number;
}

/** How the end of a body is told, RFC 9112 §6.3; "faulty" ends with the connection. */
export type Framing =
  | { kind: "none" }
  | { kind: "length"; octets: number }
  | { kind: "chunked" }
  | { kind: "faulty" };

/** A request, once its header section is understood. */
export interface Request {
  line: string;
  method: string;
  /** The path of the target, still encoded, and its query with the "?". */
  path: string;
  query: string;
  /** The host without its port, in lower case; "" if an HTTP/1.0 client named none. */
  host: string;
  fields: Fields;
  framing: Framing;
  persists: boolean;
  oldClient: boolean;
}

/** Octets of an open file, first to last, both included. */
interface Slice {
  first: number;
  last: number;
}

/** A piece of content: octets, or where in the open file they are. */
type Piece = Uint8Array<ArrayBuffer> | Slice;

/** What a target names, ready to be sent whole or in part (RFC 9110 §3.2). */
interface Representation {
  /** All of it, if it is small; else it comes from the file. */
  octets?: Uint8Array<ArrayBuffer> | undefined;
  file?: Deno.FsFile | undefined;
  size: number;
  type: string;
  etag: string;
  /** In whole seconds since 1970, as HTTP dates are. */
  modified: number | null;
  /** The fields that vary with it, Content-Type and the validators included. */
  fields: Field[];
}

/** A response before it meets the wire; it owns the file. */
interface Response {
  status: number;
  fields: Field[];
  content: Piece[];
  file?: Deno.FsFile | undefined;
}

/** A response as it goes out: the octets in one write, then perhaps a file. */
interface Answer {
  octets: Uint8Array<ArrayBuffer>;
  /** How many of the octets are content. */
  contentInOctets: number;
  /** What follows from the file. */
  rest: Piece[];
  file: Deno.FsFile | undefined;
  persists: boolean;
  /** Whether unread input may be waiting, so that a plain close could destroy the answer. */
  lingers: boolean;
  exchange: Omit<Exchange, "remote" | "sent" | "ms">;
}

/** A status other than success, with the fields that belong to it. */
class StatusError extends Error {
  constructor(readonly status: number, readonly fields: Field[] = []) {
    super(`${status} ${REASONS.get(status)}`);
  }
}

// ---- Numbers -----------------------------------------------------------

/** How long a request may take to arrive, in milliseconds, header and body each. */
const REQUEST_TIMEOUT = 10_000;
/** How long a kept connection may be silent, in milliseconds. */
const IDLE_TIMEOUT = 15_000;
/** How long a client may take no octet of a response, in milliseconds. */
const WRITE_TIMEOUT = 30_000;
/** How long a client may take to hang up after our last word, in milliseconds. */
const LINGER_TIMEOUT = 2_000;
/** How long answers in progress may go on after the end was asked for, in milliseconds. */
const SHUTDOWN_TIMEOUT = 5_000;

/** The longest request-target, in octets; RFC 9112 §3 asks for a request line of 8,000 at least. */
const MAX_TARGET = 8_000;
/** The longest request line, in octets. */
const MAX_REQUEST_LINE = MAX_TARGET + 128;
/** The most a header or trailer section may hold, in octets and in fields. */
const MAX_FIELDS_OCTETS = 16_384;
const MAX_FIELDS = 100;
/** The longest chunk line, and all chunk extensions of a body, in octets (RFC 9112 §7.1.1). */
const MAX_CHUNK_LINE = 4_096;
const MAX_EXTENSIONS = 16_384;
/** The most octets of a request body that we read to keep the connection. */
const MAX_DROPPED = 65_536;
/** How many empty lines may come before a request line (RFC 9112 §2.2 asks for one). */
const MAX_EMPTY_LINES = 4;
/** More ranges, or more overlaps, than this are an attack (RFC 9110 §17.15). */
const MAX_RANGES = 16;
const MAX_OVERLAPS = 2;
/** The most entries that a listing shows. */
const MAX_LISTED = 10_000;

/** Up to this size a file is read whole and sent with its header in one write, in octets. */
const SMALL = 131_072;
/** How much of a larger file is read at once, in octets. */
const BLOCK = 262_144;
/** The longest request that the table of answers looks at, and all the answers it keeps, in octets. */
const MAX_KEY = 2_048;
const MAX_KEPT = 67_108_864;

const MAX_CONNECTIONS = 1_000;

/** Methods that we answer, and those that we know and refuse (RFC 9110 §9.3, RFC 5789). */
const ALLOWED = ["GET", "HEAD", "OPTIONS"];
const REFUSED = ["POST", "PUT", "DELETE", "CONNECT", "TRACE", "PATCH"];

/** Reason phrases, RFC 9110 §15. */
const REASONS: ReadonlyMap<number, string> = new Map(
  `200 OK, 204 No Content, 206 Partial Content, 304 Not Modified, 307 Temporary Redirect,
   400 Bad Request, 401 Unauthorized, 403 Forbidden, 404 Not Found, 405 Method Not Allowed,
   412 Precondition Failed, 414 URI Too Long, 416 Range Not Satisfiable, 417 Expectation Failed,
   421 Misdirected Request, 431 Request Header Fields Too Large, 500 Internal Server Error,
   501 Not Implemented, 503 Service Unavailable, 505 HTTP Version Not Supported`
    .split(",").map((each) => [Number(each.trim().slice(0, 3)), each.trim().slice(4)]),
);

/** Media types by extension, as `extensions=subtype`; an extension alone is its own subtype. */
const TYPES: ReadonlyMap<string, string> = new Map(
  `text html,htm=html css csv vtt js,mjs,cjs=javascript md,markdown=markdown xml,xsl=xml
   text yaml,yml=yaml ics=calendar txt,log,ini,conf,cfg,toml,ts,tsx,jsx,mts,cts,sh,py,rb,rs,go=plain
   text c,h,cpp,java,php,lock=plain
   image png jpg,jpeg=jpeg gif webp avif jxl bmp svg=svg+xml ico=x-icon tif,tiff=tiff
   audio mp3=mpeg m4a=mp4 ogg,oga,opus=ogg wav flac aac
   video mp4,m4v=mp4 webm ogv=ogg mov=quicktime mkv=x-matroska
   font woff woff2 ttf otf
   model glb=gltf-binary gltf=gltf+json
   application json,map,geojson=json jsonld=ld+json webmanifest=manifest+json wasm pdf xhtml=xhtml+xml
   application atom=atom+xml rss=rss+xml epub=epub+zip m3u8=vnd.apple.mpegurl zip gz,tgz=gzip
   application bz2=x-bzip2 xz=x-xz zst=zstd 7z=x-7z-compressed tar=x-tar rar=vnd.rar
   application docx=vnd.openxmlformats-officedocument.wordprocessingml.document
   application xlsx=vnd.openxmlformats-officedocument.spreadsheetml.sheet
   application pptx=vnd.openxmlformats-officedocument.presentationml.presentation`
    .split("\n").flatMap((line) => {
      const [kind = "", ...groups] = line.trim().split(" ");
      return groups.flatMap((group) => {
        const [extensions = "", subtype = extensions] = group.split("=");
        const type = `${kind}/${subtype}${kind === "text" ? "; charset=utf-8" : ""}`;
        return extensions.split(",").map((extension) => [extension, type] as const);
      });
    }),
);

const CR = 0x0d;
const LF = 0x0a;
const encoder = new TextEncoder();

// ---- Engine: the service -----------------------------------------------

/** One service: its options, and what is shared by its connections. */
interface Site extends ServeOptions {
  realRoot: string;
  answers: AnswerTable;
  connections: Set<Connection>;
  summary: Summary;
  /** Resolves when a connection has ended. */
  freed: PromiseWithResolvers<void>;
}

interface Connection {
  wire: Wire;
  remote: string;
  /** Whether a request has begun and its response has not ended. */
  busy: boolean;
}

/**
 * Answers HTTP/1.1 requests until the signal aborts. Then it accepts no more, hangs up on idle
 * clients, and resolves once the busy ones have their answer, after five seconds at the most.
 *
 * The caller opens the listeners. What a client does never rejects the promise.
 */
export async function serve(
  listeners: readonly Listener[],
  options: ServeOptions,
): Promise<Summary> {
  const site: Site = {
    ...options,
    realRoot: Deno.realPathSync(options.root),
    answers: new AnswerTable(),
    connections: new Set(),
    summary: { requests: 0, sent: 0 },
    freed: Promise.withResolvers(),
  };
  let patience: ReturnType<typeof setTimeout> | undefined;
  const stop = () => {
    for (const listener of listeners) listener.close();
    for (const { wire, busy } of site.connections) if (!busy) wire.close();
    patience = setTimeout(() => {
      for (const { wire } of site.connections) wire.close();
    }, SHUTDOWN_TIMEOUT);
    wake(site);
  };
  if (options.signal.aborted) stop();
  else options.signal.addEventListener("abort", stop, { once: true });
  await Promise.all(listeners.map((listener) => acceptFrom(listener, site)));
  while (site.connections.size > 0) await site.freed.promise;
  clearTimeout(patience);
  return site.summary;
}

/** Accepts until the listener is closed; neither a reset nor want of descriptors ends it. */
async function acceptFrom(listener: Listener, site: Site): Promise<void> {
  for (let pause = 5; !site.signal.aborted;) {
    try {
      while (site.connections.size >= (site.maxConnections ?? MAX_CONNECTIONS)) {
        await site.freed.promise;
        if (site.signal.aborted) return;
      }
      const conn = await listener.accept();
      pause = 5;
      converse(conn, site);
    } catch (error) {
      if (error instanceof Deno.errors.BadResource) return; // closed, by us
      // ENOTCONN and the like: the client is gone already. Out of descriptors: some will be freed.
      await new Promise((resolve) => setTimeout(resolve, pause));
      pause = Math.min(pause * 2, 1_000);
    }
  }
}

/** One connection from accept to close; nothing that happens to it concerns the others. */
async function converse(conn: Deno.TcpConn | Deno.TlsConn, site: Site): Promise<void> {
  const connection = { wire: new Wire(conn), remote: addressOf(conn), busy: false };
  site.connections.add(connection);
  try {
    if ("setNoDelay" in conn) conn.setNoDelay(); // or small answers wait 40 ms
    await answerRequests(connection, site);
  } catch (error) {
    if (!(error instanceof WireError)) site.complain?.(error);
  } finally {
    connection.wire.close();
    site.connections.delete(connection);
    wake(site);
  }
}

/** Lets those go on who wait for a connection to end. */
function wake(site: Site): void {
  const { resolve } = site.freed;
  site.freed = Promise.withResolvers();
  resolve();
}

/** Reads requests and answers them, in their order, as long as the connection persists. */
async function answerRequests(connection: Connection, site: Site): Promise<void> {
  const { wire } = connection;
  for (let patience = REQUEST_TIMEOUT;; patience = site.idle ?? IDLE_TIMEOUT) {
    connection.busy = false;
    wire.setDeadline(patience);
    if (wire.buffered.length === 0 && !await wire.fill()) return;
    connection.busy = true;
    const started = site.log ? performance.now() : 0;

    const { buffered, received } = wire;
    const key = buffered.length <= MAX_KEY ? toByteString(buffered) : "";
    let answer = site.answers.find(key);
    if (answer) {
      wire.skip(buffered.length);
    } else {
      answer = await answerNext(wire, site);
      if (answer === undefined) return;
      const keyIsRequest = wire.received === received && wire.buffered.length === 0;
      if (keyIsRequest && !site.trace) site.answers.keep(key, answer);
    }
    await send(answer, connection, site, started);
    if (answer.persists && !site.signal.aborted) continue;
    if (answer.lingers || wire.buffered.length > 0) await wire.hangUp(LINGER_TIMEOUT);
    return;
  }
}

/**
 * The hot path. Requests on kept connections repeat themselves octet for octet, so answers that
 * fit into memory are kept under the octets of their whole request, until the second is over: then
 * the Date changes, and a file may have. A request that is known costs one read, one look-up and
 * one write; it paid 6 times the requests a second of the strict path below.
 */
class AnswerTable {
  #second = 0;
  #octets = 0;
  #date = "";
  readonly #answers = new Map<string, Answer>();

  /** The answer to exactly these octets, if it was given within this second. */
  find(key: string): Answer | undefined {
    this.#expire();
    return this.#answers.get(key);
  }

  /** Keeps an answer that is all in memory, for a request that is all in the key. */
  keep(key: string, answer: Answer): void {
    if (key === "" || answer.lingers || answer.file) return;
    this.#octets += key.length + answer.octets.length;
    if (this.#octets <= MAX_KEPT) this.#answers.set(key, answer);
  }

  /** The time as an IMF-fixdate (RFC 9110 §5.6.7), made once a second. */
  get date(): string {
    this.#expire();
    return this.#date;
  }

  #expire(): void {
    const now = Date.now();
    const second = now - now % 1_000;
    if (second === this.#second) return;
    this.#second = second;
    this.#date = new Date(second).toUTCString();
    this.#octets = 0;
    this.#answers.clear();
  }
}

/** Reads one request and makes its answer; undefined if the client hung up before it began. */
async function answerNext(wire: Wire, site: Site): Promise<Answer | undefined> {
  let line = "";
  try {
    const lines = await readHead(wire);
    if (lines === null) return undefined;
    for (const each of lines) site.trace?.("<", printable(each));
    line = lines[0] ?? "";
    const request = parseRequest(lines, site.secure ?? false);
    const ended = await dropBody(wire, request);
    return compose(await respond(request, site), request, ended, site);
  } catch (error) {
    // The end of such a request cannot be told, so the connection ends with the answer.
    if (error instanceof StatusError) return compose(refusal(error), { line }, false, site);
    if (error instanceof MalformedError) {
      return compose(refusal(new StatusError(400)), { line }, false, site);
    }
    if (error instanceof LimitError) {
      return compose(refusal(new StatusError(431)), { line }, false, site);
    }
    throw error;
  }
}

/** Sends an answer and logs it, whether it came to its end or not. */
async function send(
  answer: Answer,
  { wire, remote }: Connection,
  site: Site,
  started: number,
): Promise<void> {
  let sent = 0;
  site.summary.requests++;
  try {
    await wire.write(answer.octets, WRITE_TIMEOUT);
    sent = answer.contentInOctets;
    if (answer.file) {
      for await (const octets of readPieces(answer.file, answer.rest)) {
        await wire.write(octets, WRITE_TIMEOUT);
        sent += octets.length;
      }
    }
  } finally {
    answer.file?.close();
    site.summary.sent += sent;
    site.log?.({ ...answer.exchange, remote, sent, ms: performance.now() - started });
  }
}

// ---- Engine: the request -----------------------------------------------

/**
 * Reads the lines of a header section (RFC 9112 §2.1), without the empty lines before it and the
 * one that ends it; null if the client hung up before it began. What is too long is refused
 * before it is whole.
 *
 * @throws {StatusError} 400 for a lone LF or an early end, 414, 431.
 */
async function readHead(wire: Wire): Promise<string[] | null> {
  wire.setDeadline(REQUEST_TIMEOUT);
  const ends: number[] = []; // where each line ends, CRLF included
  for (let scanned = 0, emptyLines = 0;;) {
    const octets = wire.buffered;
    const end = octets.indexOf(LF, scanned) + 1;
    refuseTooLong(octets, end || octets.length, ends);
    const start = ends.at(-1) ?? 0;
    if (end === 0) {
      scanned = octets.length;
      if (await wire.fill()) continue;
      if (scanned === 0) return null;
      throw new StatusError(400);
    }
    if (octets[end - 2] !== CR) throw new StatusError(400); // RFC 9112 §2.2: LF alone is no end
    scanned = end;
    if (end > start + 2) {
      ends.push(end);
    } else if (ends.length > 0) {
      const head = toByteString(octets.subarray(0, start - 2));
      wire.skip(end);
      return head.split("\r\n");
    } else {
      if (++emptyLines > MAX_EMPTY_LINES) throw new StatusError(400);
      wire.skip(end);
      scanned = 0;
    }
  }
}

/** Refuses a header section at the octet that makes it too long. */
function refuseTooLong(octets: Uint8Array, length: number, ends: readonly number[]): void {
  const [requestLine, ...fieldLines] = ends;
  if (requestLine === undefined) {
    if (length > MAX_REQUEST_LINE) throw new StatusError(octets.indexOf(0x20) < 64 ? 414 : 400);
  } else if (length - requestLine > MAX_FIELDS_OCTETS || fieldLines.length > MAX_FIELDS) {
    throw new StatusError(431);
  }
}

/** The authority of an http URI, RFC 3986 §3.2, without the userinfo that RFC 9110 §4.2.4 bars. */
const AUTHORITY =
  /^(\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})+)(?::(\d{0,5}))?$/;
/** A request line, RFC 9112 §3. */
const REQUEST_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([!-~]+) HTTP\/(\d)\.(\d)$/;
/** A path and a query, RFC 3986 §3.3 and §3.4, and what browsers send beside: | in both, {}^`\ in a query. */
const PATH_AND_QUERY =
  /^((?:\/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@|[\]]|%[0-9A-Fa-f]{2})*)*)(\?[!$-;=?-~]*)?$/;

/**
 * Makes sense of a header section.
 *
 * @param secure Whether it came over TLS.
 * @throws {StatusError} 400, 414, 417, 421, 501, 505.
 * @throws {MalformedError} If a field line is none.
 */
export function parseRequest(
  [line = "", ...fieldLines]: readonly string[],
  secure: boolean,
): Request {
  const parts = REQUEST_LINE.exec(line);
  const [, method = "", target = "", major = "", minor = ""] = parts ?? [];
  if (target.length > MAX_TARGET) throw new StatusError(414);
  if (!parts) throw new StatusError(400);
  if (major !== "1") throw new StatusError(505);
  const oldClient = minor === "0";

  const fields = new Fields();
  for (const each of fieldLines) fields.appendLine(each);
  // RFC 9112 §3.2: a request without exactly one Host, or with a bad one, is refused.
  const hosts = fields.all("Host");
  if (hosts.length > 1 || (hosts.length === 0 && !oldClient)) throw new StatusError(400);
  const named = hosts[0] === undefined ? "" : parseAuthority(hosts[0]);

  const connection = (fields.get("Connection") ?? "").toLowerCase().split(/[\t ]*,[\t ]*/);
  const persists = !connection.includes("close") &&
    (!oldClient || connection.includes("keep-alive"));
  const framing = requestFraming(fields, oldClient);
  const aim = parseTarget(method, target, named, secure);
  return { line, method, ...aim, fields, framing, persists, oldClient };
}

/** Reads a request-target in any of its forms (RFC 9112 §3.2). */
function parseTarget(method: string, target: string, named: string, secure: boolean) {
  if (method === "CONNECT") return { host: parseAuthority(target), path: "", query: "" };
  if (target === "*" && method === "OPTIONS") return { host: named, path: "*", query: "" };
  const absolute = /^([A-Za-z][A-Za-z0-9+\-.]*):\/\/([^/?]*)(.*)$/.exec(target);
  const [, scheme = "", authority = "", rest = ""] = absolute ?? [];
  // RFC 9112 §3.2.2: the host of an absolute target wins over the Host field.
  const host = absolute ? parseAuthority(authority) : named;
  // RFC 9110 §7.4: an https resource is not for a plain connection.
  if (absolute && scheme.toLowerCase() !== (secure ? "https" : "http")) throw new StatusError(421);
  const [, path, query = ""] = PATH_AND_QUERY.exec(absolute ? rest : target) ?? [];
  if (path === undefined || (path === "" && !absolute)) throw new StatusError(400);
  return { host, path: path || "/", query };
}

/** The host of an authority, in lower case and without a final dot; 400 if it is malformed. */
function parseAuthority(authority: string): string {
  const [, host, port] = AUTHORITY.exec(authority) ?? [];
  if (host === undefined || Number(port ?? 0) > 65_535) throw new StatusError(400);
  if (host.startsWith("[") && !URL.canParse(`http://${host}/`)) throw new StatusError(400);
  return host.toLowerCase().replace(/\.$/, "");
}

/**
 * Tells where the body of a request ends, by the rules of RFC 9112 §6.3 in their order. What two
 * readers could see in two ways is refused: that is how one request is smuggled inside another.
 */
export function requestFraming(fields: Fields, oldClient: boolean): Framing {
  const codings = fields.get("Transfer-Encoding");
  const [length, ...others] = fields.all("Content-Length");
  if (codings !== undefined) {
    // Rule 3: two ways to tell the end.
    if (length !== undefined) throw new StatusError(400);
    // §6.1: from an HTTP/1.0 client it cannot be trusted; answered, then closed.
    if (oldClient) return { kind: "faulty" };
    // Rule 4: chunked comes last and once; before it we know no other.
    const names = codings.toLowerCase().split(/[\t ]*,[\t ]*/);
    if (names.pop() !== "chunked" || names.includes("chunked")) throw new StatusError(400);
    if (names.length > 0) {
      throw new StatusError(names.every((name) => TOKEN.test(name)) ? 501 : 400);
    }
    return { kind: "chunked" };
  }
  // Rule 5: a length that is no length, or several.
  if (length === undefined) return { kind: "none" };
  if (others.length > 0 || !/^\d{1,15}$/.test(length)) throw new StatusError(400);
  return length === "0" ? { kind: "none" } : { kind: "length", octets: Number(length) };
}

/**
 * Reads and drops the body of a request, so that the next one can follow; tells whether it came
 * to its end. A body is short or the connection is not worth it.
 */
async function dropBody(
  wire: Wire,
  { method, fields, framing, oldClient }: Request,
): Promise<boolean> {
  const expectation = oldClient ? undefined : fields.get("Expect")?.toLowerCase();
  // RFC 9110 §10.1.1: an expectation that we do not know is refused.
  if (expectation !== undefined && expectation !== "100-continue") throw new StatusError(417);
  if (framing.kind === "none") return true;
  if (framing.kind === "faulty") return false;
  if (framing.kind === "length" && framing.octets > MAX_DROPPED) return false;
  if (expectation !== undefined) {
    if (!ALLOWED.includes(method)) return false; // the final status is due at once
    if (wire.buffered.length === 0) await wire.write("HTTP/1.1 100 Continue\r\n\r\n");
  }
  wire.setDeadline(REQUEST_TIMEOUT);
  if (framing.kind === "chunked") return await dropChunks(wire);
  await dropOctets(wire, framing.octets);
  return true;
}

async function dropOctets(wire: Wire, count: number): Promise<void> {
  for (let left = count; left > 0;) {
    if (wire.buffered.length === 0 && !await wire.fill()) {
      throw new MalformedError("Body ended early");
    }
    const dropped = Math.min(left, wire.buffered.length);
    wire.skip(dropped);
    left -= dropped;
  }
}

/** A chunk's size and its extensions, RFC 9112 §7.1 and §7.1.1. */
const CHUNK_LINE =
  /^([0-9A-Fa-f]{1,12})((?:[\t ]*;[\t ]*[!#$%&'*+\-.^_`|~\w]+(?:[\t ]*=[\t ]*(?:[!#$%&'*+\-.^_`|~\w]+|"(?:[\t !#-[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"))?)*)$/;

/** Drops a chunked body and its trailer section (RFC 9112 §7.1); false if it is too long for us. */
async function dropChunks(wire: Wire): Promise<boolean> {
  let dropped = 0;
  let extensions = 0;
  for (;;) {
    const line = await readShortLine(wire, MAX_CHUNK_LINE);
    const [, digits, extension = ""] = CHUNK_LINE.exec(line) ?? [];
    extensions += extension.length;
    if (digits === undefined || extensions > MAX_EXTENSIONS) throw new StatusError(400);
    const size = Number(`0x${digits}`);
    if (size === 0) break;
    dropped += size;
    if (dropped > MAX_DROPPED) return false;
    await dropOctets(wire, size);
    if (await readShortLine(wire, 2) !== "") throw new StatusError(400);
  }
  const trailers = new Fields();
  for (let left = MAX_FIELDS_OCTETS;;) {
    const line = await wire.readLine(left);
    if (line === "") return true;
    if (line === null) throw new StatusError(400);
    left -= line.length + 2;
    if (trailers.appendLine(line).size > MAX_FIELDS) throw new StatusError(431);
  }
}

/** Reads a line that is malformed where it is too long, or not there. */
async function readShortLine(wire: Wire, limit: number): Promise<string> {
  try {
    const line = await wire.readLine(limit);
    if (line !== null) return line;
  } catch (error) {
    if (!(error instanceof LimitError)) throw error;
  }
  throw new StatusError(400);
}

// ---- Engine: what the request names ------------------------------------

/** Answers a request whose message is in order, whatever it asks for. */
async function respond(request: Request, site: Site): Promise<Response> {
  try {
    const { method, host } = request;
    if (!answersTo(host, site.hosts)) {
      const advice = `This server answers to localhost; --allow-host ${host} lets it answer here\n`;
      return refusal(new StatusError(421), advice);
    }
    if (site.credentials !== undefined && !await isAuthorized(request, site.credentials)) {
      throw new StatusError(401, [[
        "WWW-Authenticate",
        'Basic realm="http_server", charset="UTF-8"',
      ]]);
    }
    if (!ALLOWED.includes(method)) {
      if (!REFUSED.includes(method)) throw new StatusError(501);
      throw new StatusError(405, [["Allow", ALLOWED.join(", ")]]);
    }
    if (method === "OPTIONS") return describeOptions(request, site);
    const found = await locate(request, site);
    if (found) return select(request, found);
    const page = site.only === undefined && await openRepresentation(request, ["404.html"], site);
    if (!page) throw new StatusError(404);
    return { status: 404, fields: page.fields, content: wholeOf(page), file: page.file };
  } catch (error) {
    if (error instanceof StatusError) return refusal(error);
    site.complain?.(error);
    return refusal(new StatusError(500));
  }
}

/** Whether a host is one of ours; a page elsewhere could else read our files by DNS rebinding. */
function answersTo(host: string, hosts: string[] | undefined): boolean {
  if (hosts === undefined || host === "" || hosts.includes(host) || hosts.includes("*")) {
    return true;
  }
  return /^(.+\.)?localhost$|^127\.\d+\.\d+\.\d+$|^\[::1\]$/.test(host);
}

/** Compares Basic credentials (RFC 7617) in a time that does not depend on where they differ. */
async function isAuthorized({ fields }: Request, credentials: string): Promise<boolean> {
  const [, given = ""] = /^basic +([A-Za-z0-9+/=]*)$/i.exec(fields.get("Authorization") ?? "") ??
    [];
  const digest = async (text: string) =>
    new Uint8Array(await crypto.subtle.digest("SHA-256", encoder.encode(text)));
  const [ours, theirs] = await Promise.all([
    digest(encoder.encode(credentials).toBase64()),
    digest(given),
  ]);
  return ours.reduce((difference, octet, at) => difference | (octet ^ (theirs[at] ?? 0)), 0) === 0;
}

function describeOptions({ fields }: Request, { cors }: Site): Response {
  const allowed = ALLOWED.join(", ");
  const response: Response = { status: 204, fields: [["Allow", allowed]], content: [] };
  if (!cors || !fields.get("Access-Control-Request-Method")) return response;
  return {
    ...response,
    fields: [
      ...response.fields,
      ["Access-Control-Allow-Methods", allowed],
      ["Access-Control-Allow-Headers", fields.get("Access-Control-Request-Headers") ?? "*"],
      ["Access-Control-Max-Age", "86400"],
    ],
  };
}

/** Finds what a target names. The file system is asked synchronously: 2 µs a call, not 36. */
async function locate(request: Request, site: Site): Promise<Representation | null> {
  const segments = decodePath(request.path);
  const slash = request.path.endsWith("/");
  const open = (path: string[]) => openRepresentation(request, path, site);
  if (site.only !== undefined) {
    const named = segments.length === 0 || (segments.length === 1 && segments[0] === site.only);
    return named && slash === (segments.length === 0) ? await open([site.only]) : null;
  }
  if (hides(segments, site)) return null;
  const info = attempt(() => Deno.statSync(join(site.root, segments)));
  let found: Representation | null = null;
  if (info?.isDirectory) {
    if (confine(segments, site) === null) return null;
    if (!slash) redirectToFolder(segments, request.query);
    found = await open([...segments, "index.html"]);
    if (!found && (site.listing ?? true)) found = await listFolder(request, segments, site);
  } else if (!slash) {
    found = await open(info ? segments : [...segments.slice(0, -1), `${segments.at(-1)}.html`]);
  }
  return found ?? (site.spa && isNavigation(request, segments) ? await open(["index.html"]) : null);
}

/**
 * Splits a path at its slashes, then decodes each segment, once (RFC 3986 §2.4). What no file
 * of ours can be named is 404: "." and "..", a slash within, octets that are not UTF-8.
 */
function decodePath(path: string): string[] {
  return path.split("/").filter((segment) => segment !== "").map((segment) => {
    let name: string;
    try {
      name = decodeURIComponent(segment);
    } catch {
      throw new StatusError(404);
    }
    if (name.includes("\0")) throw new StatusError(400);
    const foreign = Deno.build.os === "windows" ? /[\/\\:]|^\.\.?$|[. ]$/ : /\/|^\.\.?$/;
    if (foreign.test(name)) throw new StatusError(404);
    return name;
  });
}

function hides(segments: readonly string[], { dotfiles }: Site): boolean {
  // RFC 8615: /.well-known/ is there to be found.
  const hidden = (name: string, at: number) =>
    name.startsWith(".") && !(at === 0 && name === ".well-known");
  return !dotfiles && segments.some(hidden);
}

const SEPARATOR = Deno.build.os === "windows" ? "\\" : "/";

function join(root: string, segments: readonly string[]): string {
  return [root, ...segments].join(SEPARATOR);
}

/**
 * Follows every link on the way to a name, and returns the segments that it really has; null if
 * they lead out of the folder, or to a hidden name within.
 */
function confine(segments: readonly string[], site: Site): string[] | null {
  const real = attempt(() => Deno.realPathSync(join(site.root, segments)));
  if (real === null) return null;
  const inside = real === site.realRoot || real.startsWith(withSeparator(site.realRoot));
  const names = real.slice(site.realRoot.length).split(SEPARATOR).filter((name) => name !== "");
  return inside && !hides(names, site) ? names : null;
}

function withSeparator(path: string): string {
  return path.endsWith(SEPARATOR) ? path : path + SEPARATOR;
}

/** Asks the file system; null for what is not there, 403 for what we may not read. */
function attempt<T>(ask: () => T): T | null {
  try {
    return ask();
  } catch (error) {
    const { NotFound, NotADirectory, FilesystemLoop, PermissionDenied, NotCapable } = Deno.errors;
    if ([NotFound, NotADirectory, FilesystemLoop].some((kind) => error instanceof kind)) {
      return null;
    }
    const code = error instanceof Error && "code" in error ? error.code : "";
    if (code === "ENAMETOOLONG" || code === "ENXIO") return null;
    if (code === "EMFILE" || code === "ENFILE") throw new StatusError(503, [["Retry-After", "1"]]);
    if (error instanceof PermissionDenied || error instanceof NotCapable) {
      throw new StatusError(403);
    }
    throw error;
  }
}

/** An open file of the folder, and what its handle says of it. */
interface OpenFile {
  file: Deno.FsFile;
  info: Deno.FileInfo;
}

/**
 * Opens a regular file; null if there is none. The name is asked first, for to open a fifo is to
 * wait for ever. The handle is asked last, whether it is what lies inside the folder: a link that
 * was changed in between has changed too late.
 */
function openFile(segments: readonly string[], site: Site): OpenFile | null {
  const path = join(site.root, segments);
  const named = attempt(() => Deno.statSync(path));
  if (named === null || named.isDirectory) return null;
  if (!named.isFile) throw new StatusError(403);
  const file = attempt(() => Deno.openSync(path));
  if (file === null) return null;
  try {
    const info = file.statSync();
    const real = confine(segments, site);
    const inside = real && attempt(() => Deno.lstatSync(join(site.root, real)));
    if (inside?.isFile && inside.ino === info.ino && inside.dev === info.dev) return { file, info };
  } catch (error) {
    file.close();
    throw error;
  }
  file.close();
  return null;
}

/** Opens what stands under a name, in the coding that the client likes best; null if nothing does. */
async function openRepresentation(
  { fields }: Request,
  segments: readonly string[],
  site: Site,
): Promise<Representation | null> {
  const original = openFile(segments, site);
  if (original === null) return null;
  const { coding, varies } = chooseCoding(fields, segments, original.info, site);
  const sibling = coding && openFile(siblingOf(segments, coding), site);
  if (sibling) original.file.close();
  const { file, info } = sibling || original;
  const extra: Field[] = [["Accept-Ranges", "bytes"]];
  if (sibling) extra.push(["Content-Encoding", coding]);
  if (varies) extra.push(["Vary", "Accept-Encoding"]);
  const modified = Math.floor(Math.min(info.mtime?.getTime() ?? 0, Date.now()) / 1_000);
  const type = typeOf(segments.at(-1) ?? "");
  if (info.size > SMALL) {
    const stamps = [info.size, info.mtime?.getTime() ?? 0, info.ctime?.getTime() ?? 0];
    const etag = `"${stamps.map((stamp) => stamp.toString(36)).join("-")}"`;
    return describe({ file, size: info.size, type, etag, modified, fields: extra });
  }
  const octets = readSmall(file, info.size);
  const etag = await tagOf(octets);
  return describe({ octets, size: octets.length, type, etag, modified, fields: extra });
}

/** Puts the type and the validators of a representation among its fields. */
function describe(representation: Representation): Representation {
  const { type, etag, modified, fields } = representation;
  const own: Field[] = [["Content-Type", type], ["ETag", etag]];
  if (modified !== null) own.push(["Last-Modified", new Date(modified * 1_000).toUTCString()]);
  return { ...representation, fields: [...own, ...fields] };
}

/** A strong entity-tag (RFC 9110 §8.8.3) made of the octets themselves: the same on every server. */
async function tagOf(octets: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-1", octets));
  return `"${digest.toBase64({ alphabet: "base64url", omitPadding: true })}"`;
}

function readSmall(file: Deno.FsFile, size: number): Uint8Array<ArrayBuffer> {
  using _closing = file;
  const octets = new Uint8Array(size);
  let length = 0;
  for (let count; length < size && (count = file.readSync(octets.subarray(length)));) {
    length += count;
  }
  return octets.subarray(0, length);
}

function typeOf(name: string): string {
  const extension = name.slice(name.lastIndexOf(".") + 1).toLowerCase();
  return TYPES.get(extension) ?? "application/octet-stream";
}

/** The files beside a file that hold it compressed, by their content coding (RFC 9110 §8.4.1). */
const SIBLINGS = { br: ".br", gzip: ".gz" } as const;
type Coding = keyof typeof SIBLINGS;

function siblingOf(segments: readonly string[], coding: Coding): string[] {
  return [...segments.slice(0, -1), (segments.at(-1) ?? "") + SIBLINGS[coding]];
}

/** Chooses among the siblings that are not older than the file (RFC 9110 §12.5.3). */
function chooseCoding(
  fields: Fields,
  segments: readonly string[],
  info: Deno.FileInfo,
  site: Site,
) {
  const accepted = fields.get("Accept-Encoding") ?? "";
  let coding: Coding | null = null;
  let varies = false;
  let best = weigh(accepted, ["identity"]) ?? 0.001;
  for (const each of ["br", "gzip"] as const) {
    const sibling = attempt(() => Deno.statSync(join(site.root, siblingOf(segments, each))));
    if (!sibling?.isFile || (sibling.mtime ?? 0) < (info.mtime ?? 0)) continue;
    varies = true;
    const weight = weigh(accepted, [each, "*"]) ?? 0;
    if (weight > 0 && (weight > best || (weight === best && coding === null))) {
      [coding, best] = [each, weight];
    }
  }
  return { coding, varies };
}

/** The weight (RFC 9110 §12.4.2) that a field gives to the first of the names that is in it. */
function weigh(field: string, names: readonly string[]): number | undefined {
  const members = field.toLowerCase().split(",").map((member) => member.split(";"));
  for (const name of names) {
    const member = members.find(([value = ""]) => value.trim() === name);
    if (!member) continue;
    const weight = member.slice(1).map((parameter) => parameter.trim()).find((text) =>
      /^q=/.test(text)
    );
    if (weight === undefined) return 1;
    return /^q=(0(\.\d{0,3})?|1(\.0{0,3})?)$/.test(weight) ? Number(weight.slice(2)) : 0;
  }
  return undefined;
}

function isNavigation({ fields }: Request, segments: readonly string[]): boolean {
  const html = weigh(fields.get("Accept") ?? "", ["text/html"]) ?? 0;
  return html > 0 && !segments.at(-1)?.includes(".");
}

/** Sends a client on to the name with a slash; to a path of ours, never to another host. */
function redirectToFolder(segments: readonly string[], query: string): never {
  const path = segments.map((name) => `/${encodeURIComponent(name)}`).join("");
  throw new StatusError(307, [["Location", `${path}/${query}`]]);
}

// ---- Engine: listings --------------------------------------------------

interface Entry {
  name: string;
  folder: boolean;
  size: number;
  modified: Date | null;
}

/** Lists a folder as HTML, or as JSON for those who like it better. */
async function listFolder(
  { fields, path }: Request,
  segments: readonly string[],
  site: Site,
): Promise<Representation> {
  const accepted = fields.get("Accept") ?? "";
  const json = weigh(accepted, ["application/json", "application/*", "*/*"]) ?? 0;
  const html = weigh(accepted, ["text/html", "text/*", "*/*"]) ?? 0;
  const entries = readEntries(segments, site);
  const asJson = json > html;
  const octets = encoder.encode(asJson ? listAsJson(entries) : listAsHtml(segments, entries));
  const extra: Field[] = [["Vary", "Accept"]];
  if (!asJson) extra.push(["Content-Security-Policy", LISTING_POLICY]);
  const type = asJson ? "application/json" : "text/html; charset=utf-8";
  const etag = await tagOf(octets);
  return describe({ octets, size: octets.length, type, etag, modified: null, fields: extra });
}

/** The entries that we would serve, folders first, numbers in the order of their value. */
function readEntries(segments: readonly string[], site: Site): Entry[] {
  const entries: Entry[] = [];
  for (
    const { name, isSymlink } of attempt(() => Deno.readDirSync(join(site.root, segments))) ?? []
  ) {
    const path = [...segments, name];
    if (hides(path, site)) continue;
    try {
      if (isSymlink && confine(path, site) === null) continue;
      const info = Deno.statSync(join(site.root, path));
      if (!info.isFile && !info.isDirectory) continue;
      entries.push({ name, folder: info.isDirectory, size: info.size, modified: info.mtime });
    } catch {
      continue; // gone, a broken link, or a name that is not UTF-8: nothing that we could serve
    }
  }
  const { compare } = new Intl.Collator("en", { numeric: true });
  return entries.sort((a, b) => Number(b.folder) - Number(a.folder) || compare(a.name, b.name));
}

function listAsJson(entries: readonly Entry[]): string {
  return JSON.stringify(
    entries.slice(0, MAX_LISTED).map(({ name, folder, size, modified }) => ({
      name,
      type: folder ? "directory" : "file",
      ...(folder ? {} : { size }),
      modified,
    })),
  );
}

/** No script, nothing from elsewhere: names are chosen by whoever could write into the folder. */
const LISTING_POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";

const LISTING_STYLE = `:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}
body{max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.25rem;font-weight:600;overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%}
td,th{padding:.3rem .5rem;text-align:left;border-bottom:1px solid #8883;overflow-wrap:anywhere}
td+td,th+th{text-align:right;white-space:nowrap;color:#888;font-variant-numeric:tabular-nums}
a{text-decoration:none}a:hover{text-decoration:underline}`;

function listAsHtml(segments: readonly string[], entries: readonly Entry[]): string {
  const title = escapeHtml(`/${segments.map((name) => `${name}/`).join("")}`);
  const rows = entries.slice(0, MAX_LISTED).map(({ name, folder, size, modified }) => {
    const slash = folder ? "/" : "";
    // "./", or a name with a colon would pass for a scheme (RFC 3986 §4.2)
    const link = escapeHtml(`./${encodeURIComponent(name)}${slash}`);
    const time = modified?.toISOString().slice(0, 16).replace("T", " ") ?? "";
    return `<tr><td><a href="${link}">${escapeHtml(name)}${slash}</a><td>${
      folder ? "" : formatOctets(size)
    }<td>${time}\n`;
  });
  const up = segments.length > 0 ? '<tr><td><a href="../">../</a><td><td>\n' : "";
  const more = entries.length - rows.length;
  return `<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>${title}</title>
<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">
<style>${LISTING_STYLE}</style>
<h1>${title}</h1>
<table><tr><th>Name<th>Size<th>Modified (UTC)
${up}${rows.join("")}</table>${more > 0 ? `<p>and ${more} more, not shown` : ""}
`;
}

function escapeHtml(text: string): string {
  return text.toWellFormed().replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}

// ---- Engine: what becomes of the request -------------------------------

/** Selects what to send of a representation: all, parts, or that nothing has changed. */
function select({ method, fields }: Request, found: Representation): Response {
  const { size, file } = found;
  const verdict = evaluatePreconditions(fields, found);
  if (verdict === 304) {
    const kept = found.fields.filter(([name]) => name === "ETag" || name === "Vary"); // §15.4.5
    return { status: 304, fields: kept, content: [], file };
  }
  if (verdict === 412) return { ...refusal(new StatusError(412)), file };
  const ranged = method === "GET" && found.fields.some(([name]) => name === "Accept-Ranges");
  const ranges = ranged && rangeApplies(fields, found)
    ? parseRange(fields.get("Range"), size)
    : null;
  if (ranges === null) return { status: 200, fields: found.fields, content: wholeOf(found), file };
  const [range, ...others] = ranges;
  if (range === undefined) {
    return { ...refusal(new StatusError(416, [["Content-Range", `bytes */${size}`]])), file };
  }
  if (others.length > 0) return { ...multipart(ranges, found), file };
  const partial: Field = ["Content-Range", contentRange(range, size)];
  return {
    status: 206,
    fields: [...found.fields, partial],
    content: [sliceOf(found, range)],
    file,
  };
}

/** Evaluates the preconditions, in the order of RFC 9110 §13.2.2. */
function evaluatePreconditions(
  fields: Fields,
  { etag, modified }: Representation,
): 200 | 304 | 412 {
  const ifMatch = fields.get("If-Match");
  const ifUnmodified = parseDate(fields.get("If-Unmodified-Since"));
  if (ifMatch !== undefined) {
    if (!matches(ifMatch, etag, "strong")) return 412;
  } else if (ifUnmodified !== null && modified !== null && modified > ifUnmodified) {
    return 412;
  }
  const ifNoneMatch = fields.get("If-None-Match");
  const ifModified = parseDate(fields.get("If-Modified-Since"));
  if (ifNoneMatch !== undefined) return matches(ifNoneMatch, etag, "weak") ? 304 : 200;
  return ifModified !== null && modified !== null && modified <= ifModified ? 304 : 200;
}

/** Whether "*" or one entity-tag of a list matches ours (RFC 9110 §8.8.3.2); ours is strong. */
function matches(list: string, etag: string, comparison: "strong" | "weak"): boolean {
  if (list.trim() === "*") return true;
  const tags = list.match(/(?:W\/)?"[!#-~\x80-\xff]*"/g) ?? [];
  return tags.some((tag) => (comparison === "weak" ? tag.replace(/^W\//, "") : tag) === etag);
}

/** Whether If-Range, if there is one, still holds (RFC 9110 §13.1.5): the same tag or exact date. */
function rangeApplies(fields: Fields, { etag, modified }: Representation): boolean {
  const validator = fields.get("If-Range");
  if (validator === undefined) return true;
  if (/^(W\/)?"/.test(validator)) return validator === etag;
  // A date within its own second is a weak validator (§8.8.2.2).
  const date = parseDate(validator);
  return date !== null && date === modified && date < Math.floor(Date.now() / 1_000);
}

/** The three forms of an HTTP-date, RFC 9110 §5.6.7; only the last is silent about GMT. */
const HTTP_DATE = new RegExp(
  "^(?:DAY, \\d\\d MONTH \\d{4} TIME GMT|DAYday, \\d\\d-MONTH-\\d\\d TIME GMT|(DAY MONTH [ \\d]\\d TIME \\d{4}))$"
    .replaceAll("DAYday", "(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day")
    .replaceAll("DAY", "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)")
    .replaceAll("MONTH", "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)")
    .replaceAll("TIME", "[0-2]\\d:[0-5]\\d:[0-5]\\d"),
);

/** Reads an HTTP-date, in seconds since 1970; null if it is none, and so to be ignored. */
export function parseDate(text = ""): number | null {
  const match = HTTP_DATE.exec(text);
  const time = match ? Date.parse(match[1] ? `${text} GMT` : text) : NaN;
  return Number.isNaN(time) ? null : time / 1_000;
}

/**
 * Reads a Range field (RFC 9110 §14.1.2): the satisfiable ranges, in their order; none if it can
 * not be satisfied; null if it is to be ignored, for being malformed, of another unit or abusive.
 */
export function parseRange(field: string | undefined, size: number): Slice[] | null {
  const [, list] = /^bytes=(.*)$/i.exec(field ?? "") ?? [];
  if (list === undefined || size === 0) return null;
  const ranges: Slice[] = [];
  const specs = list.split(",").map((spec) => spec.trim()).filter((spec) => spec !== "");
  if (specs.length === 0 || specs.length > MAX_RANGES) return null;
  for (const spec of specs) {
    const [, first, last, suffix] = /^(?:(\d+)-(\d*)|-(\d+))$/.exec(spec) ?? [];
    if (suffix !== undefined) {
      const length = Math.min(Number(suffix), size);
      if (length > 0) ranges.push({ first: size - length, last: size - 1 });
    } else if (first === undefined || (last && Number(last) < Number(first))) {
      return null;
    } else if (Number(first) < size) {
      ranges.push({
        first: Number(first),
        last: Math.min(last ? Number(last) : Infinity, size - 1),
      });
    }
  }
  return isAbusive(ranges, size) ? null : ranges;
}

/** Whether ranges overlap, or ask for more, than an honest client's would (RFC 9110 §17.15). */
function isAbusive(ranges: readonly Slice[], size: number): boolean {
  const total = ranges.reduce((sum, range) => sum + lengthOf(range), 0);
  const overlaps = ranges.flatMap((a, at) =>
    ranges.slice(at + 1).filter((b) => a.first <= b.last && b.first <= a.last)
  );
  return ranges.length > 1 && (total > size || overlaps.length > MAX_OVERLAPS);
}

function lengthOf(piece: Piece): number {
  return piece instanceof Uint8Array ? piece.length : piece.last - piece.first + 1;
}

function contentRange({ first, last }: Slice, size: number): string {
  return `bytes ${first}-${last}/${size}`;
}

function sliceOf({ octets }: Representation, range: Slice): Piece {
  return octets ? octets.subarray(range.first, range.last + 1) : range;
}

function wholeOf(found: Representation): Piece[] {
  return found.size === 0 ? [] : [sliceOf(found, { first: 0, last: found.size - 1 })];
}

/** Several ranges, each a part with its own Content-Type and Content-Range (RFC 9110 §14.6). */
function multipart(ranges: readonly Slice[], found: Representation): Response {
  const boundary = crypto.randomUUID();
  const content = ranges.flatMap((range) => [
    encoder.encode(
      `\r\n--${boundary}\r\nContent-Type: ${found.type}\r\n` +
        `Content-Range: ${contentRange(range, found.size)}\r\n\r\n`,
    ),
    sliceOf(found, range),
  ]);
  const fields = found.fields.filter(([name]) => name !== "Content-Type");
  return {
    status: 206,
    fields: [["Content-Type", `multipart/byteranges; boundary=${boundary}`], ...fields],
    content: [...content, encoder.encode(`\r\n--${boundary}--\r\n`)],
  };
}

/** A response that says no, in one line of text; the client learns the status and no more. */
function refusal(
  { status, fields }: StatusError,
  text = `${status} ${REASONS.get(status)}\n`,
): Response {
  const own: Field[] = [["Content-Type", "text/plain; charset=utf-8"], ...fields];
  return {
    status,
    fields: status === 307 ? [...fields] : own,
    content: status === 307 ? [] : [encoder.encode(text)],
  };
}

// ---- Engine: the response ----------------------------------------------

/**
 * Puts a response into octets: status line, fields, and the content that is in memory.
 *
 * @param request The request, or only its line if no more could be understood.
 * @param ended Whether its end was seen, so that the connection can go on.
 */
function compose(
  { status, fields, content, file }: Response,
  request: Request | { line: string },
  ended: boolean,
  site: Site,
): Answer {
  const understood = "fields" in request ? request : undefined;
  const persists = ended && (understood?.persists ?? false) && !site.signal.aborted;
  const length = content.reduce((sum, piece) => sum + lengthOf(piece), 0);
  const own: Field[] = [
    ["Date", site.answers.date],
    ["Server", `http_server/${VERSION}`],
    ...fields,
  ];
  if (status !== 204 && status !== 304) own.push(["Content-Length", String(length)]);
  if (!persists) own.push(["Connection", "close"]);
  else if (understood?.oldClient) own.push(["Connection", "keep-alive"]);
  own.push([
    "Cache-Control",
    status < 400 && status !== 307 ? site.cache ?? "no-cache" : "no-cache",
  ]);
  own.push(["X-Content-Type-Options", "nosniff"]);
  if (site.cors) {
    own.push(["Access-Control-Allow-Origin", "*"]);
    own.push(["Access-Control-Expose-Headers", "Content-Length, Content-Range, ETag"]);
  }
  const given = site.fields ?? [];
  const replaced = new Set(given.map(([name]) => name.toLowerCase()));
  const all = [...own.filter(([name]) => !replaced.has(name.toLowerCase())), ...given];
  const lines = [
    `HTTP/1.1 ${status} ${REASONS.get(status)}`,
    ...all.map(([name, value]) => `${name}: ${value}`),
  ];
  for (const line of lines) site.trace?.(">", printable(line));

  const head = encoder.encode(`${lines.join("\r\n")}\r\n\r\n`);
  const sent = understood?.method === "HEAD" ? [] : content;
  const fromFile = file !== undefined && sent.some((piece) => !(piece instanceof Uint8Array));
  if (!fromFile) file?.close();
  const inMemory = fromFile ? [] : sent.filter((piece) => piece instanceof Uint8Array);
  return {
    octets: concat([head, ...inMemory]),
    contentInOctets: inMemory.reduce((sum, piece) => sum + piece.length, 0),
    rest: fromFile ? sent : [],
    file: fromFile ? file : undefined,
    persists,
    lingers: !ended,
    exchange: describeExchange(request, status, sent === content ? length : 0),
  };
}

function concat(pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

/** What the log tells of a request and its response. */
function describeExchange(request: Request | { line: string }, status: number, promised: number) {
  const fields = "fields" in request ? request.fields : new Fields();
  const [, encoded = ""] = /^basic +(.*)$/i.exec(fields.get("Authorization") ?? "") ?? [];
  return {
    request: request.line,
    status,
    promised,
    range: status === 206 ? (fields.get("Range") ?? "").replace(/^bytes=/i, "") : "",
    referer: fields.get("Referer") ?? "",
    agent: fields.get("User-Agent") ?? "",
    user: status === 401 ? "" : userOf(encoded),
  };
}

function userOf(credentials: string): string {
  try {
    return atob(credentials).split(":", 1)[0] ?? "";
  } catch {
    return "";
  }
}

/**
 * Reads pieces one block after the other; each is good until the next is asked for. Never more
 * than was promised, if the file has grown; if it has shrunk, the connection must end.
 */
async function* readPieces(file: Deno.FsFile, pieces: readonly Piece[]) {
  const block = new Uint8Array(BLOCK);
  for (const piece of pieces) {
    if (piece instanceof Uint8Array) {
      yield piece;
      continue;
    }
    await file.seek(piece.first, Deno.SeekMode.Start);
    for (let left = lengthOf(piece); left > 0;) {
      const count = await file.read(block.subarray(0, Math.min(left, BLOCK)));
      if (count === null) throw new Error("A file became shorter while it was sent");
      yield block.subarray(0, count);
      left -= count;
    }
  }
}

/** The address of the other end; an IPv4 one as such, though it came to an IPv6 socket. */
function addressOf({ remoteAddr }: Deno.TcpConn | Deno.TlsConn): string {
  return remoteAddr.hostname.replace(/^::ffff:/, "");
}

// ---- Command line ------------------------------------------------------

const DEFAULT_PORT = 8_000;
const LAST_PORT = 8_019;

const HELP = `Serves the files of one folder, or one file, over HTTP/1.1.

Usage: http_server [options] [folder|file]       (default: the current folder)

  -p, --port N            listen here; 0 takes any free port (default: ${DEFAULT_PORT},
                          or the next free one up to ${LAST_PORT})
  -b, --bind ADDR         listen on this address, also --host
                          (default: 127.0.0.1 and ::1, this machine only)
      --lan               listen on every address, IPv4 and IPv6
  -t, --threads N         Workers that share the port (default: 1)
  -s, --spa               /index.html for pages that name nothing
  -c, --cache SECONDS     may be kept so long; -1: no-store (default: no-cache)
  -H, --header 'N: V'     a field for every response; repeatable
  -C, --cors              let pages of other origins read everything
      --no-listing        404 for a folder without index.html
      --dotfiles          serve and list names that begin with a dot
      --cert FILE --key FILE     HTTPS, with this certificate and key (PEM)
      --auth USER:PASSWORD|@FILE    Basic authentication for everything
      --log FORMAT        short, combined, json or off (default: short)
      --allow-host NAME   answer to this host name too; '*' to all; repeatable
      --max-connections N    more than these wait (default: ${MAX_CONNECTIONS})
      --idle SECONDS      end a kept connection silent for so long (default: ${
  IDLE_TIMEOUT / 1_000
})
  -q, --quiet             the same as --log off
  -v, --verbose           show every header on standard error
  -h, --help              show this text
  -V, --version           show the version

Example: http_server -p 8080 ./public

Exit status: 0 stopped by a signal, 1 cannot start, 2 usage.`;

const OPTIONS = {
  string: [
    "port",
    "bind",
    "threads",
    "cache",
    "header",
    "cert",
    "key",
    "auth",
    "log",
    "allow-host",
    "max-connections",
    "idle",
  ],
  boolean: ["lan", "spa", "cors", "listing", "dotfiles", "quiet", "verbose", "help", "version"],
  collect: ["header", "allow-host"],
  negatable: ["listing"],
  default: {
    threads: "1",
    log: "short",
    listing: true,
    "max-connections": String(MAX_CONNECTIONS),
    idle: String(IDLE_TIMEOUT / 1_000),
  },
  short: {
    p: "port",
    b: "bind",
    host: "bind",
    t: "threads",
    s: "spa",
    c: "cache",
    H: "header",
    C: "cors",
    q: "quiet",
    v: "verbose",
    h: "help",
    V: "version",
  },
} as const;

/** Reads the command line; does nothing else. */
export function parseOptions(args: readonly string[]) {
  const flags = parseArgs(spellOut(args, OPTIONS), OPTIONS);
  const [root = ".", ...others] = flags._.map(String);
  if (others.length > 0) {
    throw new UsageError(`Cannot serve "${others[0]}" as well: one folder or file`);
  }
  if ((flags.cert === undefined) !== (flags.key === undefined)) {
    throw new UsageError("Options --cert and --key go together");
  }
  const {
    bind,
    lan,
    auth,
    quiet,
    spa,
    cors,
    listing,
    dotfiles,
    help,
    version,
    verbose,
    cert,
    key,
  } = flags;
  if (lan && bind !== undefined) {
    throw new UsageError("Options --lan and --bind exclude each other");
  }
  if (auth !== undefined && !/^@.|:/.test(auth)) {
    throw new UsageError("Cannot use --auth: expected USER:PASSWORD or @FILE");
  }
  if (!isLogFormat(flags.log)) {
    throw new UsageError(
      `Cannot use --log "${printable(flags.log)}": expected short, combined, json or off`,
    );
  }
  const whole = (option: string, text: string, min: number, max: number) =>
    readNumber(option, text, { min, max, whole: true });
  return {
    ...{ help, version, verbose, root, bind, lan, auth, cert, key, spa, cors, listing, dotfiles },
    port: flags.port === undefined ? undefined : whole("--port", flags.port, 0, 65_535),
    threads: whole("--threads", flags.threads, 1, 256),
    cache: cacheControl(flags.cache),
    fields: flags.header.map(parseField),
    format: quiet ? "off" as const : flags.log,
    allowHosts: flags["allow-host"].map((host) => host.toLowerCase()),
    maxConnections: whole("--max-connections", flags["max-connections"], 1, 1_000_000),
    idle: readNumber("--idle", flags.idle, { min: 0.1, max: 86_400 }) * 1_000,
  };
}

type Options = ReturnType<typeof parseOptions>;

function cacheControl(seconds: string | undefined): string {
  if (seconds === undefined) return "no-cache";
  const age = readNumber("--cache", seconds, { min: -1, max: 2 ** 31, whole: true });
  return age === -1 ? "no-store" : `public, max-age=${age}`;
}

/** A field that the user adds; not one that would tell where messages end. */
function parseField(line: string): Field {
  let field: Field | undefined;
  try {
    [field] = new Fields().appendLine(line);
  } catch (error) {
    throw new UsageError(`Cannot use --header "${printable(line)}": ${explain(error)}`);
  }
  const [name = ""] = field ?? [];
  if (/^(content-length|transfer-encoding|connection|keep-alive|trailer|te|upgrade)$/i.test(name)) {
    throw new UsageError(`Cannot use --header "${name}": it tells where messages end`);
  }
  return field ?? ["", ""];
}

type LogFormat = "short" | "combined" | "json" | "off";

function isLogFormat(text: string): text is LogFormat {
  return ["short", "combined", "json", "off"].includes(text);
}

/** One exchange as a line of the log; what the client sent is escaped. */
export function formatExchange(exchange: Exchange, format: LogFormat, now = new Date()): string {
  const { remote, request, status, sent, promised, ms, range, referer, agent, user } = exchange;
  const quote = (text: string) => `"${text === "" ? "-" : escapeQuotes(text)}"`;
  const complete = sent === promised;
  const [method = "", target = ""] = request.split(" ");
  if (format === "json") {
    const time = now.toISOString();
    return JSON.stringify({
      time,
      remote,
      user,
      method,
      target: printable(target),
      status,
      sent,
      promised,
      complete,
      ms: Number(ms.toFixed(3)),
      referer: printable(referer),
      agent: printable(agent),
    });
  }
  if (format === "combined") {
    const [, day, month, year, time] = now.toUTCString().split(" ");
    const stamp = `${day}/${month}/${year}:${time} +0000`;
    const name = user === "" ? "-" : escapeQuotes(user).replaceAll(" ", "\\x20");
    return `${remote} - ${name} [${stamp}] ${quote(request)} ${status} ${sent} ${quote(referer)} ${
      quote(agent)
    }`;
  }
  const what = [printable(target || request), range].join("  ").trimEnd();
  const amount = promised === 0 ? "–" : formatOctets(sent);
  const note = complete
    ? ""
    : `  client left at ${formatOctets(sent)} of ${formatOctets(promised)}`;
  return [
    `${now.toTimeString().slice(0, 8)}  ${status}${complete ? " " : "!"}`,
    method.slice(0, 8).padEnd(5),
    (what + note).padEnd(34),
    amount.padStart(9),
    `${ms.toFixed(0)} ms`.padStart(8),
    ` ${remote}`,
  ].join(" ");
}

function escapeQuotes(text: string): string {
  return printable(text.replace(/["\\]/g, (char) => `\\x${char.charCodeAt(0).toString(16)}`));
}

/** Where a service listens, and with which certificate; plain data, for Workers. */
interface Place {
  hostname: string;
  port: number;
  tls: { cert: string; key: string } | undefined;
}

/** What a Worker is given to do. */
interface Job {
  settings: Settings;
  places: Place[];
  format: LogFormat;
  verbose: boolean;
}

function listenOn({ hostname, port, tls }: Place, reusePort: boolean): Listener {
  const place = { hostname, port, reusePort };
  return tls ? Deno.listenTls({ ...place, ...tls }) : Deno.listen(place);
}

/** Opens all the places or none, all on the port that the first one got. */
function listenAll(places: readonly Place[], reusePort: boolean): Listener[] {
  const listeners: Listener[] = [];
  for (const place of places) {
    try {
      const port = listeners[0] ? listeners[0].addr.port : place.port;
      listeners.push(listenOn({ ...place, port }, reusePort));
    } catch (error) {
      if (place.hostname === "::1" && !(error instanceof Deno.errors.AddrInUse)) continue; // no IPv6 here
      for (const listener of listeners) listener.close();
      throw error;
    }
  }
  return listeners;
}

/** Opens the listeners that the options ask for; a default port that is busy is passed over. */
function openListeners(options: Options, tls: Place["tls"]): Listener[] {
  const { bind, lan, port, threads } = options;
  const hostnames = lan ? ["::"] : bind !== undefined ? [bind] : ["127.0.0.1", "::1"];
  const ports = port === undefined
    ? Array.from({ length: LAST_PORT - DEFAULT_PORT + 1 }, (_, at) => DEFAULT_PORT + at)
    : port === 0
    ? [0, 0, 0, 0]
    : [port];
  for (const each of ports) {
    const places = hostnames.map((hostname) => ({ hostname, port: each, tls }));
    try {
      const listeners = listenAll(places, false);
      if (threads === 1) return listeners;
      // Taken alone first: to share a port with a stranger's service would pass in silence.
      const taken = (listeners[0] ?? raise("No address to listen on")).addr.port;
      for (const listener of listeners) listener.close();
      return listenAll(places.map((place) => ({ ...place, port: taken })), true);
    } catch (error) {
      if (error instanceof Deno.errors.AddrInUse && each !== ports.at(-1)) continue;
      throw explainListen(error, each, bind);
    }
  }
  return raise(`Ports ${DEFAULT_PORT} to ${LAST_PORT} are all in use: name one with -p`);
}

function raise(message: string): never {
  throw new Error(message);
}

function explainListen(error: unknown, port: number, bind = ""): unknown {
  const { AddrInUse, AddrNotAvailable, PermissionDenied } = Deno.errors;
  if (error instanceof AddrInUse) {
    return new Error(
      `Port ${port} is already in use: try -p ${port + 1}, or -p 0 for any free port`,
    );
  }
  if (error instanceof PermissionDenied) {
    return new Error(`Port ${port} needs more rights on this system: try -p 8080`);
  }
  if (
    error instanceof AddrNotAvailable ||
    (error instanceof Error && /lookup|host/.test(error.message))
  ) {
    return new Error(`${printable(bind)} is not an address of this computer: try --lan`);
  }
  return error;
}

/** Looks at what is to be served, and turns options into settings. */
function readSettings(options: Options): Settings {
  const { auth, bind, lan, allowHosts, cert, spa, cors, listing, dotfiles, cache, fields, idle } =
    options;
  let info: Deno.FileInfo;
  try {
    info = Deno.statSync(options.root);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return raise(`Cannot serve ${printable(options.root)}: no such folder or file`);
  }
  const [, folder = ".", name = options.root] = /^(.*)[/\\]([^/\\]+)$/.exec(options.root) ?? [];
  const local = !lan && /^(localhost|127\..*|::1|\[::1\])$/.test(bind ?? "localhost");
  const credentials = auth?.startsWith("@")
    ? Deno.readTextFileSync(auth.slice(1)).split(/\r?\n/, 1)[0]
    : auth;
  if (credentials?.includes(":") === false) {
    return raise("Cannot use --auth: the file holds no USER:PASSWORD");
  }
  return {
    ...{ spa, cors, listing, dotfiles, cache, fields, idle, credentials },
    root: info.isDirectory ? options.root : folder || "/",
    only: info.isDirectory ? undefined : name,
    hosts: local ? allowHosts : undefined,
    secure: cert !== undefined,
    maxConnections: Math.ceil(options.maxConnections / options.threads),
  };
}

/** Says on standard error what is served, and where; one line where nobody is watching. */
function announce(options: Options, listeners: readonly Listener[]): void {
  const { root, lan, bind, cert, port, dotfiles } = options;
  const actual = (listeners[0] ?? raise("No address to listen on")).addr.port;
  const scheme = cert === undefined ? "http" : "https";
  const host = bind === undefined
    ? "localhost"
    : bind.includes(":")
    ? `[${bind.replace(/[[\]]/g, "")}]`
    : bind;
  const url = `${scheme}://${host}:${actual}/`;
  const hop = port === undefined && actual !== DEFAULT_PORT
    ? `Port ${DEFAULT_PORT} is in use, so this is ${actual}.\n`
    : "";
  const networks = lan ? networkHosts().map((each) => `${scheme}://${each}:${actual}/`) : [];
  if (!Deno.stderr.isTerminal()) {
    console.error(
      `${hop}http_server: serving ${printable(root)} at ${[url, ...networks].join(" ")}`,
    );
    return;
  }
  const network = lan
    ? `${
      networks.map((each) => `  Network  ${cyan(each)}\n`).join("")
    }\nAnyone on this network can read ${printable(root)}.\n`
    : "  Network  off. Add --lan to let other devices in.\n";
  console.error(`${hop}${bold(`http_server ${VERSION}`)}  serving ${printable(root)}

  Local    ${cyan(url)}
${network}
Dotfiles ${dotfiles ? "shown" : "hidden"}, links kept inside ${printable(root)}. Ctrl-C stops.
`);
}

/** The addresses of this computer, where Deno may already ask for them. */
function networkHosts(): string[] {
  const permission = { name: "sys", kind: "networkInterfaces" } as const;
  if (Deno.permissions.querySync(permission).state !== "granted") {
    return ["<this computer's address>"];
  }
  return Deno.networkInterfaces()
    .filter(({ address }) => !/^(127\.|::1$|fe80)/.test(address))
    .map(({ address, family }) => family === "IPv6" ? `[${address}]` : address);
}

/** Lines for standard output, written together and off the hot path. */
class Output {
  #lines = "";
  #writing: Promise<void> | undefined;

  /** Takes the reason to end: nobody reads any more. */
  constructor(readonly broken: () => void) {}

  /** Takes lines; more than a stuck reader will ever want are dropped. */
  write(lines: string): void {
    if (this.#lines.length < 1 << 22) this.#lines += lines;
    this.#writing ??= this.#flush();
  }

  /** Resolves when all is written. */
  async end(): Promise<void> {
    while (this.#writing) await this.#writing;
  }

  async #flush(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 10));
    try {
      while (this.#lines !== "") {
        let octets = encoder.encode(this.#lines);
        this.#lines = "";
        while (octets.length > 0) octets = octets.subarray(await Deno.stdout.write(octets));
      }
    } catch {
      this.broken();
    } finally {
      this.#writing = undefined;
    }
  }
}

function watched(job: Job, signal: AbortSignal, write: (lines: string) => void): ServeOptions {
  const { settings, format, verbose } = job;
  return {
    ...settings,
    signal,
    log: format === "off"
      ? undefined
      : (exchange) => write(`${formatExchange(exchange, format)}\n`),
    trace: verbose ? showTrace : undefined,
    complain: (error) => console.error(`http_server: ${explain(error) ?? error}`),
  };
}

/** Starts a Worker on the same ports; resolves with what it did when the signal has ended it. */
function serveInWorker(
  job: Job,
  signal: AbortSignal,
  write: (lines: string) => void,
): Promise<Summary> {
  const worker = new Worker(import.meta.url, { type: "module" });
  const { port1, port2 } = new MessageChannel();
  const { promise, resolve, reject } = Promise.withResolvers<Summary>();
  worker.addEventListener("error", (event) => reject(new Error(event.message)));
  port1.addEventListener(
    "message",
    ({ data }) => typeof data === "string" ? write(data) : resolve(data),
  );
  port1.start();
  worker.postMessage({ job, port: port2 }, [port2]);
  signal.addEventListener("abort", () => port1.postMessage("stop"));
  return promise.finally(() => {
    port1.close();
    worker.terminate();
  });
}

/** The other end: serves as the job says, until it is told to stop. */
async function work({ job, port }: { job: Job; port: MessagePort }): Promise<void> {
  const stop = new AbortController();
  port.addEventListener("message", () => stop.abort());
  port.start();
  const listeners = job.places.map((place) => listenOn(place, true));
  port.postMessage(
    await serve(listeners, watched(job, stop.signal, (lines) => port.postMessage(lines))),
  );
}

async function main(args: string[]): Promise<number> {
  const options = parseOptions(args);
  if (options.help || options.version) {
    console.log(options.help ? HELP : `http_server ${VERSION}`);
    return 0;
  }
  const { cert, key, threads, format, verbose } = options;
  const settings = readSettings(options);
  const tls = cert !== undefined && key !== undefined
    ? { cert: Deno.readTextFileSync(cert), key: Deno.readTextFileSync(key) }
    : undefined;
  const listeners = openListeners(options, tls);
  announce(options, listeners);

  const begun = Date.now();
  const unread = new AbortController();
  const signal = AbortSignal.any([shutdownSignal(), unread.signal]);
  const output = new Output(() => unread.abort());
  const write = (lines: string) => output.write(lines);
  const places = listeners.map(({ addr }) => ({ ...addr, tls }));
  const job: Job = { settings, places, format, verbose };
  const summaries = await Promise.all([
    serve(listeners, watched(job, signal, write)),
    ...Array.from({ length: threads - 1 }, () => serveInWorker(job, signal, write)),
  ]);
  await output.end();
  const requests = summaries.reduce((sum, summary) => sum + summary.requests, 0);
  const sent = summaries.reduce((sum, summary) => sum + summary.sent, 0);
  const time = formatDuration(Math.ceil((Date.now() - begun) / 1_000) * 1_000, {
    ignoreZero: true,
  });
  console.error(`Stopped after ${time}: ${requests} requests, ${formatOctets(sent)} sent.`);
  return 0;
}

if (import.meta.main) await run("http_server", main);
else if ("WorkerGlobalScope" in globalThis) {
  {
    addEventListener("message", (event) => event instanceof MessageEvent && work(event.data));
  }
}
