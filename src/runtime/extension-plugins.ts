// Keeps the plugins that policies bring. Policies with the same package and the same entry share one plugin, so its
// state outlives each policy. When the last policy that uses a plugin is gone, the plugin can be garbage collected.
import { hash } from "node:crypto";
import type { Extension } from "../extensions/entry.ts";
import { textOf } from "../plugin-api/error-text.ts";
import type { PluginDefinition } from "../plugin-api/contract.ts";
import { type Alternative, Alternatives } from "./alternatives.ts";
import { broughtPlugin, type KnownPlugin } from "./known-plugin.ts";
import type { HostServices } from "./scoped-services.ts";
import { Succession, type SuccessionParts } from "./succession.ts";

export interface ExtensionPlugin extends KnownPlugin {
  readonly extension: Extension;
}

export class ExtensionPlugins {
  readonly #services: HostServices;
  /**
   * By hash of name, package and entry. The references are weak: snapshots own the plugins, this map only finds them
   * again.
   */
  readonly #made = new Map<string, WeakRef<ExtensionPlugin>>();
  /** Plugins still being made, so that policies set up at the same time share them. */
  readonly #making = new Map<string, Promise<ExtensionPlugin>>();

  constructor(services: HostServices) {
    this.#services = services;
  }

  /**
   * @returns one plugin per extension. Rejects, naming the extension, when one cannot be a plugin beside the built-in
   * ones.
   */
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

  #pluginOf(extension: Extension, builtIn: readonly PluginDefinition[]): Promise<ExtensionPlugin> {
    const { name, entry } = extension;
    const key = hash("sha256", JSON.stringify([name, extension.package.sha256, entry]));
    const known = this.#made.get(key)?.deref();
    if (known !== undefined) return Promise.resolve(known);
    let making = this.#making.get(key);
    if (making === undefined) this.#making.set(key, (making = this.#make(key, extension, builtIn)));
    return making;
  }

  async #make(
    key: string,
    extension: Extension,
    builtIn: readonly PluginDefinition[],
  ): Promise<ExtensionPlugin> {
    try {
      const plugin = { ...(await broughtPlugin(extension, this.#services, builtIn)), extension };
      this.#made.set(key, new WeakRef(plugin));
      return plugin;
    } finally {
      this.#making.delete(key);
    }
  }
}

/** @returns the plugins that run only for some of the callers, by name */
export function alternativesOf(
  plugins: readonly ExtensionPlugin[],
  parts: SuccessionParts,
): ReadonlyMap<string, Alternatives> {
  const byName = new Map(plugins.map((plugin) => [plugin.extension.name, plugin]));
  const partOf = ({ extension: { name, entry } }: ExtensionPlugin): Alternative => ({
    name,
    percent: entry.percent ?? 100,
  });
  const found = new Map<string, Alternatives>();
  for (const [name, plugin] of byName) {
    const { replaces, percent } = plugin.extension.entry;
    const replaced = replaces === undefined ? undefined : byName.get(replaces);
    if (replaces !== undefined && replaced !== undefined) {
      const succession = new Succession(plugin, replaced, parts);
      const pair = new Alternatives(replaces, [partOf(plugin), partOf(replaced)], succession);
      found.set(name, pair).set(replaces, pair);
    } else if (percent !== undefined && !found.has(name)) {
      found.set(name, new Alternatives(name, [partOf(plugin)]));
    }
  }
  return found;
}

/**
 * @throws Error if two plugins share a name or, unless they are alternatives, a priority, and if some callers would
 * pass without any security plugin of a group
 */
export function checkTogether(
  builtIn: readonly KnownPlugin[],
  added: readonly ExtensionPlugin[],
  alternatives: ReadonlyMap<string, Alternatives>,
): void {
  const seen: PluginDefinition[] = builtIn.map(({ definition }) => definition);
  for (const { definition } of added) {
    const { name, priority } = definition;
    if (seen.some((other) => other.name === name)) throw new Error(`two plugins have the name "${name}"`);
    // Alternatives may share a priority, because each caller gets only one of them.
    const twin = seen.find(
      (other) => other.priority === priority && alternatives.get(name)?.names.includes(other.name) !== true,
    );
    if (twin !== undefined)
      throw new Error(
        `the plugins "${twin.name}" and "${name}" have the same priority ${priority}: set extensions.${name}.priority`,
      );
    seen.push(definition);
  }
  const guards = new Set(added.flatMap(({ definition }) => (definition.security ? definition.name : [])));
  for (const name of guards) {
    const group = alternatives.get(name);
    if (group !== undefined && !(group.takesAll && group.names.every((other) => guards.has(other))))
      throw new Error(
        `the plugin "${name}" decides who gets in, and only for a part of the callers: another that does must take the others (extensions.${name}.replaces)`,
      );
  }
}
