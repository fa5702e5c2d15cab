// Selects the Kong plugins that apply to a route, and converts them to options of the plugins here.
import { converts } from "./kong-options.ts";
import { listOf, type Members, membersOf } from "./imported.ts";

/** Plugins whose work the sidecar does anyway. */
const builtIn = new Set([
  "correlation-id",
  "file-log",
  "http-log",
  "prometheus",
  "opentelemetry",
  "zipkin",
  "tcp-log",
  "udp-log",
  "syslog",
]);
/** Plugins that refuse callers. If they have no counterpart here, their routes must not become open unnoticed. */
const guards = /auth|acl|jwt|oidc|openid|restriction|bot-detection|hmac|ldap|mtls|opa|saml|registration/;

interface Placed {
  readonly plugin: Members;
  readonly where: string;
}

/** @returns what a top-level plugin or route refers to: a text as it is, or an object's name or id */
export function referredTo(value: unknown): string | undefined {
  const { name, id } = membersOf(value);
  const [told] = [value, name, id].filter((each) => typeof each === "string");
  return told;
}

export const isNamed = (entity: Members, by: string | undefined): boolean =>
  by !== undefined && (entity["name"] === by || entity["id"] === by);

export class KongPlugins {
  readonly #notes: string[];
  readonly #keys: readonly object[];
  readonly #top: readonly Members[];

  /** @param top the plugins of the top level: for everything, or for the service or route that they name */
  constructor(notes: string[], keys: readonly object[], top: unknown) {
    this.#notes = notes;
    this.#keys = keys;
    this.#top = listOf(top).map(membersOf);
  }

  /**
   * Converts the plugins that apply to a route. Of plugins with one name the one closest to the route wins, as in Kong.
   * @returns options by plugin
   */
  of(service: Members, serviceName: string, route: Members, routeName: string): Record<string, unknown> {
    const closest = new Map<string, Placed>();
    const of = (byService: boolean, byRoute: boolean): Members[] =>
      this.#top.filter(({ service: forService, route: forRoute }) => {
        const [isOfService, isOfRoute] = [forService, forRoute].map(
          (each) => (each ?? undefined) !== undefined,
        );
        return (
          isOfService === byService &&
          isOfRoute === byRoute &&
          (!byService || isNamed(service, referredTo(forService))) &&
          (!byRoute || isNamed(route, referredTo(forRoute)))
        );
      });
    this.#place(closest, of(false, false), "plugins");
    this.#place(closest, of(true, false), `service ${serviceName}`);
    this.#place(closest, listOf(service["plugins"]), `service ${serviceName}`);
    this.#place(closest, [...of(false, true), ...of(true, true)], `route ${routeName}`);
    this.#place(closest, listOf(route["plugins"]), `route ${routeName}`);
    const options: Record<string, unknown> = {};
    for (const [name, placed] of closest) merge(options, this.#convert(name, placed));
    return options;
  }

  #place(closest: Map<string, Placed>, plugins: readonly unknown[], where: string): void {
    for (const each of plugins) {
      const plugin = membersOf(each);
      const name = String(plugin["name"]);
      if (plugin["enabled"] === false) continue;
      const [narrower] = ["consumer", "consumer_group"].filter(
        (of) => (plugin[of] ?? undefined) !== undefined,
      );
      if (narrower === undefined) closest.set(name, { plugin, where });
      else this.#notes.push(`${where}: ${name}: holds for one ${narrower} alone, and is not carried over`);
    }
  }

  #convert(name: string, { plugin, where }: Placed): Members {
    const tell = (text: string): void => void this.#notes.push(`${where}: ${name}: ${text}`);
    const convert = converts.get(name);
    if (convert !== undefined) return convert(membersOf(plugin["config"]), tell, this.#keys);
    if (builtIn.has(name)) tell("the sidecar does it without a plugin");
    else if (guards.test(name)) {
      tell("has no like here: until you have written one, its routes ask for a credential (auth)");
      return { auth: {} };
    } else tell("is not carried over");
    return {};
  }
}

function merge(into: Record<string, unknown>, options: Members): void {
  for (const [name, value] of Object.entries(options))
    into[name] = { ...membersOf(into[name]), ...membersOf(value) };
}
