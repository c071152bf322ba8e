/**
 * Tests of the heartbeats that the pinger sends.
 *
 * @module
 */
import { assert, assertEquals, assertLess, assertMatch } from "jsr:@std/assert@^1.0.19";
import { sendHeartbeats } from "../udp_pinger.ts";
import { addressOf, beats, udp } from "./udp_pinger_helpers.ts";

Deno.test("heartbeat: beats are numbered from 1, and three copies of a farewell end them", async () => {
  const { heard, result } = await beats({ name: "web1" }, 2);
  assertEquals(heard, [
    "sequence=1 time=T name=web1 interval=0.02",
    "sequence=2 time=T name=web1 interval=0.02",
    "sequence=3 time=T name=web1 interval=0.02 bye=1",
    "sequence=3 time=T name=web1 interval=0.02 bye=1",
    "sequence=3 time=T name=web1 interval=0.02 bye=1",
  ]);
  assertEquals(result, { sent: 3, errors: 0 });
});

Deno.test("heartbeat: without --name a beat has no name field", async () => {
  const { heard } = await beats({}, 1);
  assertEquals(heard[0], "sequence=1 time=T interval=0.02");
});

Deno.test("heartbeat: the interval has no rounding error", async () => {
  const { heard } = await beats({ interval: 1000 * 0.07 }, 1);
  assertEquals(heard[0], "sequence=1 time=T interval=0.07");
});

Deno.test("heartbeat: the signal sends the farewell at once", async () => {
  const { heard, took } = await beats({ interval: 20_000 }, 1);
  assertEquals(heard.length, 4);
  assertMatch(heard[1] ?? "", /^sequence=2 .* bye=1$/);
  assertLess(took, 5000);
});

Deno.test("heartbeat: -c numbers beats by the time in seconds, three copies each, no farewell", async () => {
  const before = Math.floor(Date.now() / 1000);
  const { heard, result, took } = await beats({ count: 1, interval: 86_400_000 });
  const after = Math.floor(Date.now() / 1000);
  const [first = ""] = heard;
  assertEquals(heard, [first, first, first]);
  const [, sequence, rest] = /^sequence=(\d+) (.*)$/.exec(first) ?? [];
  assert(Number(sequence) >= before && Number(sequence) <= after, first);
  assertEquals(rest, "time=T interval=86400");
  assertEquals(result, { sent: 1, errors: 0 });
  assertLess(took, 5000); // it does not wait for the interval
});

Deno.test("heartbeat: -c gives each beat a number of its own, also within one second", async () => {
  const { heard } = await beats({ count: 3, interval: 5 });
  const numbers = heard.map((line) => Number(/\d+/.exec(line)?.[0]));
  const [first = 0] = numbers;
  assertEquals(new Set(numbers).size, 3);
  assert(numbers.every((number, at) => number >= first + Math.floor(at / 3)), `${numbers}`);
});

Deno.test("heartbeat: copies of a beat are 100 ms apart by default", async () => {
  const { took } = await beats({ count: 1, interval: 60_000, copyGap: undefined });
  assert(took >= 195, `${took} ms`);
});

Deno.test("heartbeat: --fail adds its text to the beat", async () => {
  const { heard } = await beats({ count: 1, name: "backup", failure: "disk full: /dev/sdä" });
  assertMatch(
    heard[0] ?? "",
    /^sequence=\d+ time=T name=backup interval=0.02 fail=disk full: \/dev\/sdä$/,
  );
});

Deno.test("heartbeat: the signal ends -c without a farewell", async () => {
  const { heard } = await beats({ count: 5, interval: 20_000 }, 3);
  assertEquals([heard.length, heard.some((line) => line.includes("bye"))], [3, false]);
});

Deno.test("heartbeat: errors of sending are reported on change only", async () => {
  const sender = udp();
  const told: string[] = [];
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), 60);
  const target = { transport: "udp" as const, hostname: "::1", port: 9 }; // from an IPv4 socket
  const warn = (text: string) => told.push(text);
  const options = { interval: 5, count: Infinity, copyGap: 1, signal: stop.signal, warn };
  const { sent, errors } = await sendHeartbeats(sender, target, options);
  clearTimeout(timer);
  sender.close();
  assertEquals([sent, told.length], [0, 1]);
  assert(errors > 2);
});

Deno.test("heartbeat: after a send error the name is looked up again, and sending resumes", async () => {
  const monitor = udp();
  const sender = udp();
  const told: string[] = [];
  const stop = new AbortController();
  const options = {
    interval: 5,
    count: Infinity,
    copyGap: 1,
    signal: stop.signal,
    warn: (text: string) => told.push(text),
    lookUp: () => Promise.resolve(addressOf(monitor)),
  };
  const target = { transport: "udp" as const, hostname: "::1", port: 9 }; // from an IPv4 socket
  const sending = sendHeartbeats(sender, target, options);
  const [octets] = await monitor.receive();
  assertMatch(new TextDecoder().decode(octets), /^sequence=\d+\t/);
  stop.abort();
  const { errors } = await sending;
  sender.close();
  monitor.close();
  assert(errors >= 1);
  assertEquals(told.length, 2);
  assertMatch(told[0] ?? "", /^Cannot send heartbeats: address family not supported/i);
  assertEquals(told[1], "Heartbeats are sent again");
});
