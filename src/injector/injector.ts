// Starts and stops the injector in one process: webhook, health listener, certificate.
import type { AddressInfo } from "node:net";
import type { Writable } from "node:stream";
import { closeServer, listenOn } from "../admin/bound.ts";
import { createHealthListener, type HealthListener } from "../admin/health-listener.ts";
import { type Config, ConfigError } from "../config/config.ts";
import { bind } from "../config/start-error.ts";
import { addressText } from "../language/address-text.ts";
import { createTelemetry, type Telemetry } from "../telemetry/process.ts";
import type { Pair } from "../tls/read-files.ts";
import { expiryGauge } from "../tls/watched-files.ts";
import { version } from "../version.ts";
import { LiveCertificate } from "./certificate.ts";
import { createInjectorMetrics } from "./injector-metrics.ts";
import type { ReviewOptions } from "./review.ts";
import { Webhook } from "./webhook.ts";

export interface Injector {
  readonly address: AddressInfo | string;
  readonly adminAddress: AddressInfo | string;
  reportFault(kind: string, error: unknown): void;
  /** Becomes unready, answers calls until the drain ends, closes everything, flushes the log. */
  stop(): Promise<void>;
}

const flushLimitMs = 1_000;

/** Rejects with ConfigError or StartError when settings are at fault; nothing is left running then. */
export async function startInjector(
  config: Config,
  review: ReviewOptions,
  output?: Writable,
): Promise<Injector> {
  const files = filesOf(config);
  const parts = createParts(config, files, review, output);
  try {
    return await startParts(config, review, parts);
  } catch (error) {
    await parts.close();
    throw error;
  }
}

interface Parts {
  readonly telemetry: Telemetry;
  readonly webhook: Webhook;
  readonly health: HealthListener;
  readonly close: () => Promise<void>;
}

function createParts(config: Config, files: Pair, review: ReviewOptions, output?: Writable): Parts {
  const { service, instance, logLevel, logFormat, tlsMinVersion } = config;
  const telemetry = createTelemetry({
    level: logLevel,
    format: logFormat,
    service,
    instance,
    stream: output,
  });
  const { logger, metrics } = telemetry;
  let webhook: Webhook | undefined;
  const expiry = expiryGauge(metrics, "injector");
  const certificate = new LiveCertificate(files, { logger, expiry, use: (pair) => webhook?.use(pair) });
  const { pair } = certificate;
  const minVersion = tlsMinVersion === "1.3" ? "TLSv1.3" : "TLSv1.2";
  const made = new Webhook({ pair, minVersion, review, logger, metrics: createInjectorMetrics(metrics) });
  webhook = made;
  const health = createHealthListener({
    listen: config.admin,
    token: () => config.adminToken,
    logger,
    metrics,
    checks: () => [
      { name: "certificate", ...certificate.state() },
      { name: "webhook", ok: !made.draining, detail: made.draining ? "draining" : "listening" },
    ],
    state: { path: "/injector", show: () => shownState(review) },
  });
  return {
    telemetry,
    webhook,
    health,
    async close() {
      certificate.close();
      if (made.server.listening) await closeServer(made.server);
      await health.close();
      await telemetry.output.flush(flushLimitMs);
    },
  };
}

async function startParts(config: Config, review: ReviewOptions, parts: Parts): Promise<Injector> {
  const { telemetry, webhook, health, close } = parts;
  const { admin, drainMinMs: minMs } = config;
  const [listen] = config.listen as [Config["listen"][number]];
  const { logger } = telemetry;
  const adminAddress = await bind("OUTRIGGER_ADMIN", admin, () => health.listen());
  const address = await bind("OUTRIGGER_LISTEN", listen, () => listenOn(webhook.server, listen));
  // Errors while listening (EMFILE on accept) pass by themselves.
  webhook.server.on("error", (error) => logger.error({ err: error }, "webhook failed"));
  const { image } = review.defaults;
  logger.info(
    { version, address: addressText(address), admin: addressText(adminAddress), image },
    "listening",
  );
  return {
    address,
    adminAddress,
    reportFault: (kind, error) => telemetry.reportFault(kind, error),
    async stop() {
      logger.info({}, "draining");
      await webhook.drain({ minMs, maxMs: Math.max(config.drainMs, minMs) });
      await close();
    },
  };
}

/** What applies when a pod's annotations say nothing. */
function shownState({ defaults, exempt, plugins }: ReviewOptions): object {
  return { version, ...defaults, exempt: [...exempt], plugins };
}

function filesOf({ tlsCert, tlsKey, listen }: Config): Pair {
  const [cert] = tlsCert ?? [];
  const [key] = tlsKey ?? [];
  const problems: string[] = [];
  if (cert === undefined || key === undefined)
    problems.push(
      "OUTRIGGER_TLS_CERT, OUTRIGGER_TLS_KEY: the injector needs both, for API servers speak TLS alone",
    );
  if (listen.length > 1) problems.push("OUTRIGGER_LISTEN: the injector listens on one address");
  if (cert === undefined || key === undefined || problems.length > 0) throw new ConfigError(problems);
  return { cert, key };
}
