// Prints the course of a request for people.
import type { ForeseenRequest } from "../app/foreseen-request.ts";
import { printable, printTable } from "./table.ts";
import type { Terminal } from "./terminal.ts";

/** A request in the form of `GET /requests/<id>`. */
export interface ShownRequest extends Omit<ForeseenRequest, "choice" | "policyDigest"> {
  readonly choice: ForeseenRequest["choice"] | null;
  readonly service?: string;
  readonly instance?: string;
  readonly policyDigest?: string;
  readonly policy?: {
    readonly digest: string;
    readonly inForce: boolean;
    readonly revision?: number;
    readonly layerRevision?: number | null;
  };
  readonly olderWithThisId?: number;
}

export function printRequest(terminal: Terminal, shown: ShownRequest): void {
  const lines = [...whatHappened(shown), ...routeLines(shown)];
  for (const line of lines) terminal.out(`${printable(line)}\n`);
  const rows = shown.hooks.map((hook) => [
    hook.plugin,
    hook.phase,
    hook.decision,
    `${hook.ms.toFixed(3)} ms`,
    noteOf(hook),
  ]);
  terminal.out("\n");
  if (rows.length > 0) printTable(terminal, ["PLUGIN", "HOOK", "DECISION", "TIME", "WHY"], rows);
  for (const line of endLines(shown)) terminal.out(`${printable(line)}\n`);
}

function* whatHappened({
  request,
  outcome,
  at,
  service,
  instance,
  ...shown
}: ShownRequest): Iterable<string> {
  const who = service === undefined ? "" : ` (${service}, ${instance})`;
  yield `${request["method"]} ${request["path"]} of ${request["host"]}, ${at}${who}`;
  yield `  ${outcomeText(outcome)}`;
  const { identity, policy, traceId, olderWithThisId = 0 } = shown;
  if (identity !== null) {
    const { userId, method, credentialId, plan } = identity;
    yield `  caller: ${userId} by ${method}${credentialId === null ? "" : `, credential ${credentialId}`}${plan === null ? "" : `, plan ${plan}`}`;
  }
  if (traceId !== null) yield `  trace: ${traceId}`;
  if (policy !== undefined) yield `  policy: ${policyText(policy)}`;
  if (!shown.whole) yield "  one of too many a second: what plugins changed and decided by was not kept";
  if (olderWithThisId > 0) yield `  ${olderWithThisId} older requests had this id`;
}

function outcomeText(outcome: ShownRequest["outcome"]): string {
  const { status, end, durationMs, error, detail, refusedBecause, cacheStatus, answeredBy } = outcome;
  const parts = [`${status} after ${durationMs} ms`];
  if (end !== "complete") parts.push(`ended: ${end}`);
  if (answeredBy !== null) parts.push(`answered by ${answeredBy}`);
  if (error !== null) parts.push(`${error}: ${String(detail ?? "").replace(/\.$/, "")}`);
  if (refusedBecause !== null) parts.push(`because: ${refusedBecause}`);
  if (cacheStatus !== null) parts.push(`cache ${cacheStatus}`);
  return parts.join(", ");
}

function policyText({
  digest,
  inForce,
  revision,
  layerRevision,
}: NonNullable<ShownRequest["policy"]>): string {
  if (!inForce) return `${digest}, no longer in force`;
  const layer = layerRevision === null || layerRevision === undefined ? "" : `+${layerRevision}`;
  return `revision ${revision}${layer}, ${digest}`;
}

function* routeLines({ route, choice }: ShownRequest): Iterable<string> {
  yield `route: ${route ?? "none takes it"}`;
  if (choice === null) {
    yield "  why not another: another policy is in force by now";
    return;
  }
  for (const { path, why } of choice.others) yield `  not ${path}: ${why}`;
  if (choice.furtherOthers > 0) yield `  and ${choice.furtherOthers} more that take the path`;
  if (choice.elsewhere > 0) yield `  ${choice.elsewhere} others do not take the path`;
}

function noteOf({ because, facts, fields }: ShownRequest["hooks"][number]): string {
  const parts = because === null ? [] : [because];
  parts.push(...Object.entries(facts).map(([name, value]) => `${name} ${value}`));
  if (fields.set.length > 0) parts.push(`set ${fields.set.join(" ")}`);
  if (fields.removed.length > 0) parts.push(`removed ${fields.removed.join(" ")}`);
  return parts.join("; ");
}

function* endLines({ notAsked, droppedFields, ownFields, upstream }: ShownRequest): Iterable<string> {
  if (notAsked.length > 0) yield `not come to: ${notAsked.join(", ")}`;
  if (droppedFields.length > 0) yield `removed on the way in: ${droppedFields.join(" ")}`;
  if (ownFields.set.length > 0) yield `set by the sidecar: ${ownFields.set.join(" ")}`;
  if (ownFields.removed.length > 0) yield `removed by the sidecar: ${ownFields.removed.join(" ")}`;
  if (upstream === null) {
    yield "upstream: not asked";
    return;
  }
  const { name, askedAtMs, waitedMs } = upstream;
  const waited = waitedMs === null ? "without an answer" : `answered after ${waitedMs} ms`;
  yield `upstream: ${name}, asked at ${askedAtMs.map((ms) => `${ms} ms`).join(", ")}, ${waited}`;
}
