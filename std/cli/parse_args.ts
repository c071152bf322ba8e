/**
 * Reads long options, as `parseArgs` of @std/cli does. What is left out of the original, one-letter
 * options and dotted names, is refused rather than read differently.
 *
 * @module
 */

/** What to look for. A name may be in several lists: `string` and `collect`, say. */
export interface ParseOptions<
  B extends string = string,
  S extends string = string,
  C extends string = string,
  N extends string = string,
  D extends object = object,
  A extends object = object,
  DD extends boolean = boolean,
> {
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
  "--"?: DD;
  /** Sees each argument that is not declared here, and leaves it out by returning `false`. */
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

/** The value of option K when it is given: T or a list of T, or `false` if it can be negated. */
type Value<K, T, C, N> = (K extends C ? T[] : T) | (K extends N ? false : never);

type Values<B extends string, S extends string, C extends string, N extends string> =
  & { [K in B]: Value<K, boolean, C, never> }
  & { [K in Extract<S, C>]: Value<K, string, C, N> }
  & { [K in Exclude<S, C | "_">]?: Value<K, string, C, N> }
  & { [K in Exclude<C, S | B>]: Value<K, unknown, C, N> };

type WithDefaults<V, D> =
  & Omit<V, keyof D>
  & { [K in keyof D]: K extends keyof V ? D[K] | NonNullable<V[K]> : unknown };

type OtherNames<K, A> = K extends keyof A
  ? A[K] extends string ? A[K] : A[K] extends readonly string[] ? A[K][number] : never
  : never;

type WithAliases<V, A> = { [K in keyof V as K | OtherNames<K, A>]: V[K] };

/** What was found: a property for each declared option, and the rest in `_`. */
export type Args<
  B extends string = never,
  S extends string = never,
  C extends string = never,
  N extends string = never,
  D extends object = Record<never, never>,
  A extends object = Record<never, never>,
  DD extends boolean = false,
> =
  & WithAliases<WithDefaults<Values<B, S, C, N>, D>, A>
  & { _: (string | number)[] }
  & (DD extends true ? { "--": string[] } : unknown);

/**
 * Reads the options out of a command line. Of an option given twice, the last wins. What follows
 * "--" is not looked into; ahead of it, what is declared nowhere and looks like a number becomes
 * one.
 *
 * @example
 * ```ts
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
  DD extends boolean = false,
>(
  args: string[],
  options: ParseOptions<B, S, C, N, D, A, DD> = {},
): Args<B, S, C, N, D, A, DD> {
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
    if (!collected.has(name)) set(name, value);
    else set(name, Array.isArray(before) ? [...before, value] : [value]);
  };

  const end = args.includes("--") ? args.indexOf("--") : args.length;
  const behind = args.slice(end + 1);
  const ahead = args.slice(0, end);
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
    else {
      const value = text === undefined ? true : numberOr(text);
      if (same.has(name) || options.unknown?.(arg, name, value) !== false) add(name, value);
    }
  }

  const fallBack = (name: string, value: unknown): void => {
    if (!found.has(name)) set(name, value);
  };
  for (const [name, value] of Object.entries(options.default ?? {})) fallBack(name, value);
  for (const name of booleans) fallBack(name, collected.has(name) ? [] : false);
  for (const name of strings) if (collected.has(name)) fallBack(name, []);

  found.set("_", options["--"] ? positionals : [...positionals, ...behind]);
  if (options["--"]) found.set("--", behind);
  // The names are only known to the type parameters: no type of a built-in can carry them here.
  return Object.fromEntries(found) as Args<B, S, C, N, D, A, DD>;
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

function numberOr(text: string): string | number {
  return text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
}
