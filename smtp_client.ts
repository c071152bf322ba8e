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
 *
 * Left out, since the server that takes the mail does it: MX look-up, DKIM, a queue.
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { promptSecret } from "@std/cli/prompt-secret";
import { format as formatBytes } from "@std/fmt/bytes";
import * as protocol from "./protocol.ts";
import { ClosedError, MalformedError, printable, toByteString, type Trace } from "./protocol.ts";
import { UsageError, Wire, WireError } from "./protocol.ts";

// ---- Terms -------------------------------------------------------------

/** Where the mail is handed over; `try` takes TLS where it is offered, and goes on without. */
interface Server {
  hostname: string; // the name its certificate must bear
  port: number;
  tls: "starttls" | "implicit" | "try" | "none";
}

/** Who logs in. None of it goes out in the clear. */
interface Login {
  user: string;
  password: string | undefined;
  token: string | undefined; // OAuth's
  mechanism: string | undefined; // the one to use, in capitals; else the best that is offered
}

/** How a session is held. */
interface SessionOptions {
  timeout: number; // for each step, in milliseconds
  endTimeout: number; // for the reply to the final dot
  signal: AbortSignal;
  caCerts: string[];
  helo: string | undefined;
  trace: Trace | undefined;
}

/** A reply (RFC 5321 §4.2): the first digit says yes (2), go on (3), not now (4) or no (5). */
interface Reply {
  code: number;
  lines: string[]; // without their codes, one char an octet
  text: string; // all in one line, fit for a terminal, without secrets
}

/** Who gets the message, whatever its header says (RFC 5321 §2.3.1). */
interface Envelope {
  from: string; // the reverse-path
  to: string[]; // the forward-paths
}

/** A message on its way; what comes from files is never whole in memory. */
interface Message {
  size: number; // in octets, every CRLF counted and no stuffed dot: SIZE= (RFC 1870 §5)
  international: boolean; // its header is more than ASCII: takes SMTPUTF8
  eightBit: boolean;
  id?: string;
  octets(): AsyncIterable<Uint8Array>; // each good until the next is asked for
}

/** What became of a message. */
interface Delivery {
  accepted: string[];
  refused: { address: string; code: number; text: string }[];
  response: string; // the reply that ended the matter
}

/** A person with an address; its domain is ASCII, its local part need not be. */
interface Mailbox {
  name: string; // "" for none
  address: string;
}

/** A file to send: so many octets of it as there were when it was opened. */
interface OpenFile {
  name: string;
  size: number;
  file: Deno.FsFile;
}

/** What to write into a message. */
interface Mail extends Record<"to" | "cc" | "replyTo", Mailbox[]> {
  from: Mailbox;
  subject: string | undefined;
  text: string | undefined; // with any line ends
  html: string | undefined;
  inline: OpenFile[]; // what the HTML shows
  attachments: OpenFile[];
  fields: protocol.Fields;
}

/** An errand that came to nothing. */
class Failure extends Error {
  constructor(readonly status: number, message: string) {
    super(message);
  }
}

// ---- Numbers -----------------------------------------------------------

/** The exit statuses, in sysexits' numbers where those have a word for it. */
const EXIT = {
  data: 65,
  partly: 67,
  host: 68,
  no: 69,
  later: 75,
  protocol: 76,
  login: 77,
  stop: 130,
};

const MAX_REPLY_LINE = 65_536; // octets; RFC 5321 §4.5.3.1.5 says 512: be kind
const MAX_REPLY_LINES = 512;
const MAX_AUTH_LINE = 512; // octets with CRLF, RFC 4954 §4; what is longer follows a 334
const MAX_LINE = 998; // octets of a line of a message, without CRLF (RFC 5322 §2.1.1)
const LINE = 78; // and how long a line should be
const CODED_LINE = 76; // with an encoded word in it, or of base64 (RFC 2047 §2, RFC 2045 §6.8)
const GROUP = 50; // commands that are sent at once (RFC 2920 §3.1): their replies fit any buffer
const ITERATIONS = { min: 4096, max: 1_000_000 } as const; // of PBKDF2 (RFC 7677 §4)
const END_TIMEOUT = 600_000; // ms, RFC 5321 §4.5.3.2.6: too early means a second copy
const QUIT_TIMEOUT = 2000; // ms: all is said by then
const MAX_SHOWN = 1000; // chars of what a server said in one line
const MAX_HEADER = 1 << 20; // octets of the header of a finished message
const BLOCK = 57 * 4096; // octets of a file that are read at once: whole lines of base64

const CR = 0x0d;
const LF = 0x0a;
const DOT = 0x2e;
const encoder = new TextEncoder();

// ---- Engine: the session -----------------------------------------------

/** A conversation with a server. It owns the connection. */
class Session implements Disposable {
  #wire: Wire;
  #offered = new Map<string, string[]>(); // keyword in capitals, parameters
  #secrets: string[] = [];
  #over = false; // not a word more: the server said 421, or half a message is out
  encrypted = false;
  step = "the greeting"; // what is being waited for
  mechanism: string | null = null; // that we logged in by

  private constructor(
    readonly conn: Deno.TcpConn,
    readonly server: Server,
    readonly options: SessionOptions,
  ) {
    this.#wire = new Wire(conn, { trace: this.#trace });
    options.signal.addEventListener("abort", this.#abort);
  }

  #abort = (): void => this.#wire.close(new ClosedError("Interrupted"));
  #trace: Trace = (mark, text) => this.options.trace?.(mark, this.#conceal(text));

  /** Takes out what a server may know and a screen may not, should the server echo it. */
  #conceal(text: string): string {
    for (const secret of this.#secrets) text = text.replaceAll(secret, "[credentials]");
    return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
  }

  /** Connects. */
  static async open(server: Server, options: SessionOptions): Promise<Session> {
    const { hostname, port } = server;
    const signal = AbortSignal.any([options.signal, AbortSignal.timeout(options.timeout)]);
    try {
      const conn = await Deno.connect({ hostname, port, signal });
      conn.setNoDelay(); // and now: a TlsConn cannot
      const session = new Session(conn, server, options);
      session.#wire.note(`Connected to ${hostname} (${conn.remoteAddr.hostname}), port ${port}`);
      return session;
    } catch (error) {
      if (error instanceof Deno.errors.NotCapable || !(error instanceof Error)) throw error;
      const why = signal.aborted ? "no answer" : error.message;
      throw new Failure(EXIT.host, `Cannot reach ${hostname}, port ${port}: ${why}`);
    }
  }

  /** What the server offers now: keywords with their parameters. */
  get offered(): string[] {
    return [...this.#offered].map((words) => printable(words.flat().join(" ")));
  }

  /** Greeting, EHLO, and TLS as it was asked for: without it nothing else is said. */
  async begin(): Promise<void> {
    const { tls } = this.server;
    if (tls === "implicit") await this.#startTls();
    this.#wire.setDeadline(this.options.timeout);
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
      if (tls !== "try" || reply.code < 400) throw refusal("STARTTLS", reply, EXIT.protocol);
    } else if (tls !== "try") {
      throw new Failure(EXIT.protocol, "Server offers no STARTTLS: nothing was sent");
    }
    this.#wire.note("No TLS, going on in the clear");
  }

  /** Puts TLS around the connection and checks the certificate. */
  async #startTls(): Promise<void> {
    const { server: { hostname }, options: { caCerts, timeout } } = this;
    const next = this.step;
    this.step = "the TLS handshake";
    this.#over = true;
    this.#wire.release(); // refuses what came behind the 220: it would pass for words inside TLS
    const tls = await Deno.startTls(this.conn, { hostname, caCerts });
    this.#wire = new Wire(tls, { trace: this.#trace });
    this.#wire.setDeadline(timeout);
    try {
      await tls.handshake(); // until here nothing was checked
    } catch (error) {
      await this.#wire.write(""); // rejects with the reason if the wire was closed by us
      if (!(error instanceof Error)) throw error;
      const [, check] = /^invalid peer certificate: (.*)/s.exec(error.message) ?? [];
      const message = check === undefined
        ? `Cannot begin TLS with ${hostname}: ${printable(error.message)}`
        : `Cannot trust the certificate of ${hostname}: ${printable(check)}`;
      const lost = !(error instanceof Deno.errors.InvalidData);
      throw new Failure(lost ? EXIT.later : EXIT.protocol, message);
    }
    this.#over = false;
    this.encrypted = true;
    this.step = next;
    this.#wire.note(`TLS, certificate valid for ${hostname}`);
  }

  /** Says EHLO and learns what is offered; HELO if it must and TLS is not at stake (§3.2). */
  async #hello(): Promise<void> {
    this.#offered.clear();
    const name = this.options.helo ?? addressLiteral(this.conn.localAddr.hostname);
    const reply = await this.#ask(`EHLO ${name}`);
    if (reply.code !== 250) {
      const unprotected = this.server.tls === "starttls" && !this.encrypted;
      const unknown = reply.code >= 500 && reply.code < 510; // EHLO itself: so no STARTTLS
      if (unprotected && unknown) throw refusal("EHLO", reply, EXIT.protocol);
      if (unprotected || reply.code < 500) throw refusal("EHLO", reply);
      await this.#command(`HELO ${name}`, 250);
    }
    for (const line of reply.lines.slice(1)) { // the first is a greeting, whatever it says (§4.1.1.1)
      // "AUTH=LOGIN" is what it was before RFC 2554
      const [keyword = "", ...parameters] = line.replace(/^AUTH=/i, "AUTH ").trim().split(/[ \t]+/);
      const before = this.#offered.get(keyword.toUpperCase()) ?? [];
      this.#offered.set(keyword.toUpperCase(), [...before, ...parameters]);
    }
  }

  /** Reads a reply: lines with one and the same code, behind it a hyphen on all but the last. */
  async #readReply(): Promise<Reply> {
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
    throw new protocol.LimitError(`Reply has more than ${MAX_REPLY_LINES} lines`);
  }

  /** A reply that is there before its command answers nothing, unless it says that all is over. */
  async #beInTurn(): Promise<void> {
    if (this.#wire.buffered.length === 0) return;
    const reply = await this.#readReply();
    if (reply.code === 421) throw refusal(this.step, reply);
    throw new MalformedError(`Server spoke out of turn: ${reply.text}`);
  }

  /** Sends commands at once, then reads a reply for each, until one says that there are no more. */
  async #askAll(commands: string[], shown = commands): Promise<Reply[]> {
    await this.#beInTurn();
    const replies: Reply[] = [];
    for (const [index, command] of commands.entries()) {
      this.step = shown[index] ?? command;
      this.#wire.setDeadline(this.options.timeout);
      await this.#wire.writeLine(command, this.step);
    }
    for (const command of shown) {
      this.step = command;
      this.#wire.setDeadline(this.options.timeout); // for the whole reply, however it drips
      replies.push(await this.#readReply());
      if (this.#over) break;
    }
    return replies;
  }

  async #ask(command: string, shown = command): Promise<Reply> {
    const [reply] = await this.#askAll([command], [shown]);
    if (reply === undefined) throw new ClosedError("Server hung up");
    return reply;
  }

  /** Sends a command that has one good answer; what is 250 may be any yes (RFC 5321 §4.3.2). */
  async #command(command: string, wanted: number): Promise<void> {
    const reply = await this.#ask(command);
    if (reply.code !== wanted && !(wanted === 250 && isYes(reply))) throw refusal(command, reply);
  }

  /**
   * Logs in by the best mechanism that is offered now. A 535 is final: the same password once
   * more is a step towards a locked account. Only a 504 leads on to the next mechanism.
   */
  async login(login: Login): Promise<void> {
    if (!this.encrypted) throw new Failure(EXIT.protocol, "Cannot log in without TLS");
    const offered = (this.#offered.get("AUTH") ?? []).map((name) => name.toUpperCase());
    const known = mechanisms(login, this.server);
    const usable = known.filter(({ name }) => offered.includes(name));
    if (usable.length === 0) {
      const offer = offered.length > 0 ? `only ${printable(offered.join(" "))}` : "no AUTH";
      const names = known.map(({ name }) => name).join(", ");
      throw new Failure(EXIT.login, `Cannot log in by ${names}: the server offers ${offer}`);
    }
    this.#secrets = [login.password, login.token].filter((secret) => secret !== undefined);
    for (const mechanism of usable) {
      const reply = await this.#authenticate(mechanism);
      if (reply.code === 504 && mechanism !== usable.at(-1)) continue;
      if (reply.code !== 235) {
        const text = `${reply.text}${mechanism.reason ?? ""}`;
        throw refusal(`AUTH ${mechanism.name}`, { ...reply, text }, EXIT.login);
      }
      this.mechanism = mechanism.name;
      return;
    }
  }

  /** Goes through one mechanism, challenge by challenge (RFC 4954 §4). */
  async #authenticate({ name, clientFirst, mutual, steps }: Mechanism): Promise<Reply> {
    const left = [...steps];
    let command = `AUTH ${name}`;
    if (clientFirst) {
      const first = `${command} ${this.#encode(await steps[0]?.("") ?? "")}`;
      if (first.length + "\r\n".length <= MAX_AUTH_LINE) command = first;
      if (command === first) left.shift();
    }
    const hidden = command === `AUTH ${name}` ? "" : " [credentials]";
    let reply = await this.#ask(command, `AUTH ${name}${hidden}`);
    while (reply.code === 334) {
      let response: string;
      try {
        const step = left.shift();
        if (step === undefined) throw new Failure(EXIT.login, "the server asks on and on");
        response = this.#encode(await step(reply.lines.join("")));
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        await this.#ask("*"); // cancels
        throw new Failure(
          error.status,
          `Cannot log in by ${name}: ${this.#conceal(error.message)}`,
        );
      }
      reply = await this.#ask(response, response && "[credentials]");
    }
    if (reply.code === 235 && mutual && left.length > 0) {
      throw new Failure(EXIT.login, "Server did not prove that it knows the password");
    }
    return reply;
  }

  #encode(response: string): string {
    const encoded = encoder.encode(response).toBase64();
    if (encoded !== "") this.#secrets.push(encoded);
    return encoded;
  }

  /** Hands over a message (RFC 5321 §3.3). Whoever is refused is noted; the others get it. */
  async deliver(envelope: Envelope, message: Message, delivery: Delivery): Promise<void> {
    const commands = [
      `MAIL FROM:<${envelope.from}>${this.#parameters(envelope, message)}`,
      ...envelope.to.map((path) => `RCPT TO:<${path}>`),
    ];
    const group = this.#offered.has("PIPELINING") ? GROUP : 1;
    const taken: string[] = [];
    for (let at = 0; at < commands.length; at += group) {
      for (const [index, reply] of (await this.#askAll(commands.slice(at, at + group))).entries()) {
        const address = envelope.to[at + index - 1];
        if (isYes(reply) && address !== undefined) taken.push(address);
        if (isYes(reply)) continue;
        if (address === undefined || reply.code < 400 || reply.code === 421) {
          throw refusal(commands[at + index] ?? "", reply);
        }
        delivery.refused.push({ address, code: reply.code, text: reply.text });
      }
    }
    if (taken.length === 0) {
      const again = delivery.refused.some(({ code }) => code < 500);
      const message = `Server refused ${listRefused(delivery.refused)}`;
      throw new Failure(again ? EXIT.later : EXIT.no, message);
    }
    await this.#command("DATA", 354); // on its own: after a 354 there is no way back
    delivery.response = (await this.#sendMessage(message)).text;
    delivery.accepted = taken;
  }

  /** Tells what the message takes (RFC 1870, 6152, 6531), or why this server cannot take it. */
  #parameters(envelope: Envelope, { size, international, eightBit }: Message): string {
    const limit = Number(/^\d+$/.exec(this.#offered.get("SIZE")?.[0] ?? "")?.[0] ?? 0);
    const utf8 = international || [envelope.from, ...envelope.to].some((path) => !isAscii(path));
    const why = limit > 0 && size > limit // 0: no limit
      ? `it has ${size} octets, the server takes ${limit}`
      : utf8 && !this.#offered.has("SMTPUTF8")
      ? "an address or a field is not ASCII, and the server offers no SMTPUTF8"
      : eightBit && !this.#offered.has("8BITMIME")
      ? "it has 8-bit octets, and the server offers no 8BITMIME"
      : "";
    if (why !== "") throw new Failure(EXIT.data, `Cannot send the message here: ${why}`);
    return (this.#offered.has("SIZE") ? ` SIZE=${size}` : "") +
      (eightBit ? " BODY=8BITMIME" : "") + (utf8 ? " SMTPUTF8" : "");
  }

  /**
   * Sends the message and its final dot. The reply is awaited from the start: a server that has
   * seen enough says 552 and closes; then a write fails while its reply lies there.
   */
  async #sendMessage(message: Message): Promise<Reply> {
    this.step = "the message";
    await this.#beInTurn();
    this.#over = true; // whatever happens: inside the message a QUIT would be text
    let answered = false;
    const answer = this.#readReply().finally(() => answered = true);
    answer.catch(() => {}); // awaited below, unless the message itself breaks off
    try {
      for await (const octets of dotStuff(message.octets())) {
        if (answered) break;
        await this.#wire.write(octets, this.options.timeout);
      }
      this.#trace(">", `[${message.size} octets]`);
    } catch (error) {
      if (!(error instanceof ClosedError)) throw error;
      answered = true; // or the connection is lost, and that is the answer
    }
    if (answered) {
      const reply = await answer;
      if (reply.code >= 400) throw refusal(this.step, reply);
      throw new MalformedError(`Server spoke out of turn: ${reply.text}`);
    }
    this.step = "the end of the message, which may have been delivered";
    this.#wire.setDeadline(this.options.endTimeout);
    await this.#wire.writeLine(".");
    const reply = await answer;
    this.#over = reply.code === 421;
    if (!isYes(reply)) throw refusal("the message", reply);
    return reply;
  }

  /** Says goodbye, if there is somebody to hear it, and closes. Nothing here can spoil anything. */
  async quit(): Promise<void> {
    try {
      if (this.#over) return;
      this.#wire.setDeadline(QUIT_TIMEOUT);
      await this.#wire.writeLine("QUIT");
      await this.#readReply();
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.#wire.note(`No reply to QUIT: ${error.message}`);
    } finally {
      this[Symbol.dispose]();
    }
  }

  [Symbol.dispose](): void {
    this.options.signal.removeEventListener("abort", this.#abort);
    this.#wire.close();
  }
}

function isYes({ code }: Reply): boolean {
  return code >= 200 && code < 300;
}

function isAscii(text: string): boolean {
  return /^[\0-\x7f]*$/.test(text);
}

/** What it means that a command was not granted: not now (4yz), no (5yz), or nonsense. */
function refusal(command: string, { code, text }: Reply, no: number = EXIT.no): Failure {
  if (code >= 500) return new Failure(no, `Server refused ${printable(command)}: ${text}`);
  if (code >= 400) return new Failure(EXIT.later, `Server deferred ${command}: ${text}`);
  return new Failure(EXIT.protocol, `Server gave ${command} an answer to something else: ${text}`);
}

function listRefused(refused: Delivery["refused"]): string {
  return refused.map(({ address, text }) => `RCPT TO:<${printable(address)}>: ${text}`).join("; ");
}

/** An address for a name (RFC 5321 §4.1.3). */
function addressLiteral(address: string): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/, "");
  return plain.includes(":") ? `[IPv6:${plain}]` : `[${plain}]`;
}

// ---- Engine: the login -------------------------------------------------

/** A way to log in: what to answer to one challenge after the other; to throw is to cancel. */
interface Mechanism {
  name: string;
  clientFirst: boolean; // then the first response may go on the line with AUTH
  mutual?: boolean; // the server, too, has to prove itself: no step may be left out
  steps: ((challenge: string) => string | Promise<string>)[];
  reason?: string; // for a refusal, where it comes in a challenge
}

/** The mechanisms that the credentials are good for, the best first. */
function mechanisms({ user, password, token, mechanism }: Login, server: Server): Mechanism[] {
  const all: Mechanism[] = [];
  if (token !== undefined) {
    const where = `host=${server.hostname}\x01port=${server.port}\x01`; // RFC 7628 §3.1
    const bearer = `auth=Bearer ${token}\x01\x01`;
    all.push(oauth("OAUTHBEARER", `n,a=${saslName(user)},\x01${where}${bearer}`, "\x01"));
    all.push(oauth("XOAUTH2", `user=${user}\x01${bearer}`, ""));
  }
  if (password !== undefined) {
    const plain = () => `\0${user}\0${password}`; // RFC 4616 §2
    all.push(scram(user, password));
    all.push({ name: "PLAIN", clientFirst: true, steps: [plain] });
    all.push({ name: "LOGIN", clientFirst: false, steps: [() => user, () => password] });
    const digest = async (challenge: string) => { // RFC 2195 §2
      const { createHmac } = await import("node:crypto"); // WebCrypto has no MD5
      return `${user} ${createHmac("md5", password).update(decode(challenge)).digest("hex")}`;
    };
    all.push({ name: "CRAM-MD5", clientFirst: false, steps: [digest] });
  }
  return mechanism === undefined ? all : all.filter(({ name }) => name === mechanism);
}

/** A token. Why it is refused comes in a challenge, which wants a word before the final no. */
function oauth(name: string, response: string, word: string): Mechanism {
  const refused = (challenge: string) => {
    mechanism.reason = ` (${printable(new TextDecoder().decode(decode(challenge)))})`;
    return word;
  };
  const mechanism: Mechanism = { name, clientFirst: true, steps: [() => response, refused] };
  return mechanism;
}

/** SCRAM-SHA-256 (RFC 5802 §3, RFC 7677): the password stays here, and the server is proved, too. */
function scram(user: string, password: string): Mechanism {
  const nonce = crypto.getRandomValues(new Uint8Array(18)).toBase64();
  const clientFirst = `n=${saslName(user)},r=${nonce}`;
  let proof = "";
  const answer = async (challenge: string): Promise<string> => {
    const serverFirst = new TextDecoder().decode(decode(challenge));
    const [, both = "", salt = "", count] =
      /^r=([!-+\--~]+),s=([A-Za-z0-9+/=]+),i=(\d{1,9})(?:,|$)/.exec(serverFirst) ?? [];
    if (!both.startsWith(nonce) || both === nonce) {
      throw new Failure(EXIT.login, "the server's nonce does not begin with ours");
    }
    const iterations = Number(count);
    if (iterations < ITERATIONS.min || iterations > ITERATIONS.max) {
      throw new Failure(EXIT.login, `the server asks for ${iterations} iterations`);
    }
    const secret = encoder.encode(password.normalize("NFKC"));
    const key = await crypto.subtle.importKey("raw", secret, "PBKDF2", false, ["deriveBits"]);
    const how = { name: "PBKDF2", hash: "SHA-256", salt: decode(salt), iterations };
    const salted = new Uint8Array(await crypto.subtle.deriveBits(how, key, 256));
    const final = `c=biws,r=${both}`;
    const dialogue = `${clientFirst},${serverFirst},${final}`;
    const clientKey = await hmac(salted, "Client Key");
    const storedKey = new Uint8Array(await crypto.subtle.digest("SHA-256", clientKey));
    const signature = await hmac(storedKey, dialogue);
    proof = (await hmac(await hmac(salted, "Server Key"), dialogue)).toBase64();
    return `${final},p=${clientKey.map((octet, at) => octet ^ (signature[at] ?? 0)).toBase64()}`;
  };
  const verify = (challenge: string): string => {
    if (toByteString(decode(challenge)).split(",")[0] === `v=${proof}`) return "";
    throw new Failure(EXIT.login, "the server did not prove that it knows the password");
  };
  const steps = [() => `n,,${clientFirst}`, answer, verify];
  return { name: "SCRAM-SHA-256", clientFirst: true, mutual: true, steps };
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
    throw new Failure(EXIT.login, "the server's challenge is not base64");
  }
}

// ---- Engine: the message -----------------------------------------------

/** What a message is made of: text that is ready for the wire, and files to come as base64. */
type Piece = string | OpenFile;

/** Writes a message: its header, then mixed(alternative(plain, related(html, inline)), files). */
function compose(mail: Mail): Message {
  const id = `<${crypto.randomUUID()}@${mail.from.address.split("@").at(-1)}>`;
  const { to, cc, replyTo, subject } = mail;
  const nobody = to.length + cc.length === 0 ? "To: undisclosed-recipients:;\r\n" : "";
  const header = mailboxField("From", [mail.from]) + mailboxField("To", to) + nobody +
    mailboxField("Cc", cc) + mailboxField("Reply-To", replyTo) +
    (subject === undefined ? "" : textField("Subject", subject)) +
    `Date: ${new Date().toUTCString().replace("GMT", "+0000")}\r\nMessage-ID: ${id}\r\n` +
    [...mail.fields].map(([name, value]) => textField(name, value, MAX_LINE)).join("") +
    "MIME-Version: 1.0\r\n";
  const plain = mail.text === undefined ? [] : [[textPart("plain", mail.text)]];
  const inline = mail.inline.map((file) => filePart("inline", file));
  const html = mail.html === undefined ? [] : [
    multipart('related; type="text/html"', [[textPart("html", mail.html)], ...inline]),
  ];
  const attachments = mail.attachments.map((file) => filePart("attachment", file));
  const body = multipart("mixed", [multipart("alternative", [...plain, ...html]), ...attachments]);
  const pieces = [header, ...body];
  const size = pieces.reduce((sum, piece) => sum + wireSize(piece), 0);
  const international = !isAscii(header);
  const octets = () => write(pieces);
  return { size, international, eightBit: international, id, octets };
}

/** How many octets a piece becomes on the wire. */
function wireSize(piece: Piece): number {
  if (typeof piece === "string") return encoder.encode(piece).length;
  const chars = 4 * Math.ceil(piece.size / 3);
  return chars + 2 * Math.ceil(chars / CODED_LINE);
}

async function* write(pieces: Piece[]): AsyncGenerator<Uint8Array> {
  for (const piece of pieces) {
    if (typeof piece === "string") yield encoder.encode(piece);
    else yield* base64Lines(piece);
  }
}

/** Reads a file as lines of base64, as much of it as there was at first, or not to the end. */
async function* base64Lines({ file, size, name }: OpenFile): AsyncGenerator<Uint8Array> {
  const block = new Uint8Array(Math.min(BLOCK, size));
  const lines = new Uint8Array(Math.ceil(block.length / 57) * (CODED_LINE + 2));
  for (let left = size; left > 0;) {
    const wanted = block.subarray(0, left);
    for (let got = 0; got < wanted.length;) {
      const count = await file.read(wanted.subarray(got));
      if (count === null) throw changed(name);
      got += count;
    }
    const { written } = encoder.encodeInto(wanted.toBase64(), lines);
    const rows = Math.ceil(written / CODED_LINE);
    for (let row = rows - 1; row >= 0; row--) { // from the last on, so that none is overwritten
      const [from, to] = [row * CODED_LINE, row * (CODED_LINE + 2)];
      const end = Math.min(from + CODED_LINE, written);
      lines.copyWithin(to, from, end);
      lines[to + end - from] = CR;
      lines[to + end - from + 1] = LF;
    }
    yield lines.subarray(0, written + 2 * rows);
    left -= wanted.length;
  }
}

function changed(name: string): Failure {
  return new Failure(EXIT.later, `File "${printable(name)}" changed while it was being sent`);
}

/** Puts parts into one; a lone part needs no wrapping. */
function multipart(subtype: string, parts: Piece[][]): Piece[] {
  const [first = [], ...others] = parts.filter((part) => part.length > 0);
  if (others.length === 0) return first;
  const boundary = `=_${crypto.randomUUID()}`; // "=_": in no quoted-printable, in no base64
  return [
    `Content-Type: multipart/${subtype};\r\n boundary="${boundary}"\r\n\r\n`,
    ...[first, ...others].flatMap((part) => [`--${boundary}\r\n`, ...part, "\r\n"]),
    `--${boundary}--\r\n`,
  ];
}

/** A text in whichever coding suits it: as it is, quoted-printable, or base64 for other scripts. */
function textPart(subtype: string, text: string): string {
  const lines = text.toWellFormed().split(/\r\n|\r|\n/);
  if (lines.at(-1) === "") lines.pop();
  const simple = lines.every((line) => /^(?!\.|From )[\t -~]{0,78}$(?<![\t ])/.test(line));
  const whole = lines.map((line) => `${line}\r\n`).join("");
  const quoted = simple ? whole : lines.map(quotedPrintable).join("");
  const octets = encoder.encode(whole);
  const fits = quoted.length <= 1.6 * octets.length;
  const coding = simple ? "7bit" : fits ? "quoted-printable" : "base64";
  const body = fits ? quoted : octets.toBase64().replace(/.{1,76}/g, "$&\r\n");
  return `Content-Type: text/${subtype}; charset=utf-8\r\n` +
    `Content-Transfer-Encoding: ${coding}\r\n\r\n${body}`;
}

/** Codes a line (RFC 2045 §6.7), and at a line's start what others would take for their own. */
function quotedPrintable(line: string): string {
  const chars = [...line];
  let coded = "";
  let column = 0;
  for (const [index, char] of chars.entries()) {
    const last = index === chars.length - 1;
    const literal = /^[!-<>-~]$/.test(char) || (/^[\t ]$/.test(char) && !last);
    const token = literal ? char : hex(char, "=");
    const soft = column + token.length + (last ? 0 : 1) > CODED_LINE;
    if (soft) coded += "=\r\n";
    if (soft) column = 0;
    // a dot would have to be stuffed; a mailbox file begins its messages with "From "
    const odd = column === 0 &&
      (char === "." || /^From $/.test(chars.slice(index, index + 5).join("")));
    coded += odd ? hex(char, "=") : token;
    column += odd ? 3 : token.length;
  }
  return `${coded}\r\n`;
}

/** The octets of a text in hexadecimal, each with a mark before it. */
function hex(text: string, mark: string): string {
  return encoder.encode(text).toHex().toUpperCase().replace(/../g, `${mark}$&`);
}

/** A file with its name; as octets, also what is text, for it has to arrive as it left. */
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
  if (/^(?!.*=\?)[ -~]*$/.test(value) && quoted.length < 60) return `;\r\n ${name}=${quoted}`;
  const percent = (text: string) => text.replace(/[^A-Za-z0-9._-]+/g, (odd) => hex(odd, "%"));
  return cut(value.toWellFormed(), () => 54, (piece) => percent(piece).length)
    .map((piece, at) => `;\r\n ${name}*${at}*=${at === 0 ? "utf-8''" : ""}${percent(piece)}`)
    .join("");
}

/** Cuts a text so that each piece costs no more than there is room, never inside what is read as one character. */
function cut(text: string, room: (at: number) => number, cost: (piece: string) => number) {
  const pieces: string[] = [];
  let piece = "";
  for (const { segment } of new Intl.Segmenter().segment(text)) {
    for (const unit of cost(segment) > room(1) ? segment : [segment]) {
      if (cost(piece + unit) > room(pieces.length)) {
        pieces.push(piece);
        piece = "";
      }
      piece += unit;
    }
  }
  return [...pieces, piece];
}

/** A field with text: folded where it has blanks, or else in encoded words. */
function textField(name: string, text: string, longest = LINE): string {
  let [folded, column] = [`${name}:`, name.length + 1];
  for (const [index, word] of (` ${text}`.match(/ +[^ ]*/g) ?? []).entries()) {
    const fold = index > 0 && column + word.length > LINE;
    folded += fold ? `\r\n${word}` : word;
    column = fold ? word.length : column + word.length;
  }
  const plain = /^(?! )[ -~]*(?<! )$/.test(text) && !text.includes("=?") &&
    folded.split("\r\n").every((line) => line.length <= longest);
  return plain ? `${folded}\r\n` : `${name}: ${encodedWords(text, name.length + 2)}\r\n`;
}

/** A text as encoded words (RFC 2047), one a line; the first has so many chars before it. */
function encodedWords(text: string, before: number): string {
  const whole = text.toWellFormed();
  const q = (piece: string) =>
    piece.replace(/[^A-Za-z0-9!*+/ -]+/g, (odd) => hex(odd, "=")).replaceAll(" ", "_");
  const b = (piece: string) => encoder.encode(piece).toBase64();
  const [letter, code] = q(whole).length <= b(whole).length ? ["q", q] as const : ["b", b] as const;
  const room = (at: number) => CODED_LINE - "=?utf-8?q??=".length - (at === 0 ? before : 1);
  return cut(whole, room, (piece) => code(piece).length)
    .map((piece) => piece && `=?utf-8?${letter}?${code(piece)}?=`).join("\r\n ");
}

/** A field with mailboxes, one a line: long lists, short lines. */
function mailboxField(name: string, mailboxes: Mailbox[]): string {
  if (mailboxes.length === 0) return "";
  const lines = mailboxes.map((mailbox, index) => {
    const before = index === 0 ? name.length + 2 : 1;
    if (mailbox.name === "") return mailbox.address;
    const lines = displayName(mailbox.name, before).split("\r\n");
    const column = (lines.length === 1 ? before : 0) + (lines.at(-1) ?? "").length;
    const fold = column + ` <${mailbox.address}>,`.length > CODED_LINE ? "\r\n" : "";
    return `${lines.join("\r\n")}${fold} <${mailbox.address}>`;
  });
  return `${name}: ${lines.join(",\r\n ")}\r\n`;
}

/** A name as atoms, a quoted string, or encoded words, never one inside the other (RFC 2047 §5). */
function displayName(name: string, before: number): string {
  const quoted = `"${name.replace(/["\\]/g, "\\$&")}"`;
  const ascii = /^(?!.*=\?)[ -~]*$/.test(name);
  if (!ascii || before + quoted.length > CODED_LINE) return encodedWords(name, before);
  return /^[\w!#$%&'*+/=?^`{|}~-]+( [\w!#$%&'*+/=?^`{|}~-]+)*$/.test(name) ? name : quoted;
}

/** A message that is there already, sent as it is: here is what the server will want to know. */
async function finished(name: string, read: () => AsyncIterable<Uint8Array>): Promise<Message> {
  const lines = () => withoutBcc(canonical(read()));
  const message = { size: 0, international: false, eightBit: false, octets };
  let column = 0;
  for await (const chunk of lines()) {
    let bits = 0;
    for (let at = 0; at < chunk.length; at++) {
      const octet = chunk[at] ?? 0;
      bits |= octet;
      column = octet === LF ? 0 : column + 1;
      if (octet !== 0 && column <= MAX_LINE + 1) continue; // with its CR
      const why = octet === 0 ? "it holds a NUL" : `a line is longer than ${MAX_LINE} octets`;
      throw new Failure(EXIT.data, `Cannot send "${printable(name)}": ${why}`);
    }
    if (bits > 0x7f) message.international ||= message.size === 0; // first comes the header
    message.eightBit ||= bits > 0x7f;
    message.size += chunk.length;
  }
  async function* octets(): AsyncGenerator<Uint8Array> {
    let left = message.size;
    for await (const chunk of lines()) {
      if (chunk.length > left) throw changed(name);
      left -= chunk.length;
      yield chunk;
    }
    if (left > 0) throw changed(name);
  }
  return message;
}

/** Makes every line end a CRLF, be it a CR or LF alone. */
async function* canonical(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let before = LF;
  for await (const chunk of chunks) {
    const lines = new Uint8Array(2 * chunk.length);
    let length = 0;
    for (let at = 0; at < chunk.length; at++) {
      const octet = chunk[at] ?? 0;
      if (octet === LF ? before !== CR : before === CR) lines[length++] = octet === LF ? CR : LF;
      lines[length++] = octet;
      before = octet;
    }
    yield lines.subarray(0, length);
  }
  if (before !== LF) yield Uint8Array.of(CR, LF).subarray(before === CR ? 1 : 0);
}

/** Yields the header, whole and without Bcc, then the rest. */
async function* withoutBcc(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const bcc = /^(?:Resent-)?Bcc[ \t]*:.*\r\n(?:[ \t].*\r\n)*/gim;
  const octets = (text: string) => Uint8Array.from(text, (char) => char.charCodeAt(0));
  let text: string | null = "";
  for await (const chunk of chunks) {
    if (text === null) yield chunk;
    else {
      text += toByteString(chunk);
      const end: number = text.startsWith("\r\n") ? 0 : text.indexOf("\r\n\r\n") + 2;
      if (end === 1 && text.length <= MAX_HEADER) continue;
      if (end === 1) throw new Failure(EXIT.data, "Cannot find the end of the header");
      yield octets(text.slice(0, end).replace(bcc, ""));
      yield octets(text.slice(end));
      text = null;
    }
  }
  if (text !== null) yield octets(text.replace(bcc, ""));
}

/** Doubles each dot that begins a line: alone it would end the message (RFC 5321 §4.5.2). */
async function* dotStuff(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let before = LF;
  for await (const chunk of chunks) {
    const dots: number[] = [];
    for (let at = chunk.indexOf(DOT); at >= 0; at = chunk.indexOf(DOT, at + 1)) {
      if ((at === 0 ? before : chunk[at - 1]) === LF) dots.push(at);
    }
    before = chunk.at(-1) ?? before;
    const stuffed = dots.length === 0
      ? chunk
      : new Uint8Array(chunk.length + dots.length).fill(DOT);
    for (const [index, at] of [...dots, chunk.length].entries()) {
      if (stuffed !== chunk) {
        stuffed.set(chunk.subarray(dots[index - 1] ?? 0, at), (dots[index - 1] ?? 0) + index);
      }
    }
    yield stuffed;
  }
}

// ---- Command line ------------------------------------------------------

const PROVIDERS: Record<string, [hostname: string, port: number]> = {
  gmail: ["smtp.gmail.com", 587],
  office365: ["smtp.office365.com", 587],
  outlook: ["smtp-mail.outlook.com", 587],
  yahoo: ["smtp.mail.yahoo.com", 465],
  icloud: ["smtp.mail.me.com", 587],
  fastmail: ["smtp.fastmail.com", 465],
};

const MODES = ["starttls", "implicit", "try", "none"] as const;
const MECHANISMS = ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "XOAUTH2", "OAUTHBEARER"];

/** RFC 5321 §4.1.2: a dot-string or a quoted string, with UTF-8 by RFC 6531 §3.3. */
const LOCAL_PART =
  /^(?:(?!\.)(?!.*\.\.)[\w!#$%&'*+/=?^`{|}~.\u{a1}-\u{10ffff}-]+(?<!\.)|"(?:[^"\\]|\\[ -~])*")$/u;
const ADDRESS_LITERAL = /^\[(?:\d{1,3}(?:\.\d{1,3}){3}|IPv6:[\dA-Fa-f:.]+)\]$/;
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\w+/=\s]+-----END CERTIFICATE-----/;

/** Fields that are made from other options, or that nobody but the program may write. */
const OURS =
  /^(?:from|to|b?cc|subject|reply-to|date|message-id|mime-version|content-.*|resent-bcc)$/i;

/** What a reply or an error that many have seen means, and what helped them. */
const ADVICE: [sign: RegExp, advice: string][] = [
  [/534[ -]5\.7\.9/, "Gmail takes an app password here, or a token: SMTP_TOKEN and --auth xoauth2"],
  [/535[ -]5\.7\.139/, "SMTP AUTH is off for this mailbox: an administrator can turn it on"],
  [
    /550 5\.7\.30/,
    "Passwords are no longer taken here: use a token, SMTP_TOKEN and --auth xoauth2",
  ],
  [/535[ -]5\.7\.8/, "Check user and password; Gmail, Yahoo and iCloud want an app password"],
  [/530[ -]5\.7\.0|530.*authent/i, "This server wants a login: give --user"],
  [/454[ -]4\.7\.0/, "The server has had too many logins: wait before you try again"],
  [/UnknownIssuer/, "If you know its CA, trust it with --ca FILE"],
  [/not valid for name/, "Use --server with a name that the certificate has"],
  [
    /certificate (?:expired|not valid yet)/,
    "Check this computer's clock, or tell who runs the server",
  ],
  [/InvalidContentType/, "This port does not begin with TLS: try --tls starttls, or --port 587"],
  [/at the greeting/, "If this port begins with TLS, as 465 does, use --tls implicit"],
  [
    /offers no STARTTLS/,
    "Port 465 begins with TLS; --tls none sends in the clear, but never a password",
  ],
  [/Cannot reach/, "Check --server and --port: 587 or 465; many networks block 25"],
];

const TYPES =
  `txt text/plain;charset=utf-8 md text/markdown;charset=utf-8 csv text/csv;charset=utf-8
  html text/html;charset=utf-8 ics text/calendar;charset=utf-8 json application/json
  xml application/xml pdf application/pdf zip application/zip gz application/gzip rtf application/rtf
  jpg image/jpeg jpeg image/jpeg png image/png gif image/gif webp image/webp svg image/svg+xml
  bmp image/bmp tiff image/tiff avif image/avif heic image/heic mp3 audio/mpeg wav audio/wav
  ogg audio/ogg mp4 video/mp4 webm video/webm mov video/quicktime doc application/msword
  docx application/vnd.openxmlformats-officedocument.wordprocessingml.document
  xlsx application/vnd.openxmlformats-officedocument.spreadsheetml.sheet
  pptx application/vnd.openxmlformats-officedocument.presentationml.presentation`;

const HELP = `Sends mail through a submission server.

Usage: smtp_client [options] < text

Where:
  --server NAME        gmail, office365, outlook, yahoo, icloud, fastmail,
                       or HOST[:PORT]
  -p, --port N         default 587; 465 begins with TLS
  --tls MODE           starttls, implicit, try or none; default: implicit on 465,
                       else starttls, and without TLS nothing is sent
  --ca FILE            trust this CA, too
  --helo NAME          the name for EHLO; default: this machine's address
  --timeout S          for each step, in seconds; default 60
Who:
  -u, --user NAME      log in; the password comes from SMTP_PASSWORD, from
  --password-file FILE or from a prompt, a token from SMTP_TOKEN
  --auth MECHANISM     plain, login, cram-md5, scram-sha-256, xoauth2 or
                       oauthbearer; default: the best that is offered
  -f, --from ADDR      default: SMTP_FROM, else --user
  -t, --to ADDR        and --cc, --bcc, --reply-to: repeatable, lists with
                       commas, also "Name <addr>"
What:
  -s, --subject TEXT
  -m, --body TEXT      or --body-file FILE; default: standard input
  --html-file FILE     the same as HTML
  -a, --attach FILE    repeatable
  --inline FILE        repeatable: what the HTML shows as cid:NAME
  -H, --header 'N: V'  a further field, repeatable
  --eml FILE           a finished message, sent as it is, but for Bcc
How:
  --dry-run            print the message, connect to nothing
  --check              connect, log in, say what is offered
  --json               the result as a JSON object
  -v, --verbose        show the conversation
  -q, --quiet          say nothing if all goes well
  -h, --help           show this text
  -V, --version        show the version

Example: smtp_client --server gmail -u me@gmail.com -t bob@example.org -m Hi

Exit status: 0 accepted for all, 2 usage, 65 cannot be sent here, 67 some
recipients refused, 68 cannot connect, 69 refused, 75 try again, 76 TLS or
protocol, 77 login refused, 130 Ctrl-C.`;

const WHERE = ["server", "port", "tls", "ca", "helo", "timeout", "user", "auth"] as const;
const CONTENT = [
  "reply-to",
  "subject",
  "body",
  "body-file",
  "html-file",
  "attach",
  "inline",
  "header",
] as const;
const STRINGS = [...WHERE, ...CONTENT, "password-file", "from", "to", "cc", "bcc", "eml"] as const;
const LISTS = ["to", "cc", "bcc", "reply-to", "attach", "inline", "header"] as const;
const BOOLEANS = ["dry-run", "check", "json", "verbose", "quiet", "help", "version"] as const;
const SAME = ["port", "user", "from", "to", "subject", "attach", "verbose", "quiet", "help"]; // letter
const SHORT = {
  ...Object.fromEntries(SAME.map((name) => [name.slice(0, 1), name])),
  ...{ m: "body", H: "header", V: "version" },
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
  /** Makes the signal that ends a session, when there is one to end. */
  signal: () => AbortSignal;
}

/**
 * Does what a command line says, and returns the exit status.
 *
 * @throws {UsageError} If it makes no sense, before anything is connected.
 */
export async function mail(args: string[], around: Surroundings): Promise<number> {
  const flags = readFlags(args);
  if (flags.help || flags.version) {
    around.print(flags.help ? `${HELP}\n` : `smtp_client ${protocol.VERSION}\n`);
    return 0;
  }
  using files = new DisposableStack();
  try {
    const from = flags.check ? null : sender(flags, around.env);
    const envelope = { from: from?.address ?? "", to: from ? recipients(flags) : [] };
    const message = from && await readMessage(flags, from, around, files);
    if (message && flags["dry-run"]) {
      for await (const octets of message.octets()) around.print(octets);
      return 0;
    }
    const server = readServer(flags);
    const options = await readOptions(flags, around);
    const login = await readLogin(flags, server, around);
    return await transact({ server, options, login, envelope, message }, flags, around);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) {
      throw new UsageError(protocol.explain(error) ?? "");
    }
    if (!(error instanceof Failure)) throw error;
    around.say(`smtp_client: ${error.message}`);
    return error.status;
  }
}

type Flags = ReturnType<typeof readFlags>;

function readFlags(args: string[]) {
  const spelled = protocol.spellOut(args, { string: STRINGS, boolean: BOOLEANS, short: SHORT });
  const flags = parseArgs(spelled, { string: STRINGS, boolean: BOOLEANS, collect: LISTS });
  const [stray] = flags._;
  if (stray !== undefined) throw unusable("recipient", String(stray), "--to before it");
  return flags;
}

function unusable(option: string, value: string, expected: string): UsageError {
  return new UsageError(`Cannot use ${option} "${printable(value)}": expected ${expected}`);
}

function sender(flags: Flags, env: Surroundings["env"]): Mailbox {
  const user = flags.user?.includes("@") ? flags.user : undefined;
  const text = flags.from ?? (env.SMTP_FROM || user);
  if (text === undefined) throw new UsageError("No sender: give --from, or set SMTP_FROM");
  const [from, ...others] = mailboxes("--from", [text]);
  if (from === undefined || others.length > 0) throw unusable("--from", text, "one address");
  return from;
}

/** All who get the message, each once: a domain's case does not matter, a local part's may. */
function recipients(flags: Flags): string[] {
  const all = (["to", "cc", "bcc"] as const).flatMap((name) => mailboxes(`--${name}`, flags[name]));
  if (all.length === 0) throw new UsageError("No recipient: give --to");
  const key = (address: string) => address.replace(/[^@]*$/, (domain) => domain.toLowerCase());
  const once = new Map<string, string>();
  for (const { address } of all) once.set(key(address), once.get(key(address)) ?? address);
  return [...once.values()];
}

/** Reads lists of mailboxes: addr or Name <addr>, with commas between them (RFC 5322 §3.4). */
function mailboxes(option: string, lists: string[]): Mailbox[] {
  return lists.flatMap((list) => {
    const items = list.match(/(?:"(?:[^"\\]|\\.)*"|[^",])+/g) ?? [];
    if (items.join(",") !== list || /\p{Cc}/u.test(list)) {
      throw unusable(option, list, "addresses, with commas between them");
    }
    return items.map((item) => {
      const [, phrase = "", inner = item.trim()] = /^(.*)<([^<>]*)>\s*$/.exec(item) ?? [];
      const [, local = "", host = ""] = /^(.+)@([^@]+)$/.exec(inner.trim()) ?? [];
      const domain = ADDRESS_LITERAL.test(host) ? host : asciiDomain(host);
      const address = `${local.normalize("NFC")}@${domain}`;
      const tooLong = encoder.encode(local).length > 64 || encoder.encode(address).length > 254;
      if (
        domain === null || !LOCAL_PART.test(local) || /(?! )[\p{C}\p{Z}]/u.test(local) || tooLong
      ) {
        throw unusable(
          option,
          item.trim(),
          "an address like ann@example.org or Ann <ann@example.org>",
        );
      }
      const unquote = (_: string, text: string) => text.replace(/\\(.)/g, "$1");
      return { name: phrase.trim().replace(/"((?:[^"\\]|\\.)*)"/g, unquote), address };
    });
  });
}

/** A domain in A-labels (RFC 5891), or null if it is none. */
function asciiDomain(domain: string): string | null {
  const letters = /^[\p{L}\p{M}\p{N}.-]+$/u.test(domain); // so that a URL takes it for a host alone
  const ascii = isAscii(domain) ? domain : letters ? URL.parse(`http://${domain}`)?.hostname : null;
  const label = /^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/;
  return ascii && ascii.length < 254 && ascii.split(".").every((part) => label.test(part))
    ? ascii
    : null;
}

function readServer(flags: Flags): Server {
  const { server: name = "", port: ownPort, tls } = flags;
  if (name === "") throw new UsageError("No server: give --server NAME");
  const [known, knownPort] = PROVIDERS[name.toLowerCase()] ?? [name, 587];
  const [, v6, host = "", hostPort] = /^(?:\[([\dA-Fa-f:.]+)\]|([^:]+))(?::(\d+))?$/.exec(known) ??
    /^([\dA-Fa-f:.]+)$/.exec(known) ?? [];
  const hostname = v6 ?? asciiDomain(host);
  if (hostname === null) throw unusable("--server", name, "a provider, or HOST[:PORT]");
  const range = { min: 1, max: 65_535, whole: true };
  const port = protocol.readNumber("--port", ownPort ?? hostPort ?? String(knownPort), range);
  const mode = MODES.find((mode) => mode === tls);
  if (tls !== undefined && mode === undefined) throw unusable("--tls", tls, MODES.join(", "));
  return { hostname, port, tls: mode ?? (port === 465 ? "implicit" : "starttls") };
}

async function readOptions(
  flags: Flags,
  { say, stdin }: Surroundings,
): Promise<Omit<SessionOptions, "signal">> {
  const { timeout, helo, ca } = flags;
  if (helo !== undefined && !ADDRESS_LITERAL.test(helo) && asciiDomain(helo) !== helo) {
    throw unusable("--helo", helo, "a domain, or an address like [192.0.2.1]");
  }
  const caCerts = ca === undefined ? [] : [await readText(ca, stdin)];
  if (caCerts.some((pem) => !CERTIFICATE.test(pem))) {
    throw unusable("--ca", ca ?? "", "a certificate in PEM"); // Deno would ignore it without a word
  }
  const seconds = protocol.readNumber("--timeout", timeout ?? "60", { min: 0.001, max: 86_400 });
  return {
    timeout: seconds * 1000,
    endTimeout: timeout === undefined ? END_TIMEOUT : seconds * 1000,
    caCerts,
    helo,
    trace: flags.verbose ? (mark, text) => say(`${mark} ${text}`) : undefined,
  };
}

async function readLogin(
  flags: Flags,
  server: Server,
  around: Surroundings,
): Promise<Login | null> {
  const { user, auth, "password-file": file } = flags;
  const mechanism = auth?.toUpperCase();
  if (mechanism !== undefined && !MECHANISMS.includes(mechanism)) {
    throw unusable("--auth", auth ?? "", MECHANISMS.join(", ").toLowerCase());
  }
  if (user === undefined) {
    if (mechanism ?? file) throw new UsageError("Cannot log in without a name: give --user");
    return null;
  }
  if (server.tls === "none") {
    throw new UsageError("Cannot use --user with --tls none: credentials never go in clear");
  }
  const byToken = mechanism === "XOAUTH2" || mechanism === "OAUTHBEARER";
  const token = around.env.SMTP_TOKEN?.trim() || undefined;
  if (byToken && !token) throw new UsageError(`No token for "${printable(user)}": set SMTP_TOKEN`);
  const stored = file === undefined
    ? around.env.SMTP_PASSWORD
    : (await readText(file, around.stdin)).replace(/\r?\n$/, "");
  const needed = mechanism === undefined ? !token : !byToken;
  let password = stored || (needed && around.ask(`Password for ${printable(user)}:`)) || undefined;
  if (needed && !password) {
    throw new UsageError(
      `No password for "${
        printable(user)
      }": set SMTP_PASSWORD (and allow it, --allow-env), or give --password-file`,
    );
  }
  if (server.hostname === PROVIDERS.gmail?.[0]) password = password?.replace(/\s/g, ""); // shown in groups of four
  if (/\p{Cc}/u.test(user + (token ?? "")) || password?.includes("\0")) {
    throw new UsageError("Cannot log in: the name, token or password has a control character");
  }
  return { user, password, token, mechanism };
}

async function readMessage(
  flags: Flags,
  from: Mailbox,
  { stdin }: Surroundings,
  files: DisposableStack,
): Promise<Message> {
  const { eml, subject, body, "body-file": bodyFile, "html-file": htmlFile } = flags;
  if (eml !== undefined) {
    const other = CONTENT.find((name) => (flags[name] ?? []).length > 0);
    if (other) throw new UsageError(`Cannot use --${other} with --eml: that message is finished`);
    return await finished(eml, await readFinished(eml, stdin, files));
  }
  if (body !== undefined && bodyFile !== undefined) {
    throw new UsageError("Cannot use both --body and --body-file");
  }
  const fields = readFields(flags.header);
  const open = (path: string) => openFile(path, files);
  const html = htmlFile === undefined ? undefined : await readText(htmlFile, stdin);
  const inline = await Promise.all(flags.inline.map(open));
  for (const [index, { name }] of inline.entries()) {
    const named = [name, encodeURIComponent(name)].some((name) => html?.includes(`cid:${name}`));
    if (!named || inline.findIndex((file) => file.name === name) < index) {
      throw unusable("--inline", name, "a file that the HTML names, once, as cid:NAME");
    }
  }
  const attachments = await Promise.all(flags.attach.map(open));
  const input = bodyFile ?? (html === undefined && !stdin.isTerminal() ? "-" : undefined);
  const text = body ?? (input === undefined ? undefined : await readText(input, stdin));
  const cc = mailboxes("--cc", flags.cc);
  const [to, replyTo] = [mailboxes("--to", flags.to), mailboxes("--reply-to", flags["reply-to"])];
  const shown = subject?.replace(/\p{Cc}+/gu, " ").trim();
  const content = {
    text: text ?? (html === undefined ? "" : undefined),
    html,
    inline,
    attachments,
  };
  return compose({ from, to, cc, replyTo, subject: shown, fields, ...content });
}

/** Reads extra fields: one line each, and none that is ours to write. */
function readFields(headers: string[]): protocol.Fields {
  const fields = new protocol.Fields();
  for (const header of headers) {
    try {
      fields.appendLine(header);
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error;
      throw unusable("--header", header, `'Name: value' (${error.message})`);
    }
    if (OURS.test(header)) {
      throw unusable("--header", header, "a field that no other option writes");
    }
  }
  return fields;
}

async function openFile(path: string, files: DisposableStack): Promise<OpenFile> {
  const file = files.use(await reading(path, Deno.open(path)));
  const { isFile, size } = await file.stat();
  if (!isFile) throw new UsageError(`Cannot send "${printable(path)}": not a regular file`);
  return { name: (path.split("/").at(-1) ?? "").replace(/\p{Cc}/gu, "_"), size, file };
}

async function readOctets(path: string, stdin: Surroundings["stdin"]) {
  if (path === "-") return await new Response(stdin.readable).bytes();
  return await reading(path, Deno.readFile(path));
}

async function readText(path: string, stdin: Surroundings["stdin"]): Promise<string> {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(await readOctets(path, stdin));
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new UsageError(`Cannot read "${printable(path)}" as text: it is not UTF-8`);
  }
}

/** Makes a reader of a finished message: of a file as often as it is wanted, of a pipe from memory. */
async function readFinished(path: string, stdin: Surroundings["stdin"], files: DisposableStack) {
  const whole = path === "-" || !(await reading(path, Deno.stat(path))).isFile;
  const octets = whole ? await readOctets(path, stdin) : new Uint8Array(BLOCK);
  const file = whole ? null : (await openFile(path, files)).file;
  return async function* () {
    if (file === null) yield octets;
    await file?.seek(0, Deno.SeekMode.Start);
    for (let count; (count = await file?.read(octets) ?? null) !== null;) {
      yield octets.subarray(0, count);
    }
  };
}

/** Waits for a file; that it cannot be read is the user's to hear, in one line. */
async function reading<T>(path: string, result: Promise<T>): Promise<T> {
  try {
    return await result;
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable || !(error instanceof Error)) throw error;
    const why = error.message.replace(/: \w+ '.*'$/s, "");
    throw new UsageError(`Cannot read "${printable(path)}": ${printable(why)}`);
  }
}

function mediaType(name: string): string {
  const [, extension = "?"] = /\.([a-z0-9]+)$/i.exec(name) ?? [];
  const [, type] = new RegExp(`(?:^|\\s)${RegExp.escape(extension)} (\\S+)`, "i").exec(TYPES) ?? [];
  return type ?? "application/octet-stream";
}

interface Errand {
  server: Server;
  options: Omit<SessionOptions, "signal">;
  login: Login | null;
  envelope: Envelope;
  message: Message | null; // null: only look what the server offers
}

/** Holds the session, and tells what came of it. */
async function transact(errand: Errand, flags: Flags, around: Surroundings): Promise<number> {
  const { server, login, envelope, message } = errand;
  const options = { ...errand.options, signal: around.signal() };
  const delivery: Delivery = { accepted: [], refused: [], response: "" };
  let session: Session | undefined;
  let [status, line]: [number, string] = [0, ""];
  try {
    session = await Session.open(server, options);
    await session.begin();
    if (login) await session.login(login);
    if (message) await session.deliver(envelope, message, delivery);
    await session.quit();
    if (delivery.refused.length > 0) status = EXIT.partly;
    line = message ? tellSent(delivery, message) : tellReady(session);
  } catch (error) {
    [status, line] = blame(error, session?.step ?? "connecting", options.signal);
    if (error instanceof Failure) await session?.quit();
  } finally {
    session?.[Symbol.dispose]();
  }
  const advice = ADVICE.find(([sign]) => status !== 0 && sign.test(line))?.[1];
  const { id, size } = message ?? {};
  const result = message ? { ...delivery, messageId: id, size } : {
    ...server,
    encrypted: session?.encrypted,
    offered: session?.offered,
    mechanism: session?.mechanism,
  };
  const error = status === 0 || status === EXIT.partly ? undefined : line;
  if (flags.json) around.print(`${JSON.stringify({ status, ...result, error, advice })}\n`);
  else if (!message && status === 0) around.print(`${session?.offered.join("\n")}\n`);
  if (status !== 0 || !flags.quiet) around.say(status === 0 ? line : `smtp_client: ${line}`);
  if (advice) around.say(`smtp_client: ${advice}`);
  return status;
}

function tellSent({ accepted, refused, response }: Delivery, { size }: Message): string {
  const count = `${accepted.length} recipient${accepted.length === 1 ? "" : "s"}`;
  const others = refused.length === 0 ? "" : `; Server refused ${listRefused(refused)}`;
  return `sent to ${count} (${formatBytes(size)}): ${response}${others}`;
}

function tellReady({ server, encrypted, mechanism }: Session): string {
  const login = mechanism === null ? "no login" : `logged in by ${mechanism}`;
  return `${server.hostname}, port ${server.port}: ${encrypted ? "TLS" : "no TLS"}, ${login}`;
}

/** Tells who is to blame, as a status and in a line. */
function blame(error: unknown, step: string, signal: AbortSignal): [number, string] {
  const where = printable(step);
  if (signal.aborted) return [EXIT.stop, `Interrupted at ${where}`];
  if (error instanceof Failure) return [error.status, error.message];
  if (error instanceof protocol.DeadlineError) return [EXIT.later, `${error.message} at ${where}`];
  if (error instanceof ClosedError) {
    return [EXIT.later, `Connection lost at ${where}: ${printable(error.message)}`];
  }
  if (error instanceof WireError) return [EXIT.protocol, `${error.message}, at ${where}`];
  throw error;
}

async function main(args: string[]): Promise<number> {
  const env: Record<string, string | undefined> = {};
  for (const variable of ["SMTP_PASSWORD", "SMTP_TOKEN", "SMTP_FROM"]) {
    const { state } = await Deno.permissions.query({ name: "env", variable }); // never asked for
    if (state === "granted") env[variable] = Deno.env.get(variable);
  }
  const { print, shutdownSignal: signal } = protocol;
  const say = (line: string) => console.error(line);
  return await mail(args, { env, stdin: Deno.stdin, ask: promptSecret, say, print, signal });
}

if (import.meta.main) await protocol.run("smtp_client", main);
