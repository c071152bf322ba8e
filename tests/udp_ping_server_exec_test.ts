/** Tests of --exec and --on: the command that the monitor runs for events. */
import { assert, assertEquals, assertLess } from "jsr:@std/assert@^1.0.19";
import {
  EventCommand,
  type EventCommandOptions,
  EXEC_LIMITS,
  type MonitorEvent,
} from "../udp_ping_server.ts";
import { sleep, until } from "./udp_ping_server_helpers.ts";

/** Returns an event at a second. */
const eventAt = (event: MonitorEvent["event"], name = "web1", second = 0): MonitorEvent => (
  { time: new Date(1000 * second).toISOString(), event, name }
);

/** Writes a script that logs its arguments and its standard input. */
async function logScript(folder: string): Promise<{ script: string; log: string }> {
  const [script, log] = [`${folder}/hook.sh`, `${folder}/log`];
  const lines = [`echo begin "$@" >> ${log}`, `cat >> ${log}`, "sleep 0.05", `echo end >> ${log}`];
  await Deno.writeTextFile(script, `#!/bin/sh\n${lines.join("\n")}\n`, { mode: 0o755 });
  return { script, log };
}

Deno.test("--exec runs one at a time, without a shell, the event on standard input", async () => {
  const folder = await Deno.makeTempDir();
  const { script, log } = await logScript(folder);
  const warnings: unknown[] = [];
  const warn = (error: unknown) => warnings.push(error);
  const command = new EventCommand(`${script} a;b $HOME`, { stdout: "null", warn });
  command.onEvent(eventAt("started"));
  command.onEvent(eventAt("left"));
  await command.end(10_000);
  const time = '"time":"1970-01-01T00:00:00.000Z"';
  assertEquals((await Deno.readTextFile(log)).split("\n"), [
    ...["begin a;b $HOME", `{${time},"event":"started","name":"web1"}`, "end"],
    ...["begin a;b $HOME", `{${time},"event":"left","name":"web1"}`, "end", ""],
  ]);
  assertEquals(warnings, []);
  await Deno.remove(folder, { recursive: true });
});

const FAILING: [command: string, message: string][] = [
  ["false", '"false" ended with status 1'],
  ["/no/such/command -x", 'Cannot run "/no/such/command": no such command'],
  ["/etc/passwd", 'Cannot run "/etc/passwd": not executable'],
];
for (const [command, message] of FAILING) {
  Deno.test(`--exec ${JSON.stringify(command)}: a command that fails is a message`, async () => {
    const messages: string[] = [];
    const warn = (error: unknown) => messages.push(error instanceof Error ? error.message : "");
    const runner = new EventCommand(command, { stdout: "null", warn });
    runner.onEvent(eventAt("started"));
    await runner.end(10_000);
    assertEquals(messages, [message]);
  });
}

/** Runs a command for events, and returns the events it was run for, as `name event@second`. */
async function ranFor(
  events: MonitorEvent[],
  options: Partial<EventCommandOptions> = {},
  wait = 0,
): Promise<string[]> {
  const log = await Deno.makeTempFile();
  const warn = () => {};
  const command = new EventCommand(`tee -a ${log}`, { stdout: "null", warn, ...options });
  for (const event of events) command.onEvent(event);
  await sleep(wait);
  await command.end(10_000);
  const lines = (await Deno.readTextFile(log)).trim().split("\n").filter((line) => line !== "");
  await Deno.remove(log);
  return lines.map((line) => {
    const { time, event, name } = JSON.parse(line);
    return `${name} ${event}@${Date.parse(time) / 1000}`;
  });
}

Deno.test("--on: the command runs for these events only", async () => {
  const events = [eventAt("started"), eventAt("lost"), eventAt("stopped"), eventAt("failed")];
  const ran = await ranFor(events, { on: ["stopped", "failed"] });
  assertEquals(ran, ["web1 stopped@0", "web1 failed@0"]);
});

Deno.test("--exec runs at once for other names and other events", async () => {
  const events = [eventAt("lost", "a"), eventAt("lost", "b"), eventAt("late", "a")];
  assertEquals(await ranFor(events), ["a lost@0", "b lost@0", "a late@0"]);
});

Deno.test("--exec: a second equal event within a minute waits", async () => {
  const events = [eventAt("lost", "a", 1), eventAt("lost", "a", 2), eventAt("lost", "a", 3)];
  assertEquals(await ranFor(events), ["a lost@1"]);
});

Deno.test("--exec: of the events that wait the newest is run after the time", async () => {
  const events = [eventAt("lost", "a", 1), eventAt("lost", "a", 2), eventAt("lost", "a", 3)];
  assertEquals(await ranFor(events, { limits: { interval: 20 } }, 150), ["a lost@1", "a lost@3"]);
});

Deno.test("--exec: a stop that is over is not run late, a stop that lasts is", async () => {
  const flapping = [
    eventAt("stopped", "a", 1),
    eventAt("recovered", "a", 2),
    eventAt("stopped", "a", 3),
  ];
  const ended = [...flapping, eventAt("recovered", "a", 4)];
  const options = { limits: { interval: 20 } };
  assertEquals((await ranFor(flapping, options, 150)).at(-1), "a stopped@3");
  assertEquals((await ranFor(ended, options, 150)).at(-1), "a recovered@4");
  const on = ["stopped"] as const;
  assertEquals(await ranFor(ended, { ...options, on }, 150), ["a stopped@1"]);
});

Deno.test("--exec: a return that waits is run, though a restart came after it", async () => {
  const events = [
    eventAt("recovered", "a", 1),
    eventAt("recovered", "a", 2),
    eventAt("restarted", "a", 2),
  ];
  const options = { limits: { interval: 20 }, on: ["recovered"] as const };
  assertEquals(await ranFor(events, options, 150), ["a recovered@1", "a recovered@2"]);
});

Deno.test("limits: --exec runs once a minute, 1,000 events wait, 2 s at the end", () => {
  assertEquals(EXEC_LIMITS, { interval: 60_000, waiting: 1000, end: 2000 });
});

Deno.test("--exec: of 1,001 events at once 1,000 wait, and one message says so", async () => {
  const warnings: string[] = [];
  const warn = (error: unknown) => warnings.push(String(error));
  const command = new EventCommand("sleep 60", { stdout: "null", warn });
  for (let index = 0; index < 1000; index++) command.onEvent(eventAt("started", `n${index}`));
  assertEquals(warnings, []);
  command.onEvent(eventAt("started", "n1000"));
  command.onEvent(eventAt("started", "n1001"));
  assertEquals(warnings, ['Error: "sleep 60" is too slow: events are skipped']);
  await command.end(1);
});

Deno.test("--exec: the message about skipped events comes once until the queue is empty", async () => {
  const messages: unknown[] = [];
  const warn = (error: unknown) => messages.push(error);
  const command = new EventCommand("true", { stdout: "null", warn, limits: { waiting: 2 } });
  for (const name of ["a", "b", "c", "d"]) command.onEvent(eventAt("late", name));
  assertEquals(messages.length, 1);
  await sleep(500);
  for (const name of ["e", "f", "g", "h"]) command.onEvent(eventAt("late", name));
  assertEquals(messages.length, 2);
  await command.end();
});

Deno.test("--exec: the message about skipped events does not come again while one still runs", async () => {
  const folder = await Deno.makeTempDir();
  const [script, pipes] = [`${folder}/hook.sh`, ["a", "b", "d"].map((name) => `${folder}/${name}`)];
  await new Deno.Command("mkfifo", { args: pipes }).output();
  // The command for an event says that it has begun, and ends when its pipe is written to.
  const lines = [
    `cd ${folder}`,
    `name=$(sed 's/.*"name":"\\(.*\\)".*/\\1/')`,
    "echo > $name.begun",
    "cat $name",
  ];
  await Deno.writeTextFile(script, `#!/bin/sh\n${lines.join("\n")}\n`, { mode: 0o755 });
  const begun = async (name: string) => {
    const exists = () => Deno.stat(`${folder}/${name}.begun`).then(() => true, () => false);
    assert(await until(exists), name);
  };
  const release = async (name: string) => {
    await begun(name);
    (await Deno.open(`${folder}/${name}`, { write: true })).close();
  };
  const messages: unknown[] = [];
  const warn = (error: unknown) => messages.push(error);
  const command = new EventCommand(script, { stdout: "null", warn, limits: { waiting: 2 } });
  for (const name of ["a", "b", "c"]) command.onEvent(eventAt("late", name));
  assertEquals(messages.length, 1);
  await release("a");
  await begun("b");
  for (const name of ["d", "e"]) command.onEvent(eventAt("late", name));
  assertEquals(messages.length, 1);
  await release("b");
  await release("d");
  await command.end(10_000);
  assertEquals(messages.length, 1);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("--exec: a command that runs longer than the time at the end is ended", async () => {
  const warnings: unknown[] = [];
  const warn = (error: unknown) => warnings.push(error);
  const command = new EventCommand("sleep 60", { stdout: "null", warn });
  command.onEvent(eventAt("started"));
  const startedAt = performance.now();
  await command.end(50);
  assertLess(performance.now() - startedAt, 10_000);
  assertEquals(warnings, []); // a command that is ended did not fail
});
