/**
 * The request (RFC 9112 §3): method, fields, credentials and body.
 *
 * @module
 */
import { DONE, OK, type Row, STAY, testRows, to } from "./http_client_helpers.ts";

/** Options, and the request that they make. */
const REQUESTS: Row[] = [
  {
    rule: "RFC 9112 §3: a GET has request line, Host, User-Agent and Accept",
    sends: [[DONE]],
    out: "done",
    asks: [
      /^GET \/ HTTP\/1.1\r\nHost: 127.0.0.1:\d+\r\nUser-Agent: http_client\/[\d.]+\r\nAccept: \*\/\*\r\n/,
    ],
  },
  {
    rule: 'URL: localhost:PORT/PATH has no scheme "localhost"',
    sends: [[DONE]],
    args: ["localhost:PORT/a"],
    out: "done",
    asks: [/Host: localhost:/],
  },
  {
    rule: "RFC 9112 §3: -X sets the method",
    sends: [[DONE]],
    args: ["-X", "DELETE", "URL"],
    out: "done",
    asks: [/^DELETE /],
  },
  {
    rule: '-d: is a POST of a form, parts joined by "&"',
    sends: [[DONE]],
    args: ["-d", "a=b", "-d", "c=d", "URL"],
    out: "done",
    asks: [
      /^POST [^]*Content-Type: application\/x-www-form-urlencoded\r\n[^]*Content-Length: 7\r\n\r\na=b&c=d$/,
    ],
  },
  {
    rule: "-d: DATA keeps its line ends",
    sends: [[DONE]],
    args: ["-d", "a\r\nb\n", "URL"],
    out: "done",
    asks: [/\r\n\r\na\r\nb\n$/],
  },
  {
    rule: "RFC 9110 §8.3: a GET has no Content-Type",
    sends: [[DONE]],
    out: "done",
    asks: [{ not: /^Content-|^Proxy-/mi }],
  },
  {
    rule: "RFC 9110 §8.6: POST without a body has Content-Length 0",
    sends: [[DONE]],
    args: ["-X", "POST", "URL"],
    out: "done",
    asks: [/^Content-Length: 0\r$/m],
  },
  {
    rule: "RFC 9110 §8.6: an empty -d has Content-Length 0",
    sends: [[DONE]],
    args: ["-d", "", "URL"],
    out: "done",
    asks: [/^POST [^]*Content-Length: 0\r/],
  },
  {
    rule: "RFC 9110 §8.6: Content-Length counts octets, not characters",
    sends: [[DONE]],
    args: ["-d", "é", "URL"],
    out: "done",
    asks: [/Content-Length: 2\r/],
  },
  {
    rule: "-H: adds, replaces and removes fields",
    sends: [[DONE]],
    args: ["-H", "X-A: 1", "-H", "accept: b/c", "-H", "User-Agent:", "-H", "X-E;", "URL"],
    out: "done",
    asks: [/^X-A: 1\r\naccept: b\/c\r\nX-E: \r$/m],
  },
  {
    rule: "-H: the first colon ends the name",
    sends: [[DONE]],
    args: ["-H", "X-T: a:b;c", "-H", "X-U;", "URL"],
    out: "done",
    asks: [/^X-T: a:b;c\r\nX-U: \r$/m],
  },
  {
    rule: "-I: with -X GET the body is not read",
    sends: [[`${OK}Content-Length: 4\r\n\r\n`, STAY]],
    args: ["-I", "-X", "GET", "-m", "5", "URL"],
    out: `${OK}Content-Length: 4\r\n\r\n`,
    asks: [/^GET /],
  },
  {
    rule: "RFC 9112 §3.2: Host is host and port of the URL, without user and password",
    sends: [[DONE]],
    args: ["http://ann:s3cret@127.0.0.1:PORT/"],
    out: "done",
    asks: [/^GET \/ HTTP\/1\.1\r\nHost: 127\.0\.0\.1:\d+\r\n/],
  },
  {
    rule: "RFC 9110 §4.2.4: user and password of the URL are sent in Authorization only",
    sends: [[DONE]],
    args: ["http://ann:s3cret@127.0.0.1:PORT/"],
    out: "done",
    asks: [{ not: /ann|s3cret/ }],
  },
  {
    rule: "RFC 9110 §7.2: -H replaces Host",
    sends: [[DONE]],
    args: ["-H", "Host: h.example", "URL"],
    out: "done",
    asks: [/^Host: h.example\r$/m],
  },
  {
    rule: "RFC 9110 §5.3: a field of -H is not sent twice",
    sends: [[DONE]],
    args: ["-H", "accept: a/b", "URL"],
    out: "done",
    asks: [{ not: /^accept:[^]*^accept:/mi }],
  },
  {
    rule: "RFC 9110 §10.1.1: a request without content has no Expect",
    sends: [[DONE]],
    args: ["-X", "POST", "URL"],
    out: "done",
    asks: [{ not: /^Expect:/mi }],
  },
  {
    rule: "RFC 9112 §7.4: a request has no TE",
    sends: [[DONE]],
    out: "done",
    asks: [{ not: /^TE:/mi }],
  },
  {
    rule: "RFC 9110 §10.1.5: -A sets User-Agent",
    sends: [[DONE]],
    args: ["-A", "me/1", "URL"],
    out: "done",
    asks: [/^User-Agent: me\/1\r$/m],
  },
  {
    rule: "RFC 9110 §10.1.5: an empty -A sends no User-Agent",
    sends: [[DONE]],
    args: ["-A", "", "URL"],
    out: "done",
    asks: [{ not: /User-Agent/ }],
  },
  {
    rule: "RFC 9110 §14.2: -r -2 asks for the last two octets",
    sends: [["HTTP/1.1 206 P\r\nContent-Range: bytes 3-4/5\r\nContent-Length: 2\r\n\r\nlo"]],
    args: ["-r", "-2", "URL"],
    out: "lo",
    asks: [/^Range: bytes=-2\r$/m],
  },
  ...Object.entries({
    "0-2": ["bytes 0-2/9", "0-2/5"],
    "3-": ["bytes 3-8/9"],
    "3-99": ["bytes 3-8/9"],
    "-2": ["bytes 7-8/9", "bytes 7-8/*"],
    "-99": ["bytes 0-8/9"],
    "0-1,3-4": ["bytes 0-4/9"],
  }).flatMap(([asked, ranges]) =>
    ranges.map((range) => ({
      rule: `RFC 9110 §14.4: "${range}" is accepted as the answer to -r ${asked}`,
      sends: [[`HTTP/1.1 206 P\r\nContent-Range: ${range}\r\nContent-Length: 2\r\n\r\nlo`]],
      args: ["-r", asked, "URL"],
      out: "lo",
      hides: /./,
    }))
  ),
  ...Object.entries({ "0-2": "bytes 1-3/9", "3-": "bytes 3-7/9", "-2": "bytes 0-1/9" }).map((
    [asked, range],
  ) => ({
    rule: `RFC 9110 §14.4: "${range}" is noted as another range than -r ${asked}`,
    sends: [[`HTTP/1.1 206 P\r\nContent-Range: ${range}\r\nContent-Length: 2\r\n\r\nlo`]],
    args: ["-r", asked, "URL"],
    out: "lo",
    says: /^warning: the server sent bytes \d-\d, not /,
  })),
  ...["0-2", "0-1,3-4"].map((asked) => ({
    rule:
      `RFC 9110 §14.6: a 206 without Content-Range, as of several parts, is accepted for -r ${asked}`,
    sends: [["HTTP/1.1 206 P\r\nContent-Type: multipart/byteranges; boundary=a\r\n\r\nlo"]],
    args: ["-r", asked, "URL"],
    out: "lo",
    hides: /./,
  })),
  {
    rule: "RFC 9110 §14.2: -r that is answered by the whole file is noted",
    sends: [[DONE]],
    args: ["-r", "0-1", "URL"],
    out: "done",
    says: "warning: the server sent the whole file, not bytes 0-1\n",
  },
  {
    rule: "RFC 9112 §9.6: each request says that the connection closes, and none follows on it",
    sends: [[to("/x"), STAY], [DONE]],
    args: ["-L", "URL"],
    out: "done",
    asks: [/^Connection: close\r$/m, /^Connection: close\r$/m],
    hops: 2,
  },
  {
    rule: "RFC 9112 §9.5: a response before the request is sent completely is accepted",
    sends: [[DONE]],
    args: ["-d", "x".repeat(100_000), "URL"],
    out: "done",
  },
  {
    rule: "RFC 9110 §8.6: -H with the true Content-Length is accepted",
    sends: [[DONE]],
    args: ["-X", "POST", "-H", "Content-Length: 0", "URL"],
    out: "done",
    asks: [/Content-Length: 0\r/],
  },
];

/** RFC 7617: user and password. */
const CREDENTIALS: Row[] = [
  {
    rule: "RFC 7617 §2: -u is sent as Basic credentials",
    sends: [[DONE]],
    args: ["-u", "ann:s3cret", "URL"],
    out: "done",
    asks: [/^Authorization: Basic YW5uOnMzY3JldA==\r$/m],
  },
  {
    rule: "RFC 7617 §2.1: -u is sent in UTF-8",
    sends: [[DONE]],
    args: ["-u", "é:ü", "URL"],
    out: "done",
    asks: [/^Authorization: Basic w6k6w7w=\r$/m],
  },
  {
    rule: "RFC 7617 §2: user and password of the URL are decoded and sent",
    sends: [[DONE]],
    args: ["http://a%20b:c%40d@127.0.0.1:PORT/"],
    out: "done",
    asks: [/^Authorization: Basic YSBiOmNAZA==\r$/m],
  },
  {
    rule: "RFC 7617 §2: -u overrides user and password of the URL",
    sends: [[DONE]],
    args: ["-u", "x:y", "http://a:b@127.0.0.1:PORT/"],
    out: "done",
    asks: [/^Authorization: Basic eDp5\r$/m],
  },
  {
    rule: "-v: credentials and cookies are hidden",
    sends: [[DONE]],
    args: ["-v", "-u", "ann:s3cret", "-H", "Cookie: k=v1", "http://127.0.0.1:PORT/"],
    out: "done",
    says: /> Authorization: \[credentials\]\n[^]*> Cookie: \[credentials\]/,
    hides: /s3cret|YW5u|k=v1/,
  },
  {
    rule: "-v: user and password of a URL are hidden",
    sends: [[to("http://u:pa55@127.0.0.1:PORT/")], [DONE]],
    args: ["-vL", "http://ann:s3cret@127.0.0.1:PORT/"],
    out: "done",
    hides: /s3cret/,
  },
];

testRows([REQUESTS, CREDENTIALS].flat());
