/**
 * Redirections (RFC 9110 §15.4), and what another origin must not get.
 *
 * @module
 */
import { DONE, hello, OK, type Row, STAY, testRows, to } from "./http_client_helpers.ts";

/** Which responses are followed, where to and with which method. */
const REDIRECTIONS: Row[] = [
  ...[301, 302, 303, 307, 308].map((status) => (
    {
      rule: `RFC 9110 §15.4: ${status} is followed`,
      sends: [[to("/x", status)], [DONE]],
      args: ["-L", "URL"],
      out: "done",
      asks: [/^GET \/ /, /^GET \/x /],
      hops: 2,
    }
  )),
  ...[300, 304, 305, 306, 399].map((status) => (
    {
      rule: `RFC 9110 §15.4: ${status} is not followed`,
      sends: [[to("/x", status)], [DONE]],
      args: ["-L", "URL"],
      out: "",
      hops: 1,
    }
  )),
  {
    rule: "RFC 9110 §15.4: a Location of 200 is not followed",
    sends: [[hello("Location: /x\r\nContent-Length: 5")], [DONE]],
    args: ["-L", "URL"],
    out: "hello",
    hops: 1,
  },
  {
    rule: "RFC 9110 §15.3.2: a Location of 201 is not followed",
    sends: [["HTTP/1.1 201 Created\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"], [DONE]],
    args: ["-L", "URL"],
    hops: 1,
  },
  {
    rule: "RFC 9110 §15.4: without -L the redirection itself is printed",
    sends: [["HTTP/1.1 302 F\r\nLocation: /x\r\nContent-Length: 5\r\n\r\nhello"]],
    out: "hello",
    hops: 1,
  },
  {
    rule: "RFC 9110 §15.4: 302 without Location is not followed",
    sends: [["HTTP/1.1 302 F\r\nContent-Length: 5\r\n\r\nhello"]],
    args: ["-L", "URL"],
    out: "hello",
  },
  {
    rule: "RFC 9110 §15.4: 302 with an empty Location is not followed",
    sends: [["HTTP/1.1 302 F\r\nLocation:\r\nContent-Length: 5\r\n\r\nhello"]],
    args: ["-L", "URL"],
    out: "hello",
  },
  {
    rule: "RFC 9110 §10.2.2: two different Location fields are refused",
    sends: [["HTTP/1.1 302 F\r\nLocation: /a\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n"]],
    args: ["-L", "URL"],
    code: 8,
  },
  {
    rule: "RFC 9110 §10.2.2: the same Location twice is one",
    sends: [["HTTP/1.1 302 F\r\nLocation: /a\r\nLocation: /a\r\nContent-Length: 0\r\n\r\n"], [
      DONE,
    ]],
    args: ["-L", "URL"],
    out: "done",
  },
  {
    rule: "RFC 9110 §15.4: a body that never ends does not delay a redirection",
    sends: [["HTTP/1.1 302 F\r\nLocation: /x\r\nContent-Length: 99\r\n\r\nhello", STAY], [DONE]],
    args: ["-L", "URL"],
    out: "done",
  },
  {
    rule: "RFC 9110 §15.4: octets after a redirection do not answer the next request",
    sends: [[to("/x") + hello("Content-Length: 5"), STAY], [DONE]],
    args: ["-L", "URL"],
    out: "done",
    hops: 2,
  },
  {
    rule: "RFC 9110 §10.2.2: a relative path is resolved",
    sends: [[to("b?q#frag")], [DONE]],
    args: ["-L", "URLa/x"],
    out: "done",
    asks: [/^GET \/a\/x /, /^GET \/a\/b\?q HTTP/],
  },
  {
    rule: "RFC 9110 §10.2.2: dot segments are resolved",
    sends: [[to("../y")], [DONE]],
    args: ["-L", "URLa/b/c"],
    out: "done",
    asks: [/./, /^GET \/a\/y /],
  },
  {
    rule: "RFC 9110 §10.2.2: a Location without a scheme keeps the scheme",
    sends: [[to("//127.0.0.1:PORT/y")], [DONE]],
    args: ["-L", "URL"],
    out: "done",
    asks: [/./, /^GET \/y /],
  },
  {
    rule: "RFC 7617 §2: user and password of a Location without a scheme are sent",
    sends: [[to("//us%65r:p%40ss@127.0.0.1:PORT/y")], [DONE]],
    args: ["-L", "URL"],
    out: "done",
    asks: [{ not: /Authorization/ }, /^GET \/y [^]*^Authorization: Basic dXNlcjpwQHNz\r$/m],
  },
  {
    rule: "RFC 9110 §10.2.2: an absolute URL is followed",
    sends: [[to("URLy")], [DONE]],
    args: ["-L", "URL"],
    out: "done",
    asks: [/./, /^GET \/y /],
  },
  {
    rule: "RFC 3986 §3.1: a relative path whose colon comes after a digit has no scheme",
    sends: [[to("10:30.html")], [DONE]],
    args: ["-L", "URLa/"],
    out: "done",
    asks: [/./, /^GET \/a\/10:30\.html /],
  },
  {
    rule: "RFC 9110 §10.2.2: a query alone replaces the query",
    sends: [[to("?z")], [DONE]],
    args: ["-L", "URLa?q"],
    out: "done",
    asks: [/./, /^GET \/a\?z /],
  },
  {
    rule: "RFC 9110 §10.2.2: octets above 0x7F are percent-encoded as they are",
    sends: [[to("/\xc3\xa9\x80")], [DONE]],
    args: ["-L", "URL"],
    out: "done",
    asks: [/./, /^GET \/%C3%A9%80 /],
  },
  {
    rule: "RFC 9110 §10.2.2: a blank is percent-encoded",
    sends: [[to("/a b")], [DONE]],
    args: ["-L", "URL"],
    out: "done",
    asks: [/./, /^GET \/a%20b /],
  },
  {
    rule: "RFC 9110 §10.2.2: an encoded line end stays encoded",
    sends: [[to("/a%0d%0ab")], [DONE]],
    args: ["-L", "URL"],
    out: "done",
    asks: [/./, /^GET \/a%0d%0ab /],
  },
  ...["ftp://127.0.0.1/", "file:///etc/passwd", "javascript:alert(1)", "data:,x", "gopher://x/"]
    .map((location) => (
      {
        rule: `RFC 9110 §10.2.2: a Location of ${location} is exit 1`,
        sends: [[to(location)], [DONE]],
        args: ["-L", "URL"],
        code: 1,
        hops: 1,
      }
    )),
  ...["http://", "http:///x", "http:x", "http://[::1/", "http://h:99999/"].map((location) => (
    {
      rule: `RFC 9110 §10.2.2: a Location of ${location} is exit 3`,
      sends: [[to(location)], [DONE]],
      args: ["-L", "URL"],
      code: 3,
      hops: 1,
    }
  )),
  {
    rule: "RFC 9110 §15.4: a loop ends after 20 redirections",
    sends: [[to("/x")]],
    args: ["-L", "URL"],
    code: 47,
    hops: 21,
  },
  {
    rule: "RFC 9110 §15.4: --max-redirs 0 follows none",
    sends: [[to("/x")], [DONE]],
    args: ["-L", "--max-redirs", "0", "URL"],
    code: 47,
    hops: 1,
  },
  {
    rule: "RFC 9110 §15.4: --max-redirs -1 follows 25",
    sends: [...Array.from({ length: 25 }, () => [to("/x")]), [DONE]],
    args: ["-L", "--max-redirs", "-1", "URL"],
    out: "done",
    hops: 26,
  },
  {
    rule: "RFC 9110 §15.4: --max-redirs 1 follows one",
    sends: [[to("/x")], [DONE]],
    args: ["-L", "--max-redirs", "1", "URL"],
    out: "done",
  },
  {
    rule: "RFC 9110 §15.4.3: 302 changes POST to GET",
    sends: [[to("/x")], [DONE]],
    args: ["-L", "-d", "a=b", "URL"],
    out: "done",
    asks: [/^POST [^]*a=b$/, /^GET \/x [^]*\r\n\r\n$/],
  },
  {
    rule: "RFC 9110 §15.4.2: 301 of a POST drops the fields of the body",
    sends: [[to("/x", 301)], [DONE]],
    args: ["-L", "-d", "a=b", "-H", "Content-Type: x/y", "URL"],
    out: "done",
    asks: [/^Content-Type: x\/y\r$/m, { not: /Content-/ }],
  },
  {
    rule: "RFC 9110 §15.4.4: 303 changes PUT to GET",
    sends: [[to("/x", 303)], [DONE]],
    args: ["-L", "-X", "PUT", "-d", "a", "URL"],
    out: "done",
    asks: [/^PUT/, /^GET/],
  },
  {
    rule: "RFC 9110 §15.4: 302 repeats a PUT with its body",
    sends: [[to("/x", 302)], [DONE]],
    args: ["-L", "-X", "PUT", "-d", "a", "URL"],
    out: "done",
    asks: [/^PUT/, /^PUT [^]*a$/],
  },
  {
    rule: "RFC 9110 §15.4.4: 303 keeps HEAD",
    sends: [[to("/x", 303)], [`${OK}\r\n`]],
    args: ["-LI", "URL"],
    out: /200 OK/,
    asks: [/^HEAD/, /^HEAD/],
  },
  {
    rule: "RFC 9110 §15.4.8: 307 keeps method and body",
    sends: [[to("/x", 307)], [DONE]],
    args: ["-L", "-d", "a=b", "URL"],
    out: "done",
    asks: [/^POST/, /^POST \/x [^]*\r\n\r\na=b$/],
  },
  {
    rule: "RFC 9110 §15.4: -i prints the header of each hop",
    sends: [[to("/x")], [DONE]],
    args: ["-iL", "URL"],
    out: /^HTTP\/1.1 302[^]*\r\n\r\nHTTP\/1.1 200 OK\r\n[^]*\r\n\r\ndone$/,
  },
];

/** Credentials and private fields belong to one origin. */
const ORIGINS: Row[] = [
  {
    rule: "RFC 9110 §15.4: a redirection within the origin keeps credentials and cookies",
    sends: [[to("/x")], [DONE]],
    args: ["-L", "-u", "a:b", "-H", "Cookie: c=1", "URL"],
    out: "done",
    asks: [/^Authorization/m, /^Authorization[^]*^Cookie: c=1/m],
  },
  {
    rule: "RFC 9110 §15.4: -v says where a redirection leads",
    sends: [[to("/x")], [DONE]],
    args: ["-vL", "URL"],
    out: "done",
    says: /^\* 302 leads to http:\/\/127\.0\.0\.1:\d+\/x$/m,
  },
  {
    rule: "RFC 9110 §15.4: -v says what another origin does not get",
    sends: [[to("http://localhost:PORT/x")], [DONE]],
    args: ["-vL", "URL"],
    out: "done",
    says:
      /^\* 302 leads to http:\/\/localhost:\d+\/x, another origin: without credentials and private fields$/m,
  },
  {
    rule: "RFC 9110 §15.4: another origin gets no credentials, also not on the way back",
    sends: [[to("http://localhost:PORT/y")], [to("URLz")], [DONE]],
    args: [
      "-L",
      "-u",
      "a:b",
      "-H",
      "Cookie: c=1",
      "-H",
      "Proxy-Authorization: p",
      "-H",
      "Host: h.example",
      "-H",
      "X-Y: kept",
      "URL",
    ],
    out: "done",
    asks: [/^Host: h.example[^]*|^Authorization[^]*^Cookie/m, {
      not: /Authorization|Cookie|h\.example/,
    }, { not: /Authorization|Cookie|h\.example/ }],
    hops: 3,
  },
  {
    rule: "RFC 9110 §15.4: another origin gets no Authorization of -H",
    sends: [[to("http://localhost:PORT/y")], [DONE]],
    args: ["-L", "-H", "Authorization: Bearer t", "URL"],
    out: "done",
    asks: [/^Authorization: Bearer t\r$/m, { not: /Bearer/ }],
  },
  {
    rule: "RFC 9110 §15.4: another origin gets the other fields of -H",
    sends: [[to("http://localhost:PORT/y")], [DONE]],
    args: ["-L", "-H", "X-Y: kept", "URL"],
    out: "done",
    asks: [/./, /^X-Y: kept\r$/m],
  },
  {
    rule: "RFC 9110 §15.4: user and password of a Location are sent to its origin",
    sends: [[to("http://c:d@localhost:PORT/y")], [DONE]],
    args: ["-L", "-u", "a:b", "URL"],
    out: "done",
    asks: [/YTpi/, /^Authorization: Basic Yzpk\r$/m],
  },
];

testRows([REDIRECTIONS, ORIGINS].flat());
