// Loads CommonJS text into this process so that it can be garbage collected once nothing uses its exports. `import()`
// and `require` keep every version they ever loaded (nodejs/node#49442).
import { isBuiltin } from "node:module";
import { setFlagsFromString } from "node:v8";
import { compileFunction } from "node:vm";
import * as contract from "../../plugin-api/contract.ts";
import { textOf } from "../../plugin-api/error-text.ts";

const parameters = ["module", "exports", "require", "__filename", "__dirname"];
let keepsNothing = false;

/**
 * Runs the text as a module. It may require the contract and Node's built-in modules; anything else has to be inside.
 * @param place name of the module in stack traces
 * @throws Error with the line when the text cannot be parsed, or throws
 */
export function loadBundle(text: string, place: string): unknown {
  // Without the flag V8 keeps every text that it has compiled: 41 KB per load of a bundle of 50 KB. It is set this late
  // because as a command-line flag it makes V8 refuse the sidecar's own bytecode.
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

/** @returns where in the text the error was thrown, if the stack trace tells */
function placeOf(error: unknown, place: string): string {
  const stack = error instanceof Error && typeof error.stack === "string" ? error.stack : "";
  const at = stack.indexOf(`${place}:`);
  const line = at === -1 ? undefined : /^\d+/.exec(stack.slice(at + place.length + 1))?.[0];
  return line === undefined ? place : `${place}, line ${line}`;
}
