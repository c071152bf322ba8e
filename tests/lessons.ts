/**
 * Each function and each test that the lessons name exists: the tests pass, and they execute the
 * functions. What a lesson calls the function that closes a hole was executed by the tests that it
 * names as the proof.
 *
 * ```sh
 * deno task test:readme
 * ```
 *
 * @module
 */
import { assert, assertEquals } from "jsr:@std/assert@^1.0.19";
import { ROOT } from "./helpers.ts";

const LESSONS = ["docs/1-web.md", "docs/2-udp.md", "docs/3-mail.md"];

/** A hole of a lesson: the functions that close it, and the tests that prove it. */
interface Hole {
  title: string;
  functions: string[];
  tests: string[];
  files: string[];
}

/** The words between backticks. */
function quoted(text: string): string[] {
  return text.matchAll(/`([^`]+)`/g).map(([, word = ""]) => word.replace(/\s+/g, " ")).toArray();
}

/** Functions and methods: `readHead`, `Wire.readLine`, `Session.#readReply`. */
function functionsIn(text: string): string[] {
  return quoted(text).filter((word) => /^(?:[A-Z]\w+\.)?#?[a-zA-Z]\w+$/.test(word))
    .filter((word) => !/^[A-Z_]+$/.test(word));
}

/** The holes of a lesson. */
function holesOf(markdown: string): Hole[] {
  return markdown.split(/^### /m).slice(1).map((part) => {
    const [title = ""] = part.split("\n");
    const [, closed = "", proved = ""] =
      /\*\*Closed\s+by\*\*([^]*?)\*\*Proved\s+by\*\*([^]*?)(?:\n\n|$)/.exec(part) ?? [];
    const words = quoted(proved);
    const isFile = (word: string) => word.startsWith("tests/");
    return {
      title,
      functions: functionsIn(closed),
      tests: words.filter((word) => !isFile(word)),
      files: words.filter(isFile),
    };
  });
}

/** The functions in the first column of the map of a lesson. */
function mapOf(markdown: string): string[] {
  const [, map = ""] = /^## A map of the programs?\n([^]*?)^## /m.exec(markdown) ?? [];
  return map.split("\n").flatMap((line) => functionsIn(line.split("|")[1] ?? ""));
}

/** Runs tests by name; returns those that passed, and the functions that they executed. */
async function run(tests: string[], files: string[]): Promise<[passed: string[], Set<string>]> {
  const coverage = await Deno.makeTempDir();
  const filter = `/^(?:${tests.map(RegExp.escape).join("|")})$/`;
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["test", "--quiet", "--permission-set", `--coverage=${coverage}`, "--filter", filter],
      ...new Set(files),
    ],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
  }).output();
  const report = new TextDecoder().decode(stdout);
  const passed = tests.filter((name) => report.includes(`\n${name} ... ok`));
  const executed = new Set<string>();
  for await (const { name } of Deno.readDir(coverage)) {
    if (!name.endsWith(".json")) continue;
    const { url, functions } = JSON.parse(await Deno.readTextFile(`${coverage}/${name}`));
    if (url.includes("/tests/")) continue;
    for (const { functionName, ranges } of functions) {
      if (ranges[0].count > 0) executed.add(functionName.replace(/^(?:get|set) /, ""));
    }
  }
  await Deno.remove(coverage, { recursive: true });
  return [passed, executed];
}

/** The name that coverage knows a function by: a method without its class. */
function shortName(name: string): string {
  return name.split(".").at(-1) ?? name;
}

/** All functions, classes and public methods of the programs. */
async function documented(): Promise<Set<string>> {
  const names = new Set<string>();
  const files = Object.values(
    (await import("../deno.json", { with: { type: "json" } })).default.exports,
  );
  for (const file of files) {
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["doc", "--json", "--private", file],
      cwd: ROOT,
    }).output();
    const { nodes } = JSON.parse(new TextDecoder().decode(stdout));
    for (const { symbols } of Object.values<{ symbols: Symbol[] }>(nodes)) {
      for (const { name, declarations } of symbols) {
        names.add(name);
        for (const { def } of declarations) {
          for (const method of def?.methods ?? []) names.add(`${name}.${method.name}`);
        }
      }
    }
  }
  return names;
}

/** What `deno doc --json` says of a symbol, as far as it is used here. */
interface Symbol {
  name: string;
  declarations: { def?: { methods?: { name: string }[] } }[];
}

for (const lesson of LESSONS) {
  const markdown = await Deno.readTextFile(`${ROOT}${lesson}`);
  const holes = holesOf(markdown);

  Deno.test(`${lesson}: each hole names a function and a test`, () => {
    assert(holes.length >= 8);
    for (const { title, functions, tests, files } of holes) {
      const counts = [functions, tests, files].map(({ length }) => length > 0);
      assertEquals(counts, [true, true, true], title);
    }
  });

  Deno.test(`${lesson}: the tests pass, and execute the functions that close the holes`, async () => {
    const tests = [...new Set(holes.flatMap(({ tests }) => tests))];
    const [passed, executed] = await run(tests, holes.flatMap(({ files }) => files));
    const functions = holes.flatMap(({ functions }) => functions);
    const missing = functions.filter((name) => !executed.has(shortName(name)));
    assertEquals(missing, [], "functions that are not executed");
    assertEquals(tests.filter((name) => !passed.includes(name)), [], "tests that did not pass");
  });

  Deno.test(`${lesson}: the functions of its map exist`, async () => {
    const known = await documented();
    const isKnown = (name: string) => known.has(name) || name.includes("#");
    const missing = [...mapOf(markdown), ...holes.flatMap(({ functions }) => functions)]
      .filter((name) => !isKnown(name));
    assertEquals(missing, []);
    assert(mapOf(markdown).length >= 8);
  });
}
