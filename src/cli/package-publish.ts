// Runs `outrigger plugin publish FILE`: puts a package, with its signature, where sidecars find it.
import { readPackageFile, readSignatureFile } from "../extensions/file-source.ts";
import type { Package } from "../extensions/manifest.ts";
import { PackageError } from "../extensions/package-error.ts";
import { digestIn, signPackage } from "../plane/package-signature.ts";
import { readSigningKey } from "../plane/private-key.ts";
import {
  publishToFolder,
  publishToRedis,
  publishToRegistry,
  type Publication,
  type Published,
} from "../plane/publish.ts";
import { printJson } from "./json-text.ts";
import { printable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import {
  locationOf,
  packageIn,
  type PackagePlaces,
  redisFor,
  withPackages,
  WrongArgument,
} from "./with-packages.ts";

export interface PublishOptions {
  readonly to: string;
  readonly key?: string;
  readonly as?: string;
  readonly json?: true;
}

/** Throws ConfigError. @returns the exit code */
export async function publishPlugin(
  terminal: Terminal,
  file: string,
  options: PublishOptions,
): Promise<number> {
  const isRedis = options.to === "redis:";
  return await withPackages(terminal, isRedis ? redisFor(options.to) : "none", async (places) => {
    const location = locationOf(options.to);
    const found = packageIn(await readPackageFile(file), options.as);
    const signature = await signatureFor(found, file, options);
    if (signature === undefined && places.config.policyKeys !== undefined)
      terminal.err(
        `${printable(file)} is not signed: "outrigger policy apply" with OUTRIGGER_POLICY_KEYS refuses it\n`,
      );
    const published = await publish(places, location, { package: found, signature });
    tell(terminal, found, published, options.json === true);
    return 0;
  });
}

/** Signs with the given key, else takes the signature that `plugin sign` left beside the file. */
async function signatureFor(
  found: Package,
  file: string,
  { key }: PublishOptions,
): Promise<string | undefined> {
  if (key !== undefined) return await signPackage(found, await readSigningKey(key), { nowMs: Date.now() });
  const signature = await readSignatureFile(file);
  if (signature === undefined || digestIn(signature) === found.sha256) return signature;
  throw new PackageError(`${file}.sig is over other bytes than ${file}: sign it again`);
}

async function publish(
  { store, client }: PackagePlaces,
  location: string,
  publication: Publication,
): Promise<Published> {
  if (location.startsWith("file:")) return await publishToFolder(location.slice("file:".length), publication);
  if (location.startsWith("oci:")) return await publishToRegistry(client, location, publication);
  if (store !== undefined) return await publishToRedis(store, publication);
  throw new WrongArgument("--to takes redis:, file:FOLDER or oci://host/repository");
}

function tell(
  terminal: Terminal,
  found: Package,
  { source, location, unchanged }: Published,
  json: boolean,
): void {
  const { manifest, kind, sha256, bytes } = found;
  const { name, version } = manifest;
  if (json)
    return printJson(terminal, { name, version, source, location, sha256, bytes: bytes.length, unchanged });
  const runtime = kind === "wasm" ? "wasm" : "process";
  const entry = { source, version, sha256, runtime };
  terminal.out(`${printable(location)}: ${unchanged ? "is there already" : `${bytes.length} bytes`}\n`);
  terminal.out(`in a policy:\nextensions:\n  ${name}: ${printable(JSON.stringify(entry))}\n`);
}
