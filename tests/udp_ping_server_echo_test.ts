/** Tests of the echo: octets, order, abuse, counts, and the fields of -T. */
import { assert, assertEquals, assertLess } from "jsr:@std/assert@^1.0.19";
import { EchoServer, summarize } from "../udp_ping_server.ts";
import { octetsOf } from "./helpers.ts";
import {
  addressOf,
  arrived,
  Client,
  numbers,
  PERFECT,
  sendMany,
  serving,
  sleep,
  udp,
} from "./udp_ping_server_helpers.ts";

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
      await sleep(50);
    }
    assertLess(rounds, 1000);
    assertEquals(server.counts.limited, 10);
    mirror.close();
    await mirroring;
  });
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
    "1 received, 0 dropped, 0 echoed (0% loss), 1 client, 1 byte, 1 held",
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
      "10 received, 3 dropped, 4 echoed (33.3% loss), 1 client, 0 bytes, 1 limited, 1 ignored, 1 failed",
  },
];
for (const { counts, want } of SUMMARIES) {
  Deno.test(`summary: ${want}`, () => assertEquals(summarize({ ...NONE, ...counts }), want));
}
