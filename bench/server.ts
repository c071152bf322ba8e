#!/usr/bin/env -S deno run -A
/**
 * Measures the web server and the servers that people use instead, on the same files: how many
 * times as fast as nginx each is.
 *
 * ```sh
 * deno run -A bench/server.ts [--rounds 5] [--seconds 2] [--only NAME]
 * ```
 *
 * All serve one temporary folder on loopback, on the first core; the load, wrk's, has the second.
 * Rounds are interleaved, so that what else the machine does hits all alike: a ratio is taken
 * within a round, and shown as the median of the rounds. The limit of a row is the bare loop: what
 * Deno's sockets allow a server that understands nothing. Linux only; it ends by itself.
 *
 * @module
 */
import { option, print, run, shutdownSignal, text, wholeNumber } from "../cli.ts";
import { Fields, Wire } from "../protocol.ts";
import { find, forgetPeak, memory, mixedSize, type Peer, peersOf, processorTime } from "./peers.ts";
import { type Running, start } from "./peers.ts";
import type { BusyJob } from "../tests/busy_client.ts";

// ---- Terms -------------------------------------------------------------

/** A load that wrk can make, and the ratio to nginx that is wanted. */
interface Scenario {
  name: string;
  label: string;
  wanted?: number;
  path: string;
  fields?: string[];
  status?: number;
  connections?: number;
  peers?: string[];
  /** Number of threads of the servers; then nothing is pinned to a core. */
  threads?: number;
}

/** What one run of a load found. */
interface Measure {
  /** Requests, or megabytes, a second. */
  rate: number;
  /** 99th percentile of the latency (ms); of small requests meanwhile, where a large file is sent. */
  p99: number;
  /** Processor time of the server for a request, in microseconds. */
  cost: number;
  errors: number;
}

/** What was asked for, and where the files are that are served, and the configurations. */
interface Task {
  rounds: number;
  seconds: number;
  only: string;
  root: string;
  etc: string;
  signal: AbortSignal;
}

// ---- Numbers -----------------------------------------------------------

const CONNECTIONS = 64;
const IDLE_CONNECTIONS = 10_000;
const MIXED_FILES = 1_000;
const BIG_OCTETS = 100_000_000;
/** How long an answer may take, in milliseconds. */
const PATIENCE = 10_000;
/** How long a changed file may be served old before we stop to look, in milliseconds. */
const MAX_STALE = 3_000;

/** What a browser sends; with Host, which wrk adds, twelve fields. */
const BROWSER = [
  'sec-ch-ua: "Chromium";v="142", "Google Chrome";v="142", "Not_A Brand";v="99"',
  "sec-ch-ua-mobile: ?0",
  'sec-ch-ua-platform: "Linux"',
  "Upgrade-Insecure-Requests: 1",
  "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/142.0.0.0 Safari/537.36",
  "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
  "Sec-Fetch-Site: same-origin",
  "Sec-Fetch-Mode: navigate",
  "Sec-Fetch-Dest: document",
  "Accept-Encoding: gzip, deflate, br, zstd",
  "Accept-Language: en-GB,en;q=0.9,de;q=0.8",
];

const BARE = "bare loop";
const ALL = ["http_server", "nginx", "lighttpd", "Deno.serve", "Node", "Python", BARE];
const SERVERS = ALL.slice(0, -1);
const TWO = ALL.slice(0, 2);
const THREE = [...TWO, BARE];
const SMALL = "/small.html";
/** Connections of a Worker that counts shares: fewer than a turn of an event loop serves. */
const WORKER_CONNECTIONS = 100;

// deno-fmt-ignore (a table)
const SCENARIOS: Scenario[] = [
  { name: "kept", label: "1 KiB, kept connections", wanted: 1.3, path: SMALL },
  { name: "browser", label: "  a browser's 12 fields", wanted: 1.1, path: SMALL, fields: BROWSER },
  { name: "close", label: "  a connection a request", wanted: 0.9, path: "/closed.html",
    fields: ["Connection: close"] },
  { name: "304", label: "  304 Not Modified", wanted: 1.3, path: "/unchanged.html", status: 304 },
  { name: "404", label: "  404 Not Found", wanted: 1.1, path: "/missing.html", status: 404 },
  { name: "mixed", label: "1,000 files, 1 to 100 KiB", wanted: 1.0, path: "/mixed/" },
  { name: "big", label: "100 MB file, in MB", wanted: 0.9, path: "/big.bin" },
  ...[1, 10, 100, 300, 1_000, 4_000].map((connections) => ({ name: "connections", path: SMALL,
    connections, label: `1 KiB, ${connections.toLocaleString("en")} connections`, peers: THREE })),
  { name: "folders", label: "a file among 10", path: "/ten/file.html", peers: THREE },
  { name: "folders", label: "a file among 100,000", path: "/lots/file.html", peers: THREE },
  { name: "threads", label: "not pinned, 1 thread", path: SMALL, peers: THREE, threads: 1 },
  { name: "threads", label: "not pinned, 2 threads", path: SMALL, peers: TWO, threads: 2 },
];

// ---- Requests ----------------------------------------------------------

async function connect(port: number): Promise<Wire> {
  return new Wire(await Deno.connect({ hostname: "127.0.0.1", port }));
}

const block = new Uint8Array(1 << 18);

/** Makes a request; returns its status, its fields, and the length and last octet of its content. */
async function exchange(wire: Wire, path: string, fields: string[] = []) {
  wire.setDeadline(PATIENCE);
  await wire.write([`GET ${path} HTTP/1.1`, "Host: localhost", ...fields, "", ""].join("\r\n"));
  const [, status] = / (\d{3})/.exec(await wire.readLine(1_024) ?? "") ?? [];
  if (status === undefined) throw new Error("There was no answer");
  const got = new Fields();
  for (let line; (line = await wire.readLine(8_192));) got.appendLine(line);
  const due = status === "304" ? 0 : Number(got.get("Content-Length") ?? 0);
  let [length, last] = [0, 0];
  while (length < due) {
    const count = await wire.readInto(block.subarray(0, Math.min(block.length, due - length)));
    if (count === 0) throw new Error("An answer was cut short");
    last = block[count - 1] ?? 0;
    length += count;
  }
  return { status: Number(status), fields: got, length, last };
}

/** Makes a request on a connection of its own. */
async function ask(port: number, path: string, fields?: string[]) {
  using wire = await connect(port);
  return await exchange(wire, path, fields);
}

async function answers(port: number): Promise<boolean> {
  return (await ask(port, SMALL)).status === 200;
}

/** Makes wrk report in numbers. */
const REPORT = `done = function(summary, latency)
  local e = summary.errors
  io.write(string.format("@ %d %d %d %d %d\\n", summary.requests, summary.duration,
    latency:percentile(99), e.status, e.connect + e.read + e.write + e.timeout))
end
`;
/** Makes wrk ask for the mixed files, in no order. */
const MIXED = `local paths, each = {}, 0
for at = 1, ${MIXED_FILES} do paths[at] = "/mixed/" .. (at * 7919 % ${MIXED_FILES}) .. ".html" end
request = function()
  each = each % ${MIXED_FILES} + 1
  return wrk.format("GET", paths[each])
end
`;

/** The field that a client sends who has the file already. */
async function condition(port: number, path: string): Promise<string> {
  const { fields } = await ask(port, path);
  const etag = fields.get("ETag");
  return etag ? `If-None-Match: ${etag}` : `If-Modified-Since: ${fields.get("Last-Modified")}`;
}

/** Lets wrk make requests, once it is sure that they are answered as they should be. */
async function load(server: Running, scenario: Scenario, { seconds, etc }: Task): Promise<Measure> {
  const { path, status = 200, connections = CONNECTIONS, threads } = scenario;
  const fields = status === 304 ? [await condition(server.port, path)] : scenario.fields ?? [];
  const probe = await ask(server.port, path.endsWith("/") ? `${path}0.html` : path, fields);
  if (probe.status !== status) throw new Error(`${server.name} answers ${probe.status} to ${path}`);

  Deno.writeTextFileSync(`${etc}/wrk.lua`, REPORT + (path.endsWith("/") ? MIXED : ""));
  const args = ["-t1", `-c${connections}`, `-d${seconds}s`, "-s", `${etc}/wrk.lua`];
  args.push(...fields.flatMap((field) => ["-H", field]), `http://127.0.0.1:${server.port}${path}`);
  const [program = "", ...rest] = [...threads ? [] : onCore(1), "wrk", ...args];
  const before = processorTime(server);
  const { stdout } = await new Deno.Command(program, { args: rest, stderr: "null" }).output();
  const spent = processorTime(server) - before;
  const [requests = 0, time = NaN, p99 = NaN, refused = 0, broken = 0] =
    /^@ (.*)$/m.exec(new TextDecoder().decode(stdout))?.[1]?.split(" ").map(Number) ?? [];
  const errors = broken + (status === 404 ? requests - refused : refused);
  return { rate: requests / time * 1e6, p99: p99 / 1_000, cost: spent / requests, errors };
}

/** Takes the big file, one after the other; asks for a small file every 5 ms meanwhile. */
async function download(server: Running, { path }: Scenario, { seconds }: Task): Promise<Measure> {
  const { port } = server;
  const before = processorTime(server);
  const began = performance.now();
  let octets = 0;
  let count = 0;
  let isOver = false;
  const probing = probe(port, () => isOver);
  while (performance.now() - began < seconds * 1_000) {
    octets += (await ask(port, path)).length;
    count++;
  }
  isOver = true;
  const rate = octets / (performance.now() - began) / 1_000;
  const cost = (processorTime(server) - before) / count;
  return { rate, p99: percentile(await probing, 0.99), cost, errors: 0 };
}

/** Asks for a small file every 5 ms until it is over; returns the times (ms). */
async function probe(port: number, isOver: () => boolean): Promise<number[]> {
  const times: number[] = [];
  while (!isOver()) {
    const began = performance.now();
    await ask(port, SMALL);
    times.push(performance.now() - began);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return times;
}

/** Keeps connections busy for a while; returns the numbers of responses of each, sorted. */
async function shares(server: Running, connections: number, seconds: number) {
  const { port } = server;
  const length = await responseLength(port);
  const responses = new Int32Array(new SharedArrayBuffer(4 * (connections + 1)));
  const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
  const workers: Worker[] = [];
  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => {});
  try {
    for (let first = 0; first < connections; first += WORKER_CONNECTIONS) {
      const worker = new Worker(new URL("../tests/busy_client.ts", import.meta.url), {
        type: "module",
      });
      worker.onerror = (event) => {
        event.preventDefault();
        failure.reject(new Error(event.message));
      };
      workers.push(worker);
      const count = Math.min(WORKER_CONNECTIONS, connections - first);
      const job: BusyJob = { port, target: SMALL, responses, first, count, length };
      worker.postMessage(job);
    }
    const open = async () => {
      while ((responses[connections] ?? 0) < connections) await pause(10);
    };
    await Promise.race([open(), failure.promise]);
    for (const worker of workers) worker.postMessage("go");
    await Promise.race([pause(seconds * 1_000), failure.promise]);
    return [...responses.slice(0, connections)].sort((a, b) => a - b);
  } finally {
    for (const worker of workers) worker.terminate();
  }
}

/** Returns the length of a response with its header (octets). */
async function responseLength(port: number): Promise<number> {
  using wire = await connect(port);
  await exchange(wire, SMALL);
  return wire.received;
}

// ---- What is not a rate ------------------------------------------------

/** How much the peak of memory grows while the big file is sent, in megabytes. */
async function growth(server: Running): Promise<number> {
  forgetPeak(server);
  const before = memory(server, "VmRSS");
  for (let each = 0; each < 3; each++) await ask(server.port, "/big.bin");
  return Math.max(memory(server, "VmHWM") - before, 0);
}

/** Memory in megabytes with thousands of kept connections; and the time of a request then, in ms. */
async function idle(server: Running): Promise<[number, number]> {
  const wires: Wire[] = [];
  try {
    while (wires.length < IDLE_CONNECTIONS) {
      const wire = await connect(server.port);
      wires.push(wire);
      await exchange(wire, SMALL);
      wire.setDeadline(null);
    }
    const times: number[] = [];
    for (const wire of wires.filter((_, at) => at % 100 === 0)) {
      const began = performance.now();
      await exchange(wire, SMALL);
      times.push(performance.now() - began);
    }
    return [memory(server, "VmRSS"), median(times)];
  } catch {
    return [NaN, NaN]; // it keeps no connections, or fewer
  } finally {
    for (const wire of wires) wire.close();
  }
}

/**
 * The longest that a file is served old after it changed, in milliseconds, in place or by another
 * in its stead; -1 if an answer is cut short, or its entity-tag was that of other content.
 */
async function staleness({ port }: Running, root: string): Promise<number> {
  let longest = 0;
  const tags = new Map<string, string>();
  for (let turn = 0; turn < 6; turn++) {
    const name = turn % 2 === 0 ? "fresh.html" : "next.html";
    Deno.writeFileSync(`${root}/${name}`, new Uint8Array(1 + turn * 999).fill(turn));
    if (turn % 2 === 1) Deno.renameSync(`${root}/next.html`, `${root}/fresh.html`);
    const began = performance.now();
    for (let old = true; old;) {
      const got = await ask(port, "/fresh.html").catch(() => null);
      if (got === null) return -1;
      const [tag, content] = [got.fields.get("ETag") ?? "none", `${got.length} of ${got.last}`];
      if (tag !== "none" && (tags.get(tag) ?? content) !== content) return -1;
      tags.set(tag, content);
      old = got.last !== turn;
      longest = Math.max(longest, performance.now() - began);
      if (longest > MAX_STALE) return Infinity;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
  return longest;
}

// ---- The tables --------------------------------------------------------

/** Returns the number below which a part of all numbers lies. */
function percentile(numbers: readonly number[], part: number): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? NaN;
}

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2;
}

/** A number with as many digits as say something. */
function show(number: number): string {
  if (Number.isNaN(number)) return "–";
  if (number === Infinity) return "never";
  if (number < 0) return "torn";
  const digits = number < 10 ? 2 : number < 100 ? 1 : 0;
  return number.toLocaleString("en", { maximumFractionDigits: digits });
}

function row(label: string, cells: readonly string[], widths: readonly number[]): string {
  const padded = cells.map((cell, at) => cell.padStart(widths[at] ?? 0));
  return `${(label.padEnd(27) + padded.join("")).trimEnd()}\n`;
}

const RATIOS = [16, 8, 11, 10, 12, 7, 8];
const PLAIN = [28, 22, 28, 44];
const REST = [12, 8, 10, 12, 8, 8, 11, 10];

/** The server that ratios are taken to: nginx, otherwise http_server. */
function baseOf(servers: readonly { name: string }[]): string {
  return servers.some(({ name }) => name === "nginx") ? "nginx" : "http_server";
}

/** Runs a scenario in rounds; returns its line of ratios, and its line of plain numbers. */
async function compare(scenario: Scenario, servers: readonly Running[], task: Task) {
  const measure = scenario.name === "big" ? download : load;
  const found = new Map(servers.map(({ name }) => [name, [] as Measure[]]));
  for (let round = 0; round < task.rounds; round++) {
    for (const server of servers) {
      if (!task.signal.aborted) {
        const measured = await measure(server, scenario, task).catch((error) => {
          throw new Error(`${server.name}: ${error.message}`);
        });
        found.get(server.name)?.push(measured);
      }
    }
  }
  const all = (name: string, key: keyof Measure) => found.get(name)?.map((each) => each[key]) ?? [];
  const against = baseOf(servers);
  const base = all(against, "rate");
  const ratios = (name: string) => all(name, "rate").map((rate, at) => rate / (base[at] ?? NaN));
  const ours = ratios("http_server");
  const spread = `${Math.min(...ours).toFixed(2)}–${Math.max(...ours).toFixed(2)}`;
  const errors = servers.map(({ name }) => ({
    name,
    count: all(name, "errors").reduce((sum, each) => sum + each, 0),
  })).filter(({ count }) => count > 0);
  const numbers = (key: keyof Measure) =>
    [...TWO, ...found.has(BARE) ? [BARE] : []]
      .map((name) => show(median(all(name, key)))).join(" / ");
  const cells = [numbers("rate"), numbers("p99"), numbers("cost")];
  if (scenario.name === "connections" && (scenario.connections ?? 0) > 1) {
    cells.push(await formatShares(scenario, servers, task));
  }
  const others = SERVERS.slice(2);
  return {
    ratios: row(scenario.label, [
      `${median(ours).toFixed(2)} ${spread}`,
      against === "nginx" ? scenario.wanted?.toFixed(1) ?? "" : "",
      ...[BARE, ...others].map((name) => found.has(name) ? show(median(ratios(name))) : ""),
    ], RATIOS) + errors.map(({ name, count }) => `    ${count} errors of ${name}\n`).join(""),
    plain: row(scenario.label, cells, PLAIN),
  };
}

/** Formats the least, the median and the most responses of a connection, in per cent of the mean. */
async function formatShares(
  { connections = 0 }: Scenario,
  servers: readonly Running[],
  { seconds, signal }: Task,
): Promise<string> {
  const texts: string[] = [];
  for (const name of THREE) {
    const server = servers.find((server) => server.name === name);
    if (!server || signal.aborted) continue;
    const counts = await shares(server, connections, seconds).catch(() => []);
    const mean = counts.reduce((sum, count) => sum + count, 0) / counts.length;
    const per = (count = 0) => Math.round(100 * count / mean);
    texts.push([counts[0], median(counts), counts.at(-1)].map(per).join(" "));
  }
  return texts.join(" / ");
}

async function printRates(task: Task, peers: readonly Peer[], servers: readonly Running[]) {
  const { rounds, seconds, only, signal } = task;
  const chosen = SCENARIOS.filter(({ name }) => name.includes(only));
  if (chosen.length === 0) return;
  const rated = `Requests a second, ${baseOf(peers)} = 1`;
  print(`${rated}: median of ${rounds} rounds of ${seconds} s, least–most\n\n`);
  print(row("", ["http_server", "wanted", "the limit", ...SERVERS.slice(2)], RATIOS));
  const plain = [
    "http_server / nginx / bare",
    "p99 in ms",
    "CPU in µs",
    "shares of connections, %",
  ];
  const asides = [`\n${row("In numbers, a second", plain, PLAIN)}`];
  for (const scenario of chosen) {
    await using own = new AsyncDisposableStack();
    const { threads, peers: names = ALL } = scenario;
    const taking = servers.filter(({ name }) => !threads && names.includes(name));
    for (const peer of peers) {
      if (!threads || !names.includes(peer.name)) continue;
      taking.push(own.use(await start(peer, answers, [], threads)));
    }
    const { ratios, plain } = await compare(scenario, taking, task);
    if (signal.aborted) return;
    print(ratios);
    asides.push(plain);
  }
  print(asides.join(""));
}

async function printRest(task: Task, peers: readonly Peer[], servers: readonly Running[]) {
  const { only, rounds, root, signal } = task;
  const isBare = ({ name }: { name: string }) => name === BARE;
  const looked = servers;
  const each = async <T>(name: string, look: (server: Running) => Promise<T>): Promise<T[]> => {
    const found: T[] = [];
    for (const server of looked) {
      if (name.includes(only) && !signal.aborted) found.push(await look(server));
    }
    return found;
  };
  let heading = `\n${row("", [...looked.map(({ name }) => name), "wanted"], REST)}`;
  const printRow = (label: string, numbers: readonly number[], wanted: string) => {
    if (numbers.length === 0) return;
    print(heading + row(label, [...numbers.map(show), wanted], REST));
    heading = "";
  };
  printRow("100 MB: memory grows, MB", await each("memory", growth), "constant");
  printRow(
    "changed file is old, ms",
    await each(
      "fresh",
      async (one) => isBare(one) ? NaN : await staleness(one, root),
    ),
    "20",
  );
  const idlers = await each("idle", idle);
  printRow("10,000 idle: memory, MB", idlers.map(([megabytes]) => megabytes), "1.25 x bare");
  printRow("10,000 idle: a request, ms", idlers.map(([, ms]) => ms), "5");
  const times = new Map<string, number[]>();
  for (let round = 0; round < rounds; round++) {
    await each("start", async ({ name }) => {
      const peer = peers.find((peer) => peer.name === name);
      if (!peer) return;
      const began = performance.now();
      await using _server = await start(peer, answers, onCore(0));
      times.set(name, [...times.get(name) ?? [], performance.now() - began]);
    });
  }
  printRow("start to first answer, ms", [...times.values()].map(median), "25");
}

// ---- Command line ------------------------------------------------------

const OPTIONS = {
  rounds: option("--rounds N", "measurements of each row", wholeNumber(1, 60), "5"),
  seconds: option("--seconds S", "length of a measurement", wholeNumber(1, 60), "2"),
  only: option(
    "--only NAME",
    "one part: kept, browser, close, 304, 404, mixed, big, connections, folders, threads, " +
      "memory, fresh, idle, start",
    text,
    "",
  ),
};

let pinned = false; // whether taskset is here

function onCore(core: number): string[] {
  return pinned ? ["taskset", "-c", String(core)] : [];
}

/** Lays out the files that are asked for. */
function layOut(root: string): void {
  const create = (path: string, octets: number) =>
    Deno.writeFileSync(`${root}/${path}`, new Uint8Array(octets).fill(0x61));
  for (const name of ["mixed", "ten", "lots"]) Deno.mkdirSync(`${root}/${name}`);
  for (const name of ["small", "closed", "unchanged", "ten/file", "lots/file"]) {
    create(`${name}.html`, 1_024);
  }
  for (let each = 1; each < 10; each++) create(`ten/${each}`, 0);
  for (let each = 1; each < 100_000; each++) create(`lots/${each}`, 0);
  for (let each = 0; each < MIXED_FILES; each++) {
    create(`mixed/${each}.html`, mixedSize(each));
  }
  create("big.bin", BIG_OCTETS);
}

async function bench(task: Task): Promise<void> {
  if (await find("wrk") === null) throw new Error("wrk makes the load: apt-get install wrk");
  pinned = navigator.hardwareConcurrency > 1 && await find("taskset") !== null;
  if (pinned) await new Deno.Command("taskset", { args: ["-acp", "1", `${Deno.pid}`] }).output();
  layOut(task.root);
  const peers: Peer[] = [];
  for (const peer of peersOf(task.root, task.etc)) {
    const program = await find(peer.program);
    if (program === null) print(`Without ${peer.name}, which is not here: ${peer.install}\n`);
    else peers.push({ ...peer, program });
  }
  for (const part of [printRates, printRest]) { // each with servers that have done nothing yet
    await using stack = new AsyncDisposableStack();
    const servers: Running[] = [];
    for (const peer of peers) servers.push(stack.use(await start(peer, answers, onCore(0))));
    await part(task, peers, servers);
  }
}

await run({
  name: "server",
  summary: "Measures the web server against nginx and others, on the same files.",
  usage: ["[options]"],
  options: OPTIONS,
  example: "deno task bench:server --rounds 1 --only kept",
  exitStatuses: "0 done, 1 cannot measure, 2 usage",
}, async ({ options }) => {
  const folder = Deno.makeTempDirSync({ prefix: "bench-" });
  const [root, etc] = [`${folder}/www`, `${folder}/etc`];
  try {
    Deno.chmodSync(folder, 0o755); // nginx's workers may be another user's
    for (const each of [root, etc]) Deno.mkdirSync(each);
    await bench({ ...options, root, etc, signal: shutdownSignal() });
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
  return 0;
});
