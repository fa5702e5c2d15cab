// Tries a candidate beside the policy in force, in a process that serves: it is set up separately, given to some or all
// callers, and counted on both sides. Ending a trial needs no set-up, because the policy in force stays set up all the
// time.
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

/** What to try. */
export interface TrialWish {
  /** Id of the canary. */
  readonly id: string;
  /** Share of the callers. */
  readonly percent: number;
  /** Changes whenever the candidate must be set up again. */
  readonly version: number;
  /** Whether the candidate is still being judged; false = it has been promoted and is what counts. */
  readonly judged: boolean;
  /** Whether the candidate runs as a shadow, without effect; `percent` is then the share of the requests. */
  readonly shadow?: boolean;
}

export type ReadCandidate = () => Promise<EffectivePolicy>;

export interface TrialReport {
  readonly id: string;
  readonly candidate: Figures;
  readonly baseline: Figures;
  /** Why the candidate cannot come into force. */
  readonly refused: string | undefined;
  /** Whether the candidate is held back: its answers went wrong, and nobody gets it until the counts are judged. */
  readonly held: boolean;
  /** What a shadow would have done differently; absent = the candidate is no shadow, or not set up yet. */
  readonly shadow?: ShadowReport | undefined;
}

/** Holds the policy in force together with its candidate. */
export class PolicyTrials {
  readonly inForce: PolicyInForce;
  readonly #candidate: PolicyInForce;
  #live: LiveTrial | undefined;
  #turn = 0;
  /** Version of the candidate that is set up; 0 = none. */
  #version = 0;
  #onTrouble: (() => void) | undefined;

  private constructor(inForce: PolicyInForce, candidate: PolicyInForce) {
    this.inForce = inForce;
    this.#candidate = candidate;
  }

  /** @param secrets only the policy in force decides which of them are in force, never a candidate */
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

  /**
   * Sets both up with these secrets. Rejects when the policy in force cannot be set up with them; then nothing changes.
   */
  async renew(values: SecretValues): Promise<void> {
    await this.inForce.renew(values);
    await this.#candidate.again().catch((error: unknown) => this.#refuse(error));
  }

  switchOff(off: SwitchedOff): void {
    this.inForce.switchOff(off);
    this.#candidate.switchOff(off);
  }

  /**
   * Starts, changes or ends the trial. Never rejects: `report` says what went wrong.
   * @param wish undefined = end the trial
   * @param read reads the candidate; undefined = nobody gets the candidate here, and only the policy in force is
   * counted
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

  /** @param listener called at once when answers go wrong, so that nobody waits for the next report */
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

  /** Takes effect from now on, even after a hold. */
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
    // An answer from the cache counts as the service's.
    const isSidecars = error !== undefined || (upstreamMs === undefined && live.cacheStatus === undefined);
    // The length of a tunnel, or of a transfer that broke off, says nothing about the policy. A client that left before
    // any answer waited at least that long, so its time counts.
    const isTimed =
      outcome.status !== 101 && (end === "complete" || (end === "client-aborted" && status === 0));
    this.#counts[side].count(status, isSidecars, isTimed ? durationMs : undefined);
    if (side === "candidate" && isBad(status)) this.#troubled();
  }

  /**
   * Acts on the 5th bad answer, the 10th, the 20th and so on. Until these are judged nobody gets the candidate, so that
   * few callers see a candidate that only fails, however far away Redis is.
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
