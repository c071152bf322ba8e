/**
 * The web server, seen from outside: what is put on the wire, and what comes back. Most tables
 * hold the text of requests and, in one word each, what becomes of them.
 *
 * @module
 */
import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import {
  type Exchange,
  formatExchange,
  type Listener,
  parseDate,
  serve,
  type ServeOptions,
  type Summary,
} from "../http_server.ts";
import { Fields, toByteString } from "../protocol.ts";
import {
  certificate,
  CUTS,
  LOCAL,
  octetsOf,
  ROOT,
  type Running,
  send,
  type StartOptions,
  startProgram,
  TLS,
} from "./helpers.ts";

// ---- The service under test --------------------------------------------

const WWW = `${ROOT}tests/testdata/www`;

/** A service in this process, on a port of its own. */
interface Service extends AsyncDisposable {
  port: number;
  exchanges: Exchange[];
  /** What it found wrong on its own side: nothing, or the test fails at its end. */
  complaints: unknown[];
  stop(): Promise<Summary>;
}

function start(
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
    complain: (error) => complaints.push(error),
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
const PATIENCE = 8_000;

/** One connection, and all that came over it, one char an octet. */
class Client implements Disposable {
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
async function talk(port: number, pieces: string[], halfClose = false): Promise<string> {
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
interface Answer {
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

const IMF_FIXDATE =
  /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d\d:\d\d:\d\d GMT$/;

/** Fields that may come once at most. */
const ONCE = [
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
function readAnswers(text: string, methods: readonly string[] = []): Answer[] {
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

function readHead(head: string): Answer {
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
function request(target: string, fields: readonly string[] = [], method = "GET"): string {
  return [`${method} ${target} HTTP/1.1`, "Host: localhost", ...fields, "\r\n"].join("\r\n");
}

/** Asks for one thing over a connection of its own. */
async function ask(
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

// ---- Folders made for one test -----------------------------------------

/** When the files of a test folder were written, unless it says otherwise. */
const WRITTEN = new Date("2020-01-01T00:00:00Z");

/** A folder inside a temporary one, so that there is a place outside of it too. */
class Folder implements Disposable {
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

/** So many octets, no two stretches of them alike. */
function octets(count: number): string {
  let text = "";
  for (let at = 0; text.length < count; at++) text += `${at.toString(36)},`;
  return text.slice(0, count);
}

/** More than the server keeps in memory. */
const LARGE = octets(300_000);

// ---- Tests that wait ---------------------------------------------------

/** They run at once, so that all of them take as long as the longest; see the end of the file. */
const SLOW = new Map<string, () => Promise<void>>();

function testSlowly(name: string, test: () => Promise<void>, ignore = false): void {
  if (!ignore) SLOW.set(name, test);
}

// ---- Messages: what a client may send, RFC 9112 ------------------------

/**
 * A row: the rule, the octets, and what becomes of them as a pattern: the statuses in their order,
 * then "kept" if the connection answers one more request, or "close".
 */
type Row = readonly [rule: string, sent: string, want: string];

/** Comes behind every row: it is answered only if the connection was kept. */
const SENTINEL = "GET /end.txt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/** What becomes of some octets, and of the request behind them. */
async function outcome(
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

function testRows(title: string, rows: readonly Row[], settings: Partial<ServeOptions> = {}): void {
  for (const [how, cut] of Object.entries(CUTS)) {
    for (const [rule, sent, want] of rows) {
      Deno.test(`${title}, ${how}: ${rule}`, async () => {
        await using service = start(settings);
        const { outcome: came } = await outcome(service.port, sent, cut);
        assertMatch(came, new RegExp(`^(?:${want})$`), JSON.stringify(sent.slice(0, 400)));
      });
    }
  }
}

const H = "Host: localhost\r\n";

testRows("request line", [
  ["origin form", `GET /hello.txt HTTP/1.1\r\n${H}\r\n`, "200 kept"],
  ["a query is no part of the name", `GET /hello.txt?a=/../b HTTP/1.1\r\n${H}\r\n`, "200 kept"],
  ["an empty query", `GET /hello.txt? HTTP/1.1\r\n${H}\r\n`, "200 kept"],
  ["HEAD has no content", `HEAD /hello.txt HTTP/1.1\r\n${H}\r\n`, "200 kept"],
  ["asterisk form with OPTIONS", `OPTIONS * HTTP/1.1\r\n${H}\r\n`, "20[04] kept"],
  ["OPTIONS of a file", `OPTIONS /hello.txt HTTP/1.1\r\n${H}\r\n`, "20[04] kept"],
  ["asterisk form with GET", `GET * HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["absolute form", `GET http://localhost/hello.txt HTTP/1.1\r\n${H}\r\n`, "200 kept"],
  ["absolute form, port", `GET http://localhost:80/hello.txt HTTP/1.1\r\n${H}\r\n`, "200 kept"],
  ["absolute form, upper case", `GET HTTP://LOCALHOST/hello.txt HTTP/1.1\r\n${H}\r\n`, "200 kept"],
  ["absolute form, no path", `GET http://localhost HTTP/1.1\r\n${H}\r\n`, "200 kept"],
  ["absolute form, query, no path", `GET http://localhost?a HTTP/1.1\r\n${H}\r\n`, "200 kept"],
  ["absolute form, IPv6", `GET http://[::1]:80/ HTTP/1.1\r\n${H}\r\n`, "200 kept"],
  ["absolute form without Host", "GET http://localhost/ HTTP/1.1\r\n\r\n", "400 close"],
  ["absolute form, bad Host", "GET http://localhost/ HTTP/1.1\r\nHost: a@b\r\n\r\n", "400 close"],
  ["absolute form, userinfo", `GET http://a@localhost/ HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["absolute form, no host", `GET http:///hello.txt HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["absolute form, only a port", `GET http://:80/ HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["absolute form, bad port", `GET http://localhost:x/ HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["absolute form, huge port", `GET http://localhost:65536/ HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["absolute form, fragment", `GET http://localhost/#a HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["https on a plain connection", `GET https://localhost/ HTTP/1.1\r\n${H}\r\n`, "4(00|21) .*"],
  ["another scheme", `GET ftp://localhost/ HTTP/1.1\r\n${H}\r\n`, "4(00|21) .*"],
  ["a scheme without authority", `GET http:hello.txt HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["authority form is CONNECT's", `CONNECT localhost:80 HTTP/1.1\r\n${H}\r\n`, "(405|501) .*"],
  ["authority form with GET", `GET localhost:80 HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["no slash", `GET hello.txt HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["a fragment", `GET /hello.txt#a HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["a fragment behind a query", `GET /hello.txt?a#b HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["raw UTF-8", `GET /n\xc3\xa4me HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["raw UTF-8 in the query", `GET /hello.txt?\xc3\xa4 HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["a raw octet that is no UTF-8", `GET /\xff HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["DEL", `GET /hello.txt\x7f HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["NUL", `GET /hello.txt\0 HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["a tab in the target", `GET /hello\t.txt HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["a space in the target", `GET /hello .txt HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["a quote in the target", `GET /"hello HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["angle brackets", `GET /<hello> HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["a backslash", `GET \\hello.txt HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["two spaces", `GET  /hello.txt HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["two spaces before the version", `GET /hello.txt  HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["tabs for spaces", `GET\t/hello.txt\tHTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["a space ahead", ` GET /hello.txt HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["a space at the end", `GET /hello.txt HTTP/1.1 \r\n${H}\r\n`, "400 close"],
  ["no target", `GET HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["only a method", `GET\r\n${H}\r\n`, "400 close"],
  ["no version (HTTP/0.9)", "GET /hello.txt\r\n\r\n", "400 close"],
  ["version in lower case", `GET /hello.txt http/1.1\r\n${H}\r\n`, "400 close"],
  ["another protocol", `GET /hello.txt HTTQ/1.1\r\n${H}\r\n`, "400 close"],
  ["two digits of minor version", `GET /hello.txt HTTP/1.10\r\n${H}\r\n`, "400 close"],
  ["two digits of major version", `GET /hello.txt HTTP/11.1\r\n${H}\r\n`, "400 close"],
  ["no minor version", `GET /hello.txt HTTP/1\r\n${H}\r\n`, "400 close"],
  ["an empty minor version", `GET /hello.txt HTTP/1.\r\n${H}\r\n`, "400 close"],
  ["a comma in the version", `GET /hello.txt HTTP/1,1\r\n${H}\r\n`, "400 close"],
  ["a space in the version", `GET /hello.txt HTTP/ 1.1\r\n${H}\r\n`, "400 close"],
  ["something behind the version", `GET /hello.txt HTTP/1.1x\r\n${H}\r\n`, "400 close"],
  ["HTTP/1.2 is served as 1.1", `GET /hello.txt HTTP/1.2\r\n${H}\r\n`, "200 kept"],
  ["HTTP/1.9 is served as 1.1", `GET /hello.txt HTTP/1.9\r\n${H}\r\n`, "200 kept"],
  ["HTTP/2.0", `GET /hello.txt HTTP/2.0\r\n${H}\r\n`, "505 close"],
  ["HTTP/3.0", `GET /hello.txt HTTP/3.0\r\n${H}\r\n`, "505 close"],
  ["HTTP/0.9", `GET /hello.txt HTTP/0.9\r\n${H}\r\n`, "(400|505) close"],
  ["the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505 close"],
  ["a greeting of TLS", "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n", "400 close"],
  ["a method we do not know", `BREW /hello.txt HTTP/1.1\r\n${H}\r\n`, "501 .*"],
  ["methods are case-sensitive", `get /hello.txt HTTP/1.1\r\n${H}\r\n`, "501 .*"],
  ["GETX is not GET", `GETX /hello.txt HTTP/1.1\r\n${H}\r\n`, "501 .*"],
  ["any token may be a method", `G!#$%&'*+-.^_\`|~9 / HTTP/1.1\r\n${H}\r\n`, "501 .*"],
  ["a method that is no token", `G(T /hello.txt HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["a method without end", `${"G".repeat(20_000)} / HTTP/1.1\r\n${H}\r\n`, "501 close"],
  ["a long method, a long target", `${"G".repeat(99)} /${"a".repeat(9_000)}`, "501 close"],
  ["POST is known and refused", `POST /hello.txt HTTP/1.1\r\n${H}\r\n`, "405 kept"],
  ["PUT", `PUT /hello.txt HTTP/1.1\r\n${H}\r\n`, "405 kept"],
  ["DELETE", `DELETE /hello.txt HTTP/1.1\r\n${H}\r\n`, "405 kept"],
  ["TRACE", `TRACE /hello.txt HTTP/1.1\r\n${H}\r\n`, "405 kept"],
  ["PATCH", `PATCH /hello.txt HTTP/1.1\r\n${H}\r\n`, "405 kept"],
  ["405 also where nothing is", `POST /nothing HTTP/1.1\r\n${H}\r\n`, "40[45] kept"],
  ["§2.2: an empty line ahead", `\r\nGET /hello.txt HTTP/1.1\r\n${H}\r\n`, "200 kept"],
  ["§2.2: two of them", `\r\n\r\nGET /hello.txt HTTP/1.1\r\n${H}\r\n`, "200 kept"],
  ["empty lines without end", "\r\n".repeat(700), "400 close"],
  ["a bare LF ahead", `\nGET /hello.txt HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["a bare CR ahead", `\rGET /hello.txt HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["§2.2: bare LFs end no lines", `GET /hello.txt HTTP/1.1\nHost: localhost\n\n`, "400 close"],
  ["a bare LF behind the request line", `GET /hello.txt HTTP/1.1\n${H}\r\n`, "400 close"],
  ["a bare CR behind the target", `GET /hello.txt\r HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["CR CR LF", `GET /hello.txt HTTP/1.1\r\r\n${H}\r\n`, "400 close"],
  ["a bare LF as the last line", `GET /hello.txt HTTP/1.1\r\n${H}\n`, "400 close"],
  ["the longest target", `GET /hello.txt?${"x".repeat(7_989)} HTTP/1.1\r\n${H}\r\n`, "200 kept"],
  ["one more octet", `GET /hello.txt?${"x".repeat(7_990)} HTTP/1.1\r\n${H}\r\n`, "414 close"],
  ["a longer one", `GET /${"x".repeat(12_000)} HTTP/1.1\r\n${H}\r\n`, "414 close"],
  ["one without end", `GET /${"x".repeat(300_000)}`, "414 close"],
]);

testRows("version and persistence", [
  ["HTTP/1.0 needs no Host", "GET /hello.txt HTTP/1.0\r\n\r\n", "200 close"],
  ["nor does it persist", `GET /hello.txt HTTP/1.0\r\n${H}\r\n`, "200 close"],
  [
    "but for keep-alive",
    "GET /hello.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "200 kept",
  ],
  [
    "keep-alive in any case, in a list",
    "GET /hello.txt HTTP/1.0\r\nConnection: foo, Keep-Alive\r\n\r\n",
    "200 kept",
  ],
  [
    "close beats keep-alive",
    "GET /hello.txt HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
    "200 close",
  ],
  ["HTTP/1.0, an error", "GET /nothing HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "404 kept"],
  ["HTTP/1.1 persists", `GET /hello.txt HTTP/1.1\r\n${H}\r\n`, "200 kept"],
  ["so it does after 404", `GET /nothing HTTP/1.1\r\n${H}\r\n`, "404 kept"],
  ["close", `GET /hello.txt HTTP/1.1\r\n${H}Connection: close\r\n\r\n`, "200 close"],
  ["close in any case", `GET /hello.txt HTTP/1.1\r\n${H}Connection: CLOSE\r\n\r\n`, "200 close"],
  ["close in a list", `GET /hello.txt HTTP/1.1\r\n${H}Connection: a ,close,b\r\n\r\n`, "200 close"],
  [
    "close in the second line",
    `GET /hello.txt HTTP/1.1\r\n${H}Connection: keep-alive\r\nConnection: close\r\n\r\n`,
    "200 close",
  ],
  [
    "closed is not close",
    `GET /hello.txt HTTP/1.1\r\n${H}Connection: closed, not-close\r\n\r\n`,
    "200 kept",
  ],
  ["close after 404", `GET /nothing HTTP/1.1\r\n${H}Connection: close\r\n\r\n`, "404 close"],
]);

/** Values of Host that name a host, and those that do not (RFC 3986 §3.2, RFC 9110 §4.2.4). */
const HOSTS = {
  "200 kept": [
    "localhost",
    "LOCALHOST:80",
    "localhost:",
    "localhost:0",
    "localhost:65535",
    "localhost.",
    "127.0.0.1:8000",
    "[::1]",
    "[::1]:80",
    "[::FFFF:127.0.0.1]",
    "[v1.x:~]:80",
    "a_b.example",
    "a-b~c!$&'()*+,;=.example",
    "%41%c3%a4",
    " \t localhost \t",
  ],
  "400 close": [
    "",
    " ",
    "user@h",
    "user:password@h",
    "@h",
    "h/",
    "h/path",
    "/h",
    "h?q",
    "h#f",
    "http://h",
    "http://h/",
    'a"b',
    "a\\b",
    "a b",
    "h, h",
    "a\tb",
    "<h>",
    "{h}",
    "h^",
    "h|",
    "h`",
    "h:80:90",
    "h:port",
    "h:-1",
    "h:+80",
    "h: 80",
    "h :80",
    "h:65536",
    "h:999999999999",
    ":80",
    ":",
    "::1",
    "[::1",
    "::1]",
    "[]",
    "[::1]x",
    "[::1]80",
    "x[::1]",
    "[::g]",
    "[1:2:3]",
    "[:::]",
    "[1::2::3]",
    "[127.0.0.1]",
    "[v.x]",
    "[v1.]",
    "[vg.x]",
    "[v1.x]y",
    "[::1:80",
    "[::1%25lo]",
    "h\xe9",
    "h\xc3\xa9",
    "%",
    "%zz",
    "%4",
    "h\x7f",
    "h\x01",
    "h\0",
  ],
};

testRows(
  "Host",
  Object.entries(HOSTS).flatMap(([want, hosts]) =>
    hosts.flatMap((host): Row[] => [
      [`1.1, ${JSON.stringify(host)}`, `GET /hello.txt HTTP/1.1\r\nHost: ${host}\r\n\r\n`, want],
      [
        `1.0, ${JSON.stringify(host)}`,
        `GET /hello.txt HTTP/1.0\r\nConnection: keep-alive\r\nHost: ${host}\r\n\r\n`,
        want,
      ],
    ])
  ),
);

testRows("Host", [
  ["none", "GET /hello.txt HTTP/1.1\r\n\r\n", "400 close"],
  ["none, another field", "GET /hello.txt HTTP/1.1\r\nX-Host: localhost\r\n\r\n", "400 close"],
  ["none in OPTIONS *", "OPTIONS * HTTP/1.1\r\n\r\n", "400 close"],
  ["none in HTTP/1.2", "GET /hello.txt HTTP/1.2\r\n\r\n", "400 close"],
  ["name in any case", "GET /hello.txt HTTP/1.1\r\nhOST: localhost\r\n\r\n", "200 kept"],
  ["no space ahead of it", "GET /hello.txt HTTP/1.1\r\nHost:localhost\r\n\r\n", "200 kept"],
  ["behind others", "GET /hello.txt HTTP/1.1\r\nA: b\r\nHost: localhost\r\n\r\n", "200 kept"],
  ["two that are equal", `GET /hello.txt HTTP/1.1\r\n${H}${H}\r\n`, "400 close"],
  ["two that differ", `GET /hello.txt HTTP/1.1\r\n${H}Host: other\r\n\r\n`, "400 close"],
  ["two, the second far away", `GET / HTTP/1.1\r\n${H}A: b\r\nhost: other\r\n\r\n`, "400 close"],
  ["two, one of them empty", `GET /hello.txt HTTP/1.1\r\n${H}Host:\r\n\r\n`, "400 close"],
  ["two in HTTP/1.0", `GET /hello.txt HTTP/1.0\r\n${H}${H}\r\n`, "400 close"],
  ["two with the absolute form", `GET http://localhost/ HTTP/1.1\r\n${H}${H}\r\n`, "400 close"],
]);

/** So many octets of field lines, Host among them. */
function fieldsOf(octets: number): string {
  let text = H;
  while (octets - text.length > 3_000) text += `A: ${"b".repeat(995)}\r\n`;
  return `${text}A: ${"b".repeat(octets - text.length - 5)}\r\n`;
}

testRows("field lines", [
  ["an empty value", `GET /hello.txt HTTP/1.1\r\n${H}A:\r\n\r\n`, "200 kept"],
  ["white space around a value", `GET /hello.txt HTTP/1.1\r\n${H}A: \t b \t \r\n\r\n`, "200 kept"],
  ["a tab within a value", `GET /hello.txt HTTP/1.1\r\n${H}A: b\tc\r\n\r\n`, "200 kept"],
  ["octets beyond ASCII", `GET /hello.txt HTTP/1.1\r\n${H}A: \x80\xe9\xff\r\n\r\n`, "200 kept"],
  ["a colon in a value", `GET /hello.txt HTTP/1.1\r\n${H}A: b:c::\r\n\r\n`, "200 kept"],
  ["every token is a name", `GET / HTTP/1.1\r\n${H}!#$%&'*+-.^_\`|~9z: b\r\n\r\n`, "200 kept"],
  ["names like those of objects", `GET / HTTP/1.1\r\n${H}__proto__: b\r\n\r\n`, "200 kept"],
  ["no colon", `GET /hello.txt HTTP/1.1\r\n${H}A\r\n\r\n`, "400 close"],
  ["no name", `GET /hello.txt HTTP/1.1\r\n${H}: b\r\n\r\n`, "400 close"],
  ["§5.1: space before the colon", `GET /hello.txt HTTP/1.1\r\n${H}A : b\r\n\r\n`, "400 close"],
  ["tab before the colon", `GET /hello.txt HTTP/1.1\r\n${H}A\t: b\r\n\r\n`, "400 close"],
  ["space before Host's colon", "GET /hello.txt HTTP/1.1\r\nHost : localhost\r\n\r\n", "400 close"],
  ["§2.2: a space before the first", `GET /hello.txt HTTP/1.1\r\n ${H}\r\n`, "400 close"],
  ["§5.2: a folded line", `GET /hello.txt HTTP/1.1\r\n${H}A: b\r\n c\r\n\r\n`, "400 close"],
  ["a line folded by a tab", `GET /hello.txt HTTP/1.1\r\n${H}A: b\r\n\tc\r\n\r\n`, "400 close"],
  ["a line of white space", `GET /hello.txt HTTP/1.1\r\n${H}A: b\r\n \r\n\r\n`, "400 close"],
  ["a folded Host", "GET /hello.txt HTTP/1.1\r\nHost:\r\n localhost\r\n\r\n", "400 close"],
  ["a name in parentheses", `GET /hello.txt HTTP/1.1\r\n${H}(A): b\r\n\r\n`, "400 close"],
  ["a name with a space", `GET /hello.txt HTTP/1.1\r\n${H}A B: c\r\n\r\n`, "400 close"],
  ["a name beyond ASCII", `GET /hello.txt HTTP/1.1\r\n${H}\xc4: c\r\n\r\n`, "400 close"],
  ["NUL in a value", `GET /hello.txt HTTP/1.1\r\n${H}A: b\0c\r\n\r\n`, "400 close"],
  ["NUL in a name", `GET /hello.txt HTTP/1.1\r\n${H}A\0: b\r\n\r\n`, "400 close"],
  ["a control octet in a value", `GET /hello.txt HTTP/1.1\r\n${H}A: b\x0bc\r\n\r\n`, "400 close"],
  ["ESC in a value", `GET /hello.txt HTTP/1.1\r\n${H}A: \x1b[2J\r\n\r\n`, "400 close"],
  ["DEL in a value", `GET /hello.txt HTTP/1.1\r\n${H}A: b\x7f\r\n\r\n`, "400 close"],
  ["a bare CR in a value", `GET /hello.txt HTTP/1.1\r\n${H}A: b\rc\r\n\r\n`, "400 close"],
  ["a bare CR at its end", `GET /hello.txt HTTP/1.1\r\n${H}A: b\r\r\n\r\n`, "400 close"],
  ["a bare LF in a value", `GET /hello.txt HTTP/1.1\r\n${H}A: b\nC: d\r\n\r\n`, "400 close"],
  [
    "a hidden field behind CR",
    `GET / HTTP/1.1\r\n${H}A: b\rConnection: close\r\n\r\n`,
    "400 close",
  ],
  ["100 fields", `GET / HTTP/1.1\r\n${H}${"A: b\r\n".repeat(99)}\r\n`, "200 kept"],
  ["101 fields", `GET / HTTP/1.1\r\n${H}${"A: b\r\n".repeat(100)}\r\n`, "431 close"],
  ["fields without end", `GET / HTTP/1.1\r\n${"A: b\r\n".repeat(50_000)}`, "431 close"],
  ["16 kB of fields", `GET / HTTP/1.1\r\n${fieldsOf(16_382)}\r\n`, "200 kept"],
  ["one octet more", `GET / HTTP/1.1\r\n${fieldsOf(16_385)}\r\n`, "431 close"],
  ["one field without end", `GET / HTTP/1.1\r\n${H}A: ${"b".repeat(300_000)}`, "431 close"],
  ["a name without end", `GET / HTTP/1.1\r\n${H}${"b".repeat(300_000)}`, "431 close"],
]);

// ---- Messages: bodies --------------------------------------------------

/** A request with a body of chunks, and what stands before them. */
function chunked(chunks: string, fields = ""): string {
  return `GET /hello.txt HTTP/1.1\r\n${H}${fields}Transfer-Encoding: chunked\r\n\r\n${chunks}`;
}

/** A request with these framing fields, and a body of five octets. */
function framed(...fields: string[]): string {
  return `GET /hello.txt HTTP/1.1\r\n${H}${fields.join("\r\n")}\r\n\r\nhello`;
}

const SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";

testRows("framing", [
  ["§9.3.1: the body of a GET is not the next request", framed("Content-Length: 5"), "200 kept"],
  [
    "not even if it looks like one",
    request("/hello.txt", [`Content-Length: ${SMUGGLED.length}`]) + SMUGGLED,
    "200 kept",
  ],
  ["of a HEAD", request("/hello.txt", ["Content-Length: 5"], "HEAD") + "hello", "200 kept"],
  [
    "of an OPTIONS",
    request("/hello.txt", ["Content-Length: 5"], "OPTIONS") + "hello",
    "20[04] kept",
  ],
  ["of a POST", request("/hello.txt", ["Content-Length: 5"], "POST") + "hello", "405 kept"],
  ["no body at all", request("/hello.txt", ["Content-Length: 0"]), "200 kept"],
  ["zeros ahead", framed("Content-Length: 0005"), "(200 kept|400 close)"],
  ["white space around it", framed("Content-Length: \t5 "), "200 kept"],
  [
    "64 kB are read",
    request("/hello.txt", ["Content-Length: 65536"]) + "x".repeat(65_536),
    "200 kept",
  ],
  [
    "more are not, but the answer arrives",
    request("/hello.txt", ["Content-Length: 500000"]) + "x".repeat(500_000),
    "(200|413) close",
  ],
  ["two equal lengths", framed("Content-Length: 5", "Content-Length: 5"), "(400 close|200 kept)"],
  ["two that differ", framed("Content-Length: 5", "Content-Length: 6"), "400 close"],
  [
    "two that differ, far apart",
    framed("Content-Length: 5", "A: b", "content-length: 0"),
    "400 close",
  ],
  ["a list of equals", framed("Content-Length: 5, 5"), "(400 close|200 kept)"],
  ["a list that differs", framed("Content-Length: 5, 6"), "400 close"],
  ["an empty member", framed("Content-Length: 5,"), "400 close"],
  ["a plus", framed("Content-Length: +5"), "400 close"],
  ["a minus", framed("Content-Length: -5"), "400 close"],
  ["minus nothing", framed("Content-Length: -0"), "400 close"],
  ["a blank within", framed("Content-Length: 5 0"), "400 close"],
  ["hexadecimal", framed("Content-Length: 0x5"), "400 close"],
  ["decimals", framed("Content-Length: 5.0"), "400 close"],
  ["an exponent", framed("Content-Length: 5e0"), "400 close"],
  ["an underscore", framed("Content-Length: 5_0"), "400 close"],
  ["quotes", framed('Content-Length: "5"'), "400 close"],
  ["nothing", framed("Content-Length:"), "400 close"],
  ["no number", framed("Content-Length: five"), "400 close"],
  ["digits of another script", framed("Content-Length: \xd9\xa5"), "400 close"],
  ["2^64 + 5 is not 5", framed("Content-Length: 18446744073709551621"), "4(00|13) close"],
  ["2^32 + 5 is not 5", framed("Content-Length: 4294967301"), "(200|413) close"],
  ["a length beyond reason", framed(`Content-Length: ${"9".repeat(400)}`), "4(00|13) close"],
  ["a name with a space", framed("Content-Length : 5"), "400 close"],
  ["a folded length", framed("Content-Length:\r\n 5"), "400 close"],
  [
    "both ways to tell the end",
    framed("Content-Length: 5", "Transfer-Encoding: chunked"),
    "400 close",
  ],
  ["in the other order", framed("Transfer-Encoding: chunked", "Content-Length: 5"), "400 close"],
  ["with a length of 0", framed("Content-Length: 0", "Transfer-Encoding: chunked"), "400 close"],
  ["with an unknown coding", framed("Content-Length: 5", "Transfer-Encoding: x"), "400 close"],
  [
    "in HTTP/1.0",
    framed("Content-Length: 5", "Transfer-Encoding: chunked").replace("1.1", "1.0"),
    "400 close",
  ],
  [
    "§6.1: chunked from HTTP/1.0",
    framed("Transfer-Encoding: chunked").replace("1.1", "1.0"),
    "(200|400) close",
  ],
  [
    "though it asks for keep-alive",
    framed("Connection: keep-alive", "Transfer-Encoding: chunked").replace("1.1", "1.0"),
    "(200|400) close",
  ],
  ["an unknown coding before chunked", framed("Transfer-Encoding: gzip, chunked"), "501 close"],
  [
    "in a line of its own",
    framed("Transfer-Encoding: gzip", "Transfer-Encoding: chunked"),
    "501 close",
  ],
  ["with a parameter", framed('Transfer-Encoding: a ; b=c;d="e", chunked'), "501 close"],
  ["a parameter of nothing", framed("Transfer-Encoding: ;b=c, chunked"), "400 close"],
  ["an unknown coding", framed("Transfer-Encoding: gzip"), "(400|501) close"],
  ["chunked is not last", framed("Transfer-Encoding: chunked, gzip"), "(400|501) close"],
  ["chunked twice", framed("Transfer-Encoding: chunked, chunked"), "400 close"],
  [
    "chunked in two lines",
    framed("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
    "400 close",
  ],
  ["identity", framed("Transfer-Encoding: identity"), "(400|501) close"],
  ["chunked, identity", framed("Transfer-Encoding: chunked, identity"), "(400|501) close"],
  ["nothing for a coding", framed("Transfer-Encoding:"), "(400|501) close"],
  ["an empty member", framed("Transfer-Encoding: , chunked"), "(400|501) close"],
  ["xchunked", framed("Transfer-Encoding: xchunked"), "(400|501) close"],
  ["chunkedx", framed("Transfer-Encoding: chunkedx"), "(400|501) close"],
  ["chunked in quotes", framed('Transfer-Encoding: "chunked"'), "(400|501) close"],
  ["a parameter of chunked", framed("Transfer-Encoding: chunked;a=b"), "(400|501) close"],
  ["a vertical tab before chunked", framed("Transfer-Encoding: \x0bchunked"), "400 close"],
  ["a no-break space before chunked", framed("Transfer-Encoding: \xa0chunked"), "(400|501) close"],
  ["a space in the name", framed("Transfer-Encoding : chunked"), "400 close"],
  ["a folded coding", framed("Transfer-Encoding:\r\n chunked"), "400 close"],
]);

const LONG_TRAILERS = "A: b\r\n".repeat(3_000);

testRows("chunks", [
  ["none", chunked("0\r\n\r\n"), "200 kept"],
  ["one", chunked("5\r\nhello\r\n0\r\n\r\n"), "200 kept"],
  ["two", chunked("5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"), "200 kept"],
  ["the coding's name in any case", chunked("0\r\n\r\n").replace("chunked", "ChunkeD"), "200 kept"],
  [
    "hexadecimal, both cases",
    chunked("a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n"),
    "200 kept",
  ],
  ["zeros ahead", chunked("0005\r\nhello\r\n000\r\n\r\n"), "200 kept"],
  ["CRLF is data", chunked("4\r\n\r\n\r\n\r\n0\r\n\r\n"), "200 kept"],
  [
    "a request is data",
    chunked(`${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`),
    "200 kept",
  ],
  ["many small ones", chunked(`${"1\r\nx\r\n".repeat(10_000)}0\r\n\r\n`), "200 kept"],
  ["of a POST", chunked("5\r\nhello\r\n0\r\n\r\n").replace("GET", "POST"), "405 kept"],
  ["an extension", chunked("5;a=b\r\nhello\r\n0\r\n\r\n"), "200 kept"],
  ["one without a value", chunked("5;a\r\nhello\r\n0;b\r\n\r\n"), "200 kept"],
  ["one in quotes", chunked('5;a="b;\\"c\\\\ d"\r\nhello\r\n0\r\n\r\n'), "200 kept"],
  ["several", chunked('5;a=b;c;d="e"\r\nhello\r\n0\r\n\r\n'), "200 kept"],
  ["§7.1.1: bad white space around", chunked("5 ; a = b\r\nhello\r\n0\r\n\r\n"), "200 kept"],
  ["trailers", chunked("5\r\nhello\r\n0\r\nA: b\r\nC: d\r\n\r\n"), "200 kept"],
  ["trailers cannot frame", chunked("0\r\nContent-Length: 50\r\n\r\n"), "(200 kept|400 close)"],
  ["100 trailers", chunked(`0\r\n${"A: b\r\n".repeat(100)}\r\n`), "200 kept"],
  ["101 trailers", chunked(`0\r\n${"A: b\r\n".repeat(101)}\r\n`), "4(00|31) close"],
  ["long trailers", chunked(`0\r\nA: ${"b".repeat(20_000)}\r\n\r\n`), "4(00|31) close"],
  ["trailers without end", chunked(`0\r\n${LONG_TRAILERS}`), "4(00|31) close"],
  ["a long extension", chunked(`5;a=${"b".repeat(20_000)}\r\nhello\r\n0\r\n\r\n`), "4\\d\\d close"],
  ["an extension without end", chunked(`5;a=${"b".repeat(300_000)}`), "4\\d\\d close"],
  [
    "many extensions",
    chunked(`${`1;a=${"b".repeat(1_000)}\r\nx\r\n`.repeat(40)}0\r\n\r\n`),
    "4\\d\\d close",
  ],
  [
    "more than we read",
    chunked(`20000\r\n${"x".repeat(0x20_000)}\r\n0\r\n\r\n`),
    "(200|413) close",
  ],
  [
    "more than we read, in pieces",
    chunked(`${`1000\r\n${"x".repeat(4_096)}\r\n`.repeat(17)}0\r\n\r\n`),
    "(200|413) close",
  ],
  ["a semicolon and nothing", chunked("5;\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["a name is missing", chunked("5;=b\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["a value is missing", chunked("5;a=\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["two semicolons", chunked("5;;a\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["an open quote", chunked('5;a="b\r\nhello\r\n0\r\n\r\n'), "400 close"],
  ["a control octet in it", chunked("5;a=\x01\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["NUL in it", chunked("5;a\0\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["a bare LF in it", chunked("5;a\nhello\r\n0\r\n\r\n"), "400 close"],
  ["a bare CR in it", chunked("5;a\rb\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["a space behind the size", chunked("5 \r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["a tab behind the size", chunked("5\t\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["a space before the size", chunked(" 5\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["no size", chunked("\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["only an extension", chunked(";a=b\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["0x5", chunked("0x5\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["plus", chunked("+5\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["minus", chunked("-5\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["minus nothing", chunked("-0\r\n\r\n"), "400 close"],
  ["no hexadecimal", chunked("g\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["an underscore", chunked("0_5\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["a comma", chunked("5,a\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["2^64 + 5 is not 5", chunked("10000000000000005\r\nhello\r\n0\r\n\r\n"), "4\\d\\d close"],
  ["2^32 + 5 is not 5", chunked("100000005\r\nhello\r\n0\r\n\r\n"), "(200|413) close"],
  ["a size without end", chunked("0".repeat(100_000)), "4\\d\\d close"],
  ["a bare LF behind the size", chunked("5\nhello\r\n0\r\n\r\n"), "400 close"],
  ["a bare LF behind the data", chunked("5\r\nhello\n0\r\n\r\n"), "400 close"],
  ["a bare CR behind the data", chunked("5\r\nhello\r0\r\n\r\n"), "400 close"],
  ["two octets more than told", chunked("5\r\nhello!!0\r\n\r\n"), "400 close"],
  ["one octet more than told", chunked("4\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["no CRLF behind the data", chunked("5\r\nhello0\r\n\r\n"), "400 close"],
  ["a bare LF at the end", chunked("0\r\n\n"), "400 close"],
  ["a bare LF behind the last chunk", chunked("0\n\r\n"), "400 close"],
  ["a trailer without colon", chunked("0\r\nA\r\n\r\n"), "400 close"],
  ["a trailer with a space", chunked("0\r\nA : b\r\n\r\n"), "400 close"],
  ["a folded trailer", chunked("0\r\nA: b\r\n c\r\n\r\n"), "400 close"],
  ["a trailer with NUL", chunked("0\r\nA: \0\r\n\r\n"), "400 close"],
  ["a request for a trailer", chunked("0\r\nGET / HTTP/1.1\r\n\r\n"), "400 close"],
]);

testRows("expectations", [
  [
    "none to HTTP/1.0",
    "GET /hello.txt HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
    "200 kept",
  ],
  [
    "without a body there is nothing to continue",
    request("/hello.txt", ["Expect: 100-continue"]),
    "200 kept",
  ],
  ["in any case", request("/hello.txt", ["Expect: 100-CONTINUE"]), "200 kept"],
  ["an unknown one", request("/hello.txt", ["Expect: 200-ok"]), "417 .*"],
  ["a known and an unknown one", request("/hello.txt", ["Expect: 100-continue, x"]), "417 .*"],
  [
    "the body may come at once",
    request("/hello.txt", ["Expect: 100-continue", "Content-Length: 5"]) + "hello",
    "(100 )?200 kept",
  ],
]);

for (const [how, cut] of Object.entries(CUTS)) {
  for (
    const [rule, framing, body] of [
      ["a length", "Content-Length: 5", "hello"],
      ["chunks", "Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"],
    ] as const
  ) {
    Deno.test(`expectations, ${how}: 100 comes before the body, ${rule}`, async () => {
      await using service = start();
      using client = await Client.open(service.port);
      await client.send(...cut(request("/hello.txt", ["Expect: 100-continue", framing])));
      assertEquals(await client.until(/\r\n\r\n/), "HTTP/1.1 100 Continue\r\n\r\n");
      await client.send(...cut(body), SENTINEL);
      const statuses = readAnswers(await client.until()).map(({ status }) => status);
      assertEquals(statuses, [100, 200, 200]);
    });
  }

  Deno.test(`expectations, ${how}: no 100 where the answer is known already`, async () => {
    await using service = start();
    using client = await Client.open(service.port);
    const fields = ["Expect: 100-continue", "Content-Length: 5"];
    await client.send(...cut(request("/hello.txt", fields, "POST")));
    const [answer, ...others] = readAnswers(await client.until());
    assertEquals([answer?.status, others], [405, []]);
  });

  Deno.test(`pipelining, ${how}: answers come in the order of the requests`, async () => {
    await using service = start();
    const text = [
      request("/hello.txt"),
      request("/hello.txt", [], "HEAD"),
      request("/nothing"),
      request("/digits.txt", ["Range: bytes=2-3"]),
      request("/digits.txt", ["Content-Length: 5"]) + "hello",
      request("/folder"),
      request("/hello.txt", ["If-None-Match: *"]),
      request("/hello.txt", [], "PUT"),
      request("*", [], "OPTIONS"),
      "\r\n" + request("/end.txt", ["Connection: close"]),
      request("/smuggled"),
    ].join("");
    const answers = readAnswers(await talk(service.port, cut(text)), ["GET", "HEAD"]);
    assertEquals(answers.map(({ status, body }) => `${status} ${status < 300 ? body : ""}`), [
      "200 Hello, world!\n",
      "200 ",
      "404 ",
      "206 23",
      "200 0123456789",
      "307 ",
      "304 ",
      "405 ",
      "204 ",
      "200 the end\n",
    ]);
  });

  Deno.test(`pipelining, ${how}: what is behind a bad request is not read`, async () => {
    await using service = start();
    const text = request("/hello.txt") + request("/hello.txt", ["Bad"]) + request("/smuggled");
    const answers = readAnswers(await talk(service.port, cut(text)));
    assertEquals(answers.map(({ status }) => status), [200, 400]);
  });
}

const HELLO = request("/hello.txt");
const FIVE = request("/hello.txt", ["Content-Length: 5"]);
const EXPECTING = request("/hello.txt", ["Expect: 100-continue", "Content-Length: 5"]);

/** Requests that were seen before, cut in other places than before; and how many answers come. */
const REPEATED: readonly [rule: string, pieces: string[], answers: number][] = [
  ["alone", [HELLO, HELLO, HELLO], 3],
  ["two glued, then one", [HELLO + HELLO, HELLO, HELLO + HELLO], 5],
  ["in parts, then whole", [HELLO.slice(0, 20), HELLO.slice(20), HELLO, HELLO], 3],
  ["whole, then in parts", [HELLO, HELLO.slice(0, -2), "\r\n", HELLO.slice(0, -1), "\n"], 3],
  ["in the same parts twice", [
    HELLO.slice(0, 20),
    HELLO.slice(20),
    HELLO.slice(0, 20),
    HELLO.slice(20),
  ], 2],
  ["the beginning of another", [HELLO, HELLO.slice(0, -2), "A: b\r\n\r\n"], 2],
  ["with a part of the next", [HELLO, HELLO + HELLO.slice(0, 9), HELLO.slice(9)], 3],
  ["behind empty lines", [HELLO, "\r\n", HELLO, `\r\n${HELLO}`], 3],
  ["its body comes later this time", [`${FIVE}hello`, FIVE, "hello", `${FIVE}hel`, "lo"], 3],
  ["it expects 100 this time", [`${EXPECTING}hello`, EXPECTING, "hello"], 3],
  [
    "its body is the request",
    [request("/", [`Content-Length: ${HELLO.length}`]) + HELLO, HELLO],
    2,
  ],
  ["chunks between", [HELLO, chunked("0\r\n"), "\r\n", HELLO, chunked("0\r\n\r\n"), HELLO], 5],
];

for (const [rule, pieces, want] of REPEATED) {
  Deno.test(`requests that repeat themselves: ${rule}`, async () => {
    await using service = start();
    using client = await Client.open(service.port);
    const reading = client.until();
    for (const piece of [...pieces, SENTINEL]) {
      await client.send(piece);
      await pause(5); // so that each is read for itself
    }
    const answers = readAnswers(await reading);
    assertEquals(answers.length, want + 1);
    assertEquals(answers.at(-1)?.body, "the end\n");
    for (const { status, body } of answers.slice(0, -1)) {
      assert(status === 100 || (status === 200 && /Hello|home/.test(body)));
    }
  });
}

Deno.test("requests that repeat themselves: octets that are no UTF-8 are told apart", async () => {
  await using service = start();
  const agents = ["\xff", "\xfe", "\ufffd".replace(/./, "\xef\xbf\xbd"), "\xff"];
  for (const agent of agents) await ask(service.port, "/hello.txt", [`User-Agent: ${agent}`]);
  assertEquals(service.exchanges.map(({ fields }) => fields.get("User-Agent")), agents);
});

Deno.test("OPTIONS tells what is allowed", async () => {
  await using service = start();
  for (const target of ["*", "/", "/hello.txt", "/nothing"]) {
    const { status, fields, body } = await ask(service.port, target, [], "OPTIONS");
    assertEquals([status, fields.get("Allow"), body], [204, "GET, HEAD, OPTIONS", ""]);
  }
});

Deno.test("pipelining: 500 requests in one write", async () => {
  await using service = start();
  const text = request("/hello.txt").repeat(499) + request("/end.txt", ["Connection: close"]);
  const answers = readAnswers(await talk(service.port, [text]));
  assertEquals(answers.length, 500);
  assertEquals(answers.at(-1)?.body, "the end\n");
});

/** The client sends no more, in the middle of something or between two things. */
const ENDS: readonly Row[] = [
  ["nothing at all", "", ""],
  ["an empty line", "\r\n", ""],
  ["half a request line", "GET /hel", "(400)?"],
  ["half a field line", `GET / HTTP/1.1\r\n${H}Acc`, "(400)?"],
  ["no empty line", `GET /hello.txt HTTP/1.1\r\n${H}`, "(400)?"],
  ["half a body", request("/hello.txt", ["Content-Length: 9"]) + "hello", "(400)?"],
  ["half a chunk", chunked("9\r\nhello"), "(400)?"],
  ["no last chunk", chunked("5\r\nhello\r\n"), "(400)?"],
  ["no end of the trailers", chunked("5\r\nhello\r\n0\r\nA: b\r\n"), "(400)?"],
  ["a whole request is answered all the same", request("/hello.txt"), "200"],
  ["so are two", request("/hello.txt") + request("/hello.txt"), "200 200"],
  ["a whole request, then half of one", `${request("/hello.txt")}GET /`, "200( 400)?"],
];

for (const [how, cut] of Object.entries(CUTS)) {
  for (const [rule, sent, want] of ENDS) {
    Deno.test(`the client ends, ${how}: ${rule}`, async () => {
      await using service = start();
      const answers = readAnswers(await talk(service.port, cut(sent), true));
      assertMatch(answers.map(({ status }) => status).join(" "), new RegExp(`^${want}$`));
    });
  }
}

for (
  const [rule, head, status] of [
    ["a body too long to read", request("/hello.txt", ["Content-Length: 900000"]), 200],
    [
      "a refused expectation",
      request("/", ["Expect: 100-continue", "Content-Length: 9"], "PUT"),
      405,
    ],
    ["an unknown coding", request("/", ["Transfer-Encoding: x, chunked"]), 501],
  ] as const
) {
  Deno.test(`RFC 9112 §9.6: who sends all before reading gets the answer: ${rule}`, async () => {
    await using service = start();
    using client = await Client.open(service.port);
    await client.send(head);
    await pause(30); // it is answered by now
    for (let round = 0; round < 10; round++) {
      await send(client.conn, ["x".repeat(20_000)]); // rejects if the server has hung up
      await pause(2);
    }
    assertEquals(readAnswers(await client.until())[0]?.status, status);
  });
}

Deno.test("RFC 9112 §9.6: an error arrives though the client goes on sending", async () => {
  await using service = start();
  for (let round = 0; round < 5; round++) {
    const text = await talk(service.port, [
      "BAD\r\n\r\n",
      "x".repeat(200_000),
      "y".repeat(200_000),
    ]);
    assertMatch(text, /^HTTP\/1\.1 400 /);
    readAnswers(text);
  }
});

// ---- Meaning: preconditions and ranges, RFC 9110 -----------------------

const DATE = "Wed, 01 Jan 2020 00:00:00 GMT";
const BEFORE = "Tue, 31 Dec 2019 23:59:59 GMT";
const AFTER = "Wed, 01 Jan 2020 00:00:01 GMT";

/** Conditions, ETAG standing for the tag of the file that was modified at DATE, and the status. */
const CONDITIONS: readonly [rule: string, fields: string[], status: number][] = [
  ["no condition", [], 200],
  ["§13.1.1: If-Match, the tag", ["If-Match: ETAG"], 200],
  ["If-Match, any", ["If-Match: *"], 200],
  ["If-Match, another", ['If-Match: "x"'], 412],
  ["If-Match, in a list", ['If-Match: "x" , ETAG,"y"'], 200],
  ["If-Match, not in a list", ['If-Match: "x", "y"'], 412],
  ["If-Match, in the second line", ['If-Match: "x"', "If-Match: ETAG"], 200],
  ["If-Match compares strongly", ["If-Match: W/ETAG"], 412],
  ["If-Match, tags with commas", ['If-Match: "a,b", "c, d", ETAG'], 200],
  ["§13.1.4: If-Unmodified-Since, the date", [`If-Unmodified-Since: ${DATE}`], 200],
  ["If-Unmodified-Since, later", [`If-Unmodified-Since: ${AFTER}`], 200],
  ["If-Unmodified-Since, earlier", [`If-Unmodified-Since: ${BEFORE}`], 412],
  ["If-Unmodified-Since, no date", ["If-Unmodified-Since: yesterday"], 200],
  ["If-Match hides If-Unmodified-Since", ["If-Match: ETAG", `If-Unmodified-Since: ${BEFORE}`], 200],
  ["so does one that is false", ['If-Match: "x"', `If-Unmodified-Since: ${AFTER}`], 412],
  ["§13.1.2: If-None-Match, the tag", ["If-None-Match: ETAG"], 304],
  ["If-None-Match, any", ["If-None-Match: *"], 304],
  ["If-None-Match, another", ['If-None-Match: "x"'], 200],
  ["If-None-Match compares weakly", ["If-None-Match: W/ETAG"], 304],
  ["If-None-Match, in a list", ['If-None-Match: "x",W/"y" ,\tETAG'], 304],
  ["If-None-Match, in the second line", ['If-None-Match: "x"', "If-None-Match: ETAG"], 304],
  ["If-None-Match, tags with commas", ['If-None-Match: "a,b", "c, d", ETAG'], 304],
  ["If-None-Match, empty members", ["If-None-Match: , ,ETAG,"], 304],
  ["If-None-Match, the tag inside another", ['If-None-Match: "xETAGx"'], 200],
  ["If-None-Match, a lower-case w/", ["If-None-Match: w/ETAG"], 200],
  ["§13.1.3: If-Modified-Since, the date", [`If-Modified-Since: ${DATE}`], 304],
  ["If-Modified-Since, later", [`If-Modified-Since: ${AFTER}`], 304],
  ["If-Modified-Since, earlier", [`If-Modified-Since: ${BEFORE}`], 200],
  ["If-Modified-Since, no date", ["If-Modified-Since: tomorrow"], 200],
  ["If-Modified-Since, a number", ["If-Modified-Since: 9999999999"], 200],
  ["If-Modified-Since twice is no date", [
    `If-Modified-Since: ${AFTER}`,
    `If-Modified-Since: ${AFTER}`,
  ], 200],
  ["If-Modified-Since, RFC 850", ["If-Modified-Since: Wednesday, 01-Jan-20 00:00:00 GMT"], 304],
  ["If-Modified-Since, asctime", ["If-Modified-Since: Wed Jan  1 00:00:00 2020"], 304],
  [
    "If-None-Match hides If-Modified-Since",
    ['If-None-Match: "x"', `If-Modified-Since: ${AFTER}`],
    200,
  ],
  ["also one that is true", ["If-None-Match: ETAG", `If-Modified-Since: ${BEFORE}`], 304],
  ["§13.2.2: If-Match before If-None-Match", ['If-Match: "x"', "If-None-Match: ETAG"], 412],
  ["the other way round", ["If-None-Match: ETAG", 'If-Match: "x"'], 412],
  ["both true", ["If-Match: ETAG", "If-None-Match: ETAG"], 304],
  ["If-Unmodified-Since before If-None-Match", [
    `If-Unmodified-Since: ${BEFORE}`,
    "If-None-Match: ETAG",
  ], 412],
  ["If-Unmodified-Since before If-Modified-Since", [
    `If-Unmodified-Since: ${BEFORE}`,
    `If-Modified-Since: ${DATE}`,
  ], 412],
];

/** A range comes after all conditions; If-Range after the others. For GET; to HEAD it is nothing. */
const RANGED: readonly [rule: string, fields: string[], status: number][] = [
  ["a range", [], 206],
  ["§13.1.5: If-Range, the tag", ["If-Range: ETAG"], 206],
  ["If-Range, another tag", ['If-Range: "x"'], 200],
  ["If-Range compares strongly", ["If-Range: W/ETAG"], 200],
  ["If-Range, the date", [`If-Range: ${DATE}`], 206],
  ["If-Range, an earlier date", [`If-Range: ${BEFORE}`], 200],
  ["If-Range, a later date", [`If-Range: ${AFTER}`], 200],
  ["If-Range, neither tag nor date", ["If-Range: x"], 200],
  ["If-Range, a list is no tag", ['If-Range: "x", ETAG'], 200],
  ["If-Range, any is no tag", ["If-Range: *"], 200],
  ["If-None-Match before the range", ["If-None-Match: ETAG"], 304],
  ["If-None-Match before If-Range", ["If-None-Match: ETAG", "If-Range: ETAG"], 304],
  ["If-Modified-Since before the range", [`If-Modified-Since: ${DATE}`], 304],
  ["If-Match before the range", ['If-Match: "x"'], 412],
  ["If-Match and If-Range, both true", ["If-Match: ETAG", "If-Range: ETAG"], 206],
  ["If-Unmodified-Since before the range", [`If-Unmodified-Since: ${BEFORE}`], 412],
];

for (const [size, content] of [["small", "0123456789"], ["large", LARGE]] as const) {
  Deno.test(`conditions, a ${size} file`, async (test) => {
    using folder = new Folder({ "file.bin": content });
    // Deno tells when a file was changed in whole seconds; till then its tag may change by itself
    if (size === "large") await pause(1_100);
    await using service = start({ root: folder.root });
    const { port } = service;
    const whole = await ask(port, "/file.bin");
    assertEquals([whole.body, whole.fields.get("Last-Modified")], [content, DATE]);
    const etag = whole.fields.get("ETag") ?? "";
    assertMatch(etag, /^"[!#-~]+"$/, "the tag is a strong one");
    for (const method of ["GET", "HEAD"]) {
      for (const [table, more] of [[CONDITIONS, []], [RANGED, ["Range: bytes=2-5"]]] as const) {
        for (const [rule, fields, status] of table) {
          await test.step(`${method}: ${rule}`, async () => {
            const sent = fields.map((field) =>
              field.replace("ETAG", field.includes('"xETAGx"') ? etag.slice(1, -1) : etag)
            );
            const answer = await ask(port, "/file.bin", [...more, ...sent], method);
            const want = method === "HEAD" && status === 206 ? 200 : status;
            assertEquals(answer.status, want);
            if (want === 200) {
              assertEquals(answer.fields.get("Content-Length"), `${content.length}`);
              if (method === "GET") assertEquals(answer.body, content);
            }
            if (want === 206) assertEquals(answer.body, content.slice(2, 6));
            if (want !== 412) assertEquals(answer.fields.get("ETag"), etag, "§15.4.5");
            if (want === 304) {
              assertEquals(answer.fields.get("Cache-Control"), "no-cache", "§15.4.5");
              assertMatch(
                answer.fields.get("Content-Length") ?? `${content.length}`,
                new RegExp(`^${content.length}$`),
                "§8.6",
              );
            }
          });
        }
      }
    }
  });
}

const ELSEWHERE: readonly [
  rule: string,
  target: string,
  fields: string[],
  method: string,
  status: string,
][] = [
  ["no condition helps where nothing is", "/nothing", ["If-None-Match: *"], "GET", "404"],
  ["nor does one hide it", "/nothing", ['If-Match: "x"'], "GET", "404"],
  ["nor a range", "/nothing", ["Range: bytes=0-1"], "GET", "404"],
  ["§13.2.1: not for OPTIONS", "/hello.txt", ['If-Match: "x"'], "OPTIONS", "20[04]"],
  ["nor for what is refused", "/hello.txt", ['If-Match: "x"'], "PUT", "405"],
  ["a redirect has none", "/folder", ['If-Match: "x"'], "GET", "307"],
  ["a range of POST", "/hello.txt", ["Range: bytes=0-1"], "POST", "405"],
  ["a range of a listing", "/bare/", ["Range: bytes=0-1"], "GET", "200"],
];

for (const [rule, target, fields, method, status] of ELSEWHERE) {
  Deno.test(`conditions: ${rule}`, async () => {
    await using service = start();
    assertMatch(
      `${(await ask(service.port, target, fields, method)).status}`,
      new RegExp(`^${status}$`),
    );
  });
}

Deno.test("conditions: a listing has a tag, and 304", async () => {
  await using service = start();
  const etag = (await ask(service.port, "/bare/")).fields.get("ETag");
  assertEquals((await ask(service.port, "/bare/", [`If-None-Match: ${etag}`])).status, 304);
});

/** The three forms of a date, RFC 9110 §5.6.7, and what is none. */
const year = new Date().getUTCFullYear();
const DATES: readonly [
  readonly [string, string],
  ...(readonly [text: string, date: string | null])[],
] = [
  ["Sun, 06 Nov 1994 08:49:37 GMT", "1994-11-06T08:49:37Z"],
  ["Sunday, 06-Nov-94 08:49:37 GMT", "1994-11-06T08:49:37Z"],
  ["Sun Nov  6 08:49:37 1994", "1994-11-06T08:49:37Z"],
  ["Wed Nov 16 08:49:37 1994", "1994-11-16T08:49:37Z"],
  ["Thu, 29 Feb 2024 23:59:59 GMT", "2024-02-29T23:59:59Z"],
  ["Thu, 01 Jan 1970 00:00:00 GMT", "1970-01-01T00:00:00Z"],
  ["Fri, 31 Dec 9999 23:59:59 GMT", "9999-12-31T23:59:59Z"],
  // a year of two digits is the last with them that is not more than 50 years ahead
  [`Monday, 01-Jan-${`${year + 40}`.slice(2)} 00:00:00 GMT`, `${year + 40}-01-01T00:00:00Z`],
  [`Monday, 01-Jan-${`${year + 60}`.slice(2)} 00:00:00 GMT`, `${year - 40}-01-01T00:00:00Z`],
  ["Monday, 01-Jan-00 00:00:00 GMT", "2000-01-01T00:00:00Z"],
  ["", null],
  ["0", null],
  ["now", null],
  ["1994-11-06T08:49:37Z", null],
  ["Sun, 6 Nov 1994 08:49:37 GMT", null],
  ["sun, 06 nov 1994 08:49:37 gmt", null],
  ["Sun, 06 Nov 1994 08:49:37 UTC", null],
  ["Sun, 06 Nov 1994 08:49:37 +0000", null],
  ["Sun, 06 Nov 1994 08:49:37", null],
  ["Sun, 06 Nov 94 08:49:37 GMT", null],
  ["Sun 06 Nov 1994 08:49:37 GMT", null],
  ["06 Nov 1994 08:49:37 GMT", null],
  ["Sun, 06-Nov-1994 08:49:37 GMT", null],
  ["Sun, 06-Nov-94 08:49:37 GMT", null],
  ["Sun, 06 Nov 1994 8:49:37 GMT", null],
  ["Sun, 06 Nov 1994 24:00:01 GMT", null],
  ["Sun, 06 Nov 1994 08:60:37 GMT", null],
  ["Sun, 32 Nov 1994 08:49:37 GMT", null],
  ["Sun, 00 Nov 1994 08:49:37 GMT", null],
  ["Sun, 06 Foo 1994 08:49:37 GMT", null],
  ["Sun Nov 6 08:49:37 1994", null],
  ["Sun Nov  6 08:49:37 1994 GMT", null],
  ["Sun, 06 Nov 1994 08:49:37 GMT, x", null],
];

for (const [text, date] of DATES) {
  Deno.test(`dates: ${JSON.stringify(text)}`, () => {
    assertEquals(parseDate(text), date === null ? null : Date.parse(date) / 1_000);
  });
}

/** Ranges of ten octets, and the parts that come; or 200 for all of it, or 416. */
const RANGES: readonly [range: string, want: string][] = [
  ["bytes=0-0", "0-0"],
  ["bytes=2-5", "2-5"],
  ["bytes=0-9", "0-9"],
  ["bytes=9-9", "9-9"],
  ["bytes=5-", "5-9"],
  ["bytes=0-", "0-9"],
  ["bytes=5-99", "5-9"],
  ["bytes=-3", "7-9"],
  ["bytes=-10", "0-9"],
  ["bytes=-99", "0-9"],
  ["bytes=0000-0003", "0-3"],
  [`bytes=1-${"9".repeat(24)}`, "1-9"],
  [`bytes=-${"9".repeat(400)}`, "0-9"],
  ["BYTES=2-5", "2-5"],
  ["Bytes=2-5", "2-5"],
  ["bytes=0-1,4-5", "0-1 4-5"],
  ["bytes=0-1 ,\t4-5", "0-1 4-5"],
  ["bytes=0-0,-1", "0-0 9-9"],
  ["bytes=8-9,0-1", "8-9 0-1"],
  ["bytes=0-3,2-5", "0-3 2-5|0-5"],
  ["bytes=,0-1,,4-5,", "0-1 4-5"],
  ["bytes=0-1,99-", "0-1"],
  ["bytes=99-,0-1", "0-1"],
  ["bytes=0-1,-0", "0-1"],
  ["bytes=10-", "416"],
  ["bytes=10-10", "416"],
  ["bytes=99-100", "416"],
  ["bytes=99-,100-200", "416"],
  ["bytes=-0", "416"],
  ["bytes=-0,-0", "416"],
  [`bytes=${"9".repeat(24)}-`, "416"],
  [`bytes=${"9".repeat(400)}-${"9".repeat(400)}`, "416"],
  ["bytes=4-1", "200"],
  ["bytes=0-1,4-1", "200"],
  ["bytes=99-98", "200"],
  ["bytes=", "200"],
  ["bytes=,", "200"],
  ["bytes=-", "200"],
  ["bytes=--1", "200"],
  ["bytes=1", "200"],
  ["bytes=a-b", "200"],
  ["bytes=0-a", "200"],
  ["bytes=0x0-0x5", "200"],
  ["bytes=+1-5", "200"],
  ["bytes=1.0-5", "200"],
  ["bytes=1e0-5", "200"],
  ["bytes=1 -5", "200"],
  ["bytes=1- 5", "200"],
  ["bytes=1-5-7", "200"],
  ["bytes=0-1;2-3", "200"],
  ["bytes=0-1, x", "200"],
  ["bytes =0-1", "200"],
  ["bytes:0-1", "200"],
  ["bytes 0-1", "200"],
  ["bytes", "200"],
  ["0-1", "200"],
  ["=0-1", "200"],
  ["lines=0-1", "200"],
  ["seconds=0-1", "200"],
  ["bytes=0-1, lines=2-3", "200"],
  // RFC 9110 §17.15: what no honest client asks for
  [`bytes=${Array(300).fill("0-").join(",")}`, "200"],
  [`bytes=${Array(17).fill("0-0").join(",")}`, "200"],
  ["bytes=0-8,1-9", "200"],
  ["bytes=0-5,1-5,2-5,3-5,4-5", "200"],
];

/** The parts of an answer to a request for ranges, checked against what the file holds. */
function partsOf({ status, fields, body }: Answer, content: string): string {
  const [, boundary] = /^multipart\/byteranges; *boundary="?([^"; ]+)"?$/
    .exec(fields.get("Content-Type") ?? "") ?? [];
  if (status !== 206) return `${status}`;
  if (boundary === undefined) {
    const [, first, last, size] =
      /^bytes (\d+)-(\d+)\/(\d+)$/.exec(fields.get("Content-Range") ?? "") ?? [];
    assertEquals(Number(size), content.length);
    assertEquals(body, content.slice(Number(first), Number(last) + 1));
    return `${first}-${last}`;
  }
  assertEquals(fields.get("Content-Range"), undefined, "§15.3.7.2: not with several parts");
  assert(!content.includes(`--${boundary}`), "the boundary is not in the file");
  const parts: string[] = [];
  let rest = body.replace(/^\r\n/, "");
  while (rest !== `--${boundary}--\r\n`) {
    const [head = "", first, last] =
      /^--([!-~]+)\r\n(?:[A-Za-z-]+: [ -~]+\r\n)*?Content-Range: bytes (\d+)-(\d+)\/\d+\r\n(?:[A-Za-z-]+: [ -~]+\r\n)*\r\n/
        .exec(rest)?.toSpliced(1, 1) ?? [];
    assert(head.startsWith(`--${boundary}\r\n`), JSON.stringify(rest.slice(0, 300)));
    assertMatch(head, /\r\nContent-Type: [a-z]+\//);
    assertMatch(head, new RegExp(`/${content.length}\\r\\n`));
    const part = content.slice(Number(first), Number(last) + 1);
    assert(rest.startsWith(`${part}\r\n`, head.length), "each part is what it says");
    parts.push(`${first}-${last}`);
    rest = rest.slice(head.length + part.length + 2);
  }
  assert(parts.length > 1, "§15.3.7.2: one part is no multipart");
  return parts.join(" ");
}

Deno.test("ranges of ten octets", async (test) => {
  await using service = start();
  for (const [range, want] of RANGES) {
    await test.step(range.slice(0, 80), async () => {
      const answer = await ask(service.port, "/digits.txt", [`Range: ${range}`]);
      assertMatch(partsOf(answer, "0123456789"), new RegExp(`^(?:${want})$`));
      if (answer.status === 416) assertEquals(answer.fields.get("Content-Range"), "bytes */10");
      const head = await ask(service.port, "/digits.txt", [`Range: ${range}`], "HEAD");
      assertEquals(
        [head.status, head.fields.get("Content-Length")],
        [200, "10"],
        "§14.2: for GET only",
      );
    });
  }
});

Deno.test("ranges of a large file", async (test) => {
  using folder = new Folder({ "large.bin": LARGE });
  await using service = start({ root: folder.root });
  for (
    const [range, want] of [
      ["bytes=0-0", "0-0"],
      ["bytes=1000-1999", "1000-1999"],
      ["bytes=-1", "299999-299999"],
      ["bytes=131071-131073", "131071-131073"],
      ["bytes=262143-262145", "262143-262145"],
      ["bytes=299999-", "299999-299999"],
      ["bytes=0-", "0-299999"],
      ["bytes=0-9,1000-1999,-100", "0-9 1000-1999 299900-299999"],
      ["bytes=100000-299000,50-60", "100000-299000 50-60"],
      ["bytes=300000-", "416"],
      ["bytes=2-1", "200"],
      [`bytes=${Array(300).fill("0-").join(",")}`, "200"],
      [
        `bytes=${Array(16).fill(0).map((_, at) => `${at * 100}-${at * 100 + 9}`).join(",")}`,
        Array(16).fill(0).map((_, at) => `${at * 100}-${at * 100 + 9}`).join(" "),
      ],
    ] as const
  ) {
    await test.step(range.slice(0, 80), async () => {
      assertEquals(
        partsOf(await ask(service.port, "/large.bin", [`Range: ${range}`]), LARGE),
        want,
      );
    });
  }
});

Deno.test("ranges: two fields are one list, and so malformed", async () => {
  await using service = start();
  const answer = await ask(service.port, "/digits.txt", ["Range: bytes=0-1", "Range: bytes=3-4"]);
  assertEquals(answer.body, "0123456789");
});

Deno.test("ranges: nothing of an empty file can be had", async () => {
  await using service = start();
  for (const range of ["bytes=0-", "bytes=-5", "bytes=0-0", "bytes=-0"]) {
    const { status, fields } = await ask(service.port, "/empty.txt", [`Range: ${range}`]);
    assert(status === 200 || fields.get("Content-Range") === "bytes */0", range);
  }
});

Deno.test("ranges are announced", async () => {
  await using service = start();
  assertEquals((await ask(service.port, "/hello.txt")).fields.get("Accept-Ranges"), "bytes");
});

// ---- Meaning: validators and freshness ---------------------------------

for (const size of [1_000, 300_000]) {
  Deno.test(`ETag: every change gives another, ${size} octets`, async (test) => {
    using folder = new Folder({ "file.bin": octets(size) });
    await using service = start({ root: folder.root });
    let count = 0;
    // no two requests are alike, so that the server must look each time
    const look = async () => {
      const { body, fields } = await ask(service.port, `/file.bin?${count++}`);
      return { body: `${body.slice(0, 20)}… ${body.length}`, etag: fields.get("ETag") };
    };
    const changes: Record<string, () => void> = {
      "longer": () => folder.write("file.bin", octets(size + 1)),
      "as long, another time": () => folder.write("file.bin", `w${octets(size)}`, new Date()),
      "as long, the time put back": () => folder.write("file.bin", "x" + octets(size), WRITTEN),
      "another file in its place": () => {
        folder.write("other.bin", "y" + octets(size), WRITTEN);
        Deno.renameSync(folder.path("other.bin"), folder.path("file.bin"));
      },
    };
    let before = await look();
    for (const [change, make] of Object.entries(changes)) {
      await test.step(change, async () => {
        make();
        const [old, now] = [before, await look()];
        before = now;
        assertNotEquals(now.body, old.body);
        assertNotEquals(now.etag, old.etag);
      });
    }
    await test.step("no change gives the same", async () => {
      if (size > 100_000) await pause(1_100); // then the second of the last change is past
      assertEquals(await look(), await look());
    });
    await test.step("changes that follow each other at once", async () => {
      const tags = new Map<string | undefined, string>();
      for (let round = 0; round < 50; round++) {
        Deno.writeTextFileSync(folder.path("file.bin"), `${1_000 + round}` + octets(size));
        const { body, etag } = await look();
        const known = tags.get(etag);
        assert(
          known === undefined || known === body || etag?.startsWith("W/"),
          `round ${round}: ${etag} means two things`,
        );
        tags.set(etag, body);
      }
    });
  });
}

for (const size of [1_000, 300_000]) {
  Deno.test(`ETag: one octet changes, many times within a tick of the clock, ${size} octets`, async () => {
    using folder = new Folder({ "file.bin": octets(size) });
    using file = Deno.openSync(folder.path("file.bin"), { write: true });
    await using service = start({ root: folder.root });
    using client = await Client.open(service.port);
    const written = new Map<string, string>();
    for (let round = 0; round < 200; round++) {
      const letter = String.fromCharCode(97 + round % 26);
      file.seekSync(0, Deno.SeekMode.Start);
      file.writeSync(octetsOf(letter));
      client.text = "";
      const small = size < 100_000; // of a large file a HEAD is quicker, and there is the tag too
      await client.send(request(`/file.bin?${round}`, [], small ? "GET" : "HEAD"));
      const text = await client.until(small ? /\r\n\r\n[^]{1000}$/ : /\r\n\r\n$/);
      const [answer] = readAnswers(text, [small ? "GET" : "HEAD"]);
      if (small) assertEquals(answer?.body[0], letter, `round ${round}`);
      const etag = answer?.fields.get("ETag") ?? "";
      assertEquals(written.get(etag) ?? letter, letter, `round ${round}: one tag for two contents`);
      written.set(etag, letter);
    }
  });
}

testSlowly(
  "ETag: a file that has long been the same changes, its size and time do not",
  async () => {
    using folder = new Folder({ "small.txt": "old", "large.txt": `old${LARGE}` });
    await using service = start({ root: folder.root });
    const look = async (round: number) => {
      const answers = [];
      for (const name of ["small", "large"]) {
        const { body, fields } = await ask(service.port, `/${name}.txt?${round}`);
        answers.push([body.slice(0, 3), fields.get("ETag")]);
      }
      return answers;
    };
    await pause(1_200); // for long
    const [before, again] = [await look(1), await look(2)];
    assertEquals(again, before);
    folder.write("small.txt", "new");
    folder.write("large.txt", `new${LARGE}`);
    const after = await look(3);
    for (const [at, [body, etag]] of after.entries()) {
      assertEquals([before[at]?.[0], body], ["old", "new"]);
      assertNotEquals(etag, before[at]?.[1]);
    }
  },
);

for (const size of [1_000, 300_000]) {
  testSlowly(`a changed file is served new within a second, ${size} octets`, async () => {
    using folder = new Folder({ "file.txt": `old${octets(size)}` });
    await using service = start({ root: folder.root });
    using client = await Client.open(service.port);
    const look = async (): Promise<Answer> => {
      client.text = "";
      await client.send(request("/file.txt"));
      for (let known: Answer[] = [];;) {
        await client.read();
        const end = client.text.indexOf("\r\n\r\n") + 4;
        if (end < 4) continue;
        const length = Number(/\r\nContent-Length: (\d+)/.exec(client.text)?.[1]);
        if (client.text.length < end + length) continue;
        known = readAnswers(client.text);
        const [answer] = known;
        assert(answer);
        return answer;
      }
    };
    const before = await look();
    folder.write("file.txt", `new, longer${octets(size)}`, new Date());
    const changed = performance.now();
    let now = before;
    for (let asked = changed; now.body === before.body;) {
      assert(asked - changed < 1_500, "an old answer, long after the change");
      asked = performance.now();
      now = await look();
      assertEquals(now.fields.get("ETag") === before.fields.get("ETag"), now.body === before.body);
    }
    assert(now.body.startsWith("new"));
    assertNotEquals(now.fields.get("Last-Modified"), before.fields.get("Last-Modified"));
    Deno.removeSync(folder.path("file.txt"));
    const removed = performance.now();
    for (let asked = removed; (await look()).status !== 404; asked = performance.now()) {
      assert(asked - removed < 1_500, "an answer from a file long gone");
    }
  });
}

Deno.test("ETag: it tells nothing of the disk, however large the file", async () => {
  using folder = new Folder({ "huge.bin": new Uint8Array(HUGE) });
  await using service = start({ root: folder.root });
  const { fields } = await ask(service.port, "/huge.bin", [], "HEAD");
  assertMatch(fields.get("ETag") ?? "", /^"[\w-]{27}"$/);
});

Deno.test("Last-Modified is never later than Date", async () => {
  using folder = new Folder();
  const future = new Date(Date.now() + 86_400_000);
  folder.write("small.txt", "x", future);
  folder.write("large.txt", LARGE, future);
  folder.write("epoch.txt", "x", new Date(0));
  folder.write("early.txt", "x", new Date("1960-01-01T00:00:00Z"));
  folder.write("late.txt", "x", new Date("2400-01-01T00:00:00Z"));
  await using service = start({ root: folder.root });
  for (const name of ["small", "large", "epoch", "early", "late"]) {
    const answer = await ask(service.port, `/${name}.txt`); // readHead compares the two
    assertEquals(answer.status, 200, name);
  }
  assertEquals((await ask(service.port, "/small.txt", [`If-Modified-Since: ${DATE}`])).status, 200);
});

Deno.test("§8.8.2.2: a date within its own second is no strong validator", async () => {
  using folder = new Folder({ "small.txt": "0123456789", "large.txt": LARGE });
  await using service = start({ root: folder.root });
  for (const name of ["small.txt", "large.txt"]) {
    // of a file from the future Last-Modified is now, at any time
    Deno.utimeSync(folder.path(name), new Date(), new Date(Date.now() + 86_400_000));
    const { fields, body } = await ask(service.port, `/${name}`);
    const ranged = ["Range: bytes=0-1", `If-Range: ${fields.get("Last-Modified")}`];
    assertEquals((await ask(service.port, `/${name}`, ranged)).body.length, body.length);
  }
});

// ---- Meaning: codings --------------------------------------------------

/** What is accepted, and which of "style.css", ".br" and ".gz" comes. */
const CODINGS: readonly [accepted: string | null, want: string][] = [
  [null, "identity"],
  ["", "identity"],
  ["identity", "identity"],
  ["deflate, zstd", "identity"],
  ["gzip", "gzip"],
  ["GZip", "gzip"],
  ["br", "br"],
  ["gzip, br", "br"],
  ["br, gzip", "br"],
  ["gzip, deflate, br, zstd", "br"],
  ["*", "br"],
  ["gzip;q=1.0, *;q=0.5", "gzip"],
  ["br;q=0.5, gzip", "gzip"],
  ["br;q=0.5, gzip;q=0.8", "gzip"],
  ["br;q=0.9,gzip;q=0.8", "br"],
  ["br ; q=0.5 ,\tgzip ; q=0.8", "gzip"],
  ["br;Q=0.5, gzip;Q=0.8", "gzip"],
  ["br;q=0.001", "br"],
  ["gzip;q=0", "identity"],
  ["gzip;q=0.0", "identity"],
  ["gzip;q=0.000, br;q=0", "identity"],
  ["br;q=0, gzip", "gzip"],
  ["br;q=0, *", "gzip"],
  ["*;q=0", "identity"],
  ["gzip;q=0.5, identity", "identity"],
  ["gzip;q=0.5, identity;q=0.1", "gzip"],
  ["identity;q=0, gzip", "gzip"],
  ["gzipx", "identity"],
  ["xbr", "identity"],
];

Deno.test("codings: siblings", async (test) => {
  const files = { identity: "css", br: "css.br", gzip: "css.gz" };
  using folder = new Folder({
    "style.css": "plain",
    "style.css.br": "brotli",
    "style.css.gz": "gz",
  });
  await using service = start({ root: folder.root });
  const tags = new Map<string, string>();
  for (const [accepted, want] of CODINGS) {
    await test.step(`Accept-Encoding: ${accepted}`, async () => {
      const fields = accepted === null ? [] : [`Accept-Encoding: ${accepted}`];
      const answer = await ask(service.port, "/style.css", fields);
      assertEquals(answer.fields.get("Content-Encoding") ?? "identity", want);
      assertEquals(answer.body, { identity: "plain", br: "brotli", gzip: "gz" }[want]);
      assertEquals(answer.fields.get("Content-Type"), "text/css; charset=utf-8");
      assertMatch(answer.fields.get("Vary") ?? "", /Accept-Encoding/i, "§12.5.5");
      const etag = answer.fields.get("ETag") ?? "";
      assertEquals(tags.get(want) ?? etag, etag);
      tags.set(want, etag);
      const head = await ask(service.port, "/style.css", fields, "HEAD");
      assertEquals(head.fields.get("Content-Length"), `${answer.body.length}`);
      const fresh = await ask(service.port, "/style.css", [...fields, `If-None-Match: ${etag}`]);
      assertEquals([fresh.status, fresh.fields.get("ETag")], [304, etag]);
      assertMatch(fresh.fields.get("Vary") ?? "", /Accept-Encoding/i, "§15.4.5");
      const part = await ask(service.port, "/style.css", [...fields, "Range: bytes=1-"]);
      assertEquals(part.body, answer.body.slice(1), "a range of what is sent");
      assertEquals(part.fields.get("Content-Encoding"), answer.fields.get("Content-Encoding"));
    });
  }
  await test.step("§8.8.3.3: each has its own tag", () => {
    assertEquals(new Set(tags.values()).size, Object.keys(files).length);
  });
});

Deno.test("codings: what is no sibling", async (test) => {
  using folder = new Folder({
    "plain.txt": "plain",
    "old.txt": "new",
    "dir.txt": "plain",
    "dir.txt.br/": "",
    "dir.txt.gz/": "",
    "out.txt": "plain",
    "a.tar": "tar",
    "a.tar.gz": "packed",
    "only.txt.gz": "packed",
    "../secret.br": "secret",
  });
  folder.write("old.txt.br", "stale", new Date(WRITTEN.getTime() - 60_000));
  folder.link("../secret.br", "out.txt.br");
  await using service = start({ root: folder.root });
  const get = async (target: string) => {
    const { status, fields, body } = await ask(service.port, target, ["Accept-Encoding: br, gzip"]);
    return [status, body, fields.get("Content-Encoding"), fields.get("Content-Type")];
  };
  const TEXT = "text/plain; charset=utf-8";
  await test.step("none at all", async () => {
    assertEquals(await get("/plain.txt"), [200, "plain", undefined, TEXT]);
  });
  await test.step("one that is older than the file", async () => {
    assertEquals(await get("/old.txt"), [200, "new", undefined, TEXT]);
  });
  await test.step("a folder", async () => {
    assertEquals(await get("/dir.txt"), [200, "plain", undefined, TEXT]);
  });
  await test.step("a link out", async () => {
    assertEquals(await get("/out.txt"), [200, "plain", undefined, TEXT]);
  });
  await test.step("asked for by its own name it is itself", async () => {
    assertEquals(await get("/a.tar.gz"), [200, "packed", undefined, "application/gzip"]);
  });
  await test.step("but beside a.tar it is a sibling", async () => {
    assertEquals(await get("/a.tar"), [200, "packed", "gzip", "application/x-tar"]);
  });
  await test.step("without an original it stands for nothing", async () => {
    assertEquals((await get("/only.txt"))[0], 404);
  });
});

// ---- Files: names and what they lead to --------------------------------

const UNIX = Deno.build.os !== "windows";

/** Where a target leads in the folder below: a status, or the content. */
const TARGETS: readonly [target: string, want: string][] = [
  ["/plain.txt", "plain"],
  ["/%70lain.txt", "plain"],
  ["/plain%2etxt", "plain"],
  ["/a%20b.txt", "blank"],
  ["/a+b.txt", "plus"],
  ["/a%2Bb.txt", "plus"],
  ["/a&b;c=d.txt", "sub-delims"],
  ["/%c3%a4.txt", "umlaut"],
  ["/100%25.txt", "per cent"],
  ["/%2541.txt", "encoded"],
  ["/A.txt", "404"],
  ["/%41.txt", "404"],
  ["/q%3F.txt", "question"],
  ["/q?.txt", "404"],
  ["/h%23.txt", "hash"],
  ["/%3Cb%3E.txt", "tag"],
  ["/dir/x.txt", "x"],
  ["/dir//x.txt", "x|404|30\\d"],
  ["//plain.txt", "plain|404|30\\d"],
  ["/plain.txt/", "404"],
  ["/plain.txt//", "404"],
  ["/plain.txt/x", "404"],
  ["/plain.txt/.", "40[04]"],
  ["/nothing", "404"],
  ["/dir/nothing/x", "404"],
  ["/Plain.txt", "404"],
  ["/./plain.txt", "plain|40[04]"],
  ["/dir/../plain.txt", "plain|40[04]"],
  ["/dir/%2e%2e/plain.txt", "plain|40[04]"],
  ["/..", "40[04]"],
  ["/../secret.txt", "40[04]"],
  ["/../root/plain.txt", "plain|40[04]"],
  ["/../root-evil/secret.txt", "40[04]"],
  ["/dir/../../secret.txt", "40[04]"],
  ["/%2e%2e/secret.txt", "40[04]"],
  ["/%2E%2E/secret.txt", "40[04]"],
  ["/.%2e/secret.txt", "40[04]"],
  ["/..%2fsecret.txt", "40[04]"],
  ["/..%5csecret.txt", "40[04]"],
  ["/..\\secret.txt", "40[04]"],
  ["/%252e%252e/secret.txt", "40[04]"],
  ["/%c0%ae%c0%ae/secret.txt", "40[04]"],
  ["/%e0%80%ae%e0%80%ae/secret.txt", "40[04]"],
  ["/..;/secret.txt", "40[04]"],
  ["/../../../../../../../../etc/passwd", "40[04]"],
  ["//etc/passwd", "40[04]"],
  ["/%2fetc/passwd", "40[04]"],
  ["/%2Fetc%2Fpasswd", "40[04]"],
  ["/dir%2fx.txt", "40[04]"],
  ["/dir%5cx.txt", "40[04]"],
  ["/plain.txt%00", "40[04]"],
  ["/plain.txt%00.html", "40[04]"],
  ["/%00", "40[04]"],
  ["/plain.txt%0a", "40[04]"],
  ["/plain.txt%20", "40[04]"],
  ["/%zz", "400"],
  ["/%", "400"],
  ["/plain.txt%", "400"],
  ["/%4", "400"],
  ["/%u0041", "400"],
  ["/%ff", "40[04]"],
  ["/%c3", "40[04]"],
  ["/%ed%a0%80", "40[04]"],
  [`/${"x".repeat(300)}`, "404"],
  [`/${"x".repeat(7_990)}`, "404"],
  [`/${"%41".repeat(2_600)}`, "404"],
  [`/${"x/".repeat(3_900)}`, "404"],
  [`${"/".repeat(7_900)}plain.txt`, "plain|40[04]|30\\d"],
  [`/${"../".repeat(2_600)}`, "40[04]"],
  ["/.env", "404"],
  ["/%2eenv", "404"],
  ["/.git/config", "404"],
  ["/.git/", "404"],
  ["/.git", "404"],
  ["/dir/.secret", "404"],
  ["/...", "404"],
  ["/.well-known/acme", "acme"],
  ["/.well-known/.secret", "404"],
  ["/dir/.well-known/acme", "404"],
  ["/.well-known/../.env", "40[04]"],
  ["/link-in", "plain"],
  ["/link-in-dir/x.txt", "x"],
  ["/dir/up", "plain"],
  ["/self/self/plain.txt", "plain"],
  ["/link-absolute", "plain"],
  ["/link-out", "40[34]"],
  ["/link-out-dir/secret.txt", "40[34]"],
  ["/link-out-dir/", "40[34]"],
  ["/link-out-dir", "40[34]"],
  ["/link-out-dir/nothing", "40[34]"],
  ["/link-prefix/secret.txt", "40[34]"],
  ["/link-hidden", "40[34]"],
  ["/link-hidden-dir/config", "40[34]"],
  ["/link-broken", "404"],
  ["/link-loop", "404"],
  ["/link-zero", "40[34]"],
  ["/link-about", "40[34]"],
  ["/fifo", "40[34]"],
  ["/dir/fifo", "40[34]"],
];

Deno.test({ name: "files: what a target leads to", ignore: !UNIX }, async (test) => {
  using folder = new Folder({
    "plain.txt": "plain",
    "a b.txt": "blank",
    "a+b.txt": "plus",
    "a&b;c=d.txt": "sub-delims",
    "ä.txt": "umlaut",
    "100%.txt": "per cent",
    "%41.txt": "encoded",
    "q?.txt": "question",
    "h#.txt": "hash",
    "<b>.txt": "tag",
    "dir/x.txt": "x",
    "dir/.secret": "secret",
    "dir/.well-known/acme": "secret",
    ".env": "secret",
    ".git/config": "secret",
    "...": "secret",
    ".well-known/acme": "acme",
    ".well-known/.secret": "secret",
    "../secret.txt": "secret",
    "../root-evil/secret.txt": "secret",
    "../about.html": "secret",
  });
  const links = {
    "link-in": "plain.txt",
    "link-in-dir": "dir",
    "dir/up": "../plain.txt",
    "self": ".",
    "link-absolute": folder.path("plain.txt"),
    "link-out": "../secret.txt",
    "link-out-dir": "..",
    "link-prefix": "../root-evil",
    "link-hidden": ".env",
    "link-hidden-dir": ".git",
    "link-broken": "nowhere",
    "link-loop": "link-loop",
    "link-zero": "/dev/zero",
    "link-about.html": "../about.html",
  };
  for (const [name, target] of Object.entries(links)) folder.link(target, name);
  for (const name of ["fifo", "dir/fifo"]) {
    await new Deno.Command("mkfifo", { args: [folder.path(name)] }).output();
  }
  await using service = start({ root: folder.root });
  for (const [target, want] of TARGETS) {
    for (const method of ["GET", "HEAD"]) {
      await test.step(`${method} ${target.slice(0, 80)}`, async () => {
        const { status, body } = await ask(service.port, target, [], method);
        assert(!body.includes("secret") && !body.includes("root:"), "nothing from outside");
        if (status === 200 && method === "HEAD") assertMatch(want, /^[a-z]/);
        else assertMatch(status === 200 ? body : `${status}`, new RegExp(`^(?:${want})$`));
      });
    }
  }
  await test.step("a fifo, ten times at once, holds nobody up", async () => {
    const statuses = await Promise.all(
      Array.from({ length: 10 }, () => ask(service.port, "/fifo")),
    );
    assert(statuses.every(({ status }) => status === 403 || status === 404));
    assertEquals((await ask(service.port, "/plain.txt")).body, "plain");
  });
  await test.step("with dotfiles: true they are served, but none outside", async () => {
    await using open = start({ root: folder.root, dotfiles: true });
    for (const target of ["/.env", "/.git/config", "/dir/.secret", "/link-hidden", "/..."]) {
      assertEquals((await ask(open.port, target)).body, "secret", target);
    }
    for (const target of ["/../secret.txt", "/%2e%2e/secret.txt", "/link-out"]) {
      assertMatch(`${(await ask(open.port, target)).status}`, /^40[034]$/, target);
    }
  });
});

Deno.test({ name: "files: a socket is refused", ignore: !UNIX }, async () => {
  using folder = new Folder();
  const path = folder.path("socket");
  const holder = new Deno.Command(Deno.execPath(), {
    args: [
      "eval",
      `Deno.listen({ transport: "unix", path: "${path}" }); setTimeout(() => {}, 9e4)`,
    ],
  }).spawn();
  const made = () => Deno.readDirSync(folder.root).some(({ name }) => name === "socket");
  while (!made()) await new Promise((resolve) => setTimeout(resolve, 20));
  await using service = start({ root: folder.root });
  assertMatch(`${(await ask(service.port, "/socket")).status}`, /^40[34]$/);
  holder.kill();
  await holder.status;
});

Deno.test(
  { name: "files: a link changed while it is asked for never leads out", ignore: !UNIX },
  async () => {
    using folder = new Folder({ "in.txt": "inside", "../out.txt": "secret" });
    folder.link("in.txt", "link");
    await using service = start({ root: folder.root });
    let on = true;
    const changing = (async () => {
      for (let out = false; on; out = !out) {
        folder.link(out ? "../out.txt" : "in.txt", "next");
        await Deno.rename(folder.path("next"), folder.path("link"));
      }
    })();
    for (let round = 0; round < 200; round++) {
      const { status, body } = await ask(service.port, `/link?${round}`);
      assertMatch(status === 200 ? body : `${status}`, /^(inside|40[34])$/);
    }
    on = false;
    await changing;
  },
);

Deno.test("files: types, and nosniff", async (test) => {
  const types = {
    "a.html": "text/html; charset=utf-8",
    "a.css": "text/css; charset=utf-8",
    "a.js": "text/javascript; charset=utf-8",
    "a.mjs": "text/javascript; charset=utf-8",
    "a.txt": "text/plain; charset=utf-8",
    "a.md": "text/markdown; charset=utf-8",
    "a.csv": "text/csv; charset=utf-8",
    "a.json": "application/json",
    "a.svg": "image/svg+xml",
    "a.png": "image/png",
    "A.JPG": "image/jpeg",
    "a.webp": "image/webp",
    "a.avif": "image/avif",
    "a.woff2": "font/woff2",
    "a.wasm": "application/wasm",
    "a.pdf": "application/pdf",
    "a.mp4": "video/mp4",
    "a.webm": "video/webm",
    "a.mp3": "audio/mpeg",
    "a.webmanifest": "application/manifest+json",
    "a.zip": "application/zip",
    "a.unheard-of": "application/octet-stream",
    "README": "application/octet-stream",
    "html": "application/octet-stream",
    ".html/js": "application/octet-stream",
    "a.": "application/octet-stream",
    "a.html.": "application/octet-stream",
  };
  using folder = new Folder(Object.fromEntries(Object.keys(types).map((name) => [name, "x"])));
  await using service = start({ root: folder.root, dotfiles: true });
  for (const [name, type] of Object.entries(types)) {
    await test.step(name, async () => {
      const { fields } = await ask(service.port, `/${name}`);
      assertEquals(fields.get("Content-Type"), type);
      assertEquals(fields.get("X-Content-Type-Options"), "nosniff");
    });
  }
});

Deno.test("files: one with an awkward name, from the repository", async () => {
  await using service = start();
  const target = `/${encodeURIComponent("an awkward näme, 100% & #1.txt")}`;
  assertEquals((await ask(service.port, target)).body, "awkward\n");
});

// ---- Files that change while they are sent -----------------------------

/** What no socket buffers take in one go. */
const HUGE = 24_000_000;

/** Asks for a huge file, changes it when the first octets have come, and reads to the end. */
async function duringTransfer(
  change: (folder: Folder) => void,
): Promise<[Client, Service, Folder]> {
  const folder = new Folder({ "huge.bin": "", "end.txt": "the end\n" });
  Deno.writeFileSync(folder.path("huge.bin"), new Uint8Array(HUGE).fill(0x61));
  const service = start({ root: folder.root });
  const client = await Client.open(service.port);
  await client.send(request("/huge.bin"));
  await client.until(/\r\n\r\n/);
  change(folder);
  await client.send(SENTINEL);
  return [client, service, folder];
}

Deno.test("changes: a file that grows does not touch the next answer", async () => {
  const [client, service, folder] = await duringTransfer((folder) => {
    const forged = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged".repeat(100_000);
    Deno.writeTextFileSync(folder.path("huge.bin"), forged, { append: true });
  });
  using _folder = folder;
  await using _service = service;
  using _client = client;
  const [first, second, ...others] = readAnswers(await client.until());
  assertEquals([first?.body.length, second?.body, others], [HUGE, "the end\n", []]);
  assert(!first?.body.includes("forged"));
});

Deno.test("changes: a file that shrinks ends the connection, and nothing is made up", async () => {
  const [client, service, folder] = await duringTransfer((folder) => {
    Deno.truncateSync(folder.path("huge.bin"), 1_000_000);
  });
  using _folder = folder;
  await using running = service;
  using _client = client;
  const begun = performance.now();
  const text = await client.until();
  assert(performance.now() - begun < 3_000, "it ends within a second");
  const [, body = ""] = /^HTTP\/1\.1 200 OK\r\n[^]*?\r\n\r\n([^]*)$/.exec(text) ?? [];
  assert(body.length < HUGE && /^a*$/.test(body), "no padding, no next answer");
  assertEquals((await ask(running.port, "/end.txt")).body, "the end\n");
  const [exchange] = running.exchanges.filter(({ due }) => due === HUGE);
  assert(exchange && exchange.sent < HUGE, "the log tells");
  running.complaints.length = 0; // it may say so
});

Deno.test("changes: a file that is replaced or removed is sent as it was", async () => {
  const [client, service, folder] = await duringTransfer((folder) => {
    folder.write("other.bin", "other");
    if (UNIX) Deno.renameSync(folder.path("other.bin"), folder.path("huge.bin"));
    if (UNIX) Deno.removeSync(folder.path("huge.bin"));
  });
  using _folder = folder;
  await using _service = service;
  using _client = client;
  const [first, second] = readAnswers(await client.until());
  assertEquals([first?.body.length, second?.body], [HUGE, "the end\n"]);
});

Deno.test("changes: while a file is written again and again, every answer is in order", async () => {
  using folder = new Folder({ "file.bin": octets(1_000) });
  await using service = start({ root: folder.root });
  let on = true;
  const changing = (async () => {
    for (let size = 1_000; on; size = (size * 7919) % 400_000) {
      await Deno.writeTextFile(folder.path("file.bin"), octets(size));
    }
  })();
  for (let round = 0; round < 100; round++) {
    const text = await talk(service.port, [request(`/file.bin?${round}`, ["Connection: close"])]);
    const [head, length] =
      /^HTTP\/1\.1 200 OK\r\n[^]*?Content-Length: (\d+)\r\n[^]*?\r\n\r\n/.exec(text) ?? [];
    assert(head && text.length - head.length <= Number(length), text.slice(0, 300));
  }
  on = false;
  await changing;
  service.complaints.length = 0;
});

Deno.test(
  { name: "changes: a file replaced again and again is always there", ignore: !UNIX },
  async () => {
    using folder = new Folder({ "file.txt": "a", "large.bin": LARGE });
    await using service = start({ root: folder.root });
    const replace = `for (;;) for (const name of ["file.txt", "large.bin"]) {
    Deno.copyFileSync(name, ".next");
    Deno.renameSync(".next", name);
  }`;
    const replacing = new Deno.Command(Deno.execPath(), {
      args: ["eval", replace],
      cwd: folder.root,
    })
      .spawn();
    const statuses = new Set<string>();
    const begun = performance.now();
    for (let round = 0; performance.now() - begun < 700; round++) {
      for (const name of ["file.txt", "large.bin"]) {
        const { status, body } = await ask(service.port, `/${name}?${round}`);
        statuses.add(`${status} ${body.length}`);
      }
    }
    replacing.kill();
    await replacing.status;
    assertEquals(statuses, new Set(["200 1", `200 ${LARGE.length}`]));
  },
);

testSlowly("changes: the folder itself is a link that is switched", async () => {
  using folder = new Folder({ "1/a.txt": "one", "2/a.txt": "two", "2/b.txt": "new" });
  folder.link("1", "current");
  await using service = start({ root: folder.path("current") });
  assertEquals((await ask(service.port, "/a.txt")).body, "one");
  folder.link("2", "next");
  Deno.renameSync(folder.path("next"), folder.path("current"));
  await pause(1_100); // what was known may be kept for a second
  assertEquals((await ask(service.port, "/a.txt")).body, "two");
  assertEquals((await ask(service.port, "/b.txt")).body, "new");
  assertEquals((await ask(service.port, "/")).status, 200);
}, !UNIX);

// ---- Redirects and listings --------------------------------------------

/** Where a client is sent on to: always a path, never another host. */
const REDIRECTS: readonly [target: string, location: string][] = [
  ["/dir", "/dir/"],
  ["/dir?a=b&c=//d", "/dir/\\?a=b&c=//d"],
  ["/dir?", "/dir/\\??"],
  ["/dir/sub", "/dir/sub/"],
  ["/%64ir", "/dir/"],
  ["/a%20b", "/a%20b/"],
  ["/%c3%a4", "/%C3%A4/"],
  ["/q%3F%23%25", "/q%3F%23%25/"],
  ["//dir", "/dir/|404"],
  ["//evil.test", "/evil.test/|404"],
  ["////evil.test", "/evil.test/|404"],
  ["/.//evil.test", "/evil.test/|40[04]"],
  ["//evil.test/%2e%2e", "40[04]"],
  ["//evil.test/..", "40[04]"],
  ["/%5cevil.test", "/%5Cevil.test/|40[04]"],
  ["/\\evil.test", "400"],
  ["/dir%0d%0aX-Forged:%20y", "40[04]"],
  ["/line%0d%0aX-Forged:%20y", "/line%0D%0AX-Forged%3A%20y/|40[04]"],
  ["http://evil.test/dir", "/dir/"],
  ["http://evil.test//evil.test", "/evil.test/|404"],
];

Deno.test({ name: "redirects to folders", ignore: !UNIX }, async (test) => {
  using folder = new Folder({
    "dir/sub/": "",
    "a b/": "",
    "ä/": "",
    "q?#%/": "",
    "evil.test/": "",
    "\\evil.test/": "",
    "line\r\nX-Forged: y/": "",
  });
  await using service = start({ root: folder.root });
  for (const [target, want] of REDIRECTS) {
    for (const method of ["GET", "HEAD"]) {
      await test.step(`${method} ${target}`, async () => {
        const text = `${method} ${target} HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n`;
        const [answer] = readAnswers(await talk(service.port, [text]), [method]);
        const location = answer?.fields.get("Location");
        if (location !== undefined) assertMatch(`${answer?.status}`, /^30[1278]$/);
        assertMatch(location ?? `${answer?.status}`, new RegExp(`^(?:${want})$`));
        assertEquals(answer?.fields.get("X-Forged"), undefined);
      });
    }
  }
});

/** Names that whoever may write into a folder could choose. */
const NAMES = [
  "<img src=x onerror=alert(1)>",
  "<script>alert(1)<",
  "javascript:alert(1)",
  "data:text,html",
  "%41",
  "#",
  "?",
  "a?b#c",
  "a&amp;b",
  "&lt;",
  '"double"',
  "'single'",
  "back\\slash",
  "new\nline",
  "tab\tstop",
  "\x1b[2J",
  "-dash",
  "~tilde",
  " blanks ",
  "a+b",
  "ä",
  "a\u0308",
  "日本語.txt",
  "\u202egnp.txt",
  "🙂",
  "[::1]",
  "*",
  "x".repeat(255),
];

Deno.test({ name: "listings", ignore: !UNIX }, async (test) => {
  const files = Object.fromEntries(
    NAMES.map((name) => [name, `content of ${encodeURIComponent(name)}`]),
  );
  using folder = new Folder({
    ...files,
    "9.txt": "nine",
    "10.txt": "ten",
    "zoo/a.txt": "",
    "Dir/b.txt": "",
    "<b>bold/x.txt": "",
    ".hidden": "",
    ".dir/": "",
    "../out.txt": "secret",
  });
  folder.link("../out.txt", "link-out");
  folder.link("..", "link-out-dir");
  folder.link("9.txt", "link-in");
  folder.link("nowhere", "link-broken");
  folder.link(".hidden", "link-hidden");
  await new Deno.Command("mkfifo", { args: [folder.path("fifo")] }).output();
  await new Deno.Command("sh", {
    args: ["-c", `: > "$(printf 'not\\377utf8')"; mkdir "$(printf 'dir\\377')"`],
    cwd: folder.root,
  }).output();
  await using service = start({ root: folder.root });
  const { port } = service;
  const page = await ask(port, "/");

  await test.step("it is a page without script", () => {
    assertEquals(page.status, 200);
    assertEquals(page.fields.get("Content-Type"), "text/html; charset=utf-8");
    assertMatch(page.fields.get("Content-Security-Policy") ?? "", /default-src 'none'/);
    assertMatch(page.body, /^<!doctype html>/i);
    assert(!/<script|<img|<b>|onerror=alert\(1\)>/.test(page.body));
  });
  const links = [...page.body.matchAll(/<a href=(?:"([^"]*)"|'([^']*)')/g)].map(([, a, b]) =>
    (a ?? b ?? "").replace(/&#(\d+);/g, (_, code) => String.fromCharCode(Number(code)))
      .replaceAll("&amp;", "&").replaceAll("&quot;", '"')
  );
  const base = `http://localhost:${port}/`;
  const targets = links.map((link) => new URL(link, base));

  await test.step("every link stays here and works", async () => {
    for (const target of targets) {
      assertEquals(target.origin, new URL(base).origin);
      const path = target.href.slice(base.length - 1);
      assertEquals([path, (await ask(port, path)).status], [path, 200]);
    }
  });
  await test.step("every name is there once, with its content", async () => {
    for (const name of NAMES) {
      const found = targets.filter(({ pathname }) => decodeURIComponent(pathname) === `/${name}`);
      assertEquals([name, found.length], [name, 1]);
      const { body } = await ask(port, found[0]?.pathname ?? "");
      assertEquals(body, `content of ${encodeURIComponent(name)}`);
    }
  });
  const paths = targets.map(({ pathname }) => decodeURIComponent(pathname));
  await test.step("folders first, numbers in their order", () => {
    const last = paths.findLastIndex((path) => path.endsWith("/"));
    assert(paths.slice(0, last).every((path) => path.endsWith("/")));
    assert(paths.indexOf("/Dir/") < paths.indexOf("/zoo/"));
    assert(paths.indexOf("/9.txt") < paths.indexOf("/10.txt"));
  });
  await test.step("what is not served is not linked", () => {
    for (
      const name of [
        ".hidden",
        ".dir/",
        "link-out",
        "link-out-dir/",
        "link-broken",
        "link-hidden",
        "fifo",
      ]
    ) {
      assert(!paths.includes(`/${name}`), name);
    }
    assert(paths.includes("/link-in"));
    assertMatch(
      page.body,
      /<td>not\xef\xbf\xbdutf8<td>/,
      "what has a name that is no UTF-8 is shown",
    );
    assertMatch(page.body, /<td>dir\xef\xbf\xbd<td>/);
    assert(!/\.hidden|secret/.test(page.body));
  });
  await test.step("HEAD says the same", async () => {
    const head = await ask(port, "/", [], "HEAD");
    const shown = ({ fields }: Answer) => [...fields].filter(([name]) => name !== "Date");
    assertEquals(shown(head), shown(page));
  });
  await test.step("JSON for those who ask for it", async () => {
    const answer = await ask(port, "/", ["Accept: application/json"]);
    assertMatch(answer.fields.get("Content-Type") ?? "", /^application\/json/);
    assertMatch(answer.fields.get("Vary") ?? "", /\bAccept\b/);
    assertMatch(page.fields.get("Vary") ?? "", /\bAccept\b/);
    const text = new TextDecoder().decode(octetsOf(answer.body));
    const entries: { name: string; type: string; size?: number }[] = JSON.parse(text);
    const names = entries.map(({ name }) => name);
    for (const name of [...NAMES, "Dir", "zoo", "link-in"]) assert(names.includes(name), name);
    assertEquals(entries.find(({ name }) => name === "10.txt")?.size, 3);
    assert(!names.some((name) => /hidden|out|broken|fifo|\ufffd/.test(name)));
  });
  for (
    const [accept, want] of [
      ["*/*", "text/html"],
      ["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"],
      ["application/json, text/plain, */*", "application/json"],
      ["application/json;q=0.5, text/html", "text/html"],
      ["application/json;q=0", "text/html"],
      ["application/*", "application/json"],
    ]
  ) {
    await test.step(`Accept: ${accept}`, async () => {
      const type = (await ask(port, "/", [`Accept: ${accept}`])).fields.get("Content-Type") ?? "";
      assertEquals(type.split(";")[0], want);
    });
  }
  await test.step("a folder with such a name has a listing too", async () => {
    const { status, body } = await ask(port, "/%3Cb%3Ebold/");
    assertEquals(status, 200);
    assert(!body.includes("<b>"));
  });
});

Deno.test("listings: a sub-folder links up, the root does not", async () => {
  await using service = start();
  assertMatch((await ask(service.port, "/bare/")).body, /href="\.\.\/"/);
  using folder = new Folder({ "a.txt": "" });
  await using other = start({ root: folder.root });
  assert(!(await ask(other.port, "/")).body.includes('"../"'));
});

Deno.test("listings: an index.html, none, or none at all", async () => {
  await using service = start();
  assertMatch((await ask(service.port, "/")).body, /home/);
  assertMatch((await ask(service.port, "/folder/")).body, /folder/);
  await using strict = start({ listing: false });
  assertEquals((await ask(strict.port, "/bare/")).status, 404);
  assertEquals((await ask(strict.port, "/bare")).status, 307);
  assertMatch((await ask(strict.port, "/folder/")).body, /folder/);
  using folder = new Folder({ ".hidden": "", ".dir/": "", "shown.txt": "" });
  await using open = start({ root: folder.root, dotfiles: true });
  const { body } = await ask(open.port, "/");
  assertMatch(body, /\.dir\/[^]*\.hidden[^]*shown\.txt/);
});

Deno.test("listings: 10,000 entries are quick, the rest is told", async () => {
  using folder = new Folder();
  for (let count = 0; count < 10_000; count++) {
    const path = folder.path(`a file of a usual length ${count}.txt`);
    // links are made in no time, and a file may have a thousand of them anywhere
    if (count % 1_000 === 0) Deno.createSync(path).close();
    else Deno.linkSync(folder.path(`a file of a usual length ${count - count % 1_000}.txt`), path);
  }
  await using service = start({ root: folder.root });
  const begun = performance.now();
  const { status, body } = await ask(service.port, "/");
  assert(performance.now() - begun < 600, "0.2 s are wanted");
  assertEquals(status, 200);
  assert(body.length < 1_500_000, `${body.length} octets`);
  assertEquals(body.match(/<a href="/g)?.length, 10_000);
  for (let count = 0; count < 7; count++) folder.write(`more ${count}`);
  const more = await ask(service.port, "/?more");
  assertMatch(more.body, /\b7 more\b/);
});

// ---- Settings ----------------------------------------------------------

/** Requests to a service with some settings: the status, and a part of the body or a field. */
type Use = readonly [
  target: string,
  fields: string[],
  status: number,
  part?: RegExp,
  method?: string,
];

const HTML = "Accept: text/html,application/xhtml+xml,*/*;q=0.8";
const BASIC = (credentials: string) =>
  `Authorization: Basic ${new TextEncoder().encode(credentials).toBase64()}`;

const SETTINGS: Record<string, { settings: Partial<ServeOptions>; uses: readonly Use[] }> = {
  "about.html is /about": {
    settings: {},
    uses: [
      ["/about", [], 200, /about/],
      ["/about?x", [], 200, /about/],
      ["/about", [], 200, /Content-Type: text\/html/],
      ["/about.html", [], 200, /about/],
      ["/about/", [], 404],
      ["/about.html/", [], 404],
      ["/about.htm", [], 404],
      ["/index", [], 200, /home/],
      ["/index.html", [], 200, /home/],
      ["/.html", [], 404],
      ["/folder/index", [], 200, /folder/],
    ],
  },
  "spa": {
    settings: { spa: true },
    uses: [
      ["/nothing", [HTML], 200, /home/],
      ["/deep/er/still", [HTML], 200, /home/],
      ["/deep/", [HTML], 200, /home/],
      ["/v1.2/users", [HTML], 200, /home/],
      ["/nothing?q=a.b", [HTML], 200, /home/],
      ["/nothing", [HTML], 200, /Content-Length: 44/, "HEAD"],
      ["/nothing.css", [HTML], 404],
      ["/deep/app.js", [HTML], 404],
      ["/nothing", [], 404],
      ["/nothing", ["Accept: */*"], 404],
      ["/nothing", ["Accept: application/json"], 404],
      ["/nothing", ["Accept: text/html;q=0"], 404],
      ["/nothing", [HTML], 405, undefined, "POST"],
      ["/hello.txt", [HTML], 200, /Hello/],
      ["/about", [HTML], 200, /about/],
      ["/folder", [HTML], 307],
      ["/bare/", [HTML], 200, /10\.txt/],
      ["/%00", [HTML], 400],
      ["/../x", [HTML], 404],
    ],
  },
  "CORS": {
    settings: { cors: true },
    uses: [
      ["/hello.txt", ["Origin: http://a.test"], 200, /Access-Control-Allow-Origin: \*/],
      ["/hello.txt", [], 200, /Access-Control-Allow-Origin: \*/, "HEAD"],
      ["/hello.txt", ["Origin: http://a.test"], 204, /^(?![^]*Allow-Methods)/, "OPTIONS"],
      ["/digits.txt", ["Range: bytes=0-1"], 206, /Access-Control-Expose-Headers: .*Content-Range/],
      ["/nothing", [], 404, /Access-Control-Allow-Origin: \*/],
      ["/hello.txt", ["If-None-Match: *"], 304, /Access-Control-Allow-Origin: \*/],
      [
        "/hello.txt",
        [
          "Origin: http://a.test",
          "Access-Control-Request-Method: GET",
          "Access-Control-Request-Headers: range, x-a",
        ],
        204,
        /Access-Control-Allow-Headers: (range, x-a|\*)/,
        "OPTIONS",
      ],
      [
        "/hello.txt",
        ["Origin: http://a.test", "Access-Control-Request-Method: GET"],
        204,
        /Access-Control-Allow-Methods: .*GET/,
        "OPTIONS",
      ],
    ],
  },
  "fields of the user's": {
    settings: {
      fields: [["X-A", "b"], ["X-A", "c"], ["cache-control", "max-age=5"], ["Server", "mine"]],
    },
    uses: [
      ["/hello.txt", [], 200, /X-A: b\r\nX-A: c\r\n/],
      ["/hello.txt", [], 200, /Server: mine/],
      ["/hello.txt", [], 200, /^(?![^]*no-cache)[^]*cache-control: max-age=5/i],
      ["/hello.txt", ["If-None-Match: *"], 304, /X-A: b/],
      ["/nothing", [], 404, /X-A: b/],
      ["/hello.txt", [], 405, /X-A: b/, "POST"],
      ["/folder", [], 307, /X-A: b/],
      ["/hello.txt", ["Bad"], 400, /X-A: b/],
    ],
  },
  "no cache, by default": {
    settings: {},
    uses: [
      ["/hello.txt", [], 200, /Cache-Control: no-cache/],
      ["/hello.txt", [], 200, /^(?![^]*Access-Control)/],
    ],
  },
  "cache": {
    settings: { cache: "public, max-age=3600" },
    uses: [
      ["/hello.txt", [], 200, /Cache-Control: public, max-age=3600/],
      ["/hello.txt", ["If-None-Match: *"], 304, /Cache-Control: public, max-age=3600/],
      ["/digits.txt", ["Range: bytes=0-1"], 206, /Cache-Control: public, max-age=3600/],
      ["/nothing", [], 404, /Cache-Control: no-cache/],
      ["/folder", [], 307, /Cache-Control: no-cache/],
    ],
  },
  "no store": {
    settings: { cache: "no-store" },
    uses: [
      ["/hello.txt", [], 200, /Cache-Control: no-store/],
      ["/nothing", [], 404, /Cache-Control: no-store/],
      ["/folder", [], 307, /Cache-Control: no-store/],
    ],
  },
  "one file": {
    settings: { only: { file: "hello.txt", names: ["hello.txt"] } },
    uses: [
      ["/", [], 200, /Hello/],
      ["/hello.txt", [], 200, /Hello/],
      ["/hello.txt", ["Range: bytes=0-4"], 206, /\r\n\r\nHello$/],
      ["/", [], 200, /Content-Type: text\/plain/, "HEAD"],
      ["/hello.txt/", [], 404],
      ["/hello", [], 404],
      ["/end.txt", [], 404],
      ["/index.html", [], 404],
      ["/folder/", [], 404],
      ["/bare", [], 404],
      ["/folder/../end.txt", [], 404],
      ["/%2e/end.txt", [], 404],
    ],
  },
  "Basic authentication": {
    settings: { credentials: "ann:s:cr\u00e9t" },
    uses: [
      ["/hello.txt", [], 401, /WWW-Authenticate: Basic realm="[^"]+"/],
      ["/hello.txt", [], 401, /^(?![^]*Hello)/],
      ["/hello.txt", [BASIC("ann:s:cr\u00e9t")], 200, /Hello/],
      ["/hello.txt", [BASIC("ann:s:cr\u00e9t").replace("Basic", "bASIC")], 200, /Hello/],
      ["/hello.txt", [BASIC("ann:s:cr\u00e9t").replace("Basic", "Basic  ")], 200, /Hello/],
      ["/hello.txt", [BASIC("ann:")], 401],
      ["/hello.txt", [BASIC("ann")], 401],
      ["/hello.txt", [BASIC(":")], 401],
      ["/hello.txt", [BASIC("ann:s:cr\u00e9tx")], 401],
      ["/hello.txt", [BASIC("ann:s:cr\u00e9")], 401],
      ["/hello.txt", [BASIC("Ann:s:cr\u00e9t")], 401],
      ["/hello.txt", [BASIC("ann:s:cr\u00e9t").replace("Basic", "Bearer")], 401],
      ["/hello.txt", ["Authorization: Basic"], 401],
      ["/hello.txt", ["Authorization: Basic !!!"], 401],
      ["/hello.txt", ["Authorization: Basic ="], 401],
      ["/hello.txt", ["Authorization:"], 401],
      ["/hello.txt", [BASIC("ann:s:cr\u00e9t"), BASIC("x:y")], 401],
      ["/nothing", [], 401],
      ["/folder", [], 401],
      ["/fifo", [], 401],
      ["*", [], 401, undefined, "OPTIONS"],
      ["/nothing", [BASIC("ann:s:cr\u00e9t")], 404],
      ["/hello.txt", [BASIC("ann:s:cr\u00e9t")], 200, /Content-Length: 14/, "HEAD"],
    ],
  },
};

for (const [title, { settings, uses }] of Object.entries(SETTINGS)) {
  Deno.test(`settings: ${title}`, async (test) => {
    await using service = start(settings);
    for (const [target, fields, status, part = /^/, method = "GET"] of uses) {
      const name = `${method} ${target} ${fields.join(", ").slice(0, 60)}: ${status} ${part}`;
      await test.step(name, async () => {
        const text = request(target, [...fields, "Connection: close"], method);
        const came = await talk(service.port, [text]);
        const [answer] = readAnswers(came, [method]);
        assertEquals(answer?.status, status);
        assertMatch(came, part);
      });
    }
  });
}

Deno.test("settings: 404.html", async (test) => {
  using folder = new Folder({ "404.html": "<p>lost", "a/b.txt": "", "../out.html": "secret" });
  await using service = start({ root: folder.root });
  for (const target of ["/nothing", "/a/nothing", "/a/b.txt/", "/a/b/c", "/.hidden"]) {
    await test.step(target, async () => {
      const { status, fields, body } = await ask(service.port, target);
      assertEquals([status, body], [404, "<p>lost"]);
      assertEquals(fields.get("Content-Type"), "text/html; charset=utf-8");
    });
  }
  await test.step("conditions and ranges do not matter", async () => {
    const fields = ["If-None-Match: *", "Range: bytes=0-1", `If-Modified-Since: ${AFTER}`];
    const { status, body } = await ask(service.port, "/nothing", fields);
    assertEquals([status, body], [404, "<p>lost"]);
  });
  await test.step("HEAD", async () => {
    const { status, fields } = await ask(service.port, "/nothing", [], "HEAD");
    assertEquals([status, fields.get("Content-Length")], [404, "7"]);
  });
  await test.step("by its own name it is a page like others", async () => {
    assertEquals((await ask(service.port, "/404.html")).status, 200);
  });
  await test.step("a large one", async () => {
    folder.write("404.html", LARGE);
    const { status, body } = await ask(service.port, "/nothing?large");
    assertEquals([status, body.length], [404, LARGE.length]);
    const head = await ask(service.port, "/nothing?large", [], "HEAD");
    assertEquals([head.status, head.fields.get("Content-Length")], [404, `${LARGE.length}`]);
  });
  await test.step("a link out is none", async () => {
    Deno.removeSync(folder.path("404.html"));
    if (UNIX) folder.link("../out.html", "404.html");
    const { status, body } = await ask(service.port, "/nothing?link");
    assertEquals([status, body.includes("secret")], [404, false]);
  });
});

/** Host names, and whether a service that is bound to loopback answers to them. */
const OWN = [
  "localhost",
  "LOCALHOST:80",
  "localhost.",
  "app.localhost",
  "127.0.0.1",
  "127.1.2.3:9",
  "[::1]",
  "[::1]:80",
];
const FOREIGN = [
  "evil.test",
  "localhost.evil.test",
  "evil-localhost",
  "127.0.0.1.evil.test",
  "127.0.0.1x",
  "128.0.0.1",
  "192.168.1.1",
  "[::2]",
  "local%68ost.evil.test",
  "localhost%2eevil.test",
];

Deno.test("settings: only our own host names while bound to loopback", async (test) => {
  await using service = start({ hosts: ["dev.test"] });
  await using behindProxy = start({ hosts: ["*"] });
  const status = async (port: number, target: string, host: string) => {
    const text = `GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
    const [answer] = readAnswers(await talk(port, [text]));
    assert(answer?.status === 200 || !answer?.body.includes("Hello"));
    return answer?.status;
  };
  for (const host of [...OWN, "dev.test", "DEV.test:8000"]) {
    await test.step(host, async () => {
      assertEquals(await status(service.port, "/hello.txt", host), 200);
    });
  }
  for (const host of FOREIGN) {
    await test.step(host, async () => {
      assertEquals(await status(service.port, "/hello.txt", host), 421);
      assertEquals(await status(service.port, "/nothing", host), 421);
      assertEquals(await status(behindProxy.port, "/hello.txt", host), 200);
    });
  }
  await test.step("the host of an absolute target wins", async () => {
    assertEquals(await status(service.port, "http://evil.test/hello.txt", "localhost"), 421);
    assertEquals(await status(service.port, "http://localhost/hello.txt", "evil.test"), 200);
  });
  await test.step("malformed is malformed first", async () => {
    assertEquals(await status(service.port, "/hello.txt", "evil.test:x"), 400);
  });
});

// ---- TLS ---------------------------------------------------------------

Deno.test("HTTPS", async (test) => {
  using folder = new Folder({ "hello.txt": "Hello, world!\n", "large.bin": LARGE, "dir/": "" });
  const listener = Deno.listenTls({ ...LOCAL, ...await certificate("localhost") });
  await using service = start({ root: folder.root, secure: true }, listener);
  const caCerts = [await Deno.readTextFile(`${TLS}ca.pem`)];
  const connect = async () => {
    const conn = await Deno.connect({ hostname: "127.0.0.1", port: service.port });
    conn.setNoDelay();
    return new Client(await Deno.startTls(conn, { hostname: "localhost", caCerts }));
  };
  const told = async (text: string, methods: string[] = []) => {
    using client = await connect();
    await client.send(text);
    return readAnswers(await client.until(), methods);
  };
  const LAST = ["Connection: close"];
  await test.step("three requests on one connection", async () => {
    const text = request("/hello.txt") + request("/nothing") + request("/hello.txt", LAST);
    assertEquals((await told(text)).map(({ status }) => status), [200, 404, 200]);
  });
  await test.step("a large file, and a range of it", async () => {
    const text = request("/large.bin") + request("/large.bin", [...LAST, "Range: bytes=-9"]);
    const answers = await told(text);
    assert(answers[0]?.body === LARGE);
    assertEquals(answers[1]?.body, LARGE.slice(-9));
  });
  await test.step("an https target is at home here, an http one is not", async () => {
    assertEquals((await told(request("https://localhost/hello.txt", LAST)))[0]?.status, 200);
    assertMatch(
      `${(await told(request("http://localhost/hello.txt", LAST)))[0]?.status}`,
      /^4(00|21)$/,
    );
  });
  await test.step("an error arrives", async () => {
    assertEquals((await told(`BAD\r\n\r\n${"x".repeat(100_000)}`))[0]?.status, 400);
  });
  await test.step("plain text, rubbish and a silent end disturb nobody", async () => {
    for (const text of [request("/hello.txt"), "\x16\x03\x01\x02\x00\x01\x00rubbish", ""]) {
      assert(!(await talk(service.port, [text], true)).includes("Hello"));
    }
    assertEquals((await told(request("/hello.txt", LAST)))[0]?.status, 200);
  });
});

// ---- The service: many clients, rude ones, and the end -----------------

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Asks on a kept connection, and reads the answer. */
async function askKept(client: Client, target = "/hello.txt"): Promise<string> {
  client.text = "";
  await client.send(request(target));
  return await client.until(/\r\n\r\n[^]*\n$/);
}

for (const many of [1, 2]) {
  Deno.test(`connections: at most so many, the next one waits; listeners: ${many}`, async () => {
    const ending = new AbortController();
    const listeners = Array.from({ length: many }, () => Deno.listen(LOCAL));
    const done = serve(listeners, { root: WWW, signal: ending.signal, maxConnections: 2 });
    const ports = listeners.map(({ addr }) => addr.port);
    const open = (at: number) => Client.open(ports[at % many] ?? 0);
    const first = await open(0);
    assertMatch(await askKept(first), /Hello/);
    const clients = [await open(1), await open(2), await open(3)];
    for (const client of clients) await client.send(request("/end.txt", ["Connection: close"]));
    // one of the three has the second place, and then the others: one after the other, not at once
    const answered = await Promise.all(clients.map((client) => client.until()));
    for (const text of answered) assertMatch(text, /the end|HTTP\/1\.1 503/);
    const holders = [await open(0), await open(1), await open(2)];
    for (const holder of holders) await holder.send(request("/hello.txt"));
    await pause(150);
    const got = await Promise.all(holders.map(async (holder) => {
      const reading = holder.until(/Hello/, 60_000);
      return await Promise.race([reading, pause(50).then(() => "nothing yet")]);
    }));
    const served = got.filter((text) => text.includes("Hello")).length;
    assertEquals(served, 1, "the first and one more");
    first[Symbol.dispose]();
    for (const client of [...clients, ...holders]) client[Symbol.dispose]();
    ending.abort();
    await done;
  });
}

Deno.test("connections: 300 at once, and each gets what it asked for", async () => {
  await using service = start();
  const names = ["hello.txt", "end.txt", "digits.txt", "empty.txt", "about", "folder/"];
  const bodies = new Map<string, string>();
  for (const name of names) bodies.set(name, (await ask(service.port, `/${name}`)).body);
  await Promise.all(Array.from({ length: 300 }, async (_, at) => {
    const name = names[at % names.length] ?? "";
    for (let round = 0; round < 3; round++) {
      assertEquals((await ask(service.port, `/${name}?${at}`)).body, bodies.get(name));
    }
  }));
});

Deno.test("connections: the same request at once from 40, some of whom leave", async () => {
  using folder = new Folder({ "small.txt": "small", "large.bin": LARGE });
  await using service = start({ root: folder.root });
  const wanted = { "/small.txt": "small", "/large.bin": LARGE, "/nothing": "404 Not Found\n" };
  for (const [target, body] of Object.entries(wanted)) {
    for (let round = 0; round < 3; round++) {
      const text = request(`${target}?${round}`, ["Connection: close"]);
      const clients = await Promise.all(
        Array.from({ length: 40 }, () => Client.open(service.port)),
      );
      await Promise.all(clients.map((client) => client.send(text)));
      for (const client of clients.splice(0, 10)) client[Symbol.dispose]();
      for (const client of clients) {
        assert(readAnswers(await client.until())[0]?.body === body, target);
        client[Symbol.dispose]();
      }
    }
  }
});

Deno.test("connections: resets, before and after accept, stop nothing", async () => {
  const { connect } = await import("node:net");
  await using service = start();
  for (const text of ["", "GET / HT", request("/hello.txt"), request("/hello.txt").repeat(50)]) {
    for (let count = 0; count < 20; count++) {
      await new Promise<void>((resolve) => {
        const socket = connect(service.port, "127.0.0.1", () => {
          if (text !== "") socket.write(text);
          socket.resetAndDestroy();
        });
        socket.on("error", () => {}).on("close", () => resolve());
      });
    }
    assertMatch((await ask(service.port, "/hello.txt")).body, /Hello/);
  }
});

Deno.test("connections: those who left before accept keep nobody waiting", async () => {
  const { connect } = await import("node:net");
  const listener = Deno.listen(LOCAL);
  for (let count = 0; count < 15; count++) {
    await new Promise<void>((resolve) => {
      const socket = connect(listener.addr.port, "127.0.0.1", () => socket.resetAndDestroy());
      socket.on("error", () => {}).on("close", () => resolve());
    });
  }
  await using service = start({}, listener);
  const begun = performance.now();
  assertMatch((await ask(service.port, "/hello.txt")).body, /Hello/);
  assert(performance.now() - begun < 1_500, "some milliseconds are wanted, not seconds");
});

Deno.test("connections: a client that leaves in the middle of a large answer", async () => {
  using folder = new Folder({ "huge.bin": new Uint8Array(HUGE), "end.txt": "the end\n" });
  await using service = start({ root: folder.root });
  for (let count = 0; count < 5; count++) {
    using client = await Client.open(service.port);
    await client.send(request("/huge.bin"));
    await client.until(/\r\n\r\n/);
  }
  assertEquals((await ask(service.port, "/end.txt")).body, "the end\n");
  const { requests } = await service.stop();
  assertEquals(requests, 6);
  const cut = service.exchanges.filter(({ due }) => due === HUGE);
  assertEquals(cut.length, 5);
  assert(cut.every(({ sent }) => sent < HUGE));
});

Deno.test("the end: idle clients are hung up on at once, and so is a silent one", async () => {
  await using service = start();
  using idle = await Client.open(service.port);
  using silent = await Client.open(service.port);
  await askKept(idle);
  const begun = performance.now();
  const summary = await service.stop();
  assert(performance.now() - begun < 600, "0.2 s are wanted");
  assertEquals(summary, { requests: 1, sent: 14 });
  await idle.until();
  await silent.until();
  assertEquals(silent.text, "");
});

Deno.test("the end: an answer in progress comes whole, nothing new is accepted", async () => {
  using folder = new Folder({ "huge.bin": new Uint8Array(HUGE).fill(0x61) });
  await using service = start({ root: folder.root });
  using client = await Client.open(service.port);
  await client.send(request("/huge.bin") + request("/huge.bin"));
  await client.until(/\r\n\r\n/);
  const done = service.stop();
  await pause(20);
  const refused = await Client.open(service.port).then(
    (late) => late.conn.close(),
    () => "refused",
  );
  assertEquals(refused, "refused");
  const [answer, ...others] = readAnswers(await client.until());
  client[Symbol.dispose]();
  assertEquals([answer?.body.length, others], [HUGE, []]);
  assertEquals((await done).sent, HUGE);
});

/** Reads all that comes, with a rest between two reads. */
async function readSlowly(client: Client): Promise<string> {
  while (await client.read()) await pause(2);
  return client.text;
}

testSlowly(
  "closing: unread input does not destroy the answer, at the end of the service",
  async () => {
    using folder = new Folder({ "huge.bin": new Uint8Array(HUGE).fill(0x61) });
    await using service = start({ root: folder.root });
    using client = await Client.open(service.port);
    await client.send(request("/huge.bin"));
    await client.until(/\r\n\r\n/);
    await client.send(request("/huge.bin"));
    const done = service.stop();
    assertEquals(readAnswers(await readSlowly(client))[0]?.body.length, HUGE);
    client[Symbol.dispose]();
    await done;
  },
);

for (const version of ["1.0", "1.1"]) {
  testSlowly(
    `closing: unread input does not destroy the answer, HTTP/${version} with close`,
    async () => {
      using folder = new Folder({ "huge.bin": new Uint8Array(HUGE).fill(0x61) });
      await using service = start({ root: folder.root });
      using client = await Client.open(service.port);
      await client.send(`GET /huge.bin HTTP/${version}\r\n${H}Connection: close\r\n\r\n`);
      await client.until(/\r\n\r\n/);
      await client.send("\r\n"); // as some clients do
      assertEquals(readAnswers(await readSlowly(client))[0]?.body.length, HUGE);
    },
  );
}

Deno.test("the end: before it began", async () => {
  const listener = Deno.listen(LOCAL);
  const signal = AbortSignal.abort();
  assertEquals(await serve([listener], { root: WWW, signal }), { requests: 0, sent: 0 });
});

/** A seeded source of numbers from 0 to below a bound (mulberry32). */
function random(seed: number): (bound: number) => number {
  return (bound) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % bound;
  };
}

const SEEDS = [
  request("/hello.txt"),
  request("/"),
  request("/bare/", ["Accept: application/json"]),
  request("/an%20awkward%20n%C3%A4me%2C%20100%25%20%26%20%231.txt"),
  request("/digits.txt", ["Range: bytes=0-1,4-5,-1", "If-Range: Wed, 01 Jan 2020 00:00:00 GMT"]),
  request("/digits.txt", ['If-None-Match: W/"a", "b"', `If-Modified-Since: ${DATE}`]),
  request("/hello.txt", ["Connection: close, TE", "Accept-Encoding: gzip;q=0.5, br;q=0, *"]),
  request("http://localhost:80/folder?a=b", ["Authorization: Basic YTpi"], "HEAD"),
  request("*", ["Content-Length: 0"], "OPTIONS"),
  request("/hello.txt", ["Content-Length: 5", "Expect: 100-continue"]) + "hello",
  chunked('5;a="b"\r\nhello\r\n0\r\nTrailer: x\r\n\r\n'),
  "GET /hello.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
  request("/hello.txt") + request("/nothing", [], "POST") + request("/folder"),
];
const SPICES = [
  "\r\n",
  "\n",
  "\r",
  "\0",
  " ",
  "\t",
  ":",
  "/",
  "..",
  "%00",
  "%2f",
  "\xff",
  "HTTP/1.1",
  "Host: b\r\n",
];
SPICES.push(
  "0",
  "99999999999999999999",
  "-",
  ",",
  ";",
  '"',
  "\r\n\r\n",
  "Transfer-Encoding: chunked\r\n",
  "bytes=",
);

/** One of the seeds with a few things changed. */
function mutate(roll: (bound: number) => number): string {
  let text = SEEDS[roll(SEEDS.length)] ?? "";
  for (let count = 1 + roll(4); count > 0; count--) {
    const [at, length] = [roll(text.length + 1), roll(9)];
    const piece = text.slice(roll(text.length), roll(text.length));
    const spice = SPICES[roll(SPICES.length)] ?? "";
    const middle = [
      spice,
      "",
      piece,
      String.fromCharCode(roll(256)),
      spice.repeat(roll(400)),
    ][roll(5)] ?? "";
    text = text.slice(0, at) + middle + text.slice(at + (roll(2) === 0 ? 0 : length));
  }
  return text;
}

/** Ten thousand requests gone wrong: each ends in answers or in a close. */
async function fuzz(seed: number): Promise<void> {
  await using service = start();
  const roll = random(seed);
  const statuses = new Map<number, number>();
  for (let round = 0; round < 10_000; round += 20) {
    const texts = Array.from({ length: 20 }, () => mutate(roll));
    await Promise.all(texts.map(async (text) => {
      const where = `seed ${seed}, round ${round}: ${JSON.stringify(text.slice(0, 500))}`;
      const came = await talk(service.port, [text], true).catch((error) => {
        throw new Error(`${where}: ${error}`);
      });
      assertMatch(came, /^(HTTP\/1\.1 [1-5]\d\d [^]*)?$/, where);
      const status = Number(came.slice(9, 12));
      assert(status !== 500, where);
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }));
    if (round % 1_000 === 0) assertMatch((await ask(service.port, "/hello.txt")).body, /Hello/);
  }
  assert((statuses.get(200) ?? 0) > 500 && (statuses.get(400) ?? 0) > 500, "a mix of both");
}

/** Waits for the server to end a connection, and tells after how many seconds. */
async function endOf(client: Client): Promise<number> {
  const begun = performance.now();
  await client.until(undefined, 40_000);
  return (performance.now() - begun) / 1_000;
}

/** Tells when the server ends a connection though octets come, one every so often. */
async function endsOnTime(port: number, text: string, dripped = ""): Promise<number> {
  using client = await Client.open(port);
  await client.send(text);
  let over = false;
  const ended = endOf(client).finally(() => over = true);
  for (const octet of dripped) {
    await pause(400);
    if (over) break;
    await client.send(octet);
  }
  return await ended;
}

/** The limits: 10 s for a request, 5 s for the end, and what --idle says. */
const LIMITS: Record<string, () => Promise<void>> = {
  "a silent client is cut off": async () => {
    await using service = start();
    const seconds = await endsOnTime(service.port, "");
    assert(seconds > 3.4 && seconds < 30, `${seconds}`);
  },
  "so is half a request line": async () => {
    await using service = start();
    const seconds = await endsOnTime(service.port, "GET /he");
    assert(seconds > 3.4 && seconds < 30, `${seconds}`);
  },
  "so is a header that comes by drops": async () => {
    await using service = start();
    const seconds = await endsOnTime(service.port, `GET / HTTP/1.1\r\n${H}A: `, "b".repeat(30));
    assert(seconds > 3.4 && seconds < 30, `${seconds}`);
  },
  "so is half a body": async () => {
    await using service = start();
    const text = request("/hello.txt", ["Content-Length: 100"]) + "hello";
    const seconds = await endsOnTime(service.port, text, "x".repeat(30));
    assert(seconds > 3.4 && seconds < 30, `${seconds}`);
  },
  "so are chunks by drops": async () => {
    await using service = start();
    const seconds = await endsOnTime(service.port, chunked(""), "1\r\nx\r\n".repeat(5));
    assert(seconds > 3.4 && seconds < 30, `${seconds}`);
  },
  "who does not shake hands gives up the place": async () => {
    const listener = Deno.listenTls({ ...LOCAL, ...await certificate("localhost") });
    const caCerts = [await Deno.readTextFile(`${TLS}ca.pem`)];
    await using service = start({ secure: true, maxConnections: 1 }, listener);
    using _silent = await Client.open(service.port); // Deno keeps its socket, but it counts no more
    await pause(100);
    const conn = await Deno.connect({ hostname: "127.0.0.1", port: service.port });
    const begun = performance.now();
    using next = new Client(await Deno.startTls(conn, { caCerts }));
    await next.send(request("/hello.txt", ["Connection: close"]));
    assertMatch(await next.until(undefined, 30_000), /Hello/);
    assert(performance.now() - begun > 3_000);
  },
  "a kept connection ends when idle": async () => {
    await using service = start({ idle: 600 });
    using client = await Client.open(service.port);
    await askKept(client);
    await pause(200);
    const asked = performance.now();
    await askKept(client); // it was not idle for long enough
    await endOf(client);
    const ms = performance.now() - asked;
    assert(ms > 500 && ms < 5_000, `${ms}`);
    assertMatch(client.text, /Hello/);
  },
  "idle is between requests, not within": async () => {
    await using service = start({ idle: 300 });
    using client = await Client.open(service.port);
    await askKept(client);
    client.text = "";
    await client.send("GET /end.txt HT");
    await pause(900);
    await client.send(`TP/1.1\r\n${H}\r\n`);
    assertMatch(await client.until(/the end/), /the end/);
  },
  "a slow reader gets it all": async () => {
    using folder = new Folder({ "huge.bin": new Uint8Array(HUGE) });
    await using service = start({ root: folder.root, idle: 300 });
    using client = await Client.open(service.port);
    await client.send(request("/huge.bin", ["Connection: close"]));
    await pause(2_000);
    assertEquals(readAnswers(await client.until())[0]?.body.length, HUGE);
  },
  "who never stops sending after an error is cut off": async () => {
    await using service = start();
    using client = await Client.open(service.port);
    await client.send("BAD\r\n\r\n");
    const begun = performance.now();
    for (let broken = false; !broken;) {
      broken = await send(client.conn, ["x"]).then(() => false, () => true);
      await pause(50);
      assert(performance.now() - begun < 9_000, "2 s are enough");
    }
  },
  "the end waits five seconds for who does not read": async () => {
    using folder = new Folder({ "huge.bin": new Uint8Array(HUGE) });
    await using service = start({ root: folder.root });
    using client = await Client.open(service.port);
    await client.send(request("/huge.bin"));
    await client.until(/\r\n\r\n/);
    const begun = performance.now();
    await service.stop();
    const seconds = (performance.now() - begun) / 1_000;
    assert(seconds > 1.7 && seconds < 15, `${seconds}`);
  },
  "nor longer for half a request": async () => {
    await using service = start();
    using client = await Client.open(service.port);
    await client.send("GET /hel");
    await pause(50);
    const begun = performance.now();
    await service.stop();
    assert(performance.now() - begun < 9_000);
  },
  "10,000 requests gone wrong": () => fuzz(20_261_122),
};

for (const [rule, test] of Object.entries(LIMITS)) testSlowly(`limits: ${rule}`, test);

// ---- The log -----------------------------------------------------------

/** Requests that want to be more than a line of a log. */
const FORGERIES = [
  'GET /"quoted" HTTP/1.1',
  "GET /\\x22 HTTP/1.1",
  "\x1b[2JGET / HTTP/1.1",
  "\x1b[31mX \x1b[2J\x07 HTTP/1.1",
  "GET /\x9b31m HTTP/1.1",
  "GET /%1b%5b2J HTTP/1.1",
  "GET /\u00c2\u009b HTTP/1.1",
  "GET /\xe2\x80\xae HTTP/1.1",
  "GET /a\rb HTTP/1.1",
  "GET /a\0b HTTP/1.1",
  "\x1b]0;title\x07",
];

Deno.test("log: one line for each request, with nothing raw in it", async (test) => {
  await using service = start();
  const hostile = [
    'User-Agent: a"b\\c',
    'Referer: http://a.test/"\xff',
    "Authorization: Basic YSJcYjpj",
  ];
  const now = new Date("2026-11-22T13:14:15Z");
  const texts = [
    ...FORGERIES.map((line) => `${line}\r\n${H}${hostile.join("\r\n")}\r\n\r\n`),
    request("/hello.txt", [...hostile, "Connection: close"]),
    request("/digits.txt", [...hostile, "Range: bytes=0-1", "Connection: close"]),
    request(`/hello.txt?"\x1b`, hostile),
    request("/hello.txt", ["Authorization: Bearer \xff", "Connection: close"]),
    request("/hello.txt", ["Authorization: Basic IiBcIGE6Yg==", "Connection: close"]),
  ];
  for (const text of texts) {
    await test.step(JSON.stringify(text.slice(0, 40)), async () => {
      await talk(service.port, [text], true);
      const exchange = service.exchanges.at(-1);
      assert(exchange);
      const combined = formatExchange(exchange, "combined", now);
      assertMatch(
        combined,
        /^127\.0\.0\.1 - \S+ \[22\/Nov\/2026:13:14:15 \+0000\] "(?:[^"\\]|\\.)*" \d{3} \d+ "(?:[^"\\]|\\.)*" "(?:[^"\\]|\\.)*"$/,
      );
      const json = formatExchange(exchange, "json", now);
      assertEquals(JSON.parse(json).status, exchange.status);
      for (const line of [combined, json, formatExchange(exchange, "short", now)]) {
        // deno-lint-ignore no-control-regex
        assert(!/[\x00-\x1f\x7f-\x9f\u202e]/.test(line), JSON.stringify(line));
      }
    });
  }
});

Deno.test("log: escapes are those of Apache and nginx, a quote in the path is one", async () => {
  await using service = start();
  await talk(service.port, ['GET /a"\\\x1b HTTP/1.1\r\n\r\n']);
  const [exchange] = service.exchanges;
  assert(exchange);
  for (const format of ["short", "combined"] as const) {
    assertMatch(formatExchange(exchange, format), / \/a\\"\\\\\\x1b /);
  }
});

Deno.test("log: what it tells", async () => {
  await using service = start();
  const fields = [
    "User-Agent: tester/1",
    "Referer: http://a.test/",
    "Authorization: Basic YW5uOmI=",
  ];
  await ask(service.port, "/digits.txt?q", [...fields, "Range: bytes=2-5"]);
  const [exchange] = service.exchanges;
  assert(exchange);
  assertEquals([exchange.sent, exchange.status, exchange.remote], [4, 206, "127.0.0.1"]);
  const now = new Date("2026-11-22T13:14:15Z");
  assertEquals(
    formatExchange(exchange, "combined", now),
    '127.0.0.1 - ann [22/Nov/2026:13:14:15 +0000] "GET /digits.txt?q HTTP/1.1" 206 4 ' +
      '"http://a.test/" "tester/1"',
  );
  const told = JSON.parse(formatExchange(exchange, "json", now));
  assertEquals([told.time, told.method, told.target, told.status, told.sent], [
    "2026-11-22T13:14:15.000Z",
    "GET",
    "/digits.txt?q",
    206,
    4,
  ]);
  assertMatch(
    formatExchange({ ...exchange, ms: 3 }, "short", now),
    /^\d\d:\d\d:\d\d +206 +GET +\/digits\.txt\?q +2-5 +4 B +3 ms +127\.0\.0\.1$/,
  );
  assertMatch(
    formatExchange({ ...exchange, sent: 1_000, due: 2_000_000 }, "short", now),
    /206! GET .*client left at 1(\.0)? kB of 2(\.0)? MB/,
  );
});

Deno.test("trace: it shows both sides, and no secret", async () => {
  const lines: string[] = [];
  await using service = start({ trace: (mark, text) => lines.push(`${mark} ${text}`) });
  await ask(service.port, "/hello.txt", [BASIC("ann:secret"), "A: \xc2\x9b31m"]);
  assert(lines.includes("< GET /hello.txt HTTP/1.1"));
  assert(lines.includes("> HTTP/1.1 200 OK"));
  assert(lines.includes("< Authorization: [credentials]"), lines.join("\n"));
  // deno-lint-ignore no-control-regex
  assert(!lines.some((line) => line.includes("YW5u") || /[\x00-\x1f\x7f-\x9f]/.test(line)));
});

// ---- The command line --------------------------------------------------

/** Starts the program as its user does; port 0 means that it has ended without one. */
function startServer(args: string[], options: StartOptions = {}): Promise<Running> {
  return startProgram("http_server.ts", args, /at https?:\/\/\S+:(\d+)\//, options);
}

/** Command lines that come to nothing: the exit status, and what the one line says. */
const COMMANDS: readonly [args: string[], code: number, says: string | RegExp][] = [
  [["--prot", "80"], 2, 'Unknown option "--prot": did you mean --port?'],
  [["--no-listings"], 2, "did you mean --no-listing?"],
  [["-Z"], 2, '"-Z"'],
  [["--spa=1"], 2, "--spa"],
  [["--port"], 2, "--port"],
  [["-p"], 2, "-p"],
  [["-p", "http"], 2, '"http"'],
  [["-p", "65536"], 2, '"65536"'],
  [["-p", "-1"], 2, '"-1"'],
  [["--port="], 2, "--port"],
  [["-p", "1e3"], 2, '"1e3"'],
  [["-p", "0x50"], 2, '"0x50"'],
  [["-p", "80.5"], 2, '"80.5"'],
  [["-t", "0"], 2, '"0"'],
  [["-t", "many"], 2, '"many"'],
  [["-c", "-2"], 2, '"-2"'],
  [["-c", "soon"], 2, '"soon"'],
  [["--idle", "0"], 2, '"0"'],
  [["--idle", "x"], 2, '"x"'],
  [["--max-connections", "0"], 2, '"0"'],
  [["--log", "long"], 2, '"long"'],
  [["--auth", "nobody"], 2, "--auth"],
  [["-H", "nothing"], 2, '"nothing"'],
  [["-H", "A B: c"], 2, "A B"],
  [["-H", "A: b\r\nC: d"], 2, "-H|header"],
  [["-H", "Content-Length: 5"], 2, "Content-Length"],
  [["-H", "transfer-encoding: chunked"], 2, "transfer-encoding"],
  [["-H", "Connection: close"], 2, "Connection"],
  [["--cert", "x.pem"], 2, "--key"],
  [["--key", "x.pem"], 2, "--cert"],
  [["--lan", "--bind", "127.0.0.1"], 2, "--bind"],
  [["here", "there"], 2, "there"],
  [["\x1b[2J", "there\x1b[2J"], 2, "there"],
  [["nowhere"], 1, "nowhere"],
  [["LICENSE/"], 1, '"LICENSE/": no such'],
  [["LICENSE/nothing"], 1, "no such folder or file"],
  [["/dev/null"], 1, UNIX ? "neither a folder nor" : "null"],
  [["--allow-host", ""], 2, "--allow-host"],
  [["--allow-host", "http://dev.test/"], 2, "http://dev.test/"],
  [["--allow-host", "dev.test:8000"], 2, "without a port"],
  [["nowhere\x1b[2J"], 1, "nowhere"],
  [["--bind", "192.0.2.1", "-p", "0"], 1, "192.0.2.1"],
  [["--bind", "no such host", "-p", "0"], 1, "no such host"],
  [["--auth", "@nowhere"], 1, "nowhere"],
  [["--auth", "@LICENSE"], 1, "--auth"],
  [["--cert", "nowhere", "--key", "nowhere"], 1, "nowhere"],
  [["--cert", `${TLS}localhost.pem`, "--key", "LICENSE", "-p", "0"], 1, "--key: .* not encrypted"],
  [["--cert", `${TLS}localhost.pem`, "--key", `${TLS}other.key`, "-p", "0"], 1, "--key: keys"],
  [["--cert", "README.md", "--key", "README.md", "-p", "0"], 1, "README|certificate|cert"],
];

Deno.test("command line: what comes to nothing is one line", async (test) => {
  const apart = { sanitizeOps: false, sanitizeResources: false, sanitizeExit: false };
  const rows = [...COMMANDS];
  const worker = async () => {
    for (let row; (row = rows.shift());) {
      const [args, code, says] = row;
      await test.step({
        name: args.join(" "),
        ...apart,
        fn: async () => {
          await using program = await startServer(args);
          const outcome = await program.stop();
          assertEquals([outcome.code, outcome.stdout], [code, ""], outcome.stderr);
          assertMatch(outcome.stderr, /^http_server: [^\n]+\n$/);
          assertMatch(
            outcome.stderr,
            typeof says === "string" ? new RegExp(says.replace(/[?]/g, "\\?")) : says,
          );
          // deno-lint-ignore no-control-regex
          assert(!/[\x00-\x09\x0b-\x1f]|\bat .*:\d+:\d+/.test(outcome.stderr), outcome.stderr);
        },
      });
    }
  };
  await Promise.all([worker(), worker(), worker()]);
});

Deno.test("command line: help and version", async (test) => {
  for (const flag of ["--help", "-h"]) {
    await test.step(flag, async () => {
      await using program = await startServer([flag], { allow: [] });
      const { code, stdout, stderr } = await program.stop();
      assertEquals([code, stderr], [0, ""]);
      const options =
        "-p --port -b --bind --host --lan -t --threads -s --spa -c --cache -H --header -C --cors --no-listing --dotfiles --cert --key --auth --log --allow-host --max-connections --idle -q --quiet -v --verbose -h --help -V --version";
      for (const option of options.split(" ")) {
        assertMatch(stdout, new RegExp(`(^|[ ,(])${option}\\b`, "m"), option);
      }
      assert(stdout.split("\n").every((line) => line.length <= 80), "80 columns");
      for (const word of ["8000", "no-cache", "1000", "15", "short", "Example", "Exit"]) {
        assertMatch(stdout, new RegExp(word), "defaults, an example, the exit statuses");
      }
    });
  }
  for (const flag of ["--version", "-V"]) {
    await test.step(flag, async () => {
      await using program = await startServer([flag], { allow: [] });
      const { code, stdout } = await program.stop();
      assertEquals(code, 0);
      assertMatch(stdout, /^http_server \d+\.\d+\.\d+\n$/);
    });
  }
});

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.test({ name: `program: from banner to summary, ${signal}`, ignore: !UNIX }, async () => {
    const begun = performance.now();
    await using program = await startServer(["-p0", WWW]);
    assert(program.port > 0, program.stderr);
    assertEquals((await ask(program.port, "/hello.txt")).body, "Hello, world!\n");
    assert(performance.now() - begun < 3_000, "60 ms are wanted");
    const [, rss] = /VmRSS:\s+(\d+)/.exec(
      await Deno.readTextFile(`/proc/${program.pid}/status`).catch(() => "VmRSS: 1"),
    ) ?? [];
    assert(Number(rss) < 150_000, `50 MB are wanted, ${rss} kB it is`);
    await ask(program.port, "/nothing");
    using idle = await Client.open(program.port);
    await askKept(idle);
    const asked = performance.now();
    const { code, stdout, stderr } = await program.stop(signal);
    assert(performance.now() - asked < 1_500, "0.2 s are wanted");
    assertEquals(code, 0);
    const [banner = "", summary = "", ...others] = stderr.trimEnd().split("\n");
    assertMatch(banner, /^http_server: serving \S*www at http:\/\/localhost:\d+\/$/);
    assertMatch(summary, /^Stopped after .+: 3 requests, /);
    assertEquals(others, []);
    const lines = stdout.trimEnd().split("\n");
    assertEquals(lines.length, 3);
    assertMatch(
      lines[0] ?? "",
      /^\d\d:\d\d:\d\d +200 +GET +\/hello\.txt +14 B +\d+ ms +127\.0\.0\.1$/,
    );
    assertMatch(lines[1] ?? "", / +404 +GET +\/nothing /);
  });
}

Deno.test({ name: "program: the second signal ends it at once", ignore: !UNIX }, async () => {
  using folder = new Folder({ "huge.bin": new Uint8Array(HUGE) });
  await using program = await startServer(["-p", "0", folder.root]);
  using client = await Client.open(program.port);
  await client.send(request("/huge.bin"));
  await client.until(/\r\n\r\n/);
  const ended = program.stop("SIGINT");
  await pause(200);
  const begun = performance.now();
  program.stop("SIGINT");
  const { code } = await ended;
  assert(performance.now() - begun < 1_500);
  assertEquals(code, 130);
});

Deno.test({ name: "program: a signal lets a transfer finish", ignore: !UNIX }, async () => {
  using folder = new Folder({ "huge.bin": new Uint8Array(HUGE) });
  await using program = await startServer(["-p", "0", "--log", "json", folder.root]);
  using client = await Client.open(program.port);
  await client.send(request("/huge.bin"));
  await client.until(/\r\n\r\n/);
  const ended = program.stop("SIGTERM");
  await pause(100);
  assertEquals(readAnswers(await client.until())[0]?.body.length, HUGE);
  const { code, stdout, stderr } = await ended;
  assertEquals(code, 0, stderr);
  assertEquals(JSON.parse(stdout).sent, HUGE);
  assertMatch(stderr, /\nFinishing 1 transfer \(Ctrl-C again to quit now\)\.\.\.\nStopped after /);
});

Deno.test("program: a port that is busy, named and not", async () => {
  using busy = Deno.listen(LOCAL);
  const { port } = busy.addr;
  await using named = await startServer(["-p", `${port}`, WWW]);
  const { code, stderr } = await named.stop();
  assertEquals(code, 1);
  assertMatch(stderr, new RegExp(`^http_server: [^\\n]*${port}[^\\n]*-p[^\\n]*\\n$`));
  // the default is 8000: it is busy now, by us or by someone else
  let taken: Disposable | undefined;
  try {
    taken = Deno.listen({ hostname: "127.0.0.1", port: 8_000 });
  } catch (error) {
    if (!(error instanceof Deno.errors.AddrInUse)) throw error;
  }
  await using hopped = await startServer([WWW]);
  assert(hopped.port > 8_000 && hopped.port < 8_020, hopped.stderr);
  assertMatch(hopped.stderr, new RegExp(`8000[^\\n]*${hopped.port}`));
  assertEquals((await ask(hopped.port, "/hello.txt")).body, "Hello, world!\n");
  taken?.[Symbol.dispose]();
});

Deno.test("program: both addresses of this machine, and no other", async () => {
  await using program = await startServer(["-p0", "-q", WWW]);
  for (const hostname of ["127.0.0.1", "::1"]) {
    using client = await Client.open(program.port, hostname).catch((error) => {
      if (hostname === "127.0.0.1") throw error;
      return new Client({ [Symbol.dispose]() {} } as Deno.Conn); // no IPv6 here
    });
    if (client.conn.localAddr === undefined) continue;
    await client.send(request("/hello.txt", ["Connection: close"]));
    assertMatch(await client.until(), /Hello/);
  }
  assertEquals((await ask(program.port, "/hello.txt", [])).status, 200);
  const text = "GET /hello.txt HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n";
  assertMatch(await talk(program.port, [text]), /^HTTP\/1\.1 421 /);
  assertEquals((await program.stop("SIGTERM")).stdout, "", "-q is no log");
});

Deno.test("program: whoever is bound to loopback only looks at Host", async (test) => {
  for (const [bind, own] of [["127.1", "127.1"], ["LOCALHOST"], ["0x7f.1", "0X7f.1:80"]]) {
    await test.step(`${bind}`, async () => {
      await using program = await startServer(["-p0", "--bind", `${bind}`, WWW]);
      const status = async (host: string) => {
        const text = `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
        return readAnswers(await talk(program.port, [text]))[0]?.status;
      };
      assertEquals(await status("evil.test"), 421, program.stderr);
      for (const host of ["localhost", own ?? "127.0.0.1"]) assertEquals(await status(host), 200);
    });
  }
  await test.step("bound to every address, it answers to all, and says where", async () => {
    await using program = await startServer(["-p0", "--bind", "0.0.0.0", WWW]);
    assertMatch(program.stderr, /at http:\/\/localhost:\d+\/ http:/);
    const text = "GET / HTTP/1.1\r\nHost: my.test\r\nConnection: close\r\n\r\n";
    assertEquals(readAnswers(await talk(program.port, [text]))[0]?.status, 200);
  });
});

Deno.test("program: options reach the service", async () => {
  using folder = new Folder({
    "../secret": "ann:b\n",
    "a.txt": "a\n",
    "index.html": "home",
    ".b": "hidden",
  });
  await using program = await startServer([
    ...[
      "-sCp0",
      "-c60",
      "-H",
      "X-A: b",
      "--header=X-C: d",
      "--auth",
      `@${folder.path("../secret")}`,
    ],
    ...[
      "--log=combined",
      "--allow-host",
      "Dev.test",
      "--dotfiles",
      "--idle",
      "0.3",
      "--",
      folder.root,
    ],
  ]);
  const text = (target: string, fields: string[]) =>
    request(target, [...fields, "Connection: close"]).replace("Host: localhost", "Host: dev.TEST");
  const tell = async (target: string, fields: string[]) =>
    readAnswers(await talk(program.port, [text(target, fields)]))[0];
  assertEquals((await tell("/a.txt", []))?.status, 401);
  const answer = await tell("/a.txt", [BASIC("ann:b")]);
  const values = ["X-A", "X-C", "Cache-Control", "Access-Control-Allow-Origin"].map((name) =>
    answer?.fields.get(name)
  );
  assertEquals(values, ["b", "d", "public, max-age=60", "*"]);
  assertEquals((await tell("/nothing", [BASIC("ann:b"), HTML]))?.body, "home");
  assertEquals((await tell("/.b", [BASIC("ann:b"), HTML]))?.body, "hidden");
  using idle = await Client.open(program.port);
  await askKept(idle);
  assert(await endOf(idle) < 4, "--idle");
  const { stdout } = await program.stop("SIGTERM");
  assertMatch(stdout, /^127\.0\.0\.1 - ann \[[^\]]+\] "GET \/a\.txt HTTP\/1\.1" 200 2 "-" "-"$/m);
  assert(!stdout.includes("ann:b") && !stdout.includes("YW5u"));
});

Deno.test(
  { name: "program: one file, hidden or linked as it may be", ignore: !UNIX },
  async (test) => {
    using folder = new Folder({
      ".hidden": "named",
      "../outside.txt": "named",
      "other.txt": "other",
    });
    folder.link("../outside.txt", "link.txt");
    for (
      const [named, cwd] of [
        [".hidden", folder.root],
        ["link.txt", folder.root],
        [folder.path("link.txt"), ROOT],
        [folder.path("../outside.txt"), ROOT],
      ] as const
    ) {
      await test.step(`${named} in ${cwd}`, async () => {
        await using program = await startServer(["-p0", named], { cwd });
        const name = named.slice(named.lastIndexOf("/") + 1);
        assertEquals((await ask(program.port, "/")).body, "named", program.stderr);
        assertEquals((await ask(program.port, `/${name}`)).body, "named");
        for (const target of ["/other.txt", "/root/other.txt", "/../other.txt"]) {
          assertMatch(`${(await ask(program.port, target)).status}`, /^40[04]$/);
        }
      });
    }
  },
);

Deno.test("program: HTTPS", async () => {
  const files = ["--cert", `${TLS}localhost.pem`, "--key", `${TLS}localhost.key`];
  await using program = await startServer(["-p0", ...files, WWW]);
  assertMatch(program.stderr, /https:\/\/localhost:/);
  const conn = await Deno.connect({ hostname: "127.0.0.1", port: program.port });
  const caCerts = [await Deno.readTextFile(`${TLS}ca.pem`)];
  using client = new Client(await Deno.startTls(conn, { hostname: "localhost", caCerts }));
  await client.send(request("/hello.txt", ["Connection: close"]));
  assertMatch(await client.until(), /^HTTP\/1\.1 200 OK\r\n[^]*Hello/);
});

Deno.test({ name: "program: two threads, one log, one summary", ignore: !UNIX }, async () => {
  await using program = await startServer(["-p0", "--threads", "2", WWW]);
  assert(program.port > 0, program.stderr);
  await Promise.all(Array.from({ length: 60 }, async () => {
    assertEquals((await ask(program.port, "/hello.txt")).body, "Hello, world!\n");
  }));
  const { code, stdout, stderr } = await program.stop("SIGTERM");
  assertEquals([code, stdout.match(/ 200 +GET +\/hello\.txt /g)?.length], [0, 60]);
  assertMatch(stderr, /60 requests, 840 B sent/);
});

Deno.test({ name: "program: out of descriptors it goes on", ignore: !UNIX }, async () => {
  await using program = await startServer(["-p0", WWW], {
    by: ["sh", "-c", 'ulimit -n 64; exec "$@"', "sh"],
  });
  assert(program.port > 0, program.stderr);
  const crowd = await Promise.all(Array.from({ length: 90 }, () => Client.open(program.port)));
  await pause(100);
  const late = ask(program.port, "/hello.txt");
  await pause(100);
  for (const client of crowd) client[Symbol.dispose]();
  assertMatch(`${(await late).status}`, /^(200|503)$/);
  assertEquals((await ask(program.port, "/hello.txt")).body, "Hello, world!\n");
  const { code, stderr } = await program.stop("SIGTERM");
  assertEquals(code, 0);
  assert(!/\bat .*:\d+:\d+|os error/.test(stderr), stderr);
});

Deno.test(
  { name: "program: nobody reads the log, so it ends quietly", ignore: !UNIX },
  async () => {
    await using program = await startServer(["-p0", WWW], { unread: true });
    let ended = false;
    for (let count = 0; !ended && count < 100; count++) {
      ended = await ask(program.port, "/hello.txt").then(() => false, () => true);
      await pause(20);
    }
    // SIGCONT does nothing: it is to end by itself
    const { code, stderr } = await program.stop(ended ? "SIGCONT" : "SIGKILL");
    assertMatch(`${code}`, /^(0|141)$/, "it ends by itself");
    assert(!/error|pipe/i.test(stderr), stderr);
  },
);

testSlowly("program: a stuck reader of the log does not keep it", async () => {
  using folder = new Folder();
  const path = folder.path("log");
  await new Deno.Command("mkfifo", { args: [path] }).output();
  const opening = Deno.open(path);
  await using program = await startServer(["-p0", WWW], {
    by: ["sh", "-c", 'exec "$@" > "$0"', path],
  });
  using _stuck = await opening; // and never read
  const text = request("/hello.txt").repeat(1_999) + request("/end.txt", ["Connection: close"]);
  assertEquals(readAnswers(await talk(program.port, [text])).length, 2_000);
  const begun = performance.now();
  const last = setTimeout(() => program.stop("SIGKILL"), 9_000);
  const { code } = await program.stop("SIGTERM");
  clearTimeout(last);
  assert(performance.now() - begun < 6_000);
  assertEquals(code, 0);
}, !UNIX);

Deno.test("program: a missing permission names its flag", async (test) => {
  const cases: readonly [allow: string[], flag: RegExp][] = [
    [["--allow-net"], /--allow-read/],
    [["--allow-read"], /--allow-net/],
  ];
  for (const [allow, flag] of cases) {
    await test.step(allow.join(" "), async () => {
      await using program = await startServer(["-p0", WWW], { allow });
      const { code, stderr } = await program.stop();
      assertEquals(code, 1);
      assertMatch(stderr, /^http_server: Deno was not allowed to [^\n]+\n$/);
      assertMatch(stderr, flag);
    });
  }
  await test.step("threads read the program itself", async () => {
    const allow = ["--allow-net", `--allow-read=${WWW}`];
    await using program = await startServer(["-p0", "-t2", WWW], { allow });
    const { code, stderr } = await program.stop();
    assertEquals(code, 1);
    assertMatch(stderr, /^http_server: Deno was not allowed to read \S+; add --allow-read=\S+\n$/);
  });
  await test.step("these two are enough, --lan included", async () => {
    const allow = ["--allow-net", `--allow-read=${WWW}`];
    await using program = await startServer(["-p0", "--lan", WWW], { allow });
    assertEquals((await ask(program.port, "/hello.txt")).status, 200, program.stderr);
    assertEquals((await ask(program.port, "/bare/")).status, 200);
  });
});

/** A terminal, as util-linux makes one. */
const hasTerminal = UNIX && await new Deno.Command("script", { args: ["--version"] }).output()
  .then(({ success }) => success, () => false);

/** What it shows there, by arguments and colours. */
const TERMINALS: readonly [args: string, colour: boolean, want: RegExp][] = [
  ["", false, /serving \S*www[^]*Local +http:\/\/localhost:\d+\/[^]*--lan[^]*Ctrl-C/],
  ["-b 0.0.0.0", false, /Local +http:[^]*Network +http:\/\/[^]*Anyone on this network can read/],
  ["--lan", false, /Local +http:[^]*Network +http:\/\/[^]*Anyone on this network can read/],
  // deno-lint-ignore no-control-regex
  ["", true, /\x1b\[\d+m/],
];

for (const [args, colour, want] of TERMINALS) {
  testSlowly(`program: on a terminal, ${args} ${colour ? "in colour" : "NO_COLOR"}`, async () => {
    const command = `timeout 5 ${Deno.execPath()} run -A ${ROOT}http_server.ts -p0 ${args} ${WWW}`;
    const child = new Deno.Command("script", {
      args: ["-qefc", command, "/dev/null"],
      env: { NO_COLOR: colour ? "" : "1" },
      stdin: "null",
      stdout: "piped",
    }).spawn();
    let shown = "";
    for await (const octets of child.stdout) {
      shown += new TextDecoder().decode(octets);
      if (want.test(shown)) break;
    }
    child.kill();
    await child.status;
    assertMatch(shown, want);
    if (!colour) assert(!shown.includes("\x1b["), JSON.stringify(shown));
  }, !hasTerminal);
}

/** Root may read everything: as root these run as nobody, by way of util-linux. */
const asNobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
const isRoot = UNIX && Deno.uid() === 0;
const canBeNobody = !isRoot ||
  await new Deno.Command("setpriv", {
    args: [...asNobody.slice(1), "test", "-r", `${ROOT}protocol.ts`],
  })
    .output().then(({ success }) => success, () => false);

/** Where a nobody may write what Deno itself keeps. */
function homeless(folder: Folder): Record<string, string> {
  const cache = folder.path("../cache");
  return { HOME: cache, DENO_DIR: cache, DENO_COVERAGE_DIR: cache };
}

const skipped = canBeNobody ? "" : ": skipped as root without setpriv";

Deno.test(
  { name: `program: what it may not read is 403${skipped}`, ignore: !UNIX || !canBeNobody },
  async () => {
    using folder = new Folder({
      "secret.txt": "secret",
      "locked/a.txt": "secret",
      "style.css": "plain",
      "style.css.br": "secret",
      "ok.txt": "fine",
      "404.html": "lost",
      "../cache/": "",
    });
    const locked = ["secret.txt", "locked", "style.css.br"];
    for (const name of locked) Deno.chmodSync(folder.path(name), 0);
    for (const name of ["", "..", "../cache"]) Deno.chmodSync(folder.path(name), 0o777);
    await using program = await startServer(["-p0", folder.root], {
      by: isRoot ? asNobody : [],
      env: homeless(folder),
    });
    assert(program.port > 0, program.stderr);
    const status = async (target: string, fields: string[] = []) =>
      (await ask(program.port, target, fields)).status;
    for (let count = 0; count < 80; count++) {
      assertEquals(
        await status(`/secret.txt?${count}`),
        403,
      );
    }
    assertEquals(await status("/locked/a.txt"), 403);
    assertEquals(await status("/locked/nothing"), 403);
    assertEquals(await status("/locked/"), 403);
    assertEquals(await status("/"), 200);
    const plain = await ask(program.port, "/style.css", ["Accept-Encoding: br"]);
    assertEquals(
      [plain.status, plain.body],
      [200, "plain"],
      "a sibling that is unreadable is none",
    );
    assertEquals(await status("/ok.txt"), 200);
    Deno.chmodSync(folder.path("404.html"), 0);
    assertMatch(`${await status("/nothing")}`, /^40[34]$/);
    for (const name of ["locked"]) Deno.chmodSync(folder.path(name), 0o755);
    assertEquals((await program.stop("SIGTERM")).code, 0);
  },
);

Deno.test({
  name: `program: a folder it may not read, a port it may not have${skipped}`,
  ignore: !isRoot || !canBeNobody,
}, async () => {
  using folder = new Folder({ "a.txt": "", "../cache/": "" });
  Deno.chmodSync(folder.path(".."), 0o755);
  Deno.chmodSync(folder.path("../cache"), 0o777);
  const options = {
    by: asNobody,
    env: homeless(folder),
  };
  await using low = await startServer(["-p", "1", folder.root], options);
  if (low.port === 0) {
    const { code, stderr } = await low.stop();
    assertEquals(code, 1);
    assertMatch(stderr, /^http_server: [^\n]*\b1\b[^\n]*-p 8080[^\n]*\n$/);
  } // else the ports below 1024 are free for all here
  Deno.chmodSync(folder.root, 0);
  await using shut = await startServer(["-p", "0", folder.root], options);
  assertMatch((await shut.stop()).stderr, /^http_server: [^\n]*root[^\n]* permission denied\n$/);
  await using locked = await startServer(["-p", "0", `${folder.root}/a.txt`], options);
  const { code, stderr } = await locked.stop();
  assertEquals(code, 1);
  assertMatch(stderr, /^http_server: [^\n]*a\.txt[^\n]*\n$/);
  Deno.chmodSync(folder.root, 0o755);
});

// ---- All that waits ----------------------------------------------------

Deno.test("what takes its time", async (test) => {
  // at once, so that it takes as long as the longest; the sanitizers look at all of it together
  const apart = { sanitizeOps: false, sanitizeResources: false, sanitizeExit: false };
  await Promise.all([...SLOW].map(([name, fn]) => test.step({ name, fn, ...apart })));
});
