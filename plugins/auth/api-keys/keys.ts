// Checks an API key: its form, the policy's own list, then Redis, then the limits in its record.
import type { Clock } from "../../../src/plugin-api/contract.ts";
import { refused, unavailable, type AuthResult, type MaybeAuthResult, type Unseen } from "../auth-result.ts";
import { hasGoodShape, keyDigest } from "./key-format.ts";
import { keyRecord, type KeyRecord } from "./key-record.ts";
import type { KeyAnswer, KeyQuery, KeyStore } from "./key-store.ts";
import type { KeyUsage } from "./key-usage.ts";
import type { ApiKeyOptions } from "./options.ts";

const badShape = refused("api-key", "api key: wrong checksum");
const notSigned = unavailable("api-key", "api key: its record is not signed");
const notKnown = refused("api-key", "api key: not known");
const revoked = (id: string): AuthResult => refused("api-key", "api key: revoked by the policy", id);
const tooMany = unavailable("api-key", "api key: look-up budget is spent", "overloaded");

export interface KeyCheckParts {
  readonly options: ApiKeyOptions;
  readonly store: KeyStore;
  readonly usage: KeyUsage;
  readonly clock: Clock;
  /** Name of the service that this sidecar fronts. */
  readonly service: string;
}

const known = new WeakMap<ApiKeyOptions, ReadonlyMap<string, KeyRecord>>();

/** @returns the policy's own keys by digest, made once for all routes with the same options */
function ownKeys(options: ApiKeyOptions): ReadonlyMap<string, KeyRecord> {
  let own = known.get(options);
  if (own === undefined) {
    own = new Map(options.keys.map(({ sha256, ...record }) => [sha256, keyRecord(record)]));
    known.set(options, own);
  }
  return own;
}

/** Checks keys for one route. */
export class KeyCheck {
  readonly #parts: KeyCheckParts;
  readonly #query: KeyQuery;
  readonly #revoked: ReadonlySet<string>;
  readonly #own: ReadonlyMap<string, KeyRecord>;

  /** @throws Error when keys need a pepper or a signature and this sidecar has no pepper, or no keys to verify with */
  constructor(parts: KeyCheckParts) {
    const { options } = parts;
    if (options.requirePepper && !parts.store.peppered) {
      throw new Error(
        "apiKeys.requirePepper: needs OUTRIGGER_API_KEY_PEPPER, or no key in Redis is ever found",
      );
    }
    if (options.signed === "require" && !parts.store.verifies) {
      throw new Error("apiKeys.signed: needs OUTRIGGER_POLICY_KEYS, or no key in Redis is ever taken");
    }
    this.#parts = parts;
    this.#revoked = new Set(options.revoked);
    this.#own = ownKeys(options);
    this.#query = {
      requirePepper: options.requirePepper,
      staleMs: options.onStoreError === "stale" ? options.staleSeconds * 1000 : 0,
      confirmMs: options.cacheSeconds * 1000,
      negativeMs: options.negativeSeconds * 1000,
      maxLookupsPerSecond: options.maxLookupsPerSecond,
    };
  }

  /** @returns the result from memory, or `unseen` when Redis has to be asked */
  getCached(key: string, address: string): AuthResult | Unseen {
    const digest = keyDigest(key);
    const own = this.#own.get(digest);
    if (own !== undefined) return this.#judge(own, address);
    const answer = this.#parts.store.getCached(digest, this.#query);
    if (answer !== undefined) return this.#result(answer, address);
    return hasGoodShape(key) ? { kind: "unseen", digest } : badShape;
  }

  /** Whether the key was good before. Then it is not a guess, even if Redis has to confirm it. */
  seen(digest: string): boolean {
    return this.#parts.store.seen(digest, this.#query);
  }

  lookUp(key: string, digest: string, address: string): MaybeAuthResult {
    const answer = this.#parts.store.lookUp(key, digest, this.#query);
    if (answer instanceof Promise) return answer.then((late) => this.#result(late, address));
    return this.#result(answer, address);
  }

  #result(answer: KeyAnswer, address: string): AuthResult {
    if (answer.state === "known") {
      const { record, signed, storeKey } = answer;
      // A disabled record counts without a signature: anyone with write access to Redis can remove a key anyway.
      if (signed || record.disabled || this.#parts.options.signed !== "require")
        return this.#judge(record, address);
      this.#parts.store.unsigned(storeKey);
      return notSigned;
    }
    if (answer.state === "unknown") return notKnown;
    if (answer.state === "overloaded") return tooMany;
    return unavailable("api-key", `api key: ${answer.because}`);
  }

  #judge(record: KeyRecord, address: string): AuthResult {
    const { clock, service, usage } = this.#parts;
    if (this.#revoked.has(record.id)) return revoked(record.id);
    if (record.disabled) return refused("api-key", "api key: disabled", record.id);
    const nowMs = clock.now();
    if (nowMs >= record.expiresAtMs) return refused("api-key", "api key: expired", record.id);
    if (record.allowsAddress !== undefined && !record.allowsAddress(address)) {
      return refused("api-key", "api key: client address not allowed", record.id);
    }
    if (record.services !== undefined && !record.services.includes(service)) {
      return refused("api-key", "api key: service not allowed", record.id);
    }
    usage.used(record.id, nowMs);
    return record.result;
  }
}
