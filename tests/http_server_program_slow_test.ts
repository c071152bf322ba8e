/**
 * Rows that wait for the program: on a terminal, and with a stuck reader of its log.
 *
 * @module
 */
import { assert, assertEquals, assertMatch } from "jsr:@std/assert@^1.0.19";
import { ROOT } from "./helpers.ts";
import {
  Folder,
  readAnswers,
  request,
  startServer,
  talk,
  UNIX,
  WWW,
} from "./http_server_helpers.ts";

Deno.test(
  { name: "program: a stuck reader of the log does not keep it", ignore: !UNIX },
  async () => {
    using folder = new Folder();
    const path = folder.path("log");
    await new Deno.Command("mkfifo", { args: [path] }).output();
    const opening = Deno.open(path);
    await using program = await startServer(["-p0", WWW], {
      by: ["sh", "-c", 'exec "$@" > "$0"', path],
    });
    using _stuck = await opening; // and never read
    const text = request("/hello.txt").repeat(1_999) + request("/end.txt", ["Connection: close"]);
    assertEquals(readAnswers(await talk(program.port, [text])).length, 2_000);
    const begun = performance.now();
    const last = setTimeout(() => program.stop("SIGKILL"), 9_000);
    const { code } = await program.stop("SIGTERM");
    clearTimeout(last);
    assert(performance.now() - begun < 6_000);
    assertEquals(code, 0);
  },
);

/** A terminal, as util-linux makes one. */
const hasTerminal = UNIX && await new Deno.Command("script", { args: ["--version"] }).output()
  .then(({ success }) => success, () => false);

/** The URLs for other machines, one a line. */
const NETWORK = Deno.networkInterfaces()
  .filter(({ address }) => !/^(127\.|::1$|fe80:)/.test(address))
  .map(() => " +http:[^\\n]+\\n").join("") || " +http:[^\\n]+\\n";
const EVERYWHERE = new RegExp(
  `Local +http:[^]*Network${NETWORK}\\s+Anyone on this network can read`,
);

/** What it shows there, by arguments and colours. */
const TERMINALS: readonly [args: string, colour: boolean, want: RegExp][] = [
  ["--wire", false, /\n {2}Wire {5}http:\S*\/\.wire\?token=[\w-]{24}\r?\n/],
  [
    "",
    false,
    /^(?![^]*Wire)[^]*serving \S*www[^]*Local +http:\/\/localhost:\d+\/[^]*--lan[^]*Ctrl-C/,
  ],
  ["-b 0.0.0.0", false, EVERYWHERE],
  ["--lan", false, EVERYWHERE],
  // deno-lint-ignore no-control-regex
  ["", true, /\x1b\[\d+m/],
];

for (const [args, colour, want] of TERMINALS) {
  const name = `program: on a terminal, ${args} ${colour ? "in colour" : "NO_COLOR"}`;
  Deno.test({ name, ignore: !hasTerminal }, async () => {
    const command = `timeout 5 ${Deno.execPath()} run -A ${ROOT}http_server.ts -p0 ${args} ${WWW}`;
    const child = new Deno.Command("script", {
      args: ["-qefc", command, "/dev/null"],
      env: { NO_COLOR: colour ? "" : "1" },
      stdin: "null",
      stdout: "piped",
    }).spawn();
    let shown = "";
    for await (const octets of child.stdout) {
      shown += new TextDecoder().decode(octets);
      if (want.test(shown)) break;
    }
    child.kill();
    await child.status;
    assertMatch(shown, want);
    if (!colour) assert(!shown.includes("\x1b["), JSON.stringify(shown));
  });
}
