/**
 * Content codings (RFC 9110 §8.4) and the limit of the decoded body.
 *
 * @module
 */
import zlib from "node:zlib";
import { toByteString } from "../protocol.ts";
import {
  br,
  chunked,
  coded,
  gz,
  hello,
  LONG,
  OK,
  raw,
  type Row,
  STAY,
  testRows,
  zl,
} from "./http_client_helpers.ts";

/** gzip, deflate and brotli, complete and damaged. */
const CODINGS: Row[] = [
  {
    rule: "RFC 9110 §12.5.3: gzip is asked for and decoded",
    sends: [[coded("gzip", gz("hello"))]],
    out: "hello",
    asks: [/^Accept-Encoding: gzip, deflate, br\r$/m],
  },
  {
    rule: "RFC 9110 §8.4.1.3: x-gzip is gzip, in any case",
    sends: [[coded("X-GZIP", gz("hello"))]],
    out: "hello",
  },
  {
    rule: "RFC 9110 §8.4: gzip is decoded after chunked",
    sends: [[
      `${OK}Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n${
        gz("hello").slice(0, 5)
      }\r\n14\r\n${gz("hello").slice(5)}\r\n0\r\n\r\n`,
    ]],
    out: "hello",
  },
  {
    rule: "RFC 9110 §8.4: gzip without a length is decoded",
    sends: [[`${OK}Content-Encoding: gzip\r\n\r\n${gz("hello")}`]],
    out: "hello",
  },
  {
    rule: "RFC 1952 §2.2: two gzip members are joined",
    sends: [[coded("gzip", gz("hel") + gz("lo"))]],
    out: "hello",
  },
  {
    rule: "RFC 1952 §2.2: zeros after gzip are ignored",
    sends: [[coded("gzip", gz("hello") + "\0".repeat(20))]],
    out: "hello",
  },
  {
    rule: "RFC 1952 §2.3: gzip cut short is exit 61",
    sends: [[coded("gzip", gz(LONG).slice(0, -9))]],
    out: /^/,
    code: 61,
  },
  {
    rule: "RFC 1952 §2.3: gzip without its checksum is exit 61",
    sends: [[coded("gzip", gz("hello").slice(0, -8))]],
    out: /^/,
    code: 61,
  },
  {
    rule: "RFC 1952 §2.2: a second gzip member cut short is exit 61",
    sends: [[coded("gzip", gz("hel") + gz("lo").slice(0, -3))]],
    out: /^/,
    code: 61,
  },
  {
    rule: "RFC 1952 §2.3: gzip with a wrong checksum is exit 61",
    sends: [[coded("gzip", gz("hello").slice(0, -8) + "abcd\x05\0\0\0")]],
    out: /^/,
    code: 61,
  },
  {
    rule: "RFC 1952 §2.3: data that is not gzip is exit 61",
    sends: [[coded("gzip", "hello, world")]],
    code: 61,
  },
  { rule: "RFC 1952 §2.3: an empty body needs no decoding", sends: [[coded("gzip", "")]], out: "" },
  {
    rule: "RFC 1952 §2.3: one octet of gzip is exit 61",
    sends: [[coded("gzip", "\x1f")]],
    code: 61,
  },
  {
    rule: "RFC 9110 §8.4.1.2: deflate is the zlib format",
    sends: [[coded("deflate", zl("hello"))]],
    out: "hello",
  },
  {
    rule: "RFC 9110 §8.4.1.2: raw deflate is decoded, too",
    sends: [[coded("deflate", raw("hello"))]],
    out: "hello",
  },
  {
    rule: "RFC 9110 §8.4.1.2: raw deflate is decoded if its first octet alone looks like zlib",
    sends: [[coded("deflate", "\x08\x05\0\xfa\xffhello\x01\0\0\xff\xff")]],
    out: "hello",
  },
  {
    rule: "RFC 9110 §8.4.1.2: raw deflate is decoded if it has the check bits of zlib by chance",
    sends: [[coded("deflate", raw("ch"))]],
    out: "ch",
  },
  {
    rule: "RFC 1950 §2.2: zlib of a small window is decoded",
    sends: [[coded("deflate", toByteString(zlib.deflateSync("hello", { windowBits: 9 })))]],
    out: "hello",
  },
  {
    rule: "RFC 9110 §8.4.1.2: raw deflate is recognized when its first octet comes alone",
    sends: [[
      coded("deflate", raw("hello")).slice(0, -raw("hello").length + 1),
      60,
      raw("hello").slice(1),
    ]],
    out: "hello",
  },
  {
    rule: "RFC 9110 §8.4.1.2: zlib cut short is exit 61",
    sends: [[coded("deflate", zl(LONG).slice(0, -5))]],
    out: /^/,
    code: 61,
  },
  {
    rule: "RFC 9110 §8.4.1.2: zlib without its checksum is exit 61",
    sends: [[coded("deflate", zl("hello").slice(0, -4))]],
    out: /^/,
    code: 61,
  },
  {
    rule: "RFC 9110 §8.4.1.2: raw deflate cut short is exit 61",
    sends: [[coded("deflate", raw(LONG).slice(0, -2))]],
    out: /^/,
    code: 61,
  },
  { rule: "RFC 7932 §10: brotli is decoded", sends: [[coded("br", br("hello"))]], out: "hello" },
  {
    rule: "RFC 7932 §10: a long brotli stream is decoded",
    sends: [[coded("br", br(LONG))]],
    out: LONG,
  },
  {
    rule: "RFC 7932 §10: brotli without its last octet is exit 61",
    sends: [[coded("br", br(LONG).slice(0, -1))]],
    out: /^/,
    code: 61,
  },
  {
    rule: "RFC 7932 §10: brotli cut in the middle is exit 61",
    sends: [[coded("br", br(LONG).slice(0, 12))]],
    out: /^/,
    code: 61,
  },
  ...[1, 2, 3, 4, 5].map((size) => ({
    rule: `RFC 7932 §10: brotli without its last ${size} octets gives no invented text`,
    sends: [[coded("br", br("hello world".repeat(20)).slice(0, -size))]],
    out: /^(hello world)*[helo wrd]{0,10}$/,
    code: 61,
  })),
  {
    rule: "RFC 7932 §10: data that is not brotli is exit 61",
    sends: [[coded("br", "\xff\xff\xff\xff\xff\xff")]],
    out: /^/,
    code: 61,
  },
  {
    rule: "RFC 9110 §8.4: gzip applied twice is decoded twice",
    sends: [[coded("gzip, gzip", gz(gz("hello")))]],
    out: "hello",
  },
  {
    rule: "RFC 9110 §8.4: codings in two fields are undone in reverse order",
    sends: [[coded("deflate", br(zl("hello")), "Content-Encoding: br\r\n")]],
    out: "hello",
  },
  {
    rule: "RFC 9110 §8.4: five content codings are decoded",
    sends: [[coded("gzip,gzip,gzip,gzip,gzip", gz(gz(gz(gz(gz("hello"))))))]],
    out: "hello",
  },
  {
    rule: "RFC 9110 §8.4: six content codings are refused",
    sends: [[coded("gzip,gzip,gzip,gzip,gzip,gzip", "x")]],
    code: 61,
  },
  ...["identity", "none", "None, identity"].map((coding) => ({
    rule: `RFC 9110 §8.4: "${coding}" is not a coding`,
    sends: [[coded(coding, "hello")]],
    args: ["--compressed", "URL"],
    out: "hello",
    hides: /./,
  })),
  ...["zstd", "UTF-8", "aws-chunked", "binary", "gzip, zstd"].map((coding) => ({
    rule: `RFC 9110 §8.4: a body coded as "${coding}" is passed on with a note`,
    sends: [[coded(coding, "hello")]],
    out: "hello",
    says: /^Content-Encoding "[a-z8-]+" is unknown: not decoded\n$/,
  })),
  {
    rule: "RFC 9110 §8.4: the codings after an unknown one are decoded",
    sends: [[coded("aws-chunked, gzip", gz("hello"))]],
    out: "hello",
    says: '"aws-chunked" is unknown',
  },
  {
    rule: "RFC 9110 §8.4: an unknown content coding is exit 61 with --compressed",
    sends: [[coded("zstd", "hello")]],
    args: ["--compressed", "URL"],
    code: 61,
    says: "zstd",
  },
  {
    rule: "RFC 9110 §12.5.3: --no-compressed asks for identity and decodes nothing",
    sends: [[coded("gzip", gz("hello"))]],
    args: ["--no-compressed", "URL"],
    out: gz("hello"),
    asks: [/^Accept-Encoding: identity\r$/m],
  },
  {
    rule: "RFC 9110 §8.4: -r asks for identity, and its answer is not decoded",
    sends: [[coded("gzip", "abc")]],
    args: ["-r", "0-2", "URL"],
    out: "abc",
    asks: [/^Range: bytes=0-2\r$/m],
  },
  {
    rule: "RFC 9110 §8.4: a body cut short is exit 18, not a decoding error",
    sends: [[
      `${OK}Content-Encoding: gzip\r\nContent-Length: 999\r\n\r\n${gz("hello").slice(0, 15)}`,
    ]],
    out: /^/,
    code: 18,
  },
];

/** The limit of --max-filesize. */
const SIZES: Row[] = [
  {
    rule: "--max-filesize: 0 means no limit",
    sends: [[hello("Content-Length: 5")]],
    args: ["--max-filesize", "0", "URL"],
    out: "hello",
  },
  {
    rule: "--max-filesize: a body of exactly the limit is accepted",
    sends: [[hello("Content-Length: 5")]],
    args: ["--max-filesize", "5", "URL"],
    out: "hello",
  },
  {
    rule: "--max-filesize: a Content-Length above the limit is exit 63",
    sends: [[hello("Content-Length: 5"), STAY]],
    args: ["--max-filesize", "4", "URL"],
    code: 63,
  },
  {
    rule: "--max-filesize: a body without length above the limit is exit 63",
    sends: [[`${OK}\r\nhello`]],
    args: ["--max-filesize", "4", "URL"],
    out: /^(hell)?/,
    code: 63,
  },
  {
    rule: "--max-filesize: a chunked body above the limit is exit 63",
    sends: [[chunked("5\r\nhello\r\n5\r\nhello\r\n"), STAY]],
    args: ["--max-filesize", "9", "URL"],
    out: /^(hello)?$/,
    code: 63,
  },
  {
    rule: "--max-filesize: decoded octets are counted",
    sends: [[coded("gzip", gz("a".repeat(100_000)))]],
    args: ["--max-filesize", "99999", "URL"],
    out: /^a*$/,
    code: 63,
  },
  {
    rule: "--max-filesize: octets before decoding do not count",
    sends: [[coded("gzip", gz("hello"))]],
    args: ["--max-filesize", "5", "URL"],
    out: "hello",
  },
  {
    rule: "--max-filesize: decoded octets of exactly the limit are accepted",
    sends: [[coded("gzip", gz("a".repeat(1000)))]],
    args: ["--max-filesize", "1000", "URL"],
    out: "a".repeat(1000),
  },
];

testRows([CODINGS, SIZES].flat());
