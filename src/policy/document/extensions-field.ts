// The field `extensions`: plugins that are not built in. Whether their packages match what the entries say is checked
// once the packages are there (../extensions/resolve.ts).
import { z } from "zod";
import {
  entryLimits,
  type ExtensionEntry,
  extensionEntry,
  extensionsField as entries,
} from "../../extensions/entry.ts";
import { extensionName, manifest, needs } from "../../extensions/manifest.ts";
import { isObject } from "./plain-object.ts";
import { quoted, unknownName } from "./problems.ts";

export type Extensions = Readonly<Record<string, ExtensionEntry>>;

const maxExtensions = 64;

/** Names of the fields of an extension, at any depth: suggestions for misspelled names. */
export const extensionFields: readonly string[] = [
  ...Object.keys(extensionEntry.shape),
  ...Object.keys(entryLimits.shape),
  ...Object.keys(manifest.shape),
  ...Object.keys(needs.shape),
];

/** @returns the names of the extensions that a document seems to have, before any check */
export function extensionNames(value: unknown, builtIn: readonly string[]): readonly string[] {
  const extensions = isObject(value) ? value["extensions"] : undefined;
  if (!isObject(extensions)) return [];
  return Object.keys(extensions).filter(
    (name) => extensionName.safeParse(name).success && !builtIn.includes(name),
  );
}

/** @returns the names by which a layer seems to use extensions, before any check */
export function extensionsUsed(value: unknown, builtIn: readonly string[]): readonly string[] {
  const layer = membersOf(value);
  const routes: readonly unknown[] = Array.isArray(layer["routes"]) ? layer["routes"] : [];
  const used = [layer, ...routes.map(membersOf)].flatMap(({ plugins, pluginConfig, locked }) => [
    ...(Array.isArray(plugins) ? (plugins as unknown[]) : []),
    ...(Array.isArray(locked) ? (locked as unknown[]) : []),
    ...Object.keys(membersOf(pluginConfig)),
  ]);
  return [...new Set(used)].filter(
    (name): name is string => extensionName.safeParse(name).success && !builtIn.includes(String(name)),
  );
}

const membersOf = (value: unknown): Readonly<Record<string, unknown>> => (isObject(value) ? value : {});

/** @param layer whether the document is a layer over another */
export function extensionsField(
  builtIn: readonly string[],
  layer: boolean,
): z.ZodType<Extensions | undefined> {
  if (layer) return z.undefined({ error: "only the shared policy has extensions" }).optional();
  // Checks across members run also when a member is wrong: all problems at once.
  return entries.superRefine((value, context) => checkAll(value, builtIn, context), {
    when: () => true,
  });
}

function checkAll(value: unknown, builtIn: readonly string[], context: z.core.$RefinementCtx): void {
  if (!isObject(value)) return;
  const names = Object.keys(value);
  if (names.length > maxExtensions) {
    const message = `has ${names.length} extensions; at most ${maxExtensions} are taken`;
    context.addIssue({ code: "custom", path: [], message });
  }
  const replaced = new Map<string, string>();
  for (const name of names) {
    if (builtIn.includes(name))
      context.addIssue({ code: "custom", path: [name], message: "is the name of a built-in plugin" });
    const flaw = flawOfReplaces(name, value, replaced);
    if (flaw !== undefined) context.addIssue({ code: "custom", path: [name, "replaces"], message: flaw });
  }
}

/** @param replaced the extensions replaced so far, each with its replacement */
function flawOfReplaces(
  name: string,
  all: Readonly<Record<string, unknown>>,
  replaced: Map<string, string>,
): string | undefined {
  const { replaces, services } = membersOf(all[name]);
  if (typeof replaces !== "string") return undefined;
  if (replaces === name) return "names itself";
  if (!Object.hasOwn(all, replaces)) return unknownName("unknown extension", replaces, Object.keys(all));
  const other = membersOf(all[replaces]);
  if (other["replaces"] !== undefined) return `${quoted(replaces)} replaces another itself`;
  const twin = replaced.get(replaces);
  if (twin !== undefined) return `${quoted(replaces)} is replaced by ${quoted(twin)} already`;
  replaced.set(replaces, name);
  if (!Array.isArray(other["services"])) return undefined;
  const within: readonly unknown[] = other["services"];
  if (Array.isArray(services) && services.every((service) => within.includes(service))) return undefined;
  return `${quoted(replaces)} is for fewer services`;
}
