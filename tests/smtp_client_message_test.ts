/**
 * The mail client's composed messages: each is printed by --dry-run, checked against the rules
 * that hold for all, and read back by Python's email package.
 *
 * @module
 */
import {
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "jsr:@std/assert@^1.0.19";
import { toByteString, UsageError } from "../protocol.ts";
import { run } from "./smtp_helpers.ts";
import { type Case, compose, runWithFiles, testMessages } from "./smtp_messages.ts";

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
    rule: `RFC 2047 §2: the subject ${JSON.stringify(subject.slice(0, 30))} is read back`,
    args: [...TO, "-m", "x", "-s", subject],
    fields: { Subject: subject.replace("\t", " ") },
  })),
  ...TEXTS.map((text) => ({
    rule: `RFC 2045 §6: the text ${JSON.stringify(text.slice(0, 30))} is read back`,
    args: TO,
    stdin: toByteString(new TextEncoder().encode(text)),
    text: text.replace(/\r\n?/g, "\n").replace(/(?<!\n)$/, "\n"),
    tree: "text/plain",
  })),
  ...NAMES.map((name) => ({
    rule: `RFC 2231 §3: the file name ${JSON.stringify(name.slice(0, 30))} is read back`,
    files: { [name]: ALL },
    args: [...TO, "-m", "x", "-a", name],
    name,
    last: ALL,
    not: /message\/rfc822/,
  })),
  ...[0, 1, 2, 3, 56, 57, 58, 114, 57 * 4096 - 1, 57 * 4096, 57 * 4096 + 1, 700_000].map((
    size,
  ) => ({
    rule: `RFC 2045 §6.8: an attachment of ${size} octets is read back`,
    files: { "a.bin": long(ALL, 1 + size / 256).slice(0, size) },
    args: [...TO, "-m", "x", "-a", "a.bin"],
    last: long(ALL, 1 + size / 256).slice(0, size),
    tree: "mixed(text/plain,application/octet-stream)",
  })),
  {
    rule: "RFC 2045 §5: HTML alone is one text/html part",
    files: { "a.html": "<p>h\xc3\xa9\n" },
    args: [...TO, "--html-file", "a.html"],
    tree: "text/html",
    text: "<p>hé\n",
  },
  {
    rule: "RFC 2046 §5.1.4: text and HTML are multipart/alternative",
    files: { "a.html": "<p>" },
    args: [...TO, "-m", "x", "--html-file", "a.html"],
    tree: "alternative(text/plain,text/html)",
  },
  {
    rule: "RFC 2387 §2: HTML with a picture is multipart/related",
    files: { "a.html": '<img src="cid:p.png">', "p.png": ALL },
    args: [...TO, "--html-file", "a.html", "--inline", "p.png"],
    tree: "related(text/html,image/png)",
    raw: /src="cid:([-0-9a-f]{36}@example\.org)"[^]*Content-ID: <\1>\r\n/,
    last: ALL,
  },
  {
    rule: "RFC 2387 §3.1: multipart/related has a type parameter",
    files: { "a.html": '<img src="cid:p.png">', "p.png": ALL },
    args: [...TO, "--html-file", "a.html", "--inline", "p.png"],
    raw: /multipart\/related; type="text\/html"/,
  },
  {
    rule: "RFC 2387 §2: text, HTML and a picture are alternative(plain, related)",
    files: { "a.html": '<img src="cid:p.png">', "p.png": ALL },
    args: [...TO, "-m", "x", "--html-file", "a.html", "--inline", "p.png"],
    tree: "alternative(text/plain,related(text/html,image/png))",
  },
  {
    rule: "RFC 2046 §5.1.3: text, HTML, pictures and attachments are mixed(alternative(…), …)",
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
    rule: "RFC 2046 §5.1.3: a text with a picture, as the assignment asks, is mixed(text, image)",
    files: { "p.jpg": ALL },
    args: [...TO, "-m", "see", "-a", "p.jpg"],
    tree: "mixed(text/plain,image/jpeg)",
    last: ALL,
    name: "p.jpg",
  },
  {
    rule: "RFC 2045 §6.8: a text attachment keeps its octets and line ends",
    files: { "a.txt": "a\nb\r\nc\rcaf\xe9" },
    args: [...TO, "-m", "x", "-a", "a.txt"],
    last: "a\nb\r\nc\rcaf\xe9",
  },
  {
    rule: "RFC 2392 §2: cid:NAME of HTML may be percent-encoded",
    files: { "a.html": '<img src="cid:b%20%C3%BC.png">', "b ü.png": "x" },
    args: [...TO, "--html-file", "a.html", "--inline", "b ü.png"],
    raw: /src="cid:([-0-9a-f]{36}@example\.org)"[^]*Content-ID: <\1>\r\n/,
    name: "b ü.png",
  },
  {
    rule: "-H adds fields",
    args: [...TO, "-m", "x", "-H", "X-Any: thing", "-H", "In-Reply-To: <a@b>"],
    fields: { "X-Any": "thing", "In-Reply-To": "<a@b>" },
  },
  {
    rule: "RFC 2047 §5: an unstructured -H field that is not ASCII becomes encoded words",
    args: [...TO, "-m", "x", "-H", "X-Any: Ding fürs Haus"],
    fields: { "X-Any": "Ding fürs Haus" },
  },
  {
    rule: "RFC 5322 §2.2.3: a long References field is folded",
    args: [...TO, "-m", "x", "-H", `References: ${long("<0123456789@example.org> ", 40)}`],
    raw: /\r\n <0123456789@example\.org>/,
  },
  {
    rule: "RFC 5322 §2.1.1: a field of 900 octets without blanks stays one line",
    args: [...TO, "-m", "x", "-H", `X-Long: ${long("x", 900)}`],
    fields: { "X-Long": long("x", 900) },
  },
  {
    rule: "RFC 5322 §2.1.1: a field of 3,000 octets without blanks becomes encoded words",
    args: [...TO, "-m", "x", "-H", `X-Long: ${long("x", 3000)}`],
    fields: { "X-Long": long("x", 3000) },
  },
  {
    rule: "RFC 5322 §3.6.5: a line end in a subject becomes a blank",
    args: [...TO, "-m", "x", "-s", "a\r\nBcc: eve@example.org"],
    fields: { Subject: "a Bcc: eve@example.org" },
  },
];

testMessages(CASES);

const NOT_UTF8 = {
  "a.txt": "caf\xe9 and \xc3\xa9, as cron sends it",
  "a.html": "<p>\xe9 in a paragraph",
};

for (const args of [["--body-file", "a.txt"], ["-m", "x", "--html-file", "a.html"]]) {
  Deno.test(`RFC 3629 §3: ${args.at(-2)} that is not UTF-8 is sent with U+FFFD, and a note`, async () => {
    const line = ["--dry-run", "-f", "ann@example.org", ...TO, ...args];
    const { code, stderr, stdout } = await runWithFiles(line, NOT_UTF8);
    assertEquals(code, 0);
    assertStringIncludes(stdout, "=EF=BF=BD");
    assertMatch(stderr, /^note: ".*" is not UTF-8; what cannot be read is sent as U\+FFFD\n$/);
    const quiet = await runWithFiles([...line, "-q"], NOT_UTF8);
    assertEquals(quiet.stderr, "");
  });
}

Deno.test("RFC 3629 §3: standard input that is not UTF-8 is sent with U+FFFD, and a note", async () => {
  const line = ["--dry-run", "-f", "ann@example.org", ...TO];
  const { stderr, stdout } = await run(line, { stdin: "disk \xff full, and more words" });
  assertStringIncludes(stdout, "disk =EF=BF=BD full");
  assertStringIncludes(stderr, "note: standard input is not UTF-8");
});

const REFUSED: [rule: string, args: string[], files?: Record<string, string>][] = [
  ["RFC 5322 §3.6: -H with a field that has an option", [
    ...TO,
    "-m",
    "x",
    "-H",
    "Bcc: eve@example.org",
  ]],
  ["-H with a field of MIME", [...TO, "-m", "x", "-H", "content-type: text/x"]],
  ["RFC 5322 §2.2: -H with a line end", [...TO, "-m", "x", "-H", "X: a\r\nBcc: e@x"]],
  ["RFC 5322 §2.2: -H without a colon", [...TO, "-m", "x", "-H", "nothing"]],
  ["--inline with a file that the HTML does not name", [
    ...TO,
    "--html-file",
    "a.html",
    "--inline",
    "p.png",
  ], { "a.html": "<p>", "p.png": "" }],
  ["--inline without HTML", [...TO, "-m", "x", "--inline", "p.png"], { "p.png": "" }],
  ["--body with --body-file", [...TO, "-m", "x", "--body-file", "a.txt"], { "a.txt": "y" }],
  ["--attach with a folder", [...TO, "-m", "x", "-a", "/tmp"]],
  ["--attach with a file that does not exist", [...TO, "-m", "x", "-a", "/no/such/file"]],
  ["--eml with --body", [...TO, "--eml", "a.eml", "-m", ""], { "a.eml": "a: b\n" }],
  ["--eml with --subject", [...TO, "--eml", "a.eml", "-s", "x"], { "a.eml": "a: b\n" }],
];

Deno.test("usage: --attach with a FIFO, which blocks when it is opened", async () => {
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
  Deno.test(`usage: ${rule}`, async () => {
    await assertRejects(() => compose({ rule, args, files }), UsageError);
  });
}
