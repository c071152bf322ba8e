/**
 * Tests of the echo server and the monitor on a virtual clock: delays, rates, limits of sending, and
 * the times at which silence is noticed.
 *
 * @module
 */
import { assertEquals } from "jsr:@std/assert@^1.0.19";
import { toByteString } from "../protocol.ts";
import {
  describe,
  type EchoOptions,
  EchoServer,
  Monitor,
  watchHeartbeats,
} from "../udp_ping_server.ts";
import { type Clock, onVirtualClock, virtualSocket } from "./clock.ts";
import { octetsOf } from "./helpers.ts";
import { PERFECT, web } from "./udp_ping_server_helpers.ts";

// ---- The echo ------------------------------------------------------------

/** Requests, and what the server does with them. */
interface Echo {
  rule: string;
  options: Partial<EchoOptions>;
  /** When (ms) which requests arrive, and how often. */
  requests: [at: number, text: string, times?: number][];
  /** The replies with their times (ms). */
  want: string[];
}

/** Runs a server for ten seconds. */
async function echoed({ options, requests }: Pick<Echo, "options" | "requests">) {
  const replies: string[] = [];
  const server = await onVirtualClock(async (clock) => {
    const stop = new AbortController();
    const { socket, arrive } = virtualSocket((octets) => {
      replies.push(`${clock.now} ${toByteString(octets)}`);
    });
    for (const [at, text, times = 1] of requests) {
      for (let time = 0; time < times; time++) clock.at(at, () => arrive(octetsOf(text)), true);
    }
    clock.at(10_000, () => stop.abort());
    const server = new EchoServer(socket, { ...PERFECT, ...options }, stop.signal);
    await server.serve();
    return server;
  });
  return { replies, counts: server.counts };
}

/** Returns requests that differ. */
const different = (at: number, count: number): Echo["requests"] =>
  Array.from({ length: count }, (_, index) => [at, `${index}@${at}`]);

const ECHOES: Echo[] = [
  {
    rule: "without a delay a reply is sent at once",
    options: {},
    requests: [[3, "a"]],
    want: ["3 a"],
  },
  {
    rule: "--delay 1: the timer is set to 0 ms, because timers are 1.2 ms late",
    options: { delay: 1 },
    requests: [[3, "a"]],
    want: ["3 a"],
  },
  {
    rule: "--delay 100: the timer is set to 99 ms, because timers are 1.2 ms late",
    options: { delay: 100 },
    requests: [[3, "a"]],
    want: ["102 a"],
  },
  {
    rule: "--delay 99.7: the timer is set to the nearest millisecond, 99 ms",
    options: { delay: 99.7 },
    requests: [[3, "a"]],
    want: ["102 a"],
  },
  {
    rule: "--reorder 1: a reply that no other follows is sent after 500 ms",
    options: { reorder: 1 },
    requests: [[3, "a"]],
    want: ["503 a"],
  },
  {
    rule: "--reorder 1: the time of the first reply that waits counts, the last one is sent first",
    options: { reorder: 1 },
    requests: [[0, "a"], [400, "b"], [499, "c"], [501, "d"]],
    want: ["500 c", "500 b", "500 a", "1001 d"],
  },
  {
    rule: "--rate 2: after two replies there is one each half second",
    options: { rate: 2 },
    requests: [[0, "a"], [0, "b"], [0, "c"], [499, "d"], [500, "e"], [999, "f"], [1000, "g"]],
    want: ["0 a", "0 b", "500 e", "1000 g"],
  },
  {
    rule: "--rate 2: after a long silence there are two replies at once, not more",
    options: { rate: 2 },
    requests: different(9000, 4),
    want: ["9000 0@9000", "9000 1@9000"],
  },
  {
    rule: "--rate 0.5: there is one reply each two seconds",
    options: { rate: 0.5 },
    requests: [[0, "a"], [0, "b"], [1999, "c"], [2000, "d"], [8000, "e"], [8000, "f"]],
    want: ["0 a", "2000 d", "8000 e"],
  },
];
for (const { rule, want, ...run } of ECHOES) {
  Deno.test(`echo: ${rule}`, async () => assertEquals((await echoed(run)).replies, want));
}

const STORMS: { rule: string; options?: Partial<EchoOptions>; over: number }[] = [
  { rule: "one second", over: 1000 },
  { rule: "one second and four times --delay", options: { delay: 10 }, over: 1040 },
  {
    rule: "one second and four times --delay and --jitter",
    options: { delay: 10, jitter: 5 },
    over: 1060,
  },
];
for (const { rule, options, over } of STORMS) {
  Deno.test(`abuse: repeats are limited for ${rule} after a storm`, async () => {
    const storm: Echo["requests"] = [[0, "x", 101]];
    const limitedAt = async (at: number) => {
      const { counts } = await echoed({
        options: { rate: 50, ...options },
        requests: [...storm, [at, "x"]],
      });
      return counts.limited - 51;
    };
    assertEquals([await limitedAt(over - 1), await limitedAt(over)], [1, 0]);
  });
}

Deno.test("abuse: the first repeat after another request is limited during a storm", async () => {
  const requests: Echo["requests"] = [[0, "x", 101], [500, "y"], [500, "x"]];
  const { replies } = await echoed({ options: { rate: 50 }, requests });
  assertEquals(replies.slice(50), ["500 y"]);
});

/** Runs a server whose sends do not end until they are told to. */
async function withSlowSends(
  act: (
    slow: { server: EchoServer; sends: (() => void)[]; arrive: (octets: Uint8Array) => void },
    pause: () => Promise<void>,
  ) => Promise<void>,
) {
  await onVirtualClock(async (clock) => {
    const stop = new AbortController();
    const sends: (() => void)[] = [];
    const { socket, arrive } = virtualSocket(() => {
      const { promise, resolve } = Promise.withResolvers<void>();
      sends.push(resolve);
      return promise;
    });
    const server = new EchoServer(socket, PERFECT, stop.signal);
    const serving = server.serve();
    const pause = () => new Promise<void>((resolve) => clock.at(clock.now + 1, resolve));
    await act({ server, sends, arrive }, pause);
    stop.abort();
    for (const end of sends) end();
    await serving;
  });
}

Deno.test("echo: the first sends wait for each other, later ones overlap", async () => {
  await withSlowSends(async ({ sends, arrive }, pause) => {
    const endNext = async () => {
      sends.shift()?.();
      await pause();
    };
    for (const text of ["a", "b"]) arrive(octetsOf(text));
    await pause();
    assertEquals(sends.length, 1);
    await endNext();
    assertEquals(sends.length, 1);
    await endNext();
    for (const text of ["c", "d"]) arrive(octetsOf(text));
    await pause();
    assertEquals(sends.length, 2);
  });
});

Deno.test("limits: with 65 unfinished sends no further request is read", async () => {
  await withSlowSends(async ({ server, sends, arrive }, pause) => {
    arrive(octetsOf("x"));
    await pause();
    sends.shift()?.();
    await pause();
    for (let index = 0; index < 100; index++) arrive(octetsOf(`${index}`));
    await pause();
    assertEquals(server.counts.received, 1 + 65);
    for (const end of sends) end();
    await pause();
    assertEquals(server.counts.received, 1 + 100);
  });
});

Deno.test("limits: the timer of a reply that was sent is forgotten, the others are stopped", async () => {
  await onVirtualClock(async (clock) => {
    const stop = new AbortController();
    const { socket, arrive } = virtualSocket(() => {});
    for (const at of [0, 1, 2]) clock.at(at, () => arrive(octetsOf("x")), true);
    clock.at(101, () => stop.abort());
    const { cancelled } = clock;
    await new EchoServer(socket, { ...PERFECT, delay: 100.2 }, stop.signal).serve();
    assertEquals([clock.cancelled - cancelled, clock.waiting], [1, 0]);
  });
});

Deno.test("--rate: 10,000 different requests are no repeats", async () => {
  await onVirtualClock(async (clock) => {
    const stop = new AbortController();
    const { socket, arrive } = virtualSocket(() => {});
    const options = { ...PERFECT, rate: 1e6, limits: { repeats: 20 } };
    const server = new EchoServer(socket, options, stop.signal);
    const serving = server.serve();
    for (let index = 0; index < 10_000; index++) arrive(octetsOf(`${index}`));
    while (server.counts.echoed + server.counts.limited < 10_000) {
      await new Promise<void>((resolve) => clock.at(clock.now + 1, resolve));
    }
    stop.abort();
    await serving;
    assertEquals(server.counts.limited, 0);
  });
});

// ---- The monitor ---------------------------------------------------------

/** What happens to a monitor, and what it reports when. */
interface Watch {
  rule: string;
  /** Times of beats (ms) of a sender with an interval of one second. */
  beats: number[];
  act?: (clock: Clock) => void;
  want: string[];
}

/** Runs a monitor for ten seconds. */
async function watched({ beats, act }: Pick<Watch, "beats" | "act">): Promise<string[]> {
  const log: string[] = [];
  await onVirtualClock(async (clock) => {
    const stop = new AbortController();
    const { socket, arrive } = virtualSocket(() => {});
    for (const [index, at] of beats.entries()) {
      clock.at(at, () => arrive(octetsOf(web(index + 1))), true);
    }
    act?.(clock);
    clock.at(10_000, () => stop.abort());
    const monitor = new Monitor({
      report: (event) => log.push(`${clock.now} ${describe(event)}`),
    });
    await watchHeartbeats(socket, monitor, stop.signal);
  });
  return log;
}

const WATCHES: Watch[] = [
  {
    rule: "silence is noticed within 50 ms",
    beats: [10],
    want: ["10 web1: started", "3050 web1: stopped (silent for 3.0 s)"],
  },
  {
    rule: "a sweep that is 25 ms late judges at once",
    beats: [10],
    act: (clock) => clock.stall(3005, 70),
    want: ["10 web1: started", "3075 web1: stopped (silent for 3.1 s)"],
  },
  {
    rule: "a sweep that is 26 ms late waits 50 ms for datagrams in the socket",
    beats: [10],
    act: (clock) => clock.stall(3005, 71),
    want: ["10 web1: started", "3126 web1: stopped (silent for 3.1 s)"],
  },
  {
    rule: "a beat that waits in the socket during a stall prevents a stop",
    beats: [10, 3005, 6000],
    act: (clock) => clock.stall(2990, 900),
    want: ["10 web1: started", "9040 web1: stopped (silent for 3.0 s)"],
  },
  {
    rule: "a stall of a second does not count as a suspension",
    beats: [10, 3005],
    act: (clock) => clock.stall(2001, 1049),
    want: ["10 web1: started", "6100 web1: stopped (silent for 3.0 s)"],
  },
  {
    rule: "a stall of more than a second is a suspension, and silence counts from its end",
    beats: [10],
    act: (clock) => clock.stall(2001, 1050),
    want: [
      "10 web1: started",
      "3051 monitor: was suspended for 1.0 s",
      "6101 web1: stopped (silent for 6.1 s)",
    ],
  },
  {
    rule: "a step of the wall clock by a second does not count as sleep",
    beats: [10],
    act: (clock) => clock.at(2001, () => clock.wallClockStep = 1000),
    want: ["10 web1: started", "3050 web1: stopped (silent for 3.0 s)"],
  },
  {
    rule: "after a step of the wall clock by more than a second silence counts anew, unreported",
    beats: [10],
    act: (clock) => clock.at(2001, () => clock.wallClockStep = 1001),
    want: ["10 web1: started", "5100 web1: stopped (silent for 5.1 s)"],
  },
];
for (const { rule, want, ...run } of WATCHES) {
  Deno.test(`monitor: ${rule}`, async () => assertEquals(await watched(run), want));
}
