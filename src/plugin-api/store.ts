// What the rest may ask of Redis: plugins see it through src/plugin-api/services.ts, the policy source directly.

/** A Lua script, run by its SHA-1. All keys of one call must share a hash tag (`{…}`), so that they are one slot. */
export interface Script {
  readonly name: string;
  readonly lua: string;
}

/** What a script has answered, as the list that it makes; empty for anything else. */
export function replyList(reply: unknown): readonly unknown[] {
  return Array.isArray(reply) ? reply : [];
}

/** How much of a hash is read. */
export interface HashBounds {
  readonly maxFields: number;
  /** Of a field with its value: a longer one reads as "", its name cut off there. */
  readonly maxEntryBytes: number;
  readonly maxBytes: number;
}

/**
 * Shared state in Redis. Keys are given without the prefix. Every call ends within its time limit and rejects with
 * `StoreUnavailable` when Redis is down, slow or answers an error; while the breaker is open that happens at once.
 */
export interface Store {
  /** False while Redis is known to be out of reach: take the fallback without asking. */
  readonly up: boolean;
  /** Whether changes of watched keys are heard now, proven lately; while they are not, what was read may be out of date unseen. */
  readonly watching: boolean;
  /** False when every key is on one node, so that one script may take keys of several hash tags; anything else = Redis Cluster. */
  readonly sharded?: boolean;
  get(key: string, limitMs?: number): Promise<string | null>;
  /** @param maxBytes of a longer value only so many and one more are read: enough to see that it is too long */
  getBytes(key: string, limitMs?: number, maxBytes?: number): Promise<Buffer | null>;
  /** @returns field, value, … of a hash, `[]` when there is none; rejects with `TOOLARGE` when it is larger than that */
  readHash(key: string, bounds: HashBounds, limitMs?: number): Promise<readonly string[]>;
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
   * `null` = messages may have been lost (reconnect): forget everything. Each watch gets one `null` when it begins to
   * hold: what is read after that is either current or will be told of.
   * @returns stops the watch
   */
  watch(prefix: string, onChange: (key: string | null) => void): () => void;
  /**
   * Tells of every message that a script publishes on the channel of this key's name: for keys of one service, because
   * each prefix that is watched costs Redis something on every write, and a channel nothing. `null` as with `watch`.
   * @returns stops hearing
   */
  hear(key: string, onTold: (key: string | null) => void): () => void;
}

/** Seals of the values of one purpose and service. */
export interface StoreSeal {
  /** @returns the value with a MAC over it, its key, its purpose and service, and the moment (epoch ms) until which it counts */
  seal(key: string, value: Buffer, untilMs: number): Buffer;
  /** @returns the value; undefined for whatever was not sealed so, or is over */
  open(key: string, sealed: Buffer, nowMs: number): Buffer | undefined;
}

/** What makes values in the store count only when a sidecar of this service wrote them. */
export interface StoreSeals {
  /** @param purpose what the values are for: one purpose's never pass for another's */
  of(purpose: string): StoreSeal;
}

/** Why a call on the store failed: never the command's data. */
export class StoreUnavailable extends Error {
  override readonly name = "StoreUnavailable";
  /** The code word of the error that Redis answered (`WRONGTYPE`, `OOM`); undefined when it did not answer. */
  readonly code: string | undefined;

  constructor(message: string, code?: string) {
    super(message);
    this.code = code;
  }
}

/** API keys' records that operators sign with the keys of policies. */
export interface StoreSignatures {
  /** Another one when other keys may count: what was verified before is verified anew then. */
  readonly generation: number;
  /**
   * @param key where the record lies, without prefix
   * @returns what was signed for there; undefined = nobody whose key counts has signed it for there. Never rejects
   */
  open(key: string, text: string): Promise<string | undefined>;
}
