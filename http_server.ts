#!/usr/bin/env -S deno run --unstable-net --allow-net --allow-read
/**
 * Serves the files of one folder over HTTP/1.1, on bare TCP sockets.
 *
 * ```sh
 * deno run --allow-net --allow-read http_server.ts -p 8000 ./public
 * ```
 *
 * RFC 9112 defines the message on the wire, RFC 9110 its meaning, and RFC 3986 the target. Read
 * from the top: the terms, the numbers, then a connection from accept to close: its request, the
 * file that the request names, the response. The command line comes last.
 *
 * Left out, because a proxy in front does it better: compression on the fly, HTTP/2, uploads.
 *
 * The engine is {@linkcode serve}:
 *
 * ```ts
 * import { assertStringIncludes } from "jsr:@std/assert@^1.0.19";
 * import { serve } from "./http_server.ts";
 *
 * const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
 * const stop = new AbortController();
 * const serving = serve([listener], { root: await Deno.realPath("public"), signal: stop.signal });
 *
 * const conn = await Deno.connect({ hostname: "127.0.0.1", port: listener.addr.port });
 * await conn.write(new TextEncoder().encode("GET / HTTP/1.0\r\n\r\n"));
 * assertStringIncludes(await new Response(conn.readable).text(), "200 OK");
 *
 * stop.abort();
 * await serving;
 * ```
 *
 * @module
 */
import { format as formatOctets } from "jsr:@std/fmt@^1.0.10/bytes";
import { bold, cyan } from "jsr:@std/fmt@^1.0.10/colors";
import { format as formatDuration } from "jsr:@std/fmt@^1.0.10/duration";
import {
  type Command,
  type CommandLine,
  describeError,
  flag,
  formatTrace,
  LineWriter,
  list,
  negatable,
  nonEmpty,
  oneOf,
  option,
  plural,
  quoteForMessage,
  readNumber,
  reasonOf,
  refuseTogether,
  requireWith,
  run,
  seconds,
  shutdownSignal,
  type Values,
  VERSION,
  wholeNumber,
} from "./cli.ts";
import {
  concat,
  DeadlineError,
  decodeUtf8,
  escapeText,
  ExitError,
  Fields,
  LimitError,
  listMembers,
  MalformedError,
  mediaType,
  printable,
  toByteString,
  TOKEN,
  type Trace,
  trimOws,
  UsageError,
  Wire,
  WireError,
} from "./protocol.ts";

// ---- Terms ---------------------------------------------------------------

/** A field line of a response. */
export type Field = readonly [name: string, value: string];

/** Where connections come from. */
export type Listener = Deno.TcpListener | Deno.TlsListener;

/** What to serve, and how. Plain data, so that it can be sent to a Worker. */
export interface Settings {
  /** Folder with the files; nothing outside is served. */
  root: string;
  /** Only this file of the folder is served, as "/" and under these names. */
  only?: { file: string; names: string[] } | undefined;
  /** Serves /index.html for navigation to a missing path. Default: false. */
  spa?: boolean;
  /** Value of Cache-Control. Default: no-cache. */
  cache?: string;
  /** Fields for every response; they replace those of the same name. */
  fields?: Field[];
  /** Lets pages of other origins read everything (CORS). Default: false. */
  cors?: boolean;
  /** Lists folders that have no index.html. Default: true. */
  listing?: boolean;
  /** Serves and lists names that begin with a dot. Default: false. */
  dotfiles?: boolean;
  /** `user:password` of Basic authentication. Default: no authentication. */
  credentials?: string | undefined;
  /** Host names to serve in addition to those of loopback, in lower case. Default: all. */
  hosts?: string[] | undefined;
  /** True if the listeners speak TLS. */
  secure?: boolean;
  /** Maximum number of connections served at once; more must wait. Default: 1,000. */
  maxConnections?: number;
  /** Secret in the URL of the page that shows the wire. Default: no such page. */
  wireToken?: string | undefined;
  /** Time limits that differ from the defaults in TIMEOUTS (ms). */
  timeouts?: Partial<Timeouts>;
}

/** The time limits of a service (ms); {@linkcode TIMEOUTS} says what each is for. */
export type Timeouts = Record<keyof typeof TIMEOUTS, number>;

/** Settings, the signal that ends the service, and functions that it calls. */
export interface ServeOptions extends Settings {
  /** Ends the service. */
  signal: AbortSignal;
  /** Called for each request after its response. */
  log?: ((exchange: Exchange) => void) | undefined;
  /** Called for each line of a header section. */
  trace?: Trace | undefined;
  /** Called for each fault of the server; the client gets a 500 or the end of the connection. */
  onError?: ((error: unknown) => void) | undefined;
  /** Called at the end with the number of responses in progress, if there are any. */
  onDraining?: ((answers: number) => void) | undefined;
}

/** One request and its response. Texts are as the client sent them. */
export interface Exchange {
  /** Address of the client. */
  remote: string;
  /** Request line; "" if there was none. */
  line: string;
  /** Fields of the request; empty if it was malformed. */
  fields: Fields;
  /** Status of the response. */
  status: number;
  /** Length of the content that was sent (octets). */
  sent: number;
  /** Length of the content (octets); more than `sent` if the response was cut short. */
  due: number;
  /** Why the response was cut short; undefined if it was sent whole. */
  cut?: string | undefined;
  /** Time from the first octet of the request to the end of the response (ms). */
  ms: number;
}

/** Counts of a service. */
export interface Summary {
  /** Number of requests. */
  requests: number;
  /** Length of all content that was sent (octets). */
  sent: number;
}

/** Length of the body of a request (octets), or how else it ends (RFC 9112 §6.3, §6.1). */
type Framing = number | "chunked" | "untrusted";

/** A request, parsed. */
interface HttpRequest {
  line: string;
  method: string;
  /** Path of the target, still encoded. */
  path: string;
  /** Query of the target with its "?"; may be empty. */
  query: string;
  /** Host without port, in lower case; "" if an HTTP/1.0 client sent none. */
  host: string;
  fields: Fields;
  framing: Framing;
  /** True if the client may send another request over this connection (RFC 9112 §9.3). */
  isKeptAlive: boolean;
  isHttp10: boolean;
}

/** A part of the content: octets, or the range of a file that holds them. */
type BodyPart = Uint8Array<ArrayBuffer> | ByteRange;
interface ByteRange {
  first: number;
  last: number;
}

/** What a target names, ready to be sent whole or in part (RFC 9110 §3.2). */
interface Representation {
  /** All octets if it is small; otherwise they come from the file. */
  octets?: Uint8Array<ArrayBuffer>;
  file?: SourceFile | undefined;
  size: number;
  type: string;
  etag: string;
  /** Time of the last change (whole seconds since 1970, as HTTP dates have). */
  modified?: number;
  /** Fields besides type and validators. */
  fields: Field[];
  /** What it was made from; its users add the path of the request. */
  basis: Omit<Basis, "path">;
}

/** The properties of a representation that depend on its octets alone. */
interface Content extends Pick<Representation, "octets" | "size" | "etag"> {
  /** True if they are text in UTF-8. */
  isText: boolean;
}

/** The files that a response was made from, to find out later whether they have changed. */
interface Basis {
  /** Path of the request. */
  path: string;
  /** Files and folders to stat again; empty if only a new response shows a change. */
  sources: readonly string[];
  /** Identity and times of the sources, or another text that identifies the version. */
  version: string;
}

/** A response before it is encoded; its file is open. */
interface HttpResponse {
  status: number;
  fields: readonly Field[];
  content: readonly BodyPart[];
  file?: SourceFile | undefined;
  /** Undefined if the response does not depend on files. */
  basis?: Basis | undefined;
  /** Chunks (RFC 9112 §7.1) in place of content; made while they are sent. */
  chunks?: Chunks | undefined;
  /** True if pages of other origins must not read it, even with --cors or --header. */
  isPrivate?: boolean;
}

/** Makes the octets that follow the first write of a response. */
type Chunks = (connection: Connection) => AsyncIterable<Uint8Array<ArrayBuffer>>;

/** A response as it is sent: octets in one write, then the rest, if there is one, in parts. */
interface EncodedResponse {
  octets: Uint8Array<ArrayBuffer>;
  file: SourceFile | undefined;
  rest: Chunks | undefined;
  isKeptAlive: boolean;
  /** True if unread input may be waiting; then a plain close could destroy the response. */
  needsLingeringClose: boolean;
  /** Length of the content that is in the octets. */
  content: number;
  /** Offset of the value of Date in the octets; -1 if `--header` replaces that field. */
  dateAt: number;
  basis: Basis | undefined;
  exchange: Pick<Exchange, "line" | "fields" | "status" | "due">;
}

/** An error that becomes a response: the status, its fields, and advice for the user. */
class HttpError extends Error {
  constructor(readonly status: number, readonly fields: Field[] = [], readonly advice = "") {
    super(`${status} ${REASONS.get(status)}`);
  }
}

// ---- Numbers -------------------------------------------------------------

/** Time limit for writing the last lines of the output (ms). */
const LAST_OUTPUT_TIMEOUT = 2_000;
/** Default time limits (ms). */
export const TIMEOUTS = {
  /** For the header section of a request to arrive, and again for its body. */
  request: 10_000,
  /** Between two requests of a kept connection. */
  idle: 15_000,
  /** Idle time after which a connection may be closed to make room for a new one. */
  minIdle: 1_000,
  /**
   * For each write of a response. Minutes, because a full send buffer accepts octets again only
   * when a third of it is free: with 4 MB a steady reader of 20 kB/s blocks a write for 70 s.
   */
  write: 300_000,
  /**
   * Age of a change from which the times of a file identify its version. An earlier second change
   * may leave them as they are, because Deno's ctime has whole seconds.
   */
  settle: 2_000,
  /** For a cache entry, because a change through mmap may leave the times of a file as they are. */
  cached: 60_000,
  /** For the client to close after the last response. */
  linger: 2_000,
  /** For responses in progress when the service ends. */
  shutdown: 5_000,
} as const;
/** Longest method (octets) with which a request line that is too long gets 414, not 501. */
const MAX_METHOD = 63;
/** Longest request-target (octets). RFC 9112 §3 recommends request lines of 8,000 or more. */
const MAX_TARGET = 8_000;
/** Longest request line (octets). */
const MAX_REQUEST_LINE = MAX_TARGET + 128;
/** Longest header or trailer section (octets). */
const MAX_SECTION = 16_384;
/** Largest number of field lines in a section. */
const MAX_FIELDS = 100;
/** Longest chunk line (octets). */
const MAX_CHUNK_LINE = 4_096;
/** Total length of the chunk extensions of a body (octets); RFC 9112 §7.1.1 requires a limit. */
const MAX_EXTENSIONS = 16_384;
/** Longest request body that is read and dropped to keep the connection (octets). */
const MAX_DROPPED = 65_536;
/** Largest number of empty lines before a request line (RFC 9112 §2.2: one or more). */
const MAX_EMPTY_LINES = 4;
/** Largest number of ranges; more are an attack (RFC 9110 §17.15). */
const MAX_RANGES = 16;
/** Largest number of overlaps of two ranges; more are an attack. */
const MAX_OVERLAPS = 2;
/** Entries that a listing shows at most. */
const MAX_LISTED = 10_000;
/** Default number of connections that are served at once. */
const MAX_CONNECTIONS = 1_000;
/** Interval at which a waiting connection looks for an idle one to replace (ms). */
const EVICTION_INTERVAL = 100;
/** Number of open connections above which they are served in rounds. */
const MAX_WITHOUT_ROUNDS = 256;
/** Responses that make a turn of the event loop full: 128 operations less a few of other kinds. */
const FULL_TURN = 120;
/** A file up to this size is sent with its header in one write (octets). */
const MAX_INLINE = 131_072;
/** Size up to which an entity-tag is a hash of the octets; above, it is made of size and time. */
const MAX_HASHED = 8_388_608;
/** Octets at the beginning of a larger file that show whether it is text. */
const MAX_SAMPLE = 65_536;
/** Longest time for which a listing keeps other connections waiting (ms). */
const MAX_SLICE = 5;
/** Time after the start at which node:fs is loaded (ms). */
const NODE_FS_DELAY = 50;
/** Largest part of a file that is read at once (octets). */
const READ_SIZE = 524_288;
/** Smallest part of a file that is read at once (octets). */
const MIN_READ_SIZE = 16_384;
/** Total size of the read buffers (octets); many transfers read smaller parts. */
const MAX_READ_TOTAL = 8_388_608;
/** Time for which a cached response is used before its files are checked again (ms). */
const CACHE_MS = 20;
/** Largest number of times that a response is made from files that keep changing. */
const MAX_TRIES = 3;
/** Memory that a cache entry takes in addition to its octets and its key, measured (octets). */
const ENTRY_COST = 1_200;
/** Longest request that the cache looks up (octets). */
const MAX_KEY = 2_048;
/** Memory of a cache (octets). */
const MAX_CACHE = 67_108_864;

/** Methods that get a response with content, and methods that get 405 (RFC 9110 §9.3, RFC 5789). */
const ALLOWED_METHODS = ["GET", "HEAD", "OPTIONS"];
const KNOWN_METHODS = ["POST", "PUT", "DELETE", "CONNECT", "TRACE", "PATCH"];

/** Reason phrases, RFC 9110 §15. */
const REASONS: ReadonlyMap<number, string> = new Map(
  `200 OK, 204 No Content, 206 Partial Content, 304 Not Modified, 307 Temporary Redirect,
   400 Bad Request, 401 Unauthorized, 403 Forbidden, 404 Not Found, 405 Method Not Allowed,
   412 Precondition Failed, 414 URI Too Long, 416 Range Not Satisfiable, 417 Expectation Failed,
   421 Misdirected Request, 431 Request Header Fields Too Large, 500 Internal Server Error,
   501 Not Implemented, 503 Service Unavailable, 505 HTTP Version Not Supported`
    .split(",").map((each) => [Number(each.trim().slice(0, 3)), each.trim().slice(4)]),
);

const CR = 0x0d;
const LF = 0x0a;
const encoder = new TextEncoder();

// ---- Engine: the service -------------------------------------------------

/** A running service: its options, and the state that its connections share. */
interface Service extends ServeOptions {
  timeouts: Timeouts;
  responses: ResponseCache;
  /** Contents of small files by device, inode, size and times. */
  contents: BoundedMap<Content>;
  connections: Set<Connection>;
  summary: Summary;
  /** Gives each of many busy connections its turn. */
  rounds: Rounds;
  /** Makes listings, one after the other. */
  listings: SlicedWork;
  /** Number of files that are being sent. */
  transfers: number;
  /** Longest request that the cache looks up (octets); 0 while header lines are shown. */
  maxKey: number;
  /** Number of connections accepted so far. */
  accepted: number;
  /** The page that shows the wire; undefined without `--wire`. */
  view: WireView | undefined;
  /** Resolves when a connection has closed; undefined while nothing waits for it. */
  slotFreed: PromiseWithResolvers<void> | undefined;
}

interface Connection {
  wire: Wire;
  /** The first connection is 1. */
  number: number;
  /** Address of the client. */
  remote: string;
  /** Answering lasts from the first octet of a request to the end of its response. */
  state: "idle" | "answering" | "viewing" | "closing";
  /** Time at which it became idle (`performance.now()`). */
  idleSince: number;
  /** Octets of content of the current response that were sent. */
  sent: number;
}

/**
 * Answers HTTP/1.1 requests until the signal aborts. Then it accepts no connection, closes idle
 * ones, and resolves when the others have their response, after five seconds at most.
 *
 * The caller opens the listeners. Nothing that a client does rejects the promise.
 */
export async function serve(
  listeners: readonly Listener[],
  options: ServeOptions,
): Promise<Summary> {
  const timeouts = { ...TIMEOUTS, ...options.timeouts };
  const service: Service = {
    ...options,
    timeouts,
    responses: new ResponseCache(timeouts.cached),
    contents: new BoundedMap(timeouts.cached),
    connections: new Set(),
    summary: { requests: 0, sent: 0 },
    rounds: new Rounds(),
    listings: new SlicedWork(),
    transfers: 0,
    maxKey: options.trace ? 0 : MAX_KEY,
    accepted: 0,
    view: options.wireToken === undefined ? undefined : new WireView(options.wireToken),
    slotFreed: undefined,
  };
  const loaded = loadNodeFs();
  let shutdownTimer: ReturnType<typeof setTimeout> | undefined;
  const stop = () => {
    for (const listener of listeners) listener.close();
    closeIdle(service);
    shutdownTimer = setTimeout(() => {
      for (const { wire } of service.connections) wire.close();
    }, service.timeouts.shutdown);
  };
  if (options.signal.aborted) stop();
  else options.signal.addEventListener("abort", stop, { once: true });
  await Promise.all(listeners.map((listener) => acceptFrom(listener, service)));
  while (service.connections.size > 0) await nextFreed(service);
  clearTimeout(shutdownTimer);
  await loaded;
  return service.summary;
}

/** Closes the connections that have no response in progress, at the end of the service. */
function closeIdle(service: Service): void {
  let responses = 0;
  for (const { wire, state } of service.connections) {
    if (state === "idle" || state === "viewing") wire.close();
    if (state === "answering") responses++;
  }
  if (responses > 0) service.onDraining?.(responses);
  wake(service);
}

/** Wakes everything that waits for a connection to close. */
function wake(service: Service): void {
  service.slotFreed?.resolve();
  service.slotFreed = undefined;
}

/** Waits for a connection to close. */
function nextFreed(service: Service): Promise<void> {
  return (service.slotFreed ??= Promise.withResolvers()).promise;
}

/** Accepts connections until the listener is closed, despite resets and a lack of descriptors. */
async function acceptFrom(listener: Listener, service: Service): Promise<void> {
  for (let pause = 5; !service.signal.aborted;) {
    try {
      const conn = await listener.accept();
      pause = 5;
      const limit = service.maxConnections ?? MAX_CONNECTIONS;
      while (service.connections.size >= limit && !service.signal.aborted) {
        closeLongestIdle(service);
        const again = setTimeout(() => wake(service), EVICTION_INTERVAL);
        await nextFreed(service);
        clearTimeout(again);
      }
      if (service.signal.aborted) conn[Symbol.dispose]();
      else serveConnection(conn, service);
    } catch (error) {
      if (error instanceof Deno.errors.BadResource) return; // the service closed the listener
      // The client has reset the connection already: no pause, because others may be waiting.
      if (["ENOTCONN", "ECONNABORTED", "ECONNRESET"].includes(codeOf(error))) continue;
      // EMFILE and the like: a descriptor becomes free when a connection closes.
      await new Promise((resolve) => setTimeout(resolve, pause));
      pause = Math.min(pause * 2, 1_000);
    }
  }
}

// ---- Engine: a connection ------------------------------------------------

/** Serves one connection until it closes. No error in it affects the others. */
async function serveConnection(conn: Deno.TcpConn | Deno.TlsConn, service: Service): Promise<void> {
  const remote = conn.remoteAddr.hostname.replace(/^::ffff:/, "");
  const number = ++service.accepted;
  const wire = new Wire(conn);
  const connection: Connection = { wire, number, remote, state: "idle", idleSince: 0, sent: 0 };
  service.connections.add(connection);
  try {
    if ("setNoDelay" in conn) conn.setNoDelay(); // otherwise small responses wait 40 ms
    await answerRequests(connection, service);
  } catch (error) {
    if (!(error instanceof WireError)) service.onError?.(error);
  } finally {
    connection.wire.close();
    service.connections.delete(connection);
    wake(service);
  }
}

/** Reads requests and answers them in order until the connection ends. This is the hot path. */
async function answerRequests(connection: Connection, service: Service): Promise<void> {
  const { wire } = connection;
  const { timeouts } = service;
  for (let timeout = timeouts.request;; timeout = timeouts.idle) {
    connection.state = "idle";
    connection.idleSince = wire.setDeadline(timeout);
    if (wire.available === 0 && !await wire.fill()) return;
    connection.state = "answering";
    const started = service.log ? performance.now() : 0;

    const { buffered } = wire;
    const key = buffered.length <= service.maxKey ? keyDecoder.decode(buffered) : "";
    let response = service.responses.get(key);
    if (response) wire.skip(buffered.length);
    else response = await readAndRespond(connection, key, service);
    if (response === undefined) return;
    connection.sent = 0;
    try {
      await wire.write(response.octets, timeouts.write);
      connection.sent = response.content;
      if (response.rest) await sendRest(response.rest, connection, service);
    } catch (error) {
      finish(response, connection, service, started, describeCut(error, service));
      throw error;
    }
    finish(response, connection, service, started);
    if (response.isKeptAlive && !service.signal.aborted) {
      if (service.connections.size > MAX_WITHOUT_ROUNDS) await service.rounds.end(connection);
      continue;
    }
    connection.state = "closing";
    if (response.needsLingeringClose || wire.available > 0) {
      await wire.lingeringClose(timeouts.linger);
    }
    return;
  }
}

/**
 * Reads a request and makes its response. Returns undefined if the client closed before a request.
 *
 * @param key The received octets as a cache key; "" if they are too long or the cache is off.
 */
async function readAndRespond(
  connection: Connection,
  key: string,
  service: Service,
): Promise<EncodedResponse | undefined> {
  const { wire } = connection;
  const { received } = wire;
  let line: string | undefined;
  try {
    const lines = await readHead(wire, service.timeouts.request);
    if (lines === null) return undefined;
    [line = ""] = lines;
    showLines(service, connection, "<", line, [...lines, ""]);
    const request = parseRequest(lines, service.secure ?? false);
    const isBodyRead = await dropBody(wire, request, service.timeouts.request);
    const make = async () =>
      encodeResponse(await respond(request, service), request, isBodyRead, service);
    const isKey = key !== "" && wire.received === received && wire.available === 0;
    const response =
      await (isKey ? service.responses.singleFlight(key, make) : service.responses.make(make));
    return showResponse(service, connection, response);
  } catch (error) {
    line ??= toByteString(wire.buffered.subarray(0, 100)).split("\r\n")[0] ?? "";
    // The end of a malformed request is unknown, so the connection ends with the response.
    return showResponse(
      service,
      connection,
      encodeResponse(refusal(error), { line }, false, service),
    );
  }
}

/** Returns the response to a malformed request; rethrows any other error. */
function refusal(error: unknown): HttpResponse {
  if (error instanceof MalformedError) return errorResponse(400);
  if (error instanceof LimitError) return errorResponse(431);
  if (error instanceof HttpError) return errorResponse(error);
  throw error;
}

/** Shows the header section of a response; returns the response. */
function showResponse(
  service: Service,
  connection: Connection,
  response: EncodedResponse,
): EncodedResponse {
  if (!service.trace && !service.view) return response;
  const head = toByteString(response.octets.subarray(0, response.octets.length - response.content));
  showLines(service, connection, ">", response.exchange.line, head.slice(0, -2).split("\r\n"));
  return response;
}

/** Shows a header section in the trace and in the browser, without its secrets. */
function showLines(
  service: Service,
  connection: Connection,
  mark: "<" | ">",
  requestLine: string,
  lines: readonly string[],
): void {
  if (!service.trace && !service.view) return;
  const shown = lines.map((line) => decodeUtf8(hideSecrets(line, service)));
  for (const line of shown) service.trace?.(mark, line);
  service.view?.show(connection, mark, requestLine, shown);
}

function hideSecrets(line: string, service: Service): string {
  const hidden = line.replace(/^((?:proxy-)?authorization:).*/i, "$1 [credentials]")
    .replace(/^((?:set-)?cookie:).*/i, "$1 [hidden]");
  return hideToken(hidden, service);
}

function hideToken(line: string, { wireToken }: Service): string {
  return wireToken === undefined ? line : line.replaceAll(wireToken, "[token]");
}

/** Sends what does not fit into one write: parts of a file, or events. */
async function sendRest(rest: Chunks, connection: Connection, service: Service): Promise<void> {
  for await (const octets of rest(connection)) {
    await connection.wire.write(octets, service.timeouts.write);
    connection.sent += octets.length;
  }
}

/** Counts and logs a response that was sent or cut short. */
function finish(
  response: EncodedResponse,
  { remote, sent }: Connection,
  service: Service,
  started: number,
  cut?: string,
): void {
  response.file?.close();
  service.summary.requests++;
  service.summary.sent += sent;
  service.log?.({ ...response.exchange, remote, sent, cut, ms: performance.now() - started });
}

/** Returns why a response was cut short, for the log. */
function describeCut(error: unknown, { signal, timeouts }: Service): string {
  if (error instanceof DeadlineError) {
    return `client read too slowly for ${timeouts.write / 1_000} s`;
  }
  if (!(error instanceof WireError)) return "the file could not be read to its end";
  return signal.aborted && error.cause === undefined ? "server stopped" : "client left";
}

// ---- Engine: fairness between connections --------------------------------

/**
 * Serves many busy connections in rounds, so that each gets its share. A turn of Deno's event loop
 * completes at most 128 operations, and the next turn prefers sockets that became ready meanwhile
 * to those that are left over: of 1,000 busy connections the same 128 are served again and again.
 * Here a connection waits after its response until the round ends. A round ends with the first turn
 * that is not full, because then no connection is left over.
 */
class Rounds {
  #answered = 0; // responses in this turn
  #round = Promise.withResolvers<void>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Counts a response, and waits for the end of the round. */
  end(connection: Connection): Promise<void> {
    connection.state = "idle";
    if (this.#answered++ === 0) setImmediate(() => this.#endTurn());
    return this.#round.promise;
  }

  #endTurn(): void {
    clearTimeout(this.#timer);
    const isFull = this.#answered >= FULL_TURN;
    this.#answered = 0;
    if (!isFull) this.#endRound();
    // If no connection is left over, the next turn has no response. setImmediate, because a late
    // timer (the process waited for a core) runs before the sockets of its turn.
    else this.#timer = setTimeout(() => setImmediate(() => this.#endIdleTurn()), 1);
  }

  #endIdleTurn(): void {
    if (this.#answered === 0) this.#endRound();
  }

  #endRound(): void {
    const { resolve } = this.#round;
    this.#round = Promise.withResolvers();
    resolve();
  }
}

/**
 * Closes the longest idle connection of the address that has the most, so that one address cannot
 * lock out the others. Keeps a connection that has just become idle: a request may be on the way.
 */
function closeLongestIdle({ connections, timeouts }: Service): void {
  const latest = performance.now() - timeouts.minIdle;
  const counts = new Map<string, number>(); // Map.groupBy takes twice the time
  let most = 0;
  for (const { remote } of connections) {
    const count = (counts.get(remote) ?? 0) + 1;
    counts.set(remote, count);
    most = Math.max(most, count);
  }
  let longest: Connection | undefined;
  for (const connection of connections) {
    if (connection.state !== "idle" || counts.get(connection.remote) !== most) continue;
    if (connection.idleSince < (longest?.idleSince ?? latest)) longest = connection;
  }
  longest?.wire.close();
}

// ---- Engine: the cache of responses --------------------------------------

/** Makes cache keys; 12 times as fast as toByteString. */
const keyDecoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** A cached response. */
interface CacheEntry {
  response: EncodedResponse;
  /** Time of the last check that its files have not changed (ms since 1970). */
  checked: number;
  /** Number of changes that the cache knew at that time. */
  changes: number;
  /** Value of its Date field. */
  date: string;
}

/**
 * Caches responses by all octets of their request, because requests on kept connections repeat octet
 * for octet. A hit costs one read, one look-up and one write.
 *
 * After CACHE_MS a response is used only if its files and folders have the same times as before; then
 * it gets a new Date. So a change is visible after 20 ms. An older version never follows a newer one:
 * when a response shows a change, every cached response is checked before its next use, and every
 * response in the making before it is sent.
 */
class ResponseCache {
  #changes = 0;
  #second = 0; // ms since 1970
  #date = "";
  readonly #entries: BoundedMap<CacheEntry>;
  readonly #making = new Map<string, Promise<EncodedResponse>>();
  /** The states of files and folders, by path, and the time at which they were asked for. */
  readonly #states = new Map<string, string>();
  #asked = 0;
  /** The version that was sent last, by path. */
  readonly #versions = new BoundedMap<string>(Infinity, MAX_CACHE / 4);

  /** Makes a cache that forgets everything after `maxAge` ms. */
  constructor(maxAge: number) {
    this.#entries = new BoundedMap(maxAge);
  }

  /** Returns the cached response to a request, or undefined if there is none or it is out of date. */
  get(key: string): EncodedResponse | undefined {
    const now = Date.now();
    const entry = this.#entries.get(key, now);
    if (entry === undefined) return undefined;
    const age = now - entry.checked; // negative after the clock was set back
    if (age >= 0 && age < CACHE_MS && entry.changes === this.#changes) return entry.response;
    if (!this.#isUnchanged(entry.response.basis, now)) return undefined;
    entry.checked = now;
    entry.changes = this.#changes;
    if (entry.date !== this.date) entry.response = withDate(entry.response, this.date);
    entry.date = this.date;
    return entry.response;
  }

  /**
   * Makes the response to a request and caches it if it is complete in memory. Concurrent
   * identical requests share one computation: 64 clients at once when a response expires.
   *
   * @param key All octets of the request, and no others.
   */
  async singleFlight(key: string, make: () => Promise<EncodedResponse>): Promise<EncodedResponse> {
    const making = this.#making.get(key);
    if (making) {
      await making.catch(() => {});
      return this.get(key) ?? await this.make(make);
    }
    const checked = Date.now();
    const { date } = this;
    try {
      const made = this.make(make);
      this.#making.set(key, made);
      const response = await made;
      if (isCacheable(key, response)) {
        // The parsed fields of a request, for the log, take about eight times its octets.
        const size = 8 * key.length + response.octets.length;
        this.#entries.set(key, { response, checked, changes: this.#changes, date }, size);
      }
      return response;
    } finally {
      this.#making.delete(key);
    }
  }

  /** Makes a response. Makes it again if a newer version may have been sent in the meantime. */
  async make(make: () => Promise<EncodedResponse>): Promise<EncodedResponse> {
    for (let tries = 1;; tries++) {
      const changes = this.#changes;
      const response = await make();
      if (response.basis === undefined) return response;
      const isCurrent = changes === this.#changes || this.#isUnchanged(response.basis, Date.now());
      if (isCurrent || tries === MAX_TRIES) {
        this.#noteVersion(response.basis);
        return response;
      }
      response.file?.close();
    }
  }

  /** Notes the version that is sent for a path. A version other than the last one is a change. */
  #noteVersion({ path, version }: Basis): void {
    const last = this.#versions.get(path);
    if (last === version) return;
    this.#versions.set(path, version, version.length);
    const isEmptied = this.#versions.size === 1; // the last versions of other paths are forgotten
    if (last === undefined && !isEmptied) return;
    this.#changes++;
    this.#states.clear();
  }

  /** Returns true if the files of a response have not changed, false if they have or it is unknown. */
  #isUnchanged(basis: Basis | undefined, now: number): boolean {
    if (basis === undefined) return true;
    try {
      // Without sources the text is empty, and no version is.
      return basis.version === basis.sources.map((path) => this.#stateOf(path, now)).join(" ");
    } catch {
      return false;
    }
  }

  /** Returns the state of a file or folder; asks once in a ms, for many files have one folder. */
  #stateOf(path: string, now: number): string {
    if (now !== this.#asked) this.#states.clear();
    this.#asked = now;
    const state = this.#states.get(path) ?? fileKey(Deno.statSync(path));
    this.#states.set(path, state);
    return state;
  }

  /** The current time as an IMF-fixdate (RFC 9110 §5.6.7). Computed once a second. */
  get date(): string {
    const now = Date.now();
    const second = now - now % 1_000;
    if (second !== this.#second) this.#date = new Date(second).toUTCString();
    this.#second = second;
    return this.#date;
  }
}

/** Returns a copy with another Date. A copy, because the octets may be in a pending write. */
function withDate(response: EncodedResponse, date: string): EncodedResponse {
  if (response.dateAt < 0) return response;
  const octets = response.octets.slice();
  encoder.encodeInto(date, octets.subarray(response.dateAt));
  return { ...response, octets };
}

/** Returns a text that differs between two versions of a file or folder. */
function fileKey({ dev, ino, size, mtime, ctime }: FileState): string {
  return `${dev},${ino},${size},${mtime?.getTime()},${ctime?.getTime()}`;
}

/** Returns true if a response may be cached: if it is in memory as a whole, and its request UTF-8. */
function isCacheable(key: string, response: EncodedResponse): boolean {
  // U+FFFD stands for octets that are not UTF-8: requests that differ have the same key.
  return response.rest === undefined && !key.includes("\ufffd");
}

/** A map of at most `maxOctets` that forgets everything after `maxAge` ms. */
class BoundedMap<T> {
  #octets = 0;
  #since = Date.now();
  readonly #kept = new Map<string, T>();

  constructor(readonly maxAge = Infinity, readonly maxOctets = MAX_CACHE) {}

  get size(): number {
    return this.#kept.size;
  }

  get(key: string, now: number = Date.now()): T | undefined {
    if (Math.abs(now - this.#since) > this.maxAge) this.clear(); // also if the clock was set back
    return this.#kept.get(key);
  }

  /**
   * Stores a value. Removes all others first if there is no room. A replaced value stays in the
   * count, because it may still be in use.
   *
   * @param octets Size of the value.
   */
  set(key: string, value: T, octets: number): void {
    const cost = octets + 2 * key.length + ENTRY_COST;
    if (this.#octets + cost > this.maxOctets) this.clear();
    this.#octets += cost;
    this.#kept.set(key, value);
  }

  clear(): void {
    this.#octets = 0;
    this.#since = Date.now();
    this.#kept.clear();
  }
}

// ---- Engine: the request -------------------------------------------------

/**
 * Reads the request line and the field lines (RFC 9112 §2.1), without the empty line at the end;
 * null if the client closed before the first octet. Limits apply while the octets arrive.
 *
 * @throws {HttpError} 400 for a lone LF or an early end, 414, 431, 501.
 */
async function readHead(wire: Wire, timeout: number): Promise<string[] | null> {
  wire.setDeadline(timeout);
  const ends: number[] = []; // where each line ends, CRLF included
  for (let scanned = 0, emptyLines = 0;;) {
    const octets = wire.buffered;
    const end = octets.indexOf(LF, scanned) + 1;
    const length = end || octets.length;
    if (ends[0] === undefined && length > MAX_REQUEST_LINE) {
      const methodEnd = octets.indexOf(0x20); // RFC 9112 §3: 501 for a long method, 414 for a target
      throw new HttpError(methodEnd > 0 && methodEnd <= MAX_METHOD ? 414 : 501);
    }
    if (length - (ends[0] ?? length) > MAX_SECTION || ends.length - 1 > MAX_FIELDS) {
      throw new HttpError(431);
    }
    scanned = length;
    if (end === 0) {
      if (await wire.fill()) continue;
      if (length === 0) return null;
      throw new HttpError(400);
    }
    if (octets[end - 2] !== CR) throw new HttpError(400); // stricter than RFC 9112 §2.2
    const start = ends.at(-1) ?? 0;
    if (end > start + 2) {
      ends.push(end);
      continue;
    }
    wire.skip(end);
    if (start > 0) return toByteString(octets.subarray(0, start - 2)).split("\r\n");
    if (++emptyLines > MAX_EMPTY_LINES) throw new HttpError(400);
    scanned = 0;
  }
}

/** `token = 1*tchar` (RFC 9110 §5.6.2). */
const WORD = "[!#$%&'*+\\-.^_`|~\\w]+";
/** `request-line = method SP request-target SP HTTP-version` (RFC 9112 §3). */
const REQUEST_LINE = new RegExp(`^(${WORD}) ([!-~]+) HTTP/(\\d)\\.(\\d)$`);

/** `unreserved / sub-delims` (RFC 3986 §2.2, §2.3), as part of a character class. */
const PLAIN = "\\w\\-.~!$&'()*+,;=";
/** `pct-encoded = "%" HEXDIG HEXDIG` (RFC 3986 §2.1). */
const ENCODED = "%[\\dA-Fa-f]{2}";
/** `IP-literal = "[" ( IPv6address / IPvFuture ) "]"` (RFC 3986 §3.2.2); URL checks the address. */
const IP_LITERAL = `\\[[\\dA-Fa-f:.]+\\]|\\[[vV][\\dA-Fa-f]+\\.[${PLAIN}:]+\\]`;
/**
 * `authority = host [ ":" port ]`, `host = IP-literal / IPv4address / reg-name` (RFC 3986 §3.2),
 * without userinfo, which RFC 9110 §4.2.4 forbids.
 */
const AUTHORITY = new RegExp(`^(${IP_LITERAL}|(?:[${PLAIN}]|${ENCODED})+)(?::(\\d{0,5}))?$`);
/**
 * `absolute-path = 1*( "/" segment )`, `segment = *pchar` (RFC 9110 §4.1, RFC 3986 §3.3), and
 * `[ "?" query ]` (§3.4); with the characters beyond pchar that browsers and curl send.
 */
const PATH_AND_QUERY = new RegExp(
  `^((?:/(?:[${PLAIN}:@|^[\\]]|${ENCODED})*)*)(\\?[!$-;=?-~]*)?$`,
);

/**
 * Parses the lines of a header section.
 *
 * @param secure True if they came over TLS.
 * @throws {HttpError} 400, 414, 421, 501, 505.
 * @throws {MalformedError} If a line is not a field line.
 */
function parseRequest(lines: readonly string[], secure: boolean): HttpRequest {
  const [line = "", ...fieldLines] = lines;
  const parts = REQUEST_LINE.exec(line);
  const [, method = "", target = "", major = "", minor = ""] = parts ?? [];
  if (target.length > MAX_TARGET) throw new HttpError(414);
  if (!parts) throw new HttpError(400);
  if (major !== "1") throw new HttpError(505);
  const isHttp10 = minor === "0";
  const fields = new Fields();
  for (const each of fieldLines) fields.appendLine(each);
  // RFC 9112 §3.2: 400 without Host, with several, or with a malformed one.
  const [host, ...others] = fields.all("Host");
  if (others.length > 0 || (host === undefined && !isHttp10)) throw new HttpError(400);
  const named = host === undefined ? "" : parseAuthority(host);
  const connection = listMembers((fields.get("Connection") ?? "").toLowerCase());
  const isKeptAlive = !connection.includes("close") &&
    (!isHttp10 || connection.includes("keep-alive"));
  const framing = requestFraming(fields, isHttp10);
  const resource = parseTarget(method, target, named, secure);
  return { line, method, ...resource, fields, framing, isKeptAlive, isHttp10 };
}

/** Reads a request-target in any of its forms (RFC 9112 §3.2). */
function parseTarget(method: string, target: string, named: string, secure: boolean) {
  if (method === "CONNECT") return { host: parseAuthority(target), path: "", query: "" };
  if (target === "*" && method === "OPTIONS") return { host: named, path: "*", query: "" };
  const absolute = /^([a-z][a-z\d+\-.]*):\/\/([^/?]*)(.*)$/i.exec(target);
  const [, scheme = "", authority = "", rest = ""] = absolute ?? [];
  // RFC 9112 §3.2.2: the host of an absolute target wins over the Host field.
  const host = absolute ? parseAuthority(authority) : named;
  // RFC 9110 §7.4: no https resource over a connection without TLS.
  if (absolute && scheme.toLowerCase() !== (secure ? "https" : "http")) throw new HttpError(421);
  const [, path, query = ""] = PATH_AND_QUERY.exec(absolute ? rest : target) ?? [];
  if (path === undefined || (path === "" && !absolute)) throw new HttpError(400);
  return { host, path: path || "/", query };
}

/** Returns the host of an authority, in lower case and without a final dot; 400 if malformed. */
function parseAuthority(authority: string): string {
  const [, host, port = "0"] = AUTHORITY.exec(authority) ?? [];
  if (host === undefined || Number(port) > 65_535) throw new HttpError(400);
  if (/^\[[^v]/i.test(host) && !URL.canParse(`http://${host}/`)) throw new HttpError(400);
  return host.toLowerCase().replace(/\.$/, "");
}

/**
 * Finds where the body of a request ends, by the rules of RFC 9112 §6.3 in their order. An
 * ambiguous length gets 400, because it can smuggle a request past a proxy that reads it otherwise.
 */
function requestFraming(fields: Fields, isHttp10: boolean): Framing {
  const codings = fields.get("Transfer-Encoding");
  const [length, ...others] = fields.all("Content-Length");
  if (codings !== undefined) {
    // Rule 3: both fields are ambiguous.
    if (length !== undefined) throw new HttpError(400);
    // §6.1: a Transfer-Encoding in HTTP/1.0 is not trusted; the connection ends with the response.
    if (isHttp10) return "untrusted";
    // Rule 4: the last coding must be chunked, and only the last (§7). No other one is known here.
    const names = listMembers(codings.toLowerCase());
    if (names.pop() !== "chunked" || names.includes("chunked")) throw new HttpError(400);
    if (!names.every((name) => TOKEN.test(trimOws(name.split(";", 1)[0] ?? "")))) {
      throw new HttpError(400);
    }
    if (names.length > 0) throw new HttpError(501);
    return "chunked";
  }
  if (length === undefined) return 0;
  // Rule 5: an invalid length, or several. 15 digits are exact as a number.
  if (others.length > 0 || !/^\d{1,15}$/.test(length)) throw new HttpError(400);
  return Number(length);
}

/**
 * Reads the body of a request and drops it, so that the next request can follow.
 *
 * @returns False if the body was not read to its end: then the connection must end.
 */
async function dropBody(
  wire: Wire,
  { method, fields, framing, isHttp10 }: HttpRequest,
  timeout: number,
): Promise<boolean> {
  const expectation = isHttp10 ? undefined : fields.get("Expect")?.toLowerCase();
  // RFC 9110 §10.1.1: 417 for an unknown expectation.
  if (expectation !== undefined && expectation !== "100-continue") throw new HttpError(417);
  if (method === "CONNECT") return false; // RFC 9110 §9.3.6: the client may send its tunnel's octets
  if (framing === 0) return true;
  if (framing === "untrusted" || (framing !== "chunked" && framing > MAX_DROPPED)) return false;
  if (expectation !== undefined) {
    if (!ALLOWED_METHODS.includes(method)) return false; // the final status follows immediately
    if (wire.available === 0) await wire.write("HTTP/1.1 100 Continue\r\n\r\n");
  }
  wire.setDeadline(timeout);
  if (framing === "chunked") return await dropChunks(wire);
  await dropOctets(wire, framing);
  return true;
}

async function dropOctets(wire: Wire, count: number): Promise<void> {
  for (let left = count; left > 0;) {
    if (wire.available === 0 && !await wire.fill()) throw new HttpError(400);
    const dropped = Math.min(left, wire.available);
    wire.skip(dropped);
    left -= dropped;
  }
}

/** `quoted-string = DQUOTE *( qdtext / quoted-pair ) DQUOTE` (RFC 9110 §5.6.4). */
const QUOTED = '"(?:[\\t !#-[\\]-~\\x80-\\xff]|\\\\[\\t -~\\x80-\\xff])*"';
/** `chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )` (RFC 9112 §7.1.1). */
const CHUNK_EXT = `(?:[\\t ]*;[\\t ]*${WORD}(?:[\\t ]*=[\\t ]*(?:${WORD}|${QUOTED}))?)*`;
/** `chunk-size [ chunk-ext ]`, `chunk-size = 1*HEXDIG` (RFC 9112 §7.1); at most 12 digits here. */
const CHUNK_LINE = new RegExp(`^([\\dA-Fa-f]{1,12})(${CHUNK_EXT})$`);

/** Drops a chunked body and its trailer section (RFC 9112 §7.1). Returns false if it is too long. */
async function dropChunks(wire: Wire): Promise<boolean> {
  for (let dropped = 0, extensions = 0;;) {
    const line = await readShortLine(wire, MAX_CHUNK_LINE);
    const [, digits, extension = ""] = CHUNK_LINE.exec(line) ?? [];
    extensions += extension.length;
    if (digits === undefined || extensions > MAX_EXTENSIONS) throw new HttpError(400);
    const size = Number(`0x${digits}`);
    if (size === 0) break;
    dropped += size;
    if (dropped > MAX_DROPPED) return false;
    await dropOctets(wire, size);
    if (await readShortLine(wire, 2) !== "") throw new HttpError(400);
  }
  const trailers = new Fields();
  for (let left = MAX_SECTION;;) {
    const line = await wire.readLine(left);
    if (line === "") return true;
    if (line === null) throw new HttpError(400);
    left -= line.length + 2;
    if (trailers.appendLine(line).size > MAX_FIELDS) throw new HttpError(431);
  }
}

/** Reads a line of a chunk; 400 if it is longer than the limit, or missing. */
async function readShortLine(wire: Wire, limit: number): Promise<string> {
  try {
    const line = await wire.readLine(limit);
    if (line !== null) return line;
  } catch (error) {
    if (!(error instanceof LimitError)) throw error;
  }
  throw new HttpError(400);
}

// ---- Engine: methods and access ------------------------------------------

/** Responds to a well-formed request. */
async function respond(request: HttpRequest, service: Service): Promise<HttpResponse> {
  const { method, host, fields } = request;
  try {
    if (!isServedHost(host, service.hosts)) {
      throw new HttpError(421, [], `; try localhost, or the option --allow-host ${host}`);
    }
    const crossOrigin = service.cors && method === "OPTIONS" ? preflight(fields) : [];
    // A browser sends a preflight without credentials (Fetch §4.9).
    const needsLogin = service.credentials !== undefined && crossOrigin.length === 0;
    if (needsLogin && !await isAuthorized(fields, service.credentials ?? "")) {
      throw new HttpError(401, [["WWW-Authenticate", 'Basic realm="files", charset="UTF-8"']]);
    }
    if (service.view?.has(request.path)) return await service.view.respond(request, service);
    const allow: Field = ["Allow", ALLOWED_METHODS.join(", ")];
    if (KNOWN_METHODS.includes(method)) throw new HttpError(405, [allow]);
    if (!ALLOWED_METHODS.includes(method)) throw new HttpError(501);
    if (method === "OPTIONS") {
      return { status: 204, fields: [allow, ...crossOrigin], content: [] };
    }
    return await respondWithFile(request, service);
  } catch (error) {
    if (error instanceof HttpError) return errorResponse(error);
    service.onError?.(error);
    // A basis, because without one the response would be cached.
    return { ...errorResponse(500), basis: { path: request.path, sources: [], version: "500" } };
  }
}

/** Responds with what the path names, and notes what the response was made from. */
async function respondWithFile(request: HttpRequest, service: Service): Promise<HttpResponse> {
  const { path } = request;
  try {
    const found = await resolve(request, service);
    if (found) return { ...respondTo(request, found), basis: { path, ...found.basis } };
    const page = service.only === undefined
      ? await openRepresentation(request, ["404.html"], service).catch(() => null)
      : null;
    const response = page ? { ...fullResponse(page), status: 404 } : errorResponse(404);
    return { ...response, basis: { path, sources: [], version: `404 ${page?.etag}` } };
  } catch (error) {
    if (!(error instanceof HttpError)) throw error;
    return { ...errorResponse(error), basis: { path, sources: [], version: `${error.status}` } };
  }
}

/** True if a host is served. Others are refused, because DNS rebinding uses the name of another. */
function isServedHost(host: string, hosts: string[] | undefined): boolean {
  if (hosts === undefined || host === "" || hosts.includes(host) || hosts.includes("*")) {
    return true;
  }
  return /^(.+\.)?localhost$|^127(\.\d+){3}$|^\[::1\]$/.test(host);
}

/** Compares Basic credentials (RFC 7617). */
async function isAuthorized(fields: Fields, credentials: string): Promise<boolean> {
  const [, given = ""] = /^basic +(.*)$/i.exec(fields.get("Authorization") ?? "") ?? [];
  return await isEqual(given, encoder.encode(credentials).toBase64());
}

/** Compares texts in a time that does not tell where they differ. */
async function isEqual(given: string, secret: string): Promise<boolean> {
  const digest = async (text: string) =>
    new Uint8Array(await crypto.subtle.digest("SHA-256", encoder.encode(text)));
  const [left, right] = [await digest(given), await digest(secret)];
  return left.reduce((difference, octet, at) => difference | (octet ^ (right[at] ?? 0)), 0) === 0;
}

/** Returns the fields that permit a CORS preflight (Fetch §4.9); none for another request. */
function preflight(fields: Fields): Field[] {
  if (!fields.get("Access-Control-Request-Method")) return [];
  return [
    ["Access-Control-Allow-Methods", ALLOWED_METHODS.join(", ")],
    ["Access-Control-Allow-Headers", fields.get("Access-Control-Request-Headers") ?? "*"],
    ["Access-Control-Max-Age", "86400"],
  ];
}

// ---- Engine: what the request names --------------------------------------

/**
 * Finds what a target names. Calls the file system synchronously, which takes 2 µs instead of 36.
 * A network mount that does not answer therefore blocks the service.
 */
async function resolve(request: HttpRequest, service: Service): Promise<Representation | null> {
  const { segments, isFolder } = decodePath(request.path);
  if (service.only !== undefined) {
    const { names, file } = service.only;
    const isNamed = segments.length === 0 || (names.includes(segments.join("/")) && !isFolder);
    return isNamed ? await openRepresentation(request, [file], service) : null;
  }
  if (isHidden(segments, service)) return null;
  const info = orNull(() => Deno.statSync(join(service.root, segments)));
  let found: Representation | null = null;
  if (info?.isDirectory) {
    if (resolveInside(segments, service) === null) return null;
    if (!isFolder) redirectToFolder(segments, request.query);
    found = await openRepresentation(request, [...segments, "index.html"], service);
    if (!found && (service.listing ?? true)) found = await listFolder(request, segments, service);
  } else if (!isFolder) {
    found = info
      ? await openRepresentation(request, segments, service, info)
      : await openRepresentation(request, extend(segments, ".html"), service);
  }
  if (found || !service.spa || segments.at(-1)?.includes(".")) return found;
  const isNavigation = qvalue(request.fields.get("Accept"), ["text/html"]);
  const page = isNavigation ? await openRepresentation(request, ["index.html"], service) : null;
  // The times of this page do not show when a file with the requested name appears.
  return page && { ...page, basis: { sources: [], version: page.etag } };
}

/**
 * Splits a path at its slashes, decodes each segment once (RFC 3986 §2.4), and removes the dot
 * segments (§5.2.4). 404 for a path above the root, and for a segment that cannot be a file name:
 * with an encoded slash, or with octets that are not UTF-8.
 */
function decodePath(path: string): { segments: string[]; isFolder: boolean } {
  const names = path.split("/").slice(1).map(decodeSegment);
  const segments: string[] = [];
  for (const name of names) {
    if (name !== ".." && name !== ".") segments.push(name);
    if (name === ".." && segments.pop() === undefined) throw new HttpError(404);
  }
  return {
    segments: segments.filter((name) => name !== ""),
    isFolder: ["", ".", ".."].includes(names.at(-1) ?? ""),
  };
}

/** What a decoded segment must not have: the system would read several names, or another name. */
const FOREIGN = Deno.build.os === "windows" ? /[/\\:]|[. ]$/ : /\//;

function decodeSegment(segment: string): string {
  let name: string;
  try {
    name = decodeURIComponent(segment);
  } catch {
    throw new HttpError(404); // not UTF-8
  }
  if (name.includes("\0")) throw new HttpError(400);
  if (name !== "." && name !== ".." && FOREIGN.test(name)) throw new HttpError(404);
  return name;
}

/** True for a name that begins with a dot, except /.well-known/ (RFC 8615). */
function isHidden(segments: readonly string[], { dotfiles }: Service): boolean {
  return !dotfiles &&
    segments.some((name, at) => name.startsWith(".") && !(at === 0 && name === ".well-known"));
}

const SEPARATOR = Deno.build.os === "windows" ? "\\" : "/";

function join(root: string, segments: readonly string[]): string {
  return [root.replace(/[/\\]$/, ""), ...segments].join(SEPARATOR);
}

/** Adds a suffix to the last name. */
function extend(segments: readonly string[], suffix: string): string[] {
  return [...segments.slice(0, -1), `${segments.at(-1)}${suffix}`];
}

/**
 * Resolves the symlinks of a path. Returns the real segments; null if they lead out of the root,
 * or to a hidden name inside.
 */
function resolveInside(segments: readonly string[], service: Service): string[] | null {
  const real = orNull(() => Deno.realPathSync(join(service.root, segments)));
  const realRoot = service.only ? service.root : orNull(() => Deno.realPathSync(service.root));
  if (real === null || realRoot === null) return null;
  const root = join(realRoot, []);
  // With the final slash, so that a link to /root-evil does not pass for one inside /root.
  if (!`${real}${SEPARATOR}`.startsWith(`${root}${SEPARATOR}`)) return null;
  const names = real.slice(root.length).split(SEPARATOR).filter((name) => name !== "");
  return isHidden(names, service) ? null : names;
}

/** System errors that mean that there is no such file. */
const MISSING = ["ENOENT", "ENOTDIR", "ELOOP", "ENAMETOOLONG", "ENXIO"];

/** Calls a function of the file system; null if there is no such file. */
function orNull<T>(call: () => T): T | null {
  try {
    return call();
  } catch (error) {
    return nullIfMissing(error);
  }
}

/**
 * Returns null for an error that means that there is no such file.
 *
 * @throws {HttpError} 403 if it may not be read, 503 if the process has no descriptor left.
 */
function nullIfMissing(error: unknown): null {
  const code = codeOf(error);
  if (MISSING.includes(code)) return null;
  if (["EACCES", "EPERM"].includes(code) || error instanceof Deno.errors.NotCapable) {
    throw new HttpError(403);
  }
  if (["EMFILE", "ENFILE"].includes(code)) throw new HttpError(503, [["Retry-After", "1"]]);
  throw error;
}

/** Returns the name of a system error, as ENOENT; "" for any other error. */
function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

// ---- Engine: files -------------------------------------------------------

/** Identity, size and times of a file; a change of the file changes one of them. */
type FileState = Pick<Deno.FileInfo, "dev" | "ino" | "size" | "mtime" | "ctime">;

/** node:fs, once it is loaded. */
let nodeFs: typeof import("node:fs") | undefined;

/**
 * Loads node:fs, which can open a FIFO without blocking. This takes 20 ms, so it is done after the
 * start. Until then a FIFO blocks the service if it replaces a file between stat and open.
 */
async function loadNodeFs(): Promise<void> {
  if (nodeFs !== undefined) return;
  await new Promise((resolve) => setTimeout(resolve, NODE_FS_DELAY));
  nodeFs = await import("node:fs");
}

/** An open file, read at positions. */
interface SourceFile {
  /** Its state when it was opened. */
  state: FileState;
  /** Reads into the octets, and returns how many were read; 0 at the end of the file. */
  readSync(octets: Uint8Array, position: number): number;
  read(octets: Uint8Array, position: number): Promise<number>;
  /** Closes the file; a second call does nothing. */
  close(): void;
}

/** Opens a file. A FIFO or a device does not block. */
function openSource(path: string): SourceFile {
  return nodeFs === undefined ? openWithDeno(path) : openWithNode(path, nodeFs);
}

function openWithDeno(path: string): SourceFile {
  const file = Deno.openSync(path);
  const seek = (position: number) => file.seekSync(position, Deno.SeekMode.Start);
  return {
    state: file.statSync(),
    readSync: (octets, position) => seek(position) < 0 ? 0 : file.readSync(octets) ?? 0,
    read: async (octets, position) => seek(position) < 0 ? 0 : await file.read(octets) ?? 0,
    close: () => file[Symbol.dispose](),
  };
}

function openWithNode(path: string, fs: typeof import("node:fs")): SourceFile {
  const { O_RDONLY, O_NONBLOCK = 0 } = fs.constants; // Windows has neither FIFOs nor O_NONBLOCK
  const fd = fs.openSync(path, O_RDONLY | O_NONBLOCK);
  let isOpen = true;
  return {
    state: fs.fstatSync(fd),
    readSync: (octets, position) => fs.readSync(fd, octets, 0, octets.length, position),
    read: (octets, position) =>
      new Promise((resolve, reject) => {
        fs.read(fd, octets, 0, octets.length, position, (error, count) => {
          if (error) reject(error);
          else resolve(count);
        });
      }),
    close: () => {
      if (isOpen) fs.closeSync(fd);
      isOpen = false;
    },
  };
}

/**
 * Opens a regular file inside the root; null if there is none. Stats before opening, because
 * opening a device may have side effects. After opening, checks that the handle is the regular file
 * that the path resolves to inside the root; a symlink or FIFO swapped in between is refused.
 */
function openFile(
  segments: readonly string[],
  service: Service,
  named = orNull(() => Deno.statSync(join(service.root, segments))),
  tries = 3,
): SourceFile | null {
  if (named === null || named.isDirectory) return null;
  if (!named.isFile) throw new HttpError(resolveInside(segments, service) === null ? 404 : 403);
  const file = orNull(() => openSource(join(service.root, segments)));
  if (file === null) return null;
  let inside: Deno.FileInfo | null = null;
  let isVerified = false;
  try {
    const real = resolveInside(segments, service);
    inside = real && orNull(() => Deno.lstatSync(join(service.root, real)));
    isVerified = inside !== null && inside.isFile && isSame(inside, file.state);
  } finally {
    if (!isVerified) file.close();
  }
  if (isVerified) return file;
  // The file was replaced by another one inside the root: opens that one.
  return inside && tries > 1 ? openFile(segments, service, undefined, tries - 1) : null;
}

/** True if both are the same file. */
function isSame(a: FileState, b: FileState): boolean {
  return a.dev === b.dev && a.ino === b.ino;
}

/** Content codings (RFC 9110 §8.4.1) and the suffixes of siblings; the preferred one last. */
const SIBLINGS = [["gzip", ".gz"], ["zstd", ".zst"], ["br", ".br"]] as const;

/** A path and its state. */
type Seen = [path: string, state: FileState];

/**
 * Chooses a file or one of its siblings by Accept-Encoding.
 *
 * @returns The open file, the fields of its coding, and the states of the file and its siblings.
 */
function chooseCoding(
  accepted: string | undefined,
  segments: readonly string[],
  original: SourceFile,
  service: Service,
) {
  let file = original;
  let coding: Field[] = [];
  let vary: Field[] = [];
  let best = qvalue(accepted, ["identity"]) ?? 0.001; // not listed: the last choice (§12.5.3)
  const seen: Seen[] = [[join(service.root, segments), original.state]];
  for (const [name, suffix] of SIBLINGS) {
    const sibling = extend(segments, suffix);
    const path = join(service.root, sibling);
    const info = orNull(() => Deno.statSync(path));
    if (info) seen.push([path, info]);
    if (!info?.isFile || timeOf(info.mtime) < timeOf(original.state.mtime)) continue; // stale
    vary = [["Vary", "Accept-Encoding"]];
    const weight = qvalue(accepted, [name, "*"]) ?? 0;
    const opened = weight >= best && weight > 0 ? openSibling(sibling, service) : null;
    if (opened === null) continue;
    if (file !== original) file.close();
    file = opened;
    coding = [["Content-Encoding", name]];
    best = weight;
  }
  return { file, codingFields: [...vary, ...coding], seen };
}

/** Returns how to find out later whether something has changed. */
function basisOf(seen: readonly Seen[], etag: string, settle: number): Representation["basis"] {
  const version = seen.map(([, state]) => fileKey(state)).join(" ");
  const times = seen.flatMap(([, { mtime, ctime }]) => [mtime, ctime]);
  if (!isSettled(times, settle)) return { sources: [], version: `${version} ${etag}` };
  return { sources: seen.map(([path]) => path), version };
}

/**
 * True if times are older than `settle` ms. The times of a file that changed later do not identify
 * its version, because it may change again within the same tick of the clock.
 */
function isSettled(times: readonly (Date | null)[], settle: number): boolean {
  return Date.now() - Math.max(...times.map(timeOf)) > settle;
}

/** Opens a sibling; null if it cannot be read. */
function openSibling(segments: readonly string[], service: Service): SourceFile | null {
  try {
    return openFile(segments, service);
  } catch {
    return null;
  }
}

// ---- Engine: representations ---------------------------------------------

/**
 * Represents a file, in the coding that the client prefers; null if there is no such file.
 *
 * @param named State of the file, if the caller has it.
 */
async function openRepresentation(
  { fields }: HttpRequest,
  segments: readonly string[],
  service: Service,
  named?: Deno.FileInfo,
): Promise<Representation | null> {
  // A new sibling changes the times of its folder. They are read first, so that none is missed.
  const folder = join(service.root, segments.slice(0, -1));
  const folderState = orNull(() => Deno.statSync(folder));
  const original = openFile(segments, service, named);
  if (original === null) return null;
  let sent: SourceFile | undefined;
  try {
    const accepted = fields.get("Accept-Encoding");
    const { file, codingFields, seen } = chooseCoding(accepted, segments, original, service);
    sent = file;
    if (folderState !== null) seen.push([folder, folderState]);
    const content = await loadContent(file, service);
    const { isText } = file === original ? content : await loadContent(original, service);
    if (file !== original) original.close();
    if (content.octets) file.close();
    return {
      ...content,
      file: content.octets ? undefined : file,
      type: contentType(segments.at(-1) ?? "", isText),
      // RFC 9110 §8.8.2.1: never later than the Date.
      modified: Math.floor(Math.min(timeOf(file.state.mtime), Date.now()) / 1_000),
      fields: [["Accept-Ranges", "bytes"], ...codingFields],
      basis: basisOf(seen, content.etag, service.timeouts.settle),
    };
  } catch (error) {
    original.close();
    sent?.close();
    throw error;
  }
}

function timeOf(date: Date | null): number {
  return date?.getTime() ?? 0;
}

/** Returns the Content-Type of a file. A charset is given only if the octets are UTF-8. */
function contentType(name: string, isText: boolean): string {
  const type = mediaType(name) ?? (isText ? "text/plain" : "application/octet-stream");
  return type.startsWith("text/") && isText ? `${type}; charset=utf-8` : type;
}

/** Describes the content of a file, from the cache if its state is known there. */
async function loadContent(file: SourceFile, service: Service): Promise<Content> {
  const { size, mtime, ctime } = file.state;
  const { settle } = service.timeouts;
  const key = fileKey(file.state);
  const known = service.contents.get(key);
  if (known) return known;
  const content = size > MAX_HASHED
    ? sampleContent(file, settle)
    : await hashContent(readWhole(file, size));
  if (size > MAX_INLINE) delete content.octets; // it is sent from the file
  if (isSettled([mtime, ctime], settle)) {
    service.contents.set(key, content, content.octets?.length ?? 64);
  }
  return content;
}

/**
 * Describes octets. Their strong entity-tag (RFC 9110 §8.8.3) is a hash of the octets: it changes
 * when they do, however fast, and is the same on every server.
 */
async function hashContent(octets: Uint8Array<ArrayBuffer>): Promise<Content> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-1", octets));
  const etag = `"${digest.toBase64({ alphabet: "base64url", omitPadding: true })}"`;
  return { octets, size: octets.length, etag, isText: isText(octets) };
}

/**
 * Describes a large file by its beginning. Its entity-tag is made of size and modification time, so
 * copies of the file have the same one. As Apache's, it is weak until the time is settled.
 */
function sampleContent(file: SourceFile, settle: number): Content {
  const { size, mtime } = file.state;
  const etag = `"${size.toString(16)}-${timeOf(mtime).toString(16)}"`;
  return {
    size,
    etag: isSettled([mtime], settle) ? etag : `W/${etag}`,
    isText: isText(readWhole(file, MAX_SAMPLE), { isPart: true }),
  };
}

/** Control characters that no text has. */
// deno-lint-ignore no-control-regex
const BINARY = /[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]/;

/** True if octets are text in UTF-8. The last character of a part may be incomplete. */
function isText(octets: Uint8Array, { isPart = false } = {}): boolean {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  try {
    for (let at = 0; at < octets.length; at += MAX_SAMPLE) { // in pieces: a binary file fails in the first
      const piece = octets.subarray(at, at + MAX_SAMPLE);
      if (BINARY.test(decoder.decode(piece, { stream: true }))) return false;
    }
    if (!isPart) decoder.decode();
    return true;
  } catch {
    return false;
  }
}

/** Reads a file from its beginning, up to a size (octets). */
function readWhole(file: SourceFile, size: number): Uint8Array<ArrayBuffer> {
  const octets = new Uint8Array(size);
  let length = 0;
  for (let count = -1; length < size && count !== 0; length += count) {
    count = file.readSync(octets.subarray(length), length);
  }
  return octets.subarray(0, length);
}

/** Returns the quality value (RFC 9110 §12.4.2) of the first name that a field lists. */
function qvalue(field: string | undefined, names: readonly string[]): number | undefined {
  const members = listMembers((field ?? "").toLowerCase()).map((member) =>
    member.split(";").map(trimOws)
  );
  for (const name of names) {
    const [found, ...parameters] = members.find(([value]) => value === name) ?? [];
    if (found === undefined) continue;
    const weight = parameters.find((parameter) => parameter.startsWith("q=")) ?? "q=1";
    return /^q=(0(\.\d{0,3})?|1(\.0{0,3})?)$/.test(weight) ? Number(weight.slice(2)) : 0;
  }
  return undefined;
}

/** Redirects to the name with a slash: always a path, never another host (RFC 3986 §4.2). */
function redirectToFolder(segments: readonly string[], query: string): never {
  const path = segments.map((name) => `/${encodeSegment(name)}`).join("");
  throw new HttpError(307, [["Location", `${path}/${query}`]]);
}

/** Encodes a name as a path segment. An apostrophe, too: lftp takes it for the end of a link. */
function encodeSegment(name: string): string {
  return encodeURIComponent(name).replaceAll("'", "%27");
}

// ---- Engine: listings ----------------------------------------------------

/** An entry of a listing. */
interface Entry {
  name: string;
  isFolder: boolean;
  /** In octets; null if the name is not UTF-8: such a file can be shown, but not opened. */
  size: number | null;
  modified: Date | null;
  /** Name in the form that sorts it. */
  key: string;
}

/** The entries of a folder, and how many more there are. */
interface Listing {
  entries: Entry[];
  more: number;
}

/**
 * Divides long work into slices, so that other connections wait no longer than one slice. One job
 * at a time, because the event loop runs the next slices of all jobs without a pause.
 */
class SlicedWork {
  #begun = 0; // start of this slice (performance.now())
  #last: Promise<unknown> = Promise.resolve();

  /** Runs a job after those before it. */
  run<T>(job: () => Promise<T>): Promise<T> {
    const done = this.#last.then(() => {
      this.#begun = performance.now();
      return job();
    });
    this.#last = done.catch(() => {});
    return done;
  }

  /** True if it is time to `rest`. */
  get isOver(): boolean {
    return performance.now() - this.#begun > MAX_SLICE;
  }

  /** Lets other work go first. */
  async rest(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 0));
    this.#begun = performance.now();
  }
}

/** Lists a folder as HTML, or as JSON if Accept prefers it; null if it is not inside the root. */
function listFolder(request: HttpRequest, segments: readonly string[], service: Service) {
  const { listings } = service;
  return listings.run(async (): Promise<Representation | null> => {
    const listing = await readListing(segments, service);
    if (listing === null) return null;
    const order = sortListing(listing, request.query);
    const accepted = request.fields.get("Accept");
    const json = qvalue(accepted, ["application/json", "application/*"]) ?? 0;
    const isJson = json > (qvalue(accepted, ["text/html", "text/*"]) ?? 0); // "*/*" gets HTML
    const rows: string[] = [];
    for (const entry of listing.entries) {
      if (listings.isOver) await listings.rest();
      if (!isJson) rows.push(formatRow(entry));
      else if (entry.size !== null) rows.push(formatJson(entry));
    }
    const text = isJson
      ? `[\n${rows.join(",\n")}\n]\n`
      : formatListing(segments, listing, order, rows);
    const content = await hashContent(encoder.encode(text));
    const fields: Field[] = [["Vary", "Accept"]];
    if (!isJson) fields.push(["Content-Security-Policy", LISTING_POLICY]);
    const type = isJson ? "application/json" : "text/html; charset=utf-8";
    return { ...content, type, fields, basis: { sources: [], version: content.etag } };
  });
}

/**
 * Reads the entries that the service would serve; null if the folder is not inside the root. Lists
 * the resolved path and checks it again afterwards, so that a link swapped in between shows nothing.
 */
async function readListing(segments: readonly string[], service: Service): Promise<Listing | null> {
  for (let tries = 3; tries > 0; tries--) {
    const real = resolveInside(segments, service);
    if (real === null) return null;
    const state = () => orNull(() => Deno.statSync(join(service.root, real)));
    const before = state();
    if (!before?.isDirectory) continue;
    const listing = await readEntries(real, service).catch(nullIfMissing);
    const after = state();
    const isInside = resolveInside(real, service)?.join("/") === real.join("/");
    if (isInside && after?.isDirectory && isSame(before, after)) return listing;
  }
  return null;
}

async function readEntries(segments: readonly string[], service: Service): Promise<Listing> {
  const folders: string[] = [];
  const files: string[] = [];
  for await (const entry of Deno.readDir(join(service.root, segments))) {
    if (service.listings.isOver) await service.listings.rest();
    if (isHidden([...segments, entry.name], service)) continue;
    (isFolder(entry, segments, service) ? folders : files).push(entry.name);
  }
  // All names are sorted by their octets, which is cheap. Only those that are shown get a key.
  const all = [...folders.sort(), ...files.sort()];
  const entries: Entry[] = [];
  for (const name of all.slice(0, MAX_LISTED)) {
    if (service.listings.isOver) await service.listings.rest();
    const entry = describeEntry(name, segments, service);
    if (entry !== null) entries.push(entry);
  }
  return { entries, more: Math.max(all.length - MAX_LISTED, 0) };
}

function isFolder(entry: Deno.DirEntry, segments: readonly string[], service: Service): boolean {
  if (!entry.isSymlink) return entry.isDirectory;
  return describeEntry(entry.name, segments, service)?.isFolder ?? false;
}

/** Describes an entry; null for a broken link, a link that leads out, a FIFO. */
function describeEntry(name: string, segments: readonly string[], service: Service): Entry | null {
  const path = [...segments, name];
  const key = sortKey(name);
  try {
    const link = Deno.lstatSync(join(service.root, path));
    if (link.isSymlink && resolveInside(path, service) === null) return null;
    const info = link.isSymlink ? Deno.statSync(join(service.root, path)) : link;
    const { isFile, isDirectory, size, mtime } = info;
    if (!isFile && !isDirectory) return null;
    return { name, isFolder: isDirectory, size, modified: mtime, key };
  } catch {
    const isUnreadable = name.includes("\ufffd"); // not UTF-8, otherwise it would open
    return isUnreadable ? { name, isFolder: false, size: null, modified: null, key } : null;
  }
}

/** Makes a key that sorts names without case and accents, and numbers by their value. */
function sortKey(name: string): string {
  const letters = name.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
  return letters.replace(/\d+/g, (digits) => {
    const number = digits.replace(/^0+/, "");
    return `0${String(number.length).padStart(3, "0")}${number}`;
  });
}

/** The columns of a listing, by the names of `?sort=`. */
const COLUMNS = { name: "Name", size: "Size", modified: "Modified" } as const;

/** Order of a listing. */
interface Order {
  sort: keyof typeof COLUMNS;
  isDescending: boolean;
}

/** Sorts a listing by a query such as `?sort=size&desc`. Folders come first in any order. */
function sortListing({ entries }: Listing, query: string): Order {
  const parameters = new URLSearchParams(query);
  const column = parameters.get("sort");
  const sort = column === "size" || column === "modified" ? column : "name";
  const isDescending = parameters.has("desc");
  const sign = isDescending ? -1 : 1;
  const number = ({ isFolder, size, modified }: Entry) =>
    sort === "modified" ? modified?.getTime() ?? 0 : isFolder ? 0 : size ?? 0;
  const byNumber = (a: Entry, b: Entry) => sort === "name" ? 0 : number(a) - number(b);
  const compare = (a: string, b: string) => Number(a > b) - Number(a < b);
  const byName = (a: Entry, b: Entry) => compare(a.key, b.key) || compare(a.name, b.name);
  entries.sort((a, b) =>
    Number(b.isFolder) - Number(a.isFolder) || sign * (byNumber(a, b) || byName(a, b))
  );
  return { sort, isDescending };
}

function formatJson({ name, isFolder, size, modified }: Entry): string {
  const type = isFolder ? "directory" : "file";
  return JSON.stringify({ name, type, size: isFolder ? undefined : size, modified });
}

/** Allows no script and nothing from other hosts, because the file names are not trusted. */
const LISTING_POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";

const LISTING_STYLE =
  `:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif;--dim:#595959}
@media(prefers-color-scheme:dark){:root{--dim:#b3b3b3}}
body{max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.25rem;font-weight:600;overflow-wrap:break-word}
table{border-collapse:collapse;width:100%}
tr{position:relative;border-bottom:1px solid #8884}
tbody tr:hover{background:#8882}
td,th{padding:.4rem .5rem;text-align:left;font-weight:inherit;vertical-align:top}
td:first-child{overflow-wrap:anywhere}
td+td,th+th{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
td+td,p{color:var(--dim)}
a{text-decoration:none}a:hover,a:focus-visible{text-decoration:underline}
td a::after{content:"";position:absolute;inset:0}
@media(max-width:40rem){tr{display:flex;flex-wrap:wrap}td:first-child{box-sizing:border-box;flex:0 0 100%;padding-bottom:0}
td+td{padding-top:0;font-size:.875rem}td+td:empty{display:none}}`;

/** Formats a listing as a page. */
function formatListing(
  segments: readonly string[],
  { entries, more }: Listing,
  order: Order,
  rows: readonly string[],
): string {
  const title = escapeHtml(escapeText(`/${segments.map((name) => `${name}/`).join("")}`));
  const folders = entries.filter(({ isFolder }) => isFolder).length;
  const counts = `${plural(folders, "folder")}, ${plural(entries.length - folders, "file")}`;
  const up = segments.length > 0 ? '<tr><td><a href="../">../</a><td><td>\n' : "";
  return `<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>${title}</title>
<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">
<style>${LISTING_STYLE}</style>
<h1>${formatPath(segments)}</h1>
<table><thead><tr>${formatColumns(order)}<tbody>
${up}${rows.join("")}</table>
<p>${counts}${more > 0 ? `, and ${more} more, not shown` : ""}. Times are UTC.
`;
}

/** Formats the path of a folder, each folder above a link; relative, for a proxy with a prefix. */
function formatPath(segments: readonly string[]): string {
  const names = ["", ...segments].map((name) => `${escapeHtml(escapeText(name))}/`);
  return names.map((name, at) => {
    const levels = segments.length - at;
    return levels === 0 ? name : `<a href="${"../".repeat(levels)}">${name}</a>`;
  }).join("<wbr>");
}

/** Formats the head of the table: links that sort by a column or reverse the order. */
function formatColumns({ sort, isDescending }: Order): string {
  return Object.entries(COLUMNS).map(([name, title]) => {
    if (name !== sort) return `<th><a href="?sort=${name}">${title}</a>`;
    const [state, arrow] = isDescending ? ["descending", "↓"] : ["ascending", "↑"];
    const reverse = isDescending ? "" : "&amp;desc";
    return `<th aria-sort="${state}"><a href="?sort=${name}${reverse}">${title} ${arrow}</a>`;
  }).join("");
}

function formatRow({ name, isFolder, size, modified }: Entry): string {
  const slash = isFolder ? "/" : "";
  // "./", because a name with a colon would pass for a scheme (RFC 3986 §4.2)
  const link = `./${encodeSegment(name.toWellFormed())}${slash}`;
  const time = modified?.toISOString().slice(0, 16).replace("T", " ") ?? "";
  const text = `${escapeHtml(escapeText(name))}${slash}`;
  const shown = size === null ? text : `<a href="${link}">${text}</a>`;
  const amount = isFolder || size === null ? "" : formatOctets(size);
  return `<tr><td>${shown}<td>${amount}<td>${time}\n`;
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}

// ---- Engine: preconditions and ranges ------------------------------------

/** Responds to GET or HEAD: with all of a representation, with ranges of it, or with 304 or 412. */
function respondTo({ method, fields }: HttpRequest, found: Representation): HttpResponse {
  const { size, file, etag, fields: own } = found;
  const status = evaluatePreconditions(fields, found);
  if (status === 412) return { ...errorResponse(412), file };
  if (status === 304) {
    const vary = own.filter(([name]) => name === "Vary"); // a 304 repeats it (RFC 9110 §15.4.5)
    return { status: 304, fields: [["ETag", etag], ...vary], content: [], file };
  }
  const all = fullResponse(found);
  // RFC 9110 §14.2: Range is ignored for other methods, and here for listings.
  if (method !== "GET" || !own.some(([name]) => name === "Accept-Ranges")) return all;
  const ranges = rangeApplies(fields, found) ? parseRange(fields.get("Range"), size) : null;
  if (ranges === null) return all;
  const [range, ...others] = ranges;
  if (range === undefined) {
    return { ...errorResponse(416, [["Content-Range", `bytes */${size}`]]), file };
  }
  if (others.length > 0) return multipart(ranges, found);
  const place: Field = ["Content-Range", contentRange(range, size)];
  return { status: 206, fields: [...all.fields, place], content: [bodyPart(found, range)], file };
}

/** Makes a 200 response with all of a representation. */
function fullResponse(found: Representation): HttpResponse {
  const { type, etag, modified, file, size } = found;
  const fields: Field[] = [["Content-Type", type], ["ETag", etag], ...found.fields];
  if (modified !== undefined) {
    fields.push(["Last-Modified", new Date(modified * 1_000).toUTCString()]);
  }
  const content = size === 0 ? [] : [bodyPart(found, { first: 0, last: size - 1 })];
  return { status: 200, fields, content, file };
}

/** Evaluates the preconditions by the steps of RFC 9110 §13.2.2; step 5, If-Range, comes later. */
function evaluatePreconditions(fields: Fields, { etag, modified }: Representation) {
  const ifMatch = fields.get("If-Match");
  const ifNoneMatch = fields.get("If-None-Match");
  const unmodifiedSince = parseDate(fields.get("If-Unmodified-Since"));
  const modifiedSince = parseDate(fields.get("If-Modified-Since"));
  const isNewerThan = (date: number) => modified !== undefined && modified > date;
  if (ifMatch !== undefined) { // step 1
    if (!matches(ifMatch, etag, "strong")) return 412;
  } else if (unmodifiedSince !== null && isNewerThan(unmodifiedSince)) return 412; // step 2
  if (ifNoneMatch !== undefined) return matches(ifNoneMatch, etag, "weak") ? 304 : 200; // step 3
  if (modified === undefined || modifiedSince === null) return 200;
  return isNewerThan(modifiedSince) ? 200 : 304; // step 4
}

/** True if `*` or an entity-tag of a list matches (RFC 9110 §8.8.3.2). */
function matches(list: string, etag: string, comparison: "strong" | "weak"): boolean {
  const members = list.match(/(?:[^",]|"[^"]*")+/g)?.map(trimOws) ?? [];
  if (members.includes("*")) return true;
  if (comparison === "strong") return !etag.startsWith("W/") && members.includes(etag);
  const opaque = etag.replace(/^W\//, "");
  return members.includes(opaque) || members.includes(`W/${opaque}`);
}

/** True if there is no If-Range, or it has the current validator (RFC 9110 §13.1.5). */
function rangeApplies(fields: Fields, { etag, modified }: Representation): boolean {
  const validator = fields.get("If-Range");
  if (validator === undefined) return true;
  if (validator === etag) return !etag.startsWith("W/"); // a weak tag never selects a range
  const date = parseDate(validator);
  // A date is a weak validator within its own second (§8.8.2.2).
  return date !== null && date === modified && date < Math.floor(Date.now() / 1_000);
}

/** `HTTP-date = IMF-fixdate / rfc850-date / asctime-date` (RFC 9110 §5.6.7); 9 is a digit. */
const HTTP_DATE = new RegExp(
  "^(?:DAY, 99 MONTH 9999 TIME GMT|LONG, 99-MONTH-99 TIME GMT|(DAY MONTH [ \\d]9 TIME 9999))$"
    .replaceAll("TIME", "99:99:[0-5]9")
    .replaceAll("9", "\\d")
    .replaceAll("DAY", "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)")
    .replaceAll("LONG", "(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day")
    .replaceAll("MONTH", "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"),
);

/** Parses an HTTP-date: seconds since 1970, or null if it is invalid and to be ignored. */
export function parseDate(text = ""): number | null {
  const match = HTTP_DATE.exec(text);
  if (!match) return null;
  const [, asctime] = match; // asctime-date has no time zone
  const fullDate = text.replace(/-(\d\d) /, (_, year) => `-${fullYear(Number(year))} `);
  const time = Date.parse(asctime ? `${text} GMT` : fullDate);
  return Number.isNaN(time) ? null : time / 1_000;
}

/** Returns the year of two digits: the last one that is not more than 50 years in the future. */
function fullYear(digits: number): number {
  const latest = new Date().getUTCFullYear() + 50;
  return latest - (latest - digits) % 100;
}

/**
 * Parses `Range = "bytes=" 1#( int-range / suffix-range )` (RFC 9110 §14.1.2, §14.2).
 *
 * @returns The satisfiable ranges in their order; null if the field is to be ignored, because it
 * is malformed, has another unit, or is abusive.
 */
function parseRange(field: string | undefined, size: number): ByteRange[] | null {
  const [, list] = /^bytes=(.*)$/i.exec(field ?? "") ?? [];
  const specs = listMembers(list ?? "").filter((spec) => spec !== "");
  if (specs.length === 0 || specs.length > MAX_RANGES || size === 0) return null;
  const ranges: ByteRange[] = [];
  for (const spec of specs) {
    const [, from, to = "", suffix] = /^(?:(\d+)-(\d*)|-(\d+))$/.exec(spec) ?? [];
    if (from === undefined && suffix === undefined) return null;
    if (to !== "" && Number(to) < Number(from)) return null;
    const first = Math.max(suffix === undefined ? Number(from) : size - Number(suffix), 0);
    const last = Math.min(to === "" ? Infinity : Number(to), size - 1);
    if (first <= last) ranges.push({ first, last });
  }
  return isAbusive(ranges, size) ? null : ranges;
}

/** True if ranges overlap often, or ask for more than there is (RFC 9110 §17.15). */
function isAbusive(ranges: readonly ByteRange[], size: number): boolean {
  const overlaps = ranges.flatMap((a, at) =>
    ranges.slice(at + 1).filter((b) => a.first <= b.last && b.first <= a.last)
  );
  return lengthOf(ranges) > size || overlaps.length > MAX_OVERLAPS;
}

/** Returns the length of parts together (octets). */
function lengthOf(parts: readonly BodyPart[]): number {
  const length = (part: BodyPart) =>
    part instanceof Uint8Array ? part.length : part.last - part.first + 1;
  return parts.reduce((sum, part) => sum + length(part), 0);
}

function bodyPart({ octets }: Representation, range: ByteRange): BodyPart {
  return octets ? octets.subarray(range.first, range.last + 1) : range;
}

function contentRange({ first, last }: ByteRange, size: number): string {
  return `bytes ${first}-${last}/${size}`;
}

/** Makes a 206 response with several ranges, as multipart/byteranges (RFC 9110 §14.6). */
function multipart(ranges: readonly ByteRange[], found: Representation): HttpResponse {
  const boundary = crypto.randomUUID();
  const type = `multipart/byteranges; boundary=${boundary}`;
  const { fields, file } = fullResponse({ ...found, type });
  const parts = ranges.flatMap((range) => [
    encoder.encode(
      `\r\n--${boundary}\r\nContent-Type: ${found.type}\r\n` +
        `Content-Range: ${contentRange(range, found.size)}\r\n\r\n`,
    ),
    bodyPart(found, range),
  ]);
  const end = encoder.encode(`\r\n--${boundary}--\r\n`);
  return { status: 206, fields, content: [...parts, end], file };
}

/** Makes an error response: one line of text with the status, and no details of this machine. */
function errorResponse(reason: number | HttpError, more: Field[] = []): HttpResponse {
  const error = typeof reason === "number" ? new HttpError(reason, more) : reason;
  const type: Field = ["Content-Type", "text/plain; charset=utf-8"];
  const content = [encoder.encode(`${error.message}${error.advice}\n`)];
  return { status: error.status, fields: [type, ...error.fields], content };
}

// ---- Engine: the response ------------------------------------------------

/**
 * Encodes the status line, the fields and the content that is in memory.
 *
 * @param request The request, or only its line if it is malformed.
 * @param isBodyRead True if the body was read to its end, so that the connection can go on.
 */
function encodeResponse(
  response: HttpResponse,
  request: HttpRequest | { line: string },
  isBodyRead: boolean,
  service: Service,
): EncodedResponse {
  const { status, content, file, basis, chunks } = response;
  const parsed = "method" in request ? request : undefined;
  const isKeptAlive = isBodyRead && !chunks && parsed?.isKeptAlive === true &&
    !service.signal.aborted;
  const isLast = isBodyRead && parsed?.isKeptAlive === false; // the client sends nothing more
  const fields = fieldsOf(response, isKeptAlive, parsed?.isHttp10 ?? false, service);
  const statusLine = `HTTP/1.1 ${status} ${REASONS.get(status)}\r\n`;
  const head = fields.map(([name, value]) => `${name}: ${value}\r\n`).join("");

  const isHead = request.line.startsWith("HEAD "); // RFC 9110 §9.3.2: no content
  const due = isHead ? [] : content;
  const inMemory = due.filter((part) => part instanceof Uint8Array);
  const fromFile = inMemory.length < due.length ? file : undefined;
  if (!fromFile) file?.close();
  const parts = [encoder.encode(`${statusLine}${head}\r\n`), ...fromFile ? [] : inMemory];
  return {
    octets: concat(parts),
    content: lengthOf(parts.slice(1)),
    dateAt: head.startsWith("Date: ") ? `${statusLine}Date: `.length : -1,
    rest: fromFile ? () => readParts(fromFile, due, service) : isHead ? undefined : chunks,
    file: fromFile,
    isKeptAlive,
    basis,
    needsLingeringClose: !isLast || fromFile !== undefined,
    exchange: {
      line: hideToken(request.line, service),
      fields: parsed?.fields ?? new Fields(),
      status,
      due: lengthOf(due),
    },
  };
}

/** Returns the fields of a response. Fields of `--header` replace others of the same name. */
function fieldsOf(
  { status, fields, content, chunks, isPrivate = false }: HttpResponse,
  isKeptAlive: boolean,
  isHttp10: boolean,
  service: Service,
): Field[] {
  const own: Field[] = [
    ["Date", service.responses.date],
    ["Server", `http_server/${VERSION}`],
    ...fields,
  ];
  if (chunks) own.push(["Transfer-Encoding", "chunked"]);
  else if (status !== 204 && status !== 304) {
    own.push(["Content-Length", String(lengthOf(content))]);
  }
  if (!isKeptAlive) own.push(["Connection", "close"]);
  else if (isHttp10) own.push(["Connection", "keep-alive"]);
  // Clients never reuse a redirect or an error, however long they may reuse other responses.
  const cache = status < 307 || service.cache === "no-store" ? service.cache : undefined;
  own.push(["Cache-Control", isPrivate ? "no-store" : cache ?? "no-cache"]);
  own.push(["X-Content-Type-Options", "nosniff"]);
  if (isPrivate) return own;
  if (service.cors) {
    own.push(["Access-Control-Allow-Origin", "*"]);
    own.push(["Access-Control-Expose-Headers", "Content-Length, Content-Range, ETag"]);
  }
  const given = service.fields ?? [];
  const replaced = given.map(([name]) => name.toLowerCase());
  return [...own.filter(([name]) => !replaced.includes(name.toLowerCase())), ...given];
}

/**
 * Reads parts of a file block by block. A block is valid until the next one is requested. Never
 * reads more than was promised, even if the file has grown.
 *
 * Asynchronous reads are 10 % slower than synchronous ones but keep the event loop fair: without them
 * three fast readers made a small response take 145 ms instead of 2.
 *
 * @throws {Error} If the file has become shorter; the connection must end then.
 */
async function* readParts(file: SourceFile, parts: readonly BodyPart[], service: Service) {
  service.transfers++;
  try {
    const block = new Uint8Array(readSize(service.transfers));
    for (const part of parts) {
      if (part instanceof Uint8Array) {
        yield part;
        continue;
      }
      for (let { first, last } = part; first <= last;) {
        const wanted = Math.min(last - first + 1, block.length);
        const count = await file.read(block.subarray(0, wanted), first);
        if (count === 0) throw new Error("A file became shorter while it was sent");
        yield block.subarray(0, count);
        first += count;
      }
    }
  } finally {
    service.transfers--;
  }
}

/** Returns the size of the reads of one of many transfers (octets). */
function readSize(transfers: number): number {
  return Math.min(READ_SIZE, Math.max(MIN_READ_SIZE, Math.floor(MAX_READ_TOTAL / transfers)));
}

// ---- Engine: the wire in the browser -------------------------------------

/** Number of pages that may show the wire at once. */
const MAX_VIEWERS = 4;
/** Largest size of the events that wait for a page; more are lost (UTF-16 units). */
const MAX_VIEW_QUEUE = 262_144;

/** A page that shows the wire. */
interface Viewer {
  /** Events that are not yet sent. */
  queue: string;
  /** Number of header sections that did not fit. */
  lost: number;
  isClosed: boolean;
  /** Resolves when there is an event to send or the page was closed; then replaced. */
  wake: PromiseWithResolvers<void>;
}

/**
 * Shows the header lines of all connections in the browser: a page at `/.wire`, and Server-Sent
 * Events (HTML Standard §9.2) at `/.wire/events`. Both need the token of the printed URL.
 */
class WireView {
  readonly #viewers = new Set<Viewer>();
  /** Events for the request and response of the page itself, which it shows first. */
  #opening = "";

  constructor(readonly token: string) {}

  has(path: string): boolean {
    return /^\/\.wire(\/|$)/.test(path);
  }

  /** Sends the lines of a header section to every viewer, except those of the event streams. */
  show({ number, remote }: Connection, mark: "<" | ">", requestLine: string, lines: string[]) {
    const [, target = ""] = requestLine.split(" ");
    if (target.startsWith("/.wire/")) return;
    const isPage = target.startsWith("/.wire");
    if (this.#viewers.size === 0 && !isPage) return;
    const event = `data: ${JSON.stringify({ number, remote, mark, lines })}\n\n`;
    if (isPage) this.#opening = mark === "<" ? event : this.#opening + event;
    for (const viewer of this.#viewers) {
      if (viewer.queue.length + event.length > MAX_VIEW_QUEUE) viewer.lost++;
      else viewer.queue += event;
      viewer.wake.resolve();
    }
  }

  /** Answers a request for the page or its events. */
  async respond(request: HttpRequest, service: Service): Promise<HttpResponse> {
    const response = await this.#choose(request, service).catch((error) => {
      if (error instanceof HttpError) return errorResponse(error);
      throw error;
    });
    // A basis, because without one the response would be cached, and no viewer would see it.
    const basis = { path: request.path, sources: [], version: "wire" };
    return { ...response, isPrivate: true, basis };
  }

  async #choose(
    { method, path, query, fields, isHttp10 }: HttpRequest,
    service: Service,
  ): Promise<HttpResponse> {
    const allow: Field = ["Allow", ALLOWED_METHODS.join(", ")];
    if (!ALLOWED_METHODS.includes(method)) throw new HttpError(405, [allow]);
    if (method === "OPTIONS") return { status: 204, fields: [allow], content: [] };
    const isAllowed = await isEqual(query, `?token=${this.token}`);
    if (!isAllowed || isForeign(fields, service)) throw new HttpError(403);
    if (path === "/.wire") return await wirePage();
    if (path !== "/.wire/events") throw new HttpError(404);
    if (isHttp10) throw new HttpError(505); // RFC 9112 §6.1: HTTP/1.0 knows no chunks
    if (this.#viewers.size >= MAX_VIEWERS) throw new HttpError(503);
    const chunks: Chunks = (connection) => this.#events(connection, service);
    return {
      status: 200,
      fields: [["Content-Type", "text/event-stream"]],
      content: [],
      chunks,
    };
  }

  /** Makes the chunks of an event stream until the client closes the connection. */
  async *#events(connection: Connection, service: Service) {
    const { wire } = connection;
    const viewer: Viewer = {
      queue: this.#opening,
      lost: 0,
      isClosed: false,
      wake: Promise.withResolvers(),
    };
    this.#opening = "";
    this.#viewers.add(viewer);
    service.maxKey = 0;
    connection.state = "viewing";
    const close = () => {
      viewer.isClosed = true;
      viewer.wake.resolve();
      wire.close();
    };
    wire.fill().then(close, close); // a client has nothing to send here, so it closes
    try {
      while (!viewer.isClosed) {
        if (viewer.queue !== "") yield encodeChunk(takeEvents(viewer));
        wire.setDeadline(null);
        await viewer.wake.promise;
        viewer.wake = Promise.withResolvers();
      }
    } finally {
      this.#viewers.delete(viewer);
      if (this.#viewers.size === 0 && !service.trace) service.maxKey = MAX_KEY;
    }
  }
}

/** Returns the waiting events, with a note if some were lost, and empties the queue. */
function takeEvents(viewer: Viewer): string {
  const note = viewer.lost > 0 ? `data: ${JSON.stringify({ lost: viewer.lost })}\n\n` : "";
  const events = viewer.queue + note;
  viewer.queue = "";
  viewer.lost = 0;
  return events;
}

/** Encodes a chunk, RFC 9112 §7.1. */
function encodeChunk(text: string): Uint8Array<ArrayBuffer> {
  const octets = encoder.encode(text);
  return concat([
    encoder.encode(`${octets.length.toString(16)}\r\n`),
    octets,
    encoder.encode("\r\n"),
  ]);
}

/** Returns true if a page of another origin made the request (Fetch Metadata; RFC 6454 §7). */
function isForeign(fields: Fields, { secure = false }: Service): boolean {
  const service = fields.get("Sec-Fetch-Site") ?? "none";
  const own = `${secure ? "https" : "http"}://${fields.get("Host")}`;
  return !["none", "same-origin"].includes(service) || (fields.get("Origin") ?? own) !== own;
}

const WIRE_STYLE = `:root{color-scheme:light dark;font:15px/1.5 ui-monospace,monospace;
--line:#8884;--request:light-dark(#0b6b2b,#7ee08f);--response:light-dark(#00579b,#79c0ff);
--note:light-dark(#7a5200,#e3b341);--muted:light-dark(#5b6068,#9aa2ad)}
body{max-width:64rem;margin:0 auto;padding:0 1rem 4rem}
header{position:sticky;top:0;z-index:1;display:flex;flex-wrap:wrap;gap:.25rem 1.5rem;align-items:baseline;
padding:1rem 0 .75rem;background:Canvas;border-bottom:1px solid var(--line)}
h1{font:600 1.25rem/1.5 system-ui,sans-serif;margin:0}
p{margin:0;color:var(--muted);font-family:system-ui,sans-serif}
output{margin-left:auto;color:var(--muted)}button{font:inherit}
ol{list-style:none;margin:0;padding:0}
li{padding:.6rem 0 .6rem 4.5rem;border-bottom:1px solid var(--line);position:relative}
li>b{position:absolute;left:0;font-weight:400;color:var(--muted)}
li>div{white-space:pre-wrap;overflow-wrap:anywhere;padding-left:2ch;text-indent:-2ch}
.request{color:var(--request)}.response{color:var(--response)}.note{color:var(--note)}
li>div:first-of-type{font-weight:600}
@media(max-width:40rem){li{padding-left:0}li>b{position:static}}`;

const WIRE_SCRIPT = `const list = document.querySelector("ol");
const state = document.querySelector("output");
const kinds = { "<": "request", ">": "response", "*": "note" };
let source;
function show({ number, remote, mark = "*", lines, lost }) {
  const atEnd = innerHeight + scrollY >= document.body.scrollHeight - 40;
  const item = document.createElement("li");
  const tag = item.appendChild(document.createElement("b"));
  tag.textContent = number ? "#" + number : "";
  tag.title = remote ?? "";
  for (const line of lines ?? [lost + " header sections are not shown: too many at once"]) {
    const row = item.appendChild(document.createElement("div"));
    row.className = kinds[mark];
    row.textContent = mark + " " + line;
  }
  list.append(item);
  while (list.children.length > 1000) list.firstChild.remove();
  if (atEnd) scrollTo(0, document.body.scrollHeight);
}
function open() {
  source = new EventSource("/.wire/events" + location.search);
  source.onopen = () => state.value = "live";
  source.onmessage = ({ data }) => show(JSON.parse(data));
  source.onerror = () => state.value = source.readyState === 2 ? "refused: reload" : "waiting for the server";
}
function close() {
  source?.close();
  state.value = "paused while hidden";
}
document.addEventListener("visibilitychange", () => document.hidden ? close() : open());
document.querySelector("button").onclick = () => list.replaceChildren();
if (!document.hidden) open();`;

/** Makes the page. Its policy allows its own script, style and events, and nothing else. */
async function wirePage(): Promise<HttpResponse> {
  const hash = async (text: string) => {
    const digest = await crypto.subtle.digest("SHA-256", encoder.encode(text));
    return `'sha256-${new Uint8Array(digest).toBase64()}'`;
  };
  const policy = [
    "default-src 'none'",
    `script-src ${await hash(WIRE_SCRIPT)}`,
    `style-src ${await hash(WIRE_STYLE)}`,
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  ].join("; ");
  const page = `<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>The wire</title>
<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">
<style>${WIRE_STYLE}</style>
<header><h1>The wire</h1>
<p><span class="request">&lt; client</span> <span class="response">&gt; server</span></p>
<output>connecting</output><button>Clear</button></header>
<ol></ol>
<script>${WIRE_SCRIPT}</script>
`;
  const fields: Field[] = [
    ["Content-Type", "text/html; charset=utf-8"],
    ["Content-Security-Policy", policy],
    ["Referrer-Policy", "no-referrer"],
    ["Cross-Origin-Opener-Policy", "same-origin"],
    ["Cross-Origin-Resource-Policy", "same-origin"],
  ];
  return { status: 200, fields, content: [encoder.encode(page)] };
}

// ---- Command line: options -----------------------------------------------

const DEFAULT_PORT = 8_000;
/** Last port that is tried when the default one is in use. */
const LAST_PORT = 8_019;
/** Number of free ports that are tried with port 0: one must be free on every address. */
const FREE_PORT_TRIES = 5;

/** The table of options. */
export const OPTIONS = {
  port: option(
    "-p, --port N",
    "listen on this port; 0 takes any free one " +
      `(default: ${DEFAULT_PORT}, or the next free one up to ${LAST_PORT})`,
    wholeNumber(0, 65_535),
  ),
  bind: option(
    "-b, --bind, --host ADDR",
    "listen on this address (default: 127.0.0.1 and ::1, this machine only)",
    nonEmpty,
  ),
  lan: flag("--lan", "listen on every address, IPv4 and IPv6"),
  threads: option("-t, --threads N", "Workers that share the port", wholeNumber(1, 256), "1"),
  spa: flag("-s, --spa", "serve /index.html for pages that name nothing"),
  cache: option(
    "-c, --cache SECONDS",
    "time for which clients may reuse a response; -1 is no-store " +
      "(default: no-cache, which asks each time)",
    readCacheControl,
  ),
  fields: list("-H, --header 'N: V'", "add a field to every response; repeatable", readField),
  cors: flag("-C, --cors", "let pages of other origins read everything"),
  listing: negatable("--no-listing", "404 for a folder without index.html", true),
  dotfiles: flag("--dotfiles", "serve and list names that begin with a dot"),
  cert: option("--cert FILE", "HTTPS with this certificate (PEM); needs --key", nonEmpty),
  key: option("--key FILE", "private key of the certificate (PEM)", nonEmpty),
  auth: option(
    "--auth USER:PASSWORD",
    "Basic authentication for everything; @FILE reads it from a file",
    readCredentials,
    undefined,
    { isSecret: true },
  ),
  log: option(
    "--log FORMAT",
    "access log: short, combined, json or off",
    oneOf("short", "combined", "json", "off"),
    "short",
  ),
  allowHosts: list(
    "--allow-host NAME",
    "answer to this host name as well, '*' to all; repeatable",
    readHostName,
  ),
  maxConnections: option(
    "--max-connections N",
    "connections served at once; a new one replaces the longest idle one, or waits",
    wholeNumber(1, 1_000_000),
    String(MAX_CONNECTIONS),
  ),
  idle: option(
    "--idle SECONDS",
    "time after which an idle connection is closed",
    seconds(0.1, 86_400),
    String(TIMEOUTS.idle / 1_000),
  ),
  wire: flag("--wire", "show the header lines of all connections live at /.wire"),
  quiet: flag("-q, --quiet", "the same as --log off"),
  verbose: flag("-v, --verbose", "show every header on standard error"),
};

const COMMAND: Command<typeof OPTIONS> = {
  name: "http_server",
  summary: "Serves the files of one folder, or one file, over HTTP/1.1.",
  usage: ["[options] [folder|file]     (default: the current folder)"],
  options: OPTIONS,
  example: "deno run --allow-net --allow-read=. http_server.ts -p 8080 ./public",
  exitStatuses: "0 stopped by a signal, 1 cannot start, 2 usage",
};

type OptionValues = Values<typeof OPTIONS>;

/** Reads a number of seconds; the value is that of Cache-Control. */
function readCacheControl(text: string): string {
  const age = readNumber(text, { min: -1, max: 2 ** 31, isWhole: true });
  return age < 0 ? "no-store" : `public, max-age=${age}`;
}

/** Reads a field that the user adds. Refuses the fields that frame messages. */
function readField(line: string): Field {
  const fields = new Fields();
  try {
    fields.appendLine(line);
  } catch (error) {
    throw new UsageError(`expected "Name: value"; ${reasonOf(error)}`);
  }
  const [[name, value] = ["", ""]] = fields;
  if (/^(content-length|transfer-encoding|connection|keep-alive|trailer|te|upgrade)$/i.test(name)) {
    throw new UsageError(`expected a field other than ${name}, which frames messages`);
  }
  return [name, value];
}

function readCredentials(text: string): string {
  if (!/^@.|:/s.test(text)) throw new UsageError("expected USER:PASSWORD or @FILE");
  return text;
}

/** Reads a host name or `*`. Returns the same form as {@linkcode parseAuthority}. */
function readHostName(text: string): string {
  const [, host, port] = AUTHORITY.exec(text) ?? [];
  if (host === undefined || port !== undefined) {
    throw new UsageError("expected a host name, without a port");
  }
  return host.toLowerCase().replace(/\.$/, "");
}

/** Refuses operands and options that have no meaning together. */
function checkCommandLine(line: CommandLine<typeof OPTIONS>): void {
  const [, second] = line.operands;
  if (second !== undefined) {
    throw new UsageError(`Cannot serve ${quoteForMessage(second)} as well: expected one operand`);
  }
  requireWith(line, "cert", "key", OPTIONS);
  requireWith(line, "key", "cert", OPTIONS);
  refuseTogether(line, "lan", "bind");
  // The page shows what all clients send, so other machines must not reach it.
  for (const name of ["lan", "allowHosts", "threads"] as const) refuseTogether(line, "wire", name);
}

// ---- Command line: the log -----------------------------------------------

/** Format of a line of the access log. */
export type LogFormat = "short" | "combined" | "json";

/** Formats an exchange as a line of the log, and escapes what the client sent. */
export function formatExchange(exchange: Exchange, format: LogFormat, now = new Date()): string {
  const { remote, line, fields, status, sent, due, cut, ms } = exchange;
  const [method = "", target = ""] = line.split(" ");
  const [referer = "", agent = ""] = [fields.get("Referer"), fields.get("User-Agent")];
  const user = status === 401 ? "" : userOf(fields.get("Authorization"));
  if (format === "json") {
    const texts = { method, target, user, referer, agent };
    const shown = Object.entries(texts).map(([name, text]) => [name, printable(text)]);
    const time = now.toISOString();
    const escaped = Object.fromEntries(shown);
    return JSON.stringify({ time, remote, ...escaped, status, sent, due, cut, ms });
  }
  if (format === "combined") {
    const quoted = (text: string) => `"${escapeQuoted(text) || "-"}"`;
    const [, day, month, year, time] = now.toUTCString().split(" ");
    const who = `${remote} - ${escapeQuoted(user).replaceAll(" ", "\\x20") || "-"}`;
    const when = `[${day}/${month}/${year}:${time} +0000]`;
    return `${who} ${when} ${quoted(line)} ${status} ${sent} ${quoted(referer)} ${quoted(agent)}`;
  }
  const range = status === 206 ? fields.get("Range")?.replace(/^bytes=/i, "  ") ?? "" : "";
  const end = sent < due ? `  ${cut} at ${formatOctets(sent)} of ${formatOctets(due)}` : "";
  const what = escapeQuoted(target || line) + escapeQuoted(range) + end;
  const amount = due === 0 ? "–" : formatOctets(sent);
  const columns = [
    `${now.toTimeString().slice(0, 8)}  ${status}${sent < due ? "!" : " "}`,
    printable(method).slice(0, 8).padEnd(5),
    what.padEnd(34),
    amount.padStart(9),
    `${ms.toFixed(0).padStart(5)} ms  ${remote}`,
  ];
  return columns.join(" ");
}

function userOf(authorization = ""): string {
  try {
    return atob(authorization.replace(/^basic +/i, "")).split(":")[0] ?? "";
  } catch {
    return ""; // another scheme
  }
}

/** Escapes a text that stands between quotes, as the logs of Apache and nginx do. */
function escapeQuoted(text: string): string {
  return printable(text.replace(/["\\]/g, "\\$&"));
}

// ---- Command line: listeners ---------------------------------------------

/** An address to listen on, and the certificate to use. */
interface ListenAddress {
  hostname: string;
  port: number;
  tls: { cert: string; key: string } | undefined;
}

/**
 * Opens listeners, all on the port that the first one gets. One address of several may be missing:
 * see {@linkcode isDispensable}.
 */
function listenAll(addresses: readonly ListenAddress[], reusePort: boolean): Listener[] {
  const listeners: Listener[] = [];
  let fault: unknown;
  for (const { hostname, port, tls } of addresses) {
    const [first] = listeners;
    try {
      const address = { hostname, port: first?.addr.port ?? port, reusePort };
      listeners.push(tls ? Deno.listenTls({ ...address, ...tls }) : Deno.listen(address));
    } catch (error) {
      fault = error;
      if (isDispensable(error, first)) continue;
      for (const listener of listeners) listener.close();
      throw error;
    }
  }
  if (listeners.length === 0) throw fault;
  return listeners;
}

/** True if an address may be missing: there is no IPv6, or `::` has taken IPv4 as well. */
function isDispensable(error: unknown, first: Listener | undefined): boolean {
  const { AddrInUse, PermissionDenied, NotCapable } = Deno.errors;
  if (error instanceof AddrInUse) return first?.addr.hostname === "::";
  return !(error instanceof PermissionDenied || error instanceof NotCapable);
}

/** Opens the listeners that the options ask for. */
function openListeners(options: OptionValues, tls: ListenAddress["tls"]): Listener[] {
  const { bind, lan, threads } = options;
  const hostnames = lan ? ["::", "0.0.0.0"] : bind === undefined ? ["127.0.0.1", "::1"] : [bind];
  let fault: unknown;
  for (const port of portsToTry(options.port)) {
    try {
      const listeners = listenAll(hostnames.map((hostname) => ({ hostname, port, tls })), false);
      if (threads === 1) return listeners;
      // Binds without reusePort first; otherwise two programs could share a port unnoticed.
      const addresses = listeners.map(({ addr }) => ({ ...addr, tls }));
      for (const listener of listeners) listener.close();
      return listenAll(addresses, true);
    } catch (error) {
      fault = describeListenError(error, port, bind);
      if (!(error instanceof Deno.errors.AddrInUse)) break;
    }
  }
  throw fault;
}

function portsToTry(port: number | undefined): number[] {
  if (port === 0) return Array(FREE_PORT_TRIES).fill(0);
  if (port !== undefined) return [port];
  return Array.from({ length: LAST_PORT - DEFAULT_PORT + 1 }, (_, at) => DEFAULT_PORT + at);
}

/** Translates an error of listening: the reason and a remedy. */
function describeListenError(error: unknown, port: number, bind = ""): unknown {
  const { AddrInUse, PermissionDenied, AddrNotAvailable } = Deno.errors;
  if (error instanceof AddrInUse) {
    const remedy = `; try -p ${port < 65_535 ? port + 1 : port - 1}, or -p 0 for any free port`;
    return new ExitError(1, `Cannot listen on port ${port}: it is already in use${remedy}`);
  }
  if (error instanceof PermissionDenied) {
    return new ExitError(1, `Cannot listen on port ${port}: permission denied; try -p 8080`);
  }
  if (error instanceof AddrNotAvailable || /lookup|host/.test(String(error))) {
    const where = quoteForMessage(bind);
    return new ExitError(1, `Cannot listen on ${where}: not an address of this machine; try --lan`);
  }
  const [, fault] = /: (.*\b(?:keys?|certificates?)\b.*)/.exec(String(error)) ?? [];
  if (fault !== undefined) {
    const remedy = fault.includes("No keys") ? "; it must be PEM, and not encrypted" : "";
    return new ExitError(1, `Cannot use --cert and --key: ${fault}${remedy}`);
  }
  return error;
}

// ---- Command line: settings and banner -----------------------------------

/**
 * Returns the operand as settings: a folder, or one file of a folder.
 *
 * @throws {ExitError} If there is no such folder or file, or it may not be read.
 */
function checkRoot(path: string): Pick<Settings, "root" | "only"> {
  const { NotFound, NotADirectory, PermissionDenied } = Deno.errors;
  let fault = "neither a folder nor a regular file";
  try {
    const { isDirectory, isFile } = Deno.statSync(path);
    if (isDirectory) {
      Deno.statSync(join(path, ["."])); // fails if the folder may not be entered
      return { root: path };
    }
    if (isFile) {
      Deno.openSync(path).close(); // fails if the file may not be read
      const real = Deno.realPathSync(path);
      const file = baseName(real);
      return { root: real.slice(0, -file.length), only: { file, names: [file, baseName(path)] } };
    }
  } catch (error) {
    const isMissing = error instanceof NotFound || error instanceof NotADirectory;
    if (!isMissing && !(error instanceof PermissionDenied)) throw error;
    fault = isMissing ? "no such folder or file" : "permission denied";
  }
  throw new ExitError(1, `Cannot serve ${quoteForMessage(path)}: ${fault}`);
}

function baseName(path: string): string {
  return path.split(SEPARATOR).at(-1) ?? path;
}

/** Returns the credentials of `--auth`, from its file if it names one. */
function loadCredentials(auth: string | undefined): string | undefined {
  if (!auth?.startsWith("@")) return auth;
  const path = auth.slice(1);
  const [credentials = ""] = readTextFile("--auth", path).split(/\r?\n/);
  if (credentials.includes(":")) return credentials;
  const name = quoteForMessage(path);
  throw new ExitError(1, `Cannot use --auth: ${name} does not begin with USER:PASSWORD`);
}

function readTextFile(option: string, path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    throw new ExitError(1, `Cannot read ${option} ${quoteForMessage(path)}: ${reasonOf(error)}`);
  }
}

/** Makes the settings of the service from the options. */
function settingsOf(options: OptionValues, root: string): Settings {
  const { spa, cache, fields, cors, listing, dotfiles, auth, cert, idle } = options;
  const served = checkRoot(root);
  return {
    ...served,
    spa,
    cache: cache ?? "no-cache",
    fields,
    cors,
    listing,
    dotfiles: dotfiles || served.only !== undefined,
    credentials: loadCredentials(auth),
    secure: cert !== undefined,
    maxConnections: Math.max(1, Math.floor(options.maxConnections / options.threads)),
    timeouts: { idle },
  };
}

/**
 * Returns the host names to serve in addition to those of loopback; undefined for all, if other
 * machines can connect. The listeners decide, because a name may resolve to loopback.
 */
function allowedHosts({ bind = "localhost", allowHosts }: OptionValues, listeners: Listener[]) {
  const isLocal = listeners.every(({ addr }) => /^(::ffff:)?127\.|^::1$/.test(addr.hostname));
  return isLocal ? [toHost(bind).toLowerCase(), ...allowHosts] : undefined;
}

/** Formats an address as the host of a URL (RFC 3986 §3.2.2). */
function toHost(address: string): string {
  return address.includes(":") ? `[${address.replace(/[[\]]/g, "")}]` : address;
}

/** Formats the first lines: what is served, and where. One line if they go to no terminal. */
function formatBanner(
  options: OptionValues,
  root: string,
  { hosts, wireToken }: Settings,
  port: number,
): string {
  const { lan, bind = "localhost", cert, dotfiles } = options;
  const url = (host: string) => `${cert === undefined ? "http" : "https"}://${host}:${port}/`;
  const isEverywhere = lan || /^(0\.0\.0\.0|\[?::\]?)$/.test(bind);
  const urls = (isEverywhere ? ["localhost", ...networkHosts()] : [toHost(bind)]).map(url);
  const hop = options.port === undefined && port !== DEFAULT_PORT
    ? `Port ${DEFAULT_PORT} is in use, so this is ${port}.\n`
    : "";
  const shown = escapeText(root);
  const wire = `${urls[0]}.wire?token=${wireToken}`;
  if (!Deno.stderr.isTerminal()) {
    return `${hop}http_server: serving ${shown} at ${urls.map(escapeText).join(" ")}\n` +
      (wireToken === undefined ? "" : `http_server: the wire is at ${wire}\n`);
  }
  const network = hosts === undefined
    ? [
      ...urls.slice(isEverywhere ? 1 : 0).map(cyan),
      "",
      `Anyone on this network can read ${shown}.`,
    ]
    : ["off. Add --lan to let other devices in."];
  return `${hop}${bold(`http_server ${VERSION}`)}  serving ${shown}

  Local    ${cyan(urls[0] ?? "")}
  Network  ${network.join("\n           ")}
${wireToken === undefined ? "" : `  Wire     ${cyan(wire)}\n`}
Dotfiles ${dotfiles ? "shown" : "hidden"}, links kept inside ${shown}. Ctrl-C stops.

`;
}

/** Makes a secret for the URL of the page that shows the wire (144 bits). */
function newToken(): string {
  return crypto.getRandomValues(new Uint8Array(18)).toBase64({ alphabet: "base64url" });
}

/** Returns the addresses of this machine, if Deno may already ask for them. */
function networkHosts(): string[] {
  const permission = { name: "sys", kind: "networkInterfaces" } as const;
  const { state } = Deno.permissions.querySync(permission);
  if (state !== "granted") return ["<address; --allow-sys shows it>"];
  const hosts = Deno.networkInterfaces()
    .filter(({ address }) => !/^(127\.|::1$|fe80)/.test(address))
    .map(({ address }) => toHost(address));
  return hosts.length > 0 ? hosts : ["<this machine's address>"];
}

// ---- Command line: threads and main --------------------------------------

/** Where the lines of a thread go; neither blocks the service. */
interface Output {
  /** Takes lines for standard output: the access log. */
  log: (lines: string) => void;
  /** Takes lines for standard error. */
  warn: (lines: string) => void;
}

/**
 * Opens standard output and standard error.
 *
 * @returns Where lines go, a signal that aborts when the reader of the log has closed it, and a
 * function that waits for the last lines.
 */
function openOutput() {
  const closed = new AbortController();
  const stderr = new LineWriter(Deno.stderr, { delay: 0 });
  const warn = (lines: string) => stderr.write(lines);
  const stdout = new LineWriter(Deno.stdout, {
    onClosed: () => closed.abort(),
    onLost: (reason) => warn(`http_server: Cannot write the log, lines are lost: ${reason}\n`),
  });
  const output: Output = { log: (lines) => stdout.write(lines), warn };
  const end = () => Promise.all([stdout, stderr].map((each) => each.end(LAST_OUTPUT_TIMEOUT)));
  return { output, closed: closed.signal, end };
}

/** The work of a thread. Plain data, so that it can be sent to a Worker. */
interface Job {
  settings: Settings;
  addresses: ListenAddress[];
  format: LogFormat | "off";
  verbose: boolean;
}

/** Returns the options of the engine for a thread. */
function serveOptions(job: Job, signal: AbortSignal, { log, warn }: Output): ServeOptions {
  const { settings, format, verbose } = job;
  return {
    ...settings,
    signal,
    log: format === "off" ? undefined : (exchange) => log(`${formatExchange(exchange, format)}\n`),
    trace: verbose ? (mark, text) => warn(`${formatTrace(mark, text)}\n`) : undefined,
    onError: (error) => warn(`http_server: ${escapeText(describeError(error) ?? `${error}`)}\n`),
    onDraining: (count) =>
      warn(`Finishing ${plural(count, "transfer")} (Ctrl-C again to quit now)...\n`),
  };
}

/**
 * Checks that Workers can run; otherwise they would fail with a message of the runtime.
 *
 * @throws {ExitError} Without the flag that lets Workers share a port.
 * @throws {Deno.errors.NotCapable} Without permission to read the folder of this file: each Worker
 * loads the file and what it imports.
 */
function requireWorkers(): void {
  if (typeof Deno.listenDatagram !== "function") { // it needs the same flag
    throw new ExitError(1, "Cannot share a port between threads: add --unstable-net");
  }
  const path = import.meta.dirname;
  if (path === undefined) return; // loaded from a URL
  if (Deno.permissions.querySync({ name: "read", path }).state === "granted") return;
  throw new Deno.errors.NotCapable(`Requires read access to "${path}"`);
}

/** A message from a Worker: lines of its output, or its summary at the end. */
type WorkerMessage = { [Name in keyof Output]?: string } & { summary?: Summary };

/** Serves in a Worker, on the same ports, until the signal aborts. */
async function serveInWorker(job: Job, signal: AbortSignal, output: Output): Promise<Summary> {
  const worker = new Worker(import.meta.url, { type: "module" });
  const { port1, port2 } = new MessageChannel();
  const { promise, resolve, reject } = Promise.withResolvers<Summary>();
  worker.onerror = (event) => {
    event.preventDefault();
    reject(new ExitError(1, event.message.replace(/^Uncaught \(in .*?\) (\w*Error: )?/, "")));
  };
  port1.onmessage = ({ data: { log, warn, summary } }: MessageEvent<WorkerMessage>) => {
    if (log !== undefined) output.log(log);
    if (warn !== undefined) output.warn(warn);
    if (summary !== undefined) resolve(summary);
  };
  worker.postMessage({ job, port: port2 }, [port2]);
  signal.addEventListener("abort", () => port1.postMessage("stop"));
  return await promise; // the Worker ends with the process
}

/** The main function of a Worker. */
async function workerMain({ job, port }: { job: Job; port: MessagePort }): Promise<void> {
  const stop = new AbortController();
  const post = (message: WorkerMessage) => port.postMessage(message);
  port.onmessage = () => stop.abort();
  const output = { log: (log: string) => post({ log }), warn: (warn: string) => post({ warn }) };
  const listeners = listenAll(job.addresses, true);
  post({ summary: await serve(listeners, serveOptions(job, stop.signal, output)) });
}

/**
 * Refuses `--wire` with an address that other machines can reach.
 *
 * @throws {UsageError} If a listener is not on loopback.
 */
function requireLoopback(line: CommandLine<typeof OPTIONS>, { hosts }: Settings): void {
  if (hosts !== undefined) return;
  const bind = `${line.spelling("bind")} ${quoteForMessage(line.options.bind ?? "")}`;
  throw new UsageError(`Cannot use --wire with ${bind}: expected a loopback address`);
}

async function main(line: CommandLine<typeof OPTIONS>): Promise<number> {
  checkCommandLine(line);
  const { options, operands: [root = "."] } = line;
  const { cert, key, threads, verbose } = options;
  const settings = settingsOf(options, root);
  if (options.wire) settings.wireToken = newToken();
  const tls = cert !== undefined && key !== undefined
    ? { cert: readTextFile("--cert", cert), key: readTextFile("--key", key) }
    : undefined;
  if (threads > 1) requireWorkers();
  const listeners = openListeners(options, tls);
  settings.hosts = allowedHosts(options, listeners);
  if (options.wire) requireLoopback(line, settings);
  const addresses = listeners.map(({ addr }) => ({ ...addr, tls }));
  const job: Job = { settings, addresses, format: options.quiet ? "off" : options.log, verbose };

  const { output, closed, end } = openOutput();
  output.warn(formatBanner(options, root, settings, addresses[0]?.port ?? 0));
  const begun = Date.now();
  const signal = AbortSignal.any([shutdownSignal(), closed]);
  const summaries = await Promise.all([
    serve(listeners, serveOptions(job, signal, output)),
    ...Array.from({ length: threads - 1 }, () => serveInWorker(job, signal, output)),
  ]);
  output.warn(formatSummary(summaries, Date.now() - begun));
  await end();
  return 0;
}

/** Formats the last line, after a service that ran for some milliseconds. */
export function formatSummary(summaries: readonly Summary[], ms: number): string {
  const total = (name: keyof Summary) => summaries.reduce((sum, each) => sum + each[name], 0);
  const time = formatDuration(Math.ceil(ms / 1_000) * 1_000, { ignoreZero: true });
  const requests = plural(total("requests"), "request");
  return `Stopped after ${time}: ${requests}, ${formatOctets(total("sent"))} sent.\n`;
}

// import.meta.main is true in a Worker as well.
if ("WorkerGlobalScope" in globalThis) {
  addEventListener("message", (event) => event instanceof MessageEvent && workerMain(event.data));
} else if (import.meta.main) await run(COMMAND, main);
