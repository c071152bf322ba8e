/**
 * Redirects to folders, and listings of folders.
 *
 * @module
 */
import { assert, assertEquals, assertMatch } from "jsr:@std/assert@^1.0.19";
import { octetsOf } from "./helpers.ts";
import { type Answer, ask, Folder, readAnswers, start, talk, UNIX } from "./http_server_helpers.ts";

/** Where a client is sent on to: always a path, never another host. */
const REDIRECTS: readonly [target: string, location: string][] = [
  ["/dir", "/dir/"],
  ["/dir?a=b&c=//d", "/dir/\\?a=b&c=//d"],
  ["/dir?", "/dir/\\??"],
  ["/dir/sub", "/dir/sub/"],
  ["/%64ir", "/dir/"],
  ["/a%20b", "/a%20b/"],
  ["/%c3%a4", "/%C3%A4/"],
  ["/q%3F%23%25", "/q%3F%23%25/"],
  ["//dir", "/dir/|404"],
  ["//evil.test", "/evil.test/|404"],
  ["////evil.test", "/evil.test/|404"],
  ["/.//evil.test", "/evil.test/|40[04]"],
  ["//evil.test/%2e%2e", "40[04]"],
  ["//evil.test/..", "40[04]"],
  ["/%5cevil.test", "/%5Cevil.test/|40[04]"],
  ["/\\evil.test", "400"],
  ["/dir%0d%0aX-Forged:%20y", "40[04]"],
  ["/line%0d%0aX-Forged:%20y", "/line%0D%0AX-Forged%3A%20y/|40[04]"],
  ["http://evil.test/dir", "/dir/"],
  ["http://evil.test//evil.test", "/evil.test/|404"],
];

for (const [target, want] of REDIRECTS) {
  for (const method of ["GET", "HEAD"]) {
    const name = `RFC 3986 §4.2: ${method} ${target} leads to ${want}`;
    Deno.test({ name, ignore: !UNIX }, async () => {
      using folder = new Folder({
        "dir/sub/": "",
        "a b/": "",
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
      if (location !== undefined) assertMatch(`${answer?.status}`, /^30[1278]$/);
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
  "ä",
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
  assertMatch(page.fields.get("Content-Security-Policy") ?? "", /default-src 'none'/);
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
  const entries: { name: string; type: string; size?: number }[] = JSON.parse(text);
  const names = entries.map(({ name }) => name);
  for (const name of [...NAMES, "Dir", "zoo", "link-in"]) assert(names.includes(name), name);
  assertEquals(entries.find(({ name }) => name === "10.txt")?.size, 3);
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

Deno.test("listings: a sub-folder links up, the root does not", async () => {
  await using service = start();
  assertMatch((await ask(service.port, "/bare/")).body, /href="\.\.\/"/);
  using folder = new Folder({ "a.txt": "" });
  await using other = start({ root: folder.root });
  assert(!(await ask(other.port, "/")).body.includes('"../"'));
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

Deno.test("listings: 10,000 entries are quick, the rest is told", async () => {
  using folder = new Folder();
  for (let count = 0; count < 10_000; count++) {
    const path = folder.path(`a file of a usual length ${count}.txt`);
    // links are made in no time, and a file may have a thousand of them anywhere
    if (count % 1_000 === 0) Deno.createSync(path).close();
    else Deno.linkSync(folder.path(`a file of a usual length ${count - count % 1_000}.txt`), path);
  }
  await using service = start({ root: folder.root });
  const begun = performance.now();
  const { status, body } = await ask(service.port, "/");
  assert(performance.now() - begun < 600, "0.2 s are wanted");
  assertEquals(status, 200);
  assert(body.length < 1_500_000, `${body.length} octets`);
  assertEquals(body.match(/<a href="/g)?.length, 10_000);
  for (let count = 0; count < 7; count++) folder.write(`more ${count}`);
  const more = await ask(service.port, "/?more");
  assertMatch(more.body, /\b7 more\b/);
});
