/**
 * What a client may send (RFC 9112): request lines, versions, Host and field lines. The tables hold the
 * text of requests, and in one word each what the server does with it.
 *
 * @module
 */
import { assert } from "jsr:@std/assert@^1.0.19";
import { H, readAnswers, type Row, start, talk, testRows } from "./http_server_helpers.ts";

testRows("RFC 9112 §3", [
  ["origin form", `GET /hello.txt HTTP/1.1\r\n${H}\r\n`, "200 kept"],
  [
    "a query is not part of the file name",
    `GET /hello.txt?a=/../b HTTP/1.1\r\n${H}\r\n`,
    "200 kept",
  ],
  ["an empty query", `GET /hello.txt? HTTP/1.1\r\n${H}\r\n`, "200 kept"],
  ["HEAD has no content", `HEAD /hello.txt HTTP/1.1\r\n${H}\r\n`, "200 kept"],
  ["asterisk form with OPTIONS", `OPTIONS * HTTP/1.1\r\n${H}\r\n`, "204 kept"],
  ["OPTIONS of a file", `OPTIONS /hello.txt HTTP/1.1\r\n${H}\r\n`, "204 kept"],
  ["asterisk form with GET", `GET * HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["absolute form", `GET http://localhost/hello.txt HTTP/1.1\r\n${H}\r\n`, "200 kept"],
  [
    "absolute form with a port",
    `GET http://localhost:80/hello.txt HTTP/1.1\r\n${H}\r\n`,
    "200 kept",
  ],
  [
    "absolute form in upper case",
    `GET HTTP://LOCALHOST/hello.txt HTTP/1.1\r\n${H}\r\n`,
    "200 kept",
  ],
  ["absolute form without a path", `GET http://localhost HTTP/1.1\r\n${H}\r\n`, "200 kept"],
  [
    "absolute form with a query and no path",
    `GET http://localhost?a HTTP/1.1\r\n${H}\r\n`,
    "200 kept",
  ],
  ["absolute form with an IPv6 address", `GET http://[::1]:80/ HTTP/1.1\r\n${H}\r\n`, "200 kept"],
  ["absolute form without Host", "GET http://localhost/ HTTP/1.1\r\n\r\n", "400 close"],
  [
    "absolute form with a malformed Host",
    "GET http://localhost/ HTTP/1.1\r\nHost: a@b\r\n\r\n",
    "400 close",
  ],
  ["absolute form with userinfo", `GET http://a@localhost/ HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["absolute form without a host", `GET http:///hello.txt HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["absolute form with a port only", `GET http://:80/ HTTP/1.1\r\n${H}\r\n`, "400 close"],
  [
    "absolute form with a port that is not a number",
    `GET http://localhost:x/ HTTP/1.1\r\n${H}\r\n`,
    "400 close",
  ],
  [
    "absolute form with port 65536",
    `GET http://localhost:65536/ HTTP/1.1\r\n${H}\r\n`,
    "400 close",
  ],
  ["absolute form with a fragment", `GET http://localhost/#a HTTP/1.1\r\n${H}\r\n`, "400 close"],
  [
    "an https target without TLS gets 421",
    `GET https://localhost/ HTTP/1.1\r\n${H}\r\n`,
    "421 close",
  ],
  ["an ftp target gets 421", `GET ftp://localhost/ HTTP/1.1\r\n${H}\r\n`, "421 close"],
  [
    "a scheme that begins with a digit",
    `GET 1http://localhost/ HTTP/1.1\r\n${H}\r\n`,
    "400 close",
  ],
  ["a scheme with an underscore", `GET h_p://localhost/ HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["a scheme of every kind of letter", `GET g2+-.x://localhost/ HTTP/1.1\r\n${H}\r\n`, "421 close"],
  ["a path with the end of a scheme", `GET /a://localhost/ HTTP/1.1\r\n${H}\r\n`, "404 kept"],
  [
    "a target with a scheme and no authority",
    `GET http:hello.txt HTTP/1.1\r\n${H}\r\n`,
    "400 close",
  ],
  [
    "a refused CONNECT ends the connection",
    `CONNECT localhost:80 HTTP/1.1\r\n${H}\r\n`,
    "405 close",
  ],
  ["authority form with GET", `GET localhost:80 HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["a target without a slash", `GET hello.txt HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["a target with a fragment", `GET /hello.txt#a HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["a fragment after a query", `GET /hello.txt?a#b HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["raw UTF-8 in the path", `GET /n\xc3\xa4me HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["raw UTF-8 in the query", `GET /hello.txt?\xc3\xa4 HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["a raw octet that is not UTF-8", `GET /\xff HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["DEL in the target", `GET /hello.txt\x7f HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["NUL in the target", `GET /hello.txt\0 HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["a tab in the target", `GET /hello\t.txt HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["a space in the target", `GET /hello .txt HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["a quote in the target", `GET /"hello HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["angle brackets in the target", `GET /<hello> HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["a backslash in the target", `GET \\hello.txt HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["two spaces after the method", `GET  /hello.txt HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["two spaces before the version", `GET /hello.txt  HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["tabs in place of spaces", `GET\t/hello.txt\tHTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["a space before the method", ` GET /hello.txt HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["a space after the version", `GET /hello.txt HTTP/1.1 \r\n${H}\r\n`, "400 close"],
  ["a request line without a target", `GET HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["a request line with a method only", `GET\r\n${H}\r\n`, "400 close"],
  ["a request line without a version (HTTP/0.9)", "GET /hello.txt\r\n\r\n", "400 close"],
  ["a version in lower case", `GET /hello.txt http/1.1\r\n${H}\r\n`, "400 close"],
  ["another protocol", `GET /hello.txt HTTQ/1.1\r\n${H}\r\n`, "400 close"],
  ["a minor version of two digits", `GET /hello.txt HTTP/1.10\r\n${H}\r\n`, "400 close"],
  ["a major version of two digits", `GET /hello.txt HTTP/11.1\r\n${H}\r\n`, "400 close"],
  ["a version without a minor number", `GET /hello.txt HTTP/1\r\n${H}\r\n`, "400 close"],
  ["a version with an empty minor number", `GET /hello.txt HTTP/1.\r\n${H}\r\n`, "400 close"],
  ["a comma in the version", `GET /hello.txt HTTP/1,1\r\n${H}\r\n`, "400 close"],
  ["a space in the version", `GET /hello.txt HTTP/ 1.1\r\n${H}\r\n`, "400 close"],
  ["a letter after the version", `GET /hello.txt HTTP/1.1x\r\n${H}\r\n`, "400 close"],
  ["HTTP/1.2 is served as 1.1", `GET /hello.txt HTTP/1.2\r\n${H}\r\n`, "200 kept"],
  ["HTTP/1.9 is served as 1.1", `GET /hello.txt HTTP/1.9\r\n${H}\r\n`, "200 kept"],
  ["HTTP/2.0 gets 505", `GET /hello.txt HTTP/2.0\r\n${H}\r\n`, "505 close"],
  ["HTTP/3.0 gets 505", `GET /hello.txt HTTP/3.0\r\n${H}\r\n`, "505 close"],
  ["HTTP/0.9 gets 505", `GET /hello.txt HTTP/0.9\r\n${H}\r\n`, "505 close"],
  ["the preface of HTTP/2 gets 505", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505 close"],
  [
    "a TLS ClientHello without TLS",
    "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n",
    "400 close",
  ],
  ["an unknown method gets 501", `BREW /hello.txt HTTP/1.1\r\n${H}\r\n`, "501 kept"],
  ["get is not GET", `get /hello.txt HTTP/1.1\r\n${H}\r\n`, "501 kept"],
  ["GETX is not GET", `GETX /hello.txt HTTP/1.1\r\n${H}\r\n`, "501 kept"],
  ["any token may be a method", `G!#$%&'*+-.^_\`|~9 / HTTP/1.1\r\n${H}\r\n`, "501 kept"],
  ["a method that is not a token", `G(T /hello.txt HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["a method of 20,000 letters", `${"G".repeat(20_000)} / HTTP/1.1\r\n${H}\r\n`, "501 close"],
  ["a long method and a long target", `${"G".repeat(99)} /${"a".repeat(9_000)}`, "501 close"],
  [
    "a request line of 8,128 octets",
    `${"G".repeat(116)} /${"a".repeat(7_999)} HTTP/1.1\r\n${H}\r\n`,
    "501 kept",
  ],
  [
    "a request line of 8,129 octets",
    `${"G".repeat(117)} /${"a".repeat(7_999)} HTTP/1.1\r\n${H}\r\n`,
    "501 close",
  ],
  [
    "a target that is too long after a method of one letter",
    `G /${"a".repeat(9_000)}`,
    "414 close",
  ],
  ["a target that is too long after no method", ` /${"a".repeat(9_000)}`, "501 close"],
  [
    "a target that is too long after a method of 63 letters",
    `${"G".repeat(63)} /${"a".repeat(9_000)}`,
    "414 close",
  ],
  [
    "a target that is too long after a method of 64 letters",
    `${"G".repeat(64)} /${"a".repeat(9_000)}`,
    "501 close",
  ],
  ["POST gets 405", `POST /hello.txt HTTP/1.1\r\n${H}\r\n`, "405 kept"],
  ["PUT gets 405", `PUT /hello.txt HTTP/1.1\r\n${H}\r\n`, "405 kept"],
  ["DELETE", `DELETE /hello.txt HTTP/1.1\r\n${H}\r\n`, "405 kept"],
  ["TRACE gets 405", `TRACE /hello.txt HTTP/1.1\r\n${H}\r\n`, "405 kept"],
  ["PATCH gets 405", `PATCH /hello.txt HTTP/1.1\r\n${H}\r\n`, "405 kept"],
  ["POST to a missing file gets 405", `POST /nothing HTTP/1.1\r\n${H}\r\n`, "405 kept"],
  [
    "§2.2: an empty line before the request line",
    `\r\nGET /hello.txt HTTP/1.1\r\n${H}\r\n`,
    "200 kept",
  ],
  [
    "§2.2: two empty lines before the request line",
    `\r\n\r\nGET /hello.txt HTTP/1.1\r\n${H}\r\n`,
    "200 kept",
  ],
  [
    "§2.2: four empty lines before the request line",
    `${"\r\n".repeat(4)}GET /hello.txt HTTP/1.1\r\n${H}\r\n`,
    "200 kept",
  ],
  [
    "§2.2: five empty lines before the request line",
    `${"\r\n".repeat(5)}GET /hello.txt HTTP/1.1\r\n${H}\r\n`,
    "400 close",
  ],
  ["700 empty lines", "\r\n".repeat(700), "400 close"],
  ["a bare LF before the request line", `\nGET /hello.txt HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["a bare CR before the request line", `\rGET /hello.txt HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["§2.2: bare LFs end no lines", `GET /hello.txt HTTP/1.1\nHost: localhost\n\n`, "400 close"],
  ["a bare LF after the request line", `GET /hello.txt HTTP/1.1\n${H}\r\n`, "400 close"],
  ["a bare CR after the target", `GET /hello.txt\r HTTP/1.1\r\n${H}\r\n`, "400 close"],
  ["CR CR LF after the request line", `GET /hello.txt HTTP/1.1\r\r\n${H}\r\n`, "400 close"],
  ["a bare LF as the last line", `GET /hello.txt HTTP/1.1\r\n${H}\n`, "400 close"],
  [
    "a target of 8,000 octets",
    `GET /hello.txt?${"x".repeat(7_989)} HTTP/1.1\r\n${H}\r\n`,
    "200 kept",
  ],
  [
    "a target of 8,001 octets",
    `GET /hello.txt?${"x".repeat(7_990)} HTTP/1.1\r\n${H}\r\n`,
    "414 close",
  ],
  ["a target of 12,001 octets", `GET /${"x".repeat(12_000)} HTTP/1.1\r\n${H}\r\n`, "414 close"],
  ["a target of 300,000 octets", `GET /${"x".repeat(300_000)}`, "414 close"],
]);

testRows("RFC 9112 §9.3", [
  ["HTTP/1.0 needs no Host", "GET /hello.txt HTTP/1.0\r\n\r\n", "200 close"],
  ["HTTP/1.0 ends the connection", `GET /hello.txt HTTP/1.0\r\n${H}\r\n`, "200 close"],
  [
    "HTTP/1.0 with keep-alive keeps the connection",
    "GET /hello.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "200 kept",
  ],
  [
    "HTTP/1.0 with Keep-Alive in a list",
    "GET /hello.txt HTTP/1.0\r\nConnection: foo, Keep-Alive\r\n\r\n",
    "200 kept",
  ],
  [
    "HTTP/1.0 with keep-alive and close",
    "GET /hello.txt HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
    "200 close",
  ],
  [
    "HTTP/1.0 with keep-alive after 404",
    "GET /nothing HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "404 kept",
  ],
  ["HTTP/1.1 keeps the connection", `GET /hello.txt HTTP/1.1\r\n${H}\r\n`, "200 kept"],
  ["HTTP/1.1 keeps the connection after 404", `GET /nothing HTTP/1.1\r\n${H}\r\n`, "404 kept"],
  ["HTTP/1.1 with close", `GET /hello.txt HTTP/1.1\r\n${H}Connection: close\r\n\r\n`, "200 close"],
  ["HTTP/1.1 with CLOSE", `GET /hello.txt HTTP/1.1\r\n${H}Connection: CLOSE\r\n\r\n`, "200 close"],
  [
    "HTTP/1.1 with close in a list",
    `GET /hello.txt HTTP/1.1\r\n${H}Connection: a ,close,b\r\n\r\n`,
    "200 close",
  ],
  [
    "HTTP/1.1 with close in a second line",
    `GET /hello.txt HTTP/1.1\r\n${H}Connection: keep-alive\r\nConnection: close\r\n\r\n`,
    "200 close",
  ],
  [
    "HTTP/1.1 with closed, which is not close",
    `GET /hello.txt HTTP/1.1\r\n${H}Connection: closed, not-close\r\n\r\n`,
    "200 kept",
  ],
  [
    "HTTP/1.1 with close after 404",
    `GET /nothing HTTP/1.1\r\n${H}Connection: close\r\n\r\n`,
    "404 close",
  ],
]);

/** Values of Host that name a host, and those that do not (RFC 3986 §3.2, RFC 9110 §4.2.4). */
const HOSTS = {
  "200 kept": [
    "localhost",
    "LOCALHOST:80",
    "localhost:",
    "localhost:0",
    "localhost:65535",
    "localhost:00080",
    "localhost.",
    "127.0.0.1:8000",
    "[::1]",
    "[::1]:80",
    "[::FFFF:127.0.0.1]",
    "[v1.x:~]:80",
    "a_b.example",
    "a-b~c!$&'()*+,;=.example",
    "%41%c3%a4",
    " \t localhost \t",
  ],
  "400 close": [
    "",
    " ",
    "user@h",
    "user:password@h",
    "@h",
    "h/",
    "h/path",
    "/h",
    "h?q",
    "h#f",
    "http://h",
    "http://h/",
    'a"b',
    "a\\b",
    "a b",
    "h, h",
    "a\tb",
    "<h>",
    "{h}",
    "h^",
    "h|",
    "h`",
    "h:80:90",
    "h:port",
    "h:-1",
    "h:+80",
    "h: 80",
    "h :80",
    "h:65536",
    "h:999999999999",
    "h:000080",
    ":80",
    ":",
    "::1",
    "[::1",
    "::1]",
    "[]",
    "[::1]x",
    "[::1]80",
    "x[::1]",
    "[::g]",
    "[1:2:3]",
    "[:::]",
    "[1::2::3]",
    "[127.0.0.1]",
    "[v.x]",
    "[v1.]",
    "[vg.x]",
    "[v1.x]y",
    "[::1:80",
    "[::1%25lo]",
    "h\xe9",
    "h\xc3\xa9",
    "%",
    "%zz",
    "%4",
    "h\x7f",
    "h\x01",
    "h\0",
  ],
};

testRows(
  "RFC 9112 §3.2",
  Object.entries(HOSTS).flatMap(([want, hosts]) =>
    hosts.flatMap((host): Row[] => [
      [
        `Host ${JSON.stringify(host)} in HTTP/1.1`,
        `GET /hello.txt HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
        want,
      ],
      [
        `Host ${JSON.stringify(host)} in HTTP/1.0`,
        `GET /hello.txt HTTP/1.0\r\nConnection: keep-alive\r\nHost: ${host}\r\n\r\n`,
        want,
      ],
    ])
  ),
);

testRows("RFC 9112 §3.2", [
  ["no Host", "GET /hello.txt HTTP/1.1\r\n\r\n", "400 close"],
  ["no Host, but X-Host", "GET /hello.txt HTTP/1.1\r\nX-Host: localhost\r\n\r\n", "400 close"],
  ["no Host in OPTIONS *", "OPTIONS * HTTP/1.1\r\n\r\n", "400 close"],
  ["no Host in HTTP/1.2", "GET /hello.txt HTTP/1.2\r\n\r\n", "400 close"],
  ["hOST", "GET /hello.txt HTTP/1.1\r\nhOST: localhost\r\n\r\n", "200 kept"],
  [
    "Host without a space after the colon",
    "GET /hello.txt HTTP/1.1\r\nHost:localhost\r\n\r\n",
    "200 kept",
  ],
  [
    "Host after another field",
    "GET /hello.txt HTTP/1.1\r\nA: b\r\nHost: localhost\r\n\r\n",
    "200 kept",
  ],
  ["two equal Host fields", `GET /hello.txt HTTP/1.1\r\n${H}${H}\r\n`, "400 close"],
  [
    "two Host fields that differ",
    `GET /hello.txt HTTP/1.1\r\n${H}Host: other\r\n\r\n`,
    "400 close",
  ],
  [
    "two Host fields with another field between them",
    `GET / HTTP/1.1\r\n${H}A: b\r\nhost: other\r\n\r\n`,
    "400 close",
  ],
  [
    "two Host fields, the second one empty",
    `GET /hello.txt HTTP/1.1\r\n${H}Host:\r\n\r\n`,
    "400 close",
  ],
  ["two Host fields in HTTP/1.0", `GET /hello.txt HTTP/1.0\r\n${H}${H}\r\n`, "400 close"],
  [
    "two Host fields with the absolute form",
    `GET http://localhost/ HTTP/1.1\r\n${H}${H}\r\n`,
    "400 close",
  ],
]);

/** Field lines of this total length (octets), with Host. */
function fieldsOf(octets: number): string {
  let text = H;
  while (octets - text.length > 3_000) text += `A: ${"b".repeat(995)}\r\n`;
  return `${text}A: ${"b".repeat(octets - text.length - 5)}\r\n`;
}

testRows("RFC 9112 §5", [
  ["an empty value", `GET /hello.txt HTTP/1.1\r\n${H}A:\r\n\r\n`, "200 kept"],
  ["white space around a value", `GET /hello.txt HTTP/1.1\r\n${H}A: \t b \t \r\n\r\n`, "200 kept"],
  ["a tab within a value", `GET /hello.txt HTTP/1.1\r\n${H}A: b\tc\r\n\r\n`, "200 kept"],
  ["octets beyond ASCII", `GET /hello.txt HTTP/1.1\r\n${H}A: \x80\xe9\xff\r\n\r\n`, "200 kept"],
  ["a colon in a value", `GET /hello.txt HTTP/1.1\r\n${H}A: b:c::\r\n\r\n`, "200 kept"],
  ["every token is a name", `GET / HTTP/1.1\r\n${H}!#$%&'*+-.^_\`|~9z: b\r\n\r\n`, "200 kept"],
  ["a field named __proto__", `GET / HTTP/1.1\r\n${H}__proto__: b\r\n\r\n`, "200 kept"],
  ["a line without a colon", `GET /hello.txt HTTP/1.1\r\n${H}A\r\n\r\n`, "400 close"],
  ["a line without a name", `GET /hello.txt HTTP/1.1\r\n${H}: b\r\n\r\n`, "400 close"],
  ["§5.1: a space before the colon", `GET /hello.txt HTTP/1.1\r\n${H}A : b\r\n\r\n`, "400 close"],
  ["a tab before the colon", `GET /hello.txt HTTP/1.1\r\n${H}A\t: b\r\n\r\n`, "400 close"],
  [
    "a space before the colon of Host",
    "GET /hello.txt HTTP/1.1\r\nHost : localhost\r\n\r\n",
    "400 close",
  ],
  [
    "§2.2: a space before the first field line",
    `GET /hello.txt HTTP/1.1\r\n ${H}\r\n`,
    "400 close",
  ],
  ["§5.2: a folded line", `GET /hello.txt HTTP/1.1\r\n${H}A: b\r\n c\r\n\r\n`, "400 close"],
  ["a line folded by a tab", `GET /hello.txt HTTP/1.1\r\n${H}A: b\r\n\tc\r\n\r\n`, "400 close"],
  ["a line of white space", `GET /hello.txt HTTP/1.1\r\n${H}A: b\r\n \r\n\r\n`, "400 close"],
  ["a folded Host", "GET /hello.txt HTTP/1.1\r\nHost:\r\n localhost\r\n\r\n", "400 close"],
  ["a name in parentheses", `GET /hello.txt HTTP/1.1\r\n${H}(A): b\r\n\r\n`, "400 close"],
  ["a name with a space", `GET /hello.txt HTTP/1.1\r\n${H}A B: c\r\n\r\n`, "400 close"],
  ["a name beyond ASCII", `GET /hello.txt HTTP/1.1\r\n${H}\xc4: c\r\n\r\n`, "400 close"],
  ["NUL in a value", `GET /hello.txt HTTP/1.1\r\n${H}A: b\0c\r\n\r\n`, "400 close"],
  ["NUL in a name", `GET /hello.txt HTTP/1.1\r\n${H}A\0: b\r\n\r\n`, "400 close"],
  ["a control octet in a value", `GET /hello.txt HTTP/1.1\r\n${H}A: b\x0bc\r\n\r\n`, "400 close"],
  ["ESC in a value", `GET /hello.txt HTTP/1.1\r\n${H}A: \x1b[2J\r\n\r\n`, "400 close"],
  ["DEL in a value", `GET /hello.txt HTTP/1.1\r\n${H}A: b\x7f\r\n\r\n`, "400 close"],
  ["a bare CR in a value", `GET /hello.txt HTTP/1.1\r\n${H}A: b\rc\r\n\r\n`, "400 close"],
  ["a bare CR at the end of a value", `GET /hello.txt HTTP/1.1\r\n${H}A: b\r\r\n\r\n`, "400 close"],
  ["a bare LF in a value", `GET /hello.txt HTTP/1.1\r\n${H}A: b\nC: d\r\n\r\n`, "400 close"],
  [
    "a field hidden after a bare CR",
    `GET / HTTP/1.1\r\n${H}A: b\rConnection: close\r\n\r\n`,
    "400 close",
  ],
  ["100 fields", `GET / HTTP/1.1\r\n${H}${"A: b\r\n".repeat(99)}\r\n`, "200 kept"],
  ["101 fields", `GET / HTTP/1.1\r\n${H}${"A: b\r\n".repeat(100)}\r\n`, "431 close"],
  ["50,000 fields", `GET / HTTP/1.1\r\n${"A: b\r\n".repeat(50_000)}`, "431 close"],
  ["a header section of 16,384 octets", `GET / HTTP/1.1\r\n${fieldsOf(16_382)}\r\n`, "200 kept"],
  ["a header section of 16,385 octets", `GET / HTTP/1.1\r\n${fieldsOf(16_383)}\r\n`, "431 close"],
  ["a value of 300,000 octets", `GET / HTTP/1.1\r\n${H}A: ${"b".repeat(300_000)}`, "431 close"],
  ["a name of 300,000 octets", `GET / HTTP/1.1\r\n${H}${"b".repeat(300_000)}`, "431 close"],
]);

/** Fields that the server reads, with what comes before and after a long row of one character. */
const READ_FIELDS: readonly [name: string, before: string][] = [
  ["Connection", "a"],
  ["Transfer-Encoding", "a"],
  ["Content-Length", "1"],
  ["Expect", "a"],
  ["Accept", "a"],
  ["Accept-Encoding", "a"],
  ["Authorization", "Basic "],
  ["Range", "bytes=0-"],
  ["If-Range", '"a'],
  ["If-Match", '"a'],
  ["If-None-Match", '"a'],
  ["If-Modified-Since", "Wed, 01 Jan 2020 "],
  ["Access-Control-Request-Headers", "a"],
  ["Host", "a"],
];

for (const [name, before] of READ_FIELDS) {
  for (const filler of [" ", "\t", ",", ";", '"', "%", ".", "=", "\\", "a"]) {
    Deno.test(`linear time: ${name} with 16,000 times ${JSON.stringify(filler)}`, async () => {
      await using service = start({ credentials: "a:b", cors: true });
      const line = `${name}: ${before}${filler.repeat(16_000)}b`;
      const others = name === "Host" ? "" : H;
      const sent = `OPTIONS /bare/ HTTP/1.1\r\n${others}Connection: close\r\n${line}\r\n\r\n`;
      // Of several runs the quickest, because other work may delay one.
      let ms = Infinity;
      for (let run = 0; run < 30 && ms > 60; run++) {
        const begun = performance.now();
        readAnswers(await talk(service.port, [sent]), ["OPTIONS"]);
        ms = Math.min(ms, performance.now() - begun);
      }
      assert(ms < 60, `${ms} ms`); // 2 ms; quadratic time would be 200 ms or more
    });
  }
}
