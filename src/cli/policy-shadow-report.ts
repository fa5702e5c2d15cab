// Runs `outrigger policy shadow-report`: prints, over the fleet, what a candidate that runs without effect would have
// decided differently.
import type { CanaryOrder } from "../canary/order.ts";
import { readShadow, shadowKey, type ToldShadow } from "../canary/shadow-reports.ts";
import type { Canary } from "../plane/canary.ts";
import type { Decision } from "../policy-replay/recorded-request.ts";
import { type DifferenceRow, ShadowCounts, type ShadowReport } from "../shadow/report.ts";
import { printable, printTable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { documentName, PlaneRefusal, withPlane } from "./with-plane.ts";

export interface ShadowReportOptions {
  readonly json?: true;
  readonly strict?: true;
}

/** @returns the exit code: 1 with `--strict` when anything differs */
export async function reportShadow(
  terminal: Terminal,
  { json, strict }: ShadowReportOptions,
): Promise<number> {
  return await withPlane(terminal, {}, async ({ store, canaries, config }) => {
    const found = await canaries.read();
    if (found?.order.by !== "shadow")
      throw new PlaneRefusal("no shadow runs: outrigger policy apply FILE --shadow begins one");
    const { order, state } = found;
    const counts = new ShadowCounts();
    const told: Told[] = [];
    const unreadable = await readShadow(store, order, ({ service, instance, refused, report }) => {
      told.push({ service, instance, refused });
      counts.addAll(report);
    });
    if (unreadable === undefined)
      throw new PlaneRefusal(
        `${config.keyPrefix}${shadowKey(order)} in Redis is no hash: somebody else wrote it; DEL it, and sidecars tell there what they count`,
      );
    const report = counts.read();
    if (json) {
      const { id, revision, author, reason, digest } = order;
      const run = { id, revision, author, reason, digest, sample: order.steps[0], state: state.state };
      const document = documentName(order.service ?? undefined);
      const unread = unreadable > 0 ? { unreadable } : {};
      terminal.out(`${JSON.stringify({ document, run, sidecars: told, ...unread, ...report }, null, 2)}\n`);
    } else {
      print(terminal, found, told, report);
      if (unreadable > 0) terminal.out(`incomplete: ${unreadableText(unreadable)}\n`);
    }
    const differs =
      unreadable > 0 || report.rows.some(({ kind }) => kind !== "unknown") || told.some(isRefused);
    return strict === true && differs ? 1 : 0;
  });
}

/** The part of a report that is listed, one per start of a sidecar. */
type Told = Pick<ToldShadow, "service" | "instance" | "refused">;

const isRefused = ({ refused }: Told): boolean => refused !== "";

const unreadableText = (count: number): string =>
  `${count === 1 ? "a report" : `${counted(count)} reports`} in Redis cannot be read, being too large, too many, or not a sidecar's of this version`;

const counted = (count: number): string => count.toLocaleString("en");

function print(
  terminal: Terminal,
  { order, state }: Canary,
  told: readonly Told[],
  report: ShadowReport,
): void {
  terminal.out(`${printable(headline(order, state))}\n`);
  for (const each of told.filter(isRefused))
    terminal.out(`${printable(`${each.service}/${each.instance} cannot set it up: ${each.refused}`)}\n`);
  const { compared, same, dropped, skipped, failed, further, endedWorkers = 0, rows } = report;
  const sidecars = new Set(told.map(({ service, instance }) => `${service}/${instance}`)).size;
  const left = [
    [dropped, "dropped for want of time"],
    [skipped, "with nothing to compare"],
    [failed, "without an answer in time"],
  ] as const;
  const more = left.flatMap(([count, what]) => (count > 0 ? [`; ${counted(count)} ${what}`] : [])).join("");
  terminal.out(
    `${counted(compared)} requests compared by ${sidecars === 1 ? "one sidecar" : `${sidecars} sidecars`}, ${counted(same)} of them would go as they did${more}\n`,
  );
  if (endedWorkers > 0)
    terminal.out(
      `incomplete: ${endedWorkers === 1 ? "a worker" : `${counted(endedWorkers)} workers`} ended meanwhile, and the last second of what each had counted may be missing\n`,
    );
  if (rows.length > 0)
    printTable(
      terminal,
      ["REQUESTS", "ROUTE", "PLUGIN", "WHAT", "WAS", "BECOMES", "ABOUT", "FOR EXAMPLE"],
      rows.map(rowOf),
    );
  if (further > 0) terminal.out(`and ${counted(further)} of further kinds\n`);
}

function headline({ service, revision, author, reason, steps }: CanaryOrder, state: Canary["state"]): string {
  const since = new Date(state.startedAt).toISOString();
  const what = `shadow of ${documentName(service ?? undefined)}, to be revision ${revision}, by ${author} since ${since}`;
  const how = state.state === "running" ? `${steps[0]}% of the requests` : `${state.state} ${state.why}`;
  return `${what}${reason === "" ? "" : ` (${reason})`}: ${how}`;
}

function rowOf({ count, route, plugin, kind, samples }: DifferenceRow): string[] {
  const [first] = samples;
  const about = new Set(samples.flatMap((each) => each.about));
  return [
    counted(count),
    route === "" ? "(none)" : route,
    plugin === "" ? "-" : plugin,
    kind,
    textOf(first?.was),
    kind === "unknown" ? "?" : textOf(first?.becomes),
    [...about].join(", "),
    first === undefined ? "-" : `${first.method} ${first.requestId}`,
  ];
}

function textOf(decision: Decision | null | undefined): string {
  if (decision === null || decision === undefined) return "?";
  return decision.by === null ? "the service's" : `${decision.status} by ${decision.by}`;
}
