// Tells whether something that counts once (the proof of a token, a signed request) was seen before. With Redis, by any
// sidecar of the service. Without Redis, by this sidecar; its workers ask their primary process.
import { hash, randomBytes } from "node:crypto";
import { boundedCache, type Clock, type Services } from "../../src/plugin-api/contract.ts";
import { SeenIds, type Seen } from "./seen-ids.ts";

const workersLimitMs = 500;
/** Time to add between the check of a proof's age and this one: waiting for a place, for Redis, and clock skew. */
const spareMs = 5_000;
/**
 * Characters of two digests in base64url: 12 bits of the owner, by which seen-ids.ts shares out the memory, and 132
 * bits of the id itself.
 */
const [ownerLetters, ownLetters] = [2, 22];
const maxUnsure = 16_384;

/** `unknown` = it cannot be known now; `full` = there is no room to remember more. */
export type Shown = Seen | "unknown";

/** While Redis is out of reach: accept nothing, or accept what this process has not seen itself. */
export type ReplayStoreError = "deny" | "local";

interface Question {
  readonly id: string;
  readonly rememberMs: number;
}

const digest = (parts: readonly string[]): string => hash("sha256", JSON.stringify(parts), "base64url");

function isQuestion(request: unknown): request is Question {
  const { id, rememberMs } = Object(request) as { id?: unknown; rememberMs?: unknown };
  return typeof id === "string" && typeof rememberMs === "number";
}

/** Answers the workers of a sidecar without Redis, which share one memory. */
export function createSharedIds(clock: Clock): (request: unknown) => Seen {
  const seen = new SeenIds(() => clock.mono());
  return (request) => {
    if (!isQuestion(request)) throw new Error("not a question about what was seen");
    return seen.see(request.id, request.rememberMs);
  };
}

/** One for the process: ids stay remembered when the policy changes. */
export class Replays {
  readonly #services: Services;
  readonly #seen: SeenIds;
  readonly #prefix: string;
  /** What this process writes to Redis, so that it knows its own. */
  readonly #mark = randomBytes(12).toString("base64url");
  /** Ids that were answered `unknown`: Redis may have them from that attempt. */
  readonly #unsure = boundedCache<true>(maxUnsure);

  constructor(services: Services) {
    this.#services = services;
    this.#seen = new SeenIds(() => services.clock.mono());
    this.#prefix = `p:${services.fleet.service}:auth:seen:`;
  }

  /**
   * Remembers an id and tells whether it is new. Call this last, when all else is good: then only holders of a key can
   * fill the memory.
   * @param owner the kind of thing, and whose it is; one owner can fill at most half of the memory
   * @param name its own name, of any length
   * @param lifeMs how long it could be shown again
   */
  async show(
    owner: readonly string[],
    name: string,
    lifeMs: number,
    onStoreError: ReplayStoreError,
  ): Promise<Shown> {
    const rememberMs = lifeMs + spareMs;
    const id = digest(owner).slice(0, ownerLetters) + digest([...owner, name]).slice(0, ownLetters);
    const { store, workers } = this.#services;
    if (store === undefined && workers !== undefined) return await this.#askAbove({ id, rememberMs });
    // The own memory first: this also bounds what one sidecar writes to Redis.
    const here = this.#seen.see(id, rememberMs);
    if (here !== "first" || store === undefined) return here;
    try {
      const key = this.#prefix + id;
      const isNew = await store.set(key, this.#mark, { ttlMs: rememberMs, ifAbsent: true });
      const isFirst = isNew || (this.#unsure.has(id) && (await store.get(key)) === this.#mark);
      this.#unsure.delete(id);
      return isFirst ? "first" : "again";
    } catch {
      if (onStoreError === "local") return "first";
      // The client is told to come again, and may then show the same one. A slow Redis may have it by then.
      this.#unsure.set(id, true);
      this.#seen.forget(id);
      return "unknown";
    }
  }

  async #askAbove(question: Question): Promise<Shown> {
    try {
      const answer = await this.#services.workers?.call(question, workersLimitMs);
      return answer === "first" || answer === "again" || answer === "full" ? answer : "unknown";
    } catch {
      return "unknown";
    }
  }
}
