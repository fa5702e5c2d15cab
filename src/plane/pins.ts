// Reads which packages a policy pins. The document may be anybody's, and is not judged here.
import { z } from "zod";
import { extensionEntry } from "../extensions/entry.ts";
import type { Entries } from "../extensions/package-store.ts";
import { documentIn } from "./candidate.ts";

export interface Pin {
  /** Every name that the package may have: the extension's, that of the one it replaces, the name in its `source`. */
  readonly names: readonly string[];
  readonly version: string | undefined;
  readonly sha256: string | undefined;
}

/** @returns the pins; undefined = the document cannot be read */
export function pinsIn(document: Uint8Array): Pin[] | undefined {
  const value = documentIn(document);
  if (typeof value !== "object" || value === null) return undefined;
  const extensions = memberOf(value, "extensions");
  if (typeof extensions !== "object" || extensions === null) return [];
  return Object.entries(extensions).map(([name, entry]) => ({
    names: [name, textIn(entry, "replaces"), nameIn(textIn(entry, "source") ?? "")].filter(isText),
    version: textIn(entry, "version"),
    sha256: textIn(entry, "sha256"),
  }));
}

/** Whether the policy needs this package. @param sha256 undefined = unknown */
export const isPinned = (pins: readonly Pin[], { name, version, sha256 }: Package): boolean =>
  pins.some(
    (pin) =>
      (sha256 !== undefined && pin.sha256 === sha256) ||
      (pin.names.includes(name) && (pin.version ?? version) === version),
  );

interface Package {
  readonly name: string;
  readonly version: string;
  readonly sha256?: string | undefined;
}

const nameIn = (source: string): string | undefined => /^redis:plugin:([^@]+)/.exec(source)?.[1];
const isText = (value: string | undefined): value is string => value !== undefined;

const written = z.looseObject({ extensions: z.record(z.string(), extensionEntry) });

/** @returns the entries of a document; none if they are not valid, which is reported elsewhere */
export function entriesIn(document: unknown): Entries {
  const parsed = written.safeParse(document);
  return parsed.success ? parsed.data.extensions : {};
}

function memberOf(value: object, name: string): unknown {
  return Object.hasOwn(value, name) ? Reflect.get(value, name) : undefined;
}

function textIn(value: unknown, name: string): string | undefined {
  const found = typeof value === "object" && value !== null ? memberOf(value, name) : undefined;
  return typeof found === "string" ? found : undefined;
}
