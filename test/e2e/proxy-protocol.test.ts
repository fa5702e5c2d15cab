// The PROXY protocol in front of every protocol of a listener: who is believed, who is refused, and how long the
// sidecar waits for a head.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http2 from "node:http2";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tls from "node:tls";
import { after, before, describe, it } from "node:test";
import { makeCertificate } from "../support/certificate.ts";
import { connected } from "../support/fronts.ts";
import { proxyV2 } from "../support/proxy-heads.ts";
import { rawClient, type RawClient, requestText } from "../support/raw-http.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

const line = "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n";
/** Where the trusted proxy, and somebody else, connect from. */
const [proxy, stranger] = ["127.0.0.2", "127.0.0.1"];
const policy = {
  plugins: ["logging", "rate-limit"],
  pluginConfig: { "rate-limit": { limits: [{ name: "one", by: "ip", limit: 1000, window: "1h" }] } },
};
const env = {
  OUTRIGGER_TRUSTED_PROXIES: "127.0.0.2,unix",
  OUTRIGGER_PROXY_PROTOCOL: "accept",
  OUTRIGGER_HEADER_TIMEOUT_MS: "300",
};

interface Told {
  readonly forwarded: string | undefined;
  readonly tail: string;
}

const startOne = (further: Record<string, string> = {}, document: object = policy): Promise<TestSidecar> =>
  startSidecar({
    policy: document as Record<string, unknown>,
    upstream: (request, response) =>
      void response.end(JSON.stringify({ forwarded: request.headers["x-forwarded-for"], tail: request.url })),
    env: { ...env, ...further },
  });

async function connectFrom(localAddress: string, port: number): Promise<RawClient> {
  return await connected(net.connect({ host: "127.0.0.1", port, localAddress }), "connect");
}

async function ask(client: RawClient, fields: string[] = []): Promise<Told> {
  client.send(requestText("GET", "/t", fields));
  const { status, body } = await client.answer();
  assert.equal(status, 200, body);
  return JSON.parse(body) as Told;
}

describe("PROXY protocol in clear", () => {
  let sidecar: TestSidecar;
  before(async () => void (sidecar = await startOne()));
  after(() => sidecar.stop());
  const open = (from = proxy): Promise<RawClient> => connectFrom(from, sidecar.port);

  it("the client is the one told, on every request, in the log and to the service", async () => {
    for (const [head, address] of [
      [line, "192.0.2.7"],
      [proxyV2({ from: "2001:db8::7" }), "2001:db8::7"],
      [proxyV2({ command: 0x20, family: 0, addresses: Buffer.alloc(0) }), proxy],
      [proxyV2({ family: 0x31, addresses: Buffer.alloc(216) }), "unknown"],
      ["PROXY UNKNOWN\r\n", "unknown"],
    ] as const) {
      const client = await open();
      client.send(head);
      assert.deepEqual(await ask(client), { forwarded: address, tail: "/t" });
      assert.deepEqual(await ask(client), { forwarded: address, tail: "/t" });
      await sidecar.line(({ msg, clientIp }) => msg === "request" && clientIp === address);
      client.end();
    }
  });

  it("fields of a client behind it are no more believed than anybody's", async () => {
    const unix = proxyV2({ family: 0x31, addresses: Buffer.alloc(216) });
    for (const head of [line, "PROXY UNKNOWN\r\n", unix]) {
      const client = await open();
      client.send(head);
      const { forwarded } = await ask(client, ["X-Forwarded-For: 10.9.9.9"]);
      assert.equal(forwarded?.includes("10.9.9.9"), false);
      client.end();
    }
    const local = await open();
    local.send(proxyV2({ command: 0x20 }));
    assert.equal((await ask(local, ["X-Forwarded-For: 10.9.9.9"])).forwarded, `10.9.9.9, ${proxy}`);
    local.end();
  });

  it("head and request may come in one piece, or byte by byte", async () => {
    const client = await open();
    client.socket.setNoDelay(true);
    client.send(line + requestText("GET", "/t"));
    assert.equal((JSON.parse((await client.answer()).body) as Told).forwarded, "192.0.2.7");
    client.end();
    const slow = await open();
    slow.socket.setNoDelay(true);
    for (const byte of proxyV2({ from: "192.0.2.8" })) {
      slow.send(Buffer.of(byte));
      await new Promise(setImmediate);
    }
    assert.equal((await ask(slow)).forwarded, "192.0.2.8");
    slow.end();
  });

  it("HTTP/2 follows it", async () => {
    const client = await open();
    client.socket.removeAllListeners("data");
    client.send(proxyV2({ from: "192.0.2.9" }));
    const session = http2.connect("http://sidecar", { createConnection: () => client.socket });
    const stream = session.request({ ":path": "/t" });
    const body = (await stream.setEncoding("utf8").toArray()).join("");
    assert.equal((JSON.parse(body) as Told).forwarded, "192.0.2.9");
    session.close();
  });

  it("each client told has a count of its own", async () => {
    const remaining = async (from: string): Promise<string | undefined> => {
      const client = await open();
      client.send(proxyV2({ from }));
      client.send(requestText("GET", "/"));
      const field = (await client.answer()).field("ratelimit");
      client.end();
      return /r=(\d+)/.exec(field ?? "")?.[1];
    };
    assert.deepEqual(
      [await remaining("203.0.113.1"), await remaining("203.0.113.1"), await remaining("203.0.113.2")],
      ["999", "998", "999"],
    );
  });

  it("a trusted peer that does not begin with it, or with a wrong one, is closed unanswered", async () => {
    for (const bytes of [
      requestText("GET", "/"),
      "PROXY TCP4 nobody\r\n",
      `PROXY ${"x".repeat(200)}`,
      proxyV2({ command: 0x31 }),
      proxyV2({ tlvs: [Buffer.alloc(8_000)] }),
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ]) {
      const client = await open();
      client.send(bytes);
      assert.equal((await client.closed).rest, "");
    }
    await sidecar.line(({ msg, peer }) => peer === proxy && /OUTRIGGER_PROXY_PROTOCOL/.test(String(msg)));
    assert.match(
      await sidecar.metrics(),
      /outrigger_refused_requests_total\{[^}]*malformed_request[^}]*\} [6-9]/,
    );
  });

  it("a head that does not come in time is not waited for, and one that never begins is no fault", async () => {
    const client = await open();
    client.send(line.slice(0, 20));
    assert.equal((await client.closed).rest, "");
    const probe = await open();
    probe.end();
    assert.equal((await probe.closed).rest, "");
  });

  it("from anybody else it is a malformed request", async () => {
    for (const head of [line, proxyV2({ from: "192.0.2.7" })]) {
      const client = await open(stranger);
      client.send(head);
      client.send(requestText("GET", "/"));
      assert.equal((await client.answer()).status, 400);
      await client.closed;
    }
    const plain = await open(stranger);
    assert.equal((await ask(plain)).forwarded, stranger);
    plain.end();
  });

  it("each client told has a share of the connections, and all of them one bound", async () => {
    await using small = await startOne({
      OUTRIGGER_MAX_CONNECTIONS: "6",
      OUTRIGGER_CLIENT_SHARE: "51",
      OUTRIGGER_LISTEN: "127.0.0.1:0,127.0.0.1:0",
      OUTRIGGER_HEADER_TIMEOUT_MS: "5000",
    });
    const [first = "", second = ""] = String(
      (await small.line(({ msg }) => msg === "listening"))["address"],
    ).split(", ");
    const clients: RawClient[] = [];
    /** @returns the status, or that it was closed unanswered */
    const one = async (from: string, address = first): Promise<number | "closed"> => {
      const client = await connectFrom(proxy, Number(address.split(":")[1]));
      clients.push(client);
      client.send(proxyV2({ from }));
      client.send(requestText("GET", "/t"));
      return await client.answer().then(
        ({ status }) => status,
        () => "closed",
      );
    };
    const got = [];
    for (let n = 0; n < 5; n += 1) got.push(await one("203.0.113.1"));
    for (let n = 0; n < 2; n += 1) got.push(await one("203.0.113.2", second));
    got.push(await one("203.0.113.3", second));
    for (const client of clients) client.end();
    assert.deepEqual(got, [200, 200, 200, 200, "closed", 200, 200, "closed"]);
  });

  it("a second head is none", async () => {
    const client = await open();
    client.send(`${line}${line}`);
    assert.equal((await client.answer()).status, 400);
    await client.closed;
  });
});

describe("PROXY protocol before TLS, and on a unix socket", () => {
  const { cert, key } = makeCertificate();
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "outrigger-proxied-"));
    writeFileSync(join(folder, "cert.pem"), cert);
    writeFileSync(join(folder, "key.pem"), key);
  });
  after(() => rmSync(folder, { recursive: true }));

  it("names the client to HTTP/1.1 and HTTP/2 inside", async () => {
    await using sidecar = await startOne({
      OUTRIGGER_TLS_CERT: join(folder, "cert.pem"),
      OUTRIGGER_TLS_KEY: join(folder, "key.pem"),
    });
    const below = async (): Promise<net.Socket> => {
      const socket = net.connect({ host: "127.0.0.1", port: sidecar.port, localAddress: proxy });
      await once(socket, "connect");
      socket.write(line);
      return socket;
    };
    const client = await connected(tls.connect({ socket: await below(), ca: cert }), "secureConnect");
    assert.equal((await ask(client)).forwarded, "192.0.2.7");
    client.end();
    const over = tls.connect({ socket: await below(), ca: cert, ALPNProtocols: ["h2"] });
    await once(over, "secureConnect");
    const session = http2.connect("https://localhost", { createConnection: () => over });
    const body = (await session.request({ ":path": "/t" }).setEncoding("utf8").toArray()).join("");
    assert.equal((JSON.parse(body) as Told).forwarded, "192.0.2.7");
    session.close();
    // Without a head, and from somebody who may not send one.
    const bare = rawClient(net.connect({ host: "127.0.0.1", port: sidecar.port, localAddress: proxy }));
    bare.send("\x16\x03\x01");
    assert.equal((await bare.closed).rest, "");
    const other = await connectFrom(stranger, sidecar.port);
    other.send(line);
    assert.equal((await other.closed).rest, "");
  });

  it("is asked for by a unix socket that is trusted", async () => {
    const path = join(folder, "s");
    await using _sidecar = await startOne({ OUTRIGGER_LISTEN: `unix:${path}` });
    const client = await connected(net.connect({ path }), "connect");
    client.send(line);
    assert.equal((await ask(client)).forwarded, "192.0.2.7");
    client.end();
    const bare = await connected(net.connect({ path }), "connect");
    bare.send(requestText("GET", "/"));
    assert.equal((await bare.closed).rest, "");
  });
});
