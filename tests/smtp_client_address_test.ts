/**
 * The mail client's addresses: what is accepted, and how it is sent.
 *
 * @module
 */
import {
  BYE,
  converse,
  DATA,
  type Dialogue,
  DONE,
  DRY_RUN,
  MAIL,
  RCPT,
  rcpt,
  run,
  SENT,
  testInAllModes,
} from "./smtp_helpers.ts";
import { UsageError } from "../protocol.ts";
import { assert, assertRejects, assertStringIncludes } from "jsr:@std/assert@^1.0.19";
import { type Case, testMessages } from "./smtp_messages.ts";

/** Addresses in the envelope. */
const DIALOGUES: Dialogue[] = [
  {
    rule: "an address in To, Cc and Bcc gets one RCPT",
    args: ["-t", "bob@example.org", "--cc", "Bob <bob@EXAMPLE.org>", "--bcc", "bob@example.org"],
    talk: SENT,
    code: 0,
  },
  {
    rule: "RFC 5322 §3.6.3: a Bcc address is in the envelope and not in the header",
    args: ["-t", "bob@example.org", "--bcc", "eve@x.example"],
    talk: `${MAIL}\n${RCPT}\n${rcpt("eve")}\n${DATA}\n${DONE}`,
    code: 0,
    message: /^(?![^]*(?:eve@|\nBcc))/,
  },
  {
    rule: "RFC 5321 §2.4: a local part keeps its case",
    args: ["-t", "BoB@example.org"],
    talk: `${MAIL}\nC: RCPT TO:<BoB@example.org>\nS: 250 ok\n${DATA}\n${DONE}`,
    code: 0,
  },
  {
    rule: "RFC 5321 §2.4: local parts that differ in case are two recipients",
    args: ["-t", "bob@example.org,BOB@example.org,bob@EXAMPLE.org"],
    talk: `${MAIL}\n${RCPT}\nC: RCPT TO:<BOB@example.org>\nS: 250 ok\n${DATA}\n${DONE}`,
    code: 0,
  },
  {
    rule: "RFC 5321 §4.1.2: a quoted local part is sent unchanged",
    args: ["-t", '"b\\"o b"@example.org'],
    talk: `${MAIL}\nC: RCPT TO:<"b\\"o b"@example.org>\nS: 250 ok\n${DATA}\n${DONE}`,
    code: 0,
  },
  {
    rule: "RFC 5891: an internationalized domain is sent as A-labels, without SMTPUTF8",
    args: ["-t", "bob@bücher.example"],
    talk: `${MAIL}\nC: RCPT TO:<bob@xn--bcher-kva.example>\nS: 250 ok\n${DATA}\n${DONE}`,
    code: 0,
    message: "To: bob@xn--bcher-kva.example\r\n",
  },
  {
    rule: "RFC 6531 §3.4: UTF-8 in a local part is sent with SMTPUTF8",
    offers: ["SMTPUTF8", "8BITMIME"],
    args: ["-t", "böb@bücher.example"],
    talk: "C: MAIL FROM:<ann@example.org> BODY=8BITMIME SMTPUTF8\nS: 250 ok\n" +
      `RCPTUTF8\n${DATA}\n${DONE}`.replace(
        "RCPTUTF8",
        "C: RCPT TO:<bÃ¶b@xn--bcher-kva.example>\nS: 250 ok",
      ),
    code: 0,
    message: "To: bÃ¶b@xn--bcher-kva.example\r\n",
  },
  {
    rule:
      "RFC 6531 §3.1: an SMTPUTF8 server takes 8-bit octets, even if it does not offer 8BITMIME",
    offers: ["SMTPUTF8"],
    args: ["-t", "böb@example.org"],
    talk: "C: MAIL FROM:<ann@example.org> SMTPUTF8\nS: 250 ok\n" +
      `C: RCPT TO:<bÃ¶b@example.org>\nS: 250 ok\n${DATA}\n${DONE}`,
    code: 0,
  },
  {
    rule: "RFC 6531 §3.5: UTF-8 in a local part is not sent without SMTPUTF8",
    args: ["-t", "böb@example.org"],
    talk: BYE,
    code: 65,
    says: "SMTPUTF8",
  },
];

testInAllModes(DIALOGUES);

const TO = ["-t", "bob@example.org"];
const long = (text: string, count: number) => text.repeat(count);

/** Addresses in the header. */
const HEADERS: Case[] = [
  {
    rule: "RFC 5322 §3.2.4: a display name with a comma is a quoted string",
    args: ["-t", '"Doe, John" <john@example.org>', "-m", "x"],
    fields: { To: '"Doe, John" <john@example.org>' },
  },
  {
    rule: "RFC 5322 §3.2.4: quotes in a display name are escaped",
    args: ["-t", '"John \\"Jo\\" Doe" <john@example.org>', "-m", "x"],
    raw: /To: "John \\"Jo\\" Doe" <john@example\.org>\r\n/,
  },
  {
    rule: "RFC 2047 §5: a display name that is not ASCII is an encoded word",
    args: ["-t", "Jörg Müller <j@example.org>", "-m", "x"],
    fields: { To: "Jörg Müller <j@example.org>" },
  },
  {
    rule: "RFC 5322 §3.2.4: a display name with dots is a quoted string",
    args: ["-t", "J. R. Doe <j@example.org>", "-m", "x"],
    raw: /To: "J\. R\. Doe" <j@/,
  },
  {
    rule: "RFC 2047 §5: a display name that looks like an encoded word is encoded",
    args: ["-t", "=?utf-8?q?Eve?= <e@example.org>", "-m", "x"],
    raw: /To: =\?utf-8\?.\?.*\?= <e@/,
    not: /\?q\?Eve/,
  },
  {
    rule: "RFC 2047 §2: a long display name becomes several encoded words",
    args: ["-t", `${long("Änne ", 40)}<a@example.org>`, "-m", "x"],
    fields: { To: `${long("Änne ", 40)}<a@example.org>` },
  },
  {
    rule: "RFC 5322 §2.1.1: a long ASCII display name fits the line",
    args: ["-t", `${long("Anne B, ", 20).replaceAll(",", "")}<a@example.org>`, "-m", "x"],
  },
  {
    rule: "RFC 5322 §2.2.3: a hundred recipients are folded, one a line",
    args: [
      "-t",
      Array.from({ length: 100 }, (_, at) => `Nr. ${at} <r${at}@example.org>`).join(","),
      "-m",
      "x",
    ],
    raw: /To: "Nr\. 0" <r0@example\.org>,\r\n "Nr\. 1" <r1/,
  },
  {
    rule: "RFC 5322 §3.6.2: Cc and Reply-To are in the header",
    args: [...TO, "--cc", "c@example.org", "--reply-to", "Ann <r@example.org>", "-m", "x"],
    fields: { Cc: "c@example.org", "Reply-To": "Ann <r@example.org>" },
  },
  {
    rule: "RFC 5322 §3.6.3: with Bcc alone To is an empty group",
    args: ["--bcc", "eve@example.org", "-m", "x"],
    fields: { To: "undisclosed-recipients:;" },
    not: /eve@/,
  },
  {
    rule: "RFC 5322 §3.6.3: Bcc with To is not in the message",
    args: [...TO, "--bcc", "eve@example.org", "-m", "x"],
    not: /eve@|^Bcc/im,
  },
  {
    rule: "RFC 5891: a domain in the header has A-labels",
    args: ["-t", "Bob <bob@bücher.example>", "-m", "x"],
    fields: { To: "Bob <bob@xn--bcher-kva.example>" },
  },
  {
    rule: "RFC 5322 §3.4.1: a quoted local part is in the header unchanged",
    args: ["-t", '"a b"@example.org', "-m", "x"],
    raw: /To: "a b"@example\.org\r\n/,
  },
  {
    rule: "RFC 5321 §4.1.3: an address literal is in the header unchanged",
    args: ["-t", "bob@[192.0.2.1]", "-m", "x"],
    raw: /To: bob@\[192\.0\.2\.1\]\r\n/,
  },
  {
    rule: "RFC 6532 §3.2: a local part that is not ASCII is UTF-8 in the header",
    args: ["-t", "böb@example.org", "-m", "x"],
    eightBit: true,
    raw: /To: b\xc3\xb6b@example\.org\r\n/,
  },
];

testMessages(HEADERS);

/** Recipients that are accepted, and how they are sent. */
const ACCEPTED: [rule: string, written: string, path: string][] = [
  [
    "RFC 5321 §4.5.3.1.1: a local part of 64 octets",
    `${long("x", 64)}@example.org`,
    `${long("x", 64)}@example.org`,
  ],
  [
    "RFC 5321 §4.5.3.1.1: a local part over 64 octets, since a client sets no limits",
    `${long("x", 65)}@example.org`,
    `${long("x", 65)}@example.org`,
  ],
  [
    "RFC 5322 §2.1.1: the longest address that fits in a line with the name of any field",
    `${long("x", 946)}@example.org`,
    `${long("x", 946)}@example.org`,
  ],
  ["RFC 5322 §4.4: a comma at the end of a list", "bob@example.org,", "bob@example.org"],
  ["RFC 5322 §4.4: an empty member of a list", "bob@example.org, ,", "bob@example.org"],
  [
    "RFC 5892 §A.1: an IDN with a zero width non-joiner",
    "bob@نامه\u200cای.example",
    "bob@xn--mgba3gch31f060k.example",
  ],
  [
    "RFC 5321 §4.1.2: dots in a quoted local part",
    '"a..b."@docomo.example',
    '"a..b."@docomo.example',
  ],
  ["RFC 5322 §3.4: a comment after an address", "bob@example.org (Bob)", "bob@example.org"],
  [
    "RFC 5322 §3.4: a comment with a comma",
    "bob@example.org (Bob, the builder)",
    "bob@example.org",
  ],
  ["RFC 5322 §3.4: angle brackets without a name", "<bob@example.org>", "bob@example.org"],
  [
    "RFC 1035 §2.3.4: a label of 63 octets",
    `bob@${long("x", 63)}.example`,
    `bob@${long("x", 63)}.example`,
  ],
  [
    "RFC 1035 §2.3.4: a domain of 253 octets",
    `bob@${long("abcdefghi.", 25)}abc`,
    `bob@${long("abcdefghi.", 25)}abc`,
  ],
  [
    "RFC 1123 §2.1: a label with digits first, inside and last",
    "bob@9a9a9.example",
    "bob@9a9a9.example",
  ],
  ["RFC 5321 §4.1.3: an IPv4 literal", "bob@[192.0.2.1]", "bob@[192.0.2.1]"],
  ["RFC 5321 §4.1.3: an IPv6 literal", "bob@[IPv6:2001:db8::1]", "bob@[IPv6:2001:db8::1]"],
];

for (const [rule, written, path] of ACCEPTED) {
  for (const args of [["-t", written], ["--", written]]) {
    const how = args[0] === "-t" ? "by -t" : "as an operand";
    Deno.test(`${rule} is accepted [${how}]`, async () => {
      const talk = `${MAIL}\nC: RCPT TO:<${path}>\nS: 250 ok\n${DATA}\n${DONE}`;
      await converse({ rule, talk, args, code: 0 }, "none", (text) => [text]);
    });
  }
}

Deno.test("an operand is an envelope recipient, and not in the header", async () => {
  const talk = `${MAIL}\n${RCPT}\n${rcpt("eve")}\n${DATA}\n${DONE}`;
  const args = ["-t", "bob@example.org", "eve@x.example"];
  const { messages } = await converse({ rule: "", talk, args, code: 0 }, "none", (text) => [text]);
  assert(!messages.join("").includes("eve@"));
});

/** Addresses that are refused, and what the message says. */
const REFUSED: [written: string, says: string][] = [
  ["bob", "expected an address"],
  ["bob@", "expected an address"],
  [`${long("x", 947)}@example.org`, "expected addresses of at most 958 octets"],
  [`${long("é", 473)}x@example.org`, "expected addresses of at most 958 octets"],
  ["@example.org", "expected an address"],
  ["b ob@example.org", "expected an address"],
  ["a@b@example.org", "expected an address"],
  ["a@", "expected an address"],
  ["a@b@", "expected an address"],
  ["a@-x.example", "expected an address"],
  ["a@x-.example", "expected an address"],
  ["a@_x.example", "expected an address"],
  ["a@x_.example", "expected an address"],
  ["a@.example", "expected an address"],
  ["a@x_y.example", "expected an address"],
  ["a@x.example.", "expected an address"],
  ["a@x..example", "expected an address"],
  [`a@${long("x", 64)}.example`, "expected an address"],
  [`a@${long("abcdefghi.", 25)}abcd`, "expected an address"],
  ["a@[999.1.1.1]", "expected an address"],
  ["a@999.1.1.1", "expected an address"],
  ["a@[IPv6:::1]/[x]", "expected an address"],
  ['"a"b"c"@x.example', "expected an address"],
  ['"a\\é"@x.example', "expected an address"],
  ["a..b@-x.example", "expected an address"],
  ["a@[IPv6:::::]", "expected an address"],
  ["a@[IPv6:192.0.2.1]", "expected an address"],
  ["a@１.２", "expected an address"],
  ["a@x⑴.example", "expected an address"],
  ["a..b@docomo.example", 'dots need quotes: "a..b"@docomo.example'],
  ["ab.@docomo.example", 'dots need quotes: "ab."@docomo.example'],
  [".ab@docomo.example", 'dots need quotes: ".ab"@docomo.example'],
  ["Doe, John <j@example.org>", "expected an address"],
  ["a@x.example <b@x.example> <c@x.example>", "expected addresses, separated by commas"],
  ["<a@x.example> Ann", "expected addresses, separated by commas"],
  ['"open <j@example.org>', "expected addresses, separated by commas"],
  ["<j@example.org", "expected addresses, separated by commas"],
  ["bob@example.org\r\nDATA", "expected addresses, separated by commas"],
  ["bob@exa\0mple.org", "expected addresses, separated by commas"],
  ["a\u202eb@example.org", "expected an address"],
  ["", "expected addresses, separated by commas"],
  [" , ", "expected addresses, separated by commas"],
];

for (const [written, says] of REFUSED) {
  Deno.test(`RFC 5321 §4.1.2: the recipient ${JSON.stringify(written)} is refused`, async () => {
    const error = await assertRejects(() => run([...DRY_RUN, "-t", written]), UsageError, says);
    assertStringIncludes(error.message, "Cannot use -t ");
    if (says === "expected an address") assert(!error.message.includes("dots need quotes"));
  });
}

const ID_AND_DATE = [
  "-H",
  "Message-ID: <1.a@example.org>",
  "-H",
  "Date: Sat, 28 Nov 2026 22:28:00 +0100",
];

/** Fields of -H. */
const FIELDS: Case[] = [
  {
    rule: "RFC 2047 §5: Sender by -H keeps its address outside encoded words",
    args: [...TO, "-m", "x", "-H", "Sender: Jörg Müller <j@example.org>"],
    raw: /^Sender: =\?utf-8\?[^ ]*\?= <j@example\.org>\r$/m,
  },
  ...[
    ...["Resent-To", "Resent-Cc", "Resent-From", "Resent-Reply-To", "Mail-Followup-To"],
    ...["Mail-Reply-To", "Errors-To", "Disposition-Notification-To", "Return-Receipt-To"],
    ...["X-Original-To", "Apparently-To"],
  ].map((name) => ({
    rule: `RFC 2047 §5: ${name} by -H keeps its addresses outside encoded words`,
    args: [...TO, "-m", "x", "-H", `${name}: Jörg <j@example.org>, b@bücher.example`],
    raw: new RegExp(`^${name}: =.*= <j@example\\.org>,\\r\\n b@xn--bcher-kva\\.example\\r$`, "m"),
  })),
  {
    rule: "RFC 2047 §5: a URL with =? in List-Unsubscribe stays as it is",
    args: [...TO, "-m", "x", "-H", "List-Unsubscribe: <https://x.example/?a=?utf-8?q?b?=>"],
    raw: /^List-Unsubscribe: <https:\/\/x\.example\/\?a=\?utf-8\?q\?b\?=>\r$/m,
  },
  {
    rule: "RFC 2047 §2: a URL with =? that is not an encoded word stays as it is",
    args: [...TO, "-m", "x", "-H", "X-Link: https://x.example/?a=?b&c=?d"],
    raw: /^X-Link: https:\/\/x\.example\/\?a=\?b&c=\?d\r$/m,
  },
  {
    rule: "RFC 5322 §2.1.1: a field name of 75 octets is accepted",
    args: [...TO, "-m", "x", "-H", `X${long("x", 74)}: y`],
    raw: /^X[x]{74}: y\r$/m,
  },
  {
    rule: "RFC 5322 §2.1.1: References with an id of 998 octets on its line is accepted",
    args: [...TO, "-m", "x", "-H", `X-Long-References: <${long("x", 970)}@x>`],
    raw: /^X-Long-References: <x{970}@x>\r$/m,
  },
  {
    rule: "RFC 5322 §3.6.4: -H replaces Message-ID and Date",
    args: [...TO, "-m", "x", ...ID_AND_DATE],
    raw: /\r\nDate: Sat, 28 Nov 2026 22:28:00 \+0100\r\nMessage-ID: <1\.a@example\.org>\r\n/,
    not: /Date:[^]*Date:|Message-ID:[^]*Message-ID:/i,
  },
];

testMessages(FIELDS);

/** Values of Date, and how they are sent (RFC 5322 §3.3): a name of a zone is obsolete (§4.3). */
const DATES: [given: string, sent: string][] = [
  ["Sat, 28 Nov 2026 22:28:00 -0800", "Sat, 28 Nov 2026 22:28:00 -0800"],
  ["28 Nov 2026 22:28 +0100", "28 Nov 2026 22:28 +0100"],
  ["1 Nov 2026 22:28:00 GMT", "1 Nov 2026 22:28:00 +0000"],
  ["Sat, 28 Nov 2026 22:28:00 UT", "Sat, 28 Nov 2026 22:28:00 +0000"],
];

testMessages([{
  rule: "RFC 5322 §4.3: GMT in another field by -H stays",
  args: [...TO, "-m", "x", "-H", "X-Time: 1 Nov 2026 22:28:00 GMT"],
  raw: /^X-Time: 1 Nov 2026 22:28:00 GMT\r$/m,
}, {
  rule: "RFC 5322 §4.3: Resent-Date by -H is sent with a numeric zone",
  args: [...TO, "-m", "x", "-H", "Resent-Date: 1 Nov 2026 22:28:00 GMT"],
  raw: /^Resent-Date: 1 Nov 2026 22:28:00 \+0000\r$/m,
}]);

testMessages(DATES.map(([given, sent]) => ({
  rule: `RFC 5322 §4.3: -H "Date: ${given}" is sent with a numeric zone`,
  args: [...TO, "-m", "x", "-H", `Date: ${given}`],
  raw: new RegExp(`^Date: ${RegExp.escape(sent)}\\r$`, "m"),
})));

const BAD_FIELDS: [field: string, says: string][] = [
  ["Sender: nobody", "expected an address"],
  ["Sender:", "expected one address"],
  ["Sender: a@x.example, b@x.example", "expected one address"],
  ["Resent-Sender: a@x.example, b@x.example", "expected one address"],
  ["Resent-From:", "expected addresses"],
  ["Resent-Message-ID: 1", "expected an id"],
  ["Resent-Date: today", "expected a date"],
  ["Message-ID: 1", "expected an id, as in <1@example.org>"],
  ["Message-ID: <a b@x>", "expected an id"],
  ["Message-ID: <a@b c>", "expected an id"],
  ["Date: today", "expected a date, as in Thu, 01 Jan 1970 00:00:00 +0000"],
  ["Date: Sat, 028 Nov 2026 22:28:00 +0100", "expected a date"],
  ["Date: Sat, 28 Nov 2026 22:28:00 0100", "expected a date"],
  ["Date: Sat, 28 Nov 2026 22:28:00 *0100", "expected a date"],
  ["Date: Sat, 28 Nov 2026 22:28:00 EST", "expected a date"],
  ["Date: Sat, 31 Feb 2026 99:28:00 +0100", "expected a date"],
  [`X${long("x", 75)}: y`, "expected 'Name: value'"],
  ["X Y: z", "expected 'Name: value'"],
  ["X: a\x07b", "expected 'Name: value'"],
  ["List-Id: Grüße <list.example>", "expected printable ASCII"],
  [`References: <${long("x", 1000)}@x>`, "in lines of 998 octets"],
];

for (const [field, says] of BAD_FIELDS) {
  Deno.test(`RFC 5322 §3.6: -H ${JSON.stringify(field.slice(0, 40))} is refused`, async () => {
    await assertRejects(() => run([...DRY_RUN, ...TO, "-H", field]), UsageError, says);
  });
}

/** Fields that other options, or the program, write. */
const OWN = ["From", "to", "CC", "Bcc", "Resent-Bcc", "Reply-To", "Subject", "MIME-Version"]
  .concat(["Content-Type", "Content-Transfer-Encoding", "Content-ID"]);

for (const name of OWN) {
  Deno.test(`RFC 5322 §3.6: ${name} by -H is refused, because it has an option or is fixed`, async () => {
    const args = [...DRY_RUN, ...TO, "-H", `${name}: a@x.example`];
    await assertRejects(() => run(args), UsageError, "a field that no option writes");
  });
}

/** Structured fields, in which an encoded word has no meaning. */
const STRUCTURED = ["In-Reply-To", "References", "Return-Path", "Received", "List-Unsubscribe"]
  .concat(["Archived-At", "Auto-Submitted", "Precedence", "Importance", "Priority", "X-Priority"])
  .concat(["Feedback-ID", "DKIM-Signature", "Authentication-Results", "Original-Recipient"])
  .concat(["Require-Recipient-Valid-Since"]);

for (const name of STRUCTURED) {
  Deno.test(`RFC 2047 §5: ${name} by -H that is not ASCII is refused`, async () => {
    const args = [...DRY_RUN, ...TO, "-H", `${name}: Grüße`];
    await assertRejects(() => run(args), UsageError, "expected printable ASCII in this field");
  });
}
