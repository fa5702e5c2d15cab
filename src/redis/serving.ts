// Whether a server that has been connected to can be called: has it loaded its data, and is it the master. A user who may
// not ask that can be served all the same.
import { setTimeout as delay } from "node:timers/promises";
import type { Redis } from "ioredis";
import { ofCluster, reasonOf, refusalOf, replyCode } from "./failure.ts";

const whileLoadingMs = 250;
const cost = "+info (until then a replica or a loading server is found out by its errors only)";

/**
 * Resolves once the server serves, with what is amiss all the same ("" = nothing). Else it ends the connection, which is then made
 * anew, and resolves with undefined. Whoever keeps the connection open limits the wait by ending that.
 * @param note told why
 */
export async function serving(client: Redis, note: (error: unknown) => void): Promise<string | undefined> {
  try {
    let info = await client.info();
    while (/^loading:1/mu.test(info)) {
      await delay(whileLoadingMs);
      info = await client.info();
    }
    // By way of sentinels: this one is no master any more, or not yet. They are asked again.
    if (!client.options.sentinels || !/^role:slave/mu.test(info))
      return /^redis_mode:cluster/mu.test(info) ? ofCluster : "";
  } catch (error) {
    const isRefusal = ["NOPERM", "ERR"].includes(replyCode(error) ?? "");
    if (isRefusal) return reasonOf(refusalOf(error, "INFO", cost));
    note(error);
  }
  client.disconnect(true);
  return undefined;
}
