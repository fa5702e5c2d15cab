// How a policy in force is told of: `GET /policy`, and the heartbeat by it.
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
  /** Of the shared document; 0 = no policy was in force yet. */
  readonly revision: number;
  /** Whose number that is: the history's, or where that does not know the document (a plain SET, a file) the sidecar's own count. */
  readonly revisionFrom: "history" | "sidecar";
  /** The history's number of the service's layer; null = there is none, or the history does not know it. */
  readonly layerRevision: number | null;
  readonly digest: string | null;
  readonly source: PolicyOrigin | null;
  readonly signed: Signed | null;
  /** SHA-256, hex, of the documents in force as their source has them: tells that exactly these bytes have arrived. */
  readonly documents: DocumentDigests | null;
  /** When the policy in force was swapped in. */
  readonly since: string | null;
  /** When the source last held the policy in force. */
  readonly lastSuccess: string | null;
  /** Why changes are looked for each second and not told; null when they are told. */
  readonly polledBecause: string | null;
  /** Parts of the service's layer that do not fit the shared policy in force: the rest is in force without them. */
  readonly overruled: readonly Problem[];
  readonly signatures: readonly SignatureStatus[];
  /** Why what the source holds now is not in force; null when it is. */
  readonly lastError: { readonly at: string; readonly problems: readonly Problem[] } | null;
}

/** A signature as `/policy` shows it; times in ISO 8601. */
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
