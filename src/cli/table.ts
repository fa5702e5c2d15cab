// Prints tables for commands: rows in columns; on a terminal that is too narrow, one line per cell.
import type { Terminal } from "./terminal.ts";

/** Characters that move the cursor or colour the terminal are replaced: some cells come from untrusted sources. */
const unprintable = /[\p{Cc}\p{Cf}]/gu;

export const printable = (text: string): string => text.replace(unprintable, "?");

/** For a text of several lines, such as a bundler's report of an error in code. */
export const printableLines = (text: string): string => text.trimEnd().split("\n").map(printable).join("\n");

const between = "  ";
/** Shortest width of the last column. It usually holds prose and is cut to the room that is left. */
const minLast = 6;

export function printTable(
  terminal: Terminal,
  head: readonly string[],
  rows: readonly (readonly string[])[],
): void {
  const table = [head, ...rows].map((row) => row.map(printable));
  const widths = head.map((_, column) => Math.max(...table.map((row) => row[column]?.length ?? 0)));
  const room = terminal.outIsTty === true ? (terminal.columns ?? Infinity) : Infinity;
  const before = widths.slice(0, -1).reduce((sum, width) => sum + width + between.length, 0);
  if (before + Math.min(widths.at(-1) ?? 0, minLast) > room) {
    printCells(terminal, head, table.slice(1));
    return;
  }
  for (const row of table) {
    const line = row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join(between)
      .trimEnd();
    terminal.out(line.length > room ? `${line.slice(0, room - 1)}…\n` : `${line}\n`);
  }
}

/** Prints each cell on its own line. The terminal wraps long ones, so nothing is cut. */
function printCells(terminal: Terminal, head: readonly string[], rows: readonly (readonly string[])[]): void {
  const width = Math.max(...head.map(({ length }) => length));
  for (const [index, row] of rows.entries()) {
    if (index > 0) terminal.out("\n");
    for (const [column, cell] of row.entries())
      if (cell !== "") terminal.out(`${(head[column] ?? "").padEnd(width)}${between}${cell}\n`);
  }
}
