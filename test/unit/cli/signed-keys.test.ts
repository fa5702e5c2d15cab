// `outrigger keys` where sidecars accept only signed records.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { signDocument } from "../../../src/plane/sign.ts";
import { readSigningKey, writeSigningKey } from "../../../src/plane/private-key.ts";
import { policyType } from "../../../src/policy/signature/signature.ts";
import { type Finished, outrigger } from "../../support/process.ts";
import { eventually, type RedisServer, startRedis } from "../../support/redis.ts";
import { startSidecar, type TestSidecar } from "../../support/sidecar.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-signed-keys-"));
const [ours, theirs] = [join(folder, "ours.json"), join(folder, "theirs.json")];
let redis: RedisServer;
let sidecar: TestSidecar;
let jwks: string;

before(async () => {
  redis = await startRedis();
  const { publicJwk } = await writeSigningKey(ours);
  await writeSigningKey(theirs);
  jwks = JSON.stringify({ keys: [publicJwk] });
  const policy = {
    apiVersion: "outrigger/v1",
    plugins: ["auth"],
    pluginConfig: { auth: { guessing: false, apiKeys: { signed: "require" } } },
  };
  const facts = { typ: policyType, for: "policy", epoch: 1 };
  await redis.cli.set(
    "outrigger:policy",
    await signDocument(policy, await readSigningKey(ours), facts, Date.now()),
  );
  sidecar = await startSidecar({
    redisUrl: redis.url,
    upstream: (_request, response) => response.end("served"),
    env: { OUTRIGGER_POLICY_KEYS: jwks },
  });
});
after(async () => {
  await sidecar.stop();
  await redis.close();
  rmSync(folder, { recursive: true });
});

const keys = (...args: string[]): Promise<Finished> =>
  outrigger(["keys", ...args], { REDIS_URL: redis.url, OUTRIGGER_POLICY_KEYS: jwks });
const status = async (key: string): Promise<number> =>
  (await fetch(sidecar.url, { headers: { "x-api-key": key } })).status;
async function made(...args: string[]): Promise<{ readonly key: string; readonly id: string }> {
  const { code, stdout, stderr } = await keys(...args, "--json");
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as { key: string; id: string };
}

test("a key made with --key works, one made without does not", async () => {
  const signed = await made("create", "--user", "ada", "--key", ours);
  assert.equal(await status(signed.key), 200);
  const unsigned = await made("create", "--user", "bob");
  assert.equal(await status(unsigned.key), 503);
  const wrong = await keys("create", "--user", "eve", "--key", theirs);
  assert.deepEqual([wrong.code, wrong.stdout], [1, ""]);
  assert.match(wrong.stderr, /none of OUTRIGGER_POLICY_KEYS/);
});

test("rotate needs the key, signs both records, and nothing that nobody who counts has signed", async () => {
  const old = await made("create", "--user", "cyd", "--scopes", "read", "--key", ours);
  const bare = await keys("rotate", old.id);
  assert.equal(bare.code, 1);
  assert.match(bare.stderr, /is signed: its successor needs --key FILE/);
  const next = await made("rotate", old.id, "--key", ours);
  assert.deepEqual([await status(old.key), await status(next.key)], [200, 200]);
  const unsigned = await made("create", "--user", "dan");
  const forged = await keys("rotate", unsigned.id, "--key", ours);
  assert.equal(forged.code, 1);
  assert.match(forged.stderr, /signed by no key that counts/);
});

test("revoke needs no key, and says that the record may come back", async () => {
  const { id, key } = await made("create", "--user", "fay", "--key", ours);
  assert.equal(await status(key), 200);
  const { code, stderr } = await keys("revoke", id);
  assert.equal(code, 0);
  assert.match(stderr, new RegExp(`list ${id} under apiKeys.revoked`));
  await eventually("revoked", async () => (await status(key)) === 401, 4_000);
  const listed = JSON.parse((await keys("list", "--json")).stdout) as { id: string; state: string }[];
  assert.equal(listed.find((each) => each.id === id)?.state, "revoked");
});
