// Keeps entries in Redis, shared by the sidecars of one service. If Redis is down, slow, full or hostile, only the
// memory tier works. Keys of one URL and partition share a hash tag, so that they are in one slot of Redis Cluster.
import { hash } from "node:crypto";
import type { Counter, Fields, Store, StoreSeal } from "../../../src/plugin-api/contract.ts";
import { BadRecord, decodeRecord, encodeEntry, encodeVary, type StoredRecord } from "./codec.ts";
import type { Entry } from "./entry.ts";
import { matches } from "./entry-index.ts";
import type { StoredEntry } from "./stored-entry.ts";
import { varyValues } from "../semantics/vary.ts";

/** Limits of a look-up. */
export interface LookUpLimits {
  /** Longest wait for each of at most two reads. */
  readonly redisWaitMs: number;
  /** A larger body is not read. */
  readonly maxBodyBytes: number;
}

/** Longest TTL in Redis, and so the longest time for which a purge must be remembered. */
export const maxLifeMs = 86_400_000;
/** How long an entry with a validator is kept at least after its freshness ends, so that it can be validated. */
const validationGraceMs = 3_600_000;
/** Most writes under way at once; further entries are not written. */
const maxWrites = 64;

export interface RedisTierParts {
  readonly store: Store;
  /** `cache:<service>:`, with the region's part. */
  readonly prefix: string;
  readonly badRecords: Counter;
  /** With a seal, only records that a sidecar of this service wrote count. */
  readonly seal: StoreSeal | undefined;
  readonly now: () => number;
}

export class RedisTier {
  readonly #parts: RedisTierParts;
  #writing = 0;

  constructor(parts: RedisTierParts) {
    this.#parts = parts;
  }

  get up(): boolean {
    return this.#parts.store.up;
  }

  /** Never rejects. Does not check purges. @returns undefined if there is no usable entry, whatever the cause */
  async find(
    url: string,
    partition: string,
    request: Fields,
    limits: LookUpLimits,
  ): Promise<StoredEntry | undefined> {
    const key = this.#key(url, partition);
    let record = await this.#read(key, limits);
    if (record !== undefined && "vary" in record) {
      record = await this.#read(variantKey(key, varyValues(record.vary, request)), limits);
    }
    if (record === undefined || !("entry" in record)) return undefined;
    const { entry } = record;
    // An entry under a wrong key, by collision or attack, must not answer anything.
    if (entry.url !== url || entry.partition !== partition) {
      this.#parts.badRecords.inc();
      return undefined;
    }
    // All entries share one partition string.
    entry.partition = partition;
    return matches(entry, request) ? entry : undefined;
  }

  /** Writes an entry; a failure only loses the entry in Redis. Never rejects, and need not be awaited. */
  async put(entry: Entry, maxBytes: number, nowMs: number): Promise<void> {
    if (!this.#parts.store.up || this.#writing >= maxWrites) return;
    const ttlMs = Math.min(maxLifeMs, Math.ceil(usefulMs(entry, nowMs)));
    if (ttlMs <= 0) return;
    this.#writing += 1;
    try {
      await this.#write(entry, maxBytes, ttlMs);
    } catch {
      // Redis is down, slow or full: the memory tier has the entry.
    } finally {
      this.#writing -= 1;
    }
  }

  /** Deletes an entry, for example when an answer that may not be stored supersedes it. Does not wait. */
  drop(entry: Entry): void {
    if (!this.#parts.store.up) return;
    const key = this.#key(entry.url, entry.partition);
    const exact = entry.vary.length === 0 ? key : variantKey(key, entry.varyValues);
    this.#parts.store.delete(exact).catch(() => {});
  }

  /**
   * Takes the lease to fill a key for the whole fleet. Never rejects.
   * @returns false if another sidecar holds the lease; true also if Redis cannot be asked
   */
  async lease(url: string, partition: string, ttlMs: number, limitMs: number): Promise<boolean> {
    try {
      const key = `${this.#key(url, partition)}:lease`;
      return await this.#parts.store.set(key, "1", { ttlMs, ifAbsent: true, limitMs });
    } catch {
      return true;
    }
  }

  release(url: string, partition: string): void {
    this.#parts.store.delete(`${this.#key(url, partition)}:lease`).catch(() => {});
  }

  async #read(key: string, { redisWaitMs, maxBodyBytes }: LookUpLimits): Promise<StoredRecord | undefined> {
    if (!this.#parts.store.up) return undefined;
    try {
      const bytes = await this.#parts.store.getBytes(key, redisWaitMs);
      return bytes === null ? undefined : await decodeRecord(this.#opened(key, bytes), maxBodyBytes);
    } catch (error) {
      if (error instanceof BadRecord) this.#parts.badRecords.inc();
      return undefined;
    }
  }

  async #write(entry: Entry, maxBytes: number, ttlMs: number): Promise<void> {
    const bytes = await encodeEntry(entry);
    if (bytes.length > maxBytes) return;
    const key = this.#key(entry.url, entry.partition);
    if (entry.vary.length === 0) {
      await this.#set(key, bytes, ttlMs);
      return;
    }
    await this.#set(variantKey(key, entry.varyValues), bytes, ttlMs);
    await this.#set(key, encodeVary(entry.vary), ttlMs);
  }

  async #set(key: string, bytes: Buffer, ttlMs: number): Promise<void> {
    const { store, seal, now } = this.#parts;
    const sealed = seal === undefined ? bytes : seal.seal(key, bytes, now() + ttlMs);
    await store.set(key, sealed, { ttlMs });
  }

  #opened(key: string, bytes: Buffer): Buffer {
    const { seal, now } = this.#parts;
    const opened = seal === undefined ? bytes : seal.open(key, bytes, now());
    if (opened === undefined) throw new BadRecord("seal");
    return opened;
  }

  #key(url: string, partition: string): string {
    return `${this.#parts.prefix}e:{${digest(`${url}\n${partition}`)}}`;
  }
}

function variantKey(key: string, values: readonly string[]): string {
  return `${key}:${digest(JSON.stringify(values))}`;
}

function digest(text: string): string {
  return hash("sha256", text, "base64url");
}

function usefulMs(entry: Entry, nowMs: number): number {
  const stale = Math.max(entry.staleIfErrorMs, entry.staleWhileRevalidateMs);
  const validatable = entry.etag !== undefined || entry.lastModified !== undefined;
  return entry.freshUntil - nowMs + Math.max(stale, validatable ? validationGraceMs : 0);
}
