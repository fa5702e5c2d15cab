// The counts of a sidecar's workers that have no Redis: called for in their primary in the words of the script.
import type { Store, Workers } from "../../../src/plugin-api/contract.ts";

/** Where limits are counted for several processes: Redis, or the primary of this sidecar's workers. */
export type SharedStore = Pick<Store, "up" | "sharded" | "runAll">;

export function createPrimaryStore(workers: Workers): SharedStore {
  return {
    // A primary that is gone takes its workers with it; one that is slow runs into the time limit.
    up: true,
    sharded: false,
    async runAll(calls, limitMs = 250) {
      const request = calls.map(({ keys, args }) => ({ keys: [...keys], args: args.map(String) }));
      const response = await workers.call(request, limitMs);
      if (!Array.isArray(response)) throw new TypeError("unexpected response of the primary");
      return response.map((value: unknown) => ({ status: "fulfilled", value }));
    },
  };
}
