/**
 * The web servers that bench/server.ts compares: how each is set up to be fast, started on a free
 * port of loopback, watched, and ended. Run as a program, it is two of them itself.
 *
 * @module
 */
/** A server to compare with. */
export interface Peer {
  /** What the table calls it. */
  name: string;
  /** The program that runs it. */
  program: string;
  /** What makes it serve on a port, in the foreground. */
  args: (port: number, threads: number) => string[];
  /** How to get it where it is missing. */
  install: string;
}

/** A server that runs; disposing of it ends its process. */
export interface Running extends AsyncDisposable {
  /** What the table calls it. */
  name: string;
  /** Where it listens on 127.0.0.1. */
  port: number;
  /** Its process. */
  pid: number;
}

/** All servers, to serve the folder; their configurations go into another. */
export function peersOf(root: string, etc: string): Peer[] {
  const here = (file: string) => new URL(file, import.meta.url).pathname;
  const run = ["run", "-A"];
  const configure = (name: string, port: number, text: string) => {
    Deno.writeTextFileSync(`${etc}/${name}-${port}`, text);
    return `${etc}/${name}-${port}`;
  };
  // deno-fmt-ignore (a table)
  return [
    { name: "http_server", program: "deno", install: "",
      args: (port, threads) => [...run, here("../http_server.ts"), "-q", "-p", `${port}`,
        "-t", `${threads}`, "--max-connections", "20000", "--idle", "75", root] },
    { name: "nginx", program: "nginx", install: "apt-get install nginx-light",
      args: (port, threads) => ["-p", etc, "-e", "stderr", "-c",
        configure("nginx", port, nginxFile(root, port, threads))] },
    { name: "lighttpd", program: "lighttpd", install: "apt-get install lighttpd",
      args: (port) => ["-D", "-f", configure("lighttpd", port, lighttpdFile(root, port))] },
    { name: "Deno.serve", program: "deno", install: "",
      args: (port) => [...run, here("peers.ts"), "Deno.serve", `${port}`, root] },
    { name: "Node", program: "node", install: "https://nodejs.org",
      args: (port) => ["-e", NODE_SERVER, `${port}`, root] },
    { name: "Python", program: "python3", install: "apt-get install python3",
      args: (port) => ["-m", "http.server", `${port}`, "-b", "127.0.0.1", "-d", root] },
    { name: "bare loop", program: "deno", install: "",
      args: (port) => [...run, here("peers.ts"), "bare loop", `${port}`, root] },
  ];
}

// tcp_nopush makes nginx faster here: header and file leave in one segment.
const nginxFile = (root: string, port: number, workers: number) => `
daemon off; pid nginx-${port}.pid; error_log stderr crit;
worker_processes ${workers}; worker_rlimit_nofile 20000;
events { worker_connections 16000; }
http {
  types { text/html html; } access_log off; log_not_found off;
  sendfile on; tcp_nopush on; open_file_cache max=4000; open_file_cache_errors on;
  keepalive_timeout 75s; keepalive_requests 1000000000;
  client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3;
  uwsgi_temp_path t4; scgi_temp_path t5;
  server { listen 127.0.0.1:${port} backlog=4096; root ${root}; }
}`;

const lighttpdFile = (root: string, port: number) => `
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

/** What one writes with Node to send files. */
const NODE_SERVER = `
const [, port, root] = process.argv, fs = require("node:fs");
require("node:http").createServer((request, response) => {
  fs.open(root + request.url, (error, file) => {
    if (error) return response.writeHead(404).end("Not Found\\n");
    fs.fstat(file, (_, { size, mtime }) => {
      const etag = '"' + size + "-" + mtime.getTime() + '"';
      const fields = { ETag: etag, "Content-Type": "text/html" };
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
      const headers = { ETag: etag, "Content-Type": "text/html" };
      if (request.headers.get("If-None-Match") === etag) {
        file.close();
        return new Response(null, { status: 304, headers });
      }
      return new Response(file.readable, { headers: { ...headers, "Content-Length": `${size}` } });
    } catch {
      return new Response("Not Found\n", { status: 404 });
    }
  });
}

/** Size of one of the mixed files: 1 to 100 KiB, in no order (octets). */
export function mixedSize(each: number): number {
  return 1_024 * (1 + (each * 37) % 100);
}

/** How much of a large file the bare loop reads at once (octets). */
const BLOCK = 524_288;

/** Makes a response with a header as long as that of http_server, of this many fields. */
function bareResponse(status: string, fields: number, content: number): Uint8Array<ArrayBuffer> {
  const padding = "Server: none\r\n".repeat(fields);
  const head = `HTTP/1.1 ${status}\r\n${padding}Content-Length: ${content}\r\n\r\n`;
  return new TextEncoder().encode(head + "x".repeat(content));
}

/**
 * The limit: a read and a write for each request, from memory, and nothing understood but the path:
 * its first letter says what the others answer. `/big.bin` is read from the file and written.
 */
async function serveBare(port: number, root: string): Promise<void> {
  const letter = (text: string) => text.charCodeAt(0);
  const whole = bareResponse("200 OK", 20, 1_024);
  const others = new Map([
    [letter("c"), bareResponse("200 OK\r\nConnection: close", 19, 1_024)],
    [letter("u"), bareResponse("304 Not Modified", 12, 0)],
    [letter("m"), bareResponse("404 Not Found", 12, 14)],
  ]);
  const makeMixed = (_: unknown, at: number) => bareResponse("200 OK", 20, mixedSize(at));
  let mixed: Uint8Array<ArrayBuffer>[] | undefined; // made when needed: they take 50 MB
  const slash = letter("/");
  const serve = async (conn: Deno.TcpConn) => {
    const request = new Uint8Array(4_096);
    while (await conn.read(request)) {
      const first = request[5] ?? 0;
      let octets = others.get(first) ?? whole;
      if (first === letter("b")) {
        await sendFile(conn, `${root}/big.bin`);
        continue;
      }
      if (first === letter("m") && request[10] === slash) { // "/mixed/123.html"
        let number = 0;
        for (let at = 11; (request[at] ?? 0) >= 0x30; at++) {
          number = number * 10 + (request[at] ?? 0) - 0x30;
        }
        mixed ??= Array.from({ length: 1_000 }, makeMixed);
        octets = mixed[number] ?? whole;
      }
      for (let sent = 0; sent < octets.length;) {
        sent += await conn.write(sent === 0 ? octets : octets.subarray(sent));
      }
      if (first === letter("c")) return;
    }
  };
  const listener = Deno.listen({ port, hostname: "127.0.0.1", tcpBacklog: 4_096 });
  for await (const conn of listener) {
    conn.setNoDelay();
    serve(conn).catch(() => {}).finally(() => conn[Symbol.dispose]());
  }
}

/** Sends a file block by block, each read without blocking the other connections. */
async function sendFile(conn: Deno.TcpConn, path: string): Promise<void> {
  using file = await Deno.open(path);
  const { size } = await file.stat();
  await conn.write(new TextEncoder().encode(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`));
  const block = new Uint8Array(BLOCK);
  for (let count; (count = await file.read(block)) !== null;) {
    for (let sent = 0; sent < count;) sent += await conn.write(block.subarray(sent, count));
  }
}

/** Where a program is; null if it is not here. */
export async function find(program: string): Promise<string | null> {
  // Python tells itself: what is in the path may be a script that chooses a version, slowly.
  const real = program === "python3" ? " && python3 -c 'import sys; print(sys.executable)'" : "";
  const args = ["-c", `command -v ${program}${real}`];
  const { success, stdout } = await new Deno.Command("sh", { args, stderr: "null" }).output();
  return success ? new TextDecoder().decode(stdout).trim().split("\n").at(-1) ?? null : null;
}

/**
 * Starts a server on a free port, and waits until it answers.
 *
 * @param answers Whether it answers on that port yet; may reject.
 * @param prefix What comes before its command line, to pin it to a core.
 * @throws {Error} If it does not within ten seconds.
 */
export async function start(
  { name, program, args }: Peer,
  answers: (port: number) => Promise<boolean>,
  prefix: readonly string[],
  threads = 1,
): Promise<Running> {
  const port = freePort();
  const [first = "", ...rest] = [...prefix, program, ...args(port, threads)];
  const quiet = { stdin: "null", stdout: "null", stderr: "null" } as const;
  const process = new Deno.Command(first, { args: rest, ...quiet }).spawn();
  let ended = false;
  process.status.then(() => ended = true);
  const running = {
    ...{ name, port, pid: process.pid },
    async [Symbol.asyncDispose]() {
      if (!ended) process.kill("SIGTERM");
      const insist = setTimeout(() => ended || process.kill("SIGKILL"), 2_000);
      await process.status;
      clearTimeout(insist);
    },
  };
  for (const began = performance.now(); !ended && performance.now() - began < 10_000;) {
    if (await answers(port).catch(() => false)) return running;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await running[Symbol.asyncDispose]();
  throw new Error(`${name} does not answer`);
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

/** A process and its children. */
function family(pid: number): number[] {
  const children = Deno.readTextFileSync(`/proc/${pid}/task/${pid}/children`).match(/\d+/g) ?? [];
  return [pid, ...children.map(Number)];
}

/** The processor time that a server took so far, in microseconds. */
export function processorTime({ pid }: Running): number {
  return family(pid).reduce((sum, each) => {
    const numbers = Deno.readTextFileSync(`/proc/${each}/stat`).split(") ")[1]?.split(" ") ?? [];
    return sum + 10_000 * (Number(numbers[11]) + Number(numbers[12])); // in ticks of 10 ms
  }, 0);
}

/** The memory of a server in megabytes: resident now (VmRSS), or at its peak (VmHWM). */
export function memory({ pid }: Running, kind: "VmRSS" | "VmHWM"): number {
  return family(pid).reduce((sum, each) => {
    const status = Deno.readTextFileSync(`/proc/${each}/status`);
    return sum + Number(new RegExp(`${kind}:\\s*(\\d+)`).exec(status)?.[1] ?? 0) / 1_024;
  }, 0);
}

/** Lets the peak of memory begin anew. */
export function forgetPeak({ pid }: Running): void {
  for (const each of family(pid)) Deno.writeTextFileSync(`/proc/${each}/clear_refs`, "5");
}

if (import.meta.main) {
  const [name, port, root = "."] = Deno.args;
  if (name === "bare loop") await serveBare(Number(port), root);
  else serveWithDeno(Number(port), root);
}
