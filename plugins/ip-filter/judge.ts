// Decides whether a client's address is let in.
import { readAddress } from "./address.ts";
import { type NetworkSet, networkSet } from "./network-set.ts";
import type { IpFilterOptions } from "./options.ts";

/** undefined = let in; else why not, for the log. */
export type Judgement = { readonly what: "refused" | "unknown"; readonly because: string } | undefined;

const words = new Uint32Array(4);

const refused = (because: string): Judgement => ({ what: "refused", because });
const unknown = ({ name }: List): Judgement => ({ what: "unknown", because: `list ${name} is not known` });

/** The part of a named list that a request needs. */
export interface List {
  readonly name: string;
  /** @returns undefined = the content of the list is not known */
  current(staleMs: number): NetworkSet | undefined;
}

export interface Lists {
  readonly allow: readonly List[];
  readonly deny: readonly List[];
}

export function compileJudge(options: IpFilterOptions, lists: Lists): (address: string) => Judgement {
  const allow = networkSet(options.allow);
  const deny = networkSet(options.deny);
  const staleMs = options.staleSeconds * 1_000;
  const isOpen = options.allow.length === 0 && options.lists.length === 0;
  const denied = refused("in deny");
  const unlisted = refused("in no network that is allowed");
  const noAddress = refused("no IP address");
  const inLists = new Map(lists.deny.map((list) => [list, refused(`in the list ${list.name}`)]));
  const unknowns = new Map([...lists.allow, ...lists.deny].map((list) => [list, unknown(list)]));

  return function judge(address) {
    const family = readAddress(address, words);
    if (family === 0) return noAddress;
    if (deny.has(family, words)) return denied;
    for (const list of lists.deny) {
      const set = list.current(staleMs);
      if (set === undefined) return unknowns.get(list);
      if (set.has(family, words)) return inLists.get(list);
    }
    if (isOpen || allow.has(family, words)) return undefined;
    let missing: List | undefined;
    for (const list of lists.allow) {
      const set = list.current(staleMs);
      if (set === undefined) missing = list;
      else if (set.has(family, words)) return undefined;
    }
    return missing === undefined ? unlisted : unknowns.get(missing);
  };
}
