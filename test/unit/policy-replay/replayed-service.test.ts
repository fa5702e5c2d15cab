// Runs recorded requests one after the other through a policy that is set up once.
import assert from "node:assert/strict";
import { test } from "node:test";
import { benchOptions } from "../../../src/app/bench-options.ts";
import { loadConfig } from "../../../src/app/environment.ts";
import { pluginsByName, registry } from "../../../src/app/registry.ts";
import { recordedRequest, type RecordedRequest } from "../../../src/policy-replay/recorded-request.ts";
import { ReplayedService } from "../../../src/policy-replay/replayed-service.ts";
import { standInSecrets } from "../../../src/policy-tests/stand-in-secrets.ts";
import { createPolicyReader } from "../../../src/policy/read.ts";
import { systemClock } from "../../../src/runtime/clock.ts";

function recorded(status: number): RecordedRequest {
  const found = recordedRequest({
    msg: "request",
    time: 1_000,
    durationMs: 5,
    service: "orders",
    route: "/*",
    method: "GET",
    path: "/a",
    host: "a.test",
    clientIp: "192.0.2.7",
    status,
  });
  if (typeof found === "string") assert.fail(found);
  return found;
}

test("the service answers each as it did", async () => {
  const read = await createPolicyReader({
    plugins: pluginsByName,
    service: "orders",
    upstreamAllow: [],
    keys: undefined,
  });
  const shared = Buffer.from('{"apiVersion":"outrigger/v1","plugins":["logging"]}');
  const policy = await read({ shared, layer: undefined, format: "json" });
  const options = benchOptions(loadConfig({}), registry, systemClock, standInSecrets({}, registry));
  const service = await ReplayedService.of(policy, options);
  try {
    for (const status of [200, 204, 304, 404, 500]) {
      const { decision, byCircumstance } = await service.decide(recorded(status));
      assert.deepEqual([decision, byCircumstance], [{ route: "/*", by: null, status }, false]);
    }
  } finally {
    await service.close();
  }
});
