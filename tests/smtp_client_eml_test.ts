/**
 * The mail client's finished messages (--eml).
 *
 * @module
 */
import { assertEquals } from "jsr:@std/assert@^1.0.19";
import {
  BYE,
  DATA,
  type Dialogue,
  DONE,
  MINIMAL,
  RCPT,
  run,
  SENT,
  testInAllModes,
} from "./smtp_helpers.ts";
import { type Case, testMessages } from "./smtp_messages.ts";

/** A header to which nothing is added. */
const DATED = "Date: Sat, 28 Nov 2026 22:28:00 +0000\nMessage-ID: <1@x>\n";
const DATED_SIZE = DATED.length + 2;

/** What is declared and sent. */
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
    rule: "RFC 6152 §3: 8-bit octets are not sent without 8BITMIME",
    args: ["-t", "bob@example.org", "--eml", "-"],
    stdin: DATED + "\ncaf\xc3\xa9\n",
    talk: BYE,
    code: 65,
    says: "8BITMIME",
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

const TO = ["-t", "bob@example.org"];

/** What of a finished message is changed. */
const MESSAGES: Case[] = [
  {
    rule: "--eml keeps every octet",
    args: [...TO, "--eml", "-"],
    stdin: "Date: 1\r\nMessage-ID: 2\r\nX: \xe9\r\n\r\n.\r\nFrom \xff\r\n",
    raw: /^Date: 1\r\nMessage-ID: 2\r\nX: \xe9\r\n\r\n\.\r\nFrom \xff\r\n$/,
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
