/**
 * The README's table of permissions: with exactly these a program does its work; with one less it
 * says, in one line, which one is missing.
 *
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "jsr:@std/assert@^1.0.19";
import { LOCAL, receive, runProgram, send, startProgram } from "./helpers.ts";

interface Row {
  program: string;
  /** Arguments, separated by blanks. PORT is the peer's port or a free one, FILE a temporary file. */
  args: string;
  /** What it may do, one by one: none of it can be missing. */
  needs: string[];
  /** What else it may do. */
  may?: string[];
  /** Who answers at PORT. */
  peer?: keyof typeof PEERS;
  code?: number;
  /** What it prints when it may do all that; the web server is asked for its page instead. */
  says?: string;
}

const SERVER = "http_server.ts";
const LOOPBACK = ["net=127.0.0.1:PORT", "net=[::1]:PORT"];
const CERT = "tests/testdata/tls/localhost.pem";
const KEY = "tests/testdata/tls/localhost.key";
const SVG = "public/sockets.svg";
const URL = "http://127.0.0.1:PORT/";
const MAIL = "--tls none --server 127.0.0.1:PORT -f ann@example.org -t bob@example.org";

const CLIENT: Omit<Row, "args" | "needs"> = { program: "http_client.ts", peer: "web", says: "" };
const PINGER: Omit<Row, "args" | "needs"> = { program: "udp_pinger.ts", peer: "echo" };
const MAILER: Omit<Row, "args" | "needs"> = { program: "smtp_client.ts", peer: "mail", code: 69 };
const REPLIED = "1 packet transmitted, 1 received, 0% packet loss";
const REFUSED = "554 5.3.2 not today";

const ROWS: Row[] = [
  { program: SERVER, args: "-p PORT public", needs: [...LOOPBACK, "read=public"] },
  {
    program: SERVER,
    args: "-b 127.0.0.1 -p PORT public",
    needs: ["net=127.0.0.1:PORT", "read=public"],
  },
  {
    program: SERVER,
    args: "--lan -p PORT public",
    needs: ["net=0.0.0.0:PORT", "net=[::]:PORT", "read=public"],
  },
  {
    program: SERVER,
    args: `--cert ${CERT} --key ${KEY} -p PORT public`,
    needs: [...LOOPBACK, "read=public", `read=${CERT}`, `read=${KEY}`],
  },
  {
    program: SERVER,
    args: "--auth @FILE -p PORT public",
    needs: [...LOOPBACK, "read=public", "read=FILE"],
  },
  { program: SERVER, args: "-t 2 -p PORT public", needs: LOOPBACK, may: ["read=."] },

  { ...CLIENT, args: URL, needs: ["net=127.0.0.1:PORT"], says: "hello" },
  { ...CLIENT, args: `-o FILE ${URL}`, needs: ["net=127.0.0.1:PORT", "write=FILE"] },
  { ...CLIENT, args: `-d @FILE ${URL}`, needs: ["net=127.0.0.1:PORT", "read=FILE"] },
  {
    ...CLIENT,
    peer: "rest",
    args: `-C - -o FILE ${URL}`,
    needs: ["net=127.0.0.1:PORT", "read=FILE", "write=FILE"],
  },
  { ...CLIENT, args: `-T FILE ${URL}`, needs: ["net=127.0.0.1:PORT", "read=FILE"], says: "hello" },
  {
    ...CLIENT,
    args: "-x 127.0.0.1:PORT http://a.invalid/",
    needs: ["net=127.0.0.1:PORT"],
    says: "hello",
  },
  {
    ...CLIENT,
    args: "--resolve a.invalid:PORT:127.0.0.1 http://a.invalid:PORT/",
    needs: ["net=127.0.0.1:PORT"],
    says: "hello",
  },
  { ...CLIENT, args: `--cacert ${CERT} ${URL}`, needs: ["net=127.0.0.1:PORT", `read=${CERT}`] },

  { program: "udp_ping_server.ts", args: "-p PORT", needs: ["net"] },
  {
    program: "udp_ping_server.ts",
    args: "-p PORT --heartbeat --exec cat",
    needs: ["net", "run=cat"],
  },

  {
    ...PINGER,
    args: "-c 1 127.0.0.1 PORT",
    needs: ["net=0.0.0.0:0", "net=127.0.0.1:PORT"],
    says: REPLIED,
  },
  {
    ...PINGER,
    args: "-c 1 localhost PORT",
    needs: ["net=0.0.0.0:0", "net=127.0.0.1:PORT", "net=localhost"],
    says: REPLIED,
  },
  {
    ...PINGER,
    args: "--heartbeat -c 1 127.0.0.1 PORT",
    needs: ["net=0.0.0.0:0", "net=127.0.0.1:PORT"],
    says: "heartbeat sent",
  },

  { ...MAILER, args: `${MAIL} -m Hi`, needs: ["net=127.0.0.1:PORT"], says: REFUSED },
  ...["-m Hi -a", "--body-file", "--html-file", "-m Hi --ca"].map((options) => ({
    ...MAILER,
    args: `${MAIL} ${options} ${options.endsWith("--ca") ? CERT : SVG}`,
    needs: ["net=127.0.0.1:PORT", `read=${options.endsWith("--ca") ? CERT : SVG}`],
    says: REFUSED,
  })),
  {
    ...MAILER,
    args: `${MAIL} --eml FILE`,
    needs: ["net=127.0.0.1:PORT", "read=FILE"],
    says: REFUSED,
  },
];

/** Who answers: each hears on a port of its own until it is closed. */
const PEERS = {
  web: () => say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", true),
  rest: () =>
    say(
      "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 11-15/16\r\nContent-Length: 5\r\n\r\nhello",
      true,
    ),
  mail: () => say("554 5.3.2 not today\r\n221 bye\r\n", false),
  echo: () => echo(),
};

interface Peer {
  port: number;
  close(): Promise<void>;
}

/** Says the same to every client, after its first words or at once. */
function say(text: string, waits: boolean): Peer {
  const listener = Deno.listen(LOCAL);
  const serving = (async () => {
    for await (const conn of listener) {
      if (waits) await conn.read(new Uint8Array(4096));
      await send(conn, [text]);
      await receive(conn);
      conn.close();
    }
  })();
  return { port: listener.addr.port, close: () => (listener.close(), serving) };
}

function echo(): Peer {
  const socket = Deno.listenDatagram({ ...LOCAL, transport: "udp" });
  const echoing = (async () => {
    for await (const [octets, from] of socket) await socket.send(octets, from);
  })();
  const { port } = socket.addr as Deno.NetAddr; // a UDP socket has no other
  return { port, close: () => (socket.close(), echoing) };
}

/** Returns a port that was free a moment ago, because a permission names a fixed port. */
function freePort(): Peer {
  using listener = Deno.listen(LOCAL);
  return { port: listener.addr.port, close: () => Promise.resolve() };
}

/** Runs a row as it is granted; a server until it has answered. */
async function runRow({ program, code = 0, says = "" }: Row, args: string[], allow: string[]) {
  if (!program.endsWith("server.ts")) {
    const { stdout, stderr, ...outcome } = await runProgram(program, args, { allow });
    assertStringIncludes(stdout + stderr, says);
    return assertEquals(outcome.code, code, stderr);
  }
  await using server = await startProgram(program, args, /(?:port |https?:.*?:)(\d+)/, { allow });
  assert(server.port > 0, server.stderr);
  if (program === SERVER) {
    const scheme = args.includes("--cert") ? "https" : "http";
    const url = `${scheme}://localhost:${server.port}/`;
    const { stdout } = await runProgram("http_client.ts", ["-k", "-u", "me:secret", url]);
    assertStringIncludes(stdout, "It works.");
  }
  assertEquals((await server.stop()).code, 0);
}

for (const row of ROWS) {
  Deno.test(`${row.program} ${row.args}: needs ${row.needs.join(", ")}`, async () => {
    const peer = row.peer === undefined ? freePort() : PEERS[row.peer]();
    const file = await Deno.makeTempFile();
    const reset = () => Deno.writeTextFile(file, "me:secret\n\n"); // a resumed file grows
    const fill = (text: string) =>
      text.replaceAll("PORT", String(peer.port)).replaceAll("FILE", file);
    const args = fill(row.args).split(" ");
    const [needs, may] = [row.needs.map(fill), (row.may ?? []).map(fill)];
    const allowing = (
      grants: string[],
    ) => ["--unstable-net", ...grants.map((grant) => `--allow-${grant}`)];

    await reset();
    await runRow(row, args, allowing([...needs, ...may]));
    for (const missing of needs) {
      await reset();
      const allow = allowing([...needs, ...may].filter((grant) => grant !== missing));
      const { code, stderr } = await runProgram(row.program, args, { allow });
      const complaints = stderr.split("\n").filter((line) => line.includes("not allowed"));
      assertEquals(complaints.length, 1, stderr);
      assert(complaints[0]?.endsWith(`; add --allow-${missing}`), stderr);
      assert(code !== 0, `ends with ${code} although ${missing} is missing`);
    }
    await Deno.remove(file);
    await peer.close();
  });
}

Deno.test("smtp_client.ts reads SMTP_SERVER and SMTP_FROM with --allow-env, and names both without", async () => {
  const peer = PEERS.mail();
  const server = `127.0.0.1:${peer.port}`;
  const run = (allow: string[], env: Record<string, string>, ...args: string[]) =>
    runProgram("smtp_client.ts", ["-t", "bob@example.org", "-m", "Hi", ...args], { allow, env });
  const env = { SMTP_SERVER: server, SMTP_FROM: "ann@example.org" };
  const net = `--allow-net=${server}`;
  const whole = await run([net, "--allow-env=SMTP_SERVER,SMTP_FROM"], env, "--tls", "none");
  assertStringIncludes(whole.stderr, REFUSED);
  for (const args of [[], ["--server", server]]) {
    const { code, stderr } = await run([net], env, ...args);
    assertEquals(code, 2);
    assertStringIncludes(stderr, "grant --allow-env");
  }
  await peer.close();
});

Deno.test("smtp_client.ts reads SMTP_PASSWORD with --allow-env, and names it without", async () => {
  const peer = PEERS.mail();
  const server = `127.0.0.1:${peer.port}`;
  const args = ["--server", server, "-u", "me", "-f", "ann@example.org", "-t", "bob@example.org"];
  const run = (...allow: string[]) =>
    runProgram("smtp_client.ts", [...args, "-m", "Hi"], {
      allow,
      env: { SMTP_PASSWORD: "secret" },
    });
  const whole = await run(`--allow-net=${server}`, "--allow-env");
  assertStringIncludes(whole.stderr, REFUSED);
  const { code, stderr } = await run(`--allow-net=${server}`);
  assertEquals(code, 2);
  assertStringIncludes(stderr, "--allow-env");
  await peer.close();
});
