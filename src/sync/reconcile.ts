// Brings Redis to the declared state, place by place: each place is the shared policy or a service's layer. The
// history's reason holds a digest of the declaration. So a sync that restarts knows what it had written, and what was
// changed since.
import { textOf } from "../plugin-api/error-text.ts";
import { digestOf } from "../policy/document/digest.ts";
import { type Declared, inOrder, placeName } from "./declared.ts";
import { namesakesText, type Outcome, type OutcomeState, type Spread } from "./outcome.ts";

/** The last revision of a place that came from a declaration. */
export interface Synced {
  /** SHA-256 of the declaration; "" = the place was removed because nothing declares it any more. */
  readonly declared: string;
  readonly revision: number;
  /** SHA-256 of the document that was written from it. */
  readonly digest: string;
}

/** The current content of a place. */
export interface Standing {
  readonly revision: number;
  /** "" = the place is empty. */
  readonly digest: string;
  /** Who made the revision and when, as text for people. */
  readonly by: string;
  readonly synced: Synced | undefined;
  /** The document has to be signed, but is unsigned or signed with another key. */
  readonly isUnsigned: boolean;
}

export interface Applied {
  readonly revision: number;
  readonly digest: string;
  readonly warnings: readonly string[];
}

/** Why an action was not carried out. `waiting`: it may succeed later without a change. */
export interface Refusal {
  readonly state: "refused" | "waiting";
  readonly message: string;
  readonly problems: Outcome["problems"];
}

/** The policies in Redis. */
export interface PolicyPlace {
  standing(service: string | undefined): Promise<Standing>;
  /** Checks the declared policy and puts it in force. Rejects with an error that `explain` can explain. */
  apply(declared: Declared, reason: string): Promise<Applied>;
  /** Deletes a service's layer. */
  remove(service: string, over: Standing, reason: string): Promise<number>;
  spread(service: string | undefined, digest: string): Promise<Spread>;
  /** @returns why; undefined if the error is a fault of this program */
  explain(error: unknown): Refusal | undefined;
}

export interface ReconcileOptions {
  readonly place: PolicyPlace;
  /** Whether changes by others are reverted. */
  readonly selfHeal: boolean;
  /** Asked before each write. */
  readonly mayWrite: () => boolean;
  readonly tell: Tell;
}

export interface Tell {
  applied(outcome: Outcome): void;
  /** Called for a layer that is no longer declared. @param kept why it stays; undefined = it was removed */
  gone(declared: Declared, kept: string | undefined): void;
}

const maxReason = 200;
/** Most claimants of one place that a message names. */
const maxNamed = 5;
const mark = /\[declared (?:sha256:([0-9a-f]{64})|nothing)\]$/;

/**
 * @returns the digest of the declaration in a revision's reason; "" = the declaration was removed; undefined = not from
 * a sync
 */
export function declaredIn(reason: string): string | undefined {
  const found = mark.exec(reason);
  return found === null ? undefined : (found[1] ?? "");
}

const reasonOf = ({ origin, reason }: Declared, digest: string): string =>
  `${[origin, reason]
    .filter((part) => part !== "")
    .join(": ")
    .slice(0, maxReason)} [declared sha256:${digest}]`;

/** A later declaration counts as new after this reason, even if it is the same as before. */
const goneReason = ({ origin }: Declared): string =>
  `${origin.slice(0, maxReason)} is gone [declared nothing]`;

export class Reconciler {
  readonly #options: ReconcileOptions;
  /** The declaration of each layer in the last pass. */
  readonly #claims = new Map<string, Declared>();
  /** Declarations whose application changed nothing, so that the history has no line about them. */
  readonly #synced = new Map<string | undefined, Synced>();

  constructor(options: ReconcileOptions) {
    this.#options = options;
  }

  /**
   * Does one pass over all declarations, or over some of them if the signal aborts. A fault of this program refuses
   * only the declaration in which it occurs.
   */
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

  /**
   * @returns the later of the history's record and the sync's own. If Redis has lost its history, everything is applied
   * again.
   */
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
    const message = `${placeName(declared.service)} is at revision ${revision}, in force in ${spread.inForce} of ${spread.concerned} sidecars${namesakesText(spread)}`;
    return outcomeOf(declared, "in-force", message, { revision, digest, warnings, spread });
  }

  /**
   * Handles a layer that is no longer declared. @returns undefined = nothing is left to do; else the obstacle, reported
   * until it is gone
   */
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

/**
 * Marks the origin as gone: the same origin may declare something else by now, and its name alone could not tell the
 * two apart.
 */
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

/** An unforeseen fault with one policy must not hold up the others. */
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
