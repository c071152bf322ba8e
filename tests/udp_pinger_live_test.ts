/**
 * Tests of what the pinger shows while it runs: the line of `--live`, the windows of `--every`, and
 * the advice at the end.
 *
 * @module
 */
import { assert, assertEquals, assertMatch } from "jsr:@std/assert@^1.0.19";
import { Advisor, type Bar, describeWindow, drawLive, Statistics } from "../udp_pinger.ts";
import type { PingEvent, Summary, Window } from "../udp_pinger.ts";
import { echo, hasScript, inTerminal, runPinger, runScript } from "./udp_pinger_helpers.ts";

// ---- The line of --live --------------------------------------------------

/** Makes statistics of round-trip times; null is a loss. */
function statisticsOf(rtts: (number | null)[]): Statistics {
  const statistics = new Statistics();
  for (const rtt of rtts) {
    statistics.sent++;
    if (rtt !== null) statistics.addReply(rtt);
    statistics.addOutcome(rtt === null);
  }
  return statistics;
}

const summaryOf = (rtts: (number | null)[]): Summary => statisticsOf(rtts).summary();

const DRAWN: { rule: string; bars: Bar[]; width: number; want: string }[] = [
  {
    rule: "a bar of the median has half height",
    bars: [10, 10, 10],
    width: 79,
    want: "loss    0%  p50 10.000 ms  p95 10.000 ms  ▄▄▄",
  },
  {
    rule: "heights follow the round-trip time, up to twice the median",
    bars: [1, 2.5, 2.51, 5, 7.5, 10, 10, 10, 12.5, 15, 17.5, 20, 99],
    width: 79,
    want: "loss    0%  p50 10.000 ms  p95 99.000 ms  ▁▁▂▂▃▄▄▄▅▆▇██",
  },
  {
    rule: "a lost probe is marked, a probe in flight is blank",
    bars: [10, null, 10, undefined],
    width: 79,
    want: "loss 33.3%  p50 10.000 ms  p95 10.000 ms  ▄x▄ ",
  },
  {
    rule: "the newest probes stay when there are more than columns",
    bars: [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, null, 20],
    width: 10,
    want: " 8.3% ▄▄x█",
  },
  {
    rule: "a narrow terminal gets a shorter text",
    bars: [10, 10],
    width: 40,
    want: "   0% 10.000/10.000 ms ▄▄",
  },
  {
    rule: "the long text takes at most three fifths of the line: 70 columns",
    bars: [10],
    width: 70,
    want: "loss    0%  p50 10.000 ms  p95 10.000 ms  ▄",
  },
  {
    rule: "69 columns get the shorter text",
    bars: [10],
    width: 69,
    want: "   0% 10.000/10.000 ms ▄",
  },
  {
    rule: "39 columns get the shorter text",
    bars: [10],
    width: 39,
    want: "   0% 10.000/10.000 ms ▄",
  },
  { rule: "38 columns get the loss alone", bars: [10], width: 38, want: "   0% ▄" },
  { rule: "10 columns get the loss alone", bars: [10], width: 10, want: "   0% ▄" },
  { rule: "9 columns show bars alone", bars: [10], width: 9, want: "▄" },
  { rule: "a bar is never lower than the lowest", bars: [0, 10, 10], width: 9, want: "▁▄▄" },
  {
    rule: "seven columns show bars alone",
    bars: [9, 9, 9, 9, 9, 9, 9, 9],
    width: 7,
    want: "▄▄▄▄▄▄▄",
  },
  { rule: "no column shows nothing", bars: [9], width: 0, want: "" },
];
for (const { rule, bars, width, want } of DRAWN) {
  Deno.test(`--live: ${rule}`, () => {
    const summary = summaryOf(bars.filter((bar) => bar !== undefined));
    const line = drawLive(bars, summary, width, false);
    assertEquals(line, want);
    assert(line.length <= width);
  });
}

Deno.test("--live: losses are red where there are colours", () => {
  const line = drawLive([1, null], summaryOf([1, null]), 79, true);
  assert(line.endsWith("▄\x1b[31m█\x1b[39m"), line);
});

Deno.test("--live: before the first reply the line has zeros", () => {
  assertEquals(
    drawLive([undefined], summaryOf([]), 79, false),
    "loss    0%  p50 0.000 ms  p95 0.000 ms   ",
  );
});

Deno.test(
  { name: "--live: with --every, windows go above the line", ignore: !hasScript },
  async () => {
    const shown = await inTerminal(["--live", "--every=.1", "-c8", "-W.3", "-i.02"]);
    assertMatch(shown.replaceAll("\r\x1b[J", "<clear>"), /<clear>0 to 0\.1 s: \d packets? transm/);
  },
);

Deno.test("--every: a window is reported when it is over, before the next one ends", async () => {
  let reported = 0;
  let reportedBefore = 0;
  await runScript([echo, echo], {
    interval: 150,
    every: 100,
    report: ({ event, seq }: PingEvent) => {
      if (event === "probe" && seq === 2) reportedBefore = reported;
    },
    reportWindow: () => reported++,
  });
  assert(reportedBefore >= 1);
});

Deno.test("--every: a window without probes is reported", async () => {
  const windows: Window[] = [];
  await runScript([echo, echo], {
    interval: 150,
    every: 50,
    reportWindow: (window: Window) => windows.push(window),
  });
  const sent = windows.map(({ statistics }) => statistics.sent);
  assertEquals([sent[0], sent[1], Math.max(...sent.slice(2))], [1, 0, 1]);
});

Deno.test("--every: the line of a window has its span, counts and times", () => {
  assertEquals(
    describeWindow({ from: 0, to: 2500, statistics: statisticsOf([1, null, 3]) }),
    "0 to 2.5 s: 3 packets transmitted, 2 received, 33.3% packet loss, " +
      "rtt min/avg/max/mdev = 1.000/2.000/3.000/1.000 ms",
  );
  assertEquals(
    describeWindow({ from: 1000, to: 2000, statistics: statisticsOf([]) }),
    "1 to 2 s: 0 packets transmitted, 0 received",
  );
});

Deno.test("--every --json: a window has the keys of the summary", async () => {
  const { stdout } = await runPinger(["-q", "--json", "--every=.1", "-i.05", "-c4"]);
  const lines = stdout.trim().split("\n").map((line) => JSON.parse(line));
  const { replay: _, ...summary } = lines.at(-1);
  const [window] = lines;
  assertEquals([window.event, window.from, window.to], ["window", 0, 0.1]);
  assertEquals(
    Object.keys(window).filter((key) => key !== "from" && key !== "to"),
    Object.keys(summary),
  );
});

// ---- Advice --------------------------------------------------------------

/** Lets an advisor see replies at times (ms), with a loss among them. */
function adviceOn(times: number[], lost = 1): string | null {
  const advisor = new Advisor("127.0.0.1:12000", 40_000);
  for (const time of times) advisor.observe({ event: "reply", seq: 1, rtt: 1 }, time);
  const rtts = [...times.map(() => 1), ...Array.from({ length: lost }, () => null)];
  return advisor.advise(summaryOf(rtts), false, 0, false);
}

const ramp = (count: number, step: number) => Array.from({ length: count }, (_, at) => at * step);
const RATES = [
  { rule: "1,000 replies at once, then losses", times: ramp(1000, 0), isRate: true },
  { rule: "900 replies at once", times: ramp(900, 0), isRate: false },
  { rule: "901 replies at once", times: ramp(901, 0), isRate: true },
  { rule: "1,099 replies at once", times: ramp(1099, 0), isRate: true },
  {
    rule: "1,100 replies at once: the server has no such limit",
    times: ramp(1100, 0),
    isRate: false,
  },
  {
    rule: "700 replies, a second without any, and 700 more",
    times: [...ramp(700, 0), ...ramp(700, 0).map(() => 1000)],
    isRate: false,
  },
  {
    rule: "700 replies, 0.4 s without any, and 700 more",
    times: [...ramp(700, 0), ...ramp(700, 0).map(() => 400)],
    isRate: true,
  },
  { rule: "5,000 replies at 1,250 a second", times: ramp(5000, 0.8), isRate: true },
  { rule: "5,000 replies at 500 a second", times: ramp(5000, 2), isRate: false },
];
for (const { rule, times, isRate } of RATES) {
  Deno.test(`advice: ${rule}: --rate is ${isRate ? "" : "not "}named`, () => {
    assertEquals(adviceOn(times)?.includes("--rate 0") ?? false, isRate);
    assertEquals(adviceOn(times, 0), null);
  });
}

Deno.test("advice: one reply and one loss need none", () => {
  assertEquals(adviceOn([0]), null);
});

const LOST: { rule: string; server?: string; localPort?: number; size?: number; want: RegExp }[] = [
  { rule: "our own port is 1023", localPort: 1023, want: /ignores clients on port 1023/ },
  {
    rule: "our own port is 1024",
    localPort: 1024,
    want: /^all lost: nothing answers on port 12000,/,
  },
  {
    rule: "our own port is the server's",
    localPort: 12_000,
    want: /ignores clients on port 12000/,
  },
  { rule: "the server's port is 1023", server: "[::1]:1023", want: /port 1023; ports below 1024/ },
  {
    rule: "the server's port is 1024",
    server: "[::1]:1024",
    want: /nothing answers on port 1024, or/,
  },
  { rule: "probes of 1232 octets", size: 1232, want: /filtered, or the server drops everything$/ },
  { rule: "probes of 1233 octets", size: 1233, want: /above the MTU .* -s 1232-1233 shows/ },
];
for (const { rule, server = "127.0.0.1:12000", localPort = 40_000, size = 0, want } of LOST) {
  Deno.test(`advice: all lost, ${rule}`, () => {
    const advisor = new Advisor(server, localPort);
    assertMatch(advisor.advise(summaryOf([null]), false, size, false) ?? "", want);
  });
}

/** What came instead of replies, and the advice. */
const EVENTS: { rule: string; events: PingEvent[]; counts?: Partial<Summary>; want: string }[] = [
  {
    rule: "junk from the server",
    events: [{ event: "foreign", from: "127.0.0.1:12000" }],
    want: "all lost: the server answers, but does not echo the probes",
  },
  {
    rule: "junk from another address",
    events: [{ event: "foreign", from: "127.0.0.1:12001" }],
    want:
      "all lost: nothing answers on port 12000, or UDP is filtered, or the server drops everything",
  },
  {
    rule: "a reply from another address",
    events: [{ event: "foreign", seq: 1, from: "127.0.0.1:12001" }],
    want: "all lost: answered by another address, start the server with --host",
  },
  {
    rule: "a corrupted reply",
    events: [{ event: "corrupted", seq: 1, from: "127.0.0.1:12000" }],
    counts: { corrupted: 1 },
    want: "all lost: the server answers, but not with what it was sent",
  },
  {
    rule: "a late reply after 1000 ms",
    events: [{ event: "late", seq: 1, rtt: 1000 }],
    counts: { late: 1 },
    want: "all late: replies took up to 1000.000 ms; try -W 1.5",
  },
  {
    rule: "late replies after up to 1001 ms, and a duplicate",
    events: [
      { event: "late", seq: 1, rtt: 1001 },
      { event: "late", seq: 2, rtt: 700 },
      { event: "duplicate", seq: 2, rtt: 5000 },
    ],
    counts: { late: 2 },
    want: "all late: replies took up to 1001.000 ms; try -W 2",
  },
];
for (const { rule, events, counts, want } of EVENTS) {
  Deno.test(`advice: all lost, ${rule}`, () => {
    const advisor = new Advisor("127.0.0.1:12000", 40_000);
    for (const event of events) advisor.observe(event, 0);
    assertEquals(advisor.advise({ ...summaryOf([null]), ...counts }, false, 0, false), want);
  });
}

const TOO_LONG = [
  { isIpv6: false, size: 65_507, want: "nothing was sent: message too long" },
  { isIpv6: false, size: 65_508, want: "nothing was sent: message too long; try -s 65507" },
  { isIpv6: true, size: 65_527, want: "nothing was sent: message too long" },
  { isIpv6: true, size: 65_528, want: "nothing was sent: message too long; try -s 65527" },
];
for (const { isIpv6, size, want } of TOO_LONG) {
  Deno.test(`advice: ${size} octets are too long over IPv${isIpv6 ? 6 : 4}`, () => {
    const advisor = new Advisor("127.0.0.1:12000", 40_000);
    const event: PingEvent = { event: "error", seq: 1, reason: "message too long" };
    advisor.observe(event, 0);
    const summary = { ...summaryOf([null]), errors: 1 };
    assertEquals(advisor.advise(summary, false, size, isIpv6), want);
  });
}

Deno.test("advice: with -T and no reply, the loss is named, not the missing times", () => {
  const advisor = new Advisor("127.0.0.1:12000", 40_000);
  assertMatch(
    advisor.advise(summaryOf([null]), true, 0, false) ?? "",
    /^all lost: nothing answers/,
  );
});

Deno.test("advice: nothing was sent, no advice", () => {
  assertEquals(new Advisor("127.0.0.1:1", 40_000).advise(summaryOf([]), false, 0, false), null);
});
