// Reports what callers got during a drill, by route, from counts before and after it.
import { drilledRequests } from "../drills/counted-exchanges.ts";
import type { DrilledRoute } from "../drills/status.ts";
import type { MetricsSnapshot } from "../telemetry/metrics.ts";

/** Counts by their label values. */
type Counts = ReadonlyMap<string, { readonly labels: readonly string[]; readonly count: number }>;

export function countsOf(snapshots: readonly MetricsSnapshot[]): Counts {
  const counts = new Map<string, { readonly labels: readonly string[]; readonly count: number }>();
  for (const { families } of snapshots)
    for (const { values, cells } of families.find(({ name }) => name === drilledRequests)?.series ?? []) {
      const key = JSON.stringify(values);
      counts.set(key, { labels: values, count: (counts.get(key)?.count ?? 0) + (cells[0] ?? 0) });
    }
  return counts;
}

interface Row {
  requests: number;
  readonly statuses: Record<string, number>;
  readonly answeredBy: Record<string, number>;
}

/** Covers the routes about which the policy declares something, and those that were requested. */
export function drilledRoutes(
  before: Counts,
  after: Counts,
  declared: ReadonlyMap<string, readonly string[]>,
): DrilledRoute[] {
  const rows = new Map<string, Row>();
  for (const [key, { labels, count }] of after) {
    const more = count - (before.get(key)?.count ?? 0);
    if (more <= 0) continue;
    const [route = "", status = "", plugin = "", code = ""] = labels;
    let row = rows.get(route);
    if (row === undefined) rows.set(route, (row = { requests: 0, statuses: {}, answeredBy: {} }));
    row.requests += more;
    row.statuses[status] = (row.statuses[status] ?? 0) + more;
    const by = [plugin, code].filter((part) => part !== "").join(": ");
    if (by !== "") row.answeredBy[by] = (row.answeredBy[by] ?? 0) + more;
  }
  const routes = new Set([
    ...[...declared].flatMap(([route, texts]) => (texts.length > 0 ? [route] : [])),
    ...rows.keys(),
  ]);
  return [...routes].map((route) => ({
    route,
    ...(rows.get(route) ?? { requests: 0, statuses: {}, answeredBy: {} }),
    declared: declared.get(route) ?? [],
  }));
}
