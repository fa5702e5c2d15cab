// Connects to the Redis that the settings name, and reports its state in log and metrics.
import type { Check } from "../admin/readiness.ts";
import { canaryKey } from "../canary/order.ts";
import type { Config } from "../config/config.ts";
import type { Drill } from "../drills/drill.ts";
import { disabledKey } from "../kill-switch/kill-switch.ts";
import type { Gauge } from "../plugin-api/telemetry.ts";
import type { ConnectionStateChange } from "../redis/connection-state.ts";
import { createRenewableStore, type RenewableStore } from "../redis/renewable-store.ts";
import { createStore, type RedisStore } from "../redis/store.ts";
import { takeConsole } from "../telemetry/console.ts";
import type { Telemetry } from "../telemetry/process.ts";
import { traceCommand } from "./traced-command.ts";

/** In seconds: a Redis beside the service answers in a few tenths of a millisecond. */
const commandBuckets = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5,
];

/** Connects in the background. @returns undefined in embedded mode */
export function connectStore(
  config: Config,
  { logger, metrics }: Telemetry,
  drill: Drill | undefined,
): RenewableStore | undefined {
  if (config.redis === undefined) return undefined;
  const gauges = gaugesOf(metrics);
  const seconds = metrics.histogram(
    "outrigger_redis_command_duration_seconds",
    "Redis commands",
    ["command"],
    commandBuckets,
  );
  return createRenewableStore({
    address: config.redis,
    open: (address, onState) =>
      createStore({
        address,
        keyPrefix: config.keyPrefix,
        channels: [disabledKey, canaryKey],
        connectionName: `outrigger-${config.service}`,
        onState,
        fault: drill,
        onCommand(name, elapsed, ok, code) {
          seconds(name).observe(elapsed);
          traceCommand(address, { name, elapsed, ok, code });
        },
        onListenerError: (error) => logger.error({ err: error }, "a handler of Redis changes failed"),
      }),
    onState(change) {
      gauges[change.of].set(change.up ? 1 : 0);
      tellState(logger, change);
    },
    onRenewed: () => logger.info({}, "Redis: the new REDIS_URL is in use"),
    onUnproven: (reason) =>
      logger.error(
        { reason },
        "Redis: the new REDIS_URL does not work; keeping the old connections and retrying",
      ),
    onClosed: takeConsole(logger),
  });
}

/** Creates the gauges with their values before Redis has been asked. */
function gaugesOf(metrics: Telemetry["metrics"]): Record<ConnectionStateChange["of"], Gauge> {
  const commands = metrics.gauge("outrigger_redis_up", "Whether Redis answers", [], "min")();
  commands.set(0);
  const watches = metrics.gauge(
    "outrigger_redis_watch_up",
    "Whether Redis tells of changes, proven by a scratch key; else they are looked for each second",
    [],
    "min",
  )();
  watches.set(0);
  const writes = metrics.gauge(
    "outrigger_redis_writable",
    "Whether Redis takes writes: 0 after it refused one (full, read-only) within 15 seconds",
    [],
    "min",
  )();
  writes.set(1);
  return { commands, watches, writes };
}

function tellState(logger: Telemetry["logger"], { of, up, reason }: ConnectionStateChange): void {
  if (of === "writes") return tellWrites(logger, up, reason);
  const what = of === "commands" ? "Redis" : "Redis' change messages";
  if (up && reason !== "") logger.warn({ reason }, `${what}: connected, with a problem`);
  else if (up) logger.info({}, `${what}: connected`);
  else if (of === "commands")
    logger.warn(
      { reason },
      "Redis: out of reach; the policy in force stays, limits and API keys follow onStoreError, the cache serves from memory",
    );
  else logger.warn({ reason }, `${what}: not received; polling for changes every second instead`);
}

function tellWrites(logger: Telemetry["logger"], taken: boolean, reason: string): void {
  if (taken) logger.info({}, "Redis: accepts writes again");
  else
    logger.error(
      { reason },
      "Redis: refuses writes; each sidecar counts its share of limits as onStoreError says, nothing is shared or cached in Redis",
    );
}

/** The check of Redis for `GET /readyz?verbose`. It is always ok: a sidecar serves without Redis. */
export function redisCheck(store: RedisStore | undefined): Check[] {
  if (store === undefined) return [];
  const { up, unheardBecause, writesRefused } = store;
  const changes =
    unheardBecause === undefined ? "" : `; changes are looked for each second: ${unheardBecause}`;
  const writes = writesRefused === undefined ? "" : `; refuses writes: ${writesRefused}`;
  return [{ name: "redis", ok: true, detail: up ? `up${writes}${changes}` : "down, not needed to serve" }];
}
