// What a plugin process does before its first request: it runs the path from a message to a hook and back, over and
// over.
import assert from "node:assert/strict";
import { it } from "node:test";
import { GatewayError } from "outrigger/plugin";
import { rehearse } from "../../../../src/runtime/process/child/rehearsal.ts";

it("answers hooks of all kinds, though the plugin has none yet", async () => {
  const fleet = { service: "orders", instance: "1", region: null, size: 1, workers: 1 };
  const facts = {
    name: "geo",
    version: "1.0.0",
    hooks: [],
    secrets: {},
    secretNames: [],
    hasStore: false,
    fleet,
  };
  assert.equal(await rehearse(GatewayError, { services: {} as never, facts }), 90);
});
