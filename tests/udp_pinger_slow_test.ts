/**
 * Tests of the pinger that wait for real time.
 *
 * @module
 */
import { assert, assertEquals, assertLess, assertMatch } from "jsr:@std/assert@^1.0.19";
import type { Window } from "../udp_pinger.ts";
import {
  type Action,
  after,
  beats,
  drop,
  echo,
  hasScript,
  hold,
  inTerminal,
  runPinger,
  runScript,
  testScripts,
  twice,
  twiceLater,
} from "./udp_pinger_helpers.ts";

testScripts([
  {
    rule: "after a duplicate, waits at the end as long as the slowest reply took",
    actions: [twice, ({ later, octets }) => [200, 300].forEach((ms) => later(ms, octets))],
    options: { timeout: 1000 },
    lines: ["seq=1 OK", "seq=1 OK (DUP!)", "seq=2 OK", "seq=2 OK (DUP!)"],
    counts: "2 packets transmitted, 2 received, +2 duplicates, 0% packet loss",
  },
  {
    rule: "two dropped probes are 100 % loss",
    actions: [drop, drop],
    lines: ["seq=1 timeout", "seq=2 timeout"],
    counts: "2 packets transmitted, 0 received, 100% packet loss",
  },
  {
    rule: "a late reply stays lost and is not credited to the probe in flight",
    actions: [after(225), after(125)],
    options: { timeout: 150 },
    lines: ["seq=1 timeout", "seq=1 OK (late)", "seq=2 OK"],
    counts: "2 packets transmitted, 1 received, +1 late, 50% packet loss",
  },
  {
    rule: "the second copy of a late reply is a duplicate",
    actions: [twiceLater(225), after(125)],
    options: { timeout: 150 },
    lines: ["seq=1 timeout", "seq=1 OK (late)", "seq=1 OK (DUP!)", "seq=2 OK"],
    counts: "2 packets transmitted, 1 received, +1 duplicate, +1 late, 50% packet loss",
  },
]);

Deno.test("RFC 2681 §2.4: round-trip time is from sending to the reply", async () => {
  const { summary } = await runScript([after(30), after(30), after(30)], { timeout: 1000 });
  assert((summary.rtt?.min ?? 0) >= 29, `${summary.rtt?.min} ms`);
  assertLess(summary.rtt?.avg ?? 1e9, 90);
});

Deno.test("Pinger: -i sends on a fixed schedule, whatever comes back", async () => {
  const { summary, events } = await runScript(Array.from({ length: 20 }, () => drop), {
    interval: 10,
    timeout: 50,
  });
  assertEquals(events.filter(({ event }) => event === "probe").length, 20);
  assert(summary.time >= 185, `${summary.time} ms`);
  assertLess(summary.time, 570);
});

Deno.test("Pinger: without an interval the next probe waits for the reply", async () => {
  const { summary } = await runScript([after(40), after(40), echo], { timeout: 1000 });
  assert(summary.time >= 78, `${summary.time} ms`);
});

Deno.test("Pinger: after a stall, the socket is read before probes count as lost", async () => {
  const stall: Action = async (visit) => {
    await echo(visit);
    const end = performance.now() + 150; // nothing in this process moves: the reply waits
    while (performance.now() < end);
  };
  const { lines } = await runScript([stall, echo], { timeout: 60 });
  assertEquals(lines, ["seq=1 OK", "seq=2 OK"]);
});

Deno.test("Pinger: after a stall, missed probes are skipped, not sent in a burst", async () => {
  const stall: Action = async (visit) => {
    await echo(visit);
    const end = performance.now() + 200;
    while (performance.now() < end);
  };
  const { summary } = await runScript([stall, echo, echo, echo], { interval: 40, timeout: 1000 });
  assert(summary.time >= 200 + 2 * 35, `${summary.time} ms`);
  assertEquals(summary.received, 4);
});

Deno.test("Pinger: the signal ends the run at once, and the probe in flight is not counted", async () => {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), 50);
  const began = performance.now();
  const { counts } = await runScript([echo, drop], { signal: stop.signal, timeout: 20_000 });
  clearTimeout(timer);
  assertLess(performance.now() - began, 5000);
  assertEquals(counts, "1 packet transmitted, 1 received, 0% packet loss");
});

Deno.test("heartbeat: beats follow a fixed schedule", async () => {
  const { took } = await beats({ interval: 10 }, 20);
  assert(took >= 185, `${took} ms`);
  assertLess(took, 600);
});

Deno.test("heartbeat: after a stall, missed beats are skipped", async () => {
  const sleepy = setTimeout(() => {
    const end = performance.now() + 200;
    while (performance.now() < end);
  }, 5);
  const { took } = await beats({ interval: 20 }, 5);
  clearTimeout(sleepy);
  assert(took >= 230, `${took} ms`);
});

Deno.test("command line: times are seconds, or milliseconds with the unit ms", async () => {
  const seconds = await runPinger(["-q", "--json", "-c2", "-W.3"], [drop]);
  const { time } = JSON.parse(seconds.stdout);
  assert(time >= 298 && time < 900, `${time} ms`);
  const { stdout } = await runPinger(["-q", "--json", "-c3", "-i50ms"]);
  assert(JSON.parse(stdout).time >= 98, stdout);
});

Deno.test("command line: --fail-loss and --fail-rtt set the exit status", async () => {
  const lossy = [echo, drop];
  assertEquals((await runPinger(["-c2", "-W.25", "--fail-loss", "50%"], lossy)).code, 0);
  assertEquals((await runPinger(["-c2", "-W.25", "--fail-loss", "0.4"], lossy)).code, 1);
  assertEquals((await runPinger(["-c1", "--fail-rtt", "10"], [after(50)])).code, 1);
  assertEquals((await runPinger(["-c1", "--fail-rtt", "10000"], [echo])).code, 0);
});

Deno.test("command line: -c with -w needs all replies, as ping(8)", async () => {
  assertEquals((await runPinger(["-c2", "-w.2", "-W5"], [echo, drop])).code, 1);
  assertEquals((await runPinger(["-c2", "-w5"], [echo, echo])).code, 0);
});

Deno.test("command line: -f prints a dot for each loss", async () => {
  const { stdout } = await runPinger(["-f", "-c3", "-W.05"], [echo, drop, drop]);
  assertMatch(stdout, /^\.\.\n--- /);
});

Deno.test("command line: -f with --every ends the dots before each line", async () => {
  const { stdout } = await runPinger(["-f", "-c3", "-W.2", "--every=.1"], [echo, drop, drop]);
  assertMatch(stdout, /^(?:\.+\n)?0 to 0\.1 s: 3 packets transmitted/m);
  assertMatch(stdout, /^\.\.\n(?:0 to|---)/m);
});

Deno.test("Pinger: a flood keeps 64 probes in flight at a long round-trip time", async () => {
  const { summary } = await runScript(Array.from({ length: 300 }, () => after(100)), {
    flood: true,
    timeout: 5000,
    report: () => {},
  });
  assertEquals([summary.received, summary.pipe], [300, 64]);
  // 64 each 100 ms; on a busy machine less.
  assert(summary.time >= 390, `${summary.time} ms`);
  assertLess(summary.time, 1500);
});

Deno.test(
  { name: "--live: a resize draws the line anew, in the new width", ignore: !hasScript },
  async () => {
    // Nothing happens after the first reply, until the deadline draws for the last time.
    const args = ["--live", "-c0", "-i60", "-w3"];
    const shown = await inTerminal(args, "sleep 1.5; stty cols 30 </dev/tty");
    const drawings = shown.split("\r\x1b[J").slice(1).map((drawing) =>
      drawing.split("\r")[0] ?? ""
    );
    const narrow = drawings.filter((drawing) => drawing.length < 30);
    assertMatch(drawings[0] ?? "", /^loss {4}0% {2}p50 [\d.]+ ms/);
    assertEquals(narrow.length, 2, drawings.join("\n"));
  },
);

Deno.test(
  { name: "--live: after more than 1,000 probes the line ends in the newest", ignore: !hasScript },
  async () => {
    const shown = await inTerminal(["--live", "-c1100", "-l100", "-W1"]);
    const last = shown.split("\r\x1b[J").findLast((drawing) => drawing.includes("p50")) ?? "";
    assertMatch(last, /^loss \d*\.\d+% {2}p50 [\d.]+ ms {2}p95 [\d.]+ ms {2}[▁-█]{50,60}\r\r?\n/);
  },
);

// ---- The windows of --every ----------------------------------------------

Deno.test("--every: windows follow each other, and their counts add up to the summary", async () => {
  const windows: Window[] = [];
  const { summary } = await runScript([echo, drop, echo, echo, drop, echo, echo], {
    interval: 15,
    timeout: 60,
    every: 40,
    reportWindow: (window: Window) => windows.push(window),
  });
  assertEquals(
    windows.map(({ from, to }) => [from, to]),
    windows.map((_, at) => [40 * at, 40 * at + 40]),
  );
  assert(windows.length >= 2);
  const sum = (name: "transmitted" | "received" | "lost") =>
    windows.reduce((total, window) => total + window.statistics.summary()[name], 0);
  assertEquals([sum("transmitted"), sum("received"), sum("lost")], [7, 5, 2]);
  assertEquals([summary.transmitted, summary.received], [7, 5]);
});

Deno.test("--every: a loss counts in the window in which the probe was sent", async () => {
  const windows: Window[] = [];
  const { summary } = await runScript([drop, echo], {
    interval: 400,
    timeout: 600, // the loss is known in the second window
    every: 300,
    reportWindow: (window: Window) => windows.push(window),
  });
  const summaries = windows.map(({ statistics }) => statistics.summary());
  assertEquals(summaries.map(({ transmitted, lost }) => [transmitted, lost]), [[1, 1], [1, 0]]);
  assertEquals(summaries.map(({ bursts }) => bursts), [1, 0]);
  assertEquals([summary.lost, summary.bursts], [1, 1]);
});

Deno.test("Pinger: a loss among replies that overtake each other is one burst of one", async () => {
  const actions = [echo, drop, hold, echo, echo];
  const { summary } = await runScript(actions, { preload: 3, timeout: 1000 });
  assertEquals([summary.outOfOrder, summary.received], [1, 4]);
  assertEquals([summary.lost, summary.bursts, summary.longest], [1, 1, 1]);
});

Deno.test(
  { name: "--live: a terminal gets one line that is redrawn", ignore: !hasScript },
  async () => {
    const shown = await inTerminal(["--live", "-c3", "-W1", "-i.02"]);
    const drawings = shown.split("\r\x1b[J").slice(1);
    const last = drawings.findLast((drawing) => drawing.includes("loss")) ?? "";
    assertMatch(last, /^loss 33\.3% {2}p50 [\d.]+ ms {2}p95 [\d.]+ ms {2}[▁-█]x[▁-█]\r\r?\n/);
    assert(!shown.includes("seq="), shown);
    assertMatch(
      shown,
      /ping statistics ---\r\n3 packets transmitted, 2 received, 33\.3% packet loss/,
    );
  },
);

Deno.test("command line: -w ends a walk", async () => {
  const { code, stdout } = await runPinger(["-q", "-s", "60-200", "-W5", "-w1"], [drop]);
  assertEquals(code, 1);
  assertMatch(stdout, /\n3 packets transmitted, 0 received, 100% packet loss/);
});

Deno.test("--every: a last window without probes is not reported", async () => {
  const windows: Window[] = [];
  await runScript([echo], {
    count: 2,
    interval: 60_000,
    deadline: 1100,
    every: 1000,
    reportWindow: (window: Window) => windows.push(window),
  });
  assertEquals(windows.map(({ to, statistics }) => [to, statistics.sent]), [[1000, 1]]);
});

Deno.test("Pinger: of the longest probes 1,024 are remembered, for 64 MiB", async () => {
  const replayOld: Action = async (visit) => {
    await echo(visit);
    if (visit.before.length < 1100) return;
    for (const old of [70, 80]) await visit.reply(visit.before[old - 1] ?? new Uint8Array());
  };
  const { events } = await runScript([replayOld], { count: 1100, size: 65_507, timeout: 10_000 });
  const judged = events.filter(({ event }) => event !== "probe" && event !== "reply");
  assertEquals(judged.map(({ event, seq }) => [event, seq]), [["foreign", undefined], [
    "duplicate",
    80,
  ]]);
});
