// Lets an operator work with the keys of subjects: find them by subject or by a record's tag, and delete them.
import { open } from "node:fs/promises";
import type { Script, Store } from "../plugin-api/store.ts";
import { type AuditKey, decrypt } from "./key.ts";
import { keyFileOf, keyPeriodsOf, keysKey, readKeyFile } from "./key-places.ts";
import type { PersonalFields, ReadRecord } from "./record.ts";
import { subjectKey, subjectOf, type WrappedKey } from "./subject-keys.ts";

/** A place that stores keys, with all its months. */
export interface KeyShelf {
  periods(): Promise<readonly string[]>;
  all(period: string): Promise<readonly WrappedKey[]>;
  /** Deletes keys with this name, and with names that begin with it and `~`. @returns how many there were */
  delete(period: string, name: string): Promise<number>;
}

const pageLimitMs = 5_000;
const scan: Script = {
  name: "audit-scan-keys",
  lua: "return redis.call('HSCAN', KEYS[1], ARGV[1], 'MATCH', ARGV[2], 'COUNT', 1000)",
};
const drop: Script = { name: "audit-drop-keys", lua: "return redis.call('HDEL', KEYS[1], unpack(ARGV))" };

export class RedisShelf implements KeyShelf {
  readonly #store: Store;
  readonly #service: string;

  constructor(store: Store, service: string) {
    this.#store = store;
    this.#service = service;
  }

  async periods(): Promise<readonly string[]> {
    const prefix = keysKey(this.#service, "");
    return (await this.#store.scan(prefix, 10_000)).map((key) => key.slice(prefix.length)).sort();
  }

  async all(period: string): Promise<WrappedKey[]> {
    return await this.#matching(period, "*");
  }

  async delete(period: string, name: string): Promise<number> {
    const others = (await this.#matching(period, `${name}~*`)).map((each) => each.name);
    return Number(
      await this.#store.run(drop, [keysKey(this.#service, period)], [name, ...others], pageLimitMs),
    );
  }

  async #matching(period: string, pattern: string): Promise<WrappedKey[]> {
    const found = new Map<string, string>();
    let cursor = "0";
    do {
      const args = [cursor, pattern];
      const page = await this.#store.run(scan, [keysKey(this.#service, period)], args, pageLimitMs);
      const [next, flat] = page as [string, string[]];
      for (let i = 0; i + 1 < flat.length; i += 2) found.set(flat[i] as string, flat[i + 1] as string);
      cursor = next;
    } while (cursor !== "0");
    return [...found].map(([name, wrapped]) => ({ name, wrapped }));
  }
}

/** The key files beside a trail's file. */
export class FileShelf implements KeyShelf {
  readonly #auditFile: string;

  constructor(auditFile: string) {
    this.#auditFile = auditFile;
  }

  periods(): Promise<readonly string[]> {
    return keyPeriodsOf(this.#auditFile);
  }

  async all(period: string): Promise<readonly WrappedKey[]> {
    return await readKeyFile(keyFileOf(this.#auditFile, period));
  }

  /** Overwrites the lines in place, because a sidecar may be appending others. */
  async delete(period: string, name: string): Promise<number> {
    const path = keyFileOf(this.#auditFile, period);
    const lines = (await readKeyFile(path)).filter(
      (line) => line.name === name || line.name.startsWith(`${name}~`),
    );
    if (lines.length === 0) return 0;
    const file = await open(path, "r+");
    try {
      for (const { at, bytes } of lines) await file.write(Buffer.alloc(bytes, " "), 0, bytes, at);
      await file.sync();
    } finally {
      await file.close();
    }
    return lines.length;
  }
}

/** A subject as records name it. */
export interface Subject {
  readonly userId: string;
  readonly issuer: string | undefined;
}

export class KeyDirectory {
  readonly #keys: readonly AuditKey[];
  readonly #shelves: readonly KeyShelf[];
  /** Keys by the tag of their records; loaded at the first use. */
  #byTag: Map<string, Buffer> | undefined;

  constructor(keys: readonly AuditKey[], shelves: readonly KeyShelf[]) {
    this.#keys = keys;
    this.#shelves = shelves;
  }

  /** The tags of a subject's records in all months. */
  async tagsOf(subject: Subject): Promise<Set<string>> {
    const tags = new Set<string>();
    await this.#each(async (shelf, period) => {
      const names = new Set(this.#namesOf(subject, period));
      for (const { name, wrapped } of await shelf.all(period)) {
        const key = names.has(name.split("~", 1)[0] as string) ? this.#unwrap(wrapped) : undefined;
        if (key !== undefined) tags.add(subjectKey(key).tag);
      }
    });
    return tags;
  }

  /** @returns how many keys were deleted */
  async forget(subject: Subject): Promise<number> {
    let deleted = 0;
    await this.#each(async (shelf, period) => {
      for (const name of this.#namesOf(subject, period)) deleted += await shelf.delete(period, name);
    });
    return deleted;
  }

  /** @returns how many keys no audit key here can unwrap: they may belong to a subject that was to be forgotten */
  async foreign(): Promise<number> {
    let count = 0;
    await this.#each(async (shelf, period) => {
      for (const { wrapped } of await shelf.all(period)) if (this.#unwrap(wrapped) === undefined) count += 1;
    });
    return count;
  }

  /** @returns the personal fields sealed in a record; undefined when the record has none, or its key is gone */
  async open(record: ReadRecord): Promise<PersonalFields | undefined> {
    const { subject, sealed } = record;
    if (typeof subject !== "string" || typeof sealed !== "string") return undefined;
    this.#byTag ??= await this.#load();
    const key = this.#byTag.get(subject);
    const plain = key && decrypt(key, sealed, subject);
    return plain && (JSON.parse(plain.toString()) as PersonalFields);
  }

  #namesOf({ userId, issuer }: Subject, period: string): string[] {
    return this.#keys.map((key) => key.pseudonym(period, subjectOf({ userId, issuer }, 0)));
  }

  async #load(): Promise<Map<string, Buffer>> {
    const byTag = new Map<string, Buffer>();
    await this.#each(async (shelf, period) => {
      for (const { wrapped } of await shelf.all(period)) {
        const key = this.#unwrap(wrapped);
        if (key !== undefined) byTag.set(subjectKey(key).tag, key);
      }
    });
    return byTag;
  }

  async #each(work: (shelf: KeyShelf, period: string) => Promise<void>): Promise<void> {
    for (const shelf of this.#shelves) for (const period of await shelf.periods()) await work(shelf, period);
  }

  #unwrap(wrapped: string): Buffer | undefined {
    for (const key of this.#keys) {
      const plain = key.unwrap(wrapped);
      if (plain !== undefined) return plain;
    }
    return undefined;
  }
}
