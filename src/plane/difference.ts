// Compares two policies as people think of them: routes by path and methods, options by name, lists of plugins as sets.
// Pure.
import { isDeepStrictEqual } from "node:util";
import { isObject } from "../policy/document/plain-object.ts";

export interface Difference {
  readonly op: "add" | "remove" | "change";
  /** `routes[/api/* GET,POST].pluginConfig.cache.ttlSeconds` */
  readonly path: string;
  readonly from?: unknown;
  readonly to?: unknown;
}

/** @returns the differences in the order of the new document, then what is missing from it */
export function differences(from: unknown, to: unknown): readonly Difference[] {
  const found: Difference[] = [];
  compare(from, to, "", found);
  return found;
}

function compare(from: unknown, to: unknown, path: string, found: Difference[]): void {
  if (isDeepStrictEqual(from, to)) return;
  if (from === undefined) found.push({ op: "add", path, to });
  else if (to === undefined) found.push({ op: "remove", path, from });
  else if (isObject(from) && isObject(to)) {
    for (const name of new Set([...Object.keys(to), ...Object.keys(from)])) {
      compare(member(from, name), member(to, name), join(path, name), found);
    }
  } else if (path === "routes" && Array.isArray(from) && Array.isArray(to)) {
    compareRoutes(from as unknown[], to as unknown[], found);
  } else if (isSet(path) && Array.isArray(from) && Array.isArray(to)) {
    compareSets(from as unknown[], to as unknown[], path, found);
  } else found.push({ op: "change", path, from, to });
}

/** Whether the order of the list at this path has no meaning. */
function isSet(path: string): boolean {
  return /(^|\.)(plugins|locked|methods|services)$/.test(path) && !path.includes("pluginConfig");
}

const has = (list: readonly unknown[], item: unknown): boolean =>
  list.some((each) => isDeepStrictEqual(each, item));

function compareSets(
  from: readonly unknown[],
  to: readonly unknown[],
  path: string,
  found: Difference[],
): void {
  for (const item of to) if (!has(from, item)) found.push({ op: "add", path, to: item });
  for (const item of from) if (!has(to, item)) found.push({ op: "remove", path, from: item });
}

function compareRoutes(from: readonly unknown[], to: readonly unknown[], found: Difference[]): void {
  const before = byName(from);
  const after = byName(to);
  for (const name of new Set([...after.keys(), ...before.keys()])) {
    compare(before.get(name), after.get(name), `routes[${name}]`, found);
  }
}

function byName(routes: readonly unknown[]): Map<string, unknown> {
  const named = new Map<string, unknown>();
  for (const route of routes) {
    const name = routeName(route);
    let key = name;
    for (let count = 2; named.has(key); count++) key = `${name} #${count}`;
    named.set(key, route);
  }
  return named;
}

/** @returns the route's path, with its methods and services if it has any */
export function routeName(route: unknown): string {
  if (!isObject(route)) return "?";
  const methods = Array.isArray(route["methods"])
    ? ` ${route["methods"].map(String).toSorted().join(",")}`
    : "";
  const services = Array.isArray(route["services"])
    ? ` for ${route["services"].map(String).toSorted().join(",")}`
    : "";
  return `${String(route["path"])}${methods}${services}`;
}

const member = (object: Readonly<Record<string, unknown>>, name: string): unknown =>
  Object.hasOwn(object, name) ? object[name] : undefined;

const join = (path: string, name: string): string => {
  const shown = /^[\w-]+$/.test(name) ? name : `[${JSON.stringify(name)}]`;
  return path === "" ? shown : shown.startsWith("[") ? path + shown : `${path}.${shown}`;
};
