// Least recently used entries up to a number, without the arrays that lru-cache 11 makes in advance for `max`: those
// weigh 1.8 MB for 65,536 entries, in every sidecar, before the first caller has come.
import { LRUCache } from "lru-cache";

/** @param onGone called for each entry that is replaced, deleted or pushed out */
export function boundedCache<
  Value extends object | string | number | true,
  Key extends string | number = string,
>(entries: number, onGone?: (value: Value) => void): LRUCache<Key, Value> {
  return new LRUCache<Key, Value>({
    maxSize: entries,
    sizeCalculation: () => 1,
    ...(onGone !== undefined && { dispose: onGone }),
  });
}
