// Defines the functions that run in a plugin's async scope for a step, one per hook. They are created once, so that a
// hook call allocates no closure.
import type { ExchangeResponse, Hooks, Outcome } from "../plugin-api/contract.ts";
import type { GatewayError } from "../plugin-api/errors.ts";
import { followCalls } from "./call-trace.ts";
import type { LiveExchange } from "./exchange.ts";

export function onRequest(hooks: Hooks, exchange: LiveExchange, waits: number) {
  follow(exchange, waits);
  return hooks.onRequest?.(exchange);
}

export function onResponse(hooks: Hooks, exchange: LiveExchange, waits: number, response: ExchangeResponse) {
  follow(exchange, waits);
  return hooks.onResponse?.(exchange, response);
}

export function onError(hooks: Hooks, exchange: LiveExchange, waits: number, error: GatewayError) {
  follow(exchange, waits);
  return hooks.onError?.(exchange, error);
}

export function onComplete(hooks: Hooks, exchange: LiveExchange, outcome: Outcome): unknown {
  return hooks.onComplete?.(exchange, outcome);
}

/**
 * Makes the trace current until the plugin's scope is left.
 * @param waits above 0 = the hook is known to wait for something
 */
function follow({ trace }: LiveExchange, waits: number): void {
  if (trace !== undefined && (waits > 0 || trace.sampled) && trace.takesCalls) followCalls(trace);
}
