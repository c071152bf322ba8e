/**
 * Takes the programs out of a lesson and puts them into the folder `lesson/`, ready to run.
 *
 * ```sh
 * deno task lesson 1
 * ```
 *
 * @module
 */

const DOCS = new URL(".", import.meta.url);

/** A program of a lesson: a block of code whose first line is a comment with its name. */
export interface Program {
  /** The file to write, such as `web.ts`. */
  name: string;
  /** All of its text. */
  text: string;
}

/** The programs in the text of a lesson. */
export function programsIn(markdown: string): Program[] {
  return markdown.matchAll(/^```ts\n(\/\/ ([a-z]+\.ts)\b[^]*?)^```$/gm)
    .map(([, text = "", name = ""]) => ({ name, text })).toArray();
}

/** The file of a lesson. */
export async function lessonFile(number: string): Promise<URL> {
  for await (const { name } of Deno.readDir(DOCS)) {
    if (name.startsWith(`${number}-`)) return new URL(name, DOCS);
  }
  throw new Error(`There is no lesson "${number}": expected 1, 2 or 3`);
}

/** Writes a small web site: a page, and 20 MB of numbered lines. */
async function writeSite(folder: URL): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(new URL("index.html", folder), "<h1>It works.</h1>\n");
  const lines = Array.from({ length: 1_000_000 }, (_, at) => `this is line ${at + 1_000_000}\n`);
  await Deno.writeTextFile(new URL("big.txt", folder), lines.join("").slice(0, 20_000_000));
}

if (import.meta.main) {
  const [number = ""] = Deno.args;
  const file = await lessonFile(number);
  const folder = new URL("../lesson/", DOCS);
  await Deno.mkdir(folder, { recursive: true });
  for (const { name, text } of programsIn(await Deno.readTextFile(file))) {
    await Deno.writeTextFile(new URL(name, folder), text);
    console.log(`lesson/${name}`);
  }
  if (number === "1") {
    await writeSite(new URL("www/", folder));
    console.log("lesson/www/");
  }
}
