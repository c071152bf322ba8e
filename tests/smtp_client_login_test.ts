/**
 * The mail client's login: mechanisms, refusals, and secrets that nothing shows.
 *
 * @module
 */
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "jsr:@std/assert@^1.0.19";
import { createHash, createHmac, pbkdf2Sync } from "node:crypto";
import { UsageError, Wire } from "../protocol.ts";
import { acceptTls, LOCAL, TLS } from "./helpers.ts";
import {
  b64,
  BYE,
  converse,
  type Dialogue,
  LOGIN,
  PASSWORD,
  run,
  SENT,
  text,
  USER,
} from "./smtp_helpers.ts";

/** A login, after EHLO inside TLS. */
const LOGINS: Dialogue[] = [
  {
    rule: "RFC 4616 §2: PLAIN sends NUL, user, NUL, password",
    offers: ["AUTH PLAIN LOGIN"],
    talk: `C: AUTH PLAIN ${b64("\0ann\0s3cret")}\nS: 235 in\n${SENT}`,
    code: 0,
  },
  {
    rule: "RFC 4954 §3: AUTH=PLAIN, the form of old servers, is an offer",
    offers: ["AUTH=LOGIN PLAIN"],
    talk: `C: AUTH PLAIN ${b64("\0ann\0s3cret")}\nS: 235 in\n${SENT}`,
    code: 0,
  },
  {
    rule: "RFC 5321 §2.4: AUTH and its mechanisms may be in any case",
    offers: ["aUtH pLaIn"],
    talk: `C: AUTH PLAIN ${b64("\0ann\0s3cret")}\nS: 235 in\n${SENT}`,
    code: 0,
  },
  {
    rule: "AUTH LOGIN sends user and password as two responses",
    offers: ["AUTH LOGIN"],
    talk: `${LOGIN}S: 235 in\n${SENT}`,
    code: 0,
  },
  {
    rule: "AUTH LOGIN ignores what the prompts are",
    offers: ["AUTH LOGIN"],
    talk: `C: AUTH LOGIN\nS: 334 who?\nC: ${b64("ann")}\nS: 334\nC: ${
      b64("s3cret")
    }\nS: 235\n${SENT}`,
    code: 0,
  },
  {
    rule: "RFC 2195 §2: CRAM-MD5 answers the example challenge with the example digest",
    offers: ["AUTH CRAM-MD5"],
    env: { SMTP_PASSWORD: "tanstaaftanstaaf" },
    args: ["-t", "bob@example.org", "-u", "tim"],
    talk:
      `C: AUTH CRAM-MD5\nS: 334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+\nC: dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw\nS: 235 in\n${SENT}`,
    code: 0,
  },
  {
    rule: "RFC 4616 §2: user and password are sent as UTF-8",
    offers: ["AUTH PLAIN"],
    env: { SMTP_PASSWORD: "pässwörd€" },
    args: ["-t", "bob@example.org", "-u", "änn"],
    talk: `C: AUTH PLAIN ${b64("\0änn\0pässwörd€")}\nS: 235 in\n${SENT}`,
    code: 0,
  },
  {
    rule: "RFC 4954 §4: a PLAIN response that makes the AUTH line too long is sent after the 334",
    offers: ["AUTH PLAIN"],
    env: { SMTP_PASSWORD: "x".repeat(400) },
    talk: `C: AUTH PLAIN\nS: 334\nC: ${b64(`\0ann\0${"x".repeat(400)}`)}\nS: 235 in\n${SENT}`,
    code: 0,
  },
  {
    rule: "RFC 4954 §4: --auth chooses among the offered mechanisms",
    offers: ["AUTH PLAIN LOGIN"],
    args: [...USER, "--auth", "LOGIN"],
    talk: `${LOGIN}S: 235 in\n${SENT}`,
    code: 0,
  },
  {
    rule: "RFC 4954 §4: --auth with a mechanism that is not offered is exit 77",
    offers: ["AUTH PLAIN LOGIN"],
    args: [...USER, "--auth", "cram-md5"],
    talk: BYE,
    code: 77,
    says: "CRAM-MD5",
  },
  {
    rule: "RFC 4954 §4: only unknown mechanisms offered is exit 77",
    offers: ["AUTH GSSAPI NTLM"],
    talk: BYE,
    code: 77,
    says: "only GSSAPI NTLM",
  },
  {
    rule: "RFC 4954 §3: without an offer of AUTH nothing is sent",
    talk: BYE,
    code: 77,
    says: "no AUTH",
  },
  {
    rule: "RFC 4954 §6: 535 is final: no other mechanism is tried",
    offers: ["AUTH PLAIN LOGIN"],
    talk: `C: AUTH PLAIN ${b64("\0ann\0s3cret")}\nS: 535 5.7.8 no\n${BYE}`,
    code: 77,
    says: /535 5\.7\.8 no\n.*app password/,
  },
  {
    rule: "RFC 4954 §4: 504 leads to the next mechanism",
    offers: ["AUTH PLAIN LOGIN"],
    talk: `C: AUTH PLAIN ${b64("\0ann\0s3cret")}\nS: 504 5.5.4 no\n${LOGIN}S: 235 in\n${SENT}`,
    code: 0,
  },
  {
    rule: "RFC 4954 §4: 504 to the last mechanism is exit 77",
    offers: ["AUTH PLAIN"],
    talk: `C: AUTH PLAIN ${b64("\0ann\0s3cret")}\nS: 504 5.5.4 no\n${BYE}`,
    code: 77,
  },
  {
    rule: "RFC 4954 §4: SCRAM refused before a proof was sent leads to the next mechanism",
    offers: ["AUTH SCRAM-SHA-256 PLAIN"],
    talk: `SCRAM\nS: 535 5.7.8 no such scheme\nC: AUTH PLAIN ${
      b64("\0ann\0s3cret")
    }\nS: 235 in\n${SENT}`,
    code: 0,
  },
  {
    rule: "RFC 4954 §4: CRAM-MD5 refused before its challenge, with no other offered, is exit 77",
    offers: ["AUTH CRAM-MD5"],
    talk: `C: AUTH CRAM-MD5\nS: 535 5.7.8 no\n${BYE}`,
    code: 77,
    says: "Server refused AUTH CRAM-MD5: 535 5.7.8 no",
  },
  {
    rule: "RFC 4954 §4: LOGIN refused after the user name leads to the next mechanism",
    offers: ["AUTH LOGIN CRAM-MD5"],
    talk: `C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: ${
      b64("ann")
    }\nS: 535 no\nC: AUTH CRAM-MD5\nS: 504 no\n${BYE}`,
    code: 77,
  },
  {
    rule: "RFC 4954 §4: LOGIN refused after the password is final",
    offers: ["AUTH LOGIN CRAM-MD5"],
    talk: `${LOGIN}S: 535 no\n${BYE}`,
    code: 77,
  },
  {
    rule: "RFC 4954 §6: 454 to SCRAM before a proof was sent is exit 75",
    offers: ["AUTH SCRAM-SHA-256 PLAIN"],
    talk: `SCRAM\nS: 454 4.7.0 later\n${BYE}`,
    code: 75,
  },
  {
    rule: "RFC 4954 §4: 500 to SCRAM before a proof was sent leads to the next mechanism",
    offers: ["AUTH SCRAM-SHA-256 PLAIN"],
    talk: `SCRAM\nS: 500 what?\nC: AUTH PLAIN ${b64("\0ann\0s3cret")}\nS: 235 in\n${SENT}`,
    code: 0,
  },
  {
    rule: "RFC 4954 §6: 499 to SCRAM before a proof was sent is exit 75",
    offers: ["AUTH SCRAM-SHA-256 PLAIN"],
    talk: `SCRAM\nS: 499 later\n${BYE}`,
    code: 75,
  },
  {
    rule: "RFC 4954 §6: 535 to a token is final: no other mechanism is tried",
    offers: ["AUTH XOAUTH2 OAUTHBEARER"],
    env: { SMTP_TOKEN: "ya29.x" },
    talk: `OAUTH\nS: 535 no\n${BYE}`,
    code: 77,
    says: "Server refused AUTH OAUTHBEARER: 535 no\n",
  },
  {
    rule: "RFC 7628 §3.1: = and , of a user name are escaped as saslname",
    offers: ["AUTH OAUTHBEARER"],
    env: { SMTP_TOKEN: "ya29.x" },
    args: ["-t", "bob@example.org", "-u", "a=b,c=d,"],
    talk: `OAUTH a=3Db=2Cc=3Dd=2C\nS: 235 in\n${SENT}`,
    code: 0,
  },
  {
    rule: "RFC 4954 §4: a connection closed at the password is reported without it",
    offers: ["AUTH LOGIN"],
    talk: `${LOGIN}GONE:`,
    code: 75,
    says: "\nsmtp_client: Connection lost at [credentials]: Server closed the connection\n",
  },
  {
    rule: "RFC 4954 §4: a connection closed at an AUTH line is reported without its response",
    offers: ["AUTH PLAIN"],
    talk: `C: AUTH PLAIN ${b64("\0ann\0s3cret")}\nGONE:`,
    code: 75,
    says: "Connection lost at AUTH PLAIN [credentials]: Server closed the connection\n",
  },
  {
    rule: "RFC 4954 §4: an AUTH line of 511 octets carries the response",
    offers: ["AUTH XOAUTH2"],
    env: { SMTP_TOKEN: "y".repeat(349) },
    talk: `C: AUTH XOAUTH2 ${
      b64(`user=ann\x01auth=Bearer ${"y".repeat(349)}\x01\x01`)
    }\nS: 235 in\n${SENT}`,
    code: 0,
  },
  {
    rule: "RFC 4954 §4: an AUTH line of 513 octets is too long for the response",
    offers: ["AUTH PLAIN"],
    env: { SMTP_PASSWORD: "x".repeat(368) },
    talk: `C: AUTH PLAIN\nS: 334\nC: ${b64(`\0ann\0${"x".repeat(368)}`)}\nS: 235 in\n${SENT}`,
    code: 0,
  },
  ...["ya29.x\n", " ya29.x "].map((token) => ({
    rule: `white space around SMTP_TOKEN ${JSON.stringify(token)} is not part of the token`,
    offers: ["AUTH OAUTHBEARER"],
    env: { SMTP_TOKEN: token },
    talk: `OAUTH\nS: 235 in\n${SENT}`,
    code: 0,
  })),
  ...["\n", "\r\n"].map((end) => ({
    rule: `the line end ${JSON.stringify(end)} of SMTP_PASSWORD is not part of the password`,
    offers: ["AUTH PLAIN"],
    env: { SMTP_PASSWORD: `s3cret${end}` },
    talk: `C: AUTH PLAIN ${b64("\0ann\0s3cret")}\nS: 235 in\n${SENT}`,
    code: 0,
  })),
  {
    rule: "SMTP_USER logs in",
    offers: ["AUTH PLAIN"],
    args: ["-t", "bob@example.org"],
    env: { SMTP_USER: "ann\n", SMTP_PASSWORD: "s3cret" },
    talk: `C: AUTH PLAIN ${b64("\0ann\0s3cret")}\nS: 235 in\n${SENT}`,
    code: 0,
  },
  {
    rule: "-u is preferred to SMTP_USER",
    offers: ["AUTH PLAIN"],
    env: { SMTP_USER: "eve\n", SMTP_PASSWORD: "s3cret" },
    talk: `C: AUTH PLAIN ${b64("\0ann\0s3cret")}\nS: 235 in\n${SENT}`,
    code: 0,
  },
  {
    rule: "RFC 4954 §6: 454 to AUTH is exit 75",
    offers: ["AUTH PLAIN LOGIN"],
    talk: `C: AUTH PLAIN ${b64("\0ann\0s3cret")}\nS: 454 4.7.0 later\n${BYE}`,
    code: 75,
  },
  {
    rule: "RFC 5321 §3.8: after 421 to AUTH nothing more is sent",
    offers: ["AUTH PLAIN LOGIN"],
    talk: `C: AUTH PLAIN ${b64("\0ann\0s3cret")}\nS: 421 bye`,
    code: 75,
  },
  {
    rule: "RFC 4954 §4: 250 to AUTH is exit 76",
    offers: ["AUTH PLAIN"],
    talk: `C: AUTH PLAIN ${b64("\0ann\0s3cret")}\nS: 250 ok\n${BYE}`,
    code: 76,
  },
  {
    rule: "RFC 4954 §4: a third challenge to LOGIN is cancelled with *",
    offers: ["AUTH LOGIN PLAIN"],
    args: [...USER, "--auth", "login"],
    talk: `${LOGIN}S: 334 more\nC: *\nS: 501 cancelled\n${BYE}`,
    code: 77,
  },
  {
    rule: "RFC 4954 §4: a challenge after the PLAIN response is cancelled with *",
    offers: ["AUTH PLAIN"],
    talk: `C: AUTH PLAIN ${b64("\0ann\0s3cret")}\nS: 334\nC: *\nS: 334\n${BYE}`,
    code: 77,
  },
  {
    rule: "RFC 4954 §4: a CRAM-MD5 challenge that is not base64 is cancelled with *",
    offers: ["AUTH CRAM-MD5"],
    talk: `C: AUTH CRAM-MD5\nS: 334 !!!\nC: *\nS: 501\n${BYE}`,
    code: 77,
  },
  {
    rule: "XOAUTH2 sends user and token",
    offers: ["AUTH PLAIN XOAUTH2"],
    env: { SMTP_TOKEN: "ya29.x" },
    talk: `C: AUTH XOAUTH2 ${b64("user=ann\x01auth=Bearer ya29.x\x01\x01")}\nS: 235 in\n${SENT}`,
    code: 0,
  },
  {
    rule: "XOAUTH2: an error challenge is answered with an empty line, and shown",
    offers: ["AUTH XOAUTH2"],
    env: { SMTP_TOKEN: "ya29.x" },
    talk: `C: AUTH XOAUTH2 ${b64("user=ann\x01auth=Bearer ya29.x\x01\x01")}\nS: 334 ${
      b64('{"status":"400"}')
    }\nC:\nS: 535 5.7.8 no\n${BYE}`,
    code: 77,
    says: /\n> \n[^]*"status":"400"/,
  },
  {
    rule:
      "RFC 7628 §3.2.3: OAUTHBEARER is preferred to XOAUTH2, and answers an error challenge with ^A",
    offers: ["AUTH XOAUTH2 OAUTHBEARER"],
    env: { SMTP_TOKEN: "ya29.x" },
    talk: `OAUTH\nS: 334 ${b64('{"status":"invalid_token"}')}\nC: AQ==\nS: 535 no\n${BYE}`,
    code: 77,
    says: "invalid_token",
  },
  {
    rule: "RFC 4954 §4: a long token is sent after the 334",
    offers: ["AUTH XOAUTH2"],
    env: { SMTP_TOKEN: "y".repeat(2000) },
    talk: `C: AUTH XOAUTH2\nS: 334\nC: ${
      b64(`user=ann\x01auth=Bearer ${"y".repeat(2000)}\x01\x01`)
    }\nS: 235 in\n${SENT}`,
    code: 0,
  },
  {
    rule: "RFC 7628: a token is not used as a password",
    offers: ["AUTH PLAIN LOGIN"],
    env: { SMTP_TOKEN: "ya29.x" },
    talk: BYE,
    code: 77,
  },
  {
    rule: "a token in the server's error challenge is hidden",
    offers: ["AUTH XOAUTH2"],
    env: { SMTP_TOKEN: "ya29.x" },
    talk: `C: AUTH XOAUTH2 ${b64("user=ann\x01auth=Bearer ya29.x\x01\x01")}\nS: 334 ${
      b64('{"token":"ya29.x"}')
    }\nC: \nS: 535 no\n${BYE}`,
    code: 77,
    says: /^< 334 \[credentials\]\n[^]*535 no \(\{"token":"\[credentials\]"\}\)/m,
  },
  {
    rule: "a password that the server echoes is hidden, plain and in base64",
    offers: ["AUTH PLAIN"],
    talk: `C: AUTH PLAIN ${b64("\0ann\0s3cret")}\nS: 535 no ${
      b64("\0ann\0s3cret")
    }, no s3cret\n${BYE}`,
    args: [...USER, "-v", "--json"],
    code: 77,
    says: "535 no [credentials], no [credentials]",
  },
  {
    rule: "an echoed password of four letters is hidden",
    offers: ["AUTH PLAIN"],
    env: { SMTP_PASSWORD: "q7x!" },
    talk: `C: AUTH PLAIN ${b64("\0ann\0q7x!")}\nS: 535 no q7x!\n${BYE}`,
    code: 77,
    says: "535 no [credentials]",
  },
  {
    rule: "a password that the server repeats in a SCRAM challenge is hidden",
    offers: ["AUTH PLAIN SCRAM-SHA-256"],
    talk: `SCRAM\nS: 334 ${b64("x=s3cret")}\nC: *\nS: 501 no\n${BYE}`,
    code: 77,
    says: 'the server\'s challenge is "x=[credentials]"',
  },
  {
    rule: "an echoed password is hidden in a reply that is not UTF-8",
    offers: ["AUTH PLAIN"],
    env: { SMTP_PASSWORD: "pässwörd€" },
    talk: `C: AUTH PLAIN ${b64("\0ann\0pässwörd€")}\nRAW: ${
      JSON.stringify("535 no p\xc3\xa4ssw\xc3\xb6rd\xe2\x82\xac \xff\r\n")
    }\n${BYE}`,
    code: 77,
    says: "535 no [credentials] ÿ",
  },
  {
    rule: "an echoed password with control characters is hidden",
    offers: ["AUTH PLAIN"],
    env: { SMTP_PASSWORD: "s3\tcr\u202eet" },
    talk: `C: AUTH PLAIN ${b64("\0ann\0s3\tcr\u202eet")}\nRAW: ${
      JSON.stringify("535 no s3\tcr\xe2\x80\xaeet\r\n")
    }\n${BYE}`,
    args: [...USER, "-v", "--json"],
    code: 77,
    says: "535 no [credentials]",
  },
];

function decoded(base64: string): string {
  try {
    return text(Uint8Array.fromBase64(base64));
  } catch {
    return ""; // a word, not base64
  }
}

for (const mode of ["starttls", "implicit"] as const) {
  for (const dialogue of LOGINS) {
    Deno.test(`${dialogue.rule} [${mode}]`, async () => {
      const { env = PASSWORD, args = USER } = dialogue;
      const result = await converse(
        { ...dialogue, env, args: [...args, "-v"] },
        mode,
        (text) => [text],
      );
      const output = `${result.stderr}${result.stdout}`;
      const coded = [...output.matchAll(/[A-Za-z0-9+/]+=*/g)].map(([word]) => decoded(word));
      for (const [name, value] of Object.entries(env)) {
        if (name === "SMTP_USER") continue;
        const secret = value.trim();
        assert(!output.includes(secret), "a secret is shown");
        assert(!coded.some((words) => words.includes(secret)), "a secret is shown in base64");
      }
      if (result.code === 0) assertStringIncludes(result.stderr, "[credentials]");
    });
  }
}
/** Runs the server of SCRAM-SHA-256 (RFC 5802 §3), with one fault. */
async function scramServer(conn: Deno.Conn, fault: string): Promise<string> {
  using wire = new Wire(conn);
  wire.setDeadline(10_000);
  const say = (line: string) => wire.writeLine(line);
  const readLine = async () => await wire.readLine(2000) ?? "";
  const text = (line: string) => new TextDecoder().decode(Uint8Array.fromBase64(line));
  const hmac = (key: string | Uint8Array, message: string) =>
    createHmac("sha256", key).update(message).digest();
  const first = text((await readLine()).slice("AUTH SCRAM-SHA-256 ".length)).slice("n,,".length);
  assertMatch(first, /^n=ann,r=[A-Za-z0-9+/]{24}$/); // 18 random octets
  const nonce = fault === "nonce" ? "other" : /r=(.*)$/.exec(first)?.[1];
  const count = /^\d+$/.test(fault) ? Number(fault) : 4096;
  const extension = fault === "extension" ? "m=x," : ""; // a mandatory one (RFC 5802 §5.1)
  const added = fault === "echo" ? "" : "xyz";
  const inner = fault === "inner" ? ",x=1" : ""; // an extension is first or last only
  const salt = fault === "salt" ? "!" : b64("salt");
  const last = fault === "last" ? ",x=1" : "";
  const challenge = `${extension}r=${nonce}${added}${inner},s=${salt},i=${count}${last}`;
  await say(`334 ${b64(challenge)}`);
  const final = await readLine();
  if (final === "*") {
    await say("501 cancelled");
  } else if (count > 4096) {
    await say("535 not computed here");
  } else {
    const [bare = "", proof] = text(final).split(/,p=/);
    const salted = pbkdf2Sync("s3cret", "salt", 4096, 32, "sha256");
    const dialogue = `${first},${challenge},${bare}`;
    const key = hmac(salted, "Client Key");
    const signature = hmac(createHash("sha256").update(key).digest(), dialogue);
    assertEquals(proof, key.map((octet, at) => octet ^ (signature[at] ?? 0)).toBase64());
    const verifier = hmac(hmac(salted, "Server Key"), dialogue).toString("base64");
    if (fault === "early") await say("235 in");
    else if (fault === "error") await say(`334 ${b64("e=invalid-proof")}`);
    else await say(`334 ${b64(`v=${fault === "verifier" ? b64("x") : verifier}${last}`)}`);
    if (fault === "early") return await readLine();
    const word = await readLine();
    await say(word === "*" ? "501 cancelled" : "235 in");
  }
  return await readLine();
}

const SCRAM: [fault: string, rule: string, says: string][] = [
  [
    "",
    "RFC 5802 §3: SCRAM-SHA-256 proves the password, and the server proves that it knows it",
    "is ready",
  ],
  [
    "nonce",
    "RFC 5802 §5.1: a server nonce that does not begin with the client's is refused",
    "nonce does not extend the client's nonce",
  ],
  [
    "echo",
    "RFC 5802 §5.1: a server that adds nothing to the client's nonce is refused",
    "nonce does not extend the client's nonce",
  ],
  ["0", "RFC 7677 §4: 0 iterations are refused", "asks for 0 iterations"],
  ["4095", "RFC 7677 §4: 4,095 iterations are refused", "asks for 4095 iterations"],
  ["1000000", "RFC 7677 §4: 1,000,000 iterations are computed", "535 not computed here"],
  ["1000001", "RFC 7677 §4: 1,000,001 iterations are refused", "asks for 1000001 iterations"],
  ["9999999999", "RFC 7677 §4: 9,999,999,999 iterations are refused", 'challenge is "r='],
  [
    "verifier",
    "RFC 5802 §3: a wrong server signature is refused",
    'did not prove that it knows the password: "v=',
  ],
  [
    "error",
    "RFC 5802 §7: an error in place of the server signature is refused",
    'did not prove that it knows the password: "e=invalid-proof"',
  ],
  ["last", "RFC 5802 §5.1: an optional extension at the end is ignored", "is ready"],
  ["inner", "RFC 5802 §7: an extension inside of the challenge is refused", 'challenge is "r='],
  ["salt", "RFC 5802 §7: a salt that is not base64 is refused", 'challenge is "r='],
  ["extension", "RFC 5802 §5.1: a mandatory extension is refused", 'challenge is "m=x,r='],
  [
    "early",
    "RFC 5802 §3: 235 without the server signature is refused",
    "did not prove that it knows the password",
  ],
];

for (const [fault, rule, says] of SCRAM) {
  Deno.test(rule, async () => {
    using listener = Deno.listen(LOCAL);
    const serving = listener.accept().then(async (conn) => {
      using plain = new Wire(conn);
      const tls = await acceptTls(conn);
      using wire = new Wire(tls);
      await wire.writeLine("220 mx");
      await wire.readLine(100);
      await wire.write("250-mx\r\n250 AUTH PLAIN SCRAM-SHA-256\r\n");
      const next = await scramServer(tls, fault);
      plain.note(next);
      return next;
    });
    const server = `127.0.0.1:${listener.addr.port}`;
    const args = [
      "--check",
      "--server",
      server,
      "--tls",
      "implicit",
      "--ca",
      `${TLS}ca.pem`,
      "-u",
      "ann",
    ];
    const result = await run(args, { env: PASSWORD });
    assertEquals(result.code, says === "is ready" ? 0 : 77, result.stderr);
    assertStringIncludes(result.stderr, says);
    assertEquals(await serving, "QUIT");
  });
}
for (const content of ["s3cret", "s3cret\n", "s3cret\r\n", "s3cret\n\n", "s3cret\nann\n"]) {
  Deno.test(`--password-file: the password is the first line of ${JSON.stringify(content)}`, async () => {
    const file = await Deno.makeTempFile();
    try {
      await Deno.writeTextFile(file, content);
      const talk = `C: AUTH PLAIN ${b64("\0ann\0s3cret")}\nS: 235 in\n${BYE}`;
      const args = ["--check", "-u", "ann", "--password-file", file];
      const dialogue = { rule: "", talk, offers: ["AUTH PLAIN"], args, code: 0 };
      await converse(dialogue, "implicit", (text) => [text]);
    } finally {
      await Deno.remove(file);
    }
  });
}

/** Replies of providers to a password, and the advice. */
const ADVICE: [rule: string, reply: string, advice: string, code?: number][] = [
  [
    "Gmail, too many logins",
    "454 4.7.0 Too many login attempts, please try again later.",
    "Too many logins, or TLS is not available now: wait before you try again",
    75,
  ],
  ["Gmail, InvalidSecondFactor", "534 5.7.9 InvalidSecondFactor", "Use an app password"],
  ["Gmail, InvalidSecondFactor without its code", "534 InvalidSecondFactor", "Use an app password"],
  [
    "Outlook, a locked account",
    "535 5.7.139 Authentication unsuccessful, the account is locked.",
    "Check user and password",
  ],
  [
    "Outlook, security defaults",
    "535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy.",
    "A rule of the organization",
  ],
  [
    "Outlook, conditional access",
    "535 5.7.139 blocked by Conditional Access",
    "A rule of the organization",
  ],
  ["SendGrid, a wrong user", "535 Authentication failed: Bad username / password", '"apikey"'],
  ["a wrong password", "535 no", "Check user, password or token"],
  [
    "Gmail wants an app password",
    "534-5.7.9 Application-specific password required.\nS: 534 5.7.9 x",
    "Use an app password",
  ],
  [
    "Gmail wants a web login",
    "534 5.7.14 <https://accounts.google.com/signin/continue?sarp=1> Please log in via your web browser",
    "with a web browser once",
  ],
  ["Gmail, a wrong password", "535 5.7.8 Username and Password not accepted.", "app password"],
  [
    "Outlook, SMTP AUTH is off",
    "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.",
    "an administrator can turn it on",
  ],
  [
    "Outlook, a wrong password",
    "535 5.7.139 Authentication unsuccessful, the user credentials were incorrect.",
    "Check user and password",
  ],
  [
    "Outlook, a rule of the organization",
    "535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be authenticated successfully. Contact your administrator.",
    "A rule of the organization",
  ],
  [
    "Outlook, passwords have ended",
    "535 5.7.139 Authentication unsuccessful, basic authentication is disabled.",
    "use a token",
  ],
  [
    "Exchange, a wrong password or SMTP AUTH off",
    "535 5.7.3 Authentication unsuccessful",
    "SMTP AUTH may be off",
  ],
  [
    "Exchange Online, passwords have ended",
    "550 5.7.30 Basic authentication is not supported for Client Submission.",
    "use a token",
  ],
  [
    "Amazon SES, an access key",
    "535 Authentication Credentials Invalid",
    "use its SMTP credentials",
  ],
  [
    "SendGrid, a wrong API key",
    "535 Authentication failed: The provided authorization grant is invalid, expired, or revoked",
    '"apikey"',
  ],
  [
    "Yahoo, too many attempts",
    "535 5.7.0 (#AUTH005) Too many bad auth attempts.",
    "Too many failed logins",
  ],
  [
    "Yahoo, a wrong password",
    "535 5.7.0 (#MBR1212) Incorrect username or password.",
    "app password",
  ],
];

for (const [rule, reply, advice, code = 77] of ADVICE) {
  Deno.test(`advice: ${rule}`, async () => {
    const talk = `C: AUTH PLAIN ${b64("\0ann\0s3cret")}\nS: ${reply}\n${BYE}`;
    const dialogue = { rule, talk, offers: ["AUTH PLAIN"], args: USER, env: PASSWORD, code };
    const { stderr } = await converse(dialogue, "implicit", (text) => [text]);
    assertEquals(stderr.trim().split("\n").length, 2, stderr);
    assertStringIncludes(stderr.split("\n")[1] ?? "", advice);
  });
}

Deno.test("an echoed password of three letters is not hidden: it would be in every line", async () => {
  const talk = `C: AUTH PLAIN ${b64("\0ann\0in ")}\nS: 535 no in there\n${BYE}`;
  const env = { SMTP_PASSWORD: "in " };
  const dialogue = { rule: "", talk, offers: ["AUTH PLAIN"], args: USER, env, code: 77 };
  await converse({ ...dialogue, says: "535 no in there" }, "implicit", (text) => [text]);
});

/** Credentials that no mechanism can carry. */
const CONTROLS: [what: string, args: string[], env: Record<string, string>][] = [
  ["a NUL in the password", ["-u", "ann"], { SMTP_PASSWORD: "s3\0cret" }],
  ["a line end in the user name", ["-u", "ann\nbob"], PASSWORD],
  ["a control character in the token", ["-u", "ann"], { SMTP_TOKEN: "ya29\x01x" }],
];

for (const [what, args, env] of CONTROLS) {
  Deno.test(`RFC 4616 §2: ${what} is a usage error`, async () => {
    const line = ["--check", "--server", "127.0.0.1:1", ...args];
    await assertRejects(() => run(line, { env }), UsageError, "has a control character");
  });
}
