// Bundles the sources for a run of all tests. What tests load into their own process are the sources; what they start
// as a process is then the bundle, as in the image: it starts in two fifths of the time, several hundred times a run.
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "../..");
const folder = join(root, "node_modules/.cache/bundle-for-tests");

/** Node warns of a constant of node:vm that the launcher uses. Tests expect nothing on stderr. */
const launcher = `
const { emitWarning } = process;
process.emitWarning = (warning, ...rest) => {
  if (!String(warning).includes("USE_MAIN_CONTEXT_DEFAULT_LOADER")) emitWarning.call(process, warning, ...rest);
};
require("./outrigger.cjs");
`;

/** @returns the path of the program. @throws Error if it cannot be bundled */
export function bundleProgram(): string {
  const node = (...args: readonly string[]): void =>
    void execFileSync(process.execPath, args, { cwd: root, stdio: ["ignore", "ignore", "inherit"] });
  node("deploy/bundle.ts", folder, "--bytecode=off");
  // V8 accepts bytecode only from the same flags, and tests start the program without any.
  node("deploy/code-cache.ts", folder);
  const file = join(folder, "program-for-tests.cjs");
  writeFileSync(file, launcher);
  return file;
}
