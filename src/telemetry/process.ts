// Creates the log and the metrics of one process. They are created first and flushed last.
import type { Writable } from "node:stream";
import type { LogFormat } from "../plugin-api/telemetry.ts";
import { FileStream, isFile } from "./file-stream.ts";
import { createLogging, type Logging } from "./logger.ts";
import { createMetrics, defaultMaxSeries, type MetricsOptions, type MetricsRegistry } from "./metrics.ts";
import { createOutput, type Output } from "./output.ts";

export interface Telemetry extends Logging {
  readonly metrics: MetricsRegistry;
  readonly output: Output;
  /** Logs an uncaught exception or rejection with its stack, and counts it. @param plugin that caused it, if known */
  reportFault(kind: string, error: unknown, plugin?: string): void;
}

export interface TelemetryOptions {
  readonly level: string;
  readonly format?: LogFormat | undefined;
  readonly service: string;
  readonly instance: string;
  /** Which of several processes this is; shown in its lines and process metrics. */
  readonly worker?: string | undefined;
  /** stdout by default; tests pass another stream. */
  readonly stream?: Writable | undefined;
  /** Called before a line is written to a file; throws when the disk has no room. */
  readonly checkDisk?: (() => void) | undefined;
}

export function createTelemetry(options: TelemetryOptions): Telemetry {
  const metrics = createMetrics(tellingOf(options, () => logging.logger));
  const dropped = metrics.counter(
    "outrigger_log_lines_dropped_total",
    "Log lines that a slow or closed stdout did not take",
  )();
  const faults = metrics.counter("outrigger_faults_total", "Exceptions and rejections that nobody caught", [
    "kind",
  ]);
  let lost = 0;
  const stream =
    options.stream ??
    stdoutStream(options.checkDisk, () => {
      logging.logger.warn({ lostLines: lost }, "stdout accepts log lines again");
      lost = 0;
    });
  const output = createOutput({
    stream,
    onDrop(lines) {
      lost += lines;
      dropped.inc(lines);
    },
    onClosed: tellClosed,
  });
  const logging = createLogging({ ...options, output });
  return {
    ...logging,
    metrics,
    output,
    reportFault(kind, error, plugin) {
      faults(kind).inc();
      logging.logger.error(
        { kind, ...(plugin === undefined ? {} : { plugin }), err: error },
        "uncaught exception or rejection",
      );
    },
  };
}

/** Options of the metrics. `logger` is a function because the log is created after the metrics. */
function tellingOf(
  { service, worker }: Pick<MetricsOptions, "service" | "worker">,
  logger: () => Logging["logger"],
): MetricsOptions {
  const text = "a metric has too many series: further ones count together, with every label `other`";
  return {
    service,
    worker,
    onFolded: (metric) => logger().warn({ metric, series: defaultMaxSeries }, text),
  };
}

function tellClosed(error: Error): void {
  process.stderr.write(`outrigger: stdout is closed (${error.message}): log lines are lost from now on\n`);
}

/** @param onRecovered called when a file accepts bytes again after a failure */
function stdoutStream(checkDisk: (() => void) | undefined, onRecovered: () => void): Writable {
  if (!isFile(process.stdout.fd, process.stdout.isTTY)) return process.stdout;
  return new FileStream({
    fd: process.stdout.fd,
    checkDisk,
    onFailed: (error) =>
      process.stderr.write(
        `outrigger: stdout takes no log lines (${error.message}): they wait in memory, up to 8 MiB\n`,
      ),
    onRecovered,
  });
}
