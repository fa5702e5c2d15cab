// Runs `outrigger plugin remove NAME@VERSION`: removes a package from Redis or a folder, unless a policy needs it.
import { digestOf } from "../extensions/package.ts";
import { packageKey } from "../extensions/redis-source.ts";
import { isPinned } from "../plane/pins.ts";
import { removeFromFolder, removeFromRedis } from "../plane/publish.ts";
import { printJson } from "./json-text.ts";
import { pinnedIn } from "./package-list.ts";
import { printable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import {
  locationOf,
  type PackagePlaces,
  redisFor,
  sourceOf,
  versionedOf,
  withPackages,
  WrongArgument,
} from "./with-packages.ts";

const limitMs = 30_000;

export interface RemoveOptions {
  readonly from: string;
  readonly force?: true;
  readonly json?: true;
}

/** Throws ConfigError. @returns the exit code */
export async function removePackage(
  terminal: Terminal,
  what: string,
  options: RemoveOptions,
): Promise<number> {
  return await withPackages(terminal, redisFor(options.from), async (places) => {
    const { name, version } = versionedOf(what);
    const location = locationOf(options.from);
    const isFolder = location.startsWith("file:");
    if (!isFolder && places.store === undefined)
      throw new WrongArgument("--from takes redis: or file:FOLDER: registries remove what is theirs");
    const why = options.force ? undefined : await neededBecause(places, location, { name, version });
    if (why !== undefined) {
      terminal.err(`${printable(what)} stays: ${why} (--force removes it all the same)\n`);
      return 1;
    }
    const removed = isFolder
      ? await removeFromFolder(location.slice("file:".length), name, version)
      : places.store !== undefined && (await removeFromRedis(places.store, name, version));
    const where = isFolder ? location : packageKey(name, version);
    if (options.json) printJson(terminal, { name, version, from: location, removed });
    else if (removed) terminal.out(`${printable(what)} is removed from ${printable(where)}\n`);
    else terminal.err(`${printable(where)} holds no ${printable(what)}\n`);
    return removed ? 0 : 1;
  });
}

async function neededBecause(
  places: PackagePlaces,
  location: string,
  { name, version }: { readonly name: string; readonly version: string },
): Promise<string | undefined> {
  const pins = await pinnedIn(places);
  if (pins === undefined) return "the policy in Redis cannot be read, and might need it";
  if (pins.length === 0) return undefined;
  const place = location === "redis:" ? `redis:plugin:${name}` : location;
  const signal = AbortSignal.timeout(limitMs);
  // The package may be damaged or gone: then its name and version decide.
  const bytes = await sourceOf(places, location)
    .fetch({ name, location: place, version }, signal)
    .catch(() => undefined);
  const sha256 = bytes && digestOf(bytes);
  return isPinned(pins, { name, version, sha256 })
    ? "the policy in Redis pins it: new sidecars would have no policy"
    : undefined;
}
