// How much of an upstream's connections and queue one client may have: nobody fills it alone.

/** Whoever may hold a connection to the upstream, or wait for one. */
export interface Claimant {
  /** undefined = whose share nobody counts. */
  readonly client: string | undefined;
}

/**
 * The client that has at least that many places. More than half of them, so that there can be only one: found in one pass
 * (Boyer and Moore's majority vote) and counted in a second.
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
