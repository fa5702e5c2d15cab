// Runs `outrigger plugin list`: lists the packages of a place, and which of them the policy in Redis pins.
import { PolicyHistory } from "../plane/history.ts";
import { indexText } from "../extensions/index-file.ts";
import { inOrder } from "../plane/catalogue.ts";
import { isPinned, type Pin, pinsIn } from "../plane/pins.ts";
import { printJson } from "./json-text.ts";
import { printTable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { locationOf, type PackagePlaces, redisFor, sourceOf, withPackages } from "./with-packages.ts";

export interface ListPackagesOptions {
  readonly in: string;
  readonly index?: true;
  readonly json?: true;
}

const limitMs = 30_000;

/** Throws ConfigError. @returns the exit code */
export async function listPackages(terminal: Terminal, options: ListPackagesOptions): Promise<number> {
  return await withPackages(terminal, redisFor(options.in), async (places) => {
    const location = locationOf(options.in);
    const listed = inOrder(await sourceOf(places, location).list(location, AbortSignal.timeout(limitMs)));
    if (options.index) {
      terminal.out(indexText(listed));
      return 0;
    }
    const pins = (await pinnedIn(places)) ?? [];
    const all = listed.map((each) => ({
      ...each,
      pinned: isPinned(pins, each),
    }));
    if (options.json) printJson(terminal, all);
    else {
      const rows = all.map(({ name, version, pinned, location: where }) => [
        name,
        version,
        pinned ? "yes" : "",
        where,
      ]);
      printTable(terminal, ["NAME", "VERSION", "IN THE POLICY", "WHERE"], rows);
    }
    return 0;
  });
}

/** The pins of the shared policy in Redis; empty without Redis or a policy; undefined = the policy cannot be read. */
export async function pinnedIn({ store, config }: PackagePlaces): Promise<readonly Pin[] | undefined> {
  if (store === undefined) return [];
  const { document } = await new PolicyHistory(store, config.keyPrefix).peek(undefined);
  return document === undefined ? [] : pinsIn(document);
}
