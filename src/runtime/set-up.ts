// Sets up a route's plugins, each within a time limit, and closes them again.
import { textOf } from "../plugin-api/error-text.ts";
import { z } from "zod";
import type { FailMode, Hooks, PluginDefinition, RouteInfo } from "../plugin-api/contract.ts";
import { behindOf } from "./behind.ts";
import { Chain } from "./chain.ts";
import type { KnownPlugin } from "./known-plugin.ts";
import type { PluginHost } from "./plugin-host.ts";
import { callerFlag } from "../language/caller-flag.ts";
import { FlaggedCallers } from "./flagged-callers.ts";
import { PartialStep } from "./partial-step.ts";
import type { HeldStates } from "./plugin-states.ts";
import { decisions, parseOptions } from "./shared-options.ts";
import { Slices } from "../v8/slices.ts";
import type { TracingRules } from "./live-trace.ts";
import { Step, type StepParts } from "./step.ts";
import { hooksReturned } from "../plugin-api/hook-names.ts";
import { withinLimit } from "../plugin-api/within-limit.ts";

/** A route of the effective policy: validated, defaults filled in, locks applied. */
export interface RouteSpec {
  readonly path: string;
  readonly methods: readonly string[] | undefined;
  readonly plugins: readonly string[];
  readonly pluginConfig: Readonly<Record<string, unknown>>;
  readonly stripPrefix: string | undefined;
  /** Plugins that the shared policy locks, if a service's layer wrote the `stripPrefix`. Default: none. */
  readonly strippedOver?: readonly string[] | undefined;
  /** Whether the service treats paths that differ only in case as the same. Default: no. */
  readonly caseInsensitive?: boolean | undefined;
  /** Default: refused where a security plugin decides. */
  readonly encodedSlash?: "refuse" | "segment" | undefined;
  readonly timeoutMs: number;
  readonly maxAgeMs?: number | undefined;
  readonly maxIdleMs?: number | undefined;
  readonly maxMessagesPerSecond?: number | undefined;
  readonly tracing?: TracingRules | undefined;
  readonly bufferRequestBytes: number;
  readonly restorePrefix?: boolean | undefined;
  /** `host:port` or socket path, for labels. */
  readonly upstreamName: string;
  /** The route refuses every request: the service's layer does not fit here. */
  readonly closed?: boolean;
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
const commonOptions = z.looseObject({
  failMode: z.enum(["open", "closed"]).optional(),
  flag: callerFlag.optional(),
});

/** What set-ups made and `closeAll` gives back. */
export interface Made {
  readonly steps: Step[];
  readonly states: Pick<HeldStates, "of" | "release">;
}

/**
 * Rejects, naming plugin and route, when a set-up fails or takes too long.
 * @param made collects what has to be given back
 */
export async function compileRoute(
  spec: RouteSpec,
  host: PluginHost,
  made: Made,
  known: Pick<RouteInfo, "secretNames" | "ownedRequestFields">,
): Promise<CompiledRoute> {
  const info: RouteInfo = {
    pattern: spec.path,
    upstream: spec.upstreamName,
    caseInsensitive: spec.caseInsensitive ?? false,
    ...known,
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
    const step = await setUp(plugin, { spec, info, ordered }, host, made.states);
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
  plugin: KnownPlugin,
  on: RouteParts,
  host: PluginHost,
  states: Made["states"],
): Promise<Step> {
  const { definition, faults, measures } = plugin;
  const { spec } = on;
  try {
    const written = spec.pluginConfig[definition.name];
    const { failMode, flag, ...own } = commonOptions.parse(written ?? {});
    const parts: StepParts = {
      definition,
      hooks: await hooksOf(plugin, { ...on, written, own, host, states }),
      failMode: effectiveFailMode(definition, failMode),
      clock: host.services.clock,
      logger: host.services.logger,
      measures: measures(),
      faults,
      scope: faults.scope(),
      onLongHook: host.onLongHook,
      hookLimitMs: definition.hookLimitMs,
    };
    // Policy validation refuses this earlier; this is a second check.
    if (flag !== undefined && definition.security)
      throw new Error("it decides who gets in, for every caller");
    const flagged = flag && new FlaggedCallers(definition.name, flag);
    const callers = [host.alternatives.get(definition.name), flagged].filter((part) => part !== undefined);
    return callers.length === 0 ? new Step(parts) : new PartialStep(parts, callers);
  } catch (error) {
    const reason = error instanceof z.ZodError ? z.prettifyError(error) : textOf(error);
    throw new Error(`plugin "${definition.name}" on route ${spec.path || "(none)"}: ${reason}`, {
      cause: error,
    });
  }
}

interface RouteParts {
  readonly spec: RouteSpec;
  readonly info: RouteInfo;
  /** Its plugins, by priority. */
  readonly ordered: readonly PluginDefinition[];
}

interface SetUpParts extends RouteParts {
  /** The plugin's options in the policy. */
  readonly written: unknown;
  /** The same options without `failMode` and `flag`. */
  readonly own: object;
  readonly host: PluginHost;
  readonly states: Made["states"];
}

async function hooksOf(plugin: KnownPlugin, parts: SetUpParts): Promise<Hooks> {
  const { definition, faults, scoped } = plugin;
  const { written, own, spec, info: route, ordered, host, states } = parts;
  const scope = faults.scope();
  const state = scope.runInAsyncScope(() => states.of(plugin));
  const options = parseOptions(definition, written, own);
  const services = scoped.with(written, host.secrets);
  const behind = (): string => behindOf(definition, ordered, spec);
  const made = scope.runInAsyncScope(async () =>
    definition.setup({ options, services, state, route, behind }),
  );
  try {
    await withinLimit(made, setupLimitMs, `set-up took longer than ${setupLimitMs} ms`);
    const hooks = hooksReturned(await made);
    return host.around === undefined ? hooks : host.around(definition.name, hooks);
  } catch (error) {
    // Nothing uses hooks that come too late. They are closed when they come.
    made.then((hooks) => closeHooks(definition.name, hooks, host)).catch(() => {});
    throw error;
  }
}

/**
 * A security plugin fails closed whatever the policy says; validation has already refused a policy that says otherwise.
 */
function effectiveFailMode(definition: PluginDefinition, asked: FailMode | undefined): FailMode {
  return definition.security ? "closed" : (asked ?? definition.failMode);
}

/** Never rejects. */
export async function closeAll({ steps, states }: Made, host: PluginHost): Promise<void> {
  const closing: Promise<void>[] = [];
  const slices = new Slices();
  for (const { name, hooks } of steps) {
    if (hooks.close !== undefined) closing.push(closeHooks(name, hooks, host));
    if (slices.over) await slices.next();
  }
  await Promise.all(closing);
  states.release();
}

/** Never rejects. Plugins close at the same time; none waits for another. */
async function closeHooks(plugin: string, hooks: Hooks, host: PluginHost): Promise<void> {
  try {
    const closed = (async () => hooks.close?.())();
    await withinLimit(closed, closeLimitMs, `close took longer than ${closeLimitMs} ms`);
  } catch (error) {
    host.services.logger.error({ plugin, err: error }, "plugin could not be closed");
  }
}
