// Methods as policies name them: one schema, and the one place that knows what a named GET holds for.
import { METHODS } from "node:http";
import { z } from "zod";
import { term } from "./terms.ts";

/** CONNECT asks a proxy for a tunnel; a sidecar forwards to one service and opens none. */
export const knownMethods: readonly string[] = METHODS.filter((method) => method !== "CONNECT");
const known = new Set(knownMethods);

/** One method. A name that no request can have would make what it stands in silently inert. */
export const methodName = term(
  "method",
  z.string().refine((text) => known.has(text), { error: "must be a method that HTTP knows, in capitals" }),
);

/** Methods that something holds for. */
export const methodList = z.array(methodName).min(1).describe("Methods it holds for; GET holds for HEAD");

/**
 * HEAD is GET without the content (RFC 9110 section 9.3.2) and services answer it by the code of GET: what names GET
 * holds for HEAD, be it a route, a rule, an exclusion or a limit.
 */
export function compileMethods(methods: readonly string[]): ReadonlySet<string> {
  const set = new Set(methods);
  if (set.has("GET")) set.add("HEAD");
  return set;
}
