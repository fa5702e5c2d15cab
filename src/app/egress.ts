// Runs egress: the service's calls to other services come in on loopback and go to the sidecars there by mTLS, with
// retries and traces. Calls go only to hosts that the settings name, and only if the other end proves the identity that
// they give.
import { X509Certificate } from "node:crypto";
import type { AddressInfo } from "node:net";
import type { Config } from "../config/config.ts";
import type { EgressDestination } from "../config/egress.ts";
import type { ListenAddress } from "../config/formats.ts";
import { bind } from "../config/start-error.ts";
import { removeStaleSockets } from "../files/unix-socket.ts";
import { addressText } from "../language/address-text.ts";
import type { Clock, Logger } from "../plugin-api/contract.ts";
import type { RequestHead } from "../http1/request-head.ts";
import { createRequestCounters } from "../routing/request-counters.ts";
import { RoutedPolicy } from "../routing/routed-policy.ts";
import type { PluginHost } from "../runtime/plugin-host.ts";
import type { CompiledRoute, RouteSpec } from "../runtime/set-up.ts";
import { createSnapshot } from "../runtime/snapshot.ts";
import { Listener } from "../server/listener.ts";
import { readSvid } from "../tls/svid.ts";
import { WrongPeer } from "../upstream/connector.ts";
import type { PoolOptions } from "../upstream/pooled-transport.ts";
import type { Credentials } from "../upstream/renewed-credentials.ts";
import { Retries } from "../upstream/retry/retries.ts";
import { RetryingTransport } from "../upstream/retry/retrying-transport.ts";
import { retryRules } from "../upstream/retry/rules.ts";
import { WaitingCalls } from "../upstream/retry/waiting-calls.ts";
import type { UpstreamTarget, UpstreamTls, UpstreamTransport } from "../upstream/transport.ts";
import { createTransport } from "../upstream/transports.ts";
import { Upstreams } from "../upstream/upstreams.ts";
import type { ProcessContext } from "./process-context.ts";
import { EgressTls } from "./egress-tls.ts";

export interface Egress {
  /** Rejects with StartError when the address cannot be bound. */
  listen(): Promise<void>;
  /** Waits a moment for calls that are under way: the service has ended its requests by then. */
  drain(): Promise<void>;
  close(): void;
}

type EgressConfig = Config & {
  readonly egress: ListenAddress;
  readonly egressTo: readonly EgressDestination[];
};

const replayBytes = 65_536;
const drainMs = 1_000;

/**
 * @returns undefined when the settings ask for no egress
 * @throws Error when a file that the settings name cannot be read
 */
export function createEgress(
  context: ProcessContext,
  config: Config,
  host: PluginHost,
  shared: boolean,
): Egress | undefined {
  const { egress, egressTo } = config;
  if (egress === undefined || egressTo === undefined) return undefined;
  return open(context, { ...config, egress, egressTo }, host, shared);
}

function open(context: ProcessContext, config: EgressConfig, host: PluginHost, shared: boolean): Egress {
  const { logger } = context.telemetry;
  const tls = new EgressTls(context, config);
  const upstreams = createUpstreams(context, config);
  let policy: RoutedPolicy | undefined;
  const listener = createListener(context, config, shared, () => policy);
  return {
    async listen() {
      policy = await createPolicy(context, config, host, { upstreams, tls });
      await removeStaleSockets([config.egress]);
      const address: AddressInfo | string = await bind("OUTRIGGER_EGRESS", config.egress, () =>
        listener.listen(config.egress),
      );
      const to = config.egressTo.map((destination) => destination.host);
      logger.info({ address: addressText(address), to }, "listening for the service's own calls");
    },
    drain: () => listener.drain({ maxMs: Math.min(config.drainMs, drainMs), minMs: 0 }),
    close() {
      listener.stopListening();
      policy?.snapshot.retire();
      tls.close();
      upstreams.close();
    },
  };
}

function createUpstreams({ telemetry: { metrics } }: ProcessContext, config: Config): Upstreams {
  const pool: PoolOptions = {
    maxConnections: config.upstreamConnections,
    maxQueued: config.upstreamQueue,
    maxUpgrades: config.upstreamUpgrades,
    idleTimeoutMs: config.upstreamIdleMs,
    // There is only one client, the service: it may have everything.
    clientShare: 100,
  };
  const upstreams = new Upstreams((target) => createTransport(target, pool), metrics);
  metrics.onRender(() => upstreams.observe());
  return upstreams;
}

function createListener(
  { clock, telemetry, tracing }: ProcessContext,
  config: EgressConfig,
  shared: boolean,
  policy: () => RoutedPolicy | undefined,
): Listener {
  const { logger, metrics } = telemetry;
  return new Listener({
    listen: { places: [config.egress], mode: config.listenMode, reusePort: false, shared },
    limits: { ...config, clientShare: 100 },
    own: config.listener === "own",
    trustedProxies: [],
    proxyProtocol: false,
    forwardedField: config.forwardedField,
    trustedHops: 0,
    keepsUnderscores: config.underscoreFields === "keep",
    clock,
    logger,
    metrics,
    tracer: tracing?.tracer,
    policy,
  });
}

interface Served {
  readonly target: UpstreamTarget;
  readonly transport: UpstreamTransport;
}

interface PolicyParts {
  readonly upstreams: Upstreams;
  readonly tls: EgressTls;
}

/** Makes a route for each destination, found by the host that is called. */
async function createPolicy(
  { telemetry: { logger, metrics }, clock }: ProcessContext,
  config: EgressConfig,
  host: PluginHost,
  { upstreams, tls }: PolicyParts,
): Promise<RoutedPolicy> {
  const served = new Map<RouteSpec, Served>();
  const retries = new Retries(metrics);
  for (const destination of config.egressTo) {
    const target = targetOf(
      destination,
      tls.towards(destination.peer),
      new Strangers(destination, logger, clock),
    );
    upstreams.hold(target);
    const transport = upstreams.get(target);
    const waiting = new WaitingCalls(transport, retries.time);
    const spec = specOf(routeOf(destination.host), target.name, config.upstreamTimeoutMs);
    const rules = retryRules({}, replayBytes);
    const budget = retries.budgets.of(spec.path, target.name);
    const retrying = { transport, waiting, rules, route: spec.path, retries, budget };
    served.set(spec, { target, transport: new RetryingTransport(retrying) });
  }
  const unmatched = specOf("", "", config.upstreamTimeoutMs);
  const snapshot = await createSnapshot({ routes: [...served.keys()], unmatched }, host, () => {});
  // Requests without a route are never sent, so any transport will do.
  const [nowhere] = [...served.values()] as [Served, ...Served[]];
  const upstreamOf = ({ spec }: CompiledRoute) => served.get(spec) ?? nowhere;
  return await RoutedPolicy.over(snapshot, createRequestCounters(metrics), upstreamOf, {
    requestTrailers: config.requestTrailers,
    keepOverrides: config.keepOverrides,
    finding: {
      pathOf: (head: RequestHead) => routeOf(head.host.replace(/:\d+$/, "")),
      notFound: "Calls to this host are not let out: OUTRIGGER_EGRESS_TO does not name it.",
    },
  });
}

/** Also used in labels. */
const routeOf = (host: string): string => `/egress/${host}`;

function specOf(path: string, upstreamName: string, timeoutMs: number): RouteSpec {
  return {
    path,
    methods: undefined,
    plugins: [],
    pluginConfig: {},
    stripPrefix: undefined,
    timeoutMs,
    bufferRequestBytes: replayBytes,
    upstreamName,
  };
}

function targetOf(
  { address, peer }: EgressDestination,
  credentials: Credentials,
  strangers: Strangers,
): UpstreamTarget {
  const tlsOptions: UpstreamTls = {
    rejectUnauthorized: true,
    credentials,
    peer: { id: peer, fault: (certificate) => strangers.faultOf(certificate) },
  };
  return { ...address, protocol: "auto", tlsOptions };
}

const tellMs = 60_000;

/** Checks the identity of a destination's peer, and warns about a wrong one at most once a minute. */
class Strangers {
  readonly #destination: EgressDestination;
  readonly #logger: Logger;
  readonly #clock: Clock;
  #toldMono = -Infinity;

  constructor(destination: EgressDestination, logger: Logger, clock: Clock) {
    this.#destination = destination;
    this.#logger = logger;
    this.#clock = clock;
  }

  /** An SVID is checked by its id. Its DNS names, if it has any, do not count (X509-SVID section 5). */
  faultOf(certificate: Buffer): Error | undefined {
    const { host, address, peer } = this.#destination;
    const id = readSvid(new X509Certificate(certificate))?.text;
    if (id === peer) return undefined;
    if (this.#clock.mono() - this.#toldMono >= tellMs) {
      this.#toldMono = this.#clock.mono();
      this.#logger.warn(
        { host, upstream: address.name, expected: peer, found: id },
        "calls are not sent: the other end is not who OUTRIGGER_EGRESS_TO says",
      );
    }
    return new WrongPeer(`the other end is ${id ?? "no workload of SPIFFE"}, not ${peer}`);
  }
}
