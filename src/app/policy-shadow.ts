// Runs a candidate beside the policy in force, without effect, in a process that serves. Some requests pass through it
// after they have ended, when there is time, and what it would have done differently is counted.
import { hash } from "node:crypto";
import type { ClientAddress } from "../client/client-address.ts";
import type { Config } from "../config/config.ts";
import { type SwitchedOff, nothingOff } from "../kill-switch/kill-switch.ts";
import type { Metrics, Outcome, Secrets } from "../plugin-api/contract.ts";
import { problemsOf, problemText } from "../policy/document/problems.ts";
import { decisionOf } from "../policy-replay/recorded-request.ts";
import type { PolicyTrial, TriedRequest } from "../routing/policy-trial.ts";
import type { RoutedPolicy } from "../routing/routed-policy.ts";
import type { LiveExchange } from "../runtime/exchange.ts";
import { ShadowCandidate, type ShadowOptions } from "../shadow/candidate.ts";
import { ShadowQueue, type Utilization } from "../shadow/queue.ts";
import { ShadowCounts } from "../shadow/report.ts";
import { type SeenRequest, seenRequest, type Served, servedAs } from "../shadow/seen-request.ts";
import { isComparable } from "../shadow/sides.ts";
import { benchOptions } from "./bench-options.ts";
import type { PolicyInForce } from "./policy-in-force.ts";
import type { ReadCandidate, TrialReport, TrialWish } from "./policy-trial.ts";
import type { ProcessContext } from "./process-context.ts";
import { shownBy } from "./shown-credential.ts";

const shadowDifferences = "outrigger_policy_shadow_differences_total";
const shadowRequests = "outrigger_policy_shadow_requests_total";

export interface ShadowParts {
  readonly options: ShadowOptions;
  readonly metrics: Metrics;
  readonly utilization: Utilization | undefined;
}

export function shadowParts(
  { registry, clock, telemetry: { metrics }, utilization }: ProcessContext,
  config: Config,
  secrets: Secrets,
): ShadowParts {
  const options = { ...benchOptions(config, registry, clock, secrets), shownCredential: shownBy };
  return { options, metrics, utilization };
}

type Counters = ReturnType<typeof countersOf>;

/** The shadow of the policy in force, when one is running. */
export class PolicyShadow {
  readonly #inForce: Pick<PolicyInForce, "tryBeside">;
  readonly #parts: ShadowParts;
  #counters: Counters | undefined;
  #live: LiveShadow | undefined;
  #version = 0;
  #turn = 0;
  #off: SwitchedOff = nothingOff;

  constructor(inForce: Pick<PolicyInForce, "tryBeside">, parts: ShadowParts) {
    this.#inForce = inForce;
    this.#parts = parts;
  }

  /**
   * Starts, changes or ends the shadow. Never rejects: `report` says what went wrong.
   * @param wish undefined = end the shadow
   */
  async try(wish: TrialWish | undefined, read?: ReadCandidate): Promise<void> {
    this.#turn += 1;
    const turn = this.#turn;
    if (wish === undefined || this.#live?.id !== wish.id) this.#end();
    if (wish === undefined) return;
    this.#counters ??= countersOf(this.#parts.metrics);
    this.#live ??= new LiveShadow(wish.id, this.#counters, this.#parts.utilization);
    const live = this.#live;
    live.percent = wish.percent;
    if (this.#version === wish.version) this.#inForce.tryBeside(live);
    if (read === undefined || this.#version === wish.version) return;
    try {
      const candidate = await ShadowCandidate.of(await read(), this.#parts.options);
      if (turn !== this.#turn) {
        await candidate.close();
        return;
      }
      await candidate.switchOff(this.#off);
      this.#version = wish.version;
      live.give(candidate);
      this.#inForce.tryBeside(live);
    } catch (error) {
      if (turn === this.#turn) live.refused = problemsOf(error).map(problemText).join("; ").slice(0, 300);
    }
  }

  switchOff(off: SwitchedOff): void {
    this.#off = off;
    this.#live?.switchOff(off);
  }

  report(): TrialReport | undefined {
    return this.#live?.report();
  }

  async close(): Promise<void> {
    this.#turn += 1;
    await this.#live?.close();
  }

  #end(): void {
    if (this.#live === undefined) return;
    this.#inForce.tryBeside(undefined);
    void this.#live.close();
    this.#live = undefined;
    this.#version = 0;
  }
}

interface Work {
  readonly seen: SeenRequest;
  readonly served: Served;
}

class LiveShadow implements PolicyTrial<RoutedPolicy> {
  readonly id: string;
  /** Share of the requests that the candidate gets. */
  percent = 0;
  refused: string | undefined;
  #candidate: ShadowCandidate | undefined;
  readonly #counters: Counters;
  readonly #counts = new ShadowCounts();
  readonly #seen = new WeakMap<object, SeenRequest>();
  readonly #queue: ShadowQueue<Work>;

  constructor(id: string, counters: Counters, utilization: Utilization | undefined) {
    this.id = id;
    this.#queue = new ShadowQueue((work) => this.#compare(work), utilization);
    this.#counters = counters;
  }

  give(candidate: ShadowCandidate): void {
    void this.#candidate?.close();
    this.#candidate = candidate;
    this.refused = undefined;
  }

  switchOff(off: SwitchedOff): void {
    void this.#candidate?.switchOff(off);
  }

  choose(request: TriedRequest, _head: unknown, client: ClientAddress, inForce: RoutedPolicy): RoutedPolicy {
    if (Math.random() * 100 >= this.percent) return inForce;
    if (request.upgrades) this.#count("skipped");
    else if (this.#queue.busy) this.#count("dropped");
    else this.#seen.set(request, seenRequest(request, client));
    return inForce;
  }

  judging(): undefined {
    return undefined;
  }

  ended(request: object, policy: RoutedPolicy, live: LiveExchange, outcome: Outcome): void {
    const seen = this.#seen.get(request);
    if (seen === undefined) return;
    if (!isComparable(outcome)) this.#count("skipped");
    else if (!this.#queue.take({ seen, served: servedAs(policy, live, outcome) })) this.#count("dropped");
  }

  report(): TrialReport {
    const { id, refused } = this;
    const shadow = this.#candidate && this.#counts.read();
    return { id, refused, held: false, candidate: [], baseline: [], shadow };
  }

  async close(): Promise<void> {
    this.#queue.close();
    const candidate = this.#candidate;
    this.#candidate = undefined;
    await candidate?.close();
  }

  /** Runs one request through the candidate and counts the differences. Never rejects. */
  async #compare({ seen, served }: Work): Promise<void> {
    const candidate = this.#candidate;
    if (candidate === undefined) return;
    try {
      const { differences, becomes } = await candidate.compare(seen, served);
      this.#count("compared");
      if (differences.length === 0) this.#counts.same += 1;
      const { requestId, identity, outcome, route } = served;
      const was = decisionOf(route.pattern, outcome.status, outcome.answeredBy, outcome.error?.code);
      const caller = identity === undefined ? "" : callerOf(this.id, identity);
      for (const difference of differences) {
        this.#counters.differences(difference.route, difference.plugin, difference.kind).inc();
        this.#counts.add(difference, { requestId, method: seen.method, caller, was, becomes });
      }
    } catch {
      this.#count("failed");
    }
  }

  #count(what: "compared" | "dropped" | "skipped" | "failed"): void {
    this.#counts[what] += 1;
    this.#counters.requests(what).inc();
  }
}

/** A pseudonym of the caller: the same within one shadow run, without revealing who it is. */
function callerOf(id: string, { issuer = "", userId }: NonNullable<LiveExchange["identity"]>): string {
  return hash("sha256", JSON.stringify([id, issuer, userId])).slice(0, 12);
}

function countersOf(metrics: Metrics) {
  return {
    differences: metrics.counter(
      shadowDifferences,
      "Requests that the candidate of a shadow run would have answered, or sent on, in another way, by route, the plugin that makes the difference, and kind",
      ["route", "plugin", "kind"],
    ),
    requests: metrics.counter(
      shadowRequests,
      "Requests that were chosen for a shadow run: compared, dropped for want of time, skipped where nothing is to compare, or failed",
      ["result"],
    ),
  };
}
