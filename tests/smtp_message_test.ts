/**
 * The mail client's messages: each is printed by --dry-run, checked octet for octet against the
 * rules that hold for all, and read back by a real parser, Python's email package.
 *
 * @module
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { toByteString, UsageError } from "../protocol.ts";
import { mail } from "../smtp_client.ts";
import { octetsOf } from "./helpers.ts";

/** What the parser makes of a message: "content" is octets in base64. */
interface Parsed {
  fields: [name: string, value: string][];
  tree: string;
  parts: { type: string; name: string | null; id: string | null; content: string }[];
  defects: string[];
}

const PARSER = `
import base64, email, email.header, email.policy, json, sys
def text(value): # Python's own address parser leaves blanks between encoded words
    return str(email.header.make_header(email.header.decode_header(value)))
def tree(part):
    if not part.is_multipart(): return part.get_content_type()
    return part.get_content_subtype() + "(" + ",".join(tree(p) for p in part.iter_parts()) + ")"
found = []
for raw in json.load(sys.stdin):
    m = email.message_from_bytes(base64.b64decode(raw), policy=email.policy.default)
    plain = email.message_from_bytes(base64.b64decode(raw), policy=email.policy.compat32)
    leaves = [p for p in m.walk() if not p.is_multipart()]
    found.append({
        "fields": [[k, text(str(v).replace("\\r\\n", ""))] for k, v in plain.items()],
        "tree": tree(m),
        "parts": [{"type": p.get_content_type(), "name": p.get_filename(), "id": p["Content-ID"],
                   "content": base64.b64encode(p.get_payload(decode=True)).decode()} for p in leaves],
        "defects": [str(d) for p in m.walk() for d in p.defects]
                 + [str(d) for k, v in m.items() for d in getattr(v, "defects", [])],
    })
json.dump(found, sys.stdout)
`;

interface Case {
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

const TO = ["-t", "bob@example.org"];
const ALL = Array.from({ length: 256 }, (_, octet) => String.fromCharCode(octet)).join("");
const long = (text: string, count: number) => text.repeat(count);

const SUBJECTS = [
  "\u3000set in by a wide blank\u3000",
  "Hello",
  "",
  "two  blanks   here",
  "Grüße",
  "=?utf-8?q?this?= is no code",
  "a = b ? c : d _ e",
  "日本語の件名がとても長くて一行には収まらないのでどこかで折り返す必要があります",
  long("👩‍👩‍👧‍👦", 12),
  `e${long("\u0301", 120)}`,
  long("word ", 60).trim(),
  long("x", 70),
  long("x", 200),
  long("ü", 300),
  "trailing tab\tinside",
  "Привет, как дела? ".repeat(8).trim(),
  "🇩🇪🇫🇷🇮🇹".repeat(10),
  '"quoted", (comment) <angle>; colon: @',
];

const TEXTS = [
  "hi\n",
  "",
  "no end of line",
  "one\r\ntwo\rthree\nfour\n",
  ".\n..\n.dot\n",
  "From me to you\n>From\n From\n",
  "trailing blank \nand tab\t\n",
  `${long("x", 78)}\n${long("y", 79)}\n`,
  `${long("z", 5000)}\n`,
  `${long("= ", 200)}\n`,
  "Grüße aus Köln, mit ein bisschen Text dabei, damit es sich lohnt\n",
  "Съешь же ещё этих мягких французских булок, да выпей чаю\n".repeat(5),
  `${long("é .From ", 100)}\n`,
  "control \x00 \x07 \x1b[31m \x7f\n",
  `${long(`${long("a", 72)}.`, 6)}\n`,
  `${long(`ü${long("a", 66)}From `, 6)}\n`,
  "\n\n\nempty lines\n\n\n",
  "tab\tinside\n",
  "emoji 👩‍👩‍👧 at the end of a rather long line that has to be folded somewhere 👩‍👩‍👧\n",
  "--\nsignature\n--=_x--\n",
];

const NAMES = [
  "plain.txt",
  "with blank.pdf",
  'quote" and \\ backslash.png',
  "Übergröße.jpg",
  "日本語のとても長いファイル名でひとつの行には収まらないもの.png",
  "semi;colon=equals'quote.zip",
  `${long("long", 40)}.bin`,
  "=?utf-8?q?trick?=.gif",
  "percent%20.csv",
  "👩‍👩‍👧.webp",
  "no-extension",
  "message.eml",
];

const CASES: Case[] = [
  ...SUBJECTS.map((subject) => ({
    rule: `subject ${JSON.stringify(subject.slice(0, 30))}`,
    args: [...TO, "-m", "x", "-s", subject],
    fields: { Subject: subject.replace("\t", " ") },
  })),
  ...TEXTS.map((text) => ({
    rule: `text ${JSON.stringify(text.slice(0, 30))}`,
    args: TO,
    stdin: toByteString(new TextEncoder().encode(text)),
    text: text.replace(/\r\n?/g, "\n").replace(/(?<!\n)$/, "\n"),
    tree: "text/plain",
  })),
  ...NAMES.map((name) => ({
    rule: `file name ${JSON.stringify(name.slice(0, 30))}`,
    files: { [name]: ALL },
    args: [...TO, "-m", "x", "-a", name],
    name,
    last: ALL,
    not: /message\/rfc822/,
  })),
  ...[0, 1, 2, 3, 56, 57, 58, 114, 57 * 4096 - 1, 57 * 4096, 57 * 4096 + 1, 700_000].map((
    size,
  ) => ({
    rule: `an attachment of ${size} octets`,
    files: { "a.bin": long(ALL, 1 + size / 256).slice(0, size) },
    args: [...TO, "-m", "x", "-a", "a.bin"],
    last: long(ALL, 1 + size / 256).slice(0, size),
    tree: "mixed(text/plain,application/octet-stream)",
  })),
  {
    rule: "HTML alone",
    files: { "a.html": "<p>h\xc3\xa9\n" },
    args: [...TO, "--html-file", "a.html"],
    tree: "text/html",
    text: "<p>hé\n",
  },
  {
    rule: "text and HTML",
    files: { "a.html": "<p>" },
    args: [...TO, "-m", "x", "--html-file", "a.html"],
    tree: "alternative(text/plain,text/html)",
  },
  {
    rule: "HTML with a picture",
    files: { "a.html": '<img src="cid:p.png">', "p.png": ALL },
    args: [...TO, "--html-file", "a.html", "--inline", "p.png"],
    tree: "related(text/html,image/png)",
    raw: /Content-ID: <p\.png>\r\n/,
    last: ALL,
  },
  {
    rule: "RFC 2387 §3.1: related has a type",
    files: { "a.html": '<img src="cid:p.png">', "p.png": ALL },
    args: [...TO, "--html-file", "a.html", "--inline", "p.png"],
    raw: /multipart\/related; type="text\/html"/,
  },
  {
    rule: "text, HTML and a picture",
    files: { "a.html": '<img src="cid:p.png">', "p.png": ALL },
    args: [...TO, "-m", "x", "--html-file", "a.html", "--inline", "p.png"],
    tree: "alternative(text/plain,related(text/html,image/png))",
  },
  {
    rule: "all there is",
    files: { "a.html": '<img src="cid:p.png">', "p.png": ALL, "b.pdf": "%PDF" },
    args: [
      ...TO,
      "-m",
      "x",
      "--html-file",
      "a.html",
      "--inline",
      "p.png",
      "-a",
      "b.pdf",
      "-a",
      "p.png",
    ],
    tree: "mixed(alternative(text/plain,related(text/html,image/png)),application/pdf,image/png)",
    last: ALL,
  },
  {
    rule: "a picture, as the assignment wants",
    files: { "p.jpg": ALL },
    args: [...TO, "-m", "see", "-a", "p.jpg"],
    tree: "mixed(text/plain,image/jpeg)",
    last: ALL,
    name: "p.jpg",
  },
  {
    rule: "text as an attachment arrives as it left",
    files: { "a.txt": "a\nb\r\nc\rcaf\xe9" },
    args: [...TO, "-m", "x", "-a", "a.txt"],
    last: "a\nb\r\nc\rcaf\xe9",
  },
  {
    rule: "an inline name that is not ASCII",
    files: { "a.html": '<img src="cid:b%20%C3%BC.png">', "b ü.png": "x" },
    args: [...TO, "--html-file", "a.html", "--inline", "b ü.png"],
    raw: /Content-ID: <b%20%C3%BC\.png>/,
    name: "b ü.png",
  },
  {
    rule: "a name with a comma",
    args: ["-t", '"Doe, John" <john@example.org>', "-m", "x"],
    fields: { To: '"Doe, John" <john@example.org>' },
  },
  {
    rule: "a name with quotes",
    args: ["-t", '"John \\"Jo\\" Doe" <john@example.org>', "-m", "x"],
    raw: /To: "John \\"Jo\\" Doe" <john@example\.org>\r\n/,
  },
  {
    rule: "a name that is not ASCII",
    args: ["-t", "Jörg Müller <j@example.org>", "-m", "x"],
    fields: { To: "Jörg Müller <j@example.org>" },
  },
  {
    rule: "a name with a dot",
    args: ["-t", "J. R. Doe <j@example.org>", "-m", "x"],
    raw: /To: "J\. R\. Doe" <j@/,
  },
  {
    rule: "a name that looks like a code",
    args: ["-t", "=?utf-8?q?Eve?= <e@example.org>", "-m", "x"],
    raw: /To: =\?utf-8\?.\?.*\?= <e@/,
    not: /\?q\?Eve/,
  },
  {
    rule: "a very long name",
    args: ["-t", `${long("Änne ", 40)}<a@example.org>`, "-m", "x"],
    fields: { To: `${long("Änne ", 40)}<a@example.org>` },
  },
  {
    rule: "a long ASCII name",
    args: ["-t", `${long("Anne B, ", 20).replaceAll(",", "")}<a@example.org>`, "-m", "x"],
  },
  {
    rule: "a hundred recipients, one a line",
    args: [
      "-t",
      Array.from({ length: 100 }, (_, at) => `Nr. ${at} <r${at}@example.org>`).join(","),
      "-m",
      "x",
    ],
    raw: /To: "Nr\. 0" <r0@example\.org>,\r\n "Nr\. 1" <r1/,
  },
  {
    rule: "Cc and Reply-To",
    args: [...TO, "--cc", "c@example.org", "--reply-to", "Ann <r@example.org>", "-m", "x"],
    fields: { Cc: "c@example.org", "Reply-To": "Ann <r@example.org>" },
  },
  {
    rule: "Bcc alone: nobody is named",
    args: ["--bcc", "eve@example.org", "-m", "x"],
    fields: { To: "undisclosed-recipients:;" },
    not: /eve/,
  },
  { rule: "Bcc beside To", args: [...TO, "--bcc", "eve@example.org", "-m", "x"], not: /eve|Bcc/i },
  {
    rule: "an IDN",
    args: ["-t", "Bob <bob@bücher.example>", "-m", "x"],
    fields: { To: "Bob <bob@xn--bcher-kva.example>" },
  },
  {
    rule: "a quoted local part",
    args: ["-t", '"a b"@example.org', "-m", "x"],
    raw: /To: "a b"@example\.org\r\n/,
  },
  {
    rule: "an address literal",
    args: ["-t", "bob@[192.0.2.1]", "-m", "x"],
    raw: /To: bob@\[192\.0\.2\.1\]\r\n/,
  },
  {
    rule: "RFC 6532: a local part that is not ASCII",
    args: ["-t", "böb@example.org", "-m", "x"],
    eightBit: true,
    raw: /To: b\xc3\xb6b@example\.org\r\n/,
  },
  {
    rule: "an extra field",
    args: [...TO, "-m", "x", "-H", "X-Any: thing", "-H", "In-Reply-To: <a@b>"],
    fields: { "X-Any": "thing", "In-Reply-To": "<a@b>" },
  },
  {
    rule: "an extra field that is not ASCII",
    args: [...TO, "-m", "x", "-H", "X-Any: Ding fürs Haus"],
    fields: { "X-Any": "Ding fürs Haus" },
  },
  {
    rule: "References, folded",
    args: [...TO, "-m", "x", "-H", `References: ${long("<0123456789@example.org> ", 40)}`],
    raw: /\r\n <0123456789@example\.org>/,
  },
  {
    rule: "a long field that cannot be folded",
    args: [...TO, "-m", "x", "-H", `X-Long: ${long("x", 900)}`],
    fields: { "X-Long": long("x", 900) },
  },
  {
    rule: "a field that is longer than a line may be",
    args: [...TO, "-m", "x", "-H", `X-Long: ${long("x", 3000)}`],
    fields: { "X-Long": long("x", 3000) },
  },
  {
    rule: "a line end in a subject is none",
    args: [...TO, "-m", "x", "-s", "a\r\nBcc: eve@example.org"],
    fields: { Subject: "a Bcc: eve@example.org" },
  },
  {
    rule: "a finished message, to the octet",
    args: [...TO, "--eml", "-"],
    stdin: "Subject: x\r\nX: \xe9\r\n\r\n.\r\nFrom \xff\r\n",
    raw: /^Subject: x\r\nX: \xe9\r\n\r\n\.\r\nFrom \xff\r\n$/,
    eightBit: true,
  },
  {
    rule: "a finished message with line ends of all kinds",
    args: [...TO, "--eml", "-"],
    stdin: "Subject: x\n\ra\r\r\nb",
    raw: /^Subject: x\r\n\r\na\r\n\r\nb\r\n$/,
  },
  {
    rule: "a finished message loses Bcc",
    args: [...TO, "--eml", "-"],
    stdin: "Bcc: a@b,\n\tc@d\nSubject: x\nBCC : e@f\nResent-Bcc: g@h\n\nBcc: body\n",
    raw: /^Subject: x\r\n\r\nBcc: body\r\n$/,
  },
];

/** Composes a message in a folder of its own and returns its octets, one char each. */
async function compose({ args = [], stdin, files = {} }: Case): Promise<string> {
  const folder = await Deno.makeTempDir();
  try {
    for (const [name, content] of Object.entries(files)) {
      await Deno.writeFile(`${folder}/${name}`, octetsOf(content));
    }
    let message = "";
    const here = args.map((arg) => Object.hasOwn(files, arg) ? `${folder}/${arg}` : arg);
    const code = await mail(["--dry-run", "-f", "Ann <ann@example.org>", ...here], {
      env: {},
      stdin: {
        isTerminal: () => stdin === undefined,
        get readable() {
          return new Blob([octetsOf(stdin ?? "")]).stream();
        },
      },
      ask: () => null,
      say: (line) => message += line,
      print: (output) => {
        message += toByteString(
          typeof output === "string" ? new TextEncoder().encode(output) : output,
        );
      },
      signal: () => new AbortController().signal,
    });
    assertEquals(code, 0, message);
    return message;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** What holds for every message, whatever is in it. */
function checkRules(message: string, { eightBit = false }: Case): void {
  assert(message.endsWith("\r\n"), "ends in CRLF");
  assert(!/\r(?!\n)|(?<!\r)\n|\0/.test(message), "every CR and LF in a CRLF, no NUL");
  assert(eightBit || !/[\x80-\xff]/.test(message), "all 7-bit");
  const [header = "", body = ""] = message.split(/\r\n\r\n(.*)/s);
  for (const line of header.split("\r\n")) {
    assert(
      line.length <= (/=\?utf-8\?/.test(line) ? 76 : line.startsWith("X-Long") ? 998 : 78),
      line,
    );
    assert(/\S/.test(line), "no line of blanks in the header");
  }
  for (const line of body.split("\r\n")) assert(line.length <= 78, line);
}

async function parse(messages: string[]): Promise<Parsed[] | null> {
  try {
    const child = new Deno.Command("python3", {
      args: ["-c", PARSER],
      stdin: "piped",
      stdout: "piped",
    })
      .spawn();
    const input = JSON.stringify(messages.map((message) => octetsOf(message).toBase64()));
    const writer = child.stdin.getWriter();
    const [{ stdout }] = await Promise.all([
      child.output(),
      writer.write(new TextEncoder().encode(input)).then(() => writer.close()),
    ]);
    return JSON.parse(new TextDecoder().decode(stdout));
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    console.log("skipped: no python3 to parse the messages (apt-get install python3)");
    return null;
  }
}

Deno.test("messages", async (t) => {
  const messages: string[] = [];
  for (const item of CASES) {
    await t.step(item.rule, async () => {
      const message = await compose(item);
      messages.push(message);
      checkRules(message, item);
      if (item.raw) assert(item.raw.test(message), message.slice(0, 2000));
      if (item.not) assert(!item.not.test(message), message.slice(0, 2000));
    });
  }
  const parsed = messages.length === CASES.length ? await parse(messages) : null;
  for (const [index, found] of (parsed ?? []).entries()) {
    const item = CASES[index];
    await t.step(`${item?.rule}, parsed`, () => {
      const fields = Object.fromEntries(found.fields);
      if (!item?.args?.includes("--eml")) {
        if (!item?.eightBit) assertEquals(found.defects, []);
        assert(/^<[^@]+@example\.org>$/.test(fields["Message-ID"] ?? ""));
        assert(/[+-]\d{4}$/.test(fields.Date ?? ""), fields.Date);
      }
      for (const [name, value] of Object.entries(item?.fields ?? {})) {
        assertEquals(fields[name], value);
      }
      const content = found.parts.map(({ content }) =>
        toByteString(Uint8Array.fromBase64(content))
      );
      if (item?.tree) assertEquals(found.tree, item.tree);
      if (item?.name) assertEquals(found.parts.at(-1)?.name, item.name);
      if (item?.last !== undefined) {
        assert(content.at(-1) === item.last, "the last part arrived changed");
      }
      if (item?.text !== undefined) {
        const octets = octetsOf(content[0] ?? "");
        const text = new TextDecoder().decode(octets).replaceAll("\r\n", "\n");
        assertEquals(item.text === "" ? text.trim() : text, item.text);
      }
    });
  }
});

const REFUSED: [rule: string, args: string[], files?: Record<string, string>][] = [
  ["a field that has an option", [...TO, "-m", "x", "-H", "Bcc: eve@example.org"]],
  ["a field that is ours", [...TO, "-m", "x", "-H", "content-type: text/x"]],
  ["a field with a line end", [...TO, "-m", "x", "-H", "X: a\r\nBcc: e@x"]],
  ["a field without a colon", [...TO, "-m", "x", "-H", "nothing"]],
  ["an inline file that the HTML does not name", [
    ...TO,
    "--html-file",
    "a.html",
    "--inline",
    "p.png",
  ], { "a.html": "<p>", "p.png": "" }],
  ["an inline file without HTML", [...TO, "-m", "x", "--inline", "p.png"], { "p.png": "" }],
  ["text that is no UTF-8", [...TO, "--body-file", "a.txt"], { "a.txt": "caf\xe9" }],
  ["two texts", [...TO, "-m", "x", "--body-file", "a.txt"], { "a.txt": "y" }],
  ["a folder for an attachment", [...TO, "-m", "x", "-a", "/tmp"]],
  ["an attachment that is not there", [...TO, "-m", "x", "-a", "/no/such/file"]],
  ["--eml with an empty body", [...TO, "--eml", "a.eml", "-m", ""], { "a.eml": "a: b\n" }],
  ["--eml with what it has already", [...TO, "--eml", "a.eml", "-s", "x"], { "a.eml": "a: b\n" }],
];

Deno.test("refused: a FIFO for an attachment, which nobody may ever write to", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = `${folder}/fifo`;
    await new Deno.Command("mkfifo", { args: [path] }).output();
    const args = [...TO, "-m", "x", "-a", path];
    await assertRejects(() => compose({ rule: "", args }), UsageError, "a regular file");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

for (const [rule, args, files] of REFUSED) {
  Deno.test(`refused: ${rule}`, async () => {
    await assertRejects(() => compose({ rule, args, files }), UsageError);
  });
}
