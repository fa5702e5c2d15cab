// Makes a package of an author's code. Its manifest combines the code's own definition with manifest.json.
import { readFile } from "node:fs/promises";
import type { Manifest, Package } from "../../extensions/manifest.ts";
import { checkedManifest, openPackage, writePackage } from "../../extensions/package.ts";
import { PackageError } from "../../extensions/package-error.ts";
import { isObject } from "../../policy/document/plain-object.ts";
import { bundleOf } from "./bundle.ts";
import { definitionOf } from "./definition.ts";
import { PackError } from "./pack-error.ts";
import { sourcesAt } from "./sources.ts";

export { PackError } from "./pack-error.ts";

/** @param manifestFile undefined = `manifest.json` beside the code, if it is there. Rejects with PackError */
export async function pack(path: string, manifestFile?: string): Promise<Package> {
  const { code, kind, folder, said } = await sourcesAt(path, manifestFile);
  try {
    if (kind === "wasm") {
      const bytes = await readFile(code).catch((error: NodeJS.ErrnoException) => {
        throw new PackError(`${code} cannot be read: ${error.code}`);
      });
      return openPackage(writePackage(bytes, checkedManifest(said)));
    }
    const bundle = await bundleOf(code, folder);
    return openPackage(writePackage(bundle, manifestBy(said, await definitionOf(bundle))));
  } catch (error) {
    throw error instanceof PackageError ? new PackError(error.message) : error;
  }
}

/** Facts of the code, which a sidecar compares with the manifest. */
const facts = ["name", "version", "priority", "security", "failMode"] as const;

/** @throws PackError if the two contradict each other, PackageError if the result is not a valid manifest */
function manifestBy(
  said: Readonly<Record<string, unknown>>,
  defined: Readonly<Record<string, unknown>>,
): Manifest {
  for (const fact of facts)
    if (said[fact] !== undefined && said[fact] !== defined[fact])
      throw new PackError(
        `the manifest says ${fact} ${JSON.stringify(said[fact])}, and the code ${JSON.stringify(defined[fact])}`,
      );
  return checkedManifest({ ...defined, ...said, needs: both(defined["needs"], said["needs"]) });
}

/** Merges the needs that the code states with those that only the manifest can state. */
function both(defined: unknown, said: unknown): unknown {
  if (said === undefined) return defined;
  return isObject(defined) && isObject(said) ? { ...defined, ...said } : said;
}
