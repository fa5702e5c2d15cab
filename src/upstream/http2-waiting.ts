// The calls that wait for a place on an HTTP/2 connection, oldest first, each for its own time at most.
import type { GatewayError } from "../plugin-api/errors.ts";
import { ClientCounts } from "./client-counts.ts";
import { connectTimeout } from "./connector.ts";
import type { Http2Call } from "./http2-call.ts";

export class Http2Waiting implements Iterable<Http2Call> {
  readonly #limits = new Map<Http2Call, NodeJS.Timeout>();
  readonly #byClient = new ClientCounts();
  readonly #most: number;
  readonly #mostOfOne: number;

  /** @param share what one client may have of it, 0 to 1 */
  constructor(most: number, share: number) {
    this.#most = most;
    this.#mostOfOne = Math.ceil(most * share);
  }

  get size(): number {
    return this.#limits.size;
  }

  /** Whether there is no room for one more call of that client. */
  isFullFor(call: Http2Call): boolean {
    return this.size >= this.#most || this.#byClient.of(call) >= this.#mostOfOne;
  }

  /** The call fails when it has waited for its `connectTimeoutMs`. */
  add(call: Http2Call): void {
    this.#byClient.add(call, 1);
    const limit = setTimeout(() => {
      this.remove(call);
      call.fail(connectTimeout());
    }, call.request.connectTimeoutMs);
    this.#limits.set(call, limit);
  }

  /** Does nothing if the call does not wait. */
  remove(call: Http2Call): void {
    const limit = this.#limits.get(call);
    if (limit === undefined) return;
    clearTimeout(limit);
    this.#limits.delete(call);
    this.#byClient.add(call, -1);
  }

  /** Fails the calls for which `isIts` is true. One that is sent again meanwhile waits anew. */
  fail(error: GatewayError, isIts: (call: Http2Call) => boolean): void {
    for (const call of [...this].filter(isIts)) {
      this.remove(call);
      call.fail(error);
    }
  }

  [Symbol.iterator](): Iterator<Http2Call> {
    return this.#limits.keys();
  }
}
