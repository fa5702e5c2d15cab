// Makes an LRU cache that holds a bounded number of entries. It avoids the arrays that lru-cache 11 allocates in
// advance for its `max` option: these weigh 1.8 MB for 65,536 entries, in every sidecar, before the first caller has
// come.
import { LRUCache } from "lru-cache";

/** @param onGone is called for each entry that is replaced, deleted or evicted */
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
