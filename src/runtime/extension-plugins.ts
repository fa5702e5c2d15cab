// The plugins that policies bring. Policies that have the same package in the same way share one plugin, so that its
// state outlives each of them; what no policy has any more is forgotten with the last of them.
import { hash } from "node:crypto";
import type { Extension } from "../extensions/entry.ts";
import { textOf } from "../plugin-api/error-text.ts";
import type { PluginDefinition } from "../plugin-api/contract.ts";
import { makePlugin } from "./extension-runtimes.ts";
import { type KnownPlugin, knownPlugin } from "./known-plugin.ts";
import type { HostServices } from "./scoped-services.ts";

export interface ExtensionPlugin extends KnownPlugin {
  readonly extension: Extension;
}

export class ExtensionPlugins {
  readonly #services: HostServices;
  /** By what they are made of. Snapshots hold them; here they are only found again. */
  readonly #made = new Map<string, WeakRef<ExtensionPlugin>>();

  constructor(services: HostServices) {
    this.#services = services;
  }

  /** Rejects, naming the extension, when one of them cannot be a plugin beside these others. */
  async of(
    extensions: readonly Extension[],
    builtIn: readonly PluginDefinition[],
  ): Promise<readonly ExtensionPlugin[]> {
    for (const [key, made] of this.#made) if (made.deref() === undefined) this.#made.delete(key);
    const plugins: ExtensionPlugin[] = [];
    for (const extension of extensions) {
      try {
        plugins.push(await this.#pluginOf(extension, builtIn));
      } catch (error) {
        throw new Error(`extension "${extension.name}": ${textOf(error)}`, { cause: error });
      }
    }
    return plugins;
  }

  async #pluginOf(extension: Extension, builtIn: readonly PluginDefinition[]): Promise<ExtensionPlugin> {
    const { name, entry } = extension;
    const key = hash("sha256", JSON.stringify([name, extension.package.sha256, entry]));
    const known = this.#made.get(key)?.deref();
    if (known !== undefined) return known;
    const definition = await makePlugin(extension);
    const plugin = { ...knownPlugin(definition, this.#services, builtIn, false), extension };
    this.#made.set(key, new WeakRef(plugin));
    return plugin;
  }
}

/** @throws Error for two plugins that would be at one place of a chain, or have one name */
export function checkTogether(plugins: readonly KnownPlugin[], added: readonly ExtensionPlugin[]): void {
  const replaces = new Map(added.map(({ extension }) => [extension.name, extension.entry.replaces]));
  const seen: PluginDefinition[] = plugins.map(({ definition }) => definition);
  for (const { definition } of added) {
    const { name, priority } = definition;
    if (seen.some((other) => other.name === name)) throw new Error(`two plugins have the name "${name}"`);
    const twin = seen.find((other) => other.priority === priority);
    // Of these two, each caller gets one.
    const areAlternatives =
      twin !== undefined && (replaces.get(name) === twin.name || replaces.get(twin.name) === name);
    if (twin !== undefined && !areAlternatives)
      throw new Error(
        `the plugins "${twin.name}" and "${name}" have the same priority ${priority}: set extensions.${name}.priority`,
      );
    seen.push(definition);
  }
}
