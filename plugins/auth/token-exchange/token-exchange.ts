// Gets a token made for the service (RFC 8693), so that the service never holds one with which it could act elsewhere
// as the caller. It asks once for each token of a caller, and reuses the result while both are good.
import { hash } from "node:crypto";
import { z } from "zod";
import { HttpError, type Counter, type Services } from "../../../src/plugin-api/contract.ts";
import { unavailable, type Unavailable } from "../auth-result.ts";
import { errorCodeOf } from "../issuers/json-answer.ts";
import { MetadataSource } from "../issuers/metadata-source.ts";
import { tokenExchanges } from "../metrics.ts";
import { Semaphore } from "../semaphore.ts";
import { ActorToken } from "./actor-token.ts";
import { ExchangedTokens } from "./exchanged-tokens.ts";
import { tokenTypes, type TokenExchangeOptions } from "./options.ts";
import { expiresIn, faultOf, oneToken, usedMs } from "./token-answer.ts";
import { askTokenEndpoint } from "./token-endpoint.ts";

/** The server gives no token for this caller. */
export interface Denied {
  readonly kind: "denied";
  readonly because: string;
}
export interface Given {
  readonly kind: "given";
  readonly token: string;
}
export type Exchanged = Given | Denied | Unavailable;

const grantType = "urn:ietf:params:oauth:grant-type:token-exchange";
const maxWaiting = 1_024;

/** The answer (section 2.2.1). */
const answerShape = z.looseObject({
  access_token: oneToken,
  issued_token_type: z.enum([tokenTypes.access_token, tokenTypes.jwt]),
  token_type: z.string().regex(/^(?:bearer|n_a)$/i),
  expires_in: expiresIn,
});

/**
 * Error codes about this caller and target (section 2.2.2, RFC 6749 section 5.2). Others mean a wrong configuration.
 */
const denials = new Set([
  "invalid_request",
  "invalid_grant",
  "invalid_target",
  "invalid_scope",
  "access_denied",
]);

/** Error codes that may also mean a bad actor token. */
const doubtful = new Set(["invalid_request", "invalid_grant"]);

/** Statuses that mean "try again later", whatever error code the server sends. */
const later = new Set([408, 425, 429]);

function denialOf(status: number, value: unknown): string | undefined {
  const code = status >= 400 && status < 500 && !later.has(status) ? errorCodeOf(value) : undefined;
  return code !== undefined && denials.has(code) ? code : undefined;
}

interface Answered {
  readonly status: number;
  readonly value: unknown;
  /** The actor token that was sent. */
  readonly actor: string | undefined;
}

const deniedBefore: Denied = { kind: "denied", because: "token exchange: refused a moment ago" };
const outOfReach = unavailable("none", "token exchange: the token endpoint gives no answer to go by");
const tooMany = unavailable("none", "token exchange: too many wait for the token endpoint", "overloaded");

export class TokenExchange {
  readonly #options: TokenExchangeOptions;
  readonly #services: Services;
  readonly #metadata: MetadataSource | undefined;
  readonly #actor: ActorToken | undefined;
  readonly #tokens: ExchangedTokens;
  readonly #semaphore: Semaphore;
  readonly #running = new Map<string, Promise<Exchanged>>();
  readonly #count: (result: string) => Counter;

  /** @throws Error when the client's secret is not set, or not bound to the server's host */
  constructor(options: TokenExchangeOptions, services: Services) {
    this.#options = options;
    this.#services = services;
    this.#tokens = new ExchangedTokens(options.cacheBytes);
    this.#semaphore = new Semaphore(options.maxExchanges, maxWaiting);
    this.#count = tokenExchanges(services.metrics);
    const { issuer, tokenEndpoint, timeoutMs, clientSecret, actor } = options;
    if (issuer !== undefined) this.#metadata = new MetadataSource(issuer, services, timeoutMs);
    try {
      services.secrets.sentTo(clientSecret, issuer ?? (tokenEndpoint as string));
    } catch (error) {
      throw new Error(`tokenExchange.clientSecret: ${(error as Error).message}`, { cause: error });
    }
    if (actor !== undefined) this.#actor = new ActorToken(options, actor, services);
  }

  /**
   * Never rejects.
   * @param subject the caller's token, which was found good
   * @param endsMs when it ends (epoch ms)
   */
  exchange(subject: string, endsMs: number | undefined): Exchanged | Promise<Exchanged> {
    const digest = hash("sha256", subject, "base64url");
    const known = this.#tokens.get(digest, this.#services.clock.now());
    if (known === false) return deniedBefore;
    if (known !== undefined) return { kind: "given", token: known };
    let running = this.#running.get(digest);
    if (running === undefined) {
      running = this.#once(digest, subject, endsMs ?? Infinity);
      this.#running.set(digest, running);
    }
    return running;
  }

  /** Nothing to release. */
  close(): void {}

  async #once(digest: string, subject: string, endsMs: number): Promise<Exchanged> {
    try {
      const exchanged = await this.#semaphore.run(() => this.#ask(digest, subject, endsMs));
      return exchanged ?? tooMany;
    } catch (error) {
      // An open circuit breaker has logged this before, and would flood the log.
      if (!(error instanceof HttpError && error.reason === "breaker_open"))
        this.#services.logger.warn({ err: error }, "a caller's token could not be exchanged");
      this.#count("unavailable").inc();
      return outOfReach;
    } finally {
      this.#running.delete(digest);
    }
  }

  /** Rejects when the result cannot be known. */
  async #ask(digest: string, subject: string, endsMs: number): Promise<Exchanged> {
    const url = await this.#endpoint();
    let { status, value, actor } = await this.#post(url, subject);
    let code = denialOf(status, value);
    // The bad token may be the sidecar's own. Callers must not be denied because of that.
    if (code !== undefined && doubtful.has(code) && this.#actor?.drop(actor) === true) {
      ({ status, value, actor } = await this.#post(url, subject));
      code = denialOf(status, value);
    }
    const nowMs = this.#services.clock.now();
    if (code !== undefined && doubtful.has(code)) this.#actor?.checkEnd(nowMs);
    if (code !== undefined) {
      this.#tokens.deny(digest, nowMs);
      this.#count("refused").inc();
      return { kind: "denied", because: `token exchange: ${code}` };
    }
    if (status !== 200)
      throw new Error(`the token endpoint answered ${status} (${errorCodeOf(value) ?? "no error code"})`);
    const parsed = answerShape.safeParse(value);
    if (!parsed.success) throw new Error(`the token endpoint's answer: ${faultOf(parsed.error)}`);
    const { access_token: token, expires_in: seconds } = parsed.data;
    // Such a token is the caller's or the sidecar's own, and the service must get neither.
    if (token === subject) throw new Error("the token endpoint gave the caller's own token back");
    if (token === actor) throw new Error("the token endpoint gave the actor's token back");
    this.#keep(digest, token, { seconds, endsMs, nowMs });
    this.#count("issued").inc();
    return { kind: "given", token };
  }

  async #post(url: string, subject: string): Promise<Answered> {
    const acting = await this.#actor?.parameters(url);
    const parameters = { ...this.#parameters(subject), ...acting };
    const { status, value } = await askTokenEndpoint(this.#options, this.#services, url, parameters);
    return { status, value, actor: acting?.["actor_token"] };
  }

  async #endpoint(): Promise<string> {
    const { tokenEndpoint } = this.#options;
    const url = tokenEndpoint ?? (await this.#metadata?.get())?.token_endpoint;
    if (url === undefined) throw new Error("the authorization server names no token endpoint");
    return url;
  }

  /** @returns the parameters of section 2.1 */
  #parameters(subject: string): Record<string, string | readonly string[]> {
    const { audience, resource, scopes, requestedTokenType } = this.#options;
    return {
      grant_type: grantType,
      subject_token: subject,
      subject_token_type: tokenTypes.access_token,
      requested_token_type: tokenTypes[requestedTokenType],
      audience,
      resource,
      ...(scopes.length > 0 && { scope: scopes.join(" ") }),
    };
  }

  #keep(
    digest: string,
    token: string,
    { seconds, endsMs, nowMs }: { seconds: number | undefined; endsMs: number; nowMs: number },
  ): void {
    const { cacheSeconds } = this.#options;
    const longestMs = Math.min(cacheSeconds * 1000, usedMs(token, seconds, nowMs));
    const untilMs = Math.min(nowMs + longestMs, endsMs);
    if (untilMs > nowMs) this.#tokens.keep(digest, token, untilMs);
  }
}
