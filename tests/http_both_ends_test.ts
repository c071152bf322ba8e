/**
 * The web client and the web server together, as the user runs them.
 *
 * @module
 */
import { assert, assertEquals, assertMatch } from "jsr:@std/assert@^1.0.19";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { toByteString } from "../protocol.ts";
import { octetsOf, type Outcome, type Running, runProgram, startProgram, TLS } from "./helpers.ts";

const READY = /at https?:\/\/\S+:(\d+)\//;
const LARGE = Array.from({ length: 300_000 }, (_, at) => String.fromCharCode(at * at % 251)).join(
  "",
);
const TEXT = "<p>hello, wörld</p>\n".repeat(500);

/** A folder with one file of each kind. */
function makeFolder(): string {
  const folder = Deno.makeTempDirSync({ prefix: "both_ends_" });
  const text = new TextEncoder().encode(TEXT);
  Deno.writeFileSync(`${folder}/text.html`, text);
  Deno.writeFileSync(`${folder}/text.html.gz`, gzipSync(text));
  Deno.writeFileSync(`${folder}/packed.html`, text);
  Deno.writeFileSync(`${folder}/packed.html.br`, brotliCompressSync(text));
  Deno.writeFileSync(`${folder}/large.bin`, octetsOf(LARGE));
  Deno.writeTextFileSync(`${folder}/digits`, "0123456789");
  Deno.mkdirSync(`${folder}/folder`);
  Deno.writeTextFileSync(`${folder}/folder/in it.txt`, "inside\n");
  return folder;
}

const folder = makeFolder();
/** The server of the tests that need no options of their own. */
let server: Running;
Deno.test.beforeAll(async () => {
  server = await serve("--idle", "60");
});
Deno.test.afterAll(async () => {
  await server.stop();
  Deno.removeSync(folder, { recursive: true });
});

function serve(...args: string[]): Promise<Running> {
  return startProgram("http_server.ts", ["-q", "-p", "0", ...args, folder], READY);
}

/** Runs the client; `URL` in its words stands for the server. */
function fetch({ port }: Running, args: string[], scheme = "http"): Promise<Outcome> {
  const words = args.map((word) => word.replace("URL", `${scheme}://localhost:${port}`));
  return runProgram("http_client.ts", words, { cwd: folder });
}

const utf8 = toByteString(new TextEncoder().encode(TEXT));

/** What the client requests, its exit status, and what it prints. */
const ROWS: [what: string, args: string[], code: number, stdout: string | RegExp][] = [
  ["a file", ["URL/digits"], 0, "0123456789"],
  ["a large file", ["URL/large.bin"], 0, LARGE],
  ["a text with a sibling in gzip", ["URL/text.html"], 0, utf8],
  ["a text with a sibling in brotli", ["URL/packed.html"], 0, utf8],
  ["a text with a sibling, and --no-compressed", ["--no-compressed", "URL/text.html"], 0, utf8],
  ["a name with a space", ["URL/folder/in%20it.txt"], 0, "inside\n"],
  ["a range", ["-r", "2-5", "URL/digits"], 0, "2345"],
  ["the end of a file", ["-r", "-3", "URL/digits"], 0, "789"],
  ["-f and a range that starts after the end", ["-f", "-r", "20-", "URL/digits"], 22, ""],
  ["two ranges", ["-i", "-r", "0-1,8-9", "URL/digits"], 0, /Range: bytes 0-1\/10\r\n\r\n01\r\n/],
  ["the header section with -I", ["-I", "URL/digits"], 0, /^HTTP\/1\.1 200 OK\r\n(.+\r\n)+\r\n$/],
  ["host, port and name as operands", [], 0, /^HTTP\/1\.1 200 OK\r\n(.+\r\n)+\r\n0123456789$/],
  ["a missing file", ["-i", "URL/nothing"], 0, /^HTTP\/1\.1 404 Not Found\r\n/],
  ["a missing file and -f", ["-f", "URL/nothing"], 22, ""],
  ["a missing file and --fail-with-body", ["--fail-with-body", "URL/no"], 22, "404 Not Found\n"],
  ["a method that is not allowed", ["-i", "-d", "a=b", "URL/digits"], 0, /\r\nAllow: GET, HEAD/],
  ["an unknown method", ["-i", "-X", "BREW", "URL/digits"], 0, /^HTTP\/1\.1 501 /],
  ["a folder without its final slash", ["URL/folder"], 0, /^307 /],
  [
    "a folder without its final slash, and -L",
    ["-L", "URL/folder"],
    0,
    /<a href="\.\/in%20it\.txt">/,
  ],
  ["a folder as JSON", ["-H", "Accept: application/json", "URL/folder/"], 0, /"name":"in it.txt"/],
  ["the name of another host", ["-i", "-H", "Host: evil.example", "URL/"], 0, /^HTTP\/1\.1 421 /],
  ["a path above the root", ["-i", "URL/..%2f..%2fetc/passwd"], 0, /^HTTP\/1\.1 404 /],
  ["a kept connection", ["-H", "Connection: keep-alive", "-m", "9", "URL/digits"], 0, "0123456789"],
];

for (const [what, args, code, stdout] of ROWS) {
  Deno.test(`web, both ends: ${what}`, async () => {
    const words = args.length > 0 ? args : ["localhost", String(server.port), "digits"];
    const outcome = await fetch(server, words);
    assertEquals(outcome.code, code, outcome.stderr);
    if (typeof stdout === "string") assert(outcome.stdout === stdout, outcome.stdout);
    else assertMatch(outcome.stdout, stdout);
  });
}

Deno.test("RFC 9110 §13.1.2: web, both ends: a file that has not changed gets 304", async () => {
  const { stdout } = await fetch(server, ["-I", "URL/digits"]);
  const [, tag = ""] = /^ETag: (.*)\r$/m.exec(stdout) ?? [];
  const again = await fetch(server, ["-i", "-H", `If-None-Match: ${tag}`, "URL/digits"]);
  assertMatch(again.stdout, /^HTTP\/1\.1 304 Not Modified\r\n/);
});

Deno.test("web, both ends: a download resumes where it stopped", async () => {
  Deno.writeFileSync(`${folder}/part`, octetsOf(LARGE.slice(0, 123_456)));
  const outcome = await fetch(server, ["-v", "-C", "-", "-o", "part", "URL/large.bin"]);
  assertEquals(outcome.code, 0, outcome.stderr);
  assertMatch(outcome.stderr, /^< HTTP\/1\.1 206 Partial Content$/m);
  assert(toByteString(Deno.readFileSync(`${folder}/part`)) === LARGE);
  assertEquals((await fetch(server, ["-C", "-", "-o", "part", "URL/large.bin"])).code, 0);
});

Deno.test("web, both ends: -O keeps the name of a file and does not overwrite one", async () => {
  assertEquals((await fetch(server, ["-sO", "URL/folder/in%20it.txt"])).code, 0);
  assertEquals(Deno.readTextFileSync(`${folder}/in it.txt`), "inside\n");
  assertEquals((await fetch(server, ["-sO", "URL/folder/in%20it.txt"])).code, 23);
});

Deno.test("web, both ends: a password", async () => {
  await using server = await serve("--auth", "ann:se:cret");
  assertEquals((await fetch(server, ["-f", "URL/digits"])).code, 22);
  assertEquals((await fetch(server, ["-f", "-u", "ann:wrong", "URL/digits"])).code, 22);
  const { code, stdout, stderr } = await fetch(server, ["-v", "-u", "ann:se:cret", "URL/digits"]);
  assertEquals([code, stdout], [0, "0123456789"]);
  assertMatch(stderr, /^> Authorization: \[credentials\]$/m);
  assert(!stderr.includes("cret"), stderr);
});

Deno.test("web, both ends: HTTPS", async () => {
  await using server = await serve("--cert", `${TLS}localhost.pem`, "--key", `${TLS}localhost.key`);
  const ask = (...args: string[]) => fetch(server, args, "https");
  const trusted = await ask("--cacert", `${TLS}ca.pem`, "URL/large.bin");
  assert(trusted.code === 0 && trusted.stdout === LARGE, trusted.stderr);
  assertEquals((await ask("-s", "-k", "URL/digits")).stdout, "0123456789");
  assertEquals((await ask("-s", "URL/digits")).code, 60);
  assertEquals((await fetch(server, ["-s", "URL/digits"])).code, 8); // the server answers with a TLS alert
});

Deno.test("web, both ends: the client times out while all connections are taken", async () => {
  await using server = await serve("--max-connections", "1", "--idle", "60");
  using _conn = await Deno.connect({ hostname: "127.0.0.1", port: server.port });
  const { code, stderr } = await fetch(server, ["-m", "0.5", "URL/digits"]);
  assertEquals(code, 28, stderr);
});

Deno.test("web, both ends: the server counts the octets that it sent", async () => {
  await using server = await serve();
  assert((await fetch(server, ["URL/large.bin"])).stdout === LARGE);
  const { code, stderr } = await server.stop();
  assertEquals(code, 0);
  assertMatch(stderr, /Stopped after .*: 1 request, 300 kB sent\./);
});
