/**
 * Tests of the statistics: summaries of given round-trip times and losses, without a network.
 *
 * @module
 */
import { assertEquals, assertLess } from "jsr:@std/assert@^1.0.19";
import {
  describeStatus,
  describeSummary,
  histogram,
  percentile,
  replay,
  Statistics,
  wilson,
} from "../udp_pinger.ts";
// ---- Statistics ----------------------------------------------------------

interface Numbers {
  rule: string;
  /** In order of sequence: a round-trip time, or null for a loss. */
  rtts: (number | null)[];
  more?: Partial<Record<"duplicates" | "late" | "corrupted" | "outOfOrder" | "errors", number>>;
  time?: number;
  want: string[];
}
const ramp = (count: number) => Array.from({ length: count }, (_, index) => index + 1);
const STATISTICS: Numbers[] = [
  {
    rule: "mdev is the population standard deviation",
    rtts: [1, 2, 3, 4],
    time: 3004,
    want: [
      "4 packets transmitted, 4 received, 0% packet loss, time 3004ms",
      "rtt min/avg/max/mdev = 1.000/2.500/4.000/1.118 ms",
      "jitter 1.000 ms",
      "replay: deno run --allow-net --unstable-net udp_ping_server.ts --delay 2 --jitter 2 --loss 0",
    ],
  },
  {
    rule: "one reply has no jitter and no deviation",
    rtts: [0.142],
    want: [
      "1 packet transmitted, 1 received, 0% packet loss, time 0ms",
      "rtt min/avg/max/mdev = 0.142/0.142/0.142/0.000 ms",
      "replay: deno run --allow-net --unstable-net udp_ping_server.ts --delay 0.142 --jitter 0 --loss 0",
    ],
  },
  {
    rule: "no rtt line and no replay when nothing came",
    rtts: [null, null],
    want: [
      "2 packets transmitted, 0 received, 100% packet loss, time 0ms",
      "loss in 1 burst, longest 2, 95% interval 34% to 100%",
    ],
  },
  {
    rule: "3 of 10 lost in two bursts",
    rtts: [null, 1, 1, null, null, 1, 1, 1, 1, 1],
    time: 3802,
    want: [
      "10 packets transmitted, 7 received, 30% packet loss, time 3802ms",
      "rtt min/avg/max/mdev = 1.000/1.000/1.000/0.000 ms",
      "jitter 0.000 ms; loss in 2 bursts, longest 2, 95% interval 11% to 60%",
      "replay: deno run --allow-net --unstable-net udp_ping_server.ts --delay 1 --jitter 0 --loss 0.3 --burst 1.5",
    ],
  },
  {
    rule: "replay does not count a corrupted reply as lost",
    rtts: [null, 1, null, 1, 1],
    more: { corrupted: 1 },
    want: [
      "5 packets transmitted, 3 received, +1 corrupted, 40% packet loss, time 0ms",
      "rtt min/avg/max/mdev = 1.000/1.000/1.000/0.000 ms",
      "jitter 0.000 ms; loss in 2 bursts, longest 1, 95% interval 12% to 77%",
      "replay: deno run --allow-net --unstable-net udp_ping_server.ts --delay 1 --jitter 0 --loss 0.2 --burst 1 --corrupt 0.25",
    ],
  },
  {
    rule: "counters come in a fixed order",
    rtts: [1, 1, null],
    more: { duplicates: 1, corrupted: 2, errors: 3, late: 4, outOfOrder: 5 },
    want: [
      "3 packets transmitted, 2 received, +1 duplicate, +2 corrupted, +3 errors, +4 late, " +
      "+5 out of order, 33.3% packet loss, time 0ms",
      "rtt min/avg/max/mdev = 1.000/1.000/1.000/0.000 ms",
      "jitter 0.000 ms; loss in 1 burst, longest 1, 95% interval 6.1% to 79%",
      "replay: deno run --allow-net --unstable-net udp_ping_server.ts --delay 1 --jitter 0 --loss 0 " +
      "--duplicate 0.5 --corrupt 0.5 --reorder 1",
    ],
  },
  {
    rule: "replay has no --reorder where jitter alone reorders",
    rtts: [10, 14, 6, 10, 12],
    more: { outOfOrder: 1 },
    time: 8,
    want: [
      "5 packets transmitted, 5 received, +1 out of order, 0% packet loss, time 8ms",
      "rtt min/avg/max/mdev = 6.000/10.400/14.000/2.653 ms",
      "jitter 4.500 ms",
      "replay: deno run --allow-net --unstable-net udp_ping_server.ts --delay 10 --jitter 2 --loss 0",
    ],
  },
  {
    rule: "replay has --reorder where jitter is half the gap between probes",
    rtts: [10, 14, 6, 10, 12],
    more: { outOfOrder: 1 },
    time: 16,
    want: [
      "5 packets transmitted, 5 received, +1 out of order, 0% packet loss, time 16ms",
      "rtt min/avg/max/mdev = 6.000/10.400/14.000/2.653 ms",
      "jitter 4.500 ms",
      "replay: deno run --allow-net --unstable-net udp_ping_server.ts --delay 10 --jitter 2 --loss 0 --reorder 0.2",
    ],
  },
  {
    rule: "replay has no --reorder where jitter is more than half the gap",
    rtts: [10, 14, 6, 10, 12],
    more: { outOfOrder: 1 },
    time: 15,
    want: [
      "5 packets transmitted, 5 received, +1 out of order, 0% packet loss, time 15ms",
      "rtt min/avg/max/mdev = 6.000/10.400/14.000/2.653 ms",
      "jitter 4.500 ms",
      "replay: deno run --allow-net --unstable-net udp_ping_server.ts --delay 10 --jitter 2 --loss 0",
    ],
  },
  {
    rule: "replay has --reorder where jitter is half a millisecond, the resolution of timers",
    rtts: [10, 10.5],
    more: { outOfOrder: 1 },
    want: [
      "2 packets transmitted, 2 received, +1 out of order, 0% packet loss, time 0ms",
      "rtt min/avg/max/mdev = 10.000/10.250/10.500/0.250 ms",
      "jitter 0.500 ms",
      "replay: deno run --allow-net --unstable-net udp_ping_server.ts --delay 10 --jitter 0.5 --loss 0 --reorder 0.5",
    ],
  },
  {
    rule: "replay has no --reorder where jitter is more than half a millisecond",
    rtts: [10, 10.6],
    more: { outOfOrder: 1 },
    want: [
      "2 packets transmitted, 2 received, +1 out of order, 0% packet loss, time 0ms",
      "rtt min/avg/max/mdev = 10.000/10.300/10.600/0.300 ms",
      "jitter 0.600 ms",
      "replay: deno run --allow-net --unstable-net udp_ping_server.ts --delay 10 --jitter 0.6 --loss 0",
    ],
  },
  {
    rule: "replay has three digits, two for jitter and bursts",
    rtts: [null, null, 11.728, null, null, 12.345, null, 12.962, 12.962],
    want: [
      "9 packets transmitted, 4 received, 55.6% packet loss, time 0ms",
      "rtt min/avg/max/mdev = 11.728/12.499/12.962/0.512 ms",
      "jitter 0.411 ms; loss in 3 bursts, longest 2, 95% interval 27% to 81%",
      "replay: deno run --allow-net --unstable-net udp_ping_server.ts --delay 12.3 --jitter 1.2 --loss 0.556 --burst 1.7",
    ],
  },
  {
    rule: "replay has no more jitter than delay",
    rtts: [1, 2, 9, 9],
    want: [
      "4 packets transmitted, 4 received, 0% packet loss, time 0ms",
      "rtt min/avg/max/mdev = 1.000/5.250/9.000/3.767 ms",
      "jitter 2.667 ms",
      "replay: deno run --allow-net --unstable-net udp_ping_server.ts --delay 2 --jitter 2 --loss 0",
    ],
  },
  {
    rule: "95th percentile from 20 replies on",
    rtts: ramp(20),
    want: [
      "20 packets transmitted, 20 received, 0% packet loss, time 0ms",
      "rtt min/avg/max/mdev = 1.000/10.500/20.000/5.766 ms",
      "jitter 1.000 ms, p50/p95 = 10.000/19.000 ms",
      "replay: deno run --allow-net --unstable-net udp_ping_server.ts --delay 10 --jitter 10 --loss 0",
    ],
  },
  {
    rule: "no percentiles from 19 replies",
    rtts: ramp(19),
    want: [
      "19 packets transmitted, 19 received, 0% packet loss, time 0ms",
      "rtt min/avg/max/mdev = 1.000/10.000/19.000/5.477 ms",
      "jitter 1.000 ms",
      "replay: deno run --allow-net --unstable-net udp_ping_server.ts --delay 10 --jitter 10 --loss 0",
    ],
  },
  {
    rule: "99th percentile from 100 replies on",
    rtts: ramp(100),
    want: [
      "100 packets transmitted, 100 received, 0% packet loss, time 0ms",
      "rtt min/avg/max/mdev = 1.000/50.500/100.000/28.866 ms",
      "jitter 1.000 ms, p50/p95/p99 = 50.000/95.000/99.000 ms",
      "replay: deno run --allow-net --unstable-net udp_ping_server.ts --delay 50 --jitter 50 --loss 0",
    ],
  },
  {
    rule: "1 of 200 lost is 0.5%",
    rtts: [null, ...Array.from({ length: 199 }, () => 2)],
    want: [
      "200 packets transmitted, 199 received, 0.5% packet loss, time 0ms",
      "rtt min/avg/max/mdev = 2.000/2.000/2.000/0.000 ms",
      "jitter 0.000 ms, p50/p95/p99 = 2.000/2.000/2.000 ms; " +
      "loss in 1 burst, longest 1, 95% interval 0.088% to 2.8%",
      "replay: deno run --allow-net --unstable-net udp_ping_server.ts --delay 2 --jitter 0 --loss 0.005 --burst 1",
    ],
  },
  {
    rule: "replay raises --burst to the shortest that can lose this share",
    rtts: [null, 1, null, 1, null],
    want: [
      "5 packets transmitted, 2 received, 60% packet loss, time 0ms",
      "rtt min/avg/max/mdev = 1.000/1.000/1.000/0.000 ms",
      "jitter 0.000 ms; loss in 3 bursts, longest 1, 95% interval 23% to 88%",
      "replay: deno run --allow-net --unstable-net udp_ping_server.ts --delay 1 --jitter 0 --loss 0.6 --burst 1.5",
    ],
  },
];

/** Makes statistics of given round-trip times. */
function statisticsOf(
  { rtts, more = {}, time = 0 }: Pick<Numbers, "rtts" | "more" | "time">,
): Statistics {
  const statistics = new Statistics();
  for (const rtt of rtts) {
    statistics.sent++;
    if (rtt !== null) statistics.addReply(rtt);
    statistics.addOutcome(rtt === null);
  }
  Object.assign(statistics.counts, more);
  return Object.assign(statistics, { time });
}

for (const { rule, want, ...numbers } of STATISTICS) {
  Deno.test(`statistics: ${rule}`, () => {
    const lines = describeSummary("127.0.0.1:12000", statisticsOf(numbers).summary());
    assertEquals(lines, ["--- 127.0.0.1:12000 ping statistics ---", ...want]);
  });
}

Deno.test("statistics: a flood shows pipe and ipg/ewma as ping(8) does", () => {
  const shown = (rtts: number[], time: number) => {
    const flood = statisticsOf({ rtts, time });
    flood.pipe = 2;
    return describeSummary("h", flood.summary(), true)[2];
  };
  assertEquals(
    shown([1, 9, 5], 10),
    "rtt min/avg/max/mdev = 1.000/5.000/9.000/3.266 ms, pipe 2, ipg/ewma 5.000/2.375 ms",
  );
  assertEquals(
    shown([1, 1], 10),
    "rtt min/avg/max/mdev = 1.000/1.000/1.000/0.000 ms, pipe 2, ipg/ewma 10.000/1.000 ms",
  );
  assertEquals(
    shown([1], 0),
    "rtt min/avg/max/mdev = 1.000/1.000/1.000/0.000 ms, pipe 2, ipg/ewma 0.000/1.000 ms",
  );
});

Deno.test("statistics: nothing was sent", () => {
  assertEquals(describeSummary("h", new Statistics().summary()), [
    "--- h ping statistics ---",
    "0 packets transmitted, 0 received",
  ]);
});

Deno.test("statistics: the status line of SIGQUIT", () => {
  const rtts = [0.025, 0.029, null, 0.03, 0.027];
  assertEquals(
    describeStatus(statisticsOf({ rtts }).summary()),
    "4/5 packets, 20% loss, min/avg/ewma/max = 0.025/0.028/0.026/0.030 ms",
  );
  assertEquals(describeStatus(statisticsOf({ rtts: [null] }).summary()), "0/1 packet, 100% loss");
});

Deno.test("RFC 3550 §6.4.1: jitter gains a sixteenth of each difference", () => {
  const jitter = (...rtts: number[]) => statisticsOf({ rtts }).summary().jitter3550;
  assertEquals(jitter(10), null);
  assertEquals(jitter(10, 26), 1);
  assertEquals(jitter(26, 10), 1);
  assertEquals(jitter(10, 26, 26), 0.938); // 1 - 1/16
  assertEquals(jitter(10, 26, 10), 1.938); // 1 + (16 - 1) / 16
});

Deno.test("statistics: JSON keeps six digits of a percentage", () => {
  assertEquals(statisticsOf({ rtts: [null, null, 1] }).summary().loss, 66.6667);
});

Deno.test("statistics: up and down together are what was lost, never more", () => {
  const statistics = statisticsOf({ rtts: [1, 1, null] });
  statistics.addServerTimes(0, 1, 1, 2, 1); // one of two was counted: a count was missed
  assertEquals([statistics.summary().oneWay?.lostUp, statistics.summary().oneWay?.lostDown], [
    1,
    0,
  ]);
});

const QUANTILES = [
  { of: [], p: 0.5, want: 0 },
  { of: [7], p: 0.5, want: 7 },
  { of: [1, 2], p: 0.5, want: 1 },
  { of: [1, 2, 3], p: 0.5, want: 2 },
  { of: ramp(20), p: 0.95, want: 19 },
  { of: ramp(21), p: 0.95, want: 20 },
  { of: ramp(100), p: 0.99, want: 99 },
  { of: ramp(100), p: 1, want: 100 },
  { of: ramp(100), p: 0, want: 1 },
];
for (const { of, p, want } of QUANTILES) {
  Deno.test(`RFC 2330 §11.3: percentile ${p} of ${of.length}`, () => {
    assertEquals(percentile(of, p), want);
  });
}

const INTERVALS = [
  { lost: 0, sent: 10, want: "0 to 28" },
  { lost: 1, sent: 10, want: "1.8 to 40" },
  { lost: 3, sent: 10, want: "11 to 60" },
  { lost: 10, sent: 10, want: "72 to 100" },
  { lost: 0, sent: 100, want: "0 to 3.7" },
  { lost: 0, sent: 0, want: "0 to 100" },
];
for (const { lost, sent, want } of INTERVALS) {
  Deno.test(`statistics: Wilson interval of ${lost} lost in ${sent}`, () => {
    assertEquals(wilson(lost, sent).map((end) => Number(end.toPrecision(2))).join(" to "), want);
  });
}

Deno.test("statistics: the interval of loss ends at 0 and 100, exactly", () => {
  assertEquals(wilson(0, 0), [0, 100]);
  assertEquals([wilson(0, 7)[0], wilson(7, 7)[1]], [0, 100]);
});

Deno.test("statistics: the summary of a run without probes, and of one with a single reply", () => {
  const none = {
    ...{ received: 0, duplicates: 0, late: 0, corrupted: 0, outOfOrder: 0, upperCase: 0 },
    ...{ errors: 0, foreign: 0, transmitted: 0, lost: 0, loss: 0, lossInterval: [0, 100] },
    ...{ bursts: 0, longest: 0, time: 0, pipe: 0, rtt: null, ewma: 0, jitter: null },
    ...{ jitter3550: null, p25: null, p50: null, p75: null, p95: null, p99: null, oneWay: null },
  };
  assertEquals({ ...new Statistics().summary() }, { ...none, lossInterval: [0, 100] });
  const { lossInterval: _, ...one } = statisticsOf({ rtts: [2] }).summary();
  const { lossInterval: __, ...rest } = none;
  const times = { min: 2, avg: 2, max: 2, mdev: 0 };
  assertEquals({ ...one }, {
    ...rest,
    ...{ received: 1, transmitted: 1, rtt: times, ewma: 2, p25: 2, p50: 2, p75: 2 },
  });
});

Deno.test("statistics: quartiles are nearest ranks", () => {
  const { p25, p50, p75 } = statisticsOf({ rtts: ramp(8) }).summary();
  assertEquals([p25, p50, p75], [2, 4, 6]);
});

Deno.test("statistics: percentiles of more replies than are kept come from a sample", () => {
  const many = new Statistics();
  for (let index = 0; index < 200_000; index++) many.addReply(1 + (index * 7919 % 1000) / 1000);
  many.sent = 200_000;
  const { p50, rtt } = many.summary();
  assertLess(Math.abs((p50 ?? 0) - 1.5), 0.02);
  assertEquals(rtt?.min, 1);
});

Deno.test("statistics: of 65,537 round-trip times 65,536 are kept", () => {
  const many = new Statistics();
  for (let rtt = 1; rtt <= 65_536; rtt++) many.addReply(rtt);
  assertEquals([...many.sortedRtts()], ramp(65_536));
  many.addReply(65_537);
  assertEquals(many.sortedRtts().length, 65_536);
});

Deno.test("replay: no options when nothing came", () => {
  assertEquals(replay(new Statistics().summary()), null);
});

Deno.test("histogram: rows of equal ratio hold every reply", () => {
  const lines = histogram([1, 1, 1, 2, 4, 8, 16], 4, 3);
  assertEquals(lines, [
    "     1.000 ms |###| 3",
    "     2.000 ms |#  | 1",
    "     4.000 ms |#  | 1",
    "     8.000 ms |## | 2",
  ]);
  assertEquals(histogram([3]).length, 1);
});

Deno.test("histogram: it has 12 rows of 40 columns by default", () => {
  const lines = histogram([1, 1, 4096]);
  assertEquals(lines.length, 12);
  assertEquals(lines[0], `     1.000 ms |${"#".repeat(40)}| 2`);
  assertEquals(lines[10], `  1024.000 ms |${" ".repeat(40)}| 0`);
  assertEquals(lines[11], `  2048.000 ms |${"#".repeat(20)}${" ".repeat(20)}| 1`);
});
