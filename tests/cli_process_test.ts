/** Tests of cli.ts in a process of its own: exit statuses, what is printed, and signals. */
import { assert, assertEquals } from "jsr:@std/assert@^1.0.19";
import { VERSION } from "../cli.ts";
import { type Running, runProgram, startProgram } from "./helpers.ts";

const SAMPLE = "tests/sample_program.ts";

const HELP = `Ends as it is told to.

Usage: sample.ts WAY

  -p, --port N   a number (default: 8)
  -h, --help     show this text
  -V, --version  show the version

Example: deno run tests/sample_program.ts usage

Exit status: 0 done, 2 usage.
`;

for (
  const [name, args, code, stdout = "", stderr = ""] of [
    ["the status that main returns is the exit status", ["status", "-p7"], 7],
    ["the exit does not wait for a timer", ["status", "-p0"], 0],
    ["a usage error of main is status 2", ["usage"], 2, "", "sample: Expected a URL\n"],
    ["a usage error of the parser is status 2", ["-x"], 2, "", /^sample: Unknown option "-x".*\n$/],
    [
      "an ExitError has its own status and one line, escaped",
      ["exit"],
      9,
      "",
      /^sample: Cannot connect[ -~]+\n$/,
    ],
    ["an ExitError without a message prints nothing", ["quiet"], 9],
    ["a fault of the peer is status 1", ["peer"], 1, "", "sample: Line has no end\n"],
    ["a fault of the peer is failureStatus", ["peer", "5"], 5, "", "sample: Line has no end\n"],
    ["an error of the system is one line", ["system"], 1, "", /^sample: No such file[^\n]*\n$/],
    [
      "a bug shows its stack",
      ["bug"],
      1,
      "",
      /TypeError: x is undefined\n[^]* at .*sample_program/,
    ],
    ["an older Deno gets one line and status 1", ["old"], 1, "", /^sample needs Deno [^\n]*\n$/],
    ["--help goes to standard output, and main does not run", ["--help", "usage"], 0, HELP],
    ["-h counts after a wrong value", ["-px", "-h"], 0, HELP],
    ["--help counts more than --version", ["-V", "-h"], 0, HELP],
    ["--version is name and version", ["usage", "--version"], 0, `sample ${VERSION}\n`],
    ["-V is the same", ["-V"], 0, `sample ${VERSION}\n`],
    ["print writes a text as UTF-8", ["text"], 0, "caf\xc3\xa9\n"],
    ["print writes octets as they are", ["octets"], 0, "\xe9\n"],
    ["showTrace writes to standard error, escaped", ["trace"], 0, "", "< 220 \\x1b[2J\n"],
  ] as [string, string[], number, string?, (string | RegExp)?][]
) {
  Deno.test(`process: ${name}`, async () => {
    const outcome = await runProgram(SAMPLE, args);
    assertEquals(outcome.code, code, outcome.stderr);
    assertEquals(outcome.stdout, stdout);
    if (stderr instanceof RegExp) assert(stderr.test(outcome.stderr), outcome.stderr);
    else assertEquals(outcome.stderr, stderr);
  });
}

for (
  const [name, noColor, colors] of [
    ["are coloured on a terminal", "", [36, 32, 33, 36]],
    ["are not coloured with NO_COLOR", "1", []],
  ] as [string, string, number[]][]
) {
  Deno.test(`process: marks of a trace ${name}`, async () => {
    const { stderr } = await runProgram(SAMPLE, ["terminal"], { env: { NO_COLOR: noColor } });
    const lines = ["> a", "< a", "* a", ">"].map((line, at) =>
      colors.length > 0 ? `\x1b[${colors[at]}m${line}\x1b[39m\n` : `${line}\n`
    );
    assertEquals(stderr, lines.join(""));
  });
}

Deno.test("process: marks of a trace are not coloured in a file", async () => {
  const { stderr } = await runProgram(SAMPLE, ["trace"], { env: { NO_COLOR: "" } });
  assertEquals(stderr, "< 220 \\x1b[2J\n");
});

Deno.test("process: standard output that its reader closed is status 0 without a line", async () => {
  await using sample = await startProgram(SAMPLE, ["output"], /^never$/, { unread: true });
  const { code, stderr } = await sample.stop("SIGCONT");
  assertEquals([code, stderr], [0, ""]);
});

/** Waits until a program has printed a text on standard error, for two seconds at the most. */
async function hasPrinted(program: Running, text: string): Promise<void> {
  for (let round = 0; round < 400 && !program.stderr.includes(text); round++) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

for (const [signal, status] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
  Deno.test(`process: the first ${signal} is an orderly end, a second one is status ${status}`, async () => {
    await using sample = await startProgram(SAMPLE, ["wait"], /ready (1)/);
    Deno.kill(sample.pid, signal);
    await hasPrinted(sample, `stopped by ${signal}\n`);
    const { code, stderr } = await sample.stop(signal);
    assertEquals([code, stderr], [status, `ready 1\nstopped by ${signal}\n`]);
  });
}

Deno.test("process: SIGTERM after SIGINT ends at once, too", async () => {
  await using sample = await startProgram(SAMPLE, ["wait"], /ready (1)/);
  Deno.kill(sample.pid, "SIGINT");
  await hasPrinted(sample, "stopped by SIGINT\n");
  assertEquals((await sample.stop("SIGTERM")).code, 143);
});

Deno.test("process: onQuit calls at each SIGQUIT, and rejects with what the call throws", async () => {
  await using sample = await startProgram(SAMPLE, ["wait"], /ready (1)/);
  for (const count of [1, 2]) {
    Deno.kill(sample.pid, "SIGQUIT");
    await hasPrinted(sample, `quit ${count}\n`);
  }
  const { code, stderr } = await sample.stop("SIGQUIT");
  assertEquals([code, stderr], [9, "ready 1\nquit 1\nquit 2\nsample: three are enough\n"]);
});
