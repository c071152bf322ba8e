/**
 * Tests of the command line of the pinger: options, output, exit statuses.
 *
 * @module
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { toByteString } from "../protocol.ts";
import { ROOT, runProgram } from "./helpers.ts";
import {
  type Action,
  addressOf,
  after,
  drop,
  during,
  echo,
  flip,
  flipThenEcho,
  otherPort,
  respond,
  runPinger,
  say,
  stamp,
  twice,
  udp,
  upperCase,
} from "./udp_pinger_helpers.ts";
// ---- The command line ----------------------------------------------------

const REFUSED = [
  { args: ["-c", "x", "h"], says: 'Cannot use -c "x"' },
  { args: ["-c", "-1", "h"], says: 'Cannot use -c "-1"' },
  { args: ["-i", "1e3", "h"], says: 'Cannot use -i "1e3"' },
  { args: ["-W", "0", "h"], says: 'Cannot use -W "0"' },
  { args: ["-s", "5", "h"], says: 'Cannot use -s "5": expected a whole number from 34' },
  { args: ["-l", "257", "h"], says: 'Cannot use -l "257"' },
  { args: ["h", "70000"], says: 'Cannot use PORT "70000"' },
  { args: ["h", "0"], says: 'Cannot use PORT "0"' },
  { args: ["h", "1", "2"], says: 'Cannot use "2": expected HOST [PORT]' },
  { args: ["--fail-loss", "2", "h"], says: 'Cannot use --fail-loss "2"' },
  { args: ["-4", "-6", "h"], says: "Cannot use -4 with -6" },
  { args: ["--heartbeat", "--name", "a b", "h"], says: 'Cannot use --name "a b"' },
  { args: ["--name", "web1", "h"], says: 'Option "--name" needs --heartbeat' },
  { args: ["--jsn", "h"], says: 'Unknown option "--jsn": did you mean --json?' },
  { args: ["-c"], says: 'Option "-c" needs a value' },
];
for (const { args, says } of REFUSED) {
  Deno.test(`command line: ${args.join(" ")} is refused`, async () => {
    const { code, stdout, stderr } = await runProgram("udp_pinger.ts", args);
    assertEquals([code, stdout], [2, ""]);
    assert(stderr.startsWith(`udp_pinger: ${says}`) && stderr.endsWith("\n"), stderr);
    assertEquals(stderr.split("\n").length, 2);
  });
}

const COMMANDS = [
  { args: ["--help"], code: 0, stdout: /-c, --count N/, stderr: /^$/ },
  { args: ["-V"], code: 0, stdout: /^udp_pinger \d/, stderr: /^$/ },
  { args: [], code: 2, stdout: /^$/, stderr: /^udp_pinger: Cannot ping without a HOST\n$/ },
  {
    args: ["-c1", "-W.05", "127.0.0.1", "1"],
    code: 1,
    stdout: /\nall lost: nothing answers on port 1; ports below 1024 /,
    stderr: /^$/,
  },
  { args: ["no.such.host.invalid"], code: 2, stdout: /^$/, stderr: /^udp_pinger: Cannot resolve/ },
  { args: ["1.2.3.4.5"], code: 2, stdout: /^$/, stderr: /"1.2.3.4.5": expected a host\n$/ },
  { args: ["-6", "127.0.0.1"], code: 2, stdout: /^$/, stderr: /"127.0.0.1" with -6\n$/ },
  {
    args: ["--heartbeat", "-c1", "-i.01", "127.0.0.1"],
    code: 0,
    stdout: /^1 heartbeat sent/,
    stderr: /^$/,
  },
  {
    args: ["--heartbeat", "-w.05", "-i60", "127.0.0.1"],
    code: 0,
    stdout: /^2 heartbeats/,
    stderr: /./,
  },
];
for (const { args, code, stdout, stderr } of COMMANDS) {
  Deno.test(`command line: udp_pinger ${args.join(" ")}`, async () => {
    const outcome = await runProgram("udp_pinger.ts", args);
    assertEquals(outcome.code, code);
    assertMatch(outcome.stdout, stdout);
    assertMatch(outcome.stderr, stderr);
  });
}

for (const host of ["127.1", "::ffff:127.0.0.1", "0.0.0.0", "localhost"]) {
  Deno.test(`command line: ${host} is 127.0.0.1`, async () => {
    const server = udp();
    const { port } = addressOf(server);
    const responder = respond(server, [echo]);
    const { code, stdout } = await runProgram("udp_pinger.ts", ["-c1", host, String(port)]);
    await responder.stop();
    assertEquals(code, 0);
    assertMatch(stdout, /^45 bytes from 127.0.0.1:\d+: seq=1 time=[\d.]+ ms\n/);
  });
}

Deno.test("command line: lines and summary are those of ping(8)", async () => {
  const { code, stdout, stderr, port } = await runPinger(["-c2", "-W.1"], [echo, drop]);
  const shape = stdout.replaceAll(String(port), "P").replace(/\d+\.\d{3}/g, "D")
    .replace(/\d+ms/, "Tms").replace(/--delay [\d.]+/, "--delay D");
  assertEquals([code, stderr], [0, ""]);
  assertEquals(shape.split("\n"), [
    "45 bytes from 127.0.0.1:P: seq=1 time=D ms",
    "seq=2 timeout",
    "--- 127.0.0.1:P ping statistics ---",
    "2 packets transmitted, 1 received, 50% packet loss, time Tms",
    "rtt min/avg/max/mdev = D/D/D/D ms",
    "loss in 1 burst, longest 1, 95% interval 9.5% to 91%",
    "replay: deno run --allow-net --unstable-net udp_ping_server.ts --delay D --jitter 0 --loss 0.5 --burst 1",
    "",
  ]);
});

Deno.test("command line: --json prints one object a line, with numbers as numbers", async () => {
  const { stdout } = await runPinger(["-c3", "--json", "-W.1", "-D"], [
    twice,
    drop,
    flipThenEcho(17),
  ]);
  const events = stdout.trim().split("\n").map((line) => JSON.parse(line));
  const { rtt, loss, time, received, event } = events.at(-1);
  assertEquals([event, received, loss, typeof time], ["summary", 2, 33.3333, "number"]);
  assertEquals(Object.keys(rtt), ["min", "avg", "max", "mdev"]);
  const reply = events.find(({ event }) => event === "reply");
  assertEquals([reply.seq, typeof reply.rtt, typeof reply.timestamp], [1, "number", "number"]);
  const kinds = new Set(events.map(({ event }) => event));
  assertEquals(
    [...kinds].sort(),
    ["corrupted", "duplicate", "probe", "reply", "summary", "timeout"],
  );
});

Deno.test("command line: -q prints statistics only, -D puts the time before each line", async () => {
  const quiet = await runPinger(["-q", "-c2"]);
  assertMatch(quiet.stdout, /^--- 127/);
  const dated = await runPinger(["-D", "-c1"]);
  assertMatch(dated.stdout, /^\[\d{10}\.\d{6}\] 45 bytes from/);
});

Deno.test("command line: -T, --histogram and -v", async () => {
  const { stdout, stderr } = await runPinger(["-T", "--histogram", "-v", "-c2"], [
    stamp(1),
    stamp(2),
  ]);
  assertMatch(stdout, /\none way: loss up 0, loss down 0; up queue \+\d/);
  assertMatch(stdout, / ms \|#+ *\| 1\n/);
  assertMatch(stderr, /^> 100 octets: sequence=1\\x09time=/m);
  assertMatch(stderr, /^< 100 octets, 127.0.0.1:\d+: sequence=1/m);
  assertMatch((await runPinger(["-T", "-c1"])).stdout, /\nplain echo server: no one-way data\n/);
});

const HINTS: { what: string; actions: Action[]; args?: string[]; hint: RegExp; code?: number }[] = [
  {
    what: "silence",
    actions: [drop],
    hint: /^all lost: nothing answers on port \d+, or UDP is filtered, or the server drops /,
  },
  { what: "junk", actions: [say("hello")], hint: /^all lost: what the server sends is no echo/ },
  {
    what: "corrupted replies",
    actions: [flip(17)],
    hint: /^all lost: the server answers, but not/,
  },
  { what: "upper case", actions: [upperCase], hint: /^replay: .* --upper$/, code: 0 },
  { what: "another port", actions: [otherPort], hint: /^all lost: answered by another .* --host$/ },
  {
    what: "late replies",
    actions: [after(150)],
    args: ["-c2"],
    hint: /^all late: replies took up to 1[5-9]\d\.\d{3} ms; try -W 1$/,
  },
  {
    what: "a datagram that is too long",
    actions: [echo],
    args: ["-s65508"],
    hint: /^nothing was sent: message too long; try -s 65507$/,
    code: 2,
  },
  {
    what: "silence after long probes",
    actions: [drop],
    args: ["-s1473"],
    hint: /^all lost: probes of 1473 bytes are above the MTU of most paths, .*; try -s 1472$/,
  },
  {
    what: "silence after probes as long as the usual MTU",
    actions: [drop],
    args: ["-s1472"],
    hint: /^all lost: nothing answers on port/,
  },
];
for (const { what, actions, args = [], hint, code = 1 } of HINTS) {
  Deno.test(`command line: the last line after ${what}`, async () => {
    const result = await runPinger(["-c1", "-W.1", ...args], actions);
    assertEquals(result.code, code);
    assertMatch(result.stdout.trimEnd().split("\n").at(-1) ?? "", hint);
  });
}

Deno.test("command line: a missing permission is named", async () => {
  const allowed = ["--unstable-net", "--allow-net=0.0.0.0:0,127.0.0.1"];
  assertEquals((await runPinger(["-c1"], [echo], allowed)).code, 0);
  const refused = await runPinger(["-c1"], [echo], ["--allow-net=0.0.0.0:0"]);
  assertEquals(refused.code, 2);
  assertMatch(refused.stderr, /^udp_pinger: Deno was not allowed .* --allow-net=127.0.0.1:\d+\n$/);
});

Deno.test("command line: Ctrl-C prints the statistics at once", async () => {
  const { code, stdout } = await during(["-c0", "-i.02", "-W30"], [echo], async (child, more) => {
    await more();
    child.kill("SIGINT");
  });
  assertEquals(code, 0);
  assertMatch(
    stdout,
    /ping statistics ---\n\d+ packets? transmitted, \d+ received, 0% packet loss/,
  );
});

Deno.test("command line: SIGQUIT prints a status line and continues", async () => {
  const { code, stdout, stderr } = await during(["-c0", "-i.02"], [echo], async (child, more) => {
    await more();
    child.kill("SIGQUIT");
    await more();
    await more();
    child.kill("SIGTERM");
  });
  assertEquals(code, 0);
  assertMatch(stderr, /^\d+\/\d+ packets?, 0% loss, min\/avg\/ewma\/max = [\d./]+ ms\n$/);
  assertMatch(stdout, /ping statistics/);
});

Deno.test("command line: closed standard output ends the program quietly", async () => {
  const server = udp();
  const { port } = addressOf(server);
  const responder = respond(server, [echo]);
  const child = new Deno.Command("sh", {
    args: [
      "-c",
      `"$0" run -A "$1" -c0 -i.01 127.0.0.1 ${port} | head -n 1`,
      Deno.execPath(),
      `${ROOT}udp_pinger.ts`,
    ],
    stdout: "piped",
    stderr: "piped",
  });
  const { code, stdout, stderr } = await child.output();
  await responder.stop();
  assertEquals([code, toByteString(stderr)], [0, ""]);
  assertMatch(toByteString(stdout), /^45 bytes from .*\n$/);
});

Deno.test("command line: Ctrl-C sends a farewell after heartbeats", async () => {
  const server = udp();
  const { port } = addressOf(server);
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-A", `${ROOT}udp_pinger.ts`, "--heartbeat", "-i30", "--name", "web1", "-q"],
      ...["127.0.0.1", String(port)],
    ],
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const heard: string[] = [];
  for await (const [octets] of server) {
    heard.push(toByteString(octets));
    if (heard.length === 2) break;
    child.kill("SIGINT");
  }
  server.close();
  const { code, stdout } = await child.output();
  assertEquals([code, toByteString(stdout)], [
    0,
    `2 heartbeats sent to 127.0.0.1:${port}, 0 errors\n`,
  ]);
  assertMatch(heard[1] ?? "", /^sequence=2\ttime=[\d.]+\tname=web1\tinterval=30\tbye=1$/);
});
