/**
 * Rows about files that change that wait for real time.
 *
 * @module
 */
import { assert, assertEquals, assertNotEquals } from "jsr:@std/assert@^1.0.19";
import {
  type Answer,
  ask,
  Client,
  Clock,
  Folder,
  getKept,
  LARGE,
  octets,
  pause,
  readAnswers,
  request,
  start,
  UNIX,
} from "./http_server_helpers.ts";

Deno.test(
  "RFC 9110 §8.8.3: a settled file changes, its size and time do not",
  async () => {
    using folder = new Folder({ "small.txt": "old", "large.txt": `old${LARGE}` });
    await using service = start({ root: folder.root });
    const look = async (round: number) => {
      const answers = [];
      for (const name of ["small", "large"]) {
        const { body, fields } = await ask(service.port, `/${name}.txt?${round}`);
        answers.push([body.slice(0, 3), fields.get("ETag")]);
      }
      return answers;
    };
    await pause(1_200); // for long
    const [before, again] = [await look(1), await look(2)];
    assertEquals(again, before);
    folder.write("small.txt", "new");
    folder.write("large.txt", `new${LARGE}`);
    const after = await look(3);
    for (const [at, [body, etag]] of after.entries()) {
      assertEquals([before[at]?.[0], body], ["old", "new"]);
      assertNotEquals(etag, before[at]?.[1]);
    }
  },
);

for (const size of [1_000, 300_000]) {
  Deno.test(`freshness: a changed file is served new soon (${size} octets)`, async () => {
    using folder = new Folder({ "file.txt": `old${octets(size)}` });
    await using service = start({ root: folder.root });
    using client = await Client.open(service.port);
    const look = async (): Promise<Answer> => {
      client.text = "";
      await client.send(request("/file.txt"));
      for (let known: Answer[] = [];;) {
        await client.read();
        const end = client.text.indexOf("\r\n\r\n") + 4;
        if (end < 4) continue;
        const length = Number(/\r\nContent-Length: (\d+)/.exec(client.text)?.[1]);
        if (client.text.length < end + length) continue;
        known = readAnswers(client.text);
        const [answer] = known;
        assert(answer);
        return answer;
      }
    };
    const before = await look();
    folder.write("file.txt", `new, longer${octets(size)}`, new Date());
    const changed = performance.now();
    let now = before;
    for (let asked = changed; now.body === before.body;) {
      assert(asked - changed < 100, "an old answer, long after the change");
      asked = performance.now();
      now = await look();
      assertEquals(now.fields.get("ETag") === before.fields.get("ETag"), now.body === before.body);
    }
    assert(now.body.startsWith("new"));
    assertNotEquals(now.fields.get("Last-Modified"), before.fields.get("Last-Modified"));
    Deno.removeSync(folder.path("file.txt"));
    const removed = performance.now();
    for (let asked = removed; (await look()).status !== 404; asked = performance.now()) {
      assert(asked - removed < 100, "an answer from a file long gone");
    }
  });
}

Deno.test({ name: "files: the root is a link that is switched", ignore: !UNIX }, async () => {
  using folder = new Folder({ "1/a.txt": "one", "2/a.txt": "two", "2/b.txt": "new" });
  folder.link("1", "current");
  await using service = start({ root: folder.path("current") });
  assertEquals((await ask(service.port, "/a.txt")).body, "one");
  folder.link("2", "next");
  Deno.renameSync(folder.path("next"), folder.path("current"));
  await pause(1_100); // what was known may be kept for a second
  assertEquals((await ask(service.port, "/a.txt")).body, "two");
  assertEquals((await ask(service.port, "/b.txt")).body, "new");
  assertEquals((await ask(service.port, "/")).status, 200);
});

Deno.test("freshness: a change that keeps size and modification time is seen after two seconds", async () => {
  using folder = new Folder({ "a.txt": "old" });
  await pause(3_100); // Deno tells the time of a status change in whole seconds
  await using service = start({ root: folder.root });
  using client = await Client.open(service.port);
  await client.send(request("/a.txt"));
  await client.until(/old$/);
  folder.write("a.txt", "new");
  await client.send(request("/a.txt", ["X-Other: 1"]), request("/a.txt"));
  await client.until(/new[^]*new$/);
});

Deno.test("freshness: no older version follows when the known versions have been forgotten", async () => {
  using folder = new Folder({ "a.txt": "old" });
  using _clock = new Clock(Date.now() + 60_000);
  await using service = start({ root: folder.root });
  using client = await Client.open(service.port);
  assertEquals(await getKept(client, "/a.txt"), "200 old");
  // 16 MiB of versions are known at most. An entry takes two octets for each of its path, and more.
  const paths = Array.from({ length: 1_100 }, (_, at) => `/${at}${"x".repeat(7_900)}`);
  const sending = client.send(...paths.map((path) => request(path)));
  client.text = "";
  while (service.exchanges.length < 1_101) {
    await client.read();
    client.text = "";
  }
  await sending;
  folder.write("a.txt", "new", new Date());
  using other = await Client.open(service.port);
  assertEquals(await getKept(other, "/a.txt", ["X-Other: 1"]), "200 new");
  assertEquals(await getKept(other, "/a.txt"), "200 new");
});
