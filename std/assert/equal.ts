/** Tells whether two values are equal through and through. */

/** Which pairs of objects are known, or so far taken, to be equal. */
type Pairs = Map<object, Set<object>>;

/** Classes whose text says all about an instance. */
const TOLD_BY_TEXT: readonly (new (...args: never[]) => object)[] = [RegExp, URL, URLSearchParams];

/**
 * Compares two values deeply: by their class and what they hold, not by who they are. NaN equals
 * itself, 0 equals -0, and a plain object one without a prototype.
 *
 * @example
 * ```ts ignore
 * import { equal } from "@std/assert";
 *
 * equal({ octets: new Uint8Array([1, 2]) }, { octets: new Uint8Array([1, 2]) }); // true
 * equal([0, 1], { 0: 0, 1: 1 }); // false
 * ```
 *
 * @throws {TypeError} If it meets a WeakMap or a WeakSet, into which nobody can look.
 */
export function equal(a: unknown, b: unknown): boolean {
  return compare(a, b, new Map());
}

function compare(a: unknown, b: unknown, pairs: Pairs): boolean {
  if (same(a, b)) return true;
  if (!isObject(a) || !isObject(b)) return false;
  if (a instanceof Date && b instanceof Date) return same(a.getTime(), b.getTime());
  if (prototypeOf(a) !== prototypeOf(b)) return false;
  if (isTypedArray(a) && isTypedArray(b)) return sameItems(a, b);
  if (a instanceof ArrayBuffer && b instanceof ArrayBuffer) {
    return sameItems(new Uint8Array(a), new Uint8Array(b));
  }
  if (a instanceof WeakMap || a instanceof WeakSet) {
    throw new TypeError(`Cannot look into a ${a.constructor.name}`);
  }
  if (a instanceof WeakRef && b instanceof WeakRef) return compare(a.deref(), b.deref(), pairs);
  // A pair met again, further down a cycle or elsewhere, is equal unless the rest says no.
  const partners = pairs.get(a) ?? new Set();
  if (partners.has(b)) return true;
  pairs.set(a, partners.add(b));
  const equals = sameContents(a, b, pairs);
  if (!equals) partners.delete(b);
  return equals;
}

function sameContents(a: object, b: object, pairs: Pairs): boolean {
  if (Object.keys(a).length !== Object.keys(b).length) return false;
  if (a instanceof Map && b instanceof Map) return sameEntries(a, b, pairs);
  if (a instanceof Set && b instanceof Set) return sameEntries(a, b, pairs);
  if (TOLD_BY_TEXT.some(({ prototype }) => prototypeOf(a) === prototype)) {
    return String(a) === String(b);
  }
  for (const key of keysOf(a).union(keysOf(b))) {
    if (key in a !== key in b) return false;
    if (!compare(Reflect.get(a, key), Reflect.get(b, key), pairs)) return false;
  }
  return true;
}

type Keyed = Map<unknown, unknown> | Set<unknown>;

/** Finds each entry of one in the other, whatever the order: by its key, or by trying all. */
function sameEntries(a: Keyed, b: Keyed, pairs: Pairs): boolean {
  const rest = new Map(b.entries());
  return a.size === b.size && a.entries().every(([key, value]) => {
    const candidates = isObject(key) ? [...rest.keys()] : rest.has(key) ? [key] : [];
    return candidates.some((other) =>
      compare(key, other, pairs) && compare(value, rest.get(other), pairs) && rest.delete(other)
    );
  });
}

/**
 * The keys that count: of plain objects and arrays the enumerable ones; of any other object all,
 * its class's too, since what it holds may only be seen through getters.
 */
function keysOf(object: object): Set<PropertyKey> {
  const prototype: unknown = prototypeOf(object);
  if (prototype === Object.prototype || prototype === Array.prototype) {
    return new Set(Reflect.ownKeys({ ...object }));
  }
  const keys = new Set<PropertyKey>();
  for (let at: unknown = object; isObject(at) && at !== Object.prototype;) {
    for (const key of Reflect.ownKeys(at)) keys.add(key);
    at = Object.getPrototypeOf(at);
  }
  return keys;
}

/** The prototype, but the usual one for an object that has none. */
function prototypeOf(object: object): unknown {
  return Object.getPrototypeOf(object) ?? Object.prototype;
}

function same(a: unknown, b: unknown): boolean {
  return a === b || Object.is(a, b);
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

type TypedArray = ArrayLike<number | bigint>;

function isTypedArray(value: object): value is TypedArray {
  return ArrayBuffer.isView(value) && !(value instanceof DataView);
}

function sameItems(a: TypedArray, b: TypedArray): boolean {
  if (a.length !== b.length) return false;
  for (let index = 0; index < a.length; index++) {
    if (!same(a[index], b[index])) return false;
  }
  return true;
}
