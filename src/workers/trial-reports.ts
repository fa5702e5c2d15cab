// Sums a candidate's counts over all workers, including those that ended: sums must not fall when one ends.
import { type Figures, sumOf } from "../canary/figures.ts";
import { ShadowCounts, type ShadowReport } from "../shadow/report.ts";
import type { WorkerTrial } from "./messages.ts";

export class TrialReports {
  /** The id of the running canary or shadow; reports of others are dropped. */
  #id: string | undefined;
  #ended: WorkerTrial | undefined;

  /** @param id undefined = no trial is running */
  follow(id: string | undefined): void {
    if (id === this.#id) return;
    this.#id = id;
    this.#ended = undefined;
  }

  /** @param last the last report of the ended worker; later counts, at most of one second, are lost */
  workerEnded(last: WorkerTrial | undefined): void {
    if (last === undefined || last.id !== this.#id) return;
    // The replacement worker itself reports whether it can put the candidate in force.
    const ended = { ...last, refused: undefined, held: false };
    if (last.shadow !== undefined) ended.shadow = { ...last.shadow, endedWorkers: 1 };
    this.#ended = summed(this.#ended === undefined ? [ended] : [this.#ended, ended]);
  }

  /** @param told the last reports of the running workers @returns undefined = no worker has reported a trial */
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
