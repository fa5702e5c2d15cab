// Handles answers to methods other than GET and HEAD. They invalidate stored responses (RFC 9111 section 4.4). A POST's
// answer whose Content-Location is the target URL may be stored for GET (RFC 9110 section 9.3.3).
import { note, type Exchange, type ExchangeResponse } from "../../../src/plugin-api/contract.ts";
import { announcedBytes, BodyCopy } from "../store/body-copy.ts";
import { createBypassTest } from "./bypass.ts";
import { StoredEntry } from "../store/stored-entry.ts";
import { invalidatedUrls, isUnsafe, sameOriginUrl } from "../semantics/invalidation.ts";
import { createNormalQuery, type Key, type KeyOf } from "../key.ts";
import { keepEntry, storeRequest } from "../store/store-writer.ts";
import type { CacheOptions } from "../options.ts";
import { FieldSnapshot } from "./pending.ts";
import type { Fill } from "../purge/purges.ts";
import { readCacheRequest, type CacheRequest } from "../semantics/request.ts";
import type { CacheState } from "../state.ts";
import { draftEntry, effectiveDirectives } from "../semantics/storing.ts";

/** The key and fields of a POST, read before plugins behind the cache and the proxy change its fields. */
interface Asked {
  readonly key: Key;
  readonly seen: CacheRequest;
  readonly lookupFields: FieldSnapshot;
  readonly fill: Fill;
}

const postAsked = note<Asked>("cache post");

export class UnsafeMethods {
  readonly #state: CacheState;
  readonly #options: CacheOptions;
  readonly #keyOf: KeyOf;
  readonly #normal: ReturnType<typeof createNormalQuery>;
  readonly #bypasses: ReturnType<typeof createBypassTest>;

  constructor(state: CacheState, options: CacheOptions, keyOf: KeyOf) {
    this.#state = state;
    this.#options = options;
    this.#keyOf = keyOf;
    this.#normal = createNormalQuery(options);
    this.#bypasses = createBypassTest(options.bypass);
  }

  /** Called in the request phase of a request that is not cacheable; keeps the key of a POST for `answered`. */
  asked(exchange: Exchange): void {
    if (exchange.request.method !== "POST" || this.#bypasses(exchange.request)) return;
    const { fields } = exchange.request;
    const seen = readCacheRequest(fields, exchange.credentialFields);
    const key = this.#keyOf(exchange, seen);
    const fill: Fill = { url: key.url, invalidated: false, standIn: undefined, place: -1 };
    this.#state.purges.beginFill(fill);
    postAsked.set(exchange, { key, seen, lookupFields: new FieldSnapshot(fields), fill });
  }

  /** Called when the exchange is over, whatever its outcome. */
  completed(exchange: Exchange): void {
    if (exchange.request.method !== "POST") return;
    const asked = postAsked.get(exchange);
    if (asked !== undefined) this.#state.purges.endFill(asked.fill);
  }

  /** Called with the upstream's answer before it goes to the client: invalidates, and may store a POST's answer. */
  answered(exchange: Exchange, response: ExchangeResponse, tags: readonly string[]): void {
    const { method } = exchange.request;
    if (!isUnsafe(method) || exchange.request.upgrade !== undefined) return;
    const { region } = this.#state;
    const asked = method === "POST" ? postAsked.get(exchange) : undefined;
    const outdated = asked?.fill.invalidated === true;
    for (const value of invalidatedUrls(exchange, this.#normal, response)) {
      this.#state.purge({ kind: "url", value, soft: false, region });
    }
    if (asked === undefined || outdated || response.status !== 200) return;
    // The answer is newer than the purges that it caused.
    asked.fill.invalidated = false;
    this.#keepForGet(exchange, asked, response, tags);
  }

  #keepForGet(
    exchange: Exchange,
    { key, seen, lookupFields, fill }: Asked,
    response: ExchangeResponse,
    tags: readonly string[],
  ): void {
    const { fields } = response;
    const location = fields.get("content-location");
    // A plugin behind the cache wrote this caller's data into the response.
    if (location === undefined || exchange.responseIsPersonal) return;
    if (sameOriginUrl(exchange, this.#normal, location) !== key.url) return;
    const { directives } = effectiveDirectives(fields, this.#options.targets);
    if (response.failedOpen === true) return;
    const explicit = directives.maxAge ?? directives.sMaxAge ?? fields.get("expires");
    if (explicit === undefined) return;
    const draft = draftEntry({
      request: storeRequest(
        { key, seen, requestTimeMs: exchange.startedAt },
        lookupFields,
        exchange.request.fields,
      ),
      status: response.status,
      fields,
      responseTimeMs: this.#state.clock.now(),
      tags,
      policy: { ...this.#options, staleWhileRevalidateSeconds: 0 },
    });
    if (typeof draft === "string") return;
    const announced = announcedBytes(fields.get("content-length"));
    const to = { key, flight: undefined, leased: false };
    response.tap(
      new BodyCopy(this.#state.copies, this.#options.maxBodyBytes, announced, {
        complete: (body) => {
          if (fill.invalidated || response.failedOpen === true) return;
          keepEntry(this.#state, this.#options, new StoredEntry(draft, body, undefined), to);
        },
        abandoned: () => {},
        aborted: () => {},
      }),
    );
  }
}
