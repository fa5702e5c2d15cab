// The order of a canary: the candidate, the services and steps, and the guards. It is one key in Redis: a line of JSON,
// then the document as it would be under `policy`. Sidecars read it and never write it.
import { z } from "zod";
import { parseJson } from "../language/json.ts";
import type { Store } from "../plugin-api/store.ts";
import { digestOf } from "../policy/document/digest.ts";
import { keyBeside, type Spread } from "../policy/sources/document-keys.ts";
import { guardSchema, maxGuards } from "./guard.ts";

export const canaryKey = "canary";
/** The key of the order's state. Sidecars write it only through one script: report-script.ts. */
export const canaryStateKey = (spread: Spread): string => keyBeside("canary-state", canaryKey, spread);

/** Size limit of the line of JSON. */
const maxOrderBytes = 16_384;
export const maxSteps = 10;

/** Milliseconds: interval of reports, duration of each step, silence after which a sidecar counts as lost. */
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
  /** The service whose layer the candidate is; null = it is the shared policy. */
  service: z.string().max(200).nullable(),
  /** Services that try the candidate; null = all. */
  services: z.array(z.string().max(200)).max(200).nullable(),
  /** The revision that the candidate gets if nobody changes the document meanwhile. */
  revision: z.int().min(1),
  /** Digests of the current document and of the candidate, as in the history: SHA-256, hex. */
  baseDigest: z.string().max(64),
  digest: z.string().max(64),
  /** Epoch of the candidate's signature; 0 = none. */
  signedEpoch: z.int().min(0),
  author: z.string().max(200),
  reason: z.string().max(1_000),
  /**
   * `instances`: some sidecars use the candidate. `traffic`: each sidecar uses it for some of its callers. `shadow`: it
   * decides about some requests beside the policy in force, without effect.
   */
  by: z.enum(["instances", "traffic", "shadow"]),
  /** Percent, in rising order; a shadow run has one step. */
  steps: z.array(z.number().gt(0).max(100)).min(1).max(maxSteps),
  guards: z.array(guardSchema).max(maxGuards),
  /** Fewest requests by which a candidate is judged. */
  minRequests: z.int().min(1).max(1_000_000),
  ...pace,
  atMs: z.int().min(0),
});
export type CanaryOrder = z.output<typeof canaryOrder>;

export function orderText(order: CanaryOrder, document: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`${JSON.stringify(order)}\n`), document]);
}

/** @param bytes value of the key, or its beginning. @returns undefined for a text that is not an order */
function parseOrder(bytes: Buffer): CanaryOrder | undefined {
  const end = bytes.indexOf("\n");
  if (end === -1 || end > maxOrderBytes) return undefined;
  try {
    return canaryOrder.safeParse(parseJson(bytes.toString("utf8", 0, end))).data;
  } catch {
    return undefined;
  }
}

/** @returns null = there is no order, or no valid one. Rejects with StoreUnavailable */
export async function readOrder(store: Store, limitMs: number): Promise<CanaryOrder | null> {
  const bytes = await store.getBytes(canaryKey, limitMs, maxOrderBytes);
  return (bytes && parseOrder(bytes)) ?? null;
}

/** @returns the order's candidate; null = the key holds another one by now. Rejects with StoreUnavailable */
export async function readCandidate(
  store: Store,
  { id, digest }: CanaryOrder,
  maxBytes: number,
  limitMs: number,
): Promise<Buffer | null> {
  // A signed document is longer than its payload.
  const bytes = await store.getBytes(canaryKey, limitMs, maxOrderBytes + 2 * maxBytes);
  if (bytes === null || parseOrder(bytes)?.id !== id) return null;
  const document = bytes.subarray(bytes.indexOf("\n") + 1);
  return digestOf(document) === digest ? document : null;
}

/** Whether sidecars of this service try the candidate, or are compared with those that do. */
export function concerns({ service, services }: CanaryOrder, own: string): boolean {
  return service === null ? (services?.includes(own) ?? true) : service === own;
}
