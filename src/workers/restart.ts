// Decides when an ended worker is replaced.

/** After this time of serving, earlier failures do not count. */
const healthyMs = 60_000;

/**
 * @param before the failures in a row before this one
 * @param servedMs how long the worker had served; negative or -Infinity = never
 */
export function failuresInARow(before: number, servedMs: number): number {
  return servedMs >= healthyMs ? 1 : before + 1;
}

/** @param failures in a row, from 1 */
export function restartDelayMs(failures: number): number {
  return Math.min(100 * 2 ** (failures - 1), 10_000);
}
