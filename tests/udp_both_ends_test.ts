/** Tests of both ends together: our pinger and server, and the programs of the assignment in Python. */
import { assert, assertEquals, assertMatch } from "jsr:@std/assert@^1.0.19";
import { toByteString } from "../protocol.ts";
import { ROOT } from "./helpers.ts";
import { ping, running, sleep, until } from "./udp_ping_server_helpers.ts";

Deno.test("both ends: -T tells that requests were lost, not replies", async () => {
  await running(["--loss", "0.3", "--seed", "1"], async (port) => {
    const { oneWay, lost } = JSON.parse((await ping(port, "-c40", "-i.005", "-W.1", "-T")).stdout);
    assert(lost > 0);
    assertEquals([oneWay.lostUp, oneWay.lostDown], [lost, 0]);
  });
});

/**
 * Relays datagrams between a pinger and a server, as a NAT does.
 *
 * @param forward Gets a probe and its number. Returns what goes to the server (null: nothing), and
 * by which of the relay's sockets.
 */
function relay(
  port: number,
  forward: (octets: Uint8Array, number: number) => [Uint8Array | null, number],
) {
  const open = () => Deno.listenDatagram({ transport: "udp", hostname: "127.0.0.1", port: 0 });
  const [inside, ...outside] = [open(), open(), open()];
  let client: Deno.Addr | undefined;
  let count = 0;
  const probes = (async () => {
    for await (const [octets, from] of inside) {
      client = from;
      const [sent, socket] = forward(octets.slice(), ++count);
      const target = { transport: "udp" as const, hostname: "127.0.0.1", port };
      if (sent) await outside[socket]?.send(sent, target);
    }
  })();
  const replies = outside.map(async (socket) => {
    for await (const [octets] of socket) if (client) await inside.send(octets.slice(), client);
  });
  return {
    port: (inside.addr as Deno.NetAddr).port,
    async stop() {
      for (const socket of [inside, ...outside]) socket.close();
      await Promise.all([probes, ...replies]);
    },
  };
}

const RELAYED: {
  rule: string;
  forward: (octets: Uint8Array, number: number) => [Uint8Array | null, number];
  lost: number;
  up?: number;
}[] = [
  {
    rule: "the client's port changes, nothing is lost",
    forward: (octets, number) => [octets, number > 20 ? 1 : 0],
    lost: 0,
  },
  {
    rule: "the client's port changes back and forth",
    forward: (octets, number) => [octets, number % 2],
    lost: 0,
  },
  {
    rule: "the client's port changes, and requests are lost before and after",
    forward: (octets, number) => [number % 10 === 5 ? null : octets, number > 20 ? 1 : 0],
    lost: 4,
    up: 4,
  },
  {
    rule: "a digit of a number is damaged on the way to the server",
    forward: (
      octets,
      number,
    ) => [number === 20 ? octets.with(9, octets[9] === 0x39 ? 0x38 : 0x39) : octets, 0],
    lost: 1,
  },
];
for (const { rule, forward, lost, up } of RELAYED) {
  Deno.test(`both ends: -T where ${rule}`, async () => {
    await running(["--loss", "0"], async (port) => {
      const between = relay(port, forward);
      const { stdout } = await ping(between.port, "-c40", "-i.005", "-W.5", "-T");
      await between.stop();
      const summary = JSON.parse(stdout);
      assertEquals([summary.transmitted, summary.lost], [40, lost]);
      const { lostUp, lostDown } = summary.oneWay;
      assertEquals(lostUp + lostDown, lost);
      if (up !== undefined) assertEquals(lostUp, up);
    });
  });
}

Deno.test("both ends: what the server does is what the pinger says", async () => {
  const faults = ["--duplicate", "0.2", "--corrupt", "0.1", "--reorder", "0.1", "--loss", "0.1"];
  await running([...faults, "--seed", "3"], async (port) => {
    const summary = JSON.parse((await ping(port, "-c200", "-i.002", "-W.6")).stdout);
    for (const kind of ["duplicates", "corrupted", "outOfOrder", "lost"]) {
      assert(summary[kind] > 5, `${kind}: ${summary[kind]}`);
    }
    assertEquals([summary.foreign, summary.errors], [0, 0]);
  });
});

const python = await new Deno.Command("python3", { args: ["--version"], stdout: "null" }).output()
  .then(({ success }) => success, () => false);
if (!python) console.log("skipped: the assignment's Python programs (install python3)");

const PYTHON_SERVER = `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1], flush=True)
while True:
    message, address = s.recvfrom(1024)
    s.sendto(message, address)
`;
const PYTHON_CLIENT = `
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(0.3)
good = 0
for number in range(1, 11):
    message = "sequence=%d\\ttime=%.6f" % (number, time.time())
    s.sendto(message.encode(), ("127.0.0.1", int(sys.argv[1])))
    try:
        reply, address = s.recvfrom(1024)
        good += reply.decode() == message
    except socket.timeout:
        pass
print(good)
`;
const PYTHON_BEATS = `
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for number in (1, 2, 4):
    s.sendto(("%d - %f" % (number, time.time())).encode(), ("127.0.0.1", int(sys.argv[1])))
    time.sleep(0.05)
`;

Deno.test({ name: "both ends: our pinger and a server in Python", ignore: !python }, async () => {
  const child = new Deno.Command("python3", { args: ["-c", PYTHON_SERVER], stdout: "piped" })
    .spawn();
  const reader = child.stdout.getReader();
  const port = Number(toByteString((await reader.read()).value ?? new Uint8Array()));
  const { received, corrupted } = JSON.parse((await ping(port, "-c20")).stdout);
  child.kill();
  await child.status;
  await reader.cancel();
  assertEquals([received, corrupted], [20, 0]);
});

Deno.test({ name: "both ends: our server and a client in Python", ignore: !python }, async () => {
  const { stdout } = await running(["--loss", "0"], async (port) => {
    const args = ["-c", PYTHON_CLIENT, String(port)];
    const client = await new Deno.Command("python3", { args }).output();
    assertEquals(toByteString(client.stdout), "10\n");
  });
  assertMatch(stdout, /^10 received, 0 dropped, 10 echoed/);
});

Deno.test({ name: "both ends: our monitor and beats in Python", ignore: !python }, async () => {
  const { stdout } = await running(["--heartbeat"], async (port) => {
    await new Deno.Command("python3", { args: ["-c", PYTHON_BEATS, String(port)] }).output();
    await sleep(100);
  });
  assertMatch(stdout, /^\S+Z 127.0.0.1:\d+: started\n\S+Z 127.0.0.1:\d+: 1 lost \(sequence 3\)\n/);
  assertMatch(stdout, /\n127.0.0.1:\d+: 3 received, 1 lost \(25% loss\), 0 late,/);
});

Deno.test("both ends: our heartbeats and our monitor", async () => {
  const { stdout } = await running(["--heartbeat", "-v"], async (port, monitor) => {
    const words = ["--heartbeat", "-i.05", "--name", "web1", "-q", "127.0.0.1", String(port)];
    const args = ["run", "-A", "--unstable-net", `${ROOT}udp_pinger.ts`, ...words];
    const options = { args, stdout: "null", stderr: "null" } as const;
    const child = new Deno.Command(Deno.execPath(), options).spawn();
    await until(() => monitor.stderr.includes("name=web1"));
    child.kill("SIGINT");
    assertEquals((await child.status).code, 0);
  });
  assertMatch(stdout, /^\S+Z web1: started\n(.*\n)*\S+Z web1: left\nweb1: \d+ received, 0 lost/);
});
