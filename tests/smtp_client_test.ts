/**
 * The mail client's dialogues: transcripts against servers on real sockets, in the clear, behind
 * STARTTLS and inside TLS, at once and octet by octet; and its command line.
 *
 * In a transcript "S:" is what the server sends and "C:" what it must get, to the letter; "M:" is
 * a message up to its dot, "TLS:" a handshake, "SILENT:" waits for the client to give up, "RAW:"
 * sends a JSON string as it is, "GONE:" hangs up. What is not in the transcript must not be sent.
 *
 * @module
 */
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { createHash, createHmac, pbkdf2Sync } from "node:crypto";
import { UsageError, Wire } from "../protocol.ts";
import { mail } from "../smtp_client.ts";
import { acceptTls, CUTS, LOCAL, octetsOf, ROOT, runProgram, send, TLS } from "./helpers.ts";

type Mode = "none" | "starttls" | "implicit";

interface Dialogue {
  rule: string;
  /** The keywords behind the greeting of EHLO. */
  offers?: string[];
  talk: string;
  args?: string[];
  env?: Record<string, string>;
  stdin?: string;
  code: number;
  says?: string | RegExp;
  /** What the message has to hold, or be. */
  message?: string | RegExp;
}

interface Result {
  code: number;
  stderr: string;
  stdout: string;
  messages: string[];
}

const text = (value: string | Uint8Array) =>
  typeof value === "string" ? value : new TextDecoder().decode(value);

/** Runs the program in this process. */
async function run(
  args: string[],
  { env = {}, stdin, ask = () => null, signal = new AbortController().signal }: {
    env?: Record<string, string>;
    stdin?: string | undefined;
    ask?: (prompt: string) => string | null;
    signal?: AbortSignal;
  } = {},
): Promise<{ code: number; stderr: string; stdout: string }> {
  let [stderr, stdout] = ["", ""];
  const input = {
    isTerminal: () => stdin === undefined,
    get readable() {
      return new Blob([octetsOf(stdin ?? "")]).stream();
    },
  };
  const code = await mail(args, {
    env,
    stdin: input,
    ask,
    say: (line) => stderr += `${line}\n`,
    print: (output) => stdout += text(output),
    signal: () => signal,
  });
  return { code, stderr, stdout };
}

/** Plays the server's part of a transcript, and hears the client out. */
async function playServer(
  conn: Deno.Conn,
  transcript: string,
  cut: (text: string) => string[],
): Promise<string[]> {
  const messages: string[] = [];
  let wire = new Wire(conn);
  let raw = conn;
  try {
    wire.setDeadline(20_000);
    for (const line of transcript.trim().split("\n").map((line) => line.trim())) {
      const [, mark, rest = ""] = /^(\w+): ?(.*)$/.exec(line) ?? [];
      if (mark === "S") await send(raw, cut(`${rest}\r\n`));
      else if (mark === "RAW") await send(raw, cut(JSON.parse(rest)));
      else if (mark === "C") assertEquals(await wire.readLine(20_000), rest);
      else if (mark === "GONE") return messages;
      else if (mark === "SILENT") break;
      else if (mark === "PAUSE") await new Promise((resolve) => setTimeout(resolve, 50));
      else if (mark === "STILL") { // the client speaks TLS to nobody
        wire.setDeadline(1000);
        while (await wire.fill().catch(() => false)) wire.skip(wire.buffered.length);
        return messages;
      } else if (mark === "M") {
        let message = "";
        for (let got; (got = await wire.readLine(2_000_000)) !== ".";) {
          assert(got !== null, "the message has no end");
          message += `${got}\r\n`;
        }
        messages.push(message);
      } else if (mark === "TLS") {
        wire.release();
        const tls = await acceptTls(conn, rest || "localhost");
        raw = tls;
        if (rest !== "") { // a certificate that the client is not to take
          await tls.handshake().catch(() => {});
          return messages;
        }
        wire = new Wire(raw);
        wire.setDeadline(20_000);
      } else throw new Error(`Transcript has "${line}"`);
    }
    assertEquals(await wire.readLine(100_000).catch(() => null), null, "sent more than it should");
    return messages;
  } finally {
    wire.close();
    raw[Symbol.dispose](); // of TLS the relay goes on until all is delivered
  }
}

function prelude(mode: Mode, offers: string[]): string {
  const ehlo = (
    words: string[],
  ) => [
    "C: EHLO [127.0.0.1]",
    ...["mx.example", ...words].map((word, index) =>
      `S: 250${index === words.length ? " " : "-"}${word}`
    ),
  ];
  const greeting = ["S: 220 mx.example ESMTP"];
  if (mode === "none") return [...greeting, ...ehlo(offers)].join("\n");
  if (mode === "implicit") return ["TLS:", ...greeting, ...ehlo(offers)].join("\n");
  return [
    ...greeting,
    ...ehlo(["STARTTLS"]),
    "C: STARTTLS",
    "S: 220 Go ahead",
    "TLS:",
    ...ehlo(offers),
  ]
    .join("\n");
}

const BASE = ["-f", "ann@example.org", "-m", "hi", "--timeout", "5", "--ca", `${TLS}ca.pem`];

/** Holds a dialogue and checks both ends of it. */
async function converse(
  dialogue: Dialogue & { whole?: boolean },
  mode: Mode | null,
  cut: (text: string) => string[],
): Promise<Result> {
  using listener = Deno.listen(LOCAL);
  const { talk, offers = [], args = ["-t", "bob@example.org"], env, stdin } = dialogue;
  const transcript = mode === null ? talk : `${prelude(mode, offers)}\n${talk}`;
  const { port } = listener.addr;
  const bearer = `n,a=ann,\x01host=127.0.0.1\x01port=${port}\x01auth=Bearer ya29.x\x01\x01`;
  const lines = transcript.replace("OAUTH\n", `C: AUTH OAUTHBEARER ${b64(bearer)}\n`);
  let accepted: Disposable | undefined;
  const serving = listener.accept().then((conn) => {
    conn.setNoDelay();
    accepted = conn;
    return playServer(conn, lines, cut);
  });
  const server = ["--server", `127.0.0.1:${listener.addr.port}`];
  const how = mode === null ? [] : ["--tls", mode];
  const body = stdin === undefined ? BASE : BASE.filter((arg) => arg !== "-m" && arg !== "hi");
  const running = run([...server, ...how, ...body, ...args], { env, stdin });
  const [played, ran] = await Promise.allSettled([serving, running]);
  accepted?.[Symbol.dispose]();
  if (ran.status === "rejected") throw ran.reason;
  if (played.status === "rejected") throw new Error(`${played.reason}\n${ran.value.stderr}`);
  const result = { ...ran.value, messages: played.value };
  assertEquals(result.code, dialogue.code, result.stderr);
  const includes = (actual: string, expected: string | RegExp | undefined) => {
    if (expected instanceof RegExp) assertMatch(actual, expected);
    else if (expected !== undefined) assertStringIncludes(actual, expected);
  };
  includes(result.stderr, dialogue.says);
  includes(result.messages.join(""), dialogue.message);
  // deno-lint-ignore no-control-regex
  assert(!/[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/.test(result.stderr), "raw control characters");
  return result;
}

const MAIL = "C: MAIL FROM:<ann@example.org>\nS: 250 2.1.0 Ok";
const RCPT = "C: RCPT TO:<bob@example.org>\nS: 250 2.1.5 Ok";
const DATA = "C: DATA\nS: 354 Go ahead\nM:";
const BYE = "C: QUIT\nS: 221 2.0.0 Bye";
const DONE = `S: 250 2.0.0 Queued as 1\n${BYE}`;
const SENT = `${MAIL}\n${RCPT}\n${DATA}\n${DONE}`;
const THREE = ["-t", "a@x.example", "-t", "b@x.example", "-t", "c@x.example"];
const rcpt = (name: string, reply = "250 ok") => `C: RCPT TO:<${name}@x.example>\nS: ${reply}`;

const MINIMAL = ["--server", "127.0.0.1:1", "-f", "a@x.example", "-t", "b@x.example", "-m", "x"];
const CLEAR = ["-t", "bob@example.org", "--tls", "none"];
const TRY = ["-t", "bob@example.org", "--tls", "try"];
const HI = "S: 220 mx\nC: EHLO [127.0.0.1]\nS: 250-mx\nS: 250 STARTTLS\n";
const PASSWORD = { SMTP_PASSWORD: "s3cret" };
const USER = ["-t", "bob@example.org", "-u", "ann"];
const b64 = (text: string) => new TextEncoder().encode(text).toBase64();
const LOGIN = `C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: ${b64("ann")}\nS: 334 UGFzc3dvcmQ6\nC: ${
  b64("s3cret")
}\n`;
const groupOf = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, index) => `C: RCPT TO:<r${from + index}@x.example>`).join(
    "\n",
  );

/** What may happen once the client is welcome; in every mode, at once and octet by octet. */
const MAILS: Dialogue[] = [
  { rule: "a mail", talk: SENT, code: 0, says: "sent to 1 recipient (", message: "\r\nhi\r\n" },
  {
    rule: "several recipients, each told to the server",
    args: THREE,
    talk: `${MAIL}\n${rcpt("a")}\n${rcpt("b")}\n${rcpt("c")}\n${DATA}\n${DONE}`,
    code: 0,
    says: "sent to 3 recipients",
  },
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
    rule: "RFC 5321 §4.2.3: 251 and 252 are yes",
    args: ["-t", "a@x.example,b@x.example"],
    talk: `${MAIL}\n${rcpt("a", "251 will forward")}\n${
      rcpt("b", "252 will try")
    }\n${DATA}\n${DONE}`,
    code: 0,
  },
  {
    rule: "the same address in To, Cc and Bcc is one RCPT",
    args: ["-t", "bob@example.org", "--cc", "Bob <bob@EXAMPLE.org>", "--bcc", "bob@example.org"],
    talk: SENT,
    code: 0,
  },
  {
    rule: "Bcc is in the envelope only",
    args: ["-t", "bob@example.org", "--bcc", "eve@x.example"],
    talk: `${MAIL}\n${RCPT}\n${rcpt("eve")}\n${DATA}\n${DONE}`,
    code: 0,
    message: /^(?![^]*(?:eve|Bcc))/,
  },
  {
    rule: "a quoted local part goes out as it is",
    args: ["-t", '"b\\"o b"@example.org'],
    talk: `${MAIL}\nC: RCPT TO:<"b\\"o b"@example.org>\nS: 250 ok\n${DATA}\n${DONE}`,
    code: 0,
  },
  {
    rule: "an IDN goes out in A-labels, and takes no SMTPUTF8",
    args: ["-t", "bob@bücher.example"],
    talk: `${MAIL}\nC: RCPT TO:<bob@xn--bcher-kva.example>\nS: 250 ok\n${DATA}\n${DONE}`,
    code: 0,
    message: "To: bob@xn--bcher-kva.example\r\n",
  },
  {
    rule: "RFC 5321 §4.5.2: dots at the start of a line of a finished message are doubled",
    args: ["-t", "bob@example.org", "--eml", "-"],
    stdin: "Subject: x\n\n.\n..\n.a\nb.\n",
    talk: SENT,
    code: 0,
    message: "Subject: x\r\n\r\n..\r\n...\r\n..a\r\nb.\r\n",
  },
  {
    rule: "RFC 1870 §5: SIZE is said to the octet",
    offers: ["SIZE 1000"],
    args: ["-t", "bob@example.org", "--eml", "-"],
    stdin: "a: b\n\n.hidden\r\nend",
    talk: `C: MAIL FROM:<ann@example.org> SIZE=22\nS: 250 ok\n${RCPT}\n${DATA}\n${DONE}`,
    code: 0,
  },
  ...["SIZE", "SIZE 0", "size 0", "SIZE x", "SIZE  100000"].map((size) => ({
    rule: `RFC 1870 §4: "${size}" sets no limit that matters`,
    offers: [size],
    args: ["-t", "bob@example.org", "--eml", "-"],
    stdin: "a: b\n",
    talk: `C: MAIL FROM:<ann@example.org> SIZE=6\nS: 250 ok\n${RCPT}\n${DATA}\n${DONE}`,
    code: 0,
  })),
  {
    rule: "RFC 1870 §6.1: a message that is too large is not begun",
    offers: ["SIZE 100"],
    talk: BYE,
    code: 65,
    says: "the server takes 100",
  },
  {
    rule: "a refused recipient leaves the others theirs",
    args: THREE,
    talk: `${MAIL}\n${rcpt("a")}\n${rcpt("b", "550 5.1.1 nobody here")}\n${
      rcpt("c")
    }\n${DATA}\n${DONE}`,
    code: 67,
    says: /sent to 2 recipients.*b@x\.example>: 550 5\.1\.1 nobody here/,
  },
  {
    rule: "also one that was refused for now",
    args: THREE,
    talk: `${MAIL}\n${rcpt("a", "452 4.5.3 too many")}\n${rcpt("b")}\n${
      rcpt("c")
    }\n${DATA}\n${DONE}`,
    code: 67,
    says: "452 4.5.3",
  },
  {
    rule: "all refused for good: no DATA",
    args: THREE,
    talk: `${MAIL}\n${rcpt("a", "550 no")}\n${rcpt("b", "551 no")}\n${rcpt("c", "553 no")}\n${BYE}`,
    code: 69,
  },
  {
    rule: "all refused, one of them for now",
    args: ["-t", "a@x.example,b@x.example"],
    talk: `${MAIL}\n${rcpt("a", "550 no")}\n${rcpt("b", "450 greylisted")}\n${BYE}`,
    code: 75,
  },
  {
    rule: "MAIL refused",
    talk: `C: MAIL FROM:<ann@example.org>\nS: 550 5.7.1 not you\n${BYE}`,
    code: 69,
    says: "550 5.7.1 not you",
  },
  {
    rule: "MAIL deferred",
    talk: `C: MAIL FROM:<ann@example.org>\nS: 451 4.3.0 later\n${BYE}`,
    code: 75,
  },
  {
    rule: "MAIL answered with 354",
    talk: `C: MAIL FROM:<ann@example.org>\nS: 354 go\n${BYE}`,
    code: 76,
  },
  {
    rule: "RCPT refused",
    talk: `${MAIL}\nC: RCPT TO:<bob@example.org>\nS: 550 5.1.1 who?\n${BYE}`,
    code: 69,
    says: "RCPT TO:<bob@example.org>: 550 5.1.1 who?",
  },
  {
    rule: "RCPT deferred",
    talk: `${MAIL}\nC: RCPT TO:<bob@example.org>\nS: 450 4.7.1 greylisted\n${BYE}`,
    code: 75,
  },
  {
    rule: "RCPT answered with 354",
    talk: `${MAIL}\nC: RCPT TO:<bob@example.org>\nS: 354 ?\n${BYE}`,
    code: 76,
  },
  { rule: "DATA refused", talk: `${MAIL}\n${RCPT}\nC: DATA\nS: 554 5.5.1 no\n${BYE}`, code: 69 },
  {
    rule: "DATA deferred",
    talk: `${MAIL}\n${RCPT}\nC: DATA\nS: 451 4.3.0 later\n${BYE}`,
    code: 75,
  },
  {
    rule: "250 to DATA is no 354: the message stays here",
    talk: `${MAIL}\n${RCPT}\nC: DATA\nS: 250 ok\n${BYE}`,
    code: 76,
  },
  {
    rule: "the message refused",
    talk: `${MAIL}\n${RCPT}\n${DATA}\nS: 554 5.7.1 spam\n${BYE}`,
    code: 69,
    says: "554 5.7.1 spam",
  },
  {
    rule: "the message deferred",
    talk: `${MAIL}\n${RCPT}\n${DATA}\nS: 452 4.3.1 full\n${BYE}`,
    code: 75,
  },
  {
    rule: "the message answered with 354",
    talk: `${MAIL}\n${RCPT}\n${DATA}\nS: 354 more\n${BYE}`,
    code: 76,
  },
  {
    rule: "421 to MAIL: no QUIT",
    talk: "C: MAIL FROM:<ann@example.org>\nS: 421 4.3.2 closing",
    code: 75,
  },
  {
    rule: "421 to RCPT: no QUIT",
    talk: `${MAIL}\nC: RCPT TO:<bob@example.org>\nS: 421 closing`,
    code: 75,
  },
  { rule: "421 to DATA: no QUIT", talk: `${MAIL}\n${RCPT}\nC: DATA\nS: 421 closing`, code: 75 },
  { rule: "421 to the message", talk: `${MAIL}\n${RCPT}\n${DATA}\nS: 421 closing`, code: 75 },
  {
    rule: "closed at MAIL",
    talk: "C: MAIL FROM:<ann@example.org>\nGONE:",
    code: 75,
    says: "MAIL FROM",
  },
  { rule: "closed at RCPT", talk: `${MAIL}\nC: RCPT TO:<bob@example.org>\nGONE:`, code: 75 },
  { rule: "closed at DATA", talk: `${MAIL}\n${RCPT}\nC: DATA\nGONE:`, code: 75 },
  {
    rule: "closed after the dot: may have been delivered",
    talk: `${MAIL}\n${RCPT}\n${DATA}\nGONE:`,
    code: 75,
    says: "may have been delivered",
  },
  {
    rule: "closed inside a reply",
    talk: "C: MAIL FROM:<ann@example.org>\nS: 250-half\nGONE:",
    code: 75,
  },
  {
    rule: "after a good end QUIT may be refused",
    talk: `${MAIL}\n${RCPT}\n${DATA}\nS: 250 ok\nC: QUIT\nS: 500 what?`,
    code: 0,
  },
  {
    rule: "after a good end QUIT may be answered by nonsense",
    talk: `${MAIL}\n${RCPT}\n${DATA}\nS: 250 ok\nC: QUIT\nS: bye!`,
    code: 0,
  },
  {
    rule: "after a good end the server may just go",
    talk: `${MAIL}\n${RCPT}\n${DATA}\nS: 250 ok\nGONE:`,
    code: 0,
  },
  {
    rule: "after a good end the server may go at QUIT",
    talk: `${MAIL}\n${RCPT}\n${DATA}\nS: 250 ok\nC: QUIT\nGONE:`,
    code: 0,
  },
  {
    rule: "mixed codes are no reply",
    talk: "C: MAIL FROM:<ann@example.org>\nS: 250-ok\nS: 550 no",
    code: 76,
    says: "mixed 250 and 550",
  },
  ...["2x0 ok", "25", " 250 ok", "250_ok", "199 ok", "650 ok", "2500 ok", "", "SSH-2.0-OpenSSH_9"]
    .map((reply) => ({
      rule: `"${reply}" is not SMTP`,
      talk: `C: MAIL FROM:<ann@example.org>\nRAW: ${JSON.stringify(`${reply}\r\n`)}`,
      code: 76,
      says: "does not speak SMTP",
    })),
  {
    rule: "RFC 5321 §2.3.8: an LF alone ends no line",
    talk: `C: MAIL FROM:<ann@example.org>\nRAW: "250 ok\\n"`,
    code: 76,
  },
  {
    rule: "RFC 5321 §2.3.8: a CR alone is in no line",
    talk: `C: MAIL FROM:<ann@example.org>\nRAW: "250 a\\rb\\r\\n"`,
    code: 76,
  },
  {
    rule: "what a server says is shown without what steers a terminal",
    talk:
      `C: MAIL FROM:<ann@example.org>\nRAW: "550 \\u001b]0;x\\u0007 \\u009b2J caf\\u00c3\\u00a9 \\u00e2\\u0080\\u00ae\\r\\n"\n${BYE}`,
    code: 69,
    says: "550 \\x1b]0;x\\x07",
  },
  {
    rule: "RFC 6531 §3.4: UTF-8 in a local part takes SMTPUTF8",
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
    rule: "RFC 6531 §3.1: SMTPUTF8 brings 8BITMIME, said or not",
    offers: ["SMTPUTF8"],
    args: ["-t", "böb@example.org"],
    talk: "C: MAIL FROM:<ann@example.org> SMTPUTF8\nS: 250 ok\n" +
      `C: RCPT TO:<bÃ¶b@example.org>\nS: 250 ok\n${DATA}\n${DONE}`,
    code: 0,
  },
  {
    rule: "RFC 6531 §3.5: without SMTPUTF8 it is not sent",
    args: ["-t", "böb@example.org"],
    talk: BYE,
    code: 65,
    says: "SMTPUTF8",
  },
  {
    rule: "RFC 6152 §2: 8-bit octets are declared",
    offers: ["8BITMIME"],
    args: ["-t", "bob@example.org", "--eml", "-"],
    stdin: "a: b\n\ncaf\xc3\xa9\n",
    talk: `C: MAIL FROM:<ann@example.org> BODY=8BITMIME\nS: 250 ok\n${RCPT}\n${DATA}\n${DONE}`,
    code: 0,
    message: "caf\xc3\xa9\r\n",
  },
  {
    rule: "RFC 6152 §3: and not sent where they are not welcome",
    args: ["-t", "bob@example.org", "--eml", "-"],
    stdin: "a: b\n\ncaf\xc3\xa9\n",
    talk: BYE,
    code: 65,
    says: "8BITMIME",
  },
  {
    rule: "RFC 6532: nor is a header in UTF-8",
    offers: ["8BITMIME"],
    args: ["-t", "bob@example.org", "--eml", "-"],
    stdin: "Subject: caf\xc3\xa9\n\nx\n",
    talk: BYE,
    code: 65,
  },
  {
    rule: "Bcc is taken out of a finished message, with its folds, and line ends are made CRLF",
    args: ["-t", "bob@example.org", "--eml", "-"],
    stdin: "Bcc: a@b,\n c@d\nTo: x\rbcc : e@f\r\nSubject: y\n\nBcc: stays\r\rend",
    talk: SENT,
    code: 0,
    message: /^To: x\r\nSubject: y\r\n\r\nBcc: stays\r\n\r\nend\r\n$/,
  },
];

/** How a session begins; the transcripts are whole, without TLS unless they say so. */
const BEGINNINGS: Dialogue[] = [
  {
    rule: "a greeting of several lines",
    talk: `S: 220-mx\nS: 220-no spam\nS: 220 ok\nC: EHLO [127.0.0.1]\nS: 250 mx\n${SENT}`,
    args: CLEAR,
    code: 0,
  },
  {
    rule: "554 for a greeting",
    talk: `S: 554 5.7.1 go away\n${BYE}`,
    args: CLEAR,
    code: 69,
    says: "554 5.7.1 go away",
  },
  { rule: "421 for a greeting", talk: "S: 421 busy", args: CLEAR, code: 75 },
  { rule: "450 for a greeting", talk: `S: 450 busy\n${BYE}`, args: CLEAR, code: 75 },
  {
    rule: "a greeting that turns into a refusal",
    talk: "S: 220-mx\nS: 554 no",
    args: CLEAR,
    code: 76,
    says: "mixed",
  },
  { rule: "no greeting but an end", talk: "GONE:", args: CLEAR, code: 75 },
  {
    rule: "no greeting at all",
    talk: "SILENT:",
    args: [...CLEAR, "--timeout", "0.2"],
    code: 75,
    says: "--tls implicit",
  },
  {
    rule: "SSH greets",
    talk: 'RAW: "SSH-2.0-OpenSSH_9.2\\r\\n"',
    args: CLEAR,
    code: 76,
    says: "does not speak SMTP",
  },
  {
    rule: "HTTP greets",
    talk: 'RAW: "HTTP/1.1 400 Bad Request\\r\\n\\r\\n"',
    args: CLEAR,
    code: 76,
  },
  {
    rule: "a line without end",
    talk: `RAW: ${JSON.stringify(`220 ${"x".repeat(70_000)}`)}`,
    args: CLEAR,
    code: 76,
    says: "longer than",
  },
  {
    rule: "a reply without end",
    talk: `RAW: ${JSON.stringify("220-x\r\n".repeat(600))}`,
    args: CLEAR,
    code: 76,
    says: "more than 512 lines",
  },
  {
    rule: "a long line that has an end",
    talk: `S: 220 ${"x".repeat(60_000)}\nC: EHLO [127.0.0.1]\nS: 250 mx\n${SENT}`,
    args: CLEAR,
    code: 0,
  },
  {
    rule: "EHLO refused: HELO, as TLS is not at stake",
    talk: `S: 220 mx\nC: EHLO [127.0.0.1]\nS: 502 what?\nC: HELO [127.0.0.1]\nS: 250 mx\n${SENT}`,
    args: CLEAR,
    code: 0,
  },
  {
    rule: "EHLO and HELO refused",
    talk: `S: 220 mx\nC: EHLO [127.0.0.1]\nS: 550 no\nC: HELO [127.0.0.1]\nS: 550 no\n${BYE}`,
    args: CLEAR,
    code: 69,
  },
  {
    rule: "EHLO deferred",
    talk: `S: 220 mx\nC: EHLO [127.0.0.1]\nS: 451 later\n${BYE}`,
    args: CLEAR,
    code: 75,
  },
  {
    rule: "421 to EHLO",
    talk: "S: 220 mx\nC: EHLO [127.0.0.1]\nS: 421 later",
    args: CLEAR,
    code: 75,
  },
  {
    rule: "EHLO answered with 220",
    talk: `S: 220 mx\nC: EHLO [127.0.0.1]\nS: 220 mx\n${BYE}`,
    args: CLEAR,
    code: 76,
  },
  {
    rule: "two greetings",
    talk: 'RAW: "220 a\\r\\n220 b\\r\\n"',
    args: CLEAR,
    code: 76,
    says: "out of turn",
  },
  {
    rule: "a reply ahead of its command that says 421",
    talk: 'RAW: "220 a\\r\\n421 closing\\r\\n"',
    args: CLEAR,
    code: 75,
  },
  {
    rule: "--helo",
    talk: `S: 220 mx\nC: EHLO me.example\nS: 250 mx\n${SENT}`,
    args: [...CLEAR, "--helo", "me.example"],
    code: 0,
  },
  {
    rule: "STARTTLS not offered: no mail",
    talk: `S: 220 mx\nC: EHLO [127.0.0.1]\nS: 250 mx\n${BYE}`,
    code: 76,
    says: "STARTTLS",
  },
  {
    rule: "STARTTLS in the first line is no offer",
    talk:
      `S: 220 mx STARTTLS\nC: EHLO [127.0.0.1]\nS: 250-mx STARTTLS AUTH PLAIN SIZE 5\nS: 250 SIZE\n${BYE}`,
    code: 76,
  },
  {
    rule: "nor is a keyword that looks like it",
    talk:
      `S: 220 mx\nC: EHLO [127.0.0.1]\nS: 250-mx\nS: 250-XSTARTTLS\nS: 250-STARTTLSX\nS: 250 NO STARTTLS\n${BYE}`,
    code: 76,
  },
  {
    rule: "EHLO unknown, so no STARTTLS, so no mail",
    talk: `S: 220 mx\nC: EHLO [127.0.0.1]\nS: 502 what?\n${BYE}`,
    code: 76,
  },
  {
    rule: "STARTTLS deferred",
    talk: `${HI}C: STARTTLS\nS: 454 4.7.0 not now\n${BYE}`,
    code: 75,
    says: "454 4.7.0",
  },
  { rule: "STARTTLS refused", talk: `${HI}C: STARTTLS\nS: 554 no\n${BYE}`, code: 76 },
  { rule: "STARTTLS answered with 250", talk: `${HI}C: STARTTLS\nS: 250 ok\n${BYE}`, code: 76 },
  {
    rule: "octets behind the 220 are an attacker's",
    talk: `${HI}C: STARTTLS\nRAW: "220 go\\r\\n250 injected\\r\\n"`,
    code: 76,
    says: "in the clear",
  },
  { rule: "closed at STARTTLS", talk: `${HI}C: STARTTLS\nGONE:`, code: 75 },
  { rule: "closed at the handshake", talk: `${HI}C: STARTTLS\nS: 220 go\nGONE:`, code: 75 },
  {
    rule: "silence at the handshake",
    talk: `${HI}C: STARTTLS\nS: 220 go\nSTILL:`,
    args: ["-t", "bob@example.org", "--timeout", "0.3"],
    code: 75,
    says: "TLS handshake",
  },
  {
    rule: "plain text at the handshake",
    talk: `${HI}C: STARTTLS\nS: 220 go\nPAUSE:\nS: 250 ok\nSTILL:`,
    code: 76,
  },
  {
    rule: "what was offered in the clear is forgotten",
    talk:
      `S: 220 mx\nC: EHLO [127.0.0.1]\nS: 250-mx\nS: 250-SIZE 10\nS: 250-AUTH PLAIN\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nTLS:\nC: EHLO [127.0.0.1]\nS: 250 mx\n${SENT}`,
    code: 0,
  },
  {
    rule: "a keyword in any case",
    talk:
      `S: 220 mx\nC: EHLO [127.0.0.1]\nS: 250-mx\nS: 250 sTarTtLs\nC: STARTTLS\nS: 220 go\nTLS:\nC: EHLO [127.0.0.1]\nS: 250 mx\n${SENT}`,
    code: 0,
  },
  {
    rule: "EHLO refused inside TLS: HELO",
    talk:
      `${HI}C: STARTTLS\nS: 220 go\nTLS:\nC: EHLO [127.0.0.1]\nS: 500 what?\nC: HELO [127.0.0.1]\nS: 250 mx\n${SENT}`,
    code: 0,
  },
  {
    rule: "a certificate of an unknown issuer",
    talk: `${HI}C: STARTTLS\nS: 220 go\nTLS: selfsigned`,
    code: 76,
    says: /UnknownIssuer\n.*--ca/,
  },
  {
    rule: "a certificate for another name",
    talk: `${HI}C: STARTTLS\nS: 220 go\nTLS: other`,
    code: 76,
    says: "other.example",
  },
  {
    rule: "an expired certificate",
    talk: `${HI}C: STARTTLS\nS: 220 go\nTLS: expired`,
    code: 76,
    says: "expired",
  },
  {
    rule: "a certificate from the future",
    talk: `${HI}C: STARTTLS\nS: 220 go\nTLS: future`,
    code: 76,
    says: "not valid yet",
  },
  {
    rule: "TLS to a port that speaks plain SMTP",
    talk: "S: 220 mx\nSTILL:",
    args: ["-t", "bob@example.org", "--tls", "implicit"],
    code: 76,
    says: "--tls starttls",
  },
  {
    rule: "--tls try without an offer goes on in the clear",
    talk: `S: 220 mx\nC: EHLO [127.0.0.1]\nS: 250 mx\n${SENT}`,
    args: TRY,
    code: 0,
  },
  {
    rule: "--tls try, STARTTLS deferred: in the clear",
    talk: `${HI}C: STARTTLS\nS: 454 no\n${SENT}`,
    args: TRY,
    code: 0,
  },
  {
    rule: "--tls try with an offer is TLS",
    talk: `${HI}C: STARTTLS\nS: 220 go\nTLS:\nC: EHLO [127.0.0.1]\nS: 250 mx\n${SENT}`,
    args: TRY,
    code: 0,
  },
  {
    rule: "--tls try does not take a bad certificate",
    talk: `${HI}C: STARTTLS\nS: 220 go\nTLS: other`,
    args: TRY,
    code: 76,
  },
  {
    rule: "--tls try with --user: no TLS, no login, no mail",
    talk: `S: 220 mx\nC: EHLO [127.0.0.1]\nS: 250-mx\nS: 250 AUTH PLAIN LOGIN\n${BYE}`,
    args: [...TRY, "-u", "ann"],
    env: PASSWORD,
    code: 76,
  },
];

/** Logging in; in STARTTLS and implicit TLS. */
const LOGINS: Dialogue[] = [
  {
    rule: "RFC 4616 PLAIN",
    offers: ["AUTH PLAIN LOGIN"],
    talk: `C: AUTH PLAIN ${b64("\0ann\0s3cret")}\nS: 235 in\n${SENT}`,
    code: 0,
  },
  {
    rule: "AUTH= as it was before RFC 2554",
    offers: ["AUTH=LOGIN PLAIN"],
    talk: `C: AUTH PLAIN ${b64("\0ann\0s3cret")}\nS: 235 in\n${SENT}`,
    code: 0,
  },
  {
    rule: "keywords and mechanisms in any case",
    offers: ["aUtH pLaIn"],
    talk: `C: AUTH PLAIN ${b64("\0ann\0s3cret")}\nS: 235 in\n${SENT}`,
    code: 0,
  },
  { rule: "LOGIN", offers: ["AUTH LOGIN"], talk: `${LOGIN}S: 235 in\n${SENT}`, code: 0 },
  {
    rule: "LOGIN with prompts of its own",
    offers: ["AUTH LOGIN"],
    talk: `C: AUTH LOGIN\nS: 334 who?\nC: ${b64("ann")}\nS: 334\nC: ${
      b64("s3cret")
    }\nS: 235\n${SENT}`,
    code: 0,
  },
  {
    rule: "RFC 2195 CRAM-MD5",
    offers: ["AUTH CRAM-MD5"],
    env: { SMTP_PASSWORD: "tanstaaftanstaaf" },
    args: ["-t", "bob@example.org", "-u", "tim"],
    talk:
      `C: AUTH CRAM-MD5\nS: 334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+\nC: dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw\nS: 235 in\n${SENT}`,
    code: 0,
  },
  {
    rule: "UTF-8 in name and password",
    offers: ["AUTH PLAIN"],
    env: { SMTP_PASSWORD: "pässwörd€" },
    args: ["-t", "bob@example.org", "-u", "änn"],
    talk: `C: AUTH PLAIN ${b64("\0änn\0pässwörd€")}\nS: 235 in\n${SENT}`,
    code: 0,
  },
  {
    rule: "RFC 4954 §4: a response that makes the line too long follows the 334",
    offers: ["AUTH PLAIN"],
    env: { SMTP_PASSWORD: "x".repeat(400) },
    talk: `C: AUTH PLAIN\nS: 334\nC: ${b64(`\0ann\0${"x".repeat(400)}`)}\nS: 235 in\n${SENT}`,
    code: 0,
  },
  {
    rule: "--auth chooses",
    offers: ["AUTH PLAIN LOGIN"],
    args: [...USER, "--auth", "LOGIN"],
    talk: `${LOGIN}S: 235 in\n${SENT}`,
    code: 0,
  },
  {
    rule: "--auth that is not offered",
    offers: ["AUTH PLAIN LOGIN"],
    args: [...USER, "--auth", "cram-md5"],
    talk: BYE,
    code: 77,
    says: "CRAM-MD5",
  },
  {
    rule: "only mechanisms nobody knows",
    offers: ["AUTH GSSAPI NTLM"],
    talk: BYE,
    code: 77,
    says: "only GSSAPI NTLM",
  },
  { rule: "no AUTH offered: no login, no mail", talk: BYE, code: 77, says: "no AUTH" },
  {
    rule: "535 is final",
    offers: ["AUTH PLAIN LOGIN"],
    talk: `C: AUTH PLAIN ${b64("\0ann\0s3cret")}\nS: 535 5.7.8 no\n${BYE}`,
    code: 77,
    says: /535 5\.7\.8 no\n.*app password/,
  },
  {
    rule: "504 leads to the next mechanism",
    offers: ["AUTH PLAIN LOGIN"],
    talk: `C: AUTH PLAIN ${b64("\0ann\0s3cret")}\nS: 504 5.5.4 no\n${LOGIN}S: 235 in\n${SENT}`,
    code: 0,
  },
  {
    rule: "504 to the last mechanism",
    offers: ["AUTH PLAIN"],
    talk: `C: AUTH PLAIN ${b64("\0ann\0s3cret")}\nS: 504 5.5.4 no\n${BYE}`,
    code: 77,
  },
  {
    rule: "454 is for now",
    offers: ["AUTH PLAIN LOGIN"],
    talk: `C: AUTH PLAIN ${b64("\0ann\0s3cret")}\nS: 454 4.7.0 later\n${BYE}`,
    code: 75,
  },
  {
    rule: "421 at AUTH",
    offers: ["AUTH PLAIN LOGIN"],
    talk: `C: AUTH PLAIN ${b64("\0ann\0s3cret")}\nS: 421 bye`,
    code: 75,
  },
  {
    rule: "534 with Gmail's advice",
    offers: ["AUTH PLAIN"],
    talk: `C: AUTH PLAIN ${
      b64("\0ann\0s3cret")
    }\nS: 534-5.7.9 Application-specific password required.\nS: 534 5.7.9 x\n${BYE}`,
    code: 77,
    says: "app password",
  },
  {
    rule: "535 5.7.139",
    offers: ["AUTH LOGIN"],
    talk: `${LOGIN}S: 535 5.7.139 SmtpClientAuthentication is disabled\n${BYE}`,
    code: 77,
    says: "administrator",
  },
  {
    rule: "550 5.7.30",
    offers: ["AUTH LOGIN"],
    talk: `${LOGIN}S: 550 5.7.30 Basic authentication is not supported\n${BYE}`,
    code: 77,
    says: "token",
  },
  {
    rule: "250 to AUTH is no 235",
    offers: ["AUTH PLAIN"],
    talk: `C: AUTH PLAIN ${b64("\0ann\0s3cret")}\nS: 250 ok\n${BYE}`,
    code: 76,
  },
  {
    rule: "334 for ever is cancelled",
    offers: ["AUTH LOGIN PLAIN"],
    args: [...USER, "--auth", "login"],
    talk: `${LOGIN}S: 334 more\nC: *\nS: 501 cancelled\n${BYE}`,
    code: 77,
  },
  {
    rule: "334 after PLAIN said all is cancelled",
    offers: ["AUTH PLAIN"],
    talk: `C: AUTH PLAIN ${b64("\0ann\0s3cret")}\nS: 334\nC: *\nS: 334\n${BYE}`,
    code: 77,
  },
  {
    rule: "a challenge that is not base64 is cancelled",
    offers: ["AUTH CRAM-MD5"],
    talk: `C: AUTH CRAM-MD5\nS: 334 !!!\nC: *\nS: 501\n${BYE}`,
    code: 77,
  },
  {
    rule: "XOAUTH2",
    offers: ["AUTH PLAIN XOAUTH2"],
    env: { SMTP_TOKEN: "ya29.x" },
    talk: `C: AUTH XOAUTH2 ${b64("user=ann\x01auth=Bearer ya29.x\x01\x01")}\nS: 235 in\n${SENT}`,
    code: 0,
  },
  {
    rule: "XOAUTH2 refused: an empty line, and the reason is told",
    offers: ["AUTH XOAUTH2"],
    env: { SMTP_TOKEN: "ya29.x" },
    talk: `C: AUTH XOAUTH2 ${b64("user=ann\x01auth=Bearer ya29.x\x01\x01")}\nS: 334 ${
      b64('{"status":"400"}')
    }\nC:\nS: 535 5.7.8 no\n${BYE}`,
    code: 77,
    says: '"status":"400"',
  },
  {
    rule: "OAUTHBEARER is preferred, and its refusal acknowledged with ^A",
    offers: ["AUTH XOAUTH2 OAUTHBEARER"],
    env: { SMTP_TOKEN: "ya29.x" },
    talk: `OAUTH\nS: 334 ${b64('{"status":"invalid_token"}')}\nC: AQ==\nS: 535 no\n${BYE}`,
    code: 77,
    says: "invalid_token",
  },
  {
    rule: "a long token follows the 334",
    offers: ["AUTH XOAUTH2"],
    env: { SMTP_TOKEN: "y".repeat(2000) },
    talk: `C: AUTH XOAUTH2\nS: 334\nC: ${
      b64(`user=ann\x01auth=Bearer ${"y".repeat(2000)}\x01\x01`)
    }\nS: 235 in\n${SENT}`,
    code: 0,
  },
  {
    rule: "a token is no password",
    offers: ["AUTH PLAIN LOGIN"],
    env: { SMTP_TOKEN: "ya29.x" },
    talk: BYE,
    code: 77,
  },
  {
    rule: "a server that tells the token in its reason",
    offers: ["AUTH XOAUTH2"],
    env: { SMTP_TOKEN: "ya29.x" },
    talk: `C: AUTH XOAUTH2 ${b64("user=ann\x01auth=Bearer ya29.x\x01\x01")}\nS: 334 ${
      b64('{"token":"ya29.x"}')
    }\nC: \nS: 535 no\n${BYE}`,
    code: 77,
    says: '535 no ({"token":"[credentials]"})',
  },
  {
    rule: "a server that echoes what it got",
    offers: ["AUTH PLAIN"],
    talk: `C: AUTH PLAIN ${b64("\0ann\0s3cret")}\nS: 535 no ${
      b64("\0ann\0s3cret")
    }, no s3cret\n${BYE}`,
    args: [...USER, "-v", "--json"],
    code: 77,
    says: "535 no [credentials], no [credentials]",
  },
  {
    rule: "a server that echoes a password that a terminal would obey",
    offers: ["AUTH PLAIN"],
    env: { SMTP_PASSWORD: "s3\tcr\u202eet" },
    talk: `C: AUTH PLAIN ${b64("\0ann\0s3\tcr\u202eet")}\nRAW: ${
      JSON.stringify("535 no s3\tcr\xe2\x80\xaeet\r\n")
    }\n${BYE}`,
    args: [...USER, "-v", "--json"],
    code: 77,
    says: "535 no [credentials]",
  },
];

/** RFC 2920: MAIL and RCPT in groups, DATA alone. */
const PIPELINES: Dialogue[] = [
  {
    rule: "commands before replies",
    args: THREE,
    talk:
      `C: MAIL FROM:<ann@example.org>\nC: RCPT TO:<a@x.example>\nC: RCPT TO:<b@x.example>\nC: RCPT TO:<c@x.example>\nS: 250 ok\nS: 250 ok\nS: 550 no\nS: 250 ok\n${DATA}\n${DONE}`,
    code: 67,
  },
  {
    rule: "MAIL refused, and so the rest",
    talk:
      `C: MAIL FROM:<ann@example.org>\nC: RCPT TO:<bob@example.org>\nS: 550 no\nS: 503 first MAIL\n${BYE}`,
    code: 69,
    says: "MAIL FROM:<ann@example.org>: 550 no",
  },
  {
    rule: "421 in the middle",
    talk: "C: MAIL FROM:<ann@example.org>\nC: RCPT TO:<bob@example.org>\nS: 250 ok\nS: 421 bye",
    code: 75,
  },
  {
    rule: "a missing reply",
    talk: "C: MAIL FROM:<ann@example.org>\nC: RCPT TO:<bob@example.org>\nS: 250 ok\nGONE:",
    code: 75,
    says: "RCPT TO",
  },
  {
    rule: "a reply too many",
    talk:
      'C: MAIL FROM:<ann@example.org>\nC: RCPT TO:<bob@example.org>\nRAW: "250 a\\r\\n250 b\\r\\n354 early\\r\\n"',
    code: 76,
    says: "out of turn",
  },
  {
    rule: "a refusal in one breath with 354",
    talk:
      `C: MAIL FROM:<ann@example.org>\nC: RCPT TO:<bob@example.org>\nS: 250 a\nS: 250 b\nC: DATA\nRAW: "354 go\\r\\n554 5.7.1 no\\r\\n"\nGONE:`,
    code: 69,
    says: "554 5.7.1 no",
  },
  {
    rule: "an acceptance in one breath with 354",
    talk:
      `C: MAIL FROM:<ann@example.org>\nC: RCPT TO:<bob@example.org>\nS: 250 a\nS: 250 b\nC: DATA\nRAW: "354 go\\r\\n250 ok\\r\\n"\nGONE:`,
    code: 76,
    says: "out of turn at the message: 250 ok",
  },
  {
    rule: "60 recipients in two groups",
    args: ["-t", Array.from({ length: 60 }, (_, index) => `r${index}@x.example`).join(", ")],
    talk: `C: MAIL FROM:<ann@example.org>\n${groupOf(0, 49)}\n${"S: 250 ok\n".repeat(50)}${
      groupOf(49, 60)
    }\n${"S: 250 ok\n".repeat(11)}${DATA}\n${DONE}`,
    code: 0,
    says: "60 recipients",
  },
];

for (const mode of ["none", "starttls", "implicit"] as const) {
  for (const [how, cut] of Object.entries(CUTS)) {
    if (mode !== "none" && how !== "at once") continue; // inside TLS a record is what is cut
    for (const dialogue of MAILS) {
      Deno.test(`${mode}, ${how}: ${dialogue.rule}`, async () => {
        await converse(dialogue, mode, cut);
      });
    }
  }
}

for (const dialogue of BEGINNINGS) {
  for (const [how, cut] of Object.entries(CUTS)) {
    if (how !== "at once" && dialogue.talk.length > 10_000) continue;
    Deno.test(`beginning, ${how}: ${dialogue.rule}`, async () => {
      await converse({ args: ["-t", "bob@example.org"], ...dialogue }, null, cut);
    });
  }
}

function decoded(base64: string): string {
  try {
    return text(Uint8Array.fromBase64(base64));
  } catch {
    return ""; // it was a word
  }
}

for (const mode of ["starttls", "implicit"] as const) {
  for (const dialogue of LOGINS) {
    Deno.test(`login, ${mode}: ${dialogue.rule}`, async () => {
      const { env = PASSWORD, args = USER } = dialogue;
      const result = await converse(
        { ...dialogue, env, args: [...args, "-v"] },
        mode,
        (text) => [text],
      );
      const output = `${result.stderr}${result.stdout}`;
      const coded = [...output.matchAll(/[A-Za-z0-9+/]+=*/g)].map(([word]) => decoded(word));
      for (const secret of Object.values(env)) {
        assert(!output.includes(secret), "a secret is shown");
        assert(!coded.some((words) => words.includes(secret)), "a secret is shown in base64");
      }
      if (result.code === 0) assertStringIncludes(result.stderr, "[credentials]");
    });
  }
}

for (const [how, cut] of Object.entries(CUTS)) {
  for (const dialogue of PIPELINES) {
    Deno.test(`PIPELINING, ${how}: ${dialogue.rule}`, async () => {
      await converse({ ...dialogue, offers: ["pipelining"] }, "none", cut);
    });
  }
}

/** A server that knows SCRAM-SHA-256's password, or does not, or lies (RFC 5802 §3). */
async function scramServer(conn: Deno.Conn, lie: string): Promise<string> {
  using wire = new Wire(conn);
  wire.setDeadline(10_000);
  const say = (line: string) => wire.writeLine(line);
  const hear = async () => await wire.readLine(2000) ?? "";
  const text = (line: string) => new TextDecoder().decode(Uint8Array.fromBase64(line));
  const hmac = (key: string | Uint8Array, message: string) =>
    createHmac("sha256", key).update(message).digest();
  const first = text((await hear()).slice("AUTH SCRAM-SHA-256 ".length)).slice("n,,".length);
  const nonce = lie === "nonce" ? "other" : /r=(.*)$/.exec(first)?.[1];
  const count = lie === "few" ? 1 : lie === "many" ? 99_999_999 : 4096;
  const extension = lie === "extension" ? "m=x," : ""; // which one has to know (RFC 5802 §5.1)
  const challenge = `${extension}r=${nonce}xyz,s=${b64("salt")},i=${count}`;
  await say(`334 ${b64(challenge)}`);
  const final = await hear();
  if (final === "*") {
    await say("501 cancelled");
  } else {
    const [bare = "", proof] = text(final).split(/,p=/);
    const salted = pbkdf2Sync("s3cret", "salt", 4096, 32, "sha256");
    const dialogue = `${first},${challenge},${bare}`;
    const key = hmac(salted, "Client Key");
    const signature = hmac(createHash("sha256").update(key).digest(), dialogue);
    assertEquals(proof, key.map((octet, at) => octet ^ (signature[at] ?? 0)).toBase64());
    const verifier = hmac(hmac(salted, "Server Key"), dialogue).toString("base64");
    if (lie === "early") await say("235 in");
    else if (lie === "error") await say(`334 ${b64("e=invalid-proof")}`);
    else await say(`334 ${b64(`v=${lie === "verifier" ? b64("x") : verifier}`)}`);
    if (lie === "early") return await hear();
    const word = await hear();
    await say(word === "*" ? "501 cancelled" : "235 in");
  }
  return await hear();
}

for (
  const [lie, says] of [
    ["", "is ready"],
    ["nonce", "nonce is not ours"],
    ["few", "asks for 1 iterations"],
    ["many", "asks for 99999999 iterations"],
    ["verifier", 'did not prove that it knows the password: "v='],
    ["error", 'did not prove that it knows the password: "e=invalid-proof"'],
    ["extension", 'challenge is "m=x,r='],
    ["early", "did not prove that it knows the password"],
  ] as const
) {
  Deno.test(`RFC 5802 SCRAM-SHA-256: ${lie === "" ? "both sides prove themselves" : `a lie: ${lie}`}`, async () => {
    using listener = Deno.listen(LOCAL);
    const serving = listener.accept().then(async (conn) => {
      using plain = new Wire(conn);
      const tls = await acceptTls(conn);
      using wire = new Wire(tls);
      await wire.writeLine("220 mx");
      await wire.readLine(100);
      await wire.write("250-mx\r\n250 AUTH PLAIN SCRAM-SHA-256\r\n");
      const next = await scramServer(tls, lie);
      plain.note(next);
      return next;
    });
    const server = `127.0.0.1:${listener.addr.port}`;
    const args = [
      "--check",
      "--server",
      server,
      "--tls",
      "implicit",
      "--ca",
      `${TLS}ca.pem`,
      "-u",
      "ann",
    ];
    const result = await run(args, { env: PASSWORD });
    assertEquals(result.code, lie === "" ? 0 : 77, result.stderr);
    assertStringIncludes(result.stderr, says);
    assertEquals(await serving, "QUIT");
  });
}

Deno.test("552 in the middle of the message is read before the broken pipe is reported", async () => {
  for (const how of ["closes", "stops reading"]) {
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
  }
});

Deno.test("a reply that drips does not outlive the deadline", async () => {
  using listener = Deno.listen(LOCAL);
  const serving = listener.accept().then(async (conn) => {
    try {
      for (;;) {
        await send(conn, ["220-x\r\n"]);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    } catch {
      conn.close(); // the client is gone
    }
  });
  const args = ["--check", "--server", `127.0.0.1:${listener.addr.port}`, "--timeout", "0.3"];
  assertEquals((await run(args)).code, 75);
  await serving;
});

Deno.test("files that change: fewer octets never make a finished message, more are left out", async () => {
  for (const change of ["shorter", "longer"]) {
    const file = await Deno.makeTempFile();
    await Deno.writeFile(file, new Uint8Array(1000));
    using listener = Deno.listen(LOCAL);
    const serving = listener.accept().then(async (conn) => {
      using wire = new Wire(conn);
      await wire.write("220 mx\r\n");
      let got = "";
      for (const reply of ["250-mx\r\n250 SIZE", "250 ok", "250 ok", "354 go"]) {
        got += await wire.readLine(1000);
        if (change === "shorter") await Deno.truncate(file, 10);
        else await Deno.writeFile(file, new Uint8Array(9), { append: true });
        await wire.write(`${reply}\r\n`);
      }
      let message = "";
      for (let line; (line = await wire.readLine(1000)) !== null && line !== ".";) {
        message += `${line}\r\n`;
      }
      if (change === "longer") await wire.write("250 ok\r\n");
      return { message, size: /SIZE=(\d+)/.exec(got)?.[1], end: await wire.readLine(100) };
    });
    const args = [
      "--server",
      `127.0.0.1:${listener.addr.port}`,
      "--tls",
      "none",
      "-m",
      "x",
      "-a",
      file,
    ];
    const result = await run([...args, "-f", "a@x.example", "-t", "b@x.example"]);
    const { message, size, end } = await serving;
    if (change === "shorter") assertEquals([result.code, end], [75, null]);
    else assertEquals([result.code, end, message.length], [0, "QUIT", Number(size)]);
    await Deno.remove(file);
  }
});

Deno.test("standard input is left alone where the body is given, or it is spoken for", async () => {
  const untouched = (args: string[], answer: string) =>
    mail(["--dry-run", "-f", "a@x.example", "-t", "b@x.example", ...args], {
      env: {},
      stdin: {
        isTerminal: () => false,
        get readable() {
          if (answer === "") throw new Error("standard input was read");
          return new Blob([answer]).stream();
        },
      },
      ask: () => null,
      say: () => {},
      print: (output) => printed += text(output),
      signal: () => new AbortController().signal,
    });
  let printed = "";
  assertEquals(await untouched(["-m", "given"], ""), 0);
  assertStringIncludes(printed, "given\r\n");
  printed = "";
  assertEquals(await untouched(["--html-file", "-"], "<p>"), 0);
  assert(!printed.includes("text/plain"));
});

Deno.test("usage: standard input that cannot be read", async () => {
  const stdin = {
    isTerminal: () => false,
    readable: new ReadableStream<Uint8Array<ArrayBuffer>>({
      start: (stream) => stream.error(new Deno.errors.IsADirectory("Is a directory")),
    }),
  };
  const args = ["--dry-run", "-f", "a@x.example", "-t", "b@x.example"];
  const none = { env: {}, ask: () => null, say: () => {}, print: () => {} };
  const signal = () => new AbortController().signal;
  const reading = () => mail(args, { ...none, stdin, signal });
  await assertRejects(reading, UsageError, 'Cannot read "-": Is a directory');
});

Deno.test("the password is the first line of its file", async () => {
  const file = await Deno.makeTempFile();
  try {
    for (const content of ["s3cret", "s3cret\n", "s3cret\r\n", "s3cret\n\n", "s3cret\nann\n"]) {
      await Deno.writeTextFile(file, content);
      const talk = `C: AUTH PLAIN ${b64("\0ann\0s3cret")}\nS: 235 in\n${BYE}`;
      const args = ["--check", "-u", "ann", "--password-file", file];
      const dialogue = { rule: "", talk, offers: ["AUTH PLAIN"], args, code: 0 };
      await converse(dialogue, "implicit", (text) => [text]);
    }
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("Ctrl-C ends a session at once, without a word", async () => {
  using listener = Deno.listen(LOCAL);
  const stop = new AbortController();
  const serving = listener.accept().then(async (conn) => {
    using wire = new Wire(conn);
    await wire.write("220 mx\r\n");
    await wire.readLine(100);
    stop.abort();
    return await wire.readLine(100).catch(() => null);
  });
  const args = ["--check", "--server", `127.0.0.1:${listener.addr.port}`, "--tls", "none"];
  assertEquals((await run(args, { signal: stop.signal })).code, 130);
  assertEquals(await serving, null);
});

Deno.test("--timeout bounds the wait for the reply to QUIT, too", async () => {
  const talk = `${prelude("none", [])}\n${SENT.replace(/\n[^\n]*$/, "\nSILENT:")}`;
  const args = ["-t", "bob@example.org", "--tls", "none", "--timeout", "0.3"];
  const start = performance.now();
  await converse({ rule: "", talk, args, code: 0 }, null, (text) => [text]);
  assert(performance.now() - start < 1500);
});

Deno.test("the result as JSON", async () => {
  const dialogue = {
    rule: "",
    talk: `${MAIL}\n${rcpt("a")}\n${rcpt("b", "550 no")}\n${DATA}\n${DONE}`,
    args: ["-t", "a@x.example,b@x.example", "--json"],
    code: 67,
  };
  const { stdout } = await converse(dialogue, "none", (text) => [text]);
  const { accepted, refused, response, messageId, size, status } = JSON.parse(stdout);
  assertEquals(accepted, ["a@x.example"]);
  assertEquals(refused, [{ address: "b@x.example", code: 550, text: "no" }]);
  assertEquals([status, response], [67, "250 2.0.0 Queued as 1"]);
  assertMatch(messageId, /^<[-0-9a-f]+@example\.org>$/);
  assert(size > 100);
});

Deno.test("-v shows the conversation, without the message", async () => {
  const { stderr } = await converse(
    { rule: "", talk: SENT, args: ["-t", "bob@example.org", "-v"], code: 0 },
    "starttls",
    (text) => [text],
  );
  const lines = stderr.split("\n").map((line) => line.replace(/\d+/g, "N"));
  for (
    const line of [
      "< N mx.example ESMTP",
      "> EHLO [N.N.N.N]",
      "> STARTTLS",
      "* TLS, certificate valid for N.N.N.N",
      "> DATA",
      "> [N octets]",
      "> .",
      "< N N.N.N Queued as N",
      "> QUIT",
    ]
  ) {
    assert(lines.includes(line), `${line} is not in\n${stderr}`);
  }
  assert(!stderr.includes("hi\n"));
});

for (
  const [rule, dialogue] of Object.entries<
    Omit<Dialogue, "rule" | "code"> & { mode: Mode; code: number }
  >({
    "530 in a name is no 530": {
      mode: "none",
      talk: `${
        prelude("none", [])
      }\n${MAIL}\nC: RCPT TO:<bob@example.org>\nS: 550 5.1.1 no a530 here\n${BYE}`,
      code: 69,
    },
    "no implicit TLS to who has it": { mode: "implicit", code: 75, talk: "GONE:" },
    "nor to who speaks in the clear": { mode: "none", code: 76, talk: "S: SSH-2.0-x" },
  })
) {
  Deno.test(`advice only where it fits: ${rule}`, async () => {
    const talk = dialogue.mode === "none" ? dialogue.talk : `TLS:\n${dialogue.talk}`;
    const args = ["-t", "bob@example.org", "--tls", dialogue.mode];
    const { code } = dialogue;
    const { stderr } = await converse({ rule, talk, args, code }, null, (text) => [text]);
    assertEquals(stderr.trim().split("\n").length, 1, stderr);
  });
}

Deno.test("--check says what is offered", async () => {
  const talk = `C: AUTH PLAIN ${b64("\0ann\0s3cret")}\nS: 235 in\n${BYE}`;
  const dialogue = {
    rule: "",
    talk,
    offers: ["SIZE 1000", "", "AUTH PLAIN"], // a line without a keyword offers nothing
    args: ["--check", "-u", "ann"],
    env: PASSWORD,
    code: 0,
  };
  const { stdout, stderr } = await converse(dialogue, "implicit", (text) => [text]);
  assertEquals(stdout, "SIZE 1000\nAUTH PLAIN\n");
  assertStringIncludes(stderr, "TLS, login by PLAIN");
});

Deno.test("a 250 ahead of the final dot accepts nothing: the message is not finished", async () => {
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

const BAD: [args: string[], says: string][] = [
  [["--prot", "1"], "--port"],
  [["--server"], "needs a value"],
  [[...MINIMAL, "--port", "http"], "http"],
  [[...MINIMAL, "--port", "0"], "0"],
  [[...MINIMAL, "--tls", "maybe"], "maybe"],
  [[...MINIMAL, "--timeout", "soon"], "soon"],
  [[...MINIMAL, "--auth", "digest-md5", "-u", "ann"], "digest-md5"],
  [[...MINIMAL, "--auth", "plain"], "--user"],
  [[...MINIMAL, "-u", "ann", "--tls", "none"], "--tls none"],
  [[...MINIMAL, "-u", "ann"], "SMTP_PASSWORD"],
  [[...MINIMAL, "-u", "ann", "--auth", "xoauth2"], "SMTP_TOKEN"],
  [[...MINIMAL, "-u", "ann", "--password-file", "/no/such"], "/no/such"],
  ...[
    ["--tls", "maybe"],
    ["--port", "http"],
    ["--timeout", "soon"],
    ["--auth", "digest-md5"],
    [
      "--helo",
      "a_b",
    ],
    ["--ca", "/no/such"],
    ["--server", "a b"],
  ].map((
    [option = "", value = ""],
  ): [args: string[], says: string] => [[...MINIMAL, "--dry-run", option, value], value]),
  [[...MINIMAL, "--dry-run", "--check"], "--check"],
  [[...MINIMAL, "-u", ""], "--user"],
  [[...MINIMAL, "--password-file", ""], "--user"],
  [[...MINIMAL, "--to", ""], "--to"],
  [[...MINIMAL, "--cc", " "], "--cc"],
  [[...MINIMAL, "--ca", "/dev/null"], "PEM"],
  [[...MINIMAL, "--ca", "/no/such"], "/no/such"],
  [[...MINIMAL, "--helo", "a b"], "a b"],
  [[...MINIMAL, "--helo", "a\r\nQUIT"], "a\\x0d\\x0aQUIT"],
  [[...MINIMAL, "--server", "a\r\nb"], "a\\x0d\\x0ab"],
  [[...MINIMAL, "--server", "a b"], "a b"],
  [[...MINIMAL, "--server", "127.1"], "127.1"],
  [[...MINIMAL, "--server", "2130706433"], "2130706433"],
  [[...MINIMAL, "--server", "[::::]"], "[::::]"],
  [[...MINIMAL, "--server", "a:b"], "a:b"],
  [[...MINIMAL, "--server", "host:99999"], "99999"],
  [[...MINIMAL, "-t", "bob"], "bob"],
  [[...MINIMAL, "-t", "bob@"], "bob@"],
  [[...MINIMAL, "-t", "bob@example.org\r\nDATA"], "bob@example.org\\x0d\\x0aDATA"],
  [[...MINIMAL, "-t", "bob@exa\0mple.org"], "\\x00"],
  [[...MINIMAL, "-t", "b ob@example.org"], "b ob"],
  [[...MINIMAL, "-t", "a..b@example.org"], "a..b"],
  [[...MINIMAL, "-t", "a@b@example.org"], "a@b@"],
  [[...MINIMAL, "-t", "a@-x.example"], "a@-x"],
  [[...MINIMAL, "-t", "a@[999.1.1.1]"], "999"],
  [[...MINIMAL, "-t", "a@[IPv6:::::]"], ":::::"],
  [[...MINIMAL, "-t", "a@[IPv6:192.0.2.1]"], "IPv6:192.0.2.1"],
  [[...MINIMAL, "-t", "a@１.２"], "１.２"],
  [[...MINIMAL, "-t", "a@x.example <b@x.example> <c@x.example>"], "b@x.example"],
  [[...MINIMAL, "-H", `${"X".repeat(999)}: y`], "XXX"],
  [[...MINIMAL, "-t", "a@x..example"], "x..e"],
  [[...MINIMAL, "-t", "Doe, John <j@example.org>"], "Doe"],
  [[...MINIMAL, "-t", '"open <j@example.org>'], "open"],
  [[...MINIMAL, "-t", `${"x".repeat(65)}@example.org`], "xxx"],
  [[...MINIMAL, "-f", "a@x.example,b@x.example"], "one address"],
  [[...MINIMAL, "-f", "a@x.example>\r\nRCPT TO:<eve@x.example"], "\\x0d"],
  [[...MINIMAL, "-H", "X: y\nBcc: eve@x.example"], "\\x0a"],
  [[...MINIMAL, "eve@x.example"], "eve@x.example"],
  [MINIMAL.slice(2), "--server"],
  [[...MINIMAL.slice(0, -2), "--eml", "-", "--password-file", "-"], "--eml, --password-file"],
  [[...MINIMAL.slice(0, -2), "--html-file", "-", "--body-file", "-"], "standard input"],
  [[...MINIMAL, "--ca", "-", "--html-file", "-"], "standard input"],
  [["--server", "x.example", "-m", "x", "-f", "a@x.example"], "--to"],
  [["--server", "x.example", "-m", "x", "-t", "a@x.example"], "--from"],
  ...[
    ["--from", "ann"],
    ["--to", "bob"],
    ["--cc", "bob@"],
    ["--reply-to", "a b@x.example"],
    ["--header", "nothing"],
    ["--attach", "/no/such"],
    ["--inline", "/tmp"],
  ].map((
    [option = "", value = ""],
  ): [args: string[], says: string] => [
    ["--check", "--server", "x.example", option, value],
    value,
  ]),
];

Deno.test("usage: a CA whose second certificate is none", async () => {
  const [begin, end] = ["-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"];
  const stdin = `${await Deno.readTextFile(`${TLS}ca.pem`)}${begin}\nAAAA\n${end}\n`;
  await assertRejects(() => run([...MINIMAL, "--ca", "-"], { stdin }), UsageError, '--ca "-"');
});

for (const [args, says] of BAD) {
  Deno.test(`usage: ${JSON.stringify(args.slice(-2))}`, async () => {
    const error = await assertRejects(() => run(args), UsageError);
    assertStringIncludes(error.message, says);
    assert(!/\p{Cc}/u.test(error.message), "one line, fit for a terminal");
  });
}

const OUTSIDE: {
  rule: string;
  args: string[];
  code: number;
  says: string;
  allow?: string[];
  env?: Record<string, string>;
  stdin?: string;
}[] = [
  { rule: "--help", args: ["--help"], code: 0, says: "Usage: smtp_client", allow: [] },
  { rule: "--version", args: ["-V"], code: 0, says: "smtp_client 1.", allow: [] },
  {
    rule: "a usage error",
    args: ["--prot", "1"],
    code: 2,
    says: 'Unknown option "--prot": did you mean --port?',
  },
  {
    rule: "nobody listens",
    args: MINIMAL,
    code: 68,
    says: "Cannot reach 127.0.0.1",
    allow: ["--allow-net"],
  },
  {
    rule: "no such host",
    args: ["--check", "--server", "no.such.host.invalid"],
    code: 68,
    says: "Cannot reach no.such.host.invalid",
  },
  {
    rule: "a file may not be read",
    args: [...MINIMAL, "-a", "README.md"],
    code: 2,
    says: "--allow-read",
    allow: ["--allow-net"],
  },
  {
    rule: "the network may not be used",
    args: MINIMAL,
    code: 2,
    says: "--allow-net=127.0.0.1:1",
    allow: [],
  },
  {
    rule: "the environment is not asked for",
    args: ["-m", "x", "-t", "b@x.example"],
    code: 2,
    says: "No sender",
    allow: [],
    env: { SMTP_FROM: "a@x.example" },
  },
  {
    rule: "SMTP_FROM and standard input",
    args: ["--dry-run", "-t", "b@x.example"],
    code: 0,
    says: "From: a@x.example\r\n",
    env: { SMTP_FROM: "a@x.example" },
    stdin: "hi",
  },
];

for (const { rule, args, code, says, allow = ["--allow-all"], env = {}, stdin } of OUTSIDE) {
  Deno.test(`as a program: ${rule}`, async () => {
    const outcome = await runProgram("smtp_client.ts", args, {
      allow,
      env,
      ...(stdin && { stdin }),
    });
    assertStringIncludes(`${outcome.stdout}${outcome.stderr}`, says);
    assertEquals(outcome.code, code, outcome.stderr);
    assert(!outcome.stderr.includes("    at "), "no stack trace");
  });
}

/** Runs what its arguments say on a terminal, and types a password when it is asked for. */
const TERMINAL = String.raw`
import os, pty, signal, sys
pid, fd = pty.fork()
if pid == 0: os.execvp(sys.argv[1], sys.argv[1:])
signal.alarm(20)
shown = b""
try:
    while octets := os.read(fd, 65536):
        shown += octets
        if b"Password" in octets: os.write(fd, b"s3cret\n")
except OSError: pass
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode())
`;
const python = await new Deno.Command("python3", { args: ["-V"] }).output().catch(() => null);
if (python === null) {
  console.log("skipped: no python3 to make a terminal (apt-get install python3)");
}

Deno.test("the password is asked for on a terminal", { ignore: python === null }, async (t) => {
  const file = await Deno.makeTempFile();
  const ask = async (where: string) => {
    const program = [
      Deno.execPath(),
      "run",
      "-A",
      `${ROOT}smtp_client.ts`,
      ...MINIMAL,
      "-u",
      "ann",
    ];
    const command = `'${program.join("' '")}' --json ${where}`;
    const args = ["-c", TERMINAL, "sh", "-c", command];
    return text((await new Deno.Command("python3", { args }).output()).stdout);
  };
  try {
    await t.step("and not shown", async () => {
      const shown = await ask("");
      assertMatch(shown, /^68 Password for "ann": \*{6}\r\n{"status":68/);
      assert(!shown.includes("s3cret"));
    });
    await t.step("that is there to show the question: no JSON behind it", async () => {
      assertMatch(await ask(`> ${file}`), /^2 smtp_client: No password for "ann"/);
      assertEquals(await Deno.readTextFile(file), "");
    });
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("the help names every option and fits 80 columns", async () => {
  const { stdout } = await run(["-h"]);
  const source = await Deno.readTextFile(`${ROOT}smtp_client.ts`);
  const [lists = ""] = /const TEXTS = .*?\n};/s.exec(source) ?? [];
  const names = [...lists.matchAll(/"([a-z-]+)"/g)].map(([, name]) => name);
  assert(new Set(names).size > 25, `only ${names}`);
  for (const name of names) assertStringIncludes(stdout, `--${name}`);
  for (const line of stdout.split("\n")) assert(line.length <= 80, line);
});
