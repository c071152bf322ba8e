/**
 * Test of a recipe of the README that joins three programs: cron sends a heartbeat with the pinger,
 * the monitor watches, and the mail client reports a failure and a silence.
 *
 * @module
 */
import { assertEquals, assertMatch } from "jsr:@std/assert@^1.0.19";
import { LOCAL, ROOT, runProgram } from "./helpers.ts";
import { type Mail, serveMailbox } from "./mailbox.ts";
import { running, until } from "./udp_ping_server_helpers.ts";

Deno.test("recipe: a failed cron job, and one that did not run, are reported by mail", async () => {
  const listener = Deno.listen(LOCAL);
  const messages: string[] = [];
  const deliver = ({ message }: Mail) => messages.push(message.replaceAll("=\n", "")); // RFC 2045 §6.7
  const serving = serveMailbox(listener, { deliver });
  const mail = [Deno.execPath(), "run", "--allow-net", `${ROOT}smtp_client.ts`, "-q"].concat(
    ["--server", `127.0.0.1:${listener.addr.port}`, "--tls", "none", "--helo", "monitor.example"],
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
    await until(() => messages.length >= 2);
  }, ["--allow-net", "--allow-run"]);
  assertEquals([code, messages.length], [0, 2]);
  const [stopped = "", failed = ""] = messages.toSorted((a, b) =>
    Number(a.includes("failed")) - Number(b.includes("failed"))
  );
  assertMatch(stopped, /\nSubject: Heartbeat\n/);
  assertMatch(stopped, /\n\{"time":".*Z","event":"stopped","name":"never","silence":[\d.]+\}/);
  assertMatch(
    failed,
    /\n\{"time":".*Z","event":"failed","name":"backup","message":"disk full"\}/,
  );
  listener.close();
  await serving;
});
