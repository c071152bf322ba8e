/**
 * The wire in the browser (`--wire`): who gets the page and its events, what they show, and that a slow
 * viewer costs lines, never the service.
 *
 * @module
 */
import { assert, assertEquals, assertMatch, assertNotMatch } from "jsr:@std/assert@^1.0.19";
import type { ServeOptions } from "../http_server.ts";
import { decodeUtf8 } from "../protocol.ts";
import { runProgram } from "./helpers.ts";
import {
  ask,
  basic,
  Client,
  Clock,
  getKept,
  PATIENCE,
  pause,
  readAnswers,
  request,
  type Service,
  start,
  startServer,
  talk,
  UNIX,
  WWW,
} from "./http_server_helpers.ts";

const TOKEN = "dGhpcyBpcyB0aGUgdG9rZW4h";
const PAGE = `/.wire?token=${TOKEN}`;
const EVENTS = `/.wire/events?token=${TOKEN}`;

function startWire(settings: Partial<ServeOptions> = {}): Service {
  return start({ wireToken: TOKEN, ...settings });
}

/** What the events of a page say. */
interface Event {
  number: number;
  remote: string;
  mark: string;
  lines: string[];
  lost?: number;
}

/** A client that reads the events. */
class Viewer implements Disposable {
  private constructor(readonly client: Client) {}

  static async open(port: number, fields: string[] = []): Promise<Viewer> {
    const client = await Client.open(port);
    await client.send(request(EVENTS, fields));
    await client.until(/\r\n\r\n/);
    return new Viewer(client);
  }

  /** The events so far. Every chunk is well-formed, and holds whole events. */
  get events(): Event[] {
    const events: Event[] = [];
    let rest = this.client.text.slice(this.client.text.indexOf("\r\n\r\n") + 4);
    for (;;) {
      const [line, digits = ""] = /^([\da-f]+)\r\n/.exec(rest) ?? [];
      const length = parseInt(digits, 16);
      if (line === undefined || rest.length < line.length + length + 2) return events;
      const chunk = rest.slice(line.length, line.length + length);
      assertMatch(chunk, /^(data: [^\r\n]*\n\n)+$/);
      for (const [, json = ""] of chunk.matchAll(/^data: (.*)$/gm)) {
        events.push(JSON.parse(decodeUtf8(json)));
      }
      assertEquals(rest.slice(line.length + length, line.length + length + 2), "\r\n");
      rest = rest.slice(line.length + length + 2);
    }
  }

  /** Waits until an event has a line that matches; returns all events. */
  async until(pattern: RegExp): Promise<Event[]> {
    const guard = setTimeout(() => this.client.conn.close(), PATIENCE);
    try {
      while (!this.events.some(({ lines }) => lines?.some((line) => pattern.test(line)))) {
        assert(await this.client.read(), "the stream goes on");
      }
    } finally {
      clearTimeout(guard);
    }
    return this.events;
  }

  [Symbol.dispose](): void {
    this.client[Symbol.dispose]();
  }
}

// ---- Who gets the page -------------------------------------------------

/** Name, target, fields, method, and the status that is expected. */
const ACCESS: readonly [string, string, string[], string, number][] = [
  ["the token opens the page", PAGE, [], "GET", 200],
  ["HEAD gets the header of the page", PAGE, [], "HEAD", 200],
  ["HEAD gets the header of the events", EVENTS, [], "HEAD", 200],
  ["no token", "/.wire", [], "GET", 403],
  ["an empty token", "/.wire?token=", [], "GET", 403],
  ["a token that is too short", PAGE.slice(0, -1), [], "GET", 403],
  ["a token that is too long", `${PAGE}A`, [], "GET", 403],
  ["a wrong token", `${PAGE.slice(0, -1)}A`, [], "GET", 403],
  ["another query after the token", `${PAGE}&a=b`, [], "GET", 403],
  ["events without a token", "/.wire/events", [], "GET", 403],
  ["events for a wrong token", `${EVENTS.slice(0, -1)}A`, [], "GET", 403],
  ["another name below the page", `/.wire/x?token=${TOKEN}`, [], "GET", 404],
  ["the page with a slash", `/.wire/?token=${TOKEN}`, [], "GET", 404],
  ["a name that only begins like it", `/.wirework?token=${TOKEN}`, [], "GET", 404],
  ["Sec-Fetch-Site same-origin", PAGE, ["Sec-Fetch-Site: same-origin"], "GET", 200],
  ["Sec-Fetch-Site none: the address bar", PAGE, ["Sec-Fetch-Site: none"], "GET", 200],
  ["Sec-Fetch-Site cross-site", PAGE, ["Sec-Fetch-Site: cross-site"], "GET", 403],
  ["Sec-Fetch-Site same-site", PAGE, ["Sec-Fetch-Site: same-site"], "GET", 403],
  ["Sec-Fetch-Site cross-site for events", EVENTS, ["Sec-Fetch-Site: cross-site"], "GET", 403],
  ["its own Origin", PAGE, ["Origin: http://localhost"], "GET", 200],
  ["a foreign Origin", PAGE, ["Origin: http://a.test"], "GET", 403],
  ["the Origin of TLS", PAGE, ["Origin: https://localhost"], "GET", 403],
  ["another port's Origin", PAGE, ["Origin: http://localhost:81"], "GET", 403],
  ["Origin null", PAGE, ["Origin: null"], "GET", 403],
  ["a foreign Origin for events", EVENTS, ["Origin: http://a.test"], "GET", 403],
  ["OPTIONS", PAGE, [], "OPTIONS", 204],
  ["POST", PAGE, [], "POST", 405],
];

for (const [name, target, fields, method, status] of ACCESS) {
  Deno.test(`wire: ${name}: ${status}`, async () => {
    await using service = startWire({ fields: [["X-Own", "1"]], cors: true });
    const [answer] = target === EVENTS && method === "HEAD"
      ? [{ ...await headOfEvents(service.port), body: "" }]
      : readAnswers(
        await talk(service.port, [request(target, [...fields, "Connection: close"], method)]),
        [method],
      );
    assert(answer);
    assertEquals(answer.status, status);
    if (status === 404 && target.startsWith("/.wirework")) return;
    for (const name of ["X-Own", "Access-Control-Allow-Origin"]) {
      assertEquals(answer.fields.get(name), undefined, name);
    }
    assertEquals(answer.fields.get("Cache-Control"), "no-store");
  });
}

/** The header of the events, which has no length. */
async function headOfEvents(port: number) {
  const text = await talk(port, [request(EVENTS, ["Connection: close"], "HEAD")]);
  const lines = text.split("\r\n");
  assertEquals(text.slice(text.indexOf("\r\n\r\n") + 4), "");
  assertMatch(text, /\r\nTransfer-Encoding: chunked\r\n/);
  assertNotMatch(text, /Content-Length/); // RFC 9110 §8.6: only the length that GET would have
  const get = (name: string) =>
    lines.find((line) => line.toLowerCase().startsWith(`${name.toLowerCase()}: `))
      ?.slice(name.length + 2);
  return { status: Number(text.slice(9, 12)), fields: { get } };
}

Deno.test("wire: without --wire the page does not exist", async () => {
  await using service = start();
  assertEquals((await ask(service.port, PAGE)).status, 404);
});

Deno.test("wire: a CORS preflight for the page gets no CORS fields", async () => {
  await using service = startWire({ cors: true });
  const fields = ["Origin: http://a.test", "Access-Control-Request-Method: GET"];
  const text = await talk(service.port, [
    request(PAGE, [...fields, "Connection: close"], "OPTIONS"),
  ]);
  assertMatch(text, /^HTTP\/1\.1 204 /);
  assertNotMatch(text, /Access-Control/);
});

Deno.test("wire: with --auth the page needs the password as well", async () => {
  await using service = startWire({ credentials: "ann:secret" });
  assertEquals((await ask(service.port, PAGE)).status, 401);
  assertEquals((await ask(service.port, PAGE, [basic("ann:secret")])).status, 200);
});

Deno.test("wire: a host name that is not this machine's gets 421", async () => {
  await using service = startWire({ hosts: ["localhost"] });
  const text = `GET ${PAGE} HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n`;
  assertMatch(await talk(service.port, [text]), /^HTTP\/1\.1 421 /);
});

Deno.test("RFC 9112 §6.1: the events of --wire are refused to HTTP/1.0, which has no chunks", async () => {
  await using service = startWire();
  assertMatch(await talk(service.port, [`GET ${EVENTS} HTTP/1.0\r\n\r\n`]), /^HTTP\/1\.1 505 /);
});

Deno.test("wire: the policy of the page names its own script and style by their hashes", async () => {
  await using service = startWire();
  const { body, fields } = await ask(service.port, PAGE);
  const policy = fields.get("Content-Security-Policy") ?? "";
  for (const [element, directive] of [["script", "script-src"], ["style", "style-src"]]) {
    const [, text = ""] = new RegExp(`<${element}>([^]*?)</${element}>`).exec(body) ?? [];
    const octets = Uint8Array.from(text, (char) => char.charCodeAt(0));
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", octets));
    assert(policy.includes(`${directive} 'sha256-${digest.toBase64()}'`), `${element}: ${policy}`);
  }
  assertMatch(policy, /default-src 'none'/);
  assertMatch(policy, /frame-ancestors 'none'/);
  assertNotMatch(policy, /unsafe/);
  assertNotMatch(body, /innerHTML|token=/);
  assertEquals(fields.get("Referrer-Policy"), "no-referrer");
});

// ---- The script of the page --------------------------------------------

/** As much of an element as the script uses. */
class FakeElement {
  children: FakeElement[] = [];
  textContent = "";
  className = "";
  title = "";
  value = "";
  onclick = () => {};

  constructor(readonly parent?: FakeElement) {}
  get firstChild() {
    return this.children[0];
  }
  appendChild(child: FakeElement): FakeElement {
    this.children.push(child);
    return child;
  }
  append(child: FakeElement): void {
    this.appendChild(child);
    child.remove = () => this.children.splice(this.children.indexOf(child), 1);
  }
  remove(): void {}
  replaceChildren(): void {
    this.children = [];
  }
}

/** A source of events; the newest one is kept. */
class FakeSource {
  static newest: FakeSource;
  isClosed = false;
  readyState = 0;
  onopen = () => {};
  onerror = () => {};
  onmessage = (_event: { data: string }) => {};

  constructor(readonly url: string) {
    FakeSource.newest = this;
  }
  close(): void {
    this.isClosed = true;
  }
}

/** Runs the script of the page in a window of 500 lines that shows the page from `scrollY`. */
async function runScript(scrollY = 0) {
  await using service = startWire();
  const [, script = ""] = /<script>([^]*?)<\/script>/.exec((await ask(service.port, PAGE)).body) ??
    [];
  const [list, state, button] = [new FakeElement(), new FakeElement(), new FakeElement()];
  const elements: Record<string, FakeElement> = { ol: list, output: state, button };
  const document = {
    hidden: false,
    body: { scrollHeight: 1_000 },
    querySelector: (name: string) => elements[name],
    createElement: () => new FakeElement(),
    onVisibility: () => {},
    addEventListener(_type: string, call: () => void) {
      document.onVisibility = call;
    },
  };
  const scrolls: number[][] = [];
  const values = {
    document,
    scrollY,
    innerHeight: 500,
    scrollTo: (...to: number[]) => scrolls.push(to),
    EventSource: FakeSource,
    location: { search: "?token=abc" },
  };
  new Function(...Object.keys(values), script)(...Object.values(values));
  const send = (event: object) => FakeSource.newest.onmessage({ data: JSON.stringify(event) });
  return { list, state, button, document, scrolls, send };
}

Deno.test("wire: the script shows each line of an event, and what was lost", async () => {
  const { list, send } = await runScript();
  send({ number: 7, remote: "127.0.0.1", mark: "<", lines: ["GET / HTTP/1.1", ""] });
  send({ number: 7, remote: "127.0.0.1", mark: ">", lines: ["HTTP/1.1 200 OK"] });
  send({ lost: 3 });
  const shown = list.children.map(({ children }) =>
    children.map(({ textContent, className, title }) => [textContent, className, title])
  );
  assertEquals(shown, [
    [["#7", "", "127.0.0.1"], ["< GET / HTTP/1.1", "request", ""], ["< ", "request", ""]],
    [["#7", "", "127.0.0.1"], ["> HTTP/1.1 200 OK", "response", ""]],
    [["", "", ""], ["* 3 header sections are not shown: too many at once", "note", ""]],
  ]);
});

for (const [scrollY, scrolls] of [[460, [[0, 1_000]]], [459, []]] as const) {
  Deno.test(`wire: the script ${scrollY === 460 ? "scrolls" : "does not scroll"} when line ${scrollY} is on top`, async () => {
    const page = await runScript(scrollY);
    page.send({ lost: 1 });
    assertEquals(page.scrolls, scrolls.map((to) => [...to]));
  });
}

Deno.test("wire: the script keeps the last 1,000 events", async () => {
  const { list, button, send } = await runScript();
  for (let count = 0; count <= 1_001; count++) {
    send({ lost: count });
    assertEquals(list.children.length, Math.min(count + 1, 1_000));
  }
  assertMatch(list.firstChild?.children[1]?.textContent ?? "", /^\* 2 header/);
  button.onclick();
  assertEquals(list.children, []);
});

Deno.test("wire: the script says how the connection is", async () => {
  const { state, document } = await runScript();
  const { newest } = FakeSource;
  assertEquals(newest.url, "/.wire/events?token=abc");
  newest.onopen();
  assertEquals(state.value, "live");
  newest.onerror();
  assertEquals(state.value, "waiting for the server");
  newest.readyState = 2;
  newest.onerror();
  assertEquals(state.value, "refused: reload");
  document.hidden = true;
  document.onVisibility();
  assertEquals([state.value, newest.isClosed], ["paused while hidden", true]);
  document.hidden = false;
  document.onVisibility();
  assert(FakeSource.newest !== newest && !FakeSource.newest.isClosed);
});

// ---- What it shows -----------------------------------------------------

Deno.test("wire: shows the header lines of another connection, as they were sent", async () => {
  await using service = startWire();
  using viewer = await Viewer.open(service.port);
  await ask(service.port, "/hello.txt?a=%20", ["X-Text: caf\xc3\xa9 <b>"]);
  const events = await viewer.until(/^HTTP\/1\.1 200 OK$/);
  assertMatch(viewer.client.text, /^[^]*?\r\nConnection: close\r\n[^]*\r\n\r\n/);
  const [received, sent] = events;
  assert(received && sent);
  assertEquals([received.mark, sent.mark], ["<", ">"]);
  assertEquals([received.number, sent.number], [2, 2], "the viewer is the first connection");
  assertEquals(received.remote, "127.0.0.1");
  assertEquals(received.lines[0], "GET /hello.txt?a=%20 HTTP/1.1");
  assert(received.lines.includes("X-Text: café <b>"), received.lines.join("\n"));
  assert(sent.lines.includes("Content-Length: 14"), sent.lines.join("\n"));
  assertEquals(
    [received.lines.at(-1), sent.lines.at(-1)],
    ["", ""],
    "the empty line ends a header",
  );
  assertEquals(events.flatMap(({ lines }) => lines).filter((line) => /Hello/.test(line)), []);
});

Deno.test("wire: shows the page's own request and response first, and not its events", async () => {
  await using service = startWire();
  await ask(service.port, PAGE);
  using viewer = await Viewer.open(service.port);
  const events = await viewer.until(/^HTTP\/1\.1 200/);
  assertEquals(events.map(({ lines }) => lines[0]), [
    "GET /.wire?token=[token] HTTP/1.1",
    "HTTP/1.1 200 OK",
  ]);
  using second = await Viewer.open(service.port); // as after a reload of the events alone
  await ask(service.port, "/end.txt");
  for (const each of [viewer, second]) {
    const lines = (await each.until(/GET \/end\.txt/)).map(({ lines }) => lines[0]);
    assert(!lines.some((line) => line?.includes("events")), lines.join("\n"));
  }
  assertEquals(second.events[0]?.lines[0], "GET /end.txt HTTP/1.1");
});

Deno.test("wire: shows the page's own request and response also when it is opened again", async () => {
  using clock = new Clock();
  await using service = startWire();
  using client = await Client.open(service.port);
  for (let time = 0; time < 3; time++) {
    await getKept(client, PAGE);
    const viewer = await Viewer.open(service.port);
    const events = await viewer.until(/^HTTP\/1\.1 200/);
    assertEquals(events.map(({ mark }) => mark), ["<", ">"]);
    viewer.client.conn.close();
    await pause(30); // the service has noticed it by then
    clock.now += 20;
  }
});

Deno.test("wire: hides credentials, cookies and the token", async () => {
  await using service = startWire({ fields: [["Set-Cookie", "id=geheim"]] });
  using viewer = await Viewer.open(service.port);
  await ask(service.port, "/hello.txt", [
    "Authorization: Bearer geheim",
    "proxy-authorization: Basic geheim",
    "COOKIE: a=geheim",
    `Referer: http://localhost${PAGE}`,
  ]);
  await viewer.until(/^HTTP\/1\.1 200/);
  assertNotMatch(viewer.client.text, /geheim/);
  assert(!viewer.client.text.includes(TOKEN));
  const [received, sent] = viewer.events;
  assert(received?.lines.includes("COOKIE: [hidden]"));
  assert(received?.lines.includes("Authorization: [credentials]"));
  assert(sent?.lines.includes("Set-Cookie: [hidden]"));
});

Deno.test("wire: shows a request that is not understood, and the refusal", async () => {
  await using service = startWire();
  using viewer = await Viewer.open(service.port);
  await talk(service.port, ["GET / HTTP/1.1\r\nBad Name: x\r\n\r\n"]);
  const events = await viewer.until(/^HTTP\/1\.1 400/);
  assertEquals(events[0]?.lines, ["GET / HTTP/1.1", "Bad Name: x", ""]);
});

Deno.test("wire: a response from the cache is shown as well", async () => {
  await using service = startWire();
  using client = await Client.open(service.port);
  for (let time = 0; time < 3; time++) {
    await client.send(request("/end.txt"));
    await client.until(/the end\n/);
    client.text = "";
  }
  using viewer = await Viewer.open(service.port);
  await client.send(request("/end.txt"));
  assertEquals((await viewer.until(/^HTTP\/1\.1 200/)).length, 2);
});

Deno.test("wire: a line break in a request cannot forge an event", async () => {
  await using service = startWire();
  using viewer = await Viewer.open(service.port);
  await talk(service.port, ['GET /"\\u0041 HTTP/1.1\r\nA: \xe2\x80\xa8data: {}\r\n\r\n']);
  for (const { lines } of await viewer.until(/^HTTP\/1\.1 400/)) assert(Array.isArray(lines));
});

// ---- Bounds ------------------------------------------------------------

Deno.test("wire: four viewers at most, a fifth gets 503, and one that leaves makes room", async () => {
  await using service = startWire();
  const viewers = [];
  for (let each = 0; each < 4; each++) viewers.push(await Viewer.open(service.port));
  for (const { client } of viewers) assertMatch(client.text, /^HTTP\/1\.1 200 /);
  using fifth = await Viewer.open(service.port);
  assertMatch(fifth.client.text, /^HTTP\/1\.1 503 /);
  viewers[0]?.client.conn.close();
  for (let tries = 0;; tries++) {
    using another = await Viewer.open(service.port);
    if (another.client.text.startsWith("HTTP/1.1 200 ")) break;
    assert(tries < 100, "the place becomes free");
    await pause(10);
  }
  for (const { client } of viewers.slice(1)) client[Symbol.dispose]();
});

Deno.test("wire: a viewer that does not read loses lines, and the service goes on", async () => {
  await using service = startWire();
  using viewer = await Viewer.open(service.port);
  using client = await Client.open(service.port);
  const padding = `X-Padding: ${"x".repeat(12_000)}`;
  for (let round = 0; round < 700; round++) { // 8 MB: more than the buffers of a socket hold
    client.text = "";
    await client.send(request("/end.txt", [padding]));
    await client.until(/the end\n/);
  }
  const lost = () => Number(/"lost":(\d+)/.exec(viewer.client.text.slice(-4_000))?.[1] ?? 0);
  while (lost() === 0) assert(await viewer.client.read(), "the viewer gets to know what it lost");
  const shown = viewer.client.text.split('"mark":"<"').length - 1;
  assert(shown < 700, `${shown} of 700 requests, ${lost()} header sections lost`);
  const sizes = [...viewer.client.text.matchAll(/\r\n([\da-f]+)\r\ndata: /g)]
    .map(([, digits = ""]) => parseInt(digits, 16));
  const largest = Math.max(...sizes);
  const note = `data: {"lost":${lost()}}\n\n`.length;
  assert(largest <= 262_144 + note && largest > 262_144 - 13_000, `${largest} octets waited`);
});

Deno.test("wire: a viewer that ends while it does not read makes room", async () => {
  await using service = startWire();
  using viewer = await Viewer.open(service.port);
  using client = await Client.open(service.port);
  const padding = `X-Padding: ${"x".repeat(12_000)}`;
  for (let round = 0; round < 700; round++) await getKept(client, "/end.txt", [padding]);
  await viewer.client.conn.closeWrite();
  const hasEnded = () => service.exchanges.some(({ line }) => line.includes("/.wire/events"));
  for (let tries = 0; !hasEnded(); tries++) {
    assert(tries < 300, "its place becomes free");
    await pause(10);
  }
});

Deno.test("wire: a viewer is not idle, and is not closed for a new connection", async () => {
  const timeouts = { idle: 50, request: 50, write: 100, minIdle: 0 };
  await using service = startWire({ timeouts, maxConnections: 2 });
  using viewer = await Viewer.open(service.port);
  await pause(250);
  for (let round = 0; round < 3; round++) {
    using idle = await Client.open(service.port);
    await idle.send(request("/end.txt"));
    await idle.until(/the end/);
  }
  await viewer.until(/^GET \/end\.txt/);
});

Deno.test("wire: a viewer is closed at once when the service stops", async () => {
  let finishing = 0;
  const timeouts = { shutdown: 60_000 };
  await using service = startWire({ timeouts, onDraining: () => finishing++ });
  using viewer = await Viewer.open(service.port);
  await service.stop();
  await viewer.client.until();
  assertEquals(finishing, 0);
});

Deno.test("wire: the cache is off while the page is shown, and on again afterwards", async () => {
  await using service = startWire();
  using client = await Client.open(service.port);
  const isCached = async () => {
    for (let time = 0; time < 2; time++) await getKept(client, "/end.txt");
    return service.exchanges.at(-1)?.fields === service.exchanges.at(-2)?.fields;
  };
  assert(await isCached());
  const viewers = [await Viewer.open(service.port), await Viewer.open(service.port)];
  assert(!await isCached());
  viewers.pop()?.client.conn.close();
  await pause(50);
  assert(!await isCached(), "one page is left");
  viewers.pop()?.client.conn.close();
  for (let tries = 0; !await isCached(); tries++) {
    assert(tries < 100);
    await pause(10);
  }
});

Deno.test("wire: with --verbose every request is shown, also after the page was closed", async () => {
  const lines: string[] = [];
  await using service = startWire({ trace: (_mark, text) => lines.push(text) });
  const viewer = await Viewer.open(service.port);
  viewer.client.conn.close();
  using client = await Client.open(service.port);
  for (let time = 0; time < 20; time++) {
    await getKept(client, "/end.txt");
    await pause(5);
  }
  assertEquals(lines.filter((line) => line === "GET /end.txt HTTP/1.1").length, 20);
});

Deno.test("wire: the log has no token", async () => {
  await using service = startWire();
  await ask(service.port, PAGE);
  assertEquals(service.exchanges[0]?.line, "GET /.wire?token=[token] HTTP/1.1");
});

// ---- The command line --------------------------------------------------

for (
  const args of [["--lan"], ["--allow-host", "a.test"], ["-t", "2"], ["--threads=1"], [
    "-b",
    "0.0.0.0",
  ]]
) {
  Deno.test(`wire: exit 2 with ${args.join(" ")}`, async () => {
    const { code, stderr } = await runProgram("http_server.ts", ["-p0", "--wire", ...args, WWW]);
    assertEquals(code, 2);
    assertMatch(stderr, /^http_server: Cannot use .*--wire.*\n$/);
  });
}

Deno.test(
  { name: "wire: the program prints the URL of the page, with a new token", ignore: !UNIX },
  async () => {
    const tokens = new Set<string>();
    for (let time = 0; time < 2; time++) {
      await using server = await startServer(["-qp0", "--wire", WWW]);
      while (!server.stderr.includes("token=")) await pause(10);
      const [, port, target = "", token = ""] =
        /http:\/\/localhost:(\d+)(\/\.wire\?token=([\w-]{24}))\n/.exec(server.stderr) ?? [];
      assertEquals(Number(port), server.port);
      assertEquals((await ask(server.port, target)).status, 200);
      tokens.add(token);
    }
    assertEquals(tokens.size, 2);
  },
);
