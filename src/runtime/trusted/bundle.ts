// CommonJS text, loaded into this process so that nothing of it is left once nobody uses what it made: `import()` and
// `require` keep every version that they ever loaded (nodejs/node#49442).
import { isBuiltin } from "node:module";
import { setFlagsFromString } from "node:v8";
import { compileFunction } from "node:vm";
import * as contract from "../../plugin-api/contract.ts";
import { textOf } from "../../plugin-api/error-text.ts";

const parameters = ["module", "exports", "require", "__filename", "__dirname"];
let keepsNothing = false;

/**
 * Runs the text as a module. It may require the contract and what Node brings; anything else has to be inside.
 * @param place what stack traces call it
 * @throws Error with the line when it cannot be read, or throws
 */
export function loadBundle(text: string, place: string): unknown {
  // V8 holds every text that it has compiled, otherwise: 41 KB a load of a bundle of 50 KB. Set as late as this, for a
  // flag on the command line has V8 refuse the bytecode of the sidecar itself.
  if (!keepsNothing) setFlagsFromString("--no-compilation-cache");
  keepsNothing = true;
  const module: { exports: unknown } = { exports: {} };
  try {
    const run = compileFunction(text, parameters, { filename: place });
    Reflect.apply(run, module.exports, [module, module.exports, requireFor(place), place, ""]);
  } catch (error) {
    throw new Error(`${placeOf(error, place)}: ${textOf(error)}`, { cause: error });
  }
  return module.exports;
}

function requireFor(place: string): (name: string) => unknown {
  return (name) => {
    if (name === "outrigger/plugin") return contract;
    if (typeof name === "string" && isBuiltin(name)) return process.getBuiltinModule(name);
    throw new Error(
      `${place} requires ${JSON.stringify(name)}: a package has what it needs inside, but for outrigger/plugin and what Node brings`,
    );
  };
}

/** Where in the text it was thrown, as far as the error says. */
function placeOf(error: unknown, place: string): string {
  const stack = error instanceof Error && typeof error.stack === "string" ? error.stack : "";
  const at = stack.indexOf(`${place}:`);
  const line = at === -1 ? undefined : /^\d+/.exec(stack.slice(at + place.length + 1))?.[0];
  return line === undefined ? place : `${place}, line ${line}`;
}
