// Holds one state of an issuer's public keys. Versions tie cached verdicts to the key that verified them.
import {
  createLocalJWKSet,
  type CryptoKey,
  type FlattenedJWSInput,
  type JSONWebKeySet,
  type JWSHeaderParameters,
} from "jose";
import { cheapCheckOf, pooledCheckOf, type CheapCheck, type PooledCheck } from "./cheap-signature.ts";
import { sortEntries } from "./key-entries.ts";
import { isJsonObject } from "../tokens/token-parts.ts";

/** Shared by all verdicts that one key verified. `stale` becomes true once that key is gone. */
export interface KeyVersion {
  stale: boolean;
  /** Last moment at which the key may vouch for a token (epoch ms); later, if the issuer is seen to have it still. */
  goodUntilMs: number;
}

/** The usable keys of a key set, and the fault of each other entry. */
export interface ParsedJwks {
  readonly jwks: JSONWebKeySet;
  readonly skipped: readonly string[];
}

/** @throws Error when the value is not a key set, or holds no key that can be used */
export function parseJwks(value: unknown): ParsedJwks {
  if (value === undefined) throw new Error("the key set is not JSON");
  const entries = isJsonObject(value) ? value["keys"] : undefined;
  if (!Array.isArray(entries)) throw new Error("the key set has not the shape of a JWKS");
  if (entries.length === 0) throw new Error("the key set is empty");
  const { keys, skipped } = sortEntries(entries);
  if (keys.length === 0) {
    throw new Error(`the key set holds no key that can be used (${skipped.slice(0, 5).join(", ")})`);
  }
  return { jwks: { keys }, skipped };
}

const fresh = (): KeyVersion => ({ stale: false, goodUntilMs: Infinity });

/** A cache key. Algorithms contain no blanks, so that no two pairs get the same one. */
const nameOf = (algorithm: string | undefined, kid: string | undefined): string => `${algorithm} ${kid}`;

export class KeySet {
  readonly jwks: JSONWebKeySet;
  /** When the issuer sent the set (epoch ms). */
  readonly fetchedAtMs: number;
  /** Becomes stale when anything in the set changes. For tokens without `kid`, and for refusals. */
  readonly whole: KeyVersion;
  readonly #find: ReturnType<typeof createLocalJWKSet>;
  /** Imported keys, by algorithm and key id. There are no more than keys times fitting algorithms. */
  readonly #keys = new Map<string, CryptoKey>();
  /** Checks for those keys whose signatures are cheap to verify. */
  readonly #cheap = new Map<string, CheapCheck>();
  /** Checks for those keys that need no WebCrypto. */
  readonly #pooled = new Map<string, PooledCheck>();
  readonly #versions = new Map<string, KeyVersion>();
  readonly #texts = new Map<string, string>();

  /**
   * @param previous the set that this one replaces. Versions of unchanged keys are carried over, others become stale.
   * @param keptMs how long after its fetch the set counts
   */
  constructor(jwks: JSONWebKeySet, fetchedAtMs: number, previous?: KeySet, keptMs = Infinity) {
    this.jwks = jwks;
    this.#find = createLocalJWKSet(jwks);
    this.fetchedAtMs = fetchedAtMs;
    for (const key of jwks.keys) {
      if (typeof key.kid !== "string") continue;
      // Keys with the same kid share one version.
      this.#texts.set(key.kid, (this.#texts.get(key.kid) ?? "") + JSON.stringify(key));
    }
    this.whole = fresh();
    if (previous === undefined) {
      for (const kid of this.#texts.keys()) this.#versions.set(kid, fresh());
    } else this.whole = this.#succeed(previous);
    for (const version of [this.whole, ...this.#versions.values()])
      version.goodUntilMs = fetchedAtMs + keptMs;
  }

  /** Takes over the versions of unchanged keys. The others become stale. */
  #succeed(previous: KeySet): KeyVersion {
    for (const [kid, text] of this.#texts) {
      const kept = previous.#texts.get(kid) === text ? previous.#versions.get(kid) : undefined;
      this.#versions.set(kid, kept ?? fresh());
    }
    for (const [kid, version] of previous.#versions)
      if (this.#versions.get(kid) !== version) version.stale = true;
    if (JSON.stringify(previous.jwks) === JSON.stringify(this.jwks)) return previous.whole;
    previous.whole.stale = true;
    return fresh();
  }

  /** Whether the key for a token with this `kid`, or with none, may be in this set. */
  mayHold(kid: string | undefined): boolean {
    return kid === undefined ? this.jwks.keys.length > 0 : this.#versions.has(kid);
  }

  /** The key getter for jose. Rejects as jose's local key set does. */
  readonly resolve = (
    header?: JWSHeaderParameters,
    input?: FlattenedJWSInput,
  ): CryptoKey | Promise<CryptoKey> => {
    const name = nameOf(header?.alg, header?.kid);
    return this.#keys.get(name) ?? this.#resolve(name, header, input);
  };

  async #resolve(name: string, header?: JWSHeaderParameters, input?: FlattenedJWSInput): Promise<CryptoKey> {
    const key = await this.#find(header, input);
    if (header?.alg === undefined || header.kid === undefined) return key;
    this.#keys.set(name, key);
    const check = cheapCheckOf(header.alg, key);
    if (check !== undefined) this.#cheap.set(name, check);
    const pooled = pooledCheckOf(header.alg, key);
    if (pooled !== undefined) this.#pooled.set(name, pooled);
    return key;
  }

  /**
   * @returns how to verify, on this thread, a token whose `kid` may be in this set; undefined when `resolve` has to
   * find its key first, or verifying takes too long
   */
  cheapCheck(algorithm: string, kid: string | undefined): CheapCheck | undefined {
    return kid === undefined ? undefined : this.#cheap.get(nameOf(algorithm, kid));
  }

  /** The same on another thread. */
  pooledCheck(algorithm: string, kid: string | undefined): PooledCheck | undefined {
    return kid === undefined ? undefined : this.#pooled.get(nameOf(algorithm, kid));
  }

  versionOf(kid: string | undefined): KeyVersion {
    return (kid === undefined ? undefined : this.#versions.get(kid)) ?? this.whole;
  }
}
