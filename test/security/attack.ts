// Defines an attack that once got through. Every file in attacks/ exports some; they are replayed against running
// sidecars.
import { globSync } from "node:fs";
import { join } from "node:path";
import { inScene, type Scene } from "../support/scene.ts";

export interface Attack {
  /** Number of its row in .github/SECURITY.md, e.g. `Z7`. */
  readonly row: string;
  /** What the attacker does, in one line. */
  readonly what: string;
  /** Rejects, with what was observed, if the attack gets through. */
  run(scene: Scene): Promise<void>;
}

const limitMs = 30_000;

export interface Filed {
  readonly attack: Attack;
  /** Name of its file in attacks/. */
  readonly file: string;
}

/** All attacks with their files, by row. */
export async function loadCatalogue(): Promise<Filed[]> {
  const folder = join(import.meta.dirname, "attacks");
  const files = globSync("*.ts", { cwd: folder }).sort();
  const filed = await Promise.all(
    files.map(async (file) => {
      const { attacks } = (await import(join(folder, file))) as { attacks: readonly Attack[] };
      return attacks.map((attack) => ({ attack, file }));
    }),
  );
  const number = ({ attack }: Filed): number => Number(attack.row.slice(1));
  return filed.flat().sort((a, b) => number(a) - number(b));
}

/** All attacks, by row. */
export async function loadAttacks(): Promise<Attack[]> {
  return (await loadCatalogue()).map(({ attack }) => attack);
}

export async function replay(attack: Attack): Promise<void> {
  await inScene(limitMs, (scene) => attack.run(scene));
}
