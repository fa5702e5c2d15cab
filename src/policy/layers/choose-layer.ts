// Chooses the layer that goes over a shared policy: the one that the source holds, if it fits or was in force before.
// Otherwise the one that was in force, so that a bad layer never blocks a new shared policy.
import { type Problem, PolicyRefused, ReadingCutShort } from "../document/problems.ts";
import { type EffectivePolicy, type PolicyReader, type RawPolicy, sharedKey } from "../read.ts";

export interface Chosen {
  readonly policy: EffectivePolicy;
  /** The documents that were read: the source's, or its shared policy with the layer that was in force. */
  readonly raw: RawPolicy;
  /** Why the source's layer was refused; empty if it was not. */
  readonly refused: readonly Problem[];
}

/**
 * Runs the tests that a policy carries, those of the shared policy first. Rejects with ReadingCutShort when they take
 * too long; it names the document of the test that was running.
 * @returns a problem for each test that fails
 */
export type PolicyTester = (policy: EffectivePolicy, signal: AbortSignal) => Promise<readonly Problem[]>;

/**
 * @returns a reader that refuses policies that fail their tests. Failed tests of a standing layer do not block a shared
 * policy.
 */
export function tested(
  read: PolicyReader,
  test: PolicyTester | undefined,
  signal: AbortSignal,
): PolicyReader {
  if (test === undefined) return (raw) => read(raw, signal);
  return async function readTested(raw) {
    const policy = await read(raw, signal);
    const own = (problem: Problem | undefined): boolean =>
      raw.standing === true && problem?.document !== sharedKey;
    let problems: readonly Problem[];
    try {
      problems = await test(policy, signal);
    } catch (error) {
      if (!(error instanceof ReadingCutShort) || !own(error.problems[0])) throw error;
      problems = error.problems;
    }
    if (problems.length === 0) return policy;
    if (!problems.every(own)) throw new PolicyRefused(problems);
    return { ...policy, overruled: [...policy.overruled, ...problems] };
  };
}

/**
 * Rejects with PolicyRefused when what is in force must stay.
 * @param known the documents that were last in force; undefined = none, so a layer cannot be called new
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
    // Only the layer has changed, so it alone is refused. A removed layer cannot be at fault.
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
