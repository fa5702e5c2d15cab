// Purges that are remembered: those of one upstream, or those that concern all. Bounded, and what is forgotten must not
// come back: then nothing as old as the forgotten purge is believed any more.
import type { Entry } from "../store/entry.ts";
import { concerns, isExact, type Purge } from "./purge.ts";

const maxUrls = 20_000;
const maxPatterns = 1_000;

interface Remembered {
  readonly purge: Purge;
  /** Entries asked for until then are concerned, epoch ms. */
  readonly until: number;
}

export class PurgeBook {
  // By URL apart from the others: invalidations are many, and are found by key.
  readonly #urls = new Map<string, Remembered>();
  readonly #patterns = new Map<string, Remembered>();
  #forgottenUntil = 0;
  #latest = 0;

  /** Until when the latest purge in it concerns entries, epoch ms. */
  get latest(): number {
    return this.#latest;
  }

  remember(purge: Purge, until: number): void {
    const exact = isExact(purge);
    const kept = exact ? this.#urls : this.#patterns;
    const key = exact ? purge.value : `${purge.kind} ${purge.soft} ${purge.value}`;
    const before = kept.get(key);
    kept.delete(key);
    // A hard purge is not undone by a later soft one.
    const soft = purge.soft && before?.purge.soft !== false;
    kept.set(key, { purge: { ...purge, soft }, until: Math.max(until, before?.until ?? 0) });
    this.#latest = Math.max(this.#latest, until);
    if (kept.size <= (exact ? maxUrls : maxPatterns)) return;
    const [[oldest, forgotten]] = kept as unknown as [[string, Remembered]];
    kept.delete(oldest);
    this.forget(forgotten.until);
  }

  /** Purges until then are unknown here: entries asked for before it are not believed. */
  forget(untilMs: number): void {
    this.#forgottenUntil = Math.max(this.#forgottenUntil, untilMs);
  }

  /** Whether an entry was purged since it was asked for. A soft purge marks it stale instead. */
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
