// Logs browsers in by the OpenID Connect authorization-code flow with PKCE (RFC 7636), state and nonce. All state of a
// login is in encrypted cookies, so any sidecar can finish what another one began.
import {
  GatewayError,
  StoreUnavailable,
  type Exchange,
  type ExchangeResponse,
  type Identity,
  type OwnedCookie,
  type Services,
  type Verdict,
} from "../../../src/plugin-api/contract.ts";
import { authorizationUrl } from "./authorization-request.ts";
import { backchannelFor, type BackchannelLogout } from "./backchannel-logout.ts";
import { CookieSealer } from "../sessions/cookie-sealer.ts";
import {
  chunkNames,
  clearChunks,
  holdsCookie,
  readChunks,
  writeChunks,
  type CookieShape,
} from "../sessions/cookies.ts";
import { refused, type AuthResult } from "../auth-result.ts";
import type { JwksSource } from "../issuers/jwks.ts";
import { onlyGet, redirectTo, tooLarge } from "./login-answers.ts";
import { LoginEnds } from "./login-ends.ts";
import { afterLogoutAt, logoutIncomplete, logoutRefusal, unreadBecause, untoldBecause } from "./logout.ts";
import { isNavigation, isPrefetch } from "./navigation.ts";
import type { LoginOptions } from "./options.ts";
import { OwnOrigin } from "./own-origin.ts";
import { waitingPage } from "./pages.ts";
import { PendingLogins, type PendingLogin } from "./pending-logins.ts";
import { makePrivate } from "./private-answer.ts";
import { GrantRefused, Provider, ProviderDown } from "./provider.ts";
import { safeReturn } from "./return-address.ts";
import type { RevokedSessions } from "../sessions/revoked-sessions.ts";
import { nothing, unread, type Logout } from "../sessions/session-end.ts";
import { Sessions, type SessionMemory } from "../sessions/session.ts";
import { keepingFor, SessionTooLarge } from "../sessions/session-keeping.ts";
import { overMsOf, SessionSeal, type Session } from "../sessions/session-seal.ts";

const unreadable = refused("session", "session: cookie in parts or twice");
/** Error codes by which a provider says that it cannot tell now (RFC 6749 section 4.1.2.1). */
const outages: ReadonlySet<string> = new Set(["server_error", "temporarily_unavailable"]);
/** A session younger than this has just begun. The time includes clock skew. */
const justMs = 90_000;

/** Parts that several logins share. */
export interface LoginShared extends SessionMemory {
  readonly keys: { readonly value: JwksSource; readonly release: () => void };
}

export class Login {
  readonly #options: LoginOptions;
  readonly #services: Services;
  /** The login's cookies, which no service sees or sets. */
  readonly cookies: readonly OwnedCookie[];
  readonly #pendingLogins: PendingLogins;
  /** Whose pages may use a session. */
  readonly origin: OwnOrigin;
  readonly #provider: Provider;
  readonly #sessions: Sessions;
  readonly #revoked: RevokedSessions;
  readonly #backchannel: BackchannelLogout | undefined;
  readonly #cookie: CookieShape;
  readonly #ends = new LoginEnds();
  readonly #releaseKeys: () => void;
  /** `Set-Cookie` lines to add to the answers of these exchanges. */
  readonly #pending = new WeakMap<Exchange, readonly string[]>();
  /** Exchanges whose session has just begun and is not enough. Another login would only send the browser in circles. */
  readonly #inVain = new WeakSet<Exchange>();

  /** @throws Error when a secret that the options name is not set or not valid */
  constructor(options: LoginOptions, services: Services, shared: LoginShared) {
    this.#options = options;
    this.#services = services;
    this.#releaseKeys = shared.keys.release;
    const sealer = new CookieSealer(
      services.secrets.get(options.sessionKeys),
      `OUTRIGGER_${options.sessionKeys}`,
    );
    this.#pendingLogins = new PendingLogins(options, sealer, services.clock);
    this.origin = new OwnOrigin(options.publicUrl, options.allowedOrigins);
    this.#provider = new Provider(options, services, shared.keys.value);
    const seal = new SessionSeal(sealer, options);
    const keeping = keepingFor(options, services, seal);
    const { keys: _, ...memory } = shared;
    const { revoked } = memory;
    this.#revoked = revoked;
    revoked.expectLives(options.sessionSeconds * 1000);
    this.#sessions = new Sessions({ options, services, seal, keeping, provider: this.#provider, ...memory });
    this.#backchannel = backchannelFor(options, services, shared.keys.value, revoked);
    this.#cookie = { name: options.cookieName, secure: options.secureCookie };
    this.cookies = [...chunkNames(this.#cookie), ...this.#pendingLogins.cookies];
  }

  /** Whether the login itself serves a path. */
  owns(path: string): boolean {
    const { callbackPath, loginPath, logoutPath, backchannelLogoutPath } = this.#options;
    const pages = path === loginPath || path === callbackPath || path === logoutPath;
    return pages || path === backchannelLogoutPath;
  }

  async serve(exchange: Exchange): Promise<Verdict> {
    const { path, method } = exchange.request;
    if (this.#backchannel !== undefined && path === this.#options.backchannelLogoutPath)
      return await this.#backchannel.serve(exchange);
    try {
      if (path === this.#options.logoutPath) return await this.#logout(exchange);
      if (method !== "GET") return onlyGet;
      if (path === this.#options.loginPath) return await this.#begin(exchange);
      return await this.#callback(exchange);
    } catch (error) {
      if (error instanceof GrantRefused) {
        exchange.refusedBecause = `login: ${error.message}`;
        return {
          action: "reject",
          error: new GatewayError("authentication_required", "The login did not succeed."),
        };
      }
      this.#services.logger.warn({ err: error }, "a login could not go on");
      if (error instanceof SessionTooLarge) {
        exchange.refusedBecause = `login: ${error.message}`;
        return tooLarge;
      }
      exchange.refusedBecause = `login: ${causeOf(error)}`;
      const options = { cause: error, fields: ["Retry-After", "1"] };
      return {
        action: "reject",
        error: new GatewayError("dependency_unavailable", "The login is not available now.", options),
      };
    }
  }

  /** @returns a redirect to the login for a page navigation; undefined for requests of scripts and programs */
  redirect(exchange: Exchange): Verdict {
    const { path, query, fields } = exchange.request;
    if (!isNavigation(exchange) || isPrefetch(fields) || this.#inVain.has(exchange)) return undefined;
    const page = safeReturn(path + query, this.#options.publicUrl);
    return redirectTo(`${this.#options.loginPath}?return_to=${encodeURIComponent(page)}`);
  }

  /**
   * @param mayRefresh false = use the session as it is, because no answer could carry a renewed cookie
   * @returns the result for the session cookie; undefined = there is none
   */
  session(exchange: Exchange, mayRefresh = true): AuthResult | undefined | Promise<AuthResult> {
    const { ownedCookies } = exchange.request;
    if (ownedCookies === undefined || !holdsCookie(ownedCookies, `${this.#cookie.name}.0`)) return undefined;
    const sealed = readChunks(ownedCookies, this.#cookie.name);
    if (sealed === undefined) return unreadable;
    return this.#sessions.getCached(sealed) ?? this.#open(exchange, sealed, mayRefresh);
  }

  /** @returns the access token of a session's caller; undefined = the session keeps none */
  accessTokenOf(exchange: Exchange, identity: Identity): string | undefined {
    const kept = this.#sessions.accessTokens.of(identity);
    if (kept !== undefined && kept.token === undefined) this.#isNotEnough(exchange, kept.startedMs);
    return kept?.token;
  }

  #isNotEnough(exchange: Exchange, startedMs: number): void {
    if (this.#services.clock.now() - startedMs < justMs) this.#inVain.add(exchange);
  }

  /** Sets the cookies that the request phase has prepared. */
  onResponse(exchange: Exchange, response: ExchangeResponse): void {
    const cookies = this.#pending.get(exchange);
    if (cookies === undefined) return;
    for (const cookie of cookies) response.fields.append("Set-Cookie", cookie);
    makePrivate(response.fields);
  }

  close(): void {
    this.#sessions.close();
    this.#releaseKeys();
  }

  async #open(exchange: Exchange, sealed: string, mayRefresh: boolean): Promise<AuthResult> {
    const opened = await this.#sessions.open(sealed, mayRefresh);
    const { session, renewed } = opened;
    if (session !== undefined && renewed !== undefined)
      this.#pending.set(exchange, this.#sessionCookies(session, renewed));
    if ("forget" in opened) {
      // Clear the cookie, or it would be refused again and again.
      if (opened.forget) this.#pending.set(exchange, clearChunks(this.#cookie));
      if (opened.startedMs !== undefined) this.#isNotEnough(exchange, opened.startedMs);
    }
    return opened.result;
  }

  #sessionCookies(session: Session, value: string): string[] {
    const endsMs = overMsOf(session, this.#options);
    return writeChunks(
      this.#cookie,
      value,
      Math.max(1, Math.floor((endsMs - this.#services.clock.now()) / 1000)),
    );
  }

  async #begin(exchange: Exchange): Promise<Verdict> {
    const { publicUrl } = this.#options;
    const { query, fields, ownedCookies } = exchange.request;
    if (isPrefetch(fields)) throw new GrantRefused("it was asked for ahead of need");
    const asked = new URLSearchParams(query);
    const returnTo = safeReturn(asked.get("return_to"), publicUrl);
    const again = asked.has("again");
    if (again && (await this.session(exchange))?.kind === "accepted") return redirectTo(returnTo);
    const { pending, state, cookies } = await this.#pendingLogins.begin(ownedCookies, returnTo, again);
    const url = await authorizationUrl(
      this.#provider,
      this.#options,
      pending,
      state,
      exchange.client.address,
    );
    return redirectTo(url, cookies);
  }

  async #callback(exchange: Exchange): Promise<Verdict> {
    const query = new URLSearchParams(exchange.request.query);
    const state = single(query, "state") ?? "";
    const pending = await this.#pendingLogins.find(exchange.request.ownedCookies, state);
    if (pending === undefined) return await this.#lost(exchange, state);
    try {
      return await this.#ends.once(query, () => this.#end(query, pending, exchange.client.address));
    } catch (error) {
      if (error instanceof GrantRefused || error instanceof SessionTooLarge)
        this.#pending.set(exchange, this.#pendingLogins.ended(pending));
      throw error;
    }
  }

  // Another tab has replaced this login. Its session serves; while it still logs in, this tab waits, then begins anew.
  async #lost(exchange: Exchange, state: string): Promise<Verdict> {
    const lost = await this.#pendingLogins.lost(state);
    const session = await this.session(exchange);
    if (session?.kind === "accepted") return redirectTo(lost?.returnTo ?? "/");
    const others = this.#pendingLogins.any(exchange.request.ownedCookies);
    if (!others || lost === undefined || lost.again)
      throw new GrantRefused("no login is under way in this browser");
    const { loginPath } = this.#options;
    return waitingPage(`${loginPath}?again=1&return_to=${encodeURIComponent(lost.returnTo)}`);
  }

  /** @returns a redirect to the page that was asked for. Rejects with GrantRefused, ProviderDown or SessionTooLarge */
  async #end(query: URLSearchParams, pending: PendingLogin, address: string): Promise<Verdict> {
    await this.#provider.checkIssuer(single(query, "iss"));
    const code = single(query, "code");
    const error = single(query, "error");
    if (error !== undefined && outages.has(error)) throw new ProviderDown(`the provider says ${error}`);
    if (code === undefined || error !== undefined) throw new GrantRefused("the provider gave no code");
    // A code is good once: it is not spent on a session that could not be kept.
    const start = await this.#revoked.start(this.#options.sessions === "redis");
    const tokens = await this.#provider.exchangeCode(code, pending, address);
    if (tokens.idToken === undefined) throw new GrantRefused("the provider gave no ID token");
    const { claims, endsMs } = await this.#provider.verifyIdToken(tokens.idToken, pending.nonce);
    const session = this.#sessions.begin(tokens, claims, endsMs, start);
    const cookies = this.#sessionCookies(session, await this.#sessions.keep(session));
    return redirectTo(pending.returnTo, [...cookies, ...this.#pendingLogins.ended(pending)]);
  }

  async #logout(exchange: Exchange): Promise<Verdict> {
    const refusal = logoutRefusal(exchange, this.origin);
    if (refusal !== undefined) return refusal;
    const { session, complete } = await this.#endSession(exchange.request.ownedCookies);
    const cookies = clearChunks(this.#cookie);
    const metadata = complete || session === "unread" ? this.#provider.metadata() : undefined;
    const endpoint = (await metadata?.catch(() => undefined))?.end_session_endpoint;
    if (!complete && endpoint === undefined) {
      this.#pending.set(exchange, cookies);
      exchange.refusedBecause = session === "unread" ? unreadBecause : untoldBecause;
      return logoutIncomplete;
    }
    return redirectTo(afterLogoutAt(this.#options, endpoint, session), cookies, 303);
  }

  async #endSession(cookies = ""): Promise<Logout> {
    const cookie = readChunks(cookies, this.#cookie.name);
    if (cookie !== undefined) return await this.#sessions.end(cookie);
    return holdsCookie(cookies, `${this.#cookie.name}.0`) ? unread : nothing;
  }
}

/** @returns why a login could not go on, for the log */
function causeOf(error: unknown): string {
  if (error instanceof ProviderDown) return error.message;
  return error instanceof StoreUnavailable ? "redis is out of reach" : "it failed";
}

/** @throws GrantRefused for a repeated parameter (RFC 6749 section 3.1): two readers could differ about it */
function single(query: URLSearchParams, name: string): string | undefined {
  const values = query.getAll(name);
  if (values.length > 1) throw new GrantRefused(`${name} is there twice`);
  return values[0];
}
