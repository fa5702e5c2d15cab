// Bundles the program of plugin processes into one file, as the image has it: from source, each process takes four
// times as long to start. A run of all tests has bundled it already (bundle.ts).
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { chmodSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { rolldown } from "rolldown";

/** @returns the bundle's path; it is removed when this process ends */
export async function bundledPluginProcess(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-test-program-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  // Where this process runs as root, the process of a plugin runs as another user, who has to read the folder.
  chmodSync(folder, 0o755);
  const path = join(folder, "plugin-process.cjs");
  const program = process.env["OUTRIGGER_TEST_PROGRAM"];
  if (program) {
    copyFileSync(join(dirname(program), "plugin-process.cjs"), path);
    return path;
  }
  const input = join(import.meta.dirname, "../../src/runtime/process/child/program.ts");
  const bundle = await rolldown({ input, platform: "node" });
  const { output } = await bundle.generate({ format: "cjs", codeSplitting: false, comments: false });
  await bundle.close();
  writeFileSync(path, output[0].code);
  return path;
}
