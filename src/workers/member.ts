// One worker process as its primary sees it: what it was told, what it said, and how it ends.
import cluster, { type Worker } from "node:cluster";
import type { MetricsSnapshot } from "../telemetry/metrics.ts";
import type { Output } from "../telemetry/output.ts";
import { relayLines } from "./log-relay.ts";
import { parseToPrimary, type ToPrimary, type ToWorker } from "./messages.ts";
import { Transit } from "./transit.ts";

export interface MemberEvents {
  onMessage(message: ToPrimary): void;
  /** It said what no worker says. */
  onNonsense(error: unknown): void;
  /** Called once; `reason` for people. */
  onEnd(reason: string): void;
  /** Whether another worker takes connections. */
  othersTake(): boolean;
}

export class Member {
  /** From 1; whoever takes its place has the same. */
  readonly number: number;
  /** Takes policies. */
  ready = false;
  /** Was told to listen. */
  called = false;
  serving = false;
  servingSinceMono = Infinity;
  /** The policy it was last asked to set up, the one it has set up, and the one it has in force; 0 = none. */
  asked = 0;
  prepared = 0;
  inForce = 0;
  /** Seconds since it last said anything, and for which it has not had the policy in force. */
  silentTicks = 0;
  behindTicks = 0;
  inFlight = 0;
  troubles: readonly (readonly [string, string])[] = [];
  /** What it had counted when last asked. */
  metrics: MetricsSnapshot | undefined;
  readonly transit: Transit;
  readonly ended: Promise<void>;
  readonly #closing = Promise.withResolvers<void>();
  readonly #worker: Worker;
  readonly #asked = new Map<number, (answer: ToPrimary | undefined) => void>();
  #lastAsk = 0;
  #asking: Promise<void> | undefined;

  /**
   * Starts the process; its lines go to `output`.
   * @throws Error when the system has none to give
   */
  constructor(number: number, env: Record<string, string>, output: Output, events: MemberEvents) {
    this.number = number;
    this.#worker = cluster.fork(env);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ended = promise;
    const { process } = this.#worker;
    const end = (reason: string): void => {
      for (const answer of this.#asked.values()) answer(undefined);
      events.onEnd(reason);
    };
    this.transit = new Transit(this.#worker, () => events.othersTake());
    // When its lines are through, too.
    process.once("close", () => resolve());
    this.#worker.once("exit", (code, signal) => end(signal ? `signal ${signal}` : `exit code ${code}`));
    this.#worker.on("error", (error: Error) => {
      if (process.pid !== undefined) return;
      // It was never born, so it will not exit.
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
        events.onNonsense(error);
        return;
      }
      if (parsed.type === "metrics") this.metrics = parsed.snapshot;
      if (parsed.type === "metrics" || parsed.type === "document") this.#asked.get(parsed.id)?.(parsed);
      else events.onMessage(parsed);
      if (parsed.type === "closing") this.#closing.resolve();
    });
  }

  get pid(): number | undefined {
    return this.#worker.process.pid;
  }

  /** Resolves when it has no need of the common socket any more. */
  get closing(): Promise<void> {
    return this.#closing.promise;
  }

  /** Takes connections. */
  get taking(): boolean {
    return this.serving && this.#worker.isConnected();
  }

  /** One that cannot be told any more is about to end. */
  send(message: ToWorker): void {
    if (this.#worker.isConnected()) this.#worker.send(message, () => {});
  }

  /** Has it read its files again. */
  hangUp(): void {
    this.#worker.process.kill("SIGHUP");
  }

  kill(): void {
    this.#worker.process.kill("SIGKILL");
  }

  /** Brings `metrics` up to date, or gives up after `limitMs`; one question at a time. */
  async askMetrics(limitMs: number): Promise<void> {
    this.#asking ??= this.#ask((id) => ({ type: "metrics?", id }), limitMs).then(() => {
      this.#asking = undefined;
    });
    await this.#asking;
  }

  /** @returns a plugin's document; undefined when there is none, or no answer in time */
  async askDocument(path: string, limitMs: number): Promise<string | undefined> {
    const answer = await this.#ask((id) => ({ type: "document?", id, path }), limitMs);
    return answer?.type === "document" ? answer.body : undefined;
  }

  async #ask(question: (id: number) => ToWorker, limitMs: number): Promise<ToPrimary | undefined> {
    const id = ++this.#lastAsk;
    const { promise, resolve } = Promise.withResolvers<ToPrimary | undefined>();
    this.#asked.set(id, resolve);
    const limit = setTimeout(() => resolve(undefined), limitMs);
    this.send(question(id));
    const answer = await promise;
    clearTimeout(limit);
    this.#asked.delete(id);
    return answer;
  }
}
