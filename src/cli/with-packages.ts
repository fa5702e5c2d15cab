// Opens the places of packages for one command, and reports errors in one line.
import { resolve } from "node:path";
import { loadConfig } from "../app/environment.ts";
import type { Config } from "../config/config.ts";
import { HostClient } from "../extensions/host-client.ts";
import { openPackage } from "../extensions/package.ts";
import type { Package } from "../extensions/manifest.ts";
import { PackageError, PackageUnavailable, quoted } from "../extensions/package-error.ts";
import { createSources } from "../extensions/sources.ts";
import { namedVersion, type PackageSource, type PackageSources, type Scheme } from "../extensions/source.ts";
import { PackError } from "../plane/pack/pack-error.ts";
import { KeyFileRefusal } from "../plane/private-key.ts";
import { createTrust } from "../policy/read.ts";
import type { VerifyKey } from "../policy/signature/verify-keys.ts";
import type { RedisStore } from "../redis/store.ts";
import { askedTrust } from "./plane-trust.ts";
import { printableLines } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { withStore } from "./with-store.ts";

export interface PackagePlaces {
  readonly config: Config;
  /** Absent when the command works without Redis. */
  readonly store: RedisStore | undefined;
  readonly sources: PackageSources;
  readonly client: HostClient;
}

/** Whether a command needs Redis, uses it when REDIS_URL is set, or works without it. */
export type RedisUse = "needed" | "if set" | "none";

/**
 * Throws ConfigError.
 * @param work does the command's part and resolves with the exit code
 * @returns the exit code of `work`; 1 when it is refused or a place cannot be reached, 2 for a wrong argument
 */
export async function withPackages(
  terminal: Terminal,
  redis: RedisUse,
  work: (places: PackagePlaces) => Promise<number>,
): Promise<number> {
  const config = loadConfig(terminal.env);
  const open = async (store: RedisStore | undefined): Promise<number> => {
    const { pluginHosts } = config;
    // No folder limit here: the user who types a path may read what it names.
    const sources = createSources({ pluginDir: undefined, pluginHosts }, store);
    try {
      return await work({ config, store, sources, client: new HostClient({ hosts: pluginHosts }) });
    } catch (error) {
      if (!isTold(error)) throw error;
      terminal.err(`${printableLines(error.message)}\n`);
      return error instanceof WrongArgument ? 2 : 1;
    }
  };
  if (redis === "none" || (redis === "if set" && config.redis === undefined)) return await open(undefined);
  const because = "packages that are named without a place are in Redis";
  return await withStore(terminal, config, { name: "plugin", because }, open);
}

/** An argument without a valid meaning; the message says what would be valid. */
export class WrongArgument extends Error {
  override readonly name = "WrongArgument";
}

const told = [PackageError, PackageUnavailable, PackError, KeyFileRefusal, WrongArgument];
const isTold = (error: unknown): error is Error => told.some((kind) => error instanceof kind);

/** @returns the place in the form that sources take, with relative paths resolved. @throws WrongArgument */
export function locationOf(text: string): string {
  if (text.startsWith("file:")) return `file:${resolve(text.slice("file:".length))}`;
  if (/^(redis:$|https:\/\/.|oci:\/\/.)/.test(text)) return text;
  throw new WrongArgument(
    `${quoted(text)} is no place: redis:, file:FOLDER, https://…/index.json or oci://…`,
  );
}

export function sourceOf({ sources }: Pick<PackagePlaces, "sources">, location: string): PackageSource {
  const found = sources[location.slice(0, location.indexOf(":")) as Scheme];
  if (found === undefined) throw new WrongArgument(`${quoted(location)} is no place of packages`);
  return found;
}

export const redisFor = (location: string): RedisUse => (location === "redis:" ? "needed" : "if set");

/** @throws WrongArgument */
export function versionedOf(text: string): { name: string; version: string } {
  const found = namedVersion(text);
  if (found !== undefined && /^[a-z][a-z0-9-]{0,62}$/.test(found.name) && found.version !== "") return found;
  throw new WrongArgument(`${quoted(text)} is not NAME@VERSION`);
}

/**
 * @param as name and version for a module without a manifest, which the policy will state.
 * @throws PackageError or WrongArgument
 */
export function packageIn(bytes: Buffer, as: string | undefined): Package {
  return openPackage(bytes, as === undefined ? undefined : versionedOf(as));
}

/** The keys whose signatures are accepted here; undefined = no signature is required. */
export async function trustFor({ config, store }: PackagePlaces): Promise<readonly VerifyKey[] | undefined> {
  if (config.policyKeys === undefined) return undefined;
  if (store !== undefined) return await askedTrust({ config, store });
  return (await (await createTrust(config.policyKeys))([])).keys;
}
