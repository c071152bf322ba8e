// deno-lint-ignore-file no-control-regex no-regex-spaces
/**
 * What waits for real time: limits, attempts, progress, signals, slow peers and slow readers.
 *
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import zlib from "node:zlib";
import { fetchUrl } from "../http_client.ts";
import { toByteString } from "../protocol.ts";
import { certificate, LOCAL, runProgram } from "./helpers.ts";
import {
  BIG,
  BLIND,
  chunked,
  coded,
  DONE,
  gz,
  has,
  hello,
  hurriedClient,
  LONG,
  OK,
  part,
  RESET,
  resetting,
  type Row,
  ScriptedServer,
  shell,
  STAY,
  testFiles,
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
    rule: "--retry: -i prints one header for several attempts",
    sends: [[`${OK}Content-Length: 4\r\n\r\n`], [DONE]],
    args: ["--retry", "1", "-i", "URL"],
    out: DONE,
    hops: 2,
  },
  ...["1.5", "-1", "soon 3"].map((value) => ({
    rule: `RFC 9110 §10.2.3: Retry-After "${value}" is ignored`,
    sends: [[`HTTP/1.1 503 B\r\nRetry-After: ${value}\r\nContent-Length: 0\r\n\r\n`], [DONE]],
    args: ["--retry", "1", "URL"],
    out: "done",
    says: "again in 1 s",
  })),
  {
    rule: "RFC 9110 §14.2: --retry resumes a body on standard output by a range",
    sends: [[`${OK}ETag: "a"\r\nContent-Length: 5\r\n\r\nhe`], [
      "HTTP/1.1 206 P\r\nContent-Range: bytes 2-4/5\r\nContent-Length: 3\r\n\r\nllo",
    ]],
    args: ["--retry", "1", "--no-compressed", "URL"],
    out: "hello",
    asks: [/^GET/, /^Range: bytes=2-\r\nIf-Range: "a"\r$/m],
  },
  {
    rule: "RFC 9110 §14.2: --retry does not print the beginning of a body twice",
    sends: [[`${OK}Content-Length: 5\r\n\r\nhe`], [hello("Content-Length: 5")]],
    args: ["--retry", "1", "URL"],
    out: "he",
    code: 33,
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

testFiles([
  {
    rule: "RFC 9110 §14.2: --retry resumes where the body broke off",
    sends: [[`${OK}ETag: "v1"\r\nContent-Length: 9\r\n\r\n1234`], [part("bytes 4-8/9", "56789")]],
    args: ["--retry", "2", "-o", "f", "URL"],
    after: { f: "123456789" },
    asks: [{ not: /Range/ }, /^Range: bytes=4-\r\nIf-Range: "v1"\r$/m],
    hops: 2,
  },
  {
    rule: "RFC 9110 §14.2: --retry starts again on 200",
    sends: [[`${OK}Content-Length: 9\r\n\r\n1234`], [DONE]],
    args: ["--retry", "2", "-o", "f", "URL"],
    after: { f: "done" },
    hops: 2,
  },
  {
    rule: "RFC 9110 §14.2: --retry gives up after its last attempt",
    sends: [[`${OK}Content-Length: 9\r\n\r\n1234`], [part("bytes 4-8/9", "56789").slice(0, -4)]],
    args: ["--retry", "1", "-o", "f", "URL"],
    after: { f: "12345" },
    code: 18,
    hops: 2,
  },
  {
    rule: "RFC 9110 §14.2: --retry with -O resumes its own file",
    sends: [[`${OK}Content-Length: 9\r\n\r\n1234`], [part("bytes 4-8/9", "56789")]],
    args: ["--retry", "1", "-O", "URLb"],
    after: { b: "123456789" },
  },
  {
    rule: "--retry: tries again after -m",
    sends: [[STAY], [DONE]],
    args: ["--retry", "1", "-m", "0.5", "-o", "f", "URL"],
    after: { f: "done" },
    hops: 2,
  },
  {
    rule: "RFC 9110 §14.2: --retry starts a decoded body again",
    sends: [[coded("gzip", gz(LONG)).slice(0, -9)], [coded("gzip", gz(LONG))]],
    args: ["--retry", "1", "--compressed", "-o", "f", "URL"],
    after: { f: LONG },
    asks: [/./, { not: /Range/ }],
    hops: 2,
  },
  {
    rule: "RFC 9110 §14.2: --retry does not append a compressed rest",
    sends: [[`${OK}Content-Length: 9\r\n\r\n1234`], [
      part("bytes 4-8/9", "56789", "Content-Encoding: gzip\r\n"),
    ]],
    args: ["--retry", "1", "--compressed", "-o", "f", "URL"],
    after: { f: "1234" },
    code: 33,
    asks: [/gzip, deflate/, /^Accept-Encoding: identity\r$/m],
  },
  {
    rule: "RFC 9110 §15.3.7.3: --retry does not append a part of another ETag",
    sends: [[`${OK}ETag: "v1"\r\nContent-Length: 9\r\n\r\n1234`], [
      part("bytes 4-8/9", "56789", 'ETag: "v2"\r\n'),
    ]],
    args: ["--retry", "1", "-o", "f", "URL"],
    after: { f: "1234" },
    code: 33,
  },
  {
    rule: "RFC 9110 §13.1.5: --retry sends the ETag of the first response each time",
    sends: [
      [`${OK}ETag: "v1"\r\nContent-Length: 9\r\n\r\n1234`],
      [part("bytes 4-8/9", "56789").slice(0, -4)],
      [part("bytes 5-8/9", "6789")],
    ],
    args: ["--retry", "2", "-o", "f", "URL"],
    after: { f: "123456789" },
    asks: [/./, /^If-Range: "v1"\r$/m, /^Range: bytes=5-\r\nIf-Range: "v1"\r$/m],
  },
  {
    rule: "RFC 9110 §14.2: --retry of -r asks for the same range again",
    sends: [[part("bytes 2-5/9", "3456").slice(0, -2)], [part("bytes 2-5/9", "3456")]],
    args: ["--retry", "1", "-r", "2-5", "-o", "f", "URL"],
    after: { f: "3456" },
    asks: [/^Range: bytes=2-5\r$/m, { not: /bytes=2-\r/ }],
    hops: 2,
  },
  {
    rule: "RFC 9110 §14.2: --retry does not resume an error page",
    sends: [["HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\nso"], [DONE]],
    args: ["--retry", "1", "-o", "f", "URL"],
    after: { f: "done" },
    asks: [/./, { not: /Range/ }],
  },
  {
    rule: "RFC 9110 §14.2: --retry does not resume a POST",
    sends: [[`${OK}Content-Length: 4\r\n\r\ndo`], [DONE]],
    args: ["--retry", "1", "-d", "x", "-o", "f", "URL"],
    after: { f: "done" },
    asks: [/./, { not: /Range/ }],
  },
  {
    rule: "RFC 9110 §13.1.5: --retry sends no If-Range with a weak ETag",
    sends: [[`${OK}ETag: W/"v1"\r\nContent-Length: 9\r\n\r\n1234`], [part("bytes 4-8/9", "56789")]],
    args: ["--retry", "2", "-o", "f", "URL"],
    after: { f: "123456789" },
    asks: [/./, { not: /If-Range/ }],
  },
]);

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
      /5 bytes kept in [^]*; to resume: http_client\.ts -C - -o [^]*\r\nhttp_client: \(130\) Interrupted\r\n$/,
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
    shows: "(130) Interrupted",
  },
], !await has("python3"));

const hurried = await hurriedClient();
Deno.test.afterAll(() => Deno.removeSync(hurried));
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
    err: /\(28\)/,
  },
  {
    rule: "shell: -m ends a wait for a pipe that is not read",
    line: "{ CLIENT -m 1 URL; echo $? >&2; } | sleep 3",
    sends: [[`${OK}\r\n${BIG}`, BIG, BIG]],
    out: /^$/,
    err: /\(28\).*\n28\n/,
  },
  {
    rule: "shell: a server that stops sending is given up",
    line: "HURRIED URL; echo $?",
    sends: [[`${OK}\r\nhello`, STAY]],
    out: /^hello28\n$/,
    err: /\(28\) The server was silent for 2 s/,
  },
  ...[`${OK}Content-Length: ${BIG.length}\r\n\r\n${BIG}`, chunked(`100000\r\n${BIG}\r\n0\r\n\r\n`)]
    .map((response) => ({
      rule: `shell: a slow reader does not time the server out: ${response.slice(17, 35)}`,
      line: "{ HURRIED URL; echo $? >&2; } | { sleep 6; wc -c; }",
      sends: [[response]],
      out: new RegExp(`^${BIG.length}\n$`),
      err: /^0\n$/,
    })),
], hurried);

Deno.test("-k: a slow reader gets all that came before the end", async () => {
  const listener = Deno.listenTls({ ...LOCAL, ...await certificate("other") });
  const body = "x".repeat(1 << 20);
  const sends = [[`${OK}Content-Length: ${body.length}\r\n\r\n${body}`]];
  await using server = new ScriptedServer(sends, (text) => [text], listener);
  let size = 0;
  const stdout = {
    async write(octets: Uint8Array) {
      if (size === 0) await new Promise((done) => setTimeout(done, 300));
      size += octets.length;
      return octets.length;
    },
    isTerminal: () => false,
  };
  let said = "";
  const stderr = {
    writeSync: (octets: Uint8Array) => (said += toByteString(octets), octets.length),
    isTerminal: () => false,
  };
  const signal = () => new AbortController().signal;
  const args = ["-sk", `https://127.0.0.1:${server.port}/`];
  assertEquals(await fetchUrl(args, { stdout, stderr, signal }), 0, said);
  assertEquals(size, body.length);
});

Deno.test("--retry waits until the last write of the attempt before is done", async () => {
  const sends = [[`${OK}Content-Length: 5\r\n\r\nhe`, STAY], [
    "HTTP/1.1 206 P\r\nContent-Range: bytes 2-4/5\r\nContent-Length: 3\r\n\r\nllo",
  ]];
  await using server = new ScriptedServer(sends, (text) => [text], Deno.listen(LOCAL));
  let shown = "";
  const stdout = {
    async write(octets: Uint8Array) {
      if (shown === "") await new Promise((done) => setTimeout(done, 4000));
      shown += toByteString(octets);
      return octets.length;
    },
    isTerminal: () => false,
  };
  const stderr = { writeSync: (octets: Uint8Array) => octets.length, isTerminal: () => false };
  const signal = () => new AbortController().signal;
  const args = ["-m", "0.5", "--retry", "1", "--no-compressed", `:${server.port}`];
  assertEquals(await fetchUrl(args, { stdout, stderr, signal }), 0);
  assertEquals(shown, "hello");
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
