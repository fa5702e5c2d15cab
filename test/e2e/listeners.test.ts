// Where a sidecar listens: several addresses, unix sockets with their mode, one port for several processes, IPv6.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { startCrew, startService } from "../support/crew.ts";
import { connected } from "../support/fronts.ts";
import { requestText, type RawClient } from "../support/raw-http.ts";
import { eventually } from "../support/redis.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

const policy = { plugins: ["logging"] };

/** The service tells what it hears of the client. */
const start = (env: Record<string, string>): Promise<TestSidecar> =>
  startSidecar({
    policy,
    upstream: ({ headers, url }, response) => {
      if (url !== "/held") response.end(headers["x-forwarded-for"]);
    },
    env,
  });

async function addressesOf({ line }: Pick<TestSidecar, "line">): Promise<string[]> {
  return String((await line(({ msg }) => msg === "listening"))["address"]).split(", ");
}

/** @param address as the log has it */
function connect(address: string, from?: string): Promise<RawClient> {
  if (address.startsWith("unix:")) return connected(net.connect({ path: address.slice(5) }), "connect");
  const [, host = "", port] = /^\[?(.*?)\]?:(\d+)$/.exec(address) ?? [];
  return connected(net.connect({ host: from ?? host, port: Number(port) }), "connect");
}

async function forwarded(address: string, from?: string): Promise<string> {
  const client = await connect(address, from);
  client.send(requestText("GET", "/"));
  const { status, body } = await client.answer();
  client.end();
  assert.equal(status, 200);
  return body;
}

async function freePort(): Promise<number> {
  const probe = net.createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => probe.once("listening", resolve));
  const { port } = probe.address() as net.AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

describe("several addresses", () => {
  let folder: string;
  before(() => void (folder = mkdtempSync(join(tmpdir(), "outrigger-listen-"))));
  after(() => rmSync(folder, { recursive: true }));

  it("are served alike; mapped addresses are plain ones", async () => {
    const path = join(folder, "in.sock");
    await using sidecar = await start({
      OUTRIGGER_LISTEN: `127.0.0.1:0,[::1]:0,unix:${path},[::]:0`,
      OUTRIGGER_LISTEN_MODE: "0620",
    });
    const [four, six, unix, any] = (await addressesOf(sidecar)) as [string, string, string, string];
    assert.deepEqual(
      [await forwarded(four), await forwarded(six), await forwarded(unix), await forwarded(any, "127.0.0.1")],
      ["127.0.0.1", "::1", "unix", "127.0.0.1"],
    );
    assert.equal(await forwarded(any, "::1"), "::1");
    assert.equal(statSync(path).mode & 0o777, 0o620);
  });

  it("can be one port of IPv4 and of IPv6", async () => {
    const port = await freePort();
    await using sidecar = await start({ OUTRIGGER_LISTEN: `[::]:${port},0.0.0.0:${port}` });
    const [six = "", four = ""] = await addressesOf(sidecar);
    assert.deepEqual([await forwarded(six, "::1"), await forwarded(four, "127.0.0.1")], ["::1", "127.0.0.1"]);
  });

  it("have one bound of connections, and drain together", async () => {
    const sidecar = await start({
      OUTRIGGER_LISTEN: "127.0.0.1:0,[::1]:0",
      OUTRIGGER_MAX_CONNECTIONS: "2",
      OUTRIGGER_CLIENT_SHARE: "100",
      OUTRIGGER_DRAIN_MS: "2000",
    });
    const [four, six] = (await addressesOf(sidecar)) as [string, string];
    const clients = [await connect(four), await connect(six)];
    for (const client of clients) {
      client.send(requestText("GET", "/"));
      await client.answer();
    }
    const third = await connect(six);
    assert.equal((await third.closed).rest, "");
    assert.match(await sidecar.metrics(), /outrigger_connections_refused_total\{[^}]*\} 1/);
    const stopped = sidecar.stop();
    for (const client of clients) {
      client.send(requestText("GET", "/"));
      assert.equal((await client.answer()).field("connection"), "close");
    }
    await stopped;
    for (const address of [four, six]) await assert.rejects(connect(address), { code: "ECONNREFUSED" });
  });

  it("are not half taken: what cannot be bound ends the start, by its name", async () => {
    const taken = net.createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => taken.once("listening", resolve));
    const { port } = taken.address() as net.AddressInfo;
    const free = await freePort();
    const starting = start({ OUTRIGGER_LISTEN: `127.0.0.1:${free},127.0.0.1:${port}` });
    await assert.rejects(starting, new RegExp(`OUTRIGGER_LISTEN: 127.0.0.1:${port} is in use`));
    await assert.rejects(connect(`127.0.0.1:${free}`), { code: "ECONNREFUSED" });
    taken.close();
  });

  it("can be shared with another sidecar", async () => {
    const port = await freePort();
    const env = { OUTRIGGER_LISTEN: `127.0.0.1:${port}`, OUTRIGGER_LISTEN_REUSE_PORT: "on" };
    const old = await start(env);
    const next = await start(env);
    await old.stop();
    for (let n = 0; n < 20; n += 1) assert.equal(await forwarded(`127.0.0.1:${port}`), "127.0.0.1");
    await next.stop();
  });

  it("are those of all workers, which read heads of the PROXY protocol, too", async () => {
    const service = await startService(
      ({ headers }, response) => void response.end(headers["x-forwarded-for"]),
    );
    const path = join(folder, "workers.sock");
    const own = await freePort();
    const crew = await startCrew({
      policy,
      upstream: service.url,
      env: {
        OUTRIGGER_LISTEN: `127.0.0.1:${own},[::1]:${own},unix:${path}`,
        OUTRIGGER_LISTEN_MODE: "0600",
        OUTRIGGER_LISTEN_REUSE_PORT: "on",
        OUTRIGGER_DRAIN_MS: "1000",
        OUTRIGGER_PROXY_PROTOCOL: "accept",
        OUTRIGGER_TRUSTED_PROXIES: "127.0.0.2",
      },
    });
    const [listening] = await crew.until(1, ({ msg }) => msg === "listening");
    const addresses = String(listening?.["address"]).split(", ");
    for (const address of addresses) for (let n = 0; n < 4; n += 1) await forwarded(address);
    const proxied = net.connect({ host: "127.0.0.1", port: own, localAddress: "127.0.0.2" });
    const client = await connected(proxied, "connect");
    client.send(`PROXY TCP6 2001:db8::7 ::1 1 2\r\n${requestText("GET", "/")}`);
    assert.equal((await client.answer()).body, "2001:db8::7");
    client.end();
    await eventually("all are served", () => {
      const serving = crew.lines().filter(({ msg }) => msg === "request");
      return serving.length === 13;
    });
    assert.equal(statSync(path).mode & 0o777, 0o600);
    const { code, stderr } = await crew.stop();
    assert.deepEqual([code, stderr], [0, ""]);
    service.closeAllConnections();
    service.close();
  });
});
