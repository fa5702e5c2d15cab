// A stolen Redis, and sidecars that accept only API keys whose records an operator signed: the thief cannot create a
// caller.
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import { keyDigest } from "../../../plugins/auth/api-keys/key-format.ts";
import { signDocument } from "../../../src/plane/sign.ts";
import { policyType } from "../../../src/policy/signature/signature.ts";
import { apiKeyType } from "../../../src/policy/signature/records.ts";
import type { SigningKey } from "../../../src/plane/private-key.ts";
import { startCrew, startService } from "../../support/crew.ts";
import { eventually } from "../../support/redis.ts";
import type { TestSidecar } from "../../support/sidecar.ts";
import type { Attack } from "../attack.ts";
import { SigningScene } from "../signing-scene.ts";

const attack = (what: string, run: (signing: SigningScene) => Promise<void>): Attack => ({
  row: "Z61",
  what,
  run: async (scene) => run(await SigningScene.open(scene)),
});

const at = (key: string): string => `apikey:${keyDigest(key)}`;
const guarded = (more: object = {}): object => ({
  apiVersion: "outrigger/v1",
  plugins: ["auth"],
  pluginConfig: { auth: { apiKeys: { signed: "require", ...more } } },
});
const record = (more: object = {}): object => ({ id: "k1", userId: "u1", scopes: [], ...more });

const signed = (key: string, facts: object, by: SigningKey, typ = apiKeyType): Promise<string> =>
  signDocument(record(facts), by, { typ, for: at(key) }, Date.now());

async function statusOf(sidecar: TestSidecar, key: string): Promise<number> {
  return (await fetch(sidecar.url, { headers: { "x-api-key": key } })).status;
}

const mints = attack("writes a record of its own making, or changes a signed one", async (s) => {
  await s.set("policy", await s.sign(guarded()));
  const sidecar = await s.sidecar();
  const good = await signed("good", {}, s.ours);
  await s.set(at("good"), good);
  assert.equal(await statusOf(sidecar, "good"), 200);
  const own = await s.makeKey();
  const [header, , signature] = (await signed("changed", {}, s.ours)).split(".");
  const admin = Buffer.from(JSON.stringify(record({ scopes: ["admin"] }))).toString("base64url");
  const forged: Record<string, string> = {
    bare: JSON.stringify(record()),
    own: await signed("own", {}, own),
    posing: await signed("posing", {}, { ...own, kid: s.ours.kid }),
    changed: `${header}.${admin}.${signature}`,
    none: `${Buffer.from('{"alg":"none"}').toString("base64url")}.${admin}.AA`,
    // A document of another kind, and one for another place.
    policy: await signed("policy", {}, s.ours, policyType),
    moved: good,
  };
  for (const [key, text] of Object.entries(forged)) {
    await s.set(at(key), text);
    assert.equal(await statusOf(sidecar, key), 503, key);
  }
  await s.set(at("off"), JSON.stringify(record({ disabled: true })));
  assert.equal(await statusOf(sidecar, "off"), 401);
});

const revives = attack(
  "puts a revoked key's record back, or one that a revoked key has signed",
  async (s) => {
    await s.set("policy", await s.sign(guarded()));
    const sidecar = await s.sidecar();
    const good = await signed("good", {}, s.ours);
    await s.set(at("good"), good);
    assert.equal(await statusOf(sidecar, "good"), 200);
    await s.set(at("good"), JSON.stringify(record({ disabled: true })));
    await eventually("revoked", async () => (await statusOf(sidecar, "good")) === 401, 4_000);
    await s.set("policy", await s.sign(guarded({ revoked: ["k1"] }), { epoch: 2 }));
    await s.set(at("good"), good);
    await sidecar.line(({ msg, revision }) => msg === "policy in force" && revision === 2);
    assert.equal(await statusOf(sidecar, "good"), 401);
    // The fleet moves to another key: records signed with the old one are no longer valid, in memory, too.
    await s.set(at("other"), await signed("other", { id: "k2" }, s.ours));
    assert.equal(await statusOf(sidecar, "other"), 200);
    const next = await s.makeKey();
    await s.set("policy-keys", await s.keySet([next], [], 3));
    await s.set("policy", await s.sign(guarded(), { epoch: 3 }, next));
    await sidecar.line(({ msg, revision }) => msg === "policy in force" && Number(revision) >= 3);
    await s.set("policy-keys", await s.keySet([next], [s.ours], 4, next));
    await eventually(
      "revoked with its signer",
      async () => (await statusOf(sidecar, "other")) === 503,
      2_000,
    );
  },
);

const holdsUp = attack(
  "keeps a revoked key's records by policies and layers that are junk, too many or gone",
  async (s) => {
    const [key, next] = [await s.makeKey(), await s.makeKey()];
    await s.set("policy-keys", await s.keySet([key, next], [], 1));
    await s.set("policy", await s.sign(guarded(), {}, next));
    const sidecar = await s.sidecar();
    await s.set(at("stolen"), await signed("stolen", {}, key));
    await s.set(at("ours"), await signed("ours", { id: "k2" }, s.ours));
    assert.equal(await statusOf(sidecar, "stolen"), 200);
    assert.equal(await statusOf(sidecar, "ours"), 200);
    await s.set("policy:orders", "junk");
    await s.set("policy-keys", await s.keySet([next], [key], 2, next));
    await eventually("over by junk", async () => (await statusOf(sidecar, "stolen")) === 503, 4_000);
    // Deletes the keys, then gives them another type, which cannot be read.
    await s.redis.cli.del("outrigger:policy", "outrigger:policy:orders");
    await s.redis.cli.hset("outrigger:policy:orders", "a", "b");
    await s.set("policy-keys", await s.keySet([next], [key, s.ours], 3, next));
    await eventually("over with none", async () => (await statusOf(sidecar, "ours")) === 503, 4_000);
  },
);

const asksWorkers = attack(
  "asks each worker for a revoked key's record beside a junk layer, also one that takes another's place",
  async (s) => {
    const next = await s.makeKey();
    await s.set("policy-keys", await s.keySet([next], [], 1));
    await s.set("policy", await s.sign(guarded(), {}, next));
    await s.set(at("stolen"), await signed("stolen", {}, s.ours));
    const service = await startService((_request, response) => response.end("served"));
    s.scene.after(() => service.close());
    const env = {
      REDIS_URL: s.redis.url,
      OUTRIGGER_SERVICE: "orders",
      OUTRIGGER_POLICY_KEYS: JSON.stringify({ keys: [s.ours.publicJwk] }),
    };
    const crew = await startCrew({ upstream: service.url, env });
    s.scene.after(() => crew.stop());
    /** Each request uses its own connection: the workers take turns. */
    const statuses = async (key = "stolen"): Promise<string> => {
      const fields = { "x-api-key": key, connection: "close" };
      const asked = Array.from({ length: 4 }, () => http.get(crew.url, { agent: false, headers: fields }));
      const answers = asked.map(async (request) => {
        const [response] = (await once(request, "response")) as [http.IncomingMessage];
        return response.resume().statusCode;
      });
      return [...new Set(await Promise.all(answers))].join();
    };
    await eventually("taken by each", async () => (await statuses()) === "200", 4_000);
    await s.set("policy:orders", "junk");
    await s.set("policy-keys", await s.keySet([next], [s.ours], 2, next));
    await eventually("over in each", async () => (await statuses()) === "503", 4_000);
    process.kill(crew.pids().get(1) ?? 0, "SIGKILL");
    await crew.until(3, ({ msg }) => msg === "worker is serving");
    await s.set(at("good"), await signed("good", { id: "k2" }, next));
    await eventually("good in the new one", async () => (await statuses("good")) === "200", 4_000);
    assert.equal(await statuses(), "503");
  },
);

export const attacks: readonly Attack[] = [mints, revives, holdsUp, asksWorkers];
