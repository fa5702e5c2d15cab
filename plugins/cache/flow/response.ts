// Handles the response phase. A 304 to the cache's own validation becomes a whole answer, a failure becomes a stale
// answer where that is allowed, and an answer that may be stored is copied while it streams.
import type {
  Exchange,
  ExchangeResponse,
  Fields,
  GatewayError,
  Outcome,
  RespondVerdict,
} from "../../../src/plugin-api/contract.ts";
import { answerFrom, replaceResponse } from "./answer.ts";
import { forwardedDiff } from "./forwarded-diff.ts";
import { announcedBytes, BodyCopy } from "../store/body-copy.ts";
import { describesSame, mergeFields } from "../semantics/conditional.ts";
import { type Entry, factsOf } from "../store/entry.ts";
import { StoredEntry } from "../store/stored-entry.ts";
import { dropSuperseded, Filling, refuseAnswer } from "./filling.ts";
import type { FlightEnd } from "../store/flights.ts";
import { dropEntry, keepEntry, keepNothing, storeRequest, takeCacheFields } from "../store/store-writer.ts";
import { writeStatusKey } from "./cache-status-key.ts";
import type { CacheOptions } from "../options.ts";
import { pendingOf, type Pending } from "./pending.ts";
import { restAfterFailureMs } from "./refresh.ts";
import { mayServeOnError } from "../semantics/reuse.ts";
import type { CacheState } from "../state.ts";
import { draftEntry, type Draft, isStorableStatus, type Refusal } from "../semantics/storing.ts";
import type { UnsafeMethods } from "./unsafe.ts";

/** Error statuses that a stale response may stand in for (RFC 5861 section 4). */
const standInFor = new Set([500, 502, 503, 504]);

export class ResponsePath {
  readonly #state: CacheState;
  readonly #options: CacheOptions;
  readonly #unsafe: UnsafeMethods;

  constructor(state: CacheState, options: CacheOptions, unsafe: UnsafeMethods) {
    this.#state = state;
    this.#options = options;
    this.#unsafe = unsafe;
  }

  readonly onResponse = (exchange: Exchange, response: ExchangeResponse): void => {
    this.#answered(exchange, response);
    const { keyRole } = this.#options;
    if (keyRole !== undefined) writeStatusKey(exchange, response, keyRole);
  };

  #answered(exchange: Exchange, response: ExchangeResponse): void {
    const { cacheStatus } = exchange;
    // The cache made this answer, so it is already marked.
    if (cacheStatus === "HIT" || cacheStatus === "STALE") return;
    const pending = cacheStatus === "MISS" ? pendingOf(exchange) : undefined;
    if (pending?.over === true) return;
    const fromUpstream = response.origin === "upstream";
    const tags = fromUpstream ? takeCacheFields(this.#state, this.#options, exchange, response.fields) : [];
    if (pending === undefined) {
      if (response.status !== 101) this.#bypassed(exchange, response, tags);
      return;
    }
    if (!fromUpstream) {
      this.#finish(pending, { kind: "uncacheable" });
      this.#mark(pending, response.fields, "");
      return;
    }
    if (pending.entry === undefined || !this.#fromStored(pending, pending.entry, response, tags)) {
      this.#store(pending, response, tags);
    }
  }

  readonly onError = (exchange: Exchange, error: GatewayError): RespondVerdict | undefined => {
    const pending = exchange.cacheStatus === "MISS" ? pendingOf(exchange) : undefined;
    if (pending === undefined || pending.over || !isUpstreamFailure(error)) return undefined;
    const answer = this.#staleIfError(pending, error.kind.status);
    if (answer === undefined) pending.flight?.end({ kind: "failed", error });
    return answer;
  };

  readonly onComplete = (exchange: Exchange, outcome: Outcome): void => {
    this.#unsafe.completed(exchange);
    const { cacheStatus } = exchange;
    if (cacheStatus === "HIT" || cacheStatus === "BYPASS") return;
    const pending = pendingOf(exchange);
    if (pending === undefined || pending.over) return;
    this.#finish(pending, endOf(outcome));
  };

  /**
   * Handles an upstream's answer that concerns the stored response: a 304 or a failure is replaced by it, a 200 to HEAD
   * freshens it.
   * @returns whether the answer is handled; false = it is still to be stored
   */
  #fromStored(pending: Pending, entry: Entry, response: ExchangeResponse, tags: readonly string[]): boolean {
    const { exchange } = pending;
    if (response.status === 304 && pending.validating) {
      this.#validated(pending, entry, response, tags);
      return true;
    }
    if (standInFor.has(response.status)) {
      const answer = this.#staleIfError(pending, response.status);
      if (answer !== undefined) replaceResponse(response, answer);
      return answer !== undefined;
    }
    if (exchange.request.method === "HEAD" && response.status === 200) {
      this.#freshenByHead(pending, entry, response, tags);
      return true;
    }
    return false;
  }

  /** The validator matched: the stored response is fresh again (RFC 9111 section 4.3.4). */
  #validated(pending: Pending, entry: Entry, response: ExchangeResponse, tags: readonly string[]): void {
    const { exchange, seen } = pending;
    const nowMs = this.#state.clock.now();
    // A Set-Cookie in a 304 is for this client only: it is not stored, and does not forbid storing the rest.
    const cookies = response.fields.getAll("set-cookie");
    response.fields.delete("set-cookie");
    const fresh =
      response.failedOpen === true ? undefined : this.#freshened(pending, entry, response.fields, tags);
    const detail = `fwd=${pending.forwarded}; fwd-status=304`;
    replaceResponse(response, answerFrom(fresh?.entry ?? entry, seen, nowMs, "HIT", detail));
    for (const cookie of cookies) response.fields.append("Set-Cookie", cookie);
    exchange.cacheStatus = "HIT";
    this.#state.counters.revalidated.inc();
    // A 304 may forbid storing what was stored so far: nobody who waits for it gets it then.
    this.#finish(
      pending,
      fresh?.kept === true ? { kind: "stored", entry: fresh.entry } : { kind: "uncacheable" },
    );
  }

  #freshenByHead(
    pending: Pending,
    entry: Entry,
    { fields, failedOpen }: ExchangeResponse,
    tags: readonly string[],
  ): void {
    if (failedOpen !== true) {
      if (describesSame(entry, fields)) this.#freshened(pending, entry, fields, tags);
      else dropSuperseded(this.#state, pending, 200);
    }
    this.#mark(pending, fields, "");
    this.#finish(pending, { kind: "uncacheable" });
  }

  /** @returns the freshened entry, stored if it may be (`kept`); undefined = the fields are about another response */
  #freshened(
    pending: Pending,
    entry: Entry,
    received: Fields,
    tags: readonly string[],
  ): { readonly entry: Entry; readonly kept: boolean } | undefined {
    const merged = mergeFields(entry, received, this.#state.clock.now());
    if (merged === undefined) return undefined;
    const draft = this.#draft(pending, entry.status, merged, tags.length > 0 ? tags : entry.tags);
    if (typeof draft === "string") {
      dropSuperseded(this.#state, pending, entry.status);
      const fields = merged.toFlat().slice();
      return { entry: new StoredEntry({ ...factsOf(entry), fields }, entry.body, undefined), kept: false };
    }
    const fresh = new StoredEntry(draft, entry.body, this.#forwardedDiff(pending, draft));
    if (fresh.partition !== entry.partition) dropEntry(this.#state, entry);
    if (!pending.fill.invalidated) keepEntry(this.#state, this.#options, fresh, pending);
    return { entry: fresh, kept: true };
  }

  #staleIfError(pending: Pending, status: number): RespondVerdict | undefined {
    const { exchange, seen } = pending;
    const entry = pending.fill.standIn;
    const { clock, counters, failedUntil } = this.#state;
    const nowMs = clock.now();
    if (entry === undefined || !mayServeOnError(entry, seen.directives, nowMs)) return undefined;
    failedUntil.set(entry, clock.mono() + restAfterFailureMs);
    exchange.cacheStatus = "STALE";
    counters.stale.inc();
    this.#finish(pending, { kind: "stale", entry });
    return answerFrom(entry, seen, nowMs, "STALE", `fwd=${pending.forwarded}; fwd-status=${status}`);
  }

  #store(pending: Pending, response: ExchangeResponse, tags: readonly string[]): void {
    const { status, fields } = response;
    const announced = announcedBytes(fields.get("content-length"));
    const draft = this.#draftUpTo(announced ?? 0, pending, response, tags);
    if (typeof draft === "string") {
      this.#mark(pending, fields, "");
      refuseAnswer(this.#state, pending, draft, status);
      return;
    }
    this.#mark(pending, fields, "; stored");
    const forwardedDiff = this.#forwardedDiff(pending, draft);
    const filling = new Filling(this.#state, this.#options, pending, draft, forwardedDiff, response);
    response.tap(new BodyCopy(this.#state.copies, this.#options.maxBodyBytes, announced, filling));
  }

  #draftUpTo(
    bytes: number,
    pending: Pending,
    { status, fields, failedOpen }: ExchangeResponse,
    tags: readonly string[],
  ): Draft | Refusal | "size" {
    if (failedOpen === true) return "failed-open";
    if (pending.exchange.request.method !== "GET" || !isStorableStatus(status)) return "status";
    return bytes > this.#options.maxBodyBytes ? "size" : this.#draft(pending, status, fields, tags);
  }

  #draft(pending: Pending, status: number, fields: Fields, tags: readonly string[]): Draft | Refusal {
    // A plugin behind the cache wrote this caller's data into the response.
    if (pending.exchange.responseIsPersonal) return "personal";
    const request = storeRequest(pending, pending.lookupFields, pending.exchange.request.fields);
    return draftEntry({
      request,
      status,
      fields,
      responseTimeMs: this.#state.clock.now(),
      tags,
      policy: this.#options,
    });
  }

  #forwardedDiff({ lookupFields, exchange }: Pending, draft: Draft): Entry["forwardedDiff"] {
    if (draft.staleWhileRevalidateMs === 0) return undefined;
    return forwardedDiff(lookupFields.fields, exchange.request.fields);
  }

  #mark(pending: Pending, fields: Fields, stored: string): void {
    this.#state.counters.miss.inc();
    fields.set("X-Cache", "MISS");
    fields.append("Cache-Status", `outrigger; fwd=${pending.forwarded}${stored}`);
  }

  #bypassed(exchange: Exchange, response: ExchangeResponse, tags: readonly string[]): void {
    exchange.cacheStatus = "BYPASS";
    this.#state.counters.bypass.inc();
    if (response.origin === "upstream") this.#unsafe.answered(exchange, response, tags);
    const { method } = exchange.request;
    response.fields.set("X-Cache", "BYPASS");
    const reason = method === "GET" || method === "HEAD" ? "bypass" : "method";
    response.fields.append("Cache-Status", `outrigger; fwd=${reason}`);
  }

  #finish(pending: Pending, end: FlightEnd): void {
    pending.over = true;
    this.#state.purges.endFill(pending.fill);
    keepNothing(this.#state, pending, end);
  }
}

/** How a flight ends for its waiters when its exchange left nothing to store. */
function endOf({ end, error }: Outcome): FlightEnd {
  if (end === "client-aborted" || end === "shutdown") return { kind: "retry" };
  return error !== undefined && isUpstreamFailure(error)
    ? { kind: "failed", error }
    : { kind: "uncacheable" };
}

/** Whether the upstream or the way to it failed, which is never the fault of this request. */
function isUpstreamFailure({ code }: GatewayError): boolean {
  return code.startsWith("upstream_") || code === "overloaded";
}
