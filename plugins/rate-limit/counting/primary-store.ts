// A store for the workers of a sidecar without Redis: sends the calls of the script to the primary, which counts.
import type { Store, Workers } from "../../../src/plugin-api/contract.ts";

/** Where several processes count together: Redis, or the primary of this sidecar's workers. */
export type SharedStore = Pick<Store, "up" | "sharded" | "runAll">;

export function createPrimaryStore(workers: Workers): SharedStore {
  return {
    // If the primary dies, so do its workers; if it is slow, the call runs into its time limit.
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
