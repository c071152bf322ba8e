/**
 * Uploads: `-T`, `--data-binary`, `--json`, and the rules of Expect, redirections and retries for
 * what is sent.
 *
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "jsr:@std/assert@^1.0.19";
import { parseCommandLine } from "../cli.ts";
import {
  COMMAND,
  download,
  type DownloadTimes,
  emptyTransfer,
  readJob,
  TIMES,
  type Upload,
} from "../http_client.ts";
import { ExitError, toByteString } from "../protocol.ts";
import { LOCAL, octetsOf, type Outcome, runProgram, send } from "./helpers.ts";
import { DONE, type FileRow, runHere, testCommands, testFiles, to } from "./http_client_helpers.ts";

/** One connection of a client, as a server sees it. */
class Peer {
  #text = "";
  #reading: Promise<boolean> | undefined;

  constructor(readonly conn: Deno.Conn) {}

  /** Reads more; false if the client has ended. One read is pending at a time. */
  #more(): Promise<boolean> {
    return this.#reading ??= (async () => {
      const octets = new Uint8Array(65_536);
      const count = await this.conn.read(octets);
      this.#text += toByteString(octets.subarray(0, count ?? 0));
      this.#reading = undefined;
      return count !== null;
    })();
  }

  /** Takes this number of octets, or all if the client ends. */
  async octets(count: number): Promise<string> {
    while (this.#text.length < count && await this.#more());
    const found = this.#text.slice(0, count);
    this.#text = this.#text.slice(count);
    return found;
  }

  /** Takes all up to a text, and the text. */
  async #until(end: string): Promise<string> {
    while (!this.#text.includes(end) && await this.#more());
    return await this.octets(this.#text.indexOf(end) + end.length);
  }

  head(): Promise<string> {
    return this.#until("\r\n\r\n");
  }

  /** Reads a chunked body, and gives its data. */
  async chunks(): Promise<string> {
    let data = "";
    for (;;) {
      const size = parseInt(await this.#until("\r\n"), 16);
      const chunk = await this.octets(size + 2);
      if (!chunk.endsWith("\r\n")) return `${data}[cut]`;
      if (size === 0) return data;
      data += chunk.slice(0, -2);
    }
  }

  /** Tells whether the client sends nothing within that time (ms). */
  async isSilentFor(ms: number): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, ms);
    await Promise.race([this.#more().catch(() => {}), promise]);
    clearTimeout(timer);
    return this.#text === "";
  }

  say(text: string): Promise<void> {
    return send(this.conn, [text]);
  }
}

/** Serves each connection by the next of the scripts while something runs against it. */
async function against(
  scripts: ((peer: Peer) => Promise<void>)[],
  run: (url: string) => Promise<Outcome>,
): Promise<Outcome> {
  const listener = Deno.listen(LOCAL);
  let served = 0;
  let fault: unknown;
  const open = new Set<Deno.Conn>();
  const serving = (async () => {
    try {
      for (;;) {
        using conn = await listener.accept();
        open.add(conn);
        try {
          await scripts[served++]?.(new Peer(conn));
          await conn.closeWrite();
          while (await conn.read(new Uint8Array(65_536)) !== null);
        } catch (error) {
          if (error instanceof Error && error.name === "AssertionError") fault = error;
        }
        open.delete(conn);
      }
    } catch {
      // the listener was closed
    }
  })();
  const outcome = await run(`http://127.0.0.1:${listener.addr.port}/`);
  listener.close();
  for (const conn of open) conn[Symbol.dispose]();
  await serving;
  if (fault) throw fault;
  assertEquals(served, scripts.length, `connections: ${JSON.stringify(outcome)}`);
  return outcome;
}

/** Runs something with a file in a folder of its own. */
async function withFile<T>(
  name: string,
  content: string,
  run: (path: string) => Promise<T>,
): Promise<T> {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeFile(`${folder}/${name}`, octetsOf(content));
    return await run(`${folder}/${name}`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Uploads a file to a server with these scripts. */
const upload = (
  content: string,
  scripts: ((peer: Peer) => Promise<void>)[],
  args: string[] = [],
  { name = "file.txt", continueTimeout = 100 } = {},
): Promise<Outcome> =>
  withFile(name, content, (path) =>
    against(scripts, (url) => {
      const given = args.map((arg) => arg.replace("URL", url));
      const urls = given.some((arg) => arg.startsWith(url)) ? [] : [`${url}x`];
      return runHere(["-T", path, ...given, ...urls], { firstPause: 10, continueTimeout });
    }));

/** Waits for 100 as long as a test runs. */
const PATIENT = { continueTimeout: 60_000 };

const BIG = "0123456789".repeat(100_001); // more than MAX_UNASKED
const CONTINUE = "HTTP/1.1 100 Continue\r\n\r\n";

/** A script that reads a body of this length and answers. */
const takes =
  (length: number, answer = DONE, check = (_head: string, _body: string) => {}) =>
  async (peer: Peer) => {
    const head = await peer.head();
    check(head, await peer.octets(length));
    await peer.say(answer);
  };

Deno.test("RFC 9110 §9.3.4: -T is PUT, with Content-Length and without Content-Type", async () => {
  const { stdout, code } = await upload("hello\r\n\0", [
    takes(8, DONE, (head, body) => {
      assert(/^PUT \/x HTTP\/1\.1\r\n/.test(head), head);
      assert(/^Content-Length: 8\r$/m.test(head), head);
      assert(!/^(Content-Type|Expect|Transfer-Encoding):/mi.test(head), head);
      assertEquals(body, "hello\r\n\0");
    }),
  ]);
  assertEquals({ stdout, code }, { stdout: "done", code: 0 });
});

Deno.test("-T: -X gives another method", async () => {
  await upload("hello", [
    takes(5, DONE, (head) => assert(head.startsWith("POST /x "), head)),
  ], ["-X", "POST"]);
});

Deno.test("-T: an empty file has the length 0", async () => {
  const { code } = await upload("", [
    takes(0, DONE, (head) => assert(/^Content-Length: 0\r$/m.test(head), head)),
  ]);
  assertEquals(code, 0);
});

for (
  const [path, target] of [
    ["URL", "/a%20b%23%C3%A9%25.txt"],
    ["URLdir/", "/dir/a%20b%23%C3%A9%25.txt"],
    ["URLdir/?q=1", "/dir/a%20b%23%C3%A9%25.txt?q=1"],
    ["URLdir", "/dir"],
    ["URL?q=/", "/a%20b%23%C3%A9%25.txt?q=/"],
  ] as const
) {
  Deno.test(`-T: the file's name completes ${path}`, async () => {
    await withFile("x", "", () => Promise.resolve());
    await upload(
      "",
      [
        takes(0, DONE, (head) => assertEquals(head.split(" ")[1], target)),
      ],
      [path],
      { name: "a b#é%.txt" },
    );
  });
}

// ---- Expect: 100-continue ----------------------------------------------

Deno.test("RFC 9110 §10.1.1: a large upload waits for 100", async () => {
  const { stdout, stderr } = await upload(
    BIG,
    [async (peer) => {
      assert(/^Expect: 100-continue\r$/m.test(await peer.head()));
      assert(await peer.isSilentFor(30));
      await peer.say(CONTINUE);
      assertEquals((await peer.octets(BIG.length)).length, BIG.length);
      await peer.say(DONE);
    }],
    ["-v"],
    PATIENT,
  );
  assertEquals(stdout, "done");
  assertStringIncludes(stderr, "< HTTP/1.1 100 Continue\n");
  assertStringIncludes(stderr, `> [${BIG.length} octets of body]\n`);
});

Deno.test("RFC 9110 §10.1.1: without an answer the upload begins after a while", async () => {
  const { stdout } = await upload(BIG, [takes(BIG.length)]);
  assertEquals(stdout, "done");
});

Deno.test("RFC 9110 §10.1.1: a late 100 is skipped", async () => {
  const { stdout } = await upload(BIG, [takes(BIG.length, CONTINUE + DONE)]);
  assertEquals(stdout, "done");
});

Deno.test("RFC 9110 §10.1.1: another interim response than 100 does not start the upload", async () => {
  const { stdout } = await upload(
    BIG,
    [async (peer) => {
      await peer.head();
      await peer.say("HTTP/1.1 103 Early Hints\r\n\r\n");
      assert(await peer.isSilentFor(30));
      await peer.say(CONTINUE);
      await peer.octets(BIG.length);
      await peer.say(DONE);
    }],
    [],
    PATIENT,
  );
  assertEquals(stdout, "done");
});

for (const status of [300, 301, 401, 413, 500]) {
  Deno.test(`RFC 9110 §10.1.1: after ${status} the upload is not sent`, async () => {
    const { stdout, code } = await upload(
      BIG,
      [async (peer) => {
        await peer.head();
        await peer.say(`HTTP/1.1 ${status} No\r\nContent-Length: 2\r\n\r\n`);
        assert(await peer.isSilentFor(100), "nothing more comes"); // though the body is not there
        await peer.say("no");
      }],
      [],
      PATIENT,
    );
    assertEquals({ stdout, code }, { stdout: "no", code: 0 });
  });
}

Deno.test("RFC 9110 §10.1.1: 200 at once: the upload is sent all the same", async () => {
  const { stdout, code } = await upload(
    BIG,
    [async (peer) => {
      await peer.head();
      await peer.say(DONE);
      assertEquals((await peer.octets(BIG.length)).length, BIG.length);
    }],
    [],
    PATIENT,
  );
  assertEquals({ stdout, code }, { stdout: "done", code: 0 });
});

Deno.test("RFC 9110 §10.1.1: 417 is tried again without Expect", async () => {
  const { stdout } = await upload(BIG, [
    async (peer) => {
      await peer.head();
      await peer.say("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n");
    },
    takes(BIG.length, DONE, (head) => assert(!/^Expect/mi.test(head), head)),
  ]);
  assertEquals(stdout, "done");
});

Deno.test("RFC 9110 §10.1.1: 417 without Expect is a response like others", async () => {
  const { stdout, code } = await upload(BIG, [
    takes(BIG.length, "HTTP/1.1 417 No\r\nContent-Length: 2\r\n\r\nno"),
  ], ["-H", "Expect:"]);
  assertEquals({ stdout, code }, { stdout: "no", code: 0 });
});

Deno.test("RFC 9110 §10.1.1: a small upload is sent at once", async () => {
  const { stdout } = await upload("hello", [takes(5)], ["-m", "5"], PATIENT);
  assertEquals(stdout, "done");
});

Deno.test("RFC 9110 §10.1.1: a peer that does not speak HTTP gets no upload", async () => {
  const { code } = await upload(
    BIG,
    [async (peer) => {
      await peer.head();
      await peer.say("SSH-2.0-x\r\n");
    }],
    ["-m", "5"],
    PATIENT,
  );
  assertEquals(code, 8);
});

for (const [length, asks] of [[1_000_000, false], [1_000_001, true]] as const) {
  Deno.test(`RFC 9110 §10.1.1: an upload of ${length} octets ${asks ? "asks" : "does not ask"}`, async () => {
    const content = "x".repeat(length);
    const { code } = await upload(content, [async (peer) => {
      assertEquals(/^Expect: 100-continue\r$/m.test(await peer.head()), asks);
      if (asks) await peer.say(CONTINUE);
      await peer.octets(length);
      await peer.say(DONE);
    }]);
    assertEquals(code, 0);
  });
}

Deno.test("-H 'Expect: 100-continue' asks for a small upload, too", async () => {
  const { stdout } = await upload("hello", [async (peer) => {
    await peer.head();
    await peer.say(CONTINUE);
    assertEquals(await peer.octets(5), "hello");
    await peer.say(DONE);
  }], ["-H", "expect: 100-Continue"]);
  assertEquals(stdout, "done");
});

// ---- What goes wrong ---------------------------------------------------

Deno.test("RFC 9112 §9.5: an error while the upload is sent ends it", async () => {
  const { stdout, code } = await upload(BIG.repeat(10), [async (peer) => {
    await peer.head();
    await peer.say(CONTINUE);
    await peer.octets(1000);
    await peer.say("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
  }], ["-f"]);
  assertEquals({ stdout, code }, { stdout: "", code: 22 });
});

Deno.test("RFC 9112 §9.5: after 300 the rest of the upload need not be sent", async () => {
  const { stdout, code } = await upload(BIG.repeat(10), [async (peer) => {
    await peer.head();
    await peer.say(CONTINUE);
    await peer.octets(1000);
    await peer.say("HTTP/1.1 300 Choose\r\nContent-Length: 2\r\n\r\nno");
    peer.conn.close();
  }]);
  assertEquals({ stdout, code }, { stdout: "no", code: 0 });
});

Deno.test("-T: a server that closes in the middle is exit 55", async () => {
  const { code, stderr } = await upload(BIG.repeat(10), [async (peer) => {
    await peer.head();
    await peer.octets(1000);
    peer.conn.close();
  }], ["-H", "Expect:"]);
  assertEquals(code, 55, stderr);
  assertStringIncludes(stderr, "The server closed before it had the whole request");
});

testCommands(
  "-T",
  [
    { args: ["-T", "/no/such/file", "http://h/"], code: 26, says: 'Cannot read "/no/such/file"' },
    { args: ["-T", "/tmp", "http://h/"], code: 26, says: 'Cannot read "/tmp": it is a folder' },
    { args: ["-T", "", "http://h/"], code: 2 },
    { args: ["-T", "f", "-d", "x", "http://h/"], code: 2, says: "-T with -d" },
    { args: ["-T", "f", "-I", "http://h/"], code: 2 },
    { args: ["-T", "f", "-C", "-", "-o", "f", "http://h/"], code: 2 },
    { args: ["-T", "f", "--json", "{}", "http://h/"], code: 2 },
    { args: ["-T", "f", "--data-binary", "x", "http://h/"], code: 2 },
    { args: ["-d", "f", "--data-binary", "x", "http://h/"], code: 2 },
    { args: ["-I", "--json", "{}", "http://h/"], code: 2 },
    { args: ["--json", "@/no/such/file", "http://h/"], code: 2, says: "/no/such/file" },
  ].map((row) => row.says?.startsWith("-T with") ? { ...row, says: /Cannot use/ } : row),
);

// ---- Redirections and retries ------------------------------------------

for (const status of [301, 302, 307, 308]) {
  Deno.test(`RFC 9110 §15.4: after ${status} a file is sent again`, async () => {
    const { stdout } = await upload("hello", [
      takes(5, to("/2", status)),
      takes(5, DONE, (head, body) => {
        assert(head.startsWith("PUT /2 "), head);
        assertEquals(body, "hello");
      }),
    ], ["-L"]);
    assertEquals(stdout, "done");
  });

  Deno.test(`RFC 9110 §15.4: after ${status} a file is not sent to another origin`, async () => {
    const { code, stderr } = await upload("hello", [
      takes(5, to("http://127.0.0.2:9/2", status)),
    ], ["-L", "--retry", "2"]);
    assertEquals(code, 55);
    assertStringIncludes(
      stderr,
      `Cannot send file.txt to another origin: ${status} leads to http:`,
    );
  });
}

Deno.test("RFC 9110 §15.4.4: after 303 comes a GET without the file", async () => {
  const { stdout } = await upload(BIG, [
    async (peer) => {
      await peer.head();
      await peer.say(to("/2", 303));
    },
    takes(0, DONE, (head) => {
      assert(head.startsWith("GET /2 "), head);
      assert(!/^(Content-|Expect|Transfer-)/mi.test(head), head);
    }),
  ], ["-L"]);
  assertEquals(stdout, "done");
});

Deno.test("--retry: the file is read again", async () => {
  const { stdout } = await upload(BIG, [
    async (peer) => {
      await peer.head();
      await peer.say(CONTINUE);
      await peer.octets(100_000);
      peer.conn.close();
    },
    takes(BIG.length, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nRetry-After: 0\r\n\r\n"),
    takes(BIG.length, DONE, (_, body) => assertEquals(body.length, BIG.length)),
  ], ["--retry", "2"]);
  assertEquals(stdout, "done");
});

// ---- Standard input ----------------------------------------------------

/** Uploads standard input with the real program. */
const pipe = (
  stdin: string,
  scripts: ((peer: Peer) => Promise<void>)[],
  args: string[] = [],
): Promise<Outcome> =>
  against(
    scripts,
    (url) => runProgram("http_client.ts", ["-T", "-", ...args, `${url}x/`], { stdin }),
  );

/** A script that reads a chunked body and answers. */
const takesChunks =
  (answer = DONE, check = (_head: string, _body: string) => {}) => async (peer: Peer) => {
    const head = await peer.head();
    await peer.say(CONTINUE);
    check(head, await peer.chunks());
    await peer.say(answer);
  };

for (const text of ["", "hello\r\n\0\xff", "x".repeat(3_000_000)]) {
  Deno.test(`RFC 9112 §7.1: standard input (${text.length} octets) is sent in chunks`, async () => {
    const { stdout, stderr } = await pipe(text, [
      takesChunks(DONE, (head, body) => {
        assert(/^PUT \/x\/ HTTP\/1\.1\r\n/.test(head), head);
        assert(/^Transfer-Encoding: chunked\r$/m.test(head), head);
        assert(/^Expect: 100-continue\r$/m.test(head), head); // it may be large
        assert(!/^Content-Length/mi.test(head), head);
        assert(body === text, `${body.length} octets`);
      }),
    ]);
    assertEquals({ stdout, stderr }, { stdout: "done", stderr: "" });
  });
}

Deno.test("RFC 9110 §15.4: standard input is not sent twice, be it after 307", async () => {
  const { code, stderr } = await pipe("hello", [takesChunks(to("/2", 307))], ["-L"]);
  assertEquals(code, 55);
  assertStringIncludes(stderr, "Cannot send standard input twice: 307 leads to http://127.0.0.1");
});

Deno.test("RFC 9110 §15.4.4: after 303 comes a GET without Transfer-Encoding", async () => {
  const get = takes(0, DONE, (head) => {
    assert(head.startsWith("GET /2 "), head);
    assert(!/^(Content-|Expect|Transfer-)/mi.test(head), head);
  });
  const { stdout } = await pipe("hello", [takesChunks(to("/2", 303)), get], ["-L"]);
  assertEquals(stdout, "done");
});

Deno.test("--retry does not repeat standard input", async () => {
  const busy = "HTTP/1.1 503 Busy\r\nContent-Length: 2\r\nRetry-After: 0\r\n\r\nno";
  const { code, stdout } = await pipe("hello", [takesChunks(busy)], ["-f", "--retry", "3"]);
  assertEquals({ code, stdout }, { code: 22, stdout: "" });
});

Deno.test("--retry repeats standard input that was not read yet", async () => {
  const busy = async (peer: Peer) => {
    await peer.head();
    await peer.say("HTTP/1.1 503 Busy\r\nContent-Length: 2\r\nRetry-After: 0\r\n\r\nno");
  };
  const { stdout } = await pipe("hello", [busy, takesChunks()], ["--retry", "1"]);
  assertEquals(stdout, "done");
});

// ---- The engine with an upload of its own ------------------------------

/** Runs the engine with pieces as the upload. */
async function engine(
  size: number | null,
  pieces: (string | Error | Promise<void>)[],
  scripts: ((peer: Peer) => Promise<void>)[],
  args: string[] = [],
  times: Partial<DownloadTimes> = {},
): Promise<Outcome> {
  const upload: Upload = {
    name: "pieces",
    size,
    isSpent: false,
    async *read() {
      for (const piece of pieces) {
        if (piece instanceof Error) throw piece;
        const text = await piece;
        if (text !== undefined) yield octetsOf(text);
      }
    },
  };
  return await against(scripts, async (url) => {
    const outcome = { code: 0, stdout: "", stderr: "" };
    const line = parseCommandLine(COMMAND, ["-X", "PUT", ...args, url]);
    const { options } = await readJob(line, { ...TIMES, ...times });
    const io = {
      stdout: {
        write: (octets: Uint8Array) =>
          Promise.resolve((outcome.stdout += toByteString(octets), octets.length)),
        isTerminal: () => false,
      },
      note: () => {},
      hint: () => {},
      transfer: emptyTransfer(),
    };
    try {
      await download(`${url}x`, { ...options, upload }, io, new AbortController().signal);
    } catch (error) {
      if (!(error instanceof ExitError)) throw error;
      [outcome.code, outcome.stderr] = [error.status, error.message];
    }
    return outcome;
  });
}

Deno.test("-T: of a file that has grown only the announced octets are sent", async () => {
  const { stdout, code } = await engine(5, ["abc", "defgh", "i"], [async (peer) => {
    assert(/^Content-Length: 5\r$/m.test(await peer.head()));
    assertEquals(await peer.octets(5), "abcde");
    assert(await peer.isSilentFor(30));
    await peer.say(DONE);
  }]);
  assertEquals({ stdout, code }, { stdout: "done", code: 0 });
});

Deno.test("-T: a file that has got shorter is exit 26, and not tried again", async () => {
  const { code, stderr } = await engine(5, ["abc"], [async (peer) => {
    await peer.head();
    assertEquals(await peer.octets(5), "abc", "the connection ends");
  }], ["--retry", "1"]);
  assertEquals({ code, stderr }, {
    code: 26,
    stderr: "Cannot send pieces: 2 bytes of it are gone",
  });
});

Deno.test("-T: a file that cannot be read to its end is exit 26", async () => {
  const fault = new Deno.errors.Interrupted("disk on fire");
  const { code, stderr } = await engine(5, ["abc", fault], [async (peer) => {
    await peer.head();
    assertEquals(await peer.octets(5), "abc");
  }], ["--retry", "1"]);
  assertEquals(code, 26);
  assert(/^Cannot read pieces: .*disk on fire/i.test(stderr), stderr);
});

Deno.test("-T: 200 from a server that did not take the whole body is exit 55", async () => {
  const closed = Promise.withResolvers<void>();
  const pieces = ["abc", closed.promise, ...Array.from({ length: 50 }, () => "x".repeat(100_000))];
  const { code, stdout, stderr } = await engine(5_000_003, pieces, [async (peer) => {
    await peer.head();
    await peer.octets(3);
    await peer.say(DONE);
    peer.conn.close();
    closed.resolve();
  }], ["-H", "Expect:"]);
  assertEquals({ code, stdout }, { code: 55, stdout: "done" });
  assertEquals(stderr, "The server answered 200, but did not take the whole body");
});

Deno.test("RFC 9112 §9.5: after 413 the next piece is not sent", async () => {
  const answered = Promise.withResolvers<void>();
  const { code, stdout } = await engine(6, ["abc", answered.promise, "def"], [async (peer) => {
    await peer.head();
    assertEquals(await peer.octets(3), "abc");
    await peer.say("HTTP/1.1 413 Large\r\nContent-Length: 2\r\n\r\nn");
    assert(await peer.isSilentFor(50));
    answered.resolve();
    assert(await peer.isSilentFor(50));
    await peer.say("o");
  }]);
  assertEquals({ code, stdout }, { code: 0, stdout: "no" });
});

Deno.test("-T: a file that goes on after its announced size is not read to its end", async () => {
  const never = new Promise<void>(() => {});
  const { code } = await engine(5, ["abcde", never], [takes(5)], ["-m", "5"]);
  assertEquals(code, 0);
});

Deno.test("-T: a file that cannot be read to its end is exit 26 after 200, too", async () => {
  const answered = Promise.withResolvers<void>();
  const pieces = ["abc", answered.promise, new Deno.errors.Interrupted("disk on fire")];
  const { code } = await engine(5, pieces, [async (peer) => {
    await peer.head();
    assertEquals(await peer.octets(3), "abc");
    await peer.say(DONE);
    assert(await peer.isSilentFor(50));
    answered.resolve();
    assertEquals(await peer.octets(2), "", "the connection ends");
  }]);
  assertEquals(code, 26);
});

Deno.test("-d: a complete response ends a request that the server does not read", async () => {
  const done = Promise.withResolvers<void>();
  const { code, stdout } = await withFile("f", BIG.repeat(16), (path) =>
    against([async (peer) => {
      await peer.head();
      await peer.say(DONE);
      await done.promise;
    }], async (url) => {
      const outcome = await runHere(["-m", "5", "-d", `@${path}`, url]);
      done.resolve();
      return outcome;
    }));
  assertEquals({ code, stdout }, { code: 0, stdout: "done" });
});

/** Waits 300 ms, three times the read timeout of the tests below. */
const later = () => new Promise<void>((done) => setTimeout(done, 300));

for (const [when, pieces] of [["at first", ["", "abc"]], ["later", ["abc", ""]]] as const) {
  Deno.test(`-T: a source that gives nothing for the read timeout ${when} is waited for`, async () => {
    const slow = pieces.map((piece) => piece === "" ? later() : piece);
    const { code, stdout, stderr } = await engine(null, slow, [takesChunks()], ["-H", "Expect:"], {
      readTimeout: 100,
    });
    assertEquals({ code, stdout }, { code: 0, stdout: "done" }, stderr);
  });
}

for (
  const [size, pieces, body] of [
    [0, [], ""],
    [3, ["abc"], "abc"],
    [null, ["abc"], "3\r\nabc\r\n0\r\n\r\n"],
  ] as const
) {
  Deno.test(`-T: a server that says nothing after the upload is given up (size ${size})`, async () => {
    const { code, stderr } = await engine(
      size,
      [...pieces],
      [async (peer) => {
        await peer.head();
        assertEquals(await peer.octets(body.length + 1), body, "the connection ends");
      }],
      ["-m", "5", "-H", "Expect:"],
      { readTimeout: 100 },
    );
    assertEquals({ code, stderr }, { code: 28, stderr: "The server sent nothing for 0.1 s" });
  });
}

Deno.test("-T: a server that does not take the upload is given up after the read timeout", async () => {
  const pieces = Array.from({ length: 160 }, () => "x".repeat(100_000));
  const { code } = await engine(
    16_000_000,
    pieces,
    [async (peer) => {
      await peer.head();
      await later();
    }],
    ["-H", "Expect:"],
    { readTimeout: 100 },
  );
  assertEquals(code, 28);
});

Deno.test("RFC 9112 §7.1: an empty piece does not end a chunked body", async () => {
  const { stdout } = await engine(null, ["", "ab", "", "c"], [async (peer) => {
    await peer.head();
    await peer.say(CONTINUE);
    assertEquals(await peer.chunks(), "abc");
    await peer.say(DONE);
  }]);
  assertEquals(stdout, "done");
});

Deno.test("RFC 9112 §7.1: a chunk has its size in hexadecimal digits", async () => {
  const { stdout } = await engine(null, ["x".repeat(255)], [async (peer) => {
    await peer.head();
    await peer.say(CONTINUE);
    assertEquals(await peer.octets(4), "ff\r\n");
    assertEquals(await peer.octets(262), `${"x".repeat(255)}\r\n0\r\n\r\n`);
    await peer.say(DONE);
  }]);
  assertEquals(stdout, "done");
});

// ---- --data-binary and --json ------------------------------------------

const FILES: FileRow[] = [
  {
    rule: "--data-binary: the octets of a file go as they are",
    sends: [[DONE]],
    before: { f: "a\r\nb\0\xff\n" },
    args: ["--data-binary", "@f", "URL"],
    asks: [
      /^POST \/ [^]*\r\nContent-Type: application\/x-www-form-urlencoded\r\n[^]*\r\n\r\na\r\nb\0\xff\n$/,
    ],
    after: { f: "a\r\nb\0\xff\n" },
    out: "done",
  },
  {
    rule: "--data-binary: several are joined by &",
    sends: [[DONE]],
    before: { f: "b\n" },
    args: ["--data-binary", "a", "--data-binary", "@f", "URL"],
    asks: [/\r\n\r\na&b\n$/],
    after: { f: "b\n" },
    out: "done",
  },
  {
    rule: "--json: Content-Type and Accept, and several are joined by nothing",
    sends: [[DONE]],
    before: { f: "2\n]" },
    args: ["--json", "[1,", "--json", "@f", "URL"],
    asks: [
      /^POST \/ (?=[^]*\r\nAccept: application\/json\r\n)[^]*\r\nContent-Type: application\/json\r\n[^]*\r\n\r\n\[1,2\n\]$/,
    ],
    after: { f: "2\n]" },
    out: "done",
  },
  {
    rule: "--json: -H replaces its fields, -X its method",
    sends: [[DONE]],
    args: ["--json", "{}", "-X", "PATCH", "-H", "Content-Type: a/b", "-H", "Accept: c/d", "URL"],
    asks: [/^PATCH (?![^]*json)[^]*\r\nContent-Type: a\/b\r\nAccept: c\/d\r\n/],
    after: {},
    out: "done",
  },
];
testFiles(FILES);
