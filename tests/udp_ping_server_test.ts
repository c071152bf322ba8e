/**
 * The echo server: each fault as often as it says, nothing that it could be abused for; the monitor
 * of heartbeats; the command line; then both ends, ours and the assignment's in Python.
 *
 * @module
 */
import { assert, assertEquals, assertLess, assertMatch } from "@std/assert";
import { toByteString } from "../protocol.ts";
import {
  type Change,
  describe,
  type EchoOptions,
  EchoServer,
  generator,
  hook,
  Monitor,
  summarize,
  watch,
} from "../udp_ping_server.ts";
import { LOCAL, octetsOf, ROOT, runProgram } from "./helpers.ts";

// ---- A server and its client ---------------------------------------------

const udp = (hostname: string = LOCAL.hostname) =>
  Deno.listenDatagram({ transport: "udp", hostname, port: 0 });
const addressOf = (socket: Deno.DatagramConn) => socket.addr as Deno.NetAddr;
const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const PERFECT: EchoOptions = {
  ...{ loss: 0, delay: 0, jitter: 0, duplicate: 0, corrupt: 0, reorder: 0 },
  ...{ seed: 1, rate: 0, upper: false },
};

/** A socket that keeps all it receives. */
class Client {
  readonly socket: Deno.DatagramConn;
  readonly received: string[] = [];
  readonly #receiving: Promise<void>;

  constructor(readonly server: Deno.NetAddr, hostname?: string) {
    const socket = this.socket = udp(hostname ?? server.hostname);
    this.#receiving = (async () => {
      for await (const [octets] of socket) this.received.push(toByteString(octets));
    })();
  }

  send(text: string) {
    return this.socket.send(octetsOf(text), this.server);
  }

  /** Waits until so many have come; fails after two seconds. */
  async count(wanted: number): Promise<string[]> {
    for (let waited = 0; this.received.length < wanted && waited < 2000; waited += 2) {
      await later(2);
    }
    assertEquals(this.received.length, wanted);
    return this.received;
  }

  async close() {
    this.socket.close();
    await this.#receiving;
  }
}

/** Runs a server for the time of a test. */
async function serving(
  options: Partial<EchoOptions>,
  test: (server: EchoServer, client: Client, socket: Deno.DatagramConn) => Promise<void>,
  hostname?: string,
) {
  const socket = udp(hostname);
  const stop = new AbortController();
  const server = new EchoServer(socket, { ...PERFECT, ...options }, stop.signal);
  const done = server.serve();
  const client = new Client(addressOf(socket));
  try {
    await test(server, client, socket);
  } finally {
    await client.close();
    stop.abort();
    await done;
  }
}

/** Waits until the server has received so many. */
async function arrived(server: EchoServer, count: number) {
  for (let waited = 0; server.counts.received < count && waited < 2000; waited += 2) await later(1);
}

/** Sends many datagrams, numbered; returns the replies when all is settled. */
async function sendMany(server: EchoServer, client: Client, count: number): Promise<string[]> {
  const before = server.counts.received;
  const others = server.counts.echoed - client.received.length;
  for (let index = 0; index < count; index++) {
    await client.send(`number ${index}`);
    if (index % 50 === 49) await arrived(server, before + index + 1);
  }
  await arrived(server, before + count);
  const { counts } = server;
  const settled = () => counts.received === counts.dropped + counts.echoed + counts.limited;
  // After a stall of ours timers run first: what waits in the socket is still to be counted.
  const heard = () => client.received.length >= counts.echoed - others;
  for (let quiet = -1; quiet !== client.received.length || !settled() || !heard();) {
    quiet = client.received.length;
    await later(30);
  }
  return client.received;
}

const numbers = (replies: string[]) => replies.map((text) => Number(text.split(" ")[1]));

// ---- The echo ------------------------------------------------------------

const ECHOED: Record<string, string> = {
  "nothing at all": "",
  "one octet": "x",
  "our message": "sequence=1\ttime=1700000000.123456",
  "what is not UTF-8": "\x80\xff\xfe",
  "NUL, CR, LF and escapes": "\0\r\n\x1b[2J\x07",
  "every octet": String.fromCharCode(...Array.from({ length: 256 }, (_, octet) => octet)),
  "places half filled": "\trx=0000000000.00000x\ttx=0000000000.000000\tn=0000000000",
  "an Ethernet frame": "y".repeat(1472),
  "the longest datagram, RFC 768": "z".repeat(65_507),
};
for (const hostname of ["127.0.0.1", "::1"]) {
  for (const [what, text] of Object.entries(ECHOED)) {
    Deno.test(`echo over ${hostname}, octet for octet: ${what}`, async () => {
      await serving({}, async (server, client) => {
        await client.send(text);
        assertEquals(await client.count(1), [text]);
        assertEquals(server.counts.bytes, text.length);
      }, hostname);
    });
  }
}

Deno.test("echo: a socket for every address answers IPv4 and IPv6", async () => {
  await serving({}, async (_server, _client, socket) => {
    for (const hostname of ["127.0.0.1", "::1"]) {
      const other = new Client({ ...addressOf(socket), hostname });
      await other.send("hello");
      assertEquals(await other.count(1), ["hello"]);
      await other.close();
    }
  }, "::");
});

Deno.test("echo: replies keep the order of the requests, also the very first", async () => {
  await serving({}, async (server, client) => {
    const sent = Array.from({ length: 100 }, (_, index) => index);
    assertEquals(numbers(await sendMany(server, client, 100)), sent);
  });
});

Deno.test("echo: upper case if told", async () => {
  await serving({ upper: true }, async (_server, client) => {
    await client.send("Ping 1 \xe4 {~}");
    assertEquals(await client.count(1), ["PING 1 \xe4 {~}"]);
  });
});

Deno.test("echo: our own port gets no answer", async () => {
  await serving({}, async (server, _client, socket) => {
    await socket.send(octetsOf("to myself"), addressOf(socket));
    await arrived(server, 1);
    assertEquals([server.counts.ignored, server.counts.echoed], [1, 0]);
  });
});

Deno.test("echo: a port of services gets no answer", async () => {
  let service: Deno.DatagramConn;
  try {
    service = Deno.listenDatagram({ transport: "udp", hostname: "127.0.0.1", port: 1013 });
  } catch {
    return console.log("skipped: a port below 1024 takes privileges, or 1013 is in use");
  }
  await serving({}, async (server, _client, socket) => {
    await service.send(octetsOf("from a service"), addressOf(socket));
    await arrived(server, 1);
    assertEquals([server.counts.ignored, server.counts.echoed], [1, 0]);
  });
  service.close();
});

Deno.test("echo: --rate answers so many and drops the rest, apart from loss", async () => {
  await serving({ rate: 10 }, async (server, client) => {
    const replies = await sendMany(server, client, 100);
    assert(replies.length >= 10 && replies.length <= 20, `${replies.length} replies`);
    assertEquals(server.counts.limited, 100 - replies.length);
    assertEquals(server.counts.dropped, 0);
  });
});

Deno.test("echo: --rate is for each client", async () => {
  await serving({ rate: 1 }, async (_server, client) => {
    const other = new Client(client.server);
    await client.send("a");
    await other.send("b");
    assertEquals([...await client.count(1), ...await other.count(1)], ["a", "b"]);
    await other.close();
  });
});

Deno.test("echo: a storm between two echoes ends", async () => {
  await serving({ rate: 100 }, async (server, _client, socket) => {
    const mirror = udp();
    let rounds = 0;
    const mirroring = (async () => {
      for await (const [octets, from] of mirror) {
        rounds++;
        await mirror.send(octets, from);
      }
    })();
    for (let index = 0; index < 10; index++) {
      await mirror.send(octetsOf("storm"), addressOf(socket));
    }
    for (let before = -1; before !== rounds;) {
      before = rounds;
      await later(50);
    }
    assertLess(rounds, 1000);
    assertEquals(server.counts.limited, 10);
    mirror.close();
    await mirroring;
  });
});

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

Deno.test("--reorder 1: of what came within half a second the last goes first", async () => {
  await serving({ reorder: 1 }, async (_server, client) => {
    for (const text of ["number 0", "number 1", "number 2"]) await client.send(text);
    assertEquals(numbers(await client.count(3)), [2, 1, 0]);
  });
});

Deno.test("--delay holds a hundred at once side by side", async () => {
  await serving({ delay: 100 }, async (server, client) => {
    const began = performance.now();
    for (let index = 0; index < 100; index++) await client.send(`number ${index}`);
    await arrived(server, 100);
    assertEquals([client.received.length, server.counts.held], [0, 100]);
    await client.count(100);
    const took = performance.now() - began;
    assert(took >= 98, `${took} ms`);
    assertLess(took, 300);
    assertEquals(server.counts.held, 0);
  });
});

Deno.test("--delay holds a bounded number of replies, the rest is limited", async () => {
  await serving({ delay: 60_000 }, async (server, client) => {
    for (let sent = 0; sent < 16_400; sent += 50) {
      for (let index = 0; index < 50; index++) await client.send("x");
      await arrived(server, sent + 50);
    }
    assertEquals([server.counts.held, server.counts.limited], [16_384, 16]);
  });
});

Deno.test("--jitter is uniform around the delay", async () => {
  await serving({ delay: 30, jitter: 20 }, async (server, client) => {
    const sent = new Map<string, number>();
    const times: number[] = [];
    for (let index = 0; index < 200; index++) {
      sent.set(`number ${index}`, performance.now());
      await client.send(`number ${index}`);
    }
    await arrived(server, 200);
    for (let known = 0; known < 200; await later(1)) {
      const now = performance.now();
      for (; known < client.received.length; known++) {
        times.push(now - (sent.get(client.received[known] ?? "") ?? 0));
      }
    }
    assert(Math.min(...times) >= 9, `${Math.min(...times)} ms`);
    const mean = times.reduce((sum, time) => sum + time, 0) / times.length;
    assert(mean > 20 && mean < 60, `${mean} ms`);
    assert(Math.max(...times) - Math.min(...times) > 25);
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

Deno.test("what is still held when the server stops was never echoed", async () => {
  const socket = udp();
  const stop = new AbortController();
  const server = new EchoServer(socket, { ...PERFECT, delay: 60_000 }, stop.signal);
  const done = server.serve();
  const client = new Client(addressOf(socket));
  await client.send("a");
  await arrived(server, 1);
  stop.abort();
  await done;
  await client.close();
  assertEquals(
    summarize(server.counts),
    "1 received, 0 dropped, 0 echoed (0% loss), 1 clients, 1 bytes, 1 held",
  );
});

Deno.test("what comes when the server stops is counted, and no error", async () => {
  const socket = udp();
  const stop = new AbortController();
  const warnings: unknown[] = [];
  const warn = (error: unknown) => warnings.push(error);
  const server = new EchoServer(socket, { ...PERFECT, delay: 2, warn }, stop.signal);
  const done = server.serve();
  const client = new Client(addressOf(socket));
  for (let index = 0; index < 200; index++) await client.send("a");
  await arrived(server, 50);
  stop.abort();
  await done;
  await client.close();
  const { received, echoed, held, failed } = server.counts;
  assertEquals([echoed + held + failed, warnings], [received, []]);
});

Deno.test("the table of clients is bounded, the count of clients is not", async () => {
  await serving({}, async (server, client) => {
    for (let index = 0; index < 20; index++) {
      const other = new Client(client.server);
      await other.send("a");
      await other.count(1);
      await other.close();
    }
    assertEquals(server.counts.clients, 20);
  });
});

// ---- Times and counts, for -T --------------------------------------------

const places = (sequence: number, id = "00000001") =>
  `sequence=${sequence}\ttime=1.000000\tid=${id}` +
  "\trx=0000000000.000000\ttx=0000000000.000000\tn=0000000000";
const countOf = (reply = "") => Number(/n=(\d{10})$/.exec(reply)?.[1]);

const COUNTED = [
  { rule: "one after the other", sequences: [1, 2, 3], want: [1, 2, 3] },
  { rule: "gaps are not counted", sequences: [1, 5, 9], want: [1, 2, 3] },
  { rule: "a request that comes twice counts once", sequences: [1, 1, 2, 2], want: [1, 1, 2, 2] },
  { rule: "one that comes late counts", sequences: [2, 1, 3], want: [1, 2, 3] },
  { rule: "far ahead and back", sequences: [1, 100_000, 99_990, 1], want: [1, 2, 3, 3] },
];
for (const { rule, sequences, want } of COUNTED) {
  Deno.test(`-T, n: ${rule}`, async () => {
    await serving({}, async (_server, client) => {
      for (const [index, sequence] of sequences.entries()) {
        await client.send(places(sequence));
        await client.count(index + 1);
      }
      assertEquals(client.received.map(countOf), want);
    });
  });
}

Deno.test("-T: times are filled in place, nothing else changes", async () => {
  await serving({ delay: 50 }, async (_server, client) => {
    const before = Date.now() / 1000;
    await client.send(places(1));
    const [reply = ""] = await client.count(1);
    const [, rx, tx] = /\trx=(\d{10}\.\d{6})\ttx=(\d{10}\.\d{6})\tn=0000000001$/.exec(reply) ?? [];
    assert(Math.abs(Number(rx) - before) < 5, reply);
    assert(Number(tx) - Number(rx) > 0.045 && Number(tx) - Number(rx) < 1, reply);
    assertEquals(reply.replace(/\trx.*/, ""), places(1).replace(/\trx.*/, ""));
    assertEquals(reply.length, places(1).length);
  });
});

Deno.test("-T: a new session counts from one", async () => {
  await serving({}, async (_server, client) => {
    await client.send(places(1, "0000000a"));
    await client.count(1);
    await client.send(places(1, "0000000b"));
    assertEquals((await client.count(2)).map(countOf), [1, 1]);
  });
});

Deno.test("-T: a dropped request is not counted", async () => {
  await serving({ loss: 0.5 }, async (server, client) => {
    for (let index = 1; index <= 40; index++) await client.send(places(index));
    await arrived(server, 40);
    await client.count(server.counts.received - server.counts.dropped);
    assertEquals(countOf(client.received.at(-1)), client.received.length);
    assert(server.counts.dropped > 0);
  });
});

// ---- Summaries -----------------------------------------------------------

const NONE = {
  dropped: 0,
  echoed: 0,
  limited: 0,
  ignored: 0,
  failed: 0,
  held: 0,
  clients: 0,
  bytes: 0,
};
const SUMMARIES = [
  {
    counts: { received: 1200, dropped: 360, echoed: 840, clients: 3, bytes: 48_000 },
    want: "1200 received, 360 dropped, 840 echoed (30% loss), 3 clients, 48000 bytes",
  },
  {
    counts: { received: 0 },
    want: "0 received, 0 dropped, 0 echoed (0% loss), 0 clients, 0 bytes",
  },
  {
    counts: { received: 10, dropped: 3, echoed: 4, limited: 1, ignored: 1, failed: 1, clients: 1 },
    want:
      "10 received, 3 dropped, 4 echoed (33.3333% loss), 1 clients, 0 bytes, 1 limited, 1 ignored, 1 failed",
  },
];
for (const { counts, want } of SUMMARIES) {
  Deno.test(`summary: ${want}`, () => assertEquals(summarize({ ...NONE, ...counts }), want));
}

// ---- Heartbeats ----------------------------------------------------------

const FROM = { hostname: "::ffff:192.0.2.7", port: 4444, transport: "udp" as const };
const web = (sequence: number, more = "") =>
  `sequence=${sequence}\ttime=1.000000\tname=web1\tinterval=1${more}`;

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

Deno.test("heartbeat: watched over a real socket, and a stop is noticed", async () => {
  const socket = udp();
  const sender = udp();
  const stop = new AbortController();
  const { promise: stopped, resolve } = Promise.withResolvers<void>();
  const changes: Change[] = [];
  const report = (change: Change) => {
    changes.push(change);
    if (change.event === "stopped") resolve();
  };
  const watching = watch(socket, new Monitor({ report }), stop.signal);
  for (const sequence of [1, 2, 4]) {
    await sender.send(
      octetsOf(web(sequence).replace("interval=1", "interval=0.1")),
      addressOf(socket),
    );
    await later(20);
  }
  await stopped;
  stop.abort();
  await watching;
  sender.close();
  assertEquals(changes.map(({ event }) => event), ["started", "lost", "stopped"]);
});

Deno.test("heartbeat: while the monitor itself stood still, nobody stopped", async () => {
  const socket = udp();
  const sender = udp();
  const stop = new AbortController();
  const changes: Change[] = [];
  const monitor = new Monitor({ report: (change) => changes.push(change) });
  const watching = watch(socket, monitor, stop.signal);
  const beat = web(1).replace("interval=1", "interval=0.1");
  await sender.send(octetsOf(beat), addressOf(socket));
  await later(60);
  await sender.send(octetsOf(beat.replace("=1", "=2")), addressOf(socket)); // waits in the socket
  for (const end = performance.now() + 600; performance.now() < end;);
  await later(150);
  stop.abort();
  await watching;
  sender.close();
  assertEquals(changes.map(({ event }) => event), ["started"]);
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

// ---- The command line ----------------------------------------------------

const REFUSED = [
  {
    args: ["-p", "http"],
    says: 'Cannot use --port "http": expected a whole number from 0 to 65535',
  },
  { args: ["--loss", "1.1"], says: 'Cannot use --loss "1.1": expected a probability' },
  { args: ["--loss", "3/2"], says: 'Cannot use --loss "3/2"' },
  { args: ["--loss", "1/0"], says: 'Cannot use --loss "1/0"' },
  { args: ["--loss", "0/0"], says: 'Cannot use --loss "0/0"' },
  { args: ["--loss", "-0.1"], says: 'Cannot use --loss "-0.1"' },
  { args: ["--loss", ""], says: 'Cannot use --loss ""' },
  { args: ["--burst", "0.5"], says: 'Cannot use --burst "0.5"' },
  { args: ["--loss", "0.9", "--burst", "2"], says: "Cannot lose 90% in bursts of 2" },
  { args: ["--delay", "x"], says: 'Cannot use --delay "x"' },
  { args: ["--seed", "1.5"], says: 'Cannot use --seed "1.5"' },
  { args: ["--exec", "true"], says: 'Option "--exec" needs --heartbeat' },
  { args: ["-b", ""], says: 'Option "--bind" needs a value' },
  { args: ["--heartbeat", "--exec", " "], says: 'Option "--exec" needs a value' },
  { args: ["extra"], says: 'Cannot use "extra": expected options only' },
  { args: ["--prot", "1"], says: 'Unknown option "--prot": did you mean --port?' },
];
for (const { args, says } of REFUSED) {
  Deno.test(`command line: ${args.join(" ")} is refused`, async () => {
    const { code, stdout, stderr } = await runProgram("udp_ping_server.ts", args);
    assertEquals([code, stdout], [2, ""]);
    assert(stderr.startsWith(`udp_ping_server: ${says}`), stderr);
    assertEquals(stderr.split("\n").length, 2);
  });
}

/** Starts the program on a free port and lets the test use it; then SIGINT, or as told. */
async function running(
  args: string[],
  use: (port: number, child: Deno.ChildProcess) => Promise<unknown>,
  allow = ["--allow-net"],
) {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", ...allow, `${ROOT}udp_ping_server.ts`, "-p0", ...args],
    env: { NO_COLOR: "1" },
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const reader = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
  let stderr = "";
  const more = async () => {
    const { value } = await reader.read();
    stderr += value ?? "";
    return value !== undefined;
  };
  while (!stderr.includes("\n") && await more());
  const port = Number(/ port (\d+)/.exec(stderr)?.[1]);
  await use(port, child);
  try {
    child.kill("SIGINT");
  } catch {
    // it has ended by itself
  }
  while (await more());
  await reader.cancel();
  const [{ code }, stdout] = await Promise.all([child.status, new Response(child.stdout).text()]);
  return { code, stdout, stderr };
}

Deno.test("command line: the first line tells address, port, faults and seed", async () => {
  const args = ["--loss", "30%", "--seed", "42", "--delay", "5", "-b", "127.0.0.1"];
  const { code, stdout, stderr } = await running(args, async () => {});
  assertMatch(
    stderr,
    /^udp_ping_server: listening on 127.0.0.1 port \d+, loss 30%, delay 5 ms \(seed 42\)\n$/,
  );
  assertEquals([code, stdout], [
    0,
    "0 received, 0 dropped, 0 echoed (0% loss), 0 clients, 0 bytes\n",
  ]);
});

const LOSSES = [
  { args: [], says: "36.3636%" }, // the assignment's: randint(0, 10) < 4
  { args: ["--loss", "0.3"], says: "30%" },
  { args: ["--loss", "30%"], says: "30%" },
  { args: ["--loss=1/8"], says: "12.5%" },
  { args: ["--loss", "100%"], says: "100%" },
  { args: ["--loss", "0.5", "--burst", "3", "--upper"], says: "50%, burst 3, upper case" },
];
for (const { args, says } of LOSSES) {
  Deno.test(`command line: ${args.join(" ") || "no options"} is loss ${says}`, async () => {
    const { stderr } = await running(args, async () => {});
    assertMatch(
      stderr,
      new RegExp(`^udp_ping_server: listening on :: port \\d+, loss ${says} \\(seed \\d+\\)\n$`),
    );
  });
}

Deno.test("command line: SIGQUIT shows the summary and goes on, SIGTERM ends with it", async () => {
  const { code, stdout } = await running(["--loss", "0"], async (port, child) => {
    const client = new Client({ hostname: "127.0.0.1", port, transport: "udp" });
    await client.send("\x1b[2J junk \x80");
    await client.count(1);
    child.kill("SIGQUIT");
    await later(100);
    await client.send("again");
    await client.count(2);
    await client.close();
    child.kill("SIGTERM");
    await child.status;
  });
  assertEquals([code, stdout.split("\n")], [0, [
    "1 received, 0 dropped, 1 echoed (0% loss), 1 clients, 11 bytes",
    "2 received, 0 dropped, 2 echoed (0% loss), 1 clients, 16 bytes",
    "",
  ]]);
});

Deno.test("command line: -v shows what came, escaped, and --json is JSON", async () => {
  const { stdout, stderr } = await running(["--loss", "0", "-v", "--json"], async (port) => {
    const client = new Client({ hostname: "127.0.0.1", port, transport: "udp" });
    await client.send("\x1b[2J");
    await client.count(1);
    await client.close();
  });
  assertMatch(stderr, /^< 4 octets, 127.0.0.1:\d+: \\x1b\[2J$/m);
  assertMatch(stderr, /^> 4 octets, 127.0.0.1:\d+: \\x1b\[2J$/m);
  const { event, received, echoed, loss } = JSON.parse(stdout);
  assertEquals([event, received, echoed, loss], ["summary", 1, 1, 0]);
});

Deno.test("command line: heartbeats, their changes, --exec and the summary", async () => {
  const log = await Deno.makeTempFile();
  const args = ["--heartbeat", "--json", "--exec", `tee -a ${log}`];
  const { code, stdout } = await running(args, async (port) => {
    const client = new Client({ hostname: "127.0.0.1", port, transport: "udp" });
    for (const text of [web(1), web(3), "junk", web(4, "\tbye=1")]) await client.send(text);
    await client.close();
    for (let waited = 0; waited < 3000; waited += 50) {
      if ((await Deno.readTextFile(log)).includes("left")) break;
      await later(50);
    }
  }, ["--allow-net", "--allow-run"]);
  const events = stdout.trim().split("\n").map((line) => JSON.parse(line));
  assertEquals([code, ...events.map(({ event }) => event)], [
    0,
    "started",
    "lost",
    "left",
    "summary",
  ]);
  assertEquals(events[1], { event: "lost", name: "web1", lost: 1, from: 2, to: 2 });
  assertEquals([events[3].junk, events[3].senders[0].received], [1, 3]);
  assertEquals(await Deno.readTextFile(log), stdout.split("\n").slice(0, 3).join("\n") + "\n");
  await Deno.remove(log);
});

Deno.test("command line: a command that hangs ends with the monitor", async () => {
  const log = await Deno.makeTempFile();
  const script = await Deno.makeTempFile();
  await Deno.writeTextFile(script, `echo $$ > ${log}; exec sleep 60`);
  const args = ["--heartbeat", "--json", "--exec", `sh ${script}`];
  const { code } = await running(args, async (port) => {
    const client = new Client({ hostname: "127.0.0.1", port, transport: "udp" });
    await client.send(web(1));
    await client.close();
    for (let waited = 0; waited < 3000 && (await Deno.readTextFile(log)) === ""; waited += 50) {
      await later(50);
    }
  }, ["--allow-net", "--allow-run"]);
  assertEquals(code, 0);
  const alive = new Deno.Command("kill", { args: ["-0", (await Deno.readTextFile(log)).trim()] });
  for (let waited = 0; waited < 3000 && (await alive.output()).success; waited += 50) {
    await later(50);
  }
  assertEquals((await alive.output()).success, false);
  await Promise.all([log, script].map((path) => Deno.remove(path)));
});

Deno.test("command line: --exec without its permission is one line", async () => {
  const args = ["-p0", "--heartbeat", "--exec", "tee x"];
  const { code, stderr } = await runProgram("udp_ping_server.ts", args, { allow: ["--allow-net"] });
  assertEquals([code, stderr], [
    1,
    "udp_ping_server: Deno was not allowed to run tee; add --allow-run=tee\n",
  ]);
});

Deno.test("command line: a port in use is named", async () => {
  const socket = udp();
  const { port } = addressOf(socket);
  const args = ["-p", String(port), "-b", "127.0.0.1"];
  const { code, stderr } = await runProgram("udp_ping_server.ts", args);
  socket.close();
  assertEquals(code, 1);
  assertMatch(
    stderr,
    new RegExp(`^udp_ping_server: Cannot listen on .* port ${port}: Address already`),
  );
});

const COMMANDS = [
  { args: ["--help"], allow: [], code: 0, stdout: /--exec COMMAND/, stderr: /^$/ },
  { args: ["-V"], allow: [], code: 0, stdout: /^udp_ping_server \d/, stderr: /^$/ },
  { args: ["-p0"], allow: [], code: 1, stdout: /^$/, stderr: /^[^\n]*add --allow-net\n$/ },
  {
    args: ["--bind", "192.0.2.1"],
    allow: ["--allow-net"],
    code: 1,
    stdout: /^$/,
    stderr: /192.0.2.1/,
  },
  { args: ["--lsos", "1"], allow: [], code: 2, stdout: /^$/, stderr: /did you mean --loss\?\n$/ },
];
for (const { args, allow, code, stdout, stderr } of COMMANDS) {
  Deno.test(`command line: udp_ping_server ${args.join(" ")}`, async () => {
    const outcome = await runProgram("udp_ping_server.ts", args, { allow });
    assertEquals(outcome.code, code);
    assertMatch(outcome.stdout, stdout);
    assertMatch(outcome.stderr, stderr);
  });
}

Deno.test("command line: the help fits 80 columns and names every option", async () => {
  const { stdout } = await runProgram("udp_ping_server.ts", ["--help"]);
  for (const line of stdout.split("\n")) assertLess(line.length, 81, line);
  for (const name of ["bind", "burst", "jitter", "reorder", "rate", "upper", "interval", "json"]) {
    assert(stdout.includes(`--${name}`), name);
  }
});

// ---- Both ends -----------------------------------------------------------

const ping = (port: number, ...args: string[]) =>
  runProgram("udp_pinger.ts", [...args, "--json", "-q", "127.0.0.1", String(port)]);

Deno.test("both ends: the replay line makes the path again", async () => {
  let first: { replay: string; lossInterval: number[]; rtt: { avg: number }; loss: number };
  const path = ["--loss", "0.3", "--burst", "3", "--delay", "20", "--jitter", "5", "--seed", "5"];
  let options: string[] = [];
  await running(path, async (port) => {
    first = JSON.parse((await ping(port, "-c400", "-i.005", "-W.2")).stdout);
    options = first.replay.split(" ").slice(1);
  });
  assertMatch(options.join(" "), /^--delay [\d.]+ --jitter [\d.]+ --loss 0\.\d+ --burst [\d.]+/);
  await running([...options, "--seed", "6"], async (port) => {
    const second = JSON.parse((await ping(port, "-c400", "-i.005", "-W.2")).stdout);
    const [low = 0, high = 100] = first.lossInterval;
    // Bursts make each loss tell less than Wilson thinks: four times the interval, here.
    const [half, middle] = [(high - low) / 2, (high + low) / 2];
    assertLess(Math.abs(second.loss - middle), 4 * half, `${first.loss}% and ${second.loss}%`);
    assertLess(Math.abs(second.rtt.avg - first.rtt.avg), 10);
  });
});

Deno.test("both ends: -T tells that requests were lost, not replies", async () => {
  await running(["--loss", "0.3", "--seed", "1"], async (port) => {
    const { oneWay, lost } = JSON.parse((await ping(port, "-c40", "-i.005", "-W.1", "-T")).stdout);
    assert(lost > 0);
    assertEquals([oneWay.lostUp, oneWay.lostDown], [lost, 0]);
  });
});

Deno.test("both ends: what the server does is what the pinger says", async () => {
  const faults = ["--duplicate", "0.2", "--corrupt", "0.1", "--reorder", "0.1", "--loss", "0.1"];
  await running([...faults, "--seed", "3"], async (port) => {
    const summary = JSON.parse((await ping(port, "-c200", "-i.002", "-W.6")).stdout);
    for (const kind of ["duplicates", "corrupted", "outOfOrder", "lost"]) {
      assert(summary[kind] > 5, `${kind}: ${summary[kind]}`);
    }
    assertEquals([summary.foreign, summary.errors], [0, 0]);
  });
});

const python = await new Deno.Command("python3", { args: ["--version"], stdout: "null" }).output()
  .then(({ success }) => success, () => false);
if (!python) console.log("skipped: the assignment's Python programs (install python3)");

const PYTHON_SERVER = `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1], flush=True)
while True:
    message, address = s.recvfrom(1024)
    s.sendto(message, address)
`;
const PYTHON_CLIENT = `
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(0.3)
good = 0
for number in range(1, 11):
    message = "sequence=%d\\ttime=%.6f" % (number, time.time())
    s.sendto(message.encode(), ("127.0.0.1", int(sys.argv[1])))
    try:
        reply, address = s.recvfrom(1024)
        good += reply.decode() == message
    except socket.timeout:
        pass
print(good)
`;
const PYTHON_BEATS = `
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for number in (1, 2, 4):
    s.sendto(("%d - %f" % (number, time.time())).encode(), ("127.0.0.1", int(sys.argv[1])))
    time.sleep(0.05)
`;

Deno.test({ name: "both ends: our pinger and a server in Python", ignore: !python }, async () => {
  const child = new Deno.Command("python3", { args: ["-c", PYTHON_SERVER], stdout: "piped" })
    .spawn();
  const reader = child.stdout.getReader();
  const port = Number(toByteString((await reader.read()).value ?? new Uint8Array()));
  const { received, corrupted } = JSON.parse((await ping(port, "-c20")).stdout);
  child.kill();
  await child.status;
  await reader.cancel();
  assertEquals([received, corrupted], [20, 0]);
});

Deno.test({ name: "both ends: our server and a client in Python", ignore: !python }, async () => {
  const { stdout } = await running(["--loss", "0"], async (port) => {
    const args = ["-c", PYTHON_CLIENT, String(port)];
    const client = await new Deno.Command("python3", { args }).output();
    assertEquals(toByteString(client.stdout), "10\n");
  });
  assertMatch(stdout, /^10 received, 0 dropped, 10 echoed/);
});

Deno.test({ name: "both ends: our monitor and beats in Python", ignore: !python }, async () => {
  const { stdout } = await running(["--heartbeat"], async (port) => {
    await new Deno.Command("python3", { args: ["-c", PYTHON_BEATS, String(port)] }).output();
    await later(100);
  });
  assertMatch(stdout, /^127.0.0.1:\d+: started\n127.0.0.1:\d+: 1 lost \(sequence 3\)\n/);
  assertMatch(stdout, /\n127.0.0.1:\d+: 3 received, 1 lost \(25% loss\), 0 late,/);
});

Deno.test("both ends: our heartbeats and our monitor", async () => {
  const { stdout } = await running(["--heartbeat"], async (port) => {
    const args = ["--heartbeat", "-i.05", "-c4", "--name", "web1", "-q", "127.0.0.1", String(port)];
    assertEquals((await runProgram("udp_pinger.ts", args)).code, 0);
  });
  assertMatch(stdout, /^web1: started\nweb1: left\nweb1: 4 received, 0 lost \(0% loss\),/);
});
