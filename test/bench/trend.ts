// Decides whether a series of measurements grows: least squares, with the uncertainty from its noise.

export interface Trend {
  /** Units per minute. */
  readonly slope: number;
  /** Standard error of the slope. */
  readonly error: number;
}

/** @param points [minutes, value], at least three */
export function trendOf(points: readonly (readonly [number, number])[]): Trend {
  const count = points.length;
  const meanX = points.reduce((sum, [x]) => sum + x, 0) / count;
  const meanY = points.reduce((sum, [, y]) => sum + y, 0) / count;
  const spread = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  const slope = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0) / spread;
  const rest = points.reduce((sum, [x, y]) => sum + (y - meanY - slope * (x - meanX)) ** 2, 0);
  return { slope, error: Math.sqrt(rest / (count - 2) / spread) };
}

/** Whether the series grows by more than `limit` per minute beyond doubt (two standard errors). */
export function grows({ slope, error }: Trend, limit: number): boolean {
  return slope - 2 * error > limit;
}
