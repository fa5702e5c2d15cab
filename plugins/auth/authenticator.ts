// The way of a request through the plugin on one route: what was presented, what it is worth, what the rules say, and what
// the service gets to know. Callers known from memory pass without a promise.
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
  /** Those of them where the service gets the credential. */
  readonly forwardsExcluded: Exclusions | undefined;
  readonly credentials: CredentialOptions;
  readonly rules: Rules;
  readonly keys: KeyCheck | undefined;
  readonly tokens: TokenCheck | undefined;
  /** Further ways of showing who one is. */
  readonly schemes: readonly SchemeCheck[];
  /** Where they say who somebody is, or rules ask for them. */
  readonly certificates: CertificateCheck | undefined;
  /** For tokens that are bound to one, whether or not certificates say who somebody is. */
  readonly bound: CertificateCheck;
  /** Whose pages may use a token cookie; undefined = no cookie is taken. */
  readonly tokenOrigin: OwnOrigin | undefined;
  /** Likewise a password, which browsers send whoever asks. */
  readonly basicOrigin: OwnOrigin;
  readonly assertion: Assertion | undefined;
  readonly tokenExchange: TokenExchange | undefined;
  /** Says who a request is from, in its place; absent where requests are real. */
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

  /** @param signed what another scheme came to */
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

  /** All that is shown must be good; who calls is said by a token or key beside it, if there is one. */
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

  /** Something is not known from memory: somebody has to be asked, unless this client has guessed too often. */
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
      // Neighbours of whoever guesses (behind one NAT) are still let in where that costs little and is no guess: by a
      // key that was good before, or a token whose signature can be checked here.
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

  /** @param first what was found about the token, or else the session; undefined = not presented. @param second about the key */
  #decide(exchange: Exchange, first: AuthResult | undefined, second: AuthResult | undefined): MaybeVerdict {
    // One bad credential spoils the request, whatever else it shows.
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

  /** @param fault of a bound token, whose sender does not hold what it is bound to */
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
        // 403 would tell an unknown caller that it only has to become somebody.
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

  /** Lets the request on with a token for the service in place of the caller's, or not at all. */
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
   * Lets the request on: the service gets to know the caller, and not how it showed itself.
   * @param token for the service; undefined = `Authorization` is not ours
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

  /** Whether the browser sent the credential by itself, for another site's page that may not act with it. */
  #isForeign({ request }: Exchange, { method }: Identity): boolean {
    const { login, tokenOrigin, basicOrigin, credentials } = this.#parts;
    if (method === "signature") return false;
    if (method === "basic") return isByBrowser(request) && !basicOrigin.admits(request);
    const origin = method === "session" ? login?.origin : tokenOrigin;
    if (origin === undefined || origin.admits(request)) return false;
    return method === "session" || isTokenAmbient(request, credentials);
  }

  /** Takes out how the caller showed itself. */
  #strip(exchange: Exchange, forwardCredentials: boolean): void {
    const { request, client } = exchange;
    const { credentials, certificates } = this.#parts;
    if (!forwardCredentials) removeCredentials(request, credentials);
    else exchange.credentialFields = credentials.keyHeaders;
    if (certificates !== undefined && !client.viaTrustedProxy) request.fields.delete(forwardedField);
  }
}
