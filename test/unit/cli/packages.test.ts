// `outrigger plugin …` as users run it: pack, sign, publish, inspect, remove.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { contractVersion } from "../../../src/extensions/manifest.ts";
import { digestOf } from "../../../src/extensions/package.ts";
import { outrigger } from "../../support/process.ts";
import { type RedisServer, startRedis } from "../../support/redis.ts";
import { startRegistry } from "../../support/registry.ts";
import { bundleOf, emptyModule, moduleOf } from "../extensions/sample-packages.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-plugin-"));
let redis: RedisServer;
let env: { REDIS_URL: string };
before(async () => {
  redis = await startRedis();
  env = { REDIS_URL: redis.url };
});
after(async () => {
  await redis.close();
  rmSync(folder, { recursive: true });
});
afterEach(() => redis.cli.flushall());

const path = (name: string): string => join(folder, name);
function file(name: string, content: string | Buffer): string {
  writeFileSync(path(name), content);
  return path(name);
}

/** @returns stdout of a command that has to succeed */
async function says(args: readonly string[], more: Readonly<Record<string, string>> = {}): Promise<string> {
  const { code, stdout, stderr } = await outrigger(["plugin", ...args], { ...env, ...more });
  assert.equal(code, 0, stderr);
  return stdout;
}
/** @returns stderr of a command that has to fail so */
async function fails(
  code: number,
  args: readonly string[],
  more: Readonly<Record<string, string>> = {},
): Promise<string> {
  const ended = await outrigger(["plugin", ...args], { ...env, ...more });
  assert.equal(ended.code, code, `${ended.stdout}${ended.stderr}`);
  return ended.stderr;
}
const json = async (...args: string[]): Promise<unknown> => JSON.parse(await says([...args, "--json"]));

async function keygen(name: string): Promise<{ key: string; keys: string }> {
  const { stdout } = await outrigger(["policy", "keygen", path(name)]);
  return { key: path(name), keys: stdout };
}
const ours = await keygen("ours.json");
const theirs = await keygen("theirs.json");

test("a module is packed, signed, published, found, looked at and removed", async () => {
  file("plugin.wasm", emptyModule);
  file(
    "manifest.json",
    JSON.stringify({ name: "geo", version: "1.2.0", description: "Says where a client is" }),
  );
  const out = path("signed.wasm");
  const packed = (await json("pack", path("plugin.wasm"), "--out", out)) as { sha256: string };
  assert.equal(packed.sha256, digestOf(readFileSync(out)));
  await says(["sign", out, "--key", ours.key]);
  assert.equal(statSync(`${out}.sig`).mode & 0o777, 0o644);
  const told = await says(["publish", out]);
  assert.match(
    told,
    new RegExp(
      `geo: {"source":"redis:plugin:geo","version":"1.2.0","sha256":"${packed.sha256}","runtime":"wasm"}`,
    ),
  );
  assert.deepEqual(await redis.cli.getBuffer("outrigger:plugin:geo@1.2.0"), readFileSync(out));
  assert.match(await says(["list"]), /^geo {3}1\.2\.0 .*redis:plugin:geo@1\.2\.0$/m);
  assert.match(
    await says(["search", "CLIENT"]),
    /^geo .* \^1\.0\.0 .*this version .*Says where a client is$/m,
  );
  const trusting = { OUTRIGGER_POLICY_KEYS: ours.keys };
  assert.match(await says(["inspect", "geo@1.2.0"], trusting), /^signature {2,}by \S+, which counts$/m);
  assert.match(await says(["inspect", out], trusting), /which counts$/m);
  assert.match(await says(["inspect", "geo@1.2.0"]), /unchecked: OUTRIGGER_POLICY_KEYS is not set/);
  assert.match(await says(["remove", "geo@1.2.0"]), /is removed/);
  assert.deepEqual(await redis.cli.keys("*"), []);
  assert.match(await fails(1, ["remove", "geo@1.2.0"]), /holds no geo@1.2.0/);
});

test("inspect says no to unsigned, to a stranger's signature, and to one over other bytes", async () => {
  const keys = { OUTRIGGER_POLICY_KEYS: ours.keys };
  const inspected = async (name: string): Promise<string> => {
    const { code, stdout } = await outrigger(["plugin", "inspect", path(name)], keys);
    assert.equal(code, 1);
    return stdout;
  };
  file("unsigned.wasm", moduleOf());
  assert.match(await inspected("unsigned.wasm"), /geo@1.2.0 is not signed/);
  file("stranger.wasm", moduleOf());
  await says(["sign", path("stranger.wasm"), "--key", theirs.key]);
  assert.match(await inspected("stranger.wasm"), /made by none of OUTRIGGER_POLICY_KEYS/);
  await says(["sign", path("stranger.wasm"), "--key", ours.key]);
  file("stranger.wasm", moduleOf({ description: "another" }));
  assert.match(await inspected("stranger.wasm"), /is over other bytes/);
  assert.match(
    await fails(1, ["publish", path("stranger.wasm")]),
    /is over other bytes than .*: sign it again/,
  );
});

test("what a version stands for never changes, wherever it is published", async () => {
  const registry = await startRegistry({ token: "t" });
  const hosts = { OUTRIGGER_PLUGIN_HOSTS: registry.host };
  try {
    for (const to of ["redis:", `file:${path("published")}`, `oci://${registry.host}/team/geo`]) {
      const one = file("one.cjs", bundleOf());
      await says(["publish", one, "--to", to, "--key", ours.key], hosts);
      assert.match(await says(["publish", one, "--to", to], hosts), /is there already/);
      const other = file("other.cjs", bundleOf({}, "exports.a = 2;\n"));
      assert.match(
        await fails(1, ["publish", other, "--to", to], hosts),
        /other bytes .*give it another version/,
      );
      const later = file("later.cjs", bundleOf({ version: "1.10.0" }));
      await says(["publish", later, "--to", to], hosts);
      if (to.startsWith("file:")) {
        const index = await says(["list", "--in", to, "--index"]);
        const [first] = (JSON.parse(index) as { plugins: Record<string, string>[] }).plugins;
        assert.deepEqual(first, { name: "geo", version: "1.10.0", file: "geo@1.10.0.cjs" });
        file("published/index.json", index);
        assert.match(await says(["search", "geo", "--in", `${to}/index.json`]), /^geo {3}1\.10\.0/m);
      }
      const place = to.startsWith("oci:") ? `oci://${registry.host}/team/` : to;
      const listed = JSON.parse(await says(["list", "--in", place, "--json"], hosts)) as {
        version: string;
      }[];
      assert.deepEqual(
        listed.map(({ version }) => version),
        ["1.10.0", "1.2.0"],
        to,
      );
      const trusting = { ...hosts, OUTRIGGER_POLICY_KEYS: ours.keys };
      await says(["inspect", "geo@1.2.0", "--in", to], trusting);
    }
  } finally {
    await registry.close();
  }
});

test("another kind of package at the same version of a folder is another package", async () => {
  const to = `file:${path("kinds")}`;
  await says(["publish", file("geo.wasm", moduleOf()), "--to", to]);
  assert.match(
    await fails(1, ["publish", file("geo.cjs", bundleOf()), "--to", to]),
    /give it another version/,
  );
  assert.match(await says(["remove", "geo@1.2.0", "--from", to]), /is removed/);
  await says(["publish", file("geo.cjs", bundleOf()), "--to", to]);
});

test("a package that the policy pins stays, and so does one when nobody can tell", async () => {
  const bytes = moduleOf();
  await says(["publish", file("geo.wasm", bytes)]);
  const entry = { source: "redis:plugin:geo", version: "1.2.0", sha256: digestOf(bytes), runtime: "wasm" };
  await redis.cli.set(
    "outrigger:policy",
    JSON.stringify({ apiVersion: "outrigger/v1", extensions: { geo: entry } }),
  );
  assert.match(await says(["list"]), /^geo {3}1\.2\.0 {4}yes/m);
  assert.match(await fails(1, ["remove", "geo@1.2.0"]), /stays: the policy in Redis pins it/);
  // Another version at once has a name of its own in the policy.
  const next = { ...entry, source: "file:/plugins", version: "0.0.1", replaces: "x" };
  const pinning = async (extensions: unknown): Promise<unknown> =>
    await redis.cli.set("outrigger:policy", JSON.stringify({ apiVersion: "outrigger/v1", extensions }));
  await pinning({ other: next });
  assert.match(await fails(1, ["remove", "geo@1.2.0"]), /pins it/);
  await pinning({ other: { ...next, replaces: "geo", version: "1.2.0", sha256: "0".repeat(64) } });
  assert.match(await fails(1, ["remove", "geo@1.2.0"]), /pins it/);
  await redis.cli.set("outrigger:policy", "{");
  assert.match(await fails(1, ["remove", "geo@1.2.0"]), /stays: the policy in Redis cannot be read/);
  await says(["remove", "geo@1.2.0", "--force"]);
});

test("search tells which sidecars have the contract, by their heartbeats", async () => {
  await says(["publish", file("geo.wasm", moduleOf())]);
  await says(["publish", file("next.wasm", moduleOf({ name: "geo-next", apiVersion: "^7.0.0" }))]);
  for (const [instance, contract] of [
    ["a", contractVersion],
    ["b", contractVersion],
    ["c", "7.1.0"],
    ["d", undefined],
  ]) {
    const [seconds] = await redis.cli.time();
    await redis.cli.zadd("outrigger:fleet:seen", String(Number(seconds) * 1000), "users");
    await redis.cli.zadd("outrigger:live:users", String(Number(seconds) * 1000), String(instance));
    await redis.cli.set(`outrigger:fleet:users:${instance}`, JSON.stringify({ contract }));
  }
  const found = await says(["search", "geo"]);
  assert.match(found, /^geo .*2 of 4 sidecars/m);
  assert.match(found, /^geo-next .*1 of 4 sidecars/m);
  assert.match(await fails(1, ["search", "nothing-of-the-kind"]), /^$/);
});

test("a module without a manifest is looked at, and signed and published under the name it will have", async () => {
  const filter = file("filter.wasm", emptyModule);
  assert.match(await says(["inspect", filter]), /manifest +none: the policy says what it would/);
  assert.match(await fails(1, ["publish", filter]), /carries no manifest/);
  assert.match(await fails(2, ["publish", filter, "--as", "filter"]), /is not NAME@VERSION/);
  await says(["publish", filter, "--as", "filter@2.0.0", "--key", ours.key]);
  await says(["inspect", "filter@2.0.0"], { OUTRIGGER_POLICY_KEYS: ours.keys });
});

test("nothing of a package moves the cursor or ends a line of Markdown", async () => {
  const description = "\u001b[2J\u009b31m\u202e | `x` <img src=x>\n# injected";
  const bytes = bundleOf({
    description,
    options: {
      type: "object",
      properties: {
        "a`|\u001b": { type: "string", description, default: "`|\n" },
        tiers: { type: "array", items: { type: "object", properties: { limit: { type: "integer" } } } },
      },
    },
    needs: { keys: ["k\u001b:"] },
  });
  const evil = file("evil.cjs", bytes);
  await says(["publish", evil]);
  for (const args of [
    ["inspect", evil],
    ["inspect", evil, "--json"],
    ["inspect", evil, "--docs"],
    ["search", "geo"],
    ["search", "geo", "--json"],
  ]) {
    const out = await says(args);
    assert.doesNotMatch(out.replaceAll("\n", ""), /[\p{Cc}\p{Cf}]/u, args.join(" "));
  }
  const docs = await says(["inspect", evil, "--docs"]);
  assert.doesNotMatch(docs, /^# injected/m);
  assert.match(docs, /\\<img src=x\\>/);
  assert.match(docs, /^\| `tiers\[\]\.limit` \| `integer` \|/m);
  await redis.cli.set("outrigger:plugin:\u001b[31m@1.0.0", "x");
  assert.doesNotMatch((await says(["list"])).replaceAll("\n", ""), /\p{Cc}/u);
});

test("wrong places, files that are none and hosts that are not named: one line, and no stack", async () => {
  for (const [code, args, message] of [
    [2, ["list", "--in", "ftp://x"], /"ftp:\/\/x" is no place/],
    [2, ["inspect", "geo"], /"geo" is not NAME@VERSION/],
    [1, ["inspect", "/nothing/there.wasm"], /does not exist/],
    [1, ["inspect", file("junk", "junk")], /neither a WebAssembly module nor a bundle/],
    [1, ["inspect", "geo@9.9.9"], /Redis has no "plugin:geo@9.9.9"/],
    [1, ["list", "--in", "https://evil.example/index.json"], /is none of OUTRIGGER_PLUGIN_HOSTS/],
    [2, ["publish", file("geo.wasm", moduleOf()), "--to", "https://x.example/"], /--to takes redis:/],
    [1, ["sign", path("geo.wasm"), "--key", "/nothing"], /cannot be read: ENOENT/],
    [
      2,
      ["sign", path("geo.wasm"), "--key", ours.key, "--expires", "soon"],
      /--expires takes a length of time/,
    ],
    [1, ["pack", "/nothing"], /cannot be read: ENOENT/],
  ] as const) {
    const stderr = await fails(code, args);
    assert.match(stderr, message);
    assert.equal(stderr.trim().split("\n").length, 1);
  }
  const { code, stderr } = await outrigger(["plugin", "list"]);
  assert.deepEqual(
    [code, stderr],
    [
      2,
      "REDIS_URL: is not set: packages that are named without a place are in Redis; set it as sidecars have it, such as redis://127.0.0.1:6379\n",
    ],
  );
});
