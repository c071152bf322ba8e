/**
 * The web client against servers that others wrote, over http and https, from 1 octet to 1 GiB,
 * byte for byte; and against our own, as soon as it is there. Not part of the plain test run:
 *
 * ```sh
 * deno test --permission-set tests/http_client_real.ts
 * ```
 *
 * A server that is missing is skipped with a line that says how to get it.
 */
import { assert, assertEquals } from "jsr:@std/assert@^1.0.19";
import { LOCAL, ROOT, runProgram, TLS } from "./helpers.ts";

const SIZES = {
  "1": 1,
  "1k": 1024,
  "64k": 65_536,
  "1m": 1 << 20,
  "100m": 100 << 20,
  "1g": 1 << 30,
};

/** A server: its command line for a folder and a port. */
interface Server {
  name: string;
  program: string;
  /** How to get it. */
  get: string;
  secure: boolean;
  /** True if it supports ranges. */
  ranges: boolean;
  command: (folder: string, port: number) => string[];
}

const NODE = (folder: string, port: number, secure: boolean) => `
const fs = require("fs");
const options = { key: fs.readFileSync("${TLS}localhost.key"), cert: fs.readFileSync("${TLS}localhost.pem") };
const answer = (request, response) => {
  const path = "${folder}/www" + new URL(request.url, "http://h").pathname;
  if (!fs.existsSync(path)) return response.writeHead(404).end("no");
  if (request.method === "HEAD") return response.writeHead(200).end();
  fs.createReadStream(path).pipe(response); // without a length: chunked
};
const server = ${secure} ? require("https").createServer(options, answer) : require("http").createServer(answer);
server.listen(${port}, "127.0.0.1");`;

const PYTHON = (folder: string, port: number) => `
import functools, http.server, ssl
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory="${folder}/www")
server = http.server.ThreadingHTTPServer(("127.0.0.1", ${port}), handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("${TLS}localhost.pem", "${TLS}localhost.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()`;

/** nginx takes no configuration on its command line: this writes one. */
function nginx(folder: string, port: number, secure: boolean): string[] {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  const paths = temporary.map((name) => `${name}_temp_path ${folder}/${name};`).join(" ");
  const tls = `ssl_certificate ${TLS}localhost.pem; ssl_certificate_key ${TLS}localhost.key;`;
  Deno.writeTextFileSync(
    `${folder}/nginx-${port}.conf`,
    `daemon off; pid ${folder}/pid-${port}; error_log ${folder}/error.log; events {}
     http { access_log off; gzip on; gzip_types *; ${paths}
       server { listen 127.0.0.1:${port}${secure ? " ssl" : ""}; ${
      secure ? tls : ""
    } root ${folder}/www; } }`,
  );
  return ["-c", `${folder}/nginx-${port}.conf`];
}

/** Writes the configuration of Apache, whose 416 has no Content-Range. */
function apache(folder: string, port: number): string[] {
  const modules = "/usr/lib/apache2/modules";
  Deno.writeTextFileSync(
    `${folder}/apache.conf`,
    `ServerRoot ${folder}
     ServerName localhost
     PidFile ${folder}/apache.pid
     ErrorLog ${folder}/apache.log
     LoadModule mpm_event_module ${modules}/mod_mpm_event.so
     LoadModule authz_core_module ${modules}/mod_authz_core.so
     Listen 127.0.0.1:${port}
     DocumentRoot ${folder}/www
     <Directory ${folder}/www>
       Require all granted
     </Directory>`,
  );
  return ["-f", `${folder}/apache.conf`, "-DFOREGROUND"];
}

/** Writes the configuration of lighttpd, whose 416 has no Content-Range, either. */
function lighttpd(folder: string, port: number): string[] {
  Deno.writeTextFileSync(
    `${folder}/lighttpd.conf`,
    `server.document-root = "${folder}/www"
     server.bind = "127.0.0.1"
     server.port = ${port}`,
  );
  return ["-D", "-f", `${folder}/lighttpd.conf`];
}

const OURS = `${ROOT}http_server.ts`;
const ours = (folder: string, port: number, more: string[]) => [
  ...["run", "--allow-all", "--unstable-net", OURS, "-q", "-p", String(port), ...more],
  `${folder}/www`,
];

const SERVERS: Server[] = [false, true].flatMap((secure) => [
  {
    ...{ name: "nginx", program: "nginx", get: "apt-get install nginx", secure, ranges: true },
    command: (folder, port) => nginx(folder, port, secure),
  },
  {
    ...{ name: "Python's http.server", program: "python3", get: "apt-get install python3" },
    ...{ secure, ranges: false },
    command: (folder, port) =>
      secure
        ? ["-c", PYTHON(folder, port)]
        : ["-m", "http.server", "-b", "127.0.0.1", "-d", `${folder}/www`, String(port)],
  },
  {
    ...{
      name: "Node's http",
      program: "node",
      get: "apt-get install nodejs",
      secure,
      ranges: false,
    },
    command: (folder, port) => ["-e", NODE(folder, port, secure)],
  },
  {
    ...{ name: "http_server.ts", program: Deno.execPath(), get: "", secure, ranges: true },
    command: (folder, port) =>
      ours(
        folder,
        port,
        secure ? ["--cert", `${TLS}localhost.pem`, "--key", `${TLS}localhost.key`] : [],
      ),
  },
]);

const PLAIN = { secure: false, ranges: true };
SERVERS.push(
  { name: "Apache", program: "apache2", get: "apt-get install apache2", ...PLAIN, command: apache },
  {
    name: "lighttpd",
    program: "lighttpd",
    get: "apt-get install lighttpd",
    ...PLAIN,
    command: lighttpd,
  },
);

/** Tells whether a program is installed; prints how to get it otherwise. */
async function has({ program, name, get }: Server): Promise<boolean> {
  try {
    if (name === "http_server.ts") await Deno.stat(OURS);
    await new Deno.Command(program, { args: ["-v"], stdout: "null", stderr: "null" }).output();
    return true;
  } catch {
    console.log(`skipped: ${name} is missing${get && `: ${get}`}`);
    return false;
  }
}

/** Starts a server, and waits until it listens. */
async function start(server: Server, folder: string): Promise<[Deno.ChildProcess, number]> {
  const probe = Deno.listen(LOCAL);
  const { port } = probe.addr;
  probe.close();
  const args = server.command(folder, port);
  const child = new Deno.Command(server.program, { args, stdout: "null", stderr: "null" }).spawn();
  for (let tries = 0;; tries++) {
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port })).close();
      return [child, port];
    } catch (error) {
      if (tries > 200) throw error;
      await new Promise((done) => setTimeout(done, 50));
    }
  }
}

/** A file of a size, of octets that do not repeat soon. */
async function makeFile(path: string, size: number): Promise<void> {
  using file = await Deno.create(path);
  const block = new Uint8Array(Math.min(size, 1 << 20));
  for (let left = size, count = 0; left > 0; left -= block.length, count++) {
    for (let at = 0; at < block.length; at += 65_536) {
      crypto.getRandomValues(block.subarray(at, at + 65_536));
      if (count > 0) break; // a fresh start of each block is enough
    }
    for (let sent = 0; sent < Math.min(left, block.length);) {
      sent += await file.write(block.subarray(sent));
    }
  }
}

async function assertSameFile(one: string, other: string): Promise<void> {
  const { code } = await new Deno.Command("cmp", { args: [one, other] }).output();
  assertEquals(code, 0, `${one} and ${other} differ`);
}

const folder = await Deno.makeTempDir();
await Deno.chmod(folder, 0o755); // nginx's worker may be another user
await Deno.mkdir(`${folder}/www`);
for (const [name, size] of Object.entries(SIZES)) await makeFile(`${folder}/www/${name}`, size);
await Deno.writeTextFile(`${folder}/www/text.html`, "<p>hello</p>\n".repeat(1000));
Deno.test.afterAll(() => Deno.remove(folder, { recursive: true }));

for (const server of SERVERS) {
  const scheme = server.secure ? "https" : "http";
  Deno.test(`${server.name}, ${scheme}`, { ignore: !await has(server) }, async (t) => {
    const [child, port] = await start(server, folder);
    const url = `${scheme}://localhost:${port}`;
    const saved = `${folder}/saved`;
    const client = (...args: string[]) =>
      runProgram("http_client.ts", ["--cacert", `${TLS}ca.pem`, ...args]);
    for (const name of Object.keys(SIZES)) {
      await t.step(`${name}, byte for byte`, async () => {
        const { code, stderr } = await client("-4", "-s", "-o", saved, `${url}/${name}`);
        assertEquals(code, 0, stderr);
        await assertSameFile(saved, `${folder}/www/${name}`);
      });
    }
    await t.step("a text, decoded", async () => {
      const { code, stdout, stderr } = await client(`${url}/text.html`);
      assertEquals({ code, stderr }, { code: 0, stderr: "" });
      assertEquals(stdout, await Deno.readTextFile(`${folder}/www/text.html`));
    });
    await t.step("HEAD", async () => {
      const { code, stdout } = await client("-I", `${url}/1m`);
      assertEquals(code, 0);
      assert(/^HTTP\/1\.[01] 200 /.test(stdout), stdout);
    });
    await t.step("404 with -f", async () => {
      assertEquals((await client("-f", `${url}/nothing`)).code, 22);
    });
    await t.step("without a check, -k", async () => {
      const { code } = await runProgram("http_client.ts", ["-sk", "-o", saved, `${url}/1m`]);
      assertEquals(code, 0);
      await assertSameFile(saved, `${folder}/www/1m`);
    });
    await t.step("-C - goes on, or leaves the file as it is", async () => {
      const half = await Deno.open(saved, { write: true, create: true, truncate: true });
      await half.write((await Deno.readFile(`${folder}/www/1m`)).subarray(0, 12_345));
      half.close();
      const { code, stderr } = await client("-v", "-C", "-", "-o", saved, `${url}/1m`);
      assertEquals(code, server.ranges ? 0 : 33, stderr);
      assertEquals(/^< HTTP\/1\.[01] 206 /m.test(stderr), server.ranges);
      if (server.ranges) await assertSameFile(saved, `${folder}/www/1m`);
      else assertEquals((await Deno.stat(saved)).size, 12_345);
    });
    await t.step("-C - on a complete file is success, on a longer one it is not", async () => {
      await Deno.copyFile(`${folder}/www/1m`, saved);
      const { code, stderr } = await client("-C", "-", "-o", saved, `${url}/1m`);
      assertEquals(code, server.ranges ? 0 : 33, stderr);
      await Deno.writeTextFile(saved, "x", { append: true });
      assertEquals((await client("-C", "-", "-o", saved, `${url}/1m`)).code, 33);
      assertEquals((await Deno.stat(saved)).size, SIZES["1m"] + 1);
    });
    child.kill("SIGTERM");
    await child.status;
  });
}

// ---- Proxies and uploads -----------------------------------------------

/** A port that was free a moment ago. */
function freePort(): number {
  using probe = Deno.listen(LOCAL);
  return probe.addr.port;
}

/** Starts a program that listens on that port; undefined, and a line, if it is not installed. */
async function startOn(port: number, program: string, args: string[], get: string) {
  let child: Deno.ChildProcess;
  try {
    child = new Deno.Command(program, { args, stdout: "null", stderr: "null" }).spawn();
  } catch {
    console.log(`skipped: ${program} is missing: apt-get install ${get}`);
    return;
  }
  for (let tries = 0; tries < 200; tries++) {
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port })).close();
      break;
    } catch {
      await new Promise((done) => setTimeout(done, 50));
    }
  }
  return {
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await child.status;
    },
  };
}

/** Proxies that want user and password, and make tunnels to one port. */
const PROXIES: Record<string, (port: number, origin: number) => [path: string, text: string]> = {
  tinyproxy: (port, origin) => [
    `${folder}/tinyproxy.conf`,
    `Port ${port}\nListen 127.0.0.1\nTimeout 60\nLogFile "${folder}/tinyproxy.log"\n` +
    `Allow 127.0.0.1\nBasicAuth proxy secret\nConnectPort ${origin}\n`,
  ],
  squid: (port, origin) => [
    `${folder}/squid.conf`,
    `http_port 127.0.0.1:${port}\npid_filename ${folder}/squid.pid\n` +
    `shutdown_lifetime 0\ncache_log ${folder}/squid.log\naccess_log none\ncache deny all\ncoredump_dir ${folder}\n` +
    "netdb_filename none\nauth_param basic program /usr/lib/squid/basic_fake_auth\n" +
    `acl users proxy_auth REQUIRED\nacl origin port ${origin}\n` +
    "http_access deny CONNECT !origin\nhttp_access allow users\nhttp_access deny all\n",
  ],
};
const PROXY_COMMANDS: Record<string, (config: string) => string[]> = {
  tinyproxy: (config) => ["-d", "-c", config],
  squid: (config) => ["-N", "-f", config],
};

for (const [name, configure] of Object.entries(PROXIES)) {
  for (const scheme of ["http", "https"]) {
    Deno.test(`${name}, ${scheme}`, async () => {
      const [port, origin] = [freePort(), freePort()];
      const [config, text] = configure(port, origin);
      await Deno.writeTextFile(config, text);
      const command = PROXY_COMMANDS[name]?.(config) ?? [];
      await using proxy = await startOn(port, name, command, name);
      if (proxy === undefined) return;
      const secure = ["--cert", `${TLS}localhost.pem`, "--key", `${TLS}localhost.key`];
      const server = ours(folder, origin, scheme === "https" ? secure : []);
      await using _server = await startOn(origin, Deno.execPath(), server, "");
      const saved = `${folder}/saved`;
      const url = `${scheme}://localhost:${origin}`;
      const args = ["-x", `127.0.0.1:${port}`, "--cacert", `${TLS}ca.pem`, "-s", "-o", saved];
      const client = (...more: string[]) => runProgram("http_client.ts", [...args, ...more]);
      const { code, stderr } = await client("-U", "proxy:secret", `${url}/100m`);
      assertEquals(code, 0, stderr);
      await assertSameFile(saved, `${folder}/www/100m`);
      const refused = await client("-f", `${url}/1m`);
      assertEquals(refused.code, scheme === "https" ? 56 : 22, refused.stderr);
      assert(/407/.test(refused.stderr), refused.stderr);
      if (scheme === "http") return;
      const forbidden = await client("-U", "proxy:secret", "https://localhost:1/");
      assertEquals(forbidden.code, 56);
      assert(/refused a tunnel to localhost:1: 403/.test(forbidden.stderr), forbidden.stderr);
    });
  }
}

/** Web servers that take uploads into `dav/`, up to 1 MB into `dav/small/`. */
const DAV: Record<string, { get: string; configure: (port: number) => string }> = {
  nginx: {
    get: "nginx",
    configure: (port) =>
      `daemon off; pid ${folder}/dav.pid; error_log ${folder}/dav.log; events {}
       http { access_log off; client_body_temp_path ${folder}/client_body;
         ${
        ["proxy", "fastcgi", "uwsgi", "scgi"].map((kind) => `${kind}_temp_path ${folder}/${kind};`)
          .join(" ")
      }
         server { listen 127.0.0.1:${port}; root ${folder}; dav_methods PUT;
           client_max_body_size 2g; location /moved { return 307 /dav/moved; }
           location /dav/small/ { client_max_body_size 1m; } } }`,
  },
  apache2: {
    get: "apache2",
    configure: (port) =>
      `ServerName localhost\nListen 127.0.0.1:${port}\nPidFile ${folder}/apache.pid\n` +
      `ErrorLog ${folder}/apache.log\nDocumentRoot ${folder}\nUser www-data\nGroup www-data\n` +
      ["mpm_event", "authz_core", "dav", "dav_fs", "alias"].map((module) =>
        `LoadModule ${module}_module /usr/lib/apache2/modules/mod_${module}.so\n`
      ).join("") +
      `DavLockDB ${folder}/lock\n<Directory ${folder}>\nDav On\nRequire all granted\n` +
      "</Directory>\n<Location /dav/small>\nLimitRequestBody 1000000\n</Location>\n" +
      "Redirect 307 /moved /dav/moved\n",
  },
};

for (const [name, { get, configure }] of Object.entries(DAV)) {
  Deno.test(`${name}: uploads`, async () => {
    const port = freePort();
    const config = `${folder}/${name}-dav.conf`;
    await Deno.writeTextFile(config, configure(port));
    await Deno.mkdir(`${folder}/dav/small`, { recursive: true });
    for (const path of ["", "dav", "dav/small"]) await Deno.chmod(`${folder}/${path}`, 0o777);
    const command = name === "nginx" ? ["-c", config] : ["-f", config, "-DFOREGROUND"];
    await using server = await startOn(port, name, command, get);
    if (server === undefined) return;
    const url = `http://127.0.0.1:${port}`;
    const client = (...args: string[]) => runProgram("http_client.ts", ["-sf", ...args]);
    for (const size of ["1", "1m", "1g"]) {
      const { code, stderr } = await client("-T", `${folder}/www/${size}`, `${url}/dav/`);
      assertEquals(code, 0, stderr);
      await assertSameFile(`${folder}/dav/${size}`, `${folder}/www/${size}`);
    }
    const piped = await runProgram("http_client.ts", ["-T", "-", `${url}/dav/piped`], {
      stdin: "hello".repeat(100_000),
    });
    assertEquals(piped.code, 0, piped.stderr);
    assertEquals((await Deno.readTextFile(`${folder}/dav/piped`)).length, 500_000);
    const moved = await client("-L", "-T", `${folder}/www/100m`, `${url}/moved`);
    assertEquals(moved.code, 0, moved.stderr);
    await assertSameFile(`${folder}/dav/moved`, `${folder}/www/100m`);
    const refused = await client("-T", `${folder}/www/100m`, `${url}/dav/small/x`);
    assertEquals(refused.code, 22, refused.stderr);
    assert(/413/.test(refused.stderr), refused.stderr);
  });
}

// ---- Names with several addresses --------------------------------------

/**
 * Gives a shell a network and a file of hosts of its own. Of the addresses of many.test only
 * 10.9.0.8 answers; what goes to the others is lost.
 */
const NETWORK = `
ip link set lo up
ip addr add 10.9.0.8/32 dev lo; ip route add 10.9.0.0/24 dev lo src 10.9.0.8
ip addr add fd00::1/128 dev lo; ip -6 route add fd00::/64 dev lo src fd00::1
printf '10.9.0.8 many.test\\nfd00::5 many.test\\nfd00::6 many.test\\n' > "$1/hosts"
mount --bind "$1/hosts" /etc/hosts
shift
"$2" run -A --unstable-net http_server.ts -q -b 10.9.0.8 -p 8000 "$1" &
trap "kill $!" EXIT
until "$2" eval 'await Deno.connect({ hostname: "10.9.0.8", port: 8000 })' 2> /dev/null; do :; done
`;

/** Runs the client in that network. */
async function inNetwork(args: string[]): Promise<{ code: number; stderr: string }> {
  const client = `"$2" run -A http_client.ts ${args.join(" ")} http://many.test:8000/1`;
  const { code, stderr } = await new Deno.Command("unshare", {
    args: ["-mn", "bash", "-c", NETWORK + client, "bash", folder, `${folder}/www`, Deno.execPath()],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
  }).output();
  return { code, stderr: new TextDecoder().decode(stderr) };
}

/** Tells whether this user may have a network of its own. */
async function canUnshare(): Promise<boolean> {
  try {
    return (await new Deno.Command("unshare", { args: ["-mn", "true"] }).output()).success;
  } catch {
    return false;
  }
}

const ignore = !await canUnshare();
if (ignore) console.log("skipped: names with several addresses need unshare and root");
for (
  const [rule, args, code, addresses, limit] of [
    ["the families take turns", ["-v"], 0, "fd00::5, 10.9.0.8, fd00::6", 500],
    ["-4 takes no other family", ["-4", "-v"], 0, "10.9.0.8", 250],
    ["-6 takes no other family", ["-6", "-v", "-m", "0.6"], 28, "fd00::5, fd00::6", 0],
  ] as const
) {
  Deno.test(`RFC 8305: ${rule}`, { ignore }, async () => {
    const outcome = await inNetwork([...args, "-so", "/dev/null"]);
    assertEquals(outcome.code, code, outcome.stderr);
    assert(outcome.stderr.includes(`* many.test is ${addresses}\n`), outcome.stderr);
    if (code !== 0) return;
    const [, time = ""] = /connect ([\d.]+) /.exec(outcome.stderr) ?? [];
    assert(Number(time) < limit * 2, `${time} ms to connect`);
  });
}
