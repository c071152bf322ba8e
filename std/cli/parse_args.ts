/**
 * Reads long options in the forms that cli.ts gives to `parseArgs` of @std/cli. Refuses the forms
 * that only the original knows: letters, dotted names, values in a word of their own, `--no-`.
 *
 * @module
 */

/** Declares the options; a name may be in several lists, as `string` and `collect`. */
export interface ParseOptions {
  /** Options with true or false after an equals sign; without it, true. Default: false. */
  boolean?: readonly string[];
  /** Options with a text after an equals sign; without it, "". `_` keeps operands as text. */
  string?: readonly string[];
  /** Options that may be repeated: their value is an array. */
  collect?: readonly string[];
  /** Values of options that are not given. */
  default?: Readonly<Record<string, unknown>>;
}

/** The value of each option, and the operands in `_`. */
export type Args = Record<string, unknown> & { _: (string | number)[] };

/**
 * Reads options up to `--`, and operands after it. Of an option given twice, the last counts.
 *
 * @example
 * ```ts
 * import { parseArgs } from "jsr:@std/cli@^1.0.32/parse-args";
 * import { assertEquals } from "jsr:@std/assert@^1.0.19";
 *
 * const options = { string: ["port", "_"], boolean: ["quiet"] } as const;
 * const found = parseArgs(["--port=80", "--", "public"], options);
 * assertEquals<unknown>(found, { port: "80", quiet: false, _: ["public"] });
 * ```
 *
 * @throws {TypeError} If an argument is in a form that only the original knows.
 */
export function parseArgs(args: string[], options: ParseOptions = {}): Args {
  const { boolean = [], string = [], collect = [], default: defaults = {} } = options;
  const end = args.includes("--") ? args.indexOf("--") : args.length;
  const operands = args.slice(end + 1);
  if (!string.includes("_")) throw new TypeError('Cannot read operands: expected "_" in string');
  const found = new Map<string, unknown>();
  for (const arg of args.slice(0, end)) {
    const [, name = "", text] = /^--([^=.]+)(?:=(.*))?$/s.exec(arg) ?? [];
    const isFlag = boolean.includes(name);
    if (!isFlag && !string.includes(name)) throw new TypeError(`Cannot read "${arg}"`);
    const value = isFlag ? text !== "false" : text ?? "";
    const before = found.get(name);
    found.set(
      name,
      collect.includes(name) ? [...Array.isArray(before) ? before : [], value] : value,
    );
  }
  const values = { ...defaults };
  for (const name of boolean) if (!Object.hasOwn(values, name)) values[name] = false;
  for (const name of collect) if (!Object.hasOwn(values, name)) values[name] = [];
  return { ...values, ...Object.fromEntries(found), _: operands };
}
