/**
 * Colours text for a terminal, with the escape sequences of ECMA-48, unless the user set `NO_COLOR`.
 *
 * @module
 */

let enabled = !Deno.noColor;

/** Turns the colours on or off. Has no effect if the user set `NO_COLOR`. */
export function setColorEnabled(value: boolean): void {
  if (!Deno.noColor) enabled = value;
}

/** Whether the colours are on. */
export function getColorEnabled(): boolean {
  return enabled;
}

/** Puts a text between two sequences. Where a text in it ended such a colour, ours goes on. */
function paint(str: string, on: number, off: number): string {
  const [begin, end] = [`\x1b[${on}m`, `\x1b[${off}m`];
  return enabled ? begin + str.replaceAll(end, begin) + end : str;
}

/** Makes a text bold. */
export function bold(str: string): string {
  return paint(str, 1, 22);
}

/** Makes a text faint. */
export function dim(str: string): string {
  return paint(str, 2, 22);
}

/** Underlines a text. */
export function underline(str: string): string {
  return paint(str, 4, 24);
}

/** Makes a text red. */
export function red(str: string): string {
  return paint(str, 31, 39);
}

/** Makes a text green. */
export function green(str: string): string {
  return paint(str, 32, 39);
}

/** Makes a text yellow. */
export function yellow(str: string): string {
  return paint(str, 33, 39);
}

/** Makes a text blue. */
export function blue(str: string): string {
  return paint(str, 34, 39);
}

/** Makes a text magenta. */
export function magenta(str: string): string {
  return paint(str, 35, 39);
}

/** Makes a text cyan. */
export function cyan(str: string): string {
  return paint(str, 36, 39);
}

const ESC = "\x1b";

/** An escape sequence: CSI to its final octet, OSC to BEL or ST, or two or three octets. */
const SEQUENCE = new RegExp(
  [
    `(?:${ESC}\\[|\x9b)[0-?]*[ -/]*[@-~]`,
    `${ESC}\\][^${ESC}\x07]*(?:\x07|${ESC}\\\\)`,
    `${ESC}[ -/]*[0-Z\\\\^-~]`,
  ].join("|"),
  "g",
);

/** Removes the escape sequences from a text. */
export function stripAnsiCode(string: string): string {
  return string.replace(SEQUENCE, "");
}
