// Options and limits of an audit trail.
import type { Clock, Counter, Logger } from "../plugin-api/contract.ts";
import type { HeadBoard } from "./head-board.ts";
import type { AuditKey } from "./key.ts";
import type { Copy, Sink } from "./sink.ts";
import type { SubjectKeys } from "./subject-keys.ts";

export interface TrailOptions {
  /** Name of the chain. */
  readonly name: string;
  /** Written into the first record of each start. */
  readonly facts: Readonly<Record<string, unknown>>;
  readonly key: AuditKey;
  readonly subjects: SubjectKeys;
  readonly sink: Sink;
  readonly copies: readonly Copy[];
  /** Where heads are shared with siblings; undefined = nowhere. */
  readonly heads: HeadBoard | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly records: (result: "written" | "lost") => Counter;
  readonly limits?: Partial<TrailLimits>;
}

export interface TrailLimits {
  /** Most records that wait to be written. */
  readonly queued: number;
  /** How long a record may wait to be written with others, if no answer waits for it. */
  readonly delayMs: number;
  /** Longest time that an answer waits for its record. */
  readonly waitMs: number;
  readonly retryMs: number;
  readonly headEveryMs: number;
}

export const usualLimits: TrailLimits = {
  queued: 8_192,
  delayMs: 50,
  waitMs: 2_000,
  retryMs: 1_000,
  headEveryMs: 60_000,
};
