/**
 * Proxies: requests in absolute-form, tunnels by CONNECT, and who gets which credentials.
 *
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "jsr:@std/assert@^1.0.19";
import { toByteString } from "../protocol.ts";
import { certificate, LOCAL, send, TLS } from "./helpers.ts";
import {
  DONE,
  type Row,
  runHere,
  ScriptedServer,
  STAY,
  testCommands,
  testRows,
  to,
} from "./http_client_helpers.ts";

const PROXY = ["-x", "http://127.0.0.1:PORT"];
const SECRET = `Basic ${btoa("proxy:secret")}`;

/** Absolute-form: the scripted server is the proxy. */
const FORWARDED: Row[] = [
  {
    rule: "RFC 9112 §3.2.2: a request through a proxy is in absolute-form, the Host the origin's",
    sends: [[DONE]],
    args: [...PROXY, "http://origin.invalid/a/../b?c=d#e"],
    asks: [/^GET http:\/\/origin\.invalid\/b\?c=d HTTP\/1\.1\r\nHost: origin\.invalid\r\n/],
    out: "done",
  },
  {
    rule: "RFC 9112 §3.2.2: a port other than 80 is in the absolute-form",
    sends: [[DONE]],
    args: [...PROXY, "http://origin.invalid:8080/"],
    asks: [/^GET http:\/\/origin\.invalid:8080\/ HTTP\/1\.1\r\nHost: origin\.invalid:8080\r\n/],
    out: "done",
  },
  {
    rule: "RFC 9110 §4.2.4: user and password of the URL are no part of the absolute-form",
    sends: [[DONE]],
    args: [...PROXY, "http://me:mine@origin.invalid/"],
    asks: [
      /^GET http:\/\/origin\.invalid\/ HTTP\/1\.1\r\nHost: origin\.invalid\r\nAuthorization: /,
    ],
    out: "done",
  },
  {
    rule: "RFC 9110 §11.7.2: the credentials of -x go to the proxy",
    sends: [[DONE]],
    args: ["-v", "-x", "http://proxy:secret@127.0.0.1:PORT", "http://origin.invalid/"],
    asks: [new RegExp(`^Proxy-Authorization: ${SECRET}\r\n`, "m")],
    says: "> Proxy-Authorization: [credentials]",
    hides: /secret|cHJveHk6/,
    out: "done",
  },
  {
    rule: "RFC 3986 §2.1: user and password of -x are percent-decoded",
    sends: [[DONE]],
    args: ["-x", "http://a%40b:c%3Ad@127.0.0.1:PORT", "http://origin.invalid/"],
    asks: [new RegExp(`^Proxy-Authorization: Basic ${btoa("a@b:c:d")}\r\n`, "m")],
    out: "done",
  },
  {
    rule: "RFC 7617 §2.1: -U is sent as UTF-8",
    sends: [[DONE]],
    args: [...PROXY, "-U", "é:ü", "http://origin.invalid/"],
    asks: [/^Proxy-Authorization: Basic w6k6w7w=\r\n/m],
    out: "done",
  },
  {
    rule: "-U: replaces the credentials of -x",
    sends: [[DONE]],
    args: ["-x", "a:b@127.0.0.1:PORT", "-U", "proxy:secret", "http://origin.invalid/"],
    asks: [new RegExp(`^Proxy-Authorization: ${SECRET}\r\n`, "m")],
    out: "done",
  },
  {
    rule: "-H Proxy-Authorization: replaces the credentials of -x, and is sent once",
    sends: [[DONE]],
    args: [
      "-x",
      "a:b@127.0.0.1:PORT",
      "-H",
      "proxy-authorization: Bearer x",
      "http://origin.invalid/",
    ],
    asks: [/^(?![^]*Basic)[^]*Proxy-Authorization: Bearer x\r\n(?![^]*Bearer)/],
    out: "done",
  },
  {
    rule: "RFC 9110 §15.4: after a redirection to another origin the proxy still gets its own",
    sends: [[to("http://b.invalid/2")], [DONE]],
    args: ["-L", ...PROXY, "-U", "proxy:secret", "-u", "me:mine", "http://a.invalid/1"],
    asks: [
      /^GET http:\/\/a\.invalid\/1 [^]*^Authorization: [^]*^Proxy-Authorization: /m,
      /^GET http:\/\/b\.invalid\/2 (?![^]*\nAuthorization)[^]*^Proxy-Authorization: /m,
    ],
    out: "done",
  },
  {
    rule: "--resolve does not concern what the proxy looks up",
    sends: [[DONE]],
    args: [...PROXY, "--resolve", "origin.invalid:80:127.0.0.9", "http://origin.invalid/"],
    out: "done",
  },
  {
    rule: "407 of a proxy for http is a response like others",
    sends: [["HTTP/1.1 407 Who\r\nContent-Length: 2\r\n\r\nno"]],
    args: [...PROXY, "http://origin.invalid/"],
    out: "no",
  },
  {
    rule: "-I through a proxy",
    sends: [[`HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n`]],
    args: ["-I", ...PROXY, "http://origin.invalid/"],
    asks: [/^HEAD http:\/\/origin\.invalid\/ /],
    out: /^HTTP\/1\.1 200 OK\r\n/,
  },
];
testRows(FORWARDED);

const refused = (
  rule: string,
  sends: Row["sends"],
  says: string | RegExp,
  more: string[] = [],
) => ({
  rule: `RFC 9110 §9.3.6: ${rule}`,
  sends,
  args: [...PROXY, ...more, "https://origin.invalid/"],
  asks: [
    /^CONNECT origin\.invalid:443 HTTP\/1\.1\r\nHost: origin\.invalid:443\r\nUser-Agent: [^\r]*\r\n/,
  ],
  code: 56,
  says,
});

/** Tunnels that do not come about. */
const REFUSED: Row[] = [
  refused(
    "403 to CONNECT is exit 56, and its body is not the origin's",
    [["HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\nhello"]],
    "The proxy refused a tunnel to origin.invalid:443: 403 Forbidden",
  ),
  refused(
    "a redirection of CONNECT is a refusal",
    [[to("https://login.invalid/")]],
    "The proxy refused a tunnel to origin.invalid:443: 302 Moved",
    ["-L"],
  ),
  refused(
    "300 to CONNECT is a refusal",
    [["HTTP/1.1 300 Multiple Choices\r\n\r\n"]],
    "The proxy refused a tunnel to origin.invalid:443: 300 Multiple Choices",
  ),
  refused(
    "407 names the option that is missing",
    [["HTTP/1.1 407 Auth\r\nContent-Length: 0\r\n\r\n"]],
    "407 Auth; give a user and password with -U",
  ),
  refused(
    "407 after -U says that the credentials are wrong",
    [["HTTP/1.1 407 Auth\r\nContent-Length: 0\r\n\r\n"]],
    "407 Auth; user or password is wrong",
    ["-U", "a:b"],
  ),
  refused(
    "octets after the head of a 200 are refused",
    [["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", STAY]],
    /No tunnel through the proxy: |No TLS with/,
  ),
  refused("a proxy that closes is exit 56", [[]], "No tunnel through the proxy: The server closed"),
  refused("a proxy that speaks SSH is exit 56", [["SSH-2.0-x\r\n", STAY]], 'Not HTTP/1: "SSH-2.0"'),
  refused(
    "a header of a proxy that is cut is exit 56",
    [["HTTP/1.1 200 OK\r\nA: b\r\n"]],
    "No tunnel through the proxy",
  ),
  refused(
    "a header of a proxy with too many fields is exit 56",
    [["HTTP/1.1 200 OK\r\n" + "A: b\r\n".repeat(2001) + "\r\n"]],
    "No tunnel through the proxy",
  ),
  refused(
    "101 to CONNECT is a refusal",
    [["HTTP/1.1 101 Upgrade\r\n\r\n"]],
    "No tunnel through the proxy",
  ),
  {
    rule: "RFC 9110 §9.3.6: --retry does not repeat a CONNECT that was refused for good",
    sends: [["HTTP/1.1 403 Forbidden\r\n\r\n"]],
    args: [...PROXY, "--retry", "3", "https://origin.invalid/"],
    code: 56,
    says: /^http_client: The proxy refused a tunnel to origin\.invalid:443: 403 Forbidden\n$/,
    hops: 1,
  },
  {
    rule: "RFC 9110 §9.3.6: --retry repeats a CONNECT after 503",
    sends: [["HTTP/1.1 503 Busy\r\nRetry-After: 0\r\n\r\n"], ["HTTP/1.1 403 No\r\n\r\n"]],
    args: [...PROXY, "--retry", "1", "https://origin.invalid/"],
    code: 56,
    says:
      /^The proxy refused a tunnel to \S+: 503 Busy: again in 0 s, 1 left\nhttp_client: The proxy refused a tunnel to \S+: 403 No\n$/,
    hops: 2,
  },
  {
    rule: "--connect-timeout includes the answer to CONNECT",
    sends: [[STAY]],
    args: [...PROXY, "--connect-timeout", "0.1", "https://origin.invalid/"],
    code: 28,
    says: "No connection to origin.invalid within 0.1 s",
  },
  {
    rule: "-m ends a CONNECT without an answer",
    sends: [[STAY]],
    args: [...PROXY, "-m", "0.1", "https://origin.invalid/"],
    code: 28,
    says: "Not done within 0.1 s",
  },
  {
    rule: "a proxy without an address is exit 5",
    sends: [[DONE]],
    args: ["-x", "http://no.such.host.invalid:1", "http://127.0.0.1:PORT/"],
    code: 5,
    says: "Cannot find an address of proxy no.such.host.invalid",
    hops: 0,
  },
  {
    rule: "a proxy that refuses the connection is exit 7",
    sends: [[DONE]],
    args: ["-x", "http://127.0.0.1:1", "http://127.0.0.1:PORT/"],
    code: 7,
    says: "Cannot connect to proxy 127.0.0.1 port 1: connection refused",
    hops: 0,
  },
  {
    rule: "-6 with a proxy that has an IPv4 address is exit 5",
    sends: [[DONE]],
    args: ["-6", ...PROXY, "http://[::1]/"],
    code: 5,
  },
];
testRows(REFUSED);

testCommands(
  "-x",
  [
    ...["", "socks5://h:1", "https://h:1", "http://", "http://h:x", "http://h:1/path", "h:99999"],
    ...["http://h:1?q", "http://:1@", "a b:1"],
  ].map((value) => ({
    args: ["-x", value, "http://h/"],
    code: 2,
    says: "expected [http://][USER:PASS@]HOST:PORT",
  })),
);
testCommands("-U", [
  { args: ["-U", "a:b", "http://h/"], code: 2, says: 'Option "-U" needs --proxy' },
]);
testCommands("-x: the port", [
  { args: ["-x", "127.0.0.1", "http://h/"], code: 7, says: "proxy 127.0.0.1 port 1080:" },
  { args: ["-x", "http://127.0.0.1:80/", "http://h/"], code: 7, says: "proxy 127.0.0.1 port 80:" },
  { args: ["-x", "[::1]:1", "http://h/"], code: 7, says: "proxy ::1 port 1:" },
]);
testCommands("a secret of -x", [
  { args: ["-x", "ftp://a:secret@h", "http://h/"], code: 2, says: /^(?!.*secret)/ },
]);

/** A proxy that makes tunnels to any port of this machine, whatever the name is. */
class TunnelProxy implements AsyncDisposable {
  /** The heads of the requests it got. */
  readonly requests: string[] = [];
  readonly #listener = Deno.listen(LOCAL);
  readonly #work: Promise<void>[] = [];
  readonly #serving: Promise<void>;

  /** @param answer The head of its answer to CONNECT. */
  constructor(readonly answer = "HTTP/1.1 200 Connection established\r\n\r\n") {
    this.#serving = this.#serve();
  }

  get url(): string {
    return `http://127.0.0.1:${this.#listener.addr.port}`;
  }

  async #serve(): Promise<void> {
    try {
      for (;;) this.#work.push(this.#relay(await this.#listener.accept()).catch(() => {}));
    } catch {
      // the listener was closed
    }
  }

  async #relay(client: Deno.Conn): Promise<void> {
    using _client = client;
    const octets = new Uint8Array(10_000);
    const head = toByteString(octets.subarray(0, await client.read(octets) ?? 0));
    this.requests.push(head);
    const [, port] = /^CONNECT \S+:(\d+) /.exec(head) ?? [];
    using server = await Deno.connect({ hostname: "127.0.0.1", port: Number(port) });
    await send(client, [this.answer]);
    await Promise.all([pump(client, server), pump(server, client)]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await Promise.all([this.#serving, ...this.#work]);
  }
}

async function pump(from: Deno.Conn, to: Deno.Conn): Promise<void> {
  const octets = new Uint8Array(65_536);
  try {
    for (let count; (count = await from.read(octets)) !== null;) {
      for (let sent = 0; sent < count;) sent += await to.write(octets.subarray(sent, count));
    }
    await to.closeWrite();
  } catch {
    // the other end has gone
  }
}

/** Runs the client through a tunnel to a TLS server with that certificate. */
async function throughTunnel(name: string, args: string[], answer?: string, sends = [[DONE]]) {
  const listener = Deno.listenTls({ ...LOCAL, ...await certificate(name) });
  await using server = new ScriptedServer(sends, (text) => [text], listener);
  await using proxy = new TunnelProxy(answer);
  const place = (text: string) =>
    text.replace("PROXY", proxy.url).replace("PORT", `${server.port}`);
  const outcome = await runHere(["-x", proxy.url, ...args.map(place)]);
  return { ...outcome, proxied: proxy.requests, asked: server.requests };
}

testRows([
  refused(
    "octets that come with the head of a 200 are refused",
    [["HTTP/1.1 200 OK\r\n\r\nhello", STAY]],
    "No tunnel through the proxy: Peer sent more in the clear than it should have",
  ),
], ["at once"]);

Deno.test("RFC 9110 §9.3.6: CONNECT without an answer is given up after the read timeout", async () => {
  await using server = new ScriptedServer([[STAY]], (text) => [text], Deno.listen(LOCAL));
  const args = ["-m", "5", "-x", `127.0.0.1:${server.port}`, "https://origin.invalid/"];
  const { code, stderr } = await runHere(args, { readTimeout: 100 });
  const expected = { code: 28, stderr: "http_client: The server sent nothing for 0.1 s\n" };
  assertEquals({ code, stderr }, expected);
});

const CA = ["--cacert", `${TLS}ca.pem`];

Deno.test("RFC 9110 §9.3.6: https goes through a tunnel, and the name is not looked up", async () => {
  const outcome = await throughTunnel("other", [...CA, "https://other.example:PORT/x"]);
  assertEquals(outcome.stdout, "done", outcome.stderr);
  assert(/^CONNECT other\.example:\d+ HTTP\/1\.1\r\n/.test(outcome.proxied[0] ?? ""));
  assert(/^GET \/x HTTP\/1\.1\r\nHost: other\.example:\d+\r\n/.test(outcome.asked[0] ?? ""));
});

Deno.test("RFC 9110 §9.3.6: the certificate in a tunnel is the origin's", async () => {
  const { code, stderr } = await throughTunnel("other", [...CA, "https://localhost:PORT/"]);
  assertEquals(code, 60);
  assertStringIncludes(stderr, "certificate of localhost: it is for other.example");
});

Deno.test("RFC 9110 §11.7.2: each side of a tunnel gets its own credentials only", async () => {
  const { stdout, stderr, proxied, asked } = await throughTunnel("other", [
    ...[...CA, "-v", "-U", "proxy:secret", "-u", "me:mine", "-H", "Cookie: a=b"],
    "https://other.example:PORT/",
  ]);
  assertEquals(stdout, "done", stderr);
  assertStringIncludes(proxied[0] ?? "", `Proxy-Authorization: ${SECRET}\r\n`);
  assert(!/\nAuthorization|Cookie/.test(proxied[0] ?? ""), proxied[0]);
  assertStringIncludes(asked[0] ?? "", `Authorization: Basic ${btoa("me:mine")}\r\n`);
  assert(!/Proxy-/.test(asked[0] ?? ""), asked[0]);
  assert(/^> CONNECT other\.example:\d+ HTTP\/1\.1$/m.test(stderr), stderr);
  assertStringIncludes(stderr, "> Proxy-Authorization: [credentials]");
  assertStringIncludes(stderr, "< HTTP/1.1 200 Connection established\n");
});

Deno.test("RFC 9110 §11.7.2: Proxy-Authorization of -H stays outside the tunnel", async () => {
  const { stdout, proxied, asked } = await throughTunnel("other", [
    ...[...CA, "-H", "Proxy-Authorization: Bearer x"],
    "https://other.example:PORT/",
  ]);
  assertEquals(stdout, "done");
  assertStringIncludes(proxied[0] ?? "", "Proxy-Authorization: Bearer x\r\n");
  assert(!/Bearer/.test(asked[0] ?? ""), asked[0]);
});

Deno.test("RFC 9110 §9.3.6: fields of a 2xx to CONNECT announce no body", async () => {
  const head = "HTTP/1.1 299 Yes\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n";
  const outcome = await throughTunnel("localhost", [...CA, "https://localhost:PORT/"], head);
  assertEquals(outcome.stdout, "done", outcome.stderr);
});

Deno.test("RFC 9110 §9.3.6: interim responses come before the 200", async () => {
  const head = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
  const outcome = await throughTunnel("localhost", [...CA, "https://localhost:PORT/"], head);
  assertEquals(outcome.stdout, "done", outcome.stderr);
});

for (const trust of [["-k"], ["--cacert", `${TLS}root.pem`]]) {
  Deno.test(`a tunnel with ${trust[0]}: node:tls speaks through it, too`, async () => {
    const outcome = await throughTunnel("root", [...trust, "https://localhost:PORT/"]);
    assertEquals(outcome.stdout, "done", outcome.stderr);
    assertEquals(outcome.proxied.length, trust[0] === "-k" ? 1 : 2); // each check has a connection
  });
}

Deno.test("RFC 9110 §15.4: each hop of a redirection gets a tunnel of its own", async () => {
  const sends = [[to("/2")], [DONE]];
  const args = ["-L", ...CA, "https://localhost:PORT/1"];
  const { stdout, proxied } = await throughTunnel("localhost", args, undefined, sends);
  assertEquals(stdout, "done");
  assertEquals(proxied.length, 2);
});
