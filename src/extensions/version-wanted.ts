// Resolves a policy's version range to a version, by the rules of semver.org.
import semver from "semver";
import type { ExtensionEntry } from "./entry.ts";
import { PackageUnavailable, quoted } from "./package-error.ts";
import type { PackageSource } from "./source.ts";

/** The version, if the text is an exact version and not a range. */
export function exactly(range: string | undefined): string | undefined {
  return range !== undefined && semver.valid(range) === range ? range : undefined;
}

/** Whether a version is in the range; prereleases count only if the range names one. */
export const isWithin = (range: string, version: string): boolean => semver.satisfies(version, range);

/** Highest version first; invalid versions are left out. */
const newestFirst = (versions: readonly string[]): string[] =>
  versions.filter((version) => semver.valid(version) === version).toSorted(semver.rcompare);

const shown = 10;

/**
 * @returns undefined = the location names one package. Rejects with PackageUnavailable when the range has no version
 */
export async function versionWanted(
  source: PackageSource,
  name: string,
  { source: location, replaces, version: range = "*" }: ExtensionEntry,
  signal: AbortSignal,
): Promise<string | undefined> {
  const exact = exactly(range);
  if (exact !== undefined) return exact;
  const there = await source.versions({ name, replaces, location }, signal);
  if (there === undefined) return undefined;
  const versions = newestFirst(there);
  const highest = versions.find((version) => isWithin(range, version));
  if (highest !== undefined) return highest;
  const others = versions.length === 0 ? "it has none" : `it has ${versions.slice(0, shown).join(", ")}`;
  throw new PackageUnavailable(`${quoted(location)} has no version within ${quoted(range)}: ${others}`);
}
