// Resolves the entries of a document's `extensions` to plugins that its other fields may name. It gets the packages,
// compares them with the entries, and has their options checked like those of built-in plugins.
import type { Extension } from "../../extensions/entry.ts";
import type { Package } from "../../extensions/manifest.ts";
import { type Entries, PackagesRefused } from "../../extensions/package-store.ts";
import { placed } from "../document/parse.ts";
import { type Problem, PolicyRefused, ReadingCutShort } from "../document/problems.ts";
import type { PolicyPlugins } from "../document/schema.ts";
import type { SourceDocument } from "../document/written.ts";
import { Slices } from "../../v8/slices.ts";
import { type ExtensionPlugin, pluginOf } from "./plugin.ts";
import { type Flaw, flawsTogether } from "./together.ts";

/**
 * Finds the packages of all these extensions, by name. Rejects with PackagesRefused (one problem for each package that
 * cannot be had) or with the signal's reason. Has its own time limit.
 */
export type FindPackages = (entries: Entries, signal?: AbortSignal) => Promise<ReadonlyMap<string, Package>>;

export interface Resolved {
  readonly extensions: readonly Extension[];
  /** The extensions and the built-in plugins. */
  readonly plugins: PolicyPlugins;
}

/**
 * Resolves the extensions of a document. Rejects with PolicyRefused, or with ReadingCutShort when what is missing may
 * be there later; the error holds all problems.
 * @param source a document whose signature is verified: for others nothing may be fetched
 */
export async function resolveExtensions(
  source: SourceDocument,
  builtIn: PolicyPlugins,
  find: FindPackages,
  signal?: AbortSignal,
): Promise<Resolved> {
  const entries = source.document.extensions ?? {};
  if (Object.keys(entries).length === 0) return { extensions: [], plugins: builtIn };
  const found = await packagesFor(source, entries, find, signal);
  const extensions = Object.entries(entries).map(([name, entry]): Extension => ({
    name,
    entry,
    package: found.get(name) as Package,
  }));
  const flaws = flawsTogether(extensions, builtIn);
  const plugins: Record<string, ExtensionPlugin> = {};
  const slices = new Slices();
  for (const extension of extensions) {
    if (slices.over) await slices.next();
    const { name } = extension;
    const plugin = pluginOf(extension);
    if (typeof plugin !== "string") plugins[name] = plugin;
    else flaws.push({ path: ["extensions", name], message: `the options of its manifest: ${plugin}` });
  }
  if (flaws.length > 0) throw new PolicyRefused(problemsFrom(flaws, source));
  return { extensions, plugins: { ...builtIn, ...plugins } };
}

async function packagesFor(
  source: SourceDocument,
  entries: Entries,
  find: FindPackages,
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<string, Package>> {
  try {
    return await find(entries, signal);
  } catch (error) {
    if (!(error instanceof PackagesRefused)) throw error;
    const flaws = error.problems.map(({ name, field, message }) => ({
      path: ["extensions", name, field].filter((part) => part !== undefined),
      message,
    }));
    const problems = problemsFrom(flaws, source);
    // If one flaw needs a change of the document, the refusal is final, whatever else is unavailable.
    if (error.transient) throw new ReadingCutShort(problems);
    throw new PolicyRefused(problems);
  }
}

function problemsFrom(flaws: readonly Flaw[], source: SourceDocument): Problem[] {
  return flaws.map((flaw) => placed(flaw, source, source.name));
}
