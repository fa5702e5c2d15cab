// Redis as the settings name it, and what log and metrics tell of it.
import type { Config } from "./config.ts";
import { createStore, type RedisStore } from "./redis/store.ts";
import type { Telemetry } from "./telemetry/process.ts";

/** Connects in the background; undefined in embedded mode. */
export function connectStore(config: Config, { logger, metrics }: Telemetry): RedisStore | undefined {
  if (config.redis === undefined) return undefined;
  const up = metrics.gauge("outrigger_redis_up", "Whether Redis answers", [], "min")();
  const seconds = metrics.histogram("outrigger_redis_command_duration_seconds", "Redis commands", [
    "command",
  ]);
  up.set(0);
  return createStore({
    address: config.redis,
    keyPrefix: config.keyPrefix,
    connectionName: `outrigger-${config.service}`,
    onState({ of, up: isUp, reason }) {
      if (of === "commands") up.set(isUp ? 1 : 0);
      const what = of === "commands" ? "Redis" : "Redis' change messages";
      if (isUp) logger.info({}, `${what}: connected`);
      else logger.warn({ reason }, `${what}: out of reach`);
    },
    onCommand: (name, elapsed) => seconds(name).observe(elapsed),
    onListenerError: (error) => logger.error({ err: error }, "a listener to Redis changes failed"),
  });
}
