/** Tests of the command line of the echo server and the monitor. */
import { assert, assertEquals, assertLess, assertMatch } from "jsr:@std/assert@^1.0.19";
import { runProgram } from "./helpers.ts";
import { addressOf, Client, running, sleep, udp, web } from "./udp_ping_server_helpers.ts";

// ---- The command line ----------------------------------------------------

const REFUSED = [
  {
    args: ["-p", "http"],
    says: 'Cannot use -p "http": expected a whole number from 0 to 65535',
  },
  { args: ["--loss", "1.1"], says: 'Cannot use --loss "1.1": expected a probability' },
  { args: ["--loss", "3/2"], says: 'Cannot use --loss "3/2"' },
  { args: ["--loss", "1/0"], says: 'Cannot use --loss "1/0"' },
  { args: ["--loss", "0/0"], says: 'Cannot use --loss "0/0"' },
  { args: ["--loss", "-0.1"], says: 'Cannot use --loss "-0.1"' },
  { args: ["--loss", ""], says: 'Cannot use --loss ""' },
  { args: ["--burst", "0.5"], says: 'Cannot use --burst "0.5"' },
  { args: ["--loss", "0.9", "--burst", "2"], says: "Cannot lose 90% in bursts of 2" },
  { args: ["--delay", "x"], says: 'Cannot use --delay "x"' },
  { args: ["--seed", "1.5"], says: 'Cannot use --seed "1.5"' },
  { args: ["--exec", "true"], says: 'Option "--exec" needs --heartbeat' },
  { args: ["-b", ""], says: 'Cannot use -b "": expected a text that is not empty' },
  {
    args: ["--heartbeat", "--exec", " "],
    says: 'Cannot use --exec " ": expected a text that is not empty',
  },
  { args: ["extra"], says: 'Cannot use "extra": expected options only' },
  { args: ["--prot", "1"], says: 'Unknown option "--prot": did you mean --port?' },
];
for (const { args, says } of REFUSED) {
  Deno.test(`command line: ${args.join(" ")} is refused`, async () => {
    const { code, stdout, stderr } = await runProgram("udp_ping_server.ts", args);
    assertEquals([code, stdout], [2, ""]);
    assert(stderr.startsWith(`udp_ping_server: ${says}`), stderr);
    assertEquals(stderr.split("\n").length, 2);
  });
}

Deno.test("command line: the first line tells address, port, faults and seed", async () => {
  const args = ["--loss", "30%", "--seed", "42", "--delay", "5", "-b", "127.0.0.1"];
  const { code, stdout, stderr } = await running(args, async () => {});
  assertMatch(
    stderr,
    /^udp_ping_server: listening on 127.0.0.1 port \d+, loss 30%, delay 5 ms \(seed 42\)\n$/,
  );
  assertEquals([code, stdout], [
    0,
    "0 received, 0 dropped, 0 echoed (0% loss), 0 clients, 0 bytes\n",
  ]);
});

const LOSSES = [
  { args: [], says: "36.4%" }, // the assignment's: randint(0, 10) < 4
  { args: ["--loss", "0.3"], says: "30%" },
  { args: ["--loss", "30%"], says: "30%" },
  { args: ["--loss=1/8"], says: "12.5%" },
  { args: ["--loss", "100%"], says: "100%" },
  { args: ["--loss", "0.5", "--burst", "3", "--upper"], says: "50%, burst 3, upper case" },
];
for (const { args, says } of LOSSES) {
  Deno.test(`command line: ${args.join(" ") || "no options"} is loss ${says}`, async () => {
    const { stderr } = await running(args, async () => {});
    assertMatch(
      stderr,
      new RegExp(`^udp_ping_server: listening on :: port \\d+, loss ${says} \\(seed \\d+\\)\n$`),
    );
  });
}

Deno.test("command line: SIGQUIT shows the summary and goes on, SIGTERM ends with it", async () => {
  const { code, stdout } = await running(["--loss", "0"], async (port, program) => {
    const client = new Client({ hostname: "127.0.0.1", port, transport: "udp" });
    await client.send("\x1b[2J junk \x80");
    await client.count(1);
    Deno.kill(program.pid, "SIGQUIT");
    await sleep(100);
    await client.send("again");
    await client.count(2);
    await client.close();
    await program.stop("SIGTERM");
  });
  assertEquals([code, stdout.split("\n")], [0, [
    "1 received, 0 dropped, 1 echoed (0% loss), 1 client, 11 bytes",
    "2 received, 0 dropped, 2 echoed (0% loss), 1 client, 16 bytes",
    "",
  ]]);
});

Deno.test("command line: -v shows what came, escaped, and --json is JSON", async () => {
  const { stdout, stderr } = await running(["--loss", "0", "-v", "--json"], async (port) => {
    const client = new Client({ hostname: "127.0.0.1", port, transport: "udp" });
    await client.send("\x1b[2J");
    await client.count(1);
    await client.close();
  });
  assertMatch(stderr, /^< 4 octets, 127.0.0.1:\d+: \\x1b\[2J$/m);
  assertMatch(stderr, /^> 4 octets, 127.0.0.1:\d+: \\x1b\[2J$/m);
  const { event, received, echoed, loss } = JSON.parse(stdout);
  assertEquals([event, received, echoed, loss], ["summary", 1, 1, 0]);
});

Deno.test("command line: heartbeats, their changes, --exec and the summary", async () => {
  const log = await Deno.makeTempFile();
  const args = ["--heartbeat", "--json", "--exec", `tee -a ${log}`];
  const { code, stdout } = await running(args, async (port) => {
    const client = new Client({ hostname: "127.0.0.1", port, transport: "udp" });
    for (const text of [web(1), web(3), "junk", web(4, "\tbye=1")]) await client.send(text);
    await client.close();
    for (let waited = 0; waited < 3000; waited += 50) {
      if ((await Deno.readTextFile(log)).includes("left")) break;
      await sleep(50);
    }
  }, ["--allow-net", "--allow-run"]);
  const [started, lost, left, summary] = stdout.trim().split("\n").map((line) => JSON.parse(line));
  const found = [started, lost, left, summary].map(({ event }) => event);
  assertEquals([code, ...found], [0, "started", "lost", "left", "summary"]);
  for (const { time } of [started, lost, left, summary]) assertMatch(time, /^\d{4}-.*T.*\d\dZ$/);
  assertEquals(lost, { time: lost.time, event: "lost", name: "web1", lost: 1, from: 2, to: 2 });
  assertEquals([summary.junk, summary.senders[0].received], [1, 3]);
  assertEquals(await Deno.readTextFile(log), stdout.split("\n").slice(0, 3).join("\n") + "\n");
  await Deno.remove(log);
});

Deno.test("command line: --exec without its permission is one line", async () => {
  const args = ["-p0", "--heartbeat", "--exec", "tee x"];
  const { code, stderr } = await runProgram("udp_ping_server.ts", args, { allow: ["--allow-net"] });
  assertEquals([code, stderr], [
    1,
    "udp_ping_server: Deno was not allowed to run tee; add --allow-run=tee\n",
  ]);
});

Deno.test("command line: a port in use is named", async () => {
  const socket = udp();
  const { port } = addressOf(socket);
  const args = ["-p", String(port), "-b", "127.0.0.1"];
  const { code, stderr } = await runProgram("udp_ping_server.ts", args);
  socket.close();
  assertEquals(code, 1);
  assertMatch(
    stderr,
    new RegExp(
      `^udp_ping_server: Cannot listen on "127.0.0.1" port ${port}: address already in use; try another --port\n$`,
    ),
  );
});

const COMMANDS = [
  { args: ["--help"], allow: [], code: 0, stdout: /--exec COMMAND/, stderr: /^$/ },
  { args: ["-V"], allow: [], code: 0, stdout: /^udp_ping_server \d/, stderr: /^$/ },
  { args: ["-p0"], allow: [], code: 1, stdout: /^$/, stderr: /^[^\n]*add --allow-net\n$/ },
  {
    args: ["--bind", "192.0.2.1"],
    allow: ["--allow-net"],
    code: 1,
    stdout: /^$/,
    stderr: /192.0.2.1/,
  },
  { args: ["--lsos", "1"], allow: [], code: 2, stdout: /^$/, stderr: /did you mean --loss\?\n$/ },
];
for (const { args, allow, code, stdout, stderr } of COMMANDS) {
  Deno.test(`command line: udp_ping_server ${args.join(" ")}`, async () => {
    const outcome = await runProgram("udp_ping_server.ts", args, { allow });
    assertEquals(outcome.code, code);
    assertMatch(outcome.stdout, stdout);
    assertMatch(outcome.stderr, stderr);
  });
}

Deno.test("command line: the help fits 80 columns and names every option", async () => {
  const { stdout } = await runProgram("udp_ping_server.ts", ["--help"]);
  for (const line of stdout.split("\n")) assertLess(line.length, 81, line);
  for (const name of ["bind", "burst", "jitter", "reorder", "rate", "upper", "interval", "json"]) {
    assert(stdout.includes(`--${name}`), name);
  }
});
