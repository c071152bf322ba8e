/**
 * The web server's cache of responses: a change of a file is seen within 20 ms, and no older version
 * follows a newer one, whatever the header of the request is.
 *
 * @module
 */
import { assertEquals, assertMatch } from "jsr:@std/assert@^1.0.19";
import { Client, Folder, getKept, pause, replaced, start, UNIX } from "./http_server_helpers.ts";

/** A change of a folder, and what a path answers before and after it. */
interface Change {
  files: Record<string, string>;
  target: string;
  change: (folder: Folder) => void;
  before: string;
  after: string;
  /** Fields of the request that is repeated. */
  fields?: string[];
}

/** Not for times that are compared: Deno tells the time of a status change in whole seconds. */
const KEEPS_TIME = "a file is written anew and keeps its modification time";

const CHANGES: Record<string, Change> = {
  "a file is written anew": {
    files: { "a.txt": "old" },
    target: "/a.txt",
    change: (folder) => folder.write("a.txt", "new", new Date()),
    before: "200 old",
    after: "200 new",
  },
  [KEEPS_TIME]: {
    files: { "a.txt": "old" },
    target: "/a.txt",
    change: (folder) => folder.write("a.txt", "new"),
    before: "200 old",
    after: "200 new",
  },
  "another file is renamed to its name": {
    files: { "a.txt": "old", "b.txt": "new" },
    target: "/a.txt",
    change: (folder) => Deno.renameSync(folder.path("b.txt"), folder.path("a.txt")),
    before: "200 old",
    after: "200 new",
  },
  "a file is removed": {
    files: { "a.txt": "old" },
    target: "/a.txt",
    change: (folder) => Deno.removeSync(folder.path("a.txt")),
    before: "200 old",
    after: "404 404 Not Found\n",
  },
  "a file appears": {
    files: {},
    target: "/a.txt",
    change: (folder) => folder.write("a.txt", "new"),
    before: "404 404 Not Found\n",
    after: "200 new",
  },
  "an index.html appears": {
    files: { "d/a.txt": "" },
    target: "/d/",
    change: (folder) => folder.write("d/index.html", "new"),
    before: "404 404 Not Found\n",
    after: "200 new",
  },
  "a file appears for which the .html file stood in": {
    files: { "about.html": "old" },
    target: "/about",
    change: (folder) => folder.write("about", "new"),
    before: "200 old",
    after: "200 new",
  },
  "a folder takes the place of a file": {
    files: { "a": "old" },
    target: "/a",
    change: (folder) => {
      Deno.removeSync(folder.path("a"));
      folder.write("a/index.html", "new");
    },
    before: "200 old",
    after: "307 307 Temporary Redirect\n",
  },
  "the page for 404 changes": {
    files: { "404.html": "old" },
    target: "/nothing",
    change: (folder) => folder.write("404.html", "new", new Date()),
    before: "404 old",
    after: "404 new",
  },
  "a compressed sibling appears": {
    files: { "a.txt": "plain" },
    target: "/a.txt",
    fields: ["Accept-Encoding: gzip"],
    change: (folder) => folder.write("a.txt.gz", "packed"),
    before: "200 plain",
    after: "200 packed",
  },
  "a compressed sibling is written anew": {
    files: { "a.txt": "plain", "a.txt.gz": "packed" },
    target: "/a.txt",
    fields: ["Accept-Encoding: gzip"],
    change: (folder) => folder.write("a.txt.gz", "repack", new Date()),
    before: "200 packed",
    after: "200 repack",
  },
};
if (UNIX) {
  CHANGES["a link to a folder is swapped"] = {
    files: { "one/a.txt": "old", "two/a.txt": "new" },
    target: "/current/a.txt",
    change: (folder) => {
      folder.link("two", "next");
      Deno.renameSync(folder.path("next"), folder.path("current"));
    },
    before: "200 old",
    after: "200 new",
  };
}

/** When the times of a file tell the next change apart (ms): a tick of the clock and more. */
const SETTLE = 15;

for (
  const [name, { files, target, change, before, after, fields = [] }] of Object.entries(CHANGES)
) {
  for (const isSettled of name === KEEPS_TIME ? [false] : [true, false]) {
    const settle = isSettled ? SETTLE : 60_000;
    const how = isSettled ? "its times are compared" : "its times are too new to tell";
    const open = async () => {
      const folder = new Folder(files);
      if (name.includes("swapped")) folder.link("one", "current");
      if (isSettled) await pause(2 * SETTLE);
      return folder;
    };

    Deno.test(`freshness: no older version follows when ${name}; ${how}`, async () => {
      using folder = await open();
      await using service = start({ root: folder.root, listing: false, timeouts: { settle } });
      using client = await Client.open(service.port);
      assertMatch(await getKept(client, "/elsewhere"), /^404 /); // of another path a version is known
      for (let time = 0; time < 3; time++) {
        assertEquals(await getKept(client, target, fields), before);
      }
      change(folder);
      // Other octets, so that the first response after the change is made anew.
      assertEquals(await getKept(client, target, [...fields, "X-Other: 1"]), after);
      assertEquals(await getKept(client, target, fields), after);
    });

    Deno.test(`freshness: seen after 20 ms when ${name}; ${how}`, async () => {
      using folder = await open();
      await using service = start({ root: folder.root, listing: false, timeouts: { settle } });
      using client = await Client.open(service.port);
      for (let time = 0; time < 3; time++) {
        assertEquals(await getKept(client, target, fields), before);
      }
      change(folder);
      await pause(25);
      assertEquals(await getKept(client, target, fields), after);
    });
  }
}

Deno.test("freshness: a listing is at most 20 ms old, and never older than the one before", async () => {
  using folder = new Folder({ "d/one.txt": "1" });
  await using service = start({ root: folder.root });
  using client = await Client.open(service.port);
  const html = ["Accept: text/html"];
  assertMatch(await getKept(client, "/d/", html), /one\.txt/);
  folder.write("d/two.txt", "2");
  assertMatch(await getKept(client, "/d/", [...html, "X-Other: 1"]), /two\.txt/);
  assertMatch(await getKept(client, "/d/", html), /two\.txt/);
  folder.write("d/three.txt", "3");
  await pause(25);
  assertMatch(await getKept(client, "/d/", html), /three\.txt/);
});

/** Changes of another file that are seen while a listing is made, and how often it is made. */
for (const [changes, times] of [[0, 1], [1, 2], [2, 3], [9, 3]] as const) {
  Deno.test(`freshness: a listing is made ${times} times if ${changes} changes are seen meanwhile`, async () => {
    using folder = new Folder({ "a.txt": "0", "d/b.txt": "" });
    await using service = start({ root: folder.root });
    using client = await Client.open(service.port);
    using other = await Client.open(service.port);
    assertEquals(await getKept(other, "/a.txt?0"), "200 0");
    let made = 0;
    using _replaced = replaced("readDir", (real) =>
      async function* (path) {
        yield* real(path);
        if (++made > changes) return;
        folder.write("a.txt", `${made}`, new Date());
        assertEquals(await getKept(other, `/a.txt?${made}`), `200 ${made}`);
      });
    assertMatch(await getKept(client, "/d/"), /b\.txt/);
    assertEquals(made, times);
  });
}

Deno.test("freshness: the same size within one tick of the clock is another version", async () => {
  using folder = new Folder();
  await using service = start({ root: folder.root });
  using client = await Client.open(service.port);
  for (let round = 0; round < 50; round++) {
    folder.write("a.txt", `${100 + round}`);
    assertEquals(await getKept(client, "/a.txt", [`X-Other: ${round}`]), `200 ${100 + round}`);
    assertEquals(await getKept(client, "/a.txt"), `200 ${100 + round}`);
  }
});
