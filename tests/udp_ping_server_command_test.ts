/** Tests of the command line of the echo server and the monitor. */
import {
  assert,
  assertEquals,
  assertLess,
  assertMatch,
  assertStringIncludes,
  assertThrows,
} from "jsr:@std/assert@^1.0.19";
import { parseCommandLine } from "../cli.ts";
import { UsageError } from "../protocol.ts";
import { checkOptions, COMMAND } from "../udp_ping_server.ts";
import { ROOT, type Running, runProgram, startProgram } from "./helpers.ts";
import {
  addressOf,
  Client,
  numbers,
  running,
  settled,
  sleep,
  udp,
  until,
  web,
} from "./udp_ping_server_helpers.ts";

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
  { args: ["--heartbeat", "--on", "lost"], says: 'Option "--on" needs --exec' },
  { args: ["--expect", "a"], says: 'Option "--expect" needs --heartbeat' },
  { args: ["--timeout", "1"], says: 'Option "--timeout" needs --heartbeat' },
  { args: ["--interval", "1"], says: 'Option "--interval" needs --heartbeat' },
  {
    args: ["--heartbeat", "--expect", "a,"],
    says: 'Cannot use --expect "a,": expected names of 1',
  },
  {
    args: ["--heartbeat", "--expect", "a=x"],
    says: 'Cannot use --expect "a=x": expected a number',
  },
  {
    args: ["--heartbeat", "--exec", "true", "--on", "died"],
    says: 'Cannot use --on "died": expected started, lost, late, stopped, recovered, restarted',
  },
  { args: ["--heartbeat", "--loss", "0"], says: "Cannot use --loss with --heartbeat" },
  { args: ["--burst", "2", "--heartbeat"], says: "Cannot use --burst with --heartbeat" },
  { args: ["--heartbeat", "--delay", "0"], says: "Cannot use --delay with --heartbeat" },
  { args: ["--heartbeat", "--jitter", "0"], says: "Cannot use --jitter with --heartbeat" },
  { args: ["--heartbeat", "--duplicate", "0"], says: "Cannot use --duplicate with --heartbeat" },
  { args: ["--heartbeat", "--corrupt", "0"], says: "Cannot use --corrupt with --heartbeat" },
  { args: ["--heartbeat", "--reorder", "0"], says: "Cannot use --reorder with --heartbeat" },
  { args: ["--heartbeat", "--rate", "1000"], says: "Cannot use --rate with --heartbeat" },
  { args: ["--heartbeat", "--seed", "1"], says: "Cannot use --seed with --heartbeat" },
  { args: ["--heartbeat", "--upper"], says: "Cannot use --upper with --heartbeat" },
  { args: ["extra"], says: 'Cannot use "extra": expected options only' },
  { args: ["--prot", "1"], says: 'Unknown option "--prot": did you mean --port?' },
];
/** Reads a command line as the program does. */
function parse(...args: string[]) {
  const line = parseCommandLine(COMMAND, args);
  checkOptions(line);
  return line.options;
}

for (const { args, says } of REFUSED) {
  Deno.test(`command line: ${args.join(" ")} is refused`, () => {
    assertThrows(() => parse(...args), UsageError, says);
  });
}

Deno.test("command line: a wrong value is one line and exit status 2", async () => {
  const { code, stdout, stderr } = await runProgram("udp_ping_server.ts", ["--loss", "2"]);
  const line =
    'udp_ping_server: Cannot use --loss "2": expected a probability, as in 0.3, 30% or 4/11';
  assertEquals([code, stdout, stderr], [2, "", `${line}\n`]);
});

Deno.test("command line: an option without the one it needs is one line and exit status 2", async () => {
  const { code, stderr } = await runProgram("udp_ping_server.ts", ["--timeout", "5"]);
  assertEquals([code, stderr], [2, 'udp_ping_server: Option "--timeout" needs --heartbeat\n']);
});

Deno.test("command line: --heartbeat with a fault is one line and exit status 2", async () => {
  const args = ["--heartbeat", "--loss", "30%"];
  const { code, stderr } = await runProgram("udp_ping_server.ts", args);
  assertEquals([code, stderr], [2, "udp_ping_server: Cannot use --loss with --heartbeat\n"]);
});

Deno.test("command line: the defaults of the assignment: port 12000, every address, loss 4/11", () => {
  const { port, bind, loss, burst, delay, jitter, duplicate, corrupt, reorder, rate, seed, upper } =
    parse();
  assertEquals([port, bind, loss, burst], [12_000, undefined, 4 / 11, undefined]);
  assertEquals([delay, jitter, duplicate, corrupt, reorder], [0, 0, 0, 0, 0]);
  assertEquals([rate, seed, upper], [1000, undefined, false]);
});

/** The last values that are taken, and the first that are not. */
const BOUNDS = [
  { args: ["-p"], last: ["0", "65535"], beyond: ["-1", "65536", "1.5"] },
  { args: ["--burst"], last: ["1", "1000000"], beyond: ["0.9", "1000001"] },
  { args: ["--loss"], last: ["0", "1", "100%", "1/1"], beyond: ["-0.1", "1.01", "101%", "2/1"] },
  { args: ["--delay"], last: ["0", "3600000"], beyond: ["-1", "3600001"] },
  { args: ["--jitter"], last: ["0", "3600000"], beyond: ["-1", "3600001"] },
  { args: ["--rate"], last: ["0", "1000000000"], beyond: ["-1", "1000000001"] },
  { args: ["--seed"], last: ["0", "4294967295"], beyond: ["-1", "4294967296"] },
  { args: ["--heartbeat", "--interval"], last: ["0.001", "31622400"], beyond: ["0", "31622401"] },
  { args: ["--heartbeat", "--timeout"], last: ["0.001", "31622400"], beyond: ["0", "31622401"] },
  {
    args: ["--heartbeat", "--expect"],
    last: ["a=31622400", "x".repeat(64), "é".repeat(32)],
    beyond: ["a=31622401", "x".repeat(65), "é".repeat(33), "=5"],
  },
  { args: ["--burst", "4", "--loss"], last: ["4/5"], beyond: ["0.801"] },
];
for (const { args, last, beyond } of BOUNDS) {
  const option = args.filter((arg) => arg !== "--heartbeat").join(" ");
  Deno.test(`limits: ${option} takes ${last.join(", ").slice(0, 60)}`, () => {
    for (const value of last) parse(...args, value);
  });
  Deno.test(`limits: ${option} refuses ${beyond.join(", ").slice(0, 60)}`, () => {
    for (const value of beyond) assertThrows(() => parse(...args, value), UsageError);
  });
}

Deno.test("command line: --expect takes names with and without a time, also with an equals sign", () => {
  const { expect } = parse("--heartbeat", "--expect", "web1,backup=90000,a=b=1.5");
  assertEquals(expect, [
    { name: "web1", timeout: undefined },
    { name: "backup", timeout: 90_000_000 },
    { name: "a=b", timeout: 1500 },
  ]);
});

Deno.test("command line: --on takes events", () => {
  const { on } = parse("--heartbeat", "--exec", "true", "--on", "stopped,FAILED");
  assertEquals(on, ["stopped", "failed"]);
});

Deno.test("command line: the first line has the address, port, faults and seed", async () => {
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
  {
    args: [
      "--loss=0",
      "--delay=5",
      "--jitter=2",
      "--duplicate=0.1",
      "--corrupt=1/8",
      "--reorder=5%",
    ],
    says: "0%, delay 5 ms, jitter 2 ms, duplicate 10%, corrupt 12.5%, reorder 5%",
  },
  { args: ["--loss", "0.5", "--burst", "3", "--upper"], says: "50%, burst 3, upper case" },
];
for (const { args, says } of LOSSES) {
  Deno.test(`command line: the first line with ${args.join(" ") || "no options"} says loss ${says}`, async () => {
    const { stderr } = await running(args, async () => {});
    assertMatch(
      stderr,
      new RegExp(`^udp_ping_server: listening on :: port \\d+, loss ${says} \\(seed \\d+\\)\n$`),
    );
  });
}

/** Returns which of 40 requests of a new client are answered. */
async function answeredOf(port: number): Promise<string> {
  const client = new Client({ hostname: "127.0.0.1", port, transport: "udp" });
  for (let index = 0; index < 40; index++) {
    await client.send(`number ${index}`);
    await sleep(1);
  }
  await settled(() => client.received.length);
  const answered = numbers(client.received).join(" ");
  await client.close();
  return answered;
}

Deno.test("--seed: without it clients differ, with the printed seed the first run is repeated", async () => {
  const runs: string[] = [];
  const use = async (port: number) => {
    runs.push(await answeredOf(port), await answeredOf(port));
  };
  const { stderr } = await running([], use);
  const seed = /\(seed (\d+)\)/.exec(stderr)?.[1] ?? "";
  await running(["--seed", seed], use);
  const [first, second, third, fourth] = runs;
  assert(first !== second, first);
  assertEquals([third, fourth], [first, first]);
});

Deno.test("command line: SIGQUIT prints the summary and goes on, SIGTERM prints it and ends", async () => {
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

Deno.test("command line: -v shows datagrams escaped, --json prints JSON", async () => {
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

/** Sends datagrams to the program, run with -v, and waits until it shows the last one. */
async function sendAll(texts: string[], port: number, program: Running): Promise<void> {
  const client = new Client({ hostname: "127.0.0.1", port, transport: "udp" });
  for (const text of texts) await client.send(text);
  assert(await until(() => program.stderr.includes(`: ${texts.at(-1)}`)));
  await client.close();
}

Deno.test("command line: the summary in JSON has all counts, the loss in per cent, the seed", async () => {
  const args = ["--loss", "100%", "--seed", "7", "--json", "-v"];
  const { stdout } = await running(args, (port, program) => sendAll(["abc"], port, program));
  assertEquals(JSON.parse(stdout), {
    ...{ event: "summary", received: 1, dropped: 1, echoed: 0, limited: 0, ignored: 0, failed: 0 },
    ...{ held: 0, clients: 1, bytes: 3, loss: 100, seed: 7 },
  });
});

Deno.test("command line: --heartbeat prints events with their times, and a line for each sender", async () => {
  const texts = [web(1), web(3), web(3), "junk"];
  const { code, stdout } = await running(
    ["--heartbeat", "-v"],
    (port, program) => sendAll(texts, port, program),
  );
  assertEquals([code, stdout.replace(/^\S+T\S+Z /gm, "T ").split("\n")], [0, [
    "T web1: started",
    "T web1: 1 lost (sequence 2)",
    "web1: 2 received, 1 lost (33.3% loss), 0 late, 1 duplicate, 0 stops, up 100%, jitter 0 ms",
    "1 sender, 1 junk",
    "",
  ]]);
});

Deno.test("command line: --heartbeat -q prints no first line and no events", async () => {
  const free = udp();
  const { port } = addressOf(free);
  free.close();
  const args = ["-p", String(port), "--heartbeat", "-q", "-v"];
  const starting = startProgram("udp_ping_server.ts", args, /^< (\d+) octets/);
  const client = new Client({ hostname: "127.0.0.1", port, transport: "udp" });
  const timer = setInterval(() => client.send(web(1)), 10);
  const program = await starting;
  clearInterval(timer);
  const { stdout } = await program.stop("SIGINT");
  await client.close();
  assertMatch(stdout, /^web1: 1 received, [^\n]*\n1 sender, 0 junk\n$/);
});

Deno.test("-v: a stuck reader of standard error does not stop the echo", async () => {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "--allow-net", `${ROOT}udp_ping_server.ts`].concat(
      ["-p0", "-v", "--loss", "0", "--rate", "0"],
    ),
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const reader = child.stderr.getReader();
  const line = new TextDecoder().decode((await reader.read()).value);
  const port = Number(/ port (\d+)/.exec(line)?.[1]);
  const client = new Client({ hostname: "127.0.0.1", port, transport: "udp" });
  for (let count = 50; count <= 3000; count += 50) {
    for (let index = 0; index < 50; index++) await client.send("x".repeat(100));
    await client.count(count);
  }
  await client.close();
  child.kill("SIGINT");
  assertEquals((await child.status).code, 0);
  await reader.cancel();
});

Deno.test("--heartbeat: a full disk costs lines, with one message, and not the service", async () => {
  const by = ["sh", "-c", 'exec "$@" > /dev/full', "sh"];
  const program = await startProgram("udp_ping_server.ts", ["-p0", "--heartbeat"], / port (\d+)/, {
    by,
  });
  const client = new Client({ hostname: "127.0.0.1", port: program.port, transport: "udp" });
  for (const sequence of [1, 3, 5]) {
    await client.send(web(sequence));
    await sleep(50);
  }
  await client.close();
  const { code, stderr } = await program.stop("SIGINT");
  const [, line, end] = stderr.split("\n");
  const reason = "lines are lost: no space left on device";
  assertEquals(line, `udp_ping_server: Cannot write to standard output, ${reason}`);
  assertEquals([code, end], [0, ""]);
});

Deno.test("--heartbeat: standard output closed by its reader ends the monitor", async () => {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "--allow-net", `${ROOT}udp_ping_server.ts`, "-p0", "--heartbeat"],
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const reader = child.stderr.getReader();
  const line = new TextDecoder().decode((await reader.read()).value);
  const port = Number(/ port (\d+)/.exec(line)?.[1]);
  await child.stdout.cancel();
  const client = new Client({ hostname: "127.0.0.1", port, transport: "udp" });
  await client.send(web(1));
  assertEquals((await child.status).code, 0);
  await client.close();
  await reader.cancel();
});

Deno.test("command line: --heartbeat --json prints events and a summary, --exec gets the events", async () => {
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

Deno.test("--exec: without --allow-run one line names the flag", async () => {
  const args = ["-p0", "--heartbeat", "--exec", "tee x"];
  const { code, stderr } = await runProgram("udp_ping_server.ts", args, { allow: ["--allow-net"] });
  assertEquals([code, stderr], [
    1,
    "udp_ping_server: Deno was not allowed to run tee; add --allow-run=tee\n",
  ]);
});

Deno.test("command line: a port that is in use is one line with the port", async () => {
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

Deno.test("command line: a port that is in use on every address is one line", async () => {
  const socket = udp("::");
  const { port } = addressOf(socket);
  const { code, stderr } = await runProgram("udp_ping_server.ts", ["-p", String(port)]);
  socket.close();
  const line = `every address port ${port}: address already in use; try another --port`;
  assertEquals([code, stderr], [1, `udp_ping_server: Cannot listen on ${line}\n`]);
});

for (const address of ["192.0.2.1", "300.1.1.1", "no.such.host.invalid", "127.0.0.1:80"]) {
  Deno.test(`command line: -b ${address}, which this machine does not have, is one line`, async () => {
    const { code, stderr } = await runProgram("udp_ping_server.ts", ["-p0", "-b", address]);
    const line = `Cannot listen on "${address}" port 0: expected an address of this machine`;
    assertEquals([code, stderr], [1, `udp_ping_server: ${line}\n`]);
  });
}

/** Runs a function with the flags of a Deno that cannot open a socket on `::`, for a reason. */
async function withoutEveryAddress<T>(reason: string, use: (allow: string[]) => Promise<T>) {
  const preload = await Deno.makeTempFile({ suffix: ".js" });
  const lines = [
    "const { listenDatagram } = Deno;",
    "Deno.listenDatagram = (options) => {",
    `  if (options.hostname === "::") throw ${reason};`,
    "  return listenDatagram(options);",
    "};",
  ];
  await Deno.writeTextFile(preload, lines.join("\n"));
  const result = await use(["--allow-net", `--preload=${preload}`]);
  await Deno.remove(preload);
  return result;
}

Deno.test("command line: a machine without IPv6 listens on every IPv4 address", async () => {
  const reason = 'new Error("Address family not supported by protocol (os error 97)")';
  const { code, stderr } = await withoutEveryAddress(
    reason,
    (allow) => running([], async () => {}, allow),
  );
  assertEquals(code, 0);
  assertMatch(stderr, /^udp_ping_server: listening on 0\.0\.0\.0 port \d+, loss/);
});

Deno.test("command line: a port that is not permitted is not tried on IPv4", async () => {
  const error = 'new Deno.errors.PermissionDenied("Permission denied (os error 13)")';
  const reason = `Object.assign(${error}, { code: "EACCES" })`;
  const { code, stderr } = await withoutEveryAddress(
    reason,
    (allow) => runProgram("udp_ping_server.ts", ["-p0"], { allow }),
  );
  const line = "Cannot listen on every address port 0: permission denied";
  assertEquals([code, stderr], [1, `udp_ping_server: ${line}\n`]);
});

Deno.test("command line: -b takes an IPv6 address in brackets", async () => {
  const { stderr } = await running(["-b", "[::1]"], async () => {});
  assertMatch(stderr, /^udp_ping_server: listening on ::1 port \d+,/);
});

const COMMANDS = [
  { args: ["--help"], allow: [], code: 0, stdout: /--exec COMMAND/, stderr: /^$/ },
  { args: ["-V"], allow: [], code: 0, stdout: /^udp_ping_server \d/, stderr: /^$/ },
  { args: ["-p0"], allow: [], code: 1, stdout: /^$/, stderr: /^[^\n]*add --allow-net\n$/ },
  {
    args: ["-p0", "-q"],
    allow: ["--allow-net", "--preload=data:text/javascript,delete Deno.listenDatagram"],
    code: 1,
    stdout: /^$/,
    stderr: /^udp_ping_server: Deno was started without UDP; add --unstable-net\n$/,
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

Deno.test("command line: the help fits 80 columns and has every option", async () => {
  const { stdout } = await runProgram("udp_ping_server.ts", ["--help"]);
  for (const line of stdout.split("\n")) assertLess(line.length, 81, line);
  for (const name of ["bind", "burst", "jitter", "reorder", "rate", "upper", "interval", "json"]) {
    assert(stdout.includes(`--${name}`), name);
  }
});

/** What the help says with a number. */
const HELP = [
  "listen on this port; 0 takes a free one (default: 12000)",
  "0.3, 30% or 4/11 (default: 4/11)",
  "hold each reply (default: 0)",
  "much longer or shorter (default: 0)",
  "answer twice (default: 0)",
  "flip one bit of a reply (default: 0)",
  "let the next reply overtake (default: 0)",
  "0 means no limit (default: 1000)",
  "(default: 5, then as observed)",
  "(default: 3 intervals)",
  "udp_ping_server.ts --loss 30%",
  "Exit status: 0 stopped by a signal, 1 cannot start, 2 usage.",
];
Deno.test("command line: the numbers in the help", async () => {
  const { stdout } = await runProgram("udp_ping_server.ts", ["--help"]);
  const help = stdout.replace(/\s+/g, " ");
  for (const phrase of HELP) assertStringIncludes(help, phrase);
});
