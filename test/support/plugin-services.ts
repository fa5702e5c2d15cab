// Plugin services that no test checks, for tests that set a plugin up by hand.
import type { Clock, Metrics, Services } from "../../src/plugin-api/contract.ts";
import { TwoTierCache } from "../../src/runtime/services/cache/cache.ts";
import { PostgresDatabase } from "../../src/runtime/services/database/database.ts";
import { createHttpClient } from "../../src/runtime/services/http/client.ts";

export function ownServices(metrics: Metrics, clock: Clock): Pick<Services, "http" | "cache" | "db"> {
  return {
    http: createHttpClient(),
    db: new PostgresDatabase({
      plugin: "test",
      secret: undefined,
      url: () => undefined,
      maxConnections: 1,
      maxWaiting: 1,
      metrics,
      clock,
    }),
    cache: new TwoTierCache({ plugin: "test", maxBytes: 65_536, metrics, clock }),
  };
}
