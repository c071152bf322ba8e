#!/usr/bin/env -S deno run --allow-net --unstable-net
/**
 * Measures the way to a UDP echo server and back, as ping(8) does with ICMP: round-trip times,
 * loss, duplicates, damage and order. Or sends heartbeats (`--heartbeat`).
 *
 * ```sh
 * deno run --allow-net --unstable-net udp_pinger.ts 127.0.0.1 12000
 * ```
 *
 * A probe is one line of ASCII, `sequence=N<TAB>time=SECONDS.MICROS` and perhaps more fields. The
 * time in it is for people: what is measured stays in our own table, by our own monotonic clock.
 * Round-trip time is RFC 2681's, order RFC 4737's, percentiles are RFC 2330's. Read from the top:
 * the terms, the numbers, statistics, probes, heartbeats. The command line comes last.
 *
 * Left out: ICMP's "port unreachable", which no UDP socket of Deno reports. It looks like loss.
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { explain, pause, percent, print, printable, requireDatagrams } from "./protocol.ts";
import { readNumber, readProbability, receiveAll, run, showAddress } from "./protocol.ts";
import { showTrace, shutdownSignal, spellOut, timeOfDay, toByteString } from "./protocol.ts";
import { UsageError, VERSION } from "./protocol.ts";
import type { Trace } from "./protocol.ts";

// ---- Terms ---------------------------------------------------------------

/** How to ping; times in milliseconds. */
export interface PingOptions {
  /** How many probes; Infinity is until the signal aborts. */
  count: number;
  /** From probe to probe. Default: the next goes when the one before is answered or given up. */
  interval?: number | undefined;
  /** How long a reply may take. */
  timeout: number;
  /** The end of it all, from now on. */
  deadline?: number | undefined;
  /** How many octets a probe has. Default: as few as it takes. */
  size?: number | undefined;
  /** How many probes are under way at once. */
  preload: number;
  /** Whether to send as fast as replies come, and after a pause of 10 ms all the same. */
  flood: boolean;
  /** Whether to ask the server for its times and its count. */
  oneWay: boolean;
  /** Ends the run. */
  signal: AbortSignal;
  /** Gets what happens. */
  report: (event: PingEvent) => void;
  /** Sees each datagram. */
  trace?: Trace | undefined;
}

/** What happened. A reply is foreign if its source, or all of it, is not what we asked. */
export interface PingEvent {
  /** Its kind. */
  event: "probe" | "reply" | "timeout" | "duplicate" | "late" | "corrupted" | "foreign" | "error";
  /** The sequence number of the probe, where there is one. */
  seq?: number;
  /** How many octets came. */
  bytes?: number;
  /** From where they came. */
  from?: string;
  /** The round-trip time, in milliseconds. */
  rtt?: number;
  /** Whether a reply to a later probe came before. */
  outOfOrder?: true;
  /** What is wrong with it. */
  reason?: string;
}

/** A probe; it stays in the table when it is settled, so that duplicates and late replies are known. */
interface Probe {
  readonly seq: number;
  readonly octets: Uint8Array;
  sent: number;
  state: "open" | "received" | "lost" | "late";
}

/**
 * What is counted: probes answered in time; further replies to the same probe, first ones after
 * the timeout, changed ones, overtaken ones (RFC 4737); probes that could not be sent; datagrams
 * from elsewhere, or to no probe of ours.
 */
export type Counted =
  | "received"
  | "duplicates"
  | "late"
  | "corrupted"
  | "outOfOrder"
  | "errors"
  | "foreign";

/**
 * The statistics of a run. Times are in milliseconds, loss is in per cent; `bursts` is how often
 * the loss began, `longest` the most lost in a row, `time` from the first send to the last, `pipe`
 * the most probes in flight at once, `ewma` ping(8)'s moving average: an eighth of it is new.
 */
export interface Summary
  extends
    Record<Counted | "transmitted" | "lost" | "loss" | "bursts" | "longest", number>,
    Record<"time" | "pipe" | "ewma", number>,
    Record<"jitter" | "jitter3550" | "p25" | "p50" | "p75" | "p95" | "p99", number | null> {
  /** Where the true loss lies in 95 of 100 cases. */
  lossInterval: [low: number, high: number];
  /** Round-trip times; mdev is the population standard deviation. Null if nothing came. */
  rtt: Record<"min" | "avg" | "max" | "mdev", number> | null;
  /** Which way lost how many, the mean time in queues, and how far the server's clock is ahead. */
  oneWay: Record<"lostUp" | "lostDown" | "queueUp" | "queueDown" | "offset", number> | null;
}

// ---- Numbers -------------------------------------------------------------

/** What a datagram can hold, over IPv6; over IPv4 it is 20 octets less. */
const MAX_SIZE = 65_527;
/** How many probes are remembered, and how many round-trip times are kept for the percentiles. */
const MEMORY = 65_536;
/** How many octets of probes are remembered: of long ones, fewer. */
const MEMORY_OCTETS = 64 * 1024 * 1024;
/** So much later than asked for, in ms, and a pause was a stall: the socket is read before judging. */
const STALL = { late: 5, drain: 20 } as const;
/** How far behind its grid a probe is still sent, in ms; more is a stall, and skips what it missed. */
const MAX_LAG = 50;
/** With `-f`: how many probes are under way, and after which pause they count as lost, in ms. */
const FLOOD = { window: 64, pause: 10 } as const;
/** Among how many of the last probes the one is looked for whose number was damaged. */
const NEAR = 100;
/** How long to wait for stragglers at the end: at least, and at least if there were any, in ms. */
const LINGER = { short: 10, long: 50 } as const;
/** From how many replies on a percentile is more than the maximum under another name. */
const ENOUGH = { p95: 20, p99: 100 } as const;
/** A 95 % interval of the normal distribution, in standard deviations. */
const Z = 1.959964;
/** How many probes to ourselves until the code is compiled: the first would take 2 ms longer. */
const WARM_UP = 50;

// ---- Engine: statistics --------------------------------------------------

/** Counts what came of the probes, one by one, in bounded memory. Times in milliseconds. */
export class Tally {
  /** Probes sent, or tried to be. */
  sent = 0;
  /** Probes neither answered nor given up. */
  inFlight = 0;
  /** What came of the others. */
  readonly counts: Record<Counted, number> = {
    ...{ received: 0, duplicates: 0, late: 0, corrupted: 0, outOfOrder: 0, errors: 0, foreign: 0 },
  };
  /** From the first send to the last. */
  time = 0;
  /** The most probes in flight at once. */
  pipe = 0;
  #bursts = 0;
  #longest = 0;
  #run = 0; // of lost probes, without a break
  readonly #rtts: number[] = [];
  #min = Infinity;
  #max = 0;
  #mean = 0;
  #squares = 0; // of the distances from the mean (Welford)
  #ewma = 0;
  #last: number | undefined;
  #changes = 0; // of the round-trip time from reply to reply, summed up
  #smooth = 0; // the same, as RFC 3550 has it
  #times = 0; // how many replies told the server's
  #counted = 0; // by the server
  readonly #up = { min: Infinity, sum: 0 };
  readonly #down = { min: Infinity, sum: 0 };
  #offset = { rtt: Infinity, ms: 0 };

  /** Takes the round-trip time of a reply. */
  add(rtt: number): void {
    const received = ++this.counts.received;
    this.#min = Math.min(this.#min, rtt);
    this.#max = Math.max(this.#max, rtt);
    const distance = rtt - this.#mean;
    this.#mean += distance / received;
    this.#squares += distance * (rtt - this.#mean);
    this.#ewma = received === 1 ? rtt : this.#ewma + (rtt - this.#ewma) / 8;
    const change = Math.abs(rtt - (this.#last ?? rtt));
    this.#changes += change;
    this.#smooth += (change - this.#smooth) / 16; // RFC 3550 §6.4.1
    this.#last = rtt;
    // When the memory is full, each time of the whole run has the same chance to be in it.
    const full = received > MEMORY;
    const place = full ? Math.floor(Math.random() * received) : received - 1;
    if (place < MEMORY) this.#rtts[place] = rtt;
  }

  /** Takes what came of the next probe, in the order of the sequence: for the bursts. */
  settle(lost: boolean): void {
    if (lost && this.#run === 0) this.#bursts++;
    this.#run = lost ? this.#run + 1 : 0;
    this.#longest = Math.max(this.#longest, this.#run);
  }

  /** Takes the server's times: sent, received and sent again, received; by two clocks. */
  addTimes(t1: number, t2: number, t3: number, t4: number, counted: number): void {
    this.#times++;
    this.#counted = Math.max(this.#counted, counted);
    for (const [way, time] of [[this.#up, t2 - t1], [this.#down, t4 - t3]] as const) {
      way.min = Math.min(way.min, time);
      way.sum += time;
    }
    const rtt = t4 - t1;
    if (rtt < this.#offset.rtt) this.#offset = { rtt, ms: ((t2 - t1) + (t3 - t4)) / 2 };
  }

  /** The round-trip times, sorted. */
  sorted(): Float64Array {
    return Float64Array.from(this.#rtts).sort();
  }

  /** Sums up; probes in flight are not among the transmitted. */
  summary(): Summary {
    const { received } = this.counts;
    const transmitted = this.sent - this.inFlight;
    const lost = transmitted - received;
    const sorted = this.sorted();
    const quantile = (p: number, enough = 1) =>
      received < enough ? null : micros(percentile(sorted, p));
    return {
      ...{ transmitted, ...this.counts, loss: percent(lost / transmitted) },
      time: Math.round(this.time),
      rtt: received === 0 ? null : {
        ...{ min: micros(this.#min), avg: micros(this.#mean), max: micros(this.#max) },
        mdev: micros(Math.sqrt(this.#squares / received)),
      },
      ewma: micros(this.#ewma),
      jitter: received < 2 ? null : micros(this.#changes / (received - 1)),
      jitter3550: received < 2 ? null : micros(this.#smooth),
      ...{ p25: quantile(0.25), p50: quantile(0.5), p75: quantile(0.75) },
      ...{ p95: quantile(0.95, ENOUGH.p95), p99: quantile(0.99, ENOUGH.p99) },
      ...{ lost, bursts: this.#bursts, longest: this.#longest },
      ...{ lossInterval: wilson(lost, transmitted), pipe: this.pipe },
      oneWay: this.#times === 0 ? null : this.#oneWay(transmitted),
    };
  }

  /** One-way times say something only relative to their own minimum: the queues on the way. */
  #oneWay(transmitted: number): Summary["oneWay"] {
    return {
      lostUp: Math.max(transmitted - this.#counted, 0),
      lostDown: Math.max(this.#counted - this.counts.received, 0),
      queueUp: micros(this.#up.sum / this.#times - this.#up.min),
      queueDown: micros(this.#down.sum / this.#times - this.#down.min),
      offset: micros(this.#offset.ms),
    };
  }
}

function micros(ms: number): number {
  return Number(ms.toFixed(3));
}

/** The nearest rank of the empirical distribution, RFC 2330 §11.3. */
export function percentile(sorted: ArrayLike<number>, p: number): number {
  const rank = Math.ceil(p * sorted.length - 1e-9);
  return sorted[Math.min(Math.max(rank, 1), sorted.length) - 1] ?? 0;
}

/** Where the true loss lies in 95 of 100 cases, in per cent (Wilson's score interval). */
export function wilson(lost: number, sent: number): [low: number, high: number] {
  if (sent === 0) return [0, 100];
  const [share, spread] = [lost / sent, Z * Z / sent];
  const middle = share + spread / 2;
  const half = Z * Math.sqrt((share * (1 - share) + spread / 4) / sent);
  const ends = [(middle - half) / (1 + spread), (middle + half) / (1 + spread)];
  const [low = 0, high = 1] = ends.map((end) => percent(Math.min(Math.max(end, 0), 1)));
  return [lost === 0 ? 0 : low, lost === sent ? 100 : high];
}

/** The options of our server that make a path like the one just measured; null if nothing came. */
export function replay(summary: Summary): string | null {
  const { received, transmitted, lost, bursts, duplicates, corrupted, outOfOrder } = summary;
  if (summary.p25 === null || summary.p50 === null || summary.p75 === null) return null;
  const round = (value: number, digits = 3) => Number(value.toPrecision(digits));
  // Half of all uniform jitter lies between the quartiles; what lies far out does not matter so.
  const jitter = Math.min(summary.p75 - summary.p25, summary.p50);
  // A damaged reply leaves its probe lost; --corrupt will see to that.
  const loss = round(Math.max(lost - corrupted, 0) / transmitted);
  const options = [`--delay ${round(summary.p50)} --jitter ${round(jitter, 2)} --loss ${loss}`];
  // Gilbert: bursts shorter than this cannot lose so much.
  const shortest = Math.ceil(10 * loss / (1 - loss)) / 10;
  if (loss > 0) options.push(`--burst ${Math.max(round(lost / bursts, 2), shortest, 1)}`);
  const share = (count: number, of: number) => round(Math.min(count / of, 1));
  if (duplicates > 0) options.push(`--duplicate ${share(duplicates, received)}`);
  if (corrupted > 0) options.push(`--corrupt ${share(corrupted, received + corrupted)}`);
  // Jitter wider than the gap from probe to probe overtakes by itself (in whole ms: by timers).
  const overtakes = 2 * jitter > Math.max(summary.time / (transmitted - 1), 1);
  if (outOfOrder > 0 && !overtakes) options.push(`--reorder ${share(outOfOrder, received)}`);
  return `udp_ping_server.ts ${options.join(" ")}`;
}

// ---- Engine: probes ------------------------------------------------------

const encoder = new TextEncoder();

/** The places that a server may fill, with -T: its times, and its count of our requests. */
const PLACES = "\trx=0000000000.000000\ttx=0000000000.000000\tn=0000000000";
const ZERO = 0x30;
const NINE = 0x39;

/** Writes probes, each at its time: `sequence`, `time`, `id` of the session, `pad`, places. */
export function composer(
  size: number | undefined,
  oneWay: boolean,
): (seq: number, now: number) => Uint8Array {
  const id = `\tid=${crypto.getRandomValues(new Uint8Array(4)).toHex()}`;
  const places = oneWay ? PLACES : "";
  // Letters by chance: who can send them back has received them.
  const chance = crypto.getRandomValues(new Uint8Array(size ?? 0));
  const pad = toByteString(chance.map((octet) => 0x61 + octet % 26));
  return (seq, now) => {
    const time = `\ttime=${timeOfDay(now)}`;
    const plain = `sequence=${seq}${time}`;
    if (size === undefined) return encoder.encode(plain + id + places);
    let room = size - plain.length - places.length;
    if (room < 5) return encoder.encode(`sequence=${"0".repeat(room)}${seq}${time}${places}`);
    const session = room >= id.length + 5 || room === id.length ? id : "";
    room -= session.length;
    const filler = room === 0 ? "" : `\tpad=${pad.slice(0, room - 5)}`;
    return encoder.encode(plain + session + filler + places);
  };
}

/** How few octets the probe with the longest sequence number can have. */
export function shortestProbe(count: number, oneWay: boolean): number {
  const digits = count === Infinity ? 10 : String(count).length;
  return "sequence=\ttime=0000000000.000000".length + digits + (oneWay ? PLACES.length : 0);
}

/** Where a reply of the same length differs from its probe, up to so often. Places may be filled. */
function differences(reply: Uint8Array, probe: Uint8Array, oneWay: boolean, most: number) {
  const places = oneWay ? probe.length - PLACES.length : Infinity;
  const found: number[] = [];
  for (let at = 0; at < probe.length && found.length < most; at++) {
    const [got = 0, sent = 0] = [reply[at], probe[at]];
    const filled = at >= places && sent === ZERO && got >= ZERO && got <= NINE;
    if (got !== sent && !filled) found.push(at);
  }
  return found;
}

/** Says how a reply differs from its probe; null if it does not. */
function difference(reply: Uint8Array, probe: Uint8Array, oneWay: boolean): string | null {
  if (reply.length !== probe.length) return `${reply.length} bytes, not ${probe.length}`;
  const [at] = differences(reply, probe, oneWay, 1);
  if (at === undefined) return null;
  const hex = (octet = 0) => octet.toString(16).padStart(2, "0");
  return `byte ${at} is 0x${hex(reply[at])}, not 0x${hex(probe[at])}`;
}

/** The number at the beginning of a reply, also of one in upper case; NaN if there is none. */
function readSequence(reply: Uint8Array): number {
  return Number(/^sequence=(\d{1,15})(?:\t|$)/i.exec(toByteString(reply.subarray(0, 32)))?.[1]);
}

/** Pings one server from one socket; what came of a probe stands in the table of probes. */
export class Pinger {
  /** What came of it so far. */
  readonly tally = new Tally();
  readonly #socket: Deno.DatagramConn;
  readonly #target: Deno.NetAddr;
  readonly #options: PingOptions;
  readonly #compose: ReturnType<typeof composer>;
  readonly #probes = new Map<number, Probe>();
  readonly #open = new Set<Probe>(); // in the order of sending
  #highest = 0;
  #settled = 0; // all up to this number are
  #started = 0;
  #due = 0; // on the grid of the interval
  readonly #memory: number; // how many probes are remembered
  readonly #window: number; // how many may fly in a flood
  #credit: number; // how many more
  #slowest = 0;
  #wake = () => {};

  /** Takes over an open socket. */
  constructor(socket: Deno.DatagramConn, target: Deno.NetAddr, options: PingOptions) {
    this.#socket = socket;
    this.#target = target;
    this.#options = options;
    this.#compose = composer(options.size, options.oneWay);
    this.#memory = Math.min(MEMORY, Math.floor(MEMORY_OCTETS / (options.size ?? 1)));
    this.#credit = this.#window = Math.max(options.preload, FLOOD.window);
  }

  /** Pings until all probes are settled, the deadline, or the signal; closes the socket then. */
  async run(): Promise<void> {
    const { signal } = this.#options;
    const [end, wake] = [new AbortController(), () => this.#wake()];
    signal.addEventListener("abort", wake);
    const receiving = receiveAll(this.#socket, end.signal, (octets, from) => {
      this.#take(octets, from, performance.now());
    });
    try {
      await Promise.race([this.#send(), receiving]);
    } finally {
      signal.removeEventListener("abort", wake);
      end.abort();
      await receiving.catch(() => {}); // its error, if any, has won the race
    }
    this.#finish();
  }

  async #send(): Promise<void> {
    const { signal, count, timeout, deadline = Infinity } = this.#options;
    const { tally } = this;
    this.#started = this.#due = performance.now();
    const end = this.#started + deadline;
    let drained: number | undefined; // until when the socket is read after a stall
    let linger: number | undefined;
    while (!signal.aborted) {
      const now = performance.now();
      const [oldest] = this.#open;
      const expiry = oldest ? oldest.sent + timeout : Infinity;
      if (now >= end) return;
      // After a stall what waits in the socket goes first: no loss is invented.
      if (now <= expiry + STALL.late) drained = undefined;
      else drained ??= now + STALL.drain;
      if (drained !== undefined && now < drained) {
        await this.#sleep(drained - now);
        continue;
      }
      if (oldest && now >= expiry) {
        this.#settle(oldest, "lost");
        this.#options.report({ event: "timeout", seq: oldest.seq });
        continue;
      }
      const next = tally.sent < count ? this.#nextLaunch(now) : Infinity;
      if (now >= next) {
        await this.#launch(now);
        continue;
      }
      if (tally.sent >= count && this.#open.size === 0) {
        // Who was late or came twice once may do so again.
        const { late, duplicates } = tally.counts;
        const most = Math.max(this.#slowest, LINGER.long);
        linger ??= now + (late + duplicates > 0 ? most : LINGER.short);
        if (now >= linger) return;
      }
      await this.#sleep(Math.min(next, expiry, end, linger ?? Infinity) - now);
    }
  }

  /** When the next probe may go. */
  #nextLaunch(now: number): number {
    const { interval, preload, flood } = this.#options;
    const { sent } = this.tally;
    if (flood) {
      if (this.#credit > 0) return now;
      return this.#started + this.tally.time + FLOOD.pause;
    }
    if (sent < preload) return now;
    if (interval === undefined) return this.#open.size < preload ? now : Infinity;
    const lag = now - this.#due;
    if (lag > Math.max(interval / 2, MAX_LAG)) {
      this.#due += interval * Math.floor(lag / interval);
      if (now - this.#due > interval / 2) this.#due += interval;
    }
    return this.#due;
  }

  async #launch(now: number): Promise<void> {
    const { tally } = this;
    const { interval = 0, preload, flood, report, trace } = this.#options;
    const seq = ++tally.sent;
    const probe: Probe = { seq, octets: this.#compose(seq, now), sent: now, state: "open" };
    if (seq >= preload) this.#due += interval;
    this.#probes.set(seq, probe);
    this.#open.add(probe);
    tally.inFlight = this.#open.size;
    tally.pipe = Math.max(tally.pipe, tally.inFlight);
    if (flood) this.#credit = (this.#credit || this.#window) - 1;
    report({ event: "probe", seq });
    trace?.(">", `${probe.octets.length} octets: ${printable(toByteString(probe.octets))}`);
    probe.sent = performance.now();
    if (seq === 1) this.#started = probe.sent;
    tally.time = probe.sent - this.#started;
    try {
      await this.#socket.send(probe.octets, this.#target); // not awaited, sends overtake each other
    } catch (error) {
      if (error instanceof Deno.errors.NotCapable) throw error;
      tally.counts.errors++;
      this.#settle(probe, "lost");
      report({ event: "error", seq, reason: printable(explain(error) ?? String(error)) });
    }
  }

  /** Judges a datagram. It is a reply only if source, sequence and octets are right. */
  #take(octets: Uint8Array, { hostname, port }: Deno.NetAddr, now: number): void {
    const { oneWay, report, trace } = this.#options;
    const { counts } = this.tally;
    const from = showAddress(hostname, port);
    trace?.("<", `${octets.length} octets, ${from}: ${printable(toByteString(octets))}`);
    let probe = this.#probes.get(readSequence(octets));
    let reason = probe && difference(octets, probe.octets, oneWay);
    if (reason !== null) {
      probe = this.#nearest(octets) ?? probe; // the damage may be in the number
      reason = probe && difference(octets, probe.octets, oneWay);
    }
    const known = hostname === this.#target.hostname && port === this.#target.port;
    const bytes = octets.length;
    if (!probe || (!known && reason !== null)) {
      counts.foreign++;
      return report({ event: "foreign", bytes, from });
    }
    const event = { seq: probe.seq, bytes, from, rtt: now - probe.sent };
    if (!known) {
      counts.foreign++;
      report({ event: "foreign", ...event, reason: "DIFFERENT ADDRESS!" });
    } else if (typeof reason === "string") {
      counts.corrupted++;
      report({ event: "corrupted", ...event, reason });
    } else {
      this.#accept(probe, octets, event);
    }
  }

  /** Takes a valid reply: the first in time, the first but late, or one more. */
  #accept(probe: Probe, octets: Uint8Array, event: { seq: number; rtt: number }): void {
    const { tally } = this;
    const { oneWay, report } = this.#options;
    const { seq, rtt } = event;
    this.#slowest = Math.max(this.#slowest, rtt);
    if (probe.state === "received" || probe.state === "late") {
      tally.counts.duplicates++;
      return report({ event: "duplicate", ...event });
    }
    const outOfOrder = seq < this.#highest;
    this.#highest = Math.max(this.#highest, seq);
    if (oneWay) this.#readTimes(octets, probe.sent, probe.sent + rtt);
    if (probe.state === "lost") {
      probe.state = "late"; // and stays lost
      tally.counts.late++;
      return report({ event: "late", ...event });
    }
    tally.add(rtt);
    this.#settle(probe, "received");
    if (outOfOrder) tally.counts.outOfOrder++;
    report({ event: "reply", ...event, ...(outOfOrder && { outOfOrder }) });
    this.#credit = Math.min(this.#credit + 1, this.#window);
    this.#wake();
  }

  #readTimes(octets: Uint8Array, sent: number, arrived: number): void {
    const text = toByteString(octets.subarray(-PLACES.length));
    const [, rx, tx, n] = /\trx=([\d.]+)\ttx=([\d.]+)\tn=(\d+)$/.exec(text) ?? [];
    const { timeOrigin } = performance;
    const [t2, t3] = [Number(rx) * 1000 - timeOrigin, Number(tx) * 1000 - timeOrigin];
    // A damaged digit passes for a filled place. What cannot be is left out: time spent at the
    // server is part of the round trip (but for rounding), and it counted no more than we sent.
    const possible = t3 >= t2 && t3 - t2 < arrived - sent + 0.01 && Number(n) <= this.tally.sent;
    if (Number(rx) > 0 && possible) this.tally.addTimes(sent, t2, t3, arrived, Number(n));
  }

  /** Finds the probe that a reply without a good number must come from: almost all is the same. */
  #nearest(octets: Uint8Array): Probe | undefined {
    for (let seq = this.tally.sent; seq > this.tally.sent - NEAR; seq--) {
      const probe = this.#probes.get(seq);
      if (probe?.octets.length !== octets.length) continue;
      const wrong = differences(octets, probe.octets, this.#options.oneWay, 3).length;
      if (wrong <= 2) return probe;
    }
  }

  #settle(probe: Probe, state: "received" | "lost"): void {
    const { tally } = this;
    probe.state = state;
    this.#open.delete(probe);
    tally.inFlight = this.#open.size;
    for (let next; (next = this.#probes.get(this.#settled + 1)) && next.state !== "open";) {
      tally.settle(next.state !== "received");
      this.#probes.delete(++this.#settled - this.#memory);
    }
  }

  /** A probe in flight at Ctrl-C is not lost; but if nothing came at all, all of them are. */
  #finish(): void {
    const { tally } = this;
    if (tally.counts.received + tally.counts.late === 0) {
      for (const probe of this.#open) this.#settle(probe, "lost");
    }
    for (let seq = this.#settled + 1; seq <= tally.sent; seq++) {
      const probe = this.#probes.get(seq);
      if (probe && probe.state !== "open") tally.settle(probe.state !== "received");
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

/** Pings ourselves, for nothing: until the code is compiled, round trips take longer. */
async function warmUp(loopback: string, oneWay: boolean, signal: AbortSignal): Promise<void> {
  const permission = { name: "net", host: showAddress(loopback, 0) } as const;
  if (Deno.permissions.querySync(permission).state !== "granted") return;
  const socket = Deno.listenDatagram({ transport: "udp", hostname: loopback, port: 0 });
  const target = socket.addr;
  if (!("hostname" in target)) return;
  const fixed = { timeout: 100, deadline: 200, preload: 1, flood: false, report: () => {} };
  await new Pinger(socket, target, { count: WARM_UP, oneWay, signal, ...fixed }).run();
}

// ---- Engine: heartbeats --------------------------------------------------

/** How to send heartbeats. */
export interface HeartbeatOptions {
  /** From beat to beat, in milliseconds. */
  interval: number;
  /** Who we are; without a name the monitor takes our address. */
  name?: string | undefined;
  /** How many; Infinity is until the signal aborts. */
  count: number;
  /** Ends the beats, with a farewell. */
  signal: AbortSignal;
  /** Hears when sending begins to fail, and when it works again. */
  warn: (text: string) => void;
  /** Sees each datagram. */
  trace?: Trace | undefined;
}

/** Sends heartbeats on an absolute grid; the last one says that it is, so that it is no alarm. */
export async function sendHeartbeats(
  socket: Deno.DatagramConn,
  target: Deno.NetAddr,
  { interval, name, count, signal, warn, trace }: HeartbeatOptions,
): Promise<{ sent: number; errors: number }> {
  const seconds = Number((interval / 1000).toFixed(6));
  const fields = `${name === undefined ? "" : `\tname=${name}`}\tinterval=${seconds}`;
  const began = performance.now();
  let [errors, failing, slot] = [0, false, 0];
  for (let sequence = 1;; sequence++) {
    const last = signal.aborted || sequence >= count;
    const bye = last ? "\tbye=1" : "";
    const line = `sequence=${sequence}\ttime=${timeOfDay()}${fields}${bye}`;
    trace?.(">", printable(line));
    try {
      await socket.send(encoder.encode(line), target);
      if (failing) warn("Heartbeats are sent again");
      failing = false;
    } catch (error) {
      if (error instanceof Deno.errors.NotCapable) throw error;
      errors++;
      if (!failing) warn(`Cannot send heartbeats: ${explain(error) ?? error}`);
      failing = true;
    }
    if (last) return { sent: sequence - errors, errors };
    // After a stall the missed beats are skipped, not sent in a burst.
    slot = Math.max(slot + 1, Math.ceil((performance.now() - began) / interval));
    await pause(began + slot * interval - performance.now(), signal);
  }
}

// ---- Output --------------------------------------------------------------

/** One event as ping(8) would say it; null where it says nothing. */
export function describe(
  { event, seq, bytes, from, rtt = 0, outOfOrder, reason }: PingEvent,
): string | null {
  if (event === "probe") return null;
  if (event === "timeout") return `seq=${seq} timeout`;
  if (event === "error") return `seq=${seq} error: ${reason}`;
  if (seq === undefined) return `foreign: ${bytes} octets from ${from}`;
  const note = {
    reply: outOfOrder ? " (out of order)" : "",
    duplicate: " (DUP!)",
    late: " (late)",
    corrupted: ` (corrupted: ${reason})`,
    foreign: ` (${reason})`,
  }[event];
  return `${bytes} bytes from ${from}: seq=${seq} time=${fixed(rtt)} ms${note}`;
}

/** The statistics: two lines as iputils prints them, then what it does not know. */
export function describeSummary(host: string, summary: Summary, flood = false): string[] {
  const { transmitted, received, loss, rtt, pipe, ewma, time, oneWay } = summary;
  const { duplicates, corrupted, errors, late, outOfOrder, foreign } = summary;
  const counts = { duplicates, corrupted, errors, late, "out of order": outOfOrder, foreign };
  const line = [
    ...[`${transmitted} packets transmitted`, `${received} received`],
    ...Object.entries(counts).flatMap(([word, count]) => count > 0 ? [`+${count} ${word}`] : []),
    ...(transmitted > 0 ? [`${loss}% packet loss`, `time ${time}ms`] : []),
  ];
  const lines = [`--- ${host} ping statistics ---`, line.join(", ")];
  if (rtt) {
    const times = [rtt.min, rtt.avg, rtt.max, rtt.mdev].map(fixed).join("/");
    const gap = fixed(time / Math.max(transmitted - 1, 1));
    const more = flood ? `, pipe ${pipe}, ipg/ewma ${gap}/${fixed(ewma)} ms` : "";
    lines.push(`rtt min/avg/max/mdev = ${times} ms${more}`);
  }
  const details = describeDetails(summary);
  if (details) lines.push(details);
  if (oneWay) {
    lines.push(
      `one way: loss up ${oneWay.lostUp}, loss down ${oneWay.lostDown}; ` +
        `up queue +${fixed(oneWay.queueUp)} ms, down queue +${fixed(oneWay.queueDown)} ms`,
    );
  }
  const options = replay(summary);
  if (options) lines.push(`replay: ${options}`);
  return lines;
}

function fixed(ms: number): string {
  return ms.toFixed(3);
}

/** Jitter and percentiles; where something was lost, its bursts and how sure that number is. */
function describeDetails({ jitter, p50, p95, p99, ...loss }: Summary): string {
  const parts: string[] = [];
  if (jitter !== null) {
    const shown = [p50, p95, p99].filter((value) => value !== null).map(fixed);
    const names = ["p50", "p95", "p99"].slice(0, shown.length);
    const percentiles = p95 === null ? "" : `, ${names.join("/")} = ${shown.join("/")} ms`;
    parts.push(`jitter ${fixed(jitter)} ms${percentiles}`);
  }
  const { lost, bursts, longest, lossInterval } = loss;
  if (lost > 0) {
    const [low, high] = lossInterval.map((end) => Number(end.toPrecision(2)));
    parts.push(`loss in ${bursts} bursts, longest ${longest}, 95% interval ${low}% to ${high}%`);
  }
  return parts.join("; ");
}

/** The line that SIGQUIT asks for, as iputils prints it. */
export function describeStatus({ transmitted, received, loss, rtt, ewma }: Summary): string {
  const counts = `${received}/${transmitted} packets, ${loss}% loss`;
  if (!rtt) return counts;
  const times = [rtt.min, rtt.avg, ewma, rtt.max].map(fixed).join("/");
  return `${counts}, min/avg/ewma/max = ${times} ms`;
}

/** Draws the distribution of round-trip times, in steps of equal ratio. */
export function histogram(sorted: ArrayLike<number>, rows = 12, width = 40): string[] {
  const times = Array.from(sorted);
  const [min = 0, max = 0] = [times[0], times.at(-1)];
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

// ---- Command line --------------------------------------------------------

const DEFAULT_PORT = 12_000;
const DEFAULT_COUNT = 10;
const DEFAULT_TIMEOUT = 1000;
const DEFAULT_BEAT = 5000;
/** More would be lost in the receive queue of the system, at home. */
const MAX_PRELOAD = 256;

const HELP = `Pings a UDP echo server, or sends heartbeats.

Usage: udp_pinger.ts [options] HOST [PORT]          (default port: 12000)

  -c, --count N      probes; 0: until Ctrl-C (default: 10)
  -i, --interval S   send on the clock, every S seconds (default: when the reply
                     came or timed out)
  -W, --timeout S    how long to wait for a reply (default: 1)
  -w, --deadline S   end after so long
  -s, --size N       octets in a probe (default: as few as it takes)
  -l, --preload N    so many probes under way at once (default: 1)
  -f, --flood        as fast as replies come; prints a dot for each loss
  -4, -6             IPv4 or IPv6 only
  -D                 print the time before each line
  -T                 ask the server for its times and counts: which way lost
      --histogram    draw the distribution of the round-trip times
      --fail-loss P  exit 1 if more is lost: 0.1, 10% or 1/10
      --fail-rtt MS  exit 1 if the 95th percentile is above
      --heartbeat    send heartbeats until Ctrl-C, every -i seconds (default: 5)
      --name NAME    the sender's name
      --json         JSON lines: one object an event, then the summary
  -q, --quiet        statistics only
  -v, --verbose      show each datagram on standard error
  -h, --help         show this text
  -V, --version      show the version

Times are seconds (0.2) unless the option says MS; 20ms is taken, too.
SIGQUIT (Ctrl-\\) prints a line of statistics without stopping.

Example: deno run --allow-net --unstable-net udp_pinger.ts -i 0.2 127.0.0.1

Exit status: 0 some reply, 1 none, 2 error.
`;

// deno-fmt-ignore (a table)
const OPTIONS = {
  string: ["count", "interval", "timeout", "deadline", "size", "preload", "fail-loss", "fail-rtt",
    "name"],
  boolean: ["flood", "ipv4", "ipv6", "timestamps", "one-way", "histogram", "heartbeat", "json",
    "quiet", "verbose", "help", "version"],
  short: { c: "count", i: "interval", W: "timeout", w: "deadline", s: "size", l: "preload",
    f: "flood", 4: "ipv4", 6: "ipv6", D: "timestamps", T: "one-way", q: "quiet", v: "verbose",
    h: "help", V: "version" },
} as const;

/** Reads a time in seconds, or with its unit; returns milliseconds. */
function readTime(option: string, text: string, min: number): number {
  const [, number = text, unit] = /^(.+?)(ms|s)$/.exec(text) ?? [];
  const scale = unit === "ms" ? 1 : 1000;
  return scale * readNumber(option, number, { min: min / scale, max: 86_400_000 / scale });
}

/** Reads the command line; does nothing else. */
function parseOptions(args: string[]) {
  const flags = parseArgs(spellOut(args, OPTIONS), OPTIONS);
  const [host, port = String(DEFAULT_PORT), surplus] = flags._.map(String);
  if (surplus !== undefined) {
    throw new UsageError(`Cannot use "${printable(surplus)}": expected HOST [PORT]`);
  }
  const { heartbeat, name, ipv4, ipv6 } = flags;
  if (ipv4 && ipv6) throw new UsageError("Cannot use -4 and -6 together");
  if (name !== undefined && !heartbeat) throw new UsageError('Option "--name" needs --heartbeat');
  if (name !== undefined && !/^[!-~]{1,64}$/.test(name)) { // it must not break the line of fields
    const expected = "expected 1 to 64 visible ASCII characters";
    throw new UsageError(`Cannot use --name "${printable(name)}": ${expected}`);
  }
  const whole = (letter: "c" | "s" | "l", min: number, max: number) => {
    const text = flags[OPTIONS.short[letter]];
    return text === undefined
      ? undefined
      : readNumber(`-${letter}`, text, { min, max, whole: true });
  };
  const time = (letter: "i" | "W" | "w", min: number) => {
    const text = flags[OPTIONS.short[letter]];
    return text === undefined ? undefined : readTime(`-${letter}`, text, min);
  };
  const asked = whole("c", 0, 2 ** 31);
  const count = asked === 0 ? Infinity : asked ?? (heartbeat ? Infinity : DEFAULT_COUNT);
  const [failLoss = "1", failRtt] = [flags["fail-loss"], flags["fail-rtt"]];
  return {
    ...{ ...flags, asked, count, oneWay: flags["one-way"] },
    host: host?.replace(/^\[(.*)\]$/, "$1"),
    port: readNumber("PORT", port, { min: 1, max: 65_535, whole: true }),
    interval: time("i", heartbeat ? 1 : 0),
    timeout: time("W", 1) ?? DEFAULT_TIMEOUT,
    deadline: time("w", 1),
    size: whole("s", shortestProbe(count, flags["one-way"]), MAX_SIZE),
    preload: whole("l", 1, MAX_PRELOAD) ?? 1,
    failLoss: readProbability("--fail-loss", failLoss),
    failRtt: failRtt === undefined
      ? Infinity
      : readNumber("--fail-rtt", failRtt, { min: 0, max: Infinity }),
    family: ipv4 ? 4 : ipv6 ? 6 : undefined,
  };
}

type Options = ReturnType<typeof parseOptions>;

/** Finds the address, once; IPv4 first, since the assignment's server knows nothing else. */
async function resolve(host: string, family: number | undefined): Promise<string> {
  const literal = canonical(host);
  if (literal !== null) {
    if (family === undefined || (family === 6) === literal.includes(":")) return literal;
    throw new UsageError(`Cannot use "${printable(host)}" with -${family}`);
  }
  const { lookup } = await import("node:dns/promises");
  try {
    const found = await lookup(host, { all: true });
    const fit = found.filter((one) => family === undefined || one.family === family);
    const address = (fit.find((one) => one.family === 4) ?? fit[0])?.address;
    if (address !== undefined) return address;
  } catch (error) {
    if (error instanceof Error && error.message.includes("EPERM")) {
      throw new Deno.errors.NotCapable(`Requires net access to "${host}"`);
    }
  }
  throw new Error(`Cannot resolve "${printable(host)}": no IPv${family ?? "4 or IPv6"} address`);
}

/** An address as Deno writes it in what it receives; null for a name. */
function canonical(host: string): string | null {
  const [, inside] = /^::ffff:([\d.]+)$/i.exec(host) ?? [];
  if (inside !== undefined) return canonical(inside);
  if (!host.includes(":") && !/^[\d.]+$/.test(host)) return null;
  try {
    const { hostname } = new URL(`http://${host.includes(":") ? `[${host}]` : host}/`);
    if (hostname === "0.0.0.0") return "127.0.0.1"; // both mean this machine
    return hostname === "[::]" ? "::1" : hostname.replace(/^\[(.*)\]$/, "$1");
  } catch {
    throw new UsageError(`Cannot use "${printable(host)}": expected a host`);
  }
}

/** Runs the probes and prints what comes of them. */
async function ping(
  socket: Deno.DatagramConn,
  target: Deno.NetAddr,
  signal: AbortSignal,
  options: Options,
): Promise<number> {
  const { host = "", port, json, quiet, timestamps, interval, flood } = options;
  const say = (text: string, value: unknown) => print(`${json ? JSON.stringify(value) : text}\n`);
  let [dots, elsewhere] = [false, false];
  const report = (event: PingEvent) => {
    elsewhere ||= event.event === "foreign" && event.seq !== undefined;
    if (quiet) return;
    if (flood && !json) {
      if (event.event === "timeout") print(".");
      dots ||= event.event === "timeout";
      return;
    }
    const text = describe(event);
    const now = timeOfDay();
    const rtt = event.rtt === undefined ? {} : { rtt: micros(event.rtt) };
    const value = { ...event, ...rtt, ...(timestamps && { timestamp: Number(now) }) };
    if (json || text !== null) say(timestamps ? `[${now}] ${text}` : `${text}`, value);
  };
  const trace = options.verbose ? showTrace : undefined;
  const pace = { interval: interval === 0 ? undefined : interval, flood: flood || interval === 0 };
  const pinger = new Pinger(socket, target, { ...options, ...pace, signal, report, trace });
  const { tally } = pinger;
  if (Deno.build.os !== "windows") {
    Deno.addSignalListener("SIGQUIT", () => console.error(describeStatus(tally.summary())));
  }
  await pinger.run();
  const summary = tally.summary();
  if (dots) print("\n");
  const text = describeSummary(showAddress(host, port), summary, pace.flood);
  text.push(...hintsFor(summary, options, elsewhere));
  if (options.histogram && summary.rtt) text.push(...histogram(tally.sorted()));
  say(text.join("\n"), { event: "summary", ...summary, replay: replay(summary) });
  return verdict(summary, options);
}

/** What to try when something did not work. */
function hintsFor(summary: Summary, { oneWay, port }: Options, elsewhere: boolean): string[] {
  const { transmitted, received, late, corrupted, errors } = summary;
  if (oneWay && received > 0 && !summary.oneWay) return ["plain echo server: no one-way data"];
  if (received + late > 0 || transmitted === errors) return [];
  if (elsewhere) return ["all lost: answered by another address, start the server with --host"];
  if (corrupted > 0) return ["all lost: the server answers, but not with what it was sent"];
  return [
    `all lost: nothing answers on port ${port}, or UDP is filtered, or the server drops everything`,
  ];
}

/** The exit status, as ping(8) has it. */
function verdict({ transmitted, received, errors, loss, p95, rtt }: Summary, options: Options) {
  const { asked = 0, deadline, failLoss, failRtt } = options;
  if (errors > 0 && errors === transmitted) return 2;
  if (received === 0 || (deadline !== undefined && received < asked)) return 1;
  if (loss > percent(failLoss)) {
    console.error(`udp_pinger: ${loss}% are lost, more than ${percent(failLoss)}%`);
    return 1;
  }
  const slow = p95 ?? rtt?.max ?? 0; // of fewer than 20 the 95th percentile is the maximum
  if (slow > failRtt) {
    console.error(`udp_pinger: The 95th percentile is ${fixed(slow)} ms, more than ${failRtt} ms`);
    return 1;
  }
  return 0;
}

/** Sends heartbeats and says how many. */
async function beat(
  socket: Deno.DatagramConn,
  target: Deno.NetAddr,
  stop: AbortSignal,
  options: Options,
): Promise<number> {
  const { host = "", port, name, count, deadline, interval = DEFAULT_BEAT, json, quiet } = options;
  const where = showAddress(host, port);
  if (!quiet) console.error(`udp_pinger: heartbeats to ${where} every ${interval / 1000} s`);
  const warn = (text: string) => console.error(`udp_pinger: ${text}`);
  const trace = options.verbose ? showTrace : undefined;
  const end = deadline === undefined ? [] : [AbortSignal.timeout(deadline)];
  const signal = AbortSignal.any([stop, ...end]);
  const beats = { interval, name, count, signal, warn, trace };
  const result = await sendHeartbeats(socket, target, beats);
  socket.close();
  const text = `${result.sent} heartbeats sent to ${where}, ${result.errors} errors`;
  print(`${json ? JSON.stringify({ event: "summary", ...result }) : text}\n`);
  return result.sent > 0 ? 0 : 2;
}

async function main(args: string[]): Promise<number> {
  const options = parseOptions(args);
  if (options.help || options.version) {
    print(options.help ? HELP : `udp_pinger ${VERSION}\n`);
    return 0;
  }
  if (options.host === undefined) throw new UsageError("Cannot ping without a HOST");
  try {
    requireDatagrams();
    const hostname = await resolve(options.host, options.family);
    const signal = shutdownSignal();
    const [any, loopback] = hostname.includes(":") ? ["::", "::1"] : ["0.0.0.0", "127.0.0.1"];
    const socket = Deno.listenDatagram({ transport: "udp", hostname: any, port: 0 });
    const target = { transport: "udp" as const, hostname, port: options.port };
    if (options.heartbeat) return await beat(socket, target, signal, options);
    // Where it cannot be, only the first probe is slower.
    await warmUp(loopback, options.oneWay, signal).catch(() => {});
    return await ping(socket, target, signal, options);
  } catch (error) {
    const line = explain(error);
    if (line === null || error instanceof Deno.errors.BrokenPipe) throw error;
    console.error(`udp_pinger: ${line}`);
    return 2; // where run() would say 1, which is ping's word for "no reply"
  }
}

if (import.meta.main) await run("udp_pinger", main);
