/**
 * Prints the rules of the RFCs that the tests state, sorted by document and section, each with the
 * program. The name of a test is the rule: `RFC 9112 §3.2: two Host fields get 400`.
 *
 * ```sh
 * deno task rules
 * ```
 *
 * @module
 */

/** A test whose name begins with a section. */
interface Rule {
  /** Document and section, as numbers to sort by. */
  order: number[];
  /** `RFC 9112 §3.2`, or `RFC 862`. */
  section: string;
  /** What must be so. */
  text: string;
  /** The program whose test it is. */
  program: string;
}

/** Collects the names of the tests of a file without running them. */
async function testNames(url: URL): Promise<string[]> {
  const names: string[] = [];
  const collect = (test: string | { name: string }) =>
    void names.push(typeof test === "string" ? test : test.name);
  Object.defineProperty(Deno, "test", {
    value: Object.assign(collect, {
      ...{ only: collect, ignore: collect },
      ...{ beforeAll() {}, afterAll() {}, beforeEach() {}, afterEach() {} },
    }),
    configurable: true,
  });
  await import(url.href);
  return names;
}

/** Reads `RFC 9112 §3.2: text`, or `RFC 862: text` for a document without numbered sections. */
function parseRule(name: string, program: string): Rule[] {
  const [found = "", document = "", section] = /\bRFC (\d+)(?: §([\d.]+))?/.exec(name) ?? [];
  if (section === undefined && !/^RFC \d+: /.test(name)) return [];
  const order = [document, ...(section?.split(".") ?? [])].map(Number);
  const text = name.slice(name.indexOf(found) + found.length).replace(/^:? */, "");
  return [{ order, section: found, text, program }];
}

function compare(a: Rule, b: Rule): number {
  const length = Math.max(a.order.length, b.order.length);
  for (let at = 0; at < length; at++) {
    const difference = (a.order[at] ?? 0) - (b.order[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return a.program < b.program ? -1 : a.program > b.program ? 1 : 0;
}

const PROGRAMS = ["http_server", "http_client", "udp_ping_server", "udp_pinger", "smtp_client"];

/** All rules that the tests state, sorted. */
export async function allRules(): Promise<Rule[]> {
  const rules: Rule[] = [];
  for await (const { name } of Deno.readDir(new URL(".", import.meta.url))) {
    if (!name.endsWith("_test.ts")) continue;
    const program = PROGRAMS.find((program) => name.startsWith(program)) ?? "shared";
    const names = await testNames(new URL(name, import.meta.url));
    rules.push(...names.flatMap((name) => parseRule(name, program)));
  }
  return rules.sort(compare);
}

if (import.meta.main) {
  let last = "";
  for (const { section, text, program } of await allRules()) {
    if (section !== last) console.log(`\n${section}`);
    last = section;
    console.log(`  ${program.padEnd(15)} ${text}`);
  }
  Deno.exit(0);
}
