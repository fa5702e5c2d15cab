// Sets plugins up without a sidecar around them.
import { PassThrough } from "node:stream";
import type { Logger, PluginDefinition } from "../../src/plugin-api/contract.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { createHttpClient } from "../../src/runtime/services/http/client.ts";
import { createPluginHost, type PluginHost } from "../../src/runtime/plugin-host.ts";
import type { RouteSpec } from "../../src/runtime/set-up.ts";
import { createTelemetry } from "../../src/telemetry/process.ts";

const telemetry = createTelemetry({
  level: "info",
  service: "test",
  instance: "test",
  stream: new PassThrough().resume(),
});

export function hostWith(
  plugins: readonly PluginDefinition[],
  logger: Logger = telemetry.logger,
): PluginHost {
  const { accessLog, metrics } = telemetry;
  return createPluginHost(plugins, {
    logger,
    accessLog,
    metrics,
    store: undefined,
    secrets: { get: () => undefined, sentTo: () => "" },
    http: createHttpClient,
    clock: systemClock,
    fleet: { service: "test", instance: "test", size: () => 1 },
  });
}

/** Options of a route with these plugins, all else by default. */
export function routeSpec(
  path: string,
  plugins: readonly string[],
  pluginConfig: RouteSpec["pluginConfig"] = {},
): RouteSpec {
  return {
    path,
    methods: undefined,
    plugins,
    pluginConfig,
    stripPrefix: undefined,
    timeoutMs: 1_000,
    bufferRequestBytes: 0,
    upstreamName: "127.0.0.1:3000",
  };
}
