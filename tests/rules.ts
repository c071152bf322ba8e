/**
 * Prints the rules of the RFCs that the tests state, sorted by document and section, each with the
 * program. The name of a test is the rule: `RFC 9112 §3.2: two Host fields get 400`. Then come the
 * rules that no test states, because the programs do not do what they are about.
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

/** Section, program, and the thing that the program does not do, with the reason. */
type Gap = readonly [section: string, program: string, reason: string];

/** What the RFCs say about things that the programs do not do. */
export const NOT_TESTED: readonly Gap[] = [
  ["RFC 862", "udp_ping_server", "echo over TCP: the server has UDP sockets only"],
  ["RFC 2681 §2.7.2", "udp_pinger", "time stamps of the wire: Deno has only those of the program"],
  ["RFC 3207 §4.1", "smtp_client", "TLS as an SMTP server"],
  ["RFC 3207 §4.1", "smtp_client", "a client certificate: logins have a password or a token"],
  ["RFC 3461 §4.2", "smtp_client", "ORCPT: it is never sent"],
  ["RFC 3461 §4.3", "smtp_client", "RET: it is never sent"],
  ["RFC 3461 §4.4", "smtp_client", "ENVID: it is never sent"],
  ["RFC 4737 §4.2", "udp_pinger", "extent, offset and gaps of reordering: the replies are counted"],
  ["RFC 4954 §4", "smtp_client", "a SASL security layer: TLS protects the session"],
  ["RFC 4954 §4", "smtp_client", 'an empty initial response "=": no mechanism here has one'],
  ["RFC 4954 §5", "smtp_client", "AUTH= of MAIL: it is for relays"],
  ["RFC 5321 §3.3", "smtp_client", "source routes: they are never sent"],
  ["RFC 5321 §3.5", "smtp_client", "VRFY and EXPN: they are never sent"],
  ["RFC 5321 §3.6", "smtp_client", "relays and gateways: the client submits mail"],
  ["RFC 5321 §4.1.1.5", "smtp_client", "RSET: a session has one transaction"],
  ["RFC 5321 §4.4", "smtp_client", "trace fields: servers add them"],
  ["RFC 5321 §4.5.3.1", "smtp_client", "limits of sizes: they bind servers; longer paths are sent"],
  ["RFC 5321 §4.5.4", "smtp_client", "a queue and its retries: the exit status tells the caller"],
  ["RFC 5321 §4.5.5", "smtp_client", "the null reverse-path: -f is an address"],
  ["RFC 5321 §5", "smtp_client", "MX look-up: mail goes to the submission server that is named"],
  ["RFC 5321 §6", "smtp_client", "delivery, loops and reports: duties of servers"],
  ["RFC 5322 §3.6", "smtp_client", "counts of fields of an --eml message: it is sent as it is"],
  ["RFC 5322 §3.6.6", "smtp_client", "Resent fields that are missing: -H adds what the user says"],
  ["RFC 5322 §3.6.7", "smtp_client", "trace fields: servers add them"],
  ["RFC 9110 §4.3.3", "http_client", "reuse of a connection for other origins: one request each"],
  ["RFC 9110 §7.6", "http_server", "forwarding (Connection, Max-Forwards, Via): not a proxy"],
  ["RFC 9110 §7.6", "http_client", "forwarding (Connection, Max-Forwards, Via): not a proxy"],
  ["RFC 9110 §7.7", "http_client", "transformations: only a proxy may make them"],
  ["RFC 9110 §7.8", "http_client", "Upgrade: it is never sent; 101 is refused"],
  ["RFC 9110 §8.5", "http_server", "Content-Language: files do not tell their language"],
  ["RFC 9110 §8.7", "http_server", "Content-Location: a file has one name"],
  ["RFC 9110 §9.3.3", "http_server", "POST, PUT, PATCH and DELETE: they get 405"],
  ["RFC 9110 §9.3.6", "http_server", "tunnels: CONNECT gets 405"],
  ["RFC 9110 §9.3.6", "http_client", "CONNECT by -X: sent as the user says; -x makes tunnels"],
  ["RFC 9110 §9.3.7", "http_client", "OPTIONS *: a URL has no such target"],
  ["RFC 9110 §9.3.8", "http_server", "TRACE: it gets 405"],
  ["RFC 9110 §9.3.8", "http_client", "TRACE: -X sends what the user says"],
  ["RFC 9110 §10.1.1", "http_client", "Expect without content: only by -H, as the user says"],
  ["RFC 9110 §10.1.2", "http_client", "From: only by -H, as the user says"],
  ["RFC 9110 §10.1.3", "http_client", "Referer: only by -H, as the user says"],
  ["RFC 9110 §10.2.2", "http_client", "the fragment of a redirection: nothing is scrolled to"],
  [
    "RFC 9110 §11.6.1",
    "http_client",
    "an answer to a challenge: Basic is sent at once or not at all",
  ],
  ["RFC 9110 §12.5.2", "http_server", "Accept-Charset: it is deprecated"],
  ["RFC 9110 §12.5.4", "http_server", "Accept-Language: a file has one language"],
  ["RFC 9110 §14.5", "http_server", "a partial PUT: PUT gets 405"],
  ["RFC 9110 §14.6", "http_client", "parts of multipart/byteranges: they are printed as they come"],
  ["RFC 9110 §15.5.7", "http_server", "406: a file is sent even if Accept does not name its type"],
  ["RFC 9110 §15.5.22", "http_server", "426: no other protocol is required"],
  ["RFC 9112 §3.2.4", "http_client", "asterisk-form: a URL has no such target"],
  ["RFC 9112 §6.1", "http_client", "chunks to an unknown version: -T - has no length to send"],
  ["RFC 9112 §7.1.2", "http_server", "trailer sections of a response: none are sent"],
  ["RFC 9112 §7.2", "http_server", "codings other than chunked: they get 501"],
  ["RFC 9112 §7.4", "http_server", "TE: no transfer coding is offered"],
  ["RFC 9112 §9.3", "http_client", "persistence: each request has its own connection"],
  ["RFC 9112 §9.3.2", "http_client", "pipelining: each request has its own connection"],
  ["RFC 9112 §10", "http_server", "message/http and application/http: they are for TRACE"],
];

if (import.meta.main) {
  let last = "";
  for (const { section, text, program } of await allRules()) {
    if (section !== last) console.log(`\n${section}`);
    last = section;
    console.log(`  ${program.padEnd(15)} ${text}`);
  }
  console.log("\nNot tested, because the programs do not do it:");
  for (const [section, program, reason] of NOT_TESTED) {
    console.log(`  ${program.padEnd(15)} ${section}: ${reason}`);
  }
  Deno.exit(0);
}
