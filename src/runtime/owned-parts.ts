// Takes out parts of a request that carry a credential and that only plugins may read: query parameters and WebSocket
// subprotocols. This happens before any plugin runs, so no log line, cache key, redirect or service holds them.
import type { Hooks } from "../plugin-api/contract.ts";
import type { Fields } from "../plugin-api/fields.ts";

export interface TakenParts {
  /** The query without the parameters taken, with its `?`, or "". */
  readonly query: string;
  /** The parameters as sent, joined by `&`. */
  readonly ownedQuery: string | undefined;
  readonly ownedSubprotocols: readonly string[] | undefined;
}

const subprotocolField = "sec-websocket-protocol";

export class OwnedParts {
  readonly #query: ReadonlySet<string>;
  readonly #subprotocols: readonly string[];

  readonly #referer: ReadonlySet<string>;

  private constructor(
    query: ReadonlySet<string>,
    subprotocols: ReadonlySet<string>,
    referer: ReadonlySet<string>,
  ) {
    this.#query = query;
    this.#subprotocols = [...subprotocols];
    this.#referer = referer;
  }

  /**
   * @param hooks of one route
   * @param referer parameters that any route takes: the addresses of its pages reach other routes as Referer
   * @returns undefined when there is nothing to take
   */
  static of(hooks: readonly Hooks[], referer = ownedQueryOf(hooks)): OwnedParts | undefined {
    const query = ownedQueryOf(hooks);
    const subprotocols = new Set(hooks.flatMap((each) => each.ownedSubprotocols ?? []));
    if (query.size + subprotocols.size + referer.size === 0) return undefined;
    return new OwnedParts(query, subprotocols, referer);
  }

  /**
   * Removes the subprotocols from the fields, and from the Referer the parameters.
   * @returns the query without its taken parameters, and what was taken
   */
  take(query: string, fields: Fields): TakenParts {
    const ownedSubprotocols = this.#subprotocols.length === 0 ? undefined : this.#takeSubprotocols(fields);
    if (this.#referer.size > 0) this.#cleanReferer(fields);
    if (this.#query.size === 0) return { query, ownedQuery: undefined, ownedSubprotocols };
    const { rest, owned } = split(query, this.#query);
    const ownedQuery = owned.length === 0 ? undefined : owned.join("&");
    return { query: ownedQuery === undefined ? query : rest, ownedQuery, ownedSubprotocols };
  }

  /** A page whose own address holds a credential sends it as Referer with everything the page loads. */
  #cleanReferer(fields: Fields): void {
    const referer = fields.get("referer");
    const mark = referer?.indexOf("?") ?? -1;
    if (referer === undefined || mark === -1) return;
    const { rest, owned } = split(referer.slice(mark), this.#referer);
    if (owned.length > 0) fields.set("Referer", referer.slice(0, mark) + rest);
  }

  #takeSubprotocols(fields: Fields): string[] | undefined {
    const offered = fields.get(subprotocolField);
    if (offered === undefined) return undefined;
    const names = offered.split(",").map((name) => name.trim());
    const owned = names.filter((name) =>
      this.#subprotocols.some((prefix) => name === prefix || name.startsWith(`${prefix}.`)),
    );
    if (owned.length === 0) return undefined;
    const kept = names.filter((name) => !owned.includes(name));
    if (kept.length === 0) fields.delete(subprotocolField);
    else fields.set("Sec-WebSocket-Protocol", kept.join(", "));
    return owned;
  }
}

interface HookedRoute {
  readonly chain: { readonly steps: readonly { readonly hooks: Hooks }[] };
}
const hooksOf = ({ chain }: HookedRoute): Hooks[] => chain.steps.map(({ hooks }) => hooks);

/**
 * @param all hooks of all routes that own any parts
 * @param unmatched the route for requests that match no other; such a request may hold the parts of any route
 */
export function ownedPartsIn(
  all: readonly Hooks[],
  unmatched: HookedRoute,
): (route: HookedRoute) => OwnedParts | undefined {
  const referer = ownedQueryOf(all);
  return (route) => OwnedParts.of(route === unmatched ? all : hooksOf(route), referer);
}

/** Names of the query parameters that plugins declare as their own. */
function ownedQueryOf(hooks: readonly Hooks[]): ReadonlySet<string> {
  return new Set(hooks.flatMap((each) => each.ownedQuery ?? []));
}

/** @param query with its `?`, or "" */
function split(query: string, names: ReadonlySet<string>): { rest: string; owned: string[] } {
  const owned: string[] = [];
  let rest = "";
  if (query === "") return { rest, owned };
  // Some services split at `;` too, and so do some readers of logs.
  const parts = query.slice(1).split(/([&;])/);
  for (let i = 0; i < parts.length; i += 2) {
    const pair = parts[i] as string;
    if (isNamed(pair, names)) owned.push(pair);
    else rest += rest === "" ? `?${pair}` : `${parts[i - 1]}${pair}`;
  }
  return { rest, owned };
}

function isNamed(pair: string, names: ReadonlySet<string>): boolean {
  const equals = pair.indexOf("=");
  try {
    return names.has(decodeURIComponent(equals === -1 ? pair : pair.slice(0, equals)));
  } catch {
    return false;
  }
}
