// Keeps the logins under way in a browser: a few at a time, each in a place of its own with two cookies. The first
// cookie, sealed, holds the login and goes only to the callback. The second, a small mark under the session cookie's
// prefix, says when the place was taken and binds the login to this browser: a sibling host can set `__Secure-` cookies
// but no `__Host-` ones.
import { randomBytes, randomInt, timingSafeEqual } from "node:crypto";
import { z } from "zod";
import type { Clock, OwnedCookie } from "../../../src/plugin-api/contract.ts";
import type { CookieSealer } from "../sessions/cookie-sealer.ts";
import { readCookie, writeCookie, type CookieShape } from "../sessions/cookies.ts";
import { pendingNames, pendingPlaces } from "./login-cookies.ts";
import type { LoginOptions } from "./options.ts";
import { GrantRefused } from "./provider.ts";
import { loginId } from "../sessions/session-seal.ts";

const shape = z.strictObject({
  /** `loginId` of the login where it began. */
  login: z.string(),
  redirectUri: z.string(),
  mark: z.string(),
  /** The first part of the state that the provider gives back. */
  state: z.string(),
  nonce: z.string(),
  verifier: z.string(),
  returnTo: z.string(),
  endsMs: z.number(),
});
export type PendingLogin = z.output<typeof shape>;

const lostShape = z.strictObject({
  login: z.string(),
  returnTo: z.string(),
  /** Whether it had been lost before. */
  again: z.boolean(),
  endsMs: z.number(),
});
/** A login whose place another one has taken. The state itself holds the page to return to. */
export type LostLogin = z.output<typeof lostShape>;

const seconds = 600;
/** Some providers accept a state of little more than 1,000 characters. */
const maxReturn = 256;
const markText = /^([0-9a-z]{1,10})\.[\w-]{43}$/;
/** A ticket (its place and a random part), and the sealed `LostLogin` in case the cookies are lost. */
const stateText = /^(([0-3])\.[\w-]{43})\.([\w.-]{1,2000})$/;
const random = (): string => randomBytes(32).toString("base64url");

export class PendingLogins {
  /** Names of all its cookies, with the `Set-Cookie` lines that end them. */
  readonly cookies: readonly OwnedCookie[];
  readonly redirectUri: string;
  readonly #login: string;
  readonly #sealer: CookieSealer;
  readonly #clock: Clock;
  readonly #callbackPath: string;
  readonly #marks: readonly CookieShape[];
  readonly #flows: readonly CookieShape[];

  constructor(options: LoginOptions, sealer: CookieSealer, clock: Clock) {
    const { cookieName, secureCookie: secure } = options;
    const callback = new URL(options.callbackPath, options.publicUrl);
    this.redirectUri = callback.href;
    this.#callbackPath = callback.pathname;
    this.#login = loginId(options);
    this.#sealer = sealer;
    this.#clock = clock;
    const names = pendingPlaces.map((place) => pendingNames(cookieName, place));
    this.#marks = names.map(({ mark }) => ({ name: mark, secure }));
    this.#flows = names.map(({ flow }) => ({ name: flow, secure }));
    this.cookies = pendingPlaces.flatMap((place) => {
      const [flow = "", mark = ""] = this.#ended(place);
      return [
        { name: this.#flow(place).name, expiry: flow },
        { name: this.#mark(place).name, expiry: mark },
      ];
    });
  }

  /**
   * Begins a login in a free place, or else in the place of the oldest login, which ends.
   * @param cookies of the request
   * @param again whether the login had been lost before
   * @returns the login, the state for the provider, and the `Set-Cookie` values that hold the login
   */
  async begin(
    cookies: string | undefined,
    returnTo: string,
    again: boolean,
  ): Promise<{ pending: PendingLogin; state: string; cookies: string[] }> {
    const place = this.#placeIn(cookies);
    const nowMs = this.#clock.now();
    const pending = {
      login: this.#login,
      redirectUri: this.redirectUri,
      mark: `${nowMs.toString(36)}.${random()}`,
      state: `${place}.${random()}`,
      nonce: random(),
      verifier: random(),
      returnTo,
      endsMs: nowMs + seconds * 1000,
    };
    const sealed = await this.#sealer.seal("login", pending);
    const flow = writeCookie(this.#flow(place), this.#callbackPath, sealed, seconds);
    const mark = writeCookie(this.#mark(place), "/", pending.mark, seconds);
    const page = returnTo.length > maxReturn ? "/" : returnTo;
    const lost: LostLogin = { login: this.#login, returnTo: page, again, endsMs: pending.endsMs };
    const state = `${pending.state}.${await this.#sealer.seal("return", lost)}`;
    return { pending, state, cookies: [flow, mark] };
  }

  /** @returns what the state holds of a login that `find` does not find. Nothing in it lets anybody in. */
  async lost(state: string): Promise<LostLogin | undefined> {
    const sealed = stateText.exec(state)?.[3] ?? "";
    const lost = lostShape.safeParse(await this.#sealer.open("return", sealed)).data;
    return lost?.login === this.#login && this.#clock.now() < lost.endsMs ? lost : undefined;
  }

  /**
   * @returns the login that the provider's answer belongs to; undefined = this browser has none. Rejects with
   * `GrantRefused`.
   */
  async find(cookies: string | undefined, state: string): Promise<PendingLogin | undefined> {
    const [, ticket, number] = stateText.exec(state) ?? [];
    if (ticket === undefined) return undefined;
    const place = Number(number);
    const sealed = readCookie(cookies, this.#flow(place).name);
    if (sealed === undefined) return undefined;
    const pending = shape.safeParse(await this.#sealer.open("login", sealed)).data;
    if (pending === undefined || !isSame(ticket, pending.state)) return undefined;
    if (!isSame(readCookie(cookies, this.#mark(place).name) ?? "", pending.mark)) return undefined;
    if (pending.login !== this.#login || pending.redirectUri !== this.redirectUri)
      throw new GrantRefused("it was begun at another login");
    if (this.#clock.now() >= pending.endsMs) throw new GrantRefused("the login took too long");
    return pending;
  }

  /** Whether this browser has any login under way. */
  any(cookies: string | undefined): boolean {
    return this.#marks.some(({ name }) => readCookie(cookies, name) !== undefined);
  }

  /** @returns the `Set-Cookie` values that end a login */
  ended({ state }: PendingLogin): string[] {
    return this.#ended(Number(state[0]));
  }

  #ended(place: number): string[] {
    return [
      writeCookie(this.#flow(place), this.#callbackPath, "", 0),
      writeCookie(this.#mark(place), "/", "", 0),
    ];
  }

  /** Picks a random free place, as tabs that begin at once do not see each other's cookies. */
  #placeIn(cookies: string | undefined): number {
    const nowMs = this.#clock.now();
    const free: number[] = [];
    let oldest = 0;
    let oldestMs = Infinity;
    for (const [place, { name }] of this.#marks.entries()) {
      const begun = markText.exec(readCookie(cookies, name) ?? "")?.[1];
      const begunMs = begun === undefined ? 0 : Number.parseInt(begun, 36);
      if (begunMs > nowMs || begunMs + seconds * 1000 <= nowMs) free.push(place);
      else if (begunMs < oldestMs) [oldest, oldestMs] = [place, begunMs];
    }
    return free[randomInt(Math.max(1, free.length))] ?? oldest;
  }

  #mark(place: number): CookieShape {
    return this.#marks[place] as CookieShape;
  }

  #flow(place: number): CookieShape {
    return this.#flows[place] as CookieShape;
  }
}

function isSame(given: string, wanted: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(wanted)];
  return a.length === b.length && timingSafeEqual(a, b);
}
