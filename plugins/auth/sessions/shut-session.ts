// The reasons why a session lets nobody in.
import { refused, unavailable, type Accepted, type AuthResult } from "../auth-result.ts";
import type { Session } from "./session-seal.ts";

export interface ShutSession {
  readonly result: Exclude<AuthResult, Accepted>;
  /** Whether it is good nowhere, so that the browser should forget it. */
  readonly forget: boolean;
  /** When it began (epoch ms). Set for a session that is good elsewhere: another login may give the same. */
  readonly startedMs?: number;
  /** The session and the cookie's new value, where its tokens were refreshed all the same. */
  readonly session?: Session;
  readonly renewed?: string;
}

const shut = (because: string, forget: boolean): ShutSession => ({
  result: refused("session", `session: ${because}`),
  forget,
});
// Possibly sealed by a sidecar that has got a new key first.
export const unreadable = shut("not readable", false);
export const gone = shut("over or logged out", true);
export const over = shut("over", true);
/** Other routes of its login may accept it for longer. */
export const overHere = shut("older than this route takes", false);
export const ended = shut("logged out", true);
export const refreshRefused = shut("the provider refused to refresh it", true);
export const outOfReach: ShutSession = {
  result: unavailable("session", "session: redis or the provider is out of reach"),
  forget: false,
};

/** The session's own login, or another route of it, may still accept it. */
export const goodElsewhere = (because: string, startedMs: number): ShutSession => ({
  ...shut(because, false),
  startedMs,
});
