/**
 * The mailbox of the lessons, alone and with the mail client at the other end.
 *
 * @module
 */
import { assertEquals } from "jsr:@std/assert@^1.0.19";
import { LOCAL, receive, runProgram, send, TLS } from "./helpers.ts";
import { type Mail, type MailboxOptions, serveMailbox } from "./mailbox.ts";

/** Runs something against a mailbox, and returns the mail that arrived. */
async function withMailbox(
  options: Partial<MailboxOptions>,
  use: (port: number) => Promise<void>,
): Promise<Mail[]> {
  const listener = Deno.listen(LOCAL);
  const arrived: Mail[] = [];
  const serving = serveMailbox(listener, { deliver: (mail) => arrived.push(mail), ...options });
  try {
    await use(listener.addr.port);
  } finally {
    listener.close();
    await serving;
  }
  return arrived;
}

/** Says all lines at once, then half-closes; returns the codes of the replies. */
async function codes(port: number, text: string): Promise<string[]> {
  using conn = await Deno.connect({ hostname: "127.0.0.1", port });
  await send(conn, [text]);
  await conn.closeWrite();
  return (await receive(conn)).split("\r\n").filter((line) => line !== "")
    .filter((line) => line[3] === " ").map((line) => line.slice(0, 3));
}

const ENVELOPE = "EHLO me\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\n";

Deno.test("mailbox, RFC 5321 §4.5.2: a doubled dot arrives as one", async () => {
  const arrived = await withMailbox({}, async (port) => {
    const got = await codes(port, `${ENVELOPE}DATA\r\n..\r\n.\r\nQUIT\r\n`);
    assertEquals(got, ["220", "250", "250", "250", "354", "250", "221"]);
  });
  assertEquals(arrived.map(({ message }) => message), [".\n"]);
});

for (
  const [rule, said, want] of [
    ["§2.3.8: a line that ends in LF alone gets 500", "EHLO me\n", ["220", "500"]],
    ["§4.1.4: DATA before MAIL gets 503", "EHLO me\r\nDATA\r\n", ["220", "250", "503"]],
    ["§4.1.4: MAIL before EHLO gets 503", "MAIL FROM:<a@b.c>\r\n", ["220", "503"]],
    ["§3.3: nobody@ is refused for good", `${ENVELOPE}RCPT TO:<nobody@b.c>\r\n`, [
      ...["220", "250", "250", "250", "550"],
    ]],
    ["§3.3: later@ is refused for now", `${ENVELOPE}RCPT TO:<later@b.c>\r\n`, [
      ...["220", "250", "250", "250", "450"],
    ]],
    [
      "§4.5.3.1.6: a line of 1,000 octets passes",
      `${ENVELOPE}DATA\r\n${"x".repeat(998)}\r\n.\r\n`,
      [
        ...["220", "250", "250", "250", "354", "250"],
      ],
    ],
    [
      "§4.5.3.1.6: a line of 1,002 octets gets 500",
      `${ENVELOPE}DATA\r\n${"x".repeat(1000)}\r\n.\r\n`,
      [
        ...["220", "250", "250", "250", "354", "500"],
      ],
    ],
  ] as const
) {
  Deno.test(`mailbox, RFC 5321 ${rule}`, async () => {
    await withMailbox({}, async (port) => assertEquals(await codes(port, said), [...want]));
  });
}

Deno.test("mailbox, RFC 4954 §4: AUTH before TLS gets 538", async () => {
  await withMailbox({}, async (port) => {
    assertEquals(await codes(port, "EHLO me\r\nAUTH PLAIN AGEAc2VjcmV0\r\n"), [
      "220",
      "250",
      "538",
    ]);
  });
});

Deno.test("mailbox and smtp_client: a mail with a login over STARTTLS arrives", async () => {
  const arrived = await withMailbox({}, async (port) => {
    const { code, stderr } = await runProgram("smtp_client.ts", [
      ...["--server", `127.0.0.1:${port}`, "--ca", `${TLS}selfsigned.pem`],
      ...["-u", "ann@example.org", "-t", "bob@example.org", "-s", "Hello", "-m", "one\ntwo"],
    ], { env: { SMTP_PASSWORD: "secret" } });
    assertEquals(code, 0, stderr);
  });
  const [mail] = arrived;
  assertEquals(arrived.length, 1);
  assertEquals(mail?.message.split("\n\n")[1], "one\ntwo\n");
  assertEquals([mail?.from, mail?.to.join(), mail?.user, mail?.isSecure], [
    ...["ann@example.org", "bob@example.org", "ann@example.org", true],
  ]);
});

Deno.test("mailbox and smtp_client, RFC 3207 §4.2: text after the 220 to STARTTLS is refused", async () => {
  const arrived = await withMailbox({ inject: "250-AUTH PLAIN" }, async (port) => {
    const { code } = await runProgram("smtp_client.ts", [
      ...["--server", `127.0.0.1:${port}`, "--ca", `${TLS}selfsigned.pem`],
      ...["-u", "ann@example.org", "-t", "bob@example.org", "-m", "Hi"],
    ], { env: { SMTP_PASSWORD: "secret" } });
    assertEquals(code, 76);
  });
  assertEquals(arrived, []);
});
