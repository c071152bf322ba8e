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
  beforeDigest,
  Client,
  Clock,
  Folder,
  getKept,
  pause,
  replaced,
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

/** Counts the calls of `Deno.statSync` for a path, until it is disposed. */
function countStats(path: string): Disposable & { count: number } {
  const counter = { count: 0 };
  const stub = replaced("statSync", (real) => (asked) => {
    if (asked === path) counter.count++;
    return real(asked);
  });
  return Object.assign(counter, stub);
}

Deno.test("cache: a file is looked at once in 20 ms, its folder once for all its files", async () => {
  using folder = new Folder({ "a.txt": "a", "b.txt": "b" });
  using clock = new Clock(Date.now() + 60_000);
  await using service = start({ root: folder.root });
  using client = await Client.open(service.port);
  for (const target of ["/a.txt", "/b.txt"]) await getKept(client, target);
  using file = countStats(folder.path("a.txt"));
  using parent = countStats(folder.root);
  for (const [ms, want] of [[19, 0], [1, 1], [19, 1], [1, 2]] as const) {
    clock.now += ms;
    for (const target of ["/a.txt", "/b.txt"]) await getKept(client, target);
    assertEquals([file.count, parent.count], [want, want]);
  }
});

for (const [rule, target] of [["the same version", "/a.txt"], ["a new path", "/b.txt"]] as const) {
  Deno.test(`cache: ${rule} is not a change, after which files are looked at anew`, async () => {
    using folder = new Folder({ "a.txt": "a", "b.txt": "b" });
    using _clock = new Clock(Date.now() + 60_000);
    await using service = start({ root: folder.root });
    using client = await Client.open(service.port);
    await getKept(client, "/a.txt");
    await getKept(client, target, ["X-Other: 1"]);
    using stats = countStats(folder.path("a.txt"));
    await getKept(client, "/a.txt");
    assertEquals(stats.count, 0);
  });
}

Deno.test("cache: a change that a response shows counts within the same ms", async () => {
  using folder = new Folder({ "a.txt": "old" });
  using clock = new Clock(Date.now() + 60_000);
  await using service = start({ root: folder.root });
  using client = await Client.open(service.port);
  assertEquals(await getKept(client, "/a.txt"), "200 old");
  clock.now += 20;
  assertEquals(await getKept(client, "/a.txt"), "200 old");
  folder.write("a.txt", "new", new Date());
  assertEquals(await getKept(client, "/a.txt", ["X-Other: 1"]), "200 new");
  assertEquals(await getKept(client, "/a.txt"), "200 new");
});

Deno.test("cache: equal requests at once share one response", async () => {
  using folder = new Folder({ "a.txt": "a" });
  using _clock = new Clock(Date.now() + 60_000);
  await using service = start({ root: folder.root });
  const clients = await Promise.all(Array.from({ length: 5 }, () => Client.open(service.port)));
  using _digest = beforeDigest(() => pause(50));
  await Promise.all(clients.map((client) => getKept(client, "/a.txt")));
  const [first, ...others] = service.exchanges.map(({ fields }) => fields);
  assert(others.length === 4 && others.every((fields) => fields === first));
  for (const client of clients) client[Symbol.dispose]();
});

Deno.test("cache: 20 ms after a fault of the server the same request is answered anew", async () => {
  using folder = new Folder({ "a.txt": "a" });
  using clock = new Clock();
  await using service = start({ root: folder.root });
  using client = await Client.open(service.port);
  let isFaulty = true;
  using _digest = beforeDigest(() => isFaulty ? Promise.reject(new Error("no hash")) : pause(0));
  assertEquals(await getKept(client, "/a.txt"), "500 500 Internal Server Error\n");
  isFaulty = false;
  clock.now += 20;
  assertEquals(await getKept(client, "/a.txt"), "200 a");
  assertEquals(service.complaints.splice(0).length, 1);
});

/** Age of a change (ms), and how often a file is hashed for three requests that differ. */
for (const [age, times] of [[2_000, 3], [2_001, 1]] as const) {
  Deno.test(`cache: a file that changed ${age} ms ago is hashed ${times} times for three requests`, async () => {
    using folder = new Folder();
    const changed = Date.now() + 60_000;
    folder.write("a.txt", "a", new Date(changed));
    using _clock = new Clock(changed + age);
    await using service = start({ root: folder.root });
    using client = await Client.open(service.port);
    let hashes = 0;
    using _digest = beforeDigest(() => Promise.resolve(void hashes++));
    for (const query of [1, 2, 3]) await getKept(client, `/a.txt?${query}`);
    assertEquals(hashes, times);
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
