// Turns the text of a bundle into a plugin. The bundle is a CommonJS module that may require only the contract.
import { setFlagsFromString } from "node:v8";
import { compileFunction } from "node:vm";
import type { PluginDefinition } from "../../../plugin-api/contract.ts";
import type { Services } from "../../../plugin-api/services.ts";
import type { LoadFacts } from "../protocol.ts";

/** A longer bundle would take too much memory if all of it were compiled at once. */
const maxEagerLength = 1_048_576;

export interface Loaded {
  readonly definition: Pick<PluginDefinition, "setup"> & Partial<PluginDefinition>;
  readonly state: unknown;
  readonly services: Services;
  readonly facts: LoadFacts;
}

/** Rejects with what is wrong with the bundle. */
export async function loadBundle(
  bundle: string,
  facts: LoadFacts,
  services: Services,
  contract: unknown,
): Promise<Loaded> {
  const place = `${facts.name}@${facts.version}`;
  const module: { exports: unknown } = { exports: {} };
  const require = (name: unknown): unknown => {
    if (name === "outrigger/plugin") return contract;
    throw new Error(
      `${place} requires ${JSON.stringify(name)}: a package that runs in a process of its own has outrigger/plugin and what is inside`,
    );
  };
  const parameters = ["module", "exports", "require", "__filename", "__dirname"];
  // Compile everything now, not each function when a request first calls it.
  const isEager = bundle.length <= maxEagerLength;
  if (isEager) setFlagsFromString("--no-lazy");
  let run: (...given: unknown[]) => void;
  try {
    run = compileFunction(bundle, parameters, { filename: place }) as typeof run;
  } finally {
    if (isEager) setFlagsFromString("--lazy");
  }
  Reflect.apply(run, module.exports, [module, module.exports, require, place, ""]);
  const definition = definitionOf(module.exports);
  const state = await definition.init?.(services);
  return { definition, state, services, facts };
}

/** Finds the plugin in the package's exports: `plugin`, the default export, or the exports themselves. */
function definitionOf(exports: unknown): Loaded["definition"] {
  const { plugin, default: inner } = Object(exports) as Record<string, unknown>;
  for (const candidate of [plugin, inner, exports]) {
    const definition = Object(candidate) as Partial<PluginDefinition>;
    if (typeof definition.setup === "function") return definition as Loaded["definition"];
  }
  throw new Error("it exports no plugin: module.exports.plugin must be what definePlugin gives");
}
