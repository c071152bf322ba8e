#!/usr/bin/env -S deno run --allow-net --unstable-net
/**
 * Measures the path to a UDP echo server and back, as ping(8) does with ICMP: round-trip times,
 * loss, duplicates, damage and order. With `--heartbeat` it sends heartbeats instead.
 *
 * ```sh
 * deno run --allow-net --unstable-net udp_pinger.ts 127.0.0.1 12000
 * ```
 *
 * A probe is one line of ASCII, `sequence=N<TAB>time=SECONDS.MICROS`, and further fields separated
 * by tabs. Its time is for traces and servers; a monotonic clock measures the round trips. Round-trip
 * time is defined in RFC 2681, reordering in RFC 4737, percentiles in RFC 2330. Read from the top:
 * terms, numbers, statistics, probes, the pinger, sizes, heartbeats, output, command line.
 *
 * Left out: ICMP "port unreachable". Deno's UDP sockets do not report it, so it looks like loss.
 * Deno cannot set the DF bit, so in a walk through sizes a probe may arrive in fragments.
 *
 * The engines are {@linkcode Pinger} and {@linkcode sendHeartbeats}:
 *
 * ```ts
 * import { assertEquals } from "jsr:@std/assert@^1.0.19";
 * import { Pinger } from "./udp_pinger.ts";
 *
 * const local = { transport: "udp", hostname: "127.0.0.1", port: 0 } as const;
 * const [echo, socket] = [Deno.listenDatagram(local), Deno.listenDatagram(local)];
 * const echoing = (async () => {
 *   for await (const [octets, from] of echo) await echo.send(octets, from);
 * })();
 *
 * const { signal } = new AbortController();
 * const options = { count: 3, timeout: 1_000, preload: 1, flood: false, oneWay: false };
 * const target = echo.addr as Deno.NetAddr;
 * const pinger = new Pinger(socket, target, { ...options, signal, report: () => {} });
 * await pinger.run();
 * assertEquals(pinger.statistics.summary().received, 3);
 *
 * echo.close();
 * await echoing;
 * ```
 *
 * @module
 */
import {
  type Command,
  type CommandLine,
  decimal,
  flag,
  formatPercent,
  onQuit,
  option,
  type Options,
  plural,
  print,
  probability,
  quoteForMessage,
  type Reader,
  readNumber,
  reasonOf,
  refuseTogether,
  requireWith,
  run,
  seconds,
  showTrace,
  shutdownSignal,
  type Values,
  wholeNumber,
} from "./cli.ts";
import {
  ExitError,
  pause,
  percent,
  receiveAll,
  requireDatagrams,
  showAddress,
  timeOfDay,
  toByteString,
  type Trace,
  UsageError,
} from "./protocol.ts";

// ---- Terms ---------------------------------------------------------------

/** What pings and heartbeats have in common. */
export interface SendOptions {
  /** Ends the run. */
  signal: AbortSignal;
  /** Looks the name of the server up again, after a send error. */
  lookUp?: (() => Promise<Deno.NetAddr>) | undefined;
  /** Shows each datagram. */
  trace?: Trace | undefined;
}

/** How to ping. Times are in milliseconds. */
export interface PingOptions extends SendOptions {
  /** Number of probes; with a deadline, number of replies. Infinity: until the signal aborts. */
  count: number;
  /** Time from probe to probe. Default: the next probe waits for the reply or the timeout. */
  interval?: number | undefined;
  /** Time to wait for a reply. */
  timeout: number;
  /** Time after which the run ends. Default: none. */
  deadline?: number | undefined;
  /** Length of a probe (octets). Default: the shortest. */
  size?: number | undefined;
  /** Number of probes in flight at once. */
  preload: number;
  /** True to send as fast as replies come, or 100 probes a second if that is more. */
  flood: boolean;
  /** True to ask the server for its times and its count. */
  oneWay: boolean;
  /** Length of a window of statistics. Default: no windows. */
  every?: number | undefined;
  /** Receives each event. */
  report: (event: PingEvent) => void;
  /** Receives each window when all of its probes are answered or lost. */
  reportWindow?: ((window: Window) => void) | undefined;
}

/** One event of a run. */
export interface PingEvent {
  /** Kind. A foreign datagram has another source, or matches no probe. */
  event: "probe" | "reply" | "timeout" | "duplicate" | "late" | "corrupted" | "foreign" | "error";
  /** Sequence number of the probe, if there is one. */
  seq?: number;
  /** Length of the datagram (octets). */
  bytes?: number;
  /** Source address and port. */
  from?: string;
  /** Round-trip time (ms). */
  rtt?: number;
  /** True if a reply to a later probe came before. */
  outOfOrder?: true;
  /** True if the reply is the probe in upper case. */
  upperCase?: true;
  /** What is wrong with the datagram, or why it could not be sent. */
  reason?: string;
}

/** A probe. */
interface Probe {
  /** Sequence number. */
  readonly seq: number;
  /** The datagram. */
  readonly octets: Uint8Array;
  /** Statistics in which it counts: of the run, and of its window. */
  readonly statistics: readonly Statistics[];
  /** Time of sending (ms). */
  sentAt: number;
  /** Outcome. A late reply leaves the probe lost. */
  state: "open" | "received" | "lost" | "late";
}

/** Counters at the start of a run. */
export const NO_COUNTS = {
  /** Probes answered in time. */
  received: 0,
  /** Further replies to the same probe. */
  duplicates: 0,
  /** First replies after the timeout. */
  late: 0,
  /** Replies with other octets than the probe. */
  corrupted: 0,
  /** Replies that came after the reply to a later probe (RFC 4737). */
  outOfOrder: 0,
  /** Replies in upper case. */
  upperCase: 0,
  /** Probes that could not be sent. */
  errors: 0,
  /** Datagrams from another source, or without a probe. */
  foreign: 0,
};

/** Name of a counter. */
export type Counted = keyof typeof NO_COUNTS;

/** Percentile of the round-trip times: p25 and p75 are quartiles, p50 is the median. */
export type Percentile = "p25" | "p50" | "p75" | "p95" | "p99";

/**
 * The statistics of a run or of a window. Times are in milliseconds, loss is in per cent. What needs
 * more replies than there were is null: p99 needs 100, p95 20, jitter 2, other times 1.
 */
export interface Summary extends Record<Counted, number>, Record<Percentile, number | null> {
  /** Number of probes sent, except those in flight. */
  transmitted: number;
  /** Number of probes that were not answered in time. */
  lost: number;
  /** Share of the probes that were lost. */
  loss: number;
  /** 95 % confidence interval of the loss. */
  lossInterval: [low: number, high: number];
  /** Number of runs of consecutive lost probes. */
  bursts: number;
  /** Length of the longest of these runs. */
  longest: number;
  /** Time from the first send to the last. */
  time: number;
  /** Largest number of probes in flight at once. */
  pipe: number;
  /** Round-trip times; mdev is the population standard deviation. */
  rtt: Record<"min" | "avg" | "max" | "mdev", number> | null;
  /** Exponentially weighted moving average of the round-trip time, with ping(8)'s gain of 1/8. */
  ewma: number;
  /** Mean difference between one round-trip time and the next. */
  jitter: number | null;
  /** Jitter as RFC 3550 §6.4.1 defines it. */
  jitter3550: number | null;
  /** Result of the server's times and count; null if it sent none. */
  oneWay: OneWay | null;
}

/** Loss and queueing in each direction, from the times and the count of the server (ms). */
export interface OneWay {
  /** Number of probes lost on the way to the server. */
  lostUp: number;
  /** Number of probes lost on the way back. */
  lostDown: number;
  /** Mean time in queues on the way to the server. */
  queueUp: number;
  /** Mean time in queues on the way back. */
  queueDown: number;
  /** Time by which the server's clock is ahead. */
  offset: number;
}

/** The statistics of the probes that were sent within a window. */
export interface Window {
  /** Start of the window, from the start of the run (ms). */
  from: number;
  /** End of the window (ms). */
  to: number;
  /** Its statistics. */
  statistics: Statistics;
}

// ---- Numbers -------------------------------------------------------------

/** Largest payload of a datagram over IPv6 (octets). */
const MAX_SIZE = 65_527;
/** The same over IPv4, where the IP header counts in the length (octets). */
const MAX_IPV4_SIZE = 65_507;
/** Number of probes remembered, and of round-trip times kept for percentiles. */
const MAX_PROBES = 65_536;
/** Maximum size of all remembered probes together (octets), so fewer long ones are remembered. */
const MAX_PROBE_OCTETS = 64 * 1024 * 1024;
/** A timer that is later than this shows that the process stalled (ms). */
const STALL_MS = 5;
/** Time for reading the socket after a stall, before probes are declared lost (ms). */
const DRAIN_MS = 20;
/** Longest delay of a probe with an interval (ms). After a longer one, missed probes are skipped. */
const MAX_LAG = 50;
/** Number of probes in flight with `-f`. */
const FLOOD_WINDOW = 64;
/** Time from probe to probe with `-f` where replies do not come sooner (ms). */
const FLOOD_PAUSE = 10;
/** Number of the latest probes that are compared with a reply whose sequence number is damaged. */
const MAX_COMPARED = 100;
/** Number of octets that may be damaged in such a reply. */
const MAX_DAMAGED = 2;
/** Time to wait for duplicates and late replies at the end (ms). */
const LINGER_MS = 10;
/** The same, at least, if duplicates or late replies came before (ms). */
const LONG_LINGER_MS = 50;
/** Half width of the 95 % interval of the normal distribution (standard deviations). */
const Z = 1.959964;
/** Largest payloads that are not fragmented where the MTU is 1500 (octets). */
const UNFRAGMENTED = { ipv4: 1472, ipv6: 1452 } as const;
/** Payload that fits every IPv6 path (octets, RFC 8200 §5: an MTU of 1280). */
const MAX_SAFE_SIZE = 1232;
/** Ports below are for privileged programs. Our server ignores clients that have such a port. */
const FIRST_USER_PORT = 1024;
/** Rate limit of `udp_ping_server.ts` for one client: replies a second, and replies in a burst. */
const SERVER_RATE = 1000;
/** Number of copies of a farewell, and of each beat with `-c`. */
const BEAT_COPIES = 3;
/** Longest text of `--fail` (octets). */
const MAX_FAILURE = 200;
/** Number of sizes in the first pass of a walk. */
const FIRST_PASS = 16;
/** Number of probes that `--live` can show. */
const MAX_BARS = 1000;
/** Shortest time between two drawings of `--live` (ms). */
const DRAW_MS = 50;

// ---- Engine: statistics --------------------------------------------------

/** Counts outcomes of probes, one by one, in bounded memory. Times are in milliseconds. */
export class Statistics {
  /** Number of probes sent, or tried to send. */
  sent = 0;
  /** Number of probes neither answered nor lost. */
  inFlight = 0;
  /** Numbers of replies and other events. */
  readonly counts: Record<Counted, number> = { ...NO_COUNTS };
  /** Time from the first send to the last. */
  time = 0;
  /** Largest number of probes in flight at once. */
  pipe = 0;
  #startedAt: number | undefined;
  #bursts = 0;
  #longest = 0;
  #currentBurst = 0;
  readonly #rtts: number[] = [];
  #min = Infinity;
  #max = 0;
  #mean = 0;
  #squares = 0; // sum of squared distances from the mean (Welford)
  #ewma = 0;
  #previous: number | undefined;
  #changes = 0; // sum of differences from reply to reply
  #jitter3550 = 0;
  #stamped = 0; // replies with times of the server
  #reached = 0; // probes that the server counted
  readonly #up = { min: Infinity, sum: 0 };
  readonly #down = { min: Infinity, sum: 0 };
  #offset = { rtt: Infinity, ms: 0 };

  /** Adds a probe that is sent now. */
  addProbe(now: number): void {
    this.#startedAt ??= now;
    this.time = now - this.#startedAt;
    this.sent++;
    this.inFlight++;
    this.pipe = Math.max(this.pipe, this.inFlight);
  }

  /** Adds the round-trip time of a reply. */
  addReply(rtt: number): void {
    const received = ++this.counts.received;
    this.#min = Math.min(this.#min, rtt);
    this.#max = Math.max(this.#max, rtt);
    const distance = rtt - this.#mean;
    this.#mean += distance / received;
    this.#squares += distance * (rtt - this.#mean);
    this.#ewma = received === 1 ? rtt : this.#ewma + (rtt - this.#ewma) / 8;
    const change = Math.abs(rtt - (this.#previous ?? rtt));
    this.#changes += change;
    this.#jitter3550 += (change - this.#jitter3550) / 16; // RFC 3550 §6.4.1
    this.#previous = rtt;
    // Reservoir sampling: each time of the whole run has the same chance to be kept.
    const isFull = received > MAX_PROBES;
    const place = isFull ? Math.floor(Math.random() * received) : received - 1;
    if (place < MAX_PROBES) this.#rtts[place] = rtt;
  }

  /** Adds the outcome of the next probe in order of sequence, for the bursts. */
  addOutcome(isLost: boolean): void {
    if (isLost && this.#currentBurst === 0) this.#bursts++;
    this.#currentBurst = isLost ? this.#currentBurst + 1 : 0;
    this.#longest = Math.max(this.#longest, this.#currentBurst);
  }

  /**
   * Adds the times of a reply: sent (t1), received by the server (t2), sent by the server (t3),
   * received (t4). The server has another clock than the pinger.
   *
   * @param reached Number of probes that the server counted since the reply before.
   */
  addServerTimes(t1: number, t2: number, t3: number, t4: number, reached: number): void {
    this.#stamped++;
    this.#reached += reached;
    this.#up.min = Math.min(this.#up.min, t2 - t1);
    this.#up.sum += t2 - t1;
    this.#down.min = Math.min(this.#down.min, t4 - t3);
    this.#down.sum += t4 - t3;
    const rtt = t4 - t1;
    if (rtt < this.#offset.rtt) this.#offset = { rtt, ms: ((t2 - t1) + (t3 - t4)) / 2 };
  }

  /** Returns the kept round-trip times, sorted. */
  sortedRtts(): Float64Array {
    return Float64Array.from(this.#rtts).sort();
  }

  /** Returns the summary. Probes in flight do not count as transmitted. */
  summary(): Summary {
    const { received } = this.counts;
    const transmitted = this.sent - this.inFlight;
    const lost = transmitted - received;
    const sorted = this.sortedRtts();
    const quantile = (p: number, enough = 1) =>
      received < enough ? null : roundToMicros(percentile(sorted, p));
    return {
      transmitted,
      ...this.counts,
      loss: percent(lost / transmitted),
      time: Math.round(this.time),
      rtt: this.#rtt(),
      ewma: roundToMicros(this.#ewma),
      jitter: received < 2 ? null : roundToMicros(this.#changes / (received - 1)),
      jitter3550: received < 2 ? null : roundToMicros(this.#jitter3550),
      p25: quantile(0.25),
      p50: quantile(0.5),
      p75: quantile(0.75),
      p95: quantile(0.95, 20), // of fewer replies it is the maximum
      p99: quantile(0.99, 100),
      lost,
      bursts: this.#bursts,
      longest: this.#longest,
      lossInterval: wilson(lost, transmitted),
      pipe: this.pipe,
      oneWay: this.#oneWay(transmitted, lost),
    };
  }

  #rtt(): Summary["rtt"] {
    const { received } = this.counts;
    if (received === 0) return null;
    return {
      min: roundToMicros(this.#min),
      avg: roundToMicros(this.#mean),
      max: roundToMicros(this.#max),
      mdev: roundToMicros(Math.sqrt(this.#squares / received)),
    };
  }

  /**
   * Subtracts the shortest one-way time from the mean: the rest is time in queues, and the offset
   * between the clocks cancels out. Losses up and down add up to all losses.
   */
  #oneWay(transmitted: number, lost: number): OneWay | null {
    if (this.#stamped === 0) return null;
    const lostUp = Math.min(Math.max(transmitted - this.#reached, 0), lost);
    return {
      lostUp,
      lostDown: lost - lostUp,
      queueUp: roundToMicros(this.#up.sum / this.#stamped - this.#up.min),
      queueDown: roundToMicros(this.#down.sum / this.#stamped - this.#down.min),
      offset: roundToMicros(this.#offset.ms),
    };
  }
}

function roundToMicros(ms: number): number {
  return Number(ms.toFixed(3));
}

/** Returns the nearest-rank percentile of sorted values (RFC 2330 §11.3); 0 if there are none. */
export function percentile(sorted: ArrayLike<number>, p: number): number {
  const rank = Math.ceil(p * sorted.length - 1e-9);
  return sorted[Math.max(rank, 1) - 1] ?? 0;
}

/** Returns Wilson's 95 % score interval of the loss (%): 0 to 100 if nothing was sent. */
export function wilson(lost: number, sent: number): [low: number, high: number] {
  const share = lost / sent;
  const spread = Z * Z / sent;
  const middle = share + spread / 2;
  const half = Z * Math.sqrt((share * (1 - share) + spread / 4) / sent);
  const toPercent = (end: number) => percent(end / (1 + spread));
  return [
    lost === 0 ? 0 : toPercent(middle - half),
    lost === sent ? 100 : toPercent(middle + half),
  ];
}

/** Returns the command of our server that simulates the measured path; null without a reply. */
export function replay(summary: Summary): string | null {
  const { received, transmitted, lost, bursts, duplicates, corrupted, outOfOrder } = summary;
  const { p25, p50, p75, upperCase } = summary;
  if (p25 === null || p50 === null || p75 === null) return null;
  const round = (value: number, digits = 3) => Number(value.toPrecision(digits));
  const share = (part: number, whole: number) => round(Math.min(part / whole, 1));
  // The quartiles of a uniform distribution are half its width apart. Outliers do not move them.
  const jitter = Math.min(p75 - p25, p50);
  // A corrupted reply leaves its probe lost, and --corrupt simulates that.
  const loss = share(Math.max(lost - corrupted, 0), transmitted);
  const options = [`--delay ${round(p50)} --jitter ${round(jitter, 2)} --loss ${loss}`];
  // With shorter bursts, Gilbert's model cannot reach this loss.
  const shortest = Math.ceil(10 * loss / (1 - loss)) / 10;
  if (loss > 0) options.push(`--burst ${Math.max(round(lost / bursts, 2), shortest, 1)}`);
  if (duplicates > 0) options.push(`--duplicate ${share(duplicates, received)}`);
  if (corrupted > 0) options.push(`--corrupt ${share(corrupted, received + corrupted)}`);
  // Jitter wider than the gap between probes reorders them by itself. Timers count whole ms.
  const jitterReorders = 2 * jitter > Math.max(summary.time / (transmitted - 1), 1);
  if (outOfOrder > 0 && !jitterReorders) options.push(`--reorder ${share(outOfOrder, received)}`);
  if (upperCase === received) options.push("--upper");
  return `deno run --allow-net --unstable-net udp_ping_server.ts ${options.join(" ")}`;
}

// ---- Engine: probes and replies ------------------------------------------

const encoder = new TextEncoder();

/** Fields that a server may fill in, with `-T`: its times and its count of our requests. */
const SERVER_FIELDS = "\trx=0000000000.000000\ttx=0000000000.000000\tn=0000000000";
const ZERO = 0x30;
const NINE = 0x39;

/**
 * Makes an encoder of probes: `sequence`, `time`, `id` of the session, `pad`, server fields. The
 * padding is random, so a reply with the same octets proves that the probe was received.
 */
export function probeEncoder(
  size: number | undefined,
  oneWay: boolean,
): (seq: number, now: number) => Uint8Array {
  const id = `\tid=${crypto.getRandomValues(new Uint8Array(4)).toHex()}`;
  const fields = oneWay ? SERVER_FIELDS : "";
  const random = crypto.getRandomValues(new Uint8Array(size ?? 0));
  const padding = toByteString(random.map((octet) => 0x61 + octet % 26));
  return (seq, now) => {
    const time = `\ttime=${timeOfDay(now)}`;
    const start = `sequence=${seq}${time}`;
    if (size === undefined) return encoder.encode(start + id + fields);
    const room = size - start.length - fields.length;
    // "\tpad=" takes 5 octets. In less room, the number gets leading zeros instead.
    if (room < 5) return encoder.encode(`sequence=${"0".repeat(room)}${seq}${time}${fields}`);
    const session = room >= id.length + 5 || room === id.length ? id : "";
    const left = room - session.length;
    const pad = left === 0 ? "" : `\tpad=${padding.slice(0, left - 5)}`;
    return encoder.encode(start + session + pad + fields);
  };
}

/** Returns the shortest length that fits the longest sequence number (octets). */
export function shortestProbe(count: number, oneWay: boolean): number {
  const digits = count === Infinity ? 10 : String(count).length;
  return "sequence=\ttime=0000000000.000000".length + digits + (oneWay ? SERVER_FIELDS.length : 0);
}

/** Result of comparing a reply with a probe: what is damaged, or that it is in upper case. */
type Comparison = Pick<PingEvent, "reason" | "upperCase">;

/** Compares a reply with a probe. A server may fill in its fields, and reply in upper case. */
function compare(reply: Uint8Array, probe: Uint8Array, oneWay: boolean): Comparison {
  if (reply.length !== probe.length) {
    return { reason: `${reply.length} bytes, not ${probe.length}` };
  }
  const [at] = differences(reply, probe, oneWay, 1);
  if (at === undefined) return {};
  const upper = probe.map((octet) => octet >= 0x61 && octet <= 0x7a ? octet - 0x20 : octet);
  if (differences(reply, upper, oneWay, 1).length === 0) return { upperCase: true };
  const hex = (octet = 0) => octet.toString(16).padStart(2, "0");
  return { reason: `byte ${at} is 0x${hex(reply[at])}, not 0x${hex(probe[at])}` };
}

/** Finds at most `limit` places where a reply of the same length differs from its probe. */
function differences(reply: Uint8Array, probe: Uint8Array, oneWay: boolean, limit: number) {
  const fields = oneWay ? probe.length - SERVER_FIELDS.length : Infinity;
  const found: number[] = [];
  for (let at = 0; at < probe.length && found.length < limit; at++) {
    const [got = 0, sent = 0] = [reply[at], probe[at]];
    const isFilled = at >= fields && sent === ZERO && got >= ZERO && got <= NINE;
    if (got !== sent && !isFilled) found.push(at);
  }
  return found;
}

/** Reads the sequence number of a reply; NaN without one. */
function readSequence(reply: Uint8Array): number {
  return Number(/^sequence=(\d{1,15})(?:\t|$)/i.exec(toByteString(reply.subarray(0, 32)))?.[1]);
}

/**
 * Reads the fields of the server: the times of receiving and sending (ms, on the clock of
 * `performance.now()`), and the number of different probes so far. Null if it left zeros.
 */
function readServerFields(reply: Uint8Array) {
  const text = toByteString(reply.subarray(-SERVER_FIELDS.length));
  const [, rx, tx, n] = /\trx=([\d.]+)\ttx=([\d.]+)\tn=(\d+)$/i.exec(text) ?? [];
  if (!(Number(rx) > 0)) return null;
  const toLocal = (time?: string) => Number(time) * 1000 - performance.timeOrigin;
  return { rx: toLocal(rx), tx: toLocal(tx), n: Number(n) };
}

/**
 * Adds up a server's counts of the probes that reached it. The server counts from 1 again when it
 * restarts, and when a NAT gives the client another address.
 */
class ReachedCounter {
  #total = 0;
  #last = { seq: 0, rx: -Infinity, n: 0 };

  /**
   * Takes the count `n` that the server had at time `rx`.
   *
   * @param sent Number of probes sent so far. No more can have reached the server.
   * @returns The number of probes that have reached the server since the count before.
   */
  add(seq: number, rx: number, n: number, sent: number): number {
    const last = this.#last;
    if (rx <= last.rx) return 0; // the reply to a later request came before
    this.#last = { seq, rx, n };
    const grown = n - last.n;
    const least = seq > last.seq ? 1 : 0; // a newer probe is itself in the count
    const isContinued = grown >= least && this.#total + grown <= sent;
    const reached = isContinued ? grown : Math.min(n, Math.max(seq - last.seq, 1));
    this.#total += reached;
    return reached;
  }
}

// ---- Engine: the table of probes -----------------------------------------

/** Probes of a run. Keeps answered and lost ones, to recognize duplicates and late replies. */
class ProbeTable {
  /** Probes in flight, in order of sending. */
  readonly open = new Set<Probe>();
  readonly #probes = new Map<number, Probe>();
  readonly #maxProbes: number;
  readonly #oneWay: boolean;
  #newest: number; // sequence number
  #settled: number; // all probes up to this number are answered or lost

  /** @param sent Number of probes of earlier runs. */
  constructor({ size = 1, oneWay }: PingOptions, sent: number) {
    this.#maxProbes = Math.min(MAX_PROBES, Math.floor(MAX_PROBE_OCTETS / size));
    this.#oneWay = oneWay;
    this.#newest = this.#settled = sent;
  }

  /** Adds a probe that is in flight. */
  add(probe: Probe): void {
    this.#newest = probe.seq;
    this.#probes.set(probe.seq, probe);
    this.open.add(probe);
  }

  /** Finds the probe of a datagram: by its number, or if that is damaged, by its other octets. */
  match(octets: Uint8Array): Comparison & { probe?: Probe } {
    const named = this.#probes.get(readSequence(octets));
    const comparison = named ? compare(octets, named.octets, this.#oneWay) : {};
    if (named && comparison.reason === undefined) return { probe: named, ...comparison };
    const probe = this.#mostSimilar(octets) ?? named;
    return probe ? { probe, ...compare(octets, probe.octets, this.#oneWay) } : {};
  }

  /** Finds a recent probe that differs from a datagram in few octets only. */
  #mostSimilar(octets: Uint8Array): Probe | undefined {
    for (let seq = this.#newest; seq > this.#newest - MAX_COMPARED; seq--) {
      const probe = this.#probes.get(seq);
      if (probe?.octets.length !== octets.length) continue;
      const damaged = differences(octets, probe.octets, this.#oneWay, MAX_DAMAGED + 1).length;
      if (damaged <= MAX_DAMAGED) return probe;
    }
  }

  /** Closes a probe. Counts outcomes in order of sequence, and forgets old probes. */
  settle(probe: Probe, state: "received" | "lost"): void {
    probe.state = state;
    this.open.delete(probe);
    for (const statistics of probe.statistics) statistics.inFlight--;
    while (this.#addOutcome(this.#settled + 1)) {
      this.#settled++;
      this.#probes.delete(this.#settled - this.#maxProbes);
    }
  }

  /** Counts the outcomes of the probes that are later than one still in flight. */
  finish(): void {
    for (let seq = this.#settled + 1; seq <= this.#newest; seq++) this.#addOutcome(seq);
  }

  /** Counts the outcome of a probe. False if it has none yet. */
  #addOutcome(seq: number): boolean {
    const probe = this.#probes.get(seq);
    if (!probe || probe.state === "open") return false;
    for (const statistics of probe.statistics) statistics.addOutcome(probe.state !== "received");
    return true;
  }
}

// ---- Engine: sending -----------------------------------------------------

/** Sends datagrams to a server. After an error it looks the name of the server up again. */
class Sender {
  /** Address of the server. */
  target: Deno.NetAddr;
  readonly #socket: Deno.DatagramConn;
  readonly #lookUp: SendOptions["lookUp"];
  #isLookingUp = false;

  constructor(socket: Deno.DatagramConn, target: Deno.NetAddr, { lookUp }: SendOptions) {
    this.#socket = socket;
    this.target = target;
    this.#lookUp = lookUp;
  }

  /** Sends a datagram. Returns why that failed, or null. Await it: otherwise sends can swap. */
  async send(octets: Uint8Array): Promise<string | null> {
    const { hostname } = this.target;
    try {
      await this.#socket.send(octets, this.target);
      return null;
    } catch (error) {
      if (error instanceof Deno.errors.NotCapable) throw error;
      if (!this.#isLookingUp) this.#renew(); // not awaited: the schedule goes on
      const zone = /%(.*)/.exec(hostname)?.[1];
      const isLookUpFault = error instanceof Error && error.message.includes("lookup");
      return zone !== undefined && isLookUpFault
        ? `no network interface ${quoteForMessage(zone)}`
        : reasonOf(error);
    }
  }

  async #renew(): Promise<void> {
    this.#isLookingUp = true;
    // If the look-up fails, the old address stays.
    this.target = await this.#lookUp?.().catch(() => undefined) ?? this.target;
    this.#isLookingUp = false;
  }
}

// ---- Engine: the pinger --------------------------------------------------

/** Pings one server from one socket. */
export class Pinger {
  /** The statistics so far. */
  readonly statistics: Statistics;
  readonly #socket: Deno.DatagramConn;
  readonly #sender: Sender;
  readonly #options: PingOptions;
  readonly #encode: ReturnType<typeof probeEncoder>;
  readonly #probes: ProbeTable;
  readonly #last: number; // sequence number of the last probe
  readonly #windows: Window[] = []; // the last one is current
  readonly #reached = new ReachedCounter();
  #highest: number; // highest sequence number in a reply
  #startedAt = 0;
  #due = 0; // next point of the interval's grid
  #floodDue = 0; // when -f sends without a reply
  #retryAt = 0; // after a send error
  #drainUntil: number | undefined; // after a stall
  #lingerUntil: number | undefined;
  #slowest = 0;
  #wake = () => {};

  /**
   * Takes over an open socket.
   *
   * @param statistics Statistics to which this run adds.
   */
  constructor(
    socket: Deno.DatagramConn,
    target: Deno.NetAddr,
    options: PingOptions,
    statistics: Statistics = new Statistics(),
  ) {
    this.#socket = socket;
    this.#sender = new Sender(socket, target, options);
    this.#options = options;
    this.statistics = statistics;
    this.#encode = probeEncoder(options.size, options.oneWay);
    this.#probes = new ProbeTable(options, statistics.sent);
    this.#highest = statistics.sent;
    this.#last = statistics.sent + options.count;
  }

  /**
   * Pings until all probes are answered or lost (with a deadline: until `count` are answered), the
   * deadline, or the signal. Then closes the socket.
   */
  async run(): Promise<void> {
    const { signal } = this.#options;
    const end = new AbortController();
    const wake = () => this.#wake();
    signal.addEventListener("abort", wake, { signal: end.signal });
    const receiving = receiveAll(this.#socket, end.signal, (octets, from) => {
      this.#receive(octets, from, performance.now());
    });
    try {
      await Promise.race([this.#schedule(), receiving]);
    } finally {
      end.abort();
      await receiving.catch(() => {}); // its error has already won the race above
    }
    this.#finish();
  }

  // Sending, and deciding what is lost

  async #schedule(): Promise<void> {
    const { signal, timeout, deadline = Infinity, report } = this.#options;
    this.#startedAt = this.#due = performance.now();
    const end = this.#startedAt + deadline;
    while (!signal.aborted) {
      const now = performance.now();
      this.#turnWindows(now);
      this.#skipMissed(now);
      const lingerUntil = this.#isComplete() ? this.#linger(now) : Infinity;
      if (now >= end || now >= lingerUntil) return;
      const [oldest] = this.#probes.open;
      const expiry = oldest ? oldest.sentAt + timeout : Infinity;
      const drainUntil = this.#drain(now, expiry);
      if (now < drainUntil) {
        await this.#sleep(drainUntil - now);
      } else if (oldest && now >= expiry) {
        this.#probes.settle(oldest, "lost");
        report({ event: "timeout", seq: oldest.seq });
      } else if (now >= this.#nextLaunch(now)) {
        await this.#launch(now);
      } else {
        const window = this.#startedAt + (this.#windows.at(-1)?.to ?? Infinity);
        const next = Math.min(this.#nextLaunch(now), expiry, end, lingerUntil, window);
        await this.#sleep(next - now);
      }
    }
  }

  /** True if nothing is left to send, and no reply to wait for. */
  #isComplete(): boolean {
    const { sent, counts } = this.statistics;
    const { count, deadline } = this.#options;
    if (deadline !== undefined) return counts.received >= count; // as ping(8) does with -w
    return sent >= this.#last && this.#probes.open.size === 0;
  }

  /** Returns until when to wait for duplicates and late replies at the end. */
  #linger(now: number): number {
    const { late, duplicates } = this.statistics.counts;
    const time = late + duplicates > 0 ? Math.max(this.#slowest, LONG_LINGER_MS) : LINGER_MS;
    return this.#lingerUntil ??= now + time;
  }

  /**
   * Returns until when to read the socket first, if the oldest probe expired unnoticed: the process
   * stalled, so its reply may wait there.
   */
  #drain(now: number, expiry: number): number {
    if (now <= expiry + STALL_MS) this.#drainUntil = undefined;
    else this.#drainUntil ??= now + DRAIN_MS;
    return this.#drainUntil ?? now;
  }

  /** Returns when the next probe is due; Infinity if an answer must come first. */
  #nextLaunch(now: number): number {
    const { interval, preload, flood, deadline } = this.#options;
    const { sent } = this.statistics;
    const mayExceedCount = deadline !== undefined && !this.#isComplete();
    if (sent >= this.#last && !mayExceedCount) return Infinity;
    if (flood) {
      const window = Math.max(preload, FLOOD_WINDOW);
      return Math.max(this.#probes.open.size < window ? now : this.#floodDue, this.#retryAt);
    }
    if (interval === undefined) return this.#probes.open.size < preload ? this.#retryAt : Infinity;
    if (sent < preload) return this.#retryAt;
    return this.#due;
  }

  /** Moves the grid of the interval forward after a stall, so that no burst is sent. */
  #skipMissed(now: number): void {
    const { interval, preload } = this.#options;
    if (interval === undefined || this.statistics.sent < preload) return;
    const lag = now - this.#due;
    if (lag > MAX_LAG) this.#due += interval * Math.round(lag / interval);
  }

  async #launch(now: number): Promise<void> {
    const { report, trace } = this.#options;
    const seq = this.statistics.sent + 1;
    const octets = this.#encode(seq, now);
    const window = this.#windows.at(-1);
    const statistics = window ? [this.statistics, window.statistics] : [this.statistics];
    const probe: Probe = { seq, octets, statistics, sentAt: now, state: "open" };
    this.#advance(seq, now);
    report({ event: "probe", seq });
    trace?.(">", `${octets.length} octets: ${toByteString(octets)}`);
    this.#probes.add(probe);
    probe.sentAt = performance.now();
    for (const each of statistics) each.addProbe(probe.sentAt);
    const fault = await this.#sender.send(octets);
    if (fault !== null) this.#onSendError(probe, fault);
  }

  /** Sets when the probe after this one is due. */
  #advance(seq: number, now: number): void {
    const { interval, preload } = this.#options;
    if (interval !== undefined && seq >= preload) this.#due += interval;
    // 100 probes a second on average, and no catching up for more than the window.
    const latest = now + Math.max(preload, FLOOD_WINDOW) * FLOOD_PAUSE;
    this.#floodDue = Math.min(Math.max(this.#floodDue, now) + FLOOD_PAUSE, latest);
  }

  /** Counts a probe that could not be sent. The next probe waits as long as after a loss. */
  #onSendError(probe: Probe, reason: string): void {
    const { flood, timeout, report } = this.#options;
    this.#retryAt = performance.now() + (flood ? FLOOD_PAUSE : timeout);
    this.#count("errors", probe);
    this.#probes.settle(probe, "lost");
    report({ event: "error", seq: probe.seq, reason });
  }

  // Receiving

  /** Classifies a datagram. A reply has the right source, sequence number and octets. */
  #receive(octets: Uint8Array, { hostname, port }: Deno.NetAddr, now: number): void {
    const { report, trace } = this.#options;
    const bytes = octets.length;
    const from = showAddress(hostname, port);
    trace?.("<", `${bytes} octets, ${from}: ${toByteString(octets)}`);
    const { target } = this.#sender;
    const isServer = hostname === withoutZone(target.hostname) && port === target.port;
    const { probe, ...comparison } = this.#probes.match(octets);
    const isDamaged = comparison.reason !== undefined;
    if (!probe || (!isServer && isDamaged)) {
      this.#count("foreign");
      return report({ event: "foreign", bytes, from });
    }
    const event = { seq: probe.seq, bytes, from, rtt: now - probe.sentAt };
    if (!isServer) {
      this.#count("foreign", probe);
      report({ event: "foreign", ...event, reason: "DIFFERENT ADDRESS!" });
    } else if (isDamaged) {
      this.#count("corrupted", probe);
      report({ event: "corrupted", ...event, ...comparison });
    } else {
      this.#accept(probe, octets, { ...event, ...comparison });
    }
  }

  /** Counts a valid reply: in time, late, or a duplicate. */
  #accept(probe: Probe, octets: Uint8Array, event: Omit<PingEvent, "event">): void {
    const { report } = this.#options;
    const { seq } = probe;
    const { rtt = 0 } = event;
    this.#slowest = Math.max(this.#slowest, rtt);
    if (probe.state === "received" || probe.state === "late") {
      this.#count("duplicates", probe);
      return report({ event: "duplicate", ...event });
    }
    const outOfOrder = seq < this.#highest; // RFC 4737 §3.3
    this.#highest = Math.max(this.#highest, seq);
    if (this.#options.oneWay) this.#takeServerFields(probe, octets, probe.sentAt + rtt);
    if (event.upperCase) this.#count("upperCase", probe);
    if (probe.state === "lost") {
      probe.state = "late"; // and still counts as lost
      this.#count("late", probe);
      return report({ event: "late", ...event });
    }
    for (const statistics of probe.statistics) statistics.addReply(rtt);
    this.#probes.settle(probe, "received");
    if (outOfOrder) this.#count("outOfOrder", probe);
    report({ event: "reply", ...event, ...(outOfOrder && { outOfOrder }) });
    this.#wake();
  }

  /** Adds the times and the count of the server, unless they are impossible (a damaged digit). */
  #takeServerFields(probe: Probe, octets: Uint8Array, receivedAt: number): void {
    const fields = readServerFields(octets);
    if (!fields) return;
    const { rx, tx, n } = fields;
    const { sent } = this.statistics;
    const rounding = 0.01;
    const isWithinRtt = tx >= rx && tx - rx < receivedAt - probe.sentAt + rounding;
    if (!isWithinRtt || n > sent) return;
    const reached = this.#reached.add(probe.seq, rx, n, sent);
    for (const statistics of probe.statistics) {
      statistics.addServerTimes(probe.sentAt, rx, tx, receivedAt, reached);
    }
  }

  // Counting

  #count(what: Counted, probe?: Probe): void {
    for (const { counts } of probe?.statistics ?? [this.statistics]) counts[what]++;
  }

  /** Leaves probes in flight at the end uncounted, except if nothing came at all: they are lost. */
  #finish(): void {
    const { counts } = this.statistics;
    if (counts.received + counts.late === 0) {
      for (const probe of this.#probes.open) this.#probes.settle(probe, "lost");
    }
    this.#probes.finish();
    const isEmpty = this.#windows.at(-1)?.statistics.sent === 0;
    if (isEmpty) this.#windows.pop();
    for (const window of this.#windows) this.#options.reportWindow?.(window);
  }

  /** Begins the next window when it is time, and reports those whose probes are all settled. */
  #turnWindows(now: number): void {
    const { every, reportWindow } = this.#options;
    if (every === undefined) return;
    while (now - this.#startedAt >= (this.#windows.at(-1)?.to ?? 0)) {
      const from = this.#windows.at(-1)?.to ?? 0;
      this.#windows.push({ from, to: from + every, statistics: new Statistics() });
    }
    while (this.#windows.length > 1 && this.#windows[0]?.statistics.inFlight === 0) {
      const [settled] = this.#windows.splice(0, 1);
      if (settled) reportWindow?.(settled);
    }
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, Math.min(ms, 0x7fff_ffff));
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

function withoutZone(hostname: string): string {
  return hostname.replace(/%.*/, "");
}

// ---- Engine: a walk through sizes ----------------------------------------

/** Result of the probes of one size. */
export interface SizeResult {
  /** Length of the probes (octets). */
  size: number;
  /** Number of probes sent. */
  transmitted: number;
  /** Number of probes answered in time. */
  received: number;
}

/**
 * Chooses the sizes of a walk: some that are evenly spaced, then, by halving, those between the
 * largest that passed and the smallest above it that did not.
 *
 * @param hasPassed Tells whether a size that was chosen before has passed.
 */
export function* walkSizes(
  min: number,
  max: number,
  hasPassed: (size: number) => boolean,
): Generator<number> {
  const steps = Math.min(FIRST_PASS, max - min + 1);
  const first = Array.from(
    { length: steps },
    (_, step) => Math.round(min + (max - min) * step / Math.max(steps - 1, 1)),
  );
  yield* first;
  let passed = first.findLast(hasPassed);
  let failed = first.find((size) => size > (passed ?? -1) && !hasPassed(size));
  while (passed !== undefined && failed !== undefined && failed - passed > 1) {
    const middle = Math.floor((passed + failed) / 2);
    yield middle;
    if (hasPassed(middle)) passed = middle;
    else failed = middle;
  }
}

/** Pings with probes of many sizes: `options.count` of each size, all of them in flight at once. */
export async function pingSizes(
  open: () => Deno.DatagramConn,
  target: Deno.NetAddr,
  [min, max]: readonly [min: number, max: number],
  options: PingOptions,
  statistics: Statistics,
): Promise<SizeResult[]> {
  const results = new Map<number, SizeResult>();
  const preload = options.count;
  for (const size of walkSizes(min, max, (size) => (results.get(size)?.received ?? 0) > 0)) {
    const before = { sent: statistics.sent, received: statistics.counts.received };
    await new Pinger(open(), target, { ...options, size, preload }, statistics).run();
    const transmitted = statistics.sent - statistics.inFlight - before.sent;
    const received = statistics.counts.received - before.received;
    if (transmitted > 0) results.set(size, { size, transmitted, received });
    if (options.signal.aborted) break;
  }
  return [...results.values()].sort((one, other) => one.size - other.size);
}

// ---- Engine: heartbeats --------------------------------------------------

/** How to send heartbeats. */
export interface HeartbeatOptions extends SendOptions {
  /** Time from beat to beat (ms). */
  interval: number;
  /** Name of the sender. Default: none; the monitor then uses our address. */
  name?: string | undefined;
  /** Number of beats. Infinity: until the signal aborts, and then a farewell. */
  count: number;
  /** Text of a failure that the beat reports. Default: none. */
  failure?: string | undefined;
  /** Time between copies of a beat (ms), so that a short outage does not lose all. Default: 100. */
  copyGap?: number;
  /** Receives a message when sending begins to fail, and when it works again. */
  warn: (text: string) => void;
}

/** Sends heartbeats, and counts them. */
class HeartbeatSender {
  /** Number of beats of which at least one copy was sent, and of those that could not be sent. */
  readonly counts = { sent: 0, errors: 0 };
  readonly #sender: Sender;
  readonly #options: HeartbeatOptions;
  #isFailing = false;

  constructor(socket: Deno.DatagramConn, target: Deno.NetAddr, options: HeartbeatOptions) {
    this.#sender = new Sender(socket, target, options);
    this.#options = options;
  }

  /** Sends copies of a beat. Reports when sending begins to fail, and when it works again. */
  async send(sequence: number, fields: string, copies: number): Promise<void> {
    const { interval, name, copyGap = 100, warn, trace } = this.#options;
    const seconds = Number((interval / 1000).toFixed(6));
    const start = `sequence=${sequence}\ttime=${timeOfDay()}`;
    const sender = name === undefined ? "" : `\tname=${name}`;
    const line = `${start}${sender}\tinterval=${seconds}${fields}`;
    let isSent = false;
    for (let copy = 0; copy < copies; copy++) {
      if (copy > 0) await pause(Math.min(copyGap, interval / copies), new AbortController().signal);
      trace?.(">", line);
      const fault = await this.#sender.send(encoder.encode(line));
      if (fault !== null && !this.#isFailing) warn(`Cannot send heartbeats: ${fault}`);
      if (fault === null && this.#isFailing) warn("Heartbeats are sent again");
      this.#isFailing = fault !== null;
      isSent ||= fault === null;
    }
    this.counts[isSent ? "sent" : "errors"]++;
  }
}

/**
 * Sends heartbeats on a fixed schedule. Without a count, beats are numbered from 1, and a farewell in
 * three copies ends them, so that a planned end raises no alarm. With a count (for cron), the number
 * of a beat is the time in seconds, so numbers grow from run to run. Then each beat goes out in three
 * copies, and there is no farewell.
 */
export async function sendHeartbeats(
  socket: Deno.DatagramConn,
  target: Deno.NetAddr,
  options: HeartbeatOptions,
): Promise<{ sent: number; errors: number }> {
  const { interval, count, failure, signal } = options;
  const sender = new HeartbeatSender(socket, target, options);
  const isCounted = count < Infinity;
  const fields = failure === undefined ? "" : `\tfail=${failure}`;
  const startedAt = performance.now();
  let sequence = 0;
  let slot = 0;
  for (let beat = 1; !signal.aborted; beat++) {
    const now = Math.floor((performance.timeOrigin + performance.now()) / 1000);
    sequence = isCounted ? Math.max(now, sequence + 1) : beat;
    await sender.send(sequence, fields, isCounted ? BEAT_COPIES : 1);
    if (beat >= count) break;
    // After a stall the missed beats are skipped, not sent in a burst.
    slot = Math.max(slot + 1, Math.ceil((performance.now() - startedAt) / interval));
    await pause(startedAt + slot * interval - performance.now(), signal);
  }
  if (!isCounted) await sender.send(sequence + 1, "\tbye=1", BEAT_COPIES);
  return sender.counts;
}

// ---- Output: text --------------------------------------------------------

/** Formats an event as ping(8) does; null if ping prints nothing. */
export function describe(event: PingEvent): string | null {
  const { seq, bytes, from, rtt = 0, reason } = event;
  if (event.event === "probe") return null;
  if (event.event === "timeout") return `seq=${seq} timeout`;
  if (event.event === "error") return `seq=${seq} error: ${reason}`;
  if (seq === undefined) return `foreign: ${plural(bytes ?? 0, "octet")} from ${from}`;
  const kinds = {
    reply: event.outOfOrder ? " (out of order)" : "",
    duplicate: " (DUP!)",
    late: " (late)",
    corrupted: ` (corrupted: ${reason})`,
    foreign: ` (${reason})`,
  };
  const notes = kinds[event.event] + (event.upperCase ? " (upper case)" : "");
  return `${bytes} bytes from ${from}: seq=${seq} time=${fixed(rtt)} ms${notes}`;
}

/** Formats the statistics: two lines as ping(8) prints them, then what ping does not measure. */
export function describeSummary(host: string, summary: Summary, isFlood = false): string[] {
  const { transmitted, rtt, pipe, ewma, time, oneWay } = summary;
  const counts = describeCounts(summary) + (transmitted > 0 ? `, time ${time}ms` : "");
  const lines = [`--- ${host} ping statistics ---`, counts];
  if (rtt) {
    const gap = fixed(time / Math.max(transmitted - 1, 1));
    const flood = isFlood ? `, pipe ${pipe}, ipg/ewma ${gap}/${fixed(ewma)} ms` : "";
    lines.push(describeRtt(rtt) + flood);
  }
  const details = describeDetails(summary);
  if (details) lines.push(details);
  if (oneWay) {
    lines.push(
      `one way: loss up ${oneWay.lostUp}, loss down ${oneWay.lostDown}; ` +
        `up queue +${fixed(oneWay.queueUp)} ms, down queue +${fixed(oneWay.queueDown)} ms`,
    );
  }
  const command = replay(summary);
  if (command) lines.push(`replay: ${command}`);
  return lines;
}

/** Formats a window of `--every` in one line. */
export function describeWindow({ from, to, statistics }: Window): string {
  const summary = statistics.summary();
  const times = summary.rtt ? `, ${describeRtt(summary.rtt)}` : "";
  const span = `${roundToMicros(from / 1000)} to ${roundToMicros(to / 1000)} s`;
  return `${span}: ${describeCounts(summary)}${times}`;
}

/** Formats the line that SIGQUIT asks for, as ping(8) does. */
export function describeStatus({ transmitted, received, loss, rtt, ewma }: Summary): string {
  const counts = `${received}/${plural(transmitted, "packet")}, ${formatPercent(loss / 100)} loss`;
  if (!rtt) return counts;
  const times = [rtt.min, rtt.avg, ewma, rtt.max].map(fixed).join("/");
  return `${counts}, min/avg/ewma/max = ${times} ms`;
}

/** Formats the counters of a summary: those of ping(8), the others only if they are not zero. */
function describeCounts(summary: Summary): string {
  const { transmitted, received, duplicates, corrupted, errors, late, outOfOrder } = summary;
  const others = [
    [duplicates, plural(duplicates, "duplicate")],
    [corrupted, `${corrupted} corrupted`],
    [errors, plural(errors, "error")],
    [late, `${late} late`],
    [outOfOrder, `${outOfOrder} out of order`],
    [summary.foreign, `${summary.foreign} foreign`],
  ] as const;
  return [
    `${plural(transmitted, "packet")} transmitted`,
    `${received} received`,
    ...others.filter(([count]) => count > 0).map(([, text]) => `+${text}`),
    ...(transmitted > 0 ? [`${formatPercent(summary.loss / 100)} packet loss`] : []),
  ].join(", ");
}

function describeRtt({ min, avg, max, mdev }: NonNullable<Summary["rtt"]>): string {
  return `rtt min/avg/max/mdev = ${[min, avg, max, mdev].map(fixed).join("/")} ms`;
}

/** Formats jitter and percentiles, and if something was lost, the bursts and the interval of loss. */
function describeDetails(summary: Summary): string {
  const { jitter, p50, p95, p99, lost, bursts, longest, lossInterval } = summary;
  const parts: string[] = [];
  if (jitter !== null) {
    const shown = [p50, p95, p99].filter((value) => value !== null).map(fixed);
    const names = ["p50", "p95", "p99"].slice(0, shown.length);
    const percentiles = p95 === null ? "" : `, ${names.join("/")} = ${shown.join("/")} ms`;
    parts.push(`jitter ${fixed(jitter)} ms${percentiles}`);
  }
  if (lost > 0) {
    const [low, high] = lossInterval.map((end) => Number(end.toPrecision(2)));
    const interval = `95% interval ${low}% to ${high}%`;
    parts.push(`loss in ${plural(bursts, "burst")}, longest ${longest}, ${interval}`);
  }
  return parts.join("; ");
}

/** Formats the loss of each size, then the largest size that passes, and whether in fragments. */
export function describeSizes(results: readonly SizeResult[], isIpv6: boolean): string[] {
  const lines = results.map(({ size, transmitted, received }) => {
    const loss = formatPercent((transmitted - received) / transmitted);
    return `${size} bytes: ${received}/${plural(transmitted, "packet")}, ${loss} loss`;
  });
  const limit = isIpv6 ? UNFRAGMENTED.ipv6 : UNFRAGMENTED.ipv4;
  const passed = results.findLast(({ received }) => received > 0)?.size;
  if (passed === undefined) return lines;
  const failed = results.find(({ size }) => size > passed)?.size;
  if (failed === undefined) {
    const how = passed > limit
      ? `; with an MTU of 1500 the sizes above ${limit} pass in fragments`
      : "";
    return [...lines, `all sizes up to ${passed} bytes pass${how}`];
  }
  const why = failed > MAX_IPV4_SIZE ? "" : ": fragments are lost, or the MTU ends here";
  return [...lines, `largest size that passes: ${passed} bytes; ${failed} does not${why}`];
}

function fixed(ms: number): string {
  return ms.toFixed(3);
}

/** Draws the distribution of round-trip times, in rows of equal ratio. */
export function histogram(sorted: ArrayLike<number>, rows = 12, width = 40): string[] {
  const times = Array.from(sorted);
  const min = times[0] ?? 0;
  const max = times.at(-1) ?? 0;
  const ratio = Math.max((max / min) ** (1 / rows), 1.001);
  const counts = Array.from({ length: rows }, () => 0);
  for (const time of times) {
    const row = Math.min(Math.floor(Math.log(time / min) / Math.log(ratio)), rows - 1);
    counts[row] = (counts[row] ?? 0) + 1;
  }
  const most = Math.max(...counts);
  while (counts.at(-1) === 0) counts.pop();
  return counts.map((count, row) => {
    const from = fixed(min * ratio ** row).padStart(10);
    const bar = "#".repeat(Math.ceil(width * count / most));
    return `${from} ms |${bar.padEnd(width)}| ${count}`;
  });
}

// ---- Output: advice ------------------------------------------------------

/** Finds the likely cause of losses from the events of a run. */
export class Advisor {
  readonly #server: string;
  readonly #localPort: number;
  #hasOtherSource = false;
  #hasJunk = false;
  #slowest = 0;
  #fault: string | undefined;
  #tokens = SERVER_RATE; // what a server's rate limit has left
  #fewestTokens = SERVER_RATE;
  #refilledAt: number | undefined;

  /**
   * @param server Address and port of the server, as in events.
   * @param localPort Port of our own socket.
   */
  /** Takes the address of the server as text, and the local port. */
  constructor(server: string, localPort: number) {
    this.#server = server;
    this.#localPort = localPort;
  }

  /** Takes an event. */
  observe({ event, seq, from, rtt = 0, reason }: PingEvent, now: number): void {
    if (event === "foreign" && seq !== undefined) this.#hasOtherSource = true;
    if (event === "foreign" && seq === undefined && from === this.#server) this.#hasJunk = true;
    if (event === "late") this.#slowest = Math.max(this.#slowest, rtt);
    if (event === "error") this.#fault = reason;
    if (event === "reply") {
      const earned = (now - (this.#refilledAt ?? now)) * SERVER_RATE / 1000;
      this.#tokens = Math.min(SERVER_RATE, this.#tokens + earned) - 1;
      this.#fewestTokens = Math.min(this.#fewestTokens, this.#tokens);
      this.#refilledAt = now;
    }
  }

  /** Returns the likely cause of the losses, and what to try; null if all is well. */
  advise(summary: Summary, oneWay: boolean, size: number, isIpv6: boolean): string | null {
    const { transmitted, received, lost, late, corrupted, errors } = summary;
    if (transmitted === 0) return null;
    if (oneWay && received > 0 && !summary.oneWay) return "plain echo server: no one-way data";
    // The replies came at the rate of the limit: no more, and not much less.
    const tolerance = SERVER_RATE / 10;
    if (lost > 0 && Math.abs(this.#fewestTokens) < tolerance) {
      return `udp_ping_server.ts sends ${SERVER_RATE} replies a second to one client; ` +
        "start it with --rate 0";
    }
    if (received > 0) return null;
    if (late > 0) {
      const wait = Math.ceil(this.#slowest / 500) / 2 + 0.5;
      return `all late: replies took up to ${fixed(this.#slowest)} ms; try -W ${wait}`;
    }
    if (this.#hasOtherSource) {
      return "all lost: answered by another address, start the server with --host";
    }
    if (corrupted > 0) return "all lost: the server answers, but not with what it was sent";
    if (this.#hasJunk) return "all lost: the server answers, but does not echo the probes";
    if (errors === transmitted) return this.#adviseOnErrors(size, isIpv6);
    return `all lost: ${this.#adviseOnSilence(size)}`;
  }

  #adviseOnErrors(size: number, isIpv6: boolean): string {
    const largest = isIpv6 ? MAX_SIZE : MAX_IPV4_SIZE;
    const remedy = size > largest ? `; try -s ${largest}` : "";
    return `nothing was sent: ${this.#fault}${remedy}`;
  }

  #adviseOnSilence(size: number): string {
    const port = Number(/\d+$/.exec(this.#server)?.[0]);
    if (this.#localPort < FIRST_USER_PORT || this.#localPort === port) {
      return `udp_ping_server.ts ignores clients on port ${this.#localPort}: ports below ` +
        `${FIRST_USER_PORT}, and its own, may be other servers`;
    }
    if (size > MAX_SAFE_SIZE) {
      return `nothing answers on port ${port}, or probes of ${size} bytes are above the MTU of the ` +
        `path and their fragments are lost; -s ${MAX_SAFE_SIZE}-${size} shows what passes`;
    }
    if (port < FIRST_USER_PORT) {
      return `nothing answers on port ${port}; ports below ${FIRST_USER_PORT} are for system ` +
        `services, and udp_ping_server.ts listens on ${OPTIONS.port.byDefault}`;
    }
    return `nothing answers on port ${port}, or UDP is filtered, or the server drops everything`;
  }
}

// ---- Output: on the terminal ---------------------------------------------

/** Round-trip time of a probe (ms); null if it is lost, undefined while it is in flight. */
export type Bar = number | null | undefined;

const BLOCKS = "▁▂▃▄▅▆▇█";

/**
 * Draws the line of `--live`: loss and percentiles, then one character for each probe, the newest at
 * the right. A bar of half height is the median. A lost probe is a red block, or "x" without colours.
 *
 * @param width Number of columns; the line never has more.
 */
export function drawLive(
  bars: readonly Bar[],
  { loss, p50, rtt, p95 }: Summary,
  width: number,
  useColor: boolean,
): string {
  const median = fixed(p50 ?? 0);
  const high = fixed(p95 ?? rtt?.max ?? 0);
  const lost = formatPercent(loss / 100).padStart(5);
  const forms = [
    `loss ${lost}  p50 ${median} ms  p95 ${high} ms  `,
    `${lost} ${median}/${high} ms `,
    `${lost} `,
  ];
  const text = forms.find((form) => form.length <= 0.6 * width) ?? "";
  const room = Math.max(width - text.length, 0);
  const shown = room === 0 ? [] : bars.slice(-room);
  const red = (block: string) => useColor ? `\x1b[31m${block}\x1b[39m` : "x";
  const drawn = shown.map((bar) => {
    if (bar === undefined) return " ";
    if (bar === null) return red("█");
    const level = Math.ceil(4 * bar / (p50 || bar)) - 1;
    return BLOCKS[Math.min(Math.max(level, 0), BLOCKS.length - 1)];
  });
  return text + drawn.join("");
}

/** The line of `--live` on a terminal, redrawn at events and when the terminal is resized. */
class LiveLine {
  readonly #bars: Bar[] = [];
  readonly #summary: () => Summary;
  #firstSeq = 1; // of the bars
  #timer: ReturnType<typeof setTimeout> | undefined;
  #delay = DRAW_MS;
  readonly #redraw = () => this.#draw();

  constructor(summary: () => Summary) {
    this.#summary = summary;
    if (Deno.build.os !== "windows") Deno.addSignalListener("SIGWINCH", this.#redraw);
  }

  /** Takes an event, and draws soon. */
  update({ event, seq = 0, rtt }: PingEvent): void {
    const at = seq - this.#firstSeq;
    if (event === "probe") this.#bars.push(undefined);
    else if (event === "reply" && at >= 0) this.#bars[at] = rtt;
    else if ((event === "timeout" || event === "error") && at >= 0) this.#bars[at] = null;
    if (this.#bars.length > MAX_BARS) {
      this.#bars.shift();
      this.#firstSeq++;
    }
    this.#timer ??= setTimeout(() => this.#draw(), this.#delay);
  }

  /** Clears the line, so that another one can be printed. It is drawn again at the next event. */
  clear(): void {
    Deno.stderr.writeSync(encoder.encode("\r\x1b[J"));
  }

  /** Draws for the last time, and moves below the line. */
  end(): void {
    if (Deno.build.os !== "windows") Deno.removeSignalListener("SIGWINCH", this.#redraw);
    this.#draw();
    Deno.stderr.writeSync(encoder.encode("\n"));
  }

  /**
   * Draws. The cursor stays at the start of the line: when a terminal that gets narrower breaks the
   * line in two, "erase below" still clears all of it.
   */
  #draw(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const startedAt = performance.now();
    const width = terminalWidth() - 1; // in the last column some terminals wrap
    const line = drawLive(this.#bars, this.#summary(), width, !Deno.noColor);
    Deno.stderr.writeSync(encoder.encode(`\r\x1b[J${line}\r`));
    // Drawing delays replies, so it gets 5 % of the time. Sorting 65,536 times takes 10 ms.
    this.#delay = Math.max(DRAW_MS, 20 * (performance.now() - startedAt));
  }
}

/** Returns the number of columns of the terminal; some report none. */
function terminalWidth(): number {
  try {
    return Deno.consoleSize().columns || 80;
  } catch {
    return 80;
  }
}

/** Prints events, windows and statistics. */
class Reporter {
  readonly #options: PingerOptions;
  #live: LiveLine | undefined;
  #hasDots = false;

  constructor(options: PingerOptions, summary: () => Summary) {
    this.#options = options;
    this.#live = options.live ? new LiveLine(summary) : undefined;
  }

  /** Prints a text, or its value with `--json`. */
  say(text: string, value: unknown): void {
    this.#live?.clear();
    if (this.#hasDots) print("\n");
    this.#hasDots = false;
    print(`${this.#options.json ? JSON.stringify(value) : text}\n`);
  }

  /** Prints an event. */
  report(event: PingEvent): void {
    const { quiet, flood, json, timestamps } = this.#options;
    this.#live?.update(event);
    if (quiet || this.#live) return;
    if (flood && !json) return this.#printDot(event);
    const text = describe(event);
    if (text === null && !json) return;
    const now = timeOfDay();
    const rtt = event.rtt === undefined ? {} : { rtt: roundToMicros(event.rtt) };
    const value = { ...event, ...rtt, ...(timestamps && { timestamp: Number(now) }) };
    this.say(timestamps ? `[${now}] ${text}` : `${text}`, value);
  }

  #printDot({ event }: PingEvent): void {
    if (event !== "timeout" && event !== "error") return;
    print(".");
    this.#hasDots = true;
  }

  /** Prints a window of `--every`. */
  reportWindow(window: Window): void {
    const from = roundToMicros(window.from / 1000);
    const to = roundToMicros(window.to / 1000);
    const prefix = this.#options.timestamps ? `[${timeOfDay()}] ` : "";
    const value = { event: "window", from, to, ...window.statistics.summary() };
    this.say(prefix + describeWindow(window), value);
  }

  /** Prints the statistics so far: text to standard error as ping(8) does, JSON with the rest. */
  reportStatus(summary: Summary): void {
    if (this.#options.json) return this.say("", { event: "status", ...summary });
    this.#live?.clear();
    console.error(describeStatus(summary));
  }

  /** Ends the line of `--live`. */
  end(): void {
    this.#live?.end();
    this.#live = undefined;
  }
}

// ---- Command line: options -----------------------------------------------

/** Number of probes of each size in a walk, without `-c`. */
const PROBES_PER_SIZE = 3;
/** Maximum of `-l`: more replies at once would overflow the receive buffer. */
const MAX_PRELOAD = 256;
/** Interval of heartbeats without `-i` (ms). */
const DEFAULT_BEAT = 5000;
/** Longest interval and deadline (s). */
const YEAR = 366 * 86_400;

/** Reads `-s N` or `-s MIN-MAX`. */
const sizes: Reader<readonly [min: number, max: number]> = (text) => {
  const [, first = text, last = first] = /^(\d+)-(\d+)$/.exec(text) ?? [];
  const range = { min: 1, max: MAX_SIZE, isWhole: true };
  const [min, max] = [readNumber(first, range), readNumber(last, range)];
  if (min > max) throw new UsageError("expected the smaller size first");
  return [min, max];
};

/** Reads `--name`. A blank or a tab in it would break the line of fields. */
const senderName: Reader<string> = (text) => {
  if (/^[!-~]{1,64}$/.test(text)) return text;
  throw new UsageError("expected 1 to 64 visible ASCII characters");
};

/** Reads `--fail`. A tab or a line break in it would break the line of fields. */
const failureText: Reader<string> = (text) => {
  const { length } = encoder.encode(text);
  if (length > 0 && length <= MAX_FAILURE && !/\p{Cc}/u.test(text)) return text;
  throw new UsageError(`expected 1 to ${MAX_FAILURE} octets in one line`);
};

// deno-fmt-ignore (a table)
const OPTIONS = {
  count: option("-c, --count N", "probes, with -w replies; 0 is until Ctrl-C",
    wholeNumber(0, 2 ** 31), "10"),
  interval: option("-i, --interval S",
    "send on the clock, every S seconds (default: when the reply came or timed out)",
    seconds(0, YEAR)),
  timeout: option("-W, --timeout S", "time to wait for a reply", seconds(0.001, 86_400), "1"),
  deadline: option("-w, --deadline S", "end after this time", seconds(0.001, YEAR)),
  size: option("-s, --size N",
    "octets in a probe (default: the fewest); MIN-MAX walks through sizes, -c probes each " +
    `(default: ${PROBES_PER_SIZE}), and shows which pass`, sizes),
  preload: option("-l, --preload N", "probes in flight at once", wholeNumber(1, MAX_PRELOAD), "1"),
  flood: flag("-f, --flood",
    "send as fast as replies come, or 100 a second if that is more; prints a dot for each loss"),
  port: option("-p, --port N", "port of the server, also as HOST:PORT or HOST PORT",
    wholeNumber(1, 65_535), "12000"),
  ipv4: flag("-4, --ipv4", "IPv4 only"),
  ipv6: flag("-6, --ipv6", "IPv6 only"),
  timestamps: flag("-D, --timestamps", "print the time before each line"),
  oneWay: flag("-T, --one-way", "ask the server for its times and count: loss up and down"),
  histogram: flag("--histogram", "draw the distribution of the round-trip times at the end"),
  live: flag("--live", "draw the last probes in one line, on a terminal; losses are red"),
  every: option("--every S", "print statistics every S seconds, of the probes sent in that time",
    seconds(0.1, YEAR)),
  failLoss: option("--fail-loss P", "exit 1 if more is lost: 0.1, 10% or 1/10", probability),
  failRtt: option("--fail-rtt MS", "exit 1 if the 95th percentile is above", decimal(0, Infinity)),
  heartbeat: flag("--heartbeat",
    "send heartbeats until Ctrl-C, every -i seconds (5); -c N sends N, for cron"),
  name: option("--name NAME", "name of the sender of heartbeats", senderName),
  fail: option("--fail TEXT", "send one heartbeat that reports a failure", failureText),
  json: flag("--json", "print JSON lines: one object an event, then the summary"),
  quiet: flag("-q, --quiet", "print statistics only"),
  verbose: flag("-v, --verbose", "show each datagram on standard error"),
};

type Line = CommandLine<typeof OPTIONS>;
type PingerOptions = Values<typeof OPTIONS>;

/** The command line as the help describes it. */
export const COMMAND: Command<Options> = {
  name: "udp_pinger",
  summary: "Pings a UDP echo server, or sends heartbeats.",
  usage: ["[options] HOST [PORT]"],
  options: OPTIONS,
  notes: [
    "Times are seconds (0.2) unless the option says MS; 20ms is accepted, too. A link-local " +
    "address needs its zone: fe80::1%eth0. SIGQUIT (Ctrl-\\) prints the statistics so far.",
  ],
  example: "deno run --allow-net --unstable-net udp_pinger.ts -i 0.2 127.0.0.1",
  exitStatuses: "0 some reply, 1 none, 2 error",
  failureStatus: 2,
};

// deno-fmt-ignore (a table)
/** Options that have no effect on heartbeats. */
const PROBE_OPTIONS = [
  "size", "preload", "flood", "oneWay", "histogram", "live", "every", "failLoss", "failRtt",
] as const;

/** Refuses options that exclude each other, or that have no effect. */
function checkOptions(line: Line): void {
  const { options, spelling } = line;
  refuseTogether(line, "ipv4", "ipv6");
  for (const name of PROBE_OPTIONS) refuseTogether(line, name, "heartbeat");
  for (const name of ["name", "fail"] as const) requireWith(line, name, "heartbeat", OPTIONS);
  for (const name of ["quiet", "json", "flood", "verbose"] as const) {
    refuseTogether(line, "live", name);
  }
  if (options.live && !Deno.stderr.isTerminal()) {
    throw new UsageError("Cannot use --live: standard error is not a terminal");
  }
  if (options.fail !== undefined && spelling("count") !== undefined && options.count !== 1) {
    throw new UsageError(
      `Cannot use ${spelling("fail")} with ${spelling("count")}: one beat is sent`,
    );
  }
  if (options.heartbeat && options.interval === 0) {
    throw new UsageError(`Cannot use ${spelling("interval")} "0" with --heartbeat`);
  }
  const isWalk = walkRange(options) !== undefined;
  if (isWalk) {
    refuseTogether(line, "size", "flood");
    refuseTogether(line, "size", "every");
  }
  const mayExceedCount = options.deadline !== undefined || isWalk;
  const [min = Infinity] = options.size ?? [];
  const shortest = shortestProbe(mayExceedCount ? Infinity : probeCount(line), options.oneWay);
  if (min < shortest) {
    const expected = `expected a whole number from ${shortest} to ${MAX_SIZE}`;
    throw new UsageError(`Cannot use ${spelling("size")} "${min}": ${expected}`);
  }
}

/** Returns the smallest and the largest size of a walk; undefined without a walk. */
function walkRange({ size }: PingerOptions): readonly [min: number, max: number] | undefined {
  return size && size[0] < size[1] ? size : undefined;
}

/** Returns the number of probes, of probes of each size, or of heartbeats. */
function probeCount({ options, spelling }: Line): number {
  const { count, heartbeat, fail } = options;
  if (fail !== undefined) return 1;
  if (spelling("count") === undefined && heartbeat) return Infinity;
  if (spelling("count") === undefined && walkRange(options)) return PROBES_PER_SIZE;
  return count === 0 ? Infinity : count;
}

// ---- Command line: the address -------------------------------------------

/** Reads HOST, HOST PORT, HOST:PORT, [ADDRESS]:PORT, and -p. */
function readTarget({ options, operands, spelling }: Line): { host: string; port: number } {
  const [operand, portOperand, surplus] = operands;
  if (operand === undefined) throw new UsageError("Cannot ping without a HOST");
  if (surplus !== undefined) {
    throw new UsageError(`Cannot use ${quoteForMessage(surplus)}: expected HOST [PORT]`);
  }
  const [, bracketed, name, attached] = /^(?:\[(.+)\]|([^:]+))(?::(\d+))?$/.exec(operand) ?? [];
  const ports = [attached, portOperand].filter((port) => port !== undefined);
  const given = ports.length + (spelling("port") === undefined ? 0 : 1);
  if (given > 1) throw new UsageError("Cannot use two ports: expected HOST:PORT, HOST PORT or -p");
  const port = ports[0] === undefined ? options.port : readPort(ports[0]);
  return { host: bracketed ?? name ?? operand, port };
}

function readPort(text: string): number {
  try {
    return wholeNumber(1, 65_535)(text);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(`Cannot use PORT ${quoteForMessage(text)}: ${error.message}`);
  }
}

/** Looks up an address; IPv4 first, because the assignment's server knows only IPv4. */
async function resolve(host: string, family: number | undefined): Promise<string> {
  const literal = parseAddress(host);
  if (literal !== null) {
    if (family === undefined || (family === 6) === literal.includes(":")) return literal;
    throw new UsageError(`Cannot use ${quoteForMessage(host)} with -${family}`);
  }
  const { lookup } = await import("node:dns/promises");
  try {
    const found = await lookup(host, { all: true });
    const fit = found.filter((entry) => family === undefined || entry.family === family);
    const address = (fit.find((entry) => entry.family === 4) ?? fit[0])?.address;
    if (address !== undefined) return address;
  } catch (error) {
    if (error instanceof Error && error.message.includes("EPERM")) {
      throw new Deno.errors.NotCapable(`Requires net access to "${host}"`);
    }
  }
  const kind = family === undefined ? "IPv4 or IPv6" : `IPv${family}`;
  throw new ExitError(2, `Cannot resolve ${quoteForMessage(host)}: no ${kind} address`);
}

/** Normalizes an address as Deno writes it in what it receives; null for a name. */
function parseAddress(host: string): string | null {
  if (!host.includes(":") && !/^[\d.]+$/.test(host)) return null;
  const [, address = host, zone = ""] = /^([^%]*)(%.+)$/.exec(host) ?? [];
  const url = `http://${address.includes(":") ? `[${address}]` : address}/`;
  if (!URL.canParse(url)) {
    throw new UsageError(`Cannot use ${quoteForMessage(host)}: expected a host`);
  }
  const normal = new URL(url).hostname.replace(/^\[(.*)\]$/, "$1");
  const [, high, low] = /^::ffff:(\w+):(\w+)$/.exec(normal) ?? [];
  if (high !== undefined && low !== undefined) { // RFC 4291 §2.5.5.2: an IPv4-mapped address
    return parseAddress(new URL(`http://0x${high}${low.padStart(4, "0")}/`).hostname);
  }
  const isLinkLocal = /^fe[89ab]/.test(normal); // RFC 4291 §2.5.6: fe80::/10
  if (isLinkLocal && zone === "") {
    const expected = `expected a zone, as in ${address}%eth0`;
    throw new UsageError(`Cannot use ${quoteForMessage(host)}: ${expected}`);
  }
  if (normal === "0.0.0.0") return "127.0.0.1"; // both are this machine
  return normal === "::" ? "::1" : normal + (isLinkLocal ? zone : "");
}

// ---- Command line: the program -------------------------------------------

/** Server or monitor, and how to reach it. */
interface Destination {
  /** Host and port as the user typed them. */
  readonly shown: string;
  /** Address and port. */
  readonly address: Deno.NetAddr;
  /** Looks the host up again. */
  readonly lookUp: () => Promise<Deno.NetAddr>;
  /** Opens a socket of the family of the address. */
  readonly open: () => Deno.DatagramConn;
}

/** Sends the probes, and prints events and statistics. */
async function ping(line: Line, destination: Destination, signal: AbortSignal): Promise<number> {
  const { options } = line;
  const { shown, address, open } = destination;
  const isIpv6 = address.hostname.includes(":");
  const range = walkRange(options);
  const statistics = new Statistics();
  const reporter = new Reporter(options, () => statistics.summary());
  const socket = open();
  const localPort = "port" in socket.addr ? socket.addr.port : 0;
  const advisor = new Advisor(showAddress(withoutZone(address.hostname), address.port), localPort);
  const pingOptions: PingOptions = {
    ...pingOptionsOf(line, destination, signal),
    report: (event) => {
      advisor.observe(event, performance.now());
      reporter.report(event);
    },
    reportWindow: (window) => reporter.reportWindow(window),
  };
  const quit = onQuit(() => reporter.reportStatus(statistics.summary()));
  let results: SizeResult[] = [];
  if (range) {
    socket.close(); // each size gets a socket of its own
    const walk = pingSizes(open, address, range, pingOptions, statistics);
    results = await Promise.race([quit, walk]);
  } else {
    await Promise.race([quit, new Pinger(socket, address, pingOptions, statistics).run()]);
  }
  reporter.end();
  const summary = statistics.summary();
  const text = describeSummary(shown, summary, pingOptions.flood);
  const advice = advisor.advise(summary, options.oneWay, options.size?.[0] ?? 0, isIpv6);
  if (advice !== null) text.push(advice);
  if (options.histogram && summary.rtt) text.push(...histogram(statistics.sortedRtts()));
  text.push(...describeSizes(results, isIpv6));
  const more = { replay: replay(summary), ...(range && { sizes: results }) };
  reporter.say(text.join("\n"), { event: "summary", ...summary, ...more });
  return exitStatus(summary, line);
}

/** Returns the options of the engine. `-i 0` is a flood; `-w` ends a walk by the signal. */
function pingOptionsOf(
  line: Line,
  { lookUp }: Destination,
  stop: AbortSignal,
): Omit<PingOptions, "report"> {
  const { interval, deadline, flood, size, verbose } = line.options;
  const isWalk = walkRange(line.options) !== undefined;
  return {
    ...line.options,
    count: probeCount(line),
    interval: interval === 0 ? undefined : interval,
    deadline: isWalk ? undefined : deadline,
    size: size?.[0],
    flood: flood || interval === 0,
    signal: isWalk ? withDeadline(stop, deadline) : stop,
    lookUp,
    trace: verbose ? showTrace : undefined,
  };
}

/** Makes a signal that also aborts after a deadline (ms), if there is one. */
function withDeadline(stop: AbortSignal, deadline: number | undefined): AbortSignal {
  if (deadline === undefined) return stop;
  const end = new AbortController();
  pause(deadline, stop).then(() => end.abort());
  return end.signal;
}

/** Returns the exit status, as ping(8) has it. */
function exitStatus(summary: Summary, { options, spelling }: Line): number {
  const { transmitted, received, errors } = summary;
  const { deadline, count } = options;
  if (errors > 0 && errors === transmitted) return 2;
  if (received === 0) return 1;
  const wanted = spelling("count") === undefined ? 0 : count;
  if (deadline !== undefined && received < wanted) return 1;
  const fault = exceededThreshold(summary, options);
  if (fault !== null) console.error(`udp_pinger: ${fault}`);
  return fault === null ? 0 : 1;
}

/** Describes what is above `--fail-loss` or `--fail-rtt`; null if nothing is. */
function exceededThreshold(summary: Summary, options: PingerOptions): string | null {
  const { loss, p95, rtt } = summary;
  const { failLoss = 1, failRtt = Infinity } = options;
  if (loss > percent(failLoss)) {
    return `Loss is ${formatPercent(loss / 100)}, more than ${formatPercent(failLoss)}`;
  }
  const high = p95 ?? rtt?.max ?? 0; // below 20 replies the 95th percentile is the maximum
  if (high > failRtt) return `95th percentile is ${fixed(high)} ms, more than ${failRtt} ms`;
  return null;
}

/** Sends heartbeats, and prints how many. */
async function beat(line: Line, destination: Destination, stop: AbortSignal): Promise<number> {
  const { name, fail, deadline, interval = DEFAULT_BEAT, json, quiet, verbose } = line.options;
  const { shown, address, lookUp, open } = destination;
  const count = probeCount(line);
  const warn = (text: string) => console.error(`udp_pinger: ${text}`);
  if (!quiet && count === Infinity) warn(`heartbeats to ${shown} every ${interval / 1000} s`);
  const signal = withDeadline(stop, deadline);
  const trace = verbose ? showTrace : undefined;
  const socket = open();
  const options = { interval, name, count, failure: fail, signal, warn, lookUp, trace };
  const result = await sendHeartbeats(socket, address, options);
  socket.close();
  const sent = plural(result.sent, "heartbeat");
  const text = `${sent} sent to ${shown}, ${plural(result.errors, "error")}`;
  print(`${json ? JSON.stringify({ event: "summary", ...result }) : text}\n`);
  return result.sent > 0 ? 0 : 2;
}

/** Pings ourselves until the code is compiled. Otherwise the first probe takes 2 ms more. */
async function warmUp(loopback: string, oneWay: boolean, signal: AbortSignal): Promise<void> {
  const permission = { name: "net", host: showAddress(loopback, 0) } as const;
  if (Deno.permissions.querySync(permission).state !== "granted") return;
  const socket = Deno.listenDatagram({ transport: "udp", hostname: loopback, port: 0 });
  const target = socket.addr;
  if (!("hostname" in target)) return;
  const options = { count: 50, timeout: 100, preload: 1, flood: false, report: () => {} };
  const end = AbortSignal.any([signal, AbortSignal.timeout(200)]);
  await new Pinger(socket, target, { ...options, oneWay, signal: end }).run();
}

async function main(line: Line): Promise<number> {
  checkOptions(line);
  const { ipv4, ipv6, heartbeat, oneWay } = line.options;
  const { host, port } = readTarget(line);
  requireDatagrams();
  onQuit(() => {}); // before the first probe, and for heartbeats, there is no status to show
  const hostname = await resolve(host, ipv4 ? 4 : ipv6 ? 6 : undefined);
  const isIpv6 = hostname.includes(":");
  const address = { transport: "udp" as const, hostname, port };
  const destination: Destination = {
    shown: showAddress(host, port),
    address,
    lookUp: async () => ({ ...address, hostname: await resolve(host, isIpv6 ? 6 : 4) }),
    open: () =>
      Deno.listenDatagram({ transport: "udp", hostname: isIpv6 ? "::" : "0.0.0.0", port: 0 }),
  };
  const signal = shutdownSignal();
  if (heartbeat) return await beat(line, destination, signal);
  // Where loopback is unavailable, only the first probe is slower.
  await warmUp(isIpv6 ? "::1" : "127.0.0.1", oneWay, signal).catch(() => {});
  return await ping(line, destination, signal);
}

if (import.meta.main) await run({ ...COMMAND, options: OPTIONS }, main);
