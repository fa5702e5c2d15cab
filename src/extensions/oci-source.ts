// Reads packages from an OCI registry: `oci://host/repository:tag`, or `@sha256:…`. The package is the manifest's first
// layer, unchanged; a version is a tag; a signature is an annotation of the manifest.
import type { HostClient } from "./host-client.ts";
import { OciRepository } from "./oci-registry.ts";
import { maxPackageBytes } from "./package.ts";
import { PackageError, quoted } from "./package-error.ts";
import { type Listed, maxVersions, type PackageSource, type Wanted } from "./source.ts";

export const signatureAnnotation = "io.outrigger.signature";

export interface OciPlace {
  readonly registry: string;
  readonly repository: string;
  /** A tag or a digest. */
  readonly reference: string | undefined;
}

const pathPart = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*";
const shape = new RegExp(
  `^oci://([A-Za-z0-9.-]{1,253}(?::\\d{1,5})?|\\[[0-9a-fA-F:]{2,45}\\](?::\\d{1,5})?)/(${pathPart}(?:/${pathPart})*)` +
    "(?::([A-Za-z0-9_][A-Za-z0-9._-]{0,127})|@(sha256:[0-9a-f]{64}))?$",
);

/** @throws PackageError */
export function ociPlaceOf(location: string): OciPlace {
  const match = location.length > 1_024 ? null : shape.exec(location);
  if (match === null)
    throw new PackageError(
      `${quoted(location)} is not oci://host/repository, with or without :tag or @sha256:…`,
    );
  const [, registry = "", repository = "", tag, digest] = match;
  return { registry, repository, reference: tag ?? digest };
}

export function createOciSource(client: HostClient): PackageSource {
  const open = (wanted: Wanted, signal: AbortSignal): { repository: OciRepository; reference: string } => {
    const place = ociPlaceOf(wanted.location);
    const reference = place.reference ?? wanted.version;
    if (reference === undefined)
      throw new PackageError(
        `${quoted(wanted.location)} has no tag: give version, or ${wanted.location}:<tag>`,
      );
    return { repository: new OciRepository(client, place, signal), reference };
  };
  return {
    async fetch(wanted, signal) {
      const { repository, reference } = open(wanted, signal);
      const [layer] = (await repository.manifest(reference)).manifest.layers;
      if (layer === undefined || layer.size > maxPackageBytes)
        throw new PackageError(
          `${quoted(wanted.location)} has a layer of ${layer?.size} bytes, and ${maxPackageBytes} are the most`,
        );
      return await repository.blob(layer.digest, maxPackageBytes);
    },
    async signature(wanted, signal) {
      const { repository, reference } = open(wanted, signal);
      const { annotations } = (await repository.manifest(reference)).manifest;
      return Object.hasOwn(annotations, signatureAnnotation) ? annotations[signatureAnnotation] : undefined;
    },
    async versions({ location }, signal) {
      const place = ociPlaceOf(location);
      if (place.reference !== undefined) return undefined;
      return await new OciRepository(client, place, signal).tags();
    },
    list: async (location, signal) => await listed(client, location, signal),
  };
}

/** Most repositories whose tags are listed. */
const maxRepositories = 100;

/** Lists the tags of one repository, or of all repositories of a registry (`oci://host`, `oci://host/teams/`). */
async function listed(client: HostClient, location: string, signal: AbortSignal): Promise<Listed[]> {
  const whole = /^oci:\/\/([^/]+)(?:\/(.*\/)?)?$/.exec(location);
  const within = whole?.[2] ?? "";
  const { registry, repository } = ociPlaceOf(whole === null ? location : `oci://${whole[1]}/catalog`);
  const names =
    whole === null
      ? [repository]
      : (await new OciRepository(client, { registry, repository }, signal).repositories())
          .filter((name) => name.startsWith(within))
          .slice(0, maxRepositories);
  const found: Listed[] = [];
  for (const name of names) {
    const place = `oci://${registry}/${name}`;
    const tags = await new OciRepository(client, ociPlaceOf(place), signal).tags();
    for (const tag of tags)
      found.push({
        name: name.split("/").at(-1) ?? name,
        version: tag,
        location: `${place}:${tag}`,
      });
  }
  return found.slice(0, maxVersions);
}
