/**
 * What the tests of the echo server and the monitor share: a server and its clients in this
 * process, and the program as its user runs it.
 *
 * @module
 */
import { assert, assertEquals } from "jsr:@std/assert@^1.0.19";
import { toByteString } from "../protocol.ts";
import { type EchoOptions, EchoServer } from "../udp_ping_server.ts";
import {
  LOCAL,
  octetsOf,
  type Outcome,
  type Running,
  runProgram,
  startProgram,
} from "./helpers.ts";

// ---- A server and its client ---------------------------------------------

/** Opens a UDP socket on a free port. */
export const udp = (hostname: string = LOCAL.hostname): Deno.DatagramConn =>
  Deno.listenDatagram({ transport: "udp", hostname, port: 0 });
/** Returns the address of a socket. */
export const addressOf = (socket: Deno.DatagramConn): Deno.NetAddr => socket.addr as Deno.NetAddr;
/** Waits (ms). */
export const sleep = (ms: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until something is true, for 10 s at most. Returns whether it is. */
export async function until(isTrue: () => boolean | Promise<boolean>): Promise<boolean> {
  for (const end = performance.now() + 10_000; performance.now() < end;) {
    if (await isTrue()) return true;
    await sleep(2);
  }
  return false;
}

/** Waits until a number does not change for a while (ms), 10 s at most. Returns whether it settled. */
export function settled(count: () => number, quiet = 150): Promise<boolean> {
  let before = -1;
  return until(async () => {
    await sleep(quiet);
    const isSettled = count() === before;
    before = count();
    return isSettled;
  });
}

/** An echo without faults. */
export const PERFECT: EchoOptions = {
  ...{ loss: 0, delay: 0, jitter: 0, duplicate: 0, corrupt: 0, reorder: 0 },
  ...{ seed: 1, rate: 0, upper: false },
};

/** A socket that keeps all it receives. */
export class Client {
  readonly socket: Deno.DatagramConn;
  readonly received: string[] = [];
  readonly #receiving: Promise<void>;

  constructor(readonly server: Deno.NetAddr, hostname?: string) {
    const socket = this.socket = udp(hostname ?? server.hostname);
    this.#receiving = (async () => {
      for await (const [octets] of socket) this.received.push(toByteString(octets));
    })();
  }

  send(text: string) {
    return this.socket.send(octetsOf(text), this.server);
  }

  /** Waits for a number of datagrams; fails after 10 s. */
  async count(wanted: number): Promise<string[]> {
    await until(() => this.received.length >= wanted);
    assertEquals(this.received.length, wanted);
    return this.received;
  }

  async close() {
    this.socket.close();
    await this.#receiving;
  }
}

/** Runs a server for the time of a test. */
export async function serving(
  options: Partial<EchoOptions>,
  test: (server: EchoServer, client: Client, socket: Deno.DatagramConn) => Promise<void>,
  hostname?: string,
) {
  const socket = udp(hostname);
  const stop = new AbortController();
  const server = new EchoServer(socket, { ...PERFECT, ...options }, stop.signal);
  const done = server.serve();
  const client = new Client(addressOf(socket));
  try {
    await test(server, client, socket);
  } finally {
    await client.close();
    stop.abort();
    await done;
  }
}

/** Waits until the server has received a number of datagrams. */
export async function arrived(server: EchoServer, count: number): Promise<void> {
  assert(await until(() => server.counts.received >= count), `${server.counts.received} received`);
}

/** Sends numbered datagrams. Returns the replies when all requests are settled. */
export async function sendMany(
  server: EchoServer,
  client: Client,
  count: number,
): Promise<string[]> {
  const before = server.counts.received;
  const others = server.counts.echoed - client.received.length;
  for (let index = 0; index < count; index++) {
    await client.send(`number ${index}`);
    if (index % 50 === 49) await arrived(server, before + index + 1);
  }
  await arrived(server, before + count);
  const { counts } = server;
  const isDecided = () => counts.received === counts.dropped + counts.echoed + counts.limited;
  // After a stall timers run first: datagrams in the socket are still to be counted.
  const hasAll = () => client.received.length >= counts.echoed - others;
  await until(async () => {
    const { length } = client.received;
    await sleep(30);
    return length === client.received.length && isDecided() && hasAll();
  });
  return client.received;
}

/** Returns the numbers of replies to {@linkcode sendMany}. */
export const numbers = (replies: string[]): number[] =>
  replies.map((text) => Number(text.split(" ")[1]));

/**
 * Starts a loop between two servers with one forged datagram, and waits until none came for a while
 * (ms). Returns the number of datagrams received.
 */
export async function loop(options: Partial<EchoOptions>, quiet?: number): Promise<number> {
  const sockets = [udp(), udp()];
  const stop = new AbortController();
  const servers = sockets.map((socket) =>
    new EchoServer(socket, { ...PERFECT, rate: 1000, ...options }, stop.signal)
  );
  const done = servers.map((server) => server.serve());
  const [one, other] = sockets;
  // A server sends this itself, as if its address had been forged.
  await one?.send(octetsOf("loop"), addressOf(other ?? udp()));
  const received = () => servers.reduce((sum, { counts }) => sum + counts.received, 0);
  try {
    assert(await settled(received, quiet), `still running after ${received()} datagrams`);
  } finally {
    stop.abort();
    await Promise.all(done);
  }
  return received();
}

// ---- The program ---------------------------------------------------------

/** Starts the program on a free port, calls `use`, then sends SIGINT. */
export async function running(
  args: string[],
  use: (port: number, program: Running) => Promise<unknown>,
  allow: string[] = ["--allow-net"],
): Promise<Outcome> {
  const ready = / port (\d+)/;
  await using program = await startProgram("udp_ping_server.ts", ["-p0", ...args], ready, {
    allow,
  });
  await use(program.port, program);
  return await program.stop("SIGINT");
}

/** Runs the pinger against a port of this machine. Its summary is JSON. */
export const ping = (port: number, ...args: string[]): Promise<Outcome> =>
  runProgram("udp_pinger.ts", [...args, "--json", "-q", "127.0.0.1", String(port)]);

// ---- Heartbeats ----------------------------------------------------------

/** Returns a beat of a sender named web1 with an interval of one second. */
export const web = (sequence: number, more = ""): string =>
  `sequence=${sequence}\ttime=1.000000\tname=web1\tinterval=1${more}`;
