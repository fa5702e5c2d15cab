// Builds what the options of one route ask for. Routes with the same options share the parts.
import type { RouteInfo, Services } from "../../src/plugin-api/contract.ts";
import type { ApiKeyOptions } from "./api-keys/options.ts";
import { KeyCheck } from "./api-keys/keys.ts";
import type { Assertion } from "./assertions/assertion.ts";
import type { AssertionOptions } from "./assertions/options.ts";
import type { AuthenticatorParts } from "./authenticator.ts";
import { CertificateCheck } from "./certificates/certificate.ts";
import type { CredentialOptions } from "./credentials.ts";
import type { ProofCheck } from "./dpop/proof-check.ts";
import { FailedAuthLimiter } from "./failed-auth-limiter.ts";
import type { Login } from "./login/login.ts";
import type { LoginOptions } from "./login/options.ts";
import { OwnOrigin } from "./login/own-origin.ts";
import type { AuthOptions } from "./options.ts";
import { prepareRefusals, type Challenges } from "./refusal.ts";
import { Exclusions, forwarding } from "./rules/exclusions.ts";
import { Rules } from "./rules/rules.ts";
import type { SchemeCheck } from "./scheme-check.ts";
import type { AuthState } from "./state.ts";
import { takesProofs, type JwtOptions } from "./tokens/options.ts";
import { compileTokenSources } from "./tokens/token-sources.ts";
import type { TokenExchangeOptions } from "./token-exchange/options.ts";
import type { TokenExchange } from "./token-exchange/token-exchange.ts";
import type { TokenCheck } from "./tokens/tokens.ts";

type Held<T> = { readonly value: T; readonly release: () => void };

// jose and the modules that need it are loaded only when a policy uses tokens.
async function holdTokens(jwt: JwtOptions, services: Services, state: AuthState): Promise<Held<TokenCheck>> {
  const { login: _, ...options } = jwt;
  const facts = { options, secrets: services.secrets.generation };
  const { TokenCheck } = await import("./tokens/tokens.ts");
  return state.tokens.acquire(facts, () => new TokenCheck(jwt, services, state.sources));
}

async function holdProofs(
  jwt: JwtOptions,
  services: Services,
  state: AuthState,
): Promise<Held<ProofCheck> | undefined> {
  if (!takesProofs(jwt)) return undefined;
  const { login: _, ...options } = jwt;
  const facts = { options, secrets: services.secrets.generation };
  const { ProofCheck } = await import("./dpop/proof-check.ts");
  return state.proofs.acquire(facts, () => new ProofCheck(jwt, services, state.replays));
}

/** Holds the schemes other than tokens, keys and certificates. */
async function holdSchemes(
  { signatures, basic }: AuthOptions,
  services: Services,
  state: AuthState,
): Promise<Held<SchemeCheck>[]> {
  const held: Held<SchemeCheck>[] = [];
  if (signatures !== undefined) {
    const { SignatureCheck } = await import("./signatures/signature-check.ts");
    const facts = { signatures, secrets: services.secrets.generation };
    held.push(state.schemes.acquire(facts, () => new SignatureCheck(signatures, services, state.replays)));
  }
  if (basic !== undefined) {
    const { BasicCheck } = await import("./basic/basic-check.ts");
    const facts = { basic, secrets: services.secrets.generation };
    held.push(state.schemes.acquire(facts, () => new BasicCheck(basic, services, state.checkBcrypt)));
  }
  return held;
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
      refreshes: state.refreshes,
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

/** @returns whose pages may use a token cookie: with a login as for a session, else only the request's own origin */
function tokenOriginOf(jwt: JwtOptions | undefined): OwnOrigin | undefined {
  if (jwt?.from.some((source) => source.startsWith("cookie")) !== true) return undefined;
  const { login, allowedOrigins } = jwt;
  return new OwnOrigin(login?.publicUrl, [...allowedOrigins, ...(login?.allowedOrigins ?? [])]);
}

function credentialOptions({
  apiKeys,
  jwt,
  signatures,
  basic,
  forwardCredentials,
}: AuthOptions): CredentialOptions {
  return {
    keyHeaders: apiKeys === false ? [] : apiKeys.headers,
    keyQuery: apiKeys === false ? [] : apiKeys.query,
    keysStay: forwardCredentials,
    takesKeys: apiKeys !== false,
    tokenSources: compileTokenSources(jwt?.from ?? ["header"]),
    takesProofs: jwt !== undefined && takesProofs(jwt),
    takesSignatures: signatures !== undefined,
    takesBasic: basic !== undefined,
  };
}

function keyCheck(options: ApiKeyOptions, { clock, fleet }: Services, state: AuthState): KeyCheck {
  return new KeyCheck({ store: state.keys, usage: state.usage, clock, service: fleet.service, options });
}

function challengesOf({ apiKeys, jwt, signatures, basic }: AuthOptions): Challenges {
  const issuers = [...(jwt?.issuers ?? []), ...(jwt?.introspection === undefined ? [] : [jwt.introspection])];
  const allBound = issuers.length > 0 && issuers.every(({ dpop }) => dpop === "required");
  return {
    bearer: jwt !== undefined && !allBound,
    apiKey: apiKeys !== false,
    dpop: jwt !== undefined && takesProofs(jwt) ? jwt.dpop.algorithms : undefined,
    signature: signatures !== undefined,
    basic: basic !== undefined,
  };
}

function holdFailures(
  guessing: Exclude<AuthOptions["guessing"], false>,
  { clock, fleet }: Services,
  state: AuthState,
): Held<FailedAuthLimiter> {
  return state.failedAuth.acquire(guessing, () => new FailedAuthLimiter(guessing, clock, fleet.workers));
}

/** @param held receives the functions that release the parts, also when this fails half-way */
export async function assemble(
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
  const holdIfAny = <T>(each: Held<T> | undefined): T | undefined => each && hold(each);
  const takesKeys = apiKeys !== false;
  const shown = new CertificateCheck(certificates, services.clock);
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
    refusals: prepareRefusals(options.realm, challengesOf(options)),
    rules,
    counts: state.counts,
    testRun: services.testRun,
    assertion: options.assertion && hold(await holdAssertion(options.assertion, services, state)),
    keys: takesKeys ? keyCheck(apiKeys, services, state) : undefined,
    certificates: certificates !== undefined || rules.readCertificates ? shown : undefined,
    bound: shown,
    schemes: (await holdSchemes(options, services, state)).map(hold),
    proofs: jwt && holdIfAny(await holdProofs(jwt, services, state)),
    tokens: jwt && hold(await holdTokens(jwt, services, state)),
    tokenExchange:
      options.tokenExchange && hold(await holdTokenExchange(options.tokenExchange, services, state)),
    tokenOrigin: tokenOriginOf(jwt),
    basicOrigin: new OwnOrigin(jwt?.login?.publicUrl, jwt?.allowedOrigins ?? []),
    login: jwt?.login && hold(await holdLogin(jwt, jwt.login, services, state)),
    failedAuth: guessing === false ? undefined : hold(holdFailures(guessing, services, state)),
  };
}
