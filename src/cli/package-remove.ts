// `outrigger plugin remove NAME@VERSION`: takes a package out of Redis or a folder, unless a policy needs it.
import { packageKey } from "../extensions/redis-source.ts";
import { removeFromFolder, removeFromRedis } from "../plane/publish.ts";
import { printJson } from "./json-text.ts";
import { pinnedIn } from "./package-list.ts";
import { printable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { locationOf, redisFor, versionedOf, withPackages, WrongArgument } from "./with-packages.ts";

export interface RemoveOptions {
  readonly from: string;
  readonly force?: true;
  readonly json?: true;
}

/** @returns the exit code; throws ConfigError */
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
    const pins = options.force ? [] : await pinnedIn(places);
    const why =
      pins === undefined
        ? "the policy in Redis cannot be read, and might need it"
        : pins.some((pin) => pin.name === name && (pin.version === version || pin.version === undefined))
          ? "the policy in Redis pins it: new sidecars would have no policy"
          : undefined;
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
