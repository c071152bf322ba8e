/**
 * Formats durations for people.
 *
 * @module
 */

/** Settings of {@linkcode format}. */
export interface FormatOptions {
  /** True to leave out the units that are 0, which is the only form here. */
  ignoreZero: true;
}

/** Units and their lengths (ms). */
const UNITS = [["d", 86_400_000], ["h", 3_600_000], ["m", 60_000], ["s", 1000], ["ms", 1]] as const;

/**
 * Formats a duration in whole milliseconds, from days to milliseconds.
 *
 * @example
 * ```ts
 * import { format } from "jsr:@std/fmt@^1.0.10/duration";
 * import { assertEquals } from "jsr:@std/assert@^1.0.19";
 *
 * assertEquals(format(61_001, { ignoreZero: true }), "1m 1s 1ms");
 * ```
 */
export function format(ms: number, _options: FormatOptions): string {
  let left = Math.trunc(ms);
  const parts: string[] = [];
  for (const [unit, length] of UNITS) {
    if (left >= length) parts.push(`${Math.trunc(left / length)}${unit}`);
    left %= length;
  }
  return parts.join(" ");
}
