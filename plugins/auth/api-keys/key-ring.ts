// API keys in Redis as an operator works on them. Every step is one atomic change of one record, so that a command that
// was cut off, or run twice or by two people at once, can be run again. A key itself is known only when it is made.
import { randomBytes } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { createKey, keyPath, storeKeyOf } from "./key-format.ts";
import { keyRecord, recordJson } from "./key-record.ts";
import { usageKey } from "./key-usage.ts";
import { parseJson } from "../../../src/language/json.ts";
import type { RecordSigner, Script, Store } from "../../../src/plugin-api/contract.ts";

/** A record as it is stored: what auth reads, and what only these commands read. */
export type StoredKey = Readonly<Record<string, unknown>> & {
  readonly id: string;
  readonly userId: string;
  readonly scopes: readonly string[];
  readonly plan?: string | null;
  /** ISO 8601; hand-made records may have epoch numbers. */
  readonly expiresAt?: string | number | null;
  readonly disabled?: boolean | null;
  readonly createdAt?: string;
  readonly revokedAt?: string;
  /** Given with `--expires`: the key that replaces this one lives as long. */
  readonly lifetimeMs?: number;
  readonly rotatedFrom?: string;
  readonly replacedBy?: string;
};

export interface ListedKey {
  /** Where it lies, below the prefix. */
  readonly storeKey: string;
  /** undefined = not to be read: requests with it get 503. */
  readonly record: StoredKey | undefined;
  /** Epoch milliseconds of its last use, by service. */
  readonly uses: Readonly<Record<string, number>>;
}

export interface NewKey {
  readonly key: string;
  readonly record: StoredKey;
}

export interface Rotation {
  readonly old: StoredKey;
  readonly record: StoredKey;
  /** The new key; undefined when an earlier run has made it and shown it. */
  readonly key: string | undefined;
}

/** Why a command cannot do what it was asked for; the text is for the operator. */
export class KeyRingRefusal extends Error {
  override readonly name = "KeyRingRefusal";
}

const replaceIf: Script = {
  name: "keys-replace-if",
  lua: "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL') return 1",
};
const readHash: Script = { name: "keys-read-hash", lua: "return redis.call('HGETALL', KEYS[1])" };

const limitMs = 5_000;
const maxKeys = 100_000;
const page = 200;
const attempts = 5;
/** How long a run may take to make the new key. */
const leaseMs = 5_000;
const pollMs = 50;

interface Found {
  readonly storeKey: string;
  readonly text: string;
  readonly record: StoredKey | undefined;
}

export class KeyRing {
  readonly #store: Store;
  readonly #peppers: readonly string[];
  readonly #signer: RecordSigner | undefined;

  constructor(store: Store, peppers: readonly string[], signer?: RecordSigner) {
    this.#store = store;
    this.#peppers = peppers;
    this.#signer = signer;
  }

  async create(facts: {
    userId: string;
    plan?: string;
    scopes: readonly string[];
    lifetimeMs?: number;
  }): Promise<NewKey> {
    const { lifetimeMs, ...rest } = facts;
    return await this.#make({ ...rest, ...lifetimeOf(lifetimeMs) }, newId());
  }

  async list(): Promise<ListedKey[]> {
    const found = await this.#all();
    const listed = await inPages(found, async ({ storeKey, record }) => {
      const uses = record === undefined ? {} : await this.#uses(record.id);
      return { storeKey, record, uses };
    });
    return listed.sort((a, b) => (a.record?.id ?? "").localeCompare(b.record?.id ?? ""));
  }

  /**
   * Makes a key that takes the place of another one, which ends after the overlap. Run again, it finishes what was cut
   * off and otherwise changes nothing.
   * @throws KeyRingRefusal when there is no such key, several, or it is revoked
   */
  async rotate(id: string, overlapMs: number): Promise<Rotation> {
    for (let attempt = 0; attempt < attempts; attempt += 1) {
      const { storeKey, text, record } = await this.#one(id);
      await this.#refuseUnsigned(storeKey, text, id);
      if (record.disabled === true) throw new KeyRingRefusal(`${id} is revoked: create a new key instead`);
      if (record.replacedBy !== undefined) return await this.#finish(record, record.replacedBy);
      const endsMs = Math.min(Date.now() + overlapMs, endOf(record));
      const old = { ...record, expiresAt: new Date(endsMs).toISOString(), replacedBy: newId() };
      // The old key names its successor first: a run that is cut off here is finished by the next one.
      if (await this.#replace(storeKey, text, old)) return await this.#finish(old, old.replacedBy);
    }
    throw new KeyRingRefusal(`${id} is being changed by somebody else: try again`);
  }

  /** Whether what `revoke` ended was signed: whoever can write Redis can put that record back. */
  get comesBack(): boolean {
    return this.#comesBack;
  }

  #comesBack = false;

  /**
   * @returns the records that were revoked now; none when they were before
   * @throws KeyRingRefusal when there is no such key
   */
  async revoke(id: string): Promise<StoredKey[]> {
    const revoked: StoredKey[] = [];
    for (let attempt = 0; attempt < attempts; attempt += 1) {
      const found = await this.#named(id);
      if (found.length === 0) throw new KeyRingRefusal(`there is no key ${id}`);
      const active = found.filter(({ record }) => record.disabled !== true);
      if (active.length === 0) return revoked;
      for (const { storeKey, text, record } of active) {
        this.#comesBack ||= recordJson(text).isJws;
        const off = { ...record, disabled: true, revokedAt: new Date().toISOString() };
        if (await this.#replace(storeKey, text, off)) revoked.push(off);
      }
    }
    throw new KeyRingRefusal(`${id} is being changed by somebody else: try again`);
  }

  /** Nothing out of Redis is signed that no key that counts has signed: it may be anybody's. */
  async #refuseUnsigned(storeKey: string, text: string, id: string): Promise<void> {
    if (this.#signer === undefined) {
      if (recordJson(text).isJws)
        throw new KeyRingRefusal(`${id} is signed: its successor needs --key FILE, too`);
    } else if (!(await this.#signer.isSigned(storeKey, text)))
      throw new KeyRingRefusal(
        `${id} is signed by no key that counts, so that its record may be anybody's: create a new key, and revoke it`,
      );
  }

  async #finish(old: StoredKey, newId: string): Promise<Rotation> {
    const endAtMs = Date.now() + leaseMs * 2;
    while (Date.now() < endAtMs) {
      const [made] = await this.#named(newId);
      if (made !== undefined) return { old, record: made.record, key: undefined };
      // Of two that come here at once, one makes the key and the other one finds it.
      if (await this.#store.set(`keys-make:${newId}`, "1", { ifAbsent: true, ttlMs: leaseMs, limitMs })) {
        const { expiresAt: _, replacedBy: _replacedBy, lifetimeMs, ...facts } = old;
        const { key, record } = await this.#make(
          { ...facts, ...lifetimeOf(lifetimeMs), rotatedFrom: old.id },
          newId,
        );
        return { old, record, key };
      }
      await setTimeout(pollMs);
    }
    throw new KeyRingRefusal(`${old.id} is being rotated by somebody else: try again`);
  }

  async #make(facts: Omit<StoredKey, "id">, id: string): Promise<NewKey> {
    const key = createKey();
    const record: StoredKey = { ...(facts as StoredKey), id, createdAt: new Date().toISOString() };
    keyRecord(record);
    const storeKey = storeKeyOf(key, this.#peppers);
    const made = await this.#store.set(storeKey, await this.#written(storeKey, record), {
      ifAbsent: true,
      limitMs,
    });
    if (!made) throw new Error("two keys of 256 random bits are the same");
    return { key, record };
  }

  async #replace(storeKey: string, before: string, after: StoredKey): Promise<boolean> {
    keyRecord(after);
    // Whoever may write Redis may take a key away: a revocation counts without a signature.
    const text = after.disabled === true ? JSON.stringify(after) : await this.#written(storeKey, after);
    return (await this.#store.run(replaceIf, [storeKey], [before, text], limitMs)) === 1;
  }

  async #written(storeKey: string, record: StoredKey): Promise<string> {
    return (await this.#signer?.sign(storeKey, record)) ?? JSON.stringify(record);
  }

  async #all(): Promise<Found[]> {
    const storeKeys = await this.#store.scan(keyPath, maxKeys);
    const found = await inPages(storeKeys, async (storeKey) => {
      const text = await this.#store.get(storeKey, limitMs);
      return text === null ? undefined : { storeKey, text, record: readRecord(text) };
    });
    return found.filter((each) => each !== undefined);
  }

  async #named(id: string): Promise<(Found & { readonly record: StoredKey })[]> {
    const all = await this.#all();
    return all.filter((each): each is Found & { readonly record: StoredKey } => each.record?.id === id);
  }

  async #one(id: string): Promise<Found & { readonly record: StoredKey }> {
    const [found, ...more] = await this.#named(id);
    if (found === undefined) throw new KeyRingRefusal(`there is no key ${id}`);
    if (more.length > 0)
      throw new KeyRingRefusal(`several keys are called ${id}: give them ids of their own first`);
    return found;
  }

  async #uses(id: string): Promise<Record<string, number>> {
    const flat = (await this.#store.run(readHash, [usageKey(id)], [], limitMs)) as readonly string[];
    const uses: Record<string, number> = {};
    for (let i = 0; i < flat.length; i += 2) uses[flat[i] as string] = Number(flat[i + 1]);
    return uses;
  }
}

/** Epoch milliseconds; Infinity = never. */
export function endOf(record: StoredKey): number {
  return keyRecord(record).expiresAtMs;
}

function readRecord(text: string): StoredKey | undefined {
  try {
    const value = parseJson(recordJson(text).json);
    keyRecord(value);
    return value as StoredKey;
  } catch {
    return undefined;
  }
}

function newId(): string {
  return `k_${randomBytes(9).toString("base64url")}`;
}

function lifetimeOf(lifetimeMs: number | undefined): { lifetimeMs?: number; expiresAt?: string } {
  return lifetimeMs === undefined
    ? {}
    : { lifetimeMs, expiresAt: new Date(Date.now() + lifetimeMs).toISOString() };
}

async function inPages<In, Out>(items: readonly In[], work: (item: In) => Promise<Out>): Promise<Out[]> {
  const results: Out[] = [];
  for (let i = 0; i < items.length; i += page)
    results.push(...(await Promise.all(items.slice(i, i + page).map(work))));
  return results;
}
