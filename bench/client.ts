/**
 * The web client against curl: 1 GiB from loopback, and small files, one run each.
 *
 * ```sh
 * deno run --allow-all bench/client.ts [--files 200] [--rounds 5]
 * ```
 *
 * nginx serves, or where it is missing a small server in this process. The two clients take turns;
 * the table shows medians, their spread and the ratio.
 *
 * @module
 */
import { option, run, wholeNumber } from "../cli.ts";

const ROOT = new URL("..", import.meta.url).pathname;
const GIB = 1 << 30;

/** One run of a program: how long it took, in ms, and its peak memory in MiB (NaN if unknown). */
interface Run {
  time: number;
  memory: number;
}

const CLIENTS: Record<string, string[]> = {
  "http_client.ts": [
    ...[Deno.execPath(), "run", "--no-prompt", "--allow-net", "--allow-read", "--allow-write"],
    ...[`${ROOT}http_client.ts`, "-sf"],
  ],
  curl: ["curl", "-sf"],
};

/** Whether a program is there; a line says how to get it where it is not. */
async function has(program: string, flag = "--version"): Promise<boolean> {
  try {
    await new Deno.Command(program, { args: [flag], stdout: "null", stderr: "null" }).output();
    return true;
  } catch {
    console.log(`${program} is missing: apt-get install ${program}`);
    return false;
  }
}

/** Words that put a command on another core than the server; none without taskset. */
const PINNED = navigator.hardwareConcurrency > 1 && await has("taskset")
  ? (core: number) => ["taskset", "-c", String(core)]
  : () => [];

/** Runs a command; peak memory comes from /proc, asked for while it runs. */
async function measure([program = "", ...args]: string[], watch: boolean): Promise<Run> {
  const began = performance.now();
  const child = new Deno.Command(program, { args, stdout: "null", stderr: "inherit" }).spawn();
  let memory = NaN;
  const look = () => {
    try {
      const status = Deno.readTextFileSync(`/proc/${child.pid}/status`);
      memory = Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? NaN) / 1024 || memory;
    } catch {
      // it has ended, or this is not Linux
    }
  };
  const timer = watch ? setInterval(look, 20) : undefined;
  const { code } = await child.status;
  clearInterval(timer);
  if (code !== 0) throw new Error(`${program} ended with ${code}`);
  return { time: performance.now() - began, memory };
}

/** Serves a folder with nginx on one core; gives the port, and what stops it. */
async function startNginx(folder: string): Promise<[port: number, stop: () => Promise<void>]> {
  const probe = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = probe.addr;
  probe.close();
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  await Deno.writeTextFile(
    `${folder}/nginx.conf`,
    `worker_processes 1; daemon off; pid ${folder}/pid; error_log ${folder}/error.log;
     events { worker_connections 64; }
     http { access_log off; sendfile on; ${
      temporary.map((name) => `${name}_temp_path ${folder}/${name};`).join(" ")
    } server { listen 127.0.0.1:${port}; root ${folder}/www; } }`,
  );
  const [program = "", ...args] = [...PINNED(0), "nginx", "-c", `${folder}/nginx.conf`];
  const child = new Deno.Command(program, { args, stdout: "null", stderr: "null" }).spawn();
  for (let tries = 0; tries < 100; tries++) {
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port })).close();
      break;
    } catch {
      await new Promise((done) => setTimeout(done, 20));
    }
  }
  return [port, async () => {
    child.kill("SIGTERM");
    await child.status;
  }];
}

/** Serves zeros from this process, where nginx is missing: 1 GiB as `/1g`, 1 KiB as the rest. */
function startOurs(): [port: number, stop: () => Promise<void>] {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const block = new Uint8Array(1 << 18);
  const serve = async (conn: Deno.TcpConn) => {
    const request = new Uint8Array(4096);
    await conn.read(request);
    const size = new TextDecoder().decode(request).startsWith("GET /1g ") ? GIB : 1024;
    const head = `HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\nConnection: close\r\n\r\n`;
    await conn.write(new TextEncoder().encode(head));
    for (let left = size; left > 0;) left -= await conn.write(block.subarray(0, left));
    conn.close();
  };
  (async () => {
    for await (const conn of listener) serve(conn).catch(() => {});
  })();
  return [listener.addr.port, () => Promise.resolve(listener.close())];
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;
}

/** Lets the clients take turns at something, and prints a table. */
async function compare(
  title: string,
  clients: [string, string[]][],
  rounds: number,
  run: (command: string[]) => Promise<Run>,
): Promise<void> {
  const runs = new Map(clients.map(([name]) => [name, [] as Run[]]));
  for (let round = 0; round < rounds; round++) {
    for (const [name, command] of clients) runs.get(name)?.push(await run(command));
  }
  console.log(`\n${title}, ${rounds} rounds`);
  console.log(
    `${"".padEnd(16)}${"median ms".padStart(10)}${"min-max".padStart(14)}${"MiB".padStart(6)}`,
  );
  const medians: number[] = [];
  for (const [name, found] of runs) {
    const times = found.map(({ time }) => time);
    const spread = `${Math.min(...times).toFixed(0)}-${Math.max(...times).toFixed(0)}`;
    const memory = Math.max(...found.map(({ memory }) => memory));
    medians.push(median(times));
    console.log(
      name.padEnd(16) + median(times).toFixed(1).padStart(10) + spread.padStart(14) +
        (Number.isNaN(memory) ? "-" : memory.toFixed(0)).padStart(6),
    );
  }
  const [ours = NaN, theirs = NaN] = medians;
  if (medians.length > 1) console.log(`speed, curl = 1: ${(theirs / ours).toFixed(2)}`);
}

const OPTIONS = {
  files: option("--files N", "small files in a row", wholeNumber(1, 10_000), "200"),
  rounds: option("--rounds N", "measurements of each row", wholeNumber(1, 60), "5"),
};

await run({
  name: "client",
  summary: "Measures the web client against curl.",
  usage: ["[options]"],
  options: OPTIONS,
  example: "deno task bench:client --rounds 1",
  exitStatuses: "0 done, 1 cannot measure, 2 usage",
}, async ({ options: { files, rounds } }) => {
  const clients = Object.entries(CLIENTS).map(([name, command]): [string, string[]] => [
    name,
    [...PINNED(1), ...command],
  ]);
  if (!await has("curl")) clients.pop();
  const folder = await Deno.makeTempDir();
  await Deno.chmod(folder, 0o755); // nginx's worker is another user
  await Deno.mkdir(`${folder}/www`);
  await Deno.writeFile(`${folder}/www/1k`, new Uint8Array(1024));
  const isNginx = await has("nginx", "-v");
  if (isNginx) {
    await Deno.writeFile(`${folder}/www/1g`, new Uint8Array(0));
    await Deno.truncate(`${folder}/www/1g`, GIB); // a hole: the disk has no part in this
  }
  const [port, stop] = isNginx ? await startNginx(folder) : startOurs();
  const url = `http://127.0.0.1:${port}`;
  try {
    console.log(`served by ${isNginx ? "nginx" : "this benchmark"}; Deno ${Deno.version.deno}`);
    await compare(
      "1 GiB to /dev/null",
      clients,
      rounds,
      (command) => measure([...command, "-o", "/dev/null", `${url}/1g`], true),
    );
    await compare(
      "1 GiB to a file",
      clients,
      rounds,
      (command) => measure([...command, "-o", `${folder}/out`, `${url}/1g`], true),
    );
    await compare(`${files} files of 1 KiB in ${files} runs`, clients, rounds, async (command) => {
      const began = performance.now();
      for (let count = 0; count < files; count++) {
        await measure([...command, "-o", `${folder}/small`, `${url}/1k`], false);
      }
      return { time: performance.now() - began, memory: NaN };
    });
  } finally {
    await stop();
    await Deno.remove(folder, { recursive: true });
  }
  return 0;
});
