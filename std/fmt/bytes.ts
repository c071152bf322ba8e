/**
 * Writes numbers of octets for people.
 *
 * @module
 */

/** How {@linkcode format} writes. */
export interface FormatOptions {
  /** Whether the number is one of bits. Default: of octets ("B"). */
  bits?: boolean;
  /** Whether a prefix stands for a power of 1024. Default: of 1000. */
  binary?: boolean;
  /** Whether a positive number gets its sign, and 0 a space. Default: `false`. */
  signed?: boolean;
  /** Whose digits and decimal sign to use; `true` for the system's. Default: JavaScript's. */
  locale?: boolean | string | string[];
  /** The least decimals. Unless this or the next is set, there are three digits in all. */
  minimumFractionDigits?: number;
  /** The most decimals. */
  maximumFractionDigits?: number;
}

/** By the power of 1000 or 1024 each stands for. */
const PREFIXES = ["", "k", "M", "G", "T", "P", "E", "Z", "Y"];

/**
 * Writes a number of octets with a unit in which it is short.
 *
 * @example
 * ```ts ignore
 * import { format } from "@std/fmt/bytes";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(format(65_536), "65.5 kB");
 * assertEquals(format(65_536, { binary: true }), "64 kiB");
 * ```
 *
 * @throws {TypeError} If the number is not finite.
 */
export function format(num: number, options: FormatOptions = {}): string {
  if (!Number.isFinite(num)) throw new TypeError(`Cannot format ${num}: expected a finite number`);
  const { bits = false, binary = false, signed = false } = options;
  const one = bits ? "b" : "B";
  if (num === 0 && signed) return ` 0 ${one}`;
  const sign = num < 0 ? "-" : signed ? "+" : "";
  const size = Math.abs(num);
  if (size < 1) return `${sign}${inDigits(size, options)} ${one}`;
  const power = Math.floor(binary ? Math.log(size) / Math.log(1024) : Math.log10(size) / 3);
  const shown = Math.min(power, PREFIXES.length - 1);
  const scaled = size / (binary ? 1024 : 1000) ** shown;
  const unit = shown === 0 ? one : `${PREFIXES[shown]}${binary ? "i" : ""}${bits ? "bit" : "B"}`;
  const value = setsDecimals(options) ? scaled : Number(scaled.toPrecision(3));
  return `${sign}${inDigits(value, options)} ${unit}`;
}

/** Whether the decimals are prescribed; 0 prescribes nothing, as in the original. */
function setsDecimals({ minimumFractionDigits, maximumFractionDigits }: FormatOptions): boolean {
  return Boolean(minimumFractionDigits || maximumFractionDigits);
}

function inDigits(value: number, options: FormatOptions): string {
  const { locale = false, minimumFractionDigits, maximumFractionDigits } = options;
  const decimals = setsDecimals(options) ? { minimumFractionDigits, maximumFractionDigits } : {};
  if (typeof locale !== "boolean") return value.toLocaleString(locale, decimals);
  if (locale || setsDecimals(options)) return value.toLocaleString(undefined, decimals);
  return String(value);
}
