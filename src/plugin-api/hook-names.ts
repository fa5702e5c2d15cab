// Lists the hooks and checks what a plugin's `setup` returned: a member that looks like a hook but is none is an error.
import { nearestName } from "../language/nearest.ts";
import type { Hooks } from "./contract.ts";

export const hookNames = ["onRequest", "onResponse", "onError", "recheck", "onComplete"] as const;

/** Members that guard something: misspelt, they would leave it unguarded. */
const guards: readonly string[] = [
  ...hookNames,
  "ownedRequestFields",
  "ownedQuery",
  "ownedSubprotocols",
  "ownedCookies",
  "headOnlyFields",
] satisfies readonly (keyof Hooks)[];

/**
 * Checks what a plugin's `setup` returned.
 * @param declared the hooks that the plugin's manifest names; default: all
 * @throws Error when it is no object, or has a hook that would never be called (misspelt or not declared) and so guard
 * nothing
 */
export function hooksReturned(returned: unknown, declared: readonly string[] = hookNames): Hooks {
  if (typeof returned !== "object" || returned === null) throw new Error("set-up returned no hooks");
  const hooks: Hooks = returned;
  for (const name of namesIn(returned)) {
    if (guards.includes(name)) continue;
    const meant = nearestName(name, guards);
    if (meant?.slice(0, 2) === name.slice(0, 2).toLowerCase())
      throw new Error(`set-up returned ${name}, at which nobody looks: did you mean ${meant}?`);
    if (/^on[A-Z]/.test(name))
      throw new Error(`set-up returned ${name}, which is no hook: there are ${hookNames.join(", ")}`);
  }
  const silent = hookNames.find((name) => typeof hooks[name] === "function" && !declared.includes(name));
  if (silent !== undefined) throw new Error(`its manifest does not name the hook ${silent}`);
  return hooks;
}

/**
 * Checks like `hooksReturned`. Hooks that are refused are closed, since nobody else has them: they may hold timers and
 * connections by now.
 */
export function hooksOrClosed(returned: unknown, declared: readonly string[]): Hooks {
  try {
    return hooksReturned(returned, declared);
  } catch (error) {
    const close = async (): Promise<void> => (returned as Partial<Hooks> | null | undefined)?.close?.();
    // The refusal is what is wrong, and does not wait for a close that may hang.
    close().catch(() => {});
    throw error;
  }
}

/**
 * All members of the object, including methods of its classes, which are not enumerable, but without those that every
 * object inherits.
 */
function namesIn(hooks: object): string[] {
  const names: string[] = [];
  for (let at = hooks; ;) {
    const next = Object.getPrototypeOf(at) as object | null;
    if (next === null && at !== hooks) return names;
    names.push(...Object.getOwnPropertyNames(at));
    if (next === null) return names;
    at = next;
  }
}
