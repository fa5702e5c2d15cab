// Pushes a package to an OCI registry: an artifact with the package as its only layer (OCI image specification 1.1,
// "guidelines for artifact usage"), tagged with the version.
import type { HostClient } from "./host-client.ts";
import { manifestType, OciRepository } from "./oci-registry.ts";
import { signatureAnnotation } from "./oci-source.ts";
import { digestOf } from "./package.ts";
import { PackageError, PackageUnavailable, quoted } from "./package-error.ts";
import type { Package } from "./manifest.ts";

const artifactType = "application/vnd.outrigger.plugin.v1";
const layerTypes = { wasm: "application/wasm", js: "text/javascript" } as const;
const empty = Buffer.from("{}");
const emptyType = "application/vnd.oci.empty.v1+json";
const maxAnswerBytes = 65_536;

export interface Push {
  readonly registry: string;
  readonly repository: string;
  readonly tag: string;
}

/**
 * Rejects with PackageError when the tag holds another package, with PackageUnavailable when the registry refuses.
 * @returns whether the package was already there
 */
export async function pushPackage(
  client: HostClient,
  place: Push,
  found: Package,
  signature: string | undefined,
  signal: AbortSignal,
): Promise<boolean> {
  const repository = new OciRepository(client, place, signal, "pull,push");
  const layer = `sha256:${found.sha256}`;
  const there = await layerAt(repository, place.tag);
  if (there !== undefined && there !== layer)
    throw new PackageError(
      `${quoted(`${place.repository}:${place.tag}`)} is there with other bytes (${there}): give it another version`,
    );
  // Without a new signature the existing one is kept.
  if (there === layer && signature === undefined) return true;
  for (const [digest, bytes] of [
    [layer, found.bytes],
    [`sha256:${digestOf(empty)}`, empty],
  ] as const)
    await upload(repository, digest, bytes);
  const url = repository.manifestUrl(place.tag);
  const body = Buffer.from(JSON.stringify(manifestOf(found, signature)));
  const fields = { "content-type": manifestType };
  const answer = await repository.send(url, { method: "PUT", fields, body, maxBytes: maxAnswerBytes });
  if (answer.status !== 201) throw refused(url, "the manifest", answer.status);
  return there !== undefined;
}

function manifestOf({ kind, bytes, sha256, manifest }: Package, signature: string | undefined): unknown {
  return {
    schemaVersion: 2,
    mediaType: manifestType,
    artifactType,
    config: { mediaType: emptyType, digest: `sha256:${digestOf(empty)}`, size: empty.length },
    layers: [{ mediaType: layerTypes[kind], digest: `sha256:${sha256}`, size: bytes.length }],
    annotations: {
      "org.opencontainers.image.title": manifest.name,
      "org.opencontainers.image.version": manifest.version,
      ...(signature === undefined ? {} : { [signatureAnnotation]: signature }),
    },
  };
}

async function layerAt(repository: OciRepository, tag: string): Promise<string | undefined> {
  const url = repository.manifestUrl(tag);
  const answer = await repository.send(url, { fields: { accept: manifestType }, maxBytes: maxAnswerBytes });
  if (answer.status === 404) return undefined;
  return (await repository.manifest(tag)).manifest.layers[0]?.digest;
}

async function upload(repository: OciRepository, digest: string, bytes: Buffer): Promise<void> {
  const there = await repository.send(repository.blobUrl(digest), { method: "HEAD", maxBytes: 0 });
  if (there.status === 200) return;
  const start = repository.uploads();
  const fields = { "content-type": "application/octet-stream" };
  const session = await repository.send(start, {
    method: "POST",
    body: Buffer.alloc(0),
    maxBytes: maxAnswerBytes,
  });
  const { location } = session.fields;
  const url = session.status === 202 && location !== undefined ? URL.parse(location, start) : null;
  if (url === null) throw refused(start, "an upload", session.status);
  url.searchParams.set("digest", digest);
  const answer = await repository.send(url, { method: "PUT", fields, body: bytes, maxBytes: maxAnswerBytes });
  if (answer.status !== 201) throw refused(url, digest, answer.status);
}

const refused = (url: URL, what: string, status: number): PackageUnavailable =>
  new PackageUnavailable(`${quoted(url.host)} answers ${status} and does not take ${what}`);
