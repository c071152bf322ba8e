/**
 * A program of `cli.ts` and nothing else, for the tests of `run`: its operand says how it ends.
 *
 * ```sh
 * deno run tests/sample_program.ts [-p N] usage
 * ```
 *
 * @module
 */
import { onQuit, option, print, run, showTrace, shutdownSignal, wholeNumber } from "../cli.ts";
import { ExitError, MalformedError, UsageError } from "../protocol.ts";

const OPTIONS = { port: option("-p, --port N", "a number", wholeNumber(0, 9), "8") };

/** How many times SIGQUIT was received. */
let quits = 0;

/** Waits for signals; twenty seconds at the most, so that it ends if its test was ended. */
function wait(): Promise<never> {
  const stop = shutdownSignal();
  stop.addEventListener("abort", () => console.error(`stopped by ${stop.reason.message}`));
  const quitting = onQuit(() => {
    if (++quits === 3) throw new ExitError(9, "three are enough");
    console.error(`quit ${quits}`);
  });
  console.error("ready 1");
  setTimeout(() => Deno.exit(99), 20_000);
  return quitting;
}

/** Ways to end. */
const ENDINGS: Record<string, (port: number) => number | Promise<number>> = {
  status: (port) => {
    setTimeout(() => console.error("waited for a timer"), 1000);
    return port;
  },
  usage: () => {
    throw new UsageError("Expected a URL");
  },
  exit: () => {
    throw new ExitError(9, "Cannot connect\n\x1b[2J");
  },
  quiet: () => {
    throw new ExitError(9, "");
  },
  peer: () => {
    throw new MalformedError("Line has no end");
  },
  system: () => Deno.readTextFileSync(new URL("no/such/file", import.meta.url)).length,
  bug: () => {
    throw new TypeError("x is undefined");
  },
  output: async () => {
    for (;;) {
      print("y\n".repeat(1000));
      await Promise.resolve();
    }
  },
  text: () => (print("café\n"), 0),
  octets: () => (print(new Uint8Array([0xe9, 0x0a])), 0),
  trace: () => (showTrace("<", "220 \x1b[2J"), 0),
  terminal: () => {
    Deno.stderr.isTerminal = () => true;
    for (const mark of [">", "<", "*"] as const) showTrace(mark, "a ");
    showTrace(">", "");
    return 0;
  },
  wait,
};

if (Deno.args[0] === "old") {
  Object.defineProperty(Deno, "version", { value: { ...Deno.version, deno: "2.4.4" } });
}

await run({
  name: "sample",
  summary: "Ends as it is told to.",
  usage: ["WAY"],
  options: OPTIONS,
  example: "deno run tests/sample_program.ts usage",
  exitStatuses: "0 done, 2 usage",
  ...(Deno.args[1] === "5" ? { failureStatus: 5 } : {}),
}, async ({ options: { port }, operands: [way = ""] }) => {
  return await (ENDINGS[way]?.(port) ?? 0);
});
