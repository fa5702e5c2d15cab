// What a plugin is given to work with: small interfaces of our own, injected at set-up. Plugins know these and
// nothing behind them; the sidecar hands in the real parts.

import type { Identity } from "./exchange.ts";
import type { PluginCache } from "./cache.ts";
import type { Database } from "./database.ts";
import type { HttpClient } from "./http.ts";
import type { Store, StoreSeals, StoreSignatures } from "./store.ts";
import type { LineSink, Logger, Metrics } from "./telemetry.ts";

export {
  type Script,
  type HashBounds,
  type Store,
  type StoreSeal,
  type StoreSeals,
  type StoreSignatures,
  StoreUnavailable,
} from "./store.ts";
export type * from "./cache.ts";
export * from "./database.ts";
export {
  type HttpAnswer,
  type HttpClient,
  HttpError,
  type HttpErrorReason,
  type HttpMethod,
  type HttpRequest,
} from "./http.ts";
export { OverLimit } from "./within-limit.ts";
export { QuotaExceeded, type QuotaName } from "./quota.ts";
export type {
  Aggregation,
  Counter,
  Gauge,
  Histogram,
  LineSink,
  LogFormat,
  Logger,
  Metrics,
} from "./telemetry.ts";

/** Secrets that are set by `OUTRIGGER_<NAME>` or `OUTRIGGER_<NAME>_FILE`. */
export interface Secrets {
  /** Another one when any secret may have changed: what was made with secrets is made anew then. */
  readonly generation?: number | undefined;
  /** @param name e.g. `API_KEY_PEPPER` */
  get(name: string): string | undefined;
  /**
   * A secret that is about to be sent. Throws unless `OUTRIGGER_SECRET_HOSTS` binds it to the URL's host and port: ask
   * for every URL, at set-up where it is known by then.
   * @param name e.g. `SECRET_IDP`
   */
  sentTo(name: string, url: string): string;
}

/** Lines on this machine's disk that outlive the process; workers of a sidecar share them. */
export interface KeptLines {
  /** Resolves when it is on the disk. @param untilMs epoch milliseconds until which it is needed */
  append(line: string, untilMs: number): Promise<void>;
  /** What was appended since the last call, by any worker and before a restart. Rejects when it cannot be read. */
  fresh(): Promise<readonly string[]>;
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
  /** Where it runs, when the fleet is in several regions with a Redis each (`OUTRIGGER_REGION`). */
  readonly region?: string | undefined;
  /**
   * Live sidecars of this service by their heartbeats, this one included; 1 without Redis. Where a sidecar has several
   * workers, each counts: whoever holds something for itself holds one part of so many.
   */
  size(): number;
  /** Processes that serve for this sidecar; absent = 1. What is bounded per sidecar is divided among them. */
  readonly workers?: number | undefined;
}

/** What a worker can call in the process above it. */
export interface Workers {
  /**
   * Calls the plugin's own `sharedState`. Request and response are plain data.
   * Rejects when there is no response, or none within `limitMs`.
   */
  call(request: unknown, limitMs: number): Promise<unknown>;
}

/**
 * What a plugin uses of what it shares with others, by the names these have. The rest is refused, with an error that
 * says what is not declared. What is its own needs no declaration: keys `p:<service>:<plugin>:…`, metrics
 * `outrigger_<plugin>_…` (`_` for `-`), seals for a purpose and kept lines by a name that is the plugin's or begins
 * with it and `:` or `.`; and the secrets that its definition brings or its options name (`SECRET_…`).
 */
export interface PluginNeeds {
  /** Keys of the store: whole ones, or prefixes, which end in `:`. `<service>` stands for the service's name. */
  readonly keys?: readonly string[];
  /** Those that another plugin brings, or `SECRET_…` that no option names. */
  readonly secrets?: readonly string[];
  /** Purposes of `seals`. */
  readonly seals?: readonly string[];
  /** Names of `keptLines`. */
  readonly lines?: readonly string[];
  /** What names of further metrics begin with. */
  readonly metrics?: readonly string[];
  /**
   * Where `http` may go: `host` (at the scheme's own port), `host:port`, `*.suffix` or `*.suffix:port` for every name
   * below that; `*` = wherever its options say. Private addresses are for hosts that are named in full, and for `*`.
   */
  readonly hosts?: readonly string[];
  /** Secret that holds the URL of `db`: `SECRET_…`. It is not to be read by the plugin, unless `secrets` names it. */
  readonly database?: string | undefined;
}

/** A test that a policy carries, or requests of the past. */
export interface TestRun {
  /**
   * Who the request at hand is from, for whoever establishes that; undefined = what the request shows is judged as ever.
   * To be read anew for each request.
   */
  readonly identity: Identity | undefined;
}

/** Each plugin has its own: see `PluginNeeds`. */
export interface Services {
  readonly logger: Logger;
  readonly accessLog: LineSink;
  readonly metrics: Metrics;
  /** Absent when there is no `REDIS_URL` (embedded mode). */
  readonly store: Store | undefined;
  /** Absent without `OUTRIGGER_STORE_KEYS`: then whoever can write to the store can put anything there. */
  readonly seals?: StoreSeals | undefined;
  /** Absent without `OUTRIGGER_POLICY_KEYS`. */
  readonly signatures?: StoreSignatures | undefined;
  readonly secrets: Secrets;
  readonly http: HttpClient;
  readonly cache: PluginCache;
  readonly db: Database;
  readonly clock: Clock;
  readonly fleet: Fleet;
  /** Lines of that name; absent without `OUTRIGGER_STATE_DIR`. */
  readonly keptLines?: ((name: string) => KeptLines) | undefined;
  /** In a worker of a sidecar that has several and no Redis. */
  readonly workers?: Workers | undefined;
  /** Where a test of the policy is run, and nowhere else: what serves clients has none. There is no store then, and nobody to ask. */
  readonly testRun?: TestRun | undefined;
}
