// The program of plugins' processes as the image has it, one file: from source each of them starts four times as long.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { chmodSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { rolldown } from "rolldown";

/** @returns its path; removed at the end of this process */
export async function bundledPluginProcess(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-test-program-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  // The process of a plugin is another user where this one is root.
  chmodSync(folder, 0o755);
  const input = join(import.meta.dirname, "../../src/runtime/process/child/program.ts");
  const bundle = await rolldown({ input, platform: "node" });
  const { output } = await bundle.generate({ format: "cjs", codeSplitting: false, comments: false });
  await bundle.close();
  const path = join(folder, "plugin-process.cjs");
  writeFileSync(path, output[0].code);
  return path;
}
