// A kill switch takes one plugin out of the chain, for all services or one, on all routes or some, whatever the policy
// says. All switches are in one Redis hash. The field says what is off; the value says until when, why and by whom.
import { z } from "zod";
import { parseJson } from "../language/json.ts";
import { compilePaths, pathPattern } from "../language/path-pattern.ts";

export const disabledKey = "disabled";
/** Limit, because sidecars read all switches at each change. */
export const maxSwitches = 256;
/** Limits of reading the hash: room for all valid switches, and for what others put there. */
export const switchBounds = { maxFields: 4_096, maxEntryBytes: 8_192, maxBytes: 3 * 1_048_576 };
/** Most characters of a value without its signature. */
export const maxSwitchLength = 4_096;
/** The `typ` of a signed switch. */
export const switchType = "outrigger-switch+jws";

/** What a switch turns off. */
export interface SwitchTarget {
  readonly plugin: string;
  /** undefined = every service. */
  readonly service: string | undefined;
  /** A path pattern: the switch is for routes whose own path it matches. undefined = every route. */
  readonly route: string | undefined;
}

export const switchFacts = z.strictObject({
  untilMs: z.int().positive().nullable(),
  reason: z.string().max(500),
  author: z.string().max(200),
  atMs: z.int().positive(),
  /** Only for plugins that decide who gets in. true = their routes are open meanwhile; false = they answer 503. */
  openRoutes: z.boolean(),
});
export type SwitchFacts = z.output<typeof switchFacts>;

/** A switch in the form in which one process sends it to another. */
export const killSwitch = z.strictObject({
  ...switchFacts.shape,
  plugin: z.string(),
  service: z.string().or(z.undefined()),
  route: z.string().or(z.undefined()),
  /** Epoch ms by Redis' clock; undefined = until it is removed. */
  untilMs: z.int().positive().or(z.undefined()),
});
export type KillSwitch = z.output<typeof killSwitch>;

const name = /^[a-z0-9][a-z0-9-]{0,62}$/;
const fieldForm = /^(\S{1,64}) (\S{1,256}) (\S{1,2048})$/;

/** @returns the field of the hash: plugin, service and route, `*` for all */
export function switchField({ plugin, service, route }: SwitchTarget): string {
  return `${plugin} ${service ?? "*"} ${route ?? "*"}`;
}

/** @returns undefined for a text that is not such a field */
export function parseSwitchField(field: string): SwitchTarget | undefined {
  const [, plugin, service, route] = fieldForm.exec(field) ?? [];
  if (plugin === undefined || service === undefined || route === undefined || !name.test(plugin))
    return undefined;
  if (route !== "*" && !pathPattern.safeParse(route).success) return undefined;
  return {
    plugin,
    service: service === "*" ? undefined : service,
    route: route === "*" ? undefined : route,
  };
}

/** @param text an unsigned value, or the payload of a signed one. @returns undefined for a text that is not valid */
export function parseSwitchFacts(text: string): SwitchFacts | undefined {
  if (text.length > maxSwitchLength) return undefined;
  try {
    return switchFacts.safeParse(parseJson(text)).data;
  } catch {
    return undefined;
  }
}

/** The switches that are in force for a service. */
export class SwitchedOff {
  readonly switches: readonly KillSwitch[];
  readonly #taken: readonly { readonly of: KillSwitch; readonly takes: (path: string) => boolean }[];

  /** @param switches switches for this service that have not expired */
  constructor(switches: readonly KillSwitch[]) {
    this.switches = switches;
    this.#taken = switches.map((of) => ({ of, takes: takerOf(of.route) }));
  }

  /**
   * @param path the route's own path. @returns the switch that turns the plugin off there; one that closes the route
   * wins
   */
  of(plugin: string, path: string): KillSwitch | undefined {
    let found: KillSwitch | undefined;
    for (const { of, takes } of this.#taken) {
      if (of.plugin !== plugin || !takes(path)) continue;
      if (!of.openRoutes) return of;
      found = of;
    }
    return found;
  }

  get size(): number {
    return this.switches.length;
  }
}

/**
 * @returns a test of whether a switch for these routes is for the route with that path: the same path, or below a
 * prefix
 */
function takerOf(route: string | undefined): (path: string) => boolean {
  if (route === undefined) return () => true;
  if (!route.endsWith("/*")) return (path) => path === route;
  const paths = compilePaths([route], false);
  return (path) => paths.spells(path.replace(/\/\*$/, "") || "/");
}

export const nothingOff = new SwitchedOff([]);

/**
 * @param code code of Redis' refusal. @param key the hash's key, with prefix. @returns what is wrong, and what to do
 */
export function whyUnread(code: string, key: string): string {
  if (code === "TOOLARGE")
    return `${key} holds more than all kill switches can be (${switchBounds.maxFields} fields, ${switchBounds.maxBytes} bytes), so somebody else fills it: DEL it, and set again what is to be off`;
  if (code === "WRONGTYPE") return `${key} is no hash: DEL it, and set again what is to be off`;
  return `Redis answers ${code} to a look at ${key} (outrigger redis-acl prints the rights)`;
}
