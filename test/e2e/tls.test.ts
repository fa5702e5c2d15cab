// The TLS listener: client certificates, renewal while it serves, and clients that do not speak TLS.
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type http from "node:http";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tls from "node:tls";
import { after, before, describe, it } from "node:test";
import type { ClientTls } from "../../src/plugin-api/contract.ts";
import { makeCertificate } from "../support/certificate.ts";
import { connected } from "../support/fronts.ts";
import { pluginWith } from "../support/plugins.ts";
import { requestText, type RawClient } from "../support/raw-http.ts";
import { eventually } from "../support/redis.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

describe("the TLS listener", () => {
  const [own, next, friend, stranger] = Array.from({ length: 4 }, (_, i) => makeCertificate(2 + i)) as [
    ReturnType<typeof makeCertificate>,
    ReturnType<typeof makeCertificate>,
    ReturnType<typeof makeCertificate>,
    ReturnType<typeof makeCertificate>,
  ];
  let folder: string;
  let sidecar: TestSidecar;
  let shown: (ClientTls | undefined)[] = [];
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "outrigger-tls-"));
    write(own, friend);
    sidecar = await startSidecar({
      policy: { plugins: ["looker"] },
      registry: [pluginWith("looker", { onRequest: ({ client }) => void shown.push(client.tls) })],
      upstream: (request, response) => {
        if (request.url !== "/held") response.end(request.headers["x-forwarded-proto"]);
      },
      env: {
        OUTRIGGER_TLS_CERT: join(folder, "cert.pem"),
        OUTRIGGER_TLS_KEY: join(folder, "key.pem"),
        OUTRIGGER_TLS_CLIENT_CA: join(folder, "clients.pem"),
        OUTRIGGER_HEADER_TIMEOUT_MS: "300",
      },
    });
  });
  after(async () => {
    await sidecar.stop();
    rmSync(folder, { recursive: true });
  });
  const write = (server: ReturnType<typeof makeCertificate>, clients: typeof server): void => {
    writeFileSync(join(folder, "cert.pem"), server.cert);
    writeFileSync(join(folder, "key.pem"), server.key);
    writeFileSync(join(folder, "clients.pem"), clients.cert);
  };
  const reload = (): void => void process.emit("SIGHUP", "SIGHUP");
  const expiry = async (): Promise<number> =>
    Number(/^outrigger_certificate_expiry_timestamp_seconds\S* (\d+)$/m.exec(await sidecar.metrics())?.[1]);
  const endOf = (pem: string): number => new X509Certificate(pem).validToDate.getTime() / 1000;
  const connect = (options: tls.ConnectionOptions = {}): Promise<RawClient> => {
    const socket = tls.connect({
      port: sidecar.port,
      host: "127.0.0.1",
      ca: [own.cert, next.cert],
      ...options,
    });
    return connected(socket, "secureConnect");
  };
  const ask = async (client: RawClient): Promise<ClientTls | undefined> => {
    shown = [];
    client.send(requestText("GET", "/"));
    assert.equal((await client.answer()).body, "https");
    return shown[0];
  };
  const der = (pem: string): Buffer => new X509Certificate(pem).raw;

  it("hands a client certificate that verifies to the plugins", async () => {
    const client = await connect(friend);
    assert.deepEqual(await ask(client), { certificate: der(friend.cert) });
    client.end();
  });

  it("still does when the client resumes its session", async () => {
    const first = await connect({ ...friend, maxVersion: "TLSv1.2" });
    const session = (first.socket as tls.TLSSocket).getSession();
    assert.deepEqual(await ask(first), { certificate: der(friend.cert) });
    first.end();
    const second = await connect({ ...friend, maxVersion: "TLSv1.2", session });
    assert.equal((second.socket as tls.TLSSocket).isSessionReused(), true);
    assert.deepEqual(await ask(second), { certificate: der(friend.cert) });
    second.end();
  });

  it("is who it was at its handshake: TLS 1.2 is not renegotiated, as with a certificate of nobody's", async () => {
    const { socket } = await connect({ ...friend, maxVersion: "TLSv1.2" });
    const { promise, resolve } = Promise.withResolvers<unknown>();
    socket.on("error", resolve);
    (socket as tls.TLSSocket).renegotiate({ rejectUnauthorized: false }, (error) => resolve(error));
    assert.match(String(await promise), /no renegotiation/);
    socket.destroy();
  });

  it("serves a client without a certificate, or with one that nobody vouches for, as one that has none", async () => {
    for (const options of [{}, stranger]) {
      const client = await connect(options);
      assert.deepEqual(await ask(client), { certificate: undefined });
      client.end();
    }
  });

  it("tells the service when a client leaves before its answer", async () => {
    for (const leave of ["end", "destroy"] as const) {
      const client = await connect();
      const asked = once(sidecar.service as http.Server, "request");
      client.send(requestText("GET", "/held"));
      const [, response] = (await asked) as [unknown, http.ServerResponse];
      const told = once(response, "close");
      client.socket[leave]();
      if (leave === "end") setTimeout(() => client.socket.destroy(), 100);
      await told;
    }
  });

  it("closes on plain HTTP, without a line in the log, and serves the next", async () => {
    const lines = sidecar.lines.length;
    const socket = net.connect(sidecar.port, "127.0.0.1");
    socket.write(requestText("GET", "/"));
    socket.on("error", () => {}).resume();
    await once(socket, "close");
    const client = await connect();
    await ask(client);
    client.end();
    assert.equal(sidecar.lines.length, lines);
  });

  it("closes on a handshake that does not go on", async () => {
    const socket = net.connect(sidecar.port, "127.0.0.1");
    socket.on("error", () => {}).resume();
    await once(socket, "close");
  });

  it("serves a renewed certificate and authority to new connections; old ones go on", async () => {
    const old = await connect(friend);
    await ask(old);
    const before = await expiry();
    write(next, stranger);
    reload();
    assert.deepEqual(
      [before, await expiry()],
      [own, next].map(({ cert }) => endOf(cert)),
    );
    assert.deepEqual(await ask(old), { certificate: der(friend.cert) });
    const client = await connect(stranger);
    const { raw } = (client.socket as tls.TLSSocket).getPeerX509Certificate() ?? {};
    assert.deepEqual(raw, der(next.cert));
    assert.deepEqual(await ask(client), { certificate: der(stranger.cert) });
    const former = await connect(friend);
    assert.deepEqual(await ask(former), { certificate: undefined });
    for (const each of [old, client, former]) each.end();
    write(own, friend);
    reload();
    await eventually("both are told", () => {
      return sidecar.lines.filter(({ msg }) => msg === "certificate reloaded").length === 2;
    });
  });
});
