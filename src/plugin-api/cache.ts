// A plugin's cache: in memory, and below its own keys in Redis where there is one.

export interface CacheLifetime {
  /** How long it is good. */
  readonly ttlMs: number;
  /**
   * How long this sidecar's memory answers without Redis, where there is one: as long may what another sidecar deleted or
   * replaced be seen here. Default: 30 seconds, or `ttlMs` where that is less.
   */
  readonly memoryTtlMs?: number;
}

export interface CacheLoadOptions<Value> extends CacheLifetime {
  /** How long it is remembered that there is none (`load` gave undefined). Default: not at all. */
  readonly negativeTtlMs?: number;
  /** Longest time of `load`; default: 5 seconds. */
  readonly limitMs?: number;
  /** Reads what is kept, which an earlier version of the plugin may have put there; what it throws at is loaded anew. */
  readonly read?: (data: unknown) => Value;
  /** Ends this caller's wait. Once nobody waits any more, the signal that `load` was given is aborted. */
  readonly signal?: AbortSignal;
}

/**
 * Values are JSON data (no `undefined`); whoever gets one gets a copy. Keys are of at most 512 characters and the
 * plugin's own. A Redis that is away or slow is left out: nothing waits for it for more than 50 ms, nothing fails by it.
 */
export interface PluginCache {
  /** @returns undefined = there is none */
  get(key: string): Promise<unknown>;
  /** Rejects with a `QuotaExceeded` when it is too large. */
  set(key: string, value: unknown, lifetime: CacheLifetime): Promise<void>;
  /** In this sidecar's memory and in Redis. */
  delete(key: string): Promise<void>;
  /**
   * What is kept; else what `load` gives, which is kept. However many ask, `load` runs once at a time for a key, and
   * shortly before the end of a lifetime once in the background. Rejects as `load` does, with an `OverLimit` when
   * it takes too long, with a `QuotaExceeded` where too many keys are being loaded; nothing is kept then.
   * @returns undefined = there is none
   */
  getOrLoad<Value>(
    key: string,
    load: (signal: AbortSignal) => Promise<Value | undefined>,
    options: CacheLoadOptions<Value>,
  ): Promise<Value | undefined>;
}
