// The documents of a policy, and which of them set an option that is in force on a route.
import type { Origin } from "../layers/layers.ts";
import type { ParsedPolicy } from "./parse.ts";
import type { Path } from "./problems.ts";

/** A document with the name that problems show. */
export interface SourceDocument extends ParsedPolicy {
  readonly name: string | undefined;
}

export interface Sources {
  readonly shared: SourceDocument;
  readonly layer: SourceDocument | undefined;
}

export interface Writer {
  readonly document: SourceDocument;
  /** Path of the part that has the `pluginConfig`: a route, or empty for the document itself. */
  readonly prefix: Path;
}

/**
 * @returns the writer of the field, or of most of the path to it: the route, else the layer's defaults, else the shared
 * ones
 * @param path begins with the plugin's name
 * @param origin of the route that has its own options; undefined = the defaults alone
 */
export function writerOf({ shared, layer }: Sources, path: Path, origin: Origin | undefined): Writer {
  const writers: (Writer & { depth: number })[] = [];
  const offer = (document: SourceDocument, prefix: Path): void => {
    const depth = depthOf(document.document, [...prefix, "pluginConfig", ...path]) - prefix.length;
    writers.push({ document, prefix, depth });
  };
  const home = origin?.from === "layer" ? layer : shared;
  if (home !== undefined && origin?.index !== undefined) offer(home, ["routes", origin.index]);
  if (layer !== undefined) offer(layer, []);
  offer(shared, []);
  return writers.reduce((best, writer) => (writer.depth > best.depth ? writer : best));
}

/** How many parts of the path exist in the value. */
function depthOf(value: unknown, path: Path): number {
  let at = value;
  for (const [depth, key] of path.entries()) {
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, key)) return depth;
    at = (at as Record<PropertyKey, unknown>)[key];
  }
  return path.length;
}
