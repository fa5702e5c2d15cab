// Decides for which callers a plugin's configuration applies, by its `flag`. The decision is always the same for a
// caller.
import type { CallerFlag } from "../language/caller-flag.ts";
import type { Identity } from "../plugin-api/contract.ts";
import { callerHash, hashes, seedOf } from "./caller-hash.ts";
import type { LiveExchange } from "./exchange.ts";

type Condition = (identity: Identity) => boolean;

export class FlaggedCallers {
  /** The decision is stored in the exchange under this key. */
  readonly #key: string;
  readonly #seed: number;
  /** Callers whose hash is below this value are taken. */
  readonly #below: number;
  /** Conditions on the identity. Empty = the identity does not matter. */
  readonly #conditions: readonly Condition[];

  constructor(plugin: string, { percent = 100, when = {} }: CallerFlag) {
    this.#key = `${plugin} by its flag`;
    this.#seed = seedOf(plugin);
    this.#below = (percent / 100) * hashes;
    this.#conditions = conditionsOf(when);
  }

  /**
   * Whether the flag covers this caller. The first call decides; facts learned about the caller later change nothing.
   */
  takes(plugin: string, exchange: LiveExchange): boolean {
    exchange.choices ??= new Map();
    const known = exchange.choices.get(this.#key);
    if (known !== undefined) return known === plugin;
    const isTaken = this.#isFor(exchange.identity) && callerHash(this.#seed, exchange) < this.#below;
    exchange.choices.set(this.#key, isTaken ? plugin : "");
    return isTaken;
  }

  /** The same callers, whichever other plugins are left. */
  among(): this {
    return this;
  }

  #isFor(identity: Identity | undefined): boolean {
    if (this.#conditions.length === 0) return true;
    return identity !== undefined && this.#conditions.every((holds) => holds(identity));
  }
}

function conditionsOf({ plan, roles, scopes }: NonNullable<CallerFlag["when"]>): readonly Condition[] {
  const conditions: Condition[] = [];
  if (plan !== undefined) {
    const plans = setOf(plan);
    conditions.push((identity) => identity.plan !== undefined && plans.has(identity.plan));
  }
  if (roles !== undefined) {
    const wanted = setOf(roles);
    conditions.push((identity) => identity.roles.some((role) => wanted.has(role)));
  }
  if (scopes !== undefined) {
    const wanted = setOf(scopes);
    conditions.push((identity) => identity.scopes.some((scope) => wanted.has(scope)));
  }
  return conditions;
}

const setOf = (words: string | readonly string[]): ReadonlySet<string> =>
  new Set(typeof words === "string" ? [words] : words);
