// Prints the result of `policy coverage`, for people and as JSON.
import type { ServicesCoverage } from "../app/policy-coverage.ts";
import type { Answer, Covered, Reach } from "../policy-coverage/coverage.ts";
import { printTable } from "./table.ts";
import type { Terminal } from "./terminal.ts";

export const parts = ["rule", "limit", "test"] as const;
export type Part = (typeof parts)[number];

/** The parts that an operation lacks. */
function lacking({ rule, limit, tests }: Covered): readonly Part[] {
  const has = { rule: rule !== null, limit: limit !== null, test: tests.length > 0 };
  return parts.filter((part) => !has[part]);
}

/** @param required the parts that each operation must have; empty = at least one of them */
function isUncovered(covered: Covered, required: readonly Part[]): boolean {
  const lacks = lacking(covered);
  return required.length === 0
    ? lacks.length === parts.length
    : required.some((part) => lacks.includes(part));
}

export function uncoveredIn(found: readonly ServicesCoverage[], required: readonly Part[]): number {
  const lines = found.flatMap(({ operations }) => operations);
  return lines.filter((each) => isUncovered(each, required)).length;
}

const unknown =
  "asked from 192.0.2.1 without body, query, fields and client certificate, of a service that answers 200: what depends on these is not tried; a service's layer counts with --over alone; a parameter is an example, and what the policy names more closely";

const reachTexts: Readonly<Record<Reach, string>> = {
  anyone: "anyone",
  known: "known callers",
  permitted: "callers by what they have",
  plugin: "nobody: a plugin answers",
  refused: "nobody that was tried",
  unrouted: "nobody: no route",
  untold: "not known here",
};

export function printCoverage(
  terminal: Terminal,
  found: readonly ServicesCoverage[],
  required: readonly Part[],
  note: string | undefined,
): void {
  for (const { services, operations, extensions } of found) {
    if (found.length > 1) terminal.out(`${services.join(", ")}:\n`);
    const rows = operations.map((each) => [
      each.method,
      each.operation === each.path || isExample(each, operations)
        ? each.operation
        : `${each.operation} (${each.path})`,
      each.route ?? "-",
      reachTexts[each.reach],
      each.rule ?? "-",
      each.limit ?? "-",
      String(each.tests.length),
      why(each.answers),
    ]);
    printTable(
      terminal,
      ["METHOD", "OPERATION", "ROUTE", "REACHED BY", "RULE", "LIMIT", "TESTS", "WHY"],
      rows,
    );
    if (extensions.length > 0)
      terminal.out(`rules and limits of ${extensions.join(", ")} are not known here\n`);
    terminal.out("\n");
  }
  const what =
    required.length === 0 ? "without a rule, a limit and a test" : `without ${required.join(" or ")}`;
  terminal.out(`${uncoveredIn(found, required)} ${what}\n`);
  for (const text of [unknown, ...(note === undefined ? [] : [note])]) terminal.err(`${text}\n`);
}

/** Whether this is the first entry of its operation, whose path is just an example. */
const isExample = ({ method, operation, path }: Covered, all: readonly Covered[]): boolean =>
  all.find((each) => each.method === method && each.operation === operation)?.path === path;

/** Tells of the last answer that was no success, or came from a plugin; "" when there is none. */
function why(answers: readonly Answer[]): string {
  const last = answers.findLast(({ status, by }) => status >= 300 || by !== null);
  if (last === undefined) return "";
  const { caller, status, by, because } = last;
  return `${caller}: ${status}${by === null ? "" : ` by ${by}`}${because === null ? "" : `, ${because}`}`;
}

export function jsonOfCoverage(
  found: readonly ServicesCoverage[],
  required: readonly Part[],
  note: string | undefined,
) {
  const services = found.map(({ operations, ...rest }) => ({
    ...rest,
    operations: operations.map((each) => ({
      ...each,
      lacks: lacking(each),
      covered: !isUncovered(each, required),
    })),
  }));
  const uncovered = uncoveredIn(found, required);
  return {
    ok: uncovered === 0,
    uncovered,
    services,
    notKnown: [unknown, ...(note === undefined ? [] : [note])],
  };
}
