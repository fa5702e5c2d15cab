// Paths of claims as policies write them, with one meaning for everybody who reads claims: a claim's own name, dots and
// all, or else names joined by dots for nested claims.
import { z } from "zod";
import { term } from "./terms.ts";

const name = String.raw`[^\s.\p{C}]+`;
/** Without anchors, for patterns that hold a path: `claim:<path>`. */
export const claimPathSource = String.raw`${name}(?:\.${name})*`;
const maxPath = 256;

export const claimPath = term(
  "claim",
  z
    .string()
    .max(maxPath)
    .regex(new RegExp(`^${claimPathSource}$`, "u"), "must be a claim's name, or names joined by dots"),
);

export type Claims = Readonly<Record<string, unknown>>;

/** @returns undefined when there is no such claim */
export function claimAt(claims: Claims, path: string): unknown {
  if (Object.hasOwn(claims, path)) return claims[path];
  let value: unknown = claims;
  for (const part of path.split(".")) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Claims)[part];
  }
  return value;
}

/**
 * A claim as text that tells callers apart: equal only for equal claims.
 * @returns undefined for one that is absent, null or empty. Such callers have nothing in common: never take a
 *   constant for it.
 */
export function claimText(claims: Claims | undefined, path: string): string | undefined {
  const value = claims === undefined ? undefined : claimAt(claims, path);
  if (value === undefined || value === null || value === "") return undefined;
  return JSON.stringify(value);
}
