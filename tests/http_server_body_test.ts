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
    "not even if it looks like one",
    request("/hello.txt", [`Content-Length: ${SMUGGLED.length}`]) + SMUGGLED,
    "200 kept",
  ],
  ["of a HEAD", request("/hello.txt", ["Content-Length: 5"], "HEAD") + "hello", "200 kept"],
  [
    "of an OPTIONS",
    request("/hello.txt", ["Content-Length: 5"], "OPTIONS") + "hello",
    "204 kept",
  ],
  ["of a POST", request("/hello.txt", ["Content-Length: 5"], "POST") + "hello", "405 kept"],
  ["no body at all", request("/hello.txt", ["Content-Length: 0"]), "200 kept"],
  ["zeros ahead", framed("Content-Length: 0005"), "200 kept"],
  ["white space around it", framed("Content-Length: \t5 "), "200 kept"],
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
    "more are not, but the answer arrives",
    request("/hello.txt", ["Content-Length: 500000"]) + "x".repeat(500_000),
    "200 close",
  ],
  ["two equal lengths", framed("Content-Length: 5", "Content-Length: 5"), "400 close"],
  ["two that differ", framed("Content-Length: 5", "Content-Length: 6"), "400 close"],
  [
    "two that differ, far apart",
    framed("Content-Length: 5", "A: b", "content-length: 0"),
    "400 close",
  ],
  ["a list of equals", framed("Content-Length: 5, 5"), "400 close"],
  ["a list that differs", framed("Content-Length: 5, 6"), "400 close"],
  ["an empty member", framed("Content-Length: 5,"), "400 close"],
  ["a plus", framed("Content-Length: +5"), "400 close"],
  ["a minus", framed("Content-Length: -5"), "400 close"],
  ["minus nothing", framed("Content-Length: -0"), "400 close"],
  ["a blank within", framed("Content-Length: 5 0"), "400 close"],
  ["hexadecimal", framed("Content-Length: 0x5"), "400 close"],
  ["decimals", framed("Content-Length: 5.0"), "400 close"],
  ["an exponent", framed("Content-Length: 5e0"), "400 close"],
  ["an underscore", framed("Content-Length: 5_0"), "400 close"],
  ["quotes", framed('Content-Length: "5"'), "400 close"],
  ["nothing", framed("Content-Length:"), "400 close"],
  ["no number", framed("Content-Length: five"), "400 close"],
  ["digits of another script", framed("Content-Length: \xd9\xa5"), "400 close"],
  ["2^64 + 5 is not 5", framed("Content-Length: 18446744073709551621"), "400 close"],
  ["2^32 + 5 is not 5", framed("Content-Length: 4294967301"), "200 close"],
  ["a length beyond reason", framed(`Content-Length: ${"9".repeat(400)}`), "400 close"],
  ["a name with a space", framed("Content-Length : 5"), "400 close"],
  ["a folded length", framed("Content-Length:\r\n 5"), "400 close"],
  [
    "both ways to tell the end",
    framed("Content-Length: 5", "Transfer-Encoding: chunked"),
    "400 close",
  ],
  ["in the other order", framed("Transfer-Encoding: chunked", "Content-Length: 5"), "400 close"],
  ["with a length of 0", framed("Content-Length: 0", "Transfer-Encoding: chunked"), "400 close"],
  ["with an unknown coding", framed("Content-Length: 5", "Transfer-Encoding: x"), "400 close"],
  [
    "in HTTP/1.0",
    framed("Content-Length: 5", "Transfer-Encoding: chunked").replace("1.1", "1.0"),
    "400 close",
  ],
  [
    "§6.1: chunked from HTTP/1.0",
    framed("Transfer-Encoding: chunked").replace("1.1", "1.0"),
    "200 close",
  ],
  [
    "though it asks for keep-alive",
    framed("Connection: keep-alive", "Transfer-Encoding: chunked").replace("1.1", "1.0"),
    "200 close",
  ],
  ["an unknown coding before chunked", framed("Transfer-Encoding: gzip, chunked"), "501 close"],
  [
    "in a line of its own",
    framed("Transfer-Encoding: gzip", "Transfer-Encoding: chunked"),
    "501 close",
  ],
  ["with a parameter", framed('Transfer-Encoding: a ; b=c;d="e", chunked'), "501 close"],
  ["a parameter of nothing", framed("Transfer-Encoding: ;b=c, chunked"), "400 close"],
  ["an unknown coding", framed("Transfer-Encoding: gzip"), "400 close"],
  ["chunked is not last", framed("Transfer-Encoding: chunked, gzip"), "400 close"],
  ["chunked twice", framed("Transfer-Encoding: chunked, chunked"), "400 close"],
  [
    "chunked in two lines",
    framed("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
    "400 close",
  ],
  ["identity", framed("Transfer-Encoding: identity"), "400 close"],
  ["chunked, identity", framed("Transfer-Encoding: chunked, identity"), "400 close"],
  ["nothing for a coding", framed("Transfer-Encoding:"), "400 close"],
  ["an empty member", framed("Transfer-Encoding: , chunked"), "400 close"],
  ["xchunked", framed("Transfer-Encoding: xchunked"), "400 close"],
  ["chunkedx", framed("Transfer-Encoding: chunkedx"), "400 close"],
  ["chunked in quotes", framed('Transfer-Encoding: "chunked"'), "400 close"],
  ["a parameter of chunked", framed("Transfer-Encoding: chunked;a=b"), "400 close"],
  ["a vertical tab before chunked", framed("Transfer-Encoding: \x0bchunked"), "400 close"],
  ["a no-break space before chunked", framed("Transfer-Encoding: \xa0chunked"), "400 close"],
  ["a space in the name", framed("Transfer-Encoding : chunked"), "400 close"],
  ["a folded coding", framed("Transfer-Encoding:\r\n chunked"), "400 close"],
]);

const LONG_TRAILERS = "A: b\r\n".repeat(3_000);

testRows("RFC 9112 §7.1", [
  ["none", chunked("0\r\n\r\n"), "200 kept"],
  ["one", chunked("5\r\nhello\r\n0\r\n\r\n"), "200 kept"],
  ["two", chunked("5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"), "200 kept"],
  ["the coding's name in any case", chunked("0\r\n\r\n").replace("chunked", "ChunkeD"), "200 kept"],
  [
    "hexadecimal, both cases",
    chunked("a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n"),
    "200 kept",
  ],
  ["zeros ahead", chunked("0005\r\nhello\r\n000\r\n\r\n"), "200 kept"],
  ["CRLF is data", chunked("4\r\n\r\n\r\n\r\n0\r\n\r\n"), "200 kept"],
  [
    "a request is data",
    chunked(`${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`),
    "200 kept",
  ],
  ["many small ones", chunked(`${"1\r\nx\r\n".repeat(10_000)}0\r\n\r\n`), "200 kept"],
  ["of a POST", chunked("5\r\nhello\r\n0\r\n\r\n").replace("GET", "POST"), "405 kept"],
  ["an extension", chunked("5;a=b\r\nhello\r\n0\r\n\r\n"), "200 kept"],
  ["one without a value", chunked("5;a\r\nhello\r\n0;b\r\n\r\n"), "200 kept"],
  ["one in quotes", chunked('5;a="b;\\"c\\\\ d"\r\nhello\r\n0\r\n\r\n'), "200 kept"],
  ["several", chunked('5;a=b;c;d="e"\r\nhello\r\n0\r\n\r\n'), "200 kept"],
  ["§7.1.1: bad white space around", chunked("5 ; a = b\r\nhello\r\n0\r\n\r\n"), "200 kept"],
  ["trailers", chunked("5\r\nhello\r\n0\r\nA: b\r\nC: d\r\n\r\n"), "200 kept"],
  ["trailers cannot frame", chunked("0\r\nContent-Length: 50\r\n\r\n"), "200 kept"],
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
  ["100 trailers", chunked(`0\r\n${"A: b\r\n".repeat(100)}\r\n`), "200 kept"],
  ["101 trailers", chunked(`0\r\n${"A: b\r\n".repeat(101)}\r\n`), "431 close"],
  ["long trailers", chunked(`0\r\nA: ${"b".repeat(20_000)}\r\n\r\n`), "431 close"],
  ["trailers without end", chunked(`0\r\n${LONG_TRAILERS}`), "431 close"],
  ["a long extension", chunked(`5;a=${"b".repeat(20_000)}\r\nhello\r\n0\r\n\r\n`), "400 close"],
  ["an extension without end", chunked(`5;a=${"b".repeat(300_000)}`), "400 close"],
  [
    "many extensions",
    chunked(`${`1;a=${"b".repeat(1_000)}\r\nx\r\n`.repeat(40)}0\r\n\r\n`),
    "400 close",
  ],
  [
    "more than we read",
    chunked(`20000\r\n${"x".repeat(0x20_000)}\r\n0\r\n\r\n`),
    "200 close",
  ],
  [
    "more than we read, in pieces",
    chunked(`${`1000\r\n${"x".repeat(4_096)}\r\n`.repeat(17)}0\r\n\r\n`),
    "200 close",
  ],
  ["a semicolon and nothing", chunked("5;\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["a name is missing", chunked("5;=b\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["a value is missing", chunked("5;a=\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["two semicolons", chunked("5;;a\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["an open quote", chunked('5;a="b\r\nhello\r\n0\r\n\r\n'), "400 close"],
  ["a control octet in it", chunked("5;a=\x01\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["NUL in it", chunked("5;a\0\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["a bare LF in it", chunked("5;a\nhello\r\n0\r\n\r\n"), "400 close"],
  ["a bare CR in it", chunked("5;a\rb\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["a space behind the size", chunked("5 \r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["a tab behind the size", chunked("5\t\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["a space before the size", chunked(" 5\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["no size", chunked("\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["only an extension", chunked(";a=b\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["0x5", chunked("0x5\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["plus", chunked("+5\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["minus", chunked("-5\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["minus nothing", chunked("-0\r\n\r\n"), "400 close"],
  ["no hexadecimal", chunked("g\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["an underscore", chunked("0_5\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["a comma", chunked("5,a\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["2^64 + 5 is not 5", chunked("10000000000000005\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["2^32 + 5 is not 5", chunked("100000005\r\nhello\r\n0\r\n\r\n"), "200 close"],
  ["a size without end", chunked("0".repeat(100_000)), "400 close"],
  ["a bare LF behind the size", chunked("5\nhello\r\n0\r\n\r\n"), "400 close"],
  ["a bare LF behind the data", chunked("5\r\nhello\n0\r\n\r\n"), "400 close"],
  ["a bare CR behind the data", chunked("5\r\nhello\r0\r\n\r\n"), "400 close"],
  ["two octets more than told", chunked("5\r\nhello!!0\r\n\r\n"), "400 close"],
  ["one octet more than told", chunked("4\r\nhello\r\n0\r\n\r\n"), "400 close"],
  ["no CRLF behind the data", chunked("5\r\nhello0\r\n\r\n"), "400 close"],
  ["a bare LF at the end", chunked("0\r\n\n"), "400 close"],
  ["a bare LF behind the last chunk", chunked("0\n\r\n"), "400 close"],
  ["a trailer without colon", chunked("0\r\nA\r\n\r\n"), "400 close"],
  ["a trailer with a space", chunked("0\r\nA : b\r\n\r\n"), "400 close"],
  ["a folded trailer", chunked("0\r\nA: b\r\n c\r\n\r\n"), "400 close"],
  ["a trailer with NUL", chunked("0\r\nA: \0\r\n\r\n"), "400 close"],
  ["a request for a trailer", chunked("0\r\nGET / HTTP/1.1\r\n\r\n"), "400 close"],
]);

testRows("RFC 9110 §10.1.1", [
  [
    "none to HTTP/1.0",
    "GET /hello.txt HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
    "200 kept",
  ],
  [
    "without a body there is nothing to continue",
    request("/hello.txt", ["Expect: 100-continue"]),
    "200 kept",
  ],
  ["in any case", request("/hello.txt", ["Expect: 100-CONTINUE"]), "200 kept"],
  ["an unknown one", request("/hello.txt", ["Expect: 200-ok"]), "417 close"],
  ["a known and an unknown one", request("/hello.txt", ["Expect: 100-continue, x"]), "417 close"],
  [
    "the body may come at once",
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
  ["alone", [HELLO, HELLO, HELLO], 3],
  ["two glued, then one", [HELLO + HELLO, HELLO, HELLO + HELLO], 5],
  ["in parts, then whole", [HELLO.slice(0, 20), HELLO.slice(20), HELLO, HELLO], 3],
  ["whole, then in parts", [HELLO, HELLO.slice(0, -2), "\r\n", HELLO.slice(0, -1), "\n"], 3],
  ["in the same parts twice", [
    HELLO.slice(0, 20),
    HELLO.slice(20),
    HELLO.slice(0, 20),
    HELLO.slice(20),
  ], 2],
  ["the beginning of another", [HELLO, HELLO.slice(0, -2), "A: b\r\n\r\n"], 2],
  ["with a part of the next", [HELLO, HELLO + HELLO.slice(0, 9), HELLO.slice(9)], 3],
  ["behind empty lines", [HELLO, "\r\n", HELLO, `\r\n${HELLO}`], 3],
  ["its body comes later this time", [`${FIVE}hello`, FIVE, "hello", `${FIVE}hel`, "lo"], 3],
  ["it expects 100 this time", [`${EXPECTING}hello`, EXPECTING, "hello"], 3],
  [
    "its body is the request",
    [request("/", [`Content-Length: ${HELLO.length}`]) + HELLO, HELLO],
    2,
  ],
  ["chunks between", [HELLO, chunked("0\r\n"), "\r\n", HELLO, chunked("0\r\n\r\n"), HELLO], 5],
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
    const answers = readAnswers(await reading);
    assertEquals(answers.length, want + 1);
    assertEquals(answers.at(-1)?.body, "the end\n");
    for (const { status, body } of answers.slice(0, -1)) {
      assert(status === 100 || (status === 200 && /Hello|home/.test(body)));
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
  ["nothing at all", "", ""],
  ["an empty line", "\r\n", ""],
  ["half a request line", "GET /hel", "400"],
  ["half a field line", `GET / HTTP/1.1\r\n${H}Acc`, "400"],
  ["no empty line", `GET /hello.txt HTTP/1.1\r\n${H}`, "400"],
  ["half a body", request("/hello.txt", ["Content-Length: 9"]) + "hello", "400"],
  ["half a chunk", chunked("9\r\nhello"), "400"],
  ["no last chunk", chunked("5\r\nhello\r\n"), "400"],
  ["no end of the trailers", chunked("5\r\nhello\r\n0\r\nA: b\r\n"), "400"],
  ["a whole request is answered all the same", request("/hello.txt"), "200"],
  ["so are two", request("/hello.txt") + request("/hello.txt"), "200 200"],
  ["a whole request, then half of one", `${request("/hello.txt")}GET /`, "200 400"],
];

for (const [how, cut] of Object.entries(CUTS)) {
  for (const [rule, sent, want] of ENDS) {
    Deno.test(`the client half-closes: ${rule} (${how})`, async () => {
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
