// deno-lint-ignore-file no-control-regex no-regex-spaces
/**
 * The command line: options, exit statuses, what is shown, and the client in a shell and on a terminal.
 *
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "jsr:@std/assert@^1.0.19";
import { certificate, LOCAL, runProgram } from "./helpers.ts";
import {
  chunked,
  coded,
  DONE,
  gz,
  has,
  hello,
  interruptedAt,
  MEMBERS,
  OK,
  type Row,
  runHere,
  ScriptedServer,
  STAY,
  testCommands,
  testRows,
  testShell,
  testTerminal,
  to,
} from "./http_client_helpers.ts";
import { parseCommandLine } from "../cli.ts";
import { COMMAND, readJob, TIMES } from "../http_client.ts";

/** Which responses -f makes a failure. */
const FAILURES: Row[] = [
  {
    rule: "-f: without it 404 is exit 0",
    sends: [["HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\nsorr"]],
    out: "sorr",
  },
  {
    rule: "-f: 404 is exit 22 and no body",
    sends: [["HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\nsorr"]],
    args: ["-f", "URL"],
    code: 22,
    says: "404 No",
  },
  {
    rule: "-f: does not wait for the body",
    sends: [["HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\n", STAY]],
    args: ["-f", "URL"],
    code: 22,
  },
  {
    rule: "-f: 399 is not a failure",
    sends: [["HTTP/1.1 399 Hm\r\nContent-Length: 2\r\n\r\nok"]],
    args: ["-f", "URL"],
    out: "ok",
  },
  {
    rule: "--fail-with-body: 400 is exit 22 after the body",
    sends: [["HTTP/1.1 400 No\r\nContent-Length: 4\r\n\r\nsorr"]],
    args: ["--fail-with-body", "URL"],
    out: "sorr",
    code: 22,
  },
  {
    rule: "--fail-with-body: a body cut short is exit 18",
    sends: [["HTTP/1.1 400 No\r\nContent-Length: 9\r\n\r\nsorr"]],
    args: ["--fail-with-body", "URL"],
    out: "sorr",
    code: 18,
  },
  ...[400, 499, 500, 599, 999].map((status) => ({
    rule: `RFC 9110 §15: status ${status} is a failure by its first digit, with -f exit 22`,
    sends: [[`HTTP/1.1 ${status} X\r\nContent-Length: 0\r\n\r\n`]],
    args: ["-f", "URL"],
    code: 22,
  })),
  {
    rule: "-o: a body cut short on its way to a device is not called kept",
    sends: [[hello("Content-Length: 9")]],
    args: ["-o", "/dev/null", "URL"],
    code: 18,
    hides: "kept",
  },
  {
    rule: "-f: of a reason phrase 200 octets are shown",
    sends: [[`HTTP/1.1 404 ${"a".repeat(201)}\r\n\r\n`]],
    args: ["-f", "URL"],
    code: 22,
    says: `The server answered 404 ${"a".repeat(200)}\n`,
  },
  {
    rule: "-f: ESC in a reason phrase is shown escaped",
    sends: [["HTTP/1.1 404 \x1b]0;x\x07\r\n\r\n"]],
    args: ["-f", "URL"],
    code: 22,
    says: "\\x1b]0;x\\x07",
    hides: "\x1b",
  },
  {
    rule: "-f: with -i the header is printed",
    sends: [["HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\nsorr"]],
    args: ["-fi", "URL"],
    out: "HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\n",
    code: 22,
  },
];

/** Which responses are tried again. */
const RETRIES: Row[] = [
  {
    rule: "RFC 9110 §10.2.3: 503 is tried again after Retry-After in seconds",
    sends: [["HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 4\r\n\r\nbusy"], [DONE]],
    args: ["--retry", "1", "URL"],
    out: "done",
    says: "The server answered 503 Busy: again in 0 s, 1 left\n",
    hops: 2,
  },
  {
    rule: "RFC 9110 §10.2.3: 429 is tried again after Retry-After as a date",
    sends: [[
      "HTTP/1.1 429 Slow\r\nRetry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\nContent-Length: 0\r\n\r\n",
    ], [DONE]],
    args: ["-s", "--retry", "1", "URL"],
    out: "done",
    hides: /./,
    hops: 2,
  },
  ...["Wed Oct 21 07:28:00 2015", "Wednesday, 21-Oct-15 07:28:00 GMT", "Thu Jan  1 00:00:00 1970"]
    .map((date) => ({
      rule: `RFC 9110 §5.6.7: Retry-After "${date}" is a date long past`,
      sends: [[`HTTP/1.1 503 B\r\nRetry-After: ${date}\r\nContent-Length: 0\r\n\r\n`], [DONE]],
      args: ["--retry", "1", "URL"],
      out: "done",
      says: "again in 0 s",
    })),
  {
    rule: "RFC 9110 §5.6.7: Retry-After in asctime form is a time in UTC",
    sends: [[`HTTP/1.1 503 B\r\nRetry-After: ${inAnHour()}\r\nContent-Length: 0\r\n\r\n`]],
    args: ["-f", "--retry", "1", "URL"],
    code: 22,
    hops: 1,
  },
  {
    rule: "--retry: pauses double",
    sends: [["HTTP/1.1 503 B\r\nContent-Length: 0\r\n\r\n"]],
    args: ["--retry", "3", "URL"],
    says: /again in 0\.01 s, 3 left\n.*again in 0\.02 s, 2 left\n.*again in 0\.04 s, 1 left\n$/,
    hops: 4,
  },
  {
    rule: "--retry: an unknown name is tried again",
    sends: [[DONE]],
    args: ["--retry", "1", "http://no.such.host.invalid/"],
    code: 6,
    says: "no.such.host.invalid: again in 0.01 s, 1 left",
    hops: 0,
  },
  {
    rule: "RFC 9110 §10.2.3: a Retry-After of 601 s is not waited for",
    sends: [["HTTP/1.1 503 B\r\nRetry-After: 601\r\nContent-Length: 0\r\n\r\n"]],
    args: ["-f", "--retry", "1", "URL"],
    code: 22,
    hops: 1,
  },
  {
    rule: "--retry: the last response is printed",
    sends: [["HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 4\r\n\r\nbusy"]],
    args: ["--retry", "2", "URL"],
    out: "busy",
    hops: 3,
  },
  {
    rule: "--retry: 408 is tried again",
    sends: [["HTTP/1.1 408 Slow\r\nRetry-After: 0\r\nContent-Length: 4\r\n\r\nslow"], [DONE]],
    args: ["--retry", "1", "URL"],
    out: "done",
    hops: 2,
  },
  ...[[499, 1], [500, 2], [599, 2]].map(([status, hops]) => ({
    rule: `--retry: ${status} is ${hops === 1 ? "not " : ""}tried again`,
    sends: [[`HTTP/1.1 ${status} X\r\nRetry-After: 0\r\nContent-Length: 4\r\n\r\nsorr`], [DONE]],
    args: ["--retry", "1", "URL"],
    out: hops === 1 ? "sorr" : "done",
    hops,
  })),
  {
    rule: "--retry: 1000 attempts are accepted",
    sends: [[DONE]],
    args: ["--retry", "1000", "URL"],
    out: "done",
    hops: 1,
  },
  {
    rule: "--retry: a connection that is refused is tried again",
    sends: [[DONE]],
    args: ["--retry", "1", "http://127.0.0.1:1/"],
    code: 7,
    says: "again in 0.01 s, 1 left",
    hops: 0,
  },
  {
    rule: "--retry: a connection that closes without a response is tried again",
    sends: [[], [DONE]],
    args: ["--retry", "1", "URL"],
    out: "done",
    hops: 2,
  },
  {
    rule: "--retry: a malformed chunk is tried again",
    sends: [[chunked("x\r\n")], [DONE]],
    args: ["--retry", "1", "URL"],
    out: "done",
    hops: 2,
  },
  {
    rule: "--retry: a header that is not HTTP is not tried again",
    sends: [["SSH-2.0-x\r\n"], [DONE]],
    args: ["--retry", "1", "URL"],
    code: 8,
    hops: 1,
  },
  {
    rule: "--retry: a body that was decoded in part on standard output is not tried again",
    sends: [[MEMBERS[0], 50], [MEMBERS.join("")]],
    args: ["--retry", "1", "URL"],
    out: "hello",
    code: 18,
    hops: 1,
  },
  {
    rule: "--retry: 404 is not tried again",
    sends: [["HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\nsorr"]],
    args: ["--retry", "2", "URL"],
    out: "sorr",
    hops: 1,
  },
  {
    rule: "RFC 9110 §10.2.3: a Retry-After of a day is not waited for",
    sends: [["HTTP/1.1 503 Busy\r\nRetry-After: 86400\r\nContent-Length: 4\r\n\r\nbusy"]],
    args: ["--retry", "2", "URL"],
    out: "busy",
    hops: 1,
  },
  {
    rule: "RFC 9110 §10.2.3: a Retry-After of a day is exit 22 with -f",
    sends: [["HTTP/1.1 503 Busy\r\nRetry-After: 86400\r\nContent-Length: 4\r\n\r\nbusy"]],
    args: ["--retry", "2", "-f", "URL"],
    code: 22,
    hops: 1,
  },
  {
    rule: "--retry: -i prints one header for several attempts",
    sends: [[`${OK}Content-Length: 4\r\n\r\n`], [DONE]],
    args: ["--retry", "1", "-i", "URL"],
    out: DONE,
    hops: 2,
  },
  ...["1.5", "-1", "soon 3"].map((value) => ({
    rule: `RFC 9110 §10.2.3: Retry-After "${value}" is ignored`,
    sends: [[`HTTP/1.1 503 B\r\nRetry-After: ${value}\r\nContent-Length: 0\r\n\r\n`], [DONE]],
    args: ["--retry", "1", "URL"],
    out: "done",
    says: "again in 0.01 s, 1 left",
  })),
  {
    rule: "RFC 9110 §14.2: --retry resumes a body on standard output by a range",
    sends: [[`${OK}ETag: "a"\r\nContent-Length: 5\r\n\r\nhe`], [
      "HTTP/1.1 206 P\r\nContent-Range: bytes 2-4/5\r\nContent-Length: 3\r\n\r\nllo",
    ]],
    args: ["--retry", "1", "--no-compressed", "URL"],
    out: "hello",
    asks: [/^GET/, /^Range: bytes=2-\r\nIf-Range: "a"\r$/m],
  },
  {
    rule: "RFC 9110 §14.2: --retry does not print the beginning of a body twice",
    sends: [[`${OK}Content-Length: 5\r\n\r\nhe`], [hello("Content-Length: 5")]],
    args: ["--retry", "1", "URL"],
    out: "he",
    code: 33,
  },
];

/** The time in an hour, as C's asctime writes it. */
function inAnHour(): string {
  const [, day, date, month, year, time] =
    /^(...), (..) (...) (....) (.*) GMT$/.exec(new Date(Date.now() + 3_600_000).toUTCString()) ??
      [];
  return `${day} ${month} ${date} ${time} ${year}`;
}

/** What -w prints. */
const FORMATS: Row[] = [
  {
    rule: "-w: prints status, sizes and names after the body",
    sends: [[hello("Content-Type: text/plain\r\nContent-Length: 5")]],
    args: [
      "-w",
      "\\n%{http_code}\\t%{response_code} %{size_download} %{content_type} %{num_redirects} " +
      "%{remote_ip} %{url_effective} [%{redirect_url}] 100%%\\n",
      "URL",
    ],
    out: /^hello\n200\t200 5 text\/plain 0 127\.0\.0\.1 http:\/\/127.0.0.1:\d+\/ \[\] 100%\n$/,
  },
  {
    rule: "-w: prints 000 after a failure",
    sends: [[DONE]],
    args: ["-w", "%{http_code} %{size_download} %{num_redirects}", "http://127.0.0.1:1/"],
    out: "000 0 0",
    code: 7,
    hops: 0,
  },
  {
    rule: "-w: prints what came of a body that is cut short",
    sends: [[hello("Content-Length: 9")]],
    args: ["-w", "|%{http_code} %{size_download}", "URL"],
    out: "hello|200 5",
    code: 18,
  },
  {
    rule: "-w: counts octets before decoding",
    sends: [[coded("gzip", gz("hello".repeat(100)))]],
    args: ["-w", "|%{size_download}", "URL"],
    out: `${"hello".repeat(100)}|${gz("hello".repeat(100)).length}`,
  },
  {
    rule: "-w: names where a redirection leads that is not followed",
    sends: [[to("/x y")]],
    args: ["-w", "%{redirect_url}", "URL"],
    out: /^http:\/\/127\.0\.0\.1:\d+\/x%20y$/,
  },
  {
    rule: "-w: describes the last hop",
    sends: [[to("/x")], [DONE]],
    args: ["-L", "-w", " %{http_code} %{num_redirects} %{url_effective}", "URL"],
    out: /^done 200 1 http:.*\/x$/,
  },
  {
    rule: "-w: describes the last attempt, which got no response",
    sends: [
      ["HTTP/1.1 503 B\r\nRetry-After: 0\r\nContent-Type: a/b\r\nContent-Length: 0\r\n\r\n"],
      [],
    ],
    args: ["--retry", "1", "-w", "[%{http_code} %{content_type} %{url_effective}]", "URL"],
    out: "[000  ]",
    code: 52,
    hops: 2,
  },
  {
    rule: "-w: times are 0 before a connection is tried",
    sends: [[DONE]],
    args: ["-w", "%{time_namelookup} %{time_connect} %{time_starttransfer}", "ftp://127.0.0.1/"],
    out: "0.000000 0.000000 0.000000",
    code: 1,
    hops: 0,
  },
  {
    rule: "-w: the time of the connection does not include the look-up",
    sends: [[DONE]],
    args: ["-w", "%{time_connect}", "http://no.such.host.invalid/"],
    out: "0.000000",
    code: 6,
    hops: 0,
  },
  {
    rule: "-w: a backslash before another character is printed",
    sends: [[DONE]],
    args: ["-w", "\\%{http_code}\\q\\r\\", "URL"],
    out: "done\\200\\q\r\\",
  },
  {
    rule: "-w: ESC of a peer is escaped",
    sends: [[hello("Content-Type: a\x1bb\r\nContent-Length: 5")]],
    args: ["-w", "%{content_type}", "URL"],
    out: "helloa\\x1bb",
  },
];

/** What is shown of a conversation. */
const SHOWN: Row[] = [
  {
    rule: "--timing prints five phases in ms",
    sends: [[DONE]],
    args: ["--timing", "URL"],
    out: "done",
    says: /^dns \d+\.\d  connect \d+\.\d  tls \d+\.\d  first-byte \d+\.\d  total \d+\.\d ms\n$/,
  },
  {
    rule: "-v shows request, header and notes",
    sends: [[hello("Content-Length: 5")]],
    args: ["-v", "URL"],
    out: "hello",
    says:
      /^\* connected to 127\.0\.0\.1 port \d+\n> GET \/ HTTP\/1\.1\n[^]*\n>\n< HTTP\/1\.1 200 OK\n< Content-Length: 5\n<\n\* /,
  },
  ...Object.entries({
    "in chunks; codings: none": chunked("4\r\ndone\r\n0\r\n\r\n"),
    "by closing; codings: none": `${OK}\r\ndone`,
    "by its length; codings: none": DONE,
    "by its length; codings: gzip, gzip": coded("gzip, gzip", gz(gz("done"))),
  }).map(([end, response]) => ({
    rule: `-v says that the body ends ${end}`,
    sends: [[response]],
    args: ["-v", "URL"],
    out: "done",
    says: `\n* the body ends ${end}\n`,
    hides: /^< [40]$/m,
  })),
  {
    rule: "the bundle -fsSL is four options",
    sends: [[DONE]],
    args: ["-fsSL", "URL"],
    out: "done",
    hides: /./,
  },
  {
    rule: "flags that are true of this client are accepted",
    sends: [[DONE]],
    args: ["-#NgS", "--http1.1", "--tlsv1.2", "--progress-bar", "--no-buffer", "--globoff", "URL"],
    out: "done",
    hides: /./,
  },
  {
    rule: "--timing counts the time of TLS from the end of the TCP handshake",
    sends: [[DONE]],
    args: ["--timing", "https://127.0.0.1:1/"],
    code: 7,
    says: /^dns 0\.0  connect \d+\.\d  tls 0\.0  first-byte 0\.0  total \d+\.\d ms\n/,
    hops: 0,
  },
  {
    rule: "--timing counts the look-up of a name apart from the connection",
    sends: [[DONE]],
    args: ["--timing", "http://no.such.host.invalid/"],
    code: 6,
    says: /^dns (?!0\.0)\d+\.\d  connect 0\.0  tls 0\.0  first-byte 0\.0  total \d+\.\d ms\n/,
    hops: 0,
  },
  {
    rule: "--connect-timeout and -m: 0 means no limit",
    sends: [[DONE]],
    args: ["--connect-timeout", "0", "-m", "0", "URL"],
    out: "done",
  },
  {
    rule: "--connect-timeout and -m: 2147483 s are accepted",
    sends: [[DONE]],
    args: ["--connect-timeout", "2147483", "-m", "2147483", "URL"],
    out: "done",
  },
  { rule: "-- ends the options", sends: [[DONE]], args: ["-s", "--", "URL"], out: "done" },
  { rule: "-o - is standard output", sends: [[DONE]], args: ["-o", "-", "URL"], out: "done" },
];

testRows([FAILURES, RETRIES, FORMATS, SHOWN].flat());

testCommands("options", [
  { args: ["--help"], code: 0, out: /^Fetches one URL[^]*130\s+Ctrl-C\.\n$/ },
  { args: ["-h"], code: 0, out: /--max-filesize[^]*sends nothing for 300 s is given up/ },
  { args: ["--version"], code: 0, out: /^http_client \d+\.\d+\.\d+\n$/ },
  { args: ["-V"], code: 0, out: /^http_client/ },
  { args: [], code: 2, says: "expected URL" },
  { args: ["a", "b"], code: 2, says: "expected URL" },
  { args: ["a", "80", "b", "c"], code: 2 },
  { args: ["h", "http", "f"], code: 2, says: '"http"' },
  { args: ["h", "0", "f"], code: 2, says: '"0"' },
  { args: ["h", "65536", "f"], code: 2 },
  { args: ["--prot", "u"], code: 2, says: 'Unknown option "--prot"' },
  { args: ["-Z", "u"], code: 2, says: 'Unknown option "-Z"' },
  { args: ["-o"], code: 2, says: 'Option "-o" needs a value' },
  { args: ["--max-time", "soon", "u"], code: 2, says: '"soon"' },
  { args: ["-m", "-1", "u"], code: 2, says: '"-1"' },
  { args: ["-m", "1e3", "u"], code: 2, says: '"1e3"' },
  { args: ["-m", "2147484", "u"], code: 2, says: "2147483" },
  { args: ["--connect-timeout", "2147484", "u"], code: 2, says: "2147483" },
  { args: ["--max-redirs", "x", "u"], code: 2 },
  { args: ["--max-filesize", "0x10", "u"], code: 2 },
  { args: ["--retry", "1.5", "u"], code: 2 },
  { args: ["--retry", "-1", "u"], code: 2 },
  { args: ["--retry", "1001", "u"], code: 2, says: "from 0 to 1000" },
  { args: ["--max-redirs", "-2", "u"], code: 2 },
  { args: ["--max-filesize", "-1", "u"], code: 2 },
  { args: ["-r", "abc", "u"], code: 2, says: '"abc": expected "0-99", "100-" or "-100"' },
  { args: ["-r", "-", "u"], code: 2 },
  { args: ["-r", "0-1,", "u"], code: 2 },
  { args: ["-C", "5", "-o", "f", "u"], code: 2, says: '"5"' },
  { args: ["-C", "-", "u"], code: 2, says: "-C without" },
  { args: ["-C", "-", "-o", "f", "-r", "0-1", "u"], code: 2 },
  { args: ["-f", "--fail-with-body", "u"], code: 2 },
  { args: ["-46", "u"], code: 2 },
  { args: ["-I", "-d", "x", "u"], code: 2 },
  { args: ["-o", "f", "-O", "u"], code: 2, says: "Cannot use -o with -O" },
  { args: ["-o", "f", "-J", "u"], code: 2, says: "Cannot use -o with -J" },
  { args: ["-C", "-", "-OJ", "u"], code: 2, says: "Cannot use -C with -J" },
  { args: ["-X", "G T", "u"], code: 2, says: '"G T"' },
  { args: ["-H", "X: a\r\nY: b", "u"], code: 2, says: "X: a\\x0d\\x0aY: b" },
  { args: ["-A", "a\r\nX: y", "u"], code: 2, says: "a\\x0d\\x0aX: y" },
  { args: ["-H", "no colon", "u"], code: 2 },
  { args: ["-H", "nocolon", "u"], code: 2, says: "expected 'Name: value'" },
  { args: ["-H", "A B: c", "u"], code: 2 },
  { args: ["-H", "Content-Length: 7", "-d", "x", "u"], code: 2 },
  { args: ["-H", "Transfer-Encoding: chunked", "u"], code: 2 },
  { args: ["-w", "%{http_cod}", "u"], code: 2, says: 'there is no variable "http_cod"' },
  { args: ["-w", "%{}", "u"], code: 2 },
  { args: ["-R", "u"], code: 2, says: "-R without" },
  { args: ["-d", "@/no/such/file", "u"], code: 2, says: "/no/such/file" },
]);

Deno.test("the help names every option, in 80 columns", async () => {
  const { stdout } = await runProgram("http_client.ts", ["--help"]);
  for (const line of stdout.split("\n")) assert(line.length <= 80, line);
  for (const { spellings } of Object.values(COMMAND.options)) {
    for (const spelling of spellings) assertStringIncludes(stdout, spelling);
  }
});

Deno.test("the help has the numbers of options and the exit statuses", async () => {
  const { stdout } = await runProgram("http_client.ts", ["--help"]);
  const help = stdout.replaceAll(/\s+/g, " ");
  for (
    const phrase of [
      "ask for a part: 0-99, 100- or -100",
      "number of redirections; -1 means no limit (default: 20)",
      "status 400 and above is exit 22, without the body",
      "attempts after 408, 429, 5xx and failures that may pass; a download resumes (default: 0)",
      "time limit of each connection (default: 300)",
      "-4, --ipv4 use IPv4 addresses only -6, --ipv6 use IPv6 addresses only",
      "h:8000/p, [::1]:8000/p, :8000/p (localhost)",
      "-m and --connect-timeout: 0 means no limit.",
      "Exit status: 0 complete, 1 scheme, 2 usage, 3 URL, 5 proxy, 6 name, 7 connect, 8 not HTTP, " +
      "18 cut short, 22 status with -f, 23 cannot write, 26 cannot read -T, 28 time, " +
      "33 cannot resume, 35 TLS, 47 redirections, 52 nothing came, 55 send, 56 receive, " +
      "60 certificate, 61 coding, 63 too large, 77 CA file, 100 header too large, 130 Ctrl-C.",
    ]
  ) assertStringIncludes(help, phrase);
});

testTerminal([
  {
    rule: "terminal: control characters of a body are shown escaped",
    sends: [[hello("X: y").replace("hello", "a\x1b[2Jb\x07\xc2\x9bc\r\n\td\x9be\xc3\xa9")]],
    shows: "a\\x1b[2Jb\\x07\\x9bc\r\n\td\xef\xbf\xbde\xc3\xa9",
    hides: /\x1b/,
  },
  {
    rule: "terminal: control characters of a header are shown escaped",
    sends: [[hello("X: \x1b]0;t\x07")]],
    args: ["-i", "URL"],
    shows: "X: \\x1b]0;t\\x07\r\n",
    hides: /\x1b/,
  },
  {
    rule: "terminal: a binary body is refused",
    sends: [[`${OK}\r\nab\0cd`]],
    code: 23,
    shows: "http_client: Binary body",
  },
  {
    rule: "terminal: -o - prints a binary body, escaped",
    sends: [[`${OK}\r\nab\0cd`]],
    args: ["-o", "-", "URL"],
    shows: "ab\\x00cd",
  },
  {
    rule: "terminal: bidirectional marks of a header are shown escaped",
    sends: [[hello("X: a\xe2\x80\xaeb")]],
    args: ["-i", "URL"],
    shows: "X: a\\u202eb\r\n",
    hides: /\xe2\x80\xae/,
  },
  {
    rule: "terminal: a character that comes in two reads is shown",
    sends: [[hello("X: y").replace("hello", "caf\xc3"), 100, "\xa9!"]],
    shows: /^caf\xc3\xa9!$/,
  },
  {
    rule: "terminal: half a character at the end of a body is shown",
    sends: [[hello("X: y").replace("hello", "caf\xc3")]],
    shows: /^caf\xef\xbf\xbd$/,
  },
  {
    rule: "terminal: half a character at the end of a body cut short is shown",
    sends: [[hello("Content-Length: 9").replace("hello", "caf\xc3")]],
    code: 18,
    shows: /^caf\xef\xbf\xbdhttp_client: 5 bytes missing of 9\r\n$/,
  },
  {
    rule: "terminal: 304 has nothing to save",
    sends: [["HTTP/1.1 304 Same\r\n\r\n"]],
    args: ["-o", "/dev/null", "URL"],
    shows: /^nothing new to save: The server answered 304 Same\r\n$/,
  },
  {
    rule: "terminal: a redirection without -L is pointed out",
    sends: [["HTTP/1.1 302 F\r\nLocation: /\x1bx\r\nContent-Length: 0\r\n\r\n"]],
    shows: "302 -> /\\x1bx (use -L)",
    hides: /\x1b/,
  },
  {
    rule: "terminal: the saved file is named",
    sends: [[DONE]],
    args: ["-o", "/dev/null", "URL"],
    shows: /saved \/dev\/null  4 B in \d\.\d s/,
  },
  {
    rule: "terminal: -u with a password does not ask for one",
    sends: [[DONE]],
    args: ["-u", "me:", "URL"],
    shows: /^done$/,
  },
  {
    rule: "terminal: -s prints nothing",
    sends: [[DONE]],
    args: ["-s", "-o", "/dev/null", "URL"],
    shows: /^$/,
  },
], !await has("python3"));

testShell([
  {
    rule: "shell: a full disk is exit 23",
    line: "CLIENT -o /dev/full URL; echo $?",
    sends: [[DONE]],
    out: /^23\n$/,
    err: /^http_client: .*\/dev\/full.*space/i,
  },
  {
    rule: "shell: a file that reaches its largest size is exit 23, and kept",
    line: "f=$(mktemp); trap '' XFSZ; (ulimit -f 1; CLIENT -o $f URL); echo $?; rm $f",
    sends: [[`${OK}Content-Length: 2000\r\n\r\n${"x".repeat(2000)}`]],
    out: /^23\n$/,
    err: /^(?:512|1024) bytes kept in [^\n]*\nhttp_client: Cannot write /,
  },
  {
    rule: "shell: a full disk at standard output is exit 23",
    line: "CLIENT URL > /dev/full; echo $?",
    sends: [[DONE]],
    out: /^23\n$/,
    err: /^http_client: .*standard output.*space/i,
  },
  {
    rule: "shell: -R does not change the time of a FIFO",
    line: "f=$(mktemp -u); mkfifo $f; cat $f & CLIENT -R -o $f URL; echo $?; " +
      "[ $(stat -c %Y $f) -gt 946684800 ] && echo new; rm $f",
    sends: [[hello("Last-Modified: Sat, 01 Jan 2000 00:00:00 GMT\r\nContent-Length: 5")]],
    out: /^hello0\nnew\n$/,
    err: /^$/,
  },
  {
    rule: "shell: SIGINT is exit 130",
    line: interruptedAt("CLIENT -v URL", "^>$"),
    sends: [[STAY]],
    out: /^130\n$/,
    err: /http_client: Interrupted/,
  },
  {
    rule: "shell: SIGINT ends the pause before the next attempt",
    line: interruptedAt("CLIENT --retry 3 URL", "again in"),
    sends: [["HTTP/1.1 503 B\r\nRetry-After: 30\r\nContent-Length: 0\r\n\r\n"]],
    out: /^130\n$/,
    err: /again in 30 s, 3 left\n[^]*http_client: Interrupted/,
  },
  {
    rule: "shell: -d @- needs no --allow-read",
    line: "{ printf 'a='; sleep 0.1; printf 'b\\n'; } | NET_ONLY -v -d @- URL",
    sends: [[DONE]],
    out: /^done$/,
    err: /> Content-Length: 3\n/,
  },
  {
    rule: "shell: a closed standard error does not stop the download",
    line: "exec 3>&1; { CLIENT -v URL 2>&1 >&3; echo $? >&3; } | true; CLIENT -v URL 2> /dev/full",
    sends: [[50, DONE]],
    out: /^done0\ndone$/,
    err: /^$/,
  },
]);

Deno.test("RFC 9110 §10.2.3: a Retry-After of 600 s is waited for, until Ctrl-C", async () => {
  const busy = "HTTP/1.1 503 B\r\nRetry-After: 600\r\nContent-Length: 0\r\n\r\n";
  await using server = new ScriptedServer([[busy]], (text) => [text], Deno.listen(LOCAL));
  const stop = new AbortController();
  const onNote = () => setTimeout(() => stop.abort(), 10);
  const outcome = await runHere(["--retry", "1", `:${server.port}`], {
    signal: stop.signal,
    onNote,
  });
  const stderr = "The server answered 503 B: again in 600 s, 1 left\nhttp_client: Interrupted\n";
  assertEquals(outcome, { code: 130, stdout: "", stderr });
});

Deno.test("-m: ends a wait for an output that takes nothing", async () => {
  await using server = new ScriptedServer([[DONE]], (text) => [text], Deno.listen(LOCAL));
  const stdout = { write: () => new Promise<number>(() => {}), isTerminal: () => false };
  const { code, stderr } = await runHere(["-m", "0.1", `:${server.port}`], { stdout });
  assertEquals({ code, stderr }, { code: 28, stderr: "http_client: Not done within 0.1 s\n" });
});

Deno.test("--retry: the pause before an attempt is 600 s at most", async () => {
  const sends = [
    ["HTTP/1.1 503 B\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"],
    ["HTTP/1.1 503 B\r\nContent-Length: 0\r\n\r\n"],
  ];
  await using server = new ScriptedServer(sends, (text) => [text], Deno.listen(LOCAL));
  const stop = new AbortController();
  const onNote = () => server.requests.length > 1 && setTimeout(() => stop.abort(), 10);
  const settings = { signal: stop.signal, onNote, firstPause: 400_000 };
  const { code, stderr } = await runHere(["--retry", "2", `:${server.port}`], settings);
  assertEquals(code, 130);
  assertStringIncludes(stderr, "again in 0 s, 2 left\n");
  assertStringIncludes(stderr, "again in 600 s, 1 left\n");
});

Deno.test("without options nothing is limited but connections (300 s) and redirections (20)", async () => {
  const { options } = await readJob(parseCommandLine(COMMAND, ["u"]));
  const { connectTimeout, maxTime, maxFilesize, maxRedirects, retries } = options;
  assertEquals([connectTimeout, maxTime], [300_000, 2_147_483_000]);
  assertEquals([maxFilesize, maxRedirects, retries], [Infinity, 20, 0]);
});

Deno.test("the read timeout is 300 s, the first pause 1 s", () => {
  assertEquals(TIMES, { readTimeout: 300_000, firstPause: 1_000, continueTimeout: 1_000 });
});

Deno.test("-w: times rise from the look-up to the end, in seconds since the start", async () => {
  const sends = [[to("/x")], [50, DONE]];
  await using server = new ScriptedServer(sends, (text) => [text], Deno.listen(LOCAL));
  const names = ["namelookup", "connect", "appconnect", "starttransfer", "total"];
  const format = names.map((name) => ` %{time_${name}}`).join("");
  const began = performance.now();
  const { stdout } = await runHere(["-L", "-w", format, `:${server.port}`]);
  const limit = (performance.now() - began) / 1000;
  assert(/^done( \d\.\d{6}){5}$/.test(stdout), stdout);
  const [lookUp = 0, connect = 0, tls, first = 0, total = 0] = stdout.split(" ").slice(1).map(
    Number,
  );
  const isRising = 0 < lookUp && lookUp < connect && connect + 0.04 < first && first < total;
  assert(isRising && total <= limit, stdout);
  assertEquals(tls, 0);
});

Deno.test("-w: the speed is that of the body, in octets a second since the start", async () => {
  const sends = [[100, hello("Content-Length: 5")]];
  await using server = new ScriptedServer(sends, (text) => [text], Deno.listen(LOCAL));
  const began = performance.now();
  const { stdout } = await runHere(["-w", " %{speed_download}", `:${server.port}`]);
  const least = 5 / (performance.now() - began) * 1000;
  const [, speed = "0"] = /^hello (\d+)$/.exec(stdout) ?? [];
  assert(Math.floor(least) <= Number(speed) && Number(speed) <= 51, stdout);
});

Deno.test("--timing: the total is the time since the start", async () => {
  await using server = new ScriptedServer([[50, DONE]], (text) => [text], Deno.listen(LOCAL));
  const began = performance.now();
  const { stderr } = await runHere(["--timing", `:${server.port}`]);
  const limit = performance.now() - began;
  const [, first = "0", total = "0"] = / first-byte (\S+)  total (\S+) ms\n$/.exec(stderr) ?? [];
  assert(40 < Number(first) && Number(first) <= Number(total), stderr);
  assert(Number(total) <= limit + 0.1, stderr);
});

Deno.test("-w: the time of TLS is between those of the connection and the first octet", async () => {
  const listener = Deno.listenTls({ ...LOCAL, ...await certificate("localhost") });
  await using server = new ScriptedServer([[DONE]], (text) => [text], listener);
  const format = " %{time_connect} %{time_appconnect} %{time_starttransfer}";
  const { stdout } = await runHere(["-sk", "-w", format, `https://127.0.0.1:${server.port}/`]);
  const [connect = 0, tls = 0, first = 0] = stdout.split(" ").slice(1).map(Number);
  assert(0 < connect && connect < tls && tls < first, stdout);
});
