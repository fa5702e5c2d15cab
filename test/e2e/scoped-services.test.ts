// What a plugin may use of shared services: its own part, and what its definition or its options name.
import assert from "node:assert/strict";
import { after, before, describe, it, test } from "node:test";
import { z } from "zod";
import {
  definePlugin,
  type PluginDefinition,
  type PluginNeeds,
  type Services,
} from "../../src/plugin-api/contract.ts";
import { ScopedServices, type HostServices } from "../../src/runtime/scoped-services.ts";
import { createHttpClient } from "../../src/runtime/services/http/client.ts";
import { registry } from "../../plugins/index.ts";
import { eventually, type RedisServer, startRedis } from "../support/redis.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

const storeKeys = Buffer.alloc(32, 7).toString("base64url");
const publish = { name: "publish", lua: "return redis.call('PUBLISH', KEYS[1], '')" };

let redis: RedisServer;
let sidecar: TestSidecar;
/** As `setup` gets them, by plugin. */
const got: Record<string, Services> = {};
const refused = (plugin: string, what: string, member = "keys"): { name: string; message: string } => ({
  name: "NotDeclared",
  message: `plugin "${plugin}" uses ${what}, which its definition does not declare (needs.${member})`,
});

function keeper(name: string, priority: number, needs?: PluginNeeds): PluginDefinition {
  return definePlugin({
    name,
    version: "1.0.0",
    apiVersion: 1,
    priority,
    security: false,
    failMode: "open",
    options: z.strictObject({ key: z.string().optional() }),
    ...(needs && { needs }),
    init: (services) => services,
    setup({ services, state }) {
      got[name] = services;
      got[`${name} init`] = state;
      return {};
    },
  });
}

before(async () => {
  redis = await startRedis();
  const policy = {
    apiVersion: "outrigger/v1",
    plugins: ["nosy", "nosy-too", "declared"],
    pluginConfig: { nosy: { key: "SECRET_OWN" } },
  };
  await redis.cli.set("outrigger:policy", JSON.stringify(policy));
  sidecar = await startSidecar({
    redisUrl: redis.url,
    registry: [
      ...registry,
      keeper("nosy", 60),
      keeper("nosy-too", 61),
      keeper("declared", 62, {
        keys: ["shared:<service>:", "shared-one"],
        secrets: ["SESSION_KEYS"],
        seals: ["shared"],
        metrics: ["shared_"],
      }),
    ],
    env: {
      OUTRIGGER_SERVICE: "shop",
      OUTRIGGER_SESSION_KEYS: storeKeys,
      OUTRIGGER_STORE_KEYS: storeKeys,
      OUTRIGGER_SECRET_OWN: "its own",
      OUTRIGGER_SECRET_OTHER: "another's",
      OUTRIGGER_SECRET_HOSTS: "SECRET_OWN=idp.example:443;SECRET_OTHER=idp.example:443",
    },
    upstream: (_request, response) => response.end("ok"),
  });
  await eventually("the policy is in force", () => "declared" in got && storeOf("declared").up);
});
after(async () => {
  await sidecar.stop();
  await redis.close();
});

const servicesOf = (plugin: string): Services => got[plugin] as Services;
const storeOf = (plugin: string): NonNullable<Services["store"]> =>
  servicesOf(plugin).store as NonNullable<Services["store"]>;

describe("a plugin that declares nothing", () => {
  it("reaches no key of the sidecar or of another plugin, by whatever call", async () => {
    const store = storeOf("nosy");
    const run = { script: publish, keys: ["cache:shop:purges"], args: [] };
    await assert.rejects(store.get("policy"), refused("nosy", 'the key "policy"'));
    await assert.rejects(store.getBytes("policy:shop"), refused("nosy", 'the key "policy:…"'));
    await assert.rejects(store.set("apikey:0123456789", "{}"), refused("nosy", 'the key "apikey:…"'));
    await assert.rejects(store.delete("p:shop:nosy:a", "apikey:x"), refused("nosy", 'the key "apikey:…"'));
    await assert.rejects(store.run(publish, run.keys, []), refused("nosy", 'the key "cache:…"'));
    await assert.rejects(store.runAll([run]), refused("nosy", 'the key "cache:…"'));
    await assert.rejects(store.append("logs:shop", { line: "{}" }, 10), refused("nosy", 'the key "logs:…"'));
    await assert.rejects(store.scan("", 10), refused("nosy", 'the key ""'));
    assert.throws(() => store.watch("apikey:", () => {}), refused("nosy", 'the key "apikey:…"'));
    assert.throws(() => store.watch("", () => {}), refused("nosy", 'the key ""'));
    assert.throws(() => store.hear("cache:shop:purges", () => {}), refused("nosy", 'the key "cache:…"'));
    // A plugin of a longer name, another service's part of the same plugin.
    await assert.rejects(store.get("p:shop:nosy-too:a"), refused("nosy", 'the key "p:…"'));
    await assert.rejects(store.get("p:till:nosy:a"), refused("nosy", 'the key "p:…"'));
    assert.equal(await redis.cli.exists("outrigger:apikey:0123456789"), 0);
    assert.deepEqual(Object.keys(store), []);
  });

  it("has keys of its own, with all that the store can do", async () => {
    const store = storeOf("nosy");
    const own = "p:shop:nosy:";
    const changes: (string | null)[] = [];
    const stop = store.watch(own, (key) => changes.push(key));
    await eventually("the watch holds", () => changes.includes(null));
    assert.equal(await store.set(`${own}a`, "1", { ttlMs: 60_000 }), true);
    assert.equal(await store.get(`${own}a`), "1");
    assert.equal(String(await store.getBytes(`${own}a`)), "1");
    await eventually("the change is told", () => changes.includes(`${own}a`));
    stop();
    assert.deepEqual(await store.scan(own, 10), [`${own}a`]);
    await store.append(`${own}s`, { line: "x" }, 10);
    const told: (string | null)[] = [];
    const deafen = store.hear(`${own}c`, (key) => told.push(key));
    await eventually("the channel is heard", () => told.includes(null));
    await store.run(publish, [`${own}c`], []);
    const [outcome] = await store.runAll([{ script: publish, keys: [`${own}c`], args: [] }]);
    assert.equal(outcome?.status, "fulfilled");
    await eventually("the message is told", () => told.includes(`${own}c`));
    deafen();
    assert.equal(await store.delete(`${own}a`, `${own}s`), 2);
    assert.equal(store.sharded, false);
  });

  it("gets the secrets that its options name, in their set-up only, and sends them where they are bound", () => {
    const { secrets } = servicesOf("nosy");
    for (const name of ["SESSION_KEYS", "API_KEY_PEPPER", "SECRET_OTHER", "NOSUCH"]) {
      const expected = refused("nosy", `the secret ${name}`, "secrets");
      assert.throws(() => secrets.get(name), expected);
      assert.throws(() => secrets.sentTo(name, "https://idp.example/"), expected);
    }
    assert.equal(secrets.get("SECRET_OWN"), "its own");
    assert.equal(secrets.sentTo("SECRET_OWN", "https://idp.example/"), "its own");
    assert.throws(() => secrets.sentTo("SECRET_OWN", "https://elsewhere.example/"), /may not be sent/);
    for (const plugin of ["nosy init", "nosy-too"])
      assert.throws(() => servicesOf(plugin).secrets.get("SECRET_OWN"), { name: "NotDeclared" });
  });

  it("logs under its name, whatever it says", async () => {
    servicesOf("nosy").logger.warn({ plugin: "auth", mark: 1 }, "a line of a plugin");
    const line = await sidecar.line(({ msg }) => msg === "a line of a plugin");
    assert.deepEqual([line["plugin"], line["mark"]], ["nosy", 1]);
  });

  it("counts under its name alone", async () => {
    const { metrics } = servicesOf("nosy");
    metrics.counter("outrigger_nosy_total", "Its own")().inc();
    assert.match(await sidecar.metrics(), /^outrigger_nosy_total\{.*\} 1$/m);
    for (const name of [
      "outrigger_auth_total",
      "outrigger_requests_total",
      "nosy_total",
      "outrigger_nosy_too_total",
    ]) {
      const expected = refused("nosy", `the metric ${name}`, "metrics");
      assert.throws(() => metrics.counter(name, "Not its own"), expected);
      assert.throws(() => metrics.gauge(name, "Not its own"), expected);
      assert.throws(() => metrics.histogram(name, "Not its own"), expected);
    }
    servicesOf("nosy-too").metrics.counter("outrigger_nosy_too_total", "Its own")().inc();
  });

  it("seals for purposes of its own alone", () => {
    const { seals } = servicesOf("nosy");
    assert.ok(seals?.of("nosy"));
    assert.ok(seals?.of("nosy:answers"));
    for (const purpose of ["cache", "jwks", "nosy-too"])
      assert.throws(() => seals?.of(purpose), refused("nosy", `the seal of "${purpose}"`, "seals"));
  });
});

test("what a plugin declares it may use", async () => {
  const { secrets, seals, metrics } = servicesOf("declared");
  const store = storeOf("declared");
  assert.equal(secrets.get("SESSION_KEYS"), storeKeys);
  assert.ok(seals?.of("shared"));
  metrics.gauge("shared_things", "Shared")().set(1);
  await store.set("shared:shop:a", "1");
  await store.set("shared-one", "1");
  await assert.rejects(store.get("shared:till:a"), refused("declared", 'the key "shared:…"'));
  await assert.rejects(store.get("shared-one-more"), refused("declared", 'the key "shared-one-more"'));
  // A whole key is no prefix to watch: longer ones would be told of.
  assert.throws(() => store.watch("shared-one", () => {}), { name: "NotDeclared" });
});

test("a plugin asks its own part of the primary, and its lines on the disk are its own", async () => {
  const asked: unknown[] = [];
  const kept: string[] = [];
  const services: HostServices = {
    ...servicesOf("declared"),
    http: createHttpClient,
    seals: undefined,
    workers: {
      async call(plugin, request) {
        asked.push([plugin, request]);
        return "answer";
      },
    },
    keptLines(name) {
      kept.push(name);
      return { append: async () => {}, fresh: async () => [] };
    },
  };
  const { workers, keptLines } = new ScopedServices({ name: "nosy" }, services).common;
  assert.equal(await workers?.call("rate-limit", 100), "answer");
  assert.deepEqual(asked, [["nosy", "rate-limit"]]);
  for (const name of ["nosy", "nosy.seen"]) keptLines?.(name);
  assert.deepEqual(kept, ["nosy", "nosy.seen"]);
  for (const name of ["sessions-ended", "nosy-too", "nosy./../../x"])
    assert.throws(() => keptLines?.(name), refused("nosy", `the kept lines "${name}"`, "lines"));
});
