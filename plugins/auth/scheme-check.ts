// Ways of showing who one is besides tokens, keys, sessions and certificates: each reads its own fields.
import type { Exchange, ExchangeRequest } from "../../src/plugin-api/contract.ts";
import type { MaybeAuthResult } from "./auth-result.ts";

/** Who has shown too many bad credentials of late. */
export interface Guessing {
  /** The address has: what costs something waits behind others, or is not looked at. */
  readonly doubtful: boolean;
  /** Seconds until a credential of this id is looked at again; 0 = now. */
  waitSeconds(credentialId: string): number;
}

export interface SchemeCheck {
  /** Whether a request shows something of this kind, good or bad. */
  isShown(request: ExchangeRequest): boolean;
  /** Of a request that does. Rejects only as `readBody` does. */
  check(exchange: Exchange, guessing: Guessing): MaybeAuthResult;
  /** The same for an exchange that goes on: nothing is new about it, its body is gone, and nothing is remembered. */
  recheck(exchange: Exchange): MaybeAuthResult;
  close(): void;
}
