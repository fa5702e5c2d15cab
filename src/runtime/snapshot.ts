// Compiles a policy for this sidecar. A snapshot is immutable, replaced as a whole, and closed after its last exchange.
import type { OwnedCookie } from "../plugin-api/contract.ts";
import { Declarations } from "./declarations.ts";
import type { OwnedCookies } from "./owned-cookies.ts";
import { type OwnedParts, ownedPartsIn } from "./owned-parts.ts";
import type { PluginHost } from "./plugin-host.ts";
import { mergeReports, type OnRoutes, type PluginReport, reportOf } from "./plugin-report.ts";
import type { HeldStates } from "./plugin-states.ts";
import { closeAll, type CompiledRoute, compileRoute, type Made, type RouteSpec } from "./set-up.ts";
import { Slices } from "../v8/slices.ts";

export interface SnapshotSpec {
  readonly routes: readonly RouteSpec[];
  /** Its plugins' response side and `onComplete` see requests that match no route. */
  readonly unmatched: RouteSpec;
  /** Further request fields, by `fieldKey`, that are removed from every client's request. */
  readonly identityFields?: ReadonlySet<string> | undefined;
  /** Further cookies that are hidden from the service. */
  readonly ownedCookies?: readonly OwnedCookie[] | undefined;
  /** Fields and query parameters that carry credentials. */
  readonly secretNames?: ReadonlySet<string> | undefined;
  /** Digest of the policy document; default: "". */
  readonly digest?: string | undefined;
  /** Time limit for the set-up of all routes, in milliseconds; default 30 s. */
  readonly limitMs?: number | undefined;
}

/** A policy whose set-up takes longer is refused, and its set-up ends. */
const defaultLimitMs = 30_000;

interface Origin {
  readonly host: PluginHost;
  readonly states: HeldStates;
  readonly digest: string;
}

export class Snapshot {
  readonly routes: readonly CompiledRoute[];
  readonly unmatched: CompiledRoute;
  /** Digest of the policy document. */
  readonly digest: string;
  /** Lower-case names of request fields that plugins set: removed from every client's request. */
  readonly ownedRequestFields: ReadonlySet<string>;
  /** undefined = no plugin owns a cookie. */
  readonly ownedCookies: OwnedCookies | undefined;
  /** Names of fields that are never taken from a trailer. */
  readonly headOnlyFields: ReadonlySet<string>;
  /** The parts of requests that a route's plugins own and take out. */
  readonly ownedParts: (route: CompiledRoute) => OwnedParts | undefined;
  #exchanges = 0;
  #retired = false;
  readonly #host: PluginHost;
  readonly #states: HeldStates;
  readonly #close: () => Promise<void>;
  readonly #closed = Promise.withResolvers<void>();

  constructor(
    routes: readonly CompiledRoute[],
    unmatched: CompiledRoute,
    declared: Declarations,
    { host, states, digest }: Origin,
    close: () => Promise<void>,
  ) {
    this.routes = routes;
    this.unmatched = unmatched;
    this.digest = digest;
    this.#host = host;
    this.#states = states;
    this.#close = close;
    this.ownedParts = ownedPartsIn(declared.owning, unmatched);
    this.ownedRequestFields = declared.ownedRequestFields;
    this.headOnlyFields = declared.headOnlyFields;
    this.ownedCookies = declared.ownedCookies();
    if (this.ownedCookies === undefined) return;
    for (const { chain } of [...routes, unmatched]) chain.ownedCookies = this.ownedCookies;
  }

  /**
   * This snapshot replaces `previous` from now on: plugins whose version changed get the state of the previous version.
   */
  takeOver(previous: Snapshot): void {
    this.#states.takeOver(previous.#states);
  }

  /** An exchange begins. It uses this snapshot until it ends. */
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

  /** @returns what plugins report as wrong, by plugin name */
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

  /**
   * @param isOff whether a plugin is switched off on the route with this path
   * @returns how the plugins of this snapshot fare
   */
  reports(isOff: (plugin: string, path: string) => boolean): PluginReport[] {
    const seen = new Map<string, OnRoutes>();
    for (const { chain, spec } of this.routes) {
      for (const step of chain.steps) {
        const on = seen.get(step.name) ?? this.#begin(seen, step.name);
        if (on === undefined) continue;
        on.routes += 1;
        if (isOff(step.name, spec.path)) on.disabledRoutes += 1;
        on.trouble ??= step.trouble ?? step.hooks.health?.();
      }
    }
    return mergeReports([...seen.values()].map(reportOf));
  }

  #begin(seen: Map<string, OnRoutes>, name: string): OnRoutes | undefined {
    const plugin = this.#host.plugins.get(name);
    if (plugin === undefined) return undefined;
    const { definition, faults } = plugin;
    const quarantined = faults.isQuarantined(this.#host.services.clock.mono());
    const status = definition.status?.(this.#states.get(definition));
    const on: OnRoutes = { plugin, routes: 0, disabledRoutes: 0, quarantined, trouble: undefined, status };
    seen.set(name, on);
    return on;
  }

  /** @param path of the document on the admin listener: `/plugins/<plugin>/<name>` */
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

/**
 * Sets up every plugin of every route. Rejects, naming plugin and route, when a set-up fails or takes too long; what
 * was set up by then is closed again.
 * @param onClosed called once the snapshot is retired and its last exchange is over
 */
export async function createSnapshot(
  spec: SnapshotSpec,
  host: PluginHost,
  onClosed: () => void,
): Promise<Snapshot> {
  const { limitMs = defaultLimitMs } = spec;
  const endsMono = performance.now() + limitMs;
  const states = host.states.hold();
  const made: Made = { steps: [], states };
  const { secretNames = new Set<string>(), identityFields = new Set<string>(), ownedCookies = [] } = spec;
  const declared = new Declarations(identityFields, ownedCookies);
  const known = { secretNames, ownedRequestFields: declared.ownedRequestFields };
  try {
    const routes: CompiledRoute[] = [];
    const slices = new Slices();
    for (const route of spec.routes) {
      const compiled = await compileRoute(route, host, made, known);
      declared.add(compiled.chain.steps);
      routes.push(compiled);
      if (performance.now() > endsMono) throw new Error(`set-up took longer than ${limitMs} ms`);
      if (slices.over) await slices.next();
    }
    const unmatched = await compileRoute(spec.unmatched, host, made, known);
    declared.add(unmatched.chain.steps);
    return new Snapshot(routes, unmatched, declared, { host, states, digest: spec.digest ?? "" }, () => {
      onClosed();
      return closeAll(made, host);
    });
  } catch (error) {
    await closeAll(made, host);
    throw error;
  }
}
