/**
 * TLS in both clients: which certificates a file makes trusted, how they are checked before a word
 * is said, and the words for what goes wrong.
 *
 * @module
 */
import { assert, assertEquals, assertRejects, assertThrows } from "jsr:@std/assert@^1.0.19";
import { createServer } from "node:tls";
import { describeTlsFault, openTls, readTrust, toByteString } from "../protocol.ts";
import { acceptTls, certificate, LOCAL, octetsOf, receive, send, TLS } from "./helpers.ts";

/** A TLS server that answers "heard WORDS" to what it reads. */
class TlsServer implements AsyncDisposable {
  /** What clients said inside TLS, one text for each connection that got so far. */
  readonly heard: string[] = [];
  /** The number of connections. */
  connections = 0;
  /** Resolves when a connection has ended. */
  readonly ended: Promise<void>;
  readonly #listener: Deno.TlsListener;
  readonly #serving: Promise<void>;
  readonly #open = new Set<Disposable>();
  readonly #end: () => void;

  constructor(options: { key: string; cert: string }) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ended = promise;
    this.#end = resolve;
    this.#listener = Deno.listenTls({ ...LOCAL, ...options });
    this.#serving = this.#serve();
  }

  get port(): number {
    return this.#listener.addr.port;
  }

  async #serve(): Promise<void> {
    const work: Promise<void>[] = [];
    try {
      for (;;) work.push(this.#answer(await this.#listener.accept()).catch(() => {}));
    } catch {
      await Promise.all(work); // the listener was closed
    }
  }

  async #answer(conn: Deno.TlsConn): Promise<void> {
    this.connections++;
    this.#open.add(conn);
    const octets = new Uint8Array(100);
    try {
      const count = await conn.read(octets) ?? 0;
      this.heard.push(toByteString(octets.subarray(0, count)));
      if (count > 0) await send(conn, [`heard ${this.heard.at(-1)}`]);
      await conn.closeWrite();
      await conn.read(octets);
    } finally {
      conn[Symbol.dispose]();
      this.#end();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const conn of this.#open) conn[Symbol.dispose]();
    await this.#serving;
  }
}

interface Case {
  rule: string;
  /** The server's certificate. */
  shows: string;
  /** The files that are trusted, if any. */
  trusts?: string[];
  hostname?: string;
  insecure?: boolean;
  /** The message of the fault; without it the connection works. */
  fault?: RegExp;
  /** The number of connections. */
  connections?: number;
}

const CASES: Case[] = [
  { rule: "a CA in the file is trusted", shows: "localhost", trusts: ["ca"] },
  {
    rule: "without a file the default roots are asked",
    shows: "localhost",
    fault: /UnknownIssuer/,
  },
  { rule: "insecure: any certificate will do", shows: "other", insecure: true },
  {
    rule: "a server's own certificate is trusted, whatever its names and dates",
    shows: "own",
    trusts: ["own"],
  },
  {
    rule: "a certificate that says CA:FALSE is pinned",
    shows: "selfsigned",
    trusts: ["selfsigned"],
  },
  {
    rule: "a pinned certificate may have any other name",
    shows: "selfsigned",
    trusts: ["selfsigned"],
    hostname: "mail_server",
  },
  {
    rule: "a server's certificate with the key usage of a CA is pinned",
    shows: "bridge",
    trusts: ["bridge"],
  },
  {
    rule: "a certificate without names is pinned, on a second connection",
    shows: "root",
    trusts: ["root"],
    connections: 2,
  },
  {
    rule: "an expired certificate without names is pinned, on a second connection",
    shows: "old",
    trusts: ["old"],
    connections: 2,
  },
  { rule: "a certificate without names is a CA, too", shows: "issued", trusts: ["root"] },
  {
    rule: "another self-signed certificate of the same names is refused",
    shows: "twin",
    trusts: ["own"],
    fault: /NotPinned/,
    connections: 2,
  },
  {
    rule: "what a pinned certificate signed is refused",
    shows: "forged",
    trusts: ["own"],
    fault: /NotPinned/,
    connections: 2,
  },
  {
    rule: "a server's own that is for a CA is not the pinned one of a CA",
    shows: "twin",
    trusts: ["root"],
    fault: /NotPinned/,
    connections: 2,
  },
  {
    rule: "a file with a pinned certificate may hold CAs, too",
    shows: "localhost",
    trusts: ["own", "ca"],
    connections: 2,
  },
  {
    rule: "a fault that the CAs find is told rather than the missing pin",
    shows: "expired",
    trusts: ["own", "ca"],
    fault: /expired/,
    connections: 2,
  },
  {
    rule: "a fault that the CAs find is told rather than that a CA's own does not match",
    shows: "expired",
    trusts: ["ca"],
    fault: /expired/,
    connections: 2,
  },
  { rule: "one of several pinned certificates", shows: "twin", trusts: ["own", "twin"] },
  {
    rule: "another name of a CA's certificate is refused",
    shows: "other",
    trusts: ["ca"],
    fault: /not valid for name/,
  },
];

for (const { rule, shows, trusts, fault, connections = 1, ...options } of CASES) {
  Deno.test(`TLS: ${rule}`, async () => {
    const text = trusts?.map((name) => Deno.readTextFileSync(`${TLS}${name}.pem`)).join("");
    const trust = text === undefined ? null : readTrust(text);
    await using server = new TlsServer(await certificate(shows));
    const dial = () => Deno.connect({ ...LOCAL, port: server.port });
    const opening = openTls(dial, { hostname: "localhost", trust, ...options });
    if (fault) {
      const { message } = await assertRejects(() => opening, Deno.errors.InvalidData);
      assert(fault.test(message), message);
      assertEquals(server.heard.join(""), "", "nothing was said to it");
    } else {
      const conn = await opening;
      await send(conn, ["hello"]);
      assertEquals(await receive(conn), "heard hello");
      conn.close();
    }
    assertEquals(server.connections, connections);
  });
}

Deno.test("TLS: without a second connection the first fault stands", async () => {
  await using server = new TlsServer(await certificate("root"));
  const trust = readTrust(Deno.readTextFileSync(`${TLS}root.pem`));
  const conns = [await Deno.connect({ ...LOCAL, port: server.port })];
  const dial = () => Promise.resolve(conns.pop() ?? null);
  const { message } = await assertRejects(
    () => openTls(dial, { hostname: "localhost", trust }),
    Deno.errors.InvalidData,
  );
  assert(message.includes("CaUsedAsEndEntity"), message);
});

Deno.test("TLS: what the dialling throws is thrown", async () => {
  const dial = () => Promise.reject(new Error("no route"));
  await assertRejects(() => openTls(dial, { hostname: "localhost" }), Error, "no route");
});

for (const pinned of [false, true]) {
  Deno.test(`TLS: the signal ends a handshake (${pinned ? "pinned" : "roots"})`, async () => {
    using listener = Deno.listen(LOCAL);
    const accepted = listener.accept();
    const stop = new AbortController();
    const trust = pinned ? readTrust(Deno.readTextFileSync(`${TLS}own.pem`)) : null;
    const dial = () => Deno.connect({ ...LOCAL, port: listener.addr.port });
    const opening = openTls(dial, { hostname: "localhost", trust, signal: stop.signal });
    using silent = await accepted;
    await silent.read(new Uint8Array(1)); // the ClientHello
    stop.abort();
    await assertRejects(() => opening);
  });
}

for (const insecure of [false, true]) {
  const how = insecure ? "node:tls" : "Deno";
  Deno.test(`TLS: a signal that has aborted before closes the connection (${how})`, async () => {
    using listener = Deno.listen(LOCAL);
    const accepted = listener.accept();
    const dial = () => Deno.connect({ ...LOCAL, port: listener.addr.port });
    const signal = AbortSignal.abort(new Error("stopped"));
    const opening = openTls(dial, { hostname: "localhost", insecure, signal });
    await assertRejects(() => opening, Error, "stopped");
    using conn = await accepted;
    assertEquals(await receive(conn), "");
  });

  Deno.test(`TLS: a signal that aborts after the handshake closes nothing (${how})`, async () => {
    await using server = new TlsServer(await certificate("localhost"));
    const dial = () => Deno.connect({ ...LOCAL, port: server.port });
    const stop = new AbortController();
    const trust = readTrust(Deno.readTextFileSync(`${TLS}ca.pem`));
    const options = { hostname: "localhost", trust, insecure, signal: stop.signal };
    using conn = await openTls(dial, options);
    stop.abort();
    await send(conn, ["hello"]);
    assertEquals(await receive(conn), "heard hello");
  });

  Deno.test(`TLS: a connection has the addresses of its socket (${how})`, async () => {
    await using server = new TlsServer(await certificate("localhost"));
    let local: Deno.Addr | undefined;
    const dial = async () => {
      const conn = await Deno.connect({ ...LOCAL, port: server.port });
      local = conn.localAddr;
      return conn;
    };
    const trust = readTrust(Deno.readTextFileSync(`${TLS}ca.pem`));
    using conn = await openTls(dial, { hostname: "localhost", trust, insecure });
    const portOf = (addr: Deno.Addr | undefined) => addr && "port" in addr ? addr.port : 0;
    assertEquals(portOf(conn.localAddr), portOf(local));
    assertEquals(portOf(conn.remoteAddr), server.port);
  });

  Deno.test(`RFC 8446 §6.1: closeWrite() and close() send close_notify (${how})`, async () => {
    using listener = Deno.listenTls({ ...LOCAL, ...await certificate("localhost") });
    const dial = () => Deno.connect({ ...LOCAL, port: listener.addr.port });
    const trust = readTrust(Deno.readTextFileSync(`${TLS}ca.pem`));
    const [conn, server] = await Promise.all([
      openTls(dial, { hostname: "localhost", trust, insecure }),
      listener.accept().then(async (server) => (await server.handshake(), server)),
    ]);
    await conn.closeWrite();
    conn.close();
    assertEquals(await server.read(new Uint8Array(1)), null);
    server.close();
  });

  Deno.test(`TLS: a write after the server has gone rejects (${how})`, async () => {
    const server = new TlsServer(await certificate("localhost"));
    const dial = () => Deno.connect({ ...LOCAL, port: server.port });
    const trust = readTrust(Deno.readTextFileSync(`${TLS}ca.pem`));
    using conn = await openTls(dial, { hostname: "localhost", trust, insecure });
    await server[Symbol.asyncDispose]();
    const writing = async () => {
      for (let round = 0; round < 1000; round++) await send(conn, ["x".repeat(10_000)]);
    };
    const { name } = await assertRejects(writing);
    assert(["BrokenPipe", "ConnectionReset"].includes(name), name);
  });
}

Deno.test("TLS: a pinned connection gives its octets to small reads", async () => {
  await using server = new TlsServer(await certificate("own"));
  const dial = () => Deno.connect({ ...LOCAL, port: server.port });
  using conn = await openTls(dial, { hostname: "localhost", insecure: true });
  await send(conn, ["hello"]);
  let text = "";
  const octets = new Uint8Array(3);
  for (let count; (count = await conn.read(octets)) !== null;) {
    text += toByteString(octets.subarray(0, count));
  }
  assertEquals(text, "heard hello");
});

for (const how of ["close()", "using"]) {
  Deno.test(`TLS: a pinned connection is closed by ${how}`, async () => {
    await using server = new TlsServer(await certificate("own"));
    const dial = () => Deno.connect({ ...LOCAL, port: server.port });
    const conn = await openTls(dial, { hostname: "localhost", insecure: true });
    if (how === "using") conn[Symbol.dispose]();
    else conn.close();
    await server.ended;
    await assertRejects(() => conn.read(new Uint8Array(1)));
  });
}

for (
  const [hostname, isNamed] of [
    ["localhost", true],
    ["mail_server.example", true],
    ["4.example", true],
    ["127.0.0.1", false],
    ["::1", false],
    ["fe80::1%eth0", false],
  ] as const
) {
  Deno.test(`RFC 6066 §3: ${isNamed ? "SNI names" : "no SNI for"} ${hostname} (node:tls)`, async () => {
    using listener = Deno.listen(LOCAL);
    const accepted = listener.accept();
    const dial = () => Deno.connect({ ...LOCAL, port: listener.addr.port });
    const opening = openTls(dial, { hostname, insecure: true });
    const conn = await accepted;
    const hello = new Uint8Array(2000);
    const count = await conn.read(hello) ?? 0;
    conn.close();
    await assertRejects(() => opening);
    // ServerName ::= name_type host_name(0), length, name
    const name = `\0\0${String.fromCharCode(hostname.length)}${hostname}`;
    assertEquals(toByteString(hello.subarray(0, count)).includes(name), isNamed);
  });
}

/** Runs with a server of node:tls that says "hello", and ends with or without close_notify. */
async function withNodeServer(
  options: { maxVersion: "TLSv1.2"; ciphers: string },
  isClean: boolean,
  run: (port: number) => Promise<void>,
): Promise<void> {
  const ended = Promise.withResolvers<void>();
  const server = createServer({ ...await certificate("own"), ...options }, (socket) => {
    socket.once("close", ended.resolve).on("error", () => {});
    if (isClean) socket.end("hello");
    else socket.write("hello", () => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, LOCAL.hostname, resolve));
  const address = server.address();
  await run(typeof address === "object" ? address?.port ?? 0 : 0);
  await ended.promise;
  await new Promise((resolve) => server.close(resolve));
}

for (const ciphers of ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-CHACHA20-POLY1305"]) {
  for (const isClean of [true, false]) {
    const how = isClean
      ? "close_notify ends a connection"
      : "an end without close_notify is a fault";
    Deno.test(`RFC 5246 §7.2.1: ${how} (${ciphers}, node:tls)`, () =>
      withNodeServer({ maxVersion: "TLSv1.2", ciphers }, isClean, async (port) => {
        const dial = () => Deno.connect({ ...LOCAL, port });
        using conn = await openTls(dial, { hostname: "localhost", insecure: true });
        const octets = new Uint8Array(5);
        assertEquals(await conn.read(octets), 5);
        assertEquals(toByteString(octets), "hello");
        const end = () => conn.read(octets);
        if (isClean) assertEquals(await end(), null);
        else await assertRejects(end, Deno.errors.UnexpectedEof, "no TLS close_notify");
      }));
  }
}

Deno.test("RFC 8446 §6.1: an end without close_notify is a fault (node:tls)", async () => {
  using listener = Deno.listen(LOCAL);
  const accepted = listener.accept();
  const dial = () => Deno.connect({ ...LOCAL, port: listener.addr.port });
  const opening = openTls(dial, { hostname: "localhost", insecure: true });
  const plain = await accepted;
  const server = await acceptTls(plain);
  const conn = await opening;
  await send(server, ["hello"]);
  const octets = new Uint8Array(5);
  assertEquals(await conn.read(octets), 5);
  plain.close();
  await assertRejects(() => conn.read(octets), Deno.errors.UnexpectedEof, "no TLS close_notify");
  conn.close();
  server.close();
});

Deno.test("TLS: a server that ends the handshake of node:tls is named as one that closed", async () => {
  using listener = Deno.listen(LOCAL);
  const accepted = listener.accept();
  const dial = () => Deno.connect({ ...LOCAL, port: listener.addr.port });
  const opening = openTls(dial, { hostname: "localhost", insecure: true });
  const conn = await accepted;
  await conn.read(new Uint8Array(1000)); // the ClientHello
  conn.close();
  const error = await assertRejects(() => opening);
  assertEquals(describeTlsFault(error, "--ca FILE").why, "the server closed the connection");
});

Deno.test("TLS: reads and writes of single octets are enough for node:tls", async () => {
  await using server = new TlsServer(await certificate("own"));
  const dial = async () => {
    const conn = await Deno.connect({ ...LOCAL, port: server.port });
    const [read, write] = [conn.read.bind(conn), conn.write.bind(conn)];
    conn.read = (octets) => read(octets.subarray(0, 1));
    conn.write = (octets) => write(octets.subarray(0, 1));
    return conn;
  };
  using conn = await openTls(dial, { hostname: "localhost", insecure: true });
  await send(conn, ["hello"]);
  assertEquals(await receive(conn), "heard hello");
});

Deno.test("TLS: a pinned connection has read() and write(), but no streams", async () => {
  await using server = new TlsServer(await certificate("own"));
  const dial = () => Deno.connect({ ...LOCAL, port: server.port });
  using conn = await openTls(dial, { hostname: "localhost", insecure: true });
  assertThrows(() => conn.readable, TypeError, "Use read()");
  assertThrows(() => conn.writable, TypeError, "Use write()");
  conn.ref();
  conn.unref();
});

Deno.test("TLS: a pinned connection half-closes", async () => {
  await using server = new TlsServer(await certificate("own"));
  const trust = readTrust(Deno.readTextFileSync(`${TLS}own.pem`));
  const dial = () => Deno.connect({ ...LOCAL, port: server.port });
  using conn = await openTls(dial, { hostname: "localhost", trust });
  await conn.closeWrite();
  assertEquals(await receive(conn), "");
  assertEquals(server.heard, [""]);
});

// ---- Files of certificates ---------------------------------------------

const pem = (name: string) => Deno.readTextFileSync(`${TLS}${name}.pem`);

for (
  const [rule, text, caCerts, pinned, pinFirst] of [
    ["a leaf is a CA for all we know, as before", pem("localhost"), 1, 0, false],
    ["a CA without names is both", pem("ca"), 1, 1, false],
    ["a server's own", pem("own"), 0, 1, true],
    ["one of X.509 version 1, which cannot say that it is a CA's", pem("v1"), 0, 1, true],
    ["a server's that may sign", pem("bridge"), 1, 1, true],
    ["several, with text between them", `# one\n${pem("ca")}\n# two\r\n${pem("own")}`, 1, 2, true],
    ["line ends of Windows", pem("own").replaceAll("\n", "\r\n"), 0, 1, true],
  ] as const
) {
  Deno.test(`RFC 7468 §5: ${rule}`, () => {
    const trust = readTrust(text);
    assertEquals(trust?.caCerts.length, caCerts);
    assertEquals(trust?.pinned.length, pinned);
    assertEquals(trust?.pinFirst, pinFirst);
  });
}

const block = (octets: string) =>
  `-----BEGIN CERTIFICATE-----\n${btoa(octets)}\n-----END CERTIFICATE-----\n`;
const der = toByteString(
  Uint8Array.fromBase64(pem("own").replace(/-----[^-]*-----/g, "")),
);
for (
  const [rule, text] of [
    ["an empty file", ""],
    ["a key", Deno.readTextFileSync(`${TLS}own.key`)],
    ["no Base64", pem("own").replace("MII", "M*I")],
    ["a certificate of nothing", block("")],
    ["a certificate that is cut short", block(der.slice(0, -1))],
    ["a good certificate and a broken one", pem("own") + block(der.slice(0, 100))],
    ["an endless length", block("\x30\xff")],
    ["a length of 2^64", block("\x30\x88\xff\xff\xff\xff\xff\xff\xff\xff")],
    ["a length that is not known", block(`\x30\x80${der.slice(4, 135)}`)],
    ["an empty SEQUENCE", block("\x30\0")],
    ["a deep nest", block("\x30\x82\x10\0".repeat(1000))],
  ] as const
) {
  Deno.test(`RFC 7468 §5: ${rule} is refused as a file of certificates`, () => {
    assertEquals(readTrust(text), null);
  });
}

/** A DER element of up to 127 octets. */
const element = (tag: number, ...content: string[]) =>
  String.fromCharCode(tag, content.join("").length) + content.join("");
/** An extension: the last octets of its OID, 2.5.29.N, and its value. */
const extension = (n: number, value: string) =>
  element(0x30, element(6, "\x55\x1d" + String.fromCharCode(n)), element(4, value));
const CA_TRUE = extension(19, element(0x30, "\x01\x01\xff"));
const CA_FALSE = extension(19, element(0x30));
const NAMES = extension(17, element(0x30));
const usage = (bits: number) => extension(15, element(3, "\0" + String.fromCharCode(bits)));

/** A certificate with the fields that the reader looks at. */
const tbs = (issuer: string, subject: string, ...extensions: string[]) =>
  element(
    0x30,
    ...[element(0xa0, element(2, "\x02")), element(2, "\x01"), element(0x30)],
    ...[element(0x30, issuer), element(0x30), element(0x30, subject), element(0x30)],
    ...(extensions.length > 0 ? [element(0xa3, element(0x30, ...extensions))] : []),
  );

/** A self-signed certificate's content of this many octets. */
const content = (length: number) =>
  (tbs("a", "a") + (length % 2 > 0 ? "\x04\x01\0" : "")).padEnd(length, "\x04\0");

for (
  const [rule, octets, caCerts, pinned, pinFirst] of [
    ["another issuer", element(0x30, tbs("a", "b")), 1, 0, false],
    ["its own issuer", element(0x30, tbs("a", "a")), 0, 1, true],
    ["its own issuer, for servers", element(0x30, tbs("a", "a", NAMES)), 0, 1, true],
    ["CA:TRUE", element(0x30, tbs("a", "a", CA_TRUE)), 1, 1, false],
    ["CA:FALSE", element(0x30, tbs("a", "a", CA_FALSE)), 0, 1, true],
    ["CA:TRUE for servers", element(0x30, tbs("a", "a", CA_TRUE, NAMES)), 0, 1, true],
    ["keyCertSign", element(0x30, tbs("a", "a", CA_TRUE, NAMES, usage(0x04))), 1, 1, true],
    ["all others", element(0x30, tbs("a", "a", CA_TRUE, NAMES, usage(0xfb))), 0, 1, true],
    ["keyCertSign without CA:TRUE", element(0x30, tbs("a", "a", usage(0x04))), 0, 1, true],
    ["CA:TRUE of another issuer", element(0x30, tbs("a", "b", CA_TRUE)), 1, 0, false],
    ["a length of 127", `\x30\x7f${content(127)}`, 0, 1, true],
    ["a long length of 127", `\x30\x81\x7f${content(127)}`, 0, 1, true],
    ["a length of 128", `\x30\x81\x80${content(128)}`, 0, 1, true],
    ["a length of 256", `\x30\x82\x01\0${content(256)}`, 0, 1, true],
  ] as const
) {
  Deno.test(`RFC 5280 §4.1: a certificate with ${rule}`, () => {
    const trust = readTrust(block(octets));
    const found = [trust?.caCerts.length, trust?.pinned.length, trust?.pinFirst];
    assertEquals(found, [caCerts, pinned, pinFirst]);
    assertEquals(trust?.caCerts.join(""), caCerts > 0 ? block(octets) : "");
    assertEquals(trust?.pinned.map(toByteString).join(""), pinned > 0 ? octets : "");
  });
}

for (
  const [rule, octets] of [
    ["no length (X.690 §8.1.3.6)", `\x30\x80${content(128)}`],
    ["one octet less than its length", element(0x30, tbs("a", "a") + "\x04\0").slice(0, -1)],
    ["a field less than the reader needs", element(0x30, element(0x30, "\x30\0".repeat(4)))],
  ] as const
) {
  Deno.test(`RFC 5280 §4.1: a certificate with ${rule} is refused`, () => {
    assertEquals(readTrust(block(octets)), null);
  });
}

Deno.test("RFC 7468 §5: no single octet of a certificate stops the reader", () => {
  for (let at = 0; at < der.length; at++) {
    for (const octet of ["\0", "\x7f", "\x80", "\xff"]) {
      readTrust(block(der.slice(0, at) + octet + der.slice(at + 1)));
    }
  }
  assertEquals(octetsOf(der).length, der.length);
});

// ---- Words for faults --------------------------------------------------

for (
  const [shows, trusts, words] of [
    ["localhost", "own", "it is not the one that --ca FILE names, and no known CA signed it"],
    ["localhost", null, "it is signed by an unknown CA; to trust that CA, or just it: --ca FILE"],
    ["other", "ca", "it is for other.example"],
    ["expired", "ca", "it expired on Fri, 01 Jan 2021 00:00:00 GMT"],
    ["future", "ca", "it is not valid before Fri, 01 Jan 2100 00:00:00 GMT"],
    ["twin", null, "it is for a CA, not for a server; to trust just it: --ca FILE"],
    ["sha1", "root", "it is signed with SHA-1, which can be forged"],
    ["weak", "short", "its signature is wrong, or made with RSA of fewer than 2048 bits"],
    ["client", "root", "it is not for servers (extended key usage)"],
    [
      "nameless",
      "root",
      "it names no server; to trust just it if it is self-signed: --ca FILE",
    ],
  ] as const
) {
  Deno.test(`RFC 5280: the certificate "${shows}" is refused: ${words}`, async () => {
    await using server = new TlsServer(await certificate(shows));
    const dial = () => Deno.connect({ ...LOCAL, port: server.port });
    const trust = trusts && readTrust(pem(trusts));
    const error = await assertRejects(() => openTls(dial, { hostname: "localhost", trust }));
    assertEquals(describeTlsFault(error, "--ca FILE"), { isCertificate: true, why: words });
  });
}

for (
  const [message, isCertificate, why] of [
    ["invalid peer certificate: BadEncoding", true, "it cannot be checked (bad encoding)"],
    [
      "invalid peer certificate: Other(OtherError(UnsupportedCertVersion))",
      true,
      "it is not of X.509 version 3; to trust just it: --ca FILE",
    ],
    [
      "invalid peer certificate: Other(OtherError(MalformedExtensions))",
      true,
      "it cannot be checked (malformed extensions)",
    ],
    [
      "invalid peer certificate: UnsupportedSignatureAlgorithmContext { signature_algorithm_id: [1] }",
      true,
      "it is signed with an algorithm that is not supported",
    ],
    [
      "invalid peer certificate: UnhandledThing { id: [6, 9], other: 1 }",
      true,
      "it cannot be checked (unhandled thing)",
    ],
    [
      'invalid peer certificate: only valid for DnsName("a.example") or IpAddress(10.0.0.1)',
      true,
      "it is for a.example, 10.0.0.1",
    ],
    [
      "invalid peer certificate: UnhandledThing {\n  id: One,\n}",
      true,
      "it cannot be checked (unhandled thing)",
    ],
    ["invalid peer certificate: ?", true, "it cannot be checked (?)"],
    ["invalid peer certificate: Odd(\nThing)", true, "it cannot be checked (thing)"],
    [
      "received corrupt message of type InvalidContentType",
      false,
      "the server does not speak TLS on this port",
    ],
    [
      "received fatal alert: ProtocolVersion",
      false,
      "the server has only TLS 1.1 or older; 1.2 is needed",
    ],
    [
      "received fatal alert: HandshakeFailure",
      false,
      "the server found no cipher in common, or wants a client certificate",
    ],
    [
      "received fatal alert: CertificateRequired",
      false,
      "the server wants a client certificate, which is not supported",
    ],
    ["received fatal alert: UnrecognisedName", false, "the server does not serve this name"],
    ["received fatal alert: UnknownCA", false, 'the server sent the alert "unknown ca"'],
    ["received fatal alert: InternalError", false, 'the server sent the alert "internal error"'],
    ["unexpected end of file", false, "the server closed the connection"],
    ["Connection reset by peer", false, "Connection reset by peer"],
  ] as const
) {
  Deno.test(`RFC 8446 §6: "${message}" in words`, () => {
    assertEquals(describeTlsFault(new Error(message), "--ca FILE"), { isCertificate, why });
  });
}

Deno.test("RFC 8446 §6: a thrown value that is not an Error is shown as it is", () => {
  const fault = { isCertificate: false, why: "gone" };
  assertEquals(describeTlsFault("gone", "--ca FILE"), fault);
});
