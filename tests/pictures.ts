// deno-lint-ignore-file no-control-regex
/**
 * Makes the pictures of the README anew, from real runs: a terminal for each program (SVG), the page
 * and a listing in a browser (PNG, where Debian's chromium is).
 *
 * ```sh
 * deno task pictures
 * ```
 *
 * @module
 */
import { LOCAL, ROOT, send } from "./helpers.ts";

const PICTURES = `${ROOT}pictures/`;
const decoder = new TextDecoder();

/** A program as its user starts it. */
function start(name: string, args: string[]): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--unstable-net", "--allow-net", "--allow-read", `${ROOT}${name}.ts`, ...args],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    cwd: ROOT,
  }).spawn();
}

/** Runs a command line in a terminal of its own, and returns what the terminal got. */
async function inTerminal(command: string, seconds: number): Promise<string> {
  const bounded = `timeout --foreground -s INT ${seconds} ${command}`;
  const child = new Deno.Command("script", {
    args: ["-qec", bounded, "/dev/null"],
    stdin: "null",
    stdout: "piped",
    cwd: ROOT,
  }).spawn();
  return decoder.decode((await child.output()).stdout);
}

/** The lines that a terminal shows in the end: "\r" writes over, and colours are kept. */
function lines(output: string): string[] {
  return output.replaceAll("\r\n", "\n").replaceAll("^C", "").trimEnd().split("\n")
    .map((line) => line.split(/\r|\x1b\[K/).findLast((part) => part !== "") ?? "");
}

const COLOURS: Record<string, string> = {
  31: "#e06c75",
  32: "#98c379",
  33: "#e5c07b",
  34: "#61afef",
  35: "#c678dd",
  36: "#56b6c2",
  90: "#7f848e",
};

function escapeXml(text: string): string {
  return text.replace(/[&<>]/g, (char) => `&#${char.charCodeAt(0)};`);
}

/** One line of a terminal as SVG, with its bold and its colours. */
function span(line: string): string {
  let [bold, dim, colour] = [false, false, ""];
  return line.split(/(\x1b\[[\d;]*m)/).map((part) => {
    const [, codes] = /^\x1b\[([\d;]*)m$/.exec(part) ?? [];
    if (codes === undefined) {
      const style = `${bold ? "font-weight:bold;" : ""}${dim ? "opacity:.6;" : ""}${colour}`;
      return style === "" ? escapeXml(part) : `<tspan style="${style}">${escapeXml(part)}</tspan>`;
    }
    for (const code of codes.split(";")) {
      if (code === "" || code === "0") [bold, dim, colour] = [false, false, ""];
      else if (code === "1") bold = true;
      else if (code === "2") dim = true;
      else if (code === "22") [bold, dim] = [false, false];
      else if (code === "39") colour = "";
      else if (COLOURS[code]) colour = `fill:${COLOURS[code]};`;
    }
    return "";
  }).join("");
}

/** Draws a terminal: what was typed, and what was shown. */
async function draw(name: string, typed: string, shown: string[]): Promise<void> {
  const command = typed.split("\n").map((line) => `\x1b[1m${line}\x1b[22m`);
  const all = [`\x1b[32m$\x1b[39m ${command.join("\n")}`, ...shown].join("\n").split("\n");
  const columns = Math.max(...all.map((line) => line.replace(/\x1b\[[\d;]*m/g, "").length), 60);
  const [width, height] = [Math.ceil(columns * 8.43 + 36), all.length * 19 + 62];
  const text = all.map((line, at) =>
    `<text x="18" y="${58 + at * 19}" xml:space="preserve">${span(line)}</text>`
  );
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">
<rect width="100%" height="100%" rx="9" fill="#21252b"/>
<g fill="#4b5263"><circle cx="22" cy="20" r="6"/><circle cx="42" cy="20" r="6"/><circle cx="62" cy="20" r="6"/></g>
<g font-family="ui-monospace,Menlo,Consolas,monospace" font-size="14" fill="#d7dae0">
${text.join("\n")}
</g></svg>
`;
  await Deno.writeTextFile(`${PICTURES}${name}.svg`, svg);
  console.log(`pictures/${name}.svg`);
}

/** A mail server that says yes, in the words of RFC 5321's appendix. */
async function sayYes(listener: Deno.TcpListener): Promise<void> {
  using conn = await listener.accept();
  await send(conn, ["220 mail.example.org ESMTP\r\n"]);
  const octets = new Uint8Array(65_536);
  let [inData, text] = [false, ""];
  for (let count; (count = await conn.read(octets)) !== null;) {
    text += decoder.decode(octets.subarray(0, count));
    if (!text.endsWith(inData ? "\r\n.\r\n" : "\r\n")) continue;
    const verb: string = inData ? "." : text.slice(0, 4);
    [inData, text] = [verb === "DATA", ""];
    const replies: Record<string, string> = {
      EHLO: "250-mail.example.org at your service\r\n250-SIZE 35882577\r\n250 8BITMIME\r\n",
      MAIL: "250 2.1.0 Sender ok\r\n",
      RCPT: "250 2.1.5 Recipient ok\r\n",
      DATA: "354 End data with <CR><LF>.<CR><LF>\r\n",
      ".": "250 2.0.0 Ok: queued as 4D2A61\r\n",
      QUIT: "221 2.0.0 Bye\r\n",
    };
    await send(conn, [replies[verb] ?? "500 5.5.1 What?\r\n"]);
  }
}

async function drawPrograms(): Promise<void> {
  const run = "deno run --unstable-net --allow-net --allow-read";
  const serving = inTerminal(`${run} http_server.ts -p 8765 public`, 4);
  await new Promise((resolve) => setTimeout(resolve, 1500));
  for (const path of ["", "sockets.svg", "nothing"]) {
    await start("http_client", ["-s", `http://localhost:8765/${path}`]).output();
  }
  const asked = "http_client.ts -v -r 0-73 http://localhost:8765/sockets.svg";
  const client = await inTerminal(`${run} ${asked}`, 5);
  await draw("http_client", asked, lines(client));
  await draw("http_server", "http_server.ts -p 8765 public", lines(await serving));

  const echoing = inTerminal(`${run} udp_ping_server.ts -p 12765 --seed 3 --delay 5 --jitter 2`, 6);
  await new Promise((resolve) => setTimeout(resolve, 1500));
  const pinger = await inTerminal(`${run} udp_pinger.ts -W 0.2 127.0.0.1 12765`, 5);
  await draw("udp_pinger", "udp_pinger.ts -W 0.2 127.0.0.1 12765", lines(pinger));
  const server = "udp_ping_server.ts -p 12765 --seed 3 --delay 5 --jitter 2";
  await draw("udp_ping_server", server, lines(await echoing));

  using listener = Deno.listen(LOCAL);
  const mail = "-f ann@example.org -t bob@example.org -m 'It works.' -a public/sockets.svg";
  const options = `-v --tls none --server 127.0.0.1:${listener.addr.port} ${mail}`;
  const [sent] = await Promise.all([
    inTerminal(`${run} smtp_client.ts ${options}`, 5),
    sayYes(listener),
  ]);
  const typed = `smtp_client.ts -v --tls none --server 127.0.0.1:2525 \\\n    ${mail}`;
  await draw("smtp_client", typed, lines(sent.replaceAll(String(listener.addr.port), "2525")));
}

/** Photographs a page in headless Chromium. */
async function photograph(name: string, url: string, size: string): Promise<void> {
  const profile = await Deno.makeTempDir();
  try {
    await new Deno.Command("chromium", {
      args: [
        ...["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
        ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
        ...[`--user-data-dir=${profile}`, `--window-size=${size}`, "--hide-scrollbars"],
        ...[`--screenshot=${PICTURES}${name}.png`, url],
      ],
      stdout: "null",
      stderr: "null",
    }).output();
    console.log(`pictures/${name}.png`);
  } catch {
    console.log(`pictures/${name}.png skipped: apt-get install chromium`);
  } finally {
    await Deno.remove(profile, { recursive: true });
  }
}

if (import.meta.main) {
  await Deno.mkdir(PICTURES, { recursive: true });
  await drawPrograms();
  await using server = start("http_server", ["-q", "-p", "8765", ROOT]);
  await new Promise((resolve) => setTimeout(resolve, 1500));
  await photograph("page", "http://localhost:8765/public/", "760,960");
  await photograph("listing", "http://localhost:8765/", "760,640");
  server.kill("SIGTERM");
}
