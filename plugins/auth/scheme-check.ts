// Ways of showing who one is besides tokens, keys, sessions and certificates: each reads its own fields.
import type { Exchange, ExchangeRequest } from "../../src/plugin-api/contract.ts";
import type { MaybeAuthResult } from "./auth-result.ts";

export interface SchemeCheck {
  /** Whether a request shows something of this kind, good or bad. */
  isShown(request: ExchangeRequest): boolean;
  /**
   * Of a request that does. Rejects only as `readBody` does.
   * @param doubtful the address has shown too many bad credentials: what costs something waits behind others
   */
  check(exchange: Exchange, doubtful: boolean): MaybeAuthResult;
  /** The same for an exchange that goes on: nothing is new about it, its body is gone, and nothing is remembered. */
  recheck(exchange: Exchange): MaybeAuthResult;
  close(): void;
}
