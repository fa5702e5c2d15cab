// Runs one plugin on one route for some of the callers only. A skipped call leaves no trace: it adds no time to the
// metrics and does not close a breaker.
import type { ExchangeResponse, Outcome, Verdict } from "../plugin-api/contract.ts";
import type { GatewayError } from "../plugin-api/errors.ts";
import type { LiveExchange } from "./exchange.ts";
import type { HookResult } from "./hook-result.ts";
import { Step, type StepParts } from "./step.ts";

/** Some of the callers, chosen by the alternatives of an extension or by a flag in a plugin's options. */
export interface CallerPart {
  takes(plugin: string, exchange: LiveExchange): boolean;
  /** The same part where the chain has only these plugins left. */
  among(names: ReadonlySet<string>): CallerPart;
}

export class PartialStep extends Step {
  readonly #parts: StepParts;
  /** The plugin runs for callers that are in every one of these parts. */
  readonly #callers: readonly CallerPart[];

  constructor(parts: StepParts, callers: readonly CallerPart[]) {
    super(parts);
    this.#parts = parts;
    this.#callers = callers;
  }

  /** The same step beside fewer plugins: callers of those that are gone go to those that are left. */
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
