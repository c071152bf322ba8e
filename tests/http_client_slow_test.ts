// deno-lint-ignore-file no-control-regex no-regex-spaces
/**
 * What waits for real time: limits, attempts, progress, signals, slow peers and slow readers.
 *
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "jsr:@std/assert@^1.0.19";
import zlib from "node:zlib";
import { toByteString } from "../protocol.ts";
import { certificate, LOCAL, runProgram } from "./helpers.ts";
import {
  BIG,
  BLIND,
  chunked,
  coded,
  DONE,
  has,
  OK,
  RESET,
  resetting,
  type Row,
  runHere,
  ScriptedServer,
  shell,
  STAY,
  testRows,
  testShell,
  testTerminal,
  to,
} from "./http_client_helpers.ts";

/** Time limits and pauses between attempts. */
const ROWS: Row[] = [
  { rule: "-m: ends a wait for the header", sends: [[STAY]], args: ["-m", "0.4", "URL"], code: 28 },
  {
    rule: "-m: ends a wait for the body",
    sends: [[`${OK}Content-Length: 5\r\n\r\nhe`, STAY]],
    args: ["-m", "0.4", "URL"],
    out: /^(he)?$/,
    code: 28,
  },
  {
    rule: "-m: ends a wait inside a chunk",
    sends: [[chunked("5\r\nhe"), STAY]],
    args: ["-m", "0.4", "URL"],
    out: /^(he)?$/,
    code: 28,
  },
  {
    rule: "-m: counts all redirections together",
    sends: [[250, to("/x")]],
    args: ["-L", "-m", "0.7", "URL"],
    code: 28,
  },
  {
    rule: "-m: a response within the limit is accepted",
    sends: [[50, DONE]],
    args: ["-m", "5", "URL"],
    out: "done",
  },
  {
    rule: "--connect-timeout: does not limit the response",
    sends: [[400, DONE]],
    args: ["--connect-timeout", "0.3", "URL"],
    out: "done",
  },
  {
    rule: "--connect-timeout: limits the TLS handshake",
    sends: [[BLIND, 1500, RESET]],
    args: ["--connect-timeout", "0.4", "https://127.0.0.1:PORT/"],
    code: 28,
  },
  {
    rule: "-m: limits the TLS handshake",
    sends: [[BLIND, 1500, RESET]],
    args: ["-m", "0.4", "https://127.0.0.1:PORT/"],
    code: 28,
  },
];

testRows(ROWS);

testTerminal([
  {
    rule: "terminal: progress has a bar where the length is known",
    sends: [[
      `${OK}Content-Length: 100\r\n\r\n${"x".repeat(50)}`,
      800,
      "x".repeat(10),
      300,
      "x".repeat(40),
    ]],
    args: ["-o", "/dev/null", "URL"],
    shows: /\r#{12}-{8}  60 B  [\d.]+ k?B\/s of 100 B  00:00:0\d left\x1b\[K[^]*\r\x1b\[Ksaved/,
  },
  {
    rule: "terminal: progress counts octets where the length is unknown",
    sends: [[`${OK}\r\n${"x".repeat(50)}`, 800, "x".repeat(50), 300, "x"]],
    args: ["-o", "/dev/null", "URL"],
    shows: /\r100 B  [\d.]+ k?B\/s\x1b\[K/,
  },
  {
    rule: "terminal: Ctrl-C prints what is kept and how to resume",
    sends: [[`${OK}Content-Length: 100\r\n\r\nhello`, STAY]],
    args: ["-o", "FILE", "URL"],
    code: 130,
    interrupt: true,
    shows:
      /5 bytes kept in [^]*; to resume: deno run -NRW http_client\.ts -C - -o [^]*\r\nhttp_client: Interrupted\r\n$/,
  },
  {
    rule: "terminal: Ctrl-C ends the prompt for a password",
    sends: [[DONE]],
    args: ["-u", "me", "URL"],
    code: -2, // by the signal itself
    interrupt: true,
    shows: "Password for me: ",
  },
  {
    rule: "terminal: Ctrl-C ends reading standard input",
    sends: [[DONE]],
    args: ["-d", "@-", "URL"],
    code: -2,
    interrupt: true,
    shows: "^C",
  },
  {
    rule: "terminal: Ctrl-C before the header is exit 130",
    sends: [[STAY]],
    code: 130,
    interrupt: true,
    shows: "http_client: Interrupted",
  },
], !await has("python3"));

testShell([
  {
    rule: "shell: a closed pipe ends the program without a message",
    line: "{ CLIENT URL; echo $? >&2; } | head -c 5",
    sends: [[`${OK}\r\n${BIG}`, 200, BIG]],
    out: /^xxxxx$/,
    err: /^23\n$/,
  },
  {
    rule: "shell: -m ends a wait for a FIFO that is not read",
    line: "f=$(mktemp -u); mkfifo $f; sleep 3 <> $f & CLIENT -m 1 -o $f URL; echo $?; rm $f",
    sends: [[`${OK}\r\n${BIG}`, BIG, BIG]],
    out: /^28\n$/,
    err: /http_client: Not done within 1 s/,
  },
  {
    rule: "shell: -m ends a wait for a pipe that is not read",
    line: "{ CLIENT -m 1 URL; echo $? >&2; } | sleep 3",
    sends: [[`${OK}\r\n${BIG}`, BIG, BIG]],
    out: /^$/,
    err: /Not done within 1 s\n28\n/,
  },
]);

/** A reader that waits before it takes the first octets. */
function slowReader(wait: number) {
  let body = "";
  return {
    async write(octets: Uint8Array) {
      if (body === "") await new Promise((done) => setTimeout(done, wait));
      body += toByteString(octets);
      return octets.length;
    },
    isTerminal: () => false,
    get body() {
      return body;
    },
  };
}

for (
  const [where, response] of Object.entries({
    "a body without a length": `${OK}\r\nhello`,
    "a body with a length": `${OK}Content-Length: 9\r\n\r\nhello`,
    "a chunk": chunked("9\r\nhello"),
    "a chunked body": chunked("5\r\nhello\r\n"),
  })
) {
  Deno.test(`a server that stops after a part of ${where} is given up after the read timeout`, async () => {
    await using server = new ScriptedServer(
      [[response, STAY]],
      (text) => [text],
      Deno.listen(LOCAL),
    );
    const outcome = await runHere([`:${server.port}`], { readTimeout: 300 });
    const stderr = "http_client: The server sent nothing for 0.3 s\n";
    assertEquals(outcome, { code: 28, stdout: "hello", stderr });
  });
}

for (
  const [framing, response] of Object.entries({
    "with a length": `${OK}Content-Length: ${BIG.length}\r\n\r\n${BIG}`,
    "in chunks": chunked(`100000\r\n${BIG}\r\n0\r\n\r\n`),
  })
) {
  Deno.test(`a slow reader of a body ${framing} does not time the server out`, async () => {
    await using server = new ScriptedServer([[response]], (text) => [text], Deno.listen(LOCAL));
    const stdout = slowReader(4_500);
    const { code, stderr } = await runHere([`:${server.port}`], { readTimeout: 1_500, stdout });
    assertEquals(code, 0, stderr);
    assertEquals(stdout.body.length, BIG.length);
  });
}

Deno.test("-k: a slow reader gets all that came before the end", async () => {
  const listener = Deno.listenTls({ ...LOCAL, ...await certificate("other") });
  const sends = [[`${OK}Content-Length: ${BIG.length}\r\n\r\n${BIG}`]];
  await using server = new ScriptedServer(sends, (text) => [text], listener);
  const stdout = slowReader(300);
  const { code, stderr } = await runHere(["-sk", `https://127.0.0.1:${server.port}/`], { stdout });
  assertEquals(code, 0, stderr);
  assertEquals(stdout.body.length, BIG.length);
});

Deno.test("--retry waits until the last write of the attempt before is done", async () => {
  const sends = [[`${OK}Content-Length: 5\r\n\r\nhe`, STAY], [
    "HTTP/1.1 206 P\r\nContent-Range: bytes 2-4/5\r\nContent-Length: 3\r\n\r\nllo",
  ]];
  await using server = new ScriptedServer(sends, (text) => [text], Deno.listen(LOCAL));
  const stdout = slowReader(1_000);
  const args = ["-m", "0.3", "--retry", "1", "--no-compressed", `:${server.port}`];
  const { code, stderr } = await runHere(args, { stdout, firstPause: 10 });
  assertEquals({ code, body: stdout.body }, { code: 0, body: "hello" }, stderr);
  assertStringIncludes(server.requests[1] ?? "", "Range: bytes=2-\r\n");
});

const SLOW = [
  {
    rule: "RFC 9112 §9.5: a server that reads only a part of the body is exit 55",
    check: async () => {
      const file = await Deno.makeTempFile();
      await Deno.writeFile(file, new Uint8Array(16 << 20).fill(0x61));
      const { code, stderr } = await resetting("", ["-d", `@${file}`]);
      await Deno.remove(file);
      assertEquals(code, 55, stderr);
    },
  },
  {
    rule: "--retry: a request that is sent in part is tried again",
    check: async () => {
      const file = await Deno.makeTempFile();
      await Deno.writeFile(file, new Uint8Array(16 << 20).fill(0x61));
      const { code, stderr } = await resetting("", ["--retry", "1", "-d", `@${file}`]);
      await Deno.remove(file);
      assertEquals(code, 55, stderr);
      assertStringIncludes(stderr, ": again in 1 s, 1 left\n");
    },
  },
  {
    rule: "shell: --connect-timeout ends a connection that is not accepted",
    check: async () => {
      // With its backlog full, a listener lets a SYN go unanswered.
      using listener = Deno.listen({ ...LOCAL, tcpBacklog: 0 });
      const { port } = listener.addr;
      const conns: Deno.Conn[] = [];
      try {
        const dial = (signal: AbortSignal) => Deno.connect({ hostname: "127.0.0.1", port, signal });
        for (;;) conns.push(await dial(AbortSignal.timeout(100)));
      } catch {
        // full
      }
      for (const args of [["--connect-timeout", "0.4"], ["-m", "0.4"]]) {
        const { code, stderr } = await runProgram("http_client.ts", [...args, `:${port}`]);
        assertEquals(code, 28, stderr);
      }
      for (const conn of conns) conn.close();
    },
  },
  {
    rule: "shell: -m ends a wait for a server that does not read",
    check: async () => {
      await using server = new ScriptedServer(
        [[BLIND, 1500]],
        (text) => [text],
        Deno.listen(LOCAL),
      );
      const file = await Deno.makeTempFile();
      await Deno.writeFile(file, new Uint8Array(16 << 20).fill(0x61));
      const args = ["-m", "0.8", "-d", `@${file}`, `:${server.port}`];
      const { code, stderr } = await runProgram("http_client.ts", args);
      await Deno.remove(file);
      assertEquals(code, 28, stderr);
    },
  },
  {
    rule: "shell: a compressed bomb is decoded in bounded memory",
    check: async () => {
      const zeros = new Uint8Array(1 << 28);
      const quick = { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 3 } };
      const bombs = {
        gzip: zlib.gzipSync(zeros, { level: 1 }),
        br: zlib.brotliCompressSync(zeros, quick),
      };
      const measured = "import resource, subprocess, sys; code = subprocess.call(sys.argv[1:]); " +
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024); sys.exit(code)";
      for (const [coding, bomb] of Object.entries(bombs)) {
        for (const [limit, expected] of [["1000000", 63], ["300000000", 0]]) {
          const options = `--max-filesize ${limit} --compressed -o /dev/null`;
          const text = coded(coding, toByteString(bomb));
          const line = `python3 -c '${measured}' CLIENT ${options} URL`;
          const { code, stdout, stderr } = await shell(line, [[text]]);
          assertEquals(code, expected, stderr);
          assert(Number(stdout) < 150, `${stdout} MiB`);
        }
      }
    },
  },
];

const hasPython = await has("python3");
for (const { rule, check } of SLOW) Deno.test({ name: rule, ignore: !hasPython, fn: check });
