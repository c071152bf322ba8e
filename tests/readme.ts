/**
 * Runs every command of the README, as a reader would: block by block, those that serve in the
 * background, the others one after the other. What needs the internet, or is not installed, is
 * said and skipped.
 *
 * ```sh
 * deno test --permission-set tests/readme.ts
 * ```
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { ROOT } from "./helpers.ts";

const decoder = new TextDecoder();

/** Commands that another test runs, or that cannot be run here, and why. */
const ELSEWHERE: readonly (readonly [command: RegExp, why: string])[] = [
  [/^npx /, "tests/fresh_machine.sh runs it"],
  [/^deno task (ok|test|compile|bundle|bench|pictures|fuzz)/, "a task, run by CI or by hand"],
  [/--server gmail/, "needs the internet"],
];

/** Commands that run until they are stopped. */
const SERVES = /http_server\.ts|udp_ping_server\.ts|--heartbeat/;

/** The blocks of commands in the README, without their comments. */
async function readBlocks(): Promise<string[][]> {
  const text = await Deno.readTextFile(`${ROOT}README.md`);
  return text.split("\n```").filter((_, at) => at % 2 === 1)
    .filter((block) => block.startsWith("sh\n"))
    .map((block) => block.slice(3).split("\n").map((line) => line.replace(/ +# .*$/, "")));
}

/** Starts a command in the shell, with this very Deno as `deno`. */
function start(command: string, bin: string): Deno.ChildProcess {
  return new Deno.Command("bash", {
    args: ["-o", "pipefail", "-c", SERVES.test(command) ? `exec ${command}` : command],
    env: { PATH: `${bin}:${Deno.env.get("PATH")}`, NO_COLOR: "1" },
    cwd: ROOT,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** Ends a server as Ctrl-C does, and expects that it says so by 0. */
async function stop(command: string, server: Deno.ChildProcess): Promise<void> {
  server.kill("SIGTERM");
  const { code, stderr } = await server.output();
  assertEquals(code, 0, `${command}: ${decoder.decode(stderr)}`);
}

async function isInstalled(program: string): Promise<boolean> {
  const { success } = await new Deno.Command("which", { args: [program] }).output();
  return success;
}

Deno.test("each command of the README does what it is there for", async (t) => {
  const bin = await Deno.makeTempDir();
  await Deno.symlink(Deno.execPath(), `${bin}/deno`);
  for (const block of await readBlocks()) {
    const servers: [string, Deno.ChildProcess][] = [];
    for (const command of block.filter((line) => line !== "")) {
      const why = ELSEWHERE.find(([pattern]) => pattern.test(command))?.[1];
      const missing = command.includes("| nc ") && !await isInstalled("nc");
      await t.step({
        name: why === undefined ? command : `${command} (${why})`,
        ignore: why !== undefined || missing,
        sanitizeOps: false, // the servers of a block go on behind the other commands
        sanitizeResources: false,
        fn: async () => {
          const child = start(command, bin);
          if (SERVES.test(command)) {
            servers.push([command, child]);
            await new Promise((resolve) => setTimeout(resolve, 1_500)); // it says so in its own ways
            return;
          }
          const { code, stderr } = await child.output();
          assertEquals(code, 0, decoder.decode(stderr));
        },
      });
    }
    for (const [command, server] of servers) await stop(command, server);
  }
  await Deno.remove(bin, { recursive: true });
});
