/**
 * The mail client's finished messages (--eml).
 *
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "jsr:@std/assert@^1.0.19";
import {
  BYE,
  converse,
  DATA,
  type Dialogue,
  DONE,
  MINIMAL,
  prelude,
  RCPT,
  run,
  SENT,
  testInAllModes,
} from "./smtp_helpers.ts";
import { type Case, testMessages } from "./smtp_messages.ts";

/** A header to which nothing is added. */
const DATED = "Date: Sat, 28 Nov 2026 22:28:00 +0000\nMessage-ID: <1@x>\n";
const DATED_SIZE = DATED.length + 2;

/** Parameters of MAIL, and the octets that are sent. */
const DIALOGUES: Dialogue[] = [
  {
    rule: "RFC 5321 §4.5.2: a dot at the start of a line of an --eml message is doubled",
    args: ["-t", "bob@example.org", "--eml", "-"],
    stdin: `${DATED}\n.\n..\n.a\nb.\n`,
    talk: SENT,
    code: 0,
    message: "<1@x>\r\n\r\n..\r\n...\r\n..a\r\nb.\r\n",
  },
  {
    rule: "RFC 1870 §5: SIZE is the exact number of octets",
    offers: ["SIZE 1000"],
    args: ["-t", "bob@example.org", "--eml", "-"],
    stdin: `${DATED}\n.hidden\r\nend`,
    talk: `C: MAIL FROM:<ann@example.org> SIZE=${
      DATED_SIZE + 16
    }\nS: 250 ok\n${RCPT}\n${DATA}\n${DONE}`,
    code: 0,
  },
  ...["SIZE", "SIZE 0", "size 0", "SIZE x", "SIZE  100000"].map((size) => ({
    rule: `RFC 1870 §4: the offer "${size}" sets no limit here`,
    offers: [size],
    args: ["-t", "bob@example.org", "--eml", "-"],
    stdin: DATED,
    talk: `C: MAIL FROM:<ann@example.org> SIZE=${DATED_SIZE}\nS: 250 ok\n${RCPT}\n${DATA}\n${DONE}`,
    code: 0,
  })),
  {
    rule: "RFC 1870 §6.1: a message of exactly the server's SIZE is sent",
    offers: [`SIZE ${DATED_SIZE}`],
    args: ["-t", "bob@example.org", "--eml", "-"],
    stdin: DATED,
    talk: `C: MAIL FROM:<ann@example.org> SIZE=${DATED_SIZE}\nS: 250 ok\n${RCPT}\n${DATA}\n${DONE}`,
    code: 0,
  },
  {
    rule: "RFC 1870 §6.1: a message one octet over the server's SIZE is not begun",
    offers: [`SIZE ${DATED_SIZE - 1}`],
    args: ["-t", "bob@example.org", "--eml", "-"],
    stdin: DATED,
    talk: BYE,
    code: 65,
    says: `it has ${DATED_SIZE} octets, the server accepts ${DATED_SIZE - 1}`,
  },
  {
    rule: "RFC 1870 §6.1: a message over the server's SIZE is not begun",
    offers: ["SIZE 100"],
    talk: BYE,
    code: 65,
    says: "the server accepts 100",
  },
  {
    rule: "RFC 6152 §2: 8-bit octets are declared with BODY=8BITMIME",
    offers: ["8BITMIME"],
    args: ["-t", "bob@example.org", "--eml", "-"],
    stdin: DATED + "\ncaf\xc3\xa9\n",
    talk: `C: MAIL FROM:<ann@example.org> BODY=8BITMIME\nS: 250 ok\n${RCPT}\n${DATA}\n${DONE}`,
    code: 0,
    message: "caf\xc3\xa9\r\n",
  },
  {
    rule: "RFC 6152 §2: a message of 7-bit octets is not declared",
    offers: ["8BITMIME", "SMTPUTF8"],
    args: ["-t", "bob@example.org", "--eml", "-"],
    stdin: DATED + "\n\x7f\n",
    talk: SENT,
    code: 0,
  },
  {
    rule: "RFC 6152 §2: the octet 0x80 is declared with BODY=8BITMIME",
    offers: ["8BITMIME"],
    args: ["-t", "bob@example.org", "--eml", "-"],
    stdin: DATED + "\n\x80\n",
    talk: `C: MAIL FROM:<ann@example.org> BODY=8BITMIME\nS: 250 ok\n${RCPT}\n${DATA}\n${DONE}`,
    code: 0,
  },
  {
    rule: "RFC 6152 §3: 8-bit octets are not sent without 8BITMIME",
    args: ["-t", "bob@example.org", "--eml", "-"],
    stdin: DATED + "\ncaf\xc3\xa9\n",
    talk: BYE,
    code: 65,
    says: "Cannot send the message: it has 8-bit octets, and the server offers no 8BITMIME\n",
  },
  {
    rule: "RFC 6532 §3.2: a UTF-8 header is not sent without SMTPUTF8",
    offers: ["8BITMIME"],
    args: ["-t", "bob@example.org", "--eml", "-"],
    stdin: "Subject: caf\xc3\xa9\n\nx\n",
    talk: BYE,
    code: 65,
  },
  {
    rule:
      "RFC 5322 §3.6.3: an --eml message loses Bcc with its folded lines, and every line end becomes CRLF",
    args: ["-t", "bob@example.org", "--eml", "-"],
    stdin: "Bcc: a@b,\n c@d\nTo: x\rbcc : e@f\r\nSubject: y\n\nBcc: stays\r\rend",
    talk: SENT,
    code: 0,
    message: /^To: x\r\nSubject: y\r\nDate: .*\r\nMessage-ID: .*\r\n\r\nBcc: stays\r\n\r\nend\r\n$/,
  },
];

testInAllModes(DIALOGUES);

const MINIMAL_FROM = ["-f", "ann@example.org", "-t", "bob@example.org"];
const TO = ["-t", "bob@example.org"];

/** Changes to a finished message. */
const MESSAGES: Case[] = [
  {
    rule: "--eml keeps every octet",
    args: [...TO, "--eml", "-"],
    stdin: "Date: 1\r\nMessage-ID: 2\r\nX: \xe9\r\n\r\n.\r\nFrom \xff\r\n",
    raw: /^Date: 1\r\nMessage-ID: 2\r\nX: \xe9\r\n\r\n\.\r\nFrom \xff\r\n$/,
    eightBit: true,
  },
  {
    rule: "RFC 3629 §6: the last octet of a byte order mark is not one",
    args: [...TO, "--eml", "-"],
    stdin: "X:\xbf\r\nDate: 1\r\nMessage-ID: 2\r\n\r\nx\r\n",
    raw: /^X:\xbf\r\nDate: 1\r\nMessage-ID: 2\r\n\r\nx\r\n$/,
    eightBit: true,
  },
  {
    rule: "RFC 5321 §2.3.8: --eml makes CR, LF and CRLF a CRLF",
    args: [...TO, "--eml", "-"],
    stdin: "Message-ID: x\nDate: 1\n\ra\r\r\nb",
    raw: /^Message-ID: x\r\nDate: 1\r\n\r\na\r\n\r\nb\r\n$/,
  },
  {
    rule: "RFC 5322 §3.6.3: --eml removes Bcc and Resent-Bcc from the header only",
    args: [...TO, "--eml", "-"],
    stdin: "Bcc: a@b,\n\tc@d\nDate: 1\nBCC : e@f\nResent-Bcc: g@h\nMessage-ID: 2\n\nBcc: body\n",
    raw: /^Date: 1\r\nMessage-ID: 2\r\n\r\nBcc: body\r\n$/,
  },
];

testMessages(MESSAGES);

for (
  const [rule, eml] of [["a line of 999 octets", `a: b\n\n${"x".repeat(999)}\n`], [
    "a NUL",
    "a: b\n\n\0\n",
  ]] as const
) {
  Deno.test(`RFC 5322 §2.1.1: a finished message with ${rule} cannot be sent`, async () => {
    const { code, stderr } = await run([...MINIMAL.slice(0, -2), "--eml", "-"], { stdin: eml });
    assertEquals(code, 65, stderr);
    const args = [...MINIMAL.slice(0, -2), "--eml", "-", "--json"];
    const { status, error, accepted } = JSON.parse((await run(args, { stdin: eml })).stdout);
    assertEquals([status, `smtp_client: ${error}\n`, accepted], [65, stderr, []]);
  });
}

const EML = ["--eml", "-"];
const FROM_ANN = `From: Ann <ann@example.org>\n${DATED}`;
const envelope = (from: string, ...to: string[]) =>
  [`MAIL FROM:<${from}>`, ...to.map((path) => `RCPT TO:<${path}>`)]
    .map((command) => `C: ${command}\nS: 250 ok`).join("\n") + `\n${DATA}\n${DONE}`;

/** Envelopes made from a header, as by `sendmail -t`. */
const ENVELOPES: { rule: string; eml: string; from: string; to: string[]; args?: string[] }[] = [
  {
    rule: "RFC 5322 §3.6.3: To, Cc and Bcc of the header are the recipients",
    eml: `${FROM_ANN}To: b@x.example\nCc: C <c@x.example>\nBcc: d@x.example\n\nx`,
    from: "ann@example.org",
    to: ["b@x.example", "c@x.example", "d@x.example"],
  },
  {
    rule: "RFC 5322 §2.2: no blank is needed after the colon of a field",
    eml: `From:ann@example.org\n${DATED}To:b@x.example\n\nx`,
    from: "ann@example.org",
    to: ["b@x.example"],
  },
  {
    rule: "RFC 5322 §2.2.3: a folded To field is read whole",
    eml: `${FROM_ANN}To: b@x.example,\n\t"C, d" <c@x.example>\n\nx`,
    from: "ann@example.org",
    to: ["b@x.example", "c@x.example"],
  },
  {
    rule: "RFC 5322 §3.4: groups and comments of the header are read",
    eml: `${FROM_ANN}To: friends: b@x.example, c@x.example (C);, d@x.example\nCc: none:;\n\nx`,
    from: "ann@example.org",
    to: ["b@x.example", "c@x.example", "d@x.example"],
  },
  {
    rule: "RFC 5322 §3.6.2: Sender is preferred to From",
    eml: `Sender: sec@example.org\n${FROM_ANN}To: b@x.example\n\nx`,
    from: "sec@example.org",
    to: ["b@x.example"],
  },
  {
    rule: "RFC 5322 §3.6.2: the first of several authors is the sender",
    eml: `From: a@x.example, b@x.example\n${DATED}To: c@x.example\n\nx`,
    from: "a@x.example",
    to: ["c@x.example"],
  },
  {
    rule: "RFC 5322 §3.6.6: Resent fields are preferred",
    eml: `Resent-From: me@x.example\nResent-To: new@x.example\n${FROM_ANN}To: b@x.example\n\nx`,
    from: "me@x.example",
    to: ["new@x.example"],
  },
  {
    rule: "RFC 5322 §3.6.6: without Resent-From the sender is From",
    eml: `Resent-Cc: new@x.example\n${FROM_ANN}To: b@x.example\n\nx`,
    from: "ann@example.org",
    to: ["new@x.example"],
  },
  {
    rule: "operands are the only recipients",
    eml: `${FROM_ANN}To: b@x.example\nBcc: d@x.example\n\nx`,
    from: "ann@example.org",
    to: ["op@x.example"],
    args: ["-i", "op@x.example"],
  },
  {
    rule: "-t and -f replace the header's recipients and sender",
    eml: `${FROM_ANN}To: b@x.example\n\nx`,
    from: "f@x.example",
    to: ["t@x.example"],
    args: ["-f", "f@x.example", "-t", "t@x.example"],
  },
];

for (const { rule, eml, from, to, args = [] } of ENVELOPES) {
  Deno.test(`--eml: ${rule}`.replace(/^--eml: (RFC [\d]+ §[\d.]+): /, "$1: --eml: "), async () => {
    const talk = `${prelude("none", [])}\n${envelope(from, ...to)}`;
    const { messages } = await converse(
      { rule, talk, args: ["--tls", "none", ...EML, ...args], base: [], stdin: eml, code: 0 },
      null,
      (text) => [text],
    );
    assert(!/^bcc:/im.test(messages.join("")));
  });
}

const [MARK, FROM_LINE] = ["\xef\xbb\xbf", "From ann@example.org Sat Nov 28 22:28:00 2026\n"];

/** What other programs write before the header. */
for (
  const [rule, before] of [
    ["a byte order mark", MARK],
    ['a line "From " of an mbox', FROM_LINE],
    ['a line ">From "', `>${FROM_LINE}`],
    ["a byte order mark and From lines", `${MARK}${FROM_LINE}>${FROM_LINE}`],
  ]
) {
  Deno.test(`RFC 4155 §A: --eml drops ${rule} before the header`, async () => {
    const eml = `${before}${DATED}Subject: x\n\nFrom here\n`;
    const { stdout } = await run(["--dry-run", "-f", "ann@example.org", ...TO, ...EML], {
      stdin: eml,
    });
    assertEquals(stdout, `${DATED}Subject: x\n\nFrom here\n`.replaceAll("\n", "\r\n"));
  });
}

Deno.test('RFC 5322 §4.5.4: "From : ann" with a blank before the colon is a field', async () => {
  const eml = `From : ann@example.org\n${DATED}To: bob@example.org\n\nx`;
  const { stdout } = await run(["--dry-run", ...EML], { stdin: eml });
  assertStringIncludes(stdout, "From : ann@example.org\r\n");
});

/** Finished messages that cannot be sent. */
const IMPOSSIBLE: [rule: string, eml: string, says: string, args?: string[]][] = [
  ["an empty file", "", "it has no header", MINIMAL_FROM],
  ["a body alone", "\nHello\n", "it has no header", MINIMAL_FROM],
  ["only line ends", "\n\n", "it has no header", MINIMAL_FROM],
  ["only a From line", FROM_LINE, "it has no header", MINIMAL_FROM],
  ["no From field and no -f", `${DATED}To: b@x.example\n\nx`, "it has no From field"],
  ["no recipient", `${FROM_ANN}\nx`, "its header has no recipient"],
  ["only an empty group", `${FROM_ANN}To: undisclosed-recipients:;\n\nx`, "no recipient"],
  ["a malformed To field", `${FROM_ANN}To: b@\n\nx`, 'field to has "b@": expected an address'],
  ["a line that is not a field", `${FROM_ANN}Hello Bob,\n\nx`, '"Hello Bob," in its header'],
  [
    "a blank in the name of a field",
    `${FROM_ANN}Hello Bob: x\n\nx`,
    '"Hello Bob: x" in its header',
  ],
  ["an octet above 127 in a name", `${FROM_ANN}H\xe9llo: x\n\nx`, '"H\u00e9llo: x" in its header'],
  [
    "a part of a byte order mark",
    `\xef\xbbX: y\n${FROM_ANN}\nx`,
    '"\u00ef\u00bbX: y" in its header',
  ],
  ["another part of one", `\xefX\xbf: y\n${FROM_ANN}\nx`, '"\u00efX\u00bf: y" in its header'],
  ["a fold before the first field", ` x\n${FROM_ANN}\nx`, '" x" in its header'],
];

for (const [rule, stdin, says, args = []] of IMPOSSIBLE) {
  Deno.test(`RFC 5322 §3.6: --eml with ${rule} is exit 65`, async () => {
    const { code, stderr } = await run(["--server", "127.0.0.1:1", ...EML, ...args], { stdin });
    assertEquals(code, 65, stderr);
    assertStringIncludes(stderr, says);
  });
}

Deno.test("RFC 5322 §2.1.1: --eml with a line of 998 octets is sent", async () => {
  const eml = `${FROM_ANN}To: b@x.example\n\n${"x".repeat(998)}\n`;
  assertEquals((await run(["--dry-run", ...EML], { stdin: eml })).code, 0);
});

Deno.test("--json: messageId is that of the --eml message", async () => {
  const { stdout } = await converse(
    {
      rule: "",
      talk: SENT,
      args: ["-t", "bob@example.org", ...EML, "--json"],
      stdin: DATED,
      code: 0,
    },
    "none",
    (text) => [text],
  );
  assertEquals(JSON.parse(stdout).messageId, "<1@x>");
});
