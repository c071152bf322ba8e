/**
 * Outputs that take their time: slow readers, pipes that are not read, and a body that grows a
 * thousand times when it is decoded.
 *
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "jsr:@std/assert@^1.0.19";
import zlib from "node:zlib";
import { toByteString } from "../protocol.ts";
import { certificate, LOCAL } from "./helpers.ts";
import {
  BIG,
  chunked,
  coded,
  has,
  OK,
  runHere,
  ScriptedServer,
  shell,
  STAY,
  testShell,
} from "./http_client_helpers.ts";

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
    line: "f=$(mktemp -u); mkfifo $f; exec 3<> $f; " +
      "timeout 20 CLIENT -m 0.5 -o $f URL; echo $?; rm $f",
    sends: [[`${OK}\r\n${BIG}`, BIG, BIG]],
    out: /^28\n$/,
    err: /http_client: Not done within 0.5 s/,
  },
  {
    rule: "shell: -m ends a wait for a pipe that is not read",
    line: "f=$(mktemp); { timeout 20 CLIENT -m 0.5 URL; echo $? >&2; rm $f; } | " +
      "while [ -e $f ]; do sleep 0.1; done",
    sends: [[`${OK}\r\n${BIG}`, BIG, BIG]],
    out: /^$/,
    err: /Not done within 0.5 s\n28\n/,
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
  const [framing, response] of Object.entries({
    "with a length": `${OK}Content-Length: ${BIG.length}\r\n\r\n${BIG}`,
    "in chunks": chunked(`100000\r\n${BIG}\r\n0\r\n\r\n`),
  })
) {
  Deno.test(`a slow reader of a body ${framing} does not time the server out`, async () => {
    await using server = new ScriptedServer([[response]], (text) => [text], Deno.listen(LOCAL));
    const stdout = slowReader(2_700);
    const { code, stderr } = await runHere([`:${server.port}`], { readTimeout: 900, stdout });
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
