// Plugin options that many routes take from one place.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseOptions } from "../../../src/runtime/shared-options.ts";
import { logging } from "../../../plugins/logging/index.ts";

test("routes that have options from one place, or none at all, share one object of them", () => {
  const written = { level: "warn" };
  const first = parseOptions(logging, written, written);
  assert.equal(parseOptions(logging, written, written), first);
  assert.notEqual(parseOptions(logging, { level: "warn" }, written), first, "written elsewhere");
  const none = parseOptions(logging, undefined, {});
  assert.equal(parseOptions(logging, undefined, {}), none);
  assert.deepEqual(none, logging.options.parse({}));
  assert.notDeepEqual(none, first);
});

test("no plugin changes them for other routes", () => {
  const written = { redact: ["path"], headers: ["accept"] };
  const options = parseOptions(logging, written, written) as { level: string; redact: string[] };
  assert.throws(() => (options.level = "silent"), TypeError);
  assert.throws(() => options.redact.pop(), TypeError);
  assert.deepEqual(written.redact.pop(), "path", "the policy itself is as it was");
  const none = parseOptions(logging, undefined, {}) as { headers: string[] };
  assert.throws(() => none.headers.push("cookie"), TypeError);
});
