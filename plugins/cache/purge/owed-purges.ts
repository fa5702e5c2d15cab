// Purges by which not every entry in memory has been judged yet. A purge is noted here at once, however much is stored;
// an entry is judged when it is asked for, and the others by and by.
import { concerns, type Purge } from "./purge.ts";
import { upstreamOf } from "../key.ts";

/** An entry, and the last purge that it was judged by. */
export interface Judged {
  readonly url: string;
  readonly tags: readonly string[];
  freshUntil: number;
  /** Number of that purge; -1 = purged. */
  judged: number;
}

interface Numbered {
  readonly purge: Purge;
  readonly number: number;
  /** When it was applied, epoch ms: a soft one marks stale since then. */
  readonly at: number;
}

const maxOwed = 1_000;

export class OwedPurges {
  /** Oldest first. */
  #owed: Numbered[] = [];
  #latest = 0;

  /** Number of the latest purge: an entry that comes now knows it. */
  get latest(): number {
    return this.#latest;
  }

  add(purge: Purge, at: number): void {
    this.#latest += 1;
    this.#owed.push({ purge, number: this.#latest, at });
    if (this.#owed.length > maxOwed) this.#widen();
  }

  /** @returns whether an entry was purged since it came */
  isPurged(entry: Judged): boolean {
    if (entry.judged === this.#latest) return false;
    if (entry.judged !== -1) entry.judged = this.#judge(entry) ? -1 : this.#latest;
    return entry.judged === -1;
  }

  /** Every entry has been judged by the purges up to that one. */
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

  /** What is too much to be told apart is all of its upstream's; where that does not help, all there is. */
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

/** The upstream whose answers alone a purge concerns. */
function subject({ kind, value, upstream }: Purge): string | undefined {
  return upstream ?? (kind === "url" && value.includes("://") ? upstreamOf(value) : undefined);
}
