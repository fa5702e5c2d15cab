// A fault and what is promised under it, as every file in scenarios/ exports them: made real by `npm run chaos`.
import { globSync } from "node:fs";
import { join } from "node:path";
import { inScene, type Scene } from "../support/scene.ts";

export interface Scenario {
  /** What is broken: `clients`, `service`, `redis`, `policy`, `process`, `log`. */
  readonly group: string;
  /** What happens, in one line. */
  readonly fault: string;
  /** What the sidecar promises then, in one line. */
  readonly promised: string;
  /** Makes it happen. Resolves with what was seen, in a few words; rejects when the promise does not hold. */
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

/** Never rejects. */
export async function play(scenario: Scenario): Promise<Seen> {
  try {
    return { scenario, held: true, seen: await inScene(limitMs, (scene) => scenario.run(scene)) };
  } catch (error) {
    return { scenario, held: false, seen: error instanceof Error ? error.message : String(error) };
  }
}
