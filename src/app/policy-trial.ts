// A candidate beside the policy in force, in a process that serves: set up by itself, given to some callers or all, counted
// on both sides. Taking it away needs no set-up: the policy in force is there all the time.
import { CallerSplit } from "../canary/caller-split.ts";
import { countedStatus } from "../canary/counted-status.ts";
import { type Figures, FigureCounts } from "../canary/figures.ts";
import type { ClientAddress } from "../client/client-address.ts";
import type { Outcome } from "../plugin-api/contract.ts";
import type { SwitchedOff } from "../kill-switch/kill-switch.ts";
import type { RequestHead } from "../http1/request-head.ts";
import type { EffectivePolicy } from "../policy/read.ts";
import { problemsOf, problemText } from "../policy/document/problems.ts";
import type { ShadowReport } from "../shadow/report.ts";
import type { PolicyTrial, TriedRequest } from "../routing/policy-trial.ts";
import type { RoutedPolicy } from "../routing/routed-policy.ts";
import type { LiveExchange } from "../runtime/exchange.ts";
import type { LiveSecrets, SecretValues } from "./live-secrets.ts";
import { type Compile, PolicyInForce } from "./policy-in-force.ts";
import { shownBy } from "./shown-credential.ts";

/** What is to be tried. */
export interface TrialWish {
  /** Of the canary. */
  readonly id: string;
  /** Of the callers. */
  readonly percent: number;
  /** Another one when the candidate has to be set up anew. */
  readonly version: number;
  /** Whether it is judged still; else it is what counts. */
  readonly judged: boolean;
  /** Whether it decides beside the policy in force alone, without effect, about that share of the requests. */
  readonly shadow?: boolean;
}

export type ReadCandidate = () => Promise<EffectivePolicy>;

export interface TrialReport {
  readonly id: string;
  readonly candidate: Figures;
  readonly baseline: Figures;
  /** Why the candidate cannot be in force. */
  readonly refused: string | undefined;
  /** Whether nobody gets it until what was counted is judged: its answers went wrong. */
  readonly held: boolean;
  /** What a shadow would have done otherwise; absent = the candidate is none, or not set up yet. */
  readonly shadow?: ShadowReport | undefined;
}

/** The policy in force with its candidate. */
export class PolicyTrials {
  readonly inForce: PolicyInForce;
  readonly #candidate: PolicyInForce;
  #live: LiveTrial | undefined;
  #turn = 0;
  /** Of what is set up; 0 = nothing is. */
  #version = 0;
  #onTrouble: (() => void) | undefined;

  private constructor(inForce: PolicyInForce, candidate: PolicyInForce) {
    this.inForce = inForce;
    this.#candidate = candidate;
  }

  /** @param secrets which of them count is for what serves to say, not for a candidate */
  static of(compile: Compile, secrets: LiveSecrets): PolicyTrials {
    const theirs = {
      get inForce() {
        return secrets.inForce;
      },
      next: (values: SecretValues) => secrets.next(values),
      use: () => {},
    };
    return new PolicyTrials(new PolicyInForce(compile, secrets), new PolicyInForce(compile, theirs));
  }

  has(values: SecretValues): boolean {
    return this.inForce.has(values);
  }

  /** Rejects when the policy in force cannot be set up with these secrets; nothing changes then. */
  async renew(values: SecretValues): Promise<void> {
    await this.inForce.renew(values);
    await this.#candidate.again().catch((error: unknown) => this.#refuse(error));
  }

  switchOff(off: SwitchedOff): void {
    this.inForce.switchOff(off);
    this.#candidate.switchOff(off);
  }

  /**
   * @param wish undefined = nothing is tried any more
   * @param read the candidate; undefined = nobody gets it here, and the policy in force is counted
   * Never rejects: `report` says what went wrong.
   */
  async try(wish: TrialWish | undefined, read?: ReadCandidate): Promise<void> {
    this.#turn += 1;
    const turn = this.#turn;
    if (wish === undefined || this.#live?.id !== wish.id) this.#end();
    if (wish === undefined) return;
    this.#live ??= new LiveTrial(wish.id, this.#candidate, () => this.#onTrouble?.());
    const live = this.#live;
    this.inForce.tryBeside(live);
    if (read === undefined) {
      this.#stop(live);
      return;
    }
    if (this.#version === wish.version) {
      live.give(wish);
      return;
    }
    try {
      const policy = await read();
      let compiled = await this.#candidate.compile(policy);
      if (!this.#candidate.isCurrent(compiled)) {
        compiled.snapshot.retire();
        compiled = await this.#candidate.compile(policy);
      }
      if (turn !== this.#turn) {
        compiled.snapshot.retire();
        return;
      }
      this.#candidate.tryBeside(live);
      this.#candidate.swap(compiled);
      this.#version = wish.version;
      live.give(wish);
    } catch (error) {
      if (turn === this.#turn) this.#refuse(error);
    }
  }

  #refuse(error: unknown): void {
    if (this.#live === undefined) return;
    this.#stop(this.#live);
    this.#live.refused = problemsOf(error).map(problemText).join("; ").slice(0, 300);
  }

  /** @param listener told at once when answers go wrong: nobody should wait for the next report */
  whenInTrouble(listener: () => void): void {
    this.#onTrouble = listener;
  }

  report(): TrialReport | undefined {
    return this.#live?.report();
  }

  async close(): Promise<void> {
    this.#turn += 1;
    await Promise.all([this.inForce.close(), this.#candidate.close()]);
  }

  #end(): void {
    this.#live = undefined;
    this.inForce.tryBeside(undefined);
    this.#drop();
  }

  #stop(live: LiveTrial): void {
    live.percent = 0;
    this.#drop();
  }

  #drop(): void {
    this.#version = 0;
    this.#candidate.withdraw();
  }
}

const minBad = 5;

const isBad = (status: number): boolean =>
  status >= 500 || status === 401 || status === 403 || status === 429;

class LiveTrial implements PolicyTrial<RoutedPolicy> {
  readonly id: string;
  percent = 0;
  #judged = true;
  #held = false;
  refused: string | undefined;
  readonly #candidate: Pick<PolicyInForce, "routed">;
  readonly #onTrouble: () => void;
  readonly #split: CallerSplit;
  #bad = 0;
  readonly #credentials = new WeakMap<object, { credential: string | undefined; address: string }>();
  readonly #counts = { candidate: new FigureCounts(), baseline: new FigureCounts() };

  constructor(id: string, candidate: Pick<PolicyInForce, "routed">, onTrouble: () => void) {
    this.id = id;
    this.#onTrouble = onTrouble;
    this.#candidate = candidate;
    this.#split = new CallerSplit(id);
  }

  /** From now on, also after it was held. */
  give({ percent, judged }: TrialWish): void {
    this.percent = percent;
    this.#judged = judged;
    this.#held = false;
  }

  choose(
    request: TriedRequest,
    head: RequestHead,
    { address }: ClientAddress,
    inForce: RoutedPolicy,
  ): RoutedPolicy {
    const candidate = this.#candidate.routed;
    if (candidate === undefined || this.percent === 0 || this.#held) return inForce;
    if (this.percent >= 100) return candidate;
    const credential = shownBy(head, inForce, { address, tls: request.tls });
    this.#credentials.set(request, { credential, address });
    return this.#split.place(credential, address) * 100 < this.percent ? candidate : inForce;
  }

  judging(letInBy: RoutedPolicy): RoutedPolicy | undefined {
    const candidate = this.#candidate.routed;
    return candidate?.snapshot === letInBy.snapshot ? candidate : undefined;
  }

  ended(request: object, policy: RoutedPolicy, live: LiveExchange, outcome: Outcome): void {
    const shown = this.#credentials.get(request);
    if (shown !== undefined) this.#split.learn(shown.credential, shown.address, live.identity);
    const side = this.judging(policy) === undefined ? "baseline" : "candidate";
    const { error, upstreamMs, durationMs, end } = outcome;
    const status = countedStatus(outcome);
    // What the cache has is the service's.
    const isSidecars = error !== undefined || (upstreamMs === undefined && live.cacheStatus === undefined);
    // A tunnel's length, or that of a transfer that broke off, says nothing of the policy; whoever left before there was
    // an answer waited for that at least.
    const isTimed =
      outcome.status !== 101 && (end === "complete" || (end === "client-aborted" && status === 0));
    this.#counts[side].count(status, isSidecars, isTimed ? durationMs : undefined);
    if (side === "candidate" && isBad(status)) this.#troubled();
  }

  /**
   * At the fifth bad answer, at the tenth, at twice as many each time. Until these are judged nobody gets it, so that one
   * that only fails is seen by few, however far Redis is.
   */
  #troubled(): void {
    this.#bad += 1;
    const doublings = Math.log2(this.#bad / minBad);
    if (doublings < 0 || !Number.isInteger(doublings)) return;
    this.#held = this.#judged;
    this.#onTrouble();
  }

  report(): TrialReport {
    const { candidate, baseline } = this.#counts;
    return {
      id: this.id,
      refused: this.refused,
      held: this.#held,
      candidate: candidate.read(),
      baseline: baseline.read(),
    };
  }
}
