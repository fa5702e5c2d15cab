// Checks Kubernetes objects against the published schemas: kubernetes-models has them as types and as JSON Schemas.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root } from "./dockerfile.ts";

export interface Typed {
  /** Name of the kind in the module: `Deployment`. */
  readonly kind: string;
  /** Module of kubernetes-models: `apps/v1`. */
  readonly from: string;
  readonly object: object;
}

/** kubernetes-models' own check lets unknown keys through; the compiler does not, in a literal. */
export function compilerSays(objects: readonly Typed[]): string {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-kubernetes-"));
  try {
    mkdirSync(join(folder, "node_modules"));
    for (const name of ["kubernetes-models", "@kubernetes-models"]) {
      symlinkSync(join(root, "node_modules", name), join(folder, "node_modules", name));
    }
    const lines = objects.map(({ kind, from, object }, i) => {
      const type = `import("kubernetes-models/${from}").I${kind}`;
      return `export const object${i}: ${type} = ${JSON.stringify(object)};`;
    });
    writeFileSync(join(folder, "objects.ts"), lines.join("\n"));
    const args = ["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--target", "esnext"];
    execFileSync(join(root, "node_modules/.bin/tsc"), [...args, "--types", "", "objects.ts"], {
      cwd: folder,
    });
    return "";
  } catch (error) {
    return String((error as { stdout?: unknown }).stdout ?? error);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
