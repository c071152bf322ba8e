/**
 * Asks for a secret on the terminal.
 *
 * @module
 */

/** Erases the last character on the screen. */
const ERASE = "\b \b";

/** The backspace key: ^H on some terminals, DEL on others. */
const BACKSPACE = ["\b", "\x7f"];

/**
 * Asks on standard output for a line of text and reads it from the terminal; shows a star for each
 * character. Ctrl-C stays the signal that it always is.
 *
 * @returns The line, or `null` if standard input is not a terminal.
 */
export function promptSecret(message = "Secret"): string | null {
  if (!Deno.stdin.isTerminal()) return null;
  Deno.stdin.setRaw(true, { cbreak: Deno.build.os !== "windows" }); // Windows has no such mode
  try {
    write(`${message} `);
    return readLine();
  } finally {
    write("\n");
    Deno.stdin.setRaw(false);
  }
}

/** Reads up to CR or LF, octet by octet, so that what is typed after it stays unread. */
function readLine(): string {
  const decoder = new TextDecoder();
  const octet = new Uint8Array(1);
  const chars: string[] = [];
  while (Deno.stdin.readSync(octet)) {
    for (const char of decoder.decode(octet, { stream: true })) { // none until one is complete
      if (char === "\r" || char === "\n") return chars.join("");
      const isErased = BACKSPACE.includes(char);
      if (isErased && chars.pop() === undefined) continue;
      if (!isErased) chars.push(char);
      write(isErased ? ERASE : "*");
    }
  }
  return chars.join("") + decoder.decode();
}

function write(text: string): void {
  let octets = new TextEncoder().encode(text);
  while (octets.length > 0) octets = octets.subarray(Deno.stdout.writeSync(octets));
}
