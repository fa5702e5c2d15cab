// Creates the services that each plugin has to itself, within its quotas: HTTP client, cache and database. They are
// closed with the plugin.
import type { Clock, Fleet, PluginNeeds, Secrets, TestRun } from "../../plugin-api/services.ts";
import type { Store, StoreSeals } from "../../plugin-api/store.ts";
import type { Metrics } from "../../plugin-api/telemetry.ts";
import { TwoTierCache } from "./cache/cache.ts";
import { PostgresDatabase } from "./database/database.ts";
import type { HttpClientOptions, OwnHttpClient } from "./http/client.ts";
import type { Quotas } from "./quotas.ts";

/** The shared services that a plugin's own ones are built on. */
export interface SharedParts {
  /** Creates a client for one plugin. */
  readonly http: (options: HttpClientOptions) => OwnHttpClient;
  readonly store: Store | undefined;
  readonly seals?: StoreSeals | undefined;
  readonly secrets: Secrets;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly fleet: Fleet;
  readonly testRun?: TestRun | undefined;
}

export class OwnServices {
  readonly http: OwnHttpClient;
  readonly cache: TwoTierCache;
  readonly db: PostgresDatabase;
  /** There can be two: a plugin may come back while its previous state is still being disposed of. */
  #states = 0;

  /** @param keys prefix of the plugin's keys in the store */
  constructor(
    plugin: string,
    needs: PluginNeeds | undefined,
    keys: string,
    parts: SharedParts,
    quotas: Quotas,
  ) {
    const { store, seals, secrets, metrics, clock, fleet, testRun } = parts;
    const {
      httpInFlight,
      httpAnswerBytes: maxAnswerBytes,
      httpCallsPerSecond: maxPerSecond,
      cacheBytes,
      databaseConnections,
      databaseWaiting,
    } = quotas;
    const own = { plugin, metrics, clock };
    const bounds = { maxInFlight: httpInFlight, maxPerSecond, maxAnswerBytes };
    this.http = parts.http({ ...own, hosts: needs?.hosts ?? [], ...bounds });
    const seal = seals?.of(`${plugin}:cache`);
    const shared = store && { store, prefix: `${keys}cache:`, seal };
    this.cache = new TwoTierCache({ ...own, maxBytes: cacheBytes, shared });
    this.db = new PostgresDatabase({
      ...own,
      secret: needs?.database,
      url: (secret) => secrets.get(secret),
      maxConnections: Math.max(1, Math.floor(databaseConnections / (fleet.workers ?? 1))),
      maxWaiting: databaseWaiting,
      isTest: testRun !== undefined,
    });
  }

  /** A state of the plugin that uses these services begins. */
  open(): void {
    this.#states += 1;
    this.http.open();
    this.cache.open();
    this.db.open();
  }

  /**
   * A state of the plugin is over. With the last one, everything opened by these services ends, and further use is
   * refused.
   */
  close(): void {
    this.#states -= 1;
    if (this.#states > 0) return;
    this.http.close();
    this.cache.close();
    this.db.close();
  }
}
