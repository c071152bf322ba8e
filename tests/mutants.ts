/**
 * Measures what the tests notice: changes a program at one random place, runs its tests on a copy
 * of the project, and lists the changes that no test noticed. Some of them make no difference; the
 * others are missing tests.
 *
 * ```sh
 * deno task mutants udp_pinger.ts [--count 20] [--seed 1]
 * ```
 *
 * @module
 */
import { option, print, run, shutdownSignal, wholeNumber } from "../cli.ts";
import { UsageError } from "../protocol.ts";
import { ROOT } from "./helpers.ts";

/** Longest time for the tests of the unchanged program (ms). */
const MAX_TIME = 600_000;

/** Tests that take this many times longer than without a change count as failed. */
const TOO_SLOW = 3;

/** Time that tests may take in any case (ms). */
const MIN_TIME = 10_000;

/** The modules that all programs share. */
const SHARED = ["cli", "protocol"];

/** The tests that start each program with every grant of permissions. */
const PERMISSIONS = "permissions_test.ts";

/** A kind of change: what it looks for, and what it puts there. */
const CHANGES: readonly [find: RegExp, change: (found: string) => string][] = [
  [/ (===|!==) /g, (found) => found.includes("!") ? " === " : " !== "],
  [/ (<=|>=|<|>) (?=[\w(])/g, (found) => {
    const turned: Record<string, string> = { "<": "<=", "<=": "<", ">": ">=", ">=": ">" };
    return ` ${turned[found.trim()]} `;
  }],
  [/ (&&|\|\|) /g, (found) => found.includes("&") ? " || " : " && "],
  [/(?<=[\w)\]] )[-+](?= [\w(])/g, (found) => found === "+" ? "-" : "+"],
  [/(?<![\w.$"'`{])\d[\d_]*(?![\w.])/g, (found) => String(Number(found.replaceAll("_", "")) + 1)],
  [
    /(?<![\w.$"'`{])\d[\d_]*_\d+(?![\w.])/g,
    (found) => String(2 * Number(found.replaceAll("_", ""))),
  ],
  [/(?<=\bif \()[^\n;]{3,80}(?=\) (?:return|throw|continue|break)\b)/g, () => "false"],
  [/(?<=^ +)(?:await )?(?:this\.)?[#\w.]+\([^\n]*\);$/gm, () => ";"],
  [/(?<=[(,=&|] )!(?=[\w(])/g, () => ""],
  [/\[\^?[^\]\n]{2,20}\](?=[+*]?[^\n]*\/[gimsuy]*[.,;)])/g, () => "[^]"],
];

/** A number generator that gives the same numbers for the same seed (mulberry32). */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** One change of a program. */
interface Mutant {
  source: string;
  description: string;
}

/** Makes one random change outside comments and the help. */
function mutate(source: string, random: () => number): Mutant | undefined {
  const [find, change] = CHANGES[Math.floor(random() * CHANGES.length)] ?? [];
  if (find === undefined || change === undefined) return undefined;
  const places = [...source.matchAll(find)].filter(({ index }) => {
    const line = source.slice(source.lastIndexOf("\n", index) + 1, index);
    return !/^ *(?:\/\/|\/?\*)|\/\/ /.test(line) &&
      !/^ *(?:import|export type|interface) /.test(line);
  });
  const place = places[Math.floor(random() * places.length)];
  if (place === undefined) return undefined;
  const { index, 0: found } = place;
  const lineNumber = source.slice(0, index).split("\n").length;
  const line = source.split("\n")[lineNumber - 1]?.trim();
  return {
    source: source.slice(0, index) + change(found) + source.slice(index + found.length),
    description: `${lineNumber}: "${found.trim()}" becomes "${change(found).trim()}" in: ${line}`,
  };
}

/** Test files that run together. */
interface Group {
  files: string[];
  /** Longest time (ms). */
  limit: number;
}

/**
 * Returns the test files that may notice a change of a program, in groups that run one after
 * another: its own, those of both ends, and its own that wait. A shared module is tested by all.
 */
function testGroups(program: string): Group[] {
  const name = program.replace(/\.ts$/, "");
  const names = Array.from(Deno.readDirSync(`${ROOT}tests`), ({ name }) => name);
  const files = names.filter((file) => file.endsWith("_test.ts")).sort();
  const own = files.filter((file) => file.startsWith(name));
  const isShared = SHARED.includes(name);
  const family = name.replace(/_.*/, "");
  const others = files.filter((file) =>
    !own.includes(file) && (isShared || file.startsWith(`${family}_both`) || file === PERMISSIONS)
  );
  const groups = [own.filter((file) => !waits(file)), others, own.filter(waits)];
  if (own.length === 0) return [];
  return groups.filter((group) => group.length > 0)
    .map((group) => ({ files: group.map((file) => `tests/${file}`), limit: MAX_TIME }));
}

/** True for the tests that wait for real time. */
function waits(file: string): boolean {
  return file.includes("_slow_");
}

/** Runs tests in a folder. Returns the first one that fails, or says that they take too long. */
async function failure(
  folder: string,
  { files, limit }: Group,
  stop: AbortSignal,
): Promise<string | null> {
  const args = ["test", "--quiet", "--no-check", "--parallel", "--permission-set"];
  const child = new Deno.Command(Deno.execPath(), {
    args: [...args, "--reporter=tap", ...files],
    cwd: folder,
    detached: true, // a group of processes, with the programs that the tests start
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const end = AbortSignal.any([stop, AbortSignal.timeout(limit)]);
  const kill = () => endGroup(child.pid);
  end.addEventListener("abort", kill);
  let [report, failed]: [string, string?] = [""];
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    report += text;
    failed ??= /^ *not ok \d+ - (.*)\n/m.exec(report)?.[1];
    if (failed !== undefined) kill(); // the first failure is enough
    report = report.slice(report.lastIndexOf("\n") + 1);
  }
  const { success } = await child.status;
  end.removeEventListener("abort", kill);
  kill();
  stop.throwIfAborted();
  return success ? null : failed ?? "the tests ended early, or took too long";
}

/** Ends all processes of a group; a test that is ended leaves the programs that it started. */
function endGroup(id: number): void {
  try {
    Deno.kill(-id, "SIGKILL");
  } catch {
    // none is left
  }
}

const OPTIONS = {
  count: option("--count N", "number of changes", wholeNumber(1, 10_000), "20"),
  seed: option("--seed N", "the same changes for the same seed", wholeNumber(0, 2 ** 32), "1"),
};

await run({
  name: "mutants",
  summary: "Lists one-place changes of a program that its tests do not notice.",
  usage: ["[options] PROGRAM.ts"],
  options: OPTIONS,
  example: "deno task mutants udp_pinger.ts --count 5",
  exitStatuses: "0 done, 2 usage",
}, async ({ options, operands: [program] }) => {
  const groups = program === undefined ? [] : testGroups(program);
  if (program === undefined || groups.length === 0) throw new UsageError("Expected a program");
  const stop = shutdownSignal();
  const folder = await Deno.makeTempDir();
  try {
    await new Deno.Command("cp", { args: ["-r", `${ROOT}.`, folder] }).output();
    const source = await Deno.readTextFile(`${folder}/${program}`);
    for (const group of groups) {
      const began = performance.now();
      const failed = await failure(folder, group, stop);
      if (failed !== null) throw new Error(`The tests fail without any change: ${failed}`);
      group.limit = Math.max(MIN_TIME, TOO_SLOW * (performance.now() - began));
    }
    const isNoticed = async () => {
      for (const group of groups) {
        if (await failure(folder, group, stop) !== null) return true;
      }
      return false;
    };
    const random = generator(options.seed);
    let [tried, noticed] = [0, 0];
    while (tried < options.count) {
      const mutant = mutate(source, random);
      if (mutant === undefined || mutant.source === source) continue;
      tried++;
      await Deno.writeTextFile(`${folder}/${program}`, mutant.source);
      if (await isNoticed()) noticed++;
      else print(`${program}:${mutant.description}\n`);
    }
    print(`${program}: ${noticed} of ${tried} changes noticed\n`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  return 0;
});
