/**
 * The mail client's composed messages: each is printed by --dry-run, checked against the rules
 * that hold for all, and read back by Python's email package.
 *
 * @module
 */
import {
  assert,
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertRejects,
  assertStringIncludes,
} from "jsr:@std/assert@^1.0.19";
import { toByteString, UsageError } from "../protocol.ts";
import { runProgram } from "./helpers.ts";
import { DRY_RUN, run } from "./smtp_helpers.ts";
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
  `ü\n${long(".", 300)}\n`,
  `ü\n${long("From ", 60)}\n`,
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
    rule: "RFC 5322 §2.1.1: a subject without blanks that fills the line of 78 stays plain",
    args: [...TO, "-m", "x", "-s", long("x", 69)],
    raw: /^Subject: x{69}\r$/m,
  },
  {
    rule: "RFC 5322 §2.1.1: a subject without blanks that is one longer becomes encoded words",
    args: [...TO, "-m", "x", "-s", long("x", 70)],
    raw: /^Subject: =\?utf-8\?q\?x{55}\?=\r\n =\?utf-8\?q\?x{15}\?=\r$/m,
  },
  {
    rule: "RFC 5322 §2.2.3: a subject is folded at a blank when it is longer than 78",
    args: [...TO, "-m", "x", "-s", `${long("x", 34)} ${long("y", 35)}`],
    raw: /^Subject: x{34}\r\n y{35}\r$/m,
  },
  {
    rule: "RFC 5322 §2.2.3: a subject of 78 with its name is not folded",
    args: [...TO, "-m", "x", "-s", `${long("x", 34)} ${long("y", 34)}`],
    raw: /^Subject: x{34} y{34}\r$/m,
  },
  {
    rule: "RFC 2231 §3: a file name of 57 octets is a quoted string",
    files: { [long("n", 57)]: "x" },
    args: [...TO, "-m", "x", "-a", long("n", 57)],
    raw: /;\r\n filename="n{57}"\r\n/,
  },
  {
    rule: "RFC 2231 §3: a file name of 58 octets is continued",
    files: { [long("n", 58)]: "x" },
    args: [...TO, "-m", "x", "-a", long("n", 58)],
    raw: /;\r\n filename\*0\*=utf-8''n{54};\r\n filename\*1\*=n{4}\r\n/,
  },
  {
    rule: "RFC 2047 §5: a mailbox line of 76 with its comma keeps name and address together",
    args: ["-t", `${long("x", 53)} <bob@example.org>`, "-m", "x"],
    raw: /^To: x{53} <bob@example\.org>\r$/m,
  },
  {
    rule: "RFC 5322 §2.2.3: a mailbox line of 77 with its comma is folded before the address",
    args: ["-t", `${long("x", 54)} <bob@example.org>`, "-m", "x"],
    raw: /^To: x{54}\r\n <bob@example\.org>\r$/m,
  },
  {
    rule: "RFC 5322 §2.2.3: a second mailbox line of 76 with its comma is not folded",
    args: ["-t", `a@x.example,${long("x", 56)} <bob@example.org>`, "-m", "x"],
    raw: /^To: a@x\.example,\r\n x{56} <bob@example\.org>\r$/m,
  },
  {
    rule: "RFC 5322 §2.2.3: a second mailbox line of 77 with its comma is folded",
    args: ["-t", `a@x.example,${long("x", 57)} <bob@example.org>`, "-m", "x"],
    raw: /^To: a@x\.example,\r\n x{57}\r\n <bob@example\.org>\r$/m,
  },
  {
    rule: "RFC 2047 §5: a quoted display name that fills the line of 76 is not encoded",
    args: ["-t", `${long("x", 69)}. <bob@example.org>`, "-m", "x"],
    raw: /^To: "x{69}\."\r\n <bob@example\.org>\r$/m,
  },
  {
    rule: "RFC 2047 §5: a quoted display name that is one longer becomes encoded words",
    args: ["-t", `${long("x", 70)}. <bob@example.org>`, "-m", "x"],
    raw: /^To: =\?utf-8\?q\?x{60}\?=\r\n =\?utf-8\?q\?x{10}=2E\?=\r\n <bob@example\.org>\r$/m,
  },
  {
    rule: "RFC 2047 §2: the first encoded word of a field with a long name is on the next line",
    args: [...TO, "-m", "x", "-H", `X-${long("x", 65)}: ü`],
    raw: /^X-x{65}: \r\n =\?utf-8\?b\?w7w=\?=\r$/m,
  },
  {
    rule: "RFC 5322 §3.6.3: with Cc alone the header has no To",
    args: ["--cc", "bob@example.org", "-m", "x"],
    raw: /^Cc: bob@example\.org\r$/m,
    not: /^To:/m,
  },
  {
    rule: "RFC 5322 §3.6.3: To and Cc are both in the header",
    args: [...TO, "--cc", "eve@example.org", "-m", "x"],
    raw: /^To: bob@example\.org\r\nCc: eve@example\.org\r$/m,
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

/** Texts, and how they are encoded (RFC 2045 §6.7 and §6.8): the whole body. */
const ENCODINGS: [rule: string, text: string, encoding: string, body: string][] = [
  ["ASCII stays as it is", "hi", "7bit", "hi\r\n"],
  ["a line of 78 stays as it is", long("x", 78), "7bit", `${long("x", 78)}\r\n`],
  [
    "a line of 79 is quoted-printable",
    long("x", 79),
    "quoted-printable",
    `${long("x", 73)}=\r\n${long("x", 6)}\r\n`,
  ],
  ["a final blank is =20", "a b \nc", "quoted-printable", "a b=20\r\nc\r\n"],
  ["a final tab is =09", "a\tb\t\nc", "quoted-printable", "a\tb=09\r\nc\r\n"],
  [
    "a blank inside stays",
    "Grüße aus Köln!",
    "quoted-printable",
    "Gr=C3=BC=C3=9Fe aus K=C3=B6ln!\r\n",
  ],
  ["= is =3D, if other octets need it", "a=b and é", "quoted-printable", "a=3Db and =C3=A9\r\n"],
  ["= alone needs no encoding", "a=b", "7bit", "a=b\r\n"],
  ["a first dot is =2E", ".a.\n..", "quoted-printable", "=2Ea.\r\n=2E.\r\n"],
  ['a first "From " is encoded', "From me", "quoted-printable", "=46rom me\r\n"],
  ['"From" without a blank is not encoded', "Froms", "7bit", "Froms\r\n"],
  [
    "up to 1.6 times the octets",
    "xxxxxxxxxxxxüüü",
    "quoted-printable",
    "xxxxxxxxxxxx=C3=BC=C3=BC=C3=BC\r\n",
  ],
  [
    "over 1.6 times the octets is base64",
    "xxxxxxxxxxxüüü",
    "base64",
    "eHh4eHh4eHh4eHjDvMO8w7wNCg==\r\n",
  ],
  [
    "base64 has lines of 76",
    long("я", 57),
    "base64",
    `${long("0Y/Rj9GP", 9)}0Y/R\r\nj9GP${long("0Y/Rj9GP", 9)}\r\nDQo=\r\n`,
  ],
];

for (const [rule, text, encoding, body] of ENCODINGS) {
  Deno.test(`RFC 2045 §6: ${rule}: ${JSON.stringify(text.slice(0, 20))} is ${encoding}`, async () => {
    const message = await compose({ rule: "", args: [...TO, "-m", text] });
    const [header = "", ...rest] = message.split("\r\n\r\n");
    assertStringIncludes(header, `\r\nContent-Transfer-Encoding: ${encoding}`);
    assertEquals(rest, [body]);
  });
}

/** Values of X-Any, and its lines (RFC 2047 §2, RFC 5322 §2.2.3). */
const WORDS: [rule: string, value: string, lines: string[]][] = [
  ["what looks like an encoded word of another kind stays", "=?utf-8?x?y?=", ["=?utf-8?x?y?="]],
  ["an encoded word has three parts", "=?what?is?q?", ["=?what?is?q?"]],
  ["B in capitals is an encoded word, too", "=?a?B?c?=", ["=?utf-8?b?PT9hP0I/Yz89?="]],
  ["q keeps letters, digits and !*+/-", "ü aZ0123456789!*+/-._", [
    "=?utf-8?q?=C3=BC_aZ0123456789!*+/-=2E=5F?=",
  ]],
  ["q if it is as short as b", "üab", ["=?utf-8?q?=C3=BCab?="]],
  ["b if it is shorter", "üa", ["=?utf-8?b?w7xh?="]],
  [
    "the first line counts the name of the field, the others a blank",
    `ü${long("x", 120)}`,
    [`=?utf-8?q?=C3=BC${long("x", 51)}?=`, ` =?utf-8?q?${long("x", 63)}?=`, " =?utf-8?q?xxxxxx?="],
  ],
  [
    "a grapheme of 63 chars is not split",
    `${long("x", 200)}日${long("\u0301", 9)}`,
    [
      `=?utf-8?q?${long("x", 57)}?=`,
      ...[` =?utf-8?q?${long("x", 63)}?=`, ` =?utf-8?q?${long("x", 63)}?=`],
      ` =?utf-8?q?${long("x", 17)}?=`,
      ` =?utf-8?q?=E6=97=A5${long("=CC=81", 9)}?=`,
    ],
  ],
  [
    "a grapheme of 66 chars is split between code points",
    `${long("x", 217)}é${long("\u0301", 10)}`,
    [
      `=?utf-8?q?${long("x", 57)}?=`,
      ...[` =?utf-8?q?${long("x", 63)}?=`, ` =?utf-8?q?${long("x", 63)}?=`],
      ` =?utf-8?q?${long("x", 34)}=C3=A9${long("=CC=81", 3)}?=`,
      ` =?utf-8?q?${long("=CC=81", 7)}?=`,
    ],
  ],
];

for (const [rule, value, lines] of WORDS) {
  Deno.test(`RFC 2047 §2: ${rule}: ${JSON.stringify(value.slice(0, 20))}`, async () => {
    const message = await compose({ rule: "", args: [...TO, "-m", "x", "-H", `X-Any: ${value}`] });
    assertStringIncludes(message, `\r\nX-Any: ${lines.join("\r\n")}\r\nMIME-Version:`);
  });
}

Deno.test("RFC 5322 §2.1.1: a structured field of 998 octets in a line is sent, 999 are refused", async () => {
  const withId = (size: number) =>
    compose({ rule: "", args: [...TO, "-m", "x", "-H", `References: <${long("x", size)}@x>`] });
  assertStringIncludes(await withId(982), `\r\nReferences: <${long("x", 982)}@x>\r\n`);
  await assertRejects(() => withId(983), UsageError, "in lines of 998 octets");
});

Deno.test("RFC 5322 §2.1.1: a text of 998 octets in a line is sent, 999 become encoded words", async () => {
  const withText = (size: number) =>
    compose({ rule: "", args: [...TO, "-m", "x", "-H", `X-Any: ${long("x", size)}`] });
  assertStringIncludes(await withText(991), `\r\nX-Any: ${long("x", 991)}\r\n`);
  assertStringIncludes(await withText(992), `\r\nX-Any: =?utf-8?q?${long("x", 57)}?=\r\n =?`);
});

/** A message of every part, with names for what is random. */
const WHOLE = `From: Ann <ann@example.org>
To: bob@example.org
Subject: Hello
Date: DATE
Message-ID: <ID-1@example.org>
MIME-Version: 1.0
Content-Type: multipart/mixed;
 boundary="=_ID-2"

--=_ID-2
Content-Type: multipart/alternative;
 boundary="=_ID-3"

--=_ID-3
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 7bit

See the picture

--=_ID-3
Content-Type: multipart/related; type="text/html";
 boundary="=_ID-4"

--=_ID-4
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: 7bit

<img src="cid:ID-5@example.org">

--=_ID-4
Content-Type: image/png;
 name="p.png"
Content-Disposition: inline;
 filename="p.png"
Content-Transfer-Encoding: base64
Content-ID: <ID-5@example.org>

UE5H

--=_ID-4--

--=_ID-3--

--=_ID-2
Content-Type: text/plain; charset=utf-8;
 name="a.txt"
Content-Disposition: attachment;
 filename="a.txt"
Content-Transfer-Encoding: base64

aGk=

--=_ID-2--
`.replaceAll("\n", "\r\n");

Deno.test("RFC 2046 §5.1: a message of every part, octet for octet", async () => {
  const files = { "a.html": '<img src="cid:p.png">', "p.png": "PNG", "a.txt": "hi" };
  const html = ["--html-file", "a.html", "--inline", "p.png"];
  const args = [...TO, "-s", "Hello", "-m", "See the picture", ...html, "-a", "a.txt"];
  const message = (await compose({ rule: "", args, files })).replace(
    /(?<=^Date: ).*(?=\r)/m,
    "DATE",
  );
  const ids = [...new Set(message.match(/[-0-9a-f]{36}/g))];
  assertEquals(ids.reduce((text, id, at) => text.replaceAll(id, `ID-${at + 1}`), message), WHOLE);
});

/** How often a field is in a message (RFC 5322 §3.6): composed with every option, and with few. */
const COUNTS: [name: string, withAll: number, withFew: number][] = [
  ["Date", 1, 1],
  ["From", 1, 1],
  ["Sender", 1, 0],
  ["Reply-To", 1, 0],
  ["To", 1, 1],
  ["Cc", 1, 0],
  ["Bcc", 0, 0],
  ["Message-ID", 1, 1],
  ["In-Reply-To", 1, 0],
  ["References", 1, 0],
  ["Subject", 1, 0],
  ["Comments", 2, 0],
  ["Keywords", 2, 0],
  ["MIME-Version", 1, 1],
  ["Content-Type", 1, 1],
  ["Content-Transfer-Encoding", 1, 1],
];
/** Options for the addresses, each twice or with a list. */
const MANY = [
  "-t",
  "b@x.example",
  "-t",
  "c@x.example",
  "--cc",
  "d@x.example",
  "--cc",
  "e@x.example",
]
  .concat(["--bcc", "f@x.example", "--reply-to", "g@x.example,h@x.example"]);
/** Fields of -H, among them the two that may be repeated. */
const GIVEN = ["Keywords: a", "Sender: s@x.example", "Comments: a", "In-Reply-To: <1@x>"]
  .concat(["References: <0@x> <1@x>", "Comments: b", "Keywords: b"]);
const EVERYTHING = [...MANY, "-s", "x", "-m", "x", ...GIVEN.flatMap((field) => ["-H", field])];

/** Names of the fields of a message, in order. */
const fieldNames = (message: string) =>
  [...(message.split("\r\n\r\n")[0] ?? "").matchAll(/^[^\s:]+(?=:)/gm)].map(([name]) => name);

for (const [name, withAll, withFew] of COUNTS) {
  for (const [args, count] of [[EVERYTHING, withAll], [[...TO, "-m", "x"], withFew]] as const) {
    const how = args === EVERYTHING ? "every option" : "--to and --body";
    Deno.test(`RFC 5322 §3.6: ${count} ${name} in a message with ${how}`, async () => {
      const names = fieldNames(await compose({ rule: "", args: [...args] }));
      assertEquals(names.filter((found) => found === name).length, count);
    });
  }
}

Deno.test("RFC 5322 §3.6: the order of the fields of a composed message", async () => {
  assertEquals(fieldNames(await compose({ rule: "", args: EVERYTHING })), [
    ...["From", "To", "Cc", "Reply-To", "Subject", "Date", "Message-ID"],
    ...["Keywords", "Sender", "Comments", "In-Reply-To", "References", "Comments", "Keywords"],
    ...["MIME-Version", "Content-Type", "Content-Transfer-Encoding"],
  ]);
});

Deno.test("RFC 5322 §3.6.2: From has one mailbox, so that Sender is not required", async () => {
  const args = ["--dry-run", "-f", "a@x.example,b@x.example", ...TO, "-m", "x"];
  await assertRejects(() => run(args), UsageError, "expected one address");
});

Deno.test("RFC 5322 §3.6.4: each message has a Message-ID of its own", async () => {
  const messageId = async () =>
    /^Message-ID: <[-0-9a-f]{36}@example\.org>$/m
      .exec((await compose({ rule: "", args: [...TO, "-m", "x"] })).replaceAll("\r", ""))?.[0];
  const [first, second] = [await messageId(), await messageId()];
  assert(first !== undefined && second !== undefined);
  assertNotEquals(first, second);
});

Deno.test("RFC 5322 §3.6.6: Resent fields of -H stay together, in their order", async () => {
  const resent = ["Resent-Date: Sat, 28 Nov 2026 22:28:00 +0100", "Resent-From: ann@example.org"]
    .concat(["Resent-To: bob@example.org", "Resent-Message-ID: <2@x>"]);
  const args = [...TO, "-m", "x", ...resent.flatMap((field) => ["-H", field])];
  assertStringIncludes(await compose({ rule: "", args }), `\r\n${resent.join("\r\n")}\r\n`);
});

/** Fields of -H that a message has at most once. */
const SINGLE: [name: string, value: string][] = [
  ["Date", "Sat, 28 Nov 2026 22:28:00 +0100"],
  ["Message-ID", "<1@x>"],
  ["Sender", "s@x.example"],
  ["In-Reply-To", "<1@x>"],
  ["References", "<1@x>"],
];

for (const [name, value] of SINGLE) {
  Deno.test(`RFC 5322 §3.6: -H with a second ${name} is refused`, async () => {
    const args = [...TO, "-m", "x", "-H", `${name}: ${value}`];
    const twice = compose({ rule: "", args: [...args, "-H", `${name.toLowerCase()}: ${value}`] });
    await assertRejects(() => twice, UsageError, `Cannot use -H with two fields "${name}"`);
    const message = await compose({ rule: "", args });
    assertStringIncludes(message, `\r\n${name}: ${value}\r\n`);
  });
}

/** References of HTML to an inline file; false for what only looks like one. */
const LINKS: [html: string, name: string, isLink: boolean][] = [
  ['<img src="cid:p.png">', "p.png", true],
  ["<img src='cid:p.png'>", "p.png", true],
  ["<img src=cid:p.png>", "p.png", true],
  ["<a style='background:url(cid:p.png)'>", "p.png", true],
  ['<img src="CID:p.png">', "p.png", true],
  ['<img src="cid:a&amp;b.png">', "a&b.png", true],
  ['<img src="cid:a b.png">', "a b.png", true],
  ['<img src="cid:a%20b.png">', "a b.png", true],
  ['<img src="cid:a(1).png">', "a(1).png", true],
  ["cid:logo", "logo", true],
  ['<img src="cid:logofooter">', "logo", false],
  ['<img src="cid:logo.png">', "logo", false],
  ['<img src="cid:my-logo">', "logo", false],
  ['<img src="acid:logo">', "logo", false],
  ['<img src="logo">', "logo", false],
];
const HTML = ["--dry-run", "-f", "ann@example.org", ...TO, "--html-file", "a.html", "--inline"];

for (const [html, name, isLink] of LINKS) {
  Deno.test(`RFC 2392 §2: ${html} ${isLink ? "shows" : "does not show"} --inline ${name}`, async () => {
    const composing = runWithFiles([...HTML, name], { "a.html": html, [name]: "x" });
    if (!isLink) return void await assertRejects(() => composing, UsageError, `cid:${name}`);
    const { stdout } = await composing;
    const [, id = "none"] = /Content-ID: <(.*)>/.exec(stdout) ?? [];
    assertMatch(stdout.replaceAll("=\r\n", ""), new RegExp(`cid:${id}`, "i"));
  });
}

Deno.test("RFC 2045 §7: the Content-ID of the same file differs from message to message", async () => {
  const files = { "a.html": '<img src="cid:p.png">', "p.png": "" };
  const contentId = async () =>
    /Content-ID: .*/.exec((await runWithFiles([...HTML, "p.png"], files)).stdout)?.[0];
  assertNotEquals(await contentId(), await contentId());
});

Deno.test("RFC 2392 §2: each of two pictures gets its own id, the longer name first", async () => {
  const files = { "a.html": '<img src="cid:p x">\n<img src="cid:p">', p: "1", "p x": "2" };
  const { stdout } = await runWithFiles([...HTML, "p", "--inline", "p x"], files);
  const ids = [...stdout.matchAll(/Content-ID: <(.*)>/g)].map(([, id]) => id);
  const links = [...stdout.matchAll(/cid:([^"]*)/g)].map(([, id]) => id);
  assertEquals(links, ids.toReversed());
});

/** Media types of attachments. */
const TYPES: [name: string, content: string, type: string][] = [
  ["a.txt", "caf\xc3\xa9", "text/plain; charset=utf-8"],
  ["a.txt", "caf\xe9", "text/plain"],
  ["a.csv", `${"x".repeat(65_535)}\xc3\xa9`, "text/csv; charset=utf-8"],
  ["a.csv", `${"x".repeat(70_000)}\xc3`, "text/csv"],
  ["a.htm", "<p>", "text/html; charset=utf-8"],
  ["a.log", "x", "text/plain; charset=utf-8"],
  ["a.patch", "x", "text/plain; charset=utf-8"],
  ["a.yaml", "x", "text/yaml; charset=utf-8"],
  ["a.TIF", "x", "image/tiff"],
  ["a.odt", "x", "application/vnd.oasis.opendocument.text"],
  ["a.ods", "x", "application/vnd.oasis.opendocument.spreadsheet"],
  ["a.odp", "x", "application/vnd.oasis.opendocument.presentation"],
  ["a.7z", "x", "application/x-7z-compressed"],
  ["a.epub", "x", "application/epub+zip"],
  ["a.m4a", "x", "audio/mp4"],
  ["a.eml", "x", "application/octet-stream"],
  ["noextension", "x", "application/octet-stream"],
];

for (const [name, content, type] of TYPES) {
  Deno.test(`RFC 2046 §4: ${name} with ${JSON.stringify(content.slice(-4))} is ${type}`, async () => {
    const { stdout } = await runWithFiles([...DRY_RUN, ...TO, "-a", name], { [name]: content });
    assertStringIncludes(stdout, `Content-Type: ${type};\r\n name=`);
  });
}

Deno.test("1,100 attachments are sent with 1,024 file descriptors", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const file = `${folder}/a.bin`;
    await Deno.writeFile(file, new Uint8Array(3));
    const args = [...DRY_RUN, ...TO, ...Array.from({ length: 1100 }, () => ["-a", file]).flat()];
    const by = ["sh", "-c", 'ulimit -n 1024; exec "$@"', "sh"];
    const { code, stdout, stderr } = await runProgram("smtp_client.ts", args, { by });
    assertEquals(code, 0, stderr);
    assertEquals(stdout.match(/filename="a\.bin"/g)?.length, 1100);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

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
  ["--inline with two files of the same name", [
    ...TO,
    "--html-file",
    "a.html",
    "--inline",
    "p.png",
    "--inline",
    "p.png",
  ], { "a.html": '<img src="cid:p.png">', "p.png": "" }],
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
