// The figures by which candidate and baseline are compared: counts of requests and of durations. They are plain lists
// of numbers, which add up over processes and go to Redis as differences.

/**
 * Places in the list: all requests, 5xx made by the sidecar, 5xx of the service, 401, 403, 429. Durations in steps
 * follow.
 */
export const figurePlaces = { requests: 0, sidecarErrors: 1, serviceErrors: 2, 401: 3, 403: 4, 429: 5 };
export const firstTime = 6;
export const firstTimeMs = 0.25;
export const stepsPerDoubling = 8;
/** Number of duration steps. The last step holds all longer durations (two minutes and more). */
const timeSteps = 19 * stepsPerDoubling;
const endOfTimes = firstTime + timeSteps;
/** Place of other 4xx made by the sidecar: no such route or method, or a plugin's demand on the request. */
const refusedPlace = endOfTimes;
export const figuresLength = endOfTimes + 1;
/**
 * The name of that place in Redis: scripts of older sidecars take every place from the first duration on for a
 * duration.
 */
export const refusedName = "-1";

export type Figures = readonly number[];
export const noFigures: Figures = [];

export class FigureCounts {
  readonly #counts = new Float64Array(figuresLength);

  /**
   * @param status 0 = the client left before there was a status: only its waiting time counts
   * @param bySidecar whether the sidecar made the answer
   * @param durationMs undefined = the exchange says nothing about the speed of answers
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

/** @returns what was added since `before`; if a process restarted, all of its new counts */
export function differenceOf(now: Figures, before: Figures): Figures {
  return now.map((count, i) => (count >= (before[i] ?? 0) ? count - (before[i] ?? 0) : count));
}

const nameOf = (place: number): string => (place === refusedPlace ? refusedName : String(place));

/** @returns place and count of everything that is not 0, as the script expects it */
export function sparse(figures: Figures): Record<string, number> {
  return Object.fromEntries(figures.flatMap((count, place) => (count > 0 ? [[nameOf(place), count]] : [])));
}

/** Figures for people; times in ms, null = nothing was timed. */
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

/** @returns the quantile in ms, computed as the script does; null = nothing was timed */
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
