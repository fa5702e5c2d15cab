// Puts complete answers into both tiers, and ends the flights that wait for them.
import type { Exchange, Fields } from "../../../src/plugin-api/contract.ts";
import type { Entry } from "./entry.ts";
import { StoredEntry } from "./stored-entry.ts";
import type { Flight, FlightEnd } from "./flights.ts";
import type { Key } from "../key.ts";
import type { CacheOptions } from "../options.ts";
import { parsePurgeField, parseTags } from "../purge/purge.ts";
import type { CacheRequest } from "../semantics/request.ts";
import type { CacheState } from "../state.ts";
import type { FieldValues, StoreRequest } from "../semantics/storing.ts";

/** Where an answer goes once it is complete. */
export interface Destination {
  readonly key: Key;
  readonly flight: Flight | undefined;
  leased: boolean;
}

export function keepEntry(
  state: CacheState,
  options: CacheOptions,
  entry: StoredEntry,
  to: Destination,
): void {
  state.memory.put(entry, to.key.hash);
  state.measure();
  if (to.flight !== undefined) state.uncacheable.delete(to.flight.hash);
  to.flight?.end({ kind: "stored", entry });
  const written = options.redis
    ? state.redis?.put(entry, options.redisMaxBytes, state.clock.now())
    : undefined;
  if (!to.leased) return;
  to.leased = false;
  // The lease ends when the fleet can see the entry.
  const release = (): void => state.redis?.release(to.key.url, to.key.own);
  if (written === undefined) release();
  else void written.then(release);
}

/** Ends the flight and releases the lease of a request whose answer is not stored. */
export function keepNothing(state: CacheState, to: Destination, end: FlightEnd): void {
  to.flight?.end(end);
  if (!to.leased) return;
  to.leased = false;
  state.redis?.release(to.key.url, to.key.own);
}

/** Removes a superseded entry from both tiers. */
export function dropEntry(state: CacheState, entry: Entry): void {
  if (entry instanceof StoredEntry) {
    state.memory.remove(entry);
    state.measure();
  }
  state.redis?.drop(entry);
}

/**
 * Removes fields meant for the cache alone from an upstream's response, and Set-Cookie under `stripSetCookie`. Applies
 * the purges that the response asks for.
 * @returns the policy's tags and the response's
 */
export function takeCacheFields(
  state: CacheState,
  options: CacheOptions,
  { route }: Pick<Exchange, "route">,
  fields: Fields,
): readonly string[] {
  const cacheTag = fields.get("cache-tag");
  const surrogateKey = fields.get("surrogate-key");
  const purge = fields.get("outrigger-purge");
  if (options.stripSetCookie) fields.delete("set-cookie");
  if (purge !== undefined) {
    fields.delete("outrigger-purge");
    for (const one of parsePurgeField(purge, state.region, route.upstream)) state.purge(one);
  }
  if (cacheTag === undefined && surrogateKey === undefined) return options.tags;
  fields.delete("cache-tag");
  fields.delete("surrogate-key");
  return [...options.tags, ...parseTags(cacheTag, surrogateKey)];
}

/** Collects the request's facts for the decision to store. */
export function storeRequest(
  request: { key: Key; seen: CacheRequest; requestTimeMs: number },
  lookupFields: FieldValues,
  forwardedFields: Fields,
): StoreRequest {
  const { key, seen } = request;
  return {
    url: key.url,
    sharedPartition: key.shared,
    ownPartition: key.own,
    identified: key.own !== key.shared,
    hasAuthorization: seen.hasAuthorization,
    hasCredentials: seen.credentials !== "",
    noStore: seen.directives?.noStore === true,
    requestTimeMs: request.requestTimeMs,
    lookupFields,
    forwardedFields,
  };
}
