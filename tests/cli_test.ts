/** Tests of cli.ts: the table of options, its parser and help, and how a program ends. */
import { assert, assertEquals, assertThrows } from "jsr:@std/assert@^1.0.19";
import {
  decimal,
  describeError,
  flag,
  formatHelp,
  formatPercent,
  LineWriter,
  list,
  negatable,
  nonEmpty,
  oneOf,
  option,
  parseCommandLine,
  plural,
  print,
  probability,
  quoteForMessage,
  readNumber,
  reasonOf,
  refuseTogether,
  requireWith,
  seconds,
  suggestion,
  text,
  VERSION,
  versionFault,
  wholeNumber,
} from "../cli.ts";
import { ExitError, LimitError, UsageError } from "../protocol.ts";
import deno from "../deno.json" with { type: "json" };

const OPTIONS = {
  port: option("-p, --port N", "listen on this port; 0 takes a free one", wholeNumber(0, 9), "8"),
  bind: option("-b, --bind, --host ADDR", "listen on this address", text),
  range: option("-r, --range RANGE", "0-99, 100- or -100", text),
  header: list("-H, --header 'N: V'", "add a field", nonEmpty),
  auth: option("--auth USER:PASSWORD", "the login", oneOf("a:b"), undefined, { isSecret: true }),
  silent: flag("-s, --silent", "no output"),
  location: flag("-L, --location", "follow redirects"),
  ipv4: flag("-4, --ipv4", "IPv4 only"),
  listing: negatable("--no-listing", "404 for a folder", true),
  compressed: negatable("--compressed, --no-compressed", "decode", undefined),
};
const COMMAND = {
  name: "program",
  summary: "Does something.",
  usage: ["[options] URL", "[options] HOST PORT"],
  options: OPTIONS,
  notes: ["Times are seconds."],
  example: "deno run program.ts -p 1",
  exitStatuses: "0 done, 2 usage",
};
const parse = (...args: string[]) => parseCommandLine(COMMAND, args);

/** What the options are without any argument. */
const UNSET = {
  ...{ port: 8, bind: undefined, range: undefined, header: [], auth: undefined, silent: false },
  ...{ location: false, ipv4: false, listing: true, compressed: undefined },
};

for (
  const [name, args, options, operands = []] of [
    ["no argument gives the defaults", [], {}],
    ["a short option takes the next word", ["-p", "1"], { port: 1 }],
    ["a short option takes an attached value", ["-p1"], { port: 1 }],
    ["a long option takes the next word", ["--port", "1"], { port: 1 }],
    ["a long option takes a value after =", ["--port=1"], { port: 1 }],
    ["another spelling sets the same option", ["--host", "::1"], { bind: "::1" }],
    ["the last value counts", ["-p1", "--port=2"], { port: 2 }],
    ["letters can be bundled", ["-sL"], { silent: true, location: true }],
    ["a bundle ends with a value", ["-sp3"], { silent: true, port: 3 }],
    ["a bundle ends with a value that has a dash", ["-sr-5"], { silent: true, range: "-5" }],
    ["an attached value has a line break", ["-ra\nb"], { range: "a\nb" }],
    ["an attached value begins with =", ["-r=5"], { range: "=5" }],
    ["an option with an attached value can be a value", ["-r", "-p80"], { range: "-p80" }],
    ["-4 is an option", ["-4"], { ipv4: true }],
    ["-4 after an option with a value is its value", ["-r", "-4"], { range: "-4" }],
    ["a value begins with a dash", ["-r", "-100"], { range: "-100" }],
    ["a value is empty", ["--bind="], { bind: "" }],
    ["a value has an equals sign", ["--bind=a=b"], { bind: "a=b" }],
    ["a value has a line break", ["--bind=a\nb"], { bind: "a\nb" }],
    ["a list keeps its order", ["-H", "a", "--header=b"], { header: ["a", "b"] }],
    ["a --no- flag turns off", ["--no-listing"], { listing: false }],
    ["a flag with both spellings: on", ["--no-compressed", "--compressed"], { compressed: true }],
    ["a flag with both spellings: off", ["--no-compressed"], { compressed: false }],
    ["operands stand anywhere", ["a", "-s", "b"], { silent: true }, ["a", "b"]],
    ["-- ends the options", ["--", "-s", "--", "0x10"], {}, ["-s", "--", "0x10"]],
    ["- is an operand", ["-"], {}, ["-"]],
    ["an operand that looks like a number stays text", ["007"], {}, ["007"]],
  ] as [string, string[], Record<string, unknown>, string[]?][]
) {
  Deno.test(`command line: ${name}`, () => {
    const line = parse(...args);
    assertEquals(line.options as unknown, { ...UNSET, ...options });
    assertEquals(line.operands, operands);
  });
}

for (
  const [name, args, message] of [
    ["an unknown option near another", ["--prot"], 'Unknown option "--prot": did you mean --port?'],
    ["an unknown option", ["--cookie"], 'Unknown option "--cookie": see --help'],
    ["an unknown letter in a bundle", ["-sx"], 'Unknown option "-x": see --help'],
    ["an unknown letter near another", ["-P"], 'Unknown option "-P": did you mean -p?'],
    ["a missing value at the end", ["-p"], 'Option "-p" needs a value'],
    ["an option instead of a value", ["--port", "-s"], 'Option "--port" needs a value'],
    ["an option with a value instead of a value", ["-b", "--port=1"], 'Option "-b" needs a value'],
    ["a value for a flag", ["--silent=1"], 'Option "--silent" takes no value'],
    ["a wrong value", ["-p", "x"], 'Cannot use -p "x": expected a whole number from 0 to 9'],
    ["a wrong value, other spelling", ["--port=x"], 'Cannot use --port "x": expected'],
    ["a wrong value, last spelling", ["-p1", "--port=x"], 'Cannot use --port "x": expected'],
    ["a wrong value of a list", ["-Ha", "--header="], 'Cannot use --header "": expected'],
    ["a long name", [`--${"a".repeat(100_000)}`], `"--${"a".repeat(98)}…": see --help`],
    ["-- with a value", ["--=1"], 'Unknown option "--": see --help'],
    ["an upper-case name", ["--PORT=1"], 'Unknown option "--PORT": did you mean --port?'],
    ["--no- before a flag that is off", ["--no-silent"], 'Unknown option "--no-silent"'],
    ["a name of Object.prototype", ["--constructor"], 'Unknown option "--constructor"'],
    ["another spelling instead of a value", ["-p", "--host"], 'Option "-p" needs a value'],
    ["an empty value for a flag", ["--silent="], 'Option "--silent" takes no value'],
    ["a value in a bundle for a flag", ["-s=yes"], 'Option "-s" takes no value'],
    ["a dash in a bundle", ["-s-", "x"], 'Option "-s" takes no value'],
    ["a secret is not quoted", ["--auth=a:c"], "Cannot use --auth: expected a:b"],
  ] as [string, string[], string][]
) {
  Deno.test(`command line: refuses ${name}`, () => {
    assertThrows(() => parse(...args), UsageError, message);
  });
}

Deno.test("command line: tells how an option was spelled the last time", () => {
  const line = parse("-b", "a", "--host", "b");
  assertEquals([line.spelling("bind"), line.spelling("port")], ["--host", undefined]);
});

Deno.test("command line: refuses two options that exclude each other", () => {
  refuseTogether(parse("-s"), "silent", "location");
  const refuse = () => refuseTogether(parse("-Ls"), "silent", "location");
  assertThrows(refuse, UsageError, "Cannot use -s with -L");
});

Deno.test("command line: refuses an option without the one that it needs", () => {
  requireWith(parse("-s", "-L"), "silent", "location", OPTIONS);
  requireWith(parse(), "silent", "location", OPTIONS);
  const refuse = () => requireWith(parse("-s"), "silent", "location", OPTIONS);
  assertThrows(refuse, UsageError, 'Option "-s" needs --location');
  const refuseLong = () => requireWith(parse("--silent"), "silent", "bind", OPTIONS);
  assertThrows(refuseLong, UsageError, 'Option "--silent" needs --bind');
});

for (
  const [typed, expected] of [
    ["--prot", "--port"],
    ["--prto", "--port"],
    ["--por", "--port"],
    ["-port", "--port"],
    ["--location-", "--location"],
    ["--comp", "--compressed"],
    ["--com", "--compressed"],
    ["--co", undefined],
    ["--hots", "--host"],
    ["--cookie", undefined],
    ["--json", undefined],
    ["--x", undefined],
    ["--", undefined],
  ] as const
) {
  Deno.test(`suggestion: ${typed} gives ${expected}`, () => {
    const spellings = Object.values(OPTIONS).flatMap(({ spellings }) => spellings);
    assertEquals(suggestion(typed, spellings), expected);
  });
}

for (
  const [typed, spelling, isNear] of [
    ["--ba", "--ab", true], // a swap is one change of two letters
    ["--ca", "--ab", false],
    ["--bc", "--ab", false],
    ["--ax", "--ab", true],
    ["--xy", "--ab", false],
    ["--axy", "--abc", false], // two changes of three letters
    ["--axyd", "--abcd", true],
    ["--bacdxy", "--abcdef", true], // a swap and two others
    ["--bacxyz", "--abcdef", false],
    ["--cdab", "--abcd", false],
    ["--abcdxx", "--abcd", true],
    ["--abxx", "--ab", true],
    ["--abxxx", "--ab", false],
    ["--bcd", "--abcd", true],
    ["--cd", "--abcd", false],
    ["--d", "--abcd", false],
    ["--AB", "--ab", true],
    ["ab", "--ab", true],
  ] as [string, string, boolean][]
) {
  Deno.test(`suggestion: ${typed} is ${isNear ? "near" : "not near"} ${spelling}`, () => {
    assertEquals(suggestion(typed, [spelling]), isNear ? spelling : undefined);
  });
}

Deno.test("suggestion: the first spelling that begins like the option", () => {
  assertEquals(suggestion("--abc", ["--xabc", "--abcde", "--abcd"]), "--abcde");
});

Deno.test("suggestion: the first of the nearest spellings", () => {
  assertEquals(suggestion("--abcx", ["--abxy", "--abcd", "--abce"]), "--abcd");
});

Deno.test("suggestion: a hundred letters are compared, and no more", () => {
  const name = "a".repeat(100);
  assertEquals(suggestion(`--${name}bbb`, [`--${name}`]), `--${name}`);
  assertEquals(suggestion(`--${name.slice(1)}b`, [`--${name.slice(1)}c`]), `--${name.slice(1)}c`);
});

Deno.test("help: fits 80 columns, ends in one newline, names every spelling and default", () => {
  const help = formatHelp(COMMAND);
  assert(help.split("\n").every((line) => line.length <= 80), help);
  assert(/[^\n]\n$/.test(help));
  const spellings = Object.values(OPTIONS).flatMap(({ spellings }) => spellings);
  for (const spelling of [...spellings, "-h", "--version"]) {
    assert(help.includes(spelling), spelling);
  }
  assert(help.includes("  -p, --port N"));
  assert(help.includes("free one (default: 8)"));
  assert(help.includes("\nExample: deno run program.ts -p 1\n"));
  assert(help.endsWith("\nExit status: 0 done, 2 usage.\n"));
  assert(help.startsWith("Does something.\n\nUsage: program.ts [options] URL\n       program.ts "));
});

Deno.test("help: spellings of up to 24 columns share lines with texts of up to 80 columns", () => {
  const fits = "x".repeat(26) + " " + "y".repeat(27); // 54 columns, beside 26
  const options = {
    short: option("-s N", "a b", wholeNumber(0, 9), "8"),
    long: flag("--eighteen-letters", `${fits} end`), // 24 columns, six of them the indent
    longer: flag("--nineteen--letters", "25 columns"),
    other: option("--other N", `${fits}y`, text),
    lines: flag("--lines", `one\n${fits}`),
  };
  const note = `${"x".repeat(39)} ${"y".repeat(40)}`; // 80 columns
  const help = formatHelp({ ...COMMAND, options, notes: [note, `${note}y`, "a\n\nb"] });
  assertEquals(
    help,
    `Does something.

Usage: program.ts [options] URL
       program.ts [options] HOST PORT

  -s N                    a b (default: 8)
      --eighteen-letters  ${fits}
                          end
      --nineteen--letters
                          25 columns
      --other N           ${fits.split(" ").join("\n" + " ".repeat(26))}y
      --lines             one
                          ${fits}
  -h, --help              show this text
  -V, --version           show the version

${note}

${note.replace(" ", "\n")}y

a

b

Example: deno run program.ts -p 1

Exit status: 0 done, 2 usage.
`,
  );
});

Deno.test("help: the column of texts starts two columns after the longest spelling", () => {
  const help = formatHelp({ ...COMMAND, options: { a: flag("-a, --alphabet", "sorts") } });
  assertEquals(help.split("\n")[5], "  -a, --alphabet  sorts");
});

for (const length of [100, 101]) {
  Deno.test(`quoteForMessage: ${length} characters are ${length > 100 ? "cut" : "whole"}`, () => {
    const quoted = quoteForMessage("a".repeat(length));
    assertEquals(quoted, `"${"a".repeat(100)}${length > 100 ? "…" : ""}"`);
  });
}

Deno.test("command line: a default that the reader refuses is named by the first spelling", () => {
  const options = { port: option("-p, --port N", "", wholeNumber(0, 9), "10") };
  assertThrows(() => parseCommandLine({ options }, []), UsageError, 'Cannot use -p "10": expected');
});

Deno.test("command line: a secret of a list is not quoted", () => {
  const options = { key: list("--key K", "", oneOf("a"), { isSecret: true }) };
  const refuse = () => parseCommandLine({ options }, ["--key=a", "--key=b"]);
  assertEquals(assertThrows(refuse, UsageError).message, "Cannot use --key: expected a");
});

Deno.test("command line: a bug in a reader stays the error that it is", () => {
  const read = () => {
    throw new TypeError("bug");
  };
  const options = { port: option("-p N", "", read) };
  assertThrows(() => parseCommandLine({ options }, ["-p1"]), TypeError, "bug");
});

for (
  const [text, range, value] of [
    ["0", { min: 0, max: 9 }, 0],
    ["9", { min: 0, max: 9 }, 9],
    ["-1", { min: 0, max: 9 }, null],
    ["10", { min: 0, max: 9 }, null],
    ["1.5", { min: 0, max: 9 }, 1.5],
    [".5", { min: 0, max: 9 }, 0.5],
    ["1.5", { min: 0, max: 9, isWhole: true }, null],
    ["+1", { min: 0, max: 9, isWhole: true }, 1],
    ["-1", { min: -1, max: 9, isWhole: true }, -1],
    ["-.5", { min: -1, max: 9 }, -0.5],
    ["1.", { min: 0, max: 9 }, 1],
    ["", { min: 0, max: 9, isWhole: true }, null],
    [" 1", { min: 0, max: 9, isWhole: true }, null],
    ["1 ", { min: 0, max: 9, isWhole: true }, null],
    ...["", " ", ".", " 1", "1e0", "0x1", "1 ", "١", "Infinity", "--1"]
      .map((text) => [text, { min: 0, max: 9 }, null] as const),
  ] as const
) {
  Deno.test(`readNumber: ${JSON.stringify([text, range])} gives ${value}`, () => {
    if (value !== null) return assertEquals(readNumber(text, range), value);
    assertThrows(() => readNumber(text, range), UsageError, "expected a");
  });
}

Deno.test("readNumber: the message names the range", () => {
  const read = (max: number) => () => readNumber("x", { min: 1, max });
  assertThrows(read(2), UsageError, "expected a number from 1 to 2");
  assertThrows(read(Infinity), UsageError, "expected a number of at least 1");
});

for (
  const [name, read, text, value] of [
    ["seconds", seconds(0.001, 10), "2.5", 2500],
    ["seconds", seconds(0.001, 10), "20ms", 20],
    ["seconds", seconds(0.001, 10), "10s", 10_000],
    ["seconds", seconds(0.001, 10), "1ms", 1],
    ["seconds", seconds(0.001, 10), "0.9ms", null],
    ["seconds", seconds(0.001, 10), "0.001", 1],
    ["seconds", seconds(0.001, 10), "0.0009", null],
    ["seconds", seconds(0.001, 10), "10000ms", 10_000],
    ["seconds", seconds(0.001, 10), "10001ms", null],
    ["seconds", seconds(0.001, 10), "10m", null],
    ["seconds", seconds(0.001, 10), "1sms", null],
    ["seconds", seconds(0.001, 10), "1 s", null],
    ["seconds", seconds(0.001, 10), "1\n2s", null],
    ["seconds", seconds(0.001, 10), "10.001", null],
    ["seconds", seconds(0.001, 10), "ms", null],
    ["probability", probability, "0.3", 0.3],
    ["probability", probability, "30%", 0.3],
    ["probability", probability, "4/11", 4 / 11],
    ["probability", probability, "0", 0],
    ["probability", probability, ".5", 0.5],
    ["probability", probability, "50.5%", 0.505],
    ["probability", probability, "0/4", 0],
    ["probability", probability, "4/4", 1],
    ["probability", probability, "5/4", null],
    ["probability", probability, "-0.1", null],
    ["probability", probability, "0x1", null],
    ["probability", probability, "1e-1", null],
    ["probability", probability, ".", null],
    ["probability", probability, " 1", null],
    ["probability", probability, "1 ", null],
    ["probability", probability, "1", 1],
    ["probability", probability, "100%", 1],
    ["probability", probability, "1.1", null],
    ["probability", probability, "101%", null],
    ["probability", probability, "1/0", null],
    ["probability", probability, "0/0", null],
    ["probability", probability, "", null],
    ["probability", probability, "4/11%", null],
    ["oneOf", oneOf("short", "OFF"), "off", "OFF"],
    ["oneOf", oneOf("short", "OFF"), "SHORT", "short"],
    ["oneOf", oneOf("short", "OFF"), "of", null],
    ["nonEmpty", nonEmpty, " a ", " a "],
    ["nonEmpty", nonEmpty, " ", null],
    ["nonEmpty", nonEmpty, "", null],
    ["decimal", decimal(0, 1), "0", 0],
    ["decimal", decimal(0, 1), "1", 1],
    ["decimal", decimal(0, 1), "1.01", null],
    ["wholeNumber", wholeNumber(1, 3), "0", null],
    ["wholeNumber", wholeNumber(1, 3), "1", 1],
    ["wholeNumber", wholeNumber(1, 3), "3", 3],
    ["wholeNumber", wholeNumber(1, 3), "4", null],
    ["wholeNumber", wholeNumber(1, 3), "2.0", null],
    ["decimal", decimal(0, 1), "0.5", 0.5],
  ] as const
) {
  Deno.test(`reader: ${name} of ${JSON.stringify(text)} gives ${value}`, () => {
    if (value !== null) return assertEquals<unknown>(read(text), value);
    assertThrows(() => read(text), UsageError, "expected ");
  });
}

for (
  const [read, message] of [
    [text, undefined],
    [nonEmpty, "expected a text that is not empty"],
    [wholeNumber(1, 3), "expected a whole number from 1 to 3"],
    [decimal(0.5, Infinity), "expected a number of at least 0.5"],
    [seconds(0, 10), "expected a number from 0 to 10"],
    [probability, "expected a probability, as in 0.3, 30% or 4/11"],
    [oneOf("short", "OFF"), "expected short, OFF"],
  ] as [(text: string) => unknown, string?][]
) {
  Deno.test(`reader: ${message ?? "a text may be anything"}`, () => {
    if (message === undefined) return assertEquals(read(" "), " ");
    assertEquals(assertThrows(() => read(" "), UsageError).message, message);
  });
}

Deno.test("plural: one is singular, everything else is plural", () => {
  const shown = [0, 1, 2].map((count) => plural(count, "packet"));
  assertEquals(shown, ["0 packets", "1 packet", "2 packets"]);
  assertEquals(plural(2, "loss", "losses"), "2 losses");
});

Deno.test("formatPercent: one decimal, below one per cent two digits", () => {
  const shown = [0, 2 / 3, 4 / 11, 0.3, 1, 0.01, 0.0155, 0.00987, 0.000123, NaN].map(formatPercent);
  const want = ["0%", "66.7%", "36.4%", "30%", "100%", "1%", "1.6%", "0.99%", "0.012%", "0%"];
  assertEquals(shown, want);
});

Deno.test("formatPercent: what is almost all is not 100%", () => {
  const shown = [0.999, 0.9995, 0.9999, 0.9999877].map(formatPercent);
  assertEquals(shown, ["99.9%", "99.95%", "99.99%", "99.9988%"]);
});

Deno.test("print: writes the rest until all octets are written", () => {
  const { writeSync } = Deno.stdout;
  const written: number[] = [];
  Deno.stdout.writeSync = (octets) => {
    written.push(...octets.subarray(0, 1));
    return 1;
  };
  try {
    print(new Uint8Array([1, 2, 3]));
  } finally {
    Deno.stdout.writeSync = writeSync;
  }
  assertEquals(written, [1, 2, 3]);
});

Deno.test("version: cli.ts and deno.json agree", () => assertEquals(VERSION, deno.version));

for (
  const [version, fault] of [
    ["2.4.4", "needs Deno 2.5 or later, this is 2.4.4: deno upgrade"],
    ["1.46.3", "needs Deno 2.5 or later, this is 1.46.3: deno upgrade"],
    ["2.5.0", undefined],
    ["2.5", undefined],
    ["3", undefined],
    ["2", "needs Deno 2.5 or later, this is 2: deno upgrade"],
    ["2.10.1", undefined],
    ["3.0.0-rc.1", undefined],
  ] as const
) {
  Deno.test(`version: Deno ${version} ${fault === undefined ? "is new enough" : "is too old"}`, () => {
    assertEquals(versionFault(version), fault);
  });
}

for (
  const [access, line] of [
    ['read access to "./public"', "read ./public; add --allow-read=./public"],
    ['write access to "a"\nb"', 'write a"\nb; add --allow-write=a"\nb'],
    [
      'net access to "127.0.0.1:80"',
      "use the network at 127.0.0.1:80; add --allow-net=127.0.0.1:80",
    ],
    ['run access to "cat"', "run cat; add --allow-run=cat"],
    [
      'sys access to "networkInterfaces"',
      "use sys networkInterfaces; add --allow-sys=networkInterfaces",
    ],
    ["read access", "read; add --allow-read"],
    ["env access", "use env; add --allow-env"],
    ['all access to "/dev/full"', "use /dev/full; add --allow-all"],
  ] as const
) {
  Deno.test(`errors: without ${JSON.stringify(access)} the line names the flag that is enough`, () => {
    const error = new Deno.errors.NotCapable(`Requires ${access}, run again with the … flag`);
    assertEquals(describeError(error), `Deno was not allowed to ${line}`);
  });
}

for (
  const [name, error, line, reason = line] of [
    ["text", "thrown", null, "thrown"],
    ["plain error", new Error("No room"), "No room"],
    ["bug", new TypeError("x is undefined"), null, "x is undefined"],
    ["ExitError", new ExitError(7, "Cannot connect"), "Cannot connect"],
    ["UsageError", new UsageError("Expected a URL"), "Expected a URL"],
    ["LimitError", new LimitError("Too long"), "Too long"],
    ["permission in other words", new Deno.errors.NotCapable("Not here"), "Not here"],
    ["bug with a code", Object.assign(new TypeError("no"), { code: "ERR_X" }), "no"],
    [
      "error of the system",
      new Deno.errors.NotFound("No such file or directory (os error 2): open 'x'"),
      "No such file or directory: open 'x'",
      "no such file or directory",
    ],
    [
      "error of the system with a capital word",
      new Deno.errors.NotFound("RPC struct is bad (os error 72)"),
      "RPC struct is bad",
    ],
    [
      "error of the system after other words",
      new Deno.errors.NotFound("open 'x': No such file (os error 2): and (os error 3)"),
      "open 'x': No such file: and",
    ],
    ["error of the system without a number", new Deno.errors.BadResource("Closed"), "Closed"],
  ] as [string, unknown, string | null, string?][]
) {
  Deno.test(`errors: ${name}: the line is ${line}, the reason "${reason}"`, () => {
    assertEquals(describeError(error), line);
    assertEquals(reasonOf(error), reason);
  });
}

/** A stream that does with each write what its step says. */
function stream(...steps: (number | Error | Promise<number>)[]) {
  const written: string[] = [];
  const write = async (octets: Uint8Array) => {
    const step = steps.shift() ?? octets.length;
    if (step instanceof Error) throw step;
    const count = await step;
    written.push(new TextDecoder().decode(octets.subarray(0, count)));
    return count;
  };
  return { written, write };
}

Deno.test("LineWriter: gathers lines, and writes all of them", async () => {
  const output = stream(3);
  const writer = new LineWriter(output, { delay: 0 });
  writer.write("one\n");
  writer.write("two\n");
  await writer.end(5000);
  assertEquals(output.written, ["one", "\ntwo\n"]);
});

Deno.test("LineWriter: writes the last octet, too", async () => {
  const output = stream(3);
  const writer = new LineWriter(output, { delay: 0 });
  writer.write("one\n");
  await writer.end(5000);
  assertEquals(output.written, ["one", "\n"]);
});

Deno.test("LineWriter: a line beyond 4 million waiting units is lost", async () => {
  const output = stream();
  const lost: string[] = [];
  const writer = new LineWriter(output, { onLost: (reason) => lost.push(reason) });
  writer.write("x".repeat(3_999_999));
  writer.write("y");
  assertEquals(lost, []);
  writer.write("z");
  assertEquals(lost, ["its reader is too slow"]);
  await writer.end(5000);
  assertEquals(output.written.join("").slice(-2), "xy");
});

Deno.test("LineWriter: gathers lines for 10 ms unless told otherwise", async () => {
  const { setTimeout } = globalThis;
  const delays: unknown[] = [];
  const writer = new LineWriter(stream());
  globalThis.setTimeout = ((call: () => void, delay: number) => {
    delays.push(delay);
    return setTimeout(call, 0);
  }) as typeof setTimeout;
  try {
    writer.write("one\n");
  } finally {
    globalThis.setTimeout = setTimeout;
  }
  await writer.end(5000);
  assertEquals(delays, [10]);
});

Deno.test("LineWriter: a full disk loses lines, is reported once, and is tried again", async () => {
  const full = new Error("No space left on device (os error 28)");
  const output = stream(full, full);
  const lost: string[] = [];
  const writer = new LineWriter(output, { delay: 0, onLost: (reason) => lost.push(reason) });
  for (const line of ["one\n", "two\n", "three\n"]) {
    writer.write(line);
    await writer.end(5000);
  }
  assertEquals(output.written, ["three\n"]);
  assertEquals(lost, ["no space left on device"]);
});

Deno.test("LineWriter: a loss after a line that was written is reported again", async () => {
  const [full, busy] = [new Error("full"), new Error("busy")];
  const output = stream(full, 4, busy);
  const lost: string[] = [];
  const writer = new LineWriter(output, { delay: 0, onLost: (reason) => lost.push(reason) });
  for (let round = 0; round < 3; round++) {
    writer.write("one\n");
    await writer.end(5000);
  }
  assertEquals([output.written, lost], [["one\n"], ["full", "busy"]]);
});

Deno.test("LineWriter: a closed pipe is reported, and nothing is written after it", async () => {
  const output = stream(new Deno.errors.BrokenPipe("Broken pipe (os error 32)"));
  let closed = 0;
  const writer = new LineWriter(output, { delay: 0, onClosed: () => closed++ });
  writer.write("one\n");
  await writer.end(5000);
  writer.write("two\n");
  await writer.end(5000);
  assertEquals([closed, output.written], [1, []]);
});

Deno.test("LineWriter: a stuck reader costs lines beyond the limit, and end() does not wait", async () => {
  const stuck = Promise.withResolvers<number>();
  const output = stream(stuck.promise);
  const lost: string[] = [];
  const writer = new LineWriter(output, {
    ...{ delay: 0, maxWaiting: 8, onLost: (reason: string) => lost.push(reason) },
  });
  writer.write("first\n");
  await writer.end(20);
  writer.write("12345678");
  writer.write("9");
  assertEquals(lost, ["its reader is too slow"]);
  stuck.resolve(6);
  await writer.end(5000);
  assertEquals(output.written, ["first\n", "12345678"]);
});
