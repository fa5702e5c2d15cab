// Runs `outrigger import FILE`: converts another gateway's configuration to a policy on stdout, and writes to stderr
// what a person has to check.
import { readFile } from "node:fs/promises";
import { stringify } from "yaml";
import { importText } from "../plane/import/import.ts";
import { ImportError } from "../plane/import/imported.ts";
import { printJson } from "./json-text.ts";
import { printable } from "./table.ts";
import type { Terminal } from "./terminal.ts";

/** @returns the exit code: 0 even when something could not be converted */
export async function importFile(
  terminal: Terminal,
  file: string,
  { json }: { json?: true },
): Promise<number> {
  try {
    const { from, policy, notes, settings } = importText(await readFile(file, "utf8"));
    if (json) {
      printJson(terminal, { file, from, policy, notes, settings });
      return 0;
    }
    const needed = Object.entries(settings).map(([name, value]) => `# ${name}=${value}\n`);
    terminal.out(
      `# From ${printable(file)} (${from}). Look through it, then: outrigger policy validate\n${needed.join("")}`,
    );
    terminal.out(stringify(policy, { aliasDuplicateObjects: false }));
    for (const note of notes) terminal.err(`${printable(note)}\n`);
    return 0;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : undefined;
    if (!(error instanceof ImportError) && code === undefined) throw error;
    const text = error instanceof ImportError ? error.message : `cannot be read: ${code}`;
    terminal.err(`${printable(`${file} ${text}`)}\n`);
    return 1;
  }
}
