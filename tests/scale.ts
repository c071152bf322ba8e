/**
 * Three of our web servers behind nginx and behind HAProxy, with the configurations of
 * `docs/scale.md`: the same ETag from each, a download that changes servers, and a server that is
 * killed under load.
 *
 * ```sh
 * deno task test:scale
 * ```
 *
 * @module
 */
import { assert, assertEquals } from "jsr:@std/assert@^1.0.19";
import { ROOT, type Running, runProgram, startProgram } from "./helpers.ts";

/** Ports in the document, which the tests replace by free ones. */
const PORTS = { servers: [8001, 8002, 8003], nginx: 8080, haproxy: 8081 } as const;

/** Size of the file that is downloaded in two parts: hashed, so just under 8 MiB (octets). */
const SIZE = 8_000_000;

const document = await Deno.readTextFile(`${ROOT}docs/scale.md`);

/** The block of the document that is marked with this word. */
function configuration(kind: string): string {
  const [, text] = new RegExp(`^\`\`\`${kind}\n([^]*?)^\`\`\``, "m").exec(document) ?? [];
  assert(text !== undefined, `docs/scale.md has no block "${kind}"`);
  return text;
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

async function isInstalled(program: string): Promise<boolean> {
  const { success } = await new Deno.Command("which", { args: [program] }).output();
  return success;
}

/** Starts a server on a copy of the site; the copy's times and inodes are its own. */
async function startServer(folder: string, port: number): Promise<Running> {
  return await startProgram(
    "http_server.ts",
    ["-q", "-p", String(port), "--allow-host", "www.example.org", folder],
    /:(\d+)/,
  );
}

/** A proxy in front of three servers. */
interface Site extends AsyncDisposable {
  url: string;
  servers: Running[];
  /** Starts a server again on its port. */
  restart: (at: number) => Promise<void>;
}

/** How each proxy is started in a folder of its own. */
const PROXIES: Record<string, (config: string, folder: string) => Promise<string[]>> = {
  nginx: async (config, folder) => {
    const isRoot = (await new Deno.Command("id", { args: ["-u"] }).output()).stdout[0] === 0x30;
    const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
      .map((name) => `${name}_temp_path ${folder}/${name};`).join(" ");
    await Deno.writeTextFile(
      `${folder}/nginx.conf`,
      `${isRoot ? "user root; " : ""}pid ${folder}/pid; daemon off; error_log ${folder}/error.log;
       events {} http { access_log off; ${paths}\n${config} }`,
    );
    return ["nginx", "-e", `${folder}/error.log`, "-c", `${folder}/nginx.conf`];
  },
  haproxy: async (config, folder) => {
    await Deno.writeTextFile(`${folder}/haproxy.cfg`, `${config}\n`);
    return ["haproxy", "-db", "-f", `${folder}/haproxy.cfg`];
  },
};

async function startSite(kind: "nginx" | "haproxy"): Promise<Site> {
  const folder = await Deno.makeTempDir();
  const content = crypto.getRandomValues(new Uint8Array(50_000));
  const large = new Uint8Array(SIZE).map((_, at) => content[at % 49_999] ?? 0);
  const folders = PORTS.servers.map((port) => `${folder}/${port}`);
  for (const each of folders) {
    await Deno.mkdir(each);
    await Deno.writeTextFile(`${each}/index.html`, "<h1>It works.</h1>\n");
    await Deno.writeFile(`${each}/large.bin`, large);
    await new Promise((resolve) => setTimeout(resolve, 20)); // so that the times differ
  }
  const servers = await Promise.all(folders.map((each) => startServer(each, 0)));
  const port = freePort();
  let config = configuration(kind).replaceAll(`:${PORTS[kind]}`, `:${port}`);
  for (const [at, of] of PORTS.servers.entries()) {
    config = config.replaceAll(`:${of}`, `:${servers[at]?.port}`);
  }
  const [command = "", ...args] = await PROXIES[kind]?.(config, folder) ?? [];
  const proxy = new Deno.Command(command, { args, stdout: "null", stderr: "null" }).spawn();
  const url = `http://127.0.0.1:${port}/`;
  await until(async () => (await statusOf(url)) === 200, `${kind} answers`);
  return {
    url,
    servers,
    restart: async (at) => {
      const { port: its = 0 } = servers[at] ?? {};
      servers[at] = await startServer(folders[at] ?? "", its);
    },
    async [Symbol.asyncDispose]() {
      proxy.kill("SIGTERM");
      await proxy.status;
      for (const server of servers) await server.stop();
      await Deno.remove(folder, { recursive: true });
    },
  };
}

async function until(isSo: () => Promise<boolean>, what: string): Promise<void> {
  for (const since = performance.now(); !await isSo();) {
    assert(performance.now() < since + 15_000, `never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Returns the status of a response, or the error. */
async function statusOf(url: string): Promise<number | string> {
  try {
    const response = await fetch(url);
    await response.body?.cancel();
    return response.status;
  } catch (error) {
    return String(error);
  }
}

for (const kind of ["nginx", "haproxy"] as const) {
  const ignore = !await isInstalled(kind);
  const name = ignore ? `${kind} (apt-get install ${kind})` : kind;
  const options = { ignore, sanitizeOps: false, sanitizeResources: false }; // fetch keeps connections

  Deno.test(`scale, ${name}: each server gives the same ETag`, options, async () => {
    await using site = await startSite(kind);
    const tags = new Set<string | null>();
    for (const { port } of site.servers) {
      const response = await fetch(`http://127.0.0.1:${port}/large.bin`, { method: "HEAD" });
      tags.add(response.headers.get("ETag"));
    }
    for (let count = 0; count < 6; count++) {
      const response = await fetch(`${site.url}large.bin`, { method: "HEAD" });
      tags.add(response.headers.get("ETag"));
    }
    assertEquals(tags.size, 1);
    assertEquals(/^"[^"]+"$/.test([...tags][0] ?? ""), true); // a strong one
  });

  Deno.test(`scale, ${name}: a download goes on at another server`, options, async () => {
    await using site = await startSite(kind);
    const folder = await Deno.makeTempDir();
    const url = `${site.url}large.bin`;
    const whole = new Uint8Array(await (await fetch(url)).arrayBuffer());
    const got = `${folder}/got.bin`;
    const first = await runProgram("http_client.ts", ["-s", "-r", "0-3999999", "-o", got, url]);
    assertEquals(first.code, 0, first.stderr);
    await site.servers[0]?.stop("SIGKILL");
    await site.servers[1]?.stop("SIGKILL"); // only the third is left
    const rest = await runProgram("http_client.ts", ["-s", "-C", "-", "-o", got, url]);
    assertEquals(rest.code, 0, rest.stderr);
    assertEquals(await Deno.readFile(got), whole);
    await Deno.remove(folder, { recursive: true });
  });

  Deno.test(
    `scale, ${name}: a range under the ETag of another server is 206`,
    options,
    async () => {
      await using site = await startSite(kind);
      const [first, , third] = site.servers;
      const head = await fetch(`http://127.0.0.1:${first?.port}/large.bin`, { method: "HEAD" });
      const headers = { "Range": "bytes=100-199", "If-Range": head.headers.get("ETag") ?? "" };
      const part = await fetch(`http://127.0.0.1:${third?.port}/large.bin`, { headers });
      assertEquals([part.status, (await part.bytes()).length], [206, 100]);
    },
  );

  for (const signal of ["SIGKILL", "SIGTERM"] as const) {
    Deno.test(
      `scale, ${name}: ${signal} to a server under load, no client sees an error`,
      options,
      async () => {
        await using site = await startSite(kind);
        const seen = new Map<number | string, number>();
        let isOver = false;
        const load = Array.from({ length: 8 }, async () => {
          while (!isOver) {
            const status = await statusOf(site.url);
            seen.set(status, (seen.get(status) ?? 0) + 1);
          }
        });
        const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
        await wait(1_000);
        await site.servers[1]?.stop(signal);
        await wait(1_500);
        await site.restart(1);
        await wait(1_500);
        isOver = true;
        await Promise.all(load);
        assertEquals([...seen.keys()], [200], JSON.stringify([...seen]));
        assert((seen.get(200) ?? 0) > 300, `only ${seen.get(200)} responses`);
      },
    );
  }
}
