// Describes the policy in force: its documents, revision and digest, and the status that is made of them.
import type { PolicyMeta } from "./events.ts";
import type { Numbers } from "./numbering.ts";
import type { PolicyOutcome } from "./outcome.ts";
import type { EffectivePolicy, RawPolicy } from "./read.ts";
import { type DocumentDigests, type PolicyStatus, signatureStatus, timestamp } from "./status.ts";

export interface InForce {
  readonly policy: EffectivePolicy;
  readonly meta: PolicyMeta;
  readonly raw: RawPolicy;
  readonly documents: DocumentDigests;
  readonly numbers: Numbers;
  /** Epoch ms. */
  readonly since: number;
}

/** @param revision of the policy that was last in force, also before the start */
export function statusOf(
  inForce: InForce | undefined,
  revision: number,
  outcome: PolicyOutcome,
  polledBecause: string | null,
): PolicyStatus {
  return {
    effective: inForce?.policy.document ?? null,
    ...(inForce?.numbers ?? { revision, revisionFrom: "sidecar", layerRevision: null }),
    digest: inForce?.meta.digest ?? null,
    source: inForce?.meta.source ?? null,
    signed: inForce?.meta.signed ?? null,
    documents: inForce?.documents ?? null,
    polledBecause,
    overruled: inForce?.policy.overruled ?? [],
    signatures: inForce?.policy.signatures.map(signatureStatus) ?? [],
    since: timestamp(inForce?.since),
    lastSuccess: timestamp(outcome.lastSuccess),
    lastError: outcome.lastError,
  };
}
