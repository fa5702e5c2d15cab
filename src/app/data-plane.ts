// Creates the data plane, which serves requests: services of plugins, upstream pools, the compile step, the policy in
// force, the client listener. A single process has it beside its control plane; of several processes, each worker has
// one.
import type { Config } from "../config/config.ts";
import { withoutIssuer } from "../drills/drilled-http.ts";
import { DrilledTransport } from "../drills/drilled-transport.ts";
import { slowHooks } from "../drills/slow-hooks.ts";
import { FolderLines } from "../files/kept-lines.ts";
import { type KillSwitch, SwitchedOff } from "../kill-switch/kill-switch.ts";
import type { Hooks } from "../plugin-api/contract.ts";
import { untilLimit } from "../plugin-api/within-limit.ts";
import type { BesidePolicy } from "../policy/beside.ts";
import type { EffectivePolicy } from "../policy/read.ts";
import type { Trust } from "../policy/signature/key-sets.ts";
import { RecordSignatures } from "../policy/signature/records.ts";
import { type CompileParts, compilePolicy } from "../routing/compile-policy.ts";
import { createRequestCounters } from "../routing/request-counters.ts";
import type { RoutedPolicy } from "../routing/routed-policy.ts";
import { createHttpClient } from "../runtime/services/http/client.ts";
import { createPluginHost, type PluginHost } from "../runtime/plugin-host.ts";
import type { HostServices } from "../runtime/scoped-services.ts";
import { drainLimits, type TakeBacklog } from "../server/drain.ts";
import type { Listener } from "../server/listener.ts";
import type { Telemetry } from "../telemetry/process.ts";
import type { OnTapEvent } from "../telemetry/requests/tap-hub.ts";
import type { TapRequest } from "../telemetry/requests/tap-request.ts";
import { StallWatch } from "../telemetry/stalls.ts";
import { BalancedUpstreams } from "../upstream/balance/balanced-upstreams.ts";
import { Retries } from "../upstream/retry/retries.ts";
import type { UpstreamTarget, UpstreamTransport } from "../upstream/transport.ts";
import { createTransport } from "../upstream/transports.ts";
import { Upstreams } from "../upstream/upstreams.ts";
import { type Addresses, createClientListener } from "./client-listener.ts";
import type { DataPlane } from "./governed.ts";
import { createEgress } from "./egress.ts";
import { LiveSecrets } from "./live-secrets.ts";
import type { Compile } from "./policy-in-force.ts";
import { PolicyShadow, shadowParts } from "./policy-shadow.ts";
import { PolicyTrials, type ReadCandidate, type TrialWish } from "./policy-trial.ts";
import type { ProcessContext } from "./process-context.ts";
import { shownRequests } from "./shown-requests.ts";

/** Options that only workers set. */
export interface DataPlaneOptions {
  /** How many processes serve for this sidecar; absent = 1. */
  readonly workerCount?: number;
  /** Calls to the primary; for workers without Redis. */
  readonly workers?: HostServices["workers"];
  /** Closes the listening socket that the workers share, once its waiting connections are taken. */
  readonly takeBacklog?: TakeBacklog;
  /** Value until `setFleetSize` is called; absent = 1. */
  readonly fleetSize?: number;
}

export interface LocalDataPlane extends DataPlane<RoutedPolicy> {
  compile(policy: EffectivePolicy): Promise<RoutedPolicy>;
  trust(trust: Pick<Trust, "keys">): void;
  document(path: string): string | undefined;
  tryCandidate(wish: TrialWish | undefined, candidate?: Pick<BesidePolicy, "policy">): void;
  /** As `tryCandidate`, but this process reads the candidate itself. */
  tryRead(wish: TrialWish, read: ReadCandidate): void;
  /** Number of exchanges under way, including upgrades. */
  readonly inFlight: number;
  /** Rejects with StartError when an address cannot be bound. */
  listen(): Promise<Addresses>;
  /** Serves until no more requests come, within the configured limit; then cuts off what is left. */
  drain(): Promise<void>;
  /**
   * Closes everything that a drained listener no longer needs: plugins first, which may still give back what they hold.
   */
  close(): Promise<void>;
}

/** Time limit for closing plugins: one whose waits are unbounded must not delay the exit. */
const closeLimitMs = 2_000;

/**
 * @param config the settings, limited to what this process may use
 * @throws Error when a file that the settings name cannot be read
 */
export function createDataPlane(
  context: ProcessContext,
  config: Config,
  options: DataPlaneOptions = {},
): LocalDataPlane {
  const { telemetry, registry, secretFiles, drill } = context;
  const { logger, metrics } = telemetry;
  let { fleetSize = 1 } = options;
  const secrets = new LiveSecrets(
    { secrets: config.secrets, storeKeys: config.storeKeys },
    config.secretHosts,
  );
  const signatures = config.policyKeys && new RecordSignatures(() => context.clock.now());
  const services = { ...createServices(context, options, secrets, () => fleetSize), signatures };
  const connections = createUpstreams(config, context);
  const stalls = new StallWatch(logger, metrics);
  const around = drill && ((plugin: string, hooks: Hooks) => slowHooks(plugin, hooks, drill));
  const host = createPluginHost(registry, services, (hook, ms) => stalls.suspect(hook, ms), around);
  const trials = PolicyTrials.of(compilerOf(context, config, host, connections), secrets);
  const shadow = new PolicyShadow(trials.inForce, shadowParts(context, config, secrets));
  const listeners = listenersOf(context, config, options, { host, policy: () => trials.inForce.routed });
  const { listener } = listeners;
  stalls.start();
  secretFiles.renewIn(trials);
  return {
    ...governed(trials, shadow, listener, context),
    trust: ({ keys }: Pick<Trust, "keys">) => signatures?.use(keys),
    setFleetSize: (size) => (fleetSize = size),
    get draining() {
      return listener.draining;
    },
    get inFlight() {
      return listener.inFlight;
    },
    listen: () => listeners.listen(),
    drain: () => listeners.drain(),
    async close() {
      secretFiles.close();
      listeners.close();
      stalls.stop();
      await Promise.all([shadow.close(), closePlugins(trials, host, logger)]);
      connections.close();
    },
  };
}

interface ListenerParts {
  readonly host: PluginHost;
  readonly policy: () => RoutedPolicy | undefined;
}

/** Creates the listeners: for clients, and for the service's own calls if the settings ask for it. */
function listenersOf(
  context: ProcessContext,
  config: Config,
  { workerCount, takeBacklog }: DataPlaneOptions,
  { host, policy }: ListenerParts,
) {
  const shared = workerCount !== undefined;
  const clients = createClientListener(context, config, shared, policy);
  const egress = createEgress(context, config, host, shared);
  const { listener } = clients;
  return {
    listener,
    async listen(): Promise<Addresses> {
      await egress?.listen();
      return await clients.listen();
    },
    /** Egress drains last: the service may need its own calls to finish its requests. */
    async drain(): Promise<void> {
      await listener.drain(drainLimits(config), takeBacklog);
      await egress?.drain();
    },
    close(): void {
      clients.close();
      egress?.close();
    },
  };
}

async function closePlugins(
  policies: Pick<PolicyTrials, "close">,
  host: PluginHost,
  logger: Telemetry["logger"],
): Promise<void> {
  const closed = policies.close().then(() => host.states.close());
  if (await untilLimit(closed, closeLimitMs)) return;
  logger.warn({ limitMs: closeLimitMs }, "plugins are not closed in time; the process ends without that");
}

/** Implements what the control plane does with the data plane and asks of it. */
function governed(
  trials: PolicyTrials,
  shadow: PolicyShadow,
  listener: Listener,
  { telemetry, requests, taps }: ProcessContext,
) {
  const { metrics } = telemetry;
  const { inForce } = trials;
  /** At most one of the two is tried at a time. */
  const tries = (wish: TrialWish | undefined, read?: ReadCandidate): void => {
    const [mine, other] = wish?.shadow === true ? [shadow, trials] : [trials, shadow];
    void other.try(undefined);
    void mine.try(wish, read);
  };
  return {
    tap: (request: TapRequest, onEvent: OnTapEvent) => taps.start(request, onEvent),
    requests: async (id: string) => shownRequests(requests, id, inForce.routed),
    tryRead: (wish: TrialWish, read: ReadCandidate) => tries(wish, read),
    tryCandidate: (wish: TrialWish | undefined, candidate?: Pick<BesidePolicy, "policy">) =>
      tries(wish, candidate && (() => Promise.resolve(candidate.policy))),
    trial: () => shadow.report() ?? trials.report(),
    whenInTrouble: (listener: () => void) => trials.whenInTrouble(listener),
    switchOff(switches: readonly KillSwitch[]): void {
      const off = new SwitchedOff(switches);
      trials.switchOff(off);
      shadow.switchOff(off);
    },
    compile: (policy: EffectivePolicy) => inForce.compile(policy),
    swap: (next: RoutedPolicy) => inForce.swap(next),
    release: (late: RoutedPolicy) => late.snapshot.retire(),
    beginDrain: () => listener.beginDrain(),
    check: () => ({ name: "listener", ok: listener.listening }),
    troubles: () => inForce.routed?.snapshot.health() ?? [],
    metricsSnapshots: async () => [await metrics.snapshot()],
    renderMetrics: (open?: boolean) => metrics.render(open),
    plugins: async () => inForce.reports(),
    document: (path: string) => inForce.routed?.snapshot.document(path),
  };
}

function createServices(
  { config, telemetry, store, clock, drill }: ProcessContext,
  { workerCount, workers }: DataPlaneOptions,
  secrets: LiveSecrets,
  fleetSize: () => number,
): HostServices {
  const { service, instance, region, keyPrefix, stateDir } = config;
  const { logger, accessLog, metrics } = telemetry;
  return {
    logger,
    accessLog,
    metrics,
    store,
    seals: secrets.seals(keyPrefix, service),
    secrets,
    http:
      drill === undefined
        ? createHttpClient
        : (options) => withoutIssuer(options.plugin, createHttpClient(options), drill),
    clock,
    fleet: { service, instance, region, size: fleetSize, workers: workerCount },
    keptLines:
      stateDir === undefined
        ? undefined
        : (name) => new FolderLines(stateDir, name, service, clock, drill?.checkDisk),
    workers,
  };
}

interface Connections extends Pick<CompileParts, "upstreams" | "balanced"> {
  close(): void;
}

function createUpstreams(config: Config, { telemetry, drill }: ProcessContext): Connections {
  const { logger, metrics } = telemetry;
  const pool = {
    maxConnections: config.upstreamConnections,
    maxQueued: config.upstreamQueue,
    maxUpgrades: config.upstreamUpgrades,
    idleTimeoutMs: config.upstreamIdleMs,
    clientShare: config.clientShare,
  };
  const create = (target: UpstreamTarget): UpstreamTransport => createTransport(target, pool);
  const drilled = drill && ((target: UpstreamTarget) => new DrilledTransport(create(target), drill));
  const upstreams = new Upstreams(drilled ?? create, metrics);
  metrics.onRender(() => upstreams.observe());
  const balanced = new BalancedUpstreams({ upstreams, metrics, logger, zone: config.zone });
  const close = (): void => {
    balanced.close();
    upstreams.close();
  };
  return { upstreams, balanced, close };
}

function compilerOf(
  { audit, upstreamTls }: ProcessContext,
  config: Config,
  host: PluginHost,
  { upstreams, balanced }: Connections,
): Compile {
  const compileParts = {
    upstreams,
    balanced,
    counters: createRequestCounters(host.services.metrics),
    retries: new Retries(host.services.metrics),
    upstream: config.upstream,
    timeoutMs: config.upstreamTimeoutMs,
    protocol: config.upstreamProtocol,
    proxyProtocol: config.upstreamProxyProtocol,
    fieldRules: config,
    audit: (policy: EffectivePolicy) => audit.of(policy),
    upstreamTls,
  };
  return (policy, secrets) => compilePolicy(policy, { ...compileParts, host: { ...host, secrets } });
}
