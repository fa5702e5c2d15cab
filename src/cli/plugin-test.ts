// Runs `outrigger plugin test [FOLDER]`: checks the rules for plugins, runs the author's tests, and injects faults on
// the real chain.
import type { RuntimeName } from "../extensions/manifest.ts";
import { ask } from "../kit/ask.ts";
import { authorFinding } from "../kit/author-tests.ts";
import { bad, type Finding } from "../kit/finding.ts";
import { textOf } from "../plugin-api/error-text.ts";
import { printJson } from "./json-text.ts";
import { printable } from "./table.ts";
import { isColoured, type Terminal } from "./terminal.ts";

export interface TryOptions {
  readonly runtime?: RuntimeName;
  readonly json?: true;
}

const colours = { ok: "\u001B[32m", fail: "\u001B[31m" } as const;

/** @returns the exit code: 1 when something is wrong */
export async function testPlugin(terminal: Terminal, folder: string, options: TryOptions): Promise<number> {
  const findings: Finding[] = [];
  const take = (finding: Finding): void => {
    findings.push(finding);
    if (options.json !== true) print(terminal, finding);
  };
  const { env } = terminal;
  const tests = authorFinding(folder, env).catch((error: unknown) => bad("tests", textOf(error)));
  await ask({
    what: "test",
    path: folder,
    runtime: options.runtime,
    env,
    onAnswer: (answer) => "finding" in answer && take(answer.finding),
  }).catch((error: unknown) => take(bad("plugin", textOf(error))));
  take(await tests);
  const failed = findings.filter(({ state }) => state === "fail").length;
  if (options.json) printJson(terminal, { ok: failed === 0, findings });
  else terminal.out(`${findings.length - failed} ok, ${failed} failed\n`);
  return failed === 0 ? 0 : 1;
}

function print(terminal: Terminal, { what, state, detail }: Finding): void {
  const mark = state.padEnd(4);
  const shown = isColoured(terminal) ? `${colours[state]}${mark}\u001B[0m` : mark;
  const [first = "", ...rest] = detail.split("\n").map(printable);
  terminal.out(`${shown}  ${printable(what).padEnd(20)}  ${first}\n`);
  for (const line of rest) terminal.out(`      ${line}\n`);
}
