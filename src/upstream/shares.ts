// Limits how much of an upstream's connections and queue one client may have, so that no client fills them alone.

/** An exchange or connection that takes a place in the pool or in its queue. */
export interface Claimant {
  /** undefined = not counted against any share. */
  readonly client: string | undefined;
}

/**
 * The client that has at least `least` places. `least` is more than half of them, so there can be only one such client.
 * It is found in one pass (Boyer and Moore's majority vote) and counted in a second.
 */
export function dominant(claimants: Iterable<Claimant>, least: number): string | undefined {
  let candidate: string | undefined;
  let lead = 0;
  for (const { client } of claimants) {
    if (client === undefined) continue;
    if (lead === 0) candidate = client;
    lead += client === candidate ? 1 : -1;
  }
  return candidate !== undefined && countOf(claimants, candidate) >= least ? candidate : undefined;
}

export function countOf(claimants: Iterable<Claimant>, client: string): number {
  let count = 0;
  for (const each of claimants) if (each.client === client) count += 1;
  return count;
}
