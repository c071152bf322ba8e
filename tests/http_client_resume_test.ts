/**
 * Resumed downloads against servers that change the file between two attempts, ignore ranges or
 * conditions, answer with errors, and cut bodies: whatever they do, the client never changes what
 * an earlier run saved, and never calls a mixture of two versions complete.
 *
 * @module
 */
import { assert, assertEquals } from "jsr:@std/assert@^1.0.19";
import { toByteString } from "../protocol.ts";
import { LOCAL, octetsOf } from "./helpers.ts";
import { runHere, ScriptedServer } from "./http_client_helpers.ts";

/** Makes a generator of whole numbers below a limit, the same for the same seed (mulberry32). */
function generator(seed: number): (limit: number) => number {
  return (limit) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  };
}

const LETTERS = "abcdefghijklmnopqrstuvwxyz".repeat(2);

/** Two versions of a file, which differ in every octet and in size. */
const VERSIONS = [
  { body: LETTERS.slice(0, 40), etag: "a", modified: "Sat, 01 Jan 2000 00:00:00 GMT" },
  {
    body: LETTERS.toUpperCase().slice(0, 50),
    etag: "b",
    modified: "Sat, 01 Jan 2000 00:01:00 GMT",
  },
];

type Random = ReturnType<typeof generator>;
type Version = typeof VERSIONS[number];

/** Makes the fields that name a version; `kind` is one for all responses of a server. */
function validators({ etag, modified }: Version, kind: number): string {
  const date = "Date: Sat, 01 Jan 2000 00:02:00 GMT\r\n";
  const kinds = [
    "",
    `ETag: "${etag}"\r\n`,
    `ETag: W/"${etag}"\r\n`,
    `Last-Modified: ${modified}\r\n`,
  ];
  return date + kinds[kind];
}

/** Answers a request as a server might: well, or by ignoring Range or If-Range, or by a failure. */
function respond(random: Random, version: Version, kind: number, request: string): string {
  const { body, etag, modified } = version;
  const fields = validators(version, kind);
  if (random(8) === 0) return "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nsorr";
  if (random(8) === 0) {
    return "HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 4\r\n\r\nbusy";
  }
  const [, first] = /^Range: bytes=(\d+)-\r$/m.exec(request) ?? [];
  const [, condition] = /^If-Range: (.*)\r$/m.exec(request) ?? [];
  const isMet = condition === undefined || random(5) === 0 ||
    condition === `"${etag}"` || condition === modified;
  if (first === undefined || !isMet || random(6) === 0) return whole(random, body, fields);
  const start = random(10) === 0 ? random(body.length) : Number(first);
  if (start >= body.length) {
    const range = random(2) === 0 ? `Content-Range: bytes */${body.length}\r\n` : "";
    return `HTTP/1.1 416 Range\r\n${range}Content-Length: 4\r\n\r\nsorr`;
  }
  const range = `bytes ${start}-${body.length - 1}/${body.length}`;
  const length = `Content-Length: ${body.length - start}\r\n`;
  return `HTTP/1.1 206 Part\r\nContent-Range: ${range}\r\n${fields}${length}\r\n${
    body.slice(start)
  }`;
}

function whole(random: Random, body: string, fields: string): string {
  if (random(4) > 0) {
    return `HTTP/1.1 200 OK\r\n${fields}Content-Length: ${body.length}\r\n\r\n${body}`;
  }
  const chunk = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
  return `HTTP/1.1 200 OK\r\n${fields}Transfer-Encoding: chunked\r\n\r\n${chunk}`;
}

/** Plays one server, and checks what the client has made of it. */
async function checkSeed(seed: number): Promise<void> {
  const random = generator(seed);
  const kind = random(4);
  const [old, changed] = VERSIONS;
  assert(old && changed);
  const saved = random(2) === 0 ? old.body.slice(0, random(41)) : "";
  const versions = Array.from({ length: 12 }, () => random(3) > 0 ? old : changed);
  let isKnown = saved === ""; // nothing shows which version an earlier run has read
  const folder = await Deno.makeTempDir();
  const path = `${folder}/f`;
  if (saved !== "") await Deno.writeFile(path, octetsOf(saved));
  await using server = new ScriptedServer(
    [],
    (text) => [text],
    Deno.listen(LOCAL),
    (request, at) => {
      const version = isKnown ? versions[at] ?? old : old;
      const response = respond(random, version, kind, request);
      isKnown ||= response.includes(" 206 ");
      const end = response.indexOf("\r\n\r\n") + 4;
      const isCut = random(2) === 0 && !request.startsWith("HEAD");
      const body = request.startsWith("HEAD") ? "" : response.slice(end);
      return response.slice(0, end) + (isCut ? body.slice(0, random(body.length + 1)) : body);
    },
  );
  const options = saved === "" ? ["-f"] : ["-C", "-"];
  const args = [...options, "--retry", "4", "-o", path, `:${server.port}`];
  const outcome = await runHere(args, { firstPause: 1 });
  const found = toByteString(await Deno.readFile(path).catch(() => new Uint8Array(0)));
  await Deno.remove(folder, { recursive: true });
  const shown = JSON.stringify({ seed, saved, found, outcome, requests: server.requests });
  assert(found.startsWith(saved), `what an earlier run saved has changed: ${shown}`);
  assert(VERSIONS.some(({ body }) => body.startsWith(found)), `two versions in one file: ${shown}`);
  if (outcome.code === 0) assert(VERSIONS.some(({ body }) => body === found), shown);
}

for (let seed = 1; seed <= 400; seed += 40) {
  Deno.test(`RFC 9110 §15.3.7.3: servers ${seed} to ${seed + 39} mix no versions`, async () => {
    for (let at = seed; at < seed + 40; at++) await checkSeed(at);
  });
}

Deno.test("the generator of the servers gives the same numbers for the same seed", () => {
  const [one, other] = [generator(7), generator(7)];
  assertEquals([one(100), one(100)], [other(100), other(100)]);
});
