// Manages the keys that seal personal fields: one per person and month, stored where an operator can delete it.
// Deleting a key makes its sealed fields unreadable, and the chain still verifies.
import { createHmac, randomBytes } from "node:crypto";
import { boundedCache } from "../plugin-api/bounded-cache.ts";
import { type AuditKey, encrypt } from "./key.ts";
import type { PersonalFields } from "./record.ts";

/** A subject's key, wrapped by the audit key, under the subject's pseudonym. */
export interface WrappedKey {
  readonly name: string;
  readonly wrapped: string;
}

/** A place that stores the keys. */
export interface KeyPlace {
  /**
   * Stores each key unless its name already has one. Rejects when the place is out of reach.
   * @returns the keys that are now stored, in the same order
   */
  obtain(period: string, offered: readonly WrappedKey[]): Promise<readonly string[]>;
}

/** A subject's key and the tag that its records share. The tag cannot be computed without the key. */
export interface SubjectKey {
  readonly key: Buffer;
  readonly tag: string;
}

interface Held extends SubjectKey {
  readonly period: string;
  readonly heldAtMs: number;
  /** Whether the key is stored in its place. */
  kept: boolean;
}

/** A deleted key may be used this long in this process; what it then seals cannot be read. */
const holdMs = 60_000;
const maxHeld = 16_384;
/** Bound on keys that wait to be stored. */
const maxOwed = 16_384;

/** The month in UTC, such as 2026-11. */
export const periodOf = (atMs: number): string => new Date(atMs).toISOString().slice(0, 7);

/** Names the subject of a record. Unknown callers share one subject per day. */
export function subjectOf(
  { userId, issuer }: Pick<PersonalFields, "userId" | "issuer">,
  atMs: number,
): string {
  if (userId === undefined) return `day ${new Date(atMs).toISOString().slice(0, 10)}`;
  return `user ${JSON.stringify([issuer ?? null, userId])}`;
}

export function subjectKey(key: Buffer): SubjectKey {
  const tag = createHmac("sha256", key).update("outrigger audit: tag").digest().subarray(0, 12);
  return { key, tag: tag.toString("base64url") };
}

export class SubjectKeys {
  readonly #auditKeys: readonly AuditKey[];
  readonly #place: KeyPlace;
  readonly #held = boundedCache<Held>(maxHeld);
  #away = false;
  #owed: { readonly period: string; readonly subject: string; readonly offer: WrappedKey }[] = [];

  /** @param auditKeys the first one wraps; all of them unwrap */
  constructor(auditKeys: readonly [AuditKey, ...AuditKey[]], place: KeyPlace) {
    this.#auditKeys = auditKeys;
    this.#place = place;
  }

  /** Whether the place was out of reach at its last use: new subjects' keys are then not stored. */
  get away(): boolean {
    return this.#away;
  }

  /**
   * Loads or creates the keys of these subjects for `of`. While the place is out of reach, new keys wait here for it.
   * Never rejects.
   */
  async prepare(subjects: ReadonlySet<string>, atMs: number): Promise<void> {
    const period = periodOf(atMs);
    const stale = [...subjects].filter((subject) => {
      const held = this.#held.get(subject);
      // abs(): if the clock is set back, a key must not be held longer.
      return held === undefined || held.period !== period || Math.abs(atMs - held.heldAtMs) > holdMs;
    });
    if (stale.length === 0 && this.#owed.length === 0) return;
    const fresh = stale.map(() => randomBytes(32));
    const [wrapping] = this.#auditKeys as readonly [AuditKey];
    const offers = stale.map((subject, at) => ({
      name: wrapping.pseudonym(period, subject),
      wrapped: wrapping.wrap(fresh[at] as Buffer),
    }));
    try {
      const kept = offers.length === 0 ? [] : await this.#place.obtain(period, offers);
      for (const [at, subject] of stale.entries())
        this.#hold(subject, this.#unwrap(kept[at]) ?? (fresh[at] as Buffer), period, atMs);
      await this.#payOwed();
      this.#away = false;
    } catch {
      this.#away = true;
      for (const [at, subject] of stale.entries()) {
        if (this.#held.get(subject)?.period === period) continue;
        this.#hold(subject, fresh[at] as Buffer, period, atMs).kept = false;
        // A name of its own, because the subject may already have a stored key that could not be read.
        const { name, wrapped } = offers[at] as WrappedKey;
        const offer = { name: `${name}~${randomBytes(6).toString("base64url")}`, wrapped };
        if (this.#owed.length < maxOwed) this.#owed.push({ period, subject, offer });
      }
    }
  }

  /** Whether the key of a prepared subject is stored in its place. */
  isKept(subject: string): boolean {
    return this.#held.get(subject)?.kept === true;
  }

  /** The key of a prepared subject. */
  of(subject: string): SubjectKey {
    const held = this.#held.get(subject);
    // Evicted by others of the same batch: the record is written, but its personal fields cannot be read.
    return held ?? subjectKey(randomBytes(32));
  }

  #hold(subject: string, key: Buffer, period: string, heldAtMs: number): Held {
    const held = { ...subjectKey(key), period, heldAtMs, kept: true };
    this.#held.set(subject, held);
    return held;
  }

  #unwrap(wrapped: string | undefined): Buffer | undefined {
    if (wrapped === undefined) return undefined;
    for (const key of this.#auditKeys) {
      const plain = key.unwrap(wrapped);
      if (plain !== undefined) return plain;
    }
    return undefined;
  }

  async #payOwed(): Promise<void> {
    const byPeriod = Map.groupBy(this.#owed, ({ period }) => period);
    for (const [period, owed] of byPeriod) {
      await this.#place.obtain(
        period,
        owed.map(({ offer }) => offer),
      );
      const paid = new Set(owed);
      this.#owed = this.#owed.filter((each) => !paid.has(each));
      for (const { subject } of owed) {
        const held = this.#held.get(subject);
        if (held !== undefined) held.kept = true;
      }
    }
  }
}

/** @returns the members that go into the record */
export function seal(subject: SubjectKey, person: PersonalFields): { subject: string; sealed: string } {
  return { subject: subject.tag, sealed: encrypt(subject.key, JSON.stringify(person), subject.tag) };
}
