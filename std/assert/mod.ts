/**
 * Claims for tests: each returns if it holds and throws an {@linkcode AssertionError} if not.
 *
 * @module
 */
import { equal } from "./equal.ts";
import { difference, show } from "./show.ts";

export { equal };

/** A claim that does not hold. */
export class AssertionError extends Error {
  /** The name of the class. */
  override name = "AssertionError";
}

/** The values that count as `false`. */
export type Falsy = false | 0 | 0n | "" | null | undefined;

/** An array, a typed array or the like, but no string. */
export type ArrayLikeArg<T> = ArrayLike<T> & object;

/** A class whose instances are of type T, whatever its constructor takes. */
export type ClassOf<T> = abstract new (...args: never[]) => T;

/** Fails with a reason, the caller's message behind it, and what there is to see below. */
function refuse(reason: string, msg?: string, details = ""): never {
  throw new AssertionError((msg ? `${reason}: ${msg}` : reason) + details);
}

// ---- One value ---------------------------------------------------------

/** Claims that a value counts as true. */
export function assert(expr: unknown, msg = ""): asserts expr {
  if (!expr) throw new AssertionError(msg);
}

/** Claims that a value counts as false. */
export function assertFalse(expr: unknown, msg = ""): asserts expr is Falsy {
  if (expr) throw new AssertionError(msg);
}

/** Claims that a value is neither `null` nor `undefined`. */
export function assertExists<T>(actual: T, msg?: string): asserts actual is NonNullable<T> {
  if (actual === null || actual === undefined) refuse(`Got ${actual}, expected a value`, msg);
}

/** Claims that a value is an instance of a class or of one that extends it. */
export function assertInstanceOf<T extends ClassOf<unknown>>(
  actual: unknown,
  expectedType: T,
  msg?: string,
): asserts actual is InstanceType<T> {
  if (actual instanceof expectedType) return;
  refuse(`Got ${kindOf(actual)}, expected an instance of ${expectedType.name}`, msg);
}

function kindOf(value: unknown): string {
  if (typeof value !== "object" || value === null) return show(value);
  return `an instance of ${value.constructor?.name ?? "no class"}`;
}

/** Fails in any case. */
export function fail(msg?: string): never {
  refuse("Made to fail", msg);
}

/** Fails if it is ever reached. */
export function unreachable(msg?: string): never {
  refuse("Came to a place that should not be reachable", msg);
}

// ---- Two values --------------------------------------------------------

/** Claims that two values are equal through and through, by {@linkcode equal}. */
export function assertEquals<T>(actual: T, expected: T, msg?: string): void {
  if (equal(actual, expected)) return;
  refuse("Values differ", msg, difference(actual, expected));
}

/** Claims that two values are not equal, by {@linkcode equal}. */
export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void {
  if (equal(actual, expected)) refuse(`Got ${show(actual)}, expected anything else`, msg);
}

/** Claims that two values are the same, by `Object.is`. */
export function assertStrictEquals<T>(
  actual: unknown,
  expected: T,
  msg?: string,
): asserts actual is T {
  if (Object.is(actual, expected)) return;
  refuse("Values are not the same", msg, difference(actual, expected));
}

/** Claims that two numbers are no further apart than `tolerance` (default: a ten millionth). */
export function assertAlmostEquals(
  actual: number,
  expected: number,
  tolerance = Number.isFinite(expected) ? Math.abs(expected) * 1e-7 : 1e-7,
  msg?: string,
): void {
  if (Object.is(actual, expected) || Math.abs(expected - actual) <= tolerance) return;
  refuse(`Got ${actual}, expected ${expected}, give or take ${tolerance}`, msg);
}

/** Claims that a value is greater than another. */
export function assertGreater<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual > expected)) refuse(`Got ${show(actual)}, expected > ${show(expected)}`, msg);
}

/** Claims that a value is greater than another or as great. */
export function assertGreaterOrEqual<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual >= expected)) refuse(`Got ${show(actual)}, expected >= ${show(expected)}`, msg);
}

/** Claims that a value is less than another. */
export function assertLess<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual < expected)) refuse(`Got ${show(actual)}, expected < ${show(expected)}`, msg);
}

/** Claims that a value is less than another or as great. */
export function assertLessOrEqual<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual <= expected)) refuse(`Got ${show(actual)}, expected <= ${show(expected)}`, msg);
}

// ---- A part of a value -------------------------------------------------

/** Claims that a text matches a pattern. */
export function assertMatch(actual: string, expected: RegExp, msg?: string): void {
  if (!expected.test(actual)) refuse(`Got ${show(actual)}, expected a match of ${expected}`, msg);
}

/** Claims that a text does not match a pattern. */
export function assertNotMatch(actual: string, expected: RegExp, msg?: string): void {
  if (expected.test(actual)) refuse(`Got ${show(actual)}, expected no match of ${expected}`, msg);
}

/** Claims that a text contains another. */
export function assertStringIncludes(actual: string, expected: string, msg?: string): void {
  if (actual.includes(expected)) return;
  refuse(`Got ${show(actual)}, expected ${show(expected)} in it`, msg);
}

/** Claims that an array holds each of some values, in any order, by {@linkcode equal}. */
export function assertArrayIncludes<T>(
  actual: ArrayLikeArg<T>,
  expected: ArrayLikeArg<T>,
  msg?: string,
): void {
  const there = Array.from(actual);
  const missing = Array.from(expected).filter((value) => !there.some((one) => equal(one, value)));
  if (missing.length === 0) return;
  refuse(`Got ${show(actual)}, expected ${show(missing)} in it`, msg);
}

/**
 * Claims that an object has all that another has, deeply, whatever else there is in it; an array
 * may go on, and a class does not matter.
 */
export function assertObjectMatch(
  actual: object, // the original says Record<PropertyKey, any>, which takes the same
  expected: Record<PropertyKey, unknown>,
  msg?: string,
): void {
  assertEquals(part(actual, expected), part(expected, expected), msg);
}

/** As much of a value as a pattern has places for, in plain objects. */
function part(value: unknown, pattern: unknown): unknown {
  if (!isTree(value) || !isTree(pattern)) return value;
  if (Array.isArray(value) && Array.isArray(pattern)) {
    return value.slice(0, pattern.length).map((item, index) => part(item, pattern[index]));
  }
  if (value instanceof Set && pattern instanceof Set) return value.intersection(pattern);
  if (value instanceof Map && pattern instanceof Map) {
    const keys = [...pattern.keys()].filter((key) => value.has(key));
    return new Map(keys.map((key) => [key, part(value.get(key), pattern.get(key))]));
  }
  const keys = Reflect.ownKeys(pattern).filter((key) => Object.hasOwn(value, key));
  return Object.fromEntries(
    keys.map((key) => [key, part(Reflect.get(value, key), Reflect.get(pattern, key))]),
  );
}

/** Whether a value is made of others, each of which may have a pattern of its own. */
function isTree(value: unknown): value is object {
  return typeof value === "object" && value !== null && !ArrayBuffer.isView(value) &&
    ![Date, RegExp, URL].some((leaf) => value instanceof leaf);
}

// ---- What is thrown ----------------------------------------------------

/** Claims that a function throws something, and returns it. */
export function assertThrows(fn: () => unknown, msg?: string): unknown;
/** Claims that a function throws an error of a class, with a text in its message. */
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  ErrorClass: ClassOf<E>,
  msgIncludes?: string,
  msg?: string,
): E;
export function assertThrows(
  fn: () => unknown,
  second?: ClassOf<Error> | string,
  msgIncludes?: string,
  msg?: string,
): unknown {
  const wanted = expectation(second, msgIncludes, msg);
  let returned: unknown;
  try {
    returned = fn();
  } catch (error) {
    check(error, wanted);
    return error;
  }
  refuse(`Function returned ${show(returned)}, expected it to throw`, wanted.msg);
}

/** Claims that a promise is rejected with something, and resolves to it. */
export function assertRejects(fn: () => PromiseLike<unknown>, msg?: string): Promise<unknown>;
/** Claims that a promise is rejected with an error of a class, with a text in its message. */
export function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  ErrorClass: ClassOf<E>,
  msgIncludes?: string,
  msg?: string,
): Promise<E>;
export async function assertRejects(
  fn: () => PromiseLike<unknown>,
  second?: ClassOf<Error> | string,
  msgIncludes?: string,
  msg?: string,
): Promise<unknown> {
  const wanted = expectation(second, msgIncludes, msg);
  let promise: unknown;
  try {
    promise = fn();
  } catch (error) {
    refuse(`Function threw ${show(error)}, expected a promise that is rejected`, wanted.msg);
  }
  if (!isPromise(promise)) {
    refuse(`Function returned ${show(promise)}, expected a promise`, wanted.msg);
  }
  let fulfilled: unknown;
  try {
    fulfilled = await promise;
  } catch (error) {
    check(error, wanted);
    return error;
  }
  refuse(`Promise was fulfilled with ${show(fulfilled)}, expected it to be rejected`, wanted.msg);
}

/** What should be thrown. */
interface Expectation {
  ErrorClass?: ClassOf<Error>;
  includes?: string;
  msg?: string;
}

/** Sorts out the two call forms. */
function expectation(
  second?: ClassOf<Error> | string,
  includes?: string,
  msg?: string,
): Expectation {
  return typeof second === "string" ? { msg: second } : { ErrorClass: second, includes, msg };
}

function check(error: unknown, { ErrorClass, includes = "", msg }: Expectation): void {
  if (ErrorClass === undefined) return;
  if (!(error instanceof ErrorClass)) {
    const found = error instanceof Error ? `${error.name}: ${error.message}` : show(error);
    refuse(`Got ${found}, expected an error of class ${ErrorClass.name}`, msg);
  }
  if (plain(error.message).includes(plain(includes))) return;
  refuse(`Got the message ${show(error.message)}, expected ${show(includes)} in it`, msg);
}

/** A message without the colours. */
function plain(text: string): string {
  return text.replaceAll(/\p{Cc}\[[\d;]*m/gu, "");
}

function isPromise(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && "then" in value &&
    typeof value.then === "function";
}
