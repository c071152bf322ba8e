#!/usr/bin/env -S deno run -A
/**
 * Measures the web server against those that people use instead, on the same files, and prints
 * how many times as fast as nginx each is.
 *
 * ```sh
 * deno run -A bench/server.ts [--rounds 5] [--seconds 2] [--only NAME]
 * ```
 *
 * Every peer serves one temporary folder on a free port of loopback, on the first core; the load
 * (wrk) has the second. Rounds are interleaved, so that what else the machine does hits all alike:
 * a ratio is taken within a round, and shown as the median of the rounds with the least and the
 * most. It needs Linux for pinning, memory and processor time, and ends by itself.
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { Fields, print, readNumber, run, shutdownSignal, spellOut, Wire } from "../protocol.ts";

// ---- Terms -------------------------------------------------------------

/** A server to compare with: how it is started on a port, in the foreground. */
interface Peer {
  name: string;
  command: (port: number, threads: number) => string[];
  /** How to get it where it is missing. */
  install: string;
}

/** A server that runs; disposing of it ends the process. */
interface Running extends AsyncDisposable {
  name: string;
  port: number;
  pid: number;
}

/** A load that wrk can make, and the ratio to nginx that we want to reach. */
interface Scenario {
  name: string;
  label: string;
  target?: number;
  path: string;
  fields?: string[];
  status?: number;
  connections?: number;
  peers?: string[];
  /** Pin nothing, and give the servers so many threads. */
  threads?: number;
}

/** What one run of the load found. */
interface Measure {
  /** Requests (or megabytes) a second. */
  rate: number;
  /** The 99th percentile of the latency, in milliseconds. */
  p99?: number;
  /** Processor time of the server for a request, in microseconds. */
  cost?: number;
  errors: number;
}

// ---- Numbers -----------------------------------------------------------

const CONNECTIONS = 64;
const IDLE_CONNECTIONS = 10_000;
const MIXED_FILES = 1_000;
const BIG_OCTETS = 100_000_000;
/** How long a server may take to start, and any single answer, in milliseconds. */
const PATIENCE = 10_000;
/** How long a changed file may be served old before we stop watching, in milliseconds. */
const FRESH_LIMIT = 3_000;
/** The clock tick of /proc, in microseconds. */
const TICK = 10_000;

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

/** Who takes part: all, all that look at a request, or the two that matter most. */
const ALL = ["http_server", "nginx", "lighttpd", "Deno.serve", "Node", "Python", "bare loop"];
const SERVERS = ALL.slice(0, -1);
const TWO = ALL.slice(0, 2);
const SMALL = "/small.html";
const SCENARIOS: Scenario[] = [
  { name: "kept", label: "1 KiB file, kept connections", target: 1.3, path: SMALL, peers: ALL },
  {
    name: "browser",
    label: "  with a browser's 12 fields",
    target: 1.1,
    path: SMALL,
    fields: BROWSER,
    peers: ALL,
  },
  {
    name: "close",
    label: "  a connection per request",
    target: 0.9,
    path: SMALL,
    fields: ["Connection: close"],
  },
  { name: "304", label: "  304 Not Modified", target: 1.3, path: SMALL, status: 304 },
  { name: "404", label: "  404 Not Found", target: 1.1, path: "/missing.html", status: 404 },
  { name: "mixed", label: "1,000 files of 1 to 100 KiB", target: 0.8, path: "/mixed/" },
  { name: "big", label: "100 MB file, MB/s", target: 0.9, path: "/big.bin" },
  ...[1, 10, 100, 1_000].map((connections) => ({
    name: "connections",
    label: `1 KiB file, ${connections.toLocaleString("en")} connections`,
    path: SMALL,
    connections,
    peers: TWO,
  })),
  { name: "folders", label: "a file among 10", path: "/ten/file.html", peers: TWO },
  { name: "folders", label: "a file among 100,000", path: "/many/file.html", peers: TWO },
  { name: "threads", label: "not pinned, one thread", path: SMALL, peers: TWO, threads: 1 },
  { name: "threads", label: "not pinned, two threads", path: SMALL, peers: TWO, threads: 2 },
];

// ---- Peers -------------------------------------------------------------

/** All servers, to serve a folder; their configurations go into another. */
function peersOf(root: string, etc: string): Peer[] {
  const self = ["deno", "run", "-A", import.meta.filename ?? "", "--as"];
  return [
    {
      name: "http_server",
      command: (port, threads) => [
        ...["deno", "run", "-A", new URL("../http_server.ts", import.meta.url).pathname, "-q"],
        ...[
          "-p",
          `${port}`,
          "-t",
          `${threads}`,
          "--max-connections",
          "20000",
          "--idle",
          "75",
          root,
        ],
      ],
      install: "",
    },
    {
      name: "nginx",
      command: (port, threads) => {
        Deno.writeTextFileSync(`${etc}/nginx-${port}`, nginxConfiguration(root, port, threads));
        return ["nginx", "-p", etc, "-e", "stderr", "-c", `${etc}/nginx-${port}`];
      },
      install: "apt-get install nginx-light",
    },
    {
      name: "lighttpd",
      command: (port) => {
        Deno.writeTextFileSync(`${etc}/lighttpd-${port}`, lighttpdConfiguration(root, port));
        return ["lighttpd", "-D", "-f", `${etc}/lighttpd-${port}`];
      },
      install: "apt-get install lighttpd",
    },
    {
      name: "Deno.serve",
      command: (port) => [...self, "Deno.serve", `${port}`, root],
      install: "",
    },
    {
      name: "Node",
      command: (port) => ["node", "-e", NODE_SERVER, `${port}`, root],
      install: "https://nodejs.org",
    },
    {
      name: "Python",
      command: (port) => [
        ...["python3", "-m", "http.server", `${port}`],
        ...["--bind", "127.0.0.1", "--directory", root],
      ],
      install: "apt-get install python3",
    },
    { name: "bare loop", command: (port) => [...self, "loop", `${port}`, root], install: "" },
  ];
}

const nginxConfiguration = (root: string, port: number, workers: number) => `
daemon off; pid nginx-${port}.pid; error_log stderr crit;
worker_processes ${workers}; worker_rlimit_nofile 20000;
events { worker_connections 16000; }
http {
  types { text/html html; } default_type application/octet-stream;
  access_log off; log_not_found off; server_tokens off;
  sendfile on; tcp_nopush on; tcp_nodelay on;
  open_file_cache max=4000 inactive=60s; open_file_cache_errors on;
  keepalive_timeout 75s; keepalive_requests 1000000000;
  client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3;
  uwsgi_temp_path t4; scgi_temp_path t5;
  server { listen 127.0.0.1:${port} backlog=4096; root ${root}; }
}`;

const lighttpdConfiguration = (root: string, port: number) => `
server.document-root = "${root}"
server.bind = "127.0.0.1"
server.port = ${port}
server.max-fds = 20000
server.max-connections = 16000
server.max-keep-alive-requests = 65535
server.max-keep-alive-idle = 75
server.listen-backlog = 4096
server.network-backend = "sendfile"
mimetype.assign = ( ".html" => "text/html", "" => "application/octet-stream" )`;

const NODE_SERVER = `
const [, port, root] = process.argv, fs = require("node:fs");
require("node:http").createServer((request, response) => {
  fs.open(root + request.url, (error, file) => {
    if (error) return response.writeHead(404).end("Not Found\\n");
    fs.fstat(file, (_, { size, mtime }) => {
      const etag = '"' + size + "-" + mtime.getTime() + '"';
      const fields = { ETag: etag, "Last-Modified": mtime.toUTCString(), "Content-Type": "text/html" };
      if (request.headers["if-none-match"] === etag) {
        return fs.close(file, () => response.writeHead(304, fields).end());
      }
      response.writeHead(200, { ...fields, "Content-Length": size });
      fs.createReadStream(null, { fd: file }).pipe(response);
    });
  });
}).listen(port, "127.0.0.1", 4096);`;

/** What one writes with Deno.serve to send files. */
function serveWithDeno(port: number, root: string): void {
  Deno.serve({ port, hostname: "127.0.0.1", onListen() {} }, async (request) => {
    try {
      const file = await Deno.open(root + new URL(request.url).pathname);
      const { size, mtime } = await file.stat();
      const etag = `"${size}-${mtime?.getTime()}"`;
      const headers = new Headers({ ETag: etag, "Content-Type": "text/html" });
      headers.set("Last-Modified", mtime?.toUTCString() ?? "");
      if (request.headers.get("If-None-Match") === etag) {
        file.close();
        return new Response(null, { status: 304, headers });
      }
      headers.set("Content-Length", String(size));
      return new Response(file.readable, { headers });
    } catch {
      return new Response("Not Found\n", { status: 404 });
    }
  });
}

/** The limit: a read and a write for each request, and nothing understood. */
async function serveBare(port: number): Promise<void> {
  const fields = "Server: none\r\n".repeat(20); // as long a header as ours
  const answer = new TextEncoder().encode(
    `HTTP/1.1 200 OK\r\n${fields}Content-Length: 1024\r\n\r\n${"x".repeat(1_024)}`,
  );
  for await (const conn of Deno.listen({ port, hostname: "127.0.0.1" })) {
    conn.setNoDelay();
    const request = new Uint8Array(4_096);
    const echo = async () => {
      while (await conn.read(request)) await conn.write(answer);
    };
    echo().catch(() => {}).finally(() => conn[Symbol.dispose]());
  }
}

// ---- Engine ------------------------------------------------------------

/** Lays out the files that are asked for. */
function layOut(root: string): void {
  const small = new Uint8Array(1_024).fill(0x61);
  for (const name of ["mixed", "ten", "many"]) Deno.mkdirSync(`${root}/${name}`);
  for (const name of ["small", "ten/file", "many/file"]) {
    Deno.writeFileSync(`${root}/${name}.html`, small);
  }
  for (let each = 1; each < 10; each++) Deno.createSync(`${root}/ten/${each}`).close();
  for (let each = 1; each < 100_000; each++) Deno.createSync(`${root}/many/${each}`).close();
  for (let each = 0; each < MIXED_FILES; each++) {
    // from 1 to 100 KiB, in no order
    const octets = new Uint8Array(1_024 * (1 + (each * 37) % 100)).fill(0x62);
    Deno.writeFileSync(`${root}/mixed/${each}.html`, octets);
  }
  Deno.writeFileSync(`${root}/big.bin`, new Uint8Array(BIG_OCTETS).fill(0x63));
}

/** Whether a program can be run here. */
async function exists(program: string): Promise<boolean> {
  const { success } = await new Deno.Command("sh", {
    args: ["-c", `command -v ${program}`],
    stdout: "null",
    stderr: "null",
  }).output();
  return success;
}

let pinned = false; // whether taskset is here

/** A command line on one core. */
function onCore(core: number, command: string[]): string[] {
  return pinned ? ["taskset", "-c", String(core), ...command] : command;
}

/** Starts a server on a free port, and waits until it answers. */
async function start(
  peer: Peer,
  options: { threads?: number; pin?: boolean } = {},
): Promise<Running> {
  const port = freePort();
  const command = peer.command(port, options.threads ?? 1);
  const [program = "", ...args] = options.pin === false ? command : onCore(0, command);
  const process = new Deno.Command(program, { args, stdin: "null", stdout: "null", stderr: "null" })
    .spawn();
  const running = {
    ...{ name: peer.name, port, pid: process.pid },
    async [Symbol.asyncDispose]() {
      const end = (signal: Deno.Signal) => {
        try {
          process.kill(signal);
        } catch {
          // it is gone already
        }
      };
      end("SIGTERM");
      const insist = setTimeout(() => end("SIGKILL"), 2_000);
      await process.status;
      clearTimeout(insist);
    },
  };
  for (const began = performance.now(); performance.now() - began < PATIENCE;) {
    try {
      if ((await ask(port, SMALL)).status === 200) return running;
    } catch {
      await pause(1); // not listening yet
    }
  }
  await running[Symbol.asyncDispose]();
  throw new Error(`${peer.name} did not answer within ${PATIENCE / 1_000} s`);
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function connect(port: number): Promise<Wire> {
  const conn = await Deno.connect({ hostname: "127.0.0.1", port });
  conn.setNoDelay();
  return new Wire(conn);
}

/** Makes a request on a connection of its own. */
async function ask(port: number, path: string, fields: string[] = []) {
  using wire = await connect(port);
  return await exchange(wire, path, fields);
}

const block = new Uint8Array(1 << 18);

/** Makes a request; returns its status, its fields, and the length and last octet of its content. */
async function exchange(wire: Wire, path: string, fields: string[] = []) {
  wire.setDeadline(PATIENCE);
  await wire.write(
    ["GET " + path + " HTTP/1.1", "Host: localhost", ...fields, "", ""].join("\r\n"),
  );
  const status = Number((await wire.readLine(1_024))?.split(" ")[1]);
  const got = new Fields();
  for (let line; (line = await wire.readLine(8_192));) got.appendLine(line);
  let length = 0;
  const due = status === 304 ? 0 : Number(got.get("Content-Length") ?? 0);
  for (let count = 0; length < due; length += count) {
    count = await wire.readInto(block.subarray(0, Math.min(block.length, due - length)));
    if (count === 0) throw new Error("An answer was cut short");
  }
  return { status, fields: got, length, last: block[0] ?? 0 };
}

/** A process and its children. */
function family(pid: number): number[] {
  const children = Deno.readTextFileSync(`/proc/${pid}/task/${pid}/children`).match(/\d+/g) ?? [];
  return [pid, ...children.map(Number)];
}

/** The processor time of a server so far, in microseconds. */
function processorTime({ pid }: Running): number {
  return family(pid).reduce((sum, each) => {
    const numbers = Deno.readTextFileSync(`/proc/${each}/stat`).split(") ")[1]?.split(" ") ?? [];
    return sum + TICK * (Number(numbers[11]) + Number(numbers[12]));
  }, 0);
}

/** The memory of a server in megabytes: resident now (VmRSS), or at its peak (VmHWM). */
function memory({ pid }: Running, kind: "VmRSS" | "VmHWM"): number {
  return family(pid).reduce((sum, each) => {
    const status = Deno.readTextFileSync(`/proc/${each}/status`);
    return sum + Number(new RegExp(`${kind}:\\s*(\\d+)`).exec(status)?.[1] ?? 0) / 1_024;
  }, 0);
}

/** Tells wrk to report in numbers. */
const REPORT = `done = function(summary, latency)
  local e = summary.errors
  io.write(string.format("@ %d %d %d %d %d\\n", summary.requests, summary.duration,
    latency:percentile(99), e.status, e.connect + e.read + e.write + e.timeout))
end
`;
/** Tells wrk to ask for the mixed files, in no order. */
const MIXED = `local paths, each = {}, 0
for at = 1, ${MIXED_FILES} do paths[at] = "/mixed/" .. (at * 7919 % ${MIXED_FILES}) .. ".html" end
request = function()
  each = each % ${MIXED_FILES} + 1
  return wrk.format("GET", paths[each])
end
`;

/** Lets wrk make requests for so many seconds. */
async function load(
  server: Running,
  scenario: Scenario,
  seconds: number,
  etc: string,
): Promise<Measure> {
  const { path, fields = [], status = 200, connections = CONNECTIONS, threads } = scenario;
  const known = await ask(server.port, SMALL);
  const etag = known.fields.get("ETag");
  const condition = etag
    ? `If-None-Match: ${etag}`
    : `If-Modified-Since: ${known.fields.get("Last-Modified")}`;
  const sent = status === 304 ? [condition] : fields;
  const probe = await ask(server.port, path.endsWith("/") ? `${path}0.html` : path, sent);
  if (probe.status !== status) {
    throw new Error(`${server.name} answers ${probe.status}, not ${status}`);
  }
  Deno.writeTextFileSync(`${etc}/wrk.lua`, REPORT + (path.endsWith("/") ? MIXED : ""));
  const args = ["-t1", `-c${connections}`, `-d${seconds}s`, "-s", `${etc}/wrk.lua`];
  const command = ["wrk", ...args, ...sent.flatMap((field) => ["-H", field])];
  command.push(`http://127.0.0.1:${server.port}${path}`);
  const [program = "", ...rest] = threads ? command : onCore(1, command);
  const before = processorTime(server);
  const { stdout } = await new Deno.Command(program, { args: rest, stderr: "null" }).output();
  const spent = processorTime(server) - before;
  const [requests = 0, time = NaN, p99 = NaN, refused = 0, errors = 0] =
    /^@ (.*)$/m.exec(new TextDecoder().decode(stdout))?.[1]?.split(" ").map(Number) ?? [];
  const wrong = status === 404 ? requests - refused : refused;
  return {
    rate: requests / time * 1e6,
    p99: p99 / 1_000,
    cost: spent / requests,
    errors: errors + wrong,
  };
}

/** Takes the big file again and again for so many seconds. */
async function download(server: Running, { path }: Scenario, seconds: number): Promise<Measure> {
  const began = performance.now();
  let octets = 0;
  while (performance.now() - began < seconds * 1_000) {
    octets += (await ask(server.port, path)).length;
  }
  return { rate: octets / (performance.now() - began) / 1_000, errors: 0 };
}

// ---- What is measured once ---------------------------------------------

/** How much the peak of memory grows by while the big file is sent, in megabytes. */
async function peakMemory(server: Running): Promise<number> {
  for (const pid of family(server.pid)) Deno.writeTextFileSync(`/proc/${pid}/clear_refs`, "5");
  const before = memory(server, "VmRSS");
  for (let each = 0; each < 3; each++) await ask(server.port, "/big.bin");
  return memory(server, "VmHWM") - before;
}

/** Memory with thousands of connections that were used once, and the time of a request then. */
async function idle(server: Running): Promise<[megabytes: number, ms: number]> {
  const wires: Wire[] = [];
  try {
    while (wires.length < IDLE_CONNECTIONS) {
      const wire = await connect(server.port);
      wires.push(wire);
      if ((await exchange(wire, SMALL)).status !== 200) throw new Error("refused");
      wire.setDeadline(null);
    }
    const times: number[] = [];
    for (let each = 0; each < 101; each++) {
      const began = performance.now();
      await ask(server.port, SMALL);
      times.push(performance.now() - began);
    }
    return [memory(server, "VmRSS"), median(times)];
  } catch {
    return [NaN, NaN]; // it has no kept connections, or not so many
  } finally {
    for (const wire of wires) wire.close();
  }
}

/**
 * How long a file is served old after it changed, in milliseconds, the longest of some times, every
 * other time in place; NaN if an answer is cut short, or two contents share an entity-tag.
 */
async function staleness(server: Running, root: string): Promise<number> {
  let longest = 0;
  const tags = new Map<string, number>();
  Deno.writeTextFileSync(`${root}/fresh.html`, "a");
  await ask(server.port, "/fresh.html");
  for (let turn = 1; turn <= 6; turn++) {
    const length = 1 + turn * 999;
    const next = new Uint8Array(length).fill(turn);
    Deno.writeFileSync(`${root}/${turn % 2 ? "fresh.html" : "next"}`, next);
    if (turn % 2 === 0) Deno.renameSync(`${root}/next`, `${root}/fresh.html`);
    const began = performance.now();
    for (let waited = 0; (waited = performance.now() - began) < FRESH_LIMIT; await pause(5)) {
      const answer = await ask(server.port, "/fresh.html").catch(() => null);
      const tag = answer?.fields.get("ETag") ?? "";
      if (!answer || (tag !== "" && (tags.get(tag) ?? answer.last) !== answer.last)) return NaN;
      tags.set(tag, answer.last);
      longest = Math.max(longest, waited);
      if (answer.last === turn && answer.length === length) break;
    }
    if (longest >= FRESH_LIMIT) return Infinity;
  }
  return longest;
}

// ---- The tables --------------------------------------------------------

function median(numbers: readonly number[]): number {
  const sorted = numbers.filter((each) => !Number.isNaN(each)).sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2;
}

/** A number with as many digits as say something. */
function short(number: number | undefined): string {
  if (number === undefined || Number.isNaN(number)) return "–";
  if (number === Infinity) return "never";
  return number.toLocaleString("en", {
    maximumFractionDigits: number < 10 ? 2 : number < 100 ? 1 : 0,
  });
}

function line(label: string, cells: readonly string[], widths: readonly number[]): string {
  const padded = cells.map((cell, at) => cell.padStart(widths[at] ?? 11));
  return `${label.padEnd(31)}${padded.join("")}\n`;
}

/** Runs a scenario in rounds, and prints its line: ratios within a round, then plain numbers. */
async function compare(
  scenario: Scenario,
  servers: readonly Running[],
  rounds: number,
  measure: (server: Running) => Promise<Measure>,
): Promise<string> {
  const found = new Map(servers.map(({ name }) => [name, [] as Measure[]]));
  for (let round = 0; round < rounds; round++) {
    for (const server of servers) found.get(server.name)?.push(await measure(server));
  }
  const all = (name: string, key: keyof Measure) =>
    found.get(name)?.map((each) => each[key] ?? NaN) ?? [];
  const base = all("nginx", "rate");
  const ratios = (name: string) => all(name, "rate").map((rate, at) => rate / (base[at] ?? NaN));
  const ours = ratios("http_server");
  const both = (key: keyof Measure) => TWO.map((name) => short(median(all(name, key)))).join(" / ");
  const cells = [
    `${median(ours).toFixed(2)}  ${Math.min(...ours).toFixed(2)}–${Math.max(...ours).toFixed(2)}`,
    scenario.target?.toFixed(1) ?? "",
    ...ALL.slice(2).map((name) => found.has(name) ? short(median(ratios(name))) : ""),
    ...[both("rate"), both("p99"), both("cost")],
  ];
  const errors = servers.map(({ name }) => [name, all(name, "errors").reduce((a, b) => a + b, 0)]);
  const notes = errors.filter(([, count]) => count !== 0).map((each) => each.join(" "));
  const note = notes.length > 0 ? `  (errors: ${notes.join(", ")})\n` : "";
  return line(scenario.label, cells, WIDTHS) + note;
}

/** The columns of the first table. */
const HEADINGS = ["http_server", "wanted", ...ALL.slice(2), "a second", "p99, ms", "CPU, µs"];
const WIDTHS = [17, 8, 10, 12, 7, 8, 11, 21, 14, 14];

/** What is not a matter of requests a second: a line of its own for each, in plain numbers. */
async function printTheRest(
  { only, rounds, root, signal }: Task,
  peers: readonly Peer[],
  servers: readonly Running[],
): Promise<void> {
  const looked = servers.filter(({ name }) => SERVERS.includes(name));
  const wanted = (name: string) => name.includes(only) && !signal.aborted;
  const row = (label: string, numbers: readonly number[], target: string) =>
    print(line(label, [...numbers.map(short), target], REST_WIDTHS));
  print(`\n${line("", [...looked.map(({ name }) => name), "wanted"], REST_WIDTHS)}`);
  if (wanted("memory")) {
    const peaks = await inTurn(looked, peakMemory);
    row("100 MB file: memory grows, MB", peaks, "constant");
  }
  if (wanted("fresh")) {
    const times = await inTurn(looked, (server) => staleness(server, root));
    row("changed file served old, ms", times, "< 1,000");
  }
  if (wanted("idle")) {
    const found = await inTurn(looked, idle);
    row("10,000 idle connections, MB", found.map(([megabytes]) => megabytes), "< 200");
    row("  a request then, ms", found.map(([, ms]) => ms), "< 5");
  }
  if (wanted("start")) {
    const starting = peers.filter(({ name }) => SERVERS.includes(name));
    const times = starting.map((): number[] => []);
    for (let round = 0; round < rounds; round++) {
      for (const [at, peer] of starting.entries()) {
        const began = performance.now();
        await using _server = await start(peer);
        times[at]?.push(performance.now() - began);
      }
    }
    row("start to first answer, ms", times.map(median), "< 80");
  }
}

const REST_WIDTHS = [12, 9, 10, 12, 9, 9, 11];

async function inTurn<T>(servers: readonly Running[], measure: (server: Running) => Promise<T>) {
  const found: T[] = [];
  for (const server of servers) found.push(await measure(server));
  return found;
}

// ---- Command line ------------------------------------------------------

const HELP = `Measures the web server against nginx and others, on the same files.

Usage: bench/server.ts [--rounds 5] [--seconds 2] [--only NAME]

NAME is one of kept, browser, close, 304, 404, mixed, big, connections, folders, threads,
memory, fresh, idle, start.`;

const OPTIONS = {
  string: ["rounds", "seconds", "only", "as"],
  boolean: ["help"],
  default: { rounds: "5", seconds: "2", only: "" },
  short: { h: "help" },
} as const;

interface Task {
  rounds: number;
  seconds: number;
  only: string;
  /** The folder that is served, and that of configurations. */
  root: string;
  etc: string;
  signal: AbortSignal;
}

async function main(args: string[]): Promise<number> {
  const flags = parseArgs(spellOut(args, OPTIONS), OPTIONS);
  if (flags.help) {
    print(`${HELP}\n`);
    return 0;
  }
  if (flags.as !== undefined) { // as one of its own peers
    const [port, root] = flags._.map(String);
    if (flags.as === "loop") await serveBare(Number(port));
    else serveWithDeno(Number(port), root ?? "");
    await new Promise(() => {});
  }
  const folder = Deno.makeTempDirSync({ prefix: "bench-" });
  const [root, etc] = [`${folder}/www`, `${folder}/etc`];
  try {
    for (const each of [root, etc]) Deno.mkdirSync(each);
    Deno.chmodSync(folder, 0o755); // for the workers of nginx
    const number = (name: "rounds" | "seconds", max: number) =>
      readNumber(`--${name}`, flags[name], { min: 1, max, whole: true });
    const [rounds, seconds] = [number("rounds", 100), number("seconds", 60)];
    await bench({ ...flags, rounds, seconds, root, etc, signal: shutdownSignal() });
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
  return 0;
}

async function bench(task: Task): Promise<void> {
  const { rounds, seconds, only, root, etc, signal } = task;
  if (!await exists("wrk")) throw new Error("The load is wrk's: apt-get install wrk");
  pinned = navigator.hardwareConcurrency > 1 && await exists("taskset");
  if (pinned) await new Deno.Command("taskset", { args: ["-acp", "1", `${Deno.pid}`] }).output();
  layOut(root);
  const peers: Peer[] = [];
  for (const peer of peersOf(root, etc)) {
    if (await exists(peer.command(0, 1)[0] ?? "")) peers.push(peer);
    else print(`${peer.name} is skipped, it is not here: ${peer.install}\n`);
  }
  await using stack = new AsyncDisposableStack();
  const servers: Running[] = [];
  for (const peer of peers) servers.push(stack.use(await start(peer)));
  print(`Median of ${rounds} rounds of ${seconds} s, nginx = 1 (least–most of ours), `);
  print(`then http_server / nginx in numbers\n\n${line("", HEADINGS, WIDTHS)}`);
  for (const scenario of SCENARIOS) {
    if (!scenario.name.includes(only) || signal.aborted) continue;
    const takers = scenario.peers ?? SERVERS;
    const measure = (server: Running) =>
      scenario.name === "big"
        ? download(server, scenario, seconds)
        : load(server, scenario, seconds, etc);
    if (scenario.threads) {
      await using own = new AsyncDisposableStack();
      const { threads } = scenario;
      const free: Running[] = [];
      for (const peer of peers.filter(({ name }) => takers.includes(name))) {
        free.push(own.use(await start(peer, { threads, pin: false })));
      }
      print(await compare(scenario, free, rounds, measure));
    } else {
      const taking = servers.filter(({ name }) => takers.includes(name));
      print(await compare(scenario, taking, rounds, measure));
    }
  }
  await printTheRest(task, peers, servers);
}

if (import.meta.main) await run("bench/server", main);
