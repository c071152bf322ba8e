/**
 * Formats numbers of octets for people.
 *
 * @module
 */

/** Units by the power of 1000 that they stand for. */
const UNITS = ["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];

/**
 * Formats a number of octets with three digits and a unit.
 *
 * @example
 * ```ts
 * import { format } from "jsr:@std/fmt@^1.0.10/bytes";
 * import { assertEquals } from "jsr:@std/assert@^1.0.19";
 *
 * assertEquals(format(65_536), "65.5 kB");
 * ```
 *
 * @throws {TypeError} If the number is not finite.
 */
export function format(num: number): string {
  if (!Number.isFinite(num)) throw new TypeError(`Cannot format ${num}: expected a finite number`);
  const size = Math.abs(num);
  if (size < 1) return `${num} B`;
  const power = Math.min(Math.floor(Math.log10(size) / 3), UNITS.length - 1);
  return `${Number((num / 1000 ** power).toPrecision(3))} ${UNITS[power]}`;
}
