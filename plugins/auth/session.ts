// Sessions: what the cookie holds, how it becomes an identity, when it ends, and how its tokens are refreshed once in
// the whole fleet even while refresh tokens rotate.
import { hash, randomUUID } from "node:crypto";
import { LRUCache } from "lru-cache";
import type { Services } from "../../src/pipeline/contract.ts";
import { mapIdentity, missingClaim } from "./claims.ts";
import type { EndedSessions } from "./ended-sessions.ts";
import { accepted, refused, unavailable, type Accepted, type Finding } from "./finding.ts";
import type { LoginOptions } from "./options-jwt.ts";
import { GrantRefused, type Provider, type Tokens } from "./provider.ts";
import type { RevokedSessions } from "./revoked-sessions.ts";
import { SessionFleet } from "./session-fleet.ts";
import type { SessionKeeping } from "./session-keeping.ts";
import { marksOf } from "./session-marks.ts";
import { loginId, overMsOf, type Session, type SessionSeal } from "./session-seal.ts";
import type { JsonObject } from "./token-parts.ts";

export interface OpenSession {
  readonly session: Session;
  readonly finding: Accepted;
  /** Set when the tokens were refreshed: what the cookie is to hold from now on. */
  readonly renewed: string | undefined;
}

/** What is remembered of a session that was opened. */
interface KnownSession {
  readonly finding: Accepted;
  readonly id: string;
  readonly marks: readonly string[];
  /** Epoch milliseconds from which it has to be looked at again. */
  readonly dueMs: number;
  /** Monotonic milliseconds at which it was looked at. */
  readonly openedMono: number;
}

/** A session that lets nobody in. */
export interface ShutSession {
  readonly finding: Exclude<Finding, Accepted>;
  /** It is good nowhere: the browser is to forget it. */
  readonly forget: boolean;
}

/** Claims that say something about the ID token and not about the user. */
const tokenClaims = new Set([
  "nonce",
  "at_hash",
  "c_hash",
  "s_hash",
  "azp",
  "jti",
  "nbf",
  "exp",
  "iat",
  "auth_time",
]);
/** Some 16,384 sessions of the usual size. */
const knownBytes = 33_554_432;
const entryBytes = 1_500;
const unwatchedMs = 900;
/** By which clocks of sidecars may differ. */
const clockSlackMs = 60_000;

const shut = (because: string, forget: boolean): ShutSession => ({
  finding: refused("session", `session: ${because}`),
  forget,
});
const unreadable = shut("not readable", true);
const over = shut("over", true);
const ended = shut("logged out", true);
const refreshRefused = shut("the provider refused to refresh it", true);
// Its own login may still take it, on other routes.
const ofAnotherLogin = shut("of another login", false);
const outOfReach: ShutSession = {
  finding: unavailable("session", "session: redis or the provider is out of reach"),
  forget: false,
};

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
  readonly #fleet: SessionFleet;
  readonly #ended: EndedSessions;
  readonly #revoked: RevokedSessions;
  /** Ends what `onDoubt` began. */
  readonly #trust: () => void;
  readonly #known = new LRUCache<string, KnownSession>({ maxSize: knownBytes });

  constructor(parts: SessionParts) {
    const { options, services, seal } = parts;
    this.#options = options;
    this.#services = services;
    this.#keeping = parts.keeping;
    this.#revoked = parts.revoked;
    this.#provider = parts.provider;
    this.#ended = parts.ended;
    this.#fleet = new SessionFleet(services, seal, options.timeoutMs);
    this.#trust = parts.ended.onDoubt(() => this.#known.clear());
  }

  /** A new session from the first tokens of a login. */
  begin(tokens: Tokens, claims: JsonObject, idTokenEndsMs: number): Session {
    const startedMs = this.#services.clock.now();
    return {
      login: loginId(this.#options),
      id: randomUUID(),
      startedMs,
      overMs: startedMs + this.#options.sessionSeconds * 1000,
      endsMs: tokens.endsMs ?? idTokenEndsMs,
      refreshToken: tokens.refreshToken,
      idToken: tokens.idToken,
      claims: this.#userClaims(claims),
    };
  }

  /** @returns what the cookie is to hold. Rejects with `SessionTooLarge` or `StoreUnavailable`. */
  async keep(session: Session): Promise<string> {
    return await this.#keeping.begin(session);
  }

  /** From memory; undefined = `open` it. */
  peek(cookie: string): Accepted | undefined {
    const known = this.#known.get(hash("sha256", cookie, "hex"));
    if (known === undefined || this.#ended.has(known.id)) return undefined;
    if (this.#revoked.heardSince(known.marks, known.openedMono)) return undefined;
    const { clock } = this.#services;
    if (this.#ended.unheard && clock.mono() - known.openedMono > unwatchedMs) return undefined;
    return clock.now() < known.dueMs ? known.finding : undefined;
  }

  /** Reads a session, asks whether it was ended, refreshes it when it is time. Never rejects. */
  async open(cookie: string, mayRefresh = true): Promise<OpenSession | ShutSession> {
    // What is told from now on may come too late for the answers below.
    const openedMono = this.#services.clock.mono();
    const nowMs = this.#services.clock.now();
    let session: Session;
    try {
      const read = await this.#keeping.read(cookie);
      if (read === undefined) return unreadable;
      if (read === "of another login") return ofAnotherLogin;
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
    if (missing !== undefined) return shut(`claim ${missing}`, false);
    const identity = this.#identityOf(current);
    if (typeof identity === "string") return unreadable;
    const finding = accepted({ ...identity, expiresAt: current.endsMs });
    if (current === session) {
      this.#remember(cookie, current, { finding, openedMono });
      return { session, finding, renewed: undefined };
    }
    try {
      const renewed = await this.#keeping.renew(cookie, current);
      if (renewed === undefined) this.#remember(cookie, current, { finding, openedMono });
      return { session: current, finding, renewed };
    } catch (error) {
      // Good for this request; not remembered, so that the next one tries again.
      this.#services.logger.warn({ err: error }, "a session that was refreshed could not be kept");
      return { session: current, finding, renewed: undefined };
    }
  }

  /** Ends a session everywhere. Never rejects. @returns what it was; undefined for none of this login */
  async end(cookie: string): Promise<Session | undefined> {
    try {
      const session = await this.#keeping.read(cookie);
      if (session === undefined || session === "of another login") return undefined;
      // Other routes with this login may take it for longer than this one.
      const leftMs = overMsOf(session, this.#options) - this.#services.clock.now();
      await this.#ended.end(session.id, Math.max(0, leftMs) + clockSlackMs);
      await this.#keeping.forget(cookie, session);
      return session;
    } catch (error) {
      // The browser forgets it in any case.
      this.#services.logger.warn({ err: error }, "a session that was logged out could not be ended in Redis");
      return undefined;
    }
  }

  close(): void {
    this.#trust();
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
    const answers = await Promise.all([this.#ended.ask(id), this.#revoked.ask(marks, startedMs)]);
    return answers.includes(true);
  }

  #remember(cookie: string, session: Session, seen: Pick<KnownSession, "finding" | "openedMono">): void {
    const known = { ...seen, id: session.id, marks: this.#marksOf(session), dueMs: this.#dueMs(session) };
    // The claims may be large: groups of a directory by the hundred.
    const size = entryBytes + JSON.stringify(session.claims).length;
    this.#known.set(hash("sha256", cookie, "hex"), known, { size });
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
      claims: verified === undefined ? session.claims : this.#renewedClaims(session, verified.claims),
    };
  }
  /** A refreshed ID token may leave out `sid`, by which the provider will tell of the logout. */
  #renewedClaims({ claims: { sid } }: Session, claims: JsonObject): Record<string, unknown> {
    return { ...(sid !== undefined && { sid }), ...this.#userClaims(claims) };
  }

  /** What is kept of an ID token's claims. */
  #userClaims(claims: JsonObject): Record<string, unknown> {
    const required = Object.keys(this.#options.requiredClaims);
    const isKept = (name: string): boolean =>
      !tokenClaims.has(name) || required.some((path) => path === name || path.startsWith(`${name}.`));
    return Object.fromEntries(Object.entries(claims).filter(([name]) => isKept(name)));
  }
}
