// Runs an author's code in a process of its own: it tests or measures the plugin and sends the findings to its parent.
// Started by ../ask.ts.
import { parseArgs } from "node:util";
import type { RuntimeName } from "../../extensions/manifest.ts";
import { textOf } from "../../plugin-api/error-text.ts";
import type { Answer } from "../ask.ts";
import { costOf } from "./bench.ts";
import { contractFindings } from "./contract-suite.ts";
import { readExample } from "./example.ts";
import { faultFindings } from "./faults.ts";
import { bad, type Finding } from "../finding.ts";
import { loadPlugin } from "./loaded.ts";

const tell = (answer: Answer): void => void process.send?.(answer);

async function* findings(path: string, runtime: RuntimeName | undefined): AsyncGenerator<Finding> {
  const loaded = await loadPlugin(path, runtime).catch((error: unknown) => bad("package", textOf(error)));
  if ("state" in loaded) {
    yield loaded;
    return;
  }
  yield* await contractFindings(loaded);
  try {
    yield* faultFindings(loaded, await readExample(loaded.folder));
  } catch (error) {
    yield bad("faults", textOf(error));
  }
}

async function main(): Promise<void> {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: { runtime: { type: "string" } },
  });
  const [what, path = "."] = positionals;
  const runtime = values.runtime as RuntimeName | undefined;
  if (what === "test") {
    for await (const finding of findings(path, runtime)) tell({ finding });
    tell({ done: true });
    return;
  }
  const loaded = await loadPlugin(path, runtime);
  const cost = await costOf(loaded, await readExample(loaded.folder));
  const { name, version } = loaded.extension.package.manifest;
  tell({ name, version, cost });
  tell({ done: true });
}

// Keeps the event loop alive, because a plugin's own waits may all be unreferenced (such as those for its process).
const alive = setInterval(() => {}, 60_000);
main()
  .catch((error: unknown) => tell({ problem: textOf(error) }))
  // Disconnects without waiting for what the plugin left running.
  .finally(() => {
    clearInterval(alive);
    process.disconnect?.();
  });
