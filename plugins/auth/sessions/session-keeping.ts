// Keeps sessions: sealed in the browser's cookies, or sealed in Redis under a ticket that the cookie holds.
import { hash, randomBytes } from "node:crypto";
import type { Services, Store } from "../../../src/plugin-api/contract.ts";
import { mapIdentity } from "../claims.ts";
import { maxValueLength } from "./cookies.ts";
import type { LoginOptions } from "../login/options.ts";
import { indexPrefix, storedPrefix, type IndexEntry } from "./session-index.ts";
import { overMsOf, type OtherSession, type Session, type SessionSeal } from "./session-seal.ts";

/** What a cookie gives; "gone" = its session is over or was ended; undefined = it cannot be read. */
export type Read = Session | OtherSession | "gone" | undefined;

export interface SessionKeeping {
  /**
   * Keeps a new session.
   * @returns the cookie's value. Rejects with `StoreUnavailable`, as the other methods do, or with `SessionTooLarge`.
   */
  begin(session: Session): Promise<string>;
  /** @returns undefined for a cookie that is no session, or cannot be read here yet because a new key is on its way */
  read(cookie: string): Promise<Read>;
  /**
   * Keeps a session whose tokens were refreshed.
   * @returns the cookie's new value; undefined = it does not change
   */
  renew(cookie: string, session: Session): Promise<string | undefined>;
  /** Deletes a session that has ended. */
  forget(cookie: string, session: Session): Promise<void>;
}

/** The login succeeded, but its session is too large to keep. The text is for the operator. */
export class SessionTooLarge extends Error {
  override readonly name = "SessionTooLarge";
}

class CookieKeeping implements SessionKeeping {
  readonly #seal: SessionSeal;

  constructor(seal: SessionSeal) {
    this.#seal = seal;
  }

  async begin(session: Session): Promise<string> {
    const sealed = await this.#seal.forBrowser(session);
    if (sealed.length <= maxValueLength) return sealed;
    // Drop the ID token, which only saves the user a question at logout.
    const smaller = await this.#seal.forBrowser({ ...session, idToken: undefined });
    if (smaller.length <= maxValueLength) return smaller;
    throw new SessionTooLarge(
      `the session of ${smaller.length} characters does not fit into cookies (${maxValueLength}): set jwt.login.sessions to "redis", or have the provider send fewer claims`,
    );
  }

  read(cookie: string): Promise<Read> {
    return this.#seal.fromBrowser(cookie);
  }

  renew(_cookie: string, session: Session): Promise<string> {
    return this.begin(session);
  }

  async forget(): Promise<void> {
    // The browser has the only copy.
  }
}

/** A random part, and the mark that proves it was issued here. */
const ticketText = /^[A-Za-z0-9_-]{43}\.[A-Za-z0-9_-]{43}$/;
/** Redis holds only the ticket's digest: nobody who reads there can use it as a cookie. */
const digestOf = (ticket: string): string => hash("sha256", ticket, "hex");

class RedisKeeping implements SessionKeeping {
  readonly #options: LoginOptions;
  readonly #services: Services;
  readonly #store: Store;
  readonly #seal: SessionSeal;

  constructor(options: LoginOptions, services: Services & { readonly store: Store }, seal: SessionSeal) {
    this.#options = options;
    this.#services = services;
    this.#store = services.store;
    this.#seal = seal;
  }

  async begin(session: Session): Promise<string> {
    const ticket = this.#seal.marked(randomBytes(32).toString("base64url"));
    await this.#keep(digestOf(ticket), session);
    return ticket;
  }

  async read(ticket: string): Promise<Read> {
    // Checked before Redis is asked, so that made-up tickets cost it nothing.
    if (!ticketText.test(ticket) || !this.#seal.isMarked(ticket)) return undefined;
    const at = digestOf(ticket);
    const sealed = await this.#store.get(storedPrefix + at);
    return sealed === null ? "gone" : await this.#seal.fromStore(sealed, at);
  }

  async renew(ticket: string, session: Session): Promise<undefined> {
    await this.#keep(digestOf(ticket), session);
  }

  async forget(ticket: string, { id }: Session): Promise<void> {
    await this.#store.delete(storedPrefix + digestOf(ticket));
    await this.#store.delete(indexPrefix + id);
  }

  async #keep(at: string, session: Session): Promise<void> {
    const endsMs = overMsOf(session, this.#options);
    const ttlMs = Math.max(1, endsMs - this.#services.clock.now());
    const { issuer, clientId, claims: mapping } = this.#options;
    const identity = mapIdentity(session.claims, mapping, "session", issuer);
    const entry: IndexEntry = {
      id: session.id,
      userId: typeof identity === "string" ? "" : identity.userId,
      issuer,
      clientId,
      service: this.#services.fleet.service,
      startedAt: new Date(session.startedMs).toISOString(),
      expiresAt: new Date(endsMs).toISOString(),
      at,
    };
    // The entry first, so that every session that can be used can be listed and revoked.
    await this.#store.set(indexPrefix + session.id, JSON.stringify(entry), { ttlMs });
    await this.#store.set(storedPrefix + at, await this.#seal.forStore(session, at), { ttlMs });
  }
}

/** @throws Error when sessions are kept in Redis and there is none */
export function keepingFor(options: LoginOptions, services: Services, seal: SessionSeal): SessionKeeping {
  const { store, testRun } = services;
  // No test of a policy has a session, so it does not matter where one would be kept.
  if (options.sessions === "cookie" || testRun !== undefined) return new CookieKeeping(seal);
  if (store === undefined) throw new Error('jwt.login.sessions: "redis" needs REDIS_URL');
  return new RedisKeeping(options, { ...services, store }, seal);
}
