// Sets up one plugin on one route without a sidecar, for tests that call its hooks by hand.
import { Writable } from "node:stream";
import type { Clock, Hooks, PluginDefinition, RouteInfo, Services, Store } from "../plugin-api/contract.ts";
import { parseRedisAddress } from "../redis/address.ts";
import { createStore, type RedisStore } from "../redis/store.ts";
import { createHttpClient } from "../runtime/services/http/client.ts";
import { type HostServices, ScopedServices } from "../runtime/scoped-services.ts";
import { createLogging } from "../telemetry/logger.ts";
import { createMetrics } from "../telemetry/metrics.ts";
import { createOutput, type Output } from "../telemetry/output.ts";
import { TestClock } from "./clock.ts";
import { anyRoute } from "./route.ts";

export interface SetupFacts {
  /** Options as a policy writes them. */
  readonly options?: unknown;
  readonly clock?: Clock;
  /** Secrets by name, without `OUTRIGGER_`. */
  readonly secrets?: Readonly<Record<string, string>>;
  readonly route?: Partial<RouteInfo>;
  /** URL of a Redis for `services.store` and the cache, like a sidecar's `REDIS_URL`; absent = no Redis. */
  readonly redisUrl?: string;
  /** A store that the test provides, in place of Redis. */
  readonly store?: Store;
}

export interface SetUpPlugin extends AsyncDisposable {
  readonly hooks: Hooks;
  /** The services that `setup` got: prepare there what the plugin is to find, and check what it left. */
  readonly services: Services;
  /** The metrics in the Prometheus text format. */
  metrics(): Promise<string>;
  /** What the plugin logged: one JSON object per line. */
  log(): Promise<string>;
}

/**
 * Runs `init` and `setup` with the sidecar's real services, limited to what the definition declares: `http` sends
 * calls, `db` connects to the PostgreSQL whose URL is in `secrets`, `store` and `cache` use the Redis at `redisUrl`.
 * Rejects when the options are refused or Redis does not answer.
 */
export async function setUpPlugin(plugin: PluginDefinition, facts: SetupFacts = {}): Promise<SetUpPlugin> {
  const { options = {}, route } = facts;
  const { stream, text } = collected();
  const output = createOutput({ stream });
  const metrics = createMetrics(names);
  const redis = await connected(facts.redisUrl);
  const host = hostOf(facts, output, metrics, facts.store ?? redis);
  const scoped = new ScopedServices(plugin, host);
  const end = (): void => {
    scoped.close();
    redis?.close();
  };
  try {
    const parsed = plugin.options.parse(options);
    const services = scoped.with(options);
    const state = plugin.init?.(scoped.common);
    const hooks = await plugin.setup({ options: parsed, services, state, route: { ...anyRoute, ...route } });
    return {
      hooks,
      services,
      metrics: () => metrics.render(),
      async log() {
        await output.flush(1_000);
        return text();
      },
      async [Symbol.asyncDispose]() {
        await hooks.close?.();
        await plugin.dispose?.(state);
        end();
      },
    };
  } catch (error) {
    end();
    throw error;
  }
}

function collected(): { readonly stream: Writable; readonly text: () => string } {
  let text = "";
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString();
      done();
    },
  });
  return { stream, text: () => text };
}

async function connected(redisUrl: string | undefined): Promise<RedisStore | undefined> {
  if (redisUrl === undefined) return undefined;
  const address = parseRedisAddress(redisUrl);
  const store = createStore({ address, keyPrefix: "outrigger:", connectionName: "outrigger-test" });
  if (await store.whenUp(5_000)) return store;
  store.close();
  throw new Error("redisUrl: Redis did not answer within 5 seconds");
}

const names = { service: "test", instance: "test-1" };

function hostOf(
  { clock = new TestClock(), secrets = {} }: SetupFacts,
  output: Output,
  metrics: ReturnType<typeof createMetrics>,
  store: Store | undefined,
): HostServices {
  const secretOf = (name: string): string | undefined => secrets[name];
  return {
    ...createLogging({ level: "debug", ...names, output }),
    metrics,
    store,
    secrets: {
      get: secretOf,
      sentTo(name) {
        const secret = secretOf(name);
        if (secret === undefined) throw new Error(`OUTRIGGER_${name} is not set`);
        return secret;
      },
    },
    http: createHttpClient,
    clock,
    fleet: { ...names, size: () => 1 },
  };
}
