// Stores an answer once its body is copied, or gives up. The copy is made while the answer streams to the client.
import type { ExchangeResponse } from "../../../src/plugin-api/contract.ts";
import type { ForwardedDiff } from "./forwarded-diff.ts";
import type { CopyEvents } from "../store/body-copy.ts";
import { StoredEntry } from "../store/stored-entry.ts";
import { dropEntry, keepEntry, keepNothing } from "../store/store-writer.ts";
import type { CacheOptions } from "../options.ts";
import type { Pending } from "./pending.ts";
import type { CacheState } from "../state.ts";
import { isStorableStatus, type Draft, type Refusal } from "../semantics/storing.ts";

export class Filling implements CopyEvents {
  readonly #state: CacheState;
  readonly #options: CacheOptions;
  readonly #pending: Pending;
  readonly #draft: Draft;
  readonly #forwardedDiff: ForwardedDiff | undefined;
  readonly #response: Pick<ExchangeResponse, "failedOpen">;

  constructor(
    state: CacheState,
    options: CacheOptions,
    pending: Pending,
    draft: Draft,
    forwardedDiff: ForwardedDiff | undefined,
    response: Pick<ExchangeResponse, "failedOpen">,
  ) {
    this.#state = state;
    this.#options = options;
    this.#pending = pending;
    this.#draft = draft;
    this.#forwardedDiff = forwardedDiff;
    this.#response = response;
  }

  complete(body: Buffer): void {
    if (this.#response.failedOpen === true)
      refuseAnswer(this.#state, this.#pending, "failed-open", this.#draft.status);
    else if (this.#pending.fill.invalidated) keepNothing(this.#state, this.#pending, { kind: "uncacheable" });
    else {
      const entry = new StoredEntry(this.#draft, body, this.#forwardedDiff);
      keepEntry(this.#state, this.#options, entry, this.#pending);
    }
  }

  abandoned(): void {
    refuseAnswer(this.#state, this.#pending, "size", this.#draft.status);
  }

  /** Does nothing: `onComplete` knows why the exchange broke off, and ends the flight. */
  aborted(): void {}
}

/**
 * Ends the flight of an answer that is not stored. Marks its key as hit-for-miss, unless the status forbade storing:
 * for some seconds nobody waits for the next answers either.
 */
export function refuseAnswer(
  state: CacheState,
  pending: Pending,
  refusal: Refusal | "size",
  status: number,
): void {
  if (pending.flight !== undefined && refusal !== "status")
    state.uncacheable.add(pending.flight.hash, state.clock.mono());
  keepNothing(state, pending, { kind: "uncacheable" });
  // Not if a plugin failed to make it what it is.
  if (refusal !== "failed-open") dropSuperseded(state, pending, status);
}

/**
 * Removes the stored response if an answer that is not kept in its place is newer for everybody who gets it. An error,
 * or an answer to one client's credentials, is not: else any client could empty the cache.
 * @param status of the newer answer
 */
export function dropSuperseded(
  state: CacheState,
  { entry, key, seen }: Pick<Pending, "entry" | "key" | "seen">,
  status: number,
): void {
  const isOfResource = status < 400 || status === 404 || status === 410;
  if (entry === undefined || !isOfResource || !isStorableStatus(status)) return;
  if (entry.partition !== key.shared || seen.credentials === "") dropEntry(state, entry);
}
