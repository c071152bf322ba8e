/**
 * Runs all tests that need nothing but Deno: first those that do not wait, a file for each core;
 * then, all files at once, those that wait for real time (`*_slow_test.ts`). Prints a line for each
 * part, what failed, and one last line.
 *
 * ```sh
 * deno run -A tests/run.ts [--coverage]
 * ```
 *
 * @module
 */
const SLOW = "tests/*_slow_test.ts";
const hasCoverage = Deno.args.includes("--coverage");

/** Number of tests that passed and failed, and whether the command succeeded. */
interface Result {
  passed: number;
  failed: number;
  isSuccess: boolean;
}

/** Runs `deno test` with these arguments. Shows its report only if something failed. */
async function runTests(part: string, jobs: number, args: string[]): Promise<Result> {
  const began = performance.now();
  const coverage = hasCoverage ? ["--coverage=coverage"] : [];
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["test", "--quiet", "--permission-set", "--parallel", ...coverage, ...args],
    env: { NO_COLOR: "1", DENO_JOBS: String(jobs) },
  }).output();
  const report = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  const count = (word: string) =>
    Number(new RegExp(`^(?:ok|FAILED) \\|.* (\\d+) ${word}`, "m").exec(report)?.[1] ?? 0);
  const [passed, failed] = [count("passed"), count("failed")];
  const isSuccess = success && passed > 0;
  if (!isSuccess) {
    const errors = report.indexOf("\n ERRORS");
    console.log(errors < 0 ? report : report.slice(errors));
  }
  const seconds = Math.round((performance.now() - began) / 1000);
  console.log(`${part}: ${passed} passed, ${failed} failed in ${seconds} s`);
  return { passed, failed, isSuccess };
}

if (hasCoverage) await Deno.remove("coverage", { recursive: true }).catch(() => {});
const results = [
  await runTests("Tests", navigator.hardwareConcurrency, ["--doc", `--ignore=${SLOW}`]),
  await runTests("Tests that wait", 16, [SLOW]),
];
const passed = results.reduce((sum, result) => sum + result.passed, 0);
const failed = results.reduce((sum, result) => sum + result.failed, 0);
console.log(`${passed} passed, ${failed} failed`);
Deno.exit(results.every(({ isSuccess }) => isSuccess) ? 0 : 1);
