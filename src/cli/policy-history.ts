// Runs `outrigger policy history`: lists the revisions of a policy, newest first.
import type { CanaryEntry } from "../plane/canary-entry.ts";
import { isForbidden } from "../plane/history.ts";
import type { Revision } from "../plane/revision.ts";
import { printTable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { warnOfUnheard } from "./unheard-service.ts";
import { documentName, withPlane } from "./with-plane.ts";

export interface HistoryOptions {
  readonly service?: string;
  readonly json?: true;
}

/** @returns the exit code */
export async function printHistory(terminal: Terminal, options: HistoryOptions): Promise<number> {
  const { service, json } = options;
  return await withPlane(terminal, options, async ({ store, history, canaries, author }) => {
    await canaries.settle().catch(forReaders);
    const tried = await canaries.entries(service);
    const before = await history.list(service);
    const { revision } = await history.look(service, author);
    const revisions = revision === before[0]?.revision ? before : await history.list(service);
    if (revisions.length === 0) await warnOfUnheard(terminal, { store }, service, "it has no history");
    if (json) {
      terminal.out(
        `${JSON.stringify({ document: documentName(service), revisions, canaries: tried.map(shownEntry) }, null, 2)}\n`,
      );
      return 0;
    }
    const rows = [...revisions.map(rowOf), ...tried.map(canaryRowOf)].toSorted(newestFirst);
    printTable(
      terminal,
      ["REVISION", "AT", "HOW", "AUTHOR", "DOCUMENT", "REASON"],
      rows.map(({ row }) => row),
    );
    return 0;
  });
}

/** An operator who may only read still sees the history: a refused write is ignored. */
export function forReaders(error: unknown): void {
  if (!isForbidden(error)) throw error;
}

const shownEntry = ({ atMs, ...entry }: CanaryEntry) => ({ at: new Date(atMs).toISOString(), ...entry });

interface Row {
  readonly at: string;
  readonly row: string[];
}

function rowOf(revision: Revision): Row {
  const { at, kind, author, deleted, digest, reason } = revision;
  // Nobody knows when it was SET: the time is when it was first seen.
  const when = kind === "direct" ? `seen ${at}` : at;
  const document = deleted ? "(deleted)" : `sha256 ${digest.slice(0, 12)}`;
  return { at, row: [String(revision.revision), when, kind, author, document, reason] };
}

const newestFirst = (a: Row, b: Row): number => Number(a.at < b.at) - Number(a.at > b.at);

/** A row for a canary that began, or that ended without a revision of its own. */
function canaryRowOf(entry: CanaryEntry): Row {
  const { at, kind, author, digest, reason } = shownEntry(entry);
  const how = kind === "canary" || kind === "shadow" ? `${kind} begins` : kind;
  return { at, row: ["-", at, how, author, `sha256 ${digest.slice(0, 12)}`, reason] };
}
