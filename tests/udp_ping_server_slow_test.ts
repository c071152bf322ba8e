/** Rows of the echo server and the monitor that wait for real time. */
import { assert, assertEquals, assertLess, assertMatch } from "jsr:@std/assert@^1.0.19";
import { EventCommand, Monitor, type MonitorEvent, watchHeartbeats } from "../udp_ping_server.ts";
import { octetsOf } from "./helpers.ts";
import {
  addressOf,
  arrived,
  Client,
  loop,
  numbers,
  ping,
  running,
  serving,
  sleep,
  udp,
  until,
  web,
} from "./udp_ping_server_helpers.ts";

Deno.test("--reorder 1: of the replies of half a second the last is sent first", async () => {
  await serving({ reorder: 1 }, async (_server, client) => {
    for (const text of ["number 0", "number 1", "number 2"]) await client.send(text);
    assertEquals(numbers(await client.count(3)), [2, 1, 0]);
  });
});

Deno.test("abuse: a storm of repeats is over after a second of silence", async () => {
  await serving({ rate: 50 }, async (server, client) => {
    for (let index = 0; index < 200; index++) await client.send("the same");
    await arrived(server, 200);
    await sleep(1200);
    const { limited } = server.counts;
    await client.send("the same");
    await arrived(server, 201);
    assertEquals(server.counts.limited, limited);
  });
});

Deno.test("abuse: two servers that answer each other stop: --delay 300 --duplicate 1", async () => {
  assertLess(await loop({ rate: 50, delay: 300, duplicate: 1 }, 1500), 2000);
});

Deno.test("--delay 100: a hundred requests at once are all answered after 100 ms", async () => {
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

Deno.test("--jitter: the delay is up to that much longer or shorter", async () => {
  await serving({ delay: 300, jitter: 200 }, async (server, client) => {
    const startedAt = performance.now();
    for (let index = 0; index < 100; index++) await client.send(`number ${index}`);
    await arrived(server, 100);
    const sent = performance.now() - startedAt;
    const times: number[] = [];
    await until(() => {
      while (times.length < client.received.length) times.push(performance.now() - startedAt);
      return times.length === 100;
    });
    const [first = 0, last = 0] = [times[0], times[99]];
    const mean = times.reduce((sum, time) => sum + time, 0) / times.length;
    assert(first >= 98 && first < 300 + sent, `first after ${first} ms`);
    assert(mean > 200 && mean < 900, `mean ${mean} ms`);
    assert(last > 400 && last < 1500, `last after ${last} ms`);
  });
});

Deno.test("monitor: a stop is reported over a real socket", async () => {
  const socket = udp();
  const sender = udp();
  const stop = new AbortController();
  const { promise: stopped, resolve } = Promise.withResolvers<void>();
  const events: MonitorEvent[] = [];
  const report = (event: MonitorEvent) => {
    events.push(event);
    if (event.event === "stopped") resolve();
  };
  const watching = watchHeartbeats(socket, new Monitor({ report }), stop.signal);
  for (const sequence of [1, 2, 4]) {
    await sender.send(
      octetsOf(web(sequence).replace("interval=1", "interval=0.1")),
      addressOf(socket),
    );
    await sleep(20);
  }
  await stopped;
  stop.abort();
  await watching;
  sender.close();
  assertEquals(events.map(({ event }) => event), ["started", "lost", "stopped"]);
});

Deno.test("monitor: beats that wait in the socket while the monitor stalls prevent a stop", async () => {
  const socket = udp();
  const sender = udp();
  const stop = new AbortController();
  const events: MonitorEvent[] = [];
  const monitor = new Monitor({ report: (event) => events.push(event) });
  const watching = watchHeartbeats(socket, monitor, stop.signal);
  const beat = web(1).replace("interval=1", "interval=0.1");
  await sender.send(octetsOf(beat), addressOf(socket));
  await sleep(60);
  await sender.send(octetsOf(beat.replace("=1", "=2")), addressOf(socket)); // waits in the socket
  for (const end = performance.now() + 600; performance.now() < end;);
  await sleep(150);
  stop.abort();
  await watching;
  sender.close();
  assertEquals(events.map(({ event }) => event), ["started"]);
});

/** Runs a monitor with one sender, up with an interval of 10 s, and returns its other events. */
async function eventsDuring(act: () => Promise<unknown>): Promise<MonitorEvent[]> {
  const socket = udp();
  const sender = udp();
  const stop = new AbortController();
  const events: MonitorEvent[] = [];
  const monitor = new Monitor({ report: (event) => events.push(event) });
  const watching = watchHeartbeats(socket, monitor, stop.signal);
  await sender.send(octetsOf(web(1).replace("interval=1", "interval=10")), addressOf(socket));
  await until(() => events.length === 1);
  await act();
  stop.abort();
  await watching;
  sender.close();
  return events.slice(1);
}

Deno.test("monitor: a stall of more than a second is reported as a suspension", async () => {
  const [event, ...more] = await eventsDuring(async () => {
    for (const end = performance.now() + 1300; performance.now() < end;);
    await sleep(200);
  });
  assertEquals([event?.event, event?.name, more], ["suspended", "monitor", []]);
  assert(event?.silence !== undefined && event.silence > 1 && event.silence < 4);
});

Deno.test("monitor: a step of the wall clock is not reported", async () => {
  const { now } = Date;
  try {
    const events = await eventsDuring(async () => {
      for (const hours of [1, -1, 2]) {
        Date.now = () => now() + 3_600_000 * hours;
        await sleep(150);
      }
    });
    assertEquals(events, []);
  } finally {
    Date.now = now;
  }
});

Deno.test("--exec: a command that ignores SIGTERM does not keep the monitor", async () => {
  const script = await Deno.makeTempFile();
  await Deno.writeTextFile(script, 'trap "" TERM; sleep 2');
  const command = new EventCommand(`sh ${script}`, {
    stdout: "null",
    warn: () => {},
    limits: { end: 100 },
  });
  command.onEvent({ time: "", event: "started", name: "web1" });
  const startedAt = performance.now();
  await sleep(300);
  await command.end();
  assertLess(performance.now() - startedAt, 1500);
  await command.end(10_000);
  await Deno.remove(script);
});

Deno.test("--exec: a command that hangs ends with the monitor", async () => {
  const log = await Deno.makeTempFile();
  const script = await Deno.makeTempFile();
  await Deno.writeTextFile(script, `echo $$ > ${log}; exec sleep 60`);
  const args = ["--heartbeat", "--json", "--exec", `sh ${script}`];
  const { code } = await running(args, async (port) => {
    const client = new Client({ hostname: "127.0.0.1", port, transport: "udp" });
    await client.send(web(1));
    await client.close();
    for (let waited = 0; waited < 3000 && (await Deno.readTextFile(log)) === ""; waited += 50) {
      await sleep(50);
    }
  }, ["--allow-net", "--allow-run"]);
  assertEquals(code, 0);
  const alive = new Deno.Command("kill", { args: ["-0", (await Deno.readTextFile(log)).trim()] });
  for (let waited = 0; waited < 3000 && (await alive.output()).success; waited += 50) {
    await sleep(50);
  }
  assertEquals((await alive.output()).success, false);
  await Promise.all([log, script].map((path) => Deno.remove(path)));
});

Deno.test("both ends: the replay line of the pinger reproduces the path", async () => {
  let first: { replay: string; lossInterval: number[]; rtt: { avg: number }; loss: number };
  const path = ["--loss", "0.3", "--burst", "3", "--delay", "20", "--jitter", "5", "--seed", "5"];
  let options: string[] = [];
  await running(path, async (port) => {
    first = JSON.parse((await ping(port, "-c400", "-i.005", "-W.2")).stdout);
    options = first.replay.replace(/^.*udp_ping_server.ts /, "").split(" ");
  });
  assertMatch(options.join(" "), /^--delay [\d.]+ --jitter [\d.]+ --loss 0\.\d+ --burst [\d.]+/);
  await running([...options, "--seed", "6"], async (port) => {
    const second = JSON.parse((await ping(port, "-c400", "-i.005", "-W.2")).stdout);
    const [low = 0, high = 100] = first.lossInterval;
    // Bursts make each loss tell less than Wilson thinks: four times the interval, here.
    const [half, middle] = [(high - low) / 2, (high + low) / 2];
    assertLess(Math.abs(second.loss - middle), 4 * half, `${first.loss}% and ${second.loss}%`);
    assertLess(Math.abs(Math.log(second.rtt.avg / first.rtt.avg)), Math.log(3));
  });
});
