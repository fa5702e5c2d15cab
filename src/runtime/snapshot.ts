// A policy compiled for this sidecar: immutable, swapped whole, closed after its last exchange.
import { textOf } from "../plugin-api/error-text.ts";
import { z } from "zod";
import type { FailMode, Hooks, OwnedCookie, PluginDefinition, RouteInfo } from "../plugin-api/contract.ts";
import { Chain } from "./chain.ts";
import { Declarations } from "./declarations.ts";
import type { OwnedCookies } from "./owned-cookies.ts";
import { type OwnedParts, ownedPartsIn } from "./owned-parts.ts";
import type { KnownPlugin, PluginHost } from "./plugin-host.ts";
import type { HeldStates } from "./plugin-states.ts";
import { decisions, parseOptions } from "./shared-options.ts";
import { Slices } from "../v8/slices.ts";
import { Step } from "./step.ts";
import { withinLimit } from "../plugin-api/within-limit.ts";

/** A route of the effective policy: validated, defaults filled in, locks applied. */
export interface RouteSpec {
  readonly path: string;
  readonly methods: readonly string[] | undefined;
  readonly plugins: readonly string[];
  readonly pluginConfig: Readonly<Record<string, unknown>>;
  readonly stripPrefix: string | undefined;
  /** Plugins that the shared policy locks, where a service's layer wrote the `stripPrefix`. Default: none. */
  readonly strippedOver?: readonly string[] | undefined;
  /** Whether the service takes paths that differ in case alone for the same one. Default: no. */
  readonly caseInsensitive?: boolean | undefined;
  /** Default: refused where a security plugin decides. */
  readonly encodedSlash?: "refuse" | "segment" | undefined;
  readonly timeoutMs: number;
  readonly maxAgeMs?: number | undefined;
  readonly bufferRequestBytes: number;
  readonly restorePrefix?: boolean | undefined;
  /** `host:port` or socket path, for labels. */
  readonly upstreamName: string;
  /** Takes nobody: the service's layer does not fit here. */
  readonly closed?: boolean;
}

export interface SnapshotSpec {
  readonly routes: readonly RouteSpec[];
  /** Its plugins' response side and `onComplete` see requests that no route takes. */
  readonly unmatched: RouteSpec;
  /** Further request fields, by `fieldKey`, that no client may send. */
  readonly identityFields?: ReadonlySet<string> | undefined;
  /** Further cookies that no service gets. */
  readonly ownedCookies?: readonly OwnedCookie[] | undefined;
  /** Fields and query parameters that carry credentials. */
  readonly secretNames?: ReadonlySet<string> | undefined;
}

export interface CompiledRoute {
  readonly spec: RouteSpec;
  readonly info: RouteInfo;
  readonly chain: Chain;
  /** Whether a security plugin decides on this route. */
  readonly guarded: boolean;
  /** Equal for routes whose plugins decide alike; "" = none of them refuses anything. */
  readonly decides: string;
}

const setupLimitMs = 10_000;
const closeLimitMs = 10_000;
const commonOptions = z.looseObject({ failMode: z.enum(["open", "closed"]).optional() });

export class Snapshot {
  readonly routes: readonly CompiledRoute[];
  readonly unmatched: CompiledRoute;
  /** Lower-case names of request fields that plugins set: removed from every client's request. */
  readonly ownedRequestFields: ReadonlySet<string>;
  /** undefined = no plugin has any. */
  readonly ownedCookies: OwnedCookies | undefined;
  /** Names of fields that no trailer brings. */
  readonly headOnlyFields: ReadonlySet<string>;
  /** What a route's plugins take out of requests. */
  readonly ownedParts: (route: CompiledRoute) => OwnedParts | undefined;
  #exchanges = 0;
  #retired = false;
  readonly #close: () => Promise<void>;
  readonly #closed = Promise.withResolvers<void>();

  constructor(
    routes: readonly CompiledRoute[],
    unmatched: CompiledRoute,
    declared: Declarations,
    close: () => Promise<void>,
  ) {
    this.routes = routes;
    this.unmatched = unmatched;
    this.#close = close;
    this.ownedParts = ownedPartsIn(declared.owning, unmatched);
    this.ownedRequestFields = declared.ownedRequestFields;
    this.headOnlyFields = declared.headOnlyFields;
    this.ownedCookies = declared.ownedCookies();
    if (this.ownedCookies === undefined) return;
    for (const { chain } of [...routes, unmatched]) chain.ownedCookies = this.ownedCookies;
  }

  /** An exchange begins that keeps this snapshot to its end. */
  enter(): void {
    this.#exchanges += 1;
  }

  leave(): void {
    this.#exchanges -= 1;
    if (this.#retired && this.#exchanges === 0) this.#closed.resolve(this.#close());
  }

  /** No new exchange will enter. */
  retire(): void {
    if (this.#retired) return;
    this.#retired = true;
    if (this.#exchanges === 0) this.#closed.resolve(this.#close());
  }

  /** Resolves when every plugin is closed, after `retire` and the last exchange. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  /** What plugins say is wrong, by name. */
  health(): Map<string, string> {
    const troubles = new Map<string, string>();
    for (const { chain } of [...this.routes, this.unmatched]) {
      for (const step of chain.steps) {
        const trouble = step.trouble ?? step.hooks.health?.();
        if (trouble !== undefined) troubles.set(step.name, trouble);
      }
    }
    return troubles;
  }

  /** A plugin's document by its path on the admin listener. */
  document(path: string): string | undefined {
    const [, plugin, name] = /^\/plugins\/([^/]+)\/([^/]+)$/.exec(path) ?? [];
    if (plugin === undefined || name === undefined) return undefined;
    for (const { chain } of [...this.routes, this.unmatched]) {
      const documents = chain.steps.find((step) => step.name === plugin)?.hooks.documents ?? {};
      if (Object.hasOwn(documents, name)) return documents[name]?.();
    }
    return undefined;
  }
}

/** What a snapshot gives back in the end. */
interface Made {
  readonly steps: Step[];
  readonly states: HeldStates;
}

/**
 * Sets up every plugin of every route.
 * Rejects, naming plugin and route, when a set-up fails or takes too long; what was set up is closed again.
 * @param onClosed called once the snapshot is retired and its last exchange is over
 */
export async function createSnapshot(
  spec: SnapshotSpec,
  host: PluginHost,
  onClosed: () => void,
): Promise<Snapshot> {
  const made: Made = { steps: [], states: host.states.hold() };
  const { secretNames = new Set<string>(), identityFields = new Set<string>(), ownedCookies = [] } = spec;
  const declared = new Declarations(identityFields, ownedCookies);
  try {
    const routes: CompiledRoute[] = [];
    const slices = new Slices();
    for (const route of spec.routes) {
      const compiled = await compileRoute(route, host, made, secretNames);
      declared.add(compiled.chain.steps);
      routes.push(compiled);
      if (slices.over) await slices.next();
    }
    const unmatched = await compileRoute(spec.unmatched, host, made, secretNames);
    declared.add(unmatched.chain.steps);
    return new Snapshot(routes, unmatched, declared, () => {
      onClosed();
      return closeAll(made, host);
    });
  } catch (error) {
    await closeAll(made, host);
    throw error;
  }
}

async function compileRoute(
  spec: RouteSpec,
  host: PluginHost,
  made: Made,
  secretNames: ReadonlySet<string>,
): Promise<CompiledRoute> {
  const info: RouteInfo = {
    pattern: spec.path,
    upstream: spec.upstreamName,
    caseInsensitive: spec.caseInsensitive ?? false,
    secretNames,
    stripPrefix: spec.stripPrefix,
    strippedOver: spec.strippedOver ?? [],
  };
  const plugins = spec.plugins.map((name) => {
    const plugin = host.plugins.get(name);
    if (plugin === undefined) throw new Error(`unknown plugin "${name}" on route ${spec.path}`);
    return plugin;
  });
  plugins.sort((a, b) => a.definition.priority - b.definition.priority);
  const ordered = plugins.map(({ definition }) => definition);
  const steps: Step[] = [];
  for (const plugin of plugins) {
    const step = await setUp(plugin, spec, info, host, made.states);
    made.steps.push(step);
    steps.push(step);
  }
  const chain = new Chain(steps, host.services.clock);
  return {
    spec,
    info,
    chain,
    guarded: ordered.some(({ security }) => security),
    decides: spec.closed === true ? "closed" : decisions(ordered, spec.pluginConfig),
  };
}

async function setUp(
  { definition, faults, scoped, measures }: KnownPlugin,
  spec: RouteSpec,
  info: RouteInfo,
  host: PluginHost,
  states: HeldStates,
): Promise<Step> {
  const written = spec.pluginConfig[definition.name];
  const { failMode, ...own } = commonOptions.parse(written ?? {});
  const scope = faults.scope();
  const state = scope.runInAsyncScope(() => states.of(definition, scoped.common));
  const options = parseOptions(definition, written, own);
  const services = scoped.with(written, host.secrets);
  const made = scope.runInAsyncScope(async () => definition.setup({ options, services, state, route: info }));
  try {
    await withinLimit(made, setupLimitMs, `set-up took longer than ${setupLimitMs} ms`);
    if (typeof (await made) !== "object") throw new Error("set-up returned no hooks");
  } catch (error) {
    // Hooks that come too late are nobody's: they are closed when they come.
    made.then((hooks) => closeHooks(definition.name, hooks, host)).catch(() => {});
    const reason = textOf(error);
    throw new Error(`plugin "${definition.name}" on route ${spec.path || "(none)"}: ${reason}`, {
      cause: error,
    });
  }
  return new Step({
    definition,
    hooks: await made,
    failMode: effectiveFailMode(definition, failMode),
    clock: host.services.clock,
    logger: host.services.logger,
    measures: measures(),
    faults,
    scope,
    onLongHook: host.onLongHook,
  });
}

/** A security plugin stays closed whatever the policy says; validation has refused such a policy before. */
function effectiveFailMode(definition: PluginDefinition, asked: FailMode | undefined): FailMode {
  return definition.security ? "closed" : (asked ?? definition.failMode);
}

async function closeAll({ steps, states }: Made, host: PluginHost): Promise<void> {
  const closing: Promise<void>[] = [];
  const slices = new Slices();
  for (const { name, hooks } of steps) {
    if (hooks.close !== undefined) closing.push(closeHooks(name, hooks, host));
    if (slices.over) await slices.next();
  }
  await Promise.all(closing);
  states.release();
}

/** Never rejects; no plugin waits for another's close. */
async function closeHooks(plugin: string, hooks: Hooks, host: PluginHost): Promise<void> {
  try {
    const closed = (async () => hooks.close?.())();
    await withinLimit(closed, closeLimitMs, `close took longer than ${closeLimitMs} ms`);
  } catch (error) {
    host.services.logger.error({ plugin, err: error }, "plugin could not be closed");
  }
}
