import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Changes } from "../../../src/policy-replay/changes.ts";
import { KeptRequests } from "../../../src/policy-replay/kept-requests.ts";
import { Lacking } from "../../../src/policy-replay/lacking.ts";
import type { RecordedRequest } from "../../../src/policy-replay/recorded-request.ts";

function request(atMs: number, more: Partial<RecordedRequest> = {}): RecordedRequest {
  return {
    id: `r${atMs}`,
    service: "orders",
    atMs,
    method: "GET",
    path: `/ä/${atMs}`,
    query: undefined,
    host: "a.test",
    client: "192.0.2.1",
    userId: undefined,
    credentialId: "k\ud800",
    fields: new Map([["accept", `${"x".repeat(300)}\n`]]),
    hasBody: false,
    decision: { route: "/api/*", by: null, status: 200 },
    ...more,
  };
}

/** A member that is undefined may as well not be there. */
const withoutAbsent = (each: RecordedRequest) =>
  Object.fromEntries(Object.entries(each).filter(([, value]) => value !== undefined));

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/** Bytes that are held once all garbage is collected. */
function memory(): number {
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

test("requests come in the order in which they were made, whole, and are kept in no memory", () => {
  const kept = new KeptRequests();
  const count = 30_000;
  // Backwards in pairs of one time, and every hundredth far from where it belongs.
  const times = Array.from(
    { length: count },
    (_, i) => (i % 100 === 0 ? i : Math.floor((count - i) / 2)) + 0.5,
  );
  const before = memory();
  for (const at of times) kept.add(request(at));
  const grown = memory() - before;
  // Half a kilobyte each: 15 MB of them.
  assert.ok(grown < 8_000_000, `${grown} bytes`);
  assert.equal(kept.count, count);
  const expected = times.map((at, i) => [at, i] as const).toSorted(([a, i], [b, j]) => a - b || i - j);
  let place = 0;
  for (const each of kept.inOrder()) {
    const [at] = expected[place] as readonly [number, number];
    if (each.atMs !== at || place % 997 === 0)
      assert.deepEqual(withoutAbsent(each), withoutAbsent(request(at)));
    place += 1;
  }
  assert.equal(place, count);
  assert.ok(!readdirSync(tmpdir()).some((name) => name.startsWith("outrigger-replay-") && name.length > 40));
  kept.close();
});

test("few are kept without a file", () => {
  const kept = new KeptRequests();
  kept.add(request(2));
  kept.add(request(1, { query: "?a", fields: new Map() }));
  const expected = [request(1, { query: "?a", fields: new Map() }), request(2)];
  assert.deepEqual([...kept.inOrder()].map(withoutAbsent), expected.map(withoutAbsent));
  kept.close();
});

test("whatever lines say, only so many kinds of changes and callers are told", () => {
  const changes = new Changes();
  const becomes = {
    decision: { route: "/api/*", by: "auth", status: 401 },
    byCircumstance: false,
    lacking: new Lacking(),
  };
  for (let i = 0; i < 60_000; i += 1)
    changes.add(
      request(i, { client: `c${i}`, decision: { route: `/${i % 6_000}`, by: null, status: 200 } }),
      becomes,
    );
  const { told, further } = changes;
  assert.deepEqual([told.length, further], [5_000, 10_000]);
  assert.ok(told.reduce((sum, { callers }) => sum + callers.size, 0) <= 55_000);
});
