// Follows the canary of this sidecar. The control plane follows its order and the data plane tries the candidate; the
// log, a metric, /policy and the heartbeat show it.
import { setTimeout as wait } from "node:timers/promises";
import { type ShownFigures, shownFigures } from "../canary/figures.ts";
import type { CanaryOrder } from "../canary/order.ts";
import type { ShadowCounted } from "../canary/shadow-reports.ts";
import { type CanaryPart, CanaryWatch } from "../canary/watch.ts";
import { Canaries } from "../plane/canary.ts";
import { isForbidden, PolicyHistory } from "../plane/history.ts";
import { textOf } from "../plugin-api/error-text.ts";
import type { BesidePolicy } from "../policy/beside.ts";
import type { PolicyController } from "../policy/controller.ts";
import { problemsOf, problemText } from "../policy/document/problems.ts";
import { ShadowCounts } from "../shadow/report.ts";
import type { TrialReport, TrialWish } from "./policy-trial.ts";
import type { ProcessContext } from "./process-context.ts";

/** The canary as `/policy` and the heartbeat show it. */
export interface ShownCanary {
  readonly id: string;
  /** Revision that the candidate gets when it passes. */
  readonly revision: number;
  readonly author: string;
  readonly state: CanaryPart["state"];
  readonly step: number;
  /** Share of this sidecar's callers that get the candidate. */
  readonly percent: number;
  readonly candidate: ShownFigures;
  readonly baseline: ShownFigures;
  /**
   * Only for a shadow run: whether the candidate is set up, how many requests also went through it, and how many of
   * them it would have decided differently.
   */
  readonly shadow?:
    | { readonly ready: boolean; readonly compared: number; readonly differ: number }
    | undefined;
}

export interface CanaryFollower {
  shown(): ShownCanary | null;
  start(): void;
  /** Call it when another policy has come into force. */
  changed(): void;
  stop(): Promise<void>;
}

interface Parts {
  readonly controller: Pick<PolicyController, "status" | "beside">;
  readonly data: {
    tryCandidate(wish: TrialWish | undefined, candidate?: BesidePolicy): void;
    trial(): TrialReport | undefined;
    whenInTrouble(listener: () => void): void;
  };
  /** Makes the heartbeat report at once. */
  readonly tell: () => void;
}

/**
 * Random delay before writing a promotion: the first sidecar of the fleet writes it, and the others find it written.
 */
const spreadMs = 500;
const settleTries = 20;
const betweenTriesMs = 2_000;

/** @returns undefined without Redis */
export function followCanary(context: ProcessContext, parts: Parts): CanaryFollower | undefined {
  return context.store === undefined ? undefined : new Follower(context, context.store, parts);
}

class Follower implements CanaryFollower {
  readonly #context: ProcessContext;
  readonly #parts: Parts;
  readonly #watch: CanaryWatch;
  readonly #canaries: Canaries;
  readonly #tell: (part: CanaryPart | undefined) => void;
  readonly #stopped = new AbortController();
  #refused: { readonly id: string; readonly why: string } | undefined;
  #version = 0;
  /** The candidate, read together with the documents in force. */
  #read: { readonly id: string; readonly under: string | null; readonly candidate: BesidePolicy } | undefined;
  #settling: Promise<void> | undefined;

  constructor(context: ProcessContext, store: NonNullable<ProcessContext["store"]>, parts: Parts) {
    const { service, instance, keyPrefix, policyMaxBytes } = context.config;
    const { logger } = context.telemetry;
    this.#context = context;
    this.#parts = parts;
    this.#tell = teller(context);
    this.#canaries = new Canaries(store, new PolicyHistory(store, keyPrefix), keyPrefix, policyMaxBytes);
    this.#watch = new CanaryWatch({
      store,
      keyPrefix,
      service,
      instance,
      maxBytes: policyMaxBytes,
      documents: () => parts.controller.status().documents,
      counted: (id) => this.#counted(id),
      shadowed: (id) => this.#shadowed(id),
      onPart: (part) => this.#take(part),
      onJudged: (part) => void this.#try(part),
      onEnd: ({ id, revision }, state, why) =>
        logger.warn({ id, revision, state, why }, "the canary is over"),
      onRefused: (code) =>
        logger.error(
          { code },
          code === "WRONGTYPE"
            ? `${keyPrefix}canary or what is beside it in Redis is of another type, or ${keyPrefix}shadow:REVISION, so that this sidecar takes no part in any canary, or tells nothing of a shadow (outrigger policy history names the key)`
            : "Redis refuses what a canary needs, so that this sidecar takes no part in any, or tells nothing of a shadow (outrigger redis-acl prints the rights)",
        ),
    });
  }

  shown(): ShownCanary | null {
    const { part } = this.#watch;
    if (part === undefined) return null;
    const { order, state, step, percent } = part;
    const counted = this.#parts.data.trial();
    const candidate = shownFigures(counted?.candidate ?? []);
    const baseline = shownFigures(counted?.baseline ?? []);
    const { id, revision, author } = order;
    const { compared = 0, same = 0 } = counted?.shadow ?? {};
    const ready = counted?.shadow !== undefined;
    const shadow = order.by === "shadow" ? { ready, compared, differ: compared - same } : undefined;
    return { id, revision, author, state, step, percent, candidate, baseline, shadow };
  }

  start(): void {
    this.#parts.data.whenInTrouble(() => this.#watch.trigger());
    this.#watch.start();
  }

  changed(): void {
    // The documents beside the candidate's may have changed.
    if (this.#watch.part?.document !== undefined) this.#take(this.#watch.part);
    this.#watch.trigger();
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#watch.stop();
    await this.#settling;
  }

  #counted(id: string) {
    const trial = this.#parts.data.trial();
    if (trial?.id !== id && this.#refused?.id !== id) return undefined;
    const { candidate = [], baseline = [], held = false } = trial ?? {};
    const refused = this.#refused?.id === id ? this.#refused.why : trial?.refused;
    return { candidate, baseline, held, refused };
  }

  #shadowed(id: string): ShadowCounted {
    const current = this.#parts.data.trial();
    const trial = current?.id === id ? current : undefined;
    const refused = this.#refused?.id === id ? this.#refused.why : trial?.refused;
    const report = trial?.shadow ?? (refused === undefined ? undefined : new ShadowCounts().read());
    return { refused, report };
  }

  #take(part: CanaryPart | undefined): void {
    this.#tell(part);
    this.#parts.tell();
    void this.#try(part);
    if (part?.state === "promoted") this.#settling ??= this.#settle(part.order);
  }

  async #try(part: CanaryPart | undefined): Promise<void> {
    const { data } = this.#parts;
    if (part === undefined) {
      this.#read = undefined;
      data.tryCandidate(undefined);
      return;
    }
    const { order, percent, document, state } = part;
    const { id } = order;
    const shadow = order.by === "shadow";
    const judged = state === "running" && !shadow;
    if (document === undefined) data.tryCandidate({ id, percent: 0, version: 0, judged, shadow });
    else {
      try {
        const candidate = await this.#candidateOf(order, document);
        // Else another part came meanwhile.
        if (this.#watch.part === part)
          data.tryCandidate({ id, percent, version: this.#version, judged, shadow }, candidate);
      } catch (error) {
        const why = problemsOf(error).map(problemText).join("; ");
        this.#refused = { id, why };
        this.#context.telemetry.logger.error({ id, problems: why }, "the candidate of the canary is refused");
        this.#watch.trigger();
      }
    }
  }

  /** Rejects when the candidate is refused. */
  async #candidateOf({ id, service }: CanaryOrder, document: Buffer): Promise<BesidePolicy> {
    const under = this.#parts.controller.status().digest;
    if (this.#read?.id === id && this.#read.under === under) return this.#read.candidate;
    const candidate = await this.#parts.controller.beside(service === null ? "shared" : "layer", document);
    this.#version += 1;
    this.#read = { id, under, candidate };
    return candidate;
  }

  /** Writes the promoted document to where operators look for it. */
  async #settle({ id }: CanaryOrder): Promise<void> {
    const { signal } = this.#stopped;
    const { logger } = this.#context.telemetry;
    for (let tries = 0; tries < settleTries && !signal.aborted; tries += 1) {
      await wait(tries === 0 ? spreadMs * Math.random() : betweenTriesMs, undefined, { signal }).catch(
        () => {},
      );
      try {
        if (!signal.aborted) await this.#canaries.settle();
        break;
      } catch (error) {
        if (!isForbidden(error)) {
          logger.warn({ id, reason: textOf(error) }, "what was promoted cannot be written into Redis yet");
          continue;
        }
        logger.info(
          { id },
          "the canary was promoted and is in force; the next policy command of an operator writes it into the policy",
        );
        break;
      }
    }
    this.#settling = undefined;
  }
}

type GaugeState = "baseline" | "split" | "candidate" | "promoted" | "shadow";

function stateOf({ state, percent, order }: CanaryPart): GaugeState {
  if (order.by === "shadow") return "shadow";
  if (state === "promoted") return "promoted";
  return percent === 0 ? "baseline" : percent >= 100 ? "candidate" : "split";
}

function teller({ telemetry: { logger, metrics } }: ProcessContext): (part: CanaryPart | undefined) => void {
  const gauge = metrics.gauge(
    "outrigger_policy_canary",
    "1 = this sidecar is in that state of the canary of that revision: baseline, split (some callers get the candidate), candidate, promoted, shadow (it decides without effect)",
    ["revision", "state"],
  );
  let before: { readonly revision: string; readonly state: GaugeState } | undefined;
  return (part) => {
    const now = part && { revision: String(part.order.revision), state: stateOf(part) };
    if (before !== undefined) gauge(before.revision, before.state).set(0);
    if (now !== undefined) gauge(now.revision, now.state).set(1);
    before = now;
    if (part === undefined) return logger.info({}, "no canary any more: the policy alone is in force");
    const { order, step, percent } = part;
    const { id, revision, author, by } = order;
    logger.info({ id, revision, author, by, state: now?.state, step, percent }, "canary of a policy");
  };
}
