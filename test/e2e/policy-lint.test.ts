// Lint when a policy is written to Redis: `policy apply` warns, and with --strict changes nothing.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { outrigger } from "../support/process.ts";
import { type RedisServer, startRedis } from "../support/redis.ts";

describe("policy apply", () => {
  let redis: RedisServer;
  const folder = mkdtempSync(join(tmpdir(), "outrigger-apply-lint-"));
  const run = (...args: string[]) => outrigger(args, { REDIS_URL: redis.url });
  const file = (name: string, text: string): string => {
    const path = join(folder, name);
    writeFileSync(path, `apiVersion: outrigger/v1\n${text}`);
    return path;
  };
  const open = file("open.yaml", "plugins: [logging]\n");
  const quiet = file(
    "quiet.yaml",
    "plugins: [auth]\nroutes: [{ path: /* }]\nlint: { allow: [{ code: unlimited-route, reason: few callers }] }\n",
  );

  before(async () => {
    redis = await startRedis();
  });
  after(async () => {
    await redis.close();
    rmSync(folder, { recursive: true });
  });

  test("--strict changes nothing where lint finds something, and says what", async () => {
    const before = await redis.cli.get("outrigger:policy");
    const { code, stdout, stderr } = await run("policy", "apply", open, "--strict");
    assert.deepEqual([code, stdout], [1, ""]);
    assert.match(stderr, /open\.yaml, line 2, column 1: warning: plugins: .* \[unauthenticated-route\]$/m);
    assert.match(stderr, /^nothing is changed: --strict takes no policy with warnings$/m);
    assert.equal(await redis.cli.get("outrigger:policy"), before);
  });

  test("without it the policy is applied with warnings, on stderr or in the JSON", async () => {
    const { code, stderr } = await run("policy", "apply", open);
    assert.equal(code, 0);
    assert.match(stderr, /\[unlimited-route\]$/m);
    const told = JSON.parse((await run("policy", "apply", open, "--json", "--dry-run")).stdout) as {
      warnings: { code: string }[];
    };
    assert.deepEqual(
      told.warnings.map((each) => each.code),
      ["unauthenticated-route", "unlimited-route"],
    );
  });

  test("what the document allows is no warning, and goes into Redis with it", async () => {
    const { code, stderr } = await run("policy", "apply", quiet, "--strict");
    assert.deepEqual([code, stderr], [0, ""]);
    const stored = JSON.parse((await redis.cli.get("outrigger:policy")) ?? "") as { lint: unknown };
    assert.deepEqual(stored.lint, { allow: [{ code: "unlimited-route", reason: "few callers" }] });
  });

  test("a layer is linted over the shared policy that Redis has", async () => {
    assert.equal((await run("policy", "apply", quiet)).code, 0);
    const layer = file("layer.yaml", "routes: [{ path: /mine, plugins: [logging] }]\n");
    const { code, stderr } = await run("policy", "apply", layer, "--service", "orders", "--strict");
    assert.equal(code, 1);
    assert.match(stderr, /layer\.yaml, line 2, column \d+: warning: routes\[0\]\.plugins: answers callers/);
  });
});
