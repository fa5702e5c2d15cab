// An author's path: TypeScript is packed, published, and named in a policy. Also what an attacker who controls the
// place of packages can do to sidecars.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { outrigger } from "../support/process.ts";
import { eventually, type RedisServer, startRedis } from "../support/redis.ts";
import { type Registry, startRegistry } from "../support/registry.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-packed-"));
let redis: RedisServer;
let registry: Registry;
let file: string;
before(async () => {
  [redis, registry] = await Promise.all([startRedis(), startRegistry({ token: "t" })]);
  writeFileSync(
    join(folder, "mark.ts"),
    "export const mark = (field: string): string => `packed ${field}`;\n",
  );
  writeFileSync(
    join(folder, "plugin.ts"),
    `import { definePlugin, z } from "outrigger/plugin";
    import { mark } from "./mark.ts";
    export default definePlugin({
      name: "geo", version: "1.2.0", apiVersion: 1, priority: 41, security: false, failMode: "closed",
      options: z.strictObject({ field: z.string().default("x-geo").describe("Field of the answer") }),
      setup: ({ options: { field } }) => ({
        onResponse(_exchange, response) {
          response.fields.set(field, mark(field));
        },
      }),
    });\n`,
  );
  file = join(folder, "geo.cjs");
  const packed = await outrigger(["plugin", "pack", folder, "--out", file]);
  assert.equal(packed.code, 0, packed.stderr);
});
after(async () => {
  await Promise.all([redis.close(), registry.close()]);
  rmSync(folder, { recursive: true });
});

const env = (): Record<string, string> => ({ REDIS_URL: redis.url, OUTRIGGER_PLUGIN_HOSTS: registry.host });

/** @returns the entry that the command says a policy would have */
async function published(to: string): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await outrigger(["plugin", "publish", file, "--to", to, "--json"], env());
  assert.equal(code, 0, stderr);
  const { source, version, sha256 } = JSON.parse(stdout) as Record<string, unknown>;
  return { source, version, sha256 };
}

const policyOf = (entry: object): Record<string, unknown> => ({
  apiVersion: "outrigger/v1",
  extensions: { geo: entry },
  plugins: ["geo"],
  pluginConfig: { geo: { field: "x-place" } },
});

const start = (more: Readonly<Record<string, string>> = {}): Promise<TestSidecar> =>
  startSidecar({
    upstream: (_request, response) => void response.end("ok"),
    redisUrl: redis.url,
    env: { OUTRIGGER_PLUGIN_HOSTS: registry.host, ...more },
  });
const served = (sidecar: TestSidecar) => async (): Promise<boolean> =>
  (await fetch(sidecar.url)).status === 200;
const placeBy = async ({ url }: TestSidecar): Promise<string | null> =>
  (await fetch(url)).headers.get("x-place");
const statusOf = async ({ adminUrl }: TestSidecar): Promise<string> =>
  await (await fetch(`${adminUrl}/policy`)).text();

for (const [to, runtime] of [
  ["redis:", "process"],
  ["oci:", "process"],
] as const)
  test(`packed TypeScript serves out of ${to}, runtime ${runtime}`, async (t) => {
    const place = to === "oci:" ? `oci://${registry.host}/team/geo` : to;
    const entry = { ...(await published(place)), runtime };
    await redis.cli.set("outrigger:policy", JSON.stringify(policyOf(entry)));
    const sidecar = await start();
    t.after(() => sidecar.stop());
    await eventually("the policy is in force", served(sidecar));
    assert.equal(await placeBy(sidecar), "packed x-place");
    await redis.cli.del("outrigger:policy");
  });

test("whoever changes a published package changes nothing that runs, and new sidecars take nothing of it", async (t) => {
  const entry = { ...(await published("redis:")), runtime: "process" };
  await redis.cli.set("outrigger:policy", JSON.stringify(policyOf(entry)));
  const standing = await start();
  t.after(() => standing.stop());
  await eventually("the policy is in force", served(standing));
  const good = await redis.cli.getBuffer("outrigger:plugin:geo@1.2.0");
  assert.ok(good);
  const evil = Buffer.from(good.toString().replace("packed", "stolen"));
  await redis.cli.set("outrigger:plugin:geo@1.2.0", evil);
  const fresh = await start();
  t.after(() => fresh.stop());
  await eventually("it says why it has no policy", async () =>
    (await statusOf(fresh)).includes("is not what the policy pins"),
  );
  assert.equal((await fetch(fresh.url)).status, 503);
  assert.equal(await placeBy(standing), "packed x-place");
  await redis.cli.set("outrigger:plugin:geo@1.2.0", good);
  // Whatever has it look again.
  await redis.cli.set("outrigger:policy", JSON.stringify(policyOf(entry)));
  await eventually("it takes the right one", served(fresh));
});

test("who writes to Redis alone has nothing run with the sidecar's rights; who may sign does", async (t) => {
  const entry = { ...(await published("redis:")), runtime: "trusted" };
  await redis.cli.set("outrigger:policy", JSON.stringify(policyOf(entry)));
  const plain = await start({ OUTRIGGER_PLUGIN_DIR: folder });
  t.after(() => plain.stop());
  await eventually("it says why not", async () =>
    (await statusOf(plain)).includes("all rights of the sidecar"),
  );
  assert.equal((await fetch(plain.url)).status, 503);
  await redis.cli.set("outrigger:policy", JSON.stringify(policyOf({ ...entry, source: "file:geo.cjs" })));
  await eventually("what lies in the operator's folder counts", served(plain));
  assert.equal(await placeBy(plain), "packed x-place");

  const key = join(folder, "policy.key");
  const { stdout: keys } = await outrigger(["policy", "keygen", key]);
  const signing = { ...env(), OUTRIGGER_POLICY_KEYS: keys };
  const ranged = { source: "redis:plugin:geo", version: "^1.0.0", runtime: "trusted" };
  writeFileSync(join(folder, "policy.json"), JSON.stringify(policyOf(ranged)));
  const apply = (): ReturnType<typeof outrigger> =>
    outrigger(["policy", "apply", join(folder, "policy.json"), "--key", key], signing);
  const unsigned = await apply();
  assert.deepEqual(
    [unsigned.code, /geo@1\.2\.0 is not signed/.test(unsigned.stderr)],
    [1, true],
    unsigned.stderr,
  );
  assert.equal((await outrigger(["plugin", "publish", file, "--key", key], env())).code, 0);
  const signed = await apply();
  assert.equal(signed.code, 0, signed.stderr);
  const trusting = await start({ OUTRIGGER_POLICY_KEYS: keys });
  t.after(() => trusting.stop());
  await eventually("the signed policy is in force", served(trusting));
  assert.equal(await placeBy(trusting), "packed x-place");
});
