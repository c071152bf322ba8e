/**
 * The mail client's session, from the greeting to QUIT, as transcripts against servers on real
 * sockets: in the clear, after STARTTLS and in implicit TLS, at once and octet by octet.
 *
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "jsr:@std/assert@^1.0.19";
import { Wire } from "../protocol.ts";
import { sendMail, TIMES } from "../smtp_client.ts";
import { LOCAL, octetsOf } from "./helpers.ts";
import {
  BOB,
  BYE,
  CLEAR,
  converse,
  DATA,
  type Dialogue,
  DONE,
  groupOf,
  MAIL,
  playServer,
  prelude,
  RCPT,
  rcpt,
  run,
  SENT,
  testDialogues,
  testInAllModes,
  THREE,
} from "./smtp_helpers.ts";

/** The beginning of a session. The transcripts are whole. */
const BEGINNINGS: Dialogue[] = [
  {
    rule: "RFC 5321 §4.2: a greeting may have several lines",
    talk: `S: 220-mx\nS: 220-no spam\nS: 220 ok\nC: EHLO [127.0.0.1]\nS: 250 mx\n${SENT}`,
    args: CLEAR,
    code: 0,
  },
  {
    rule: "RFC 5321 §3.1: a 554 greeting is exit 69",
    talk: `S: 554 5.7.1 go away\n${BYE}`,
    args: CLEAR,
    code: 69,
    says: "554 5.7.1 go away",
  },
  {
    rule: "RFC 5321 §3.8: a 421 greeting is exit 75, without QUIT",
    talk: "S: 421 busy",
    args: CLEAR,
    code: 75,
  },
  {
    rule: "RFC 5321 §4.2.1: a 450 greeting is exit 75",
    talk: `S: 450 busy\n${BYE}`,
    args: CLEAR,
    code: 75,
  },
  {
    rule: "RFC 5321 §4.2.1: a greeting with 220 and 554 is a protocol error",
    talk: "S: 220-mx\nS: 554 no",
    args: CLEAR,
    code: 76,
    says: "mixed",
  },
  {
    rule: "RFC 5321 §3.1: a connection closed before the greeting is exit 75",
    talk: "GONE:",
    args: CLEAR,
    code: 75,
    says: "smtp_client: If the port starts with TLS, as 465: --tls implicit\n",
  },
  {
    rule: "RFC 5321 §4.2: an SSH banner is not a greeting",
    talk: 'RAW: "SSH-2.0-OpenSSH_9.2\\r\\n"',
    args: CLEAR,
    code: 76,
    says: "does not speak SMTP",
  },
  {
    rule: "RFC 5321 §4.2: an HTTP response is not a greeting",
    talk: 'RAW: "HTTP/1.1 400 Bad Request\\r\\n\\r\\n"',
    args: CLEAR,
    code: 76,
  },
  {
    rule: "RFC 5321 §4.5.3.1.5: a reply line without end is refused by its length",
    talk: `RAW: ${JSON.stringify(`220 ${"x".repeat(70_000)}`)}`,
    args: CLEAR,
    code: 76,
    says: "longer than",
  },
  {
    rule: "RFC 5321 §4.2.1: a reply of 600 lines without end is refused",
    talk: `RAW: ${JSON.stringify("220-x\r\n".repeat(600))}`,
    args: CLEAR,
    code: 76,
    says: "more than 512 lines",
  },
  {
    rule: "RFC 5321 §4.5.3.1.5: a reply line of 65,536 octets is read",
    talk: `S: 220 ${"x".repeat(65_530)}\nC: EHLO [127.0.0.1]\nS: 250 mx\n${SENT}`,
    args: CLEAR,
    code: 0,
  },
  {
    rule: "RFC 5321 §4.5.3.1.5: a reply line of 65,537 octets is refused",
    talk: `S: 220 ${"x".repeat(65_531)}`,
    args: CLEAR,
    code: 76,
    says: "longer than 65536 octets",
  },
  {
    rule: "RFC 5321 §4.2.1: a reply of 512 lines is read",
    talk: `RAW: ${
      JSON.stringify("220-x\r\n".repeat(511))
    }\nS: 220 x\nC: EHLO [127.0.0.1]\nS: 250 mx\n${SENT}`,
    args: CLEAR,
    code: 0,
  },
  {
    rule: "RFC 5321 §4.2.1: a reply of 513 lines is refused",
    talk: `RAW: ${JSON.stringify("220-x\r\n".repeat(512) + "220 x\r\n")}`,
    args: CLEAR,
    code: 76,
    says: "more than 512 lines",
  },
  {
    rule: "RFC 5321 §4.2.1: a reply of 1,048,576 octets is read",
    talk: `RAW: ${JSON.stringify(`220-${"x".repeat(65_530)}\r\n`.repeat(16))}\nS: 220 ${
      "x".repeat(28)
    }\nC: EHLO [127.0.0.1]\nS: 250 mx\n${SENT}`,
    args: CLEAR,
    code: 0,
  },
  {
    rule: "RFC 5321 §4.2.1: a reply of 1,048,577 octets is refused",
    talk: `RAW: ${JSON.stringify(`220-${"x".repeat(65_530)}\r\n`.repeat(16))}\nS: 220 ${
      "x".repeat(29)
    }`,
    args: CLEAR,
    code: 76,
    says: "or 1048576 octets",
  },
  {
    rule: "a reply of 1,000 chars is shown whole",
    talk: `S: 554 ${"x".repeat(995)}y\n${BYE}`,
    args: CLEAR,
    code: 69,
    says: /the greeting: 554 x{995}y$/m,
  },
  {
    rule: "a reply of 1,001 chars is cut where it is shown",
    talk: `S: 554 ${"x".repeat(996)}y\n${BYE}`,
    args: CLEAR,
    code: 69,
    says: /the greeting: 554 x{996}…$/m,
  },
  {
    rule: "RFC 5321 §4.2.1: a reply of more than a million octets is refused",
    talk: `RAW: ${JSON.stringify(`220-${"x".repeat(60_000)}\r\n`.repeat(18))}`,
    args: CLEAR,
    code: 76,
    says: "or 1048576 octets",
  },
  {
    rule: "RFC 5321 §4.5.3.1.5: a reply line of 60,000 octets is read",
    talk: `S: 220 ${"x".repeat(60_000)}\nC: EHLO [127.0.0.1]\nS: 250 mx\n${SENT}`,
    args: CLEAR,
    code: 0,
  },
  {
    rule: "RFC 5321 §3.2: after 502 to EHLO the client sends HELO (--tls none)",
    talk: `S: 220 mx\nC: EHLO [127.0.0.1]\nS: 502 what?\nC: HELO [127.0.0.1]\nS: 250 mx\n${SENT}`,
    args: CLEAR,
    code: 0,
  },
  {
    rule: "RFC 5321 §3.2: after 500 to EHLO the client sends HELO (--tls none)",
    talk: `S: 220 mx\nC: EHLO [127.0.0.1]\nS: 500 what?\nC: HELO [127.0.0.1]\nS: 250 mx\n${SENT}`,
    args: CLEAR,
    code: 0,
  },
  {
    rule: "RFC 5321 §4.2.1: after 499 to EHLO the client sends no HELO: exit 75",
    talk: `S: 220 mx\nC: EHLO [127.0.0.1]\nS: 499 later\n${BYE}`,
    args: CLEAR,
    code: 75,
  },
  {
    rule: "RFC 5321 §4.2.1: 221 as a greeting is exit 76",
    talk: `S: 221 mx\n${BYE}`,
    args: CLEAR,
    code: 76,
  },
  {
    rule: "RFC 5321 §3.2: 550 to EHLO and to HELO is exit 69",
    talk: `S: 220 mx\nC: EHLO [127.0.0.1]\nS: 550 no\nC: HELO [127.0.0.1]\nS: 550 no\n${BYE}`,
    args: CLEAR,
    code: 69,
  },
  {
    rule: "RFC 5321 §4.2.1: 451 to EHLO is exit 75",
    talk: `S: 220 mx\nC: EHLO [127.0.0.1]\nS: 451 later\n${BYE}`,
    args: CLEAR,
    code: 75,
  },
  {
    rule: "RFC 5321 §3.8: after 421 to EHLO nothing more is sent",
    talk: "S: 220 mx\nC: EHLO [127.0.0.1]\nS: 421 later",
    args: CLEAR,
    code: 75,
  },
  {
    rule: "RFC 5321 §4.2.1: 220 to EHLO is exit 76",
    talk: `S: 220 mx\nC: EHLO [127.0.0.1]\nS: 220 mx\n${BYE}`,
    args: CLEAR,
    code: 76,
  },
  {
    rule: "RFC 5321 §3.1: a second greeting is a protocol error",
    talk: 'RAW: "220 a\\r\\n220 b\\r\\n"',
    args: CLEAR,
    code: 76,
    says: "Unexpected reply",
  },
  {
    rule: "RFC 5321 §3.8: 421 right after the greeting is exit 75",
    talk: 'RAW: "220 a\\r\\n421 closing\\r\\n"',
    args: CLEAR,
    code: 75,
  },
  {
    rule: "RFC 5321 §4.1.1.1: --helo sets the name in EHLO",
    talk: `S: 220 mx\nC: EHLO me.example\nS: 250 mx\n${SENT}`,
    args: [...CLEAR, "--helo", "me.example"],
    code: 0,
  },
];

/** Sending a mail, after EHLO. */
const MAILS: Dialogue[] = [
  {
    rule: "RFC 5321 §3.3: MAIL, RCPT, DATA and a final dot send a mail",
    talk: SENT,
    code: 0,
    says: "sent to 1 recipient (",
    message: "\r\nhi\r\n",
  },
  ...["hi", "hi\n", "hi\r\n"].map((stdin): Dialogue => ({
    rule: `RFC 5321 §4.1.1.4: ${
      JSON.stringify(stdin)
    } is followed by one line end and the final dot`,
    talk: SENT,
    stdin,
    code: 0,
    message: /\r\n\r\nhi\r\n$/,
  })),
  {
    rule: "RFC 5321 §3.3: each recipient gets its own RCPT",
    args: THREE,
    talk: `${MAIL}\n${rcpt("a")}\n${rcpt("b")}\n${rcpt("c")}\n${DATA}\n${DONE}`,
    code: 0,
    says: "sent to 3 recipients",
  },
  {
    rule: "RFC 5321 §3.3: one recipient refused for good, the others get the mail: exit 67",
    args: THREE,
    talk: `${MAIL}\n${rcpt("a")}\n${rcpt("b", "550 5.1.1 nobody here")}\n${
      rcpt("c")
    }\n${DATA}\n${DONE}`,
    code: 67,
    says: /sent to 2 recipients.*b@x\.example>: 550 5\.1\.1 nobody here/,
  },
  {
    rule: "RFC 5321 §3.3: one recipient refused for now, the others get the mail: exit 67",
    args: THREE,
    talk: `${MAIL}\n${rcpt("a", "452 4.5.3 too many")}\n${rcpt("b")}\n${
      rcpt("c")
    }\n${DATA}\n${DONE}`,
    code: 67,
    says: "452 4.5.3",
  },
  {
    rule: "RFC 5321 §3.3: all recipients refused for good: no DATA, exit 69",
    args: THREE,
    talk: `${MAIL}\n${rcpt("a", "550 no")}\n${rcpt("b", "551 no")}\n${rcpt("c", "553 no")}\n${BYE}`,
    code: 69,
  },
  {
    rule: "RFC 5321 §3.3: all recipients refused, one of them for now: exit 75",
    args: ["-t", "a@x.example,b@x.example"],
    talk: `${MAIL}\n${rcpt("a", "550 no")}\n${rcpt("b", "450 greylisted")}\n${BYE}`,
    code: 75,
  },
];

/** Replies of every kind at every step, after EHLO. */
const REPLIES: Dialogue[] = [
  {
    rule: "RFC 5321 §4.2: a code without text is a reply",
    talk: "C: MAIL FROM:<ann@example.org>\nS: 250\nC: RCPT TO:<bob@example.org>\nS: 250\n" +
      "C: DATA\nS: 354\nM:\nS: 250\nC: QUIT\nS: 221",
    code: 0,
  },
  {
    rule: "RFC 5321 §4.2.1: a reply may have several lines at every step",
    talk: "C: MAIL FROM:<ann@example.org>\nS: 250-2.1.0 Sender\nS: 250-\nS: 250 ok\n" +
      "C: RCPT TO:<bob@example.org>\nS: 250-a\nS: 250 b\nC: DATA\nS: 354-go\nS: 354 on\nM:\n" +
      `S: 250-queued\nS: 250 as 7\n${BYE}`,
    code: 0,
    says: "250 queued as 7",
  },
  {
    rule: "RFC 5321 §4.2.3: 251 and 252 accept a recipient",
    args: ["-t", "a@x.example,b@x.example"],
    talk: `${MAIL}\n${rcpt("a", "251 will forward")}\n${
      rcpt("b", "252 will try")
    }\n${DATA}\n${DONE}`,
    code: 0,
  },
  {
    rule: "RFC 5321 §4.2.1: 550 to MAIL is exit 69",
    talk: `C: MAIL FROM:<ann@example.org>\nS: 550 5.7.1 not you\n${BYE}`,
    code: 69,
    says: "550 5.7.1 not you",
  },
  {
    rule: "RFC 5321 §4.2.1: 451 to MAIL is exit 75",
    talk: `C: MAIL FROM:<ann@example.org>\nS: 451 4.3.0 later\n${BYE}`,
    code: 75,
  },
  {
    rule: "RFC 5321 §4.2.1: 354 to MAIL is exit 76",
    talk: `C: MAIL FROM:<ann@example.org>\nS: 354 go\n${BYE}`,
    code: 76,
  },
  {
    rule: "RFC 5321 §4.2.1: 550 to the only RCPT is exit 69",
    talk: `${MAIL}\nC: RCPT TO:<bob@example.org>\nS: 550 5.1.1 who?\n${BYE}`,
    code: 69,
    says: "RCPT TO:<bob@example.org>: 550 5.1.1 who?",
  },
  {
    rule: "RFC 5321 §4.2.1: 450 to the only RCPT is exit 75",
    talk: `${MAIL}\nC: RCPT TO:<bob@example.org>\nS: 450 4.7.1 greylisted\n${BYE}`,
    code: 75,
  },
  {
    rule: "RFC 5321 §4.2.1: 354 to RCPT is exit 76",
    talk: `${MAIL}\nC: RCPT TO:<bob@example.org>\nS: 354 ?\n${BYE}`,
    code: 76,
  },
  {
    rule: "RFC 5321 §4.2.1: 554 to DATA is exit 69",
    talk: `${MAIL}\n${RCPT}\nC: DATA\nS: 554 5.5.1 no\n${BYE}`,
    code: 69,
  },
  {
    rule: "RFC 5321 §4.2.1: 451 to DATA is exit 75",
    talk: `${MAIL}\n${RCPT}\nC: DATA\nS: 451 4.3.0 later\n${BYE}`,
    code: 75,
  },
  {
    rule: "RFC 5321 §4.1.1.4: after 250 to DATA no message is sent",
    talk: `${MAIL}\n${RCPT}\nC: DATA\nS: 250 ok\n${BYE}`,
    code: 76,
  },
  {
    rule: "RFC 5321 §4.2.1: 554 to the message is exit 69",
    talk: `${MAIL}\n${RCPT}\n${DATA}\nS: 554 5.7.1 spam\n${BYE}`,
    code: 69,
    says: "554 5.7.1 spam",
  },
  {
    rule: "RFC 5321 §4.2.1: 452 to the message is exit 75",
    talk: `${MAIL}\n${RCPT}\n${DATA}\nS: 452 4.3.1 full\n${BYE}`,
    code: 75,
  },
  {
    rule: "RFC 5321 §4.2.1: 354 to the message is exit 76",
    talk: `${MAIL}\n${RCPT}\n${DATA}\nS: 354 more\n${BYE}`,
    code: 76,
  },
  {
    rule: "RFC 5321 §3.8: after 421 to MAIL nothing more is sent",
    talk: "C: MAIL FROM:<ann@example.org>\nS: 421 4.3.2 closing",
    code: 75,
  },
  {
    rule: "RFC 5321 §3.8: after 421 to RCPT nothing more is sent",
    talk: `${MAIL}\nC: RCPT TO:<bob@example.org>\nS: 421 closing`,
    code: 75,
  },
  {
    rule: "RFC 5321 §3.8: after 421 to DATA nothing more is sent",
    talk: `${MAIL}\n${RCPT}\nC: DATA\nS: 421 closing`,
    code: 75,
  },
  {
    rule: "RFC 5321 §3.8: after 421 to the message nothing more is sent",
    talk: `${MAIL}\n${RCPT}\n${DATA}\nS: 421 closing`,
    code: 75,
  },
  {
    rule: "RFC 5321 §3.8: a connection closed at MAIL is exit 75",
    talk: "C: MAIL FROM:<ann@example.org>\nGONE:",
    code: 75,
    says: "Connection lost at MAIL FROM:<ann@example.org>: Server closed the connection\n",
  },
  {
    rule: "RFC 5321 §3.8: a connection closed at RCPT is exit 75",
    talk: `${MAIL}\nC: RCPT TO:<bob@example.org>\nGONE:`,
    code: 75,
  },
  {
    rule: "RFC 5321 §3.8: a connection closed at DATA is exit 75",
    talk: `${MAIL}\n${RCPT}\nC: DATA\nGONE:`,
    code: 75,
  },
  {
    rule: "RFC 5321 §4.5.3.2.6: a connection closed after the final dot may mean delivery: exit 75",
    talk: `${MAIL}\n${RCPT}\n${DATA}\nGONE:`,
    code: 75,
    says: "may have been delivered",
  },
  {
    rule: "RFC 5321 §4.2.1: a connection closed inside a reply is exit 75",
    talk: "C: MAIL FROM:<ann@example.org>\nS: 250-half\nGONE:",
    code: 75,
  },
  {
    rule: "RFC 5321 §4.1.1.10: 500 to QUIT after an accepted message is exit 0",
    talk: `${MAIL}\n${RCPT}\n${DATA}\nS: 250 ok\nC: QUIT\nS: 500 what?`,
    code: 0,
  },
  {
    rule: "RFC 5321 §4.1.1.10: a malformed reply to QUIT after an accepted message is exit 0",
    talk: `${MAIL}\n${RCPT}\n${DATA}\nS: 250 ok\nC: QUIT\nS: bye!`,
    code: 0,
  },
  {
    rule: "RFC 5321 §4.1.1.10: a connection closed after an accepted message is exit 0",
    talk: `${MAIL}\n${RCPT}\n${DATA}\nS: 250 ok\nGONE:`,
    code: 0,
  },
  {
    rule: "RFC 5321 §4.1.1.10: a connection closed at QUIT after an accepted message is exit 0",
    talk: `${MAIL}\n${RCPT}\n${DATA}\nS: 250 ok\nC: QUIT\nGONE:`,
    code: 0,
  },
  {
    rule: "RFC 5321 §4.2.1: two codes in one reply are a protocol error",
    talk: "C: MAIL FROM:<ann@example.org>\nS: 250-ok\nS: 550 no",
    code: 76,
    says: "mixed 250 and 550",
  },
  ...["2x0 ok", "25", " 250 ok", "250_ok", "199 ok", "650 ok", "2500 ok", "", "SSH-2.0-OpenSSH_9"]
    .map((reply) => ({
      rule: `RFC 5321 §4.2: the reply "${reply}" is a protocol error`,
      talk: `C: MAIL FROM:<ann@example.org>\nRAW: ${JSON.stringify(`${reply}\r\n`)}`,
      code: 76,
      says: "does not speak SMTP",
    })),
  {
    rule: "RFC 5321 §2.3.8: LF alone does not end a reply line",
    talk: `C: MAIL FROM:<ann@example.org>\nRAW: "250 ok\\n"`,
    code: 76,
  },
  {
    rule: "RFC 5321 §2.3.8: CR alone inside a reply line is a protocol error",
    talk: `C: MAIL FROM:<ann@example.org>\nRAW: "250 a\\rb\\r\\n"`,
    code: 76,
  },
  {
    rule: "control characters of a reply are escaped before they reach a terminal",
    talk:
      `C: MAIL FROM:<ann@example.org>\nRAW: "550 \\u001b]0;x\\u0007 \\u009b2J caf\\u00c3\\u00a9 \\u00e2\\u0080\\u00ae\\r\\n"\n${BYE}`,
    code: 69,
    says: "550 \\x1b]0;x\\x07",
  },
];

/** Groups of commands, where PIPELINING is offered. */
const PIPELINES: Dialogue[] = [
  {
    offers: ["pipelining"],
    rule: "RFC 2920 §3.1: MAIL and all RCPT are sent before the first reply is read",
    args: THREE,
    talk:
      `C: MAIL FROM:<ann@example.org>\nC: RCPT TO:<a@x.example>\nC: RCPT TO:<b@x.example>\nC: RCPT TO:<c@x.example>\nS: 250 ok\nS: 250 ok\nS: 550 no\nS: 250 ok\n${DATA}\n${DONE}`,
    code: 67,
  },
  {
    offers: ["pipelining"],
    rule: "RFC 2920 §3.1: after 550 to MAIL the refusal of MAIL is reported, not that of RCPT",
    talk:
      `C: MAIL FROM:<ann@example.org>\nC: RCPT TO:<bob@example.org>\nS: 550 no\nS: 503 first MAIL\n${BYE}`,
    code: 69,
    says: "MAIL FROM:<ann@example.org>: 550 no",
  },
  {
    rule: "RFC 5321 §3.8: 421 in the middle of a pipelined group ends the session at once",
    offers: ["pipelining"],
    args: THREE,
    talk: "C: MAIL FROM:<ann@example.org>\nC: RCPT TO:<a@x.example>\nC: RCPT TO:<b@x.example>\n" +
      "C: RCPT TO:<c@x.example>\nS: 250 ok\nS: 250 ok\nS: 421 4.3.2 closing\nGONE:",
    code: 75,
    says: "Server refused RCPT TO:<b@x.example>: 421 4.3.2 closing",
  },
  {
    offers: ["pipelining"],
    rule: "RFC 2920 §3.1: 421 at the end of a pipelined group ends the session",
    talk: "C: MAIL FROM:<ann@example.org>\nC: RCPT TO:<bob@example.org>\nS: 250 ok\nS: 421 bye",
    code: 75,
  },
  {
    offers: ["pipelining"],
    rule: "RFC 2920 §3.1: a connection closed inside a pipelined group is exit 75",
    talk: "C: MAIL FROM:<ann@example.org>\nC: RCPT TO:<bob@example.org>\nS: 250 ok\nGONE:",
    code: 75,
    says: "RCPT TO",
  },
  {
    offers: ["pipelining"],
    rule: "RFC 2920 §3.1: one reply too many after a pipelined group is a protocol error",
    talk:
      'C: MAIL FROM:<ann@example.org>\nC: RCPT TO:<bob@example.org>\nRAW: "250 a\\r\\n250 b\\r\\n354 early\\r\\n"',
    code: 76,
    says: "Unexpected reply",
  },
  {
    offers: ["pipelining"],
    rule: "RFC 5321 §4.1.1.4: a 554 right after the 354 is reported",
    talk:
      `C: MAIL FROM:<ann@example.org>\nC: RCPT TO:<bob@example.org>\nS: 250 a\nS: 250 b\nC: DATA\nRAW: "354 go\\r\\n554 5.7.1 no\\r\\n"\nGONE:`,
    code: 69,
    says: "554 5.7.1 no",
  },
  {
    offers: ["pipelining"],
    rule: "RFC 5321 §4.1.1.4: a 250 right after the 354 accepts nothing",
    talk:
      `C: MAIL FROM:<ann@example.org>\nC: RCPT TO:<bob@example.org>\nS: 250 a\nS: 250 b\nC: DATA\nRAW: "354 go\\r\\n250 ok\\r\\n"\nGONE:`,
    code: 76,
    says: "Unexpected reply at the message: 250 ok",
  },
  {
    offers: ["pipelining"],
    rule: "RFC 2920 §3.1: 60 recipients are sent in two groups",
    args: ["-t", Array.from({ length: 60 }, (_, index) => `r${index}@x.example`).join(", ")],
    talk: `C: MAIL FROM:<ann@example.org>\n${groupOf(0, 49)}\n${"S: 250 ok\n".repeat(50)}${
      groupOf(49, 60)
    }\n${"S: 250 ok\n".repeat(11)}${DATA}\n${DONE}`,
    code: 0,
    says: "60 recipients",
  },
];

/** Chunks of a message that the engine gets, and the lines on the wire (RFC 5321 §4.5.2). */
const CHUNKS: [chunks: string[], wire: string][] = [
  [[".a\r\n"], "..a\r\n"],
  [["a\r\n", ".b\r\n"], "a\r\n..b\r\n"],
  [["a\r\n.\r\n", ".\r\n"], "a\r\n..\r\n..\r\n"],
  [["a", ".b\r\n"], "a.b\r\n"],
  [["a.", ".b\r\n"], "a..b\r\n"],
  [["a\r\n", "", ".b\r\n"], "a\r\n..b\r\n"],
];

for (const [chunks, received] of CHUNKS) {
  Deno.test(`RFC 5321 §4.5.2: the chunks ${JSON.stringify(chunks)} are dot-stuffed`, async () => {
    using listener = Deno.listen(LOCAL);
    const talk = `${prelude("none", [])}\n${SENT}`;
    const serving = listener.accept().then((conn) => playServer(conn, talk, (text) => [text]));
    const message = {
      size: chunks.join("").length,
      isInternational: false,
      isEightBit: false,
      octets: async function* () {
        for (const chunk of chunks) yield octetsOf(chunk);
      },
    };
    const server = { hostname: "127.0.0.1", port: listener.addr.port, tls: "none" } as const;
    const envelope = { from: "ann@example.org", to: ["bob@example.org"], notify: undefined };
    const settings = { trust: null, helo: undefined, times: TIMES, login: null };
    const job = { ...server, ...envelope, ...settings, message };
    const { status, error } = await sendMail(job, () => {}, new AbortController().signal);
    assertEquals([status, error], [0, undefined]);
    assertEquals(await serving, [received]);
  });
}

Deno.test("RFC 5321 §4.1.3: without --helo EHLO has the address of this machine [IPv6]", async () => {
  using listener = Deno.listen({ hostname: "::1", port: 0 });
  const talk = `S: 220 mx\nC: EHLO [IPv6:::1]\nS: 250 mx\n${BYE}`;
  const serving = listener.accept().then((conn) => playServer(conn, talk, (text) => [text]));
  const server = `[::1]:${listener.addr.port}`;
  const { code, stderr } = await run(["--check", "--tls", "none", "--server", server]);
  assertEquals(code, 0, stderr);
  await serving;
});

/** First and last code of each kind (RFC 5321 §4.2.1), as the reply to MAIL. */
const CODES: [code: number, status: number][] = [
  [200, 0],
  [299, 0],
  [300, 76],
  [399, 76],
  [400, 75],
  [499, 75],
  [500, 69],
  [599, 69],
];

for (const [reply, code] of CODES) {
  Deno.test(`RFC 5321 §4.2.1: ${reply} to MAIL is exit ${code}`, async () => {
    const rest = code === 0 ? `${RCPT}\n${DATA}\n${DONE}` : BYE;
    const talk = `C: MAIL FROM:<ann@example.org>\nS: ${reply} x\n${rest}`;
    await converse({ rule: "", talk, code, args: BOB }, "none", (text) => [text]);
  });
  Deno.test(`RFC 5321 §4.2.1: ${reply} to one of two RCPT`, async () => {
    const status = code === 0 ? 0 : code === 76 ? 76 : 67;
    const rest = status === 76 ? BYE : `${rcpt("b")}\n${DATA}\n${DONE}`;
    const talk = `${MAIL}\nC: RCPT TO:<a@x.example>\nS: ${reply} x\n${rest}`;
    const args = ["-t", "a@x.example,b@x.example"];
    await converse({ rule: "", talk, code: status, args }, "none", (text) => [text]);
  });
  if (reply >= 400) {
    Deno.test(`RFC 5321 §3.3: ${reply} to the only RCPT is exit ${code}`, async () => {
      const talk = `${MAIL}\nC: RCPT TO:<bob@example.org>\nS: ${reply} x\n${BYE}`;
      await converse({ rule: "", talk, code, args: BOB }, "none", (text) => [text]);
    });
  }
}

for (const [reply, code] of [[500, 76], [509, 76], [510, 69], [550, 69], [451, 75]] as const) {
  Deno.test(`RFC 3207 §4: ${reply} to EHLO where STARTTLS is required is exit ${code}`, async () => {
    const talk = `S: 220 mx\nC: EHLO [127.0.0.1]\nS: ${reply} x\n${BYE}`;
    await converse({ rule: "", talk, code, args: BOB }, null, (text) => [text]);
  });
}

Deno.test("RFC 5321 §3.1: one octet after the greeting is waited for, and EHLO is not sent", async () => {
  const talk = 'RAW: "220 mx\\r\\n2"\nPAUSE:\nS: 20 mx';
  const says = "Unexpected reply: 220 mx";
  await converse({ rule: "", talk, code: 76, args: CLEAR, says }, null, (text) => [text]);
});

Deno.test("Ctrl-C before the connection is exit 130, and nothing is connected", async () => {
  using listener = Deno.listen(LOCAL);
  const args = ["--check", "--server", `127.0.0.1:${listener.addr.port}`, "--tls", "none"];
  assertEquals((await run(args, { signal: AbortSignal.abort() })).code, 130);
});

/** Delivery status notifications, after EHLO. */
const NOTIFICATIONS: Dialogue[] = [
  {
    rule: "RFC 3461 §4.1: --notify is a parameter of RCPT",
    offers: ["DSN"],
    args: ["-t", "bob@example.org", "--notify", "failure,delay"],
    talk: `${MAIL}\nC: RCPT TO:<bob@example.org> NOTIFY=FAILURE,DELAY\nS: 250 ok\n${DATA}\n${DONE}`,
    code: 0,
  },
  {
    rule: "RFC 3461 §4.1: --notify never",
    offers: ["DSN"],
    args: ["-t", "bob@example.org", "--notify", "never"],
    talk: `${MAIL}\nC: RCPT TO:<bob@example.org> NOTIFY=NEVER\nS: 250 ok\n${DATA}\n${DONE}`,
    code: 0,
  },
  {
    rule: "RFC 3461 §4.1: without an offer of DSN the mail is sent without NOTIFY, and a note",
    args: ["-t", "bob@example.org", "--notify", "success"],
    talk: SENT,
    code: 0,
    says: "note: the server does not offer DSN",
  },
];

testDialogues(BEGINNINGS, null);
testDialogues(NOTIFICATIONS, "none");
testInAllModes(MAILS);
testInAllModes(REPLIES);
testDialogues(PIPELINES, "none");

for (const how of ["closes", "stops reading"]) {
  Deno.test(`RFC 5321 §4.2.2: 552 inside the message is reported by its code [server ${how}]`, async () => {
    using listener = Deno.listen(LOCAL);
    const serving = listener.accept().then(async (conn) => {
      const wire = new Wire(conn);
      await wire.write("220 mx\r\n");
      for (const reply of ["250 mx", "250 ok", "250 ok", "354 go"]) {
        await wire.readLine(1000);
        await wire.write(`${reply}\r\n`);
      }
      await wire.fill();
      await wire.write("552 5.3.4 too much\r\n");
      if (how === "closes") wire.close();
      return wire;
    });
    const eml = `a: b\n\n${"x".repeat(70)}\n`.repeat(100_000);
    const args = ["--server", `127.0.0.1:${listener.addr.port}`, "--tls", "none", "--eml", "-"];
    const result = await run([...args, "-f", "a@x.example", "-t", "b@x.example"], { stdin: eml });
    assertEquals(result.code, 69, result.stderr);
    assertStringIncludes(result.stderr, "552 5.3.4 too much");
    (await serving).close();
  });
}
Deno.test("RFC 5321 §4.2.2: after 552 inside the message no more of it is sent", async () => {
  const file = await Deno.makeTempFile();
  await Deno.truncate(file, 30_000_000);
  using listener = Deno.listen(LOCAL);
  const serving = listener.accept().then(async (conn) => {
    using wire = new Wire(conn);
    await wire.write("220 mx\r\n");
    for (const reply of ["250 mx", "250 ok", "250 ok", "354 go"]) {
      await wire.readLine(1000);
      await wire.write(`${reply}\r\n`);
    }
    await wire.fill();
    await wire.write("552 5.3.4 too much\r\n");
    while (await wire.fill().catch(() => 0)) wire.skip(wire.buffered.length);
    return wire.received;
  });
  const args = ["--server", `127.0.0.1:${listener.addr.port}`, "--tls", "none", "-m", "x"];
  const result = await run([...args, "-f", "a@x.example", "-t", "b@x.example", "-a", file]);
  assertEquals(result.code, 69, result.stderr);
  assert(await serving < 20_000_000);
  await Deno.remove(file);
});

Deno.test("RFC 5321 §4.2.2: after 552 no further chunk of the message is read", async () => {
  using listener = Deno.listen(LOCAL);
  const serving = listener.accept().then(async (conn) => {
    using wire = new Wire(conn);
    await wire.write("220 mx\r\n");
    for (const reply of ["250 mx", "250 ok", "250 ok", "354 go", "552 5.3.4 too much"]) {
      await wire.readLine(1000);
      await wire.write(`${reply}\r\n`);
    }
    while (await wire.fill().catch(() => false)) wire.skip(wire.buffered.length);
  });
  const refused = Promise.withResolvers<void>();
  let count = 0;
  const octets = async function* () {
    for (; count < 100; count++) {
      yield octetsOf("x\r\n");
      await refused.promise;
    }
  };
  const server = { hostname: "127.0.0.1", port: listener.addr.port, tls: "none" } as const;
  const mail = { from: "ann@example.org", to: ["bob@example.org"], notify: undefined };
  const message = { size: 300, isInternational: false, isEightBit: false, octets };
  const settings = { trust: null, helo: undefined, times: TIMES, login: null };
  const trace = (_: string, text: string) => void (text.startsWith("552") && refused.resolve());
  const job = { ...server, ...mail, ...settings, message };
  const { status } = await sendMail(job, trace, new AbortController().signal);
  await serving;
  assertEquals(status, 69);
  assert(count < 10, `${count} chunks`);
});

Deno.test("RFC 5321 §4.1.1.4: a 250 before the final dot accepts nothing, and the dot is not sent", async () => {
  using listener = Deno.listen(LOCAL);
  const serving = listener.accept().then(async (conn) => {
    using wire = new Wire(conn);
    await wire.write("220 mx\r\n");
    for (const reply of ["250 mx", "250 ok", "250 ok", "354 go"]) {
      await wire.readLine(1000);
      await wire.write(`${reply}\r\n`);
    }
    await wire.fill();
    await wire.write("250 ok\r\n");
    let end = "";
    for (let line; (line = await wire.readLine(1000).catch(() => null)) !== null;) end = line;
    return end;
  });
  const eml = `a: b\n\n${"x".repeat(70)}\n`.repeat(100_000);
  const args = ["--server", `127.0.0.1:${listener.addr.port}`, "--tls", "none", "--eml", "-"];
  const result = await run([...args, "-f", "a@x.example", "-t", "b@x.example"], { stdin: eml });
  assertEquals(result.code, 76, result.stderr);
  assert(await serving !== ".");
});

Deno.test("Ctrl-C: the connection is closed at once, without QUIT", async () => {
  using listener = Deno.listen(LOCAL);
  const stop = new AbortController();
  const serving = listener.accept().then(async (conn) => {
    using wire = new Wire(conn);
    await wire.write("220 mx\r\n");
    await wire.readLine(100);
    stop.abort();
    wire.setDeadline(5000);
    return await wire.readLine(100).catch(({ name }) => name);
  });
  const args = ["--check", "--server", `127.0.0.1:${listener.addr.port}`, "--tls", "none"];
  const { code, stderr } = await run(args, { signal: stop.signal });
  assertEquals([code, await serving], [130, null]);
  assertStringIncludes(stderr, "Interrupted at EHLO [127.0.0.1]\n");
});

Deno.test("Ctrl-C in the TLS handshake ends the session at once", async () => {
  using listener = Deno.listen(LOCAL);
  const [stop, ended] = [new AbortController(), Promise.withResolvers<void>()];
  const serving = listener.accept().then(async (conn) => {
    using _ = conn;
    await conn.read(new Uint8Array(1000));
    stop.abort();
    await ended.promise;
  });
  const args = ["--check", "--server", `127.0.0.1:${listener.addr.port}`, "--tls", "implicit"];
  const start = performance.now();
  const { code, stderr } = await run([...args, "--timeout", "5"], { signal: stop.signal });
  const elapsed = performance.now() - start;
  ended.resolve();
  await serving;
  assertEquals([code, stderr], [130, "smtp_client: Interrupted at the TLS handshake\n"]);
  assert(elapsed < 1500, `${elapsed} ms`);
});

Deno.test("Ctrl-C inside the message: the connection is closed, and the dot is not sent", async () => {
  using listener = Deno.listen(LOCAL);
  const stop = new AbortController();
  const serving = listener.accept().then(async (conn) => {
    using wire = new Wire(conn);
    await wire.write("220 mx\r\n");
    for (const reply of ["250 mx", "250 ok", "250 ok", "354 go"]) {
      await wire.readLine(1000);
      await wire.write(`${reply}\r\n`);
    }
    await wire.fill();
    stop.abort();
    wire.setDeadline(5000);
    let end: string | null = "";
    for (let line; (line = await wire.readLine(1000).catch(() => null)) !== null;) end = line;
    return end;
  });
  const eml = `a: b\n\n${`${"x".repeat(70)}\n`.repeat(100_000)}`;
  const args = ["--server", `127.0.0.1:${listener.addr.port}`, "--tls", "none", "--eml", "-"];
  const envelope = ["-f", "a@x.example", "-t", "b@x.example"];
  const { code, stderr } = await run([...args, ...envelope], { stdin: eml, signal: stop.signal });
  assertEquals(code, 130);
  assertStringIncludes(stderr, "Interrupted at the message\n");
  assert(await serving !== ".");
});

/** Refusals of the message, and the advice. */
const ADVICE: [rule: string, reply: string, code: number, advice: string][] = [
  [
    "Exchange, another sender",
    "550 5.7.60 SMTP; Client does not have permissions to send as this sender",
    69,
    "may not send as --from",
  ],
  [
    "Exchange Online, another sender",
    "554 5.2.252 SendAsDenied; ann@example.org not allowed to send as bob@example.org",
    69,
    "may not send as --from",
  ],
  [
    "Amazon SES, an unverified sender",
    "554 Message rejected: Email address is not verified.",
    69,
    "Verify the --from address",
  ],
  [
    "SendGrid, an unverified sender",
    "550 The from address does not match a verified Sender Identity.",
    69,
    "Verify the --from address",
  ],
  [
    "Exchange Online, another sender, by its code alone",
    "554 5.2.252 not allowed",
    69,
    "may not send as --from",
  ],
  ["Exchange Online, SendAsDenied alone", "554 SendAsDenied", 69, "may not send as --from"],
  ["a login is missing", "530 5.7.0 Authentication required", 69, "wants a login (--user)"],
];

for (const [rule, reply, code, advice] of ADVICE) {
  Deno.test(`advice: ${rule}`, async () => {
    const talk = `${MAIL}\n${RCPT}\n${DATA}\nS: ${reply}\n${BYE}`;
    const { stderr } = await converse({ rule, talk, code, args: BOB }, "none", (text) => [text]);
    assertEquals(stderr.trim().split("\n").length, 2, stderr);
    assertStringIncludes(stderr.split("\n")[1] ?? "", advice);
  });
}

for (const char of [" ", "\t", ",", "=", "?", "-", "%", '"', "(", ".", "<", "3", "\x1b", "\xff"]) {
  Deno.test(`long replies of ${JSON.stringify(char)} are read in linear time`, async () => {
    const lines = `250-X${char.repeat(60_000)}x\r\n`.repeat(3);
    const talk = `RAW: ${
      JSON.stringify(`220 ${char.repeat(60_000)}x\r\n`)
    }\nC: EHLO [127.0.0.1]\nRAW: ${
      JSON.stringify(`250-mx\r\n${lines}250 AUTH=${char.repeat(60_000)}x\r\n`)
    }\nC: MAIL FROM:<ann@example.org>\nRAW: ${
      JSON.stringify(`550 ${char.repeat(60_000)}x\r\n`)
    }\n${BYE}`;
    const start = performance.now();
    await converse({ rule: "", talk, code: 69, args: [...CLEAR, "-v"] }, null, (text) => [text]);
    const elapsed = performance.now() - start;
    assert(elapsed < 2000, `${elapsed} ms`); // 20 ms where nothing else runs
  });
}
