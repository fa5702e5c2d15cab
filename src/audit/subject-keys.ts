// The keys that personal fields are sealed with: one for each person and month, kept where an operator can delete it. What
// was sealed with it is gone then, and the chain still holds.
import { createHmac, randomBytes } from "node:crypto";
import { boundedCache } from "../plugin-api/bounded-cache.ts";
import { type AuditKey, encrypt } from "./key.ts";
import type { PersonalFields } from "./record.ts";

/** A key under the name of its subject, wrapped by the audit key. */
export interface WrappedKey {
  readonly name: string;
  readonly wrapped: string;
}

/** Where the keys are. */
export interface KeyPlace {
  /**
   * Keeps each of them, unless its name has one already.
   * Rejects when the place is out of reach.
   * @returns those that count now, in the same order
   */
  obtain(period: string, offered: readonly WrappedKey[]): Promise<readonly string[]>;
}

/** A subject's key with the tag that its records have in common, which nobody can work out without the key. */
export interface SubjectKey {
  readonly key: Buffer;
  readonly tag: string;
}

interface Held extends SubjectKey {
  readonly period: string;
  readonly heldAtMs: number;
  /** Whether the place has it. */
  kept: boolean;
}

/** So long a key that was deleted may still be used: what it seals cannot be read. */
const holdMs = 60_000;
const maxHeld = 16_384;
/** Keys that could not be kept yet. */
const maxOwed = 16_384;

/** The month, by UTC. */
export const periodOf = (atMs: number): string => new Date(atMs).toISOString().slice(0, 7);

/** Who a record is about. Callers whom nobody knows are one subject a day. */
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

  /** @param auditKeys the first wraps; the others still unwrap */
  constructor(auditKeys: readonly [AuditKey, ...AuditKey[]], place: KeyPlace) {
    this.#auditKeys = auditKeys;
    this.#place = place;
  }

  /** Whether the place was out of reach when it was last needed: the keys of subjects that are new are not kept now. */
  get away(): boolean {
    return this.#away;
  }

  /**
   * Has the keys of these subjects at hand for `of`. While the place is out of reach, new ones are kept here until it is back.
   * Never rejects.
   */
  async prepare(subjects: ReadonlySet<string>, atMs: number): Promise<void> {
    const period = periodOf(atMs);
    const stale = [...subjects].filter((subject) => {
      const held = this.#held.get(subject);
      // A clock that was set back must not keep a key for longer.
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
        // A name of its own: the subject may have a key there that could not be read.
        const { name, wrapped } = offers[at] as WrappedKey;
        const offer = { name: `${name}~${randomBytes(6).toString("base64url")}`, wrapped };
        if (this.#owed.length < maxOwed) this.#owed.push({ period, subject, offer });
      }
    }
  }

  /** Whether the key of a subject that was prepared is in its place. */
  isKept(subject: string): boolean {
    return this.#held.get(subject)?.kept === true;
  }

  /** The key of a subject that was prepared. */
  of(subject: string): SubjectKey {
    const held = this.#held.get(subject);
    // Pushed out by others of the same batch: nobody will read it, and the record is still there.
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

/** @returns the fields as a record has them */
export function seal(subject: SubjectKey, person: PersonalFields): { subject: string; sealed: string } {
  return { subject: subject.tag, sealed: encrypt(subject.key, JSON.stringify(person), subject.tag) };
}
