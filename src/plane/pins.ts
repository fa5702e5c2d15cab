// Which packages a policy pins: what is read of a document that may be anybody's, without judging it.
import { documentIn } from "./candidate.ts";

export interface Pin {
  readonly name: string;
  readonly version: string | undefined;
  readonly sha256: string | undefined;
}

/** @returns undefined = the document cannot be read */
export function pinsIn(document: Uint8Array): Pin[] | undefined {
  const value = documentIn(document);
  if (typeof value !== "object" || value === null) return undefined;
  const extensions = memberOf(value, "extensions");
  if (typeof extensions !== "object" || extensions === null) return [];
  return Object.entries(extensions).map(([name, entry]) => ({
    name,
    version: textIn(entry, "version"),
    sha256: textIn(entry, "sha256"),
  }));
}

function memberOf(value: object, name: string): unknown {
  return Object.hasOwn(value, name) ? Reflect.get(value, name) : undefined;
}

function textIn(value: unknown, name: string): string | undefined {
  const found = typeof value === "object" && value !== null ? memberOf(value, name) : undefined;
  return typeof found === "string" ? found : undefined;
}
