/**
 * Tries every way to install the programs that the README names, in a copy of the project and an
 * empty home. A way that needs what this machine cannot reach is skipped, with a line that says so.
 *
 * ```sh
 * deno task test:install
 * ```
 *
 * @module
 */
import { assert, assertEquals } from "jsr:@std/assert@^1.0.19";
import deno from "../deno.json" with { type: "json" };
import { ROOT } from "./helpers.ts";

const PROGRAMS = ["http_server", "http_client", "udp_ping_server", "udp_pinger", "smtp_client"];

const folder = await Deno.makeTempDir();
const copy = `${folder}/project/`;
Deno.test.afterAll(() => Deno.remove(folder, { recursive: true }));

/** Runs a command in a shell, with this Deno as `deno` and an empty home. */
async function shell(command: string, cwd = copy): Promise<{ code: number; output: string }> {
  const { code, stdout, stderr } = await new Deno.Command("sh", {
    args: ["-c", command],
    cwd,
    env: {
      PATH: `${folder}/bin:${Deno.env.get("PATH")}`,
      HOME: folder,
      NO_COLOR: "1",
    },
  }).output();
  const output = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  return { code, output };
}

/** Whether this is because a server cannot be reached from here. */
function isOffline(output: string): boolean {
  return /error sending request|dns error|failed to lookup|Connect(ion)? ?(refused|error)|Invalid response|Forbidden|status: 40[34]|JSR package manifest .* failed/i
    .test(output);
}

function skip(way: string, what: string): void {
  console.log(`skipped: ${way} (${what} cannot be reached from here)`);
}

Deno.test.beforeAll(async () => {
  await Deno.mkdir(`${folder}/bin`);
  await Deno.symlink(Deno.execPath(), `${folder}/bin/deno`);
  await Deno.mkdir(`${folder}/elsewhere`);
  const { code, output } = await shell(`git clone -q . ${copy}`, ROOT);
  assertEquals(code, 0, output);
});

const options = { sanitizeOps: false, sanitizeResources: false };

Deno.test("install: by absolute path from another folder", options, async () => {
  for (const program of PROGRAMS) {
    const { code, output } = await shell(`${copy}${program}.ts --version`, `${folder}/elsewhere`);
    assertEquals([code, output.trim()], [0, `${program} ${deno.version}`]);
  }
});

Deno.test("install: a bundle of each program runs by itself, anywhere", options, async () => {
  const { code, output } = await shell("deno task bundle");
  if (code !== 0 && isOffline(output)) return skip("deno task bundle", "registry.npmjs.org");
  assertEquals(code, 0, output);
  for (const program of PROGRAMS) {
    await Deno.copyFile(`${copy}dist/${program}.js`, `${folder}/elsewhere/${program}.js`);
    const run = `deno run --unstable-net ${program}.js --version`;
    const { output } = await shell(run, `${folder}/elsewhere`);
    assertEquals(output.trim(), `${program} ${deno.version}`);
  }
});

Deno.test("install: deno install -g of a bundle makes a command", options, async () => {
  const bundle = await shell("deno task bundle");
  if (bundle.code !== 0 && isOffline(bundle.output)) {
    return skip("deno install -g", "registry.npmjs.org");
  }
  const install = "deno install -g -n udp_pinger --unstable-net --allow-net dist/udp_pinger.js";
  const { code, output } = await shell(install);
  assertEquals(code, 0, output);
  const installed = await shell(`${folder}/.deno/bin/udp_pinger --version`, `${folder}/elsewhere`);
  assertEquals(installed.output.trim(), `udp_pinger ${deno.version}`);
});

Deno.test(
  "install: a script copied with its two modules, which fetches @std from JSR",
  options,
  async () => {
    for (const file of ["http_client.ts", "cli.ts", "protocol.ts"]) {
      await Deno.copyFile(`${copy}${file}`, `${folder}/elsewhere/${file}`);
    }
    const { code, output } = await shell(
      "deno run http_client.ts --version",
      `${folder}/elsewhere`,
    );
    if (code !== 0 && isOffline(output)) return skip("a copied script", "jsr.io");
    assertEquals([code, output.trim().split("\n").at(-1)], [0, `http_client ${deno.version}`]);
  },
);

Deno.test("install: deno task compile makes binaries, or fails", options, async () => {
  const { code, output } = await shell("deno task compile");
  if (code !== 0) {
    assert(isOffline(output), output);
    return skip("deno task compile", "dl.deno.land");
  }
  for (const program of PROGRAMS) {
    const { output } = await shell(`${copy}dist/${program} --version`, `${folder}/elsewhere`);
    assertEquals(output.trim(), `${program} ${deno.version}`);
  }
});

Deno.test("package: the exports are the programs and their two modules", () => {
  const files = Object.values(deno.exports).toSorted();
  assertEquals(files, [...PROGRAMS, "cli", "protocol"].map((name) => `./${name}.ts`).toSorted());
});

Deno.test(
  "package: deno publish --dry-run, with std/ in place of the real packages",
  options,
  async () => {
    const config = { ...deno, publish: { include: [...deno.publish.include, "std/"] } };
    await Deno.writeTextFile(`${copy}deno.json`, JSON.stringify(config));
    try {
      const publish = "deno publish --dry-run --allow-dirty --allow-slow-types";
      const { code, output } = await shell(publish);
      assertEquals(code, 0, output);
      assertEquals(/^(warning|error)\[.*/m.exec(output)?.[0], undefined, output);
    } finally {
      await Deno.copyFile(`${ROOT}deno.json`, `${copy}deno.json`);
    }
  },
);

/** The examples in the documentation of a module. */
async function examplesOf(file: string): Promise<string> {
  const { code, output } = await shell(`deno doc --json ${file}`);
  assertEquals(code, 0, output);
  return output.match(/```ts[^]*?```/g)?.join("\n") ?? "";
}

for (const [name, file] of Object.entries(deno.exports)) {
  Deno.test(`package: ${name} has an example that imports it`, options, async () => {
    assert((await examplesOf(file)).includes(`from \\"${file}\\"`), `${file} has no example`);
  });
}
