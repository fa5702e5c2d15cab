// A document that is tried in place of one in force, with the other documents as they are.
import type { EffectivePolicy, RawPolicy } from "./read.ts";

/** Which of the documents it takes the place of. */
export type DocumentPlace = "shared" | "layer";

export interface BesidePolicy {
  readonly policy: EffectivePolicy;
  readonly raw: RawPolicy;
}

/** @param inForce its layer stands: a candidate of the shared policy is judged as that policy would be */
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
