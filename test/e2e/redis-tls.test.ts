// Redis behind TLS with its own authority that asks for client certificates, configured by settings alone; and a
// Cluster that is configured as a single server.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { createServer, type Server, type TLSSocket } from "node:tls";
import { loadConfig } from "../../src/app/environment.ts";
import { type Certificate, makeCertificate } from "../support/certificate.ts";
import { eventually, type RedisServer, startCluster, startRedis } from "../support/redis.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

const document = '{"apiVersion":"outrigger/v1"}';

describe("Redis behind TLS", () => {
  let redis: RedisServer;
  let folder: string;
  let own: Certificate;
  let server: Server;
  const sockets = new Set<TLSSocket>();
  const path = (name: string): string => join(folder, name);

  before(async () => {
    redis = await startRedis();
    await redis.cli.set("outrigger:policy", document);
    folder = mkdtempSync(join(tmpdir(), "outrigger-redis-tls-"));
    own = makeCertificate();
    writeFileSync(path("ca.pem"), own.cert);
    writeFileSync(path("cert.pem"), own.cert);
    writeFileSync(path("key.pem"), own.key);
    server = createServer({ ...own, ca: own.cert, requestCert: true, rejectUnauthorized: true }, (socket) => {
      sockets.add(socket);
      const plain = connect(redis.port, "127.0.0.1");
      socket.pipe(plain).pipe(socket);
      for (const each of [socket, plain]) {
        each.on("error", () => {});
        each.on("close", () => {
          socket.destroy();
          plain.destroy();
          sockets.delete(socket);
        });
      }
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
  });
  after(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await redis.close();
    rmSync(folder, { recursive: true });
  });

  const start = (env: Record<string, string>): Promise<TestSidecar> =>
    startSidecar({
      redisUrl: `rediss://127.0.0.1:${(server.address() as AddressInfo).port}`,
      upstream: (_request, response) => void response.end(),
      env,
    });
  const all = (): Record<string, string> => ({
    OUTRIGGER_REDIS_CA: path("ca.pem"),
    OUTRIGGER_REDIS_CERT: path("cert.pem"),
    OUTRIGGER_REDIS_KEY: path("key.pem"),
  });

  test("is used with authority, certificate and key; a renewed pair is used for the next connection", async (t) => {
    const sidecar = await start(all());
    t.after(() => sidecar.stop());
    assert.equal((await fetch(`${sidecar.adminUrl}/readyz`)).status, 200);
    const next = makeCertificate();
    server.setSecureContext({ ...next, ca: next.cert });
    writeFileSync(path("ca.pem"), next.cert);
    writeFileSync(path("cert.pem"), next.cert);
    writeFileSync(path("key.pem"), next.key);
    for (const socket of sockets) socket.destroy();
    await sidecar.line(({ msg }) => String(msg).startsWith("Redis: out of reach"));
    await eventually(
      "connected again",
      () => sidecar.lines.filter(({ msg }) => msg === "Redis: connected").length === 2,
    );
  });

  test("is not believed under another name, or without its authority", async (t) => {
    const { OUTRIGGER_REDIS_CA: _, ...withoutCa } = all();
    for (const [env, reason] of [
      [{ ...all(), OUTRIGGER_REDIS_SERVERNAME: "redis.test" }, "ERR_TLS_CERT_ALTNAME_INVALID"],
      [withoutCa, "DEPTH_ZERO_SELF_SIGNED_CERT"],
    ] as const) {
      const sidecar = await start(env);
      t.after(() => sidecar.stop());
      const line = await sidecar.line(({ msg }) => String(msg).startsWith("Redis: out of reach"));
      assert.equal(line["reason"], reason);
    }
  });

  test("is believed under the name that the settings give it", async (t) => {
    const sidecar = await start({ ...all(), OUTRIGGER_REDIS_SERVERNAME: "localhost" });
    t.after(() => sidecar.stop());
    await sidecar.line(({ msg }) => msg === "Redis: connected");
  });

  test("settings that say nothing without it are refused", () => {
    const env = (url: string): Record<string, string> => ({ ...all(), REDIS_URL: url });
    assert.throws(() => loadConfig(env("redis://a")), /OUTRIGGER_REDIS_CA: needs rediss:\/\/ in REDIS_URL/);
    assert.throws(() => loadConfig(all()), /OUTRIGGER_REDIS_CA: needs REDIS_URL, which is unset/);
    const { OUTRIGGER_REDIS_KEY: _, ...noKey } = env("rediss://a");
    assert.throws(() => loadConfig(noKey), /OUTRIGGER_REDIS_CERT: needs OUTRIGGER_REDIS_KEY/);
  });
});

test("one node of a Cluster that is taken for a server: the log says what to write", async (t) => {
  const cluster = await startCluster();
  t.after(() => cluster.close());
  await cluster.cli.set("outrigger:policy", document);
  const seen = await Promise.all(
    cluster.nodes.map(async ({ url }) => {
      const sidecar = await startSidecar({
        redisUrl: url,
        upstream: (_request, response) => void response.end(),
      });
      t.after(() => sidecar.stop());
      await sidecar.line(({ reason }) => /write redis\+cluster:\/\//.test(String(reason)));
      return (await fetch(`${sidecar.adminUrl}/policy`)).text();
    }),
  );
  assert.ok(seen.some((policy) => policy.includes("redis+cluster://")));
  const url = (cluster.nodes[0] as RedisServer).url.replace("redis://", "redis+cluster://");
  const sidecar = await startSidecar({
    redisUrl: url,
    upstream: (_request, response) => void response.end(),
  });
  t.after(() => sidecar.stop());
  await eventually("ready", async () => (await fetch(`${sidecar.adminUrl}/readyz`)).status === 200);
});
