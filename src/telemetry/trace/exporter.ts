// Exports spans to the collector: in batches, off the request's path, bounded. When the collector is slow or away,
// spans are dropped and counted; requests never wait.
import { OtlpSender, type SenderOptions } from "../otlp/sender.ts";
import type { Span, SpanEncoder } from "./span.ts";

export interface ExporterOptions extends Pick<SenderOptions, "carrier" | "logger" | "counted" | "random"> {
  readonly encoder: SpanEncoder;
  readonly maxQueueSpans: number;
  readonly maxBatchSpans: number;
  readonly delayMs: number;
}

/** Bound on bytes of encoded spans that wait, besides the bound on their number. */
const maxQueuedBytes = 16_777_216;

export class SpanExporter {
  readonly #options: ExporterOptions;
  readonly #sender: OtlpSender;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ExporterOptions) {
    this.#options = options;
    this.#sender = new OtlpSender({
      carrier: options.carrier,
      what: "spans",
      settings: "OTEL_EXPORTER_OTLP_ENDPOINT and _HEADERS",
      rejected: (response) => options.encoder.rejected(response),
      logger: options.logger,
      counted: options.counted,
      random: options.random,
    });
  }

  /** Never waits: a span without room is dropped and counted. */
  add(span: Span): void {
    const { encoder, maxQueueSpans, maxBatchSpans, delayMs } = this.#options;
    const { queuedItems, queuedBytes, closing } = this.#sender;
    const isFull =
      queuedItems + encoder.count >= maxQueueSpans || queuedBytes + encoder.bytes >= maxQueuedBytes;
    if (isFull || closing) {
      this.#sender.drop(1);
      return;
    }
    encoder.add(span);
    if (encoder.count >= maxBatchSpans) this.#cut();
    else this.#timer ??= setTimeout(() => this.#cut(), delayMs).unref();
  }

  /** Sends what is queued, one try each. Resolves when that is done or after `limitMs`; never rejects. */
  async close(limitMs: number): Promise<void> {
    this.#sender.beginClose();
    this.#cut();
    await this.#sender.close(limitMs);
  }

  #cut(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const { encoder } = this.#options;
    const items = encoder.count;
    if (items > 0) this.#sender.send({ body: encoder.take(), items });
  }
}
