// A place where packages are. It only hands out bytes: which ones count is said by the digest in the policy.

/** What is asked of a place. */
export interface Wanted {
  /** The extension's. */
  readonly name: string;
  /** The extension whose other version it is: the package may have that one's name. */
  readonly replaces?: string | undefined;
  /** As the policy has it, scheme included. */
  readonly location: string;
  /** Exact; undefined = the location says which. */
  readonly version: string | undefined;
}

export interface Listed {
  readonly name: string;
  readonly version: string;
  /** As a policy would say it. */
  readonly location: string;
  /** Of a folder, its name there. */
  readonly file?: string;
}

export interface PackageSource {
  /**
   * Rejects with a `PackageUnavailable`, or with a `PackageError` where a later try cannot help.
   * @param signal ends the attempt
   * @returns at most `maxPackageBytes`
   */
  fetch(wanted: Wanted, signal: AbortSignal): Promise<Buffer>;
  /** @returns the signature that lies beside it (a compact JWS), unchecked; undefined = there is none. Rejects as `fetch` */
  signature(wanted: Wanted, signal: AbortSignal): Promise<string | undefined>;
  /** @returns versions that are there, at most a thousand, in any order; undefined = the location names one package */
  versions(wanted: Omit<Wanted, "version">, signal: AbortSignal): Promise<readonly string[] | undefined>;
  /** @returns all that is there, at most a thousand, in any order. Rejects as `fetch` */
  list(location: string, signal: AbortSignal): Promise<readonly Listed[]>;
}

export type Scheme = "file" | "redis" | "https" | "oci";

/** By the scheme of their locations; one that is missing is not to be had here. */
export type PackageSources = Readonly<Partial<Record<Scheme, PackageSource>>>;

export const maxVersions = 1_000;
/** Longest signature that is read. */
export const maxSignatureBytes = 16_384;

/** @returns name and version of `geo@1.2.0`; undefined = it is none */
export function namedVersion(text: string): { name: string; version: string } | undefined {
  const at = text.indexOf("@");
  return at < 1 ? undefined : { name: text.slice(0, at), version: text.slice(at + 1) };
}

/** Names that the package may have, among others of a place. */
export const namesOf = ({ name, replaces }: Pick<Wanted, "name" | "replaces">): string[] =>
  replaces === undefined ? [name] : [name, replaces];

/** Of a package among others, in a folder or in Redis. */
export const versionedName = (name: string, version: string): string => `${name}@${version}`;
