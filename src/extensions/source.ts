// Interface of the places that have packages. A place only delivers bytes; the policy's digest says which bytes count.

/** The package that is wanted. */
export interface Wanted {
  /** Name of the extension. */
  readonly name: string;
  /** The extension that this one is another version of: the package may have that name. */
  readonly replaces?: string | undefined;
  /** As in the policy, with its scheme. */
  readonly location: string;
  /** An exact version; undefined = the location says which. */
  readonly version: string | undefined;
}

export interface Listed {
  readonly name: string;
  readonly version: string;
  /** As a policy would write it. */
  readonly location: string;
  /** For a folder: name of the file in it. */
  readonly file?: string;
}

export interface PackageSource {
  /**
   * Rejects with `PackageUnavailable`, or with `PackageError` when a later try cannot help.
   * @param signal ends the attempt
   * @returns at most `maxPackageBytes`
   */
  fetch(wanted: Wanted, signal: AbortSignal): Promise<Buffer>;
  /** @returns the signature beside the package (compact JWS), unverified; undefined = none. Rejects as `fetch` */
  signature(wanted: Wanted, signal: AbortSignal): Promise<string | undefined>;
  /** @returns the versions there, at most a thousand, in any order; undefined = the location names a single package */
  versions(wanted: Omit<Wanted, "version">, signal: AbortSignal): Promise<readonly string[] | undefined>;
  /** @returns all packages there, at most a thousand, in any order. Rejects as `fetch` */
  list(location: string, signal: AbortSignal): Promise<readonly Listed[]>;
}

export type Scheme = "file" | "redis" | "https" | "oci";

/** Sources by scheme; a missing one is not available here. */
export type PackageSources = Readonly<Partial<Record<Scheme, PackageSource>>>;

export const maxVersions = 1_000;
/** Longest signature that is read. */
export const maxSignatureBytes = 16_384;

/** @returns name and version of text such as `geo@1.2.0`; undefined for other text */
export function namedVersion(text: string): { name: string; version: string } | undefined {
  const at = text.indexOf("@");
  return at < 1 ? undefined : { name: text.slice(0, at), version: text.slice(at + 1) };
}

/** Names that the package may have in its place. */
export const namesOf = ({ name, replaces }: Pick<Wanted, "name" | "replaces">): string[] =>
  replaces === undefined ? [name] : [name, replaces];

/** Name of a package in a folder or in Redis. */
export const versionedName = (name: string, version: string): string => `${name}@${version}`;
