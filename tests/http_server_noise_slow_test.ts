/**
 * Requests gone wrong: seeded noise, for some seconds.
 *
 * @module
 */
import { assert, assertMatch } from "jsr:@std/assert@^1.0.19";
import { ask, chunked, request, start, talk } from "./http_server_helpers.ts";

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
  request("/digits.txt", [
    'If-None-Match: W/"a", "b"',
    "If-Modified-Since: Wed, 01 Jan 2020 00:00:00 GMT",
  ]),
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

Deno.test("noise: 10,000 mutated requests get responses or a close", () => fuzz(20_261_122));
