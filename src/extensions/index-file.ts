// An index of packages: a JSON file that says which there are and where each lies, relative to the index.
import { z } from "zod";
import { parseJson } from "../language/json.ts";
import { exactVersion, extensionName } from "./manifest.ts";
import { PackageError, PackageUnavailable, quoted } from "./package-error.ts";
import { maxVersions } from "./source.ts";

export const maxIndexBytes = 1_048_576;

const shape = z.object({
  plugins: z
    .array(z.object({ name: extensionName, version: exactVersion, file: z.string().min(1).max(1_024) }))
    .max(maxVersions),
});

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

/** @throws PackageError without a version, PackageUnavailable when the index has no such package */
export function entryIn(
  entries: readonly IndexEntry[],
  name: string,
  version: string | undefined,
): IndexEntry {
  if (version === undefined) throw new PackageError("an index has several packages: say a version");
  const found = entries.find((entry) => entry.name === name && entry.version === version);
  if (found !== undefined) return found;
  throw new PackageUnavailable(`the index has no ${quoted(`${name}@${version}`)}`);
}

export const versionsIn = (entries: readonly IndexEntry[], name: string): string[] =>
  entries.filter((entry) => entry.name === name).map(({ version }) => version);
