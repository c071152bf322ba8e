/**
 * Test of a recipe of the README that joins three programs: cron sends a heartbeat with the pinger,
 * the monitor watches, and the mail client reports a failure and a silence.
 *
 * @module
 */
import { assertEquals, assertMatch } from "jsr:@std/assert@^1.0.19";
import { LOCAL, octetsOf, ROOT, runProgram } from "./helpers.ts";
import { running, until } from "./udp_ping_server_helpers.ts";

/** Accepts mail over SMTP (RFC 5321) and keeps the messages. */
class Mailbox implements AsyncDisposable {
  readonly messages: string[] = [];
  readonly #listener = Deno.listen(LOCAL);
  readonly #serving: Promise<void>;

  constructor() {
    this.#serving = this.#serve();
  }

  get port(): number {
    return (this.#listener.addr as Deno.NetAddr).port;
  }

  async #serve(): Promise<void> {
    for await (const conn of this.#listener) await this.#converse(conn).catch(() => conn.close());
  }

  async #converse(conn: Deno.Conn): Promise<void> {
    const reply = (line: string) => conn.write(octetsOf(`${line}\r\n`));
    const buffer = new Uint8Array(65_536);
    let text = "";
    await reply("220 mailbox.example ready");
    for (let count; (count = await conn.read(buffer)) !== null;) {
      text += new TextDecoder().decode(buffer.subarray(0, count));
      for (let end; (end = text.indexOf("\r\n")) >= 0;) {
        const line = text.slice(0, end);
        text = text.slice(end + 2);
        if (line !== "DATA") {
          await reply(line === "QUIT" ? "221 bye" : "250 ok");
          continue;
        }
        await reply("354 go ahead");
        while (!text.includes("\r\n.\r\n")) {
          text += new TextDecoder().decode(buffer.subarray(0, await conn.read(buffer) ?? 0));
        }
        const [message = "", ...rest] = text.split("\r\n.\r\n");
        this.messages.push(message.replaceAll("=\r\n", "")); // quoted-printable, RFC 2045 §6.7
        text = rest.join("\r\n.\r\n");
        await reply("250 accepted");
      }
    }
    conn.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.#serving;
  }
}

Deno.test("recipe: a failed cron job, and one that did not run, are reported by mail", async () => {
  await using mailbox = new Mailbox();
  const mail = [Deno.execPath(), "run", "--allow-net", `${ROOT}smtp_client.ts`, "-q"].concat(
    ["--server", `127.0.0.1:${mailbox.port}`, "--tls", "none", "--helo", "monitor.example"],
    ["-f", "monitor@example.org", "-t", "admin@example.org", "-s", "Heartbeat"],
  );
  const alarm = [
    "--expect",
    "backup,never=0.5",
    "--on",
    "stopped,failed",
    "--exec",
    mail.join(" "),
  ];
  const { code } = await running(["--heartbeat", ...alarm], async (port) => {
    const job = ["--heartbeat", "-c", "1", "-i", "86400", "--name", "backup"];
    const target = ["127.0.0.1", String(port)];
    assertEquals((await runProgram("udp_pinger.ts", [...job, ...target])).code, 0);
    const failure = ["--fail", "disk full"];
    assertEquals((await runProgram("udp_pinger.ts", [...job, ...failure, ...target])).code, 0);
    await until(() => mailbox.messages.length >= 2);
  }, ["--allow-net", "--allow-run"]);
  assertEquals([code, mailbox.messages.length], [0, 2]);
  const [stopped = "", failed = ""] = mailbox.messages.toSorted((a, b) =>
    Number(a.includes("failed")) - Number(b.includes("failed"))
  );
  assertMatch(stopped, /\r\nSubject: Heartbeat\r\n/);
  assertMatch(stopped, /\r\n\{"time":".*Z","event":"stopped","name":"never","silence":[\d.]+\}/);
  assertMatch(
    failed,
    /\r\n\{"time":".*Z","event":"failed","name":"backup","message":"disk full"\}/,
  );
});
