// Reads a document that is tried in place of one in force, together with the other documents as they are.
import type { EffectivePolicy, RawPolicy } from "./read.ts";

/** Which of the two documents in force the tried one replaces. */
export type DocumentPlace = "shared" | "layer";

export interface BesidePolicy {
  readonly policy: EffectivePolicy;
  readonly raw: RawPolicy;
}

/**
 * @param inForce the documents in force. A candidate of the shared policy is read as that policy would be: the layer
 * stands
 */
export function rawBeside(
  inForce: RawPolicy,
  keySets: readonly Uint8Array[],
  place: DocumentPlace,
  document: Uint8Array,
): RawPolicy {
  const { shared, layer, format } = inForce;
  return place === "shared"
    ? { shared: document, layer, format, standing: true, keySets }
    : { shared, layer: document, format, standing: false, keySets };
}
