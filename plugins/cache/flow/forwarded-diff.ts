// What the plugins behind the cache and the proxy itself do to a request before it goes out. A background refresh is
// made in the cache's own place in the chain, where none of that has happened yet, so it is noted and done again.
import { fieldKey, pairsOf, type Fields } from "../../../src/plugin-api/contract.ts";

export interface ForwardedDiff {
  /** name, value, … as the service got them. */
  readonly set: readonly string[];
  /** Lower-case names of fields that were taken away. */
  readonly removed: readonly string[];
}

/** Fields of one request alone, and our own preconditions. */
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

/** @param before at the cache's place. @param after as forwarded */
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

/** Makes the same changes to another request of the same entry. */
export function repeatDiff(fields: Fields, { set, removed }: ForwardedDiff): void {
  for (const name of removed) fields.delete(name);
  const pairs = pairsOf(set);
  for (const [name] of pairs) fields.delete(fieldKey(name));
  for (const [name, value] of pairs) fields.append(name, value);
}
