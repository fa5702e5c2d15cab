// Bundles TypeScript or JavaScript with everything that it imports into one CommonJS text. `outrigger/plugin` and
// Node's own modules are not bundled: the sidecar provides them.
import { createRequire } from "node:module";
import { resolve } from "node:path";
import type { RolldownOptions, rolldown } from "rolldown";
import { textOf } from "../../plugin-api/error-text.ts";
import { PackError } from "./pack-error.ts";

interface Bundler {
  readonly rolldown: typeof rolldown;
}

/** Finds the bundler beside this program, or else in the plugin's folder: a globally installed program has none. */
async function bundlerFor(folder: string): Promise<Bundler> {
  try {
    return await import("rolldown");
  } catch {
    try {
      return createRequire(resolve(folder, "index.js"))("rolldown") as Bundler;
    } catch (error) {
      throw new PackError(
        `JavaScript is packed by rolldown, which is not there (${textOf(error)}): run this where npm installed it ("npm install --save-dev rolldown")`,
      );
    }
  }
}

/**
 * @returns the bundle; the same sources give the same text, wherever they are. Rejects with PackError. @param folder
 * base of the names in the bundle
 */
export async function bundleOf(code: string, folder: string): Promise<Buffer> {
  const { rolldown } = await bundlerFor(folder);
  const options: RolldownOptions = {
    input: code,
    cwd: folder,
    platform: "node",
    external: ["outrigger/plugin"],
    // A warning means that a module would be missing or would have another meaning.
    onLog(level, log) {
      if (level === "warn") throw new PackError(log.message);
    },
  };
  try {
    const bundle = await rolldown(options);
    try {
      const { output } = await bundle.generate({
        format: "cjs",
        exports: "named",
        codeSplitting: false,
        comments: false,
      });
      return Buffer.from(output[0].code.replace(/^#!.*\n/, ""));
    } finally {
      await bundle.close();
    }
  } catch (error) {
    throw error instanceof PackError ? error : new PackError(`the code cannot be bundled: ${textOf(error)}`);
  }
}
