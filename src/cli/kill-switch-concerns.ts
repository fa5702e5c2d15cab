// Finds out whether a kill switch takes a plugin out anywhere. One that does not is most often a typing mistake. It is
// set all the same, because the service or the route may come later, and the operator is warned.
import { pluginsByName } from "../app/registry.ts";
import { SwitchedOff, type SwitchTarget } from "../kill-switch/kill-switch.ts";
import { nearestName } from "../language/nearest.ts";
import { services } from "../plane/fleet.ts";
import { StoreUnavailable } from "../plugin-api/store.ts";
import { PolicyRefused } from "../policy/document/problems.ts";
import { createPolicyReader } from "../policy/read.ts";
import { keySetsIn } from "./plane-trust.ts";
import { unheard } from "./unheard-service.ts";
import type { Plane } from "./with-plane.ts";

/** Most services whose layers are read. */
const maxServices = 50;

/** @returns warnings; empty = the switch takes the plugin out somewhere, or this cannot be determined */
export async function unconcerned(plane: Plane, target: SwitchTarget): Promise<readonly string[]> {
  try {
    return await look(plane, target);
  } catch (error) {
    // The switch is already set: an operator who may set switches but not read the rest has succeeded.
    if (error instanceof StoreUnavailable) return [];
    throw error;
  }
}

async function look(plane: Plane, target: SwitchTarget): Promise<readonly string[]> {
  const { plugin, service, route } = target;
  const known = await services(plane.store);
  const warnings: string[] = [];
  const stranger = service === undefined ? undefined : unheard(service, known);
  if (stranger !== undefined) warnings.push(stranger);
  const routes = await routesOf(plane, service === undefined ? known.slice(0, maxServices) : [service]);
  if (routes === undefined) return warnings;
  const off = new SwitchedOff([
    { ...target, untilMs: undefined, reason: "", author: "", atMs: 1, openRoutes: true },
  ]);
  const taken = routes.filter(({ path }) => off.of(plugin, path) !== undefined);
  if (taken.length === 0) {
    const paths = [...new Set(routes.map(({ path }) => path))];
    const meant = nearestName(route ?? "", paths);
    const hint = meant === undefined ? "" : `: did you mean ${meant}?`;
    warnings.push(`no route of the policy is ${route} or below it${hint}`);
  } else if (taken.every(({ plugins }) => !plugins.includes(plugin)))
    warnings.push(`the policy has ${plugin} on none of these routes`);
  return warnings;
}

interface Route {
  readonly path: string;
  readonly plugins: readonly string[];
}

/** The routes of these services, with their layers. @returns undefined when they cannot be determined */
async function routesOf(plane: Plane, names: readonly string[]): Promise<readonly Route[] | undefined> {
  const { history, config } = plane;
  const shared = (await history.peek(undefined)).document;
  if (shared === undefined) return undefined;
  const keySets = await keySetsIn(plane);
  const found: Route[] = [];
  for (const service of names.length === 0 ? [undefined] : names) {
    const layer = service === undefined ? undefined : (await history.peek(service)).document;
    const { upstreamAllow, policyKeys: keys, policyMaxBytes: maxBytes } = config;
    const packages = plane.packages.find;
    const plugins = pluginsByName;
    const read = await createPolicyReader({ plugins, packages, service, upstreamAllow, keys, maxBytes });
    try {
      const { routes } = await read({ shared, layer, format: "json", keySets, standing: true });
      found.push(...routes);
    } catch (error) {
      if (!(error instanceof PolicyRefused)) throw error;
      return undefined;
    }
  }
  return found;
}
