// What a plugin's scope runs for a step, one function a hook: made once, so that a hook costs no closure.
import type { ExchangeResponse, Hooks, Outcome } from "../plugin-api/contract.ts";
import type { GatewayError } from "../plugin-api/errors.ts";
import { followCalls } from "./call-trace.ts";
import type { LiveExchange } from "./exchange.ts";

export function onRequest(hooks: Hooks, exchange: LiveExchange) {
  follow(exchange);
  return hooks.onRequest?.(exchange);
}

export function onResponse(hooks: Hooks, exchange: LiveExchange, response: ExchangeResponse) {
  follow(exchange);
  return hooks.onResponse?.(exchange, response);
}

export function onError(hooks: Hooks, exchange: LiveExchange, error: GatewayError) {
  follow(exchange);
  return hooks.onError?.(exchange, error);
}

export function onComplete(hooks: Hooks, exchange: LiveExchange, outcome: Outcome): unknown {
  return hooks.onComplete?.(exchange, outcome);
}

/** The scope forgets it when it is left. */
function follow({ trace }: LiveExchange): void {
  if (trace?.takesCalls === true) followCalls(trace);
}
