// Sends requests to a collector from a queue: one at a time, retried with growing pauses. After a request that failed
// to the end, the breaker is open: each request gets one try every half minute until one is taken. Callers never wait:
// what finds no room or is not taken is dropped and counted.
import type { Counter, Logger } from "../../plugin-api/telemetry.ts";
import type { Carrier, Delivery } from "./delivery.ts";
import type { Rejected } from "./rejected.ts";

export interface SenderOptions {
  readonly carrier: Carrier;
  /** What is sent, for log lines: `spans`. */
  readonly what: string;
  /** Names of the settings that control where, for log lines. */
  readonly settings: string;
  readonly rejected: (response: Buffer) => Rejected | undefined;
  readonly logger: Logger;
  /** Counters of items by outcome: `exported`, `dropped`, `rejected`. */
  readonly counted: (result: "exported" | "dropped" | "rejected") => Counter;
  /** Gives numbers between 0 and 1; default: Math.random. */
  readonly random?: (() => number) | undefined;
}

/** The encoded body of one request. */
export interface Batch {
  readonly body: Buffer;
  readonly items: number;
}

const firstBackOffMs = 1_000;
const maxBackOffMs = 30_000;
const maxTries = 5;

export class OtlpSender {
  readonly #options: SenderOptions;
  readonly #exported: Counter;
  readonly #dropped: Counter;
  readonly #rejected: Counter;
  #waiting: Batch[] = [];
  /** Items and bytes that wait or are being sent. */
  queuedItems = 0;
  queuedBytes = 0;
  #sending: Promise<void> | undefined;
  #pause: { readonly timer: NodeJS.Timeout; readonly end: () => void } | undefined;
  #closing = false;
  /** The breaker: a request was given up, and none has been taken since. */
  #isOpen = false;
  /** The problem logged last; "" = the collector takes everything. */
  #trouble = "";

  constructor(options: SenderOptions) {
    this.#options = options;
    this.#exported = options.counted("exported");
    this.#dropped = options.counted("dropped");
    this.#rejected = options.counted("rejected");
  }

  get closing(): boolean {
    return this.#closing;
  }

  /** Whether a request is being sent or retried. */
  get busy(): boolean {
    return this.#sending !== undefined;
  }

  drop(items: number): void {
    this.#dropped.inc(items);
  }

  /** @param batch the caller has checked that there is room for it */
  send(batch: Batch): void {
    this.#waiting.push(batch);
    this.queuedItems += batch.items;
    this.queuedBytes += batch.body.length;
    this.#sending ??= this.#send().finally(() => (this.#sending = undefined));
  }

  /** From now on each request gets one try. */
  beginClose(): void {
    this.#closing = true;
    this.#pause?.end();
  }

  /** Resolves when each queued request was tried once, or after `limitMs`. Never rejects. */
  async close(limitMs: number): Promise<void> {
    this.beginClose();
    const over = Promise.withResolvers<void>();
    const limit = setTimeout(over.resolve, limitMs);
    await Promise.race([this.#sending, over.promise]);
    clearTimeout(limit);
    this.#options.carrier.close();
    for (const { items } of this.#waiting.splice(0)) this.drop(items);
  }

  async #send(): Promise<void> {
    for (let batch = this.#waiting[0]; batch !== undefined; batch = this.#waiting[0]) {
      await this.#deliver(batch);
      this.#waiting.shift();
      this.queuedItems -= batch.items;
      this.queuedBytes -= batch.body.length;
    }
  }

  async #deliver({ body, items }: Batch): Promise<void> {
    const { carrier } = this.#options;
    for (let tries = 1; ; tries += 1) {
      const delivery = await carrier.send(body);
      if (delivery.outcome === "taken") {
        this.#taken(items, delivery);
        return;
      }
      this.#tell(delivery);
      if (delivery.outcome === "refused" || this.#closing) {
        this.drop(items);
        return;
      }
      const isLast = this.#isOpen || tries >= maxTries;
      if (isLast) {
        this.drop(items);
        // The longest pause, also if the queue is empty: the next request shows whether the collector is back.
        this.#isOpen = true;
        await this.#backOff(maxTries + 1, delivery.retryAfterMs);
        return;
      }
      await this.#backOff(tries, delivery.retryAfterMs);
    }
  }

  #taken(items: number, { response }: Delivery): void {
    const { logger, what } = this.#options;
    this.#isOpen = false;
    const rejected = response && this.#options.rejected(response);
    const lost = Math.min(rejected?.items ?? 0, items);
    this.#exported.inc(items - lost);
    this.#rejected.inc(lost);
    const trouble = rejected === undefined ? "" : "partial";
    if (rejected !== undefined && this.#trouble !== trouble) {
      const reason = rejected.message.replace(/[^\x20-\x7e]/g, " ").slice(0, 200);
      logger.warn({ rejected: rejected.items, reason }, `the collector rejected some of the ${what}`);
    }
    if (trouble === "" && this.#trouble !== "") logger.info({}, `the collector takes ${what} again`);
    this.#trouble = trouble;
  }

  /** Logs each kind of trouble once. */
  #tell({ reason, outcome }: Delivery): void {
    if (this.#trouble === reason) return;
    this.#trouble = reason;
    const { what, settings } = this.#options;
    const text =
      outcome === "refused"
        ? `the collector refuses ${what}; they are lost (see ${settings})`
        : `${what} cannot be sent; they wait in memory, and are lost when it is full (see ${settings})`;
    this.#options.logger.warn({ reason }, text);
  }

  /** Exponential backoff with jitter (half to full length). Ends at once when the process closes. */
  #backOff(tries: number, asked: number | undefined): Promise<void> {
    const { random = Math.random } = this.#options;
    const longest = Math.min(firstBackOffMs * 2 ** (tries - 1), maxBackOffMs);
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
