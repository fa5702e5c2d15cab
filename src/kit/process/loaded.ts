// Loads a plugin from its author's folder the way a sidecar does: packs it, then creates it in its runtime.
import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import { type Extension, extensionEntry } from "../../extensions/entry.ts";
import type { RuntimeName } from "../../extensions/manifest.ts";
import { pack } from "../../plane/pack/pack.ts";
import type { PluginDefinition } from "../../plugin-api/contract.ts";
import { makePlugin } from "../../runtime/extension-runtimes.ts";

export interface LoadedPlugin {
  readonly folder: string;
  readonly extension: Extension;
  readonly definition: PluginDefinition;
  /** Settings with a placeholder value for each secret that the plugin needs. */
  readonly env: Readonly<Record<string, string>>;
  /** The same secrets by name, without `OUTRIGGER_`. */
  readonly secrets: Readonly<Record<string, string>>;
}

/**
 * Rejects with an Error whose message is for the author.
 * @param runtime default: the usual runtime of the plugin's kind
 */
export async function loadPlugin(path: string, runtime: RuntimeName | undefined): Promise<LoadedPlugin> {
  const packed = await pack(path);
  const { manifest, sha256, kind } = packed;
  const usual = kind === "wasm" ? "wasm" : "process";
  const source = `file:${path}`;
  const entry = extensionEntry.parse({ source, sha256, runtime: runtime ?? usual });
  const extension = { name: manifest.name, entry, package: packed };
  const { database } = manifest.needs;
  const names = [...manifest.needs.secrets, ...(database === undefined ? [] : [database])];
  const secrets = Object.fromEntries(names.map((name) => [name, `a value that stands in for ${name}`]));
  const env = Object.fromEntries(names.map((name) => [`OUTRIGGER_${name}`, secrets[name] ?? ""]));
  const folder = (await stat(path)).isDirectory() ? path : dirname(path);
  return { folder, extension, definition: await makePlugin(extension), env, secrets };
}
