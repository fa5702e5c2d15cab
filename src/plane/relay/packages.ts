// Relays packages in Redis that a policy pins. They reach the target before the policy, each checked against its pinned
// digest.
import { digestOf, maxPackageBytes } from "../../extensions/package.ts";
import { PackageError, PackageUnavailable } from "../../extensions/package-error.ts";
import {
  createRedisSource,
  packageKey,
  type PackageRedis,
  signatureKey,
} from "../../extensions/redis-source.ts";
import { namedVersion } from "../../extensions/source.ts";
import type { Store } from "../../plugin-api/store.ts";
import type { PolicyShape } from "./documents.ts";

const limitMs = 60_000;
const maxPackages = 64;

export interface PackageEnds {
  readonly source: PackageRedis;
  readonly target: Store & PackageRedis;
}

/** @returns the number of packages brought, or why one cannot be. Rejects with StoreUnavailable */
export async function relayPackages(
  ends: PackageEnds,
  { extensions = {} }: PolicyShape,
): Promise<{ readonly brought: number } | { readonly message: string }> {
  const pins = Object.entries(extensions).filter(([, { source }]) => source.startsWith("redis:"));
  if (pins.length > maxPackages) return { message: `it names more than ${maxPackages} packages in Redis` };
  let brought = 0;
  for (const [name, { source, version, sha256 }] of pins) {
    // Without a pin it is unknown which bytes were meant.
    if (sha256 === undefined)
      return { message: `extensions.${name} has no sha256, so its package cannot be checked` };
    const full = source.slice("redis:plugin:".length);
    const named = namedVersion(full) ?? namedVersion(`${full}@${version ?? ""}`);
    if (named === undefined) return { message: `extensions.${name} names no single version in Redis` };
    try {
      if (await bring(ends, named, sha256)) brought += 1;
    } catch (error) {
      if (!(error instanceof PackageError || error instanceof PackageUnavailable)) throw error;
      return { message: `the package of extensions.${name}: ${error.message}` };
    }
  }
  return { brought };
}

/** @returns whether the package was missing in the target */
async function bring(
  { source, target }: PackageEnds,
  { name, version }: { readonly name: string; readonly version: string },
  sha256: string,
): Promise<boolean> {
  const key = packageKey(name, version);
  const there = await target.getBytes(key, limitMs, maxPackageBytes);
  if (there !== null && digestOf(there) === sha256) return false;
  const wanted = { name, location: `redis:${key}`, version };
  const packages = createRedisSource(source);
  const signal = AbortSignal.timeout(limitMs);
  const bytes = await packages.fetch(wanted, signal);
  if (digestOf(bytes) !== sha256)
    throw new PackageError(
      `the source has other bytes under ${key} than the policy pins (SHA-256 ${sha256})`,
    );
  await target.set(key, bytes, { limitMs });
  const signature = await packages.signature?.(wanted, signal);
  if (signature !== undefined) await target.set(signatureKey(name, version), signature, { limitMs });
  return true;
}
