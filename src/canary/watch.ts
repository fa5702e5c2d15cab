// Follows the canary in Redis for one sidecar: whether there is one that concerns it, whether it is to have the candidate
// in force and for which part of its callers. Reports what it counts meanwhile, and takes the script's answer for the
// truth; while that does not come for long it goes back to the policy itself.
import { type Store, StoreUnavailable } from "../plugin-api/store.ts";
import type { DocumentDigests } from "../policy/status.ts";
import { Poller } from "../policy/sources/poller.ts";
import { noFigures } from "./figures.ts";
import { type CanaryOrder, canaryKey, concerns, readCandidate, readOrder } from "./order.ts";
import { type ShadowCounted, ShadowFollower } from "./shadow-reports.ts";
import { fullRateUpTo } from "./report-script.ts";
import { type CanaryAnswer, type CanaryFigures, CanaryReporter, type ReporterOptions } from "./reporter.ts";

/** What this sidecar is to do. */
export interface CanaryPart {
  readonly order: CanaryOrder;
  readonly state: "running" | "promoted";
  /** From 1. */
  readonly step: number;
  /** Of its callers, that get the candidate; 0 = it only counts. */
  readonly percent: number;
  /** Where percent is more than 0. */
  readonly document: Buffer | undefined;
}

export interface CanaryCounts extends CanaryFigures {
  /** Why its candidate cannot be in force here. */
  readonly refused: string | undefined;
  /** Whether nobody gets it until these are judged. */
  readonly held: boolean;
}

export interface CanaryWatchOptions extends ReporterOptions {
  readonly store: Store & { readonly watching: boolean };
  readonly maxBytes: number;
  /** Of the documents in force; null = none. */
  readonly documents: () => DocumentDigests | null;
  /** What was counted under this canary. */
  readonly counted: (id: string) => CanaryCounts | undefined;
  /** The same of a shadow run. */
  readonly shadowed: (id: string) => ShadowCounted;
  /** undefined = there is no canary for this sidecar, or none any more. */
  readonly onPart: (part: CanaryPart | undefined) => void;
  /** What was held by its figures is none the worse. */
  readonly onJudged: (part: CanaryPart) => void;
  /** It ended, by whatever the script says. */
  readonly onEnd: (order: CanaryOrder, state: string, why: string) => void;
  /** Redis refuses what a canary needs; told once. */
  readonly onRefused: (code: string) => void;
  readonly pollMs?: number;
}

const limitMs = 1_000;
const settleMs = 5;
/** Any sidecar may say that there is something to hear: whoever says it all the time keeps nobody busy. */
const heardEveryMs = 200;
/** While changes are not told. */
const untoldPollMs = 900;
/** A reading of the policy may be older than the order for a moment. */
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
  /** Those that are over: whatever is written in Redis later, none of them begins again. */
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

  /** What is in force has changed. */
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
      // A shadow's figures are not written at each look.
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
    // Nobody could judge: what was there before is what is known to be good.
    const silentMs = performance.now() - this.#answeredMono;
    if (part?.state !== "running" || part.percent === 0 || silentMs <= part.order.silentMs) return;
    // What was counted is told when Redis is back.
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
    // First: what was counted is gone where it stands no more.
    const counted = this.#options.shadowed(order.id);
    const { stands, moved } = this.#standing(order);
    const state = await shadow.state(moved);
    // An order whose state is not there is being written, or was withdrawn by hand.
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
    // Once all else is done: it begins and ends whether or not its figures may be written.
    if (failure !== undefined) throw failure;
  }

  /** @returns why Redis refuses the figures. Rejects with StoreUnavailable when it does not answer */
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

  /** Whether the policy is still the one that the candidate stands beside, or a third one by now; tries nothing where it is not. */
  #standing(order: CanaryOrder): { readonly stands: boolean; readonly moved: boolean } {
    const own = this.#own(order);
    const isMoved = own !== order.digest && own !== order.baseDigest;
    this.#moved = isMoved ? this.#moved + 1 : 0;
    const stands = own === order.baseDigest;
    // The policy is the candidate by now, or a third one: nothing is tried beside it.
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
    // An order whose state is not there is being written, or was withdrawn by hand.
    if (answer.state !== "none") this.#end(order, answer);
    this.#take(undefined);
  }

  /** Then it is over here: whoever changes the policy again, back to the one before, too, changes it here. */
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
    // It stays the same object: who is still reading its document looks whether it is.
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
