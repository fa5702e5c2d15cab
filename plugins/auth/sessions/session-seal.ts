// Seals sessions for the browser, and for other sidecars in Redis. Each seal says what it is for and whose session it
// is. A text that does not fit is no session.
import { hash } from "node:crypto";
import { z } from "zod";
import type { CookieSealer } from "./cookie-sealer.ts";
import type { LoginOptions } from "../login/options.ts";

const sessionShape = z.strictObject({
  /** `loginId` of the login that began it. */
  login: z.string(),
  id: z.string(),
  /** Epoch milliseconds. */
  startedMs: z.number(),
  /** The same by the clock of Redis, where that is too far from the sidecar's. Ends are compared with it. */
  storeStartedMs: z.number().optional(),
  /** When it is over on every route, even if refreshed (epoch ms); undefined in sessions of earlier versions. */
  overMs: z.number().optional(),
  /** When the tokens end (epoch ms). */
  endsMs: z.number(),
  refreshToken: z.string().optional(),
  idToken: z.string().optional(),
  accessToken: z.string().optional(),
  claims: z.record(z.string(), z.unknown()),
});
export type Session = z.output<typeof sessionShape>;

/** A session of another login, which counts there. */
export interface OtherSession {
  readonly ofAnotherLogin: true;
  /** Epoch milliseconds. */
  readonly startedMs: number;
}

const storedShape = z.strictObject({ at: z.string(), session: sessionShape });
const refreshedShape = z.strictObject({ refresh: z.string(), session: sessionShape });

/**
 * @returns an id that tells logins apart: what was sealed at one login must not count at another (RFC 8725 section 2.8,
 * OpenID Connect Core section 3.1.3.7). Routes that agree on all these facts share their sessions.
 */
export function loginId({ issuer, clientId, publicUrl, cookieName }: LoginOptions): string {
  const facts = [issuer, clientId, new URL(publicUrl).origin, cookieName];
  return hash("sha256", JSON.stringify(facts), "base64url");
}

/** @returns when a session is over everywhere (epoch ms). Its end must be remembered that long. */
export function overMsOf({ overMs, startedMs }: Session, { sessionSeconds }: LoginOptions): number {
  return overMs ?? startedMs + sessionSeconds * 1000;
}

/** @returns a name for one use of one session's refresh token */
export function refreshDigest({ id }: Session, refreshToken: string): string {
  return hash("sha256", `${id}\n${refreshToken}`, "hex");
}

export class SessionSeal {
  readonly #sealer: CookieSealer;
  readonly #login: string;

  constructor(sealer: CookieSealer, options: LoginOptions) {
    this.#sealer = sealer;
    this.#login = loginId(options);
  }

  /**
   * Marks a ticket as issued here. Anybody can make up a random ticket, and only a marked one is looked up in Redis.
   */
  marked(ticket: string): string {
    return `${ticket}.${this.#sealer.mark(this.#marking(ticket))}`;
  }

  isMarked(marked: string): boolean {
    const at = marked.indexOf(".");
    return this.#sealer.isMarked(this.#marking(marked.slice(0, at)), marked.slice(at + 1));
  }

  #marking(ticket: string): string {
    return `ticket ${this.#login} ${ticket}`;
  }

  async forBrowser(session: Session): Promise<string> {
    return await this.#sealer.seal("session", session);
  }

  /** @returns undefined for a text that was not sealed here for a browser */
  async fromBrowser(sealed: string): Promise<Session | OtherSession | undefined> {
    const session = sessionShape.safeParse(await this.#sealer.open("session", sealed)).data;
    return session && this.#ownOf(session);
  }

  /** @param at the place in Redis. If the text is moved to another place, it is no session. */
  async forStore(session: Session, at: string): Promise<string> {
    return await this.#sealer.seal("stored", { at, session });
  }

  /** @returns undefined for a text that was not sealed here for that place */
  async fromStore(sealed: string, at: string): Promise<Session | OtherSession | undefined> {
    const stored = storedShape.safeParse(await this.#sealer.open("stored", sealed)).data;
    if (stored === undefined || stored.at !== at) return undefined;
    return this.#ownOf(stored.session);
  }

  #ownOf(session: Session): Session | OtherSession {
    if (session.login === this.#login) return session;
    return { ofAnotherLogin: true, startedMs: session.startedMs };
  }

  /** @param refresh digest of the refresh that gave the session */
  async forFleet(session: Session, refresh: string): Promise<string> {
    return await this.#sealer.seal("refreshed", { refresh, session });
  }

  /** @returns the session that this refresh of session `of` gave; undefined for any other text */
  async fromFleet(sealed: string, refresh: string, of: Session): Promise<Session | undefined> {
    const result = refreshedShape.safeParse(await this.#sealer.open("refreshed", sealed)).data;
    if (result === undefined || result.refresh !== refresh) return undefined;
    const { session } = result;
    const same = session.login === this.#login && session.id === of.id;
    return same && session.claims["sub"] === of.claims["sub"] ? session : undefined;
  }
}
