// Closing the store lets the process end, whatever Redis is doing; and TLS, which fails in its own way.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { promisify } from "node:util";
import { parseRedisAddress } from "../../../src/redis/address.ts";
import type { ConnectionStateChange } from "../../../src/redis/connection-state.ts";
import { createStore } from "../../../src/redis/store.ts";
import { makeCertificate } from "../../support/certificate.ts";
import { freePort, startCluster, startRedis, startSentinel, eventually } from "../../support/redis.ts";

const run = promisify(execFile);

/** A process of its own that opens a store, uses it, closes it, and has nothing else to do. */
async function openAndClose(url: string, meanwhileMs: number): Promise<string> {
  const program = `
    import { parseRedisAddress } from "./src/redis/address.ts";
    import { createStore } from "./src/redis/store.ts";
    const address = parseRedisAddress(process.env.TEST_URL);
    const store = createStore({ address, keyPrefix: "outrigger:", connectionName: "close-test" });
    store.watch("policy", () => {});
    const up = await store.whenUp(${meanwhileMs});
    void store.get("k").catch(() => {});
    store.close();
    process.stdout.write(String(up));`;
  const args = ["--input-type=module", "--eval", program];
  const env = { ...process.env, TEST_URL: url };
  const { stdout } = await run(process.execPath, args, { cwd: process.cwd(), env, timeout: 8_000 });
  return stdout;
}

test("a process ends by itself after close, on a server that is well, frozen or away", async () => {
  const redis = await startRedis();
  try {
    assert.equal(await openAndClose(redis.url, 5_000), "true");
    redis.freeze();
    assert.equal(await openAndClose(redis.url, 300), "false");
    await redis.kill();
    assert.equal(await openAndClose(redis.url, 300), "false");
  } finally {
    await redis.close();
  }
});

test("a process ends by itself after close, on a Cluster that is well or away", async () => {
  const cluster = await startCluster();
  try {
    assert.equal(await openAndClose(cluster.url, 5_000), "true");
    for (const node of cluster.nodes) node.freeze();
    assert.equal(await openAndClose(cluster.url, 300), "false");
    await Promise.all(cluster.nodes.map((node) => node.kill()));
    assert.equal(await openAndClose(cluster.url, 300), "false");
  } finally {
    await cluster.close();
  }
});

test("a process ends by itself after close, behind sentinels that are well, frozen or away", async () => {
  const group = await startSentinel();
  try {
    assert.equal(await openAndClose(group.url, 5_000), "true");
    for (const sentinel of group.sentinels) sentinel.freeze();
    assert.equal(await openAndClose(group.url, 300), "false");
    for (const sentinel of group.sentinels) await sentinel.kill();
    assert.equal(await openAndClose(group.url, 300), "false");
  } finally {
    await group.close();
  }
});

function trust(t: TestContext, certificate: string): void {
  const before = getCACertificates("default");
  setDefaultCACertificates([...before, certificate]);
  t.after(() => setDefaultCACertificates(before));
}

test("rediss:// talks to a server whose certificate is trusted, and to no other", async (t) => {
  const certificate = makeCertificate();
  const folder = mkdtempSync(join(tmpdir(), "outrigger-redis-tls-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, "cert.pem"), certificate.cert);
  writeFileSync(join(folder, "key.pem"), certificate.key);
  const tlsPort = await freePort();
  const files = ["--tls-cert-file", join(folder, "cert.pem"), "--tls-key-file", join(folder, "key.pem")];
  const redis = await startRedis({
    args: ["--tls-port", String(tlsPort), "--tls-auth-clients", "no", ...files],
  });
  t.after(() => redis.close());
  const states: ConnectionStateChange[] = [];
  const open = () => {
    const store = createStore({
      address: parseRedisAddress(`rediss://localhost:${tlsPort}`),
      keyPrefix: "outrigger:",
      connectionName: "tls-test",
      onState: (state) => states.push(state),
    });
    t.after(() => store.close());
    return store;
  };
  assert.equal(await open().whenUp(500), false);
  await eventually("it says why not", () => states.length > 0);
  assert.deepEqual(states, [{ of: "commands", up: false, reason: "DEPTH_ZERO_SELF_SIGNED_CERT" }]);
  trust(t, certificate.cert);
  const store = open();
  assert.equal(await store.whenUp(5_000), true);
  assert.equal(await store.set("k", "v"), true);
  assert.equal(await redis.cli.get("outrigger:k"), "v");
});
