/**
 * What the tests share: real sockets on loopback, the ways a network cuts octets up, a peer that
 * speaks TLS, and a program run as its user runs it.
 *
 * @module
 */
import { toByteString } from "../protocol.ts";

/** Any free port of this machine. */
export const LOCAL = { hostname: "127.0.0.1", port: 0 } as const;

/** The folder of the programs, with a slash at its end. */
export const ROOT: string = new URL("..", import.meta.url).pathname;

/** The folder of the test certificates: `localhost`, `other`, `expired`, `future`, `selfsigned`. */
export const TLS: string = new URL("testdata/tls/", import.meta.url).pathname;

/** How a network may cut the same octets up. */
export const CUTS: Record<string, (text: string) => string[]> = {
  "at once": (text) => [text],
  "octet by octet": (text) => text.split(""),
};

/** Turns a string of one char an octet into the octets. */
export function octetsOf(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}

/** Sends pieces of text, one char an octet, each in a write of its own. */
export async function send(conn: Deno.Conn, pieces: string[]): Promise<void> {
  for (const piece of pieces) {
    const octets = octetsOf(piece);
    for (let sent = 0; sent < octets.length;) sent += await conn.write(octets.subarray(sent));
  }
}

/** Reads all that comes until the peer ends, as a string of one char an octet; a reset is an end. */
export async function receive(conn: Deno.Conn): Promise<string> {
  let text = "";
  const octets = new Uint8Array(65_536);
  try {
    for (let count; (count = await conn.read(octets)) !== null;) {
      text += toByteString(octets.subarray(0, count));
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.ConnectionReset)) throw error;
  }
  return text;
}

/** A certificate of `testdata/tls` with its key. */
export async function certificate(name: string): Promise<{ key: string; cert: string }> {
  const [key, cert] = await Promise.all(
    ["key", "pem"].map((kind) => Deno.readTextFile(`${TLS}${name}.${kind}`)),
  );
  return { key: key ?? "", cert: cert ?? "" };
}

/**
 * The server's end of STARTTLS. Deno upgrades clients only, so the connection is relayed, octet
 * for octet, to a TLS listener in this same process.
 */
export async function acceptTls(conn: Deno.Conn, name = "localhost"): Promise<Deno.TlsConn> {
  using listener = Deno.listenTls({ ...LOCAL, ...await certificate(name) });
  const { hostname, port } = listener.addr;
  const inner = await Deno.connect({ hostname, port });
  inner.setNoDelay();
  conn.readable.pipeTo(inner.writable).catch(() => {});
  inner.readable.pipeTo(conn.writable).catch(() => {});
  return await listener.accept();
}

/** How a program is started. */
export interface StartOptions {
  /** A command that runs it. */
  by?: string[];
  /** Its permissions; all unless given. */
  allow?: string[];
  env?: Record<string, string>;
  cwd?: string;
  /** True if its output is not read. */
  unread?: boolean;
}

/** Starts a program as its user does, with pipes for its outputs. */
function spawn(program: string, args: string[], stdin: "null" | "piped", options: StartOptions) {
  const { by = [], allow = ["--allow-all"], env = {}, cwd = ROOT } = options;
  const run = [Deno.execPath(), "run", "--no-prompt", ...allow, `${ROOT}${program}`, ...args];
  const [command = "", ...words] = [...by, ...run];
  const outputs = { stdout: "piped", stderr: "piped" } as const;
  const settings = { args: words, env: { NO_COLOR: "1", ...env }, cwd, stdin, ...outputs };
  return new Deno.Command(command, settings).spawn();
}

/** Exit status and output of a program. */
export interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs a program to its end. */
export async function runProgram(
  program: string,
  args: string[],
  { stdin, ...options }: StartOptions & { stdin?: string } = {},
): Promise<Outcome> {
  const child = spawn(program, args, stdin === undefined ? "null" : "piped", options);
  if (stdin !== undefined) {
    const writer = child.stdin.getWriter();
    await writer.write(octetsOf(stdin)).catch(() => {}); // it may have ended without reading
    await writer.close().catch(() => {});
  }
  const { code, stdout, stderr } = await child.output();
  return { code, stdout: toByteString(stdout), stderr: new TextDecoder().decode(stderr) };
}

/** A program that runs until it is stopped. */
export interface Running extends AsyncDisposable {
  /** The number that it said it was ready with: its port; 0 if it ended before. */
  port: number;
  pid: number;
  /** What it has said so far. */
  readonly stderr: string;
  /** Sends a signal (SIGTERM), and waits for the end. */
  stop(signal?: Deno.Signal): Promise<Outcome>;
}

/**
 * Starts a program of ours, and waits until it is ready.
 *
 * @param ready What it then says on standard error, its port in the first group.
 */
export async function startProgram(
  program: string,
  args: string[],
  ready: RegExp,
  options: StartOptions = {},
): Promise<Running> {
  const child = spawn(program, args, "null", options);
  const port = Promise.withResolvers<number>();
  let stderr = "";
  const listening = (async () => {
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
      stderr += text;
      const [, found] = ready.exec(stderr) ?? [];
      if (found !== undefined) port.resolve(Number(found));
    }
    port.resolve(0);
  })();
  const stdout = options.unread
    ? child.stdout.cancel().then(() => "")
    : new Response(child.stdout).text();
  const end = async () => {
    const { code } = await child.status;
    await listening;
    return { code, stdout: await stdout, stderr };
  };
  let outcome: Promise<Outcome> | undefined;
  const stop = (signal?: Deno.Signal) => {
    try {
      child.kill(signal);
    } catch {
      // it has ended already
    }
    return outcome ??= end();
  };
  return {
    port: await port.promise,
    pid: child.pid,
    get stderr() {
      return stderr;
    },
    stop,
    async [Symbol.asyncDispose]() {
      await (outcome ?? stop());
    },
  };
}
