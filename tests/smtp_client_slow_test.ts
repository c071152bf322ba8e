/**
 * The mail client where a server is silent or slow. These tests wait for real time.
 *
 * @module
 */
import { assert, assertEquals } from "jsr:@std/assert@^1.0.19";
import { LOCAL, send } from "./helpers.ts";
import {
  CLEAR,
  converse,
  type Dialogue,
  HI,
  prelude,
  run,
  SENT,
  testDialogues,
} from "./smtp_helpers.ts";

/** Silence. The transcripts are whole. */
const DIALOGUES: Dialogue[] = [
  {
    rule: "RFC 5321 §4.5.3.2.1: without a greeting the client gives up after --timeout",
    talk: "SILENT:",
    args: [...CLEAR, "--timeout", "0.2"],
    code: 75,
    says: "--tls implicit",
  },
  {
    rule: "RFC 8446 §4: --timeout limits the TLS handshake",
    talk: `${HI}C: STARTTLS\nS: 220 go\nSTILL:`,
    args: ["-t", "bob@example.org", "--timeout", "0.3"],
    code: 75,
    says: "TLS handshake",
  },
];

testDialogues(DIALOGUES, null);

Deno.test("RFC 5321 §4.5.3.2: --timeout limits a whole reply, however slowly its lines come", async () => {
  using listener = Deno.listen(LOCAL);
  const serving = listener.accept().then(async (conn) => {
    try {
      for (;;) {
        await send(conn, ["220-x\r\n"]);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    } catch {
      conn.close(); // the client is gone
    }
  });
  const args = ["--check", "--server", `127.0.0.1:${listener.addr.port}`, "--timeout", "0.3"];
  assertEquals((await run(args)).code, 75);
  await serving;
});
Deno.test("RFC 5321 §4.1.1.10: --timeout limits the wait for the reply to QUIT", async () => {
  const talk = `${prelude("none", [])}\n${SENT.replace(/\n[^\n]*$/, "\nSILENT:")}`;
  const args = ["-t", "bob@example.org", "--tls", "none", "--timeout", "0.3"];
  const start = performance.now();
  await converse({ rule: "", talk, args, code: 0 }, null, (text) => [text]);
  assert(performance.now() - start < 1500);
});
