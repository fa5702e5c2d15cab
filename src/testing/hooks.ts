// One plugin set up on one route, without a sidecar around it, to call its hooks by hand.
import { Writable } from "node:stream";
import type { Clock, Hooks, PluginDefinition, RouteInfo } from "../plugin-api/contract.ts";
import { createHttpClient } from "../runtime/services/http/client.ts";
import { type HostServices, ScopedServices } from "../runtime/scoped-services.ts";
import { createLogging } from "../telemetry/logger.ts";
import { createMetrics } from "../telemetry/metrics.ts";
import { createOutput, type Output } from "../telemetry/output.ts";
import { TestClock } from "./clock.ts";
import { anyRoute } from "./route.ts";

export interface SetupFacts {
  /** As a policy writes them. */
  readonly options?: unknown;
  readonly clock?: Clock;
  /** By name, without `OUTRIGGER_`. */
  readonly secrets?: Readonly<Record<string, string>>;
  readonly route?: Partial<RouteInfo>;
}

export interface SetUpPlugin extends AsyncDisposable {
  readonly hooks: Hooks;
  /** In the Prometheus text format. */
  metrics(): Promise<string>;
  /** What it logged: JSON, a line each. */
  log(): Promise<string>;
}

/**
 * Runs `init` and `setup` with services within what the definition declares: without Redis, which a sidecar with a
 * `redisUrl` has. Throws when the options are refused.
 */
export async function setUpPlugin(plugin: PluginDefinition, facts: SetupFacts = {}): Promise<SetUpPlugin> {
  const { options = {} } = facts;
  let text = "";
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString();
      done();
    },
  });
  const output = createOutput({ stream });
  const metrics = createMetrics(names);
  const host = hostOf(facts, output, metrics);
  const scoped = new ScopedServices(plugin, host);
  const state = plugin.init?.(scoped.common);
  const hooks = await plugin.setup({
    options: plugin.options.parse(options),
    services: scoped.with(options),
    state,
    route: { ...anyRoute, ...facts.route },
  });
  return {
    hooks,
    metrics: () => metrics.render(),
    async log() {
      await output.flush(1_000);
      return text;
    },
    async [Symbol.asyncDispose]() {
      await hooks.close?.();
      await plugin.dispose?.(state);
    },
  };
}

const names = { service: "test", instance: "test-1" };

function hostOf(
  { clock = new TestClock(), secrets = {} }: SetupFacts,
  output: Output,
  metrics: ReturnType<typeof createMetrics>,
): HostServices {
  const secretOf = (name: string): string | undefined => secrets[name];
  return {
    ...createLogging({ level: "debug", ...names, output }),
    metrics,
    store: undefined,
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
