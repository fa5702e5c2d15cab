// Finds the callers of a region that want more of their quota over regions. Sidecars list them, one list for each
// service.
import { servicesKey } from "../../fleet/heartbeat.ts";
import { parseWant, type QuotaWant, wantsKey } from "../../language/region-quota.ts";
import { replyList, type Script, type Store } from "../../plugin-api/store.ts";
import { dropWants, readWants } from "./quota-scripts.ts";

const limitMs = 3_000;
const listsPerScript = 32;
const maxServices = 500;
/** Limit for all services together; callers that wanted more last are kept. */
const maxCallers = 10_000;

const readServices: Script = {
  name: "relay-quota-services",
  lua: `return redis.call('ZREVRANGE', KEYS[1], 0, ARGV[1] - 1)`,
};

/** A caller whose sidecars want more permits in a window, or wanted some. */
export interface Wanting {
  readonly text: string;
  readonly list: string;
  readonly countKey: string;
  readonly want: QuotaWant;
  /** Time of its last want, by the region's clock. */
  atMs: number;
  /** Permits leased ahead of need the last time, and the time of that. */
  step: number;
  leasedMono: number;
  /** Permits used when this caller was last looked at. */
  used: number;
}

export class QuotaWants {
  readonly #store: Store;
  readonly #home: string;
  /** Ordered by the last want, oldest first. */
  readonly #wanting = new Map<string, Wanting>();
  /** Time of the last want, by list. */
  readonly #lists = new Map<string, number>();
  /** Another home region that some limits have. */
  otherHome: string | undefined;

  constructor(store: Store, home: string) {
    this.#store = store;
    this.#home = home;
  }

  /** All callers that are known. */
  get all(): Wanting[] {
    return [...this.#wanting.values()];
  }

  /** Finds the lists. They are then read from their beginning: the clock that orders them may have been set back. */
  async findLists(): Promise<void> {
    const reply = await this.#store.run(readServices, [servicesKey], [maxServices], limitMs);
    const services = replyList(reply).map(String);
    this.#lists.clear();
    for (const sharers of ["@fleet", ...services]) this.#lists.set(wantsKey(sharers), -Infinity);
    this.otherHome = undefined;
  }

  /** @returns the callers that want more now. Rejects with StoreUnavailable */
  async read(): Promise<Wanting[]> {
    const lists = [...this.#lists];
    const size = this.#store.sharded === false ? listsPerScript : 1;
    const groups: [string, number][][] = [];
    for (let at = 0; at < lists.length; at += size) groups.push(lists.slice(at, at + size));
    const calls = groups.map((group) => ({
      script: readWants,
      keys: group.map(([list]) => list),
      args: group.map(([, since]) => (since === -Infinity ? "-inf" : `(${since}`)),
    }));
    const replies = valuesOf(await this.#store.runAll(calls, limitMs));
    return replies.flatMap((reply, group) =>
      replyList(reply).flatMap((found, at) => {
        const list = groups[group]?.[at]?.[0];
        return list === undefined || !Array.isArray(found) ? [] : this.#note(list, found as unknown[]);
      }),
    );
  }

  async drop(over: readonly Wanting[]): Promise<void> {
    for (const { text } of over) this.#wanting.delete(text);
    const calls = over.map(({ list, text }) => ({ script: dropWants, keys: [list], args: [text] }));
    if (calls.length > 0) await this.#store.runAll(calls, limitMs);
  }

  /** @param found flat list of want, time, … */
  #note(list: string, found: readonly unknown[]): Wanting[] {
    const fresh: Wanting[] = [];
    for (let at = 0; at + 1 < found.length; at += 2) {
      const text = String(found[at]);
      const atMs = Number(found[at + 1]);
      const parsed = parseWant(text, list.slice("rl:".length, -":wants".length));
      if (parsed === undefined || !Number.isSafeInteger(Math.floor(atMs))) continue;
      this.#lists.set(list, Math.max(this.#lists.get(list) ?? 0, atMs));
      if (parsed.want.home !== this.#home) {
        this.otherHome = parsed.want.home;
        continue;
      }
      const known = this.#wanting.get(text);
      if (known === undefined ? !this.#makeRoom(atMs) : known.atMs === atMs) continue;
      const one = known ?? { ...parsed, text, list, atMs, step: 0, leasedMono: -Infinity, used: -1 };
      one.atMs = atMs;
      this.#wanting.delete(text);
      this.#wanting.set(text, one);
      fresh.push(one);
    }
    return fresh;
  }

  /**
   * Drops the oldest caller if there are too many. Its leased permits are by then given back or used, or stay unused
   * until the window ends.
   */
  #makeRoom(atMs: number): boolean {
    if (this.#wanting.size < maxCallers) return true;
    const [oldest] = this.#wanting.values();
    if (oldest === undefined || oldest.atMs >= atMs) return false;
    return this.#wanting.delete(oldest.text);
  }
}

/** @returns the values. @throws the reason of the first call that failed */
export function valuesOf(outcomes: readonly PromiseSettledResult<unknown>[]): unknown[] {
  return outcomes.map((outcome) => {
    if (outcome.status === "rejected") throw outcome.reason;
    return outcome.value;
  });
}
