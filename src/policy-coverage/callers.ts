// The three callers that each operation is tried with: an unknown one, one with only a name, and one with every right
// that the policy names.
import type { TestIdentity } from "../policy/document/tests-field.ts";

export type CallerName = "nobody" | "somebody" | "somebody with all";

export interface Caller {
  readonly name: CallerName;
  readonly identity: TestIdentity | undefined;
}

const userId = "somebody";

/** Rights and facts that the policy asks of callers, anywhere in it. */
interface Named {
  readonly scopes: Set<string>;
  readonly roles: Set<string>;
  readonly plan: Set<string>;
  readonly claims: Map<string, unknown[]>;
}

/** @param document the effective document */
export function callersFor(document: unknown): readonly Caller[] {
  const named: Named = { scopes: new Set(), roles: new Set(), plan: new Set(), claims: new Map() };
  gather(document, named);
  const { scopes, roles, plan, claims } = named;
  const all: TestIdentity = {
    userId,
    scopes: [...scopes],
    roles: [...roles],
    plan: [...plan][0],
    // A claim that is an array matches a rule for any of its values.
    claims: Object.fromEntries(claims),
  };
  return [
    { name: "nobody", identity: undefined },
    { name: "somebody", identity: { userId } },
    { name: "somebody with all", identity: all },
  ];
}

/** Collects them. Parts under `deny` are skipped: no caller needs what is denied. */
function gather(value: unknown, named: Named): void {
  if (typeof value !== "object" || value === null) return;
  for (const [name, member] of Object.entries(value)) {
    if (name === "deny" || name === "tests") continue;
    if (name === "scopes" || name === "roles" || name === "plan")
      for (const text of textsIn(member)) named[name].add(text);
    else if (name === "claims") gatherClaims(member, named);
    else gather(member, named);
  }
}

function gatherClaims(tests: unknown, { claims }: Named): void {
  for (const [path, test] of Object.entries(Object(tests) as object)) {
    const values = leavesOf(test);
    claims.set(path, [...(claims.get(path) ?? []), ...values]);
  }
}

function leavesOf(value: unknown): readonly unknown[] {
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(leavesOf) : [value];
}

/** @returns every text in a value */
export function textsIn(value: unknown): readonly string[] {
  return leavesOf(value).filter((each) => typeof each === "string");
}
