// How a candidate fares in all workers together, in those that ended meanwhile, too: sums must not fall when one ends.
import { type Figures, sumOf } from "../canary/figures.ts";
import { ShadowCounts, type ShadowReport } from "../shadow/report.ts";
import type { WorkerTrial } from "./messages.ts";

export class TrialReports {
  /** Of the canary or shadow that runs; of others nothing is kept. */
  #id: string | undefined;
  #ended: WorkerTrial | undefined;

  /** @param id undefined = nothing is tried any more */
  follow(id: string | undefined): void {
    if (id === this.#id) return;
    this.#id = id;
    this.#ended = undefined;
  }

  /** @param last what a worker told before it ended; what it counted since is lost, at most of a second */
  workerEnded(last: WorkerTrial | undefined): void {
    if (last === undefined || last.id !== this.#id) return;
    // Whoever takes its place says itself whether it can have the candidate in force.
    const ended = { ...last, refused: undefined, held: false };
    if (last.shadow !== undefined) ended.shadow = { ...last.shadow, endedWorkers: 1 };
    this.#ended = summed(this.#ended === undefined ? [ended] : [this.#ended, ended]);
  }

  /** @param told what those that run told last @returns undefined = nothing is tried, as far as they have told */
  sum(told: readonly WorkerTrial[]): WorkerTrial | undefined {
    return summed([...told.filter(({ id }) => id === this.#id), ...(this.#ended ? [this.#ended] : [])]);
  }
}

function summed(all: readonly WorkerTrial[]): WorkerTrial | undefined {
  const [first] = all;
  if (first === undefined) return undefined;
  const figures = (of: (each: WorkerTrial) => Figures): Figures => sumOf(all.map(of));
  return {
    id: first.id,
    refused: all.find(({ refused }) => refused !== undefined)?.refused,
    held: all.some(({ held }) => held),
    candidate: figures(({ candidate }) => candidate),
    baseline: figures(({ baseline }) => baseline),
    shadow: shadowOf(all),
  };
}

function shadowOf(all: readonly WorkerTrial[]): ShadowReport | undefined {
  const reports = all.flatMap(({ shadow }) => shadow ?? []);
  if (reports.length === 0) return undefined;
  const counts = new ShadowCounts();
  for (const each of reports) counts.addAll(each);
  return counts.read();
}
