// File descriptors are divided so that clients never take those that the service and the admin listener need.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { divideDescriptors } from "../../../src/app/descriptors.ts";

const settings = { maxConnections: 10_000, upstreamConnections: 128, upstreamUpgrades: 512 };

test("where there are enough, the settings stay as they are", () => {
  const { config } = divideDescriptors(settings, 20_000, 30);
  assert.deepEqual(config, settings);
});

test("where there are few, a third goes to requests, a quarter to upgrades, and some are kept", () => {
  const { config, adminConnections } = divideDescriptors(settings, 64, 24);
  assert.deepEqual(config, { maxConnections: 10, upstreamConnections: 8, upstreamUpgrades: 6 });
  assert.equal(adminConnections, 8);
});

test("where there are none left, the start fails and says what to raise", () => {
  assert.throws(() => divideDescriptors(settings, 32, 24), /raise it \(ulimit -n, LimitNOFILE=\)/);
});

test("never more than there is, and never more than was set", () => {
  fc.assert(
    fc.property(fc.integer({ min: 40, max: 100_000 }), fc.integer({ min: 0, max: 25 }), (limit, open) => {
      const { config, adminConnections } = divideDescriptors(settings, limit, open);
      const { maxConnections, upstreamConnections, upstreamUpgrades } = config;
      const taken = maxConnections + upstreamConnections + upstreamUpgrades;
      assert.ok(open + taken + adminConnections < limit);
      assert.ok(upstreamUpgrades >= 0 && upstreamUpgrades <= settings.upstreamUpgrades);
      assert.ok(maxConnections >= 1 && maxConnections <= settings.maxConnections);
      assert.ok(upstreamConnections >= 1 && upstreamConnections <= settings.upstreamConnections);
    }),
  );
});
