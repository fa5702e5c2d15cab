// Decides which upstreams a service's layer may name: the service's own, at its base path or below, and those that the
// shared policy names for it. Where the shared policy locks plugins, only the upstream that it has there: the plugins'
// rules are written for that upstream's paths.
import { FormatError, type UpstreamAddress, parseUpstream } from "../../config/formats.ts";
import { coveringRoutes, groupByPath } from "./covering.ts";
import { unknownName } from "../document/problems.ts";
import type { PolicyDocument, PolicyRoute } from "../document/schema.ts";
import { isUpstreamName } from "../document/upstreams-field.ts";

const notNamed = "must be the service's own upstream, or one that the shared policy names for it";
const notTheOneThere = "must be the upstream that the shared policy has here, which locks plugins";

export type UpstreamFlaw = (route: PolicyRoute) => string | undefined;

/**
 * @param below the shared policy's routes for this service
 * @param own the service's own upstream; undefined = unknown, and addresses are not checked
 */
export function upstreamTest(
  { locked = [], upstreams = {} }: PolicyDocument,
  below: readonly PolicyRoute[],
  own: UpstreamAddress | undefined,
): UpstreamFlaw {
  const byPath = groupByPath(below);
  const flawOfName = (name: string, path: string): string | undefined => {
    if (!Object.hasOwn(upstreams, name)) return unknownName("unknown upstream", name, Object.keys(upstreams));
    if (!below.some(({ upstream }) => upstream === name)) return notNamed;
    const covering = locked.length === 0 ? [] : coveringRoutes(byPath, path);
    const stays =
      locked.length === 0 || (covering.length > 0 && covering.every(({ upstream }) => upstream === name));
    return stays ? undefined : notTheOneThere;
  };
  if (own === undefined)
    return ({ upstream = "", path }) =>
      isUpstreamName(upstream) && !Object.hasOwn(upstreams, upstream)
        ? flawOfName(upstream, path)
        : undefined;
  const targetOf = ({ upstream }: PolicyRoute): UpstreamAddress | undefined =>
    upstream === undefined ? own : parsed(upstream);
  const named = [own, ...below.map(targetOf)];
  return function flawOf(route) {
    if (route.upstream !== undefined && isUpstreamName(route.upstream))
      return flawOfName(route.upstream, route.path);
    const target = targetOf(route);
    // An address that is not well-formed is refused elsewhere.
    if (route.upstream === undefined || target === undefined) return undefined;
    if (!named.some((other) => isWithin(target, other))) return notNamed;
    if (locked.length === 0) return undefined;
    const covering = coveringRoutes(byPath, route.path);
    const there = covering.length === 0 ? [own] : covering.map(targetOf);
    return there.every((other) => isWithin(target, other) && target.basePath === other?.basePath)
      ? undefined
      : notTheOneThere;
  };
}

/** Whether the target is the other upstream, at its base path or below. */
function isWithin(target: UpstreamAddress, other: UpstreamAddress | undefined): boolean {
  if (target.tls !== other?.tls || target.name !== other.name) return false;
  const { basePath = "" } = other;
  return `${target.basePath ?? ""}/`.startsWith(`${basePath}/`);
}

function parsed(text: string): UpstreamAddress | undefined {
  try {
    return parseUpstream(text);
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}
