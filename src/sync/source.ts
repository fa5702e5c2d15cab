// Where declared policies come from, and where what became of them is told.
import type { Declared } from "./declared.ts";
import type { Outcome } from "./outcome.ts";

export interface SourceState {
  readonly ok: boolean;
  readonly detail?: string;
  /** A sentence on what is not taken because of its name; "" = nothing. */
  readonly leftOut?: string;
}

export interface DeclaredSource {
  /** For people: `the folder /policies`, `the namespace demo`. */
  readonly name: string;
  readonly state: SourceState;
  /** Looks once, then until the signal; calls when there may be something new. */
  start(onChange: () => void, signal: AbortSignal): void;
  /** @returns all that is declared; undefined = nobody can say yet. Rejects when it cannot be read. */
  read(signal: AbortSignal): Promise<readonly Declared[] | undefined>;
  /** Tells of each. Rejects when that cannot be done, to be tried again. */
  report(outcomes: readonly Outcome[], signal: AbortSignal): Promise<void>;
}
