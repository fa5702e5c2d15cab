// Writes a sync's log: each piece of news once.
import type { Logger } from "../plugin-api/telemetry.ts";
import type { Outcome } from "./outcome.ts";
import type { Tell } from "./reconcile.ts";

/** @param changed called for every change of Redis */
export function tellBy(logger: Logger, changed: () => void): Tell {
  return {
    applied({ declared, revision, digest, warnings }) {
      changed();
      logger.info(
        { document: declared.service ?? null, origin: declared.origin, revision, digest, warnings },
        "a policy was put in force",
      );
    },
    gone({ service, origin }, kept) {
      if (kept === undefined) changed();
      const fields = { document: service ?? null, origin };
      if (kept === undefined) logger.warn(fields, "a layer that is not declared any more was removed");
      else logger.warn({ ...fields, kept }, "a layer is not declared any more, and is kept");
    },
  };
}

/** Logs outcomes, and remembers the last message about each. */
export class ToldOutcomes {
  readonly #logger: Logger;
  readonly #said = new Map<string, string>();
  #problem: string | undefined;
  #leftOut = "";
  last: readonly Outcome[] = [];

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  get documents(): readonly object[] {
    return this.last.map(({ declared, ...outcome }) => ({
      origin: declared.origin,
      service: declared.service ?? null,
      ...outcome,
    }));
  }

  /** @param problem why the source cannot be read, or why the outcomes cannot be reported to it */
  take(outcomes: readonly Outcome[] | undefined, problem: string | undefined, isSourceUp: boolean): void {
    if (problem !== this.#problem) {
      this.#problem = problem;
      if (problem === undefined) this.#logger.info({}, "the source can be read again");
      else if (outcomes !== undefined && isSourceUp)
        this.#logger.error({ problem }, "policies are synchronised, but their status cannot be written");
      else this.#logger.error({ problem }, "policies cannot be synchronised: what is in force stays");
    }
    if (outcomes === undefined) return;
    this.last = outcomes;
    const now = new Set(outcomes.map(({ declared }) => declared.origin));
    for (const origin of this.#said.keys()) if (!now.has(origin)) this.#said.delete(origin);
    for (const outcome of outcomes) this.#say(outcome);
  }

  /** Logs once which files and keys are left out because of their names. */
  takeLeftOut(names: string): void {
    if (names === this.#leftOut) return;
    this.#leftOut = names;
    if (names !== "") this.#logger.warn({}, names);
  }

  /** @param leader the other sync that writes; undefined with `leads` false: unknown, because Redis does not answer */
  takeLeading(leads: boolean, leader: string | undefined): void {
    if (leads) this.#logger.info({ leads }, "this sync writes");
    else if (leader === undefined)
      this.#logger.warn({ leads }, "Redis does not answer: nothing is written until it does");
    else {
      // From now on the other sync logs the outcomes.
      this.last = [];
      this.#said.clear();
      this.#logger.info({ leads, leader }, "another sync writes: this one stands by");
    }
  }

  #say({ declared: { origin, service }, state, message, problems }: Outcome): void {
    const text = state === "in-force" ? state : `${state} ${message}`;
    const before = this.#said.get(origin);
    if (before === text) return;
    this.#said.set(origin, text);
    const fields = { document: service ?? null, origin, state, problems };
    if (state !== "in-force") this.#logger.warn(fields, message);
    else if (before !== undefined) this.#logger.info(fields, message);
  }
}
