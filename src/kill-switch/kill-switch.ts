// A kill switch takes one plugin out of the chain, of a service or of one route where it says so, whatever the policy
// is. All of them are one hash in Redis: the field says what is off, the value until when, why and who said so.
import { z } from "zod";
import { parseJson } from "../language/json.ts";
import { compilePaths, pathPattern } from "../language/path-pattern.ts";

export const disabledKey = "disabled";
/** Sidecars read all of them at each change. */
export const maxSwitches = 256;
/** What of the hash is read: room for all that can be set, and for others' doing. */
export const switchBounds = { maxFields: 4_096, maxEntryBytes: 8_192, maxBytes: 3 * 1_048_576 };
/** Characters of a value, signature taken off. */
export const maxSwitchLength = 4_096;
/** The `typ` of a signed one. */
export const switchType = "outrigger-switch+jws";

/** What is off. */
export interface SwitchTarget {
  readonly plugin: string;
  /** undefined = of every service. */
  readonly service: string | undefined;
  /** A path pattern: routes whose own path it takes. undefined = of every route. */
  readonly route: string | undefined;
}

export const switchFacts = z.strictObject({
  untilMs: z.int().positive().nullable(),
  reason: z.string().max(500),
  author: z.string().max(200),
  atMs: z.int().positive(),
  /** Of a security plugin: its routes are open meanwhile. Else they answer 503. */
  openRoutes: z.boolean(),
});
export type SwitchFacts = z.output<typeof switchFacts>;

/** As one process tells another. */
export const killSwitch = z.strictObject({
  ...switchFacts.shape,
  plugin: z.string(),
  service: z.string().or(z.undefined()),
  route: z.string().or(z.undefined()),
  /** Epoch ms by Redis' clock; undefined = until it is taken back. */
  untilMs: z.int().positive().or(z.undefined()),
});
export type KillSwitch = z.output<typeof killSwitch>;

const name = /^[a-z0-9][a-z0-9-]{0,62}$/;
const fieldForm = /^(\S{1,64}) (\S{1,256}) (\S{1,2048})$/;

/** The field of the hash: plugin, service and route, `*` for all. */
export function switchField({ plugin, service, route }: SwitchTarget): string {
  return `${plugin} ${service ?? "*"} ${route ?? "*"}`;
}

/** @returns undefined for what is no field of ours */
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

/** The text of a value that is not signed, or without its signature, as facts. @returns undefined for what is none */
export function parseSwitchFacts(text: string): SwitchFacts | undefined {
  if (text.length > maxSwitchLength) return undefined;
  try {
    return switchFacts.safeParse(parseJson(text)).data;
  } catch {
    return undefined;
  }
}

/** What of a service is off now. */
export class SwitchedOff {
  readonly switches: readonly KillSwitch[];
  readonly #taken: readonly { readonly of: KillSwitch; readonly takes: (path: string) => boolean }[];

  /** @param switches those that concern the service and are not over */
  constructor(switches: readonly KillSwitch[]) {
    this.switches = switches;
    this.#taken = switches.map((of) => ({ of, takes: takerOf(of.route) }));
  }

  /** @param path the route's own. @returns the switch that takes the plugin out there; one that keeps the route closed first */
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

/** Whether a switch for these routes takes the one of that path: exact, or below a prefix. */
function takerOf(route: string | undefined): (path: string) => boolean {
  if (route === undefined) return () => true;
  if (!route.endsWith("/*")) return (path) => path === route;
  const paths = compilePaths([route], false);
  return (path) => paths.spells(path.replace(/\/\*$/, "") || "/");
}

export const nothingOff = new SwitchedOff([]);

/** @param code with which Redis refused to tell them. @param key of the hash, with prefix. @returns what is wrong, what to do */
export function whyUnread(code: string, key: string): string {
  if (code === "TOOLARGE")
    return `${key} holds more than all kill switches can be (${switchBounds.maxFields} fields, ${switchBounds.maxBytes} bytes), so somebody else fills it: DEL it, and set again what is to be off`;
  if (code === "WRONGTYPE") return `${key} is no hash: DEL it, and set again what is to be off`;
  return `Redis answers ${code} to a look at ${key} (outrigger redis-acl prints the rights)`;
}
