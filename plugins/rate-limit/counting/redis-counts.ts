// Counts in Redis. All reservations of one turn of the event loop go out in one write: the batch leaves when the
// sockets have been read (setImmediate), never on a timer.
import type { Clock } from "../../../src/plugin-api/contract.ts";
import type { Caller, Lease } from "../caller.ts";
import type { Reservation } from "../limit.ts";
import { keepUnreported, reportUsage } from "./outage.ts";
import type { SharedStore } from "./primary-store.ts";
import { takeScript } from "./script.ts";
import type { RegionWants } from "./region-wants.ts";

/** Bounds one script call, so that it does not block Redis for more than about a millisecond. */
const requestsPerScript = 64;

/** Longest wait of a batch in which no request asks for a shorter one. */
const maxWaitMs = 5000;

/** The longest that a refusal is remembered: when an operator lifts a block, it takes effect within this time. */
const maxDenialMs = 1000;

/** What one script call must decide as a unit. */
interface Ask {
  readonly reservations: readonly Reservation[];
  /** Set for permits that are given back: ready-made argument and key; `reservations` is then empty. */
  readonly refund: { readonly key: string; readonly text: string } | undefined;
  readonly tag: string;
  readonly settle: (serverMs: number) => void;
  readonly fail: (error: unknown) => void;
}

export class RedisCounts {
  readonly #store: SharedStore;
  readonly #clock: Clock;
  readonly #wants: RegionWants | undefined;
  #waiting: Ask[] = [];
  #limitMs = maxWaitMs;
  #lostAt = -Infinity;

  /** @param wants where leases for limits over regions are asked for */
  constructor(store: SharedStore, clock: Clock, wants?: RegionWants) {
    this.#store = store;
    this.#clock = clock;
    this.#wants = wants;
  }

  /**
   * Decides all reservations of one request; when an enforced one does not fit, none takes anything. The outcome is
   * written into the reservations. Rejects with `StoreUnavailable` when Redis does not answer in time: permits may have
   * been taken or not.
   * @returns the server's time of the decision, epoch milliseconds
   */
  async take(reservations: readonly Reservation[], limitMs: number): Promise<number> {
    const sentMono = this.#clock.mono();
    for (const reservation of reservations) reportUsage(reservation, this.#clock, this.#lostAt);
    try {
      const serverMs = await this.#askByTag(reservations, limitMs);
      for (const reservation of reservations) {
        remember(reservation, sentMono);
        if (reservation.limit.table.part !== undefined)
          this.#wants?.note(reservation.caller, reservation.remaining, serverMs);
      }
      return serverMs;
    } catch (error) {
      for (const reservation of reservations) keepUnreported(reservation);
      throw error;
    }
  }

  /** Notes that Redis is out of reach now: it may come back knowing less. */
  lost(): void {
    this.#lostAt = this.#clock.mono();
  }

  /** Gives a lease's unused permits back. If that fails, they become free by themselves with time. */
  async giveBack(caller: Caller, lease: Lease): Promise<void> {
    await this.#refund(caller, lease.left, lease.grantedAt);
  }

  async #askByTag(reservations: readonly Reservation[], limitMs: number): Promise<number> {
    const first = reservations[0] as Reservation;
    const together =
      this.#store.sharded === false || reservations.every(({ caller }) => caller.tag === first.caller.tag);
    if (together) return this.#ask(reservations, first.caller.tag, limitMs);
    // One node cannot decide for another: each takes at once, and those that granted are undone when another refused.
    const tags = new Set(reservations.map(({ caller }) => caller.tag));
    const groups = [...tags].map((tag) => reservations.filter(({ caller }) => caller.tag === tag));
    const outcomes = await Promise.allSettled(
      groups.map((group) => this.#ask(group, (group[0] as Reservation).caller.tag, limitMs)),
    );
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    const refused = reservations.some((reservation) => reservation.enforced && reservation.granted === 0);
    if (failed !== undefined || refused) {
      for (const [index, outcome] of outcomes.entries()) {
        if (outcome.status === "fulfilled") this.#undo(groups[index] as Reservation[], outcome.value);
      }
    }
    if (failed !== undefined) throw failed.reason;
    return Math.max(...outcomes.map((outcome) => (outcome.status === "fulfilled" ? outcome.value : 0)));
  }

  #undo(reservations: readonly Reservation[], serverMs: number): void {
    for (const reservation of reservations) {
      if (reservation.granted === 0) continue;
      void this.#refund(reservation.caller, reservation.granted, serverMs);
      reservation.remaining += reservation.granted;
      reservation.granted = 0;
    }
  }

  #ask(reservations: readonly Reservation[], tag: string, limitMs: number): Promise<number> {
    return new Promise((settle, fail) => {
      this.#add({ reservations, refund: undefined, tag, settle, fail }, limitMs);
    });
  }

  #refund(caller: Caller, amount: number, grantedAt: number): Promise<void> {
    const refund = { key: caller.key, text: `${caller.table.spec} 0 0 ${-amount} ${grantedAt} 0 0` };
    return new Promise((resolve) => {
      const done = (): void => resolve();
      this.#add({ reservations: [], refund, tag: caller.tag, settle: done, fail: done }, maxWaitMs);
    });
  }

  #add(ask: Ask, limitMs: number): void {
    this.#limitMs = Math.min(this.#limitMs, limitMs);
    if (this.#waiting.push(ask) === 1) setImmediate(() => void this.#send());
  }

  /** Sends the gathered batch; never rejects. */
  async #send(): Promise<void> {
    const asks = this.#waiting;
    const limitMs = this.#limitMs;
    this.#waiting = [];
    this.#limitMs = maxWaitMs;
    const batches = inBatches(asks, this.#store.sharded === false);
    try {
      const outcomes = await this.#store.runAll(batches.map(encode), limitMs);
      for (const [index, batch] of batches.entries()) {
        const outcome = outcomes[index];
        if (outcome?.status === "fulfilled") decode(batch, outcome.value);
        else for (const ask of batch) ask.fail(outcome?.reason);
      }
    } catch (error) {
      // No ask may be left waiting. Those settled already ignore this.
      for (const ask of asks) ask.fail(error);
    }
  }
}

function remember(reservation: Reservation, sentMono: number): void {
  const { caller } = reservation;
  caller.remaining = reservation.remaining;
  caller.heardAt = sentMono;
  caller.formerKey = undefined;
  if (!reservation.enforced || !reservation.exceeded) return;
  // Counted from before the question was sent, so that a caller is never blocked longer than by Redis.
  caller.deniedUntil = sentMono + Math.min(reservation.retryMs, maxDenialMs);
  caller.dueAt = sentMono + reservation.retryMs;
  caller.deniedLeast = reservation.least;
}

function inBatches(asks: readonly Ask[], oneNode: boolean): Ask[][] {
  const byTag = new Map<string, Ask[][]>();
  for (const ask of asks) {
    const tag = oneNode ? "" : ask.tag;
    const batches = byTag.get(tag);
    const last = batches?.at(-1);
    if (batches === undefined) byTag.set(tag, [[ask]]);
    else if (last !== undefined && last.length < requestsPerScript) last.push(ask);
    else batches.push([ask]);
  }
  return [...byTag.values()].flat();
}

function encode(batch: readonly Ask[]): { script: typeof takeScript; keys: string[]; args: string[] } {
  const keys: string[] = [];
  const args: string[] = [];
  for (const { reservations, refund } of batch) {
    if (refund !== undefined) {
      keys.push(refund.key);
      args.push("1", refund.text);
      continue;
    }
    args.push(String(reservations.length));
    for (const reservation of reservations) {
      const { key, formerKey, regionKey } = reservation.caller;
      keys.push(key);
      if (formerKey !== undefined) keys.push(formerKey);
      if (regionKey !== undefined) keys.push(regionKey);
      args.push(textOf(reservation, formerKey !== undefined));
    }
  }
  return { script: takeScript, keys, args };
}

function textOf(
  { limit, caller, enforced, least, most, unreportedUsage, floor }: Reservation,
  hasFormer: boolean,
): string {
  if (
    most === limit.cost &&
    unreportedUsage === 0 &&
    floor === 0 &&
    !hasFormer &&
    enforced === limit.enforced
  )
    return limit.exactText;
  const { spec, regionSpec } = caller.table;
  return `${spec} ${enforced ? 1 : 0} ${least} ${most} ${unreportedUsage} ${hasFormer ? 1 : 0} ${floor}${regionSpec}`;
}

/** Throws when the answer does not have the script's shape. */
function decode(batch: readonly Ask[], reply: unknown): void {
  if (!Array.isArray(reply)) throw new TypeError("unexpected answer of the rate-limit script");
  const values = reply as (number | string)[];
  const serverMs = Number(values[0]);
  let at = 1;
  for (const ask of batch) {
    if (ask.refund !== undefined) at += 4;
    for (const reservation of ask.reservations) {
      reservation.granted = values[at] as number;
      reservation.remaining = values[at + 1] as number;
      reservation.retryMs = values[at + 2] as number;
      reservation.resetMs = values[at + 3] as number;
      at += 4;
    }
    ask.settle(serverMs);
  }
}
