/**
 * Writes durations for people.
 *
 * @module
 */

/** How {@linkcode format} writes. */
export interface FormatOptions {
  /** "narrow" for "1m 2s", "full" for "1 minutes, 2 seconds", "digital" for "01:02". */
  style?: "narrow" | "digital" | "full";
  /** Whether to leave out what is 0: in style "digital" at the end only. Default: `false`. */
  ignoreZero?: boolean;
}

/** The parts of a duration: name, abbreviation, and digits in style "digital". */
const UNITS = [
  { name: "days", short: "d", digits: 2 },
  { name: "hours", short: "h", digits: 2 },
  { name: "minutes", short: "m", digits: 2 },
  { name: "seconds", short: "s", digits: 2 },
  { name: "milliseconds", short: "ms", digits: 3 },
  { name: "microseconds", short: "µs", digits: 3 },
  { name: "nanoseconds", short: "ns", digits: 3 },
] as const;

/**
 * Writes a duration, given in milliseconds, from days down to nanoseconds. Drops the sign.
 *
 * @example
 * ```ts ignore
 * import { format } from "@std/fmt/duration";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(format(61_001.5, { ignoreZero: true }), "1m 1s 1ms 500µs");
 * ```
 */
export function format(ms: number, options: FormatOptions = {}): string {
  const { style = "narrow", ignoreZero = false } = options;
  const values = partsOf(Math.abs(ms));
  const parts = UNITS.map((unit, index) => ({ ...unit, value: values[index] ?? 0 }));
  if (style === "digital") {
    const end = ignoreZero ? parts.findLastIndex(({ value }) => value !== 0) + 1 : parts.length;
    const shown = parts.slice(0, end);
    return shown.map(({ value, digits }) => String(value).padStart(digits, "0")).join(":");
  }
  const shown = ignoreZero ? parts.filter(({ value }) => value !== 0) : parts;
  return style === "full"
    ? shown.map(({ value, name }) => `${value} ${name}`).join(", ")
    : shown.map(({ value, short }) => `${value}${short}`).join(" ");
}

/** The value of each unit, in the order of the units. */
function partsOf(ms: number): number[] {
  const whole = Math.trunc(ms);
  const decimals = ms.toFixed(7).slice(-7); // 1.1 % 1 is 0.10000000000000009: read the digits
  return [
    Math.trunc(whole / 86_400_000),
    Math.trunc(whole / 3_600_000) % 24,
    Math.trunc(whole / 60_000) % 60,
    Math.trunc(whole / 1000) % 60,
    whole % 1000,
    Number(decimals.slice(0, 3)),
    Number(decimals.slice(3, 6)),
  ];
}
