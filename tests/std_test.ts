/**
 * What the programs rely on in @std/cli, @std/fmt and @std/assert. Holds of the stand-ins in `std/`
 * and of the originals alike.
 *
 * @module
 */
import {
  assert,
  assertAlmostEquals,
  assertArrayIncludes,
  assertEquals,
  assertExists,
  assertFalse,
  assertGreater,
  assertGreaterOrEqual,
  assertInstanceOf,
  AssertionError,
  assertLess,
  assertLessOrEqual,
  assertMatch,
  assertNotEquals,
  assertNotMatch,
  assertObjectMatch,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
  equal,
  fail,
  unreachable,
} from "@std/assert";
import { parseArgs as parseArgsOfAll, promptSecret as promptSecretOfAll } from "@std/cli";
import { parseArgs } from "@std/cli/parse-args";
import { promptSecret, type PromptSecretOptions } from "@std/cli/prompt-secret";
import { format as formatBytes } from "@std/fmt/bytes";
import * as colors from "@std/fmt/colors";
import { format as formatDuration } from "@std/fmt/duration";

/** The folder of deno.json, which says what "@std" stands for. */
const ROOT = new URL("..", import.meta.url);

// ---- @std/cli/parse-args -----------------------------------------------

const OPTIONS = {
  string: ["host", "port", "header", "compress"],
  boolean: ["help", "quiet", "follow", "fast"],
  collect: ["header"],
  negatable: ["follow", "compress"],
  short: { h: "help", p: "port" },
} as const;

const DEFAULTS = { host: "localhost", follow: true };

/** What there is when nothing is given. */
const NOTHING = {
  host: "localhost",
  header: [],
  help: false,
  quiet: false,
  follow: true,
  fast: false,
  _: [],
};

const COMMAND_LINES: [rule: string, args: string[], found: Record<string, unknown>][] = [
  ["fills in defaults, false for booleans, [] for collected ones", [], {}],
  ["takes a value behind =", ["--port=80"], { port: "80" }],
  ["splits at the first =", ["--host=a=b="], { host: "a=b=" }],
  ["takes a value of several lines", ["--host=a\nb"], { host: "a\nb" }],
  ["takes a value that looks like an option", ["--host=--port"], { host: "--port" }],
  ['gives a string option without a value ""', ["--port", "--"], { port: "" }],
  ['lets "" win over a default', ["--host"], { host: "" }],
  ["lets the last of two values win", ["--port=1", "--port=2"], { port: "2" }],
  ["sets a boolean", ["--help", "--fast"], { help: true, fast: true }],
  ["reads the value of a boolean", ["--help=false", "--fast=true"], { fast: true }],
  ["collects values in order", ["--header=a", "--header=b"], { header: ["a", "b"] }],
  ['collects "", too', ["--header", "--header=b"], { header: ["", "b"] }],
  ["turns a negatable option off", ["--no-follow"], { follow: false }],
  ["turns a negatable string off", ["--no-compress"], { compress: false }],
  ["lets the last of on and off win", ["--no-follow", "--follow"], {}],
  ["takes no- for a part of any other name", ["--no-fast"], { "no-fast": true }],
  ["keeps what follows -- as it is", ["--", "80", "-x", "--"], { _: ["80", "-x", "--"] }],
  ["reads no option behind --", ["--help", "--", "--fast"], { help: true, _: ["--fast"] }],
  ["makes a number of a positional ahead of --", ["80", "a"], { _: [80, "a"] }],
  ["makes 16 of 0x10, but no number of 0b1", ["0x10", "0b1"], { _: [16, "0b1"] }],
  ["takes an option it was not told of", ["--depth=3", "--name=a"], { depth: 3, name: "a" }],
];

for (const [rule, args, found] of COMMAND_LINES) {
  Deno.test(`parseArgs() ${rule}`, () => {
    assertEquals(parseArgs(args, { ...OPTIONS, default: DEFAULTS }), { ...NOTHING, ...found });
  });
}

Deno.test("parseArgs() leaves out a string option that is not given", () => {
  assertEquals(parseArgs([], { string: ["port"] }), { _: [] });
});

Deno.test("parseArgs() keeps positionals as they are if _ is a string option", () => {
  assertEquals<unknown>(parseArgs(["80"], { string: ["_"] }), { _: ["80"] });
});

Deno.test('parseArgs() puts what follows -- into "--" if told to', () => {
  const found = parseArgs(["a", "--", "80"], { "--": true });
  assertEquals(found, { _: ["a"], "--": ["80"] });
  const behind: string[] = found["--"];
  assertEquals(behind, ["80"]);
});

Deno.test("parseArgs() gives an option under its other names, too", () => {
  const found = parseArgs(["--usage", "--port=80"], {
    boolean: ["help"],
    string: ["port"],
    alias: { help: ["h", "usage"], port: "p" },
  });
  assertEquals(found, { help: true, h: true, usage: true, port: "80", p: "80", _: [] });
});

Deno.test("parseArgs() asks unknown() about what it was not told of", () => {
  const asked: unknown[] = [];
  const unknown = (...args: unknown[]): boolean => {
    asked.push(args);
    return false;
  };
  const args = ["rest", "--help", "--depth=3", "--wide", "--", "behind"];
  const found = parseArgs(args, { boolean: ["help"], unknown });
  assertEquals(found, { help: true, _: ["behind"] });
  assertEquals(asked.length, 3);
  assertArrayIncludes(asked, [["--depth=3", "depth", "3"], ["rest"]]);
});

/** `true` if two types are the same, else `false`. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true
  : false;

Deno.test("parseArgs() gives each option its type", () => {
  const found = parseArgs([], { ...OPTIONS, default: DEFAULTS });
  const types: [
    Same<typeof found.port, string | undefined>,
    Same<typeof found.host, string>,
    Same<typeof found.header, string[]>,
    Same<typeof found.help, boolean>,
    Same<typeof found.follow, boolean>,
    Same<typeof found.compress, string | false | undefined>,
    Same<typeof found._, (string | number)[]>,
  ] = [true, true, true, true, true, true, true];
  assertEquals(types.length, 7);
});

Deno.test("@std/cli exports what its parts do", () => {
  assertStrictEquals(parseArgsOfAll, parseArgs);
  assertStrictEquals(promptSecretOfAll, promptSecret);
});

// ---- @std/cli/prompt-secret --------------------------------------------

/** Asks for one secret after another, and prints each as JSON. */
const ASK = `
  import { promptSecret } from "@std/cli/prompt-secret";
  for (const [message, options] of JSON.parse(Deno.args[0])) {
    console.log(JSON.stringify(promptSecret(message, options)));
  }`;

/** Runs a command on a terminal, and types: each of some keys as soon as its prompt is shown. */
const TYPIST = `
import json, os, pty, signal, sys
turns, columns = json.loads(sys.argv[1])
child, terminal = pty.fork()
if child == 0:
    import fcntl, struct, termios
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    os.execvp(sys.argv[2], sys.argv[2:])
signal.alarm(30)
screen, seen = b"\\n", 0
def look():
    global screen
    try:
        octets = os.read(terminal, 4096)
    except OSError:
        octets = b""
    screen += octets
    return octets
for prompt, keys in turns:
    while f"\\n{prompt}".encode() not in screen[seen:] and look():
        pass
    seen = len(screen)
    os.write(terminal, keys.encode())
while look():
    pass
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(json.dumps({"screen": screen[1:].decode(), "status": status}))
`;

interface Turn {
  keys: string;
  message?: string;
  options?: PromptSecretOptions;
}

/** Plays the turns on a terminal: what was printed, and how the program ended. */
async function play(turns: Turn[], columns = 80): Promise<{ screen: string; status: number }> {
  const questions = turns.map(({ message, options }) => [message ?? "Secret", options ?? {}]);
  const answers = turns.map(({ message, keys }) => [`${message ?? "Secret"} `, keys]);
  const asking = [Deno.execPath(), "eval", "--quiet", ASK, JSON.stringify(questions)];
  const { stdout, stderr } = await new Deno.Command("python3", {
    args: ["-c", TYPIST, JSON.stringify([answers, columns]), ...asking],
    env: { NO_COLOR: "1" },
    cwd: ROOT,
  }).output();
  assertEquals(new TextDecoder().decode(stderr), "");
  return JSON.parse(new TextDecoder().decode(stdout));
}

/** The rows that are left on the screen. */
function rowsOf(screen: string): string[] {
  return screen.split("\r\n").map((row) => row.split("\r\x1b[K").at(-1) ?? "");
}

const hasTerminal = Deno.build.os !== "windows" && await hasPython();
if (!hasTerminal) console.log("Without python3 and its pty, promptSecret() is not tested");

async function hasPython(): Promise<boolean> {
  const python = new Deno.Command("python3", { args: ["-c", "import pty"] });
  return await python.output().then(({ success }) => success, () => false);
}

const TURNS: [rule: string, keys: string, options: PromptSecretOptions, rows: string[]][] = [
  ["shows a * for each character", "abc\r", {}, ["Secret ***", '"abc"']],
  ["ends at LF, too", "abc\n", {}, ["Secret ***", '"abc"']],
  ["takes an empty line", "\r", {}, ["Secret ", '""']],
  ["keeps spaces", " a b \r", {}, ["Secret *****", '" a b "']],
  ["erases at DEL", "abx\x7fc\r", {}, ["Secret ***", '"abc"']],
  ["erases at BS", "abx\bc\r", {}, ["Secret ***", '"abc"']],
  ["erases nothing ahead of the first", "\x7f\x7fa\r", {}, ["Secret *", '"a"']],
  ["shows the mask it is told to", "ab\r", { mask: "#" }, ["Secret ##", '"ab"']],
  ["shows nothing for an empty mask", "ab\r", { mask: "" }, ["Secret ", '"ab"']],
  ["wipes its line if told to", "ab\r", { clear: true }, ['"ab"']],
];

Deno.test("promptSecret() on a terminal", { ignore: !hasTerminal }, async (t) => {
  const { screen, status } = await play(TURNS.map(([_, keys, options]) => ({ keys, options })));
  const rows = rowsOf(screen);
  for (const [rule, _keys, _options, expected] of TURNS) {
    await t.step(`promptSecret() ${rule}`, () => {
      assertEquals(rows.splice(0, expected.length), expected);
    });
  }
  assertEquals([rows, status], [[""], 0]);
});

Deno.test("promptSecret() shows a message of one's own", { ignore: !hasTerminal }, async () => {
  const { screen } = await play([{ keys: "a\r", message: "Password:" }]);
  assertEquals(rowsOf(screen), ["Password: *", '"a"', ""]);
});

Deno.test("promptSecret() takes UTF-8", { ignore: !hasTerminal }, async () => {
  const { screen } = await play([{ keys: "pä€𝄞\r" }]);
  assertEquals(rowsOf(screen).at(1), '"pä€𝄞"');
});

Deno.test("promptSecret() takes several rows, erases back over them, shows nothing", {
  ignore: !hasTerminal,
}, async () => {
  const secret = "fifteen letters";
  const { screen } = await play([{ keys: `${secret}xy${"\x7f".repeat(12)}en letters\r` }], 16);
  assertEquals(rowsOf(screen).at(-2), JSON.stringify(secret));
  assertEquals(screen.split("fif").length, 2);
});

Deno.test("promptSecret() leaves Ctrl-C what it is", { ignore: !hasTerminal }, async () => {
  const { screen, status } = await play([{ keys: "ab\x03" }]);
  assertEquals(status, -2); // ended by signal 2, SIGINT
  assertFalse(screen.includes("null"));
});

Deno.test("promptSecret() returns null if standard input is no terminal", async () => {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--quiet", ASK, JSON.stringify([["Secret"]])],
    cwd: ROOT,
    stdin: "null",
  }).output();
  assertEquals(new TextDecoder().decode(stdout), "null\n");
});

// ---- @std/fmt ----------------------------------------------------------

const BYTES: [number, string, Parameters<typeof formatBytes>[1]?][] = [
  [0, "0 B"],
  [0.4, "0.4 B"],
  [1, "1 B"],
  [999, "999 B"],
  [1000, "1 kB"],
  [1337, "1.34 kB"],
  [65_536, "65.5 kB"],
  [999_999, "1000 kB"],
  [1e6, "1 MB"],
  [1.5e9, "1.5 GB"],
  [1e12, "1 TB"],
  [1e15, "1 PB"],
  [1e18, "1 EB"],
  [1e21, "1 ZB"],
  [1e24, "1 YB"],
  [1e28, "10000 YB"],
  [-1337, "-1.34 kB"],
  [0, " 0 B", { signed: true }],
  [42, "+42 B", { signed: true }],
  [-42, "-42 B", { signed: true }],
  [1, "1 b", { bits: true }],
  [1337, "1.34 kbit", { bits: true }],
  [1023, "1020 B", { binary: true }],
  [1024, "1 kiB", { binary: true }],
  [1024 ** 3, "1 GiB", { binary: true }],
  [8192, "8 kibit", { binary: true, bits: true }],
  [1e6, "1.00 MB", { minimumFractionDigits: 2 }],
  [1_234_567, "1.2 MB", { maximumFractionDigits: 1 }],
  [1_234_567, "1.23 MB", { maximumFractionDigits: 0 }],
  [1_900_000, "1.900 MB", { minimumFractionDigits: 3, maximumFractionDigits: 3 }],
  [1337, "1,34 kB", { locale: "de" }],
  [1_234_567, "1,2346 MB", { locale: ["de"], maximumFractionDigits: 4 }],
];

for (const [num, text, options] of BYTES) {
  const given = options === undefined ? "" : ` with ${Deno.inspect(options)}`;
  Deno.test(`bytes.format() writes ${num}${given} as "${text}"`, () => {
    assertEquals(formatBytes(num, options), text);
  });
}

Deno.test("bytes.format() refuses what is not finite", () => {
  for (const num of [NaN, Infinity, -Infinity]) assertThrows(() => formatBytes(num), TypeError);
});

const DURATIONS: [number, string, Parameters<typeof formatDuration>[1]?][] = [
  [0, "0d 0h 0m 0s 0ms 0µs 0ns"],
  [99_674, "0d 0h 1m 39s 674ms 0µs 0ns"],
  [-99_674, "0d 0h 1m 39s 674ms 0µs 0ns"],
  [1.1, "0d 0h 0m 0s 1ms 100µs 0ns"],
  [1.000_002, "0d 0h 0m 0s 1ms 0µs 2ns"],
  [176_461_001.234_567, "2d 1h 1m 1s 1ms 234µs 567ns"],
  [99_674, "1m 39s 674ms", { ignoreZero: true }],
  [3_600_000.5, "1h 500µs", { ignoreZero: true }],
  [0, "", { ignoreZero: true }],
  [61_000, "1 minutes, 1 seconds", { style: "full", ignoreZero: true }],
  [
    1,
    "0 days, 0 hours, 0 minutes, 0 seconds, 1 milliseconds, 0 microseconds, 0 nanoseconds",
    { style: "full" },
  ],
  [99_674, "00:00:01:39:674:000:000", { style: "digital" }],
  [99_674, "00:00:01:39:674", { style: "digital", ignoreZero: true }],
  [3_600_000, "00:01", { style: "digital", ignoreZero: true }],
];

for (const [ms, text, options] of DURATIONS) {
  const given = options === undefined ? "" : ` with ${Deno.inspect(options)}`;
  Deno.test(`duration.format() writes ${ms}${given} as "${text}"`, () => {
    assertEquals(formatDuration(ms, options), text);
  });
}

const COLORS: [keyof typeof colors & string, (text: string) => string, string][] = [
  ["bold", colors.bold, "\x1b[1ma\x1b[22m"],
  ["dim", colors.dim, "\x1b[2ma\x1b[22m"],
  ["underline", colors.underline, "\x1b[4ma\x1b[24m"],
  ["red", colors.red, "\x1b[31ma\x1b[39m"],
  ["green", colors.green, "\x1b[32ma\x1b[39m"],
  ["yellow", colors.yellow, "\x1b[33ma\x1b[39m"],
  ["blue", colors.blue, "\x1b[34ma\x1b[39m"],
  ["magenta", colors.magenta, "\x1b[35ma\x1b[39m"],
  ["cyan", colors.cyan, "\x1b[36ma\x1b[39m"],
];

/** Calls a function with the colours on or off, and puts them back. */
function withColors(on: boolean, fn: () => void): void {
  const before = colors.getColorEnabled();
  colors.setColorEnabled(on);
  try {
    fn();
  } finally {
    colors.setColorEnabled(before);
  }
}

for (const [name, color, painted] of COLORS) {
  Deno.test(`${name}() paints`, { ignore: Deno.noColor }, () => {
    withColors(true, () => assertEquals(color("a"), painted));
  });
  Deno.test(`${name}() does nothing when colours are off`, () => {
    withColors(false, () => assertEquals(color("a"), "a"));
  });
}

Deno.test("red() goes on where a colour in the text ends", { ignore: Deno.noColor }, () => {
  withColors(true, () => {
    const text = colors.red(`a${colors.blue("b")}c`);
    assertEquals(text, "\x1b[31ma\x1b[34mb\x1b[31mc\x1b[39m");
  });
});

Deno.test("setColorEnabled() does nothing if the user set NO_COLOR", async () => {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: [
      "eval",
      "--quiet",
      `import { getColorEnabled, red, setColorEnabled } from "@std/fmt/colors";
      setColorEnabled(true);
      console.log(getColorEnabled(), red("a"));`,
    ],
    env: { NO_COLOR: "1" },
    cwd: ROOT,
  }).output();
  assertEquals(new TextDecoder().decode(stdout), "false a\n");
});

const STRIPPED: [string, string][] = [
  ["plain [31m text", "plain [31m text"],
  ["\x1b[1;31mred\x1b[0m", "red"],
  ["\x1b[38;5;200mpink\x1b[39m", "pink"],
  ["\r\x1b[Kline", "\rline"],
  ["\x1b[2J\x1b[10;20Hat", "at"],
  ["\x1b]0;title\x07text", "text"],
  ["\x9b31mred", "red"],
];

for (const [text, plain] of STRIPPED) {
  Deno.test(`stripAnsiCode() makes ${JSON.stringify(text)} plain`, () => {
    assertEquals(colors.stripAnsiCode(text), plain);
  });
}

// ---- @std/assert: equal() ----------------------------------------------

class Point {
  #hidden: number;
  constructor(readonly x: number, hidden = 0) {
    this.#hidden = hidden;
  }
  get shown(): number {
    return this.#hidden;
  }
}

class Spot extends Point {}

/** A list whose only item is the list itself. */
function cyclic(): unknown[] {
  const list: unknown[] = [];
  list.push(list);
  return list;
}

const octets = new Uint8Array([9, 1, 2, 9]);
const key = Symbol("key");

const EQUALS: [rule: string, a: unknown, b: unknown][] = [
  ["numbers", 1, 1],
  ["strings", "a", "a"],
  ["undefined", undefined, undefined],
  ["NaN", [NaN], [NaN]],
  ["0 and -0", [0], [-0]],
  ["nested arrays and objects", { a: [1, { b: 2 }] }, { a: [1, { b: 2 }] }],
  ["keys in any order", { a: 1, b: 2 }, { b: 2, a: 1 }],
  ["symbols as keys", { [key]: 1 }, { [key]: 1 }],
  ["an object with no prototype", Object.create(null), {}],
  ["dates", new Date(5), new Date(5)],
  ["dates that are none", new Date(NaN), new Date(NaN)],
  ["patterns", /a/g, /a/g],
  ["URLs", new URL("http://a/"), new URL("http://a")],
  ["query parameters", new URLSearchParams("a=1"), new URLSearchParams({ a: "1" })],
  ["maps in any order", new Map([[1, [2]], [3, [4]]]), new Map([[3, [4]], [1, [2]]])],
  ["objects as keys of maps", new Map([[{ a: 1 }, 2]]), new Map([[{ a: 1 }, 2]])],
  ["sets in any order", new Set([1, "a"]), new Set(["a", 1])],
  ["objects in sets", new Set([{ a: 1 }, { b: 2 }]), new Set([{ b: 2 }, { a: 1 }])],
  ["octets", new Uint8Array([1, 2]), octets.subarray(1, 3)],
  ["buffers", new Uint8Array([1, 2]).buffer, new Uint8Array([1, 2]).buffer],
  ["other typed arrays", new Float64Array([NaN, 0]), new Float64Array([NaN, -0])],
  ["instances of a class", new Point(1), new Point(1)],
  ["cycles", cyclic(), cyclic()],
];

const DIFFERS: [rule: string, a: unknown, b: unknown][] = [
  ["number and string", 1, "1"],
  ["null and undefined", null, undefined],
  ["null and object", null, {}],
  ["nested arrays and objects", { a: [1, { b: 2 }] }, { a: [1, { b: 3 }] }],
  ["arrays of different lengths", [], [undefined]],
  ["array and object", [1], { 0: 1 }],
  ["different keys", { a: undefined }, { b: undefined }],
  ["missing and undefined", {}, { a: undefined }],
  ["values of symbols", { [key]: 1 }, { [key]: 2 }],
  ["a symbol and none", { [key]: 1 }, {}],
  ["dates", new Date(5), new Date(6)],
  ["date and none", new Date(5), new Date(NaN)],
  ["patterns", /a/, /b/],
  ["flags of patterns", /a/g, /a/i],
  ["URLs", new URL("http://a/"), new URL("http://a/b")],
  ["values of maps", new Map([[1, [2]]]), new Map([[1, [3]]])],
  ["keys of maps", new Map([[1, 2]]), new Map([[2, 2]])],
  ["objects as keys of maps", new Map([[{ a: 1 }, 2]]), new Map([[{ a: 2 }, 2]])],
  ["an object and undefined as keys", new Map([[{}, 1]]), new Map([[undefined, 1]])],
  ["sets", new Set([1]), new Set([2])],
  ["sets of different sizes", new Set([1]), new Set([1, 2])],
  ["objects in sets", new Set([{ a: 1 }]), new Set([{ a: 2 }])],
  ["map and set", new Map(), new Set()],
  ["octets", new Uint8Array([1, 2]), new Uint8Array([1, 3])],
  ["octets of different lengths", new Uint8Array(1), new Uint8Array(2)],
  ["typed arrays of different types", new Uint8Array(1), new Uint16Array(1)],
  ["octets and array", new Uint8Array([1]), [1]],
  ["buffers", new Uint8Array([1]).buffer, new Uint8Array([2]).buffer],
  ["instances of different classes", new Point(1), new Spot(1)],
  ["instance and object", new Point(1), { x: 1 }],
  ["what only getters show", new Point(1, 2), new Point(1, 3)],
  ["functions", () => 1, () => 1],
  ["a cycle and none", cyclic(), [[1]]],
];

for (const [rule, a, b] of EQUALS) {
  Deno.test(`equal() holds: ${rule}`, () => {
    assert(equal(a, b));
    assert(equal(b, a));
    assertEquals(a, b);
    assertThrows(() => assertNotEquals(a, b), AssertionError);
  });
}

for (const [rule, a, b] of DIFFERS) {
  Deno.test(`equal() does not hold: ${rule}`, () => {
    assertFalse(equal(a, b));
    assertFalse(equal(b, a));
    assertNotEquals(a, b);
    assertThrows(() => assertEquals(a, b), AssertionError);
  });
}

Deno.test("equal() refuses to compare what cannot be looked into", () => {
  assertThrows(() => equal(new WeakMap(), new WeakMap()), TypeError);
  assertThrows(() => equal(new WeakSet(), new WeakSet()), TypeError);
});

Deno.test("equal() compares a megabyte at once", () => {
  const [a, b] = [new Uint8Array(2 ** 20), new Uint8Array(2 ** 20)];
  assert(equal(a, b));
  b[b.length - 1] = 1;
  assertFalse(equal(a, b));
});

// ---- @std/assert: the claims -------------------------------------------

const CLAIMS: { name: string; holds: (() => void)[]; fails: (() => void)[] }[] = [
  {
    name: "assert",
    holds: [() => assert(true), () => assert(1), () => assert("a"), () => assert([])],
    fails: [() => assert(false), () => assert(0), () => assert(""), () => assert(null)],
  },
  {
    name: "assertFalse",
    holds: [() => assertFalse(false), () => assertFalse(0), () => assertFalse(undefined)],
    fails: [() => assertFalse(true), () => assertFalse("a")],
  },
  {
    name: "assertExists",
    holds: [() => assertExists(0), () => assertExists(""), () => assertExists(false)],
    fails: [() => assertExists(null), () => assertExists(undefined)],
  },
  {
    name: "assertInstanceOf",
    holds: [() => assertInstanceOf(new Spot(1), Point), () => assertInstanceOf([], Array)],
    fails: [
      () => assertInstanceOf(new Point(1), Spot),
      () => assertInstanceOf(null, Object),
      () => assertInstanceOf("a", String),
      () => assertInstanceOf(Object.create(null), Object),
    ],
  },
  {
    name: "assertStrictEquals",
    holds: [() => assertStrictEquals(NaN, NaN), () => assertStrictEquals(octets, octets)],
    fails: [() => assertStrictEquals([], []), () => assertStrictEquals(0, -0)],
  },
  {
    name: "assertAlmostEquals",
    holds: [
      () => assertAlmostEquals(0.1 + 0.2, 0.3),
      () => assertAlmostEquals(-100.000001, -100),
      () => assertAlmostEquals(1, 1.5, 0.5),
      () => assertAlmostEquals(NaN, NaN),
      () => assertAlmostEquals(Infinity, Infinity),
    ],
    fails: [
      () => assertAlmostEquals(1, 1.001),
      () => assertAlmostEquals(1, 2, 0.5),
      () => assertAlmostEquals(1, Infinity),
      () => assertAlmostEquals(NaN, 1),
    ],
  },
  {
    name: "assertGreater",
    holds: [() => assertGreater(2, 1), () => assertGreater("b", "a")],
    fails: [() => assertGreater(1, 1), () => assertGreater(1, 2), () => assertGreater(NaN, 1)],
  },
  {
    name: "assertGreaterOrEqual",
    holds: [() => assertGreaterOrEqual(2, 1), () => assertGreaterOrEqual(1, 1)],
    fails: [() => assertGreaterOrEqual(1, 2), () => assertGreaterOrEqual(NaN, 1)],
  },
  {
    name: "assertLess",
    holds: [() => assertLess(1, 2)],
    fails: [() => assertLess(1, 1), () => assertLess(2, 1), () => assertLess(NaN, 1)],
  },
  {
    name: "assertLessOrEqual",
    holds: [() => assertLessOrEqual(1, 2), () => assertLessOrEqual(1, 1)],
    fails: [() => assertLessOrEqual(2, 1), () => assertLessOrEqual(NaN, 1)],
  },
  {
    name: "assertMatch",
    holds: [() => assertMatch("abc", /b/)],
    fails: [() => assertMatch("abc", /^b/)],
  },
  {
    name: "assertNotMatch",
    holds: [() => assertNotMatch("abc", /^b/)],
    fails: [() => assertNotMatch("abc", /b/)],
  },
  {
    name: "assertStringIncludes",
    holds: [() => assertStringIncludes("abc", "bc"), () => assertStringIncludes("abc", "")],
    fails: [() => assertStringIncludes("abc", "cb")],
  },
  {
    name: "assertArrayIncludes",
    holds: [
      () => assertArrayIncludes([1, 2, NaN], [NaN, 1]),
      () => assertArrayIncludes([{ a: 1 }, { b: 2 }], [{ b: 2 }]),
      () => assertArrayIncludes(octets, new Uint8Array([2])),
    ],
    fails: [
      () => assertArrayIncludes([1, 2], [1, 3]),
      () => assertArrayIncludes([{ a: 1 }], [{ a: 2 }]),
    ],
  },
  {
    name: "assertObjectMatch",
    holds: [
      () => assertObjectMatch({ a: 1, b: 2 }, { a: 1 }),
      () => assertObjectMatch({ a: { b: 1, c: 2 }, d: 3 }, { a: { b: 1 } }),
      () => assertObjectMatch({ a: 1 }, {}),
      () => assertObjectMatch({ list: [{ a: 1, b: 2 }, 3, 4] }, { list: [{ a: 1 }, 3] }),
      () =>
        assertObjectMatch({ map: new Map([[1, { a: 1, b: 2 }], [2, {}]]) }, {
          map: new Map([[1, { a: 1 }]]),
        }),
      () => assertObjectMatch({ set: new Set([1, 2]) }, { set: new Set([2]) }),
      () => assertObjectMatch({ point: new Point(1) }, { point: { x: 1 } }),
      () => assertObjectMatch({ [key]: { a: 1, b: 2 } }, { [key]: { a: 1 } }),
      () =>
        assertObjectMatch({ pattern: /a/, date: new Date(5) }, { pattern: /a/, date: new Date(5) }),
    ],
    fails: [
      () => assertObjectMatch({ a: 1 }, { a: 2 }),
      () => assertObjectMatch({ a: 1 }, { b: 1 }),
      () => assertObjectMatch({ a: { b: 1 } }, { a: { b: 1, c: 2 } }),
      () => assertObjectMatch({}, { a: undefined }),
      () => assertObjectMatch({ list: [1] }, { list: [1, 2] }),
      () => assertObjectMatch({ list: [1, 2] }, { list: [2] }),
      () => assertObjectMatch({ set: new Set([1]) }, { set: new Set([2]) }),
      () => assertObjectMatch({ map: new Map([[1, 1]]) }, { map: new Map([[1, 2]]) }),
      () => assertObjectMatch({ pattern: /a/ }, { pattern: /b/ }),
      () => assertObjectMatch({ a: null }, { a: {} }),
    ],
  },
  { name: "fail", holds: [], fails: [() => fail(), () => fail("why")] },
  { name: "unreachable", holds: [], fails: [() => unreachable(), () => unreachable("why")] },
];

for (const { name, holds, fails } of CLAIMS) {
  Deno.test(`${name}() returns if the claim holds, else throws an AssertionError`, () => {
    for (const claim of holds) claim();
    for (const claim of fails) assertInstanceOf(thrownBy(claim), AssertionError, String(claim));
  });
}

/** What a function throws, or `undefined`. */
function thrownBy(fn: () => void): unknown {
  try {
    fn();
  } catch (error) {
    return error;
  }
}

const WITH_MESSAGE: Record<string, () => void> = {
  assert: () => assert(false, "the reason"),
  assertFalse: () => assertFalse(true, "the reason"),
  assertExists: () => assertExists(null, "the reason"),
  assertInstanceOf: () => assertInstanceOf(1, Point, "the reason"),
  assertEquals: () => assertEquals(1, 2, "the reason"),
  assertNotEquals: () => assertNotEquals(1, 1, "the reason"),
  assertStrictEquals: () => assertStrictEquals(1, 2, "the reason"),
  assertAlmostEquals: () => assertAlmostEquals(1, 2, 0, "the reason"),
  assertGreater: () => assertGreater(1, 2, "the reason"),
  assertMatch: () => assertMatch("a", /b/, "the reason"),
  assertNotMatch: () => assertNotMatch("a", /a/, "the reason"),
  assertStringIncludes: () => assertStringIncludes("a", "b", "the reason"),
  assertArrayIncludes: () => assertArrayIncludes([1], [2], "the reason"),
  assertObjectMatch: () => assertObjectMatch({}, { a: 1 }, "the reason"),
  "assertThrows, short form": () => assertThrows(() => {}, "the reason"),
  "assertThrows, long form": () => assertThrows(() => {}, Error, "", "the reason"),
  fail: () => fail("the reason"),
  unreachable: () => unreachable("the reason"),
};

for (const [name, claim] of Object.entries(WITH_MESSAGE)) {
  Deno.test(`${name}: the caller's message is in that of the error`, () => {
    const error = thrownBy(claim);
    assertInstanceOf(error, AssertionError);
    assertStringIncludes(error.message, "the reason");
  });
}

Deno.test("AssertionError is an Error that knows its name and its cause", () => {
  const error = new AssertionError("message", { cause: "cause" });
  assertInstanceOf(error, Error);
  assertEquals([error.name, error.message, error.cause], ["AssertionError", "message", "cause"]);
});

const SHOWN: { rule: string; actual: unknown; expected: unknown; shows: string[] }[] = [
  { rule: "numbers", actual: 1234, expected: 5678, shows: ["1234", "5678"] },
  { rule: "strings", actual: "left", expected: "right", shows: ["left", "right"] },
  { rule: "fields", actual: { a: { b: "x" } }, expected: { a: { b: "y" } }, shows: ['"x"', '"y"'] },
  {
    rule: "the lines that differ",
    actual: `same\r\n${"equal\r\n".repeat(50)}left\r\n`,
    expected: `same\r\n${"equal\r\n".repeat(50)}right\r\n`,
    shows: ["left\\r", "right\\r"],
  },
  {
    rule: "what is deep inside",
    actual: { a: { b: { c: { d: { e: { f: "left" } } } } } },
    expected: { a: { b: { c: { d: { e: { f: "right" } } } } } },
    shows: ["left", "right"],
  },
];

for (const { rule, actual, expected, shows } of SHOWN) {
  Deno.test(`assertEquals() shows both values: ${rule}`, () => {
    const error = thrownBy(() => assertEquals(actual, expected));
    assertInstanceOf(error, AssertionError);
    const message = colors.stripAnsiCode(error.message);
    for (const text of shows) assertStringIncludes(message, text);
  });
}

// ---- @std/assert: what is thrown ---------------------------------------

abstract class PeerError extends Error {}

class SlowError extends PeerError {
  constructor(readonly ms: number) {
    super(`Took \x1b[1m${ms}\x1b[22m ms`);
  }
}

const slow = (): never => {
  throw new SlowError(5);
};
const thrower = (value: unknown) => () => {
  throw value;
};

Deno.test("assertThrows() returns what is thrown, whatever it is", () => {
  assertEquals(assertThrows(thrower("text")), "text");
  assertEquals(assertThrows(thrower(undefined), "the reason"), undefined);
});

Deno.test("assertThrows() returns an error of the class, with its type", () => {
  const error: SlowError = assertThrows(slow, SlowError);
  assertEquals(error.ms, 5);
  assertInstanceOf(assertThrows(slow, PeerError), SlowError);
  assertInstanceOf(assertThrows(slow, Error), SlowError);
});

Deno.test("assertThrows() looks for a text in the message, colours aside", () => {
  assertThrows(slow, SlowError, "Took 5 ms");
  assertThrows(slow, SlowError, "");
  assertThrows(() => assertThrows(slow, SlowError, "6 ms"), AssertionError);
});

Deno.test("assertThrows() fails if nothing, another class or no error is thrown", () => {
  assertThrows(() => assertThrows(() => 1), AssertionError);
  assertThrows(() => assertThrows(() => 1, Error), AssertionError);
  assertThrows(() => assertThrows(slow, TypeError), AssertionError);
  assertThrows(() => assertThrows(thrower("text"), Error), AssertionError);
});

Deno.test("assertRejects() resolves to the reason, whatever it is", async () => {
  assertEquals(await assertRejects(() => Promise.reject("text")), "text");
  assertEquals(await assertRejects(() => Promise.reject(undefined), "the reason"), undefined);
});

Deno.test("assertRejects() resolves to an error of the class, with its type", async () => {
  const error: SlowError = await assertRejects(() => Promise.try(slow), SlowError);
  assertEquals(error.ms, 5);
  assertInstanceOf(await assertRejects(() => Promise.try(slow), PeerError), SlowError);
});

Deno.test("assertRejects() looks for a text in the message, colours aside", async () => {
  const rejected = () => Promise.try(slow);
  await assertRejects(rejected, SlowError, "Took 5 ms");
  await assertRejects(() => assertRejects(rejected, SlowError, "6 ms"), AssertionError);
});

Deno.test("assertRejects() fails if the promise is fulfilled or rejected otherwise", async () => {
  const rejected = () => Promise.try(slow);
  await assertRejects(() => assertRejects(() => Promise.resolve(1)), AssertionError);
  await assertRejects(() => assertRejects(() => Promise.resolve(1), Error), AssertionError);
  await assertRejects(() => assertRejects(rejected, TypeError), AssertionError);
  await assertRejects(() => assertRejects(() => Promise.reject("text"), Error), AssertionError);
});

Deno.test("assertRejects() fails if the function throws ahead of its promise", async () => {
  await assertRejects(() => assertRejects(slow), AssertionError);
  await assertRejects(() => assertRejects(slow, SlowError), AssertionError);
});

Deno.test("assertRejects() puts the caller's message into that of the error", async () => {
  const fulfilled = () => Promise.resolve(1);
  for (
    const claim of [
      () => assertRejects(fulfilled, "the reason"),
      () => assertRejects(fulfilled, Error, "", "the reason"),
    ]
  ) await assertRejects(claim, AssertionError, "the reason");
});

// ---- @std/assert: what the compiler learns -----------------------------

/** Seen by the compiler only: each line stands on the claim ahead of it. */
export function narrow(value: unknown, text: string | undefined, error: unknown): number {
  assertExists(text);
  assertInstanceOf(error, PeerError);
  assertStrictEquals(value, 5);
  const falsy: string | 0 = Math.random() < 2 ? "" : 0;
  assertFalse(falsy);
  assert(value > text.length);
  return error.message.length + value;
}
