// Reads the reports of pods without a sidecar, one for each region. Their writers are not trusted, so they are checked
// here.
import { z } from "zod";
import { reportExpiryMs, unprotectedKey, type UnprotectedPod } from "../fleet/unprotected.ts";
import { parseJson } from "../language/json.ts";
import { pairsOf } from "../plugin-api/pairs.ts";
import type { Script, Store } from "../plugin-api/store.ts";

export interface UnprotectedReport {
  readonly region: string;
  /** Milliseconds since the report was written. */
  readonly ageMs: number;
  /** Number of such pods; `pods` holds the first of them. */
  readonly total: number;
  readonly pods: readonly UnprotectedPod[];
}

const text = z.string().max(1_000);
const schema = z.object({
  total: z.int().min(0),
  pods: z.array(z.object({ namespace: text, pod: text, why: text })).max(1_000),
});
const bounds = { maxFields: 64, maxEntryBytes: 1_048_576, maxBytes: 4 * 1_048_576 };

/** Redis' time: reports are dated by this clock, too. */
const readTime: Script = {
  name: "fleet-time",
  lua: `
local t = redis.call('TIME')
return string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000))`,
};

export async function readUnprotected(store: Store): Promise<UnprotectedReport[]> {
  // The operator may not be allowed to read it, or it may be too large: the rest of the fleet is still shown.
  const flat = await store.readHash(unprotectedKey, bounds).catch(() => []);
  if (flat.length === 0) return [];
  const nowMs = Number(await store.run(readTime, [unprotectedKey], []));
  return pairsOf(flat).flatMap(([region, value]) => {
    const [, at = "", report = ""] = /^(\d{1,15}) ([^]*)$/.exec(value) ?? [];
    const ageMs = nowMs - Number(at);
    // A cluster that no longer reports stays in the hash while others report.
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
