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

const WIPE_LINE = "\r\x1b[K";

/** Backspace: ^H on some terminals, DEL on others. */
const ERASE = ["\b", "\x7f"];

/**
 * Asks for a line of text on standard output and reads it from the terminal without showing it.
 * Ctrl-C is the signal it always is.
 *
 * @returns What was typed, or `null` if standard input is no terminal.
 */
export function promptSecret(message = "Secret", options: PromptSecretOptions = {}): string | null {
  if (!Deno.stdin.isTerminal()) return null;
  const { mask = "*", clear = false } = options;
  const { columns } = Deno.consoleSize();
  const prompt = `${message} `;
  write(prompt);
  Deno.stdin.setRaw(true, { cbreak: Deno.build.os !== "windows" }); // Windows cannot
  try {
    return readLine((length) => {
      if (mask !== "") write(WIPE_LINE + lastRow(prompt + mask.repeat(length), columns));
    });
  } finally {
    write(clear ? WIPE_LINE : "\n");
    Deno.stdin.setRaw(false);
  }
}

/** Reads up to CR or LF, octet by octet, so that nothing typed behind it is lost. */
function readLine(typed: (length: number) => void): string {
  const decoder = new TextDecoder();
  const octet = new Uint8Array(1);
  const chars: string[] = [];
  while (Deno.stdin.readSync(octet)) {
    const char = decoder.decode(octet, { stream: true }); // "" until a character is whole
    if (char === "\r" || char === "\n") break;
    if (ERASE.includes(char)) chars.pop();
    else chars.push(...char);
    if (char !== "") typed(chars.length);
  }
  return chars.join("") + decoder.decode();
}

/** What of a line stands in the last row of the terminal, where the cursor is. */
function lastRow(line: string, columns: number): string {
  if (columns === 0 || line.length <= columns) return line; // 0: the terminal does not tell
  return line.slice(-(line.length % columns || columns));
}

function write(text: string): void {
  let octets = new TextEncoder().encode(text);
  while (octets.length > 0) octets = octets.subarray(Deno.stdout.writeSync(octets));
}
