// Writes a cluster's report of pods that run without a sidecar in namespaces that ask for one.
import type { Script, Store } from "../plugin-api/store.ts";

export const unprotectedKey = "fleet:unprotected";
/** A report counts for this long; a new one comes every minute. */
export const reportExpiryMs = 300_000;
/** Most pods that a report names; the others are only counted. */
const maxReportedPods = 200;

export interface UnprotectedPod {
  readonly namespace: string;
  readonly pod: string;
  /** One sentence on the cause, as far as it is known. */
  readonly why: string;
}

const write: Script = {
  name: "fleet-unprotected",
  lua: `
local t = redis.call('TIME')
local at = string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000))
redis.call('HSET', KEYS[1], ARGV[1], at .. ' ' .. ARGV[2])
return redis.call('PEXPIRE', KEYS[1], ARGV[3])`,
};

/** @param region region of the cluster: several clusters may share a Redis */
export async function writeUnprotected(
  store: Store,
  region: string,
  pods: readonly UnprotectedPod[],
): Promise<void> {
  const report = JSON.stringify({ total: pods.length, pods: pods.slice(0, maxReportedPods) });
  await store.run(write, [unprotectedKey], [region, report, reportExpiryMs]);
}
