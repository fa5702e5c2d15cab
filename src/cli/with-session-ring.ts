// Opens the sessions in Redis for one command, and tells what went wrong in one line.
import { loadConfig } from "../config.ts";
import { createStore } from "../redis/store.ts";
import { StoreUnavailable } from "../redis/store-contract.ts";
import { SessionRing } from "./session-ring.ts";
import type { Terminal } from "./terminal.ts";

const connectMs = 3_000;

/**
 * @param work does the command's part; its result is the exit code
 * @returns that, 1 when Redis is out of reach, 2 without REDIS_URL; throws ConfigError
 */
export async function withSessionRing(
  terminal: Terminal,
  work: (ring: SessionRing) => Promise<number>,
): Promise<number> {
  const config = loadConfig(terminal.env);
  if (config.redis === undefined) {
    terminal.err("REDIS_URL is not set: sidecars hear of ended sessions through Redis\n");
    return 2;
  }
  const store = createStore({
    address: config.redis,
    keyPrefix: config.keyPrefix,
    connectionName: "outrigger-sessions",
  });
  try {
    if (await store.whenUp(connectMs)) return await work(new SessionRing(store));
    terminal.err("Redis is out of reach\n");
    return 1;
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error;
    terminal.err(`${error.message}\n`);
    return 1;
  } finally {
    store.close();
  }
}
