// Records one exchange over an UpstreamTransport with all its callbacks, and checks the promises of the interface: no
// call after the end, no call after `abort`, no data while paused.
import type { GatewayError } from "../../src/plugin-api/errors.ts";
import type {
  UpstreamCall,
  UpstreamHandler,
  UpstreamRequest,
  UpstreamTransport,
} from "../../src/upstream/transport.ts";

export interface Result {
  readonly status: number;
  readonly statusText: string;
  readonly fields: readonly string[];
  readonly interims: readonly { status: number; fields: readonly string[] }[];
  /** One character a byte. */
  readonly body: string;
  readonly trailers: readonly string[];
  readonly error: GatewayError | undefined;
}

/** Reactions of the test to callbacks, besides recording. */
export interface Reactions {
  onHead?(exchange: RecordedExchange): void;
  onInterim?(status: number, exchange: RecordedExchange): void;
  /** @returns the return value of `onData`: false pauses */
  onData?(chunk: Buffer, exchange: RecordedExchange): boolean;
}

export class RecordedExchange implements UpstreamHandler {
  readonly call: UpstreamCall;
  /** Resolves at `onEnd` or `onFail`. */
  readonly result: Promise<Result>;
  /** Resolves when the final head has come. */
  readonly headed: Promise<void>;
  /** Callbacks in order, e.g. `interim head data data end`; runs of data count once. */
  readonly calls: string[] = [];
  /** Calls of the transport that the interface forbids; has to stay empty. */
  readonly broken: string[] = [];
  bodyBytes = 0;

  #status = 0;
  #statusText = "";
  #fields: readonly string[] = [];
  readonly #interims: { status: number; fields: readonly string[] }[] = [];
  readonly #body: Buffer[] = [];
  readonly #reactions: Reactions;
  #paused = false;
  #over = false;
  #settle!: (result: Result) => void;
  #seeHead!: () => void;
  #drains: (() => void)[] = [];

  constructor(transport: UpstreamTransport, request: Partial<UpstreamRequest>, reactions: Reactions = {}) {
    this.#reactions = reactions;
    this.result = new Promise((resolve) => (this.#settle = resolve));
    this.headed = new Promise((resolve) => (this.#seeHead = resolve));
    this.call = transport.send(
      {
        method: "GET",
        target: "/",
        fields: ["Host", "service.test"],
        body: "none",
        connectTimeoutMs: 5000,
        timeoutMs: 5000,
        ...request,
      },
      this,
    );
  }

  /** Writes a streamed body, waits whenever `write` demands it, and ends the body. */
  async stream(chunks: Iterable<Buffer | string>, trailers?: readonly string[]): Promise<void> {
    for (const chunk of chunks) {
      if (!this.call.write(typeof chunk === "string" ? Buffer.from(chunk, "latin1") : chunk)) {
        await this.drained();
      }
    }
    this.call.end(trailers);
  }

  /** Resolves at the next `onDrain`. */
  drained(): Promise<void> {
    return new Promise((resolve) => this.#drains.push(resolve));
  }

  resume(): void {
    this.#paused = false;
    this.call.resume();
  }

  abort(): void {
    this.#over = true;
    this.call.abort();
  }

  onInterim(status: number, fields: readonly string[]): void {
    this.#note("interim");
    if (this.calls.includes("head")) this.broken.push("interim after the head");
    this.#interims.push({ status, fields });
    this.#reactions.onInterim?.(status, this);
  }

  onHead(status: number, statusText: string, fields: readonly string[]): void {
    if (this.calls.includes("head")) this.broken.push("two heads");
    this.#note("head");
    this.#status = status;
    this.#statusText = statusText;
    this.#fields = fields;
    this.#seeHead();
    this.#reactions.onHead?.(this);
  }

  onData(chunk: Buffer): boolean {
    if (!this.calls.includes("head")) this.broken.push("data before the head");
    if (this.#paused) this.broken.push("data while paused");
    if (chunk.length === 0) this.broken.push("empty data");
    this.#note("data");
    this.bodyBytes += chunk.length;
    this.#body.push(chunk);
    this.#paused = this.#reactions.onData?.(chunk, this) === false;
    return !this.#paused;
  }

  onEnd(trailers: readonly string[]): void {
    if (!this.calls.includes("head")) this.broken.push("end before the head");
    this.#note("end");
    this.#finish(trailers, undefined);
  }

  onFail(error: GatewayError): void {
    this.#note("fail");
    this.#finish([], error);
  }

  onDrain(): void {
    if (this.#over) this.broken.push("drain after the end");
    const waiting = this.#drains;
    this.#drains = [];
    if (waiting.length === 0 && !this.calls.includes("drain")) this.calls.push("drain");
    for (const resolve of waiting) resolve();
  }

  #note(what: string): void {
    if (this.#over) this.broken.push(`${what} after the end`);
    if (this.calls.at(-1) !== what || what !== "data") this.calls.push(what);
  }

  #finish(trailers: readonly string[], error: GatewayError | undefined): void {
    this.#over = true;
    this.#settle({
      status: this.#status,
      statusText: this.#statusText,
      fields: this.#fields,
      interims: this.#interims,
      body: Buffer.concat(this.#body).toString("latin1"),
      trailers,
      error,
    });
  }
}
