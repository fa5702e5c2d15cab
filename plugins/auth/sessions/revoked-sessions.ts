// Ends all of a user's sessions that began before a moment, through Redis (session-marks.ts). Sessions that begin later
// stay good. So a mark holds the time of the end, and cached sessions are looked up again.
import { boundedCache, type Script, type Services, type Store } from "../../../src/plugin-api/contract.ts";
import { endedPrefix } from "./session-marks.ts";

const maxHeard = 65_536;
/** At least this long, as other services may accept the same sessions for longer than any login here. */
const minLifeMs = 30 * 86_400_000;

/** Largest clock skew. If the time of Redis differs more from this sidecar's, no life is measured by it. */
const clockSlackMs = 60_000;

/** The beginning of a session (epoch ms). */
export interface SessionStart {
  readonly startedMs: number;
  /** The same by the clock of Redis, where that is too far from this one. Ends are compared with it. */
  readonly storeStartedMs?: number | undefined;
}

// Ends and beginnings both use the clock of the Redis server. With local clocks, a sidecar or operator that is seconds
// slow would spare sessions that began meanwhile, and one that is fast would end those that begin afterwards.
const time = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000)";
export const endNow: Script = {
  name: "sessions-end-now",
  lua: `${time}
redis.call('SET', KEYS[1], now, 'PX', ARGV[1])
return now`,
};
const nowAt: Script = { name: "sessions-now", lua: `${time}\nreturn now` };

export class RevokedSessions {
  readonly #store: Store | undefined;
  #maxMs = minLifeMs;
  readonly #mono: () => number;
  readonly #now: () => number;
  /** When a mark was heard of (monotonic ms). */
  readonly #heard = boundedCache<number>(maxHeard, (heardMono) => {
    this.#forgottenMono = Math.max(this.#forgottenMono, heardMono);
  });
  /** The latest hearing time of any mark that has been evicted from the cache. */
  #forgottenMono = -Infinity;

  /** Stops watching for ends. */
  readonly close: () => void;

  /** One for the process. */
  constructor({ store, clock }: Services) {
    this.#store = store;
    this.#mono = () => clock.mono();
    this.#now = () => clock.now();
    const unwatch = store?.watch(endedPrefix, (key) => {
      // Lost messages are handled by EndedSessions, which watches the same keys and has all cached sessions forgotten.
      if (key?.includes(".") === true) this.#heard.set(key.slice(endedPrefix.length), clock.mono());
    });
    this.close = unwatch ?? (() => {});
  }

  /** Whether one of these marks may have been heard since that time. If so, the session has to be looked up again. */
  heardSince(marks: readonly string[], mono: number): boolean {
    if (this.#heard.size === 0) return false;
    if (this.#forgottenMono >= mono) return true;
    return marks.some((mark) => (this.#heard.get(mark) ?? -Infinity) >= mono);
  }

  /** Whether one of these marks ended a session that began then. Rejects with `StoreUnavailable`. */
  async lookUp(marks: readonly string[], start: SessionStart): Promise<boolean> {
    const store = this.#store;
    if (store === undefined) return false;
    const ends = await Promise.all(marks.map((mark) => store.get(endedPrefix + mark)));
    // An end that cannot be parsed was written with bad intent, so it also ends the sessions.
    const began = start.storeStartedMs ?? start.startedMs;
    return ends.some((end) => end !== null && !(Number(end) < began));
  }

  /**
   * @param needsRedis rejects where Redis does not answer; otherwise this sidecar's clock serves
   * @returns the beginning of a new session, by the same clock as ends
   */
  async start(needsRedis: boolean): Promise<SessionStart> {
    const hereMs = this.#now();
    try {
      const redisMs = Number(await this.#store?.run(nowAt, [`${endedPrefix}now`], []));
      if (Number.isNaN(redisMs)) return { startedMs: hereMs };
      return Math.abs(redisMs - hereMs) <= clockSlackMs
        ? { startedMs: redisMs }
        : { startedMs: hereMs, storeStartedMs: redisMs };
    } catch (error) {
      if (needsRedis) throw error;
      return { startedMs: hereMs };
    }
  }

  /** Some login has sessions that live this long. */
  expectLives(ms: number): void {
    this.#maxMs = Math.max(this.#maxMs, ms);
  }

  /**
   * Ends all sessions of a mark that have begun by now. The mark stays as long as any of them could live. Rejects with
   * `StoreUnavailable`, or with an Error without Redis.
   */
  async revoke(mark: string): Promise<void> {
    if (this.#store === undefined) throw new Error("sessions of somebody cannot be ended without Redis");
    await this.#store.run(endNow, [endedPrefix + mark], [this.#maxMs]);
    this.#heard.set(mark, this.#mono());
  }
}
