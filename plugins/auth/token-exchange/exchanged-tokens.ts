// Caches tokens for the service by the SHA-256 of the caller's, bounded in bytes. Remembers refusals for a moment, too.
import { LRUCache } from "lru-cache";
import { boundedCache } from "../../../src/plugin-api/contract.ts";

interface Kept {
  readonly token: string;
  /** Epoch milliseconds. */
  readonly untilMs: number;
}

/** Size of the digest, the entry, and the map's overhead. */
const entryBytes = 300;
const maxDenied = 4_096;
const deniedMs = 10_000;

export class ExchangedTokens {
  readonly #tokens: LRUCache<string, Kept>;
  /** Until when each refusal is remembered (epoch ms). */
  readonly #denied = boundedCache<number>(maxDenied);

  constructor(maxBytes: number) {
    this.#tokens = new LRUCache({ maxSize: maxBytes });
  }

  /** @returns the token; false when it was refused a moment ago; undefined = not known */
  get(digest: string, nowMs: number): string | false | undefined {
    const kept = this.#tokens.get(digest);
    if (kept !== undefined && nowMs < kept.untilMs) return kept.token;
    return nowMs < (this.#denied.get(digest) ?? 0) ? false : undefined;
  }

  keep(digest: string, token: string, untilMs: number): void {
    this.#tokens.set(digest, { token, untilMs }, { size: entryBytes + token.length });
  }

  deny(digest: string, nowMs: number): void {
    this.#denied.set(digest, nowMs + deniedMs);
  }
}
