// Caches verdicts on tokens by the SHA-256 of the token, bounded in bytes. It keeps no token.
import { boundedCache } from "../../../src/plugin-api/contract.ts";
import { LRUCache } from "lru-cache";
import type { Accepted, Refused } from "../auth-result.ts";
import type { KeyVersion } from "../issuers/key-set.ts";

interface Verdict<Found> {
  readonly digest: string;
  readonly result: Found;
  /** Until when the verdict counts (epoch ms), never past the token's own end. */
  readonly untilMs: number;
  readonly version: KeyVersion | undefined;
}

/**
 * @returns the first 32 bits of a digest, as the cache key. V8 finds a number at once, but has to hash and intern every
 * fresh string. If two tokens have the same number, the later one replaces the other.
 */
function placeOf(digest: string): number {
  return (
    digest.charCodeAt(0) |
    (digest.charCodeAt(1) << 8) |
    (digest.charCodeAt(2) << 16) |
    (digest.charCodeAt(3) << 24)
  );
}

function isGood({ stale, goodUntilMs }: KeyVersion, nowMs: number): boolean {
  return !stale && nowMs <= goodUntilMs;
}

function find<Found>(
  verdicts: LRUCache<number, Verdict<Found>>,
  digest: string,
  nowMs: number,
): Found | undefined {
  const place = placeOf(digest);
  const verdict = verdicts.get(place);
  if (verdict === undefined || verdict.digest !== digest) return undefined;
  if (nowMs < verdict.untilMs && (verdict.version === undefined || isGood(verdict.version, nowMs)))
    return verdict.result;
  verdicts.delete(place);
  return undefined;
}

const maxRefused = 16_384;
// Measured with tokens of 300 to 1,900 characters: 1,063 to 2,341 bytes each, digest, identity and claims together.
const entryBytes = 900;
const bytesPerCharacter = 1;

export class TokenCache {
  readonly #verified: LRUCache<number, Verdict<Accepted>> | undefined;
  readonly #refused = boundedCache<Verdict<Refused>, number>(maxRefused);

  constructor(maxBytes: number) {
    this.#verified = maxBytes === 0 ? undefined : new LRUCache({ maxSize: maxBytes });
  }

  get size(): number {
    return this.#verified?.size ?? 0;
  }

  /** @param digest SHA-256, one character for each byte */
  get(digest: string, nowMs: number): Accepted | Refused | undefined {
    const verified = this.#verified && find(this.#verified, digest, nowMs);
    return verified ?? find(this.#refused, digest, nowMs);
  }

  /**
   * @param length characters of the token or of its claims, for the entry's size
   * @param version becomes stale once the key that verified the token is no longer the issuer's
   */
  accept(digest: string, result: Accepted, untilMs: number, length: number, version?: KeyVersion): void {
    const size = entryBytes + length * bytesPerCharacter;
    this.#verified?.set(placeOf(digest), { digest, result, untilMs, version }, { size });
  }

  /** @param version becomes stale once the issuer's keys change, as the verdict may then be another */
  refuse(digest: string, result: Refused, untilMs: number, version?: KeyVersion): void {
    this.#refused.set(placeOf(digest), { digest, result, untilMs, version });
  }
}
