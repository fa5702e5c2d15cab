// Sessions as they lie elsewhere: sealed for the browser, or sealed for other sidecars in Redis. Each seal says what it
// is for and whose it is, and whatever does not fit is no session.
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
  /** Epoch milliseconds at which it is over on every route, whatever is refreshed; absent in those of earlier versions. */
  overMs: z.number().optional(),
  /** Epoch milliseconds at which the tokens end. */
  endsMs: z.number(),
  refreshToken: z.string().optional(),
  idToken: z.string().optional(),
  accessToken: z.string().optional(),
  claims: z.record(z.string(), z.unknown()),
});
export type Session = z.output<typeof sessionShape>;

/** One that counts elsewhere. */
export interface OtherSession {
  readonly ofAnotherLogin: true;
  /** Epoch milliseconds. */
  readonly startedMs: number;
}

const storedShape = z.strictObject({ at: z.string(), session: sessionShape });
const refreshedShape = z.strictObject({ refresh: z.string(), session: sessionShape });

/**
 * Tells logins apart: what was sealed at one must not count at another (RFC 8725 section 2.8, OpenID Connect Core
 * section 3.1.3.7). Routes that agree on all of this share their sessions.
 */
export function loginId({ issuer, clientId, publicUrl, cookieName }: LoginOptions): string {
  const facts = [issuer, clientId, new URL(publicUrl).origin, cookieName];
  return hash("sha256", JSON.stringify(facts), "base64url");
}

/** Epoch milliseconds at which a session is over everywhere: as long must its end be remembered. */
export function overMsOf({ overMs, startedMs }: Session, { sessionSeconds }: LoginOptions): number {
  return overMs ?? startedMs + sessionSeconds * 1000;
}

/** Names one use of one session's refresh token. */
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

  /** A ticket that is worth a look into Redis: anybody can write down a random one. */
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

  /** @returns undefined for what was not sealed here for a browser */
  async fromBrowser(sealed: string): Promise<Session | OtherSession | undefined> {
    const session = sessionShape.safeParse(await this.#sealer.open("session", sealed)).data;
    return session && this.#ownOf(session);
  }

  /** @param at where it will lie: moved elsewhere, it is no session */
  async forStore(session: Session, at: string): Promise<string> {
    return await this.#sealer.seal("stored", { at, session });
  }

  /** @returns undefined for what was not sealed here for that place */
  async fromStore(sealed: string, at: string): Promise<Session | OtherSession | undefined> {
    const stored = storedShape.safeParse(await this.#sealer.open("stored", sealed)).data;
    if (stored === undefined || stored.at !== at) return undefined;
    return this.#ownOf(stored.session);
  }

  #ownOf(session: Session): Session | OtherSession {
    if (session.login === this.#login) return session;
    return { ofAnotherLogin: true, startedMs: session.startedMs };
  }

  /** @param refresh digest of the refresh that gave it */
  async forFleet(session: Session, refresh: string): Promise<string> {
    return await this.#sealer.seal("refreshed", { refresh, session });
  }

  /** @returns undefined for all that is not what this refresh of this session gave */
  async fromFleet(sealed: string, refresh: string, of: Session): Promise<Session | undefined> {
    const result = refreshedShape.safeParse(await this.#sealer.open("refreshed", sealed)).data;
    if (result === undefined || result.refresh !== refresh) return undefined;
    const { session } = result;
    const same = session.login === this.#login && session.id === of.id;
    return same && session.claims["sub"] === of.claims["sub"] ? session : undefined;
  }
}
