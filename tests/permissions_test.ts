/**
 * The README's table of permissions: with exactly these flags a program works; with one less it
 * says, in one line, which one is missing.
 *
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { LOCAL, receive, ROOT, runProgram, send } from "./helpers.ts";

/** A port of loopback that was free a moment ago. */
function freePort(): number {
  using listener = Deno.listen(LOCAL);
  return listener.addr.port;
}

/** Says the same to every client, after its first words or at once, until it is closed. */
async function say(listener: Deno.TcpListener, text: string, waits: boolean): Promise<void> {
  for await (const conn of listener) {
    if (waits) await conn.read(new Uint8Array(4096));
    await send(conn, [text]);
    await receive(conn);
    conn.close();
  }
}

/** Echoes until it is closed. */
async function echo(socket: Deno.DatagramConn): Promise<void> {
  for await (const [octets, from] of socket) await socket.send(octets, from);
}

interface Row {
  program: string;
  args: string[];
  /** The flags that it needs; those of files are given as PATH. */
  flags: string[];
  code: number;
  /** What it prints when it may do everything. */
  says: string;
}

/** Runs a row with all of its flags, then with each of them missing. */
async function check({ program, args, flags, code, says }: Row): Promise<void> {
  const whole = await runProgram(program, args, { allow: flags });
  assertStringIncludes(whole.stdout + whole.stderr, says);
  assertEquals(whole.code, code);
  for (const missing of flags) {
    const allow = flags.filter((flag) => flag !== missing);
    const { code, stderr } = await runProgram(program, args, { allow });
    const [name = ""] = missing.split("=");
    assertStringIncludes(stderr, name, `${program} without ${missing}`);
    assertEquals(stderr.trimEnd().split("\n").length, 1, stderr);
    assert(code !== 0, `${program} without ${missing} ends with ${code}`);
  }
}

Deno.test("http_server: the port it listens on, the folder it serves", async () => {
  const port = freePort();
  const flags = [`--allow-net=127.0.0.1:${port}`, "--allow-read=public"];
  const args = ["-b", "127.0.0.1", "-p", String(port), "public"];
  for (const missing of flags) {
    const allow = flags.filter((flag) => flag !== missing);
    const { code, stderr } = await runProgram("http_server.ts", args, { allow });
    assertEquals(code, 1);
    assertStringIncludes(stderr, missing);
  }
  await using server = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", ...flags, "http_server.ts", ...args],
    cwd: ROOT,
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const reader = server.stderr.getReader();
  await reader.read(); // the banner: it listens
  using conn = await Deno.connect({ hostname: "127.0.0.1", port });
  await send(conn, ["GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"]);
  assertStringIncludes(await receive(conn), "It works.");
  server.kill("SIGTERM");
  while (!(await reader.read()).done);
});

Deno.test("http_client: the host, and the file that it writes", async () => {
  const listener = Deno.listen(LOCAL);
  const serving = say(listener, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", true);
  const file = await Deno.makeTempFile();
  await check({
    program: "http_client.ts",
    args: ["-o", file, `http://127.0.0.1:${listener.addr.port}/`],
    flags: [`--allow-net=127.0.0.1:${listener.addr.port}`, `--allow-write=${file}`],
    code: 0,
    says: "",
  });
  assertEquals(await Deno.readTextFile(file), "hello");
  await Deno.remove(file);
  listener.close();
  await serving;
});

Deno.test("udp_pinger: its own socket, and the host", async () => {
  const socket = Deno.listenDatagram({ ...LOCAL, transport: "udp" });
  const { port } = socket.addr as Deno.NetAddr; // a UDP socket has no other
  const echoing = echo(socket);
  await check({
    program: "udp_pinger.ts",
    args: ["-c", "1", "127.0.0.1", String(port)],
    flags: [`--allow-net=0.0.0.0:0,127.0.0.1:${port}`],
    code: 0,
    says: "1 packets transmitted, 1 received, 0% packet loss",
  });
  socket.close();
  await echoing;
});

Deno.test("udp_ping_server: any client, for it answers them", async () => {
  const { code, stderr } = await runProgram("udp_ping_server.ts", ["-p", "0"], { allow: [] });
  assertEquals(code, 1);
  assertStringIncludes(stderr, "--allow-net");
});

Deno.test("smtp_client: the server, and the files that go along", async () => {
  const listener = Deno.listen(LOCAL);
  const serving = say(listener, "554 5.3.2 not today\r\n", false);
  const server = `127.0.0.1:${listener.addr.port}`;
  const mail = ["-f", "ann@example.org", "-t", "bob@example.org", "-m", "Hi"];
  await check({
    program: "smtp_client.ts",
    args: ["--tls", "none", "--server", server, ...mail, "-a", "public/sockets.svg"],
    flags: [`--allow-net=${server}`, "--allow-read=public/sockets.svg"],
    code: 69,
    says: "554 5.3.2 not today",
  });
  listener.close();
  await serving;
});
