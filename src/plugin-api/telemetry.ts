// Defines the interfaces of telemetry for the rest of the code: log, sink of finished lines, metrics. Plugins get them
// through src/plugin-api/services.ts.

/** Structured log of the sidecar itself (not the access log). Never pass a secret. */
export interface Logger {
  debug(fields: Record<string, unknown>, message: string): void;
  info(fields: Record<string, unknown>, message: string): void;
  warn(fields: Record<string, unknown>, message: string): void;
  error(fields: Record<string, unknown>, message: string): void;
}

/** How lines are written: pino's JSON, Elastic Common Schema, OTLP's JSON, Combined Log Format. */
export const logFormats = ["json", "ecs", "otel", "clf"] as const;
export type LogFormat = (typeof logFormats)[number];

/**
 * Sink for finished lines. It writes them off the request's path; lines that do not fit its bounded buffer are dropped
 * and counted.
 */
export interface LineSink {
  /** The operator's choice of format for the lines; absent = `json`. */
  readonly format?: LogFormat | undefined;
  /** @param line without the line end */
  write(line: string): void;
}

export interface Counter {
  inc(by?: number): void;
}
export interface Gauge {
  set(value: number): void;
}
export interface Histogram {
  /**
   * @param seconds observed value, in the metric's unit
   * @param traceId id of a sampled trace that shows the value: the metrics page names the last one of each bucket
   */
  observe(seconds: number, traceId?: string): void;
}

export type Aggregation = "sum" | "max" | "min";

/**
 * Metric families of the Prometheus registry. Asking twice for one name gives the same family. Resolve the labelled
 * child once at set-up (`family(...values)`) and keep it: a call on the child costs about 0.1 µs. The label `service`
 * is added to all. The number of children per family is bounded: past the bound, one last child with the value `other`
 * in every label takes the rest.
 */
export interface Metrics {
  counter(name: string, help: string, labels?: readonly string[]): (...values: string[]) => Counter;
  /** @param aggregation how the values of several workers are combined; default: `sum` */
  gauge(
    name: string,
    help: string,
    labels?: readonly string[],
    aggregation?: Aggregation,
  ): (...values: string[]) => Gauge;
  histogram(
    name: string,
    help: string,
    labels?: readonly string[],
    buckets?: readonly number[],
  ): (...values: string[]) => Histogram;
}
