// Rows in columns, as commands print them; on a terminal that is too narrow for that, a line for each cell.
import type { Terminal } from "./terminal.ts";

/** What would move the cursor or colour the terminal is not printed: some cells come from others. */
const unprintable = /[\p{Cc}\p{Cf}]/gu;

export const printable = (text: string): string => text.replace(unprintable, "?");

/** Of a text that has lines, such as what a bundler shows of the code. */
export const printableLines = (text: string): string => text.trimEnd().split("\n").map(printable).join("\n");

const between = "  ";
/** The last column is most often a text: it is cut to what room there is, when that is not less. */
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

/** Long ones are wrapped by the terminal: nothing is lost. */
function printCells(terminal: Terminal, head: readonly string[], rows: readonly (readonly string[])[]): void {
  const width = Math.max(...head.map(({ length }) => length));
  for (const [index, row] of rows.entries()) {
    if (index > 0) terminal.out("\n");
    for (const [column, cell] of row.entries())
      if (cell !== "") terminal.out(`${(head[column] ?? "").padEnd(width)}${between}${cell}\n`);
  }
}
