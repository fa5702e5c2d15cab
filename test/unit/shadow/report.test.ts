import assert from "node:assert/strict";
import { test } from "node:test";
import { ShadowCounts, shadowReport } from "../../../src/shadow/report.ts";

test("what is told can be read, however long the names are", () => {
  const long = "x".repeat(3_000);
  const decision = { route: long, by: long, status: 200 };
  const counts = new ShadowCounts();
  counts.add(
    { route: long, plugin: long, kind: "route", about: [long] },
    { requestId: "1", method: long, caller: "", was: decision, becomes: decision },
  );
  const report = counts.read();
  assert.equal(shadowReport.safeParse(report).success, true);
  const [row] = report.rows;
  assert.equal(row?.samples[0]?.about[0], long.slice(0, 200));
});
