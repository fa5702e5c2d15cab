// Remembers the refreshes of sessions in this process. Routes that share a login may differ in other options, and a new
// policy makes logins anew, but a rotating refresh token can be used only once.
import { LRUCache } from "lru-cache";
import type { Session } from "./session-seal.ts";

/** How long requests with the old cookie find the new session. */
export const keepMs = 60_000;
const maxDone = 8_192;

/** One for the process. The keys are digests of the session and the refresh token that was used (`refreshDigest`). */
export class SessionRefreshes {
  readonly done = new LRUCache<string, Session>({ max: maxDone, ttl: keepMs });
  readonly running = new Map<string, Promise<Session>>();
}
