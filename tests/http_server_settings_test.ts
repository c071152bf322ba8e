/**
 * The settings of the service, host names, and TLS.
 *
 * @module
 */
import { assert, assertEquals, assertMatch } from "jsr:@std/assert@^1.0.19";
import type { ServeOptions } from "../http_server.ts";
import { certificate, LOCAL, TLS } from "./helpers.ts";
import {
  type Answer,
  ask,
  basic,
  Client,
  Folder,
  HTML,
  LARGE,
  readAnswers,
  request,
  start,
  talk,
  UNIX,
} from "./http_server_helpers.ts";

/** Requests to a service with some settings: the status, and a part of the body or a field. */
type Use = readonly [
  target: string,
  fields: string[],
  status: number,
  part?: RegExp,
  method?: string,
];

const SETTINGS: Record<string, { settings: Partial<ServeOptions>; uses: readonly Use[] }> = {
  "clean URLs": {
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
  "--spa": {
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
  "--cors": {
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
  "--header": {
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
  "RFC 9111 §5.2.2: no --cache": {
    settings: {},
    uses: [
      ["/hello.txt", [], 200, /Cache-Control: no-cache/],
      ["/hello.txt", [], 200, /^(?![^]*Access-Control)/],
    ],
  },
  "RFC 9111 §5.2.2: --cache 3600": {
    settings: { cache: "public, max-age=3600" },
    uses: [
      ["/hello.txt", [], 200, /Cache-Control: public, max-age=3600/],
      ["/hello.txt", ["If-None-Match: *"], 304, /Cache-Control: public, max-age=3600/],
      ["/digits.txt", ["Range: bytes=0-1"], 206, /Cache-Control: public, max-age=3600/],
      ["/nothing", [], 404, /Cache-Control: no-cache/],
      ["/folder", [], 307, /Cache-Control: no-cache/],
    ],
  },
  "RFC 9111 §5.2.2: --cache -1": {
    settings: { cache: "no-store" },
    uses: [
      ["/hello.txt", [], 200, /Cache-Control: no-store/],
      ["/nothing", [], 404, /Cache-Control: no-store/],
      ["/folder", [], 307, /Cache-Control: no-store/],
    ],
  },
  "one file as the operand": {
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
  "CORS with Basic authentication": {
    settings: { cors: true, credentials: "ann:secret" },
    uses: [
      [
        "/hello.txt",
        ["Origin: http://a.test", "Access-Control-Request-Method: GET"],
        204,
        /Access-Control-Allow-Methods: .*GET/,
        "OPTIONS",
      ],
      ["/hello.txt", ["Origin: http://a.test"], 401, undefined, "OPTIONS"],
      ["/hello.txt", ["Access-Control-Request-Method: GET"], 401],
    ],
  },
  "RFC 7617: --auth": {
    settings: { credentials: "ann:s:cr\u00e9t" },
    uses: [
      ["/hello.txt", [], 401, /WWW-Authenticate: Basic realm="[^"]+", charset="UTF-8"\r/],
      ["/hello.txt", [], 401, /^(?![^]*Hello)/],
      ["/hello.txt", [basic("ann:s:cr\u00e9t")], 200, /Hello/],
      ["/hello.txt", [basic("ann:s:cr\u00e9t").replace("Basic", "bASIC")], 200, /Hello/],
      ["/hello.txt", [basic("ann:s:cr\u00e9t").replace("Basic", "Basic  ")], 200, /Hello/],
      ["/hello.txt", [basic("ann:")], 401],
      ["/hello.txt", [basic("ann")], 401],
      ["/hello.txt", [basic(":")], 401],
      ["/hello.txt", [basic("ann:s:cr\u00e9tx")], 401],
      ["/hello.txt", [basic("ann:s:cr\u00e9")], 401],
      ["/hello.txt", [basic("Ann:s:cr\u00e9t")], 401],
      ["/hello.txt", [basic("ann:s:cr\u00e9t").replace("Basic", "Bearer")], 401],
      ["/hello.txt", ["Authorization: Basic"], 401],
      ["/hello.txt", ["Authorization: Basic !!!"], 401],
      ["/hello.txt", ["Authorization: Basic ="], 401],
      ["/hello.txt", ["Authorization:"], 401],
      ["/hello.txt", [basic("ann:s:cr\u00e9t"), basic("x:y")], 401],
      ["/nothing", [], 401],
      ["/folder", [], 401],
      ["/fifo", [], 401],
      ["*", [], 401, undefined, "OPTIONS"],
      ["/nothing", [basic("ann:s:cr\u00e9t")], 404],
      ["/hello.txt", [basic("ann:s:cr\u00e9t")], 200, /Content-Length: 14/, "HEAD"],
    ],
  },
};

for (const [title, { settings, uses }] of Object.entries(SETTINGS)) {
  for (const [target, fields, status, part = /^/, method = "GET"] of uses) {
    const row = `${method} ${target} ${fields.join(", ").slice(0, 60)}: ${status} ${part}`;
    Deno.test(`${title}: ${row}`, async () => {
      await using service = start(settings);
      const text = request(target, [...fields, "Connection: close"], method);
      const came = await talk(service.port, [text]);
      const [answer] = readAnswers(came, [method]);
      assertEquals(answer?.status, status);
      assertMatch(came, part);
    });
  }
}

/** Registers a test of a folder with a 404.html. */
function test404(rule: string, test: (port: number, folder: Folder) => Promise<void>): void {
  Deno.test(`404.html: ${rule}`, async () => {
    using folder = new Folder({ "404.html": "<p>lost", "a/b.txt": "", "../out.html": "secret" });
    await using service = start({ root: folder.root });
    await test(service.port, folder);
  });
}

for (const target of ["/nothing", "/a/nothing", "/a/b.txt/", "/a/b/c", "/.hidden"]) {
  test404(`it is the content of ${target}`, async (port) => {
    const { status, fields, body } = await ask(port, target);
    assertEquals([status, body], [404, "<p>lost"]);
    assertEquals(fields.get("Content-Type"), "text/html; charset=utf-8");
  });
}

test404("conditions and ranges do not matter", async (port) => {
  const since = "If-Modified-Since: Wed, 01 Jan 2020 00:00:01 GMT";
  const fields = ["If-None-Match: *", "Range: bytes=0-1", since];
  const { status, body } = await ask(port, "/nothing", fields);
  assertEquals([status, body], [404, "<p>lost"]);
});

test404("HEAD has its length", async (port) => {
  const { status, fields } = await ask(port, "/nothing", [], "HEAD");
  assertEquals([status, fields.get("Content-Length")], [404, "7"]);
});

test404("under its own name it is a page like others", async (port) => {
  assertEquals((await ask(port, "/404.html")).status, 200);
});

test404("a large one is sent whole", async (port, folder) => {
  folder.write("404.html", LARGE);
  const { status, body } = await ask(port, "/nothing");
  assertEquals([status, body.length], [404, LARGE.length]);
  const head = await ask(port, "/nothing", [], "HEAD");
  assertEquals([head.status, head.fields.get("Content-Length")], [404, `${LARGE.length}`]);
});

test404("a link out of the root is not used", async (port, folder) => {
  Deno.removeSync(folder.path("404.html"));
  if (UNIX) folder.link("../out.html", "404.html");
  const { status, body } = await ask(port, "/nothing");
  assertEquals([status, body.includes("secret")], [404, false]);
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

/** Asks for a target of a host; with 200 comes the file, otherwise nothing of it. */
async function statusFor(port: number, target: string, host: string): Promise<number | undefined> {
  const text = `GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
  const [answer] = readAnswers(await talk(port, [text]));
  assert(answer?.status === 200 || !answer?.body.includes("Hello"));
  return answer?.status;
}

for (const host of [...OWN, "dev.test", "DEV.test:8000"]) {
  Deno.test(`RFC 9110 §7.4: bound to loopback, Host: ${host} is served`, async () => {
    await using service = start({ hosts: ["dev.test"] });
    assertEquals(await statusFor(service.port, "/hello.txt", host), 200);
  });
}

for (const host of FOREIGN) {
  Deno.test(`RFC 9110 §7.4: bound to loopback, Host: ${host} gets 421`, async () => {
    await using service = start({ hosts: ["dev.test"] });
    assertEquals(await statusFor(service.port, "/hello.txt", host), 421);
    assertEquals(await statusFor(service.port, "/nothing", host), 421);
    await using behindProxy = start({ hosts: ["*"] });
    assertEquals(await statusFor(behindProxy.port, "/hello.txt", host), 200);
  });
}

Deno.test("RFC 9112 §3.2.2: the host of an absolute target wins over Host", async () => {
  await using service = start({ hosts: [] });
  assertEquals(await statusFor(service.port, "http://evil.test/hello.txt", "localhost"), 421);
  assertEquals(await statusFor(service.port, "http://localhost/hello.txt", "evil.test"), 200);
});

Deno.test("RFC 9112 §3.2: bound to loopback, HTTP/1.0 without Host is served", async () => {
  await using service = start({ hosts: [] });
  assertMatch(await talk(service.port, ["GET /hello.txt HTTP/1.0\r\n\r\n"]), /Hello/);
});

Deno.test("RFC 9112 §3.2: a malformed Host gets 400, not 421", async () => {
  await using service = start({ hosts: [] });
  assertEquals(await statusFor(service.port, "/hello.txt", "evil.test:x"), 400);
});

// ---- TLS ---------------------------------------------------------------

const LAST = ["Connection: close"];

/** Registers a test of a service over TLS, with a function that sends text and reads responses. */
function testTls(
  rule: string,
  test: (say: (text: string) => Promise<Answer[]>, port: number) => Promise<void>,
): void {
  Deno.test(`HTTPS: ${rule}`, async () => {
    using folder = new Folder({ "hello.txt": "Hello, world!\n", "large.bin": LARGE, "dir/": "" });
    const listener = Deno.listenTls({ ...LOCAL, ...await certificate("localhost") });
    await using service = start({ root: folder.root, secure: true }, listener);
    const caCerts = [await Deno.readTextFile(`${TLS}ca.pem`)];
    await test(async (text) => {
      const conn = await Deno.connect({ hostname: "127.0.0.1", port: service.port });
      conn.setNoDelay();
      using client = new Client(await Deno.startTls(conn, { hostname: "localhost", caCerts }));
      await client.send(text);
      return readAnswers(await client.until());
    }, service.port);
  });
}

testTls("three requests on one connection", async (say) => {
  const text = request("/hello.txt") + request("/nothing") + request("/hello.txt", LAST);
  assertEquals((await say(text)).map(({ status }) => status), [200, 404, 200]);
});

testTls("a large file, and a range of it", async (say) => {
  const text = request("/large.bin") + request("/large.bin", [...LAST, "Range: bytes=-9"]);
  const answers = await say(text);
  assert(answers[0]?.body === LARGE);
  assertEquals(answers[1]?.body, LARGE.slice(-9));
});

testTls("an https target gets 200, an http one 421", async (say) => {
  assertEquals((await say(request("https://localhost/hello.txt", LAST)))[0]?.status, 200);
  assertEquals((await say(request("http://localhost/hello.txt", LAST)))[0]?.status, 421);
});

testTls("an error arrives", async (say) => {
  assertEquals((await say(`BAD\r\n\r\n${"x".repeat(100_000)}`))[0]?.status, 400);
});

testTls("plain text and rubbish disturb no other client", async (say, port) => {
  for (const text of [request("/hello.txt"), "\x16\x03\x01\x02\x00\x01\x00rubbish", ""]) {
    assert(!(await talk(port, [text], true)).includes("Hello"));
  }
  assertEquals((await say(request("/hello.txt", LAST)))[0]?.status, 200);
});
