// Interfaces of the places that keep a chain and of those that get copies of it.
import type { Tail } from "./chain.ts";

/** What a sink found when it was opened. */
export interface Found {
  /** The chain continues after this record; undefined = it begins. */
  readonly tail?: Tail | undefined;
  /** The last record of another chain, which this one continues. */
  readonly after?: Tail | undefined;
  /** Damage that was repaired, for the record about it. */
  readonly repaired?: Readonly<Record<string, unknown>> | undefined;
}

export interface Written {
  /** Records up to this one were deleted because of age or size. */
  readonly pruned?: Tail | undefined;
  /** Why records past the limits could not be deleted. */
  readonly unpruned?: string;
}

export interface Sink {
  /** @param name of the chain to continue. Rejects when nothing can be written; may then be called again. */
  open(name: string): Promise<Found>;
  /**
   * Writes all lines, in order. Rejects unless they are certainly written; the caller then passes the same lines again.
   * When it resolves, each line is there exactly once.
   */
  write(lines: readonly string[], first: number): Promise<Written>;
  close(): Promise<void>;
}

/** Gets every line that the sink has written. Never waits, and holds a bounded number of lines. */
export interface Copy {
  add(lines: readonly string[], first: number): void;
  /** Settles within `limitMs`. Never rejects. */
  close(limitMs: number): Promise<void>;
}
