// Runs `outrigger config`: prints every setting with its meaning, default and current value.
import { describeConfig } from "../app/environment.ts";
import type { SettingRow } from "../config/config.ts";
import type { Terminal } from "./terminal.ts";

/** One cell: on one line, and at most 40 characters wide. */
function cell(text: string): string {
  const line = text.replace(/\s+/g, " ");
  return line.length > 40 ? `${line.slice(0, 39)}…` : line;
}

function table(rows: readonly SettingRow[]): string {
  const lines = rows.map((row) => [row.name, cell(row.value), cell(row.default), row.doc]);
  const all = [["NAME", "VALUE", "DEFAULT", "MEANING"], ...lines];
  const widths = [0, 1, 2].map((i) => Math.max(...all.map((line) => line[i]?.length ?? 0)));
  const pad = (text: string, i: number): string => text.padEnd(widths[i] ?? 0);
  return all.map((line) => `${line.map(pad).join("  ")}\n`).join("");
}

/** Throws ConfigError, which the caller prints and turns into exit code 2. */
export async function printConfig(terminal: Terminal, options: { json?: true }): Promise<number> {
  const rows = describeConfig(terminal.env);
  terminal.out(options.json ? `${JSON.stringify(rows, null, 2)}\n` : table(rows));
  return 0;
}
