// Runs `outrigger plugin sign FILE --key KEY`: signs a package, into FILE.sig.
import { dirname } from "node:path";
import { readPackageFile } from "../extensions/file-source.ts";
import { PackageError } from "../extensions/package-error.ts";
import { writeAtomically } from "../files/atomic-file.ts";
import { parseDuration } from "../language/duration.ts";
import { signPackage } from "../plane/package-signature.ts";
import { readSigningKey } from "../plane/private-key.ts";
import { printJson } from "./json-text.ts";
import type { Terminal } from "./terminal.ts";
import { packageIn, withPackages, WrongArgument } from "./with-packages.ts";

export interface SignOptions {
  readonly key: string;
  readonly expires?: string;
  readonly as?: string;
  readonly json?: true;
}

/** World-readable: another user may publish or inspect the package. */
const readable = 0o644;

/** Throws ConfigError. @returns the exit code */
export async function signPluginFile(
  terminal: Terminal,
  file: string,
  options: SignOptions,
): Promise<number> {
  return await withPackages(terminal, "none", async () => {
    const lifetimeMs = options.expires === undefined ? undefined : parseDuration(options.expires);
    if (options.expires !== undefined && (lifetimeMs === undefined || lifetimeMs === 0))
      throw new WrongArgument("--expires takes a length of time such as 90d, 24h or 30m");
    const found = packageIn(await readPackageFile(file), options.as);
    const key = await readSigningKey(options.key);
    const nowMs = Date.now();
    const exp = lifetimeMs === undefined ? undefined : Math.floor((nowMs + lifetimeMs) / 1000);
    const signature = await signPackage(found, key, { nowMs, exp });
    const signatureFile = `${file}.sig`;
    await writeAtomically(dirname(file), signatureFile, `${signature}\n`, readable).catch(
      (error: NodeJS.ErrnoException) => {
        throw new PackageError(`${signatureFile} cannot be written: ${error.code}`);
      },
    );
    const { name, version } = found.manifest;
    if (options.json)
      printJson(terminal, { file: signatureFile, name, version, sha256: found.sha256, kid: key.kid });
    else terminal.out(`${signatureFile}: ${name}@${version} signed by ${key.kid}\n`);
    return 0;
  });
}
