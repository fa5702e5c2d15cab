// Entry point of the single executable: runs the program, or the process of a plugin.
import { createRequire, isBuiltin } from "node:module";
import { dirname, join } from "node:path";
import process from "node:process";
import { getRawAsset } from "node:sea";
import { constants, Script } from "node:vm";
import { pluginProcessWord } from "../src/v8/single-executable.ts";

const part = (name: string): Buffer => Buffer.from(getRawAsset(name));

/** A file name beside the executable, for stacks and for look-ups of files next to it. No such file exists. */
const fileName = (name: string): string => join(dirname(process.execPath), name);

const requireAny = createRequire(process.execPath);

/** Loads only Node's own modules: packages in folders above the executable may be anyone's. */
function requireBuiltIn(name: string): unknown {
  if (isBuiltin(name)) return requireAny(name);
  throw new Error(`${name} is not within this executable`);
}

function runPart(name: string, cached: Buffer | undefined, wrap: (text: string) => string): void {
  const filename = fileName(name);
  const script = new Script(wrap(part(name).toString("latin1")), {
    filename,
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
    ...(cached === undefined ? {} : { cachedData: cached }),
  });
  const main = script.runInThisContext() as (require: (name: string) => unknown, filename: string) => void;
  main(requireBuiltIn, filename);
}

// Node ignores NODE_OPTIONS here, but node:cluster does not: with `--inspect` in it, node:cluster adds a port that
// workers would take for an option of their own.
delete process.env["NODE_OPTIONS"];
// A worker of node:cluster gets the path of its program a second time.
if (process.argv[2] === process.execPath) process.argv.splice(2, 1);
if (process.argv[2] === pluginProcessWord)
  runPart("plugin-process.cjs", undefined, (text) => `(function (require, __filename) {${text}\n})`);
else runPart("program.cjs", part("program.cache"), (text) => text);
