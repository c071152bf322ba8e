/**
 * Tests of the heartbeats that the pinger sends.
 *
 * @module
 */
import { assert, assertEquals, assertLess, assertMatch } from "@std/assert";
import { printable } from "../protocol.ts";
import { sendHeartbeats } from "../udp_pinger.ts";
import { beats, udp } from "./udp_pinger_helpers.ts";
// ---- Heartbeats ----------------------------------------------------------

Deno.test("heartbeat: beats have name and interval, the last one a farewell", async () => {
  const { heard, result } = await beats({ name: "web1", count: 3 });
  const shapes = heard.map((line) => printable(line.replace(/time=\d{10}\.\d{6}/, "time=T")));
  assertEquals(shapes, [
    "sequence=1\\x09time=T\\x09name=web1\\x09interval=0.02",
    "sequence=2\\x09time=T\\x09name=web1\\x09interval=0.02",
    "sequence=3\\x09time=T\\x09name=web1\\x09interval=0.02\\x09bye=1",
  ]);
  assertEquals(result, { sent: 3, errors: 0 });
});

Deno.test("heartbeat: without --name there is no name field", async () => {
  const { heard } = await beats({ count: 1 });
  assertMatch(heard[0] ?? "", /^sequence=1\ttime=[\d.]+\tinterval=0.02\tbye=1$/);
});

Deno.test("heartbeat: the interval has no rounding error", async () => {
  const { heard } = await beats({ interval: 1000 * 0.07, count: 1 });
  assertMatch(heard[0] ?? "", /\tinterval=0.07\tbye=1$/);
});

Deno.test("heartbeat: the signal sends the farewell at once", async () => {
  const { heard, took } = await beats({ interval: 20_000 }, 1);
  assertEquals(heard.length, 2);
  assertMatch(heard[1] ?? "", /^sequence=2\t.*\tbye=1$/);
  assertLess(took, 5000);
});

Deno.test("heartbeat: errors of sending are reported on change only", async () => {
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
