// Handles answers to methods other than GET and HEAD. They invalidate stored responses (RFC 9111 section 4.4). A POST's
// answer whose Content-Location is the target URL may be stored for GET (RFC 9110 section 9.3.3).
import { Fields, note, type Exchange, type ExchangeResponse } from "../../../src/plugin-api/contract.ts";
import { announcedBytes, BodyCopy } from "../store/body-copy.ts";
import { createBypassTest } from "./bypass.ts";
import { StoredEntry } from "../store/stored-entry.ts";
import { invalidatedUrls, isUnsafe, sameOriginUrl } from "../semantics/invalidation.ts";
import { createNormalQuery, type Key, type KeyOf } from "../key.ts";
import { keepEntry, storeRequest } from "../store/store-writer.ts";
import type { CacheOptions } from "../options.ts";
import { readCacheRequest, type CacheRequest } from "../semantics/request.ts";
import type { CacheState } from "../state.ts";
import { draftEntry, effectiveDirectives } from "../semantics/storing.ts";

/** The key and fields of a POST, read before plugins behind the cache and the proxy change its fields. */
interface Asked {
  readonly key: Key;
  readonly seen: CacheRequest;
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
    const seen = readCacheRequest(exchange.request.fields, exchange.credentialFields);
    const asked: Asked = { key: this.#keyOf(exchange, seen), seen };
    postAsked.set(exchange, asked);
  }

  /** Called with the upstream's answer before it goes to the client: invalidates, and may store a POST's answer. */
  answered(exchange: Exchange, response: ExchangeResponse, tags: readonly string[]): void {
    const { method } = exchange.request;
    if (!isUnsafe(method) || exchange.request.upgrade !== undefined) return;
    const { region } = this.#state;
    for (const value of invalidatedUrls(exchange, this.#normal, response)) {
      this.#state.purge({ kind: "url", value, soft: false, region });
    }
    if (method === "POST" && response.status === 200) this.#keepForGet(exchange, response, tags);
  }

  #keepForGet(exchange: Exchange, response: ExchangeResponse, tags: readonly string[]): void {
    const { fields } = response;
    const location = fields.get("content-location");
    const asked = postAsked.get(exchange);
    if (location === undefined || asked === undefined) return;
    const { key, seen } = asked;
    if (sameOriginUrl(exchange, this.#normal, location) !== key.url) return;
    const { directives } = effectiveDirectives(fields, this.#options.targets);
    const explicit = directives.maxAge ?? directives.sMaxAge ?? fields.get("expires");
    if (explicit === undefined) return;
    const { fields: request } = exchange.request;
    const draft = draftEntry({
      request: storeRequest(
        { key, seen, requestTimeMs: exchange.startedAt },
        new Fields(request.toFlat()),
        request,
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
        complete: (body) =>
          keepEntry(this.#state, this.#options, new StoredEntry(draft, body, undefined), to),
        abandoned: () => {},
        aborted: () => {},
      }),
    );
  }
}
