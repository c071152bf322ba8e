/**
 * What the server must say in its responses, and what not (RFC 9110, RFC 9112). The octets of each
 * response are read as they come.
 *
 * @module
 */
import { assertEquals, assertMatch, assertNotMatch } from "jsr:@std/assert@^1.0.19";
import { certificate, LOCAL, TLS } from "./helpers.ts";
import { Client, Folder, request, start, talk } from "./http_server_helpers.ts";

const IMF_FIXDATE = "\\w{3}, \\d\\d \\w{3} \\d{4} \\d\\d:\\d\\d:\\d\\d GMT";
const LAST = ["Connection: close"];
const get = (...fields: string[]) => request("/a.css", [...fields, ...LAST]);

/** The rule, the octets of the client, and what the octets of the server match, and what not. */
type Row = readonly [rule: string, sent: string, says: RegExp, not?: RegExp];

const RESPONSES: readonly Row[] = [
  ["RFC 9112 §4: version, status and reason phrase", get(), /^HTTP\/1\.1 200 OK\r\n/],
  [
    "RFC 9112 §2.3: the response to HTTP/1.0 has the server's version",
    "GET /a.css HTTP/1.0\r\n\r\n",
    /^HTTP\/1\.1 200 /,
    /Transfer-Encoding/i,
  ],
  [
    "RFC 9112 §6.1: 204 has no Transfer-Encoding",
    request("*", LAST, "OPTIONS"),
    /^HTTP\/1\.1 204 /,
    /Transfer-Encoding/i,
  ],
  [
    "RFC 9110 §8.6: 204 has no Content-Length",
    request("*", LAST, "OPTIONS"),
    /^HTTP\/1\.1 204 /,
    /Content-Length/i,
  ],
  ["RFC 9112 §9.6: a response to close says close", get(), /^Connection: close\r$/m],
  [
    "RFC 9112 §9.6: a response after which the server closes says close",
    "BAD\r\n\r\n",
    /^Connection: close\r$/m,
  ],
  [
    "RFC 9112 §9.6: a request after close gets no response",
    get() + request("/nothing", LAST),
    /^HTTP\/1\.1 200 /,
    /404/,
  ],
  ...[
    ["200", get()],
    ["206", get("Range: bytes=0-1")],
    ["304", get("If-None-Match: *")],
    ["307", request("/dir", LAST)],
    ["400", "BAD\r\n\r\n"],
    ["404", request("/nothing", LAST)],
    ["405", request("/a.css", LAST, "POST")],
    ["412", get('If-Match: "x"')],
    ["416", get("Range: bytes=99-")],
  ].map(([status, sent = ""]): Row => [
    `RFC 9110 §6.6.1: ${status} has a Date, which is an IMF-fixdate`,
    sent,
    new RegExp(`^HTTP/1\\.1 ${status} [^]*^Date: ${IMF_FIXDATE}\r$`, "m"),
  ]),
  [
    "RFC 9110 §5.6.7: Last-Modified is an IMF-fixdate",
    get(),
    new RegExp(`^Last-Modified: ${IMF_FIXDATE}\r$`, "m"),
  ],
  [
    "RFC 9110 §7.8: Upgrade is ignored",
    get("Upgrade: h2c", "Connection: Upgrade"),
    /^HTTP\/1\.1 200 /,
    /Upgrade/i,
  ],
  [
    "RFC 9110 §7.8: Upgrade in HTTP/1.0 is ignored",
    "GET /a.css HTTP/1.0\r\nUpgrade: HTTP/1.1\r\nConnection: Upgrade\r\n\r\n",
    /^HTTP\/1\.1 200 /,
    /Upgrade/i,
  ],
  [
    "RFC 9110 §8.4: an encoded body is named with its coding",
    get("Accept-Encoding: gzip"),
    /^Content-Encoding: gzip\r$/m,
  ],
  ["RFC 9110 §9.3.2: HEAD has no content", request("/a.css", LAST, "HEAD"), /\r\n\r\n$/],
  [
    "RFC 9110 §9.3.2: a HEAD of a missing file has no content",
    request("/nothing", LAST, "HEAD"),
    /^HTTP\/1\.1 404 [^]*\r\n\r\n$/,
  ],
  [
    "RFC 9110 §12.5.5: a file with an encoded sibling varies by Accept-Encoding",
    get(),
    /^Vary: Accept-Encoding\r$/m,
  ],
  [
    "RFC 9110 §15.3.7.1: one range is one part, with Content-Range",
    get("Range: bytes=0-1"),
    /^Content-Range: bytes 0-1\/10\r$/m,
    /multipart/,
  ],
  [
    "RFC 9110 §15.3.7.2: one satisfiable range of several is not sent as multipart",
    get("Range: bytes=0-1,99-"),
    /^Content-Range: bytes 0-1\/10\r$/m,
    /multipart/,
  ],
  [
    "RFC 9110 §15.3.7.2: each of several parts has its Content-Range",
    get("Range: bytes=0-1,8-9"),
    /\r\n\r\n[^]*^Content-Range: bytes 0-1\/10\r\n[^]*^Content-Range: bytes 8-9\/10\r$/m,
  ],
  [
    "RFC 9110 §15.3.7.2: the header of several parts has no Content-Range",
    get("Range: bytes=0-1,8-9"),
    /^HTTP\/1\.1 206 [^]*?^Content-Type: multipart\/byteranges; boundary=/m,
    /^(?:(?!\r\n\r\n)[^])*Content-Range/,
  ],
  [
    "RFC 9110 §15.4.5: 304 has no content",
    get("If-None-Match: *"),
    /^HTTP\/1\.1 304 [^]*\r\n\r\n$/,
  ],
  [
    "RFC 9110 §15.5.6: 405 says what is allowed",
    request("/a.css", LAST, "POST"),
    /^HTTP\/1\.1 405 [^]*^Allow: GET, HEAD, OPTIONS\r$/m,
  ],
  [
    "RFC 9110 §15.5.17: 416 says the size",
    get("Range: bytes=99-"),
    /^HTTP\/1\.1 416 [^]*^Content-Range: bytes \*\/10\r$/m,
  ],
];

const FILES = { "a.css": "0123456789", "a.css.gz": "gz", "dir/": "" };

for (const [rule, sent, says, not] of RESPONSES) {
  Deno.test(rule, async () => {
    using folder = new Folder(FILES);
    await using service = start({ root: folder.root });
    const text = await talk(service.port, [sent]);
    assertMatch(text, says);
    if (not) assertNotMatch(text, not);
  });
}

/** Two requests, and the fields that must be the same in both responses. */
const ALIKE: readonly [rule: string, one: string, other: string, names: string[]][] = [
  [
    "RFC 9110 §8.6: the Content-Length of HEAD is that of GET",
    get(),
    request("/a.css", LAST, "HEAD"),
    ["Content-Length"],
  ],
  [
    "RFC 9110 §9.3.2: HEAD has the fields of GET",
    get(),
    request("/a.css", LAST, "HEAD"),
    ["Content-Type", "ETag", "Last-Modified", "Cache-Control", "Vary", "Accept-Ranges"],
  ],
  [
    "RFC 9110 §15.3.7: 206 has the fields that 200 would have",
    get(),
    get("Range: bytes=0-1"),
    ["ETag", "Cache-Control", "Expires", "Content-Location", "Vary"],
  ],
  [
    "RFC 9110 §15.4.5: 304 has the fields that 200 would have",
    get(),
    get("If-None-Match: *"),
    ["ETag", "Cache-Control", "Expires", "Content-Location", "Vary"],
  ],
];

for (const [rule, one, other, names] of ALIKE) {
  Deno.test(rule, async () => {
    using folder = new Folder(FILES);
    await using service = start({ root: folder.root });
    const [first, second] = [await talk(service.port, [one]), await talk(service.port, [other])];
    const fields = (text: string) =>
      names.map((name) => new RegExp(`^${name}: .*$`, "m").exec(text)?.[0] ?? `no ${name}`);
    assertEquals(fields(second), fields(first));
    assertMatch(fields(first).join(), /^(?!(?:no [^,]*,?)*$)/, "one of the fields is there");
  });
}

for (const [how, fields] of [["close", LAST], ["a malformed request", ["bad"]]] as const) {
  Deno.test(`RFC 9112 §9.8: the server sends close_notify after ${how}`, async () => {
    using folder = new Folder(FILES);
    const listener = Deno.listenTls({ ...LOCAL, ...await certificate("localhost") });
    await using service = start({ root: folder.root, secure: true }, listener);
    const caCerts = [await Deno.readTextFile(`${TLS}ca.pem`)];
    const { port } = service;
    const options = { hostname: "localhost", caCerts };
    const tcp = await Deno.connect({ hostname: "127.0.0.1", port });
    using client = new Client(await Deno.startTls(tcp, options));
    await client.send(request("/a.css", fields));
    // Without close_notify the last read throws UnexpectedEof.
    while (await client.conn.read(new Uint8Array(65_536)) !== null);
  });
}
