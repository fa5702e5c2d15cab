// Whether something that counts once (the proof of a token, a signed request) was shown before: to any sidecar of the
// service through Redis; without Redis, to this sidecar, whose workers ask the process above them.
import { hash } from "node:crypto";
import type { Clock, Services } from "../../src/plugin-api/contract.ts";
import { SeenIds, type Seen } from "./seen-ids.ts";

const workersLimitMs = 500;
/** From the look at its time to this one: a wait for a place, one for Redis, and what sidecars' clocks differ by. */
const spareMs = 5_000;
/** Letters of digests as base64url: 12 bits of whose it is, by which the memory is shared (seen-ids.ts), and 132 of itself. */
const [ownerLetters, ownLetters] = [2, 22];

/** `unknown` = nobody can tell now; `full` = more came than are remembered. */
export type Shown = Seen | "unknown";

/** What is done while Redis is out of reach: nothing is taken, or what this process has not seen itself. */
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

/** What the workers of a sidecar without Redis share. */
export function createSharedIds(clock: Clock): (request: unknown) => Seen {
  const seen = new SeenIds(() => clock.mono());
  return (request) => {
    if (!isQuestion(request)) throw new Error("not a question about what was seen");
    return seen.see(request.id, request.rememberMs);
  };
}

/** One a process: what was seen stays so, whatever becomes of the policy. */
export class Replays {
  readonly #services: Services;
  readonly #seen: SeenIds;
  readonly #prefix: string;

  constructor(services: Services) {
    this.#services = services;
    this.#seen = new SeenIds(() => services.clock.mono());
    this.#prefix = `p:${services.fleet.service}:auth:seen:`;
  }

  /**
   * Remembers it, if it is the first time. To be asked last, of what is good otherwise: only who holds a key fills the memory.
   * @param owner what it is one of, and whose; all that one can show has half of the memory
   * @param name its own, of any length
   * @param lifeMs how long its time lets it be shown
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
    // Here first: this bounds what one sidecar puts into Redis, too.
    const here = this.#seen.see(id, rememberMs);
    if (here !== "first" || store === undefined) return here;
    try {
      const isFirst = await store.set(this.#prefix + id, "1", { ttlMs: rememberMs, ifAbsent: true });
      return isFirst ? "first" : "again";
    } catch {
      if (onStoreError === "local") return "first";
      // Who is told to come again may bring the same one.
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
