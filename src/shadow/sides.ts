// Makes the two sides of a comparison from finished exchanges.
import type { Outcome } from "../plugin-api/contract.ts";
import { Fields } from "../plugin-api/fields.ts";
import { decisionOf, isCircumstance } from "../policy-replay/recorded-request.ts";
import type { RoutedPolicy, Routing } from "../routing/routed-policy.ts";
import type { LiveExchange } from "../runtime/exchange.ts";
import type { CompiledRoute, RouteSpec } from "../runtime/set-up.ts";
import type { CandidateSide, Side } from "./comparison.ts";
import type { Served } from "./seen-request.ts";

type Specs = ReadonlyMap<CompiledRoute["info"], RouteSpec>;

const known = new WeakMap<RoutedPolicy["snapshot"], Specs>();

/** @returns the spec of each route of a policy */
export function specsOf({ snapshot }: Pick<RoutedPolicy, "snapshot">): Specs {
  let specs = known.get(snapshot);
  if (specs === undefined) {
    specs = new Map([...snapshot.routes, snapshot.unmatched].map(({ info, spec }) => [info, spec]));
    known.set(snapshot, specs);
  }
  return specs;
}

/** Whether the outcome can be compared with a candidate's. */
export const isComparable = ({ status, error, end }: Outcome): boolean =>
  status !== 0 && status !== 101 && end !== "revoked" && !isCircumstance(error?.code);

/** @returns the side of the policy in force */
export function servedSide(served: Served): Side {
  const { policy, route, outcome } = served;
  const spec = specsOf(policy).get(route);
  const side = decided(route.pattern, outcome);
  const { by } = side.decision;
  const { answeredBy, error, upstreamMs } = outcome;
  // The request to the service is known only if the service answered, and not if the cache did.
  const wasAsked = by === null && answeredBy === undefined && error === undefined && upstreamMs !== undefined;
  const upstream = {
    name: spec?.upstreamName ?? "",
    path: served.upstreamPath,
    fields: new Fields(served.fields),
  };
  const plugins = orderedIn(policy, route);
  return { ...side, spec, asked: askedOf(plugins, by, true), upstream: wasAsked ? upstream : undefined };
}

/**
 * @returns the candidate's side. @param asked fields that the service would have got; undefined = it would not have
 * been asked
 */
export function sideOf(
  policy: RoutedPolicy,
  { route, early }: Routing,
  { request }: LiveExchange,
  outcome: Outcome,
  asked: Fields | undefined,
): Omit<CandidateSide, "lacking"> {
  const side = decided(route.info.pattern, outcome);
  const spec = specsOf(policy).get(route.info);
  const upstream = asked && {
    name: spec?.upstreamName ?? "",
    path: request.upstreamPath + request.query,
    fields: asked,
  };
  return {
    ...side,
    spec,
    asked: askedOf(route.chain.plugins, side.decision.by, early !== undefined),
    upstream,
    byCircumstance: isCircumstance(outcome.error?.code),
  };
}

function decided(route: string, { status, answeredBy, error }: Outcome): Pick<Side, "decision" | "refused"> {
  const decision = decisionOf(route, status, answeredBy, error?.code);
  // A gRPC answer has the status 200 even if it is an error.
  return { decision, refused: decision.by !== null && (status >= 400 || error !== undefined) };
}

function askedOf(plugins: readonly string[], by: string | null, isEarly: boolean): readonly string[] {
  if (by === "sidecar" && isEarly) return [];
  return by === null || by === "sidecar" ? plugins : plugins.slice(0, plugins.indexOf(by) + 1);
}

/** @returns the route's plugins in the order of the chain */
function orderedIn({ snapshot }: RoutedPolicy, route: CompiledRoute["info"]): readonly string[] {
  const found = [...snapshot.routes, snapshot.unmatched].find(({ info }) => info === route);
  return found?.chain.plugins ?? [];
}
