/**
 * The web server's cache of responses: which requests share a response, and that the cache is bounded.
 * The log gets the fields that the cache holds, so two exchanges with the very same fields are one
 * response.
 *
 * @module
 */
import { assert, assertEquals, assertMatch, assertNotEquals } from "jsr:@std/assert@^1.0.19";
import type { ServeOptions } from "../http_server.ts";
import {
  Client,
  Clock,
  Folder,
  getKept,
  pause,
  request,
  type Service,
  start,
} from "./http_server_helpers.ts";

/** Time after which the times of a file tell the next change apart (ms). */
const SETTLE = 15;

/** True if the last two exchanges are one response. */
function isShared({ exchanges }: Service): boolean {
  return exchanges.at(-1)?.fields === exchanges.at(-2)?.fields;
}

/** Serves a folder whose files have settled. */
async function startSettled(
  folder: Folder,
  settings: Partial<ServeOptions> = {},
): Promise<Service> {
  await pause(2 * SETTLE);
  return start({ root: folder.root, timeouts: { settle: SETTLE }, ...settings });
}

/** Rows: the second request, and whether it gets the response to `GET /a.txt` from the cache. */
const SECOND: readonly [name: string, target: string, fields: string[], isShared: boolean][] = [
  ["the same octets", "/a.txt", [], true],
  ["another field", "/a.txt", ["X: 1"], false],
  ["another target", "/a.txt?1", [], false],
];
for (const [name, target, fields, expected] of SECOND) {
  Deno.test(`cache: ${name}: ${expected ? "one response" : "another response"}`, async () => {
    using folder = new Folder({ "a.txt": "a" });
    await using service = await startSettled(folder);
    using client = await Client.open(service.port);
    await getKept(client, "/a.txt");
    await getKept(client, target, fields);
    assertEquals(isShared(service), expected);
  });
}

Deno.test("cache: a file that has settled is not read again after 20 ms", async () => {
  using folder = new Folder({ "a.txt": "a" });
  await using service = await startSettled(folder);
  using client = await Client.open(service.port);
  await getKept(client, "/a.txt");
  await pause(30);
  await getKept(client, "/a.txt");
  assert(isShared(service));
});

Deno.test("cache: a file that was just written is read again after 20 ms", async () => {
  using folder = new Folder({ "a.txt": "a" });
  await using service = start({ root: folder.root, timeouts: { settle: 60_000 } });
  using client = await Client.open(service.port);
  await getKept(client, "/a.txt");
  await pause(30);
  await getKept(client, "/a.txt");
  assert(!isShared(service));
});

for (const [ms, expected] of [[0, "old"], [19, "old"], [20, "new"], [-1, "new"]] as const) {
  Deno.test(`cache: a change is ${expected === "new" ? "seen" : "not yet seen"} ${ms} ms after the last check`, async () => {
    using folder = new Folder({ "a.txt": "old" });
    using clock = new Clock(Date.now() + 60_000); // the file has settled
    await using service = start({ root: folder.root });
    using client = await Client.open(service.port);
    await getKept(client, "/a.txt");
    folder.write("a.txt", "new", new Date());
    clock.now += ms;
    assertEquals(await getKept(client, "/a.txt"), `200 ${expected}`);
  });
}

Deno.test("cache: a check that finds no change holds for 20 ms again", async () => {
  using folder = new Folder({ "a.txt": "old" });
  using clock = new Clock(Date.now() + 60_000);
  await using service = start({ root: folder.root });
  using client = await Client.open(service.port);
  await getKept(client, "/a.txt");
  clock.now += 20;
  await getKept(client, "/a.txt");
  folder.write("a.txt", "new", new Date());
  clock.now += 19;
  assertEquals(await getKept(client, "/a.txt"), "200 old");
  clock.now += 1;
  assertEquals(await getKept(client, "/a.txt"), "200 new");
});

for (
  const [ms, expected] of [[60_000, true], [60_001, false], [-60_000, true], [
    -60_001,
    false,
  ]] as const
) {
  Deno.test(`cache: a response is ${expected ? "kept" : "forgotten"} when the clock moves by ${ms} ms`, async () => {
    using folder = new Folder({ "a.txt": "a" });
    using clock = new Clock(Date.now() + 60_000);
    await using service = start({ root: folder.root });
    using client = await Client.open(service.port);
    await getKept(client, "/a.txt");
    clock.now += ms;
    await getKept(client, "/a.txt");
    assertEquals(isShared(service), expected);
  });
}

Deno.test("cache: what is forgotten is kept anew", async () => {
  using folder = new Folder({ "a.txt": "a" });
  using clock = new Clock(Date.now() + 60_000);
  await using service = start({ root: folder.root });
  using client = await Client.open(service.port);
  await getKept(client, "/a.txt");
  clock.now += 60_001;
  for (let time = 0; time < 2; time++) await getKept(client, "/a.txt");
  assert(isShared(service));
});

for (const [ms, expected] of [[2_000, false], [2_001, true]] as const) {
  Deno.test(`cache: the times of a file ${expected ? "identify" : "do not identify"} its version ${ms} ms after a change`, async () => {
    using folder = new Folder();
    const changed = Date.now() + 60_000;
    folder.write("a.txt", "a", new Date(changed));
    using clock = new Clock(changed + ms);
    await using service = start({ root: folder.root });
    using client = await Client.open(service.port);
    await getKept(client, "/a.txt");
    clock.now += 20;
    await getKept(client, "/a.txt");
    assertEquals(isShared(service), expected);
  });
}

Deno.test("RFC 9110 §6.6.1: a response from the cache gets the Date of now", async () => {
  using folder = new Folder({ "a.txt": "a" });
  const second = Date.parse("2126-01-02T03:04:05Z");
  using clock = new Clock(second);
  await using service = start({ root: folder.root });
  using client = await Client.open(service.port);
  for (const ms of [0, 999, 1_020, 1_021, 2_999, 3_020]) {
    clock.now = second + ms;
    await getKept(client, "/a.txt");
    const [, date] = /\r\nDate: (.*)\r\n/.exec(client.text) ?? [];
    assertEquals(date, new Date(second + Math.floor(ms / 1_000) * 1_000).toUTCString());
    if (ms > 0) assert(isShared(service));
  }
});

Deno.test("cache: a Date of --header stays in a response from the cache", async () => {
  using clock = new Clock();
  await using service = start({ fields: [["Date", "yesterday"]] });
  using client = await Client.open(service.port);
  const texts = new Set<string>();
  for (let time = 0; time < 3; time++) {
    client.text = "";
    await client.send(request("/hello.txt"));
    texts.add(await client.until(/Hello/));
    clock.now += 1_000;
  }
  assertEquals(texts.size, 1);
  assertMatch([...texts].join(), /\r\nDate: yesterday\r\n/);
});

for (const [length, expected] of [[2_048, true], [2_049, false]] as const) {
  Deno.test(`cache: a request of ${length} octets is ${expected ? "kept" : "not kept"}`, async () => {
    using folder = new Folder({ "a.txt": "a" });
    await using service = await startSettled(folder);
    using client = await Client.open(service.port);
    const padding = "x".repeat(length - request("/a.txt", ["X: "]).length);
    for (let time = 0; time < 2; time++) await getKept(client, "/a.txt", [`X: ${padding}`]);
    assertEquals(isShared(service), expected);
  });
}

for (const [size, expected] of [[131_072, true], [131_073, false]] as const) {
  Deno.test(`cache: a file of ${size} octets is ${expected ? "kept" : "not kept"}`, async () => {
    using folder = new Folder({ "a.txt": "a".repeat(size) });
    await using service = await startSettled(folder);
    using client = await Client.open(service.port);
    for (let time = 0; time < 2; time++) await getKept(client, "/a.txt");
    assertEquals(isShared(service), expected);
  });
}

Deno.test("cache: two requests in one segment get two responses, each time", async () => {
  using folder = new Folder({ "a.txt": "first", "b.txt": "second" });
  await using service = await startSettled(folder);
  using client = await Client.open(service.port);
  for (let time = 0; time < 3; time++) {
    client.text = "";
    await client.send(request("/a.txt") + request("/b.txt"));
    await client.until(/first[^]*second$/);
  }
  assertEquals(service.exchanges.length, 6);
});

Deno.test("cache: a request in two segments gets the response that is kept, or its own", async () => {
  using folder = new Folder({ "a.txt": "content" });
  await using service = await startSettled(folder);
  using client = await Client.open(service.port);
  await getKept(client, "/a.txt");
  for (let cut = 1; cut < request("/a.txt").length; cut += 7) {
    client.text = "";
    await client.send(request("/a.txt").slice(0, cut));
    await pause(2);
    await client.send(request("/a.txt").slice(cut));
    await client.until(/content$/);
  }
});

/** Requests that fill the cache, all of one length. */
const fillers = (count: number) =>
  Array.from({ length: count }, (_, at) => `/fill.bin?${String(at).padStart(3, "0")}`);

for (const [excess, expected] of [[0, true], [1, false]] as const) {
  const name = expected ? "64 MiB are kept" : "one octet more than 64 MiB empties it";
  Deno.test(`cache: ${name}`, async () => {
    using folder = new Folder({ "a.txt": "a" });
    using _clock = new Clock(Date.now() + 60_000);
    await using service = start({ root: folder.root });
    using client = await Client.open(service.port);
    /** Memory of an entry: its response, its request ten times, and 1,200 octets. */
    const costOf = async (target: string) => {
      await getKept(client, target);
      return client.text.length + 10 * request(target).length + 1_200;
    };
    await getKept(client, "/a.txt");
    const kept = service.exchanges[0]?.fields;
    let left = 67_108_864 + excess - (client.text.length + 10 * request("/a.txt").length + 1_200);
    const count = 537;
    const size = 122_500;
    folder.write("fill.bin", new Uint8Array(size));
    for (const target of fillers(count)) left -= await costOf(target);
    // The last two entries take what is left.
    const overhead = client.text.length - size + 10 * request("/last.bin?000").length + 1_200;
    const half = Math.floor(left / 2) - overhead;
    folder.write("last.bin", new Uint8Array(half));
    folder.write("rest.bin", new Uint8Array(left - half - 2 * overhead));
    for (const target of ["/last.bin?000", "/rest.bin?000"]) left -= await costOf(target);
    assertEquals(left, 0);
    await getKept(client, "/a.txt");
    assertEquals(service.exchanges.at(-1)?.fields === kept, expected);
  });
}

Deno.test("cache: a repeated request gets the same octets", async () => {
  await using service = start();
  using client = await Client.open(service.port);
  const texts = new Set<string>();
  for (let time = 0; time < 20; time++) {
    await getKept(client, "/hello.txt");
    texts.add(client.text);
  }
  assert(texts.size <= 2, "only the Date differs"); // a second may end meanwhile
  assertEquals(service.exchanges.length, 20);
});

Deno.test("cache: a byte order mark before a cached request gets 400", async () => {
  await using service = start();
  using first = await Client.open(service.port);
  assertMatch(await getKept(first, "/hello.txt"), /^200 /);
  using second = await Client.open(service.port);
  await second.send(`\xef\xbb\xbf${request("/hello.txt")}`);
  assertMatch(await second.until(), /^HTTP\/1\.1 400 /);
});

Deno.test("cache: octets that are not UTF-8 do not get the response to others", async () => {
  using folder = new Folder({ "a.txt": "plain" });
  await using service = start({ root: folder.root });
  using client = await Client.open(service.port);
  const tagged = (octet: string) => [`If-None-Match: "${octet}"`];
  assertMatch(await getKept(client, "/a.txt", tagged("\xff")), /^200 /);
  const lines = service.exchanges.map(({ fields }) => fields.get("If-None-Match"));
  await getKept(client, "/a.txt", tagged("\xfe"));
  assertNotEquals(service.exchanges.at(-1)?.fields.get("If-None-Match"), lines[0]);
});
