// Runs one job at a time. Of the jobs that arrive meanwhile only the latest is kept. It waits a moment for the one at
// work, then aborts it.

/** How long the job at work may go on when a newer one waits. */
const firstPatienceMs = 1_000;
/** More than reading and set-up together may take. */
const maxPatienceMs = 120_000;

export interface LatestWorkOptions<Job> {
  /** Does the job. Must not reject. @param signal aborts when the outcome is no longer wanted */
  readonly run: (job: Job, signal: AbortSignal) => Promise<void>;
  /** Whether the newer job makes the outcome of the one at work worthless. */
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
  /** Doubles after each abort: even if jobs come faster than one can be done, one gets done. */
  #patienceMs: number;
  #pending: { readonly job: Job } | undefined;
  #atWork: AtWork<Job> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #working: Promise<void> | undefined;
  /** Settles once a job that has not begun yet, or a later one, is done. */
  #waiting: PromiseWithResolvers<void> | undefined;
  #stopped = false;

  constructor(options: LatestWorkOptions<Job>) {
    this.#options = options;
    this.#firstPatienceMs = options.patienceMs ?? firstPatienceMs;
    this.#patienceMs = this.#firstPatienceMs;
  }

  /** Resolves once this job, or a later one in its place, is done. Other jobs may be at work by then. */
  offer(job: Job): Promise<void> {
    this.#pending = { job };
    this.#watch();
    const done = this.#later();
    this.#working ??= this.#work();
    return done;
  }

  /** Aborts the job at work and drops the one that waits. */
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
      // An aborted job is followed by a later one: its callers wait for that.
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
