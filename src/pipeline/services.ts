// What a plugin is given to work with: small interfaces of our own, injected at set-up. Plugins know these and
// nothing behind them; the sidecar hands in the real parts.

import type { LineSink, Logger, Metrics } from "../telemetry/contract.ts";

export type { Counter, Gauge, Histogram, LineSink, Logger, Metrics } from "../telemetry/contract.ts";

/** A Lua script, run by its SHA-1. All keys of one call must share a hash tag (`{…}`), so that they are one slot. */
export interface Script {
  readonly name: string;
  readonly lua: string;
}

/**
 * Shared state in Redis. Keys are given without the prefix. Every call ends within its time limit and rejects with
 * `StoreUnavailable` when Redis is down, slow or answers an error; while the breaker is open that happens at once.
 */
export interface Store {
  /** False while Redis is known to be out of reach: take the fallback without asking. */
  readonly up: boolean;
  get(key: string, limitMs?: number): Promise<string | null>;
  getBytes(key: string, limitMs?: number): Promise<Buffer | null>;
  /** @returns false when `ifAbsent` was asked for and the key was there. */
  set(
    key: string,
    value: string | Buffer,
    options?: { ttlMs?: number; ifAbsent?: boolean; limitMs?: number },
  ): Promise<boolean>;
  /** @returns how many of them were there. */
  delete(...keys: string[]): Promise<number>;
  /** Runs the script; a flushed script cache (NOSCRIPT) is filled again unseen. */
  run(
    script: Script,
    keys: readonly string[],
    args: readonly (string | number | Buffer)[],
    limitMs?: number,
  ): Promise<unknown>;
  /** Runs several scripts in one write to the socket; each has its own outcome, in order. */
  runAll(
    calls: readonly {
      script: Script;
      keys: readonly string[];
      args: readonly (string | number | Buffer)[];
    }[],
    limitMs?: number,
  ): Promise<PromiseSettledResult<unknown>[]>;
  /** Appends to a stream capped at about `maxLength` entries. */
  append(stream: string, fields: Readonly<Record<string, string>>, maxLength: number): Promise<void>;
  /** Keys below `prefix` (without the global prefix), at most `limit`; for cold paths. */
  scan(prefix: string, limit: number): Promise<string[]>;
  /**
   * Tells of every key below `prefix` that any client changed, deleted or let expire (server-side invalidation).
   * `null` = messages may have been lost (reconnect): forget everything.
   * @returns stops the watch
   */
  watch(prefix: string, onChange: (key: string | null) => void): () => void;
}

/** Why a call on the store failed: never the command's data. */
export class StoreUnavailable extends Error {
  override readonly name = "StoreUnavailable";
}

/** Secrets that are set by `OUTRIGGER_<NAME>` or `OUTRIGGER_<NAME>_FILE`. */
export interface Secrets {
  /** @param name e.g. `API_KEY_PEPPER` */
  get(name: string): string | undefined;
}

export interface HttpAnswer {
  readonly status: number;
  readonly fields: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

/** Client for a plugin's own calls (issuers, introspection): bounded in time and size, no redirects followed. */
export interface HttpClient {
  /** Rejects with an Error that names the host and cause, never the credentials. */
  request(options: {
    url: string;
    method?: "GET" | "POST";
    fields?: Readonly<Record<string, string>>;
    body?: string;
    timeoutMs: number;
    maxBodyBytes: number;
    signal?: AbortSignal;
  }): Promise<HttpAnswer>;
}

export interface Clock {
  /** Milliseconds since the Unix epoch; may jump. */
  now(): number;
  /** Milliseconds on a clock that only goes forward. */
  mono(): number;
}

/** Who this process is, and how many of its kind were seen alive lately. */
export interface Fleet {
  readonly service: string;
  readonly instance: string;
  /** Live sidecars of this service by their heartbeats, this one included; 1 without Redis. */
  size(): number;
}

export interface Services {
  readonly logger: Logger;
  readonly accessLog: LineSink;
  readonly metrics: Metrics;
  /** Absent when there is no `REDIS_URL` (embedded mode). */
  readonly store: Store | undefined;
  readonly secrets: Secrets;
  readonly http: HttpClient;
  readonly clock: Clock;
  readonly fleet: Fleet;
}
