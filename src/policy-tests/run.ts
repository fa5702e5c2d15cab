// Runs the tests that a policy carries, before it is put in force.
import { OverLimit, unlessAborted, withinLimit } from "../plugin-api/within-limit.ts";
import type { CarriedTest } from "../policy/layers/carried-tests.ts";
import { type Problem, ReadingCutShort } from "../policy/document/problems.ts";
import type { EffectivePolicy } from "../policy/read.ts";
import { Slices } from "../v8/slices.ts";
import { Bench, type BenchOptions } from "./bench.ts";
import { shortcomings } from "./expectation.ts";
import { OwnTime } from "./own-time.ts";

export interface TestResult {
  readonly name: string;
  /** Where the test is written. */
  readonly place: CarriedTest["place"];
  /** Differences from what the test expects; empty = it passed. */
  readonly failures: readonly string[];
}

const release = (late: Bench): void => void late.close();

/** Limit for all tests together, in the process's own time. */
const limitMs = 1_000;
/** Limit in wall-clock time, for machines with hardly any free CPU. */
const wallLimitMs = 15_000;
const setupLimitMs = 30_000;

/**
 * Runs all tests. Rejects with ReadingCutShort when they take too long, with another Error when a plugin cannot be set
 * up, and with the signal's reason.
 * @returns one result for each test, in order
 */
export async function runTests(
  policy: EffectivePolicy,
  options: BenchOptions,
  signal?: AbortSignal,
): Promise<readonly TestResult[]> {
  if (policy.tests.length === 0) return [];
  const lateText = `set-up for its tests took longer than ${setupLimitMs} ms`;
  const made = withinLimit(Bench.of(policy, options), setupLimitMs, lateText, release);
  const bench = await unlessAborted(made, signal, release);
  try {
    const results: TestResult[] = [];
    const slices = new Slices();
    const time = new OwnTime(limitMs, wallLimitMs);
    for (const { test, place } of policy.tests) {
      signal?.throwIfAborted();
      if (slices.over) await slices.next();
      if (time.leftMs === 0) throw tooLong({ test, place });
      results.push({ name: test.name, place, failures: await failuresOf(bench, { test, place }, time) });
    }
    return results;
  } finally {
    await bench.close();
  }
}

async function failuresOf(bench: Bench, carried: CarriedTest, time: OwnTime): Promise<readonly string[]> {
  const { test } = carried;
  try {
    return shortcomings(test.expect, await bench.run(test, time));
  } catch (error) {
    if (error instanceof OverLimit) throw tooLong(carried);
    throw error;
  }
}

function tooLong({ test: { name }, place }: CarriedTest): ReadingCutShort {
  const text = `its tests take longer than ${limitMs / 1000} s: test ${JSON.stringify(name)} was at work`;
  return new ReadingCutShort(text, place);
}

/** @returns a problem for each test that failed */
export function problemsIn(results: readonly TestResult[]): readonly Problem[] {
  return results.flatMap(({ name, place, failures }) =>
    failures.length === 0
      ? []
      : [{ ...place, message: `test ${JSON.stringify(name)}: ${failures.join("; ")}` }],
  );
}
