// The policy controller on a real Redis and real files: a valid policy comes into force, a faulty one leaves the old
// one in force, with the reason.
import assert from "node:assert/strict";
import { once } from "node:events";
import { EventEmitter } from "node:events";
import {
  mkdir,
  mkdtemp,
  open,
  readFile,
  readdir,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { exportJWK, generateKeyPair } from "jose";
import { createFileSource, readPolicyFile } from "../../../src/policy/sources/file-source.ts";
import { type LastKnownGood, createLastKnownGood } from "../../../src/policy/sources/last-known-good.ts";
import {
  type PolicyController,
  type PolicyControllerOptions,
  createPolicyController,
} from "../../../src/policy/controller.ts";
import { type Problem, problemText } from "../../../src/policy/document/problems.ts";
import { digestOf } from "../../../src/policy/document/digest.ts";
import type { PolicyStatus } from "../../../src/policy/status.ts";
import type { PolicyMeta } from "../../../src/policy/events.ts";
import { type EffectivePolicy, createPolicyReader, createTrust } from "../../../src/policy/read.ts";
import { createRedisSource } from "../../../src/policy/sources/redis-source.ts";
import { parseRedisAddress } from "../../../src/redis/address.ts";
import { type RedisStore, createStore } from "../../../src/redis/store.ts";
import { type RedisServer, eventually, startRedis } from "../../support/redis.ts";
import { samplePlugins, text } from "./sample.ts";

/** A compiled policy of these tests: its plugins. */
type Snapshot = readonly string[];

/** What a controller did, in order, and ways to wait for it. */
class Diary extends EventEmitter {
  readonly swapped: Snapshot[] = [];
  readonly discarded: Snapshot[] = [];
  readonly accepted: { meta: PolicyMeta; changed: boolean }[] = [];
  readonly rejected: string[] = [];
  readonly states: string[] = [];
  readonly trouble: string[] = [];
  confirmed = 0;

  confirm(): void {
    this.confirmed += 1;
    this.emit("change");
  }

  note<Entry>(list: Entry[], entry: Entry): void {
    list.push(entry);
    this.emit("change");
  }

  async until(what: () => boolean): Promise<void> {
    const signal = AbortSignal.timeout(8000);
    while (!what()) await once(this, "change", { signal });
  }
}

type Overrides = Partial<PolicyControllerOptions<Snapshot>>;

const lives: PolicyController[] = [];
afterEach(async () => {
  await Promise.all(lives.splice(0).map((controller) => controller.stop()));
});

async function createController(record: Diary, overrides: Overrides): Promise<PolicyController> {
  const controller = createPolicyController<Snapshot>({
    read: await createPolicyReader({
      plugins: samplePlugins,
      service: "users",
      upstreamAllow: [],
      keys: undefined,
    }),
    source: undefined,
    compile: async (policy: EffectivePolicy) => policy.document.plugins,
    swap: (snapshot) => record.note(record.swapped, snapshot),
    release: (snapshot) => record.note(record.discarded, snapshot),
    clock: { now: () => 1_700_000_000_000 },
    events: {
      onAccepted: (meta, changed) => record.note(record.accepted, { meta, changed }),
      onConfirmed: () => record.confirm(),
      onRejected: (problems: readonly Problem[]) =>
        record.note(record.rejected, problems.map(problemText).join("; ")),
      onSourceState: (state) => record.note(record.states, state),
    },
    ...overrides,
  });
  lives.push(controller);
  return controller;
}

const yaml = (name: string): string => `apiVersion: outrigger/v1\nplugins: [${name}]\n`;
const plugins = (...names: string[]): string => text({ plugins: names });
const last = <Entry>(list: readonly Entry[]): Entry | undefined => list.at(-1);

describe("without Redis and without a file", () => {
  test("the built-in policy is in force", async () => {
    const record = new Diary();
    const controller = await createController(record, {});
    await controller.start();
    assert.deepEqual(record.swapped, [["logging", "transform"]]);
    const status = controller.status();
    assert.equal(status.source, "builtin");
    assert.equal(status.revision, 1);
    assert.deepEqual(status.effective?.routes, [{ path: "/*" }]);
    assert.equal(status.since, "2023-11-14T22:13:20.000Z");
  });
});

describe("a policy in Redis", () => {
  let redis: RedisServer;
  let store: RedisStore;
  let record: Diary;
  before(async () => {
    redis = await startRedis();
  });
  after(() => redis.close());
  beforeEach(async () => {
    await redis.cli.flushall();
    record = new Diary();
    store = createStore({
      address: parseRedisAddress(redis.url),
      keyPrefix: "outrigger:",
      connectionName: "policy-test",
    });
  });
  afterEach(() => store.close());

  // Polls are far away, so that what is seen is seen by invalidation.
  const far = { pollMs: 600_000, startLimitMs: 5000 };
  const set = (document: string, key = "policy"): Promise<unknown> =>
    redis.cli.set(`outrigger:${key}`, document);
  const fromRedis = (overrides: Overrides = {}): Promise<PolicyController> =>
    createController(record, {
      source: createRedisSource({ store, service: "users", ...far }),
      ...overrides,
    });
  /** Watching: from here on a change is told, not polled. */
  async function started(overrides: Overrides = {}): Promise<PolicyController> {
    const controller = await fromRedis(overrides);
    await controller.start();
    await eventually("changes are subscribed to", async () => {
      const clients = String(await redis.cli.client("LIST"));
      return clients.includes("flags=t") || / flags=[A-Za-z]*t/.test(clients);
    });
    return controller;
  }

  test("is in force after the start", async () => {
    await set(plugins("auth"));
    const controller = await started();
    assert.deepEqual(record.swapped, [["auth"]]);
    const { source, digest, signed, documents, lastError } = controller.status();
    assert.match(`${digest} ${documents?.shared}`, /^[0-9a-f]{64} [0-9a-f]{64}$/);
    assert.deepEqual([source, signed, lastError, documents?.layer], ["redis", "no", null, null]);
  });

  test("that any client SETs is in force soon, the shared one and the layer", async () => {
    await set(plugins("auth"));
    await started();
    await set(plugins("auth", "cache"));
    await record.until(() => record.swapped.length === 2);
    await set(plugins("logging"), "policy:users");
    await record.until(() => record.swapped.length === 3);
    assert.deepEqual(last(record.swapped), ["logging"]);
    await redis.cli.del("outrigger:policy:users");
    await record.until(() => record.swapped.length === 4);
    assert.deepEqual(last(record.swapped), ["auth", "cache"]);
    assert.deepEqual(
      record.accepted.map(({ meta }) => meta.revision),
      [1, 2, 3, 4],
    );
  });

  test("has the number that the history knows it by, by its digest; else one more than the last", async () => {
    const history = (key: string, revision: number, document: string) =>
      redis.cli.set(
        `outrigger:${key}`,
        JSON.stringify({ revision, digest: digestOf(Buffer.from(document)) }),
      );
    const numbers = ({ revision, revisionFrom, layerRevision }: PolicyStatus) =>
      `${revision} ${revisionFrom} ${layerRevision}`;
    await history("applied", 41, plugins("auth"));
    await set(plugins("auth"));
    const source = createRedisSource({ store, service: "users", keyPrefix: "outrigger:", pollMs: 100 });
    const controller = await started({ source });
    assert.equal(numbers(controller.status()), "41 history null");
    const layer = text({ pluginConfig: { logging: { level: "debug" } } });
    await history("applied:users", 3, layer);
    await set(layer, "policy:users");
    await record.until(() => record.swapped.length === 2);
    assert.equal(numbers(controller.status()), "41 history 3");
    await set(plugins("auth", "cache"));
    await eventually("noted", () => numbers(controller.status()) === "42 sidecar 3");
    await history("applied", 57, plugins("auth", "cache"));
    await eventually("taken over by a poll", () => numbers(controller.status()) === "57 history 3");
    await set("garbage");
    await history("applied", 58, "garbage");
    await record.until(() => record.rejected.length === 1);
    assert.equal(numbers(controller.status()), "57 history 3");
    await redis.cli.set("outrigger:applied", "x".repeat(100_000));
    await redis.cli.del("outrigger:policy:users");
    await set(plugins("transform"));
    await eventually("in force without its number", () => numbers(controller.status()) === "58 sidecar null");
  });

  test("is in force under rights of before there was a document of keys", async () => {
    await set(plugins("auth"));
    const rights = ["+@all", "&*", "~outrigger:policy", "~outrigger:policy:*"];
    await redis.cli.call("ACL", "SETUSER", "old", "on", ">pw", ...rights);
    const old = createStore({
      address: parseRedisAddress(redis.url.replace("redis://", "redis://old:pw@")),
      keyPrefix: "outrigger:",
      connectionName: "policy-test-old",
    });
    try {
      const source = createRedisSource({ store: old, service: "users", signed: true, ...far });
      const controller = await createController(record, { source });
      await controller.start();
      assert.deepEqual([controller.ready, last(record.swapped), record.states], [true, ["auth"], ["read"]]);
    } finally {
      old.close();
    }
  });

  test("is seen by the poll when no message comes", async () => {
    await set(plugins("auth"));
    const deaf = new Proxy(store, {
      get: (target, name) => (name === "watch" ? () => () => {} : Reflect.get(target, name)),
    });
    const controller = await createController(record, {
      source: createRedisSource({ store: deaf, service: "users", pollMs: 20, startLimitMs: 5000 }),
    });
    await controller.start();
    await set(plugins("cache"));
    await record.until(() => record.swapped.length === 2);
    assert.deepEqual(last(record.swapped), ["cache"]);
  });

  for (const [what, garbage, problem] of [
    ["garbage", "<html>", /is not JSON/],
    ["empty", "", /is empty/],
    ["an unknown plugin", plugins("auht"), /plugins\[0\]: unknown plugin "auht", did you mean "auth"/],
    ["an unknown field", text({ route: [] }), /route: unknown field/],
    ["bytes that are not text", "\u00ff", /not JSON/],
  ] as const) {
    test(`that is ${what} is refused; the old one stays, until a good one comes`, async () => {
      await set(plugins("auth"));
      const controller = await started();
      await set(garbage);
      await record.until(() => record.rejected.length === 1);
      assert.match(record.rejected.join(), problem);
      assert.deepEqual(record.swapped, [["auth"]]);
      assert.deepEqual(controller.status().effective?.plugins, ["auth"]);
      assert.match(problemText(controller.status().lastError?.problems[0] as Problem), problem);
      await set(plugins("cache"));
      await record.until(() => record.swapped.length === 2);
      assert.equal(controller.status().lastError, null);
    });
  }

  test("whose layer breaks a lock is refused; the same documents again are no news", async () => {
    await set(text({ plugins: ["auth"], locked: ["auth"] }));
    await started();
    await set(plugins("cache"), "policy:users");
    await record.until(() => record.rejected.length === 1);
    assert.match(record.rejected.join(), /^policy:users, line 1, column 30: plugins: drops "auth"/);
    await set(plugins("cache"), "policy:users");
    await set(plugins("auth"));
    await record.until(() => record.swapped.length === 2);
    assert.equal(record.rejected.length, 1);
  });

  test("that is written otherwise but says the same is not compiled again", async () => {
    await set(plugins("auth"));
    const controller = await started();
    const before = controller.status();
    await set(` ${plugins("auth")} `);
    await record.until(() => record.accepted.length === 2);
    assert.equal(record.accepted[1]?.changed, false);
    assert.equal(record.swapped.length, 1);
    assert.equal(controller.status().digest, before.digest);
    assert.equal(controller.status().revision, before.revision);
    assert.notEqual(controller.status().documents?.shared, before.documents?.shared);
  });

  test("that polls find unchanged is not read through again, good or bad", async () => {
    await set(plugins("auth"));
    let polls = 0;
    let reads = 0;
    const counted = new Proxy(store, {
      get(target, name) {
        if (name === "getBytes") {
          polls += 0.5;
          record.emit("change");
        }
        return Reflect.get(target, name);
      },
    });
    const read = await createPolicyReader({
      plugins: samplePlugins,
      service: "users",
      upstreamAllow: [],
      keys: undefined,
    });
    await started({
      source: createRedisSource({ store: counted, service: "users", pollMs: 5, startLimitMs: 5000 }),
      read: (raw) => {
        reads += 1;
        return read(raw);
      },
    });
    await record.until(() => polls >= 5 && record.confirmed >= 3);
    assert.equal(reads, 1);
    await set("garbage");
    await record.until(() => record.rejected.length === 1);
    const seen = polls;
    const { confirmed } = record;
    await record.until(() => polls >= seen + 5);
    assert.equal(reads, 2);
    assert.equal(record.confirmed, confirmed);
  });

  test("that is deleted stays in force, and the status says so", async () => {
    await set(plugins("auth"));
    const controller = await started();
    await redis.cli.del("outrigger:policy");
    await record.until(() => last(record.states) === "absent");
    assert.deepEqual(controller.status().effective?.plugins, ["auth"]);
    assert.deepEqual(controller.status().lastError?.problems, [
      { path: "", message: 'Redis has no key "policy"' },
    ]);
    await set(plugins("auth"));
    await record.until(() => last(record.states) === "read");
    assert.equal(controller.status().lastError, null);
    assert.equal(record.swapped.length, 1, "the same policy is not compiled again");
  });

  test("under a key of another type leaves the old one in force", async () => {
    await set(plugins("auth"));
    const controller = await started();
    await redis.cli.multi().del("outrigger:policy").lpush("outrigger:policy", "x").exec();
    await record.until(() => last(record.states) === "failed");
    assert.match(controller.status().lastError?.problems[0]?.message ?? "", /WRONGTYPE/);
    assert.deepEqual(controller.status().effective?.plugins, ["auth"]);
    await set(plugins("cache"));
    await record.until(() => record.swapped.length === 2);
  });

  test("outlives Redis, and what was set while it was away is found afterwards", async () => {
    await set(plugins("auth"));
    await started();
    await redis.kill();
    await redis.restart();
    await set(plugins("cache"));
    await record.until(() => record.swapped.length === 2);
    assert.deepEqual(last(record.swapped), ["cache"]);
  });

  test("that changes in a burst ends on the last one, with few compilations one at a time", async () => {
    await set(plugins("auth"));
    let running = 0;
    let most = 0;
    const controller = await started({
      compile: async ({ document }) => {
        running += 1;
        most = Math.max(most, running);
        await new Promise((resolve) => setTimeout(resolve, 5));
        running -= 1;
        return document.routes.map((route) => String(route.timeout));
      },
    });
    const sets = Array.from({ length: 500 }, (_, index) =>
      set(text({ routes: [{ path: "/", timeout: index + 1 }] })),
    );
    await Promise.all(sets);
    await record.until(() => last(record.swapped)?.[0] === "500");
    assert.equal(most, 1);
    assert.ok(record.swapped.length < 200, `${record.swapped.length} compilations`);
    assert.equal(controller.status().effective?.routes[0]?.timeout, 500);
  });

  test("that cannot be set up is refused, and tried again at the next read", async () => {
    await set(plugins("auth"));
    let works = true;
    let attempts = 0;
    const controller = await started({
      source: createRedisSource({ store, service: "users", pollMs: 30, startLimitMs: 5000 }),
      compile: async ({ document }) => {
        attempts += 1;
        record.emit("change");
        if (!works) throw new Error("the issuer does not answer");
        return document.plugins;
      },
    });
    works = false;
    await set(plugins("cache"));
    await record.until(() => record.rejected.length === 1);
    assert.deepEqual(controller.status().lastError?.problems, [
      { path: "", message: "the issuer does not answer" },
    ]);
    await record.until(() => attempts >= 4);
    works = true;
    await record.until(() => record.swapped.length === 2);
    assert.equal(record.rejected.length, 1, "told once");
  });

  test("whose set-up never ends does not keep the next one out, and is closed if it ends after all", async () => {
    await set(plugins("auth"));
    let finish: (() => void) | undefined;
    await started({
      compileLimitMs: 50,
      compile: ({ document }) =>
        new Promise((resolve) => {
          if (document.plugins.includes("cache")) finish = () => resolve(document.plugins);
          else resolve(document.plugins);
        }),
    });
    await set(plugins("cache"));
    await record.until(() => record.rejected.length === 1);
    assert.match(record.rejected.join(), /longer than 50 ms/);
    await set(plugins("logging"));
    await record.until(() => record.swapped.length === 2);
    finish?.();
    await record.until(() => record.discarded.length === 1);
    assert.deepEqual(record.swapped, [["auth"], ["logging"]]);
  });

  test("does not hold up who may sign while it is set up", async () => {
    const jwks = async () => exportJWK((await generateKeyPair("ES256")).publicKey);
    const found: unknown[] = [];
    const setUp: string[] = [];
    await set(plugins("auth"));
    const compiling = Promise.withResolvers<Snapshot>();
    const trusted = await createTrust({ keys: [await jwks()] });
    const controller = await fromRedis({
      source: createRedisSource({ store, service: "users", signed: true, ...far }),
      compile(policy) {
        record.note(setUp, policy.digest);
        return compiling.promise;
      },
      trust: async (keySets) => ({ ...(await trusted([])), keySets, epoch: keySets.length }),
      onTrust: ({ keySets }) => {
        found.push(...keySets);
        record.emit("change");
      },
    });
    const starting = controller.start();
    await record.until(() => setUp.length === 1);
    await eventually("watching", () => store.watching);
    await set("keys", "policy-keys");
    await record.until(() => found.length === 1);
    assert.equal(controller.ready, false);
    compiling.resolve([]);
    await starting;
  });

  test("is never read twice at once; a change during a read causes one more", async () => {
    await set(plugins("auth"));
    let reading = 0;
    let most = 0;
    const slow = new Proxy(store, {
      get(target, name) {
        if (name !== "getBytes") return Reflect.get(target, name);
        return async (...args: Parameters<RedisStore["getBytes"]>) => {
          reading += 1;
          most = Math.max(most, reading);
          await new Promise((resolve) => setTimeout(resolve, 20));
          const bytes = await target.getBytes(...args);
          reading -= 1;
          return bytes;
        };
      },
    });
    await started({ source: createRedisSource({ store: slow, service: "users", ...far }) });
    for (const name of ["cache", "logging", "transform", "auth", "cache"]) {
      await set(plugins(name));
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await record.until(() => last(record.swapped)?.[0] === "cache" && record.swapped.length > 1);
    assert.equal(most, 2, "both keys of one read, and no more");
  });

  /** Redis is away from here to the end of the test. */
  async function withoutRedis(run: () => Promise<void>): Promise<void> {
    await redis.kill();
    try {
      await run();
    } finally {
      await redis.restart();
    }
  }
  const impatient = () =>
    createRedisSource({ store, service: "users", pollMs: 50, retryMs: 50, startLimitMs: 100 });

  describe("at the start", () => {
    const dirs: string[] = [];
    let dir: string;
    let lastKnownGood: LastKnownGood;
    beforeEach(async () => {
      dir = await mkdtemp(join(tmpdir(), "outrigger-kept-"));
      dirs.push(dir);
      lastKnownGood = createLastKnownGood({
        dir,
        service: "users",
        onTrouble: (message) => record.note(record.trouble, message),
      });
    });
    after(() => Promise.all(dirs.map((each) => rm(each, { recursive: true, force: true }))));
    const keptBefore = async (): Promise<void> => {
      await set(plugins("auth"));
      const controller = await started({ lastKnownGood });
      await controller.stop();
      record = new Diary();
    };
    test("with Redis dead, the kept policy is in force with its revision; Redis takes over, counted on from there when it is back", async () => {
      await keptBefore();
      const controller = await fromRedis({ lastKnownGood, source: impatient() });
      await withoutRedis(async () => {
        await controller.start();
        assert.deepEqual(record.swapped, [["auth"]]);
        assert.equal(controller.status().source, "kept");
        assert.equal(controller.status().revision, 1);
        assert.match(controller.status().lastError?.problems[0]?.message ?? "", /^Redis cannot be read/);
      });
      await set(plugins("cache"));
      await record.until(() => record.swapped.length === 2);
      assert.equal(controller.status().source, "redis");
      assert.equal(controller.status().revision, 2);
      assert.equal(controller.status().lastError, null);
    });

    test("a copy that was kept of a file is not taken for what Redis had", async () => {
      lastKnownGood.save({
        raw: { shared: Buffer.from(plugins("auth")), layer: undefined, format: "json" },
        revision: 5,
        from: "file",
      });
      await lastKnownGood.settled();
      const controller = await started({ lastKnownGood });
      assert.equal(controller.ready, false);
    });

    test("with Redis full of garbage, the kept policy is in force", async () => {
      await keptBefore();
      await set("garbage");
      const controller = await started({ lastKnownGood });
      assert.equal(controller.status().source, "kept");
      assert.match(controller.status().lastError?.problems[0]?.message ?? "", /not JSON/);
    });

    test("with Redis empty and nothing kept, the baseline file is in force, until Redis has a policy", async () => {
      const file = join(dir, "baseline.yaml");
      await writeFile(file, "apiVersion: outrigger/v1\nplugins: [transform]\n");
      const controller = await started({ lastKnownGood, baseline: () => readPolicyFile(file) });
      assert.deepEqual(record.swapped, [["transform"]]);
      assert.equal(controller.status().source, "file");
      assert.match(controller.status().lastError?.problems[0]?.message ?? "", /Redis has no key/);
      await lastKnownGood.settled();
      assert.equal(await lastKnownGood.load(), undefined, "a baseline is not what Redis had: it is not kept");
      await set(plugins("auth"));
      await record.until(() => record.swapped.length === 2);
      assert.equal(controller.status().source, "redis");
    });

    test("with Redis empty, no file and nothing kept, no policy is in force, until there is one", async () => {
      const controller = await started({ lastKnownGood });
      assert.equal(controller.ready, false);
      assert.equal(controller.status().effective, null);
      await set(plugins("auth"));
      await record.until(() => controller.ready);
    });

    test("a damaged kept copy is ignored, and said", async () => {
      await keptBefore();
      const path = join(dir, "policy-users.json");
      const good = await readFile(path, "utf8");
      const sources: [string, RegExp][] = [
        [good.slice(0, -10), /damaged/],
        [good.replace("auth", "cach"), /damaged/],
        ["{}", /not a kept policy/],
        ["", /damaged/],
      ];
      for (const [content, why] of sources) {
        await writeFile(path, content);
        assert.equal(await lastKnownGood.load(), undefined);
        assert.match(last(record.trouble) ?? "", why);
      }
      const controller = await fromRedis({ lastKnownGood, source: impatient() });
      await withoutRedis(async () => {
        await controller.start();
        assert.equal(controller.ready, false);
      });
    });

    test("the kept copy is for its owner alone and leaves no other file behind", async () => {
      await keptBefore();
      assert.equal((await stat(join(dir, "policy-users.json"))).mode & 0o777, 0o600);
      assert.deepEqual(await readdir(dir), ["policy-users.json"]);
    });

    test("what a process left half-written is removed at the start, and nothing else", async () => {
      await keptBefore();
      for (const name of ["policy-users.json.77.tmp", "policy-users.json.tmp", "policy-other.json.77.tmp"])
        await writeFile(join(dir, name), "half");
      await createLastKnownGood({ dir, service: "users", onTrouble: assert.fail }).load();
      assert.deepEqual((await readdir(dir)).toSorted(), [
        "policy-other.json.77.tmp",
        "policy-users.json",
        "policy-users.json.tmp",
      ]);
    });

    test("a copy that cannot be put in place leaves nothing behind", async () => {
      await mkdir(join(dir, "policy-users.json"));
      await set(plugins("auth"));
      await started({ lastKnownGood });
      await record.until(() => record.trouble.some((message) => message.includes("could not be kept")));
      assert.deepEqual(await readdir(dir), ["policy-users.json"]);
    });

    test("a state folder that cannot be written takes nothing down", async () => {
      const file = join(dir, "file");
      await writeFile(file, "");
      const stuck = createLastKnownGood({
        dir: join(file, "x"),
        service: "users",
        onTrouble: (message) => record.note(record.trouble, message),
      });
      await set(plugins("auth"));
      const controller = await started({ lastKnownGood: stuck });
      await record.until(() => record.trouble.some((message) => message.includes("could not be kept")));
      assert.equal(controller.ready, true);
    });
  });
});

describe("a policy in a file", () => {
  let dir: string;
  let file: string;
  let record: Diary;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), "outrigger-file-"));
    file = join(dir, "policy.yaml");
    record = new Diary();
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  async function started(path = file, overrides: Overrides = {}): Promise<PolicyController> {
    const source = createFileSource({ path, pollMs: 600_000, retryMs: 600_000, settleMs: 10 });
    const controller = await createController(record, { source, ...overrides });
    await controller.start();
    return controller;
  }

  test("is in force after the start and after every change", async () => {
    await writeFile(file, yaml("auth"));
    const controller = await started();
    assert.equal(controller.status().source, "file");
    await writeFile(file, yaml("cache"));
    await record.until(() => record.swapped.length === 2);
    assert.deepEqual(last(record.swapped), ["cache"]);
  });

  test("that an editor replaces by renaming another over it is seen, again and again", async () => {
    await writeFile(file, yaml("auth"));
    await started();
    for (const [index, name] of ["cache", "logging", "transform"].entries()) {
      await writeFile(`${file}.swp`, yaml(name));
      await rename(`${file}.swp`, file);
      await record.until(() => record.swapped.length === index + 2);
      assert.deepEqual(last(record.swapped), [name]);
    }
  });

  test("that Kubernetes swaps behind symbolic links is seen", async () => {
    // As a ConfigMap volume is laid out: policy.yaml -> ..data/policy.yaml, ..data -> a folder per version.
    const lay = async (version: string, name: string): Promise<void> => {
      await mkdir(join(dir, version));
      await writeFile(join(dir, version, "policy.yaml"), yaml(name));
      await symlink(version, join(dir, "..data_tmp"));
      await rename(join(dir, "..data_tmp"), join(dir, "..data"));
    };
    await lay("..v1", "auth");
    await symlink("..data/policy.yaml", file);
    await started();
    await lay("..v2", "cache");
    await record.until(() => record.swapped.length === 2);
    await rm(join(dir, "..v1"), { recursive: true });
    await lay("..v3", "logging");
    await record.until(() => record.swapped.length === 3);
  });

  test("behind a link to another folder is seen to change there", async () => {
    const elsewhere = await mkdtemp(join(tmpdir(), "outrigger-elsewhere-"));
    await writeFile(join(elsewhere, "p.yaml"), yaml("auth"));
    await symlink(join(elsewhere, "p.yaml"), file);
    await started();
    await writeFile(join(elsewhere, "p.yaml"), yaml("cache"));
    await record.until(() => record.swapped.length === 2);
    await rm(elsewhere, { recursive: true });
  });

  test("that is missing is reported, and taken once it is there", async () => {
    const controller = await started();
    assert.equal(controller.ready, false);
    assert.match(controller.status().lastError?.problems[0]?.message ?? "", /policy\.yaml does not exist$/);
    await writeFile(file, yaml("auth"));
    await record.until(() => controller.ready);
    await rm(file);
    await record.until(() => last(record.states) === "absent");
    assert.deepEqual(controller.status().effective?.plugins, ["auth"]);
  });

  test("that somebody is writing counts once it is whole, though half of it would be valid", async () => {
    await writeFile(file, yaml("auth"));
    const source = createFileSource({ path: file, pollMs: 5, retryMs: 5, settleMs: 250 });
    const controller = await createController(record, { source });
    await controller.start();
    const whole =
      "apiVersion: outrigger/v1\nplugins: [logging]\nroutes:\n  - path: /*\n    plugins: [auth]\n";
    const half = whole.indexOf("routes:");
    const writer = await open(file, "w");
    // Whoever looks between two parts of it finds a policy without its routes.
    await writer.write(whole.slice(0, half));
    for (let at = half; at < whole.length; at += 1) {
      await writer.write(whole[at] ?? "");
      await pause(20);
    }
    await writer.close();
    await record.until(() => record.swapped.length === 2);
    assert.deepEqual(
      controller.status().effective?.routes.map(({ plugins }) => plugins),
      [["auth"]],
    );
    assert.deepEqual(record.rejected, []);
  });

  test("that is bad is refused with its line; the old one stays", async () => {
    await writeFile(file, yaml("auth"));
    const controller = await started();
    await writeFile(file, "apiVersion: outrigger/v1\nplugins:\n  - auht\n");
    await record.until(() => record.rejected.length === 1);
    assert.match(record.rejected.join(), /line 3, column 5: plugins\[0\]: unknown plugin/);
    assert.equal(controller.ready, true);
  });

  test("that is no regular file, or far too large, is not read to its end", async () => {
    assert.equal((await readPolicyFile("/dev/zero")).state, "failed");
    assert.equal((await readPolicyFile(dir)).state, "failed");
    await writeFile(file, Buffer.alloc(100_000, "x"));
    const reading = await readPolicyFile(file, 1000);
    assert.ok(reading.state === "read" && reading.raw.shared.byteLength < 3000);
  });
});
