// Lists the packages at a location and whether the fleet can run them, for people who look for one.
import semver from "semver";
import type { Manifest, Package } from "../extensions/manifest.ts";
import { contractVersion } from "../extensions/manifest.ts";
import { isCompatible, openPackage } from "../extensions/package.ts";
import { PackageError, PackageUnavailable } from "../extensions/package-error.ts";
import type { Listed, PackageSource } from "../extensions/source.ts";
import type { Store } from "../plugin-api/store.ts";
import { readFleet } from "./fleet.ts";

/** Number of live sidecars by version of the plugin contract; "" = they report none. */
export type Contracts = ReadonlyMap<string, number>;

/** Counts the contracts in the fleet's heartbeats. Rejects with StoreUnavailable. */
export async function contractsIn(store: Store): Promise<Contracts> {
  const contracts = new Map<string, number>();
  for (const { state, receipt } of (await readFleet(store, undefined)).members) {
    if (state !== "live" || receipt === null) continue;
    const contract = semver.valid(receipt.contract) ?? "";
    contracts.set(contract, (contracts.get(contract) ?? 0) + 1);
  }
  return contracts;
}

export interface Fit {
  /** Whether a sidecar of this program's version can run the package. */
  readonly here: boolean;
  /** Number of live sidecars that can run it. */
  readonly sidecars: number;
  readonly of: number;
}

export function fitOf(manifest: Manifest, contracts: Contracts): Fit {
  let [sidecars, of] = [0, 0];
  for (const [contract, count] of contracts) {
    of += count;
    if (contract !== "" && isCompatible(manifest, contract)) sidecars += count;
  }
  return { here: isCompatible(manifest, contractVersion), sidecars, of };
}

export interface CatalogueEntry extends Listed {
  /** undefined = it could not be read; `problem` says why. */
  readonly package: Package | undefined;
  readonly problem: string | undefined;
}

/** Sorts by name, then highest version first; entries without a valid version come last. */
export function inOrder(listed: readonly Listed[]): Listed[] {
  return listed.toSorted((a, b) => {
    if (a.name !== b.name) return a.name < b.name ? -1 : 1;
    return semver.compareBuild(semver.valid(b.version) ?? "0.0.0-0", semver.valid(a.version) ?? "0.0.0-0");
  });
}

/** Most packages that one search reads: each may have 16 MiB. */
const maxRead = 100;
const atOnce = 4;

/**
 * Reads the highest version of each package whose name or description has the word. Rejects with PackageError or
 * PackageUnavailable when the location cannot be listed.
 */
export async function search(
  source: PackageSource,
  location: string,
  word: string,
  signal: AbortSignal,
): Promise<readonly CatalogueEntry[]> {
  const highest = new Map<string, Listed>();
  for (const each of inOrder(await source.list(location, signal)))
    if (!highest.has(each.name) && semver.valid(each.version) !== null) highest.set(each.name, each);
  const waiting = [...highest.values()].slice(0, maxRead);
  const found: CatalogueEntry[] = [];
  const readNext = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const entry = await read(source, next, signal);
      // The entry keeps the package's description, not its bytes.
      if (hasWord(entry, word)) found.push(entry);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, readNext));
  return found.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

async function read(source: PackageSource, listed: Listed, signal: AbortSignal): Promise<CatalogueEntry> {
  try {
    const bytes = await source.fetch(listed, signal);
    const found = openPackage(bytes, { name: listed.name, version: listed.version });
    return { ...listed, package: { ...found, bytes: Buffer.alloc(0) }, problem: undefined };
  } catch (error) {
    if (error instanceof PackageError || error instanceof PackageUnavailable)
      return { ...listed, package: undefined, problem: error.message };
    throw error;
  }
}

function hasWord({ name, package: found }: CatalogueEntry, word: string): boolean {
  const text = `${name} ${found?.manifest.description ?? ""}`;
  return text.toLowerCase().includes(word.toLowerCase());
}
