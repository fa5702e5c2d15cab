// Prints the result of a replay, for people and as JSON.
import type { Changes, Group } from "../policy-replay/changes.ts";
import type { Decision, RecordedDecision } from "../policy-replay/recorded-request.ts";
import type { RecordedLines } from "./recorded-lines.ts";
import { printable, printTable } from "./table.ts";
import type { Terminal } from "./terminal.ts";

const maxCallers = 3;
const time = (ms: number): string => new Date(ms).toISOString();
const counted = (count: number): string => count.toLocaleString("en");

export function printReplay(terminal: Terminal, changes: Changes, { unfit }: RecordedLines): void {
  const { count, same, services, told, untold, further } = changes;
  if (count > 0)
    terminal.out(
      `${counted(count)} requests to ${services.size === 1 ? printable([...services].join()) : `${services.size} services`}, ${time(changes.fromMs)} to ${time(changes.untilMs)}: ${counted(same)} would be answered as they were\n`,
    );
  for (const [reason, lines] of unfit) terminal.out(`${counted(lines)} lines are not replayed: ${reason}\n`);
  if (told.length > 0) {
    terminal.out(`\n${counted(sum(told))} would be answered otherwise:\n`);
    printTable(
      terminal,
      ["REQUESTS", "SERVICE", "ROUTE", "WAS", "BECOMES", "CALLERS", "FOR EXAMPLE"],
      told.map(rowOf),
    );
  }
  if (untold.length > 0) {
    terminal.out(`\nof ${counted(sum(untold))} nobody can tell, since their lines lack what it rests on:\n`);
    const rows = untold.map((group) => [...rowOf(group).slice(0, 5), group.lacks.join(", ")]);
    printTable(terminal, ["REQUESTS", "SERVICE", "ROUTE", "WAS", "WITHOUT IT", "LACKS"], rows);
  }
  if (further > 0) terminal.out(`\nand ${counted(further)} of further kinds\n`);
}

const sum = (groups: readonly Group[]): number => groups.reduce((all, { count }) => all + count, 0);

function rowOf({ count, service, was, becomes, callers, requestIds }: Group): string[] {
  const isOne = was.route === undefined || was.route === becomes.route;
  const route = isOne ? nameOf(becomes) : `${nameOf(was)} -> ${nameOf(becomes)}`;
  return [
    counted(count),
    service,
    route,
    // Nobody knows what the service would answer another time.
    was.by === null ? `the service's ${was.status}` : textOf(was),
    textOf(becomes),
    topCallers(callers)
      .map(({ caller, requests }) => `${caller} (${counted(requests)})`)
      .join(", "),
    requestIds[0] ?? "-",
  ];
}

const nameOf = ({ route }: Decision): string => route ?? "(none)";
function textOf({ by, status }: RecordedDecision): string {
  if (by === undefined) return String(status);
  return by === null ? "the service's" : `${status} by ${by}`;
}

function topCallers(callers: Group["callers"]) {
  return [...callers]
    .toSorted(([, a], [, b]) => b - a)
    .slice(0, maxCallers)
    .map(([caller, requests]) => ({ caller, requests }));
}

export function jsonOfReplay(changes: Changes, { unfit }: RecordedLines) {
  const { count, same, fromMs, untilMs, told, untold, further } = changes;
  return {
    requests: count,
    same,
    ...(count > 0 && { from: new Date(fromMs).toISOString(), until: new Date(untilMs).toISOString() }),
    notReplayed: Object.fromEntries(unfit),
    changed: told.map(({ lacks: _none, ...group }) => jsonOf(group)),
    ...(further > 0 && { further }),
    untold: untold.map((group) => ({ ...jsonOf(group), lacks: group.lacks })),
  };
}

function jsonOf({ service, was, becomes, count, callers, requestIds }: Omit<Group, "lacks">) {
  return {
    requests: count,
    service,
    was,
    becomes,
    callers: callers.size,
    topCallers: topCallers(callers),
    requestIds,
  };
}
