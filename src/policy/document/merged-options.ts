// Merges the options of plugins for routes: the route's own over those at the document's top. A short document can have
// long options at its top and short ones on thousands of routes. So the merged size is bounded, and equal results share
// one object.
import { merge } from "../layers/layers.ts";
import { defaultMaxBytes } from "./parse.ts";
import { isObject } from "./plain-object.ts";

/** How many times the longest document's size all merged options may have: more cannot be set up in time. */
const timesLonger = 32;

export class MergedOptions {
  readonly maxBytes: number;
  readonly #merged = new Map<string, unknown>();
  readonly #sizes = new WeakMap<object, number>();
  #bytes = 0;

  /** @param maxBytes size limit of a document */
  constructor(maxBytes = defaultMaxBytes) {
    this.maxBytes = timesLonger * Math.max(maxBytes, defaultMaxBytes);
  }

  /** Whether all merged options together are larger than can be set up. The caller then merges no more. */
  get over(): boolean {
    return this.#bytes > this.maxBytes;
  }

  /**
   * @param common options at the top, the same for all routes of one policy. @param own the route's options. @returns
   * the same object for equal input
   */
  of(plugin: string, common: unknown, own: unknown): unknown {
    const key = `${plugin} ${JSON.stringify(own)}`;
    let merged = this.#merged.get(key);
    if (merged === undefined) {
      merged = merge(common ?? {}, own);
      this.#merged.set(key, merged);
      this.#bytes += this.#sizeOf(merged);
    }
    return merged;
  }

  /**
   * Estimates the size as JSON. A shared part is measured once but counts each time, since it is checked and set up
   * each time.
   */
  #sizeOf(value: unknown): number {
    if (typeof value === "string") return value.length + 8;
    if (typeof value !== "object" || value === null) return 8;
    let size = this.#sizes.get(value);
    if (size !== undefined) return size;
    size = 16;
    for (const [name, member] of Object.entries(value))
      size += (isObject(value) ? name.length : 0) + this.#sizeOf(member);
    this.#sizes.set(value, size);
    return size;
  }
}
