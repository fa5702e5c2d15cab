// Pushes metrics to a collector at each interval. A push that fails is not repeated: the next one has new totals, so
// only the values of that moment are lost.
import { type Rejected, rejectedInJson, rejectedInProtobuf } from "./rejected.ts";
import { OtlpSender, type SenderOptions } from "./sender.ts";
import type { FamilySnapshot } from "../metric-families.ts";
import { type MetricsEncoder, seriesIn } from "./metrics.ts";

const closeLimitMs = 1_000;

export interface PusherOptions extends Pick<SenderOptions, "carrier" | "logger" | "counted" | "random"> {
  readonly encoder: MetricsEncoder;
  readonly intervalMs: number;
  /** Reads all families of the metrics page. */
  readonly read: () => Promise<readonly FamilySnapshot[]>;
  readonly now: () => number;
}

export class MetricsPusher {
  readonly #options: PusherOptions;
  readonly #sender: OtlpSender;
  readonly #startMs: number;
  readonly #timer: NodeJS.Timeout;
  #reading: Promise<void> | undefined;

  constructor(options: PusherOptions) {
    this.#options = options;
    this.#startMs = Math.floor(options.now() - performance.now());
    this.#sender = new OtlpSender({
      carrier: options.carrier,
      what: "metrics",
      settings: "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT, _METRICS_HEADERS and OTEL_EXPORTER_OTLP_HEADERS",
      rejected: rejectedBy(options.encoder),
      logger: options.logger,
      counted: options.counted,
      random: options.random,
    });
    this.#timer = setInterval(() => void this.#push(), options.intervalMs).unref();
  }

  /** Sends the final values, within a second. Never rejects. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#sender.beginClose();
    await this.#push();
    await this.#sender.close(closeLimitMs);
  }

  #push(): Promise<void> {
    this.#reading ??= this.#read().finally(() => (this.#reading = undefined));
    return this.#reading;
  }

  async #read(): Promise<void> {
    const { read, encoder, now, logger } = this.#options;
    try {
      const families = await read();
      const items = seriesIn(families);
      // A push is still in progress: drop this one, since the next has newer totals.
      if (this.#sender.busy) this.#sender.drop(items);
      else
        this.#sender.send({
          body: encoder.encode(families, { startMs: this.#startMs, nowMs: now() }),
          items,
        });
    } catch (error) {
      logger.error({ err: error }, "metrics cannot be read for the collector");
    }
  }
}

function rejectedBy({ contentType }: MetricsEncoder): (response: Buffer) => Rejected | undefined {
  return contentType === "application/json" ? rejectedInJson : rejectedInProtobuf;
}
