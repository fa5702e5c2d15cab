// `outrigger sync --from`: a folder of policies and a real Redis.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once as onceEvent } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, beforeEach, describe, it } from "node:test";
import { syncPolicies, type SyncOptions } from "../../src/cli/sync.ts";
import { parseRedisAddress } from "../../src/redis/address.ts";
import { createStore } from "../../src/redis/store.ts";
import { Lease } from "../../src/sync/lease.ts";
import { outrigger, type Finished } from "../support/process.ts";
import { eventually, startRedis } from "../support/redis.ts";
import { startSidecar } from "../support/sidecar.ts";

const redis = await startRedis();
const folders: string[] = [];
after(async () => {
  for (const folder of folders) rmSync(folder, { recursive: true });
  await redis.close();
});
beforeEach(async () => {
  await redis.cli.flushall();
});
const stops: (() => Promise<number>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

const shared = "apiVersion: outrigger/v1 # of all\nplugins: [logging]\n";
const layer = (path: string): string => `apiVersion: outrigger/v1\nroutes: [{ path: "${path}" }]\n`;

function folderOf(files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-sync-"));
  folders.push(folder);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  return folder;
}

const env = (more: Readonly<Record<string, string>> = {}) => ({ REDIS_URL: redis.url, ...more });
const once = (folder: string, ...args: string[]): Promise<Finished> =>
  outrigger(["sync", "--from", folder, "--once", ...args], env());
const inRedis = async (key: string): Promise<unknown> =>
  JSON.parse((await redis.cli.get(`outrigger:${key}`)) ?? "null") as unknown;

describe("outrigger sync --from --once", () => {
  it("says that two sidecars share a name where its spread is short for that", async () => {
    const folder = folderOf({ "policy.yaml": shared });
    await once(folder);
    await redis.cli.zadd("outrigger:fleet:seen", Date.now(), "users");
    await redis.cli.zadd("outrigger:live:users", Date.now(), "pod-1");
    const value = {
      version: "1.0.0",
      boot: "host-a/1/0123456789abcdef",
      namesake: "host-b/7/0123456789abcdef",
    };
    await redis.cli.set("outrigger:fleet:users:pod-1", JSON.stringify(value));
    assert.match(
      (await once(folder)).stdout,
      /in force in 0 of 1 sidecars; nobody can tell what each of several live sidecars of one name has: give each an OUTRIGGER_INSTANCE of its own \(users\/pod-1\)\n/,
    );
  });

  it("puts the shared policy and layers in force, with a line in the history of each", async () => {
    const folder = folderOf({ "policy.yaml": shared, "policy.users.yml": layer("/a"), "README.md": "#" });
    const first = await once(folder);
    assert.equal(first.code, 0, first.stderr);
    assert.match(
      first.stdout,
      /^policy\.yaml: the shared policy is at revision 1, in force in 0 of 0 sidecars\n/,
    );
    assert.deepEqual(await inRedis("policy"), { apiVersion: "outrigger/v1", plugins: ["logging"] });
    assert.deepEqual(await inRedis("policy:users"), { apiVersion: "outrigger/v1", routes: [{ path: "/a" }] });
    const history = await outrigger(["policy", "history", "--json"], env());
    assert.match(
      history.stdout,
      /"author": "outrigger sync"[^]*policy\.yaml \[declared sha256:[0-9a-f]{64}\]/,
    );
    // The same again changes nothing; another comment neither.
    writeFileSync(join(folder, "policy.yaml"), shared.replace("of all", "of everybody"));
    const again = await once(folder, "--json");
    const { documents } = JSON.parse(again.stdout) as { documents: { revision: number; state: string }[] };
    assert.deepEqual(
      documents.map(({ revision, state }) => [revision, state]),
      [
        [1, "in-force"],
        [1, "in-force"],
      ],
    );
  });

  it("refuses one that does not pass the checks of policy apply, says where, and takes the others", async () => {
    const tests = 'tests: [{ name: "no", request: { path: "/a" }, expect: { status: 418 } }]\n';
    const folder = folderOf({
      "policy.yaml": shared,
      "policy.a.yaml": layer("/a").replace("path", "pth"),
      "policy.b.yaml": layer("/a") + tests,
      "policy.c d.yaml": layer("/a"),
      "policy.e.yaml": layer("/e"),
    });
    const { code, stderr, stdout } = await once(folder);
    assert.equal(code, 1);
    assert.match(stderr, /policy\.a\.yaml: refused: .*routes\[0\].*what is in force stays/);
    assert.match(stderr, /policy\.b\.yaml: refused: .*418/);
    assert.match(stderr, /policy\.c d\.yaml: it is for no service's name: /);
    assert.match(stdout, /layer of e is at revision 1/);
    assert.match(stderr, /^policy\.e\.yaml: line 2, .*\[unauthenticated-route\]$/m);
    assert.deepEqual(await redis.cli.exists("outrigger:policy:a", "outrigger:policy:b"), 0);
    writeFileSync(join(folder, "policy.f.yaml"), layer("/f"));
    const strict = await once(folder, "--strict");
    assert.match(
      strict.stderr,
      /policy\.f\.yaml: refused: line 2, .*routes\[0\]: .*\[unauthenticated-route\]/,
    );
  });

  it("takes none of two that claim one place, and names both", async () => {
    assert.equal((await once(folderOf({ "policy.yaml": shared }))).code, 0);
    const { code, stderr } = await once(folderOf({ "policy.yaml": shared, "policy.json": "{}" }));
    assert.equal(code, 1);
    assert.match(
      stderr,
      /the shared policy is claimed by policy\.json and policy\.yaml: none of them is taken/,
    );
    assert.deepEqual(await inRedis("policy"), { apiVersion: "outrigger/v1", plugins: ["logging"] });
  });

  it("leaves what others changed, and says who; with --self-heal it changes it back", async () => {
    const folder = folderOf({ "policy.yaml": shared, "policy.users.yaml": layer("/a") });
    await once(folder);
    await redis.cli.set("outrigger:policy", '{"apiVersion":"outrigger/v1"}');
    writeFileSync(join(folder, "other.yaml"), layer("/b"));
    const by = ["--author", "Mo", "--reason", "incident 7"];
    assert.equal(
      (await outrigger(["policy", "apply", join(folder, "other.yaml"), "--service", "users", ...by], env()))
        .code,
      0,
    );
    const { code, stderr } = await once(folder);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /the shared policy was changed since revision 1 came from here: by a plain SET or DEL/,
    );
    assert.match(
      stderr,
      /the layer of users was changed since revision 1 .*revision 2 by Mo at .*\(incident 7\)/,
    );
    assert.match(
      stderr,
      /not taken, since they are called neither policy.yaml nor policy.<service>.yaml: other.yaml/,
    );
    assert.deepEqual(await inRedis("policy:users"), { apiVersion: "outrigger/v1", routes: [{ path: "/b" }] });
    assert.equal((await once(folder, "--self-heal")).code, 0);
    assert.deepEqual(await inRedis("policy:users"), { apiVersion: "outrigger/v1", routes: [{ path: "/a" }] });
    // A declaration that changes counts, whoever changed what.
    await redis.cli.set("outrigger:policy", '{"apiVersion":"outrigger/v1"}');
    writeFileSync(join(folder, "policy.yaml"), shared.replace("logging", "transform"));
    assert.equal((await once(folder)).code, 0);
    assert.deepEqual(await inRedis("policy"), { apiVersion: "outrigger/v1", plugins: ["transform"] });
  });

  it("signs with --key what was there without, nothing anew that is the same, and all by another key", async () => {
    const folder = folderOf({ "policy.yaml": shared });
    assert.equal((await once(folder)).code, 0);
    const keygen = async (name: string) =>
      JSON.parse((await outrigger(["policy", "keygen", join(folder, name)])).stdout) as { keys: object[] };
    const keys = [...(await keygen("first")).keys, ...(await keygen("second")).keys];
    const signedBy = async (key: string): Promise<string> => {
      const args = ["sync", "--from", folder, "--once", "--key", join(folder, key)];
      const { code, stderr } = await outrigger(
        args,
        env({ OUTRIGGER_POLICY_KEYS: JSON.stringify({ keys }) }),
      );
      assert.equal(code, 0, stderr);
      return (await redis.cli.get("outrigger:policy")) ?? "";
    };
    const kidOf = (token: string): unknown =>
      JSON.parse(Buffer.from(token.split(".")[0] ?? "", "base64url").toString());
    const first = await signedBy("first");
    assert.match(first, /^[\w-]+\.[\w-]+\.[\w-]+$/);
    assert.equal(await signedBy("first"), first);
    const second = await signedBy("second");
    assert.notDeepEqual(kidOf(second), kidOf(first));
    assert.equal(await signedBy("second"), second);
    // What somebody else put there stays, whoever signs.
    await redis.cli.set("outrigger:policy", '{"apiVersion":"outrigger/v1"}');
    assert.match(
      (await outrigger(["sync", "--from", folder, "--once", "--key", join(folder, "first")], env())).stderr,
      /was changed since/,
    );
  });

  it("names five of many that claim one place", async () => {
    const names = ["yaml", "Yaml", "yAml", "yaMl", "yamL", "yml", "json"].map((end) => [
      `policy.a.${end}`,
      "{}",
    ]);
    const { stderr } = await once(folderOf({ "policy.yaml": shared, ...Object.fromEntries(names) }));
    assert.match(
      stderr,
      /the layer of a is claimed by (?:policy\.a\.\w+ and ){5}2 more: none of them is taken/,
    );
  });

  it("says what is wrong with its arguments and its folder", async () => {
    const missing = await once("/nowhere/at/all");
    assert.deepEqual([missing.code, missing.stderr.trim()].slice(0, 1), [1]);
    assert.equal(missing.stderr, "/nowhere/at/all: ENOENT\n");
    for (const args of [
      ["--every", "soon"],
      ["--namespace", "demo"],
    ])
      assert.equal((await once("/tmp", ...args)).code, 2, args.join(" "));
    const { code, stderr } = await outrigger(["sync", "--once"], env());
    assert.deepEqual([code, /KUBERNETES_SERVICE_HOST/.test(stderr)], [2, true]);
  });
});

const defaults: SyncOptions = { every: "1s", onDelete: "keep" };

/** One that runs, with what it logs. */
function running(options: Partial<SyncOptions>, more: Readonly<Record<string, string>> = {}) {
  const stop = new AbortController();
  const lines: Record<string, unknown>[] = [];
  const terminal = {
    env: env({ OUTRIGGER_ADMIN: "127.0.0.1:0", ...more }),
    out: (text: string) => void lines.push(JSON.parse(text) as Record<string, unknown>),
    err: (text: string) => void lines.push({ msg: text }),
  };
  const end = syncPolicies(terminal, { ...defaults, ...options }, stop.signal);
  const said = async (what: RegExp): Promise<Record<string, unknown>> => {
    const find = () => lines.find(({ msg }) => what.test(String(msg)));
    await eventually(`${what} in ${JSON.stringify(lines)}`, () => find() !== undefined, 8_000);
    return find() ?? {};
  };
  const stopped = async () => (stop.abort(), await end);
  stops.push(stopped);
  return { lines, said, stop: stopped };
}

describe("the lease of one that writes", () => {
  it("is renewed while a pass takes longer than it", async () => {
    const address = parseRedisAddress(redis.url);
    const store = createStore({ limitMs: 2_000, address, keyPrefix: "outrigger:", connectionName: "lease" });
    assert.ok(await store.whenUp(3_000));
    let nowMono = 0;
    const lease = new Lease(store, "me", () => nowMono);
    await lease.take();
    nowMono = 10_000;
    assert.equal(lease.isHeld, false);
    const stop = new AbortController();
    const kept = lease.keep(stop.signal, 5);
    await eventually("held", () => lease.isHeld);
    stop.abort();
    await kept;
    store.close();
  });
});

describe("outrigger sync --from", () => {
  it("says in one line that its health's address is another's", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await onceEvent(server, "listening");
    const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const folder = folderOf({ "policy.yaml": shared });
    const { code, stderr } = await outrigger(["sync", "--from", folder], env({ OUTRIGGER_ADMIN: address }));
    server.close();
    assert.deepEqual([code, stderr], [1, `OUTRIGGER_ADMIN: ${address} is in use\n`]);
  });

  it("follows the folder, one of two syncs writes, and the other goes on when that ends", async () => {
    const folder = folderOf({
      "policy.yaml": shared,
      "policy.users.yaml": layer("/a"),
      "policy.b.yaml": layer("/b"),
    });
    const first = running({ from: folder, onDelete: "remove" });
    await first.said(/this sync writes/);
    const second = running({ from: folder, onDelete: "remove" });
    const { leader } = await second.said(/stands by/);
    assert.match(String(leader), /^\S+\/[0-9a-f-]{36}$/);
    const refused = await once(folder);
    assert.deepEqual([refused.code, /another sync writes/.test(refused.stderr)], [1, true]);
    await eventually(
      "layers",
      async () => (await redis.cli.exists("outrigger:policy:users", "outrigger:policy:b")) === 2,
    );

    // A layer that goes is removed, since that was asked for; not one that somebody has changed.
    await redis.cli.set("outrigger:policy:b", '{"apiVersion":"outrigger/v1"}');
    rmSync(join(folder, "policy.users.yaml"));
    rmSync(join(folder, "policy.b.yaml"));
    await first.said(/not declared any more was removed/);
    assert.match(String((await first.said(/and is kept/))["kept"]), /somebody else has changed it since/);
    assert.equal(await redis.cli.exists("outrigger:policy:users"), 0);
    assert.equal(await redis.cli.exists("outrigger:policy:b"), 1);

    const { address, port } = (await first.said(/sync runs/))["health"] as { address: string; port: number };
    const ask = async (path: string) => await fetch(`http://${address}:${port}${path}`);
    assert.equal((await ask("/readyz")).status, 200);
    assert.match(
      await (await ask("/metrics")).text(),
      /outrigger_sync_documents\{service="sync",state="in-force"\} 1/,
    );
    const status = (await (await ask("/sync")).json()) as {
      documents: { origin: string; state: string }[];
    };
    assert.deepEqual(
      status.documents.map(({ origin, state }) => [origin, state]),
      [["policy.yaml", "in-force"]],
    );

    assert.equal(await first.stop(), 0);
    await second.said(/this sync writes/);
    writeFileSync(join(folder, "policy.yaml"), shared.replace("logging", "transform"));
    await second.said(/was put in force/);
    assert.equal(await second.stop(), 0);
    assert.equal(await redis.cli.exists("outrigger:sync:leader"), 0);
  });

  it("puts a layer that it has removed in force again, once it is declared again as it was", async () => {
    const folder = folderOf({ "policy.yaml": shared, "policy.users.yaml": layer("/a") });
    const first = running({ from: folder, onDelete: "remove" });
    const exists = async (count: number) =>
      await eventually(
        `${count}`,
        async () => (await redis.cli.exists("outrigger:policy:users")) === count,
        8_000,
      );
    await exists(1);
    rmSync(join(folder, "policy.users.yaml"));
    await exists(0);
    writeFileSync(join(folder, "policy.users.yaml"), layer("/a"));
    await exists(1);
    // By the history alone, too.
    rmSync(join(folder, "policy.users.yaml"));
    await exists(0);
    await first.stop();
    writeFileSync(join(folder, "policy.users.yaml"), layer("/a"));
    assert.equal((await once(folder)).code, 0);
    assert.deepEqual(await inRedis("policy:users"), { apiVersion: "outrigger/v1", routes: [{ path: "/a" }] });
  });

  it("takes a signed layer away from sidecars that ask for signatures, and says where it cannot", async () => {
    const folder = folderOf({ "policy.yaml": shared, "policy.users.yaml": layer("/a") });
    const key = join(folder, "key");
    const jwks = (await outrigger(["policy", "keygen", key])).stdout;
    const signing = { OUTRIGGER_POLICY_KEYS: jwks };
    const sidecar = await startSidecar({
      redisUrl: redis.url,
      upstream: (_request, response) => response.end("served"),
      env: { ...signing, OUTRIGGER_SERVICE: "users" },
    });
    const layerOf = async (): Promise<unknown> => {
      const { documents } = (await (await fetch(`${sidecar.adminUrl}/policy`)).json()) as {
        documents: { layer: string | null } | null;
      };
      return documents?.layer;
    };
    const heldAs = (text: string): string => createHash("sha256").update(text).digest("hex");
    const inForce = async (): Promise<string> => {
      const held = (await redis.cli.get("outrigger:policy:users")) ?? "";
      await eventually("the layer in force", async () => (await layerOf()) === heldAs(held), 8_000);
      return Buffer.from(held.split(".")[1] ?? "", "base64url").toString();
    };
    try {
      const signed = running({ from: folder, onDelete: "remove", key }, signing);
      await signed.said(/this sync writes/);
      await eventually("layer", async () => (await redis.cli.exists("outrigger:policy:users")) === 1, 8_000);
      assert.deepEqual(JSON.parse(await inForce()), { apiVersion: "outrigger/v1", routes: [{ path: "/a" }] });
      rmSync(join(folder, "policy.users.yaml"));
      await signed.said(/not declared any more was removed/);
      assert.deepEqual(JSON.parse(await inForce()), { apiVersion: "outrigger/v1" });
      await signed.stop();

      // Signed elsewhere, and nothing here to sign its end with.
      writeFileSync(join(folder, "other.yaml"), layer("/b"));
      const args = ["policy", "sign", join(folder, "other.yaml"), "--service", "users", "--key", key];
      const { stdout, stderr } = await outrigger([...args, "--epoch", "9000000000"], env(signing));
      assert.notEqual(stdout, "", stderr);
      writeFileSync(join(folder, "policy.users.jws"), stdout);
      const unsigned = running({ from: folder, onDelete: "remove" }, signing);
      await eventually(
        "signed layer",
        async () => (await redis.cli.get("outrigger:policy:users")) === stdout.trim(),
        8_000,
      );
      rmSync(join(folder, "policy.users.jws"));
      const told = await unsigned.said(
        /the layer of users is not declared any more, and stays until .*--key/,
      );
      assert.deepEqual([told["origin"], told["state"]], ["policy.users.jws (gone)", "refused"]);
    } finally {
      await sidecar.stop();
    }
  });

  it("keeps layers that are not declared any more, also when all is gone, and what is in force without its folder", async () => {
    const folder = folderOf({ "policy.yaml": shared, "policy.users.yaml": layer("/a") });
    const sync = running({ from: folder, onDelete: "remove" });
    await eventually("layer", async () => (await redis.cli.exists("outrigger:policy:users")) === 1);
    // A Redis that has lost everything gets it again.
    await redis.cli.flushall();
    await eventually(
      "both again",
      async () => (await redis.cli.exists("outrigger:policy", "outrigger:policy:users")) === 2,
    );
    // One that writes no more has nothing to say of them.
    const { port } = (await sync.said(/sync runs/))["health"] as { port: number };
    const counted = async () =>
      /documents\{service="sync",state="in-force"\} (\d)/.exec(
        await (await fetch(`http://127.0.0.1:${port}/metrics`)).text(),
      )?.[1];
    await eventually("counted", async () => (await counted()) === "2");
    await redis.cli.set("outrigger:sync:leader", "another");
    await sync.said(/stands by/);
    assert.equal(await counted(), "0");
    await redis.cli.del("outrigger:sync:leader");
    rmSync(join(folder, "policy.yaml"));
    rmSync(join(folder, "policy.users.yaml"));
    assert.match(String((await sync.said(/and is kept/))["kept"]), /nothing at all is declared any more/);
    rmSync(folder, { recursive: true });
    folders.pop();
    assert.match(String((await sync.said(/cannot be synchronised/))["problem"]), /ENOENT/);
    assert.equal(await redis.cli.exists("outrigger:policy", "outrigger:policy:users"), 2);
    assert.equal(await sync.stop(), 0);
  });
});
