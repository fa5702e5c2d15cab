// Creates what every process of a sidecar has, whatever its role: settings, plugins, log, metrics, Redis, files of
// secrets.
import type { CheckDisk } from "../files/check-disk.ts";
import type { Writable } from "node:stream";
import { type Config, ConfigReader } from "../config/config.ts";
import { Drill } from "../drills/drill.ts";
import type { Clock, PluginDefinition } from "../plugin-api/contract.ts";
import type { RenewableStore } from "../redis/renewable-store.ts";
import { systemClock } from "../runtime/clock.ts";
import type { HttpProxyMiddleware } from "../server/http1/forward.ts";
import { TapHub } from "../telemetry/requests/tap-hub.ts";
import { tapDrops } from "./taps.ts";
import { RequestRing } from "../telemetry/requests/ring.ts";
import { createTelemetry, type Telemetry } from "../telemetry/process.ts";
import type { PackageStore } from "../extensions/package-store.ts";
import { createPackageStore } from "./extensions.ts";
import { registry as builtIn } from "./registry.ts";
import { SecretFiles } from "./secret-files.ts";
import { connectStore } from "./connect-store.ts";
import { type Audit, createAudit } from "./audit.ts";
import { createUpstreamTls, type LiveUpstreamTls } from "./upstream-tls.ts";
import type { Utilization } from "../shadow/queue.ts";
import { createTracing, type Tracing } from "./tracing.ts";

export interface ProcessContext {
  readonly config: Config;
  readonly registry: readonly PluginDefinition[];
  readonly clock: Clock;
  readonly middleware: HttpProxyMiddleware | undefined;
  readonly telemetry: Telemetry;
  /** undefined = tracing is off. */
  readonly tracing: Tracing | undefined;
  /** The most recent requests. */
  readonly requests: RequestRing;
  readonly audit: Audit;
  /** The taps that watch exchanges. */
  readonly taps: TapHub;
  /** undefined = OUTRIGGER_DRILLS is off. */
  readonly drill: Drill | undefined;
  /** Measures how busy the event loop was since the last call; undefined = Node's own measure. */
  readonly utilization: Utilization | undefined;
  /** undefined in embedded mode. */
  readonly store: RenewableStore | undefined;
  readonly secretFiles: SecretFiles;
  readonly upstreamTls: LiveUpstreamTls;
  /** Packages of plugins that policies bring. */
  readonly packages: PackageStore;
  /** Closes Redis, sends the last spans and flushes the log. Call it after everything that uses them is closed. */
  close(): Promise<void>;
}

export interface ContextOptions {
  readonly registry?: readonly PluginDefinition[];
  readonly clock?: Clock;
  /** The user's own middleware, written for http-proxy's interface. */
  readonly middleware?: HttpProxyMiddleware;
  /** Where log lines go in place of stdout. */
  readonly output?: Writable;
  /** Name of this process among several. */
  readonly worker?: string;
  readonly utilization?: Utilization;
  /** Replaces the level of the settings. */
  readonly logLevel?: string;
}

const flushLimitMs = 1_000;

/**
 * Creates the context; Redis connects in the background.
 * @throws Error when a file that the settings name cannot be read
 */
export function createProcessContext(config: Config, options: ContextOptions = {}): ProcessContext {
  const { registry = builtIn, clock = systemClock, worker } = options;
  const drill = config.drills === "on" ? new Drill() : undefined;
  const checkDisk = drill?.checkDisk;
  const telemetry = telemetryOf(config, options, checkDisk);
  const store = connectStore(config, telemetry, drill);
  const onTrouble = (message: string): void => telemetry.logger.warn({}, message);
  const packages = createPackageStore(config, store, onTrouble, checkDisk);
  const tracing = createTracing(config, telemetry);
  const upstreamTls = createUpstreamTls(config, telemetry);
  const audit = createAudit(config, { telemetry, store, clock, worker, checkDisk });
  const secretFiles = new SecretFiles(config, new ConfigReader(registry), telemetry.logger, store);
  return {
    config,
    registry,
    clock,
    middleware: options.middleware,
    telemetry,
    tracing,
    requests: new RequestRing(),
    audit,
    taps: new TapHub(tapDrops(telemetry.metrics)("rate")),
    drill,
    utilization: options.utilization,
    store,
    secretFiles,
    upstreamTls,
    packages,
    async close() {
      drill?.close();
      secretFiles.close();
      upstreamTls.close();
      await audit.close();
      store?.close();
      await tracing?.close();
      await telemetry.output.flush(flushLimitMs);
    },
  };
}

function telemetryOf(
  { logFormat: format, service, instance, ...config }: Config,
  { output: stream, worker, logLevel: level = config.logLevel }: ContextOptions,
  checkDisk: CheckDisk | undefined,
): Telemetry {
  return createTelemetry({ level, format, service, instance, worker, stream, checkDisk });
}
