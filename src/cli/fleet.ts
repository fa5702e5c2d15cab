// Runs `outrigger fleet [--watch]`: prints a table of sidecars with the revision that each has in force and since when,
// and which of them refuse a policy or are lost.
import { setTimeout as wait } from "node:timers/promises";
import type { Canary } from "../plane/canary.ts";
import { readUnprotected, type UnprotectedReport } from "../plane/unprotected.ts";
import { type Fleet, type Member, readFleet, type Receipt } from "../plane/fleet.ts";
import type { PolicyHistory } from "../plane/history.ts";
import { durationText } from "../language/duration.ts";
import { forReaders } from "./policy-history.ts";
import { printable, printTable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { untilSignal } from "./until-signal.ts";
import { documentName, type Plane, withPlane } from "./with-plane.ts";

export interface FleetOptions {
  readonly service?: string;
  readonly watch?: true;
  readonly json?: true;
}

const everyMs = 2_000;

/** @returns the exit code */
export async function printFleet(terminal: Terminal, options: FleetOptions): Promise<number> {
  return await withPlane(terminal, options, async (plane) => {
    if (options.watch !== true) {
      await printOnce(terminal, plane, options);
      return 0;
    }
    await untilSignal(
      ["SIGINT"],
      async (stop) => {
        while (!stop.aborted) {
          await printOnce(terminal, plane, options);
          await wait(everyMs, undefined, { signal: stop }).catch(() => {});
        }
      },
      terminal.closed,
    );
    return 0;
  });
}

async function printOnce(terminal: Terminal, plane: Plane, options: FleetOptions): Promise<void> {
  const fleet = await readFleet(plane.store, options.service);
  const revisions = await revisionsOf(plane.history, fleet);
  await plane.canaries.settle().catch(forReaders);
  const canary = await plane.canaries.read();
  // Pods without a sidecar belong to no service: shown only without --service.
  const unprotected = options.service === undefined ? await readUnprotected(plane.store) : [];
  if (options.json) {
    const sidecars = fleet.members.map(({ receipt, seenAtMs, ...member }) => ({
      ...member,
      seenAt: new Date(seenAtMs).toISOString(),
      policyRevision: revisions(member.service, receipt),
      ...receipt,
    }));
    const { unreadable } = fleet;
    const now = new Date(fleet.nowMs).toISOString();
    const text = { now, canary: canary ?? null, sidecars, unprotected, unreadable };
    terminal.out(`${JSON.stringify(text, null, options.watch ? 0 : 2)}\n`);
    return;
  }
  // Moves the cursor home and clears the screen, only on a terminal.
  if (options.watch && terminal.outIsTty) terminal.out("\u001B[H\u001B[2J");
  if (canary !== undefined) terminal.out(`${canaryLine(canary, fleet.nowMs)}\n`);
  const rows = fleet.members.map((member) => rowOf(member, fleet.nowMs, revisions));
  printTable(terminal, ["SERVICE", "INSTANCE", "REGION", "REVISION", "AGE", "VERSION", "UP", "ERROR"], rows);
  for (const report of unprotected) printUnprotected(terminal, report);
  for (const key of fleet.unreadable)
    terminal.err(
      `${printable(plane.config.keyPrefix + key)} in Redis is not what sidecars write there, so that some are not listed: DEL it, they write it anew within a minute\n`,
    );
}

/**
 * Prints the pods that run without a sidecar though their namespace asks for one, as `outrigger injector pods` found
 * them.
 */
function printUnprotected(terminal: Terminal, report: UnprotectedReport): void {
  const { region, total, pods, ageMs } = report;
  if (total === 0) return;
  const where = region === "" ? "" : ` in ${printable(region)}`;
  terminal.out(
    `\n${total === 1 ? "1 pod" : `${total} pods`} without sidecar${where}, ${durationText(ageMs)} ago:\n`,
  );
  const rows = pods.map(({ namespace, pod, why }) => [namespace, pod, why]);
  printTable(terminal, ["NAMESPACE", "POD", "WHY"], rows);
  if (total > pods.length) terminal.out(`and ${total - pods.length} more\n`);
}

type RevisionText = (service: string, receipt: Member["receipt"]) => string | null;

function rowOf(
  { service, instance, state, seenAtMs, receipt }: Member,
  nowMs: number,
  revision: RevisionText,
) {
  const age = (fromMs: number | null | undefined): string =>
    fromMs === null || fromMs === undefined ? "-" : durationText(nowMs - fromMs);
  const up = receipt === null || receipt.upSeconds === null ? "?" : durationText(receipt.upSeconds * 1_000);
  return [
    service,
    instance,
    receipt?.region ?? "-",
    `${revision(service, receipt) ?? "-"}${canaryText(receipt?.canary)}`,
    age(receipt?.inForceAt),
    receipt?.version ?? "-",
    state === "lost" ? `lost ${age(seenAtMs)} ago` : up,
    errorText(receipt),
  ];
}

function errorText(receipt: Receipt | null): string {
  const trouble = receipt?.lastError ?? receipt?.overruled;
  const policy = trouble
    ? [
        `${trouble.problems[0] ?? trouble.first}${trouble.count > 1 ? ` (and ${trouble.count - 1} more)` : ""}`,
      ]
    : [];
  const bypass = receipt?.bypass?.state === "open" ? [receipt.bypass.detail] : [];
  return [...policy, ...namesakeText(receipt), ...bypass].join("; ");
}

function namesakeText(receipt: Receipt | null): string[] {
  if (receipt === null || receipt.namesake === null) return [];
  const both = [receipt.boot, receipt.namesake].map((boot) => {
    const [host, pid] = boot?.split("/") ?? [];
    return host && pid ? `process ${pid} on ${host}` : "one of an older version";
  });
  return [`two sidecars have this name: ${both.join(", ")}`];
}

/**
 * Shows revisions as `7`, with a layer `7+2`; a document that the history does not know by the beginning of its digest.
 */
async function revisionsOf(history: PolicyHistory, { members }: Fleet): Promise<RevisionText> {
  const layered = members.filter(({ receipt }) => (receipt?.documents?.layer ?? null) !== null);
  const names = [undefined, ...new Set(layered.map(({ service }) => service))];
  const known = new Map<string, string>();
  for (const service of names) {
    // Oldest first, so that a restored document gets its latest number.
    for (const { digest, revision } of (await history.list(service)).toReversed())
      known.set(`${service ?? ""}/${digest}`, String(revision));
  }
  return (service, receipt) => {
    const documents = receipt?.documents;
    if (documents === null || documents === undefined) return null;
    const shared = known.get(`/${documents.shared}`) ?? documents.shared.slice(0, 8);
    if (documents.layer === null) return shared;
    return `${shared}+${known.get(`${service}/${documents.layer}`) ?? documents.layer.slice(0, 8)}`;
  };
}

/** Text after the revision: `6 (7: 25%)` = 25 % of its callers get the candidate, which would be revision 7. */
function canaryText(canary: Receipt["canary"] | undefined): string {
  if (canary === null || canary === undefined || canary.percent === 0) return "";
  return canary.shadow === undefined
    ? ` (${canary.revision}: ${canary.percent}%)`
    : ` (shadow ${canary.revision})`;
}

const shareOf = { instances: "sidecars", traffic: "callers", shadow: "the requests" } as const;

function canaryLine({ order, state }: Canary, nowMs: number): string {
  const document = documentName(order.service ?? undefined);
  const isShadow = order.by === "shadow";
  const what = `${isShadow ? "shadow" : "canary"} of ${document}, to be revision ${order.revision}, by ${order.author}`;
  const share = `${order.steps[state.step - 1] ?? 0}% of ${shareOf[order.by]}`;
  const how =
    state.state === "running"
      ? `${isShadow ? "" : `step ${state.step} of ${order.steps.length}, `}${share} since ${durationText(nowMs - state.stepAt)}`
      : `${state.state} ${durationText(nowMs - state.endedAt)} ago: ${state.why}`;
  return printable(`${what}: ${how}`);
}
