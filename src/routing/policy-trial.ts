// Two policies at a time, while a candidate is tried beside the one in force.
import type { ClientAddress } from "../client/client-address.ts";
import type { ReceivedHead, RequestHead } from "../http1/request-head.ts";
import type { ClientTls, Outcome } from "../plugin-api/contract.ts";
import type { LiveExchange } from "../runtime/exchange.ts";

/** As it came. */
export interface TriedRequest extends ReceivedHead {
  readonly tls: ClientTls | undefined;
  readonly upgrades: boolean;
}

export interface PolicyTrial<Policy> {
  /**
   * @param request what stands for the request until it has ended
   * @param inForce what takes it when the candidate does not
   * @returns the policy that takes it
   */
  choose(request: TriedRequest, head: RequestHead, client: ClientAddress, inForce: Policy): Policy;
  /** @returns by which policy one is judged anew that this one let in; undefined = by the one in force */
  judging(letInBy: Policy): Policy | undefined;
  ended(request: object, policy: Policy, live: LiveExchange, outcome: Outcome): void;
}
