/**
 * A virtual clock and a socket on it, for tests of schedules: no test waits, and every time is exact.
 *
 * @module
 */
import { assert } from "jsr:@std/assert@^1.0.19";

/** Something that happens at a time. Datagrams come after timers that are due at the same time. */
interface Due {
  readonly at: number;
  readonly isDatagram: boolean;
  readonly call: () => void;
}

/** Longest delay of setTimeout (ms). A longer one is 1 ms. */
const MAX_DELAY = 0x7fff_ffff;

/** Number of calls after which a test has failed. */
const MAX_STEPS = 20_000;

/** The clock while {@linkcode onVirtualClock} runs. */
export class Clock {
  /** Time since the start (ms). */
  now = 0;
  /** Time by which the wall clock was set forward (ms). */
  wallClockStep = 0;
  /** Number of calls of `clearTimeout`. */
  cancelled = 0;
  readonly #due = new Map<number, Due>();
  #count = 0;

  /** Calls a function at a time. Returns the number that cancels it. */
  at(time: number, call: () => void, isDatagram = false): number {
    this.#due.set(++this.#count, { at: time, isDatagram, call });
    return this.#count;
  }

  /** Cancels a call. */
  cancel(number?: number): void {
    this.cancelled++;
    if (number !== undefined) this.#due.delete(number);
  }

  /** Stops the process for a time (ms), from a time on. */
  stall(at: number, ms: number): void {
    this.at(at, () => this.now += ms);
  }

  /** Number of calls to come. */
  get waiting(): number {
    return this.#due.size;
  }

  /** Makes the next call. Returns false if no call is left. */
  step(): boolean {
    const rank = ({ at, isDatagram }: Due) => at > this.now ? 2 : isDatagram ? 1 : 0;
    const [next] = [...this.#due].sort(([, one], [, other]) =>
      rank(one) - rank(other) || one.at - other.at ||
      Number(one.isDatagram) - Number(other.isDatagram)
    );
    if (next === undefined) return false;
    const [number, { at, call }] = next;
    this.#due.delete(number);
    this.now = Math.max(this.now, at);
    call();
    return true;
  }
}

/** Lets everything go on that does not wait for the clock. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 2000; turn++) await Promise.resolve();
}

/** Runs a function with a virtual clock: its timers and its time. */
export async function onVirtualClock<T>(run: (clock: Clock) => Promise<T>): Promise<T> {
  const clock = new Clock();
  const real = { setTimeout, clearTimeout, now: performance.now, dateNow: Date.now };
  const startDate = Date.now();
  const start = Math.ceil(performance.now()); // whole, so that sums are exact
  try {
    performance.now = () => start + clock.now;
    Date.now = () => startDate + clock.now + clock.wallClockStep;
    const set = (call: () => void, ms = 0) =>
      clock.at(clock.now + (ms > MAX_DELAY ? 1 : Math.max(ms, 0)), call);
    Object.assign(globalThis, {
      setTimeout: set,
      clearTimeout: (number?: number) => clock.cancel(number),
    });
    let isDone = false;
    const running = run(clock).finally(() => isDone = true);
    await settle();
    for (let step = 0; !isDone; step++) {
      assert(step < MAX_STEPS, `The function goes on for ever, at ${clock.now} ms`);
      assert(clock.step(), "Nothing is due, and the function has not ended");
      await settle();
    }
    return await running;
  } finally {
    performance.now = real.now;
    Date.now = real.dateNow;
    Object.assign(globalThis, { setTimeout: real.setTimeout, clearTimeout: real.clearTimeout });
  }
}

/** Address of the other end of a {@linkcode virtualSocket}. */
export const PEER: Deno.NetAddr = { transport: "udp", hostname: "127.0.0.1", port: 40_000 };

/**
 * Opens a socket without a network.
 *
 * @param onSend Called with each datagram that is sent. The send ends when its promise does.
 * @returns The socket, and what makes a datagram arrive.
 */
export function virtualSocket(onSend: (octets: Uint8Array<ArrayBuffer>) => unknown) {
  const queue: [Uint8Array, Deno.NetAddr][] = [];
  let waiting: PromiseWithResolvers<[Uint8Array, Deno.NetAddr]> | undefined;
  const socket = {
    addr: { ...PEER, port: 12_000 },
    receive() {
      const next = queue.shift();
      if (next) return Promise.resolve(next);
      waiting = Promise.withResolvers();
      return waiting.promise;
    },
    async send(octets: Uint8Array) {
      await onSend(octets.slice());
      return octets.length;
    },
    close() {
      waiting?.reject(new Deno.errors.BadResource("closed"));
    },
  } as unknown as Deno.DatagramConn; // the part of a socket that the engines use
  const arrive = (octets: Uint8Array, from = PEER) => {
    if (waiting) waiting.resolve([octets, from]);
    else queue.push([octets, from]);
    waiting = undefined;
  };
  return { socket, arrive };
}
