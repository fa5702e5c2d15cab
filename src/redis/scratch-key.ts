// The scratch key that proves watches: a change over one connection must be reported on another.
import { Cluster, type Redis } from "ioredis";
import { connectionLost, refusalOf, replyCode, noAnswer } from "./failure.ts";
import { withinLimit } from "../plugin-api/within-limit.ts";

export const scratchKey = "scratch";
const answerMs = 1_000;
const lifeMs = 3_600_000;
/** A Cluster's master has at least a few in a hundred slots, so some of this many keys live there. */
const maxKeys = 1_000;

export class ScratchKey {
  readonly #client: Redis | Cluster;
  readonly #key: string;
  /** In a Cluster: the number of the key that lives on the server. */
  #number = 0;

  constructor(client: Redis | Cluster, key: string) {
    this.#client = client;
    this.#key = key;
  }

  /**
   * Changes the key.
   * @param id of the server in a Cluster, `host:port`
   */
  async write(id: string): Promise<void> {
    const node = this.#nodeOf(id);
    if (node?.status !== "ready") {
      // A Cluster client forgets a node that it lost, and connects to a node only when it is first used.
      if (node === undefined && this.#client instanceof Cluster) this.#client.refreshSlotsCache();
      if (node?.status === "wait" || node?.status === "end") node.connect().catch(() => {});
      throw new Error(connectionLost);
    }
    for (let tries = 0; ; tries++) {
      try {
        await withinLimit(
          change(node, `${this.#key}${this.#number === 0 ? "" : `:${this.#number}`}`),
          answerMs,
          noAnswer,
        );
        return;
      } catch (error) {
        if (replyCode(error) !== "MOVED" || tries === maxKeys) throw error;
        this.#number = (this.#number + 1) % maxKeys;
      }
    }
  }

  #nodeOf(id: string): Redis | undefined {
    if (!(this.#client instanceof Cluster)) return this.#client;
    return this.#client.nodes("master").find(({ options }) => `${options.host}:${options.port}` === id);
  }
}

/** A longer TTL is a change that even a full Redis accepts. */
async function change(node: Redis, key: string): Promise<void> {
  try {
    if ((await node.pexpire(key, lifeMs)) === 1) return;
    await node.set(key, "", "PX", lifeMs);
  } catch (error) {
    throw refusalOf(error, "PEXPIRE", `+set +pexpire ~${key}*`);
  }
}
