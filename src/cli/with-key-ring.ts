// Opens the keys in Redis for one command, and tells what went wrong in one line.
import { parsePeppers } from "../../plugins/auth/key-format.ts";
import { loadConfig } from "../config.ts";
import { createStore } from "../redis/store.ts";
import { StoreUnavailable } from "../redis/store-contract.ts";
import { KeyRing, KeyRingRefusal } from "./key-ring.ts";
import type { Terminal } from "./terminal.ts";

const connectMs = 3_000;

/**
 * @param work does the command's part; its result is the exit code
 * @returns that, 1 when Redis is out of reach or the command is refused, 2 without REDIS_URL; throws ConfigError
 */
export async function withKeyRing(
  terminal: Terminal,
  work: (ring: KeyRing) => Promise<number>,
): Promise<number> {
  const config = loadConfig(terminal.env);
  if (config.redis === undefined) {
    terminal.err("REDIS_URL is not set: API keys are in Redis\n");
    return 2;
  }
  const store = createStore({
    address: config.redis,
    keyPrefix: config.keyPrefix,
    connectionName: "outrigger-keys",
  });
  try {
    if (!(await store.whenUp(connectMs))) {
      terminal.err("Redis is out of reach\n");
      return 1;
    }
    return await work(new KeyRing(store, parsePeppers(config.secrets["API_KEY_PEPPER"])));
  } catch (error) {
    if (!(error instanceof KeyRingRefusal || error instanceof StoreUnavailable)) throw error;
    terminal.err(`${error.message}\n`);
    return 1;
  } finally {
    store.close();
  }
}
