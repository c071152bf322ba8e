/**
 * Files that the client writes: names, overwriting, and resumed downloads.
 *
 * @module
 */
import { assertEquals, assertStringIncludes } from "jsr:@std/assert@^1.0.19";
import { LOCAL, ROOT, runProgram, TLS } from "./helpers.ts";
import {
  chunked,
  coded,
  DONE,
  type FileRow,
  gz,
  hello,
  LONG,
  MEMBERS,
  named,
  OK,
  part,
  resume,
  runHere,
  ScriptedServer,
  STAY,
  testFiles,
  to,
} from "./http_client_helpers.ts";

const RANGE_REFUSED = "HTTP/1.1 416 R\r\nContent-Length: 4\r\n\r\nsorr";

const FILES: FileRow[] = [
  {
    rule: "-o: saves the body",
    sends: [[DONE]],
    args: ["-o", "f", "URL"],
    after: { f: "done" },
    asks: [/^Accept-Encoding: identity\r$/m],
  },
  {
    rule: "-o: overwrites a file",
    sends: [[DONE]],
    args: ["-o", "f", "URL"],
    before: { f: "something else" },
    after: { f: "done" },
  },
  {
    rule: "RFC 9110 §8.4: -o saves the body without decoding it",
    sends: [[coded("gzip", gz("x"))]],
    args: ["-o", "f", "URL"],
    after: { f: gz("x") },
  },
  {
    rule: "RFC 9110 §8.4: -o with --compressed saves the decoded body",
    sends: [[coded("gzip", gz("x"))]],
    args: ["--compressed", "-o", "f", "URL"],
    after: { f: "x" },
  },
  {
    rule: "-o: an empty body is an empty file",
    sends: [[`${OK}Content-Length: 0\r\n\r\n`]],
    args: ["-o", "f", "URL"],
    after: { f: "" },
  },
  {
    rule: "-o: a missing folder is exit 23",
    sends: [[DONE]],
    args: ["-o", "no/f", "URL"],
    after: {},
    code: 23,
  },
  {
    rule: "-o: a folder is exit 23",
    sends: [[DONE]],
    args: ["-o", ".", "URL"],
    after: {},
    code: 23,
  },
  {
    rule: "RFC 9110 §15.4.5: 304 leaves the file",
    sends: [["HTTP/1.1 304 Not Modified\r\n\r\n"]],
    args: ["-H", 'If-None-Match: "a"', "-o", "f", "URL"],
    before: { f: "old" },
    after: { f: "old" },
  },
  {
    rule: "-o: a failure before the body leaves the file",
    sends: [[]],
    args: ["-o", "f", "URL"],
    before: { f: "old" },
    after: { f: "old" },
    code: 52,
  },
  {
    rule: "-o: a failure by -f leaves the file",
    sends: [["HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\nsorr"]],
    args: ["-f", "-o", "f", "URL"],
    before: { f: "old" },
    after: { f: "old" },
    code: 22,
  },
  {
    rule: "-o: a body cut short is kept, and the command to resume is printed",
    sends: [[`${OK}Content-Length: 9\r\n\r\nhello`]],
    args: ["-o", "f", "URL"],
    after: { f: "hello" },
    code: 18,
    says:
      /^5 bytes kept in f; to resume: deno run -NRW http_client\.ts -C - -o f http:\/\/127.*\/\n/,
  },
  {
    rule: "-o: of a decoded body cut short nothing is called kept",
    sends: [[MEMBERS[0], 50]],
    args: ["--compressed", "-o", "f", "URL"],
    after: { f: "hello" },
    code: 18,
    says: /^http_client: \d+ bytes missing of \d+\n$/,
  },
  {
    rule: "-C: after a POST that failed nothing is called kept",
    sends: [[]],
    args: ["-d", "x", ...resume],
    before: { f: "123" },
    after: { f: "123" },
    code: 52,
    says: /^http_client: The server closed without a response\n$/,
  },
  {
    rule: "-f: with -i and -o neither header nor body is printed",
    sends: [["HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\nsorr"]],
    args: ["-fi", "-o", "f", "URL"],
    after: {},
    code: 22,
  },
  {
    rule: "-o: of a body that never begins nothing is called kept",
    sends: [[`${OK}Content-Length: 9\r\n\r\n`]],
    args: ["-o", "f", "URL"],
    after: { f: "" },
    code: 18,
    says: /^http_client: 9 bytes missing of 9\n$/,
  },
  {
    rule: "-o: the command to resume repeats options and fields, and names secrets",
    sends: [[`${OK}Content-Length: 9\r\n\r\nhello`]],
    args: [
      ...["-L4fR", "-A", "me", "-H", "X-Y: a'b", "-H", "Cookie: s3cret", "-u", "me:s3cret"],
      ...["-o", "f", "URL"],
    ],
    after: { f: "hello" },
    code: 18,
    says:
      /to resume \(with -H Cookie, -u again\): .* -L -4 -f -R -A me -H 'X-Y: a'\\''b' -C - -o f http:\/\/127[^ ]*\n/,
  },
  {
    rule: "-o: the command to resume repeats the certificate, the addresses and -6",
    sends: [[`${OK}Content-Length: 9\r\n\r\nhello`]],
    args: [
      ...["-k", "--cacert", `${TLS}ca.pem`, "--resolve", "a.test:80:127.0.0.1,[::1]"],
      ...["-x", "URL", "-U", "p:s3cret", "-o", "f", "URL"],
    ],
    after: { f: "hello" },
    code: 18,
    says: new RegExp(
      "to resume \\(with -x, -U again\\): deno run -NRW http_client\\.ts -k --cacert [^ ]*/ca\\.pem " +
        "--resolve 'a\\.test:80:127\\.0\\.0\\.1,\\[::1\\]' -C - -o f http:",
    ),
  },
  {
    rule: "--max-filesize: a body that is too large is not called kept",
    sends: [[chunked("4\r\nhell\r\n"), 100, "1\r\no\r\n0\r\n\r\n"]],
    args: ["--max-filesize", "4", "-o", "f", "URL"],
    after: { f: "hell" },
    code: 63,
    says: /^http_client: The body is larger than 4 bytes\n$/,
  },
  {
    rule: "--max-filesize: a Content-Length above the limit leaves the file",
    sends: [[DONE]],
    args: ["--max-filesize", "3", "-o", "f", "URL"],
    before: { f: "old" },
    after: { f: "old" },
    code: 63,
  },
  {
    rule: "-i: the header goes into the file of -o",
    sends: [[hello("Content-Length: 5")]],
    args: ["-i", "-o", "f", "URL"],
    after: { f: hello("Content-Length: 5") },
  },
  {
    rule: "-O: saves as the last segment of the URL",
    sends: [[DONE]],
    args: ["-O", "URLa/b.txt?q#f"],
    after: { "b.txt": "done" },
    asks: [/^Accept-Encoding: identity\r$/m],
  },
  {
    rule: "-O: a name of three dots is a name",
    sends: [[DONE]],
    args: ["-O", "URL..."],
    after: { "...": "done" },
  },
  {
    rule: "-O: decodes the name",
    sends: [[DONE]],
    args: ["-O", "URLa%20%C3%A9"],
    after: { "a é": "done" },
  },
  {
    rule: "-O: an encoded slash does not leave the folder",
    sends: [[DONE]],
    args: ["-O", "URLx/..%2f..%2fb"],
    after: { b: "done" },
  },
  {
    rule: "-O: an encoded backslash does not leave the folder",
    sends: [[DONE]],
    args: ["-O", "URLx/..%5cb"],
    after: { b: "done" },
  },
  {
    rule: '-O: control characters become "_"',
    sends: [[DONE]],
    args: ["-O", "URLa%1bb%0a"],
    after: { "a_b_": "done" },
  },
  {
    rule: "-O: does not overwrite",
    sends: [[DONE]],
    args: ["-O", "URLb"],
    before: { b: "old" },
    after: { b: "old" },
    code: 23,
    says: "not overwritten",
    hops: 0,
  },
  {
    rule: "-O: a URL without a last segment is exit 23",
    sends: [[DONE]],
    args: ["-O", "URLa/"],
    after: {},
    code: 23,
    hops: 0,
  },
  {
    rule: '-O: the name ".." is exit 23',
    sends: [[DONE]],
    args: ["-O", "URLa%2f.."],
    after: {},
    code: 23,
  },
  {
    rule: "-O: takes the name from the given URL, not from a redirection",
    sends: [[to("/other")], [DONE]],
    args: ["-LO", "URLb"],
    after: { b: "done" },
  },
  {
    rule: "RFC 6266 §4.3: -J saves under the name of Content-Disposition",
    sends: [[named('attachment; filename="c.txt"')]],
    args: ["-OJ", "URLb"],
    after: { "c.txt": "done" },
  },
  {
    rule: "RFC 6266 §4.3: -J needs no -O",
    sends: [[named("attachment; filename=c.txt; x=y")]],
    args: ["-J", "URLb"],
    after: { "c.txt": "done" },
    asks: [/^Accept-Encoding: identity\r$/m],
  },
  {
    rule: "RFC 6266 §4.3: -J prefers filename*",
    sends: [[named("attachment; filename=c; filename*=UTF-8''%e2%82%ac%20d")]],
    args: ["-J", "URLb"],
    after: { "€ d": "done" },
  },
  {
    rule: "RFC 6266 §4.3: -J reads a name in raw UTF-8",
    sends: [[named('attachment; filename="\xc3\xa9"')]],
    args: ["-J", "URLb"],
    after: { "é": "done" },
  },
  {
    rule: "RFC 6266 §4.3: -J without a Content-Disposition is -O",
    sends: [[DONE]],
    args: ["-J", "URLb"],
    after: { b: "done" },
  },
  ...Object.entries({
    "an empty filename*": "UTF-8''",
    "a filename* without charset": "d",
    "a malformed filename*": "UTF-8''%e2%8",
    "a filename* that is not UTF-8": "UTF-8''%ff",
    "a filename* with a percent sign that encodes nothing": "UTF-8''%zz",
    "a filename* of an unknown charset": "KOI8-R''%c4",
  }).map(([what, value]) => ({
    rule: `RFC 6266 §4.3: -J falls back to filename after ${what}`,
    sends: [[named(`attachment; filename*=${value}; filename=c`)]],
    args: ["-J", "URLb"],
    after: { c: "done" },
  })),
  {
    rule: "RFC 8187 §3.2.1: -J decodes filename* once",
    sends: [[named("attachment; filename*=UTF-8''%c3%83%c2%a9")]],
    args: ["-J", "URLb"],
    after: { "Ã©": "done" },
  },
  {
    rule: "RFC 8187 §3.2.1: -J reads filename* in ISO-8859-1",
    sends: [[named("attachment; filename*=iso-8859-1'en'%e9")]],
    args: ["-J", "URLb"],
    after: { "é": "done" },
  },
  {
    rule: "RFC 8187 §3.2.1: -J keeps a quote in filename*",
    sends: [[named("attachment; filename*=UTF-8''it's")]],
    args: ["-J", "URLb"],
    after: { "it's": "done" },
  },
  {
    rule: "RFC 6266 §4.3: -J does not leave the folder",
    sends: [[named('attachment; filename="../../c"')]],
    args: ["-J", "URLb"],
    after: { c: "done" },
  },
  {
    rule: "RFC 6266 §4.3: -J does not leave the folder by an encoded slash",
    sends: [[named("attachment; filename*=UTF-8''..%2f..%2fc")]],
    args: ["-J", "URLb"],
    after: { c: "done" },
  },
  {
    rule: "RFC 6266 §4.3: -J takes the last segment of a path of Windows",
    sends: [[named('attachment; filename="C:\\\\x\\\\c"')]],
    args: ["-J", "URLb"],
    after: { c: "done" },
  },
  {
    rule: "RFC 6266 §4.3: -J takes the last segment of a path of Windows without escapes",
    sends: [[named('attachment; filename="C:\\x\\c"'.replaceAll("\\\\", "\\"))]],
    args: ["-J", "URLb"],
    after: { c: "done" },
  },
  {
    rule: "RFC 6266 §4.3: -J takes the last segment of an absolute path",
    sends: [[named("attachment; filename=/etc/passwd")]],
    args: ["-J", "URLb"],
    after: { passwd: "done" },
  },
  {
    rule: "RFC 6266 §4.3: -J makes no hidden file",
    sends: [[named('attachment; filename=".bashrc"')]],
    args: ["-J", "URLb"],
    after: { bashrc: "done" },
  },
  {
    rule: 'RFC 6266 §4.3: -J of ".." is exit 23',
    sends: [[named('attachment; filename=".."')]],
    args: ["-J", "URLb"],
    after: {},
    code: 23,
  },
  {
    rule: "RFC 6266 §4.3: -J replaces control characters and bidirectional marks",
    sends: [[named('attachment; filename="a\x1b[2Jb\xe2\x80\xaec"')]],
    args: ["-J", "URLb"],
    after: { "a_[2Jb_c": "done" },
  },
  {
    rule: "RFC 6266 §4.3: -J does not overwrite",
    sends: [[named("attachment; filename=c")]],
    args: ["-J", "URLb"],
    before: { c: "old" },
    after: { c: "old" },
    code: 23,
  },
  {
    rule: "RFC 6266 §4.3: -J does not read a name inside a quoted string",
    sends: [[named('attachment; x="; filename=evil"; filename="a;b"')]],
    args: ["-J", "URLb"],
    after: { "a;b": "done" },
  },
  {
    rule: "RFC 9110 §14.2: -C appends the rest",
    sends: [[part("bytes 3-8/9", "456789")]],
    args: resume,
    before: { f: "123" },
    after: { f: "123456789" },
    asks: [/^Range: bytes=3-\r$/m],
  },
  {
    rule: "RFC 9110 §14.2: -C without a file asks for all",
    sends: [[DONE]],
    args: resume,
    after: { f: "done" },
    asks: [{ not: /Range/ }],
  },
  {
    rule: "-C: 200 is exit 33, and the file is not replaced",
    sends: [[DONE]],
    args: resume,
    before: { f: "123456789" },
    after: { f: "123456789" },
    code: 33,
    says: "Cannot resume at byte 9: the server answered 200 OK",
  },
  {
    rule: "-C: 200 of the size of the file is exit 33, too",
    sends: [[DONE]],
    args: resume,
    before: { f: "1234" },
    after: { f: "1234" },
    code: 33,
  },
  {
    rule: "-C: an empty file is written from its beginning",
    sends: [[DONE]],
    args: resume,
    before: { f: "" },
    after: { f: "done" },
    asks: [{ not: /Range/ }],
  },
  {
    rule: "-C: 404 with --fail-with-body is exit 22, and the file is not replaced",
    sends: [["HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\nsorr"]],
    args: ["--fail-with-body", ...resume],
    before: { f: "123" },
    after: { f: "123" },
    code: 22,
  },
  {
    rule: "-C: with -i a second part is appended, too",
    sends: [[part("bytes 3-8/9", "456789").slice(0, -2)], [part("bytes 7-8/9", "89")]],
    args: ["-i", "--retry", "1", ...resume],
    before: { f: "123" },
    after: { f: "123456789" },
    asks: [/./, /^Range: bytes=7-\r$/m],
  },
  {
    rule: "-C: a redirection without -L is exit 33",
    sends: [[to("/login")]],
    args: resume,
    before: { f: "123" },
    after: { f: "123" },
    code: 33,
  },
  {
    rule: "-C: with --compressed identity is asked for",
    sends: [[part("bytes 3-4/5", "45")]],
    args: ["--compressed", ...resume],
    before: { f: "123" },
    after: { f: "12345" },
    asks: [/^Accept-Encoding: identity\r\n(.*\r\n)*Range: bytes=3-\r$/m],
  },
  {
    rule: "RFC 9110 §8.8.2: -C does not append to a file that is older than Last-Modified",
    sends: [[part("bytes 3-4/5", "45", "Last-Modified: Fri, 01 Jan 2100 00:00:00 GMT\r\n")]],
    args: resume,
    before: { f: "123" },
    after: { f: "123" },
    code: 33,
    says: "the server's file is newer",
  },
  {
    rule: "RFC 9110 §8.8.2: -C appends to a file that is newer than Last-Modified",
    sends: [[part("bytes 3-4/5", "45", "Last-Modified: Sat, 01 Jan 2000 00:00:00 GMT\r\n")]],
    args: resume,
    before: { f: "123" },
    after: { f: "12345" },
  },
  ...["bytes 3-4/3", "bytes 3-4/4", "bytes 3-2/5", "bytes 3-5/9"].map((range) => ({
    rule: `RFC 9110 §14.4: -C does not append two octets of "${range}"`,
    sends: [[part(range, "45")]],
    args: resume,
    before: { f: "123" },
    after: { f: "123" },
    code: 33,
  })),
  {
    rule: "RFC 9110 §14.4: -C does not append the nothing of a range that ends before it begins",
    sends: [[part("bytes 3-2/5", "")]],
    args: resume,
    before: { f: "123" },
    after: { f: "123" },
    code: 33,
  },
  {
    rule: "RFC 9110 §14.4: -C stops at the total of a chunked 206",
    sends: [[
      "HTTP/1.1 206 P\r\nContent-Range: bytes 3-4/5\r\nTransfer-Encoding: chunked\r\n\r\n" +
      "3\r\n456\r\n0\r\n\r\n",
    ]],
    args: resume,
    before: { f: "123" },
    after: { f: "123" },
    code: 18,
  },
  {
    rule: "-C: 200 after a part of this run is exit 33, because an earlier run saved the beginning",
    sends: [[part("bytes 3-8/9", "456789", 'ETag: "a"\r\n').slice(0, -2)], [DONE]],
    args: ["--retry", "1", ...resume],
    before: { f: "123" },
    after: { f: "1234567" },
    code: 33,
    asks: [{ not: /If-Range/ }, /^If-Range: "a"\r$/m],
  },
  {
    rule: "RFC 9110 §14.4: -C does not append a 206 that begins elsewhere",
    sends: [[part("bytes 2-8/9", "3456789")]],
    args: resume,
    before: { f: "123" },
    after: { f: "123" },
    code: 33,
  },
  {
    rule: "RFC 9110 §14.4: -C does not append a 206 without Content-Range",
    sends: [["HTTP/1.1 206 P\r\nContent-Length: 3\r\n\r\n456"]],
    args: resume,
    before: { f: "123" },
    after: { f: "123" },
    code: 33,
  },
  {
    rule: "RFC 9110 §14.4: -C does not append a 206 that is longer than its range",
    sends: [[part("bytes 3-8/9", "456789!")]],
    args: resume,
    before: { f: "123" },
    after: { f: "123" },
    code: 33,
  },
  {
    rule: "RFC 9110 §14.4: -C with -i writes no header into the file",
    sends: [[part("bytes 3-8/9", "456789")]],
    args: ["-i", ...resume],
    before: { f: "123" },
    after: { f: "123456789" },
  },
  {
    rule: "RFC 9110 §14.4: -C does not append a 206 in another unit",
    sends: [[part("lines 3-8/9", "456789")]],
    args: resume,
    before: { f: "123" },
    after: { f: "123" },
    code: 33,
  },
  {
    rule: "RFC 9110 §14.4: -C reports a 206 that is shorter than the rest",
    sends: [[part("bytes 3-5/9", "456")]],
    args: resume,
    before: { f: "123" },
    after: { f: "123456" },
    code: 18,
    says: "3 bytes missing of 9",
  },
  {
    rule: "RFC 9110 §14.4: -C appends a 206 of unknown total",
    sends: [[part("bytes 3-5/*", "456")]],
    args: resume,
    before: { f: "123" },
    after: { f: "123456" },
  },
  {
    rule: "RFC 9110 §15.5.17: -C of a complete file is exit 0 on 416",
    sends: [["HTTP/1.1 416 R\r\nContent-Range: bytes */3\r\nContent-Length: 4\r\n\r\nsorr"]],
    args: resume,
    before: { f: "123" },
    after: { f: "123" },
  },
  {
    rule: "RFC 9110 §15.5.17: -C of a complete file is exit 0 on 416 with -f",
    sends: [["HTTP/1.1 416 R\r\nContent-Range: bytes */3\r\nContent-Length: 4\r\n\r\nsorr"]],
    args: ["-f", ...resume],
    before: { f: "123" },
    after: { f: "123" },
  },
  {
    rule: "RFC 9110 §15.5.17: -C of a file of another size is exit 33 on 416",
    sends: [["HTTP/1.1 416 R\r\nContent-Range: bytes */2\r\nContent-Length: 4\r\n\r\nsorr"]],
    args: resume,
    before: { f: "123" },
    after: { f: "123" },
    code: 33,
  },
  {
    rule: "RFC 9110 §15.5.17: -C asks for the size by HEAD after 416 without one",
    sends: [[RANGE_REFUSED], [`${OK}Content-Length: 3\r\n\r\n`, STAY]],
    args: resume,
    before: { f: "123" },
    after: { f: "123" },
    asks: [
      /^GET [^]*^Range: bytes=3-\r$/m,
      /^HEAD (?![^]*^(If-)?Range)[^]*^Accept-Encoding: identity/m,
    ],
    hops: 2,
  },
  ...Object.entries({
    "another size": `${OK}Content-Length: 4\r\n\r\n`,
    "no size": `${OK}\r\n`,
    "a failure": "HTTP/1.1 404 No\r\nContent-Length: 3\r\n\r\n",
  }).map(([what, head]) => ({
    rule: `RFC 9110 §15.5.17: -C is exit 33 after 416 and a HEAD of ${what}`,
    sends: [[RANGE_REFUSED], [head]],
    args: resume,
    before: { f: "123" },
    after: { f: "123" },
    code: 33,
  })),
  {
    rule: "-C: 404 is exit 33",
    sends: [["HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\nsorr"]],
    args: resume,
    before: { f: "123" },
    after: { f: "123" },
    code: 33,
  },
  {
    rule: "-C: 404 with -f is exit 22",
    sends: [["HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\nsorr"]],
    args: ["-f", ...resume],
    before: { f: "123" },
    after: { f: "123" },
    code: 22,
  },
  {
    rule: "RFC 9110 §14.2: -C works with -O",
    sends: [[part("bytes 3-4/5", "45")]],
    args: ["-C", "-", "-O", "URLb"],
    before: { b: "123" },
    after: { b: "12345" },
  },
  {
    rule: "RFC 9110 §14.2: -C sends Range after a redirection, too",
    sends: [[to("/x")], [part("bytes 3-4/5", "45")]],
    args: ["-L", ...resume],
    before: { f: "123" },
    after: { f: "12345" },
    asks: [/^Range/m, /^Range: bytes=3-\r$/m],
  },
  {
    rule: "RFC 9110 §14.2: -C keeps what came when it is cut short again",
    sends: [[part("bytes 3-8/9", "456789").slice(0, -2)]],
    args: resume,
    before: { f: "123" },
    after: { f: "1234567" },
    code: 18,
  },
  {
    rule: "-d: line ends and NULs of @FILE are dropped",
    sends: [[DONE]],
    args: ["-d", "@f", "URL"],
    before: { f: "a=b\r\nc\0\n" },
    after: { f: "a=b\r\nc\0\n" },
    out: "done",
    asks: [/\r\n\r\na=bc$/],
  },
];

/** Four octets of nine, modified at midnight and sent at a time of the same day. */
const dated = (time: string, more: string) =>
  `${OK}Date: Sat, 01 Jan 2000 ${time} GMT\r\nLast-Modified: Sat, 01 Jan 2000 00:00:00 GMT\r\n` +
  `${more}Content-Length: 9\r\n\r\n1234`;

/** Attempts after the first one. */
const RETRIES: FileRow[] = [
  {
    rule: "RFC 9110 §14.2: --retry resumes where the body broke off",
    sends: [[`${OK}ETag: "v1"\r\nContent-Length: 9\r\n\r\n1234`], [part("bytes 4-8/9", "56789")]],
    args: ["--retry", "2", "-o", "f", "URL"],
    after: { f: "123456789" },
    asks: [{ not: /Range/ }, /^Range: bytes=4-\r\nIf-Range: "v1"\r$/m],
    hops: 2,
  },
  {
    rule: "RFC 9110 §13.1.5: --retry starts again when If-Range is answered by 200",
    sends: [[`${OK}ETag: "v1"\r\nContent-Length: 9\r\n\r\n1234`], [DONE]],
    args: ["--retry", "2", "-o", "f", "URL"],
    after: { f: "done" },
    asks: [/./, /^If-Range: "v1"\r$/m],
    hops: 2,
  },
  {
    rule: "RFC 9110 §14.2: --retry starts again on 200 of the same size",
    sends: [[`${OK}Content-Length: 9\r\n\r\n1234`], [`${OK}Content-Length: 9\r\n\r\nabcdefghi`]],
    args: ["--retry", "2", "-o", "f", "URL"],
    after: { f: "abcdefghi" },
    hops: 2,
  },
  {
    rule: "RFC 9110 §15.3.7.3: --retry keeps what it has on 200 of another size without If-Range",
    sends: [[`${OK}Content-Length: 9\r\n\r\n1234`], [DONE]],
    args: ["--retry", "2", "-o", "f", "URL"],
    after: { f: "1234" },
    code: 33,
    says: "its size changed from 9 to 4",
  },
  ...Object.entries({
    "total": ["Content-Length: 9", "bytes 4-9/10", "567890", ""],
    "Last-Modified": [
      "Last-Modified: Sat, 01 Jan 2000 00:00:00 GMT\r\nContent-Length: 9",
      "bytes 4-8/9",
      "56789",
      "Last-Modified: Sat, 01 Jan 2000 00:00:01 GMT\r\n",
    ],
    "weak ETag": ['ETag: W/"1"\r\nContent-Length: 9', "bytes 4-8/9", "56789", 'ETag: W/"2"\r\n'],
  }).map(([what, [head = "", range = "", body = "", more = ""]]) => ({
    rule: `RFC 9110 §15.3.7.3: --retry does not append a part of another ${what}`,
    sends: [[`${OK}${head}\r\n\r\n1234`], [part(range, body, more)]],
    args: ["--retry", "1", "-o", "f", "URL"],
    after: { f: "1234" },
    code: 33,
  })),
  {
    rule: "RFC 9110 §15.3.7.3: --retry appends a part of the same weak ETag",
    sends: [[`${OK}ETag: W/"1"\r\nContent-Length: 9\r\n\r\n1234`], [
      part("bytes 4-8/9", "56789", 'ETag: W/"1"\r\n'),
    ]],
    args: ["--retry", "1", "-o", "f", "URL"],
    after: { f: "123456789" },
  },
  {
    rule: "RFC 9110 §15.5.17: --retry is exit 33 on 416 of a file that shrank to the part",
    sends: [[`${OK}Content-Length: 9\r\n\r\n1234`], [
      "HTTP/1.1 416 R\r\nContent-Range: bytes */4\r\nContent-Length: 0\r\n\r\n",
    ]],
    args: ["--retry", "1", "-o", "f", "URL"],
    after: { f: "1234" },
    code: 33,
    says: "the server's file has 4 bytes",
  },
  {
    rule: "RFC 9110 §15.5.17: --retry is exit 0 on 416 if only the last chunk was missing",
    sends: [[chunked("4\r\n1234\r\n")], [
      "HTTP/1.1 416 R\r\nContent-Range: bytes */4\r\nContent-Length: 0\r\n\r\n",
    ]],
    args: ["--retry", "1", "-o", "f", "URL"],
    after: { f: "1234" },
  },
  {
    rule: "RFC 9110 §14.2: --retry resumes a chunked body, whose total is unknown",
    sends: [[chunked("4\r\n1234\r\n")], [part("bytes 4-8/9", "56789")]],
    args: ["--retry", "1", "-o", "f", "URL"],
    after: { f: "123456789" },
  },
  {
    rule: "RFC 9110 §8.8.2.2: --retry sends a Last-Modified a second before Date as If-Range",
    sends: [[dated("00:00:01", "")], [part("bytes 4-8/9", "56789")]],
    args: ["--retry", "1", "-o", "f", "URL"],
    after: { f: "123456789" },
    asks: [/./, /^If-Range: Sat, 01 Jan 2000 00:00:00 GMT\r$/m],
  },
  {
    rule: "RFC 9110 §8.8.2.2: --retry sends no If-Range with a Last-Modified equal to Date",
    sends: [[dated("00:00:00", "")], [part("bytes 4-8/9", "56789")]],
    args: ["--retry", "1", "-o", "f", "URL"],
    after: { f: "123456789" },
    asks: [/./, { not: /If-Range/ }],
  },
  {
    rule: "RFC 9110 §13.1.5: --retry sends no date in If-Range where there is an ETag",
    sends: [[dated("00:00:01", 'ETag: W/"1"\r\n')], [part("bytes 4-8/9", "56789")]],
    args: ["--retry", "1", "-o", "f", "URL"],
    after: { f: "123456789" },
    asks: [/./, { not: /If-Range/ }],
  },
  {
    rule: "RFC 9110 §13.1.5: --retry sends the ETag of the file that it has started again",
    sends: [
      [`${OK}ETag: "v1"\r\nContent-Length: 9\r\n\r\nabcd`],
      [`${OK}ETag: "v2"\r\nContent-Length: 9\r\n\r\n1234`],
      [part("bytes 4-8/9", "56789")],
    ],
    args: ["--retry", "2", "-o", "f", "URL"],
    after: { f: "123456789" },
    asks: [/./, /^If-Range: "v1"\r$/m, /^If-Range: "v2"\r$/m],
  },
  {
    rule: "--retry: 404 is exit 33, and what came before is kept",
    sends: [[`${OK}Content-Length: 9\r\n\r\n1234`], [
      "HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\nsorr",
    ]],
    args: ["--retry", "1", "-o", "f", "URL"],
    after: { f: "1234" },
    code: 33,
    says: "Cannot resume at byte 4: the server answered 404 No",
  },
  {
    rule: "RFC 9110 §15.3.7.3: --retry cuts a long ETag in its message",
    sends: [[`${OK}ETag: ${"a".repeat(300)}\r\nContent-Length: 9\r\n\r\n1234`], [
      part("bytes 4-8/9", "56789", `ETag: ${"b".repeat(300)}\r\n`),
    ]],
    args: ["--retry", "1", "-o", "f", "URL"],
    after: { f: "1234" },
    code: 33,
    says: `its ETag changed from ${"a".repeat(200)} to ${"b".repeat(200)}\n`,
  },
  {
    rule: "--retry: 404 with --fail-with-body keeps what came before",
    sends: [[`${OK}Content-Length: 9\r\n\r\n1234`], [
      "HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\nsorr",
    ]],
    args: ["--fail-with-body", "--retry", "1", "-o", "f", "URL"],
    after: { f: "1234" },
    code: 22,
  },
  {
    rule: "RFC 9110 §14.2: --retry gives up after its last attempt",
    sends: [[`${OK}Content-Length: 9\r\n\r\n1234`], [part("bytes 4-8/9", "56789").slice(0, -4)]],
    args: ["--retry", "1", "-o", "f", "URL"],
    after: { f: "12345" },
    code: 18,
    hops: 2,
  },
  {
    rule: "RFC 9110 §14.2: --retry with -O resumes its own file",
    sends: [[`${OK}Content-Length: 9\r\n\r\n1234`], [part("bytes 4-8/9", "56789")]],
    args: ["--retry", "1", "-O", "URLb"],
    after: { b: "123456789" },
  },
  {
    rule: "--retry: tries again after -m",
    sends: [[STAY], [DONE]],
    args: ["--retry", "1", "-m", "0.5", "-o", "f", "URL"],
    after: { f: "done" },
    hops: 2,
  },
  {
    rule: "RFC 9110 §14.2: --retry starts a decoded body again",
    sends: [[coded("gzip", gz(LONG)).slice(0, -9)], [coded("gzip", gz(LONG))]],
    args: ["--retry", "1", "--compressed", "-o", "f", "URL"],
    after: { f: LONG },
    asks: [/./, { not: /Range/ }],
    hops: 2,
  },
  {
    rule: "RFC 9110 §14.2: --retry does not append a compressed rest",
    sends: [[`${OK}Content-Length: 9\r\n\r\n1234`], [
      part("bytes 4-8/9", "56789", "Content-Encoding: gzip\r\n"),
    ]],
    args: ["--retry", "1", "--compressed", "-o", "f", "URL"],
    after: { f: "1234" },
    code: 33,
    asks: [/gzip, deflate/, /^Accept-Encoding: identity\r$/m],
  },
  {
    rule: "RFC 9110 §15.3.7.3: --retry does not append a part of another ETag",
    sends: [[`${OK}ETag: "v1"\r\nContent-Length: 9\r\n\r\n1234`], [
      part("bytes 4-8/9", "56789", 'ETag: "v2"\r\n'),
    ]],
    args: ["--retry", "1", "-o", "f", "URL"],
    after: { f: "1234" },
    code: 33,
  },
  {
    rule: "RFC 9110 §13.1.5: --retry sends the ETag of the first response each time",
    sends: [
      [`${OK}ETag: "v1"\r\nContent-Length: 9\r\n\r\n1234`],
      [part("bytes 4-8/9", "56789").slice(0, -4)],
      [part("bytes 5-8/9", "6789")],
    ],
    args: ["--retry", "2", "-o", "f", "URL"],
    after: { f: "123456789" },
    asks: [/./, /^If-Range: "v1"\r$/m, /^Range: bytes=5-\r\nIf-Range: "v1"\r$/m],
  },
  {
    rule: "RFC 9110 §14.2: --retry of -r asks for the same range again",
    sends: [[part("bytes 2-5/9", "3456").slice(0, -2)], [part("bytes 2-5/9", "3456")]],
    args: ["--retry", "1", "-r", "2-5", "-o", "f", "URL"],
    after: { f: "3456" },
    asks: [/^Range: bytes=2-5\r$/m, { not: /bytes=2-\r/ }],
    hops: 2,
  },
  {
    rule: "RFC 9110 §14.2: --retry does not resume an error page",
    sends: [["HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\nso"], [DONE]],
    args: ["--retry", "1", "-o", "f", "URL"],
    after: { f: "done" },
    asks: [/./, { not: /Range/ }],
  },
  {
    rule: "RFC 9110 §14.2: --retry does not resume a POST",
    sends: [[`${OK}Content-Length: 4\r\n\r\ndo`], [DONE]],
    args: ["--retry", "1", "-d", "x", "-o", "f", "URL"],
    after: { f: "done" },
    asks: [/./, { not: /Range/ }],
  },
  {
    rule: "RFC 9110 §13.1.5: --retry sends no If-Range with a weak ETag",
    sends: [[`${OK}ETag: W/"v1"\r\nContent-Length: 9\r\n\r\n1234`], [part("bytes 4-8/9", "56789")]],
    args: ["--retry", "2", "-o", "f", "URL"],
    after: { f: "123456789" },
    asks: [/./, { not: /If-Range/ }],
  },
];

testFiles([FILES, RETRIES].flat());

Deno.test("a missing --allow-write is named in the message", async () => {
  await using server = new ScriptedServer([[DONE]], (text) => [text], Deno.listen(LOCAL));
  const args = ["-o", "f", `:${server.port}`];
  const { stderr, code } = await runProgram("http_client.ts", args, { allow: ["--allow-net"] });
  assertStringIncludes(stderr, "--allow-write");
  assertEquals(code, 23);
});

Deno.test("the command to resume works as pasted, also with a quote in the file name", async () => {
  const folder = await Deno.makeTempDir();
  const sends = [[`${OK}Content-Length: 9\r\n\r\nhello`], [part("bytes 5-8/9", ", no")]];
  await using server = new ScriptedServer(sends, (text) => [text], Deno.listen(LOCAL));
  const path = `${folder}/it's "$(touch evil)`;
  const { stderr } = await runHere(["-o", path, `:${server.port}`]);
  const [, command = ""] = /to resume: (.*)\n/.exec(stderr) ?? [];
  const deno = command.replace("deno run", `'${Deno.execPath()}' run`);
  const shell = new Deno.Command("sh", { args: ["-c", deno], cwd: ROOT });
  const { code, stderr: errors } = await shell.output();
  assertEquals(code, 0, `${command}: ${new TextDecoder().decode(errors)}`);
  assertEquals(await Deno.readTextFile(path), "hello, no");
  await Deno.remove(folder, { recursive: true });
});

Deno.test("the command to resume does not repeat user and password of the URL", async () => {
  const path = await Deno.makeTempFile();
  const sends = [[`${OK}Content-Length: 9\r\n\r\nhello`]];
  await using server = new ScriptedServer(sends, (text) => [text], Deno.listen(LOCAL));
  const { stderr } = await runHere(["-o", path, `http://me:s3cret@127.0.0.1:${server.port}/`]);
  await Deno.remove(path);
  const url = `http://127.0.0.1:${server.port}/`;
  assertStringIncludes(stderr, "to resume (with -u again): deno run -NRW http_client.ts -C - -o");
  assertStringIncludes(stderr, ` ${url}\n`);
});

const undated = hello("Content-Length: 5");
for (
  const [rule, args, response, kept] of [
    ["-R: the file gets the time of Last-Modified", ["-R"], DONE, false],
    ["-R: a body cut short keeps its own time", ["-R"], DONE.slice(0, -1), true],
    ["without -R the file keeps its own time", [], DONE, true],
    ["-R: without Last-Modified the file keeps its own time", ["-R"], undated, true],
  ] as const
) {
  Deno.test(rule, async () => {
    const path = await Deno.makeTempFile();
    const modified = "Last-Modified: Sat, 01 Jan 2000 00:00:00 GMT\r\n";
    const sends = [[response === undated ? response : response.replace("\r\n", `\r\n${modified}`)]];
    await using server = new ScriptedServer(sends, (text) => [text], Deno.listen(LOCAL));
    const { code } = await runHere([...args, "-o", path, `:${server.port}`]);
    assertEquals(code, response.endsWith("don") ? 18 : 0);
    const { mtime } = await Deno.stat(path);
    const isOld = mtime?.getTime() === Date.UTC(2000, 0, 1);
    assertEquals(isOld, !kept, `${mtime}`);
    await Deno.remove(path);
  });
}

Deno.test("RFC 9110 §8.8.2: -C appends to a file that is as old as Last-Modified, as -R makes it", async () => {
  const path = await Deno.makeTempFile();
  await Deno.writeTextFile(path, "123");
  await Deno.utime(path, Date.UTC(2000, 0, 1) / 1000, Date.UTC(2000, 0, 1) / 1000);
  const modified = "Last-Modified: Sat, 01 Jan 2000 00:00:00 GMT\r\n";
  const sends = [[part("bytes 3-4/5", "45", modified)]];
  await using server = new ScriptedServer(sends, (text) => [text], Deno.listen(LOCAL));
  const { code, stderr } = await runHere(["-C", "-", "-o", path, `:${server.port}`]);
  assertEquals(code, 0, stderr);
  assertEquals(await Deno.readTextFile(path), "12345");
  await Deno.remove(path);
});

Deno.test("-O: needs no permission to read", async () => {
  const folder = await Deno.makeTempDir();
  await using server = new ScriptedServer([[DONE]], (text) => [text], Deno.listen(LOCAL));
  const allow = ["--allow-net", "--allow-write"];
  const args = ["-O", `http://127.0.0.1:${server.port}/b`];
  const first = await runProgram("http_client.ts", args, { allow, cwd: folder });
  assertEquals(first.code, 0, first.stderr);
  const second = await runProgram("http_client.ts", args, { allow, cwd: folder });
  assertEquals(second.code, 23, second.stderr);
  await Deno.remove(folder, { recursive: true });
});
