// Lists which steps of a chain have which hook, in the order in which they run. Routes with the same plugins share one
// list, so that thousands of routes do not each keep a copy.
import { boundedCache } from "../plugin-api/bounded-cache.ts";
import type { Step } from "./step.ts";

export interface StepOrder {
  /** Names, by priority. */
  readonly plugins: readonly string[];
  // Positions of the steps that have the hook.
  readonly request: readonly number[];
  readonly response: readonly number[];
  readonly error: readonly number[];
  readonly complete: readonly number[];
  readonly recheck: readonly number[];
}

const hookNames = ["onRequest", "onResponse", "onError", "onComplete", "recheck"] as const;

/** A policy has only a few different combinations. */
const known = boundedCache<StepOrder>(64);

/** @param steps by priority, lowest first */
export function stepOrder(steps: readonly Pick<Step, "name" | "hooks">[]): StepOrder {
  const key = steps.map(keyOf).join("\n");
  let order = known.get(key);
  if (order === undefined) known.set(key, (order = orderOf(steps)));
  return order;
}

function keyOf({ name, hooks }: Pick<Step, "name" | "hooks">): string {
  let key = `${name} `;
  for (const hook of hookNames) key += hooks[hook] === undefined ? "-" : "x";
  return key;
}

function orderOf(steps: readonly Pick<Step, "name" | "hooks">[]): StepOrder {
  const having = (hook: (typeof hookNames)[number]): number[] =>
    steps.flatMap(({ hooks }, index) => (hooks[hook] === undefined ? [] : [index]));
  return {
    plugins: steps.map(({ name }) => name),
    request: having("onRequest"),
    response: having("onResponse").toReversed(),
    error: having("onError").toReversed(),
    complete: having("onComplete").toReversed(),
    recheck: having("recheck"),
  };
}
