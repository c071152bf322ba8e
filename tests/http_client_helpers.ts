/**
 * Scripted servers for the tests of the web client, the rows that run against them, and the client
 * run in this process, by a shell or on a terminal.
 *
 * @module
 */
import { assert, assertEquals } from "jsr:@std/assert@^1.0.19";
import net from "node:net";
import zlib from "node:zlib";
import { describeError, parseCommandLine } from "../cli.ts";
import { COMMAND, type DownloadTimes, main, type Streams, TIMES } from "../http_client.ts";
import { ExitError, printable, toByteString, UsageError } from "../protocol.ts";
import { certificate, CUTS, LOCAL, octetsOf, type Outcome, ROOT, runProgram } from "./helpers.ts";

// ---- Scripted servers --------------------------------------------------

/** What a server does apart from sending. */
export interface Action {
  readonly ends: boolean;
}
/** Closes at once; with the request unread, that is a reset. */
export const RESET: Action = { ends: true };
/** Says no more, and keeps the connection open until the client goes. */
export const STAY: Action = { ends: false };

/** As the first step: does not wait for a request, nor read it. */
export const BLIND: Action = { ends: false };

/** Octets to send, a pause in milliseconds, or something else. */
export type Step = string | number | Action;

export interface Row {
  /** What must hold. */
  rule: string;
  /** What the server does on its first connection, on its second, …; numbers are pauses in ms. */
  sends: Step[][];
  /** Options; `URL` stands for the server, `HOST` and `PORT` for its parts. Default: the URL. */
  args?: string[];
  /** The body, or what it matches. */
  out?: string | RegExp;
  code?: number;
  /** What standard error holds. */
  says?: string | RegExp;
  /** What standard error must not hold. */
  hides?: string | RegExp;
  /** What each request must match. */
  asks?: (string | RegExp | { not: RegExp })[];
  /** Over TLS, with this certificate. */
  tls?: string;
  /** How many connections there must have been. */
  hops?: number;
}

/** A server with a script; `requests` are the heads (and bodies) it got. */
export class ScriptedServer implements AsyncDisposable {
  readonly requests: string[] = [];
  readonly #listener: Deno.Listener;
  readonly #conns: Promise<void>[] = [];
  readonly #open = new Set<Deno.Conn>();

  constructor(
    readonly sends: Step[][],
    readonly cut: (text: string) => string[],
    listener: Deno.Listener,
    /** Makes the response to each request, instead of a script. */
    readonly respond?: (request: string, count: number) => string,
  ) {
    this.#listener = listener;
    this.#accept();
  }

  get port(): number {
    return (this.#listener.addr as Deno.NetAddr).port;
  }

  async #accept(): Promise<void> {
    try {
      for (let count = 0;; count++) {
        const conn = await this.#listener.accept();
        const script = this.sends[Math.min(count, this.sends.length - 1)] ?? [];
        this.#conns.push(this.#play(conn, script, count).catch(() => {}));
      }
    } catch {
      // the end of the test
    }
  }

  async #play(conn: Deno.Conn, script: Step[], count: number): Promise<void> {
    this.#open.add(conn);
    try {
      if ("setNoDelay" in conn && typeof conn.setNoDelay === "function") conn.setNoDelay();
      if (script[0] !== BLIND) this.requests.push(await readRequest(conn));
      const response = this.respond?.(this.requests.at(-1) ?? "", count);
      for (const step of response === undefined ? script : [response]) {
        if (step === RESET) return;
        if (step === BLIND) continue;
        if (step === STAY) await conn.read(new Uint8Array(1));
        else if (typeof step === "number") await new Promise((done) => setTimeout(done, step));
        else if (typeof step === "string") {
          for (const piece of this.cut(step)) {
            const octets = octetsOf(piece);
            for (let sent = 0; sent < octets.length;) {
              sent += await conn.write(octets.subarray(sent));
            }
          }
        }
      }
      await conn.closeWrite();
      await conn.read(new Uint8Array(65_536));
    } finally {
      this.#open.delete(conn);
      conn[Symbol.dispose]();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const conn of this.#open) conn[Symbol.dispose]();
    await Promise.all(this.#conns);
  }
}

/** Reads a head, and as much of a body as its Content-Length says. */
async function readRequest(conn: Deno.Conn): Promise<string> {
  let text = "";
  const octets = new Uint8Array(65_536);
  for (;;) {
    const end = text.indexOf("\r\n\r\n");
    const length = Number(/^Content-Length: (\d+)/mi.exec(text)?.[1] ?? 0);
    if (end >= 0 && text.length >= end + 4 + length) return text;
    const count = await conn.read(octets);
    if (count === null) return text;
    text += toByteString(octets.subarray(0, count));
  }
}

/** Settings of a run in this process. */
export interface RunSettings extends Partial<DownloadTimes> {
  isTerminal?: boolean;
  /** Stops the client. */
  signal?: AbortSignal;
  /** Called at each write to standard error. */
  onNote?: () => void;
  /** Receives the body. Default: it is gathered as a string of one char an octet. */
  stdout?: Streams["stdout"];
}

/** Runs the client in this process, and handles errors as `run` of cli.ts does. */
export async function runHere(args: string[], settings: RunSettings = {}): Promise<Outcome> {
  const { isTerminal = false, stdout, signal, onNote, ...times } = settings;
  const outcome = { code: 0, stdout: "", stderr: "" };
  const streams: Streams = {
    stdout: stdout ?? {
      write: (octets) => Promise.resolve((outcome.stdout += toByteString(octets), octets.length)),
      isTerminal: () => isTerminal,
    },
    stderr: {
      writeSync(octets) {
        outcome.stderr += new TextDecoder().decode(octets);
        onNote?.();
        return octets.length;
      },
      isTerminal: () => isTerminal,
    },
    signal: () => signal ?? new AbortController().signal,
  };
  try {
    const line = parseCommandLine(COMMAND, args);
    outcome.code = await main(line, streams, { ...TIMES, ...times });
  } catch (error) {
    const message = describeError(error);
    if (message === null) throw error;
    if (message !== "") outcome.stderr += `http_client: ${printable(message)}\n`;
    outcome.code = error instanceof ExitError ? error.status : error instanceof UsageError ? 2 : 1;
  }
  return outcome;
}

async function check(row: Row, cut: string): Promise<void> {
  const { rule, sends, args = ["URL"], out = "", code = 0, says, hides, asks = [], tls } = row;
  const listener = tls === undefined
    ? Deno.listen(LOCAL)
    : Deno.listenTls({ ...LOCAL, ...await certificate(tls) });
  const steps = sends.map((script) => [...script]);
  await using server = new ScriptedServer(steps, CUTS[cut] ?? ((text) => [text]), listener);
  const scheme = tls === undefined ? "http" : "https";
  const url = `${scheme}://127.0.0.1:${server.port}/`;
  const place = (text: string) => text.replaceAll("URL", url).replaceAll("PORT", `${server.port}`);
  server.sends.forEach((steps) =>
    steps.forEach((step, i) => typeof step === "string" && (steps[i] = place(step)))
  );
  const real = args.map(place);
  const outcome = await runHere(real, { firstPause: 10 });
  const shown = JSON.stringify(outcome);
  assertEquals(outcome.code, code, `${rule}: ${shown}`);
  if (typeof out === "string") assertEquals(outcome.stdout, out, shown);
  else assert(out.test(outcome.stdout), shown);
  if (says !== undefined) assert(matches(outcome.stderr, says), `stderr: ${shown}`);
  if (hides !== undefined) assert(!matches(outcome.stderr, hides), `stderr: ${shown}`);
  if (row.hops !== undefined) assertEquals(server.requests.length, row.hops, shown);
  asks.forEach((ask, i) => {
    const request = server.requests[i] ?? "";
    if (typeof ask === "string" || ask instanceof RegExp) assert(matches(request, ask), request);
    else assert(!ask.not.test(request), request);
  });
}

/** Makes each row a test, in which the octets come at once and then one by one. */
export function testRows(rows: readonly Row[], cuts = Object.keys(CUTS)): void {
  for (const row of rows) {
    Deno.test(row.rule, async () => {
      for (const cut of cuts) await check(row, cut);
    });
  }
}

export function matches(text: string, wanted: string | RegExp): boolean {
  return typeof wanted === "string" ? text.includes(wanted) : wanted.test(text);
}
// ---- Responses ---------------------------------------------------------

export const OK = "HTTP/1.1 200 OK\r\n";
export const hello = (head: string) => `${OK}${head}\r\n\r\nhello`;
export const gz = (text: string) => toByteString(zlib.gzipSync(octetsOf(text)));
export const zl = (text: string) => toByteString(zlib.deflateSync(octetsOf(text)));
export const raw = (text: string) => toByteString(zlib.deflateRawSync(octetsOf(text)));
export const br = (text: string) => toByteString(zlib.brotliCompressSync(octetsOf(text)));
export const coded = (coding: string, body: string, more = "") =>
  `${OK}Content-Encoding: ${coding}\r\nContent-Length: ${body.length}\r\n${more}\r\n${body}`;
export const chunked = (body: string) => `${OK}Transfer-Encoding: chunked\r\n\r\n${body}`;
export const to = (location: string, status = 302) =>
  `HTTP/1.1 ${status} Moved\r\nLocation: ${location}\r\nContent-Length: 0\r\n\r\n`;
export const DONE = `${OK}Content-Length: 4\r\n\r\ndone`;
/** Two members of gzip, "hello" and " you", of which the second one comes later or not at all. */
export const MEMBERS = [
  coded("gzip", gz("hello") + gz(" you")).slice(0, -gz(" you").length),
  gz(" you"),
] as const;
export const LONG = "abcdefgh".repeat(500);

// ---- Programs ----------------------------------------------------------

/** A server of node:net, which can reset a connection: says something, or null, then resets it. */
export async function resetting(text: string | null, args: string[]): Promise<Outcome> {
  const server = net.createServer((socket) => {
    socket.on("error", () => {});
    if (text === null) return socket.resetAndDestroy();
    socket.once("data", () => {
      socket.pause();
      socket.write(octetsOf(text), () => setTimeout(() => socket.resetAndDestroy(), 100));
    });
  });
  const listening = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", listening.resolve);
  await listening.promise;
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const outcome = await runProgram("http_client.ts", [...args, `http://127.0.0.1:${port}/`]);
  const closed = Promise.withResolvers<void>();
  server.close(() => closed.resolve());
  await closed.promise;
  return outcome;
}

/** Whether a program is there; a line says so where it is not. */
export async function has(program: string): Promise<boolean> {
  try {
    await new Deno.Command(program, { args: ["--version"], stdout: "null", stderr: "null" })
      .output();
    return true;
  } catch {
    console.log(`skipped what needs ${program}: apt-get install ${program}`);
    return false;
  }
}
/** Runs the client on a terminal of Python's making, and gives what was shown on it. */
export async function onTerminal(
  args: string[],
  { interrupt = false, columns = 0, isRedirected = false } = {},
): Promise<{ code: number; shown: string }> {
  const script = String.raw`
import fcntl, os, pty, signal, struct, sys, termios, time, select
pid, fd = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, int(sys.argv[2]), 0, 0))
    if sys.argv[3] == "redirected": os.dup2(os.open("/dev/null", os.O_WRONLY), 1)
    os.execvp(sys.argv[4], sys.argv[4:])
shown, start, sent = b"", time.time(), sys.argv[1] == "wait"
while True:
    ready, _, _ = select.select([fd], [], [], 0.2)
    if ready:
        try: octets = os.read(fd, 65536)
        except OSError: break
        if not octets: break
        shown += octets
    if not sent and time.time() - start > 1.2:
        os.write(fd, b"\x03"); sent = True
    if time.time() - start > 20: os.kill(pid, signal.SIGKILL)
status = os.waitpid(pid, 0)[1]
sys.stdout.buffer.write(b"%d\n" % os.waitstatus_to_exitcode(status) + shown)
`;
  const { stdout } = await new Deno.Command("python3", {
    args: [
      ...["-c", script, interrupt ? "interrupt" : "wait", `${columns}`],
      ...[isRedirected ? "redirected" : "shown", Deno.execPath(), "run"],
      ...["--allow-all", `${ROOT}http_client.ts`, ...args],
    ],
    env: { NO_COLOR: "1", TERM: "xterm" },
  }).output();
  const text = toByteString(stdout);
  const end = text.indexOf("\n");
  return { code: Number(text.slice(0, end)), shown: text.slice(end + 1) };
}

/** Runs a line of shell with CLIENT and URL in it, for what only a shell can do to a program. */
export async function shell(line: string, sends: Step[][]): Promise<Outcome> {
  await using server = new ScriptedServer(sends, (text) => [text], Deno.listen(LOCAL));
  const client = `${Deno.execPath()} run --allow-all ${ROOT}http_client.ts`;
  const { code, stdout, stderr } = await new Deno.Command("sh", {
    args: [
      "-c",
      line.replaceAll("CLIENT", client).replaceAll("URL", `http://127.0.0.1:${server.port}/`)
        .replaceAll("NET_ONLY", client.replace("--allow-all", "--no-prompt --allow-net")),
    ],
    env: { NO_COLOR: "1" },
  }).output();
  return { code, stdout: toByteString(stdout), stderr: toByteString(stderr) };
}

/** A line of shell that sends SIGINT to a command as soon as it has said something. */
export const interruptedAt = (command: string, said: string) =>
  `e=$(mktemp); ${command} 2> $e & until grep -q "${said}" $e; do sleep 0.05; done; ` +
  "kill -INT $!; wait $!; echo $?; cat $e >&2; rm $e";

export const BIG = "x".repeat(1 << 20);

/** A command line, its exit status and what it says. */
export interface Command {
  args: string[];
  code: number;
  says?: string | RegExp;
  out?: RegExp;
}

/** Makes each command line a test. */
export function testCommands(about: string, commands: Command[]): void {
  for (const { args, code, says, out = /^$/ } of commands) {
    const name = `${about}: ${JSON.stringify(args.join(" ").slice(0, 70))} is exit ${code}`;
    Deno.test(name, async () => {
      const outcome = code === 0 ? await runProgram("http_client.ts", args) : await runHere(args);
      const shown = JSON.stringify(outcome);
      assertEquals(outcome.code, code, shown);
      assert(out.test(outcome.stdout), shown);
      assert(
        code === 0 ||
          new RegExp(`^(\\* [^\n]*\n)*http_client: [^\n]+\n$`).test(outcome.stderr),
        shown,
      );
      if (says !== undefined) assert(matches(outcome.stderr, says), shown);
    });
  }
}

export interface FileRow {
  rule: string;
  sends: Step[][];
  args: string[];
  /** What is in the folder before, and what must be in it in the end. */
  before?: Record<string, string>;
  after: Record<string, string>;
  code?: number;
  says?: string | RegExp;
  out?: string;
  asks?: (string | RegExp | { not: RegExp })[];
  hops?: number;
}

export const named = (disposition: string) =>
  `${OK}Content-Disposition: ${disposition}\r\nContent-Length: 4\r\n\r\ndone`;
export const part = (range: string, body: string, more = "") =>
  `HTTP/1.1 206 Partial\r\nContent-Range: ${range}\r\nContent-Length: ${body.length}\r\n${more}\r\n${body}`;
export const resume = ["-C", "-", "-o", "f", "URL"];

/** Makes each row a test, in a folder of its own. */
export function testFiles(rows: readonly FileRow[]): void {
  for (const row of rows) Deno.test(row.rule, () => checkFiles(row));
}

async function checkFiles(row: FileRow): Promise<void> {
  const { sends, args, before = {}, after, code = 0, out = "", says, asks = [], hops } = row;
  const folder = await Deno.makeTempDir();
  for (const [name, text] of Object.entries(before)) {
    await Deno.writeFile(`${folder}/${name}`, octetsOf(text));
  }
  const steps = sends.map((script) => [...script]);
  await using server = new ScriptedServer(steps, (text) => [text], Deno.listen(LOCAL));
  const url = `http://127.0.0.1:${server.port}/`;
  // Names that the client makes lead into the current folder, which is that of a process.
  const isNamed = args.some((arg) => /^-[LC]?[OJ]/.test(arg));
  const real = args.map((arg, at) => {
    const path = !isNamed && args[at - 1] === "-o" ? `${folder}/${arg}` : arg;
    return path.replace(/^@/, `@${folder}/`).replaceAll("URL", url);
  });
  const outcome = isNamed
    ? await runProgram("http_client.ts", real, { cwd: folder })
    : await runHere(real, { firstPause: 10 });
  const found: Record<string, string> = {};
  for await (const { name } of Deno.readDir(folder)) {
    found[name] = toByteString(await Deno.readFile(`${folder}/${name}`));
  }
  await Deno.remove(folder, { recursive: true });
  assertEquals(outcome.code, code, JSON.stringify(outcome));
  assertEquals(found, after);
  assertEquals(outcome.stdout, out);
  if (says !== undefined) {
    assert(matches(outcome.stderr.replaceAll(`${folder}/`, ""), says), JSON.stringify(outcome));
  }
  if (hops !== undefined) assertEquals(server.requests.length, hops);
  asks.forEach((ask, i) => {
    const request = server.requests[i] ?? "";
    const fits = typeof ask === "object" && "not" in ask
      ? !ask.not.test(request)
      : matches(request, ask);
    assert(fits, request);
  });
}

/** What the client shows on a terminal. */
export interface TerminalRow {
  rule: string;
  sends: Step[][];
  args?: string[];
  code?: number;
  shows: string | RegExp;
  hides?: RegExp;
  interrupt?: boolean;
  /** Width of the terminal. Default: it has none. */
  columns?: number;
  /** True if standard output goes elsewhere. */
  isRedirected?: boolean;
}

/** Makes each row a test on a terminal. */
export function testTerminal(rows: readonly TerminalRow[], ignore: boolean): void {
  for (const row of rows) Deno.test({ name: row.rule, ignore, fn: () => checkTerminal(row) });
}

async function checkTerminal(row: TerminalRow): Promise<void> {
  const { sends, args = ["URL"], code = 0, shows, hides, ...settings } = row;
  const file = await Deno.makeTempFile();
  await using server = new ScriptedServer(sends, (text) => [text], Deno.listen(LOCAL));
  const url = `http://127.0.0.1:${server.port}/`;
  const real = args.map((arg) => arg.replace("URL", url).replace("FILE", file));
  const outcome = await onTerminal(real, settings);
  await Deno.remove(file);
  assert(matches(outcome.shown, shows), JSON.stringify(outcome));
  if (hides !== undefined) assert(!hides.test(outcome.shown), JSON.stringify(outcome));
  assertEquals(outcome.code, code);
}

/** A line of shell, and what it prints. */
export interface ShellRow {
  rule: string;
  line: string;
  sends: Step[][];
  out: RegExp;
  err: RegExp;
}

/** Makes each row a test in a shell. */
export function testShell(rows: readonly ShellRow[]): void {
  for (const { rule, line, sends, out, err } of rows) {
    const ignore = Deno.build.os !== "linux";
    Deno.test({
      name: rule,
      ignore,
      fn: async () => {
        const { stdout, stderr } = await shell(line, sends);
        assert(out.test(stdout), stdout.slice(0, 500) + stderr);
        assert(err.test(stderr), stderr);
      },
    });
  }
}
