// The policy in Redis: `policy` and `policy:<service>`, read together whenever either may have changed.
import { textOf } from "../../plugin-api/error-text.ts";
import { setTimeout as wait } from "node:timers/promises";
import type { RedisStore } from "../../redis/store.ts";
import { StoreUnavailable } from "../../plugin-api/store.ts";
import { keySetKey, keySetMaxBytes } from "../signature/key-sets.ts";
import { defaultMaxBytes } from "../document/parse.ts";
import { layerKey, sharedKey } from "../read.ts";
import { type PollerOptions, Poller } from "./poller.ts";
import type { PolicySource, SourceReading } from "./source.ts";

export interface RedisSourceOptions extends Partial<Omit<PollerOptions, "read">> {
  readonly store: RedisStore;
  readonly service: string;
  /** In front of the key in messages, as the store has it. */
  readonly keyPrefix?: string;
  /** Whether documents of keys that came later are read, too. */
  readonly signed?: boolean;
  /** Longest document; more is not read. */
  readonly maxBytes?: number;
  /** How long the first read is tried again before it counts as failed: a client needs a moment to connect. */
  readonly startLimitMs?: number;
}

const betweenTriesMs = 25;
/** A policy is larger than what a request asks for, and nobody waits for it. */
const readLimitMs = 1000;

/** Mean time between reads while changes are not told: no longer than enforcing a policy may take. */
const untoldPollMs = 900;

/**
 * Tells of what any client sets, by invalidation messages; the jittered poll is the truth when one is lost, and all there
 * is while none come.
 */
export function createRedisSource(options: RedisSourceOptions): PolicySource {
  const { store, service, startLimitMs = 1000, settleMs = 5, pollMs = 10_000, retryMs = 1000 } = options;
  const { keyPrefix = "", maxBytes = defaultMaxBytes, signed = false } = options;
  const keys = [sharedKey, layerKey(service)] as const;
  const stopped = new AbortController();
  let tryUntil = Infinity;
  /** Whether something may have changed; when the last read that worked was, and how long it holds. */
  let told = true;
  let readMono = -Infinity;
  let holdsMs = 0;
  let onReading: ((reading: SourceReading) => void) | undefined;

  async function readWithRetries(): Promise<SourceReading> {
    for (;;) {
      const reading = await readOnce(store, keys, { maxBytes, keyPrefix, signed });
      if (reading.state !== "failed" || stopped.signal.aborted || performance.now() > tryUntil)
        return reading;
      await wait(betweenTriesMs, undefined, { signal: stopped.signal }).catch(() => {});
    }
  }

  const poller = new Poller({
    settleMs,
    pollMs: Math.min(pollMs, untoldPollMs),
    retryMs,
    ...(options.random && { random: options.random }),
    async read() {
      if (!told && store.watching && performance.now() - readMono < holdsMs) return true;
      told = false;
      const reading = await readWithRetries();
      readMono = reading.state === "failed" ? -Infinity : performance.now();
      holdsMs = pollMs * (0.5 + Math.random());
      tryUntil = -Infinity;
      if (!stopped.signal.aborted) onReading?.(reading);
      return reading.state !== "failed";
    },
  });
  let unwatch: (() => void) | undefined;
  return {
    kind: "redis",
    get polledBecause() {
      return store.unheardBecause ?? null;
    },
    start(listener) {
      onReading = listener;
      tryUntil = performance.now() + startLimitMs;
      unwatch = store.watch(sharedKey, (key) => {
        if (key !== null && key !== keys[0] && key !== keys[1] && !(signed && key === keySetKey)) return;
        told = true;
        poller.trigger();
      });
      poller.readNow();
    },
    async stop() {
      stopped.abort();
      unwatch?.();
      await poller.stop();
    },
  };
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
  try {
    // A signature's form is longer than what it holds.
    const [shared, layer, keySet] = await Promise.all([
      ...keys.map((key) => store.getBytes(key, readLimitMs, maxBytes * 2)),
      signed ? readKeySet(store) : null,
    ]);
    if (shared === undefined || shared === null)
      return { state: "absent", message: `Redis has no key "${keyPrefix}${keys[0]}"` };
    const raw = { shared, layer: layer ?? undefined, format: "json" } as const;
    return { state: "read", raw: signed ? { ...raw, keySets: keySet ? [keySet] : [] } : raw };
  } catch (error) {
    return {
      state: "failed",
      message: `Redis cannot be read: ${textOf(error)}`,
    };
  }
}

/** Under rights of an older version it may not be read: then there is none. */
async function readKeySet(store: RedisStore): Promise<Buffer | null> {
  try {
    return await store.getBytes(keySetKey, readLimitMs, keySetMaxBytes * 2);
  } catch (error) {
    if (error instanceof StoreUnavailable && error.code === "NOPERM") return null;
    throw error;
  }
}
