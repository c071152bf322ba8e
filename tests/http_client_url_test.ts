/**
 * What users call a URL, and what is refused as one.
 *
 * @module
 */
import { DONE, hello, OK, type Row, testCommands, testRows } from "./http_client_helpers.ts";

/** Forms of a URL, and the request target that each becomes. */
const URLS: Row[] = [
  {
    rule: "URL: a URL in the query is not the scheme",
    sends: [[DONE]],
    args: ["localhost:PORT/a?u=http://h/"],
    out: "done",
    asks: [/^GET \/a\?u=http:\/\/h\/ /],
  },
  {
    rule: "RFC 7617 §2: a user without a password is sent with an empty one",
    sends: [[DONE]],
    args: ["http://ann@127.0.0.1:PORT/"],
    out: "done",
    asks: [/^Authorization: Basic YW5uOg==\r$/m],
  },
  {
    rule: "RFC 7617 §2: a password without a user is sent with an empty one",
    sends: [[DONE]],
    args: ["http://:pw@127.0.0.1:PORT/"],
    out: "done",
    asks: [/^Authorization: Basic OnB3\r$/m],
  },
  {
    rule: "HOST PORT FILENAME: prints the header, as the assignment asks",
    sends: [[hello("Content-Length: 5")]],
    args: ["127.0.0.1", "PORT", "a/hello.html"],
    out: `${OK}Content-Length: 5\r\n\r\nhello`,
    asks: [/^GET \/a\/hello.html /],
  },
  {
    rule: 'HOST PORT FILENAME: a blank and "#" in FILENAME are percent-encoded',
    sends: [[DONE]],
    args: ["127.0.0.1", "PORT", "/a b#c"],
    out: /done$/,
    asks: [/^GET \/a%20b%23c /],
  },
  {
    rule: "HOST PORT FILENAME: reads the response of the assignment's server",
    sends: [[
      "HTTP/1.1 200 OK\r\nConnection: close\r\nDate: Sun Nov 22 2026 17:00\r\nContent-Type: text/html\r\n\r\n<p>hi</p>",
    ]],
    args: ["localhost", "PORT", "index.html"],
    out: /<p>hi<\/p>$/,
  },
  {
    rule: "URL: HOST:PORT/PATH is http",
    sends: [[DONE]],
    args: ["127.0.0.1:PORT/a"],
    out: "done",
    asks: [/^GET \/a /],
  },
  {
    rule: "URL: :PORT/PATH is this machine",
    sends: [[DONE]],
    args: [":PORT/a"],
    out: "done",
    asks: [/Host: localhost:/],
  },
  {
    rule: "URL: :PORT is the root of this machine",
    sends: [[DONE]],
    args: [":PORT"],
    out: "done",
    asks: [/^GET \/ /],
  },
  {
    rule: 'RFC 9112 §3.2.1: a query without a path gets the path "/"',
    sends: [[DONE]],
    args: ["127.0.0.1:PORT?q=1"],
    out: "done",
    asks: [/^GET \/\?q=1 /],
  },
  {
    rule: "RFC 9112 §3.2.1: an empty query is sent",
    sends: [[DONE]],
    args: ["URLx?"],
    out: "done",
    asks: [/^GET \/x\? /],
  },
  {
    rule: "RFC 9110 §7.1: a fragment is not sent",
    sends: [[DONE]],
    args: ["URLx#y?z"],
    out: "done",
    asks: [/^GET \/x HTTP/],
  },
  {
    rule: "RFC 9112 §3.2.1: a backslash is percent-encoded",
    sends: [[DONE]],
    args: ["URLa\\b"],
    out: "done",
    asks: [/^GET \/a%5Cb /],
  },
  {
    rule: "RFC 9112 §3.2.1: a percent sign that encodes nothing is sent as it is",
    sends: [[DONE]],
    args: ["URL%zz%2f"],
    out: "done",
    asks: [/^GET \/%zz%2f /],
  },
  {
    rule: "URL: the scheme may be in upper case",
    sends: [[DONE]],
    args: ["HTTP://127.0.0.1:PORT/"],
    out: "done",
  },
];

testRows(URLS);

testCommands("URL", [
  { args: ["ftp://h/"], code: 1, says: '"ftp"' },
  { args: ["file:///etc/passwd"], code: 1 },
  { args: ["h/x", "80", "f"], code: 3, says: '"h/x": HOST is' },
  { args: ["http://h", "80", "f"], code: 3, says: '"http://h": HOST is' },
  { args: ["u:s3cret@h", "80", "f"], code: 3, says: /^(?!.*s3cret)/ },
  { args: ["http://"], code: 3 },
  { args: ["http:///x"], code: 3 },
  { args: ["http://?x"], code: 3 },
  { args: ["://x"], code: 3 },
  { args: ["http://u:s3cret@/"], code: 3, says: /^(?!.*s3cret)/ },
  { args: ["http://h:port/"], code: 3 },
  { args: ["http://h:port/a@b"], code: 3, says: '"http://h:port/a@b"' },
  { args: ["127.0.0.1://x"], code: 7, says: "127.0.0.1 port 80" },
  { args: ["http://127.0.0.1:65535/"], code: 7, says: "port 65535" },
  { args: ["http://127.0.0.1:65536/"], code: 3 },
  { args: ["127.0.0.1", "65535", "f"], code: 7, says: "127.0.0.1 port 65535" },
  { args: ["127.0.0.1", "1", "f"], code: 7, says: "127.0.0.1 port 1" },
  { args: ["[::1]", "1", "f"], code: 7, says: "::1 port 1" },
  { args: ["http://[fe80::1%25lo]:1/"], code: 7, says: " fe80::1%lo port 1" },
  { args: ["http://[fe80::1%lo]:1/"], code: 7, says: " fe80::1%lo port 1" },
  { args: ["http://[::1%25lo]:1/"], code: 7, says: " ::1 port 1" },
  { args: ["http://[::1/"], code: 3 },
  { args: ["http://[::1]x/"], code: 3 },
  { args: ["http://h/a b"], code: 3 },
  { args: ["http://h/\r\nX: y"], code: 3, says: "\\x0d\\x0a" },
  { args: ["http://a\\@b/"], code: 3 },
  { args: ["http://a b/"], code: 3 },
  { args: [""], code: 3 },
]);
