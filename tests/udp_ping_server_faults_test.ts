/** Tests of the faults: each as often as its option says, repeatable, independent of the others. */
import { assert, assertEquals, assertLess } from "jsr:@std/assert@^1.0.19";
import { type EchoOptions, generator } from "../udp_ping_server.ts";
import { arrived, Client, numbers, sendMany, serving } from "./udp_ping_server_helpers.ts";

// ---- Faults: binomial tests over 12,000 datagrams ------------------------

const MANY = 12_000;
const BINOMIAL: {
  rule: string;
  options: Partial<EchoOptions>;
  p: number;
  counted: "dropped" | "sent twice" | "damaged";
}[] = [
  { rule: "--loss 4/11", options: { loss: 4 / 11 }, p: 4 / 11, counted: "dropped" },
  { rule: "--loss 0.3", options: { loss: 0.3, seed: 2 }, p: 0.3, counted: "dropped" },
  { rule: "--loss 0.01", options: { loss: 0.01, seed: 3 }, p: 0.01, counted: "dropped" },
  { rule: "--duplicate 0.1", options: { duplicate: 0.1 }, p: 0.1, counted: "sent twice" },
  { rule: "--corrupt 0.2", options: { corrupt: 0.2 }, p: 0.2, counted: "damaged" },
];
for (const { rule, options, p, counted } of BINOMIAL) {
  Deno.test(`${rule} is ${p.toFixed(3)} of ${MANY}, ${counted}`, async () => {
    await serving(options, async (server, client) => {
      const replies = await sendMany(server, client, MANY);
      const found = {
        dropped: MANY - replies.length,
        "sent twice": replies.length - MANY,
        damaged: replies.filter((text, index) => text !== `number ${index}`).length,
      }[counted];
      const deviations = (found - MANY * p) / Math.sqrt(MANY * p * (1 - p));
      assertLess(Math.abs(deviations), 4, `${found} of ${MANY}`);
      if (counted === "dropped") assertEquals(server.counts.dropped, found);
    });
  });
}

Deno.test("--loss 0 loses nothing, --loss 1 everything", async () => {
  await serving({ loss: 0 }, async (server, client) => {
    assertEquals((await sendMany(server, client, 1000)).length, 1000);
  });
  await serving({ loss: 1 }, async (server, client) => {
    assertEquals((await sendMany(server, client, 1000)).length, 0);
  });
});

/** Lengths of the bursts of numbers that did not come back. */
function bursts(replies: string[], sent: number): number[] {
  const came = new Set(numbers(replies));
  const lengths: number[] = [];
  for (let index = 0; index < sent; index++) {
    if (came.has(index)) continue;
    if (index === 0 || came.has(index - 1)) lengths.push(0);
    lengths.push((lengths.pop() ?? 0) + 1);
  }
  return lengths;
}

for (const [loss, burst] of [[0.2, 4], [0.5, 2], [0.1, 1]] as const) {
  Deno.test(`--loss ${loss} --burst ${burst}: Gilbert's chain has that mean and that length`, async () => {
    await serving({ loss, burst }, async (server, client) => {
      const lengths = bursts(await sendMany(server, client, MANY), MANY);
      const lost = lengths.reduce((sum, length) => sum + length, 0);
      assertLess(Math.abs(lost / MANY - loss), 0.15 * loss);
      assertLess(Math.abs(lost / lengths.length - burst), 0.1 * burst);
    });
  });
}

Deno.test("independent losses have a mean burst of 1 / (1 - loss)", async () => {
  await serving({ loss: 0.5 }, async (server, client) => {
    const lengths = bursts(await sendMany(server, client, MANY), MANY);
    const mean = lengths.reduce((sum, length) => sum + length, 0) / lengths.length;
    assertLess(Math.abs(mean - 2), 0.2);
  });
});

Deno.test("--corrupt flips exactly one bit", async () => {
  await serving({ corrupt: 1 }, async (_server, client) => {
    for (let index = 1; index <= 50; index++) {
      await client.send("\0".repeat(20));
      const reply = (await client.count(index)).at(-1) ?? "";
      const bits = [...reply].map((char) => char.charCodeAt(0).toString(2)).join("");
      assertEquals([reply.length, bits.replaceAll("0", "")], [20, "1"]);
    }
    await client.send("");
    assertEquals((await client.count(51)).at(-1), "");
  });
});

/** The replies that came after one to a later request (RFC 4737). */
const overtaken = (order: number[]) =>
  order.filter((number, at) => number < Math.max(...order.slice(Math.max(0, at - 100), at)));

for (const reorder of [0.05, 0.3, 0.6]) {
  Deno.test(`--reorder ${reorder} is the share of overtaken replies, none is held for ever`, async () => {
    await serving({ reorder, seed: 5 }, async (server, client) => {
      const order = numbers(await sendMany(server, client, 3000));
      const deviations = (overtaken(order).length - 3000 * reorder) /
        Math.sqrt(3000 * reorder * (1 - reorder));
      assertLess(Math.abs(deviations), 4);
      assertEquals(order.sort((a, b) => a - b), Array.from({ length: 3000 }, (_, at) => at));
    });
  });
}

Deno.test("--delay holds a bounded number of replies, the rest is limited", async () => {
  await serving({ delay: 60_000 }, async (server, client) => {
    for (let sent = 0; sent < 16_400; sent += 50) {
      for (let index = 0; index < 50; index++) await client.send("x");
      await arrived(server, sent + 50);
    }
    assertEquals([server.counts.held, server.counts.limited], [16_384, 16]);
  });
});

Deno.test("the same seed, the same fates: anew for each client, and for each server", async () => {
  const faults = { loss: 0.4, burst: 3, duplicate: 0.1, seed: 42 };
  const runs: string[][] = [];
  for (let round = 0; round < 2; round++) {
    await serving(faults, async (server, client) => {
      runs.push([...await sendMany(server, client, 500)]);
      const other = new Client(client.server);
      runs.push([...await sendMany(server, other, 500)]);
      await other.close();
    });
  }
  for (const run of runs) assertEquals(run, runs[0]);
  await serving({ ...faults, seed: 43 }, async (server, client) => {
    const other = await sendMany(server, client, 500);
    assert(other.join() !== runs[0]?.join());
  });
});

Deno.test("no fault moves the pattern of another", async () => {
  const patterns: number[][] = [];
  for (const more of [{}, { corrupt: 0 }, { duplicate: 0.5 }, { delay: 5, jitter: 2 }]) {
    await serving({ loss: 0.4, seed: 7, ...more }, async (server, client) => {
      const came = new Set(numbers(await sendMany(server, client, 300)));
      patterns.push([...came].sort((a, b) => a - b));
    });
  }
  for (const pattern of patterns) assertEquals(pattern, patterns[0]);
});

Deno.test("generator: uniform, and neighbours know nothing of each other", () => {
  for (const seed of [0, 1, 42, 0xffff_ffff]) {
    const draw = generator(seed);
    const drawn = Array.from({ length: 40_000 }, draw);
    const buckets = Array.from({ length: 10 }, () => 0);
    for (const value of drawn) {
      const bucket = Math.floor(value * 10);
      buckets[bucket] = (buckets[bucket] ?? 0) + 1;
    }
    const chi = buckets.reduce((sum, count) => sum + (count - 4000) ** 2 / 4000, 0);
    assertLess(chi, 30, `seed ${seed}`); // 9 degrees of freedom: 1 in 2000
    const lag = drawn.reduce(
      (sum, value, at) => sum + (value - 0.5) * ((drawn[at + 1] ?? 0.5) - 0.5),
      0,
    );
    assertLess(Math.abs(lag / 40_000 * 12), 0.025, `seed ${seed}`);
  }
});
