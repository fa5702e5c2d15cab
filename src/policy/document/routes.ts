// Completes the routes of the effective document so that they can be compiled. It merges the options of every plugin of
// every route, checks them against the plugin's schema, and traces each problem back to the document and field that
// hold it.
import { setImmediate as nextTurn } from "node:timers/promises";
import { withAlternatives } from "../extensions/alternatives.ts";
import type { Layered, Origin } from "../layers/layers.ts";
import { MergedOptions } from "./merged-options.ts";
import { flatten, placed } from "./parse.ts";
import { isObject } from "./plain-object.ts";
import { type Path, type Problem, maxProblems } from "./problems.ts";
import { type PolicyPlugins, type PolicyRoute, failModeOf, flagOf } from "./schema.ts";
import type { TracingField } from "./tracing-field.ts";
import { type Sources, writerOf } from "./written.ts";

/** A route with every field filled in that the policy decides. */
export interface EffectiveRoute {
  readonly path: string;
  readonly methods: readonly string[] | undefined;
  readonly plugins: readonly string[];
  /**
   * Merged and checked, but as written: the plugin's schema still fills in its defaults. May hold `failMode` and
   * `flag`.
   */
  readonly pluginConfig: Readonly<Record<string, unknown>>;
  readonly stripPrefix: string | undefined;
  /** The plugins that the shared policy locks; present only if the layer wrote the `stripPrefix`. */
  readonly strippedOver?: readonly string[];
  readonly caseInsensitive?: boolean | undefined;
  readonly encodedSlash?: "refuse" | "segment" | undefined;
  /** undefined = the sidecar's default. */
  readonly timeoutMs: number | undefined;
  /** Longest age of an exchange; undefined = unlimited. */
  readonly maxAgeMs?: number | undefined;
  /** Longest silence of a stream; undefined = unlimited. */
  readonly maxIdleMs?: number | undefined;
  /** Most messages a second from the client of a stream; undefined = unlimited. */
  readonly maxMessagesPerSecond?: number | undefined;
  /** As written; undefined = the sidecar's default. Known to be well-formed and allowed. */
  readonly upstream: string | undefined;
  readonly bufferRequestBytes: number;
  readonly restorePrefix?: boolean | undefined;
  readonly upstreamProtocol?: PolicyRoute["upstreamProtocol"];
  readonly retry?: PolicyRoute["retry"];
  readonly tracing?: TracingField;
  /** The route refuses every request. */
  readonly closed?: boolean;
}

export interface Completed {
  readonly routes: readonly EffectiveRoute[];
  readonly unmatched: EffectiveRoute;
  /** Every problem with plugins' options. One in the defaults appears once for each route that it affects. */
  readonly problems: readonly Problem[];
  /**
   * The plugins whose options are wrong. `layerRoute`: the index of the layer's route that has them; undefined =
   * elsewhere.
   */
  readonly spoiled: readonly { readonly plugin: string; readonly layerRoute: number | undefined }[];
}

/** A larger body begins to stream once this many bytes are there. */
const defaultBufferRequestBytes = 65_536;

/** Routes completed between two turns of the event loop, so that traffic goes on while a large policy is read. */
const routesPerTurn = 50;

/**
 * Completes every route. Options that come from the defaults alone are checked once, not once a route.
 * @param maxBytes size limit of a document
 */
export async function completeRoutes(
  { effective, origins }: Layered,
  sources: Sources,
  plugins: PolicyPlugins,
  maxBytes?: number,
): Promise<Completed> {
  const options = new MergedOptions(maxBytes);
  const checker = new OptionsChecker(plugins, sources);
  const complete = (route: PolicyRoute, origin: Origin): EffectiveRoute => {
    const names = withAlternatives(route.plugins ?? effective.plugins, effective.extensions);
    const config: Record<string, unknown> = {};
    for (const name of new Set([...names, ...Object.keys(route.pluginConfig ?? {})])) {
      const own = route.pluginConfig?.[name];
      const common = effective.pluginConfig[name];
      if (own !== undefined && options.over) {
        checker.tooLarge(name, options.maxBytes, origin);
        continue;
      }
      const merged = own === undefined ? common : options.of(name, common, own);
      checker.check(name, merged ?? {}, own === undefined ? undefined : origin);
      if (merged !== undefined && names.includes(name)) config[name] = merged;
    }
    return {
      ...ownFields(route),
      tracing: route.tracing === undefined ? effective.tracing : { ...effective.tracing, ...route.tracing },
      ...overLocks(route, origin, effective.locked),
      plugins: names,
      pluginConfig: config,
    };
  };
  const routes: EffectiveRoute[] = [];
  for (const [index, route] of effective.routes.entries()) {
    if (index % routesPerTurn === routesPerTurn - 1) await nextTurn();
    routes.push(complete(route, origins[index] as Origin));
  }
  const nowhere = complete({ path: "/*" }, { from: "shared", index: undefined });
  for (const name of Object.keys(effective.pluginConfig))
    checker.checkUnlessSeen(name, effective.pluginConfig[name]);
  const { problems, spoiled } = checker;
  return { routes, unmatched: nowhere, problems, spoiled };
}

/** @returns the fields that the route's own document decides */
function ownFields(route: PolicyRoute): Omit<EffectiveRoute, "plugins" | "pluginConfig" | "tracing"> {
  return {
    path: route.path,
    methods: route.methods,
    stripPrefix: route.stripPrefix,
    ...(route.caseInsensitive !== undefined && { caseInsensitive: route.caseInsensitive }),
    ...(route.encodedSlash !== undefined && { encodedSlash: route.encodedSlash }),
    timeoutMs: route.timeout,
    maxAgeMs: route.maxAgeMs,
    ...(route.maxIdleMs !== undefined && { maxIdleMs: route.maxIdleMs }),
    ...(route.maxMessagesPerSecond !== undefined && { maxMessagesPerSecond: route.maxMessagesPerSecond }),
    upstream: route.upstream,
    bufferRequestBytes: route.bufferRequestBytes ?? defaultBufferRequestBytes,
    restorePrefix: route.restorePrefix,
    upstreamProtocol: route.upstreamProtocol,
    ...(route.retry !== undefined && { retry: route.retry }),
  };
}

function overLocks(
  { stripPrefix }: PolicyRoute,
  { from }: Origin,
  locked: readonly string[],
): Pick<EffectiveRoute, "strippedOver"> {
  return stripPrefix !== undefined && from === "layer" ? { strippedOver: locked } : {};
}

/** Checks merged options against the plugins' schemas. */
class OptionsChecker {
  readonly problems: Problem[] = [];
  readonly spoiled: Completed["spoiled"][number][] = [];
  readonly #plugins: PolicyPlugins;
  readonly #sources: Sources;
  readonly #seen = new Set<string>();
  readonly #flawless = new WeakSet<object>();
  readonly #large = new Set<string>();

  constructor(plugins: PolicyPlugins, sources: Sources) {
    this.#plugins = plugins;
    this.#sources = sources;
  }

  /** Checks the options of a plugin that no route runs: they may be wrong, too. */
  checkUnlessSeen(name: string, config: unknown): void {
    if (!this.#seen.has(name)) this.check(name, config, undefined);
  }

  /** @param origin of the route that has its own options; undefined = the defaults alone */
  check(name: string, config: unknown, origin: Origin | undefined): void {
    if (origin === undefined && this.#seen.has(`${name} by default`)) return;
    if (origin === undefined) this.#seen.add(`${name} by default`);
    this.#seen.add(name);
    if (isObject(config) && this.#flawless.has(config)) return;
    const plugin = this.#plugins[name];
    if (plugin === undefined || !isObject(config) || this.problems.length > maxProblems) return;
    const { failMode, flag, ...options } = config;
    const mode = failModeOf(plugin).optional().safeParse(failMode);
    const callers = flagOf(plugin).optional().safeParse(flag);
    const parsed = plugin.options.safeParse(options);
    const flaws = [
      ...(mode.success ? [] : flatten(mode.error.issues, ["failMode"])),
      ...(callers.success ? [] : flatten(callers.error.issues, ["flag"])),
      ...(parsed.success ? [] : flatten(parsed.error.issues)),
    ];
    if (flaws.length > 0) this.#spoil(name, origin);
    else this.#flawless.add(config);
    for (const { path, message } of flaws) this.#report([name, ...path], message, origin);
  }

  /** Reports that the merged options of this route are too large. */
  tooLarge(name: string, maxBytes: number, origin: Origin): void {
    this.#seen.add(name);
    this.#spoil(name, origin);
    if (this.#large.has(name)) return;
    this.#large.add(name);
    const advice = "say less at the top or on fewer routes, and keep API keys in Redis";
    this.#report(
      [name],
      `options merged for each route come to more than ${maxBytes} bytes: ${advice}`,
      origin,
    );
  }

  #spoil(plugin: string, origin: Origin | undefined): void {
    this.spoiled.push({ plugin, layerRoute: origin?.from === "layer" ? origin.index : undefined });
  }

  #report(path: Path, message: string, origin: Origin | undefined): void {
    const { document, prefix } = writerOf(this.#sources, path, origin);
    this.problems.push(
      placed({ path: [...prefix, "pluginConfig", ...path], message }, document, document.name),
    );
  }
}
