// Leases parts of quotas over regions from the home region's Redis, for callers whose sidecars here want more, and
// gives idle permits back. Sidecars never wait for this: when the link is cut they have the leased permits and their
// region's share.
import { leaseKey, lentKey } from "../../language/region-quota.ts";
import type { Store } from "../../plugin-api/store.ts";
import { Poller } from "../../policy/sources/poller.ts";
import { leaseAfter, leaseText, parseLease, parseLent, type QuotaLease } from "./quota-lease.ts";
import { giveUp, lend, look, place, takeBack } from "./quota-scripts.ts";
import { QuotaWants, valuesOf, type Wanting } from "./quota-wants.ts";

const limitMs = 3_000;
const batchSize = 512;
/** A caller that leases again within this time gets twice as much. */
const soonMs = 1_000;
/** A lease may be written only this long after it was read: less time than passes until it is given back. */
const freshMs = 4_000;

export interface QuotaLeasesOptions {
  /** The home region's Redis. */
  readonly source: Store;
  readonly target: Store;
  /** Names of the target's region and of the home region. */
  readonly region: string;
  readonly home: string;
  readonly onLeased: (permits: number) => void;
  readonly onReturned: (permits: number) => void;
  /** Receives why quotas cannot be leased, once; `undefined` = the problem is over. */
  readonly onProblem: (problem: string | undefined) => void;
  readonly lookMs?: number;
  /** Milliseconds after which unused permits are given back. */
  readonly idleMs?: number;
}

interface Looked {
  readonly one: Wanting;
  readonly used: number;
  readonly text: string;
  /** By the region's clock. */
  readonly atMs: number;
  readonly lease: QuotaLease | undefined;
}

interface Asked extends Looked {
  readonly more: number;
}

export class QuotaLeases {
  readonly #options: QuotaLeasesOptions;
  readonly #poller: Poller;
  readonly #idleMs: number;
  readonly #wants: QuotaWants;
  readonly #rounds: number;
  #lookedMono = -Infinity;
  /** Callers that want nothing now but still have to be looked at, and how many of them per round. */
  #due: Wanting[] = [];
  #dueAtOnce = 0;
  #problem: string | undefined;
  #problemNow: string | undefined;

  constructor(options: QuotaLeasesOptions) {
    const { lookMs = 200, idleMs = 5_000 } = options;
    this.#options = options;
    this.#idleMs = idleMs;
    this.#rounds = Math.max(1, Math.floor(idleMs / lookMs));
    this.#wants = new QuotaWants(options.target, options.home);
    this.#poller = new Poller({
      settleMs: 5,
      pollMs: lookMs,
      retryMs: lookMs,
      read: () => this.round(),
    });
  }

  start(): void {
    this.#poller.readNow();
  }

  /** Leases stay until their window ends, or until another relay of the region gives them back. */
  async stop(): Promise<void> {
    await this.#poller.stop();
  }

  /** @returns whether both ends answered; never rejects */
  async round(): Promise<boolean> {
    const { source, target } = this.#options;
    if (!source.up || !target.up) return false;
    this.#problemNow = undefined;
    const now = performance.now();
    const all = now - this.#lookedMono >= this.#idleMs;
    try {
      if (all) {
        await this.#wants.findLists();
        this.#lookedMono = now;
      }
      const fresh = await this.#wants.read();
      this.#checkHome();
      if (all && this.#due.length === 0) {
        this.#due = this.#wants.all;
        this.#dueAtOnce = Math.ceil(this.#due.length / this.#rounds);
      }
      const isFresh = new Set(fresh);
      const due = this.#due.splice(0, this.#dueAtOnce).filter((one) => !isFresh.has(one));
      for (const [ones, isDue] of [
        [fresh, false],
        [due, true],
      ] as const)
        for (let at = 0; at < ones.length; at += batchSize)
          await this.#batch(ones.slice(at, at + batchSize), isDue);
    } catch (error) {
      this.#problemNow ??= `Redis failed: ${(error as Error).message}`;
    }
    this.#tell();
    return this.#problemNow === undefined;
  }

  #checkHome(): void {
    const { otherHome } = this.#wants;
    if (otherHome === undefined) return;
    this.#problemNow = `limits have the home region "${otherHome}", and OUTRIGGER_RELAY_FROM_REGION is "${this.#options.home}": they are not leased here`;
  }

  #tell(): void {
    if (this.#problem === this.#problemNow) return;
    this.#problem = this.#problemNow;
    this.#options.onProblem(this.#problem);
  }

  /** @param isDue the callers want nothing now: their unused permits are given back */
  async #batch(ones: readonly Wanting[], isDue: boolean): Promise<void> {
    const looks = ones.map(({ countKey, want }) => ({
      script: look,
      keys: [countKey, leaseKey(countKey)],
      args: [want.startMs, want.endMs],
    }));
    const replies = valuesOf(await this.#options.target.runAll(looks, limitMs));
    const looked: Looked[] = [];
    const over: Wanting[] = [];
    for (const [index, one] of ones.entries()) {
      const [isOver, used, text, atMs] = replies[index] as [number, number, string, string];
      if (isOver === 1) over.push(one);
      else
        looked.push({
          one,
          used,
          text,
          atMs: Number(atMs),
          lease: parseLease(text, one.want.startMs),
        });
    }
    await this.#wants.drop(over);
    await this.#lease(looked, isDue);
    if (isDue) await this.#giveBack(looked);
  }

  /**
   * Asks the home region before it writes the lease here: permits that the home region has not recorded are never used
   * here.
   */
  async #lease(all: readonly Looked[], isDue: boolean): Promise<void> {
    const asks = all
      .map((looked) => ({ ...looked, more: isDue ? 0 : moreFor(looked) }))
      .filter(({ more, lease }) => more > 0 || (isDue && lease !== undefined));
    // Permits lent to a region without a lease count as lost. So an empty lease is written before anything is lent.
    const first = asks.filter(({ lease }) => lease === undefined);
    const begun = await this.#ask(first.map((looked) => ({ ...looked, more: 0 })));
    const known = asks.filter(({ lease }) => lease !== undefined);
    await this.#ask([...known, ...begun.map((looked) => ({ ...looked, more: moreFor(looked) }))]);
  }

  /** @returns the asks whose lease was changed, with the new lease */
  async #ask(asks: readonly Asked[]): Promise<Asked[]> {
    const { source, target, region, onLeased } = this.#options;
    if (asks.length === 0) return [];
    const calls = asks.map(({ one: { countKey, want }, lease, more }) => ({
      script: lend,
      keys: [countKey, lentKey(countKey)],
      args: [region, want.startMs, want.endMs, lease?.seq ?? 0, heldBy(lease), more, want.share, want.pool],
    }));
    const replies = valuesOf(await source.runAll(calls, limitMs));
    const writes = asks.flatMap((asked, index) => {
      const next = this.#judge(asked, replies[index]);
      return next === undefined ? [] : [{ asked, next }];
    });
    if (writes.length === 0) return [];
    const placed = valuesOf(
      await target.runAll(
        writes.map(({ asked: { one, text, atMs }, next }) => ({
          script: place,
          keys: [leaseKey(one.countKey)],
          args: [text, leaseText(next), one.want.endMs, atMs + freshMs],
        })),
        limitMs,
      ),
    );
    return writes.flatMap(({ asked, next }, index) => {
      if (Number(placed[index]) !== 1) return [];
      const permits = next.permits - (asked.lease?.permits ?? 0);
      if (permits > 0) {
        asked.one.leasedMono = performance.now();
        onLeased(permits);
      }
      return [{ ...asked, lease: next, text: leaseText(next) }];
    });
  }

  #judge({ one, lease, more }: Asked, reply: unknown): QuotaLease | undefined {
    const lent = parseLent(reply);
    // In the home region the window is over, because its clock is ahead. Until its own window turns, this region has
    // its share.
    if (lent?.seq === -1) return undefined;
    if (lent?.seq === -2) {
      this.#problemNow = `the home region's ${lentKey(one.countKey)} cannot be read: delete it there`;
      return undefined;
    }
    const next =
      lent === undefined ? "it is no answer of this program" : leaseAfter(lease, one.want, more, lent);
    if (typeof next !== "string") return next;
    this.#problemNow = `the home region's answer for ${one.countKey} is refused: ${next}`;
    return undefined;
  }

  /**
   * Gives the permits up here first, then in the home region, so that its record is never below what this region may
   * use.
   */
  async #giveBack(all: readonly Looked[]): Promise<void> {
    const { source, target, region, onReturned } = this.#options;
    const idle = all.filter(({ one, used, lease }) => {
      const isIdle = one.used === used && (lease?.permits ?? 0) > used;
      one.used = used;
      return isIdle;
    });
    if (idle.length === 0) return;
    const kept = valuesOf(
      await target.runAll(
        idle.map(({ one: { countKey, want }, text }) => ({
          script: giveUp,
          keys: [countKey, leaseKey(countKey)],
          args: [text, want.startMs],
        })),
        limitMs,
      ),
    );
    const back = idle.flatMap(({ one: { countKey, want }, lease }, index) => {
      const permits = Number(kept[index]);
      if (lease === undefined || !(permits >= 0)) return [];
      const args = [region, want.startMs, lease.seq + 1, permits + lease.lost];
      return [{ script: takeBack, keys: [lentKey(countKey)], args }];
    });
    const returned = valuesOf(await source.runAll(back, limitMs));
    onReturned(returned.reduce((sum: number, each) => sum + (Number(each) || 0), 0));
  }
}

const heldBy = (lease: QuotaLease | undefined): number =>
  lease === undefined ? -1 : lease.permits + lease.lost;

function moreFor({ one, used, lease }: Looked): number {
  const { share, ahead, pool } = one.want;
  const free = share + (lease?.permits ?? 0) - used;
  if (free >= ahead) return 0;
  one.step = performance.now() - one.leasedMono < soonMs ? Math.min(pool, one.step * 2) : ahead;
  return one.step + ahead - free;
}
