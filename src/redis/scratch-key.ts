// The scratch key by which watches are proven: changed over one connection, it must be told of on another.
import { Cluster, type Redis } from "ioredis";
import { connectionLost, refusalOf, replyCode, noAnswer } from "./failure.ts";
import { withinLimit } from "../plugin-api/within-limit.ts";

export const scratchKey = "scratch";
const answerMs = 1_000;
const lifeMs = 3_600_000;
/** Of a Cluster's masters one has at least a few slots in a hundred: some of so many keys live there. */
const maxKeys = 1_000;

export class ScratchKey {
  readonly #client: Redis | Cluster;
  readonly #key: string;
  /** In a Cluster: which of the keys lives on the server. */
  #number = 0;

  constructor(client: Redis | Cluster, key: string) {
    this.#client = client;
    this.#key = key;
  }

  /**
   * Changes the key.
   * @param id of the server, `host:port`, in a Cluster
   */
  async write(id: string): Promise<void> {
    const node = this.#nodeOf(id);
    if (node?.status !== "ready") {
      // A Cluster's client forgets a node that it lost, and connects to one when that is first used.
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

/** A longer life is a change that a full Redis takes, too. */
async function change(node: Redis, key: string): Promise<void> {
  try {
    if ((await node.pexpire(key, lifeMs)) === 1) return;
    await node.set(key, "", "PX", lifeMs);
  } catch (error) {
    throw refusalOf(error, "PEXPIRE", `+set +pexpire ~${key}*`);
  }
}
