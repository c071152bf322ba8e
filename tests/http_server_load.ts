/**
 * Two and a half minutes of everything at once: two hundred clients, good, slow, broken and
 * abusive, while the files change under the web server and it may open 256 descriptors and no more.
 * At the end no answer was wrong, no connection is left, memory is where it was, and answers that
 * had begun when the signal came ended whole.
 *
 * ```sh
 * deno run -A tests/http_server_load.ts [seconds]
 * ```
 *
 * @module
 */
import { Fields, toByteString, Wire, WireError } from "../protocol.ts";
import { LOCAL, type Running, startProgram } from "./helpers.ts";

const SECONDS = Number(Deno.args[0] ?? 150);
const CLIENTS = 200;
const LARGE = 3_000_000;

// ---- What is served ----------------------------------------------------

const root = Deno.makeTempDirSync({ prefix: "http_server_load_" });

/** Content that can be checked: a letter for its generation, then nothing but this letter. */
function generation(letter: string, size: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(size).fill(letter.charCodeAt(0));
}

/** Puts a new file in the place of an old one, at once or in place. */
function change(name: string, count: number): void {
  const letter = String.fromCharCode(97 + count % 26);
  const size = name === "large.bin" ? LARGE : 1_000 + (count * 7_919) % 200_000;
  if (name === "rewritten.bin") {
    Deno.writeFileSync(`${root}/${name}`, generation(letter, size)); // readers may see half of it
  } else {
    Deno.writeFileSync(`${root}/.next`, generation(letter, size));
    Deno.renameSync(`${root}/.next`, `${root}/${name}`);
  }
}

// ---- The clients -------------------------------------------------------

const counts = new Map<string, number>();
const wrong: string[] = [];
let over = false;

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const count = (what: string): void => void counts.set(what, (counts.get(what) ?? 0) + 1);
const pick = <T>(list: readonly T[]): T => list[Math.floor(Math.random() * list.length)] as T;

interface Answer {
  status: number;
  fields: Fields;
  body: Uint8Array;
}

class WrongError extends Error {}

function check(right: boolean, what: string): void {
  if (!right) throw new WrongError(what);
}

function request(target: string, ...fields: string[]): string {
  return [`GET ${target} HTTP/1.1`, "Host: localhost", ...fields, "\r\n"].join("\r\n");
}

/** Reads one response, at a limited rate (octets a second) if there is one. */
async function readAnswer(wire: Wire, rate = Infinity): Promise<Answer> {
  const line = await wire.readLine(8_192);
  if (line === null) throw new WireError("no answer");
  check(/^HTTP\/1\.1 \d{3} [ -~]+$/.test(line), `status line ${JSON.stringify(line)}`);
  const fields = new Fields();
  for (let field; (field = await wire.readLine(8_192)) !== "";) fields.appendLine(field ?? "");
  const status = Number(line.slice(9, 12));
  const length = Number(fields.get("Content-Length") ?? 0);
  check(Number.isSafeInteger(length), "Content-Length");
  const body = new Uint8Array(status === 304 || status === 204 ? 0 : length);
  for (let at = 0; at < body.length;) {
    const size = await wire.readInto(body.subarray(at, at + 65_536));
    if (size === 0) throw new WireError("cut short");
    at += size;
    if (rate < Infinity) await pause(size / rate * 1_000);
  }
  return { status, fields, body };
}

/** Whether an answer is one of a whole file of one generation, or of a part of it. */
function checkFile({ status, fields, body }: Answer, target: string): void {
  if (status === 503) return count("503"); // out of descriptors
  check(status === 200 || status === 206, `${target}: ${status}`);
  check(fields.get("ETag") !== undefined, `${target}: no ETag`);
  let mixed = false;
  for (let at = 0; at < body.length; at += 499) mixed ||= body[at] !== body[0];
  check(!mixed || target.startsWith("/rewritten"), `${target}: mixed generations`);
}

const TARGETS = ["/small.bin", "/other.bin", "/large.bin", "/rewritten.bin"];

type Client = (wire: Wire, conn: Deno.TcpConn) => Promise<void>;

/** The kinds of clients; each gets a connection, again and again. */
const KINDS: Record<string, Client> = {
  async "good, kept"(wire) {
    for (let round = 0; round < 50 && !over; round++) {
      const target = pick(TARGETS);
      await wire.write(request(target));
      checkFile(await readAnswer(wire), target);
      count("answers");
    }
  },
  async "good, one request"(wire) {
    await wire.write(request("/small.bin", "Connection: close"));
    checkFile(await readAnswer(wire), "/small.bin");
    check(await wire.readLine(99) === null, "octets after the last response");
    count("answers");
  },
  async "pipelining"(wire) {
    const targets = Array.from(
      { length: 20 },
      () => pick(["/small.bin", "/other.bin", "/nothing"]),
    );
    await wire.write(targets.map((target) => request(target)).join(""));
    for (const target of targets) {
      const answer = await readAnswer(wire);
      if (target !== "/nothing") checkFile(answer, target);
      else check(answer.status === 404 || answer.status === 503, `${target}: ${answer.status}`);
      count("answers");
    }
  },
  async "ranges"(wire) {
    for (let round = 0; round < 20 && !over; round++) {
      const first = Math.floor(Math.random() * LARGE);
      await wire.write(request("/large.bin", `Range: bytes=${first}-${first + 9_999}`));
      const answer = await readAnswer(wire);
      checkFile(answer, "/large.bin");
      const size = Math.min(10_000, LARGE - first);
      check(answer.status === 503 || answer.body.length === size, `range of ${answer.body.length}`);
      count("answers");
    }
  },
  async "validators"(wire) {
    await wire.write(request("/large.bin?v"));
    const first = await readAnswer(wire);
    checkFile(first, "/large.bin");
    if (first.status !== 200) return;
    await wire.write(request("/large.bin?w", `If-None-Match: ${first.fields.get("ETag")}`));
    const second = await readAnswer(wire);
    if (second.status === 200) {
      const same = second.fields.get("ETag") === first.fields.get("ETag");
      check(!same, "200 for the tag that it has");
    } else check(second.status === 304 || second.status === 503, `revalidated: ${second.status}`);
    count("answers");
  },
  async "slow reader"(wire) {
    await wire.write(request("/large.bin"));
    checkFile(await readAnswer(wire, 1_000_000), "/large.bin");
    count("answers");
  },
  async "leaves in the middle"(wire) {
    await wire.write(request("/large.bin"));
    await wire.fill();
  },
  async "reads nothing"(wire) {
    await wire.write(request("/large.bin").repeat(5));
    await pause(3_000);
  },
  async "half a header"(wire) {
    await wire.write("GET /small.bin HTTP/1.1\r\nHo");
    await pause(2_000);
  },
  async "drops"(wire) {
    for (const octet of request("/small.bin")) {
      await wire.write(octet);
      await pause(20);
    }
    checkFile(await readAnswer(wire), "/small.bin");
    count("answers");
  },
  async "idle"(wire) {
    await wire.write(request("/small.bin"));
    checkFile(await readAnswer(wire), "/small.bin");
    const begun = Date.now();
    check(await wire.readLine(99) === null, "octets without a request");
    check(Date.now() - begun < 9_000, "idle for longer than 2 s");
    count("idle, hung up on");
  },
  async "rubbish"(wire) {
    const noise = crypto.getRandomValues(new Uint8Array(Math.floor(Math.random() * 3_000)));
    await wire.write(noise);
    await wire.write("\r\n\r\n");
    const { status } = await readAnswer(wire);
    check(status >= 400, `rubbish: ${status}`);
    count("refusals");
  },
  async "endless"(wire) {
    const answer = readAnswer(wire).then(({ status }) => {
      check([400, 414, 431, 501].includes(status), `endless: ${status}`);
      count("refusals");
    });
    answer.catch(() => {});
    const kind = pick(["GET /", "GET / HTTP/1.1\r\nA: ", "GET / HTTP/1.1\r\n"]);
    await wire.write(kind);
    for (let round = 0; round < 100; round++) {
      await wire.write("A: bbbbbbbbbbbbbbbb\r\n".repeat(100)).catch(() => {});
    }
    await answer;
  },
  async "abusive ranges"(wire) {
    await wire.write(request("/large.bin", `Range: bytes=${Array(300).fill("0-").join(",")}`));
    const { status, body } = await readAnswer(wire);
    check(
      status === 503 || (status === 200 && body.length === LARGE),
      `abuse: ${status}, ${body.length}`,
    );
    count("answers");
  },
  async "bodies"(wire) {
    const chunks = `Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n`;
    await wire.write(request("/small.bin").replace("\r\n\r\n", `\r\n${chunks}`).repeat(3));
    for (let round = 0; round < 3; round++) checkFile(await readAnswer(wire), "/small.bin");
    count("answers");
  },
  async "listing"(wire) {
    await wire.write(request("/folder/"));
    const { status, body } = await readAnswer(wire);
    check(status === 503 || toByteString(body).includes("</table>"), `listing: ${status}`);
    count("answers");
  },
};

/** What may happen to a connection while descriptors are scarce. */
function isLost(error: unknown): boolean {
  return error instanceof WireError || error instanceof Deno.errors.ConnectionReset ||
    error instanceof Deno.errors.ConnectionRefused || error instanceof Deno.errors.TimedOut ||
    (error instanceof DOMException && error.name === "TimeoutError");
}

async function client(port: number, kind: string, run: Client): Promise<void> {
  while (!over) {
    try {
      const signal = AbortSignal.timeout(20_000);
      const conn = await Deno.connect({ hostname: LOCAL.hostname, port, signal });
      conn.setNoDelay();
      using wire = new Wire(conn);
      wire.setDeadline(25_000);
      await run(wire, conn);
      count(`  ${kind}`);
    } catch (error) {
      if (error instanceof WrongError) wrong.push(`${kind}: ${error.message}`);
      else if (isLost(error)) {
        count(`  ${kind}, lost (${error instanceof Error ? error.message : ""})`);
      } else wrong.push(`${kind}: ${error}`);
      await pause(50);
    }
  }
}

// ---- The server, seen by the system ------------------------------------

/** Resident memory, in MB. */
function memory({ pid }: Running): number {
  const [, kilobytes] = /VmRSS:\s+(\d+)/.exec(Deno.readTextFileSync(`/proc/${pid}/status`)) ?? [];
  return Math.round(Number(kilobytes) / 1_000);
}

/** Its sockets, and its files in the folder that are open. */
function open({ pid }: Running): { sockets: number; files: number } {
  let [sockets, files] = [0, 0];
  for (const { name } of Deno.readDirSync(`/proc/${pid}/fd`)) {
    try {
      const target = Deno.readLinkSync(`/proc/${pid}/fd/${name}`);
      if (target.startsWith("socket:")) sockets++;
      if (target.startsWith(root)) files++;
    } catch {
      continue; // closed meanwhile
    }
  }
  return { sockets, files };
}

async function main(): Promise<number> {
  for (const name of ["small.bin", "other.bin", "large.bin", "rewritten.bin"]) change(name, 0);
  Deno.mkdirSync(`${root}/folder`);
  for (let at = 0; at < 300; at++) Deno.writeTextFileSync(`${root}/folder/${at}.txt`, "x");
  await using server = await startProgram(
    "http_server.ts",
    ["-p0", "-q", "--idle", "2", root],
    /at http:\/\/\S+:(\d+)\//,
    { by: ["sh", "-c", 'ulimit -n 256; exec "$@"', "sh"] },
  );
  const { port } = server;
  const before = open(server);
  const report = (when: string): number => {
    const { sockets, files } = open(server);
    const megabytes = memory(server);
    console.log(`${when}: ${megabytes} MB, ${sockets} sockets, ${files} files open`);
    return megabytes;
  };
  report("start");

  let changes = 0;
  const changing = (async () => {
    for (; !over; changes++) {
      change(pick(["small.bin", "other.bin", "large.bin", "rewritten.bin"]), changes);
      await pause(20);
    }
  })();
  const kinds = Object.entries(KINDS);
  const clients = Array.from({ length: CLIENTS }, (_, at) => {
    const [kind, run] = kinds[at % kinds.length] ?? ["", () => Promise.resolve()];
    return client(port, kind, run);
  });
  const grown: number[] = [];
  for (const part of [1, 2, 3]) {
    await pause(SECONDS * 1_000 / 3);
    grown.push(report(`after ${Math.round(SECONDS / 3 * part)} s`));
  }
  const [early = 0, , late = 0] = grown;
  if (late > early * 1.5 + 20) wrong.push(`memory grows: ${early} to ${late} MB`);
  over = true;
  await Promise.all([...clients, changing]);

  // All clients have left. The FIN of a client whose connection waited in a full backlog can come
  // seconds late; after the time limit of a request (10 s) what the server still holds is a leak.
  const left = performance.now();
  let after = open(server);
  while (after.sockets > before.sockets && performance.now() - left < 20_000) {
    await pause(500);
    after = open(server);
  }
  report(`alone for ${Math.round((performance.now() - left) / 1_000)} s`);
  if (after.sockets > before.sockets) wrong.push(`${after.sockets - before.sockets} sockets left`);
  if (after.files > 0) wrong.push(`${after.files} files left open`);

  // the end under load: what has begun ends whole
  const ends = Array.from({ length: 40 }, async () => {
    const conn = await Deno.connect({ hostname: LOCAL.hostname, port });
    using wire = new Wire(conn);
    wire.setDeadline(20_000);
    await wire.write(request("/large.bin"));
    await wire.fill(); // the answer has begun
    begun();
    checkFile(await readAnswer(wire, 3_000_000), "/large.bin");
  });
  let began = 0;
  const all = Promise.withResolvers<void>();
  function begun(): void {
    if (++began === ends.length) all.resolve();
  }
  await Promise.race([all.promise, pause(10_000)]);
  const asked = performance.now();
  const ended = server.stop("SIGTERM");
  for (const end of await Promise.allSettled(ends)) {
    if (end.status === "rejected") wrong.push(`at the end: ${end.reason}`);
  }
  const { code, stderr } = await ended;
  console.log(
    `SIGTERM: ${began} answers had begun, over after ${Math.round(performance.now() - asked)} ms`,
  );
  if (code !== 0) wrong.push(`exit status ${code}`);
  console.log(stderr.trim().split("\n").slice(0, 20).join("\n"));
  console.log(`${changes} changes of files`);
  for (const [what, times] of [...counts].sort()) console.log(`${`${times}`.padStart(8)} ${what}`);
  const kindsOfWrong = Object.entries(Object.groupBy(wrong, (what) => what));
  for (const [what, all] of kindsOfWrong.slice(0, 30)) {
    console.log(`WRONG: ${what} (${all?.length})`);
  }
  console.log(wrong.length === 0 ? "nothing wrong" : `${wrong.length} wrong`);
  return wrong.length === 0 ? 0 : 1;
}

const status = await main();
Deno.removeSync(root, { recursive: true });
Deno.exit(status);
