// The example plugin of plugins/README.md, as it stands there.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { PluginDefinition } from "../../src/plugin-api/contract.ts";

const plugins = join(import.meta.dirname, "../../plugins");

/** Loads the code from a folder of its own: only what it imports has to be found for it. */
export async function loadReadmeExample(): Promise<PluginDefinition> {
  const readme = readFileSync(join(plugins, "README.md"), "utf8");
  const source = /```ts\n(.*?)```/s.exec(readme)?.[1] ?? "";
  const located = source
    .replace('"zod"', JSON.stringify(import.meta.resolve("zod")))
    .replace('"../../src/', `"${pathToFileURL(join(plugins, "../src")).href}/`);
  const folder = mkdtempSync(join(tmpdir(), "outrigger-example-"));
  try {
    const file = join(folder, "index.ts");
    writeFileSync(file, located);
    const module = (await import(pathToFileURL(file).href)) as { maintenance: PluginDefinition };
    return module.maintenance;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
