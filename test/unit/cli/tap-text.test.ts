import assert from "node:assert/strict";
import { test } from "node:test";
import { tapText } from "../../../src/cli/tap-text.ts";

test("a duration is shown to the microsecond", () => {
  const [line] = tapText({
    at: "now",
    request: { method: "GET", path: "/a", query: "", host: "h" },
    response: {},
    outcome: { status: 200, durationMs: 13.837763999996241, end: "complete" },
  });
  assert.equal(line, "now 200 GET /a of h, 13.838 ms");
});
