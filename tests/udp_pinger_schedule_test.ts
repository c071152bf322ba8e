/**
 * Tests of the schedule of the pinger, on a virtual clock: when probes and heartbeats go out, when
 * probes are lost, when a run ends.
 *
 * @module
 */
import { assertEquals } from "jsr:@std/assert@^1.0.19";
import { toByteString } from "../protocol.ts";
import {
  type HeartbeatOptions,
  Pinger,
  type PingEvent,
  type PingOptions,
  sendHeartbeats,
  type Window,
} from "../udp_pinger.ts";
import { onVirtualClock, PEER, virtualSocket } from "./clock.ts";
import { octetsOf } from "./helpers.ts";

/** A path, and what the pinger does on it. */
interface Schedule {
  rule: string;
  options?: Partial<PingOptions>;
  /** Returns after which times (ms) replies to a probe arrive. Default: none. */
  path?: (probe: number) => number[];
  /** Stalls of the process: their beginning, and their length (ms). */
  stalls?: [at: number, ms: number][];
  /** Probes that cannot be sent. */
  unsendable?: number[];
  /** When the signal aborts (ms). */
  stopAt?: number;
  /** Time, event and probe; a window is `from-to sent/received`. */
  want: string[];
}

/** A path on which each probe is answered after 5 ms. */
const good = () => [5];

/** Runs a pinger on a path. Returns its events with their times (ms), and the time of its end. */
async function runOn(
  { options, path, stalls = [], unsendable = [], stopAt }: Omit<Schedule, "rule" | "want">,
) {
  const log: string[] = [];
  const times: number[] = [];
  const { pinger, waiting } = await onVirtualClock(async (clock) => {
    let probe = 0;
    const { socket, arrive } = virtualSocket((octets) => {
      probe++;
      times.push(clock.now);
      if (unsendable.includes(probe)) throw new Error("Network is unreachable (os error 101)");
      for (const delay of path?.(probe) ?? []) {
        clock.at(clock.now + delay, () => arrive(octets), true);
      }
    });
    for (const [at, ms] of stalls) clock.stall(at, ms);
    const stop = new AbortController();
    if (stopAt !== undefined) clock.at(stopAt, () => stop.abort());
    const report = ({ event, seq }: PingEvent) => log.push(`${clock.now} ${event} ${seq}`);
    const reportWindow = ({ from, to, statistics }: Window) => {
      const { transmitted, received } = statistics.summary();
      log.push(`${clock.now} window ${from}-${to} ${transmitted}/${received}`);
    };
    const pinger = new Pinger(socket, PEER, {
      ...{ count: 3, timeout: 250, preload: 1, flood: false, oneWay: false, report, reportWindow },
      ...{ signal: stop.signal, ...options },
    });
    await pinger.run();
    log.push(`${clock.now} end`);
    return { pinger, waiting: clock.waiting };
  });
  return { log, times, waiting, summary: pinger.statistics.summary() };
}

/** A path on which one probe is answered, after a delay (ms). */
const only = (answered: number, ...delays: number[]) => (probe: number) =>
  probe === answered ? delays : [];
/** A path on which one probe is lost. */
const except = (lost: number) => (probe: number) => probe === lost ? [] : [5];

const SCHEDULES: Schedule[] = [
  // Without an interval
  {
    rule: "the next probe follows the reply, and the run ends 10 ms after the last",
    path: good,
    want: [
      "0 probe 1",
      "5 reply 1",
      "5 probe 2",
      "10 reply 2",
      "10 probe 3",
      "15 reply 3",
      "25 end",
    ],
  },
  {
    rule: "without a reply the next probe follows the timeout",
    options: { count: 2 },
    want: ["0 probe 1", "250 timeout 1", "250 probe 2", "500 timeout 2", "510 end"],
  },
  {
    rule: "a reply one millisecond before the timeout is in time",
    options: { count: 1 },
    path: only(1, 249),
    want: ["0 probe 1", "249 reply 1", "259 end"],
  },
  {
    rule: "a reply at the timeout is late",
    options: { count: 1 },
    path: only(1, 250),
    want: ["0 probe 1", "250 timeout 1", "250 late 1", "260 end"],
  },
  {
    rule: "a preload of 2 goes out at once, then each reply is followed by a probe",
    options: { count: 4, preload: 2 },
    path: (probe) => [probe === 1 ? 5 : 9],
    want: [
      ...["0 probe 1", "0 probe 2", "5 reply 1", "5 probe 3", "9 reply 2", "9 probe 4"],
      ...["14 reply 3", "18 reply 4", "28 end"],
    ],
  },
  // With an interval
  {
    rule: "with an interval probes go out on the clock, and the run ends after the last outcome",
    options: { interval: 100 },
    path: except(2),
    want: [
      ...["0 probe 1", "5 reply 1", "100 probe 2", "200 probe 3", "205 reply 3"],
      ...["350 timeout 2", "360 end"],
    ],
  },
  {
    rule: "an interval may be longer than the longest timer, of 25 days",
    options: { interval: 60 * 86_400_000, count: 2 },
    path: good,
    want: [
      ...["0 probe 1", "5 reply 1", "5184000000 probe 2", "5184000005 reply 2"],
      "5184000015 end",
    ],
  },
  {
    rule: "with an interval a preload of 3 goes out at once, the fourth an interval after it",
    options: { interval: 100, count: 4, preload: 3 },
    path: good,
    want: [
      ...["0 probe 1", "0 probe 2", "0 probe 3", "5 reply 1", "5 reply 2", "5 reply 3"],
      ...["100 probe 4", "105 reply 4", "115 end"],
    ],
  },
  {
    rule: "a probe that is 50 ms late does not move those after it",
    options: { interval: 100 },
    path: good,
    stalls: [[90, 60]],
    want: [
      ...["0 probe 1", "5 reply 1", "150 probe 2", "155 reply 2", "200 probe 3", "205 reply 3"],
      "215 end",
    ],
  },
  {
    rule: "after a lag of 51 ms a probe is skipped",
    options: { interval: 100 },
    path: good,
    stalls: [[90, 61]],
    want: [
      ...["0 probe 1", "5 reply 1", "200 probe 2", "205 reply 2", "300 probe 3", "305 reply 3"],
      "315 end",
    ],
  },
  {
    rule: "after a lag of 149 ms one probe is skipped and the next one goes out at once",
    options: { interval: 100 },
    path: good,
    stalls: [[90, 159]],
    want: [
      ...["0 probe 1", "5 reply 1", "249 probe 2", "254 reply 2", "300 probe 3", "305 reply 3"],
      "315 end",
    ],
  },
  // After a stall
  {
    rule: "a probe that expired 5 ms ago is lost at once",
    options: { count: 1 },
    path: only(1, 10),
    stalls: [[5, 250]],
    want: ["0 probe 1", "255 timeout 1", "255 late 1", "265 end"],
  },
  {
    rule: "a probe that expired 6 ms ago was stalled: the socket is read first",
    options: { count: 1 },
    path: only(1, 10),
    stalls: [[5, 251]],
    want: ["0 probe 1", "256 reply 1", "266 end"],
  },
  {
    rule: "after a stall the socket is read for 20 ms, then the probe is lost",
    options: { count: 1 },
    stalls: [[5, 300]],
    want: ["0 probe 1", "325 timeout 1", "335 end"],
  },
  {
    rule: "after a stall all probes that expired are lost together, and later ones at their time",
    options: { preload: 2, count: 3, timeout: 100 },
    path: only(3, 50),
    stalls: [[5, 300]],
    want: [
      ...["0 probe 1", "0 probe 2", "325 timeout 1", "325 timeout 2", "325 probe 3"],
      ...["375 reply 3", "385 end"],
    ],
  },
  // The end
  {
    rule: "after a duplicate the run ends 50 ms after the last outcome",
    path: (probe) => probe === 1 ? [5, 6] : [5],
    want: [
      ...["0 probe 1", "5 reply 1", "5 probe 2", "6 duplicate 1", "10 reply 2", "10 probe 3"],
      ...["15 reply 3", "65 end"],
    ],
  },
  {
    rule: "after a duplicate that took 80 ms the run ends 80 ms after the last outcome",
    path: (probe) => probe === 1 ? [5, 80] : [80],
    options: { count: 2 },
    want: ["0 probe 1", "5 reply 1", "5 probe 2", "80 duplicate 1", "85 reply 2", "165 end"],
  },
  {
    rule: "after a late reply the run ends as long after the last outcome as that took",
    options: { count: 2 },
    path: (probe) => probe === 1 ? [300] : [60],
    want: ["0 probe 1", "250 timeout 1", "250 probe 2", "300 late 1", "310 reply 2", "610 end"],
  },
  {
    rule: "the signal ends the run at once, with a probe in flight",
    path: except(2),
    stopAt: 60,
    want: ["0 probe 1", "5 reply 1", "5 probe 2", "60 end"],
  },
  // With a deadline
  {
    rule: "with a deadline the run ends there, with a probe in flight",
    options: { deadline: 120, count: 2 },
    path: except(2),
    want: ["0 probe 1", "5 reply 1", "5 probe 2", "120 end"],
  },
  {
    rule: "with a deadline further probes are sent until enough are answered",
    options: { deadline: 10_000, count: 2 },
    path: except(1),
    want: [
      ...["0 probe 1", "250 timeout 1", "250 probe 2", "255 reply 2", "255 probe 3"],
      ...["260 reply 3", "270 end"],
    ],
  },
  {
    rule: "with a deadline and an interval, probes in flight after the last reply are not lost",
    options: { deadline: 10_000, count: 1, interval: 10 },
    path: only(1, 15),
    want: ["0 probe 1", "10 probe 2", "15 reply 1", "25 end"],
  },
  // Errors of sending
  {
    rule: "after a send error the next probe waits as long as for a reply",
    unsendable: [1],
    path: good,
    want: [
      ...["0 probe 1", "0 error 1", "250 probe 2", "255 reply 2", "255 probe 3", "260 reply 3"],
      "270 end",
    ],
  },
  {
    rule: "after a send error in a preload the others wait, too",
    options: { preload: 3 },
    unsendable: [1],
    path: good,
    want: [
      ...["0 probe 1", "0 error 1", "250 probe 2", "250 probe 3", "255 reply 2", "255 reply 3"],
      "265 end",
    ],
  },
  {
    rule: "after a send error probes with an interval stay on the clock",
    options: { interval: 100 },
    unsendable: [1],
    path: good,
    want: [
      ...["0 probe 1", "0 error 1", "100 probe 2", "105 reply 2", "200 probe 3", "205 reply 3"],
      "215 end",
    ],
  },
  {
    rule: "a lag within a preload does not skip a probe",
    options: { interval: 100, preload: 2 },
    unsendable: [1],
    path: good,
    want: [
      ...["0 probe 1", "0 error 1", "250 probe 2", "255 reply 2", "300 probe 3", "305 reply 3"],
      "315 end",
    ],
  },
  {
    rule: "after a send error a flood waits 10 ms",
    options: { flood: true, timeout: 60_000 },
    unsendable: [1],
    path: good,
    want: [
      ...["0 probe 1", "0 error 1", "10 probe 2", "10 probe 3", "15 reply 2", "15 reply 3"],
      "25 end",
    ],
  },
  // Windows
  {
    rule: "a window is reported when it is over",
    options: { interval: 150, count: 2, every: 100 },
    path: good,
    want: [
      ...["0 probe 1", "5 reply 1", "100 window 0-100 1/1", "150 probe 2", "155 reply 2"],
      ...["165 window 100-200 1/1", "165 end"],
    ],
  },
  {
    rule: "a probe that is sent at the end of a window counts in the next one",
    options: { interval: 100, count: 2, every: 100 },
    path: good,
    want: [
      ...["0 probe 1", "5 reply 1", "100 window 0-100 1/1", "100 probe 2", "105 reply 2"],
      ...["115 window 100-200 1/1", "115 end"],
    ],
  },
  {
    rule: "a window without probes is reported at its end",
    options: { interval: 250, count: 2, every: 100 },
    path: good,
    want: [
      ...["0 probe 1", "5 reply 1", "100 window 0-100 1/1", "200 window 100-200 0/0"],
      ...["250 probe 2", "255 reply 2", "265 window 200-300 1/1", "265 end"],
    ],
  },
  {
    rule: "a window waits for its probes, and the next one for it",
    options: { interval: 90, count: 3, every: 100 },
    path: except(2),
    want: [
      ...["0 probe 1", "5 reply 1", "90 probe 2", "180 probe 3", "185 reply 3", "340 timeout 2"],
      ...["340 window 0-100 2/1", "340 window 100-200 1/1", "340 window 200-300 0/0"],
      ...["350 end"],
    ],
  },
];
for (const { rule, want, ...run } of SCHEDULES) {
  Deno.test(`schedule: ${rule}`, async () => assertEquals((await runOn(run)).log, want));
}

Deno.test("schedule: losses on both sides of a probe in flight at the end are one burst", async () => {
  const { summary } = await runOn({
    options: { interval: 10, timeout: 25, deadline: 40, count: 100 },
    path: only(1, 5),
    unsendable: [4],
  });
  const { transmitted, received, lost, bursts, longest } = summary;
  assertEquals([transmitted, received, lost, bursts, longest], [3, 1, 2, 1, 2]);
});

Deno.test("schedule: after a reply and a late one, probes in flight at the end are not counted", async () => {
  const { summary } = await runOn({
    options: { interval: 10, timeout: 25, deadline: 42, count: 100 },
    path: (probe) => probe === 1 ? [5] : probe === 2 ? [30] : [],
  });
  const { transmitted, received, late, lost } = summary;
  assertEquals([transmitted, received, late, lost], [2, 1, 1, 1]);
});

Deno.test("schedule: no timer is left at the end", async () => {
  assertEquals((await runOn({ path: good })).waiting, 0);
});

Deno.test("schedule: the time of a run is from the first send to the last, its pipe the most in flight", async () => {
  const { summary } = await runOn({ options: { interval: 100, count: 4 }, path: () => [210] });
  assertEquals([summary.time, summary.pipe], [300, 3]);
});

/** The times (ms) at which a flood sends its first probes. */
async function flood(run: Omit<Schedule, "rule" | "want">): Promise<number[]> {
  const options = { flood: true, count: 10_000, timeout: 60_000, ...run.options };
  return (await runOn({ ...run, options })).times;
}

Deno.test("schedule: a flood without replies sends 64 probes, then one each 10 ms", async () => {
  const times = await flood({ options: { deadline: 670 } });
  assertEquals(times, [...Array.from({ length: 64 }, () => 0), 640, 650, 660]);
});

Deno.test("schedule: a flood with a preload of 100 begins with 100 probes", async () => {
  const times = await flood({ options: { deadline: 1020, preload: 100 } });
  assertEquals(times, [...Array.from({ length: 100 }, () => 0), 1000, 1010]);
});

Deno.test("schedule: a flood with a preload of 63 begins with 64 probes", async () => {
  assertEquals((await flood({ options: { deadline: 100, preload: 63 } })).length, 64);
});

Deno.test("schedule: a flood sends a probe for each reply", async () => {
  const times = await flood({ options: { count: 130 }, path: () => [30] });
  assertEquals([0, 30, 60].map((at) => times.filter((time) => time === at).length), [64, 64, 2]);
});

Deno.test("schedule: replies do not let a flood catch up later, for more than its window", async () => {
  const path = (probe: number) => probe <= 1000 ? [10] : [];
  const times = await flood({ path, options: { deadline: 1000 } });
  const last = times.findLastIndex((time) => time === 160);
  assertEquals(times.slice(last + 1, last + 4), [800, 810, 820]);
});

Deno.test("schedule: after a stall a flood does not catch up", async () => {
  const times = await flood({ options: { deadline: 1230 }, stalls: [[655, 545]] });
  assertEquals(times.slice(64), [640, 650, 1200, 1210, 1220]);
});

// ---- The times of the server, of -T --------------------------------------

/** Pings a server once that says it held the probe for a time (ms); the round trip takes 5 ms. */
async function pingHeld(held: number) {
  const pinger = await onVirtualClock(async (clock) => {
    const { socket, arrive } = virtualSocket((octets) => {
      const receivedAt = performance.timeOrigin + performance.now();
      const [rx, tx] = [receivedAt, receivedAt + held].map((ms) => (ms / 1000).toFixed(6));
      const fields = `\trx=${rx}\ttx=${tx}\tn=0000000001`;
      const reply = octetsOf(toByteString(octets).replace(/\trx=.*/, fields));
      clock.at(clock.now + 5, () => arrive(reply), true);
    });
    const pinger = new Pinger(socket, PEER, {
      ...{ count: 1, timeout: 250, preload: 1, flood: false, oneWay: true, report: () => {} },
      signal: new AbortController().signal,
    });
    await pinger.run();
    return pinger;
  });
  return pinger.statistics.summary();
}

for (const [held, isTaken] of [[0, true], [5.005, true], [5.02, false], [-0.005, false]] as const) {
  const outcome = isTaken ? "are taken" : "are impossible";
  Deno.test(`Pinger -T: times of the server ${held} ms apart ${outcome} within 5 ms`, async () => {
    const { received, oneWay } = await pingHeld(held);
    assertEquals([received, oneWay !== null], [1, isTaken]);
  });
}

// ---- Heartbeats ----------------------------------------------------------

interface Beats {
  rule: string;
  options: Partial<HeartbeatOptions>;
  /** When the signal aborts (ms). */
  stopAt?: number;
  stalls?: [at: number, ms: number][];
  /** The time of each datagram (ms), its number without `-c`, and "bye". */
  want: string[];
}

const BEATS: Beats[] = [
  {
    rule: "beats follow the interval, and a farewell in three copies the signal",
    options: { interval: 1000 },
    stopAt: 2500,
    want: ["0 1", "1000 2", "2000 3", "2500 4 bye", "2600 4 bye", "2700 4 bye"],
  },
  {
    rule: "with -c the copies of a beat are 100 ms apart, and the last one ends the run",
    options: { interval: 1000, count: 2 },
    want: ["0", "100", "200", "1000", "1100", "1200"],
  },
  {
    rule: "copies of a beat fit in the interval",
    options: { interval: 150, count: 2 },
    want: ["0", "50", "100", "150", "200", "250"],
  },
  {
    rule: "copies of a beat have their own gap",
    options: { interval: 1000, count: 1, copyGap: 7 },
    want: ["0", "7", "14"],
  },
  {
    rule: "an interval may be longer than the longest timer, of 25 days",
    options: { interval: 60 * 86_400_000 },
    stopAt: 60 * 86_400_000 + 1,
    want: [
      ...["0 1", "5184000000 2", "5184000001 3 bye", "5184000101 3 bye", "5184000201 3 bye"],
    ],
  },
  {
    rule: "after a stall the beats that were missed are skipped",
    options: { interval: 1000 },
    stalls: [[1500, 1800]],
    stopAt: 4500,
    want: ["0 1", "1000 2", "3300 3", "4000 4", "4500 5 bye", "4600 5 bye", "4700 5 bye"],
  },
];
for (const { rule, options, stopAt, stalls = [], want } of BEATS) {
  Deno.test(`heartbeat: ${rule}`, async () => {
    const log: string[] = [];
    await onVirtualClock(async (clock) => {
      const stop = new AbortController();
      if (stopAt !== undefined) clock.at(stopAt, () => stop.abort());
      for (const [at, ms] of stalls) clock.stall(at, ms);
      const { socket } = virtualSocket((octets) => {
        const [, number] = /^sequence=(\d+)\t/.exec(toByteString(octets)) ?? [];
        const shown = options.count === undefined ? ` ${number}` : "";
        const bye = toByteString(octets).endsWith("\tbye=1") ? " bye" : "";
        log.push(`${clock.now}${shown}${bye}`);
      });
      await sendHeartbeats(socket, PEER, {
        ...{ interval: 1000, count: Infinity, signal: stop.signal, warn: () => {}, ...options },
      });
    });
    assertEquals(log, want);
  });
}
