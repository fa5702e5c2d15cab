// Spans on their way to the collector: in batches, off the request's path, bounded, one request at a time. A collector
// that is slow or away costs spans, which are counted, and nobody any time.
import type { Counter, Logger } from "../../plugin-api/telemetry.ts";
import type { Carrier, Delivery } from "./delivery.ts";
import type { Span, SpanEncoder } from "./span.ts";

export interface ExporterOptions {
  readonly encoder: SpanEncoder;
  readonly carrier: Carrier;
  readonly maxQueueSpans: number;
  readonly maxBatchSpans: number;
  readonly delayMs: number;
  readonly logger: Logger;
  /** By what became of them: `exported`, `dropped`, `rejected`. */
  readonly spans: (result: "exported" | "dropped" | "rejected") => Counter;
  /** Between 0 and 1. */
  readonly random?: () => number;
}

interface Batch {
  readonly body: Buffer;
  readonly spans: number;
}

const firstBackOffMs = 1_000;
const longestBackOffMs = 30_000;
const mostTries = 5;
/** Of encoded spans that wait, beside their number. */
const mostQueuedBytes = 16_777_216;

export class SpanExporter {
  readonly #options: ExporterOptions;
  readonly #exported: Counter;
  readonly #dropped: Counter;
  readonly #rejected: Counter;
  #waiting: Batch[] = [];
  #queuedSpans = 0;
  #queuedBytes = 0;
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> | undefined;
  #pause: { readonly timer: NodeJS.Timeout; readonly end: () => void } | undefined;
  #closing = false;
  /** What was told last of the collector; "" = it takes spans. */
  #trouble = "";

  constructor(options: ExporterOptions) {
    this.#options = options;
    this.#exported = options.spans("exported");
    this.#dropped = options.spans("dropped");
    this.#rejected = options.spans("rejected");
  }

  /** Waits for nothing; a span that finds no room is dropped and counted. */
  add(span: Span): void {
    const { encoder, maxQueueSpans, maxBatchSpans, delayMs } = this.#options;
    const isFull =
      this.#queuedSpans + encoder.count >= maxQueueSpans ||
      this.#queuedBytes + encoder.bytes >= mostQueuedBytes;
    if (isFull || this.#closing) {
      this.#dropped.inc();
      return;
    }
    encoder.add(span);
    if (encoder.count >= maxBatchSpans) this.#cut();
    else this.#timer ??= setTimeout(() => this.#cut(), delayMs).unref();
  }

  /** Sends what is there, once each; resolves when that is done, or `limitMs` is over. Never rejects. */
  async close(limitMs: number): Promise<void> {
    this.#closing = true;
    this.#cut();
    this.#pause?.end();
    const over = Promise.withResolvers<void>();
    const limit = setTimeout(over.resolve, limitMs);
    await Promise.race([this.#sending, over.promise]);
    clearTimeout(limit);
    this.#options.carrier.close();
    for (const { spans } of this.#waiting.splice(0)) this.#dropped.inc(spans);
  }

  #cut(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const { encoder } = this.#options;
    const spans = encoder.count;
    if (spans === 0) return;
    const batch = { body: encoder.take(), spans };
    this.#waiting.push(batch);
    this.#queuedSpans += spans;
    this.#queuedBytes += batch.body.length;
    this.#sending ??= this.#send().finally(() => (this.#sending = undefined));
  }

  async #send(): Promise<void> {
    for (let batch = this.#waiting[0]; batch !== undefined; batch = this.#waiting[0]) {
      await this.#deliver(batch);
      this.#waiting.shift();
      this.#queuedSpans -= batch.spans;
      this.#queuedBytes -= batch.body.length;
    }
  }

  async #deliver({ body, spans }: Batch): Promise<void> {
    const { carrier } = this.#options;
    for (let tries = 1; ; tries += 1) {
      const delivery = await carrier.send(body);
      if (delivery.outcome === "taken") {
        this.#taken(spans, delivery);
        return;
      }
      this.#tell(delivery);
      if (delivery.outcome === "refused" || tries >= mostTries || this.#closing) {
        this.#dropped.inc(spans);
        return;
      }
      await this.#backOff(tries, delivery.retryAfterMs);
    }
  }

  #taken(spans: number, { response }: Delivery): void {
    const { encoder, logger } = this.#options;
    const rejected = response && encoder.rejected(response);
    const lost = Math.min(rejected?.spans ?? 0, spans);
    this.#exported.inc(spans - lost);
    this.#rejected.inc(lost);
    const trouble = rejected === undefined ? "" : "partial";
    if (rejected !== undefined && this.#trouble !== trouble) {
      const reason = rejected.message.replace(/[^\x20-\x7e]/g, " ").slice(0, 200);
      logger.warn({ rejected: rejected.spans, reason }, "the collector rejected some of the spans");
    }
    if (trouble === "" && this.#trouble !== "") logger.info({}, "the collector takes spans again");
    this.#trouble = trouble;
  }

  /** Once for each kind of trouble. */
  #tell({ reason, outcome }: Delivery): void {
    if (this.#trouble === reason) return;
    this.#trouble = reason;
    const text =
      outcome === "refused"
        ? "the collector refuses spans; they are lost (see OTEL_EXPORTER_OTLP_ENDPOINT and _HEADERS)"
        : "spans cannot be sent; they wait in memory, and are lost when it is full (see OTEL_EXPORTER_OTLP_ENDPOINT)";
    this.#options.logger.warn({ reason }, text);
  }

  /** Doubles, with full jitter; ends at once when the process does. */
  #backOff(tries: number, asked: number | undefined): Promise<void> {
    const { random = Math.random } = this.#options;
    const longest = Math.min(firstBackOffMs * 2 ** (tries - 1), longestBackOffMs);
    const ms = asked ?? longest * (0.5 + random() / 2);
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#pause = undefined;
        resolve();
      };
      const timer = setTimeout(end, ms).unref();
      this.#pause = { timer, end };
    });
  }
}
