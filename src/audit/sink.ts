// Where a chain is kept, and where copies of it go.
import type { Tail } from "./chain.ts";

/** What was there when a sink was opened. */
export interface Found {
  /** The chain goes on behind this record; undefined = it begins. */
  readonly tail?: Tail | undefined;
  /** The end of another chain, which this one comes after. */
  readonly after?: Tail | undefined;
  /** What was wrong with what was there, for a record that says so. */
  readonly repaired?: Readonly<Record<string, unknown>> | undefined;
}

export interface Written {
  /** Records up to this one were deleted, for their age or bytes. */
  readonly pruned?: Tail | undefined;
  /** Why others that are too many or too old are still there. */
  readonly unpruned?: string;
}

export interface Sink {
  /** @param name of the chain that is to go on. Rejects when nothing can be written; may be called again then. */
  open(name: string): Promise<Found>;
  /**
   * Writes all lines, in order. Rejects when that is not certain: the same lines are given again then, and are there once
   * when it resolves.
   */
  write(lines: readonly string[], first: number): Promise<Written>;
  close(): Promise<void>;
}

/** Gets the lines that the sink has; waits for nothing, and holds a bounded number. */
export interface Copy {
  add(lines: readonly string[], first: number): void;
  /** Within `limitMs`. Never rejects. */
  close(limitMs: number): Promise<void>;
}
