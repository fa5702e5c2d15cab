// Rows in columns, as commands print them.
import type { Terminal } from "./terminal.ts";

/** What would move the cursor or colour the terminal is not printed: some cells come from others. */
const unprintable = /[\p{Cc}\p{Cf}]/gu;

export const printable = (text: string): string => text.replace(unprintable, "?");

export function printTable(
  terminal: Terminal,
  head: readonly string[],
  rows: readonly (readonly string[])[],
): void {
  const table = [head, ...rows].map((row) => row.map(printable));
  const widths = head.map((_, column) => Math.max(...table.map((row) => row[column]?.length ?? 0)));
  for (const row of table) {
    const cells = row.map((cell, column) => cell.padEnd(widths[column] ?? 0));
    terminal.out(`${cells.join("  ").trimEnd()}\n`);
  }
}
