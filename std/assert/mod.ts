/**
 * Assertions for tests: each returns if it holds and throws an {@linkcode AssertionError} otherwise.
 *
 * @module
 */
import { isDeepStrictEqual } from "node:util";
import { difference, show } from "./show.ts";

/** An assertion that does not hold. */
export class AssertionError extends Error {
  /** The name of the class. */
  override name = "AssertionError";
}

/** A class whose instances are of type T, whatever its constructor takes. */
export type ClassOf<T> = abstract new (...args: never[]) => T;

/** Throws with a reason, the caller's message, and details below. */
function refuse(reason: string, msg?: string, details = ""): never {
  throw new AssertionError((msg ? `${reason}: ${msg}` : reason) + details);
}

/** Asserts that a value is truthy. */
export function assert(expr: unknown, msg = ""): asserts expr {
  if (!expr) throw new AssertionError(msg);
}

/** Asserts that two values are deeply equal. */
export function assertEquals<T>(actual: T, expected: T, msg?: string): void {
  if (isDeepStrictEqual(actual, expected)) return;
  refuse("Values differ", msg, difference(actual, expected));
}

/** Asserts that two values are not deeply equal. */
export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void {
  if (isDeepStrictEqual(actual, expected)) refuse(`Got ${show(actual)}, expected another`, msg);
}

/** Asserts that a value is less than another. */
export function assertLess<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual < expected)) refuse(`Got ${show(actual)}, expected < ${show(expected)}`, msg);
}

/** Asserts that a text matches a pattern. */
export function assertMatch(actual: string, expected: RegExp, msg?: string): void {
  if (!expected.test(actual)) refuse(`Got ${show(actual)}, expected a match of ${expected}`, msg);
}

/** Asserts that a text does not match a pattern. */
export function assertNotMatch(actual: string, expected: RegExp, msg?: string): void {
  if (expected.test(actual)) refuse(`Got ${show(actual)}, expected no match of ${expected}`, msg);
}

/** Asserts that a text contains another. */
export function assertStringIncludes(actual: string, expected: string, msg?: string): void {
  if (actual.includes(expected)) return;
  refuse(`Got ${show(actual)}, expected ${show(expected)} in it`, msg);
}

/** Asserts that a function throws an error of a class, with a text in its message. */
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  ErrorClass: ClassOf<E> = Error as unknown as ClassOf<E>,
  msgIncludes = "",
  msg?: string,
): E {
  let returned: unknown;
  try {
    returned = fn();
  } catch (error) {
    return expectError(error, ErrorClass, msgIncludes, msg);
  }
  refuse(`Function returned ${show(returned)}, expected it to throw`, msg);
}

/** Asserts that a promise rejects with an error of a class, with a text in its message. */
export async function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  ErrorClass: ClassOf<E> = Error as unknown as ClassOf<E>,
  msgIncludes = "",
  msg?: string,
): Promise<E> {
  const promise = fn();
  let fulfilled: unknown;
  try {
    fulfilled = await promise;
  } catch (error) {
    return expectError(error, ErrorClass, msgIncludes, msg);
  }
  refuse(`Promise was fulfilled with ${show(fulfilled)}, expected it to reject`, msg);
}

function expectError<E extends Error>(
  error: unknown,
  ErrorClass: ClassOf<E>,
  includes: string,
  msg?: string,
): E {
  if (!(error instanceof ErrorClass)) {
    const found = error instanceof Error ? `${error.name}: ${error.message}` : show(error);
    refuse(`Got ${found}, expected an error of class ${ErrorClass.name}`, msg);
  }
  if (error.message.includes(includes)) return error;
  refuse(`Got the message ${show(error.message)}, expected ${show(includes)} in it`, msg);
}
