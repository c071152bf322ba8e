/**
 * What the tests of composed messages share: a table of messages that --dry-run prints, the rules
 * that hold for each of them, and a second reader, Python's email package.
 *
 * @module
 */
import { assert, assertEquals } from "jsr:@std/assert@^1.0.19";
import { toByteString } from "../protocol.ts";
import { octetsOf } from "./helpers.ts";
import { run } from "./smtp_helpers.ts";

/** A message, and what it has to be. */
export interface Case {
  rule: string;
  args?: string[];
  stdin?: string;
  /** Files to write first, one char an octet. */
  files?: Record<string, string>;
  /** Decoded fields that have to be there. */
  fields?: Record<string, string>;
  tree?: string;
  /** The text of the first part, its line ends LF. */
  text?: string;
  /** The octets of the last part. */
  last?: string;
  name?: string;
  /** What the message must hold, or must not, as it stands. */
  raw?: RegExp;
  not?: RegExp;
  eightBit?: boolean;
}

/** What Python's parser reads in a message: "content" is octets in base64. */
interface Parsed {
  fields: [name: string, value: string][];
  tree: string;
  parts: { type: string; name: string | null; id: string | null; content: string }[];
  defects: string[];
}

/** Reads messages from standard input, one a line in base64, and answers each with a line. */
const PARSER = `
import base64, email, email.header, email.policy, json, sys
def text(value): # Python's own address parser leaves blanks between encoded words
    return str(email.header.make_header(email.header.decode_header(value)))
def tree(part):
    if not part.is_multipart(): return part.get_content_type()
    return part.get_content_subtype() + "(" + ",".join(tree(p) for p in part.iter_parts()) + ")"
for line in sys.stdin:
    raw = base64.b64decode(line)
    m = email.message_from_bytes(raw, policy=email.policy.default)
    plain = email.message_from_bytes(raw, policy=email.policy.compat32)
    leaves = [p for p in m.walk() if not p.is_multipart()]
    print(json.dumps({
        "fields": [[k, text(str(v).replace("\\r\\n", ""))] for k, v in plain.items()],
        "tree": tree(m),
        "parts": [{"type": p.get_content_type(), "name": p.get_filename(), "id": p["Content-ID"],
                   "content": base64.b64encode(p.get_payload(decode=True)).decode()} for p in leaves],
        "defects": [str(d) for p in m.walk() for d in p.defects]
                 + [str(d) for k, v in m.items() for d in getattr(v, "defects", [])],
    }), flush=True)
`;

/** Starts the parser. It ends with its standard input, at the end of the test file. */
function startParser(): ((message: string) => Promise<Parsed>) | null {
  try {
    const child = new Deno.Command("python3", {
      args: ["-c", PARSER],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    addEventListener("unload", () => child.kill());
    const writer = child.stdin.getWriter();
    const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    return async (message) => {
      await writer.write(new TextEncoder().encode(`${octetsOf(message).toBase64()}\n`));
      while (!rest.includes("\n")) {
        const { value, done } = await reader.read();
        if (done) throw new Error("the parser ended");
        rest += value;
      }
      const [line = "", ...others] = rest.split("\n");
      rest = others.join("\n");
      return JSON.parse(line);
    };
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    console.log("skipped: no python3 to parse the messages (apt-get install python3)");
    return null;
  }
}

const parse = startParser();
await parse?.("a: b\r\n\r\n"); // from here on no test starts a resource of the parser

/** Writes files into a folder of their own and runs a command line that names them. */
export async function runWithFiles(
  args: string[],
  files: Record<string, string>,
  options: Parameters<typeof run>[1] = {},
): Promise<Awaited<ReturnType<typeof run>>> {
  const folder = await Deno.makeTempDir();
  try {
    for (const [name, content] of Object.entries(files)) {
      await Deno.writeFile(`${folder}/${name}`, octetsOf(content));
    }
    const here = args.map((arg) => Object.hasOwn(files, arg) ? `${folder}/${arg}` : arg);
    return await run(here, options);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Composes a message and returns its octets, one char each. */
export async function compose({ args = [], stdin, files = {} }: Case): Promise<string> {
  const line = ["--dry-run", "-f", "Ann <ann@example.org>", ...args];
  const { code, stderr, stdout } = await runWithFiles(line, files, { stdin });
  assertEquals(code, 0, stderr);
  return stdout;
}

/** Checks what holds for every message, whatever is in it. */
function checkRules(message: string, { eightBit = false }: Case): void {
  assert(message.endsWith("\r\n"), "ends in CRLF");
  assert(!/\r(?!\n)|(?<!\r)\n|\0/.test(message), "every CR and LF in a CRLF, no NUL");
  assert(eightBit || !/[\x80-\xff]/.test(message), "all 7-bit");
  const [header = "", body = ""] = message.split(/\r\n\r\n(.*)/s);
  for (const line of header.split("\r\n")) {
    const limit = /=\?utf-8\?/.test(line) ? 76 : line.startsWith("X-Long") ? 998 : 78;
    assert(line.length <= limit, line);
    assert(/\S/.test(line), "no line of blanks in the header");
  }
  for (const line of body.split("\r\n")) assert(line.length <= 78, line);
  const isCoded = /^Content-Transfer-Encoding: (?:quoted-printable|base64)\r?$/m.test(header);
  if (isCoded) { for (const line of body.split("\r\n")) assert(line.length <= 76, line); }
}

/** Checks what Python's parser reads in a message that this program composed. */
function checkParsed(found: Parsed, item: Case): void {
  const fields = Object.fromEntries(found.fields);
  if (!item.args?.includes("--eml")) {
    if (!item.eightBit) assertEquals(found.defects, []);
    assert(/^<[^@]+@[^@]+>$/.test(fields["Message-ID"] ?? ""));
    assert(/[+-]\d{4}$/.test(fields.Date ?? ""), fields.Date);
  }
  for (const [name, value] of Object.entries(item.fields ?? {})) assertEquals(fields[name], value);
  const content = found.parts.map(({ content }) => toByteString(Uint8Array.fromBase64(content)));
  if (item.tree) assertEquals(found.tree, item.tree);
  if (item.name) assertEquals(found.parts.at(-1)?.name, item.name);
  if (item.last !== undefined) {
    assert(content.at(-1) === item.last, "the last part arrived changed");
  }
  if (item.text !== undefined) {
    const octets = octetsOf(content[0] ?? "");
    const text = new TextDecoder().decode(octets).replaceAll("\r\n", "\n");
    assertEquals(item.text === "" ? text.trim() : text, item.text);
  }
}

/** Registers a test for each message. */
export function testMessages(cases: Case[]): void {
  for (const item of cases) {
    Deno.test(item.rule, async () => {
      const message = await compose(item);
      checkRules(message, item);
      if (item.raw) assert(item.raw.test(message), message.slice(0, 2000));
      if (item.not) assert(!item.not.test(message), message.slice(0, 2000));
      if (parse) checkParsed(await parse(message), item);
    });
  }
}
