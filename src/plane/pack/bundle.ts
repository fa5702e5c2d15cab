// TypeScript or JavaScript with all that it imports as one CommonJS text; `outrigger/plugin` and what Node brings stay
// outside, for those the sidecar has.
import { createRequire } from "node:module";
import { resolve } from "node:path";
import type { RolldownOptions, rolldown } from "rolldown";
import { textOf } from "../../plugin-api/error-text.ts";
import { PackError } from "./pack-error.ts";

interface Bundler {
  readonly rolldown: typeof rolldown;
}

/** The one beside this program, or else the plugin's own: where the program is installed for all, it has none. */
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

/** The same sources are the same text, wherever they lie. Rejects with PackError. @param folder names are relative to it */
export async function bundleOf(code: string, folder: string): Promise<Buffer> {
  const { rolldown } = await bundlerFor(folder);
  const options: RolldownOptions = {
    input: code,
    cwd: folder,
    platform: "node",
    external: ["outrigger/plugin"],
    // A warning is a module that would be missing, or would mean something else.
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
