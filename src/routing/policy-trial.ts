// The interface for trying a candidate policy beside the one in force.
import type { ClientAddress } from "../client/client-address.ts";
import type { ReceivedHead, RequestHead } from "../http1/request-head.ts";
import type { ClientTls, Outcome } from "../plugin-api/contract.ts";
import type { LiveExchange } from "../runtime/exchange.ts";

/** The request as it was received. */
export interface TriedRequest extends ReceivedHead {
  readonly tls: ClientTls | undefined;
  readonly upgrades: boolean;
}

export interface PolicyTrial<Policy> {
  /**
   * @param request identifies the request until it has ended
   * @param inForce the policy to use if the candidate does not take the request
   * @returns the policy that takes the request
   */
  choose(request: TriedRequest, head: RequestHead, client: ClientAddress, inForce: Policy): Policy;
  /** @returns the policy for rechecks of exchanges that `letInBy` admitted; undefined = the one in force */
  judging(letInBy: Policy): Policy | undefined;
  ended(request: object, policy: Policy, live: LiveExchange, outcome: Outcome): void;
}
