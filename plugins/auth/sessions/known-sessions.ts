// Sessions that were opened not long ago, so that most requests need no decryption and no Redis.
import { hash } from "node:crypto";
import { LRUCache } from "lru-cache";
import type { Clock } from "../../../src/plugin-api/contract.ts";
import type { EndedSessions } from "./ended-sessions.ts";
import type { Accepted } from "../auth-result.ts";
import type { RevokedSessions } from "./revoked-sessions.ts";
import type { Session } from "./session-seal.ts";

/** What is remembered of a session that was opened. */
export interface KnownSession {
  readonly result: Accepted;
  readonly id: string;
  readonly marks: readonly string[];
  /** Epoch milliseconds from which it has to be looked at again. */
  readonly dueMs: number;
  /** Monotonic milliseconds at which it was looked at. */
  readonly openedMono: number;
}

/** Some 16,384 sessions of the usual size. */
const knownBytes = 33_554_432;
const entryBytes = 1_500;
const unwatchedMs = 900;

/** What stands for a cookie in memory. */
export const cookieDigest = (cookie: string): string => hash("sha256", cookie, "hex");

export class KnownSessions {
  readonly #clock: Clock;
  readonly #ended: EndedSessions;
  readonly #revoked: RevokedSessions;
  /** Ends what `onDoubt` began. */
  readonly close: () => void;
  readonly #known = new LRUCache<string, KnownSession>({ maxSize: knownBytes });

  constructor(clock: Clock, ended: EndedSessions, revoked: RevokedSessions) {
    this.#clock = clock;
    this.#ended = ended;
    this.#revoked = revoked;
    this.close = ended.onDoubt(() => this.#known.clear());
  }

  /** undefined = it has to be opened. */
  get(cookie: string): Accepted | undefined {
    const digest = cookieDigest(cookie);
    const known = this.#known.get(digest);
    // A look that was under way at the logout may have remembered it.
    if (known === undefined || this.#ended.has(known.id) || this.#ended.owed.has(digest)) return undefined;
    const { openedMono, marks } = known;
    if (this.#revoked.heardSince(marks, openedMono) || this.#ended.forgottenSince(openedMono))
      return undefined;
    if (this.#ended.unheard && this.#clock.mono() - openedMono > unwatchedMs) return undefined;
    return this.#clock.now() < known.dueMs ? known.result : undefined;
  }

  /** @param session whose claims may be large: groups of a directory by the hundred */
  set(cookie: string, known: KnownSession, { claims, accessToken = "" }: Session): void {
    const size = entryBytes + JSON.stringify(claims).length + accessToken.length;
    this.#known.set(cookieDigest(cookie), known, { size });
  }

  delete(cookie: string): void {
    this.#known.delete(cookieDigest(cookie));
  }
}
