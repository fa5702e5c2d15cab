// Brings Redis to what is declared, place by place: each is the shared policy or a service's layer. What was declared is
// written into the history's reason, so that a sync that starts anew knows what it had put there, and what was changed since.
import { textOf } from "../plugin-api/error-text.ts";
import { digestOf } from "../policy/document/digest.ts";
import { type Declared, inOrder, placeName } from "./declared.ts";
import type { Outcome, OutcomeState, Spread } from "./outcome.ts";

/** The last revision of a place that came from a declaration. */
export interface Synced {
  /** SHA-256 of what was declared; "" = it was removed as declared no more. */
  readonly declared: string;
  readonly revision: number;
  /** SHA-256 of the document that it became. */
  readonly digest: string;
}

/** What a place holds. */
export interface Standing {
  readonly revision: number;
  /** "" = nothing. */
  readonly digest: string;
  /** Who made that revision and when, for people. */
  readonly by: string;
  readonly synced: Synced | undefined;
  /** It is to be signed, and is not, or by another key. */
  readonly isUnsigned: boolean;
}

export interface Applied {
  readonly revision: number;
  readonly digest: string;
  readonly warnings: readonly string[];
}

/** Why something was not done. `waiting`: it may be done later as it is. */
export interface Refusal {
  readonly state: "refused" | "waiting";
  readonly message: string;
  readonly problems: Outcome["problems"];
}

/** The policies in Redis. */
export interface PolicyPlace {
  standing(service: string | undefined): Promise<Standing>;
  /** Checks it and puts it in force; rejects with what `explain` explains. */
  apply(declared: Declared, reason: string): Promise<Applied>;
  /** Deletes a service's layer. */
  remove(service: string, over: Standing, reason: string): Promise<number>;
  spread(service: string | undefined, digest: string): Promise<Spread>;
  /** @returns undefined for a fault of our own */
  explain(error: unknown): Refusal | undefined;
}

export interface ReconcileOptions {
  readonly place: PolicyPlace;
  /** Whether what others changed is changed back. */
  readonly selfHeal: boolean;
  /** Asked before everything that writes. */
  readonly mayWrite: () => boolean;
  readonly tell: Tell;
}

export interface Tell {
  applied(outcome: Outcome): void;
  /** @param kept why it stays where it is; undefined = it was removed */
  gone(declared: Declared, kept: string | undefined): void;
}

const maxReason = 200;
/** Of those who claim one place, in a sentence. */
const maxNamed = 5;
const mark = /\[declared (?:sha256:([0-9a-f]{64})|nothing)\]$/;

/** @returns the digest of what a revision with that reason was declared as; "" = as nothing any more */
export function declaredIn(reason: string): string | undefined {
  const found = mark.exec(reason);
  return found === null ? undefined : (found[1] ?? "");
}

const reasonOf = ({ origin, reason }: Declared, digest: string): string =>
  `${[origin, reason]
    .filter((part) => part !== "")
    .join(": ")
    .slice(0, maxReason)} [declared sha256:${digest}]`;

/** What is declared again after that is new, though it is the same as before. */
const goneReason = ({ origin }: Declared): string =>
  `${origin.slice(0, maxReason)} is gone [declared nothing]`;

export class Reconciler {
  readonly #options: ReconcileOptions;
  /** Who claimed a layer when it was last looked. */
  readonly #claims = new Map<string, Declared>();
  /** What was applied and changed nothing, so that the history has no line of it. */
  readonly #synced = new Map<string | undefined, Synced>();

  constructor(options: ReconcileOptions) {
    this.#options = options;
  }

  /** One pass over all that is declared, or what of it is done at the signal. A fault of our own refuses the one that it came with. */
  async pass(all: readonly Declared[], signal: AbortSignal): Promise<Outcome[]> {
    const claims = Map.groupBy(inOrder(all), ({ service }) => service);
    const outcomes: Outcome[] = [];
    for (const [service, declared] of claims) {
      const [only, ...others] = declared;
      if (signal.aborted) return outcomes;
      if (only === undefined) continue;
      if (others.length > 0) for (const each of conflicts(declared)) outcomes.push(each);
      else outcomes.push(await this.#bring(only));
      if (service !== undefined) this.#claims.set(service, only);
    }
    for (const [service, declared] of this.#claims) {
      if (claims.has(service)) continue;
      const kept = await this.#letGo(service, declared, all.length === 0);
      if (kept === undefined) this.#claims.delete(service);
      else outcomes.push(kept);
    }
    return outcomes;
  }

  async #bring(declared: Declared): Promise<Outcome> {
    const { place, tell } = this.#options;
    const { service, flaw } = declared;
    if (flaw !== undefined)
      return outcomeOf(declared, "refused", flaw, { problems: [{ path: "", message: flaw }] });
    try {
      const standing = await place.standing(service);
      const digest = digestOf(declared.bytes);
      const synced = this.#lastSynced(service, standing);
      if (synced?.declared === digest) {
        const isAsApplied = synced.digest === standing.digest;
        if (isAsApplied && !standing.isUnsigned) return await this.#inForce(declared, standing);
        if (!isAsApplied && !this.#options.selfHeal) return drifted(declared, standing, synced);
      }
      if (!this.#options.mayWrite()) return outcomeOf(declared, "waiting", "another sync leads", standing);
      const applied = await place.apply(declared, reasonOf(declared, digest));
      this.#synced.set(service, { declared: digest, revision: applied.revision, digest: applied.digest });
      const outcome = await this.#inForce(declared, applied, applied.warnings);
      if (applied.revision !== standing.revision) tell.applied(outcome);
      return outcome;
    } catch (error) {
      const refusal = place.explain(error) ?? faultAt(error);
      return outcomeOf(declared, refusal.state, refusal.message, { problems: refusal.problems });
    }
  }

  /** The later of what the history says and what it does not. A Redis that has lost its history gets all anew. */
  #lastSynced(service: string | undefined, { synced, revision }: Standing): Synced | undefined {
    const own = this.#synced.get(service);
    if (own === undefined || own.revision > revision) return synced;
    return own.revision >= (synced?.revision ?? 0) ? own : synced;
  }

  async #inForce(
    declared: Declared,
    { revision, digest }: Pick<Standing, "revision" | "digest">,
    warnings?: readonly string[],
  ): Promise<Outcome> {
    const spread = await this.#options.place.spread(declared.service, digest);
    const message = `${placeName(declared.service)} is at revision ${revision}, in force in ${spread.inForce} of ${spread.concerned} sidecars`;
    return outcomeOf(declared, "in-force", message, { revision, digest, warnings, spread });
  }

  /** @returns undefined = there is nothing left to do about it; else what is in the way, told until it is over */
  async #letGo(service: string, declared: Declared, isLast: boolean): Promise<Outcome | undefined> {
    const { place, tell, mayWrite } = this.#options;
    if (declared.whenGone === "keep" || isLast) {
      const why = isLast && declared.whenGone === "remove" ? ": nothing at all is declared any more" : "";
      tell.gone(declared, `its last revision stays in force${why}`);
      return undefined;
    }
    try {
      const standing = await place.standing(service);
      const synced = this.#lastSynced(service, standing);
      if (standing.digest === "") return undefined;
      if (synced?.digest !== standing.digest) {
        tell.gone(declared, `somebody else has changed it since (${standing.by})`);
        return undefined;
      }
      if (!mayWrite()) return staying(declared, "waiting", "another sync leads", standing);
      await place.remove(service, standing, goneReason(declared));
      this.#synced.delete(service);
      tell.gone(declared, undefined);
      return undefined;
    } catch (error) {
      const { state, message, problems } = place.explain(error) ?? faultAt(error);
      return staying(declared, state, message, { problems });
    }
  }
}

/** What declared it may declare something else by now: by its name alone nobody could tell the two apart. */
function staying(
  declared: Declared,
  state: OutcomeState,
  why: string,
  facts: Parameters<typeof outcomeOf>[3],
): Outcome {
  const gone = { ...declared, origin: `${declared.origin} (gone)` };
  const message = `${placeName(declared.service)} is not declared any more, and stays until it can be removed: ${why}`;
  return outcomeOf(gone, state, message, facts);
}

/** One policy that nobody foresaw does not keep others back. */
function faultAt(error: unknown): Refusal {
  const message = `a fault of sync itself, with this policy alone; what is in force stays: ${textOf(error)}`;
  return { state: "refused", message, problems: [{ path: "", message }] };
}

function outcomeOf(
  declared: Declared,
  state: OutcomeState,
  message: string,
  facts: Partial<Omit<Outcome, "declared" | "state" | "message">> = {},
): Outcome {
  const { revision = null, digest = null, problems = [], warnings, spread } = facts;
  return { declared, state, message, problems, revision, digest, warnings, spread };
}

function conflicts(all: readonly Declared[]): Outcome[] {
  const shown = all.slice(0, maxNamed).map(({ origin }) => origin);
  if (all.length > maxNamed) shown.push(`${all.length - maxNamed} more`);
  const names = shown.join(" and ");
  return all.map((declared) =>
    outcomeOf(
      declared,
      "conflict",
      `${placeName(declared.service)} is claimed by ${names}: none of them is taken, what is in force stays`,
    ),
  );
}

function drifted(declared: Declared, standing: Standing, synced: Synced): Outcome {
  const what = standing.digest === "" ? "deleted" : "changed";
  return outcomeOf(
    declared,
    "drifted",
    `${placeName(declared.service)} was ${what} since revision ${synced.revision} came from here: ${standing.by}; it stays so until the declaration changes, or with --self-heal`,
    standing,
  );
}
