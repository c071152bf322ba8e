// deno-lint-ignore-file no-control-regex
/**
 * The syntax of responses (RFC 9112): status line, fields, framing, and what each fault costs.
 *
 * @module
 */
import { assert, assertEquals } from "jsr:@std/assert@^1.0.19";
import {
  chunked,
  hello,
  LONG,
  OK,
  RESET,
  type Row,
  runHere,
  ScriptedServer,
  STAY,
  testRows,
  to,
} from "./http_client_helpers.ts";
import { toByteString } from "../protocol.ts";
import type { Streams } from "../http_client.ts";
import { LOCAL, send } from "./helpers.ts";

/** RFC 9112 §2 and §4: what a response begins with. */
const STATUS_LINES: Row[] = [
  {
    rule: "RFC 9112 §4: a response with a length is printed",
    sends: [[hello("Content-Length: 5")]],
    out: "hello",
  },
  {
    rule: "RFC 9112 §4: the blank and the reason phrase may be missing",
    sends: [["HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello"]],
    out: "hello",
  },
  {
    rule: "RFC 9112 §4: the reason phrase may be empty",
    sends: [["HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\nhello"]],
    out: "hello",
  },
  {
    rule: "RFC 9112 §4: a response of HTTP/1.0 ends with the connection",
    sends: [["HTTP/1.0 200 OK\r\n\r\nhello"]],
    out: "hello",
  },
  {
    rule: "RFC 9112 §4: status 999 is accepted",
    sends: [["HTTP/1.1 999 X\r\nContent-Length: 5\r\n\r\nhello"]],
    out: "hello",
  },
  {
    rule: "RFC 9112 §4: a status of four digits is refused",
    sends: [["HTTP/1.1 2000 OK\r\n\r\nhello"]],
    code: 8,
  },
  {
    rule: "RFC 9112 §4: a status of two digits is refused",
    sends: [["HTTP/1.1 20 OK\r\n\r\nhello"]],
    code: 8,
  },
  {
    rule: "RFC 9112 §4: a status of a hundred digits is refused",
    sends: [[`HTTP/1.1 200${"0".repeat(100)} OK\r\n\r\n`]],
    code: 8,
  },
  {
    rule: "RFC 9112 §4: status 099 is refused",
    sends: [["HTTP/1.1 099 OK\r\n\r\n" + hello("Content-Length: 5")]],
    code: 8,
    says: "Malformed status line",
  },
  {
    rule: "RFC 9112 §4: a status line without a status is refused",
    sends: [["HTTP/1.1\r\n\r\nhello"]],
    code: 8,
  },
  {
    rule: "RFC 9112 §4: two blanks before the status are refused",
    sends: [["HTTP/1.1  200 OK\r\n\r\nhello"]],
    code: 8,
  },
  {
    rule: "RFC 9112 §2.3: version HTTP/2.0 is refused",
    sends: [["HTTP/2.0 200 OK\r\n\r\nhello"]],
    code: 8,
  },
  {
    rule: 'RFC 9112 §2.3: "http" in lower case is refused',
    sends: [["http/1.1 200 OK\r\n\r\nhello"]],
    code: 8,
  },
  {
    rule: "RFC 9112 §2.2: a peer that does not speak HTTP is recognized before its first line ends",
    sends: [["SSH-2.0-x", STAY]],
    code: 8,
    says: "SSH-2.0",
  },
  {
    rule: "RFC 9112 §2.2: a body without a header is refused",
    sends: [["<html>hello</html>"]],
    code: 8,
  },
  {
    rule: "RFC 9112 §2.2: an empty line before the status line is refused",
    sends: [["\r\nHTTP/1.1 200 OK\r\n\r\n"]],
    code: 8,
  },
  {
    rule: "RFC 9112 §4: NUL in the reason phrase is refused",
    sends: [["HTTP/1.1 200 O\0K\r\n\r\nhello"]],
    code: 8,
  },
  {
    rule: "RFC 9112 §2.2: a TLS alert instead of a response is shown escaped",
    sends: [["\x15\x03\x01\x00\x02\x02\x46"]],
    code: 8,
    says: "\\x15",
  },
];

/** RFC 9112 §5: field lines. */
const FIELDS: Row[] = [
  {
    rule: "RFC 9112 §2.2: LF alone ends a line",
    sends: [["HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"]],
    out: "hello",
  },
  {
    rule: "RFC 9112 §5.2: a folded line is joined to the one before",
    sends: [[`${OK}X: a\r\n b\r\nContent-Length: 5\r\n\r\nhello`]],
    out: "hello",
  },
  {
    rule: "RFC 9112 §5.2: a folded Content-Length is read",
    sends: [[`${OK}Content-Length:\r\n 5\r\n\r\nhello`]],
    out: "hello",
  },
  {
    rule: "RFC 9112 §5.2: digits on both sides of a fold are not one number",
    sends: [[`${OK}Content-Length: 1\r\n 5\r\n\r\nhello`]],
    code: 8,
  },
  {
    rule: "RFC 9112 §5.2: a folded line before any field is refused",
    sends: [[`${OK} X: a\r\n\r\nhello`]],
    code: 8,
  },
  {
    rule: "RFC 9112 §5.1: a blank before the colon is refused",
    sends: [[hello("Content-Length : 5")]],
    code: 8,
  },
  {
    rule: "RFC 9112 §5.1: a field line without a colon is refused",
    sends: [[hello("Content-Length 5")]],
    code: 8,
  },
  { rule: "RFC 9112 §5.1: a field without a name is refused", sends: [[hello(": 5")]], code: 8 },
  {
    rule: "RFC 9112 §5.1: a blank in a field name is refused",
    sends: [[hello("A B: 5")]],
    code: 8,
  },
  { rule: "RFC 9110 §5.5: NUL in a field value is refused", sends: [[hello("X: a\0b")]], code: 8 },
  { rule: "RFC 9112 §2.2: a lone CR in a value is refused", sends: [[hello("X: a\rb")]], code: 8 },
  {
    rule: "RFC 9112 §2.2: a lone CR does not end the status line",
    sends: [["HTTP/1.1 200 OK\rX: y\r\n\r\n"]],
    code: 8,
  },
  {
    rule: "RFC 9110 §5.5: octets above 0x7F in a field value are accepted",
    sends: [[hello("X: \xe9\x80\r\nContent-Length: 5")]],
    out: "hello",
  },
  {
    rule: "RFC 9110 §5.5: ESC in a field value does not stop the response",
    sends: [[hello("X: \x1b[2J\r\nContent-Length: 5")]],
    out: "hello",
  },
  {
    rule: "RFC 9110 §5.5: -v shows ESC and C1 controls of a field value as escapes",
    sends: [[hello("X: \x1b[2J\xc2\x9b\r\nContent-Length: 5")]],
    args: ["-v", "URL"],
    out: "hello",
    says: "\\x1b[2J\\x9b",
    hides: /\x1b|\x9b/,
  },
  {
    rule: "RFC 9112 §5.1: a response may have no fields",
    sends: [[`${OK}\r\nhello`]],
    out: "hello",
  },
  {
    rule: "RFC 9110 §5.5: a field value may be empty",
    sends: [[hello("X:\r\nContent-Length:5")]],
    out: "hello",
  },
  {
    rule: "RFC 9110 §5.1: a field name is matched in any case",
    sends: [[hello("cOnTeNt-LeNgTh: 5")]],
    out: "hello",
  },
];

/** A response with a field line of this many octets, its line end included. */
const withLine = (size: number) =>
  hello(`X: ${"a".repeat(size - "X: \r\n".length)}\r\nContent-Length: 5`);

/** A response whose header has this many octets, each line end counted as one. */
function withHead(size: number): string {
  const [status, length] = ["HTTP/1.1 200 OK\n", "Content-Length: 5\n"];
  const line = `X: ${"a".repeat(60_000)}\n`;
  const left = size - status.length - length.length - 4 * line.length;
  return `${status}${length}${line.repeat(4)}Y: ${"a".repeat(left - "Y: \n".length)}\n\nhello`;
}

/** A chunked response whose trailer section has this many octets, its line ends of one octet included. */
const withTrailers = (size: number) =>
  chunked(`5\nhello\n0\n${"X: y\n".repeat(20)}Z: ${"z".repeat(size - 100 - 5)}\n\n`);

/** RFC 9110 §5.4: limits of a message, the last value that passes and the first that fails. */
const LIMITS: Row[] = [
  {
    rule: "RFC 9110 §5.4: a field line of 65,536 octets is accepted",
    sends: [[withLine(65_536)]],
    out: "hello",
  },
  {
    rule: "RFC 9110 §5.4: a field line of 65,537 octets is refused",
    sends: [[withLine(65_537)]],
    code: 100,
  },
  {
    rule: "RFC 9110 §5.4: a header of 262,144 octets is accepted",
    sends: [[withHead(262_144)]],
    out: "hello",
  },
  {
    rule: "RFC 9110 §5.4: a header of 262,145 octets is refused",
    sends: [[withHead(262_145)]],
    code: 100,
  },
  {
    rule: "RFC 9110 §5.4: a header of 2,000 fields is accepted",
    sends: [[hello("X: a\r\n".repeat(1999) + "Content-Length: 5")]],
    out: "hello",
  },
  {
    rule: "RFC 9110 §5.4: a header of 2,001 fields is refused",
    sends: [[hello("X: a\r\n".repeat(2000) + "Content-Length: 5")]],
    code: 100,
  },
  {
    rule: "RFC 9110 §5.4: a status line that does not end is refused",
    sends: [[`HTTP/1.1 200 ${"a".repeat(100_000)}`, STAY]],
    code: 100,
  },
  {
    rule: "RFC 9110 §15.2: 100 interim responses are skipped",
    sends: [["HTTP/1.1 102 P\r\n\r\n".repeat(100) + hello("Content-Length: 5")]],
    out: "hello",
  },
  {
    rule: "RFC 9110 §15.2: 101 interim responses are refused",
    sends: [["HTTP/1.1 102 P\r\n\r\n".repeat(101) + hello("Content-Length: 5")]],
    code: 100,
  },
  {
    rule: "RFC 9112 §7.1.2: a trailer section of 65,536 octets is discarded",
    sends: [[withTrailers(65_536)]],
    out: "hello",
  },
  {
    rule: "RFC 9112 §7.1.2: a trailer section of 65,537 octets is refused",
    sends: [[withTrailers(65_537)]],
    out: "hello",
    code: 100,
    says: "The trailer section is too long",
  },
  {
    rule: "RFC 9112 §7.1.1: a chunk-size line of 16,384 octets is accepted",
    sends: [[chunked(`5;${"a".repeat(16_384 - 4)}\r\nhello\r\n0\r\n\r\n`)]],
    out: "hello",
  },
  {
    rule: "RFC 9112 §7.1.1: a chunk-size line of 16,385 octets is refused",
    sends: [[chunked(`5;${"a".repeat(16_385 - 4)}\r\nhello\r\n0\r\n\r\n`)]],
    code: 56,
    says: "Malformed chunk: its size line is too long",
  },
  {
    rule: "RFC 9112 §7.1: a chunk size of 12 digits is accepted",
    sends: [[chunked("ffffffffffff\r\nhello")]],
    out: "hello",
    code: 18,
  },
  {
    rule: "RFC 9112 §7.1: a chunk size of 13 digits is refused",
    sends: [[chunked("1000000000000\r\nhello")]],
    code: 56,
  },
];

/** RFC 9110 §15.2: interim responses. */
const INTERIM: Row[] = [
  {
    rule: "RFC 9110 §15.2: 100 (Continue) is skipped",
    sends: [["HTTP/1.1 100 Continue\r\n\r\n" + hello("Content-Length: 5")]],
    out: "hello",
  },
  {
    rule: "RFC 9110 §15.2: 103 (Early Hints) and its fields are skipped",
    sends: [[
      "HTTP/1.1 103 Early Hints\r\nLink: x\r\nContent-Length: 9\r\n\r\n" +
      hello("Content-Length: 5"),
    ]],
    out: "hello",
  },
  {
    rule: "RFC 9110 §15.2: -i prints interim responses before the final one",
    sends: [["HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + hello("Content-Length: 5")]],
    args: ["-i", "URL"],
    out: "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + hello("Content-Length: 5"),
  },
  {
    rule: "RFC 9110 §15.2: 50 interim responses are skipped",
    sends: [["HTTP/1.1 102 P\r\n\r\n".repeat(50) + hello("Content-Length: 5")]],
    out: "hello",
  },
  {
    rule: "RFC 9110 §15.2: 2,000 interim responses are refused",
    sends: [["HTTP/1.1 102 P\r\n\r\n".repeat(2000), STAY]],
    code: 100,
  },
  {
    rule: "RFC 9110 §15.2.2: 101 (Switching Protocols) without a request for it is refused",
    sends: [["HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\nbytes"]],
    code: 8,
  },
  {
    rule: "RFC 9110 §15.2.2: 101 is not skipped as other interim responses are",
    sends: [["HTTP/1.1 101 S\r\nUpgrade: x\r\n\r\n" + hello("Content-Length: 5")]],
    code: 8,
    says: "Unexpected 101",
  },
  {
    rule: "RFC 9110 §15.2: an interim response alone is not a response",
    sends: [["HTTP/1.1 100 Continue\r\n\r\n"]],
    code: 52,
  },
];

/** RFC 9112 §6.2 and §6.3: Content-Length. */
const LENGTHS: Row[] = [
  {
    rule: "RFC 9112 §6.2: Content-Length 0 is an empty body",
    sends: [[`${OK}Content-Length: 0\r\n\r\n`]],
    out: "",
  },
  {
    rule: "RFC 9112 §6.2: octets after the body are not read",
    sends: [[hello("Content-Length: 4"), STAY]],
    out: "hell",
  },
  {
    rule: "RFC 9112 §6.2: the body ends without the end of the connection",
    sends: [[hello("Content-Length: 5"), STAY]],
    out: "hello",
  },
  {
    rule: "RFC 9112 §6.2: leading zeros of a Content-Length are accepted",
    sends: [[hello("Content-Length: 0005")]],
    out: "hello",
  },
  {
    rule: "RFC 9112 §6.3: two equal Content-Length fields are one length",
    sends: [[hello("Content-Length: 5\r\nContent-Length: 5")]],
    out: "hello",
  },
  {
    rule: "RFC 9112 §6.3: a list of equal lengths is one length",
    sends: [[hello("Content-Length: 5, 5")]],
    out: "hello",
  },
  {
    rule: "RFC 9112 §6.3: two different Content-Length fields are refused",
    sends: [[hello("Content-Length: 5\r\nContent-Length: 4")]],
    code: 8,
  },
  {
    rule: "RFC 9112 §6.3: a list of different lengths is refused",
    sends: [[hello("Content-Length: 5, 4")]],
    code: 8,
  },
  {
    rule: "RFC 9112 §6.3: a list of lengths with an empty member is refused",
    sends: [[hello("Content-Length: 5,")]],
    code: 8,
  },
  {
    rule: "RFC 9110 §8.6: a Content-Length of 2^53 - 1 is accepted",
    sends: [[hello("Content-Length: 9007199254740991")]],
    out: "hello",
    code: 18,
    says: "9007199254740986 bytes missing of 9007199254740991\n",
  },
  {
    rule: "RFC 9110 §8.6: a Content-Length of 2^53 is refused",
    sends: [[hello("Content-Length: 9007199254740992")]],
    code: 8,
  },
  {
    rule: "RFC 9110 §8.6: a Content-Length of 2^64 + 5 is refused",
    sends: [[hello("Content-Length: 18446744073709551621")]],
    code: 8,
  },
  ...["", "-5", "+5", "0x5", "5e0", "5.0", "five", "5 5", "\xb2"].map((length) => (
    {
      rule: `RFC 9110 §8.6: Content-Length "${length}" is refused`,
      sends: [[hello(`Content-Length: ${length}`)]],
      code: 8,
    }
  )),
  {
    rule: "RFC 9112 §6.3: a body that ends early names the missing octets",
    sends: [[`${OK}Content-Length: 100\r\n\r\nhello, world!`]],
    out: "hello, world!",
    code: 18,
    says: "http_client: 87 bytes missing of 100\n",
  },
  {
    rule: "RFC 9112 §6.3: a body that never begins is exit 18",
    sends: [[`${OK}Content-Length: 5\r\n\r\n`]],
    code: 18,
  },
  {
    rule: "RFC 9112 §6.3: a reset inside the body is exit 18",
    sends: [[`${OK}Content-Length: 100\r\n\r\nhello`, 50, RESET]],
    args: ["-m", "5", "URL"],
    out: /hello|/,
    code: 18,
  },
];

/** RFC 9112 §6.1 and §7.1: Transfer-Encoding. */
const CHUNKED: Row[] = [
  {
    rule: "RFC 9112 §7.1: a chunked body is decoded",
    sends: [[chunked("5\r\nhello\r\n0\r\n\r\n")]],
    out: "hello",
  },
  {
    rule: "RFC 9112 §7.1: octets after the last chunk are not read",
    sends: [[chunked("5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n"), STAY]],
    out: "hello",
  },
  {
    rule: "RFC 9112 §7.1: two chunks are joined",
    sends: [[chunked("2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n")]],
    out: "hello",
  },
  {
    rule: "RFC 9112 §7.1: a chunk size may have upper-case digits",
    sends: [[chunked("A\r\n0123456789\r\n0\r\n\r\n")]],
    out: "0123456789",
  },
  {
    rule: "RFC 9112 §7.1: leading zeros of a chunk size are accepted",
    sends: [[chunked("000000000000005\r\nhello\r\n00\r\n\r\n")]],
    out: "hello",
  },
  {
    rule: "RFC 9112 §7.1.1: chunk extensions are ignored",
    sends: [[chunked('5;a=b;c="d;e"\r\nhello\r\n0;x\r\n\r\n')]],
    out: "hello",
  },
  {
    rule: "RFC 9112 §7.1: blanks after a chunk size are accepted",
    sends: [[chunked("5  \r\nhello\r\n0 ; x\r\n\r\n")]],
    out: "hello",
  },
  {
    rule: "RFC 9112 §7.1.2: trailer fields are discarded",
    sends: [[chunked("5\r\nhello\r\n0\r\nX: y\r\nContent-Length: 9\r\n\r\n")]],
    out: "hello",
  },
  {
    rule: "RFC 9112 §7.1.2: NUL in a trailer field is refused",
    sends: [[chunked("5\r\nhello\r\n0\r\nX: a\0b\r\n\r\n")]],
    out: "hello",
    code: 56,
  },
  {
    rule: "RFC 9112 §7.1: LF alone ends a line of the chunked coding",
    sends: [[chunked("5\nhello\n0\n\n")]],
    out: "hello",
  },
  { rule: "RFC 9112 §7.1: a chunked body may be empty", sends: [[chunked("0\r\n\r\n")]], out: "" },
  {
    rule:
      "RFC 9112 §7.1: the name of the coding is read in any case, empty list members are skipped",
    sends: [[`${OK}Transfer-Encoding: , ChunKED ,\r\n\r\n5\r\nhello\r\n0\r\n\r\n`]],
    out: "hello",
  },
  {
    rule: "RFC 9112 §6.1: Transfer-Encoding in HTTP/1.0 is read, and the connection ends",
    sends: [["HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", STAY]],
    out: "hello",
    hops: 1,
  },
  {
    rule: "RFC 9112 §6.3: Transfer-Encoding overrides Content-Length",
    sends: [[
      `${OK}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
    ]],
    out: "hello",
  },
  {
    rule: "RFC 9112 §7.1: a thousand chunks of one octet are joined",
    sends: [[chunked("1\r\nx\r\n".repeat(1000) + "0\r\n\r\n")]],
    out: "x".repeat(1000),
  },
  ...["5zz", "5,", "5\0", "0x5", "+5", "-5", " 5", "", "g", "5 5", "fffffffffffffffff", ";a"].map((
    size,
  ) => (
    {
      rule: `RFC 9112 §7.1: chunk size "${size}" is refused`,
      sends: [[chunked(`${size}\r\nhello\r\n0\r\n\r\n`)]],
      code: 56,
    }
  )),
  {
    rule: "RFC 9112 §7.1: a chunk size smaller than the chunk is refused",
    sends: [[chunked("3\r\nhello\r\n0\r\n\r\n")]],
    out: "hel",
    code: 56,
  },
  {
    rule: "RFC 9112 §7.1: one octet more than the chunk size is refused",
    sends: [[chunked("4\r\nhello\r\n0\r\n\r\n"), STAY]],
    out: "hell",
    code: 56,
  },
  {
    rule: "RFC 9112 §7.1.1: a chunk extension that does not end is refused",
    sends: [[chunked(`5;${"a".repeat(20_000)}`), STAY]],
    code: 56,
  },
  {
    rule: "RFC 9112 §7.1.2: trailer fields that do not end are refused",
    sends: [[chunked(`0\r\n${"X: y\r\n".repeat(20_000)}`), STAY]],
    code: 100,
  },
  {
    rule: "RFC 9112 §7.1.2: a trailer field of 70,000 octets is refused",
    sends: [[chunked(`0\r\nX: ${"y".repeat(70_000)}`), STAY]],
    code: 100,
  },
  {
    rule: "RFC 9112 §7.1: an end inside a chunk is exit 18",
    sends: [[chunked("5\r\nhel")]],
    out: "hel",
    code: 18,
  },
  {
    rule: "RFC 9112 §7.1: an end after the data of a chunk is exit 18",
    sends: [[chunked("5\r\nhello")]],
    out: "hello",
    code: 18,
  },
  {
    rule: "RFC 9112 §7.1: an end before the last chunk is exit 18",
    sends: [[chunked("5\r\nhello\r\n")]],
    out: "hello",
    code: 18,
  },
  {
    rule: "RFC 9112 §7.1: an end inside a chunk size is exit 18",
    sends: [[chunked("5\r\nhello\r\n1")]],
    out: "hello",
    code: 18,
  },
  {
    rule: "RFC 9112 §7.1.2: an end inside the trailer section is exit 18",
    sends: [[chunked("5\r\nhello\r\n0\r\nX: y\r\n")]],
    out: "hello",
    code: 18,
  },
  {
    rule: "RFC 9112 §7.1: an end before the final empty line is exit 18",
    sends: [[chunked("5\r\nhello\r\n0\r\n")]],
    out: "hello",
    code: 18,
  },
  ...["gzip, chunked", "chunked, chunked", "identity", "chunked;x", "", "xchunked"].map((
    coding,
  ) => (
    {
      rule: `RFC 9112 §6.3: Transfer-Encoding "${coding}" is refused`,
      sends: [[`${OK}Transfer-Encoding: ${coding}\r\n\r\n5\r\nhello\r\n0\r\n\r\n`]],
      code: 8,
    }
  )),
  {
    rule: "RFC 9112 §7.1: a chunk that goes on after its size is refused",
    sends: [[chunked("5\r\nhelloX\n0\r\n\r\n")]],
    out: "hello",
    code: 56,
  },
];

/** Plays a chunked body in two parts, the second one after the client has passed on some octets. */
async function inTwoParts(first: string, second: string, stdout: Streams["stdout"]) {
  using listener = Deno.listen(LOCAL);
  const written = Promise.withResolvers<void>();
  const serving = listener.accept().then(async (conn) => {
    using peer = conn;
    await peer.read(new Uint8Array(65_536));
    await send(peer, [chunked(first)]);
    await written.promise;
    await send(peer, [second]);
  });
  const write = async (octets: Uint8Array) => {
    const count = await stdout.write(octets);
    written.resolve();
    return count;
  };
  const outcome = await runHere(["-m", "5", `:${listener.addr.port}`], {
    stdout: { ...stdout, write },
  });
  written.resolve();
  await serving;
  return outcome;
}

/** Parts of a chunked body that a server sends, and what the client passes on of the first one. */
const PARTS = {
  "a part of a chunk": ["9\r\nhello", " you\r\n0\r\n\r\n"],
  "a chunk": ["5\r\nhello\r\n", "4\r\n you\r\n0\r\n\r\n"],
  "a chunk before a part of a size": ["5\r\nhello\r\n0000", "4\r\n you\r\n0\r\n\r\n"],
};

for (const [what, [first = "", second = ""]] of Object.entries(PARTS)) {
  Deno.test(`RFC 9112 §7.1: ${what} is passed on before the rest comes`, async () => {
    const pieces: string[] = [];
    const write = (octets: Uint8Array) => {
      pieces.push(toByteString(octets));
      return Promise.resolve(octets.length);
    };
    const { code, stderr } = await inTwoParts(first, second, { write, isTerminal: () => false });
    assertEquals(code, 0, stderr);
    assertEquals(pieces, ["hello", " you"]);
  });
}

Deno.test("RFC 9112 §7.1: chunks that come together are written together", async () => {
  const sends = [[chunked("1\r\nx\r\n".repeat(1_000) + "0\r\n\r\n")]];
  await using server = new ScriptedServer(sends, (text) => [text], Deno.listen(LOCAL));
  let count = 0;
  const write = (octets: Uint8Array) => (count++, Promise.resolve(octets.length));
  await runHere([`:${server.port}`], { stdout: { write, isTerminal: () => false } });
  assert(count < 100, `${count} writes`);
});

Deno.test("RFC 9112 §7.1: a chunk larger than all buffers is passed on", async () => {
  const body = "x".repeat(1_000_000);
  const sends = [[chunked(`${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`)]];
  await using server = new ScriptedServer(sends, (text) => [text], Deno.listen(LOCAL));
  const { code, stdout } = await runHere(["-m", "5", `:${server.port}`]);
  assertEquals({ code, isWhole: stdout === body }, { code: 0, isWhole: true });
});

/** RFC 9112 §6.3 and §8: the end of the connection. */
const ENDS: Row[] = [
  {
    rule: "RFC 9112 §6.3: without a length the body ends with the connection",
    sends: [[`${OK}\r\n${LONG}`]],
    out: LONG,
  },
  {
    rule: "RFC 9112 §6.3: without a length an empty body is accepted",
    sends: [[`${OK}\r\n`]],
    out: "",
  },
  {
    rule: "RFC 9112 §8: a connection that closes without an octet is exit 52",
    sends: [[]],
    code: 52,
  },
  {
    rule: "RFC 9112 §8: an end inside the status line is refused",
    sends: [["HTTP/1.1 20"]],
    code: 8,
  },
  {
    rule: "RFC 9112 §8: an end inside a field line is refused",
    sends: [[`${OK}Content-Le`]],
    code: 8,
  },
  {
    rule: "RFC 9112 §8: an end before the empty line is refused",
    sends: [[`${OK}Content-Length: 5\r\n`]],
    code: 8,
  },
];

/** RFC 9112 §6.3, rule 1: responses that have no body, whatever their fields say. */
const NO_BODY: Row[] = [
  ...["Content-Length: 5", "Transfer-Encoding: chunked", "X: y"].flatMap((field) => [
    {
      rule: `RFC 9112 §6.3: 204 with ${field} has no body`,
      sends: [[`HTTP/1.1 204 No\r\n${field}\r\n\r\n`, STAY]],
      out: "",
    },
    {
      rule: `RFC 9112 §6.3: 304 with ${field} has no body`,
      sends: [[`HTTP/1.1 304 Not\r\n${field}\r\n\r\n`, STAY]],
      out: "",
    },
    {
      rule: `RFC 9112 §6.3: the response to HEAD with ${field} has no body`,
      sends: [[`${OK}${field}\r\n\r\n`, STAY]],
      args: ["-I", "URL"],
      out: `${OK}${field}\r\n\r\n`,
      asks: [/^HEAD /],
    },
  ]),
  {
    rule: "RFC 9112 §6.3: the response to -X HEAD has no body",
    sends: [[`${OK}Content-Length: 5\r\n\r\n`, STAY]],
    args: ["-X", "HEAD", "URL"],
    out: "",
  },
  {
    rule: "RFC 9110 §15.3.7: 206 without a request for a range is refused",
    sends: [["HTTP/1.1 206 P\r\nContent-Range: bytes 0-4/9\r\nContent-Length: 5\r\n\r\nhello"]],
    code: 8,
    says: "no range was asked for",
  },
  {
    rule: "RFC 9112 §6.3: 205 is framed as any other response",
    sends: [["HTTP/1.1 205 Reset\r\nContent-Length: 0\r\n\r\n", STAY]],
    out: "",
  },
  {
    rule: "RFC 9110 §8.4: the Content-Encoding of a HEAD is not decoded",
    sends: [[`${OK}Content-Encoding: zzz\r\n\r\n`, STAY]],
    args: ["-I", "URL"],
    out: /zzz/,
    hides: /./,
  },
];

testRows([STATUS_LINES, FIELDS, INTERIM, LENGTHS, CHUNKED, ENDS, NO_BODY].flat());
testRows(LIMITS, ["at once"]);

/** Fields that the client reads, each with the beginning of a value. */
const READ_FIELDS = {
  "Connection": "",
  "Content-Length": "5",
  "Transfer-Encoding": "chunked",
  "Content-Encoding": "identity",
  "Content-Range": "bytes 0-4/5",
  "Content-Disposition": "attachment",
  "Retry-After": "1",
  "ETag": '"a"',
  "Last-Modified": "Sat, 01 Jan 2000 00:00:00 GMT",
  "Content-Type": "text/plain",
};

/** Long values, by the pattern that they repeat. */
const LONG_VALUES = [
  " ",
  "\t",
  ",",
  ", ",
  ";",
  '"',
  ';a="',
  "%",
  "%25",
  ".",
  "/",
  "\\",
  "@",
  ":1",
  "[",
  "0",
]
  .map((pattern) => `${pattern.repeat(64_000 / pattern.length)}b`);

/** Checks that a response is handled in far less than quadratic time, which would be many seconds. */
async function checkTime(response: string): Promise<void> {
  await using server = new ScriptedServer([[response]], (text) => [text], Deno.listen(LOCAL));
  const began = performance.now();
  const { stderr } = await runHere([
    "-L",
    "-J",
    "--max-redirs",
    "0",
    `http://127.0.0.1:${server.port}/`,
  ]);
  const time = performance.now() - began;
  assert(time < 2_000, `${response.slice(0, 100)} took ${time} ms`);
  assert(
    stderr.length < 2_000,
    `a message of ${stderr.length} characters: ${stderr.slice(0, 200)}`,
  );
}

for (const [name, start] of Object.entries(READ_FIELDS)) {
  Deno.test(`RFC 9110 §5.4: four long values of ${name} take linear time`, async () => {
    for (let at = 0; at < LONG_VALUES.length; at += 4) {
      const lines = LONG_VALUES.slice(at, at + 4).map((value) => `${name}: ${start}${value}\r\n`);
      await checkTime(`${OK}${lines.join("")}\r\n`);
    }
  });
}

Deno.test("RFC 9112 §4: a long reason phrase and a long status line are cut in messages", async () => {
  for (const first of ["HTTP/1.1 404 ", "HTTP/1.1 4040"]) {
    const sends = [[`${first}${"a".repeat(60_000)}\r\n\r\n`]];
    await using server = new ScriptedServer(sends, (text) => [text], Deno.listen(LOCAL));
    const { code, stderr } = await runHere(["-f", `:${server.port}`]);
    assert(code > 0 && stderr.length < 300, stderr.slice(0, 500));
  }
});

for (const start of ["", "http://127.0.0.1", "http://[", "http://[fe80::1"]) {
  Deno.test(`RFC 9110 §5.4: a long Location after "${start}" takes linear time`, async () => {
    for (const value of LONG_VALUES) await checkTime(to(start + value));
  });
}

Deno.test("RFC 9112 §5.2: many folded lines take linear time", async () => {
  for (const line of [" a\r\n", ` ${" ".repeat(60_000)}b\r\n`]) {
    const count = Math.min(1_900, Math.floor(250_000 / line.length));
    const sends = [[hello(`X: a\r\n${line.repeat(count)}Content-Length: 5`)]];
    await using server = new ScriptedServer(sends, (text) => [text], Deno.listen(LOCAL));
    const began = performance.now();
    const outcome = await runHere(["-m", "5", `:${server.port}`]);
    assertEquals(outcome.stdout, "hello", JSON.stringify(outcome));
    assert(performance.now() - began < 2_000);
  }
});
