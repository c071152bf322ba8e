/** Tests of the echo: octets, order, abuse, counts, and the fields of -T. */
import { assert, assertEquals, assertLess } from "jsr:@std/assert@^1.0.19";
import type { Trace } from "../protocol.ts";
import { ECHO_LIMITS, type EchoOptions, EchoServer, summarize } from "../udp_ping_server.ts";
import { octetsOf } from "./helpers.ts";
import {
  addressOf,
  arrived,
  Client,
  loop,
  numbers,
  PERFECT,
  sendMany,
  serving,
  settled,
  sleep,
  udp,
  until,
} from "./udp_ping_server_helpers.ts";

const ECHOED: Record<string, string> = {
  "no octets": "",
  "one octet": "x",
  "a message of our pinger": "sequence=1\ttime=1700000000.123456",
  "octets that are not UTF-8": "\x80\xff\xfe",
  "NUL, CR, LF and escapes": "\0\r\n\x1b[2J\x07",
  "every octet": String.fromCharCode(...Array.from({ length: 256 }, (_, octet) => octet)),
  "damaged fields of -T": "\trx=0000000000.00000x\ttx=0000000000.000000\tn=0000000000",
  "an Ethernet frame": "y".repeat(1472),
  "65,507 octets, the most over IPv4 (RFC 768)": "z".repeat(65_507),
};
for (const hostname of ["127.0.0.1", "::1"]) {
  for (const [what, text] of Object.entries(ECHOED)) {
    Deno.test(`RFC 862: the reply over ${hostname} is the request: ${what}`, async () => {
      await serving({}, async (server, client) => {
        await client.send(text);
        assertEquals(await client.count(1), [text]);
        assertEquals(server.counts.bytes, text.length);
      }, hostname);
    });
  }
}

Deno.test("RFC 862: a socket on every address answers IPv4 and IPv6", async () => {
  await serving({}, async (_server, _client, socket) => {
    for (const hostname of ["127.0.0.1", "::1"]) {
      const other = new Client({ ...addressOf(socket), hostname });
      await other.send("hello");
      assertEquals(await other.count(1), ["hello"]);
      await other.close();
    }
  }, "::");
});

Deno.test("RFC 862: replies keep the order of the requests", async () => {
  await serving({}, async (server, client) => {
    const sent = Array.from({ length: 100 }, (_, index) => index);
    assertEquals(numbers(await sendMany(server, client, 100)), sent);
  });
});

Deno.test("--upper: letters of ASCII are upper case, other octets unchanged", async () => {
  await serving({ upper: true }, async (_server, client) => {
    await client.send("Ping 1 `az{ \xe4");
    assertEquals(await client.count(1), ["PING 1 `AZ{ \xe4"]);
  });
});

Deno.test("abuse: a request from the server's own port number gets no reply", async () => {
  await serving({}, async (server, _client, socket) => {
    await socket.send(octetsOf("to myself"), addressOf(socket));
    await arrived(server, 1);
    assertEquals([server.counts.ignored, server.counts.echoed], [1, 0]);
  });
});

/** Opens a UDP socket on a fixed port, or returns undefined if that is not permitted. */
function socketOn(port: number): Deno.DatagramConn | undefined {
  try {
    return Deno.listenDatagram({ transport: "udp", hostname: "127.0.0.1", port });
  } catch {
    return undefined;
  }
}

for (const [port, isIgnored] of [[1023, true], [1024, false]] as const) {
  const outcome = isIgnored ? "gets no reply, it is a service" : "gets a reply";
  const name = `RFC 6335 §6: a request from port ${port} ${outcome}`;
  const client = socketOn(port);
  client?.close();
  if (client === undefined) console.log(`skipped: ${name} (the port is not available)`);
  Deno.test({ name, ignore: client === undefined }, async () => {
    await serving({}, async (server, _client, socket) => {
      const client = socketOn(port);
      await client?.send(octetsOf("x"), addressOf(socket));
      await arrived(server, 1);
      assert(await until(() => server.counts.ignored + server.counts.echoed === 1));
      assertEquals(server.counts.ignored === 1, isIgnored);
      client?.close();
    });
  });
}

Deno.test("--rate 10: ten requests at once are answered, the others are counted as limited", async () => {
  await serving({ rate: 10 }, async (server, client) => {
    const replies = await sendMany(server, client, 100);
    assert(replies.length >= 10 && replies.length <= 20, `${replies.length} replies`);
    assertEquals(server.counts.limited, 100 - replies.length);
    assertEquals(server.counts.dropped, 0);
  });
});

Deno.test("--rate: each client has its own allowance", async () => {
  await serving({ rate: 1 }, async (_server, client) => {
    const other = new Client(client.server);
    await client.send("a");
    await other.send("b");
    assertEquals([...await client.count(1), ...await other.count(1)], ["a", "b"]);
    await other.close();
  });
});

Deno.test("--rate: the same port on another host is another client", async () => {
  await serving({ rate: 1 }, async (server, _client, socket) => {
    const to = (hostname: string) => ({ ...addressOf(socket), hostname });
    const one = udp("127.0.0.1");
    const { port } = addressOf(one);
    const other = Deno.listenDatagram({ transport: "udp", hostname: "::1", port });
    await one.send(octetsOf("a"), to("127.0.0.1"));
    await arrived(server, 1);
    await other.send(octetsOf("b"), to("::1"));
    await arrived(server, 2);
    assertEquals([server.counts.clients, server.counts.limited], [2, 0]);
    one.close();
    other.close();
  }, "::");
});

Deno.test("abuse: datagrams that a reflector sends back end at --rate", async () => {
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
    assert(await until(() => server.counts.limited === 10));
    assert(await settled(() => rounds, 50));
    assertLess(rounds, 1000);
    assertEquals(server.counts.limited, 10);
    mirror.close();
    await mirroring;
  });
});

Deno.test("counts: a reply that is held when the server stops is not counted as echoed", async () => {
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
    "1 received, 0 dropped, 0 echoed (0% loss), 1 client, 1 byte, 1 held",
  );
});

Deno.test("counts: a reply that is sent twice counts once", async () => {
  await serving({ duplicate: 1 }, async (server, client) => {
    await client.send("a");
    await client.count(2);
    assert(await until(() => server.counts.held === 0));
    assertEquals([server.counts.received, server.counts.echoed], [1, 1]);
  });
});

Deno.test("counts: replies that cannot be sent are counted, the first one with a message", async () => {
  const socket = udp();
  const send = () => Promise.reject(new Error("Network is unreachable (os error 101)"));
  const broken = {
    addr: socket.addr,
    receive: (buffer: Uint8Array) => socket.receive(buffer),
    send,
    close: () => socket.close(),
  } as unknown as Deno.DatagramConn; // the part of a socket that the server uses
  const stop = new AbortController();
  const messages: string[] = [];
  const warn = ({ message }: Error) => messages.push(message);
  const server = new EchoServer(broken, { ...PERFECT, warn }, stop.signal);
  const done = server.serve();
  const client = new Client(addressOf(socket));
  const { port } = addressOf(client.socket);
  for (let index = 0; index < 3; index++) await client.send("a");
  assert(await until(() => server.counts.failed === 3));
  assertEquals([server.counts.echoed, server.counts.held], [0, 0]);
  assertEquals(messages, [`Cannot reply to 127.0.0.1:${port}: network is unreachable`]);
  stop.abort();
  await done;
  await client.close();
});

Deno.test("counts: datagrams during the stop have one fate each and cause no error", async () => {
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

for (const [clients, forgotten] of [[2, false], [3, true]] as const) {
  const name = `limits: of ${clients} clients the first is ${
    forgotten ? "" : "not "
  }forgotten at a limit of 2`;
  Deno.test(name, async () => {
    await serving({ limits: { clients: 2 } }, async (server, client) => {
      await client.send("first");
      await client.count(1);
      for (let index = 1; index < clients; index++) {
        const other = new Client(client.server);
        await other.send("other");
        await other.count(1);
        await other.close();
      }
      await client.send("first again");
      await client.count(2);
      assertEquals(server.counts.clients, clients + (forgotten ? 1 : 0));
    });
  });
}

Deno.test("limits: clients, held replies and octets, the wait of --reorder, repeats", () => {
  assertEquals(ECHO_LIMITS, {
    ...{ clients: 10_000, held: 16_384, heldOctets: 67_108_864, reorder: 500, repeats: 1000 },
  });
});

const HELD = [
  { rule: "3 replies are held at a limit of 3", limits: { held: 3 }, sizes: [1, 1, 1], held: 3 },
  {
    rule: "of 4 replies 1 is limited at a limit of 3",
    limits: { held: 3 },
    sizes: [1, 1, 1, 1],
    held: 3,
  },
  {
    rule: "100 octets are held at a limit of 100",
    limits: { heldOctets: 100 },
    sizes: [60, 40],
    held: 2,
  },
  {
    rule: "101 octets are not held at a limit of 100",
    limits: { heldOctets: 100 },
    sizes: [60, 41],
    held: 1,
  },
];
for (const { rule, limits, sizes, held } of HELD) {
  Deno.test(`limits: ${rule}`, async () => {
    await serving({ delay: 60_000, limits }, async (server, client) => {
      for (const size of sizes) await client.send("x".repeat(size));
      await arrived(server, sizes.length);
      assertEquals([server.counts.held, server.counts.limited], [held, sizes.length - held]);
    });
  });
}

Deno.test("limits: octets of replies that were sent count no longer", async () => {
  await serving({ delay: 2, limits: { heldOctets: 100 } }, async (_server, client) => {
    for (let index = 1; index <= 5; index++) {
      await client.send("x".repeat(100));
      await client.count(index);
    }
  });
});

// ---- Loops ---------------------------------------------------------------

const LOOPS: Record<string, Partial<EchoOptions>> = {
  "without faults": {},
  "--delay 5": { delay: 5, limits: { repeats: 50 } },
  "--delay 5 --duplicate 1": { delay: 5, duplicate: 1 },
  "--duplicate 1": { duplicate: 1 },
  "--upper": { upper: true, limits: { repeats: 50 } },
  "--reorder 0.5": { reorder: 0.5, limits: { repeats: 10, reorder: 5 } },
};
for (const [rule, options] of Object.entries(LOOPS)) {
  Deno.test(`abuse: two servers that answer each other stop: ${rule}`, async () => {
    assertLess(await loop(options), 50_000);
  });
}

Deno.test("abuse: a request of -T ends as a loop too, though the times in it change", async () => {
  await serving({}, async (_server, client) => {
    await client.send(places(1));
    const [reply = ""] = await client.count(1);
    await client.send(reply);
    assertEquals((await client.count(2)).at(-1), reply);
  });
});

for (const [repeats, limited] of [[3, 0], [4, 1], [8, 2]] as const) {
  Deno.test(`--rate: of ${repeats + 1} equal requests ${limited} are limited, for one in 4 repeats`, async () => {
    await serving({ rate: 1000, limits: { repeats: 4 } }, async (server, client) => {
      for (let index = 0; index <= repeats; index++) await client.send("the same");
      await arrived(server, repeats + 1);
      assertEquals(server.counts.limited, limited);
    });
  });
}

/** Sends repeated requests beyond a rate of 50, waits for new tokens, then sends one more. */
async function storm(requests: number, next: string): Promise<number> {
  let limited = 0;
  await serving({ rate: 50 }, async (server, client) => {
    for (let index = 0; index < requests; index++) await client.send("the same");
    await arrived(server, requests);
    await sleep(60);
    limited = -server.counts.limited;
    await client.send(next);
    await arrived(server, requests + 1);
    limited += server.counts.limited;
  });
  return limited;
}

Deno.test("abuse: 100 repeats beyond --rate are a storm: further repeats are limited", async () => {
  assertEquals(await storm(101, "the same"), 1);
});

Deno.test("abuse: 99 repeats beyond --rate are not a storm", async () => {
  assertEquals(await storm(100, "the same"), 0);
});

Deno.test("abuse: a different request is answered during a storm", async () => {
  assertEquals(await storm(101, "another"), 0);
});

for (const [octet, limited] of [[512, 0], [513, 1]] as const) {
  const rule = limited === 1 ? "a repeat" : "another request";
  Deno.test(`--rate: a request that differs in octet ${octet} only is ${rule}`, async () => {
    await serving({ rate: 1000, limits: { repeats: 1 } }, async (server, client) => {
      const request = "x".repeat(600);
      await client.send(request);
      await client.send(`${request.slice(0, octet - 1)}y${request.slice(octet)}`);
      await arrived(server, 2);
      assertEquals(server.counts.limited, limited);
    });
  });
}

Deno.test("--rate: two requests in turn are repeats, too", async () => {
  await serving({ rate: 1000, limits: { repeats: 4 } }, async (server, client) => {
    for (const text of ["a", "b", "a", "b", "a", "b"]) await client.send(text);
    await arrived(server, 6);
    assertEquals(server.counts.limited, 1);
  });
});

Deno.test("-v: the trace has each request with its fate, and each reply", async () => {
  const lines: string[] = [];
  const trace: Trace = (mark, text) => lines.push(`${mark} ${text}`);
  await serving({ rate: 1, trace }, async (server, client) => {
    for (const text of ["a", "caf\xc3\xa9"]) await client.send(text);
    await arrived(server, 2);
    await client.count(1);
    const peer = `127.0.0.1:${addressOf(client.socket).port}`;
    assertEquals(lines.sort(), [
      `* Client 1 is ${peer}, seed 1`,
      `< 1 octets, ${peer}: a`,
      `< 5 octets, ${peer}: café (limited)`,
      `> 1 octets, ${peer}: a`,
    ]);
  });
});

Deno.test("-v: the trace shows up to 200 octets of a datagram", async () => {
  const lines: string[] = [];
  const trace: Trace = (mark, text) => lines.push(`${mark} ${text}`);
  await serving({ trace }, async (_server, client) => {
    await client.send("x".repeat(201));
    await client.count(1);
    const peer = `127.0.0.1:${addressOf(client.socket).port}`;
    assertEquals(lines.at(-1), `> 201 octets, ${peer}: ${"x".repeat(200)}`);
  });
});

Deno.test("--rate 0: nothing is limited, not even the same request again and again", async () => {
  await serving({ rate: 0, limits: { repeats: 4 } }, async (server, client) => {
    for (let index = 0; index < 50; index++) await client.send("the same");
    await client.count(50);
    assertEquals(server.counts.limited, 0);
  });
});

// ---- Times and counts, for -T --------------------------------------------

/** Returns a request of -T. */
const places = (sequence: number, id = "00000001") =>
  `sequence=${sequence}\ttime=1.000000\tid=${id}` +
  "\trx=0000000000.000000\ttx=0000000000.000000\tn=0000000000";
/** Returns the n field of a reply. */
const countOf = (reply = "") => Number(/n=(\d{10})$/.exec(reply)?.[1]);

const COUNTED = [
  { rule: "one after the other", sequences: [1, 2, 3], want: [1, 2, 3] },
  { rule: "after gaps", sequences: [1, 5, 9], want: [1, 2, 3] },
  { rule: "a request that comes twice counts once", sequences: [1, 1, 2, 2], want: [1, 1, 2, 2] },
  { rule: "a late request counts", sequences: [2, 1, 3], want: [1, 2, 3] },
  {
    rule: "a number far ahead counts when a second one is near it",
    sequences: [1, 100_000, 99_990, 1],
    want: [1, 1, 3, 3],
  },
  {
    rule: "one damaged digit does not stop the count",
    sequences: [1, 900_000_000_002, 3, 4],
    want: [1, 1, 2, 3],
  },
  {
    rule: "a damaged first number does not stop the count",
    sequences: [900_000_000_001, 2, 3, 4],
    want: [1, 1, 3, 4],
  },
  {
    rule: "both numbers after a long gap count once",
    sequences: [1, 5000, 5001, 5000],
    want: [1, 1, 3, 3],
  },
  {
    rule: "a late request 1,024 after one that came",
    sequences: [2, 1000, 1030, 1026],
    want: [1, 2, 3, 4],
  },
  { rule: "1023 ahead is near", sequences: [1, 1024], want: [1, 2] },
  { rule: "1024 ahead is far", sequences: [1, 1025], want: [1, 1] },
  { rule: "1023 back is new", sequences: [1024, 1], want: [1, 2] },
  { rule: "1024 back is too far", sequences: [1025, 1], want: [1, 1] },
  {
    rule: "the same number far ahead twice does not count",
    sequences: [1, 5000, 5000],
    want: [1, 1, 1],
  },
];
for (const { rule, sequences, want } of COUNTED) {
  Deno.test(`-T: n counts different requests: ${rule}`, async () => {
    await serving({}, async (_server, client) => {
      for (const [index, sequence] of sequences.entries()) {
        await client.send(places(sequence));
        await client.count(index + 1);
      }
      assertEquals(client.received.map(countOf), want);
    });
  });
}

Deno.test("-T: rx, tx and n are filled in, nothing else changes", async () => {
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

Deno.test("-T: a new session (id) counts from one", async () => {
  await serving({}, async (_server, client) => {
    await client.send(places(1, "0000000a"));
    await client.count(1);
    await client.send(places(1, "0000000b"));
    assertEquals((await client.count(2)).map(countOf), [1, 1]);
  });
});

Deno.test("-T: n does not count a dropped request", async () => {
  await serving({ loss: 0.5 }, async (server, client) => {
    for (let index = 1; index <= 40; index++) await client.send(places(index));
    await arrived(server, 40);
    await client.count(server.counts.received - server.counts.dropped);
    assertEquals(countOf(client.received.at(-1)), client.received.length);
    assert(server.counts.dropped > 0);
  });
});

Deno.test("-T: the count of a session goes on when the client's port changes", async () => {
  await serving({}, async (_server, client) => {
    await client.send(places(1));
    await client.count(1);
    const moved = new Client(client.server);
    await moved.send(places(2));
    assertEquals((await moved.count(1)).map(countOf), [2]);
    await moved.close();
  });
});

Deno.test("-T: a damaged id does not begin a new count for the session", async () => {
  await serving({}, async (_server, client) => {
    const ids = ["0000000a", "0000000b", "0000000a"];
    for (const [index, id] of ids.entries()) {
      await client.send(places(index + 1, id));
      await client.count(index + 1);
    }
    assertEquals(client.received.map(countOf), [1, 1, 2]);
  });
});

Deno.test("-T: without an id the address and port are the session", async () => {
  await serving({}, async (_server, client) => {
    const withoutId = (sequence: number) => places(sequence).replace("\tid=00000001", "");
    const other = new Client(client.server);
    await client.send(withoutId(1));
    await client.count(1);
    await other.send(withoutId(1));
    await client.send(withoutId(2));
    assertEquals((await client.count(2)).map(countOf), [1, 2]);
    assertEquals((await other.count(1)).map(countOf), [1]);
    await other.close();
  });
});

Deno.test("-T: a request without a number is not counted", async () => {
  await serving({}, async (_server, client) => {
    await client.send(places(1).replace("sequence=1", "sequence=x"));
    assertEquals((await client.count(1)).map(countOf), [0]);
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
      "10 received, 3 dropped, 4 echoed (33.3% loss), 1 client, 0 bytes, 1 limited, 1 ignored, 1 failed",
  },
];
for (const { counts, want } of SUMMARIES) {
  Deno.test(`summary: ${want}`, () => assertEquals(summarize({ ...NONE, ...counts }), want));
}
