// Reads methods in policies: one schema, and the one place that knows which methods a named GET covers.
import { METHODS } from "node:http";
import { z } from "zod";
import { term } from "./terms.ts";

/** CONNECT is missing: it asks a proxy for a tunnel, and a sidecar forwards to one service and opens none. */
export const knownMethods: readonly string[] = METHODS.filter((method) => method !== "CONNECT");
const known = new Set(knownMethods);

/** One method. A name that no request can have is refused: it would silently disable the rule that names it. */
export const methodName = term(
  "method",
  z.string().refine((text) => known.has(text), { error: "must be a method that HTTP knows, in capitals" }),
);

/** The methods to which something applies. */
export const methodList = z.array(methodName).min(1).describe("Methods it holds for; GET holds for HEAD");

/**
 * HEAD is GET without the content (RFC 9110 section 9.3.2), and services answer it with the code of GET. So a route,
 * rule, exclusion or limit that names GET covers HEAD as well.
 */
export function compileMethods(methods: readonly string[]): ReadonlySet<string> {
  const set = new Set(methods);
  if (set.has("GET")) set.add("HEAD");
  return set;
}
