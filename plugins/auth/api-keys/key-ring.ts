// Lets an operator make, list, rotate and revoke the API keys in Redis. Every step is one atomic change of one record.
// So a command can be run again after it was cut off, or while another run of it works. The key itself is known only
// when it is made.
import { randomBytes } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { createKey, keyPath, storeKeyOf } from "./key-format.ts";
import { keyRecord, recordJson } from "./key-record.ts";
import { usageKey } from "./key-usage.ts";
import { withExactIntegers } from "../../../src/language/exact-integers.ts";
import { parseJson } from "../../../src/language/json.ts";
import type { RecordSigner, Script, Store } from "../../../src/plugin-api/contract.ts";

/** A record as it is stored: the members that auth reads, and those that only these commands read. */
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
  /** From `--expires`. The key that replaces this one gets the same lifetime. */
  readonly lifetimeMs?: number;
  readonly rotatedFrom?: string;
  readonly replacedBy?: string;
};

export interface ListedKey {
  /** The record's key in Redis, below the prefix. */
  readonly storeKey: string;
  /** undefined = cannot be read: requests with this key get 503. */
  readonly record: StoredKey | undefined;
  /** When each service last used it (epoch ms). */
  readonly uses: Readonly<Record<string, number>>;
}

export interface NewKey {
  readonly key: string;
  readonly record: StoredKey;
}

export interface Rotation {
  readonly old: StoredKey;
  readonly record: StoredKey;
  /** The new key; undefined when an earlier run has already made and shown it. */
  readonly key: string | undefined;
}

/** Why a command cannot be done. The text is for the operator. */
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
/** How long one run may take to make the new key, before another run may try. */
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
   * Makes a key that replaces another one, which ends after the overlap. A second run finishes what the first left
   * undone and otherwise changes nothing.
   * @throws KeyRingRefusal when there is no such key, several, it is revoked, its signature does not fit, or somebody
   * else keeps changing it
   */
  async rotate(id: string, overlapMs: number): Promise<Rotation> {
    for (let attempt = 0; attempt < attempts; attempt += 1) {
      const { storeKey, text, record } = await this.#one(id);
      await this.#refuseUnsigned(storeKey, text, id);
      if (record.disabled === true) throw new KeyRingRefusal(`${id} is revoked: create a new key instead`);
      if (record.replacedBy !== undefined) return await this.#finish(record, record.replacedBy);
      const endsMs = Math.min(Date.now() + overlapMs, endOf(record));
      const old = { ...record, expiresAt: new Date(endsMs).toISOString(), replacedBy: newId() };
      // The old record names its successor first, so that the next run can finish what is cut off here.
      if (await this.#replace(storeKey, text, old)) return await this.#finish(old, old.replacedBy);
    }
    throw new KeyRingRefusal(`${id} is being changed by somebody else: try again`);
  }

  /** Whether `revoke` has ended a signed record. Anyone with write access to Redis can put such a record back. */
  get comesBack(): boolean {
    return this.#comesBack;
  }

  #comesBack = false;

  /**
   * @returns the records that this call revoked; none when they were revoked before
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

  /** Never re-signs a record from Redis that no key that counts has signed: anybody may have written it. */
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
      // When two runs come here at once, one makes the key and the other finds it.
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
    // A revocation counts without a signature: anyone with write access to Redis can remove a key anyway.
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
    const { json } = recordJson(text);
    // Rotation writes what it has read.
    const value = withExactIntegers(json, parseJson(json));
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
