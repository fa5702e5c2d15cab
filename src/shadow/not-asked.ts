// What of a candidate cannot be decided without effect, or without knowing more than is at hand: it is said, not guessed.
import { isDeepStrictEqual } from "node:util";
import type { Extension } from "../extensions/entry.ts";

/** Built-in plugins whose hooks do not run, and why nobody can tell what they would answer; "" = they refuse nobody. */
const idle: ReadonlyMap<string, string> = new Map([
  ["rate-limit", "counts of limits"],
  ["ext-auth", "what the service it asks would answer"],
  ["score", "scores"],
  ["cache", ""],
]);

/** Options of `auth` that are not about who somebody is. */
const notAboutIdentity = new Set([
  "rules",
  "required",
  "exclude",
  "assertion",
  "forwardCredentials",
  "realm",
  "guessing",
]);

function reaches({ entry, package: { manifest } }: Extension): boolean {
  const { hosts, keys, database } = manifest.needs;
  return entry.runtime !== "wasm" || hosts.length > 0 || keys.length > 0 || database !== undefined;
}

/** @returns whether an extension runs: a module that reaches nothing but the request. Others are not even set up. */
export function runsBeside(all: readonly Extension[]): (extension: Extension) => boolean {
  const out = new Set(all.filter(reaches).map(({ name }) => name));
  // Of two that take turns both have to run.
  for (const { name, entry } of all)
    if (entry.replaces !== undefined && (out.has(name) || out.has(entry.replaces)))
      out.add(name).add(entry.replaces);
  return ({ name }) => !out.has(name);
}

export const isIdle = (plugin: string): boolean => idle.has(plugin);

/** Why nobody can tell what it would answer; "" = it runs as ever. */
export function untold(plugin: string, options: unknown): string {
  const { lists = [], denyLists = [] } = Object(options) as { lists?: unknown[]; denyLists?: unknown[] };
  if (plugin === "ip-filter") return lists.length + denyLists.length > 0 ? "lists of networks in Redis" : "";
  return idle.get(plugin) ?? "";
}

/** Whether two routes find out in the same way who somebody is. */
export function provesAlike(a: unknown, b: unknown): boolean {
  return isDeepStrictEqual(identityPart(a), identityPart(b));
}

const identityPart = (options: unknown): object =>
  Object.fromEntries(
    Object.entries(Object(options) as object).filter(([name]) => !notAboutIdentity.has(name)),
  );
