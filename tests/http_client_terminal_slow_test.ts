// deno-lint-ignore-file no-control-regex no-regex-spaces
/**
 * The client on a terminal: progress, and Ctrl-C.
 *
 * @module
 */
import { DONE, has, OK, STAY, testTerminal } from "./http_client_helpers.ts";

testTerminal([
  {
    rule: "terminal: progress has a bar where the length is known",
    sends: [[
      `${OK}Content-Length: 100\r\n\r\n${"x".repeat(50)}`,
      800,
      "x".repeat(10),
      300,
      "x".repeat(40),
    ]],
    args: ["-o", "/dev/null", "URL"],
    shows: /\r#{12}-{8}  60 B  [\d.]+ k?B\/s of 100 B  00:00:0\d left\x1b\[K[^]*\r\x1b\[Ksaved/,
  },
  {
    rule: "terminal: progress counts octets where the length is unknown",
    sends: [[`${OK}\r\n${"x".repeat(50)}`, 800, "x".repeat(50), 300, "x"]],
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
