/**
 * Floods the echo server for a limited time: with probes, with junk of every size, and from many
 * short-lived clients. At the end its summary must add up, its memory must not have grown, and its
 * exit status must be 0.
 *
 * ```sh
 * deno run -A --unstable-net tests/udp_load.ts [seconds]
 * ```
 *
 * @module
 */
import { ROOT } from "./helpers.ts";

const SECONDS = Number(Deno.args[0] ?? 30);
const PORT = 20_000 + Math.floor(Math.random() * 20_000);
const target = { transport: "udp", hostname: "127.0.0.1", port: PORT } as const;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Returns the memory of a process (MB). */
function memoryOf(pid: number): number {
  const [, kilobytes = "0"] = /VmRSS:\s+(\d+)/.exec(Deno.readTextFileSync(`/proc/${pid}/status`)) ??
    [];
  return Math.round(Number(kilobytes) / 1024);
}

/** Sends junk of every size, 20 datagrams from each of many sockets. */
async function sendJunk(until: number): Promise<void> {
  while (performance.now() < until) {
    const socket = Deno.listenDatagram({ hostname: "127.0.0.1", port: 0, transport: "udp" });
    for (let count = 0; count < 20; count++) {
      const size = Math.floor(Math.random() ** 4 * 65_507);
      await socket.send(crypto.getRandomValues(new Uint8Array(size)), target);
    }
    socket.close();
    await pause(5);
  }
}

/** Floods with probes. Returns the counts of the pinger. */
async function flood(seconds: number): Promise<string> {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--unstable-net", "-A", `${ROOT}udp_pinger.ts`]
      .concat(["-f", "-q", "-c", "0", "-w", String(seconds), "127.0.0.1", String(PORT)]),
  }).output();
  return new TextDecoder().decode(stdout).split("\n").find((line) =>
    line.includes("transmitted")
  ) ?? "";
}

const server = new Deno.Command(Deno.execPath(), {
  args: ["run", "--unstable-net", "--allow-net", `${ROOT}udp_ping_server.ts`]
    .concat(["-p", String(PORT), "--loss", "0.3", "--duplicate", "0.01", "--seed", "1"]),
  stdout: "piped",
  stderr: "null",
}).spawn();
await pause(1_000);
console.log(`start: ${memoryOf(server.pid)} MB`);
const until = performance.now() + SECONDS * 1_000;
const floods = Promise.all([flood(SECONDS), flood(SECONDS), sendJunk(until)]);
await pause(SECONDS * 500);
const middle = memoryOf(server.pid);
console.log(`middle: ${middle} MB`);
for (const said of (await floods).slice(0, 2)) console.log(`flood: ${said}`);
const end = memoryOf(server.pid);
console.log(`end: ${end} MB`);
server.kill("SIGINT");
const { code, stdout } = await server.output();
const summary = new TextDecoder().decode(stdout).trim().split("\n").at(-1) ?? "";
console.log(summary);

const wrong: string[] = [];
const count = (word: string) => Number(new RegExp(`(\\d+) ${word}`).exec(summary)?.[1] ?? 0);
const gone = ["dropped", "echoed", "limited", "ignored"].reduce(
  (sum, word) => sum + count(word),
  0,
);
if (gone - count("duplicated") > count("received")) {
  wrong.push(`${gone} are more than were received`);
}
if (gone < count("received")) wrong.push(`${gone} are fewer than were received`);
if (code !== 0) wrong.push(`exit status ${code}`);
if (end > middle * 1.5 + 20) wrong.push(`memory grows: ${middle} to ${end} MB`);
for (const each of wrong) console.log(`WRONG: ${each}`);
console.log(`${wrong.length} wrong`);
Deno.exit(wrong.length === 0 ? 0 : 1);
