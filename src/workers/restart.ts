// When a worker that ended is replaced.

/** One that has served for this long owes nothing to those before it. */
const healthyMs = 60_000;

/**
 * @param before the failures in a row before this one
 * @param servedMs how long the worker had served; below zero or -Infinity = never
 */
export function failuresInARow(before: number, servedMs: number): number {
  return servedMs >= healthyMs ? 1 : before + 1;
}

/** @param failures in a row, from 1 */
export function restartDelayMs(failures: number): number {
  return Math.min(100 * 2 ** (failures - 1), 10_000);
}
