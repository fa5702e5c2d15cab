// Begins, opens, refreshes and ends sessions: what the cookie holds, and how it becomes an identity. Tokens are
// refreshed once in the whole fleet, even with rotating refresh tokens.
import { randomUUID } from "node:crypto";
import type { Services } from "../../../src/plugin-api/contract.ts";
import { AccessTokens } from "./access-tokens.ts";
import { mapIdentity, missingClaim } from "../claims.ts";
import type { EndedSessions } from "./ended-sessions.ts";
import { accepted, type Accepted } from "../auth-result.ts";
import { cookieDigest, KnownSessions, type KnownSession } from "./known-sessions.ts";
import type { LoginOptions } from "../login/options.ts";
import { GrantRefused, type Provider, type Tokens } from "../login/provider.ts";
import type { RevokedSessions, SessionStart } from "./revoked-sessions.ts";
import { userClaims } from "./session-claims.ts";
import { SessionCoordination } from "./session-coordination.ts";
import type { SessionKeeping } from "./session-keeping.ts";
import { marksOf } from "./session-marks.ts";
import type { SessionRefreshes } from "./session-refreshes.ts";
import { renewSession } from "./session-renewal.ts";
import { unread, type Logout } from "./session-end.ts";
import { loginId, overMsOf, type Session, type SessionSeal } from "./session-seal.ts";
import {
  ended,
  goodElsewhere,
  gone,
  outOfReach,
  over,
  overHere,
  refreshRefused,
  unreadable,
  type ShutSession,
} from "./shut-session.ts";
import type { JsonObject } from "../tokens/token-parts.ts";

export interface OpenSession {
  readonly session: Session;
  readonly result: Accepted;
  /** The cookie's new value. Set when the tokens were refreshed and the cookie changes. */
  readonly renewed: string | undefined;
}

/** Largest clock skew between sidecars. */
const clockSlackMs = 60_000;

/** What outlives a login: the process has one of each. */
export interface SessionMemory {
  readonly ended: EndedSessions;
  readonly revoked: RevokedSessions;
  readonly refreshes: SessionRefreshes;
}

export interface SessionParts extends SessionMemory {
  readonly options: LoginOptions;
  readonly services: Services;
  readonly seal: SessionSeal;
  readonly keeping: SessionKeeping;
  readonly provider: Provider;
}

export class Sessions {
  readonly #options: LoginOptions;
  readonly #services: Services;
  readonly #keeping: SessionKeeping;
  readonly #provider: Provider;
  readonly #fleet: SessionCoordination;
  readonly #ended: EndedSessions;
  readonly #revoked: RevokedSessions;
  readonly #known: KnownSessions;
  readonly accessTokens: AccessTokens;

  constructor(parts: SessionParts) {
    const { options, services, seal } = parts;
    this.#options = options;
    this.accessTokens = new AccessTokens(options);
    this.#services = services;
    this.#keeping = parts.keeping;
    this.#revoked = parts.revoked;
    this.#provider = parts.provider;
    this.#ended = parts.ended;
    this.#fleet = new SessionCoordination(services, seal, options.timeoutMs, parts.refreshes);
    this.#known = new KnownSessions(services.clock, parts.ended, parts.revoked);
  }

  /**
   * Makes a session from the first tokens of a login.
   * @param start taken before the tokens were requested, so that an end told meanwhile also ends this session
   */
  begin(tokens: Tokens, claims: JsonObject, idTokenEndsMs: number, start: SessionStart): Session {
    return {
      login: loginId(this.#options),
      id: randomUUID(),
      ...start,
      overMs: this.#services.clock.now() + this.#options.sessionSeconds * 1000,
      endsMs: tokens.endsMs ?? idTokenEndsMs,
      refreshToken: tokens.refreshToken,
      idToken: tokens.idToken,
      accessToken: this.accessTokens.kept(tokens),
      claims: userClaims(claims, this.#options),
    };
  }

  /** @returns the cookie's value. Rejects with `SessionTooLarge` or `StoreUnavailable`. */
  async keep(session: Session): Promise<string> {
    return await this.#keeping.begin(session);
  }

  /** @returns the result from memory; undefined = `open` the session */
  getCached(cookie: string): Accepted | undefined {
    return this.#known.get(cookie);
  }

  /** Reads a session, checks whether it was ended, and refreshes it when due. Never rejects. */
  async open(cookie: string, mayRefresh = true): Promise<OpenSession | ShutSession> {
    const opened = await this.#open(cookie, mayRefresh);
    if ("forget" in opened) this.#known.delete(cookie);
    return opened;
  }

  async #open(cookie: string, mayRefresh: boolean): Promise<OpenSession | ShutSession> {
    if (this.#ended.owed.has(cookieDigest(cookie))) return ended;
    // An end that is told after this moment may be missing from the answers below.
    const openedMono = this.#services.clock.mono();
    const nowMs = this.#services.clock.now();
    let session: Session;
    try {
      const read = await this.#keeping.read(cookie);
      if (read === undefined) return unreadable;
      if (read === "gone") return gone;
      if ("ofAnotherLogin" in read) return goodElsewhere("of another login", read.startedMs);
      session = read;
      if (nowMs >= overMsOf(session, this.#options)) return over;
      if (nowMs >= this.#overHereMs(session)) return overHere;
      if (await this.#wasEnded(session)) return ended;
    } catch {
      return outOfReach;
    }
    const due = nowMs >= this.#dueMs(session);
    const current =
      mayRefresh && due && session.refreshToken !== undefined
        ? await this.#refresh(session, session.refreshToken)
        : session;
    if ("forget" in current) return current;
    const kept = current === session ? { renewed: undefined } : await this.#keepRenewed(cookie, current);
    if (kept === "ended") return ended;
    const renewed = kept?.renewed;
    const result = this.#judge(current, current !== session);
    // Its old refresh token is spent: the browser gets the new session, even if this route does not accept it.
    if ("forget" in result) return renewed === undefined ? result : { ...result, session: current, renewed };
    this.accessTokens.set(result.identity, current);
    if (kept !== undefined && renewed === undefined) this.#remember(cookie, current, { result, openedMono });
    return { session: current, result, renewed };
  }

  /** @param isRefreshed whether its tokens were just refreshed */
  #judge(session: Session, isRefreshed: boolean): Accepted | ShutSession {
    // A refresh that prolongs nothing is one whose ID token could not be verified (session-renewal.ts).
    if (this.#services.clock.now() >= session.endsMs) return isRefreshed ? outOfReach : over;
    // Checked each time the session is opened, so that new requirements of a policy also apply to running sessions.
    const missing = missingClaim(session.claims, this.#options.requiredClaims);
    if (missing !== undefined) return goodElsewhere(`claim ${missing}`, session.startedMs);
    const identity = this.#identityOf(session);
    if (typeof identity === "string") return unreadable;
    return accepted({ ...identity, expiresAt: session.endsMs });
  }

  /**
   * @returns the cookie's new value, if it changes; undefined = the session is good for this request, but must not be
   * cached, so that the next one tries again. Never rejects.
   */
  async #keepRenewed(
    cookie: string,
    session: Session,
  ): Promise<{ readonly renewed: string | undefined } | "ended" | undefined> {
    try {
      const renewed = await this.#keeping.renew(cookie, session);
      return (await this.#endedMeanwhile(cookie, session)) ? "ended" : { renewed };
    } catch (error) {
      this.#services.logger.warn({ err: error }, "a session that was refreshed could not be kept");
      return undefined;
    }
  }

  /** Ends a session everywhere, here at once. Never rejects. */
  async end(cookie: string): Promise<Logout> {
    this.#known.delete(cookie);
    let session: Session | undefined;
    try {
      const found = await this.#read(cookie);
      if (found === "unread") return unread;
      session = found;
      if (session !== undefined) await this.#end(cookie, session);
      return { session, complete: true };
    } catch (error) {
      const text = "a session that was logged out is ended here alone; other sidecars will be told";
      this.#services.logger.warn({ err: error }, text);
      const read = session;
      this.#ended.owed.add(cookieDigest(cookie), {
        untilMs: this.#services.clock.now() + (read === undefined ? this.#lifeMs : this.#leftMs(read)),
        tell: async () => {
          const found = read ?? (await this.#read(cookie));
          if (found !== undefined && found !== "unread") await this.#end(cookie, found);
        },
      });
      return { session, complete: false };
    }
  }

  async #read(cookie: string): Promise<Session | "unread" | undefined> {
    const read = await this.#keeping.read(cookie);
    if (read === "gone") return undefined;
    return read === undefined || "ofAnotherLogin" in read ? "unread" : read;
  }

  /** Tells of the end and deletes the session, even if one of the two fails: a full Redis can still delete. */
  async #end(cookie: string, session: Session): Promise<void> {
    const told = this.#ended.end(session.id, this.#leftMs(session));
    const [end, forgotten] = await Promise.allSettled([told, this.#keeping.forget(cookie, session)]);
    if (end.status === "rejected") throw end.reason;
    if (forgotten.status === "rejected") throw forgotten.reason;
  }

  /**
   * How long the end must be remembered (ms): other routes with this login may accept the session longer than this one.
   */
  #leftMs(session: Session): number {
    return Math.max(0, overMsOf(session, this.#options) - this.#services.clock.now()) + clockSlackMs;
  }

  get #lifeMs(): number {
    return this.#options.sessionSeconds * 1000 + clockSlackMs;
  }

  close(): void {
    this.#known.close();
  }

  #identityOf({ claims }: Session): ReturnType<typeof mapIdentity> {
    return mapIdentity(claims, this.#options.claims, "session", this.#options.issuer);
  }

  #marksOf(session: Session): readonly string[] {
    const identity = this.#identityOf(session);
    return marksOf(this.#options, session.claims, typeof identity === "string" ? "" : identity.userId);
  }

  /** Whether a session was ended. Rejects with `StoreUnavailable`. */
  async #wasEnded(session: Session): Promise<boolean> {
    const marks = this.#marksOf(session);
    const answers = await Promise.all([this.#ended.lookUp(session.id), this.#revoked.lookUp(marks, session)]);
    return answers.includes(true);
  }

  /** Whether a logout came during the refresh: it deleted only what was stored then. Never rejects. */
  async #endedMeanwhile(cookie: string, session: Session): Promise<boolean> {
    // If Redis is out of reach, the refreshed session must still reach the browser. The next request asks again.
    const wasEnded = await this.#wasEnded(session).catch(() => false);
    if (wasEnded) await this.#keeping.forget(cookie, session).catch(() => {});
    return wasEnded;
  }

  #remember(cookie: string, session: Session, seen: Pick<KnownSession, "result" | "openedMono">): void {
    const known = { ...seen, id: session.id, marks: this.#marksOf(session), dueMs: this.#dueMs(session) };
    this.#known.set(cookie, known, session);
  }

  /** @returns when a session has to be opened again (epoch ms) */
  #dueMs(session: Session): number {
    const early = session.refreshToken === undefined ? 0 : this.#options.refreshBeforeSeconds * 1000;
    return Math.min(session.endsMs - early, this.#overHereMs(session));
  }

  /** @returns when a session is over on this route (epoch ms), which may accept it for less time than where it began */
  #overHereMs(session: Session): number {
    const here = session.startedMs + this.#options.sessionSeconds * 1000;
    return Math.min(here, overMsOf(session, this.#options));
  }

  async #refresh(session: Session, refreshToken: string): Promise<Session | ShutSession> {
    try {
      const { accessTokens } = this;
      const parts = {
        options: this.#options,
        services: this.#services,
        provider: this.#provider,
        accessTokens,
      };
      return await this.#fleet.once(session, refreshToken, () => renewSession(session, refreshToken, parts));
    } catch (error) {
      if (error instanceof GrantRefused) return refreshRefused;
      this.#services.logger.warn({ err: error }, "a session could not be refreshed");
      // Its tokens are still good for a moment, so let the caller go on.
      return this.#services.clock.now() < session.endsMs ? session : outOfReach;
    }
  }
}
