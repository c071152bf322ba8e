/**
 * Tests of what the project uses of @std/assert, @std/cli and @std/fmt. They hold for the stand-ins
 * in `std/` and for the original packages.
 *
 * @module
 */
import {
  assert,
  assertEquals,
  AssertionError,
  assertLess,
  assertMatch,
  assertNotEquals,
  assertNotMatch,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "jsr:@std/assert@^1.0.19";
import { parseArgs } from "jsr:@std/cli@^1.0.32/parse-args";
import { promptSecret } from "jsr:@std/cli@^1.0.32/prompt-secret";
import { format as formatBytes } from "jsr:@std/fmt@^1.0.10/bytes";
import { bold, cyan, green, yellow } from "jsr:@std/fmt@^1.0.10/colors";
import { format as formatDuration } from "jsr:@std/fmt@^1.0.10/duration";

const OPTIONS = {
  string: ["host", "port", "header", "_"],
  boolean: ["quiet", "listing", "compressed"],
  collect: ["header"],
  default: { listing: true, compressed: undefined },
};

for (
  const [rule, args, found] of [
    ["fills in defaults, false for flags, [] for lists", [], {}],
    ["takes a value after =", ["--port=80"], { port: "80" }],
    ["splits at the first =", ["--host=a=b="], { host: "a=b=" }],
    ["takes a value of several lines", ["--host=a\nb"], { host: "a\nb" }],
    ["takes a value that looks like an option", ["--host=--port"], { host: "--port" }],
    ['gives a text without a value ""', ["--port"], { port: "" }],
    ["lets the last of two values count", ["--port=1", "--port=2"], { port: "2" }],
    ["reads the value of a flag", ["--quiet=true", "--listing=false"], {
      quiet: true,
      listing: false,
    }],
    ["lets the last of on and off count", ["--quiet=true", "--quiet=false"], { quiet: false }],
    ["sets a flag that has no default", ["--compressed=false"], { compressed: false }],
    ["collects values in order", ["--header=a", "--header", "--header=b"], {
      header: ["a", "", "b"],
    }],
    ["keeps operands after -- as text", ["--", "--port", "--", "1", "0x10"], {
      _: ["--port", "--", "1", "0x10"],
    }],
  ] as [string, string[], Record<string, unknown>][]
) {
  Deno.test(`parseArgs ${rule}`, () => {
    // cli.ts ends the options with "--" in every command line
    const result = parseArgs(args.includes("--") ? args : [...args, "--"], OPTIONS);
    const nothing = { header: [], quiet: false, listing: true, compressed: undefined, _: [] };
    assertEquals({ ...result } as unknown, { ...nothing, ...found });
  });
}

Deno.test("promptSecret returns null without a terminal", () => {
  if (!Deno.stdin.isTerminal()) assertEquals(promptSecret("Password:"), null);
});

for (
  const [octets, shown] of [
    [0, "0 B"],
    [1, "1 B"],
    [999, "999 B"],
    [1000, "1 kB"],
    [1337, "1.34 kB"],
    [65_536, "65.5 kB"],
    [1_234_567, "1.23 MB"],
    [999_999, "1000 kB"],
    [1 << 30, "1.07 GB"],
    [1e15, "1 PB"],
  ] as const
) {
  Deno.test(`bytes: ${octets} is ${shown}`, () => assertEquals(formatBytes(octets), shown));
}

for (
  const [ms, shown] of [
    [0, ""],
    [1000, "1s"],
    [61_000, "1m 1s"],
    [3_600_000, "1h"],
    [90_061_000, "1d 1h 1m 1s"],
    [1500, "1s 500ms"],
  ] as const
) {
  Deno.test(`duration: ${ms} ms is "${shown}"`, () => {
    assertEquals(formatDuration(ms, { ignoreZero: true }), shown);
  });
}

Deno.test("colors put a text between two escape sequences, unless NO_COLOR is set", () => {
  const paint = (on: number, off: number) => Deno.noColor ? "a" : `\x1b[${on}ma\x1b[${off}m`;
  const wanted = [paint(1, 22), paint(32, 39), paint(33, 39), paint(36, 39)];
  assertEquals([bold("a"), green("a"), yellow("a"), cyan("a")], wanted);
});

Deno.test("colors go on after a text in them that ends the same colour", () => {
  const wanted = Deno.noColor ? "abc" : "\x1b[36ma\x1b[36mb\x1b[36mc\x1b[39m";
  assertEquals(cyan(`a${cyan("b")}c`), wanted);
});

/** A class of errors with a name of its own. */
class OwnError extends Error {}
const fail = (message: string) => () => {
  throw new OwnError(message);
};

/** Assertions that hold, and by their side ones that do not. */
const ASSERTIONS: Record<string, [holds: () => unknown, fails: () => unknown]> = {
  assert: [() => assert(1), () => assert(0)],
  "assertEquals of numbers": [() => assertEquals(NaN, NaN), () => assertEquals(1, 2)],
  "assertEquals of objects": [
    () => assertEquals({ a: [1, new Map([["b", 2]])] }, { a: [1, new Map([["b", 2]])] }),
    () => assertEquals({ a: [1, new Map([["b", 2]])] }, { a: [1, new Map([["b", 3]])] }),
  ],
  "assertEquals of undefined properties": [
    () => assertEquals({ a: undefined }, { a: undefined }),
    () => assertEquals<unknown>({ a: undefined }, {}),
  ],
  "assertEquals of octets": [
    () => assertEquals(new Uint8Array([1]), new Uint8Array([1])),
    () => assertEquals(new Uint8Array([1]), new Uint8Array([2])),
  ],
  assertNotEquals: [() => assertNotEquals([1], [2]), () => assertNotEquals([1], [1])],
  assertLess: [() => assertLess(1, 2), () => assertLess(2, 2)],
  assertMatch: [() => assertMatch("ab", /b/), () => assertMatch("ab", /c/)],
  assertNotMatch: [() => assertNotMatch("ab", /c/), () => assertNotMatch("ab", /b/)],
  assertStringIncludes: [
    () => assertStringIncludes("abc", "b"),
    () => assertStringIncludes("abc", "d"),
  ],
  "assertThrows: class": [
    () => assertThrows(fail("a"), OwnError),
    () => assertThrows(fail("a"), TypeError),
  ],
  "assertThrows: message": [
    () => assertThrows(fail("abc"), OwnError, "b"),
    () => assertThrows(fail("abc"), OwnError, "d"),
  ],
  "assertThrows: nothing thrown": [() => {}, () => assertThrows(() => 1, Error)],
};

for (const [name, [holds, fails]] of Object.entries(ASSERTIONS)) {
  Deno.test(`${name}: passes if it holds, and throws an AssertionError otherwise`, () => {
    holds();
    let thrown: unknown;
    try {
      fails();
    } catch (error) {
      thrown = error;
    }
    if (!(thrown instanceof AssertionError)) throw new Error(`threw ${thrown}`);
  });
}

Deno.test("assertRejects: passes if it holds, and rejects with an AssertionError otherwise", async () => {
  const reject = () => Promise.reject(new OwnError("abc"));
  const error = await assertRejects(reject, OwnError, "b");
  assertEquals(error.message, "abc");
  await assertRejects(() => assertRejects(reject, TypeError), AssertionError);
  await assertRejects(() => assertRejects(reject, OwnError, "d"), AssertionError);
  await assertRejects(() => assertRejects(() => Promise.resolve(1), OwnError), AssertionError);
});
