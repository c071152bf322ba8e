#!/usr/bin/env -S deno run --allow-net --allow-read --allow-env
/**
 * Sends a mail through a submission server, over a bare TCP socket and TLS.
 *
 * ```sh
 * deno run --allow-net --allow-read --allow-env smtp_client.ts --server gmail \
 *   -u me@gmail.com -t bob@example.org -s Hello -m "See the picture" -a photo.png
 * ```
 *
 * It speaks SMTP (RFC 5321) with STARTTLS (RFC 3207), AUTH (RFC 4954), PIPELINING (RFC 2920), SIZE
 * (RFC 1870), SMTPUTF8 (RFC 6531) and DSN (RFC 3461), and writes messages of RFC 5322 with MIME
 * (RFC 2045 to 2047). The file follows the conversation: greeting, TLS and EHLO; login; mail
 * transaction; commands and replies. Then come the message and the command line. Left out, because
 * the submission server does it: MX look-up, DKIM, a queue.
 *
 * The engine is {@linkcode sendMail}. Without a message it logs in and lists the extensions:
 *
 * ```ts
 * import { assertEquals } from "jsr:@std/assert@^1.0.19";
 * import { sendMail, TIMES } from "./smtp_client.ts";
 *
 * using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
 * const serving = (async () => {
 *   using conn = await listener.accept();
 *   for (const reply of ["220 hello", "250-me", "250 SIZE 1000", "221 bye"]) {
 *     await conn.write(new TextEncoder().encode(`${reply}\r\n`));
 *     if (!reply.startsWith("250-")) await conn.read(new Uint8Array(1_000));
 *   }
 * })();
 * const server = { hostname: "127.0.0.1", port: listener.addr.port, tls: "none", trust: null } as const;
 * const mail = { from: "ann@example.org", to: [], notify: undefined, message: null };
 * const job = { ...server, ...mail, helo: "me", times: TIMES, login: null };
 * const { offered } = await sendMail(job, () => {}, new AbortController().signal);
 * assertEquals(offered, ["SIZE 1000"]);
 * await serving;
 * ```
 *
 * @module
 */
import { promptSecret } from "jsr:@std/cli@^1.0.32/prompt-secret";
import { format as formatBytes } from "jsr:@std/fmt@^1.0.10/bytes";
import {
  type Command,
  type CommandLine,
  describeError,
  flag,
  list,
  nonEmpty,
  oneOf,
  option,
  plural,
  print,
  quoteForMessage,
  reasonOf,
  refuseTogether,
  run,
  seconds,
  showTrace,
  shutdownSignal,
  text,
  wholeNumber,
} from "./cli.ts";
import {
  ClosedError,
  DeadlineError,
  decodeUtf8,
  describeTlsFault,
  escapeText,
  ExitError,
  fromByteString,
  LimitError,
  MalformedError,
  mediaType,
  openTls,
  readTrust,
  toByteString,
  TOKEN,
  type Trace,
  type Trust,
  UsageError,
  Wire,
  WireError,
} from "./protocol.ts";

// ---- Terms ---------------------------------------------------------------

/** A complete, validated job: server, login, envelope, message. */
export interface Job {
  /** Name or address of the server; the certificate must be valid for it. */
  hostname: string;
  /** Port of the server. */
  port: number;
  /** When TLS starts. `try`: STARTTLS if it is offered, otherwise no TLS. */
  tls: "starttls" | "implicit" | "try" | "none";
  /** Certificates to trust besides the default roots. */
  trust: Trust | null;
  /** Name for EHLO. Default: the address of this machine. */
  helo: string | undefined;
  /** Time limits. */
  times: MailTimes;
  /** Login, or null for none. */
  login: Login | null;
  /** Reverse-path of the envelope (RFC 5321 §2.3.1). */
  from: string;
  /** Forward-paths of the envelope. */
  to: string[];
  /** Value of NOTIFY for each recipient (RFC 3461 §4.1). */
  notify: string | undefined;
  /** Message, or null to log in and list what the server offers. */
  message: Message | null;
}

/** Time limits of a session (ms). */
export interface MailTimes {
  /** For connecting, the TLS handshake, and each reply. */
  step: number;
  /** For sending a part of the message (RFC 5321 §4.5.3.2.5). */
  block: number;
  /** For the reply to the final dot (RFC 5321 §4.5.3.2.6). */
  end: number;
  /** For the reply to QUIT. */
  quit: number;
}

/**
 * Default time limits. `block` is long because a receiver of 20 kB/s needs minutes to empty a send
 * buffer of 4 MB. `end` is long because a client that gives up too early sends the mail twice.
 */
export const TIMES: MailTimes = { step: 60_000, block: 300_000, end: 600_000, quit: 2000 };

/** Credentials. They are sent inside TLS only. */
export interface Login {
  /** User name. */
  user: string;
  /** Password. */
  password: string | undefined;
  /** OAuth 2.0 access token. */
  token: string | undefined;
  /** Name of the mechanism in capitals; default: the best one offered. */
  mechanism: string | undefined;
}

/** A reply (RFC 5321 §4.2.1): 2yz success, 3yz continue, 4yz temporary, 5yz permanent failure. */
interface Reply {
  code: number;
  /** Texts of the lines, as byte strings. */
  lines: string[];
  /** Code and texts in one line, decoded, without secrets. */
  text: string;
}

/** A message. Attached files are read while it is sent. */
export interface Message {
  /** Value of Message-ID. */
  id?: string | undefined;
  /** Size (octets) as SIZE counts it: with each CRLF, without dot-stuffing (RFC 1870 §5). */
  size: number;
  /** True if the header is not ASCII, so that the message needs SMTPUTF8. */
  isInternational: boolean;
  /** True if there are octets above 127. */
  isEightBit: boolean;
  /** Generates the octets; each chunk is valid until the next one is requested. */
  octets(): AsyncIterable<Uint8Array>;
}

/** A file to attach, with the size that it had when the job was read. */
interface Attachment {
  name: string;
  path: string;
  size: number;
  type: string;
}

/** A part of a message: text, octets, or a file that becomes base64. */
type BodyPart = string | Uint8Array | Attachment;

/** A display name (may be empty) and an address, whose domain is ASCII. */
interface Mailbox {
  name: string;
  address: string;
}

/** Result of a session. Until the session changes it, nothing was sent. */
export class Outcome {
  /** Exit status. */
  status = 0;
  /** What went wrong, in one line; undefined if the session ended as planned. */
  error: string | undefined;
  /** Recipients that the server accepted the message for. */
  accepted: string[] = [];
  /** Recipients that the server refused, with its replies. */
  refused: { address: string; code: number; text: string }[] = [];
  /** Reply to the final dot. */
  response = "";
  /** Mechanism of the login, or null. */
  mechanism: string | null = null;
  /** Keywords and parameters of the reply to EHLO. */
  offered: string[] = [];
  /** True if the session was inside TLS. */
  isEncrypted = false;
  /** Notes for the user. */
  notes: string[] = [];
}

// ---- Numbers -------------------------------------------------------------

/** Exit statuses. The numbers are those of sysexits.h, except for a signal. */
const EXIT = {
  DATAERR: 65,
  PARTIAL: 67,
  NOHOST: 68,
  UNAVAILABLE: 69,
  TEMPFAIL: 75,
  PROTOCOL: 76,
  NOPERM: 77,
  INTERRUPTED: 130,
};

/** Ports of RFC 8314 §7.3: submission with STARTTLS, and with implicit TLS. */
const SUBMISSION_PORT = 587;
const SUBMISSIONS_PORT = 465;
/** Maximum length of a reply line (octets). RFC 5321 §4.5.3.1.5 allows 512; servers send more. */
const MAX_REPLY_LINE = 65_536;
/** Maximum size of a reply: lines, and octets. */
const MAX_REPLY_LINES = 512;
const MAX_REPLY = 1 << 20;
/** Maximum length of an AUTH line with its CRLF (octets). A longer response is sent after a 334. */
const MAX_AUTH_LINE = 512;
/** Maximum length of a line of a message without its CRLF (octets, RFC 5322 §2.1.1). */
const MAX_LINE = 998;
/** Longest address (octets): it cannot be folded, and shares its line with the name of the field. */
const MAX_ADDRESS = MAX_LINE - 40;
/** Preferred length of a line of a header (chars, RFC 5322 §2.1.1). */
const PREFERRED_LINE = 78;
/** Maximum length of a line with an encoded word, or of base64 (RFC 2047 §2, RFC 2045 §6.8). */
const MAX_CODED_LINE = 76;
/** Number of commands sent at once. Their replies fit in any receive buffer (RFC 2920 §3.1). */
const GROUP_SIZE = 50;
/** Iterations of PBKDF2 (RFC 7677 §4). More would keep the client busy for seconds. */
const MIN_ITERATIONS = 4096;
const MAX_ITERATIONS = 1_000_000;
/** Maximum length of a reply where it is shown (chars). */
const MAX_SHOWN = 1000;
/** Size of a read from a file (octets). It fills whole lines of base64. */
const READ_SIZE = 57 * 4096;

const [LF, CR, DOT] = [0x0a, 0x0d, 0x2e];
const encoder = new TextEncoder();
const decoder = new TextDecoder();

// ---- Engine: the session -------------------------------------------------

/**
 * Runs a job. A failure is returned in the outcome, not thrown.
 *
 * @param trace Receives the conversation, without secrets and without the message.
 * @param signal Closes the connection at once.
 */
export async function sendMail(job: Job, trace: Trace, signal: AbortSignal): Promise<Outcome> {
  const outcome = new Outcome();
  const session = new Session(job, trace, signal);
  try {
    await openSession(session);
    if (job.login) outcome.mechanism = await logIn(session, job.login);
    if (job.message) await sendMessage(session, job.message, outcome);
    await session.quit();
    if (outcome.refused.length > 0) outcome.status = EXIT.PARTIAL;
  } catch (error) {
    const failure = signal.aborted
      ? new ExitError(EXIT.INTERRUPTED, `Interrupted at ${session.step}`)
      : toExitError(error, session.step);
    outcome.status = failure.status;
    outcome.error = failure.message;
    if (error instanceof ExitError) await session.quit();
  } finally {
    session.close();
  }
  outcome.offered = session.offered;
  outcome.isEncrypted = session.isEncrypted;
  return outcome;
}

/** Maps an error of a session to an exit status and one line. Rethrows a bug. */
function toExitError(error: unknown, step: string): ExitError {
  if (error instanceof ExitError) return error;
  if (!(error instanceof WireError)) throw error;
  if (error instanceof DeadlineError) {
    return new ExitError(EXIT.TEMPFAIL, `Server took too long at ${step}`);
  }
  if (error instanceof ClosedError) {
    const why = error.cause === undefined ? error.message : describeTlsFault(error.cause, "").why;
    const words = why.replace(/ \(os error \d+\)|:? ?https:.*/g, "");
    return new ExitError(EXIT.TEMPFAIL, `Connection lost at ${step}: ${words}`);
  }
  return new ExitError(EXIT.PROTOCOL, `${error.message}, at ${step}`);
}

/** Connects, starts TLS as the job says, and reads what the server offers. */
async function openSession(session: Session): Promise<void> {
  const { tls } = session.job;
  if (await connectUntilTls(session)) {
    await startTls(session);
    if (tls === "implicit") await readGreeting(session);
    await hello(session); // again: what was offered before TLS is forgotten (RFC 3207 §4.2)
  } else if (tls === "try") session.wire.note("No TLS, continuing in the clear");
}

/** Connects, up to the point where TLS starts. Returns false if the session has no TLS. */
async function connectUntilTls(session: Session): Promise<boolean> {
  const { tls } = session.job;
  await session.connect();
  if (tls === "implicit") return true;
  await readGreeting(session);
  await hello(session);
  return tls !== "none" && await requestTls(session);
}

async function readGreeting(session: Session): Promise<void> {
  session.step = session.isEncrypted ? "the greeting inside TLS" : "the greeting";
  const greeting = await session.readReply();
  if (greeting.code !== 220) throw replyError(session.step, greeting);
}

/** Sends STARTTLS. Returns false if the session continues without TLS (`try`). */
async function requestTls(session: Session): Promise<boolean> {
  const isOptional = session.job.tls === "try";
  if (!session.extensions.has("STARTTLS")) {
    if (isOptional) return false;
    throw new ExitError(EXIT.PROTOCOL, "Server does not offer STARTTLS: nothing was sent");
  }
  const reply = await session.command("STARTTLS");
  if (reply.code === 220) return true;
  if (isOptional && reply.code >= 400) return false;
  throw replyError("STARTTLS", reply, EXIT.PROTOCOL);
}

/** Starts TLS and checks the certificate. Each further check needs a new connection. */
async function startTls(session: Session): Promise<void> {
  const { hostname, trust, times } = session.job;
  let isFirst = true;
  const reconnect = () =>
    connectUntilTls(session).catch((error) => {
      if (error instanceof ExitError || error instanceof WireError) return false;
      throw error;
    });
  const dial = async () => {
    if (!isFirst && !await reconnect()) return null;
    isFirst = false;
    return session.release();
  };
  const late = AbortSignal.timeout(times.step);
  const signal = AbortSignal.any([session.signal, late]);
  try {
    session.useTls(await openTls(dial, { hostname, trust, signal }));
  } catch (error) {
    if (late.aborted) throw new DeadlineError("Peer took too long");
    throw error instanceof ExitError || error instanceof WireError
      ? error
      : tlsError(error, hostname);
  }
}

function tlsError(error: unknown, hostname: string): ExitError {
  const { isCertificate, why } = describeTlsFault(error, "--ca FILE");
  const task = isCertificate ? "trust the certificate of" : "start TLS with";
  const isInvalid = error instanceof Deno.errors.InvalidData;
  const status = isInvalid ? EXIT.PROTOCOL : EXIT.TEMPFAIL;
  return new ExitError(status, `Cannot ${task} ${hostname}: ${why}`);
}

/**
 * Sends EHLO and reads what the server offers. Sends HELO to a server that does not know EHLO
 * (RFC 5321 §3.2), unless TLS is required and has not started: HELO offers no STARTTLS.
 */
async function hello(session: Session): Promise<void> {
  const { tls, helo: name = session.addressLiteral } = session.job;
  session.extensions.clear();
  const reply = await session.command(`EHLO ${name}`);
  if (reply.code === 250) return readExtensions(reply, session.extensions);
  const needsTls = tls === "starttls" && !session.isEncrypted;
  const status = reply.code < 510 ? EXIT.PROTOCOL : EXIT.UNAVAILABLE; // 50z: EHLO is unknown
  if (needsTls || reply.code < 500) throw replyError("EHLO", reply, status);
  const helo = await session.command(`HELO ${name}`);
  if (!isPositive(helo)) throw replyError("HELO", helo);
}

/** Reads each `ehlo-line = ehlo-keyword *( SP ehlo-param )` (RFC 5321 §4.1.1.1). */
function readExtensions({ lines }: Reply, extensions: Map<string, string[]>): void {
  for (const line of lines.slice(1)) { // the first line is a greeting
    const words = line.replace(/^AUTH=/i, "AUTH ").split(/[ \t]+/); // "AUTH=" before RFC 2554
    const [keyword, ...parameters] = words.filter((word) => word !== "");
    if (keyword === undefined) continue;
    const name = keyword.toUpperCase();
    extensions.set(name, [...extensions.get(name) ?? [], ...parameters]);
  }
}

// ---- Engine: the login ---------------------------------------------------

/**
 * Logs in by the best mechanism that is offered, and returns its name.
 *
 * If a password is refused, no other mechanism tries it: more failures may lock the account. If
 * the server refuses before it got a proof, or with 504 (RFC 4954 §4), the next mechanism follows.
 */
async function logIn(session: Session, login: Login): Promise<string> {
  if (!session.isEncrypted) throw new ExitError(EXIT.PROTOCOL, "Cannot log in without TLS");
  const offered = (session.extensions.get("AUTH") ?? []).map((name) => name.toUpperCase());
  const known = mechanisms(login, session.job);
  const usable = known.filter(({ name }) => offered.includes(name));
  session.secrets = [login.password ?? "", login.token ?? ""]
    .filter(({ length }) => length > 3) // "a" is in every line
    .flatMap((secret) => [secret, toByteString(encoder.encode(secret))]);
  for (const mechanism of usable) {
    const { reply, isProofSent } = await authenticate(session, mechanism);
    if (reply.code === 235) return mechanism.name;
    const isFinal = reply.code !== 504 && (isProofSent || reply.code < 500);
    if (!isFinal && mechanism !== usable.at(-1)) continue;
    const text = session.conceal(reply.text + (mechanism.reason?.() ?? ""));
    throw replyError(`AUTH ${mechanism.name}`, { ...reply, text }, EXIT.NOPERM);
  }
  const names = known.map(({ name }) => name).join(", ");
  const offer = offered.length > 0 ? `only ${offered.join(" ")}` : "no AUTH";
  throw authError(session.conceal(`Cannot log in by ${names}: the server offers ${offer}`));
}

/** Runs one mechanism, challenge by challenge (RFC 4954 §4). */
async function authenticate(session: Session, mechanism: Mechanism) {
  const { name, steps, isClientFirst, isMutual, proofStep } = mechanism;
  const initial = isClientFirst ? ` ${encodeSecret(session, await steps[0]?.("") ?? "")}` : "";
  const fits = initial !== "" && `AUTH ${name}${initial}\r\n`.length <= MAX_AUTH_LINE;
  let step = fits ? 1 : 0;
  let reply =
    await (fits
      ? session.command(`AUTH ${name}${initial}`, `AUTH ${name} [credentials]`)
      : session.command(`AUTH ${name}`));
  while (reply.code === 334) {
    const response = await respond(session, mechanism, step++, reply.lines.join(""));
    reply = await session.command(response, response && "[credentials]");
  }
  if (reply.code === 235 && isMutual && step < steps.length) {
    throw authError("Server did not prove that it knows the password");
  }
  return { reply, isProofSent: step > proofStep };
}

/** Answers a challenge. If that is impossible, cancels the exchange with "*". */
async function respond(session: Session, mechanism: Mechanism, step: number, challenge: string) {
  const { name, steps: { [step]: answer } } = mechanism;
  try {
    if (!answer) throw authError("the server asks for more than the mechanism has");
    return encodeSecret(session, await answer(challenge));
  } catch (error) {
    if (!(error instanceof ExitError)) throw error;
    await session.command("*");
    throw authError(session.conceal(`Cannot log in by ${name}: ${error.message}`));
  }
}

/** Encodes a response as base64, which is a secret as well. */
function encodeSecret(session: Session, response: string): string {
  const encoded = encoder.encode(response).toBase64();
  if (encoded !== "") session.secrets.push(encoded);
  return encoded;
}

/** A mechanism of RFC 4422. */
interface Mechanism {
  name: string;
  /** True if the first response may go on the AUTH line. */
  isClientFirst: boolean;
  /** True if the server has to prove itself too: a 235 before the last step is an error. */
  isMutual?: boolean;
  /** Index of the first step whose response contains or proves a secret. */
  proofStep: number;
  /** Responses to the challenges; a step that throws cancels the exchange. */
  steps: ((challenge: string) => string | Promise<string>)[];
  /** Returns the reason of a refusal, which the server sent as a challenge. */
  reason?: () => string;
}

/** Returns the mechanisms that can use the credentials, the best first. */
function mechanisms({ user, password, token, mechanism }: Login, job: Job): Mechanism[] {
  const all: Mechanism[] = [];
  if (token !== undefined) {
    const bearer = `auth=Bearer ${token}\x01\x01`; // RFC 7628 §3.1
    const peer = `n,a=${saslName(user)},\x01host=${job.hostname}\x01port=${job.port}\x01`;
    all.push(oauth("OAUTHBEARER", peer + bearer, "\x01"));
    all.push(oauth("XOAUTH2", `user=${user}\x01${bearer}`, ""));
  }
  if (password !== undefined) {
    const plain = `\0${user}\0${password}`;
    all.push(scram(user, password));
    all.push({ name: "PLAIN", isClientFirst: true, proofStep: 0, steps: [() => plain] });
    const steps = [() => user, () => password];
    all.push({ name: "LOGIN", isClientFirst: false, proofStep: 1, steps });
    all.push(cramMd5(user, password));
  }
  return mechanism === undefined ? all : all.filter(({ name }) => name === mechanism);
}

/** Sends a token. The server sends the reason of a refusal, and refuses after `acknowledgement`. */
function oauth(name: string, response: string, acknowledgement: string): Mechanism {
  let reason = "";
  const readReason = (challenge: string) => {
    reason = ` (${decoder.decode(decodeBase64(challenge))})`;
    return acknowledgement;
  };
  const steps = [() => response, readReason];
  return { name, isClientFirst: true, proofStep: 0, steps, reason: () => reason };
}

/** CRAM-MD5 (RFC 2195 §2): an HMAC of the challenge. */
function cramMd5(user: string, password: string): Mechanism {
  const digest = async (challenge: string) => {
    const { createHmac } = await import("node:crypto"); // WebCrypto has no MD5
    const hmac = createHmac("md5", password).update(decodeBase64(challenge));
    return `${user} ${hmac.digest("hex")}`;
  };
  return { name: "CRAM-MD5", isClientFirst: false, proofStep: 0, steps: [digest] };
}

/** `server-first-message` without a mandatory extension (RFC 5802 §7). */
const SERVER_FIRST = /^r=([!-+\--~]+),s=([A-Za-z0-9+/=]+),i=(\d{1,9})(?:,|$)/;

/** SCRAM-SHA-256 (RFC 5802 §3, RFC 7677): both sides prove that they know the password. */
function scram(user: string, password: string): Mechanism {
  const clientNonce = crypto.getRandomValues(new Uint8Array(18)).toBase64();
  const clientFirst = `n=${saslName(user)},r=${clientNonce}`;
  let serverSignature = "";
  const prove = async (challenge: string): Promise<string> => {
    const serverFirst = decoder.decode(decodeBase64(challenge));
    const [, nonce = "", salt = "", count] = SERVER_FIRST.exec(serverFirst) ?? [];
    checkServerFirst(serverFirst, clientNonce, nonce, Number(count));
    const salted = await pbkdf2(password, decodeBase64(salt), Number(count));
    const clientFinal = `c=biws,r=${nonce}`;
    const dialogue = `${clientFirst},${serverFirst},${clientFinal}`;
    const clientKey = await hmac(salted, "Client Key");
    const storedKey = new Uint8Array(await crypto.subtle.digest("SHA-256", clientKey));
    const signature = await hmac(storedKey, dialogue);
    serverSignature = (await hmac(await hmac(salted, "Server Key"), dialogue)).toBase64();
    const proof = clientKey.map((octet, at) => octet ^ (signature[at] ?? 0));
    return `${clientFinal},p=${proof.toBase64()}`;
  };
  const verify = (challenge: string): string => {
    const serverFinal = toByteString(decodeBase64(challenge));
    if (serverFinal.split(",")[0] === `v=${serverSignature}`) return "";
    // It may be "e=" with a reason (RFC 5802 §7).
    throw authError(`the server did not prove that it knows the password: "${serverFinal}"`);
  };
  const steps = [() => `n,,${clientFirst}`, prove, verify];
  return { name: "SCRAM-SHA-256", isClientFirst: true, isMutual: true, proofStep: 1, steps };
}

/** Checks the nonce and the number of iterations (RFC 5802 §5.1, RFC 7677 §4). */
function checkServerFirst(message: string, clientNonce: string, nonce: string, count: number) {
  if (nonce === "") throw authError(`the server's challenge is "${message}"`);
  if (!nonce.startsWith(clientNonce) || nonce === clientNonce) {
    throw authError("the server's nonce does not extend the client's nonce");
  }
  if (count < MIN_ITERATIONS || count > MAX_ITERATIONS) {
    throw authError(`the server asks for ${count} iterations`);
  }
}

async function pbkdf2(password: string, salt: BufferSource, iterations: number) {
  const secret = encoder.encode(password.normalize("NFKC"));
  const key = await crypto.subtle.importKey("raw", secret, "PBKDF2", false, ["deriveBits"]);
  const algorithm = { name: "PBKDF2", hash: "SHA-256", salt, iterations };
  return new Uint8Array(await crypto.subtle.deriveBits(algorithm, key, 256));
}

async function hmac(secret: BufferSource, text: string): Promise<Uint8Array<ArrayBuffer>> {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", secret, algorithm, false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", key, encoder.encode(text)));
}

function authError(why: string): ExitError {
  return new ExitError(EXIT.NOPERM, why);
}

/** Escapes a name as `saslname` (RFC 5802 §5.1). */
function saslName(user: string): string {
  return user.normalize("NFKC").replaceAll("=", "=3D").replaceAll(",", "=2C");
}

function decodeBase64(challenge: string): Uint8Array<ArrayBuffer> {
  const octets = tryBase64(challenge);
  if (octets === null) throw authError("the server's challenge is not base64");
  return octets;
}

function tryBase64(text: string): Uint8Array<ArrayBuffer> | null {
  try {
    return Uint8Array.fromBase64(text);
  } catch {
    return null;
  }
}

// ---- Engine: the mail transaction ----------------------------------------

/** Sends a message (RFC 5321 §3.3). Refused recipients are noted; the others get the message. */
async function sendMessage(session: Session, message: Message, outcome: Outcome): Promise<void> {
  const { refused } = outcome;
  const accepted = await sendEnvelope(session, message, outcome);
  if (accepted.length === 0) {
    const isTemporary = refused.some(({ code }) => code < 500);
    throw new ExitError(isTemporary ? EXIT.TEMPFAIL : EXIT.UNAVAILABLE, listRefused(refused));
  }
  const data = await session.command("DATA"); // not pipelined: a 354 cannot be taken back
  if (data.code !== 354) throw replyError("DATA", data);
  outcome.response = (await sendData(session, message)).text;
  outcome.accepted = accepted;
}

/** Sends MAIL and RCPT, in groups with PIPELINING. Returns the accepted recipients. */
async function sendEnvelope(session: Session, message: Message, { refused, notes }: Outcome) {
  const { from, to } = session.job;
  const notify = notifyParameter(session, notes);
  const mail = `MAIL FROM:<${from}>${mailParameters(session, message)}`;
  const commands = [mail, ...to.map((path) => `RCPT TO:<${path}>${notify}`)];
  const groupSize = session.extensions.has("PIPELINING") ? GROUP_SIZE : 1;
  const accepted: string[] = [];
  for (let start = 0; start < commands.length; start += groupSize) {
    const replies = await session.pipeline(commands.slice(start, start + groupSize));
    for (const [index, reply] of replies.entries()) {
      const address = to[start + index - 1]; // undefined for MAIL, which comes first
      const isOneRefusal = address !== undefined && reply.code >= 400 && reply.code !== 421;
      if (isOneRefusal) refused.push({ address, code: reply.code, text: reply.text.slice(4) });
      else if (!isPositive(reply)) throw replyError(commands[start + index] ?? "", reply);
      else if (address !== undefined) accepted.push(address);
    }
  }
  return accepted;
}

/**
 * Returns the parameters of MAIL (RFC 1870, 6152, 6531).
 *
 * @throws {ExitError} If the server cannot take the message.
 */
function mailParameters({ job, extensions }: Session, message: Message): string {
  const { size, isInternational, isEightBit } = message;
  const [declared = ""] = extensions.get("SIZE") ?? [];
  const limit = /^\d+$/.test(declared) && Number(declared) || Infinity; // 0 means no limit
  const isUtf8 = isInternational || !isAscii([job.from, ...job.to].join());
  if (size > limit) throw cannotSend(`it has ${size} octets, the server accepts ${limit}`);
  if (isUtf8 && !extensions.has("SMTPUTF8")) {
    throw cannotSend("an address or a field is not ASCII, and the server offers no SMTPUTF8");
  }
  // SMTPUTF8 includes 8BITMIME (RFC 6531 §3.1).
  if (isEightBit && !extensions.has("8BITMIME") && !isUtf8) {
    throw cannotSend("it has 8-bit octets, and the server offers no 8BITMIME");
  }
  let parameters = "";
  if (extensions.has("SIZE")) parameters += ` SIZE=${size}`;
  if (isEightBit && extensions.has("8BITMIME")) parameters += " BODY=8BITMIME";
  if (isUtf8) parameters += " SMTPUTF8";
  return parameters;
}

/** Returns the parameter of RCPT that asks for delivery status notifications (RFC 3461 §4.1). */
function notifyParameter({ job: { notify }, extensions }: Session, notes: string[]): string {
  if (notify === undefined) return "";
  if (extensions.has("DSN")) return ` NOTIFY=${notify}`;
  notes.push("the server does not offer DSN: no delivery status notifications");
  return "";
}

/**
 * Sends the message and its final dot. Reads from the start: a server that refuses in the middle
 * sends 552 and closes. The next write then fails, but the reply is there.
 */
async function sendData(session: Session, message: Message): Promise<Reply> {
  session.step = "the message";
  session.isOver = true; // inside the message a QUIT would be text
  const reading = session.readReply();
  reading.catch(() => {}); // awaited below, unless reading a file fails first
  const isWritten = await writeMessage(session, message, reading);
  if (!isWritten) throw replyError(session.step, await reading);
  session.trace(">", `[${message.size} octets]`);
  session.step = "the end of the message, which may have been delivered";
  session.wire.setDeadline(session.job.times.end);
  await session.wire.writeLine(".").catch(() => {}); // if it fails, `reading` tells why
  const reply = await reading;
  session.isOver = reply.code === 421;
  if (!isPositive(reply)) throw replyError("the message", reply);
  return reply;
}

/** Writes the octets of a message. Returns false if a reply or an error came before their end. */
async function writeMessage(session: Session, message: Message, reading: Promise<Reply>) {
  const { wire, job } = session;
  let isAnswered = false;
  const answered = reading.catch(() => {}).then(() => {
    isAnswered = true;
  });
  try {
    for await (const octets of dotStuff(message.octets())) {
      const writing = wire.write(octets, job.times.block);
      writing.catch(() => {}); // it may fail after the reply
      await Promise.race([writing, answered]);
      if (isAnswered) return false;
    }
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    return false; // the connection is lost; `reading` tells why
  }
  return !isAnswered;
}

/** Doubles each dot that begins a line: a line of one dot ends the message (RFC 5321 §4.5.2). */
async function* dotStuff(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let last = LF; // the octet before
  for await (const chunk of chunks) {
    if (!chunk.includes(DOT)) { // base64, mostly
      last = chunk.at(-1) ?? last;
      yield chunk;
      continue;
    }
    const stuffed = new Uint8Array(2 * chunk.length);
    let length = 0;
    for (const octet of chunk) {
      if (octet === DOT && last === LF) stuffed[length++] = DOT;
      stuffed[length++] = octet;
      last = octet;
    }
    yield stuffed.subarray(0, length);
  }
}

/** Returns the error for a message that is malformed, or that this server cannot take. */
function cannotSend(why: string): ExitError {
  return new ExitError(EXIT.DATAERR, `Cannot send the message: ${why}`);
}

function listRefused(refused: Outcome["refused"]): string {
  const lines = refused.map(({ address, code, text }) => `RCPT TO:<${address}>: ${code} ${text}`);
  return `Server refused ${lines.join("; ")}`;
}

// ---- Engine: commands and replies ----------------------------------------

/** A connection to a server: sends commands, reads replies, and holds what the server offers. */
class Session {
  readonly job: Job;
  /** Closes the connection. */
  readonly signal: AbortSignal;
  /** Keywords of the reply to EHLO in capitals, each with its parameters. */
  readonly extensions = new Map<string, string[]>();
  /** Texts that are replaced wherever they would be shown. */
  secrets: string[] = [];
  /** True if QUIT must not follow: without a connection, after a 421, or inside the message. */
  isOver = true;
  isEncrypted = false;
  /** Step that a failure is reported for. */
  step = "connecting";
  /** Shows a line of the session, without secrets. */
  readonly trace: Trace;
  #conn: Deno.TcpConn | null = null;
  #wire: Wire | undefined;

  constructor(job: Job, trace: Trace, signal: AbortSignal) {
    this.job = job;
    this.signal = signal;
    this.trace = (mark, text) => trace(mark, this.conceal(text));
    signal.addEventListener("abort", () => this.close(), { once: true });
  }

  get wire(): Wire {
    if (this.#wire === undefined) throw new ClosedError("Not connected");
    return this.#wire;
  }

  /** The extensions as the server offers them, one a line. */
  get offered(): string[] {
    return [...this.extensions].map((words) => decodeUtf8(words.flat().join(" ")));
  }

  /** This machine's address, for EHLO without a name (RFC 5321 §4.1.4). */
  get addressLiteral(): string {
    const address = this.#conn?.localAddr.hostname.replace(/^::ffff:(?=\d+\.)/, "") ?? "";
    return address.includes(":") ? `[IPv6:${address}]` : `[${address}]`;
  }

  /** Removes secrets, which a server may repeat, and cuts the text. */
  conceal(text: string): string {
    const [challenge = ""] = /(?<=^334 )\S+$/.exec(text) ?? [];
    const decoded = decodeUtf8(toByteString(tryBase64(challenge) ?? new Uint8Array()));
    if (this.secrets.some((secret) => decoded.includes(secret))) return "334 [credentials]";
    for (const secret of this.secrets) text = text.replaceAll(secret, "[credentials]");
    return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
  }

  async connect(): Promise<void> {
    const { hostname, port, times } = this.job;
    const signal = AbortSignal.any([this.signal, AbortSignal.timeout(times.step)]);
    let conn: Deno.TcpConn;
    try {
      conn = await Deno.connect({ hostname, port, signal });
    } catch (error) {
      if (error instanceof Deno.errors.NotCapable || !(error instanceof Error)) throw error;
      const isUnknown = error instanceof URIError || /^failed to lookup/.test(error.message);
      const why = isUnknown ? "no such host" : signal.aborted ? "no answer" : reasonOf(error);
      throw new ExitError(EXIT.NOHOST, `Cannot connect to ${hostname}, port ${port}: ${why}`);
    }
    conn.setNoDelay(); // a TlsConn has no such method
    this.#conn = conn;
    this.#use(conn, `Connected to ${hostname} (${conn.remoteAddr.hostname}), port ${port}`);
    if (this.signal.aborted) this.close(); // aborted after connect() resolved
  }

  /** Returns the connection for the TLS handshake. Refuses octets that came after the 220. */
  release(): Deno.TcpConn | null {
    this.step = "the TLS handshake";
    this.isOver = true;
    this.wire.release(); // such octets were injected (RFC 3207 §5)
    return this.#conn;
  }

  /** Continues the session inside TLS. */
  useTls(conn: Deno.Conn): void {
    this.isEncrypted = true;
    this.#use(conn, `TLS, certificate trusted for ${this.job.hostname}`);
  }

  #use(conn: Deno.Conn, note: string): void {
    this.#wire = new Wire(conn, { trace: this.trace });
    this.isOver = false;
    this.#wire.note(note);
  }

  /** Reads a reply. The deadline is for the whole reply, however slowly its lines come. */
  async readReply(timeout = this.job.times.step): Promise<Reply> {
    this.wire.setDeadline(timeout);
    const lines: string[] = [];
    let first = "";
    for (let size = 0; lines.length < MAX_REPLY_LINES;) {
      const line = await this.wire.readLine(MAX_REPLY_LINE);
      if (line === null) throw new ClosedError("Server closed the connection");
      if ((size += line.length) > MAX_REPLY) break;
      const [, code, mark, text = ""] = REPLY_LINE.exec(line) ?? [];
      if (code === undefined) {
        const shown = this.conceal(decodeUtf8(line));
        throw new MalformedError(`Server does not speak SMTP: "${shown}"`);
      }
      first ||= code;
      if (code !== first) throw new MalformedError(`Server mixed ${first} and ${code} in a reply`);
      lines.push(text);
      if (mark === "-") continue;
      if (code === "421") this.isOver = true; // the server closes now (RFC 5321 §3.8)
      const shown = `${code} ${lines.map(decodeUtf8).join(" ")}`.trimEnd();
      return { code: Number(code), lines, text: this.conceal(shown) };
    }
    throw new LimitError(`Reply has more than ${MAX_REPLY_LINES} lines or ${MAX_REPLY} octets`);
  }

  /** Sends a command. Refuses a reply that came before it, because no command asked for it. */
  async #send(command: string, shown = command): Promise<void> {
    if (this.wire.buffered.length > 0) {
      const early = await this.readReply();
      if (early.code === 421) throw replyError(this.step, early);
      throw new MalformedError(`Unexpected reply: ${early.text}`);
    }
    this.step = shown;
    this.wire.setDeadline(this.job.times.step);
    await this.wire.writeLine(command, shown);
  }

  /** Sends a command and reads its reply. */
  async command(command: string, shown = command): Promise<Reply> {
    await this.#send(command, shown);
    return await this.readReply();
  }

  /** Sends commands at once, then reads the reply to each. Stops after a 421. */
  async pipeline(commands: string[]): Promise<Reply[]> {
    for (const command of commands) await this.#send(command);
    const replies: Reply[] = [];
    for (const command of commands) {
      this.step = command;
      replies.push(await this.readReply());
      if (this.isOver) break;
    }
    return replies;
  }

  /** Sends QUIT unless the session is over. A failure is only noted: the result is known. */
  async quit(): Promise<void> {
    if (this.isOver) return;
    try {
      const timeout = Math.min(this.job.times.quit, this.job.times.step);
      this.wire.setDeadline(timeout);
      await this.wire.writeLine("QUIT");
      await this.readReply(timeout);
      if (this.isEncrypted) await this.wire.closeTls(timeout);
    } catch (error) {
      this.wire.note(`No reply to QUIT: ${describeError(error)}`);
    }
  }

  close(): void {
    this.isOver = true;
    this.#wire?.close();
  }
}

/** `Reply-code [ SP textstring ]`, with "-" for SP on all lines but the last (RFC 5321 §4.2). */
const REPLY_LINE = /^([2-5]\d\d)(?:([ -])(.*))?$/s;

/** True for a positive completion reply (RFC 5321 §4.2.1). */
function isPositive({ code }: Reply): boolean {
  return code >= 200 && code < 300;
}

/** Returns the error for a reply that does not let a step go on. Only 4yz is worth a retry. */
function replyError(step: string, { code, text }: Reply, status = EXIT.UNAVAILABLE): ExitError {
  if (code < 400) return new ExitError(EXIT.PROTOCOL, `Unexpected reply at ${step}: ${text}`);
  return new ExitError(code < 500 ? EXIT.TEMPFAIL : status, `Server refused ${step}: ${text}`);
}

// ---- Engine: the message -------------------------------------------------

/** Builds a message: header, then mixed(alternative(plain, related(html, inline)), attachments). */
function buildMessage(header: string, plain: BodyPart[], html: BodyPart[][], files: BodyPart[][]) {
  const related = multipart('related; type="text/html"', html);
  const text = multipart("alternative", [plain, related]);
  const isInternational = !isAscii(header); // then there are 8-bit octets; the body has none
  const parts = [header, ...multipart("mixed", [text, ...files])];
  return joinParts(parts, isInternational, isInternational);
}

/** Makes a message of its parts. Computes its size without reading the attachments. */
function joinParts(parts: BodyPart[], isInternational: boolean, isEightBit: boolean): Message {
  const ready = parts.map((part) => typeof part === "string" ? encoder.encode(part) : part);
  const size = ready.reduce((sum, part) => sum + encodedSize(part), 0);
  const octets = async function* () {
    for (const part of ready) yield* "path" in part ? base64Lines(part) : [part];
  };
  return { size, isInternational, isEightBit, octets };
}

/** Returns the number of octets of a part on the wire. */
function encodedSize(part: Uint8Array | Attachment): number {
  if (!("path" in part)) return part.length;
  const chars = 4 * Math.ceil(part.size / 3);
  return chars + 2 * Math.ceil(chars / MAX_CODED_LINE);
}

/** Reads a file as base64. Opens it only now: there may be more attachments than descriptors. */
async function* base64Lines({ path, size }: Attachment): AsyncGenerator<Uint8Array> {
  const block = new Uint8Array(Math.min(READ_SIZE, size));
  const lines = new Uint8Array(2 * block.length + 4);
  try {
    using file = await openFile(path);
    for (let left = size; left > 0; left -= block.length) {
      const octets = block.subarray(0, left);
      await awaitFile(path, readFully(file, octets));
      const { written } = encoder.encodeInto(octets.toBase64(), lines);
      yield lines.subarray(0, breakLines(lines, written));
    }
  } catch (error) {
    throw error instanceof UsageError ? new ExitError(EXIT.TEMPFAIL, error.message) : error;
  }
}

/** Fills the target from a file. */
async function readFully(file: Deno.FsFile, target: Uint8Array): Promise<void> {
  for (let filled = 0; filled < target.length;) {
    const count = await file.read(target.subarray(filled));
    if (count === null) throw new Error("it got shorter");
    filled += count;
  }
}

/** Breaks base64 into lines in place. Returns the new length. Three times as fast as a regex. */
function breakLines(octets: Uint8Array, length: number): number {
  const count = Math.ceil(length / MAX_CODED_LINE);
  for (let line = count - 1; line >= 0; line--) { // from the last one, so that none is overwritten
    const start = line * MAX_CODED_LINE;
    const end = Math.min(start + MAX_CODED_LINE, length);
    const target = start + 2 * line;
    octets.copyWithin(target, start, end);
    octets[target + end - start] = CR;
    octets[target + end - start + 1] = LF;
  }
  return length + 2 * count;
}

/** Joins parts into a multipart one. One part alone stays as it is. */
function multipart(subtype: string, parts: BodyPart[][]): BodyPart[] {
  const present = parts.filter((part) => part.length > 0);
  if (present.length < 2) return present.flat();
  const boundary = `=_${crypto.randomUUID()}`; // "=_" occurs in no quoted-printable and no base64
  return [
    `Content-Type: multipart/${subtype};\r\n boundary="${boundary}"\r\n\r\n`,
    ...present.flatMap((part) => [`--${boundary}\r\n`, ...part, "\r\n"]),
    `--${boundary}--\r\n`,
  ];
}

/** Makes a part of a text, whose lines may end in CRLF, CR or LF. */
function textPart(subtype: string, text: string): BodyPart[] {
  const [encoding, encoded] = encodeText(text.replace(/\r\n?$|\n$/, "").split(/\r\n|\r|\n/));
  const type = `Content-Type: text/${subtype}; charset=utf-8`;
  return [`${type}\r\nContent-Transfer-Encoding: ${encoding}\r\n\r\n`, encoded];
}

/** Encodes lines as 7bit if possible, otherwise as quoted-printable or the far shorter base64. */
function encodeText(lines: string[]): [encoding: string, encoded: string] {
  const whole = lines.map((line) => `${line}\r\n`).join("");
  if (lines.every(isSafeLine)) return ["7bit", whole];
  const octets = encoder.encode(whole);
  const quoted = lines.map(quotedPrintable).join("");
  const isShort = quoted.length <= 1.6 * octets.length; // not so for Cyrillic, CJK
  if (isShort) return ["quoted-printable", quoted];
  return ["base64", octets.toBase64().replace(/.{1,76}/g, "$&\r\n")];
}

/** True for a line that no relay changes: short ASCII, no final blank, no "." or "From " first. */
function isSafeLine(line: string): boolean {
  return /^(?!\.|From )[\t -~]{0,78}$(?<![\t ])/.test(line);
}

/** Encodes a line as quoted-printable (RFC 2045 §6.7), and a first "." or "From ", too. */
function quotedPrintable(line: string): string {
  const encode = (chars: string) => hex(chars, "=");
  const encoded = line.replace(/[^\t -<>-~]+|[\t ]$/gu, encode); // a final blank would get lost
  const pieces = encoded.match(/.{1,73}(?<!=|=.)/g) ?? [""]; // not cut inside of "=2E"
  return `${pieces.map((piece) => piece.replace(/^(?:\.|F(?=rom ))/, encode)).join("=\r\n")}\r\n`;
}

/** Returns the octets of a text in hexadecimal, each after a mark. */
function hex(text: string, mark: string): string {
  return encoder.encode(text).toHex().toUpperCase().replace(/../g, `${mark}$&`);
}

/** Makes a part of a file, which has a Content-ID if the HTML shows it. Base64 keeps line ends. */
function filePart(file: Attachment, contentId?: string): BodyPart[] {
  const disposition = contentId === undefined ? "attachment" : "inline";
  return [
    `Content-Type: ${file.type}${parameter("name", file.name)}\r\n` +
    `Content-Disposition: ${disposition}${parameter("filename", file.name)}\r\n` +
    "Content-Transfer-Encoding: base64\r\n" +
    (contentId === undefined ? "" : `Content-ID: <${contentId}>\r\n`) + "\r\n",
    file,
  ];
}

// ---- Engine: header fields -----------------------------------------------

/** Formats a parameter on its own line; a long or non-ASCII one by RFC 2231 §3 and §4. */
function parameter(name: string, value: string): string {
  const quoted = quotedString(value);
  if (isPlain(value) && quoted.length < 60) return `;\r\n ${name}=${quoted}`;
  const percent = (text: string) => text.replace(/[^A-Za-z0-9._-]+/g, (chars) => hex(chars, "%"));
  return split(value, () => 54, (piece) => percent(piece).length)
    .map((piece, at) => `;\r\n ${name}*${at}*=${at === 0 ? "utf-8''" : ""}${percent(piece)}`)
    .join("");
}

/** `quoted-string` (RFC 5322 §3.2.4). */
function quotedString(text: string): string {
  return `"${text.replace(/["\\]/g, "\\$&")}"`;
}

function isAscii(text: string): boolean {
  return /^[\0-\x7f]*$/.test(text);
}

/** True for a text that a field can hold as it is: printable ASCII that is not an encoded word. */
function isPlain(text: string): boolean {
  return /^[ -~]*$/.test(text) && !/=\?[^?]*\?[bq]\?/i.test(text);
}

/** Splits text at grapheme boundaries into pieces whose cost fits the width. */
function split(text: string, width: (at: number) => number, cost: (piece: string) => number) {
  const pieces: string[] = [];
  let piece = "";
  for (const { segment } of new Intl.Segmenter().segment(text.toWellFormed())) {
    const isTooWide = cost(segment) > width(1); // then it is split between code points
    for (const unit of isTooWide ? segment : [segment]) {
      const isFull = cost(piece + unit) > width(pieces.length);
      if (isFull) pieces.push(piece);
      piece = isFull ? unit : piece + unit;
    }
  }
  return [...pieces, piece];
}

/** Formats a trimmed text as a field: folded at blanks, or if that is impossible in encoded words. */
function textField(name: string, text: string, maxLine = PREFERRED_LINE): string {
  const folded = isPlain(text) ? fold(name, text, maxLine) : null;
  return folded ?? `${name}: ${encodedWords(text, name.length + 2)}\r\n`;
}

/** Folds a field at its blanks (RFC 5322 §2.2.3). Returns null if a line is longer than allowed. */
function fold(name: string, text: string, maxLine: number): string | null {
  const [first = "", ...words] = ` ${text}`.match(/ +[^ ]*/g) ?? [];
  const lines = [`${name}:${first}`];
  for (const word of words) {
    const line = lines.at(-1) + word;
    if (line.length > PREFERRED_LINE) lines.push(word);
    else lines[lines.length - 1] = line;
  }
  return lines.every((line) => line.length <= maxLine) ? `${lines.join("\r\n")}\r\n` : null;
}

/** Encodes a text as encoded words, one a line, the first one in column `before` (RFC 2047 §2). */
function encodedWords(text: string, before: number): string {
  const q = (piece: string) =>
    piece.replace(/[^A-Za-z0-9!*+/ -]+/g, (chars) => hex(chars, "=")).replaceAll(" ", "_");
  const b = (piece: string) => encoder.encode(piece).toBase64();
  const isQ = q(text).length <= b(text).length;
  const [letter, encode] = isQ ? ["q", q] as const : ["b", b] as const;
  const width = (at: number) => MAX_CODED_LINE - "=?utf-8?q??=".length - (at === 0 ? before : 1);
  return split(text, width, (piece) => encode(piece).length)
    .map((piece) => piece && `=?utf-8?${letter}?${encode(piece)}?=`).join("\r\n ");
}

/** Formats a field with mailboxes, one a line; "" if there is none. */
function mailboxField(field: string, mailboxes: Mailbox[]): string {
  const lines = mailboxes.map(({ name, address }, index) => {
    const before = index === 0 ? `${field}: ` : " ";
    const phrase = displayName(name, before.length);
    const isLong = `${before}${phrase} <${address}>,`.length > MAX_CODED_LINE;
    return name === "" ? address : `${phrase}${isLong ? "\r\n" : ""} <${address}>`;
  });
  return lines.length === 0 ? "" : `${field}: ${lines.join(",\r\n ")}\r\n`;
}

/** Formats a display name as atoms, a quoted string or encoded words; never mixed (RFC 2047 §5). */
function displayName(name: string, before: number): string {
  const quoted = quotedString(name);
  if (!isPlain(name) || before + quoted.length > MAX_CODED_LINE) return encodedWords(name, before);
  return ATOMS.test(name) ? name : quoted;
}

/** Formats `date-time` (RFC 5322 §3.3) in UTC. */
function formatDate(date: Date): string {
  return date.toUTCString().replace("GMT", "+0000");
}

/** Returns a new `id-left "@" id-right` (RFC 5322 §3.6.4) that is valid in a `cid:` URL as well. */
function newId(sender: string): string {
  const domain = sender.slice(sender.lastIndexOf("@") + 1).replace(/[^A-Za-z0-9.-]+/g, "-");
  return `${crypto.randomUUID()}@${domain}`;
}

// ---- Engine: finished messages -------------------------------------------

/** A field of a finished message, with its folds and its CRLF, as a byte string. */
interface RawField {
  name: string;
  text: string;
}

/** A finished message, parsed. */
interface Eml {
  fields: RawField[];
  /** The empty line and the body. */
  rest: Uint8Array;
  isEightBit: boolean;
}

/** Parses a finished message. Drops a byte order mark, and the first line "From " of an mbox. */
function parseEml(octets: Uint8Array): Eml {
  const hasMark = octets[0] === 0xef && octets[1] === 0xbb && octets[2] === 0xbf;
  const { lines, headerSize, isEightBit } = normalizeLines(octets.subarray(hasMark ? 3 : 0));
  const header = toByteString(lines.subarray(0, headerSize)).replace(MBOX_LINES, "");
  const fields = (header.match(/.*\r\n(?:[\t ].*\r\n)*/g) ?? []).map((text) => {
    const [, name = ""] = FIELD_NAME.exec(text) ?? [];
    if (name === "") {
      const line = quoteForMessage(decodeUtf8(text.slice(0, text.indexOf("\r"))));
      throw cannotSend(`${line} in its header is not a field`);
    }
    return { name: name.toLowerCase(), text };
  });
  if (fields.length === 0) throw cannotSend("it has no header");
  return { fields, rest: lines.subarray(headerSize), isEightBit };
}

/** Lines "From sender date" of an mbox. "From : ann" is a field. */
const MBOX_LINES = /^(?:>?From (?![\t ]*:).*\r\n)+/;
/** `field-name ":"`, with the blanks before the colon of obsolete messages (RFC 5322 §4.5). */
const FIELD_NAME = /^([!-9;-~]+)[\t ]*:/;

/** Makes each line end a CRLF (RFC 5321 §2.3.8), and finds the end of the header. */
function normalizeLines(octets: Uint8Array) {
  const lines = new Uint8Array(2 * octets.length + 2);
  let length = 0;
  let column = 0;
  let headerSize: number | undefined;
  let bits = 0; // all octets, combined by OR
  for (let at = 0; at < octets.length || column > 0; at++) {
    const octet = octets[at] ?? LF; // the last line may lack its end
    if (octet === CR && octets[at + 1] === LF) continue;
    if (octet === CR || octet === LF) {
      if (column === 0) headerSize ??= length; // the first empty line
      lines[length++] = CR;
      lines[length++] = LF;
      column = 0;
    } else {
      if (octet === 0) throw cannotSend("it has a NUL");
      if (++column > MAX_LINE) throw cannotSend(`a line is longer than ${MAX_LINE} octets`);
      lines[length++] = octet;
      bits |= octet;
    }
  }
  const isEightBit = bits > 0x7f;
  return { lines: lines.subarray(0, length), headerSize: headerSize ?? length, isEightBit };
}

/** Makes the message to send. Drops Bcc, adds a missing Date and Message-ID (RFC 5322 §3.6). */
function finishEml({ fields, rest, isEightBit }: Eml, sender: string): Message {
  const kept = fields.filter(({ name }) => name !== "bcc" && name !== "resent-bcc");
  const [date] = fieldValues(kept, "date");
  const [givenId] = fieldValues(kept, "message-id");
  const id = givenId ?? `<${newId(sender)}>`;
  const header = kept.map(({ text }) => text).join("") +
    (date === undefined ? `Date: ${formatDate(new Date())}\r\n` : "") +
    (givenId === undefined ? `Message-ID: ${id}\r\n` : "");
  return { ...joinParts([fromByteString(header), rest], !isAscii(header), isEightBit), id };
}

/** Returns the values of a field, unfolded and decoded. */
function fieldValues(fields: RawField[], wanted: string): string[] {
  return fields.filter(({ name }) => name === wanted).map(({ text }) =>
    decodeUtf8(text.slice(text.indexOf(":") + 1).replaceAll("\r\n", "")).trim()
  );
}

/** Reads the addresses of fields of the header. */
function mailboxesIn(fields: RawField[], names: string[]): Mailbox[] {
  return names.flatMap((name) =>
    fieldValues(fields, name).flatMap((value) => {
      try {
        return readAddresses(value, { hasGroups: true });
      } catch (error) {
        if (!(error instanceof UsageError)) throw error;
        throw cannotSend(`field ${name} has ${quoteForMessage(value)}: ${error.message}`);
      }
    })
  );
}

/** True if the message was resent. Its Resent fields then have the envelope (RFC 5322 §3.6.6). */
function isResent(fields: RawField[]): boolean {
  return fields.some(({ name }) => /^resent-(?:to|cc|bcc)$/.test(name));
}

/** Returns the sender that the header names. */
function senderIn(fields: RawField[]): Mailbox | undefined {
  const resent = isResent(fields) ? ["resent-sender", "resent-from"] : [];
  return mailboxesIn(fields, [...resent, "sender", "from"])[0];
}

/** Returns the recipients that the header names, as `sendmail -t` does. */
function recipientsIn(fields: RawField[]): Mailbox[] {
  const prefix = isResent(fields) ? "resent-" : "";
  return mailboxesIn(fields, ["to", "cc", "bcc"].map((name) => prefix + name));
}

// ---- Engine: addresses ---------------------------------------------------

/** `atom` of RFC 5322 §3.2.3 and RFC 6531 §3.3, without blanks. */
const ATOM = /[\w!#$%&'*+/=?^`{|}~\u{a1}-\u{10ffff}-]+/u.source;
const ATOMS = new RegExp(`^${ATOM}( ${ATOM})*$`, "u");
/** `Dot-string = Atom *("."  Atom)` (RFC 5321 §4.1.2). */
const DOT_STRING = new RegExp(`^${ATOM}(\\.${ATOM})*$`, "u");
/** `Quoted-string = DQUOTE *QcontentSMTP DQUOTE` (RFC 5321 §4.1.2). */
const QUOTED_STRING = /^"(?:[^"\\]|\\[ -~])*"$/u;

/** Tokens of a list of addresses (RFC 5322 §3.4). */
const QUOTED = String.raw`"(?:[^"\\]|\\.)*"`;
const COMMENT = String.raw`\((?:[^()\\]|\\.)*\)`;
const ANGLE = `<(?:${QUOTED}|[^<>"])*>`;
const LITERAL = String.raw`\[[^\[\]]*\]`;
const TOKENS = new RegExp(
  [QUOTED, COMMENT, ANGLE, LITERAL, "[,;:]", '[^"(<\\[,;:]+'].join("|"),
  "gsu",
);

/**
 * Reads `address-list` (RFC 5322 §3.4): `addr` and `Name <addr>`, separated by commas. Members may
 * be empty (§4.4). A field of a message may have groups: `name: a, b;`.
 */
function readAddresses(text: string, { hasGroups = false } = {}): Mailbox[] {
  const tokens = text.match(TOKENS) ?? [];
  const hasControls = /(?!\t)\p{Cc}/u.test(text);
  requireThat(tokens.join("") === text && !hasControls, EXPECTED_ADDRESSES);
  const mailboxes: Mailbox[] = [];
  let item: string[] = [];
  for (const token of [...tokens, ","]) {
    if (token === "," || (hasGroups && token === ";")) {
      if (item.join("").trim() !== "") mailboxes.push(readMailbox(item));
      item = [];
    } else if (hasGroups && token === ":") item = []; // the name of a group
    else item.push(token);
  }
  return mailboxes;
}

const EXPECTED_ADDRESSES = "expected addresses, separated by commas; " +
  'a name with special characters needs quotes: "Doe, Ann" <ann@example.org>';

/** Throws a UsageError unless a condition is true. */
function requireThat(condition: unknown, message: string): asserts condition {
  if (!condition) throw new UsageError(message);
}

/** Reads an address from its tokens: `addr` or `Name <addr>`, with comments. */
function readMailbox(tokens: string[]): Mailbox {
  const at = tokens.findIndex((token) => token.startsWith("<"));
  const isComment = (token: string) => token.startsWith("(") || token.trim() === "";
  if (at < 0) {
    return { name: "", address: readAddress(tokens.filter((token) => !isComment(token)).join("")) };
  }
  requireThat(tokens.slice(at + 1).every(isComment), EXPECTED_ADDRESSES);
  const unquote = (token: string) =>
    token.startsWith('"') ? token.slice(1, -1).replace(/\\(.)/gs, "$1") : token;
  const name = tokens.slice(0, at).map(unquote).join("").trim();
  return { name, address: readAddress(tokens[at]?.slice(1, -1) ?? "") };
}

/** Reads `Mailbox = Local-part "@" ( Domain / address-literal )` (RFC 5321 §4.1.2). */
function readAddress(text: string): string {
  const [, local = "", host = ""] = /^(.+)@(.+)$/su.exec(text.trim()) ?? [];
  const domain = isAddressLiteral(host) ? host : asciiDomain(host);
  const address = `${local.normalize("NFC")}@${domain}`;
  const isWritten = DOT_STRING.test(local) || QUOTED_STRING.test(local);
  const isVisible = !/(?![ \u200c\u200d])[\p{C}\p{Z}]/u.test(local);
  if (encoder.encode(address).length > MAX_ADDRESS) {
    throw new UsageError(`expected addresses of at most ${MAX_ADDRESS} octets`);
  }
  if (domain && isWritten && isVisible) return address;
  const hasOddDots = domain && isVisible &&
    DOT_STRING.test(local.replace(/^\.+|\.+$|(?<=\.)\.+/g, ""));
  const quoted = hasOddDots ? `; dots need quotes: "${local}"@${domain}` : "";
  throw new UsageError(`expected an address: ann@example.org or Ann <ann@example.org>${quoted}`);
}

/** True for an address literal (RFC 5321 §4.1.3). */
function isAddressLiteral(text: string): boolean {
  const [, v4 = "", v6] = /^\[(?:(\d+(?:\.\d+){3})|IPv6:([\dA-F:.]+))\]$/i.exec(text) ?? [];
  return URL.canParse(v6 === undefined ? `http://${v4}` : `http://[${v6}]`);
}

/** A label of a domain in ASCII. A URL lets more pass: in one, U+2474 becomes "(1)". */
const LABEL = /^(?!-)[\w-]{1,63}(?<!-)$/;

/**
 * Returns a domain with A-labels for what is not ASCII (RFC 5891), or null if it is not a domain.
 * The name of a host may have underscores and a final dot.
 */
function asciiDomain(domain: string, isHost = false): string | null {
  // Refuses what would end the host of a URL. Joiners are letters of some scripts (RFC 5892 §A).
  const isPlainName = /^[\p{L}\p{M}\p{N}\u200c\u200d.。_-]+$/u.test(domain) &&
    (isHost || !domain.includes("_"));
  const parsed = (isPlainName && URL.parse(`http://${domain}`)?.hostname) || "";
  if (/^[\d.]+$/.test(parsed) && parsed !== domain) return null; // 127.1 is 127.0.0.1 in a URL
  const ascii = parsed && isAscii(domain) ? domain : parsed;
  const labels = (isHost ? ascii.replace(/\.$/, "") : ascii).split(".");
  return ascii.length < 254 && labels.every((label) => LABEL.test(label)) ? ascii : null;
}

// ---- Command line --------------------------------------------------------

const PROVIDERS: ReadonlyMap<string, string> = new Map([
  ["gmail", "smtp.gmail.com:587"],
  ["office365", "smtp.office365.com:587"],
  ["outlook", "smtp-mail.outlook.com:587"],
  ["yahoo", "smtp.mail.yahoo.com:465"],
  ["icloud", "smtp.mail.me.com:587"],
  ["fastmail", "smtp.fastmail.com:465"],
]);
const readPort = wholeNumber(1, 65_535);
// deno-fmt-ignore (a table)
const MECHANISMS =
  ["plain", "login", "cram-md5", "scram-sha-256", "xoauth2", "oauthbearer"] as const;

/** Options, in the order of the help. */
// deno-fmt-ignore (a table)
export const OPTIONS = {
  server: option("--server NAME", "gmail, office365, outlook, yahoo, icloud, fastmail, or " +
    "HOST[:PORT]; default: SMTP_SERVER", readServer),
  port: option("-p, --port N", `default: ${SUBMISSION_PORT}; ${SUBMISSIONS_PORT} means implicit TLS`,
    readPort),
  tls: option("--tls MODE", "starttls, implicit, try or none; default: implicit on port " +
    `${SUBMISSIONS_PORT}, otherwise starttls, and then without TLS nothing is sent`,
    oneOf("starttls", "implicit", "try", "none")),
  ca: option("--ca FILE", "trust this CA too, or exactly this self-signed certificate", text),
  helo: option("--helo NAME", "name for EHLO; default: the address of this machine", readHelo),
  timeout: option("--timeout S", `limit for each step; default: ${TIMES.step / 1000}, for the message ` +
    `${TIMES.block / 1000}, for its end ${TIMES.end / 1000}`, seconds(0.001, 86_400)),
  user: option("-u, --user NAME", "log in; default: SMTP_USER", nonEmpty),
  passwordFile: option("--password-file FILE", "password, the first line of FILE; default: " +
    "SMTP_PASSWORD, or a prompt; a token: SMTP_TOKEN", text),
  auth: option("--auth MECHANISM", `${MECHANISMS.join(", ")}; default: the best that is offered`,
    oneOf(...MECHANISMS)),
  from: option("-f, --from ADDR", "sender; default: SMTP_FROM, otherwise the user", readSender),
  to: list("-t, --to ADDR", 'repeatable, lists with commas, "Name <addr>"', readRecipients),
  cc: list("--cc ADDR", "recipient of a copy", readRecipients),
  bcc: list("--bcc ADDR", "recipient that the message does not name", readRecipients),
  replyTo: list("--reply-to ADDR", "where replies go", readRecipients),
  notify: option("--notify WHEN,…", "ask for delivery status notifications: never, or some of " +
    "success, failure, delay", readNotify),
  subject: option("-s, --subject TEXT", "subject", text),
  body: option("-m, --body TEXT", "body; default: standard input", text),
  bodyFile: option("--body-file FILE", "body from a file", text),
  htmlFile: option("--html-file FILE", "the body as HTML", text),
  attach: list("-a, --attach FILE", "attach a file, repeatable", text),
  inline: list("--inline FILE", "a picture that the HTML shows as cid:NAME, repeatable", text),
  header: list("-H, --header 'N: V'", "another field, or Date or Message-ID", readHeaderField),
  eml: option("--eml FILE", "send a finished message as it is, without Bcc; default: to the " +
    "recipients in its header", text),
  ignoreDots: flag("-i", "accepted, as by sendmail; dots never end a message here"),
  dryRun: flag("--dry-run", "print the message, connect to nothing"),
  check: flag("--check", "connect, log in, list what the server offers"),
  json: flag("--json", "print the result as a JSON object"),
  verbose: flag("-v, --verbose", "show the session"),
  quiet: flag("-q, --quiet", "print nothing if the mail is sent"),
};

/** The command, for its help. */
export const COMMAND: Command<typeof OPTIONS> = {
  name: "smtp_client",
  summary: "Sends a mail through a submission server.",
  usage: ["[options] [recipient…] < text"],
  options: OPTIONS,
  notes: ['FILE may be "-" for standard input. A recipient without option is not in the header.'],
  example:
    "deno run --allow-net smtp_client.ts --dry-run \\\n  -f ann@example.org -t bob@example.org -m Hi",
  exitStatuses: `0 accepted for all recipients, 2 usage, ${EXIT.DATAERR} cannot be sent here, ` +
    `${EXIT.PARTIAL} some recipients refused, ${EXIT.NOHOST} cannot connect, ${EXIT.UNAVAILABLE} ` +
    `refused, ${EXIT.TEMPFAIL} try again, ${EXIT.PROTOCOL} TLS or protocol, ${EXIT.NOPERM} login ` +
    `refused, ${EXIT.INTERRUPTED} Ctrl-C`,
};

/** A command line, read and checked. */
export type Line = CommandLine<typeof OPTIONS>;
type OptionName = keyof typeof OPTIONS;

/** Parts of the process that the program uses. Tests replace them. */
export interface Environment {
  /** Environment variables that may be read. */
  env: Readonly<Record<string, string | undefined>>;
  /** Standard input. */
  stdin: { readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>; isTerminal(): boolean };
  /** Asks for a secret; null without a terminal. */
  askSecret: (prompt: string) => string | null;
  /** Prints a line on standard error. */
  say: (line: string) => void;
  /** Shows a line of the session. */
  trace: Trace;
  /** Writes to standard output. */
  print: (output: string | Uint8Array) => void;
  /** Makes the signal that ends the session. */
  signal: () => AbortSignal;
}

/**
 * Runs a command line, and returns the exit status.
 *
 * @param times Time limits. `--timeout` replaces them except that of QUIT.
 * @throws {UsageError} If the command line is wrong; then nothing was connected.
 */
export async function main(
  line: Line,
  io: Environment,
  times: MailTimes = TIMES,
): Promise<number> {
  const { dryRun, verbose, quiet } = line.options;
  try {
    const job = await readJob(line, io, times);
    if (dryRun && job.message) {
      for await (const octets of job.message.octets()) io.print(octets);
      return 0;
    }
    // A variable decides where mail and password go, so its value is shown.
    const where = `server: ${job.hostname}, port ${job.port} (SMTP_SERVER)`;
    if (line.options.server === undefined && !quiet) io.say(where);
    const trace: Trace = (mark, text) => verbose && io.trace(mark, text);
    return report(await sendMail(job, trace, io.signal()), job, line, io);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw new UsageError(describeError(error) ?? "");
    if (!(error instanceof ExitError)) throw error;
    const outcome = Object.assign(new Outcome(), { status: error.status, error: error.message });
    return report(outcome, null, line, io);
  }
}

/** Reads and checks everything that the command line names. */
async function readJob(line: Line, io: Environment, times: MailTimes): Promise<Job> {
  const { helo, ca, check, timeout, notify, attach, inline } = line.options;
  refuseTogether(line, "check", "dryRun");
  refuseTogether(line, "body", "bodyFile");
  const stdinOptions = optionsOnStdin(line);
  const readers = stdinOptions.join(" and ");
  const once = `Cannot read standard input for ${readers}: it can be read once`;
  requireThat(stdinOptions.length < 2, once);
  const server = readServerOptions(line, io);
  const trust = ca === undefined ? null : await readTrustFile(ca, io);
  if (check) await readAttachments([...attach, ...inline]); // only to check them
  const mail = check ? { from: "", to: [], message: null } : await readMail(line, io);
  const login = await readLogin(line, server, io); // last, because it may ask
  const limits = timeout && { step: timeout, block: timeout, end: timeout };
  return { ...server, trust, helo, times: { ...times, ...limits }, login, notify, ...mail };
}

/** Reads an operand or a variable. An error names it. */
function readAs<T>(name: string, text: string, read: (text: string) => T): T {
  try {
    return read(text);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(`Cannot use ${name} ${quoteForMessage(text)}: ${error.message}`);
  }
}

/** Reads an environment variable. A final line end is not part of its value. */
function readVariable<T>(io: Environment, name: string, read: (text: string) => T): T | undefined {
  const value = io.env[name]?.replace(/[\r\n]+$/, "");
  return value ? readAs(name, value, read) : undefined;
}

// ---- Command line: server and login --------------------------------------

/** Reads `HOST[:PORT]`, `[IPv6][:PORT]`, an IPv6 address, or the name of a provider. */
function readServer(text: string): { hostname: string; port: number | undefined } {
  const name = PROVIDERS.get(text.toLowerCase()) ?? text;
  const form = /^(?:\[([\dA-F:.]+)\]|([^:]+))(?::(\d+))?$/i.exec(name);
  const [, v6, host = "", port] = form ?? [name, name]; // an IPv6 address without brackets
  const hostname = v6 === undefined ? asciiDomain(host, true) : v6;
  const isAddress = v6 === undefined || isAddressLiteral(`[IPv6:${v6}]`);
  requireThat(hostname && isAddress, "expected a provider, or HOST[:PORT]");
  return { hostname, port: port === undefined ? undefined : readPort(port) };
}

/** Where to connect, and when TLS starts. */
type Server = Pick<Job, "hostname" | "port" | "tls">;

/** Reads where to connect. Implicit TLS is the default on its own port only (RFC 8314 §7.3). */
function readServerOptions(line: Line, io: Environment): Server {
  const { server, port: givenPort, tls, dryRun } = line.options;
  const named = server ?? readVariable(io, "SMTP_SERVER", readServer) ??
    (dryRun ? readServer("localhost") : undefined);
  requireThat(named, "No server: give --server NAME, or set SMTP_SERVER and grant --allow-env");
  const { hostname } = named;
  const port = givenPort ?? named.port ?? SUBMISSION_PORT;
  return { hostname, port, tls: tls ?? (port === SUBMISSIONS_PORT ? "implicit" : "starttls") };
}

function readHelo(text: string): string {
  const isName = isAddressLiteral(text) || asciiDomain(text) === text;
  requireThat(isName, "expected a domain, or an address like [192.0.2.1]");
  return text;
}

function readUser(line: Line, io: Environment): string | undefined {
  return line.options.user ?? readVariable(io, "SMTP_USER", nonEmpty);
}

/** Reads the credentials; null if there is no login. */
async function readLogin(line: Line, server: Server, io: Environment): Promise<Login | null> {
  const { auth, passwordFile, dryRun } = line.options;
  const user = readUser(line, io);
  requireThat(user || (auth ?? passwordFile) === undefined, "No name to log in: give --user");
  if (user === undefined || dryRun) return null;
  const hint = line.options.user === undefined ? " (SMTP_USER is set)" : "";
  const clear = `Cannot log in with --tls none: credentials never go in the clear${hint}`;
  requireThat(server.tls !== "none", clear);
  const needsToken = auth === "xoauth2" || auth === "oauthbearer";
  const token = io.env.SMTP_TOKEN?.trim() || undefined;
  requireThat(token || !needsToken, `No token for ${quoteForMessage(user)}: set SMTP_TOKEN`);
  const needsPassword = auth === undefined ? token === undefined : !needsToken;
  const password = await readPassword(line, user, needsPassword, io);
  const hasControls = /\p{Cc}/u.test(user + (token ?? "")) || password?.includes("\0");
  requireThat(!hasControls, "Cannot log in: name, password or token has a control character");
  // Google shows its app passwords in groups of four letters.
  const isGmail = server.hostname.toLowerCase() === "smtp.gmail.com";
  const typed = isGmail ? password?.replace(/\s/g, "") : password;
  return { user, password: typed, token, mechanism: auth?.toUpperCase() };
}

/** Reads the password from its file, the environment or the terminal. */
async function readPassword(line: Line, user: string, isNeeded: boolean, io: Environment) {
  const { passwordFile } = line.options;
  const stored = passwordFile === undefined
    ? io.env.SMTP_PASSWORD?.replace(/\r?\n$/, "")
    : decoder.decode(await readOctets(passwordFile, io)).split(/\r?\n/)[0];
  if (stored || !isNeeded) return stored || undefined;
  const asked = io.askSecret(`Password for ${escapeText(quoteForMessage(user))}:`);
  const ways = "set SMTP_PASSWORD and grant --allow-env, or give --password-file";
  requireThat(asked, `No password for ${quoteForMessage(user)}: ${ways}`);
  return asked;
}

// ---- Command line: the message -------------------------------------------

/** Reads sender, recipients and message. */
async function readMail(line: Line, io: Environment) {
  const { from, to, cc, bcc, eml } = line.options;
  const operands = line.operands.flatMap((word) => readAs("recipient", word, readRecipients));
  const recipients = [...to, ...cc, ...bcc].flat().concat(operands);
  if (eml !== undefined) return await readEml(eml, recipients, line, io);
  const user = readUser(line, io);
  const sender = from ?? readVariable(io, "SMTP_FROM", readSender) ??
    (user?.includes("@") ? readAs("user", user, readSender) : undefined);
  requireThat(sender, "No sender: give --from, or set SMTP_FROM and grant --allow-env");
  requireThat(recipients.length > 0, "No recipient: give --to");
  const message = await composeMessage(line, sender, io);
  return { from: sender.address, to: unique(recipients), message };
}

/** Options that compose a message. They exclude --eml. */
// deno-fmt-ignore (a table)
const COMPOSING: OptionName[] =
  ["subject", "body", "bodyFile", "htmlFile", "attach", "inline", "header", "replyTo"];

/** Reads a finished message. Without --from or recipients, its header has them. */
async function readEml(path: string, recipients: Mailbox[], line: Line, io: Environment) {
  for (const name of COMPOSING) refuseTogether(line, "eml", name);
  const eml = parseEml(await readOctets(path, io));
  const sender = line.options.from ?? senderIn(eml.fields);
  if (!sender) throw cannotSend("it has no From field, and --from is not given");
  const to = unique(recipients.length > 0 ? recipients : recipientsIn(eml.fields));
  if (to.length === 0) throw cannotSend("its header has no recipient, and none is given");
  return { from: sender.address, to, message: finishEml(eml, sender.address) };
}

/** Returns each address once. The case of a domain does not matter. */
function unique(mailboxes: Mailbox[]): string[] {
  const key = (address: string) => address.replace(/[^@]*$/, (domain) => domain.toLowerCase());
  const groups = Map.groupBy(mailboxes.map(({ address }) => address), key);
  return [...groups.values()].flatMap((same) => same.slice(0, 1));
}

function readSender(text: string): Mailbox {
  const [sender, ...others] = readAddresses(text);
  requireThat(sender && others.length === 0, "expected one address");
  return sender;
}

function readRecipients(text: string): Mailbox[] {
  const mailboxes = readAddresses(text);
  requireThat(mailboxes.length > 0, EXPECTED_ADDRESSES);
  return mailboxes;
}

/** Reads `notify-esmtp-value` (RFC 3461 §4.1). */
function readNotify(text: string): string {
  const words = text.toUpperCase().split(",").map((word) => word.trim());
  const isList = words.every((word) => ["SUCCESS", "FAILURE", "DELAY"].includes(word));
  const isNever = text.trim().toUpperCase() === "NEVER";
  requireThat(isNever || isList, "expected never, or some of success, failure, delay with commas");
  return [...new Set(words)].join(",");
}

/** Composes a message from the options. */
async function composeMessage(line: Line, from: Mailbox, io: Environment): Promise<Message> {
  const { attach, inline, htmlFile } = line.options;
  refuseRepeats(line);
  const id = headerValue(line, "message-id") ?? `<${newId(from.address)}>`;
  const header = composeHeader(line, from, id);
  const attachments = await readAttachments(attach);
  const files = await readAttachments(inline);
  const pictures = files.map((file) => ({ file, id: newId(from.address) }));
  const html = htmlFile === undefined ? "" : await readText(htmlFile, line, io);
  const linked = linkPictures(html, pictures);
  const text = await readBody(line, io);
  const plain = text === null ? [] : textPart("plain", text);
  const related = pictures.map(({ file, id }) => filePart(file, id));
  if (htmlFile !== undefined) related.unshift(textPart("html", linked));
  const others = attachments.map((file) => filePart(file));
  return { ...buildMessage(header, plain, related, others), id };
}

/** Rewrites `cid:NAME` in HTML to the Content-ID of each picture, which is unique (RFC 2045 §7). */
function linkPictures(html: string, pictures: { file: Attachment; id: string }[]): string {
  const ids = new Map<string, string>();
  const fault = (name: string) => `Cannot use --inline ${quoteForMessage(name)}`;
  for (const { file: { name }, id } of pictures) {
    requireThat(!ids.has(name), `${fault(name)}: two files have this name`);
    for (const spelling of [encodeURI(name), encodeURIComponent(name), htmlEscape(name), name]) {
      ids.set(spelling, id);
    }
  }
  const longestFirst = [...ids.keys()].sort((a, b) => b.length - a.length);
  const names = longestFirst.map(RegExp.escape).join("|");
  const link = new RegExp(`(?<=\\bcid:)(?:${names})(?=["'\\s<>),;\\\\]|&quot;|$)`, "gi");
  const linked = html.replace(link, (spelling) => ids.get(spelling) ?? spelling);
  for (const { file: { name }, id } of pictures) {
    const isUsed = linked.includes(id);
    requireThat(isUsed, `${fault(name)}: expected a file that the HTML shows as cid:${name}`);
  }
  return linked;
}

function htmlEscape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;");
}

/** Reads the body as plain text; null if there is only HTML. */
async function readBody(line: Line, io: Environment): Promise<string | null> {
  const { body, bodyFile, htmlFile } = line.options;
  if (body !== undefined) return body;
  if (bodyFile !== undefined) return await readText(bodyFile, line, io);
  if (htmlFile !== undefined) return null;
  const hasOtherUse = io.stdin.isTerminal() || optionsOnStdin(line).length > 0;
  return hasOtherUse ? "" : await readText("-", line, io);
}

/** Composes the header except Content-Type and Content-Transfer-Encoding. */
function composeHeader(line: Line, from: Mailbox, id: string): string {
  const { to, cc, replyTo, subject, header } = line.options;
  const hasRecipients = to.length + cc.length > 0;
  const title = subject?.replace(/\p{Cc}+/gu, " ").replace(/^ +| +$/g, "");
  const date = headerValue(line, "date") ?? formatDate(new Date());
  const others = header.filter(({ name }) => !/^(?:date|message-id)$/i.test(name));
  return [
    mailboxField("From", [from]),
    hasRecipients ? mailboxField("To", to.flat()) : "To: undisclosed-recipients:;\r\n",
    mailboxField("Cc", cc.flat()),
    mailboxField("Reply-To", replyTo.flat()),
    title === undefined ? "" : textField("Subject", title),
    `Date: ${date}\r\n`,
    `Message-ID: ${id}\r\n`,
    ...others.map(({ field }) => field),
    "MIME-Version: 1.0\r\n",
  ].join("");
}

function headerValue(line: Line, wanted: string): string | undefined {
  return line.options.header.find(({ name }) => name.toLowerCase() === wanted)?.value;
}

/** Fields that other options, or the program, write. */
const OWN_FIELD = /^(?:from|to|cc|bcc|resent-bcc|reply-to|subject|mime-version|content-.*)$/i;
const DATE_FIELD = /^(?:resent-)?date$/i;
const ID_FIELD = /^(?:resent-)?message-id$/i;
/** Fields with one address (RFC 5322 §3.6.2). */
const SENDER_FIELD = /^(?:resent-)?sender$/i;
/** Fields with addresses, which encoded words must not hide (RFC 2047 §5). */
const ADDRESS_FIELD = new RegExp(
  "^(?:resent-(?:from|to|cc|reply-to)|mail-(?:followup|reply)-to|errors-to" +
    "|(?:disposition-notification|return-receipt)-to|x-original-to|apparently-to)$",
  "i",
);
/** Other structured fields, in which an encoded word has no meaning. */
const STRUCTURED_FIELD = new RegExp(
  "^(?:date|message-id|in-reply-to|references|resent-(?:date|message-id)|return-path|received" +
    "|list-.*|archived-at|auto-submitted|precedence|importance|priority|x-priority|feedback-id" +
    "|dkim-signature|authentication-results|require-recipient-valid-since|original-.*)$",
  "i",
);
/** Fields that a message has at most once, and that no other option writes (RFC 5322 §3.6). */
const SINGLE_FIELD = /^(?:date|sender|message-id|in-reply-to|references)$/i;
/** `msg-id = "<" id-left "@" id-right ">"` (RFC 5322 §3.6.4). */
const MESSAGE_ID = /^<[!-;=?-~]+@[!-;=?-~]+>$/;
/** `date-time` (RFC 5322 §3.3). */
const DATE_TIME = /^(?:\w{3}, )?\d{1,2} \w{3} \d{4} \d\d:\d\d(?::\d\d)? [+-]\d{4}$/;

/** Reads and formats a field of -H. */
function readHeaderField(text: string) {
  const [, name = "", raw = ""] = /^([^:]+):(.*)$/s.exec(text) ?? [];
  const given = raw.replaceAll("\t", " ").trim();
  // Names of zones are obsolete (RFC 5322 §4.3).
  const value = DATE_FIELD.test(name) ? given.replace(/(?:GMT|UT)$/, "+0000") : given;
  const isAllowed = TOKEN.test(name) && name.length < MAX_CODED_LINE && !OWN_FIELD.test(name);
  const isText = !/\p{Cc}/u.test(value);
  requireThat(isAllowed && isText, "expected 'Name: value', and a field that no option writes");
  const isId = MESSAGE_ID.test(value);
  requireThat(isId || !ID_FIELD.test(name), "expected an id, as in <1@example.org>");
  const isDate = DATE_TIME.test(value) && !Number.isNaN(Date.parse(value));
  const example = formatDate(new Date(0));
  requireThat(isDate || !DATE_FIELD.test(name), `expected a date, as in ${example}`);
  return { name, value, field: formatHeaderField(name, value) };
}

/** Refuses a field that is given again and that a message has at most once. */
function refuseRepeats({ options, spelling }: Line): void {
  const names = options.header.map(({ name }) => name).filter((name) => SINGLE_FIELD.test(name));
  for (const [first, second] of Map.groupBy(names, (name) => name.toLowerCase()).values()) {
    const isRepeated = second !== undefined;
    requireThat(!isRepeated, `Cannot use ${spelling("header")} with two fields "${first}"`);
  }
}

function formatHeaderField(name: string, value: string): string {
  if (SENDER_FIELD.test(name)) return mailboxField(name, [readSender(value)]);
  if (ADDRESS_FIELD.test(name)) return mailboxField(name, readRecipients(value));
  if (!STRUCTURED_FIELD.test(name)) return textField(name, value, MAX_LINE);
  const folded = /^[ -~]*$/.test(value) ? fold(name, value, MAX_LINE) : null;
  if (folded !== null) return folded;
  throw new UsageError(`expected printable ASCII in this field, in lines of ${MAX_LINE} octets`);
}

// ---- Command line: files -------------------------------------------------

/** Opens a regular file; any other kind is refused, because opening a FIFO blocks. */
async function openFile(path: string): Promise<Deno.FsFile> {
  const { isFile } = await awaitFile(path, Deno.stat(path));
  requireThat(isFile, `Cannot use file ${quoteForMessage(path)}: expected a regular file`);
  return await awaitFile(path, Deno.open(path));
}

/** Reads size and type of the files to attach, one at a time, to use one file descriptor. */
async function readAttachments(paths: readonly string[]): Promise<Attachment[]> {
  const attachments: Attachment[] = [];
  for (const path of paths) {
    using file = await openFile(path);
    const { size } = await file.stat();
    const name = (path.split("/").at(-1) ?? "").replace(/\p{Cc}/gu, "_");
    const base = mediaType(name) ?? "application/octet-stream";
    const isUtf8Text = base.startsWith("text/") && await isUtf8(file);
    attachments.push({ name, path, size, type: isUtf8Text ? `${base}; charset=utf-8` : base });
  }
  return attachments;
}

/** True if a file is UTF-8 to its end. Closes the file. */
async function isUtf8(file: Deno.FsFile): Promise<boolean> {
  const decoding = file.readable.pipeThrough(new TextDecoderStream("utf-8", { fatal: true }));
  try {
    await decoding.pipeTo(new WritableStream());
    return true;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return false;
  }
}

/** Options that read standard input. */
const READING: OptionName[] = ["eml", "bodyFile", "htmlFile", "ca", "passwordFile"];

/** Returns the spellings of the options that read standard input; only one can. */
function optionsOnStdin({ options, spelling }: Line): string[] {
  return READING.filter((name) => options[name] === "-").map((name) => spelling(name) ?? name);
}

async function readOctets(path: string, { stdin }: Environment): Promise<Uint8Array> {
  const result = path === "-" ? new Response(stdin.readable).bytes() : Deno.readFile(path);
  return await awaitFile(path, result);
}

/** Reads a text. Octets that are not UTF-8 are replaced, with a note, so that the mail is sent. */
async function readText(path: string, line: Line, io: Environment): Promise<string> {
  const octets = await readOctets(path, io);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(octets);
  } catch {
    const note = `note: ${describeFile(path)} is not UTF-8; what cannot be read is sent as U+FFFD`;
    if (!line.options.quiet) io.say(escapeText(note));
    return decoder.decode(octets);
  }
}

async function readTrustFile(path: string, io: Environment): Promise<Trust> {
  const trust = readTrust(decoder.decode(await readOctets(path, io)));
  requireThat(trust, `Cannot use --ca ${quoteForMessage(path)}: expected certificates in PEM`);
  return trust;
}

/** Awaits an operation on a file. Turns a failure into a usage error. */
async function awaitFile<T>(path: string, result: Promise<T>): Promise<T> {
  try {
    return await result;
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable || !(error instanceof Error)) throw error;
    throw new UsageError(`Cannot read ${describeFile(path)}: ${reasonOf(error)}`);
  }
}

function describeFile(path: string): string {
  return path === "-" ? "standard input" : quoteForMessage(path);
}

// ---- Command line: the result --------------------------------------------

/** Advice on common failures. The first match counts. */
// deno-fmt-ignore (a table)
const ADVICE: [sign: RegExp, advice: string][] = [
  [/534 5\.7\.9|InvalidSecondFactor/, "Use an app password, or a token: SMTP_TOKEN, --auth xoauth2"],
  [/534 5\.7\.14/, "Log in with a web browser once, then use an app password"],
  [/5\.7\.139.*(?:credentials were incorrect|account.*locked)/i,
    "Check user and password; if they are right, the account wants an app password or a token"],
  [/550 5\.7\.30|5\.7\.139.*basic auth/i,
    "This server no longer accepts passwords: use a token, SMTP_TOKEN, and --auth xoauth2"],
  [/5\.7\.139.*(?:criteria|security defaults|conditional)/i,
    "A rule of the organization refuses this login: ask its administrator, or use a token"],
  [/5\.7\.139/, "SMTP AUTH is off for this mailbox: an administrator can turn it on"],
  [/5\.7\.60|5\.2\.252|SendAsDenied/, "This login may not send as --from: use its own address"],
  [/not match a verified|Email address is not verified/i, "Verify the --from address with the provider first"],
  [/535.*(?:authorization grant is invalid|Bad username \/ password)/i,
    'SendGrid: the user is "apikey", and the password is the API key'],
  [/535 Authentication Credentials Invalid/i, "Amazon SES: use its SMTP credentials, not an access key"],
  [/#AUTH005|Too many bad auth/i, "Too many failed logins: wait, then use an app password"],
  [/535 5\.7\.3\b/, "Check user and password; SMTP AUTH may be off for this mailbox"],
  [/AUTH [\w-]+: 535\b/, "Check user, password or token; Gmail, Yahoo, iCloud want an app password"],
  [/: 530\b/, "This server wants a login (--user) or TLS (--tls starttls) first"],
  [/454 4\.7\.0/, "Too many logins, or TLS is not available now: wait before you try again"],
  [/it is for (?!a CA)|it names no server/, "Give --server a name that is in the certificate"],
  [/it expired|not valid before/, "Check the clock, or tell the operator of the server"],
  [/does not speak TLS/, "If the port starts without TLS, as 587: --tls starttls"],
  [/(?:lost|long) at the greeting(?! inside)/, "If the port starts with TLS, as 465: --tls implicit"],
  [/not offer STARTTLS/, "Try port 465; --tls none would send in the clear"],
  [/Cannot connect to/, "Check --server and --port: 587 or 465; many networks block 25"],
];

/** Prints the result: one line, advice, and with --json an object. */
function report(outcome: Outcome, job: Job | null, { options }: Line, io: Environment): number {
  const { status, notes } = outcome;
  const line = outcome.error ?? describeOutcome(outcome, job);
  const advice = status === 0 ? undefined : ADVICE.find(([sign]) => sign.test(line))?.[1];
  if (options.check && status === 0 && !options.json) {
    io.print(outcome.offered.map((extension) => `${escapeText(extension)}\n`).join(""));
  }
  if (options.json) io.print(`${formatJson({ status, ...jsonResult(outcome, job), advice })}\n`);
  for (const note of options.quiet ? [] : notes) io.say(`note: ${note}`);
  if (status !== 0) io.say(escapeText(`smtp_client: ${line}`));
  else if (!options.quiet) io.say(escapeText(line));
  if (advice) io.say(`smtp_client: ${advice}`);
  return status;
}

/** Describes a session that ended as planned. */
function describeOutcome(outcome: Outcome, job: Job | null): string {
  const { accepted, refused, response, mechanism, isEncrypted } = outcome;
  if (!job?.message) {
    const login = mechanism === null ? "login not tried" : `login by ${mechanism}`;
    return `${job?.hostname} is ready: ${isEncrypted ? "TLS" : "no TLS"}, ${login}`;
  }
  const size = formatBytes(job.message.size);
  const others = refused.length === 0 ? "" : `; ${listRefused(refused)}`;
  return `sent to ${plural(accepted.length, "recipient")} (${size}): ${response}${others}`;
}

/** Returns the keys of the JSON object: of a delivery, or of --check. */
function jsonResult(outcome: Outcome, job: Job | null): object {
  const { accepted, refused, response, mechanism, offered, error } = outcome;
  if (job && !job.message) return { mechanism, offered, error };
  const { id, size } = job?.message ?? {};
  return { accepted, refused, response, messageId: id, size, error };
}

/** Formats JSON that is safe on a terminal: JSON itself escapes only C0. */
function formatJson(value: object): string {
  return JSON.stringify(value).replace(
    /[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Reads the variables that are granted. Never asks for a permission. */
async function readEnvironment(): Promise<Record<string, string | undefined>> {
  const env: Record<string, string | undefined> = {};
  for (const name of ["SERVER", "USER", "PASSWORD", "TOKEN", "FROM"]) {
    const variable = `SMTP_${name}`;
    const { state } = await Deno.permissions.query({ name: "env", variable });
    if (state === "granted") env[variable] = Deno.env.get(variable);
  }
  return env;
}

if (import.meta.main) {
  const { stdin, stdout } = Deno;
  await run(COMMAND, async (line) =>
    await main(line, {
      env: await readEnvironment(),
      stdin,
      askSecret: (prompt) => stdout.isTerminal() ? promptSecret(prompt) : null, // it asks there
      say: console.error,
      trace: showTrace,
      print,
      signal: shutdownSignal,
    }));
}
