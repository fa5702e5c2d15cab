// `outrigger policy history`: the revisions of a policy, newest first.
import { printTable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { documentName, withPlane } from "./with-plane.ts";

export interface HistoryOptions {
  readonly service?: string;
  readonly json?: true;
}

/** @returns the exit code */
export async function printHistory(terminal: Terminal, options: HistoryOptions): Promise<number> {
  const { service, json } = options;
  return await withPlane(terminal, options, async ({ history, author }) => {
    const before = await history.list(service);
    const { revision } = await history.look(service, author);
    const revisions = revision === before[0]?.revision ? before : await history.list(service);
    if (json) {
      terminal.out(`${JSON.stringify({ document: documentName(service), revisions }, null, 2)}\n`);
      return 0;
    }
    const rows = revisions.map((each) => [
      String(each.revision),
      // Nobody knows when it was SET: this is when it was found there.
      each.kind === "direct" ? `seen ${each.at}` : each.at,
      each.kind,
      each.author,
      each.deleted ? "(deleted)" : `sha256 ${each.digest.slice(0, 12)}`,
      each.reason,
    ]);
    printTable(terminal, ["REVISION", "AT", "HOW", "AUTHOR", "DOCUMENT", "REASON"], rows);
    return 0;
  });
}
