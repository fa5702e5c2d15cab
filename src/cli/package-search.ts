// Runs `outrigger plugin search WORD`: finds packages whose name or description contains the word, and tells whether
// the fleet can run them.
import { type CatalogueEntry, type Contracts, contractsIn, fitOf, search } from "../plane/catalogue.ts";
import { printJson } from "./json-text.ts";
import { printTable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { locationOf, redisFor, sourceOf, withPackages } from "./with-packages.ts";

export interface SearchOptions {
  readonly in: string;
  readonly json?: true;
}

const limitMs = 60_000;

/** Throws ConfigError. @returns the exit code: 1 when nothing is found */
export async function searchPackages(
  terminal: Terminal,
  word: string,
  options: SearchOptions,
): Promise<number> {
  return await withPackages(terminal, redisFor(options.in), async (places) => {
    const location = locationOf(options.in);
    const contracts: Contracts = places.store === undefined ? new Map() : await contractsIn(places.store);
    const found = await search(sourceOf(places, location), location, word, AbortSignal.timeout(limitMs));
    if (options.json)
      printJson(
        terminal,
        found.map((each) => shown(each, contracts)),
      );
    else {
      const rows = found.map((each) => rowOf(each, contracts));
      printTable(terminal, ["NAME", "VERSION", "CONTRACT", "RUNS ON", "DESCRIPTION"], rows);
    }
    return found.length === 0 ? 1 : 0;
  });
}

function shown(
  { name, version, location, package: found, problem }: CatalogueEntry,
  contracts: Contracts,
): unknown {
  if (found === undefined) return { name, version, location, problem };
  const { manifest, kind, sha256 } = found;
  const { apiVersion, description } = manifest;
  return { name, version, location, kind, sha256, apiVersion, description, fits: fitOf(manifest, contracts) };
}

function rowOf(
  { name, version, package: found, problem = "" }: CatalogueEntry,
  contracts: Contracts,
): string[] {
  if (found === undefined) return [name, version, "?", "?", problem];
  const { here, sidecars, of } = fitOf(found.manifest, contracts);
  const runsOn = of === 0 ? (here ? "this version" : "a later version") : `${sidecars} of ${of} sidecars`;
  return [name, version, found.manifest.apiVersion, runsOn, found.manifest.description];
}
