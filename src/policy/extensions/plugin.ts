// Turns an extension into the form in which policies know plugins. Its manifest's JSON Schema checks its options.
import { textOf } from "../../plugin-api/error-text.ts";
import type { Extension } from "../../extensions/entry.ts";
import { optionsSchema } from "../../extensions/options.ts";
import type { PolicyPlugin } from "../document/schema.ts";

export interface ExtensionPlugin extends PolicyPlugin {
  readonly failMode: "open" | "closed";
  readonly priority: number;
}

/** @returns the plugin; a text = why the options in the manifest cannot be used */
export function pluginOf({ entry, package: { manifest } }: Extension): ExtensionPlugin | string {
  const { security } = manifest;
  const failMode = security ? "closed" : (entry.failMode ?? manifest.failMode);
  try {
    const options = optionsSchema(manifest);
    return { options, security, failMode, priority: entry.priority ?? manifest.priority };
  } catch (error) {
    return textOf(error);
  }
}

/** @param extensions of a policy that was found valid */
export function pluginsOf(extensions: readonly Extension[]): Readonly<Record<string, ExtensionPlugin>> {
  const plugins: Record<string, ExtensionPlugin> = {};
  for (const extension of extensions) {
    const plugin = pluginOf(extension);
    if (typeof plugin !== "string") plugins[extension.name] = plugin;
  }
  return plugins;
}
