// Runs the hooks of one route: the request phase by priority, the response and error phase in reverse. A chain is
// composed once per snapshot. A chain whose hooks return no promise runs without a microtask.
import type { Outcome, Verdict } from "../plugin-api/contract.ts";
import { GatewayError } from "../plugin-api/errors.ts";
import type { LiveExchange, PartialPlugin } from "./exchange.ts";
import type { OwnedCookies } from "./owned-cookies.ts";
import type { Clock } from "../plugin-api/services.ts";
import { LiveResponse } from "./response.ts";
import { HookFailure, type HookResult } from "./hook-result.ts";
import { PartialStep } from "./partial-step.ts";
import { type Step } from "./step.ts";
import { type StepOrder, stepOrder } from "./step-order.ts";

type Answer = Exclude<Verdict, undefined | void>;

export class Chain {
  readonly steps: readonly Step[];
  /**
   * Shared by the whole snapshot, and set once all its chains exist. A plugin that owns no cookie cannot set an owned
   * one.
   */
  ownedCookies: OwnedCookies | undefined = undefined;
  readonly #clock: Clock;
  readonly #order: StepOrder;
  readonly #partial: readonly PartialPlugin[] | undefined;

  /**
   * @param steps by priority, lowest first
   * @param out plugins that were left out, by the place in the chain that they would stand before
   */
  constructor(steps: readonly Step[], clock: Clock, out: readonly PartialPlugin[] = []) {
    this.steps = steps;
    this.#clock = clock;
    this.#order = stepOrder(steps);
    const partial = steps.flatMap((step, index) => (step instanceof PartialStep ? [{ index, step }] : []));
    // What is made without a plugin is another variant than what is made with it.
    this.#partial = partial.length + out.length === 0 ? undefined : [...partial, ...out];
  }

  /** Names of the plugins, in the order in which they run. */
  get plugins(): readonly string[] {
    return this.#order.plugins;
  }

  /** The same chain without the steps for which `isOut` is true. */
  without(isOut: (step: Step) => boolean): Chain {
    const left: Step[] = [];
    const out: PartialPlugin[] = [];
    for (const step of this.steps)
      if (isOut(step)) out.push({ index: left.length, step: { name: step.name, takes: () => false } });
      else left.push(step);
    const names = new Set(left.map(({ name }) => name));
    const chain = new Chain(
      left.map((step) => step.beside(names)),
      this.#clock,
      out,
    );
    chain.ownedCookies = this.ownedCookies;
    return chain;
  }

  /** Whether a plugin of this chain has a recheck hook for exchanges that go on for long. */
  get rechecks(): boolean {
    return this.#order.recheck.length > 0;
  }

  /**
   * Checks whether an exchange that goes on would still be let in.
   * @param exchange the exchange made anew from the same request
   * @returns why it would be refused; undefined = it would be let in, or a plugin failed while it checked
   */
  recheck(exchange: LiveExchange): GatewayError | undefined | Promise<GatewayError | undefined> {
    exchange.hookMono = this.#clock.mono();
    return this.#recheckFrom(exchange, 0);
  }

  /** Runs the request phase. @returns the first answer, or undefined to forward. */
  request(exchange: LiveExchange): Answer | undefined | Promise<Answer | undefined> {
    exchange.hookMono = this.#clock.mono();
    if (this.#partial !== undefined) exchange.partial = this.#partial;
    return this.#requestFrom(exchange, 0);
  }

  /**
   * Runs the response phase for the steps whose request phase ran.
   * @returns the given response, or an error response if a hook with fail mode "closed" failed
   */
  response(exchange: LiveExchange, response: LiveResponse): LiveResponse | Promise<LiveResponse> {
    exchange.hookMono = this.#clock.mono();
    if (exchange.record?.isWhole === true) response.fields.watcher = exchange;
    const { answeredBy } = exchange;
    if (answeredBy !== undefined && this.ownedCookies?.isOwner(answeredBy) === false) {
      this.ownedCookies.dropFrom(response.fields);
    }
    return this.#responseFrom(exchange, response, 0, false);
  }

  /**
   * Runs the response phase of the steps whose request phase did not run because an earlier step answered. That earlier
   * step fetched this response with a request of its own; the exchange itself may be over.
   */
  responseBeyond(exchange: LiveExchange, response: LiveResponse): LiveResponse | Promise<LiveResponse> {
    exchange.hookMono = this.#clock.mono();
    return this.#responseFrom(exchange, response, 0, true);
  }

  /** Asks the steps whose request phase ran for an answer in place of a failure. */
  error(exchange: LiveExchange, error: GatewayError): Answer | undefined | Promise<Answer | undefined> {
    exchange.hookMono = this.#clock.mono();
    return this.#errorFrom(exchange, error, 0);
  }

  complete(exchange: LiveExchange, outcome: Outcome): void {
    exchange.hookMono = this.#clock.mono();
    for (const index of this.#order.complete) {
      if (index < exchange.reached) (this.steps[index] as Step).complete(exchange, outcome);
    }
  }

  // An exchange may end while a hook is awaited, and then its onComplete has run. A later hook would take things that
  // nothing gives back.
  #requestFrom(exchange: LiveExchange, start: number): Answer | undefined | Promise<Answer | undefined> {
    if (exchange.over) return undefined;
    const order = this.#order.request;
    for (let i = start; i < order.length; i += 1) {
      const index = order[i] as number;
      const step = this.steps[index] as Step;
      exchange.reached = index + 1;
      const result = step.request(exchange);
      if (result instanceof Promise) {
        return result.then(
          (settled) => this.#verdict(exchange, step, settled) ?? this.#requestFrom(exchange, i + 1),
        );
      }
      const answer = this.#verdict(exchange, step, result);
      if (answer !== undefined) return answer;
    }
    exchange.reached = this.steps.length;
    return undefined;
  }

  #recheckFrom(
    exchange: LiveExchange,
    start: number,
  ): GatewayError | undefined | Promise<GatewayError | undefined> {
    const order = this.#order.recheck;
    for (let i = start; i < order.length; i += 1) {
      const result = (this.steps[order[i] as number] as Step).recheck(exchange);
      if (result instanceof Promise) {
        return result.then((settled) => errorOf(settled) ?? this.#recheckFrom(exchange, i + 1));
      }
      const error = errorOf(result);
      if (error !== undefined) return error;
    }
    return undefined;
  }

  #verdict(exchange: LiveExchange, step: Step, result: HookResult<Verdict>): Answer | undefined {
    const answer = result instanceof HookFailure ? refusal(step, result) : (result ?? undefined);
    if (answer !== undefined) exchange.answeredBy = step.name;
    else if (result instanceof HookFailure) exchange.failedOpen = exchange.reached;
    return answer;
  }

  #responseFrom(
    exchange: LiveExchange,
    response: LiveResponse,
    start: number,
    beyond: boolean,
  ): LiveResponse | Promise<LiveResponse> {
    if (exchange.over && !beyond) return response;
    const order = this.#order.response;
    let current = response;
    for (let i = start; i < order.length; i += 1) {
      const index = order[i] as number;
      const hasRun = index < exchange.reached;
      if (hasRun === beyond) continue;
      const step = this.steps[index] as Step;
      if (!beyond && exchange.failedOpen > index + 1) current.failedOpen = true;
      const cookies = this.ownedCookies?.isOwner(step.name) === false ? this.ownedCookies : undefined;
      const before = cookies?.setIn(current.fields);
      const result = step.response(exchange, current);
      if (result instanceof Promise) {
        const waiting = current;
        return result.then((settled) => {
          cookies?.dropFrom(waiting.fields, before);
          return this.#responseFrom(exchange, replaced(exchange, step, waiting, settled), i + 1, beyond);
        });
      }
      cookies?.dropFrom(current.fields, before);
      current = replaced(exchange, step, current, result);
    }
    return current;
  }

  #errorFrom(
    exchange: LiveExchange,
    error: GatewayError,
    start: number,
  ): Answer | undefined | Promise<Answer | undefined> {
    if (exchange.over) return undefined;
    const order = this.#order.error;
    for (let i = start; i < order.length; i += 1) {
      const index = order[i] as number;
      if (index >= exchange.reached) continue;
      const step = this.steps[index] as Step;
      const result = step.error(exchange, error);
      if (result instanceof Promise) {
        return result.then(
          (settled) => this.#rescue(exchange, step, settled) ?? this.#errorFrom(exchange, error, i + 1),
        );
      }
      const answer = this.#rescue(exchange, step, result);
      if (answer !== undefined) return answer;
    }
    return undefined;
  }

  // The exchange has failed already. If an error hook fails too, the first error stays.
  #rescue(exchange: LiveExchange, step: Step, result: HookResult<Verdict>): Answer | undefined {
    if (result instanceof HookFailure || !result) return undefined;
    exchange.answeredBy = step.name;
    return result;
  }
}

function errorOf(result: HookResult<Verdict>): GatewayError | undefined {
  if (result instanceof HookFailure) return result.error.code === "plugin_failed" ? undefined : result.error;
  if (!result) return undefined;
  if (result.action === "reject") return result.error;
  return new GatewayError("forbidden", "A plugin of this route answers in place of the service now.");
}

function refusal(step: Step, failure: HookFailure): Answer | undefined {
  // An error the plugin chose to throw always counts; a fault of the plugin counts by its fail mode.
  if (failure.error.code === "plugin_failed" && step.failMode === "open") return undefined;
  return { action: "reject", error: failure.error };
}

function replaced(
  exchange: LiveExchange,
  step: Step,
  response: LiveResponse,
  result: HookResult<void>,
): LiveResponse {
  if (!(result instanceof HookFailure)) return response;
  if (refusal(step, result) === undefined) {
    response.failedOpen = true;
    return response;
  }
  response.discard();
  const failure = LiveResponse.fromError(result.error, exchange.id);
  failure.faults = response.faults;
  return failure;
}
