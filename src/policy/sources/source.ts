// The interface of policy sources, and the result of a reading.
import type { HistoryHeads } from "../numbering.ts";
import type { RawPolicy } from "../read.ts";

export type SourceReading =
  | {
      readonly state: "read";
      readonly raw: RawPolicy;
      /** The documents' last revisions in the history; absent = there is no history, or it cannot be read. */
      readonly heads?: HistoryHeads | undefined;
    }
  /** The source answers but has no policy. */
  | ({ readonly state: "absent"; readonly message: string } & WithoutPolicy)
  | ({ readonly state: "failed"; readonly message: string } & WithoutPolicy);

interface WithoutPolicy {
  /** Key documents that were read although there is no policy. */
  readonly keySets?: readonly Uint8Array[] | undefined;
}

export interface PolicySource {
  readonly kind: "redis" | "file";
  /** Reads now, and again after every change. The first reading comes within a bounded time. */
  start(onReading: (reading: SourceReading) => void): void;
  /** Resolves when no more reads will happen. */
  stop(): Promise<void>;
  /** Why the source polls every second instead of receiving change messages; null = it receives them. */
  readonly polledBecause?: string | null;
}
