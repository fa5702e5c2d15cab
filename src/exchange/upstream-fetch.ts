// Sends a request of the sidecar itself to an upstream (for example a plugin's background refresh). It offers a promise
// and an async iterable over the transport's push interface. At most a few chunks wait in memory.
import { type Exchange, GatewayError, type UpstreamAnswer } from "../plugin-api/contract.ts";
import type { ServedRoute } from "../routing/routed-policy.ts";
import type { UpstreamCall, UpstreamHandler, UpstreamRequest } from "../upstream/transport.ts";

/** Rejects with GatewayError; after the head, the body's iterator throws it. */
export function fetchUpstream(
  route: ServedRoute,
  { method, path, query, fields, signal }: Parameters<Exchange["fetchUpstream"]>[0],
  connectTimeoutMs: number,
): Promise<UpstreamAnswer> {
  const { transport, timeoutMs } = route;
  const target = route.wirePath(route.strippedPath(path)) + query;
  const request: UpstreamRequest = {
    method,
    target,
    fields: fields.toFlat(),
    body: "none",
    connectTimeoutMs,
    timeoutMs,
  };
  return new Promise((resolve, reject) => {
    const body = new BodyQueue(signal, timeoutMs);
    const handler: UpstreamHandler = {
      onInterim: () => {},
      onHead: (status, _text, flat) => {
        resolve({
          status,
          fields: route.received(flat, { request: { host: fields.get("host") ?? "" } }),
          body,
        });
      },
      onData: (chunk) => body.push(chunk),
      onEnd: () => body.finish(undefined),
      onFail: (error) => {
        body.finish(error);
        reject(error);
      },
      onDrain: () => {},
    };
    if (signal?.aborted === true) {
      reject(new GatewayError("upstream_unavailable", "The request was given up."));
      return;
    }
    body.begin(transport.send(request, handler), reject);
  });
}

class BodyQueue implements AsyncIterable<Buffer> {
  readonly #chunks: Buffer[] = [];
  readonly #signal: AbortSignal | undefined;
  readonly #limitMs: number;
  // Runs while a chunk waits: a caller that forgets the body must not hold an upstream connection without end.
  #forgotten: NodeJS.Timeout | undefined = undefined;
  #call: UpstreamCall | undefined = undefined;
  #ended = false;
  #error: GatewayError | undefined = undefined;
  #wake: (() => void) | undefined = undefined;
  #onAborted: ((error: GatewayError) => void) | undefined = undefined;

  constructor(signal: AbortSignal | undefined, limitMs: number) {
    this.#signal = signal;
    this.#limitMs = limitMs;
  }

  begin(call: UpstreamCall, onAborted: (error: GatewayError) => void): void {
    this.#call = call;
    this.#onAborted = onAborted;
    if (!this.#ended) this.#signal?.addEventListener("abort", this.destroy, { once: true });
  }

  push(chunk: Buffer): boolean {
    this.#chunks.push(chunk);
    clearTimeout(this.#forgotten);
    this.#forgotten = setTimeout(this.destroy, this.#limitMs);
    this.#wake?.();
    return false;
  }

  finish(error: GatewayError | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#forgotten);
    this.#error = error;
    this.#signal?.removeEventListener("abort", this.destroy);
    this.#wake?.();
  }

  readonly destroy = (): void => {
    if (this.#ended) return;
    this.#call?.abort();
    const error = new GatewayError("upstream_unavailable", "The request was given up.");
    this.finish(error);
    this.#onAborted?.(error);
  };

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    try {
      while (true) {
        const chunk = this.#chunks.shift();
        if (chunk !== undefined) yield chunk;
        else if (this.#error !== undefined) throw this.#error;
        else if (this.#ended) return;
        else await this.#more();
      }
    } finally {
      this.destroy();
    }
  }

  #more(): Promise<void> {
    clearTimeout(this.#forgotten);
    return new Promise((resolve) => {
      this.#wake = resolve;
      this.#call?.resume();
    });
  }
}
