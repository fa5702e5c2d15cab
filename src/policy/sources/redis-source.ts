// Reads the policy from Redis: `policy` and `policy:<service>`, together, whenever either may have changed.
import { textOf } from "../../plugin-api/error-text.ts";
import { setTimeout as wait } from "node:timers/promises";
import type { RedisStore } from "../../redis/store.ts";
import { StoreUnavailable } from "../../plugin-api/store.ts";
import { keySetKey, keySetMaxBytes } from "../signature/key-sets.ts";
import { defaultMaxBytes } from "../document/parse.ts";
import { layerKey, sharedKey } from "../read.ts";
import { HistoryHeadsReader } from "./history-heads.ts";
import { type PollerOptions, Poller } from "./poller.ts";
import type { PolicySource, SourceReading } from "./source.ts";

export interface RedisSourceOptions extends Partial<Omit<PollerOptions, "read">> {
  readonly store: RedisStore;
  readonly service: string;
  /** Prefix of the key in messages, as the store has it. */
  readonly keyPrefix?: string;
  /** Whether key documents are read, too. */
  readonly signed?: boolean;
  /** Size limit of a document; longer values are not read. */
  readonly maxBytes?: number;
  /** How long the first read is retried before it counts as failed: a client needs a moment to connect. */
  readonly startLimitMs?: number;
}

const betweenTriesMs = 25;
/** Longer than the limit for requests: a policy is larger than what a request reads, and no client waits for it. */
const readLimitMs = 1000;

/** Mean time between reads while no change messages come. A change must be enforced within a second. */
const untoldPollMs = 900;

/**
 * Notices every client's changes through invalidation messages. The jittered poll finds those whose message is lost,
 * and all changes while no messages come.
 */
export function createRedisSource(options: RedisSourceOptions): PolicySource {
  return new RedisSource(options);
}

class RedisSource implements PolicySource {
  readonly kind = "redis";
  readonly #options: RedisSourceOptions;
  readonly #keys: readonly [string, string];
  readonly #heads: HistoryHeadsReader;
  readonly #pollMs: number;
  readonly #stopped = new AbortController();
  readonly #poller: Poller;
  #tryUntil = Infinity;
  /**
   * Whether something may have changed since the last successful read; the time of that read, and how long it stays
   * valid.
   */
  #told = true;
  #readMono = -Infinity;
  #holdsMs = 0;
  #onReading: ((reading: SourceReading) => void) | undefined;
  #unwatch: (() => void) | undefined;

  constructor(options: RedisSourceOptions) {
    const { settleMs = 5, pollMs = 10_000, retryMs = 1000, random, store, service, keyPrefix = "" } = options;
    this.#options = options;
    this.#keys = [sharedKey, layerKey(service)];
    this.#heads = new HistoryHeadsReader(store, service, keyPrefix);
    this.#pollMs = pollMs;
    this.#poller = new Poller({
      settleMs,
      pollMs: Math.min(pollMs, untoldPollMs),
      retryMs,
      ...(random && { random }),
      read: () => this.#read(),
    });
  }

  get polledBecause(): string | null {
    return this.#options.store.unheardBecause ?? null;
  }

  start(listener: (reading: SourceReading) => void): void {
    const { store, signed = false, startLimitMs = 1000 } = this.#options;
    this.#onReading = listener;
    this.#tryUntil = performance.now() + startLimitMs;
    this.#unwatch = store.watch(sharedKey, (key) => {
      const isOurs = key === null || this.#keys.includes(key) || (signed && key === keySetKey);
      if (!isOurs) return;
      this.#told = true;
      this.#poller.trigger();
    });
    this.#poller.readNow();
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#unwatch?.();
    await this.#poller.stop();
  }

  async #read(): Promise<boolean> {
    const isHeard = !this.#told && this.#options.store.watching;
    if (isHeard && performance.now() - this.#readMono < this.#holdsMs) return true;
    if (this.#told) this.#heads.forget();
    this.#told = false;
    const reading = await this.#readNumbered();
    this.#readMono = reading.state === "failed" ? -Infinity : performance.now();
    this.#holdsMs = this.#pollMs * (0.5 + Math.random());
    this.#tryUntil = -Infinity;
    if (!this.#stopped.signal.aborted) this.#onReading?.(reading);
    return reading.state !== "failed";
  }

  async #readNumbered(): Promise<SourceReading> {
    const reading = await this.#readWithRetries();
    return reading.state === "read" ? { ...reading, heads: await this.#heads.of(reading.raw) } : reading;
  }

  async #readWithRetries(): Promise<SourceReading> {
    const { store, keyPrefix = "", maxBytes = defaultMaxBytes, signed = false } = this.#options;
    const { signal } = this.#stopped;
    for (;;) {
      const reading = await readOnce(store, this.#keys, { maxBytes, keyPrefix, signed });
      if (reading.state !== "failed" || signal.aborted || performance.now() > this.#tryUntil) return reading;
      await wait(betweenTriesMs, undefined, { signal }).catch(() => {});
    }
  }
}

interface ReadOptions {
  readonly maxBytes: number;
  readonly keyPrefix: string;
  readonly signed: boolean;
}

async function readOnce(
  store: RedisStore,
  keys: readonly [string, string],
  { maxBytes, keyPrefix, signed }: ReadOptions,
): Promise<SourceReading> {
  // Key documents are read apart from the policy: an unreadable policy must not hide who may sign.
  const reading = signed ? readKeySets(store).catch((error: unknown) => error as Error) : undefined;
  const documents = await readDocuments(store, keys, { maxBytes, keyPrefix });
  const keySets = await reading;
  if (keySets instanceof Error) return { state: "failed", message: unreadable(keySets) };
  if (keySets === undefined) return documents;
  return documents.state === "read"
    ? { ...documents, raw: { ...documents.raw, keySets } }
    : { ...documents, keySets };
}

async function readDocuments(
  store: RedisStore,
  keys: readonly [string, string],
  { maxBytes, keyPrefix }: Omit<ReadOptions, "signed">,
): Promise<SourceReading> {
  try {
    // A signed document is longer than its payload.
    const reading = keys.map((key) => store.getBytes(key, readLimitMs, maxBytes * 2));
    const [shared, layer] = await Promise.all(reading);
    if (shared === undefined || shared === null)
      return { state: "absent", message: `Redis has no key "${keyPrefix}${keys[0]}"` };
    return { state: "read", raw: { shared, layer: layer ?? undefined, format: "json" } };
  } catch (error) {
    return { state: "failed", message: unreadable(error) };
  }
}

const unreadable = (error: unknown): string => `Redis cannot be read: ${textOf(error)}`;

/** Redis rights of an older version may not allow the read: then there are no key documents. */
async function readKeySets(store: RedisStore): Promise<readonly Uint8Array[]> {
  try {
    const keySet = await store.getBytes(keySetKey, readLimitMs, keySetMaxBytes * 2);
    return keySet === null ? [] : [keySet];
  } catch (error) {
    if (error instanceof StoreUnavailable && error.code === "NOPERM") return [];
    throw error;
  }
}
