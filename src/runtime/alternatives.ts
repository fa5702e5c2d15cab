// Which callers a plugin runs for, where a policy gives it a part of them: always the same ones, by a hash of who they
// are. Of a plugin and the one that it replaces each caller gets one.
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
const offset = 0x811c9dc5;
const hashes = 2 ** 32;

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
      seed: mixed(offset, name),
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

  #choose({ identity, client }: LiveExchange): string {
    this.#choices += 1;
    if (this.#choices % choicesBetweenLooks === 0) this.#succession?.look();
    for (const { name, below, seed } of this.#thresholds) {
      if (this.#succession?.isOver === true && name !== this.#key) continue;
      const hash =
        identity === undefined
          ? mixed(seed, client.address)
          : mixed(mixed(seed, identity.issuer ?? ""), `\n${identity.userId}`);
      if (avalanche(hash) < below) return name;
    }
    return nobody;
  }
}

/** FNV-1a over UTF-16 units. */
function mixed(seed: number, text: string): number {
  let hash = seed;
  for (let i = 0; i < text.length; i += 1) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash;
}

/** The last step of MurmurHash3: what differs in a few bits ends far apart. @returns 0 to 2^32 - 1 */
function avalanche(hash: number): number {
  let mixed = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
