// Says what a logout has ended.
import type { Session } from "./session-seal.ts";

export interface Logout {
  /**
   * undefined = there was none, or it cannot be read now. "unread" = there was a cookie that this login cannot read: it
   * is of a key or a login that this sidecar has not, or there twice.
   */
  readonly session: Session | "unread" | undefined;
  /** Whether every sidecar knows of the end, or learns of it when it asks. */
  readonly complete: boolean;
}

export const nothing: Logout = { session: undefined, complete: true };
export const unread: Logout = { session: "unread", complete: false };
