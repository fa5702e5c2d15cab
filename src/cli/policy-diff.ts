// Runs `outrigger policy diff FILE`: prints what a file would change in Redis, by route and option.
import { documentIn } from "../plane/candidate.ts";
import { type Difference, differences } from "../plane/difference.ts";
import { printExtensions, reportExtensions, withExtensions } from "./policy-extensions.ts";
import { readCandidate } from "./policy-file.ts";
import { printable } from "./table.ts";
import { isColoured, type Terminal } from "./terminal.ts";
import { warnOfUnheard } from "./unheard-service.ts";
import { documentName, withPlane } from "./with-plane.ts";

export interface DiffOptions {
  readonly service?: string;
  readonly json?: true;
}

/** @returns the exit code: 0 whether or not anything differs */
export async function diffPolicy(terminal: Terminal, file: string, options: DiffOptions): Promise<number> {
  const { service, json } = options;
  return await withPlane(terminal, options, async (plane) => {
    const candidate = await readCandidate(plane, file, service, "ignored");
    const { document: there } = await plane.history.peek(service);
    const changes = differences(there && documentIn(there), documentIn(candidate.bytes));
    const extensions = await reportExtensions(plane.packages, candidate, service, there);
    const facts = { document: documentName(service), changes, ...withExtensions(extensions) };
    await warnOfUnheard(terminal, plane, service, willCount);
    if (json) terminal.out(`${JSON.stringify(facts, null, 2)}\n`);
    else {
      printDifferences(terminal, changes);
      printExtensions((line) => terminal.out(line), extensions);
    }
    return 0;
  });
}

/** Ends the warning that nobody has heard of the service. */
export const willCount = "a layer of it counts once there is one";

const signs = { add: "+", remove: "-", change: "~" } as const;
const colours = { add: "\u001B[32m", remove: "\u001B[31m", change: "\u001B[33m" } as const;

export function printDifferences(terminal: Terminal, changes: readonly Difference[]): void {
  const coloured = isColoured(terminal);
  if (changes.length === 0) terminal.out("nothing changes\n");
  for (const change of changes) {
    const line = printable(lineOf(change));
    terminal.out(coloured ? `${colours[change.op]}${line}\u001B[0m\n` : `${line}\n`);
  }
}

const shown = (value: unknown): string => JSON.stringify(value) ?? "";

function lineOf({ op, path, from, to }: Difference): string {
  const value = op === "add" ? shown(to) : op === "remove" ? shown(from) : `${shown(from)} -> ${shown(to)}`;
  return `${signs[op]} ${path === "" ? "(everything)" : path}: ${value}`;
}
