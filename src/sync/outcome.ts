// What became of a declared policy.
import type { Declared } from "./declared.ts";

/**
 * `in-force`: Redis holds it · `drifted`: it was put there, and somebody has changed it since · `refused`: it does not pass
 * the checks · `conflict`: others claim its place, too · `waiting`: something is in the way that passes.
 */
export const outcomeStates = ["in-force", "drifted", "refused", "conflict", "waiting"] as const;
export type OutcomeState = (typeof outcomeStates)[number];

/** Sidecars that a document concerns, by their heartbeats. */
export interface Spread {
  readonly concerned: number;
  readonly inForce: number;
  /** `users/pod-1: routes[0]: …` */
  readonly refused: readonly string[];
}

export interface Outcome {
  readonly declared: Declared;
  readonly state: OutcomeState;
  /** One sentence. */
  readonly message: string;
  readonly problems: readonly { readonly path: string; readonly message: string }[];
  /** What Redis has now, whoever put it there; null = not known. */
  readonly revision: number | null;
  readonly digest: string | null;
  /** What lint says of it, a line each; undefined = it was not asked this time. */
  readonly warnings?: readonly string[] | undefined;
  readonly spread?: Spread | undefined;
}
