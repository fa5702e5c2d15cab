// The outcome of a declared policy.
import type { Declared } from "./declared.ts";

/**
 * `in-force`: Redis holds it · `drifted`: it was written, and somebody has changed it since · `refused`: it fails the
 * checks · `conflict`: another declaration claims its place · `waiting`: a temporary obstacle.
 */
export const outcomeStates = ["in-force", "drifted", "refused", "conflict", "waiting"] as const;
export type OutcomeState = (typeof outcomeStates)[number];

/** How far a document has come in the sidecars that it concerns, by their heartbeats. */
export interface Spread {
  readonly concerned: number;
  readonly inForce: number;
  /** `users/pod-1: routes[0]: …` */
  readonly refused: readonly string[];
  /** `users/pod-1`: names that several live sidecars have, so that what each has is unknown. */
  readonly namesakes: readonly string[];
}

export interface Outcome {
  readonly declared: Declared;
  readonly state: OutcomeState;
  /** One sentence. */
  readonly message: string;
  readonly problems: readonly { readonly path: string; readonly message: string }[];
  /** Revision and digest in Redis now, whoever wrote them; null = unknown. */
  readonly revision: number | null;
  readonly digest: string | null;
  /** Findings of lint, one line each; undefined = lint was not run this time. */
  readonly warnings?: readonly string[] | undefined;
  readonly spread?: Spread | undefined;
}

/** The end of a sentence about a spread; "" = no name is shared. */
export function namesakesText({ namesakes }: Spread): string {
  if (namesakes.length === 0) return "";
  return `; nobody can tell what each of several live sidecars of one name has: give each an OUTRIGGER_INSTANCE of its own (${namesakes.join(", ")})`;
}
