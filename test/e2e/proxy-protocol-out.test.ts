// The PROXY protocol towards services: heads that name the client, and no connection that carries requests of two
// clients.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import http from "node:http";
import http2 from "node:http2";
import net, { type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import tls from "node:tls";
import { readProxyHead } from "../../src/server/proxy-head.ts";
import { makeCertificate } from "../support/certificate.ts";
import { connected } from "../support/fronts.ts";
import { requestText } from "../support/raw-http.ts";
import { eventually } from "../support/redis.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

type Kind = "http1" | "h2c" | "h2" | "https";

const folder = mkdtempSync(join(tmpdir(), "outrigger-proxy-out-"));
after(() => rmSync(folder, { recursive: true }));
const { key, cert } = makeCertificate();

/** Takes connections of that kind once their head is read. @param tell what requests over a connection are answered */
function serverOf(kind: Kind, tell: (socket: Socket) => string): net.Server {
  if (kind === "h2c" || kind === "h2") {
    const two = kind === "h2" ? http2.createSecureServer({ key, cert }) : http2.createServer();
    return two.on("stream", (stream: http2.ServerHttp2Stream) => {
      const { socket } = stream.session as http2.Http2Session;
      stream.respond({ ":status": 200 });
      stream.end(tell(socket));
    });
  }
  const one = http.createServer((request, response) => void response.end(tell(request.socket)));
  const switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n";
  one.on("upgrade", (request, socket) => void socket.end(`${switching}${tell(request.socket)}`));
  return kind === "http1"
    ? one
    : tls.createServer({ key, cert }, (socket) => void one.emit("connection", socket));
}

/** A service whose connections begin with heads: it answers whose one is, and which of them all it is. */
async function startService(kind: Kind, path?: string) {
  const heads: { readonly source: string | undefined; readonly bytes: Buffer }[] = [];
  const sockets = new Set<Socket>();
  const numbers = new Map<number | undefined, number>();
  const server = serverOf(kind, ({ remotePort }) => {
    const number = numbers.get(remotePort) ?? NaN;
    return `${String(heads[number]?.source)} ${number}`;
  });
  const front = net.createServer((socket) => {
    sockets.add(socket.on("error", () => {}));
    socket.once("readable", () => {
      const bytes = socket.read() as Buffer | null;
      if (bytes === null) return;
      const head = readProxyHead(bytes);
      assert.ok(head !== undefined, "a head is whole at once");
      numbers.set(socket.remotePort, heads.length);
      heads.push({ source: head.source, bytes: bytes.subarray(0, head.length) });
      socket.unshift(bytes.subarray(head.length));
      server.emit("connection", socket);
    });
  });
  if (path === undefined) front.listen(0, "127.0.0.1");
  else front.listen(path);
  await once(front, "listening");
  const { port } = front.address() as AddressInfo;
  const scheme = kind === "https" || kind === "h2" ? "https" : "http";
  return {
    heads,
    url: path === undefined ? `${scheme}://127.0.0.1:${port}` : `unix:${path}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      front.close();
    },
  };
}

const start = (kind: Kind, version: string, upstream: string, env: Record<string, string> = {}) =>
  startSidecar({
    policy: { plugins: ["logging"] },
    upstream,
    env: {
      OUTRIGGER_UPSTREAM_PROXY_PROTOCOL: version,
      OUTRIGGER_UPSTREAM_PROTOCOL: kind === "h2c" || kind === "h2" ? kind : "http1",
      OUTRIGGER_TRUSTED_PROXIES: "127.0.0.1/32",
      ...env,
    },
  });

async function asked({ url }: TestSidecar, client: string, method = "GET"): Promise<string> {
  const response = await fetch(url, { method, headers: { "x-forwarded-for": client } });
  return await response.text();
}

const [four, six, other] = ["192.0.2.1", "2001:db8::7", "192.0.2.2"];

describe("a connection to the service begins with whose it is", () => {
  for (const version of ["v1", "v2"] as const) {
    for (const kind of ["http1", "https", "h2c", "h2"] as const) {
      it(`${version} before ${kind}; it is kept for that client alone`, async () => {
        await using service = await startService(kind);
        await using sidecar = await start(kind, version, service.url);
        const answers: string[] = [];
        for (const client of [four, four, six, four, other, six]) answers.push(await asked(sidecar, client));
        assert.deepEqual(answers, [
          `${four} 0`,
          `${four} 0`,
          `${six} 1`,
          `${four} 0`,
          `${other} 2`,
          `${six} 1`,
        ]);
        assert.equal(await asked(sidecar, other, "DELETE"), `${other} 2`);
      });
    }
  }

  it("is written as the protocol says", async () => {
    const heads = async (version: string): Promise<Buffer[]> => {
      await using service = await startService("http1");
      await using sidecar = await start("http1", version, service.url);
      for (const client of [four, six]) await asked(sidecar, client);
      return service.heads.map(({ bytes }) => bytes);
    };
    assert.deepEqual((await heads("v1")).map(String), [
      `PROXY TCP4 ${four} 0.0.0.0 0 0\r\n`,
      `PROXY TCP6 ${six} :: 0 0\r\n`,
    ]);
    const signature = "0d0a0d0a000d0a515549540a";
    assert.deepEqual(
      (await heads("v2")).map((bytes) => bytes.toString("hex")),
      [
        `${signature}2111000cc0000201${"00".repeat(8)}`,
        `${signature}2121002420010db80000000000000000000000 07${"00".repeat(20)}`.replace(" ", ""),
      ],
    );
  });
});

describe("with fewer connections than clients", () => {
  for (const kind of ["http1", "h2c"] as const) {
    it(`all are served over ${kind}, none by another's`, async () => {
      await using service = await startService(kind);
      await using sidecar = await start(kind, "v2", service.url, { OUTRIGGER_UPSTREAM_CONNECTIONS: "2" });
      const clients = Array.from({ length: 60 }, (_, i) => `192.0.2.${i % 6}`);
      const methods = ["GET", "POST", "DELETE"];
      const answers = await Promise.all(clients.map((client, i) => asked(sidecar, client, methods[i % 3])));
      assert.deepEqual(
        answers.map((answer) => answer.split(" ")[0]),
        clients,
      );
    });
  }
});

describe("whatever the client came by", () => {
  for (const version of ["v1", "v2"] as const) {
    it(`${version}: IPv6, and unix sockets on both sides`, async () => {
      const [front, back] = [join(folder, `front-${version}.sock`), join(folder, `back-${version}.sock`)];
      await using service = await startService("http1", back);
      const env = { OUTRIGGER_LISTEN: `127.0.0.1:0,[::1]:0,unix:${front}` };
      await using sidecar = await start("http1", version, service.url, env);
      const { address } = await sidecar.line(({ msg }) => msg === "listening");
      const [, port] = /\[::1\]:(\d+)/.exec(String(address)) ?? [];
      for (const place of [{ host: "::1", port: Number(port) }, { path: front }]) {
        const client = await connected(net.connect(place), "connect");
        client.send(requestText("GET", "/"));
        assert.equal((await client.answer()).status, 200);
        client.end();
      }
      assert.deepEqual(
        service.heads.map(({ source }) => source),
        ["::1", "unknown"],
      );
    });
  }

  it("upgrades are told, too, and the sidecar's own questions as its own", async () => {
    await using service = await startService("http1");
    const env = { OUTRIGGER_READY_UPSTREAM: "/" };
    await using sidecar = await start("http1", "v2", service.url, env);
    await eventually("it asked for itself", () => service.heads.some(({ source }) => source === undefined));
    const client = await connected(net.connect({ host: "127.0.0.1", port: sidecar.port }), "connect");
    client.send(requestText("GET", "/", ["Connection: Upgrade", "Upgrade: chat", `X-Forwarded-For: ${six}`]));
    assert.match(await client.until((text) => / \d+$/.test(text)), /2001:db8::7 \d+$/);
    client.end();
  });

  it("a service that is not there is told as without heads", async () => {
    for (const kind of ["http1", "https", "h2c", "h2"] as const) {
      const scheme = kind === "https" || kind === "h2" ? "https" : "http";
      await using sidecar = await start(kind, "v2", `${scheme}://127.0.0.1:1`);
      const { code } = JSON.parse(await asked(sidecar, four)) as { code: string };
      assert.equal(code, "upstream_refused");
    }
  });
});
