// Talks to the OpenID provider of a login: metadata, authorization address, token endpoint, ID tokens.
import { z } from "zod";
import type { Services } from "../../../src/plugin-api/contract.ts";
import type { ProviderMetadata } from "../issuers/discovery.ts";
import type { Accepted } from "../auth-result.ts";
import { postForm } from "../issuers/form-post.ts";
import { Semaphore } from "../semaphore.ts";
import { Issuer } from "../issuers/issuer.ts";
import { errorCodeOf, numberOf } from "../issuers/json-answer.ts";
import type { JwksSource } from "../issuers/jwks.ts";
import { clientNetwork } from "../client-network.ts";
import { MetadataSource } from "../issuers/metadata-source.ts";
import type { LoginOptions } from "./options.ts";
import { decodeToken, isJsonObject, type JsonObject } from "../tokens/token-parts.ts";

const tokensShape = z.looseObject({
  id_token: z.string().optional(),
  access_token: z.string().min(1).optional(),
  refresh_token: z.string().min(1).optional(),
  expires_in: z.preprocess(numberOf, z.number().positive().optional()),
});

export interface Tokens {
  readonly idToken: string | undefined;
  readonly accessToken: string | undefined;
  readonly refreshToken: string | undefined;
  /** Epoch milliseconds at which the access token ends; undefined when the provider did not say. */
  readonly endsMs: number | undefined;
}

/** The answer of a pushed authorization request (RFC 9126 section 2.2). */
const pushedShape = z.looseObject({ request_uri: z.string().min(1).max(2048) });

/** The provider refuses: the code or the refresh token is not good. */
export class GrantRefused extends Error {
  override readonly name = "GrantRefused";
}
/** The result is unknown: the provider does not answer, or not as it should. */
export class ProviderDown extends Error {
  override readonly name = "ProviderDown";
}

/** An ID token may hold hundreds of group names, and the access token beside it the same ones again. */
const maxBodyBytes = 262_144;
/** Codes that are exchanged at the same time, and those that wait. */
const maxExchanges = 16;
const maxWaiting = 256;
/** Waiting exchanges from one client network: anybody can begin logins and end them with made-up codes. */
const maxWaitingOfOne = 32;
/** Longest time from when an ID token is made to its check here, clock skew included. */
const maxAgeSeconds = 900;

export class Provider {
  readonly #options: LoginOptions;
  readonly #services: Services;
  readonly #idTokens: Issuer;
  /**
   * For refreshed ID tokens. Which claims a session must have is checked where it is used: one that is not enough on this
   * route must stay good on others.
   */
  readonly #refreshed: Issuer;
  readonly #metadata: MetadataSource;
  readonly #exchanges = new Semaphore(maxExchanges, maxWaiting, maxWaitingOfOne);
  readonly #pushes = new Semaphore(maxExchanges, maxWaiting, maxWaitingOfOne);

  /** @throws Error when the client's secret is named but not set, or not bound to the issuer's host */
  constructor(options: LoginOptions, services: Services, keys: JwksSource) {
    this.#options = options;
    this.#services = services;
    this.#metadata = new MetadataSource(options.issuer, services, options.timeoutMs);
    try {
      this.#secretFor(options.issuer);
    } catch (error) {
      throw new Error(`jwt.login.clientSecret: ${(error as Error).message}`, { cause: error });
    }
    const { issuer, algorithms, clientId, requiredClaims, claims } = options;
    const facts = { issuer, algorithms, audience: [clientId], claims };
    const rest = { discovery: true, clockToleranceSeconds: 10, requireExp: true, typ: ["JWT"] };
    const requiring = (required: LoginOptions["requiredClaims"]): Issuer =>
      new Issuer(
        { ...facts, ...rest, requiredClaims: required },
        { kind: "source", source: keys },
        services.clock,
        "session",
      );
    this.#idTokens = requiring(requiredClaims);
    this.#refreshed = requiring({});
  }

  /** Rejects with `ProviderDown`. */
  async metadata(): Promise<ProviderMetadata> {
    try {
      return await this.#metadata.get();
    } catch (error) {
      throw new ProviderDown("the provider's metadata cannot be read", { cause: error });
    }
  }

  /** Rejects with `ProviderDown`. */
  async authorizationEndpoint(): Promise<string> {
    const { authorization_endpoint: endpoint } = await this.metadata();
    if (endpoint === undefined) throw new ProviderDown("the provider names no authorization endpoint");
    return endpoint;
  }

  /**
   * Pushes an authorization request to the provider (RFC 9126 section 2). If that fails, the request never goes into
   * the query instead: an attacker who can make it fail would choose how requests travel.
   * @param address of the client that logs in
   * @returns the `request_uri`; undefined = the request goes into the query. Rejects with `ProviderDown`.
   */
  async push(request: Record<string, string>, address: string): Promise<string | undefined> {
    const { pushedRequests } = this.#options;
    const metadata = await this.metadata();
    const { pushed_authorization_request_endpoint: url } = metadata;
    const isRequired = metadata.require_pushed_authorization_requests === true;
    if (url === undefined && (pushedRequests === "require" || isRequired))
      throw new ProviderDown("the provider names no endpoint for pushed authorization requests");
    if (url === undefined || (pushedRequests === "off" && !isRequired)) return undefined;
    const answer = await this.#pushes.run(() => this.#post(url, request), clientNetwork(address));
    if (answer === undefined) throw new ProviderDown("too many logins begin at the same time");
    const { status, value } = answer;
    if (status !== 201 && status !== 200) {
      const because = errorCodeOf(value) ?? "no error code";
      throw new ProviderDown(
        `the endpoint for pushed authorization requests answered ${status} (${because})`,
      );
    }
    const pushed = pushedShape.safeParse(value).data?.request_uri;
    if (pushed === undefined)
      throw new ProviderDown("the endpoint for pushed authorization requests gave no request_uri");
    return pushed;
  }

  /**
   * Refreshes of sessions do not wait behind these exchanges.
   * @param address of the client that logs in
   */
  async exchangeCode(
    code: string,
    { verifier, redirectUri }: { readonly verifier: string; readonly redirectUri: string },
    address: string,
  ): Promise<Tokens> {
    const grant = {
      grant_type: "authorization_code",
      code,
      code_verifier: verifier,
      redirect_uri: redirectUri,
    };
    const tokens = await this.#exchanges.run(() => this.#grant(grant), clientNetwork(address));
    if (tokens === undefined) throw new ProviderDown("too many logins end at the same time");
    return tokens;
  }

  async refresh(refreshToken: string): Promise<Tokens> {
    return await this.#grant({ grant_type: "refresh_token", refresh_token: refreshToken });
  }

  /**
   * Checks who answered at the callback (RFC 9207): another provider's answer must not count as this one's.
   * Rejects with `GrantRefused` or `ProviderDown`.
   */
  async checkIssuer(issuer: string | undefined): Promise<void> {
    if (issuer === undefined) {
      const { authorization_response_iss_parameter_supported: announced } = await this.metadata();
      if (announced === true) throw new GrantRefused("the answer names no issuer, as this provider's do");
    } else if (issuer !== this.#options.issuer) throw new GrantRefused("answer of another issuer");
  }

  /**
   * Verifies an ID token (OpenID Connect Core section 3.1.3.7).
   * @param nonce of the login; undefined for a refresh
   * @returns its claims and when they end (epoch ms). Rejects with `GrantRefused` or `ProviderDown`.
   */
  async verifyIdToken(
    idToken: string,
    nonce: string | undefined,
  ): Promise<{ claims: JsonObject; endsMs: number }> {
    const parts = decodeToken(idToken);
    if (typeof parts === "string") throw new GrantRefused("ID token: malformed");
    const { claims } = parts;
    if (claims["iss"] !== this.#options.issuer) throw new GrantRefused("ID token: issuer");
    if (nonce !== undefined && claims["nonce"] !== nonce) throw new GrantRefused("ID token: nonce");
    const { azp, aud, iat } = claims;
    // With several audiences, the token must name the client for which it was made.
    if (azp === undefined ? Array.isArray(aud) && aud.length > 1 : azp !== this.#options.clientId)
      throw new GrantRefused("ID token: authorized party");
    // The token must have just been made (sections 3.1.3.7 and 12.2). An old one may have been stolen.
    if (typeof iat !== "number" || this.#services.clock.now() / 1000 - iat > maxAgeSeconds)
      throw new GrantRefused("ID token: too old");
    const issuer = nonce === undefined ? this.#refreshed : this.#idTokens;
    const inspected = issuer.inspect(parts);
    if (inspected.kind === "refused") throw new GrantRefused(`ID ${inspected.because}`);
    const verdict = await issuer.verify(idToken, parts, inspected satisfies Accepted);
    if ("kind" in verdict) throw new ProviderDown(verdict.because);
    if (!("endsMs" in verdict)) throw new GrantRefused(`ID ${verdict.result.because}`);
    return { claims, endsMs: verdict.endsMs };
  }

  /** @throws Error when the secret may not go to that URL: the metadata may put the token endpoint on another host */
  #secretFor(url: string): string | undefined {
    const { clientSecret } = this.#options;
    return clientSecret === undefined ? undefined : this.#services.secrets.sentTo(clientSecret, url);
  }

  async #grant(parameters: Record<string, string>): Promise<Tokens> {
    const { token_endpoint: url } = await this.metadata();
    if (url === undefined) throw new ProviderDown("the provider names no token endpoint");
    return this.#tokens(await this.#post(url, parameters));
  }

  /** Rejects with `ProviderDown`. */
  async #post(url: string, parameters: Record<string, string>): Promise<{ status: number; value: unknown }> {
    const { clientId, timeoutMs } = this.#options;
    let clientSecret: string | undefined;
    try {
      clientSecret = this.#secretFor(url);
    } catch (error) {
      throw new ProviderDown((error as Error).message, { cause: error });
    }
    const post = {
      url,
      parameters,
      clientId,
      clientSecret,
      clientAuth: "basic",
      timeoutMs,
      maxBodyBytes,
    } as const;
    try {
      return await postForm(this.#services.http, post);
    } catch (error) {
      const which = new URL(url).pathname;
      throw new ProviderDown(`the provider's endpoint ${which} does not answer`, { cause: error });
    }
  }

  #tokens({ status, value }: { status: number; value: unknown }): Tokens {
    if (status === 400 || status === 401) {
      const code = errorCodeOf(value);
      // Only these two mean that the grant is bad (RFC 6749 section 5.2). Other codes mean a wrong configuration.
      if (code === "invalid_grant" || code === "invalid_request")
        throw new GrantRefused(`token endpoint: ${code}`);
    }
    const parsed = tokensShape.safeParse(value);
    if (status !== 200) throw new ProviderDown(`the token endpoint answered ${status}`);
    if (!isJsonObject(value)) throw new ProviderDown("the token endpoint's answer is no JSON object");
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      throw new ProviderDown(`the token endpoint's answer: ${issue?.path.join(".")}: ${issue?.message}`);
    }
    const { id_token: idToken, access_token: accessToken, refresh_token: refreshToken } = parsed.data;
    // RFC 6749 section 5.1 demands a token. Some servers answer an error with 200, which says nothing about the grant.
    if (idToken === undefined && accessToken === undefined)
      throw new ProviderDown("the token endpoint's answer holds no token");
    const { expires_in: seconds } = parsed.data;
    const endsMs = seconds === undefined ? undefined : this.#services.clock.now() + seconds * 1000;
    return { idToken, accessToken, refreshToken, endsMs };
  }
}
