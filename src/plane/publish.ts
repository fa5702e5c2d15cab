// Publishes packages where sidecars find them, and removes them. The bytes of a version never change: other bytes need
// another version.
import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { namedFiles, readPackageFile } from "../extensions/file-source.ts";
import type { HostClient } from "../extensions/host-client.ts";
import type { Package } from "../extensions/manifest.ts";
import { pushPackage } from "../extensions/oci-push.ts";
import { ociPlaceOf } from "../extensions/oci-source.ts";
import { digestOf, maxPackageBytes } from "../extensions/package.ts";
import { PackageError, PackageUnavailable, quoted } from "../extensions/package-error.ts";
import { packageKey, signatureKey } from "../extensions/redis-source.ts";
import { versionedName } from "../extensions/source.ts";
import { writeAtomically } from "../files/atomic-file.ts";
import { makeFolder } from "../files/make-folder.ts";
import type { Store } from "../plugin-api/store.ts";

export interface Publication {
  readonly package: Package;
  /** The signature to store beside the package. */
  readonly signature: string | undefined;
}

export interface Published {
  /** The `source` with which a policy names the package, in any version. */
  readonly source: string;
  /** The location of these bytes. */
  readonly location: string;
  /** Whether the same bytes were there already. */
  readonly unchanged: boolean;
}

const limitMs = 60_000;
/** The sidecar may run as another user. */
const readable = 0o644;

const taken = (where: string, sha256: string): PackageError =>
  new PackageError(`${where} is there with other bytes (SHA-256 ${sha256}): give it another version`);

/** Rejects with PackageError when the version exists with other bytes, or with StoreUnavailable. */
export async function publishToRedis(
  store: Store,
  { package: found, signature }: Publication,
): Promise<Published> {
  const { name, version } = found.manifest;
  const key = packageKey(name, version);
  const isNew = await store.set(key, found.bytes, { ifAbsent: true, limitMs });
  if (!isNew) {
    const there = digestOf((await store.getBytes(key, limitMs, maxPackageBytes)) ?? Buffer.alloc(0));
    if (there !== found.sha256) throw taken(quoted(key), there);
  }
  if (signature !== undefined) await store.set(signatureKey(name, version), signature, { limitMs });
  return { source: `redis:plugin:${name}`, location: `redis:${key}`, unchanged: !isNew };
}

/** @param folder created if missing. Rejects with PackageError or PackageUnavailable */
export async function publishToFolder(
  folder: string,
  { package: found, signature }: Publication,
): Promise<Published> {
  const { name, version } = found.manifest;
  const path = join(folder, `${versionedName(name, version)}${found.kind === "wasm" ? ".wasm" : ".cjs"}`);
  let unchanged = false;
  for (const each of namedFiles(folder, name, version)) {
    const there = await bytesAt(each);
    if (there === undefined) continue;
    if (digestOf(there) !== found.sha256) throw taken(quoted(each), digestOf(there));
    unchanged = true;
  }
  try {
    await makeFolder(folder);
    if (!unchanged) await writeAtomically(dirname(path), path, found.bytes, readable);
    if (signature !== undefined) await writeAtomically(folder, `${path}.sig`, `${signature}\n`, readable);
  } catch (error) {
    throw new PackageUnavailable(
      `${quoted(path)} cannot be written: ${(error as NodeJS.ErrnoException).code ?? "?"}`,
    );
  }
  return { source: `file:${folder}`, location: `file:${path}`, unchanged };
}

/** @param location `oci://host/repository`; a tag in it replaces the version */
export async function publishToRegistry(
  client: HostClient,
  location: string,
  { package: found, signature }: Publication,
): Promise<Published> {
  const { registry, repository, reference } = ociPlaceOf(location);
  if (reference?.startsWith("sha256:"))
    throw new PackageError("a digest is no place to publish to: give a tag, or none");
  const tag = reference ?? found.manifest.version;
  const place = { registry, repository, tag };
  const unchanged = await pushPackage(client, place, found, signature, AbortSignal.timeout(limitMs));
  const source = `oci://${registry}/${repository}`;
  return { source, location: `${source}:${tag}`, unchanged };
}

async function bytesAt(path: string): Promise<Buffer | undefined> {
  try {
    return await readPackageFile(path);
  } catch (error) {
    if (error instanceof PackageUnavailable && error.cause === "ENOENT") return undefined;
    throw error;
  }
}

/** @returns whether the package was there. Rejects with StoreUnavailable */
export async function removeFromRedis(store: Store, name: string, version: string): Promise<boolean> {
  const removed = await store.delete(packageKey(name, version));
  await store.delete(signatureKey(name, version));
  return removed > 0;
}

/** @returns whether the package was there. Rejects with PackageError or PackageUnavailable */
export async function removeFromFolder(folder: string, name: string, version: string): Promise<boolean> {
  let wasThere = false;
  for (const path of namedFiles(folder, name, version)) {
    if ((await bytesAt(path)) === undefined) continue;
    wasThere = true;
    for (const each of [path, `${path}.sig`])
      await rm(each, { force: true }).catch((error: NodeJS.ErrnoException) => {
        throw new PackageUnavailable(`${quoted(each)} cannot be removed: ${error.code}`);
      });
  }
  return wasThere;
}
