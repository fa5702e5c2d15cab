// Which trace a call belongs to that a plugin makes (Redis, an issuer, a database): the one whose hook waits for it. Hooks
// are followed so across what they wait for, at 0.15 µs each: those of sampled exchanges, and those that are known to wait
// of exchanges that are kept should they fail or take long.
import { AsyncLocalStorage } from "node:async_hooks";
import type { LiveTrace } from "./live-trace.ts";

const followed = new AsyncLocalStorage<LiveTrace>();

/** What begins from here on, in the scope that runs, belongs to this trace. */
export function followCalls(trace: LiveTrace): void {
  followed.enterWith(trace);
}

/** Of whoever makes a call, or has made the one that ends; undefined = none that is followed. */
export function callingTrace(): LiveTrace | undefined {
  return followed.getStore();
}
