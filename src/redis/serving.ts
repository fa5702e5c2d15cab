// Checks whether a connected server can be used: has it loaded its data, and is it the master? A user without the right
// to ask (INFO) can still be served.
import { setTimeout as delay } from "node:timers/promises";
import type { Redis } from "ioredis";
import { ofCluster, reasonOf, refusalOf, replyCode } from "./failure.ts";

const whileLoadingMs = 250;
const cost = "+info (until then a replica or a loading server is found out by its errors only)";

/**
 * Resolves once the server serves, with any remaining problem ("" = none). Otherwise it ends the connection, which is
 * then reopened, and resolves with undefined. The caller limits the wait by ending the connection.
 * @param note gets the error of a failed check
 */
export async function serving(client: Redis, note: (error: unknown) => void): Promise<string | undefined> {
  try {
    let info = await client.info();
    while (/^loading:1/mu.test(info)) {
      await delay(whileLoadingMs);
      info = await client.info();
    }
    // With sentinels: this server is no longer, or not yet, the master. The sentinels are asked again.
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
