// The auth plugin: decides who may call, tells the service who it is, and answers 401, 403, 429 or 503 itself.
import {
  definePlugin,
  type Hooks,
  type RequestField,
  type RouteInfo,
  type Services,
} from "../../src/plugin-api/contract.ts";
import type { Assertion } from "./assertions/assertion.ts";
import { CertificateCheck, forwardedField } from "./certificates/certificate.ts";
import { Exclusions, forwarding } from "./rules/exclusions.ts";
import { fleetOptions } from "./fleet-options.ts";
import { FailedAuthLimiter } from "./failed-auth-limiter.ts";
import { Authenticator, type AuthenticatorParts } from "./authenticator.ts";
import { cookiesOf } from "./login/login-cookies.ts";
import type { Login } from "./login/login.ts";
import { KeyCheck } from "./api-keys/keys.ts";
import { authOptions, type AuthOptions } from "./options.ts";
import type { AssertionOptions } from "./assertions/options.ts";
import type { LoginOptions } from "./login/options.ts";
import type { JwtOptions } from "./tokens/options.ts";
import type { CredentialOptions } from "./credentials.ts";
import type { ApiKeyOptions } from "./api-keys/options.ts";
import { OwnOrigin } from "./login/own-origin.ts";
import { recheck } from "./recheck.ts";
import { prepareRefusals } from "./refusal.ts";
import { Rules } from "./rules/rules.ts";
import { answerSubprotocol, compileTokenSources, ownedBy } from "./tokens/token-sources.ts";
import { secretNames } from "./secret-names.ts";
import { secrets } from "./secrets.ts";
import type { TokenCheck } from "./tokens/tokens.ts";
import type { TokenExchangeOptions } from "./token-exchange/options.ts";
import type { TokenExchange } from "./token-exchange/token-exchange.ts";
import { createState, type AuthState } from "./state.ts";

/** Longer than every wait inside: a wait that ends by itself says why. */
const timeLimitMs = 15_000;

type Held<T> = { readonly value: T; readonly release: () => void };

// jose and what needs it is loaded only where a policy has tokens.
async function holdTokens(jwt: JwtOptions, services: Services, state: AuthState): Promise<Held<TokenCheck>> {
  const { login: _, ...options } = jwt;
  const facts = { options, secrets: services.secrets.generation };
  const { TokenCheck } = await import("./tokens/tokens.ts");
  return state.tokens.acquire(facts, () => new TokenCheck(jwt, services, state.sources));
}

async function holdLogin(
  jwt: JwtOptions,
  options: LoginOptions,
  services: Services,
  state: AuthState,
): Promise<Held<Login>> {
  const { Login } = await import("./login/login.ts");
  const { JwksSource } = await import("./issuers/jwks.ts");
  const keys = {
    issuer: options.issuer,
    jwksUri: undefined,
    refreshMs: jwt.jwksRefreshSeconds * 1000,
    maxStaleMs: jwt.jwksMaxStaleSeconds * 1000,
    cooldownMs: jwt.jwksCooldownSeconds * 1000,
    timeoutMs: jwt.jwksTimeoutMs,
    share: jwt.shareKeys,
  };
  return state.logins.acquire({ options, keys, secrets: services.secrets.generation }, () => {
    return new Login(options, services, {
      keys: state.sources.acquire(keys, () => new JwksSource(keys, services)),
      ended: state.endedSessions(),
      revoked: state.revokedSessions(),
    });
  });
}

async function holdTokenExchange(
  options: TokenExchangeOptions,
  services: Services,
  state: AuthState,
): Promise<Held<TokenExchange>> {
  const { TokenExchange } = await import("./token-exchange/token-exchange.ts");
  const facts = { options, secrets: services.secrets.generation };
  return state.tokenExchanges.acquire(facts, () => new TokenExchange(options, services));
}

async function holdAssertion(
  options: AssertionOptions,
  services: Services,
  state: AuthState,
): Promise<Held<Assertion>> {
  const { Assertion } = await import("./assertions/assertion.ts");
  const made = await Assertion.create(options, services);
  return state.assertions.acquire({ options, secrets: services.secrets.generation }, () => made);
}

function holdFailedAuth(
  guessing: Exclude<AuthOptions["guessing"], false>,
  { clock, fleet }: Services,
  state: AuthState,
): Held<FailedAuthLimiter> {
  return state.failedAuth.acquire(guessing, () => new FailedAuthLimiter(guessing, clock, fleet.workers));
}

/** Whose pages may act with a token cookie: as with a session where there is a login, else the request's own. */
function tokenOriginOf(jwt: JwtOptions | undefined): OwnOrigin | undefined {
  if (jwt?.from.some((source) => source.startsWith("cookie")) !== true) return undefined;
  const { login, allowedOrigins } = jwt;
  return new OwnOrigin(login?.publicUrl, [...allowedOrigins, ...(login?.allowedOrigins ?? [])]);
}

/** The public keys of all assertions that this process makes. */
function assertionKeys(state: AuthState): string {
  const keys = new Map(state.assertions.values().map(({ jwk }) => [jwk.kid, jwk]));
  return JSON.stringify({ keys: [...keys.values()] });
}

/** The field of the signed identity, as options that are not checked yet have it. */
function assertionField(options: unknown): RequestField[] {
  const { assertion } = Object(options) as { assertion?: unknown };
  if (typeof assertion !== "object" || assertion === null) return [];
  const { header = "x-outrigger-identity" } = assertion as { header?: unknown };
  return [{ name: String(header), path: ["assertion", "header"], tellsWho: true }];
}

function credentialOptions({ apiKeys, jwt, forwardCredentials }: AuthOptions): CredentialOptions {
  return {
    keyHeaders: apiKeys === false ? [] : apiKeys.headers,
    keyQuery: apiKeys === false ? [] : apiKeys.query,
    keysStay: forwardCredentials,
    takesKeys: apiKeys !== false,
    tokenSources: compileTokenSources(jwt?.from ?? ["header"]),
  };
}

function keyCheck(options: ApiKeyOptions, { clock, fleet }: Services, state: AuthState): KeyCheck {
  return new KeyCheck({ store: state.keys, usage: state.usage, clock, service: fleet.service, options });
}

/** @param held takes what is to be given back in the end, also when this fails half-way */
async function assemble(
  options: AuthOptions,
  services: Services,
  state: AuthState,
  route: RouteInfo,
  held: (() => void)[],
): Promise<AuthenticatorParts> {
  const { apiKeys, jwt, certificates, guessing } = options;
  const hold = <T>({ value, release }: Held<T>): T => {
    held.push(release);
    return value;
  };
  const takesKeys = apiKeys !== false;
  const rules = new Rules(options.rules, services, route.caseInsensitive);
  const excludes = new Exclusions(options.exclude, route, rules);
  const forwarded = forwarding(options.exclude, options.forwardCredentials);
  const forwardsExcluded = new Exclusions(forwarded, route, rules);
  return {
    required: options.required,
    forwardCredentials: options.forwardCredentials,
    excludes: excludes.none ? undefined : excludes,
    forwardsExcluded: forwardsExcluded.none ? undefined : forwardsExcluded,
    credentials: credentialOptions(options),
    refusals: prepareRefusals(options.realm, { bearer: jwt !== undefined, apiKey: takesKeys }),
    rules,
    counts: state.counts,
    testRun: services.testRun,
    assertion: options.assertion && hold(await holdAssertion(options.assertion, services, state)),
    keys: takesKeys ? keyCheck(apiKeys, services, state) : undefined,
    certificates: certificates && new CertificateCheck(certificates, services.clock),
    bound: new CertificateCheck(certificates, services.clock),
    tokens: jwt && hold(await holdTokens(jwt, services, state)),
    tokenExchange:
      options.tokenExchange && hold(await holdTokenExchange(options.tokenExchange, services, state)),
    tokenOrigin: tokenOriginOf(jwt),
    login: jwt?.login && hold(await holdLogin(jwt, jwt.login, services, state)),
    failedAuth: guessing === false ? undefined : hold(holdFailedAuth(guessing, services, state)),
  };
}

export const auth = definePlugin({
  name: "auth",
  version: "1.0.0",
  apiVersion: 1,
  // Before whatever acts on who calls: limits, caches, fields towards the service.
  priority: 10,
  security: true,
  failMode: "closed",
  options: authOptions,
  needs: {
    // Issuers are where the options say.
    hosts: ["*"],
    // The keys of an issuer are told of under one prefix for all services.
    keys: [
      "apikey:",
      "keys-make:",
      "keyuse:",
      "session:",
      "session-index:",
      "session-ended:",
      "session-lease:",
      "session-refreshed:",
      "jwks:",
      "jwks-lease:<service>:",
    ],
    seals: ["jwks"],
    lines: ["sessions-ended"],
  },
  secrets,
  requestFields: assertionField,
  fleetOptions,
  cookies: cookiesOf,
  secretNames,
  lint: async () => (await import("./lint.ts")).lint,
  check: async (context) => (await import("./api-keys/keys-check.ts")).checkApiKeys(context),
  commands: async () => (await import("./commands.ts")).commands,
  init: createState,
  dispose: (state) => state.dispose(),

  async setup({ options, services, state, route }): Promise<Hooks> {
    const held: (() => void)[] = [];
    const close = (): void => held.forEach((release) => release());
    try {
      const parts = await assemble(options, services, state, route, held);
      const { tokens, login, assertion, credentials } = parts;
      const { tokenSources } = credentials;
      const owned = ownedBy(tokenSources, credentials.keysStay ? [] : credentials.keyQuery);
      const authenticator = new Authenticator(parts);
      return {
        timeLimitMs: { onRequest: timeLimitMs },
        headOnlyFields: [...credentials.keyHeaders, forwardedField, ...(assertion ? [assertion.header] : [])],
        onRequest: (exchange) => authenticator.onRequest(exchange),
        recheck: (exchange) => recheck(parts, exchange),
        ...owned,
        ownedCookies: [...owned.ownedCookies, ...(login?.cookies ?? [])],
        ...((login !== undefined || tokenSources.subprotocols.length > 0) && {
          onResponse: (exchange, response) => {
            login?.onResponse(exchange, response);
            answerSubprotocol(exchange.request, response, tokenSources);
          },
        }),
        ...(assertion && {
          ownedRequestFields: [assertion.header],
          documents: { "jwks.json": () => assertionKeys(state) },
        }),
        health: () => tokens?.health(),
        close,
      };
    } catch (error) {
      close();
      throw error;
    }
  },
});
