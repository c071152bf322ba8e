// deno-lint-ignore-file no-control-regex no-regex-spaces
/**
 * The client on a terminal: progress, and Ctrl-C.
 *
 * @module
 */
import { DONE, has, MEMBERS, OK, STAY, testShell, testTerminal } from "./http_client_helpers.ts";

testTerminal([
  {
    rule: "terminal: progress has a bar where the length is known",
    sends: [[
      `${OK}Content-Length: 100\r\n\r\n${"x".repeat(50)}`,
      600,
      "x".repeat(10),
      300,
      "x".repeat(40),
    ]],
    args: ["-o", "/dev/null", "URL"],
    shows:
      /\r#{12}-{8}  60 B  1?\d(?:\.\d+)? B\/s of 100 B  00:00:0\d left\x1b\[K[^]*\r\x1b\[Ksaved/,
  },
  {
    rule: "terminal: progress shows a day less a second at most",
    sends: [[`${OK}Content-Length: 9007199254740991\r\n\r\nx`, 600, "x".repeat(10), 50]],
    args: ["-o", "/dev/null", "URL"],
    code: 18,
    shows: /  23:59:59 left\x1b\[K\r\x1b\[Khttp_client: \d+ bytes missing/,
  },
  {
    rule: "terminal: progress is drawn ten times a second at most",
    sends: [[
      `${OK}Content-Length: 200\r\n\r\n`,
      ...Array.from({ length: 100 }, () => [10, "x"]).flat(),
      "x".repeat(100),
    ]],
    args: ["-o", "/dev/null", "URL"],
    shows: /^(?:\r[-#]{20}  \d+ B  [^\r]* left\x1b\[K){1,30}\r\x1b\[Ksaved/,
  },
  {
    rule: "terminal: progress of a complete body has no time left, even if it came at once",
    sends: [[`${OK}Content-Length: 5\r\n\r\n`, 600, "hello"]],
    args: ["-o", "/dev/null", "URL"],
    shows: "\r####################  5 B  0 B/s of 5 B  00:00:00 left\x1b[K",
  },
  {
    rule: "terminal: progress fits in a narrow terminal",
    sends: [[`${OK}Content-Length: 9\r\n\r\nhe`, 600, "llo", 50]],
    args: ["-o", "/dev/null", "URL"],
    columns: 30,
    code: 18,
    shows: /\r#{11}-{9}  5 B  \d[^\x1b]\x1b\[K/,
  },
  {
    rule: "terminal: a download within half a second draws no progress",
    sends: [[DONE]],
    args: ["-o", "/dev/null", "URL"],
    shows: /^saved /,
  },
  {
    rule: "terminal: -s draws no progress",
    sends: [[`${OK}Content-Length: 9\r\n\r\nhello`, 600, "hell"]],
    args: ["-s", "-o", "/dev/null", "URL"],
    shows: /^$/,
  },
  {
    rule: "terminal: a body that is shown has no progress",
    sends: [[`${OK}Content-Length: 9\r\n\r\nhello`, 600, "hell"]],
    shows: /^hellohell$/,
  },
  {
    rule: "terminal: a body that goes elsewhere has progress",
    sends: [[`${OK}Content-Length: 9\r\n\r\nhello`, 600, "hell"]],
    isRedirected: true,
    shows: /^\r#{20}  9 B  [^\r]*\r\x1b\[K$/,
  },
  {
    rule: "terminal: a body of -o - has no progress, wherever it goes",
    sends: [[`${OK}Content-Length: 9\r\n\r\nhello`, 600, "hell"]],
    args: ["-o", "-", "URL"],
    isRedirected: true,
    shows: /^$/,
  },
  {
    rule: "terminal: progress of a decoded body has no bar",
    sends: [[MEMBERS[0], 600, MEMBERS[1]]],
    args: ["--compressed", "-o", "/dev/null", "URL"],
    shows: /^\r9 B  [^\r]*\/s\x1b\[K\r\x1b\[Ksaved /,
  },
  {
    rule: "terminal: progress counts octets where the length is unknown",
    sends: [[`${OK}\r\n${"x".repeat(50)}`, 600, "x".repeat(50), 300, "x"]],
    args: ["-o", "/dev/null", "URL"],
    shows: /\r100 B  [\d.]+ k?B\/s\x1b\[K/,
  },
  {
    rule: "terminal: Ctrl-C prints what is kept and how to resume",
    sends: [[`${OK}Content-Length: 100\r\n\r\nhello`, STAY]],
    args: ["-o", "FILE", "URL"],
    code: 130,
    interrupt: true,
    shows:
      /5 bytes kept in [^]*; to resume: deno run -NRW http_client\.ts -C - -o [^]*\r\nhttp_client: Interrupted\r\n$/,
  },
  {
    rule: "terminal: Ctrl-C ends the prompt for a password",
    sends: [[DONE]],
    args: ["-u", "me", "URL"],
    code: -2, // by the signal itself
    interrupt: true,
    shows: "Password for me: ",
  },
  {
    rule: "terminal: Ctrl-C ends reading standard input",
    sends: [[DONE]],
    args: ["-d", "@-", "URL"],
    code: -2,
    interrupt: true,
    shows: "^C",
  },
  {
    rule: "terminal: Ctrl-C before the header is exit 130",
    sends: [[STAY]],
    code: 130,
    interrupt: true,
    shows: "http_client: Interrupted",
  },
], !await has("python3"));

testShell([{
  rule: "shell: progress is for terminals",
  line: "CLIENT -o /dev/null URL",
  sends: [[`${OK}Content-Length: 9\r\n\r\nhello`, 600, "hell"]],
  out: /^$/,
  err: /^$/,
}]);
