// One request to a collector and the meaning of its answer (OpenTelemetry protocol, sections "OTLP/HTTP response" and
// "OTLP/gRPC response").

export interface Delivery {
  /** `retry`: the same request may succeed later. */
  readonly outcome: "taken" | "retry" | "refused";
  /** For log lines: a status, or what failed. Never contains the URL, which may hold secrets. */
  readonly reason: string;
  /** The pause that the collector asks for. */
  readonly retryAfterMs?: number | undefined;
  /** Only if the outcome is `taken`: it may say that some items were rejected. */
  readonly response?: Buffer | undefined;
}

/** Sends requests to the collector over one protocol. */
export interface Carrier {
  /** Settles within the time limit; never rejects. */
  send(body: Buffer): Promise<Delivery>;
  close(): void;
}

export interface CarrierOptions {
  readonly url: URL;
  /** The path of the signal's method, for gRPC. */
  readonly grpcPath: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly gzip: boolean;
  readonly contentType: string;
  /** In PEM. */
  readonly tls: {
    readonly ca?: string | undefined;
    readonly cert?: string | undefined;
    readonly key?: string | undefined;
  };
}

/** Longest pause that a collector may ask for. */
const maxRetryAfterMs = 60_000;
/** Longest response that is read. */
export const maxResponseBytes = 65_536;

/** @param value of `Retry-After`: seconds, or a date @returns milliseconds, at most a minute; undefined for neither */
export function retryAfterMs(value: string | undefined, nowMs: number): number | undefined {
  if (value === undefined) return undefined;
  const ms = /^\d{1,9}$/.test(value) ? Number(value) * 1_000 : Date.parse(value) - nowMs;
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), maxRetryAfterMs);
}
