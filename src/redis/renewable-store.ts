// A store whose address may change while it is in use (a rotated password, another host). All users hold this object,
// which passes every call to the connections in use.
import { Renewal, type RenewalOptions } from "./renewal.ts";
import type { RedisAddress } from "./address.ts";
import type { RedisStore } from "./store.ts";

export interface RenewableStore extends RedisStore {
  /** Switches to this address as soon as it answers; if called several times, the last address wins. */
  renew(address: RedisAddress): void;
}

export interface RenewableStoreOptions extends RenewalOptions {
  readonly onClosed: () => void;
}

export function createRenewableStore(options: RenewableStoreOptions): RenewableStore {
  const renewal = new Renewal(options);
  return {
    get up() {
      return renewal.store.up;
    },
    get watching() {
      return renewal.store.watching;
    },
    get sharded() {
      return renewal.store.sharded;
    },
    get unheardBecause() {
      return renewal.store.unheardBecause;
    },
    get writesRefused() {
      return renewal.store.writesRefused;
    },
    get: (key, limitMs) => renewal.store.get(key, limitMs),
    getBytes: (key, limitMs, maxBytes) => renewal.store.getBytes(key, limitMs, maxBytes),
    getPart: (key, from, length, limitMs) => renewal.store.getPart(key, from, length, limitMs),
    readHash: (key, bounds, limitMs) => renewal.store.readHash(key, bounds, limitMs),
    set: (key, value, how) => renewal.store.set(key, value, how),
    delete: (...keys) => renewal.store.delete(...keys),
    run: (script, keys, args, limitMs) => renewal.store.run(script, keys, args, limitMs),
    runAll: (calls, limitMs) => renewal.store.runAll(calls, limitMs),
    append: (stream, fields, maxLength) => renewal.store.append(stream, fields, maxLength),
    scan: (prefix, limit) => renewal.store.scan(prefix, limit),
    watch: (prefix, onChange) => renewal.watch((store) => store.watch(prefix, onChange)),
    hear: (key, onTold) => renewal.watch((store) => store.hear(key, onTold)),
    async whenUp(limitMs) {
      const endMono = performance.now() + limitMs;
      for (;;) {
        const { store } = renewal;
        if (await store.whenUp(Math.max(0, endMono - performance.now()))) return true;
        if (renewal.store === store) return false;
      }
    },
    renew: (address) => renewal.renew(address),
    close() {
      renewal.close();
      options.onClosed();
    },
  };
}
