// Authenticates and authorizes a request on one route: reads the credentials, checks them, applies the rules, and tells
// the service who calls. For callers known from memory all this is synchronous, without a promise.
import type { Exchange, Identity, Verdict, Services } from "../../src/plugin-api/contract.ts";
import { AuthAnswers, methodOf, type AnswerParts } from "./auth-answers.ts";
import type { Assertion } from "./assertions/assertion.ts";
import { forwardedField, type CertificateCheck } from "./certificates/certificate.ts";
import {
  isTokenAmbient,
  readCredentials,
  removeCredentials,
  type CredentialOptions,
  type Credentials,
} from "./credentials.ts";
import {
  refused,
  type Accepted,
  type AuthResult,
  type MaybeAuthResult,
  type Refused,
  type Unavailable,
  type Unseen,
} from "./auth-result.ts";
import type { Exclusions } from "./rules/exclusions.ts";
import type { KeyCheck } from "./api-keys/keys.ts";
import { isByBrowser, type OwnOrigin } from "./login/own-origin.ts";
import type { Rules } from "./rules/rules.ts";
import type { Guessing, SchemeCheck } from "./scheme-check.ts";
import { constraintFault } from "./tokens/sender-constraint.ts";
import { noToken, serviceToken, type ServiceToken } from "./token-exchange/service-token.ts";
import type { TokenExchange } from "./token-exchange/token-exchange.ts";
import type { TokenCheck } from "./tokens/tokens.ts";

export interface AuthenticatorParts extends AnswerParts {
  readonly required: boolean;
  readonly forwardCredentials: boolean;
  readonly excludes: Exclusions | undefined;
  /** The excluded paths on which the service gets the credential, too. */
  readonly forwardsExcluded: Exclusions | undefined;
  readonly credentials: CredentialOptions;
  readonly rules: Rules;
  readonly keys: KeyCheck | undefined;
  readonly tokens: TokenCheck | undefined;
  /** Schemes beside tokens, keys and certificates. */
  readonly schemes: readonly SchemeCheck[];
  /** Set where certificates identify callers, or rules ask for them. */
  readonly certificates: CertificateCheck | undefined;
  /** For tokens that are bound to a certificate, whether or not certificates identify callers. */
  readonly bound: CertificateCheck;
  /** Whose pages may use a token cookie; undefined = no token cookie is accepted. */
  readonly tokenOrigin: OwnOrigin | undefined;
  /** Whose pages may use a password: browsers send it with the requests of any page. */
  readonly basicOrigin: OwnOrigin;
  readonly assertion: Assertion | undefined;
  readonly tokenExchange: TokenExchange | undefined;
  /** In a policy's test, says who the request is from; undefined for real requests. */
  readonly testRun: Services["testRun"];
}

type MaybeVerdict = Verdict | Promise<Verdict>;

export const noTokens = refused("jwt", "token: none are taken here");
export const noKeys = refused("api-key", "api key: none are taken here");
const noIds: readonly string[] = [];

export class Authenticator {
  readonly #parts: AuthenticatorParts;
  readonly #answers: AuthAnswers;

  constructor(parts: AuthenticatorParts) {
    this.#parts = parts;
    this.#answers = new AuthAnswers(parts);
  }

  onRequest(exchange: Exchange): MaybeVerdict {
    const { excludes, login, counts, credentials, schemes } = this.#parts;
    const { request } = exchange;
    if (login?.owns(request.path)) return login.serve(exchange);
    if (this.#parts.rules.disputed(request)) return this.#parts.refusals.disputed;
    if (excludes?.take(request) === true) {
      counts.count("none", "excluded");
      exchange.explain("excluded", request.path);
      this.#strip(exchange, this.#parts.forwardsExcluded?.take(request) === true);
      return undefined;
    }
    const assumed = this.#parts.testRun?.identity;
    if (assumed !== undefined) return this.#authorize(exchange, assumed, noIds);
    const presented = readCredentials(request, credentials);
    if (presented.malformed !== undefined)
      return this.#answers.refuse(exchange, refused("none", presented.malformed));
    const shown = schemes.length === 0 ? schemes : schemes.filter((scheme) => scheme.isShown(request));
    return shown.length === 0
      ? this.#lookAt(exchange, presented, undefined)
      : this.#bySchemes(exchange, presented, shown);
  }

  /** @param signed the result of another scheme */
  #lookAt(exchange: Exchange, presented: Credentials, signed: Accepted | undefined): MaybeVerdict {
    const { login, keys, tokens } = this.#parts;
    const { client } = exchange;
    const { bearer, apiKey } = presented;
    const token = bearer === undefined || tokens === undefined ? noTokens : tokens.getCached(bearer);
    const key = apiKey === undefined || keys === undefined ? noKeys : keys.getCached(apiKey, client.address);
    if (token.kind === "unseen" || key.kind === "unseen")
      return this.#lookUp(exchange, presented, token, key);
    if (bearer === undefined && apiKey === undefined && signed !== undefined)
      return this.#decide(exchange, signed, undefined);
    if (bearer === undefined && apiKey === undefined && login !== undefined) {
      const session = login.session(exchange);
      if (session instanceof Promise) {
        return session.then((late) => this.#decide(exchange, late, undefined));
      }
      return this.#decide(exchange, session, undefined);
    }
    return this.#decide(
      exchange,
      bearer === undefined ? undefined : token,
      apiKey === undefined ? undefined : key,
    );
  }

  /** Checks every scheme that the request shows; each must be good. A token or key beside them decides who calls. */
  async #bySchemes(
    exchange: Exchange,
    presented: Credentials,
    shown: readonly SchemeCheck[],
  ): Promise<Verdict> {
    const { failedAuth } = this.#parts;
    const { address } = exchange.client;
    const guessing: Guessing = {
      doubtful: (failedAuth?.waitSeconds(address) ?? 0) > 0,
      waitSeconds: (credentialId) => failedAuth?.waitSeconds(address, credentialId) ?? 0,
    };
    let found: Accepted | undefined;
    for (const scheme of shown) {
      const result = await scheme.check(exchange, guessing);
      if (result.kind === "refused") return this.#answers.refuse(exchange, result);
      if (result.kind === "unavailable") return this.#answers.uncertain(exchange, result);
      found ??= result;
    }
    return await this.#lookAt(exchange, presented, found);
  }

  /** Something is not known from memory and needs a look-up, unless this client has guessed too often. */
  #lookUp(
    exchange: Exchange,
    { bearer, apiKey }: Credentials,
    knownToken: AuthResult | Unseen,
    knownKey: AuthResult | Unseen,
  ): MaybeVerdict {
    const { failedAuth, tokens, keys } = this.#parts;
    const { address } = exchange.client;
    const waitSeconds = failedAuth?.waitSeconds(address) ?? 0;
    let token: MaybeAuthResult | undefined;
    if (waitSeconds > 0) {
      // Others behind the same address (NAT) as a guesser still get in where that is cheap and no guess: with a key
      // that was good before, or a token whose signature can be verified locally.
      token =
        knownToken.kind === "unseen" ? tokens?.askLocally(bearer as string, knownToken.digest) : knownToken;
      if (token === undefined || (knownKey.kind === "unseen" && keys?.seen(knownKey.digest) !== true))
        return this.#answers.limit(exchange, bearer === undefined ? noKeys : noTokens, waitSeconds);
      if (bearer === undefined) token = undefined;
    } else if (bearer !== undefined)
      token = knownToken.kind === "unseen" ? tokens?.lookUp(bearer, knownToken.digest) : knownToken;
    let key: MaybeAuthResult | undefined;
    if (apiKey !== undefined)
      key = knownKey.kind === "unseen" ? keys?.lookUp(apiKey, knownKey.digest, address) : knownKey;
    if (key instanceof Promise)
      return Promise.all([token, key]).then(([lateToken, lateKey]) =>
        this.#decide(exchange, lateToken, lateKey),
      );
    if (token instanceof Promise) return token.then((late) => this.#decide(exchange, late, key));
    return this.#decide(exchange, token, key);
  }

  /**
   * @param first the result for the token, or else the session or another scheme; undefined = none was shown
   * @param second the result for the API key; undefined = none was shown
   */
  #decide(exchange: Exchange, first: AuthResult | undefined, second: AuthResult | undefined): MaybeVerdict {
    // One bad credential makes the whole request fail, whatever else it shows.
    if (first?.kind === "refused") return this.#answers.refuse(exchange, first);
    if (second?.kind === "refused") return this.#answers.refuse(exchange, second);
    if (first?.kind === "accepted" && this.#isForeign(exchange, first.identity))
      return this.#answers.foreign(exchange, first.identity);
    if (second?.kind === "unavailable") return this.#answers.uncertain(exchange, second);
    if (first?.kind === "unavailable") return this.#answers.uncertain(exchange, first);
    const fault =
      first?.kind === "accepted" ? constraintFault(exchange, first.identity, this.#parts) : undefined;
    if (fault instanceof Promise) return fault.then((late) => this.#identify(exchange, first, second, late));
    return this.#identify(exchange, first, second, fault);
  }

  /** @param fault the caller does not hold what its bound token is bound to */
  #identify(
    exchange: Exchange,
    first: Accepted | undefined,
    second: Accepted | undefined,
    fault: Refused | Unavailable | undefined,
  ): MaybeVerdict {
    const { certificates } = this.#parts;
    if (fault?.kind === "refused") return this.#answers.refuse(exchange, fault);
    if (fault !== undefined) return this.#answers.uncertain(exchange, fault);
    let identity = (first ?? second)?.identity;
    const ids = certificates?.ids(exchange) ?? noIds;
    if (certificates !== undefined && (identity === undefined || certificates.isBad(ids))) {
      const certificate = certificates.check(ids, exchange);
      if (certificate?.kind === "refused") return this.#answers.refuse(exchange, certificate);
      if (certificate?.kind === "accepted") ({ identity } = certificate);
    }
    if (identity === undefined && this.#parts.required)
      return this.#answers.missing(exchange, "no credential");
    return this.#authorize(exchange, identity, ids);
  }

  #authorize(
    exchange: Exchange,
    identity: Identity | undefined,
    certificateIds: readonly string[],
  ): MaybeVerdict {
    const { rules, refusals, counts } = this.#parts;
    if (rules.any) {
      const failure = rules.check({ exchange, identity, certificateIds });
      if (failure !== undefined) {
        const because = `rule ${failure.rule}: ${failure.condition}`;
        exchange.explain("rule", failure.rule, "condition", failure.condition);
        // An unknown caller is told to authenticate (401, or the login). A 403 would say that no credential helps.
        if (identity === undefined) return this.#answers.missing(exchange, because);
        exchange.identity = identity;
        exchange.refusedBecause = because;
        counts.count(methodOf(identity), "forbidden");
        const bearer = identity.method === "jwt" || identity.method === "introspection";
        return bearer && failure.condition === "scopes" ? refusals.lacksScope : refusals.forbidden;
      }
    }
    if (this.#parts.tokenExchange === undefined) return this.#admit(exchange, identity);
    const token = serviceToken(exchange, identity, this.#parts);
    return token instanceof Promise
      ? token.then((late) => this.#admitWith(late, exchange, identity))
      : this.#admitWith(token, exchange, identity);
  }

  /** Lets the request through with a token for the service in place of the caller's, or refuses it. */
  #admitWith(token: ServiceToken, exchange: Exchange, identity: Identity | undefined): MaybeVerdict {
    if (token.kind === "given") return this.#admit(exchange, identity, token.token);
    if (token.kind === "refused") return this.#answers.refuse(exchange, token);
    const { counts, refusals } = this.#parts;
    exchange.identity = identity;
    exchange.refusedBecause = token.because;
    counts.count(methodOf(identity), token.kind === "denied" ? "forbidden" : "unavailable");
    if (token.kind === "denied") return refusals.forbidden;
    return token.code === "overloaded" ? refusals.overloaded : refusals.noServiceToken;
  }

  /**
   * Lets the request through. The service learns who calls, but does not get the credential.
   * @param token for the service; undefined = leave `Authorization` alone
   */
  #admit(exchange: Exchange, identity: Identity | undefined, token?: string): MaybeVerdict {
    const { forwardCredentials, assertion, counts } = this.#parts;
    const { fields } = exchange.request;
    counts.count(methodOf(identity), identity === undefined ? "anonymous" : "allowed");
    exchange.identity = identity;
    this.#strip(exchange, forwardCredentials);
    if (token === noToken) fields.delete("authorization");
    else if (token !== undefined) fields.set("Authorization", `Bearer ${token}`);
    if (assertion === undefined || identity === undefined) return undefined;
    const known = assertion.getCached(identity);
    if (known !== undefined) {
      fields.set(assertion.header, known);
      return undefined;
    }
    return assertion.make(identity).then((jwt) => {
      fields.set(assertion.header, jwt);
    });
  }

  /** Whether a browser sent the credential by itself for another site's page, which may not use it. */
  #isForeign({ request }: Exchange, { method }: Identity): boolean {
    const { login, tokenOrigin, basicOrigin, credentials } = this.#parts;
    if (method === "signature") return false;
    if (method === "basic") return isByBrowser(request) && !basicOrigin.admits(request);
    const origin = method === "session" ? login?.origin : tokenOrigin;
    if (origin === undefined || origin.admits(request)) return false;
    return method === "session" || isTokenAmbient(request, credentials);
  }

  /** Removes the credentials, unless they are forwarded. */
  #strip(exchange: Exchange, forwardCredentials: boolean): void {
    const { request, client } = exchange;
    const { credentials, certificates } = this.#parts;
    if (!forwardCredentials) removeCredentials(request, credentials);
    else exchange.credentialFields = credentials.keyHeaders;
    if (certificates !== undefined && !client.viaTrustedProxy) request.fields.delete(forwardedField);
  }
}
