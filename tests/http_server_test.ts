/**
 * The web server, seen from outside: what is put on the wire, and what comes back. Most tables
 * hold the text of requests and, in one word each, what becomes of them.
 *
 * @module
 */
import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import {
  type Exchange,
  type Listener,
  serve,
  type ServeOptions,
  type Summary,
} from "../http_server.ts";
import { Fields, toByteString } from "../protocol.ts";
import { CUTS, LOCAL, octetsOf, ROOT, send } from "./helpers.ts";

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
  ["a method without end", `${"G".repeat(20_000)} / HTTP/1.1\r\n${H}\r\n`, "(400|414|501) close"],
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
    assertEquals(answers.map(({ status, body }) => `${status} ${status < 400 ? body : ""}`), [
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

Deno.test("RFC 9112 §9.6: an error arrives though the client goes on sending", async () => {
  await using service = start();
  for (let round = 0; round < 20; round++) {
    const text = await talk(service.port, [
      "BAD\r\n\r\n",
      "x".repeat(200_000),
      "y".repeat(200_000),
    ]);
    assertMatch(text, /^HTTP\/1\.1 400 /);
    readAnswers(text);
  }
});
