/**
 * Redirects to folders, and listings of folders.
 *
 * @module
 */
import { assert, assertEquals, assertMatch } from "jsr:@std/assert@^1.0.19";
import { octetsOf } from "./helpers.ts";
import {
  type Answer,
  ask,
  Folder,
  readAnswers,
  runMeanwhile,
  start,
  talk,
  UNIX,
} from "./http_server_helpers.ts";

/** Where a client is sent on to: always a path, never another host. */
const REDIRECTS: readonly [target: string, location: string][] = [
  ["/dir", "/dir/"],
  ["/dir?a=b&c=//d", "/dir/\\?a=b&c=//d"],
  ["/dir?", "/dir/\\??"],
  ["/dir/sub", "/dir/sub/"],
  ["/%64ir", "/dir/"],
  ["/a%20b/../dir/sub", "/dir/sub/"],
  ["/it's", "/it%27s/"],
  ["/a%20b", "/a%20b/"],
  ["/%c3%a4", "/%C3%A4/"],
  ["/q%3F%23%25", "/q%3F%23%25/"],
  ["//dir", "/dir/"],
  ["//evil.test", "/evil.test/"],
  ["////evil.test", "/evil.test/"],
  ["/.//evil.test", "/evil.test/"],
  ["//evil.test/%2e%2e", "200"],
  ["//evil.test/..", "200"],
  ["/%5cevil.test", "/%5Cevil.test/"],
  ["/\\evil.test", "400"],
  ["/dir%0d%0aX-Forged:%20y", "404"],
  ["/line%0d%0aX-Forged:%20y", "/line%0D%0AX-Forged%3A%20y/"],
  ["http://evil.test/dir", "/dir/"],
  ["http://evil.test//evil.test", "/evil.test/"],
];

for (const [target, want] of REDIRECTS) {
  for (const method of ["GET", "HEAD"]) {
    const name = `RFC 3986 §4.2: ${method} ${target} leads to ${want}`;
    Deno.test({ name, ignore: !UNIX }, async () => {
      using folder = new Folder({
        "dir/sub/": "",
        "a b/": "",
        "it's/": "",
        "ä/": "",
        "q?#%/": "",
        "evil.test/": "",
        "\\evil.test/": "",
        "line\r\nX-Forged: y/": "",
      });
      await using service = start({ root: folder.root });
      const text = `${method} ${target} HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n`;
      const [answer] = readAnswers(await talk(service.port, [text]), [method]);
      const location = answer?.fields.get("Location");
      if (location !== undefined) assertEquals(answer?.status, 307);
      assertMatch(location ?? `${answer?.status}`, new RegExp(`^(?:${want})$`));
      assertEquals(answer?.fields.get("X-Forged"), undefined);
    });
  }
}

/** Names that a hostile user who can write into the folder could choose. */
const NAMES = [
  "<img src=x onerror=alert(1)>",
  "<script>alert(1)<",
  "javascript:alert(1)",
  "data:text,html",
  "%41",
  "#",
  "?",
  "a?b#c",
  "a&amp;b",
  "&lt;",
  '"double"',
  "'single'",
  "back\\slash",
  "new\nline",
  "tab\tstop",
  "\x1b[2J",
  "-dash",
  "~tilde",
  " blanks ",
  "a+b",
  "a^b",
  "ä",
  "Ã©.txt",
  "a\u0308",
  "日本語.txt",
  "\u202egnp.txt",
  "🙂",
  "[::1]",
  "*",
  "x".repeat(255),
];

/** A folder with all of these names, hidden ones, and links that lead in and out. */
async function makeListed(): Promise<Folder> {
  const files = Object.fromEntries(
    NAMES.map((name) => [name, `content of ${encodeURIComponent(name)}`]),
  );
  const folder = new Folder({
    ...files,
    "9.txt": "nine",
    "10.txt": "ten",
    "zoo/a.txt": "",
    "Dir/b.txt": "",
    "<b>bold/x.txt": "",
    ".hidden": "",
    ".dir/": "",
    "../out.txt": "secret",
  });
  folder.link("../out.txt", "link-out");
  folder.link("..", "link-out-dir");
  folder.link("9.txt", "link-in");
  folder.link("nowhere", "link-broken");
  folder.link(".hidden", "link-hidden");
  await new Deno.Command("sh", {
    args: ["-c", `mkfifo fifo; : > "$(printf 'not\\377utf8')"; mkdir "$(printf 'dir\\377')"`],
    cwd: folder.root,
  }).output();
  return folder;
}

/** The links of a listing, resolved. */
function linksOf(page: Answer, port: number): URL[] {
  return [...page.body.matchAll(/<a href=(?:"([^"]*)"|'([^']*)')/g)].map(([, a, b]) => {
    const link = (a ?? b ?? "").replace(/&#(\d+);/g, (_, code) => String.fromCharCode(Number(code)))
      .replaceAll("&amp;", "&").replaceAll("&quot;", '"');
    return new URL(link, `http://localhost:${port}/`);
  });
}

/** Registers a test of the listing of that folder. */
function testListing(
  rule: string,
  test: (page: Answer, port: number, paths: string[]) => Promise<void> | void,
): void {
  Deno.test({ name: `listings: ${rule}`, ignore: !UNIX }, async () => {
    using folder = await makeListed();
    await using service = start({ root: folder.root });
    const page = await ask(service.port, "/");
    const paths = linksOf(page, service.port).map(({ pathname }) => decodeURIComponent(pathname));
    await test(page, service.port, paths);
  });
}

testListing("it is a page without script", (page) => {
  assertEquals(page.status, 200);
  assertEquals(page.fields.get("Content-Type"), "text/html; charset=utf-8");
  assertEquals(
    page.fields.get("Content-Security-Policy"),
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'",
  );
  assertMatch(page.body, /^<!doctype html>/i);
  assert(!/<script|<img|<b>|onerror=alert\(1\)>/.test(page.body));
});

testListing("every link stays here and works", async (page, port) => {
  for (const { origin, pathname } of linksOf(page, port)) {
    assertEquals(origin, `http://localhost:${port}`);
    assertEquals([pathname, (await ask(port, pathname)).status], [pathname, 200]);
  }
});

testListing("every name is there once, with its content", async (page, port) => {
  for (const name of NAMES) {
    const found = linksOf(page, port).filter(({ pathname }) =>
      decodeURIComponent(pathname) === `/${name}`
    );
    assertEquals([name, found.length], [name, 1]);
    const { body } = await ask(port, found[0]?.pathname ?? "");
    assertEquals(body, `content of ${encodeURIComponent(name)}`);
  }
});

testListing("folders first, numbers in their order", (_page, _port, paths) => {
  const last = paths.findLastIndex((path) => path.endsWith("/"));
  assert(paths.slice(0, last).every((path) => path.endsWith("/")));
  assert(paths.indexOf("/Dir/") < paths.indexOf("/zoo/"));
  assert(paths.indexOf("/9.txt") < paths.indexOf("/10.txt"));
});

testListing("what is not served is not linked", (page, _port, paths) => {
  const unserved = [".hidden", ".dir/", "link-out", "link-out-dir/", "link-broken", "link-hidden"];
  for (const name of [...unserved, "fifo"]) assert(!paths.includes(`/${name}`), name);
  assert(paths.includes("/link-in"));
  assert(!/\.hidden|secret/.test(page.body));
});

testListing("a name that is not UTF-8 is shown without a link", (page) => {
  assertMatch(page.body, /<td>not\xef\xbf\xbdutf8<td>/);
  assertMatch(page.body, /<td>dir\xef\xbf\xbd<td>/);
});

testListing("a name that looks like UTF-8 in Latin-1 is shown as it is", (page) => {
  const text = new TextDecoder().decode(octetsOf(page.body));
  assertMatch(text, /<a href="\.\/%C3%83%C2%A9\.txt">Ã©\.txt<\/a>/);
});

testListing("an apostrophe in a link is %27", (page) => {
  assertMatch(page.body, /<a href="\.\/%27single%27">&#39;single&#39;<\/a>/);
});

testListing("a count of folders and files", (page) => {
  assertMatch(page.body, new RegExp(`<p>3 folders, ${NAMES.length + 5} files\\. Times are UTC`));
});

testListing("HEAD has the same fields", async (page, port) => {
  const head = await ask(port, "/", [], "HEAD");
  const shown = ({ fields }: Answer) => [...fields].filter(([name]) => name !== "Date");
  assertEquals(shown(head), shown(page));
});

testListing("JSON if the client prefers it", async (page, port) => {
  const answer = await ask(port, "/", ["Accept: application/json"]);
  assertMatch(answer.fields.get("Content-Type") ?? "", /^application\/json/);
  assertMatch(answer.fields.get("Vary") ?? "", /\bAccept\b/);
  assertMatch(page.fields.get("Vary") ?? "", /\bAccept\b/);
  const text = new TextDecoder().decode(octetsOf(answer.body));
  const entries: { name: string; type: string; size?: number; modified?: string }[] = JSON.parse(
    text,
  );
  const names = entries.map(({ name }) => name);
  for (const name of [...NAMES, "Dir", "zoo", "link-in"]) assert(names.includes(name), name);
  assertEquals(entries.find(({ name }) => name === "10.txt"), {
    name: "10.txt",
    type: "file",
    size: 3,
    modified: "2020-01-01T00:00:00.000Z",
  });
  const { type, size } = entries.find(({ name }) => name === "Dir") ?? {};
  assertEquals([type, size], ["directory", undefined]);
  assert(!names.some((name) => /hidden|out|broken|fifo|\ufffd/.test(name)));
});

/** Accept fields, and the media type of the listing. */
const ACCEPTS: readonly [accept: string, type: string][] = [
  ["*/*", "text/html"],
  ["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"],
  ["application/json, text/plain, */*", "application/json"],
  ["application/json;q=0.5, text/html", "text/html"],
  ["application/json;q=0", "text/html"],
  ["application/*", "application/json"],
];

for (const [accept, want] of ACCEPTS) {
  Deno.test(`RFC 9110 §12.5.1: a listing for Accept: ${accept} is ${want}`, async () => {
    await using service = start();
    const { fields } = await ask(service.port, "/bare/", [`Accept: ${accept}`]);
    assertEquals(fields.get("Content-Type")?.split(";")[0], want);
  });
}

testListing("a folder with an awkward name has one too", async (_page, port) => {
  const { status, body } = await ask(port, "/%3Cb%3Ebold/");
  assertEquals(status, 200);
  assert(!body.includes("<b>"));
});

Deno.test("listings: a row has a name, a size except for folders, and a time", async () => {
  using folder = new Folder({ "d/sub/": "", "d/a.txt": "x".repeat(12_345), "d/b.txt": "" });
  const time = new Date("2020-12-31T23:59:59Z");
  for (const name of ["d/sub", "d/a.txt"]) Deno.utimeSync(folder.path(name), time, time);
  await using service = start({ root: folder.root });
  const { body } = await ask(service.port, "/d/");
  assertEquals(body.slice(body.indexOf("<tbody>")).split("\n"), [
    "<tbody>",
    '<tr><td><a href="../">../</a><td><td>',
    '<tr><td><a href="./sub/">sub/</a><td><td>2020-12-31 23:59',
    '<tr><td><a href="./a.txt">a.txt</a><td>12.3 kB<td>2020-12-31 23:59',
    '<tr><td><a href="./b.txt">b.txt</a><td>0 B<td>2020-01-01 00:00',
    "</table>",
    "<p>1 folder, 2 files. Times are UTC.",
    "",
  ]);
});

Deno.test("listings: a path of links, each to a folder above", async () => {
  await using service = start();
  const { body } = await ask(service.port, "/bare/deep/");
  const path = '<h1><a href="../../">/</a><wbr><a href="../">bare/</a><wbr>deep/</h1>';
  assert(body.includes(path), body);
  assertMatch(body, /<td><a href="\.\.\/">\.\.\/<\/a>/);
  assertMatch(body, /<title>\/bare\/deep\/<\/title>/);
  using folder = new Folder({ "a.txt": "" });
  await using other = start({ root: folder.root });
  const root = (await ask(other.port, "/")).body;
  assert(root.includes("<h1>/</h1>") && !root.includes("../"), root);
  assertMatch(root, /<p>0 folders, 1 file\./);
});

/** Queries, the names in their order, and the link of the sorted column. */
const ORDERS: readonly [query: string, names: string, column: string][] = [
  ["", "B/ c/ A9.txt a10.txt \u00e4z.txt z.bin", '"ascending"><a href="?sort=name&amp;desc">Name'],
  [
    "?sort=name&desc",
    "c/ B/ z.bin \u00e4z.txt a10.txt A9.txt",
    '"descending"><a href="?sort=name">',
  ],
  [
    "?sort=size",
    "B/ c/ z.bin a10.txt \u00e4z.txt A9.txt",
    '"ascending"><a href="?sort=size&amp;desc">',
  ],
  [
    "?sort=size&desc",
    "c/ B/ A9.txt \u00e4z.txt a10.txt z.bin",
    '"descending"><a href="?sort=size">',
  ],
  [
    "?sort=modified",
    "c/ B/ a10.txt A9.txt z.bin \u00e4z.txt",
    '"ascending"><a href="?sort=modified&amp;',
  ],
  [
    "?sort=modified&desc",
    "B/ c/ \u00e4z.txt z.bin A9.txt a10.txt",
    '"descending"><a href="?sort=modif',
  ],
  [
    "?sort=nothing",
    "B/ c/ A9.txt a10.txt \u00e4z.txt z.bin",
    '"ascending"><a href="?sort=name&amp;desc">',
  ],
  ["?desc", "c/ B/ z.bin \u00e4z.txt a10.txt A9.txt", '"descending"><a href="?sort=name">'],
];

for (const [query, names, column] of ORDERS) {
  for (const accept of ["text/html", "application/json"]) {
    Deno.test(`listings: the order of ${query || "no query"} as ${accept}`, async () => {
      using folder = new Folder({ "B/": "", "c/": "" });
      const day = (date: number) => new Date(Date.UTC(2020, 0, date));
      folder.write("A9.txt", "xxx", day(3));
      folder.write("a10.txt", "x", day(2));
      folder.write("\u00e4z.txt", "xx", day(5));
      folder.write("z.bin", "", day(4));
      Deno.utimeSync(folder.path("B"), day(9), day(9));
      Deno.utimeSync(folder.path("c"), day(8), day(8));
      await using service = start({ root: folder.root });
      const { body } = await ask(service.port, `/${query}`, [`Accept: ${accept}`]);
      const text = new TextDecoder().decode(octetsOf(body));
      const pattern = accept === "text/html"
        ? /<tr><td><a href="[^"]+">([^<]+)/g
        : /"name":"([^"]+)"/g;
      const found = [...text.matchAll(pattern)].map(([, name]) => name);
      const wanted = accept === "text/html" ? names : names.replaceAll("/", "");
      assertEquals(found.join(" "), wanted);
      if (accept === "text/html") assert(text.includes(column), text);
    });
  }
}

Deno.test("listings: names sort without case and accents, numbers by their value", async () => {
  const names = ["\u00c9b\u00e8ne", "eclair", "IMG1", "img009", "img9", "img10", "img0100", "zoo"];
  using folder = new Folder(Object.fromEntries(names.toReversed().map((name) => [name, ""])));
  await using service = start({ root: folder.root });
  const { body } = await ask(service.port, "/", ["Accept: application/json"]);
  const entries: { name: string }[] = JSON.parse(new TextDecoder().decode(octetsOf(body)));
  assertEquals(entries.map(({ name }) => name), names);
});

Deno.test("listings: an index.html, none, or none at all", async () => {
  await using service = start();
  assertMatch((await ask(service.port, "/")).body, /home/);
  assertMatch((await ask(service.port, "/folder/")).body, /folder/);
  await using strict = start({ listing: false });
  assertEquals((await ask(strict.port, "/bare/")).status, 404);
  assertEquals((await ask(strict.port, "/bare")).status, 307);
  assertMatch((await ask(strict.port, "/folder/")).body, /folder/);
  using folder = new Folder({ ".hidden": "", ".dir/": "", "shown.txt": "" });
  await using open = start({ root: folder.root, dotfiles: true });
  const { body } = await ask(open.port, "/");
  assertMatch(body, /\.dir\/[^]*\.hidden[^]*shown\.txt/);
});

Deno.test(
  { name: "listings: a link swapped meanwhile never shows names outside", ignore: !UNIX },
  async () => {
    using folder = new Folder({ "in/inside.txt": "", "../out/secret.txt": "" });
    folder.link("in", "link");
    const swap = `for (let out = false;; out = !out) {
    Deno.symlinkSync(out ? "../out" : "in", ".next");
    Deno.renameSync(".next", "link");
  }`;
    const { stop } = await runMeanwhile(swap, folder.root);
    await using service = start({ root: folder.root });
    const came = new Set<string>();
    for (let round = 0; round < 300; round++) {
      const { status, body } = await ask(service.port, `/link/?${round}`);
      assert(!body.includes("secret"), body);
      came.add(status === 200 && body.includes("inside.txt") ? "inside" : `${status}`);
    }
    await stop();
    assert([...came].every((each) => ["inside", "404"].includes(each)), [...came].join());
  },
);

Deno.test("listings: 10,000 entries, others are served meanwhile, more are counted", async () => {
  using folder = new Folder();
  for (let count = 0; count < 10_000; count++) {
    const path = folder.path(`a file of a usual length ${count}.txt`);
    // links are made in no time, and a file may have a thousand of them anywhere
    if (count % 1_000 === 0) Deno.createSync(path).close();
    else Deno.linkSync(folder.path(`a file of a usual length ${count - count % 1_000}.txt`), path);
  }
  await using service = start({ root: folder.root });
  const { status, body } = await ask(service.port, "/");
  assertEquals(status, 200);
  assert(body.length < 1_500_000, `${body.length} octets`);
  assertEquals(body.match(/<a href="\.\//g)?.length, 10_000);
  assert(!body.includes("not shown"));
  // Other clients get their responses while a listing is made.
  let isListed = false;
  let answered = 0;
  const listing = ask(service.port, "/?again").then(() => isListed = true);
  while (!isListed) {
    await ask(service.port, "/a%20file%20of%20a%20usual%20length%200.txt");
    answered++;
  }
  await listing;
  assert(answered >= 5, `${answered} responses`);
  for (let count = 0; count < 7; count++) folder.write(`more ${count}`);
  const more = await ask(service.port, "/?more");
  assertMatch(more.body, /, and 7 more, not shown\./);
  assertEquals(more.body.match(/<a href="\.\//g)?.length, 10_000);
});
