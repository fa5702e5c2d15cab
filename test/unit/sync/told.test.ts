// What a sync reports about other writers.
import assert from "node:assert/strict";
import { it } from "node:test";
import { ToldOutcomes } from "../../../src/sync/told.ts";
import { createLogging } from "../../../src/telemetry/logger.ts";

it("tells an outage of Redis from another sync that writes, and keeps what it counted in the first", () => {
  const lines: string[] = [];
  const { logger } = createLogging({
    level: "info",
    format: "json",
    service: "sync",
    instance: "a",
    output: { write: (text) => void lines.push(text), flush: () => Promise.resolve(true) },
  });
  const told = new ToldOutcomes(logger);
  const bytes = new Uint8Array();
  const declared = { origin: "policy.yaml", service: undefined, bytes, format: "yaml", reason: "" } as const;
  const facts = { message: "Redis: out of reach", problems: [], revision: null, digest: null };
  told.take([{ declared: { ...declared, whenGone: "keep" }, state: "waiting", ...facts }], undefined, true);
  told.takeLeading(false, undefined);
  assert.match(lines.at(-1) ?? "", /"msg":"Redis does not answer: nothing is written until it does"/);
  assert.equal(told.last.length, 1);
  told.takeLeading(false, "pod-2");
  assert.match(lines.at(-1) ?? "", /"leader":"pod-2","msg":"another sync writes: this one stands by"/);
  assert.equal(told.last.length, 0);
});
