/**
 * The mail client against servers that people run: Postfix with Dovecot's SASL, from Debian's
 * packages, and npm's smtp-server. Each is started in a temporary folder, on loopback ports, and
 * what it delivers is read back. What is missing is skipped, with a line that says so.
 *
 * Postfix has to be started by root: `apt-get install postfix dovecot-core git-email
 * libmailtools-perl`, then
 * `deno test --permission-set tests/smtp_client_real.ts`.
 *
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "jsr:@std/assert@^1.0.19";
import { toByteString } from "../protocol.ts";
import { LOCAL, type Outcome, ROOT, runProgram, TLS } from "./helpers.ts";

const USER = "ann@example.org";
const PASSWORD = "pässwörd, 100%";

function freePort(): number {
  using listener = Deno.listen(LOCAL);
  return listener.addr.port;
}

async function sh(command: string, ...args: string[]): Promise<boolean> {
  try {
    const { success } = await new Deno.Command(command, { args, stdout: "null", stderr: "null" })
      .output();
    return success;
  } catch {
    return false;
  }
}

/** Waits until a condition holds, for a server that is starting or delivering. */
async function until<T>(what: string, look: () => Promise<T | null>): Promise<T> {
  for (let left = 200; left > 0; left--) {
    const found = await look();
    if (found !== null) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`Waited for ${what} in vain`);
}

const listens = (port: number) => async () => {
  try {
    (await Deno.connect({ hostname: "127.0.0.1", port })).close();
    return true;
  } catch {
    return null;
  }
};

const postfixConf = (folder: string) => `
compatibility_level = 3.6
queue_directory = ${folder}/queue
data_directory = ${folder}/data
maillog_file = ${folder}/mail.log
maillog_file_prefixes = ${folder}
myhostname = mx.example.org
inet_interfaces = 127.0.0.1
mydestination =
virtual_mailbox_domains = example.org
virtual_mailbox_base = ${folder}
virtual_mailbox_maps = inline:{ bob@example.org=bob/, carol@example.org=carol/, böb@example.org=boeb/ }
virtual_uid_maps = static:\${UID}
virtual_gid_maps = static:\${UID}
virtual_minimum_uid = 1
smtpd_tls_cert_file = ${TLS}localhost.pem
smtpd_tls_key_file = ${TLS}localhost.key
smtpd_tls_security_level = may
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = private/auth
smtpd_recipient_restrictions = permit_sasl_authenticated, reject
message_size_limit = 3000000
`;

const postfixServices = (starttls: number, implicit: number) => `
127.0.0.1:${starttls} inet n - n - - smtpd
127.0.0.1:${implicit} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
`;

const dovecotConf = (folder: string) => `
protocols =
base_dir = ${folder}/dovecot
log_path = ${folder}/dovecot.log
ssl = no
auth_mechanisms = plain login cram-md5 scram-sha-256
passdb {
  driver = passwd-file
  args = scheme=PLAIN ${folder}/users
}
userdb {
  driver = static
  args = uid=1000 gid=1000 home=/tmp
}
service auth {
  unix_listener ${folder}/queue/private/auth {
    mode = 0666
  }
}
`;

Deno.test("Postfix with Dovecot's SASL", async (t) => {
  if (!await sh("postconf", "-d") || !await sh("dovecot", "--version") || Deno.uid() !== 0) {
    return console.log("skipped: needs root and apt-get install postfix dovecot-core");
  }
  const folder = await Deno.makeTempDir({ prefix: "postfix-" });
  await Deno.chmod(folder, 0o755);
  const [starttls, implicit] = [freePort(), freePort()];
  const config = `${folder}/config`;
  for (const name of ["config", "queue", "queue/private", "data", "dovecot"]) {
    await Deno.mkdir(`${folder}/${name}`);
  }
  const hashed = crypto.subtle.digest("SHA-256", new TextEncoder().encode(PASSWORD));
  const users = `${USER}:{PLAIN}${PASSWORD}::::::\nhashed@example.org:{SHA256.hex}${
    new Uint8Array(await hashed).toHex()
  }::::::\n`;
  await Deno.writeTextFile(`${folder}/users`, users);
  await Deno.writeTextFile(`${folder}/dovecot.conf`, dovecotConf(folder));
  const id = new TextDecoder().decode(
    (await new Deno.Command("id", { args: ["-u", "postfix"] }).output()).stdout,
  ).trim();
  await Deno.writeTextFile(`${config}/main.cf`, postfixConf(folder).replaceAll("${UID}", id));
  await Deno.writeTextFile(`${config}/master.cf`, postfixServices(starttls, implicit));
  await sh("chown", "postfix", `${folder}/data`, `${folder}/queue/private`);
  for (const name of ["bob", "carol", "boeb"]) {
    for (const part of ["", "/new", "/cur", "/tmp"]) await Deno.mkdir(`${folder}/${name}${part}`);
    await sh("chown", "-R", "postfix", `${folder}/${name}`);
  }
  const dovecot = new Deno.Command("dovecot", {
    args: ["-F", "-c", `${folder}/dovecot.conf`],
    stdout: "null",
    stderr: "null",
  }).spawn();
  try {
    assert(await sh("postfix", "-c", config, "start"), "postfix did not start");
    await until("Postfix", listens(starttls));
    await until("Dovecot", () => Deno.stat(`${folder}/queue/private/auth`).catch(() => null));
    await talkToPostfix(t, folder, starttls, implicit);
  } catch (error) {
    console.log(await Deno.readTextFile(`${folder}/mail.log`).catch(() => "no log"));
    throw error;
  } finally {
    await sh("postfix", "-c", config, "stop");
    dovecot.kill("SIGTERM");
    await dovecot.status;
    await Deno.remove(folder, { recursive: true });
  }
});

async function talkToPostfix(
  t: Deno.TestContext,
  folder: string,
  starttls: number,
  implicit: number,
): Promise<void> {
  const send = (port: number, args: string[], options: Parameters<typeof runProgram>[2] = {}) =>
    runProgram("smtp_client.ts", [
      ...["--server", `localhost:${port}`, "--ca", `${TLS}ca.pem`, "-f", USER, "-u", USER],
      ...(port === implicit ? ["--tls", "implicit"] : []),
      ...args,
    ], { env: { SMTP_PASSWORD: PASSWORD }, ...options });
  const delivered = async (mailbox: string, { code, stderr }: Outcome) => {
    assertEquals(code, 0, stderr);
    const path = await until("the delivery", async () => {
      for await (const { name } of Deno.readDir(`${folder}/${mailbox}/new`)) {
        return `${folder}/${mailbox}/new/${name}`;
      }
      return null;
    });
    const message = toByteString(await Deno.readFile(path));
    await Deno.remove(path);
    return message;
  };
  for (const mechanism of ["plain", "login", "cram-md5", "scram-sha-256"]) {
    for (const port of [starttls, implicit]) {
      await t.step(`${mechanism}, ${port === implicit ? "implicit TLS" : "STARTTLS"}`, async () => {
        const args = ["--auth", mechanism, "-t", "bob@example.org", "-s", mechanism, "-m", ".\nhi"];
        const outcome = await send(port, [...args, "-v"]);
        const message = await delivered("bob", outcome);
        assertStringIncludes(message, `Subject: ${mechanism}\n`);
        assertStringIncludes(outcome.stderr, `> AUTH ${mechanism.toUpperCase()}`);
        assert(!outcome.stderr.includes(PASSWORD));
      });
    }
  }
  await t.step("the best mechanism", async () => {
    const { stdout } = await send(starttls, ["--check", "--json"]);
    const { mechanism, offered } = JSON.parse(stdout);
    assertEquals(mechanism, "SCRAM-SHA-256");
    assert(offered.includes("PIPELINING"), stdout);
  });
  await t.step("a picture arrives as it left", async () => {
    const octets = crypto.getRandomValues(new Uint8Array(60_000));
    await Deno.writeFile(`${folder}/p.png`, octets);
    const args = ["-t", "bob@example.org", "-m", "see", "-a", `${folder}/p.png`];
    const message = await delivered("bob", await send(starttls, args));
    const [, coded = ""] = /filename="p\.png"\n.*\n\n([^-]*)/.exec(message) ?? [];
    assertEquals(Uint8Array.fromBase64(coded), octets);
  });
  await t.step("a finished message with dots and long lists", async () => {
    const body = `${".\n..\n".repeat(1000)}end\n`;
    const args = ["-t", "bob@example.org", "--eml", "-"];
    const outcome = await send(starttls, args, {
      env: { SMTP_PASSWORD: PASSWORD },
      stdin: `Subject: dots\nBcc: carol@example.org\n\n${body}`,
    });
    const message = await delivered("bob", outcome);
    assert(message.endsWith(`\n\n${body}`), "the body has changed");
    assert(!message.includes("Bcc"));
  });
  await t.step("a hashed password: SCRAM is refused before a proof, PLAIN works", async () => {
    const args = ["-f", USER, "-u", "hashed@example.org", "-t", "bob@example.org", "-m", "x"];
    const outcome = await send(starttls, [...args, "-v"]);
    await delivered("bob", outcome);
    assertStringIncludes(outcome.stderr, "> AUTH SCRAM-SHA-256");
    assertStringIncludes(outcome.stderr, "> AUTH PLAIN");
  });
  await t.step("DSN is offered, and --notify accepted", async () => {
    const args = ["-t", "bob@example.org", "-m", "x", "--notify", "failure,delay", "-v"];
    const outcome = await send(starttls, args);
    await delivered("bob", outcome);
    assertStringIncludes(outcome.stderr, "> RCPT TO:<bob@example.org> NOTIFY=FAILURE,DELAY");
  });
  await t.step("--eml without recipients: those of the header get it, Bcc unseen", async () => {
    const stdin = `From: ${USER}\nTo: bob@example.org\nBcc: carol@example.org\n\nx\n`;
    const env = { SMTP_PASSWORD: PASSWORD };
    const outcome = await send(implicit, ["--eml", "-"], { env, stdin });
    for (const name of ["bob", "carol"]) assert(!/^Bcc/m.test(await delivered(name, outcome)));
  });
  await t.step("git send-email, with a Bcc", async () => {
    if (!await sh("git", "send-email", "--dump-aliases")) {
      return console.log("skipped: needs apt-get install git-email libmailtools-perl");
    }
    const shell = async (command: string) =>
      assert(await sh("sh", "-c", `cd ${folder} && ${command}`));
    await shell(
      "git init -q repo && cd repo && git config user.name Ann && git config user.email " +
        `${USER} && echo a > a && git add a && git commit -qm 'add a' && git format-patch -q --root`,
    );
    const options = [`--ca=${TLS}ca.pem`, "--eml=-"]
      .map((option) => `-c sendemail.smtpServerOption=${option}`).join(" ");
    await shell(
      `cd repo && SMTP_SERVER=localhost:${starttls} SMTP_USER=${USER} ` +
        `SMTP_PASSWORD='${PASSWORD}' git -c sendemail.smtpServer=${ROOT}smtp_client.ts ${options} ` +
        "send-email --quiet --confirm=never --suppress-cc=all --to=bob@example.org " +
        "--bcc=carol@example.org 0001-add-a.patch",
    );
    for (const name of ["bob", "carol"]) {
      const message = await delivered(name, { code: 0, stdout: "", stderr: "" });
      assertStringIncludes(message, "Subject: [PATCH] add a\n");
      assert(!/^Bcc/m.test(message));
    }
  });
  await t.step("one of two is refused", async () => {
    const args = ["-t", "bob@example.org", "-t", "nobody@example.org", "-m", "x"];
    const { code, stderr } = await send(starttls, args);
    assertEquals(code, 67, stderr);
    assertStringIncludes(stderr, "nobody@example.org");
    await delivered("bob", { code: 0, stderr, stdout: "" });
  });
  await t.step("SMTPUTF8", async () => {
    const outcome = await send(starttls, ["-t", "böb@example.org", "-m", "x"]);
    assertStringIncludes(await delivered("boeb", outcome), "To: b\xc3\xb6b@example.org");
  });
  await t.step("a wrong password", async () => {
    const args = ["-t", "bob@example.org", "-m", "x"];
    const { code, stderr } = await send(starttls, args, { env: { SMTP_PASSWORD: "wrong" } });
    assertEquals(code, 77, stderr);
  });
  await t.step("too large", async () => {
    await Deno.writeFile(`${folder}/big.bin`, new Uint8Array(4_000_000));
    const args = ["-t", "bob@example.org", "-m", "x", "-a", `${folder}/big.bin`];
    const { code, stderr } = await send(starttls, args);
    assertEquals(code, 65, stderr);
  });
  await t.step("the wrong way to begin", async () => {
    const args = ["-t", "bob@example.org", "-m", "x", "--tls", "implicit"];
    const { code, stderr } = await send(starttls, args);
    assertEquals(code, 76, stderr);
    assertStringIncludes(stderr, "--tls starttls");
  });
}

const NPM_SERVER = `
const { SMTPServer } = require("smtp-server");
const fs = require("node:fs");
const [key, cert, secure] = process.argv.slice(2);
const server = new SMTPServer({
  key: fs.readFileSync(key), cert: fs.readFileSync(cert), secure: secure === "yes",
  authMethods: ["PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2"], size: 1000000,
  onAuth(auth, session, done) {
    const right = auth.method === "XOAUTH2" ? auth.accessToken === "token"
      : auth.method === "CRAM-MD5" ? auth.validatePassword("secret") : auth.password === "secret";
    done(right ? null : new Error("no"), { user: auth.username });
  },
  onData(stream, session, done) {
    const chunks = [];
    stream.on("data", (chunk) => chunks.push(chunk));
    stream.on("end", () => { console.log(Buffer.concat(chunks).toString("base64")); done(); });
  },
});
server.listen(0, "127.0.0.1", () => console.log(server.server.address().port));
`;

Deno.test("npm's smtp-server", async (t) => {
  const folder = await Deno.makeTempDir({ prefix: "smtp-server-" });
  try {
    if (!await sh("npm", "install", "--prefix", folder, "--no-audit", "--no-fund", "smtp-server")) {
      return console.log("skipped: needs npm and its package smtp-server");
    }
    await Deno.writeTextFile(`${folder}/server.cjs`, NPM_SERVER);
    for (const secure of ["no", "yes"]) await talkToNpm(t, folder, secure);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

async function talkToNpm(t: Deno.TestContext, folder: string, secure: string): Promise<void> {
  const child = new Deno.Command("node", {
    args: [`${folder}/server.cjs`, `${TLS}localhost.key`, `${TLS}localhost.pem`, secure],
    stdout: "piped",
  }).spawn();
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const line = async () => {
    let text = "";
    while (!text.endsWith("\n")) text += (await lines.read()).value ?? "\n";
    return text.trim();
  };
  const port = await line();
  try {
    for (const mechanism of ["plain", "login", "cram-md5", "xoauth2"]) {
      await t.step(`${mechanism}, ${secure === "yes" ? "implicit TLS" : "STARTTLS"}`, async () => {
        const { code, stderr } = await runProgram("smtp_client.ts", [
          ...["--server", `localhost:${port}`, "--ca", `${TLS}ca.pem`, "--auth", mechanism],
          ...["--tls", secure === "yes" ? "implicit" : "starttls", "-u", "ann", "-f", USER],
          ...["-t", "bob@example.org", "-s", "Grüße", "-m", "Grüße\n.\n"],
        ], { env: { SMTP_PASSWORD: "secret", SMTP_TOKEN: "token" } });
        assertEquals(code, 0, stderr);
        const message = toByteString(Uint8Array.fromBase64(await line()));
        assertStringIncludes(message, "\r\nSubject: =?utf-8?");
        assert(message.endsWith("\r\n"));
      });
    }
  } finally {
    child.kill("SIGTERM");
    await lines.cancel();
    await child.status;
  }
}
