/**
 * The web server and a real browser: headless Chromium opens what the server serves, driven by the
 * DevTools protocol over a WebSocket. Without a Chromium all of it is skipped, with a line that says so.
 *
 * ```sh
 * deno test --quiet --permission-set tests/http_server_browser.ts
 * ```
 *
 * @module
 */
import { assert, assertEquals, assertMatch } from "jsr:@std/assert@^1.0.19";
import { octetsOf, ROOT, type Running, runProgram, startProgram } from "./helpers.ts";

// ---- A browser ---------------------------------------------------------

/** What Chromium sends: the answer to a command, or an event. */
interface Message {
  id?: number;
  method?: string;
  params: Record<string, unknown>;
  result: Record<string, unknown>;
  error?: { message: string };
  sessionId?: string;
}

/** How long a page may take to do what it should, in milliseconds. */
const PATIENCE = 15_000;

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-proxy-server",
  "--mute-audio",
  "--autoplay-policy=no-user-gesture-required",
  "--host-resolver-rules=MAP evil.test 127.0.0.1",
  "--remote-debugging-port=0",
];

/** Where Chromium is on this machine; null if it is nowhere. */
export async function findChromium(): Promise<string | null> {
  const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
  for (const name of [Deno.env.get("CHROMIUM") ?? "chromium", ...names]) {
    try {
      const asked = new Deno.Command(name, { args: ["--version"], stderr: "null" });
      if ((await asked.output()).success) return name;
    } catch {
      continue; // not under this name
    }
  }
  return null;
}

/** A browser of its own, with a profile that is gone afterwards. */
export class Browser implements AsyncDisposable {
  readonly #waiting = new Map<number, (message: Message) => void>();
  readonly #listeners = new Set<(message: Message) => void>();
  #count = 0;

  private constructor(
    readonly child: Deno.ChildProcess,
    readonly profile: string,
    readonly socket: WebSocket,
    readonly talk: Promise<void>,
  ) {
    socket.onmessage = ({ data }) => {
      const message: Message = JSON.parse(data);
      if (message.id !== undefined) this.#waiting.get(message.id)?.(message);
      else for (const listener of [...this.#listeners]) listener(message);
    };
  }

  static async open(chromium: string): Promise<Browser> {
    const profile = await Deno.makeTempDir({ prefix: "http_server_browser_" });
    const child = new Deno.Command(chromium, {
      args: [...FLAGS, `--user-data-dir=${profile}`, "about:blank"],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const { promise, resolve } = Promise.withResolvers<string>();
    let told = "";
    const talk = (async () => {
      for await (const octets of child.stderr) {
        told += new TextDecoder().decode(octets);
        const [, url] = /DevTools listening on (ws:\S+)/.exec(told) ?? [];
        if (url !== undefined) resolve(url);
      }
      resolve("");
    })();
    const url = await promise;
    assert(url !== "", `${chromium} did not start: ${told.slice(-500)}`);
    const socket = new WebSocket(url);
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = reject;
    });
    return new Browser(child, profile, socket, talk);
  }

  async send(method: string, params: object = {}, sessionId?: string): Promise<Message["result"]> {
    const id = ++this.#count;
    const { promise, resolve } = Promise.withResolvers<Message>();
    this.#waiting.set(id, resolve);
    this.socket.send(JSON.stringify({ id, method, params, ...sessionId ? { sessionId } : {} }));
    const { result, error } = await promise;
    this.#waiting.delete(id);
    if (error) throw new Error(`${method}: ${error.message}`);
    return result;
  }

  listen(listener: (message: Message) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.socket.onclose = resolve);
    await this.send("Browser.close").catch(() => {});
    this.socket.close();
    await Promise.all([closed, this.child.status, this.talk]);
    for (let tries = 0; tries < 20; tries++) {
      try {
        return Deno.removeSync(this.profile, { recursive: true });
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 100)); // its helpers end a little later
      }
    }
  }
}

/** One answer that a page got. */
interface Loaded {
  url: string;
  status: number;
  /** Of the request, as it went out. */
  range: string;
}

/** One tab, with all that it complained of and all that it loaded. */
export class Page implements AsyncDisposable {
  readonly complaints: string[] = [];
  readonly loaded: Loaded[] = [];
  readonly #ranges = new Map<unknown, string>();
  #loads = Promise.withResolvers<void>();

  private constructor(
    readonly browser: Browser,
    readonly target: unknown,
    readonly session: string,
    readonly ignore: () => void,
  ) {}

  static async open(browser: Browser): Promise<Page> {
    const { targetId } = await browser.send("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await browser.send("Target.attachToTarget", { targetId, flatten: true });
    const session = `${sessionId}`;
    const page: Page = new Page(
      browser,
      targetId,
      session,
      browser.listen((message) => {
        if (message.sessionId === session) page.#hear(message);
      }),
    );
    for (const domain of ["Page", "Runtime", "Log", "Network"]) {
      await browser.send(`${domain}.enable`, {}, session);
    }
    return page;
  }

  // deno-lint-ignore no-explicit-any -- the protocol has hundreds of shapes
  #hear({ method, params }: { method?: string; params: any }): void {
    if (method === "Page.loadEventFired") this.#loads.resolve();
    if (method === "Log.entryAdded" && params.entry.level === "error") {
      this.complaints.push(`${params.entry.text} ${params.entry.url ?? ""}`);
    }
    if (method === "Runtime.exceptionThrown") this.complaints.push(params.exceptionDetails.text);
    if (method === "Runtime.consoleAPICalled" && params.type === "error") {
      this.complaints.push(JSON.stringify(params.args));
    }
    if (method === "Network.requestWillBeSent") {
      this.#ranges.set(params.requestId, params.request.headers.Range ?? "");
    }
    if (method === "Network.responseReceived") {
      const { url, status, requestHeaders = {} } = params.response;
      const range = requestHeaders.Range ?? this.#ranges.get(params.requestId) ?? "";
      this.loaded.push({ url, status, range });
    }
  }

  /** Opens an address, and waits until all of the page is there. */
  async visit(url: string): Promise<void> {
    this.#loads = Promise.withResolvers();
    const { errorText } = await this.browser.send("Page.navigate", { url }, this.session);
    assertEquals(errorText, undefined, url);
    await this.loads();
  }

  /** Waits for the page that comes next, or that was asked for by the last step. */
  async loads(): Promise<void> {
    const late = Promise.withResolvers<never>();
    const guard = setTimeout(() => late.reject(new Error("the page does not load")), PATIENCE);
    await Promise.race([this.#loads.promise, late.promise]).finally(() => clearTimeout(guard));
  }

  /** Runs an expression in the page, and waits for what it promises. */
  async run(expression: string): Promise<unknown> {
    const { result, exceptionDetails } = await this.browser.send("Runtime.evaluate", {
      expression,
      awaitPromise: true,
      returnByValue: true,
    }, this.session) as { result: { value: unknown }; exceptionDetails?: { exception: object } };
    assert(exceptionDetails === undefined, JSON.stringify(exceptionDetails?.exception));
    return result.value;
  }

  /** Follows a link of the page. */
  async follow(text: string): Promise<void> {
    this.#loads = Promise.withResolvers();
    await this.run(
      `[...document.links].find((a) => a.textContent === ${JSON.stringify(text)}).click()`,
    );
    await this.loads();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.browser.send("Target.closeTarget", { targetId: this.target });
    this.ignore();
  }
}

// ---- What it looks at --------------------------------------------------

/** A script that returns the least contrast of a text of the page with its background (WCAG 2.2). */
const LEAST_CONTRAST = `(() => {
  const luminance = (color) => {
    const canvas = document.createElement("canvas").getContext("2d");
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    const linear = (octet) => {
      const part = octet / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    };
    const [red, green, blue] = canvas.getImageData(0, 0, 1, 1).data;
    return 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
  };
  const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
  const ground = luminance(isDark ? "#121212" : "#ffffff"); // what Chromium's canvas has
  return Math.min(...[...document.querySelectorAll("h1,th,td,a,p")].map((element) => {
    const text = luminance(getComputedStyle(element).color);
    return (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
  }));
})()`;

/** Makes a tone of this length (s), 8,000 samples a second, one octet each. */
function wav(seconds: number): Uint8Array<ArrayBuffer> {
  const count = seconds * 8_000;
  const octets = new Uint8Array(44 + count);
  const view = new DataView(octets.buffer);
  octets.set(octetsOf("RIFF"));
  view.setUint32(4, 36 + count, true);
  octets.set(octetsOf("WAVEfmt "), 8);
  for (const [at, value] of [[16, 16], [24, 8_000], [28, 8_000], [40, count]] as const) {
    view.setUint32(at, value, true);
  }
  for (const [at, value] of [[20, 1], [22, 1], [32, 1], [34, 8]] as const) {
    view.setUint16(at, value, true);
  }
  octets.set(octetsOf("data"), 36);
  for (let at = 0; at < count; at++) octets[44 + at] = 128 + 20 * Math.sin(at / 5);
  return octets;
}

/** Half an hour: more than a browser fetches ahead. */
const TONE = wav(1_800);

const HOSTILE = [
  "<img src=x onerror=document.title='lost'>.txt",
  "javascript:alert(1).txt",
  '"onmouseover="alert(1).txt',
  "%41 # ? &lt;.txt",
  "ä 日本.txt",
];

async function makeFolder(): Promise<string> {
  const root = await Deno.makeTempDir({ prefix: "http_server_browser_" });
  await Deno.mkdir(`${root}/sub`);
  for (const name of HOSTILE) await Deno.writeTextFile(`${root}/sub/${name}`, `It is ${name}`);
  await Deno.writeFile(`${root}/tone.wav`, TONE);
  await Deno.writeTextFile(
    `${root}/player.html`,
    `<!DOCTYPE html><link rel="icon" href="data:,"><audio src="tone.wav" preload="metadata"></audio>`,
  );
  await Deno.writeTextFile(
    `${root}/index.html`,
    `<!DOCTYPE html><link rel="icon" href="data:,"><title>app</title><link rel="stylesheet" href="/app.css">`,
  );
  await Deno.writeTextFile(`${root}/app.css`, "html { color: rgb(1, 2, 3) }");
  return root;
}

function serve(...args: string[]): Promise<Running> {
  return startProgram("http_server.ts", ["-qp0", ...args], /at https?:\/\/\S+:(\d+)\//);
}

// ---- The tests ---------------------------------------------------------

const chromium = await findChromium();
const skipped = chromium === null ? ": skipped, no Chromium is here (apt install chromium)" : "";
const ignore = chromium === null || Deno.build.os === "windows";

Deno.test({ name: `the web server in a browser${skipped}`, ignore }, async (test) => {
  await using browser = await Browser.open(chromium ?? "");
  const root = await makeFolder();

  await test.step("the page of public/ is there, with its picture, and nothing to complain of", async () => {
    await using server = await serve(`${ROOT}public`);
    await using page = await Page.open(browser);
    await page.visit(`http://localhost:${server.port}/`);
    assertEquals(await page.run("document.title"), "Sockets, five ways");
    const pictures =
      "[...document.images].map((image) => image.complete && image.naturalWidth > 0)";
    const loaded = await page.run(pictures);
    assert(Array.isArray(loaded) && loaded.length > 0 && loaded.every((each) => each === true));
    assertEquals(page.complaints, []);
    assert(page.loaded.length > 1 && page.loaded.every(({ status }) => status === 200));
    await page.browser.send("Page.captureScreenshot", {}, page.session); // it can be drawn
  });

  await test.step("seen again, it is asked for again and has not changed", async () => {
    await using server = await serve(`${ROOT}public`);
    await using page = await Page.open(browser);
    const url = `http://localhost:${server.port}/`;
    await page.visit(url);
    const statuses = await page.run(`Promise.all([0, 1].map(async () => {
      const etag = (await fetch("/")).headers.get("ETag");
      return (await fetch("/", { cache: "no-store", headers: { "If-None-Match": etag } })).status;
    }))`);
    assertEquals(statuses, [304, 304]);
    await page.visit(url);
    assertEquals(page.complaints, []);
  });

  await test.step("a listing shows hostile names, follows them, and runs no script", async () => {
    await using server = await serve(root);
    await using page = await Page.open(browser);
    const url = `http://localhost:${server.port}/sub/`;
    for (const name of HOSTILE) {
      await page.visit(url);
      assertMatch(`${await page.run("document.title")}`, /sub/);
      assertEquals(await page.run("document.scripts.length + document.images.length"), 0);
      await page.follow(name);
      assertEquals(await page.run("location.origin"), `http://localhost:${server.port}`);
      assertEquals(await page.run("document.body.textContent"), `It is ${name}`);
    }
    // a page of text cannot name its icon, so the browser tries the usual one
    assertEquals(page.complaints.filter((text) => !text.endsWith("/favicon.ico")), []);
  });

  await test.step("a listing has contrast in light and dark, and the whole row is a link", async () => {
    await using server = await serve(root);
    await using page = await Page.open(browser);
    for (const value of ["light", "dark"]) {
      const features = [{ name: "prefers-color-scheme", value }];
      await browser.send("Emulation.setEmulatedMedia", { features }, page.session);
      await page.visit(`http://localhost:${server.port}/sub/`);
      const least = Number(await page.run(LEAST_CONTRAST));
      assert(least >= 4.5, `${value}: a contrast of ${least}`); // WCAG 2.2, 1.4.3
    }
    const isLink = `(() => {
      const row = document.querySelector("tbody tr:last-child").getBoundingClientRect();
      const found = document.elementFromPoint(row.right - 4, row.top + row.height / 2);
      return found.closest("tr").contains(found) && found.tagName;
    })()`;
    assertEquals(await page.run(isLink), "A");
    assertEquals(page.complaints, []);
  });

  await test.step("a listing fits 360 px, and breaks no word that fits a line", async () => {
    await using server = await serve(root);
    await using page = await Page.open(browser);
    const size = { width: 360, height: 640, deviceScaleFactor: 1, mobile: true };
    await browser.send("Emulation.setDeviceMetricsOverride", size, page.session);
    await page.visit(`http://localhost:${server.port}/sub/`);
    assertEquals(await page.run("document.documentElement.scrollWidth"), 360);
    const broken = `(() => {
      const words = document.createTreeWalker(document.querySelector("table"), NodeFilter.SHOW_TEXT);
      const lines = [];
      while (words.nextNode()) {
        const { textContent } = words.currentNode;
        for (const { 0: word, index } of textContent.matchAll(/[\\w.]+/g)) {
          const range = document.createRange();
          range.setStart(words.currentNode, index);
          range.setEnd(words.currentNode, index + word.length);
          if (word.length < 30 && range.getClientRects().length > 1) lines.push(word);
        }
      }
      return lines.join();
    })()`;
    assertEquals(await page.run(broken), "");
  });

  await test.step("a recording seeks by range", async () => {
    await using server = await serve(root);
    await using page = await Page.open(browser);
    await page.visit(`http://localhost:${server.port}/player.html`);
    const time = await page.run(`new Promise((resolve, reject) => {
      const audio = document.querySelector("audio");
      audio.onerror = () => reject(audio.error.message);
      audio.onseeked = () => resolve(audio.currentTime);
      const seek = () => { audio.currentTime = 1500; };
      if (audio.readyState > 0) seek();
      else audio.onloadedmetadata = seek;
      setTimeout(() => reject("it does not seek"), ${PATIENCE});
    })`);
    assertEquals(time, 1500);
    const parts = page.loaded.filter(({ url, status }) =>
      url.endsWith("tone.wav") && status === 206
    );
    const starts = parts.map(({ range }) => Number(/^bytes=(\d+)-/.exec(range)?.[1] ?? 0));
    assert(starts.some((start) => start > 8_000_000), `ranges from ${starts.join(", ")}`);
    assertEquals(page.complaints, []);
  });

  await test.step("fetch gets the ranges it asks for", async () => {
    await using server = await serve(root);
    await using page = await Page.open(browser);
    await page.visit(`http://localhost:${server.port}/player.html`);
    const got = await page.run(`(async () => {
      const answers = [];
      for (const Range of ["bytes=0-3", "bytes=8-11", "bytes=-2", "bytes=99999999-"]) {
        const response = await fetch("/tone.wav", { headers: { Range } });
        answers.push([response.status, [...new Uint8Array(await response.arrayBuffer())].slice(0, 4)]);
      }
      return answers;
    })()`);
    assert(Array.isArray(got));
    assertEquals(got.slice(0, 3), [
      [206, [...octetsOf("RIFF")]],
      [206, [...octetsOf("WAVE")]],
      [206, [...TONE.subarray(-2)]],
    ]);
    assertEquals(got[3]?.[0], 416);
  });

  await test.step("an app with routes of its own comes back from any of them (--spa)", async () => {
    await using server = await serve("--spa", root);
    await using page = await Page.open(browser);
    await page.visit(`http://localhost:${server.port}/users/42`);
    assertEquals(await page.run("document.title"), "app");
    assertEquals(
      await page.run("getComputedStyle(document.documentElement).color"),
      "rgb(1, 2, 3)",
    );
    assertEquals(await page.run(`fetch("/nothing.css").then(({ status }) => status)`), 404);
  });

  await test.step("a page from elsewhere reads nothing, unless it may (--cors)", async () => {
    await using own = await serve(root);
    await using open = await serve("--cors", root);
    await using page = await Page.open(browser);
    await page.visit(`http://127.0.0.1:${own.port}/player.html`);
    const read = (port: number) =>
      page.run(`fetch("http://localhost:${port}/app.css", { headers: { "X-A": "b" } })
        .then((response) => response.text(), () => "refused")`);
    assertEquals(await read(own.port), "refused");
    assertEquals(await read(open.port), "html { color: rgb(1, 2, 3) }");
    // another name that leads to this machine: DNS rebinding
    await page.visit(`http://evil.test:${own.port}/app.css`);
    assertEquals(page.loaded.at(-1)?.status, 421);
  });

  await test.step("--wire shows a request of another program, also after the page was hidden", async () => {
    await using server = await serve("--wire", root);
    await using page = await Page.open(browser);
    while (!server.stderr.includes("token=")) await new Promise((go) => setTimeout(go, 10));
    const [, url = ""] = /the wire is at (\S+)/.exec(server.stderr) ?? [];
    await page.visit(url);
    const shows = (text: string) =>
      page.run(`new Promise((resolve) => {
        const look = () => document.body.innerText.includes(${JSON.stringify(text)})
          ? resolve([...document.querySelectorAll("li:last-child > div")].map((row) =>
              [row.className, row.textContent]))
          : setTimeout(look, 10);
        look();
      })`);
    await shows("live");
    await shows("GET /.wire?token=[token] HTTP/1.1");
    const hostile = "<img src=x onerror=document.title='lost'>";
    const client = ["-sA", hostile, `http://127.0.0.1:${server.port}/app.css?1`];
    assertEquals((await runProgram("http_client.ts", client)).code, 0);
    await shows("GET /app.css?1 HTTP/1.1");
    await shows(`User-Agent: ${hostile}`);
    const rows = await shows("Content-Length: 28");
    assert(Array.isArray(rows));
    assertEquals(rows[0], ["response", "> HTTP/1.1 200 OK"]);
    assertEquals(await page.run("document.title"), "The wire");
    const hide = (hidden: boolean) =>
      page.run(`Object.defineProperty(document, "hidden", { value: ${hidden}, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"))`);
    await hide(true);
    await shows("paused while hidden");
    await runProgram("http_client.ts", ["-s", `http://127.0.0.1:${server.port}/app.css?2`]);
    await hide(false);
    await shows("live");
    await runProgram("http_client.ts", ["-s", `http://127.0.0.1:${server.port}/app.css?3`]);
    await shows("GET /app.css?3 HTTP/1.1");
    assertEquals(await page.run("document.body.innerText.includes('app.css?2')"), false);
    assertEquals(page.complaints, []);
    // Another origin gets nothing, even with the token.
    await page.visit(`http://127.0.0.1:${server.port}/player.html`);
    const foreign = url.replace("localhost", "127.0.0.1:1").replace(/:1:\d+/, `:${server.port}`);
    assertEquals(foreign.startsWith(`http://127.0.0.1:${server.port}/.wire?token=`), true);
    const read = (target: string) =>
      page.run(`fetch(${JSON.stringify(target)}).then(({ status }) => status, () => "refused")`);
    assertEquals(await read(foreign), 200, "same origin");
    assertEquals(await read(url), "refused", "localhost is another origin than 127.0.0.1");
  });

  await test.step("twelve at once over kept connections", async () => {
    await using server = await serve(root);
    await using page = await Page.open(browser);
    await page.visit(`http://localhost:${server.port}/player.html`);
    const sizes = await page.run(`Promise.all(Array.from({ length: 120 }, (_, at) =>
      fetch("/app.css?" + at).then((response) => response.text()).then(({ length }) => length)))`);
    assertEquals(sizes, Array(120).fill(28));
  });

  await Deno.remove(root, { recursive: true });
});
