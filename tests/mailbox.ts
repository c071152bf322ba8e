/**
 * A mailbox to learn with: a small SMTP server on 127.0.0.1 that shows what a client says, what it
 * answers, and the mail that arrives.
 *
 * ```sh
 * deno task mailbox
 * ```
 *
 * This is not a mail server. It delivers nothing, keeps nothing, and shows passwords. It accepts any user whose password is `secret`.
 *
 * @module
 */
import { type Command, flag, option, run, shutdownSignal, wholeNumber } from "../cli.ts";
import { LimitError, MalformedError, type Trace, Wire, WireError } from "../protocol.ts";
import { acceptTls } from "./helpers.ts";

/** What arrived: the envelope, and the message with its lines ended by LF. */
export interface Mail {
  from: string;
  to: string[];
  message: string;
  /** The user who logged in; "" without a login. */
  user: string;
  /** Whether the mail came over TLS. */
  isSecure: boolean;
}

/** How the mailbox behaves. */
export interface MailboxOptions {
  /** Gets each mail. */
  deliver: (mail: Mail) => void;
  /** Sees each line. */
  trace?: Trace | undefined;
  /** Offers STARTTLS. Default: true. */
  tls?: boolean;
  /** Offers AUTH without TLS too. Default: false. */
  plainAuth?: boolean;
  /** Text that an attacker on the path puts after the 220 to STARTTLS. */
  inject?: string | undefined;
}

/** Longest command: an AUTH response, RFC 4954 §4 (octets). */
const MAX_COMMAND = 12_288;
/** Longest line of a message, RFC 5321 §4.5.3.1.6, and its extra dot (octets). */
const MAX_LINE = 1_001;
/** Largest message (octets). */
const MAX_MESSAGE = 10_485_760;
/** Read timeout (ms), RFC 5321 §4.5.3.2.7. */
const TIMEOUT = 300_000;
/** Number of lines of a message that the trace shows. */
const MAX_SHOWN = 12;
/** The password of every user. */
const PASSWORD = "secret";

/** A reply; one that ends the conversation has `last`. */
type Reply = string | string[];

/** One connection, from the greeting to QUIT. */
class Session {
  #wire: Wire;
  #isSecure = false;
  #hello = "";
  #user = "";
  #from: string | null = null;
  #to: string[] = [];
  #linesLeft = Infinity;

  constructor(conn: Deno.TcpConn, readonly options: MailboxOptions) {
    conn.setNoDelay();
    this.#wire = this.#wrap(conn);
  }

  #wrap(conn: Deno.Conn): Wire {
    const { trace } = this.options;
    return new Wire(conn, {
      trace: (mark, text) => {
        if (mark !== "<" || this.#linesLeft > 0) trace?.(mark, text);
        else if (this.#linesLeft === 0) trace?.("*", "more lines");
        if (mark === "<") this.#linesLeft--;
      },
    });
  }

  /** Answers commands until QUIT or the end of the connection. */
  async serve(): Promise<void> {
    await this.#reply("220 mailbox.example ESMTP, to learn with");
    try {
      for (;;) {
        const line = await this.#readLine(MAX_COMMAND);
        if (line === null) return;
        const reply = await this.#answer(line);
        if (reply !== null) await this.#reply(reply);
        if (/^quit$/i.test(line)) return;
      }
    } catch (error) {
      if (error instanceof MalformedError) await this.#reply("500 5.5.2 A line ends in CRLF");
      else if (error instanceof LimitError) await this.#reply("500 5.5.2 Line too long");
      else throw error;
    }
  }

  close(): void {
    this.#wire.close();
  }

  async #readLine(limit: number): Promise<string | null> {
    this.#wire.setDeadline(TIMEOUT);
    return await this.#wire.readLine(limit);
  }

  async #reply(reply: Reply): Promise<void> {
    for (const line of typeof reply === "string" ? [reply] : reply) {
      await this.#wire.writeLine(line);
    }
  }

  async #answer(line: string): Promise<Reply | null> {
    const [, verb = "", rest = ""] = /^(\w+) ?(.*)$/.exec(line) ?? [];
    switch (verb.toUpperCase()) {
      case "HELO":
        this.#begin(rest);
        return `250 mailbox.example greets ${rest}`;
      case "EHLO":
        this.#begin(rest);
        return this.#extensions(rest);
      case "STARTTLS":
        return await this.#startTls();
      case "AUTH":
        return await this.#login(rest);
      case "MAIL":
        return this.#mail(rest);
      case "RCPT":
        return this.#rcpt(rest);
      case "DATA":
        return await this.#data();
      case "RSET":
        this.#reset();
        return "250 2.0.0 Forgotten";
      case "NOOP":
        return "250 2.0.0 Ok";
      case "QUIT":
        return "221 2.0.0 Bye";
      default:
        return "500 5.5.1 Unknown command";
    }
  }

  #begin(name: string): void {
    this.#hello = name || "client";
    this.#reset();
  }

  #reset(): void {
    this.#from = null;
    this.#to = [];
  }

  /** The reply to EHLO: a line each, all but the last with a hyphen (RFC 5321 §4.2.1). */
  #extensions(name: string): string[] {
    const { tls = true, plainAuth = false } = this.options;
    const words = [`mailbox.example greets ${name}`, `SIZE ${MAX_MESSAGE}`, "8BITMIME"];
    if (tls && !this.#isSecure) words.push("STARTTLS");
    if (this.#isSecure || plainAuth) words.push("AUTH PLAIN LOGIN");
    words.push("PIPELINING", "SMTPUTF8", "ENHANCEDSTATUSCODES");
    return words.map((word, at) => `250${at < words.length - 1 ? "-" : " "}${word}`);
  }

  async #startTls(): Promise<Reply | null> {
    const { tls = true, inject } = this.options;
    if (!tls || this.#isSecure) return "503 5.5.1 No STARTTLS here";
    if (inject === undefined) await this.#reply("220 2.0.0 Begin TLS");
    else {
      this.options.trace?.("*", `an attacker on the path adds "${inject}"`);
      await this.#wire.write(`220 2.0.0 Begin TLS\r\n${inject}\r\n`);
    }
    const conn = await acceptTls(this.#wire.release(), "selfsigned");
    this.#wire = this.#wrap(conn);
    this.#wire.note("TLS");
    this.#isSecure = true;
    this.#hello = ""; // RFC 3207 §4.2: what was said in the clear is forgotten
    this.#user = "";
    this.#reset();
    return null;
  }

  /** AUTH PLAIN and LOGIN, RFC 4954; `*` cancels. */
  async #login(rest: string): Promise<Reply> {
    if (!this.#isSecure && !this.options.plainAuth) return "538 5.7.11 TLS first";
    if (this.#user !== "") return "503 5.5.1 You are logged in";
    const [mechanism = "", initial] = rest.split(" ");
    const ask = async (challenge: string) => {
      await this.#reply(`334 ${btoa(challenge)}`);
      return await this.#readLine(MAX_COMMAND) ?? "*";
    };
    const responses = [];
    if (/^plain$/i.test(mechanism)) responses.push(initial ?? await ask(""));
    else if (/^login$/i.test(mechanism)) {
      responses.push(initial ?? await ask("Username:"));
      responses.push(await ask("Password:"));
    } else return "504 5.5.4 PLAIN or LOGIN";
    if (responses.includes("*")) return "501 5.7.0 Cancelled";
    let words: string[];
    try {
      words = responses.map((each) => new TextDecoder().decode(Uint8Array.fromBase64(each)));
    } catch {
      return "501 5.5.2 That is not base64";
    }
    const [user = "", password] = words.join("\0").split("\0").slice(-2);
    if (password !== PASSWORD) return `535 5.7.8 The password is "${PASSWORD}"`;
    this.#user = user;
    return `235 2.7.0 Welcome, ${user.replace(/[^\w.@-]/g, "?")}`;
  }

  #mail(rest: string): Reply {
    const [, from] = /^FROM:<(.*?)>/i.exec(rest) ?? [];
    if (this.#hello === "") return "503 5.5.1 EHLO first";
    if (from === undefined) return "501 5.5.4 MAIL FROM:<ann@example.org>";
    if (Number(/ SIZE=(\d+)/i.exec(rest)?.[1] ?? 0) > MAX_MESSAGE) return "552 5.3.4 Too large";
    this.#reset();
    this.#from = from;
    return "250 2.1.0 Sender ok";
  }

  #rcpt(rest: string): Reply {
    const [, to] = /^TO:<(.+?)>/i.exec(rest) ?? [];
    if (this.#from === null) return "503 5.5.1 MAIL first";
    if (to === undefined) return "501 5.5.4 RCPT TO:<bob@example.org>";
    if (to.startsWith("nobody@")) return "550 5.1.1 No such user";
    if (to.startsWith("later@")) return "450 4.2.1 Try again later";
    this.#to.push(to);
    return "250 2.1.5 Recipient ok";
  }

  async #data(): Promise<Reply | null> {
    if (this.#from === null) return "503 5.5.1 MAIL first";
    if (this.#to.length === 0) return "554 5.5.1 No recipient was accepted";
    await this.#reply("354 End the message with a dot on a line of its own");
    let [message, octets] = ["", 0];
    this.#linesLeft = MAX_SHOWN;
    for (let line; (line = await this.#readLine(MAX_LINE)) !== ".";) {
      if (line === null) return null;
      octets += line.length + 2;
      if (octets <= MAX_MESSAGE) message += `${line.replace(/^\./, "")}\n`;
    }
    this.#linesLeft = Infinity;
    const [from, to] = [this.#from, this.#to];
    this.#reset();
    if (octets > MAX_MESSAGE) return "552 5.3.4 Too large";
    this.options.deliver({ from, to, message, user: this.#user, isSecure: this.#isSecure });
    return `250 2.0.0 Ok: ${octets} octets`;
  }
}

/** Answers clients until the listener is closed. */
export async function serveMailbox(
  listener: Deno.TcpListener,
  options: MailboxOptions,
): Promise<void> {
  for (;;) {
    try {
      serveConnection(await listener.accept(), options);
    } catch (error) {
      if (error instanceof Deno.errors.BadResource) return; // closed, by the caller
      if (!(error instanceof Deno.errors.NotConnected)) throw error; // reset before it was accepted
    }
  }
}

async function serveConnection(conn: Deno.TcpConn, options: MailboxOptions): Promise<void> {
  const session = new Session(conn, options);
  try {
    await session.serve();
  } catch (error) {
    const isOfTheWire = error instanceof WireError || error instanceof Deno.errors.InvalidData;
    if (!isOfTheWire) throw error;
    options.trace?.("*", error.message);
  } finally {
    session.close();
  }
}

// ---- Command line --------------------------------------------------------

const OPTIONS = {
  port: option("-p, --port N", "listen on this port of 127.0.0.1", wholeNumber(0, 65_535), "2525"),
  noTls: flag("--no-tls", "do not offer STARTTLS"),
  plainAuth: flag("--plain-auth", "offer AUTH without TLS too"),
  inject: flag("--inject", "play an attacker who adds a line to the reply to STARTTLS"),
};

const COMMAND: Command<typeof OPTIONS> = {
  name: "mailbox",
  summary:
    "A mailbox to learn with. It is not a mail server: it shows what arrives, and forgets it.",
  usage: ["[options]"],
  options: OPTIONS,
  notes: ['Every user has the password "secret". Mail for nobody@… gets 550, for later@… 450.'],
  example: "deno task mailbox",
  exitStatuses: "0 stopped by a signal, 1 cannot start, 2 usage",
};

if (import.meta.main) {
  await run(COMMAND, async ({ options }) => {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: options.port });
    shutdownSignal().addEventListener("abort", () => listener.close());
    console.log(`Mailbox listening on 127.0.0.1:${listener.addr.port}. In another terminal:

  SMTP_PASSWORD=secret deno run --allow-net --allow-read --allow-env smtp_client.ts -v \\
    --server 127.0.0.1:${listener.addr.port} --ca tests/testdata/tls/selfsigned.pem \\
    -u ann@example.org -t bob@example.org -s Hello -m 'It works.'
`);
    await serveMailbox(listener, {
      trace: (mark, text) => console.log(`${mark} ${text}`),
      deliver: ({ from, to, message }) => {
        const rule = "-".repeat(72);
        console.log(`${rule}\nfrom ${from} to ${to.join(", ")}\n\n${message}${rule}`);
      },
      tls: !options.noTls,
      plainAuth: options.plainAuth,
      inject: options.inject ? "250-mailbox.example AUTH PLAIN" : undefined,
    });
    return 0;
  });
}
