// Remembers purges, either of one upstream or of all. The book is bounded. Entries that a forgotten purge removed must
// not come back from Redis, so after forgetting a purge it rejects every entry as old as that purge.
import type { Entry } from "../store/entry.ts";
import { concerns, isExact, type Purge } from "./purge.ts";

const maxUrls = 20_000;
const maxPatterns = 1_000;

interface Remembered {
  readonly purge: Purge;
  /** The purge concerns entries that were requested up to this time, epoch ms. */
  readonly until: number;
}

export class PurgeBook {
  // Purges of one exact URL are kept apart: invalidations make many of them, and they are found by key.
  readonly #urls = new Map<string, Remembered>();
  readonly #patterns = new Map<string, Remembered>();
  #forgottenUntil = 0;
  #latest = 0;

  /** The highest `until` of all purges remembered so far, epoch ms. */
  get latest(): number {
    return this.#latest;
  }

  remember(purge: Purge, until: number): void {
    const exact = isExact(purge);
    const kept = exact ? this.#urls : this.#patterns;
    const key = exact ? purge.value : `${purge.kind} ${purge.soft} ${purge.value}`;
    const before = kept.get(key);
    kept.delete(key);
    // A later soft purge does not undo a hard one.
    const soft = purge.soft && before?.purge.soft !== false;
    kept.set(key, { purge: { ...purge, soft }, until: Math.max(until, before?.until ?? 0) });
    this.#latest = Math.max(this.#latest, until);
    if (kept.size <= (exact ? maxUrls : maxPatterns)) return;
    const [[oldest, forgotten]] = kept as unknown as [[string, Remembered]];
    kept.delete(oldest);
    this.forget(forgotten.until);
  }

  /** Purges up to that time (epoch ms) may be unknown here: entries requested by then count as purged. */
  forget(untilMs: number): void {
    this.#forgottenUntil = Math.max(this.#forgottenUntil, untilMs);
  }

  /** Whether an entry was purged after it was requested. A soft purge marks it stale instead. */
  applies(entry: Entry): boolean {
    if (entry.requestedAt <= this.#forgottenUntil) return true;
    const byUrl = this.#urls.get(entry.url);
    if (byUrl !== undefined && applies(byUrl, entry)) return true;
    for (const remembered of this.#patterns.values()) {
      if (concerns(remembered.purge, entry) && applies(remembered, entry)) return true;
    }
    return false;
  }
}

function applies({ purge, until }: Remembered, entry: Entry): boolean {
  if (entry.requestedAt > until) return false;
  if (purge.soft) entry.freshUntil = Math.min(entry.freshUntil, until);
  return !purge.soft;
}
