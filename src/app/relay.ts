// Runs `outrigger relay`: the connections to two Redis, log and metrics, health, and the relay between the two.
import type { Writable } from "node:stream";
import type { AddressInfo } from "node:net";
import { createHealthListener, type HealthListener } from "../admin/health-listener.ts";
import { type Config, ConfigError } from "../config/config.ts";
import { bind } from "../config/start-error.ts";
import { QuotaLeases } from "../plane/relay/quota-leases.ts";
import { Relay, type RelayOptions } from "../plane/relay/relay.ts";
import { createTrust } from "../policy/read.ts";
import { nodesText, type RedisAddress } from "../redis/address.ts";
import { createStore, type RedisStore } from "../redis/store.ts";
import { takeConsole } from "../telemetry/console.ts";
import { createTelemetry, type Telemetry } from "../telemetry/process.ts";
import { type End, RelayTelling } from "./relay-telling.ts";

const flushLimitMs = 1_000;

export interface RunningRelay {
  readonly adminAddress: AddressInfo | string;
  stop(): Promise<void>;
  readonly reportFault: Telemetry["reportFault"];
}

export interface RelaySettings {
  readonly takeOver: boolean;
  readonly pollMs?: number;
  /** This machine's clock, epoch ms. */
  readonly now?: () => number;
  /** Where log lines go in place of stdout. */
  readonly output?: Writable;
}

/** Rejects with ConfigError or StartError. */
export async function startRelay(config: Config, settings: RelaySettings): Promise<RunningRelay> {
  const ends = addressesOf(config);
  const trust = config.policyKeys && (await createTrust(config.policyKeys));
  const telemetry = createTelemetry({
    level: config.logLevel,
    format: config.logFormat,
    service: config.service,
    instance: config.instance,
    stream: settings.output,
  });
  const { logger } = telemetry;
  const giveBack = takeConsole(logger);
  const told = new RelayTelling(telemetry);
  const { relay, quotas, closeStores } = between(config, ends, trust, settings, told);
  const health = healthOf(config, telemetry, told, relay);
  const close = async (): Promise<void> => {
    await Promise.all([relay.stop(), quotas?.stop()]);
    closeStores();
    giveBack();
    await telemetry.output.flush(flushLimitMs);
  };
  try {
    const adminAddress = await bind("OUTRIGGER_ADMIN", config.admin, () => health.listen());
    told.begins(nodesText(ends.source), nodesText(ends.target), trust !== undefined);
    relay.start();
    quotas?.start();
    const stop = async (): Promise<void> => {
      await health.close();
      logger.info({}, "relay: ends; this region keeps the policy that it has");
      await close();
    };
    const reportFault: Telemetry["reportFault"] = (...fault) => telemetry.reportFault(...fault);
    return { adminAddress, reportFault, stop };
  } catch (error) {
    await close();
    throw error;
  }
}

type Addresses = Readonly<Record<End, RedisAddress>>;

function between(
  config: Config,
  ends: Addresses,
  trust: RelayOptions["trust"],
  { takeOver, pollMs, now = Date.now }: RelaySettings,
  told: RelayTelling,
): {
  readonly relay: Relay;
  readonly quotas: QuotaLeases | undefined;
  readonly closeStores: () => void;
} {
  const source = open(config, ends.source, "source", told);
  const target = open(config, ends.target, "target", told);
  const relay = new Relay({
    source,
    target,
    ...told.handlers(),
    keyPrefix: config.keyPrefix,
    maxBytes: config.policyMaxBytes,
    trust,
    takeOver,
    now,
    ...(pollMs === undefined ? {} : { pollMs }),
  });
  const { region, relayFromRegion: home } = config;
  const quotas =
    region === undefined || home === undefined
      ? undefined
      : new QuotaLeases({ source, target, region, home, ...told.quotaHandlers() });
  const closeStores = (): void => [source, target].forEach((store) => store.close());
  return { relay, quotas, closeStores };
}

function healthOf(
  { passed, admin, adminToken }: Config,
  { logger, metrics }: Telemetry,
  told: RelayTelling,
  relay: Relay,
): HealthListener {
  return createHealthListener({
    listen: passed?.admin === undefined ? admin : { fd: passed.admin },
    token: () => adminToken,
    logger,
    checks: () => told.checks(),
    metrics,
    state: { path: "/relay", show: () => told.state(relay) },
  });
}

function addressesOf({ redis, relayFrom, region, relayFromRegion }: Config): Addresses {
  const problems = [];
  if (relayFromRegion !== undefined && (region === undefined || region === relayFromRegion))
    problems.push(
      `OUTRIGGER_REGION: ${region === undefined ? "is not set" : "is that of OUTRIGGER_RELAY_FROM_REGION, too"}: quotas are leased by one region from another`,
    );
  if (redis === undefined)
    problems.push("REDIS_URL: is not set: it is this region's Redis, which the policy is written to");
  if (relayFrom === undefined)
    problems.push("OUTRIGGER_RELAY_FROM: is not set: it is the Redis of the region whose policy is followed");
  if (
    redis !== undefined &&
    relayFrom !== undefined &&
    nodesText(redis) === nodesText(relayFrom) &&
    redis.db === relayFrom.db
  )
    problems.push("OUTRIGGER_RELAY_FROM: is the Redis of REDIS_URL: a region does not follow itself");
  if (redis === undefined || relayFrom === undefined || problems.length > 0) throw new ConfigError(problems);
  return { source: relayFrom, target: redis };
}

function open({ keyPrefix }: Config, address: RedisAddress, end: End, told: RelayTelling): RedisStore {
  return createStore({
    address,
    keyPrefix,
    connectionName: `outrigger-relay-${end}`,
    limitMs: 3_000,
    onState: ({ of, up, reason }) => {
      if (of === "commands") told.connected(end, up, reason);
    },
    onListenerError: (error) => told.failed(error),
  });
}
