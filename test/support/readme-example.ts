// Copies the example plugin of plugins/README.md and its test, word for word, into a folder inside the checkout: only
// there does `outrigger/plugin` resolve to the package's own files.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { PluginDefinition } from "../../src/plugin-api/contract.ts";

const root = join(import.meta.dirname, "../..");

export interface ReadmeExample extends Disposable {
  /** Folder with `plugins/maintenance/index.ts` and `test/plugins/maintenance/index.test.ts`, as in a checkout. */
  readonly folder: string;
  load(): Promise<PluginDefinition>;
}

export function writeReadmeExample(): ReadmeExample {
  const readme = readFileSync(join(root, "plugins/README.md"), "utf8");
  const [plugin = "", test = ""] = [...readme.matchAll(/```ts\n(.*?)```/gs)].map(([, code]) => code);
  const folder = mkdtempSync(join(root, "example-"));
  const files = join(folder, "plugins/maintenance");
  const tests = join(folder, "test/plugins/maintenance");
  for (const each of [files, tests]) mkdirSync(each, { recursive: true });
  writeFileSync(join(files, "index.ts"), plugin);
  writeFileSync(join(tests, "index.test.ts"), test);
  return {
    folder,
    async load() {
      const { href } = pathToFileURL(join(files, "index.ts"));
      return ((await import(href)) as { maintenance: PluginDefinition }).maintenance;
    },
    [Symbol.dispose]: () => rmSync(folder, { recursive: true }),
  };
}
