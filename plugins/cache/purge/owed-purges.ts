// Keeps the purges that not every entry in memory has been checked against yet. Adding a purge takes the same time
// however much is stored: an entry is checked when a look-up meets it, the others by a walk in the background.
import { concerns, type Purge } from "./purge.ts";
import { upstreamOf } from "../key.ts";

/** An entry with the number of the last purge that it was checked against. */
export interface Judged {
  readonly url: string;
  readonly tags: readonly string[];
  freshUntil: number;
  /** Number of the last purge that it was checked against; -1 = purged. */
  judged: number;
}

interface Numbered {
  readonly purge: Purge;
  readonly number: number;
  /** When it was applied, epoch ms: a soft purge makes entries stale from then on. */
  readonly at: number;
}

const maxOwed = 1_000;

export class OwedPurges {
  /** Oldest first. */
  #owed: Numbered[] = [];
  #latest = 0;

  /** Number of the latest purge: a new entry starts with it, because no earlier purge concerns it. */
  get latest(): number {
    return this.#latest;
  }

  add(purge: Purge, at: number): void {
    this.#latest += 1;
    this.#owed.push({ purge, number: this.#latest, at });
    if (this.#owed.length > maxOwed) this.#widen();
  }

  /** @returns whether an entry was purged since it was put into memory */
  isPurged(entry: Judged): boolean {
    if (entry.judged === this.#latest) return false;
    if (entry.judged !== -1) entry.judged = this.#judge(entry) ? -1 : this.#latest;
    return entry.judged === -1;
  }

  /** Forgets the purges up to that number: every entry has been checked against them. */
  settle(number: number): void {
    this.#owed = this.#owed.filter((owed) => owed.number > number);
  }

  #judge(entry: Judged): boolean {
    for (let i = this.#owed.length - 1; i >= 0; i -= 1) {
      const { purge, number, at } = this.#owed[i] as Numbered;
      if (number <= entry.judged) return false;
      if (!concerns(purge, entry)) continue;
      if (!purge.soft) return true;
      entry.freshUntil = Math.min(entry.freshUntil, at);
    }
    return false;
  }

  /**
   * Shortens a full list: one purge of a whole upstream replaces all purges of the oldest purge's upstream. If that is
   * not possible or not enough, one purge of everything replaces all.
   */
  #widen(): void {
    const upstream = subject((this.#owed[0] as Numbered).purge);
    const others = this.#owed.filter(({ purge }) => subject(purge) !== upstream);
    const all = { kind: "all", value: "", soft: false, region: "" } as const;
    const helps = upstream !== undefined && others.length < maxOwed;
    const wide = helps ? { ...all, upstream } : all;
    const owed = helps ? others : [];
    owed.push({ purge: wide, number: this.#latest, at: 0 });
    this.#owed = owed;
  }
}

/** The only upstream that a purge concerns; undefined = it may concern any. */
function subject({ kind, value, upstream }: Purge): string | undefined {
  return upstream ?? (kind === "url" && value.includes("://") ? upstreamOf(value) : undefined);
}
