/**
 * Which file a target names (RFC 3986), media types, and files that change while they are sent.
 *
 * @module
 */
import { assert, assertEquals, assertMatch } from "jsr:@std/assert@^1.0.19";
import { LOCAL } from "./helpers.ts";
import {
  ask,
  beforeDigest,
  Client,
  Folder,
  HUGE,
  LARGE,
  octets,
  pause,
  readAnswers,
  replaced,
  request,
  runMeanwhile,
  SENTINEL,
  type Service,
  start,
  startServer,
  systemError,
  talk,
  UNIX,
} from "./http_server_helpers.ts";

/** Where a target leads in the folder below: a status, or the content. */
const TARGETS: readonly [target: string, want: string][] = [
  ["/plain.txt", "plain"],
  ["/%70lain.txt", "plain"],
  ["/plain%2etxt", "plain"],
  ["/a%20b.txt", "blank"],
  ["/a+b.txt", "plus"],
  ["/a%2Bb.txt", "plus"],
  ["/a&b;c=d.txt", "sub-delims"],
  ["/%c3%a4.txt", "umlaut"],
  ["/100%25.txt", "per cent"],
  ["/%2541.txt", "encoded"],
  ["/A.txt", "404"],
  ["/%41.txt", "404"],
  ["/q%3F.txt", "question"],
  ["/q?.txt", "404"],
  ["/h%23.txt", "hash"],
  ["/%3Cb%3E.txt", "tag"],
  ["/dir/x.txt", "x"],
  ["/dir//x.txt", "x"],
  ["//plain.txt", "plain"],
  ["/plain.txt/", "404"],
  ["/plain.txt//", "404"],
  ["/plain.txt/x", "404"],
  ["/plain.txt/.", "404"],
  ["/nothing", "404"],
  ["/dir/nothing/x", "404"],
  ["/Plain.txt", "404"],
  ["/./plain.txt", "plain"],
  ["/dir/../plain.txt", "plain"],
  ["/nothing/../plain.txt", "plain"],
  ["/dir/./x.txt", "x"],
  ["/dir/x/../x.txt", "x"],
  ["/%2e/plain.txt", "plain"],
  ["/dir/.%2E/plain.txt", "plain"],
  ["/dir/../dir/../plain.txt", "plain"],
  ["/dir/../../root/plain.txt", "404"],
  ["/dir/../..", "404"],
  ["/dir/%2e%2e/%2e%2e/secret.txt", "404"],
  ["/./../secret.txt", "404"],
  ["/./../plain.txt", "404"],
  ["/../plain.txt", "404"],
  ["/.git/../plain.txt", "plain"],
  ["/plain.txt/../plain.txt", "plain"],
  ["/a^b.txt", "caret"],
  ["/a%5Eb.txt", "caret"],
  ["/dir/%2e%2e/plain.txt", "plain"],
  ["/..", "404"],
  ["/../secret.txt", "404"],
  ["/../root/plain.txt", "404"],
  ["/../root-evil/secret.txt", "404"],
  ["/dir/../../secret.txt", "404"],
  ["/%2e%2e/secret.txt", "404"],
  ["/%2E%2E/secret.txt", "404"],
  ["/.%2e/secret.txt", "404"],
  ["/..%2fsecret.txt", "404"],
  ["/..%5csecret.txt", "404"],
  ["/..\\secret.txt", "400"],
  ["/%252e%252e/secret.txt", "404"],
  ["/%c0%ae%c0%ae/secret.txt", "404"],
  ["/%e0%80%ae%e0%80%ae/secret.txt", "404"],
  ["/..;/secret.txt", "404"],
  ["/../../../../../../../../etc/passwd", "404"],
  ["//etc/passwd", "404"],
  ["/%2fetc/passwd", "404"],
  ["/%2Fetc%2Fpasswd", "404"],
  ["/dir%2fx.txt", "404"],
  ["/dir%5cx.txt", "404"],
  ["/plain.txt%00", "400"],
  ["/plain.txt%00.html", "400"],
  ["/%00", "400"],
  ["/plain.txt%0a", "404"],
  ["/plain.txt%20", "404"],
  ["/%zz", "400"],
  ["/%", "400"],
  ["/plain.txt%", "400"],
  ["/%4", "400"],
  ["/%u0041", "400"],
  ["/%ff", "404"],
  ["/%c3", "404"],
  ["/%ed%a0%80", "404"],
  [`/${"x".repeat(300)}`, "404"],
  [`/${"x".repeat(7_990)}`, "404"],
  [`/${"%41".repeat(2_600)}`, "404"],
  [`/${"x/".repeat(3_900)}`, "404"],
  [`${"/".repeat(7_900)}plain.txt`, "plain"],
  [`/${"../".repeat(2_600)}`, "404"],
  ["/.env", "404"],
  ["/%2eenv", "404"],
  ["/.git/config", "404"],
  ["/.git/", "404"],
  ["/.git", "404"],
  ["/dir/.secret", "404"],
  ["/...", "404"],
  ["/.well-known/acme", "acme"],
  ["/.well-known/.secret", "404"],
  ["/dir/.well-known/acme", "404"],
  ["/.well-known/../.env", "404"],
  ["/link-in", "plain"],
  ["/link-in-dir/x.txt", "x"],
  ["/dir/up", "plain"],
  ["/self/self/plain.txt", "plain"],
  ["/link-absolute", "plain"],
  ["/link-out", "404"],
  ["/link-out-dir/secret.txt", "404"],
  ["/link-out-dir/", "404"],
  ["/link-out-dir", "404"],
  ["/link-out-dir/nothing", "404"],
  ["/link-prefix/secret.txt", "404"],
  ["/link-prefix/", "404"],
  ["/link-prefix", "404"],
  ["/link-device/", "404"],
  ["/link-hidden", "404"],
  ["/link-hidden-dir/config", "404"],
  ["/link-broken", "404"],
  ["/link-loop", "404"],
  ["/link-zero", "404"],
  ["/link-about", "404"],
  ["/fifo", "403"],
  ["/dir/fifo", "403"],
];

/** A folder with awkward names, hidden files, and links in and out. */
function makeTree(): Folder {
  const folder = new Folder({
    "plain.txt": "plain",
    "a b.txt": "blank",
    "a+b.txt": "plus",
    "a&b;c=d.txt": "sub-delims",
    "a^b.txt": "caret",
    "ä.txt": "umlaut",
    "100%.txt": "per cent",
    "%41.txt": "encoded",
    "q?.txt": "question",
    "h#.txt": "hash",
    "<b>.txt": "tag",
    "dir/x.txt": "x",
    "dir/.secret": "secret",
    "dir/.well-known/acme": "secret",
    ".env": "secret",
    ".git/config": "secret",
    "...": "secret",
    ".well-known/acme": "acme",
    ".well-known/.secret": "secret",
    "../secret.txt": "secret",
    "../root-evil/secret.txt": "secret",
    "../about.html": "secret",
  });
  const links = {
    "link-in": "plain.txt",
    "link-in-dir": "dir",
    "dir/up": "../plain.txt",
    "self": ".",
    "link-absolute": folder.path("plain.txt"),
    "link-out": "../secret.txt",
    "link-out-dir": "..",
    "link-prefix": "../root-evil",
    "link-hidden": ".env",
    "link-hidden-dir": ".git",
    "link-broken": "nowhere",
    "link-loop": "link-loop",
    "link-zero": "/dev/zero",
    "link-device": "/dev",
    "link-about.html": "../about.html",
  };
  for (const [name, target] of Object.entries(links)) folder.link(target, name);
  return folder;
}

/** Puts two FIFOs into a folder. */
async function makeFifos(folder: Folder): Promise<void> {
  const args = ["fifo", "dir/fifo"].map((name) => folder.path(name));
  await new Deno.Command("mkfifo", { args }).output();
}

for (const [target, want] of TARGETS) {
  for (const method of ["GET", "HEAD"]) {
    const name = `RFC 3986 §3.3: ${method} ${target.slice(0, 80)} is ${want}`;
    Deno.test({ name, ignore: !UNIX }, async () => {
      using folder = makeTree();
      if (target.endsWith("fifo")) await makeFifos(folder);
      await using service = start({ root: folder.root });
      const { status, body } = await ask(service.port, target, [], method);
      assert(!body.includes("secret") && !body.includes("root:"), "nothing from outside");
      if (status === 200 && method === "HEAD") assertMatch(want, /^[a-z]/);
      else assertMatch(status === 200 ? body : `${status}`, new RegExp(`^(?:${want})$`));
    });
  }
}

Deno.test({ name: "files: ten requests for a fifo block no other", ignore: !UNIX }, async () => {
  using folder = makeTree();
  await makeFifos(folder);
  await using service = start({ root: folder.root });
  const statuses = await Promise.all(Array.from({ length: 10 }, () => ask(service.port, "/fifo")));
  assert(statuses.every(({ status }) => status === 403));
  assertEquals((await ask(service.port, "/plain.txt")).body, "plain");
});

for (const target of ["/.env", "/.git/config", "/dir/.secret", "/link-hidden", "/..."]) {
  Deno.test({ name: `files: dotfiles: true serves ${target}`, ignore: !UNIX }, async () => {
    using folder = makeTree();
    await using service = start({ root: folder.root, dotfiles: true });
    assertEquals((await ask(service.port, target)).body, "secret");
  });
}

for (const target of ["/../secret.txt", "/%2e%2e/secret.txt", "/link-out"]) {
  Deno.test({ name: `files: dotfiles: true refuses ${target}`, ignore: !UNIX }, async () => {
    using folder = makeTree();
    await using service = start({ root: folder.root, dotfiles: true });
    assertEquals((await ask(service.port, target)).status, 404);
  });
}

Deno.test(
  { name: "files: a FIFO put in the place of a file never blocks", ignore: !UNIX },
  async () => {
    using folder = new Folder({ "file.txt": "content" });
    await using program = await startServer(["-p0", "-q", folder.root]);
    assertEquals((await ask(program.port, "/file.txt")).body, "content");
    await pause(400); // the server opens without blocking from now on
    await new Deno.Command("mkfifo", { args: [folder.path(".fifo")] }).output();
    const swap = `Deno.writeTextFileSync(".file", "content");
  for (let name = ".file";; name = name === ".fifo" ? ".file" : ".fifo") {
    Deno.linkSync(name, ".next");
    Deno.renameSync(".next", "file.txt");
  }`;
    const { stop } = await runMeanwhile(swap, folder.root);
    const came = new Set<string>();
    for (let round = 0; round < 500; round++) {
      const { status, body } = await ask(program.port, `/file.txt?${round}`);
      came.add(status === 200 ? body : `${status}`);
    }
    await stop();
    assert([...came].every((each) => ["content", "403", "404"].includes(each)), [...came].join());
  },
);

Deno.test({ name: "files: a socket is refused", ignore: !UNIX }, async () => {
  using folder = new Folder();
  const path = folder.path("socket");
  const holder = new Deno.Command(Deno.execPath(), {
    args: [
      "eval",
      `Deno.listen({ transport: "unix", path: "${path}" }); setTimeout(() => {}, 9e4)`,
    ],
  }).spawn();
  const made = () => Deno.readDirSync(folder.root).some(({ name }) => name === "socket");
  while (!made()) await new Promise((resolve) => setTimeout(resolve, 20));
  await using service = start({ root: folder.root });
  assertEquals((await ask(service.port, "/socket")).status, 403);
  holder.kill();
  await holder.status;
});

Deno.test(
  { name: "files: a link changed while it is asked for never leads out", ignore: !UNIX },
  async () => {
    using folder = new Folder({ "in.txt": "inside", "../out.txt": "secret" });
    folder.link("in.txt", "link");
    await using service = start({ root: folder.root });
    let on = true;
    const changing = (async () => {
      for (let out = false; on; out = !out) {
        folder.link(out ? "../out.txt" : "in.txt", "next");
        await Deno.rename(folder.path("next"), folder.path("link"));
      }
    })();
    for (let round = 0; round < 200; round++) {
      const { status, body } = await ask(service.port, `/link?${round}`);
      assertMatch(status === 200 ? body : `${status}`, /^(inside|404)$/);
    }
    on = false;
    await changing;
  },
);

// ---- Errors of the system ----------------------------------------------

/** Errors when a file is looked for, and the status. */
const SYSTEM_ERRORS: readonly (readonly [error: Error, status: number])[] = [
  ...["ENOENT", "ENOTDIR", "ELOOP", "ENAMETOOLONG", "ENXIO"].map((code) =>
    [systemError(code), 404] as const
  ),
  ...["EACCES", "EPERM"].map((code) => [systemError(code), 403] as const),
  [new Deno.errors.NotCapable("no --allow-read"), 403],
  ...["EMFILE", "ENFILE"].map((code) => [systemError(code), 503] as const),
  [systemError("EIO"), 500],
  [new Error("no code"), 500],
];

for (const [error, status] of SYSTEM_ERRORS) {
  Deno.test(`files: ${error.name} "${error.message}" gets ${status}`, async () => {
    using folder = new Folder({ "a.txt": "a" });
    await using service = start({ root: folder.root });
    using _replaced = replaced("statSync", (real) => (path) => {
      if (`${path}`.endsWith("/a.txt")) throw error;
      return real(path);
    });
    const { status: came, fields, body } = await ask(service.port, "/a.txt");
    assertEquals(came, status);
    assertMatch(body, new RegExp(`^${status} [A-Z][A-Za-z ]+\n$`), "no details of the machine");
    assertEquals(fields.get("Retry-After"), status === 503 ? "1" : undefined);
    assertEquals(service.complaints.splice(0), status === 500 ? [error] : []);
  });
}

for (const [times, status] of [[0, 200], [2, 200], [3, 404]] as const) {
  for (const key of ["ino", "dev"] as const) {
    Deno.test(`files: a file replaced ${times} times between open and check gets ${status} (${key})`, async () => {
      using folder = new Folder({ "a.txt": "a" });
      await using service = start({ root: folder.root });
      let checks = 0;
      using _replaced = replaced("lstatSync", (real) => (path) => {
        const info = real(path);
        return checks++ < times ? { ...info, [key]: Number(info[key]) + 1 } : info;
      });
      assertEquals((await ask(service.port, "/a.txt")).status, status);
      assertEquals(checks, Math.min(times + 1, 3));
      assertEquals(await openFiles(folder), []);
    });
  }

  Deno.test(`listings: a folder replaced ${times} times while it is read gets ${status}`, async () => {
    using folder = new Folder({ "d/a.txt": "a" });
    await using service = start({ root: folder.root });
    let [read, other] = [0, 0];
    using _readDir = replaced("readDir", (real) =>
      async function* (path) {
        yield* real(path);
        read++;
      });
    using _statSync = replaced("statSync", (real) => (path) => {
      const info = real(path);
      return read < times ? { ...info, ino: ++other } : info;
    });
    assertEquals((await ask(service.port, "/d/")).status, status);
    assertEquals(read, Math.min(times + 1, 3));
  });
}

Deno.test("files: a file removed between stat and open gets 404", async () => {
  using folder = new Folder({ "a.txt": "a" });
  await using service = start({ root: folder.root });
  using _replaced = replaced("statSync", (real) => (path) => {
    return real(`${path}`.replace("/gone.txt", "/a.txt"));
  });
  assertEquals((await ask(service.port, "/gone.txt")).status, 404);
});

/** Requests for files with siblings: what is opened for each is closed in the end. */
const CLOSED: readonly [target: string, fields: string[], method: string, status: number][] = [
  ["/a.txt", [], "GET", 200],
  ["/a.txt", ["Accept-Encoding: gzip, br, zstd"], "GET", 200],
  ["/a.txt", ["Accept-Encoding: gzip, br;q=0.5"], "HEAD", 200],
  ["/large.bin", [], "GET", 200],
  ["/large.bin", [], "HEAD", 200],
  ["/large.bin", ["Accept-Encoding: br"], "GET", 200],
  ["/large.bin", ["Range: bytes=1-2"], "GET", 206],
  ["/large.bin", ["Range: bytes=1-2,4-5"], "GET", 206],
  ["/large.bin", ["Range: bytes=300000-"], "GET", 416],
  ["/large.bin", ["If-None-Match: *"], "GET", 304],
  ["/large.bin", ['If-Match: "x"'], "GET", 412],
  ["/nothing", [], "GET", 404],
  ["/nothing", [], "HEAD", 404],
  ["/d", [], "GET", 307],
  ["/d/", [], "GET", 200],
];

/** The files of a folder that this process has open, on Linux. */
async function openFiles(folder: Folder): Promise<string[]> {
  if (Deno.build.os !== "linux") return [];
  const list = new Deno.Command("ls", { args: ["-l", `/proc/${Deno.pid}/fd`] });
  const { stdout } = await list.output();
  return new TextDecoder().decode(stdout).split("\n").filter((line) => line.includes(folder.root));
}

for (const [target, fields, method, status] of CLOSED) {
  Deno.test(`files: what is opened for ${method} ${target} ${fields.join()} is closed`, async () => {
    using folder = new Folder({ "a.txt": "a", "a.txt.gz": "gz", "a.txt.br": "br", "d/b.txt": "" });
    for (const name of ["large.bin", "large.bin.br", "404.html"]) folder.write(name, LARGE);
    await using service = start({ root: folder.root });
    assertEquals((await ask(service.port, target, fields, method)).status, status);
    assertEquals(await openFiles(folder), []);
  });
}

Deno.test("files: what is opened before a fault of the server is closed", async () => {
  using folder = new Folder({ "a.txt": "a", "a.txt.br": "b" });
  await using service = start({ root: folder.root });
  const fault = new Error("no hash");
  using _digest = beforeDigest(() => Promise.reject(fault));
  assertEquals((await ask(service.port, "/a.txt", ["Accept-Encoding: br"])).status, 500);
  assertEquals(service.complaints.splice(0), [fault]);
  assertEquals(await openFiles(folder), []);
});

Deno.test("files: what is opened for a response that is made again is closed", async () => {
  using folder = new Folder({ "large.bin": LARGE, "b.txt": "1" });
  await using service = start({ root: folder.root });
  assertEquals((await ask(service.port, "/b.txt?1")).body, "1");
  let hashes = 0;
  using _digest = beforeDigest(async () => {
    if (hashes++ > 0) return;
    folder.write("b.txt", "2", new Date());
    assertEquals((await ask(service.port, "/b.txt?2")).body, "2");
  });
  assertEquals((await ask(service.port, "/large.bin")).status, 200);
  assertEquals(hashes, 3, "large.bin twice, b.txt once");
  assertEquals(await openFiles(folder), []);
});

// ---- The first 50 ms, before node:fs is loaded -------------------------

/** Serves with a new copy of the module, which loads node:fs only at the end. */
async function serveAtStart(root: string, body: (port: number) => Promise<void>): Promise<void> {
  const name = `../http_server.ts?${crypto.randomUUID()}`;
  const { serve }: typeof import("../http_server.ts") = await import(name);
  const listener = Deno.listen(LOCAL);
  const ending = new AbortController();
  const { setTimeout } = globalThis;
  let load = () => {};
  Reflect.set(globalThis, "setTimeout", (call: () => void) => load = call);
  const done = serve([listener], { root, signal: ending.signal });
  globalThis.setTimeout = setTimeout;
  try {
    await body(listener.addr.port);
  } finally {
    ending.abort();
    load();
    await done;
  }
}

for (const name of ["empty", "small", "large"]) {
  Deno.test(`files: in the first 50 ms a file is sent as later: ${name}`, async () => {
    const content = name === "empty" ? "" : name === "small" ? "0123456789" : LARGE;
    using folder = new Folder({ "file.bin": content });
    await serveAtStart(folder.root, async (port) => {
      assert((await ask(port, "/file.bin")).body === content);
      if (name === "empty") return;
      for (const [first, last] of [[0, 0], [1, 9], [content.length - 9, content.length - 1]]) {
        const { body } = await ask(port, "/file.bin", [`Range: bytes=${first}-${last}`]);
        assertEquals(body, content.slice(first, Number(last) + 1));
      }
    });
  });
}

Deno.test("files: in the first 50 ms a file that is shorter than its size ends where it ends", async () => {
  using folder = new Folder({ "file.txt": "0123456789" });
  using _replaced = replaced("openSync", (real) => (path) => {
    const file = real(path);
    const state = { ...file.statSync(), size: 15 };
    return Object.assign(file, { statSync: () => state });
  });
  await serveAtStart(folder.root, async (port) => {
    const { body, fields } = await ask(port, "/file.txt");
    assertEquals([body, fields.get("Content-Length")], ["0123456789", "10"]);
  });
});

Deno.test("files: many transfers read smaller parts, 8 MiB in all and 16 KiB at least", async () => {
  using folder = new Folder({ "file.bin": new Uint8Array(600_000) });
  const sizes: number[] = [];
  const go = Promise.withResolvers<void>();
  using _replaced = replaced("openSync", (real) => (path) => {
    const file = real(path);
    const read = file.read.bind(file);
    return Object.assign(file, {
      async read(octets: Uint8Array) {
        sizes.push(octets.length);
        await go.promise;
        return await read(octets);
      },
    });
  });
  await serveAtStart(folder.root, async (port) => {
    const clients: Client[] = [];
    for (let count = 1; count <= 513; count++) {
      const client = await Client.open(port);
      clients.push(client);
      await client.send(request("/file.bin", ["Connection: close"]));
      while (sizes.length < count) await pause(0);
    }
    const at = (transfers: number) => sizes[transfers - 1];
    assertEquals([1, 16, 17, 512, 513].map(at), [524_288, 524_288, 493_447, 16_384, 16_384]);
    go.resolve();
    for (const client of clients) client[Symbol.dispose]();
    for (let tries = 0; sizes[0] !== 524_288 || sizes.length > 2; tries++) {
      assert(tries < 100, "the others have ended");
      await pause(20);
      sizes.length = 0;
      assertEquals((await ask(port, "/file.bin")).body.length, 600_000);
    }
    assertEquals(sizes, [524_288, 75_712]);
  });
});

/** Names, and the media types that they get. */
const TYPES = {
  "a.html": "text/html; charset=utf-8",
  "a.css": "text/css; charset=utf-8",
  "a.js": "text/javascript; charset=utf-8",
  "a.mjs": "text/javascript; charset=utf-8",
  "a.txt": "text/plain; charset=utf-8",
  "a.md": "text/markdown; charset=utf-8",
  "a.csv": "text/csv; charset=utf-8",
  "a.json": "application/json",
  "a.svg": "image/svg+xml",
  "a.png": "image/png",
  "A.JPG": "image/jpeg",
  "a.webp": "image/webp",
  "a.avif": "image/avif",
  "a.woff2": "font/woff2",
  "a.wasm": "application/wasm",
  "a.pdf": "application/pdf",
  "a.mp4": "video/mp4",
  "a.webm": "video/webm",
  "a.mp3": "audio/mpeg",
  "a.webmanifest": "application/manifest+json",
  "a.zip": "application/zip",
  "a.mpd": "application/dash+xml",
  "a.vcf": "text/vcard; charset=utf-8",
  "a.usdz": "model/vnd.usdz+zip",
  "a.heic": "image/heic",
  "a.avi": "video/x-msvideo",
  "a.mpg": "video/mpeg",
  "a.doc": "application/msword",
  "a.odt": "application/vnd.oasis.opendocument.text",
  "a.apk": "application/vnd.android.package-archive",
  "a.unheard-of": "text/plain; charset=utf-8",
  "README": "text/plain; charset=utf-8",
  "html": "text/plain; charset=utf-8",
  ".html/js": "text/plain; charset=utf-8",
  "a.": "text/plain; charset=utf-8",
  "a.html.": "text/plain; charset=utf-8",
};

for (const [name, type] of Object.entries(TYPES)) {
  Deno.test(`RFC 9110 §8.3: ${name} is ${type}`, async () => {
    using folder = new Folder({ [name]: "x" });
    await using service = start({ root: folder.root, dotfiles: true });
    const { fields } = await ask(service.port, `/${name}`);
    assertEquals(fields.get("Content-Type"), type);
    assertEquals(fields.get("X-Content-Type-Options"), "nosniff");
  });
}

const LETTERS = "a".repeat(65_535);

/** Contents, and the type under a name with a known extension and without one. */
const CONTENTS: readonly [rule: string, content: string, html: string, other: string][] = [
  ["ASCII", "abc", "text/html; charset=utf-8", "text/plain; charset=utf-8"],
  ["nothing", "", "text/html; charset=utf-8", "text/plain; charset=utf-8"],
  ["UTF-8", "\xc3\xa4 \xe6\x97\xa5", "text/html; charset=utf-8", "text/plain; charset=utf-8"],
  ["a byte order mark", "\xef\xbb\xbfa", "text/html; charset=utf-8", "text/plain; charset=utf-8"],
  ["an escape", "\x1b[1mbold\x1b[0m\f", "text/html; charset=utf-8", "text/plain; charset=utf-8"],
  ["GBK", "\xd6\xd0\xce\xc4", "text/html", "application/octet-stream"],
  ["Latin-1", "caf\xe9", "text/html", "application/octet-stream"],
  ["a cut character", "a\xc3", "text/html", "application/octet-stream"],
  ["NUL", "a\0b", "text/html", "application/octet-stream"],
  ["a lone octet after 64 KiB", `${LETTERS}aa\xff`, "text/html", "application/octet-stream"],
  [
    "a character across 64 KiB",
    `${LETTERS}\xc3\xa4`,
    "text/html; charset=utf-8",
    "text/plain; charset=utf-8",
  ],
];

for (const [rule, content, html, other] of CONTENTS) {
  Deno.test(`RFC 9110 §8.3.2: the charset of ${rule}`, async () => {
    using folder = new Folder({ "a.html": content, "Makefile": content, "a.png": content });
    await using service = start({ root: folder.root });
    const typeOf = async (target: string) =>
      (await ask(service.port, target)).fields.get("Content-Type");
    assertEquals(await typeOf("/a.html"), html);
    assertEquals(await typeOf("/Makefile"), other);
    assertEquals(await typeOf("/a.png"), "image/png");
  });
}

Deno.test("RFC 9110 §8.3.2: a file above 8 MiB is judged by its first 64 KiB", async () => {
  const [text, late, early] = [0, 1, 2].map(() => new Uint8Array(8_388_609).fill(0x61));
  text?.set([0xc3, 0xa4], 65_535); // a character that is cut there
  late?.set([0xff], 65_536);
  early?.set([0xff], 65_535);
  using folder = new Folder();
  for (const [name, octets] of Object.entries({ text, late, early })) {
    folder.write(`${name}.txt`, octets);
  }
  await using service = start({ root: folder.root });
  const typeOf = async (target: string) =>
    (await ask(service.port, target, [], "HEAD")).fields.get("Content-Type");
  assertEquals(await typeOf("/text.txt"), "text/plain; charset=utf-8");
  assertEquals(await typeOf("/late.txt"), "text/plain; charset=utf-8");
  assertEquals(await typeOf("/early.txt"), "text/plain");
});

Deno.test("RFC 9110 §8.3.2: the file decides about the charset of its sibling", async () => {
  using folder = new Folder({ "a.css": "\xe9", "a.css.gz": "packed", "b.css": "b" });
  folder.write("b.css.gz", "\xff packed");
  await using service = start({ root: folder.root });
  for (const [target, type] of [["/a.css", "text/css"], ["/b.css", "text/css; charset=utf-8"]]) {
    const { fields } = await ask(service.port, `${target}`, ["Accept-Encoding: gzip"]);
    assertEquals([fields.get("Content-Encoding"), fields.get("Content-Type")], ["gzip", type]);
  }
});

Deno.test("files: an awkward name from the repository", async () => {
  await using service = start();
  const target = `/${encodeURIComponent("an awkward näme, 100% & #1.txt")}`;
  assertEquals((await ask(service.port, target)).body, "awkward\n");
});

// ---- Files that change while they are sent -----------------------------

/** Asks for a huge file, changes it when the first octets have come, and reads to the end. */
async function duringTransfer(
  change: (folder: Folder) => void,
): Promise<[Client, Service, Folder]> {
  const folder = new Folder({ "huge.bin": "", "end.txt": "the end\n" });
  Deno.writeFileSync(folder.path("huge.bin"), new Uint8Array(HUGE).fill(0x61));
  const service = start({ root: folder.root });
  const client = await Client.open(service.port);
  await client.send(request("/huge.bin"));
  await client.until(/\r\n\r\n/);
  change(folder);
  await client.send(SENTINEL);
  return [client, service, folder];
}

Deno.test("changes: a file that grows does not touch the next answer", async () => {
  const [client, service, folder] = await duringTransfer((folder) => {
    const forged = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged".repeat(100_000);
    Deno.writeTextFileSync(folder.path("huge.bin"), forged, { append: true });
  });
  using _folder = folder;
  await using _service = service;
  using _client = client;
  const [first, second, ...others] = readAnswers(await client.until());
  assertEquals([first?.body.length, second?.body, others], [HUGE, "the end\n", []]);
  assert(!first?.body.includes("forged"));
});

Deno.test("changes: a file that shrinks ends the connection, and nothing is made up", async () => {
  const [client, service, folder] = await duringTransfer((folder) => {
    Deno.truncateSync(folder.path("huge.bin"), 1_000_000);
  });
  using _folder = folder;
  await using running = service;
  using _client = client;
  const begun = performance.now();
  const text = await client.until();
  assert(performance.now() - begun < 3_000, "it ends within a second");
  const [, body = ""] = /^HTTP\/1\.1 200 OK\r\n[^]*?\r\n\r\n([^]*)$/.exec(text) ?? [];
  assert(body.length < HUGE && /^a*$/.test(body), "no padding, no next answer");
  assertEquals((await ask(running.port, "/end.txt")).body, "the end\n");
  const [exchange] = running.exchanges.filter(({ due }) => due === HUGE);
  assert(exchange && exchange.sent < HUGE, "the log tells");
  running.complaints.length = 0; // it may say so
});

Deno.test("changes: a file that is replaced or removed is sent as it was", async () => {
  const [client, service, folder] = await duringTransfer((folder) => {
    folder.write("other.bin", "other");
    if (UNIX) Deno.renameSync(folder.path("other.bin"), folder.path("huge.bin"));
    if (UNIX) Deno.removeSync(folder.path("huge.bin"));
  });
  using _folder = folder;
  await using _service = service;
  using _client = client;
  const [first, second] = readAnswers(await client.until());
  assertEquals([first?.body.length, second?.body], [HUGE, "the end\n"]);
});

Deno.test("changes: while a file is written again and again, every answer is in order", async () => {
  using folder = new Folder({ "file.bin": octets(1_000) });
  await using service = start({ root: folder.root });
  let on = true;
  const changing = (async () => {
    for (let size = 1_000; on; size = (size * 7919) % 400_000) {
      await Deno.writeTextFile(folder.path("file.bin"), octets(size));
    }
  })();
  for (let round = 0; round < 100; round++) {
    const text = await talk(service.port, [request(`/file.bin?${round}`, ["Connection: close"])]);
    const [head, length] =
      /^HTTP\/1\.1 200 OK\r\n[^]*?Content-Length: (\d+)\r\n[^]*?\r\n\r\n/.exec(text) ?? [];
    assert(head && text.length - head.length <= Number(length), text.slice(0, 300));
  }
  on = false;
  await changing;
  service.complaints.length = 0;
});

Deno.test(
  { name: "changes: a file replaced again and again is always there", ignore: !UNIX },
  async () => {
    using folder = new Folder({ "file.txt": "a", "large.bin": LARGE });
    await using service = start({ root: folder.root });
    const replace = `for (;;) for (const name of ["file.txt", "large.bin"]) {
    Deno.copyFileSync(name, ".next");
    Deno.renameSync(".next", name);
  }`;
    const replacing = new Deno.Command(Deno.execPath(), {
      args: ["eval", replace],
      cwd: folder.root,
    })
      .spawn();
    const statuses = new Set<string>();
    const begun = performance.now();
    for (let round = 0; performance.now() - begun < 700; round++) {
      for (const name of ["file.txt", "large.bin"]) {
        const { status, body } = await ask(service.port, `/${name}?${round}`);
        statuses.add(`${status} ${body.length}`);
      }
    }
    replacing.kill();
    await replacing.status;
    assertEquals(statuses, new Set(["200 1", `200 ${LARGE.length}`]));
  },
);
