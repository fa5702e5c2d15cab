// What candidate and baseline are compared by: counts of requests and of lengths of time, as plain lists of numbers that
// add up over processes and go as differences to Redis.

/** Places in the list: all requests, 5xx made by the sidecar, 5xx of the service, 401, 403, 429; then times by steps. */
export const figurePlaces = { requests: 0, sidecarErrors: 1, serviceErrors: 2, 401: 3, 403: 4, 429: 5 };
export const firstTime = 6;
export const firstTimeMs = 0.25;
export const stepsPerDoubling = 8;
/** The last is of all that took longer: two minutes. */
const timeSteps = 19 * stepsPerDoubling;
const endOfTimes = firstTime + timeSteps;
/** Other 4xx made by the sidecar: no such route, method, or what a plugin asks of a request. */
const refusedPlace = endOfTimes;
export const figuresLength = endOfTimes + 1;
/** The same in Redis: scripts of sidecars that do not know it take all from the first time on for times. */
export const refusedName = "-1";

export type Figures = readonly number[];
export const noFigures: Figures = [];

export class FigureCounts {
  readonly #counts = new Float64Array(figuresLength);

  /**
   * @param status 0 = the client left before there was any: all that counts is how long it had waited
   * @param bySidecar whether the sidecar made the answer up
   * @param durationMs undefined = it says nothing of how fast answers are
   */
  count(status: number, bySidecar: boolean, durationMs: number | undefined): void {
    if (status === 0 && durationMs === undefined) return;
    this.#add(figurePlaces.requests);
    if (status >= 500) this.#add(bySidecar ? figurePlaces.sidecarErrors : figurePlaces.serviceErrors);
    else if (status === 401 || status === 403 || status === 429) this.#add(figurePlaces[status]);
    else if (status >= 400 && bySidecar) this.#add(refusedPlace);
    if (durationMs === undefined) return;
    const step = durationMs > firstTimeMs ? Math.log2(durationMs / firstTimeMs) * stepsPerDoubling : 0;
    this.#add(firstTime + Math.min(timeSteps - 1, Math.floor(step)));
  }

  #add(place: number): void {
    this.#counts[place] = (this.#counts[place] as number) + 1;
  }

  read(): Figures {
    return [...this.#counts];
  }
}

export function sumOf(all: readonly Figures[]): Figures {
  return all.reduce(
    (sum, each) => Array.from({ length: figuresLength }, (_, i) => (sum[i] ?? 0) + (each[i] ?? 0)),
    noFigures,
  );
}

/** What has been added since; of a process that began anew all that it has. */
export function differenceOf(now: Figures, before: Figures): Figures {
  return now.map((count, i) => (count >= (before[i] ?? 0) ? count - (before[i] ?? 0) : count));
}

const nameOf = (place: number): string => (place === refusedPlace ? refusedName : String(place));

/** As the script takes it: place and count of what is not 0. */
export function sparse(figures: Figures): Record<string, number> {
  return Object.fromEntries(figures.flatMap((count, place) => (count > 0 ? [[nameOf(place), count]] : [])));
}

/** As people read them; times in ms, null = nothing was timed. */
export interface ShownFigures {
  readonly requests: number;
  readonly sidecarErrors: number;
  readonly serviceErrors: number;
  readonly unauthorized: number;
  readonly forbidden: number;
  readonly rateLimited: number;
  /** Other 4xx made by the sidecar. */
  readonly refused: number;
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
}

export function shownFigures(figures: Figures): ShownFigures {
  const at = (place: number): number => figures[place] ?? 0;
  return {
    requests: at(figurePlaces.requests),
    sidecarErrors: at(figurePlaces.sidecarErrors),
    serviceErrors: at(figurePlaces.serviceErrors),
    unauthorized: at(figurePlaces[401]),
    forbidden: at(figurePlaces[403]),
    rateLimited: at(figurePlaces[429]),
    refused: at(refusedPlace),
    p50Ms: timeOf(figures, 0.5),
    p99Ms: timeOf(figures, 0.99),
  };
}

/** As the script reckons it. */
function timeOf(figures: Figures, share: number): number | null {
  const times = figures.slice(firstTime, endOfTimes);
  const wanted = times.reduce((sum, count) => sum + count, 0) * share;
  let before = 0;
  for (const [step, count] of times.entries()) {
    if (count > 0 && before + count >= wanted) {
      const doublings = (step + (wanted - before) / count) / stepsPerDoubling;
      return Number((firstTimeMs * 2 ** doublings).toFixed(2));
    }
    before += count;
  }
  return null;
}
