/** Tests of the faults: each as often as its option says, repeatable, independent of the others. */
import { assert, assertEquals, assertLess } from "jsr:@std/assert@^1.0.19";
import type { Trace } from "../protocol.ts";
import {
  type EchoOptions,
  type EchoServer,
  FaultGenerator,
  generator,
} from "../udp_ping_server.ts";
import {
  arrived,
  Client,
  numbers,
  PERFECT,
  sendMany,
  serving,
  until,
} from "./udp_ping_server_helpers.ts";

// ---- Faults: binomial tests over 4,000 datagrams -------------------------

const SOME = 4000;
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
  Deno.test(`${rule}: ${p.toFixed(3)} of ${SOME} requests are ${counted}`, async () => {
    await serving(options, async (server, client) => {
      const replies = await sendMany(server, client, SOME);
      const found = {
        dropped: SOME - replies.length,
        "sent twice": replies.length - SOME,
        damaged: replies.filter((text, index) => text !== `number ${index}`).length,
      }[counted];
      const deviations = (found - SOME * p) / Math.sqrt(SOME * p * (1 - p));
      assertLess(Math.abs(deviations), 4, `${found} of ${SOME}`);
      if (counted === "dropped") assertEquals(server.counts.dropped, found);
    });
  });
}

Deno.test("--loss 0 drops no request, --loss 1 drops each", async () => {
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
  Deno.test(`--loss ${loss} --burst ${burst}: Gilbert's chain has that mean loss and burst length`, async () => {
    await serving({ loss, burst }, async (server, client) => {
      const lengths = bursts(await sendMany(server, client, MANY), MANY);
      const lost = lengths.reduce((sum, length) => sum + length, 0);
      assertLess(Math.abs(lost / MANY - loss), 0.15 * loss);
      assertLess(Math.abs(lost / lengths.length - burst), 0.1 * burst);
    });
  });
}

Deno.test("--loss without --burst: losses are independent, with a mean burst of 1 / (1 - loss)", async () => {
  await serving({ loss: 0.5 }, async (server, client) => {
    const lengths = bursts(await sendMany(server, client, MANY), MANY);
    const mean = lengths.reduce((sum, length) => sum + length, 0) / lengths.length;
    assertLess(Math.abs(mean - 2), 0.2);
  });
});

Deno.test("--corrupt: exactly one bit of a reply is flipped", async () => {
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
  Deno.test(`RFC 4737 §3: with --reorder ${reorder} that part of the replies is overtaken, and all are sent`, async () => {
    await serving({ reorder, seed: 5 }, async (server, client) => {
      const order = numbers(await sendMany(server, client, 3000));
      const deviations = (overtaken(order).length - 3000 * reorder) /
        Math.sqrt(3000 * reorder * (1 - reorder));
      assertLess(Math.abs(deviations), 4);
      assertEquals(order.sort((a, b) => a - b), Array.from({ length: 3000 }, (_, at) => at));
    });
  });
}

Deno.test("--seed: the same faults for each client and after a restart", async () => {
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

Deno.test("--seed: no kind of fault changes the pattern of another", async () => {
  const patterns: number[][] = [];
  for (const more of [{}, { corrupt: 0 }, { duplicate: 0.5 }, { delay: 5, jitter: 2 }]) {
    await serving({ loss: 0.4, seed: 7, ...more }, async (server, client) => {
      const came = new Set(numbers(await sendMany(server, client, 300)));
      patterns.push([...came].sort((a, b) => a - b));
    });
  }
  for (const pattern of patterns) assertEquals(pattern, patterns[0]);
});

Deno.test("generator: numbers are uniform, and neighbours are independent", () => {
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

Deno.test("generator: the first numbers of a seed are always the same", () => {
  const first = (seed: number) => {
    const draw = generator(seed);
    return [draw(), draw(), draw()].map((value) => value.toFixed(6));
  };
  assertEquals(first(0), ["0.573398", "0.237654", "0.105781"]);
  assertEquals(first(42), ["0.218840", "0.919386", "0.074824"]);
});

Deno.test("--seed 7: the faults of the first requests are always the same", () => {
  const chances = { loss: 0.5, duplicate: 0.5, corrupt: 0.5, reorder: 0.5 };
  const faults = new FaultGenerator({ ...PERFECT, ...chances, delay: 100, jitter: 50 }, 7);
  const shown = [1, 2, 3, 4].map(() => {
    const { isLost, delay, copies, isDamaged, bitPosition, isReordered } = faults.next();
    const marks = [isLost && "lost", copies === 2 && "twice", isDamaged && "damaged"];
    const words = [...marks, isReordered && "reordered"].filter((mark) => mark);
    return `${delay.toFixed(2)} ms, bit ${bitPosition.toFixed(4)}: ${words.join(", ")}`;
  });
  assertEquals(shown, [
    "116.61 ms, bit 0.0018: lost, damaged, reordered",
    "52.83 ms, bit 0.1111: lost, twice, damaged",
    "142.95 ms, bit 0.4414: lost, twice, reordered",
    "136.99 ms, bit 0.1792: lost, twice, damaged, reordered",
  ]);
});

Deno.test("--jitter: a delay is at least 0, however large the jitter is", () => {
  const faults = new FaultGenerator({ ...PERFECT, delay: 5, jitter: 1000 }, 1);
  const delays = Array.from({ length: 100 }, () => faults.next().delay);
  assertEquals(Math.min(...delays), 0);
});

/** Returns which of the first 60 requests of a new client are lost. */
async function lossesOf(server: EchoServer, address: Deno.NetAddr): Promise<string> {
  const client = new Client(address);
  const came = new Set(numbers(await sendMany(server, client, 60)));
  await client.close();
  return Array.from({ length: 60 }, (_, index) => came.has(index) ? "." : "x").join("");
}

Deno.test("--seed 42: the pattern of losses is always the same", async () => {
  await serving({ loss: 4 / 11, seed: 42 }, async (server, client) => {
    const pattern = "xx.....xx.x....x...x..............x.xx...x..x.xxx...xxx.x..x";
    assertEquals(await lossesOf(server, client.server), pattern);
  });
});

Deno.test("without --seed each client has its own faults; its seed repeats them", async () => {
  const notes: string[] = [];
  const trace: Trace = (mark, text) => mark === "*" && notes.push(text);
  const patterns: string[] = [];
  await serving({ loss: 0.4, seed: 42, hasOwnSeeds: true, trace }, async (server, client) => {
    for (let index = 0; index < 5; index++) patterns.push(await lossesOf(server, client.server));
  });
  assertEquals(new Set(patterns).size, 5);
  for (const [index, note] of notes.entries()) {
    const seed = Number(/^Client \d+ is 127.0.0.1:\d+, seed (\d+)$/.exec(note)?.[1]);
    assertEquals(seed, 42 + 8 * index);
    await serving({ loss: 0.4, seed }, async (server, client) => {
      assertEquals(await lossesOf(server, client.server), patterns[index]);
    });
  }
});

Deno.test("--loss --burst: the chain of a client goes on while another client sends", async () => {
  await serving({ loss: 0.4, burst: 3, seed: 7 }, async (server, client) => {
    const alone = await lossesOf(server, client.server);
    const [one, other] = [new Client(client.server), new Client(client.server)];
    for (let index = 0; index < 60; index++) {
      await one.send(`number ${index}`);
      await other.send(`number ${index}`);
      await arrived(server, 60 + 2 * index + 2);
    }
    const lost = [...alone].filter((mark) => mark === "x").length;
    await one.count(60 - lost);
    assertEquals(numbers(await other.count(60 - lost)), numbers(one.received));
    await one.close();
    await other.close();
  });
});

Deno.test("--reorder: a reply waits for the next reply of its own client", async () => {
  await serving({ reorder: 0.5, seed: 5, limits: { reorder: 60_000 } }, async (server, client) => {
    const other = new Client(client.server);
    for (let index = 0; index < 200; index++) {
      await client.send(`number ${index}`);
      await other.send(`number ${index}`);
      await arrived(server, 2 * index + 2);
    }
    await until(() => server.counts.echoed + server.counts.held === 400);
    const [held, echoed] = [server.counts.held / 2, server.counts.echoed / 2];
    assertEquals(numbers(await client.count(echoed)), numbers(await other.count(echoed)));
    assertLess(held, 10);
    await other.close();
  });
});

Deno.test("--reorder: a reply that no other follows is sent after the limit", async () => {
  await serving({ reorder: 1, limits: { reorder: 20 } }, async (server, client) => {
    await client.send("alone");
    await arrived(server, 1);
    assertEquals(server.counts.held, 1);
    assertEquals(await client.count(1), ["alone"]);
  });
});

Deno.test("--delay: the replies of one client keep their own times", async () => {
  await serving({ delay: 20, jitter: 20, seed: 1 }, async (server, client) => {
    assertEquals((await sendMany(server, client, 50)).length, 50);
    assertEquals(server.counts.held, 0);
  });
});
