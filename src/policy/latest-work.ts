// One piece of work at a time, and of those that come meanwhile only the latest: it waits for the one at work for a
// moment, then breaks it off.

/** How long the one at work is left alone when a newer one waits. */
const firstPatienceMs = 1_000;
/** More than reading and set-up may take at all. */
const maxPatienceMs = 120_000;

export interface LatestWorkOptions<Job> {
  /** Must not reject. @param signal aborts when nobody waits for the outcome any more */
  readonly run: (job: Job, signal: AbortSignal) => Promise<void>;
  /** Whether the one at work is not worth its end once this newer one is there. */
  readonly overtakes: (newer: Job, atWork: Job) => boolean;
  readonly patienceMs?: number;
}

interface AtWork<Job> {
  readonly job: Job;
  readonly sinceMono: number;
  readonly abort: AbortController;
}

export class LatestWork<Job> {
  readonly #options: LatestWorkOptions<Job>;
  readonly #firstPatienceMs: number;
  /** Twice as long after each that was broken off: when they come faster than one can be done, one is done all the same. */
  #patienceMs: number;
  #pending: { readonly job: Job } | undefined;
  #atWork: AtWork<Job> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #working: Promise<void> | undefined;
  /** Of those whose work, or a later one's, is still to be begun. */
  #waiting: PromiseWithResolvers<void> | undefined;
  #stopped = false;

  constructor(options: LatestWorkOptions<Job>) {
    this.#options = options;
    this.#firstPatienceMs = options.patienceMs ?? firstPatienceMs;
    this.#patienceMs = this.#firstPatienceMs;
  }

  /** @returns once it, or a later one in its place, was carried to its end; others may be at work then */
  offer(job: Job): Promise<void> {
    this.#pending = { job };
    this.#watch();
    const done = this.#later();
    this.#working ??= this.#work();
    return done;
  }

  /** Breaks off what is at work; what waits is not begun. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#atWork?.abort.abort();
    await this.#working;
  }

  async #work(): Promise<void> {
    for (;;) {
      const pending = this.#pending;
      this.#pending = undefined;
      if (pending === undefined || this.#stopped) break;
      const waiting = this.#waiting;
      this.#waiting = undefined;
      const abort = new AbortController();
      this.#atWork = { job: pending.job, sinceMono: performance.now(), abort };
      await this.#options.run(pending.job, abort.signal);
      this.#atWork = undefined;
      clearTimeout(this.#timer);
      this.#patienceMs = abort.signal.aborted
        ? Math.min(2 * this.#patienceMs, maxPatienceMs)
        : this.#firstPatienceMs;
      // Broken off, it was for nothing: there is a later one.
      if (abort.signal.aborted) void this.#later().then(waiting?.resolve);
      else waiting?.resolve();
    }
    this.#waiting?.resolve();
    this.#waiting = undefined;
    this.#working = undefined;
  }

  #later(): Promise<void> {
    return (this.#waiting ??= Promise.withResolvers<void>()).promise;
  }

  #watch(): void {
    clearTimeout(this.#timer);
    const [atWork, pending] = [this.#atWork, this.#pending];
    if (atWork === undefined || pending === undefined || this.#stopped) return;
    if (!this.#options.overtakes(pending.job, atWork.job)) return;
    const leftMs = this.#patienceMs - (performance.now() - atWork.sinceMono);
    this.#timer = setTimeout(() => atWork.abort.abort(), Math.max(0, leftMs));
  }
}
