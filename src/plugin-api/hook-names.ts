// Which hooks there are, and what set-up returned that looks like one and is none.
import type { Hooks } from "./contract.ts";

export const hookNames = ["onRequest", "onResponse", "onError", "recheck", "onComplete"] as const;

const known: ReadonlySet<string> = new Set(hookNames);

/**
 * @param returned by a plugin's set-up
 * @throws Error when it is none, or has a hook that nobody would call: misspelt, it would guard nothing
 */
export function hooksReturned(returned: unknown): Hooks {
  if (typeof returned !== "object" || returned === null) throw new Error("set-up returned no hooks");
  const wrong = Object.keys(returned).find((name) => /^on[A-Z]/.test(name) && !known.has(name));
  if (wrong === undefined) return returned;
  throw new Error(`set-up returned ${wrong}, which is no hook: there are ${hookNames.join(", ")}`);
}
