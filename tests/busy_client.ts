/**
 * A Worker with many busy connections: each sends a request as soon as it has the whole response.
 * Several Workers, because one event loop would itself serve its connections unequally.
 *
 * @module
 */

/** What a Worker does. */
export interface BusyJob {
  /** Where the server listens on 127.0.0.1. */
  port: number;
  /** What they ask for. */
  target: string;
  /** Number of responses of each connection, then the number of open connections; shared. */
  responses: Int32Array;
  /** Connections of this Worker: the indices from `first`, `count` of them. */
  first: number;
  count: number;
  /** Length of a response (octets). */
  length: number;
}

/** Opens the connections, with a response for each; begins at a message; ends when terminated. */
async function work(job: BusyJob): Promise<void> {
  const { port, target, responses, first, count, length } = job;
  const request = new TextEncoder().encode(`GET ${target} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  const buffer = new Uint8Array(4_096);
  const exchange = async (conn: Deno.Conn) => {
    await conn.write(request);
    for (let got = 0; got < length;) got += await conn.read(buffer) ?? Infinity;
  };
  const conns: Deno.Conn[] = [];
  for (let each = 0; each < count; each++) {
    const conn = await Deno.connect({ hostname: "127.0.0.1", port });
    conns.push(conn);
    await exchange(conn);
    Atomics.add(responses, responses.length - 1, 1);
  }
  await new Promise((resolve) => addEventListener("message", resolve, { once: true }));
  await Promise.all(conns.map(async (conn, at) => {
    for (;;) {
      await exchange(conn);
      Atomics.add(responses, first + at, 1);
    }
  }));
}

if ("WorkerGlobalScope" in globalThis) {
  addEventListener("message", (event) => {
    if (event instanceof MessageEvent && typeof event.data === "object") work(event.data);
  }, { once: true });
}
