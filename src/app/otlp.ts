// Reads the settings of OTLP collectors, for every signal that is sent to one.
import { readFileSync } from "node:fs";
import type { Config } from "../config/config.ts";
import type { OtlpResource } from "../telemetry/otlp/attributes.ts";
import type { Carrier } from "../telemetry/otlp/delivery.ts";
import { createGrpcCarrier } from "../telemetry/otlp/grpc-carrier.ts";
import { createHttpCarrier } from "../telemetry/otlp/http-carrier.ts";
import { version } from "../version.ts";

export interface Signal {
  /** The signal's own collector, used unchanged. */
  readonly endpoint: URL | undefined;
  /** Path to append to the URL of the common collector, over HTTP. */
  readonly path: string;
  readonly grpcPath: string;
  /** Headers in addition to the common ones. */
  readonly headers: Readonly<Record<string, string>> | undefined;
  readonly protocol: Config["otelProtocol"];
  /** Replaces the common timeout. */
  readonly timeoutMs?: number | undefined;
  readonly contentType: string;
}

/** The signal's own collector, else the common one with the signal's path appended. */
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
