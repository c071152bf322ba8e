/**
 * Asks for a secret on the terminal.
 *
 * @module
 */

/** How {@linkcode promptSecret} looks. */
export interface PromptSecretOptions {
  /** What is shown for each character. Default: "*". */
  mask?: string;
  /** Whether the line is wiped in the end. Default: it stays, and the next one begins. */
  clear?: boolean;
}

/** Back to the first column, and erase the row. */
const WIPE = "\r\x1b[K";

/** To the row above. */
const UP = "\x1b[A";

/** The backspace key: ^H on some terminals, DEL on others. */
const ERASE = ["\b", "\x7f"];

/**
 * Asks on standard output for a line of text, and reads it from the terminal without showing it.
 * Ctrl-C is the signal it always is.
 *
 * @returns What was typed, or `null` if standard input is no terminal.
 */
export function promptSecret(message = "Secret", options: PromptSecretOptions = {}): string | null {
  if (!Deno.stdin.isTerminal()) return null;
  const { mask = "*", clear = false } = options;
  const prompt = `${message} `;
  Deno.stdin.setRaw(true, { cbreak: Deno.build.os !== "windows" }); // Windows has no such mode
  try {
    write(prompt);
    return readLine((erased, length) => {
      if (mask !== "") write(erased ? redrawn(prompt + mask.repeat(length)) : mask);
    });
  } finally {
    write(clear ? WIPE : "\n");
    Deno.stdin.setRaw(false);
  }
}

/** Reads up to CR or LF, octet by octet, so that nothing typed behind it is lost. */
function readLine(changed: (erased: boolean, length: number) => void): string {
  const decoder = new TextDecoder();
  const octet = new Uint8Array(1);
  const chars: string[] = [];
  while (Deno.stdin.readSync(octet)) {
    for (const char of decoder.decode(octet, { stream: true })) { // none until one is whole
      if (char === "\r" || char === "\n") return chars.join("");
      const erases = ERASE.includes(char);
      if (erases && chars.pop() === undefined) continue;
      if (!erases) chars.push(char);
      changed(erases, chars.length);
    }
  }
  return chars.join("") + decoder.decode();
}

/** What draws a line again that has become one column shorter, perhaps by the whole last row. */
function redrawn(line: string): string {
  const width = Deno.consoleSize().columns || Infinity; // 0: the terminal does not say
  const inLastRow = line.length % width;
  return WIPE + (inLastRow === 0 ? UP : "") + line.slice(-(inLastRow || width));
}

function write(text: string): void {
  let octets = new TextEncoder().encode(text);
  while (octets.length > 0) octets = octets.subarray(Deno.stdout.writeSync(octets));
}
