// One state of an issuer's public keys. Versions tie cached verdicts to the key that vouched for them.
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

/** Shared by everything that a key vouched for; true once that key is gone. */
export interface KeyVersion {
  stale: boolean;
}

/** A key set's keys that can be used, and what is wrong with each of the others. */
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

/** Algorithms have no blanks, so that no two pairs share a name. */
const nameOf = (algorithm: string | undefined, kid: string | undefined): string => `${algorithm} ${kid}`;

export class KeySet {
  readonly jwks: JSONWebKeySet;
  /** Epoch milliseconds at which the issuer gave it. */
  readonly fetchedAtMs: number;
  /** Retired with the set itself: for tokens without `kid`, and for refusals. */
  readonly whole: KeyVersion;
  readonly #find: ReturnType<typeof createLocalJWKSet>;
  /** Keys found before, by algorithm and key id; no more than there are keys and algorithms that fit. */
  readonly #keys = new Map<string, CryptoKey>();
  /** Of those of them whose signatures are cheap. */
  readonly #cheap = new Map<string, CheapCheck>();
  /** Of those of them that need no WebCrypto. */
  readonly #pooled = new Map<string, PooledCheck>();
  readonly #versions = new Map<string, KeyVersion>();
  readonly #texts = new Map<string, string>();

  /** @param previous the set that this one replaces: versions of keys that stay are carried over, others become stale */
  constructor(jwks: JSONWebKeySet, fetchedAtMs: number, previous?: KeySet) {
    this.jwks = jwks;
    this.#find = createLocalJWKSet(jwks);
    this.fetchedAtMs = fetchedAtMs;
    for (const key of jwks.keys) {
      if (typeof key.kid !== "string") continue;
      // Keys that share a kid stand and fall together.
      this.#texts.set(key.kid, (this.#texts.get(key.kid) ?? "") + JSON.stringify(key));
    }
    this.whole = { stale: false };
    if (previous === undefined) {
      for (const kid of this.#texts.keys()) this.#versions.set(kid, { stale: false });
    } else this.whole = this.#succeed(previous);
  }

  /** Takes over the versions of what stays as it was; the others become stale. */
  #succeed(previous: KeySet): KeyVersion {
    for (const [kid, text] of this.#texts) {
      const kept = previous.#texts.get(kid) === text ? previous.#versions.get(kid) : undefined;
      this.#versions.set(kid, kept ?? { stale: false });
    }
    for (const [kid, version] of previous.#versions)
      if (this.#versions.get(kid) !== version) version.stale = true;
    if (JSON.stringify(previous.jwks) === JSON.stringify(this.jwks)) return previous.whole;
    previous.whole.stale = true;
    return { stale: false };
  }

  /** Whether a token with this `kid`, or with none, may find its key here. */
  mayHold(kid: string | undefined): boolean {
    return kid === undefined ? this.jwks.keys.length > 0 : this.#versions.has(kid);
  }

  /** For jose: rejects as its own local key set does. */
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
   * For a token whose `kid` may be held here: how its signature is checked at once.
   * @returns undefined when `resolve` has to find its key first, and for signatures that take long
   */
  cheapCheck(algorithm: string, kid: string | undefined): CheapCheck | undefined {
    return kid === undefined ? undefined : this.#cheap.get(nameOf(algorithm, kid));
  }

  /** Likewise, on another thread. */
  pooledCheck(algorithm: string, kid: string | undefined): PooledCheck | undefined {
    return kid === undefined ? undefined : this.#pooled.get(nameOf(algorithm, kid));
  }

  versionOf(kid: string | undefined): KeyVersion {
    return (kid === undefined ? undefined : this.#versions.get(kid)) ?? this.whole;
  }
}
