// Finds the trace that a plugin's call (to Redis, an issuer, a database) belongs to: the trace whose hook waits for the
// call. Following a hook across its awaits costs 0.15 µs. So only two kinds of hooks are followed: those of sampled
// exchanges, and hooks known to wait, in exchanges that are kept if they fail or take long.
import { AsyncLocalStorage } from "node:async_hooks";
import type { LiveTrace } from "./live-trace.ts";

const followed = new AsyncLocalStorage<LiveTrace>();

/** From here on, calls that begin in the current async scope belong to this trace. */
export function followCalls(trace: LiveTrace): void {
  followed.enterWith(trace);
}

/** The trace of the code that makes a call, or whose call just ended; undefined = no trace is followed. */
export function callingTrace(): LiveTrace | undefined {
  return followed.getStore();
}
