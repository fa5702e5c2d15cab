// The status of the policy in force, for `GET /policy` and the heartbeat.
import { digestOf } from "./document/digest.ts";
import type { EffectiveDocument } from "./layers/layers.ts";
import type { Problem } from "./document/problems.ts";
import type { RawPolicy, SignedDocument } from "./read.ts";
import type { Signed } from "./signature/signature.ts";

export type PolicyOrigin = "redis" | "file" | "kept" | "peer" | "builtin";

export interface DocumentDigests {
  readonly shared: string;
  readonly layer: string | null;
}

/** `GET /policy`; times in ISO 8601. */
export interface PolicyStatus {
  readonly effective: EffectiveDocument | null;
  /** Revision of the shared document; 0 = no policy has been in force. */
  readonly revision: number;
  /**
   * Who counted the revision: the history, or the sidecar if the history does not know the document (a plain SET, a
   * file).
   */
  readonly revisionFrom: "history" | "sidecar";
  /** The history's revision of the service's layer; null = there is no layer, or the history does not know it. */
  readonly layerRevision: number | null;
  readonly digest: string | null;
  readonly source: PolicyOrigin | null;
  readonly signed: Signed | null;
  /**
   * SHA-256, in hex, of the documents in force as the source holds them: shows that exactly these bytes have arrived.
   */
  readonly documents: DocumentDigests | null;
  /** When the policy in force was swapped in. */
  readonly since: string | null;
  /** When the source last held the policy in force. */
  readonly lastSuccess: string | null;
  /** Why the sidecar polls every second instead of receiving change messages; null = it receives them. */
  readonly polledBecause: string | null;
  /** Parts of the service's layer that do not fit the shared policy. The rest of the layer is in force. */
  readonly overruled: readonly Problem[];
  readonly signatures: readonly SignatureStatus[];
  /** Why the source's current content is not in force; null = it is. */
  readonly lastError: { readonly at: string; readonly problems: readonly Problem[] } | null;
}

/** A signature as `GET /policy` shows it; times in ISO 8601. */
export interface SignatureStatus {
  readonly document: string;
  readonly kid: string | null;
  readonly epoch: number | null;
  readonly signedAt: string | null;
  readonly expiresAt: string | null;
}

export function signatureStatus({ name, claims: { kid, epoch, iat, exp } }: SignedDocument): SignatureStatus {
  return {
    document: name,
    kid: kid ?? null,
    epoch: epoch ?? null,
    signedAt: timestamp(iat && iat * 1000),
    expiresAt: timestamp(exp && exp * 1000),
  };
}

export function digestsOf({ shared, layer }: RawPolicy): DocumentDigests {
  return { shared: digestOf(shared), layer: layer === undefined ? null : digestOf(layer) };
}

export function timestamp(epochMs: number | undefined): string | null {
  return epochMs === undefined ? null : new Date(epochMs).toISOString();
}
