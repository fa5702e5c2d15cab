// The audit trails of a sidecar with several workers: where each process writes, and that all are read as one.
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { createAudit } from "../../../src/app/audit.ts";
import { loadConfig } from "../../../src/app/environment.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { createTelemetry } from "../../../src/telemetry/process.ts";
import { auditPlace } from "../../support/audit.ts";
import { outrigger } from "../../support/process.ts";

test("several processes have a chain and a file each, which the commands read by the name of the setting", async () => {
  using place = auditPlace();
  const config = loadConfig({ ...place.env, OUTRIGGER_INSTANCE: "pod-1" });
  const processes = ["primary", "1", "12"].map((worker) => {
    const telemetry = createTelemetry({
      level: "silent",
      service: "s",
      instance: "i",
      worker,
      stream: new PassThrough(),
    });
    return createAudit(config, { telemetry, store: undefined, clock: systemClock, worker });
  });
  for (const audit of processes) audit.change("log-level", { level: "debug" });
  await Promise.all(processes.map((audit) => audit.close()));
  assert.deepEqual(readdirSync(place.folder).sort(), ["audit.jsonl", "audit.jsonl.w1", "audit.jsonl.w12"]);
  const verified = await outrigger(["audit", "verify", place.file, "--json"], place.env);
  assert.equal(verified.code, 0, verified.stderr);
  const { chains } = JSON.parse(verified.stdout) as { chains: { chain: string }[] };
  assert.deepEqual(chains.map(({ chain }) => chain).sort(), ["pod-1", "pod-1#1", "pod-1#12"]);
});
