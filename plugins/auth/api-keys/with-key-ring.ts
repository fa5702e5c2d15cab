// Opens the keys in Redis for one command.
import type { CommandContext } from "../../../src/plugin-api/contract.ts";
import { parsePeppers } from "./key-format.ts";
import { KeyRing, KeyRingRefusal } from "./key-ring.ts";

/**
 * @param work the command's own part; its result is the exit code
 * @param keyFile the private key that signs records
 * @returns the exit code of `work`; 1 when Redis cannot be used or the command is refused; 2 without REDIS_URL
 */
export async function withKeyRing(
  context: CommandContext,
  work: (ring: KeyRing) => Promise<number>,
  keyFile?: string,
): Promise<number> {
  return await context.withStore({ because: "API keys are in Redis" }, async (opened) => {
    try {
      const signs = keyFile === undefined ? undefined : await opened.signer(keyFile);
      return await work(new KeyRing(opened.store, parsePeppers(context.secret("API_KEY_PEPPER")), signs));
    } catch (error) {
      if (!(error instanceof KeyRingRefusal)) throw error;
      context.err(`${error.message}\n`);
      return 1;
    }
  });
}
