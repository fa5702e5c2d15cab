// Follows Redis' clock, by which operators' commands date the end of kill switches: the clock of this machine may be
// wrong. Between two looks a monotonic clock carries it on.
import type { Clock } from "../plugin-api/services.ts";
import { replyList, type Script, type Store } from "../plugin-api/store.ts";

const limitMs = 1_000;
const time: Script = { name: "time", lua: "return redis.call('TIME')" };
/** How far Redis' clock may be behind this machine's where switches have to be signed. */
const maxBehindMs = 86_400_000;

export class RedisClock {
  readonly #store: Store;
  readonly #own: Pick<Clock, "now">;
  readonly #isBounded: boolean;
  #seen: { readonly nowMs: number; readonly mono: number } | undefined;
  /** How far Redis' clock was ahead of this machine's at the last look, also of the process before. */
  #aheadMs = 0;

  /** @param isBounded whether who holds Redis must not revive a signed switch that is long over by an older time */
  constructor(store: Store, own: Pick<Clock, "now">, isBounded: boolean) {
    this.#store = store;
    this.#own = own;
    this.#isBounded = isBounded;
  }

  get aheadMs(): number {
    return this.#aheadMs;
  }

  /** Sets what the process before knew, until Redis answers. */
  assume(aheadMs: number): void {
    this.#aheadMs = aheadMs;
  }

  /** Epoch ms. */
  now(): number {
    const ownMs = this.#own.now();
    const seen = this.#seen;
    const nowMs = seen === undefined ? ownMs + this.#aheadMs : seen.nowMs + performance.now() - seen.mono;
    return this.#isBounded && nowMs < ownMs - maxBehindMs ? ownMs : nowMs;
  }

  /** Reads the clock. Never rejects: without an answer it goes on as it was. */
  async look(): Promise<void> {
    try {
      const [seconds, micros] = replyList(await this.#store.run(time, [], [], limitMs)).map(Number);
      if (seconds === undefined || micros === undefined || !(seconds > 0)) return;
      const nowMs = seconds * 1_000 + Math.floor(micros / 1_000);
      this.#seen = { nowMs, mono: performance.now() };
      this.#aheadMs = Math.round(nowMs - this.#own.now());
    } catch {
      // The store counts and logs what is wrong with Redis. A rejection would end the reading of kill switches for good.
    }
  }
}
