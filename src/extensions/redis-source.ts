// Reads packages from Redis, each under `plugin:<name>@<version>`, beside the policy that names them.
import type { Store } from "../plugin-api/store.ts";
import { StoreUnavailable } from "../plugin-api/store.ts";
import { maxPackageBytes } from "./package.ts";
import { PackageError, PackageUnavailable, quoted } from "./package-error.ts";
import {
  maxSignatureBytes,
  maxVersions,
  namedVersion,
  type PackageSource,
  versionedName,
  type Wanted,
} from "./source.ts";

export const packagePrefix = "plugin:";

/** A separate prefix: a suffix of the package's key could be part of another version. */
export const signatureKey = (name: string, version: string): string =>
  `plugin-signature:${versionedName(name, version)}`;

export const packageKey = (name: string, version: string): string =>
  `${packagePrefix}${versionedName(name, version)}`;

/** The commands that the source needs. */
export interface PackageRedis extends Pick<Store, "getBytes" | "scan"> {
  getPart(key: string, from: number, length: number, limitMs: number): Promise<Buffer>;
}

/**
 * Size of one read. Requests' commands wait behind it on the same connection, and Redis must buffer this much for every
 * sidecar of a fleet that fetches at the same time.
 */
const partBytes = 262_144;
/** Time limit of one read, over a slow line. */
const readMs = 5_000;

/** @param store undefined = there is no Redis */
export function createRedisSource(store: PackageRedis | undefined): PackageSource {
  return {
    async fetch(wanted, signal) {
      const { name, version } = one(wanted);
      if (store === undefined) throw noRedis();
      const key = packageKey(name, version);
      return await readParts(store, key, signal).catch(unavailable);
    },
    async signature(wanted) {
      const { name, version } = one(wanted);
      if (store === undefined) throw noRedis();
      const key = signatureKey(name, version);
      const bytes = await store.getBytes(key, readMs, maxSignatureBytes).catch(unavailable);
      return bytes === null || bytes.length > maxSignatureBytes ? undefined : bytes.toString("latin1").trim();
    },
    async versions({ location }) {
      const { name, version } = placeOf(location);
      if (version !== undefined) return undefined;
      if (store === undefined) throw noRedis();
      const keys = await store.scan(packageKey(name, ""), maxVersions).catch(unavailable);
      return keys.flatMap((key) => namedVersion(key.slice(packagePrefix.length))?.version ?? []);
    },
    async list(location) {
      if (store === undefined) throw noRedis();
      const only = location === "redis:" ? undefined : placeOf(location);
      const prefix = only === undefined ? packagePrefix : packageKey(only.name, only.version ?? "");
      const keys = await store.scan(prefix, maxVersions).catch(unavailable);
      return keys.flatMap((key) => {
        const named = namedVersion(key.slice(packagePrefix.length));
        return named === undefined ? [] : { ...named, location: `redis:${key}` };
      });
    },
  };
}

async function readParts(store: PackageRedis, key: string, signal: AbortSignal): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (let length = 0; ;) {
    if (signal.aborted) throw new PackageUnavailable(`Redis: ${quoted(key)} has not come in time`);
    const part = await store.getPart(key, length, partBytes, readMs);
    length += part.length;
    if (length === 0) throw new PackageUnavailable(`Redis has no ${quoted(key)}`);
    if (length > maxPackageBytes)
      throw new PackageError(`${quoted(key)} has more than ${maxPackageBytes} bytes, which are the most`);
    parts.push(part);
    // If the package changes between two reads, the digest check finds the mix.
    if (part.length < partBytes) return Buffer.concat(parts, length);
  }
}

function one({ location, version }: Wanted): { name: string; version: string } {
  const { name, version: written = version } = placeOf(location);
  if (written === undefined)
    throw new PackageError(`${quoted(location)} says no version: give version, or ${location}@<version>`);
  return { name, version: written };
}

/** Parses `redis:plugin:<name>` or `redis:plugin:<name>@<version>`. */
function placeOf(location: string): { name: string; version: string | undefined } {
  const match = /^redis:plugin:([a-z][a-z0-9-]{0,62})(?:@([0-9A-Za-z.+-]{1,64}))?$/.exec(location);
  if (match === null)
    throw new PackageError(`${quoted(location)} is not redis:plugin:<name> or redis:plugin:<name>@<version>`);
  return { name: match[1] as string, version: match[2] };
}

const noRedis = (): PackageError => new PackageError("is in Redis, and REDIS_URL is not set");

function unavailable(error: unknown): never {
  if (!(error instanceof StoreUnavailable)) throw error;
  throw new PackageUnavailable(`Redis: ${error.message}`);
}
