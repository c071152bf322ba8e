/**
 * Time limits of the client: `-m`, `--connect-timeout` and the read timeout, and uploads that the
 * server does not take.
 *
 * @module
 */
import { assertEquals, assertStringIncludes } from "jsr:@std/assert@^1.0.19";
import { LOCAL, runProgram } from "./helpers.ts";
import {
  BLIND,
  chunked,
  DONE,
  has,
  OK,
  RESET,
  resetting,
  type Row,
  runHere,
  ScriptedServer,
  STAY,
  testRows,
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
    sends: [[BLIND, 1000, RESET]],
    args: ["--connect-timeout", "0.4", "https://127.0.0.1:PORT/"],
    code: 28,
  },
  {
    rule: "-m: limits the TLS handshake",
    sends: [[BLIND, 1000, RESET]],
    args: ["-m", "0.4", "https://127.0.0.1:PORT/"],
    code: 28,
  },
];

testRows(ROWS);

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
];

const hasPython = await has("python3");
for (const { rule, check } of SLOW) Deno.test({ name: rule, ignore: !hasPython, fn: check });
