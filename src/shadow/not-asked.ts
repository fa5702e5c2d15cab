// Says which decisions of a candidate cannot be made without effect or without unknown facts: they are reported, not
// guessed.
import { isDeepStrictEqual } from "node:util";
import type { Extension } from "../extensions/entry.ts";

/** Built-in plugins whose hooks do not run, and what their answer depends on; "" = the plugin refuses nobody. */
const idle: ReadonlyMap<string, string> = new Map([
  ["rate-limit", "counts of limits"],
  ["ext-auth", "what the service it asks would answer"],
  ["score", "scores"],
  ["cache", ""],
]);

/** Options of `auth` that do not affect whose request it is. */
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

/**
 * @returns a test of whether an extension runs: a WebAssembly module that only reaches the request. Others are not even
 * set up.
 */
export function runsBeside(all: readonly Extension[]): (extension: Extension) => boolean {
  const out = new Set(all.filter(reaches).map(({ name }) => name));
  // An extension and its replacement take turns: both run or neither.
  for (const { name, entry } of all)
    if (entry.replaces !== undefined && (out.has(name) || out.has(entry.replaces)))
      out.add(name).add(entry.replaces);
  return ({ name }) => !out.has(name);
}

export const isIdle = (plugin: string): boolean => idle.has(plugin);

/** @returns what the plugin's answer depends on; "" = it runs as usual */
export function untold(plugin: string, options: unknown): string {
  const { lists = [], denyLists = [] } = Object(options) as { lists?: unknown[]; denyLists?: unknown[] };
  if (plugin === "ip-filter") return lists.length + denyLists.length > 0 ? "lists of networks in Redis" : "";
  return idle.get(plugin) ?? "";
}

/** Whether two routes establish the caller's identity in the same way. */
export function provesAlike(a: unknown, b: unknown): boolean {
  return isDeepStrictEqual(identityPart(a), identityPart(b));
}

const identityPart = (options: unknown): object =>
  Object.fromEntries(
    Object.entries(Object(options) as object).filter(([name]) => !notAboutIdentity.has(name)),
  );
