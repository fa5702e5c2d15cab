// Answers callers that are not let in. Says why in log and metrics, and counts failures that look like guessing.
import type { Exchange, Identity, RejectVerdict, Verdict } from "../../src/plugin-api/contract.ts";
import type { Refused, Unavailable } from "./auth-result.ts";
import type { AuthCounts } from "./counts.ts";
import type { ProofCheck } from "./dpop/proof-check.ts";
import type { FailedAuthLimiter } from "./failed-auth-limiter.ts";
import type { Login } from "./login/login.ts";
import type { Refusals } from "./refusal.ts";

export interface AnswerParts {
  readonly refusals: Refusals;
  readonly counts: AuthCounts;
  readonly failedAuth: FailedAuthLimiter | undefined;
  readonly login: Login | undefined;
  /** Checks proofs for tokens that are bound to a key; undefined = no such token is accepted. */
  readonly proofs: ProofCheck | undefined;
}

export function methodOf(identity: Identity | undefined): Refused["method"] {
  return (identity?.method ?? "none") as Refused["method"];
}

export class AuthAnswers {
  readonly #parts: AnswerParts;

  constructor(parts: AnswerParts) {
    this.#parts = parts;
  }

  uncertain(exchange: Exchange, { because, method, code }: Unavailable): Verdict {
    exchange.refusedBecause = because;
    this.#parts.counts.count(method, "unavailable");
    const { unavailable, overloaded } = this.#parts.refusals;
    return code === "overloaded" ? overloaded : unavailable;
  }

  /** Refuses a request of another site's page that uses the user's session, password or token cookie. */
  foreign(exchange: Exchange, identity: Identity): Verdict {
    exchange.identity = identity;
    const { method } = identity;
    const what = method === "session" ? "session" : method === "basic" ? "password" : "token cookie";
    exchange.refusedBecause = `${what}: not from the own origin (Origin, Sec-Fetch-Site)`;
    this.#parts.counts.count(methodOf(identity), "forbidden");
    return this.#parts.refusals.forbidden;
  }

  missing(exchange: Exchange, because: string): Verdict {
    const { refusals, login, counts } = this.#parts;
    exchange.refusedBecause = because;
    const redirect = login?.redirect(exchange);
    counts.count("none", redirect === undefined ? "refused" : "redirected");
    return redirect ?? refusals.missing;
  }

  refuse(exchange: Exchange, result: Refused): Verdict {
    const { failedAuth, refusals, counts, login, proofs } = this.#parts;
    const { address } = exchange.client;
    if (result.challenge === "nonce" && proofs?.nonce !== undefined) {
      // Not a failure: this is how a client learns the nonce.
      exchange.refusedBecause = result.because;
      counts.count(result.method, "refused");
      return refusals.useNonce(proofs.nonce);
    }
    // Sessions do not count as guesses: nobody can guess a sealed cookie, and sessions end by themselves.
    if (failedAuth !== undefined && result.method !== "session") {
      const waitSeconds = failedAuth.waitSeconds(address, result.credentialId);
      if (waitSeconds > 0) return this.limit(exchange, result, waitSeconds);
      failedAuth.failed(address, result.credentialId);
    }
    exchange.refusedBecause = result.because;
    const redirect = result.method === "session" ? login?.redirect(exchange) : undefined;
    counts.count(result.method, redirect === undefined ? "refused" : "redirected");
    if (redirect !== undefined) return redirect;
    if (result.code === "invalid_api_key") return refusals.badKey;
    if (result.challenge === "proof") return refusals.badProof;
    return result.code === "invalid_token" ? refusals.badToken : refusals.badCredential;
  }

  limit(exchange: Exchange, result: Refused, waitSeconds: number): RejectVerdict {
    exchange.refusedBecause = "too many bad credentials";
    this.#parts.counts.count(result.method, "limited");
    return this.#parts.refusals.limited(waitSeconds);
  }
}
