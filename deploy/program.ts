// Loads the bundled program as a script, with the bytecode that the build wrote next to it: compiling is a third of the
// start.
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { constants, Script } from "node:vm";

/**
 * Path of the bytecode. V8 accepts it only from the same version with the same flags; otherwise it compiles the text.
 */
export function cacheOf(folder: string): string {
  return join(folder, "program.cache");
}

/** @param folder holds program.cjs; throws if it does not */
export function compileProgram(folder: string): Script {
  const filename = join(folder, "program.cjs");
  const cache = cacheOf(folder);
  // The text is ASCII: read as Latin-1, it takes one byte a character, outside of the heap.
  return new Script(readFileSync(filename, "latin1"), {
    filename,
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
    ...(existsSync(cache) ? { cachedData: readFileSync(cache) } : {}),
  });
}

/** Runs the function that `bundle.ts` made of the program. */
export function runProgram(script: Script, folder: string): void {
  const main = script.runInThisContext() as (require: NodeJS.Require, filename: string) => void;
  const filename = join(folder, "program.cjs");
  main(createRequire(filename), filename);
}
