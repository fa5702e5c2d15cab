// Shows what this process knows of ended requests, together with what its policy says about their routes.
import type { RouteChoice } from "../routing/route-choice.ts";
import type { RoutedPolicy } from "../routing/routed-policy.ts";
import { type Explanation, explanationOf } from "../telemetry/requests/explanation.ts";
import type { RequestRing } from "../telemetry/requests/ring.ts";

export interface ShownRequest extends Explanation {
  /** Why no other route took the request; null = another policy is in force by now. */
  readonly choice: RouteChoice | null;
}

/** @returns the requests with this id, newest first */
export function shownRequests(
  ring: RequestRing,
  id: string,
  routed: RoutedPolicy | undefined,
): readonly ShownRequest[] {
  return ring.find(id).flatMap((record) => {
    const explanation = explanationOf(record);
    if (explanation === undefined) return [];
    const known = routed?.snapshot.digest === explanation.policyDigest;
    return [{ ...explanation, choice: known ? choiceOf(explanation, routed) : null }];
  });
}

function choiceOf(
  { route, request }: Pick<Explanation, "route" | "request">,
  routed: RoutedPolicy,
): RouteChoice {
  return routed.choiceOf(route, { path: request["path"] ?? "", method: request["method"] ?? "" });
}

/** The part of the policy's status that tells whether the policy in force decided a request. */
interface InForce {
  readonly digest: string | null;
  readonly revision: number;
  readonly layerRevision: number | null;
}

/**
 * Makes the document of `GET /requests/<id>`.
 * @param found requests that all processes found
 * @returns undefined when there are none
 */
export function requestDocument(found: readonly unknown[], status: InForce, who: object): object | undefined {
  // The cast is safe: they come from workers of this same version.
  const requests = (found as readonly ShownRequest[]).toSorted((a, b) => (a.at < b.at ? 1 : -1));
  const [newest] = requests;
  if (newest === undefined) return undefined;
  const { policyDigest: digest, ...rest } = newest;
  const inForce = digest === status.digest;
  const { revision, layerRevision } = status;
  const policy = { digest, inForce, ...(inForce && { revision, layerRevision }) };
  return { ...who, ...rest, policy, olderWithThisId: requests.length - 1 };
}
