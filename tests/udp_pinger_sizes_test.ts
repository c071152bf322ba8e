/**
 * Tests of the walk through sizes: `-s MIN-MAX`.
 *
 * @module
 */
import { assert, assertEquals, assertMatch } from "jsr:@std/assert@^1.0.19";
import { describeSizes, pingSizes, type SizeResult, Statistics, walkSizes } from "../udp_pinger.ts";
import { onVirtualClock, PEER, virtualSocket } from "./clock.ts";
import {
  type Action,
  addressOf,
  drop,
  echo,
  respond,
  runPinger,
  udp,
} from "./udp_pinger_helpers.ts";

/** Walks over a path that passes sizes up to `limit`; returns the sizes in order. */
function walk(min: number, max: number, limit: number): number[] {
  return [...walkSizes(min, max, (size) => size <= limit)];
}

const WALKS = [
  { min: 1200, max: 1500, limit: 1372 },
  { min: 1200, max: 1500, limit: 1200 },
  { min: 1200, max: 1500, limit: 1499 },
  { min: 50, max: 65_507, limit: 1472 },
  { min: 100, max: 116, limit: 107 },
];
for (const { min, max, limit } of WALKS) {
  Deno.test(`walk: from ${min} to ${max} finds the limit ${limit} in few steps`, () => {
    const sizes = walk(min, max, limit);
    const passed = Math.max(...sizes.filter((size) => size <= limit));
    const failed = Math.min(...sizes.filter((size) => size > limit));
    assertEquals([passed, failed], [limit, limit + 1]);
    assert(sizes.length <= 16 + 13, `${sizes.length} sizes`);
    assertEquals(new Set(sizes).size, sizes.length);
  });
}

Deno.test("walk: the first pass is evenly spaced, with both ends", () => {
  assertEquals(walk(100, 250, 250), [
    ...[100, 110, 120, 130, 140, 150, 160, 170, 180, 190, 200, 210, 220, 230, 240, 250],
  ]);
});

Deno.test("walk: a size that is lost below one that passes is not the limit", () => {
  const sizes = [...walkSizes(1200, 1500, (size) => size <= 1372 && size !== 1220)];
  assertEquals([sizes.includes(1220), sizes.includes(1372), sizes.includes(1373)], [
    ...[true, true, true],
  ]);
});

Deno.test("walk: a short range takes each size once", () => {
  assertEquals(walk(100, 103, 103), [100, 101, 102, 103]);
  assertEquals(walk(100, 100, 100), [100]);
});

Deno.test("walk: where nothing passes, it does not search", () => {
  assertEquals(walk(100, 115, 0).length, 16);
});

/** Walks against a responder. */
async function run(action: Action, [min, max]: [number, number], count = 2, timeout = 250) {
  const server = udp();
  const responder = respond(server, [action]);
  const options = {
    count,
    timeout,
    preload: 1,
    flood: false,
    oneWay: false,
    signal: new AbortController().signal,
    report: () => {},
  };
  const target = addressOf(server);
  const statistics = new Statistics();
  const results = await pingSizes(udp, target, [min, max], options, statistics);
  await responder.stop();
  return { results, summary: statistics.summary(), before: responder.before };
}

Deno.test("walk: each size is sent -c times, with increasing sequence numbers", async () => {
  const { results, summary, before } = await run(echo, [60, 62], 3, 10_000);
  assertEquals(results, [60, 61, 62].map((size) => ({ size, transmitted: 3, received: 3 })));
  assertEquals([summary.transmitted, summary.received], [9, 9]);
  const numbers = before.map((octets) => /\d+/.exec(new TextDecoder().decode(octets))?.[0]);
  assertEquals(numbers, ["1", "2", "3", "4", "5", "6", "7", "8", "9"]);
});

Deno.test("walk: sizes above the limit of the path are lost, in order of size", async () => {
  const limit = 63;
  const action: Action = (visit) => visit.octets.length <= limit ? echo(visit) : drop(visit);
  const { results } = await run(action, [60, 66]);
  const passed = results.filter(({ received }) => received > 0).map(({ size }) => size);
  assertEquals(passed, [60, 61, 62, 63]);
  assertEquals(results.map(({ size }) => size), [60, 61, 62, 63, 64, 65, 66]);
});

Deno.test("walk: a lost probe of a size that passes is a loss, not the limit", async () => {
  let count = 0;
  const action: Action = (visit) => ++count === 1 ? drop(visit) : echo(visit);
  const { results } = await run(action, [60, 61]);
  assertEquals(results, [
    { size: 60, transmitted: 2, received: 1 },
    { size: 61, transmitted: 2, received: 2 },
  ]);
});

Deno.test("walk: after the signal no further size is tried", async () => {
  const stop = new AbortController();
  const server = udp();
  const responder = respond(server, [() => stop.abort()]);
  let opened = 0;
  const open = () => {
    opened++;
    return udp();
  };
  await pingSizes(open, addressOf(server), [60, 70], {
    ...{ count: 1, timeout: 60_000, preload: 1, flood: false, oneWay: false },
    ...{ signal: stop.signal, report: () => {} },
  }, new Statistics());
  await responder.stop();
  assertEquals(opened, 1);
});

/** Walks over a virtual path that passes sizes up to a limit, with a probe of each size. */
async function walkVirtually(range: [number, number], limit: number, stopAt?: number) {
  return await onVirtualClock(async (clock) => {
    const stop = new AbortController();
    if (stopAt !== undefined) clock.at(stopAt, () => stop.abort());
    const open = () => {
      const { socket, arrive } = virtualSocket((octets) => {
        if (octets.length <= limit) clock.at(clock.now + 5, () => arrive(octets), true);
      });
      return socket;
    };
    const options = {
      ...{ count: 1, timeout: 100, preload: 1, flood: false, oneWay: false },
      ...{ signal: stop.signal, report: () => {} },
    };
    return await pingSizes(open, PEER, range, options, new Statistics());
  });
}

Deno.test("walk: a wide range is searched for the limit, and reported in order of size", async () => {
  const results = await walkVirtually([60, 160], 77);
  const sizes = results.map(({ size }) => size);
  assertEquals(sizes, sizes.toSorted((one, other) => one - other));
  const passed = results.filter(({ received }) => received > 0).map(({ size }) => size);
  assertEquals([Math.max(...passed), sizes.includes(78), results.length], [77, true, 19]);
});

Deno.test("walk: a size whose probes are in flight at the signal is not reported", async () => {
  const results = await walkVirtually([60, 62], 60, 50);
  assertEquals(results, [{ size: 60, transmitted: 1, received: 1 }]);
});

const result = (size: number, received: number): SizeResult => ({ size, transmitted: 3, received });
const LAST_LINES: { rule: string; results: SizeResult[]; isIpv6?: boolean; want: RegExp }[] = [
  {
    rule: "all pass without fragments",
    results: [result(1400, 3), result(1472, 3)],
    want: /^all sizes up to 1472 bytes pass$/,
  },
  {
    rule: "all pass, the longest in fragments",
    results: [result(1400, 3), result(1473, 1)],
    want: /^all sizes up to 1473 bytes pass; with an MTU of 1500 .* above 1472 pass in fragments$/,
  },
  {
    rule: "all pass over IPv6 without fragments",
    results: [result(1452, 3)],
    isIpv6: true,
    want: /^all sizes up to 1452 bytes pass$/,
  },
  {
    rule: "all pass over IPv6, the longest in fragments",
    results: [result(1453, 3)],
    isIpv6: true,
    want: /above 1452 pass in fragments$/,
  },
  {
    rule: "a size stops",
    results: [result(1372, 2), result(1373, 0), result(1400, 0)],
    want: /^largest size that passes: 1372 bytes; 1373 does not: fragments are lost, or /,
  },
  {
    rule: "the longest datagram of IPv4 does not pass",
    results: [result(65_506, 3), result(65_507, 0)],
    want: /^largest size that passes: 65506 bytes; 65507 does not: fragments are lost, or /,
  },
  {
    rule: "one is longer than a datagram of IPv4",
    results: [result(65_507, 3), result(65_508, 0)],
    want: /^largest size that passes: 65507 bytes; 65508 does not$/,
  },
  {
    rule: "nothing passes",
    results: [result(100, 0)],
    want: /^100 bytes: 0\/3 packets, 100% loss$/,
  },
];
for (const { rule, results, isIpv6 = false, want } of LAST_LINES) {
  Deno.test(`walk: the last line where ${rule}`, () => {
    assertMatch(describeSizes(results, isIpv6).at(-1) ?? "", want);
  });
}

Deno.test("command line: -s MIN-MAX prints loss by size and what passes", async () => {
  const { code, stdout } = await runPinger(["-q", "-s", "60-62", "-c2"]);
  assertEquals(code, 0);
  assertEquals(stdout.trimEnd().split("\n").slice(-4), [
    "60 bytes: 2/2 packets, 0% loss",
    "61 bytes: 2/2 packets, 0% loss",
    "62 bytes: 2/2 packets, 0% loss",
    "all sizes up to 62 bytes pass",
  ]);
});

Deno.test("command line: -s MIN-MAX sends three probes of each size by default", async () => {
  const { stdout } = await runPinger(["-q", "--json", "-s", "60-61"]);
  const { sizes, transmitted } = JSON.parse(stdout);
  assertEquals(sizes, [60, 61].map((size) => ({ size, transmitted: 3, received: 3 })));
  assertEquals(transmitted, 6);
});
