// An attack that once got through, as every file in attacks/ exports it: replayed against running sidecars.
import { globSync } from "node:fs";
import { join } from "node:path";
import { inScene, type Scene } from "../support/scene.ts";

export interface Attack {
  /** Number of its row in .github/SECURITY.md, e.g. `Z7`. */
  readonly row: string;
  /** What the attacker does, in one line. */
  readonly what: string;
  /** Rejects, with what was seen, when the attack gets through. */
  run(scene: Scene): Promise<void>;
}

const limitMs = 30_000;

/** All attacks, by row. */
export async function loadAttacks(): Promise<Attack[]> {
  const folder = join(import.meta.dirname, "attacks");
  const files = globSync("*.ts", { cwd: folder }).sort();
  const modules = await Promise.all(
    files.map((file) => import(join(folder, file)) as Promise<{ attacks: readonly Attack[] }>),
  );
  const number = ({ row }: Attack): number => Number(row.slice(1));
  return modules.flatMap(({ attacks }) => attacks).sort((a, b) => number(a) - number(b));
}

export async function replay(attack: Attack): Promise<void> {
  await inScene(limitMs, (scene) => attack.run(scene));
}
