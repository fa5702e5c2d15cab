// An extension as policies know plugins: its options by the JSON Schema of its manifest.
import { z } from "zod";
import { textOf } from "../../plugin-api/error-text.ts";
import type { Extension } from "../../extensions/entry.ts";
import type { Manifest } from "../../extensions/manifest.ts";
import type { PolicyPlugin } from "../document/schema.ts";

export interface ExtensionPlugin extends PolicyPlugin {
  readonly failMode: "open" | "closed";
  readonly priority: number;
}

/** @returns a text = why the options in its manifest cannot be used */
export function pluginOf({ entry, package: { manifest } }: Extension): ExtensionPlugin | string {
  const options = optionsOf(manifest);
  if (typeof options === "string") return options;
  const { security } = manifest;
  const failMode = security ? "closed" : (entry.failMode ?? manifest.failMode);
  return { options, security, failMode, priority: entry.priority ?? manifest.priority };
}

/** Of a policy that was found valid. */
export function pluginsOf(extensions: readonly Extension[]): Readonly<Record<string, ExtensionPlugin>> {
  const plugins: Record<string, ExtensionPlugin> = {};
  for (const extension of extensions) {
    const plugin = pluginOf(extension);
    if (typeof plugin !== "string") plugins[extension.name] = plugin;
  }
  return plugins;
}

/** Longest JSON Schema of options, in characters: what is made of it is much larger. */
const maxSchemaLength = 65_536;

/** @returns what checks an extension's options; a text = why its manifest's schema cannot be used */
function optionsOf({ options }: Pick<Manifest, "options">): z.ZodType | string {
  if (JSON.stringify(options).length > maxSchemaLength)
    return `are longer than ${maxSchemaLength} characters`;
  // {} = any, and options are an object wherever they are written.
  if (Object.keys(options).length === 0) return z.record(z.string(), z.unknown());
  try {
    return z.fromJSONSchema(options);
  } catch (error) {
    return textOf(error);
  }
}
