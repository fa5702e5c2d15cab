// One plugin on one route that runs for a part of the callers. What is not run counts as nothing: it leaves no time in
// the metrics and closes no breaker.
import type { ExchangeResponse, Outcome, Verdict } from "../plugin-api/contract.ts";
import type { GatewayError } from "../plugin-api/errors.ts";
import type { Alternatives } from "./alternatives.ts";
import type { LiveExchange } from "./exchange.ts";
import type { HookResult } from "./hook-result.ts";
import { Step, type StepParts } from "./step.ts";

export class PartialStep extends Step {
  readonly #parts: StepParts;
  readonly #alternatives: Alternatives;

  constructor(parts: StepParts, alternatives: Alternatives) {
    super(parts);
    this.#parts = parts;
    this.#alternatives = alternatives;
  }

  /** The same beside fewer others: their callers are given to those that are left. */
  override beside(names: ReadonlySet<string>): Step {
    const alternatives = this.#alternatives.among(names);
    if (alternatives === this.#alternatives) return this;
    return new PartialStep({ ...this.#parts, breaker: this.breaker }, alternatives);
  }

  override request(exchange: LiveExchange): HookResult<Verdict> | Promise<HookResult<Verdict>> {
    return this.#takes(exchange) ? super.request(exchange) : undefined;
  }

  override response(
    exchange: LiveExchange,
    response: ExchangeResponse,
  ): HookResult<void> | Promise<HookResult<void>> {
    return this.#takes(exchange) ? super.response(exchange, response) : undefined;
  }

  override error(
    exchange: LiveExchange,
    error: GatewayError,
  ): HookResult<Verdict> | Promise<HookResult<Verdict>> {
    return this.#takes(exchange) ? super.error(exchange, error) : undefined;
  }

  override recheck(exchange: LiveExchange): HookResult<Verdict> | Promise<HookResult<Verdict>> {
    return this.#takes(exchange) ? super.recheck(exchange) : undefined;
  }

  override complete(exchange: LiveExchange, outcome: Outcome): void {
    if (this.#takes(exchange)) super.complete(exchange, outcome);
  }

  #takes(exchange: LiveExchange): boolean {
    return this.#alternatives.takes(this.name, exchange);
  }
}
