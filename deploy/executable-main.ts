// What the single executable begins with: the program, or the process of a plugin.
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import process from "node:process";
import { getRawAsset } from "node:sea";
import { constants, Script } from "node:vm";
import { pluginProcessWord } from "../src/v8/single-executable.ts";

const part = (name: string): Buffer => Buffer.from(getRawAsset(name));

/** Nothing is there: a name for stacks, and for what looks beside it. */
const fileName = (name: string): string => join(dirname(process.execPath), name);

function runPart(name: string, cached: Buffer | undefined, wrap: (text: string) => string): void {
  const filename = fileName(name);
  const script = new Script(wrap(part(name).toString("latin1")), {
    filename,
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
    ...(cached === undefined ? {} : { cachedData: cached }),
  });
  const main = script.runInThisContext() as (require: NodeJS.Require, filename: string) => void;
  main(createRequire(filename), filename);
}

// A worker of node:cluster is told its program a second time.
if (process.argv[2] === process.execPath) process.argv.splice(2, 1);
if (process.argv[2] === pluginProcessWord)
  runPart("plugin-process.cjs", undefined, (text) => `(function (require, __filename) {${text}\n})`);
else runPart("program.cjs", part("program.cache"), (text) => text);
