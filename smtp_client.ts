#!/usr/bin/env -S deno run --allow-net --allow-read --allow-env
/**
 * Hands a message to a mail server, over a bare TCP socket and TLS.
 *
 * ```sh
 * deno run --allow-net --allow-read --allow-env smtp_client.ts --server gmail \
 *   -u me@gmail.com -t bob@example.org -s Hello -m "See the picture" -a photo.png
 * ```
 *
 * The conversation is RFC 5321's, with STARTTLS (RFC 3207), AUTH (RFC 4954), PIPELINING (RFC 2920),
 * SIZE (RFC 1870) and SMTPUTF8 (RFC 6531); the message is RFC 5322's, its parts are MIME's. Read
 * from the top: a session from connect to QUIT, the login, the message, then the command line.
 * Left out, since the server that takes the mail does it: MX look-up, DKIM, a queue.
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { promptSecret } from "@std/cli/prompt-secret";
import { format as formatBytes } from "@std/fmt/bytes";
import { ClosedError, DeadlineError, LimitError, MalformedError, WireError } from "./protocol.ts";
import { explain, print, printable, readNumber, run, shutdownSignal } from "./protocol.ts";
import {
  spellOut,
  toByteString,
  TOKEN,
  type Trace,
  UsageError,
  VERSION,
  Wire,
} from "./protocol.ts";

// ---- Terms -------------------------------------------------------------

/** What is to be done, and where; all of it is checked before anything is connected. */
interface Errand {
  hostname: string; // the name that the certificate must bear
  port: number;
  tls: "starttls" | "implicit" | "try" | "none"; // try: where it is offered
  caCerts: string[]; // to trust besides the usual ones
  helo: string | undefined; // the name for EHLO
  timeout: number; // for each step, in milliseconds
  endTimeout: number; // for the reply to the final dot
  login: Login | null;
  from: string; // the reverse-path, whatever the header says (RFC 5321 §2.3.1)
  to: string[]; // the forward-paths
  message: Message | null; // null: only look at what is offered
}

/** Who logs in. None of it goes out in the clear. */
interface Login {
  user: string;
  password: string | undefined;
  token: string | undefined; // OAuth's
  mechanism: string | undefined; // in capitals; default: the best that is offered
}

/** A reply (RFC 5321 §4.2): its first digit says yes (2), go on (3), not now (4) or no (5). */
interface Reply {
  code: number;
  lines: string[]; // without their codes, one char an octet
  text: string; // all in one line, fit for a terminal, without secrets
}

/** A message; what is attached is never whole in memory. */
interface Message {
  id?: string;
  size: number; // in octets, every CRLF counted and no stuffed dot: SIZE= (RFC 1870 §5)
  international: boolean; // its header is more than ASCII: takes SMTPUTF8
  eightBit: boolean;
  octets(): AsyncIterable<Uint8Array>; // each good until the next is asked for
}

/** A file to send: so many octets of it as there were when it was opened. */
type OpenFile = { name: string; size: number; file: Deno.FsFile };

/** What a message is made of: what is ready for the wire, and files to come as base64. */
type Piece = string | Uint8Array | OpenFile;

/** A person ("" for nobody in particular) with an address, whose domain is ASCII. */
type Mailbox = { name: string; address: string };

/** What became of a message; the response is the last of the server's words that count. */
interface Delivery {
  accepted: string[];
  refused: { address: string; code: number; text: string }[];
  response: string;
}

const NOTHING: Delivery = { accepted: [], refused: [], response: "" };

/** An errand that came to nothing. */
class Failure extends Error {
  constructor(readonly status: number, message: string) {
    super(message);
  }
}

// ---- Numbers -----------------------------------------------------------

/** The exit statuses: sysexits' numbers, where it has a word for the matter. */
const EXIT = { data: 65, part: 67, host: 68, no: 69, later: 75, wire: 76, login: 77, stop: 130 };

const MAX_REPLY_LINE = 65_536; // octets; RFC 5321 §4.5.3.1.5 says 512: be kind
const MAX_REPLY_LINES = 512;
const MAX_AUTH_LINE = 512; // octets with CRLF (RFC 4954 §4); what is longer follows a 334
const MAX_LINE = 998; // octets of a line of a message, without CRLF (RFC 5322 §2.1.1)
const LINE = 78; // and how long it should be
const CODED_LINE = 76; // with an encoded word in it, or coded (RFC 2047 §2, RFC 2045 §6)
const GROUP = 50; // commands that are sent at once (RFC 2920 §3.1): their replies fit any buffer
const ITERATIONS = { min: 4096, max: 1_000_000 }; // of PBKDF2 (RFC 7677 §4)
const END_TIMEOUT = 600_000; // ms (RFC 5321 §4.5.3.2.6): to give up early is to send twice
const QUIT_TIMEOUT = 2000; // ms: all is said by then
const MAX_SHOWN = 1000; // chars of what a server said
const BLOCK = 57 * 4096; // octets of a file that are read at once: whole lines of base64
const ATOM = /[\w!#$%&'*+/=?^`{|}~\u{a1}-\u{10ffff}-]+/u.source; // RFC 5321 §4.1.2, RFC 6531 §3.3
const ATOMS = new RegExp(`^${ATOM}( ${ATOM})*$`, "u");
const DOT_STRING = new RegExp(`^${ATOM}(\\.${ATOM})*$`, "u");
const QUOTED_STRING = /^"(?:[^"\\]|\\[ -~])*"$/u;
const [LF, CR, DOT] = [0x0a, 0x0d, 0x2e];
const encoder = new TextEncoder();

// ---- Engine: the session -----------------------------------------------

/** A conversation with a server. It owns the connection. */
class Session {
  #conn: Deno.TcpConn;
  #wire: Wire;
  #offered = new Map<string, string[]>(); // keyword in capitals, parameters
  #secrets: string[] = [];
  #over = false; // not a word more: the server said 421, or half a message is out
  encrypted = false;
  step = "the greeting"; // what is being waited for

  private constructor(conn: Deno.TcpConn, readonly errand: Errand, readonly show: Trace) {
    conn.setNoDelay(); // and now: a TlsConn cannot
    this.#conn = conn;
    this.#wire = new Wire(conn, { trace: this.#trace });
    this.#wire.note(`Connected to ${errand.hostname} (${conn.remoteAddr.hostname})`);
  }

  static async open(errand: Errand, abort: AbortSignal, show: Trace): Promise<Session> {
    const { hostname, port, timeout } = errand;
    const signal = AbortSignal.any([abort, AbortSignal.timeout(timeout)]);
    try {
      const session = new Session(await Deno.connect({ hostname, port, signal }), errand, show);
      abort.addEventListener("abort", () => session.close());
      return session;
    } catch (error) {
      if (error instanceof Deno.errors.NotCapable || !(error instanceof Error)) throw error;
      const why = signal.aborted ? "no answer" : error.message;
      throw new Failure(EXIT.host, `Cannot reach ${hostname}, port ${port}: ${why}`);
    }
  }

  #trace: Trace = (mark, text) => this.show(mark, this.#conceal(printable(text)));

  /** Takes out what a server may know and a screen may not, should the server echo it. */
  #conceal(text: string): string {
    const [challenge = ""] = /(?<=^334 )\S+$/.exec(text) ?? [];
    const told = fromBase64(challenge);
    if (this.#secrets.some((secret) => told.includes(secret))) return "334 [credentials]";
    for (const secret of this.#secrets) text = text.replaceAll(secret, "[credentials]");
    return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
  }

  get offered(): string[] {
    return [...this.#offered].map((words) => printable(words.flat().join(" ")));
  }

  /** Greeting, EHLO, and TLS as it was asked for: without it nothing else is said. */
  async begin(): Promise<void> {
    const { tls } = this.errand;
    if (tls === "implicit") await this.#startTls();
    const greeting = await this.#readReply();
    if (greeting.code !== 220) throw refusal(this.step, greeting);
    await this.#hello();
    if (tls === "implicit" || tls === "none") return;
    if (this.#offered.has("STARTTLS")) {
      const reply = await this.#ask("STARTTLS");
      if (reply.code === 220) {
        await this.#startTls();
        return await this.#hello(); // what was offered in the clear is forgotten (RFC 3207 §4.2)
      }
      if (tls !== "try" || reply.code < 400) throw refusal("STARTTLS", reply, EXIT.wire);
    } else if (tls !== "try") {
      throw new Failure(EXIT.wire, "Server offers no STARTTLS: nothing was sent");
    }
    this.#wire.note("No TLS, going on in the clear");
  }

  /** Puts TLS around the connection and checks the certificate. */
  async #startTls(): Promise<void> {
    const { hostname, caCerts, timeout } = this.errand;
    this.step = "the TLS handshake";
    this.#over = true;
    this.#wire.release(); // refuses what came behind the 220: it would pass for words inside TLS
    const tls = await Deno.startTls(this.#conn, { hostname, caCerts });
    this.#wire = new Wire(tls, { trace: this.#trace });
    this.#wire.setDeadline(timeout);
    try {
      await tls.handshake(); // until here nothing was checked
    } catch (error) {
      await this.#wire.write(""); // rejects with the reason if the wire was closed by us
      const why = printable(error instanceof Error ? error.message : "");
      const [, check] = /^invalid peer certificate: (.*)/.exec(why) ?? [];
      const message = check
        ? `Cannot trust the certificate of ${hostname}: ${check}`
        : `Cannot begin TLS with ${hostname}: ${why}`;
      const broken = error instanceof Deno.errors.InvalidData;
      throw new Failure(broken ? EXIT.wire : EXIT.later, message);
    }
    this.#over = false;
    this.encrypted = true;
    this.step = "the greeting inside TLS";
    this.#wire.note(`TLS, certificate valid for ${hostname}`);
  }

  /** Says EHLO and learns what is offered; HELO if it must and TLS is not at stake (§3.2). */
  async #hello(): Promise<void> {
    this.#offered.clear();
    const address = this.#conn.localAddr.hostname.replace(/^::ffff:(?=\d+\.)/, "");
    const literal = address.includes(":") ? `[IPv6:${address}]` : `[${address}]`;
    const name = this.errand.helo ?? literal; // RFC 5321 §4.1.4: where there is no name
    const reply = await this.#ask(`EHLO ${name}`);
    if (reply.code !== 250) {
      const unprotected = this.errand.tls === "starttls" && !this.encrypted;
      const unknown = reply.code >= 500 && reply.code < 510; // EHLO itself: so no STARTTLS
      if (unprotected && unknown) throw refusal("EHLO", reply, EXIT.wire);
      if (unprotected || reply.code < 500) throw refusal("EHLO", reply);
      const helo = await this.#ask(`HELO ${name}`);
      if (!isYes(helo)) throw refusal("HELO", helo);
      return;
    }
    for (const line of reply.lines.slice(1)) { // the first is but a greeting (§4.1.1.1)
      // "AUTH=LOGIN" is what it was before RFC 2554
      const [keyword = "", ...parameters] = line.replace(/^AUTH=/i, "AUTH ").trim().split(/[ \t]+/);
      if (keyword === "") continue;
      const before = this.#offered.get(keyword.toUpperCase()) ?? [];
      this.#offered.set(keyword.toUpperCase(), [...before, ...parameters]);
    }
  }

  /** Reads a reply: lines with one and the same code, and a hyphen behind it on all but the last. */
  async #readReply(patience = this.errand.timeout): Promise<Reply> {
    this.#wire.setDeadline(patience); // for the whole reply, however it drips
    const lines: string[] = [];
    for (let first = ""; lines.length < MAX_REPLY_LINES;) {
      const line = await this.#wire.readLine(MAX_REPLY_LINE);
      if (line === null) throw new ClosedError("Server hung up");
      const [, code, mark, text = ""] = /^([2-5]\d\d)(?:([ -])(.*))?$/s.exec(line) ?? [];
      if (code === undefined) {
        throw new MalformedError(`Server does not speak SMTP: "${this.#conceal(printable(line))}"`);
      }
      first ||= code;
      if (code !== first) throw new MalformedError(`Server mixed ${first} and ${code} in a reply`);
      lines.push(text);
      if (mark === "-") continue;
      if (code === "421") this.#over = true; // and now it closes (RFC 5321 §3.8)
      const said = printable(`${code} ${lines.join(" ")}`.trimEnd());
      return { code: Number(code), lines, text: this.#conceal(said) };
    }
    throw new LimitError(`Reply has more than ${MAX_REPLY_LINES} lines`);
  }

  /** Sends a command. What came before it answers nothing, unless it says that all is over. */
  async #say(command: string, shown = command): Promise<void> {
    if (this.#wire.buffered.length > 0) {
      const early = await this.#readReply();
      if (early.code === 421) throw refusal(this.step, early);
      throw new MalformedError(`Server spoke out of turn: ${early.text}`);
    }
    this.step = shown;
    this.#wire.setDeadline(this.errand.timeout);
    await this.#wire.writeLine(command, shown);
  }

  async #ask(command: string, shown = command): Promise<Reply> {
    await this.#say(command, shown);
    return await this.#readReply();
  }

  /** Sends commands at once, then reads a reply to each, unless one says that it is the last. */
  async #askAll(commands: string[]): Promise<Reply[]> {
    for (const command of commands) await this.#say(command);
    const replies: Reply[] = [];
    for (const command of commands) {
      this.step = command;
      replies.push(await this.#readReply());
      if (this.#over) break;
    }
    return replies;
  }

  /**
   * Logs in by the best mechanism that is offered now, and returns its name. A 535 is final: the
   * same password again is a step towards a locked account. Only a 504 leads on to the next.
   */
  async login(login: Login): Promise<string> {
    if (!this.encrypted) throw new Failure(EXIT.wire, "Cannot log in without TLS");
    const offered = (this.#offered.get("AUTH") ?? []).map((name) => name.toUpperCase());
    const known = mechanisms(login, this.errand);
    const usable = known.filter(({ name }) => offered.includes(name));
    this.#secrets = [login.password ?? "", login.token ?? ""]
      .filter(({ length }) => length > 3) // "a" is in every line
      .map((secret) => printable(toByteString(encoder.encode(secret)))); // as an echo would look
    for (const mechanism of usable) {
      const reply = await this.#authenticate(mechanism);
      if (reply.code === 235) return mechanism.name;
      if (reply.code === 504 && mechanism !== usable.at(-1)) continue;
      const text = this.#conceal(`${reply.text}${mechanism.reason ?? ""}`);
      throw refusal(`AUTH ${mechanism.name}`, { ...reply, text }, EXIT.login);
    }
    const names = known.map(({ name }) => name).join(", ");
    const offer = offered.length > 0 ? `only ${printable(offered.join(" "))}` : "no AUTH";
    throw new Failure(EXIT.login, `Cannot log in by ${names}: the server offers ${offer}`);
  }

  /** Goes through one mechanism, challenge by challenge (RFC 4954 §4). */
  async #authenticate({ name, clientFirst, mutual, steps }: Mechanism): Promise<Reply> {
    const left = [...steps];
    const first = clientFirst ? this.#encode(await steps[0]?.("") ?? "") : "";
    const command = `AUTH ${name} ${first}`;
    const fits = clientFirst && `${command}\r\n`.length <= MAX_AUTH_LINE;
    if (fits) left.shift();
    let reply =
      await (fits ? this.#ask(command, `AUTH ${name} [credentials]`) : this.#ask(`AUTH ${name}`));
    while (reply.code === 334) {
      let response: string;
      try {
        const step = left.shift();
        if (step === undefined) throw cancel("the server asks on and on");
        response = this.#encode(await step(reply.lines.join("")));
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        await this.#ask("*"); // whatever it answers
        throw cancel(`Cannot log in by ${name}: ${error.message}`);
      }
      reply = await this.#ask(response, response && "[credentials]");
    }
    const proven = reply.code !== 235 || !mutual || left.length === 0;
    if (!proven) throw cancel("Server did not prove that it knows the password");
    return reply;
  }

  #encode(response: string): string {
    const encoded = encoder.encode(response).toBase64();
    if (encoded !== "") this.#secrets.push(encoded);
    return encoded;
  }

  /** Hands over a message (RFC 5321 §3.3). Whoever is refused is noted; the others get it. */
  async deliver(message: Message, delivery: Delivery): Promise<void> {
    const { from, to } = this.errand;
    const mail = `MAIL FROM:<${from}>${this.#parameters(message)}`;
    const commands = [mail, ...to.map((path) => `RCPT TO:<${path}>`)];
    const group = this.#offered.has("PIPELINING") ? GROUP : 1;
    const taken: string[] = [];
    for (let at = 0; at < commands.length; at += group) {
      const replies = await this.#askAll(commands.slice(at, at + group));
      for (const [index, reply] of replies.entries()) {
        const { code, text } = reply;
        const address = to[at + index - 1]; // none behind MAIL, which comes first
        const oneLess = address !== undefined && code >= 400 && code !== 421;
        if (oneLess) delivery.refused.push({ address, code, text: text.slice(4) });
        else if (!isYes(reply)) throw refusal(commands[at + index] ?? "", reply);
        else if (address !== undefined) taken.push(address);
      }
    }
    if (taken.length === 0) {
      const again = delivery.refused.some(({ code }) => code < 500);
      throw new Failure(again ? EXIT.later : EXIT.no, listRefused(delivery));
    }
    const data = await this.#ask("DATA"); // on its own: after a 354 there is no way back
    if (data.code !== 354) throw refusal("DATA", data);
    delivery.response = (await this.#sendMessage(message)).text;
    delivery.accepted = taken;
  }

  /** Tells what the message takes (RFC 1870, 6152, 6531), or why this server cannot take it. */
  #parameters({ size, international, eightBit }: Message): string {
    const offers = this.#offered;
    const utf8 = international || !isAscii([this.errand.from, ...this.errand.to].join());
    const [given = ""] = offers.get("SIZE") ?? [];
    const limit = /^\d+$/.test(given) && Number(given) || Infinity; // 0 is none, too
    if (size > limit) throw unfit(`it has ${size} octets, the server takes ${limit}`);
    if (utf8 && !offers.has("SMTPUTF8")) {
      throw unfit("an address or a field is not ASCII, and the server offers no SMTPUTF8");
    }
    if (eightBit && !offers.has("8BITMIME") && !utf8) { // SMTPUTF8 brings it (RFC 6531 §3.1)
      throw unfit("it has 8-bit octets, and the server offers no 8BITMIME");
    }
    let parameters = "";
    if (offers.has("SIZE")) parameters += ` SIZE=${size}`;
    if (eightBit && offers.has("8BITMIME")) parameters += " BODY=8BITMIME";
    if (utf8) parameters += " SMTPUTF8";
    return parameters;
  }

  /**
   * Sends the message and its final dot. The reply is awaited from the start: a server that has
   * seen enough says 552 and closes; then a write fails while its reply lies there.
   */
  async #sendMessage(message: Message): Promise<Reply> {
    this.step = "the message";
    this.#over = true; // whatever happens: inside the message a QUIT would be text
    let answered = false;
    const answer = this.#readReply().finally(() => answered = true);
    answer.catch(() => {}); // awaited below, unless the message itself breaks off
    try {
      for await (const octets of dotStuff(message.octets())) {
        const written = this.#wire.write(octets, this.errand.timeout);
        written.catch(() => {}); // when nobody waits for it any more
        await Promise.race([written, answer]);
        if (answered) break;
      }
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      answered = true; // or the connection is lost, and that is the answer
    }
    if (answered) throw refusal(this.step, await answer);
    this.#trace(">", `[${message.size} octets]`);
    this.step = "the end of the message, which may have been delivered";
    this.#wire.setDeadline(this.errand.endTimeout);
    await this.#wire.writeLine(".").catch(() => {}); // where it breaks, too, the answer tells why
    const reply = await answer;
    this.#over = reply.code === 421;
    if (!isYes(reply)) throw refusal("the message", reply);
    return reply;
  }

  /** Says goodbye, if there is somebody to hear it. Nothing here can spoil anything. */
  async quit(): Promise<void> {
    if (this.#over) return;
    try {
      const patience = Math.min(QUIT_TIMEOUT, this.errand.timeout);
      this.#wire.setDeadline(patience);
      await this.#wire.writeLine("QUIT");
      await this.#readReply(patience);
    } catch (error) {
      this.#wire.note(`No reply to QUIT: ${error instanceof Error ? error.message : error}`);
    }
  }

  close(): void {
    this.#wire.close();
  }
}

function isYes({ code }: Reply): boolean {
  return code >= 200 && code < 300;
}

function isAscii(text: string): boolean {
  return /^[\0-\x7f]*$/.test(text);
}

/** Whether a field can hold a text as it is: printable ASCII, and nothing like an encoded word. */
function isPlain(text: string): boolean {
  return /^[ -~]*$/.test(text) && !text.includes("=?");
}

/** What it means that a step was not granted: not now (4yz), no (5yz), or nonsense. */
function refusal(step: string, { code, text }: Reply, no = EXIT.no): Failure {
  const what = `${printable(step)}: ${text}`;
  if (code < 400) return new Failure(EXIT.wire, `Server spoke out of turn at ${what}`);
  return new Failure(code < 500 ? EXIT.later : no, `Server refused ${what}`);
}

/** The message cannot go, or not through this server: so it is not begun. */
function unfit(why: string): Failure {
  return new Failure(EXIT.data, `Cannot send the message: ${why}`);
}

function listRefused({ refused }: Delivery): string {
  const lines = refused.map(({ address, code, text }) =>
    `RCPT TO:<${printable(address)}>: ${code} ${text}`
  );
  return `Server refused ${lines.join("; ")}`;
}

// ---- Engine: the login -------------------------------------------------

/** A way to log in: what to answer to one challenge after the other; to throw is to cancel. */
interface Mechanism {
  name: string;
  clientFirst: boolean; // then the first response may go on the line with AUTH
  mutual?: boolean; // the server, too, has to prove itself: no step may be left out
  steps: ((challenge: string) => string | Promise<string>)[];
  reason?: string; // of a refusal, where it comes as a challenge
}

/** The mechanisms that the credentials are good for, the best first. */
function mechanisms({ user, password, token, mechanism }: Login, errand: Errand): Mechanism[] {
  const all: Mechanism[] = [];
  if (token !== undefined) {
    const bearer = `auth=Bearer ${token}\x01\x01`; // RFC 7628 §3.1
    const where = `n,a=${saslName(user)},\x01host=${errand.hostname}\x01port=${errand.port}\x01`;
    all.push(oauth("OAUTHBEARER", where + bearer, "\x01"));
    all.push(oauth("XOAUTH2", `user=${user}\x01${bearer}`, ""));
  }
  if (password !== undefined) {
    const digest = async (challenge: string) => { // RFC 2195 §2
      const { createHmac } = await import("node:crypto"); // WebCrypto has no MD5
      return `${user} ${createHmac("md5", password).update(decode(challenge)).digest("hex")}`;
    };
    all.push(scram(user, password));
    all.push({ name: "PLAIN", clientFirst: true, steps: [() => `\0${user}\0${password}`] });
    all.push({ name: "LOGIN", clientFirst: false, steps: [() => user, () => password] });
    all.push({ name: "CRAM-MD5", clientFirst: false, steps: [digest] });
  }
  return mechanism === undefined ? all : all.filter(({ name }) => name === mechanism);
}

/** A token. Why it is refused comes as a challenge, which wants a word before the final no. */
function oauth(name: string, response: string, word: string): Mechanism {
  const refused = (challenge: string) => {
    mechanism.reason = ` (${printable(new TextDecoder().decode(decode(challenge)))})`;
    return word;
  };
  const mechanism: Mechanism = { name, clientFirst: true, steps: [() => response, refused] };
  return mechanism;
}

/** SCRAM-SHA-256 (RFC 5802 §3, RFC 7677): the password stays here, and the server proves itself. */
function scram(user: string, password: string): Mechanism {
  const nonce = crypto.getRandomValues(new Uint8Array(18)).toBase64();
  const first = `n=${saslName(user)},r=${nonce}`;
  let proof = "";
  const answer = async (challenge: string): Promise<string> => {
    const serverFirst = new TextDecoder().decode(decode(challenge));
    const [, both = "", salt = "", count] =
      /^r=([!-+\--~]+),s=([A-Za-z0-9+/=]+),i=(\d{1,9})(?:,|$)/.exec(serverFirst) ?? [];
    const iterations = Number(count);
    if (both === "") throw cancel(`the server's challenge is "${printable(serverFirst)}"`);
    if (!both.startsWith(nonce) || both === nonce) throw cancel("the server's nonce is not ours");
    if (iterations < ITERATIONS.min || iterations > ITERATIONS.max) {
      throw cancel(`the server asks for ${iterations} iterations`);
    }
    const secret = encoder.encode(password.normalize("NFKC"));
    const key = await crypto.subtle.importKey("raw", secret, "PBKDF2", false, ["deriveBits"]);
    const how = { name: "PBKDF2", hash: "SHA-256", salt: decode(salt), iterations };
    const salted = new Uint8Array(await crypto.subtle.deriveBits(how, key, 256));
    const final = `c=biws,r=${both}`;
    const dialogue = `${first},${serverFirst},${final}`;
    const clientKey = await hmac(salted, "Client Key");
    const storedKey = new Uint8Array(await crypto.subtle.digest("SHA-256", clientKey));
    const signature = await hmac(storedKey, dialogue);
    proof = (await hmac(await hmac(salted, "Server Key"), dialogue)).toBase64();
    return `${final},p=${clientKey.map((octet, at) => octet ^ (signature[at] ?? 0)).toBase64()}`;
  };
  const verify = (challenge: string): string => {
    const serverFinal = toByteString(decode(challenge));
    if (serverFinal.split(",")[0] === `v=${proof}`) return "";
    const said = printable(serverFinal); // perhaps "e=" with its reason (RFC 5802 §7)
    throw cancel(`the server did not prove that it knows the password: "${said}"`);
  };
  const steps = [() => `n,,${first}`, answer, verify];
  return { name: "SCRAM-SHA-256", clientFirst: true, mutual: true, steps };
}

function cancel(why: string): Failure {
  return new Failure(EXIT.login, why);
}

function saslName(user: string): string {
  return user.normalize("NFKC").replaceAll("=", "=3D").replaceAll(",", "=2C");
}

async function hmac(secret: BufferSource, text: string): Promise<Uint8Array<ArrayBuffer>> {
  const how = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", secret, how, false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", key, encoder.encode(text)));
}

function decode(challenge: string): Uint8Array<ArrayBuffer> {
  try {
    return Uint8Array.fromBase64(challenge);
  } catch {
    throw cancel("the server's challenge is not base64");
  }
}

/** What a challenge says, fit for a terminal; nothing, if it is not base64. */
function fromBase64(challenge: string): string {
  try {
    return printable(toByteString(decode(challenge)));
  } catch {
    return "";
  }
}

// ---- Engine: the message -----------------------------------------------

/** Composes a message: header, then mixed(alternative(plain, related(html, inline)), attached). */
function compose(header: string, plain: Piece[], html: Piece[][], attached: Piece[][]): Message {
  const text = multipart("alternative", [plain, multipart('related; type="text/html"', html)]);
  const international = !isAscii(header); // then it also has 8-bit octets; the body never does
  const pieces = [header, ...multipart("mixed", [text, ...attached])];
  return assemble(pieces, international, international);
}

/** Makes a message of its pieces; its size is known before a file is read. */
function assemble(pieces: Piece[], international: boolean, eightBit: boolean): Message {
  const ready = pieces.map((piece) => typeof piece === "string" ? encoder.encode(piece) : piece);
  const size = ready.reduce((sum, piece) => sum + codedSize(piece), 0);
  const octets = async function* () {
    for (const piece of ready) yield* "file" in piece ? base64Lines(piece) : [piece];
  };
  return { size, international, eightBit, octets };
}

/** How many octets a piece has on the wire. */
function codedSize(piece: Uint8Array | OpenFile): number {
  if (!("file" in piece)) return piece.length;
  const chars = 4 * Math.ceil(piece.size / 3);
  return chars + 2 * Math.ceil(chars / CODED_LINE);
}

/** Reads a file as lines of base64: as much of it as there was at first, or it fails. */
async function* base64Lines({ file, size, name }: OpenFile): AsyncGenerator<Uint8Array> {
  const block = new Uint8Array(Math.min(BLOCK, size));
  const lines = new Uint8Array(Math.ceil(block.length / 57) * (CODED_LINE + 2));
  for (let left = size; left > 0;) {
    const octets = block.subarray(0, left);
    for (let got = 0; got < octets.length;) {
      const count = await file.read(octets.subarray(got));
      if (count === null) throw new Failure(EXIT.later, `File "${printable(name)}" got shorter`);
      got += count;
    }
    const { written } = encoder.encodeInto(octets.toBase64(), lines);
    const rows = Math.ceil(written / CODED_LINE);
    for (let row = rows - 1; row >= 0; row--) { // from the last on, so that none is overwritten
      const from = row * CODED_LINE;
      const length = Math.min(CODED_LINE, written - from);
      lines.copyWithin(from + 2 * row, from, from + length); // three times as fast as a regex
      lines[from + 2 * row + length] = CR;
      lines[from + 2 * row + length + 1] = LF;
    }
    yield lines.subarray(0, written + 2 * rows);
    left -= octets.length;
  }
}

/** Puts parts into one; a lone part needs no wrapping. */
function multipart(subtype: string, parts: Piece[][]): Piece[] {
  const there = parts.filter((part) => part.length > 0);
  if (there.length < 2) return there.flat();
  const boundary = `=_${crypto.randomUUID()}`; // "=_": in no quoted-printable, in no base64
  return [
    `Content-Type: multipart/${subtype};\r\n boundary="${boundary}"\r\n\r\n`,
    ...there.flatMap((part) => [`--${boundary}\r\n`, ...part, "\r\n"]),
    `--${boundary}--\r\n`,
  ];
}

/** A text in whichever coding suits it: as it is, quoted-printable, or base64 for other scripts. */
function textPart(subtype: string, text: string): Piece[] {
  const lines = text.replace(/(?:\r\n|\r|\n)$/, "").split(/\r\n|\r|\n/);
  const whole = lines.map((line) => `${line}\r\n`).join("");
  let [coding, coded] = ["7bit", whole];
  if (!lines.every((line) => /^(?!\.|From )[\t -~]{0,78}$(?<![\t ])/.test(line))) {
    [coding, coded] = ["quoted-printable", lines.map(quotedPrintable).join("")];
    const octets = encoder.encode(whole);
    if (coded.length > 1.6 * octets.length) {
      [coding, coded] = ["base64", octets.toBase64().replace(/.{1,76}/g, "$&\r\n")];
    }
  }
  return [
    `Content-Type: text/${subtype}; charset=utf-8\r\nContent-Transfer-Encoding: ${coding}\r\n\r\n`,
    coded,
  ];
}

/** Codes a line (RFC 2045 §6.7); also what others would take for theirs at its start. */
function quotedPrintable(line: string): string {
  const code = (odd: string) => hex(odd, "=");
  const coded = line.replace(/[^\t -<>-~]+|[\t ]$/gu, code); // a blank at the end would get lost
  const pieces = coded.match(/.{1,73}(?<!=|=.)/g) ?? [""]; // not cut inside of "=2E"
  return `${pieces.map((piece) => piece.replace(/^(?:\.|F(?=rom ))/, code)).join("=\r\n")}\r\n`;
}

/** The octets of a text in hexadecimal, each behind a mark. */
function hex(text: string, mark: string): string {
  return encoder.encode(text).toHex().toUpperCase().replace(/../g, `${mark}$&`);
}

/** A file with its name; all files go as octets, also text: they have to arrive as they left. */
function filePart(disposition: "inline" | "attachment", file: OpenFile): Piece[] {
  const id = disposition === "inline" ? `Content-ID: <${encodeURIComponent(file.name)}>\r\n` : "";
  return [
    `Content-Type: ${mediaType(file.name)}${parameter("name", file.name)}\r\n` +
    `Content-Disposition: ${disposition}${parameter("filename", file.name)}\r\n` +
    `Content-Transfer-Encoding: base64\r\n${id}\r\n`,
    file,
  ];
}

/** A parameter on a line of its own; what is long or not ASCII goes by RFC 2231 §3 and §4. */
function parameter(name: string, value: string): string {
  const quoted = `"${value.replace(/["\\]/g, "\\$&")}"`;
  if (isPlain(value) && quoted.length < 60) return `;\r\n ${name}=${quoted}`;
  const percent = (text: string) => text.replace(/[^A-Za-z0-9._-]+/g, (odd) => hex(odd, "%"));
  return cut(value, () => 54, (piece) => percent(piece).length)
    .map((piece, at) => `;\r\n ${name}*${at}*=${at === 0 ? "utf-8''" : ""}${percent(piece)}`)
    .join("");
}

/** Cuts a text into pieces that cost no more than there is room, between what reads as letters. */
function cut(text: string, room: (at: number) => number, cost: (piece: string) => number) {
  const pieces: string[] = [];
  let piece = "";
  for (const { segment } of new Intl.Segmenter().segment(text.toWellFormed())) {
    for (const unit of cost(segment) > room(1) ? segment : [segment]) { // or between code points
      const full = cost(piece + unit) > room(pieces.length);
      if (full) pieces.push(piece);
      piece = full ? unit : piece + unit;
    }
  }
  return [...pieces, piece];
}

/** A field with text: folded where it has blanks, or else in encoded words. */
function textField(name: string, text: string, longest = LINE): string {
  const [first = "", ...words] = ` ${text}`.match(/ +[^ ]*/g) ?? [];
  const lines = [`${name}:${first}`];
  for (const word of words) {
    const longer = `${lines.at(-1)}${word}`;
    if (longer.length > LINE) lines.push(word);
    else lines[lines.length - 1] = longer;
  }
  const short = lines.every((line) => line.length <= longest);
  if (short && isPlain(text) && text === text.trim()) return `${lines.join("\r\n")}\r\n`;
  return `${name}: ${encodedWords(text, name.length + 2)}\r\n`;
}

/** A text as encoded words (RFC 2047), one a line; the first has so many chars before it. */
function encodedWords(text: string, before: number): string {
  const q = (piece: string) =>
    piece.replace(/[^A-Za-z0-9!*+/ -]+/g, (odd) => hex(odd, "=")).replaceAll(" ", "_");
  const b = (piece: string) => encoder.encode(piece).toBase64();
  const [letter, code] = q(text).length <= b(text).length ? ["q", q] as const : ["b", b] as const;
  const room = (at: number) => CODED_LINE - "=?utf-8?q??=".length - (at === 0 ? before : 1);
  return cut(text, room, (piece) => code(piece).length)
    .map((piece) => piece && `=?utf-8?${letter}?${code(piece)}?=`).join("\r\n ");
}

/** A field with mailboxes, one a line: long lists, short lines. */
function mailboxField(field: string, mailboxes: Mailbox[]): string {
  const lines = mailboxes.map(({ name, address }, index) => {
    const before = index === 0 ? `${field}: ` : " ";
    const phrase = displayName(name, before.length);
    const long = `${before}${phrase} <${address}>,`.length > CODED_LINE;
    return name === "" ? address : `${phrase}${long ? "\r\n" : ""} <${address}>`;
  });
  return lines.length === 0 ? "" : `${field}: ${lines.join(",\r\n ")}\r\n`;
}

/** A name as atoms, a quoted string, or encoded words, never one inside the other (RFC 2047 §5). */
function displayName(name: string, before: number): string {
  const quoted = `"${name.replace(/["\\]/g, "\\$&")}"`;
  if (!isPlain(name) || before + quoted.length > CODED_LINE) return encodedWords(name, before);
  return ATOMS.test(name) ? name : quoted;
}

/** Takes a finished message as it is, but for Bcc, and line ends, which are CRLF (§2.3.8). */
function finished(octets: Uint8Array): Message {
  const lines = new Uint8Array(2 * octets.length + 2);
  let [length, column, end, bits] = [0, 0, -1, 0];
  for (let at = 0; at < octets.length || column > 0; at++) {
    const octet = octets[at] ?? LF; // behind a last line that has no end
    if (octet === CR && octets[at + 1] === LF) continue;
    if (octet === CR || octet === LF) {
      if (column === 0 && end < 0) end = length; // of the header: the first empty line
      lines[length++] = CR;
      lines[length++] = LF;
      column = 0;
    } else {
      if (octet === 0) throw unfit("it holds a NUL");
      if (++column > MAX_LINE) throw unfit(`a line is longer than ${MAX_LINE} octets`);
      lines[length++] = octet;
      bits |= octet;
    }
  }
  const bcc = /^(?:Resent-)?Bcc[ \t]*:.*\r\n(?:[ \t].*\r\n)*/gim; // with folded lines
  if (end < 0) end = length;
  const header = toByteString(lines.subarray(0, end)).replace(bcc, "");
  const pieces = [
    Uint8Array.from(header, (char) => char.charCodeAt(0)),
    lines.subarray(end, length),
  ];
  return assemble(pieces, !isAscii(header), bits > 0x7f);
}

/** Doubles each dot that begins a line: alone it would end the message (RFC 5321 §4.5.2). */
async function* dotStuff(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let last = LF; // the last octet of the chunk before
  for await (const chunk of chunks) {
    const dots: number[] = []; // where those are that begin a line
    for (let at = chunk.indexOf(DOT); at >= 0; at = chunk.indexOf(DOT, at + 1)) {
      if ((at === 0 ? last : chunk[at - 1]) === LF) dots.push(at);
    }
    last = chunk.at(-1) ?? last;
    if (dots.length === 0) {
      yield chunk;
      continue;
    }
    const stuffed = new Uint8Array(chunk.length + dots.length);
    let copied = 0;
    for (const [more, dot] of dots.entries()) { // so many octets more than in the chunk by now
      stuffed.set(chunk.subarray(copied, dot), copied + more);
      stuffed[dot + more] = DOT;
      copied = dot;
    }
    stuffed.set(chunk.subarray(copied), copied + dots.length);
    yield stuffed;
  }
}

// ---- Command line ------------------------------------------------------

const PROVIDERS: Record<string, string> = {
  gmail: "smtp.gmail.com:587",
  office365: "smtp.office365.com:587",
  outlook: "smtp-mail.outlook.com:587",
  yahoo: "smtp.mail.yahoo.com:465",
  icloud: "smtp.mail.me.com:587",
  fastmail: "smtp.fastmail.com:465",
};
const MODES = ["starttls", "implicit", "try", "none"] as const;
const MECHANISMS = ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "XOAUTH2", "OAUTHBEARER"];

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

/** Fields that are made from other options, or by the program. */
const OURS = "from to cc bcc reply-to subject date message-id mime-version resent-bcc".split(" ");

/** What an error means that many have met, and what to do. */
const ADVICE: [sign: RegExp, advice: string][] = [
  [/534[ -]5\.7\.9/, "Gmail wants an app password, or a token: SMTP_TOKEN, --auth xoauth2"],
  [/535[ -]5\.7\.139/, "SMTP AUTH is off for this mailbox: an administrator can turn it on"],
  [/550 5\.7\.30/, "Passwords are over here: use a token, SMTP_TOKEN, and --auth xoauth2"],
  [/535[ -]5\.7\.8/, "Check user, password or token; Gmail, Yahoo, iCloud want an app password"],
  [/: 530\b/, "This server wants a login (--user) or TLS (--tls starttls) first"],
  [/454[ -]4\.7\.0/, "Too many logins, or TLS is not available now: wait before you try again"],
  [/UnknownIssuer/, "If you know the CA that issued it, trust it with --ca FILE"],
  [/not valid for name/, "Give --server a name that is in the certificate"],
  [/certificate (?:expired|not valid yet)/, "Check the clock, or tell those who run the server"],
  [/InvalidContentType/, "That was not TLS: if the port begins without, as 587, --tls starttls"],
  [
    /(?:lost|long) at the greeting(?! inside)/,
    "If the port begins with TLS, as 465, --tls implicit",
  ],
  [/offers no STARTTLS/, "Try port 465; --tls none would send in the clear"],
  [/Cannot reach/, "Check --server and --port: 587 or 465; many networks block 25"],
];

const TYPES =
  `txt text/plain;charset=utf-8 md text/markdown;charset=utf-8 html text/html;charset=utf-8
csv text/csv;charset=utf-8 ics text/calendar;charset=utf-8 json application/json xml application/xml
pdf application/pdf zip application/zip gz application/gzip rtf application/rtf jpg image/jpeg
jpeg image/jpeg png image/png gif image/gif webp image/webp svg image/svg+xml bmp image/bmp
tiff image/tiff avif image/avif heic image/heic mp3 audio/mpeg wav audio/wav ogg audio/ogg
mp4 video/mp4 webm video/webm mov video/quicktime doc application/msword
docx application/vnd.openxmlformats-officedocument.wordprocessingml.document
xlsx application/vnd.openxmlformats-officedocument.spreadsheetml.sheet
pptx application/vnd.openxmlformats-officedocument.presentationml.presentation`;

const HELP = `Sends mail through a submission server.

Usage: smtp_client.ts [options] < text

  --server NAME         gmail, office365, outlook, yahoo, icloud, fastmail,
                        or HOST[:PORT]
  -p, --port N          default 587; 465 begins with TLS
  --tls MODE            starttls, implicit, try, none; default: implicit on 465,
                        else starttls, and without TLS nothing is sent
  --ca FILE             trust this CA, too
  --helo NAME           the name for EHLO; default: this machine's address
  --timeout S           for each step, in seconds; default 60
  -u, --user NAME       log in; the password comes from SMTP_PASSWORD, from
  --password-file FILE  or from a prompt, a token from SMTP_TOKEN
  --auth MECHANISM      plain, login, cram-md5, scram-sha-256, xoauth2 or
                        oauthbearer; default: the best that is offered
  -f, --from ADDR       default: SMTP_FROM, else --user
  -t, --to ADDR         also --cc, --bcc, --reply-to: repeatable, lists with
                        commas, "Name <addr>"
  -s, --subject TEXT
  -m, --body TEXT       or --body-file FILE; default: standard input
  --html-file FILE      the same as HTML
  -a, --attach FILE     repeatable
  --inline FILE         repeatable; the HTML shows it as cid:NAME
  -H, --header 'N: V'   a further field, repeatable
  --eml FILE            a finished message, sent as it is, but for Bcc
  --dry-run             print the message, connect to nothing
  --check               connect, log in, say what is offered
  --json                the result as a JSON object
  -v, --verbose         show the conversation
  -q, --quiet           say nothing if all goes well
  -h, --help            show this text
  -V, --version         show the version

Example: smtp_client.ts --server gmail -u me@gmail.com -t bob@example.org -m Hi

Exit status: 0 accepted for all, 2 usage, 65 cannot be sent here, 67 some
recipients refused, 68 cannot connect, 69 refused, 75 try again, 76 TLS or
protocol, 77 login refused, 130 Ctrl-C.
`;

const READABLE = ["eml", "body-file", "html-file", "ca", "password-file"] as const; // "-": stdin
const TEXTS = ["subject", "body", "body-file", "html-file"] as const; // what --eml has already
const PARTS = ["attach", "inline", "header", "reply-to"] as const; // and this; repeatable
const LISTS = ["to", "cc", "bcc", ...PARTS] as const;
const WHERE = ["server", "port", "tls", "ca", "helo", "timeout"] as const;
const WHO = ["user", "auth", "password-file", "from"] as const;
const TO_WRITE = { f: "from", t: "to", s: "subject", m: "body", a: "attach", H: "header" };
const OPTIONS = {
  string: [...WHERE, ...WHO, ...LISTS, ...TEXTS, "eml"] as const,
  boolean: ["dry-run", "check", "json", "verbose", "quiet", "help", "version"] as const,
  short: { ...TO_WRITE, p: "port", u: "user", v: "verbose", q: "quiet", h: "help", V: "version" },
};

/** What the program has around it. */
export interface Surroundings {
  /** The environment variables that may be read. */
  env: Readonly<Record<string, string | undefined>>;
  /** Standard input. */
  stdin: { readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>; isTerminal(): boolean };
  /** Asks for a secret; null if there is nobody to ask. */
  ask: (prompt: string) => string | null;
  /** Takes a line of talk. */
  say: (line: string) => void;
  /** Takes the product. */
  print: (output: string | Uint8Array) => void;
  /** Makes the signal that ends the session, when there is one. */
  signal: () => AbortSignal;
}

type Flags = ReturnType<typeof readFlags>;

/**
 * Does what a command line says, and returns the exit status.
 *
 * @throws {UsageError} If it makes no sense; then nothing was connected.
 */
export async function mail(args: string[], around: Surroundings): Promise<number> {
  const flags = readFlags(args);
  if (flags.help) around.print(HELP);
  else if (flags.version) around.print(`smtp_client ${VERSION}\n`);
  if (flags.help || flags.version) return 0;
  using files = new DisposableStack();
  try {
    const errand = await readErrand(flags, around, files);
    return errand === null ? 0 : await transact(errand, flags, around);
  } catch (error) {
    demand(!(error instanceof Deno.errors.NotCapable), explain(error) ?? "");
    if (!(error instanceof Failure)) throw error;
    return report(error.status, error.message, NOTHING, flags, around);
  }
}

function readFlags(args: string[]) {
  const flags = parseArgs(spellOut(args, OPTIONS), { ...OPTIONS, collect: LISTS });
  const [stray] = flags._;
  usable(stray === undefined, "argument", String(stray), "--to before a recipient");
  return flags;
}

function demand(met: unknown, otherwise: string): asserts met {
  if (!met) throw new UsageError(otherwise);
}

function usable(met: unknown, option: string, value = "", expected: string): asserts met {
  demand(met, `Cannot use ${option} "${printable(value)}": expected ${expected}`);
}

/** Reads all that there is to read, and checks it; null if the message was only to be printed. */
async function readErrand(flags: Flags, around: Surroundings, files: DisposableStack) {
  demand(!(flags.check && flags["dry-run"]), "Cannot use --check with --dry-run");
  const twice = fromStdin(flags);
  demand(twice.length < 2, `Cannot read standard input for ${twice.join(", ")}: it comes once`);
  const { timeout, helo, ca } = flags;
  const sender = flags.check ? null : readSender(flags, around.env);
  const to = readRecipients(flags);
  demand(flags.check || to.length > 0, "No recipient: give --to");
  const message = sender && await readMessage(flags, sender, around.stdin, files);
  if (flags.check) await lookOver(flags, files);
  const server = readServer(flags);
  const named = helo === undefined || isAddressLiteral(helo) || asciiDomain(helo) === helo;
  usable(named, "--helo", helo, "a domain, or an address like [192.0.2.1]");
  const caCerts = ca === undefined ? [] : [await readCertificates(ca, around.stdin)];
  const ms = 1000 * readNumber("--timeout", timeout ?? "60", { min: 0.001, max: 86_400 });
  const times = { timeout: ms, endTimeout: timeout === undefined ? END_TIMEOUT : ms };
  const login = await readLogin(flags, server.hostname, server.tls, around);
  if (message && flags["dry-run"]) {
    for await (const octets of message.octets()) around.print(octets);
    return null;
  }
  return { ...server, caCerts, helo, ...times, login, from: sender?.address ?? "", to, message };
}

/** Looks over what --check has no use for: it was given, so it has to be right. */
async function lookOver(flags: Flags, files: DisposableStack): Promise<void> {
  const [from] = flags.from === undefined ? [] : readMailboxes("--from", [flags.from]);
  readHeader(flags, from ?? { name: "", address: "" }, "");
  await openFiles([...flags.attach, ...flags.inline], files);
}

function readServer({ server, port: given, tls, "dry-run": idle }: Flags) {
  const name = server ?? (idle ? "localhost" : "");
  demand(name, "No server: give --server NAME");
  const known = PROVIDERS[name.toLowerCase()] ?? name;
  const withPort = /^(?:\[([\dA-F:.]+)\]|([^:]+))(?::(\d+))?$/i.exec(known);
  const [, v6, host = "", own = "587"] = withPort ?? /^([\dA-F:.]+)$/i.exec(known) ?? []; // or ::1
  const hostname = isAddressLiteral(`[IPv6:${v6}]`) ? v6 : asciiDomain(host);
  usable(hostname, "--server", name, "a provider, or HOST[:PORT]");
  const port = readNumber("--port", given ?? own, { min: 1, max: 65_535, whole: true });
  const mode = MODES.find((mode) => mode === tls?.toLowerCase());
  usable(tls === undefined || mode, "--tls", tls, MODES.join(", "));
  return { hostname, port, tls: mode ?? (port === 465 ? "implicit" : "starttls") };
}

async function readLogin(flags: Flags, hostname: string, tls: string, around: Surroundings) {
  const { user, auth, "password-file": file } = flags;
  const mechanism = auth?.toUpperCase();
  const names = MECHANISMS.join(", ").toLowerCase();
  usable(mechanism === undefined || MECHANISMS.includes(mechanism), "--auth", auth, names);
  demand(user || (user ?? mechanism ?? file) === undefined, "No name to log in: give --user");
  if (user === undefined || flags["dry-run"]) return null;
  demand(tls !== "none", "Cannot log in with --tls none: credentials never go in the clear");
  const byToken = mechanism === "XOAUTH2" || mechanism === "OAUTHBEARER";
  const token = around.env.SMTP_TOKEN?.trim() || undefined;
  demand(token || !byToken, `No token for "${printable(user)}": set SMTP_TOKEN`);
  const stored = file === undefined
    ? around.env.SMTP_PASSWORD
    : (await readText(file, around.stdin)).split(/\r?\n/)[0];
  const needed = mechanism === undefined ? !token : !byToken;
  const asked = !stored && needed && around.ask(`Password for "${printable(user)}":`);
  const ways = "set SMTP_PASSWORD and grant --allow-env, or give --password-file";
  demand(stored || asked || !needed, `No password for "${printable(user)}": ${ways}`);
  const typed = stored || asked || undefined;
  const blanks = hostname.toLowerCase() === "smtp.gmail.com" ? /\s/g : ""; // Google shows it in fours
  const password = typed?.replace(blanks, "");
  const odd = /\p{Cc}/u.test(user + (token ?? "")) || password?.includes("\0");
  demand(!odd, "Cannot log in: name, password or token has a control character");
  return { user, password, token, mechanism };
}

function readSender(flags: Flags, env: Surroundings["env"]): Mailbox {
  const text = flags.from ??
    (env.SMTP_FROM || (flags.user?.includes("@") ? flags.user : undefined));
  demand(text !== undefined, "No sender: give --from, or set SMTP_FROM and grant --allow-env");
  const [sender, ...others] = readMailboxes("--from", [text]);
  usable(sender && others.length === 0, "--from", text, "one address");
  return sender;
}

/** All who get the message, each once; the case of a domain does not matter. */
function readRecipients(flags: Flags): string[] {
  const once = new Map<string, string>();
  for (const name of ["to", "cc", "bcc"] as const) {
    for (const { address } of readMailboxes(`--${name}`, flags[name])) {
      const key = address.replace(/[^@]*$/, (domain) => domain.toLowerCase());
      once.set(key, once.get(key) ?? address);
    }
  }
  return [...once.values()];
}

/** Reads lists of addr and Name <addr>, with commas between them (RFC 5322 §3.4). */
function readMailboxes(option: string, lists: string[]): Mailbox[] {
  return lists.flatMap((list) => {
    const items = list.match(/(?:"(?:[^"\\]|\\.)*"|[^",])+/g) ?? [];
    const clean = items.join(",") === list && list.trim() && !/\p{Cc}/u.test(list);
    usable(clean, option, list, "addresses, with commas between them");
    return items.map((item) => readMailbox(option, item.trim()));
  });
}

function readMailbox(option: string, item: string): Mailbox {
  const [, phrase = "", inner = item] = /^((?:"(?:[^"\\]|\\.)*"|[^"<])*)<([^<>]*)>$/.exec(item) ??
    [];
  const [, local = "", host = ""] = /^(.+)@([^@]+)$/.exec(inner.trim()) ?? [];
  const domain = isAddressLiteral(host) ? host : asciiDomain(host);
  const address = `${local.normalize("NFC")}@${domain}`;
  const fits = encoder.encode(local).length <= 64 && encoder.encode(address).length <= 254;
  const written = DOT_STRING.test(local) || QUOTED_STRING.test(local);
  const valid = fits && domain && written && !/(?! )[\p{C}\p{Z}]/u.test(local);
  usable(valid, option, item, "an address: ann@example.org or Ann <ann@example.org>");
  const unquoted = (_: string, text: string) => text.replace(/\\(.)/g, "$1");
  return { name: phrase.trim().replace(/"((?:[^"\\]|\\.)*)"/g, unquoted), address };
}

function isAddressLiteral(text: string): boolean { // RFC 5321 §4.1.3
  const [, v4 = "", v6] = /^\[(?:(\d+(?:\.\d+){3})|IPv6:([\dA-F:.]+))\]$/i.exec(text) ?? [];
  return URL.canParse(v6 === undefined ? `http://${v4}` : `http://[${v6}]`);
}

/** A domain with A-labels for what is not ASCII (RFC 5891), or null if it is none. */
function asciiDomain(domain: string): string | null {
  const plain = /^[\p{L}\p{M}\p{N}.。-]+$/u.test(domain); // nothing that a URL would take for more
  const parsed = (plain && URL.parse(`http://${domain}`)?.hostname) || "";
  if (/^[\d.]+$/.test(parsed) && parsed !== domain) return null; // 127.1: 127.0.0.1 to a URL
  const ascii = parsed && isAscii(domain) ? domain : parsed;
  const label = /^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/;
  return ascii.length < 254 && ascii.split(".").every((part) => label.test(part)) ? ascii : null;
}

type Stdin = Surroundings["stdin"];

async function readMessage(flags: Flags, from: Mailbox, stdin: Stdin, files: DisposableStack) {
  const { eml, "html-file": htmlFile } = flags;
  if (eml !== undefined) {
    const other = TEXTS.find((name) => flags[name] !== undefined) ??
      PARTS.find((name) => flags[name].length > 0);
    demand(!other, `Cannot use --${other} with --eml: that message is finished`);
    return finished(await readOctets(eml, stdin));
  }
  const id = `<${crypto.randomUUID()}@${from.address.split("@").at(-1)}>`;
  const header = readHeader(flags, from, id);
  const attached = await openFiles(flags.attach, files);
  const inline = await openFiles(flags.inline, files);
  const html = htmlFile === undefined ? undefined : await readText(htmlFile, stdin);
  for (const { name } of inline) {
    const named = [name, encodeURIComponent(name)].some((name) => html?.includes(`cid:${name}`));
    const once = inline.filter((file) => file.name === name).length === 1;
    usable(named && once, "--inline", name, "a file that the HTML names, once, as cid:NAME");
  }
  const text = await readBody(flags, stdin);
  const plain = text === null ? [] : textPart("plain", text);
  const related = inline.map((file) => filePart("inline", file));
  if (html !== undefined) related.unshift(textPart("html", html));
  const others = attached.map((file) => filePart("attachment", file));
  return { ...compose(header, plain, related, others), id };
}

/** The body as plain text; null where there is HTML alone. */
async function readBody(flags: Flags, stdin: Stdin): Promise<string | null> {
  const { body, "body-file": file, "html-file": html } = flags;
  demand(body === undefined || file === undefined, "Cannot use --body with --body-file");
  if (body !== undefined) return body;
  if (file !== undefined) return await readText(file, stdin);
  if (html !== undefined) return null;
  const other = stdin.isTerminal() || fromStdin(flags).length > 0; // standard input is no body
  return other ? "" : await readText("-", stdin);
}

/** Writes the header, but for what tells of the body. */
function readHeader(flags: Flags, from: Mailbox, id: string): string {
  const mailboxes = (field: string, name: "to" | "cc" | "reply-to") =>
    mailboxField(field, readMailboxes(`--${name}`, flags[name]));
  const subject = flags.subject?.replace(/\p{Cc}+/gu, " ").replace(/^ +| +$/g, "");
  const extra = flags.header.map((header) => {
    const [, name = "", value = ""] = /^([^:]+):(.*)$/s.exec(header) ?? [];
    const ours = OURS.includes(name.toLowerCase()) || /^content-/i.test(name);
    const valid = TOKEN.test(name) && name.length < CODED_LINE && !ours &&
      !/(?!\t)\p{Cc}/u.test(value);
    usable(valid, "--header", header, "'Name: value', and a field that no option writes");
    return textField(name, value.replaceAll("\t", " ").trim(), MAX_LINE);
  });
  const undisclosed = flags.to.length + flags.cc.length === 0;
  return [
    mailboxField("From", [from]),
    undisclosed ? "To: undisclosed-recipients:;\r\n" : mailboxes("To", "to"),
    mailboxes("Cc", "cc"),
    mailboxes("Reply-To", "reply-to"),
    subject === undefined ? "" : textField("Subject", subject),
    `Date: ${new Date().toUTCString().replace("GMT", "+0000")}\r\n`,
    `Message-ID: ${id}\r\n`,
    ...extra,
    "MIME-Version: 1.0\r\n",
  ].join("");
}

async function openFiles(paths: string[], files: DisposableStack): Promise<OpenFile[]> {
  return await Promise.all(paths.map(async (path) => {
    const { isFile } = await reading(path, Deno.stat(path)); // to open a FIFO takes for ever
    usable(isFile, "file", path, "a regular file");
    const file = files.use(await reading(path, Deno.open(path)));
    const { size } = await file.stat();
    return { name: (path.split("/").at(-1) ?? "").replace(/\p{Cc}/gu, "_"), size, file };
  }));
}

/** The options that read standard input; only one can. */
function fromStdin(flags: Flags): string[] {
  return READABLE.filter((name) => flags[name] === "-").map((name) => `--${name}`);
}

async function readOctets(path: string, stdin: Stdin): Promise<Uint8Array> {
  const result = path === "-" ? new Response(stdin.readable).bytes() : Deno.readFile(path);
  return await reading(path, result);
}

async function readText(path: string, stdin: Stdin): Promise<string> {
  const octets = await readOctets(path, stdin);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(octets);
  } catch {
    throw new UsageError(`Cannot read "${printable(path)}" as text: it is not UTF-8`);
  }
}

/** Reads certificates, and looks into each: Deno says nothing where there is none. */
async function readCertificates(path: string, stdin: Stdin): Promise<string> {
  const { X509Certificate } = await import("node:crypto");
  const text = await readText(path, stdin);
  try {
    const found = (text.match(CERTIFICATE) ?? []).map((pem) => new X509Certificate(pem));
    if (found.length > 0) return text;
  } catch {
    // one of them is none
  }
  throw new UsageError(`Cannot use --ca "${printable(path)}": expected certificates in PEM`);
}

/** Waits for a file; that it cannot be read is for the user to hear, in one line. */
async function reading<T>(path: string, result: Promise<T>): Promise<T> {
  try {
    return await result;
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable || !(error instanceof Error)) throw error;
    const why = printable(error.message.replace(/: \w+ '.*'$/s, ""));
    throw new UsageError(`Cannot read "${printable(path)}": ${why}`);
  }
}

function mediaType(name: string): string {
  const [, extension = "?"] = /\.([a-z0-9]+)$/i.exec(name) ?? [];
  const [, type] = new RegExp(`(?:^|\\s)${RegExp.escape(extension)} (\\S+)`, "i").exec(TYPES) ?? [];
  return type ?? "application/octet-stream";
}

/** Holds the session, and tells what came of it. */
async function transact(errand: Errand, flags: Flags, around: Surroundings): Promise<number> {
  const { login, message, hostname } = errand;
  const signal = around.signal();
  const delivery = structuredClone(NOTHING);
  let session: Session | undefined;
  let [status, line, mechanism]: [number, string, string | null] = [0, "", null];
  try {
    const show: Trace = (mark, text) => flags.verbose && around.say(`${mark} ${text}`);
    session = await Session.open(errand, signal, show);
    await session.begin();
    if (login) mechanism = await session.login(login);
    if (message) await session.deliver(message, delivery);
    await session.quit();
    if (delivery.refused.length > 0) status = EXIT.part;
    const entry = mechanism === null ? "login not tried" : `login by ${mechanism}`;
    const ready = `${hostname} is ready: ${session.encrypted ? "TLS" : "no TLS"}, ${entry}`;
    line = message ? tellSent(delivery, message) : ready;
  } catch (error) {
    [status, line] = blame(error, session?.step ?? "connecting", signal);
    if (error instanceof Failure) await session?.quit();
  } finally {
    session?.close();
  }
  const { offered = [] } = session ?? {};
  const sent = message && { ...delivery, messageId: message.id, size: message.size };
  if (!sent && status === 0 && !flags.json) around.print(offered.map((it) => `${it}\n`).join(""));
  return report(status, line, sent ?? { mechanism, offered }, flags, around);
}

/** Says how it went, in a line, in JSON if that is wanted, and with advice where there is some. */
function report(status: number, line: string, result: object, flags: Flags, to: Surroundings) {
  const advice = status === 0 ? undefined : ADVICE.find(([sign]) => sign.test(line))?.[1];
  const error = status === 0 || status === EXIT.part ? undefined : line;
  if (flags.json) to.print(`${JSON.stringify({ status, ...result, error, advice })}\n`);
  if (status !== 0 || !flags.quiet) to.say(status === 0 ? line : `smtp_client: ${line}`);
  if (advice) to.say(`smtp_client: ${advice}`);
  return status;
}

function tellSent(delivery: Delivery, { size }: Message): string {
  const { accepted: { length }, refused, response } = delivery;
  const count = `${length} recipient${length === 1 ? "" : "s"}`;
  const others = refused.length === 0 ? "" : `; ${listRefused(delivery)}`;
  return `sent to ${count} (${formatBytes(size)}): ${response}${others}`;
}

/** Tells who is to blame, as a status and in a line. */
function blame(error: unknown, step: string, signal: AbortSignal): [number, string] {
  const at = `at ${printable(step)}`;
  if (signal.aborted) return [EXIT.stop, `Interrupted ${at}`];
  if (error instanceof Failure) return [error.status, error.message];
  if (!(error instanceof WireError)) throw error;
  const why = printable(error.message.replace(/: https:.*/, "")); // where TLS explains itself
  if (error instanceof DeadlineError) return [EXIT.later, `${why} ${at}`];
  if (error instanceof ClosedError) return [EXIT.later, `Connection lost ${at}: ${why}`];
  return [EXIT.wire, `${why}, ${at}`];
}

async function main(args: string[]): Promise<number> {
  const env: Record<string, string | undefined> = {};
  for (const variable of ["SMTP_PASSWORD", "SMTP_TOKEN", "SMTP_FROM"]) {
    const { state } = await Deno.permissions.query({ name: "env", variable }); // never asked for
    if (state === "granted") env[variable] = Deno.env.get(variable);
  }
  const { stdin, stdout } = Deno;
  const ask = (prompt: string) => stdout.isTerminal() ? promptSecret(prompt) : null; // it asks there
  return await mail(args, { env, stdin, ask, say: console.error, print, signal: shutdownSignal });
}

if (import.meta.main) await run("smtp_client", main);
