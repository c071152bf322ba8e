/**
 * What the tests of the mail client share: the program run in this process, and a server that
 * follows a transcript.
 *
 * In a transcript "S:" is a line that the server sends and "C:" the line that it must receive;
 * "M:" reads a message up to its final dot, "TLS:" does a handshake, "SILENT:" waits until the
 * client gives up, "RAW:" sends a JSON string as it is, "GONE:" closes the connection. A line that
 * is not in the transcript must not be sent. "SCRAM" is the AUTH line of that mechanism, "OAUTH" that
 * of OAUTHBEARER, for the user "ann" or another name.
 *
 * @module
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "jsr:@std/assert@^1.0.19";
import { escapeText, toByteString, Wire } from "../protocol.ts";
import { parseCommandLine } from "../cli.ts";
import { COMMAND, type Environment, type MailTimes, main } from "../smtp_client.ts";
import { acceptTls, CUTS, LOCAL, octetsOf, send, TLS } from "./helpers.ts";

export type Mode = "none" | "starttls" | "implicit";

export interface Dialogue {
  rule: string;
  /** Keywords after the first line of the reply to EHLO. */
  offers?: string[];
  talk: string;
  args?: string[];
  /** Arguments before `args`; default: BASE. */
  base?: string[];
  env?: Record<string, string>;
  stdin?: string;
  code: number;
  says?: string | RegExp;
  /** Text or pattern that the message has. */
  message?: string | RegExp;
}

export interface Result {
  code: number;
  stderr: string;
  stdout: string;
  messages: string[];
}

export const text = (value: string | Uint8Array) =>
  typeof value === "string" ? value : new TextDecoder().decode(value);

/** Runs the program in this process. Standard output is a string of one char an octet. */
export async function run(
  args: string[],
  { env = {}, stdin, input, ask = () => null, signal = new AbortController().signal, times }: {
    env?: Record<string, string>;
    stdin?: string | undefined;
    /** Standard input as a stream, instead of `stdin`. */
    input?: Environment["stdin"];
    ask?: (prompt: string) => string | null;
    signal?: AbortSignal;
    /** Time limits; default: those of the program. */
    times?: MailTimes;
  } = {},
): Promise<{ code: number; stderr: string; stdout: string }> {
  let [stderr, stdout] = ["", ""];
  const typed = {
    isTerminal: () => stdin === undefined,
    get readable() {
      return new Blob([octetsOf(stdin ?? "")]).stream();
    },
  };
  const code = await main(parseCommandLine(COMMAND, args), {
    env,
    stdin: input ?? typed,
    askSecret: ask,
    say: (line) => stderr += `${line}\n`,
    trace: (mark, text) => stderr += `${mark} ${escapeText(text)}\n`,
    print: (output) => {
      stdout += toByteString(
        typeof output === "string" ? new TextEncoder().encode(output) : output,
      );
    },
    signal: () => signal,
  }, times);
  return { code, stderr, stdout };
}

/** Runs the server's side of a transcript, then reads until the client closes. */
export async function playServer(
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
      else if (line === "SCRAM") { // its nonce is random
        assertMatch(await wire.readLine(20_000) ?? "", /^AUTH SCRAM-SHA-256 \S+$/);
      } else if (mark === "GONE") return messages;
      else if (mark === "SILENT") break;
      else if (mark === "PAUSE") await new Promise((resolve) => setTimeout(resolve, 50));
      else if (mark === "STILL") { // sends nothing, whatever the client sends
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
        if (rest !== "") { // a certificate that the client has to refuse
          await tls.handshake().catch(() => {});
          return messages;
        }
        wire = new Wire(raw);
        wire.setDeadline(20_000);
      } else throw new Error(`Transcript has "${line}"`);
    }
    assertEquals(
      await wire.readLine(100_000).catch(() => null),
      null,
      "the client sent more than the transcript has",
    );
    return messages;
  } finally {
    wire.close();
    raw[Symbol.dispose](); // inside TLS the relay delivers the rest
  }
}

export function prelude(mode: Mode, offers: string[]): string {
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

export const BASE = [
  "-f",
  "ann@example.org",
  "-m",
  "hi",
  "--timeout",
  "20",
  "--ca",
  `${TLS}ca.pem`,
];

/** Runs client and server on a transcript, and checks both. */
export async function converse(
  dialogue: Dialogue,
  mode: Mode | null,
  cut: (text: string) => string[],
): Promise<Result> {
  using listener = Deno.listen(LOCAL);
  const { talk, offers = [], args = ["-t", "bob@example.org"], env, stdin } = dialogue;
  const transcript = mode === null ? talk : `${prelude(mode, offers)}\n${talk}`;
  const { port } = listener.addr;
  const lines = transcript.replace(/^OAUTH ?(.*)$/m, (_, name) => {
    const peer = `n,a=${name || "ann"},\x01host=127.0.0.1\x01port=${port}\x01`;
    return `C: AUTH OAUTHBEARER ${b64(`${peer}auth=Bearer ya29.x\x01\x01`)}`;
  });
  let accepted: Disposable | undefined;
  const serving = listener.accept().then((conn) => {
    listener.close(); // a second connection is refused
    conn.setNoDelay();
    accepted = conn;
    return playServer(conn, lines, cut);
  });
  const server = ["--server", `127.0.0.1:${listener.addr.port}`];
  const how = mode === null ? [] : ["--tls", mode];
  const base = dialogue.base ?? BASE;
  const body = stdin === undefined ? base : base.filter((arg) => arg !== "-m" && arg !== "hi");
  const running = run([...server, ...how, ...body, ...args], { env, stdin });
  running.catch(() => listener.close()); // a client that fails before it connects
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
export const MAIL = "C: MAIL FROM:<ann@example.org>\nS: 250 2.1.0 Ok";
export const RCPT = "C: RCPT TO:<bob@example.org>\nS: 250 2.1.5 Ok";
export const DATA = "C: DATA\nS: 354 Go ahead\nM:";
export const BYE = "C: QUIT\nS: 221 2.0.0 Bye";
export const DONE = `S: 250 2.0.0 Queued as 1\n${BYE}`;
export const SENT = `${MAIL}\n${RCPT}\n${DATA}\n${DONE}`;
export const THREE = ["-t", "a@x.example", "-t", "b@x.example", "-t", "c@x.example"];
export const rcpt = (name: string, reply = "250 ok") =>
  `C: RCPT TO:<${name}@x.example>\nS: ${reply}`;

export const MINIMAL = [
  "--server",
  "127.0.0.1:1",
  "-f",
  "a@x.example",
  "-t",
  "b@x.example",
  "-m",
  "x",
];
export const DRY_RUN = ["--dry-run", "-f", "ann@example.org", "-m", "x"];
export const BOB = ["-t", "bob@example.org"];
export const CLEAR = ["-t", "bob@example.org", "--tls", "none"];
export const TRY = ["-t", "bob@example.org", "--tls", "try"];
export const HI = "S: 220 mx\nC: EHLO [127.0.0.1]\nS: 250-mx\nS: 250 STARTTLS\n";
export const PASSWORD = { SMTP_PASSWORD: "s3cret" };
export const USER = ["-t", "bob@example.org", "-u", "ann"];
export const b64 = (text: string) => new TextEncoder().encode(text).toBase64();
export const LOGIN = `C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: ${
  b64("ann")
}\nS: 334 UGFzc3dvcmQ6\nC: ${b64("s3cret")}\n`;
export const groupOf = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, index) => `C: RCPT TO:<r${from + index}@x.example>`).join(
    "\n",
  );

/** Registers a test for each dialogue, in one mode, with the server's octets cut in each way. */
export function testDialogues(
  dialogues: Dialogue[],
  mode: Mode | null,
  cuts: Record<string, (text: string) => string[]> = CUTS,
): void {
  for (const [how, cut] of Object.entries(cuts)) {
    for (const dialogue of dialogues) {
      if (how !== "at once" && dialogue.talk.length > 10_000) continue;
      const variant = mode === null ? how : `${mode}, ${how}`;
      Deno.test(`${dialogue.rule} [${variant}]`, async () => {
        await converse({ args: ["-t", "bob@example.org"], ...dialogue }, mode, cut);
      });
    }
  }
}

/** Registers a test for each dialogue in every mode. Inside TLS a record is the unit of a cut. */
export function testInAllModes(dialogues: Dialogue[]): void {
  const { "at once": cut } = CUTS;
  const atOnce = cut && { "at once": cut };
  testDialogues(dialogues, "none");
  testDialogues(dialogues, "starttls", atOnce);
  testDialogues(dialogues, "implicit", atOnce);
}
