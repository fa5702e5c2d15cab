// The bundled program as a script, with the bytecode that the build left beside it: compiling is a third of the start.
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { constants, Script } from "node:vm";

/** The bytecode's path. V8 takes it from its own version and with the same flags only; else it compiles. */
export function cacheOf(folder: string): string {
  return join(folder, "program.cache");
}

/** @param folder holds program.cjs; throws when it does not */
export function compileProgram(folder: string): Script {
  const filename = join(folder, "program.cjs");
  const cache = cacheOf(folder);
  // It is ASCII: read as Latin-1 it takes a byte a character, outside of the heap.
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
