// Defines a scenario: a fault, and what the sidecar promises under it. Every file in scenarios/ exports scenarios; `npm
// run chaos` runs them.
import { globSync } from "node:fs";
import { join } from "node:path";
import { inScene, type Scene } from "../support/scene.ts";

export interface Scenario {
  /** The broken part: `clients`, `service`, `redis`, `policy`, `process`, `log`. */
  readonly group: string;
  /** What happens, in one line. */
  readonly fault: string;
  /** What the sidecar promises then, in one line. */
  readonly promised: string;
  /** Causes the fault. Resolves with what was observed, in a few words; rejects if the promise does not hold. */
  run(scene: Scene): Promise<string>;
}

export interface Seen {
  readonly scenario: Scenario;
  readonly held: boolean;
  readonly seen: string;
}

const limitMs = 90_000;

/** All scenarios, file by file. */
export async function loadScenarios(): Promise<Scenario[]> {
  const folder = join(import.meta.dirname, "scenarios");
  const files = globSync("*.ts", { cwd: folder }).sort();
  const modules = await Promise.all(
    files.map((file) => import(join(folder, file)) as Promise<{ scenarios: readonly Scenario[] }>),
  );
  return modules.flatMap(({ scenarios }) => scenarios);
}

/** Runs a scenario. Never rejects: the result holds the error. */
export async function play(scenario: Scenario): Promise<Seen> {
  try {
    return { scenario, held: true, seen: await inScene(limitMs, (scene) => scenario.run(scene)) };
  } catch (error) {
    return { scenario, held: false, seen: error instanceof Error ? error.message : String(error) };
  }
}
