// A service's layer without a lock over it, which affects other services through options of its own.
import assert from "node:assert/strict";
import { generateKeyPairSync, hash } from "node:crypto";
import type { Attack } from "../attack.ts";
import { ask, keys, withKey } from "../path-scene.ts";

const apiKeys = { keys };
const text = (policy: object): string => JSON.stringify({ apiVersion: "outrigger/v1", ...policy });

export const attacks: readonly Attack[] = [
  {
    row: "Z15",
    what: "has a layer without a lock sign who calls for other services to believe",
    async run(scene) {
      const redis = await scene.redis();
      const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const auth = { apiKeys, assertion: {} };
      await redis.cli.set("outrigger:policy", text({ plugins: ["auth"], pluginConfig: { auth } }));
      const own = [
        { sha256: hash("sha256", "mine"), id: "k", userId: "root", roles: ["admin"], claims: { sub: "x" } },
      ];
      const assertion = { audience: "payments", issuer: "another", claims: ["iss"] };
      const layer = { pluginConfig: { auth: { assertion, apiKeys: { keys: own } } } };
      await redis.cli.set("outrigger:policy:default", text(layer));
      const sidecar = await scene.sidecar({
        redisUrl: redis.url,
        upstream: ({ headers }, response) => response.end(String(headers["x-outrigger-identity"])),
        env: { OUTRIGGER_ASSERTION_KEY: privateKey.export({ type: "pkcs8", format: "pem" }) },
      });
      const { body } = await ask(sidecar, "GET", "/", ["X-Api-Key: mine"]);
      const claims = JSON.parse(Buffer.from(String(body.split(".")[1]), "base64url").toString()) as object;
      assert.partialDeepStrictEqual(claims, { aud: "default", iss: "outrigger" });
    },
  },
  {
    row: "Z15",
    what: "has a layer use up at its own service what the whole fleet's limit allows a caller",
    async run(scene) {
      const redis = await scene.redis();
      const limit = {
        name: "quota",
        by: "subject",
        limit: 10,
        window: "1h",
        sharedBy: "fleet",
        mode: "exact",
      };
      const shared = { auth: { apiKeys }, "rate-limit": { limits: [limit] } };
      await redis.cli.set(
        "outrigger:policy",
        text({ plugins: ["auth", "rate-limit"], pluginConfig: shared }),
      );
      const costly = { "rate-limit": { limits: [{ ...limit, cost: 10 }] } };
      await redis.cli.set("outrigger:policy:evil", text({ pluginConfig: costly }));
      const start = (service: string) =>
        scene.sidecar({
          redisUrl: redis.url,
          upstream: (_request, response) => response.end("ok"),
          env: { OUTRIGGER_SERVICE: service },
        });
      assert.equal((await ask(await start("evil"), "GET", "/", withKey)).status, 200);
      assert.equal((await ask(await start("good"), "GET", "/", withKey)).status, 200, "at the other service");
    },
  },
];
