/**
 * Colours text for a terminal with the escape sequences of ECMA-48, unless `NO_COLOR` is set.
 *
 * @module
 */

/** Puts a text between two sequences. Where a text in it ends such a colour, this one goes on. */
function paint(str: string, on: number, off: number): string {
  const [begin, end] = [`\x1b[${on}m`, `\x1b[${off}m`];
  return Deno.noColor ? str : begin + str.replaceAll(end, begin) + end;
}

/** Makes a text bold. */
export function bold(str: string): string {
  return paint(str, 1, 22);
}

/** Makes a text green. */
export function green(str: string): string {
  return paint(str, 32, 39);
}

/** Makes a text yellow. */
export function yellow(str: string): string {
  return paint(str, 33, 39);
}

/** Makes a text cyan. */
export function cyan(str: string): string {
  return paint(str, 36, 39);
}
