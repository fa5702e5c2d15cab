// Requests that wait to go through a candidate, one after the other, when there is time: never in the way of one that a
// client waits for.
import { performance } from "node:perf_hooks";

/** Of the event loop. */
const busyShare = 0.8;
const looksEveryMs = 100;
export const maxWaiting = 100;

/** How busy this thread was since the last look. */
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

  /** @param run never rejects */
  constructor(run: (work: Work) => Promise<void>, utilization: Utilization = loopUtilization()) {
    this.#run = run;
    this.#utilization = utilization;
  }

  /** Whether the thread has no time for more than it serves; looked at now and then. */
  get busy(): boolean {
    const nowMono = performance.now();
    if (nowMono - this.#lookedMono >= looksEveryMs) {
      this.#lookedMono = nowMono;
      this.#isBusy = this.#utilization() > busyShare;
    }
    return this.#isBusy;
  }

  /** @returns false = there is no place, or no time */
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

  /** One a turn of the event loop. */
  async #next(): Promise<void> {
    const work = this.#waiting.shift();
    if (work !== undefined) await this.#run(work);
    if (this.#waiting.length === 0) this.#working = false;
    else setImmediate(() => void this.#next());
  }
}
