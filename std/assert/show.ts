/** Writes values out for the messages of failed claims. */

/** How many equal lines are shown on either side of a difference. */
const CONTEXT = 3;

/** Writes a value out as Deno would, all of it. */
export function show(value: unknown): string {
  return Deno.inspect(value, {
    depth: Infinity,
    iterableLimit: Infinity,
    strAbbreviateSize: Infinity,
    getters: true,
    sorted: true,
  });
}

/** Shows two values: one below the other if they are short, else the lines that differ. */
export function difference(actual: unknown, expected: unknown): string {
  const [got, wanted] = [lines(actual), lines(expected)];
  const marked = got.length === 1 && wanted.length === 1
    ? [`  got      ${got[0]}`, `  expected ${wanted[0]}`]
    : ["  - got, + expected", "", ...changes(got, wanted)];
  if (got.join("\n") === wanted.join("\n")) marked.push("  (they look alike, but are not equal)");
  return `\n\n${marked.join("\n")}\n`;
}

/** A text in its own lines, each in quotes with its line end; any other value in those of Deno. */
function lines(value: unknown): string[] {
  if (typeof value !== "string" || value === "") return show(value).split("\n");
  return value.split(/(?<=\n)/).map((line) => JSON.stringify(line));
}

/** What stands between the lines that two lists begin and end with, marked, and some of those. */
function changes(got: string[], wanted: string[]): string[] {
  const shorter = Math.min(got.length, wanted.length);
  let head = 0;
  while (head < shorter && got[head] === wanted[head]) head++;
  let tail = 0;
  while (tail < shorter - head && got.at(-1 - tail) === wanted.at(-1 - tail)) tail++;
  const end = got.length - tail;
  return [
    ...(head > CONTEXT ? [`    (${head - CONTEXT} equal lines)`] : []),
    ...got.slice(Math.max(0, head - CONTEXT), head).map((line) => `    ${line}`),
    ...got.slice(head, end).map((line) => `  - ${line}`),
    ...wanted.slice(head, wanted.length - tail).map((line) => `  + ${line}`),
    ...got.slice(end, end + CONTEXT).map((line) => `    ${line}`),
    ...(tail > CONTEXT ? [`    (${tail - CONTEXT} equal lines)`] : []),
  ];
}
