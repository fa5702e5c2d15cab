// What the controller of policies tells of: what is in force, what is refused, how the source is.
import type { Problem } from "./document/problems.ts";
import type { Signed } from "./signature/signature.ts";
import type { SourceReading } from "./sources/source.ts";
import type { PolicyOrigin } from "./status.ts";

/** What a policy in force is known by. */
export interface PolicyMeta {
  /** The history's of the shared document where that is known there, else one more than the last. */
  readonly revision: number;
  /** SHA-256, hex, of the canonical effective document: the true identity, the same in every sidecar of a service. */
  readonly digest: string;
  readonly source: PolicyOrigin;
  readonly signed: Signed;
}

export interface PolicyEvents {
  /** A policy was swapped in, or the one in force was found at its source (`changed` false). */
  onAccepted(meta: PolicyMeta, changed: boolean, overruled: readonly Problem[]): void;
  /** The source was read again and still holds the policy in force. */
  onConfirmed?(): void;
  /** A policy was refused; told once for the same documents and problems. */
  onRejected(problems: readonly Problem[]): void;
  /** The policy in force is over by its signature, or what the source holds besides it is not taken; told once. */
  onNotice?(problems: readonly Problem[]): void;
  /** The source works again, holds no policy (any more), or cannot be read. */
  onSourceState(state: SourceReading["state"], message: string | undefined): void;
}
