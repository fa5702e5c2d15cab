// A user of one issuer passes for a user of another.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import type { Attack } from "../attack.ts";

const secrets = { a: "a".repeat(32), b: "b".repeat(32) } as const;
const issuerOf = (name: keyof typeof secrets): string => `https://${name}.example`;

function tokenOf(name: keyof typeof secrets, sub: string): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = { iss: issuerOf(name), sub, exp: Math.floor(Date.now() / 1000) + 600 };
  const signed = `${part({ alg: "HS256" })}.${part(claims)}`;
  return `${signed}.${createHmac("sha256", secrets[name]).update(signed).digest("base64url")}`;
}

export const attacks: readonly Attack[] = [
  {
    row: "Z21",
    what: "uses up the limit of another issuer's user of the same id, and reads what was cached for it",
    async run(scene) {
      const issuers = [
        { issuer: issuerOf("a"), secret: "SECRET_A", algorithms: ["HS256"] },
        { issuer: issuerOf("b"), secret: "SECRET_B", algorithms: ["HS256"], claims: { userIdPrefix: "b:" } },
      ];
      let served = 0;
      const sidecar = await scene.sidecar({
        policy: {
          plugins: ["auth", "rate-limit", "cache", "transform"],
          pluginConfig: {
            auth: { jwt: { issuers } },
            "rate-limit": { limits: [{ name: "l", limit: 2, window: "1h" }] },
            cache: { scope: "identity", ttlSeconds: 60 },
          },
        },
        upstream: (request, response) =>
          response.end(`${(served += 1)} ${String(request.headers["x-user-id"])}`),
        env: { OUTRIGGER_SECRET_A: secrets.a, OUTRIGGER_SECRET_B: secrets.b },
      });
      const ask = async (name: keyof typeof secrets): Promise<string> => {
        const headers = { authorization: `Bearer ${tokenOf(name, "1")}` };
        const answer = await fetch(sidecar.url, { headers });
        return `${answer.status} ${await answer.text()}`.slice(0, 9).trim();
      };
      assert.equal(await ask("a"), "200 1 1");
      assert.equal(await ask("a"), "200 1 1", "from the cache");
      assert.match(await ask("a"), /^429/);
      assert.equal(await ask("b"), "200 2 b:1", "the other issuer's user");
    },
  },
];
