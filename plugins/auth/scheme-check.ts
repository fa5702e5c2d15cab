// The interface of schemes other than tokens, keys, sessions and certificates. Each reads its own fields.
import type { Exchange, ExchangeRequest } from "../../src/plugin-api/contract.ts";
import type { MaybeAuthResult } from "./auth-result.ts";

/** Who has shown too many bad credentials lately. */
export interface Guessing {
  /** The client's address has. Costly checks then wait behind others, or are not made. */
  readonly doubtful: boolean;
  /** Seconds until a credential of this id is checked again; 0 = now. */
  waitSeconds(credentialId: string): number;
}

export interface SchemeCheck {
  /** Whether a request shows a credential of this kind, good or bad. */
  isShown(request: ExchangeRequest): boolean;
  /** Checks a request for which `isShown` is true. Rejects only as `readBody` does. */
  check(exchange: Exchange, guessing: Guessing): MaybeAuthResult;
  /** Checks an exchange that goes on: it need not be new, its body is gone, and nothing is remembered. */
  recheck(exchange: Exchange): MaybeAuthResult;
  close(): void;
}
