// Which version a policy's range stands for, by semver.org.
import semver from "semver";
import type { ExtensionEntry } from "./entry.ts";
import { PackageUnavailable, quoted } from "./package-error.ts";
import type { PackageSource } from "./source.ts";

/** The version, where the text is one and no range of several. */
export function exactly(range: string | undefined): string | undefined {
  return range !== undefined && semver.valid(range) === range ? range : undefined;
}

/** Whether a version is in the range; a range names prereleases by naming one. */
export const isWithin = (range: string, version: string): boolean => semver.satisfies(version, range);

/** The highest version first; what is no version is left out. */
const newestFirst = (versions: readonly string[]): string[] =>
  versions.filter((version) => semver.valid(version) === version).toSorted(semver.rcompare);

const shown = 10;

/** @returns undefined = the location itself names one package. Rejects with PackageUnavailable when none is in the range */
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
