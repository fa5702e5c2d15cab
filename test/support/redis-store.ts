// Starts real servers with stores on them, closed after each test of the file: `const { server, open } =
// storesOf("name")`.
import { afterEach } from "node:test";
import { parseRedisAddress } from "../../src/redis/address.ts";
import { createStore, type RedisStore, type StoreOptions } from "../../src/redis/store.ts";
import { type RedisServer, startRedis } from "./redis.ts";

export interface Stores {
  /** Functions called after the test, the last one first. */
  readonly closing: (() => Promise<void> | void)[];
  readonly server: (args?: readonly string[]) => Promise<RedisServer>;
  readonly open: (url: string, options?: Partial<StoreOptions>) => RedisStore;
}

/** @param connectionName name in Redis' list of clients */
export function storesOf(connectionName: string): Stores {
  const closing: (() => Promise<void> | void)[] = [];
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close();
  });
  return {
    closing,
    async server(args = []) {
      const started = await startRedis({ args });
      closing.push(() => started.close());
      return started;
    },
    open(url, options = {}) {
      const address = parseRedisAddress(url);
      const store = createStore({ address, keyPrefix: "outrigger:", connectionName, ...options });
      closing.push(() => store.close());
      return store;
    },
  };
}
