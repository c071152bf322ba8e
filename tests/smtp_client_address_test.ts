/**
 * The mail client's addresses: what is accepted, and how it is sent.
 *
 * @module
 */
import {
  BYE,
  DATA,
  type Dialogue,
  DONE,
  MAIL,
  RCPT,
  rcpt,
  SENT,
  testInAllModes,
} from "./smtp_helpers.ts";
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
