// Runs the worker processes of a sidecar: starts them, replaces those that exit, and keeps them on one policy.
import { textOf } from "../plugin-api/error-text.ts";
import type { DrainLimits } from "../server/drain.ts";
import { StartError } from "../config/start-error.ts";
import type { Counter, Gauge, Logger, Metrics } from "../plugin-api/telemetry.ts";
import { type MetricsSnapshot, defaultMaxSeries } from "../telemetry/metrics.ts";
import type { Output } from "../telemetry/output.ts";
import { version } from "../version.ts";
import { PolicyCoordinator } from "./policy-coordinator.ts";
import { poolState, type WorkerPoolState } from "./pool-state.ts";
import { SharedSocket } from "./shared-socket.ts";
import { AskedWorkers } from "./asked-workers.ts";
import { ExitedWorkerMetrics } from "./exited-worker-metrics.ts";
import type { SharedStateServer } from "./shared-state-server.ts";
import { drainWorkers } from "./drain-workers.ts";
import { WorkerTaps } from "./worker-taps.ts";
import { ToldWorkers } from "./told-workers.ts";
import { type Told, WorkerHandle } from "./worker-handle.ts";
import { type Addresses, stateEveryMs, type ToldToAll, type WorkerTrial } from "./messages.ts";
import { failuresInARow, restartDelayMs } from "./restart.ts";
import { TrialReports } from "./trial-reports.ts";
import { superviseWorkers } from "./watchdog.ts";

export interface WorkerPoolOptions {
  readonly count: number;
  readonly service: string;
  /** How long workers may take to drain. */
  readonly drain: DrainLimits;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Takes the workers' log lines. */
  readonly output: Output;
  readonly level: () => string;
  readonly sharedState: SharedStateServer;
}

const requestLimitMs = 1_000;
/** While others start, a killed worker is replaced; one that exits this often in a row cannot start. */
const startsTried = 3;

interface WorkerSlot {
  readonly number: number;
  worker: WorkerHandle | undefined;
  failures: number;
  timer: NodeJS.Timeout | undefined;
}

export class WorkerPool {
  readonly policy: PolicyCoordinator;
  readonly #options: WorkerPoolOptions;
  readonly #socket = new SharedSocket();
  readonly #slots: readonly WorkerSlot[];
  readonly #exited: ExitedWorkerMetrics;
  readonly #trials = new TrialReports();
  readonly #restarts: Counter;
  readonly #serving: Gauge;
  readonly #up = Promise.withResolvers<Addresses>();
  #ticking: NodeJS.Timeout | undefined;
  #isUp = false;
  #stopping = false;
  /** The state that all workers are told. */
  readonly told: ToldWorkers;
  /** Called at once when a worker reports that a candidate's answers go wrong. */
  onTrouble: (() => void) | undefined;

  constructor(options: WorkerPoolOptions) {
    this.#options = options;
    this.told = new ToldWorkers(options.count, () => this.#workers());
    this.policy = new PolicyCoordinator(() => this.#workers(), options.logger);
    this.#exited = new ExitedWorkerMetrics(options.service, defaultMaxSeries);
    this.#restarts = options.metrics.counter(
      "outrigger_worker_restarts_total",
      "Workers that ended unasked and were replaced",
    )();
    this.#serving = options.metrics.gauge("outrigger_workers", "Workers that serve")();
    this.#slots = Array.from({ length: options.count }, (_, i) => ({
      number: i + 1,
      worker: undefined,
      failures: 0,
      timer: undefined,
    }));
    // If `open` is never called, nothing handles the promise, and it must not become an unhandled rejection.
    this.#up.promise.catch(() => {});
  }

  /** Starts the workers; they do not listen yet. */
  start(): void {
    const { logger } = this.#options;
    this.#ticking = setInterval(() => superviseWorkers(this.#workers(), this.policy, logger), stateEveryMs);
    this.#ticking.unref();
    for (const slot of this.#slots) this.#fork(slot);
  }

  get draining(): boolean {
    return this.told.all.draining;
  }

  state(): WorkerPoolState {
    return poolState(this.#workers(), this.#isUp);
  }

  /** Lets the workers listen. Resolves with the addresses once all of them do; rejects if one cannot. */
  open(): Promise<Addresses> {
    this.policy.open();
    return this.#up.promise;
  }

  /** The running taps on exchanges. */
  readonly taps = new WorkerTaps((message) => this.told.broadcast(message));

  /** Makes all workers read their files again; starting ones do so anyway. */
  hangUp(): void {
    for (const worker of this.#workers()) if (worker.ready) worker.hangUp();
  }

  /** @param trial a candidate beside the policy in force; undefined = none */
  tryCandidate(trial: ToldToAll["trial"]): void {
    this.#trials.follow(trial?.wish.id);
    this.told.tryCandidate(trial);
  }

  /** The candidate's counts, summed over all workers. */
  trial(): WorkerTrial | undefined {
    return this.#trials.sum(this.#workers().flatMap(({ trial }) => trial ?? []));
  }

  /** The counts of all workers, including ended ones. */
  async metrics(): Promise<MetricsSnapshot[]> {
    await Promise.all(this.#workers().map((worker) => worker.requestMetrics(requestLimitMs)));
    this.#serving.set(this.state().serving);
    return [this.#exited.snapshot(), ...this.#workers().flatMap(({ metrics }) => metrics ?? [])];
  }

  /** For requests to the workers that run now. */
  get asked(): AskedWorkers {
    return new AskedWorkers(this.#workers());
  }

  /** Drains and ends all workers, and kills those that hang. */
  async stop(): Promise<void> {
    const { drain, logger } = this.#options;
    this.told.halt();
    await drainWorkers(this.#halt(), this.#socket, drain, logger);
  }

  /** Kills all workers at once; may be called in the process's `exit` handler. */
  kill(): void {
    for (const worker of this.#halt()) worker.kill();
  }

  /** Kills all workers and waits for their end, if the sidecar cannot start. */
  async abandon(): Promise<void> {
    const workers = this.#workers();
    this.kill();
    await Promise.all(workers.map(({ ended }) => ended));
  }

  #halt(): WorkerHandle[] {
    this.#stopping = true;
    clearInterval(this.#ticking);
    for (const slot of this.#slots) clearTimeout(slot.timer);
    this.policy.close();
    return this.#workers();
  }

  #workers(): WorkerHandle[] {
    return this.#slots.flatMap(({ worker }) => worker ?? []);
  }

  #fork(slot: WorkerSlot): void {
    const { count, output, logger } = this.#options;
    const end = (reason: string): void => this.#ended(slot, reason);
    try {
      // The resolved number: `auto` might resolve to 1 in the worker, which would then be a sidecar of its own.
      const env = { OUTRIGGER_WORKERS: String(count) };
      const worker: WorkerHandle = new WorkerHandle(slot.number, env, output, {
        onMessage: (message) => this.#onMessage(worker, message),
        onInvalidMessage(error) {
          logger.error({ number: slot.number, err: error }, "worker sent an invalid message; killing it");
          worker.kill();
        },
        onEnd: end,
        othersAccept: () => this.#workers().some((other) => other !== worker && other.accepting),
      });
      slot.worker = worker;
    } catch (error) {
      end(textOf(error));
    }
  }

  #ended(slot: WorkerSlot, reason: string): void {
    const { worker } = slot;
    slot.worker = undefined;
    try {
      this.#exited.add(worker?.metrics);
    } catch (error) {
      // The worker is replaced even if its counts cannot be added.
      this.#options.logger.error({ number: slot.number, err: error }, "what a worker counted is lost");
    }
    if (worker !== undefined) this.policy.onExit(worker);
    if (this.#stopping) return;
    this.#trials.workerEnded(worker?.trial);
    const { logger } = this.#options;
    const servedMs = performance.now() - (worker?.servingSinceMono ?? Infinity);
    slot.failures = failuresInARow(slot.failures, servedMs);
    if (!this.#isUp && slot.failures >= startsTried) {
      this.#up.reject(new StartError(`worker ${slot.number} ended while it started: ${reason}`));
      return;
    }
    const delayMs = restartDelayMs(slot.failures);
    this.#restarts.inc();
    logger.error(
      { number: slot.number, pid: worker?.pid, reason, restartInMs: delayMs },
      "worker exited; starting a replacement",
    );
    slot.timer = setTimeout(() => this.#fork(slot), delayMs);
  }

  #welcome(worker: WorkerHandle, workerVersion: string): void {
    const { number } = worker;
    const { logger, level } = this.#options;
    if (workerVersion !== version) {
      logger.error({ number, version: workerVersion }, "worker runs another version; killing it");
      worker.kill();
      return;
    }
    worker.send({ type: "welcome", number, level: level(), ...this.told.all });
  }

  #onMessage(worker: WorkerHandle, message: Told): void {
    switch (message.type) {
      case "hello":
        this.#welcome(worker, message.version);
        return;
      case "ready":
        worker.ready = true;
        this.taps.tell((told) => worker.send(told));
        this.policy.advance(worker);
        return;
      case "prepared":
        this.policy.onPrepared(worker, message.id, message.problems);
        return;
      case "inForce":
        worker.inForce = message.id;
        worker.behindTicks = 0;
        this.policy.advance(worker);
        return;
      case "serving":
        this.#onServing(worker, message.addresses);
        return;
      case "failed":
        this.#onFailed(worker, message.message);
        return;
      case "state":
        worker.inFlight = message.inFlight;
        worker.troubles = message.troubles;
        this.#onTrial(worker, message.trial);
        return;
      case "tapped":
        this.taps.event(message);
        return;
      case "request":
        worker.send({
          type: "response",
          id: message.id,
          ...this.#options.sharedState.handle(message.plugin, message.request),
        });
        return;
      case "closing":
        // The worker ends for its own reason: others take its connections.
        if (!this.#stopping) worker.send({ type: "closed" });
        return;
    }
  }

  #onTrial(worker: WorkerHandle, trial: WorkerHandle["trial"]): void {
    const isHeld = trial?.held === true && worker.trial?.held !== true;
    worker.trial = trial;
    if (isHeld) this.onTrouble?.();
  }

  #onServing(worker: WorkerHandle, addresses: Addresses): void {
    worker.serving = true;
    worker.servingSinceMono = performance.now();
    this.#options.logger.info({ number: worker.number, pid: worker.pid }, "worker is serving");
    if (this.#isUp || this.state().serving < this.#slots.length) return;
    this.#isUp = true;
    this.#up.resolve(addresses);
  }

  #onFailed(worker: WorkerHandle, reason: string): void {
    if (!this.#isUp) this.#up.reject(new StartError(reason));
    else this.#options.logger.error({ number: worker.number, reason }, "worker cannot serve");
  }
}
