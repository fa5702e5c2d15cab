// Refreshes stale entries in the background (RFC 5861 section 3), with one request at a time for each entry.
import { Fields, type UpstreamAnswer } from "../../../src/plugin-api/contract.ts";
import { dropSuperseded } from "./filling.ts";
import { repeatDiff } from "./forwarded-diff.ts";
import { announcedBytes, BodyCopy, type KeptBody } from "../store/body-copy.ts";
import { askWithValidators, mergeFields } from "../semantics/conditional.ts";
import type { Entry } from "../store/entry.ts";
import { StoredEntry } from "../store/stored-entry.ts";
import { keepEntry, storeRequest, takeCacheFields } from "../store/store-writer.ts";
import type { CacheOptions } from "../options.ts";
import type { Wanted } from "./pending.ts";
import type { Fill } from "../purge/purges.ts";
import type { CacheState } from "../state.ts";
import { draftEntry, type Draft } from "../semantics/storing.ts";

const maxRefreshes = 256;
/** After the upstream failed for an entry, it is not asked for that entry again for this long. */
export const restAfterFailureMs = 1_000;

export class Refresher {
  readonly #state: CacheState;
  readonly #options: CacheOptions;

  constructor(state: CacheState, options: CacheOptions) {
    this.#state = state;
    this.#options = options;
  }

  /** @returns false when the entry cannot be refreshed in the background, so that it must be validated before use */
  start(wanted: Wanted, entry: Entry): boolean {
    const { refreshing, failedUntil, clock } = this.#state;
    if (refreshing.has(entry)) return true;
    // The entry came from Redis: how this sidecar's plugins change its request is not known yet.
    if (entry.forwardedDiff === undefined) return false;
    if (refreshing.size >= maxRefreshes || clock.mono() < (failedUntil.get(entry) ?? 0)) return true;
    refreshing.add(entry);
    const fill: Fill = { url: entry.url, invalidated: false, standIn: undefined, place: -1 };
    this.#state.purges.beginFill(fill);
    this.#refresh(wanted, entry, fill)
      .catch((error: unknown) => {
        failedUntil.set(entry, clock.mono() + restAfterFailureMs);
        this.#state.logger.debug({ route: wanted.exchange.route.pattern, err: error }, "refresh failed");
      })
      .finally(() => {
        refreshing.delete(entry);
        this.#state.purges.endFill(fill);
      });
    return true;
  }

  async #refresh(wanted: Wanted, entry: Entry, fill: Fill): Promise<void> {
    const { exchange, key, seen } = wanted;
    const { path, query } = exchange.request;
    const lookupFields = exchange.request.fields.copy();
    const fields = exchange.request.fields.copy();
    for (const name of ["range", "if-range", "cache-control", "pragma"]) fields.delete(name);
    if (entry.forwardedDiff !== undefined) repeatDiff(fields, entry.forwardedDiff);
    askWithValidators(fields, entry);
    const requestTimeMs = this.#state.clock.now();
    const answer = await exchange.fetchUpstream({ method: "GET", path, query, fields });
    if (answer.status >= 500) {
      answer.body.destroy();
      throw new Error(`refresh was answered ${answer.status}`);
    }
    const { body, received, status } = await this.#whole(answer, entry);
    const tags = takeCacheFields(this.#state, this.#options, exchange, received);
    if (answer.failedOpen === true) throw new Error("a plugin behind the cache failed open");
    const draft = draftEntry({
      request: storeRequest(
        { key, seen: { ...seen, directives: undefined }, requestTimeMs },
        lookupFields,
        fields,
      ),
      status,
      fields: received,
      responseTimeMs: this.#state.clock.now(),
      tags: tags.length > 0 || body !== entry.body ? tags : entry.tags,
      policy: this.#options,
    });
    if (typeof draft === "string" || exchange.responseIsPersonal || !isForAsMany(draft, entry)) {
      dropSuperseded(this.#state, { entry, key, seen }, status);
    } else if (!fill.invalidated) {
      const fresh = new StoredEntry(draft, body, entry.forwardedDiff);
      keepEntry(this.#state, this.#options, fresh, { key, flight: undefined, leased: false });
    }
  }

  /** Reads the whole answer. For a 304, returns the stored body with the freshened fields. */
  async #whole(
    answer: UpstreamAnswer,
    entry: Entry,
  ): Promise<{ body: KeptBody; received: Fields; status: number }> {
    if (answer.status === 304) {
      answer.body.destroy();
      const merged = mergeFields(entry, answer.fields, this.#state.clock.now());
      if (merged === undefined) throw new Error("the 304 is not about the stored response");
      return { body: entry.body, received: merged, status: entry.status };
    }
    return {
      body: await this.#collect(answer),
      received: new Fields(answer.fields.toFlat()),
      status: answer.status,
    };
  }

  async #collect(answer: UpstreamAnswer): Promise<Buffer> {
    let complete: Buffer | undefined;
    let refused = false;
    const announced = announcedBytes(answer.fields.get("content-length"));
    const copy = new BodyCopy(this.#state.copies, this.#options.maxBodyBytes, announced, {
      complete: (body) => {
        complete = body;
      },
      abandoned: () => {
        refused = true;
      },
      aborted: () => {},
    });
    try {
      for await (const chunk of answer.body) {
        copy.chunk(chunk);
        if (refused) break;
      }
      copy.end();
    } finally {
      copy.abort();
    }
    if (complete === undefined) throw new Error("the refreshed body could not be kept");
    return complete;
  }
}

/**
 * Whether the refreshed answer is for as many callers as the entry was. A refresh repeats the field changes of the
 * request that filled the entry, so it names that caller and not the current one: a narrower answer fits neither.
 */
function isForAsMany(draft: Draft, entry: Entry): boolean {
  return draft.partition === entry.partition && (draft.forAnyone || !entry.forAnyone);
}
