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

for (const [cached, expected] of [[60_000, true], [100, false]] as const) {
  Deno.test(`cache: with a lifetime of ${cached} ms, after 150 ms: ${expected ? "kept" : "forgotten"}`, async () => {
    using folder = new Folder({ "a.txt": "a" });
    const timeouts = { settle: SETTLE, cached };
    await using service = await startSettled(folder, { timeouts });
    using client = await Client.open(service.port);
    await getKept(client, "/a.txt");
    await pause(150);
    await getKept(client, "/a.txt");
    assertEquals(isShared(service), expected);
  });
}

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

Deno.test("cache: 64 MiB at most, then what was kept before is forgotten", async () => {
  using folder = new Folder({ "a.txt": "a", "big.bin": "b".repeat(131_072) });
  await using service = await startSettled(folder);
  using client = await Client.open(service.port);
  await getKept(client, "/a.txt");
  const kept = service.exchanges[0]?.fields;
  const fill = async (count: number) => {
    for (let each = 0; each < count; each++) {
      client.text = "";
      await client.send(request(`/big.bin?${service.exchanges.length}`));
      await client.until(/\r\n\r\n/);
      const whole = client.text.indexOf("\r\n\r\n") + 4 + 131_072;
      while (client.text.length < whole) await client.read();
    }
    await getKept(client, "/a.txt");
    return service.exchanges.at(-1)?.fields === kept;
  };
  assert(await fill(10), "far from full");
  assert(!await fill(520), "68 MB do not fit");
});

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
