// One request to a collector, and what its answer means (OpenTelemetry protocol, sections "OTLP/HTTP response" and
// "OTLP/gRPC response").

export interface Delivery {
  /** `retry`: the same request may succeed later. */
  readonly outcome: "taken" | "retry" | "refused";
  /** For people: a status, or what failed; never the URL's secrets. */
  readonly reason: string;
  /** The collector asks for so long a pause. */
  readonly retryAfterMs?: number | undefined;
  /** Of a request that was taken: may tell of spans that were not. */
  readonly response?: Buffer | undefined;
}

/** Who carries requests to the collector. */
export interface Carrier {
  /** Ends within its time limit; never rejects. */
  send(body: Buffer): Promise<Delivery>;
  close(): void;
}

export interface CarrierOptions {
  readonly url: URL;
  /** Over gRPC: the signal's method. */
  readonly grpcPath: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly gzip: boolean;
  readonly contentType: string;
  /** PEM. */
  readonly tls: {
    readonly ca?: string | undefined;
    readonly cert?: string | undefined;
    readonly key?: string | undefined;
  };
}

/** Longest pause that a collector may ask for. */
const maxRetryAfterMs = 60_000;
/** Of a response; more is not read. */
export const maxResponseBytes = 65_536;

/** @param value of `Retry-After`: seconds, or a date */
export function retryAfterMs(value: string | undefined, nowMs: number): number | undefined {
  if (value === undefined) return undefined;
  const ms = /^\d{1,9}$/.test(value) ? Number(value) * 1_000 : Date.parse(value) - nowMs;
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), maxRetryAfterMs);
}
