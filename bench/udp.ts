/**
 * Measures the UDP programs against other tools, on loopback, in about two minutes:
 *
 * ```sh
 * deno run --allow-all --unstable-net bench/udp.ts
 * ```
 *
 * - Echo server: echoes a second with 64 requests in flight, and the round-trip time with one. The
 *   limits are a bare loop in Deno (what its sockets allow) and a loop in C.
 * - Pinger: the round-trip time that it measures at an echo in C, where a pinger in C is the limit;
 *   how far its schedule drifts, and how fast its flood is.
 *
 * Rounds are interleaved. With `taskset`, servers and load have a core each. The numbers are medians
 * over the rounds, with the least and the most. A missing peer is skipped; without a C compiler,
 * which the load needs, everything is.
 *
 * @module
 */

const ROUNDS = 5;
const SECONDS = 1;
const IN_FLIGHT = 64;
const PINGS = 5000;
const ROOT = new URL("..", import.meta.url).pathname;
const DENO = [Deno.execPath(), "run", "--quiet", "--allow-net", "--unstable-net"];

// ---- Peers ---------------------------------------------------------------

const ECHO_C = `
#include <stdlib.h>
#include <netinet/in.h>
#include <sys/socket.h>
int main(int count, char **words) {
  static char octets[65536];
  struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(atoi(words[1]))};
  peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int socket_ = socket(AF_INET, SOCK_DGRAM, 0);
  if (bind(socket_, (void *)&peer, sizeof peer)) return 1;
  for (;;) {
    socklen_t length = sizeof peer;
    ssize_t size = recvfrom(socket_, octets, sizeof octets, 0, (void *)&peer, &length);
    if (size >= 0) sendto(socket_, octets, size, 0, (void *)&peer, length);
  }
}`;

/** Prints median and 99th percentile of round trips one at a time (us), then echoes a second. */
const LOAD_C = `
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}
static int order(const void *a, const void *b) {
  double x = *(double *)a, y = *(double *)b;
  return x < y ? -1 : x > y;
}
int main(int count, char **words) {
  int pings = atoi(words[2]), window = atoi(words[3]);
  double seconds = atof(words[4]), *times = malloc(sizeof(double) * (pings + 1));
  char probe[45], reply[2048];
  struct timeval patience = {.tv_usec = 200000};
  struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(atoi(words[1]))};
  server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  memset(probe, 'x', sizeof probe);
  int socket_ = socket(AF_INET, SOCK_DGRAM, 0);
  setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  connect(socket_, (void *)&server, sizeof server);
  int got = 0;
  for (int ping = 0; ping < pings; ping++) {
    double sent = now();
    send(socket_, probe, sizeof probe, 0);
    if (recv(socket_, reply, sizeof reply, 0) > 0) times[got++] = (now() - sent) * 1e6;
  }
  qsort(times, got, sizeof(double), order);
  long echoes = 0;
  double begin = now();
  while (seconds > 0 && now() < begin + seconds) {
    if (echoes && recv(socket_, reply, sizeof reply, 0) > 0) {
      echoes++;
      send(socket_, probe, sizeof probe, 0);
    } else {
      for (int burst = 0; burst < window; burst++) send(socket_, probe, sizeof probe, 0);
      echoes += !echoes;
    }
  }
  printf("%f %f %f\\n", got ? times[got / 2] : 0, got ? times[got * 99 / 100] : 0,
    seconds > 0 ? echoes / (now() - begin) : 0);
}`;

const ECHO_PYTHON = `
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", int(sys.argv[1])))
while True:
    message, address = s.recvfrom(65536)
    s.sendto(message, address)
`;
const ECHO_NODE = `
const socket = require("dgram").createSocket("udp4");
socket.on("message", (octets, peer) => socket.send(octets, peer.port, peer.address));
socket.bind(Number(process.argv[1]), "127.0.0.1");
`;
const ECHO_DENO = `
const hostname = "127.0.0.1", port = Number(Deno.args[0]);
const socket = Deno.listenDatagram({ transport: "udp", hostname, port });
const buffer = new Uint8Array(65536);
for (;;) {
  const [octets, from] = await socket.receive(buffer);
  socket.send(octets.slice(), from);
}
`;

interface Peer {
  name: string;
  /** The command, up to the port. */
  command: string[];
  /** What to install where it is missing. */
  needs?: string;
}

// ---- Running -------------------------------------------------------------

const folder = await Deno.makeTempDir();

async function run(command: string[]): Promise<string> {
  const [program = "", ...args] = command;
  const { stdout } = await new Deno.Command(program, { args, stderr: "null" }).output();
  return new TextDecoder().decode(stdout);
}

function has(...command: string[]): Promise<boolean> {
  return run(command).then(() => true, () => false);
}

async function compile(name: string, source: string): Promise<string> {
  await Deno.writeTextFile(`${folder}/${name}.c`, source);
  await run(["cc", "-O2", "-o", `${folder}/${name}`, `${folder}/${name}.c`]);
  return `${folder}/${name}`;
}

const [cc, python, node, taskset] = await Promise.all([
  has("cc", "--version"),
  has("python3", "--version"),
  has("node", "--version"),
  has("taskset", "--version"),
]);
const pinned = taskset && navigator.hardwareConcurrency > 1;
const on = (core: number, command: string[]) =>
  pinned ? ["taskset", "-c", String(core), ...command] : command;

/** A port that is free just now. */
function freePort(): number {
  const socket = Deno.listenDatagram({ transport: "udp", hostname: "127.0.0.1", port: 0 });
  const { port } = socket.addr as Deno.NetAddr;
  socket.close();
  return port;
}

/** Starts an echo, waits until it answers, uses it, ends it. */
async function using<T>(peer: Peer, use: (port: number) => Promise<T>): Promise<T> {
  const port = freePort();
  const [program = "", ...args] = on(0, [...peer.command, String(port)]);
  const child = new Deno.Command(program, { args, stdout: "null", stderr: "null" }).spawn();
  try {
    const probe = Deno.listenDatagram({ transport: "udp", hostname: "127.0.0.1", port: 0 });
    const answered = probe.receive();
    const knock = () =>
      probe.send(new Uint8Array(1), { transport: "udp", hostname: "127.0.0.1", port });
    const knocking = setInterval(knock, 20);
    await answered.finally(() => clearInterval(knocking));
    probe.close();
    return await use(port);
  } finally {
    child.kill("SIGKILL");
    await child.status;
  }
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;
}

function spread(values: number[], digits = 0): string {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return `${median(values).toFixed(digits)} (${least.toFixed(digits)} to ${most.toFixed(digits)})`;
}

function table(rows: string[][]): void {
  const widths = rows[0]?.map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0))) ??
    [];
  for (const row of rows) {
    console.log(row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join("  ").trimEnd());
  }
}

// ---- The server ----------------------------------------------------------

const OURS = "udp_ping_server.ts";
const BARE = "bare loop in Deno (limit)";
const C = "loop in C (limit)";

async function benchServers(load: string, echo: string): Promise<void> {
  await Deno.writeTextFile(`${folder}/echo.ts`, ECHO_DENO);
  const ours = [...DENO, `${ROOT}udp_ping_server.ts`, "--loss=0", "--rate=0", "--port"];
  const peers: Peer[] = [
    { name: OURS, command: ours },
    { name: BARE, command: [...DENO, `${folder}/echo.ts`] },
    { name: C, command: [echo] },
    { name: "Node dgram", command: ["node", "-e", ECHO_NODE], ...(!node && { needs: "nodejs" }) },
    {
      name: "Python",
      command: ["python3", "-c", ECHO_PYTHON],
      ...(!python && { needs: "python3" }),
    },
  ];
  for (const { name, needs } of peers) {
    if (needs) console.log(`skipped: ${name} (apt-get install ${needs})`);
  }
  const present = peers.filter(({ needs }) => !needs);
  const results = new Map(
    present.map((
      { name },
    ) => [name, { rtts: [] as number[], p99s: [] as number[], rates: [] as number[] }]),
  );
  for (let round = 0; round < ROUNDS; round++) {
    for (const peer of present) {
      const counts = [String(PINGS), String(IN_FLIGHT), String(SECONDS)];
      const output = await using(peer, async (port) => {
        await run(on(1, [load, String(port), "2000", String(IN_FLIGHT), "0.3"])); // warm
        return await run(on(1, [load, String(port), ...counts]));
      });
      const [rtt = NaN, p99 = NaN, rate = NaN] = output.split(" ").map(Number);
      results.get(peer.name)?.rtts.push(rtt);
      results.get(peer.name)?.p99s.push(p99);
      results.get(peer.name)?.rates.push(rate);
    }
  }
  const limit = {
    rate: median(results.get(BARE)?.rates ?? []),
    rtt: median(results.get(C)?.rtts ?? []),
  };
  console.log(`\nUDP echo: ${ROUNDS} rounds, median (least to most)`);
  table([
    [
      "server",
      `echoes/s, ${IN_FLIGHT} in flight`,
      "by bare",
      "RTT in us, 1 in flight",
      "by C",
      "p99",
    ],
    ...[...results].map(([name, { rtts, p99s, rates }]) => [
      name,
      spread(rates),
      (median(rates) / limit.rate).toFixed(2),
      spread(rtts, 1),
      (median(rtts) / limit.rtt).toFixed(2),
      median(p99s).toFixed(1),
    ]),
  ]);
}

// ---- The pinger ----------------------------------------------------------

async function benchPinger(load: string, echo: string): Promise<void> {
  const program = on(1, [...DENO, `${ROOT}udp_pinger.ts`, "-q", "--json"]);
  const ping = async (port: number, ...args: string[]) =>
    JSON.parse(await run([...program, ...args, "127.0.0.1", String(port)]));
  const found: Record<"c" | "ours" | "drift" | "flood", number[]> = {
    ...{ c: [], ours: [], drift: [], flood: [] },
  };
  await using({ name: "C", command: [echo] }, async (port) => {
    for (let round = 0; round < ROUNDS; round++) {
      const output = await run(on(1, [load, String(port), String(PINGS), "1", "0"]));
      found.c.push(Number(output.split(" ")[0]));
      found.ours.push(1000 * (await ping(port, `-c${PINGS}`)).p50);
      const { transmitted, time } = await ping(port, "-f", "-c200000");
      found.flood.push(1000 * transmitted / time);
      if (round < 3) found.drift.push((await ping(port, "-i0.01", "-c1000")).time - 9990);
    }
  });
  const biases = found.ours.map((rtt, round) => rtt - (found.c[round] ?? 0));
  console.log(`\nUDP pinger, at the echo in C: median (least to most)`);
  table([
    ["", "found", "limit"],
    [
      "RTT in us, udp_pinger.ts",
      spread(found.ours, 1),
      `${median(found.c).toFixed(1)} (a pinger in C)`,
    ],
    ["difference in us, round by round", spread(biases, 1), "0"],
    ["drift in ms after -i 0.01 -c 1000", spread(found.drift), "0"],
    [
      "probes a second with -f",
      spread(found.flood),
      `${(1e6 / median(found.c)).toFixed(0)} one by one in C`,
    ],
  ]);
}

if (!cc) {
  console.log("skipped: everything, because the load needs a C compiler (apt-get install gcc)");
} else {
  if (!pinned) console.log("not pinned to cores: taskset is missing (apt-get install util-linux)");
  const [load, echo] = [await compile("load", LOAD_C), await compile("echo", ECHO_C)];
  await benchServers(load, echo);
  await benchPinger(load, echo);
}
await Deno.remove(folder, { recursive: true });
