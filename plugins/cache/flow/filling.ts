// Stores an answer once its body is copied, or gives up. The copy is made while the answer streams to the client.
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

  constructor(
    state: CacheState,
    options: CacheOptions,
    pending: Pending,
    draft: Draft,
    forwardedDiff: ForwardedDiff | undefined,
  ) {
    this.#state = state;
    this.#options = options;
    this.#pending = pending;
    this.#draft = draft;
    this.#forwardedDiff = forwardedDiff;
  }

  complete(body: Buffer): void {
    if (this.#pending.fill.invalidated) keepNothing(this.#state, this.#pending, { kind: "uncacheable" });
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
  // A newer answer that may not be stored has superseded the stored one.
  const superseded = status < 500 && isStorableStatus(status);
  if (pending.entry !== undefined && superseded) dropEntry(state, pending.entry);
}
