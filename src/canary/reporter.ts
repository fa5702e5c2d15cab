// Sends a sidecar's reports to a canary: its counts since the last report. The script's answer says how to go on. If an
// answer is lost, the report is sent again under the same number, so that nothing counts twice.
import { randomUUID } from "node:crypto";
import { z } from "zod";
import { parseJson } from "../language/json.ts";
import type { Store } from "../plugin-api/store.ts";
import { differenceOf, type Figures, noFigures, sparse } from "./figures.ts";
import { type CanaryOrder, canaryKey, canaryStateKey } from "./order.ts";
import { maxReporters, places, reportCanary } from "./report-script.ts";
import { placeOf } from "./share.ts";

export interface CanaryFigures {
  readonly candidate: Figures;
  readonly baseline: Figures;
}

export interface Report extends CanaryFigures {
  /** Whether this sidecar has the candidate in force for some caller. */
  readonly tries: boolean;
  /** Why the candidate cannot be in force here. */
  readonly refused: string | undefined;
  /** Whether the document under the candidate has changed. */
  readonly moved: boolean;
}

const answer = z.object({
  state: z.enum(["none", "running", "promoted", "withdrawn", "aborted"]),
  /** From 1. */
  step: z.number().catch(1),
  /** Not trusted: any sidecar may write anything into the state. */
  count: z.number().min(0).max(maxReporters).catch(1),
  candidates: z.number().catch(0),
  /** Sidecars up to this place try the candidate; below 0 = the cut is not drawn yet. */
  cut: z.number().catch(-1),
  /** Whether this service's baseline had too few requests for a comparison. */
  lacks: z.boolean().catch(false),
  /** Whether the promoted candidate has become a revision of the policy. */
  settled: z.boolean().catch(false),
  why: z.string().catch(""),
});
export type CanaryAnswer = z.output<typeof answer>;

interface Pending {
  readonly seq: number;
  readonly deltas: string;
}

const limitMs = 2_000;

export class CanaryReporter {
  readonly #store: Store;
  readonly #key: string;
  readonly #channel: string;
  readonly #service: string;
  readonly #who: string;
  readonly #boot = randomUUID();
  /** This sidecar's place among all that the canary concerns: below `places`. */
  readonly place: number;
  readonly #id: string;
  #told: CanaryFigures = { candidate: noFigures, baseline: noFigures };
  #pending: Pending | undefined;
  #seq = 0;

  constructor({ id }: Pick<CanaryOrder, "id">, { store, keyPrefix, service, instance }: ReporterOptions) {
    this.#store = store;
    this.#key = canaryStateKey({ sharded: store.sharded !== false, keyPrefix });
    this.#channel = keyPrefix + canaryKey;
    this.#service = service;
    this.#who = `${service}/${instance}`;
    this.#id = id;
    this.place = Math.floor(placeOf(id, this.#who) * places);
  }

  /** Rejects with StoreUnavailable. */
  async report({ tries, refused = "", moved, ...figures }: Report): Promise<CanaryAnswer> {
    const more = [refused.slice(0, 300), moved ? "1" : "", ""];
    const tell = ({ seq, deltas }: Pending): Promise<CanaryAnswer> =>
      this.#run(tries ? "c" : "b", [seq, deltas, ...more]);
    if (this.#pending !== undefined) await tell(this.#pending);
    this.#pending = { seq: ++this.#seq, deltas: this.#deltas(figures) };
    this.#told = figures;
    const told = await tell(this.#pending);
    this.#pending = undefined;
    return told;
  }

  /** Tells the canary that this sidecar ends, so that it is not missed. Never rejects. */
  async leave(): Promise<void> {
    await this.#run("b", [0, "{}", "", "", "1"]).catch(() => {});
  }

  #deltas({ candidate, baseline }: CanaryFigures): string {
    const c = sparse(differenceOf(candidate, this.#told.candidate));
    const b = sparse(differenceOf(baseline, this.#told.baseline));
    return JSON.stringify({ c, b });
  }

  async #run(side: "b" | "c", rest: readonly (string | number)[]): Promise<CanaryAnswer> {
    const args = [this.#id, this.#who, this.#service, this.#boot, side, this.place, ...rest, this.#channel];
    const reply = await this.#store.run(reportCanary, [this.#key], args, limitMs);
    return answer.parse(parseJson(String(reply)));
  }
}

export interface ReporterOptions {
  readonly store: Store;
  readonly keyPrefix: string;
  readonly service: string;
  readonly instance: string;
}
