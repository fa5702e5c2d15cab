// Loads the runtimes for plugins that are not built in, each only when a policy names it.
import type { Extension } from "../extensions/entry.ts";
import type { RuntimeName } from "../extensions/manifest.ts";
import type { ExtensionDefinition, MakePlugin } from "./extension-definition.ts";

const runtimes: Readonly<Partial<Record<RuntimeName, () => Promise<MakePlugin>>>> = {
  process: async () => (await import("./process/plugin.ts")).createProcessPlugin,
  wasm: async () => (await import("./wasm/wasm-plugin.ts")).createWasmPlugin,
  trusted: async () => (await import("./trusted/plugin.ts")).createTrustedPlugin,
};

/** Rejects when this sidecar lacks the runtime, or when the package cannot be a plugin. */
export async function makePlugin(extension: Extension): Promise<ExtensionDefinition> {
  const { runtime } = extension.entry;
  const load = runtimes[runtime];
  if (load === undefined) throw new Error(`this sidecar has no runtime "${runtime}"`);
  return (await load())(extension);
}
