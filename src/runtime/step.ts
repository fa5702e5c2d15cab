// Runs one plugin on one route, with everything that keeps it from hurting others: time limit, breaker, fail mode,
// counts. A plugin that fails closed has no breaker: an open one would refuse every request because of a few. A plugin
// that fails open has one, and only hooks that hang open it. An exception makes no request wait, and a request that
// provokes one must not switch the plugin off for other requests.
import type { AsyncResource } from "node:async_hooks";
import type {
  ExchangeResponse,
  FailMode,
  Hooks,
  Outcome,
  PluginDefinition,
  Verdict,
} from "../plugin-api/contract.ts";
import { type Breaker, stepBreaker } from "./step-breaker.ts";
import { type GatewayError, gatewayErrorOf } from "../plugin-api/errors.ts";
import type { LiveExchange } from "./exchange.ts";
import { onComplete, onError, onRequest, onResponse } from "./hook-calls.ts";
import { HookFailure, type HookResult, leftOut, pluginFailed, PluginUnavailable } from "./hook-result.ts";
import type { PluginFaults } from "./plugin-faults.ts";
import type { HookErrors, HookErrorType, HookMeasures, Phase } from "./hook-measures.ts";
import type { Clock, Histogram, Logger } from "../plugin-api/services.ts";
import { isThenable, takeVerdict } from "./verdict.ts";

const defaultTimeLimitMs = 2_000;
/** A synchronous hook that takes this long blocks the event loop for all requests. */
const longHookSeconds = 0.1;
/** A step counts as waiting until this many hooks in a row have returned no promise. */
const rememberedWait = 1_000;

/** Called for a hook that blocked the event loop for so long. */
export type LongHook = (hook: string, ms: number) => void;

export interface StepParts {
  readonly definition: PluginDefinition;
  readonly hooks: Hooks;
  readonly failMode: FailMode;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly measures: HookMeasures;
  readonly faults: PluginFaults;
  /** Hooks run in this scope, so that what their work throws later is attributed to the plugin. */
  readonly scope: AsyncResource;
  readonly onLongHook: LongHook;
  /** Upper bound in milliseconds for each hook, whatever the hooks' own limits are. Default: none. */
  readonly hookLimitMs?: number | undefined;
  /** The breaker of the same plugin on the same route. Default: a new one. */
  readonly breaker?: Breaker | undefined;
}

export class Step {
  readonly name: string;
  /** Whether the plugin decides who gets in. */
  readonly security: boolean;
  readonly hooks: Hooks;
  readonly failMode: FailMode;
  /** Undefined for a plugin that fails closed. */
  readonly breaker: Breaker | undefined;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #faults: PluginFaults;
  readonly #scope: AsyncResource;
  /** How many more hooks without a promise it takes until the step no longer counts as waiting. */
  #waits = rememberedWait;
  readonly #onLongHook: LongHook;
  readonly #hookLimitMs: number;
  readonly #seconds: Record<Phase, Histogram>;
  readonly #errors: Record<Phase, HookErrors>;

  constructor(parts: StepParts) {
    this.name = parts.definition.name;
    this.security = parts.definition.security;
    this.hooks = parts.hooks;
    this.failMode = parts.failMode;
    this.breaker = stepBreaker(parts);
    this.#clock = parts.clock;
    this.#logger = parts.logger;
    this.#faults = parts.faults;
    this.#scope = parts.scope;
    this.#onLongHook = parts.onLongHook;
    this.#hookLimitMs = parts.hookLimitMs ?? Infinity;
    this.#seconds = parts.measures.seconds;
    this.#errors = parts.measures.errors;
  }

  /** The same step where the chain has only these plugins left. */
  beside(_names: ReadonlySet<string>): Step {
    return this;
  }

  // A hook's time runs from `exchange.hookMono`, and its end is the start of the next hook, so the clock is read once
  // per hook. A hook that returns a plain value gets a plain value back. A promise settles within the hook's time limit
  // and leaves no timer.

  request(exchange: LiveExchange): HookResult<Verdict> | Promise<HookResult<Verdict>> {
    if (this.breaker !== undefined && this.#isLeftOut("onRequest", exchange)) return leftOut();
    try {
      return this.#returned(
        "onRequest",
        exchange,
        this.#scope.runInAsyncScope(onRequest, undefined, this.hooks, exchange, this.#waits),
      );
    } catch (error) {
      return this.#threw("onRequest", exchange, error);
    }
  }

  response(exchange: LiveExchange, response: ExchangeResponse): HookResult<void> | Promise<HookResult<void>> {
    if (this.breaker !== undefined && this.#isLeftOut("onResponse", exchange)) return leftOut();
    try {
      return this.#returned(
        "onResponse",
        exchange,
        this.#scope.runInAsyncScope(onResponse, undefined, this.hooks, exchange, this.#waits, response),
      );
    } catch (error) {
      return this.#threw("onResponse", exchange, error);
    }
  }

  error(exchange: LiveExchange, error: GatewayError): HookResult<Verdict> | Promise<HookResult<Verdict>> {
    if (this.breaker !== undefined && this.#isLeftOut("onError", exchange)) return leftOut();
    try {
      return this.#returned(
        "onError",
        exchange,
        this.#scope.runInAsyncScope(onError, undefined, this.hooks, exchange, this.#waits, error),
      );
    } catch (thrown) {
      return this.#threw("onError", exchange, thrown);
    }
  }

  recheck(exchange: LiveExchange): HookResult<Verdict> | Promise<HookResult<Verdict>> {
    try {
      return this.#returned("recheck", exchange, this.hooks.recheck?.(exchange));
    } catch (error) {
      return this.#threw("recheck", exchange, error);
    }
  }

  /** Nothing waits for `onComplete`, and an exception in it does not affect the exchange. */
  complete(exchange: LiveExchange, outcome: Outcome): void {
    const startedMono = exchange.hookMono;
    try {
      const result: unknown = this.#scope.runInAsyncScope(
        onComplete,
        undefined,
        this.hooks,
        exchange,
        outcome,
      );
      // The contract has no promise here, but the type system accepts an async function.
      if (result !== undefined && isThenable(result)) {
        result.then(undefined, (error: unknown) => this.#count("onComplete", startedMono, error, "threw"));
      }
      this.#observe("onComplete", exchange, true);
    } catch (error) {
      this.#count("onComplete", startedMono, error, "threw");
    }
  }

  /** @returns what an operator should know about the plugin; undefined = it is well */
  get trouble(): string | undefined {
    if (this.breaker?.open === true) return "it hangs, and is left out for a while";
    return this.#faults.trouble(this.#clock.mono());
  }

  #isLeftOut(phase: Phase, exchange: LiveExchange): boolean {
    const { hookMono } = exchange;
    if (this.breaker?.allows(hookMono) !== false && !this.#faults.isQuarantined(hookMono)) return false;
    exchange.record?.hookRan(this.name, phase, 0, "left-out");
    return true;
  }

  #returned<T>(
    phase: Exclude<Phase, "onComplete">,
    exchange: LiveExchange,
    result: T | Promise<T>,
  ): HookResult<T> | Promise<HookResult<T>> {
    if (result !== undefined && isThenable(result)) {
      this.#waits = rememberedWait;
      return this.#within(phase, exchange, Promise.resolve(result));
    }
    if (this.#waits > 0) this.#waits -= 1;
    exchange.endHook();
    return this.#settled(phase, exchange, result as T, true);
  }

  #threw(phase: Exclude<Phase, "onComplete">, exchange: LiveExchange, error: unknown): HookFailure {
    exchange.endHook();
    return this.#failed(phase, exchange, error);
  }

  #within<T>(
    phase: Exclude<Phase, "onComplete">,
    exchange: LiveExchange,
    result: Promise<T>,
  ): Promise<HookResult<T>> {
    const startedMono = exchange.hookMono;
    const limitMs = Math.min(this.hooks.timeLimitMs?.[phase] ?? defaultTimeLimitMs, this.#hookLimitMs);
    exchange.hookWaits();
    return new Promise((resolve) => {
      let pending = true;
      // After a stall of this process the answer may already be in a socket: it is read first.
      const ring = (): void => void setImmediate(late);
      const late = (): void => {
        if (!pending) return;
        // A slow client must not make the plugin look slow, or open its breaker: reading the body has its own time
        // limit.
        if (exchange.readsBody && !exchange.over) {
          timer = setTimeout(ring, limitMs);
          return;
        }
        pending = false;
        const error = new Error(`${this.name}.${phase} took longer than ${limitMs} ms`);
        // Aborts the hook's own waits; whatever it still returns is ignored.
        exchange.cancelHook(error);
        exchange.hookMono = startedMono;
        this.#resolve(resolve, () => this.#failed(phase, exchange, error, "timeout"));
        exchange.hookSettled();
      };
      let timer = setTimeout(ring, limitMs);
      const settle = (settled: () => HookResult<T>): void => {
        if (!pending) return;
        pending = false;
        clearTimeout(timer);
        exchange.endHook();
        // Another phase that began meanwhile (the response phase of a failure) has changed it.
        exchange.hookMono = startedMono;
        this.#resolve(resolve, settled);
        exchange.hookSettled();
      };
      result.then(
        (value) => settle(() => this.#settled(phase, exchange, value, false)),
        (error: unknown) => settle(() => this.#failed(phase, exchange, error)),
      );
    });
  }

  /** Resolves the hook's promise even if counting its result throws. */
  #resolve<T>(resolve: (result: HookResult<T>) => void, settled: () => HookResult<T>): void {
    try {
      resolve(settled());
    } catch (error) {
      this.#logger.error({ plugin: this.name, err: error }, "what a plugin's hook came to cannot be counted");
      resolve(pluginFailed(error));
    }
  }

  /** Takes the hook's value; one that is no verdict is the plugin's fault. @param plainly it returned no promise */
  #settled<T>(
    phase: Exclude<Phase, "onComplete">,
    exchange: LiveExchange,
    value: T,
    plainly: boolean,
  ): HookResult<T> {
    const taken = value === undefined || phase === "onResponse" ? value : takeVerdict(value);
    if (taken instanceof Error) return this.#failed(phase, exchange, taken, "bad_verdict");
    this.breaker?.succeeded();
    this.#observe(phase, exchange, plainly);
    return taken as T;
  }

  #observe(phase: Phase, exchange: LiveExchange, plainly: boolean): void {
    const nowMono = this.#clock.mono();
    const seconds = (nowMono - exchange.hookMono) / 1000;
    this.#seconds[phase].observe(seconds);
    exchange.hookRan(this.name, phase, nowMono, "returned", plainly);
    if (plainly && seconds > longHookSeconds) this.#onLongHook(`${this.name}.${phase}`, seconds * 1000);
  }

  #failed(phase: Phase, exchange: LiveExchange, error: unknown, type: HookErrorType = "threw"): HookFailure {
    // A GatewayError is an answer that the plugin chose to throw, not a fault of the plugin.
    const coded = gatewayErrorOf(error);
    if (coded !== undefined) {
      this.breaker?.succeeded();
      exchange.record?.hookRan(this.name, phase, this.#clock.mono() - exchange.hookMono, "threw");
      return new HookFailure(coded);
    }
    if (exchange.clientGone) {
      this.breaker?.withdrawn();
    } else {
      this.#count(phase, exchange.hookMono, error, type);
      const nowMono = this.#clock.mono();
      exchange.hookRan(this.name, phase, nowMono, "failed", false);
      if (type === "timeout") this.breaker?.failed(nowMono);
      else this.breaker?.succeeded();
    }
    return pluginFailed(error);
  }

  #count(phase: Phase, startedMono: number, error: unknown, type: HookErrorType): void {
    this.#errors[phase].count(error instanceof PluginUnavailable ? "unavailable" : type);
    this.#seconds[phase].observe((this.#clock.mono() - startedMono) / 1000);
    if (error instanceof PluginUnavailable) return;
    this.#logger.error({ plugin: this.name, phase, err: error }, "plugin hook failed");
  }
}
