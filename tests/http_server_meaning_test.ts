/**
 * What a request means (RFC 9110): preconditions, ranges, validators, content codings.
 *
 * @module
 */
import { assert, assertEquals, assertMatch, assertNotEquals } from "jsr:@std/assert@^1.0.19";
import { parseDate } from "../http_server.ts";
import { octetsOf } from "./helpers.ts";
import {
  type Answer,
  ask,
  Client,
  Clock,
  Folder,
  LARGE,
  nameOf,
  octets,
  readAnswers,
  request,
  start,
  UNIX,
  WRITTEN,
} from "./http_server_helpers.ts";

// ---- Meaning: preconditions and ranges, RFC 9110 -----------------------

const DATE = "Wed, 01 Jan 2020 00:00:00 GMT";
const BEFORE = "Tue, 31 Dec 2019 23:59:59 GMT";
const AFTER = "Wed, 01 Jan 2020 00:00:01 GMT";

/** Conditions, ETAG standing for the tag of the file that was modified at DATE, and the status. */
const CONDITIONS: readonly [rule: string, fields: string[], status: number][] = [
  ["§13: no condition", [], 200],
  ["§13.1.1: If-Match with the tag", ["If-Match: ETAG"], 200],
  ["§13.1.1: If-Match with any", ["If-Match: *"], 200],
  ["§13.1.1: If-Match with another", ['If-Match: "x"'], 412],
  ["§13.1.1: If-Match with in a list", ['If-Match: "x" , ETAG,"y"'], 200],
  ["§13.1.1: If-Match with not in a list", ['If-Match: "x", "y"'], 412],
  ["§13.1.1: If-Match with in the second line", ['If-Match: "x"', "If-Match: ETAG"], 200],
  ["§13.1.1: If-Match compares strongly", ["If-Match: W/ETAG"], 412],
  ["§13.1.1: If-Match with tags with commas", ['If-Match: "a,b", "c, d", ETAG'], 200],
  ["§13.1.4: If-Unmodified-Since with the date", [`If-Unmodified-Since: ${DATE}`], 200],
  ["§13.1.4: If-Unmodified-Since with later", [`If-Unmodified-Since: ${AFTER}`], 200],
  ["§13.1.4: If-Unmodified-Since with earlier", [`If-Unmodified-Since: ${BEFORE}`], 412],
  ["§13.1.4: If-Unmodified-Since with no date", ["If-Unmodified-Since: yesterday"], 200],
  ["§13.2.2: a true If-Match before If-Unmodified-Since", [
    "If-Match: ETAG",
    `If-Unmodified-Since: ${BEFORE}`,
  ], 200],
  ["§13.2.2: a false If-Match before If-Unmodified-Since", [
    'If-Match: "x"',
    `If-Unmodified-Since: ${AFTER}`,
  ], 412],
  ["§13.1.2: If-None-Match with the tag", ["If-None-Match: ETAG"], 304],
  ["§13.1.2: If-None-Match with any", ["If-None-Match: *"], 304],
  ["§13.1.2: If-None-Match with another", ['If-None-Match: "x"'], 200],
  ["§13.1.2: If-None-Match compares weakly", ["If-None-Match: W/ETAG"], 304],
  ["§13.1.2: If-None-Match with in a list", ['If-None-Match: "x",W/"y" ,\tETAG'], 304],
  [
    "§13.1.2: If-None-Match with in the second line",
    ['If-None-Match: "x"', "If-None-Match: ETAG"],
    304,
  ],
  ["§13.1.2: If-None-Match with tags with commas", ['If-None-Match: "a,b", "c, d", ETAG'], 304],
  ["§13.1.2: If-None-Match with empty members", ["If-None-Match: , ,ETAG,"], 304],
  ["§13.1.2: If-None-Match with the tag inside another", ['If-None-Match: "xETAGx"'], 200],
  ["§13.1.2: If-None-Match with a lower-case w/", ["If-None-Match: w/ETAG"], 200],
  ["§13.1.3: If-Modified-Since with the date", [`If-Modified-Since: ${DATE}`], 304],
  ["§13.1.3: If-Modified-Since with later", [`If-Modified-Since: ${AFTER}`], 304],
  ["§13.1.3: If-Modified-Since with earlier", [`If-Modified-Since: ${BEFORE}`], 200],
  ["§13.1.3: If-Modified-Since with no date", ["If-Modified-Since: tomorrow"], 200],
  ["§13.1.3: If-Modified-Since with a number", ["If-Modified-Since: 9999999999"], 200],
  ["§13.1.3: If-Modified-Since twice is not a date", [
    `If-Modified-Since: ${AFTER}`,
    `If-Modified-Since: ${AFTER}`,
  ], 200],
  ["§13.1.3: If-Modified-Since with RFC 850", [
    "If-Modified-Since: Wednesday, 01-Jan-20 00:00:00 GMT",
  ], 304],
  ["§13.1.3: If-Modified-Since with asctime", ["If-Modified-Since: Wed Jan  1 00:00:00 2020"], 304],
  [
    "§13.2.2: a false If-None-Match before If-Modified-Since",
    ['If-None-Match: "x"', `If-Modified-Since: ${AFTER}`],
    200,
  ],
  ["§13.2.2: a true If-None-Match before If-Modified-Since", [
    "If-None-Match: ETAG",
    `If-Modified-Since: ${BEFORE}`,
  ], 304],
  ["§13.2.2: If-Match before If-None-Match", ['If-Match: "x"', "If-None-Match: ETAG"], 412],
  ["§13.2.2: a false If-Match before a true If-None-Match", [
    "If-None-Match: ETAG",
    'If-Match: "x"',
  ], 412],
  [
    "§13.2.2: If-Match and If-None-Match, both true",
    ["If-Match: ETAG", "If-None-Match: ETAG"],
    304,
  ],
  ["§13.2.2: If-Unmodified-Since before If-None-Match", [
    `If-Unmodified-Since: ${BEFORE}`,
    "If-None-Match: ETAG",
  ], 412],
  ["§13.2.2: If-Unmodified-Since before If-Modified-Since", [
    `If-Unmodified-Since: ${BEFORE}`,
    `If-Modified-Since: ${DATE}`,
  ], 412],
];

/** A range comes after all conditions; If-Range after the others. For GET; to HEAD it is nothing. */
const RANGED: readonly [rule: string, fields: string[], status: number][] = [
  ["§14.2: a range", [], 206],
  ["§13.1.5: If-Range with the tag", ["If-Range: ETAG"], 206],
  ["§13.1.5: If-Range with another tag", ['If-Range: "x"'], 200],
  ["§13.1.5: If-Range compares strongly", ["If-Range: W/ETAG"], 200],
  ["§13.1.5: If-Range with the date", [`If-Range: ${DATE}`], 206],
  ["§13.1.5: If-Range with an earlier date", [`If-Range: ${BEFORE}`], 200],
  ["§13.1.5: If-Range with a later date", [`If-Range: ${AFTER}`], 200],
  ["§13.1.5: If-Range with neither tag nor date", ["If-Range: x"], 200],
  ["§13.1.5: If-Range with a list is not an entity-tag", ['If-Range: "x", ETAG'], 200],
  ["§13.1.5: If-Range: * is not an entity-tag", ["If-Range: *"], 200],
  ["§13.2.2: If-None-Match before the range", ["If-None-Match: ETAG"], 304],
  ["§13.2.2: If-None-Match before If-Range", ["If-None-Match: ETAG", "If-Range: ETAG"], 304],
  ["§13.2.2: If-Modified-Since before the range", [`If-Modified-Since: ${DATE}`], 304],
  ["§13.2.2: If-Match before the range", ['If-Match: "x"'], 412],
  ["§13.2.2: If-Match and If-Range, both true", ["If-Match: ETAG", "If-Range: ETAG"], 206],
  ["§13.2.2: If-Unmodified-Since before the range", [`If-Unmodified-Since: ${BEFORE}`], 412],
];

for (const [size, content] of [["small", "0123456789"], ["large", LARGE]] as const) {
  for (const method of ["GET", "HEAD"]) {
    for (const [table, more] of [[CONDITIONS, []], [RANGED, ["Range: bytes=2-5"]]] as const) {
      for (const [rule, fields, status] of table) {
        Deno.test(`${nameOf("RFC 9110 §13", rule)} gets ${status} (${method}, ${size} file)`, async () => {
          await testCondition(content, [...more, ...fields], method, status);
        });
      }
    }
  }
}

/** Asks for a file with conditions, and checks what its status promises. */
async function testCondition(
  content: string,
  conditions: readonly string[],
  method: string,
  status: number,
): Promise<void> {
  using folder = new Folder({ "file.bin": content });
  await using service = start({ root: folder.root });
  const { port } = service;
  const whole = await ask(port, "/file.bin");
  assertEquals([whole.body, whole.fields.get("Last-Modified")], [content, DATE]);
  const etag = whole.fields.get("ETag") ?? "";
  assertMatch(etag, /^"[!#-~]+"$/, "the tag is a strong one");
  const sent = conditions.map((field) =>
    field.replace("ETAG", field.includes('"xETAGx"') ? etag.slice(1, -1) : etag)
  );
  const answer = await ask(port, "/file.bin", sent, method);
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
    const length = answer.fields.get("Content-Length") ?? `${content.length}`;
    assertEquals(length, `${content.length}`, "§8.6");
  }
}

const ELSEWHERE: readonly [
  rule: string,
  target: string,
  fields: string[],
  method: string,
  status: string,
][] = [
  ["§13.2.1: If-None-Match for a missing file", "/nothing", ["If-None-Match: *"], "GET", "404"],
  ["§13.2.1: If-Match for a missing file", "/nothing", ['If-Match: "x"'], "GET", "404"],
  ["§14.2: a range of a missing file", "/nothing", ["Range: bytes=0-1"], "GET", "404"],
  ["§13.2.1: If-Match with OPTIONS is ignored", "/hello.txt", ['If-Match: "x"'], "OPTIONS", "204"],
  ["§13.2.1: If-Match with PUT is ignored", "/hello.txt", ['If-Match: "x"'], "PUT", "405"],
  ["§13.2.1: If-Match for a redirect is ignored", "/folder", ['If-Match: "x"'], "GET", "307"],
  ["§14.2: a range of POST is ignored", "/hello.txt", ["Range: bytes=0-1"], "POST", "405"],
  ["§14.2: a range of a listing is ignored", "/bare/", ["Range: bytes=0-1"], "GET", "200"],
];

for (const [rule, target, fields, method, status] of ELSEWHERE) {
  Deno.test(nameOf("RFC 9110 §13", rule), async () => {
    await using service = start();
    assertMatch(
      `${(await ask(service.port, target, fields, method)).status}`,
      new RegExp(`^${status}$`),
    );
  });
}

Deno.test("RFC 9110 §13.1.2: a listing has an entity-tag, and 304", async () => {
  await using service = start();
  const etag = (await ask(service.port, "/bare/")).fields.get("ETag");
  assertEquals((await ask(service.port, "/bare/", [`If-None-Match: ${etag}`])).status, 304);
});

/** The three forms of a date (RFC 9110 §5.6.7), and texts that are not a date. */
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
  [`Monday, 01-Jan-${`${year + 50}`.slice(2)} 00:00:00 GMT`, `${year + 50}-01-01T00:00:00Z`],
  [`Monday, 01-Jan-${`${year + 51}`.slice(2)} 00:00:00 GMT`, `${year - 49}-01-01T00:00:00Z`],
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
  ["Sun, 06 Nov 1994 29:00:00 GMT", null],
  ["Sun, 06 Nov 1994 08:49:61 GMT", null],
  ["Sun, 06 Nov 1994 08:60:37 GMT", null],
  ["Sun, 32 Nov 1994 08:49:37 GMT", null],
  ["Sun, 00 Nov 1994 08:49:37 GMT", null],
  ["Sun, 06 Foo 1994 08:49:37 GMT", null],
  ["Sun Nov 6 08:49:37 1994", null],
  ["Sun Nov  6 08:49:37 1994 GMT", null],
  ["Sun, 06 Nov 1994 08:49:37 GMT, x", null],
];

for (const [text, date] of DATES) {
  Deno.test(`RFC 9110 §5.6.7: ${JSON.stringify(text)} is ${date ?? "no date"}`, () => {
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
  ["bytes=0-3,2-5", "0-3 2-5"],
  ["bytes=0-4,5-9", "0-4 5-9"],
  ["bytes=0-4,4-9", "200"],
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
  assert(parts.length > 1, "§15.3.7.2: one part is sent without multipart");
  return parts.join(" ");
}

for (const [range, want] of RANGES) {
  Deno.test(`RFC 9110 §14.2: ${range.slice(0, 60)} of ten octets: ${want.slice(0, 60)}`, async () => {
    await using service = start();
    const answer = await ask(service.port, "/digits.txt", [`Range: ${range}`]);
    assertMatch(partsOf(answer, "0123456789"), new RegExp(`^(?:${want})$`));
    if (answer.status === 416) assertEquals(answer.fields.get("Content-Range"), "bytes */10");
    const head = await ask(service.port, "/digits.txt", [`Range: ${range}`], "HEAD");
    assertEquals([head.status, head.fields.get("Content-Length")], [200, "10"], "only for GET");
  });
}

/** Ranges of 300,000 octets, and the parts that come. */
const LARGE_RANGES: readonly [range: string, want: string][] = [
  ["bytes=0-0", "0-0"],
  ["bytes=1000-1999", "1000-1999"],
  ["bytes=-1", "299999-299999"],
  ["bytes=131071-131073", "131071-131073"],
  ["bytes=262143-262145", "262143-262145"],
  ["bytes=299999-", "299999-299999"],
  ["bytes=0-", "0-299999"],
  ["bytes=0-9,1000-1999,-100", "0-9 1000-1999 299900-299999"],
  ["bytes=100000-299000,50-60", "100000-299000 50-60"],
  ["bytes=0-9,5-14,20-29,25-34", "0-9 5-14 20-29 25-34"], // two overlaps
  ["bytes=0-9,5-14,20-29,25-34,40-49,45-54", "200"], // three
  [`bytes=${Array(17).fill(0).map((_, at) => `${at * 100}-${at * 100 + 9}`).join(",")}`, "200"],
  ["bytes=300000-", "416"],
  ["bytes=2-1", "200"],
  [`bytes=${Array(300).fill("0-").join(",")}`, "200"],
  [
    `bytes=${Array(16).fill(0).map((_, at) => `${at * 100}-${at * 100 + 9}`).join(",")}`,
    Array(16).fill(0).map((_, at) => `${at * 100}-${at * 100 + 9}`).join(" "),
  ],
];

for (const [range, want] of LARGE_RANGES) {
  Deno.test(`RFC 9110 §14.2: ${range.slice(0, 60)} of 300,000 octets: ${want.slice(0, 60)}`, async () => {
    using folder = new Folder({ "large.bin": LARGE });
    await using service = start({ root: folder.root });
    assertEquals(partsOf(await ask(service.port, "/large.bin", [`Range: ${range}`]), LARGE), want);
  });
}

Deno.test("RFC 9110 §14.2: two Range fields are one list, and so malformed", async () => {
  await using service = start();
  const answer = await ask(service.port, "/digits.txt", ["Range: bytes=0-1", "Range: bytes=3-4"]);
  assertEquals(answer.body, "0123456789");
});

Deno.test("RFC 9110 §14.1.2: a file of one octet has one range", async () => {
  using folder = new Folder({ "a.txt": "a" });
  await using service = start({ root: folder.root });
  for (const range of ["bytes=0-0", "bytes=0-", "bytes=-1"]) {
    const { status, fields } = await ask(service.port, "/a.txt", [`Range: ${range}`]);
    assertEquals([status, fields.get("Content-Range")], [206, "bytes 0-0/1"]);
  }
});

Deno.test("RFC 9110 §14.1.2: an empty file has no range", async () => {
  await using service = start();
  for (const range of ["bytes=0-", "bytes=-5", "bytes=0-0", "bytes=-0"]) {
    const { status } = await ask(service.port, "/empty.txt", [`Range: ${range}`]);
    assertEquals([range, status], [range, 200]);
  }
});

Deno.test("RFC 9110 §14.3: ranges are announced", async () => {
  await using service = start();
  assertEquals((await ask(service.port, "/hello.txt")).fields.get("Accept-Ranges"), "bytes");
});

// ---- Meaning: validators and freshness ---------------------------------

/** Changes to a file of this size. */
const CHANGES: Record<string, (folder: Folder, size: number) => void> = {
  "is longer": (folder, size) => folder.write("file.bin", octets(size + 1)),
  "is as long, at another time": (folder, size) =>
    folder.write("file.bin", `w${octets(size - 1)}`, new Date()),
  "is as long, and its time is put back": (folder, size) =>
    folder.write("file.bin", `x${octets(size - 1)}`, WRITTEN),
  "is replaced by another file": (folder, size) => {
    folder.write("other.bin", `y${octets(size - 1)}`, WRITTEN);
    Deno.renameSync(folder.path("other.bin"), folder.path("file.bin"));
  },
};

for (const size of [1_000, 300_000]) {
  for (const [change, make] of Object.entries(CHANGES)) {
    Deno.test(`RFC 9110 §8.8.3: another tag if a file ${change} (${size} octets)`, async () => {
      using folder = new Folder({ "file.bin": octets(size) });
      await using service = start({ root: folder.root });
      const before = await ask(service.port, "/file.bin?1");
      make(folder, size);
      const after = await ask(service.port, "/file.bin?2"); // another target: no cached response
      assertNotEquals(after.body, before.body);
      assertNotEquals(after.fields.get("ETag"), before.fields.get("ETag"));
      const again = await ask(service.port, "/file.bin?3");
      assertEquals(again.fields.get("ETag"), after.fields.get("ETag"), "no change, the same tag");
    });
  }

  Deno.test(`RFC 9110 §8.8.3: changes in quick succession have tags of their own (${size} octets)`, async () => {
    using folder = new Folder({ "file.bin": octets(size) });
    await using service = start({ root: folder.root });
    const tags = new Map<string | undefined, string>();
    for (let round = 0; round < 50; round++) {
      Deno.writeTextFileSync(folder.path("file.bin"), `${1_000 + round}${octets(size)}`);
      const { body, fields } = await ask(service.port, `/file.bin?${round}`);
      const etag = fields.get("ETag");
      assertEquals(tags.get(etag) ?? body, body, `round ${round}: ${etag} means two things`);
      tags.set(etag, body);
    }
  });
}

for (const size of [1_000, 300_000]) {
  Deno.test(`RFC 9110 §8.8.3: one octet changes 200 times within a tick of the clock (${size} octets)`, async () => {
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

Deno.test("RFC 9110 §8.8.3: a file of 8 MiB has a hash, above it size and time", async () => {
  using folder = new Folder({ "hashed.bin": new Uint8Array(8_388_608) });
  folder.write("timed.bin", new Uint8Array(8_388_609));
  await using service = start({ root: folder.root });
  const etag = async (name: string) =>
    (await ask(service.port, `/${name}`, [], "HEAD")).fields.get("ETag") ?? "";
  assertMatch(await etag("hashed.bin"), /^"[\w-]{27}"$/);
  assertEquals(await etag("timed.bin"), `"800001-${WRITTEN.getTime().toString(16)}"`);
});

Deno.test(
  { name: "RFC 9110 §8.8.3: chmod and a link keep the tag of a huge file", ignore: !UNIX },
  async () => {
    using folder = new Folder({ "huge.bin": new Uint8Array(8_388_609) });
    await using service = start({ root: folder.root });
    let round = 0;
    const etag = async () =>
      (await ask(service.port, `/huge.bin?${round++}`, [], "HEAD")).fields.get("ETag");
    const before = await etag();
    Deno.chmodSync(folder.path("huge.bin"), 0o600);
    Deno.linkSync(folder.path("huge.bin"), folder.path("again.bin"));
    assertEquals(await etag(), before);
  },
);

Deno.test("RFC 9110 §8.8.1: the tag of a huge file is weak while its time is new", async () => {
  using folder = new Folder();
  folder.write("huge.bin", new Uint8Array(8_388_609).fill(0x61), new Date(Date.now() + 5_000));
  await using service = start({ root: folder.root });
  const head = async (fields: string[], method = "HEAD") =>
    await ask(service.port, "/huge.bin", fields, method);
  const etag = (await head([])).fields.get("ETag") ?? "";
  assertMatch(etag, /^W\/"800001-[0-9a-f]+"$/);
  const strong = etag.slice(2);
  assertEquals((await head([`If-None-Match: ${etag}`])).status, 304);
  assertEquals((await head([`If-None-Match: ${strong}`])).status, 304);
  assertEquals((await head([`If-Match: ${etag}`])).status, 412, "§13.1.1: compares strongly");
  assertEquals((await head([`If-Match: ${strong}`])).status, 412);
  const ranged = ["Range: bytes=0-1", `If-Range: ${etag}`];
  assertEquals((await head(ranged, "GET")).status, 200, "§13.1.5: a weak tag selects no range");
  assertEquals((await head(["Range: bytes=0-1"], "GET")).status, 206);
});

Deno.test("RFC 9110 §8.8.2.1: Last-Modified is never later than Date", async () => {
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

Deno.test("RFC 9110 §8.8.2.2: a date within its own second is not a strong validator", async () => {
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

for (const [ms, status] of [[0, 200], [999, 200], [1_000, 206], [86_400_000, 206]] as const) {
  Deno.test(`RFC 9110 §8.8.2.2: If-Range with a date ${ms} ms ago gets ${status}`, async () => {
    const modified = Date.parse("2126-01-02T03:04:05Z");
    using folder = new Folder();
    folder.write("a.txt", "0123456789", new Date(modified));
    using _clock = new Clock(modified + ms);
    await using service = start({ root: folder.root });
    const fields = ["Range: bytes=0-1", `If-Range: ${new Date(modified).toUTCString()}`];
    assertEquals((await ask(service.port, "/a.txt", fields)).status, status);
  });
}

// ---- Meaning: codings --------------------------------------------------

/** What is accepted, and which of "style.css", ".br", ".gz" and ".zst" comes. */
const CODINGS: readonly [accepted: string | null, want: string][] = [
  [null, "identity"],
  ["", "identity"],
  ["identity", "identity"],
  ["deflate", "identity"],
  ["zstd", "zstd"],
  ["gzip, zstd", "zstd"],
  ["zstd, br", "br"],
  ["zstd;q=0.5, gzip", "gzip"],
  ["zstd;q=0, *", "br"],
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
  ["br;q=1.000", "br"],
  ["br;q=1.", "br"],
  ["br;q=1.0000", "identity"],
  ["br;q=1.001", "identity"],
  ["br;q=0.1234", "identity"],
  ["br;q=2", "identity"],
  ["br;q=.5", "identity"],
  ["br;q=", "identity"],
  ["br;a=b;q=0.5, gzip;q=0.4", "br"],
  ["gzip;q=0", "identity"],
  ["gzip;q=0.0", "identity"],
  ["gzip;q=0.000, br;q=0", "identity"],
  ["br;q=0, gzip", "gzip"],
  ["br;q=0, *", "zstd"],
  ["*;q=0", "identity"],
  ["gzip;q=0.5, identity", "identity"],
  ["gzip;q=0.5, identity;q=0.1", "gzip"],
  ["identity;q=0, gzip", "gzip"],
  ["identity;q=0", "identity"],
  ["identity;q=0, *;q=0", "identity"],
  ["gzipx", "identity"],
  ["xbr", "identity"],
];

/** A style sheet with a sibling in each coding. */
const STYLES = {
  "style.css": "plain",
  "style.css.br": "brotli",
  "style.css.gz": "gz",
  "style.css.zst": "zst",
};

for (const [accepted, want] of CODINGS) {
  Deno.test(`RFC 9110 §12.5.3: Accept-Encoding: ${accepted} gets ${want}`, async () => {
    using folder = new Folder(STYLES);
    await using service = start({ root: folder.root });
    const fields = accepted === null ? [] : [`Accept-Encoding: ${accepted}`];
    const answer = await ask(service.port, "/style.css", fields);
    assertEquals(answer.fields.get("Content-Encoding") ?? "identity", want);
    assertEquals(answer.body, { identity: "plain", br: "brotli", gzip: "gz", zstd: "zst" }[want]);
    assertEquals(answer.fields.get("Content-Type"), "text/css; charset=utf-8");
    assertMatch(answer.fields.get("Vary") ?? "", /Accept-Encoding/i, "§12.5.5");
    const etag = answer.fields.get("ETag") ?? "";
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

Deno.test("RFC 9110 §8.8.3.3: each coding has a tag of its own", async () => {
  using folder = new Folder(STYLES);
  await using service = start({ root: folder.root });
  const tags = new Set<string | undefined>();
  for (const accepted of ["identity", "br", "gzip", "zstd"]) {
    const { fields } = await ask(service.port, "/style.css", [`Accept-Encoding: ${accepted}`]);
    tags.add(fields.get("ETag"));
  }
  assertEquals(tags.size, 4);
});

const TEXT = "text/plain; charset=utf-8";

/** What a target with or without siblings gives: status, content, coding and type. */
const SIBLING_ROWS: readonly [rule: string, target: string, want: unknown[]][] = [
  ["a file without siblings", "/plain.txt", [200, "plain", undefined, TEXT]],
  ["a sibling that is older than the file", "/old.txt", [200, "new", undefined, TEXT]],
  ["a sibling that is a folder", "/dir.txt", [200, "plain", undefined, TEXT]],
  ["a sibling that is a link out of the root", "/out.txt", [200, "plain", undefined, TEXT]],
  ["a .gz file under its own name", "/a.tar.gz", [200, "packed", undefined, "application/gzip"]],
  ["a.tar.gz next to a.tar", "/a.tar", [200, "packed", "gzip", "application/x-tar"]],
];

/** Files with and without siblings. */
function makeSiblings(): Folder {
  const folder = new Folder({
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
  return folder;
}

for (const [rule, target, want] of SIBLING_ROWS) {
  Deno.test({ name: `RFC 9110 §8.4: ${rule}`, ignore: !UNIX }, async () => {
    using folder = makeSiblings();
    await using service = start({ root: folder.root });
    const { status, fields, body } = await ask(service.port, target, ["Accept-Encoding: br, gzip"]);
    const came = [status, body, fields.get("Content-Encoding"), fields.get("Content-Type")];
    assertEquals(came, want);
  });
}

Deno.test(
  { name: "RFC 9110 §8.4: a sibling without its file gets 404", ignore: !UNIX },
  async () => {
    using folder = makeSiblings();
    await using service = start({ root: folder.root });
    assertEquals((await ask(service.port, "/only.txt", ["Accept-Encoding: gzip"])).status, 404);
  },
);
