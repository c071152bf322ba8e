/**
 * Tests of the command line of the pinger: options, output, exit statuses.
 *
 * @module
 */
import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
  assertThrows,
} from "jsr:@std/assert@^1.0.19";
import { parseCommandLine } from "../cli.ts";
import { printable, toByteString, UsageError } from "../protocol.ts";
import { COMMAND } from "../udp_pinger.ts";
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
  hasScript,
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

/** Both neighbours of each limit: the last value that is taken, and the first that is not. */
const LIMITS: { args: string[]; name: string; value: unknown; beyond: string[] }[] = [
  { args: ["-c0"], name: "count", value: 0, beyond: ["-c-1"] },
  { args: ["-c2147483648"], name: "count", value: 2 ** 31, beyond: ["-c2147483649"] },
  { args: ["-i0"], name: "interval", value: 0, beyond: ["-i-1"] },
  { args: ["-i31622400"], name: "interval", value: 31_622_400_000, beyond: ["-i31622401"] },
  { args: ["-W.001"], name: "timeout", value: 1, beyond: ["-W.0009"] },
  { args: ["-W1ms"], name: "timeout", value: 1, beyond: ["-W.9ms"] },
  { args: ["-W86400"], name: "timeout", value: 86_400_000, beyond: ["-W86401"] },
  { args: ["-w.001"], name: "deadline", value: 1, beyond: ["-w0"] },
  { args: ["-w31622400"], name: "deadline", value: 31_622_400_000, beyond: ["-w31622401"] },
  { args: ["-s1"], name: "size", value: [1, 1], beyond: ["-s0"] },
  { args: ["-s65527"], name: "size", value: [65_527, 65_527], beyond: ["-s65528"] },
  { args: ["-s40-65527"], name: "size", value: [40, 65_527], beyond: ["-s40-65528"] },
  { args: ["-s40-40"], name: "size", value: [40, 40], beyond: ["-s41-40"] },
  { args: ["-l1"], name: "preload", value: 1, beyond: ["-l0"] },
  { args: ["-l256"], name: "preload", value: 256, beyond: ["-l257"] },
  { args: ["-p1"], name: "port", value: 1, beyond: ["-p0"] },
  { args: ["-p65535"], name: "port", value: 65_535, beyond: ["-p65536"] },
  { args: ["--every=.1"], name: "every", value: 100, beyond: ["--every=.09"] },
  { args: ["--fail-loss=0"], name: "failLoss", value: 0, beyond: ["--fail-loss=-1"] },
  { args: ["--fail-loss=1"], name: "failLoss", value: 1, beyond: ["--fail-loss=1.1"] },
  { args: ["--fail-rtt=0"], name: "failRtt", value: 0, beyond: ["--fail-rtt=-1"] },
  { args: ["--name=a"], name: "name", value: "a", beyond: ["--name="] },
  {
    args: [`--name=${"n".repeat(64)}`],
    name: "name",
    value: "n".repeat(64),
    beyond: [`--name=${"n".repeat(65)}`],
  },
  { args: ["--name=!~"], name: "name", value: "!~", beyond: ["--name=!\x7f"] },
  { args: ["--fail=x"], name: "fail", value: "x", beyond: ["--fail="] },
  {
    args: [`--fail=${"é".repeat(100)}`],
    name: "fail",
    value: "é".repeat(100),
    beyond: [`--fail=${"é".repeat(100)}!`],
  },
  { args: ["--fail=a b"], name: "fail", value: "a b", beyond: ["--fail=a\tb"] },
];
for (const { args, name, value, beyond } of LIMITS) {
  const shown = [args, beyond].map((words) => printable(words.join(" ").slice(0, 20)));
  Deno.test(`options: ${shown[0]} is taken, ${shown[1]} is refused`, () => {
    const line = (words: string[]) => parseCommandLine(COMMAND, words);
    assertEquals(line(args).options[name], value);
    assertThrows(() => line(beyond), UsageError, "expected");
  });
}

Deno.test("options: the defaults are the assignment's: 10 probes, one second, port 12000", () => {
  const { count, timeout, port } = parseCommandLine(COMMAND, ["h"]).options;
  assertEquals([count, timeout, port], [10, 1000, 12_000]);
});

const REFUSED = [
  { args: ["-c", "x", "h"], says: 'Cannot use -c "x"' },
  { args: ["-i", "1e3", "h"], says: 'Cannot use -i "1e3"' },
  { args: ["-s", "33", "h"], says: 'Cannot use -s "33": expected a whole number from 34 to 65527' },
  { args: ["-s", "33", "-c100", "h"], says: 'Cannot use -s "33": expected a whole number from 35' },
  { args: ["-w1", "-s41", "h"], says: 'Cannot use -s "41": expected a whole number from 42' },
  { args: ["-s", "41-50", "h"], says: 'Cannot use -s "41": expected a whole number from 42' },
  { args: ["-T", "-s", "88", "h"], says: 'Cannot use -s "88": expected a whole number from 89' },
  { args: ["h", "70000"], says: 'Cannot use PORT "70000"' },
  { args: ["h", "0"], says: 'Cannot use PORT "0": expected a whole number from 1 to 65535' },
  { args: ["h:0"], says: 'Cannot use PORT "0"' },
  { args: ["h:65536"], says: 'Cannot use PORT "65536"' },
  { args: ["h:x"], says: 'Cannot use "h:x": expected a host' },
  { args: [":1"], says: 'Cannot use ":1": expected a host' },
  { args: ["h:1", "2"], says: "Cannot use two ports: expected HOST:PORT, HOST PORT or -p" },
  { args: ["-p1", "h", "2"], says: "Cannot use two ports" },
  { args: ["-p1", "[::1]:2"], says: "Cannot use two ports" },
  { args: ["h", "1", "2"], says: 'Cannot use "2": expected HOST [PORT]' },
  { args: ["-4", "-6", "h"], says: "Cannot use -4 with -6" },
  { args: ["--heartbeat", "--name", "a b", "h"], says: 'Cannot use --name "a b"' },
  { args: ["--name", "web1", "h"], says: 'Option "--name" needs --heartbeat' },
  { args: ["--fail", "x", "h"], says: 'Option "--fail" needs --heartbeat' },
  { args: ["--heartbeat", "--fail=x", "-c2", "h"], says: "Cannot use --fail with -c: one beat" },
  { args: ["--heartbeat", "-i0", "h"], says: 'Cannot use -i "0" with --heartbeat' },
  { args: ["--heartbeat", "-T", "h"], says: "Cannot use -T with --heartbeat" },
  { args: ["--heartbeat", "--live", "h"], says: "Cannot use --live with --heartbeat" },
  { args: ["--live", "-q", "h"], says: "Cannot use --live with -q" },
  { args: ["--live", "--json", "h"], says: "Cannot use --live with --json" },
  { args: ["--live", "-f", "h"], says: "Cannot use --live with -f" },
  { args: ["--live", "-v", "h"], says: "Cannot use --live with -v" },
  { args: ["--live", "h"], says: "Cannot use --live: standard error is not a terminal" },
  { args: ["-s50-60", "-f", "h"], says: "Cannot use -s with -f" },
  { args: ["-s50-60", "--every=1", "h"], says: "Cannot use -s with --every" },
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
  {
    args: ["127.0.0.1"],
    allow: ["--allow-net", "--preload=data:text/javascript,delete Deno.listenDatagram"],
    code: 2,
    stdout: /^$/,
    stderr: /^udp_pinger: Deno was started without UDP; add --unstable-net\n$/,
  },
  { args: ["-4", "::1"], code: 2, stdout: /^$/, stderr: /"::1" with -4\n$/ },
  { args: ["-6", "127.0.0.1"], code: 2, stdout: /^$/, stderr: /"127.0.0.1" with -6\n$/ },
  {
    args: ["--heartbeat", "-c1", "-i.01", "127.0.0.1"],
    code: 0,
    stdout: /^1 heartbeat sent/,
    stderr: /^$/,
  },
  {
    args: ["--heartbeat", "-c1", "--fail=x", "-i.01", "127.0.0.1"],
    code: 0,
    stdout: /^1 heartbeat sent/,
    stderr: /^$/,
  },
  {
    args: ["-c1", "-s34", "-q", "-W.05", "127.0.0.1", "1"],
    code: 1,
    stdout: /\n1 packet transmitted/,
    stderr: /^$/,
  },
  {
    args: ["-c1", "-T", "-s89", "-q", "-W.05", "127.0.0.1", "1"],
    code: 1,
    stdout: /\n1 packet transmitted/,
    stderr: /^$/,
  },
  {
    args: ["--heartbeat", "-w.05", "-i60", "127.0.0.1"],
    code: 0,
    stdout: /^2 heartbeats/,
    stderr: /./,
  },
];
for (const { args, allow, code, stdout, stderr } of COMMANDS) {
  const where = allow === undefined ? "" : " without --unstable-net";
  Deno.test(`command line: udp_pinger ${args.join(" ")}${where}`, async () => {
    const outcome = await runProgram("udp_pinger.ts", args, { ...(allow && { allow }) });
    assertEquals(outcome.code, code);
    assertMatch(outcome.stdout, stdout);
    assertMatch(outcome.stderr, stderr);
  });
}

const TARGETS = [
  { form: "HOST PORT", args: (port: string) => ["127.0.0.1", port] },
  { form: "HOST:PORT", args: (port: string) => [`127.0.0.1:${port}`] },
  { form: "[HOST]:PORT", args: (port: string) => [`[127.0.0.1]:${port}`] },
  { form: "-p PORT HOST", args: (port: string) => ["-p", port, "127.0.0.1"] },
  { form: "--port=PORT HOST", args: (port: string) => [`--port=${port}`, "127.0.0.1"] },
];
for (const { form, args } of TARGETS) {
  Deno.test(`command line: ${form} names the server`, async () => {
    const server = udp();
    const { port } = addressOf(server);
    const responder = respond(server, [echo]);
    const { code } = await runProgram("udp_pinger.ts", ["-c1", ...args(String(port))]);
    await responder.stop();
    assertEquals(code, 0);
  });
}

const hasIpv6 = (() => {
  try {
    udp("::1").close();
    return true;
  } catch {
    return false;
  }
})();

const IPV6_TARGETS = [
  { form: "an IPv6 address", args: (port: string) => ["::1", port] },
  { form: "[ADDRESS]:PORT", args: (port: string) => [`[::1]:${port}`] },
  { form: "-6", args: (port: string) => ["-6", "0:0::1", port] },
  { form: "::, which is this machine,", args: (port: string) => ["::", port] },
];
for (const { form, args } of IPV6_TARGETS) {
  Deno.test({
    name: `command line: ${form} names a server over IPv6`,
    ignore: !hasIpv6,
  }, async () => {
    const server = udp("::1");
    const { port } = addressOf(server);
    const responder = respond(server, [echo]);
    const outcome = await runProgram("udp_pinger.ts", ["-c1", ...args(String(port))]);
    await responder.stop();
    assertEquals(outcome.code, 0);
    assertMatch(outcome.stdout, new RegExp(`^45 bytes from \\[::1\\]:${port}: seq=1 `));
  });
}

for (const host of ["fe80::1", "FEBF:FFFF::1"]) {
  Deno.test(`RFC 4291 §2.5.6: ${host} is link-local and needs a zone`, async () => {
    const { code, stderr } = await runProgram("udp_pinger.ts", [host]);
    const expected = `expected a zone, as in ${host}%eth0`;
    assertEquals([code, stderr], [2, `udp_pinger: Cannot use "${host}": ${expected}\n`]);
  });
}

Deno.test("RFC 4291 §2.5.6: fec0::1 is not link-local and needs no zone", async () => {
  const allow = ["--unstable-net"]; // so nothing is sent
  const { stderr } = await runProgram("udp_pinger.ts", ["-c1", "fec0::1"], { allow });
  assertMatch(stderr, /^udp_pinger: Deno was not allowed to use the network at /);
});

/** A link-local address of this machine with its zone. Without one, its test is skipped. */
const linkLocal = Deno.permissions.querySync({ name: "sys", kind: "networkInterfaces" }).state ===
    "granted"
  ? Deno.networkInterfaces().find(({ address }) => address.startsWith("fe80:"))
  : undefined;

Deno.test({
  name: "RFC 4007 §11: the zone of a link-local address is not part of the reply's source",
  ignore: linkLocal === undefined,
}, async () => {
  const { address, name } = linkLocal ?? { address: "", name: "" };
  const responder = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", `${ROOT}udp_ping_server.ts`, "--loss=0", "-p0"],
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const reader = responder.stderr.pipeThrough(new TextDecoderStream()).getReader();
  const { value = "" } = await reader.read();
  const port = /port (\d+)/.exec(value)?.[1] ?? "";
  const { code, stdout } = await runProgram("udp_pinger.ts", ["-c2", `${address}%${name}`, port]);
  responder.kill();
  await responder.status;
  await reader.cancel();
  assertEquals(code, 0, stdout);
  assertMatch(stdout, /\n2 packets transmitted, 2 received, 0% packet loss/);
});

const LOOPBACK = [
  ...["127.1", "127.0.0.1", "0.0.0.0", "localhost"],
  ...["::ffff:127.0.0.1", "::FFFF:7f00:1", "0:0:0:0:0:ffff:127.0.0.1", "::ffff:0.0.0.0"],
];
for (const host of LOOPBACK) {
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

/** An IPv4 and an IPv6 address of this machine, as a resolver returns them. */
const [IPV4, IPV6] = [{ address: "127.0.0.1", family: 4 }, { address: "::1", family: 6 }];
const NAMES: { rule: string; found: typeof IPV4[]; args?: string[]; want: RegExp }[] = [
  { rule: "IPv4 goes before IPv6", found: [IPV6, IPV4], want: /bytes from 127\.0\.0\.1:/ },
  { rule: "IPv6 is taken without IPv4", found: [IPV6], want: /bytes from \[::1\]:/ },
  {
    rule: "-6 takes IPv6",
    found: [IPV4, IPV6],
    args: ["-6"],
    want: /bytes from \[::1\]:/,
  },
  {
    rule: "-4 takes IPv4",
    found: [IPV6, IPV4],
    args: ["-4"],
    want: /bytes from 127\.0\.0\.1:/,
  },
  {
    rule: "-4 needs IPv4",
    found: [IPV6],
    args: ["-4"],
    want: /^udp_pinger: Cannot resolve "name": no IPv4 address\n$/,
  },
  {
    rule: "-6 needs IPv6",
    found: [IPV4],
    args: ["-6"],
    want: /^udp_pinger: Cannot resolve "name": no IPv6 address\n$/,
  },
  {
    rule: "some address is needed",
    found: [],
    want: /^udp_pinger: Cannot resolve "name": no IPv4 or IPv6 address\n$/,
  },
];
for (const { rule, found, args = [], want } of NAMES) {
  Deno.test(
    { name: `command line: of the addresses of a name ${rule}`, ignore: !hasIpv6 },
    async () => {
      const resolver = `export const lookup = () => Promise.resolve(${JSON.stringify(found)})`;
      const imports = { "node:dns/promises": `data:text/javascript,${resolver}` };
      const map = await Deno.makeTempFile({ suffix: ".json" });
      await Deno.writeTextFile(map, JSON.stringify({ imports }));
      const servers = [udp("127.0.0.1"), udp("::1")];
      const responders = servers.map((server) => respond(server, [echo]));
      const port = addressOf(servers[want.source.includes("::1") ? 1 : 0] ?? udp()).port;
      const allow = ["--allow-all", `--import-map=${map}`];
      const { stdout, stderr } = await runProgram("udp_pinger.ts", [
        "-c1",
        ...args,
        "name",
        `${port}`,
      ], {
        allow,
      });
      for (const responder of responders) await responder.stop();
      await Deno.remove(map);
      assertMatch(stdout + stderr, want);
    },
  );
}

Deno.test("command line: a name that Deno may not look up is a missing permission", async () => {
  const args = ["-c1", "localhost"];
  const { code, stderr } = await runProgram("udp_pinger.ts", args, {
    allow: ["--allow-net=0.0.0.0:0"],
  });
  assertEquals(code, 2);
  assertMatch(stderr, /^udp_pinger: Deno was not allowed to use the network .*localhost.*\n$/);
});

Deno.test("command line: lines and summary follow ping(8)", async () => {
  const { code, stdout, stderr, port } = await runPinger(["-c2", "-W.5"], [echo, drop]);
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
  const { stdout } = await runPinger(["-c3", "--json", "-W.5", "-D"], [
    twice,
    drop,
    flipThenEcho(17),
  ]);
  const events = stdout.trim().split("\n").map((line) => JSON.parse(line));
  const { rtt, loss, time, received, event } = events.at(-1);
  assertEquals([event, received, loss, typeof time], ["summary", 2, 33.3333, "number"]);
  assertEquals(Object.keys(rtt), ["min", "avg", "max", "mdev"]);
  const reply = events.find(({ event }) => event === "reply");
  assertEquals(Object.keys(reply), ["event", "seq", "bytes", "from", "rtt", "timestamp"]);
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

Deno.test("command line: -f and --every take one size, only a walk excludes them", async () => {
  assertEquals((await runPinger(["-f", "--every=1", "-s50", "-c2", "-q"])).code, 0);
  assertEquals((await runPinger(["-f", "--every=1", "-s50-50", "-c2", "-q"])).code, 0);
});

Deno.test("command line: -w alone ends the run, and some reply is exit 0", async () => {
  const { code, stdout } = await runPinger(["-w.2", "-W5"], [echo, drop]);
  assertEquals(code, 0);
  assertMatch(stdout, /\n1 packet transmitted, 1 received, 0% packet loss/);
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
  {
    what: "junk",
    actions: [say("hello")],
    hint: /^all lost: the server answers, but does not echo/,
  },
  {
    what: "corrupted replies",
    actions: [flip(17)],
    hint: /^all lost: the server answers, but not/,
  },
  {
    what: "upper case",
    actions: [upperCase],
    args: ["-W5"],
    hint: /^replay: .* --upper$/,
    code: 0,
  },
  { what: "another port", actions: [otherPort], hint: /^all lost: answered by another .* --host$/ },
  {
    what: "late replies",
    actions: [after(150)],
    args: ["-c2"],
    hint: /^all late: replies took up to \d+\.\d{3} ms; try -W [\d.]+$/,
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
    args: ["-s1233"],
    hint: /^all lost: nothing .*, or probes of 1233 bytes are above .*; -s 1232-1233 shows what /,
  },
  {
    what: "silence after probes that fit every path",
    actions: [drop],
    args: ["-s1232"],
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

Deno.test({
  name: "command line: in a terminal Deno asks for no other permission than the needed ones",
  ignore: !hasScript,
}, async () => {
  const server = udp();
  const target = `127.0.0.1:${addressOf(server).port}`;
  const responder = respond(server, [echo]);
  const run = ["run", "--unstable-net", `--allow-net=0.0.0.0:0,${target}`];
  const pinger = [Deno.execPath(), ...run, `${ROOT}udp_pinger.ts`, "-c1", target];
  const args = ["-qec", `timeout 10 ${pinger.join(" ")}`, "/dev/null"];
  const { stdout } = await new Deno.Command("script", { args, stdin: "null", stderr: "null" })
    .output();
  await responder.stop();
  assertMatch(toByteString(stdout), /^45 bytes from 127\.0\.0\.1:/);
});

for (const [action, code] of [[echo, 0], [drop, 1]] as const) {
  const outcome = action === echo ? "answered" : "lost";
  Deno.test(`command line: one probe that is ${outcome} after a send error is exit ${code}`, async () => {
    const server = udp();
    const { port } = addressOf(server);
    const responder = respond(server, [action]);
    const lines = [
      "const { listenDatagram } = Deno;",
      "let sent = 0;",
      "Deno.listenDatagram = (options) => {",
      "  const socket = listenDatagram(options);",
      "  const send = socket.send.bind(socket);",
      "  socket.send = (octets, to) => {",
      `    if (to.port === ${port} && sent++ === 0) throw new Error("Too bad (os error 1)");`,
      "    return send(octets, to);",
      "  };",
      "  return socket;",
      "};",
    ];
    const preload = `--preload=data:text/javascript,${encodeURIComponent(lines.join("\n"))}`;
    const allow = ["--allow-net", preload];
    const args = ["-c2", "-W.2", "127.0.0.1", String(port)];
    const result = await runProgram("udp_pinger.ts", args, { allow });
    await responder.stop();
    assertEquals(result.code, code, result.stderr);
    assertMatch(result.stdout, /^seq=1 error: too bad\n/);
    assertMatch(result.stdout, /\n2 packets transmitted, [01] received, \+1 error, /);
  });
}

Deno.test("command line: Ctrl-C prints the statistics at once", async () => {
  const { code, stdout } = await during(["-c0", "-i.02", "-W30"], [echo], async (child, out) => {
    await out.until(/seq=/);
    child.kill("SIGINT");
  });
  assertEquals(code, 0);
  assertMatch(
    stdout,
    /ping statistics ---\n\d+ packets? transmitted, \d+ received, 0% packet loss/,
  );
});

Deno.test("command line: SIGQUIT prints a status line and continues", async () => {
  const args = ["-c0", "-i.02", "-W30"];
  const { code, stdout, stderr } = await during(args, [echo], async (child, out, errors) => {
    await out.until(/seq=/);
    child.kill("SIGQUIT");
    const sent = Number(/\/(\d+) packet/.exec(await errors.until(/\n/))?.[1]);
    await out.until(new RegExp(`seq=${sent + 5} `));
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

Deno.test("command line: SIGQUIT with --json prints a status object and continues", async () => {
  const args = ["-c0", "-i.02", "-W30", "--json"];
  const { code, stdout, stderr } = await during(args, [echo], async (child, out) => {
    await out.until(/"reply"/);
    child.kill("SIGQUIT");
    await out.until(/"status".*\n[^]*"reply"/);
    child.kill("SIGTERM");
  });
  assertEquals([code, stderr], [0, ""]);
  const lines = stdout.trim().split("\n").map((line) => JSON.parse(line));
  const status = lines.find(({ event }) => event === "status");
  const summary = lines.find(({ event }) => event === "summary");
  assertEquals(Object.keys(status), Object.keys(summary).filter((key) => key !== "replay"));
});

/** Runs the pinger, and returns the datagrams that came, with times masked. */
async function runBeats(args: string[], stopAfter = Infinity, quitAt = Infinity) {
  const server = udp();
  const { port } = addressOf(server);
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", `${ROOT}udp_pinger.ts`, "--heartbeat", ...args, `127.0.0.1:${port}`],
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const heard: string[] = [];
  const hearing = (async () => {
    for await (const [octets] of server) {
      heard.push(toByteString(octets).replace(/time=\d{10}\.\d{6}/, "time=T"));
      if (heard.length === quitAt) child.kill("SIGQUIT");
      if (heard.length === stopAfter) child.kill("SIGINT");
    }
  })();
  const { code, stdout, stderr } = await child.output();
  server.close();
  await hearing;
  const shown = toByteString(stdout).replace(`:${port}`, ":P");
  return { code, stdout: shown, stderr: toByteString(stderr).replace(`:${port}`, ":P"), heard };
}

Deno.test("command line: Ctrl-C sends three farewells after heartbeats", async () => {
  const { code, stdout, stderr, heard } = await runBeats(["-i30", "--name", "web1"], 1);
  const farewell = "sequence=2\ttime=T\tname=web1\tinterval=30\tbye=1";
  assertEquals(heard, [
    "sequence=1\ttime=T\tname=web1\tinterval=30",
    farewell,
    farewell,
    farewell,
  ]);
  assertEquals([code, stdout], [0, "2 heartbeats sent to 127.0.0.1:P, 0 errors\n"]);
  assertEquals(stderr, "udp_pinger: heartbeats to 127.0.0.1:P every 30 s\n");
});

Deno.test("command line: SIGQUIT does not end heartbeats", async () => {
  const { code, stdout, heard } = await runBeats(["-i.05"], 3, 1);
  assertEquals(code, 0);
  assertMatch(stdout, /^\d+ heartbeats sent to 127\.0\.0\.1:P, 0 errors\n$/);
  assertMatch(heard.at(-1) ?? "", /\tbye=1$/);
});

Deno.test("command line: --heartbeat -c1 sends one beat three times and ends at once", async () => {
  const { code, stdout, heard } = await runBeats(["-c1", "-i86400", "--name=backup"]);
  const [first = ""] = heard;
  assertEquals(heard, [first, first, first]);
  assertMatch(first, /^sequence=\d{10}\ttime=T\tname=backup\tinterval=86400$/);
  assertEquals([code, stdout], [0, "1 heartbeat sent to 127.0.0.1:P, 0 errors\n"]);
});

Deno.test("command line: --fail sends one beat with its text", async () => {
  const { code, heard } = await runBeats(["--fail", "disk full", "--name=backup", "-q"]);
  assertEquals([code, heard.length], [0, 3]);
  assertMatch(heard[0] ?? "", /^sequence=\d{10}\ttime=T\tname=backup\tinterval=5\tfail=disk full$/);
});

for (const zone of ["nope", "no%pe"]) {
  Deno.test(`command line: heartbeats that cannot be sent to the zone ${zone} are exit 2`, async () => {
    const args = ["--heartbeat", "-c1", "-i.01", `fe80::1%${zone}`];
    const { code, stdout, stderr } = await runProgram("udp_pinger.ts", args);
    assertEquals([code, stdout], [2, `0 heartbeats sent to [fe80::1%${zone}]:12000, 1 error\n`]);
    assertEquals(
      stderr,
      `udp_pinger: Cannot send heartbeats: no network interface "${zone}"\n`,
    );
  });
}

/** What the help says with a number. */
const HELP = [
  "probes, with -w replies; 0 is until Ctrl-C (default: 10)",
  "time to wait for a reply (default: 1)",
  "-c probes each (default: 3), and shows which pass",
  "probes in flight at once (default: 1)",
  "as fast as replies come, or 100 a second if that is more",
  "HOST:PORT or HOST PORT (default: 12000)",
  "-4, --ipv4 IPv4 only -6, --ipv6 IPv6 only",
  "exit 1 if more is lost: 0.1, 10% or 1/10",
  "exit 1 if the 95th percentile is above",
  "send heartbeats until Ctrl-C, every -i seconds (5); -c N sends N, for cron",
  "Times are seconds (0.2) unless the option says MS; 20ms is accepted, too.",
  "fe80::1%eth0",
  "udp_pinger.ts -i 0.2 127.0.0.1",
  "Exit status: 0 some reply, 1 none, 2 error.",
];
Deno.test("command line: the numbers in the help", async () => {
  const { stdout } = await runProgram("udp_pinger.ts", ["--help"]);
  const help = stdout.replace(/\s+/g, " ");
  for (const phrase of HELP) assertStringIncludes(help, phrase);
});
