// Tokens for the service by the SHA-256 of the caller's, bounded in bytes; and for a moment, which were refused.
import { LRUCache } from "lru-cache";
import { boundedCache } from "../../../src/plugin-api/contract.ts";

interface Kept {
  readonly token: string;
  /** Epoch milliseconds. */
  readonly untilMs: number;
}

/** Digest, entry and what the map needs for them. */
const entryBytes = 300;
const maxDenied = 4_096;
const deniedMs = 10_000;

export class ExchangedTokens {
  readonly #tokens: LRUCache<string, Kept>;
  /** Until when, epoch milliseconds. */
  readonly #denied = boundedCache<number>(maxDenied);

  constructor(maxBytes: number) {
    this.#tokens = new LRUCache({ maxSize: maxBytes });
  }

  /** @returns false when it was refused a moment ago */
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
