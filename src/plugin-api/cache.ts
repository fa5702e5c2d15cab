// Defines a plugin's own cache: in memory, and under the plugin's own keys in Redis where there is a Redis.

export interface CacheLifetime {
  /** How long the value may be used (TTL). */
  readonly ttlMs: number;
  /**
   * How long this sidecar answers from its memory without asking Redis. For that long it may still show a value that
   * another sidecar deleted or replaced. Without effect when there is no Redis. Default: 30 seconds, or `ttlMs` where
   * that is less.
   */
  readonly memoryTtlMs?: number;
}

export interface CacheLoadOptions<Value> extends CacheLifetime {
  /** How long to remember that there is no value (`load` returned undefined). Default: not at all. */
  readonly negativeTtlMs?: number;
  /** Time limit for `load`. Default: 5 seconds. */
  readonly limitMs?: number;
  /**
   * Parses a cached value, which an earlier version of the plugin may have written. When it throws, the value is loaded
   * again.
   */
  readonly read?: (data: unknown) => Value;
  /** Ends this caller's wait. Once no caller waits any more, the signal that `load` was given is aborted. */
  readonly signal?: AbortSignal;
}

/**
 * A plugin's cache. Values are JSON data (no `undefined`), and each caller gets its own copy. Keys have at most 512
 * characters and belong to this plugin alone. When Redis is down or slow, the cache works without it: no call waits for
 * Redis longer than 50 ms, and none fails because of it.
 */
export interface PluginCache {
  /** @returns the value; undefined when there is none */
  get(key: string): Promise<unknown>;
  /** Rejects with a `QuotaExceeded` when the value is too large. */
  set(key: string, value: unknown, lifetime: CacheLifetime): Promise<void>;
  /** Deletes the value from this sidecar's memory and from Redis. */
  delete(key: string): Promise<void>;
  /**
   * Returns the cached value, or calls `load` and caches what it returns. However many callers ask, `load` runs once at
   * a time for a key. Shortly before the end of a lifetime it runs once in the background. Rejects as `load` does, with
   * an `OverLimit` when `load` takes too long, or with a `QuotaExceeded` when too many keys are being loaded. Nothing
   * is cached then.
   * @returns the value; undefined when there is none
   */
  getOrLoad<Value>(
    key: string,
    load: (signal: AbortSignal) => Promise<Value | undefined>,
    options: CacheLoadOptions<Value>,
  ): Promise<Value | undefined>;
}
