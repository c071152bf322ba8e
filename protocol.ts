/**
 * What the five programs share on the wire: errors, octets and text, media types, header fields, a
 * connection that is read with limits and one deadline, TLS with a check of the certificate, and
 * datagrams. The conversations are in the programs; the command line and the process in `cli.ts`.
 *
 * The programs open the sockets. A {@linkcode Wire} turns their octets into lines. Every read has a
 * limit, and no wait is longer than the deadline.
 *
 * ```ts
 * import { assertEquals } from "jsr:@std/assert@^1.0.19";
 * import { Wire } from "./protocol.ts";
 *
 * using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
 * const { hostname, port } = listener.addr;
 * using client = new Wire(await Deno.connect({ hostname, port }));
 * using server = new Wire(await listener.accept());
 * client.setDeadline(5000);
 * await client.writeLine("HELO");
 * assertEquals(await server.readLine(512), "HELO");
 * ```
 *
 * @module
 */
import type { DuplexOptions } from "node:stream";
import type { TLSSocket } from "node:tls";

// ---- Errors --------------------------------------------------------------

/** Base class of errors caused by the peer or the network. */
export class WireError extends Error {
  /** The name of the class. */
  override get name(): string {
    return this.constructor.name;
  }
}

/** The peer sent what the grammar forbids. */
export class MalformedError extends WireError {}

/** The peer sent more than the program accepts. */
export class LimitError extends WireError {}

/** The connection ended in the middle of a message; `cause` is the error of the system, if any. */
export class ClosedError extends WireError {}

/** The peer took longer than the deadline allowed. */
export class DeadlineError extends WireError {}

/** The command line is wrong: exit status 2. */
export class UsageError extends Error {
  /** The name of the class. */
  override name = "UsageError";
}

/** A program failed for a reason that has an exit status of its own. */
export class ExitError extends Error {
  /** The name of the class. */
  override name = "ExitError";
  /** The exit status. */
  readonly status: number;

  /** Takes the exit status and one line for the user; an empty one is not printed. */
  constructor(status: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}

// ---- Octets and text -----------------------------------------------------

/** Turns octets into a byte string: one char per octet, so that lengths count octets. */
export function toByteString(octets: Uint8Array): string {
  let text = "";
  for (let at = 0; at < octets.length; at += 8192) {
    // Seven times as fast as spreading the octets as arguments.
    text += Reflect.apply(String.fromCharCode, null, octets.subarray(at, at + 8192));
  }
  return text;
}

/** Turns a byte string back into octets. */
export function fromByteString(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}

/** Joins pieces of octets. */
export function concat(pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const octets = new Uint8Array(pieces.reduce((length, piece) => length + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    octets.set(piece, at);
    at += piece.length;
  }
  return octets;
}

/** Decodes a byte string as UTF-8. A string that is not UTF-8 stays as it is. */
export function decodeUtf8(text: string): string {
  if (!/[\x80-\xff]/.test(text) || /[^\0-\xff]/.test(text)) return text;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(fromByteString(text));
  } catch {
    return text;
  }
}

/**
 * Escapes what could steer a terminal, break a line of a log or reverse text: C0, DEL, C1, line
 * separators, bidirectional marks, lone surrogates.
 */
export function escapeText(text: string): string {
  return text.replace(
    // deno-lint-ignore no-control-regex
    /[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]|\p{Surrogate}/gu,
    (char) => {
      const code = char.charCodeAt(0).toString(16);
      return code.length > 2 ? `\\u${code.padStart(4, "0")}` : `\\x${code.padStart(2, "0")}`;
    },
  );
}

/**
 * Decodes and escapes a byte string from a peer, for a terminal and for one line of a log.
 *
 * ```ts
 * import { assertEquals } from "jsr:@std/assert@^1.0.19";
 * assertEquals(printable("\x1b[2J caf\xc3\xa9"), "\\x1b[2J café");
 * ```
 */
export function printable(text: string): string {
  return escapeText(decodeUtf8(text));
}

/** Media types: `extensions=subtype`, or an extension that is its own subtype. */
const MEDIA_TYPES = `
   text html,htm=html css csv vtt js,mjs,cjs=javascript md,markdown=markdown xml,xsl=xml
   text yaml,yml=yaml ics=calendar vcf=vcard c,h,cpp,java,php,lock=plain
   text txt,log,ini,conf,cfg,toml,ts,tsx,jsx,mts,cts,sh,py,rb,rs,go,patch,diff,sql=plain
   image png jpg,jpeg=jpeg gif webp avif jxl heic bmp svg=svg+xml ico=x-icon tif,tiff=tiff
   audio mp3=mpeg m4a=mp4 ogg,oga,opus=ogg wav flac aac
   video mp4,m4v=mp4 mpg,mpeg=mpeg webm ogv=ogg mov=quicktime mkv=x-matroska avi=x-msvideo
   font woff woff2 ttf otf
   model glb=gltf-binary gltf=gltf+json usdz=vnd.usdz+zip
   application json,map,geojson=json jsonld=ld+json webmanifest=manifest+json wasm pdf rtf
   application xhtml=xhtml+xml atom=atom+xml rss=rss+xml epub=epub+zip mpd=dash+xml
   application m3u8=vnd.apple.mpegurl zip gz,tgz=gzip bz2=x-bzip2 xz=x-xz zst=zstd
   application 7z=x-7z-compressed tar=x-tar rar=vnd.rar apk=vnd.android.package-archive doc=msword
   application odt=vnd.oasis.opendocument.text ods=vnd.oasis.opendocument.spreadsheet
   application odp=vnd.oasis.opendocument.presentation xls=vnd.ms-excel ppt=vnd.ms-powerpoint
   application docx=vnd.openxmlformats-officedocument.wordprocessingml.document
   application xlsx=vnd.openxmlformats-officedocument.spreadsheetml.sheet
   application pptx=vnd.openxmlformats-officedocument.presentationml.presentation`;

/** Media types by extension; read when first needed, because a client needs none. */
let mediaTypes: ReadonlyMap<string, string> | undefined;

function readMediaTypes(): ReadonlyMap<string, string> {
  return new Map(
    MEDIA_TYPES.trim().split("\n").flatMap((line) => {
      const [type = "", ...groups] = line.trim().split(" ");
      return groups.flatMap((group) => {
        const [extensions = "", subtype = extensions] = group.split("=");
        return extensions.split(",").map((extension) => [extension, `${type}/${subtype}`] as const);
      });
    }),
  );
}

/** Returns the media type that the extension of a file name stands for, without parameters. */
export function mediaType(name: string): string | undefined {
  const dot = name.lastIndexOf(".");
  if (dot < 0) return undefined;
  mediaTypes ??= readMediaTypes();
  return mediaTypes.get(name.slice(dot + 1).toLowerCase());
}

/**
 * Reads the certificates of a PEM text (RFC 7468), as DER.
 *
 * @returns An empty array if there is none, or one is damaged.
 */
export function readCertificates(pem: string): Uint8Array<ArrayBuffer>[] {
  const block = /-----BEGIN CERTIFICATE-----([^-]*)-----END CERTIFICATE-----/g;
  try {
    const certificates = Array.from(
      pem.matchAll(block),
      ([, body = ""]) => Uint8Array.fromBase64(body),
    );
    const isSequence = (octets: Uint8Array) => octets[0] === 0x30; // the outer tag of X.509
    return certificates.every(isSequence) ? certificates : [];
  } catch {
    return [];
  }
}

// ---- Header fields -------------------------------------------------------

/** `token = 1*tchar` (RFC 9110 §5.6.2), the form of a field name and a method. */
export const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/**
 * A field value without control characters except tab:
 * `field-vchar = VCHAR / obs-text` (RFC 9110 §5.5).
 */
export const FIELD_VALUE = /^[\t\x20-\x7e\x80-\u{10ffff}]*$/u;

/** What RFC 9110 §5.5 tells a recipient to refuse in any case: CR, LF and NUL. */
const LENIENT_VALUE = /^[^\r\n\0]*$/;

/**
 * Removes `OWS = *( SP / HTAB )` (RFC 9110 §5.6.3) from both ends. A regex such as `/[\t ]+$/`
 * takes quadratic time: it starts again at every blank of a long row.
 */
export function trimOws(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isBlank(text.charCodeAt(start))) start++;
  while (start < end && isBlank(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

/** Splits `#element` (RFC 9110 §5.6.1) at its commas; for elements that hold no quoted comma. */
export function listMembers(list: string): string[] {
  return list.split(",").map(trimOws);
}

/** Header fields in the order of the message, with every duplicate (RFC 9110 §5.3). */
export class Fields implements Iterable<readonly [name: string, value: string]> {
  readonly #fields: [name: string, value: string][] = [];
  readonly #value: RegExp;

  /** Makes an empty header; one that is lenient takes control characters except CR, LF and NUL. */
  constructor(options: { isLenient?: boolean } = {}) {
    this.#value = options.isLenient ? LENIENT_VALUE : FIELD_VALUE;
  }

  /** Number of field lines. */
  get size(): number {
    return this.#fields.length;
  }

  /**
   * Adds a field line; white space around the value is removed.
   *
   * @throws {MalformedError} If the name is not a token or the value has a control character, so
   * that a value cannot inject another line.
   */
  append(name: string, value: string): this {
    if (!TOKEN.test(name)) throw new MalformedError(`Field name "${name}" is not a token`);
    if (!this.#value.test(value)) {
      throw new MalformedError(`Value of field ${name} has a control character`);
    }
    this.#fields.push([name, trimOws(value)]);
    return this;
  }

  /**
   * Adds a line `field-name ":" OWS field-value OWS` (RFC 9112 §5).
   *
   * @throws {MalformedError} If there is no colon, or white space before it.
   */
  appendLine(line: string): this {
    const colon = line.indexOf(":");
    if (colon < 0) throw new MalformedError("Field line has no colon");
    return this.append(line.slice(0, colon), line.slice(colon + 1));
  }

  /** Returns all values of a field, in order. The case of the name does not matter. */
  all(name: string): string[] {
    const wanted = name.toLowerCase();
    return this.#fields.filter(([name]) => name.toLowerCase() === wanted).map(([, value]) => value);
  }

  /** Returns the values of a field joined by commas (RFC 9110 §5.3); undefined without any. */
  get(name: string): string | undefined {
    const values = this.all(name);
    return values.length === 0 ? undefined : values.join(", ");
  }

  /** Returns the field lines, each with its CRLF. */
  toString(): string {
    return this.#fields.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  }

  /** Iterates over pairs of name and value. */
  [Symbol.iterator](): Iterator<readonly [name: string, value: string]> {
    return this.#fields.values();
  }
}

// ---- The wire ------------------------------------------------------------

/**
 * Receives each line that crosses the wire: ">" sent, "<" received, "*" a note. The text is
 * decoded but not escaped; `formatTrace` of cli.ts escapes it.
 */
export type Trace = (mark: ">" | "<" | "*", text: string) => void;

const CR = 0x0d;
const LF = 0x0a;

/** Initial size of a receive buffer (octets). Small, because thousands of connections are idle. */
const INITIAL_BUFFER = 2048;

/**
 * The usual close reason. Shared, because creating an Error costs 5 % of a short connection. Created
 * when first needed, because V8 takes 0.5 ms for an Error that is created while a module loads.
 */
let closed: ClosedError | undefined;

/** Number of octets that `lingeringClose` reads and drops before it closes anyway. */
const MAX_DRAINED = 1 << 26;

/** Largest delay of setTimeout (ms). A longer one fires at once. */
const MAX_DELAY = 0x7fff_ffff;

const encoder = new TextEncoder();

/** Calls a function after a time (ms). Returns a function that prevents the call. */
export type Timer = (ms: number, call: () => void) => () => void;

const timeoutTimer: Timer = (ms, call) => {
  const timer = setTimeout(call, ms);
  return () => clearTimeout(timer);
};

/**
 * Timer for a program that makes one connection. The first `setTimeout` of a process takes 4 ms,
 * because Deno then loads its timers; `AbortSignal.timeout` takes 0.3 ms each time.
 */
export function signalTimer(ms: number, call: () => void): () => void {
  const signal = AbortSignal.timeout(ms);
  signal.addEventListener("abort", call);
  return () => signal.removeEventListener("abort", call);
}

/** Settings of a {@linkcode Wire}. */
export interface WireOptions {
  /** Receives every line. */
  trace?: Trace | undefined;
  /** Initial size of the receive buffer (octets). Default: 2048. */
  buffer?: number;
  /** Timer of the deadline. Default: `setTimeout`. */
  timer?: Timer;
}

/**
 * Reads and writes one connection, and owns it: closing the wire closes the connection. One
 * reader and one writer at a time.
 *
 * Every call rejects with a {@linkcode WireError}: the reason given to `close`, a
 * {@linkcode DeadlineError}, or a {@linkcode ClosedError} whose `cause` is the error of the system.
 */
export class Wire implements Disposable {
  readonly #conn: Deno.Conn;
  readonly #trace: Trace | undefined;
  #buffer: Uint8Array<ArrayBuffer>;
  #start = 0; // of the octets that are received and not yet read
  #end = 0;
  #due = Infinity; // in the time of performance.now()
  readonly #timer: Timer;
  #stopTimer: (() => void) | undefined;
  #timerDue = Infinity;
  #reason: WireError | undefined;
  #received = 0;

  /** Takes over an open connection. */
  constructor(conn: Deno.Conn, options: WireOptions = {}) {
    this.#conn = conn;
    this.#trace = options.trace;
    this.#timer = options.timer ?? timeoutTimer;
    this.#buffer = new Uint8Array(options.buffer ?? INITIAL_BUFFER);
  }

  /** Octets received and not yet read: a view, valid until the next read. */
  get buffered(): Uint8Array<ArrayBuffer> {
    return this.#buffer.subarray(this.#start, this.#end);
  }

  /** Number of octets that are received and not yet read: `buffered.length` without making a view. */
  get available(): number {
    return this.#end - this.#start;
  }

  /** Number of octets received in all. */
  get received(): number {
    return this.#received;
  }

  /**
   * Sets the deadline of all reads and writes until the next call: this many milliseconds from now;
   * null removes it. At the deadline the wire closes, because a message that is cut in the middle
   * cannot be continued.
   *
   * The timer is set again only when it fires or is too late, so a conversation of many short
   * steps costs one timer.
   *
   * @returns The current time of `performance.now()`, for a caller that needs it as well.
   */
  setDeadline(ms: number | null): number {
    const now = performance.now();
    this.#due = ms === null ? Infinity : now + ms;
    if (this.#due < this.#timerDue && !this.#reason) this.#startTimer(ms ?? 0);
    return now;
  }

  #startTimer(ms: number): void {
    this.#stopTimer?.();
    this.#timerDue = performance.now() + ms;
    this.#stopTimer = this.#timer(Math.min(ms, MAX_DELAY), () => {
      this.#timerDue = Infinity;
      const left = this.#due - performance.now();
      if (left <= 0) this.close(new DeadlineError("Peer took too long"));
      else if (left < Infinity) this.#startTimer(left);
    });
  }

  /** Waits for more octets. Returns their number, or 0 when the peer has ended. */
  fill(): Promise<number> {
    return this.#read();
  }

  /** Returns the part of the buffer that the next octets go into. */
  #room(): Uint8Array<ArrayBuffer> {
    if (this.#start === this.#end) this.#start = this.#end = 0;
    else if (this.#end === this.#buffer.length) this.#makeRoom();
    // A view costs 0.1 µs, and every request comes through here.
    return this.#end === 0 ? this.#buffer : this.#buffer.subarray(this.#end);
  }

  #makeRoom(): void {
    const octets = this.buffered;
    if (octets.length > this.#buffer.length / 2) this.#buffer = new Uint8Array(octets.length * 2);
    this.#buffer.set(octets); // set() handles overlap
    this.#start = 0;
    this.#end = octets.length;
  }

  /** Reads into the target, or without one into the buffer. All other reads go through this one. */
  async #read(target?: Uint8Array): Promise<number> {
    if (this.#reason) throw this.#reason;
    try {
      const count = await this.#conn.read(target ?? this.#room()) ?? 0;
      if (!target) this.#end += count;
      this.#received += count;
      return count;
    } catch (error) {
      throw this.#wireError(error);
    }
  }

  /** Returns the reason of the close, or an error of the system as a WireError. */
  #wireError(cause: unknown): WireError {
    if (this.#reason) return this.#reason;
    return new ClosedError(cause instanceof Error ? cause.message : String(cause), { cause });
  }

  /** Marks this many of the buffered octets as read. */
  skip(count: number): void {
    this.#start += count;
  }

  /**
   * Reads a line and removes its end; null if the peer ended before the line began.
   *
   * @param limit Maximum length of the line with its end (octets).
   * @param end What ends a line: only CRLF, or LF with or without a CR.
   * @throws {MalformedError} If a CR or LF stands alone (only a CR, where "LF" ends a line).
   * @throws {LimitError} If the line is too long.
   * @throws {ClosedError} If the peer ends inside the line.
   */
  async readLine(limit: number, end: "CRLF" | "LF" = "CRLF"): Promise<string | null> {
    let scanned = 0;
    let length: number;
    while ((length = this.buffered.indexOf(LF, scanned) + 1) === 0) {
      scanned = this.buffered.length;
      if (scanned >= limit) break;
      if (await this.fill()) continue;
      if (scanned === 0) return null;
      throw new ClosedError("Connection closed inside a line");
    }
    if (length === 0 || length > limit) {
      throw new LimitError(`Line is longer than ${limit} octets`);
    }
    const octets = this.buffered.subarray(0, length - 1);
    const cr = octets.indexOf(CR);
    if (cr === -1 ? end === "CRLF" : cr !== octets.length - 1) {
      throw new MalformedError("Line has a CR or LF outside its CRLF");
    }
    const line = toByteString(cr === -1 ? octets : octets.subarray(0, cr));
    this.skip(length);
    this.#trace?.("<", decodeUtf8(line));
    return line;
  }

  /** Reads what is there into the target, for bodies. Returns 0 when the peer has ended. */
  async readInto(target: Uint8Array): Promise<number> {
    if (this.#start === this.#end) return await this.#read(target);
    const octets = this.buffered.subarray(0, target.length);
    target.set(octets);
    this.skip(octets.length);
    return octets.length;
  }

  /**
   * Sends a line with its CRLF.
   *
   * @param shown Text for the trace instead of a line that has a secret.
   * @throws {MalformedError} If the line has CR, LF or NUL, so that one line stays one line.
   */
  async writeLine(line: string, shown = line): Promise<void> {
    if (/[\r\n\0]/.test(line)) throw new MalformedError("Cannot send CR, LF or NUL inside a line");
    this.#trace?.(">", shown);
    await this.write(`${line}\r\n`);
  }

  /**
   * Sends the whole message, a string as UTF-8. The octets must not change until then.
   *
   * @param timeout Deadline for each step of progress (ms); without it the deadline stays as set.
   */
  async write(message: string | Uint8Array, timeout?: number): Promise<void> {
    const octets = typeof message === "string" ? encoder.encode(message) : message;
    if (this.#reason) throw this.#reason;
    try {
      for (let sent = 0; sent < octets.length;) {
        if (timeout !== undefined) this.setDeadline(timeout);
        sent += await this.#conn.write(sent === 0 ? octets : octets.subarray(sent));
      }
    } catch (error) {
      throw this.#wireError(error);
    }
  }

  /** Puts a note into the trace. */
  note(text: string): void {
    this.#trace?.("*", text);
  }

  /**
   * Returns the connection, to be given to `Deno.startTls`, and cancels the deadline.
   *
   * @throws {MalformedError} If octets are buffered: plaintext that the peer sent too early must
   * not be read as the first octets inside TLS (RFC 3207 §6).
   */
  release(): Deno.Conn {
    if (this.#start < this.#end) {
      throw new MalformedError("Peer sent more in the clear than it should have");
    }
    this.#stopTimer?.();
    this.#reason = new ClosedError("The wire was released");
    return this.#conn;
  }

  /**
   * Closes so that the last response arrives (RFC 9112 §9.6): closes the sending side, drops what
   * still comes, then closes. A plain close with unread input sends a reset, which can overtake
   * the response.
   *
   * @param timeout Time for the peer to close its side (ms).
   */
  async lingeringClose(timeout: number): Promise<void> {
    try {
      await this.#endWriting(timeout);
      const dropped = new Uint8Array(16_384);
      for (let count = 1, total = 0; count > 0 && total < MAX_DRAINED; total += count) {
        count = await this.#read(dropped);
      }
    } catch {
      // The peer reset the connection or took too long; there is no response left to protect.
    } finally {
      this.close();
    }
  }

  /**
   * Closes a TLS connection as RFC 8446 §6.1 has it: with a close_notify. A plain close can lose it
   * if the process ends at once.
   *
   * @param timeout Time to send it (ms).
   */
  async closeTls(timeout: number): Promise<void> {
    await this.#endWriting(timeout).catch(() => {}); // the peer is gone
    this.close();
  }

  /** Closes the sending side; over TLS that sends close_notify. */
  async #endWriting(timeout: number): Promise<void> {
    if (this.#reason) return;
    this.setDeadline(timeout);
    await this.#conn.closeWrite();
  }

  /** Closes the connection. Pending and later calls reject with the reason. */
  close(reason?: WireError): void {
    if (this.#reason) return;
    this.#reason = reason ?? (closed ??= new ClosedError("The wire was closed"));
    this.#stopTimer?.();
    this.#conn[Symbol.dispose]();
  }

  /** Closes the connection. */
  [Symbol.dispose](): void {
    this.close();
  }
}

// ---- TLS -----------------------------------------------------------------

/** Certificates that a user trusts in addition to Deno's default roots. */
export interface Trust {
  /** CA certificates (PEM). */
  readonly caCerts: string[];
  /** Self-signed certificates (DER). A server is trusted if its certificate is one of these. */
  readonly pinned: Uint8Array[];
  /** True if `pinned` holds a certificate of a server. It is then compared before the CAs. */
  readonly pinFirst: boolean;
}

/** Settings of {@linkcode openTls}. */
export interface TlsOptions {
  /** Name or address of the server: for SNI, and for the check of the certificate. */
  readonly hostname: string;
  /** Certificates to trust in addition to the default roots. */
  readonly trust?: Trust | null;
  /** True to accept every certificate. Default: false. */
  readonly insecure?: boolean;
  /** Ends the handshake and closes the connection. */
  readonly signal?: AbortSignal;
}

/**
 * Reads the certificates of a PEM file (RFC 7468 §5); null if there is none or one is malformed.
 *
 * A self-signed certificate is pinned. It counts as a CA's as well if it says CA:TRUE, except where
 * it names servers and lacks the key usage keyCertSign, which a CA must have (RFC 5280 §4.2.1.3):
 * `openssl req -x509` makes such certificates for servers.
 */
export function readTrust(pem: string): Trust | null {
  const caCerts: string[] = [];
  const pinned: Uint8Array[] = [];
  let pinFirst = false;
  try {
    for (const der of readCertificates(pem)) {
      const { isSelfSigned, isCa, namesServers, signsCertificates } = parseCertificate(der);
      const mayBeServers = !isCa || namesServers;
      const mayBeCas = isCa && (!namesServers || signsCertificates);
      if (isSelfSigned) pinned.push(der);
      if (isSelfSigned && mayBeServers) pinFirst = true;
      if (isSelfSigned && !mayBeCas) continue;
      caCerts.push(`-----BEGIN CERTIFICATE-----\n${der.toBase64()}\n-----END CERTIFICATE-----\n`);
    }
  } catch {
    return null; // not DER
  }
  return caCerts.length + pinned.length > 0 ? { caCerts, pinned, pinFirst } : null;
}

/** Reads what a certificate may be used for (RFC 5280 §4.1). */
function parseCertificate(der: Uint8Array) {
  const [tbsCertificate = der] = derElements(der);
  const [_serial, _signature, issuer, _validity, subject, ...rest] = derElements(tbsCertificate)
    .filter(([tag]) => tag !== 0xa0); // without the version
  if (!issuer || !subject) throw new SyntaxError("Certificate is cut short");
  const extensions = rest.filter(([tag]) => tag === 0xa3).flatMap(derElements).flatMap(derElements);
  // Extension ::= SEQUENCE { extnID OBJECT IDENTIFIER, critical BOOLEAN, extnValue OCTET STRING }
  const extension = (oid: string) =>
    extensions.map(derElements).find(([id]) => id?.toHex() === `0603${oid}`)?.at(-1);
  const [, , , , , usage = 0] = extension("551d0f") ?? []; // the first octet of the BIT STRING
  return {
    isSelfSigned: issuer.toHex() === subject.toHex(),
    isCa: extension("551d13")?.toHex().includes("0101ff") ?? false, // cA BOOLEAN
    namesServers: extension("551d11") !== undefined,
    signsCertificates: (usage & 0x04) !== 0, // keyCertSign is bit 5, counted from the left
  };
}

/** Splits the content of a DER element into elements (X.690 §8.1). */
function derElements(element: Uint8Array): Uint8Array[] {
  const elements: Uint8Array[] = [];
  const [start, end] = derContent(element);
  for (let at = start; at < end;) {
    const next = element.subarray(at, end);
    const [, size] = derContent(next);
    elements.push(next.subarray(0, size));
    at += size;
  }
  return elements;
}

/** Returns where the content of a DER element starts and ends (X.690 §8.1.3, §10.1). */
function derContent(element: Uint8Array): [start: number, end: number] {
  const [, first = 0x80] = element;
  const count = first < 0x80 ? 0 : first & 0x7f; // octets of a long length
  const length = first < 0x80 ? first : parseInt(element.subarray(2, 2 + count).toHex(), 16);
  const [start, end] = [2 + count, 2 + count + length];
  if (end <= element.length) return [start, end];
  throw new SyntaxError("DER element is cut short, or has no length");
}

/**
 * Puts TLS on a connection and checks the server's certificate before anything is sent.
 *
 * Deno checks it against its roots and the CAs of `trust`. A pinned certificate is compared octet
 * for octet instead; its names and dates do not matter. Deno does not show certificates, so this
 * needs node:tls, which is loaded only then. A refused handshake uses up its connection, so the
 * second check needs another one.
 *
 * ```ts ignore
 * const trust = readTrust(await Deno.readTextFile("server.pem"));
 * const dial = () => Deno.connect({ hostname: "localhost", port: 8443 });
 * using conn = await openTls(dial, { hostname: "localhost", trust });
 * ```
 *
 * @param dial Returns a connection on which the server expects TLS, at once or after STARTTLS;
 * null if there is no other one, and the fault of the first check is final.
 * @throws {Error} What `dial` throws, or a fault of TLS; see {@linkcode describeTlsFault}.
 */
export async function openTls(
  dial: () => Promise<Deno.TcpConn | null>,
  options: TlsOptions,
): Promise<Deno.Conn> {
  const { trust, insecure } = options;
  let checks: TlsCheck[] = trust?.pinned.length ? ["roots", "pin"] : ["roots"];
  if (trust?.pinFirst) checks = ["pin", "roots"];
  if (insecure) checks = ["none"];
  const faults: unknown[] = [];
  for (const check of checks) {
    const conn = await dial();
    if (conn === null) break;
    try {
      return await startTls(conn, check, options);
    } catch (error) {
      faults.push(error);
      if (!MAY_PASS_OTHER_CHECK.test(String(error))) break;
    }
  }
  // A wrong name or date says more than that the certificate is unknown.
  throw faults.find((fault) => !IS_UNKNOWN.test(String(fault))) ??
    faults.find((fault) => String(fault).includes("NotPinned")) ?? faults[0];
}

/** Faults after which the other check may trust a certificate. */
const MAY_PASS_OTHER_CHECK = /NotPinned|CaUsedAsEndEntity|certificate expired|not valid yet/;

/** Faults that only say that a certificate is not one of the known ones. */
const IS_UNKNOWN = /NotPinned|CaUsedAsEndEntity|UnknownIssuer/;

/** Standard that a server's certificate is checked against. */
type TlsCheck = "roots" | "pin" | "none";

/** Shakes hands on a connection, which is closed if that fails. */
async function startTls(
  conn: Deno.TcpConn,
  check: TlsCheck,
  { hostname, trust, signal }: TlsOptions,
): Promise<Deno.Conn> {
  let open: Disposable = conn;
  const close = () => open[Symbol.dispose]();
  signal?.addEventListener("abort", close);
  try {
    signal?.throwIfAborted();
    if (check !== "roots") {
      const pinned = check === "pin" ? trust?.pinned ?? [] : null;
      return await startNodeTls(conn, hostname, pinned);
    }
    const tls = await Deno.startTls(conn, { hostname, caCerts: trust?.caCerts ?? [] });
    open = tls;
    await tls.handshake(); // startTls itself checks nothing
    return tls;
  } catch (error) {
    close();
    throw error;
  } finally {
    signal?.removeEventListener("abort", close);
  }
}

/**
 * Matches an encrypted alert, close_notify (RFC 8446 §6.1), at the end of what was received. node:tls
 * does not report it. TLS 1.3 encrypts the type of a record, but not its length (19): an alert of two
 * octets, the type, and a tag of 16. TLS 1.2 shows the type (0x15).
 */
// deno-lint-ignore no-control-regex
const CLOSE_NOTIFY = /(\x15\x03\x03\0(\x1a[^]{26}|\x12[^]{18})|\x17\x03\x03\0\x13[^]{19})$/;

/**
 * Shakes hands with node:tls, which can do without Deno's check of the certificate.
 *
 * @param pinned Certificates one of which the server must show; null accepts every certificate.
 */
async function startNodeTls(
  conn: Deno.TcpConn,
  hostname: string,
  pinned: readonly Uint8Array[] | null,
): Promise<Deno.Conn> {
  const [{ connect }, { Duplex }] = await Promise.all([import("node:tls"), import("node:stream")]);
  const end: StreamEnd = { tail: "", fault: new Deno.errors.UnexpectedEof("no TLS close_notify") };
  const servername = /:|^[\d.]+$/.test(hostname) ? "" : hostname; // RFC 6066 §3: no addresses
  const inner = new Duplex(asStream(conn, end));
  const socket = connect({ socket: inner, servername, rejectUnauthorized: false });
  await new Promise<void>((resolve, reject) => {
    socket.once("secureConnect", resolve).once("error", reject);
    socket.once("close", () => reject(new Deno.errors.UnexpectedEof("unexpected end of file")));
  });
  const shown = new Uint8Array(socket.getPeerCertificate().raw ?? []).toHex();
  if (pinned === null || pinned.some((der) => der.toHex() === shown)) {
    return new NodeTlsConn(socket, conn, end);
  }
  throw new Deno.errors.InvalidData("invalid peer certificate: NotPinned"); // in Deno's words
}

/** End of the octets below TLS. */
interface StreamEnd {
  /** The last octets, as many as a close_notify takes. */
  tail: string;
  /** Reason for the end. */
  fault: unknown;
  /** Fault of a write; undefined if none has failed. */
  writeFault?: unknown;
}

/**
 * Describes a connection to `Duplex` of node:stream. A stream of Node's that fails drops what it has
 * received and not given out. So this one ends without an error, and `end` keeps the errors.
 */
function asStream(conn: Deno.Conn, end: StreamEnd): DuplexOptions {
  return {
    async read(size) {
      const octets = new Uint8Array(size);
      const count = await conn.read(octets).catch((error) => void (end.fault = error)) ?? 0;
      const received = octets.subarray(0, count);
      end.tail = (end.tail + toByteString(received.subarray(-31))).slice(-31);
      this.push(count > 0 ? received : null);
    },
    async write(octets: Uint8Array, _, done) {
      try {
        for (let sent = 0; sent < octets.length;) sent += await conn.write(octets.subarray(sent));
      } catch (error) {
        end.writeFault = error;
      }
      done();
    },
    destroy(_, done) {
      conn[Symbol.dispose]();
      done(null);
    },
  };
}

/** A TLS socket of Node's as a connection of Deno's. */
class NodeTlsConn implements Deno.Conn {
  readonly #socket: TLSSocket;
  readonly #conn: Deno.Conn;
  readonly #end: StreamEnd;
  readonly #received: AsyncIterator<Uint8Array<ArrayBuffer>>;
  #rest = new Uint8Array();

  constructor(socket: TLSSocket, conn: Deno.Conn, end: StreamEnd) {
    this.#socket = socket;
    this.#conn = conn;
    this.#end = end;
    this.#received = socket.iterator();
  }

  get localAddr(): Deno.Addr {
    return this.#conn.localAddr;
  }

  get remoteAddr(): Deno.Addr {
    return this.#conn.remoteAddr;
  }

  async read(target: Uint8Array): Promise<number | null> {
    if (this.#rest.length === 0) {
      const { value, done } = await this.#received.next();
      if (done && !CLOSE_NOTIFY.test(this.#end.tail)) throw this.#end.fault;
      if (done) return null;
      this.#rest = value;
    }
    const octets = this.#rest.subarray(0, target.length);
    target.set(octets);
    this.#rest = this.#rest.subarray(octets.length);
    return octets.length;
  }

  write(octets: Uint8Array): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#socket.write(octets, (error) => {
        const fault = error ?? this.#end.writeFault;
        if (fault) reject(fault);
        else resolve(octets.length);
      });
    });
  }

  closeWrite(): Promise<void> {
    return new Promise((resolve) => this.#socket.end(() => resolve()));
  }

  close(): void {
    this.#socket.destroy();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  get readable(): never {
    throw new TypeError("Use read()");
  }

  get writable(): never {
    throw new TypeError("Use write()");
  }

  ref(): void {}

  unref(): void {}
}

/** A fault of TLS in words. */
export interface TlsFault {
  /** True if the certificate is at fault, false if the handshake is. */
  readonly isCertificate: boolean;
  /** What is wrong with it, and a remedy if there is one. */
  readonly why: string;
}

/**
 * Faults as rustls and OpenSSL spell them, and what they mean. FILE stands for the option that
 * trusts a file of certificates.
 */
const CERTIFICATE_FAULTS: [sign: RegExp, words: string][] = [
  [/UnknownIssuer/, "it is signed by an unknown CA; to trust that CA, or just it: FILE"],
  [/NotPinned/, "it is not the one that FILE names, and no known CA signed it"],
  [/CaUsedAsEndEntity/, "it is for a CA, not for a server; to trust just it: FILE"],
  [/not valid for any names/, "it names no server; to trust just it if it is self-signed: FILE"],
  [/UnsupportedCertVersion/, "it is not of X.509 version 3; to trust just it: FILE"],
  [/134, 72, 134, 247, 13, 1, 1, 5,/, "it is signed with SHA-1, which can be forged"],
  [/UnsupportedSignatureAlgorithm/, "it is signed with an algorithm that is not supported"],
  [/BadSignature/, "its signature is wrong, or made with RSA of fewer than 2048 bits"],
  [/extended key usage/, "it is not for servers (extended key usage)"],
];
const HANDSHAKE_FAULTS: [sign: RegExp, words: string][] = [
  [/corrupt message|wrong version number/, "the server does not speak TLS on this port"],
  [/alert: ProtocolVersion/, "the server has only TLS 1.1 or older; 1.2 is needed"],
  [
    /alert: HandshakeFailure/,
    "the server found no cipher in common, or wants a client certificate",
  ],
  [/alert: \w*Certificate/, "the server wants a client certificate, which is not supported"],
  [/alert: Unrecogni[sz]edName/, "the server does not serve this name"],
  [/unexpected end of file|socket disconnected/, "the server closed the connection"],
];

/**
 * Describes a fault of {@linkcode openTls}, or of a connection that it opened.
 *
 * @param fileOption The option that trusts a file of certificates, for the remedy: `--cacert FILE`.
 */
export function describeTlsFault(error: unknown, fileOption: string): TlsFault {
  const message = error instanceof Error ? error.message : String(error);
  const [, fault] = /invalid peer certificate: (.*)/s.exec(message) ?? [];
  if (fault !== undefined) {
    const why = describeCertificateFault(fault).replace("FILE", fileOption);
    return { isCertificate: true, why };
  }
  const [, words] = HANDSHAKE_FAULTS.find(([sign]) => sign.test(message)) ?? [];
  const [, alert] = /fatal alert: (\w+)/.exec(message) ?? [];
  const why = words ?? (alert ? `the server sent the alert "${spaced(alert)}"` : message);
  return { isCertificate: false, why };
}

function describeCertificateFault(fault: string): string {
  const [, words] = CERTIFICATE_FAULTS.find(([sign]) => sign.test(fault)) ?? [];
  if (words !== undefined) return words;
  const [, when, seconds] = /not valid (after|before) (\d+)/.exec(fault) ?? [];
  const date = new Date(Number(seconds) * 1000).toUTCString();
  if (when === "after") return `it expired on ${date}`;
  if (when === "before") return `it is not valid before ${date}`;
  const names = [...fault.matchAll(/(?:DnsName|IpAddress)\("?([^")]*)/g)].map(([, name]) => name);
  if (names.length > 0) return `it is for ${names.join(", ")}`;
  const [, variant = fault] = /(\w+)\W*$/.exec(fault.replace(/\{.*/s, "")) ?? [];
  return `it cannot be checked (${spaced(variant)})`;
}

/** Turns the name of a variant of Rust, `UnhandledCriticalExtension`, into words. */
function spaced(variant: string): string {
  return variant.replace(/(?<=[a-z])[A-Z]/g, (letter) => ` ${letter}`).toLowerCase();
}

// ---- Datagrams and time --------------------------------------------------

/** Receive buffer (octets). Larger than any UDP payload, so nothing is truncated. */
const DATAGRAM_BUFFER = 65_536;

/**
 * Checks that Deno has datagram sockets.
 *
 * @throws {Error} If it was started without `--unstable-net`.
 */
export function requireDatagrams(): void {
  if (typeof Deno.listenDatagram === "function") return;
  throw new Error("Deno was started without UDP; add --unstable-net");
}

/**
 * Calls the handler with each datagram until the signal aborts, then closes the socket. The octets
 * are a view of one buffer, valid until the handler is done. Exactly one receive is pending at any
 * time, because an abandoned one would take the next datagram.
 */
export async function receiveAll(
  socket: Deno.DatagramConn,
  signal: AbortSignal,
  handle: (octets: Uint8Array, from: Deno.NetAddr) => Promise<void> | void,
): Promise<void> {
  const buffer = new Uint8Array(DATAGRAM_BUFFER);
  signal.addEventListener("abort", () => socket.close(), { once: true });
  while (!signal.aborted) {
    try {
      const [octets, from] = await socket.receive(buffer);
      const pending = "hostname" in from ? handle(octets, from) : undefined;
      if (pending) await pending;
    } catch (error) {
      // Windows reports here that an earlier datagram reached no socket.
      if (!signal.aborted && !(error instanceof Deno.errors.ConnectionReset)) throw error;
    }
  }
}

/** Formats an address as a user would type it; IPv4-mapped IPv6 as IPv4. */
export function showHost(hostname: string): string {
  return hostname.replace(/^::ffff:(?=\d+\.[\d.]+$)/, "");
}

/** Formats an address and port as a user would type them. */
export function showAddress(hostname: string, port: number): string {
  const host = showHost(hostname);
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Converts a share (0 to 1) to per cent with the six digits of C's %g; 0 of nothing is 0. */
export function percent(share: number): number {
  return Number((100 * (share || 0)).toPrecision(6));
}

/** Returns the time of day as SECONDS.MICROS. Its clock, `performance.now()`, never steps back. */
export function timeOfDay(now: number = performance.now()): string {
  return ((performance.timeOrigin + now) / 1000).toFixed(6);
}

/** Waits this many milliseconds, months included, or until the signal aborts. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const due = performance.now() + ms;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const wait = (left: number) => {
      timer = left > MAX_DELAY
        ? setTimeout(() => wait(due - performance.now()), MAX_DELAY)
        : setTimeout(end, Math.max(0, left));
    };
    signal.addEventListener("abort", end);
    wait(ms);
    if (signal.aborted) end();
  });
}
