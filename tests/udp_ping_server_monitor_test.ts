/** Tests of the monitor of heartbeats. */
import { assert, assertEquals, assertLess } from "jsr:@std/assert@^1.0.19";
import { describe, Monitor, type MonitorEvent, type MonitorOptions } from "../udp_ping_server.ts";
import { octetsOf } from "./helpers.ts";
import { web } from "./udp_ping_server_helpers.ts";

const FROM = { hostname: "::ffff:192.0.2.7", port: 4444, transport: "udp" as const };

/** Returns a beat sent by cron this many seconds after the first one. */
const cron = (second: number, more = ""): string => {
  const time = 1_700_000_000 + second;
  return `sequence=${time}\ttime=${time}.000000\tname=backup\tinterval=86400${more}`;
};

/**
 * What arrives at which second, and from which host (192.0.2.7). `null` is a sweep, "..." the end of
 * a suspension of the monitor, "zzz" a wake that is not known to be one.
 */
type Steps = [second: number, datagram: string | null, host?: string][];
type Options = Omit<MonitorOptions, "report" | "warn">;
/** Returns a beat of sender x whose number is `distance` more than its time. */
const timed = (second: number, distance: number): string => {
  const time = 1_700_000_000 + second;
  return `sequence=${time + distance}\ttime=${time}.0\tname=x\tinterval=60`;
};

/** Returns a beat of web1 with an interval of 100 ms. */
const fast = (sequence: number): string => web(sequence).replace("interval=1", "interval=0.1");

/** Beats in the course's form at an interval in seconds. */
const course = (count: number, interval: number): Steps =>
  Array.from({ length: count }, (_, index): Steps[number] => [index * interval, `${index} - 1.0`]);

/** Beats of web1 up to a number, one a second. */
const beatsTo = (last: number): Steps =>
  Array.from({ length: last - 1 }, (_, index): Steps[number] => [index + 1, web(index + 2)]);

const HEARTBEATS: {
  rule: string;
  options?: Options;
  steps: Steps;
  want: string[];
}[] = [
  { rule: "a sender is reported once", steps: [[0, web(1)], [1, web(2)]], want: ["web1: started"] },
  {
    rule: "gaps in the sequence are loss",
    steps: [[0, web(1)], [1, web(2)], [5, web(6)]],
    want: ["web1: started", "web1: 3 lost (sequence 3 to 5)"],
  },
  {
    rule: "a gap of one is one lost beat",
    steps: [[0, web(7)], [2, web(9)]],
    want: ["web1: started", "web1: 1 lost (sequence 8)"],
  },
  {
    rule: "a slow beat is not loss",
    steps: [[0, web(1)], [2.9, web(2)], [5.7, web(3)]],
    want: ["web1: started"],
  },
  {
    rule: "a late beat takes its loss back",
    steps: [[0, web(1)], [1, web(3)], [1.1, web(2)]],
    want: ["web1: started", "web1: 1 lost (sequence 2)", "web1: 1 came late (sequence 2)"],
  },
  {
    rule: "a duplicate is not reported",
    steps: [[0, web(1)], [1, web(2)], [1, web(2)], [2, web(3)], [2, web(2)]],
    want: ["web1: started"],
  },
  {
    rule: "silence of three intervals is a stop, reported once",
    steps: [[0, web(1)], [3, null], [3.001, null], [9, null]],
    want: ["web1: started", "web1: stopped (silent for 3.0 s)"],
  },
  {
    rule: "without --expect nothing is reported of senders that were never heard",
    steps: [[5, null], [50, null]],
    want: [],
  },
  {
    rule: "a return is reported with the time and the lost beats",
    steps: [[0, web(1)], [4, null], [61.3, web(11)]],
    want: [
      "web1: started",
      "web1: stopped (silent for 4.0 s)",
      "web1: is back (after 61.3 s, 9 lost)",
    ],
  },
  {
    rule: "a restart at 1",
    steps: [[0, web(8)], [1, web(9)], [2, web(1)], [3, web(2)]],
    want: ["web1: started", "web1: restarted (sequence fell to 1)"],
  },
  {
    rule: "a restart whose first beats were lost",
    steps: [[0, web(100)], [1, web(5)], [2, web(6)]],
    want: ["web1: started", "web1: restarted (sequence fell to 5)"],
  },
  {
    rule: "a restart after a stop",
    steps: [[0, web(50)], [4, null], [9, web(0)]],
    want: [
      "web1: started",
      "web1: stopped (silent for 4.0 s)",
      "web1: is back (after 9.0 s, 0 lost)",
      "web1: restarted (sequence fell to 0)",
    ],
  },
  {
    rule: "after a farewell silence is not a stop",
    steps: [[0, web(1)], [1, web(2, "\tbye=1")], [60, null]],
    want: ["web1: started", "web1: left"],
  },
  {
    rule: "a sender that left starts again",
    steps: [[0, web(1)], [1, web(2, "\tbye=1")], [60, web(1)]],
    want: ["web1: started", "web1: left", "web1: started"],
  },
  {
    rule: "one beat with a farewell, sent again a minute later, is a new start",
    steps: [[0, web(1, "\tbye=1")], [60, web(1, "\tbye=1")]],
    want: ["web1: started", "web1: left", "web1: started", "web1: left"],
  },
  {
    rule: "a restart after a stop at the first number",
    steps: [[0, web(1)], [4, null], [9, web(1)]],
    want: [
      "web1: started",
      "web1: stopped (silent for 4.0 s)",
      "web1: is back (after 9.0 s, 0 lost)",
      "web1: restarted (sequence fell to 1)",
    ],
  },
  {
    rule: "copies of a farewell are not reported",
    steps: [[0, web(1)], [1, web(2, "\tbye=1")], [1, web(2, "\tbye=1")]],
    want: ["web1: started", "web1: left"],
  },
  {
    rule: "two senders are independent",
    steps: [[0, web(1)], [0, web(1).replace("web1", "db")], [2, web(2)], [3.5, null]],
    want: ["web1: started", "db: started", "db: stopped (silent for 3.5 s)"],
  },
  {
    rule: "other datagrams are neither a beat nor a stop",
    steps: [[0, web(1)], [1, "hello"], [1, ""], [1, "\xff\xfe"], [1, "sequence=x\ttime=1"], [
      3.1,
      null,
    ]],
    want: ["web1: started", "web1: stopped (silent for 3.1 s)"],
  },
  {
    rule: "the assignment's `N - TIME`; the sender is named by its address",
    steps: [[0, "1 - 1700000000.5"], [5, "2 - 1700000005.5"], [10, "4 - 2021-05-01 12:00:00"]],
    want: ["192.0.2.7:4444: started", "192.0.2.7:4444: 1 lost (sequence 3)"],
  },
  {
    rule: "a sender without a stated interval has 3 x 5 s",
    steps: [[0, "1 - 1700000000.5"], [14.9, null], [15.1, null]],
    want: ["192.0.2.7:4444: started", "192.0.2.7:4444: stopped (silent for 15.1 s)"],
  },
  {
    rule: "after 5 intervals the observed one counts",
    steps: [...[0, 1, 2, 3, 4, 5].map((at): Steps[number] => [at, `${at} - 1.0`]), [8.2, null]],
    want: ["192.0.2.7:4444: started", "192.0.2.7:4444: stopped (silent for 3.2 s)"],
  },
  {
    rule: "--interval is for senders that do not state theirs",
    options: { interval: 2000 },
    steps: [[0, "1 - 1.0"], [5.9, null], [6.1, null]],
    want: ["192.0.2.7:4444: started", "192.0.2.7:4444: stopped (silent for 6.1 s)"],
  },
  {
    rule: "--timeout above three intervals is the limit",
    options: { timeout: 10_000 },
    steps: [[0, web(1)], [9.9, null], [10.1, null]],
    want: ["web1: started", "web1: stopped (silent for 10.1 s)"],
  },
  {
    rule: "--timeout below three intervals is the limit",
    options: { timeout: 500 },
    steps: [[0, web(1)], [0.5, null], [0.501, null]],
    want: ["web1: started", "web1: stopped (silent for 0.5 s)"],
  },
  {
    rule: "the clock of a sender decides nothing",
    steps: [[0, web(1)], [1, "sequence=2\ttime=9999999999.0\tname=web1\tinterval=1"], [2, web(3)]],
    want: ["web1: started"],
  },
  {
    rule: "after a suspension of the monitor silence counts from its end",
    steps: [[0, web(1)], [60, "..."], [62.9, null], [63.1, null]],
    want: [
      "web1: started",
      "monitor: was suspended for 60.0 s",
      "web1: stopped (silent for 63.1 s)",
    ],
  },
  {
    rule: "beats that waited in the socket meanwhile do not change the learned interval",
    steps: [
      ...[0, 5, 10, 15, 20].map((at): Steps[number] => [at, `${at / 5} - 1.0`]),
      [220, "..."],
      ...Array.from({ length: 40 }, (_, index): Steps[number] => [220.01, `${index + 5} - 1.0`]),
      [224.9, null],
    ],
    want: ["192.0.2.7:4444: started", "monitor: was suspended for 220.0 s"],
  },
  {
    rule: "names are escaped",
    steps: [[0, "sequence=1\ttime=1\tname=\x1b[31mred\tinterval=1"]],
    want: ["\\x1b[31mred: started"],
  },
  {
    rule: "a number after 1,000 lost beats is loss",
    steps: [[0, web(1)], [1000, web(1001)]],
    want: ["web1: started", "web1: 999 lost (sequence 2 to 1000)"],
  },
  {
    rule:
      "a jump that the silence cannot explain is a restart: 1,024 numbers and twice the silence",
    steps: [[0, web(1)], [1, web(1027)], [2, web(2054)]],
    want: [
      "web1: started",
      "web1: 1025 lost (sequence 2 to 1026)",
      "web1: restarted (sequence jumped to 2054)",
    ],
  },
  {
    rule: "after a long gap a beat 1,023 numbers back is late, one 1,024 back is a restart",
    steps: [[0, web(1)], [2000, web(2001)], [2001, web(978)], [2001, web(977)]],
    want: [
      "web1: started",
      "web1: 1999 lost (sequence 2 to 2000)",
      "web1: 1 came late (sequence 978)",
      "web1: restarted (sequence fell to 977)",
    ],
  },
  {
    rule: "one absurd number is a restart, and so is the return",
    steps: [[0, web(1)], [1, web(900_000_000_002)], [2, web(3)]],
    want: [
      "web1: started",
      "web1: restarted (sequence jumped to 900000000002)",
      "web1: restarted (sequence fell to 3)",
    ],
  },
  {
    rule: "64 numbers back is a restart",
    steps: [[0, web(1)], ...beatsTo(70), [71, web(6)]],
    want: ["web1: started", "web1: restarted (sequence fell to 6)"],
  },
  {
    rule: "63 numbers back is a duplicate",
    steps: [[0, web(1)], ...beatsTo(70), [71, web(7)]],
    want: ["web1: started"],
  },
  {
    rule: "a stopped sender restarts among its last numbers",
    steps: [[0, web(8)], [1, web(9)], [5, null], [6, web(5)]],
    want: [
      "web1: started",
      "web1: stopped (silent for 4.0 s)",
      "web1: is back (after 5.0 s, 0 lost)",
      "web1: restarted (sequence fell to 5)",
    ],
  },
  {
    rule: "three copies of a farewell, also of the first number, are one",
    steps: [0, 0.1, 0.2].map((at): Steps[number] => [at, web(1, "\tbye=1")]),
    want: ["web1: started", "web1: left"],
  },
  {
    rule: "a sender that left and starts far ahead lost nothing",
    steps: [[0, web(1)], [1, web(2, "\tbye=1")], [60, web(100)]],
    want: ["web1: started", "web1: left", "web1: started"],
  },
  {
    rule: "the interval of a slow sender in the course's form is learned from one gap",
    steps: [
      [0, "1 - 1.0"],
      [16, null],
      [60, "2 - 61.0"],
      [200, null],
      [239, "3 - 240.0"],
      [400, "4 - 401.0"],
    ],
    want: [
      "192.0.2.7:4444: started",
      "192.0.2.7:4444: stopped (silent for 16.0 s)",
      "192.0.2.7:4444: is back (after 60.0 s, 0 lost)",
    ],
  },
  {
    rule: "one long gap among short ones does not change the learned interval",
    steps: [
      ...[0, 5, 10, 15, 20, 25].map((at): Steps[number] => [at, `${at / 5} - 1.0`]),
      [3625, "6 - 1.0"],
      [3640, null],
      [3640.1, null],
    ],
    want: [
      "192.0.2.7:4444: started",
      "192.0.2.7:4444: stopped (silent for 15.1 s)",
    ],
  },
  {
    rule: "an interval of 366 days is read",
    steps: [[0, web(1).replace("interval=1", "interval=31622400")], [94_867_200, null], [
      94_867_200.1,
      null,
    ]],
    want: ["web1: started", "web1: stopped (silent for 94867200.1 s)"],
  },
  {
    rule: "an interval of more than 366 days is not",
    steps: [[0, web(1).replace("interval=1", "interval=31622401")], [15.1, null]],
    want: ["web1: started", "web1: stopped (silent for 15.1 s)"],
  },
  {
    rule: "an interval with many digits is read",
    steps: [[0, web(1).replace("interval=1", `interval=${"0".repeat(30)}2`)], [6, null], [
      6.1,
      null,
    ]],
    want: ["web1: started", "web1: stopped (silent for 6.1 s)"],
  },
  {
    rule: "an interval of 0 is not",
    steps: [[0, web(1).replace("interval=1", "interval=0")], [15, null], [15.1, null]],
    want: ["web1: started", "web1: stopped (silent for 15.1 s)"],
  },
  {
    rule: "only bye=1 is a farewell",
    steps: [[0, web(1, "\tbye=10")], [1, web(2, "\tbye=0")], [2, web(3, "\tbye=")], [
      3,
      web(4, "\tbye=1"),
    ]],
    want: ["web1: started", "web1: left"],
  },
  {
    rule: "a jump of the wall clock lets silence count anew and is not reported",
    steps: [[0, web(1)], [2, "zzz"], [4.9, null], [5.1, null]],
    want: ["web1: started", "web1: stopped (silent for 5.1 s)"],
  },
  // Two hosts under one name
  {
    rule: "beats of another host under the same name are reported once a minute",
    steps: [[0, web(1)], [1, web(7), "192.0.2.9"], [2, web(2)], [2, web(8), "192.0.2.9"]],
    want: [
      "web1: started",
      "web1: beats come from 192.0.2.9, too, not only from 192.0.2.7",
    ],
  },
  {
    rule: "beats of another host are reported again after a minute",
    steps: [
      [0, web(1).replace("interval=1", "interval=100")],
      ...[0.5, 60.4, 60.5].map((at): Steps[number] => [at, web(5), "192.0.2.9"]),
    ],
    want: [
      "web1: started",
      "web1: beats come from 192.0.2.9, too, not only from 192.0.2.7",
      "web1: beats come from 192.0.2.9, too, not only from 192.0.2.7",
    ],
  },
  {
    rule: "a farewell from another host is reported and not believed",
    steps: [[0, web(1)], [1, web(2, "\tbye=1"), "192.0.2.9"], [3.1, null]],
    want: [
      "web1: started",
      "web1: farewell from 192.0.2.9 is not believed, its beats come from 192.0.2.7",
      "web1: stopped (silent for 3.1 s)",
    ],
  },
  {
    rule: "a failure from another host is reported and not believed",
    steps: [[0, web(1)], [1, web(2, "\tfail=x"), "192.0.2.9"], [2, web(2)]],
    want: [
      "web1: started",
      "web1: failure from 192.0.2.9 is not believed, its beats come from 192.0.2.7",
    ],
  },
  {
    rule: "a farewell from another host is not believed after a beat of that host either",
    steps: [[0, web(1)], [1, web(2), "192.0.2.9"], [1, web(3, "\tbye=1"), "192.0.2.9"], [
      4.1,
      null,
    ]],
    want: [
      "web1: started",
      "web1: beats come from 192.0.2.9, too, not only from 192.0.2.7",
      "web1: farewell from 192.0.2.9 is not believed, its beats come from 192.0.2.7",
      "web1: stopped (silent for 4.1 s)",
    ],
  },
  {
    rule: "an interval from another host is not believed",
    steps: [[0, web(1)], [1, web(2).replace("interval=1", "interval=9999"), "192.0.2.9"], [
      4.1,
      null,
    ]],
    want: [
      "web1: started",
      "web1: beats come from 192.0.2.9, too, not only from 192.0.2.7",
      "web1: stopped (silent for 4.1 s)",
    ],
  },
  {
    rule: "a sender that moves to another host is reported and stays up",
    steps: [
      [0, web(1)],
      ...[1, 2, 3, 4, 5].map((at): Steps[number] => [at, web(at + 1), "192.0.2.9"]),
      [6, web(7, "\tbye=1"), "192.0.2.9"],
    ],
    want: [
      "web1: started",
      "web1: beats come from 192.0.2.9, too, not only from 192.0.2.7",
      "web1: beats now come from 192.0.2.9, no longer from 192.0.2.7",
      "web1: left",
    ],
  },
  {
    rule: "a name stays with its host for three intervals of silence",
    steps: [[0, web(1)], [3, web(2), "192.0.2.9"]],
    want: [
      "web1: started",
      "web1: beats come from 192.0.2.9, too, not only from 192.0.2.7",
    ],
  },
  {
    rule: "a name moves to another host after three intervals of silence",
    steps: [[0, web(1)], [3.001, web(2), "192.0.2.9"]],
    want: [
      "web1: started",
      "web1: beats now come from 192.0.2.9, no longer from 192.0.2.7",
    ],
  },
  {
    rule: "a sender that stopped comes back from another host",
    steps: [[0, web(1)], [4, null], [5, web(1), "192.0.2.9"]],
    want: [
      "web1: started",
      "web1: stopped (silent for 4.0 s)",
      "web1: beats now come from 192.0.2.9, no longer from 192.0.2.7",
      "web1: is back (after 5.0 s, 0 lost)",
    ],
  },
  {
    rule: "a sender that left starts on another host",
    steps: [[0, web(1, "\tbye=1")], [5, web(1), "192.0.2.9"], [6, web(2, "\tbye=1"), "192.0.2.9"]],
    want: ["web1: started", "web1: left", "web1: started", "web1: left"],
  },
  // --expect
  {
    rule: "--expect: a sender that is never heard is reported after its time, once",
    options: { expected: [{ name: "web1", timeout: 10_000 }] },
    steps: [[10, null], [10.001, null], [50, null]],
    want: ["web1: stopped (silent for 10.0 s)"],
  },
  {
    rule: "--expect: the default is --timeout",
    options: { timeout: 20_000, expected: [{ name: "web1" }] },
    steps: [[20, null], [20.1, null]],
    want: ["web1: stopped (silent for 20.1 s)"],
  },
  {
    rule: "--expect: without --timeout the default is 3 x 5 s",
    options: { expected: [{ name: "web1" }] },
    steps: [[15, null], [15.1, null]],
    want: ["web1: stopped (silent for 15.1 s)"],
  },
  {
    rule: "--expect: its time counts from the last beat and goes before the stated interval",
    options: { expected: [{ name: "web1", timeout: 10_000 }] },
    steps: [[5, web(1)], [15, null], [15.1, null]],
    want: ["web1: started", "web1: stopped (silent for 10.1 s)"],
  },
  {
    rule: "--expect: a sender is late after its farewell, too",
    options: { expected: [{ name: "web1", timeout: 10_000 }] },
    steps: [[0, web(1, "\tbye=1")], [10.1, null], [11, web(1)]],
    want: [
      "web1: started",
      "web1: left",
      "web1: stopped (silent for 10.1 s)",
      "web1: is back (after 11.0 s, 0 lost)",
      "web1: restarted (sequence fell to 1)",
    ],
  },
  // Senders run by cron
  {
    rule: "cron: the number is the time, its gaps are no loss",
    steps: [[0, cron(0)], [86_400, cron(86_400)], [172_800, cron(172_800)]],
    want: ["backup: started"],
  },
  {
    rule: "cron: three copies of a beat are one",
    steps: [[0, cron(0)], [0.1, cron(0)], [0.2, cron(0)]],
    want: ["backup: started"],
  },
  {
    rule: "cron: a repeated number is a sign of life",
    steps: [[0, cron(0)], [250_000, cron(0)], [260_000, null], [509_200, null], [509_201, null]],
    want: ["backup: started", "backup: stopped (silent for 259201.0 s)"],
  },
  {
    rule: "cron: silence of three intervals is a stop, the next beat a return without loss",
    steps: [[0, cron(0)], [259_200, null], [259_201, null], [345_600, cron(345_600)]],
    want: [
      "backup: started",
      "backup: stopped (silent for 259201.0 s)",
      "backup: is back (after 345600.0 s, 0 lost)",
    ],
  },
  {
    rule: "cron: a failure is reported once for its copies and lasts until a good beat",
    steps: [
      [0, cron(0)],
      ...[0, 0.1, 0.2].map((at): Steps[number] => [86_400 + at, cron(86_400, "\tfail=disk full")]),
      [172_800, cron(172_800)],
    ],
    want: [
      "backup: started",
      "backup: failed: disk full",
      "backup: is back (after 86399.8 s, 0 lost)",
    ],
  },
  {
    rule: "cron: each failure is reported",
    steps: [[0, cron(0, "\tfail=one")], [86_400, cron(86_400, "\tfail=two")]],
    want: ["backup: failed: one", "backup: failed: two"],
  },
  {
    rule: "cron: a late copy of a failure does not undo a good beat",
    steps: [[0, cron(0, "\tfail=x")], [1, cron(1)], [1.1, cron(0, "\tfail=x")]],
    want: ["backup: failed: x", "backup: is back (after 1.0 s, 0 lost)"],
  },
  {
    rule: "cron: a late good beat does not end a failure",
    steps: [[0, cron(10, "\tfail=x")], [0.1, cron(9)]],
    want: ["backup: failed: x"],
  },
  {
    rule: "cron: a failure and its end in the same second are both reported",
    steps: [[0, cron(0)], [0.5, cron(0, "\tfail=x")], [0.9, cron(0)]],
    want: ["backup: started", "backup: failed: x", "backup: is back (after 0.4 s, 0 lost)"],
  },
  {
    rule: "cron: an earlier number ends a stop",
    steps: [[0, cron(10)], [259_201, null], [259_202, cron(9)]],
    want: [
      "backup: started",
      "backup: stopped (silent for 259201.0 s)",
      "backup: is back (after 259202.0 s, 0 lost)",
    ],
  },
  {
    rule: "cron: a failed sender that is silent has stopped",
    steps: [[0, cron(0, "\tfail=x")], [259_201, null]],
    want: ["backup: failed: x", "backup: stopped (silent for 259201.0 s)"],
  },
  {
    rule: "cron: a clock that is set back an hour does not count as a restart",
    steps: [[0, cron(0)], [86_400, cron(82_800)]],
    want: ["backup: started"],
  },
  {
    rule: "cron: a number 3,600 s from the time is still the time",
    steps: [[0, timed(0, 3600)], [1, timed(10, 3600)]],
    want: ["x: started"],
  },
  {
    rule: "a number 3,601 s from the time is counted, its gaps are loss",
    steps: [[0, timed(0, 3601)], [1, timed(10, 3601)]],
    want: ["x: started", "x: 9 lost (sequence 1700003602 to 1700003610)"],
  },
  {
    rule: "a number below 1,000,000,000 is counted",
    steps: [[0, timed(-700_000_010, 0)], [1, timed(-700_000_001, 0)]],
    want: ["x: started", "x: 8 lost (sequence 999999991 to 999999998)"],
  },
  {
    rule: "cron: the beat at 1,000,000,000 is the time",
    steps: [[0, timed(-700_000_010, 0)], [1, timed(-700_000_000, 0)]],
    want: ["x: started"],
  },
  {
    rule: "an old number within a second after a stop is a copy",
    steps: [[0, fast(1)], [0.1, fast(2)], [0.5, null], [1.099, fast(1)]],
    want: ["web1: started", "web1: stopped (silent for 0.4 s)"],
  },
  {
    rule: "an old number a second after the last beat of a stopped sender is a restart",
    steps: [[0, fast(1)], [0.1, fast(2)], [0.5, null], [1.1, fast(1)]],
    want: [
      "web1: started",
      "web1: stopped (silent for 0.4 s)",
      "web1: is back (after 1.0 s, 0 lost)",
      "web1: restarted (sequence fell to 1)",
    ],
  },
  {
    rule: "after 4 intervals the default still counts",
    steps: [...course(5, 1), [18.9, null], [19.1, null]],
    want: ["192.0.2.7:4444: started", "192.0.2.7:4444: stopped (silent for 15.1 s)"],
  },
  {
    rule: "after 5 intervals they count",
    steps: [...course(6, 1), [8, null], [8.001, null]],
    want: ["192.0.2.7:4444: started", "192.0.2.7:4444: stopped (silent for 3.0 s)"],
  },
  {
    rule: "the interval is learned from the last 5",
    steps: [
      ...course(6, 1),
      ...[7, 9, 11].map((at): Steps[number] => [at, `${(at + 5) / 2} - 1`]),
      [17, null],
      [17.001, null],
    ],
    want: ["192.0.2.7:4444: started", "192.0.2.7:4444: stopped (silent for 6.0 s)"],
  },
  {
    rule: "the learned interval is the median",
    steps: [
      ...[0, 1, 3, 12, 16, 19].map((at, index): Steps[number] => [at, `${index} - 1`]),
      [28, null],
      [28.001, null],
    ],
    want: ["192.0.2.7:4444: started", "192.0.2.7:4444: stopped (silent for 9.0 s)"],
  },
  {
    rule: "a learned interval is 333 ms at least",
    steps: [...course(6, 0.1), [1.499, null], [1.5, null]],
    want: ["192.0.2.7:4444: started", "192.0.2.7:4444: stopped (silent for 1.0 s)"],
  },
  {
    rule: "a gap in the sequence is not an observed interval",
    steps: [[0, "1 - 1"], [100, "3 - 1"], [115, null], [115.001, null]],
    want: [
      "192.0.2.7:4444: started",
      "192.0.2.7:4444: 1 lost (sequence 2)",
      "192.0.2.7:4444: stopped (silent for 15.0 s)",
    ],
  },
  {
    rule: "after a suspension another host does not get the name at once",
    steps: [[0, web(1)], [60, "..."], [60.5, web(2), "192.0.2.9"], [
      61,
      web(3, "\tbye=1"),
      "192.0.2.9",
    ]],
    want: [
      "web1: started",
      "monitor: was suspended for 60.0 s",
      "web1: beats come from 192.0.2.9, too, not only from 192.0.2.7",
      "web1: farewell from 192.0.2.9 is not believed, its beats come from 192.0.2.7",
    ],
  },
  {
    rule: "a name is cut after 64 octets",
    steps: [[0, web(1).replace("web1", "n".repeat(65))]],
    want: [`${"n".repeat(64)}: started`],
  },
  {
    rule: "fields are read up to octet 1,024",
    steps: [0, 1].map((more): Steps[number] => {
      const start = "sequence=1\ttime=1\tpad=";
      return [0, `${start}${"p".repeat(1024 - 7 - start.length + more)}\tname=a`];
    }),
    want: ["a: started", "192.0.2.7:4444: started"],
  },
  {
    rule: "a failure is escaped, and cut after 200 octets",
    steps: [[0, cron(0, `\tfail=\x1b${"x".repeat(300)}`)]],
    want: [`backup: failed: \\x1b${"x".repeat(199)}`],
  },
];

/** Runs a monitor through steps. */
function watched(steps: Steps, options: Options = {}) {
  const events: MonitorEvent[] = [];
  const warnings: string[] = [];
  const warn = ({ message }: Error) => warnings.push(message);
  const monitor = new Monitor({ ...options, report: (event) => events.push(event), warn }, 0);
  for (const [second, datagram, host] of steps) {
    const now = 1000 * second;
    const from = { ...FROM, ...(host !== undefined && { hostname: host }) };
    if (datagram === null) monitor.sweep(now);
    else if (datagram === "...") monitor.resume(now, second);
    else if (datagram === "zzz") monitor.resume(now);
    else monitor.onDatagram(octetsOf(datagram), from, now);
  }
  return { monitor, events, warnings, lines: events.map(describe) };
}

for (const { rule, options, steps, want } of HEARTBEATS) {
  Deno.test(`monitor: ${rule}`, () => assertEquals(watched(steps, options).lines, want));
}

/** Datagrams that are, and are not, the first beat of a sender. */
const FORMS = {
  beats: {
    "ours": "sequence=3\ttime=1.5",
    "ours with unknown fields": "sequence=3\ttime=1.5\tx=1\tinterval=2",
    "ours with a line end": "sequence=3\ttime=1.5\r\n",
    "15 digits": "sequence=999999999999999\ttime=1",
    "N - TIME": "3 - 1700000000.5",
    "N - TIME with 15 digits": "999999999999999 - 1",
    "N - TIME with a line end": "3 - 1700000000.5\n",
    "N TIME": "3 1700000000.5",
    "WORD N TIME": "Ping 3 1700000000.5",
    "WORD N TIME with blanks": "Ping  3   1700000000.5",
    "WORD N - TIME": "heartbeat 3 - 1700000000.5",
    "a date as TIME": "Ping 3 2021-05-01 12:00:00.123",
    "an ISO 8601 date as TIME": "Ping 3 2021-05-01T12:00:00.123Z",
  },
  others: {
    "nothing": "",
    "a word": "hello",
    "two words and a number": "my ping 3 1.5",
    "a word with digits": "p1ng 3 1.5",
    "no time": "Ping 3",
    "a time that is a word": "3 - now",
    "no number": "Ping x 1.5",
    "16 digits": "sequence=9999999999999999\ttime=1",
    "N - TIME with 16 digits": "9999999999999999 - 1",
    "two lines": "3 - 1.5\n4 - 1.6",
    "a line within a field": "sequence=3\ttime=1.5\tx=\ny",
    "not UTF-8": "\xff\xfe",
  },
};
for (const [form, datagram] of Object.entries(FORMS.beats)) {
  Deno.test(`monitor: a heartbeat: ${form}`, () => {
    const { lines, monitor } = watched([[0, datagram]]);
    assertEquals([lines, monitor.junk], [["192.0.2.7:4444: started"], 0]);
  });
}
for (const [form, datagram] of Object.entries(FORMS.others)) {
  Deno.test(`monitor: not a heartbeat: ${form}`, () => {
    const { lines, monitor } = watched([[0, datagram]]);
    assertEquals([lines, monitor.junk], [[], 1]);
  });
}

const FILLERS = ["\t", " ", "1", ".", "-", "a", "\tname=", "\tinterval=", "Ping ", "1 - "];
for (const filler of FILLERS) {
  Deno.test(`monitor: 64 KiB of ${JSON.stringify(filler)} are read in less than 5 ms`, () => {
    const monitor = new Monitor({ report: () => {} }, 0);
    for (const start of ["", "sequence=1\ttime=", "sequence=1\ttime=1\t", "1 - ", "Ping "]) {
      const datagram = octetsOf(start + filler.repeat(65_000 / filler.length));
      const times = Array.from({ length: 20 }, () => {
        const startedAt = performance.now();
        monitor.onDatagram(datagram, FROM, 0);
        return performance.now() - startedAt;
      });
      assertLess(Math.min(...times), 5);
    }
  });
}

Deno.test("monitor: each event has the time in UTC", () => {
  const before = new Date().toISOString();
  const [event] = watched([[0, web(1)]]).events;
  const after = new Date().toISOString();
  assertEquals(Object.keys(event ?? {}), ["time", "event", "name"]);
  assert(event !== undefined && before <= event.time && event.time <= after, event?.time);
});

Deno.test("monitor: silence has three decimals", () => {
  const { events } = watched([[0, web(1)], [3.0016789, null]]);
  assertEquals(events[1]?.silence, 3.002);
});

Deno.test("monitor: a conflict names both hosts", () => {
  const { events } = watched([[0, web(1)], [1, web(2, "\tbye=1"), "2001:db8::9"]]);
  const { time: _, ...event } = events[1] ?? { time: "" };
  const hosts = { address: "2001:db8::9", owner: "192.0.2.7" };
  assertEquals(event, { event: "conflict", name: "web1", ...hosts, claim: "left" });
});

Deno.test("monitor: other datagrams are quoted in a message, once a minute", () => {
  const steps = [0, 1, 59.9, 60, 61].map((at): Steps[number] => [at, `junk\x1b ${at}`]);
  assertEquals(watched(steps).warnings, [
    '1 datagram without a heartbeat, now "junk\\x1b 0" from 192.0.2.7:4444',
    '4 datagrams without a heartbeat, now "junk\\x1b 60" from 192.0.2.7:4444',
  ]);
});

/** Returns a first beat of a sender. */
const first = (name: string) => web(1).replace("web1", name);

Deno.test("monitor: of too many senders the one that is gone the longest is forgotten", () => {
  const { lines, warnings, monitor } = watched([
    ...([[0, first("a")], [0, first("b")], [0, first("c")]] as Steps),
    ...([[1, first("b").replace("=1", "=2") + "\tbye=1"], [3.5, null], [4, first("d")]] as Steps),
  ], { maxSenders: 3 });
  assertEquals(lines, [
    ...["a: started", "b: started", "c: started", "b: left"],
    ...["a: stopped (silent for 3.5 s)", "c: stopped (silent for 3.5 s)", "d: started"],
  ]);
  assertEquals(warnings, ['Forgot "b": 3 senders at most, this one is gone the longest']);
  assertEquals(monitor.summary(4000).map(({ name }) => name), ["a", "c", "d"]);
});

Deno.test("monitor: for each new sender another one is forgotten", () => {
  const names = ["a", "b", "c", "d"];
  const steps = names.map((name, at): Steps[number] => [at, first(name) + "\tbye=1"]);
  const { monitor } = watched(steps, { maxSenders: 2 });
  assertEquals(monitor.summary(4000).map(({ name }) => name), ["c", "d"]);
});

Deno.test("monitor: a sender that came back is not forgotten", () => {
  const { monitor } = watched([
    ...([[0, first("a")], [3.5, null], [4, first("b")], [4, first("a")], [7.1, null]] as Steps),
    ...([[7.1, first("b").replace("=1", "=2")], [8, first("c")]] as Steps),
  ], { maxSenders: 2 });
  assertEquals(monitor.summary(8000).map(({ name }) => name), ["b", "c"]);
});

Deno.test("monitor: a sender that came back and is up is not forgotten", () => {
  const { monitor } = watched([
    ...([[0, first("a")], [3.5, null], [4, first("b")], [4.1, first("a")]] as Steps),
    ...([[7.05, null], [7.06, first("c")]] as Steps),
  ], { maxSenders: 2 });
  assertEquals(monitor.summary(8000).map(({ name }) => name), ["a", "c"]);
});

Deno.test("monitor: an expected sender is not forgotten", () => {
  const { monitor } = watched([[60, null], [60, first("a")], [70, null], [70, first("b")]], {
    ...{ maxSenders: 2, expected: [{ name: "web1" }] },
  });
  assertEquals(monitor.summary(70_000).map(({ name }) => name), ["web1", "b"]);
});

Deno.test("monitor: when all senders are up, a new one is refused with a message", () => {
  const { lines, warnings, monitor } = watched([[0, first("a")], [0, first("b")]], {
    maxSenders: 1,
  });
  assertEquals([lines, monitor.junk], [["a: started"], 1]);
  assertEquals(warnings, ['Cannot watch "b": 1 sender up already']);
});

Deno.test("limits: the monitor remembers 10,000 senders", () => {
  const names = Array.from({ length: 10_001 }, (_, index) => `n${index}`);
  const { monitor, warnings } = watched(names.map((name): Steps[number] => [0, first(name)]));
  assertEquals(monitor.summary(0).length, 10_000);
  assertEquals(warnings, ['Cannot watch "n10000": 10000 senders up already']);
});

Deno.test("monitor: the summary of a sender", () => {
  const steps: Steps = [
    ...[[0, web(1)], [1, web(2)], [2, web(3)], [4, web(5)], [4, web(5)], [4.5, web(4)]] as Steps,
    ...[[8, null], [14, web(15)], [16, web(16)], [16, "junk"]] as Steps,
  ];
  const { monitor } = watched(steps);
  // Up from 0 to 4 and from 14 to 20, stopped from 4 to 14.
  assertEquals(monitor.summary(20_000), [{
    ...{ name: "web1", received: 7, lost: 9, late: 1, duplicates: 1, stops: 1 },
    ...{ loss: 56.25, up: 50, jitter: 333.333 },
  }]);
  assertEquals(monitor.junk, 1);
});

Deno.test("monitor: a copy of the first beat is a duplicate, also of number 0", () => {
  const { monitor } = watched([[0, web(0)], [0, web(0)], [1, web(1)]]);
  const [{ received = 0, duplicates = 0 } = {}] = monitor.summary(1000);
  assertEquals([received, duplicates], [2, 1]);
});

Deno.test("monitor: the summary of a sender with one beat", () => {
  assertEquals(watched([[0, web(1)]]).monitor.summary(1000), [{
    ...{ name: "web1", received: 1, lost: 0, late: 0, duplicates: 0, stops: 0 },
    ...{ loss: 0, up: 100, jitter: 0 },
  }]);
});

const UP: [rule: string, steps: Steps, up: number][] = [
  ["a sender that is up counts until now", [[0, web(1)]], 100],
  ["a sender that was heard just now was up", [[10, web(1)]], 100],
  ["a stop counts from the last beat", [[0, web(1)], [2, web(2)], [6, null]], 20],
  ["a failure counts as down", [[0, cron(0)], [4, cron(4, "\tfail=x")]], 40],
  ["after a farewell neither is counted", [[0, web(1)], [5, web(2, "\tbye=1")]], 100],
  ["an expected sender that is never heard was down", [[16, null]], 0],
];
for (const [rule, steps, up] of UP) {
  Deno.test(`monitor: time up: ${rule}`, () => {
    const options = steps.length === 1 && steps[0]?.[1] === null
      ? { expected: [{ name: "x" }] }
      : {};
    assertEquals(watched(steps, options).monitor.summary(10_000).map(({ up }) => up), [up]);
  });
}

Deno.test("monitor: beats that were not sent after a farewell are not lost", () => {
  const { monitor } = watched([[0, web(1)], [1, web(2, "\tbye=1")], [60, web(100)]]);
  const [{ received = 0, lost = -1 } = {}] = monitor.summary(60_000);
  assertEquals([received, lost], [3, 0]);
});

Deno.test("monitor: of another datagram 60 octets are quoted", () => {
  assertEquals(watched([[0, "x".repeat(61)]]).warnings, [
    `1 datagram without a heartbeat, now "${"x".repeat(60)}" from 192.0.2.7:4444`,
  ]);
});

Deno.test("monitor: jitter is the mean of the differences between intervals", () => {
  const steps: Steps = [[0, web(1)], [1, web(2)], [3, web(3)], [4, web(4)]];
  assertEquals(watched(steps).monitor.summary(4000)[0]?.jitter, 666.667); // 0, 1 and 1 s
});

for (const [back, received] of [[3599, 1], [3600, 2]] as const) {
  const rule = received === 1 ? "late" : "a clock that was set back";
  Deno.test(`monitor: cron: a number ${back} s back is ${rule}`, () => {
    const { monitor } = watched([[0, cron(10_000)], [1, cron(10_000 - back)]]);
    assertEquals(monitor.summary(1000)[0]?.received, received);
  });
}

for (const [second, jitter] of [[61.05, 0], [61.051, 474.5]] as const) {
  const rule = jitter === 0 ? "no interval" : "an interval";
  Deno.test(`monitor: a beat ${1000 * second - 61_000} ms after a suspension ends ${rule}`, () => {
    const before: Steps = [[0, web(1)], [1, web(2)], [61, "..."], [61, web(3)]];
    const { monitor } = watched([...before, [second, web(4)]]);
    assertEquals(monitor.summary(62_000)[0]?.jitter, jitter);
  });
}

Deno.test("monitor: a suspension of the monitor does not count as jitter of the sender", () => {
  const steps: Steps = [[0, web(1)], [1, web(2)], [61, "..."], [62, web(3)], [63, web(4)]];
  assertEquals(watched(steps).monitor.summary(63_000)[0]?.jitter, 0);
});
