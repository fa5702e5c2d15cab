// Browser login by the OpenID Connect authorization-code flow with PKCE (RFC 7636), state and nonce. All that has to be
// remembered is in encrypted cookies, so any sidecar can end what another one began.
import { hash, randomBytes, timingSafeEqual } from "node:crypto";
import { z } from "zod";
import {
  GatewayError,
  type Exchange,
  type ExchangeResponse,
  type Fields,
  type Services,
  type Verdict,
} from "../../src/pipeline/contract.ts";
import { CookieVault } from "./cookie-vault.ts";
import {
  clearChunks,
  readChunks,
  readCookie,
  removeCookies,
  writeChunks,
  writeCookie,
  type CookieShape,
} from "./cookies.ts";
import { refused, type Finding } from "./finding.ts";
import type { JwksSource } from "./jwks.ts";
import type { LoginOptions } from "./options-jwt.ts";
import { GrantRefused, Provider, ProviderDown } from "./provider.ts";
import { safeReturn } from "./return-address.ts";
import { Sessions } from "./session.ts";
import { loginId, SessionSeal, type Session } from "./session-seal.ts";

const flowShape = z.strictObject({
  login: z.string(),
  redirectUri: z.string(),
  state: z.string(),
  nonce: z.string(),
  verifier: z.string(),
  returnTo: z.string(),
  endsMs: z.number(),
});
type Flow = z.output<typeof flowShape>;

const flowSeconds = 600;
const random = (): string => randomBytes(32).toString("base64url");
const unreadable = refused("session", "session: cookie in parts or twice");

function redirectTo(location: string, cookies: readonly string[] = []): Verdict {
  const fields = ["Location", location, "Cache-Control", "no-store"];
  for (const cookie of cookies) fields.push("Set-Cookie", cookie);
  return { action: "respond", status: 302, fields };
}

export class Login {
  readonly #options: LoginOptions;
  readonly #services: Services;
  readonly #vault: CookieVault;
  readonly #provider: Provider;
  readonly #sessions: Sessions;
  readonly #cookie: CookieShape;
  readonly #redirectUri: string;
  readonly #id: string;
  readonly #releaseKeys: () => void;
  /** `Set-Cookie` lines for answers on their way. */
  readonly #pending = new WeakMap<Exchange, readonly string[]>();

  /** @throws Error when a secret that the options name is not set or not as it must be */
  constructor(options: LoginOptions, services: Services, keys: { value: JwksSource; release: () => void }) {
    this.#options = options;
    this.#services = services;
    this.#releaseKeys = keys.release;
    this.#vault = new CookieVault(
      services.secrets.get(options.sessionKeys),
      `OUTRIGGER_${options.sessionKeys}`,
    );
    this.#provider = new Provider(options, services, keys.value);
    this.#sessions = new Sessions(options, services, new SessionSeal(this.#vault, options), this.#provider);
    this.#cookie = { name: options.cookieName, secure: options.secureCookie };
    this.#id = loginId(options);
    this.#redirectUri = new URL(options.callbackPath, options.publicUrl).href;
  }

  /** Whether a path is one of the login's own. */
  owns(path: string): boolean {
    const { callbackPath, loginPath, logoutPath } = this.#options;
    return path === loginPath || path === callbackPath || path === logoutPath;
  }

  async serve(exchange: Exchange): Promise<Verdict> {
    const { path } = exchange.request;
    try {
      if (path === this.#options.loginPath) return await this.#begin(exchange);
      if (path === this.#options.logoutPath) return await this.#logout(exchange);
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
      exchange.refusedBecause =
        error instanceof ProviderDown ? `login: ${error.message}` : "login: the provider is out of reach";
      const options = { cause: error, fields: ["Retry-After", "1"] };
      return {
        action: "reject",
        error: new GatewayError("dependency_unavailable", "The login is not available now.", options),
      };
    }
  }

  /** Sends a page navigation to the login; undefined for anything a script or program asked for. */
  redirect(exchange: Exchange): Verdict {
    if (!isNavigation(exchange)) return undefined;
    const { path, query } = exchange.request;
    return redirectTo(`${this.#options.loginPath}?return_to=${encodeURIComponent(path + query)}`);
  }

  /** What the session cookie is worth; undefined = there is none. */
  session(exchange: Exchange): Finding | undefined | Promise<Finding> {
    const { fields } = exchange.request;
    if (!fields.get("cookie")?.includes(`${this.#cookie.name}.0=`)) return undefined;
    const sealed = readChunks(fields, this.#cookie.name);
    if (sealed === undefined) return unreadable;
    return this.#sessions.peek(sealed) ?? this.#open(exchange, sealed);
  }

  /** Sets what the request's way has left to be set. */
  onResponse(exchange: Exchange, response: ExchangeResponse): void {
    const cookies = this.#pending.get(exchange);
    for (const cookie of cookies ?? []) response.fields.append("Set-Cookie", cookie);
  }

  removeCookies(fields: Fields): void {
    removeCookies(fields, this.#cookie.name);
  }

  close(): void {
    this.#sessions.close();
    this.#releaseKeys();
  }

  async #open(exchange: Exchange, sealed: string): Promise<Finding> {
    const opened = await this.#sessions.open(sealed);
    if ("forget" in opened) {
      // It would be refused again and again.
      if (opened.forget) this.#pending.set(exchange, clearChunks(this.#cookie));
      return opened.finding;
    }
    if (opened.renewed !== undefined) {
      this.#pending.set(exchange, this.#sessionCookies(opened.session, opened.renewed) ?? []);
    }
    return opened.finding;
  }

  #sessionCookies(session: Session, sealed: string): string[] | undefined {
    const endsMs = session.startedMs + this.#options.sessionSeconds * 1000;
    return writeChunks(
      this.#cookie,
      sealed,
      Math.max(1, Math.floor((endsMs - this.#services.clock.now()) / 1000)),
    );
  }

  async #begin(exchange: Exchange): Promise<Verdict> {
    const { clientId, scopes, parameters, publicUrl } = this.#options;
    const { authorization_endpoint: endpoint } = await this.#provider.metadata();
    if (endpoint === undefined) throw new Error("the provider names no authorization endpoint");
    const query = new URLSearchParams(exchange.request.query);
    const flow: Flow = {
      login: this.#id,
      redirectUri: this.#redirectUri,
      state: random(),
      nonce: random(),
      verifier: random(),
      returnTo: safeReturn(query.get("return_to"), publicUrl),
      endsMs: this.#services.clock.now() + flowSeconds * 1000,
    };
    const url = new URL(endpoint);
    const asked = {
      ...parameters,
      response_type: "code",
      client_id: clientId,
      redirect_uri: this.#redirectUri,
      scope: scopes.join(" "),
      state: flow.state,
      nonce: flow.nonce,
      code_challenge: hash("sha256", flow.verifier, "base64url"),
      code_challenge_method: "S256",
    };
    for (const [name, value] of Object.entries(asked)) url.searchParams.set(name, value);
    const sealed = await this.#vault.seal("login", flow);
    // One cookie for each login that is under way, so that two tabs do not spoil each other's.
    return redirectTo(url.href, [writeCookie(this.#cookie, flowSuffix(flow.state), sealed, flowSeconds)]);
  }

  async #callback(exchange: Exchange): Promise<Verdict> {
    const query = new URLSearchParams(exchange.request.query);
    const state = query.get("state") ?? "";
    const flow = await this.#flow(exchange, state);
    const issuer = query.get("iss");
    // RFC 9207: an answer of another provider must not be taken for this one's.
    if (issuer !== null && issuer !== this.#options.issuer)
      throw new GrantRefused("answer of another issuer");
    const code = query.get("code");
    if (code === null) throw new GrantRefused("the provider gave no code");
    const tokens = await this.#provider.exchangeCode(code, flow.verifier, this.#redirectUri);
    if (tokens.idToken === undefined) throw new GrantRefused("the provider gave no ID token");
    const { claims, endsMs } = await this.#provider.verifyIdToken(tokens.idToken, flow.nonce);
    const session = this.#sessions.begin(tokens, claims, endsMs);
    let cookies = this.#sessionCookies(session, await this.#sessions.seal(session));
    if (cookies === undefined) {
      // The ID token only saves the user a question at logout.
      const smaller: Session = { ...session, idToken: undefined };
      cookies = this.#sessionCookies(smaller, await this.#sessions.seal(smaller));
    }
    if (cookies === undefined) throw new GrantRefused("the session does not fit into cookies");
    cookies.push(writeCookie(this.#cookie, flowSuffix(flow.state), "", 0));
    return redirectTo(flow.returnTo, cookies);
  }

  async #flow(exchange: Exchange, state: string): Promise<Flow> {
    const sealed = readCookie(exchange.request.fields, this.#cookie.name + flowSuffix(state));
    const flow =
      sealed === undefined ? undefined : flowShape.safeParse(await this.#vault.open("login", sealed)).data;
    if (flow === undefined) throw new GrantRefused("no login is under way in this browser");
    if (flow.login !== this.#id || flow.redirectUri !== this.#redirectUri)
      throw new GrantRefused("it was begun at another login");
    const given = Buffer.from(state);
    const wanted = Buffer.from(flow.state);
    if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) throw new GrantRefused("state");
    if (this.#services.clock.now() >= flow.endsMs) throw new GrantRefused("the login took too long");
    return flow;
  }

  async #logout(exchange: Exchange): Promise<Verdict> {
    const { fields } = exchange.request;
    if (fields.get("sec-fetch-site") === "cross-site") {
      return {
        action: "reject",
        error: new GatewayError("malformed_request", "A logout starts on this site."),
      };
    }
    const sealed = readChunks(fields, this.#cookie.name);
    const session = sealed === undefined ? undefined : await this.#sessions.read(sealed);
    if (session !== undefined) await this.#sessions.end(session);
    const home = new URL(this.#options.afterLogout, this.#options.publicUrl).href;
    const cookies = clearChunks(this.#cookie);
    const endpoint = (await this.#provider.metadata().catch(() => undefined))?.end_session_endpoint;
    if (session === undefined || endpoint === undefined)
      return redirectTo(this.#options.afterLogout, cookies);
    const url = new URL(endpoint);
    url.searchParams.set("client_id", this.#options.clientId);
    url.searchParams.set("post_logout_redirect_uri", home);
    if (session.idToken !== undefined) url.searchParams.set("id_token_hint", session.idToken);
    return redirectTo(url.href, cookies);
  }
}

/** Ending of the cookie's name that belongs to one login; hex, so that it is a cookie name whatever the state is. */
function flowSuffix(state: string): string {
  return `-${hash("sha256", state, "hex").slice(0, 16)}`;
}

/** Whether a browser loads a page: only then can somebody log in. */
function isNavigation({ request }: Exchange): boolean {
  const { fields, method, upgrade } = request;
  if ((method !== "GET" && method !== "HEAD") || upgrade !== undefined) return false;
  const mode = fields.get("sec-fetch-mode");
  if (mode !== undefined) return mode === "navigate";
  return (
    fields.has("accept") &&
    fields.get("accept")?.includes("text/html") === true &&
    !fields.has("x-requested-with")
  );
}
