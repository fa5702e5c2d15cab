// Which callers a plugin runs for, where a policy gives it a part of them: always the same ones, by a hash of who they
// are. Of a plugin and the one that it replaces each caller gets one.
import { callerHash, hashes, seedOf } from "./caller-hash.ts";
import type { LiveExchange } from "./exchange.ts";
import type { Succession } from "./succession.ts";

/** A plugin and the part of the callers, in percent, that it takes of those that nobody before it took. */
export interface Alternative {
  readonly name: string;
  readonly percent: number;
}

interface Threshold {
  readonly name: string;
  /** Hashes below it are its own. */
  readonly below: number;
  /** What the hash of a caller begins with: another one for each name, so that no caller is the first at everything. */
  readonly seed: number;
}

const nobody = "";
/** Choices between two looks at how the members fare. */
const choicesBetweenLooks = 16;

export class Alternatives {
  readonly #members: readonly Alternative[];
  readonly #thresholds: readonly Threshold[];
  /** The choice is known by the name of the one that the others replace. */
  readonly #key: string;
  readonly #succession: Succession | undefined;
  #choices = 0;

  /**
   * @param key name of the one that the others replace
   * @param succession of two, the first of which has to show that it does no worse
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

  /** Whether each caller gets one. */
  get takesAll(): boolean {
    return this.#members.some(({ percent }) => percent === 100);
  }

  /** Whether the plugin runs for this exchange: settled when first asked, whatever becomes known of the caller later. */
  takes(name: string, exchange: LiveExchange): boolean {
    exchange.choices ??= new Map();
    const known = exchange.choices.get(this.#key);
    if (known !== undefined && this.#has(known)) return known === name;
    const chosen = this.#choose(exchange);
    exchange.choices.set(this.#key, chosen);
    return chosen === name;
  }

  /** The same among fewer. */
  among(names: ReadonlySet<string>): Alternatives {
    const left = this.#members.filter(({ name }) => names.has(name));
    return left.length === this.#members.length ? this : new Alternatives(this.#key, left);
  }

  /** An exchange that goes on may have been given to one that another policy has no more. */
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
