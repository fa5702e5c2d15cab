// Checks bearer tokens: from the cache by digest, else by the issuer that they name, else by introspection.
import { hash } from "node:crypto";
import type { Services } from "../../../src/plugin-api/contract.ts";
import {
  refused,
  unavailable,
  type Accepted,
  type AuthResult,
  type MaybeAuthResult,
  type Unseen,
} from "../auth-result.ts";
import { Semaphore } from "../semaphore.ts";
import { Introspection } from "./introspection.ts";
import type { Issuer, SignatureVerdict } from "../issuers/issuer.ts";
import type { JwksSource } from "../issuers/jwks.ts";
import { KnownIssuers } from "../issuers/known-issuers.ts";
import type { JwtOptions } from "./options.ts";
import type { RefCountedPool } from "../ref-counted-pool.ts";
import { TokenCache } from "./token-cache.ts";
import { decodeToken, type TokenParts } from "./token-parts.ts";

const tooLong = refused("jwt", "token: too long");
const malformed = refused("jwt", "token: malformed");
const notJson = refused("jwt", "token: not JSON objects, too deep, or a member twice");
const noIssuer = refused("jwt", "token: no issuer claims it");
const tooMany = unavailable("introspection", "token: too many wait for the introspection", "overloaded");
const token68 = /^[A-Za-z0-9\-._~+/]+=*$/;

/** How long a refusal after a signature check is cached. */
const refusedMs = 60_000;
const maxWaiting = 1_024;
/** Signatures verified at the same time for addresses with too many bad credentials, so that a flood gets no more. */
const doubtfulVerifies = 2;

/** Depends only on the `jwt` options and secrets, so all routes with the same ones share one. */
export class TokenCheck {
  readonly #options: JwtOptions;
  readonly #services: Services;
  readonly #issuers: KnownIssuers;
  readonly #introspection: Introspection | undefined;
  readonly #cache: TokenCache;
  readonly #signatures: Semaphore;
  readonly #doubtful = new Semaphore(doubtfulVerifies, maxWaiting);
  readonly #introspections: Semaphore;
  readonly #running = new Map<string, Promise<AuthResult>>();

  /**
   * @param sources key sources that outlive this object
   * @throws Error when a secret that the options name is not set or too short
   */
  constructor(options: JwtOptions, services: Services, sources: RefCountedPool<JwksSource>) {
    this.#options = options;
    this.#services = services;
    this.#cache = new TokenCache(options.cacheSeconds === 0 ? 0 : options.cacheBytes);
    this.#signatures = new Semaphore(options.maxVerifies, maxWaiting);
    this.#introspections = new Semaphore(options.maxVerifies, maxWaiting);
    this.#introspection = options.introspection && new Introspection(options.introspection, services);
    this.#issuers = new KnownIssuers(options, services, sources);
  }

  get cached(): number {
    return this.#cache.size;
  }

  /** @returns the result from memory, or `unseen` when the token has to be checked */
  getCached(token: string): AuthResult | Unseen {
    if (token.length > this.#options.maxTokenBytes) return tooLong;
    const digest = hash("sha256", token, "latin1");
    return this.#cache.get(digest, this.#services.clock.now()) ?? { kind: "unseen", digest };
  }

  /** Checks a token; synchronously if that needs no other thread and no server. Never rejects. */
  lookUp(token: string, digest: string): MaybeAuthResult {
    const running = this.#running.get(digest);
    if (running !== undefined) return running;
    const parts = decodeToken(token);
    const introspection = this.#introspection;
    if (introspection !== undefined && (parts === "opaque" || this.#issuers.none)) {
      return token68.test(token)
        ? this.#once(digest, this.#introspect(introspection, token, digest))
        : malformed;
    }
    if (parts === "opaque") return malformed;
    if (parts === "unreadable") return notJson;
    const issuer = this.#issuers.find(parts.claims["iss"]);
    if (issuer === undefined) return noIssuer;
    const inspected = issuer.inspect(parts);
    if (inspected.kind === "refused") return inspected;
    return this.#verify(issuer, { token, parts, inspected }, digest, this.#signatures);
  }

  /**
   * For an address with too many bad credentials: checks a token only if its signature can be verified locally.
   * @returns undefined when the token is not checked
   */
  askLocally(token: string, digest: string): MaybeAuthResult | undefined {
    const running = this.#running.get(digest);
    if (running !== undefined) return running;
    const parts = decodeToken(token);
    if (typeof parts === "string") return undefined;
    const issuer = this.#issuers.find(parts.claims["iss"]);
    const inspected = issuer?.inspect(parts);
    if (issuer === undefined || inspected?.kind !== "accepted" || !issuer.holdsKeyOf(parts)) return undefined;
    return this.#verify(issuer, { token, parts, inspected }, digest, this.#doubtful);
  }

  health(): string | undefined {
    return this.#issuers.health();
  }

  close(): void {
    this.#issuers.close();
  }

  /** Simultaneous checks of one token share one result. */
  #once(digest: string, look: Promise<AuthResult>): Promise<AuthResult> {
    this.#running.set(digest, look);
    return look;
  }

  #verify(
    issuer: Issuer,
    { token, parts, inspected }: { token: string; parts: TokenParts; inspected: Accepted },
    digest: string,
    semaphore: Semaphore,
  ): MaybeAuthResult {
    const verdict = issuer.verify(token, parts, inspected, semaphore, semaphore === this.#doubtful);
    if (!(verdict instanceof Promise)) return this.#keep(verdict, digest, token.length);
    return this.#once(digest, this.#keepLate(verdict, digest, token.length));
  }

  async #keepLate(late: Promise<SignatureVerdict>, digest: string, length: number): Promise<AuthResult> {
    try {
      return this.#keep(await late, digest, length);
    } finally {
      this.#running.delete(digest);
    }
  }

  #keep(verdict: SignatureVerdict, digest: string, length: number): AuthResult {
    if ("kind" in verdict) return verdict;
    const nowMs = this.#services.clock.now();
    if ("endsMs" in verdict) {
      const untilMs = Math.min(verdict.endsMs, nowMs + this.#options.cacheSeconds * 1000);
      this.#cache.accept(digest, verdict.result, untilMs, length, verdict.version);
    } else if (verdict.unremembered !== true) {
      this.#cache.refuse(digest, verdict.result, nowMs + refusedMs, verdict.version);
    }
    return verdict.result;
  }

  async #introspect(introspection: Introspection, token: string, digest: string): Promise<AuthResult> {
    try {
      const verdict = await this.#introspections.run(() => introspection.lookUp(token));
      if (verdict === undefined) return tooMany;
      if ("kind" in verdict) return verdict;
      const { result, untilMs } = verdict;
      // The cached claims came in the answer, so the token's own length says nothing about their size.
      if (result.kind === "accepted")
        this.#cache.accept(digest, result, untilMs, JSON.stringify(result.identity.claims).length);
      else this.#cache.refuse(digest, result, untilMs);
      return result;
    } finally {
      this.#running.delete(digest);
    }
  }
}
