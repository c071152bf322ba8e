/**
 * Sends exactly the octets that you type, and shows exactly the octets that come back. The lessons
 * use it to play a client or a server that no library would let you write.
 *
 * ```sh
 * deno task say 8000 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'
 * ```
 *
 * Each piece goes out in a write (or a datagram) of its own. `\r`, `\n`, `\t`, `\0`, `\\` and `\xHH`
 * mean what they mean in C.
 *
 * @module
 */
import { printable, toByteString } from "../protocol.ts";

const HELP = `Sends exactly the octets that you type, and shows what comes back.

  deno task say PORT [PIECE...]           connect to 127.0.0.1, send the pieces
  deno task say --listen PORT [PIECE...]  wait for one client, answer each thing
                                          that it sends with the next piece
  deno task say --udp PORT [PIECE...]     send each piece as a datagram
  deno task say --udp --listen PORT [PIECE...]
                                          answer each datagram with the next piece

  --greet PIECE   with --listen: send this before anything comes
  --leave         hang up right after the last piece, without reading
  --help          show this text

A + between two pieces: with --listen, the second follows without waiting.
In a piece, \\r \\n \\t \\0 \\\\ and \\xHH mean what they mean in C.
`;

/** How long the peer may be silent before the conversation counts as over (ms). */
const SILENCE = 1_000;
/** Pause between two pieces (ms): long enough that each arrives by itself. */
const PAUSE = 150;
/** How much of a conversation is shown (octets). */
const MAX_SHOWN = 1_000;

const CODES: Record<string, string> = { r: "\r", n: "\n", t: "\t", 0: "\0", "\\": "\\" };

/** Reads the escapes of a piece; text is UTF-8, `\xHH` is one octet. */
function octetsOf(piece: string): Uint8Array<ArrayBuffer> {
  const text = toByteString(new TextEncoder().encode(piece));
  const plain = text.replace(
    /\\(?:x([0-9a-fA-F]{2})|(.))/g,
    (all, hex, code) =>
      hex === undefined ? CODES[code] ?? all : String.fromCharCode(parseInt(hex, 16)),
  );
  return Uint8Array.from(plain, (char) => char.charCodeAt(0));
}

let shown = 0;
let received = 0;

/** Shows octets line by line, with the ends of lines visible. */
function show(mark: "<" | ">", octets: Uint8Array): void {
  if (mark === "<") received += octets.length;
  const text = toByteString(octets.subarray(0, mark === "<" ? MAX_SHOWN - shown : undefined));
  if (mark === "<") shown += text.length;
  for (const line of text === "" ? [] : text.split(/(?<=\n)/)) {
    console.log(`${mark} ${printable(line).replace("\\x0d", "\\r").replace("\\x0a", "\\n")}`);
  }
}

/** Says how the conversation ended, and how much of it was not shown. */
function sayEnd(end: string): void {
  if (received > shown) console.log(`* ${received} octets in all`);
  console.log(`* ${end}`);
}

const pause = (ms: number) => new Promise<null>((resolve) => setTimeout(resolve, ms, null));

/** Reads a connection in the background and shows what comes; `ended` settles at its end. */
class Ear {
  #arrived = Promise.withResolvers<void>();
  #news = 0;
  last = performance.now();
  readonly ended: Promise<string>;

  constructor(conn: Deno.Conn) {
    this.ended = this.#listen(conn);
  }

  async #listen(conn: Deno.Conn): Promise<string> {
    const octets = new Uint8Array(65_536);
    try {
      for (let count; (count = await conn.read(octets)) !== null;) {
        show("<", octets.subarray(0, count));
        this.last = performance.now();
        this.#news++;
        this.#arrived.resolve();
        this.#arrived = Promise.withResolvers();
      }
      return "the peer closed the connection";
    } catch (error) {
      return `the connection broke: ${error instanceof Error ? error.message : error}`;
    }
  }

  /** Waits until something has arrived since the last call, or nothing can. */
  async next(): Promise<void> {
    while (this.#news === 0) {
      const ended = await Promise.race([this.#arrived.promise, this.ended]);
      if (ended !== undefined) break;
    }
    this.#news = 0;
  }

  /** Waits until the peer has ended or is silent. */
  async end(): Promise<string> {
    for (;;) {
      const left = this.last + SILENCE - performance.now();
      if (left <= 0) return `nothing for ${SILENCE / 1_000} s: hanging up`;
      const ended = await Promise.race([this.ended, pause(left)]);
      if (ended !== null) return ended;
    }
  }
}

async function talk(conn: Deno.TcpConn, pieces: string[], options: Options): Promise<void> {
  conn.setNoDelay();
  const ear = options.leave && !options.listen ? null : new Ear(conn);
  const send = async (piece: string) => {
    const octets = octetsOf(piece);
    show(">", octets);
    for (let sent = 0; sent < octets.length;) sent += await conn.write(octets.subarray(sent));
  };
  try {
    if (options.greet !== undefined) await send(options.greet);
    for (const [at, piece] of pieces.entries()) {
      if (piece === "+") continue;
      if (at > 0) await pause(PAUSE);
      if (options.listen && pieces[at - 1] !== "+") await ear?.next();
      await send(piece);
    }
  } catch (error) {
    console.log(`* cannot send: ${error instanceof Error ? error.message : error}`);
  }
  if (ear && !options.leave) {
    ear.last = performance.now();
    const silent = pieces.length === 0;
    sayEnd(await (silent ? ear.ended : ear.end()));
  }
  conn.close();
}

async function tellByUdp(port: number, pieces: string[], { listen }: Options): Promise<void> {
  const socket = Deno.listenDatagram({
    transport: "udp",
    hostname: "127.0.0.1",
    port: listen ? port : 0,
  });
  let last = performance.now();
  const left = [...pieces];
  const hearing = (async () => {
    for await (const [octets, from] of socket) {
      show("<", octets);
      last = performance.now();
      const piece = listen ? left.shift() : undefined;
      if (piece === undefined) continue;
      show(">", octetsOf(piece));
      await socket.send(octetsOf(piece), from);
    }
  })();
  const to = { transport: "udp", hostname: "127.0.0.1", port } as const;
  for (const piece of listen ? [] : pieces) {
    show(">", octetsOf(piece));
    await socket.send(octetsOf(piece), to);
    last = performance.now();
    await pause(PAUSE);
  }
  while (listen ? left.length > 0 : performance.now() < last + SILENCE) await pause(50);
  socket.close();
  await hearing;
}

interface Options {
  listen: boolean;
  udp: boolean;
  leave: boolean;
  greet: string | undefined;
}

async function main(args: string[]): Promise<void> {
  const options: Options = { listen: false, udp: false, leave: false, greet: undefined };
  const words: string[] = [];
  while (args.length > 0) {
    const word = args.shift() ?? "";
    if (word === "--listen") options.listen = true;
    else if (word === "--udp") options.udp = true;
    else if (word === "--leave") options.leave = true;
    else if (word === "--greet") options.greet = args.shift() ?? "";
    else words.push(word);
  }
  const [port = "", ...pieces] = words;
  if (!/^\d+$/.test(port)) {
    console.log(HELP);
    Deno.exit(port === "" || port === "--help" || port === "-h" ? 0 : 2);
  }
  if (options.udp) return await tellByUdp(Number(port), pieces, options);
  const address = { hostname: "127.0.0.1", port: Number(port) };
  if (!options.listen) return await talk(await Deno.connect(address), pieces, options);
  const listener = Deno.listen(address);
  const conn = await listener.accept();
  listener.close();
  await talk(conn, pieces, options);
}

if (import.meta.main) {
  try {
    await main([...Deno.args]);
  } catch (error) {
    console.log(`* ${error instanceof Error ? error.message : error}`);
    Deno.exit(1);
  }
}
