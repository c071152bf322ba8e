/**
 * The mail client and TLS: STARTTLS, implicit TLS, certificates. The transcripts are whole.
 *
 * @module
 */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "jsr:@std/assert@^1.0.19";
import { UsageError, Wire } from "../protocol.ts";
import { acceptTls, certificate, LOCAL, octetsOf, runProgram, TLS } from "./helpers.ts";
import {
  b64,
  BYE,
  converse,
  type Dialogue,
  HI,
  MAIL,
  MINIMAL,
  type Mode,
  PASSWORD,
  playServer,
  prelude,
  run,
  SENT,
  testDialogues,
  TRY,
} from "./smtp_helpers.ts";

/** STARTTLS and handshakes. */
const DIALOGUES: Dialogue[] = [
  {
    rule: "RFC 3207 §4: without an offer of STARTTLS no mail is sent",
    talk: `S: 220 mx\nC: EHLO [127.0.0.1]\nS: 250 mx\n${BYE}`,
    code: 76,
    says: "Server does not offer STARTTLS: nothing was sent\n" +
      "smtp_client: Try port 465; --tls none would send in the clear\n",
  },
  {
    rule: "RFC 5321 §4.1.1.1: STARTTLS in the first line of the EHLO reply is not an offer",
    talk:
      `S: 220 mx STARTTLS\nC: EHLO [127.0.0.1]\nS: 250-mx STARTTLS AUTH PLAIN SIZE 5\nS: 250 SIZE\n${BYE}`,
    code: 76,
  },
  {
    rule: 'RFC 5321 §4.1.1.1: XSTARTTLS, STARTTLSX and "NO STARTTLS" do not offer STARTTLS',
    talk:
      `S: 220 mx\nC: EHLO [127.0.0.1]\nS: 250-mx\nS: 250-XSTARTTLS\nS: 250-STARTTLSX\nS: 250 NO STARTTLS\n${BYE}`,
    code: 76,
  },
  {
    rule: "RFC 3207 §4: a server that does not know EHLO gets no mail, since it has no STARTTLS",
    talk: `S: 220 mx\nC: EHLO [127.0.0.1]\nS: 502 what?\n${BYE}`,
    code: 76,
  },
  {
    rule: "RFC 3207 §4: 454 to STARTTLS is exit 75",
    talk: `${HI}C: STARTTLS\nS: 454 4.7.0 not now\n${BYE}`,
    code: 75,
    says: "454 4.7.0",
  },
  {
    rule: "RFC 3207 §4: 554 to STARTTLS is exit 76",
    talk: `${HI}C: STARTTLS\nS: 554 no\n${BYE}`,
    code: 76,
  },
  {
    rule: "RFC 3207 §4: 250 to STARTTLS is exit 76",
    talk: `${HI}C: STARTTLS\nS: 250 ok\n${BYE}`,
    code: 76,
  },
  {
    rule: "RFC 3207 §5: octets after the 220 to STARTTLS are refused as injected",
    talk: `${HI}C: STARTTLS\nRAW: "220 go\\r\\n250 injected\\r\\n"`,
    code: 76,
    says: "in the clear",
  },
  {
    rule: "RFC 3207 §4: a connection closed at STARTTLS is exit 75",
    talk: `${HI}C: STARTTLS\nGONE:`,
    code: 75,
  },
  {
    rule: "RFC 8446 §4: a connection closed in the TLS handshake is exit 75",
    talk: `${HI}C: STARTTLS\nS: 220 go\nGONE:`,
    code: 75,
  },
  {
    rule: "RFC 8446 §5.1: plain text in the TLS handshake is exit 76",
    talk: `${HI}C: STARTTLS\nS: 220 go\nPAUSE:\nS: 250 ok\nSTILL:`,
    code: 76,
  },
  {
    rule: "RFC 3207 §4.2: what was offered before TLS is forgotten",
    talk:
      `S: 220 mx\nC: EHLO [127.0.0.1]\nS: 250-mx\nS: 250-SIZE 10\nS: 250-AUTH PLAIN\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nTLS:\nC: EHLO [127.0.0.1]\nS: 250 mx\n${SENT}`,
    code: 0,
  },
  {
    rule: "RFC 3207 §4.2: an offer of STARTTLS inside TLS is not taken",
    talk:
      `${HI}C: STARTTLS\nS: 220 go\nTLS:\nC: EHLO [127.0.0.1]\nS: 250-mx\nS: 250 STARTTLS\n${SENT}`,
    code: 0,
  },
  {
    rule: "RFC 5321 §2.4: an EHLO keyword may be in any case",
    talk:
      `S: 220 mx\nC: EHLO [127.0.0.1]\nS: 250-mx\nS: 250 sTarTtLs\nC: STARTTLS\nS: 220 go\nTLS:\nC: EHLO [127.0.0.1]\nS: 250 mx\n${SENT}`,
    code: 0,
  },
  {
    rule: "RFC 5321 §3.2: after 500 to EHLO inside TLS the client sends HELO",
    talk:
      `${HI}C: STARTTLS\nS: 220 go\nTLS:\nC: EHLO [127.0.0.1]\nS: 500 what?\nC: HELO [127.0.0.1]\nS: 250 mx\n${SENT}`,
    code: 0,
  },
  {
    rule: "RFC 5280 §6: a certificate of an unknown issuer is refused, with the remedy",
    talk: `${HI}C: STARTTLS\nS: 220 go\nTLS: selfsigned`,
    code: 76,
    says: /signed by an unknown CA.*--ca FILE/,
  },
  {
    rule: "RFC 6125 §6: a certificate for another name is refused",
    talk: `${HI}C: STARTTLS\nS: 220 go\nTLS: other`,
    code: 76,
    says: /other\.example\b.*\nsmtp_client: Give --server a name that is in the certificate\n/,
  },
  {
    rule: "RFC 5280 §4.1.2.5: an expired certificate is refused",
    talk: `${HI}C: STARTTLS\nS: 220 go\nTLS: expired`,
    code: 76,
    says: /it expired.*\nsmtp_client: Check the clock, or tell the operator of the server\n/,
  },
  {
    rule: "RFC 5280 §4.1.2.5: a certificate that is not valid yet is refused",
    talk: `${HI}C: STARTTLS\nS: 220 go\nTLS: future`,
    code: 76,
    says: /it is not valid before Fri, 01 Jan 2100.*\nsmtp_client: Check the clock/,
  },
  {
    rule: "RFC 8314 §3.3: implicit TLS to a plain SMTP port is exit 76, with the remedy",
    talk: "S: 220 mx\nSTILL:",
    args: ["-t", "bob@example.org", "--tls", "implicit"],
    code: 76,
    says: "smtp_client: If the port starts without TLS, as 587: --tls starttls\n",
  },
  {
    rule: "RFC 7435 §3: --tls try without an offer of STARTTLS continues without TLS",
    talk: `S: 220 mx\nC: EHLO [127.0.0.1]\nS: 250 mx\n${SENT}`,
    args: TRY,
    code: 0,
  },
  {
    rule: "RFC 7435 §3: --tls try after 454 to STARTTLS continues without TLS",
    talk: `${HI}C: STARTTLS\nS: 454 no\n${SENT}`,
    args: TRY,
    code: 0,
  },
  {
    rule: "RFC 7435 §3: --tls try after 400 to STARTTLS continues without TLS",
    talk: `${HI}C: STARTTLS\nS: 400 no\n${SENT}`,
    args: TRY,
    code: 0,
  },
  {
    rule: "RFC 3207 §4: --tls try after 399 to STARTTLS is exit 76",
    talk: `${HI}C: STARTTLS\nS: 399 ?\n${BYE}`,
    args: TRY,
    code: 76,
  },
  {
    rule: "RFC 3207 §4: after 421 to STARTTLS nothing more is sent",
    talk: `${HI}C: STARTTLS\nS: 421 closing`,
    code: 75,
  },
  {
    rule: "RFC 7435 §3: --tls try uses STARTTLS if it is offered",
    talk: `${HI}C: STARTTLS\nS: 220 go\nTLS:\nC: EHLO [127.0.0.1]\nS: 250 mx\n${SENT}`,
    args: TRY,
    code: 0,
  },
  {
    rule: "RFC 7435 §3: --tls try refuses a certificate for another name",
    talk: `${HI}C: STARTTLS\nS: 220 go\nTLS: other`,
    args: TRY,
    code: 76,
  },
  {
    rule: "RFC 4954 §4: --tls try with --user sends no credentials and no mail without TLS",
    talk: `S: 220 mx\nC: EHLO [127.0.0.1]\nS: 250-mx\nS: 250 AUTH PLAIN LOGIN\n${BYE}`,
    args: [...TRY, "-u", "ann"],
    env: PASSWORD,
    code: 76,
  },
];

testDialogues(DIALOGUES, null);

/** The second connection, for the second check of a certificate. */
const SECOND: [what: string, second: string][] = [
  ["is closed", "GONE:"],
  ["does not speak SMTP", "S: SSH-2.0-x\nGONE:"],
  ["does not offer STARTTLS", `S: 220 mx\nC: EHLO [127.0.0.1]\nS: 250 mx\n${BYE}`],
];

for (const [what, second] of SECOND) {
  Deno.test(`RFC 5280 §6: a certificate is refused, also if the second connection ${what}`, async () => {
    using listener = Deno.listen(LOCAL);
    const talks = [`${HI}C: STARTTLS\nS: 220 go\nTLS: twin`, second];
    const serving = acceptAll(listener, async (conn) => {
      await playServer(conn, talks.shift() ?? "GONE:", (text) => [text]);
    });
    const args = ["--server", `127.0.0.1:${listener.addr.port}`, "--ca", `${TLS}own.pem`];
    const { code, stderr } = await run([...args, "--check", "--timeout", "5"]);
    listener.close();
    await serving;
    assertEquals(code, 76, stderr);
    assertStringIncludes(stderr, "Cannot trust the certificate of 127.0.0.1");
    assert(talks.length === 0, "there is a second connection");
  });
}

/** Failures that resemble others: advice for those would mislead. */
const WITHOUT_ADVICE: (Dialogue & { mode: Mode })[] = [
  {
    rule: "advice: a 530 inside the text of a reply is not the code 530",
    mode: "none",
    talk: `${prelude("none", [])}\n${MAIL}\nC: RCPT TO:<bob@example.org>\n` +
      `S: 550 5.1.1 no a530 here\n${BYE}`,
    code: 69,
  },
  {
    rule: "advice: --tls implicit is not recommended inside implicit TLS",
    mode: "implicit",
    talk: "TLS:\nGONE:",
    code: 75,
  },
  {
    rule: "advice: --tls implicit is not recommended for a server that greets in the clear",
    mode: "none",
    talk: "S: SSH-2.0-x",
    code: 76,
  },
];

for (const { mode, ...dialogue } of WITHOUT_ADVICE) {
  Deno.test(dialogue.rule, async () => {
    const args = ["-t", "bob@example.org", "--tls", mode];
    const { stderr } = await converse({ ...dialogue, args }, null, (text) => [text]);
    assertEquals(stderr.trim().split("\n").length, 1, stderr);
  });
}

Deno.test("--ca: a file whose second certificate is malformed is a usage error", async () => {
  const [begin, end] = ["-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"];
  const stdin = `${await Deno.readTextFile(`${TLS}ca.pem`)}${begin}\nAAAA\n${end}\n`;
  await assertRejects(() => run([...MINIMAL, "--ca", "-"], { stdin }), UsageError, '--ca "-"');
});

/** Serves each connection until the listener closes. */
async function acceptAll(listener: Deno.Listener, serve: (conn: Deno.Conn) => Promise<void>) {
  const sessions: Promise<void>[] = [];
  try {
    for (;;) sessions.push(serve(await listener.accept()).catch(() => {}));
  } catch {
    await Promise.all(sessions);
  }
}

/** A server that accepts every mail, with a certificate of `testdata/tls`. */
async function serve(
  conn: Deno.Conn,
  mode: Mode,
  name: string,
  onLine: (line: string | null) => void = () => {},
): Promise<void> {
  let wire = new Wire(conn);
  try {
    if (mode === "starttls") {
      await wire.write("220 mx\r\n");
      await wire.readLine(100);
      await wire.write("250-mx\r\n250 STARTTLS\r\n");
      await wire.readLine(100);
      await wire.write("220 go\r\n");
      wire.release();
    }
    const tls = await acceptTls(conn, name);
    wire = new Wire(tls);
    await tls.handshake();
    if (mode === "implicit") await wire.write("220 mx\r\n");
    for (const reply of ["250-mx\r\n250 AUTH PLAIN", "250 ok", "250 ok", "354 go"]) {
      onLine(await wire.readLine(1000));
      await wire.write(`${reply}\r\n`);
    }
    for (let line; (line = await wire.readLine(1000)) !== "." && line !== null;);
    await wire.write("250 ok\r\n");
    await wire.readLine(1000);
    await wire.write("221 bye\r\n");
  } finally {
    wire.close();
    conn[Symbol.dispose]();
  }
}

/** A server's own certificate as --ca. */
const PINNED: [rule: string, shown: string, ca: string, code: number, says: string][] = [
  ["a self-signed certificate for the server is trusted", "selfsigned", "selfsigned", 0, "sent to"],
  ["a mail bridge's, which says CA:TRUE, is trusted", "bridge", "bridge", 0, "sent to"],
  ["an expired one for another name is trusted", "own", "own", 0, "sent to"],
  ["one without a subjectAltName is trusted", "root", "root", 0, "sent to"],
  [
    "one of the same names with another key is refused",
    "twin",
    "own",
    76,
    "it is not the one that --ca FILE names",
  ],
  ["another one is refused", "localhost", "bridge", 76, "it is not the one that --ca FILE names"],
];

for (const mode of ["starttls", "implicit"] as const) {
  for (const [rule, shown, ca, code, says] of PINNED) {
    Deno.test(`--ca with the server's own certificate: ${rule} [${mode}]`, async () => {
      using listener = Deno.listen(LOCAL);
      const serving = acceptAll(listener, (conn) => serve(conn, mode, shown));
      const server = ["--server", `127.0.0.1:${listener.addr.port}`, "--tls", mode];
      const args = [...server, "-f", "a@x.example", "-t", "b@x.example", "-m", "x"];
      const result = await run([...args, "--ca", `${TLS}${ca}.pem`, "--timeout", "5"]);
      listener.close();
      await serving;
      assertEquals(result.code, code, result.stderr);
      assertStringIncludes(result.stderr, says);
    });
  }
}

/** Passwords, and what is sent to a server. Google shows its own in groups of four letters. */
const PASSWORDS: [server: string, password: string, sent: string][] = [
  ["gmail", "abcd efgh\tijkl", "abcdefghijkl"],
  ["SMTP.Gmail.com", "abcd efgh", "abcdefgh"],
  ["smtp.gmail.example", "abcd efgh", "abcd efgh"],
];

for (const [server, password, sent] of PASSWORDS) {
  Deno.test(`the password "${password.replace("\t", " ")}" for ${server} is sent as "${sent}"`, async () => {
    using listener = Deno.listen(LOCAL);
    const here = { hostname: "127.0.0.1", port: listener.addr.port };
    const lines: (string | null)[] = [];
    const serving = acceptAll(
      listener,
      (conn) => serve(conn, "implicit", "own", (line) => lines.push(line)),
    );
    const { connect } = Deno;
    try {
      const redirected = (options: Deno.ConnectOptions) =>
        connect(options.hostname?.startsWith("127.") ? options : { ...options, ...here });
      Deno.connect = redirected as typeof connect;
      const args = ["--check", "--server", server, "--tls", "implicit", "--ca", `${TLS}own.pem`];
      await run([...args, "-u", "ann", "--timeout", "5"], { env: { SMTP_PASSWORD: password } });
    } finally {
      Deno.connect = connect;
    }
    listener.close();
    await serving;
    assertEquals(lines[1], `AUTH PLAIN ${b64(`\0ann\0${sent}`)}`);
  });
}

for (const mode of ["localhost", "selfsigned"]) {
  Deno.test(`RFC 8446 §6.1: after QUIT the client sends close_notify (${mode})`, async () => {
    using listener = Deno.listenTls({ ...LOCAL, ...await certificate(mode) });
    const serving = listener.accept().then(async (conn) => {
      using peer = conn;
      for (const reply of ["220 mx", "250 mx", "221 bye"]) {
        await peer.write(octetsOf(`${reply}\r\n`));
        if (reply !== "221 bye") await peer.read(new Uint8Array(1_000));
      }
      return await peer.read(new Uint8Array(1)); // throws UnexpectedEof without close_notify
    });
    const ca = mode === "localhost" ? "ca" : mode;
    const server = ["--server", `127.0.0.1:${listener.addr.port}`, "--tls", "implicit"];
    const running = runProgram("smtp_client.ts", ["--check", ...server, "--ca", `${TLS}${ca}.pem`]);
    running.finally(() => listener.close()); // a client that ends before it connects
    const [received, outcome] = await Promise.all([serving, running]);
    assertEquals([received, outcome.code], [null, 0], outcome.stderr);
  });
}
