// Serves the exchanges of one running guest. Passes calls to the guest, and the guest's effects to the exchange, log,
// metric or timer that they are for.
import type { MaybePromise } from "../../plugin-api/contract.ts";
import { isThenable } from "../verdict.ts";
import { type EffectHandler, type EffectParts, readAnswer } from "./answer.ts";
import { type Guest, type GuestAnswer, GuestFailure, hooks } from "./guest-host.ts";
import { BackgroundTime } from "./background-time.ts";
import { brokenCall, type CallAnswer, type GuestCalls } from "./guest-calls.ts";
import type { GuestLog } from "./guest-log.ts";
import type { GuestMetrics } from "./guest-metrics.ts";

/** The part of an exchange that its guest acts on. */
export interface InstanceStream {
  readonly requestId: string;
  readonly root: number;
  /** Whether the guest is told again what it has already acted on: its effects must not be repeated. */
  readonly isReplay: boolean;
  /** A call of the guest's own has begun (1) or is over (-1). */
  callsChanged(by: 1 | -1): void;
  /** Carries out one effect of the guest on this exchange. */
  effect(kind: string, parts: EffectParts): void;
  /** The guest of this exchange is gone. */
  lost(failure: GuestFailure): void;
}

export interface InstanceParts {
  readonly calls: GuestCalls;
  readonly log: GuestLog;
  readonly metrics: GuestMetrics;
}

/** Beyond this many pending notices a guest is not told of new items in its queues. */
const maxQueued = 10_000;
const queuedATurn = 16;
/** Time per turn of the event loop for queue notices; a notice that has begun is finished. */
const backgroundTurnMs = 5;
/** Most ends reported in one call: a call must not take long because many exchanges end at once. */
const endsACall = 64;
const shortestTickMs = 10;

export class Instance implements EffectHandler {
  readonly #guest: Guest;
  readonly #parts: InstanceParts;
  readonly #onFailed: (failure: GuestFailure) => void;
  readonly #streams = new Map<number, InstanceStream>();
  readonly #ticks = new Map<number, NodeJS.Timeout>();
  readonly #metrics = new Map<string, (value: number) => void>();
  readonly #abort = new AbortController();
  #lastContext = 0;
  #isUsed = false;
  /** Roots and their queues with items that the guest has not been told of. */
  #queued: (readonly [root: number, queue: number])[] = [];
  #ends: string[] = [];
  #hasFailed = false;
  readonly #background = new BackgroundTime();
  #isToldOfWaits = false;

  /** @param onFailed called once, when the guest traps or takes too long */
  constructor(guest: Guest, parts: InstanceParts, onFailed: (failure: GuestFailure) => void) {
    this.#guest = guest;
    this.#parts = parts;
    this.#onFailed = onFailed;
  }

  get alive(): boolean {
    return this.#guest.alive && !this.#hasFailed;
  }

  get cpuMs(): number | undefined {
    return this.#guest.cpuMs;
  }

  get memoryBytes(): number | undefined {
    // Before its first exchange the guest may be taking a configuration on another thread, and this thread would wait
    // for it.
    return this.#isUsed ? this.#guest.memoryBytes : undefined;
  }

  /** Whether the guest was told of any exchange. */
  get isUsed(): boolean {
    return this.#isUsed;
  }

  nextContext(): number {
    this.#lastContext += 1;
    return this.#lastContext;
  }

  /** Registers an exchange: the guest's effects reach it until `end`. */
  add(context: number, stream: InstanceStream): void {
    this.#streams.set(context, stream);
    this.#isUsed = true;
  }

  /** @returns what the guest returned. Throws or rejects with GuestFailure */
  call(hook: number, context: number, number: number, text: string, more: string): MaybePromise<number> {
    try {
      const answer = this.#guest.call(hook, context, number, text, more);
      if (!isThenable(answer)) return this.#took(answer as GuestAnswer, context);
      return (answer as Promise<GuestAnswer>).then(
        (settled) => this.#took(settled, context),
        (error: unknown) => this.#failed(error),
      );
    } catch (error) {
      return this.#failed(error);
    }
  }

  async configure(context: number, configuration: string): Promise<number> {
    let answer: GuestAnswer;
    try {
      answer = await this.#guest.configure(context, configuration);
    } catch (error) {
      return this.#failed(error);
    }
    return this.#took(answer, context);
  }

  /** Reads the answer of the guest's start. @throws GuestFailure */
  started(answer: GuestAnswer): void {
    this.#took(answer, 0);
  }

  /** The exchange is over. @param facts what the guest may ask about its end */
  end(context: number, facts: string): void {
    if (!this.alive) return;
    if (this.#ends.push(`${context}\0${facts}`) === 1) setImmediate(() => this.#tellEnds());
  }

  endRoot(context: number): void {
    this.#forgetTick(context);
    this.#unasked(hooks.endRoot, context, 0, "", "");
  }

  /** Ends the guest because it used more than it may. */
  fail(reason: string): void {
    try {
      this.#failed(new GuestFailure(reason));
    } catch {
      // `onFailed` has reported it.
    }
  }

  dispose(): void {
    this.#hasFailed = true;
    for (const root of this.#ticks.keys()) this.#forgetTick(root);
    this.#abort.abort();
    this.#guest.dispose();
  }

  effect(context: number, kind: string, parts: EffectParts): void {
    const stream = this.#streams.get(context);
    const [first = "", second = "", third = ""] = parts;
    const { log, metrics } = this.#parts;
    if (kind === "l") log.write(Number(first), second, stream?.requestId);
    else if (kind === "L") log.lost(Number(first));
    else if (kind === "m") this.#metrics.set(first, metrics.define(Number(second), third));
    else if (kind === "v") this.#metrics.get(first)?.(Number(second));
    else if (kind === "t") this.#tick(Number(first), Number(second));
    else if (kind === "q") this.#queueHasMore(Number(first), Number(second));
    else if (kind === "h") this.#send(context, stream, parts);
    else if (kind !== "D") stream?.effect(kind, parts);
  }

  #took(answer: GuestAnswer, context: number): number {
    try {
      return readAnswer(answer, context, this);
    } catch (error) {
      return this.#failed(error);
    }
  }

  #failed(error: unknown): never {
    const failure = error instanceof GuestFailure ? error : new GuestFailure(String(error), { cause: error });
    if (!this.#hasFailed && (failure.began || !this.#guest.alive)) {
      this.dispose();
      // The caller gets the failure from the call itself.
      const streams = [...this.#streams.values()];
      this.#streams.clear();
      this.#onFailed(failure);
      for (const stream of streams) stream.lost(failure);
    }
    throw failure;
  }

  /** Makes a call that no exchange waits for. A failure is reported by `onFailed`. */
  #unasked(hook: number, context: number, number: number, text: string, more: string): void {
    if (!this.alive) return;
    try {
      const result = this.call(hook, context, number, text, more);
      if (isThenable(result)) (result as Promise<number>).catch(() => {});
    } catch {
      // `onFailed` has reported it.
    }
  }

  /** Makes such a call and counts its CPU time as the guest's background time. */
  #inBackground(hook: number, context: number, number: number, text: string, more: string): void {
    this.#background.count(() => this.#unasked(hook, context, number, text, more));
  }

  /** @returns milliseconds that calls outside of requests have to wait; 0 = none */
  #backgroundWait(): number {
    const { waitMs } = this.#background;
    if (waitMs > 0 && !this.#isToldOfWaits) {
      this.#isToldOfWaits = true;
      const why =
        "the guest's timers, queues and calls take more than a tenth of the sidecar's time: they wait";
      this.#parts.log.warn(why, undefined);
    }
    return waitMs;
  }

  /**
   * Tells the guest later, a few notices per turn of the event loop: a guest that is told may add more items than there
   * were.
   */
  #queueHasMore(root: number, queue: number): void {
    if (this.#queued.length >= maxQueued) return;
    this.#queued.push([root, queue]);
    if (this.#queued.length === 1) setImmediate(() => this.#tellQueues());
  }

  #tellQueues(): void {
    const endsMono = performance.now() + backgroundTurnMs;
    let told = 0;
    let waitMs = this.#backgroundWait();
    // Told notices stay in the list until the loop ends, so that `#queueHasMore` does not start a second round.
    while (
      told < Math.min(queuedATurn, this.#queued.length) &&
      waitMs === 0 &&
      performance.now() < endsMono
    ) {
      const [root, queue] = this.#queued[told] as readonly [number, number];
      this.#inBackground(hooks.queueReady, root, queue, "", "");
      told += 1;
      waitMs = this.#backgroundWait();
    }
    this.#queued = this.alive ? this.#queued.slice(told) : [];
    if (this.#queued.length === 0) return;
    if (waitMs === 0) setImmediate(() => this.#tellQueues());
    else setTimeout(() => this.#tellQueues(), waitMs).unref();
  }

  #tellEnds(): void {
    const ends = this.#ends;
    this.#ends = [];
    for (let i = 0; i < ends.length; i += endsACall) {
      const some = ends.slice(i, i + endsACall);
      this.#unasked(hooks.end, 0, 0, some.join("\x01"), "");
      for (const each of some) this.#streams.delete(Number(each.slice(0, each.indexOf("\0"))));
    }
  }

  #tick(root: number, periodMs: number): void {
    this.#forgetTick(root);
    if (periodMs === 0 || this.#hasFailed) return;
    const tick = (): void => {
      if (this.#backgroundWait() === 0) this.#inBackground(hooks.tick, root, 0, "", "");
    };
    this.#ticks.set(root, setInterval(tick, Math.max(periodMs, shortestTickMs)).unref());
  }

  #forgetTick(root: number): void {
    clearInterval(this.#ticks.get(root));
    this.#ticks.delete(root);
  }

  #send(context: number, stream: InstanceStream | undefined, parts: EffectParts): void {
    const [call = "", upstream = "", timeoutMs = "", flat = "", body = ""] = parts;
    const root = stream?.root ?? context;
    stream?.callsChanged(1);
    const sent =
      stream?.isReplay === true
        ? Promise.resolve(brokenCall)
        : this.#parts.calls.send(upstream, flat.split("\0"), body, Number(timeoutMs), this.#abort.signal);
    void sent.then((answer) => this.#answered(answer, root, Number(call), stream));
  }

  #answered(answer: CallAnswer, root: number, call: number, stream: InstanceStream | undefined): void {
    const waitMs = this.#backgroundWait();
    if (waitMs > 0 && this.alive) {
      setTimeout(() => this.#answered(answer, root, call, stream), waitMs).unref();
      return;
    }
    stream?.callsChanged(-1);
    this.#inBackground(hooks.callResponse, root, call, answer.text, answer.body);
  }
}
