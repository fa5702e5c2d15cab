// The events of the policy controller: which policy is in force, which is refused, and the source's state.
import type { Problem } from "./document/problems.ts";
import type { Signed } from "./signature/signature.ts";
import type { SourceReading } from "./sources/source.ts";
import type { PolicyOrigin } from "./status.ts";

/** What identifies a policy in force. */
export interface PolicyMeta {
  /** The shared document's number in the history, where known there; otherwise one more than the last revision. */
  readonly revision: number;
  /**
   * SHA-256, in hex, of the canonical effective document. It is the true identity: the same in every sidecar of a
   * service.
   */
  readonly digest: string;
  readonly source: PolicyOrigin;
  readonly signed: Signed;
}

export interface PolicyEvents {
  /** A policy was swapped in, or the one in force was found at its source (`changed` false). */
  onAccepted(meta: PolicyMeta, changed: boolean, overruled: readonly Problem[]): void;
  /** The source was read again and still holds the policy in force. */
  onConfirmed?(): void;
  /** A policy was refused. Called once for the same documents and problems. */
  onRejected(problems: readonly Problem[]): void;
  /**
   * The signature of the policy in force has expired, or further content of the source is not accepted. Called once.
   */
  onNotice?(problems: readonly Problem[]): void;
  /** The source works again, holds no policy (any more), or cannot be read. */
  onSourceState(state: SourceReading["state"], message: string | undefined): void;
}
