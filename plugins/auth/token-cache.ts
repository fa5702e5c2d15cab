// Verdicts on tokens under the SHA-256 of the token, bounded in bytes; no token is kept.
import { LRUCache } from "lru-cache";
import { boundedCache } from "./bounded-cache.ts";
import type { Accepted, Refused } from "./finding.ts";
import type { KeyMark } from "./key-set.ts";

interface Verified {
  readonly finding: Accepted;
  /** Epoch milliseconds, never past the token's own end. */
  readonly untilMs: number;
  readonly mark: KeyMark | undefined;
}
interface Rejected {
  readonly finding: Refused;
  readonly untilMs: number;
  readonly mark: KeyMark | undefined;
}

const maxRefused = 16_384;
// Measured with tokens of 300 to 1,900 characters: 1,063 to 2,341 bytes each, digest, identity and claims together.
const entryBytes = 900;
const bytesPerCharacter = 1;

export class TokenCache {
  readonly #verified: LRUCache<string, Verified> | undefined;
  readonly #refused = boundedCache<Rejected>(maxRefused);

  constructor(maxBytes: number) {
    this.#verified = maxBytes === 0 ? undefined : new LRUCache({ maxSize: maxBytes });
  }

  get size(): number {
    return this.#verified?.size ?? 0;
  }

  get(digest: string, nowMs: number): Accepted | Refused | undefined {
    const hit = this.#verified?.get(digest);
    if (hit !== undefined) {
      if (nowMs < hit.untilMs && hit.mark?.retired !== true) return hit.finding;
      this.#verified?.delete(digest);
    }
    const refused = this.#refused.get(digest);
    if (refused === undefined) return undefined;
    if (nowMs < refused.untilMs && refused.mark?.retired !== true) return refused.finding;
    this.#refused.delete(digest);
    return undefined;
  }

  /**
   * @param tokenLength characters, for what the claims weigh
   * @param mark retired once the key that vouched for it is no longer the issuer's
   */
  accept(digest: string, finding: Accepted, untilMs: number, tokenLength: number, mark?: KeyMark): void {
    const size = entryBytes + tokenLength * bytesPerCharacter;
    this.#verified?.set(digest, { finding, untilMs, mark }, { size });
  }

  /** @param mark retired once the issuer's keys change, after which the verdict may be another */
  refuse(digest: string, finding: Refused, untilMs: number, mark?: KeyMark): void {
    this.#refused.set(digest, { finding, untilMs, mark });
  }

  delete(digest: string): void {
    this.#verified?.delete(digest);
  }
}
