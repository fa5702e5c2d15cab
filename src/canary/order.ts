// A canary as an operator orders it: which candidate, for whom, in which steps, guarded by what. It lies in Redis under
// one key: a line of JSON, then the document, as it would lie under `policy`. Sidecars read it and never write it.
import { z } from "zod";
import { parseJson } from "../language/json.ts";
import type { Store } from "../plugin-api/store.ts";
import { digestOf } from "../policy/document/digest.ts";
import { keyBeside, type Spread } from "../policy/sources/document-keys.ts";
import { guardSchema, maxGuards } from "./guard.ts";

export const canaryKey = "canary";
/** What became of the order, by one script alone: report-script.ts. */
export const canaryStateKey = (spread: Spread): string => keyBeside("canary-state", canaryKey, spread);

/** Of the line of JSON. */
const maxOrderBytes = 16_384;
export const maxSteps = 10;

/** How often sidecars report, how long each step is watched, when a sidecar counts as silent. */
const pace = {
  everyMs: z.int().min(50).max(60_000),
  forMs: z
    .int()
    .min(100)
    .max(7 * 86_400_000),
  silentMs: z.int().min(200).max(600_000),
};

export const canaryOrder = z.strictObject({
  id: z.string().regex(/^[0-9a-f-]{8,64}$/),
  /** Whose layer the candidate is; null = it is the shared policy. */
  service: z.string().max(200).nullable(),
  /** Services that try it; null = all. */
  services: z.array(z.string().max(200)).max(200).nullable(),
  /** The revision that it becomes when nobody changes the document meanwhile. */
  revision: z.int().min(1),
  /** Of the document that it stands beside, and of its own, as the history has them: SHA-256, hex. */
  baseDigest: z.string().max(64),
  digest: z.string().max(64),
  /** Of its signature; 0 = none. */
  signedEpoch: z.int().min(0),
  author: z.string().max(200),
  reason: z.string().max(1_000),
  /**
   * Whether a part of the sidecars takes it, or each sidecar for a part of its callers; or nobody, and it decides beside
   * the policy in force, about a part of the requests, without effect.
   */
  by: z.enum(["instances", "traffic", "shadow"]),
  /** Percent, rising; of a shadow one. */
  steps: z.array(z.number().gt(0).max(100)).min(1).max(maxSteps),
  guards: z.array(guardSchema).max(maxGuards),
  /** Requests of candidates below which nobody can judge. */
  minRequests: z.int().min(1).max(1_000_000),
  ...pace,
  atMs: z.int().min(0),
});
export type CanaryOrder = z.output<typeof canaryOrder>;

export function orderText(order: CanaryOrder, document: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`${JSON.stringify(order)}\n`), document]);
}

/** @param bytes of the key, or its beginning. @returns undefined for what is no order */
function parseOrder(bytes: Buffer): CanaryOrder | undefined {
  const end = bytes.indexOf("\n");
  if (end === -1 || end > maxOrderBytes) return undefined;
  try {
    return canaryOrder.safeParse(parseJson(bytes.toString("utf8", 0, end))).data;
  } catch {
    return undefined;
  }
}

/** @returns null = there is none, or nothing that is one. Rejects with StoreUnavailable */
export async function readOrder(store: Store, limitMs: number): Promise<CanaryOrder | null> {
  const bytes = await store.getBytes(canaryKey, limitMs, maxOrderBytes);
  return (bytes && parseOrder(bytes)) ?? null;
}

/** @returns the candidate of that order; null = another one is there by now. Rejects with StoreUnavailable */
export async function readCandidate(
  store: Store,
  { id, digest }: CanaryOrder,
  maxBytes: number,
  limitMs: number,
): Promise<Buffer | null> {
  // A signature's form is longer than what it holds.
  const bytes = await store.getBytes(canaryKey, limitMs, maxOrderBytes + 2 * maxBytes);
  if (bytes === null || parseOrder(bytes)?.id !== id) return null;
  const document = bytes.subarray(bytes.indexOf("\n") + 1);
  return digestOf(document) === digest ? document : null;
}

/** Whether sidecars of that service try it or are compared with those that do. */
export function concerns({ service, services }: CanaryOrder, own: string): boolean {
  return service === null ? (services?.includes(own) ?? true) : service === own;
}
