// deno-lint-ignore-file no-control-regex
/**
 * Makes the pictures of the README anew. A picture of a terminal (SVG) shows what the last command
 * of the block above it prints; the commands before it run meanwhile. The picture of the wire (PNG)
 * is a page of Chromium, where that is installed.
 *
 * ```sh
 * deno task pictures
 * ```
 *
 * @module
 */
import { Browser, findChromium, Page } from "./http_server_browser.ts";
import { ROOT, runProgram, startProgram } from "./helpers.ts";

const PICTURES = `${ROOT}pictures/`;

/** Widest line of a picture (columns). */
const MAX_COLUMNS = 112;

const decoder = new TextDecoder();

/** A block of commands, and the picture that stands below it. */
interface Scene {
  servers: string[];
  command: string;
  file: string;
}

/** The blocks of the README that have a picture. */
async function scenes(): Promise<Scene[]> {
  const readme = await Deno.readTextFile(`${ROOT}README.md`);
  return readme.matchAll(/^```sh\n([^`]*)\n```\n\n!\[[^\]]*\]\(pictures\/(\w+\.svg)\)/gm)
    .map(([, block = "", file = ""]) => {
      const lines = block.split("\n");
      return { servers: lines.slice(0, -1), command: lines.at(-1) ?? "", file };
    }).toArray();
}

/** Runs a command in a shell; a shell of its own would not hand on the signal that ends it. */
function start(command: string): Deno.ChildProcess {
  const options = { stdin: "null", stdout: "null", stderr: "null", cwd: ROOT } as const;
  return new Deno.Command("bash", { args: ["-c", `exec ${command}`], ...options }).spawn();
}

/** Runs a command in a terminal of its own, and returns what the terminal got. */
async function inTerminal(command: string): Promise<string> {
  const child = new Deno.Command("script", {
    args: ["-qec", command, "/dev/null"],
    env: { TERM: "xterm-256color" },
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

/** Cuts a command line before an option into lines that fit, each but the last with a backslash. */
function wrap(command: string): string[] {
  const lines = [""];
  for (const part of command.split(/ (?=-)/)) {
    const line = lines.at(-1) ?? "";
    if (line !== "" && line.length + part.length > MAX_COLUMNS - 6) lines.push(`    ${part}`);
    else lines[lines.length - 1] = line === "" ? part : `${line} ${part}`;
  }
  return lines.map((line, at) => at < lines.length - 1 ? `${line} \\` : line);
}

/** Cuts a line of output into lines that fit, as a terminal does. */
function cut(line: string): string[] {
  const plain = line.replace(/\x1b\[[\d;]*m/g, "");
  if (plain.length <= MAX_COLUMNS || plain !== line) return [line];
  return plain.match(new RegExp(`.{1,${MAX_COLUMNS}}`, "gu")) ?? [];
}

/** Draws a terminal: what was typed, and what was shown. */
async function draw(file: string, command: string, shown: string[]): Promise<void> {
  const typed = wrap(command).map((line) => `\x1b[1m${line}\x1b[22m`).join("\n");
  const all = `\x1b[32m$\x1b[39m ${typed}`.split("\n").concat(shown.flatMap(cut));
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
  await Deno.writeTextFile(`${PICTURES}${file}`, svg);
  console.log(`pictures/${file}`);
}

async function drawScene({ servers, command, file }: Scene): Promise<void> {
  const running = servers.map(start);
  try {
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    await draw(file, command, lines(await inTerminal(command)));
  } finally {
    for (const child of running) {
      child.kill("SIGTERM");
      await child.status;
    }
  }
}

/** Photographs the page that shows the wire, while a client asks for something. */
async function photographWire(): Promise<void> {
  const chromium = await findChromium();
  if (chromium === null) return console.log("pictures/wire.png skipped: apt-get install chromium");
  await using server = await startProgram("http_server.ts", ["-q", "--wire", "public"], /:(\d+)/);
  for (let tries = 0; !server.stderr.includes("token=") && tries < 100; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const [, url = ""] = /the wire is at (\S+)/.exec(server.stderr) ?? [];
  await using browser = await Browser.open(chromium);
  await using page = await Page.open(browser);
  const size = { width: 800, height: 630, deviceScaleFactor: 1.5, mobile: false };
  await browser.send("Emulation.setDeviceMetricsOverride", size, page.session);
  await page.visit(url);
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  await page.run("document.querySelector('button').click()"); // Clear
  await browser.send("Emulation.setScrollbarsHidden", { hidden: true }, page.session);
  await runProgram("http_client.ts", ["-r", "0-99", `http://localhost:${server.port}/sockets.svg`]);
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  const { data } = await browser.send("Page.captureScreenshot", {}, page.session);
  await Deno.writeFile(`${PICTURES}wire.png`, Uint8Array.fromBase64(String(data)));
  console.log("pictures/wire.png");
}

if (import.meta.main) {
  await Deno.mkdir(PICTURES, { recursive: true });
  for (const scene of await scenes()) await drawScene(scene);
  await photographWire();
}
