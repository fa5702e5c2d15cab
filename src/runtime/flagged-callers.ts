// The callers that a plugin's configuration is for, by its `flag`: always the same ones.
import type { CallerFlag } from "../language/caller-flag.ts";
import type { Identity } from "../plugin-api/contract.ts";
import { callerHash, hashes, seedOf } from "./caller-hash.ts";
import type { LiveExchange } from "./exchange.ts";

type Condition = (identity: Identity) => boolean;

export class FlaggedCallers {
  /** The choice is known by it. */
  readonly #key: string;
  readonly #seed: number;
  /** Hashes below it are taken. */
  readonly #below: number;
  /** Empty = it is not asked who they are. */
  readonly #conditions: readonly Condition[];

  constructor(plugin: string, { percent = 100, when = {} }: CallerFlag) {
    this.#key = `${plugin} by its flag`;
    this.#seed = seedOf(plugin);
    this.#below = (percent / 100) * hashes;
    this.#conditions = conditionsOf(when);
  }

  /** Settled when first asked, whatever becomes known of the caller later. */
  takes(plugin: string, exchange: LiveExchange): boolean {
    exchange.choices ??= new Map();
    const known = exchange.choices.get(this.#key);
    if (known !== undefined) return known === plugin;
    const isTaken = this.#isFor(exchange.identity) && callerHash(this.#seed, exchange) < this.#below;
    exchange.choices.set(this.#key, isTaken ? plugin : "");
    return isTaken;
  }

  /** The same, whoever else is left. */
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
