// Handles a miss: waits for a flight of the same key, looks in Redis, or leads a flight and asks the upstream.
import { setTimeout as sleep } from "node:timers/promises";
import { GatewayError, type RespondVerdict, type Verdict } from "../../../src/plugin-api/contract.ts";
import { notCachedAnswer } from "./answer.ts";
import { askWithValidators } from "../semantics/conditional.ts";
import { hasValidator, type Entry } from "../store/entry.ts";
import type { Finder } from "./finding.ts";
import type { FlightEnd, FlightKey } from "../store/flights.ts";
import { keepNothing } from "../store/store-writer.ts";
import type { CacheOptions } from "../options.ts";
import { FieldSnapshot, keepPending, type Pending, type Wanted } from "./pending.ts";
import { mayServeOnError, reuseOf } from "../semantics/reuse.ts";
import type { CacheState } from "../state.ts";

/** Most flights that one request waits for, one after the other. */
const maxRounds = 4;

/** Answers with a stored response; undefined when the upstream must be asked first. */
type Use = (
  wanted: Wanted,
  entry: Entry,
  nowMs: number,
  how: "hit" | "collapsed",
) => RespondVerdict | undefined;

export class MissPath {
  readonly #state: CacheState;
  readonly #options: CacheOptions;
  readonly #finder: Finder;
  readonly #use: Use;

  constructor(state: CacheState, options: CacheOptions, finder: Finder, use: Use) {
    this.#state = state;
    this.#options = options;
    this.#finder = finder;
    this.#use = use;
  }

  /** @param entry stored response that may not be used as it is. @returns a promise only if something is awaited */
  run(wanted: Wanted, entry: Entry | undefined): Verdict | Promise<Verdict> {
    const { uncacheable, clock, flights, redis } = this.#state;
    const flightKey = this.#finder.flightKey(wanted, entry);
    const nowMono = clock.mono();
    // A request with no-cache, and one for a key under hit-for-miss, waits for no flight.
    if (wanted.seen.directives?.noCache === true || uncacheable.has(flightKey.hash, nowMono)) {
      return this.#ask(this.#pend(wanted, entry, undefined));
    }
    const joins = this.#options.coalesce !== "off";
    const flying = joins && flights.find(flightKey, nowMono, this.#options.coalesceWaitMs) !== undefined;
    if (flying || (this.#options.redis && redis?.up === true)) return this.#slowly(wanted, entry, flightKey);
    return this.#ask(this.#pend(wanted, entry, flightKey));
  }

  async #slowly(wanted: Wanted, entry: Entry | undefined, firstKey: FlightKey): Promise<Verdict> {
    const { flights, clock } = this.#state;
    const { coalesce, coalesceWaitMs } = this.#options;
    const { signal } = wanted.exchange;
    const endMono = clock.mono() + coalesceWaitMs;
    let flightKey = firstKey;
    for (let round = 0; round < maxRounds && !signal.aborted; round += 1) {
      const nowMono = clock.mono();
      const flight = coalesce === "off" ? undefined : flights.find(flightKey, nowMono, coalesceWaitMs);
      if (flight === undefined) return this.#first(wanted, entry, flightKey, endMono);
      if (nowMono >= endMono) break;
      const end = await flight.wait(signal, endMono - nowMono);
      const answer = this.#afterFlight(wanted, end);
      if (answer !== undefined) return answer;
      if (end.kind === "failed") return this.#failWith(wanted, entry, end.error);
      if (end.kind === "uncacheable" || end.kind === "stale") break;
      // The flight stored another variant. Its Vary is known now, and gives the key of this request's own flight.
      if (end.kind === "stored") flightKey = this.#finder.flightKey(wanted, end.entry);
    }
    // An aborted exchange gets no Pending: nothing would end it.
    return signal.aborted ? undefined : this.#ask(this.#pend(wanted, entry, undefined));
  }

  #afterFlight(wanted: Wanted, end: FlightEnd): RespondVerdict | undefined {
    if (!("entry" in end) || !this.#finder.fits(end.entry, wanted)) return undefined;
    return this.#use(wanted, end.entry, this.#state.clock.now(), "collapsed");
  }

  /**
   * The flight failed. A request whose stale entry may stand in asks the upstream; every other one gets the same error,
   * so that a failing upstream is not asked once per waiter.
   */
  #failWith(wanted: Wanted, entry: Entry | undefined, error: GatewayError): Verdict {
    const nowMs = this.#state.clock.now();
    if (entry !== undefined && mayServeOnError(entry, wanted.seen.directives, nowMs)) {
      return this.#ask(this.#pend(wanted, entry, undefined));
    }
    this.#endUnasked(this.#pend(wanted, entry, undefined));
    return { action: "reject", error: collapsedError(error) };
  }

  #endUnasked(pending: Pending): void {
    pending.over = true;
    this.#state.purges.endFill(pending.fill);
    keepNothing(this.#state, pending, { kind: "uncacheable" });
    this.#state.counters.miss.inc();
    pending.exchange.cacheStatus = "MISS";
  }

  /** No flight is under way: asks Redis, then the upstream, for all requests that come meanwhile. */
  async #first(
    wanted: Wanted,
    entry: Entry | undefined,
    flightKey: FlightKey,
    endMono: number,
  ): Promise<Verdict> {
    const pending = this.#pend(wanted, entry, flightKey);
    const found = await this.#finder.inRedis(wanted);
    const answer =
      this.#answerFor(pending, found) ?? this.#answerFor(pending, await this.#leaseOrEntry(pending, endMono));
    if (answer !== undefined) return answer;
    if (pending.over) return undefined;
    if (found !== undefined) {
      pending.entry = found;
      pending.fill.standIn = found;
      pending.forwarded = "stale";
    }
    return this.#ask(pending);
  }

  #answerFor(pending: Pending, found: Entry | undefined): RespondVerdict | undefined {
    if (found === undefined) return undefined;
    const answer = this.#use(pending, found, this.#state.clock.now(), "hit");
    if (answer === undefined) return undefined;
    this.#state.purges.endFill(pending.fill);
    pending.over = true;
    pending.flight?.end({ kind: "stored", entry: found });
    if (pending.leased) this.#state.redis?.release(pending.key.url, pending.key.own);
    return answer;
  }

  /**
   * With `coalesce: fleet`, waits until this sidecar gets the fleet's lease or the holder's entry is in Redis.
   * @param endMono when to stop waiting, monotonic ms
   * @returns the holder's entry; undefined when this sidecar must ask the upstream
   */
  async #leaseOrEntry(pending: Pending, endMono: number): Promise<Entry | undefined> {
    const { redis, clock } = this.#state;
    const { coalesce, coalesceWaitMs, redisWaitMs } = this.#options;
    if (coalesce !== "fleet" || redis === undefined || pending.flight === undefined) return undefined;
    const { key, seen, exchange } = pending;
    const { signal } = exchange;
    for (let pauseMs = 20; ; pauseMs = Math.min(200, pauseMs * 1.5)) {
      pending.leased = await redis.lease(key.url, key.own, coalesceWaitMs, redisWaitMs);
      // The client left while Redis was asked: nothing else would release the lease.
      if (pending.leased && pending.over) redis.release(key.url, key.own);
      if (pending.leased || !redis.up || signal.aborted || clock.mono() >= endMono) return undefined;
      await sleep(pauseMs, undefined, { signal }).catch(() => {});
      const entry = await this.#finder.inRedis(pending);
      if (entry !== undefined && reuseOf(entry, seen.directives, clock.now()) !== "validate") return entry;
    }
  }

  /**
   * Records the request before anything is awaited, because its client may leave at any time.
   * @param flightKey key of the flight that it may lead
   */
  #pend(wanted: Wanted, entry: Entry | undefined, flightKey: FlightKey | undefined): Pending {
    const { clock, flights, purges, memory } = this.#state;
    const { exchange, key, seen } = wanted;
    const begins = flightKey !== undefined && this.#options.coalesce !== "off" && leads(wanted, entry);
    const variants = entry === undefined && memory.find(key.url, key.own, key.hash) !== undefined;
    const pending: Pending = {
      exchange,
      key,
      seen,
      entry,
      forwarded: variants ? "vary-miss" : "uri-miss",
      validating: false,
      flight: begins ? flights.begin(flightKey, clock.mono()) : undefined,
      leased: false,
      fill: { url: key.url, invalidated: false, standIn: entry, place: -1 },
      lookupFields: new FieldSnapshot(exchange.request.fields),
      requestTimeMs: clock.now(),
      over: false,
    };
    if (entry !== undefined) pending.forwarded = seen.directives === undefined ? "stale" : "request";
    purges.beginFill(pending.fill);
    keepPending(pending);
    return pending;
  }

  #ask(pending: Pending): Verdict {
    const { exchange, entry, seen } = pending;
    if (seen.directives?.onlyIfCached === true) {
      this.#endUnasked(pending);
      return notCachedAnswer(exchange.id);
    }
    exchange.cacheStatus = "MISS";
    exchange.explain("missed", pending.forwarded);
    if (entry !== undefined && hasValidator(entry)) {
      pending.validating = true;
      askWithValidators(exchange.request.fields, entry);
    }
    return undefined;
  }
}

function collapsedError(error: GatewayError): GatewayError {
  const status = ["X-Cache", "MISS", "Cache-Status", "outrigger; fwd=uri-miss; collapsed"];
  return new GatewayError(error.code, error.detail, { cause: error, fields: [...error.fields, ...status] });
}

/** Whether other requests can use the answer to this one: it will be complete and unconditional. */
function leads({ exchange, seen }: Wanted, entry: Entry | undefined): boolean {
  if (exchange.request.method !== "GET" || seen.range !== undefined) return false;
  const conditional = seen.ifNoneMatch !== undefined || seen.ifModifiedSince !== undefined;
  return !conditional || (entry !== undefined && hasValidator(entry));
}
