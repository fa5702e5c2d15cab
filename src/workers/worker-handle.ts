// The primary's view of one worker process: its state, the messages in both directions, and its exit.
import cluster, { type Worker } from "node:cluster";
import type { MetricsSnapshot } from "../telemetry/metrics.ts";
import type { Output } from "../telemetry/output.ts";
import { relayLines } from "./log-relay.ts";
import { parseToPrimary, type ToPrimary, type ToWorker, type WorkerTrial } from "./messages.ts";
import { Transit } from "./transit.ts";

export interface WorkerHandleEvents {
  onMessage(message: Told): void;
  /** The worker sent a message of unknown form. */
  onInvalidMessage(error: unknown): void;
  /** Called once; `reason` is for the log. */
  onEnd(reason: string): void;
  /** Returns whether another worker takes connections. */
  othersAccept(): boolean;
}

/** Messages that answer a request of the primary. */
type Response = Extract<ToPrimary, { type: "metrics" | "document" | "plugins" | "requests" }>;

/** Messages that the worker sends unasked. */
export type Told = Exclude<ToPrimary, Response>;

const isResponse = (message: ToPrimary): message is Response =>
  /^(?:metrics|document|plugins|requests)$/.test(message.type);

export class WorkerHandle {
  /** From 1; a replacement worker gets the same number. */
  readonly number: number;
  /** The worker takes policies. */
  ready = false;
  /** The worker was told to listen. */
  toldToServe = false;
  serving = false;
  servingSinceMono = Infinity;
  /** Ids of the policy it was last asked to set up, the one it has set up, and the one it has in force; 0 = none. */
  preparing = 0;
  prepared = 0;
  inForce = 0;
  /** Seconds since its last message, and seconds without the policy in force. */
  silentTicks = 0;
  behindTicks = 0;
  inFlight = 0;
  troubles: readonly (readonly [string, string])[] = [];
  /** The counts of the candidate that it tries. */
  trial: WorkerTrial | undefined;
  /** The snapshot of the last request. */
  metrics: MetricsSnapshot | undefined;
  readonly transit: Transit;
  readonly ended: Promise<void>;
  readonly #closing = Promise.withResolvers<void>();
  readonly #worker: Worker;
  readonly #pending = new Map<number, (response: ToPrimary | undefined) => void>();
  #lastId = 0;
  #metricsRequest: Promise<void> | undefined;

  /**
   * Starts the process; its log lines go to `output`.
   * @throws Error if the system cannot start a process
   */
  constructor(number: number, env: Record<string, string>, output: Output, events: WorkerHandleEvents) {
    this.number = number;
    this.#worker = cluster.fork(env);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ended = promise;
    const { process } = this.#worker;
    const end = (reason: string): void => {
      for (const settle of this.#pending.values()) settle(undefined);
      events.onEnd(reason);
    };
    this.transit = new Transit(this.#worker, () => events.othersAccept());
    // After its last log lines were relayed, too.
    process.once("close", () => resolve());
    this.#worker.once("exit", (code, signal) => end(signal ? `signal ${signal}` : `exit code ${code}`));
    this.#worker.on("error", (error: Error) => {
      if (process.pid !== undefined) return;
      // The process was never created, so it will not exit.
      resolve();
      end(error.message);
    });
    if (process.stdout !== null) relayLines(process.stdout, output);
    this.#worker.on("message", (message: unknown) => {
      this.silentTicks = 0;
      let parsed: ToPrimary;
      try {
        parsed = parseToPrimary(message);
      } catch (error) {
        events.onInvalidMessage(error);
        return;
      }
      if (parsed.type === "metrics") this.metrics = parsed.snapshot;
      if (isResponse(parsed)) this.#pending.get(parsed.id)?.(parsed);
      else events.onMessage(parsed);
      if (parsed.type === "closing") this.#closing.resolve();
    });
  }

  get pid(): number | undefined {
    return this.#worker.process.pid;
  }

  /** Resolves when the worker no longer needs the shared socket. */
  get closing(): Promise<void> {
    return this.#closing.promise;
  }

  /** Whether the worker takes connections. */
  get accepting(): boolean {
    return this.serving && this.#worker.isConnected();
  }

  /** A disconnected worker is about to exit and gets no message. */
  send(message: ToWorker): void {
    if (this.#worker.isConnected()) this.#worker.send(message, () => {});
  }

  /** Makes the worker read its files again. */
  hangUp(): void {
    this.#worker.process.kill("SIGHUP");
  }

  kill(): void {
    this.#worker.process.kill("SIGKILL");
  }

  /** Refreshes `metrics`, or gives up after `limitMs`. Only one request runs at a time. */
  async requestMetrics(limitMs: number): Promise<void> {
    this.#metricsRequest ??= this.#request((id) => ({ type: "metrics?", id }), limitMs).then(() => {
      this.#metricsRequest = undefined;
    });
    await this.#metricsRequest;
  }

  /** @returns a plugin's document; undefined if there is none, or no response in time */
  async requestDocument(path: string, limitMs: number): Promise<string | undefined> {
    const response = await this.#request((id) => ({ type: "document?", id, path }), limitMs);
    return response?.type === "document" ? response.body : undefined;
  }

  /** @returns the state of its plugins; empty without a response in time */
  async requestPlugins(limitMs: number): Promise<readonly unknown[]> {
    const response = await this.#request((id) => ({ type: "plugins?", id }), limitMs);
    return response?.type === "plugins" ? response.reports : [];
  }

  /** @returns what it knows of requests with this id; empty without a response in time */
  async requestRequests(requestId: string, limitMs: number): Promise<readonly unknown[]> {
    const response = await this.#request((id) => ({ type: "requests?", id, requestId }), limitMs);
    return response?.type === "requests" ? response.found : [];
  }

  async #request(message: (id: number) => ToWorker, limitMs: number): Promise<ToPrimary | undefined> {
    const id = ++this.#lastId;
    const { promise, resolve } = Promise.withResolvers<ToPrimary | undefined>();
    this.#pending.set(id, resolve);
    const limit = setTimeout(() => resolve(undefined), limitMs);
    this.send(message(id));
    const response = await promise;
    clearTimeout(limit);
    this.#pending.delete(id);
    return response;
  }
}
