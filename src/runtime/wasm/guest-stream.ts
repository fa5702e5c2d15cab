// Keeps one exchange as its guest sees it: its context, what it waits for, and what the guest did to it.
import type { Exchange, MaybePromise, Outcome } from "../../plugin-api/contract.ts";
import { after } from "./after.ts";
import type { EffectParts } from "./answer.ts";
import { exchangeInfo, type Head, maxFields, outcomeInfo, requestHead } from "./exchange-facts.ts";
import type { FilterPolicy } from "./filter-policy.ts";
import { GuestFailure, hooks } from "./guest-host.ts";
import type { Instance, InstanceStream } from "./instance.ts";
import { Pause } from "./pause.ts";
import type { ResponseBody } from "./response-body.ts";
import type { Root } from "./root.ts";
import { StreamEffects } from "./stream-effects.ts";

/** The ABI's numbers: 0 = request, 1 = response. */
export type StreamType = 0 | 1;

export class GuestStream implements InstanceStream {
  readonly policy: FilterPolicy;
  readonly exchange: Exchange;
  readonly effects: StreamEffects;
  /** The response's body, while the guest is shown it. */
  body: ResponseBody | undefined = undefined;
  /** How many of the guest's own calls are in progress. */
  calls = 0;
  readonly #root: Root;
  #instance: Instance | undefined = undefined;
  #context = 0;
  /** The request's head as the guest was first told of it. */
  #head: Head | undefined = undefined;
  #pause: Pause | undefined = undefined;
  #pausedType: StreamType = 0;

  constructor(policy: FilterPolicy, root: Root, exchange: Exchange) {
    this.policy = policy;
    this.exchange = exchange;
    this.effects = new StreamEffects(policy, exchange);
    this.#root = root;
  }

  get requestId(): string {
    return this.exchange.id;
  }

  get isReplay(): boolean {
    return this.effects.isReplay;
  }

  get root(): number {
    return this.#instance === undefined ? 0 : this.#root.idIn(this.#instance);
  }

  /** Whether the guest that was told of the request still runs. */
  get isHeld(): boolean {
    return this.#instance?.alive === true;
  }

  /** Tells the guest of the request. @returns the guest's action. Throws or rejects when the guest fails */
  begin(): MaybePromise<number> {
    return this.#begin(true);
  }

  /**
   * Another exchange ended the guest. Its successor is told of the request again; effects that were already carried out
   * are ignored.
   */
  beginAgain(): MaybePromise<void> {
    this.effects.isReplay = true;
    return after(this.#begin(true), (action) => {
      this.effects.isReplay = false;
      if (action !== 0) throw new GuestFailure("another request ended the guest that held this one");
    });
  }

  /** @returns the guest's action. Throws or rejects when the guest fails */
  call(hook: number, number: number, text: string, more: string): MaybePromise<number> {
    if (this.#instance === undefined) throw new GuestFailure("the guest is not there any more");
    return this.#instance.call(hook, this.#context, number, text, more);
  }

  /**
   * Waits after the guest said to pause; it may have resumed already. Rejects when the guest does not resume in time.
   */
  async paused(type: StreamType): Promise<void> {
    const { resumed } = this.effects;
    if (resumed[type] !== true) {
      this.#pausedType = type;
      this.#pause = new Pause(this.calls, this.exchange.signal);
      try {
        await this.#pause.over;
      } finally {
        this.#pause = undefined;
      }
    }
    resumed[type] = false;
  }

  end(outcome: Outcome): void {
    this.#pause?.fail(new Error("the exchange is over"));
    if (this.#instance === undefined || this.#context === 0) return;
    this.#instance.end(this.#context, outcomeInfo(outcome, this.exchange.refusedBecause ?? ""));
  }

  callsChanged(by: 1 | -1): void {
    if (this.effects.isReplay) return;
    this.calls += by;
    this.#pause?.callsAre(this.calls);
  }

  effect(kind: string, parts: EffectParts): void {
    const { effects } = this;
    if (effects.isReplay) return;
    if (kind === "b" && parts[0] === "1") this.body?.replace(parts[1] ?? "");
    else effects.take(kind, parts);
    if (effects.isDecided || effects.resumed[this.#pausedType] === true) this.#pause?.end();
  }

  lost(failure: GuestFailure): void {
    this.#pause?.fail(failure);
  }

  /** Second try, when the guest was gone before the call or got no CPU time. */
  async #beginOnce(): Promise<number> {
    return this.#begin(false);
  }

  #begin(mayRetry: boolean): MaybePromise<number> {
    this.#head ??= requestHead(this.exchange, this.policy.fields);
    const instance = this.#root.instance();
    if (instance instanceof Promise) {
      return instance.then((started) => this.#beginIn(started)).catch(this.#retry(mayRetry));
    }
    try {
      const asked = this.#beginIn(instance);
      return asked instanceof Promise ? asked.catch(this.#retry(mayRetry)) : asked;
    } catch (error) {
      return this.#retry(mayRetry)(error);
    }
  }

  #retry(mayRetry: boolean): (error: unknown) => Promise<number> {
    return (error) => {
      if (!mayRetry || !(error instanceof GuestFailure) || error.began) throw error;
      return this.#beginOnce();
    };
  }

  #beginIn(instance: Instance): MaybePromise<number> {
    const head = this.#head as Head;
    this.#instance = instance;
    this.#context = instance.nextContext();
    instance.add(this.#context, this);
    const last = this.exchange.request.hasBody ? 0 : 1;
    const number = this.#root.idIn(instance) * 8_192 + Math.min(head.count, maxFields) * 2 + last;
    return instance.call(hooks.request, this.#context, number, head.text, exchangeInfo(this.exchange));
  }
}
