// Gets the packages of a policy's extensions: from memory, from disk, or from the source in the policy. Bytes are only
// parsed if their digest is the one that the policy pins.
import { textOf } from "../plugin-api/error-text.ts";
import { OverLimit, unlessAborted, withinLimit } from "../plugin-api/within-limit.ts";
import { Slices } from "../v8/slices.ts";
import type { ExtensionEntry } from "./entry.ts";
import type { CheckDisk } from "../files/check-disk.ts";
import { KeptPackages, maxKeptBytes } from "./kept.ts";
import type { Package } from "./manifest.ts";
import { carriesManifest, digestOf, readPackage } from "./package.ts";
import { PackageError, PackageUnavailable, quoted } from "./package-error.ts";
import { checkPlace, checkRights, isOfFolder, type RightsGiver } from "./rights.ts";
import type { PackageSource, PackageSources, Scheme, Wanted } from "./source.ts";
import { exactly, isWithin, versionWanted } from "./version-wanted.ts";

export type Entries = Readonly<Record<string, ExtensionEntry>>;
export type Packages = ReadonlyMap<string, Package>;

/** Why an extension's package is not available. */
export interface PackageProblem {
  /** Name of the extension; undefined = the problem is about all of them together. */
  readonly name: string | undefined;
  /** The field at fault: `sha256`, `source`, … */
  readonly field: string | undefined;
  /** What is wrong, without the extension's name. */
  readonly message: string;
  /** Whether a later try of the same policy may succeed: the place was unreachable, or had no or other bytes. */
  readonly transient: boolean;
}

/** At least one package is not available; `problems` has one entry for each. */
export class PackagesRefused extends Error {
  override readonly name = "PackagesRefused";
  readonly problems: readonly PackageProblem[];

  constructor(problems: readonly PackageProblem[]) {
    super(
      problems.map(({ name, message }) => (name === undefined ? message : `${name}: ${message}`)).join("; "),
    );
    this.problems = problems;
  }

  /** Whether a later try may succeed: no problem needs another policy. */
  get transient(): boolean {
    return this.problems.every(({ transient }) => transient);
  }
}

export interface PackageStoreOptions {
  readonly sources: PackageSources;
  /** Where packages are kept by digest; undefined = nowhere, for a command that only reads. */
  readonly dir: string | undefined;
  readonly onTrouble: (message: string) => void;
  /** Default: `policies`, for callers whose policies all come from the operator. */
  readonly rightsBy?: RightsGiver;
  /** Longest time for all packages of a policy together, in milliseconds. */
  readonly limitMs?: number;
  readonly maxKeptBytes?: number;
  /** Bound on all packages of a policy together. */
  readonly maxBytes?: number;
  readonly checkDisk?: CheckDisk | undefined;
  /** `retryMs` of `KeptOptions`. */
  readonly retryKeepingMs?: number;
}

const maxExtensions = 64;
/** Packages fetched at the same time: bounds memory to four packages of the largest size. */
const atOnce = 4;
const defaultLimitMs = 30_000;

export class PackageStore {
  readonly #sources: PackageSources;
  readonly #kept: KeptPackages | undefined;
  readonly #limitMs: number;
  readonly #maxBytes: number;
  readonly #rightsBy: RightsGiver;
  /** Bytes by digest: of the last policy asked for, and of the one before it. */
  #known = new Map<string, Buffer>();
  #before = new Map<string, Buffer>();

  constructor({
    sources,
    dir,
    onTrouble,
    rightsBy = "policies",
    limitMs = defaultLimitMs,
    maxKeptBytes: keptBytes = maxKeptBytes,
    maxBytes = maxKeptBytes,
    checkDisk,
    retryKeepingMs: retryMs,
  }: PackageStoreOptions) {
    this.#sources = sources;
    this.#kept =
      dir === undefined
        ? undefined
        : new KeptPackages({ dir, maxBytes: keptBytes, onTrouble, checkDisk, retryMs });
    this.#limitMs = limitMs;
    this.#maxBytes = maxBytes;
    this.#rightsBy = rightsBy;
  }

  /**
   * The packages of all these extensions. Rejects with PackagesRefused, or with the signal's reason. Settles within the
   * time limit.
   */
  async packages(entries: Entries, signal?: AbortSignal): Promise<Packages> {
    const all = Object.entries(entries);
    if (all.length > maxExtensions)
      throw new PackagesRefused([ofAll(`${all.length} extensions are more than ${maxExtensions}`)]);
    const pinned = new Set(all.flatMap(([, { sha256 }]) => sha256 ?? []));
    const deadline = new Deadline(this.#limitMs, signal);
    const found = new Map<string, Package>();
    const problems: PackageProblem[] = [];
    const bytes = new Map<string, Buffer>();
    const fetched = new Map<string, Buffer>();
    let total = 0;
    const slices = new Slices();
    const takeNext = async (): Promise<void> => {
      // Past the bound the remaining packages are not fetched.
      for (let next = all.shift(); next !== undefined && total <= this.#maxBytes; next = all.shift()) {
        const [name, entry] = next;
        try {
          if (slices.over) await slices.next();
          const one = await this.#packageOf(name, entry, deadline, fetched);
          found.set(name, one);
          if (!bytes.has(one.sha256)) total += one.bytes.length;
          bytes.set(one.sha256, one.bytes);
        } catch (error) {
          problems.push(problemOf(name, error));
        }
      }
    };
    await Promise.all(Array.from({ length: atOnce }, takeNext));
    signal?.throwIfAborted();
    if (total > this.#maxBytes)
      throw new PackagesRefused([
        ofAll(`the packages have ${total} bytes and more, and ${this.#maxBytes} are the most`),
      ]);
    for (const [sha256, own] of fetched) await this.#kept?.write(sha256, own, pinned);
    if (problems.length > 0) throw new PackagesRefused(problems);
    this.#before = this.#known;
    this.#known = bytes;
    await this.#kept?.use(pinned);
    return new Map(Object.keys(entries).map((name) => [name, found.get(name) as Package]));
  }

  /**
   * The package that an entry stands for, as `policy apply` pins it: the highest version in its range, or the one that
   * the location names. Rejects with PackagesRefused.
   * @param entry its `sha256`, if any, is ignored
   */
  async resolve(name: string, entry: ExtensionEntry): Promise<Package> {
    const deadline = new Deadline(this.#limitMs);
    try {
      const source = this.#sourceOf(entry);
      const version = await deadline.within(versionWanted(source, name, entry, deadline.signal));
      const bytes = await deadline.within(source.fetch(wantedOf(name, entry, version), deadline.signal));
      // If there were several versions, the package must have the chosen one.
      return parsed(name, version === undefined ? entry : { ...entry, version }, bytes);
    } catch (error) {
      throw new PackagesRefused([problemOf(name, error)]);
    }
  }

  /**
   * The signature beside the package that `resolve` found, unverified; undefined = there is none. Rejects with
   * PackagesRefused.
   */
  async signatureOf(name: string, entry: ExtensionEntry, found: Package): Promise<string | undefined> {
    const deadline = new Deadline(this.#limitMs);
    try {
      const version = exactly(entry.version) ?? found.manifest.version;
      const wanted = wantedOf(name, entry, version);
      return await deadline.within(this.#sourceOf(entry).signature(wanted, deadline.signal));
    } catch (error) {
      throw new PackagesRefused([problemOf(name, error)]);
    }
  }

  async #packageOf(
    name: string,
    entry: ExtensionEntry,
    deadline: Deadline,
    fetched: Map<string, Buffer>,
  ): Promise<Package> {
    const { sha256 } = entry;
    if (sha256 === undefined)
      throw new PackageError(`is missing: run "outrigger policy apply", which fills it in`, "sha256");
    checkPlace(this.#rightsBy, entry);
    const isLocal = isOfFolder(this.#rightsBy, entry);
    const known = isLocal ? undefined : await this.#knownBytes(sha256);
    if (known !== undefined) return this.#entitled(entry, parsed(name, entry, known));
    const source = this.#sourceOf(entry);
    const wanted = wantedOf(name, entry, exactly(entry.version));
    const bytes = await deadline.within(source.fetch(wanted, deadline.signal)).catch(asUnavailable);
    // Without the actual digest: whoever can name a local file here could confirm its content with it.
    if (digestOf(bytes) !== sha256)
      throw new PackageUnavailable(`${quoted(entry.source)} is not what the policy pins (SHA-256 ${sha256})`);
    const one = this.#entitled(entry, parsed(name, entry, bytes));
    if (!isLocal) fetched.set(sha256, bytes);
    return one;
  }

  async #knownBytes(sha256: string): Promise<Buffer | undefined> {
    return this.#known.get(sha256) ?? this.#before.get(sha256) ?? (await this.#kept?.read(sha256));
  }

  /** @throws PackageError */
  #entitled(entry: ExtensionEntry, found: Package): Package {
    checkRights(this.#rightsBy, entry, found.manifest);
    return found;
  }

  #sourceOf({ source }: ExtensionEntry): PackageSource {
    const scheme = source.slice(0, source.indexOf(":")) as Scheme;
    const found = Object.hasOwn(this.#sources, scheme) ? this.#sources[scheme] : undefined;
    if (found === undefined) throw new PackageError(`nothing is taken from ${scheme}: here`, "source");
    return found;
  }
}

const wantedOf = (
  name: string,
  { source: location, replaces }: ExtensionEntry,
  version: string | undefined,
): Wanted => ({ name, replaces, location, version });

const runtimeKinds = { wasm: "wasm", process: "js", trusted: "js" } as const;

/** @throws PackageError */
function parsed(name: string, entry: ExtensionEntry, bytes: Buffer): Package {
  const { version, runtime, manifest, replaces } = entry;
  const found = readPackage(bytes, { name, replaces, version: exactly(version), manifest });
  if (runtimeKinds[runtime] !== found.kind) {
    const what = found.kind === "wasm" ? "a WebAssembly module" : "JavaScript";
    throw new PackageError(`is ${quoted(runtime)}, and the package is ${what}`, "runtime");
  }
  if (version !== undefined && !isWithin(version, found.manifest.version) && carriesManifest(bytes))
    throw new PackageError(`is ${quoted(version)}, and the package is ${found.manifest.version}`, "version");
  return found;
}

/** The time limit of a whole policy. */
class Deadline {
  /** Aborts work that listens to it. */
  readonly signal: AbortSignal;
  readonly #ended: AbortSignal | undefined;
  readonly #limitMs: number;
  readonly #endAt: number;

  constructor(limitMs: number, ended?: AbortSignal) {
    this.#limitMs = limitMs;
    this.#ended = ended;
    this.#endAt = performance.now() + limitMs;
    const late = AbortSignal.timeout(limitMs);
    this.signal = ended === undefined ? late : AbortSignal.any([late, ended]);
  }

  /** Also ends work that does not listen to the signal. */
  async within<Result>(work: Promise<Result>): Promise<Result> {
    try {
      const leftMs = Math.max(1, this.#endAt - performance.now());
      return await withinLimit(unlessAborted(work, this.#ended), leftMs, "");
    } catch (error) {
      if (!(error instanceof OverLimit) && !this.signal.aborted) throw error;
      throw new PackageUnavailable(`no package within ${this.#limitMs} ms`);
    }
  }
}

/** The digest is pinned, so any error of the place may pass: the place may have the right bytes later. */
function asUnavailable(error: unknown): never {
  throw error instanceof PackageError ? new PackageUnavailable(error.message) : error;
}

const ofAll = (message: string): PackageProblem => ({
  name: undefined,
  field: undefined,
  message,
  transient: false,
});

function problemOf(name: string, error: unknown): PackageProblem {
  if (error instanceof PackageError)
    return { name, field: error.field, message: error.message, transient: false };
  return { name, field: "source", message: textOf(error), transient: true };
}
