// Handles the extensions of a policy that goes into Redis: pins each to the package that it means now, and reports
// which rights it asks for beyond those of the package pinned before.
import type { Extension } from "../extensions/entry.ts";
import type { Manifest } from "../extensions/manifest.ts";
import { type Entries, PackagesRefused } from "../extensions/package-store.ts";
import { PackageError } from "../extensions/package-error.ts";
import { checkRights } from "../extensions/rights.ts";
import { documentIn, placeIn } from "../plane/candidate.ts";
import { moreNeeds } from "../plane/more-needs.ts";
import { type Pinned, pinExtensions, type Vouching } from "../plane/pin-extensions.ts";
import { entriesIn } from "../plane/pins.ts";
import type { PolicyFormat } from "../policy/document/parse.ts";
import { type Path, pathText, PolicyRefused, type Problem } from "../policy/document/problems.ts";
import type { PolicyPackages } from "./policy-packages.ts";
import { isSigned } from "./policy-signed.ts";
import { printable } from "./table.ts";

const unversioned = "0.0.0";

export interface PinnedDocument {
  readonly bytes: Uint8Array;
  readonly format: PolicyFormat;
  /** Extensions whose pins were missing or out of date, with the version that the document asked for. */
  readonly filledIn: ReadonlyMap<string, string | undefined>;
}

/**
 * Pins every extension to the version and digest of its package. Rejects with PolicyRefused when a package cannot be
 * fetched, lacks a required signature, or when the document is already signed without pins.
 * @param name the document's name in problems
 */
export async function pinDocument(
  packages: PolicyPackages,
  { bytes, format }: Pick<PinnedDocument, "bytes" | "format">,
  name: string,
  vouching: Vouching,
): Promise<PinnedDocument> {
  const entries = entriesIn(documentIn(bytes, format));
  if (Object.keys(entries).length === 0) return { bytes, format, filledIn: new Map() };
  const problem = (path: Path, message: string): Problem => {
    return { document: name, path: pathText(path), message, ...placeIn(bytes, format, path) };
  };
  const pins = await pinsFor(packages, entries, vouching, problem);
  for (const [extension, { package: found }] of pins) packages.note(extension, found);
  const pinned = fillIn({ bytes, format }, pins);
  if (pinned.filledIn.size === 0 || !isSigned(bytes)) return pinned;
  throw new PolicyRefused(
    [...pinned.filledIn.keys()].map((extension) =>
      problem(
        ["extensions", extension],
        'is signed without its digest: "outrigger policy sign" and "apply --key" fill it in first',
      ),
    ),
  );
}

/**
 * Writes these versions and digests into the document where they are missing or differ.
 * @param pins pins of all its extensions
 */
export function fillIn(
  { bytes, format }: Pick<PinnedDocument, "bytes" | "format">,
  pins: ReadonlyMap<string, Pick<Pinned, "version" | "sha256">>,
): PinnedDocument {
  const document = documentIn(bytes, format);
  const filledIn = new Map<string, string | undefined>();
  const pinned: Record<string, object> = {};
  for (const [name, entry] of Object.entries(entriesIn(document))) {
    const pin = pins.get(name);
    // The module states no version: keep the one in the document.
    const version = pin?.version === unversioned ? entry.version : pin?.version;
    const isPinned = entry.sha256 !== undefined && (entry.version === undefined || entry.version === version);
    if (pin === undefined || isPinned) continue;
    filledIn.set(name, entry.version);
    pinned[name] = { ...(version !== undefined && { version }), sha256: pin.sha256 };
  }
  if (filledIn.size === 0) return { bytes, format, filledIn };
  return { bytes: withPins(document, pinned), format: "json", filledIn };
}

async function pinsFor(
  packages: PolicyPackages,
  entries: Entries,
  vouching: Vouching,
  problem: (path: Path, message: string) => Problem,
): Promise<ReadonlyMap<string, Pinned>> {
  try {
    return await pinExtensions(packages.store, entries, vouching);
  } catch (error) {
    if (!(error instanceof PackagesRefused)) throw error;
    throw new PolicyRefused(
      error.problems.map(({ name, field, message }) =>
        problem(
          ["extensions", name, field].filter((part) => part !== undefined),
          message,
        ),
      ),
    );
  }
}

function withPins(document: unknown, pins: Readonly<Record<string, object>>): Buffer {
  const { extensions } = Object(document) as { extensions: Readonly<Record<string, object>> };
  const pinned = Object.entries(extensions).map(([name, entry]) => [name, { ...entry, ...pins[name] }]);
  const whole = { ...Object(document), extensions: Object.fromEntries(pinned) } as object;
  return Buffer.from(JSON.stringify(whole, null, 2));
}

/**
 * Throws PolicyRefused when an unsigned document grants rights that no sidecar would accept from it: sidecars with
 * OUTRIGGER_POLICY_KEYS take only signed documents, and the others grant rights only to the operator's own files.
 */
export function refuseUnentitled(extensions: readonly Extension[], bytes: Uint8Array, name: string): void {
  const problems = extensions.flatMap(({ name: extension, entry, package: { manifest } }): Problem[] => {
    try {
      checkRights("folder", entry, manifest);
      return [];
    } catch (error) {
      if (!(error instanceof PackageError)) throw error;
      const path = ["extensions", extension, error.field].filter((part) => part !== undefined);
      const place = placeIn(bytes, "any", path);
      return [{ document: name, path: pathText(path), message: error.message, ...place }];
    }
  });
  if (problems.length > 0) throw new PolicyRefused(problems);
}

/** What a command reports about an extension. */
export interface ExtensionReport {
  readonly name: string;
  readonly version: string;
  readonly sha256: string;
  /** The version that the document asked for, when `version` and `sha256` were filled in; "" = any. */
  readonly filledInFor?: string;
  /** Version of the package that is pinned now; absent = the extension is new. */
  readonly before?: string;
  /** What the package asks for beyond the pinned one; for a new extension, everything it asks for. */
  readonly asksFor: readonly string[];
  /** Why the package that is pinned now cannot be compared. */
  readonly unknown?: string;
}

/** Reports the extensions that are new, or have other packages than in the document in Redis. */
export async function reportExtensions(
  packages: PolicyPackages,
  { extensions, filledIn }: Pick<PinnedDocument, "filledIn"> & { readonly extensions: readonly Extension[] },
  service: string | undefined,
  there: Uint8Array | undefined,
): Promise<readonly ExtensionReport[]> {
  // A layer has no extensions.
  if (service !== undefined) return [];
  const entries = there === undefined ? {} : entriesIn(documentIn(there));
  const reports: ExtensionReport[] = [];
  for (const { name, entry: own, package: found } of extensions) {
    const { manifest, sha256 } = found;
    // A second version of an extension is compared with the version that it replaces.
    const measure = [name, own.replaces ?? name].find((each) => Object.hasOwn(entries, each));
    const isSame = measure !== undefined && entries[measure]?.sha256 === sha256;
    if (isSame && !filledIn.has(name)) continue;
    const old = measure === undefined || isSame ? undefined : await manifestOf(packages, measure, entries);
    const before = typeof old === "object" ? old : undefined;
    reports.push({
      name,
      version: manifest.version,
      sha256,
      ...(filledIn.has(name) && { filledInFor: filledIn.get(name) ?? "" }),
      ...(before === undefined ? {} : { before: before.version }),
      asksFor: isSame ? [] : moreNeeds(before, manifest),
      ...(typeof old === "string" && { unknown: old }),
    });
  }
  return reports;
}

/** @returns the manifest; a text = why it is not known */
async function manifestOf(
  packages: PolicyPackages,
  name: string,
  entries: Entries,
): Promise<Manifest | string> {
  try {
    const one = Object.fromEntries(Object.entries(entries).filter(([each]) => each === name));
    return (await packages.find(one)).get(name)?.manifest ?? "it is not there";
  } catch (error) {
    if (!(error instanceof PackagesRefused)) throw error;
    return error.problems.map(({ message }) => message).join("; ");
  }
}

/** For a command's JSON output: nothing when the policy has no extensions. */
export const withExtensions = (
  extensions: readonly ExtensionReport[],
): { readonly extensions?: readonly ExtensionReport[] } => (extensions.length === 0 ? {} : { extensions });

/** Prints one line for what was filled in, one for what a package asks for. */
export function printExtensions(print: (line: string) => void, reports: readonly ExtensionReport[]): void {
  for (const { name, version, sha256, filledInFor, before, asksFor, unknown } of reports) {
    if (filledInFor !== undefined) {
      const wanted = filledInFor === "" || filledInFor === version ? "" : ` for ${filledInFor}`;
      print(`${printable(`extensions.${name}: version ${version}${wanted}, sha256 ${sha256}`)}\n`);
    }
    const than = before === undefined ? "" : ` more than ${before}`;
    if (asksFor.length > 0)
      print(`${printable(`${name} ${version} asks for${than}: ${asksFor.join(", ")}`)}\n`);
    if (unknown !== undefined)
      print(`${printable(`${name}: what the package there asks for is not known: ${unknown}`)}\n`);
  }
}
