// Runs `outrigger policy lint FILE…`: prints what valid policies say but probably do not mean.
import { lintCodes } from "../plane/lint/lint.ts";
import { problemText } from "../policy/document/problems.ts";
import { pluginsByName } from "../app/registry.ts";
import { printLint } from "./lint-text.ts";
import { checkFiles, type CheckOptions } from "./policy-validate.ts";
import { printTable } from "./table.ts";
import type { Terminal } from "./terminal.ts";

export interface LintCommandOptions extends CheckOptions {
  readonly codes?: true;
}

/** @returns the exit code: 1 when a file is not valid, or with --strict when lint finds something */
export async function lintPolicies(
  terminal: Terminal,
  files: readonly string[],
  options: LintCommandOptions,
): Promise<number> {
  if (options.codes === true) return await printCodes(terminal, options);
  if (files.length === 0) {
    terminal.err("name a file, or --codes\n");
    return 2;
  }
  const { ok, results } = await checkFiles(terminal, files, options);
  if (options.json) {
    const told = results.map(({ file, ok: valid, problems, warnings, left }) => {
      return { file, valid, problems, findings: warnings, left };
    });
    terminal.out(`${JSON.stringify({ ok, files: told }, null, 2)}\n`);
    return ok ? 0 : 1;
  }
  for (const { file, ok: valid, problems, warnings, left } of results) {
    for (const problem of problems) terminal.err(`${problemText(problem)}\n`);
    printLint((line) => terminal.out(line), file, { findings: warnings, left });
    if (valid && warnings.length === 0) terminal.out(`${file}: nothing found\n`);
  }
  return ok ? 0 : 1;
}

async function printCodes(terminal: Terminal, options: LintCommandOptions): Promise<number> {
  const codes = [...(await lintCodes(pluginsByName))];
  if (options.json)
    terminal.out(
      `${JSON.stringify(
        codes.map(([code, about]) => ({ code, about })),
        null,
        2,
      )}\n`,
    );
  else printTable(terminal, ["CODE", "FINDS"], codes);
  return 0;
}
