// An author's way: TypeScript packed, published, and in a policy; and what whoever holds the place can do to sidecars.
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

const start = (options: { redisUrl: string }): Promise<TestSidecar> =>
  startSidecar({
    upstream: (_request, response) => void response.end("ok"),
    env: { OUTRIGGER_PLUGIN_HOSTS: registry.host },
    ...options,
  });

for (const [to, runtime] of [
  ["redis:", "process"],
  ["oci:", "trusted"],
] as const)
  test(`packed TypeScript serves out of ${to}, runtime ${runtime}`, async (t) => {
    const place = to === "oci:" ? `oci://${registry.host}/team/geo` : to;
    const entry = { ...(await published(place)), runtime };
    await redis.cli.set("outrigger:policy", JSON.stringify(policyOf(entry)));
    const sidecar = await start({ redisUrl: redis.url });
    t.after(() => sidecar.stop());
    await eventually("the policy is in force", async () => (await fetch(sidecar.url)).status === 200);
    assert.equal((await fetch(sidecar.url)).headers.get("x-place"), "packed x-place");
    await redis.cli.del("outrigger:policy");
  });

test("whoever changes a published package changes nothing that runs, and new sidecars take nothing of it", async (t) => {
  const entry = { ...(await published("redis:")), runtime: "trusted" };
  await redis.cli.set("outrigger:policy", JSON.stringify(policyOf(entry)));
  const standing = await start({ redisUrl: redis.url });
  t.after(() => standing.stop());
  await eventually("the policy is in force", async () => (await fetch(standing.url)).status === 200);
  const good = await redis.cli.getBuffer("outrigger:plugin:geo@1.2.0");
  assert.ok(good);
  const evil = Buffer.from(good.toString().replace("packed", "stolen"));
  await redis.cli.set("outrigger:plugin:geo@1.2.0", evil);
  const fresh = await start({ redisUrl: redis.url });
  t.after(() => fresh.stop());
  const why = async (): Promise<string> => await (await fetch(`${fresh.adminUrl}/policy`)).text();
  await eventually("it says why it has no policy", async () => (await why()).includes("and the policy pins"));
  assert.equal((await fetch(fresh.url)).status, 503);
  assert.equal((await fetch(standing.url)).headers.get("x-place"), "packed x-place");
  await redis.cli.set("outrigger:plugin:geo@1.2.0", good);
  // Whatever has it look again.
  await redis.cli.set("outrigger:policy", JSON.stringify(policyOf(entry)));
  await eventually("it takes the right one", async () => (await fetch(fresh.url)).status === 200);
});
