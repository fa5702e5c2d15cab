// What the settings say of collectors, for whatever is sent there.
import { readFileSync } from "node:fs";
import type { Config } from "../config/config.ts";
import type { OtlpResource } from "../telemetry/otlp/attributes.ts";
import type { Carrier } from "../telemetry/otlp/delivery.ts";
import { createGrpcCarrier } from "../telemetry/otlp/grpc-carrier.ts";
import { createHttpCarrier } from "../telemetry/otlp/http-carrier.ts";
import { version } from "../version.ts";

export interface Signal {
  /** Its own collector, as it is. */
  readonly endpoint: URL | undefined;
  /** Behind the collector of all signals, over HTTP. */
  readonly path: string;
  readonly grpcPath: string;
  /** Beside those of all signals. */
  readonly headers: Readonly<Record<string, string>> | undefined;
  readonly protocol: Config["otelProtocol"];
  /** In place of that of all signals. */
  readonly timeoutMs?: number | undefined;
  readonly contentType: string;
}

/** Over HTTP the endpoint of all signals gets the signal's path behind its own. */
export function collectorOf(
  { otelEndpoint }: Config,
  { endpoint, path }: Pick<Signal, "endpoint" | "path">,
): URL | undefined {
  if (endpoint !== undefined || otelEndpoint === undefined) return endpoint;
  return new URL(`${otelEndpoint.href.replace(/\/$/, "")}${path}`);
}

export function carrierOf(config: Config, url: URL, signal: Signal): Carrier {
  const { grpcPath, protocol, contentType } = signal;
  return (protocol === "grpc" ? createGrpcCarrier : createHttpCarrier)({
    url,
    grpcPath,
    headers: { ...config.otelHeaders, ...signal.headers },
    timeoutMs: signal.timeoutMs ?? config.otelTimeoutMs,
    gzip: config.otelCompression === "gzip",
    contentType,
    tls: { ca: fileOf(config.otelCa), cert: fileOf(config.otelCert), key: fileOf(config.otelKey) },
  });
}

export function resourceOf(config: Config): OtlpResource {
  const attributes = {
    "service.name": config.otelService ?? config.service,
    "service.instance.id": config.instance,
    "telemetry.sdk.name": "outrigger",
    "telemetry.sdk.language": "nodejs",
    "telemetry.sdk.version": version,
    ...(config.region !== undefined && { "cloud.region": config.region }),
    ...config.otelResource,
    ...(config.otelService !== undefined && { "service.name": config.otelService }),
  };
  return {
    attributes: Object.entries(attributes).flat(),
    scopeName: "outrigger",
    scopeVersion: version,
  };
}

function fileOf(path: string | undefined): string | undefined {
  return path === undefined ? undefined : readFileSync(path, "utf8");
}
