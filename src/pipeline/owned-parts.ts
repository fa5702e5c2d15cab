// Parts of a request that carry a credential and that plugins read alone: query parameters and WebSocket subprotocols.
// They are taken out before any plugin runs, so that no log line, cache key, redirect or service can hold them.
import type { Hooks } from "./contract.ts";
import type { Fields } from "./fields.ts";

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

  private constructor(query: ReadonlySet<string>, subprotocols: ReadonlySet<string>) {
    this.#query = query;
    this.#subprotocols = [...subprotocols];
  }

  /** @returns undefined when no plugin has any */
  static of(hooks: readonly Hooks[]): OwnedParts | undefined {
    const query = new Set(hooks.flatMap((each) => each.ownedQuery ?? []));
    const subprotocols = new Set(hooks.flatMap((each) => each.ownedSubprotocols ?? []));
    return query.size + subprotocols.size === 0 ? undefined : new OwnedParts(query, subprotocols);
  }

  /** Takes them out of the fields, and gives the query without them. */
  take(query: string, fields: Fields): TakenParts {
    const ownedSubprotocols = this.#subprotocols.length === 0 ? undefined : this.#takeSubprotocols(fields);
    if (this.#query.size === 0 || query === "") return { query, ownedQuery: undefined, ownedSubprotocols };
    // Some services split at `;` too, and some log lines are read by people who do.
    const parts = query.slice(1).split(/([&;])/);
    const owned: string[] = [];
    let rest = "";
    for (let i = 0; i < parts.length; i += 2) {
      const pair = parts[i] as string;
      if (this.#owns(pair)) owned.push(pair);
      else rest += rest === "" ? `?${pair}` : `${parts[i - 1]}${pair}`;
    }
    if (owned.length === 0) return { query, ownedQuery: undefined, ownedSubprotocols };
    return { query: rest, ownedQuery: owned.join("&"), ownedSubprotocols };
  }

  #owns(pair: string): boolean {
    const equals = pair.indexOf("=");
    try {
      return this.#query.has(decodeURIComponent(equals === -1 ? pair : pair.slice(0, equals)));
    } catch {
      return false;
    }
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
