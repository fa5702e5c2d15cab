// Reports how the plugins of the policy in force fare, for operators. One process makes reports of its own plugins;
// reports of several processes are merged.
import { z } from "zod";
import type { RuntimeStatus } from "./extension-definition.ts";
import type { Phase } from "./hook-measures.ts";
import type { KnownPlugin } from "./known-plugin.ts";
import { added, distributionOf, quantile, total } from "./distribution.ts";

const phases: readonly Phase[] = ["onRequest", "onResponse", "onError", "recheck", "onComplete"];
const states = ["ok", "disabled", "quarantined"] as const;

const count = z.number().min(0);
const hook = z.strictObject({
  errors: count,
  seconds: z.strictObject({
    bounds: z.array(z.number()).max(200).readonly(),
    counts: z.array(count).max(201).readonly(),
  }),
});

/** The report of one process about one plugin. */
export const pluginReport = z.strictObject({
  name: z.string(),
  version: z.string(),
  /** `built-in`, or the name of the runtime. */
  runtime: z.string(),
  /** Digest of the package; null = the plugin is built in. */
  sha256: z.string().nullable(),
  priority: z.number(),
  security: z.boolean(),
  percent: z.number().nullable(),
  replaces: z.string().nullable(),
  /** How many routes have the plugin, and on how many of them a kill switch takes it out. */
  routes: count,
  disabledRoutes: count,
  quarantined: z.boolean(),
  trouble: z.string().nullable(),
  restarts: count,
  memoryBytes: count.nullable(),
  cpuShare: z.number().min(0).nullable(),
  hooks: z.record(z.string(), hook),
});

export type PluginReport = z.output<typeof pluginReport>;

/** What the routes of a snapshot show about a plugin. */
export interface OnRoutes {
  readonly plugin: KnownPlugin;
  readonly quarantined: boolean;
  readonly status: RuntimeStatus | undefined;
  routes: number;
  disabledRoutes: number;
  trouble: string | undefined;
}

export function reportOf({ plugin, status, ...seen }: OnRoutes): PluginReport {
  const { definition, extension } = plugin;
  const { name, version, priority, security } = definition;
  return {
    name,
    version,
    runtime: extension?.entry.runtime ?? "built-in",
    sha256: extension?.package.sha256 ?? null,
    priority,
    security,
    percent: extension?.entry.percent ?? null,
    replaces: extension?.entry.replaces ?? null,
    routes: seen.routes,
    disabledRoutes: seen.disabledRoutes,
    quarantined: seen.quarantined || status?.quarantined !== undefined,
    trouble: status?.quarantined ?? seen.trouble ?? null,
    restarts: status?.restarts ?? 0,
    memoryBytes: status?.memoryBytes ?? null,
    cpuShare: status?.cpuShare ?? null,
    hooks: hooksOf(plugin),
  };
}

function hooksOf({ measures }: KnownPlugin): PluginReport["hooks"] {
  const { seconds, errors } = measures();
  const found: PluginReport["hooks"] = {};
  for (const phase of phases) {
    const taken = distributionOf(seconds[phase]);
    if (total(taken) > 0) found[phase] = { errors: errors[phase].value, seconds: taken };
  }
  return found;
}

/** @returns one report per plugin and version, merged over all processes of a sidecar, sorted by priority */
export function mergeReports(reports: readonly PluginReport[]): PluginReport[] {
  const merged = new Map<string, PluginReport>();
  for (const report of reports) {
    const key = `${report.name}@${report.version}`;
    const known = merged.get(key);
    merged.set(key, known === undefined ? report : mergedOf(known, report));
  }
  return [...merged.values()].sort((a, b) => a.priority - b.priority);
}

const sumOf = (one: number | null, other: number | null): number | null =>
  one === null ? other : one + (other ?? 0);

function mergedOf(one: PluginReport, other: PluginReport): PluginReport {
  const hooks = { ...one.hooks };
  for (const [phase, { errors, seconds }] of Object.entries(other.hooks)) {
    const known = hooks[phase];
    hooks[phase] =
      known === undefined
        ? { errors, seconds }
        : { errors: known.errors + errors, seconds: added(known.seconds, seconds) };
  }
  return {
    ...one,
    quarantined: one.quarantined || other.quarantined,
    trouble: one.trouble ?? other.trouble,
    restarts: one.restarts + other.restarts,
    memoryBytes: sumOf(one.memoryBytes, other.memoryBytes),
    cpuShare: sumOf(one.cpuShare, other.cpuShare),
    hooks,
  };
}

/** @returns the body of `GET /plugins` */
export function shownReports(reports: readonly PluginReport[]): object {
  return {
    plugins: reports.map(({ name, version, runtime, sha256, trouble, quarantined, hooks, ...rest }) => ({
      name,
      version,
      runtime,
      sha256,
      state: stateOf({ quarantined, ...rest }),
      trouble,
      ...rest,
      hooks: Object.fromEntries(
        Object.entries(hooks).map(([phase, { errors, seconds }]) => [
          phase,
          {
            calls: total(seconds),
            errors,
            p50Micros: microsOf(quantile(seconds, 0.5)),
            p95Micros: microsOf(quantile(seconds, 0.95)),
            p99Micros: microsOf(quantile(seconds, 0.99)),
          },
        ]),
      ),
    })),
  };
}

function stateOf(
  report: Pick<PluginReport, "quarantined" | "routes" | "disabledRoutes">,
): (typeof states)[number] {
  if (report.routes > 0 && report.disabledRoutes === report.routes) return "disabled";
  return report.quarantined ? "quarantined" : "ok";
}

const microsOf = (seconds: number | null): number | null =>
  seconds === null ? null : Math.round(seconds * 1e7) / 10;
