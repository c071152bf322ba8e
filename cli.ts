/**
 * The command line and the process of a program: one table of options that makes both the parser
 * and the help, readers of values, signals, standard output, and {@linkcode run}, which turns
 * every error into one line and an exit status.
 *
 * ```ts
 * import { assertEquals } from "jsr:@std/assert@^1.0.19";
 * import { flag, option, parseCommandLine, wholeNumber } from "./cli.ts";
 *
 * const options = {
 *   port: option("-p, --port N", "listen on this port", wholeNumber(0, 65_535), "8000"),
 *   upper: flag("--upper", "reply in upper case"),
 * };
 * const line = parseCommandLine({ options }, ["-p80", "public"]);
 * assertEquals(line.options, { port: 80, upper: false });
 * assertEquals(line.operands, ["public"]);
 * ```
 *
 * @module
 */
import { parseArgs } from "jsr:@std/cli@^1.0.32/parse-args";
import { cyan, green, yellow } from "jsr:@std/fmt@^1.0.10/colors";
import { escapeText, ExitError, printable, UsageError, WireError } from "./protocol.ts";

/** Version of the five programs, for `--version`. A test keeps it equal to that of deno.json. */
export const VERSION = "1.1.0";

/** Oldest version of Deno on which the five programs run. */
const OLDEST_DENO = [2, 5] as const;

/** Width of the help (columns). */
const HELP_WIDTH = 80;

/** Widest column of option spellings in the help; a longer spelling gets a line of its own. */
const MAX_SPELLING = 24;

/** Number of characters of a value that an error message quotes. */
const MAX_QUOTED = 100;

const encoder = new TextEncoder();

// ---- Options -------------------------------------------------------------

/**
 * Reads the value of an option.
 *
 * @throws {UsageError} With what was expected: `expected a whole number from 1 to 9`.
 */
export type Reader<T> = (text: string) => T;

/** One row of a table of options. `T` is the type of the value that the program gets. */
export interface Option<T> {
  /** Shape of the value: one text, several texts, or none. */
  readonly kind: "value" | "list" | "flag";
  /** Spellings, as `-p` and `--port`. A flag spelled `--no-…` sets false. */
  readonly spellings: readonly string[];
  /** Name of the value in the help; empty for a flag. */
  readonly valueName: string;
  /** What the option does. */
  readonly help: string;
  /** Default as the user would type it; the reader reads it, and the help shows it. */
  readonly byDefault: string | undefined;
  /** Value of a flag that is not given. */
  readonly unset: boolean | undefined;
  /** Turns the text into the value. */
  readonly read: Reader<unknown>;
  /** True if an error message must not quote the value. */
  readonly isSecret: boolean;
  /** Carries the type only; never set. */
  readonly type?: T;
}

/** The options of a program, by the names that its code uses. */
export type Options = Readonly<Record<string, Option<unknown>>>;

/** The values of a table of options. */
export type Values<Table extends Options> = {
  [Name in keyof Table]: Table[Name] extends Option<infer T> ? T : never;
};

/** Settings of {@linkcode option} and {@linkcode list} that few options need. */
export interface OptionSettings {
  /** True if an error message must not quote the value. Default: false. */
  isSecret?: boolean;
}

function row<T>(kind: Option<T>["kind"], spec: string, help: string, rest: Partial<Option<T>>) {
  const [, names = "", valueName = ""] = /^((?:--?[\w#.-]+,? ?)+)(.*)$/.exec(spec) ?? [];
  const spellings = names.trim().split(/, */);
  const unused = { byDefault: undefined, unset: undefined, read: text, isSecret: false };
  return { kind, spellings, valueName, help, ...unused, ...rest } satisfies Option<T>;
}

/**
 * Declares an option with a value.
 *
 * @param spec Spellings and the name of the value, as in the help: `-p, --port N`.
 * @param byDefault Default as the user would type it. Without one the value may be undefined.
 */
export function option<T>(
  spec: string,
  help: string,
  read: Reader<T>,
  byDefault: string,
  settings?: OptionSettings,
): Option<T>;
/** Declares an option with a value and no default. */
export function option<T>(
  spec: string,
  help: string,
  read: Reader<T>,
  byDefault?: undefined,
  settings?: OptionSettings,
): Option<T | undefined>;
export function option<T>(
  spec: string,
  help: string,
  read: Reader<T>,
  byDefault?: string,
  settings?: OptionSettings,
): Option<T | undefined> {
  return row<T | undefined>("value", spec, help, { read, byDefault, ...settings });
}

/** Declares an option that may be given several times; its value is an array. */
export function list<T>(
  spec: string,
  help: string,
  read: Reader<T>,
  settings?: OptionSettings,
): Option<T[]> {
  return row<T[]>("list", spec, help, { read, ...settings });
}

/** Declares an option without a value: false unless given. */
export function flag(spec: string, help: string): Option<boolean> {
  return row<boolean>("flag", spec, help, { unset: false });
}

/** Declares a flag that its `--no-…` spelling turns off: `unset` unless given. */
export function negatable<T extends boolean | undefined>(
  spec: string,
  help: string,
  unset: T,
): Option<boolean | T> {
  return row<boolean | T>("flag", spec, help, { unset });
}

// ---- Readers -------------------------------------------------------------

/** Takes the text as it is. */
export function text(text: string): string {
  return text;
}

/**
 * Takes a text that is not blank.
 *
 * @throws {UsageError} If it is.
 */
export function nonEmpty(text: string): string {
  if (text.trim() === "") throw new UsageError("expected a text that is not empty");
  return text;
}

/** Bounds of a number. */
export interface NumberRange {
  /** Smallest value. */
  min: number;
  /** Largest value; Infinity for none. */
  max: number;
  /** True if the number has no decimals. Default: false. */
  isWhole?: boolean;
}

/**
 * Reads a decimal number: digits, perhaps a sign and decimals, and none of the other forms that
 * JavaScript takes ("", "1e3", "0x10").
 *
 * @throws {UsageError} If the text is not a number or is out of range.
 */
export function readNumber(text: string, { min, max, isWhole = false }: NumberRange): number {
  const value = Number(text);
  const digits = isWhole ? /^[-+]?\d+$/ : /^[-+]?(\d+\.?\d*|\.\d+)$/;
  if (digits.test(text) && value >= min && value <= max) return value;
  const kind = isWhole ? "a whole number" : "a number";
  const range = max < Infinity ? `from ${min} to ${max}` : `of at least ${min}`;
  throw new UsageError(`expected ${kind} ${range}`);
}

/** Makes a reader of whole numbers. */
export function wholeNumber(min: number, max: number): Reader<number> {
  return (text) => readNumber(text, { min, max, isWhole: true });
}

/** Makes a reader of numbers that may have decimals. */
export function decimal(min: number, max: number): Reader<number> {
  return (text) => readNumber(text, { min, max });
}

/** Makes a reader of times: seconds, `200ms` or `5s`. The value is in milliseconds. */
export function seconds(min: number, max: number): Reader<number> {
  return (text) => {
    const [, number = text, unit = "s"] = /^(.*\d)(ms|s)$/.exec(text) ?? [];
    const scale = unit === "ms" ? 1 : 1000;
    return scale * readNumber(number, { min: min * 1000 / scale, max: max * 1000 / scale });
  };
}

/**
 * Reads a probability: `0.3`, `30%` or `4/11`.
 *
 * @throws {UsageError} If the text is none of these, or not from 0 to 1.
 */
export function probability(text: string): number {
  const [, number, sign, divisor] = /^(\d+\.?\d*|\.\d+)(?:(%)|\/(\d+))?$/.exec(text) ?? [];
  const value = Number(number) / (sign ? 100 : Number(divisor ?? 1));
  if (value >= 0 && value <= 1) return value;
  throw new UsageError("expected a probability, as in 0.3, 30% or 4/11");
}

/** Makes a reader that takes one of several words, in any case. */
export function oneOf<const T extends string>(...words: readonly T[]): Reader<T> {
  return (text) => {
    const found = words.find((word) => word.toLowerCase() === text.toLowerCase());
    if (found === undefined) throw new UsageError(`expected ${words.join(", ")}`);
    return found;
  };
}

/** Quotes a value for an error message, cut to a length that fits in one. */
export function quoteForMessage(value: string): string {
  return `"${value.length > MAX_QUOTED ? `${value.slice(0, MAX_QUOTED)}…` : value}"`;
}

// ---- The parser ----------------------------------------------------------

/** What the user typed, read and checked. */
export interface CommandLine<Table extends Options> {
  /** The value of each option. */
  readonly options: Values<Table>;
  /** The words that are not options. */
  readonly operands: readonly string[];
  /** How the user spelled an option the last time; undefined if it was not given. */
  readonly spelling: (name: keyof Table & string) => string | undefined;
}

/** An option as the user gave it. */
interface Given {
  readonly name: string;
  readonly spelling: string;
}

/** The command line in the one form that `parseArgs` cannot misread. */
interface Normalized {
  /** `--name=value` for each option, then `--`, then the operands. */
  readonly args: string[];
  /** The options in the order in which they were given. */
  readonly given: Given[];
}

/**
 * Reads a command line.
 *
 * @throws {UsageError} If an option is unknown, a value is missing, or a reader refuses a value.
 */
export function parseCommandLine<Table extends Options>(
  { options: table }: { readonly options: Table },
  args: readonly string[],
): CommandLine<Table> {
  return readCommandLine(table, normalizeArgs(args, table));
}

function readCommandLine<Table extends Options>(
  table: Table,
  normalized: Normalized,
): CommandLine<Table> {
  const ofKind = (...kinds: Option<unknown>["kind"][]) =>
    Object.keys(table).filter((name) => kinds.some((kind) => table[name]?.kind === kind));
  const { _: operands, ...given } = parseArgs(normalized.args, {
    string: [...ofKind("value", "list"), "_"],
    boolean: ofKind("flag"),
    collect: ofKind("list"),
    default: Object.fromEntries(ofKind("flag").map((name) => [name, table[name]?.unset])),
  }) as Record<string, unknown> & { _: (string | number)[] };
  const spellings = (name: string) =>
    normalized.given.filter((option) => option.name === name).map(({ spelling }) => spelling);
  const values = Object.entries(table).map(([name, option]) => {
    const value = given[name] ?? (option.kind === "list" ? [] : option.byDefault);
    return [name, readValue(option, value, spellings(name))];
  });
  return {
    options: Object.fromEntries(values),
    operands: operands.map(String),
    spelling: (name) => spellings(name).at(-1),
  };
}

/** Gives the texts of an option to its reader, and names the option in what it throws. */
function readValue(option: Option<unknown>, value: unknown, spellings: string[]): unknown {
  const { kind, read, isSecret } = option;
  if (kind === "flag" || value === undefined) return value;
  const readOne = (text: string, spelling = option.spellings[0]) => {
    try {
      return read(text);
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      const quoted = isSecret ? "" : ` ${quoteForMessage(text)}`;
      throw new UsageError(`Cannot use ${spelling}${quoted}: ${error.message}`);
    }
  };
  return kind === "list"
    ? [value].flat().map((text, at) => readOne(String(text), spellings[at]))
    : readOne(String(value), spellings.at(-1));
}

/**
 * Normalizes a command line for `parseArgs`: `--name=value …`, `--`, operands. Takes bundles
 * (`-sSL`), attached values (`-p80`), and values that begin with a dash.
 *
 * @throws {UsageError} If an option is unknown, its value is missing, or it takes no value.
 */
function normalizeArgs(args: readonly string[], table: Options): Normalized {
  const names = namesBySpelling(table);
  const [normalized, given, operands]: [string[], Given[], string[]] = [[], [], []];
  const left = [...args];
  for (let arg = left.shift(); arg !== undefined && arg !== "--"; arg = left.shift()) {
    if (arg === "-" || !arg.startsWith("-")) {
      operands.push(arg);
      continue;
    }
    const { spelling, attached, isLong } = splitOption(arg);
    const name = names.get(spelling) ?? "";
    const option = table[name];
    if (option === undefined) {
      throw new UsageError(`Unknown option ${quoteForMessage(spelling)}: ${hint(spelling, names)}`);
    }
    given.push({ name, spelling });
    if (option.kind !== "flag") {
      const value = attached ?? left.shift();
      const isMissing = attached === undefined && value !== undefined && isOption(value, names);
      if (value === undefined || isMissing) {
        throw new UsageError(`Option "${spelling}" needs a value`);
      }
      normalized.push(value === "" ? `--${name}` : `--${name}=${value}`);
      continue;
    }
    if (attached !== undefined && (isLong || /^[-=]/.test(attached))) {
      throw new UsageError(`Option "${spelling}" takes no value`);
    }
    if (attached !== undefined) left.unshift(`-${attached}`); // the rest of a bundle
    normalized.push(`--${name}=${!spelling.startsWith("--no-")}`);
  }
  return { args: [...normalized, "--", ...operands, ...left], given };
}

/** Splits `--name=value` and `-nvalue`. */
function splitOption(arg: string) {
  const isLong = arg.startsWith("--");
  const form = isLong ? /^([^=]*)(?:=(.*))?$/s : /^(-.)(.+)?$/su;
  const [, spelling = arg, attached] = form.exec(arg) ?? [];
  return { spelling, attached, isLong };
}

function namesBySpelling(table: Options): Map<string, string> {
  return new Map(
    Object.entries(table).flatMap(([name, { spellings }]) =>
      spellings.map((spelling) => [spelling, name] as const)
    ),
  );
}

/** True if a word is an option rather than a value. `-4` is taken as a value. */
function isOption(word: string, names: ReadonlyMap<string, string>): boolean {
  const { spelling, isLong } = splitOption(word);
  return names.has(isLong ? spelling : word) && !/^-\d/.test(word);
}

function hint(option: string, names: ReadonlyMap<string, string>): string {
  const near = suggestion(option, [...names.keys()]);
  return near === undefined ? "see --help" : `did you mean ${near}?`;
}

/**
 * Returns the spelling that the user most likely meant: one that goes on like the option, or the
 * one with the fewest changes of a letter, if at most half of the letters change.
 */
export function suggestion(option: string, spellings: readonly string[]): string | undefined {
  const letters = (spelling: string) => spelling.replaceAll("-", "").toLowerCase();
  const typed = letters(option.slice(0, MAX_QUOTED));
  const longer = spellings.find((spelling) => letters(spelling).startsWith(typed));
  if (typed.length >= 3 && longer !== undefined) return longer;
  const distances = spellings.map((spelling) => editDistance(typed, letters(spelling)));
  const least = Math.min(...distances);
  return typed !== "" && least <= typed.length / 2
    ? spellings[distances.indexOf(least)]
    : undefined;
}

/**
 * Counts the letters to insert, delete, replace, or swap with their neighbour (Damerau and
 * Levenshtein's distance, in its restricted form).
 */
function editDistance(from: string, to: string): number {
  const rows = [Array.from({ length: to.length + 1 }, (_, column) => column)];
  const at = (row: number, column: number) => rows[row]?.[column] ?? Infinity;
  for (let row = 1; row <= from.length; row++) {
    const next = rows[row] = [row];
    for (let column = 1; column <= to.length; column++) {
      const isSame = from[row - 1] === to[column - 1];
      const isSwap = from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      next.push(Math.min(
        at(row - 1, column) + 1,
        at(row, column - 1) + 1,
        at(row - 1, column - 1) + (isSame ? 0 : 1),
        isSwap ? at(row - 2, column - 2) + 1 : Infinity,
      ));
    }
  }
  return at(from.length, to.length);
}

/**
 * Refuses options that exclude each other.
 *
 * @throws {UsageError} If two of them were given.
 */
export function refuseTogether<Table extends Options>(
  line: CommandLine<Table>,
  ...names: (keyof Table & string)[]
): void {
  const [first, second] = names.map(line.spelling).filter((spelling) => spelling !== undefined);
  if (second !== undefined) throw new UsageError(`Cannot use ${first} with ${second}`);
}

/**
 * Refuses an option that has no effect without another one.
 *
 * @throws {UsageError} If `name` was given and `needed` was not.
 */
export function requireWith<Table extends Options>(
  line: CommandLine<Table>,
  name: keyof Table & string,
  needed: keyof Table & string,
  table: Table,
): void {
  const spelling = line.spelling(name);
  if (spelling === undefined || line.spelling(needed) !== undefined) return;
  throw new UsageError(`Option "${spelling}" needs ${longName(table[needed])}`);
}

function longName(option: Option<unknown> | undefined): string {
  return option?.spellings.find((spelling) => spelling.startsWith("--")) ?? "";
}

// ---- Help ----------------------------------------------------------------

/** A program as its help describes it. */
export interface Command<Table extends Options> {
  /** Name of the program, in messages and for `--version`. */
  readonly name: string;
  /** One sentence: what the program does. */
  readonly summary: string;
  /** Forms of the command line after the program's name: `[options] HOST [PORT]`. */
  readonly usage: readonly string[];
  /** The table of options. */
  readonly options: Table;
  /** Paragraphs after the options. */
  readonly notes?: readonly string[];
  /** One command that works as printed, from the folder of the project. */
  readonly example: string;
  /** Exit statuses, as one sentence: `0 complete, 2 usage`. */
  readonly exitStatuses: string;
  /** Exit status of a failure that is not a usage error. Default: 1. */
  readonly failureStatus?: number;
}

/** `-h` and `-V`, which {@linkcode run} adds to each table. */
const STANDARD = {
  help: flag("-h, --help", "show this text"),
  version: flag("-V, --version", "show the version"),
} as const;

/** Makes the help of a program: 80 columns, live defaults, one newline at the end. */
export function formatHelp(command: Command<Options>): string {
  const { name, summary, usage, options, notes = [], example, exitStatuses } = command;
  const rows = Object.values({ ...options, ...STANDARD }).map((option) => ({
    spelling: formatSpelling(option),
    help: option.help + (option.byDefault ? ` (default: ${option.byDefault})` : ""),
  }));
  const fitting = rows.map(({ spelling }) => spelling.length).filter((n) => n <= MAX_SPELLING);
  const width = Math.max(...fitting) + 2;
  const lines = rows.flatMap(({ spelling, help }) => {
    const wrapped = wrap(help, HELP_WIDTH - width);
    if (spelling.length > MAX_SPELLING) wrapped.unshift("");
    return wrapped.map((text, at) => ((at === 0 ? spelling : "").padEnd(width) + text).trimEnd());
  });
  const forms = usage.map((form, at) => `${at === 0 ? "Usage:" : "      "} ${name}.ts ${form}`);
  const paragraphs = [summary, forms.join("\n"), lines.join("\n")];
  const rest = [...notes, `Example: ${example}`, `Exit status: ${exitStatuses}.`];
  return [...paragraphs, ...rest.map((text) => wrap(text, HELP_WIDTH).join("\n"))].join("\n\n") +
    "\n";
}

/** Formats the spellings of an option and the name of its value, with short ones in a column. */
function formatSpelling({ spellings, valueName }: Option<unknown>): string {
  const indent = spellings[0]?.startsWith("--") ? "      " : "  ";
  return `${indent}${spellings.join(", ")} ${valueName}`.trimEnd();
}

/** Breaks a text into lines at its blanks; line breaks of the text stay. */
function wrap(text: string, width: number): string[] {
  return text.split("\n").flatMap((paragraph) => {
    const lines: string[] = [];
    let line = "";
    for (const word of paragraph.split(" ")) {
      if (line !== "" && line.length + 1 + word.length > width) {
        lines.push(line);
        line = word;
      } else line += line === "" ? word : ` ${word}`;
    }
    return [...lines, line];
  });
}

// ---- Standard output and error -------------------------------------------

/**
 * Writes to standard output, completely and at once; a string as UTF-8.
 *
 * @throws {Deno.errors.BrokenPipe} If the reader has closed it; {@linkcode run} then ends quietly.
 */
export function print(output: string | Uint8Array): void {
  let octets = typeof output === "string" ? encoder.encode(output) : output;
  while (octets.length > 0) octets = octets.subarray(Deno.stdout.writeSync(octets));
}

/** Colours of the marks of a trace. */
const MARK_COLORS = { ">": cyan, "<": green, "*": yellow } as const;

/** Formats one line of a trace; escapes the text, and colours it if standard error is a terminal. */
export function formatTrace(mark: ">" | "<" | "*", text: string): string {
  const line = `${mark} ${escapeText(text)}`.trimEnd();
  return Deno.stderr.isTerminal() ? MARK_COLORS[mark](line) : line;
}

/** Shows a conversation on standard error, with curl's marks. */
export function showTrace(mark: ">" | "<" | "*", text: string): void {
  console.error(formatTrace(mark, text));
}

/** Formats a count with its noun: `1 packet`, `2 packets`. */
export function plural(count: number, noun: string, nouns = `${noun}s`): string {
  return `${count} ${count === 1 ? noun : nouns}`;
}

/** Formats a part of the whole (0 to 1) for people: `66.7%`, `0.012%`; never rounds to 0% or 100%. */
export function formatPercent(part: number): string {
  const percent = 100 * (part || 0); // nothing of nothing is 0
  const round = (value: number) => Number(value < 1 ? value.toPrecision(2) : value.toFixed(1));
  const isAlmostAll = percent > 99.9;
  return `${isAlmostAll ? Number((100 - round(100 - percent)).toFixed(9)) : round(percent)}%`;
}

/** Settings of a {@linkcode LineWriter}. */
export interface LineWriterOptions {
  /** Called once when the reader has closed the stream. */
  onClosed?: () => void;
  /** Called with the reason at the first line that is lost, and again after lines were written. */
  onLost?: (reason: string) => void;
  /** Number of UTF-16 units that may wait; what comes beyond is lost. Default: 4 million. */
  maxWaiting?: number;
  /** Time for which lines are gathered before a write (ms). Default: 10. */
  delay?: number;
}

/**
 * Writes lines to a stream without ever blocking or failing: a stuck reader and a full disk cost
 * lines, not the service.
 */
export class LineWriter {
  readonly #stream: { write(octets: Uint8Array): Promise<number> };
  readonly #options: LineWriterOptions;
  #waiting = "";
  #writing: Promise<void> | undefined;
  #isLosing = false;
  #isClosed = false;

  /** Writes to a stream such as `Deno.stdout`. */
  constructor(
    stream: { write(octets: Uint8Array): Promise<number> },
    options: LineWriterOptions = {},
  ) {
    this.#stream = stream;
    this.#options = options;
  }

  /** Queues lines, each with its line end. */
  write(lines: string): void {
    if (this.#isClosed) return;
    const { maxWaiting = 4_000_000 } = this.#options;
    if (this.#waiting.length + lines.length > maxWaiting) this.#lose("its reader is too slow");
    else this.#waiting += lines;
    this.#writing ??= this.#flush().finally(() => this.#writing = undefined);
  }

  /** Resolves when all lines are written, or after `timeout` ms. */
  async end(timeout: number): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => timer = setTimeout(resolve, timeout));
    await Promise.race([this.#writing, late]);
    clearTimeout(timer);
  }

  async #flush(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, this.#options.delay ?? 10));
    while (this.#waiting !== "") {
      let octets = encoder.encode(this.#waiting);
      this.#waiting = "";
      try {
        while (octets.length > 0) octets = octets.subarray(await this.#stream.write(octets));
        this.#isLosing = false;
      } catch (error) {
        if (error instanceof Deno.errors.BrokenPipe) {
          this.#isClosed = true;
          this.#waiting = "";
          this.#options.onClosed?.();
        } else this.#lose(reasonOf(error));
      }
    }
  }

  #lose(reason: string): void {
    if (!this.#isLosing) this.#options.onLost?.(reason);
    this.#isLosing = true;
  }
}

// ---- The process ---------------------------------------------------------

/** Aborts at the first Ctrl-C (SIGINT) or SIGTERM; a second one ends the program at once. */
export function shutdownSignal(): AbortSignal {
  const stop = new AbortController();
  const listen = (signal: Deno.Signal, status: number) =>
    Deno.addSignalListener(signal, () => {
      if (stop.signal.aborted) Deno.exit(status);
      stop.abort(new Error(signal));
    });
  listen("SIGINT", 130);
  if (Deno.build.os !== "windows") listen("SIGTERM", 143);
  return stop.signal;
}

/**
 * Calls a function at each SIGQUIT (Ctrl-\).
 *
 * @returns A promise that rejects with what the function throws, and otherwise stays pending.
 */
export function onQuit(call: () => void): Promise<never> {
  return new Promise((_, reject) => {
    if (Deno.build.os === "windows") return;
    Deno.addSignalListener("SIGQUIT", () => {
      try {
        call();
      } catch (error) {
        reject(error);
      }
    });
  });
}

/**
 * Runs a program: checks the version of Deno, reads the command line, answers `--help` and
 * `--version`, calls `main`, and exits with the status that it returns. An error is one line on
 * standard error: status 2 for a {@linkcode UsageError}, the status of an {@linkcode ExitError},
 * `failureStatus` for other failures. Standard output closed by its reader is status 0 without a
 * line. A bug shows its stack.
 */
export async function run<const Table extends Options>(
  command: Command<Table>,
  main: (line: CommandLine<Table>) => Promise<number>,
): Promise<never> {
  const { name, failureStatus = 1 } = command;
  const fault = versionFault(Deno.version.deno);
  if (fault !== undefined) {
    console.error(`${name} ${fault}`);
    Deno.exit(1);
  }
  let status = failureStatus;
  try {
    status = await runCommand(command, Deno.args, main);
  } catch (error) {
    if (error instanceof Deno.errors.BrokenPipe) Deno.exit(0);
    const line = describeError(error);
    if (line === null) throw error;
    if (line !== "") console.error(`${name}: ${printable(line)}`);
    if (error instanceof UsageError) status = 2;
    if (error instanceof ExitError) status = error.status;
  }
  Deno.exit(status);
}

async function runCommand<Table extends Options>(
  command: Command<Table>,
  args: readonly string[],
  main: (line: CommandLine<Table>) => Promise<number>,
): Promise<number> {
  const normalized = normalizeArgs(args, { ...command.options, ...STANDARD });
  const asked = (name: string) => normalized.given.some((option) => option.name === name);
  if (asked("help")) print(formatHelp(command));
  else if (asked("version")) print(`${command.name} ${VERSION}\n`);
  else return await main(readCommandLine(command.options, normalized));
  return 0;
}

/** Returns what is wrong with a version of Deno, or undefined if the programs run on it. */
export function versionFault(version: string): string | undefined {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const [oldest, oldestMinor] = OLDEST_DENO;
  if (major > oldest || (major === oldest && minor >= oldestMinor)) return undefined;
  return `needs Deno ${oldest}.${oldestMinor} or later, this is ${version}: deno upgrade`;
}

/** Describes an error in one line. Returns null for a bug, which only its stack explains. */
export function describeError(error: unknown): string | null {
  if (error instanceof Deno.errors.NotCapable) return describePermission(error.message);
  if (error instanceof UsageError || error instanceof ExitError || error instanceof WireError) {
    return error.message;
  }
  if (!(error instanceof Error)) return null;
  return isSystemError(error) ? withoutErrno(error.message) : null;
}

/**
 * Returns why an operation failed, for the end of a message (`Cannot read "x": permission denied`):
 * the words of the system without number and path, or the message of the error.
 */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const [, words] = /^([^:()]+) \(os error \d+\)/.exec(error.message) ?? [];
  if (words === undefined) return describeError(error) ?? error.message;
  return words.replace(/^[A-Z](?=[a-z ])/, (letter) => letter.toLowerCase());
}

/** True if an error comes from the system or was made to be shown, rather than from a bug. */
function isSystemError(error: Error): boolean {
  return "code" in error || error.constructor === Error ||
    Object.values(Deno.errors).some((kind) => error instanceof kind);
}

function withoutErrno(message: string): string {
  return message.replace(/ \(os error \d+\)/g, "");
}

/** What each permission allows, for messages. */
const PERMITTED: Readonly<Record<string, string>> = {
  read: "read",
  write: "write",
  net: "use the network at",
  run: "run",
};

function describePermission(message: string): string {
  const [, kind, what = ""] = /Requires (\w+) access(?: to "(.*)")?/s.exec(message) ?? [];
  if (kind === undefined) return message;
  if (kind === "all") return `Deno was not allowed to use ${what}; add --allow-all`; // a device
  const verb = PERMITTED[kind] ?? `use ${kind}`;
  const [object, value] = what === "" ? ["", ""] : [` ${what}`, `=${what}`];
  return `Deno was not allowed to ${verb}${object}; add --allow-${kind}${value}`;
}
