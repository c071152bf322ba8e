/**
 * The web server with more busy connections than a turn of Deno's event loop serves: each gets its
 * share. The tests count responses; they measure no time.
 *
 * @module
 */
import { assert } from "jsr:@std/assert@^1.0.19";
import type { BusyJob } from "./busy_client.ts";
import { request, start, startServer, talk, WWW } from "./http_server_helpers.ts";

/** Clients' Workers, and the connections of each: fewer than a turn of an event loop serves. */
const WORKERS = 6;
const EACH = 100;
const CONNECTIONS = WORKERS * EACH;
/** Mean number of responses of a connection, after which the shares are compared. */
const MEAN = 15;

/** Keeps all connections busy, and returns their numbers of responses. */
async function shares(port: number): Promise<Int32Array> {
  const length = (await talk(port, [request("/end.txt", ["Connection: close"])])).length -
    "Connection: close\r\n".length;
  const responses = new Int32Array(new SharedArrayBuffer(4 * (CONNECTIONS + 1)));
  const open = () => responses[CONNECTIONS] ?? 0;
  const total = () => responses.reduce((sum, each) => sum + each) - open();
  const until = async (condition: () => boolean) => {
    while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  const workers: Worker[] = [];
  try {
    for (let first = 0; first < CONNECTIONS; first += EACH) {
      const worker = new Worker(new URL("busy_client.ts", import.meta.url), { type: "module" });
      workers.push(worker);
      const job: BusyJob = { port, target: "/end.txt", responses, first, count: EACH, length };
      worker.postMessage(job);
    }
    await until(() => open() === CONNECTIONS);
    for (const worker of workers) worker.postMessage("go");
    await until(() => total() >= MEAN * CONNECTIONS);
    return responses.slice(0, CONNECTIONS);
  } finally {
    for (const worker of workers) worker.terminate();
  }
}

/** Fails unless each connection got at least a third and at most three times the mean. */
function assertFair(responses: Int32Array): void {
  const sorted = responses.toSorted();
  const mean = sorted.reduce((sum, each) => sum + each) / sorted.length;
  const [least = 0, most = Infinity] = [sorted[0], sorted.at(-1)];
  assert(least >= mean / 3 && most <= mean * 3, `least ${least}, mean ${mean}, most ${most}`);
}

Deno.test("600 busy connections: each gets its share of responses", async () => {
  await using service = start({ log: undefined });
  assertFair(await shares(service.port));
});

Deno.test("600 busy connections with --threads 2: each gets its share of responses", async () => {
  await using server = await startServer(["-q", "-p0", "-t", "2", WWW]);
  assertFair(await shares(server.port));
});
