// Where policies come from: what a source has to do, and what a reading of it gives.
import type { HistoryHeads } from "../numbering.ts";
import type { RawPolicy } from "../read.ts";

export type SourceReading =
  | {
      readonly state: "read";
      readonly raw: RawPolicy;
      /** What their history has last; absent = there is none, or it cannot be read. */
      readonly heads?: HistoryHeads | undefined;
    }
  /** The source answers and has no policy. */
  | ({ readonly state: "absent"; readonly message: string } & WithoutPolicy)
  | ({ readonly state: "failed"; readonly message: string } & WithoutPolicy);

interface WithoutPolicy {
  /** Documents of keys that were read although there is no policy with them. */
  readonly keySets?: readonly Uint8Array[] | undefined;
}

export interface PolicySource {
  readonly kind: "redis" | "file";
  /** Reads now, and again after every change. The first reading comes within a bounded time. */
  start(onReading: (reading: SourceReading) => void): void;
  /** Nothing is read any more once this is through. */
  stop(): Promise<void>;
  /** Why changes are not told but looked for each second; null when they are told. */
  readonly polledBecause?: string | null;
}
