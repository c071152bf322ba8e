/**
 * What the five programs share: errors that name the guilty, header fields, a
 * wire that is read with limits and one deadline, datagrams, and the start and
 * the stop of a program. It knows octets, lines and fields; it knows no protocol.
 *
 * The programs open the sockets, here the octets become lines. No read is
 * without a limit, and nothing waits longer than the deadline allows.
 *
 * @module
 */

// ---- Errors ------------------------------------------------------------

/** How a conversation can break through the peer's or the network's fault. */
export class WireError extends Error {
  /** The name of the class. */
  override get name(): string {
    return this.constructor.name;
  }
}
/** The peer sent what the grammar forbids. */
export class MalformedError extends WireError {}
/** The peer sent more than we are willing to hold. */
export class LimitError extends WireError {}
/** The connection ended in the middle of something; `cause` may tell why. */
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

// ---- Header fields -----------------------------------------------------

/** A token, RFC 9110 §5.6.2: what a field name is made of. */
export const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** A field value, RFC 9110 §5.5: no control octet but the tab. */
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\u{10ffff}]*$/u;

/** Header fields in the order they came, every duplicate kept (RFC 9110 §5.3). */
export class Fields implements Iterable<readonly [name: string, value: string]> {
  readonly #fields: (readonly [name: string, value: string])[] = [];

  /** The number of field lines. */
  get size(): number {
    return this.#fields.length;
  }

  /**
   * Adds a field line; white space around the value does not belong to it.
   *
   * @throws {MalformedError} If the name is no token or the value holds a
   * control octet: nobody smuggles a line through a field.
   */
  append(name: string, value: string): this {
    if (!TOKEN.test(name)) throw new MalformedError(`Field name "${printable(name)}" is no token`);
    if (!FIELD_VALUE.test(value)) {
      throw new MalformedError(`Value of field ${name} holds a control octet`);
    }
    this.#fields.push([name, trimOws(value)]);
    return this;
  }

  /**
   * Adds a line `name ":" OWS value OWS`, as RFC 9112 §5 writes it.
   *
   * @throws {MalformedError} If there is no colon, or white space before it.
   */
  appendLine(line: string): this {
    const colon = line.indexOf(":");
    if (colon < 0) throw new MalformedError("Field line has no colon");
    return this.append(line.slice(0, colon), line.slice(colon + 1));
  }

  /** All values of a field, in order; the case of its name does not matter. */
  all(name: string): string[] {
    const wanted = name.toLowerCase();
    return this.#fields.filter(([name]) => name.toLowerCase() === wanted).map(([, value]) => value);
  }

  /** The values of a field, joined by a comma (RFC 9110 §5.3); undefined if there is none. */
  get(name: string): string | undefined {
    const values = this.all(name);
    return values.length === 0 ? undefined : values.join(", ");
  }

  /** The fields as lines, each with its CRLF. */
  toString(): string {
    return this.#fields.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  }

  /** The fields as pairs of name and value. */
  [Symbol.iterator](): Iterator<readonly [name: string, value: string]> {
    return this.#fields.values();
  }
}

/**
 * Removes `OWS = *( SP / HTAB )` (RFC 9110 §5.6.3) from both ends. A regex such as `/[\t ]+$/`
 * takes quadratic time: it starts anew at every blank of a long row.
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

// ---- Octets and text ---------------------------------------------------

/** Turns octets into a string of one char each, so that lengths count octets. */
export function toByteString(octets: Uint8Array): string {
  let text = "";
  for (let at = 0; at < octets.length; at += 8192) {
    // seven times as fast as spreading the octets out as arguments
    text += Reflect.apply(String.fromCharCode, null, octets.subarray(at, at + 8192));
  }
  return text;
}

/**
 * Makes what a peer sent fit for a terminal and for one line of a log: UTF-8 is
 * decoded, and what could steer a terminal or turn the text around (C0, DEL, C1,
 * line separators, bidirectional marks) is shown as an escape.
 *
 * ```ts
 * import { assertEquals } from "@std/assert";
 * assertEquals(printable("\x1b[2J caf\xc3\xa9"), "\\x1b[2J café");
 * ```
 */
export function printable(text: string): string {
  return decodeUtf8(text).replace(
    // deno-lint-ignore no-control-regex
    /[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]|\p{Surrogate}/gu,
    (char) => {
      const code = char.charCodeAt(0).toString(16);
      return code.length > 2 ? `\\u${code.padStart(4, "0")}` : `\\x${code.padStart(2, "0")}`;
    },
  );
}

/** What the user wrote, in quotes: fit for a terminal, and cut to a length that fits in a message. */
function quote(text: string): string {
  return `"${printable(text.length > 100 ? `${text.slice(0, 100)}…` : text)}"`;
}

/** Decodes a string of one char an octet as UTF-8; any other text stays as it is. */
function decodeUtf8(text: string): string {
  if (!/[\x80-\xff]/.test(text) || /[^\0-\xff]/.test(text)) return text;
  try {
    const octets = Uint8Array.from(text, (char) => char.charCodeAt(0));
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(octets);
  } catch {
    return text; // not UTF-8: each char stands for itself
  }
}

// ---- The wire ----------------------------------------------------------

/** Sees each line that crosses the wire: ">" sent, "<" received, "*" a note. */
export type Trace = (mark: ">" | "<" | "*", text: string) => void;

const CR = 0x0d;
const LF = 0x0a;

/** The first size of a receive buffer, in octets: small, for the idle thousands. */
const FIRST_BUFFER = 2048;

/** Why a wire is closed, mostly; to make one for each takes a twentieth of a short connection. */
const CLOSED = new ClosedError("The wire was closed");

/** How many octets `hangUp` reads and drops before it closes all the same. */
const MAX_DRAINED = 1 << 26;

const encoder = new TextEncoder();

/**
 * Reads and writes one connection, and owns it: closing the wire closes the
 * connection. One reader and one writer at a time.
 *
 * Every call rejects with a {@linkcode WireError}: with the reason given to
 * `close`, with {@linkcode DeadlineError}, or with {@linkcode ClosedError}
 * whose `cause` is the error of the system.
 */
export class Wire implements Disposable {
  readonly #conn: Deno.Conn;
  readonly #trace: Trace | undefined;
  #buffer: Uint8Array<ArrayBuffer>;
  #start = 0; // of the octets that are received and not yet read
  #end = 0;
  #due = Infinity; // in the time of performance.now()
  #timer: ReturnType<typeof setTimeout> | undefined;
  #timerDue = Infinity;
  #reason: WireError | undefined;
  #received = 0;

  /**
   * Takes over an open connection.
   *
   * @param options The trace sees every line; the receive buffer has `buffer` octets at first.
   */
  constructor(conn: Deno.Conn, options: { trace?: Trace | undefined; buffer?: number } = {}) {
    this.#conn = conn;
    this.#trace = options.trace;
    this.#buffer = new Uint8Array(options.buffer ?? FIRST_BUFFER);
  }

  /** The octets that are received and not yet read; a view, good until the next read. */
  get buffered(): Uint8Array<ArrayBuffer> {
    return this.#buffer.subarray(this.#start, this.#end);
  }

  /** How many octets have come in all. */
  get received(): number {
    return this.#received;
  }

  /**
   * Gives all that follows so many milliseconds from now, until the next call;
   * null takes the deadline away. At the deadline the wire closes, since after
   * half a line there is nothing left to say.
   *
   * The timer is set again only when it rings or comes too late: a conversation
   * of many short steps costs no timer a step.
   */
  setDeadline(ms: number | null): void {
    this.#due = ms === null ? Infinity : performance.now() + ms;
    if (this.#due < this.#timerDue) this.#wind(ms ?? 0);
  }

  #wind(ms: number): void {
    clearTimeout(this.#timer);
    this.#timerDue = performance.now() + ms;
    this.#timer = setTimeout(() => {
      this.#timerDue = Infinity;
      const left = this.#due - performance.now();
      if (left <= 0) this.close(new DeadlineError("Peer took too long"));
      else if (left < Infinity) this.#wind(left);
    }, Math.min(ms, 0x7fff_ffff));
  }

  /** Waits for more octets, and tells how many came; 0 when the peer sends no more. */
  fill(): Promise<number> {
    return this.#read();
  }

  /** Where in the buffer the next octets go. */
  #room(): Uint8Array<ArrayBuffer> {
    if (this.#start === this.#end) this.#start = this.#end = 0;
    else if (this.#end === this.#buffer.length) this.#makeRoom();
    // a view costs 0.1 µs, and this is on the way of every request
    return this.#end === 0 ? this.#buffer : this.#buffer.subarray(this.#end);
  }

  #makeRoom(): void {
    const octets = this.buffered;
    if (octets.length > this.#buffer.length / 2) this.#buffer = new Uint8Array(octets.length * 2);
    this.#buffer.set(octets); // set() copes with overlap
    this.#start = 0;
    this.#end = octets.length;
  }

  /** Reads into the target, or else into the buffer. The rung below all reads. */
  async #read(target?: Uint8Array): Promise<number> {
    if (this.#reason) throw this.#reason;
    try {
      const count = await this.#conn.read(target ?? this.#room()) ?? 0;
      if (!target) this.#end += count;
      this.#received += count;
      return count;
    } catch (error) {
      throw this.#broken(error);
    }
  }

  #broken(cause: unknown): WireError {
    if (this.#reason) return this.#reason;
    return new ClosedError(cause instanceof Error ? cause.message : String(cause), { cause });
  }

  /** Marks so many of the buffered octets as read. */
  skip(count: number): void {
    this.#start += count;
  }

  /**
   * Reads a line and takes its end off; null if the peer ended before it began.
   *
   * @param limit The longest line, its end included, in octets.
   * @param end What ends a line: CRLF and nothing else, or LF with or without a CR.
   * @throws {MalformedError} If a CR or LF stands alone (a CR only, where "LF" ends a line).
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
      throw new MalformedError("Line holds a CR or LF outside its CRLF");
    }
    const line = toByteString(cr === -1 ? octets : octets.subarray(0, cr));
    this.skip(length);
    this.#trace?.("<", printable(line));
    return line;
  }

  /** Reads what there is into the target, for bodies; 0 when the peer sends no more. */
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
   * @param shown What the trace sees instead, where the line holds a secret.
   * @throws {MalformedError} If the line holds CR, LF or NUL: one line is one line.
   */
  async writeLine(line: string, shown = line): Promise<void> {
    if (/[\r\n\0]/.test(line)) throw new MalformedError("Cannot send CR, LF or NUL inside a line");
    this.#trace?.(">", printable(shown));
    await this.write(`${line}\r\n`);
  }

  /**
   * Sends all of the message, a string as UTF-8. Leave the octets alone until it is done.
   *
   * @param patience A new deadline for each step of progress, in milliseconds.
   */
  async write(message: string | Uint8Array, patience?: number): Promise<void> {
    const octets = typeof message === "string" ? encoder.encode(message) : message;
    if (this.#reason) throw this.#reason;
    try {
      for (let sent = 0; sent < octets.length;) {
        if (patience !== undefined) this.setDeadline(patience);
        sent += await this.#conn.write(sent === 0 ? octets : octets.subarray(sent));
      }
    } catch (error) {
      throw this.#broken(error);
    }
  }

  /** Puts a note into the trace. */
  note(text: string): void {
    this.#trace?.("*", text);
  }

  /**
   * Gives the connection back, to be handed to `Deno.startTls`. The deadline goes on for nobody.
   *
   * @throws {MalformedError} If octets are waiting: what was sent in the clear
   * must not pass for the first words inside TLS.
   */
  release(): Deno.Conn {
    if (this.#start < this.#end) {
      throw new MalformedError("Peer sent more in the clear than it should have");
    }
    clearTimeout(this.#timer);
    this.#reason = new ClosedError("The wire was released");
    return this.#conn;
  }

  /**
   * Ends the conversation so that the last words arrive (RFC 9112 §9.6): half-closes, drops
   * what still comes, then closes. A plain close with unread input would send a reset, and
   * that can overtake the answer.
   *
   * @param patience How long the peer may take to end, in milliseconds.
   */
  async hangUp(patience: number): Promise<void> {
    try {
      this.setDeadline(patience);
      await this.#conn.closeWrite();
      const dropped = new Uint8Array(16_384);
      for (let count = 1, total = 0; count > 0 && total < MAX_DRAINED; total += count) {
        count = await this.#read(dropped);
      }
    } catch {
      // reset or too slow: nobody is left to be polite to
    } finally {
      this.close();
    }
  }

  /** Closes the connection; what is in progress, and what follows, rejects with the reason. */
  close(reason: WireError = CLOSED): void {
    if (this.#reason) return;
    this.#reason = reason;
    clearTimeout(this.#timer);
    this.#conn[Symbol.dispose]();
  }

  /** Closes the connection. */
  [Symbol.dispose](): void {
    this.close();
  }
}

// ---- Datagrams ---------------------------------------------------------

/** The longest datagram, and more than that, so that nothing is ever cut; in octets. */
const MAX_DATAGRAM = 65_536;

/**
 * Makes sure that Deno has sockets for datagrams.
 *
 * @throws {Error} If it was started without the flag that brings them.
 */
export function requireDatagrams(): void {
  if (typeof Deno.listenDatagram === "function") return;
  throw new Error("Deno offers no UDP without its flag; add --unstable-net");
}

/**
 * Hands over each datagram until the signal aborts, and closes the socket then. The octets are a
 * view of the one buffer: good until the handler is done. One call is pending at any time, for one
 * that is abandoned would swallow the next datagram.
 */
export async function receiveAll(
  socket: Deno.DatagramConn,
  signal: AbortSignal,
  handle: (octets: Uint8Array, from: Deno.NetAddr) => Promise<void> | void,
): Promise<void> {
  const buffer = new Uint8Array(MAX_DATAGRAM);
  signal.addEventListener("abort", () => socket.close(), { once: true });
  while (!signal.aborted) {
    try {
      const [octets, from] = await socket.receive(buffer);
      const busy = "hostname" in from ? handle(octets, from) : undefined;
      if (busy) await busy;
    } catch (error) {
      // Windows reports here that an earlier datagram found nobody.
      if (!signal.aborted && !(error instanceof Deno.errors.ConnectionReset)) throw error;
    }
  }
}

/** An address and port as a user would type them; IPv4 inside IPv6 is shown as IPv4. */
export function showAddress(hostname: string, port: number): string {
  const host = hostname.replace(/^::ffff:(?=\d+\.[\d.]+$)/, "");
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

// ---- A program ---------------------------------------------------------

/** The version of all five programs, for `--version`. */
export const VERSION = "1.0.0";

/** The options of a program, in the form that `parseArgs` of @std/cli takes. */
export interface OptionNames {
  /** Options with a value. */
  readonly string: readonly string[];
  /** Options without one. */
  readonly boolean: readonly string[];
  /** Those that `--no-NAME` turns off. */
  readonly negatable?: readonly string[];
  /** The one-letter forms, letter to name, and other spellings of a name. */
  readonly short: Readonly<Record<string, string>>;
}

/**
 * Spells a command line out, so that `parseArgs` has nothing left to guess: each option in
 * its long form with its value behind "=", then "--", then the rest. Takes bundles (`-sSL`),
 * glued values (`-p80`), and values that begin with a dash.
 *
 * @throws {UsageError} If an option is not known (the nearest is named), a value is missing,
 * or there is one where none belongs.
 */
export function spellOut(args: readonly string[], names: OptionNames): string[] {
  const known = spellings(names);
  const spelled: string[] = [];
  const rest: string[] = [];
  const left = [...args];
  for (let arg; (arg = left.shift()) !== undefined;) {
    if (arg === "--") break;
    if (arg === "-" || !arg.startsWith("-")) {
      rest.push(arg);
      continue;
    }
    const long = arg.startsWith("--");
    const [, option = arg, glued] = (long ? /^([^=]*)(?:=(.*))?$/s : /^(-.)(.+)?$/su).exec(arg) ??
      [];
    const name = known.get(option);
    if (name === undefined) {
      throw new UsageError(
        `Unknown option ${quote(option)}: did you mean ${nearest(option, [...known.keys()])}?`,
      );
    }
    if (names.string.includes(name)) {
      const value = glued ?? left.shift();
      if (value === undefined || (glued === undefined && isOption(value, known))) {
        throw new UsageError(`Option "${option}" needs a value`);
      }
      spelled.push(value === "" ? `--${name}` : `--${name}=${value}`);
    } else {
      if (glued !== undefined && (long || /^[-=]/.test(glued))) {
        throw new UsageError(`Option "${option}" takes no value`);
      }
      if (glued !== undefined) left.unshift(`-${glued}`); // the rest of a bundle
      spelled.push(`--${name}`);
    }
  }
  return [...spelled, "--", ...rest, ...left];
}

/** All spellings of the options, each with the name that it stands for. */
function spellings({ string, boolean, negatable = [], short }: OptionNames): Map<string, string> {
  const names = [...string, ...boolean, ...negatable.map((name) => `no-${name}`)];
  const others = Object.entries(short).map(([spelling, name]) =>
    [spelling.length === 1 ? `-${spelling}` : `--${spelling}`, name] as const
  );
  return new Map([...names.map((name) => [`--${name}`, name] as const), ...others]);
}

/** Whether a word is an option, and no value of the one before; -4 may be either, and is a value. */
function isOption(word: string, known: Map<string, string>): boolean {
  return known.has(word) && !/^-\d/.test(word);
}

/** The spelling that goes on like this one, or takes the fewest changes of a letter to get to. */
function nearest(option: string, spellings: readonly string[]): string {
  const longer = option.length > 3 && spellings.find((spelling) => spelling.startsWith(option));
  if (longer) return longer;
  const letters = (text: string) => text.replace(/^-+/, "").toLowerCase();
  const from = letters(option).slice(0, 100);
  const distances = spellings.map((spelling) => editDistance(from, letters(spelling)));
  const least = Math.min(...distances);
  // where no letter would stay, none is near
  return least < from.length ? spellings[distances.indexOf(least)] ?? "--help" : "--help";
}

/** How many letters must be put in, taken out or exchanged (Levenshtein), row by row. */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (const [index, letter] of [...from].entries()) {
    const next = [index + 1];
    for (let column = 1; column <= to.length; column++) {
      const same = letter === to[column - 1] ? 0 : 1;
      const [above = 0, corner = 0, before = 0] = [row[column], row[column - 1], next[column - 1]];
      next.push(Math.min(corner + same, above + 1, before + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}

/**
 * Reads a number from the value of an option: digits, perhaps a sign and decimals, and nothing
 * that JavaScript would also take ("", "1e3", "0x10").
 *
 * @throws {UsageError} If it is none, or outside the range.
 */
export function readNumber(
  option: string,
  text: string,
  range: { min: number; max: number; whole?: boolean },
): number {
  const value = Number(text);
  const digits = range.whole ? /^[-+]?\d+$/ : /^[-+]?(\d+\.?\d*|\.\d+)$/;
  const fits = Number.isFinite(value) && value >= range.min && value <= range.max;
  if (digits.test(text) && fits) return value;
  const kind = range.whole ? "a whole number" : "a number";
  const bounds = range.max < Infinity
    ? `from ${range.min} to ${range.max}`
    : `of at least ${range.min}`;
  throw new UsageError(`Cannot use ${option} ${quote(text)}: expected ${kind} ${bounds}`);
}

/**
 * Reads a probability from the value of an option: 0.3, 30% or 4/11.
 *
 * @throws {UsageError} If it is none.
 */
export function readProbability(option: string, text: string): number {
  const [, number, sign, divisor] = /^(\d+\.?\d*|\.\d+)(?:(%)|\/(\d+))?$/.exec(text) ?? [];
  const value = Number(number) / (sign ? 100 : Number(divisor ?? 1));
  if (value >= 0 && value <= 1) return value;
  const expected = "expected a probability, as in 0.3, 30% or 4/11";
  throw new UsageError(`Cannot use ${option} ${quote(text)}: ${expected}`);
}

/** A part of the whole in per cent, with the six digits of C's %g; of nothing it is 0. */
export function percent(part: number): number {
  return Number((100 * (part || 0)).toPrecision(6));
}

/** The time of day as SECONDS.MICROS, by the clock of `performance.now()`, which never goes back. */
export function timeOfDay(now: number = performance.now()): string {
  return ((performance.timeOrigin + now) / 1000).toFixed(6);
}

/** Longest delay of setTimeout (ms). A longer one fires at once. */
const MAX_TIMER = 0x7fff_ffff;

/** Waits for `ms` milliseconds, also for months, or until the signal aborts. */
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
      timer = left > MAX_TIMER
        ? setTimeout(() => wait(due - performance.now()), MAX_TIMER)
        : setTimeout(end, Math.max(0, left));
    };
    signal.addEventListener("abort", end);
    wait(ms);
    if (signal.aborted) end();
  });
}

/** Shows a conversation on standard error, with curl's marks. */
export function showTrace(mark: ">" | "<" | "*", text: string): void {
  console.error(`${mark} ${text}`);
}

/**
 * Writes to standard output at once and whole, a string as UTF-8.
 *
 * @throws {Deno.errors.BrokenPipe} If nobody reads any more; `run` then ends quietly.
 */
export function print(output: string | Uint8Array): void {
  let octets = typeof output === "string" ? encoder.encode(output) : output;
  while (octets.length > 0) octets = octets.subarray(Deno.stdout.writeSync(octets));
}

/** Aborts at the first Ctrl-C (SIGINT) or SIGTERM; the second ends the program at once. */
export function shutdownSignal(): AbortSignal {
  const stop = new AbortController();
  const listen = (signal: Deno.Signal, status: number) =>
    Deno.addSignalListener(signal, () => {
      if (stop.signal.aborted) Deno.exit(status);
      stop.abort(new Error(signal));
    });
  listen("SIGINT", 130);
  if (Deno.build.os !== "windows") listen("SIGTERM", 143);
  return stop.signal;
}

/**
 * Runs a program and exits with the status it returns. What the user, a peer or the system did
 * wrong is one line on standard error, and status 2 or 1; standard output closed by its reader
 * is status 0 and no line. Anything else is our bug, and shows its stack.
 */
export async function run(
  name: string,
  main: (args: string[]) => Promise<number>,
): Promise<never> {
  let status = 1;
  try {
    status = await main(Deno.args);
  } catch (error) {
    if (error instanceof Deno.errors.BrokenPipe) Deno.exit(0);
    const line = explain(error);
    if (line === null) throw error;
    console.error(`${name}: ${line}`);
    if (error instanceof UsageError) status = 2;
  }
  Deno.exit(status);
}

/** Says in one line what went wrong; null for a bug, of which only the stack can tell. */
export function explain(error: unknown): string | null {
  if (error instanceof Deno.errors.NotCapable) return explainPermission(error.message);
  if (error instanceof UsageError || error instanceof WireError) return error.message;
  if (!(error instanceof Error)) return null;
  const ofTheSystem = "code" in error ||
    Object.values(Deno.errors).some((kind) => error instanceof kind);
  return ofTheSystem || error.constructor === Error ? printable(error.message) : null;
}

function explainPermission(message: string): string {
  const [, kind = "all", what = ""] =
    /Requires (\w+) access(?: to "(.*)")?/s.exec(printable(message)) ?? [];
  const verbs: Record<string, string> = {
    read: "read",
    write: "write",
    net: "use the network at",
    run: "run",
  };
  if (kind === "all") return `Deno was not allowed to use ${what}; add --allow-all`; // a device
  const verb = verbs[kind] ?? `use ${kind}`;
  return `Deno was not allowed to ${verb} ${what}; add --allow-${kind}${what && `=${what}`}`;
}
