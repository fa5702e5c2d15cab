// Decides which callers a plugin runs for, where a policy gives it only a percentage of them. The choice is a hash of
// the caller's identity, so it is always the same. Where one plugin replaces another, no caller gets both.
import { callerHash, hashes, seedOf } from "./caller-hash.ts";
import type { LiveExchange } from "./exchange.ts";
import type { Succession } from "./succession.ts";

/** A plugin and the percentage of callers it takes, out of those that no earlier alternative took. */
export interface Alternative {
  readonly name: string;
  readonly percent: number;
}

interface Threshold {
  readonly name: string;
  /** The plugin takes callers whose hash is below this value. */
  readonly below: number;
  /** Start value of the caller's hash. It differs per name, so that no caller comes first in every choice. */
  readonly seed: number;
}

const nobody = "";
/** How many choices are made before the succession checks again how both versions fare. */
const choicesBetweenLooks = 16;

export class Alternatives {
  readonly #members: readonly Alternative[];
  readonly #thresholds: readonly Threshold[];
  /** Name of the plugin that the others replace. The choice is stored in the exchange under it. */
  readonly #key: string;
  readonly #succession: Succession | undefined;
  #choices = 0;

  /**
   * @param key name of the plugin that the others replace
   * @param succession decides between two plugins, the first of which has to show that it does no worse
   */
  constructor(key: string, members: readonly Alternative[], succession?: Succession) {
    this.#key = key;
    this.#succession = succession;
    this.#members = members;
    this.#thresholds = members.map(({ name, percent }) => ({
      name,
      below: (percent / 100) * hashes,
      seed: seedOf(name),
    }));
  }

  get names(): readonly string[] {
    return this.#members.map(({ name }) => name);
  }

  /** Whether every caller gets one of these plugins. */
  get takesAll(): boolean {
    return this.#members.some(({ percent }) => percent === 100);
  }

  /**
   * Whether the plugin runs for this exchange. The first call decides; facts learned about the caller later change
   * nothing.
   */
  takes(name: string, exchange: LiveExchange): boolean {
    exchange.choices ??= new Map();
    const known = exchange.choices.get(this.#key);
    if (known !== undefined && this.#has(known)) return known === name;
    const chosen = this.#choose(exchange);
    exchange.choices.set(this.#key, chosen);
    return chosen === name;
  }

  /** The same alternatives without those whose name is missing from `names`. */
  among(names: ReadonlySet<string>): Alternatives {
    const left = this.#members.filter(({ name }) => names.has(name));
    return left.length === this.#members.length ? this : new Alternatives(this.#key, left);
  }

  /** The choice may name a plugin that the current policy no longer has: an exchange can outlive a policy. */
  #has(chosen: string): boolean {
    return chosen === nobody || this.#members.some(({ name }) => name === chosen);
  }

  #choose(exchange: LiveExchange): string {
    this.#choices += 1;
    if (this.#choices % choicesBetweenLooks === 0) this.#succession?.look();
    for (const { name, below, seed } of this.#thresholds) {
      if (this.#succession?.isOver === true && name !== this.#key) continue;
      if (callerHash(seed, exchange) < below) return name;
    }
    return nobody;
  }
}
