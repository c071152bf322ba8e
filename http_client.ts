#!/usr/bin/env -S deno run --allow-net --allow-read --allow-write
/**
 * Fetches one URL over HTTP/1.1, on a bare TCP or TLS connection, and believes a response only
 * when its own framing says that it is complete.
 *
 * ```sh
 * deno run --allow-net http_client.ts -i http://127.0.0.1:8000/hello.html
 * ```
 *
 * The message on the wire is RFC 9112's, its meaning RFC 9110's; options and exit statuses are
 * curl's. Read from the top: the terms, the numbers, then a download from its URL to its last
 * octet. The command line comes last.
 *
 * Left out: proxies, cookies, HTTP/2, and a second request on a connection. Each hop of a
 * redirection gets a connection of its own, so no left-over octet can answer the next request.
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
  option,
  quoteForMessage,
  type Reader,
  readNumber,
  reasonOf,
  refuseTogether,
  run,
  seconds,
  shutdownSignal,
  text,
  VERSION,
  wholeNumber,
} from "./cli.ts";
import {
  ClosedError,
  DeadlineError,
  describeTlsFault,
  ExitError,
  LimitError,
  MalformedError,
  openTls,
  printable,
  readTrust,
  toByteString,
  TOKEN,
  type Trace,
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

/** A URL without its user and password; those, one char an octet; and the zone of RFC 6874. */
type Target = { url: URL; userinfo: string | null; zone: string };

/** What is asked of a server; the credentials, `user:password`, are for this origin alone. */
type Request = {
  method: string;
  target: Target;
  fields: readonly Field[];
  credentials: string | null;
  body: Octets | null;
};

/** The head of a response, and its lines as they came, those of interim responses first. */
type Response = { status: number; reason: string; fields: readonly Field[]; lines: string[] };

/** How the end of a body is told (RFC 9112 §6.3): by chunks, octets, or, Infinity, by closing. */
type Framing = "chunked" | number;

/** A response that asks for another attempt. */
class RetryError extends ExitError {
  /** @param retryAfter Value of Retry-After (ms); null if there is none. */
  constructor(status: number, message: string, readonly retryAfter: number | null) {
    super(status, message);
  }
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
  /** Credentials for the origin of the URL: `user:password`, one char an octet. */
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
  /** True to write a file named as the last segment of the URL. */
  remoteName: boolean;
  /** True to write a file named as Content-Disposition says. */
  remoteHeaderName: boolean;
  /** True to go on where the file ends. */
  resume: boolean;
  /** What a status of 400 and above is: a failure before the body, one after it, or none. */
  fail: "early" | "late" | "never";
  /** True to check no certificate. */
  insecure: boolean;
  /** Certificates to trust besides the default roots. */
  trust: Trust | null;
  /** True to ask for content codings and to decode them. */
  compressed: boolean;
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
  /** True to measure the look-up of the name apart from the connection. */
  timing: boolean;
  /** Timeouts and pauses. */
  times: DownloadTimes;
}

/** Timeouts and pauses of a download (ms). */
export interface DownloadTimes {
  /** Time for which a server may send nothing, or take nothing. */
  readTimeout: number;
  /** Pause before the second attempt; each later one is twice as long. */
  firstPause: number;
}

/** Where a download delivers, and what it reports on its way. */
export interface DownloadIO {
  /** Receives the body where no file does. */
  readonly stdout: { write(octets: Uint8Array): Promise<number>; isTerminal(): boolean };
  /** Sees the conversation. */
  readonly trace?: Trace | undefined;
  /** Sees the size of the body so far, and its total where that is known. */
  readonly progress?: ((size: number, total: number | null) => void) | undefined;
  /** Receives what the user should know. */
  note(line: string): void;
  /** Receives what is useful for a user at a terminal. */
  hint(line: string): void;
  /** Is kept up to date, also by a download that fails. */
  readonly transfer: Transfer;
}

/** What is known of a download. */
export interface Transfer {
  /** Duration of each phase of each hop. */
  readonly hops: Times[];
}

/** Duration of each phase of a hop (ms). */
export type Times = Record<"dns" | "connect" | "tls" | "first-byte", number>;

/** What the hops of an attempt share; the signal is Ctrl-C, or the end of `--max-time`. */
type Attempt = {
  options: DownloadOptions;
  io: DownloadIO;
  output: Output;
  signal: AbortSignal;
  mayRetry: boolean;
};

// ---- Numbers -----------------------------------------------------------

/** Of a head: the longest line, the whole, both in octets, and the most fields. */
const MAX_LINE = 65_536;
const MAX_HEAD = 262_144;
const MAX_FIELDS = 2_000;

/** How many interim responses (RFC 9110 §15.2) may come before the final one. */
const MAX_INTERIM = 100;

/** The longest chunk-size line and the longest trailer section (RFC 9112 §7.1), in octets. */
const MAX_CHUNK_LINE = 16_384;
const MAX_TRAILERS = 65_536;

/** How many content codings may be piled up: each multiplies what a bomb does. */
const MAX_CODINGS = 5;

/** The buffer of a body, in octets: large enough that system calls no longer count. */
const BODY_BUFFER = 262_144;

/** Timeouts and pauses of a download, unless its caller sets others (ms). */
export const TIMES = { readTimeout: 300_000, firstPause: 1_000 } as const;

/** Largest delay of a timer (ms). */
const FOREVER = 2_147_483_000;

/** Longest pause between two attempts (ms). */
const MAX_PAUSE = 600_000;

/** Exit statuses that may be others next time; those that leave octets worth keeping. */
const TRANSIENT = [6, 7, 18, 28, 52, 55, 56];
const RESUMABLE = [...TRANSIENT, 23, 130];

/** Fields for one origin alone: a redirection to another loses them (RFC 9110 §15.4). */
const PRIVATE_FIELDS = ["authorization", "cookie", "proxy-authorization", "host"];

/** A field value (RFC 9110 §5.5): no control character but the tab. */
// deno-lint-ignore no-control-regex
const FIELD_VALUE = /^[^\x00-\x08\x0a-\x1f\x7f]*$/;

/** What we call ourselves. */
const AGENT = `http_client/${VERSION}`;

const LF = 0x0a;
const encoder = new TextEncoder();

// ---- Engine: the URL ---------------------------------------------------

/** Reads what a user calls a URL: `http://h/p`, `h/p`, `h:8000/p`, `[::1]:8000/p`, `:8000/p`. */
function parseTarget(text: string): Target {
  // `new URL` drops TAB, CR and LF in silence.
  // deno-lint-ignore no-control-regex
  if (/[\x00-\x20\x7f]/.test(text)) throw badUrl(text, "it holds a blank or a control character");
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return toTarget(text);
  return toTarget(`http://${/^:(?!\/\/)/.test(text) ? "localhost" : ""}${text}`);
}

/**
 * Resolves a Location against the URL it came from (RFC 9110 §10.2.2). What a URL cannot hold is
 * percent-encoded octet by octet, which is right for UTF-8 and for Latin-1.
 */
function resolveLocation(base: Target, location: string): Target {
  const encoded = location.replace(
    /[^\x21-\x7e]|\\/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`,
  );
  if (/^[a-z][a-z0-9+.-]*:/i.test(encoded)) return toTarget(encoded);
  if (encoded.startsWith("//")) return toTarget(base.url.protocol + encoded);
  return { url: stripped(new URL(encoded, base.url)), zone: base.zone, userinfo: null };
}

/** Takes an absolute URL apart: exit 1 for another scheme, 3 if it is no URL. */
function toTarget(text: string): Target {
  const [, scheme = "", slashes, authority = "", rest = ""] =
    /^([^:]*):(\/\/)?([^/?#]*)(.*)$/s.exec(text) ?? [];
  if (!/^https?$/i.test(scheme)) throw new ExitError(1, `Scheme "${scheme}" is not supported`);
  // `new URL` reads http:///x as host x, and "\" as "/".
  if (!slashes || /(^|@)(:\d*)?$|\\/.test(authority)) throw badUrl(text, "it names no host");
  const [, zone = ""] = /%(?:25)?([^\]]+)\](?::\d*)?$/.exec(authority) ?? [];
  const host = authority.replace(/%[^\]]*(?=\](:\d*)?$)/, ""); // `new URL` knows no zones
  try {
    const url = new URL(`${scheme}://${host}${rest.replaceAll("\\", "%5C")}`);
    const isNamed = url.username !== "" || url.password !== "";
    const userinfo = isNamed ? percentDecode(`${url.username}:${url.password}`) : null;
    return { url: stripped(url), zone: url.hostname.startsWith("[fe80:") ? zone : "", userinfo };
  } catch {
    throw badUrl(text, "host or port make no sense");
  }
}

/** Takes out of a URL what does not go into a request. */
function stripped(url: URL): URL {
  url.username = url.password = url.hash = "";
  return url;
}

function badUrl(text: string, why: string): ExitError {
  const shown = text.replace(/^(\w*:\/\/)?[^/?#]*@/, "$1"); // without a password
  return new ExitError(3, `Cannot use URL "${shown}": ${why}`);
}

/** Turns %XX into octets, one char each. */
function percentDecode(text: string): string {
  return text.replace(/%([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(Number(`0x${hex}`)));
}

// ---- Engine: the connection --------------------------------------------

/** Opens a connection: name, TCP and TLS, all within `--connect-timeout`. */
async function connect(target: Target, attempt: Attempt, times: Times): Promise<Deno.Conn> {
  const { options, io } = attempt;
  const { protocol, host, hostname, port } = target.url;
  const name = hostname.replace(/^\[(.*)\]$/, "$1"); // sockets and certificates want no brackets
  const timeout = AbortSignal.timeout(options.connectTimeout);
  const signal = AbortSignal.any([attempt.signal, timeout]);
  try {
    const { zone } = target;
    const asked = zone ? `${name}%${zone}` : name;
    if (io.trace && name.includes("xn--")) {
      const { domainToUnicode } = await import("node:url");
      io.trace("*", `${domainToUnicode(name)} is ${name} to the DNS`);
    }
    const hosts = await timed(times, "dns", () => abortable(look(asked, attempt), signal));
    const number = Number(port || (protocol === "https:" ? 443 : 80));
    const open = async () => {
      const conn = await timed(times, "connect", () => dial(hosts, number, signal));
      io.trace?.("*", `connected to ${conn.remoteAddr.hostname} port ${conn.remoteAddr.port}`);
      conn.setNoDelay(); // otherwise Nagle and a delayed ACK hold the request back for 40 ms
      return conn;
    };
    if (protocol === "http:") return await open();
    return await secure(open, name, { ...attempt, signal }, times);
  } catch (error) {
    if (attempt.signal.aborted || !timeout.aborted) throw error;
    throw new ExitError(28, `No connection to ${host} within ${options.connectTimeout / 1000} s`);
  }
}

/** Adds the time that some work takes to its phase. */
async function timed<T>(times: Times, phase: keyof Times, work: () => Promise<T>): Promise<T> {
  const began = performance.now();
  try {
    return await work();
  } finally {
    times[phase] += performance.now() - began;
  }
}

/** Waits no longer than the signal allows for what cannot be called off. */
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

/**
 * Looks a name up where a family is asked for or somebody wants to know. Else the name goes on to
 * `Deno.connect`, which tries all its addresses side by side (RFC 8305): that saves the 20 ms it
 * takes to load node:dns.
 */
async function look(host: string, { options, io }: Attempt): Promise<string[]> {
  const { family } = options;
  const kind = family === null ? "address" : `IPv${family} address`;
  const literal = host.includes(":") ? 6 : /^[\d.]+$/.test(host) ? 4 : null;
  if (literal !== null && family !== null && literal !== family) {
    throw new ExitError(6, `${host} is no ${kind}`);
  }
  if (literal !== null || (family === null && !io.trace && !options.timing)) return [host];
  try {
    const { lookup } = await import("node:dns/promises");
    const found = await lookup(host, { all: true, family: family ?? 0 });
    const addresses = found.map(({ address }) => address);
    io.trace?.("*", `${host} is ${addresses.join(", ")}`);
    // The name, where it will do: permission may be given for it alone, and Deno knows best which
    // of several addresses to try first.
    const [only = host, ...others] = addresses;
    const { state } = Deno.permissions.querySync({ name: "net", host: only });
    const isEnough = !options.timing || others.length > 0 || state !== "granted";
    return family === null && isEnough ? [host] : addresses;
  } catch (error) {
    if (error instanceof Error && error.message.includes("EPERM")) return [host]; // Deno says it
    throw new ExitError(6, `Cannot find an ${kind} of ${host}`);
  }
}

/** Connects to the first address that answers. */
async function dial(hosts: string[], port: number, signal: AbortSignal): Promise<Deno.TcpConn> {
  let [status, why] = [7, ""];
  for (const hostname of hosts) {
    try {
      return await Deno.connect({ hostname, port, signal });
    } catch (error) {
      if (signal.aborted) throw error;
      why = reasonOf(error);
      // Neither of the two has a class or a code of its own.
      if (error instanceof URIError || why.startsWith("failed to lookup")) {
        throw new ExitError(6, `Cannot find an address of ${hostname}`);
      }
      // It was there, and reset before Deno had a look at it: no answer rather than no connection.
      const { ConnectionReset, NotConnected } = Deno.errors;
      if (error instanceof ConnectionReset || error instanceof NotConnected) status = 56;
    }
  }
  throw new ExitError(status, `Cannot connect to ${hosts.join(", ")} port ${port}: ${why}`);
}

/** Opens connections until one has TLS and a certificate that is trusted. */
async function secure(
  open: () => Promise<Deno.TcpConn>,
  hostname: string,
  { options, io, signal }: Attempt,
  times: Times,
): Promise<Deno.Conn> {
  const { trust, insecure } = options;
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
    if (began > 0) times.tls += performance.now() - began;
  }
}

/** Makes exit 60 of a fault of the certificate, 35 of another fault of TLS. */
function tlsError(hostname: string, error: unknown): ExitError {
  const { isCertificate, why } = describeTlsFault(error, "--cacert FILE");
  if (!isCertificate) return new ExitError(35, `No TLS with ${hostname}: ${why}`);
  return new ExitError(60, `Cannot trust the certificate of ${hostname}: ${why}`);
}

// ---- Engine: the request -----------------------------------------------

/** Puts the first request together; what the user gives as a field replaces ours. */
function firstRequest(target: Target, options: DownloadOptions): Request {
  const { method, body, range } = options;
  const ours: Field[] = [
    ["User-Agent", options.agent],
    ["Accept", "*/*"],
    ["Accept-Encoding", options.compressed ? "gzip, deflate, br" : "identity"],
    ["Connection", "close"],
    ["Range", range === null ? "" : `bytes=${range}`],
    ["Content-Type", body === null ? "" : "application/x-www-form-urlencoded"],
  ];
  const given = [...options.removed, ...options.fields.map(([name]) => name.toLowerCase())];
  const kept = ours.filter(([name, value]) => value !== "" && !given.includes(name.toLowerCase()));
  // RFC 9110 §8.6: a length, be it of nothing, where the method foresees content.
  const length = body?.length ?? (/^(POST|PUT|PATCH)$/.test(method) ? 0 : null);
  if (length !== null) kept.push(["Content-Length", String(length)]);
  const fields = [...kept, ...options.fields];
  return { method, target, fields, credentials: options.user ?? target.userinfo, body };
}

/**
 * Sends a request and reads the head of its response. Reads while it sends: a server may answer
 * before it has all, and take no more.
 */
async function exchange(
  wire: Wire,
  request: Request,
  { io, options: { times: { readTimeout } } }: Attempt,
  times: Times,
): Promise<Response> {
  const body = request.body ?? new Uint8Array(0);
  const lines = requestLines(request);
  for (const line of lines) {
    const [secret] = /^(?:authorization|proxy-authorization|cookie):/i.exec(line) ?? [];
    io.trace?.(">", secret ? `${secret} [credentials]` : line);
  }
  io.trace?.(">", body.length > 0 ? `[${body.length} octets of body]` : "");
  const head = encoder.encode(`${lines.join("\r\n")}\r\n\r\n`);
  const message = concat([head, body]); // one write, one packet
  let [isSent, isRefused] = [false, false];
  wire.setDeadline(readTimeout);
  wire.write(message, readTimeout).then(() => isSent = true, () => isRefused = true);
  try {
    await timed(times, "first-byte", () => wire.fill());
    return await readResponse(wire);
  } catch (error) {
    // A reset is told once: where the write heard of it, the read sees a plain end.
    const isSilent = error instanceof ExitError && error.status === 52;
    const isCut = isSilent ? isRefused : !isSent && error instanceof ClosedError;
    if (!isCut) throw failureOf(error, { malformed: 8, limit: 100, closed: 8 }, readTimeout);
    const status = body.length > 0 ? 55 : 56;
    throw new ExitError(status, "The server closed before it had the whole request");
  }
}

/** The lines of the head of a request (RFC 9112 §3). */
function requestLines({ method, target, fields, credentials }: Request): string[] {
  const { url } = target;
  const given = fields.map(([name]) => name.toLowerCase());
  const lines = [`${method} ${url.href.slice(url.origin.length)} HTTP/1.1`];
  if (!given.includes("host")) lines.push(`Host: ${url.host}`); // first: RFC 9110 §7.2
  if (credentials !== null && !given.includes("authorization")) {
    lines.push(`Authorization: Basic ${btoa(credentials)}`);
  }
  return [...lines, ...fields.map(([name, value]) => `${name}: ${value}`)];
}

/** Gives what broke the wire its exit status; what is none of the wire's stays as it is. */
function failureOf(
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

// ---- Engine: the response ----------------------------------------------

/** Reads heads until one is final. */
async function readResponse(wire: Wire): Promise<Response> {
  const interim: string[] = [];
  for (let count = 0; count <= MAX_INTERIM; count++) {
    const lines = await readHead(wire);
    const response = parseHead(lines);
    if (response.status === 101) throw new ExitError(8, "The server switches protocols unasked");
    if (response.status >= 200) return { ...response, lines: [...interim, ...lines, ""] };
    interim.push(...lines, "");
  }
  throw new LimitError(`More than ${MAX_INTERIM} interim responses`);
}

/** Reads the lines of a head; one may end in LF alone (RFC 9112 §2.2). */
async function readHead(wire: Wire): Promise<string[]> {
  await expectHttp(wire);
  const lines: string[] = [];
  for (let left = MAX_HEAD;;) {
    const line = await wire.readLine(MAX_LINE, "LF");
    if (line === null) throw new ClosedError("Connection closed inside the header");
    if (line.includes("\0")) throw new MalformedError("The header holds a NUL");
    if (line === "") return lines;
    lines.push(line);
    left -= line.length + 1;
    if (left >= 0 && lines.length <= MAX_FIELDS) continue;
    throw new LimitError(`A header of more than ${MAX_HEAD} octets or ${MAX_FIELDS} fields`);
  }
}

/** Finds out early whether this is HTTP at all: what is not may never send a line. */
async function expectHttp(wire: Wire): Promise<void> {
  for (let begun = ""; begun !== "HTTP/1.";) {
    begun = toByteString(wire.buffered.subarray(0, 7));
    if (!"HTTP/1.".startsWith(begun)) throw new ExitError(8, `Not HTTP/1: "${begun}"`);
    if (begun.length === 7 || await wire.fill()) continue;
    if (begun === "") throw new ExitError(52, "The server closed without a response");
    throw new ClosedError("Connection closed inside the status line");
  }
}

/**
 * Reads a status line (RFC 9112 §4) and field lines (§5). A line that begins with a blank goes on
 * with the one before (obs-fold, §5.2). A blank ahead of the colon is refused, for what is ignored
 * might be the length.
 */
function parseHead(lines: string[]): Response {
  const [first = "", ...rest] = lines;
  const [, status, reason = ""] = /^HTTP\/1\.\d ([1-9]\d\d)(?: (.*))?$/s.exec(first) ?? [];
  if (status === undefined) throw new MalformedError(`Bad status line "${first}"`);
  const fields: [name: string, value: string][] = [];
  for (const line of rest) {
    const [, name = "", value = ""] = /^([^:]*):(.*)$/s.exec(line) ?? [];
    const last = fields.at(-1);
    if (/^[ \t]/.test(line) && last !== undefined) last[1] = trimmed(`${last[1]} ${trimmed(line)}`);
    else if (TOKEN.test(name)) fields.push([name, trimmed(value)]);
    else throw new MalformedError(`Bad field line "${line}"`);
  }
  return { status: Number(status), reason, fields, lines };
}

/** Takes the optional white space off (RFC 9110 §5.6.3); String.trim would take more. */
function trimmed(value: string): string {
  return value.replace(/^[ \t]+/, "").replace(/[ \t]+$/, "");
}

/** The values of all fields of a name. */
function valuesOf({ fields }: Response, name: string): string[] {
  return fields.filter(([other]) => other.toLowerCase() === name).map(([, value]) => value);
}

/** The members of a list (RFC 9110 §5.6.1) in lower case, without the empty ones. */
function membersOf(response: Response, name: string): string[] {
  const members = valuesOf(response, name).flatMap((value) => value.toLowerCase().split(","));
  return members.map(trimmed).filter((member) => member !== "");
}

/** Tells where a body ends, by the rules of RFC 9112 §6.3. */
function bodyFraming(method: string, response: Response): Framing {
  // Rule 1: these have no body, whatever the fields say.
  if (method === "HEAD" || [204, 304].includes(response.status)) return 0;
  // Rules 3 and 4: Transfer-Encoding comes first; we asked for nothing but chunked.
  const codings = membersOf(response, "transfer-encoding").join(", ");
  if (codings === "chunked") return "chunked";
  if (valuesOf(response, "transfer-encoding").length > 0) {
    throw new ExitError(8, `Unknown Transfer-Encoding "${codings}"`);
  }
  // Rule 5: equal lengths are one length. Number() alone would take "", 0x1f and 1e3, too.
  const lengths = valuesOf(response, "content-length").flatMap((value) => value.split(","));
  const numbers = lengths.map((text) => /^[ \t]*\d+[ \t]*$/.test(text) ? Number(text) : NaN);
  const [octets = Infinity] = numbers;
  if (numbers.length === 0) return octets; // rule 8
  if (octets <= Number.MAX_SAFE_INTEGER && numbers.every((other) => other === octets)) {
    return octets;
  }
  throw new ExitError(8, `Bad Content-Length "${lengths.join(",")}"`);
}

/** Reads a body, in pieces that are good until the next one is asked for. */
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
    if (count === 0) throw new ClosedError(`${left} bytes missing of ${framing}`);
    left -= count;
    wire.setDeadline(null); // the reader of the body may take as long as it likes
    yield buffer.subarray(0, count);
  }
}

/**
 * Reads a chunked body (RFC 9112 §7.1). Small chunks are gathered as long as nothing has to be
 * waited for, or a chunk an octet would cost a write an octet.
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
        left = chunkSize(await readChunkLine(wire, MAX_CHUNK_LINE, 56));
        expected = left === 0 ? "trailers" : "data";
      } else if (expected === "data") {
        const count = await wire.readInto(buffer.subarray(filled, filled + left));
        if (count === 0) throw new ClosedError("Connection closed inside a chunk");
        filled += count;
        left -= count;
        if (left === 0) expected = "end";
      } else {
        // What is skipped is looked at: it is the line end after the data, or the size was wrong.
        const end = await readChunkLine(wire, 2, 56);
        if (end !== "") throw new MalformedError("A chunk goes on behind its size");
        expected = "size";
      }
    }
  } catch (error) {
    yield buffer.subarray(0, filled); // what was right is the user's
    throw error;
  }
  yield buffer.subarray(0, filled);
  // The trailer fields (§7.1.2) are dropped.
  for (let limit = MAX_TRAILERS, line; line !== ""; limit -= line.length + 1) {
    line = await readChunkLine(wire, limit, 100);
  }
}

/** Reads a line of the chunked coding. */
async function readChunkLine(wire: Wire, limit: number, status: number): Promise<string> {
  const line = await wire.readLine(limit, "LF").catch((error) => {
    throw error instanceof LimitError ? new ExitError(status, "Chunked coding goes astray") : error;
  });
  if (line === null) throw new ClosedError("Connection closed ahead of the last chunk");
  if (line.includes("\0")) throw new MalformedError("The chunked coding holds a NUL");
  return line;
}

/** Reads the size off a chunk's first line; extensions say nothing to us (RFC 9112 §7.1.1). */
function chunkSize(line: string): number {
  // parseInt would take "5zz", "0x5" and "+5", too.
  const [, digits] = /^0*([0-9a-f]{1,12})[ \t]*(?:;.*)?$/is.exec(line) ?? [];
  if (digits === undefined) throw new MalformedError(`Bad chunk size "${line}"`);
  return Number(`0x${digits}`);
}

// ---- Engine: content codings -------------------------------------------

/** The codings of a body, in the order in which they were applied (RFC 9110 §8.4). */
function contentCodings(response: Response): string[] {
  const codings = membersOf(response, "content-encoding").filter((name) => name !== "identity");
  const unknown = codings.find((coding) => !/^((x-)?gzip|deflate|br)$/.test(coding));
  if (unknown !== undefined) {
    throw new ExitError(61, `Unknown Content-Encoding "${unknown}"; try --no-compressed`);
  }
  if (codings.length <= MAX_CODINGS) return codings;
  throw new ExitError(61, `More than ${MAX_CODINGS} content codings on top of each other`);
}

/**
 * Undoes a content coding. With node:zlib: DecompressionStream takes a truncated deflate for a
 * complete one, refuses a second gzip member (RFC 1952 §2.2), and puts no bound on what comes out.
 */
async function* decode(source: AsyncGenerator<Octets>, coding: string): AsyncGenerator<Octets> {
  let piece = new Uint8Array(0);
  while (piece.length < 2) { // two octets tell zlib from raw deflate
    const { value, done } = await source.next();
    if (done) break;
    piece = concat([piece, value]);
  }
  if (piece.length === 0) return; // nothing at all, in whatever coding
  const { pipeline } = await import("node:stream");
  const stream = await decoder(coding, piece);
  let fed = piece.length;
  const isCut = () => coding === "br" && stream.bytesWritten > fed;
  const feed = async function* () {
    yield piece;
    for await (const octets of source) {
      fed += octets.length;
      yield octets.slice();
    }
    // A truncated brotli stream takes this octet for its own, a complete one leaves it.
    if (coding === "br") yield new Uint8Array(1);
  };
  try {
    for await (const octets of pipeline(feed, stream, () => {})) { // errors come out of the stream
      if (isCut()) break; // what that octet was taken for is nobody's
      yield octets;
    }
    if (isCut()) throw new Error("unexpected end of file");
  } catch (error) {
    if (error instanceof ExitError || error instanceof WireError) throw error;
    const why = error instanceof Error ? error.message : "";
    throw new ExitError(61, `Cannot decode ${coding}: ${why}`);
  }
}

/** What decodes a coding. Some send raw deflate for "deflate", which is zlib (RFC 9110 §8.4.1.2). */
async function decoder(coding: string, [first = 0, second = 0]: Octets) {
  const zlib = await import("node:zlib");
  if (coding === "br") return zlib.createBrotliDecompress();
  if (coding !== "deflate") return zlib.createGunzip();
  const isZlib = (first & 15) === 8 && (first * 256 + second) % 31 === 0; // RFC 1950 §2.2
  return isZlib ? zlib.createInflate() : zlib.createInflateRaw();
}

// ---- Engine: redirections ----------------------------------------------

/**
 * The request that a redirection asks for (RFC 9110 §15.4); null if the response is final. What
 * belongs to one origin does not go to another, and never comes back, since each request is made
 * from the one before.
 */
function redirected(request: Request, response: Response): Request | null {
  if (![301, 302, 303, 307, 308].includes(response.status)) return null;
  const [location = "", ...others] = new Set(valuesOf(response, "location"));
  if (others.length > 0) throw new ExitError(8, "The response names two Locations");
  if (location === "") return null;
  const target = resolveLocation(request.target, location);
  const isForeign = target.url.origin !== request.target.url.origin;
  const becomesGet = response.status === 303
    ? request.method !== "HEAD"
    : response.status <= 302 && request.method === "POST";
  const fields = request.fields.filter(([name]) =>
    !(isForeign && PRIVATE_FIELDS.includes(name.toLowerCase())) &&
    !(becomesGet && /^content-/i.test(name))
  );
  const credentials = target.userinfo ?? (isForeign ? null : request.credentials);
  if (!becomesGet) return { ...request, target, fields, credentials };
  return { method: "GET", target, fields, credentials, body: null };
}

// ---- Engine: files -----------------------------------------------------

/** Makes a name from outside safe to create in the current folder: a last segment, clean. */
function safeName(name: string): string {
  const last = name.slice(Math.max(name.lastIndexOf("/"), name.lastIndexOf("\\")) + 1);
  const clean = last.replace(/\p{Cc}|\p{Bidi_Control}|[\u2028\u2029]/gu, "_").trim();
  if (!/^\.{0,2}$/.test(clean)) return clean;
  throw new ExitError(23, `Cannot save as "${name}": that is no file name; use -o FILE`);
}

/** The name in a URL: its last segment. */
function urlName({ pathname }: URL): string {
  return decodeText(percentDecode(pathname.slice(pathname.lastIndexOf("/") + 1)));
}

/** The name in a Content-Disposition (RFC 6266 §4.3); null if there is none. */
function dispositionName(value: string): string | null {
  const PARAMETER = /;\s*([^\s;=]*)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^;]*)))?[^;]*/g;
  const parameters = new Map<string, string>();
  for (const [, name = "", quoted, token = ""] of `;${value}`.matchAll(PARAMETER)) {
    const text = quoted?.replace(/\\(["\\])/g, "$1") ?? token.replace(/^"/, "").trim();
    parameters.set(name.toLowerCase(), text);
  }
  const [, extended] = /^[\w-]+'[^']*'(.*)$/s.exec(parameters.get("filename*") ?? "") ?? [];
  const name = extended === undefined ? parameters.get("filename") : percentDecode(extended);
  // Hidden files are not a server's to make.
  return name === undefined ? null : decodeText(name).replace(/^.*[/\\]/s, "").replace(/^\.+/, "");
}

/** Takes a string of one char an octet for UTF-8 if it can be that, else for Latin-1. */
function decodeText(text: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(octetsOf(text));
  } catch {
    return text;
  }
}

/** What a response means for an output that has its first octets already; else exit 33. */
function resumption(
  response: Response,
  { size, validator }: Output,
): "append" | "restart" | "complete" {
  const { status, reason } = response;
  const range = valuesOf(response, "content-range").join(", ");
  const [, first, total] = /^bytes +(?:(\d+)-\d+|\*)\/(\d+|\*)$/i.exec(range) ?? [];
  if (status === 200) return "restart";
  // RFC 9110 §15.3.7.3: parts go together only if they share their strong validator.
  const isOther = validator !== null && (valuesOf(response, "etag")[0] ?? validator) !== validator;
  if (status === 206 && Number(first ?? NaN) === size && !isOther) return "append";
  if (status === 416 && total !== undefined && Number(total) === size) return "complete";
  const answer = `${status} ${range || reason}`;
  throw new ExitError(33, `Cannot resume at octet ${size}: the server answered ${answer}`);
}

/** True if the body goes into a file. */
function isSaved(options: {
  output?: string | null | undefined;
  remoteName: boolean;
  remoteHeaderName: boolean;
}): boolean {
  return options.remoteName || options.remoteHeaderName || (options.output ?? "-") !== "-";
}

/** Where the body goes, over all attempts at it. */
class Output {
  /** The file; null for standard output, and until a server has named it. */
  path: string | null;
  /** How many octets of the body are there. */
  size = 0;
  /** What makes sure that the rest is of the same representation (RFC 9110 §13.1.5). */
  validator: string | null = null;
  /** Whether a range can go on at `size`: these are the first octets of what a GET gives. */
  resumable = true;
  readonly #url: URL;
  readonly #options: DownloadOptions;
  readonly #stdout: DownloadIO["stdout"];
  readonly #text = new TextDecoder(); // for a terminal
  #file: Deno.FsFile | undefined;
  #isQuick = true;
  #hasHead = false;

  constructor(url: URL, options: DownloadOptions, stdout: DownloadIO["stdout"]) {
    this.#url = url;
    this.#options = options;
    this.#stdout = stdout;
    this.path = options.output === "-" ? null : options.output;
    if (options.remoteName && !options.remoteHeaderName) this.path = safeName(urlName(url));
    try {
      if (options.resume && this.path !== null) this.size = Deno.statSync(this.path).size;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw this.#failure(error);
    }
  }

  /** Whether a file is written. */
  get isOpen(): boolean {
    return this.#file !== undefined;
  }

  /** Opens the file: for what follows the first `size` octets, or for all. */
  open(response: Response, plan: "append" | "restart"): void {
    const { remoteName, remoteHeaderName, resume } = this.#options;
    if (remoteHeaderName && this.#file === undefined) {
      const [disposition = ""] = valuesOf(response, "content-disposition");
      this.path = safeName(dispositionName(disposition) ?? urlName(this.#url));
    }
    const append = plan === "append";
    if (this.path === null && this.size > 0 && !append) {
      throw new ExitError(33, "The server starts again, but the beginning is printed already");
    }
    if (!append) this.size = 0;
    if (this.path === null) return;
    this.#hasHead = append;
    // What a URL or a server names must not overwrite anything.
    const createNew = (remoteName || remoteHeaderName) && !resume && this.#file === undefined;
    this.#close();
    try {
      const how = createNew ? { createNew } : { create: true, append, truncate: !append };
      this.#file = Deno.openSync(this.path, { write: true, ...how });
      // To look at the open file takes --allow-read; without it, it may be a pipe for all we know.
      const { state } = Deno.permissions.querySync({ name: "read", path: this.path });
      this.#isQuick = state === "granted" && !this.#file.statSync().isFifo;
    } catch (error) {
      throw this.#failure(error);
    }
  }

  /** Writes the header ahead of the body, once, however many attempts the body takes. */
  async writeHead(heads: string): Promise<void> {
    if (this.#hasHead) return;
    this.#hasHead = true;
    await this.write(octetsOf(heads));
  }

  /** Writes all of the octets; to a terminal as text that cannot steer it. */
  async write(octets: Uint8Array, isLast = false): Promise<void> {
    let left = octets;
    if (this.#file === undefined && this.#stdout.isTerminal()) {
      if (octets.includes(0) && this.#options.output !== "-") {
        throw new ExitError(23, "Binary body: save it with -o FILE, or show it here with -o -");
      }
      left = encoder.encode(escapeControls(this.#text.decode(octets, { stream: !isLast })));
    }
    try {
      // On this thread a GiB takes four fifths of the time; but a pipe could block it.
      while (left.length > 0) {
        const quick = this.#isQuick ? this.#file?.writeSync(left) : undefined;
        left = left.subarray(quick ?? await (this.#file ?? this.#stdout).write(left));
      }
    } catch (error) {
      throw this.#failure(error);
    }
  }

  #failure(error: unknown): ExitError {
    if (error instanceof Deno.errors.BrokenPipe) return new ExitError(23, ""); // needs no words
    const exists = error instanceof Deno.errors.AlreadyExists;
    const why = exists ? "it exists and is not overwritten" : reasonOf(error);
    return new ExitError(23, `Cannot write ${this.path ?? "standard output"}: ${why}`);
  }

  /** Says how much of a broken download is kept and how to go on; null if there is no way. */
  get hint(): string | null {
    const { location, insecure, method } = this.#options;
    if (this.path === null || this.size === 0 || !this.resumable || method !== "GET") return null;
    const flags = `${location ? "-L " : ""}${insecure ? "-k " : ""}-C - -o`;
    const command = `http_client.ts ${flags} ${quoted(this.path)} ${quoted(this.#url.href)}`;
    return `${this.size} bytes kept in ${this.path}; to resume: ${command}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.write(new Uint8Array(0), true); // half a character may be left
    this.#close();
  }

  #close(): void {
    this.#file?.close();
    this.#file = undefined;
  }
}

/** Shows control characters, but TAB, LF and the CR before it, as escapes. */
function escapeControls(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replace(/\r(?=\n|$)/g, "").replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, printable);
}

/** Quotes a word for a shell. */
function quoted(word: string): string {
  return /^[\w.,:/@%+=~-]+$/.test(word) ? word : `'${printable(word).replaceAll("'", `'\\''`)}'`;
}

// ---- Engine: the download ----------------------------------------------

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
  const interrupted = signal;
  const target = parseTarget(url);
  if (options.insecure) io.note("warning: no certificate is checked (-k)");
  // Loading the resolver takes longer than asking it: that is not to count as "dns".
  if (options.timing) await (await import("node:dns/promises")).lookup("127.0.0.1");
  const began = performance.now();
  const first = firstRequest(target, options);
  await using output = new Output(target.url, options, io.stdout);
  for (let left = options.retries, pause = options.times.firstPause;; left--) {
    const signal = AbortSignal.any([interrupted, AbortSignal.timeout(options.maxTime)]);
    const attempt = { options, io, output, signal, mayRetry: left > 0 };
    const work = makeAttempt(resumed(first, output), attempt);
    try {
      await abortable(work, signal);
      break;
    } catch (error) {
      const late = new ExitError(28, `Not done within ${options.maxTime / 1000} s`);
      const ended = interrupted.aborted ? new ExitError(130, "Interrupted") : late;
      const failure = signal.aborted ? ended : error;
      if (!(failure instanceof ExitError)) throw failure;
      const wait = left > 0 ? pauseAfter(failure, output, pause) : null;
      if (wait === null) {
        if (RESUMABLE.includes(failure.status) && output.hint) io.note(output.hint);
        throw failure;
      }
      io.note(`${failure.message}: again in ${wait / 1000} s, ${left} left`);
      // What was called off may have something to write yet; then what is missing is less.
      const pauseIsOver = new Promise((done) => setTimeout(done, wait));
      await abortable(Promise.allSettled([work, pauseIsOver]), interrupted).catch(() => {
        throw new ExitError(130, "Interrupted");
      });
      pause = Math.min(pause * 2, MAX_PAUSE);
    }
  }
  if (!output.isOpen) return;
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  io.hint(`saved ${output.path}  ${formatBytes(output.size)} in ${seconds} s`);
}

/** How long to wait before another attempt, in milliseconds; null if none would help. */
function pauseAfter(error: ExitError, output: Output, pause: number): number | null {
  if (error instanceof RetryError) return error.retryAfter ?? pause;
  const goesOn = output.size === 0 || output.resumable || output.path !== null;
  return goesOn && TRANSIENT.includes(error.status) ? pause : null;
}

/** What Retry-After says (RFC 9110 §10.2.3), in milliseconds; null if nothing. */
function retryAfter(response: Response): number | null {
  const [value = ""] = valuesOf(response, "retry-after");
  if (/^\d+$/.test(value)) return Number(value) * 1000;
  // Date.parse would take "1.5" and "soon 3", too.
  const date = value.endsWith(" GMT") ? Date.parse(value) : NaN;
  return Number.isNaN(date) ? null : Math.max(0, date - Date.now());
}

/** Asks for what is not there yet (RFC 9110 §14.2), if it still is the same (§13.1.5). */
function resumed(request: Request, { size, validator, resumable }: Output): Request {
  if (size === 0 || !resumable) return request;
  const others = request.fields.filter(([name]) => !/^(accept-encoding|range)$/i.test(name));
  // A range of a compressed body would not go with what is there.
  const range: Field[] = [["Accept-Encoding", "identity"], ["Range", `bytes=${size}-`]];
  if (validator !== null) range.push(["If-Range", validator]);
  return { ...request, fields: [...others, ...range] };
}

/** Follows redirections to the final response, and delivers it. */
async function makeAttempt(first: Request, attempt: Attempt): Promise<void> {
  const { options, io, signal } = attempt;
  const { trace } = io;
  let request = first;
  let heads = "";
  for (let hops = 0;; hops++) {
    const times = { "dns": 0, "connect": 0, "tls": 0, "first-byte": 0 };
    io.transfer.hops.push(times);
    const conn = await connect(request.target, attempt, times);
    let inHead = true; // the lines of a chunked body are not shown
    const headTrace: typeof trace = trace && ((...line) => inHead && trace(...line));
    using wire = new Wire(conn, { trace: headTrace, buffer: MAX_LINE });
    const stop = () => wire.close();
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
    const response = await exchange(wire, request, attempt, times);
    inHead = false;
    trace?.("*", formatTimes(times));
    heads += response.lines.map((line) => `${line}\r\n`).join("");
    const next = options.location ? redirected(request, response) : null;
    if (next === null) return await deliver(wire, request, response, heads, attempt);
    if (hops === options.maxRedirects) throw new ExitError(47, `More than ${hops} redirections`);
    const isForeign = next.target.url.origin !== request.target.url.origin;
    const loss = isForeign ? ", another origin: what was private stays behind" : "";
    trace?.("*", `${response.status} leads to ${next.target.url.href}${loss}`);
    request = next;
  }
}

/** Takes the final response to where it belongs, if it is what was asked for. */
async function deliver(
  wire: Wire,
  request: Request,
  response: Response,
  heads: string,
  attempt: Attempt,
): Promise<void> {
  const { options, output, io, mayRetry } = attempt;
  const { status, reason } = response;
  const answer = `The server answered ${status} ${reason}`.trim();
  const pause = retryAfter(response);
  if (mayRetry && ([408, 429].includes(status) || status >= 500) && (pause ?? 0) <= MAX_PAUSE) {
    throw new RetryError(22, answer, pause);
  }
  const failed = options.fail !== "never" && status >= 400;
  const resumes = output.size > 0 && output.resumable && (!failed || status === 416);
  const plan = resumes ? resumption(response, output) : "restart";
  // 304: what the user has of it still holds (RFC 9110 §15.4.5).
  if (plan === "complete" || (status === 304 && isSaved(options) && !options.include)) {
    return io.hint(`nothing new to save: ${answer}`);
  }
  if (failed && options.fail === "early") {
    if (options.include && output.path === null) await output.writeHead(heads);
    throw new ExitError(22, answer);
  }
  const framing = bodyFraming(request.method, response);
  const codings = options.compressed && framing !== 0 ? contentCodings(response) : [];
  const start = plan === "append" ? output.size : 0;
  const total = framing === "chunked" || framing === Infinity ? null : start + framing;
  if (codings.length === 0) checkSize(total ?? 0, options);
  if (codings.length > 0 && plan === "append") throw new ExitError(33, "The rest is compressed");
  output.open(response, plan);
  const isWhole = request.method === "GET" && (status === 200 || plan === "append");
  output.resumable = isWhole && codings.length === 0 && !options.include;
  const known = plan === "append" ? output.validator : null;
  output.validator = valuesOf(response, "etag").find((tag) => tag.startsWith('"')) ?? known;
  if (options.include) await output.writeHead(heads);
  if (options.head) return;
  await receive(wire, framing, codings, total, attempt);
  const [, whole = output.size] = /\/(\d+)$/.exec(valuesOf(response, "content-range").join()) ?? [];
  const missing = plan === "append" ? Number(whole) - output.size : 0;
  if (missing > 0) throw new ExitError(18, `${missing} bytes missing of ${whole}`);
  if (missing < 0) throw new ExitError(18, `${-missing} bytes more than the ${whole} announced`);
  if (failed) throw new ExitError(22, answer);
  if (status >= 300 && status < 400 && !options.location) {
    io.hint(`${status} -> ${valuesOf(response, "location").join()} (use -L)`);
  }
}

/** Reads a body, decodes it and writes it; `total` is its size, null if nobody knows. */
async function receive(
  wire: Wire,
  framing: Framing,
  codings: string[],
  total: number | null,
  { options, output, io }: Attempt,
): Promise<void> {
  const end = framing === "chunked" ? "in chunks" : total === null ? "by closing" : "by its length";
  io.trace?.("*", `the body ends ${end}; codings: ${codings.join(", ") || "none"}`);
  let body = readBody(wire, framing, options.times.readTimeout);
  for (const coding of codings.toReversed()) body = decode(body, coding);
  try {
    for await (const octets of body) {
      checkSize(output.size + octets.length, options);
      await output.write(octets);
      output.size += octets.length;
      io.progress?.(output.size, codings.length === 0 ? total : null);
    }
  } catch (error) {
    throw failureOf(error, { malformed: 56, limit: 56, closed: 18 }, options.times.readTimeout);
  }
}

function checkSize(size: number, { maxFilesize }: DownloadOptions): void {
  if (size > maxFilesize) throw new ExitError(63, `The body is larger than ${maxFilesize} bytes`);
}

function concat(pieces: Uint8Array[]): Octets {
  const octets = new Uint8Array(pieces.reduce((length, piece) => length + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    octets.set(piece, at);
    at += piece.length;
  }
  return octets;
}

/** Turns a string of one char an octet into the octets. */
function octetsOf(text: string): Octets {
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}

// ---- Command line ------------------------------------------------------

/** Makes a reader that takes texts of one form. */
function ofForm(form: RegExp, expected: string): Reader<string> {
  return (text) => {
    if (form.test(text)) return text;
    throw new UsageError(`expected ${expected}`);
  };
}

/** Reads a time limit; 0 stands for none. The value is in milliseconds. */
const timeLimit: Reader<number> = (text) => seconds(0, FOREVER / 1000)(text) || FOREVER;

const OPTIONS = {
  method: option(
    "-X, --request METHOD",
    "method (default: GET; POST with -d, HEAD with -I)",
    ofForm(TOKEN, "a method"),
  ),
  fields: list(
    "-H, --header 'N: V'",
    "add or replace a field; 'N:' sends none, 'N;' an empty one",
    readField,
  ),
  data: list("-d, --data DATA|@FILE", "send as the body; @- is standard input", text),
  user: option(
    "-u, --user USER[:PASS]",
    "Basic authentication, for the origin of the URL alone",
    text,
    undefined,
    { isSecret: true },
  ),
  agent: option(
    "-A, --user-agent AGENT",
    "value of User-Agent",
    ofForm(FIELD_VALUE, "no control characters"),
    AGENT,
  ),
  range: option(
    "-r, --range RANGE",
    "ask for a part: 0-99, 100- or -100",
    ofForm(/^(\d+-\d*|-\d+)(,(\d+-\d*|-\d+))*$/, '"0-99", "100-" or "-100"'),
  ),
  location: flag("-L, --location", "follow redirections"),
  maxRedirects: option(
    "--max-redirs N",
    "number of redirections; -1 is no limit",
    wholeNumber(-1, Number.MAX_SAFE_INTEGER),
    "20",
  ),
  head: flag("-I, --head", "ask for the header alone (HEAD)"),
  include: flag("-i, --include", "print the header before the body"),
  output: option("-o, --output FILE", 'save as FILE (default: standard output, also "-")', text),
  remoteName: flag("-O, --remote-name", "save as the last segment of the URL; never overwrites"),
  remoteHeaderName: flag(
    "-J, --remote-header-name",
    "save as Content-Disposition says, otherwise as -O; never overwrites",
  ),
  resume: option(
    "-C, --continue-at -",
    "resume -o or -O where the file ends",
    ofForm(/^-$/, '"-"'),
  ),
  fail: flag("-f, --fail", "status 400 and above is exit 22, without the body"),
  failWithBody: flag("--fail-with-body", "the same, after the body"),
  insecure: flag("-k, --insecure", "check no certificates"),
  cacert: option("--cacert FILE", "trust this CA as well", text),
  compressed: negatable(
    "--compressed, --no-compressed",
    "ask for gzip, deflate and br, and decode (default: on standard output)",
    undefined,
  ),
  maxTime: option("-m, --max-time S", "time limit of each attempt (default: none)", timeLimit),
  connectTimeout: option(
    "--connect-timeout S",
    "time limit of each connection",
    timeLimit,
    String(TIMES.readTimeout / 1000),
  ),
  maxFilesize: option(
    "--max-filesize N",
    "limit of the decoded body in bytes (default: none)",
    wholeNumber(0, Number.MAX_SAFE_INTEGER),
  ),
  retries: option(
    "--retry N",
    "attempts after 408, 429, 5xx and failures that may pass; a download resumes",
    wholeNumber(0, 1_000),
    "0",
  ),
  ipv4: flag("-4, --ipv4", "use IPv4 addresses only"),
  ipv6: flag("-6, --ipv6", "use IPv6 addresses only"),
  silent: flag("-s, --silent, -q, --quiet", "no progress, no notes; errors are shown"),
  showError: flag("-S, --show-error", "no effect: errors are always shown"),
  timing: flag("--timing", "time of each phase, in ms, on standard error"),
  verbose: flag("-v, --verbose", "show the conversation on standard error"),
} as const;

type Line = CommandLine<typeof OPTIONS>;

/** The command line of the program. */
export const COMMAND: Command<typeof OPTIONS> = {
  name: "http_client",
  summary: "Fetches one URL over HTTP/1.1.",
  usage: ["[options] URL", "[options] HOST PORT FILENAME     (prints the header, too)"],
  options: OPTIONS,
  notes: [
    "URL: http://h/p, https://h/p, h/p, h:8000/p, [::1]:8000/p, :8000/p (localhost)",
    `A server that sends nothing for ${TIMES.readTimeout / 1000} s is given up.`,
  ],
  example: "deno run -NRW http_client.ts -L -C - -O https://example.org/big.iso",
  exitStatuses:
    "0 complete, 1 scheme, 2 usage, 3 URL, 6 name, 7 connect, 8 not HTTP, 18 cut short, " +
    "22 status with -f, 23 cannot write, 28 time, 33 cannot resume, 35 TLS, 47 redirections, " +
    "52 nothing came, 55 send, 56 receive, 60 certificate, 61 coding, 63 too large, 77 CA file, " +
    "100 header too large, 130 Ctrl-C",
};

/** Reads the URL and the options of a download, with the files that go into the request. */
export async function readJob(
  line: Line,
  times: DownloadTimes = TIMES,
): Promise<{ url: string; options: DownloadOptions }> {
  refuseClashes(line);
  const { options, operands } = line;
  const body = await readData(options.data);
  const head = options.head;
  const isPlain = options.range === undefined &&
    !isSaved(options);
  return {
    url: readUrl(operands),
    options: {
      ...options,
      method: options.method ?? (head ? "HEAD" : body === null ? "GET" : "POST"),
      ...sortFields(options.fields, body),
      body,
      user: readUser(options.user),
      range: options.range ?? null,
      maxRedirects: options.maxRedirects < 0 ? Infinity : options.maxRedirects,
      include: options.include || head || operands.length === 3,
      output: options.output ?? null,
      resume: options.resume !== undefined,
      fail: options.fail ? "early" : options.failWithBody ? "late" : "never",
      trust: options.cacert === undefined ? null : readTrustFile(options.cacert),
      compressed: options.compressed ?? isPlain,
      maxTime: options.maxTime ?? FOREVER,
      maxFilesize: options.maxFilesize || Infinity,
      family: options.ipv4 ? 4 : options.ipv6 ? 6 : null,
      times,
    },
  };
}

/** Refuses options that contradict each other. */
function refuseClashes(line: Line): void {
  refuseTogether(line, "output", "remoteName");
  refuseTogether(line, "output", "remoteHeaderName");
  refuseTogether(line, "fail", "failWithBody");
  refuseTogether(line, "ipv4", "ipv6");
  refuseTogether(line, "head", "data");
  refuseTogether(line, "resume", "range");
  refuseTogether(line, "resume", "remoteHeaderName");
  const { resume, remoteName, output = "-" } = line.options;
  if (line.options.compressed) refuseTogether(line, "resume", "compressed");
  if (resume === undefined || remoteName || output !== "-") return;
  throw new UsageError(`Cannot use ${line.spelling("resume")} without -o FILE or -O`);
}

/** Takes one operand for a URL, and three for the host, the port and the file of the assignment. */
function readUrl(operands: readonly string[]): string {
  const [host = "", port = "", file = ""] = operands;
  if (operands.length === 1) return host;
  if (operands.length !== 3) {
    throw new UsageError(`Got ${operands.length} operands: expected URL, or HOST PORT FILENAME`);
  }
  try {
    readNumber(port, { min: 1, max: 65_535, isWhole: true });
  } catch (error) {
    throw error instanceof UsageError
      ? new UsageError(`Cannot use PORT ${quoteForMessage(port)}: ${error.message}`)
      : error;
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

/** Sorts what `-H` gives: "Name:" removes a field of ours, "Name;" is a field without a value. */
function sortFields(given: readonly ReturnType<typeof readField>[], body: Octets | null) {
  const fields: Field[] = [];
  const removed: string[] = [];
  for (const { name, mark, value } of given) {
    const lower = name.toLowerCase();
    // RFC 9112 §6: the framing belongs to the client.
    if (lower === "content-length" && value === String(body?.length ?? 0)) continue;
    if (lower === "content-length" || lower === "transfer-encoding") {
      throw new UsageError(`Cannot use -H "${name}: ${value}": the length comes from -d`);
    }
    if (mark === ":" && value === "") removed.push(lower);
    else fields.push([name, value]);
  }
  return { fields, removed };
}

/** Puts the body together as curl does: parts joined by "&", line ends in a file dropped. */
async function readData(parts: readonly string[]): Promise<Octets | null> {
  const read = async (part: string) => {
    if (!part.startsWith("@")) return encoder.encode(part);
    try {
      // Standard input by its path would need a permission.
      const octets = part === "@-"
        ? concat(await Array.fromAsync(Deno.stdin.readable))
        : await Deno.readFile(part.slice(1));
      return octets.filter((octet) => octet !== 0x00 && octet !== 0x0a && octet !== 0x0d);
    } catch (error) {
      throw new UsageError(`Cannot read ${quoteForMessage(part.slice(1))}: ${reasonOf(error)}`);
    }
  };
  const pieces: Octets[] = [];
  for (const part of parts) pieces.push(encoder.encode("&"), await read(part));
  return parts.length === 0 ? null : concat(pieces.slice(1));
}

/** Asks for the password where it is missing and there is a terminal. */
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

/** Streams of the program, and what stops it. */
export interface Streams {
  /** Receives the body where no file does. */
  readonly stdout: { write(octets: Uint8Array): Promise<number>; isTerminal(): boolean };
  /** Receives notes, the conversation and the progress. */
  readonly stderr: { writeSync(octets: Uint8Array): number; isTerminal(): boolean };
  /** Starts to listen for Ctrl-C, which ends the program by itself before, as at a prompt. */
  readonly signal: () => AbortSignal;
}

/** Writes what a download reports to standard error, and draws its progress there. */
class Reporter implements DownloadIO {
  readonly stdout: Streams["stdout"];
  readonly trace: Trace | undefined;
  readonly progress: ((size: number, total: number | null) => void) | undefined;
  readonly transfer: Transfer = { hops: [] };
  readonly #began = performance.now();
  readonly #stderr: Streams["stderr"];
  readonly #isSilent: boolean;
  #firstSize: number | undefined; // when the body began to come
  #due = 500; // a short download draws nothing
  #isDrawn = false;

  constructor({ stdout, stderr }: Streams, { silent, verbose, ...options }: Line["options"]) {
    this.stdout = stdout;
    this.#stderr = stderr;
    this.#isSilent = silent;
    if (verbose) this.trace = (mark, text) => this.#writeLine(formatTrace(mark, text));
    const isShown = !isSaved(options) && (options.output === "-" || stdout.isTerminal());
    if (stderr.isTerminal() && !silent && !isShown) this.progress = this.#draw;
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
    const { hops } = this.transfer;
    const sum = (phase: keyof Times) => hops.reduce((total, hop) => total + hop[phase], 0);
    this.#writeLine(formatTimes({
      "dns": sum("dns"),
      "connect": sum("connect"),
      "tls": sum("tls"),
      "first-byte": sum("first-byte"),
      "total": performance.now() - this.#began,
    }));
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

/** Does what a command line asks for, and returns the exit status. */
export async function main(
  line: Line,
  streams: Streams,
  times: DownloadTimes = TIMES,
): Promise<number> {
  const reporter = new Reporter(streams, line.options);
  try {
    const { url, options } = await readJob(line, times);
    await download(url, options, reporter, streams.signal());
    return 0;
  } finally {
    reporter.erase();
    if (line.options.timing) reporter.writeTiming();
  }
}

if (import.meta.main) {
  const { stdout, stderr } = Deno;
  await run(COMMAND, (line) => main(line, { stdout, stderr, signal: shutdownSignal }));
}
