// Runs `outrigger policy keygen FILE`: makes a key that signs policies. The private key goes only into the file.
import { KeyFileRefusal, readSigningKey, writeSigningKey } from "../plane/private-key.ts";
import type { Terminal } from "./terminal.ts";

export interface KeygenOptions {
  readonly public?: true;
}

/**
 * Prints the public key as a JWKS, the form of OUTRIGGER_POLICY_KEYS.
 * @param publicOnly reads an existing key instead of making one
 * @returns the exit code
 */
export async function generateKey(
  terminal: Terminal,
  file: string,
  { public: publicOnly }: KeygenOptions,
): Promise<number> {
  try {
    const { kid, publicJwk } = await (publicOnly === true ? readSigningKey(file) : writeSigningKey(file));
    terminal.out(`${JSON.stringify({ keys: [publicJwk] }, null, 2)}\n`);
    if (publicOnly === true) return 0;
    terminal.err(
      `the private key is in ${file}, kid ${kid}; printed is the public one, for OUTRIGGER_POLICY_KEYS\n`,
    );
    return 0;
  } catch (error) {
    if (!(error instanceof KeyFileRefusal)) throw error;
    terminal.err(`${error.message}\n`);
    return 1;
  }
}
