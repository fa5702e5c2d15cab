// Explains what a policy would do with a request that was not sent. It runs like a test, with a service that answers
// 200.
import { withinLimit } from "../plugin-api/within-limit.ts";
import type { PolicyTest } from "../policy/document/tests-field.ts";
import type { EffectivePolicy } from "../policy/read.ts";
import type { RouteChoice } from "../routing/route-choice.ts";
import { type Explanation, explanationOf } from "../telemetry/requests/explanation.ts";
import { RequestRing } from "../telemetry/requests/ring.ts";
import { Bench, type BenchOptions } from "./bench.ts";
import type { Observed } from "./expectation.ts";
import { OwnTime } from "./own-time.ts";

export interface ForeseenRequest extends Explanation {
  readonly choice: RouteChoice;
}

/** A request that is refused before a route is chosen. */
export type RefusedHead = Pick<Observed, "status" | "because">;

const limitMs = 10_000;
const setupLimitMs = 30_000;

/** Rejects when a plugin cannot be set up, or takes too long. */
export async function explainRequest(
  policy: EffectivePolicy,
  options: BenchOptions,
  request: PolicyTest["request"],
): Promise<ForeseenRequest | RefusedHead> {
  const late = `the policy's set-up took longer than ${setupLimitMs} ms`;
  const bench = await withinLimit(Bench.of(policy, options), setupLimitMs, late, (made) => void made.close());
  const ring = new RequestRing({ maxRequests: 1, maxBytes: 1_048_576 });
  try {
    const test = { name: "", request, expect: {} };
    const observed = await bench.run(test, new OwnTime(limitMs, limitMs), ring);
    const explanation = ring.newest && explanationOf(ring.newest);
    if (explanation === undefined) return { status: observed.status, because: observed.because };
    return { ...explanation, choice: bench.choiceOf(explanation) };
  } finally {
    await bench.close();
  }
}
