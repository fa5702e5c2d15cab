// Ends of all sessions of somebody that began before a moment, told through Redis (see session-marks.ts). A session that
// begins afterwards is not concerned, so a mark says when, and what is known from memory is asked about again.
import { boundedCache, type Script, type Services, type Store } from "../../../src/plugin-api/contract.ts";
import { endedPrefix } from "./session-marks.ts";

const maxHeard = 65_536;
/** Other services may take the same sessions for longer than any login here. */
const minLifeMs = 30 * 86_400_000;

/** By which clocks may differ: a Redis that is further off is not asked what time it is. */
const clockSlackMs = 60_000;

// The server's clock, for ends and beginnings alike: by their own, a sidecar or an operator who is seconds behind would
// let sessions live on that began meanwhile, and one who is ahead would end those that begin anew.
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
  /** Monotonic milliseconds at which a mark was heard of. */
  readonly #heard = boundedCache<number>(maxHeard, (heardMono) => {
    this.#forgottenMono = Math.max(this.#forgottenMono, heardMono);
  });
  /** When the latest of those that are no longer remembered was heard of. */
  #forgottenMono = -Infinity;

  /** Hears of no more ends. */
  readonly close: () => void;

  /** One a process. */
  constructor({ store, clock }: Services) {
    this.#store = store;
    this.#mono = () => clock.mono();
    this.#now = () => clock.now();
    const unwatch = store?.watch(endedPrefix, (key) => {
      // Lost messages are EndedSessions' matter, which hears the same and makes everything known be forgotten.
      if (key?.includes(".") === true) this.#heard.set(key.slice(endedPrefix.length), clock.mono());
    });
    this.close = unwatch ?? (() => {});
  }

  /** Whether one of these may have been ended since: to be asked about again. */
  heardSince(marks: readonly string[], mono: number): boolean {
    if (this.#heard.size === 0) return false;
    if (this.#forgottenMono >= mono) return true;
    return marks.some((mark) => (this.#heard.get(mark) ?? -Infinity) >= mono);
  }

  /** Whether a session that began then has been ended by one of these. Rejects with `StoreUnavailable`. */
  async lookUp(marks: readonly string[], startedMs: number): Promise<boolean> {
    const store = this.#store;
    if (store === undefined) return false;
    const ends = await Promise.all(marks.map((mark) => store.get(endedPrefix + mark)));
    // What cannot be read was written by nobody who means well: it ends them, too.
    return ends.some((end) => end !== null && !(Number(end) < startedMs));
  }

  /** Epoch milliseconds at which a session begins, as ends are told. Never rejects. */
  async startMs(): Promise<number> {
    const hereMs = this.#now();
    try {
      const redisMs = Number(await this.#store?.run(nowAt, [`${endedPrefix}now`], []));
      return Math.abs(redisMs - hereMs) <= clockSlackMs ? redisMs : hereMs;
    } catch {
      return hereMs;
    }
  }

  /** Some login has sessions that live so long. */
  expectLives(ms: number): void {
    this.#maxMs = Math.max(this.#maxMs, ms);
  }

  /** Ends all that have begun by now, for as long as any of them could live. Rejects with `StoreUnavailable`. */
  async revoke(mark: string): Promise<void> {
    if (this.#store === undefined) throw new Error("sessions of somebody cannot be ended without Redis");
    await this.#store.run(endNow, [endedPrefix + mark], [this.#maxMs]);
    this.#heard.set(mark, this.#mono());
  }
}
