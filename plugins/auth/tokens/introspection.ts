// Checks opaque tokens: asks the authorization server (RFC 7662), and its answer counts for a bounded time.
import { z } from "zod";
import type { Services } from "../../../src/plugin-api/contract.ts";
import { audienceFits, mapIdentity, missingClaim } from "../claims.ts";
import {
  accepted,
  refused,
  unavailable,
  type Accepted,
  type Refused,
  type Unavailable,
} from "../auth-result.ts";
import { postForm } from "../issuers/form-post.ts";
import type { IntrospectionOptions } from "./options.ts";
import { answeredOtherUse } from "./token-use.ts";

const answerShape = z.looseObject({
  active: z.boolean(),
  exp: z.number().optional(),
  nbf: z.number().optional(),
  iss: z.string().optional(),
  token_type: z.string().optional(),
});

export interface IntrospectionVerdict {
  readonly result: Accepted | Refused;
  /** Until when the answer counts (epoch ms). */
  readonly untilMs: number;
}

const maxBodyBytes = 65_536;
const outOfReach = unavailable("introspection", "token: the introspection endpoint is out of reach");
const inactive = refused("introspection", "token: not active");

export class Introspection {
  readonly #options: IntrospectionOptions;
  readonly #services: Services;
  readonly #secret: string;

  /** @throws Error when the client's secret is not set, or not bound to the endpoint's host */
  constructor(options: IntrospectionOptions, services: Services) {
    this.#options = options;
    this.#services = services;
    try {
      this.#secret = services.secrets.sentTo(options.clientSecret, options.endpoint);
    } catch (error) {
      throw new Error(`introspection.clientSecret: ${(error as Error).message}`, { cause: error });
    }
  }

  /** Asks about a token. Never rejects. */
  async lookUp(token: string): Promise<IntrospectionVerdict | Unavailable> {
    const { endpoint: url, clientId, clientAuth, timeoutMs } = this.#options;
    const parameters = { token, token_type_hint: "access_token" };
    const client = { clientId, clientSecret: this.#secret, clientAuth };
    const post = { url, parameters, ...client, timeoutMs, maxBodyBytes };
    let answer: { status: number; value: unknown };
    try {
      answer = await postForm(this.#services.http, post);
    } catch (error) {
      this.#services.logger.warn({ err: error }, "token introspection failed");
      return outOfReach;
    }
    const value = answer.status === 200 ? answer.value : undefined;
    const parsed = answerShape.safeParse(value);
    if (!parsed.success) {
      const { status } = answer;
      const [issue] = parsed.error.issues;
      const fault = status === 200 ? `${issue?.path.join(".")}: ${issue?.message}` : undefined;
      this.#services.logger.warn({ status, fault }, "token introspection answered what cannot be used");
      return outOfReach;
    }
    return this.#judge(parsed.data);
  }

  #judge(claims: z.output<typeof answerShape>): IntrospectionVerdict {
    const nowMs = this.#services.clock.now();
    const cachedMs = nowMs + this.#options.cacheSeconds * 1000;
    // A clock that is behind the server's must not hold a new token back for longer than that.
    if (claims.nbf !== undefined && claims.nbf * 1000 > nowMs)
      return { result: inactive, untilMs: Math.min(cachedMs, claims.nbf * 1000) };
    const fault = this.#fault(claims, nowMs);
    if (fault !== undefined) return { result: fault, untilMs: cachedMs };
    const identity = mapIdentity(
      claims,
      this.#options.claims,
      "introspection",
      claims.iss ?? this.#options.endpoint,
    );
    if (typeof identity === "string") {
      return { result: refused("introspection", `token: claim ${identity}`), untilMs: cachedMs };
    }
    return { result: accepted(identity), untilMs: Math.min(cachedMs, (claims.exp ?? Infinity) * 1000) };
  }

  #fault(claims: z.output<typeof answerShape>, nowMs: number): Refused | undefined {
    const { issuer, audience, requiredClaims } = this.#options;
    if (!claims.active) return inactive;
    if (claims.exp !== undefined && claims.exp * 1000 <= nowMs) return inactive;
    if (issuer !== undefined && claims.iss !== undefined && claims.iss !== issuer) {
      return refused("introspection", "token: issuer");
    }
    const other = answeredOtherUse(claims, (this.#options.dpop ?? "off") !== "off");
    if (other !== undefined) return refused("introspection", `token: ${other} is not of an access token`);
    if (!audienceFits(claims["aud"], audience)) return refused("introspection", "token: audience");
    const missing = missingClaim(claims, requiredClaims);
    return missing === undefined ? undefined : refused("introspection", `token: claim ${missing}`);
  }
}
