// Options of plugins as routes get them: the top's, with the route's own over them. A small document can say large ones
// at its top and a little on each of thousands of routes: what the merging comes to is bounded, and equal ones are one.
import { merge } from "../layers/layers.ts";
import { defaultMaxBytes } from "./parse.ts";
import { isObject } from "./plain-object.ts";

/** How much larger than the longest document all merged options may be: more cannot be set up in time. */
const timesLonger = 32;

export class MergedOptions {
  readonly maxBytes: number;
  readonly #merged = new Map<string, unknown>();
  readonly #sizes = new WeakMap<object, number>();
  #bytes = 0;

  /** @param maxBytes of the longest document that is read */
  constructor(maxBytes = defaultMaxBytes) {
    this.maxBytes = timesLonger * Math.max(maxBytes, defaultMaxBytes);
  }

  /** Whether all together are larger than can be set up: nothing is merged any more. */
  get over(): boolean {
    return this.#bytes > this.maxBytes;
  }

  /** @param common the same for all routes of one policy. @param own what a route says. @returns one object for equal ones */
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

  /** About as JSON; what merged ones share is measured once, and counts for each: it is checked and set up for each. */
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
