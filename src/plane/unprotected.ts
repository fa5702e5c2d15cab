// The reports of pods without a sidecar, one a region, read back. Who may write them may write anything: checked here.
import { z } from "zod";
import { reportExpiryMs, unprotectedKey, type UnprotectedPod } from "../fleet/unprotected.ts";
import { parseJson } from "../language/json.ts";
import { pairsOf } from "../plugin-api/pairs.ts";
import type { Script, Store } from "../plugin-api/store.ts";

export interface UnprotectedReport {
  readonly region: string;
  /** Since it was written. */
  readonly ageMs: number;
  /** Of which `pods` are the first. */
  readonly total: number;
  readonly pods: readonly UnprotectedPod[];
}

const text = z.string().max(1_000);
const schema = z.object({
  total: z.int().min(0),
  pods: z.array(z.object({ namespace: text, pod: text, why: text })).max(1_000),
});
const bounds = { maxFields: 64, maxEntryBytes: 1_048_576, maxBytes: 4 * 1_048_576 };

/** A report's own time is by this clock, too. */
const readTime: Script = {
  name: "fleet-time",
  lua: `
local t = redis.call('TIME')
return string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000))`,
};

export async function readUnprotected(store: Store): Promise<UnprotectedReport[]> {
  // Of an operator who may not read it, or one that somebody blew up: the rest of the fleet is shown all the same.
  const flat = await store.readHash(unprotectedKey, bounds).catch(() => []);
  if (flat.length === 0) return [];
  const nowMs = Number(await store.run(readTime, [unprotectedKey], []));
  return pairsOf(flat).flatMap(([region, value]) => {
    const [, at = "", report = ""] = /^(\d{1,15}) ([^]*)$/.exec(value) ?? [];
    const ageMs = nowMs - Number(at);
    // Those of a cluster that reports no more stay in the hash as long as others report.
    if (at === "" || ageMs > reportExpiryMs) return [];
    const found = parsed(report);
    return found === undefined ? [] : [{ region, ageMs, ...found }];
  });
}

function parsed(report: string): z.output<typeof schema> | undefined {
  try {
    return schema.safeParse(parseJson(report)).data;
  } catch {
    return undefined;
  }
}
