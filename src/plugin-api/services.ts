// Defines the services that a plugin gets at set-up: small interfaces, so that plugins depend on nothing behind them.
// The sidecar passes in the implementations.

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
  /** Changes whenever any secret may have changed. When it changes, rebuild whatever was made with secrets. */
  readonly generation?: number | undefined;
  /** @param name e.g. `API_KEY_PEPPER` */
  get(name: string): string | undefined;
  /**
   * Returns a secret that is about to be sent. Throws unless `OUTRIGGER_SECRET_HOSTS` binds it to the URL's host and
   * port. Call it for every URL, at set-up if the URL is known by then.
   * @param name e.g. `SECRET_IDP`
   */
  sentTo(name: string, url: string): string;
}

/** Lines on this machine's disk that outlive the process. The workers of a sidecar share them. */
export interface KeptLines {
  /** Resolves when the line is on disk. @param untilMs until when the line is needed, in epoch milliseconds */
  append(line: string, untilMs: number): Promise<void>;
  /** The lines appended since the last call, by any worker and before a restart. Rejects when they cannot be read. */
  fresh(): Promise<readonly string[]>;
}

export interface Clock {
  /** Milliseconds since the Unix epoch; may jump. */
  now(): number;
  /** Milliseconds on a clock that only goes forward. */
  mono(): number;
}

/** Identifies this process, and tells how many like it were alive recently. */
export interface Fleet {
  readonly service: string;
  readonly instance: string;
  /** The region of this sidecar (`OUTRIGGER_REGION`), when the fleet spans several regions with a Redis each. */
  readonly region?: string | undefined;
  /**
   * Number of live sidecars of this service by their heartbeats, including this one; 1 without Redis. Each worker of a
   * sidecar counts: a process that takes its share of a common budget divides the budget by this number.
   */
  size(): number;
  /** Number of processes that serve for this sidecar; absent = 1. Limits per sidecar are divided among them. */
  readonly workers?: number | undefined;
}

/** Lets a worker call its primary process. */
export interface Workers {
  /**
   * Calls the plugin's own `sharedState`. Request and response are plain data.
   * Rejects when there is no response, or none within `limitMs`.
   */
  call(request: unknown, limitMs: number): Promise<unknown>;
}

/**
 * What a plugin uses of the resources that it shares with others. Anything not declared is refused, with an error that
 * says what is missing. The plugin's own resources need no declaration: keys `p:<service>:<plugin>:…`; metrics
 * `outrigger_<plugin>_…` (`_` for `-`); seals and kept lines whose purpose or name is the plugin's name, or begins with
 * it and `:` or `.`; the secrets that its definition declares or its options name (`SECRET_…`).
 */
export interface PluginNeeds {
  /** Keys of the store: whole keys, or prefixes, which end in `:`. `<service>` stands for the service's name. */
  readonly keys?: readonly string[];
  /** Secrets that another plugin declares, or `SECRET_…` that no option names. */
  readonly secrets?: readonly string[];
  /** Purposes of `seals`. */
  readonly seals?: readonly string[];
  /** Names of `keptLines`. */
  readonly lines?: readonly string[];
  /** Prefixes of the names of further metrics. */
  readonly metrics?: readonly string[];
  /**
   * Where `http` may connect to: `host` (at the scheme's default port), `host:port`, `*.suffix` or `*.suffix:port` for
   * every name below that suffix; `*` = wherever its options say. Private addresses are allowed only for hosts named in
   * full, and with `*`.
   */
  readonly hosts?: readonly string[];
  /** Secret that holds the URL of `db`: `SECRET_…`. The plugin cannot read it, unless `secrets` names it. */
  readonly database?: string | undefined;
}

/** A test that a policy carries, or a run of past requests (replay, shadow). */
export interface TestRun {
  /**
   * The caller of the current request, for plugins that establish the caller; undefined = judge the request's
   * credentials as usual. Read it again for each request.
   */
  readonly identity: Identity | undefined;
}

/** The services of a plugin. Each plugin has its own: see `PluginNeeds`. */
export interface Services {
  readonly logger: Logger;
  readonly accessLog: LineSink;
  readonly metrics: Metrics;
  /** Absent when there is no `REDIS_URL` (embedded mode). */
  readonly store: Store | undefined;
  /** Absent without `OUTRIGGER_STORE_KEYS`: then anyone who can write to the store can put any value there. */
  readonly seals?: StoreSeals | undefined;
  /** Absent without `OUTRIGGER_POLICY_KEYS`. */
  readonly signatures?: StoreSignatures | undefined;
  readonly secrets: Secrets;
  readonly http: HttpClient;
  readonly cache: PluginCache;
  readonly db: Database;
  readonly clock: Clock;
  readonly fleet: Fleet;
  /** Opens the lines of that name; absent without `OUTRIGGER_STATE_DIR`. */
  readonly keptLines?: ((name: string) => KeptLines) | undefined;
  /** Present in a worker of a sidecar that has several workers and no Redis. */
  readonly workers?: Workers | undefined;
  /**
   * Present only in a test run (see `TestRun`), never in services for clients. There is no store then, and no other
   * system to ask.
   */
  readonly testRun?: TestRun | undefined;
}
