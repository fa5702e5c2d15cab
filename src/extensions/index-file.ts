// Reads and writes an index of packages: a JSON file that lists packages and their places, relative to the index.
import { z } from "zod";
import { parseJson } from "../language/json.ts";
import { exactVersion, extensionName } from "./manifest.ts";
import { PackageError, PackageUnavailable, quoted } from "./package-error.ts";
import { type Listed, maxVersions, namesOf, type Wanted } from "./source.ts";

export const maxIndexBytes = 1_048_576;

const entryShape = z.object({
  name: extensionName,
  version: exactVersion,
  file: z.string().min(1).max(1_024),
});
const shape = z.object({ plugins: z.array(entryShape).max(maxVersions) });

export type IndexEntry = z.output<typeof shape>["plugins"][number];

export const isIndex = (location: string): boolean => location.endsWith(".json");

/** @throws PackageError */
export function parseIndex(bytes: Buffer): readonly IndexEntry[] {
  let value: unknown;
  try {
    value = parseJson(bytes.toString());
  } catch (error) {
    throw new PackageError(`the index is ${(error as SyntaxError).message}`);
  }
  const parsed = shape.safeParse(value);
  if (parsed.success) return parsed.data.plugins;
  const { path, message } = parsed.error.issues[0] as z.core.$ZodIssue;
  throw new PackageError(`the index is wrong at ${quoted(path.join("."))}: ${message}`);
}

/** Makes an index to be put beside the listed packages; entries whose name or version is invalid are left out. */
export function indexText(listed: readonly Listed[]): string {
  const plugins = listed.flatMap((each) => entryShape.safeParse(each).data ?? []);
  return `${JSON.stringify({ plugins }, null, 2)}\n`;
}

/** @throws PackageError when no version is wanted, PackageUnavailable when the index has no such package */
export function entryIn(entries: readonly IndexEntry[], wanted: Wanted): IndexEntry {
  const { name, version } = wanted;
  if (version === undefined) throw new PackageError("an index has several packages: say a version");
  const found = namesOf(wanted)
    .map((each) => entries.find((entry) => entry.name === each && entry.version === version))
    .find((entry) => entry !== undefined);
  if (found !== undefined) return found;
  throw new PackageUnavailable(`the index has no ${quoted(`${name}@${version}`)}`);
}

export function versionsIn(
  entries: readonly Pick<IndexEntry, "name" | "version">[],
  wanted: Pick<Wanted, "name" | "replaces">,
): string[] {
  const named = entries.filter(({ name }) => namesOf(wanted).includes(name));
  return [...new Set(named.map(({ version }) => version))];
}
