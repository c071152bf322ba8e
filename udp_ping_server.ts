#!/usr/bin/env -S deno run --allow-net --unstable-net
/**
 * Echoes UDP datagrams with the faults of a network: loss, delay, duplicates, damage, reordering,
 * all random but repeatable. With `--heartbeat` it watches senders of heartbeats instead.
 *
 * ```sh
 * deno run --allow-net --unstable-net udp_ping_server.ts --loss 30%
 * ```
 *
 * UDP is RFC 768, the echo is RFC 862. A message of `udp_pinger` is one line of ASCII:
 * `sequence=N<TAB>time=T` and more fields. The echo returns any octets. The order of this file:
 * terms, numbers, faults, the echo, the monitor, the command of `--exec`, output, the command line.
 *
 * Left out: authentication. And Deno does not tell the address that a request was sent to, so a
 * server on every address may answer from another one of its addresses; `--bind` prevents that.
 *
 * The engines are {@linkcode EchoServer} and {@linkcode Monitor}:
 *
 * ```ts
 * import { assertEquals } from "jsr:@std/assert@^1.0.19";
 * import { EchoServer } from "./udp_ping_server.ts";
 *
 * const local = { transport: "udp", hostname: "127.0.0.1", port: 0 } as const;
 * const [socket, client] = [Deno.listenDatagram(local), Deno.listenDatagram(local)];
 * const faults = { loss: 0, delay: 0, jitter: 0, duplicate: 0, corrupt: 0, reorder: 0 };
 * const stop = new AbortController();
 * const server = new EchoServer(socket, { ...faults, rate: 0, seed: 1, upper: true }, stop.signal);
 * const serving = server.serve();
 *
 * await client.send(new TextEncoder().encode("hello"), socket.addr);
 * const [reply] = await client.receive();
 * assertEquals(new TextDecoder().decode(reply), "HELLO");
 *
 * stop.abort();
 * await serving;
 * client.close();
 * ```
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
  oneOf,
  onQuit,
  option,
  plural,
  probability,
  quoteForMessage,
  reasonOf,
  refuseTogether,
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
  showHost,
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
  /** Probability of sending a reply after the next one (0 to 1). */
  reorder: number;
  /** Replies a second to one client; 0 means no limit. */
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
  warn?: ((error: Error) => void) | undefined;
}

/** Counts of the echo. Each request is counted as received and under its fate. */
export interface Counts {
  /** Requests received. */
  received: number;
  /** Requests dropped by chance. */
  dropped: number;
  /** Requests dropped because of the rate, the room for held replies, or a loop. */
  limited: number;
  /** Requests from a port below 1024, or from the port number of the server. */
  ignored: number;
  /** Requests whose reply has not been sent yet. */
  held: number;
  /** Requests that were answered. */
  echoed: number;
  /** Requests whose reply could not be sent. */
  failed: number;
  /** Clients: pairs of address and port. */
  clients: number;
  /** Octets received. */
  bytes: number;
}

/** Outcome of a request. */
export type Fate = Exclude<keyof Counts, "received" | "clients" | "bytes">;

/** Names of the events of the monitor. */
// deno-fmt-ignore (a list)
export const EVENTS = [
  "started", "lost", "late", "stopped", "recovered", "restarted", "left", "failed", "conflict",
  "suspended",
] as const;

/** An event of a sender of heartbeats. */
export interface MonitorEvent {
  /** Time of the report (ISO 8601, UTC). */
  time: string;
  /** Kind of event. */
  event: typeof EVENTS[number];
  /** Name of the sender, or its address and port; "monitor" for the monitor itself. */
  name: string;
  /** Number of beats that are missing. */
  lost?: number;
  /** First sequence number that the event is about. */
  from?: number;
  /** Last sequence number that the event is about. */
  to?: number;
  /** Last sequence number before a restart. */
  before?: number;
  /** Time without a beat (s). */
  silence?: number;
  /** Failure that the sender reports. */
  message?: string;
  /** Address of a host that uses the name of another sender. */
  address?: string;
  /** Address of the host that the name belongs to. */
  owner?: string;
  /** What the host at `address` sent; "moved" if the name belongs to it from now on. */
  claim?: Claim;
}

/** Claim of a host to the name of another one. */
export type Claim = "beat" | "left" | "failed" | "moved";

/** Counts of a sender. */
export interface BeatCounts {
  /** Beats received. */
  received: number;
  /** Beats that are missing. */
  lost: number;
  /** Beats that came after a higher number. They do not count as lost. */
  late: number;
  /** Copies of beats that came before. */
  duplicates: number;
  /** Number of stops. */
  stops: number;
}

/** Statistics of a sender. */
export interface SenderSummary extends BeatCounts {
  /** Name of the sender, or its address and port. */
  name: string;
  /** Lost beats (per cent). */
  loss: number;
  /** Time in which the sender was up (per cent). */
  up: number;
  /** Mean difference between an interval of arrivals and the next (ms). */
  jitter: number;
}

/** Settings of the monitor. */
export interface MonitorOptions {
  /** Interval of senders that do not state theirs (ms). Default: 5 s, then as observed. */
  interval?: number | undefined;
  /** Silence after which a sender has stopped (ms). Default: three intervals. */
  timeout?: number | undefined;
  /** Senders whose silence is reported even before their first beat. */
  expected?: readonly ExpectedSender[] | undefined;
  /** Number of senders that are remembered. Default: 10,000. */
  maxSenders?: number | undefined;
  /** Gets each event. */
  report: (event: MonitorEvent) => void;
  /** Gets messages about junk and forgotten senders, each at most once a minute. */
  warn?: ((error: Error) => void) | undefined;
}

/** A sender named with `--expect`. */
export interface ExpectedSender {
  /** Name of the sender. */
  name: string;
  /** Silence after which it has stopped (ms). Default: as for other senders. */
  timeout?: number | undefined;
}

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
  /** Of this number of repeated requests in a row one is dropped, to end loops. */
  repeats: 1000,
};

/** Lowest port of a client (RFC 6335 §6). A service below it could answer replies for ever. */
const FIRST_CLIENT_PORT = 1024;
/** Number of unfinished sends above which receiving pauses. */
const MAX_UNSENT = 64;
/** Lateness of timers (ms). Delays are set shorter by this time. */
const TIMER_LATENESS = 1.2;
/** Number of recent sequence numbers whose arrival is remembered. */
const WINDOW = 1024;
/** Difference between the seeds of two clients. A client uses its seed plus 1 to 5. */
const SEED_STEP = 8;
/** Repeated requests in a row that are taken for a loop when the rate is exceeded. */
const STORM_REPEATS = 100;
/** Different requests of a client that are remembered to recognize repeats. */
const MAX_DISTINCT = 1024;
/** Slots of the hash table for them, an octet each. */
const DISTINCT_SLOTS = 4096;
/** Octets of a request that are compared to recognize repeats. */
const MAX_COMPARED = 512;

/** Number of senders that the monitor remembers. */
const MAX_SENDERS = 10_000;
/** Octets of a heartbeat that are read; further ones are ignored. */
const MAX_BEAT = 1024;
/** Longest name of a sender (octets). */
const MAX_NAME = 64;
/** Longest report of a failure (octets). */
const MAX_FAILURE = 200;
/** Longest interval of heartbeats, and longest time-out (s): 366 days. */
const MAX_INTERVAL = 366 * 86_400;
/** Interval of heartbeats until another one is known (ms). */
const DEFAULT_INTERVAL = 5000;
/** Number of intervals from which the interval of a sender is learned. */
const OBSERVED_INTERVALS = 5;
/** Shortest interval that is learned (ms). */
const MIN_LEARNED = 333;
/** A known sequence number this far below the highest one shows a restart. */
const RESTART_DISTANCE = 64;
/** Largest difference between the number and the time of a beat sent by cron (s). */
const CLOCK_DISTANCE = 3600;
/** Time within which copies of one beat arrive (ms). */
const COPIES_MS = 1000;
/** Time between two checks for silence (ms). */
const SWEEP_MS = 50;
/** Lateness of a sweep (ms) after which the socket is read first, because beats may wait there. */
const LATE_MS = 25;
/** Lateness of a sweep that is reported as a suspension (ms). */
const SUSPENDED_MS = 1000;
/** Shortest time between two warnings or two conflicts of the same kind (ms). */
const REPORT_MS = 60_000;
/** Time that the last lines of output may take at the end (ms). */
const LAST_OUTPUT = 1000;
/** Limits of `--exec`. */
export const EXEC_LIMITS = {
  /** Time between two runs for one name and event (ms). */
  interval: 60_000,
  /** Events that may wait for the command. */
  waiting: 1000,
  /** Time that the commands may take at the end (ms). */
  end: 2000,
};

// ---- Engine: random numbers and sequence numbers -------------------------

/** Makes repeatable random numbers from 0 to 1: a counter, mixed as in MurmurHash3. */
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
  readonly #seen = new Uint8Array(WINDOW).fill(1);

  /** Begins at a number. All numbers up to `highest` count as seen. */
  constructor(public highest = -1) {}

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
   * Adds a request, by its number (NaN if it has none). Returns the count so far. A number far from
   * all others is damaged or follows a long gap. It counts when a second number near it comes.
   */
  add(sequence: number): number {
    if (Number.isNaN(sequence)) return this.#count;
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

// ---- Engine: faults and limits of one client -----------------------------

/** The faults of one request and its reply. */
export interface Faults {
  /** True if the request is dropped. */
  isLost: boolean;
  /** Time for which the reply is held (ms). */
  delay: number;
  /** Datagrams that are sent: 1 or 2. */
  copies: number;
  /** True if one bit of the reply is flipped. */
  isDamaged: boolean;
  /** Position of that bit, from 0 (start of the reply) to 1 (end). */
  bitPosition: number;
  /** True if the next reply goes first. */
  isReordered: boolean;
}

/** Draws the faults of one client. Each kind has its own generator, so none changes another. */
export class FaultGenerator {
  readonly #options: EchoOptions;
  readonly #draw: Record<"loss" | "delay" | "duplicate" | "corrupt" | "reorder", () => number>;
  #wasLost: boolean | undefined;

  /** Begins the sequences of a seed. */
  constructor(options: EchoOptions, seed: number) {
    const of = (kind: number) => generator(Math.imul(seed + kind, 0x1656_67b1));
    this.#options = options;
    this.#draw = { loss: of(1), delay: of(2), duplicate: of(3), corrupt: of(4), reorder: of(5) };
  }

  /** Draws the faults of the next request. */
  next(): Faults {
    const { delay, jitter, duplicate, corrupt, reorder } = this.#options;
    const draw = this.#draw;
    return {
      isLost: this.#isLost(),
      delay: Math.max(0, delay + (2 * draw.delay() - 1) * jitter),
      copies: draw.duplicate() < duplicate ? 2 : 1,
      isDamaged: draw.corrupt() < corrupt,
      bitPosition: draw.corrupt(),
      isReordered: draw.reorder() < reorder,
    };
  }

  /** Gilbert's chain: a burst ends with probability 1/burst. Its start is set to reach `loss`. */
  #isLost(): boolean {
    const { loss, burst } = this.#options;
    let chance = loss;
    if (burst !== undefined && this.#wasLost !== undefined) {
      chance = this.#wasLost ? 1 - 1 / burst : loss / ((1 - loss) * burst);
    }
    this.#wasLost = this.#draw.loss() < chance;
    return this.#wasLost;
  }
}

/**
 * Limits the replies to one client, with a token bucket that drops, and ends loops.
 *
 * Two echo servers that answer each other send the same datagram back and forth. Dropping it once
 * ends the loop, so one of 1,000 repeated requests is dropped. With `--duplicate` the datagrams of a
 * loop multiply until they exceed the rate. Then all repeats are dropped, for longer than one round
 * takes.
 */
class RateLimiter {
  readonly #options: EchoOptions;
  #tokens = Infinity; // the first request limits them
  #refilled = performance.now();
  /** Which hashes of requests came. Allocated when needed, because --rate may be 0. */
  #seen: Uint8Array | undefined;
  #distinct = 0;
  #repeats = 0;
  #mutedUntil = -Infinity;

  constructor(options: EchoOptions) {
    this.#options = options;
  }

  /** Returns whether to answer a request. */
  allows(request: Uint8Array): boolean {
    const { rate, delay, jitter, limits } = this.#options;
    const maxRepeats = limits?.repeats ?? ECHO_LIMITS.repeats;
    if (rate === 0) return true;
    const now = performance.now();
    const refill = (now - this.#refilled) * rate / 1000;
    this.#tokens = Math.min(Math.max(1, rate), this.#tokens + refill);
    this.#refilled = now;
    this.#repeats = this.#isRepeated(request) ? this.#repeats + 1 : 0;
    const isExceeded = this.#tokens < 1;
    if (isExceeded && this.#repeats >= STORM_REPEATS) {
      this.#mutedUntil = now + 1000 + 4 * (delay + jitter);
    }
    const isMuted = this.#repeats > 0 && now < this.#mutedUntil;
    const isLoop = this.#repeats > 0 && this.#repeats % maxRepeats === 0;
    if (isExceeded || isMuted || isLoop) return false;
    this.#tokens--;
    return true;
  }

  /** Returns whether a request came before. Its table of hashes is cleared when full. */
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

// ---- Engine: the echo ----------------------------------------------------

/** One client: an address and port. */
interface Client {
  readonly address: Deno.NetAddr;
  readonly faults: FaultGenerator;
  readonly limiter: RateLimiter;
  /** Reordered replies, which wait for the next one. */
  readonly reorderQueue: Reply[];
}

/** A reply that is held. */
interface Reply {
  readonly octets: Uint8Array;
  readonly client: Client;
  readonly faults: Faults;
  /** True if the times and the count of `-T` are filled in. */
  readonly isStamped: boolean;
}

const encoder = new TextEncoder();

/** Fields at the end of a request of `udp_pinger -T`: room for two times and a count. */
const STAMP_FIELDS = /^\trx=0{10}\.0{6}\ttx=0{10}\.0{6}\tn=0{10}$/;
/** Start of all the fields, and of each value, counted from the end of the request. */
const STAMP = { all: 55, rx: 51, tx: 30, n: 10 } as const;

function fillIn(reply: Uint8Array, field: keyof typeof STAMP, value: string): void {
  encoder.encodeInto(value, reply.subarray(reply.length - STAMP[field]));
}

function hasStampFields(request: Uint8Array): boolean {
  return request[request.length - STAMP.all] === 0x09 && // most requests end here: no tab
    STAMP_FIELDS.test(toByteString(request.subarray(-STAMP.all)));
}

/** Answers each request with one or two replies, which are never longer than the request. */
export class EchoServer {
  /** Counts of the requests so far. */
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
  #lastClient: Client | undefined;
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
    const note = fate === "held" ? "" : ` (${fate})`;
    this.#options.trace?.("<", formatDatagram(octets, from) + note);
    return this.#unsent > MAX_UNSENT ? this.#sending : undefined;
  }

  /** Decides about a request, and holds or sends the reply. */
  #answer(octets: Uint8Array, from: Deno.NetAddr): Fate {
    // A client on the same port may be another echo server, which would answer the reply.
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
    this.#hold({ octets: copy, client, faults, isStamped });
    return "held";
  }

  /** Returns the client of an address. The last one is kept, because a look-up costs 0.3 us. */
  #clientAt(address: Deno.NetAddr): Client {
    const { hostname, port } = address;
    const last = this.#lastClient;
    if (last?.address.port === port && last.address.hostname === hostname) return last;
    const make = () => this.#newClient(address);
    const { clients } = this.#limits;
    return this.#lastClient = remember(this.#clients, `${hostname} ${port}`, clients, make);
  }

  #newClient(address: Deno.NetAddr): Client {
    const { seed, hasOwnSeeds, trace } = this.#options;
    const ownSeed = (seed + (hasOwnSeeds ? SEED_STEP * this.counts.clients : 0)) >>> 0;
    const number = ++this.counts.clients;
    const shown = showAddress(address.hostname, address.port);
    trace?.("*", `Client ${number} is ${shown}, seed ${ownSeed}`);
    return {
      address,
      faults: new FaultGenerator(this.#options, ownSeed),
      limiter: new RateLimiter(this.#options),
      reorderQueue: [],
    };
  }

  /** Counts the different requests of a session. Its id stays when the port of the client changes. */
  #countRequest(request: Uint8Array, { hostname, port }: Deno.NetAddr): number {
    const text = toByteString(request.subarray(0, 100));
    const id = /\tid=(\w+)/.exec(text)?.[1] ?? `${hostname} ${port}`;
    const session = remember(this.#sessions, id, this.#limits.clients, () => new RequestCounter());
    return session.add(Number(/^sequence=(\d{1,15})\t/.exec(text)?.[1]));
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

  /** Sends a reply once or twice, with the time of sending and perhaps a flipped bit. */
  #send({ octets, client, faults, isStamped }: Reply): void {
    this.#heldOctets -= octets.length;
    if (isStamped) fillIn(octets, "tx", timeOfDay());
    if (faults.isDamaged) flipBit(octets, faults.bitPosition);
    for (let copy = 0; copy < faults.copies; copy++) this.#enqueue(octets, client.address, copy);
  }

  /**
   * Starts to send a reply. Sends may overlap, which makes the echo a third faster. But overlapping
   * sends of a new socket leave in reverse order. So each one waits for the one before, until the
   * queue has been empty once.
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
      if (this.counts.failed === 0) {
        const where = showAddress(to.hostname, to.port);
        this.#options.warn?.(new Error(`Cannot reply to ${where}: ${reasonOf(error)}`));
      }
    }
    if (--this.#unsent === 0) this.#isWarm = true;
    if (copy > 0) return;
    this.counts.held--;
    this.counts[fate]++;
  }
}

/** Returns the entry of a bounded table. When it is full, a new entry replaces the oldest one. */
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

/** Flips the bit at a position from 0 to 1. An empty datagram stays as it is. */
function flipBit(octets: Uint8Array, position: number): void {
  const bit = Math.floor(position * octets.length * 8);
  octets[bit >> 3] = (octets[bit >> 3] ?? 0) ^ 1 << (bit & 7);
}

// ---- Engine: reading heartbeats ------------------------------------------

/** A heartbeat of our pinger. Fields follow: `interval=S`, `name=NAME`, `bye=1`, `fail=TEXT`. */
const OUR_BEAT = /^sequence=(\d{1,15})\ttime=(\d+(?:\.\d+)?)(?:\t([^\r\n]*))?$/;
/** The assignment's `N - TIME`, and what students send: `N TIME` and `WORD N TIME`. */
const OTHER_BEAT = /^(?:[A-Za-z]+ +)?(\d{1,15}) +(?:- +)?\d[\d .:TZ+-]*$/;

/** A heartbeat. */
interface Beat {
  sequence: number;
  /** Name of the sender, or its address and port. */
  name: string;
  /** Interval that the sender states (ms). */
  interval: number | undefined;
  /** Failure that the sender reports. */
  failure: string | undefined;
  isFarewell: boolean;
  /** True if the number is the time in seconds: the sender is run by cron. */
  isTimed: boolean;
}

/** Reads a heartbeat. Returns undefined for any other datagram. */
function readBeat(octets: Uint8Array, from: Deno.NetAddr): Beat | undefined {
  const text = toByteString(octets.subarray(0, MAX_BEAT)).replace(/\r?\n$/, "");
  const [, number, time, rest = ""] = OUR_BEAT.exec(text) ?? OTHER_BEAT.exec(text) ?? [];
  if (number === undefined) return undefined;
  const field = (name: string) => {
    const found = rest.split("\t").find((each) => each.startsWith(`${name}=`));
    return found?.slice(name.length + 1);
  };
  const sequence = Number(number);
  const failure = field("fail")?.slice(0, MAX_FAILURE);
  return {
    sequence,
    name: printable(field("name")?.slice(0, MAX_NAME) || showAddress(from.hostname, from.port)),
    interval: readInterval(field("interval")),
    failure: failure === undefined ? undefined : printable(failure),
    isFarewell: field("bye") === "1",
    isTimed: sequence >= 1e9 && Math.abs(sequence - Number(time)) <= CLOCK_DISTANCE,
  };
}

function readInterval(text = ""): number | undefined {
  const seconds = /^\d+(\.\d+)?$/.test(text) ? Number(text) : 0;
  return seconds > 0 && seconds <= MAX_INTERVAL ? 1000 * seconds : undefined;
}

// ---- Engine: senders of heartbeats ---------------------------------------

/**
 * A sender of heartbeats. Before its first beat its state is "left". Times are of the monotonic
 * clock of the monitor (ms).
 */
class Sender {
  readonly counts: BeatCounts = { received: 0, lost: 0, late: 0, duplicates: 0, stops: 0 };
  state: "up" | "failed" | "stopped" | "left" = "left";
  /** The sequence numbers that came; undefined before the first beat. */
  window: SequenceWindow | undefined;
  /** Address of the host that the name belongs to. */
  owner: string | undefined;
  /** Time of the last beat of another host under this name. */
  otherHeardAt = -Infinity;
  /** Time of the last report of each kind of conflict. */
  readonly reportedAt = new Map<Claim, number>();
  /** Interval that its beats state. */
  statedInterval: number | undefined;
  /** Interval that was learned from its beats. */
  learnedInterval: number | undefined;
  /** The last intervals between beats that followed each other. */
  readonly #intervals: number[] = [];
  #intervalCount = 0;
  /** Mean difference between an interval and the next. */
  #jitter = 0;
  /** Time in which it was up, and in which it was stopped or failed, before its last beat. */
  #times = { up: 0, down: 0 };

  /** Creates a sender without a beat. Silence counts from `heardAt`, the time of the last beat. */
  constructor(
    readonly name: string,
    public heardAt: number,
    readonly expected?: ExpectedSender,
  ) {}

  #timesUntil(now: number): { up: number; down: number } {
    const { up, down } = this.#times;
    const since = now - this.heardAt;
    if (this.state === "left") return { up, down };
    return this.state === "up" ? { up: up + since, down } : { up, down: down + since };
  }

  /** Moves the time of the last beat. Call it before the state changes. */
  hear(now: number): void {
    this.#times = this.#timesUntil(now);
    this.heardAt = now;
  }

  /** Learns the interval: the median of the last five. Until there are five, it is 5 s or more. */
  learn(interval: number): void {
    const intervals = this.#intervals;
    const change = Math.abs(interval - (intervals.at(-1) ?? interval));
    this.#intervalCount++;
    this.#jitter += (change - this.#jitter) / this.#intervalCount;
    intervals.push(interval);
    if (intervals.length > OBSERVED_INTERVALS) intervals.shift();
    const median = intervals.toSorted((a, b) => a - b)[intervals.length >> 1] ?? interval;
    const least = intervals.length < OBSERVED_INTERVALS ? DEFAULT_INTERVAL : MIN_LEARNED;
    this.learnedInterval = Math.max(median, least);
  }

  /** Returns the statistics. */
  summary(now: number): SenderSummary {
    const { lost, received } = this.counts;
    const { up, down } = this.#timesUntil(now);
    return {
      name: this.name,
      ...this.counts,
      loss: percent(lost / (lost + received)),
      up: up + down > 0 ? percent(up / (up + down)) : 100,
      jitter: Number(this.#jitter.toFixed(3)),
    };
  }
}

// ---- Engine: the monitor -------------------------------------------------

/**
 * Watches senders of heartbeats. Loss is judged by sequence numbers, silence by the monotonic clock
 * of the monitor, and nothing by the clocks of senders.
 */
export class Monitor {
  /** Number of datagrams that were not taken as heartbeats. */
  junk = 0;
  readonly #options: MonitorOptions;
  readonly #senders = new Map<string, Sender>();
  /** Names of senders that stopped or left and may be forgotten. The first one is gone longest. */
  readonly #gone = new Set<string>();
  /** Time of the last warning of each kind. */
  readonly #warnedAt = new Map<string, number>();
  /** Time of the end of the last suspension. Silence counts from there. */
  #awakeAt = -Infinity;

  /** Creates a monitor. The silence of expected senders counts from `now`. */
  constructor(options: MonitorOptions, now: number = performance.now()) {
    this.#options = options;
    for (const expected of options.expected ?? []) {
      this.#senders.set(expected.name, new Sender(expected.name, now, expected));
    }
  }

  /** Handles a datagram. */
  onDatagram(octets: Uint8Array, from: Deno.NetAddr, now: number): void {
    const beat = readBeat(octets, from);
    if (beat === undefined) return this.#onJunk(octets, from, now);
    const sender = this.#senders.get(beat.name) ?? this.#addSender(beat.name, now);
    if (sender === undefined || !this.#isFromOwner(sender, beat, from.hostname, now)) return;
    if (beat.interval !== undefined) sender.statedInterval = beat.interval;
    if (beat.isTimed) this.#onTimedBeat(sender, beat, now);
    else this.#onBeat(sender, beat, now);
  }

  #onJunk(octets: Uint8Array, { hostname, port }: Deno.NetAddr, now: number): void {
    this.junk++;
    this.#warn("junk", now, () => {
      const text = quoteForMessage(printable(toByteString(octets.subarray(0, 60))));
      const count = plural(this.junk, "datagram");
      return `${count} without a heartbeat, now ${text} from ${showAddress(hostname, port)}`;
    });
  }

  /** Adds a sender. If there are too many, it replaces the one that is gone longest. */
  #addSender(name: string, now: number): Sender | undefined {
    const { maxSenders = MAX_SENDERS } = this.#options;
    if (this.#senders.size >= maxSenders) {
      const [oldest] = this.#gone;
      const most = plural(maxSenders, "sender");
      if (oldest === undefined) {
        this.junk++;
        this.#warn("full", now, () => `Cannot watch "${name}": ${most} up already`);
        return undefined;
      }
      this.#gone.delete(oldest);
      this.#senders.delete(oldest);
      const reason = `${most} at most, this one is gone the longest`;
      this.#warn("forgotten", now, () => `Forgot "${oldest}": ${reason}`);
    }
    const sender = new Sender(name, now);
    this.#senders.set(name, sender);
    return sender;
  }

  /**
   * Returns whether a beat comes from the host that owns its name; the port may change. When the
   * owner left or stopped, another host becomes the owner. Before that, beats of another host only
   * postpone the report of a stop. Its farewells and failures are ignored, because they could hide
   * an alarm or raise a false one.
   */
  #isFromOwner(sender: Sender, beat: Beat, host: string, now: number): boolean {
    const { owner, state } = sender;
    if (host === owner) return true;
    if (owner !== undefined && state !== "left") {
      const isSilent = now - Math.max(sender.heardAt, this.#awakeAt) > this.#timeoutOf(sender);
      const claim = beat.isFarewell ? "left" : beat.failure === undefined ? "beat" : "failed";
      const isMoved = claim === "beat" && (state === "stopped" || isSilent);
      const kind = isMoved ? "moved" : claim;
      if (isDue(sender.reportedAt, kind, now)) {
        const hosts = { address: showHost(host), owner: showHost(owner) };
        this.#report({ event: "conflict", name: sender.name, ...hosts, claim: kind });
      }
      if (claim === "beat") sender.otherHeardAt = now;
      if (!isMoved) return false;
      sender.window = undefined;
    }
    sender.owner = host;
    return true;
  }

  /** Handles a beat with a sequence number that grows by one. */
  #onBeat(sender: Sender, beat: Beat, now: number): void {
    const { window, counts, name, state } = sender;
    const { sequence } = beat;
    if (window === undefined || this.#isRestart(sender, window, sequence, now)) {
      counts.received++;
      sender.window = new SequenceWindow(sequence);
      return this.#onLife(sender, beat, now, 0, window?.highest);
    }
    const last = window.highest;
    if (!window.add(sequence)) {
      if (!beat.isFarewell) counts.duplicates++;
      return;
    }
    counts.received++;
    if (sequence < last) {
      counts.late++;
      counts.lost--;
      return this.#report({ event: "late", name, from: sequence, to: sequence });
    }
    const lost = state === "left" ? 0 : sequence - last - 1;
    counts.lost += lost;
    this.#onLife(sender, beat, now, lost);
  }

  /** Returns whether a number shows that its sender restarted. */
  #isRestart(sender: Sender, window: SequenceWindow, sequence: number, now: number): boolean {
    const last = window.highest;
    const silence = now - sender.heardAt;
    // The silence limits the number of lost beats. A larger jump is a new sequence.
    if (sequence > last) return sequence - last > WINDOW + 2 * silence / this.#intervalOf(sender);
    if (!window.has(sequence)) return false;
    if (sender.state === "stopped" || sender.state === "left") return silence >= COPIES_MS;
    return sequence < last && (sequence <= 1 || sequence <= last - RESTART_DISTANCE);
  }

  /**
   * Handles a beat sent by cron, whose number is the time in seconds. Gaps are not loss, and a beat
   * with the same number again still shows that the sender is alive.
   */
  #onTimedBeat(sender: Sender, beat: Beat, now: number): void {
    const { window, state, counts } = sender;
    const last = window?.highest ?? -1;
    const isRepeated = beat.sequence === last;
    const isLate = beat.sequence < last && beat.sequence > last - CLOCK_DISTANCE;
    const isKnownFailure = isRepeated && state === "failed" && beat.failure !== undefined;
    if (isKnownFailure || (isLate && (state === "up" || state === "failed"))) {
      return sender.hear(now);
    }
    if (!isRepeated) {
      counts.received++;
      sender.window = new SequenceWindow(beat.sequence);
    }
    this.#onLife(sender, beat, now);
  }

  /**
   * Reports what a beat changes, and updates the state and the times of its sender.
   *
   * @param lost Number of beats that are missing before this one.
   * @param before Last number before a restart.
   */
  #onLife(sender: Sender, beat: Beat, now: number, lost = 0, before?: number): void {
    const { name, state } = sender;
    const { sequence, failure, isFarewell } = beat;
    const silence = inSeconds(now - sender.heardAt);
    if (failure !== undefined) this.#report({ event: "failed", name, message: failure });
    else if (state === "left") this.#report({ event: "started", name });
    else if (state !== "up") this.#report({ event: "recovered", name, silence, lost });
    if (before !== undefined && state !== "left") {
      this.#report({ event: "restarted", name, from: sequence, before });
    } else if (state === "up" && lost > 0) {
      this.#report({ event: "lost", name, lost, from: sequence - lost, to: sequence - 1 });
    }
    const isNext = lost === 0 && before === undefined && state !== "left" && !beat.isTimed;
    // Beats that waited in the socket during a suspension say nothing about intervals.
    const isAwake = sender.heardAt >= this.#awakeAt && now > this.#awakeAt + SWEEP_MS;
    if (isNext && isAwake) sender.learn(now - sender.heardAt);
    sender.hear(now);
    sender.state = failure === undefined ? "up" : "failed";
    this.#gone.delete(name);
    if (!isFarewell) return;
    this.#setGone(sender, "left");
    this.#report({ event: "left", name });
  }

  /** Marks a sender as gone. It may then be forgotten for a new one, unless it is expected. */
  #setGone(sender: Sender, state: "left" | "stopped"): void {
    sender.state = state;
    if (sender.expected === undefined) this.#gone.add(sender.name);
  }

  #intervalOf({ statedInterval, learnedInterval }: Sender): number {
    return statedInterval ?? this.#options.interval ?? learnedInterval ?? DEFAULT_INTERVAL;
  }

  /** Returns the silence after which a sender has stopped. */
  #timeoutOf(sender: Sender): number {
    return sender.expected?.timeout ?? this.#options.timeout ?? 3 * this.#intervalOf(sender);
  }

  /** Finds senders that stopped. */
  sweep(now: number): void {
    for (const sender of this.#senders.values()) {
      const { name, state, expected, heardAt, otherHeardAt } = sender;
      if (state === "stopped" || (state === "left" && expected === undefined)) continue;
      const silence = now - Math.max(heardAt, otherHeardAt, this.#awakeAt);
      if (silence <= this.#timeoutOf(sender)) continue;
      sender.counts.stops++;
      this.#setGone(sender, "stopped");
      this.#report({ event: "stopped", name, silence: inSeconds(now - heardAt) });
    }
  }

  /**
   * Counts the silence of all senders from now, because the monitor received nothing before.
   *
   * @param silence Time for which the monitor was suspended (s). Without it nothing is reported.
   */
  resume(now: number, silence?: number): void {
    this.#awakeAt = now;
    if (silence !== undefined) this.#report({ event: "suspended", name: "monitor", silence });
  }

  /** Returns the statistics of each sender. */
  summary(now: number): SenderSummary[] {
    return this.#senders.values().map((sender) => sender.summary(now)).toArray();
  }

  #report(event: Omit<MonitorEvent, "time">): void {
    this.#options.report({ time: new Date().toISOString(), ...event });
  }

  #warn(kind: string, now: number, message: () => string): void {
    if (isDue(this.#warnedAt, kind, now)) this.#options.warn?.(new Error(message()));
  }
}

/** Returns whether the last report of a kind was a minute ago. If so, the minute begins anew. */
function isDue<Kind>(reportedAt: Map<Kind, number>, kind: Kind, now: number): boolean {
  if (now - (reportedAt.get(kind) ?? -Infinity) < REPORT_MS) return false;
  reportedAt.set(kind, now);
  return true;
}

function inSeconds(ms: number): number {
  return Number((ms / 1000).toFixed(3));
}

/** Runs a monitor until the signal aborts. */
export async function watchHeartbeats(
  socket: Deno.DatagramConn,
  monitor: Monitor,
  signal: AbortSignal,
  trace?: Trace,
): Promise<void> {
  const receiving = receiveAll(socket, signal, (octets, from) => {
    trace?.("<", formatDatagram(octets, from));
    monitor.onDatagram(octets, from, performance.now());
  });
  await Promise.all([receiving, sweepUntil(signal, monitor)]);
}

async function sweepUntil(signal: AbortSignal, monitor: Monitor): Promise<void> {
  while (!signal.aborted) {
    const startedAt = performance.now();
    const wallClock = Date.now();
    await pause(SWEEP_MS, signal);
    const elapsed = performance.now() - startedAt;
    const step = Date.now() - wallClock - elapsed;
    const lateness = elapsed - SWEEP_MS;
    if (lateness > SUSPENDED_MS) monitor.resume(performance.now(), inSeconds(lateness));
    // While a machine sleeps, only the wall clock runs. But setting that clock makes it jump, too,
    // so a jump is not reported as a suspension.
    else if (step > SUSPENDED_MS) monitor.resume(performance.now());
    if (lateness > LATE_MS) await pause(SWEEP_MS, signal); // datagrams in the socket come first
    if (!signal.aborted) monitor.sweep(performance.now());
  }
}

// ---- Engine: the command of --exec ---------------------------------------

/** Settings of {@linkcode EventCommand}. */
export interface EventCommandOptions {
  /** Standard output of the command. */
  stdout: "inherit" | "null";
  /** Events that the command is run for. Default: all. */
  on?: readonly MonitorEvent["event"][] | undefined;
  /** Limits that differ from {@linkcode EXEC_LIMITS}. */
  limits?: Partial<typeof EXEC_LIMITS> | undefined;
  /** Gets the error of a command that fails. */
  warn: (error: unknown) => void;
}

/** Events that tell the state of a sender. A newer one makes an older one obsolete. */
const STATES: readonly string[] = ["started", "stopped", "recovered", "left", "failed"];

/**
 * Runs a command for events, one at a time, with the event as JSON on its standard input. There is
 * no shell: the command is split at blanks. An event that follows too soon after an equal one waits.
 * A newer event replaces it.
 */
export class EventCommand {
  readonly #command: string;
  readonly #options: EventCommandOptions;
  readonly #limits: typeof EXEC_LIMITS;
  readonly #stop = new AbortController();
  /** Timers of the names and events of recent runs. */
  readonly #recent = new Map<string, ReturnType<typeof setTimeout>>();
  /** Events that wait for such a timer. */
  readonly #deferred = new Map<string, MonitorEvent>();
  #queued = 0;
  #isOverrun = false;
  #last: Promise<void> = Promise.resolve();

  /** Prepares to run a command. */
  constructor(command: string, options: EventCommandOptions) {
    this.#command = command;
    this.#options = options;
    this.#limits = { ...EXEC_LIMITS, ...options.limits };
  }

  /** Handles an event. */
  onEvent(event: MonitorEvent): void {
    const { on } = this.#options;
    const subject = STATES.includes(event.event) ? event.name : keyOf(event);
    this.#deferred.delete(subject);
    if (on !== undefined && !on.includes(event.event)) return;
    if (this.#recent.has(keyOf(event))) this.#deferred.set(subject, event);
    else this.#enqueue(event, subject);
  }

  /** Waits for the commands until the time-out (ms), then ends the one that runs. */
  async end(timeout: number = this.#limits.end): Promise<void> {
    this.#recent.forEach(clearTimeout);
    await this.#settle(timeout);
    this.#stop.abort();
    await this.#settle(this.#limits.end); // it may ignore SIGTERM
  }

  async #settle(timeout: number): Promise<void> {
    const settled = new AbortController();
    await Promise.race([this.#last, pause(timeout, settled.signal)]);
    settled.abort();
  }

  #enqueue(event: MonitorEvent, subject: string): void {
    const { interval, waiting } = this.#limits;
    const { warn } = this.#options;
    if (this.#queued === waiting) {
      if (!this.#isOverrun) warn(new Error(`"${this.#command}" is too slow: events are skipped`));
      this.#isOverrun = true;
      return;
    }
    const key = keyOf(event);
    const timer = setTimeout(() => {
      this.#recent.delete(key);
      const next = this.#deferred.get(subject);
      if (next !== undefined && keyOf(next) === key) this.onEvent(next);
    }, interval);
    this.#recent.set(key, timer);
    this.#queued++;
    this.#last = this.#last.then(() => this.#run(event)).catch(warn).finally(() => {
      this.#queued--;
      if (this.#queued === 0) this.#isOverrun = false;
    });
  }

  async #run(event: MonitorEvent): Promise<void> {
    const { stdout } = this.#options;
    const { signal } = this.#stop;
    if (signal.aborted) return;
    const [program = "", ...args] = this.#command.trim().split(/\s+/);
    const child = spawn(program, { args, stdin: "piped", stdout, signal });
    const writer = child.stdin.getWriter();
    const line = encoder.encode(`${JSON.stringify(event)}\n`);
    await writer.write(line).then(() => writer.close()).catch(() => {}); // the command need not read
    const { code } = await child.status;
    if (code !== 0 && !signal.aborted) {
      throw new Error(`"${this.#command}" ended with status ${code}`);
    }
  }
}

/** Starts a command. */
function spawn(program: string, options: Deno.CommandOptions): Deno.ChildProcess {
  try {
    return new Deno.Command(program, options).spawn();
  } catch (error) {
    let reason = reasonOf(error);
    if (error instanceof Deno.errors.NotFound) reason = "no such command";
    if (error instanceof Deno.errors.PermissionDenied) reason = "not executable";
    throw new Error(`Cannot run "${program}": ${reason}`, { cause: error });
  }
}

function keyOf({ event, name }: MonitorEvent): string {
  return `${event} ${name}`;
}

// ---- Output --------------------------------------------------------------

/** Describes the faults for the first line. */
function describeFaults(options: EchoOptions): string {
  const { loss, burst, delay, jitter, duplicate, corrupt, reorder, upper, seed } = options;
  const faults = [
    `loss ${formatPercent(loss)}`,
    burst !== undefined && `burst ${burst}`,
    delay > 0 && `delay ${delay} ms`,
    jitter > 0 && `jitter ${jitter} ms`,
    duplicate > 0 && `duplicate ${formatPercent(duplicate)}`,
    corrupt > 0 && `corrupt ${formatPercent(corrupt)}`,
    reorder > 0 && `reorder ${formatPercent(reorder)}`,
    upper && "upper case",
  ];
  return `${faults.filter((fault) => fault).join(", ")} (seed ${seed})`;
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

/** Describes an event in one line. */
export function describe(event: MonitorEvent): string {
  const { name, lost = 0, from = 0, to = from, before = 0, silence = 0, message = "" } = event;
  const time = `${silence.toFixed(1)} s`;
  const span = from === to ? from : `${from} to ${to}`;
  const words: Record<MonitorEvent["event"], string> = {
    started: "started",
    lost: `${lost} lost (sequence ${span})`,
    late: `1 came late (sequence ${span})`,
    stopped: `stopped (silent for ${time})`,
    recovered: `is back (after ${time}, ${lost} lost)`,
    restarted: `restarted (sequence ${from > before ? "jumped" : "fell"} to ${from})`,
    left: "left",
    failed: `failed: ${message}`,
    conflict: describeConflict(event),
    suspended: `was suspended for ${time}`,
  };
  return `${name}: ${words[event.event]}`;
}

function describeConflict({ claim = "beat", address, owner }: MonitorEvent): string {
  const words: Record<Claim, string> = {
    beat: `beats come from ${address}, too, not only from ${owner}`,
    left: `farewell from ${address} is not believed, its beats come from ${owner}`,
    failed: `failure from ${address} is not believed, its beats come from ${owner}`,
    moved: `beats now come from ${address}, no longer from ${owner}`,
  };
  return words[claim];
}

/** Formats the statistics of the senders, a line for each. */
function summarizeSenders(senders: SenderSummary[], junk: number): string {
  const lines = senders.map((sender) =>
    `${sender.name}: ${sender.received} received, ` +
    `${sender.lost} lost (${formatPercent(sender.loss / 100)} loss), ${sender.late} late, ` +
    `${plural(sender.duplicates, "duplicate")}, ${plural(sender.stops, "stop")}, ` +
    `up ${formatPercent(sender.up / 100)}, jitter ${sender.jitter} ms`
  );
  return [...lines, `${plural(lines.length, "sender")}, ${junk} junk`].join("\n");
}

/** Output of the program. */
type Output = ReturnType<typeof openOutput>;

/** Opens standard output and standard error. A stuck reader does not block the service. */
function openOutput({ json, verbose }: Values<typeof OPTIONS>) {
  const closed = new AbortController();
  const stderr = new LineWriter(Deno.stderr);
  const warn = (error: unknown) =>
    stderr.write(`udp_ping_server: ${escapeText(describeError(error) ?? String(error))}\n`);
  const stdout = new LineWriter(Deno.stdout, {
    onClosed: () => closed.abort(),
    onLost: (reason) =>
      warn(new Error(`Cannot write to standard output, lines are lost: ${reason}`)),
  });
  const trace: Trace = (mark, text) => stderr.write(`${formatTrace(mark, text)}\n`);
  return {
    /** Writes a line of text, or the value as JSON with `--json`. */
    say: (text: string, value: unknown) => stdout.write(`${json ? JSON.stringify(value) : text}\n`),
    warn,
    trace: verbose ? trace : undefined,
    /** Aborts when the reader of standard output has closed it. */
    closed: closed.signal,
    /** Waits for the last lines. */
    end: () => Promise.all([stdout.end(LAST_OUTPUT), stderr.end(LAST_OUTPUT)]),
  };
}

// ---- Command line --------------------------------------------------------

/** Reads the senders of `--expect`: `web1,backup=90000`. */
function readExpected(text: string): ExpectedSender[] {
  return text.split(",").map((item) => {
    const [, name = item, time] = /^(.*)=(.*)$/s.exec(item) ?? [];
    if (name === "" || encoder.encode(name).length > MAX_NAME) {
      throw new UsageError(`expected names of 1 to ${MAX_NAME} octets, each perhaps with =SECONDS`);
    }
    return { name, timeout: time === undefined ? undefined : seconds(0.001, MAX_INTERVAL)(time) };
  });
}

/** The table of options. */
// deno-fmt-ignore (a table)
export const OPTIONS = {
  port: option("-p, --port N", "listen on this port; 0 takes a free one",
    wholeNumber(0, 65_535), "12000"),
  bind: option("-b, --bind, --host ADDR", "listen on this address (default: every address)",
    nonEmpty),
  loss: option("--loss P", "drop a request: 0.3, 30% or 4/11", probability, "4/11"),
  burst: option("--burst N", "mean length of a burst of losses (default: independent losses)",
    decimal(1, 1e6)),
  delay: option("--delay MS", "hold each reply", decimal(0, 3_600_000), "0"),
  jitter: option("--jitter MS", "make the delay up to this much longer or shorter",
    decimal(0, 3_600_000), "0"),
  duplicate: option("--duplicate P", "answer twice", probability, "0"),
  corrupt: option("--corrupt P", "flip one bit of a reply", probability, "0"),
  reorder: option("--reorder P", "let the next reply overtake", probability, "0"),
  rate: option("--rate N", "replies a second to one client; 0 means no limit",
    decimal(0, 1e9), "1000"),
  seed: option("--seed N", "give each client the same faults, every time (default: random)",
    wholeNumber(0, 0xffff_ffff)),
  upper: flag("--upper", "reply in upper case"),
  heartbeat: flag("--heartbeat", "watch senders of heartbeats instead of echoing"),
  interval: option("--interval S",
    "interval of senders that do not state theirs (default: 5, then as observed)",
    seconds(0.001, MAX_INTERVAL)),
  timeout: option("--timeout S", "silence after which a sender has stopped (default: 3 intervals)",
    seconds(0.001, MAX_INTERVAL)),
  expect: option("--expect NAME[=S],...",
    "report these senders if they are not heard within S (default: --timeout)", readExpected),
  exec: option("--exec COMMAND", "run at each event, with the event as JSON on standard input; " +
    "for one name and event at most once a minute (needs --allow-run)", nonEmpty),
  on: option("--on EVENT,...", `run --exec at these events only: ${EVENTS.join(", ")}`,
    (text) => text.split(",").map(oneOf(...EVENTS))),
  json: flag("--json", "print events and the summary as JSON lines"),
  quiet: flag("-q, --quiet", "print the summary only"),
  verbose: flag("-v, --verbose", "show each datagram on standard error"),
};

/** The command line. */
export const COMMAND: Command<typeof OPTIONS> = {
  name: "udp_ping_server",
  summary: "Echoes UDP datagrams with the faults of a network, or watches heartbeats.",
  usage: ["[options]"],
  options: OPTIONS,
  notes: ["SIGQUIT (Ctrl-\\) prints the summary and goes on."],
  example: "deno run --allow-net --unstable-net udp_ping_server.ts --loss 30%",
  exitStatuses: "0 stopped by a signal, 1 cannot start, 2 usage",
};

/** Options of the echo. The monitor has no use for them. */
// deno-fmt-ignore (a list)
const ECHO_OPTIONS = [
  "loss", "burst", "delay", "jitter", "duplicate", "corrupt", "reorder", "rate", "seed", "upper",
] as const;

/** Refuses options that have no effect, and faults that are impossible together. */
export function checkOptions(line: CommandLine<typeof OPTIONS>): void {
  const [operand] = line.operands;
  if (operand !== undefined) {
    throw new UsageError(`Cannot use ${quoteForMessage(operand)}: expected options only`);
  }
  for (const name of ECHO_OPTIONS) refuseTogether(line, name, "heartbeat");
  for (const name of ["interval", "timeout", "expect", "exec"] as const) {
    requireWith(line, name, "heartbeat", OPTIONS);
  }
  requireWith(line, "on", "exec", OPTIONS);
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
    const isElsewhere = error instanceof Deno.errors.AddrNotAvailable ||
      !(error instanceof Error && "code" in error); // a name that cannot be resolved
    const reason = isElsewhere ? "expected an address of this machine" : reasonOf(error);
    const where = hostname === undefined ? "every address" : quoteForMessage(hostname);
    const remedy = isInUse ? "; try another --port" : "";
    throw new ExitError(1, `Cannot listen on ${where} port ${port}: ${reason}${remedy}`);
  }
}

/** Checks before the first event that Deno may run the command. */
function requireRun(line: string): void {
  const [command = ""] = line.trim().split(/\s+/);
  if (Deno.permissions.querySync({ name: "run", command }).state === "granted") return;
  throw new Deno.errors.NotCapable(`Requires run access to "${command}"`);
}

/** Echoes until the signal aborts. */
async function runEcho(
  socket: Deno.DatagramConn,
  options: EchoOptions,
  { say, warn, trace }: Output,
  signal: AbortSignal,
): Promise<void> {
  const server = new EchoServer(socket, { ...options, trace, warn }, signal);
  const showSummary = () => {
    const { counts } = server;
    const loss = percent(lossOf(counts));
    say(summarize(counts), { event: "summary", ...counts, loss, seed: options.seed });
  };
  await Promise.race([server.serve(), onQuit(showSummary)]);
  showSummary();
}

/** Watches senders of heartbeats until the signal aborts. */
async function runMonitor(
  socket: Deno.DatagramConn,
  { interval, timeout, expect, exec, on, json, quiet }: Values<typeof OPTIONS>,
  { say, warn, trace }: Output,
  signal: AbortSignal,
): Promise<void> {
  const stdout = json ? "null" : "inherit";
  const command = exec === undefined ? undefined : new EventCommand(exec, { stdout, on, warn });
  const report = (event: MonitorEvent) => {
    if (!quiet) say(`${event.time} ${describe(event)}`, event);
    command?.onEvent(event);
  };
  const monitor = new Monitor({ interval, timeout, expected: expect, report, warn });
  const showSummary = () => {
    const senders = monitor.summary(performance.now());
    const { junk } = monitor;
    const time = new Date().toISOString();
    say(summarizeSenders(senders, junk), { time, event: "summary", senders, junk });
  };
  await Promise.race([watchHeartbeats(socket, monitor, signal, trace), onQuit(showSummary)]);
  await command?.end();
  showSummary();
}

async function main(line: CommandLine<typeof OPTIONS>): Promise<number> {
  checkOptions(line);
  const { options } = line;
  requireDatagrams();
  if (options.exec !== undefined) requireRun(options.exec);
  const socket = listen(options.bind, options.port);
  const output = openOutput(options);
  const signal = AbortSignal.any([shutdownSignal(), output.closed]);
  const { seed = Math.floor(Math.random() * 1e6), heartbeat } = options;
  const echo = { ...options, seed, hasOwnSeeds: options.seed === undefined };
  const { addr } = socket;
  if (!options.quiet && "hostname" in addr) {
    const task = heartbeat ? "for heartbeats" : describeFaults(echo);
    console.error(`udp_ping_server: listening on ${addr.hostname} port ${addr.port}, ${task}`);
  }
  if (heartbeat) await runMonitor(socket, options, output, signal);
  else await runEcho(socket, echo, output, signal);
  await output.end();
  return 0;
}

if (import.meta.main) await run(COMMAND, main);
