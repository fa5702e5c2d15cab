// Opens Redis for one command, and reports errors in one line: where and why, and never a credential.
import type { Config } from "../config/config.ts";
import { nodesText } from "../redis/address.ts";
import { whereRights } from "../redis/failure.ts";
import { createStore, type RedisStore } from "../redis/store.ts";
import { StoreUnavailable } from "../plugin-api/store.ts";
import type { Terminal } from "./terminal.ts";

const connectMs = 3_000;

export interface StoreUse {
  /** Name of the connection in CLIENT LIST, after `outrigger-`. */
  readonly name: string;
  /** Why the command needs Redis, for a user who has not set it up. */
  readonly because: string;
}

/**
 * @param work does the command's part and resolves with the exit code
 * @returns the exit code of `work`; 1 when Redis cannot be used, 2 without REDIS_URL
 */
export async function withStore(
  terminal: Terminal,
  { redis, keyPrefix }: Config,
  { name, because }: StoreUse,
  work: (store: RedisStore) => Promise<number>,
): Promise<number> {
  if (redis === undefined) {
    terminal.err(
      `REDIS_URL: is not set: ${because}; set it as sidecars have it, such as redis://127.0.0.1:6379\n`,
    );
    return 2;
  }
  const where = nodesText(redis);
  let down = "no answer in time";
  const store = createStore({
    address: redis,
    keyPrefix,
    connectionName: `outrigger-${name}`,
    onState({ of, up, reason }) {
      if (of === "commands" && !up) down = reason;
    },
  });
  try {
    if (await store.whenUp(connectMs)) return await work(store);
    terminal.err(`REDIS_URL: ${where} cannot be used: ${down}\n`);
    return 1;
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error;
    const hint = error.code === "NOPERM" ? `: ${whereRights}` : "";
    terminal.err(`REDIS_URL: ${where}: ${error.message}${hint}\n`);
    return 1;
  } finally {
    store.close();
  }
}
