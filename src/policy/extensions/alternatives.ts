// Completes lists of plugins with extensions that replace others for some callers: a route that lists one has both.
import type { Extensions } from "../document/extensions-field.ts";

/** @returns the names and those of their alternatives; the same list where there are none */
export function withAlternatives(
  names: readonly string[],
  extensions: Extensions | undefined,
): readonly string[] {
  if (extensions === undefined) return names;
  const added = Object.entries(extensions).flatMap(([name, { replaces }]) => {
    if (replaces === undefined || !Object.hasOwn(extensions, replaces)) return [];
    if (names.includes(name) === names.includes(replaces)) return [];
    return names.includes(name) ? [replaces] : [name];
  });
  return added.length === 0 ? names : [...names, ...added];
}
