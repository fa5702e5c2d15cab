// `npm run bench`: measures the sidecar and other proxies over the same upstream, prints the results as Markdown on
// stdout and progress on stderr. Exit code 0; 1 if a run was invalid; 2 if the arguments are wrong.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { entrypointIn } from "../support/dockerfile.ts";
import { bundledCommand } from "./bundled.ts";
import { obtainProgram } from "./machine.ts";
import type { Bench } from "./measure.ts";
import { unlessInterrupted, watchOthers } from "./processes.ts";
import { renderFigures, renderGoals, writeInto } from "./report.ts";
import { Results } from "./results.ts";
import { scenarios } from "./scenarios.ts";
import { createScene } from "./scene.ts";

const usage = `npm run bench -- [options]
  --quick            about fifteen minutes in place of forty: fewer scenarios and contenders, fewer rounds
  --scenario NAME    only this one; may be given several times
                     ${scenarios.map(({ name }) => name).join(", ")}
  --json FILE        also writes every value of every round
  --write            puts the report into deploy/guides/figures.md and README.md (not with --scenario)
  --command LINE     starts the sidecar; by default the bundle, made anew, as the image's ENTRYPOINT does
  --profile FOLDER   sidecars leave their CPU profiles there
`;

const root = join(import.meta.dirname, "../..");
const args = process.argv.slice(2);

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** @returns undefined if the options cannot be understood, or ask for help */
function readOptions() {
  try {
    const { values } = parseArgs({
      args,
      options: {
        quick: { type: "boolean", default: false },
        scenario: { type: "string", multiple: true, default: [] },
        json: { type: "string" },
        write: { type: "boolean", default: false },
        command: { type: "string" },
        profile: { type: "string" },
      },
    });
    const known = values.scenario.every((name) => scenarios.some((scenario) => scenario.name === name));
    return known && !(values.write && values.scenario.length > 0) ? values : undefined;
  } catch {
    return undefined;
  }
}

async function bench(): Promise<number> {
  const chosen = readOptions();
  if (chosen === undefined) {
    process.stderr.write(usage);
    return 2;
  }
  if (chosen.profile !== undefined) mkdirSync(chosen.profile, { recursive: true });
  const scene = await createScene(chosen.command ?? bundledCommand(), chosen.profile);
  if (scene.cores.contender === undefined)
    say("not pinned: taskset (util-linux) or a second core is missing");
  const wrk = obtainProgram("wrk");
  if (wrk === undefined) say("wrk is not installed: all load comes from our own generator, which costs more");
  const results = new Results();
  const pace = chosen.quick
    ? { starts: 2, rounds: 5, seconds: 0.5, warmUpRequests: 60_000, warmUpSeconds: 25 }
    : { starts: 3, rounds: 7, seconds: 0.6, warmUpRequests: 80_000, warmUpSeconds: 30 };
  const parts: Bench = {
    scene,
    tools: { wrk, cores: scene.cores.load },
    results,
    quick: chosen.quick,
    ...pace,
    say,
  };
  const only = chosen.scenario;
  const shareOfOthers = watchOthers();
  const measured = scenarios.filter(({ name }) => only.length === 0 || only.includes(name));
  for (const scenario of measured) {
    try {
      await scenario.measure(parts);
    } catch (error) {
      await unlessInterrupted();
      // A scenario that fails is reported with the others' figures.
      results.invalid.push(`${scenario.name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  const command = ["npm run bench", ...(args.length === 0 ? [] : ["--", ...args])].join(" ");
  const sidecar =
    chosen.command === undefined
      ? `the image's bundle, run as its ENTRYPOINT (\`${entrypointIn("").join(" ").replace(" /", " ")} run\`)`
      : `\`${chosen.command}\``;
  const circumstances = { command, sidecar, shareOfOthers: shareOfOthers() };
  const figures = renderFigures(results, measured, circumstances);
  const goals = (more: string): string => renderGoals(results, measured, circumstances, more);
  process.stdout.write(`${figures}\n\n${goals("")}\n`);
  if (chosen.json !== undefined) writeFileSync(chosen.json, `${JSON.stringify(results, null, 2)}\n`);
  if (chosen.write) {
    const page = "deploy/guides/figures.md";
    writeInto(join(root, page), "bench", figures);
    writeInto(join(root, "README.md"), "goals", goals(`[How it is measured, and every figure](${page}).`));
  }
  return results.invalid.length === 0 ? 0 : 1;
}

process.exit(await bench());
