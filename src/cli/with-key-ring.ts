// Opens the keys in Redis for one command.
import { parsePeppers } from "../../plugins/auth/api-keys/key-format.ts";
import { loadConfig } from "../app/environment.ts";
import { KeyRing, KeyRingRefusal } from "./key-ring.ts";
import type { Terminal } from "./terminal.ts";
import { withStore } from "./with-store.ts";

/**
 * @param work does the command's part; its result is the exit code
 * @returns that, 1 when Redis cannot be used or the command is refused, 2 without REDIS_URL; throws ConfigError
 */
export async function withKeyRing(
  terminal: Terminal,
  work: (ring: KeyRing) => Promise<number>,
): Promise<number> {
  const config = loadConfig(terminal.env);
  const use = { name: "keys", because: "API keys are in Redis" };
  return await withStore(terminal, config, use, async (store) => {
    try {
      return await work(new KeyRing(store, parsePeppers(config.secrets["API_KEY_PEPPER"])));
    } catch (error) {
      if (!(error instanceof KeyRingRefusal)) throw error;
      terminal.err(`${error.message}\n`);
      return 1;
    }
  });
}
