// Sessions: what the cookie holds, how it becomes an identity, when it ends, and how its tokens are refreshed once in
// the whole fleet even while refresh tokens rotate.
import { hash, randomUUID } from "node:crypto";
import type { Services } from "../../src/pipeline/contract.ts";
import { boundedCache } from "./bounded-cache.ts";
import { mapIdentity, missingClaim } from "./claims.ts";
import type { EndedSessions } from "./ended-sessions.ts";
import { accepted, refused, unavailable, type Accepted, type Finding } from "./finding.ts";
import type { LoginOptions } from "./options-jwt.ts";
import { GrantRefused, type Provider, type Tokens } from "./provider.ts";
import { SessionFleet } from "./session-fleet.ts";
import { loginId, type Session, type SessionSeal } from "./session-seal.ts";
import type { JsonObject } from "./token-parts.ts";

export interface OpenSession {
  readonly session: Session;
  readonly finding: Accepted;
  /** Set when the tokens were refreshed: the sealed session that the browser is to keep from now on. */
  readonly renewed: string | undefined;
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
const maxKnown = 16_384;
const unwatchedMs = 900;

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
  readonly provider: Provider;
  readonly ended: EndedSessions;
}

export class Sessions {
  readonly #options: LoginOptions;
  readonly #services: Services;
  readonly #seal: SessionSeal;
  readonly #provider: Provider;
  readonly #fleet: SessionFleet;
  readonly #ended: EndedSessions;
  /** Ends what `onDoubt` began. */
  readonly #trust: () => void;
  readonly #known = boundedCache<OpenSession>(maxKnown);

  constructor(parts: SessionParts) {
    const { options, services, seal } = parts;
    this.#options = options;
    this.#services = services;
    this.#seal = seal;
    this.#provider = parts.provider;
    this.#ended = parts.ended;
    this.#fleet = new SessionFleet(services, seal, options.timeoutMs);
    this.#trust = parts.ended.onDoubt(() => this.#known.clear());
  }

  /** A new session from the first tokens of a login. */
  begin(tokens: Tokens, claims: JsonObject, idTokenEndsMs: number): Session {
    return {
      login: loginId(this.#options),
      id: randomUUID(),
      startedMs: this.#services.clock.now(),
      endsMs: tokens.endsMs ?? idTokenEndsMs,
      refreshToken: tokens.refreshToken,
      idToken: tokens.idToken,
      claims: this.#userClaims(claims),
    };
  }

  async seal(session: Session): Promise<string> {
    return await this.#seal.forBrowser(session);
  }

  /** From memory; undefined = `open` it. */
  peek(sealed: string): Accepted | undefined {
    const known = this.#known.get(hash("sha256", sealed, "hex"));
    if (known === undefined || known.renewed !== undefined || this.#ended.has(known.session.id))
      return undefined;
    const { clock } = this.#services;
    if (this.#ended.unheard && clock.mono() - known.openedMono > unwatchedMs) return undefined;
    return clock.now() < this.#dueMs(known.session) ? known.finding : undefined;
  }

  /** Reads a sealed session, asks whether it was ended, refreshes it when it is time. Never rejects. */
  async open(sealed: string, mayRefresh = true): Promise<OpenSession | ShutSession> {
    const session = await this.#seal.fromBrowser(sealed);
    if (session === undefined) return unreadable;
    if (session === "of another login") return ofAnotherLogin;
    const nowMs = this.#services.clock.now();
    if (nowMs >= session.startedMs + this.#options.sessionSeconds * 1000) return over;
    try {
      if (await this.#ended.ask(session.id)) return ended;
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
    const identity = mapIdentity(current.claims, this.#options.claims, "session", this.#options.issuer);
    if (typeof identity === "string") return unreadable;
    const finding = accepted({ ...identity, expiresAt: current.endsMs });
    const openedMono = this.#services.clock.mono();
    const renewed = current === session ? undefined : await this.seal(current);
    const opened: OpenSession = { session: current, finding, renewed, openedMono };
    if (renewed === undefined) this.#known.set(hash("sha256", sealed, "hex"), opened);
    return opened;
  }

  /** @returns undefined for what was not sealed at this login */
  async read(sealed: string): Promise<Session | undefined> {
    const session = await this.#seal.fromBrowser(sealed);
    return session === "of another login" ? undefined : session;
  }

  /** Ends a session everywhere. Never rejects. */
  async end(session: Session): Promise<void> {
    await this.#ended.end(session.id, this.#options.sessionSeconds * 1000);
  }

  close(): void {
    this.#trust();
  }

  /** Epoch milliseconds from which a session has to be looked at again. */
  #dueMs(session: Session): number {
    const early = session.refreshToken === undefined ? 0 : this.#options.refreshBeforeSeconds * 1000;
    return Math.min(session.endsMs - early, session.startedMs + this.#options.sessionSeconds * 1000);
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
      claims: verified === undefined ? session.claims : this.#userClaims(verified.claims),
    };
  }
  /** What is kept of an ID token's claims. */
  #userClaims(claims: JsonObject): Record<string, unknown> {
    const required = Object.keys(this.#options.requiredClaims);
    const isKept = (name: string): boolean =>
      !tokenClaims.has(name) || required.some((path) => path === name || path.startsWith(`${name}.`));
    return Object.fromEntries(Object.entries(claims).filter(([name]) => isKept(name)));
  }
}
