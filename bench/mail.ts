/**
 * How fast a mail with a large attachment leaves, and what memory that takes: smtp_client.ts
 * against curl and swaks, all to one sink on loopback that takes what comes and keeps nothing.
 * "curl, encoded" is curl with a message that was made before: it has nothing to do but to copy.
 *
 * ```sh
 * deno run --allow-all bench/mail.ts
 * ```
 *
 * @module
 */

const ROOT = new URL("..", import.meta.url).pathname;
const ROUNDS = 7;
const [SMALL, LARGE] = [25_000_000, 500_000_000];

/** A program that sends a file. */
interface Sender {
  name: string;
  install: string;
  command: (port: number, file: string) => string[];
}

const SENDERS: Sender[] = [
  {
    name: "smtp_client.ts",
    install: "",
    command: (port, file) => [
      ...[Deno.execPath(), "run", "--allow-net", "--allow-read", `${ROOT}smtp_client.ts`],
      ...["--server", `127.0.0.1:${port}`, "--tls", "none", "-f", "ann@example.org"],
      ...["-t", "bob@example.org", "-m", "see", "-a", file],
    ],
  },
  {
    name: "curl",
    install: "apt-get install curl",
    command: (port, file) => [
      ...["curl", "--silent", `smtp://127.0.0.1:${port}`, "--mail-from", "ann@example.org"],
      ...["--mail-rcpt", "bob@example.org", "-F", "=see;type=text/plain"],
      ...["-F", `file=@${file};encoder=base64`, "-H", "Subject: see"],
    ],
  },
  {
    name: "curl, encoded",
    install: "apt-get install curl",
    command: (port, file) => [
      ...["curl", "--silent", `smtp://127.0.0.1:${port}`, "--mail-from", "ann@example.org"],
      ...["--mail-rcpt", "bob@example.org", "--upload-file", `${file}.eml`],
    ],
  },
  {
    name: "swaks",
    install: "apt-get install swaks",
    command: (port, file) => [
      ...["swaks", "--server", `127.0.0.1:${port}`, "--from", "ann@example.org", "--suppress-data"],
      ...["--to", "bob@example.org", "--body", "see", "--attach", `@${file}`],
    ],
  },
];

/** Takes mail until it is killed; its port is its first line on standard output. */
async function sink(): Promise<void> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  console.log(listener.addr.port);
  for (;;) serve(await listener.accept()).catch(() => {});
}

async function serve(conn: Deno.TcpConn): Promise<void> {
  conn.setNoDelay();
  const encoder = new TextEncoder();
  const decoder = new TextDecoder();
  const octets = new Uint8Array(1 << 20);
  const say = (text: string) => conn.write(encoder.encode(`${text}\r\n`));
  await say("220 sink");
  let [text, tail, data] = ["", "", false];
  for (let count; (count = await conn.read(octets)) !== null;) {
    const chunk = octets.subarray(0, count);
    if (data) { // The final dot ends a read, because the client waits for the reply.
      tail = (tail + decoder.decode(chunk.subarray(-5))).slice(-5);
      if (tail !== "\r\n.\r\n") continue;
      data = false;
      await say("250 taken");
      continue;
    }
    text += decoder.decode(chunk);
    for (let end; (end = text.indexOf("\n")) >= 0; text = text.slice(end + 1)) {
      const verb = text.slice(0, 4).toUpperCase();
      data = verb === "DATA";
      if (verb === "EHLO") await say("250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE");
      else await say(data ? "354 go" : verb === "QUIT" ? "221 bye" : "250 ok");
    }
  }
  conn.close();
}

/** Runs a sender to its end: how long it took, in ms, and its peak memory, in MB. */
async function measure(command: string[]): Promise<{ ms: number; mb: number }> {
  const [program = "", ...args] = pinned(1, command);
  const start = performance.now();
  const child = new Deno.Command(program, { args, stdout: "null", stderr: "null" }).spawn();
  let peak = 0;
  const look = setInterval(() => {
    try {
      const status = Deno.readTextFileSync(`/proc/${child.pid}/status`);
      peak = Math.max(peak, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0));
    } catch {
      // it has ended, or the system is not Linux
    }
  }, 10);
  const { success } = await child.status;
  clearInterval(look);
  if (!success) throw new Error(`${command[0]} failed`);
  return { ms: performance.now() - start, mb: peak / 1024 };
}

const hasTaskset = await installed("taskset");

function pinned(core: number, command: string[]): string[] {
  return hasTaskset ? ["taskset", "-c", String(core), ...command] : command;
}

async function installed(program: string): Promise<boolean> {
  try {
    await new Deno.Command(program, { args: ["--version"], stdout: "null", stderr: "null" })
      .output();
    return true;
  } catch {
    return false;
  }
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;
}

async function compare(port: number, senders: Sender[], size: number, rounds: number) {
  const file = await Deno.makeTempFile({ suffix: ".bin" });
  const results = new Map(senders.map(({ name }) => [name, { ms: [0], mb: [0] }]));
  for (const result of results.values()) result.ms.length = result.mb.length = 0;
  try {
    using handle = await Deno.open(file, { write: true });
    const block = crypto.getRandomValues(new Uint8Array(50_000));
    for (let written = 0; written < size; written += block.length) await handle.write(block);
    const [program = "", ...args] = SENDERS[0]?.command(port, file) ?? [];
    const finished = await Deno.open(`${file}.eml`, { create: true, write: true });
    await new Deno.Command(program, { args: [...args, "--dry-run"], stdout: "piped" }).spawn()
      .stdout.pipeTo(finished.writable); // what "curl, encoded" has only to copy
    for (let round = 0; round < rounds; round++) {
      for (const { name, command } of senders) {
        const { ms, mb } = await measure(command(port, file));
        results.get(name)?.ms.push(ms);
        results.get(name)?.mb.push(mb);
      }
    }
  } finally {
    await Deno.remove(file);
    await Deno.remove(`${file}.eml`);
  }
  const ours = median(results.get("smtp_client.ts")?.ms ?? []);
  console.log(`\n${size / 1e6} MB attached, ${rounds} rounds: median (least to most)`);
  console.log("sender           ms                      MB/s   peak MB   its time / ours");
  for (const [name, { ms, mb }] of results) {
    const spread = `${median(ms).toFixed(0)} (${Math.min(...ms).toFixed(0)} to ${
      Math.max(...ms).toFixed(0)
    })`;
    const rate = (size / 1000 / median(ms)).toFixed(0);
    const ratio = (median(ms) / ours).toFixed(2);
    console.log(
      name.padEnd(17) + spread.padEnd(24) + rate.padEnd(7) + Math.max(...mb).toFixed(0).padEnd(10) +
        ratio,
    );
  }
}

if (Deno.args[0] === "--sink") await sink();
else {
  const senders: Sender[] = [];
  for (const sender of SENDERS) {
    if (sender.install === "" || await installed(sender.name.replace(/,.*/, ""))) {
      senders.push(sender);
    } else console.log(`skipped ${sender.name}: ${sender.install}`);
  }
  const [program = "", ...args] = pinned(0, [
    ...[Deno.execPath(), "run", "--allow-net", import.meta.filename ?? "", "--sink"],
  ]);
  const child = new Deno.Command(program, { args, stdout: "piped" }).spawn();
  const reader = child.stdout.getReader();
  const port = Number(new TextDecoder().decode((await reader.read()).value));
  try {
    await compare(port, senders, SMALL, ROUNDS);
    await compare(port, senders.filter(({ name }) => name !== "swaks"), LARGE, 5);
    console.log("(swaks holds a message in memory many times over: left out of the 500 MB)");
  } finally {
    child.kill("SIGKILL");
    await reader.cancel();
    await child.status;
  }
}
