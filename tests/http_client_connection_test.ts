/**
 * Names, addresses, TCP and TLS: how a connection is made, trusted and ended.
 *
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "jsr:@std/assert@^1.0.19";
import { certificate, LOCAL, octetsOf, ROOT, runProgram, TLS } from "./helpers.ts";
import {
  BLIND,
  chunked,
  DONE,
  has,
  OK,
  RESET,
  resetting,
  type Row,
  runHere,
  ScriptedServer,
  STAY,
  testCommands,
  testRows,
} from "./http_client_helpers.ts";

/** RFC 9110 §4.3.4 and RFC 8446: certificates and handshakes. */
const TRUST: Row[] = [
  {
    rule: "RFC 9110 §4.3.4: --cacert adds a CA",
    tls: "localhost",
    sends: [[DONE]],
    args: ["--cacert", `${TLS}ca.pem`, "URL"],
    out: "done",
  },
  {
    rule: "--cacert: the server's own self-signed certificate is trusted, and just that one",
    tls: "own",
    sends: [[DONE]],
    args: ["--cacert", `${TLS}own.pem`, "-v", "URL"],
    out: "done",
    says: "* TLS: the certificate of 127.0.0.1 is trusted",
  },
  {
    rule: "--cacert: another self-signed certificate of the same names is exit 60",
    tls: "twin",
    sends: [[DONE]],
    args: ["--cacert", `${TLS}own.pem`, "URL"],
    code: 60,
    says: "it is not the one that --cacert FILE names, and no known CA signed it",
    hops: 0,
  },
  {
    rule: "RFC 9110 §4.3.4: a certificate of an unknown CA is exit 60",
    tls: "localhost",
    sends: [[DONE]],
    code: 60,
    says: /127\.0\.0\.1.*an unknown CA/,
  },
  {
    rule: "RFC 9110 §4.3.4: a self-signed certificate is exit 60",
    tls: "selfsigned",
    sends: [[DONE]],
    args: ["--cacert", `${TLS}ca.pem`, "URL"],
    code: 60,
  },
  {
    rule: "RFC 9110 §4.3.4: a certificate for another name is exit 60",
    tls: "other",
    sends: [[DONE]],
    args: ["--cacert", `${TLS}ca.pem`, "URL"],
    code: 60,
    says: /127\.0\.0\.1.*other\.example/,
  },
  {
    rule: "RFC 9110 §4.3.4: an expired certificate is exit 60",
    tls: "expired",
    sends: [[DONE]],
    args: ["--cacert", `${TLS}ca.pem`, "URL"],
    code: 60,
    says: /expired on .*2021/,
  },
  {
    rule: "RFC 9110 §4.3.4: a certificate that is not yet valid is exit 60",
    tls: "future",
    sends: [[DONE]],
    args: ["--cacert", `${TLS}ca.pem`, "URL"],
    code: 60,
    says: /not valid before .*2100/,
  },
  ...["localhost", "other", "expired", "future", "selfsigned"].map((tls) => (
    {
      rule: `-k: accepts the certificate "${tls}" with a warning`,
      tls,
      sends: [[DONE]],
      args: ["-k", "URL"],
      out: "done",
      says: "warning",
    }
  )),
  {
    rule: "-k: does not warn with -s",
    tls: "other",
    sends: [[DONE]],
    args: ["-sk", "URL"],
    out: "done",
    hides: /./,
  },
  {
    rule: "RFC 9112 §9.8: a framed body needs no close_notify",
    tls: "localhost",
    sends: [[DONE, STAY]],
    args: ["--cacert", `${TLS}ca.pem`, "URL"],
    out: "done",
  },
  {
    rule: "RFC 8446: a server without TLS is exit 35",
    sends: [[BLIND, "HTTP/1.1 400 No\r\n\r\n", STAY]],
    args: ["-m", "5", "https://127.0.0.1:PORT/"],
    code: 35,
    says: "the server does not speak TLS on this port; try http://",
  },
  {
    rule: "RFC 8446: a connection closed in the handshake is exit 35",
    sends: [[BLIND, 50, RESET]],
    args: ["https://127.0.0.1:PORT/"],
    code: 35,
  },
];

testRows(TRUST);

testCommands("connection", [
  { args: ["http://no.such.host.invalid/"], code: 6, says: "no.such.host.invalid" },
  { args: ["http://bücher.invalid/"], code: 6, says: "xn--bcher-kva.invalid" },
  { args: [`http://${"a".repeat(300)}/`], code: 6 },
  {
    args: ["-6", "http://no.such.host.invalid/"],
    code: 6,
    says: "Cannot find an IPv6 address of no",
  },
  { args: ["-6", "http://127.0.0.1:1/"], code: 6 },
  { args: ["-4", "http://[::1]:1/"], code: 6 },
  { args: ["http://127.0.0.1:1/"], code: 7, says: "127.0.0.1 port 1" },
  { args: ["http://127.0.0.1:0/"], code: 7 },
  { args: ["--cacert", "/no/such/ca", "https://h/"], code: 77, says: "/no/such/ca" },
  { args: ["--cacert", `${ROOT}deno.json`, "https://h/"], code: 77, says: "no PEM certificate" },
  { args: ["--cacert", `${TLS}localhost.key`, "https://h/"], code: 77 },
  {
    args: ["-v", "http://no.such.host.invalid/"],
    code: 6,
    says: /^http_client: Cannot find an address of no\.such\.host\.invalid\n$/,
  },
  {
    args: ["-v", "http://bücher.invalid/"],
    code: 6,
    says: "* bücher.invalid is xn--bcher-kva.invalid to the DNS",
  },
]);

const RESETS = [
  { rule: "RFC 9112 §8: a reset before the header is exit 56", text: "", out: "" },
  { rule: "RFC 9112 §8: a reset inside the header is exit 56", text: `${OK}X`, out: "" },
  {
    rule: "RFC 9112 §8: a reset inside a body with a length is exit 56",
    text: `${OK}Content-Length: 9\r\n\r\nhello`,
    out: "hello",
  },
  {
    rule: "RFC 9112 §8: a reset inside a body without a length is exit 56",
    text: `${OK}\r\nhello`,
    out: "hello",
  },
  {
    rule: "RFC 9112 §8: a reset inside a chunk is exit 56",
    text: chunked("9\r\nhello"),
    out: "hello",
  },
];

for (const { rule, text, out } of RESETS) {
  Deno.test(rule, async () => {
    const { code, stdout, stderr } = await resetting(text, []);
    assertEquals({ code, stdout }, { code: 56, stdout: out }, stderr);
    assertStringIncludes(stderr, "http_client: ");
  });
}

Deno.test("RFC 9112 §8: a reset before the request is exit 56", async () => {
  const { code, stderr } = await resetting(null, []);
  assertEquals(code, 56, stderr);
});

/** A TLS server of Python's, which can leave the close_notify out. */
const TLS_SERVER = `
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1] + ".pem", sys.argv[1] + ".key")
if sys.argv[3] == "asks": context.verify_mode = ssl.CERT_REQUIRED
if sys.argv[2] == "1.2": context.maximum_version = ssl.TLSVersion.TLSv1_2
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
print(listener.getsockname()[1], flush=True)
conn = context.wrap_socket(listener.accept()[0], server_side=True)
conn.recv(65536)
conn.sendall(sys.argv[4].encode())
if sys.argv[3] == "polite":
    try: conn.unwrap()
    except OSError: pass
else: conn.shutdown(socket.SHUT_RDWR)
`;

const ENDINGS = [
  {
    rule: "RFC 9112 §9.8: close_notify ends a body without length",
    how: "polite",
    text: `${OK}\r\nhello`,
    code: 0,
  },
  {
    rule: "RFC 9112 §9.8: a body without length is incomplete without close_notify",
    how: "rude",
    text: `${OK}\r\nhello`,
    code: 56,
  },
  {
    rule: "RFC 9112 §9.8: a body with a length needs no close_notify",
    how: "rude",
    text: `${OK}Content-Length: 5\r\n\r\nhello`,
    code: 0,
  },
  {
    rule: "RFC 9112 §9.8: a chunked body needs no close_notify",
    how: "rude",
    text: chunked("5\r\nhello\r\n0\r\n\r\n"),
    code: 0,
  },
  {
    rule: "RFC 9112 §9.8: a body cut short is exit 18",
    how: "polite",
    text: `${OK}Content-Length: 6\r\n\r\nhello`,
    code: 18,
  },
];

/** Starts the server, and runs the client with a way to trust it. */
async function askPython(version: string, how: string, text: string, trust: string[]) {
  const child = new Deno.Command("python3", {
    args: ["-c", TLS_SERVER, `${TLS}localhost`, version, how, text],
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const reader = child.stdout.getReader();
  const { value } = await reader.read();
  const port = new TextDecoder().decode(value).trim();
  const outcome = await runHere([...trust, `https://127.0.0.1:${port}/`]);
  await reader.cancel();
  await child.status;
  return outcome;
}

const ENDED = [["--cacert", `${TLS}ca.pem`], ["-k"]].flatMap((trust) =>
  ["1.2", "1.3"].flatMap((version) => ENDINGS.map((ending) => ({ trust, version, ...ending })))
);

const hasPython = await has("python3");
for (const { rule, trust, version, how, text, code } of ENDED) {
  Deno.test({
    name: `${rule} (TLS ${version}, ${trust[0]})`,
    ignore: !hasPython,
    fn: async () => {
      const outcome = await askPython(version, how, text, trust);
      assertEquals(outcome.code, code, JSON.stringify(outcome));
      assertEquals(outcome.stdout, "hello");
    },
  });
}

Deno.test({
  name: "RFC 8446 §4.3.2: a server that requires a certificate of the client is exit 35",
  ignore: !hasPython,
  fn: async () => {
    const { code, stderr } = await askPython("1.3", "asks", "", ["--cacert", `${TLS}ca.pem`]);
    assertEquals(code, 35, stderr);
    assertStringIncludes(stderr, "certificate");
  },
});

for (
  const [rule, answer, args, code] of [
    ["a body with a length", DONE, [], 0],
    ["a chunked body", chunked("5\r\nhello\r\n0\r\n\r\n"), [], 0],
    ["a failure with -f", "HTTP/1.1 404 N\r\nContent-Length: 5\r\n\r\nhello", ["-f"], 22],
  ] as const
) {
  for (const trust of [["--cacert", `${TLS}ca.pem`], ["-k"]]) {
    Deno.test(`RFC 9112 §9.8: the client sends close_notify after ${rule} (${trust[0]})`, async () => {
      using listener = Deno.listenTls({ ...LOCAL, ...await certificate("localhost") });
      const serving = listener.accept().then(async (conn) => {
        using peer = conn;
        await peer.read(new Uint8Array(65_536));
        await peer.write(octetsOf(answer));
        return await peer.read(new Uint8Array(1)); // throws UnexpectedEof without close_notify
      });
      const { port } = listener.addr;
      const running = runProgram("http_client.ts", [
        ...trust,
        ...args,
        `https://127.0.0.1:${port}/`,
      ]);
      running.finally(() => listener.close()); // a client that ends before it connects
      const [received, outcome] = await Promise.all([serving, running]);
      assertEquals([received, outcome.code], [null, code], outcome.stderr);
    });
  }
}

Deno.test("RFC 3986 §3.2.2: an IPv6 address is accepted with a zone and without", async () => {
  let listener: Deno.Listener;
  try {
    listener = Deno.listen({ hostname: "::1", port: 0 });
  } catch {
    console.log("skipped: no IPv6 here");
    return;
  }
  await using server = new ScriptedServer([[DONE]], (text) => [text], listener);
  for (
    const args of [[`[::1]:${server.port}/a`], [`http://[::1%25lo]:${server.port}/`], [
      "::1",
      `${server.port}`,
      "f",
    ], ["-6", `[::1]:${server.port}`]]
  ) {
    const { code, stdout, stderr } = await runProgram("http_client.ts", args);
    assertEquals(code, 0, stderr);
    assert(stdout.endsWith("done"));
  }
  for (const request of server.requests) {
    assertStringIncludes(request, `Host: [::1]:${server.port}\r\n`);
  }
});

for (
  const [flag, ...args] of [
    ["net", "http://127.0.0.1:1/"],
    ["net", "-w", "%{time_connect}", "http://no.such.host.invalid/"],
    ["net=no.such.host.invalid\n", "-4", "http://no.such.host.invalid/"],
    ["net=no.such.host.invalid\n", "-6", "http://no.such.host.invalid/"],
    ["read", "-d", "@x", "u"],
  ] as const
) {
  Deno.test(`a missing --allow-${flag.trim()} is named in the message (${args[0]})`, async () => {
    const { stderr, code } = await runProgram("http_client.ts", [...args], { allow: [] });
    assertStringIncludes(stderr, `--allow-${flag}`);
    assert(code > 0 && stderr.trim().split("\n").length === 1, stderr);
  });
}

Deno.test("-4 and -6 need permission for the name without a port", async () => {
  const allow = ["--allow-net=no.such.host.invalid:80"];
  for (const option of ["-4", "-6"]) {
    const args = [option, "http://no.such.host.invalid/"];
    const { stderr } = await runProgram("http_client.ts", args, { allow });
    assertStringIncludes(stderr, "; add --allow-net=no.such.host.invalid\n");
  }
});

for (const option of ["-v", "--timing"]) {
  Deno.test(`${option} needs no more permission than the name of the server`, async () => {
    await using server = new ScriptedServer([[DONE]], (text) => [text], Deno.listen(LOCAL));
    const allow = ["--allow-net=localhost"];
    const args = [option, `http://localhost:${server.port}/`];
    const { code, stdout, stderr } = await runProgram("http_client.ts", args, { allow });
    assertEquals({ code, stdout }, { code: 0, stdout: "done" }, stderr);
  });
}
