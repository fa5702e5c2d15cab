// Runs taps on the exchanges of all workers.
import type { OnTapEvent } from "../telemetry/requests/tap-hub.ts";
import type { TapRequest } from "../telemetry/requests/tap-request.ts";
import type { ToPrimary, ToWorker } from "./messages.ts";

interface Running {
  readonly request: TapRequest;
  readonly endsMono: number;
  readonly onEvent: OnTapEvent;
}

const maxTaps = 16;

export class WorkerTaps {
  readonly #broadcast: (message: ToWorker) => void;
  readonly #running = new Map<number, Running>();
  #lastId = 0;

  constructor(broadcast: (message: ToWorker) => void) {
    this.#broadcast = broadcast;
  }

  /** @returns a function that ends the tap. @throws Error if there are too many */
  start(request: TapRequest, onEvent: OnTapEvent): () => void {
    if (this.#running.size >= maxTaps) throw new Error(`${maxTaps} look on already.`);
    const id = ++this.#lastId;
    this.#running.set(id, { request, onEvent, endsMono: performance.now() + request.forMs });
    this.#broadcast({ type: "tap", id, request });
    return () => {
      this.#running.delete(id);
      this.#broadcast({ type: "untap", id });
    };
  }

  /** Tells a worker that has just started of the running taps. */
  tell(send: (message: ToWorker) => void): void {
    for (const [id, { request, endsMono }] of this.#running) {
      const forMs = Math.max(1, Math.floor(endsMono - performance.now()));
      send({ type: "tap", id, request: { ...request, forMs } });
    }
  }

  event({ id, event, dropped }: Extract<ToPrimary, { type: "tapped" }>): void {
    this.#running.get(id)?.onEvent(event, dropped);
  }
}
