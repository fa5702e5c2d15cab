// Sessions that let nobody in, and why.
import { refused, unavailable, type Accepted, type AuthResult } from "../auth-result.ts";

export interface ShutSession {
  readonly result: Exclude<AuthResult, Accepted>;
  /** It is good nowhere: the browser is to forget it. */
  readonly forget: boolean;
  /** Epoch milliseconds at which it began, of one that is good elsewhere: another login may bring the same. */
  readonly startedMs?: number;
}

const shut = (because: string, forget: boolean): ShutSession => ({
  result: refused("session", `session: ${because}`),
  forget,
});
// Perhaps sealed by a sidecar that got a new key first.
export const unreadable = shut("not readable", false);
export const gone = shut("over or logged out", true);
export const over = shut("over", true);
export const ended = shut("logged out", true);
export const refreshRefused = shut("the provider refused to refresh it", true);
export const outOfReach: ShutSession = {
  result: unavailable("session", "session: redis or the provider is out of reach"),
  forget: false,
};

/** Its own login, or another route of it, may still take it. */
export const goodElsewhere = (because: string, startedMs: number): ShutSession => ({
  ...shut(because, false),
  startedMs,
});
