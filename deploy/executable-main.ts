// What the single executable begins with: the program, or the process of a plugin.
import { createRequire, isBuiltin } from "node:module";
import { dirname, join } from "node:path";
import process from "node:process";
import { getRawAsset } from "node:sea";
import { constants, Script } from "node:vm";
import { pluginProcessWord } from "../src/v8/single-executable.ts";

const part = (name: string): Buffer => Buffer.from(getRawAsset(name));

/** Nothing is there: a name for stacks, and for what looks beside it. */
const fileName = (name: string): string => join(dirname(process.execPath), name);

const requireAny = createRequire(process.execPath);

/** Of Node itself alone: packages in folders above it may be anybody's. */
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

// Node does not heed it here, but node:cluster would: with an `--inspect` in it, by a port that workers take for their own option.
delete process.env["NODE_OPTIONS"];
// A worker of node:cluster is told its program a second time.
if (process.argv[2] === process.execPath) process.argv.splice(2, 1);
if (process.argv[2] === pluginProcessWord)
  runPart("plugin-process.cjs", undefined, (text) => `(function (require, __filename) {${text}\n})`);
else runPart("program.cjs", part("program.cache"), (text) => text);
