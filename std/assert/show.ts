/** Formats values for the messages of failed assertions. */

/** Number of equal lines shown before and after a difference. */
const CONTEXT = 3;

/** Formats a value completely, as Deno does. */
export function show(value: unknown): string {
  return Deno.inspect(value, {
    depth: Infinity,
    iterableLimit: Infinity,
    strAbbreviateSize: Infinity,
    getters: true,
    sorted: true,
  });
}

/** Shows two values: one below the other if they are short, otherwise the lines that differ. */
export function difference(actual: unknown, expected: unknown): string {
  const [got, wanted] = [lines(actual), lines(expected)];
  const marked = got.length === 1 && wanted.length === 1
    ? [`  got      ${got[0]}`, `  expected ${wanted[0]}`]
    : ["  - got, + expected", "", ...changes(got, wanted)];
  if (got.join("\n") === wanted.join("\n")) marked.push("  (they look alike, but are not equal)");
  return `\n\n${marked.join("\n")}\n`;
}

/** Splits a text into its lines, each quoted with its line end, and any other value into Deno's. */
function lines(value: unknown): string[] {
  if (typeof value !== "string" || value === "") return show(value).split("\n");
  return value.split(/(?<=\n)/).map((line) => JSON.stringify(line));
}

/** Marks the lines between the common beginning and the common end of two lists. */
function changes(got: string[], wanted: string[]): string[] {
  const shorter = Math.min(got.length, wanted.length);
  let head = 0;
  while (head < shorter && got[head] === wanted[head]) head++;
  let tail = 0;
  while (tail < shorter - head && got.at(-1 - tail) === wanted.at(-1 - tail)) tail++;
  const end = got.length - tail;
  return [
    ...got.slice(Math.max(0, head - CONTEXT), head).map((line) => `    ${line}`),
    ...got.slice(head, end).map((line) => `  - ${line}`),
    ...wanted.slice(head, wanted.length - tail).map((line) => `  + ${line}`),
    ...got.slice(end, end + CONTEXT).map((line) => `    ${line}`),
  ];
}
