// The compile step of the policy's life: effective document -> plugins set up, routes found, pools held.
import { isLoopbackHost, parseUpstream, type UpstreamAddress } from "../config/formats.ts";
import type { EffectivePolicy } from "../policy/read.ts";
import type { EffectiveRoute } from "../policy/document/routes.ts";
import {
  type CompiledRoute,
  createSnapshot,
  type RouteSpec,
  type Snapshot,
  type SnapshotSpec,
} from "../runtime/snapshot.ts";
import type { PluginHost } from "../runtime/plugin-host.ts";
import { type FieldRules, RoutedPolicy, type RequestCounters } from "./routed-policy.ts";
import type { Upstreams } from "../upstream/upstreams.ts";
import type { UpstreamTarget } from "../upstream/transport.ts";

export interface CompileParts {
  readonly host: PluginHost;
  readonly upstreams: Upstreams;
  readonly counters: RequestCounters;
  /** Where routes without an `upstream` of their own go. */
  readonly upstream: UpstreamAddress;
  /** For routes without a `timeout` of their own. */
  readonly timeoutMs: number;
  /** PEM of the authorities that upstreams' certificates are checked against, besides the system's. */
  readonly upstreamCa: string | undefined;
  readonly fieldRules: FieldRules;
}

/** Rejects, leaving nothing behind, when a plugin cannot be set up. */
export async function compilePolicy(policy: EffectivePolicy, parts: CompileParts): Promise<RoutedPolicy> {
  const targets = new Map<RouteSpec, UpstreamTarget>();
  const specOf = (route: EffectiveRoute): RouteSpec => {
    const address = route.upstream === undefined ? parts.upstream : parseUpstream(route.upstream);
    const target = targetOf(address, parts.upstreamCa);
    const upstreamName = `${target.name}${target.basePath ?? ""}`;
    const spec = { ...route, timeoutMs: route.timeoutMs ?? parts.timeoutMs, upstreamName };
    targets.set(spec, target);
    return spec;
  };
  const spec: SnapshotSpec = {
    routes: policy.routes.map(specOf),
    unmatched: specOf({ ...policy.unmatched, path: "" }),
    identityFields: policy.identityFields,
    ownedCookies: policy.ownedCookies,
    secretNames: policy.secretNames,
  };
  const held = [...targets.values()];
  const release = (): void => held.forEach((target) => parts.upstreams.release(target));
  held.forEach((target) => parts.upstreams.hold(target));
  let snapshot: Snapshot;
  try {
    snapshot = await createSnapshot(spec, parts.host, release);
  } catch (error) {
    release();
    throw error;
  }
  const upstreamOf = (route: CompiledRoute) => {
    const target = targets.get(route.spec) as UpstreamTarget;
    return { target, transport: parts.upstreams.get(target) };
  };
  return new RoutedPolicy(snapshot, parts.counters, upstreamOf, parts.fieldRules);
}

/** An upstream's address with how its certificate is checked. */
export function targetOf(address: UpstreamAddress, ca: string | undefined): UpstreamTarget {
  if (!address.tls) return address;
  // A service on this machine commonly shows a certificate that nobody signed, and whoever can listen there in its
  // place owns the pod anyway; with an authority given, it is held to that.
  const rejectUnauthorized = ca !== undefined || !isLoopbackHost(address.host);
  return { ...address, tlsOptions: { rejectUnauthorized, ...(ca === undefined ? {} : { ca }) } };
}
