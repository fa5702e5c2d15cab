// Metric names that external plugins may not use: they would look like the sidecar's own.
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { extensionName } from "../../../src/extensions/manifest.ts";
import { ownMetricLike, ownMetrics } from "../../../src/extensions/own-metrics.ts";

describe("the sidecar's own metrics", () => {
  it("are all that its source defines", () => {
    const found = globSync("src/**/*.ts")
      .filter((file) => !file.endsWith("own-metrics.ts"))
      .flatMap((file) => readFileSync(file, "utf8").match(/(?<=")outrigger_[a-z0-9_]*[a-z0-9](?=")/g) ?? []);
    assert.deepEqual(
      [...new Set(found)].toSorted(),
      ownMetrics,
      "list them in src/extensions/own-metrics.ts",
    );
  });

  it("are nothing that a plugin's name can stand for", () => {
    for (const name of ["plugin", "policy", "policy-layer", "requests", "redis", "log", "trace", "workers"])
      assert.notEqual(ownMetricLike(name), undefined, name);
    // As a histogram, it has a series `outrigger_request_duration_seconds_sum`.
    assert.equal(ownMetricLike("request-duration-seconds"), "outrigger_request_duration_seconds");
    for (const name of ["geo", "policy-check", "redis-lookup", "request-id", "plugins"])
      assert.ok(extensionName.safeParse(name).success, name);
    const { error } = extensionName.safeParse("policy");
    assert.match(String(error?.issues[0]?.message), /^is reserved: .* outrigger_policy_age_seconds$/);
  });
});
