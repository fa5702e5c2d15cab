// The interface of sources of declared policies: they give the declarations and receive the outcomes.
import type { Declared } from "./declared.ts";
import type { Outcome } from "./outcome.ts";

export interface SourceState {
  readonly ok: boolean;
  readonly detail?: string;
  /** A sentence about names that are left out; "" = there are none. */
  readonly leftOut?: string;
}

export interface DeclaredSource {
  /** For people: `the folder /policies`, `the namespace demo`. */
  readonly name: string;
  readonly state: SourceState;
  /** Looks once, then until the signal aborts; calls `onChange` when there may be something new. */
  start(onChange: () => void, signal: AbortSignal): void;
  /** @returns all declarations; undefined = not known yet. Rejects when the source cannot be read. */
  read(signal: AbortSignal): Promise<readonly Declared[] | undefined>;
  /** Reports every outcome. Rejects when that fails, and is then called again. */
  report(outcomes: readonly Outcome[], signal: AbortSignal): Promise<void>;
}
