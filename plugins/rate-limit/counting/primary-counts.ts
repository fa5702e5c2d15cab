// Does in memory what takeScript does in Redis, for the workers of a sidecar without Redis: their primary decides the
// same calls. script.ts says what keys, arguments and answers mean; algorithms.ts has the arithmetic.
import { z } from "zod";
import { boundedCache, type Clock } from "../../../src/plugin-api/contract.ts";
import { emptyUsage, free, roll, waitMs, type Rule, type Usage } from "./algorithms.ts";
import { windowStart } from "./window.ts";

/** The least recently used counts are evicted, and their usage is forgotten. About 200 bytes each. */
const maxCounts = 200_000;

const calls = z.array(z.strictObject({ keys: z.array(z.string()), args: z.array(z.string()) }));
type Call = z.output<typeof calls>[number];

const number = z.coerce.number();
const flag = z.enum(["0", "1"]);
const reservationWords = z.tuple(
  [z.enum(["g", "s", "f"]), number, number, z.string(), flag, number, number, number, flag, number],
  // Present for a limit over regions, and ignored: nobody leases anything to a sidecar without Redis.
  z.string(),
);
const reservationCount = z.coerce.number().int().min(0);

const algorithms = { g: "gcra", s: "sliding", f: "fixed" } as const;

interface Reservation {
  readonly key: string;
  readonly rule: Rule;
  readonly usage: Usage;
  /** Whether the key had a count before. */
  readonly known: boolean;
  readonly enforced: boolean;
  readonly least: number;
  /** Below zero: this many permits are given back. */
  readonly most: number;
  readonly unreportedUsage: number;
  readonly free: number;
}

class Counts {
  readonly #clock: Clock;
  readonly #usages = boundedCache<Usage>(maxCounts);

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  decide({ keys, args }: Call): unknown[] {
    // As in Redis, one clock for everything: the wall clock, because quotas follow the calendar.
    const nowMs = this.#clock.now();
    const reply: unknown[] = [String(Math.floor(nowMs))];
    const left = keys.values();
    const nextKey = (): string => left.next().value ?? "";
    for (let at = 0, count = 0; at < args.length; at += 1 + count) {
      count = reservationCount.parse(args[at]);
      const reservations = args.slice(at + 1, at + 1 + count).map((text) => this.#open(text, nextKey, nowMs));
      for (const reservation of reservations) if (reservation.most < 0) this.#giveBack(reservation, nowMs);
      const fits = reservations.every(
        ({ enforced, most, free, least }) => !enforced || most < 0 || free >= least,
      );
      for (const reservation of reservations) reply.push(...this.#settle(reservation, fits, nowMs));
    }
    return reply;
  }

  #open(text: string, nextKey: () => string, nowMs: number): Reservation {
    const words = reservationWords.parse(text.split(" "));
    const [kind, capacity, perMs, window, enforced, least, most, unreportedUsage, former, floor, region] =
      words;
    const monthly = window === "M";
    const ms = monthly ? 2_592_000_000 : number.parse(window);
    const rule: Rule = { algorithm: algorithms[kind], capacity, perMs, window: { ms, monthly } };
    const key = nextKey();
    const kept = this.#usages.get(key);
    const usage = rolled(kept, rule, nowMs);
    if (former === "1") {
      const before = rolled(this.#usages.get(nextKey()), rule, nowMs);
      usage.level = Math.max(usage.level, before.level);
      if (kind === "g") usage.level = Math.min(capacity, usage.level);
      usage.before = Math.max(usage.before, before.before);
    }
    if (region !== undefined) nextKey();
    if (most >= 0 && floor > usage.level && (kept === undefined || kind !== "s"))
      usage.level = Math.min(capacity, floor);
    if (most >= 0 && unreportedUsage > 0) usage.level = Math.min(2 * capacity, usage.level + unreportedUsage);
    const known = kept !== undefined;
    return {
      key,
      rule,
      usage,
      known,
      enforced: enforced === "1",
      least,
      most,
      unreportedUsage,
      free: free(usage, rule, nowMs),
    };
  }

  #giveBack({ key, rule, usage, known, most, unreportedUsage: grantedAt }: Reservation, nowMs: number): void {
    let amount = -most;
    // A gcra permit drains with time, so less is given back; permits of a window end with it.
    if (rule.algorithm === "gcra") amount -= Math.max(0, nowMs - grantedAt) * rule.perMs;
    else if (windowStart(rule.window, grantedAt) !== usage.since) return;
    if (!known || amount <= 0) return;
    usage.level = Math.max(0, usage.level - amount);
    this.#usages.set(key, usage);
  }

  /** @returns permits granted and left, wait and reset in milliseconds */
  #settle(reservation: Reservation, fits: boolean, nowMs: number): number[] {
    const { key, rule, usage, least, most } = reservation;
    let granted = 0;
    if (fits && most >= 0 && reservation.free >= least) {
      granted = Math.min(most, Math.max(least, Math.floor(reservation.free / 2)));
      usage.level += granted;
    }
    if (most >= 0 && (usage.level > 0 || usage.before > 0)) this.#usages.set(key, usage);
    const left = free(usage, rule, nowMs);
    const next = Math.floor(left) + 1;
    return [
      granted,
      Math.max(0, Math.floor(left)),
      Math.ceil(waitMs(usage, rule, nowMs, Math.max(1, least))),
      next > rule.capacity ? 0 : Math.ceil(waitMs(usage, rule, nowMs, next)),
    ];
  }
}

function rolled(usage: Usage | undefined, rule: Rule, nowMs: number): Usage {
  const copy = { ...(usage ?? emptyUsage()) };
  roll(copy, rule, nowMs);
  return copy;
}

/**
 * @returns a function over a list of the script's calls, each a list of keys and args; it throws for any other shape
 */
export function createCounts(clock: Clock): (request: unknown) => unknown[][] {
  const counts = new Counts(clock);
  return (request) => calls.parse(request).map((call) => counts.decide(call));
}
