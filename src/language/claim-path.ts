// Reads paths of claims as policies write them. All readers of claims share one meaning: first a claim of exactly that
// name, dots included, else nested claims joined by dots.
import { z } from "zod";
import { term } from "./terms.ts";

const name = String.raw`[^\s.\p{C}]+`;
/** Source of a regular expression without anchors, for patterns that contain a path: `claim:<path>`. */
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
 * A claim as text, as an identifier of callers: equal only for equal claims.
 * @returns undefined for a claim that is absent, null or empty. Callers without the claim have nothing in common: never
 * give them one shared constant.
 */
export function claimText(claims: Claims | undefined, path: string): string | undefined {
  const value = claims === undefined ? undefined : claimAt(claims, path);
  if (value === undefined || value === null || value === "") return undefined;
  return JSON.stringify(value);
}
