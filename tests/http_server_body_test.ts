/**
 * Request bodies (RFC 9112 §6 and §7), expectations, pipelining, and clients that stop in between.
 *
 * @module
 */
import { assert, assertEquals, assertMatch } from "jsr:@std/assert@^1.0.19";
import { CUTS, send } from "./helpers.ts";
import {
  ask,
  chunked,
  Client,
  Folder,
  framed,
  H,
  pause,
  readAnswers,
  request,
  type Row,
  SENTINEL,
  start,
  talk,
  testRows,
} from "./http_server_helpers.ts";

const SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";

testRows("RFC 9112 §6.3", [
  ["§9.3.1: the body of a GET is not the next request", framed("Content-Length: 5"), "200 kept"],
  [
    "a body that looks like a request",
    request("/hello.txt", [`Content-Length: ${SMUGGLED.length}`]) + SMUGGLED,
    "200 kept",
  ],
  [
    "the body of a HEAD",
    request("/hello.txt", ["Content-Length: 5"], "HEAD") + "hello",
    "200 kept",
  ],
  [
    "the body of an OPTIONS",
    request("/hello.txt", ["Content-Length: 5"], "OPTIONS") + "hello",
    "204 kept",
  ],
  [
    "the body of a POST",
    request("/hello.txt", ["Content-Length: 5"], "POST") + "hello",
    "405 kept",
  ],
  ["a length of 0", request("/hello.txt", ["Content-Length: 0"]), "200 kept"],
  ["a length with leading zeros", framed("Content-Length: 0005"), "200 kept"],
  ["white space around a length", framed("Content-Length: \t5 "), "200 kept"],
  [
    "a body of 65,536 octets is read",
    request("/hello.txt", ["Content-Length: 65536"]) + "x".repeat(65_536),
    "200 kept",
  ],
  [
    "a body of 65,537 octets ends the connection",
    request("/hello.txt", ["Content-Length: 65537"]) + "x".repeat(65_537),
    "200 close",
  ],
  ["a length of 15 digits", framed(`Content-Length: ${"0".repeat(14)}5`), "200 kept"],
  ["a length of 16 digits", framed(`Content-Length: ${"0".repeat(15)}5`), "400 close"],
  [
    "a body of 500,000 octets gets its response",
    request("/hello.txt", ["Content-Length: 500000"]) + "x".repeat(500_000),
    "200 close",
  ],
  ["two equal lengths", framed("Content-Length: 5", "Content-Length: 5"), "400 close"],
  ["two lengths that differ", framed("Content-Length: 5", "Content-Length: 6"), "400 close"],
  [
    "two lengths that differ, with a field between them",
    framed("Content-Length: 5", "A: b", "content-length: 0"),
    "400 close",
  ],
  ["a list of two equal lengths", framed("Content-Length: 5, 5"), "400 close"],
  ["a list of two lengths that differ", framed("Content-Length: 5, 6"), "400 close"],
  ["a length with an empty list member", framed("Content-Length: 5,"), "400 close"],
  ["a length with a plus sign", framed("Content-Length: +5"), "400 close"],
  ["a length with a minus sign", framed("Content-Length: -5"), "400 close"],
  ["a length of -0", framed("Content-Length: -0"), "400 close"],
  ["a length with a space inside", framed("Content-Length: 5 0"), "400 close"],
  ["a length in hexadecimal", framed("Content-Length: 0x5"), "400 close"],
  ["a length with decimals", framed("Content-Length: 5.0"), "400 close"],
  ["a length with an exponent", framed("Content-Length: 5e0"), "400 close"],
  ["a length with an underscore", framed("Content-Length: 5_0"), "400 close"],
  ["a length in quotes", framed('Content-Length: "5"'), "400 close"],
  ["an empty length", framed("Content-Length:"), "400 close"],
  ["a length in words", framed("Content-Length: five"), "400 close"],
  ["a length in Arabic digits", framed("Content-Length: \xd9\xa5"), "400 close"],
  ["a length of 2^64 + 5", framed("Content-Length: 18446744073709551621"), "400 close"],
  ["a length of 2^32 + 5", framed("Content-Length: 4294967301"), "200 close"],
  ["a length of 400 digits", framed(`Content-Length: ${"9".repeat(400)}`), "400 close"],
  ["a space before the colon of Content-Length", framed("Content-Length : 5"), "400 close"],
  ["a folded length", framed("Content-Length:\r\n 5"), "400 close"],
  [
    "both ways to tell the end",
    framed("Content-Length: 5", "Transfer-Encoding: chunked"),
    "400 close",
  ],
  [
    "both ways to tell the end, in the other order",
    framed("Transfer-Encoding: chunked", "Content-Length: 5"),
    "400 close",
  ],
  [
    "both ways to tell the end, the length 0",
    framed("Content-Length: 0", "Transfer-Encoding: chunked"),
    "400 close",
  ],
  [
    "a length and an unknown coding",
    framed("Content-Length: 5", "Transfer-Encoding: x"),
    "400 close",
  ],
  [
    "both ways to tell the end in HTTP/1.0",
    framed("Content-Length: 5", "Transfer-Encoding: chunked").replace("1.1", "1.0"),
    "400 close",
  ],
  [
    "§6.1: chunked from HTTP/1.0",
    framed("Transfer-Encoding: chunked").replace("1.1", "1.0"),
    "200 close",
  ],
  [
    "chunked from HTTP/1.0 with keep-alive",
    framed("Connection: keep-alive", "Transfer-Encoding: chunked").replace("1.1", "1.0"),
    "200 close",
  ],
  ["an unknown coding before chunked", framed("Transfer-Encoding: gzip, chunked"), "501 close"],
  [
    "an unknown coding in a line of its own before chunked",
    framed("Transfer-Encoding: gzip", "Transfer-Encoding: chunked"),
    "501 close",
  ],
  [
    "an unknown coding with parameters before chunked",
    framed('Transfer-Encoding: a ; b=c;d="e", chunked'),
    "501 close",
  ],
  ["a parameter without a coding", framed("Transfer-Encoding: ;b=c, chunked"), "400 close"],
  ["an unknown coding", framed("Transfer-Encoding: gzip"), "400 close"],
  ["chunked before another coding", framed("Transfer-Encoding: chunked, gzip"), "400 close"],
  ["chunked twice", framed("Transfer-Encoding: chunked, chunked"), "400 close"],
  [
    "chunked in two lines",
    framed("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
    "400 close",
  ],
  ["the coding identity", framed("Transfer-Encoding: identity"), "400 close"],
  ["chunked before identity", framed("Transfer-Encoding: chunked, identity"), "400 close"],
  ["an empty Transfer-Encoding", framed("Transfer-Encoding:"), "400 close"],
  ["an empty list member before chunked", framed("Transfer-Encoding: , chunked"), "400 close"],
  ["the coding xchunked", framed("Transfer-Encoding: xchunked"), "400 close"],
  ["the coding chunkedx", framed("Transfer-Encoding: chunkedx"), "400 close"],
  ["chunked in quotes", framed('Transfer-Encoding: "chunked"'), "400 close"],
  ["chunked with a parameter", framed("Transfer-Encoding: chunked;a=b"), "400 close"],
  ["a vertical tab before chunked", framed("Transfer-Encoding: \x0bchunked"), "400 close"],
  ["a no-break space before chunked", framed("Transfer-Encoding: \xa0chunked"), "400 close"],
  [
    "a space before the colon of Transfer-Encoding",
    framed("Transfer-Encoding : chunked"),
    "400 close",
  ],
  ["a folded Transfer-Encoding", framed("Transfer-Encoding:\r\n chunked"), "400 close"],
]);

const LONG_TRAILERS = "A: b\r\n".repeat(3_000);

testRows("RFC 9112 §7.1", [
  ["no chunk", chunked("0\r\n\r\n"), "200 kept"],
  ["one chunk", chunked("5\r\nhello\r\n0\r\n\r\n"), "200 kept"],
  ["two chunks", chunked("5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"), "200 kept"],
  ["the coding ChunkeD", chunked("0\r\n\r\n").replace("chunked", "ChunkeD"), "200 kept"],
  [
    "sizes in both cases",
    chunked("a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n"),
    "200 kept",
  ],
  ["sizes with leading zeros", chunked("0005\r\nhello\r\n000\r\n\r\n"), "200 kept"],
  ["CRLF inside the data", chunked("4\r\n\r\n\r\n\r\n0\r\n\r\n"), "200 kept"],
  [
    "a request inside the data",
    chunked(`${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`),
    "200 kept",
  ],
  ["10,000 chunks", chunked(`${"1\r\nx\r\n".repeat(10_000)}0\r\n\r\n`), "200 kept"],
  ["chunks of a POST", chunked("5\r\nhello\r\n0\r\n\r\n").replace("GET", "POST"), "405 kept"],
  ["a chunk extension", chunked("5;a=b\r\nhello\r\n0\r\n\r\n"), "200 kept"],
  ["an extension without a value", chunked("5;a\r\nhello\r\n0;b\r\n\r\n"), "200 kept"],
  [
    "an extension with a quoted value",
    chunked('5;a="b;\\"c\\\\ d"\r\nhello\r\n0\r\n\r\n'),
    "200 kept",
  ],
  ["several extensions", chunked('5;a=b;c;d="e"\r\nhello\r\n0\r\n\r\n'), "200 kept"],
  [
    "§7.1.1: white space around the parts of an extension",
    chunked("5 ; a = b\r\nhello\r\n0\r\n\r\n"),
    "200 kept",
  ],
  ["two trailer fields", chunked("5\r\nhello\r\n0\r\nA: b\r\nC: d\r\n\r\n"), "200 kept"],
  [
    "Content-Length as a trailer field has no effect",
    chunked("0\r\nContent-Length: 50\r\n\r\n"),
    "200 kept",
  ],
  [
    "65,536 octets in chunks are read",
    chunked(`${`8000\r\n${"x".repeat(0x8000)}\r\n`.repeat(2)}0\r\n\r\n`),
    "200 kept",
  ],
  [
    "65,537 octets in chunks end the connection",
    chunked(`${`8000\r\n${"x".repeat(0x8000)}\r\n`.repeat(2)}1\r\nx\r\n0\r\n\r\n`),
    "200 close",
  ],
  ["a size of 12 digits", chunked("000000000005\r\nhello\r\n0\r\n\r\n"), "200 kept"],
  ["a size of 13 digits", chunked("0000000000005\r\nhello\r\n0\r\n\r\n"), "400 close"],
  [
    "a chunk line of 4,096 octets",
    chunked(`5;a=${"b".repeat(4_090)}\r\nhello\r\n0\r\n\r\n`),
    "200 kept",
  ],
  [
    "a chunk line of 4,097 octets",
    chunked(`5;a=${"b".repeat(4_091)}\r\nhello\r\n0\r\n\r\n`),
    "400 close",
  ],
  [
    "extensions of 16,384 octets in all",
    chunked(`${`1;a=${"b".repeat(1_021)}\r\nx\r\n`.repeat(16)}0\r\n\r\n`),
    "200 kept",
  ],
  [
    "extensions of 16,386 octets in all",
    chunked(`${`1;a=${"b".repeat(1_021)}\r\nx\r\n`.repeat(16)}1;a\r\nx\r\n0\r\n\r\n`),
    "400 close",
  ],
  [
    "a trailer section of 16,384 octets",
    chunked(`0\r\nA: ${"b".repeat(16_377)}\r\n\r\n`),
    "200 kept",
  ],
  [
    "a trailer section of 16,385 octets",
    chunked(`0\r\nA: ${"b".repeat(16_378)}\r\n\r\n`),
    "431 close",
  ],
  ["100 trailer fields", chunked(`0\r\n${"A: b\r\n".repeat(100)}\r\n`), "200 kept"],
  ["101 trailer fields", chunked(`0\r\n${"A: b\r\n".repeat(101)}\r\n`), "431 close"],
  [
    "a trailer field of 20,000 octets",
    chunked(`0\r\nA: ${"b".repeat(20_000)}\r\n\r\n`),
    "431 close",
  ],
  ["3,000 trailer fields", chunked(`0\r\n${LONG_TRAILERS}`), "431 close"],
  [
    "an extension of 20,000 octets",
    chunked(`5;a=${"b".repeat(20_000)}\r\nhello\r\n0\r\n\r\n`),
    "400 close",
  ],
  ["an extension of 300,000 octets", chunked(`5;a=${"b".repeat(300_000)}`), "400 close"],
  [
    "40 extensions of 1,003 octets",
    chunked(`${`1;a=${"b".repeat(1_000)}\r\nx\r\n`.repeat(40)}0\r\n\r\n`),
    "400 close",
  ],
  [
    "a chunk of 131,072 octets",
    chunked(`20000\r\n${"x".repeat(0x20_000)}\r\n0\r\n\r\n`),
    "200 close",
  ],
  [
    "17 chunks of 4,096 octets",
    chunked(`${`1000\r\n${"x".repeat(4_096)}\r\n`.repeat(17)}0\r\n\r\n`),
    "200 close",
  ],
  ["a semicolon without an extension", chunked("5;\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["an extension without a name", chunked("5;=b\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["an extension with = and no value", chunked("5;a=\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["two semicolons in a row", chunked("5;;a\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["an extension with an open quote", chunked('5;a="b\r\nhello\r\n0\r\n\r\n'), "400 close"],
  ["an extension with a control octet", chunked("5;a=\x01\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["an extension with NUL", chunked("5;a\0\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["an extension with a bare LF", chunked("5;a\nhello\r\n0\r\n\r\n"), "400 close"],
  ["an extension with a bare CR", chunked("5;a\rb\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["a space after the size", chunked("5 \r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["a tab after the size", chunked("5\t\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["a space before the size", chunked(" 5\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["an empty size", chunked("\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["an extension without a size", chunked(";a=b\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["a size of 0x5", chunked("0x5\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["a size with a plus sign", chunked("+5\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["a size with a minus sign", chunked("-5\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["a size of -0", chunked("-0\r\n\r\n"), "400 close"],
  ["a size of g", chunked("g\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["a size with an underscore", chunked("0_5\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["a comma after the size", chunked("5,a\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["a size of 2^64 + 5", chunked("10000000000000005\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["a size of 2^32 + 5", chunked("100000005\r\nhello\r\n0\r\n\r\n"), "200 close"],
  ["a size of 100,000 digits", chunked("0".repeat(100_000)), "400 close"],
  ["a bare LF after the size", chunked("5\nhello\r\n0\r\n\r\n"), "400 close"],
  ["a bare LF after the data", chunked("5\r\nhello\n0\r\n\r\n"), "400 close"],
  ["a bare CR after the data", chunked("5\r\nhello\r0\r\n\r\n"), "400 close"],
  ["two octets more than the size", chunked("5\r\nhello!!0\r\n\r\n"), "400 close"],
  ["one octet more than the size", chunked("4\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["no CRLF after the data", chunked("5\r\nhello0\r\n\r\n"), "400 close"],
  ["a bare LF as the last line", chunked("0\r\n\n"), "400 close"],
  ["a bare LF after the last chunk", chunked("0\n\r\n"), "400 close"],
  ["a trailer field without a colon", chunked("0\r\nA\r\n\r\n"), "400 close"],
  ["a trailer field with a space before the colon", chunked("0\r\nA : b\r\n\r\n"), "400 close"],
  ["a folded trailer field", chunked("0\r\nA: b\r\n c\r\n\r\n"), "400 close"],
  ["a trailer field with NUL", chunked("0\r\nA: \0\r\n\r\n"), "400 close"],
  ["a request in place of a trailer field", chunked("0\r\nGET / HTTP/1.1\r\n\r\n"), "400 close"],
]);

testRows("RFC 9110 §10.1.1", [
  [
    "no 100 to HTTP/1.0",
    "GET /hello.txt HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
    "200 kept",
  ],
  [
    "no 100 without a body",
    request("/hello.txt", ["Expect: 100-continue"]),
    "200 kept",
  ],
  ["Expect: 100-CONTINUE", request("/hello.txt", ["Expect: 100-CONTINUE"]), "200 kept"],
  ["an unknown expectation gets 417", request("/hello.txt", ["Expect: 200-ok"]), "417 close"],
  [
    "a known and an unknown expectation get 417",
    request("/hello.txt", ["Expect: 100-continue, x"]),
    "417 close",
  ],
  [
    "a body that does not wait for 100",
    request("/hello.txt", ["Expect: 100-continue", "Content-Length: 5"]) + "hello",
    "200 kept",
  ],
]);

for (const [how, cut] of Object.entries(CUTS)) {
  for (
    const [rule, framing, body] of [
      ["a length", "Content-Length: 5", "hello"],
      ["chunks", "Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"],
    ] as const
  ) {
    Deno.test(`RFC 9110 §10.1.1: 100 comes before a body with ${rule} (${how})`, async () => {
      await using service = start();
      using client = await Client.open(service.port);
      await client.send(...cut(request("/hello.txt", ["Expect: 100-continue", framing])));
      assertEquals(await client.until(/\r\n\r\n/), "HTTP/1.1 100 Continue\r\n\r\n");
      await client.send(...cut(body), SENTINEL);
      const statuses = readAnswers(await client.until()).map(({ status }) => status);
      assertEquals(statuses, [100, 200, 200]);
    });
  }

  for (const framing of [[], ["Content-Length: 0"]]) {
    Deno.test(`RFC 9110 §10.1.1: no 100 without a body: ${framing.join() || "no length"} (${how})`, async () => {
      await using service = start();
      using client = await Client.open(service.port);
      await client.send(...cut(request("/hello.txt", ["Expect: 100-continue", ...framing])));
      assertMatch(await client.until(/Hello/), /^HTTP\/1\.1 200 /);
    });
  }

  Deno.test(`RFC 9110 §10.1.1: no 100 where the final status is known (${how})`, async () => {
    await using service = start();
    using client = await Client.open(service.port);
    const fields = ["Expect: 100-continue", "Content-Length: 5"];
    await client.send(...cut(request("/hello.txt", fields, "POST")));
    const [answer, ...others] = readAnswers(await client.until());
    assertEquals([answer?.status, others], [405, []]);
  });

  Deno.test(`RFC 9112 §9.3.2: responses come in the order of the requests (${how})`, async () => {
    await using service = start();
    const text = [
      request("/hello.txt"),
      request("/hello.txt", [], "HEAD"),
      request("/nothing"),
      request("/digits.txt", ["Range: bytes=2-3"]),
      request("/digits.txt", ["Content-Length: 5"]) + "hello",
      request("/folder"),
      request("/hello.txt", ["If-None-Match: *"]),
      request("/hello.txt", [], "PUT"),
      request("*", [], "OPTIONS"),
      "\r\n" + request("/end.txt", ["Connection: close"]),
      request("/smuggled"),
    ].join("");
    const answers = readAnswers(await talk(service.port, cut(text)), ["GET", "HEAD"]);
    assertEquals(answers.map(({ status, body }) => `${status} ${status < 300 ? body : ""}`), [
      "200 Hello, world!\n",
      "200 ",
      "404 ",
      "206 23",
      "200 0123456789",
      "307 ",
      "304 ",
      "405 ",
      "204 ",
      "200 the end\n",
    ]);
  });

  Deno.test(`RFC 9112 §9.3.2: what follows a bad request is not read (${how})`, async () => {
    await using service = start();
    const text = request("/hello.txt") + request("/hello.txt", ["Bad"]) + request("/smuggled");
    const answers = readAnswers(await talk(service.port, cut(text)));
    assertEquals(answers.map(({ status }) => status), [200, 400]);
  });
}

Deno.test("RFC 9112 §9.3.2: a 421 in the middle of a pipelined group has no effect on the others", async () => {
  await using service = start({ hosts: [] });
  const foreign = request("/hello.txt").replace("localhost", "evil.test");
  const text = request("/hello.txt") + foreign + request("/end.txt", ["Connection: close"]);
  const answers = readAnswers(await talk(service.port, [text]));
  assertEquals(answers.map(({ status }) => status), [200, 421, 200]);
  assertEquals(answers.at(-1)?.body, "the end\n");
});

Deno.test("repeated requests: a byte order mark makes another request", async () => {
  await using service = start();
  for (let round = 0; round < 3; round++) {
    using client = await Client.open(service.port);
    await client.send(request("/hello.txt"));
    assertMatch(await client.until(/Hello/), /^HTTP\/1\.1 200 /);
    client.text = "";
    await client.send(`\xef\xbb\xbf${request("/hello.txt")}`);
    assertMatch(await client.until(), /^HTTP\/1\.1 400 /);
  }
});

Deno.test("RFC 9110 §9.3.2: GET /HEAD has content", async () => {
  using folder = new Folder({ "HEAD": "ref: refs/heads/main\n" });
  await using service = start({ root: folder.root });
  assertEquals((await ask(service.port, "/HEAD")).body, "ref: refs/heads/main\n");
  const { status, fields } = await ask(service.port, "/HEAD", [], "HEAD");
  assertEquals([status, fields.get("Content-Length")], [200, "21"]);
});

const HELLO = request("/hello.txt");
const FIVE = request("/hello.txt", ["Content-Length: 5"]);
const EXPECTING = request("/hello.txt", ["Expect: 100-continue", "Content-Length: 5"]);

/** Requests that were seen before, cut in other places than before; and how many answers come. */
const REPEATED: readonly [rule: string, pieces: string[], answers: number][] = [
  ["one in each write", [HELLO, HELLO, HELLO], 3],
  ["two in one write, then one", [HELLO + HELLO, HELLO, HELLO + HELLO], 5],
  ["in two parts, then whole", [HELLO.slice(0, 20), HELLO.slice(20), HELLO, HELLO], 3],
  ["whole, then in parts", [HELLO, HELLO.slice(0, -2), "\r\n", HELLO.slice(0, -1), "\n"], 3],
  ["in the same parts twice", [
    HELLO.slice(0, 20),
    HELLO.slice(20),
    HELLO.slice(0, 20),
    HELLO.slice(20),
  ], 2],
  ["as the beginning of another one", [HELLO, HELLO.slice(0, -2), "A: b\r\n\r\n"], 2],
  ["with a part of the next one", [HELLO, HELLO + HELLO.slice(0, 9), HELLO.slice(9)], 3],
  ["after empty lines", [HELLO, "\r\n", HELLO, `\r\n${HELLO}`], 3],
  ["with a body that comes later", [`${FIVE}hello`, FIVE, "hello", `${FIVE}hel`, "lo"], 3],
  ["with a body that waits for 100", [`${EXPECTING}hello`, EXPECTING, "hello"], 2],
  [
    "as the body of another one",
    [request("/", [`Content-Length: ${HELLO.length}`]) + HELLO, HELLO],
    2,
  ],
  ["with chunks between them", [
    HELLO,
    chunked("0\r\n"),
    "\r\n",
    HELLO,
    chunked("0\r\n\r\n"),
    HELLO,
  ], 5],
];

for (const [rule, pieces, want] of REPEATED) {
  Deno.test(`repeated requests: ${rule}`, async () => {
    await using service = start();
    using client = await Client.open(service.port);
    const reading = client.until();
    for (const piece of [...pieces, SENTINEL]) {
      await client.send(piece);
      await pause(5); // so that each is read for itself
    }
    // No 100 comes if the body is there before the server looks for it.
    const answers = readAnswers(await reading).filter(({ status }) => status !== 100);
    assertEquals(answers.length, want + 1);
    assertEquals(answers.at(-1)?.body, "the end\n");
    for (const { status, body } of answers.slice(0, -1)) {
      assert(status === 200 && /Hello|home/.test(body));
    }
  });
}

Deno.test("repeated requests: octets that are not UTF-8 are told apart", async () => {
  await using service = start();
  const agents = ["\xff", "\xfe", "\ufffd".replace(/./, "\xef\xbf\xbd"), "\xff"];
  for (const agent of agents) await ask(service.port, "/hello.txt", [`User-Agent: ${agent}`]);
  assertEquals(service.exchanges.map(({ fields }) => fields.get("User-Agent")), agents);
});

Deno.test("RFC 9110 §9.3.7: OPTIONS tells what is allowed", async () => {
  await using service = start();
  for (const target of ["*", "/", "/hello.txt", "/nothing"]) {
    const { status, fields, body } = await ask(service.port, target, [], "OPTIONS");
    assertEquals([status, fields.get("Allow"), body], [204, "GET, HEAD, OPTIONS", ""]);
  }
});

Deno.test("RFC 9112 §9.3.2: 500 requests in one write", async () => {
  await using service = start();
  const text = request("/hello.txt").repeat(499) + request("/end.txt", ["Connection: close"]);
  const answers = readAnswers(await talk(service.port, [text]));
  assertEquals(answers.length, 500);
  assertEquals(answers.at(-1)?.body, "the end\n");
});

/** The client sends no more, in the middle of something or between two things. */
const ENDS: readonly Row[] = [
  ["after nothing", "", ""],
  ["after an empty line", "\r\n", ""],
  ["in the request line", "GET /hel", "400"],
  ["in a field line", `GET / HTTP/1.1\r\n${H}Acc`, "400"],
  ["before the empty line", `GET /hello.txt HTTP/1.1\r\n${H}`, "400"],
  ["in the body", request("/hello.txt", ["Content-Length: 9"]) + "hello", "400"],
  ["in a chunk", chunked("9\r\nhello"), "400"],
  ["before the last chunk", chunked("5\r\nhello\r\n"), "400"],
  ["in the trailer section", chunked("5\r\nhello\r\n0\r\nA: b\r\n"), "400"],
  ["after a request", request("/hello.txt"), "200"],
  ["after two requests", request("/hello.txt") + request("/hello.txt"), "200 200"],
  ["in the second request", `${request("/hello.txt")}GET /`, "200 400"],
];

for (const [how, cut] of Object.entries(CUTS)) {
  for (const [rule, sent, want] of ENDS) {
    Deno.test(`the client half-closes ${rule} (${how})`, async () => {
      await using service = start();
      const answers = readAnswers(await talk(service.port, cut(sent), true));
      assertMatch(answers.map(({ status }) => status).join(" "), new RegExp(`^${want}$`));
    });
  }
}

for (
  const [rule, head, status] of [
    ["a body too long to read", request("/hello.txt", ["Content-Length: 900000"]), 200],
    [
      "a body too long to read, with close",
      request("/hello.txt", ["Content-Length: 900000", "Connection: close"]),
      200,
    ],
    [
      "a refused expectation",
      request("/", ["Expect: 100-continue", "Content-Length: 9"], "PUT"),
      405,
    ],
    ["an unknown coding", request("/", ["Transfer-Encoding: x, chunked"]), 501],
  ] as const
) {
  Deno.test(`RFC 9112 §9.6: a client that sends all before it reads gets the response: ${rule}`, async () => {
    await using service = start();
    using client = await Client.open(service.port);
    await client.send(head);
    await pause(30); // it is answered by now
    for (let round = 0; round < 10; round++) {
      await send(client.conn, ["x".repeat(20_000)]); // rejects if the server has hung up
      await pause(2);
    }
    assertEquals(readAnswers(await client.until())[0]?.status, status);
  });
}

Deno.test("RFC 9112 §9.6: an error arrives while the client goes on sending", async () => {
  await using service = start();
  for (let round = 0; round < 5; round++) {
    const text = await talk(service.port, [
      "BAD\r\n\r\n",
      "x".repeat(200_000),
      "y".repeat(200_000),
    ]);
    assertMatch(text, /^HTTP\/1\.1 400 /);
    readAnswers(text);
  }
});
