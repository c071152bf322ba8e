#!/usr/bin/env -S deno run --allow-net --unstable-net
/**
 * Echoes datagrams and does to them what networks do: loses, delays, doubles, damages and reorders
 * them, by chance but repeatably. Or watches senders of heartbeats (`--heartbeat`).
 *
 * ```sh
 * deno run --allow-net --unstable-net udp_ping_server.ts --loss 30%
 * ```
 *
 * UDP is RFC 768, the echo RFC 862. A message is one line of ASCII, `sequence=N<TAB>time=T` and
 * perhaps more fields; the echo does not care. Read from the top: the terms, the numbers, the echo
 * and its faults, then the monitor. The command line comes last.
 *
 * @module
 */
import {
  type Command,
  type CommandLine,
  decimal,
  describeError,
  flag,
  formatPercent,
  formatTrace,
  LineWriter,
  nonEmpty,
  onQuit,
  option,
  plural,
  probability,
  quoteForMessage,
  reasonOf,
  requireWith,
  run,
  seconds,
  shutdownSignal,
  type Values,
  wholeNumber,
} from "./cli.ts";
import {
  decodeUtf8,
  escapeText,
  ExitError,
  pause,
  percent,
  printable,
  receiveAll,
  requireDatagrams,
  showAddress,
  timeOfDay,
  toByteString,
  type Trace,
  UsageError,
} from "./protocol.ts";

// ---- Terms ---------------------------------------------------------------

/** Faults and limits of the echo. */
export interface EchoOptions {
  /** Probability of dropping a request (0 to 1). */
  loss: number;
  /** Mean length of a burst of losses (datagrams). Default: losses are independent. */
  burst?: number | undefined;
  /** Time for which each reply is held (ms). */
  delay: number;
  /** Largest deviation from the delay (ms). */
  jitter: number;
  /** Probability of sending a reply twice (0 to 1). */
  duplicate: number;
  /** Probability of flipping one bit of a reply (0 to 1). */
  corrupt: number;
  /** Probability of letting the next reply overtake (0 to 1). */
  reorder: number;
  /** Replies a second to one client; 0 is no limit. */
  rate: number;
  /** Start of the random sequences. */
  seed: number;
  /** True if each client gets random sequences of its own. Default: all clients get the same. */
  hasOwnSeeds?: boolean | undefined;
  /** True if replies are in upper case. */
  upper: boolean;
  /** Limits that differ from {@linkcode ECHO_LIMITS}. */
  limits?: Partial<typeof ECHO_LIMITS> | undefined;
  /** Shows each datagram. */
  trace?: Trace | undefined;
  /** Called with the error of the first reply that cannot be sent. */
  warn?: ((error: unknown) => void) | undefined;
}

/** What becomes of a request. A held reply has not been sent yet. */
export type Fate = "dropped" | "limited" | "ignored" | "held" | "echoed" | "failed";

/** Counts of the echo. Each request received has one fate. */
export interface Counts extends Record<Fate, number> {
  /** Requests received. */
  received: number;
  /** Clients: pairs of address and port. */
  clients: number;
  /** Octets received. */
  bytes: number;
}

/** A change in the life of a sender of heartbeats. */
export interface Change {
  /** What happened. */
  event: "started" | "lost" | "late" | "stopped" | "recovered" | "restarted" | "left" | "suspended";
  /** The sender's name, else its address and port; "monitor" when it is about ourselves. */
  name: string;
  /** How many beats are missing. */
  lost?: number;
  /** The first sequence number it is about. */
  from?: number;
  /** The last one. */
  to?: number;
  /** How long nothing came, in seconds. */
  silence?: number;
}

/**
 * What is known of a sender in the end: how many beats came, how many did not, came late (they are
 * not lost) or came again; how often it stopped; lost beats and the time it was up, in per cent;
 * the mean difference between one interval of arrivals and the next, in milliseconds.
 */
export interface SenderSummary extends Record<Beats | "loss" | "up" | "jitter", number> {
  /** Its name, else its address and port. */
  name: string;
}

/** What is counted of a sender. */
export type Beats = "received" | "lost" | "late" | "duplicates" | "stops";

// ---- Numbers -------------------------------------------------------------

/** Limits of the echo. */
export const ECHO_LIMITS = {
  /** Clients and sessions remembered; the oldest is forgotten for a new one. */
  clients: 10_000,
  /** Replies held at once. */
  held: 16_384,
  /** Octets held at once. */
  heldOctets: 64 * 2 ** 20,
  /** Time for which a reordered reply waits for one that overtakes it (ms). */
  reorder: 500,
  /** Repeated requests in a row of which one is not answered, to end loops. */
  repeats: 1000,
};

/** Lowest port of a client (RFC 6335 §6). Below are services, whose answer could start a loop. */
const FIRST_CLIENT_PORT = 1024;
/** Sends that may wait for the system before no more is received. */
const MAX_UNSENT = 64;
/** Lateness of timers (ms). Delays are set that much shorter. */
const TIMER_LATENESS = 1.2;
/** Sequence numbers of which is known whether they came. */
const WINDOW = 1024;
/** Distance between the seeds of two clients. Each client uses the next five numbers. */
const SEED_STEP = 8;
/** Repeated requests in a row that are taken for a loop when the rate is exceeded. */
const STORM_REPEATS = 100;
/** Different requests of a client that are remembered to recognize repeats. */
const MAX_DISTINCT = 1024;
/** Slots of the hash table for them, an octet each. */
const DISTINCT_SLOTS = 4096;
/** Octets of a request that are compared to recognize repeats. */
const MAX_COMPARED = 512;

/** A number seen before and this far back is no duplicate: its sender began again. */
const RESTART = 64;
/** How often silence is judged; how late is too late for that, and how late is suspension; in ms. */
const SWEEP = { every: 50, late: 25, suspended: 1000 } as const;
/** The interval of heartbeats until something else is known, in milliseconds. */
const DEFAULT_INTERVAL = 5000;
/** How long the last command of `--exec` may take at the end, in milliseconds. */
const LAST_RUN = 2000;
/** How often junk is mentioned, in milliseconds. */
const JUNK_EVERY = 60_000;
/** How much of a heartbeat is read, in octets. */
const MAX_BEAT = 1024;
/** How many changes may wait for the command of `--exec`. */
const MAX_WAITING = 1000;
const MAX_CLIENTS = 10_000;

// ---- Engine: random numbers and sequence numbers -------------------------

/** Makes a repeatable sequence of random numbers from 0 to 1: a counter, mixed as in MurmurHash3. */
export function generator(seed: number): () => number {
  let state = seed;
  return () => {
    let mixed = state = state + 0x9e37_79b9 | 0;
    mixed = Math.imul(mixed ^ mixed >>> 16, 0x85eb_ca6b);
    mixed = Math.imul(mixed ^ mixed >>> 13, 0xc2b2_ae35);
    return ((mixed ^ mixed >>> 16) >>> 0) / 2 ** 32;
  };
}

/** Remembers which of the last sequence numbers came. */
class SequenceWindow {
  readonly #seen = new Uint8Array(WINDOW);

  /** Begins at a number. All numbers up to `highest` count as seen. */
  constructor(public highest = -1) {
    if (highest >= 0) this.#seen.fill(1);
  }

  /** Returns whether a number came before. A number that is too far back counts as seen. */
  has(sequence: number): boolean {
    if (sequence > this.highest) return false;
    return sequence <= this.highest - WINDOW || this.#seen[sequence % WINDOW] === 1;
  }

  /** Adds a number. Returns whether it is new. */
  add(sequence: number): boolean {
    if (this.has(sequence)) return false;
    for (let at = Math.max(this.highest + 1, sequence - WINDOW + 1); at <= sequence; at++) {
      this.#seen[at % WINDOW] = 0;
    }
    this.highest = Math.max(this.highest, sequence);
    this.#seen[sequence % WINDOW] = 1;
    return true;
  }
}

/** Counts the different requests of one session, for the `n` field of `-T`. */
class RequestCounter {
  #count = 0;
  #window = new SequenceWindow();
  #distant: number | undefined;

  /**
   * Adds a request. Returns the number of different requests so far. A number far from all others
   * is damaged, or follows a long gap: it counts when a second number near it comes.
   */
  add(sequence: number | undefined): number {
    if (sequence === undefined) return this.#count;
    const isNear = (other: number) => Math.abs(sequence - other) < WINDOW;
    if (this.#count > 0 && !isNear(this.#window.highest)) {
      const distant = this.#distant;
      this.#distant = sequence;
      if (distant === undefined || distant === sequence || !isNear(distant)) return this.#count;
      this.#window = new SequenceWindow();
      this.#window.add(distant);
      this.#count++;
    }
    if (this.#window.add(sequence)) this.#count++;
    return this.#count;
  }
}

// ---- Engine: the echo ----------------------------------------------------

/** The faults of one request and its reply. */
interface Faults {
  isLost: boolean;
  /** Time for which the reply is held (ms). */
  delay: number;
  /** Datagrams that are sent: 1 or 2. */
  copies: number;
  isDamaged: boolean;
  /** Which bit is flipped, as a part of the reply (0 to 1). */
  bitPosition: number;
  isReordered: boolean;
}

/** Draws the faults of one client. Each kind has a generator of its own, so none moves another. */
class FaultGenerator {
  readonly #options: EchoOptions;
  readonly #loss: () => number;
  readonly #delay: () => number;
  readonly #duplicate: () => number;
  readonly #corrupt: () => number;
  readonly #reorder: () => number;
  #wasLost: boolean | undefined;

  constructor(options: EchoOptions, seed: number) {
    const draw = (kind: number) => generator(Math.imul(seed + kind, 0x1656_67b1));
    this.#options = options;
    this.#loss = draw(1);
    this.#delay = draw(2);
    this.#duplicate = draw(3);
    this.#corrupt = draw(4);
    this.#reorder = draw(5);
  }

  /** Draws the faults of the next request. */
  next(): Faults {
    const { delay, jitter, duplicate, corrupt, reorder } = this.#options;
    return {
      isLost: this.#isLost(),
      delay: jitter === 0 ? delay : Math.max(0, delay + (2 * this.#delay() - 1) * jitter),
      copies: duplicate > 0 && this.#duplicate() < duplicate ? 2 : 1,
      isDamaged: corrupt > 0 && this.#corrupt() < corrupt,
      bitPosition: corrupt > 0 ? this.#corrupt() : 0,
      isReordered: reorder > 0 && this.#reorder() < reorder,
    };
  }

  /** Gilbert's chain: a burst ends with probability 1/burst, and begins so that the mean is right. */
  #isLost(): boolean {
    const { loss, burst } = this.#options;
    if (loss === 0) return false;
    let chance = loss;
    if (burst !== undefined && this.#wasLost !== undefined) {
      chance = this.#wasLost ? 1 - 1 / burst : loss / ((1 - loss) * burst);
    }
    this.#wasLost = this.#loss() < chance;
    return this.#wasLost;
  }
}

/**
 * Limits the replies to one client, with a token bucket that drops, and ends loops.
 *
 * Two echo servers that answer each other send the same datagrams round and round. A datagram that
 * is dropped once is gone. So one of a thousand repeated requests is dropped; and repeats beyond
 * the rate, which `--duplicate` causes, are all dropped for longer than one round takes.
 */
class RateLimiter {
  readonly #options: EchoOptions;
  readonly #maxRepeats: number;
  #tokens: number;
  #refilled = performance.now();
  #seen: Uint8Array | undefined;
  #distinct = 0;
  #repeats = 0;
  #mutedUntil = -Infinity;

  constructor(options: EchoOptions, maxRepeats: number) {
    this.#options = options;
    this.#maxRepeats = maxRepeats;
    this.#tokens = Math.max(1, options.rate);
  }

  /** Returns whether to answer a request. */
  allows(request: Uint8Array): boolean {
    const { rate, delay, jitter } = this.#options;
    if (rate === 0) return true;
    const now = performance.now();
    this.#tokens += (now - this.#refilled) * rate / 1000;
    this.#tokens = Math.min(Math.max(1, rate), this.#tokens);
    this.#refilled = now;
    this.#repeats = this.#isRepeated(request) ? this.#repeats + 1 : 0;
    const isExceeded = this.#tokens < 1;
    if (isExceeded && this.#repeats >= STORM_REPEATS) {
      this.#mutedUntil = now + 1000 + 4 * (delay + jitter);
    }
    const isMuted = this.#repeats > 0 && now < this.#mutedUntil;
    const isLoop = this.#repeats > 0 && this.#repeats % this.#maxRepeats === 0;
    if (isExceeded || isMuted || isLoop) return false;
    this.#tokens--;
    return true;
  }

  /** Returns whether such a request came before, by a table of hashes that is cleared when full. */
  #isRepeated(request: Uint8Array): boolean {
    const slot = hashOf(request) % DISTINCT_SLOTS;
    this.#seen ??= new Uint8Array(DISTINCT_SLOTS);
    if (this.#seen[slot] === 1) return true;
    if (this.#distinct === MAX_DISTINCT) {
      this.#seen.fill(0);
      this.#distinct = 0;
    }
    this.#seen[slot] = 1;
    this.#distinct++;
    return false;
  }
}

/** Hashes the length and the first octets of a datagram (FNV-1a). */
function hashOf(octets: Uint8Array): number {
  let hash = 0x811c_9dc5 ^ octets.length;
  const end = Math.min(octets.length, MAX_COMPARED);
  for (let at = 0; at < end; at++) hash = Math.imul(hash ^ (octets[at] ?? 0), 0x0100_0193);
  return (hash ^ hash >>> 15) >>> 0;
}

/** One client: an address and port. */
interface Client {
  readonly faults: FaultGenerator;
  readonly limiter: RateLimiter;
  /** Reordered replies, which wait for the next one. */
  readonly reorderQueue: Reply[];
}

/** A reply that is held. */
interface Reply {
  readonly octets: Uint8Array;
  readonly to: Deno.NetAddr;
  readonly client: Client;
  readonly faults: Faults;
  /** True if the time of sending is filled in, for `-T`. */
  readonly isStamped: boolean;
}

const encoder = new TextEncoder();

/** The fields that a pinger reserves with `-T` for our times and count, at the end of its request. */
const STAMP_FIELDS = /^\trx=0{10}\.0{6}\ttx=0{10}\.0{6}\tn=0{10}$/;
/** Positions of the values, counted from the end of the request. */
const STAMP = { all: 55, rx: 51, tx: 30, n: 10 } as const;
const TAB = 0x09;

function fillIn(reply: Uint8Array, field: keyof typeof STAMP, value: string): void {
  encoder.encodeInto(value, reply.subarray(reply.length - STAMP[field]));
}

function hasStampFields(request: Uint8Array): boolean {
  return request[request.length - STAMP.all] === TAB &&
    STAMP_FIELDS.test(toByteString(request.subarray(-STAMP.all)));
}

/** Answers requests: with one reply or two, none longer than the request. */
export class EchoServer {
  /** What became of the requests so far. */
  readonly counts: Counts = {
    received: 0,
    dropped: 0,
    echoed: 0,
    limited: 0,
    ignored: 0,
    failed: 0,
    held: 0,
    clients: 0,
    bytes: 0,
  };
  readonly #socket: Deno.DatagramConn;
  readonly #options: EchoOptions;
  readonly #limits: typeof ECHO_LIMITS;
  readonly #signal: AbortSignal;
  readonly #port: number;
  readonly #clients = new Map<string, Client>();
  readonly #sessions = new Map<string, RequestCounter>();
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  #heldOctets = 0;
  #sending: Promise<void> = Promise.resolve();
  #unsent = 0;
  #isWarm = false;

  /** Takes over an open socket. */
  constructor(socket: Deno.DatagramConn, options: EchoOptions, signal: AbortSignal) {
    this.#socket = socket;
    this.#options = options;
    this.#limits = { ...ECHO_LIMITS, ...options.limits };
    this.#signal = signal;
    this.#port = "port" in socket.addr ? socket.addr.port : 0;
  }

  /** Answers until the signal aborts. Nothing that a client sends rejects the promise. */
  async serve(): Promise<void> {
    await receiveAll(this.#socket, this.#signal, (octets, from) => this.#onDatagram(octets, from));
    this.#timers.forEach(clearTimeout);
  }

  #onDatagram(octets: Uint8Array, from: Deno.NetAddr): Promise<void> | undefined {
    this.counts.received++;
    this.counts.bytes += octets.length;
    const fate = this.#answer(octets, from);
    this.counts[fate]++;
    if (this.#options.trace) {
      const note = fate === "held" ? "" : ` (${fate})`;
      this.#options.trace("<", formatDatagram(octets, from) + note);
    }
    return this.#unsent > MAX_UNSENT ? this.#sending : undefined;
  }

  /** Decides about a request, and holds or sends the reply. */
  #answer(octets: Uint8Array, from: Deno.NetAddr): Fate {
    // Our own port is that of another echo server, which would answer the answer.
    if (from.port < FIRST_CLIENT_PORT || from.port === this.#port) return "ignored";
    const client = this.#clientAt(from);
    const faults = client.faults.next();
    if (faults.isLost) return "dropped";
    const { held, heldOctets } = this.#limits;
    const isFull = this.counts.held >= held || this.#heldOctets + octets.length > heldOctets;
    if (!client.limiter.allows(octets) || isFull) return "limited";
    const copy = octets.slice(); // the next datagram overwrites the buffer
    const isStamped = hasStampFields(copy);
    if (isStamped) {
      fillIn(copy, "rx", timeOfDay());
      fillIn(copy, "n", String(this.#countRequest(copy, from)).padStart(10, "0"));
    }
    if (this.#options.upper) upperCase(copy);
    this.#hold({ octets: copy, to: from, client, faults, isStamped });
    return "held";
  }

  #clientAt({ hostname, port }: Deno.NetAddr): Client {
    const key = `${hostname} ${port}`;
    return remember(this.#clients, key, this.#limits.clients, () => {
      const { seed, hasOwnSeeds, trace } = this.#options;
      const ownSeed = (seed + (hasOwnSeeds ? SEED_STEP * this.counts.clients : 0)) >>> 0;
      this.counts.clients++;
      trace?.(
        "*",
        `Client ${this.counts.clients} is ${showAddress(hostname, port)}, seed ${ownSeed}`,
      );
      return {
        faults: new FaultGenerator(this.#options, ownSeed),
        limiter: new RateLimiter(this.#options, this.#limits.repeats),
        reorderQueue: [],
      };
    });
  }

  /** Counts the different requests of a session: by its id, which survives a change of the port. */
  #countRequest(request: Uint8Array, { hostname, port }: Deno.NetAddr): number {
    const text = toByteString(request.subarray(0, 100));
    const id = /\tid=(\w+)/.exec(text)?.[1] ?? `${hostname} ${port}`;
    const session = remember(this.#sessions, id, this.#limits.clients, () => new RequestCounter());
    const sequence = /^sequence=(\d{1,15})\t/.exec(text)?.[1];
    return session.add(sequence === undefined ? undefined : Number(sequence));
  }

  /** Holds a reply for its delay. */
  #hold(reply: Reply): void {
    this.#heldOctets += reply.octets.length;
    const wait = Math.round(reply.faults.delay - TIMER_LATENESS);
    if (wait < 0) this.#dispatch(reply);
    else this.#later(wait, () => this.#dispatch(reply));
  }

  /** Sends a reply, or lets the next one of this client go first. */
  #dispatch(reply: Reply): void {
    const { reorderQueue } = reply.client;
    if (!reply.faults.isReordered) {
      this.#send(reply);
      return this.#flush(reorderQueue);
    }
    reorderQueue.push(reply);
    if (reorderQueue.length > 1) return;
    this.#later(this.#limits.reorder, () => reorderQueue[0] === reply && this.#flush(reorderQueue));
  }

  /** Sends reordered replies, the last one first. */
  #flush(reorderQueue: Reply[]): void {
    for (let reply = reorderQueue.pop(); reply; reply = reorderQueue.pop()) this.#send(reply);
  }

  /** Calls a function later, unless the server stops before. */
  #later(ms: number, call: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      call();
    }, ms);
    this.#timers.add(timer);
  }

  /** Sends a reply with its last faults. */
  #send({ octets, to, faults, isStamped }: Reply): void {
    this.#heldOctets -= octets.length;
    if (isStamped) fillIn(octets, "tx", timeOfDay());
    if (faults.isDamaged) flipBit(octets, faults.bitPosition);
    for (let copy = 0; copy < faults.copies; copy++) this.#enqueue(octets, to, copy);
  }

  /**
   * Starts to transmit. Replies need not wait for each other, which makes the echo a third faster.
   * But overlapping sends of a fresh socket leave in reverse order: until there was a pause, each
   * waits for the one before.
   */
  #enqueue(octets: Uint8Array, to: Deno.NetAddr, copy: number): void {
    this.#unsent++;
    this.#sending = this.#isWarm
      ? this.#transmit(octets, to, copy)
      : this.#sending.then(() => this.#transmit(octets, to, copy));
  }

  async #transmit(octets: Uint8Array, to: Deno.NetAddr, copy: number): Promise<void> {
    let fate: Fate = "echoed";
    try {
      await this.#socket.send(octets, to);
      this.#options.trace?.(">", formatDatagram(octets, to));
    } catch (error) {
      if (this.#signal.aborted) return; // the socket is closed: the reply stays held
      fate = "failed";
      if (this.counts.failed === 0) this.#options.warn?.(error);
    }
    if (--this.#unsent === 0) this.#isWarm = true;
    if (copy > 0) return;
    this.counts.held--;
    this.counts[fate]++;
  }
}

/** Returns the entry of a bounded table. A new entry replaces the oldest one. */
function remember<T>(table: Map<string, T>, key: string, limit: number, make: () => T): T {
  const known = table.get(key);
  if (known !== undefined) return known;
  const [oldest] = table.keys();
  if (oldest !== undefined && table.size >= limit) table.delete(oldest);
  const entry = make();
  table.set(key, entry);
  return entry;
}

/** Formats a datagram for the trace: its length, its peer, and the beginning of its text. */
function formatDatagram(octets: Uint8Array, peer: Deno.NetAddr): string {
  const text = decodeUtf8(toByteString(octets.subarray(0, 200)));
  return `${octets.length} octets, ${showAddress(peer.hostname, peer.port)}: ${text}`;
}

function upperCase(octets: Uint8Array): void {
  octets.forEach((octet, at) => {
    if (octet >= 0x61 && octet <= 0x7a) octets[at] = octet - 0x20;
  });
}

/** Flips the bit at a position from 0 to 1. */
function flipBit(octets: Uint8Array, position: number): void {
  if (octets.length === 0) return;
  const bit = Math.floor(position * octets.length * 8);
  octets[bit >> 3] = (octets[bit >> 3] ?? 0) ^ 1 << (bit & 7);
}

// ---- Engine: heartbeats --------------------------------------------------

/** Of our own sender, and of the assignment's: `N - T`. Its clock is nothing to rely on. */
const BEAT =
  /^(?:sequence=(\d{1,15})\ttime=\d+(?:\.\d+)?(?:\t[^\r\n]*)?|(\d{1,15}) - \d[\d .:-]*)\r?\n?$/;

/** A sender of heartbeats; times in milliseconds, by our own monotonic clock. */
interface Sender {
  readonly name: string;
  readonly counts: Record<Beats, number>;
  window: SequenceWindow;
  state: "up" | "stopped" | "left";
  interval?: number; // as it says itself
  heard: number;
  gap?: number | undefined; // between its last two beats, if one followed the other
  learned: number; // the gap on average
  gaps: number;
  jitter: number;
  up: number;
  down: number;
}

/** How the monitor judges; times in milliseconds. */
export interface MonitorOptions {
  /** The interval of senders that do not tell theirs. Default: learned, at first 5 seconds. */
  interval?: number | undefined;
  /** How long a sender may be silent, if its interval allows. Default: three intervals. */
  timeout?: number | undefined;
  /** Gets each change. */
  report: (change: Change) => void;
  /** Hears of junk, once a minute. */
  warn?: ((error: Error) => void) | undefined;
}

/** A sender nobody has heard of: as if it had left just before this beat. */
function meet(name: string, sequence: number, now: number): Sender {
  return {
    ...{ name, state: "left", window: new SequenceWindow(sequence - 1) },
    ...{ heard: now, learned: 0, gaps: 0, jitter: 0, up: 0, down: 0 },
    counts: { received: 0, lost: 0, late: 0, duplicates: 0, stops: 0 },
  };
}

/** Watches senders of heartbeats: loss by their numbers, silence by our clock, never by theirs. */
export class Monitor {
  /** How many datagrams were no heartbeats; they are no sign of life and no stop. */
  junk = 0;
  #quietUntil = -Infinity; // about junk
  #awake = -Infinity; // since then
  readonly #senders = new Map<string, Sender>();
  readonly #options: MonitorOptions;

  /** Knows nobody yet. */
  constructor(options: MonitorOptions) {
    this.#options = options;
  }

  /** Takes a datagram. */
  take(octets: Uint8Array, from: Deno.NetAddr, now: number): void {
    const text = toByteString(octets.subarray(0, MAX_BEAT));
    const [, ours, theirs] = BEAT.exec(text) ?? [];
    const sequence = Number(ours ?? theirs ?? NaN);
    const name = printable(
      /\tname=([^\t\r\n]{1,64})/.exec(text)?.[1] ?? showAddress(from.hostname, from.port),
    );
    const known = this.#senders.get(name);
    if (Number.isNaN(sequence) || (!known && this.#senders.size === MAX_CLIENTS)) {
      this.junk++;
      if (now < this.#quietUntil) return;
      this.#quietUntil = now + JUNK_EVERY;
      return this.#options.warn?.(new Error(`No heartbeats: ${this.junk} datagrams so far`));
    }
    const sender = known ?? meet(name, sequence, now);
    this.#senders.set(name, sender);
    const interval = Number(/\tinterval=(\d{1,6}(?:\.\d{1,6})?)(?!\S)/.exec(text)?.[1] ?? 0) * 1000;
    if (interval > 0) sender.interval = interval;
    this.#beat(sender, sequence, now);
    if (/\tbye=1(?!\S)/.test(text) && sender.state === "up" && sequence === sender.window.highest) {
      sender.state = "left";
      this.#options.report({ event: "left", name });
    }
  }

  #beat(sender: Sender, sequence: number, now: number): void {
    const { name, window, state, counts } = sender;
    const next = window.highest + 1;
    const seen = !window.add(sequence);
    // A number seen before is a duplicate, but for a sender that began again: with its first
    // numbers, or far behind. The last beat of one that is up is never that.
    const isLast = state === "up" && sequence >= next - 1;
    const again = seen && !isLast && (sequence <= 1 || sequence < next - RESTART);
    if (seen && !again) return void counts.duplicates++;
    counts.received++;
    if (!again && sequence < next) {
      counts.late++;
      counts.lost--;
      return this.#options.report({ event: "late", name, from: sequence, to: sequence });
    }
    if (again) sender.window = new SequenceWindow(sequence);
    const lost = again ? 0 : sequence - next;
    counts.lost += lost;
    const silence = inSeconds(now - sender.heard);
    if (state === "left") this.#options.report({ event: "started", name });
    if (state === "stopped") this.#options.report({ event: "recovered", name, silence, lost });
    if (again && state !== "left") {
      this.#options.report({ event: "restarted", name, from: sequence });
    } else if (state === "up" && lost > 0) {
      this.#options.report({ event: "lost", name, lost, from: next, to: sequence - 1 });
    }
    // What waited in the socket while we slept says nothing about the sender's intervals.
    const awake = sender.heard >= this.#awake && now > this.#awake + SWEEP.every;
    this.#time(sender, now, awake && state === "up" && !again && lost === 0);
  }

  /** Keeps the times; intervals are learned only from beats that follow each other. */
  #time(sender: Sender, now: number, follows: boolean): void {
    const gap = now - sender.heard;
    if (sender.state === "up") sender.up += gap;
    if (sender.state === "stopped") sender.down += gap;
    if (follows) {
      sender.gaps++;
      sender.learned += (gap - sender.learned) / Math.min(sender.gaps, 8);
      sender.jitter += (Math.abs(gap - (sender.gap ?? gap)) - sender.jitter) / sender.gaps;
    }
    sender.gap = follows ? gap : undefined;
    sender.heard = now;
    sender.state = "up";
  }

  /** How long a sender may be silent: three intervals, and no less than was asked for. */
  #patience({ interval, learned, gaps }: Sender): number {
    const own = interval ?? (gaps >= 4 ? learned : undefined);
    const { timeout } = this.#options;
    if (timeout !== undefined) return Math.max(timeout, 3 * (own ?? 0));
    return 3 * (interval ?? this.#options.interval ?? Math.max(own ?? DEFAULT_INTERVAL, 333));
  }

  /** Judges who has stopped. */
  sweep(now: number): void {
    for (const sender of this.#senders.values()) {
      const quiet = now - Math.max(sender.heard, this.#awake);
      if (sender.state !== "up" || quiet <= this.#patience(sender)) continue;
      sender.state = "stopped";
      sender.counts.stops++;
      const silence = inSeconds(now - sender.heard);
      this.#options.report({ event: "stopped", name: sender.name, silence });
    }
  }

  /** Begins everybody's silence anew, after a time in which we heard nothing ourselves. */
  resume(now: number, silence: number): void {
    this.#awake = now;
    this.#options.report({ event: "suspended", name: "monitor", silence });
  }

  /** Sums up each sender. */
  summary(now: number): SenderSummary[] {
    return this.#senders.values().map(({ name, state, counts, heard, ...sender }) => {
      const since = now - heard;
      const up = sender.up + (state === "up" ? since : 0);
      const down = sender.down + (state === "stopped" ? since : 0);
      const loss = percent(counts.lost / (counts.lost + counts.received));
      const jitter = Number(sender.jitter.toFixed(3));
      return { name, ...counts, loss, up: up + down > 0 ? percent(up / (up + down)) : 100, jitter };
    }).toArray();
  }
}

function inSeconds(ms: number): number {
  return Number((ms / 1000).toFixed(3));
}

/** Lets the monitor hear and judge until the signal aborts. */
export async function watch(
  socket: Deno.DatagramConn,
  monitor: Monitor,
  signal: AbortSignal,
  trace?: Trace,
): Promise<void> {
  const hearing = receiveAll(socket, signal, (octets, from) => {
    trace?.("<", formatDatagram(octets, from));
    monitor.take(octets, from, performance.now());
  });
  const judging = async () => {
    while (!signal.aborted) {
      const [began, wall] = [performance.now(), Date.now()];
      await pause(SWEEP.every, signal);
      // The monotonic clock stands still while the machine sleeps, the other one does not.
      const slept = Math.max(performance.now() - began, Date.now() - wall) - SWEEP.every;
      if (slept > SWEEP.suspended) monitor.resume(performance.now(), inSeconds(slept));
      if (slept > SWEEP.late) await pause(SWEEP.every, signal); // what waits in the socket goes first
      if (!signal.aborted) monitor.sweep(performance.now());
    }
  };
  await Promise.all([hearing, judging()]);
}

/**
 * Runs a command (words apart by spaces) for each change: one at a time, without a shell, the
 * change on its standard input. What it returns settles when the command has run. The signal ends
 * a command that runs.
 */
export function hook(
  command: string,
  stdout: "inherit" | "null",
  warn: (error: unknown) => void,
  signal: AbortSignal,
): (change: Change) => Promise<void> {
  const [program = "", ...args] = command.trim().split(/\s+/);
  const start = async (change: Change) => {
    const child = new Deno.Command(program, { args, stdin: "piped", stdout, signal }).spawn();
    const writer = child.stdin.getWriter();
    const line = encoder.encode(`${JSON.stringify(change)}\n`);
    await writer.write(line).then(() => writer.close()).catch(() => {}); // it need not read
    const { code } = await child.status;
    if (code !== 0) throw new Error(`"${printable(command)}" ended with status ${code}`);
  };
  let [waiting, last] = [0, Promise.resolve()];
  return (change) => {
    if (waiting === MAX_WAITING) {
      warn(new Error(`"${printable(command)}" is too slow: it will not hear of each change`));
      return last;
    }
    waiting++;
    return last = last.then(() => start(change)).catch(warn).finally(() => waiting--);
  };
}

// ---- Command line --------------------------------------------------------

/** Time for which the last command of `--exec` and the last lines may take at the end (ms). */
const LAST_OUTPUT = 1000;

const OPTIONS = {
  port: option(
    "-p, --port N",
    "listen on this port; 0 takes a free one",
    wholeNumber(0, 65_535),
    "12000",
  ),
  bind: option(
    "-b, --bind, --host ADDR",
    "listen on this address (default: every address)",
    nonEmpty,
  ),
  loss: option("--loss P", "drop a request: 0.3, 30% or 4/11", probability, "4/11"),
  burst: option(
    "--burst N",
    "mean length of a burst of losses (default: independent losses)",
    decimal(1, 1e6),
  ),
  delay: option("--delay MS", "hold each reply", decimal(0, 3_600_000), "0"),
  jitter: option(
    "--jitter MS",
    "make the delay up to this much longer or shorter",
    decimal(0, 3_600_000),
    "0",
  ),
  duplicate: option("--duplicate P", "answer twice", probability, "0"),
  corrupt: option("--corrupt P", "flip one bit of a reply", probability, "0"),
  reorder: option("--reorder P", "let the next reply overtake", probability, "0"),
  rate: option(
    "--rate N",
    "replies a second to one client; 0 is no limit",
    decimal(0, 1e9),
    "1000",
  ),
  seed: option(
    "--seed N",
    "make the same faults for the same requests (default: random)",
    wholeNumber(0, 0xffff_ffff),
  ),
  upper: flag("--upper", "reply in upper case"),
  heartbeat: flag("--heartbeat", "watch senders of heartbeats instead of echoing"),
  interval: option(
    "--interval S",
    "interval of senders that do not state theirs (default: 5, then as observed)",
    seconds(0.001, 86_400),
  ),
  timeout: option(
    "--timeout S",
    "silence after which a sender has stopped (default: 3 intervals)",
    seconds(0.001, 86_400),
  ),
  exec: option(
    "--exec COMMAND",
    "run at each event, with the event as JSON on standard input (needs --allow-run)",
    nonEmpty,
  ),
  json: flag("--json", "print events and the summary as JSON lines"),
  quiet: flag("-q, --quiet", "print the summary only"),
  verbose: flag("-v, --verbose", "show each datagram on standard error"),
};

const COMMAND: Command<typeof OPTIONS> = {
  name: "udp_ping_server",
  summary: "Echoes UDP datagrams with the faults of a network, or watches heartbeats.",
  usage: ["[options]"],
  options: OPTIONS,
  notes: ["SIGQUIT (Ctrl-\\) prints the summary and goes on."],
  example: "deno run --allow-net --unstable-net udp_ping_server.ts --loss 30%",
  exitStatuses: "0 stopped by a signal, 1 cannot start, 2 usage",
};

/** Refuses options that have no effect, and faults that are impossible together. */
function checkOptions(line: CommandLine<typeof OPTIONS>): void {
  const [operand] = line.operands;
  if (operand !== undefined) {
    throw new UsageError(`Cannot use ${quoteForMessage(operand)}: expected options only`);
  }
  for (const name of ["interval", "timeout", "exec"] as const) {
    requireWith(line, name, "heartbeat", OPTIONS);
  }
  const { loss, burst } = line.options;
  // Between two bursts at least one datagram is not lost.
  if (burst !== undefined && loss > burst / (burst + 1) + 1e-9) {
    throw new UsageError(
      `Cannot lose ${formatPercent(loss)} in bursts of ${burst}: expected a longer --burst`,
    );
  }
}

/** Opens the socket. `::` takes IPv4 too; a machine without IPv6 gets 0.0.0.0. */
function listen(hostname: string | undefined, port: number): Deno.DatagramConn {
  try {
    return Deno.listenDatagram({ transport: "udp", hostname: hostname ?? "::", port });
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) {
      throw new ExitError(
        1,
        "Deno was not allowed to use the network, and clients are anywhere; add --allow-net",
      );
    }
    const isInUse = error instanceof Deno.errors.AddrInUse;
    const isDenied = error instanceof Deno.errors.PermissionDenied;
    if (hostname === undefined && !isInUse && !isDenied) return listen("0.0.0.0", port);
    const where = hostname === undefined ? "every address" : quoteForMessage(hostname);
    const remedy = isInUse ? "; try another --port" : "";
    throw new ExitError(1, `Cannot listen on ${where} port ${port}: ${reasonOf(error)}${remedy}`);
  }
}

/** Describes the faults for the first line. */
function describeFaults(options: EchoOptions): string {
  const { loss, burst, delay, jitter, duplicate, corrupt, reorder, upper, seed } = options;
  const said = [
    `loss ${formatPercent(loss)}`,
    burst !== undefined && `burst ${burst}`,
    delay > 0 && `delay ${delay} ms`,
    jitter > 0 && `jitter ${jitter} ms`,
    duplicate > 0 && `duplicate ${formatPercent(duplicate)}`,
    corrupt > 0 && `corrupt ${formatPercent(corrupt)}`,
    reorder > 0 && `reorder ${formatPercent(reorder)}`,
    upper && "upper case",
  ];
  return `${said.filter((words) => words).join(", ")} (seed ${seed})`;
}

/** Formats the counts of the echo in one line. */
export function summarize(counts: Counts): string {
  const { received, dropped, echoed, clients, bytes } = counts;
  const rest = (["limited", "ignored", "failed", "held"] as const)
    .filter((kind) => counts[kind] > 0).map((kind) => `, ${counts[kind]} ${kind}`);
  return `${received} received, ${dropped} dropped, ${echoed} echoed ` +
    `(${formatPercent(lossOf(counts))} loss), ${plural(clients, "client")}, ` +
    `${plural(bytes, "byte")}${rest.join("")}`;
}

/** Returns the loss (0 to 1) among the requests that were not ignored. */
function lossOf({ received, dropped, ignored }: Counts): number {
  return dropped / (received - ignored);
}

/** Says a change in one line. */
export function describe(
  { event, name, lost = 0, from = 0, to = from, silence = 0 }: Change,
): string {
  const [seconds, span] = [`${silence.toFixed(1)} s`, from === to ? from : `${from} to ${to}`];
  const words: Record<Change["event"], string> = {
    started: "started",
    lost: `${lost} lost (sequence ${span})`,
    late: `1 came late (sequence ${span})`,
    stopped: `stopped (silent for ${seconds})`,
    recovered: `is back (after ${seconds}, ${lost} lost)`,
    restarted: `restarted (sequence fell to ${from})`,
    left: "left",
    suspended: `was suspended for ${seconds}`,
  };
  return `${name}: ${words[event]}`;
}

/** Sums up the heartbeats, a line a sender. */
function summarizeSenders(senders: SenderSummary[], junk: number): string {
  const lines = senders.map((sender) =>
    `${sender.name}: ${sender.received} received, ${sender.lost} lost (${
      formatPercent(sender.loss / 100)
    } loss), ` +
    `${sender.late} late, ${plural(sender.duplicates, "duplicate")}, ` +
    `${plural(sender.stops, "stop")}, up ${
      formatPercent(sender.up / 100)
    }, jitter ${sender.jitter} ms`
  );
  return [...lines, `${plural(lines.length, "sender")}, ${junk} junk`].join("\n");
}

/** Makes sure that the command may be run, before the first change. */
function requireRun(line: string): void {
  const [command = ""] = line.trim().split(/\s+/);
  if (Deno.permissions.querySync({ name: "run", command }).state === "granted") return;
  throw new Deno.errors.NotCapable(`Requires run access to "${command}"`);
}

/** Where a program writes; none of it blocks the service when its reader is stuck. */
interface Output {
  /** Writes a line of text, or its value as JSON with `--json`. */
  say: (text: string, value: unknown) => void;
  /** Writes a message to standard error. */
  warn: (error: unknown) => void;
  /** Shows datagrams, with `--verbose`. */
  trace: Trace | undefined;
  /** Aborts when the reader of standard output has closed it. */
  closed: AbortSignal;
  /** Waits for the last lines. */
  end: () => Promise<unknown>;
}

function openOutput({ json, verbose }: Values<typeof OPTIONS>): Output {
  const closed = new AbortController();
  const stderr = new LineWriter(Deno.stderr);
  const warn = (error: unknown) =>
    stderr.write(`udp_ping_server: ${escapeText(describeError(error) ?? String(error))}\n`);
  const stdout = new LineWriter(Deno.stdout, {
    onClosed: () => closed.abort(),
    onLost: (reason) =>
      warn(new Error(`Cannot write to standard output, lines are lost: ${reason}`)),
  });
  return {
    say: (text, value) => stdout.write(`${json ? JSON.stringify(value) : text}\n`),
    warn,
    trace: verbose ? (mark, text) => stderr.write(`${formatTrace(mark, text)}\n`) : undefined,
    closed: closed.signal,
    end: () => Promise.all([stdout.end(LAST_OUTPUT), stderr.end(LAST_OUTPUT)]),
  };
}

/** Echoes until the signal aborts. */
async function runEcho(
  socket: Deno.DatagramConn,
  options: Values<typeof OPTIONS>,
  seed: number,
  { say, warn, trace }: Output,
  signal: AbortSignal,
): Promise<void> {
  const hasOwnSeeds = options.seed === undefined;
  const server = new EchoServer(socket, { ...options, seed, hasOwnSeeds, trace, warn }, signal);
  const showSummary = () => {
    const { counts } = server;
    say(summarize(counts), { event: "summary", ...counts, loss: percent(lossOf(counts)), seed });
  };
  await Promise.race([server.serve(), onQuit(showSummary)]);
  showSummary();
}

/** Watches senders of heartbeats until the signal aborts. */
async function runMonitor(
  socket: Deno.DatagramConn,
  { interval, timeout, exec, json, quiet }: Values<typeof OPTIONS>,
  { say, warn, trace }: Output,
  signal: AbortSignal,
): Promise<void> {
  const end = new AbortController();
  const stdout = json ? "null" : "inherit";
  const command = exec === undefined ? undefined : hook(exec, stdout, warn, end.signal);
  let commands: Promise<void> | undefined;
  const report = (change: Change) => {
    if (!quiet) say(describe(change), change);
    if (change.event !== "suspended") commands = command?.(change);
  };
  const monitor = new Monitor({ interval, timeout, report, warn });
  const showSummary = () => {
    const [senders, { junk }] = [monitor.summary(performance.now()), monitor];
    say(summarizeSenders(senders, junk), { event: "summary", senders, junk });
  };
  await Promise.race([watch(socket, monitor, signal, trace), onQuit(showSummary)]);
  await Promise.race([commands, pause(LAST_RUN, end.signal)]);
  end.abort();
  showSummary();
}

async function main(line: CommandLine<typeof OPTIONS>): Promise<number> {
  checkOptions(line);
  const { options } = line;
  requireDatagrams();
  if (options.exec !== undefined) requireRun(options.exec);
  const socket = listen(options.bind?.replace(/^\[(.*)\]$/, "$1"), options.port);
  const output = openOutput(options);
  const signal = AbortSignal.any([shutdownSignal(), output.closed]);
  const seed = options.seed ?? Math.floor(Math.random() * 1e6);
  const { addr } = socket;
  if (!options.quiet && "hostname" in addr) {
    const task = options.heartbeat ? "for heartbeats" : describeFaults({ ...options, seed });
    console.error(`udp_ping_server: listening on ${addr.hostname} port ${addr.port}, ${task}`);
  }
  await (options.heartbeat
    ? runMonitor(socket, options, output, signal)
    : runEcho(socket, options, seed, output, signal));
  await output.end();
  return 0;
}

if (import.meta.main) await run(COMMAND, main);
