// The workers of a sidecar, seen from their primary: started, kept alive, told what to do, and all on one policy.
import { textOf } from "../plugin-api/error-text.ts";
import type { AddressInfo } from "node:net";
import type { DrainLimits } from "../server/drain.ts";
import { StartError } from "../config/start-error.ts";
import type { Counter, Gauge, Logger, Metrics } from "../plugin-api/telemetry.ts";
import { type MetricsSnapshot, defaultMaxSeries } from "../telemetry/metrics.ts";
import type { Output } from "../telemetry/output.ts";
import { version } from "../version.ts";
import { CommonPolicy } from "./common-policy.ts";
import { CommonSocket } from "./common-socket.ts";
import { Departed } from "./departed.ts";
import type { Desk } from "./desk.ts";
import { drainMembers } from "./drain-members.ts";
import { Member } from "./member.ts";
import { stateEveryMs, type ToPrimary, type ToWorker } from "./messages.ts";
import { failuresInARow, restartDelayMs } from "./restart.ts";
import { lookAfter } from "./watchdog.ts";

export interface CrewOptions {
  readonly count: number;
  readonly service: string;
  /** How long workers may take to drain. */
  readonly drain: DrainLimits;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Where the workers' lines go. */
  readonly output: Output;
  readonly level: () => string;
  readonly desk: Desk;
}

/** What /readyz tells of the crew. */
export interface CrewState {
  /** Whether all of them have served at the same time. */
  readonly up: boolean;
  readonly serving: number;
  /** Serving, and without the policy in force for more than a moment. */
  readonly behind: number;
  readonly inFlight: number;
  /** What plugins say is wrong, by name. */
  readonly troubles: ReadonlyMap<string, string>;
}

const askLimitMs = 1_000;
/** A worker that is killed while others start is replaced; one that ends so often in a row cannot start. */
const startsTried = 3;

interface Slot {
  readonly number: number;
  member: Member | undefined;
  failures: number;
  timer: NodeJS.Timeout | undefined;
}

export class Crew {
  readonly policy: CommonPolicy;
  readonly #options: CrewOptions;
  readonly #socket = new CommonSocket();
  readonly #slots: readonly Slot[];
  readonly #departed: Departed;
  readonly #restarts: Counter;
  readonly #serving: Gauge;
  readonly #up = Promise.withResolvers<AddressInfo | string>();
  #ticking: NodeJS.Timeout | undefined;
  #isUp = false;
  #draining = false;
  #stopping = false;
  #fleetSize: number;

  constructor(options: CrewOptions) {
    this.#options = options;
    this.#fleetSize = options.count;
    this.policy = new CommonPolicy(() => this.#members(), options.logger);
    this.#departed = new Departed(options.service, defaultMaxSeries);
    this.#restarts = options.metrics.counter(
      "outrigger_worker_restarts_total",
      "Workers that ended unasked and were replaced",
    )();
    this.#serving = options.metrics.gauge("outrigger_workers", "Workers that serve")();
    this.#slots = Array.from({ length: options.count }, (_, i) => ({
      number: i + 1,
      member: undefined,
      failures: 0,
      timer: undefined,
    }));
    // Whoever is not waiting for it is not to hear of it as an unhandled rejection.
    this.#up.promise.catch(() => {});
  }

  /** Starts the workers; they do not listen yet. */
  start(): void {
    const { logger } = this.#options;
    this.#ticking = setInterval(() => lookAfter(this.#members(), this.policy, logger), stateEveryMs);
    this.#ticking.unref();
    for (const slot of this.#slots) this.#fork(slot);
  }

  get draining(): boolean {
    return this.#draining;
  }

  state(): CrewState {
    const serving = this.#members().filter((member) => member.serving);
    const troubles = serving.flatMap(({ number, troubles }) =>
      troubles.map(([name, trouble]) => [name, `worker ${number}: ${trouble}`] as const),
    );
    return {
      up: this.#isUp,
      serving: serving.length,
      behind: serving.filter(({ behindTicks }) => behindTicks > 1).length,
      inFlight: serving.reduce((sum, { inFlight }) => sum + inFlight, 0),
      troubles: new Map(troubles),
    };
  }

  /** Lets the workers listen. Resolves with the address once all of them do; rejects when one cannot. */
  open(): Promise<AddressInfo | string> {
    this.policy.open();
    return this.#up.promise;
  }

  broadcast(message: ToWorker): void {
    for (const member of this.#members()) member.send(message);
  }

  /** Those that start read their files anyway. */
  hangUp(): void {
    for (const member of this.#members()) if (member.ready) member.hangUp();
  }

  /** @param sidecars of the service that live */
  setFleet(sidecars: number): void {
    this.#fleetSize = sidecars * this.#options.count;
    this.broadcast({ type: "fleet", size: this.#fleetSize });
  }

  beginDrain(): void {
    this.#draining = true;
    this.broadcast({ type: "drain" });
  }

  /** What all workers have counted, those that ended included. */
  async metrics(): Promise<MetricsSnapshot[]> {
    await Promise.all(this.#members().map((member) => member.askMetrics(askLimitMs)));
    this.#serving.set(this.state().serving);
    return [this.#departed.snapshot(), ...this.#members().flatMap(({ metrics }) => metrics ?? [])];
  }

  /** A plugin's document by its path on the admin listener. */
  async document(path: string): Promise<string | undefined> {
    return await this.#members()
      .find((member) => member.serving)
      ?.askDocument(path, askLimitMs);
  }

  /** All workers drain and end; what hangs is killed. */
  async stop(): Promise<void> {
    const { drain, logger } = this.#options;
    this.#draining = true;
    await drainMembers(this.#halt(), this.#socket, drain, logger);
  }

  /** Ends all workers at once; in the last breath, too. */
  kill(): void {
    for (const member of this.#halt()) member.kill();
  }

  /** The same, and waits for their end: the sidecar cannot start. */
  async abandon(): Promise<void> {
    const members = this.#members();
    this.kill();
    await Promise.all(members.map(({ ended }) => ended));
  }

  #halt(): Member[] {
    this.#stopping = true;
    clearInterval(this.#ticking);
    for (const slot of this.#slots) clearTimeout(slot.timer);
    this.policy.close();
    return this.#members();
  }

  #members(): Member[] {
    return this.#slots.flatMap(({ member }) => member ?? []);
  }

  #fork(slot: Slot): void {
    const { count, output, logger } = this.#options;
    const end = (reason: string): void => this.#ended(slot, reason);
    try {
      // The number of workers in so many words: `auto` might have become 1, and the worker a sidecar of its own.
      const env = { OUTRIGGER_WORKERS: String(count) };
      const member: Member = new Member(slot.number, env, output, {
        onMessage: (message) => this.#heard(member, message),
        onNonsense(error) {
          logger.error({ number: slot.number, err: error }, "a worker sent an invalid message and is killed");
          member.kill();
        },
        onEnd: end,
        othersTake: () => this.#members().some((other) => other !== member && other.taking),
      });
      slot.member = member;
    } catch (error) {
      end(textOf(error));
    }
  }

  #ended(slot: Slot, reason: string): void {
    const { member } = slot;
    slot.member = undefined;
    this.#departed.add(member?.metrics);
    if (member !== undefined) this.policy.lost(member);
    if (this.#stopping) return;
    const { logger } = this.#options;
    const servedMs = performance.now() - (member?.servingSinceMono ?? Infinity);
    slot.failures = failuresInARow(slot.failures, servedMs);
    if (!this.#isUp && slot.failures >= startsTried) {
      this.#up.reject(new StartError(`worker ${slot.number} ended while it started: ${reason}`));
      return;
    }
    const delayMs = restartDelayMs(slot.failures);
    this.#restarts.inc();
    logger.error(
      { number: slot.number, pid: member?.pid, reason, restartInMs: delayMs },
      "a worker ended; another takes its place",
    );
    slot.timer = setTimeout(() => this.#fork(slot), delayMs);
  }

  #heard(member: Member, message: ToPrimary): void {
    const { logger, level, desk } = this.#options;
    switch (message.type) {
      case "hello":
        if (message.version !== version) {
          logger.error({ number: member.number, version: message.version }, "a worker is of another version");
          member.kill();
          return;
        }
        member.send({
          type: "welcome",
          number: member.number,
          level: level(),
          fleetSize: this.#fleetSize,
          draining: this.#draining,
        });
        return;
      case "ready":
        member.ready = true;
        this.policy.advance(member);
        return;
      case "prepared":
        this.policy.heard(member, message.id, message.problems);
        return;
      case "inForce":
        member.inForce = message.id;
        member.behindTicks = 0;
        this.policy.advance(member);
        return;
      case "serving":
        member.serving = true;
        member.servingSinceMono = performance.now();
        logger.info({ number: member.number, pid: member.pid }, "a worker serves");
        this.#checkUp(message.address);
        return;
      case "failed":
        if (!this.#isUp) this.#up.reject(new StartError(message.message));
        else logger.error({ number: member.number, reason: message.message }, "a worker cannot serve");
        return;
      case "state":
        member.inFlight = message.inFlight;
        member.troubles = message.troubles;
        return;
      case "question":
        member.send({ type: "answer", id: message.id, ...desk.answer(message.plugin, message.question) });
        return;
      case "closing":
        // It ends for a reason of its own: others take what comes.
        if (!this.#stopping) member.send({ type: "closed" });
        return;
      case "metrics":
      case "document":
        return;
    }
  }

  #checkUp(address: AddressInfo | string): void {
    if (this.#isUp || this.state().serving < this.#slots.length) return;
    this.#isUp = true;
    this.#up.resolve(address);
  }
}
