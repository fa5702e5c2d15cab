// An attacker who can write to Redis attacks the state that sidecars share there.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import http from "node:http";
import { text } from "node:stream/consumers";
import { Redis } from "ioredis";
import { aclLine } from "../../../src/cli/redis-acl.ts";
import { decodeRecord, encodeEntry } from "../../../plugins/cache/store/codec.ts";
import { StoredEntry } from "../../../plugins/cache/store/stored-entry.ts";
import { createSeals } from "../../../src/redis/seals.ts";
import { TokenIssuer } from "../../plugins/auth/token-issuer.ts";
import { eventually, type RedisServer } from "../../support/redis.ts";
import type { Scene } from "../../support/scene.ts";
import type { TestSidecar } from "../../support/sidecar.ts";
import type { Attack } from "../attack.ts";
import { startUpstream } from "../upstream.ts";

const storeKeys = randomBytes(32).toString("base64url");

/** Writes the attacker's key set to every place where an issuer's is read. */
async function plantKeys(redis: RedisServer, issuer: TokenIssuer, attacker: TokenIssuer): Promise<void> {
  const digest = createHash("sha256").update(issuer.jwksUri).digest("hex");
  const jwks = JSON.stringify({ keys: attacker.keys.map(({ jwk }) => jwk) });
  const copy = JSON.stringify({ url: issuer.jwksUri, fetchedAtMs: Date.now(), jwks });
  const foreign = createSeals([randomBytes(32).toString("base64url")], "outrigger:", "default").of("jwks");
  for (const name of [digest, `default:${digest}`]) {
    const sealed = foreign.seal(`jwks:${name}`, Buffer.from(copy), Date.now() + 60_000);
    await redis.cli.set(`outrigger:jwks:${name}`, name === digest ? copy : sealed);
    await redis.cli.set(`outrigger:jwks-lease:${name}`, "attacker");
  }
}

async function believesPlanted(scene: Scene, env: Record<string, string>): Promise<void> {
  const redis = await scene.redis();
  const issuer = await TokenIssuer.start();
  const attacker = await TokenIssuer.start();
  scene.after(() => issuer.close());
  scene.after(() => attacker.close());
  await plantKeys(redis, issuer, attacker);
  const issuers = [{ issuer: issuer.url, jwksUri: issuer.jwksUri, algorithms: ["ES256"], audience: ["api"] }];
  const sidecar = await scene.sidecar({
    upstream: (_request, response) => response.end("served"),
    redisUrl: redis.url,
    policy: { plugins: ["auth"], pluginConfig: { auth: { jwt: { issuers, jwksTimeoutMs: 300 } } } },
    env,
  });
  const statusOf = async (token: string): Promise<number> =>
    (await fetch(sidecar.url, { headers: { authorization: `Bearer ${token}` } })).status;
  const forged = await attacker.sign({ iss: issuer.url });
  assert.equal(await statusOf(forged), 401, "a token of the attacker's making");
  assert.equal(await statusOf(await issuer.sign()), 200, "a good token");
  await plantKeys(redis, issuer, attacker);
  assert.equal(await statusOf(forged), 401, "put there while the sidecar runs");
}

const caching = {
  plugins: ["logging", "cache"],
  pluginConfig: { cache: { ttlSeconds: 60, respectOrigin: false, redisWaitMs: 500 } },
};

/** Gets a page under the same host name, whatever the sidecar's port is. */
function page({ port }: TestSidecar, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = http.get({ port, path, host: "127.0.0.1", headers: { host: "shop.test" } }, (answer) => {
      text(answer).then(resolve, reject);
    });
    asked.once("error", reject);
  });
}

/** Finds the cache entry in Redis that is not yet known. */
async function newEntry(redis: RedisServer, known = ""): Promise<{ key: string; bytes: Buffer }> {
  let key: string | undefined;
  await eventually("an entry in Redis", async () => {
    key = (await redis.cli.keys("outrigger:cache:*:e:*")).find(
      (one) => one !== known && !one.endsWith(":lease"),
    );
    return key !== undefined;
  });
  return { key: String(key), bytes: (await redis.cli.getBuffer(String(key))) as Buffer };
}

/** @returns the same entry with another body */
async function forged(bytes: Buffer): Promise<Buffer> {
  const record = await decodeRecord(bytes, 10_000);
  assert.ok("entry" in record);
  return await encodeEntry(new StoredEntry(record.entry, "evil", undefined));
}

/** Splits a configuration line into the words of a command. */
const userOf = (line: string): string[] => {
  const [, name = "", ...rules] = line.match(/\([^)]*\)|\S+/g) ?? [];
  return ["SETUSER", name, ...rules];
};

export const attacks: readonly Attack[] = [
  {
    row: "Z23",
    what: "writes a key set of his own to Redis where an issuer's keys are shared; no secret is set",
    run: (scene) => believesPlanted(scene, {}),
  },
  {
    row: "Z23",
    what: "the same, and the sidecars have OUTRIGGER_STORE_KEYS",
    run: (scene) => believesPlanted(scene, { OUTRIGGER_STORE_KEYS: storeKeys }),
  },
  {
    row: "Z24",
    what: "writes answers of his own, or another page's, into a service's cache in Redis",
    async run(scene) {
      const redis = await scene.redis();
      const upstream = await startUpstream(scene, (request, response) => response.end(`good ${request.url}`));
      const start = (env = {}): Promise<TestSidecar> =>
        scene.sidecar({ upstream, redisUrl: redis.url, policy: caching, env });
      await page(await start(), "/page");
      const planted = await forged((await newEntry(redis)).bytes);
      await redis.cli.flushall();
      const sidecar = await start({ OUTRIGGER_STORE_KEYS: storeKeys });
      await page(sidecar, "/page");
      const { key } = await newEntry(redis);
      await page(sidecar, "/other");
      const other = await newEntry(redis, key);
      for (const bytes of [planted, other.bytes]) {
        await redis.cli.set(key, bytes);
        const fresh = await start({ OUTRIGGER_STORE_KEYS: storeKeys });
        await eventually("Redis is used", () =>
          fresh.metrics().then((all) => /redis_up\{[^}]*\} 1/.test(all)),
        );
        assert.equal(await page(fresh, "/page"), "good /page");
        assert.match(await fresh.metrics(), /outrigger_cache_bad_records_total\{[^}]*\} 1/);
      }
    },
  },
  {
    row: "Z24",
    what: "as Redis user of one service's sidecar resets a caller's rate limit at another service",
    async run(scene) {
      const redis = await scene.redis();
      for (const service of ["orders", "users"])
        await redis.cli.call("ACL", userOf(aclLine(service, "outrigger:")));
      const limits = [{ name: "few", by: "ip", limit: 2, window: "1h" }];
      const sidecar = await scene.sidecar({
        upstream: (_request, response) => response.end("served"),
        redisUrl: redis.url.replace("//", "//sidecar-orders:SIDECAR_PASSWORD@"),
        policy: { plugins: ["rate-limit"], pluginConfig: { "rate-limit": { limits } } },
        env: { OUTRIGGER_SERVICE: "orders" },
      });
      const status = async (): Promise<number> => (await fetch(sidecar.url)).status;
      assert.deepEqual([await status(), await status(), await status()], [200, 200, 429]);
      const attacker = new Redis(redis.url.replace("//", "//sidecar-users:SIDECAR_PASSWORD@"));
      scene.after(() => attacker.disconnect());
      const keys = await redis.cli.keys("outrigger:rl:*");
      assert.equal(keys.length, 1);
      for (const key of keys) await attacker.unlink(key).catch(() => 0);
      assert.equal(await redis.cli.exists(...keys), 1, "still there");
    },
  },
  {
    row: "Z24",
    what: "a sidecar of another service has all sidecars forget what they know, by a message in the name of Redis",
    async run(scene) {
      const redis = await scene.redis();
      for (const service of ["orders", "users"])
        await redis.cli.call("ACL", userOf(aclLine(service, "outrigger:")));
      const attacker = new Redis(redis.url.replace("//", "//sidecar-users:SIDECAR_PASSWORD@"));
      scene.after(() => attacker.disconnect());
      await assert.rejects(attacker.publish("__redis__:invalidate", "x"), /NOPERM/);
      await assert.rejects(attacker.publish("outrigger:cache:orders:x", "x"), /NOPERM/);
      assert.equal(await attacker.publish("outrigger:cache:users:x", "x"), 0);
    },
  },
];
