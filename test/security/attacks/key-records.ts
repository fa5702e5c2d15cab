// Records of API keys that can be read in two ways, or outlive their revocation.
import assert from "node:assert/strict";
import { keyDigest, pepperedDigest } from "../../../plugins/auth/api-keys/key-format.ts";
import { eventually } from "../../support/redis.ts";
import type { Attack } from "../attack.ts";
import { ask } from "../path-scene.ts";

const key = "a-key-of-somebody";
const shown = [`X-Api-Key: ${key}`];
const pepper = "0123456789abcdef0123";

const revokedForSome: Attack = {
  row: "Z22",
  what: "goes on with a revoked key where routes differ in requirePepper",
  async run(scene) {
    const redis = await scene.redis();
    const sidecar = await scene.sidecar({
      redisUrl: redis.url,
      policy: {
        plugins: ["auth"],
        routes: [true, false].map((requirePepper) => ({
          path: requirePepper ? "/a/*" : "/b/*",
          pluginConfig: { auth: { apiKeys: { requirePepper } } },
        })),
      },
      env: { OUTRIGGER_API_KEY_PEPPER: pepper },
      upstream: (_request, response) => response.end("served"),
    });
    const at = `outrigger:apikey:${pepperedDigest(key, pepper)}`;
    const statuses = (): Promise<number[]> =>
      Promise.all(["/a/x", "/b/x"].map(async (path) => (await ask(sidecar, "GET", path, shown)).status));
    await redis.cli.set(at, JSON.stringify({ id: "k", userId: "u", scopes: [] }));
    await eventually("known on both", async () => (await statuses()).every((status) => status === 200));
    await redis.cli.del(at);
    await eventually(
      "revoked on both",
      async () => (await statuses()).every((status) => status === 401),
      2_000,
    );
  },
};

const readInTwoWays: Attack = {
  row: "Z22",
  what: "writes a key's record with a member twice, or a date that is none, so that it is never over",
  async run(scene) {
    const redis = await scene.redis();
    const sidecar = await scene.sidecar({
      redisUrl: redis.url,
      policy: { plugins: ["auth"] },
      upstream: (_request, response) => response.end("served"),
    });
    const microseconds = Date.now() * 1000;
    const odd = [
      '"disabled":true,"disabled":false',
      '"claims":{"a":1,"a":2}',
      `"expiresAt":${microseconds}`,
      '"expiresAt":1e300',
    ];
    for (const [index, members] of odd.entries()) {
      const one = `${key}-${index}`;
      const text = `{"id":"k","userId":"u","scopes":[],${members}}`;
      await redis.cli.set(`outrigger:apikey:${keyDigest(one)}`, text);
      assert.equal((await ask(sidecar, "GET", "/", [`X-Api-Key: ${one}`])).status, 503, members);
    }
  },
};

export const attacks: readonly Attack[] = [revokedForSome, readInTwoWays];
