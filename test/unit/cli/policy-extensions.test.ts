// Policies with extensions on the command line: apply pins them and reports the rights they ask for; they are compared
// with the packages.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { bundleExtension, pluginCode } from "../../support/extensions.ts";
import { outrigger } from "../../support/process.ts";
import { type RedisServer, startRedis } from "../../support/redis.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-cli-extensions-"));
after(() => rmSync(folder, { recursive: true }));

/** Puts a package into the folder. @returns its digest */
function publish(version: string, needs: object = {}, file = `geo@${version}.cjs`): string {
  const code = pluginCode(
    'setup() { return { onRequest() { return { action: "respond", status: 204 }; } }; }',
    { version },
  );
  const { bytes, sha256 } = bundleExtension({ code, manifest: { version, needs } }).package;
  writeFileSync(join(folder, file), bytes);
  return sha256;
}

const digests = {
  "1.2.0": publish("1.2.0", { hosts: ["geo.example:443"], readFields: ["host"], writeFields: ["x-geo"] }),
  "1.3.0": publish("1.3.0", {
    hosts: ["geo.example:443", "stats.example:443"],
    secrets: ["GEO_KEY"],
    readFields: ["*"],
    writeFields: ["x-geo"],
    memoryMiB: 64,
  }),
};

const geo = { source: `file:${folder}`, runtime: "trusted" } as const;

let count = 0;
function policyFile(entry: object, more: object = {}, ending = "json"): string {
  const path = join(folder, `policy-${(count += 1)}.${ending}`);
  const document = { apiVersion: "outrigger/v1", extensions: { geo: entry }, plugins: ["geo"], ...more };
  writeFileSync(path, ending === "json" ? JSON.stringify(document) : `# mine\n${JSON.stringify(document)}\n`);
  return path;
}

interface Document {
  readonly plugins: unknown;
  readonly extensions: { readonly geo: Readonly<Record<string, unknown>> };
}

describe("with Redis", () => {
  let redis: RedisServer;
  const run = (...args: string[]) => outrigger(args, { REDIS_URL: redis.url, OUTRIGGER_AUTHOR: "ada" });
  const held = async (): Promise<Document> =>
    JSON.parse((await redis.cli.get("outrigger:policy")) ?? "null") as Document;
  before(async () => (redis = await startRedis()));
  after(() => redis.close());

  test("apply writes out the version and digest, and says what is asked for, beyond the version before", async () => {
    const dry = await run("policy", "apply", policyFile({ ...geo, version: "~1.2.0" }), "--dry-run");
    assert.equal(dry.code, 0, dry.stderr);
    assert.equal(await redis.cli.get("outrigger:policy"), null);
    const first = await run("policy", "apply", policyFile({ ...geo, version: "~1.2.0" }, {}, "yaml"));
    assert.equal(first.code, 0, first.stderr);
    const said = [
      `extensions.geo: version 1.2.0 for ~1.2.0, sha256 ${digests["1.2.0"]}`,
      "geo 1.2.0 asks for: host geo.example:443, reads the header field host, writes the header field x-geo, memory 32 MiB",
    ].join("\n");
    for (const { stderr } of [dry, first]) assert.ok(stderr.includes(said), stderr);
    const { geo: pinned } = (await held()).extensions;
    assert.deepEqual([pinned["version"], pinned["sha256"]], ["1.2.0", digests["1.2.0"]]);

    const next = policyFile({ ...geo, version: "^1.2.0" });
    const { stdout: diff } = await run("policy", "diff", next);
    const more =
      "geo 1.3.0 asks for more than 1.2.0: secret GEO_KEY, host stats.example:443, reads all header fields, memory 64 MiB";
    assert.ok(diff.includes(more), diff);
    assert.ok(diff.includes('~ extensions.geo.version: "1.2.0" -> "1.3.0"'), diff);
    const { stdout } = await run("policy", "apply", next, "--json");
    const { extensions } = JSON.parse(stdout) as { extensions: unknown };
    assert.deepEqual(extensions, [
      {
        name: "geo",
        version: "1.3.0",
        sha256: digests["1.3.0"],
        filledInFor: "^1.2.0",
        before: "1.2.0",
        asksFor: ["secret GEO_KEY", "host stats.example:443", "reads all header fields", "memory 64 MiB"],
      },
    ]);
    // The same file, and nothing new: nothing is asked for.
    const again = await run("policy", "apply", next, "--json");
    assert.deepEqual(
      (JSON.parse(again.stdout) as { unchanged: boolean; extensions: { asksFor: string[] }[] }).extensions[0]
        ?.asksFor,
      [],
    );
    const shown = await run("policy", "show", "--effective", "--json");
    assert.match(shown.stdout, new RegExp(digests["1.3.0"]));
  });

  test("apply keeps a digest that is written, and refuses what its package is not", async () => {
    const pinned = policyFile({ ...geo, version: "1.2.0", sha256: digests["1.2.0"] });
    const { code, stderr } = await run("policy", "apply", pinned);
    assert.equal(code, 0, stderr);
    assert.equal((await held()).extensions.geo["sha256"], digests["1.2.0"]);
    const wrong = await run("policy", "apply", policyFile({ ...geo, version: "^7.0.0" }));
    assert.deepEqual([wrong.code, wrong.stdout], [1, ""]);
    assert.match(
      wrong.stderr,
      /policy-\d+\.json, line 1, column \d+: extensions\.geo\.source: .*no version within "\^7\.0\.0"/,
    );
    const other = await run(
      "policy",
      "apply",
      policyFile({ ...geo, version: "1.3.0", sha256: digests["1.2.0"] }),
    );
    assert.match(other.stderr, /extensions\.geo\.source: .* is not what the policy pins/);
    assert.equal((await held()).extensions.geo["sha256"], digests["1.2.0"]);
  });

  test("another version beside one is measured by that", async () => {
    const entries = {
      geo: { ...geo, version: "1.2.0" },
      next: { ...geo, version: "1.3.0", replaces: "geo" },
    };
    const source = `file:${join(folder, "geo@1.3.0.cjs")}`;
    const file = policyFile(geo, { extensions: { ...entries, next: { ...entries.next, source } } });
    const { stdout, stderr } = await run("policy", "diff", file);
    assert.match(stdout, /^next 1\.3\.0 asks for more than 1\.2\.0: secret GEO_KEY,/m, stderr);
  });

  test("apply says when nobody knows what the package there asks for", async () => {
    const gone = publish("1.1.0", {}, "gone.cjs");
    const source = `file:${join(folder, "gone.cjs")}`;
    assert.equal((await run("policy", "apply", policyFile({ ...geo, source, sha256: gone }))).code, 0);
    rmSync(join(folder, "gone.cjs"));
    const { code, stderr } = await run("policy", "apply", policyFile({ ...geo, version: "1.2.0" }));
    assert.equal(code, 0, stderr);
    assert.match(stderr, /geo: what the package there asks for is not known: .*gone\.cjs" does not exist/);
  });

  test("a signed policy needs its digests before: sign and apply --key fill them in", async () => {
    const key = join(folder, "key.json");
    assert.equal((await run("policy", "keygen", key)).code, 0);
    const { stdout: jws, stderr, code } = await outrigger(["policy", "sign", policyFile(geo), "--key", key]);
    assert.equal(code, 0, stderr);
    const payload = Buffer.from(jws.split(".")[1] ?? "", "base64url").toString();
    assert.equal((JSON.parse(payload) as Document).extensions.geo["sha256"], digests["1.3.0"]);
    assert.match(stderr, /extensions\.geo: version 1\.3\.0, sha256/);
    const layer = join(folder, "layer.json");
    writeFileSync(layer, JSON.stringify({ apiVersion: "outrigger/v1", plugins: ["geo"] }));
    const sign = (...over: string[]) =>
      outrigger(["policy", "sign", layer, "--key", key, "--service", "orders", ...over]);
    const over = policyFile({ ...geo, version: "1.2.0", sha256: digests["1.2.0"] });
    const signed = await sign("--over", over);
    assert.equal(signed.code, 0, signed.stderr);
    assert.match((await sign()).stderr, /plugins\[0\]: unknown plugin "geo"/);
    writeFileSync(layer, JSON.stringify({ apiVersion: "outrigger/v1", plugins: ["gio"] }));
    assert.match((await sign("--over", over)).stderr, /unknown plugin "gio", did you mean "geo"/);
  });

  test("apply refuses an unsigned policy that gives rights to what lies in Redis", async () => {
    const { code } = await run("plugin", "publish", join(folder, "geo@1.3.0.cjs"));
    assert.equal(code, 0);
    const held = await redis.cli.get("outrigger:policy");
    for (const [runtime, said] of [
      ["trusted", /extensions\.geo\.runtime: "trusted" is code with all rights/],
      ["process", /line \d+, column \d+: extensions\.geo: it asks for secrets \(GEO_KEY\)/],
    ] as const) {
      const file = policyFile({ source: "redis:plugin:geo", runtime });
      const { code: exit, stderr } = await run("policy", "apply", file);
      assert.equal(exit, 1);
      assert.match(stderr, said);
    }
    assert.equal(await redis.cli.get("outrigger:policy"), held);
  });

  test("check says where a policy gives rights that its sidecars do not let it give", async () => {
    const pinned = { ...geo, version: "1.2.0", sha256: digests["1.2.0"] };
    const trusted = { ...pinned, source: "redis:plugin:geo", runtime: "trusted" };
    await redis.cli.set("outrigger:plugin:geo@1.2.0", readFileSync(join(folder, "geo@1.2.0.cjs")));
    const policy = { apiVersion: "outrigger/v1", extensions: { geo: trusted }, plugins: ["geo"] };
    await redis.cli.set("outrigger:policy", JSON.stringify(policy));
    assert.match(
      (await run("check", "--json")).stdout,
      /extensions\.geo\.runtime: .*all rights of the sidecar/,
    );
  });
});

test("validate, lint and test take a policy that is not pinned yet, and lint says so", async () => {
  const tests = [{ name: "answers", request: { path: "/" }, expect: { status: 204, plugin: "geo" } }];
  const file = policyFile(geo, { tests });
  const valid = await outrigger(["policy", "validate", file]);
  assert.equal(valid.code, 0, valid.stderr);
  assert.match(
    valid.stdout,
    new RegExp(`extensions\\.geo is not pinned: version 1\\.3\\.0, sha256 ${digests["1.3.0"]}`),
  );
  const { stdout: found } = await outrigger(["policy", "lint", file]);
  assert.match(
    found,
    /extensions\.geo\.runtime: "geo" runs in the sidecar's own process.*\[trusted-extension\]/,
  );
  assert.match(found, /extensions\.geo: "geo" has no sha256.*\[unpinned-extension\]/);
  assert.match(found, /extensions\.geo\.source: nobody signs which code "geo" is.*\[unsigned-extension\]/);
  const passed = await outrigger(["policy", "test", file]);
  assert.deepEqual([passed.code, passed.stdout], [0, `${file}: 1 of 1 tests passed\n`], passed.stderr);
  const many = Array.from({ length: 20 }, (_, at) => ({ ...tests[0], name: `answers ${at}` }));
  const child = { ...geo, runtime: "process", limits: { timeMs: 2_000 } };
  const inOne = await outrigger(["policy", "test", policyFile(child, { tests: many })]);
  assert.match(inOne.stdout, /20 of 20 tests passed/, inOne.stderr);
  const failing = policyFile(geo, { tests: [{ ...tests[0], expect: { status: 200 } }] });
  assert.match((await outrigger(["policy", "test", failing])).stderr, /test "answers": .*204/);
  const gone = await outrigger(["policy", "validate", policyFile({ ...geo, source: `file:${folder}/gone` })]);
  assert.equal(gone.code, 1);
  assert.match(gone.stderr, /line 1, column \d+: extensions\.geo\.source: .*gone" does not exist/);
});

test("check judges a policy with extensions as a sidecar would: without digest it is refused", async () => {
  const checked = (file: string) => outrigger(["check", "--json"], { OUTRIGGER_POLICY_FILE: file });
  const { stdout } = await checked(policyFile({ ...geo, version: "1.2.0", sha256: digests["1.2.0"] }));
  assert.match(stdout, /is valid, 1 route/);
  assert.match((await checked(policyFile(geo))).stdout, /is refused: .*extensions\.geo\.sha256: is missing/);
});
