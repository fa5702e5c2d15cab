// Queues requests for a candidate. They run one after the other, when there is time, and never delay a request of a
// client.
import { performance } from "node:perf_hooks";

/** Share of time in which the event loop may be busy. */
const busyShare = 0.8;
const looksEveryMs = 100;
export const maxWaiting = 100;

/** @returns how busy this thread was since the last call, from 0 to 1 */
export type Utilization = () => number;

function loopUtilization(): Utilization {
  let before = performance.eventLoopUtilization();
  return () => {
    const now = performance.eventLoopUtilization();
    const share = performance.eventLoopUtilization(now, before).utilization;
    before = now;
    return share;
  };
}

export class ShadowQueue<Work> {
  readonly #run: (work: Work) => Promise<void>;
  readonly #utilization: Utilization;
  readonly #waiting: Work[] = [];
  #working = false;
  #closed = false;
  #isBusy = false;
  #lookedMono = -Infinity;

  /** @param run must not reject */
  constructor(run: (work: Work) => Promise<void>, utilization: Utilization = loopUtilization()) {
    this.#run = run;
    this.#utilization = utilization;
  }

  /** Whether the thread has no time beside the traffic; measured every 100 ms. */
  get busy(): boolean {
    const nowMono = performance.now();
    if (nowMono - this.#lookedMono >= looksEveryMs) {
      this.#lookedMono = nowMono;
      this.#isBusy = this.#utilization() > busyShare;
    }
    return this.#isBusy;
  }

  /** @returns false = the queue is full or closed, or there is no time */
  take(work: Work): boolean {
    if (this.#closed || this.#waiting.length >= maxWaiting || this.busy) return false;
    this.#waiting.push(work);
    if (!this.#working) {
      this.#working = true;
      setImmediate(() => void this.#next());
    }
    return true;
  }

  close(): void {
    this.#closed = true;
    this.#waiting.length = 0;
  }

  /** Runs one request per turn of the event loop. */
  async #next(): Promise<void> {
    const work = this.#waiting.shift();
    if (work !== undefined) await this.#run(work);
    if (this.#waiting.length === 0) this.#working = false;
    else setImmediate(() => void this.#next());
  }
}
