// Handles the request phase: answers with a stored response, or hands the request on as a miss. A hit in memory is
// answered synchronously, without a promise.
import type { Exchange, RespondVerdict, Verdict } from "../../../src/plugin-api/contract.ts";
import { answerFrom } from "./answer.ts";
import { createBypassTest } from "./bypass.ts";
import type { Entry } from "../store/entry.ts";
import { Finder } from "./finding.ts";
import { isEverybodys, type KeyOf } from "../key.ts";
import { keepStatusKey } from "./cache-status-key.ts";
import { MissPath } from "./miss.ts";
import type { CacheOptions } from "../options.ts";
import type { Wanted } from "./pending.ts";
import { Refresher } from "./refresh.ts";
import { type CacheRequest, isCacheable, readCacheRequest } from "../semantics/request.ts";
import { ageSeconds, mayServeOnError, reuseOf } from "../semantics/reuse.ts";
import type { CacheState } from "../state.ts";
import type { UnsafeMethods } from "./unsafe.ts";

export class LookUp {
  readonly #state: CacheState;
  readonly #options: CacheOptions;
  readonly #finder: Finder;
  readonly #refresher: Refresher;
  readonly #missPath: MissPath;
  readonly #unsafe: UnsafeMethods;
  readonly #keyOf: KeyOf;
  readonly #bypasses: ReturnType<typeof createBypassTest>;

  constructor(state: CacheState, options: CacheOptions, keyOf: KeyOf, unsafe: UnsafeMethods) {
    const finder = new Finder(state, options);
    this.#unsafe = unsafe;
    this.#state = state;
    this.#options = options;
    this.#finder = finder;
    this.#refresher = new Refresher(state, options);
    this.#missPath = new MissPath(state, options, finder, this.#use);
    this.#keyOf = keyOf;
    this.#bypasses = createBypassTest(options.bypass);
  }

  readonly onRequest = (exchange: Exchange): Verdict | Promise<Verdict> => {
    if (!isCacheable(exchange)) {
      this.#unsafe.asked(exchange);
      return undefined;
    }
    if (this.#bypasses(exchange.request)) {
      exchange.explain("bypassed", "by the policy");
      return undefined;
    }
    const seen = this.#read(exchange);
    if (seen.needsUpstream || seen.directives?.noStore === true) {
      exchange.explain("bypassed", "by the request");
      return undefined;
    }
    const key = this.#keyOf(exchange, seen);
    if (this.#options.keyRole !== undefined) keepStatusKey(exchange, key.url);
    exchange.explain("key", key.hash, "keyedFor", isEverybodys(key.own) ? "everybody" : "callers alike");
    const wanted: Wanted = { exchange, key, seen };
    const entry = this.#finder.inMemory(wanted);
    if (entry === undefined) return this.#missPath.run(wanted, undefined);
    this.#state.memory.touch(entry);
    return this.#use(wanted, entry, exchange.startedAt, "hit") ?? this.#missPath.run(wanted, entry);
  };

  #read({ request, credentialFields }: Exchange): CacheRequest {
    const read = readCacheRequest(request.fields, credentialFields);
    const seen = this.#options.respectClient ? read : { ...read, directives: undefined };
    // Ranges are defined for GET alone (RFC 9110 section 14.2).
    return seen.range === undefined || request.method === "GET" ? seen : { ...seen, range: undefined };
  }

  /** @returns the answer; undefined when the upstream has to be asked first */
  readonly #use = (
    wanted: Wanted,
    entry: Entry,
    nowMs: number,
    how: "hit" | "collapsed",
  ): RespondVerdict | undefined => {
    const { exchange, seen } = wanted;
    const { counters } = this.#state;
    const reuse = reuseOf(entry, seen.directives, nowMs);
    if (reuse === "fresh") {
      counters[how].inc();
      exchange.cacheStatus = "HIT";
      explainStored(exchange, entry, nowMs);
      return answerFrom(entry, seen, nowMs, "HIT", how === "hit" ? "hit" : "fwd=uri-miss; collapsed");
    }
    if (reuse === "validate" && !this.#standsIn(wanted, entry, nowMs)) return undefined;
    if (reuse === "revalidating" && !this.#refresher.start(wanted, entry)) return undefined;
    counters.stale.inc();
    exchange.cacheStatus = "STALE";
    explainStored(exchange, entry, nowMs);
    return answerFrom(entry, seen, nowMs, "STALE", "hit");
  };

  // Whether a stale entry answers because the upstream failed for it a moment ago. If each request asked the upstream
  // again, each would wait for the failure.
  #standsIn({ seen }: Wanted, entry: Entry, nowMs: number): boolean {
    const until = this.#state.failedUntil.get(entry);
    if (until === undefined || this.#state.clock.mono() >= until) return false;
    return seen.directives?.noCache !== true && mayServeOnError(entry, seen.directives, nowMs);
  }
}

function explainStored(exchange: Exchange, entry: Entry, nowMs: number): void {
  const freshSeconds = Math.ceil((entry.freshUntil - nowMs) / 1000);
  exchange.explain("ageSeconds", ageSeconds(entry, nowMs), "freshForSeconds", freshSeconds);
}
