// Defines the interface to Redis for the rest of the code. Plugins get it through src/plugin-api/services.ts; the
// policy source uses it directly.

/** A Lua script, run by its SHA-1. All keys of one call must share a hash tag (`{…}`), so that they are in one slot. */
export interface Script {
  readonly name: string;
  readonly lua: string;
}

/** The reply of a script as a list; empty when it is no list. */
export function replyList(reply: unknown): readonly unknown[] {
  return Array.isArray(reply) ? reply : [];
}

/** How much of a hash is read at most. */
export interface HashBounds {
  readonly maxFields: number;
  /** Limit for one field with its value. A field over it reads with the value "" and its name cut off at the limit. */
  readonly maxEntryBytes: number;
  readonly maxBytes: number;
}

/**
 * Shared state in Redis. Keys are given without the prefix. Every call ends within its time limit. It rejects with
 * `StoreUnavailable` when Redis is down, slow or answers with an error; while the breaker is open it rejects at once.
 */
export interface Store {
  /** False while Redis is known to be unreachable: use the fallback without asking. */
  readonly up: boolean;
  /**
   * Whether watches currently hear of changes, as a recent probe proved. While false, values that were read before may
   * be out of date without notice.
   */
  readonly watching: boolean;
  /**
   * False when all keys are on one node, so that one script may take keys of several hash tags. Any other value = Redis
   * Cluster.
   */
  readonly sharded?: boolean;
  get(key: string, limitMs?: number): Promise<string | null>;
  /** @param maxBytes reads at most this many bytes and one more: enough to see that the value is too long */
  getBytes(key: string, limitMs?: number, maxBytes?: number): Promise<Buffer | null>;
  /**
   * @returns field, value, … of a hash, `[]` when there is none; rejects with `TOOLARGE` when the hash is over the
   * bounds
   */
  readHash(key: string, bounds: HashBounds, limitMs?: number): Promise<readonly string[]>;
  /** @returns false when `ifAbsent` was set and the key existed */
  set(
    key: string,
    value: string | Buffer,
    options?: { ttlMs?: number; ifAbsent?: boolean; limitMs?: number },
  ): Promise<boolean>;
  /** @returns how many of the keys existed */
  delete(...keys: string[]): Promise<number>;
  /**
   * Runs the script. When Redis has lost it from its cache (NOSCRIPT), it is sent again; the caller does not notice.
   */
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
  /** Keys below `prefix` (without the global prefix), at most `limit`. Slow: not for the path of a request. */
  scan(prefix: string, limit: number): Promise<string[]>;
  /**
   * Calls `onChange` with every key below `prefix` that any client changes, deletes or lets expire (server-side
   * invalidation). `null` = messages may have been lost (reconnect): forget everything. Each watch gets one `null` when
   * it takes effect: a value that is read after that is current, or a change to it is reported.
   * @returns stops the watch
   */
  watch(prefix: string, onChange: (key: string | null) => void): () => void;
  /**
   * Calls `onTold` for every message that a script publishes on the channel named like this key. Use it for keys of one
   * service: each watched prefix costs Redis something on every write, a channel costs nothing. `null` as with `watch`.
   * @returns stops listening
   */
  hear(key: string, onTold: (key: string | null) => void): () => void;
}

/** Seals values of one purpose and service. */
export interface StoreSeal {
  /** @returns the value with a MAC over it, its key, its purpose, its service and its end (epoch milliseconds) */
  seal(key: string, value: Buffer, untilMs: number): Buffer;
  /** @returns the value; undefined when it was not sealed for this key, purpose and service, or has expired */
  open(key: string, sealed: Buffer, nowMs: number): Buffer | undefined;
}

/** Makes seals, by which a sidecar accepts only values that a sidecar of its own service wrote to the store. */
export interface StoreSeals {
  /** @param purpose what the values are for: a value sealed for one purpose is not accepted for another */
  of(purpose: string): StoreSeal;
}

/** Why a call to the store failed. The message never holds the command's data. */
export class StoreUnavailable extends Error {
  override readonly name = "StoreUnavailable";
  /** The code word of the error that Redis answered (`WRONGTYPE`, `OOM`); undefined when Redis did not answer. */
  readonly code: string | undefined;

  constructor(message: string, code?: string) {
    super(message);
    this.code = code;
  }
}

/** Verifies API key records that operators sign with the policy keys. */
export interface StoreSignatures {
  /** Changes whenever other keys may be accepted. When it changes, verify again whatever was verified before. */
  readonly generation: number;
  /**
   * Never rejects.
   * @param key where the record is stored, without prefix
   * @returns the text that was signed for this key; undefined = no accepted key signed it for there
   */
  open(key: string, text: string): Promise<string | undefined>;
}
