// Copies the chain to a collector: one log record per line, with the line as its body, so that the copy can be verified
// like the file. Lines that the collector does not take are missing there and counted; nothing waits for the copy.
import type { Counter, Logger } from "../plugin-api/contract.ts";
import type { Carrier } from "../telemetry/otlp/delivery.ts";
import type { LogRecord, LogsEncoder } from "../telemetry/otlp/logs.ts";
import { rejectedInJson, rejectedInProtobuf } from "../telemetry/otlp/rejected.ts";
import { OtlpSender } from "../telemetry/otlp/sender.ts";
import { parseRecord, type ReadRecord } from "./record.ts";
import type { Copy } from "./sink.ts";

export interface OtlpCopyOptions {
  readonly encoder: LogsEncoder;
  readonly carrier: Carrier;
  readonly logger: Logger;
  /** Counts the records that the copy misses. */
  readonly lost: Counter;
  readonly now: () => number;
  /** How long a line may wait to be sent with others, in milliseconds. */
  readonly delayMs?: number;
  /** Gives numbers between 0 and 1. */
  readonly random?: () => number;
}

const defaultDelayMs = 1_000;
const maxOfRequest = 512;
/** Most records that wait; `maxBytes` bounds their bytes. */
const maxWaiting = 8_192;
const maxBytes = 16_777_216;
const isTraceId = /^[0-9a-f]{32}$/;

const uncounted: Counter = { inc: () => {} };

export class OtlpCopy implements Copy {
  readonly #options: OtlpCopyOptions;
  readonly #sender: OtlpSender;
  #lines: string[] = [];
  #bytes = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: OtlpCopyOptions) {
    const { encoder, carrier, logger, lost, random } = options;
    this.#options = options;
    this.#sender = new OtlpSender({
      carrier,
      what: "copies of audit records",
      settings: "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT and OTEL_EXPORTER_OTLP_HEADERS",
      rejected: encoder.contentType === "application/json" ? rejectedInJson : rejectedInProtobuf,
      logger,
      counted: (result) => (result === "exported" ? uncounted : lost),
      random,
    });
  }

  add(lines: readonly string[]): void {
    for (const line of lines) this.#add(line);
  }

  async close(limitMs: number): Promise<void> {
    this.#sender.beginClose();
    this.#cut();
    await this.#sender.close(limitMs);
  }

  #add(line: string): void {
    const { queuedItems, queuedBytes, closing } = this.#sender;
    const isFull =
      queuedItems + this.#lines.length >= maxWaiting || queuedBytes + this.#bytes + line.length > maxBytes;
    if (isFull || closing) {
      this.#sender.drop(1);
      return;
    }
    this.#lines.push(line);
    this.#bytes += line.length;
    if (this.#lines.length >= maxOfRequest) this.#cut();
    else this.#timer ??= setTimeout(() => this.#cut(), this.#options.delayMs ?? defaultDelayMs).unref();
  }

  #cut(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const { encoder, now } = this.#options;
    const lines = this.#lines;
    if (lines.length === 0) return;
    const observedMs = now();
    this.#lines = [];
    this.#bytes = 0;
    this.#sender.send({
      body: encoder.encode(lines.map((line) => logRecord(line, observedMs))),
      items: lines.length,
    });
  }
}

function logRecord(line: string, observedMs: number): LogRecord {
  const record = parseRecord(line);
  const { chain = "", seq = 0 } = record ?? {};
  const { at, kind, trace }: ReadRecord = record ?? {};
  const atMs = Date.parse(String(at));
  return {
    atMs: Number.isNaN(atMs) ? observedMs : atMs,
    observedMs,
    event: `outrigger.audit.${String(kind)}`,
    body: line,
    attributes: ["outrigger.audit.chain", chain, "outrigger.audit.seq", seq],
    traceId: typeof trace === "string" && isTraceId.test(trace) ? trace : undefined,
  };
}
