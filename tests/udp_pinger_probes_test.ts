/**
 * Tests of the probes: what counts as a reply, when the next probe goes out, which way lost it.
 *
 * @module
 */
import { assert, assertEquals, assertLess, assertMatch } from "jsr:@std/assert@^1.0.19";
import { toByteString } from "../protocol.ts";
import { Pinger, type PingEvent, probeEncoder, shortestProbe, Statistics } from "../udp_pinger.ts";
import { octetsOf } from "./helpers.ts";
import {
  type Action,
  addressOf,
  after,
  cut,
  drop,
  echo,
  flip,
  flipThenEcho,
  hold,
  junkThenEcho,
  longer,
  otherAddress,
  otherPort,
  replayFirst,
  respond,
  runScript,
  sayThenEcho,
  stamp,
  stampAndFlip,
  strangersJunk,
  testScripts,
  thrice,
  twice,
  udp,
  upperCase,
} from "./udp_pinger_helpers.ts";

/** Damages octets of a reply, then sends it undamaged. */
const damageThenEcho = (...places: number[]): Action => async (visit) => {
  await visit.reply(visit.octets.map((octet, at) => places.includes(at) ? octet ^ 1 : octet));
  await echo(visit);
};

/** Fills the last octet of a field with a letter. */
const badFieldsThenEcho: Action = async (visit) => {
  await visit.reply(visit.octets.map((octet, at) => at === 99 ? 0x3a : octet));
  await echo(visit);
};

// ---- What came back ------------------------------------------------------

testScripts([
  {
    rule: "a reply to each probe",
    actions: [echo, echo, echo],
    lines: ["seq=1 OK", "seq=2 OK", "seq=3 OK"],
    counts: "3 packets transmitted, 3 received, 0% packet loss",
  },
  {
    rule: "a dropped probe times out",
    actions: [echo, drop, echo],
    lines: ["seq=1 OK", "seq=2 timeout", "seq=3 OK"],
    counts: "3 packets transmitted, 2 received, 33.3% packet loss",
  },
  {
    rule: "a delay within the timeout is a round-trip time",
    actions: [after(20)],
    lines: ["seq=1 OK"],
    counts: "1 packet transmitted, 1 received, 0% packet loss",
  },
  {
    rule: "a duplicate is not a second reply",
    actions: [twice, echo],
    lines: ["seq=1 OK", "seq=1 OK (DUP!)", "seq=2 OK"],
    counts: "2 packets transmitted, 2 received, +1 duplicate, 0% packet loss",
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
    counts: "3 packets transmitted, 2 received, +3 duplicates, 33.3% packet loss",
  },
  {
    rule: "waits for a duplicate of the last reply",
    actions: [twice],
    lines: ["seq=1 OK", "seq=1 OK (DUP!)"],
    counts: "1 packet transmitted, 1 received, +1 duplicate, 0% packet loss",
  },
  {
    rule: "RFC 4737 §3.3: a reply that a later one overtook is out of order",
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
    rule: "a good copy after a corrupted reply is a reply",
    actions: [flipThenEcho(17), echo],
    lines: ["seq=1 OK (corrupted: byte 17 is 0x__, not 0x__)", "seq=1 OK", "seq=2 OK"],
    counts: "2 packets transmitted, 2 received, +1 corrupted, 0% packet loss",
  },
  {
    rule: 'a reply damaged in the word "sequence" is matched by its other octets',
    actions: [flipThenEcho(0)],
    lines: ["seq=1 OK (corrupted: byte 0 is 0x__, not 0x__)", "seq=1 OK"],
    counts: "1 packet transmitted, 1 received, +1 corrupted, 0% packet loss",
  },
  {
    rule: "damage in the number is not credited to another probe",
    actions: [echo, echo, flipThenEcho(9)],
    lines: ["seq=1 OK", "seq=2 OK", "seq=3 OK (corrupted: byte 9 is 0x__, not 0x__)", "seq=3 OK"],
    counts: "3 packets transmitted, 3 received, +1 corrupted, 0% packet loss",
  },
  {
    rule: "two damaged octets, one in the number, are corruption",
    actions: [damageThenEcho(0, 9)],
    lines: ["seq=1 OK (corrupted: byte 0 is 0x__, not 0x__)", "seq=1 OK"],
    counts: "1 packet transmitted, 1 received, +1 corrupted, 0% packet loss",
  },
  {
    rule: "three damaged octets, one in the number, make a foreign datagram",
    actions: [damageThenEcho(0, 9, 20)],
    lines: ["foreign: 45 octets from 127.0.0.1:P", "seq=1 OK"],
    counts: "1 packet transmitted, 1 received, +1 foreign, 0% packet loss",
  },
  {
    rule: "a reply that is only partly in upper case is corrupted",
    actions: [flipThenEcho(2, 0x20)],
    lines: ["seq=1 OK (corrupted: byte 2 is 0x__, not 0x__)", "seq=1 OK"],
    counts: "1 packet transmitted, 1 received, +1 corrupted, 0% packet loss",
  },
  {
    rule: "a truncated reply is corrupted",
    actions: [cut(30)],
    lines: ["seq=1 OK (corrupted: 30 bytes, not 45)", "seq=1 timeout"],
    counts: "1 packet transmitted, 0 received, +1 corrupted, 100% packet loss",
  },
  {
    rule: "a reply that is too long is corrupted",
    actions: [longer],
    lines: ["seq=1 OK (corrupted: 46 bytes, not 45)", "seq=1 timeout"],
    counts: "1 packet transmitted, 0 received, +1 corrupted, 100% packet loss",
  },
  {
    rule: "an empty datagram is foreign",
    actions: [sayThenEcho("")],
    lines: ["foreign: 0 octets from 127.0.0.1:P", "seq=1 OK"],
    counts: "1 packet transmitted, 1 received, +1 foreign, 0% packet loss",
  },
  {
    rule: "junk is foreign",
    actions: [sayThenEcho("hello")],
    lines: ["foreign: 5 octets from 127.0.0.1:P", "seq=1 OK"],
    counts: "1 packet transmitted, 1 received, +1 foreign, 0% packet loss",
  },
  {
    rule: "a sequence number that was never sent is foreign",
    actions: [sayThenEcho("sequence=99\ttime=1.000000")],
    lines: ["foreign: 25 octets from 127.0.0.1:P", "seq=1 OK"],
    counts: "1 packet transmitted, 1 received, +1 foreign, 0% packet loss",
  },
  {
    rule: "a number of 15 digits is read",
    actions: [sayThenEcho("sequence=000000000000001\ttime=1.000000")],
    lines: ["seq=1 OK (corrupted: 38 bytes, not 45)", "seq=1 OK"],
    counts: "1 packet transmitted, 1 received, +1 corrupted, 0% packet loss",
  },
  {
    rule: "a number of 16 digits is not",
    actions: [sayThenEcho("sequence=0000000000000001\ttime=1.000000")],
    lines: ["foreign: 39 octets from 127.0.0.1:P", "seq=1 OK"],
    counts: "1 packet transmitted, 1 received, +1 foreign, 0% packet loss",
  },
  {
    rule: "a reply that ends after its number is corrupted",
    actions: [sayThenEcho("sequence=1")],
    lines: ["seq=1 OK (corrupted: 10 bytes, not 45)", "seq=1 OK"],
    counts: "1 packet transmitted, 1 received, +1 corrupted, 0% packet loss",
  },
  {
    rule: "the right sequence with other octets is corrupted",
    actions: [sayThenEcho("sequence=1\ttime=1.000000")],
    lines: ["seq=1 OK (corrupted: 24 bytes, not 45)", "seq=1 OK"],
    counts: "1 packet transmitted, 1 received, +1 corrupted, 0% packet loss",
  },
  {
    rule: "the right octets from another port do not count",
    actions: [otherPort],
    lines: ["seq=1 OK (DIFFERENT ADDRESS!)", "seq=1 timeout"],
    counts: "1 packet transmitted, 0 received, +1 foreign, 100% packet loss",
  },
  {
    rule: "the right octets from another address do not count",
    actions: [otherAddress],
    lines: ["elsewhere: seq=1 OK (DIFFERENT ADDRESS!)", "seq=1 timeout"],
    counts: "1 packet transmitted, 0 received, +1 foreign, 100% packet loss",
  },
  {
    rule: "junk from another port is foreign",
    actions: [strangersJunk],
    lines: ["foreign: 5 octets from 127.0.0.1:P", "seq=1 OK"],
    counts: "1 packet transmitted, 1 received, +1 foreign, 0% packet loss",
  },
  {
    rule: "a replayed old reply is a duplicate",
    actions: [echo, replayFirst],
    lines: ["seq=1 OK", "seq=1 OK (DUP!)", "seq=2 OK"],
    counts: "2 packets transmitted, 2 received, +1 duplicate, 0% packet loss",
  },
  {
    rule: "a reply in upper case counts and is marked",
    actions: [upperCase, echo],
    lines: ["seq=1 OK (upper case)", "seq=2 OK"],
    counts: "2 packets transmitted, 2 received, 0% packet loss",
  },
  {
    rule: "with an interval a lost probe does not delay the next one",
    actions: [drop, echo, echo],
    options: { interval: 15 },
    lines: ["seq=2 OK", "seq=3 OK", "seq=1 timeout"],
    counts: "3 packets transmitted, 2 received, 33.3% packet loss",
  },
  {
    rule: "a preload goes out at once",
    actions: [drop, drop, echo],
    options: { preload: 3 },
    lines: ["seq=3 OK", "seq=1 timeout", "seq=2 timeout"],
    counts: "3 packets transmitted, 1 received, 66.7% packet loss",
  },
  {
    rule: "RFC 768: a probe of the largest datagram is answered",
    actions: [echo],
    options: { size: 65_507, timeout: 1000 },
    lines: ["seq=1 OK"],
    counts: "1 packet transmitted, 1 received, 0% packet loss",
  },
  {
    rule: "RFC 768: a probe larger than a datagram is an error and lost",
    actions: [echo],
    options: { size: 65_508 },
    lines: ["seq=1 error: message too long"],
    counts: "1 packet transmitted, 0 received, +1 error, 100% packet loss",
  },
  {
    rule: "-T: a server may fill the fields rx, tx and n",
    actions: [stamp(1), stamp(2)],
    options: { oneWay: true },
    lines: ["seq=1 OK", "seq=2 OK"],
    counts: "2 packets transmitted, 2 received, 0% packet loss",
  },
  {
    rule: "-T: the filled fields may come back in upper case",
    actions: [
      (visit) =>
        stamp(1)({ ...visit, reply: async (octets) => await upperCase({ ...visit, octets }) }),
    ],
    options: { oneWay: true },
    lines: ["seq=1 OK (upper case)"],
    counts: "1 packet transmitted, 1 received, 0% packet loss",
  },
  {
    rule: "-T: a probe too short for an id is answered",
    actions: [stamp(1), stamp(2)],
    options: { oneWay: true, size: 89 },
    lines: ["seq=1 OK", "seq=2 OK"],
    counts: "2 packets transmitted, 2 received, 0% packet loss",
  },
  {
    rule: "-T: a server may fill digits only",
    actions: [badFieldsThenEcho],
    options: { oneWay: true },
    lines: ["seq=1 OK (corrupted: byte 99 is 0x__, not 0x__)", "seq=1 OK"],
    counts: "1 packet transmitted, 1 received, +1 corrupted, 0% packet loss",
  },
  {
    rule: "-T: a plain echo server is answered as without it",
    actions: [echo],
    options: { oneWay: true },
    lines: ["seq=1 OK"],
    counts: "1 packet transmitted, 1 received, 0% packet loss",
  },
  {
    rule: "-T: a reply damaged in the number is matched by its other octets",
    actions: [stamp(1), stampAndFlip(9)],
    options: { oneWay: true },
    lines: ["seq=1 OK", "seq=2 OK (corrupted: byte 9 is 0x__, not 0x__)", "seq=2 timeout"],
    counts: "2 packets transmitted, 1 received, +1 corrupted, 50% packet loss",
  },
  {
    rule: "junk as long as a probe does not delay replies",
    actions: Array.from({ length: 60 }, () => junkThenEcho),
    options: { size: 10_000, timeout: 5000, report: () => {} },
    lines: [],
    counts: "60 packets transmitted, 60 received, +180 foreign, 0% packet loss",
  },
  {
    rule: "ends when all probes are settled, before the deadline",
    actions: [echo],
    options: { deadline: 30_000 },
    lines: ["seq=1 OK"],
    counts: "1 packet transmitted, 1 received, 0% packet loss",
  },
  {
    rule: "with a deadline, further probes replace lost ones until -c are answered",
    actions: [drop, echo, drop, echo],
    options: { count: 2, deadline: 30_000 },
    lines: ["seq=1 timeout", "seq=2 OK", "seq=3 timeout", "seq=4 OK"],
    counts: "4 packets transmitted, 2 received, 50% packet loss",
  },
  {
    rule: "at the deadline a probe in flight is not lost",
    actions: [echo, drop],
    options: { deadline: 100, timeout: 5000 },
    lines: ["seq=1 OK"],
    counts: "1 packet transmitted, 1 received, 0% packet loss",
  },
  {
    rule: "at the deadline a probe in flight is lost if nothing came at all",
    actions: [drop],
    options: { deadline: 40, timeout: 5000 },
    lines: [],
    counts: "1 packet transmitted, 0 received, 100% packet loss",
  },
]);

Deno.test("Pinger: a corrupted reply names the octet and both values", async () => {
  const { events, responder } = await runScript([flip(9, 2)]);
  assertEquals(
    events.find(({ event }) => event === "corrupted")?.reason,
    "byte 9 is 0x33, not 0x31",
  );
  assertMatch(toByteString(responder.before[0] ?? new Uint8Array()), /^sequence=1\ttime=/);
});

Deno.test("RFC 4737 §3.3: replies that overtake each other are no burst of losses", async () => {
  const { summary } = await runScript([hold, echo, hold, echo, echo], { preload: 2 });
  assertEquals([summary.outOfOrder, summary.received], [2, 5]);
  assertEquals([summary.lost, summary.bursts, summary.longest], [0, 0, 0]);
});

Deno.test("Pinger: losses on both sides of a reply are two bursts, whatever order they settle in", async () => {
  const { summary } = await runScript([drop, echo, drop, drop, echo], { preload: 5 });
  assertEquals([summary.lost, summary.bursts, summary.longest], [3, 2, 2]);
});

/** Runs a pinger whose first probes cannot be sent: its socket is of the other family. */
async function runUnsendable(more: Record<string, unknown>) {
  const events: PingEvent[] = [];
  const options = {
    count: 3,
    timeout: 60,
    preload: 1,
    flood: false,
    oneWay: false,
    signal: new AbortController().signal,
    report: (event: PingEvent) => events.push(event),
    ...more,
  };
  const target = { transport: "udp" as const, hostname: "::1", port: 9 };
  const pinger = new Pinger(udp("0.0.0.0"), target, options);
  await pinger.run();
  return { summary: pinger.statistics.summary(), events };
}

Deno.test("Pinger: a damaged number is looked for among the last 100 probes, not before", async () => {
  const damaged = (octets: Uint8Array = new Uint8Array()) =>
    octets.map((octet, at) => at === 0 ? 0x7a : octet);
  const action: Action = async ({ before, reply }) => {
    if (before.length < 101) return;
    await reply(damaged(before[0]));
    await reply(damaged(before[1]));
    for (const octets of before) await reply(octets);
  };
  const { events } = await runScript([action], { count: 101, preload: 101, timeout: 10_000 });
  const judged = events.filter(({ event }) => event !== "probe" && event !== "reply");
  assertEquals(judged.map(({ event, seq }) => [event, seq]), [["foreign", undefined], [
    "corrupted",
    2,
  ]]);
});

Deno.test("Pinger: after a send error the next probe waits as after a loss", async () => {
  const { summary, events } = await runUnsendable({});
  assertEquals([summary.errors, summary.transmitted, summary.loss], [3, 3, 100]);
  assert(summary.time >= 115, `${summary.time} ms`);
  assertEquals(events.map(({ event }) => event), [
    "probe",
    "error",
    "probe",
    "error",
    "probe",
    "error",
  ]);
});

Deno.test("Pinger: after a send error a preload waits, too", async () => {
  const { summary } = await runUnsendable({ preload: 3 });
  assert(summary.time >= 115, `${summary.time} ms`);
});

Deno.test("Pinger: after a send error a flood waits 10 ms", async () => {
  const { summary } = await runUnsendable({ flood: true, count: 6, timeout: 60_000 });
  assert(summary.time >= 48, `${summary.time} ms`);
});

Deno.test("Pinger: after a send error probes with an interval stay on their schedule", async () => {
  const { summary } = await runUnsendable({ interval: 20, timeout: 60_000 });
  assert(summary.time >= 38 && summary.time < 1000, `${summary.time} ms`);
});

Deno.test("Pinger: after a send error the name is looked up again", async () => {
  const server = udp();
  const responder = respond(server, [echo]);
  let lookUps = 0;
  const lookUp = () => {
    lookUps++;
    return Promise.resolve(addressOf(server));
  };
  const { summary } = await runUnsendable({ lookUp });
  await responder.stop();
  assertEquals([summary.errors, summary.received, lookUps], [1, 2, 1]);
});

Deno.test("Pinger: the old address stays when the name cannot be looked up", async () => {
  const lookUp = () => Promise.reject(new Error("no such name"));
  const { summary } = await runUnsendable({ lookUp });
  assertEquals([summary.errors, summary.received], [3, 0]);
});

Deno.test("Pinger: an error of the reporter ends the run", async () => {
  const error = await runScript([echo], {
    report: () => {
      throw new Deno.errors.BrokenPipe("gone");
    },
  }).catch((error) => error);
  assert(error instanceof Deno.errors.BrokenPipe);
});

// ---- Which way lost ------------------------------------------------------

const ONE_WAY: {
  rule: string;
  actions: Action[];
  options?: { preload: number };
  up: number;
  down: number;
}[] = [
  { rule: "nothing lost", actions: [stamp(1), stamp(2), stamp(3)], up: 0, down: 0 },
  { rule: "one request lost", actions: [stamp(1), drop, stamp(2)], up: 1, down: 0 },
  { rule: "one reply lost", actions: [stamp(1), drop, stamp(3)], up: 0, down: 1 },
  { rule: "the first request lost", actions: [drop, stamp(1), stamp(2)], up: 1, down: 0 },
  { rule: "the first reply lost", actions: [drop, stamp(2), stamp(3)], up: 0, down: 1 },
  {
    rule: "the server restarts",
    actions: [stamp(1), stamp(2), stamp(3), stamp(1), stamp(2)],
    up: 0,
    down: 0,
  },
  {
    rule: "the client's address changes and the count restarts at the same number",
    actions: [stamp(1), stamp(1), stamp(2), stamp(3)],
    up: 0,
    down: 0,
  },
  {
    rule: "a reply is lost while the server restarts",
    actions: [stamp(1), stamp(2), stamp(3), drop, stamp(2), stamp(3)],
    up: 0,
    down: 1,
  },
  {
    rule: "a request is lost while the server restarts",
    actions: [stamp(1), stamp(2), stamp(3), drop, stamp(1), stamp(2)],
    up: 1,
    down: 0,
  },
  {
    rule: "a count with a damaged digit, then the right one",
    actions: [stamp(1), stamp(2), stamp(3), stamp(7), drop, stamp(6), stamp(7)],
    up: 0,
    down: 1,
  },
  {
    rule: "the server restarts, a count has a damaged digit, and a request is lost",
    actions: [stamp(1), stamp(2), stamp(3), stamp(1), stamp(5), stamp(3), drop],
    up: 1,
    down: 0,
  },
  {
    rule: "a count that stands still while nothing is lost",
    actions: [stamp(1), stamp(1), stamp(1), stamp(1)],
    up: 0,
    down: 0,
  },
  {
    rule: "one request and two replies lost",
    actions: [stamp(1), drop, drop, drop, stamp(4)],
    options: { preload: 5 },
    up: 1,
    down: 2,
  },
];
for (const { rule, actions, options, up, down } of ONE_WAY) {
  Deno.test(`Pinger -T: ${rule}`, async () => {
    const { summary } = await runScript(actions, { oneWay: true, ...options });
    assertEquals([summary.oneWay?.lostUp, summary.oneWay?.lostDown], [up, down]);
  });
}

/** Fills the server fields of a reply with a time (s after a first one) and a count. */
function stampAt(octets: Uint8Array | undefined, second: number, n: number): Uint8Array {
  const time = ((performance.timeOrigin + performance.now()) / 1000).toFixed(6);
  const moved = (Number(time) + second).toFixed(6);
  const fields = `\trx=${moved}\ttx=${moved}\tn=${String(n).padStart(10, "0")}`;
  return octetsOf(toByteString(octets ?? new Uint8Array()).replace(/\trx=.*$/, fields));
}

Deno.test("Pinger -T: a copy of an earlier request that overtook nothing adds no count", async () => {
  // Of three probes the third is lost. The second one is answered before a copy of the first.
  const answer: Action = async ({ before, reply }) => {
    if (before.length < 3) return;
    await reply(stampAt(before[1], -0.002, 2));
    await reply(stampAt(before[0], -0.001, 2));
  };
  const { summary } = await runScript([drop, drop, answer], { oneWay: true, preload: 3 });
  assertEquals([summary.received, summary.lost], [2, 1]);
  assertEquals([summary.oneWay?.lostUp, summary.oneWay?.lostDown], [1, 0]);
});

Deno.test("Pinger -T: of two requests in the same microsecond the first reply has the count", async () => {
  const answer: Action = async ({ before, reply }) => {
    if (before.length < 3) return;
    const [later, earlier] = [stampAt(before[1], 0, 2), stampAt(before[0], 0, 1)];
    const [time = ""] = /\trx=.*n=/.exec(toByteString(later)) ?? [];
    await reply(later);
    await reply(octetsOf(toByteString(earlier).replace(/\trx=.*n=/, time)));
  };
  const { summary } = await runScript([drop, drop, answer], { oneWay: true, preload: 3 });
  assertEquals([summary.received, summary.lost], [2, 1]);
  assertEquals([summary.oneWay?.lostUp, summary.oneWay?.lostDown], [1, 0]);
});

const DAMAGED_PLACES = [
  { rule: "the time of arrival", place: /rx=\d{4}/, put: "rx=9999" },
  { rule: "the time of departure", place: /tx=\d{4}/, put: "tx=9999" },
  { rule: "the count", place: /n=0/, put: "n=4" },
];
for (const { rule, place, put } of DAMAGED_PLACES) {
  Deno.test(`Pinger -T: a damaged digit in ${rule} is ignored`, async () => {
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

Deno.test("Pinger -T: a plain echo server gives no one-way data", async () => {
  const { summary } = await runScript([echo], { oneWay: true });
  assertEquals(summary.oneWay, null);
});

Deno.test("Pinger -T: queueing is relative to its minimum, with any offset of the clocks", () => {
  const statistics = new Statistics();
  for (const [at, up, down] of [[100, 4, 5], [200, 1, 5], [300, 1, 7]] as const) {
    const server = at + up + 5000;
    statistics.addServerTimes(at, server, server, at + up + down, 1);
  }
  statistics.sent = 3;
  const { oneWay } = statistics.summary();
  // The offset comes from the second probe, which had the shortest round-trip time.
  assertEquals([oneWay?.queueUp, oneWay?.queueDown, oneWay?.offset], [1, 0.667, 4998]);
});
// ---- Probes --------------------------------------------------------------

/** Probe 1 of each size, without its time, id and the letters of its padding. */
const PROBES: [size: number | undefined, probe: string][] = [
  [undefined, "sequence=1 time id"],
  [33, "sequence=1 time"],
  [34, "sequence=01 time"],
  [37, "sequence=00001 time"],
  [38, "sequence=1 time pad="],
  [39, "sequence=1 time pad=x"],
  [44, "sequence=1 time pad=xxxxxx"],
  [45, "sequence=1 time id"],
  [46, "sequence=1 time pad=xxxxxxxx"],
  [49, "sequence=1 time pad=xxxxxxxxxxx"],
  [50, "sequence=1 time id pad="],
  [51, "sequence=1 time id pad=x"],
  [1400, `sequence=1 time id pad=${"x".repeat(1350)}`],
  [65_507, `sequence=1 time id pad=${"x".repeat(65_457)}`],
];
for (const [size, probe] of PROBES) {
  const name = size === undefined ? "without -s a probe has an id" : `-s ${size} makes that probe`;
  Deno.test(`Pinger: ${name}`, () => {
    const text = toByteString(probeEncoder(size, false)(1, 0));
    if (size !== undefined) assertEquals(text.length, size);
    const shape = text.replace(/\ttime=\d{10}\.\d{6}/, " time").replace(/\tid=[0-9a-f]{8}/, " id")
      .replace(/\tpad=([a-z]*)$/, (_, letters) => ` pad=${"x".repeat(letters.length)}`);
    assertEquals(shape, probe);
  });
}

Deno.test("Pinger -T: the fields rx, tx and n come last in a probe", () => {
  const text = toByteString(probeEncoder(undefined, true)(7, 0));
  assertMatch(
    text,
    /^sequence=7\ttime=[\d.]+\tid=\w{8}\trx=0{10}\.0{6}\ttx=0{10}\.0{6}\tn=0{10}$/,
  );
  assertEquals(probeEncoder(120, true)(7, 0).length, 120);
  assertEquals(shortestProbe(10, true), shortestProbe(10, false) + 55);
});
