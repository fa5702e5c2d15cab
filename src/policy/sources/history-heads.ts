// Reads the last revisions in the history of the documents that a sidecar uses. It asks after a change, and at each
// poll for documents that the history does not know yet.
import type { Store } from "../../plugin-api/store.ts";
import { digestOf } from "../document/digest.ts";
import { type HistoryHead, type HistoryHeads, parseHistoryHead } from "../numbering.ts";
import type { RawPolicy } from "../read.ts";
import { documentKeys } from "./document-keys.ts";

/** A policy must not wait long for its number. */
const limitMs = 250;
/** Size limit of a history entry: author and reason are its longest fields. */
const maxBytes = 16_384;

export class HistoryHeadsReader {
  readonly #store: Store;
  readonly #keys: { readonly shared: string; readonly layer: string };
  #shared: HistoryHead | undefined;
  #layer: HistoryHead | undefined;

  constructor(store: Store, service: string, keyPrefix: string) {
    const spread = { sharded: store.sharded !== false, keyPrefix };
    this.#store = store;
    this.#keys = {
      shared: documentKeys(undefined, spread).applied,
      layer: documentKeys(service, spread).applied,
    };
  }

  /** Forgets the numbers. The same document may have a new one: it may have been removed and put back. */
  forget(): void {
    this.#shared = undefined;
    this.#layer = undefined;
  }

  /** Never rejects: a policy works as well without its number. */
  async of({ shared, layer }: RawPolicy): Promise<HistoryHeads> {
    const reading = [this.#of(this.#keys.shared, shared, this.#shared)];
    if (layer !== undefined) reading.push(this.#of(this.#keys.layer, layer, this.#layer));
    [this.#shared, this.#layer] = await Promise.all(reading);
    return { shared: this.#shared, layer: this.#layer };
  }

  async #of(
    key: string,
    document: Uint8Array,
    known: HistoryHead | undefined,
  ): Promise<HistoryHead | undefined> {
    if (known !== undefined && known.digest === digestOf(document)) return known;
    try {
      return parseHistoryHead((await this.#store.getBytes(key, limitMs, maxBytes))?.toString());
    } catch {
      return undefined;
    }
  }
}
