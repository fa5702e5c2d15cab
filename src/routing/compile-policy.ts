// Compiles a policy: from the effective document to running plugins, a route finder and connection pools.
import type { EffectivePolicy } from "../policy/read.ts";
import type { EffectiveRoute } from "../policy/document/routes.ts";
import type { CompiledRoute, RouteSpec } from "../runtime/set-up.ts";
import { createSnapshot, type Snapshot, type SnapshotSpec } from "../runtime/snapshot.ts";
import type { PluginHost } from "../runtime/plugin-host.ts";
import { Slices } from "../v8/slices.ts";
import { type HeldUpstream, HeldUpstreams, type UpstreamParts } from "./held-upstreams.ts";
import type { RequestCounters } from "./request-counters.ts";
import type { PolicyAudit } from "../runtime/live-audit.ts";
import { type FieldRules, RoutedPolicy } from "./routed-policy.ts";
import type { Retries } from "../upstream/retry/retries.ts";
import { RetryingTransport } from "../upstream/retry/retrying-transport.ts";
import { retryRules } from "../upstream/retry/rules.ts";
import { WaitingCalls } from "../upstream/retry/waiting-calls.ts";

export interface CompileParts extends UpstreamParts {
  readonly host: PluginHost;
  readonly counters: RequestCounters;
  /** The default for routes without a `timeout`. */
  readonly timeoutMs: number;
  readonly fieldRules: FieldRules;
  /** For routes with `retry`; absent = no route retries. */
  readonly retries?: Retries | undefined;
  /** Makes the recorder of a policy's decisions; absent = none are recorded, whatever the policy says. */
  audit?(policy: EffectivePolicy): PolicyAudit | undefined;
}

/** Rejects if a plugin cannot be set up, and then releases everything. It yields to the event loop in between. */
export async function compilePolicy(policy: EffectivePolicy, parts: CompileParts): Promise<RoutedPolicy> {
  const held = new HeldUpstreams(parts, policy.document.upstreams);
  const upstreams = new Map<RouteSpec, HeldUpstream>();
  const specOf = (route: EffectiveRoute): RouteSpec => {
    const upstream = held.of(route.upstream, route.upstreamProtocol);
    const spec = { ...route, timeoutMs: route.timeoutMs ?? parts.timeoutMs, upstreamName: upstream.name };
    upstreams.set(spec, withRetry(upstream, route, parts.retries));
    return spec;
  };
  const upstreamOf = (route: CompiledRoute): HeldUpstream => upstreams.get(route.spec) as HeldUpstream;
  let snapshot: Snapshot;
  try {
    const routes: RouteSpec[] = [];
    const slices = new Slices();
    for (const route of policy.routes) {
      routes.push(specOf(route));
      if (slices.over) await slices.next();
    }
    const { identityFields, ownedCookies, secretNames, digest } = policy;
    const unmatched = specOf({ ...policy.unmatched, path: "" });
    const spec: SnapshotSpec = { routes, unmatched, identityFields, ownedCookies, secretNames, digest };
    const host = await parts.host.with(policy.extensions);
    snapshot = await createSnapshot(spec, host, () => held.release());
  } catch (error) {
    held.release();
    throw error;
  }
  const rules = { ...parts.fieldRules, audit: parts.audit?.(policy) };
  return RoutedPolicy.over(snapshot, parts.counters, upstreamOf, rules);
}

/** Adds retries to the upstream, if the policy has them for the route. */
function withRetry(
  upstream: HeldUpstream,
  { path, retry, bufferRequestBytes }: EffectiveRoute,
  retries: Retries | undefined,
): HeldUpstream {
  if (retry === undefined || retries === undefined) return upstream;
  const { transport } = upstream;
  const waiting = (upstream.waiting ??= new WaitingCalls(transport, retries.time));
  const rules = retryRules(retry, bufferRequestBytes);
  return {
    ...upstream,
    transport: new RetryingTransport({
      transport,
      waiting,
      rules,
      route: path,
      retries,
      budget: retries.budgets.of(path, upstream.name),
    }),
  };
}
