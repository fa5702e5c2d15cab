// Follows the canary in Redis for one sidecar: whether one concerns it, whether to use the candidate, and for which
// part of its callers. It reports its counts and obeys the script's answer. Without an answer for long, it goes back to
// the policy in force.
import { type Store, StoreUnavailable } from "../plugin-api/store.ts";
import type { DocumentDigests } from "../policy/status.ts";
import { Poller } from "../policy/sources/poller.ts";
import { noFigures } from "./figures.ts";
import { type CanaryOrder, canaryKey, concerns, readCandidate, readOrder } from "./order.ts";
import { type ShadowCounted, ShadowFollower } from "./shadow-reports.ts";
import { fullRateUpTo } from "./report-script.ts";
import { type CanaryAnswer, type CanaryFigures, CanaryReporter, type ReporterOptions } from "./reporter.ts";

/** This sidecar's part in a canary. */
export interface CanaryPart {
  readonly order: CanaryOrder;
  readonly state: "running" | "promoted";
  /** From 1. */
  readonly step: number;
  /** Percent of its callers that get the candidate; 0 = it only counts. */
  readonly percent: number;
  /** Present if percent is more than 0. */
  readonly document: Buffer | undefined;
}

export interface CanaryCounts extends CanaryFigures {
  /** Why the candidate cannot be in force here. */
  readonly refused: string | undefined;
  /** Whether the candidate is paused until these figures are judged. */
  readonly held: boolean;
}

export interface CanaryWatchOptions extends ReporterOptions {
  readonly store: Store & { readonly watching: boolean };
  readonly maxBytes: number;
  /** Digests of the documents in force; null = no policy is in force. */
  readonly documents: () => DocumentDigests | null;
  /** @returns the counts under this canary */
  readonly counted: (id: string) => CanaryCounts | undefined;
  /** @returns the counts of this shadow run */
  readonly shadowed: (id: string) => ShadowCounted;
  /** undefined = no canary concerns this sidecar, or no longer. */
  readonly onPart: (part: CanaryPart | undefined) => void;
  /** The candidate was paused because of its figures, and the judgement found nothing wrong. */
  readonly onJudged: (part: CanaryPart) => void;
  /** The canary ended; `state` and `why` are the script's. */
  readonly onEnd: (order: CanaryOrder, state: string, why: string) => void;
  /** Redis refuses a command that canaries need; called once for each code. */
  readonly onRefused: (code: string) => void;
  readonly pollMs?: number;
}

const limitMs = 1_000;
const settleMs = 5;
/** Any sidecar may announce a change; an endless stream of announcements must not keep the others busy. */
const heardEveryMs = 200;
/** Interval of polls while change messages do not come. */
const untoldPollMs = 900;
/** Looks before a changed document counts: the policy may have been read before the order was. */
const movedLooks = 3;
const maxEnded = 64;

export class CanaryWatch {
  readonly #options: CanaryWatchOptions;
  readonly #poller: Poller;
  #order: CanaryOrder | undefined;
  #reporter: CanaryReporter | undefined;
  #shadow: ShadowFollower | undefined;
  #part: CanaryPart | undefined;
  #answer: CanaryAnswer | undefined;
  /** Canaries that are over. None begins again, whatever is written in Redis later. */
  readonly #ended = new Set<string>();
  #told = true;
  #lookedMono = -Infinity;
  #readMono = -Infinity;
  #answeredMono = 0;
  #moved = 0;
  #refusedCode: string | undefined;
  #unhear: (() => void) | undefined;

  constructor(options: CanaryWatchOptions) {
    this.#options = options;
    const everyMs = (): number => this.#everyMs();
    this.#poller = new Poller({
      settleMs,
      get pollMs() {
        return everyMs();
      },
      get retryMs() {
        return everyMs();
      },
      read: () => this.#look(),
    });
  }

  get part(): CanaryPart | undefined {
    return this.#part;
  }

  start(): void {
    this.#unhear = this.#options.store.hear(canaryKey, () => {
      this.#told = true;
      this.#poller.trigger(Math.max(settleMs, this.#lookedMono + heardEveryMs - performance.now()));
    });
    this.#poller.readNow();
  }

  /** Looks again after a change of the policy in force. */
  trigger(): void {
    if (this.#order !== undefined) this.#poller.trigger();
  }

  async stop(): Promise<void> {
    this.#unhear?.();
    await this.#poller.stop();
    if (this.#answer?.state === "running") await this.#reporter?.leave();
  }

  #everyMs(): number {
    if (this.#shadow !== undefined) return this.#order?.everyMs ?? untoldPollMs;
    if (this.#order === undefined || this.#answer?.state !== "running") return untoldPollMs;
    return this.#order.everyMs * Math.max(1, this.#answer.count / fullRateUpTo);
  }

  async #look(): Promise<boolean> {
    this.#lookedMono = performance.now();
    try {
      await this.#readOrder();
      if (this.#order !== undefined) await this.#follow(this.#order);
      // A shadow run does not write its figures at each look, so a success does not show that it may.
      if (this.#shadow === undefined) this.#refusedCode = undefined;
      return true;
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
      this.#failed(error.code);
      return false;
    }
  }

  #failed(code: string | undefined): void {
    if (code !== undefined && code !== this.#refusedCode) this.#options.onRefused(code);
    this.#refusedCode = code;
    const part = this.#part;
    // Nobody could judge the candidate; only the policy before is known to be good.
    const silentMs = performance.now() - this.#answeredMono;
    if (part?.state !== "running" || part.percent === 0 || silentMs <= part.order.silentMs) return;
    // The counts are reported when Redis is back.
    this.#take({ ...part, percent: 0, document: undefined });
  }

  async #readOrder(): Promise<void> {
    const { store, service, pollMs = 10_000 } = this.#options;
    const isHeard = !this.#told && store.watching;
    if (isHeard && performance.now() - this.#readMono < pollMs) return;
    this.#told = false;
    const order = (await readOrder(store, limitMs)) ?? undefined;
    this.#readMono = performance.now();
    const counts = order !== undefined && concerns(order, service) && !this.#ended.has(order.id);
    if (counts && order.id === this.#order?.id) return;
    this.#order = counts ? order : undefined;
    this.#answer = undefined;
    this.#moved = 0;
    const isShadow = order?.by === "shadow";
    this.#reporter = counts && !isShadow ? new CanaryReporter(order, this.#options) : undefined;
    this.#shadow = counts && isShadow ? new ShadowFollower(order, this.#options) : undefined;
    this.#take(undefined);
  }

  async #followShadow(order: CanaryOrder, shadow: ShadowFollower): Promise<void> {
    if (this.#options.documents() === null) return;
    // Read the counts first: they are gone once the candidate is dropped.
    const counted = this.#options.shadowed(order.id);
    const { stands, moved } = this.#standing(order);
    const state = await shadow.state(moved);
    // An order without a state is just being written, or its state was deleted by hand.
    if (state === "none") return this.#take(undefined);
    const isOver = state !== "running";
    const failure = await this.#tellShadow(shadow, counted, isOver || !stands);
    if (isOver) {
      this.#end(order, { state, why: "" });
      this.#take(undefined);
    } else if (stands) {
      const percent = order.steps[0] ?? 0;
      const document = await this.#documentOf(order, percent);
      this.#take(document && { order, state, step: 1, percent, document });
    }
    // Throw last: the run begins and ends even if its figures may not be written.
    if (failure !== undefined) throw failure;
  }

  /** @returns the error if Redis refuses the figures. Rejects with StoreUnavailable when Redis does not answer */
  async #tellShadow(
    shadow: ShadowFollower,
    counted: ShadowCounted,
    isLast: boolean,
  ): Promise<StoreUnavailable | undefined> {
    try {
      await shadow.tell(counted, isLast);
      return undefined;
    } catch (error) {
      if (error instanceof StoreUnavailable && error.code !== undefined) return error;
      throw error;
    }
  }

  /**
   * Compares the document in force with the order. @returns `stands`: it is the one that the order was made for;
   * `moved`: it has been another one, not the candidate either, for some looks. Ends this sidecar's part unless
   * `stands`.
   */
  #standing(order: CanaryOrder): { readonly stands: boolean; readonly moved: boolean } {
    const own = this.#own(order);
    const isMoved = own !== order.digest && own !== order.baseDigest;
    this.#moved = isMoved ? this.#moved + 1 : 0;
    const stands = own === order.baseDigest;
    // The candidate is in force by now, or another document: nothing is tried beside it.
    if (!stands) this.#take(undefined);
    return { stands, moved: this.#moved >= movedLooks };
  }

  async #follow(order: CanaryOrder): Promise<void> {
    if (this.#shadow !== undefined) return await this.#followShadow(order, this.#shadow);
    const reporter = this.#reporter;
    if (reporter === undefined || this.#options.documents() === null) return;
    const { refused, held, ...figures } = this.#options.counted(order.id) ?? none;
    const { stands, moved } = this.#standing(order);
    const tries = (this.#part?.percent ?? 0) > 0;
    const answer = await reporter.report({ ...figures, tries, refused, moved });
    this.#answer = answer;
    this.#answeredMono = performance.now();
    if (answer.state === "running" || (answer.state === "promoted" && !this.#isInPolicy(order, answer))) {
      if (stands) await this.#partOf(order, reporter, answer);
      if (held && !answer.lacks && this.#part !== undefined) this.#options.onJudged(this.#part);
      return;
    }
    // An order without a state is just being written, or its state was deleted by hand.
    if (answer.state !== "none") this.#end(order, answer);
    this.#take(undefined);
  }

  /**
   * Whether the canary is over here: the policy holds the candidate, or the canary is settled and this sidecar does not
   * use the candidate. Later changes of the policy, even back to the one before, then take effect here.
   */
  #isInPolicy(order: CanaryOrder, { settled }: CanaryAnswer): boolean {
    const isCandidate = (this.#part?.percent ?? 0) > 0;
    return this.#own(order) === order.digest || (settled && !isCandidate);
  }

  #end(order: CanaryOrder, { state, why }: { readonly state: string; readonly why: string }): void {
    this.#order = undefined;
    this.#shadow = undefined;
    this.#ended.add(order.id);
    const [oldest] = this.#ended;
    if (this.#ended.size > maxEnded && oldest !== undefined) this.#ended.delete(oldest);
    this.#options.onEnd(order, state, why);
  }

  async #partOf(order: CanaryOrder, reporter: CanaryReporter, answer: CanaryAnswer): Promise<void> {
    const state = answer.state === "promoted" ? "promoted" : "running";
    const percent = state === "promoted" ? 100 : shareOf(order, reporter, answer);
    const document = await this.#documentOf(order, percent);
    if (percent > 0 && document === undefined) this.#take(undefined);
    else this.#take({ order, state, step: answer.step, percent, document });
  }

  async #documentOf(order: CanaryOrder, percent: number): Promise<Buffer | undefined> {
    const known = this.#part?.order.id === order.id ? this.#part.document : undefined;
    if (known !== undefined || percent === 0) return known;
    const { store, maxBytes } = this.#options;
    return (await readCandidate(store, order, maxBytes, limitMs)) ?? undefined;
  }

  #take(part: CanaryPart | undefined): void {
    const before = this.#part;
    const same =
      before?.order.id === part?.order.id &&
      before?.percent === part?.percent &&
      before?.state === part?.state &&
      before?.step === part?.step &&
      before?.document === part?.document;
    // Keep the same object: code that still reads its document compares by identity.
    if (same) return;
    this.#part = part;
    this.#options.onPart(part);
  }

  #own(order: CanaryOrder): string {
    const documents = this.#options.documents();
    return (order.service === null ? documents?.shared : documents?.layer) ?? "";
  }
}

const none: CanaryCounts = { candidate: noFigures, baseline: noFigures, refused: undefined, held: false };

function shareOf(order: CanaryOrder, reporter: CanaryReporter, answer: CanaryAnswer): number {
  const percent = order.steps[answer.step - 1] ?? 0;
  if (order.by === "traffic") return percent;
  return reporter.place <= answer.cut ? 100 : 0;
}
