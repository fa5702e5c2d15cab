// Finds the packages of policies for one command, in the same places as a sidecar in this environment. An extension
// that is not pinned is resolved as `policy apply` would pin it.
import { createPackageStore } from "../app/extensions.ts";
import type { Config } from "../config/config.ts";
import type { Package } from "../extensions/manifest.ts";
import {
  type Entries,
  type PackageProblem,
  PackagesRefused,
  type PackageStore,
} from "../extensions/package-store.ts";
import { StoreUnavailable } from "../plugin-api/store.ts";
import type { PackageRedis } from "../extensions/redis-source.ts";
import type { FindPackages } from "../policy/extensions/resolve.ts";
import { createStore, type RedisStore } from "../redis/store.ts";

const connectMs = 3_000;

export class PolicyPackages {
  readonly store: PackageStore;
  /** By the extension's name and the digest; without a digest, by name and entry. */
  readonly #found = new Map<string, Package>();

  /**
   * @param redis absent = there is none
   * @param asSidecar whether to refuse rights and secrets as a sidecar in this environment would. Else packages may
   * have all, because the policy's sidecars may have other settings
   */
  constructor(config: Config, redis: PackageRedis | undefined, asSidecar = false) {
    // A command keeps nothing on disk, and reports missing packages itself.
    const settings = { ...config, stateDir: undefined, redis: asSidecar ? config.redis : undefined };
    this.store = createPackageStore(settings, redis, () => {});
  }

  /** Remembers a package that was found for an entry and is pinned now. */
  note(name: string, found: Package): void {
    this.#found.set(`${name} ${found.sha256}`, found);
  }

  readonly find: FindPackages = async (entries, signal) => {
    const found = new Map<string, Package>();
    const pinned: Record<string, Entries[string]> = {};
    const problems: PackageProblem[] = [];
    for (const [name, entry] of Object.entries(entries)) {
      const key = `${name} ${entry.sha256 ?? JSON.stringify(entry)}`;
      const known = this.#found.get(key);
      if (known !== undefined) found.set(name, known);
      else if (entry.sha256 !== undefined) pinned[name] = entry;
      else {
        const one = await this.store.resolve(name, entry).catch(noteIn(problems));
        if (one === undefined) continue;
        found.set(name, one);
        this.#found.set(key, one);
      }
    }
    const others = await this.store.packages(pinned, signal).catch(noteIn(problems));
    if (problems.length > 0) throw new PackagesRefused(problems);
    return new Map([...found, ...(others ?? [])]);
  };
}

function noteIn(problems: PackageProblem[]): (error: unknown) => undefined {
  return (error) => {
    if (!(error instanceof PackagesRefused)) throw error;
    problems.push(...error.problems);
  };
}

/** Opens Redis only when a package is stored there: policies whose packages are files are checked without Redis. */
export async function withPolicyPackages<Result>(
  config: Config,
  work: (packages: PolicyPackages) => Promise<Result>,
  asSidecar = false,
): Promise<Result> {
  const { redis: address, keyPrefix } = config;
  let store: RedisStore | undefined;
  const open = async (): Promise<RedisStore> => {
    if (address === undefined) throw new StoreUnavailable("REDIS_URL is not set");
    store ??= createStore({ address, keyPrefix, connectionName: "outrigger-policy" });
    await store.whenUp(connectMs);
    return store;
  };
  const redis: PackageRedis = {
    getPart: async (...args) => (await open()).getPart(...args),
    getBytes: async (...args) => (await open()).getBytes(...args),
    scan: async (...args) => (await open()).scan(...args),
  };
  try {
    const there = address === undefined ? undefined : redis;
    return await work(new PolicyPackages(config, there, asSidecar));
  } finally {
    store?.close();
  }
}
