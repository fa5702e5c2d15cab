// Runs `outrigger policy verify FILE`: tells whether a sidecar with these keys would accept a signed policy, and what
// it claims.
import { loadConfig } from "../app/environment.ts";
import { type Config, ConfigError } from "../config/config.ts";
import { textOf } from "../plugin-api/error-text.ts";
import { readPolicyFile } from "../policy/sources/file-source.ts";
import type { Claims } from "../policy/signature/jws.ts";
import { PolicyRefused, problemText } from "../policy/document/problems.ts";
import { openPolicy } from "../policy/signature/signature.ts";
import { importKeys, type VerifyKey } from "../policy/signature/verify-keys.ts";
import { configWithKeys } from "./config-with-keys.ts";
import { printable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { documentName } from "./with-plane.ts";

export interface VerifyOptions {
  readonly service?: string;
  readonly keys?: string;
  readonly json?: true;
}

/** Throws ConfigError. @returns the exit code */
export async function verifyFile(terminal: Terminal, file: string, options: VerifyOptions): Promise<number> {
  const { service, keys, json } = options;
  const from = keys === undefined ? "OUTRIGGER_POLICY_KEYS" : "--keys";
  const env = { ...terminal.env, ...(service === undefined ? {} : { OUTRIGGER_SERVICE: service }) };
  const config = keys === undefined ? loadConfig(env) : configWithKeys(env, keys, from);
  if (config.policyKeys === undefined) {
    terminal.err("OUTRIGGER_POLICY_KEYS: is not set, and there is no --keys: nothing can be verified\n");
    return 2;
  }
  try {
    const reading = await readPolicyFile(file, config.policyMaxBytes);
    if (reading.state !== "read") throw new PolicyRefused([{ path: "", message: reading.message }]);
    const trusted = await keysFrom(config.policyKeys, from);
    const { claims } = await openPolicy(
      reading.raw.shared,
      documentName(service),
      trusted,
      config.policyMaxBytes,
    );
    const told = facts(claims as Claims);
    if (json) terminal.out(`${JSON.stringify({ file, ...told }, null, 2)}\n`);
    else terminal.out(`${printable(`${file}: ${factsText(told)}`)}\n`);
    if (!told.expired) return 0;
    terminal.err(`${file}: is over: sidecars take it no more\n`);
  } catch (error) {
    if (!(error instanceof PolicyRefused)) throw error;
    for (const problem of error.problems) terminal.err(`${problemText({ document: file, ...problem })}\n`);
  }
  return 1;
}

/** Rejects with a ConfigError that names the setting or option that the keys come from. */
async function keysFrom(
  keys: NonNullable<Config["policyKeys"]>,
  from: string,
): Promise<readonly VerifyKey[]> {
  try {
    return await importKeys(keys);
  } catch (error) {
    throw new ConfigError([`${from}: ${textOf(error)}`]);
  }
}

type Facts = ReturnType<typeof facts>;

function facts({ kid, for: name, iat, epoch, exp }: Claims) {
  return {
    for: name ?? null,
    kid: kid ?? null,
    epoch: epoch ?? null,
    signedAt: timestamp(iat),
    expiresAt: timestamp(exp),
    expired: exp !== undefined && exp * 1000 <= Date.now(),
  };
}

const timestamp = (seconds: number | undefined): string | null =>
  seconds === undefined ? null : new Date(seconds * 1000).toISOString();

function factsText({ for: name, kid, epoch, signedAt, expiresAt }: Facts): string {
  const parts = [
    `signed by ${kid ?? "a key without kid"}`,
    name === null ? "for any key" : `for ${name}`,
    epoch === null ? "without an epoch" : `epoch ${epoch}`,
    ...(signedAt === null ? [] : [`at ${signedAt}`]),
    ...(expiresAt === null ? [] : [`until ${expiresAt}`]),
  ];
  return parts.join(", ");
}
