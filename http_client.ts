#!/usr/bin/env -S deno run --allow-net --allow-read --allow-write
/**
 * Fetches one URL over HTTP/1.1, on a bare TCP or TLS connection. A response counts as complete
 * only if its framing says so (RFC 9112 §8).
 *
 * ```sh
 * deno run --allow-net http_client.ts -i http://127.0.0.1:8000/hello.html
 * ```
 *
 * RFC 9112 defines the messages, RFC 9110 their meaning; options and exit statuses are curl's. Read
 * from the top: terms, numbers, then a download from its URL to its last octet. The command line
 * comes last.
 *
 * Left out: cookies, HTTP/2, and a second request on a connection. Each redirection gets its own
 * connection, so that no octets after a body can answer the next request.
 *
 * The engine is {@linkcode download}; {@linkcode readJob} makes its options from a command line:
 *
 * ```ts
 * import { assertEquals } from "jsr:@std/assert@^1.0.19";
 * import { parseCommandLine } from "./cli.ts";
 * import { COMMAND, download, emptyTransfer, readJob } from "./http_client.ts";
 *
 * using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
 * const serving = (async () => {
 *   using conn = await listener.accept();
 *   await conn.read(new Uint8Array(1_000));
 *   await conn.write(new TextEncoder().encode("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"));
 * })();
 *
 * let body = "";
 * const write = (octets: Uint8Array) => {
 *   body += new TextDecoder().decode(octets);
 *   return Promise.resolve(octets.length);
 * };
 * const stdout = { write, isTerminal: () => false };
 * const line = parseCommandLine(COMMAND, [`http://127.0.0.1:${listener.addr.port}/`]);
 * const { url, options } = await readJob(line);
 * const io = { stdout, note: () => {}, hint: () => {}, transfer: emptyTransfer() };
 * await download(url, options, io, new AbortController().signal);
 * assertEquals(body, "hi");
 * await serving;
 * ```
 *
 * @module
 */
import { promptSecret } from "jsr:@std/cli@^1.0.32/prompt-secret";
import { format as formatBytes } from "jsr:@std/fmt@^1.0.10/bytes";
import {
  type Command,
  type CommandLine,
  flag,
  formatTrace,
  list,
  negatable,
  nonEmpty,
  option,
  plural,
  quoteForMessage,
  type Reader,
  reasonOf,
  refuseTogether,
  requireWith,
  run,
  seconds,
  shutdownSignal,
  text,
  VERSION,
  wholeNumber,
} from "./cli.ts";
import {
  ClosedError,
  concat,
  DeadlineError,
  decodeUtf8,
  describeTlsFault,
  escapeText,
  ExitError,
  FIELD_VALUE,
  Fields,
  fromByteString,
  LimitError,
  listMembers,
  MalformedError,
  openTls,
  pause,
  printable,
  readTrust,
  showAddress,
  signalTimer,
  toByteString,
  TOKEN,
  type Trace,
  trimOws,
  type Trust,
  UsageError,
  Wire,
  WireError,
} from "./protocol.ts";

// ---- Terms -------------------------------------------------------------

/** A field line: name and value. */
export type Field = readonly [name: string, value: string];

/** Octets in memory. */
export type Octets = Uint8Array<ArrayBuffer>;

/** A URL, taken apart. */
interface Target {
  /** The URL without user, password and fragment. */
  readonly url: URL;
  /** User and password, `user:password`, one char per octet. */
  readonly userinfo: string | null;
  /** Zone of a link-local address (RFC 6874). */
  readonly zone: string;
}

/** A request. */
interface HttpRequest {
  readonly method: string;
  readonly target: Target;
  readonly fields: readonly Field[];
  /** `user:password`, for the origin of the target alone. */
  readonly credentials: string | null;
  readonly body: Octets | null;
  readonly upload: Upload | null;
}

/** The header of a final response. */
interface HttpResponse {
  readonly status: number;
  readonly reason: string;
  readonly fields: Fields;
  /** All lines as received, those of interim responses first. */
  readonly lines: string[];
}

/** End of a body (RFC 9112 §6.3): chunked, after N octets, or (Infinity) with the connection. */
type Framing = "chunked" | number;

/** An error after which another attempt is useless. */
class FinalError extends ExitError {}

/** A response after which another attempt may help. */
class RetryError extends ExitError {
  /** @param retryAfter Value of Retry-After (ms); null if there is none. */
  constructor(status: number, message: string, readonly retryAfter: number | null) {
    super(status, message);
  }
}

/** Addresses of one host and port, as `--resolve` gives them. */
export interface FixedAddresses {
  /** Host as it is in a URL, without brackets. */
  host: string;
  /** Port. */
  port: number;
  /** Addresses, without brackets. */
  addresses: readonly string[];
}

/** Body of a request that is sent piece by piece. */
export interface Upload {
  /** Name of the file, for a URL that ends in "/"; null for standard input. */
  readonly name: string | null;
  /** Size; null if it is not known. */
  readonly size: number | null;
  /** True if it was read and cannot be read again. */
  readonly isSpent: boolean;
  /** Reads it from its beginning. A piece is valid until the next one is read. */
  read(): AsyncIterable<Octets>;
}

/** An HTTP proxy. */
export interface HttpProxy {
  /** Host, without brackets. */
  host: string;
  /** Port. */
  port: number;
  /** Value of Proxy-Authorization; null for none. */
  authorization: string | null;
}

/** What a download asks for. Times are in milliseconds, sizes in octets. */
export interface DownloadOptions {
  /** Method of the request. */
  method: string;
  /** Fields of the request, in addition to the client's own or in their place. */
  fields: readonly Field[];
  /** Names of the client's own fields that are not sent, in lower case. */
  removed: readonly string[];
  /** Body of the request. */
  body: Octets | null;
  /** Body of the request that is sent piece by piece. */
  upload: Upload | null;
  /** Value of Content-Type if there is a body; null for none. */
  contentType: string | null;
  /** Value of Accept. */
  accept: string;
  /** Credentials for the origin of the URL: `user:password`, one char per octet. */
  user: string | null;
  /** Value of User-Agent. */
  agent: string;
  /** Range of octets: `0-99`, `100-` or `-100`. */
  range: string | null;
  /** True to follow redirections. */
  location: boolean;
  /** Number of redirections that are followed. */
  maxRedirects: number;
  /** True if the body of the response is not read (`-I`). */
  head: boolean;
  /** True to write the header before the body. */
  include: boolean;
  /** File to write; null for standard output, `-` for standard output even if binary. */
  output: string | null;
  /** True to name the file after the last segment of the URL. */
  remoteName: boolean;
  /** True to name the file after Content-Disposition. */
  remoteHeaderName: boolean;
  /** True to resume where the file ends. */
  resume: boolean;
  /** True to give the file the time of Last-Modified. */
  remoteTime: boolean;
  /** When a status of 400 and above is an error: before the body, after it, or never. */
  fail: "early" | "late" | "never";
  /** True to check no certificate. */
  insecure: boolean;
  /** Certificates to trust in addition to the default roots. */
  trust: Trust | null;
  /** True to ask for content codings and to decode them. */
  compressed: boolean;
  /** True to pass on a body of an unknown coding, with a note; otherwise it is exit 61. */
  passUnknown: boolean;
  /** Time for each attempt, all redirections together. */
  maxTime: number;
  /** Time for each connection: name, TCP and TLS. */
  connectTimeout: number;
  /** Largest body, decoded. */
  maxFilesize: number;
  /** Number of attempts after the first one. */
  retries: number;
  /** Address family; null for both. */
  family: 4 | 6 | null;
  /** Addresses that need no look-up. */
  resolve: readonly FixedAddresses[];
  /** Proxy that all requests go through; null for none. */
  proxy: HttpProxy | null;
  /** True to measure the look-up of the name apart from the connection. */
  timing: boolean;
  /** Timeouts and pauses. */
  times: DownloadTimes;
}

/** Timeouts and pauses of a download (ms). */
export interface DownloadTimes {
  /** Maximum time in which the server sends nothing, or accepts nothing. */
  readTimeout: number;
  /** Pause before the second attempt; each later one is twice as long. */
  firstPause: number;
  /** Maximum time to wait for an answer to `Expect: 100-continue`. */
  continueTimeout: number;
}

/** Receivers of the body and of the reports of a download. */
export interface DownloadIO {
  /** Receives the body if no file does. */
  readonly stdout: { write(octets: Uint8Array): Promise<number>; isTerminal(): boolean };
  /** Receives each line of the conversation. */
  readonly trace?: Trace | undefined;
  /** Receives the size of the body so far, and its total if that is known. */
  readonly progress?: ((size: number, total: number | null) => void) | undefined;
  /** Receives a note for the user. */
  note(line: string): void;
  /** Receives a note that is shown at a terminal only. */
  hint(line: string): void;
  /** Updated during the download, even if it fails. */
  readonly transfer: Transfer;
}

/** State of a download. */
export interface Transfer {
  /** Duration of each phase of each hop, over all attempts. */
  readonly hops: Times[];
  /** Time at which the last hop began (ms, of `performance.now()`). */
  hopStart: number;
  /** Status of the last response; 0 if there is none. */
  status: number;
  /** Number of octets of the body that were received, before decoding. */
  size: number;
  /** Number of redirections that were followed. */
  redirects: number;
  /** Value of Content-Type. */
  contentType: string;
  /** URL of the last request. */
  url: string;
  /** URL to which the last response redirects. */
  redirectUrl: string;
  /** Address of the last peer. */
  remoteIp: string;
  /** What a failed download leaves for `-C`. */
  kept: { path: string; size: number } | null;
}

/** Makes the record of a download that has not begun. */
export function emptyTransfer(): Transfer {
  const texts = { contentType: "", url: "", redirectUrl: "", remoteIp: "" };
  return { hops: [], hopStart: 0, status: 0, size: 0, redirects: 0, ...texts, kept: null };
}

/** Phases of a hop, in their order. */
export const PHASES = ["dns", "connect", "tls", "first-byte"] as const;

/** Duration of each phase of a hop (ms). */
export type Times = Record<typeof PHASES[number], number>;

/** What the hops of an attempt share. */
interface Attempt {
  readonly options: DownloadOptions;
  readonly io: DownloadIO;
  readonly output: Output;
  /** Aborts at Ctrl-C and at the end of `--max-time`. */
  readonly signal: AbortSignal;
  /** True if another attempt may follow. */
  readonly mayRetry: boolean;
  /** Header lines of all responses of the attempt. */
  readonly heads: string[];
}

/** One request of an attempt, on its own connection. */
interface Hop extends Attempt {
  readonly phases: Times;
}

// ---- Numbers -----------------------------------------------------------

/** Maximum length of a header line, its line end included (octets). */
const MAX_LINE = 65_536;

/** Maximum length of a header (octets); each line end counts as one. */
const MAX_HEAD = 262_144;

/** Maximum number of field lines in a header. */
const MAX_FIELDS = 2_000;

/** Maximum number of interim responses before the final one (RFC 9110 §15.2). */
const MAX_INTERIM = 100;

/** Maximum length of a chunk-size line, with extensions (RFC 9112 §7.1.1) and line end (octets). */
const MAX_CHUNK_LINE = 16_384;

/** Maximum length of a trailer section (RFC 9112 §7.1.2) (octets). */
const MAX_TRAILERS = 65_536;

/** Maximum number of content codings of one body. Each can expand it a thousand times. */
const MAX_CODINGS = 5;

/** Maximum length of a reason phrase or a validator in a message (octets). */
const MAX_REASON = 200;

/** Size of the buffer of a body (octets). A larger one makes no download faster. */
const BODY_BUFFER = 262_144;

/** Timeouts and pauses of a download, unless its caller sets others (ms). */
export const TIMES = { readTimeout: 300_000, firstPause: 1_000, continueTimeout: 1_000 } as const;

/** Largest upload that is sent without `Expect: 100-continue` (octets). */
const MAX_UNASKED = 1_000_000;

/** Largest delay of a timer (ms). As a time limit it stands for none. */
const FOREVER = 2_147_483_000;

/** Maximum time to send close_notify (ms). */
const MAX_FAREWELL = 1_000;

/** Longest pause between two attempts (ms). */
const MAX_PAUSE = 600_000;

/** Head start of an address over the next one (ms), RFC 8305 §8. */
const HEAD_START = 250;

/** Addresses of `localhost`, in the order of getaddrinfo. */
const LOOPBACK = ["::1", "127.0.0.1"];

/** Exit statuses of temporary failures: another attempt may help. */
const TRANSIENT = [6, 7, 18, 28, 52, 55, 56];

/** Exit statuses of failures that leave a part of a file, which `-C` can complete. */
const RESUMABLE = [...TRANSIENT, 23, 130];

/** Statuses that redirect (RFC 9110 §15.4). */
const REDIRECTIONS = [301, 302, 303, 307, 308];

/** Fields for one origin. A redirection to another origin drops them (RFC 9110 §15.4). */
const PRIVATE_FIELDS = ["authorization", "cookie", "proxy-authorization", "host"];

/** Default of User-Agent. */
const AGENT = `http_client/${VERSION}`;

const LF = 0x0a;
const CR = 0x0d;
const encoder = new TextEncoder();

// ---- Engine: the URL ---------------------------------------------------

/** `scheme = ALPHA *( ALPHA / DIGIT / "+" / "-" / "." )` (RFC 3986 §3.1), and the colon. */
const SCHEME = /^[a-z][a-z0-9+.-]*:/i;

/** `URI = scheme ":" "//" authority path-abempty [ "?" query ] [ "#" fragment ]` (RFC 3986 §3). */
const URI = /^([^:]*):(\/\/)?([^/?#]*)(.*)$/s;

/** Reads a URL as users type it: `http://h/p`, `h/p`, `h:8000/p`, `[::1]:8000/p`, `:8000/p`. */
function parseTarget(text: string): Target {
  // `new URL` ignores TAB, CR and LF.
  // deno-lint-ignore no-control-regex
  if (/[\x00-\x20\x7f]/.test(text)) throw badUrl(text, "it holds a blank or a control character");
  const [scheme] = SCHEME.exec(text) ?? []; // of `h:8000/p` it is the host
  if (scheme && text.startsWith("//", scheme.length)) return toTarget(text);
  return toTarget(`http://${/^:(?!\/\/)/.test(text) ? "localhost" : ""}${text}`);
}

/**
 * Resolves a Location against the URL of its response (RFC 9110 §10.2.2). Characters that a URL
 * cannot hold are percent-encoded octet by octet, which is right for UTF-8 and for Latin-1.
 */
function resolveLocation(base: Target, location: string): Target {
  const encoded = location.replace(
    /[^\x21-\x7e]|\\/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`,
  );
  if (SCHEME.test(encoded)) return toTarget(encoded);
  if (encoded.startsWith("//")) return toTarget(base.url.protocol + encoded);
  return { url: withoutUserinfo(new URL(encoded, base.url)), zone: base.zone, userinfo: null };
}

/** `"[" IPv6address "%25" ZoneID "]" [ ":" port ]` (RFC 6874 §2); a lone "%" is accepted, too. */
const ZONED_HOST = /^\[([^\]%]*)%(?:25)?([^\]]+)\](:\d*)?$/;

/**
 * Takes an absolute URL apart.
 *
 * @throws {ExitError} With status 1 for another scheme, 3 if it is not a URL.
 */
function toTarget(text: string): Target {
  const [, scheme = "", slashes, authority = "", rest = ""] = URI.exec(text) ?? [];
  if (!/^https?$/i.test(scheme)) {
    throw new ExitError(1, `Scheme ${quoteForMessage(scheme)} is not supported`);
  }
  // `new URL` reads http:///x as host x, and "\" as "/".
  if (!slashes || /(^|@)(:\d*)?$|\\/.test(authority)) throw badUrl(text, "it names no host");
  const at = authority.lastIndexOf("@") + 1;
  const [, address, zone = "", port = ""] = ZONED_HOST.exec(authority.slice(at)) ?? [];
  // `new URL` refuses zones.
  const host = address === undefined ? authority : `${authority.slice(0, at)}[${address}]${port}`;
  try {
    const url = new URL(`${scheme}://${host}${rest.replaceAll("\\", "%5C")}`);
    const isNamed = url.username !== "" || url.password !== "";
    const userinfo = isNamed ? percentDecode(`${url.username}:${url.password}`) : null;
    const isLinkLocal = url.hostname.startsWith("[fe80:");
    return { url: withoutUserinfo(url), zone: isLinkLocal ? zone : "", userinfo };
  } catch {
    throw badUrl(text, "the host or the port is malformed");
  }
}

/** Removes from a URL what a request does not contain: user, password and fragment. */
function withoutUserinfo(url: URL): URL {
  url.username = url.password = url.hash = "";
  return url;
}

function badUrl(text: string, why: string): ExitError {
  const shown = text.replace(/^(\w*:\/\/)?[^/?#]*@/, "$1"); // without a password
  return new ExitError(3, `Cannot use URL ${quoteForMessage(shown)}: ${why}`);
}

/** Decodes %XX into octets, one char each. */
function percentDecode(text: string): string {
  return text.replace(/%([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(Number(`0x${hex}`)));
}

// ---- Engine: the connection --------------------------------------------

/** Destination of a TCP connection. */
interface Place {
  /** Name or address, without brackets. */
  readonly host: string;
  readonly port: number;
  /** Addresses that need no look-up. */
  readonly addresses?: readonly string[] | undefined;
  readonly isProxy?: boolean;
}

/** Connects to a server within `--connect-timeout`: name, TCP, proxy and TLS. */
async function connect(target: Target, hop: Hop): Promise<Deno.Conn> {
  const { connectTimeout } = hop.options;
  const timeout = AbortSignal.timeout(connectTimeout);
  const signal = AbortSignal.any([hop.signal, timeout]);
  try {
    return await openConnection(target, { ...hop, signal });
  } catch (error) {
    if (hop.signal.aborted || !timeout.aborted) throw error;
    const { host } = target.url;
    throw new ExitError(28, `No connection to ${host} within ${connectTimeout / 1000} s`);
  }
}

/** Opens the connection of a request, through the proxy if there is one. */
async function openConnection({ url, zone }: Target, hop: Hop): Promise<Deno.Conn> {
  const { options: { proxy, resolve }, phases } = hop;
  const isTls = url.protocol === "https:";
  const hostname = unbracketed(url.hostname); // for TLS, too
  const host = zone ? `${hostname}%${zone}` : hostname;
  const port = Number(url.port || (isTls ? 443 : 80));
  const fixed = resolve.find((other) => other.host === host && other.port === port);
  const open = async () => {
    // The proxy resolves the name of the server.
    const place = proxy ? { ...proxy, isProxy: true } : { host, port, addresses: fixed?.addresses };
    const conn = await openTcp(place, hop);
    if (!proxy || !isTls) return conn;
    await timed(phases, "connect", () => openTunnel(conn, `${url.hostname}:${port}`, hop));
    return conn;
  };
  return isTls ? await startTls(open, hostname, hop) : await open();
}

/** Removes the brackets of an IPv6 address. */
function unbracketed(host: string): string {
  return host.replace(/^\[(.*)\]$/, "$1");
}

/** Adds the duration of some work to a phase. */
async function timed<T>(phases: Times, phase: keyof Times, work: () => Promise<T>): Promise<T> {
  const began = performance.now();
  try {
    return await work();
  } finally {
    phases[phase] += performance.now() - began;
  }
}

/** Waits for work that cannot be cancelled, but only until the signal aborts. */
async function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  signal.addEventListener("abort", abort);
  if (signal.aborted) abort();
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

// ---- Engine: names and addresses ---------------------------------------

/**
 * Returns the addresses of a place, or its name. `Deno.connect` resolves a name and tries its
 * addresses by itself (RFC 8305). Loading node:dns costs 20 ms, so the name is resolved here only
 * if a family is given or the addresses are shown. Without permission for each address, the name
 * is returned, because permission may be given for the name alone.
 */
async function resolveHost(place: Place, hop: Hop): Promise<string[]> {
  const { options: { family, timing }, io: { trace } } = hop;
  const { host, port } = place;
  const isLiteral = host.includes(":") || /^[\d.]+$/.test(host);
  const isLocal = /(^|\.)localhost\.?$/.test(host); // RFC 6761 §6.3: no look-up
  const known = place.addresses ?? (isLiteral ? [host] : isLocal ? LOOPBACK : null);
  if (known === null && family === null && !trace && !timing) return [host];
  const all = known ?? await lookUp(place, hop);
  const addresses = all.filter((address) => family === null || familyOf(address) === family);
  if (addresses.length === 0) throw noAddress(place, family);
  if (addresses[0] !== host) trace?.("*", `${host} is ${addresses.join(", ")}`);
  if (isLiteral || place.addresses || family !== null) return addresses;
  const isAllowed = addresses.every((address) =>
    isGranted({ name: "net", host: showAddress(address, port) })
  );
  return isAllowed ? addresses : [isLocal ? "localhost" : host];
}

/** True if the program has a permission. */
function isGranted(permission: Deno.PermissionDescriptor): boolean {
  return Deno.permissions.querySync(permission).state === "granted";
}

/** Resolves a name with getaddrinfo and keeps its order (RFC 6724). */
async function lookUp(place: Place, { options: { family }, io, phases }: Hop): Promise<string[]> {
  const { host } = place;
  try {
    if (io.trace && host.includes("xn--")) {
      const { domainToUnicode } = await import("node:url");
      io.trace("*", `${domainToUnicode(host)} is ${host} to the DNS`);
    }
    const { lookup } = await import("node:dns/promises");
    await lookup("127.0.0.1"); // loads the resolver, whose time is not a part of "dns"
    const settings = { all: true, family: family ?? 0, verbatim: true } as const;
    const found = await timed(phases, "dns", () => lookup(host, settings));
    return alternateFamilies([...new Set(found.map(({ address }) => address))]);
  } catch (error) {
    const isDenied = error instanceof Error && error.message.includes("EPERM");
    // Deno.connect then names the missing permission. It takes no family.
    if (isDenied && family === null) return [host];
    const { status, message } = noAddress(place, family);
    throw new ExitError(status, isDenied ? `${message}; add --allow-net=${host}` : message);
  }
}

/** Alternates the families; the order within each stays (RFC 8305 §4). */
function alternateFamilies(addresses: string[]): string[] {
  const rank = (address: string) => {
    const before = addresses.slice(0, addresses.indexOf(address));
    return before.filter((other) => familyOf(other) === familyOf(address)).length;
  };
  return addresses.toSorted((one, other) => rank(one) - rank(other));
}

function familyOf(address: string): 4 | 6 {
  return address.includes(":") ? 6 : 4;
}

function noAddress({ host, isProxy }: Place, family: 4 | 6 | null): ExitError {
  const what = `an ${family ? `IPv${family} ` : ""}address of ${isProxy ? "proxy " : ""}${host}`;
  return new ExitError(isProxy ? 5 : 6, `Cannot find ${what}`);
}

// ---- Engine: TCP -------------------------------------------------------

/** Opens a TCP connection. */
async function openTcp(place: Place, hop: Hop): Promise<Deno.TcpConn> {
  const { io: { trace }, signal, phases } = hop;
  const addresses = await abortable(resolveHost(place, hop), signal);
  const conn = await timed(phases, "connect", () => dial(place, addresses, signal));
  trace?.("*", `connected to ${conn.remoteAddr.hostname} port ${conn.remoteAddr.port}`);
  conn.setNoDelay(); // otherwise Nagle and a delayed ACK hold the request back for 40 ms
  return conn;
}

/** Connects to the first address that answers. */
async function dial(place: Place, addresses: string[], signal: AbortSignal): Promise<Deno.TcpConn> {
  const { port } = place;
  const [hostname = ""] = addresses;
  try {
    return addresses.length > 1
      ? await race(addresses, port, signal)
      : await Deno.connect({ hostname, port, signal });
  } catch (error) {
    const errors: unknown[] = error instanceof AggregateError ? error.errors : [error];
    throw signal.aborted ? signal.reason : noConnection(place, addresses, errors.at(-1));
  }
}

/**
 * Tries addresses one after another. Each has a head start over the next one (RFC 8305 §5), so an
 * address that does not answer costs 250 ms instead of the whole timeout.
 */
async function race(addresses: string[], port: number, signal: AbortSignal): Promise<Deno.TcpConn> {
  const done = new AbortController();
  const ended = AbortSignal.any([signal, done.signal]);
  const attempts: Promise<Deno.TcpConn>[] = [];
  try {
    for (const hostname of addresses) {
      const attempt = Deno.connect({ hostname, port, signal: ended });
      attempts.push(attempt);
      if (attempts.length === addresses.length) break;
      const isAnyOpen = Promise.any(attempts).then(() => true, () => false);
      // A failure of this attempt starts the next one at once.
      const isOpen = attempt.then(() => true, () => false);
      const isLate = Promise.withResolvers<false>();
      const cancel = signalTimer(HEAD_START, () => isLate.resolve(false));
      const isDone = await Promise.race([isAnyOpen, isOpen, isLate.promise]);
      cancel();
      if (isDone) break;
    }
    const conn = await Promise.any(attempts);
    for (const attempt of attempts) {
      attempt.then((other) => other === conn || other.close(), () => {});
    }
    return conn;
  } finally {
    done.abort();
  }
}

/** Describes why no address of a place could be connected to. */
function noConnection(place: Place, addresses: string[], error: unknown): ExitError {
  const { host, port, isProxy } = place;
  const why = reasonOf(error);
  // Deno has no error class or code for a failed look-up.
  if (error instanceof URIError || why.startsWith("failed to lookup")) {
    return noAddress(place, null);
  }
  const { ConnectionReset, NotConnected } = Deno.errors;
  // Connected, then reset: exit 56 (receive), not 7 (connect).
  const status = error instanceof ConnectionReset || error instanceof NotConnected ? 56 : 7;
  const others = addresses.filter((address) => address !== host).join(", ");
  const where = `${isProxy ? "proxy " : ""}${host}${others && ` (${others})`}`;
  return new ExitError(status, `Cannot connect to ${where} port ${port}: ${why}`);
}

// ---- Engine: the tunnel and TLS ----------------------------------------

/**
 * Asks the proxy for a tunnel to a server (RFC 9110 §9.3.6). A 2xx has no body, whatever its fields
 * say. In TLS the client sends first, so octets after the 2xx cannot be the server's: `release`
 * refuses them.
 */
async function openTunnel(conn: Deno.TcpConn, authority: string, attempt: Attempt): Promise<void> {
  const { options: { agent, proxy, times: { readTimeout } }, io, signal } = attempt;
  const lines = [`CONNECT ${authority} HTTP/1.1`, `Host: ${authority}`, `User-Agent: ${agent}`];
  if (proxy?.authorization) lines.push(`Proxy-Authorization: ${proxy.authorization}`);
  const wire = new Wire(conn, { trace: io.trace });
  const stop = () => wire.close();
  signal.addEventListener("abort", stop, { once: true });
  try {
    wire.setDeadline(readTimeout);
    traceRequest([...lines, ""], io.trace);
    await wire.write(`${lines.join("\r\n")}\r\n\r\n`);
    const response = await readResponse(wire);
    if (response.status >= 300) throw tunnelRefusal(authority, response, attempt);
    wire.release();
  } catch (error) {
    wire.close();
    if (signal.aborted || error instanceof RetryError || error instanceof FinalError) throw error;
    const failure = exitErrorOf(error, { malformed: 56, limit: 56, closed: 56 }, readTimeout);
    if (!(failure instanceof ExitError) || failure.status === 28) throw failure;
    throw new ExitError(56, `No tunnel through the proxy: ${failure.message}`);
  }
}

/** Describes the refusal of a tunnel. It is final unless the status is temporary. */
function tunnelRefusal(authority: string, response: HttpResponse, attempt: Attempt): ExitError {
  const { status } = response;
  const answer = `The proxy refused a tunnel to ${authority}: ${statusText(response)}`;
  refuseTransient(response, answer, attempt);
  if (status !== 407) return new FinalError(56, answer);
  const isGiven = attempt.options.proxy?.authorization !== null;
  const remedy = isGiven ? "user or password is wrong" : "give a user and password with -U";
  return new FinalError(56, `${answer}; ${remedy}`);
}

/** Opens a connection with TLS, or two if the first check of the certificate fails. */
async function startTls(
  open: () => Promise<Deno.TcpConn>,
  hostname: string,
  { options: { trust, insecure }, io, signal, phases }: Hop,
): Promise<Deno.Conn> {
  let began = 0;
  const dial = async () => {
    const conn = await open();
    began = performance.now();
    return conn;
  };
  try {
    const conn = await openTls(dial, { hostname, trust, insecure, signal });
    if (!insecure) io.trace?.("*", `TLS: the certificate of ${hostname} is trusted`);
    return conn;
  } catch (error) {
    throw signal.aborted || error instanceof ExitError ? error : tlsError(hostname, error);
  } finally {
    if (began > 0) phases.tls += performance.now() - began;
  }
}

/** Maps a fault of the certificate to exit 60, any other fault of TLS to exit 35. */
function tlsError(hostname: string, error: unknown): ExitError {
  const { isCertificate, why } = describeTlsFault(error, "--cacert FILE");
  const remedy = why.endsWith("TLS on this port") ? "; try http://" : "";
  if (!isCertificate) return new ExitError(35, `No TLS with ${hostname}: ${why}${remedy}`);
  return new ExitError(60, `Cannot trust the certificate of ${hostname}: ${why}`);
}

// ---- Engine: the request -----------------------------------------------

/** Makes the first request. A field of the user replaces the client's own. */
function firstRequest(target: Target, options: DownloadOptions): HttpRequest {
  const { method, body, upload, range } = options;
  const defaults: Field[] = [
    ["User-Agent", options.agent],
    ["Accept", options.accept],
    ["Accept-Encoding", options.compressed ? "gzip, deflate, br" : "identity"],
    ["Connection", "close"],
    ["Range", range === null ? "" : `bytes=${range}`],
    ["Content-Type", options.contentType ?? ""],
    ["Expect", upload && (upload.size ?? Infinity) > MAX_UNASKED ? "100-continue" : ""],
  ];
  const given = [...options.removed, ...options.fields.map(([name]) => name.toLowerCase())];
  const kept = without(defaults, ...given).filter(([, value]) => value !== "");
  // RFC 9110 §8.6: these methods expect content, so its absence is stated as well.
  const empty = /^(POST|PUT|PATCH)$/.test(method) ? 0 : null;
  const length = upload ? upload.size : body?.length ?? empty;
  if (length !== null) kept.push(["Content-Length", String(length)]);
  else if (upload) kept.push(["Transfer-Encoding", "chunked"]);
  const fields = [...kept, ...options.fields];
  return { method, target, fields, credentials: options.user ?? target.userinfo, body, upload };
}

/** Returns the fields without those of these names (in lower case). */
function without(fields: readonly Field[], ...names: readonly string[]): Field[] {
  return fields.filter(([name]) => !names.includes(name.toLowerCase()));
}

/**
 * Sends a request and reads the header of its response at the same time, because a server may
 * answer before it has the whole request, and read no more of it.
 */
async function exchange(wire: Wire, request: HttpRequest, hop: Hop): Promise<Exchange> {
  const { readTimeout } = hop.options.times;
  const answered = new AbortController(); // aborts at 100 (Continue) and at the final response
  const refused = new AbortController(); // aborts if the server does not want the body
  const sending = sendRequest(wire, request, hop, answered.signal, refused.signal);
  let isSent = false;
  sending.then(() => isSent = true, () => {});
  const reading = (async () => {
    try {
      await timed(hop.phases, "first-byte", () => wire.fill());
      const response = await readResponse(wire, (status) => status === 100 && answered.abort());
      if (response.status >= 300) refused.abort();
      return response;
    } finally {
      answered.abort();
    }
  })();
  // If the upload cannot be read, no response will come. If it cannot be sent, one may be there.
  const rejected = sending.catch((error) => {
    if (error instanceof ExitError) throw error;
  }).then(() => reading);
  try {
    return { wire, request, sending, response: await Promise.race([reading, rejected]) };
  } catch (error) {
    // The system reports a reset once: if the write gets it, the read sees a normal end.
    const isSilent = error instanceof ExitError && error.status === 52;
    if (isSent || !(isSilent || error instanceof ClosedError)) {
      throw exitErrorOf(error, { malformed: 8, limit: 100, closed: 8 }, readTimeout);
    }
    const status = request.body?.length || request.upload ? 55 : 56;
    throw new ExitError(status, "The server closed before it had the whole request");
  }
}

/** Sends a request, and its upload as soon as the server wants it. */
async function sendRequest(
  wire: Wire,
  request: HttpRequest,
  attempt: Attempt,
  answered: AbortSignal,
  refused: AbortSignal,
): Promise<void> {
  const { options: { proxy, times: { readTimeout, continueTimeout } }, io } = attempt;
  const { body, upload } = request;
  const lines = requestLines(request, proxy);
  traceRequest([...lines, body?.length ? `[${body.length} octets of body]` : ""], io.trace);
  const head = encoder.encode(`${lines.join("\r\n")}\r\n\r\n`);
  await wire.write(concat([head, body ?? new Uint8Array(0)]), readTimeout); // one packet
  if (upload === null) return;
  // RFC 9110 §10.1.1: a server may ignore Expect, so the wait ends by itself.
  if (expectsContinue(request)) await pause(continueTimeout, answered);
  if (!refused.aborted) await sendUpload(wire, upload, attempt, refused);
}

/** Tells whether a request waits for 100 (Continue) before its body. */
function expectsContinue({ fields, upload }: HttpRequest): boolean {
  return upload !== null && fields.some((field) => /^expect:100-continue$/i.test(field.join(":")));
}

/**
 * Sends an upload: in chunks if its size is unknown (RFC 9112 §7.1). Ends early if the server
 * refuses the rest.
 */
async function sendUpload(
  wire: Wire,
  upload: Upload,
  { options: { times: { readTimeout } }, io }: Attempt,
  refused: AbortSignal,
): Promise<void> {
  const { size } = upload;
  io.trace?.(">", size === null ? "[body in chunks]" : `[${size} octets of body]`);
  let sent = 0;
  wire.setDeadline(null); // standard input may be slow
  for await (const piece of readUpload(upload)) {
    if (refused.aborted) return;
    const octets = piece.subarray(0, (size ?? Infinity) - sent); // the file may have grown
    sent += octets.length;
    if (octets.length > 0) await wire.write(size === null ? toChunk(octets) : octets, readTimeout);
    if (sent === size) break;
    wire.setDeadline(null);
    io.progress?.(sent, size);
  }
  wire.setDeadline(readTimeout);
  if (size === null) await wire.write("0\r\n\r\n", readTimeout);
  else if (sent < size) {
    throw new FinalError(26, `Cannot send ${nameOf(upload)}: ${size - sent} bytes of it are gone`);
  }
}

/** Reads an upload; an error of its source is exit 26. */
async function* readUpload(upload: Upload): AsyncGenerator<Octets> {
  try {
    yield* upload.read();
  } catch (error) {
    throw new FinalError(26, `Cannot read ${nameOf(upload)}: ${reasonOf(error)}`);
  }
}

function nameOf({ name }: Upload): string {
  return name ?? "standard input";
}

/** Makes one chunk (RFC 9112 §7.1). */
function toChunk(octets: Octets): Octets {
  const size = encoder.encode(`${octets.length.toString(16)}\r\n`);
  return concat([size, octets, encoder.encode("\r\n")]);
}

/** Returns the lines of the head of a request (RFC 9112 §3). */
function requestLines(request: HttpRequest, proxy: HttpProxy | null): string[] {
  const { method, target: { url }, fields, credentials } = request;
  const given = fields.map(([name]) => name.toLowerCase());
  const seesProxy = proxy !== null && url.protocol === "http:"; // otherwise there is a tunnel
  // RFC 9112 §3.2.2: absolute-form to a proxy, §3.2.1: origin-form to a server.
  const lines = [`${method} ${seesProxy ? url.href : url.href.slice(url.origin.length)} HTTP/1.1`];
  if (!given.includes("host")) lines.push(`Host: ${url.host}`); // first: RFC 9110 §7.2
  if (credentials !== null && !given.includes("authorization")) {
    lines.push(`Authorization: Basic ${btoa(credentials)}`);
  }
  if (seesProxy && proxy.authorization) lines.push(`Proxy-Authorization: ${proxy.authorization}`);
  return [...lines, ...fields.map(([name, value]) => `${name}: ${value}`)];
}

/** Shows the lines of a request without the secrets. */
function traceRequest(lines: readonly string[], trace: Trace | undefined): void {
  for (const line of lines) {
    const [secret] = /^(?:authorization|proxy-authorization|cookie):/i.exec(line) ?? [];
    trace?.(">", secret ? `${secret} [credentials]` : line);
  }
}

/** Maps a WireError to an exit status; returns any other error unchanged. */
function exitErrorOf(
  error: unknown,
  at: { malformed: number; limit: number; closed: number },
  readTimeout: number,
) {
  if (!(error instanceof WireError)) return error;
  const { message, cause } = error;
  if (error instanceof DeadlineError) {
    return new ExitError(28, `The server sent nothing for ${readTimeout / 1000} s`);
  }
  if (error instanceof LimitError) return new ExitError(at.limit, message);
  if (error instanceof MalformedError) return new ExitError(at.malformed, message);
  if (cause === undefined) return new ExitError(at.closed, message);
  if (cause instanceof Deno.errors.UnexpectedEof) {
    return new ExitError(56, "Cannot read on: the connection ended without TLS close_notify");
  }
  // A server may ask for a certificate after the handshake (RFC 8446 §4.3.2).
  const status = message.includes("fatal alert") ? 35 : 56;
  return new ExitError(status, `Cannot read on: ${describeTlsFault(cause, "--cacert FILE").why}`);
}

// ---- Engine: the header of the response --------------------------------

/** Reads responses until one is final (RFC 9110 §15.2). */
async function readResponse(
  wire: Wire,
  onInterim?: (status: number) => void,
): Promise<HttpResponse> {
  const interim: string[] = [];
  for (let count = 0; count <= MAX_INTERIM; count++) {
    const lines = await readHead(wire);
    const response = parseHead(lines);
    if (response.status === 101) throw new ExitError(8, "Unexpected 101: no upgrade was asked for");
    if (response.status >= 200) return { ...response, lines: [...interim, ...lines, ""] };
    onInterim?.(response.status);
    interim.push(...lines, "");
  }
  throw new LimitError(`More than ${MAX_INTERIM} interim responses`);
}

/** Reads the lines of a header; LF alone may end one (RFC 9112 §2.2). */
async function readHead(wire: Wire): Promise<string[]> {
  await expectHttp(wire);
  const lines: string[] = [];
  for (let left = MAX_HEAD;;) {
    const line = await wire.readLine(MAX_LINE, "LF");
    if (line === null) throw new ClosedError("Connection closed inside the header");
    if (line.includes("\0")) throw new MalformedError("The header has a NUL");
    if (line === "") return lines;
    lines.push(line);
    left -= line.length + 1;
    if (left >= 0 && lines.length <= MAX_FIELDS + 1) continue;
    throw new LimitError(`The header has more than ${MAX_HEAD} octets or ${MAX_FIELDS} fields`);
  }
}

/** Refuses another protocol at once, because it may never send a line end. */
async function expectHttp(wire: Wire): Promise<void> {
  for (let begun = ""; begun !== "HTTP/1.";) {
    begun = toByteString(wire.buffered.subarray(0, 7));
    if (!"HTTP/1.".startsWith(begun)) throw new ExitError(8, `Not HTTP/1: "${begun}"`);
    if (begun.length === 7 || await wire.fill()) continue;
    if (begun === "") throw new ExitError(52, "The server closed without a response");
    throw new ClosedError("Connection closed inside the status line");
  }
}

/** `status-line = HTTP-version SP status-code SP [ reason-phrase ]` (RFC 9112 §4). */
const STATUS_LINE = /^HTTP\/1\.\d ([1-9]\d\d)(?: (.*))?$/s;

/**
 * Parses a header. A blank before a colon is refused (RFC 9112 §5.1), because a field that is
 * ignored might be Content-Length.
 */
function parseHead([first = "", ...rest]: string[]): Omit<HttpResponse, "lines"> {
  const [, status, reason = ""] = STATUS_LINE.exec(first) ?? [];
  if (status === undefined) {
    throw new MalformedError(`Malformed status line ${quoteForMessage(first)}`);
  }
  const fields = new Fields({ isLenient: true });
  for (const line of unfold(rest)) fields.appendLine(line);
  return { status: Number(status), reason, fields };
}

/** Joins each line that begins with a blank to the line before (obs-fold, RFC 9112 §5.2). */
function unfold(lines: string[]): string[] {
  const unfolded: string[][] = [];
  for (const line of lines) {
    const isFolded = line.startsWith(" ") || line.startsWith("\t");
    if (!isFolded) unfolded.push([line]);
    else if (unfolded.length > 0) unfolded.at(-1)?.push(trimOws(line));
    else throw new MalformedError("The first field line begins with a blank");
  }
  return unfolded.map((parts) => parts.join(" "));
}

// ---- Engine: the body --------------------------------------------------

/** Returns the members of a list field in lower case, without the empty ones. */
function membersOf(fields: Fields, name: string): string[] {
  const list = fields.all(name).join(",").toLowerCase();
  return listMembers(list).filter((member) => member !== "");
}

/** Returns where a body ends, by the rules of RFC 9112 §6.3. */
function bodyFraming(method: string, { status, fields }: HttpResponse): Framing {
  // Rule 1: these have no body, whatever the fields say.
  if (method === "HEAD" || [204, 304].includes(status)) return 0;
  // Rules 3 and 4: Transfer-Encoding overrides Content-Length; only chunked was accepted.
  const codings = membersOf(fields, "transfer-encoding").join(", ");
  if (codings === "chunked") return "chunked";
  if (fields.all("transfer-encoding").length > 0) {
    throw new ExitError(8, `Unknown Transfer-Encoding ${quoteForMessage(codings)}`);
  }
  return contentLength(fields) ?? Infinity; // rule 8
}

/**
 * Returns the value of Content-Length (RFC 9110 §8.6); null without one, or if Transfer-Encoding
 * overrides it. Several equal lengths are one (RFC 9112 §6.3, rule 5). Number() alone would also
 * read "", 0x1f and 1e3.
 */
function contentLength(fields: Fields): number | null {
  const values = fields.all("content-length");
  if (values.length === 0 || fields.all("transfer-encoding").length > 0) return null;
  const [length = NaN, ...others] = listMembers(values.join(",")).map((text) =>
    /^\d+$/.test(text) ? Number(text) : NaN
  );
  const isOne = others.every((other) => other === length);
  if (isOne && length <= Number.MAX_SAFE_INTEGER) return length;
  throw new ExitError(8, `Malformed Content-Length ${quoteForMessage(values.join(", "))}`);
}

/** Reads a body, in pieces that stay valid until the next one is asked for. */
async function* readBody(
  wire: Wire,
  framing: Framing,
  readTimeout: number,
): AsyncGenerator<Octets> {
  const buffer = new Uint8Array(BODY_BUFFER);
  if (framing === "chunked") return yield* readChunked(wire, buffer, readTimeout);
  for (let left = framing; left > 0;) {
    wire.setDeadline(readTimeout);
    const count = await wire.readInto(buffer.subarray(0, left));
    if (count === 0 && left === Infinity) return;
    if (count === 0) throw new ClosedError(`${plural(left, "byte")} missing of ${framing}`);
    left -= count;
    wire.setDeadline(null); // writing the output may take longer
    yield buffer.subarray(0, count);
  }
}

/**
 * Reads a chunked body (RFC 9112 §7.1). Joins the chunks that are already received, because one
 * write for each small chunk would be slow.
 */
async function* readChunked(
  wire: Wire,
  buffer: Octets,
  readTimeout: number,
): AsyncGenerator<Octets> {
  let filled = 0;
  let left = 0;
  let expected: "size" | "data" | "end" | "trailers" = "size";
  try {
    while (expected !== "trailers") {
      const waits = expected === "data" ? wire.buffered.length === 0 : !wire.buffered.includes(LF);
      if (filled > 0 && (waits || filled === buffer.length)) {
        wire.setDeadline(null);
        yield buffer.subarray(0, filled);
        filled = 0;
      }
      wire.setDeadline(readTimeout);
      if (expected === "size") {
        const fault = "Malformed chunk: its size line is too long";
        left = chunkSize(await readChunkLine(wire, MAX_CHUNK_LINE, 56, fault));
        expected = left === 0 ? "trailers" : "data";
      } else if (expected === "data") {
        const count = await wire.readInto(buffer.subarray(filled, filled + left));
        if (count === 0) throw new ClosedError("Connection closed inside a chunk");
        filled += count;
        left -= count;
        if (left === 0) expected = "end";
      } else {
        const fault = "Malformed chunk: data after its size";
        if (await readChunkLine(wire, 2, 56, fault) !== "") throw new MalformedError(fault);
        expected = "size";
      }
    }
  } catch (error) {
    yield buffer.subarray(0, filled); // what came before the error
    throw error;
  }
  yield buffer.subarray(0, filled);
  await skipTrailers(wire);
}

/** Discards the trailer fields (RFC 9112 §7.1.2). */
async function skipTrailers(wire: Wire): Promise<void> {
  let line: string | undefined;
  for (let left = MAX_TRAILERS; line !== ""; left -= line.length + 1) {
    line = await readChunkLine(wire, left, 100, "The trailer section is too long");
  }
}

/** Reads a line of the chunked coding. One that is too long gets the status and the message. */
async function readChunkLine(
  wire: Wire,
  limit: number,
  status: number,
  message: string,
): Promise<string> {
  const line = await wire.readLine(limit, "LF").catch((error) => {
    throw error instanceof LimitError ? new ExitError(status, message) : error;
  });
  if (line === null) throw new ClosedError("Connection closed before the last chunk");
  if (line.includes("\0")) throw new MalformedError("The chunked coding has a NUL");
  return line;
}

/**
 * Reads `chunk-size = 1*HEXDIG` and ignores extensions (RFC 9112 §7.1.1). parseInt would also
 * read "5zz", "0x5" and "+5".
 */
function chunkSize(line: string): number {
  const [, digits] = /^0*([0-9a-f]{1,12})[ \t]*(?:;.*)?$/is.exec(line) ?? [];
  if (digits === undefined) {
    throw new MalformedError(`Malformed chunk size ${quoteForMessage(line)}`);
  }
  return Number(`0x${digits}`);
}

// ---- Engine: content codings -------------------------------------------

/** Names of the content codings that the client decodes (RFC 9110 §8.4.1). */
const CODING = /^((x-)?gzip|deflate|br)$/;

/**
 * Returns the content codings of a body in the order in which they were applied (RFC 9110 §8.4).
 * Some servers send "none" for identity.
 */
function contentCodings(fields: Fields): string[] {
  const codings = membersOf(fields, "content-encoding");
  return codings.filter((coding) => coding !== "identity" && coding !== "none");
}

/** Returns the codings to decode: those after the last unknown one, which may also be exit 61. */
function decodableCodings(fields: Fields, { options, io }: Attempt): string[] {
  if (!options.compressed) return [];
  const codings = contentCodings(fields);
  const unknown = codings.findLastIndex((coding) => !CODING.test(coding));
  if (unknown >= 0) {
    const coding = `Content-Encoding ${quoteForMessage(codings[unknown] ?? "")}`;
    if (!options.passUnknown) throw new ExitError(61, `Unknown ${coding}; try --no-compressed`);
    io.note(`${coding} is unknown: not decoded`);
  }
  const known = codings.slice(unknown + 1);
  if (known.length <= MAX_CODINGS) return known;
  throw new ExitError(61, `More than ${MAX_CODINGS} content codings`);
}

/**
 * Removes a content coding with node:zlib. DecompressionStream would accept a truncated deflate
 * stream, refuse a second gzip member (RFC 1952 §2.2), and produce output without a bound.
 */
async function* decode(source: AsyncGenerator<Octets>, coding: string): AsyncGenerator<Octets> {
  const start = await readStart(source);
  if (start.length === 0) return; // an empty body needs no decoding
  const { pipeline } = await import("node:stream");
  const stream = await createDecoder(coding, start);
  let fed = start.length;
  const feed = async function* () {
    yield start;
    for await (const octets of source) {
      fed += octets.length;
      yield octets.slice();
    }
    if (coding === "br") yield new Uint8Array(1); // see isTruncated
  };
  // node:zlib does not report that a brotli stream is truncated. A truncated one consumes the
  // extra octet, a complete one leaves it.
  const isTruncated = () => coding === "br" && stream.bytesWritten > fed;
  try {
    for await (const octets of pipeline(feed, stream, () => {})) { // the loop gets the error
      if (isTruncated()) break; // this output comes from the extra octet
      yield octets;
    }
    if (isTruncated()) throw new Error("unexpected end of file");
  } catch (error) {
    if (error instanceof ExitError || error instanceof WireError) throw error;
    throw new ExitError(61, `Cannot decode ${coding}: ${reasonOf(error)}`);
  }
}

/** Reads the first two octets or more, which tell zlib from raw deflate; fewer at the end. */
async function readStart(source: AsyncGenerator<Octets>): Promise<Octets> {
  let start: Octets = new Uint8Array(0);
  while (start.length < 2) {
    const { value, done } = await source.next();
    if (done) break;
    start = concat([start, value]);
  }
  return start;
}

/** Makes the decoder of a coding. Some servers send raw deflate as deflate (RFC 9110 §8.4.1.2). */
async function createDecoder(coding: string, [first = 0, second = 0]: Octets) {
  const zlib = await import("node:zlib");
  if (coding === "br") return zlib.createBrotliDecompress();
  if (coding !== "deflate") return zlib.createGunzip();
  const isZlib = (first & 15) === 8 && (first * 256 + second) % 31 === 0; // RFC 1950 §2.2
  return isZlib ? zlib.createInflate() : zlib.createInflateRaw();
}

// ---- Engine: redirections ----------------------------------------------

/**
 * Returns the request that a redirection asks for (RFC 9110 §15.4); null if the response is final.
 * Credentials and private fields stay with their origin. Each request is made from the one before,
 * so a dropped field never comes back.
 */
function nextRequest(request: HttpRequest, { status, fields }: HttpResponse): HttpRequest | null {
  if (!REDIRECTIONS.includes(status)) return null;
  const [location = "", ...others] = new Set(fields.all("location"));
  if (others.length > 0) throw new ExitError(8, "The response has two different Location fields");
  if (location === "") return null;
  const target = resolveLocation(request.target, location);
  const isForeign = target.url.origin !== request.target.url.origin;
  const becomesGet = status === 303
    ? request.method !== "HEAD"
    : status <= 302 && request.method === "POST";
  const kept = request.fields.filter(([name]) =>
    !(isForeign && PRIVATE_FIELDS.includes(name.toLowerCase())) &&
    !(becomesGet && /^(content-.*|transfer-encoding|expect)$/i.test(name))
  );
  const credentials = target.userinfo ?? (isForeign ? null : request.credentials);
  if (becomesGet) {
    return { method: "GET", target, fields: kept, credentials, body: null, upload: null };
  }
  if (request.upload && (isForeign || request.upload.size === null)) {
    const what = `${nameOf(request.upload)} ${isForeign ? "to another origin" : "twice"}`;
    throw new FinalError(55, `Cannot send ${what}: ${status} leads to ${target.url.href}`);
  }
  return { ...request, target, fields: kept, credentials };
}

// ---- Engine: versions and ranges ---------------------------------------

/** What identifies a version of a file on the server; null for what the server does not send. */
interface Version {
  readonly size: number | null;
  readonly ETag: string | null;
  readonly "Last-Modified": string | null;
  readonly coding: string;
  /** Validator for If-Range. */
  readonly validator: string | null;
}

/** What a response does to an output that has octets: adds to it, replaces it, or nothing. */
type Plan = "append" | "restart" | "complete";

/** `Content-Range = "bytes" SP ( first-pos "-" last-pos / "*" ) "/" ( length / "*" )` (§14.4). */
const CONTENT_RANGE = /^bytes +(?:(\d+)-(\d+)|\*)\/(?:(\d+)|\*)$/i;

/** Reads Content-Range (RFC 9110 §14.4). Without a range, the positions are NaN. */
function contentRange(fields: Fields): { first: number; last: number; total: number | null } {
  const [, first, last, total] = CONTENT_RANGE.exec(fields.get("content-range") ?? "") ?? [];
  return {
    first: Number(first),
    last: Number(last),
    total: total === undefined ? null : Number(total),
  };
}

function versionOf({ status, fields }: HttpResponse): Version {
  return {
    size: status === 206 ? contentRange(fields).total : contentLength(fields),
    ETag: fields.get("etag") ?? null,
    "Last-Modified": fields.get("last-modified") ?? null,
    coding: contentCodings(fields).join(", "),
    validator: strongValidator(fields),
  };
}

/**
 * Returns the validator for If-Range (RFC 9110 §13.1.5): a strong ETag. Without any ETag,
 * Last-Modified if it is strong: a second or more before Date (§8.8.2.2).
 */
function strongValidator(fields: Fields): string | null {
  const etag = fields.get("etag");
  if (etag !== undefined) return etag.startsWith('"') ? etag : null;
  const modified = fields.get("last-modified") ?? "";
  const age = parseHttpDate(fields.get("date") ?? "") - parseHttpDate(modified);
  return age >= 1000 ? modified : null;
}

/** Describes the first difference between two versions; undefined if none is known. */
function versionChange(before: Version, after: Version): string | undefined {
  const shown = (value: string | number) => String(value).slice(0, MAX_REASON) || "none";
  for (const key of ["size", "ETag", "Last-Modified", "coding"] as const) {
    const [from, to] = [before[key], after[key]];
    if (from === null || to === null || from === to) continue;
    return `its ${key} changed from ${shown(from)} to ${shown(to)}`;
  }
}

/** True if a response continues a file of `size` octets, and its range and length agree. */
function continuesAt(size: number, { status, fields }: HttpResponse): boolean {
  const { first, last, total } = contentRange(fields);
  const count = last - first + 1;
  const isValid = count > 0 && last < (total ?? Infinity);
  return status === 206 && first === size && isValid && (contentLength(fields) ?? count) === count;
}

/** `HTTP-date = IMF-fixdate / rfc850-date / asctime-date` (RFC 9110 §5.6.7). */
const DAY = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)";
const MONTH = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)";
const TIME = String.raw`\d\d:\d\d:\d\d`;
const HTTP_DATE = new RegExp([
  String.raw`^${DAY}, \d\d ${MONTH} \d{4} ${TIME} GMT$`,
  String.raw`^${DAY}[a-z]{3,6}, \d\d-${MONTH}-\d\d ${TIME} GMT$`,
  String.raw`^${DAY} ${MONTH} [ \d]\d ${TIME} \d{4}$`,
].join("|"));

/** Reads an HTTP-date (ms since 1970); NaN if the text is none. Date.parse also takes "1.5". */
function parseHttpDate(text: string): number {
  return HTTP_DATE.test(text) ? Date.parse(text.endsWith("GMT") ? text : `${text} GMT`) : NaN;
}

/**
 * Decides what a response does to an output that has octets already. Parts of two versions are
 * never joined (RFC 9110 §15.3.7.3), and what an earlier run saved is never replaced.
 *
 * @throws {ExitError} With exit status 33 if the response does not fit; the output is unchanged.
 */
async function resumePlan(exchange: Exchange, attempt: Attempt): Promise<Plan> {
  const { response } = exchange;
  const { status, fields } = response;
  const { size, version, modified, isOwn } = attempt.output;
  const hasFile = status === 200 || status === 206;
  const change = version && hasFile ? versionChange(version, versionOf(response)) : undefined;
  const isNewer = !version && parseHttpDate(fields.get("last-modified") ?? "") > (modified ?? NaN);
  if (continuesAt(size, response) && !change && !isNewer) return "append";
  const isConditional = Boolean(version?.validator); // so 200 is the answer to If-Range
  if (status === 200 && isOwn && (isConditional || !change)) return "restart";
  const total = status === 416 ? await refusedTotal(exchange, attempt) : null;
  if (total === size && (version?.size ?? size) === size) return "complete";
  const range = fields.get("content-range") ?? response.reason;
  let why = `the server answered ${statusText({ ...response, reason: range })}`;
  if (total !== null) why = `the server's file has ${plural(total, "byte")}`;
  else if (hasFile && isNewer) why = "the server's file is newer";
  throw new ExitError(33, `Cannot resume at byte ${size}: ${change ?? why}`);
}

/**
 * Returns the size of the file that a 416 refuses to send a range of. A 416 may come without
 * Content-Range; then HEAD asks for the size.
 */
async function refusedTotal(exchange: Exchange, attempt: Attempt): Promise<number | null> {
  const { total } = contentRange(exchange.response.fields);
  if (total !== null) return total;
  const fields = without(exchange.request.fields, "range", "if-range");
  const head = { ...exchange.request, method: "HEAD", fields };
  const { wire, response } = await send(head, attempt);
  wire.close();
  return response.status === 200 ? contentLength(response.fields) : null;
}

/** Asks for the missing octets (RFC 9110 §14.2), if the version is the same (§13.1.5). */
function withRange(request: HttpRequest, { size, version, resumable }: Output): HttpRequest {
  if (size === 0 || !resumable) return request;
  const others = without(request.fields, "accept-encoding", "range");
  // A range of a compressed body would not continue the file.
  const range: Field[] = [["Accept-Encoding", "identity"], ["Range", `bytes=${size}-`]];
  if (version?.validator) range.push(["If-Range", version.validator]);
  return { ...request, fields: [...others, ...range] };
}

/** Describes how a response differs from the requested range; undefined if it does not. */
function rangeMismatch(asked: string, { status, fields }: HttpResponse): string | undefined {
  if (status === 200) return `the server sent the whole file, not bytes ${asked}`;
  const [, from, to] = /^(\d*)-(\d*)$/.exec(asked) ?? [];
  const { first, last, total } = contentRange(fields);
  if (status !== 206 || from === undefined || Number.isNaN(first)) return undefined;
  const end = (total ?? Infinity) - 1;
  const wantedLast = from === "" || to === "" ? end : Math.min(Number(to), end);
  const wantedFirst = from === "" ? Math.max(0, end + 1 - Number(to)) : Number(from);
  const fits = (wantedFirst === first || wantedFirst === Infinity) &&
    (wantedLast === last || wantedLast === Infinity);
  return fits ? undefined : `the server sent bytes ${first}-${last}, not ${asked}`;
}

// ---- Engine: file names ------------------------------------------------

/** Returns what follows the last slash or backslash. */
function lastSegment(path: string): string {
  return path.replace(/^.*[/\\]/s, "");
}

/** Makes a name from a peer safe to create in the current folder: one clean segment. */
function safeName(name: string): string {
  const clean = lastSegment(name).replace(/\p{Cc}|\p{Bidi_Control}|[\u2028\u2029]/gu, "_").trim();
  if (!/^\.{0,2}$/.test(clean)) return clean;
  const shown = quoteForMessage(name);
  throw new ExitError(23, `Cannot save as ${shown}: it is not a file name; use -o FILE`);
}

/** Returns the last segment of a URL, decoded. */
function urlName({ pathname }: URL): string {
  return decodeUtf8(percentDecode(lastSegment(pathname)));
}

/** `parameter = token "=" ( token / quoted-string )`, after a semicolon (RFC 6266 §4.1). */
const PARAMETER = /;\s*([^\s;=]*)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^;]*)))?[^;]*/g;

/** `ext-value = charset "'" [ language ] "'" value-chars` (RFC 8187 §3.2.1), more lenient. */
// deno-lint-ignore no-control-regex
const EXTENDED_VALUE = /^(utf-8|iso-8859-1)'[^']*'((?:%[0-9a-f]{2}|[^%\x00-\x20"\x7f-\xff])+)$/i;

/**
 * Returns the file name in a Content-Disposition (RFC 6266 §4.3); null if there is none. A
 * `filename*` that is empty, malformed or of an unknown charset falls back to `filename`.
 */
function dispositionName(value: string): string | null {
  const parameters = new Map<string, string>();
  for (const [, name = "", quoted, token = ""] of `;${value}`.matchAll(PARAMETER)) {
    const text = quoted?.replace(/\\(["\\])/g, "$1") ?? token.replace(/^"/, "").trim();
    parameters.set(name.toLowerCase(), text);
  }
  const plain = parameters.get("filename");
  const name = decodeExtended(parameters.get("filename*") ?? "") ?? (plain && decodeUtf8(plain));
  if (name === undefined) return null;
  return lastSegment(name).replace(/^\.+/, ""); // a server must not make hidden files
}

function decodeExtended(text: string): string | undefined {
  const [, charset = "", encoded] = EXTENDED_VALUE.exec(text) ?? [];
  if (encoded === undefined) return undefined;
  const octets = percentDecode(encoded);
  if (charset.toLowerCase() === "iso-8859-1") return octets;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(fromByteString(octets));
  } catch {
    return undefined;
  }
}

// ---- Engine: the output ------------------------------------------------

/** True if the body goes into a file. */
function isSaved(options: DownloadOptions | Line["options"]): boolean {
  return options.remoteName || options.remoteHeaderName || (options.output ?? "-") !== "-";
}

/** Destination of the body: one for all attempts. */
class Output {
  /** Path of the file; null for standard output, and until a server has named the file. */
  path: string | null;
  /** Number of octets of the body that are written. */
  size = 0;
  /** Time of the file that an earlier run saved (ms); null if there is none. */
  readonly modified: number | null = null;
  /** True if all octets are from this run. */
  readonly isOwn: boolean;
  /** Version to which the octets belong; null if an earlier run saved them. */
  version: Version | null = null;
  /** True if the octets are the first ones of the file that a GET returns. */
  resumable = true;
  readonly #url: URL;
  readonly #options: DownloadOptions;
  readonly #stdout: DownloadIO["stdout"];
  #text: TextDecoder | undefined; // for a terminal
  #file: Deno.FsFile | undefined;
  #isRegular = true;
  #canWriteSync = true;
  #hasHead = false;

  /** Finds out what an earlier run saved. */
  constructor(url: URL, options: DownloadOptions, stdout: DownloadIO["stdout"]) {
    this.#url = url;
    this.#options = options;
    this.#stdout = stdout;
    const { output, remoteName, remoteHeaderName, resume } = options;
    this.path = output === "-" ? null : output;
    if (remoteName && !remoteHeaderName) this.path = safeName(urlName(url));
    const info = this.path === null ? null : this.#stat(this.path);
    if (info !== null && remoteName && !resume) throw this.#error(new Deno.errors.AlreadyExists());
    this.isOwn = !resume || info === null || info.size === 0;
    if (info === null || !resume) return;
    this.size = info.size;
    this.modified = info.mtime?.getTime() ?? null;
  }

  /** Looks for an existing file. Only `-C` requires the permission to read it. */
  #stat(path: string): Deno.FileInfo | null {
    const { resume, remoteName } = this.#options;
    if (!resume && !(remoteName && isGranted({ name: "read", path }))) return null;
    try {
      return resume ? Deno.statSync(path) : Deno.lstatSync(path);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return null;
      throw this.#error(error);
    }
  }

  /** True if a file is open. */
  get isOpen(): boolean {
    return this.#file !== undefined;
  }

  /** What a failed download leaves for `-C`; null if that cannot resume it. */
  get kept(): { path: string; size: number } | null {
    const { path, size } = this;
    const isUseful = size > 0 && this.resumable && this.#isRegular;
    return path !== null && isUseful && this.#options.method === "GET" ? { path, size } : null;
  }

  /** Opens the file, to add to it or to start from its beginning. */
  open(fields: Fields, plan: "append" | "restart"): void {
    const isFirst = this.#file === undefined;
    if (isFirst && this.#options.remoteHeaderName) {
      const name = dispositionName(fields.all("content-disposition")[0] ?? "");
      this.path = safeName(name ?? urlName(this.#url));
    }
    if (plan === "restart" && this.path === null && this.size > 0) {
      throw new ExitError(33, "Cannot start again: the beginning is printed already");
    }
    if (plan === "restart" && !this.isOwn) {
      throw new ExitError(33, `Cannot start again: an earlier run saved ${this.path}`);
    }
    if (plan === "restart") this.size = 0;
    if (this.path === null) return;
    this.#hasHead = plan === "append";
    this.#close();
    try {
      this.#file = Deno.openSync(this.path, this.#openOptions(plan, isFirst));
      this.#inspect(this.#file, this.path);
    } catch (error) {
      throw this.#error(error);
    }
  }

  #openOptions(plan: "append" | "restart", isFirst: boolean): Deno.OpenOptions {
    const { remoteName, remoteHeaderName, resume } = this.#options;
    // A name from a URL or a server must not overwrite a file.
    if (isFirst && !resume && (remoteName || remoteHeaderName)) {
      return { write: true, createNew: true };
    }
    return { write: true, create: true, append: plan === "append", truncate: plan === "restart" };
  }

  /** Finds out whether writes may block. Without permission to read, they may. */
  #inspect(file: Deno.FsFile, path: string): void {
    const info = isGranted({ name: "read", path }) ? file.statSync() : null;
    this.#canWriteSync = info !== null && !info.isFifo;
    this.#isRegular = info?.isFile ?? true;
  }

  /** Writes the header before the body, once for all attempts. */
  async writeHead(lines: string[]): Promise<void> {
    if (this.#hasHead) return;
    this.#hasHead = true;
    const isShown = this.#isShown();
    const text = lines.map((line) => isShown ? `${printable(line)}\n` : `${line}\r\n`).join("");
    await this.#write(isShown ? encoder.encode(text) : fromByteString(text));
  }

  /** True if the output is a terminal. */
  #isShown(): boolean {
    return this.#file === undefined && this.#stdout.isTerminal();
  }

  /** Writes octets of the body. On a terminal, control characters are escaped. */
  async write(octets: Uint8Array): Promise<void> {
    if (this.#isShown()) {
      if (octets.includes(0) && this.#options.output !== "-") {
        throw new ExitError(23, "Binary body: save it with -o FILE, or show it here with -o -");
      }
      this.#text ??= new TextDecoder();
      const text = this.#text.decode(octets, { stream: true });
      await this.#write(encoder.encode(escapeControls(text)));
      this.size += octets.length;
    } else await this.#write(octets, (count) => this.size += count);
  }

  /** Writes all octets. A single write may take only a part, for example on a full disk. */
  async #write(octets: Uint8Array, onWritten?: (count: number) => void): Promise<void> {
    const file = this.#file;
    try {
      for (let left = octets; left.length > 0;) {
        // A synchronous write takes 20 % less time for a GiB, but a pipe could block it.
        const count = file && this.#canWriteSync
          ? file.writeSync(left)
          : await (file ?? this.#stdout).write(left);
        onWritten?.(count);
        left = left.subarray(count);
      }
    } catch (error) {
      throw this.#error(error);
    }
  }

  /** Gives the file the time of Last-Modified (`-R`). */
  setTime(fields: Fields): void {
    const time = parseHttpDate(fields.get("last-modified") ?? "");
    if (this.#file === undefined || !this.#isRegular || Number.isNaN(time)) return;
    this.#file.utimeSync(time / 1000, time / 1000);
  }

  #error(error: unknown): ExitError {
    if (error instanceof Deno.errors.BrokenPipe) return new ExitError(23, ""); // needs no message
    const exists = error instanceof Deno.errors.AlreadyExists;
    const why = exists ? "it exists and is not overwritten" : reasonOf(error);
    return new ExitError(23, `Cannot write ${this.path ?? "standard output"}: ${why}`);
  }

  /** Writes an incomplete last character to a terminal, and closes the file. */
  async [Symbol.asyncDispose](): Promise<void> {
    const rest = this.#text?.decode() ?? "";
    this.#close();
    if (rest !== "") await this.#write(encoder.encode(rest));
  }

  #close(): void {
    this.#file?.close();
    this.#file = undefined;
  }
}

/** Shows control characters except TAB, LF and the CR before it as escapes. */
function escapeControls(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replace(/\r(?=\n|$)/g, "").replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, escapeText);
}

// ---- Engine: the download ----------------------------------------------

/** A request on its own connection, and the header of the response to it. */
interface Exchange {
  readonly wire: Wire;
  readonly request: HttpRequest;
  readonly response: HttpResponse;
  /** Ends when the request is sent; rejects if that fails. */
  readonly sending: Promise<void>;
}

/**
 * Downloads a URL in as many attempts as the options allow.
 *
 * @throws {ExitError} If the download fails, with curl's exit status.
 */
export async function download(
  url: string,
  options: DownloadOptions,
  io: DownloadIO,
  signal: AbortSignal,
): Promise<void> {
  const target = parseTarget(url);
  if (options.insecure) io.note("warning: no certificate is checked (-k)");
  const name = options.upload?.name;
  if (name && target.url.pathname.endsWith("/")) target.url.pathname += encodeURIComponent(name);
  const began = performance.now();
  await using output = new Output(target.url, options, io.stdout);
  try {
    await makeAttempts(firstRequest(target, options), { options, io, output }, signal);
  } catch (error) {
    const failure = signal.aborted ? new ExitError(130, "Interrupted") : error;
    const isResumable = failure instanceof ExitError && RESUMABLE.includes(failure.status);
    if (isResumable) io.transfer.kept = output.kept;
    throw failure;
  }
  if (!output.isOpen) return;
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  io.hint(`saved ${output.path}  ${formatBytes(output.size)} in ${seconds} s`);
}

/** Makes attempts, with pauses between them, until one succeeds or another would not help. */
async function makeAttempts(
  first: HttpRequest,
  context: Pick<Attempt, "options" | "io" | "output">,
  interrupted: AbortSignal,
): Promise<void> {
  const { options, io, output } = context;
  let wait = options.times.firstPause;
  for (let left = options.retries;; left--) {
    const timeout = options.maxTime < FOREVER ? AbortSignal.timeout(options.maxTime) : null;
    const signal = timeout === null ? interrupted : AbortSignal.any([interrupted, timeout]);
    const attempt = { ...context, signal, mayRetry: left > 0, heads: [] };
    const work = makeAttempt(withRange(first, output), attempt);
    try {
      return await abortable(work, signal);
    } catch (error) {
      const late = new ExitError(28, `Not done within ${options.maxTime / 1000} s`);
      const failure = timeout?.aborted ? late : error;
      const mayRetry = left > 0 && !options.upload?.isSpent;
      const delay = mayRetry ? pauseAfter(failure, output, wait) : null;
      if (!(failure instanceof ExitError) || delay === null) throw failure;
      io.note(`${failure.message}: again in ${delay / 1000} s, ${left} left`);
      // The aborted attempt may still be writing. Waits for it, so that the retry resumes at the
      // right offset.
      const isOver = Promise.allSettled([work, pause(delay, interrupted)]);
      await abortable(isOver, interrupted);
      wait = Math.min(wait * 2, MAX_PAUSE);
    }
  }
}

/** Returns the pause before another attempt (ms); null if another would not help. */
function pauseAfter(error: unknown, output: Output, wait: number): number | null {
  if (error instanceof RetryError) return error.retryAfter ?? wait;
  if (error instanceof FinalError) return null;
  if (!(error instanceof ExitError) || !TRANSIENT.includes(error.status)) return null;
  const canContinue = output.size === 0 || output.resumable || output.path !== null;
  return canContinue ? wait : null;
}

/** Follows redirections to the final response, and handles it. */
async function makeAttempt(first: HttpRequest, attempt: Attempt): Promise<void> {
  const { options, io } = attempt;
  Object.assign(io.transfer, { ...emptyTransfer(), hops: io.transfer.hops });
  let request = first;
  for (let hops = 0;; hops++) {
    const exchange = await send(request, attempt);
    using _wire = exchange.wire;
    const { response } = exchange;
    attempt.heads.push(...response.lines);
    report(exchange, hops, io.transfer);
    const next = options.location ? nextRequest(request, response) : null;
    if (next === null) {
      try {
        return await handleResponse(exchange, attempt);
      } finally {
        if (request.target.url.protocol === "https:") await exchange.wire.closeTls(MAX_FAREWELL);
      }
    }
    if (hops === options.maxRedirects) throw new ExitError(47, `More than ${hops} redirections`);
    const isForeign = next.target.url.origin !== request.target.url.origin;
    const loss = isForeign ? ", another origin: without credentials and private fields" : "";
    io.trace?.("*", `${response.status} leads to ${next.target.url.href}${loss}`);
    request = next;
  }
}

/** Records the response of a hop. */
function report({ request, response }: Exchange, hops: number, transfer: Transfer): void {
  transfer.status = response.status;
  transfer.contentType = response.fields.get("content-type") ?? "";
  transfer.url = request.target.url.href;
  transfer.redirects = hops;
  transfer.redirectUrl = redirectUrl(request, response);
}

/** Returns the URL to which a response redirects, followed or not; empty if there is none. */
function redirectUrl(request: HttpRequest, response: HttpResponse): string {
  try {
    return nextRequest(request, response)?.target.url.href ?? "";
  } catch {
    return ""; // the Location is malformed
  }
}

/** Sends a request on a connection of its own, and reads the header of the response. */
async function send(request: HttpRequest, attempt: Attempt): Promise<Exchange> {
  const { io, signal } = attempt;
  const hop = { ...attempt, phases: { "dns": 0, "connect": 0, "tls": 0, "first-byte": 0 } };
  io.transfer.hops.push(hop.phases);
  io.transfer.hopStart = performance.now();
  const conn = await connect(request.target, hop);
  if ("hostname" in conn.remoteAddr) io.transfer.remoteIp = conn.remoteAddr.hostname;
  let inHead = true; // the lines of a chunked body are not shown
  const trace: Trace | undefined = io.trace && ((...line) => inHead && io.trace?.(...line));
  const wire = new Wire(conn, { trace, buffer: MAX_LINE, timer: signalTimer });
  const stop = () => wire.close();
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  try {
    const done = await exchange(wire, request, hop);
    inHead = false;
    io.trace?.("*", formatTimes(hop.phases));
    // RFC 9110 §10.1.1: 417 is tried again without Expect.
    const isUnexpected = done.response.status === 417 && expectsContinue(request);
    if (!isUnexpected || request.upload?.isSpent) return done;
  } catch (error) {
    wire.close();
    throw error;
  }
  wire.close();
  return await send({ ...request, fields: without(request.fields, "expect") }, attempt);
}

// ---- Engine: the final response ----------------------------------------

/** Checks a final response and delivers its body. */
async function handleResponse(exchange: Exchange, attempt: Attempt): Promise<void> {
  const { options, output, io, heads } = attempt;
  const { response } = exchange;
  const { status, fields } = response;
  const answer = `The server answered ${statusText(response)}`;
  refuseTransient(response, answer, attempt);
  const isFailure = options.fail !== "never" && status >= 400;
  const isResumed = output.size > 0 && output.resumable;
  if (isResumed && isFailure && status !== 416) throw new ExitError(22, answer);
  const plan = isResumed ? await resumePlan(exchange, attempt) : "restart";
  // RFC 9110 §15.4.5: 304 says that the copy of the user is still current.
  const isCurrent = status === 304 && isSaved(options) && !options.include;
  if (plan === "complete" || isCurrent) return io.hint(`nothing new to save: ${answer}`);
  if (isFailure && options.fail === "early") {
    if (options.include && output.path === null) await output.writeHead(heads);
    throw new ExitError(22, answer);
  }
  const hasRange = exchange.request.fields.some(([name]) => /^range$/i.test(name));
  if (status === 206 && !hasRange) throw new ExitError(8, "Unexpected 206: no range was asked for");
  const mismatch = options.range && rangeMismatch(options.range, response);
  if (mismatch) io.note(`warning: ${mismatch}`);
  await Promise.all([receiveBody(exchange, plan, attempt), whenSent(exchange)]);
  if (isFailure) throw new ExitError(22, answer);
  if (options.remoteTime) output.setTime(fields);
  if (io.transfer.redirectUrl !== "" && !options.location) {
    io.hint(`${status} -> ${fields.get("location")} (use -L)`);
  }
}

/** Formats status and reason phrase for a message, and cuts a long phrase. */
function statusText({ status, reason }: HttpResponse): string {
  return `${status} ${reason.slice(0, MAX_REASON)}`.trim();
}

/** Asks for another attempt if the status is temporary and Retry-After is not too long. */
function refuseTransient({ status, fields }: HttpResponse, answer: string, attempt: Attempt): void {
  if (!attempt.mayRetry || attempt.options.upload?.isSpent) return;
  if (![408, 429].includes(status) && status < 500) return;
  const wait = retryAfter(fields);
  if ((wait ?? 0) <= MAX_PAUSE) throw new RetryError(22, answer, wait);
}

/** Returns the value of Retry-After (RFC 9110 §10.2.3) in ms; null if there is none. */
function retryAfter(fields: Fields): number | null {
  const value = fields.get("retry-after") ?? "";
  if (/^\d+$/.test(value)) return Number(value) * 1000;
  const date = parseHttpDate(value);
  return Number.isNaN(date) ? null : Math.max(0, date - Date.now());
}

/** Waits until the upload is sent, unless the server refused it. */
async function whenSent({ request, response, sending }: Exchange): Promise<void> {
  if (request.upload === null || response.status >= 300) return;
  try {
    await sending;
  } catch (error) {
    if (error instanceof ExitError) throw error;
    const answer = `The server answered ${response.status}`;
    throw new ExitError(55, `${answer}, but did not take the whole body`);
  }
}

/** Opens the output, writes header and body to it, and checks that the body is complete. */
async function receiveBody(
  { wire, request, response }: Exchange,
  plan: "append" | "restart",
  attempt: Attempt,
): Promise<void> {
  const { options, output } = attempt;
  const { status, fields } = response;
  const framing = bodyFraming(request.method, response);
  const codings = framing === 0 || plan === "append" ? [] : decodableCodings(fields, attempt);
  const start = plan === "append" ? output.size : 0;
  const total = framing === "chunked" || framing === Infinity ? null : start + framing;
  if (codings.length === 0) checkSize(total ?? 0, options);
  output.open(fields, plan);
  const isWhole = request.method === "GET" && (status === 200 || plan === "append");
  const hasHead = options.include && plan === "restart";
  output.resumable = isWhole && codings.length === 0 && !hasHead;
  if (plan === "restart" || output.version === null) output.version = versionOf(response);
  if (options.include) await output.writeHead(attempt.heads);
  if (options.head) return;
  const whole = plan === "append" ? contentRange(fields).total : null;
  await copyBody(wire, framing, codings, whole ?? total, attempt);
  const missing = (whole ?? 0) - output.size;
  if (missing > 0) throw new ExitError(18, `${plural(missing, "byte")} missing of ${whole}`);
}

/** Reads a body, decodes it and writes it; `total` is the size of the file, null if unknown. */
async function copyBody(
  wire: Wire,
  framing: Framing,
  codings: string[],
  total: number | null,
  { options, output, io }: Attempt,
): Promise<void> {
  const end = framing === "chunked" ? "in chunks" : total === null ? "by closing" : "by its length";
  io.trace?.("*", `the body ends ${end}; codings: ${codings.join(", ") || "none"}`);
  let body = counted(readBody(wire, framing, options.times.readTimeout), io.transfer);
  for (const coding of codings.toReversed()) body = decode(body, coding);
  try {
    for await (const octets of body) {
      const size = output.size + octets.length;
      checkSize(size, options);
      if (codings.length === 0 && total !== null && size > total) {
        throw new ExitError(18, `The server sent more than the ${total} bytes of the file`);
      }
      await output.write(octets);
      io.progress?.(output.size, codings.length === 0 ? total : null);
    }
  } catch (error) {
    throw exitErrorOf(error, { malformed: 56, limit: 56, closed: 18 }, options.times.readTimeout);
  }
}

function checkSize(size: number, { maxFilesize }: DownloadOptions): void {
  if (size > maxFilesize) throw new ExitError(63, `The body is larger than ${maxFilesize} bytes`);
}

async function* counted(body: AsyncGenerator<Octets>, transfer: Transfer): AsyncGenerator<Octets> {
  for await (const octets of body) {
    transfer.size += octets.length;
    yield octets;
  }
}

// ---- Command line: options ---------------------------------------------

/** Makes a reader that accepts texts of one form. */
function ofForm(form: RegExp, expected: string): Reader<string> {
  return (text) => {
    if (form.test(text)) return text;
    throw new UsageError(`expected ${expected}`);
  };
}

/** Reads a time limit; 0 stands for none. The value is in milliseconds. */
const timeLimit: Reader<number> = (text) => seconds(0, FOREVER / 1000)(text) || FOREVER;

/** Variables of `-w`, as curl's; a time (s) is counted from the start. */
const VARIABLES: Readonly<Record<string, (transfer: Transfer, began: number) => string>> = {
  http_code: ({ status }) => String(status).padStart(3, "0"),
  response_code: ({ status }) => String(status).padStart(3, "0"),
  size_download: ({ size }) => String(size),
  speed_download: ({ size }, began) => (size / (performance.now() - began) * 1000).toFixed(0),
  time_namelookup: (transfer, began) => timeOf(transfer, began, "dns"),
  time_connect: (transfer, began) => timeOf(transfer, began, "connect"),
  time_appconnect: (transfer, began) => timeOf(transfer, began, "tls"),
  time_starttransfer: (transfer, began) => timeOf(transfer, began, "first-byte"),
  time_total: (_, began) => ((performance.now() - began) / 1000).toFixed(6),
  url_effective: ({ url }) => url,
  content_type: ({ contentType }) => contentType,
  num_redirects: ({ redirects }) => String(redirects),
  remote_ip: ({ remoteIp }) => remoteIp,
  redirect_url: ({ redirectUrl }) => redirectUrl,
};

/** Formats the time at which a phase of the last hop ended (s); 0 if it did not take place. */
function timeOf({ hops, hopStart }: Transfer, began: number, phase: keyof Times): string {
  const hop = hops.at(-1);
  if (hop === undefined || (hop[phase] === 0 && phase !== "dns")) return (0).toFixed(6);
  const ended = PHASES.slice(0, PHASES.indexOf(phase) + 1);
  const time = ended.reduce((sum, name) => sum + hop[name], 0);
  return ((hopStart - began + time) / 1000).toFixed(6);
}

/** Readers of the table below. */
const METHOD = ofForm(TOKEN, "a method");
const PLAIN = ofForm(FIELD_VALUE, "no control characters");
const RANGE = ofForm(/^(\d+-\d*|-\d+)(,(\d+-\d*|-\d+))*$/, '"0-99", "100-" or "-100"');
const DASH = ofForm(/^-$/, '"-"');
const CONNECT_TIMEOUT = String(TIMES.readTimeout / 1000);
const SECRET = { isSecret: true };

/** The table of options. */
// deno-fmt-ignore (a table)
export const OPTIONS = {
  method: option("-X, --request METHOD",
    "method (default: GET; POST with -d, PUT with -T, HEAD with -I)", METHOD),
  fields: list("-H, --header 'N: V'",
    "add or replace a field; 'N:' sends none, 'N;' an empty one", readField),
  data: list("-d, --data DATA|@FILE", "send as the body; @- is standard input", text),
  dataBinary: list("--data-binary DATA|@FILE", "the same, with line ends as they are", text),
  json: list("--json DATA|@FILE", "the same, as application/json, which is also accepted", text),
  upload: option("-T, --upload-file FILE|-",
    'send a file or standard input (PUT); a URL that ends in "/" gets its name', nonEmpty),
  user: option("-u, --user USER[:PASS]",
    "Basic authentication, for the origin of the URL alone", text, undefined, SECRET),
  agent: option("-A, --user-agent AGENT", "value of User-Agent", PLAIN, AGENT),
  range: option("-r, --range RANGE", "ask for a part: 0-99, 100- or -100", RANGE),
  location: flag("-L, --location", "follow redirections"),
  maxRedirects: option("--max-redirs N", "number of redirections; -1 means no limit",
    wholeNumber(-1, Number.MAX_SAFE_INTEGER), "20"),
  head: flag("-I, --head", "ask for the header alone (HEAD)"),
  include: flag("-i, --include", "print the header before the body"),
  output: option("-o, --output FILE", 'save as FILE (default: standard output, also "-")', text),
  remoteName: flag("-O, --remote-name", "save as the last segment of the URL; never overwrites"),
  remoteHeaderName: flag("-J, --remote-header-name",
    "save as Content-Disposition says, otherwise as -O; never overwrites"),
  resume: option("-C, --continue-at -",
    "resume -o or -O where the file ends; the file is only added to", DASH),
  remoteTime: flag("-R, --remote-time", "give the file the time of Last-Modified"),
  fail: flag("-f, --fail", "status 400 and above is exit 22, without the body"),
  failWithBody: flag("--fail-with-body", "the same, after the body"),
  insecure: flag("-k, --insecure", "check no certificates"),
  cacert: option("--cacert FILE",
    "trust this CA as well, or the server's own self-signed certificate", text),
  compressed: negatable("--compressed, --no-compressed", "ask for gzip, deflate and br, and " +
    "decode (default: on standard output, where an unknown coding is passed on)", undefined),
  maxTime: option("-m, --max-time S", "time limit of each attempt (default: none)", timeLimit),
  connectTimeout: option("--connect-timeout S",
    "time limit of each connection", timeLimit, CONNECT_TIMEOUT),
  maxFilesize: option("--max-filesize N", "limit of the decoded body in bytes (default: none)",
    wholeNumber(0, Number.MAX_SAFE_INTEGER)),
  retries: option("--retry N", "attempts after 408, 429, 5xx and failures that may pass; " +
    "a download resumes", wholeNumber(0, 1_000), "0"),
  ipv4: flag("-4, --ipv4", "use IPv4 addresses only"),
  ipv6: flag("-6, --ipv6", "use IPv6 addresses only"),
  resolve: list("--resolve HOST:PORT:ADDR",
    "connect to ADDR for that host and port; several with commas", readFixedAddresses),
  proxy: option("-x, --proxy URL", "go through this HTTP proxy, as http://USER:PASS@HOST:PORT",
    readProxy, undefined, SECRET),
  proxyUser: option("-U, --proxy-user USER:PASS",
    "Basic authentication for the proxy alone", text, undefined, SECRET),
  silent: flag("-s, --silent, -q, --quiet", "no progress, no notes; errors are shown"),
  showError: flag("-S, --show-error, --http1.1, --tlsv1.2",
    "accepted, without effect: true of this client anyway"),
  buffered: flag("-#, -N, -g, --progress-bar, --no-buffer, --globoff", "the same"),
  writeOut: option("-w, --write-out FORMAT",
    "print after the transfer: %{http_code} and the like", readFormat),
  timing: flag("--timing", "time of each phase, in ms, on standard error"),
  verbose: flag("-v, --verbose", "show the conversation on standard error"),
} as const;

/** A parsed command line of the program. */
export type Line = CommandLine<typeof OPTIONS>;

/** Parts of a `-w` format that are replaced. */
const FORMAT_PART = /%\{([^{}]*)\}|%%|\\[nrt]/g;

const ESCAPES: Record<string, string> = { "%%": "%", "\\n": "\n", "\\r": "\r", "\\t": "\t" };

/** Reads a format of `-w`, and checks the names of its variables. */
function readFormat(format: string): string {
  for (const [, name] of format.matchAll(FORMAT_PART)) {
    if (name === undefined || Object.hasOwn(VARIABLES, name)) continue;
    throw new UsageError(`there is no variable ${quoteForMessage(name)}, see --help`);
  }
  return format;
}

/** The command line of the program. */
export const COMMAND: Command<typeof OPTIONS> = {
  name: "http_client",
  summary: "Fetches one URL over HTTP/1.1.",
  usage: ["[options] URL", "[options] HOST PORT FILENAME     (prints the header, too)"],
  options: OPTIONS,
  notes: [
    "URL: http://h/p, https://h/p, h/p, h:8000/p, [::1]:8000/p, :8000/p (localhost)",
    `A server that sends nothing for ${TIMES.readTimeout / 1000} s is given up. -m and ` +
    "--connect-timeout: 0 means no limit.",
    "Certificates: the roots of Mozilla, as Deno brings them; DENO_TLS_CA_STORE=system takes those " +
    "of the system, DENO_CERT=FILE adds some.",
    `FORMAT: \\n, \\t, \\r, %%, ${"%{VARIABLE}"} with ${
      Object.keys(VARIABLES).join(", ")
    }; times in s.`,
  ],
  example: "deno run -NRW http_client.ts -L -C - -O https://example.org/big.iso",
  exitStatuses:
    "0 complete, 1 scheme, 2 usage, 3 URL, 5 proxy, 6 name, 7 connect, 8 not HTTP, 18 cut short, " +
    "22 status with -f, 23 cannot write, 26 cannot read -T, 28 time, 33 cannot resume, 35 TLS, " +
    "47 redirections, 52 nothing came, 55 send, 56 receive, 60 certificate, 61 coding, 63 too large, 77 CA file, " +
    "100 header too large, 130 Ctrl-C",
};

/** Reads the URL and the options of a download, with the files that go into the request. */
export async function readJob(
  line: Line,
  times: DownloadTimes = TIMES,
): Promise<{ url: string; options: DownloadOptions }> {
  refuseClashes(line);
  const { options, operands } = line;
  const resume = options.resume !== undefined;
  const isPlain = options.range === undefined && !isSaved(options);
  return {
    url: readUrl(operands),
    options: {
      ...options,
      ...await readRequestOptions(options),
      timing: options.timing || /%\{time_/.test(options.writeOut ?? ""),
      range: options.range ?? null,
      maxRedirects: options.maxRedirects < 0 ? Infinity : options.maxRedirects,
      include: options.include || options.head || operands.length === 3,
      output: options.output ?? null,
      resume,
      fail: options.fail ? "early" : options.failWithBody ? "late" : "never",
      trust: options.cacert === undefined ? null : readTrustFile(options.cacert),
      compressed: !resume && (options.compressed ?? isPlain),
      passUnknown: options.compressed === undefined,
      maxTime: options.maxTime ?? FOREVER,
      maxFilesize: options.maxFilesize || Infinity,
      family: options.ipv4 ? 4 : options.ipv6 ? 6 : null,
      times,
    },
  };
}

/** Reads the parts of the request: method, fields, body and credentials. */
async function readRequestOptions(options: Line["options"]) {
  const body = await readBodyOptions(options);
  const upload = options.upload === undefined ? null : await openUpload(options.upload);
  const fields = sortFields(options.fields, body);
  const proxy = withProxyFields(options, fields);
  const isJson = options.json.length > 0;
  return {
    method: options.method ?? (options.head ? "HEAD" : upload ? "PUT" : body ? "POST" : "GET"),
    ...fields,
    proxy,
    body,
    upload,
    contentType: body && (isJson ? JSON_TYPE : FORM_TYPE),
    accept: isJson ? JSON_TYPE : "*/*",
    user: readUser(options.user),
  };
}

/** Refuses options that contradict each other. */
function refuseClashes(line: Line): void {
  refuseTogether(line, "output", "remoteName");
  refuseTogether(line, "output", "remoteHeaderName");
  refuseTogether(line, "fail", "failWithBody");
  refuseTogether(line, "ipv4", "ipv6");
  requireWith(line, "proxyUser", "proxy", OPTIONS);
  refuseTogether(line, "head", "data", "dataBinary", "json", "upload");
  refuseTogether(line, "resume", "upload");
  refuseTogether(line, "resume", "range");
  refuseTogether(line, "resume", "remoteHeaderName");
  const { resume, remoteName, output = "-" } = line.options;
  if (resume !== undefined && !remoteName && output === "-") {
    throw new UsageError(`Cannot use ${line.spelling("resume")} without -o FILE or -O`);
  }
  if (line.options.remoteTime && !isSaved(line.options)) {
    throw new UsageError(`Cannot use ${line.spelling("remoteTime")} without -o FILE, -O or -J`);
  }
}

// ---- Command line: the request -----------------------------------------

/** Reads the operands: a URL, or the host, the port and the file name of the assignment. */
function readUrl(operands: readonly string[]): string {
  const [host = "", port = "", file = ""] = operands;
  if (operands.length === 1) return host;
  if (operands.length !== 3) {
    throw new UsageError(`Got ${operands.length} operands: expected URL, or HOST PORT FILENAME`);
  }
  try {
    wholeNumber(1, 65_535)(port);
  } catch (error) {
    throw new UsageError(`Cannot use PORT ${quoteForMessage(port)}: ${reasonOf(error)}`);
  }
  if (/[/?#@\\]/.test(host)) throw badUrl(host, "HOST is a name or an address");
  const authority = host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
  const path = file.replace(/^\/?/, "/").replaceAll(" ", "%20").replaceAll("#", "%23");
  return `http://${authority}:${port}${path}`;
}

/** Reads `Name: value`, `Name:` and `Name;`. */
function readField(line: string): { name: string; mark: string; value: string } {
  const [, name = "", mark = "", rest = ""] = /^([^:;]*)([:;])(.*)$/s.exec(line) ?? [];
  if (TOKEN.test(name) && FIELD_VALUE.test(line)) return { name, mark, value: rest.trim() };
  throw new UsageError("expected 'Name: value'");
}

/** Sorts the values of `-H`: "Name:" removes a field of the client, "Name;" has an empty value. */
function sortFields(given: Line["options"]["fields"], body: Octets | null) {
  const fields: Field[] = [];
  const removed: string[] = [];
  for (const { name, mark, value } of given) {
    const lower = name.toLowerCase();
    // RFC 9112 §6: the framing belongs to the client.
    if (lower === "content-length" && value === String(body?.length ?? 0)) continue;
    if (lower === "content-length" || lower === "transfer-encoding") {
      const shown = quoteForMessage(`${name}: ${value}`);
      throw new UsageError(`Cannot use -H ${shown}: the client sets it from the body`);
    }
    if (mark === ":" && value === "") removed.push(lower);
    else fields.push([name, value]);
  }
  return { fields, removed };
}

const FORM_TYPE = "application/x-www-form-urlencoded";
const JSON_TYPE = "application/json";

/**
 * Joins the values of `-d`, `--data-binary` or `--json`, as curl does; null if no option gives a
 * body. Only one of the three is given.
 */
async function readBodyOptions(options: Line["options"]): Promise<Octets | null> {
  const { data, dataBinary, json } = options;
  const pieces: Octets[] = [];
  for (const part of [...data, ...dataBinary, ...json]) {
    if (pieces.length > 0 && json.length === 0) pieces.push(encoder.encode("&"));
    const octets = part.startsWith("@") ? await readData(part.slice(1)) : encoder.encode(part);
    const isText = part.startsWith("@") && data.length > 0; // -d removes line ends from a file
    pieces.push(isText ? octets.filter((octet) => ![0, LF, CR].includes(octet)) : octets);
  }
  return pieces.length > 0 ? concat(pieces) : null;
}

/** Reads a file of `-d` and the like; `-` is standard input. */
async function readData(path: string): Promise<Octets> {
  try {
    // Standard input by its path would need a permission.
    if (path === "-") return concat(await Array.fromAsync(Deno.stdin.readable));
    return await Deno.readFile(path);
  } catch (error) {
    throw new UsageError(`Cannot read ${quoteForMessage(path)}: ${reasonOf(error)}`);
  }
}

/** Makes the upload of `-T`. Checks that the file can be read before the client connects. */
async function openUpload(path: string): Promise<Upload> {
  if (path === "-") return fileUpload(null, null);
  try {
    const { isFile, isDirectory, size } = await Deno.stat(path);
    if (isDirectory) throw new Error("it is a folder");
    if (isFile) Deno.openSync(path).close(); // opening a pipe would wait for its writer
    return fileUpload(path, isFile ? size : null);
  } catch (error) {
    throw new ExitError(26, `Cannot read ${quoteForMessage(path)}: ${reasonOf(error)}`);
  }
}

/** Makes an upload of a file; without a path, of standard input. */
function fileUpload(path: string | null, size: number | null): Upload {
  let isRead = false;
  return {
    name: path?.replace(/^.*[/\\](?=.)/s, "") ?? null,
    size,
    get isSpent() {
      return isRead && size === null;
    },
    async *read() {
      isRead = true;
      const buffer = new Uint8Array(BODY_BUFFER);
      using file = path === null ? undefined : await Deno.open(path);
      for (let count; (count = await (file ?? Deno.stdin).read(buffer)) !== null;) {
        yield buffer.subarray(0, count);
      }
    },
  };
}

/** Reads `HOST:PORT:ADDR`, with brackets around an IPv6 address. */
function readFixedAddresses(text: string): FixedAddresses {
  const expected = new UsageError("expected HOST:PORT:ADDR, as in example.org:443:127.0.0.1");
  const [, name = "", digits = "", list = ""] = /^(\[[^\]]*\]|[^:*]+):(\d+):(.+)$/.exec(text) ?? [];
  const port = Number(digits);
  const addresses = list.split(",").map(unbracketed);
  if (!addresses.every(isAddress) || port < 1 || port > 65_535) throw expected;
  try {
    return { host: unbracketed(parseTarget(name).url.hostname), port, addresses };
  } catch {
    throw expected;
  }
}

/** Tells whether a text is an IP address. */
function isAddress(text: string): boolean {
  return URL.canParse(text.includes(":") ? `http://[${text}]` : `http://${text}`) &&
    /^(\d+\.){3}\d+$|:/.test(text);
}

/** Reads `[http://][USER:PASS@]HOST[:PORT]`. The port is 1080 without one, as with curl. */
function readProxy(text: string): HttpProxy {
  const expected = new UsageError("expected [http://][USER:PASS@]HOST:PORT");
  const [, authority = ""] = /^(?:http:\/\/)?([^/?#]+)\/?$/i.exec(text) ?? [];
  if (authority === "") throw expected;
  try {
    const { url: { hostname, port }, userinfo } = parseTarget(`http://${authority}`);
    const hasPort = /:\d+$/.test(authority); // `new URL` drops port 80
    return {
      host: unbracketed(hostname),
      port: Number(port || (hasPort ? 80 : 1080)),
      authorization: userinfo && `Basic ${btoa(userinfo)}`,
    };
  } catch {
    throw expected;
  }
}

/** Gives the proxy its credentials. Those of -H go to the proxy alone, not to the server. */
function withProxyFields(
  { proxy, proxyUser }: Line["options"],
  given: { fields: Field[] },
): HttpProxy | null {
  if (proxy === undefined) return null;
  const [, field] = given.fields.find(([name]) => /^proxy-authorization$/i.test(name)) ?? [];
  given.fields = without(given.fields, "proxy-authorization");
  const credentials = readUser(proxyUser);
  const basic = credentials === null ? proxy.authorization : `Basic ${btoa(credentials)}`;
  return { ...proxy, authorization: field ?? basic };
}

/** Returns `user:password`. Asks for a missing password at a terminal. */
function readUser(user: string | undefined): string | null {
  if (user === undefined) return null;
  const asks = !user.includes(":") && Deno.stdin.isTerminal() && Deno.stdout.isTerminal();
  const password = asks ? promptSecret(`Password for ${printable(user)}: `) : "";
  return toByteString(encoder.encode(user.includes(":") ? user : `${user}:${password ?? ""}`));
}

/** Reads the file of `--cacert`. Deno would ignore one without certificates. */
function readTrustFile(path: string): Trust {
  try {
    const trust = readTrust(Deno.readTextFileSync(path));
    if (trust !== null) return trust;
  } catch (error) {
    throw new ExitError(77, `Cannot read ${quoteForMessage(path)}: ${reasonOf(error)}`);
  }
  throw new ExitError(77, `Cannot use --cacert ${quoteForMessage(path)}: no PEM certificate in it`);
}

// ---- Command line: reports ---------------------------------------------

/** Standard output, standard error and Ctrl-C. */
export interface Streams {
  /** Receives the body if no file does. */
  readonly stdout: DownloadIO["stdout"];
  /** Receives notes, the conversation and the progress. */
  readonly stderr: { writeSync(octets: Uint8Array): number; isTerminal(): boolean };
  /** Starts to handle Ctrl-C. Before this, Ctrl-C ends the process, as at the password prompt. */
  readonly signal: () => AbortSignal;
}

/** Writes what a download reports to standard error, and draws its progress there. */
class Reporter implements DownloadIO {
  readonly stdout: DownloadIO["stdout"];
  readonly trace: DownloadIO["trace"];
  readonly progress: DownloadIO["progress"];
  readonly transfer: Transfer = emptyTransfer();
  readonly #began = performance.now();
  readonly #stderr: Streams["stderr"];
  readonly #isSilent: boolean;
  #firstSize: number | undefined; // size when the first octets of the body arrived
  #due = 500; // a short download draws nothing
  #isDrawn = false;

  constructor({ stdout, stderr }: Streams, options: Line["options"]) {
    this.stdout = stdout;
    this.#stderr = stderr;
    this.#isSilent = options.silent;
    if (options.verbose) this.trace = (mark, text) => this.#writeLine(formatTrace(mark, text));
    const isShown = !isSaved(options) && (options.output === "-" || stdout.isTerminal());
    if (stderr.isTerminal() && !options.silent && !isShown) this.progress = this.#draw;
  }

  #write(text: string): void {
    try {
      this.#stderr.writeSync(encoder.encode(text));
    } catch {
      // standard error is closed: the download goes on
    }
  }

  #writeLine(line: string): void {
    this.erase();
    this.#write(`${line}\n`);
  }

  note(line: string): void {
    if (!this.#isSilent) this.#writeLine(printable(line));
  }

  hint(line: string): void {
    if (this.#stderr.isTerminal()) this.note(line);
  }

  /** Writes the sums over all hops, and the time since the start. */
  writeTiming(): void {
    const times: Record<string, number> = {};
    for (const phase of PHASES) {
      times[phase] = this.transfer.hops.reduce((sum, hop) => sum + hop[phase], 0);
    }
    this.#writeLine(formatTimes({ ...times, "total": performance.now() - this.#began }));
  }

  /** Prints what `-w` asks for on standard output. */
  async writeOut(format: string): Promise<void> {
    const { transfer } = this;
    const text = format.replace(
      FORMAT_PART,
      (part, name?: string) =>
        ESCAPES[part] ?? escapeText(VARIABLES[name ?? ""]?.(transfer, this.#began) ?? part),
    );
    const octets = encoder.encode(text);
    for (let at = 0; at < octets.length;) at += await this.stdout.write(octets.subarray(at));
  }

  /** Draws the line of progress, at most ten times a second. */
  readonly #draw = (size: number, total: number | null): void => {
    this.#firstSize ??= size;
    const time = performance.now() - this.#began;
    if (time < this.#due) return;
    this.#due = time + 100;
    this.#isDrawn = true;
    const rate = (size - this.#firstSize) / time * 1000;
    let line = `${formatBytes(size)}  ${formatBytes(rate)}/s`;
    if (total !== null) {
      const left = new Date(Math.min((total - size) / rate * 1000, 86_399_000) || 0);
      const bar = "#".repeat(size / total * 20).padEnd(20, "-");
      line = `${bar}  ${line} of ${formatBytes(total)}  ${left.toISOString().slice(11, 19)} left`;
    }
    const columns = Deno.consoleSize().columns || 80; // a pseudo-terminal may have none
    this.#write(`\r${line.slice(0, columns - 1)}\x1b[K`);
  };

  /** Erases the line of progress. */
  erase(): void {
    if (this.#isDrawn) this.#write("\r\x1b[K");
    this.#isDrawn = false;
  }
}

function formatTimes(times: Record<string, number>): string {
  const phases = Object.entries(times).map(([name, time]) => `${name} ${time.toFixed(1)}`);
  return `${phases.join("  ")} ms`;
}

// ---- Command line: the program -----------------------------------------

/** Runs the program with a command line, and returns the exit status. */
export async function main(
  line: Line,
  streams: Streams,
  times: DownloadTimes = TIMES,
): Promise<number> {
  const { timing, writeOut } = line.options;
  const reporter = new Reporter(streams, line.options);
  const { url, options } = await readJob(line, times);
  try {
    await download(url, options, reporter, streams.signal());
  } catch (error) {
    const { kept } = reporter.transfer;
    if (kept) {
      const size = plural(kept.size, "byte");
      reporter.note(`${size} kept in ${kept.path}; ${resumeHint(line, url, kept.path)}`);
    }
    throw error;
  } finally {
    reporter.erase();
    if (timing) reporter.writeTiming();
    if (writeOut !== undefined) await reporter.writeOut(writeOut);
  }
  return 0;
}

/** Makes the command that resumes a download; secrets are named, not repeated. */
function resumeHint({ options, spelling }: Line, url: string, path: string): string {
  const target = parseTarget(url);
  const repeated = ["location", "insecure", "ipv4", "ipv6", "fail", "remoteTime"] as const;
  const flags = repeated.filter((name) => options[name]);
  const isPrivate = ({ name }: { name: string }) => PRIVATE_FIELDS.includes(name.toLowerCase());
  const words = flags.map((name) => OPTIONS[name].spellings[0] ?? "");
  if (options.cacert !== undefined) words.push("--cacert", options.cacert);
  if (spelling("agent") !== undefined) words.push("-A", options.agent);
  for (const { host, port, addresses } of options.resolve) {
    words.push("--resolve", `${showAddress(host, port)}:${addresses.map(bracketed).join(",")}`);
  }
  for (const field of options.fields) {
    if (!isPrivate(field)) words.push("-H", `${field.name}${field.mark} ${field.value}`.trim());
  }
  words.push("-C", "-", "-o", path.replace(/^-/, "./-"), target.url.href);
  const secrets = options.fields.filter(isPrivate).map(({ name }) => `-H ${name}`);
  if (options.user !== undefined || target.userinfo !== null) secrets.push("-u");
  if (options.proxy !== undefined) secrets.push("-x");
  if (options.proxyUser !== undefined) secrets.push("-U");
  const again = secrets.length > 0 ? ` (with ${secrets.join(", ")} again)` : "";
  return `to resume${again}: deno run -NRW http_client.ts ${words.map(quoted).join(" ")}`;
}

/** Puts brackets around an IPv6 address. */
function bracketed(address: string): string {
  return address.includes(":") ? `[${address}]` : address;
}

/** Quotes a word for a shell. */
function quoted(word: string): string {
  return /^[\w.,:/@%+=-]+$/.test(word) ? word : `'${printable(word).replaceAll("'", `'\\''`)}'`;
}

if (import.meta.main) {
  const { stdout, stderr } = Deno;
  await run(COMMAND, (line) => main(line, { stdout, stderr, signal: shutdownSignal }));
}
