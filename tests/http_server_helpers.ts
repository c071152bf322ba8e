/**
 * What the tests of the web server share: a service, a client, a judge of responses, folders, and tables
 * of requests.
 *
 * @module
 */
import { assert, assertEquals, assertMatch } from "jsr:@std/assert@^1.0.19";
import {
  type Exchange,
  type Listener,
  serve,
  type ServeOptions,
  type Summary,
} from "../http_server.ts";
import { Fields, toByteString } from "../protocol.ts";
import {
  CUTS,
  LOCAL,
  octetsOf,
  ROOT,
  type Running,
  send,
  type StartOptions,
  startProgram,
} from "./helpers.ts";

// ---- The service under test --------------------------------------------

export const WWW = `${ROOT}tests/testdata/www`;

/** A service in this process, on a port of its own. */
export interface Service extends AsyncDisposable {
  port: number;
  exchanges: Exchange[];
  /** What it found wrong on its own side: nothing, or the test fails at its end. */
  complaints: unknown[];
  stop(): Promise<Summary>;
}

export function start(
  settings: Partial<ServeOptions> = {},
  listener: Listener = Deno.listen(LOCAL),
): Service {
  const ending = new AbortController();
  const exchanges: Exchange[] = [];
  const complaints: unknown[] = [];
  const done = serve([listener], {
    root: WWW,
    signal: ending.signal,
    log: (exchange) => exchanges.push(exchange),
    onError: (error) => complaints.push(error),
    ...settings,
  });
  const stop = () => {
    ending.abort();
    return done;
  };
  return {
    port: listener.addr.port,
    exchanges,
    complaints,
    stop,
    async [Symbol.asyncDispose]() {
      await stop();
      assertEquals(complaints, []);
    },
  };
}

// ---- A client that sends what it likes ---------------------------------

/** How long an answer may take before a test gives up, in milliseconds. */
export const PATIENCE = 8_000;

/** One connection, and all that came over it, one char an octet. */
export class Client implements Disposable {
  text = "";
  #ended = false;
  readonly #octets = new Uint8Array(65_536);

  constructor(readonly conn: Deno.Conn) {}

  static async open(port: number, hostname = "127.0.0.1"): Promise<Client> {
    const conn = await Deno.connect({ hostname, port });
    conn.setNoDelay();
    return new Client(conn);
  }

  /** Sends pieces, each in a write of its own; the server may have hung up before the last. */
  async send(...pieces: string[]): Promise<void> {
    await send(this.conn, pieces).catch(() => {});
  }

  /** Reads once; false at the end, which a reset is as well. */
  async read(): Promise<boolean> {
    try {
      const count = await this.conn.read(this.#octets);
      if (count === null) this.#ended = true;
      else this.text += toByteString(this.#octets.subarray(0, count));
    } catch (error) {
      if (error instanceof Deno.errors.Interrupted) {
        throw new Error(`The server is silent after ${JSON.stringify(this.text.slice(-300))}`);
      }
      this.#ended = true;
    }
    return !this.#ended;
  }

  /** Reads until a pattern has come, or else to the end; returns all that came. */
  async until(pattern?: RegExp, patience = PATIENCE): Promise<string> {
    const guard = setTimeout(() => this.conn.close(), patience);
    try {
      while (!pattern?.test(this.text) && !this.#ended) await this.read();
      return this.text;
    } finally {
      clearTimeout(guard);
    }
  }

  [Symbol.dispose](): void {
    this.conn[Symbol.dispose]();
  }
}

/** Sends pieces of text over a new connection and returns what came until the server hung up. */
export async function talk(port: number, pieces: string[], halfClose = false): Promise<string> {
  using client = await Client.open(port);
  const sending = client.send(...pieces)
    .then(() => halfClose ? client.conn.closeWrite() : undefined).catch(() => {});
  const text = await client.until();
  client[Symbol.dispose]();
  await sending;
  return text;
}

// ---- A judge of answers ------------------------------------------------

/** An answer, read by the book. */
export interface Answer {
  status: number;
  fields: Fields;
  body: string;
}

/** The parser that half the world uses, as a second opinion (undocumented, but in every Deno). */
const { HTTPParser }: {
  HTTPParser: {
    new (): {
      initialize(type: number, resource: object): void;
      execute(octets: Uint8Array): number | Error;
    };
    RESPONSE: number;
  };
} = await import(["node", "_http_common"].join(":"));

export const IMF_FIXDATE =
  /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d\d:\d\d:\d\d GMT$/;

/** Fields that may come once at most. */
export const ONCE = [
  "Date",
  "Content-Length",
  "Content-Type",
  "ETag",
  "Last-Modified",
  "Location",
  "Content-Range",
  "Server",
];

/** Splits all that a server said into answers; whatever the RFCs forbid any answer is a failure. */
export function readAnswers(text: string, methods: readonly string[] = []): Answer[] {
  const answers: Answer[] = [];
  for (let rest = text, index = 0; rest !== "";) {
    const end = rest.indexOf("\r\n\r\n") + 4;
    assert(end > 3, `no end of a header section in ${JSON.stringify(rest.slice(0, 300))}`);
    const answer = readHead(rest.slice(0, end));
    const { status, fields } = answer;
    const length = status < 200 || status === 204 || status === 304 || methods[index] === "HEAD"
      ? 0
      : Number(fields.get("Content-Length"));
    answer.body = rest.slice(end, end + length);
    assertEquals(answer.body.length, length, "the whole of the promised content comes");
    answers.push(answer);
    rest = rest.slice(end + length);
    if (status >= 200) index++;
  }
  return answers;
}

export function readHead(head: string): Answer {
  const judge = new HTTPParser();
  judge.initialize(HTTPParser.RESPONSE, {});
  assertEquals(judge.execute(octetsOf(head)), head.length, `llhttp refuses ${head}`);

  const [statusLine = "", ...lines] = head.slice(0, -4).split("\r\n");
  assertMatch(statusLine, /^HTTP\/1\.1 [1-5]\d\d [ -~]+$/);
  const status = Number(statusLine.slice(9, 12));
  const fields = new Fields();
  for (const line of lines) fields.appendLine(line);
  if (status < 200) return { status, fields, body: "" };

  for (const name of ONCE) assert(fields.all(name).length <= 1, `one ${name}: ${head}`);
  assert(!fields.get("Transfer-Encoding"), head);
  const date = fields.get("Date") ?? "";
  assertMatch(date, IMF_FIXDATE, "RFC 9110 §6.6.1: every answer has a Date");
  const age = Date.now() - Date.parse(date);
  assert(age > -1_000 && age < 10_000, `the Date is that of now: ${date}`);
  const modified = fields.get("Last-Modified");
  if (modified) assertMatch(modified, IMF_FIXDATE);
  assert(Date.parse(modified ?? date) <= Date.parse(date), "§8.8.2.1: not modified after Date");
  if (status === 204) assertEquals(fields.get("Content-Length"), undefined, "§8.6");
  else if (status !== 304) assertMatch(fields.get("Content-Length") ?? "", /^\d+$/, head);
  if (status === 405) assertEquals(fields.get("Allow"), "GET, HEAD, OPTIONS");
  if (status === 416) assertMatch(fields.get("Content-Range") ?? "", /^bytes \*\/\d+$/);
  if (status === 206 && !/^multipart/.test(fields.get("Content-Type") ?? "")) {
    assertMatch(fields.get("Content-Range") ?? "", /^bytes \d+-\d+\/\d+$/);
  }
  return { status, fields, body: "" };
}

/** A request of HTTP/1.1 without a body. */
export function request(target: string, fields: readonly string[] = [], method = "GET"): string {
  return [`${method} ${target} HTTP/1.1`, "Host: localhost", ...fields, "\r\n"].join("\r\n");
}

/** Asks for one thing over a connection of its own. */
export async function ask(
  port: number,
  target: string,
  fields: readonly string[] = [],
  method = "GET",
): Promise<Answer> {
  const text = request(target, [...fields, "Connection: close"], method);
  const answers = readAnswers(await talk(port, [text]), [method]);
  assertEquals(answers.length, 1);
  return answers[0] ?? { status: 0, fields: new Fields(), body: "" };
}

/** Sends one request over a kept connection; returns the status and the body. */
export async function getKept(
  client: Client,
  target: string,
  fields: string[] = [],
): Promise<string> {
  client.text = "";
  await client.send(request(target, fields));
  await client.until(/\r\n\r\n/);
  const [, length = "0"] = /Content-Length: (\d+)/.exec(client.text) ?? [];
  const end = client.text.indexOf("\r\n\r\n") + 4;
  while (client.text.length < end + Number(length)) await client.read();
  const [answer] = readAnswers(client.text);
  return `${answer?.status} ${answer?.body}`;
}

// ---- Folders made for one test -----------------------------------------

/** When the files of a test folder were written, unless it says otherwise. */
export const WRITTEN = new Date("2020-01-01T00:00:00Z");

/** A folder inside a temporary one, so that there is a place outside of it too. */
export class Folder implements Disposable {
  readonly #around = Deno.realPathSync(Deno.makeTempDirSync({ prefix: "http_server_test_" }));
  readonly root = `${this.#around}/root`;

  constructor(files: Record<string, string | Uint8Array> = {}) {
    Deno.mkdirSync(this.root);
    for (const [name, content] of Object.entries(files)) this.write(name, content);
  }

  path(name: string): string {
    return `${this.root}/${name}`;
  }

  /** Writes a file, and the folders on the way; a name with a slash at its end is a folder. */
  write(name: string, content: string | Uint8Array = "", modified = WRITTEN): void {
    const path = this.path(name);
    Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    if (name.endsWith("/")) return;
    Deno.writeFileSync(path, typeof content === "string" ? octetsOf(content) : content);
    Deno.utimeSync(path, modified, modified);
  }

  link(target: string, name: string): void {
    Deno.symlinkSync(target, this.path(name));
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.#around, { recursive: true });
  }
}

/** Makes a text of `count` octets in which no two pieces are alike. */
export function octets(count: number): string {
  let text = "";
  for (let at = 0; text.length < count; at++) text += `${at.toString(36)},`;
  return text.slice(0, count);
}

/** More than the server keeps in memory. */
export const LARGE = octets(300_000);

// ---- Messages: what a client may send, RFC 9112 ------------------------

/**
 * A row: the rule, the octets, and what becomes of them as a pattern: the statuses in their order,
 * then "kept" if the connection answers one more request, or "close".
 */
export type Row = readonly [rule: string, sent: string, want: string];

/** Follows every row: it is answered only if the connection was kept. */
export const SENTINEL = "GET /end.txt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/** Returns the outcome of some octets, and of the request that follows them. */
export async function outcome(
  port: number,
  sent: string,
  cut: (text: string) => string[],
): Promise<{ outcome: string; answers: Answer[] }> {
  // a large piece is cut as large pieces are
  const pieces = sent.length > 3_000 ? [sent.slice(0, 1_500), sent.slice(1_500)] : [sent];
  const cuts = pieces.flatMap((piece) => piece.length < 1_501 ? cut(piece) : [piece]);
  const text = await talk(port, [...cuts, SENTINEL]);
  const methods = [...sent.matchAll(/^([!-~]+) [^\r\n]* HTTP\/1\.\d\r$/gm)].map(([, name]) =>
    `${name}`
  );
  const answers = readAnswers(text, [...methods, "GET"]);
  const kept = answers.at(-1)?.body === "the end\n";
  const last = answers.at(kept ? -2 : -1);
  if (last && last.status >= 200 && !kept) {
    assertMatch(last.fields.get("Connection") ?? "", /\bclose\b/, "RFC 9112 §9.6: close is told");
  }
  const statuses = (kept ? answers.slice(0, -1) : answers).map(({ status }) => status);
  return { outcome: [...statuses, kept ? "kept" : "close"].join(" "), answers };
}

/**
 * Registers a test for each row and for each way to cut its octets.
 *
 * @param section The RFC and section that a name begins with; a rule such as "§2.2: …" has its own.
 */
export function testRows(
  section: string,
  rows: readonly Row[],
  settings: Partial<ServeOptions> = {},
): void {
  for (const [how, cut] of Object.entries(CUTS)) {
    for (const [rule, sent, want] of rows) {
      Deno.test(`${nameOf(section, rule)} (${how})`, async () => {
        await using service = start(settings);
        const { outcome: came } = await outcome(service.port, sent, cut);
        assertMatch(came, new RegExp(`^(?:${want})$`), JSON.stringify(sent.slice(0, 400)));
      });
    }
  }
}

/** The name of a test: RFC, section and rule. */
export function nameOf(section: string, rule: string): string {
  return rule.startsWith("§") ? `${section.replace(/ §.*/, "")} ${rule}` : `${section}: ${rule}`;
}

/** The Host line of most requests. */
export const H = "Host: localhost\r\n";

/** A request with a body of chunks, and what stands before them. */
export function chunked(chunks: string, fields = ""): string {
  return `GET /hello.txt HTTP/1.1\r\n${H}${fields}Transfer-Encoding: chunked\r\n\r\n${chunks}`;
}

/** A request with these framing fields, and a body of five octets. */
export function framed(...fields: string[]): string {
  return `GET /hello.txt HTTP/1.1\r\n${H}${fields.join("\r\n")}\r\n\r\nhello`;
}

/** What a browser accepts when it navigates. */
export const HTML = "Accept: text/html,application/xhtml+xml,*/*;q=0.8";

/** The Authorization line of Basic credentials (RFC 7617). */
export function basic(credentials: string): string {
  return `Authorization: Basic ${new TextEncoder().encode(credentials).toBase64()}`;
}

/** Waits (ms). */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** An error of the system with this name. */
export function systemError(code: string): Error {
  return Object.assign(new Error(code), { code });
}

/** Replaces a function of Deno until it is disposed. */
export function replaced<Name extends keyof typeof Deno>(
  name: Name,
  make: (real: typeof Deno[Name]) => typeof Deno[Name],
): Disposable {
  const real = Deno[name];
  Reflect.set(Deno, name, make(real));
  return { [Symbol.dispose]: () => void Reflect.set(Deno, name, real) };
}

/** Calls a function before each hash is computed, until it is disposed. */
export function beforeDigest(call: () => Promise<void>): Disposable {
  const { subtle } = crypto;
  const { digest } = subtle;
  subtle.digest = async (...args) => {
    await call();
    return await digest.apply(subtle, args);
  };
  return { [Symbol.dispose]: () => void (subtle.digest = digest) };
}

/** The clock of this process (`Date.now`), which stands still at a time until it is disposed. */
export class Clock implements Disposable {
  readonly #real = Date.now;

  constructor(public now = Date.now()) {
    Date.now = () => this.now;
  }

  [Symbol.dispose](): void {
    Date.now = this.#real;
  }
}

/** Asks on a kept connection, and reads the answer. */
export async function askKept(client: Client, target = "/hello.txt"): Promise<string> {
  client.text = "";
  await client.send(request(target));
  return await client.until(/\r\n\r\n[^]*\n$/);
}

/** What no socket buffers take in one go. */
export const HUGE = 24_000_000;

/** Reads all that comes, with a rest between two reads. */
export async function readSlowly(client: Client): Promise<string> {
  while (await client.read()) await pause(2);
  return client.text;
}

/** Waits for the server to end a connection, and tells after how many seconds. */
export async function endOf(client: Client): Promise<number> {
  const begun = performance.now();
  await client.until(undefined, 40_000);
  return (performance.now() - begun) / 1_000;
}

/** Whether this system has links, fifos and modes. */
export const UNIX = Deno.build.os !== "windows";

/** Starts the program as its user does; port 0 means that it has ended without one. */
export function startServer(args: string[], options: StartOptions = {}): Promise<Running> {
  return startProgram("http_server.ts", args, /at https?:\/\/\S+:(\d+)\//, options);
}

/** Runs a script in a folder, in a process of its own, until it is stopped. */
export async function runMeanwhile(script: string, cwd: string) {
  const ready = 'console.log("ready");';
  const args = ["eval", ready + script];
  const child = new Deno.Command(Deno.execPath(), { args, cwd, stdout: "piped" }).spawn();
  const reader = child.stdout.getReader();
  await reader.read();
  return {
    async stop(): Promise<void> {
      child.kill("SIGKILL");
      await reader.cancel();
      await child.status;
    },
  };
}
