// The compile step of a policy: effective document -> plugins set up, routes found, pools held.
import { isLoopbackHost, parseUpstream, type UpstreamAddress } from "../config/formats.ts";
import type { EffectivePolicy } from "../policy/read.ts";
import type { EffectiveRoute } from "../policy/document/routes.ts";
import type { CompiledRoute, RouteSpec } from "../runtime/set-up.ts";
import { createSnapshot, type Snapshot, type SnapshotSpec } from "../runtime/snapshot.ts";
import type { PluginHost } from "../runtime/plugin-host.ts";
import { Slices } from "../v8/slices.ts";
import type { RequestCounters } from "./request-counters.ts";
import type { PolicyAudit } from "../runtime/live-audit.ts";
import { type FieldRules, RoutedPolicy } from "./routed-policy.ts";
import type { Retries } from "../upstream/retry/retries.ts";
import { RetryingTransport } from "../upstream/retry/retrying-transport.ts";
import { retryRules } from "../upstream/retry/rules.ts";
import { WaitingCalls } from "../upstream/retry/waiting-calls.ts";
import type { Upstreams } from "../upstream/upstreams.ts";
import type { UpstreamProtocol, UpstreamTarget, UpstreamTransport } from "../upstream/transport.ts";

export interface CompileParts {
  readonly host: PluginHost;
  readonly upstreams: Pick<Upstreams, "hold" | "get" | "release">;
  readonly counters: RequestCounters;
  /** Where routes without an `upstream` of their own go. */
  readonly upstream: UpstreamAddress;
  /** What upstreams of routes without an `upstreamProtocol` of their own speak. Default: HTTP/1.1. */
  readonly protocol?: UpstreamProtocol | undefined;
  /** For routes without a `timeout` of their own. */
  readonly timeoutMs: number;
  /** PEM of the authorities that upstreams' certificates are checked against, besides the system's. */
  readonly upstreamCa: string | undefined;
  readonly fieldRules: FieldRules;
  /** For routes with `retry`; absent = none is asked again. */
  readonly retries?: Retries | undefined;
  /** Who records what a policy decides; absent = nobody, whatever the policy says. */
  audit?(policy: EffectivePolicy): PolicyAudit | undefined;
}

/** An upstream as routes of one policy share it. */
interface HeldUpstream {
  readonly target: UpstreamTarget;
  readonly transport: UpstreamTransport;
  /** For labels. */
  readonly name: string;
  /** Where requests wait for it; made when a route is to. */
  waiting?: WaitingCalls;
}

/** The pools of one policy, each held once however many routes have it. */
class HeldUpstreams {
  readonly #parts: CompileParts;
  readonly #byText = new Map<string, HeldUpstream>();

  constructor(parts: CompileParts) {
    this.#parts = parts;
  }

  /** @param text a route's `upstream`, known to be well-formed */
  of(text: string | undefined, protocol = this.#parts.protocol ?? "http1"): HeldUpstream {
    const key = `${protocol} ${text ?? ""}`;
    let held = this.#byText.get(key);
    if (held === undefined) {
      const { upstream, upstreamCa, upstreams } = this.#parts;
      const address = text === undefined ? upstream : parseUpstream(text);
      const target = { ...targetOf(address, upstreamCa), protocol: protocolOf(address, protocol) };
      upstreams.hold(target);
      const name = `${target.name}${target.basePath ?? ""}`;
      held = { target, transport: upstreams.get(target), name };
      this.#byText.set(key, held);
    }
    return held;
  }

  release(): void {
    for (const { target } of this.#byText.values()) this.#parts.upstreams.release(target);
  }
}

/** Rejects, leaving nothing behind, when a plugin cannot be set up. Other work goes on meanwhile. */
export async function compilePolicy(policy: EffectivePolicy, parts: CompileParts): Promise<RoutedPolicy> {
  const held = new HeldUpstreams(parts);
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

/** The upstream as a route asks it: again, where the policy says so. */
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
    transport: new RetryingTransport({ transport, waiting, rules, route: path, retries }),
  };
}

/** HTTP/2 is `h2` over TLS and `h2c` in clear, whichever was written. */
function protocolOf({ tls }: UpstreamAddress, protocol: UpstreamProtocol): UpstreamProtocol {
  if (protocol === "h2" || protocol === "h2c") return tls ? "h2" : "h2c";
  return protocol;
}

/** An upstream's address with how its certificate is checked. */
export function targetOf(address: UpstreamAddress, ca: string | undefined): UpstreamTarget {
  if (!address.tls) return address;
  // A service on this machine commonly shows a certificate that nobody signed, and whoever can listen there in its
  // place owns the pod anyway; with an authority given, it is held to that.
  const rejectUnauthorized = ca !== undefined || !isLoopbackHost(address.host);
  return { ...address, tlsOptions: { rejectUnauthorized, ...(ca === undefined ? {} : { ca }) } };
}
