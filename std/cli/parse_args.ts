/**
 * Reads long options, as `parseArgs` of @std/cli does. What only the original knows, one-letter
 * options and dotted names, is refused rather than read in another way.
 *
 * @module
 */

/** What to look for. A name may be in several lists: `string` and `collect`, say. */
export interface ParseOptions<B, S, C, N, D, A, Apart> {
  /** Options without a value: `false` unless given. */
  boolean?: B | readonly B[];
  /** Options whose value stays a string; without one it is "". */
  string?: S | readonly S[];
  /** Options that may be repeated: every value goes into an array. */
  collect?: C | readonly C[];
  /** Options that `--no-NAME` sets to `false`. */
  negatable?: N | readonly N[];
  /** What an option that is not given gets. */
  default?: D;
  /** Other names of an option; the result has the value under all of them. */
  alias?: A & Readonly<Record<string, string | readonly string[]>>;
  /** Whether what follows "--" goes into the result's "--", not its `_`. Default: `false`. */
  "--"?: Apart;
  /** Sees each argument that is not declared here, and leaves it out by returning `false`. */
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

/** The value of option K, if there is one: T or a list of T, and `false` if it can be negated. */
export type Value<K, T, C, N> = (K extends C ? T[] : T) | (K extends N ? false : never);

/** The values of all options. */
export type Values<B, S, C, N> =
  & { [K in B & string]: Value<K, boolean, C, never> }
  & { [K in S & C & string]: Value<K, string, C, N> }
  & { [K in Exclude<S, C | "_"> & string]?: Value<K, string, C, N> }
  & { [K in Exclude<C, S | B> & string]: Value<K, unknown, C, N> };

/** The values with those of the defaults, and so none of them missing. */
export type WithDefaults<V, D> =
  & Omit<V, keyof D>
  & { [K in keyof D]: K extends keyof V ? D[K] | NonNullable<V[K]> : unknown };

/** The values under their other names, too. */
export type WithAliases<V, A> = {
  [K in keyof V as K | (K extends keyof A ? Extract<A[K] | Items<A[K]>, string> : never)]: V[K];
};

/** What is in a list. */
export type Items<L> = L extends readonly (infer Item)[] ? Item : never;

/** What was found: a property for each declared option, and the rest in `_`. */
export type Args<B, S, C, N, D, A, Apart> =
  & WithAliases<WithDefaults<Values<B, S, C, N>, D>, A>
  & { _: (string | number)[] }
  & (Apart extends true ? { "--": string[] } : unknown);

/**
 * Reads the options out of a command line. Of an option given twice, the last wins. What follows
 * "--" is not looked into; ahead of it, what is not declared and looks like a number becomes one.
 *
 * @example
 * ```ts ignore
 * import { parseArgs } from "@std/cli/parse-args";
 * import { assertEquals } from "@std/assert";
 *
 * const options = { string: ["port"], boolean: ["quiet"] } as const;
 * const found = parseArgs(["--port=80", "--", "public"], options);
 * assertEquals(found, { port: "80", quiet: false, _: ["public"] });
 * ```
 *
 * @throws {TypeError} If an option is of a form that only the original knows.
 */
export function parseArgs<
  B extends string = never,
  S extends string = never,
  C extends string = never,
  N extends string = never,
  D extends object = Record<never, never>,
  const A extends object = Record<never, never>,
  Apart extends boolean = false,
>(
  args: string[],
  options: ParseOptions<B, S, C, N, D, A, Apart> = {},
): Args<B, S, C, N, D, A, Apart> {
  const same = aliases(options.alias ?? {});
  const names = (list: string | readonly string[] = []): Set<string> =>
    new Set([list].flat().flatMap((name) => [name, ...same.get(name) ?? []]));
  const [booleans, strings] = [names(options.boolean), names(options.string)];
  const [collected, negatable] = [names(options.collect), names(options.negatable)];

  const found = new Map<string, unknown>();
  const set = (name: string, value: unknown): void => {
    for (const key of [name, ...same.get(name) ?? []]) found.set(key, value);
  };
  const add = (name: string, value: unknown): void => {
    const before = found.get(name);
    set(name, collected.has(name) ? [...Array.isArray(before) ? before : [], value] : value);
  };

  const end = args.includes("--") ? args.indexOf("--") : args.length;
  const [ahead, behind] = [args.slice(0, end), args.slice(end + 1)];
  const positionals: (string | number)[] = [];
  for (let arg; (arg = ahead.shift()) !== undefined;) {
    const [, name, given] = /^--(.+?)(?:=(.+))?$/s.exec(arg) ?? [];
    if (name === undefined) {
      if (/^-./s.test(arg)) throw new TypeError(`Cannot read "${arg}": expected a long option`);
      if (options.unknown?.(arg) === false) continue;
      positionals.push(strings.has("_") ? arg : numberOr(arg));
      continue;
    }
    if (name.includes(".")) throw new TypeError(`Cannot read "${arg}": a dot in the name`);
    if (given === undefined && name.startsWith("no-") && negatable.has(name.slice(3))) {
      set(name.slice(3), false);
      continue;
    }
    const takesNext = booleans.has(name) ? /^(?:true|false)$/ : /^[^-]/;
    const text = given ?? (takesNext.test(ahead[0] ?? "") ? ahead.shift() : undefined);
    if (booleans.has(name)) add(name, text !== "false");
    else if (strings.has(name)) add(name, text ?? "");
    else if (same.has(name) || options.unknown?.(arg, name, text ?? true) !== false) {
      add(name, text === undefined ? true : numberOr(text));
    }
  }

  const fallBack = (name: string, value: unknown): void => {
    if (!found.has(name)) set(name, value);
  };
  for (const [name, value] of Object.entries(options.default ?? {})) fallBack(name, value);
  for (const name of booleans) fallBack(name, collected.has(name) ? [] : false);
  for (const name of strings.intersection(collected)) fallBack(name, []);
  found.set("_", options["--"] ? positionals : [...positionals, ...behind]);
  if (options["--"]) found.set("--", behind);
  // The names are only known to the type parameters: the compiler cannot follow them through a map.
  return Object.fromEntries(found) as Args<B, S, C, N, D, A, Apart>;
}

/** For each name, all the others it goes by. */
function aliases(alias: Record<string, string | readonly string[]>): Map<string, string[]> {
  const same = new Map<string, string[]>();
  for (const [name, others] of Object.entries(alias)) {
    const all = [name, others].flat();
    for (const one of all) same.set(one, all.filter((other) => other !== one));
  }
  return same;
}

/** What the original takes for a number: hexadecimal, or decimal with a small "e". */
const NUMBER = /^(?:0[xX][\da-fA-F]+|[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)$/;

function numberOr(text: string): string | number {
  return NUMBER.test(text) ? Number(text) : text;
}
