// Finds which document set each field of an effective policy. Pure: it looks for the same value at the same place.
import { isDeepStrictEqual } from "node:util";
import { isObject } from "../policy/document/plain-object.ts";
import { routeName } from "./difference.ts";

/** `default`: neither document sets it. */
export type Origin = "shared" | "layer" | "default";

export interface Field {
  readonly path: string;
  readonly value: unknown;
  readonly from: Origin;
}

/** @returns every field that is not an object with members, in the order of the effective document */
export function fieldsOf(effective: unknown, shared: unknown, layer: unknown): readonly Field[] {
  const fields: Field[] = [];
  if (!isObject(effective)) return fields;
  for (const [name, value] of Object.entries(effective)) {
    if (name === "routes" && Array.isArray(value)) {
      for (const route of value as unknown[]) {
        walk(route, matching(shared, route), matching(layer, route), `routes[${nameOf(route)}]`, fields);
      }
    } else walk(value, memberOf(shared, name), memberOf(layer, name), name, fields);
  }
  return fields;
}

function walk(value: unknown, shared: unknown, layer: unknown, path: string, fields: Field[]): void {
  if (isObject(value) && Object.keys(value).length > 0) {
    for (const [name, member] of Object.entries(value))
      walk(member, memberOf(shared, name), memberOf(layer, name), `${path}.${name}`, fields);
    return;
  }
  const from = isDeepStrictEqual(value, layer)
    ? "layer"
    : isDeepStrictEqual(value, shared)
      ? "shared"
      : "default";
  fields.push({ path, value, from: value === undefined ? "default" : from });
}

/** @returns the route that this one comes from. A layer's route replaces the shared one of its path and methods. */
function matching(document: unknown, route: unknown): unknown {
  const routes = memberOf(document, "routes");
  if (!Array.isArray(routes)) return undefined;
  return (routes as unknown[]).find((each) => nameOf(each) === nameOf(route));
}

/** An effective route is for one service and has no `services`, so they do not count in the name. */
function nameOf(route: unknown): string {
  return routeName(isObject(route) ? { ...route, services: undefined } : route);
}

function memberOf(value: unknown, name: string): unknown {
  return isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
}
