// Sessions: what the cookie holds, how it becomes an identity, when it ends, and how its tokens are refreshed once in
// the whole fleet even while refresh tokens rotate.
import { randomUUID } from "node:crypto";
import type { Services } from "../../../src/plugin-api/contract.ts";
import { AccessTokens } from "./access-tokens.ts";
import { mapIdentity, missingClaim } from "../claims.ts";
import type { EndedSessions } from "./ended-sessions.ts";
import { accepted, type Accepted } from "../auth-result.ts";
import { cookieDigest, KnownSessions, type KnownSession } from "./known-sessions.ts";
import type { LoginOptions } from "../login/options.ts";
import { GrantRefused, type Provider, type Tokens } from "../login/provider.ts";
import type { RevokedSessions } from "./revoked-sessions.ts";
import { renewedClaims, userClaims } from "./session-claims.ts";
import { SessionCoordination } from "./session-coordination.ts";
import type { SessionKeeping } from "./session-keeping.ts";
import { marksOf } from "./session-marks.ts";
import { loginId, overMsOf, type Session, type SessionSeal } from "./session-seal.ts";
import {
  ended,
  goodElsewhere,
  gone,
  outOfReach,
  over,
  refreshRefused,
  unreadable,
  type ShutSession,
} from "./shut-session.ts";
import type { JsonObject } from "../tokens/token-parts.ts";

export interface OpenSession {
  readonly session: Session;
  readonly result: Accepted;
  /** Set when the tokens were refreshed: what the cookie is to hold from now on. */
  readonly renewed: string | undefined;
}

/** What became of a logout. */
export interface Logout {
  /** undefined = none of this login, or one that cannot be read now */
  readonly session: Session | undefined;
  /** Whether every sidecar knows of it, or will on asking. */
  readonly complete: boolean;
}

/** By which clocks of sidecars may differ. */
const clockSlackMs = 60_000;

export interface SessionParts {
  readonly options: LoginOptions;
  readonly services: Services;
  readonly seal: SessionSeal;
  readonly keeping: SessionKeeping;
  readonly provider: Provider;
  readonly ended: EndedSessions;
  readonly revoked: RevokedSessions;
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
    this.#fleet = new SessionCoordination(services, seal, options.timeoutMs);
    this.#known = new KnownSessions(services.clock, parts.ended, parts.revoked);
  }

  /** From the first tokens of a login; it starts before those were asked for: an end that was told meanwhile is its own. */
  begin(tokens: Tokens, claims: JsonObject, idTokenEndsMs: number, startedMs: number): Session {
    return {
      login: loginId(this.#options),
      id: randomUUID(),
      startedMs,
      overMs: this.#services.clock.now() + this.#options.sessionSeconds * 1000,
      endsMs: tokens.endsMs ?? idTokenEndsMs,
      refreshToken: tokens.refreshToken,
      idToken: tokens.idToken,
      accessToken: this.accessTokens.kept(tokens),
      claims: userClaims(claims, this.#options),
    };
  }

  /** @returns what the cookie is to hold. Rejects with `SessionTooLarge` or `StoreUnavailable`. */
  async keep(session: Session): Promise<string> {
    return await this.#keeping.begin(session);
  }

  /** From memory; undefined = `open` it. */
  getCached(cookie: string): Accepted | undefined {
    return this.#known.get(cookie);
  }

  /** Reads a session, asks whether it was ended, refreshes it when it is time. Never rejects. */
  async open(cookie: string, mayRefresh = true): Promise<OpenSession | ShutSession> {
    const opened = await this.#open(cookie, mayRefresh);
    if ("forget" in opened) this.#known.delete(cookie);
    return opened;
  }

  async #open(cookie: string, mayRefresh: boolean): Promise<OpenSession | ShutSession> {
    if (this.#ended.owed.has(cookieDigest(cookie))) return ended;
    // What is told from now on may come too late for the answers below.
    const openedMono = this.#services.clock.mono();
    const nowMs = this.#services.clock.now();
    let session: Session;
    try {
      const read = await this.#keeping.read(cookie);
      if (read === undefined) return unreadable;
      if (read === "gone") return gone;
      if ("ofAnotherLogin" in read) return goodElsewhere("of another login", read.startedMs);
      session = read;
      if (nowMs >= this.#overHereMs(session)) return over;
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
    if (nowMs >= current.endsMs) return over;
    // At every look: a policy that asks for more asks it of sessions that run, too.
    const missing = missingClaim(current.claims, this.#options.requiredClaims);
    if (missing !== undefined) return goodElsewhere(`claim ${missing}`, current.startedMs);
    const identity = this.#identityOf(current);
    if (typeof identity === "string") return unreadable;
    const result = accepted({ ...identity, expiresAt: current.endsMs });
    this.accessTokens.set(result.identity, current);
    if (current === session) {
      this.#remember(cookie, current, { result, openedMono });
      return { session, result, renewed: undefined };
    }
    try {
      const renewed = await this.#keeping.renew(cookie, current);
      if (await this.#endedMeanwhile(cookie, current)) return ended;
      if (renewed === undefined) this.#remember(cookie, current, { result, openedMono });
      return { session: current, result, renewed };
    } catch (error) {
      // Good for this request; not remembered, so that the next one tries again.
      this.#services.logger.warn({ err: error }, "a session that was refreshed could not be kept");
      return { session: current, result, renewed: undefined };
    }
  }

  /** Ends a session everywhere, here at once. Never rejects. */
  async end(cookie: string): Promise<Logout> {
    this.#known.delete(cookie);
    let session: Session | undefined;
    try {
      session = await this.#read(cookie);
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
          if (found !== undefined) await this.#end(cookie, found);
        },
      });
      return { session, complete: false };
    }
  }

  async #read(cookie: string): Promise<Session | undefined> {
    const session = await this.#keeping.read(cookie);
    return session === undefined || session === "gone" || "ofAnotherLogin" in session ? undefined : session;
  }

  /** Both, even where one of them fails: a full Redis still deletes. */
  async #end(cookie: string, session: Session): Promise<void> {
    const told = this.#ended.end(session.id, this.#leftMs(session));
    const [end, forgotten] = await Promise.allSettled([told, this.#keeping.forget(cookie, session)]);
    if (end.status === "rejected") throw end.reason;
    if (forgotten.status === "rejected") throw forgotten.reason;
  }

  /** How long its end must be remembered: other routes with this login may take it for longer than this one. */
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

  /** Rejects with `StoreUnavailable`. */
  async #wasEnded(session: Session): Promise<boolean> {
    const { id, startedMs } = session;
    const marks = this.#marksOf(session);
    const answers = await Promise.all([this.#ended.lookUp(id), this.#revoked.lookUp(marks, startedMs)]);
    return answers.includes(true);
  }

  /** A logout may have come while it was refreshed: it took away what was there then. Never rejects. */
  async #endedMeanwhile(cookie: string, session: Session): Promise<boolean> {
    // Out of reach: what was refreshed must reach the browser all the same, and the next look asks.
    const wasEnded = await this.#wasEnded(session).catch(() => false);
    if (wasEnded) await this.#keeping.forget(cookie, session).catch(() => {});
    return wasEnded;
  }

  #remember(cookie: string, session: Session, seen: Pick<KnownSession, "result" | "openedMono">): void {
    const known = { ...seen, id: session.id, marks: this.#marksOf(session), dueMs: this.#dueMs(session) };
    this.#known.set(cookie, known, session);
  }

  /** Epoch milliseconds from which a session has to be looked at again. */
  #dueMs(session: Session): number {
    const early = session.refreshToken === undefined ? 0 : this.#options.refreshBeforeSeconds * 1000;
    return Math.min(session.endsMs - early, this.#overHereMs(session));
  }

  /** Epoch milliseconds at which it is over on this route, which may take it for less time than where it began. */
  #overHereMs(session: Session): number {
    const here = session.startedMs + this.#options.sessionSeconds * 1000;
    return Math.min(here, overMsOf(session, this.#options));
  }

  async #refresh(session: Session, refreshToken: string): Promise<Session | ShutSession> {
    try {
      return await this.#fleet.once(session, refreshToken, () => this.#renew(session, refreshToken));
    } catch (error) {
      if (error instanceof GrantRefused) return refreshRefused;
      this.#services.logger.warn({ err: error }, "a session could not be refreshed");
      // Its tokens are still good for a moment: no reason to stop anybody.
      return this.#services.clock.now() < session.endsMs ? session : outOfReach;
    }
  }

  async #renew(session: Session, refreshToken: string): Promise<Session> {
    const tokens = await this.#provider.refresh(refreshToken);
    const verified =
      tokens.idToken === undefined
        ? undefined
        : await this.#provider.verifyIdToken(tokens.idToken, undefined);
    // OpenID Connect Core section 12.2: the refreshed ID token must be of the same user.
    if (verified !== undefined && verified.claims["sub"] !== session.claims["sub"]) {
      throw new GrantRefused("ID token: another subject");
    }
    return {
      ...session,
      endsMs: tokens.endsMs ?? verified?.endsMs ?? session.endsMs,
      refreshToken: tokens.refreshToken ?? refreshToken,
      idToken: tokens.idToken ?? session.idToken,
      accessToken: this.accessTokens.kept(tokens),
      claims:
        verified === undefined
          ? session.claims
          : renewedClaims(session.claims, verified.claims, this.#options),
    };
  }
}
