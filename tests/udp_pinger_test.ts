/**
 * The pinger: against a responder that does as it is told, its statistics as tables, heartbeats,
 * and the command line as its user runs it.
 *
 * @module
 */
import { assert, assertEquals, assertLess, assertMatch } from "@std/assert";
import { printable, toByteString } from "../protocol.ts";
import {
  composer,
  describe,
  describeStatus,
  describeSummary,
  histogram,
  percentile,
  Pinger,
  type PingEvent,
  replay,
  sendHeartbeats,
  shortestProbe,
  Tally,
  wilson,
} from "../udp_pinger.ts";
import { LOCAL, octetsOf, ROOT, runProgram } from "./helpers.ts";

// ---- A responder that does as it is told ---------------------------------

const udp = (hostname: string = LOCAL.hostname) =>
  Deno.listenDatagram({ transport: "udp", hostname, port: 0 });
const addressOf = (socket: Deno.DatagramConn) => socket.addr as Deno.NetAddr;

/** Another address of this machine; where the permissions leave it out, its tests are skipped. */
const ELSEWHERE = "127.0.0.2";
const elsewhere = Deno.permissions.querySync({ name: "net", host: ELSEWHERE }).state === "granted";
if (!elsewhere) console.log(`skipped: replies from another address (no --allow-net=${ELSEWHERE})`);

interface Visit {
  octets: Uint8Array;
  to: Deno.NetAddr;
  /** All datagrams that came so far, this one included. */
  before: Uint8Array[];
  reply: (octets: Uint8Array) => Promise<unknown>;
  replyFrom: (socket: "other port" | "other address", octets: Uint8Array) => Promise<unknown>;
  later: (ms: number, octets: Uint8Array) => void;
  hold: (octets: Uint8Array) => void;
}
type Action = (visit: Visit) => unknown;

const echo: Action = ({ reply, octets }) => reply(octets);
const drop: Action = () => {};
const twice: Action = async ({ reply, octets }) => {
  await reply(octets);
  await reply(octets);
};
const thrice: Action = async ({ reply, octets }) => {
  for (let copy = 0; copy < 3; copy++) await reply(octets);
};
const after = (ms: number): Action => ({ later, octets }) => later(ms, octets);
const twiceLater = (ms: number): Action => ({ later, octets }) => {
  later(ms, octets);
  later(ms + 1, octets);
};
const hold: Action = ({ hold, octets }) => hold(octets);
const flip = (at: number, bits = 1): Action => ({ reply, octets }) =>
  reply(octets.map((octet, index) => index === at ? octet ^ bits : octet));
const flipThenEcho = (at: number): Action => async (visit) => {
  await flip(at)(visit);
  await echo(visit);
};
const cut = (length: number): Action => ({ reply, octets }) => reply(octets.subarray(0, length));
const longer: Action = ({ reply, octets }) => reply(new Uint8Array([...octets, 0x21]));
const say = (text: string): Action => ({ reply }) => reply(octetsOf(text));
const sayThenEcho = (text: string): Action => async (visit) => {
  await say(text)(visit);
  await echo(visit);
};
const otherPort: Action = ({ replyFrom, octets }) => replyFrom("other port", octets);
const otherAddress: Action = ({ replyFrom, octets }) => replyFrom("other address", octets);
const strangersJunk: Action = async (visit) => {
  await visit.replyFrom("other port", octetsOf("hello"));
  await echo(visit);
};
const replayFirst: Action = async (visit) => {
  await visit.reply(visit.before[0] ?? new Uint8Array());
  await echo(visit);
};
const junkThenEcho: Action = async (visit) => {
  for (let copy = 0; copy < 3; copy++) await visit.reply(visit.octets.map(() => 0x7a));
  await echo(visit);
};
const upperCase: Action = ({ reply, octets }) =>
  reply(octetsOf(toByteString(octets).toUpperCase()));
const stamp = (n: number): Action => ({ reply, octets }) => {
  const now = ((performance.timeOrigin + performance.now()) / 1000).toFixed(6);
  const text = toByteString(octets)
    .replace(/rx=[\d.]+/, `rx=${now}`).replace(/tx=[\d.]+/, `tx=${now}`)
    .replace(/n=\d{10}$/, `n=${String(n).padStart(10, "0")}`);
  return reply(octetsOf(text));
};

const stampAndFlip = (at: number): Action => (visit) => {
  const reply = (octets: Uint8Array) =>
    visit.reply(octets.map((octet, index) => index === at ? octet ^ 4 : octet));
  return stamp(1)({ ...visit, reply });
};

/** Answers the n-th datagram as the n-th action says, the rest as the last one does. */
function respond(socket: Deno.DatagramConn, actions: Action[]) {
  const timers: ReturnType<typeof setTimeout>[] = [];
  const others = new Map<string, Deno.DatagramConn>();
  const other = (which: string) => {
    const found = others.get(which) ?? udp(which === "other port" ? "127.0.0.1" : ELSEWHERE);
    others.set(which, found);
    return found;
  };
  const before: Uint8Array[] = [];
  let held: Uint8Array | undefined;
  const serving = (async () => {
    for await (const [view, from] of socket) {
      const to = from as Deno.NetAddr;
      const octets = view.slice();
      before.push(octets);
      const reply = (octets: Uint8Array) => socket.send(octets, to);
      const action = actions[Math.min(before.length, actions.length) - 1] ?? echo;
      await action({
        octets,
        to,
        before,
        reply,
        replyFrom: (which, octets) => other(which).send(octets, to),
        later: (ms, octets) => timers.push(setTimeout(() => reply(octets).catch(() => {}), ms)),
        hold: (octets) => held = octets,
      });
      if (held && action !== hold) {
        await reply(held);
        held = undefined;
      }
    }
  })();
  return {
    before,
    async stop() {
      timers.forEach(clearTimeout);
      socket.close();
      for (const socket of others.values()) socket.close();
      await serving;
    },
  };
}

/** Runs a pinger against a script; returns the lines and the statistics as its user sees them. */
async function runScript(actions: Action[], more: Record<string, unknown> = {}) {
  const server = udp();
  const { hostname, port } = addressOf(server);
  const responder = respond(server, actions);
  const events: PingEvent[] = [];
  const options = {
    count: actions.length,
    timeout: 150,
    preload: 1,
    flood: false,
    oneWay: false,
    signal: new AbortController().signal,
    report: (event: PingEvent) => events.push(event),
    ...more,
  };
  const target = { transport: "udp" as const, hostname, port };
  const pinger = new Pinger(udp("0.0.0.0"), target, options);
  await pinger.run().finally(() => responder.stop());
  const summary = pinger.tally.summary();
  const lines = events.map(describe).filter((line) => line !== null).map(mask);
  const [, counts = ""] = describeSummary("h", summary);
  return { lines, counts: counts.replace(/, time \d+ms/, ""), summary, events, responder };
}

const mask = (line: string) =>
  line.replace(/time=[\d.]+ ms/, "OK").replace(/^\d+ bytes from 127.0.0.1:\d+: /, "")
    .replace(/^\d+ bytes from 127.0.0.2:\d+: /, "elsewhere: ").replace(/:\d+$/, ":P");

// ---- What came back ------------------------------------------------------

const SCRIPTS: {
  rule: string;
  actions: Action[];
  options?: Record<string, unknown>;
  lines: string[];
  counts: string;
}[] = [
  {
    rule: "a reply to each probe",
    actions: [echo, echo, echo],
    lines: ["seq=1 OK", "seq=2 OK", "seq=3 OK"],
    counts: "3 packets transmitted, 3 received, 0% packet loss",
  },
  {
    rule: "what is dropped times out",
    actions: [echo, drop, echo],
    lines: ["seq=1 OK", "seq=2 timeout", "seq=3 OK"],
    counts: "3 packets transmitted, 2 received, 33.3333% packet loss",
  },
  {
    rule: "nothing at all came back",
    actions: [drop, drop],
    lines: ["seq=1 timeout", "seq=2 timeout"],
    counts: "2 packets transmitted, 0 received, 100% packet loss",
  },
  {
    rule: "a delay within the timeout is a round-trip time",
    actions: [after(20)],
    lines: ["seq=1 OK"],
    counts: "1 packets transmitted, 1 received, 0% packet loss",
  },
  {
    rule: "a late reply stays lost, and is not credited to the probe in flight",
    actions: [after(225), after(125)],
    lines: ["seq=1 timeout", "seq=1 OK (late)", "seq=2 OK"],
    counts: "2 packets transmitted, 1 received, +1 late, 50% packet loss",
  },
  {
    rule: "the second copy of a late reply is a duplicate",
    actions: [twiceLater(225), after(125)],
    lines: ["seq=1 timeout", "seq=1 OK (late)", "seq=1 OK (DUP!)", "seq=2 OK"],
    counts: "2 packets transmitted, 1 received, +1 duplicates, +1 late, 50% packet loss",
  },
  {
    rule: "a duplicate is no second reply",
    actions: [twice, echo],
    lines: ["seq=1 OK", "seq=1 OK (DUP!)", "seq=2 OK"],
    counts: "2 packets transmitted, 2 received, +1 duplicates, 0% packet loss",
  },
  {
    rule: "duplicates never make loss negative",
    actions: [thrice, drop, twice],
    lines: [
      "seq=1 OK",
      "seq=1 OK (DUP!)",
      "seq=1 OK (DUP!)",
      "seq=2 timeout",
      "seq=3 OK",
      "seq=3 OK (DUP!)",
    ],
    counts: "3 packets transmitted, 2 received, +3 duplicates, 33.3333% packet loss",
  },
  {
    rule: "a duplicate of the last reply is waited for",
    actions: [twice],
    lines: ["seq=1 OK", "seq=1 OK (DUP!)"],
    counts: "1 packets transmitted, 1 received, +1 duplicates, 0% packet loss",
  },
  {
    rule: "RFC 4737: a reply that a later one has overtaken is out of order",
    actions: [hold, echo, echo],
    options: { preload: 2 },
    lines: ["seq=2 OK", "seq=1 OK (out of order)", "seq=3 OK"],
    counts: "3 packets transmitted, 3 received, +1 out of order, 0% packet loss",
  },
  {
    rule: "a corrupted reply leaves the probe open until its timeout",
    actions: [flip(17), echo],
    lines: ["seq=1 OK (corrupted: byte 17 is 0x__, not 0x__)", "seq=1 timeout", "seq=2 OK"],
    counts: "2 packets transmitted, 1 received, +1 corrupted, 50% packet loss",
  },
  {
    rule: "or until a good copy",
    actions: [flipThenEcho(17), echo],
    lines: ["seq=1 OK (corrupted: byte 17 is 0x__, not 0x__)", "seq=1 OK", "seq=2 OK"],
    counts: "2 packets transmitted, 2 received, +1 corrupted, 0% packet loss",
  },
  {
    rule: "damage in the word sequence is known by the rest",
    actions: [flipThenEcho(0)],
    lines: ["seq=1 OK (corrupted: byte 0 is 0x__, not 0x__)", "seq=1 OK"],
    counts: "1 packets transmitted, 1 received, +1 corrupted, 0% packet loss",
  },
  {
    rule: "damage in the number is not credited to another probe",
    actions: [echo, echo, flipThenEcho(9)],
    lines: ["seq=1 OK", "seq=2 OK", "seq=3 OK (corrupted: byte 9 is 0x__, not 0x__)", "seq=3 OK"],
    counts: "3 packets transmitted, 3 received, +1 corrupted, 0% packet loss",
  },
  {
    rule: "a truncated reply is corrupted",
    actions: [cut(30)],
    lines: ["seq=1 OK (corrupted: 30 bytes, not 45)", "seq=1 timeout"],
    counts: "1 packets transmitted, 0 received, +1 corrupted, 100% packet loss",
  },
  {
    rule: "a reply that is too long is corrupted",
    actions: [longer],
    lines: ["seq=1 OK (corrupted: 46 bytes, not 45)", "seq=1 timeout"],
    counts: "1 packets transmitted, 0 received, +1 corrupted, 100% packet loss",
  },
  {
    rule: "an empty datagram is no reply",
    actions: [sayThenEcho("")],
    lines: ["foreign: 0 octets from 127.0.0.1:P", "seq=1 OK"],
    counts: "1 packets transmitted, 1 received, +1 foreign, 0% packet loss",
  },
  {
    rule: "junk is no reply",
    actions: [sayThenEcho("hello")],
    lines: ["foreign: 5 octets from 127.0.0.1:P", "seq=1 OK"],
    counts: "1 packets transmitted, 1 received, +1 foreign, 0% packet loss",
  },
  {
    rule: "a sequence number that was never sent is no reply",
    actions: [sayThenEcho("sequence=99\ttime=1.000000")],
    lines: ["foreign: 25 octets from 127.0.0.1:P", "seq=1 OK"],
    counts: "1 packets transmitted, 1 received, +1 foreign, 0% packet loss",
  },
  {
    rule: "the right sequence with other octets is corrupted",
    actions: [sayThenEcho("sequence=1\ttime=1.000000")],
    lines: ["seq=1 OK (corrupted: 24 bytes, not 45)", "seq=1 OK"],
    counts: "1 packets transmitted, 1 received, +1 corrupted, 0% packet loss",
  },
  {
    rule: "the right octets from another port do not count",
    actions: [otherPort],
    lines: ["seq=1 OK (DIFFERENT ADDRESS!)", "seq=1 timeout"],
    counts: "1 packets transmitted, 0 received, +1 foreign, 100% packet loss",
  },
  {
    rule: "nor from another address",
    actions: [otherAddress],
    lines: ["elsewhere: seq=1 OK (DIFFERENT ADDRESS!)", "seq=1 timeout"],
    counts: "1 packets transmitted, 0 received, +1 foreign, 100% packet loss",
  },
  {
    rule: "a stranger's junk is foreign",
    actions: [strangersJunk],
    lines: ["foreign: 5 octets from 127.0.0.1:P", "seq=1 OK"],
    counts: "1 packets transmitted, 1 received, +1 foreign, 0% packet loss",
  },
  {
    rule: "an old reply played again is a duplicate",
    actions: [echo, replayFirst],
    lines: ["seq=1 OK", "seq=1 OK (DUP!)", "seq=2 OK"],
    counts: "2 packets transmitted, 2 received, +1 duplicates, 0% packet loss",
  },
  {
    rule: "upper case is not what was sent",
    actions: [upperCase],
    lines: ["seq=1 OK (corrupted: byte 0 is 0x__, not 0x__)", "seq=1 timeout"],
    counts: "1 packets transmitted, 0 received, +1 corrupted, 100% packet loss",
  },
  {
    rule: "with an interval a lost probe does not delay the next one",
    actions: [drop, echo, echo],
    options: { interval: 15 },
    lines: ["seq=2 OK", "seq=3 OK", "seq=1 timeout"],
    counts: "3 packets transmitted, 2 received, 33.3333% packet loss",
  },
  {
    rule: "a preload goes out at once",
    actions: [drop, drop, echo],
    options: { preload: 3 },
    lines: ["seq=3 OK", "seq=1 timeout", "seq=2 timeout"],
    counts: "3 packets transmitted, 1 received, 66.6667% packet loss",
  },
  {
    rule: "RFC 768: as large as a datagram can be",
    actions: [echo],
    options: { size: 65_507, timeout: 1000 },
    lines: ["seq=1 OK"],
    counts: "1 packets transmitted, 1 received, 0% packet loss",
  },
  {
    rule: "what is too large to be sent is an error, and lost",
    actions: [echo],
    options: { size: 65_508 },
    lines: ["seq=1 error: Message too long (os error 90)"],
    counts: "1 packets transmitted, 0 received, +1 errors, 100% packet loss",
  },
  {
    rule: "the places of -T may come back filled",
    actions: [stamp(1), stamp(2)],
    options: { oneWay: true },
    lines: ["seq=1 OK", "seq=2 OK"],
    counts: "2 packets transmitted, 2 received, 0% packet loss",
  },
  {
    rule: "without -T they may not be there",
    actions: [echo],
    options: { oneWay: true },
    lines: ["seq=1 OK"],
    counts: "1 packets transmitted, 1 received, 0% packet loss",
  },
  {
    rule: "damage in the number is known by the rest, with -T too",
    actions: [stamp(1), stampAndFlip(9)],
    options: { oneWay: true },
    lines: ["seq=1 OK", "seq=2 OK (corrupted: byte 9 is 0x__, not 0x__)", "seq=2 timeout"],
    counts: "2 packets transmitted, 1 received, +1 corrupted, 50% packet loss",
  },
  {
    rule: "junk as long as a probe does not keep it from hearing",
    actions: Array.from({ length: 60 }, () => junkThenEcho),
    options: { size: 10_000, interval: 5, report: () => {} },
    lines: [],
    counts: "60 packets transmitted, 60 received, +180 foreign, 0% packet loss",
  },
  {
    rule: "the end is when all are settled, not when the deadline is",
    actions: [echo],
    options: { deadline: 30_000 },
    lines: ["seq=1 OK"],
    counts: "1 packets transmitted, 1 received, 0% packet loss",
  },
  {
    rule: "at the deadline a probe in flight is not lost",
    actions: [echo, drop],
    options: { deadline: 100, timeout: 5000 },
    lines: ["seq=1 OK"],
    counts: "1 packets transmitted, 1 received, 0% packet loss",
  },
  {
    rule: "unless nothing came at all",
    actions: [drop],
    options: { deadline: 40, timeout: 5000 },
    lines: [],
    counts: "1 packets transmitted, 0 received, 100% packet loss",
  },
  {
    rule: "a flood sends on when nothing comes back",
    actions: [...Array.from({ length: 70 }, () => drop), echo],
    options: { flood: true, timeout: 600 },
    lines: [
      "seq=71 OK",
      ...Array.from({ length: 70 }, (_, index) => `seq=${index + 1} timeout`),
    ],
    counts: "71 packets transmitted, 1 received, 98.5915% packet loss",
  },
];

for (const { rule, actions, options, lines, counts } of SCRIPTS) {
  const ignore = actions.includes(otherAddress) && !elsewhere;
  Deno.test({ name: `Pinger: ${rule}`, ignore }, async () => {
    const result = await runScript(actions, options);
    const masked = result.lines.map((line) => line.replace(/0x\w\w/g, "0x__"));
    assertEquals(masked, lines);
    assertEquals(result.counts, counts);
  });
}

Deno.test("Pinger: the number of the octet and both values are told", async () => {
  const { events, responder } = await runScript([flip(9, 2)]);
  assertEquals(
    events.find(({ event }) => event === "corrupted")?.reason,
    "byte 9 is 0x33, not 0x31",
  );
  assertMatch(toByteString(responder.before[0] ?? new Uint8Array()), /^sequence=1\ttime=/);
});

Deno.test("Pinger: round-trip times are those of the path", async () => {
  const { summary } = await runScript([after(30), after(30), after(30)], { timeout: 1000 });
  assert((summary.rtt?.min ?? 0) >= 29, `${summary.rtt?.min} ms`);
  assertLess(summary.rtt?.avg ?? 1e9, 90);
});

Deno.test("Pinger: probes go out on the grid, whatever comes back", async () => {
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

Deno.test("Pinger: after a stall the socket is read before a timeout is judged", async () => {
  const stall: Action = async (visit) => {
    await echo(visit);
    const end = performance.now() + 150; // nothing in this process moves: the reply waits
    while (performance.now() < end);
  };
  const { lines } = await runScript([stall, echo], { timeout: 60 });
  assertEquals(lines, ["seq=1 OK", "seq=2 OK"]);
});

Deno.test("Pinger: after a stall missed probes are skipped, not sent in a burst", async () => {
  const stall: Action = async (visit) => {
    await echo(visit);
    const end = performance.now() + 200;
    while (performance.now() < end);
  };
  const { summary } = await runScript([stall, echo, echo, echo], { interval: 40, timeout: 1000 });
  assert(summary.time >= 200 + 2 * 35, `${summary.time} ms`);
  assertEquals(summary.received, 4);
});

Deno.test("Pinger: the signal ends it at once, and the probe in flight is not counted", async () => {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), 50);
  const began = performance.now();
  const { counts } = await runScript([echo, drop], { signal: stop.signal, timeout: 20_000 });
  clearTimeout(timer);
  assertLess(performance.now() - began, 5000);
  assertEquals(counts, "1 packets transmitted, 1 received, 0% packet loss");
});

Deno.test("Pinger: what the reader of the events throws ends the run", async () => {
  const error = await runScript([echo], {
    report: () => {
      throw new Deno.errors.BrokenPipe("gone");
    },
  }).catch((error) => error);
  assert(error instanceof Deno.errors.BrokenPipe);
});

// ---- Which way lost ------------------------------------------------------

const ONE_WAY = [
  { rule: "nothing lost", actions: [stamp(1), stamp(2), stamp(3)], up: 0, down: 0 },
  { rule: "one request lost", actions: [stamp(1), drop, stamp(2)], up: 1, down: 0 },
  { rule: "one reply lost", actions: [stamp(1), drop, stamp(3)], up: 0, down: 1 },
  { rule: "two and one", actions: [stamp(1), drop, drop, drop, stamp(4)], up: 1, down: 2 },
];
for (const { rule, actions, up, down } of ONE_WAY) {
  Deno.test(`Pinger -T: ${rule}`, async () => {
    const { summary } = await runScript(actions, { oneWay: true });
    assertEquals([summary.oneWay?.lostUp, summary.oneWay?.lostDown], [up, down]);
  });
}

const DAMAGED_PLACES = [
  { rule: "the time of arrival", place: /rx=\d{4}/, put: "rx=9999" },
  { rule: "the time of departure", place: /tx=\d{4}/, put: "tx=9999" },
  { rule: "the count", place: /n=0/, put: "n=4" },
];
for (const { rule, place, put } of DAMAGED_PLACES) {
  Deno.test(`Pinger -T: a damaged digit in ${rule} is no measurement`, async () => {
    const damage: Action = (visit) => {
      const reply = (octets: Uint8Array) =>
        visit.reply(octetsOf(toByteString(octets).replace(place, put)));
      return stamp(2)({ ...visit, reply });
    };
    const { summary } = await runScript([stamp(1), damage, stamp(3)], { oneWay: true });
    assertEquals([summary.received, summary.oneWay?.lostUp, summary.oneWay?.lostDown], [3, 0, 0]);
    assertLess((summary.oneWay?.queueUp ?? 1e9) + (summary.oneWay?.queueDown ?? 1e9), 1000);
  });
}

Deno.test("Pinger -T: a plain echo gives no one-way data", async () => {
  const { summary } = await runScript([echo], { oneWay: true });
  assertEquals(summary.oneWay, null);
});

Deno.test("Tally: queues are relative to their minimum, whatever the other clock says", () => {
  const tally = new Tally();
  for (const [up, down] of [[1, 5], [4, 5], [1, 7]] as const) {
    tally.addTimes(100, 100 + up + 5000, 100 + up + 5000, 100 + up + down, 3);
  }
  tally.sent = 3;
  const { oneWay } = tally.summary();
  assertEquals([oneWay?.queueUp, oneWay?.queueDown, oneWay?.offset], [1, 0.667, 4998]);
});

// ---- Statistics ----------------------------------------------------------

interface Numbers {
  rule: string;
  /** In order of the sequence: a round-trip time, or null for a loss. */
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
      "replay: udp_ping_server.ts --delay 2 --jitter 2 --loss 0",
    ],
  },
  {
    rule: "one reply has no jitter and no deviation",
    rtts: [0.142],
    want: [
      "1 packets transmitted, 1 received, 0% packet loss, time 0ms",
      "rtt min/avg/max/mdev = 0.142/0.142/0.142/0.000 ms",
      "replay: udp_ping_server.ts --delay 0.142 --jitter 0 --loss 0",
    ],
  },
  {
    rule: "nothing came: no line of times, and no path to replay",
    rtts: [null, null],
    want: [
      "2 packets transmitted, 0 received, 100% packet loss, time 0ms",
      "loss in 1 bursts, longest 2, 95% interval 34% to 100%",
    ],
  },
  {
    rule: "3 of 10, in two bursts",
    rtts: [null, 1, 1, null, null, 1, 1, 1, 1, 1],
    time: 3802,
    want: [
      "10 packets transmitted, 7 received, 30% packet loss, time 3802ms",
      "rtt min/avg/max/mdev = 1.000/1.000/1.000/0.000 ms",
      "jitter 0.000 ms; loss in 2 bursts, longest 2, 95% interval 11% to 60%",
      "replay: udp_ping_server.ts --delay 1 --jitter 0 --loss 0.3 --burst 1.5",
    ],
  },
  {
    rule: "what came back damaged is not lost once more in the replay",
    rtts: [null, 1, null, 1, 1],
    more: { corrupted: 1 },
    want: [
      "5 packets transmitted, 3 received, +1 corrupted, 40% packet loss, time 0ms",
      "rtt min/avg/max/mdev = 1.000/1.000/1.000/0.000 ms",
      "jitter 0.000 ms; loss in 2 bursts, longest 1, 95% interval 12% to 77%",
      "replay: udp_ping_server.ts --delay 1 --jitter 0 --loss 0.2 --burst 1 --corrupt 0.25",
    ],
  },
  {
    rule: "all counters, in their order",
    rtts: [1, 1, null],
    more: { duplicates: 1, corrupted: 2, errors: 3, late: 4, outOfOrder: 5 },
    want: [
      "3 packets transmitted, 2 received, +1 duplicates, +2 corrupted, +3 errors, +4 late, " +
      "+5 out of order, 33.3333% packet loss, time 0ms",
      "rtt min/avg/max/mdev = 1.000/1.000/1.000/0.000 ms",
      "jitter 0.000 ms; loss in 1 bursts, longest 1, 95% interval 6.1% to 79%",
      "replay: udp_ping_server.ts --delay 1 --jitter 0 --loss 0 " +
      "--duplicate 0.5 --corrupt 0.5 --reorder 1",
    ],
  },
  {
    rule: "replies that jitter alone let overtake are no --reorder in the replay",
    rtts: [10, 14, 6, 10, 12],
    more: { outOfOrder: 1 },
    time: 8,
    want: [
      "5 packets transmitted, 5 received, +1 out of order, 0% packet loss, time 8ms",
      "rtt min/avg/max/mdev = 6.000/10.400/14.000/2.653 ms",
      "jitter 4.500 ms",
      "replay: udp_ping_server.ts --delay 10 --jitter 2 --loss 0",
    ],
  },
  {
    rule: "percentiles from 20 replies on",
    rtts: ramp(20),
    want: [
      "20 packets transmitted, 20 received, 0% packet loss, time 0ms",
      "rtt min/avg/max/mdev = 1.000/10.500/20.000/5.766 ms",
      "jitter 1.000 ms, p50/p95 = 10.000/19.000 ms",
      "replay: udp_ping_server.ts --delay 10 --jitter 10 --loss 0",
    ],
  },
  {
    rule: "not from 19",
    rtts: ramp(19),
    want: [
      "19 packets transmitted, 19 received, 0% packet loss, time 0ms",
      "rtt min/avg/max/mdev = 1.000/10.000/19.000/5.477 ms",
      "jitter 1.000 ms",
      "replay: udp_ping_server.ts --delay 10 --jitter 10 --loss 0",
    ],
  },
  {
    rule: "the 99th from 100 on",
    rtts: ramp(100),
    want: [
      "100 packets transmitted, 100 received, 0% packet loss, time 0ms",
      "rtt min/avg/max/mdev = 1.000/50.500/100.000/28.866 ms",
      "jitter 1.000 ms, p50/p95/p99 = 50.000/95.000/99.000 ms",
      "replay: udp_ping_server.ts --delay 50 --jitter 50 --loss 0",
    ],
  },
  {
    rule: "1 of 200 is half a per cent",
    rtts: [null, ...Array.from({ length: 199 }, () => 2)],
    want: [
      "200 packets transmitted, 199 received, 0.5% packet loss, time 0ms",
      "rtt min/avg/max/mdev = 2.000/2.000/2.000/0.000 ms",
      "jitter 0.000 ms, p50/p95/p99 = 2.000/2.000/2.000 ms; " +
      "loss in 1 bursts, longest 1, 95% interval 0.088% to 2.8%",
      "replay: udp_ping_server.ts --delay 2 --jitter 0 --loss 0.005 --burst 1",
    ],
  },
  {
    rule: "a burst that no shorter mean could explain",
    rtts: [null, 1, null, 1, null],
    want: [
      "5 packets transmitted, 2 received, 60% packet loss, time 0ms",
      "rtt min/avg/max/mdev = 1.000/1.000/1.000/0.000 ms",
      "jitter 0.000 ms; loss in 3 bursts, longest 1, 95% interval 23% to 88%",
      "replay: udp_ping_server.ts --delay 1 --jitter 0 --loss 0.6 --burst 1.5",
    ],
  },
];

function tally({ rtts, more = {}, time = 0 }: Pick<Numbers, "rtts" | "more" | "time">): Tally {
  const tally = new Tally();
  for (const rtt of rtts) {
    tally.sent++;
    if (rtt !== null) tally.add(rtt);
    tally.settle(rtt === null);
  }
  Object.assign(tally.counts, more);
  return Object.assign(tally, { time });
}

for (const { rule, want, ...numbers } of STATISTICS) {
  Deno.test(`statistics: ${rule}`, () => {
    const lines = describeSummary("127.0.0.1:12000", tally(numbers).summary());
    assertEquals(lines, ["--- 127.0.0.1:12000 ping statistics ---", ...want]);
  });
}

Deno.test("statistics: a flood shows pipe and ipg/ewma as ping(8) does", () => {
  const flood = tally({ rtts: [1, 9], time: 5 });
  flood.pipe = 2;
  const [, , line] = describeSummary("h", flood.summary(), true);
  assertEquals(
    line,
    "rtt min/avg/max/mdev = 1.000/5.000/9.000/4.000 ms, pipe 2, ipg/ewma 5.000/2.000 ms",
  );
});

Deno.test("statistics: nothing was sent", () => {
  assertEquals(describeSummary("h", new Tally().summary()), [
    "--- h ping statistics ---",
    "0 packets transmitted, 0 received",
  ]);
});

Deno.test("statistics: SIGQUIT's line", () => {
  const rtts = [0.025, 0.029, null, 0.03, 0.027];
  assertEquals(
    describeStatus(tally({ rtts }).summary()),
    "4/5 packets, 20% loss, min/avg/ewma/max = 0.025/0.028/0.026/0.030 ms",
  );
  assertEquals(describeStatus(tally({ rtts: [null] }).summary()), "0/1 packets, 100% loss");
});

const QUANTILES = [
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
  Deno.test(`Wilson's interval of ${lost} in ${sent}`, () => {
    assertEquals(wilson(lost, sent).map((end) => Number(end.toPrecision(2))).join(" to "), want);
  });
}

Deno.test("statistics: more replies than the memory holds keep their quantiles", () => {
  const many = new Tally();
  for (let index = 0; index < 200_000; index++) many.add(1 + (index * 7919 % 1000) / 1000);
  many.sent = 200_000;
  const { p50, rtt } = many.summary();
  assertLess(Math.abs((p50 ?? 0) - 1.5), 0.02);
  assertEquals(rtt?.min, 1);
});

Deno.test("replay says nothing when nothing came", () => {
  assertEquals(replay(new Tally().summary()), null);
});

Deno.test("histogram: rows of equal ratio, every reply in one", () => {
  const lines = histogram([1, 1, 1, 2, 4, 8, 16], 4, 3);
  assertEquals(lines, [
    "     1.000 ms |###| 3",
    "     2.000 ms |#  | 1",
    "     4.000 ms |#  | 1",
    "     8.000 ms |## | 2",
  ]);
  assertEquals(histogram([3]).length, 1);
});

// ---- Probes --------------------------------------------------------------

for (const size of [34, 35, 37, 38, 39, 45, 46, 47, 50, 51, 56, 1400, 65_507]) {
  Deno.test(`composer: a probe of ${size} octets`, () => {
    const text = toByteString(composer(size, false)(1, 0));
    assertEquals(text.length, size);
    assertMatch(text, /^sequence=0*1\ttime=\d{10}\.\d{6}(\tid=[0-9a-f]{8})?(\tpad=[a-z]*)?$/);
  });
}

Deno.test("composer: the places of -T come last", () => {
  const text = toByteString(composer(undefined, true)(7, 0));
  assertMatch(
    text,
    /^sequence=7\ttime=[\d.]+\tid=\w{8}\trx=0{10}\.0{6}\ttx=0{10}\.0{6}\tn=0{10}$/,
  );
  assertEquals(composer(120, true)(7, 0).length, 120);
  assertEquals(shortestProbe(10, true), shortestProbe(10, false) + 55);
});

// ---- Heartbeats ----------------------------------------------------------

/** Sends beats to a socket of ours; returns what came. */
async function beats(options: Record<string, unknown>, stopAfter = Infinity) {
  const monitor = udp();
  const stop = new AbortController();
  const heard: string[] = [];
  const hearing = (async () => {
    for await (const [octets] of monitor) {
      heard.push(toByteString(octets));
      if (heard.length === stopAfter) stop.abort();
      if (heard.at(-1)?.includes("bye=1")) return;
    }
  })();
  const sender = udp();
  const warn = () => {};
  const fixed = { interval: 20, count: Infinity, signal: stop.signal, warn };
  const began = performance.now();
  const result = await sendHeartbeats(sender, addressOf(monitor), { ...fixed, ...options });
  await hearing;
  sender.close();
  monitor.close();
  return { heard, result, took: performance.now() - began };
}

Deno.test("heartbeat: name and interval, and a farewell in the last beat", async () => {
  const { heard, result } = await beats({ name: "web1", count: 3 });
  const shapes = heard.map((line) => printable(line.replace(/time=\d{10}\.\d{6}/, "time=T")));
  assertEquals(shapes, [
    "sequence=1\\x09time=T\\x09name=web1\\x09interval=0.02",
    "sequence=2\\x09time=T\\x09name=web1\\x09interval=0.02",
    "sequence=3\\x09time=T\\x09name=web1\\x09interval=0.02\\x09bye=1",
  ]);
  assertEquals(result, { sent: 3, errors: 0 });
});

Deno.test("heartbeat: without a name there is no field for it", async () => {
  const { heard } = await beats({ count: 1 });
  assertMatch(heard[0] ?? "", /^sequence=1\ttime=[\d.]+\tinterval=0.02\tbye=1$/);
});

Deno.test("heartbeat: the interval is written as a person would", async () => {
  const { heard } = await beats({ interval: 1000 * 0.07, count: 1 });
  assertMatch(heard[0] ?? "", /\tinterval=0.07\tbye=1$/);
});

Deno.test("heartbeat: the signal brings the farewell at once", async () => {
  const { heard, took } = await beats({ interval: 20_000 }, 1);
  assertEquals(heard.length, 2);
  assertMatch(heard[1] ?? "", /^sequence=2\t.*\tbye=1$/);
  assertLess(took, 5000);
});

Deno.test("heartbeat: beats are on a grid", async () => {
  const { took } = await beats({ interval: 10, count: 21 });
  assert(took >= 195, `${took} ms`);
  assertLess(took, 600);
});

Deno.test("heartbeat: after a stall the missed beats are skipped", async () => {
  const sleepy = setTimeout(() => {
    const end = performance.now() + 200;
    while (performance.now() < end);
  }, 5);
  const { took } = await beats({ interval: 20, count: 5 });
  clearTimeout(sleepy);
  assert(took >= 230, `${took} ms`);
});

Deno.test("heartbeat: errors of sending are told on change only", async () => {
  const sender = udp();
  const told: string[] = [];
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), 60);
  const target = { transport: "udp" as const, hostname: "::1", port: 9 }; // from an IPv4 socket
  const warn = (text: string) => told.push(text);
  const options = { interval: 5, count: Infinity, signal: stop.signal, warn };
  const { sent, errors } = await sendHeartbeats(sender, target, options);
  clearTimeout(timer);
  sender.close();
  assertEquals([sent, told.length], [0, 1]);
  assert(errors > 2);
});

// ---- The command line ----------------------------------------------------

const REFUSED = [
  { args: ["-c", "x", "h"], says: 'Cannot use -c "x"' },
  { args: ["-c", "-1", "h"], says: 'Cannot use -c "-1"' },
  { args: ["-i", "1e3", "h"], says: 'Cannot use -i "1e3"' },
  { args: ["-W", "0", "h"], says: 'Cannot use -W "0"' },
  { args: ["-s", "5", "h"], says: 'Cannot use -s "5": expected a whole number from 34' },
  { args: ["-l", "257", "h"], says: 'Cannot use -l "257"' },
  { args: ["h", "70000"], says: 'Cannot use PORT "70000"' },
  { args: ["h", "0"], says: 'Cannot use PORT "0"' },
  { args: ["h", "1", "2"], says: 'Cannot use "2": expected HOST [PORT]' },
  { args: ["--fail-loss", "2", "h"], says: 'Cannot use --fail-loss "2"' },
  { args: ["-4", "-6", "h"], says: "Cannot use -4 and -6 together" },
  { args: ["--heartbeat", "--name", "a b", "h"], says: 'Cannot use --name "a b"' },
  { args: ["--name", "web1", "h"], says: 'Option "--name" needs --heartbeat' },
  { args: ["--jsn", "h"], says: 'Unknown option "--jsn": did you mean --json?' },
  { args: ["-c"], says: 'Option "-c" needs a value' },
];
for (const { args, says } of REFUSED) {
  Deno.test(`command line: ${args.join(" ")} is refused`, async () => {
    const { code, stdout, stderr } = await runProgram("udp_pinger.ts", args);
    assertEquals([code, stdout], [2, ""]);
    assert(stderr.startsWith(`udp_pinger: ${says}`) && stderr.endsWith("\n"), stderr);
    assertEquals(stderr.split("\n").length, 2);
  });
}

const COMMANDS = [
  { args: ["--help"], code: 0, stdout: /-c, --count N/, stderr: /^$/ },
  { args: ["-V"], code: 0, stdout: /^udp_pinger \d/, stderr: /^$/ },
  { args: [], code: 2, stdout: /^$/, stderr: /^udp_pinger: Cannot ping without a HOST\n$/ },
  { args: ["-c1", "-W.05", "127.0.0.1", "1"], code: 1, stdout: /\nall lost: .*1,/, stderr: /^$/ },
  { args: ["no.such.host.invalid"], code: 2, stdout: /^$/, stderr: /^udp_pinger: Cannot resolve/ },
  { args: ["1.2.3.4.5"], code: 2, stdout: /^$/, stderr: /"1.2.3.4.5": expected a host\n$/ },
  { args: ["-6", "127.0.0.1"], code: 2, stdout: /^$/, stderr: /"127.0.0.1" with -6\n$/ },
  {
    args: ["--heartbeat", "-c1", "-i.01", "127.0.0.1"],
    code: 0,
    stdout: /^1 heartbeats/,
    stderr: /./,
  },
  {
    args: ["--heartbeat", "-w.05", "-i60", "127.0.0.1"],
    code: 0,
    stdout: /^2 heartbeats/,
    stderr: /./,
  },
];
for (const { args, code, stdout, stderr } of COMMANDS) {
  Deno.test(`command line: udp_pinger ${args.join(" ")}`, async () => {
    const outcome = await runProgram("udp_pinger.ts", args);
    assertEquals(outcome.code, code);
    assertMatch(outcome.stdout, stdout);
    assertMatch(outcome.stderr, stderr);
  });
}

/** Runs the program against a responder. */
async function runPinger(args: string[], actions: Action[] = [echo], allow?: string[]) {
  const server = udp();
  const { hostname, port } = addressOf(server);
  const responder = respond(server, actions);
  const outcome = await runProgram("udp_pinger.ts", [...args, hostname, String(port)], {
    ...(allow && { allow }),
  });
  await responder.stop();
  return { ...outcome, port, before: responder.before };
}

for (const host of ["127.1", "::ffff:127.0.0.1", "0.0.0.0", "localhost"]) {
  Deno.test(`command line: ${host} is 127.0.0.1`, async () => {
    const server = udp();
    const { port } = addressOf(server);
    const responder = respond(server, [echo]);
    const { code, stdout } = await runProgram("udp_pinger.ts", ["-c1", host, String(port)]);
    await responder.stop();
    assertEquals(code, 0);
    assertMatch(stdout, /^45 bytes from 127.0.0.1:\d+: seq=1 time=[\d.]+ ms\n/);
  });
}

Deno.test("command line: lines and summary as ping(8) has them", async () => {
  const { code, stdout, stderr, port } = await runPinger(["-c2", "-W.1"], [echo, drop]);
  const shape = stdout.replaceAll(String(port), "P").replace(/\d+\.\d{3}/g, "D")
    .replace(/\d+ms/, "Tms").replace(/--delay [\d.]+/, "--delay D");
  assertEquals([code, stderr], [0, ""]);
  assertEquals(shape.split("\n"), [
    "45 bytes from 127.0.0.1:P: seq=1 time=D ms",
    "seq=2 timeout",
    "--- 127.0.0.1:P ping statistics ---",
    "2 packets transmitted, 1 received, 50% packet loss, time Tms",
    "rtt min/avg/max/mdev = D/D/D/D ms",
    "loss in 1 bursts, longest 1, 95% interval 9.5% to 91%",
    "replay: udp_ping_server.ts --delay D --jitter 0 --loss 0.5 --burst 1",
    "",
  ]);
});

Deno.test("command line: --json has one object a line, numbers as numbers", async () => {
  const { stdout } = await runPinger(["-c3", "--json", "-W.1", "-D"], [
    twice,
    drop,
    flipThenEcho(17),
  ]);
  const events = stdout.trim().split("\n").map((line) => JSON.parse(line));
  const { rtt, loss, time, received, event } = events.at(-1);
  assertEquals([event, received, loss, typeof time], ["summary", 2, 33.3333, "number"]);
  assertEquals(Object.keys(rtt), ["min", "avg", "max", "mdev"]);
  const reply = events.find(({ event }) => event === "reply");
  assertEquals([reply.seq, typeof reply.rtt, typeof reply.timestamp], [1, "number", "number"]);
  const kinds = new Set(events.map(({ event }) => event));
  assertEquals(
    [...kinds].sort(),
    ["corrupted", "duplicate", "probe", "reply", "summary", "timeout"],
  );
});

Deno.test("command line: -q leaves the statistics, -D puts the time before each line", async () => {
  const quiet = await runPinger(["-q", "-c2"]);
  assertMatch(quiet.stdout, /^--- 127/);
  const dated = await runPinger(["-D", "-c1"]);
  assertMatch(dated.stdout, /^\[\d{10}\.\d{6}\] 45 bytes from/);
});

Deno.test("command line: times are seconds, milliseconds where they say so", async () => {
  const seconds = await runPinger(["-q", "--json", "-c2", "-W.3"], [drop]);
  const { time } = JSON.parse(seconds.stdout);
  assert(time >= 298 && time < 900, `${time} ms`);
  const { stdout } = await runPinger(["-q", "--json", "-c3", "-i50ms"]);
  assert(JSON.parse(stdout).time >= 98, stdout);
});

Deno.test("command line: -f draws a dot for each loss", async () => {
  const { stdout } = await runPinger(["-f", "-c3", "-W.05"], [echo, drop, drop]);
  assertMatch(stdout, /^\.\.\n--- /);
});

Deno.test("command line: --fail-loss and --fail-rtt decide the status", async () => {
  const lossy = [echo, drop];
  assertEquals((await runPinger(["-c2", "-W.05", "--fail-loss", "50%"], lossy)).code, 0);
  assertEquals((await runPinger(["-c2", "-W.05", "--fail-loss", "0.4"], lossy)).code, 1);
  assertEquals((await runPinger(["-c1", "--fail-rtt", "10"], [after(50)])).code, 1);
  assertEquals((await runPinger(["-c1", "--fail-rtt", "10000"], [echo])).code, 0);
});

Deno.test("command line: -c and -w together want all replies, as ping(8) does", async () => {
  assertEquals((await runPinger(["-c2", "-w.2", "-W5"], [echo, drop])).code, 1);
  assertEquals((await runPinger(["-c2", "-w5"], [echo, echo])).code, 0);
});

Deno.test("command line: -T, --histogram and -v", async () => {
  const { stdout, stderr } = await runPinger(["-T", "--histogram", "-v", "-c2"], [
    stamp(1),
    stamp(2),
  ]);
  assertMatch(stdout, /\none way: loss up 0, loss down 0; up queue \+\d/);
  assertMatch(stdout, / ms \|#+ *\| 1\n/);
  assertMatch(stderr, /^> 100 octets: sequence=1\\x09time=/m);
  assertMatch(stderr, /^< 100 octets, 127.0.0.1:\d+: sequence=1/m);
  assertMatch((await runPinger(["-T", "-c1"])).stdout, /\nplain echo server: no one-way data\n/);
});

const HINTS: { what: string; actions: Action[]; args?: string[]; hint: RegExp; code?: number }[] = [
  { what: "silence", actions: [drop], hint: /^all lost: nothing answers on port \d+, or UDP/ },
  { what: "junk", actions: [say("hello")], hint: /^all lost: nothing answers on port \d+/ },
  { what: "upper case", actions: [upperCase], hint: /^all lost: the server answers, but not/ },
  { what: "another port", actions: [otherPort], hint: /^all lost: answered by another .* --host$/ },
  { what: "an error", actions: [echo], args: ["-s65508"], hint: /^loss in 1 bursts/, code: 2 },
];
for (const { what, actions, args = [], hint, code = 1 } of HINTS) {
  Deno.test(`command line: the last line after ${what} alone`, async () => {
    const result = await runPinger(["-c1", "-W.1", ...args], actions);
    assertEquals(result.code, code);
    assertMatch(result.stdout.trimEnd().split("\n").at(-1) ?? "", hint);
  });
}

Deno.test("command line: the permissions of the README are enough, one less is named", async () => {
  const allowed = ["--unstable-net", "--allow-net=0.0.0.0:0,127.0.0.1"];
  assertEquals((await runPinger(["-c1"], [echo], allowed)).code, 0);
  const refused = await runPinger(["-c1"], [echo], ["--allow-net=0.0.0.0:0"]);
  assertEquals(refused.code, 2);
  assertMatch(refused.stderr, /^udp_pinger: Deno was not allowed .* --allow-net=127.0.0.1:\d+\n$/);
});

/** Starts the program, and lets the test do something to it. */
async function during(
  args: string[],
  actions: Action[],
  act: (child: Deno.ChildProcess, lines: () => Promise<string>) => Promise<void>,
) {
  const server = udp();
  const { hostname, port } = addressOf(server);
  const responder = respond(server, actions);
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", `${ROOT}udp_pinger.ts`, ...args, hostname, String(port)],
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let stdout = "";
  const more = async () => {
    const { value } = await reader.read();
    stdout += value ?? "";
    return value ?? "";
  };
  await act(child, more);
  while (await more() !== "");
  const [{ code }, stderr] = await Promise.all([child.status, new Response(child.stderr).text()]);
  await reader.cancel();
  await responder.stop();
  return { code, stdout, stderr };
}

Deno.test("command line: Ctrl-C prints the statistics at once", async () => {
  const { code, stdout } = await during(["-c0", "-i.02", "-W30"], [echo], async (child, more) => {
    await more();
    child.kill("SIGINT");
  });
  assertEquals(code, 0);
  assertMatch(stdout, /ping statistics ---\n\d+ packets transmitted, \d+ received, 0% packet loss/);
});

Deno.test("command line: SIGQUIT prints a line and goes on", async () => {
  const { code, stdout, stderr } = await during(["-c0", "-i.02"], [echo], async (child, more) => {
    await more();
    child.kill("SIGQUIT");
    await more();
    await more();
    child.kill("SIGTERM");
  });
  assertEquals(code, 0);
  assertMatch(stderr, /^\d+\/\d+ packets, 0% loss, min\/avg\/ewma\/max = [\d./]+ ms\n$/);
  assertMatch(stdout, /ping statistics/);
});

Deno.test("command line: standard output closed ends it quietly", async () => {
  const server = udp();
  const { port } = addressOf(server);
  const responder = respond(server, [echo]);
  const child = new Deno.Command("sh", {
    args: [
      "-c",
      `"$0" run -A "$1" -c0 -i.01 127.0.0.1 ${port} | head -n 1`,
      Deno.execPath(),
      `${ROOT}udp_pinger.ts`,
    ],
    stdout: "piped",
    stderr: "piped",
  });
  const { code, stdout, stderr } = await child.output();
  await responder.stop();
  assertEquals([code, toByteString(stderr)], [0, ""]);
  assertMatch(toByteString(stdout), /^45 bytes from .*\n$/);
});

Deno.test("command line: a heartbeat says goodbye at Ctrl-C", async () => {
  const server = udp();
  const { port } = addressOf(server);
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-A", `${ROOT}udp_pinger.ts`, "--heartbeat", "-i30", "--name", "web1", "-q"],
      ...["127.0.0.1", String(port)],
    ],
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const heard: string[] = [];
  for await (const [octets] of server) {
    heard.push(toByteString(octets));
    if (heard.length === 2) break;
    child.kill("SIGINT");
  }
  server.close();
  const { code, stdout } = await child.output();
  assertEquals([code, toByteString(stdout)], [
    0,
    `2 heartbeats sent to 127.0.0.1:${port}, 0 errors\n`,
  ]);
  assertMatch(heard[1] ?? "", /^sequence=2\ttime=[\d.]+\tname=web1\tinterval=30\tbye=1$/);
});
