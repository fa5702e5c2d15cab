// Which layer goes over a shared policy: the one that the source holds, if it fits or was in force before; else the one
// that was in force, so that a bad layer never keeps a new shared policy out.
import { type Problem, PolicyRefused } from "../document/problems.ts";
import type { EffectivePolicy, PolicyReader, RawPolicy } from "../read.ts";

export interface Chosen {
  readonly policy: EffectivePolicy;
  /** What was read: the source's documents, or its shared policy with the layer that stood. */
  readonly raw: RawPolicy;
  /** Why the source's layer was not taken; empty when it was. */
  readonly refused: readonly Problem[];
}

/** Runs the tests that a policy carries. Rejects, with PolicyRefused when it does not pass them. */
export type PolicyTester = (policy: EffectivePolicy, signal: AbortSignal) => Promise<void>;

/** Reads, and refuses what does not pass its tests. */
export function tested(
  read: PolicyReader,
  test: PolicyTester | undefined,
  signal: AbortSignal,
): PolicyReader {
  return async function readTested(raw) {
    const policy = await read(raw);
    await test?.(policy, signal);
    return policy;
  };
}

/**
 * @param known the documents that were last in force; undefined = none, so that nobody can say that a layer is new
 * Rejects with PolicyRefused when what is in force must stay.
 */
export async function chooseLayer(
  read: PolicyReader,
  raw: RawPolicy,
  known: RawPolicy | undefined,
): Promise<Chosen> {
  const stands = known === undefined || sameBytes(known.layer, raw.layer);
  const wanted = { ...raw, standing: stands };
  try {
    return { policy: await read(wanted), raw: wanted, refused: [] };
  } catch (error) {
    if (!(error instanceof PolicyRefused) || known === undefined || stands) throw error;
    // Only the layer has changed: it alone is refused. A layer that is not there cannot be at fault.
    if (sameBytes(known.shared, raw.shared) || raw.layer === undefined) throw error;
    const stood = { ...raw, layer: known.layer, standing: true };
    try {
      return { policy: await read(stood), raw: stood, refused: error.problems };
    } catch {
      throw error;
    }
  }
}

/** Whether two readings are of the same documents. */
export function sameDocuments(a: RawPolicy, b: RawPolicy): boolean {
  const { keySets = [] } = a;
  const { keySets: others = [] } = b;
  return (
    sameBytes(a.shared, b.shared) &&
    sameBytes(a.layer, b.layer) &&
    keySets.length === others.length &&
    keySets.every((each, index) => sameBytes(each, others[index]))
  );
}

export function sameBytes(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === b || (a !== undefined && b !== undefined && Buffer.compare(a, b) === 0);
}
