// Pins the packages of a policy's extensions, as `policy apply` writes them into the document: the version that a range
// resolves to, and the digest. If signatures are required, only packages signed by a key that counts are pinned.
import type { ExtensionEntry } from "../extensions/entry.ts";
import type { Package } from "../extensions/manifest.ts";
import { type PackageProblem, PackagesRefused, type PackageStore } from "../extensions/package-store.ts";
import type { VerifyKey } from "../policy/signature/verify-keys.ts";
import { vouchedFor } from "./package-signature.ts";

export interface Pinned {
  readonly version: string;
  readonly sha256: string;
  readonly package: Package;
}

export interface Vouching {
  /** Keys whose signatures count; undefined = none is required. */
  readonly trusted: readonly VerifyKey[] | undefined;
  readonly nowMs: number;
}

/**
 * Resolves each entry. A digest that an entry already has is kept: the package must have it. Rejects with
 * PackagesRefused: one problem for each extension whose package cannot be had or is not signed.
 */
export async function pinExtensions(
  store: PackageStore,
  entries: Readonly<Record<string, ExtensionEntry>>,
  vouching: Vouching,
): Promise<ReadonlyMap<string, Pinned>> {
  const problems: PackageProblem[] = [];
  const pinned = new Map<string, Pinned>();
  for (const [name, entry] of Object.entries(entries)) {
    try {
      const found = await packageFor(store, name, entry);
      const problem = await notVouched(store, name, entry, found, vouching);
      if (problem === undefined)
        pinned.set(name, { version: found.manifest.version, sha256: found.sha256, package: found });
      else problems.push(problem);
    } catch (error) {
      if (!(error instanceof PackagesRefused)) throw error;
      problems.push(...error.problems);
    }
  }
  if (problems.length > 0) throw new PackagesRefused(problems);
  return pinned;
}

async function packageFor(store: PackageStore, name: string, entry: ExtensionEntry): Promise<Package> {
  if (entry.sha256 === undefined) return await store.resolve(name, entry);
  return (await store.packages({ [name]: entry })).get(name) as Package;
}

async function notVouched(
  store: PackageStore,
  name: string,
  entry: ExtensionEntry,
  found: Package,
  { trusted, nowMs }: Vouching,
): Promise<PackageProblem | undefined> {
  if (trusted === undefined) return undefined;
  const vouched = await vouchedFor(found, await store.signatureOf(name, entry, found), trusted, nowMs);
  if (vouched.state === "unsigned" || vouched.state === "refused")
    return { name, field: "source", message: vouched.message, transient: false };
  return undefined;
}
