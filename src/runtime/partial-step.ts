// One plugin on one route that runs for a part of the callers. What is not run counts as nothing: it leaves no time in
// the metrics and closes no breaker.
import type { ExchangeResponse, Outcome, Verdict } from "../plugin-api/contract.ts";
import type { GatewayError } from "../plugin-api/errors.ts";
import type { LiveExchange } from "./exchange.ts";
import type { HookResult } from "./hook-result.ts";
import { Step, type StepParts } from "./step.ts";

/** A part of the callers: by the extension that the plugin is, or by a flag in its options. */
export interface CallerPart {
  takes(plugin: string, exchange: LiveExchange): boolean;
  /** The same where only these plugins are left of the chain. */
  among(names: ReadonlySet<string>): CallerPart;
}

export class PartialStep extends Step {
  readonly #parts: StepParts;
  /** It runs for those that are in each. */
  readonly #callers: readonly CallerPart[];

  constructor(parts: StepParts, callers: readonly CallerPart[]) {
    super(parts);
    this.#parts = parts;
    this.#callers = callers;
  }

  /** The same beside fewer others: their callers are given to those that are left. */
  override beside(names: ReadonlySet<string>): Step {
    const callers = this.#callers.map((part) => part.among(names));
    if (callers.every((part, i) => part === this.#callers[i])) return this;
    return new PartialStep({ ...this.#parts, breaker: this.breaker }, callers);
  }

  override request(exchange: LiveExchange): HookResult<Verdict> | Promise<HookResult<Verdict>> {
    return this.takes(exchange) ? super.request(exchange) : undefined;
  }

  override response(
    exchange: LiveExchange,
    response: ExchangeResponse,
  ): HookResult<void> | Promise<HookResult<void>> {
    return this.takes(exchange) ? super.response(exchange, response) : undefined;
  }

  override error(
    exchange: LiveExchange,
    error: GatewayError,
  ): HookResult<Verdict> | Promise<HookResult<Verdict>> {
    return this.takes(exchange) ? super.error(exchange, error) : undefined;
  }

  override recheck(exchange: LiveExchange): HookResult<Verdict> | Promise<HookResult<Verdict>> {
    return this.takes(exchange) ? super.recheck(exchange) : undefined;
  }

  override complete(exchange: LiveExchange, outcome: Outcome): void {
    if (this.takes(exchange)) super.complete(exchange, outcome);
  }

  /** Whether it runs for this exchange's caller. */
  takes(exchange: LiveExchange): boolean {
    return this.#callers.every((part) => part.takes(this.name, exchange));
  }
}
