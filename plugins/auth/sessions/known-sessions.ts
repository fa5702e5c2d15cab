// Caches sessions that were opened recently, so that most requests need no decryption and no Redis.
import { hash } from "node:crypto";
import { LRUCache } from "lru-cache";
import type { Clock } from "../../../src/plugin-api/contract.ts";
import type { EndedSessions } from "./ended-sessions.ts";
import type { Accepted } from "../auth-result.ts";
import type { RevokedSessions } from "./revoked-sessions.ts";
import type { Session } from "./session-seal.ts";

/** The cache entry of an opened session. */
export interface KnownSession {
  readonly result: Accepted;
  readonly id: string;
  readonly marks: readonly string[];
  /** When the session has to be opened again (epoch ms). */
  readonly dueMs: number;
  /** When the session was opened (monotonic ms). */
  readonly openedMono: number;
}

/** About 16,384 sessions of usual size. */
const knownBytes = 33_554_432;
const entryBytes = 1_500;
const unwatchedMs = 900;

/** @returns the cache key of a cookie */
export const cookieDigest = (cookie: string): string => hash("sha256", cookie, "hex");

export class KnownSessions {
  readonly #clock: Clock;
  readonly #ended: EndedSessions;
  readonly #revoked: RevokedSessions;
  /** Unregisters from `onDoubt`. */
  readonly close: () => void;
  readonly #known = new LRUCache<string, KnownSession>({ maxSize: knownBytes });

  constructor(clock: Clock, ended: EndedSessions, revoked: RevokedSessions) {
    this.#clock = clock;
    this.#ended = ended;
    this.#revoked = revoked;
    this.close = ended.onDoubt(() => this.#known.clear());
  }

  /** @returns undefined when the session has to be opened */
  get(cookie: string): Accepted | undefined {
    const digest = cookieDigest(cookie);
    const known = this.#known.get(digest);
    // An `open` that was under way at the logout may have cached the session after it.
    if (known === undefined || this.#ended.has(known.id) || this.#ended.owed.has(digest)) return undefined;
    const { openedMono, marks } = known;
    if (this.#revoked.heardSince(marks, openedMono) || this.#ended.forgottenSince(openedMono))
      return undefined;
    if (this.#ended.unheard && this.#clock.mono() - openedMono > unwatchedMs) return undefined;
    return this.#clock.now() < known.dueMs ? known.result : undefined;
  }

  /** @param session gives the entry's size: its claims may be large, such as hundreds of directory groups */
  set(cookie: string, known: KnownSession, { claims, accessToken = "" }: Session): void {
    const size = entryBytes + JSON.stringify(claims).length + accessToken.length;
    this.#known.set(cookieDigest(cookie), known, { size });
  }

  delete(cookie: string): void {
    this.#known.delete(cookieDigest(cookie));
  }
}
