// Runs filters of the proxy-wasm ABI (0.1.0, 0.2.0, 0.2.1) as plugins: compiled modules of others, unchanged.
import type { Extension } from "../../extensions/entry.ts";
import { hookLimitMs } from "../../extensions/entry.ts";
import { type Hooks, type Logger, note, type PluginNeeds, type Services } from "../../plugin-api/contract.ts";
import { type ExtensionDefinition, factsOf, versionOf } from "../extension-definition.ts";
import { quarantineMetric, Restarts } from "../restarts.ts";
import { toBytes } from "./bytes.ts";
import { Filter } from "./filter.ts";
import { type FilterPolicy, filterPolicy } from "./filter-policy.ts";
import { FilterStream } from "./filter-stream.ts";
import { GuestCalls } from "./guest-calls.ts";
import type { GuestHost } from "./guest-host.ts";
import { GuestLog } from "./guest-log.ts";
import { GuestMetrics } from "./guest-metrics.ts";
import { isolateHost } from "./isolate-host.ts";
import { type CheckedModule, checkModule } from "./module-check.ts";
import type { Root } from "./root.ts";
import { importNames } from "./shim-text.ts";
import type { GuestFacts } from "./shim/state.ts";
import { threadHost } from "./thread-host.ts";

export interface WasmOptions {
  /** What runs guests. Default: isolates where they are available, otherwise threads. */
  readonly hosts?: "isolate" | "thread";
  /** Milliseconds that a guest may take to start, and to take a configuration. */
  readonly startMs?: number;
}

interface State {
  readonly filter: Filter;
  readonly policy: FilterPolicy;
}

/** For `_initialize`, and for taking a configuration. Neither blocks this thread. */
const defaultStartMs = 5_000;
/** Limit of a whole hook: the calls that a guest waits for have limits of their own. */
const hookMs = 35_000;
/** The lowest level of the ABI: the shim passes on log lines of all levels. */
const traceLevel = 0;

/** @throws MalformedModule or PackageError when it is not a module that can run here */
export function createWasmPlugin(
  extension: Extension,
  options: WasmOptions = {},
): ExtensionDefinition<State> {
  const { entry, package: packed } = extension;
  const memoryMiB = entry.limits.memoryMiB ?? packed.manifest.needs.memoryMiB;
  const module = checkModule(packed.bytes, importNames(), memoryMiB);
  const facts = factsOf(extension);
  return {
    ...facts,
    needs: needsOf(facts.needs, extension),
    init: (services) => stateOf(extension, module, services, options),
    dispose: ({ filter }) => filter.dispose(),
    status: ({ filter }) => filter.status(),
    async setup({ options: written, state: { filter, policy } }) {
      const { configuration, vmConfiguration, rootId } = configurationsOf(written);
      const root = await filter.take(configuration, vmConfiguration, rootId);
      return hooksOf(extension, policy, root, filter);
    },
  };
}

function stateOf(
  extension: Extension,
  module: CheckedModule,
  services: Services,
  { hosts, startMs = defaultStartMs }: WasmOptions,
): State {
  const { name, entry } = extension;
  const { logger, clock } = services;
  const log = new GuestLog(logger, clock);
  let host: GuestHost | undefined;
  const filter = new Filter({
    host: () => (host ??= hostOf(hosts, logger)),
    module: module.bytes,
    factsFor: (vmConfiguration) => factsForGuest(extension, module, vmConfiguration, services),
    limits: { timeMs: hookLimitMs(entry), startMs },
    restarts: new Restarts({
      plugin: name,
      version: versionOf(extension),
      perMinute: entry.limits.restartsPerMinute,
      logger,
      metrics: services.metrics,
    }),
    clock,
    cpuShare: entry.limits.cpuShare,
    // Filters of the AssemblyScript SDK never give up a root context, so each guest gets one configuration.
    isSingle: module.exports.has("proxy_validate_configuration"),
    calls: new GuestCalls(services.http, entry.clusters ?? {}),
    metrics: new GuestMetrics(services.metrics, name),
    log,
    logger,
  });
  const policy = filterPolicy(extension, module.exports, log);
  warnOfBodies(policy, module, services);
  return { filter, policy };
}

function hostOf(hosts: WasmOptions["hosts"], logger: Logger): GuestHost {
  if (hosts === "thread") return threadHost();
  try {
    return isolateHost();
  } catch (error) {
    if (hosts === "isolate") throw error;
    const reason = error instanceof Error ? error.message : String(error);
    logger.warn(
      { reason },
      "isolated-vm cannot be loaded: the plugin runs in a thread, and each call costs more",
    );
    return threadHost();
  }
}

/** The plugin's needs, with the upstreams that the policy names added to the hosts. */
function needsOf(needs: PluginNeeds | undefined, { entry }: Extension): PluginNeeds {
  const clusters = Object.values(entry.clusters ?? {}).map((url) => new URL(url).host);
  return { ...needs, hosts: [...(needs?.hosts ?? []), ...clusters], metrics: [quarantineMetric] };
}

function factsForGuest(
  { name, entry, package: { manifest } }: Extension,
  { abi }: CheckedModule,
  vmConfiguration: string,
  { fleet }: Services,
): GuestFacts {
  return {
    abi,
    vmConfiguration,
    properties: {
      plugin_name: name,
      plugin_vm_id: name,
      "node.id": toBytes(fleet.instance),
      "node.cluster": toBytes(fleet.service),
    },
    clusters: Object.keys(entry.clusters ?? {}),
    hosts: manifest.needs.hosts,
    environment: [],
    logLevel: traceLevel,
  };
}

/**
 * Tells operators if the plugin is shown no bodies. Every SDK exports the callbacks for bodies, so the exports do not
 * tell whether the module needs them.
 */
function warnOfBodies({ hooks }: FilterPolicy, { exports }: CheckedModule, { logger }: Services): void {
  for (const [has, callback, limit] of [
    [hooks.requestBody, "proxy_on_request_body", "requestBytes"],
    [hooks.responseBody, "proxy_on_response_body", "responseBytes"],
  ] as const) {
    if (has || !exports.has(callback)) continue;
    logger.info(
      { callback },
      `the plugin is shown no bodies: set limits.${limit} of the extension if it needs them`,
    );
  }
}

interface Configurations {
  readonly configuration: string;
  readonly vmConfiguration: string;
  readonly rootId: string;
}

/** Encodes the configurations as bytes: texts as they are, other values as JSON; empty if none is written. */
function configurationsOf(written: unknown): Configurations {
  const { vmConfiguration, rootId, ...rest } = written as Record<string, unknown>;
  const own = Object.hasOwn(rest, "configuration") ? rest["configuration"] : rest;
  const isEmpty = own === rest && Object.keys(rest).length === 0;
  return {
    configuration: isEmpty ? "" : textOf(own),
    vmConfiguration: textOf(vmConfiguration),
    rootId: textOf(rootId).replaceAll("\0", ""),
  };
}

function textOf(value: unknown): string {
  if (value === undefined) return "";
  return toBytes(typeof value === "string" ? value : JSON.stringify(value));
}

function hooksOf(
  { package: { manifest } }: Extension,
  policy: FilterPolicy,
  root: Root,
  filter: Filter,
): Hooks {
  const stream = note<FilterStream>("wasm");
  const close = (): void => filter.release(root);
  const health = (): string | undefined => filter.trouble;
  // A plugin without request hooks only uses timers and queues.
  if (!manifest.hooks.includes("onRequest")) return { close, health };
  return {
    timeLimitMs: { onRequest: hookMs, onResponse: hookMs },
    onRequest(exchange) {
      const begun = new FilterStream(policy, root, exchange);
      stream.set(exchange, begun);
      return begun.request();
    },
    onResponse: (exchange, response) => stream.get(exchange)?.response(response),
    onComplete: (exchange, outcome) => stream.get(exchange)?.end(outcome),
    health,
    close,
  };
}
