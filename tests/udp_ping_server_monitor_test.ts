/** Tests of the monitor of heartbeats and of --exec. */
import { assertEquals } from "jsr:@std/assert@^1.0.19";
import { type Change, describe, hook, Monitor } from "../udp_ping_server.ts";
import { octetsOf } from "./helpers.ts";
import { web } from "./udp_ping_server_helpers.ts";

// ---- Heartbeats ----------------------------------------------------------

const FROM = { hostname: "::ffff:192.0.2.7", port: 4444, transport: "udp" as const };

/** What arrives at which second; null is a look at the clock, "..." a suspension of the monitor. */
type Steps = [second: number, datagram: string | null][];
const HEARTBEATS: {
  rule: string;
  options?: { interval?: number; timeout?: number };
  steps: Steps;
  want: string[];
}[] = [
  { rule: "a sender is told once", steps: [[0, web(1)], [1, web(2)]], want: ["web1: started"] },
  {
    rule: "loss is gaps in the sequence, exactly",
    steps: [[0, web(1)], [1, web(2)], [5, web(6)]],
    want: ["web1: started", "web1: 3 lost (sequence 3 to 5)"],
  },
  {
    rule: "one lost is one",
    steps: [[0, web(7)], [2, web(9)]],
    want: ["web1: started", "web1: 1 lost (sequence 8)"],
  },
  {
    rule: "a slow beat is not lost",
    steps: [[0, web(1)], [2.9, web(2)], [5.7, web(3)]],
    want: ["web1: started"],
  },
  {
    rule: "a late beat takes its loss back",
    steps: [[0, web(1)], [1, web(3)], [1.1, web(2)]],
    want: ["web1: started", "web1: 1 lost (sequence 2)", "web1: 1 came late (sequence 2)"],
  },
  {
    rule: "a duplicate is nothing",
    steps: [[0, web(1)], [1, web(2)], [1, web(2)], [2, web(3)], [2, web(2)]],
    want: ["web1: started"],
  },
  {
    rule: "silence of three intervals is a stop, told once",
    steps: [[0, web(1)], [2.9, null], [3.1, null], [9, null]],
    want: ["web1: started", "web1: stopped (silent for 3.1 s)"],
  },
  {
    rule: "nothing is said of senders never seen",
    steps: [[5, null], [50, null]],
    want: [],
  },
  {
    rule: "a return tells how long and what was lost",
    steps: [[0, web(1)], [4, null], [61.3, web(11)]],
    want: [
      "web1: started",
      "web1: stopped (silent for 4.0 s)",
      "web1: is back (after 61.3 s, 9 lost)",
    ],
  },
  {
    rule: "a restart, sequence fell to 1",
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
    rule: "a farewell is no alarm",
    steps: [[0, web(1)], [1, web(2, "\tbye=1")], [60, null]],
    want: ["web1: started", "web1: left"],
  },
  {
    rule: "who left may start again",
    steps: [[0, web(1)], [1, web(2, "\tbye=1")], [60, web(1)]],
    want: ["web1: started", "web1: left", "web1: started"],
  },
  {
    rule: "who sends one beat each time, with a farewell, starts each time",
    steps: [[0, web(1, "\tbye=1")], [60, web(1, "\tbye=1")]],
    want: ["web1: started", "web1: left", "web1: started", "web1: left"],
  },
  {
    rule: "who stopped after its first beat may restart",
    steps: [[0, web(1)], [4, null], [9, web(1)]],
    want: [
      "web1: started",
      "web1: stopped (silent for 4.0 s)",
      "web1: is back (after 9.0 s, 0 lost)",
      "web1: restarted (sequence fell to 1)",
    ],
  },
  {
    rule: "a duplicate of the farewell is nothing",
    steps: [[0, web(1)], [1, web(2, "\tbye=1")], [1, web(2, "\tbye=1")]],
    want: ["web1: started", "web1: left"],
  },
  {
    rule: "two senders do not hide each other",
    steps: [[0, web(1)], [0, web(1).replace("web1", "db")], [2, web(2)], [3.5, null]],
    want: ["web1: started", "db: started", "db: stopped (silent for 3.5 s)"],
  },
  {
    rule: "junk is neither a beat nor a stop",
    steps: [[0, web(1)], [1, "hello"], [1, ""], [1, "\xff\xfe"], [1, "sequence=x\ttime=1"], [
      3.1,
      null,
    ]],
    want: ["web1: started", "web1: stopped (silent for 3.1 s)"],
  },
  {
    rule: "the assignment's form, told by its address",
    steps: [[0, "1 - 1700000000.5"], [5, "2 - 1700000005.5"], [10, "4 - 2021-05-01 12:00:00"]],
    want: ["192.0.2.7:4444: started", "192.0.2.7:4444: 1 lost (sequence 3)"],
  },
  {
    rule: "without an interval of its own a sender has five seconds, three times",
    steps: [[0, "1 - 1700000000.5"], [14.9, null], [15.1, null]],
    want: ["192.0.2.7:4444: started", "192.0.2.7:4444: stopped (silent for 15.1 s)"],
  },
  {
    rule: "or what is learned from it",
    steps: [...[0, 1, 2, 3, 4, 5].map((at): Steps[number] => [at, `${at} - 1.0`]), [8.2, null]],
    want: ["192.0.2.7:4444: started", "192.0.2.7:4444: stopped (silent for 3.2 s)"],
  },
  {
    rule: "--interval is for those that do not tell",
    options: { interval: 2000 },
    steps: [[0, "1 - 1.0"], [5.9, null], [6.1, null]],
    want: ["192.0.2.7:4444: started", "192.0.2.7:4444: stopped (silent for 6.1 s)"],
  },
  {
    rule: "--timeout is the least patience",
    options: { timeout: 10_000 },
    steps: [[0, web(1)], [9.9, null], [10.1, null]],
    want: ["web1: started", "web1: stopped (silent for 10.1 s)"],
  },
  {
    rule: "but three intervals are granted",
    options: { timeout: 500 },
    steps: [[0, web(1)], [2.9, null], [3.1, null]],
    want: ["web1: started", "web1: stopped (silent for 3.1 s)"],
  },
  {
    rule: "the clock of a sender decides nothing",
    steps: [[0, web(1)], [1, "sequence=2\ttime=9999999999.0\tname=web1\tinterval=1"], [2, web(3)]],
    want: ["web1: started"],
  },
  {
    rule: "a suspended monitor gives everybody a fresh start",
    steps: [[0, web(1)], [60, "..."], [62.9, null], [63.1, null]],
    want: [
      "web1: started",
      "monitor: was suspended for 60.0 s",
      "web1: stopped (silent for 63.1 s)",
    ],
  },
  {
    rule: "what waited in the socket meanwhile teaches no interval",
    steps: [
      ...[0, 5, 10, 15, 20].map((at): Steps[number] => [at, `${at / 5} - 1.0`]),
      [220, "..."],
      ...Array.from({ length: 40 }, (_, index): Steps[number] => [220.01, `${index + 5} - 1.0`]),
      [224.9, null],
    ],
    want: ["192.0.2.7:4444: started", "monitor: was suspended for 220.0 s"],
  },
  {
    rule: "names are fit for a terminal",
    steps: [[0, "sequence=1\ttime=1\tname=\x1b[31mred\tinterval=1"]],
    want: ["\\x1b[31mred: started"],
  },
];

function heartbeats(steps: Steps, options: { interval?: number; timeout?: number } = {}) {
  const changes: Change[] = [];
  const monitor = new Monitor({ ...options, report: (change) => changes.push(change) });
  for (const [second, datagram] of steps) {
    const now = 1000 * second;
    if (datagram === null) monitor.sweep(now);
    else if (datagram === "...") monitor.resume(now, second);
    else monitor.take(octetsOf(datagram), FROM, now);
  }
  return { monitor, changes };
}

for (const { rule, options, steps, want } of HEARTBEATS) {
  Deno.test(`heartbeat: ${rule}`, () => {
    assertEquals(heartbeats(steps, options).changes.map(describe), want);
  });
}

Deno.test("heartbeat: junk is mentioned once a minute", () => {
  const told: string[] = [];
  const warn = ({ message }: Error) => told.push(message);
  const monitor = new Monitor({ report: () => {}, warn });
  for (const second of [0, 1, 59, 60, 61]) monitor.take(octetsOf("junk"), FROM, 1000 * second);
  assertEquals(told, ["No heartbeats: 1 datagrams so far", "No heartbeats: 4 datagrams so far"]);
});

Deno.test("heartbeat: the summary of a sender", () => {
  const steps: Steps = [
    ...[[0, web(1)], [1, web(2)], [2, web(3)], [4, web(5)], [4, web(5)], [4.5, web(4)]] as Steps,
    ...[[8, null], [9, web(10)], [10, web(11)], [10, "junk"]] as Steps,
  ];
  const { monitor } = heartbeats(steps);
  assertEquals(monitor.summary(10_000), [{
    ...{ name: "web1", received: 7, lost: 4, late: 1, duplicates: 1, stops: 1 },
    ...{ loss: 36.3636, up: 50, jitter: 0 },
  }]);
  assertEquals(monitor.junk, 1);
});

Deno.test("heartbeat: a suspension of the monitor is no jitter of the sender", () => {
  const steps: Steps = [[0, web(1)], [1, web(2)], [61, "..."], [62, web(3)], [63, web(4)]];
  assertEquals(heartbeats(steps).monitor.summary(63_000)[0]?.jitter, 0);
});

// ---- --exec --------------------------------------------------------------

const NEVER = new AbortController().signal;

Deno.test("--exec runs one at a time, without a shell, the event on standard input", async () => {
  const folder = await Deno.makeTempDir();
  const log = `${folder}/log`;
  const script = `${folder}/hook.sh`;
  await Deno.writeTextFile(
    script,
    `#!/bin/sh\necho begin "$@" >> ${log}\ncat >> ${log}\nsleep 0.05\necho end >> ${log}\n`,
    { mode: 0o755 },
  );
  const warnings: unknown[] = [];
  const run = hook(`${script} a;b $HOME`, "null", (error) => warnings.push(error), NEVER);
  run({ event: "started", name: "web1" });
  await run({ event: "left", name: "web1" });
  assertEquals((await Deno.readTextFile(log)).split("\n"), [
    ...["begin a;b $HOME", '{"event":"started","name":"web1"}', "end"],
    ...["begin a;b $HOME", '{"event":"left","name":"web1"}', "end", ""],
  ]);
  assertEquals(warnings, []);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("--exec survives a command that fails, or that is not there", async () => {
  for (const command of ["false", "/no/such/command"]) {
    const warnings: unknown[] = [];
    const run = hook(command, "null", (error) => warnings.push(error), NEVER);
    await run({ event: "started", name: "web1" });
    assertEquals(warnings.length, 1, command);
  }
});
