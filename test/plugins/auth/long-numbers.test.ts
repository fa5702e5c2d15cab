// Claims that are integers beyond 2^53, as 64-bit ids are: JSON.parse would make one of two.
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { CompactSign } from "jose";
import { parseKeyRecord } from "../../../plugins/auth/api-keys/key-record.ts";
import { parseJsonAnswer } from "../../../plugins/auth/issuers/json-answer.ts";
import { authOptions } from "../../../plugins/auth/options.ts";
import { startSidecar } from "../../support/sidecar.ts";
import { makeSigningKey, type SigningKey } from "./token-issuer.ts";

const [one, other] = ["1846203956123456512", "1846203956123456513"] as const;
const inAnHour = Math.floor(Date.now() / 1000) + 3_600;

function tokenOf({ alg, kid, privateKey }: SigningKey, tenant: string) {
  const claims = `{"iss":"https://id.example","sub":"u1","exp":${inAnHour},"tenant":${tenant}}`;
  return new CompactSign(Buffer.from(claims)).setProtectedHeader({ alg, kid }).sign(privateKey);
}

async function sidecarFor(key: SigningKey, rules: readonly object[] = []) {
  const issuer = { issuer: "https://id.example", jwks: { keys: [key.jwk] }, algorithms: [key.alg] };
  const pem = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({
    type: "pkcs8",
    format: "pem",
  });
  const sidecar = await startSidecar({
    policy: {
      plugins: ["auth", "rate-limit", "cache"],
      pluginConfig: {
        auth: { jwt: { issuers: [issuer] }, assertion: { claims: ["tenant"] }, rules },
        "rate-limit": { limits: [{ name: "tenant", by: "claim:tenant", limit: 9, window: "1h" }] },
        cache: { ttlSeconds: 60, scope: "shared", vary: ["claim:tenant"] },
      },
    },
    upstream: (request, response) => response.end(request.headers["x-outrigger-identity"]),
    env: { OUTRIGGER_ASSERTION_KEY: pem },
  });
  const ask = async (token: string, path = "/") => {
    const answer = await fetch(`${sidecar.url}${path}`, { headers: { authorization: `Bearer ${token}` } });
    const text = await answer.text();
    return {
      status: answer.status,
      left: answer.headers.get("ratelimit")?.match(/r=(\d+)/)?.[1],
      cache: answer.headers.get("x-cache"),
      told: answer.ok ? Buffer.from(text.split(".")[1] ?? "", "base64url").toString() : "",
    };
  };
  return { ask, [Symbol.asyncDispose]: () => sidecar.stop() };
}

test("two tenants whose ids are next to each other share no limit, no stored answer and no assertion", async () => {
  const key = await makeSigningKey("k1");
  await using sidecar = await sidecarFor(key);
  for (const tenant of [one, other]) {
    const first = await sidecar.ask(await tokenOf(key, tenant));
    assert.deepEqual([first.status, first.left, first.cache], [200, "8", "MISS"]);
    assert.ok(first.told.includes(`"claims":{"tenant":"${tenant}"}`), first.told);
    const second = await sidecar.ask(await tokenOf(key, tenant));
    assert.deepEqual([second.left, second.cache, second.told], ["7", "HIT", first.told]);
  }
});

test("a rule names such an id as text and lets in no other; one that names it as a number is refused", async () => {
  const key = await makeSigningKey("k1");
  await using sidecar = await sidecarFor(key, [
    { path: "/two", allow: { claims: { tenant: { equals: 2 } } } },
    { path: "/one", allow: { claims: { tenant: { equals: one } } } },
  ]);
  assert.equal((await sidecar.ask(await tokenOf(key, one), "/two")).status, 403);
  assert.equal((await sidecar.ask(await tokenOf(key, "2"), "/two")).status, 200);
  for (const [tenant, status] of [
    [one, 200],
    [other, 403],
  ] as const)
    assert.equal((await sidecar.ask(await tokenOf(key, tenant), "/one")).status, status, tenant);
  const claims = { tenant: { equals: Number(one) } };
  const sha256 = "0".repeat(64);
  for (const options of [
    { apiKeys: {}, rules: [{ allow: { claims } }] },
    { apiKeys: {}, rules: [{ deny: { claims: { tenant: { oneOf: [1, Number(one)] } } } }] },
    { apiKeys: { keys: [{ sha256, id: "k1", userId: "u1", claims: { of: [{ tenant: Number(one) }] } }] } },
  ])
    assert.match(String(authOptions.safeParse(options).error), /cannot be told from its neighbours/);
  assert.equal(authOptions.safeParse({ apiKeys: {}, rules: [{ allow: { claims: {} } }] }).success, true);
});

test("a time may be as far off as it likes: it is rounded", () => {
  const answer = parseJsonAnswer(Buffer.from(`{"exp":9223372036854775807,"tenant":${other},"n":"${one}"}`));
  assert.deepEqual(
    [(answer as { exp: unknown }).exp, JSON.stringify(answer)],
    [2 ** 63, `{"exp":9223372036854776000,"tenant":"${other}","n":"${one}"}`],
  );
});

test("a record of an API key has them as text", () => {
  const record = `{"id":"k1","userId":"u1","scopes":[],"claims":{"tenant":${other},"of":[{"unit":${one}}]}}`;
  const { claims } = parseKeyRecord(record).result.identity;
  assert.equal(JSON.stringify(claims), `{"tenant":"${other}","of":[{"unit":"${one}"}]}`);
});
