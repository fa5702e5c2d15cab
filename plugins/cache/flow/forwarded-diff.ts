// Records how the plugins behind the cache and the proxy itself change a request's fields before it goes out. A
// background refresh starts at the cache's place in the chain, before these changes, so it repeats them.
import { fieldKey, pairsOf, type Fields } from "../../../src/plugin-api/contract.ts";

export interface ForwardedDiff {
  /** Changed or added fields: name, value, … as the service got them. */
  readonly set: readonly string[];
  /** Lower-case names of fields that were removed. */
  readonly removed: readonly string[];
}

/** Fields that belong to one request alone, and the cache's own preconditions: never repeated. */
const ofOneRequest = new Set([
  "forwarded",
  "if-modified-since",
  "if-none-match",
  "traceparent",
  "tracestate",
  "via",
  "x-forwarded-for",
  "x-request-id",
]);

/** @param before fields at the cache's place in the chain. @param after fields as forwarded */
export function forwardedDiff(before: Fields, after: Fields): ForwardedDiff {
  const set: string[] = [];
  const removed: string[] = [];
  after.forEach((lower, value, name) => {
    if (!ofOneRequest.has(lower) && before.get(lower) !== after.get(lower)) set.push(name, value);
  });
  before.forEach((lower) => {
    if (!ofOneRequest.has(lower) && !after.has(lower)) removed.push(lower);
  });
  return { set, removed };
}

/** Makes the same changes to another request for the same entry. */
export function repeatDiff(fields: Fields, { set, removed }: ForwardedDiff): void {
  for (const name of removed) fields.delete(name);
  const pairs = pairsOf(set);
  for (const [name] of pairs) fields.delete(fieldKey(name));
  for (const [name, value] of pairs) fields.append(name, value);
}
