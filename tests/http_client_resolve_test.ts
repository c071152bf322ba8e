/**
 * Names and addresses: `--resolve`, `localhost`, `-4` and `-6`, and what happens when an address
 * does not answer.
 *
 * @module
 */
import { assert, assertEquals } from "jsr:@std/assert@^1.0.19";
import { certificate, LOCAL, runProgram, TLS } from "./helpers.ts";
import {
  DONE,
  type Row,
  runHere,
  ScriptedServer,
  testCommands,
  testRows,
  to,
} from "./http_client_helpers.ts";

const NOWHERE = "no.such.host.invalid";

const ROWS: Row[] = [
  {
    rule: "--resolve: the address is used, the Host field keeps the name",
    sends: [[DONE]],
    args: ["--resolve", "example.test:PORT:127.0.0.1", "http://example.test:PORT/x"],
    asks: [/^GET \/x HTTP\/1\.1\r\nHost: example\.test:\d+\r\n/],
    out: "done",
  },
  {
    rule: "--resolve: the case of the name does not matter",
    sends: [[DONE]],
    args: ["--resolve", "Example.TEST:PORT:127.0.0.1", "http://exAmple.test:PORT/"],
    out: "done",
  },
  {
    rule: "--resolve: a name with letters that are not ASCII",
    sends: [[DONE]],
    args: ["--resolve", "bücher.test:PORT:127.0.0.1", "http://bücher.test:PORT/"],
    out: "done",
  },
  {
    rule: "--resolve: another port is looked up",
    sends: [[DONE]],
    args: ["--resolve", `${NOWHERE}:1:127.0.0.1`, `http://${NOWHERE}:PORT/`],
    code: 6,
    says: `Cannot find an address of ${NOWHERE}`,
  },
  {
    rule: "--resolve: a part of a name is another name",
    sends: [[DONE]],
    args: ["--resolve", "host.invalid:PORT:127.0.0.1", `http://${NOWHERE}:PORT/`],
    code: 6,
  },
  {
    rule: "--resolve: may be given several times",
    sends: [[to("http://b.test:PORT/2")], [DONE]],
    args: [
      ...["--resolve", "a.test:PORT:127.0.0.1", "--resolve", "b.test:PORT:127.0.0.1"],
      ...["-L", "http://a.test:PORT/1"],
    ],
    asks: [/Host: a\.test/, /Host: b\.test/],
    out: "done",
  },
  {
    rule: "--resolve: of several addresses the next is tried if one refuses",
    sends: [[DONE]],
    args: ["-v", "--resolve", "a.test:PORT:[::1],127.0.0.1", "http://a.test:PORT/"],
    says: "* a.test is ::1, 127.0.0.1",
    out: "done",
  },
  {
    rule: "RFC 8305 §5: of several addresses the first that answers gets the only connection",
    sends: [[DONE]],
    args: ["--resolve", "a.test:PORT:127.0.0.1,127.0.0.1", "http://a.test:PORT/"],
    out: "done",
    hops: 1,
  },
  {
    rule: "--resolve: the address of an address",
    sends: [[DONE]],
    args: ["-v", "--resolve", "[2001:db8::1]:PORT:127.0.0.1", "http://[2001:db8::1]:PORT/"],
    says: "* 2001:db8::1 is 127.0.0.1\n",
    asks: [/^Host: \[2001:db8::1\]:\d+\r$/m],
    out: "done",
  },
  {
    rule: "--resolve: of another family than -6 asks for is exit 6",
    sends: [[DONE]],
    args: ["-6", "--resolve", "a.test:PORT:127.0.0.1", "http://a.test:PORT/"],
    code: 6,
    says: "Cannot find an IPv6 address of a.test",
  },
  {
    rule: "--resolve: the certificate is that of the name",
    tls: "localhost",
    sends: [[DONE]],
    args: [
      ...["--cacert", `${TLS}ca.pem`, "--resolve", "other.example:PORT:127.0.0.1"],
      "https://other.example:PORT/",
    ],
    code: 60,
    says: "certificate of other.example: it is for localhost",
  },
  ...["localhost", "localhost.", "a.localhost", "a.b.LOCALHOST", "a.localhost."].map((name) => ({
    rule: `RFC 6761 §6.3: ${name} is this machine`,
    sends: [[DONE]],
    args: ["-v", `http://${name}:PORT/`],
    asks: [new RegExp(`^Host: ${name.toLowerCase()}:\\d+\r\n`, "m")],
    says: `* ${name.toLowerCase()} is ::1, 127.0.0.1`,
    out: "done",
  })),
  {
    rule: "RFC 6761 §6.3: -4 takes the IPv4 address of a.localhost",
    sends: [[DONE]],
    args: ["-4v", "http://a.localhost:PORT/"],
    says: "* a.localhost is 127.0.0.1",
    out: "done",
  },
  {
    rule: "RFC 6761 §6.3: -6 takes the IPv6 address of localhost, and no other",
    sends: [[DONE]],
    args: ["-6", "http://localhost:PORT/"],
    code: 7,
    says: /Cannot connect to localhost \(::1\) port \d+: connection refused/,
  },
  {
    rule: "-4: an IPv6 address is exit 6",
    sends: [[DONE]],
    args: ["-4", "http://[::1]:PORT/"],
    code: 6,
    says: "Cannot find an IPv4 address of ::1",
  },
  {
    rule: "a name that only ends like localhost is looked up",
    sends: [[DONE]],
    args: ["http://no.such.host.invalid:PORT/"],
    code: 6,
  },
];
testRows(ROWS);

testCommands(
  "--resolve",
  [
    ...["", "a.test", "a.test:80", "a.test:80:", "a.test:0:127.0.0.1", "a.test:65536:127.0.0.1"],
    ...[
      "a.test:80:b.test",
      "a.test:80:127.1",
      "a.test:80:1.2.3.4,",
      "a test:80:1.2.3.4",
      "*:80:::1",
    ],
    ...["a.test:80:80:1.2.3.4", "a.test:x:127.0.0.1", "a.test:80:127.0.0.256", "a.test:80:fe80::g"],
  ].map((value) => ({
    args: ["--resolve", value, "http://h/"],
    code: 2,
    says: "expected HOST:PORT:ADDR, as in example.org:443:127.0.0.1",
  })),
);

testCommands("--resolve: the last port", [
  {
    args: ["--resolve", "a.test:65535:127.0.0.1", "http://a.test:65535/"],
    code: 7,
    says: "Cannot connect to a.test (127.0.0.1) port 65535: connection refused",
  },
]);

Deno.test("--resolve: an IPv6 address needs no brackets", async () => {
  await using server = new ScriptedServer(
    [[DONE]],
    (text) => [text],
    Deno.listen({ hostname: "::1", port: 0 }),
  );
  for (const address of ["::1", "[::1]"]) {
    const args = ["--resolve", `a.test:${server.port}:${address}`, `http://a.test:${server.port}/`];
    assertEquals((await runHere(args)).stdout, "done");
  }
});

/** A port of 127.0.0.2 that takes no more connections: they get no answer. */
async function silentPort(port: number): Promise<DisposableStack> {
  const open = new DisposableStack();
  const silent = { hostname: "127.0.0.2", port };
  open.use(Deno.listen({ ...silent, tcpBacklog: 0 }));
  try {
    for (;;) open.use(await Deno.connect({ ...silent, signal: AbortSignal.timeout(200) }));
  } catch {
    return open;
  }
}

Deno.test("RFC 8305 §5: an address that does not answer costs 250 ms", async () => {
  await using server = new ScriptedServer([[DONE]], (text) => [text], Deno.listen(LOCAL));
  const { port } = server;
  using _silent = await silentPort(port);
  const began = performance.now();
  const place = `a.test:${port}:127.0.0.2,127.0.0.1`;
  const { code, stdout } = await runHere(["-4", "--resolve", place, `http://a.test:${port}/`]);
  assertEquals({ code, stdout }, { code: 0, stdout: "done" });
  const time = performance.now() - began;
  assert(time > 240 && time < 2500, `${time} ms`);
});

Deno.test("RFC 8305 §5: an address that refuses costs no time", async () => {
  await using server = new ScriptedServer([[DONE]], (text) => [text], Deno.listen(LOCAL));
  const { port } = server;
  const addresses = [...Array.from({ length: 20 }, () => "127.0.0.2"), "127.0.0.1"].join();
  const place = `a.test:${port}:${addresses}`;
  const began = performance.now();
  const { stdout } = await runHere(["--resolve", place, `http://a.test:${port}/`]);
  assertEquals(stdout, "done");
  assert(performance.now() - began < 1500);
});

Deno.test("RFC 8305 §5: without an answer --connect-timeout ends all attempts", async () => {
  using listener = Deno.listen(LOCAL);
  const { port } = listener.addr;
  using _silent = await silentPort(port);
  const { code, stderr } = await runHere([
    ...["--connect-timeout", "0.1", "--resolve", `a.test:${port}:127.0.0.2,127.0.0.2`],
    `http://a.test:${port}/`,
  ]);
  assertEquals(code, 28, stderr);
  assert(stderr.includes("No connection to a.test:"), stderr);
});

Deno.test("-m ends the attempts to connect", async () => {
  using listener = Deno.listen(LOCAL);
  const { port } = listener.addr;
  using _silent = await silentPort(port);
  const place = `a.test:${port}:127.0.0.2`;
  const { code, stderr } = await runHere([
    "-m",
    "0.1",
    "--resolve",
    place,
    `http://a.test:${port}/`,
  ]);
  assertEquals(code, 28, stderr);
  assert(stderr.includes("Not done within 0.1 s"), stderr);
});

Deno.test("RFC 8305: all addresses that were tried are in the message", async () => {
  const args = ["--resolve", "a.test:1:127.0.0.1,127.0.0.2", "http://a.test:1/"];
  const { code, stderr } = await runHere(args);
  assertEquals(code, 7);
  assert(
    stderr.includes("Cannot connect to a.test (127.0.0.1, 127.0.0.2) port 1: connection refused"),
    stderr,
  );
});

Deno.test("--resolve: TLS is for the name of the URL", async () => {
  const listener = Deno.listenTls({ ...LOCAL, ...await certificate("other") });
  await using server = new ScriptedServer([[DONE]], (text) => [text], listener);
  const place = `other.example:${server.port}:127.0.0.1`;
  const url = `https://other.example:${server.port}/`;
  const { stdout } = await runHere(["--cacert", `${TLS}ca.pem`, "--resolve", place, url]);
  assertEquals(stdout, "done");
});

Deno.test("--resolve: needs permission for the address", async () => {
  const args = ["--resolve", "a.test:1:127.0.0.1", "http://a.test:1/"];
  const { stderr } = await runProgram("http_client.ts", args, { allow: ["--allow-net=a.test"] });
  assert(stderr.includes("--allow-net=127.0.0.1:1"), stderr);
});

Deno.test("-4: needs permission for the address of localhost", async () => {
  const allow = ["--allow-net=localhost"];
  const { stderr } = await runProgram("http_client.ts", ["-4", "http://localhost:1/"], { allow });
  assert(stderr.includes("--allow-net=127.0.0.1:1"), stderr);
});

Deno.test("RFC 6761 §6.3: permission for localhost is enough for a.localhost", async () => {
  await using server = new ScriptedServer([[DONE]], (text) => [text], Deno.listen(LOCAL));
  for (const name of ["localhost", "a.localhost"]) {
    const url = `http://${name}:${server.port}/`;
    const allow = ["--allow-net=localhost"];
    const { stdout, stderr } = await runProgram("http_client.ts", [url], { allow });
    assertEquals({ stdout, stderr }, { stdout: "done", stderr: "" });
  }
});
