// The counters of one route.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createRequestCounters } from "../../../src/routing/request-counters.ts";
import { RouteCounts } from "../../../src/routing/route-counts.ts";
import { createMetrics } from "../../../src/telemetry/metrics.ts";
import { outcomeOf } from "../../support/exchange.ts";

test("every request counts for its own method and status, in whatever order they come", async () => {
  const metrics = createMetrics({ service: "users" });
  const counts = new RouteCounts("/a/*", createRequestCounters(metrics));
  const requests = ["GET 200", "GET 200", "GET 404", "GET 200", "PUT 200", "PUT 404", "PUT 404", "GET 404"];
  for (const request of requests) {
    const [method = "", status] = request.split(" ");
    counts.count(method, outcomeOf({ status: Number(status) }), undefined);
  }
  const text = await metrics.render();
  const shown = [...text.matchAll(/^outrigger_requests_total\{(.*)\} (\d+)$/gm)].map(
    ([, labels = "", count]) =>
      `${/method="(\w+)"/.exec(labels)?.[1]} ${/status="(\d+)"/.exec(labels)?.[1]} ${count}`,
  );
  assert.deepEqual(shown.toSorted(), ["GET 200 3", "GET 404 2", "PUT 200 1", "PUT 404 2"]);
  assert.match(text, /outrigger_request_duration_seconds_count\{service="users",route="\/a\/\*"\} 8/);
});
