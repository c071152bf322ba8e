/**
 * What the tests of the pinger share: a UDP server that answers each datagram as a script says,
 * and the pinger run against it.
 *
 * @module
 */
import { assertEquals } from "jsr:@std/assert@^1.0.19";
import { toByteString } from "../protocol.ts";
import {
  describe,
  describeSummary,
  Pinger,
  type PingEvent,
  sendHeartbeats,
} from "../udp_pinger.ts";
import { LOCAL, octetsOf, type Outcome, ROOT, runProgram } from "./helpers.ts";

// ---- A responder that follows a script -----------------------------------

/** Opens a UDP socket on a free port. */
export const udp = (hostname: string = LOCAL.hostname): Deno.DatagramConn =>
  Deno.listenDatagram({ transport: "udp", hostname, port: 0 });
/** The address of a socket. */
export const addressOf = (socket: Deno.DatagramConn): Deno.NetAddr => socket.addr as Deno.NetAddr;

/** A second address of this machine. Its tests are skipped without permission for it. */
export const ELSEWHERE = "127.0.0.2";
/** Whether tests may use {@linkcode ELSEWHERE}. */
export const elsewhere: boolean =
  Deno.permissions.querySync({ name: "net", host: ELSEWHERE }).state === "granted";
if (!elsewhere) console.log(`skipped: replies from another address (no --allow-net=${ELSEWHERE})`);

/** One datagram at the responder, and the ways to answer it. */
export interface Visit {
  octets: Uint8Array;
  to: Deno.NetAddr;
  /** All datagrams so far, including this one. */
  before: Uint8Array[];
  reply: (octets: Uint8Array) => Promise<unknown>;
  replyFrom: (socket: "other port" | "other address", octets: Uint8Array) => Promise<unknown>;
  later: (ms: number, octets: Uint8Array) => void;
  hold: (octets: Uint8Array) => void;
}
/** What the responder does with one datagram. */
export type Action = (visit: Visit) => unknown;

export const echo: Action = ({ reply, octets }) => reply(octets);
export const drop: Action = () => {};
export const twice: Action = async ({ reply, octets }) => {
  await reply(octets);
  await reply(octets);
};
export const thrice: Action = async ({ reply, octets }) => {
  for (let copy = 0; copy < 3; copy++) await reply(octets);
};
export const after = (ms: number): Action => ({ later, octets }) => later(ms, octets);
export const twiceLater = (ms: number): Action => ({ later, octets }) => {
  later(ms, octets);
  later(ms + 1, octets);
};
export const hold: Action = ({ hold, octets }) => hold(octets);
export const flip = (at: number, bits = 1): Action => ({ reply, octets }) =>
  reply(octets.map((octet, index) => index === at ? octet ^ bits : octet));
export const flipThenEcho = (at: number, bits = 1): Action => async (visit) => {
  await flip(at, bits)(visit);
  await echo(visit);
};
export const cut = (length: number): Action => ({ reply, octets }) =>
  reply(octets.subarray(0, length));
export const longer: Action = ({ reply, octets }) => reply(new Uint8Array([...octets, 0x21]));
export const say = (text: string): Action => ({ reply }) => reply(octetsOf(text));
export const sayThenEcho = (text: string): Action => async (visit) => {
  await say(text)(visit);
  await echo(visit);
};
export const otherPort: Action = ({ replyFrom, octets }) => replyFrom("other port", octets);
export const otherAddress: Action = ({ replyFrom, octets }) => replyFrom("other address", octets);
export const strangersJunk: Action = async (visit) => {
  await visit.replyFrom("other port", octetsOf("hello"));
  await echo(visit);
};
export const replayFirst: Action = async (visit) => {
  await visit.reply(visit.before[0] ?? new Uint8Array());
  await echo(visit);
};
export const junkThenEcho: Action = async (visit) => {
  for (let copy = 0; copy < 3; copy++) await visit.reply(visit.octets.map(() => 0x7a));
  await echo(visit);
};
export const upperCase: Action = ({ reply, octets }) =>
  reply(octetsOf(toByteString(octets).toUpperCase()));
export const stamp = (n: number): Action => ({ reply, octets }) => {
  const now = ((performance.timeOrigin + performance.now()) / 1000).toFixed(6);
  const text = toByteString(octets)
    .replace(/rx=[\d.]+/, `rx=${now}`).replace(/tx=[\d.]+/, `tx=${now}`)
    .replace(/n=\d{10}$/, `n=${String(n).padStart(10, "0")}`);
  return reply(octetsOf(text));
};

export const stampAndFlip = (at: number): Action => (visit) => {
  const reply = (octets: Uint8Array) =>
    visit.reply(octets.map((octet, index) => index === at ? octet ^ 4 : octet));
  return stamp(1)({ ...visit, reply });
};

/** Answers the n-th datagram with the n-th action, all further ones with the last action. */
export function respond(socket: Deno.DatagramConn, actions: Action[]) {
  const timers: ReturnType<typeof setTimeout>[] = [];
  const others = new Map<string, Deno.DatagramConn>();
  const other = (which: string) => {
    const found = others.get(which) ?? udp(which === "other port" ? "127.0.0.1" : ELSEWHERE);
    others.set(which, found);
    return found;
  };
  const before: Uint8Array[] = [];
  let held: Uint8Array | undefined;
  const serving = (async () => {
    for await (const [view, from] of socket) {
      const to = from as Deno.NetAddr;
      const octets = view.slice();
      before.push(octets);
      const reply = (octets: Uint8Array) => socket.send(octets, to);
      const action = actions[Math.min(before.length, actions.length) - 1] ?? echo;
      await action({
        octets,
        to,
        before,
        reply,
        replyFrom: (which, octets) => other(which).send(octets, to),
        later: (ms, octets) => timers.push(setTimeout(() => reply(octets).catch(() => {}), ms)),
        hold: (octets) => held = octets,
      });
      if (held && action !== hold) {
        await reply(held);
        held = undefined;
      }
    }
  })();
  return {
    before,
    async stop() {
      timers.forEach(clearTimeout);
      socket.close();
      for (const socket of others.values()) socket.close();
      await serving;
    },
  };
}

/** Runs a pinger against a script. Returns the lines and the counts as the user sees them. */
export async function runScript(actions: Action[], more: Record<string, unknown> = {}) {
  const server = udp();
  const { hostname, port } = addressOf(server);
  const responder = respond(server, actions);
  const events: PingEvent[] = [];
  const options = {
    count: actions.length,
    timeout: 250,
    preload: 1,
    flood: false,
    oneWay: false,
    signal: new AbortController().signal,
    report: (event: PingEvent) => events.push(event),
    ...more,
  };
  const target = { transport: "udp" as const, hostname, port };
  const pinger = new Pinger(udp("0.0.0.0"), target, options);
  await pinger.run().finally(() => responder.stop());
  const summary = pinger.statistics.summary();
  const lines = events.map(describe).filter((line) => line !== null).map(mask);
  const [, counts = ""] = describeSummary("h", summary);
  return { lines, counts: counts.replace(/, time \d+ms/, ""), summary, events, responder };
}

/** Replaces times and addresses in a line. */
const mask = (line: string) =>
  line.replace(/time=[\d.]+ ms/, "OK").replace(/^\d+ bytes from 127.0.0.1:\d+: /, "")
    .replace(/^\d+ bytes from 127.0.0.2:\d+: /, "elsewhere: ").replace(/:\d+$/, ":P");
/** A script for the responder, and what the user of the pinger then sees. */
export interface Script {
  /** The name of the test. */
  rule: string;
  actions: Action[];
  options?: Record<string, unknown>;
  lines: string[];
  counts: string;
}

/** Registers a test for each script. */
export function testScripts(scripts: Script[]): void {
  for (const { rule, actions, options, lines, counts } of scripts) {
    const name = rule.startsWith("RFC") ? rule : `Pinger: ${rule}`;
    const ignore = actions.includes(otherAddress) && !elsewhere;
    Deno.test({ name, ignore }, async () => {
      const result = await runScript(actions, options);
      const masked = result.lines.map((line) => line.replace(/0x\w\w/g, "0x__"));
      assertEquals(masked, lines);
      assertEquals(result.counts, counts);
    });
  }
}

// ---- The program ---------------------------------------------------------

/** Runs the program against a responder. */
export async function runPinger(
  args: string[],
  actions: Action[] = [echo],
  allow?: string[],
): Promise<Outcome & { port: number; before: Uint8Array[] }> {
  const server = udp();
  const { hostname, port } = addressOf(server);
  const responder = respond(server, actions);
  const outcome = await runProgram("udp_pinger.ts", [...args, hostname, String(port)], {
    ...(allow && { allow }),
  });
  await responder.stop();
  return { ...outcome, port, before: responder.before };
}

/** Reads the text of a stream chunk by chunk. */
function readerOf(stream: ReadableStream<Uint8Array<ArrayBuffer>>) {
  const chunks = stream.pipeThrough(new TextDecoderStream())[Symbol.asyncIterator]();
  let text = "";
  /** Reads until all text so far matches, and returns it. */
  const until = async (pattern: RegExp) => {
    while (!pattern.test(text)) {
      const { value, done } = await chunks.next();
      if (done) throw new Error(`The program ended without ${pattern}: ${text}`);
      text += value;
    }
    return text;
  };
  /** Reads to the end, and returns all text. */
  const end = async () => {
    for await (const chunk of chunks) text += chunk;
    return text;
  };
  return { until, end };
}

/** Starts the program against a responder and calls `act` while it runs. */
export async function during(
  args: string[],
  actions: Action[],
  act: (
    child: Deno.ChildProcess,
    stdout: ReturnType<typeof readerOf>,
    stderr: ReturnType<typeof readerOf>,
  ) => Promise<void>,
): Promise<Outcome> {
  const server = udp();
  const { hostname, port } = addressOf(server);
  const responder = respond(server, actions);
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", `${ROOT}udp_pinger.ts`, ...args, hostname, String(port)],
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const [out, errors] = [readerOf(child.stdout), readerOf(child.stderr)];
  await act(child, out, errors);
  const [stdout, stderr, { code }] = await Promise.all([out.end(), errors.end(), child.status]);
  await responder.stop();
  return { code, stdout, stderr };
}

/** Whether this machine has util-linux's `script`. */
export const hasScript: boolean = Deno.build.os === "linux" &&
  await Deno.stat("/usr/bin/script").then(() => true, () => false);

/**
 * Runs the pinger in a terminal of 100 columns, made by util-linux's `script`. Returns what the
 * terminal got.
 *
 * @param meanwhile Shell command that runs at the same time.
 */
export async function inTerminal(args: string[], meanwhile = "true"): Promise<string> {
  const server = udp();
  const { port } = addressOf(server);
  const responder = respond(server, [echo, drop, echo]);
  const pinger = [
    Deno.execPath(),
    "run",
    "-A",
    `${ROOT}udp_pinger.ts`,
    ...args,
    `127.0.0.1:${port}`,
  ];
  const { stdout } = await new Deno.Command("script", {
    args: ["-qec", `stty cols 100; (${meanwhile}) & ${pinger.join(" ")}`, "/dev/null"],
    env: { NO_COLOR: "1", TERM: "xterm" },
    stdin: "null",
    stderr: "null",
  }).output();
  await responder.stop();
  return new TextDecoder().decode(stdout);
}

// ---- Heartbeats ----------------------------------------------------------

/**
 * Sends heartbeats to a socket, and stops the sender after `stopAfter` of them. Returns what arrived
 * there, with times masked and tabs as blanks.
 */
export async function beats(options: Record<string, unknown>, stopAfter = Infinity) {
  const monitor = udp();
  const stop = new AbortController();
  const heard: string[] = [];
  const hearing = (async () => {
    for await (const [octets] of monitor) {
      const text = new TextDecoder().decode(octets);
      if (text === "end") return;
      heard.push(text.replace(/time=\d{10}\.\d{6}/, "time=T").replaceAll("\t", " "));
      if (heard.length === stopAfter) stop.abort();
    }
  })();
  const sender = udp();
  const warn = () => {};
  const fixed = { interval: 20, count: Infinity, copyGap: 1, signal: stop.signal, warn };
  const began = performance.now();
  const result = await sendHeartbeats(sender, addressOf(monitor), { ...fixed, ...options });
  const took = performance.now() - began;
  await sender.send(octetsOf("end"), addressOf(monitor));
  await hearing;
  sender.close();
  monitor.close();
  return { heard, result, took };
}
