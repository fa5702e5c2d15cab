// Who wants to hear of which keys, and the trackers that hear of them: one for each server that holds keys.
import { Cluster, type Redis } from "ioredis";
import type { RedisAddress, RedisNode } from "./address.ts";
import { openNode, openServer } from "./connect.ts";
import { Tracker } from "./tracker.ts";

type OnChange = (key: string | null) => void;

export interface WatchesOptions {
  readonly address: RedisAddress;
  /** The store's client; tells which masters a Cluster has. */
  readonly client: Redis | Cluster;
  readonly connectionName: string;
  readonly keyPrefix: string;
  /** Up = every server is being listened to. */
  readonly onState: (up: boolean, reason: string) => void;
  readonly onListenerError: (error: unknown) => void;
}

export class Watches {
  readonly #options: WatchesOptions;
  readonly #listeners = new Map<string, Set<OnChange>>();
  readonly #trackers = new Map<string, Tracker>();
  /** The watched prefixes but those that another one covers. */
  #tracked: readonly string[] = [];

  constructor(options: WatchesOptions) {
    this.#options = options;
    options.client.on("refresh", this.#followTopology); // of a Cluster: its slots were read anew
  }

  /** As `Store.watch`. */
  watch(prefix: string, onChange: OnChange): () => void {
    const own: OnChange = (key) => onChange(key); // the same function may watch twice
    const set = this.#listeners.get(prefix) ?? new Set();
    this.#listeners.set(prefix, set.add(own));
    if (this.#tracked.some((other) => prefix.startsWith(other))) {
      // Heard already; a tracker that is not armed yet will tell everybody once it is.
      queueMicrotask(() => {
        if (set.has(own) && this.armed) this.#tell(own, null);
      });
    } else {
      this.#tracked = withoutCovered([...this.#listeners.keys()]);
      for (const tracker of this.#trackers.values()) tracker.rearm();
    }
    if (this.#options.client instanceof Cluster) this.#followTopology();
    else if (this.#trackers.size === 0) this.#addTracker("server", undefined);
    return () => {
      set.delete(own);
      // Tracking goes on until the prefixes next change: most often a new policy watches the same ones again.
      if (set.size === 0 && this.#listeners.get(prefix) === set) this.#listeners.delete(prefix);
    };
  }

  close(): void {
    this.#options.client.off("refresh", this.#followTopology);
    this.#listeners.clear();
    for (const tracker of this.#trackers.values()) tracker.close();
    this.#trackers.clear();
  }

  #addTracker(id: string, node: RedisNode | undefined): void {
    const { address, client, connectionName: name, keyPrefix, onState } = this.#options;
    const tracker = new Tracker({
      open: (onLink) => (node ? openNode(address, node, name, onLink) : openServer(address, name, onLink)),
      prefixes: () => this.#tracked.map((prefix) => keyPrefix + prefix),
      onKey: (key) => this.#dispatch(key),
      onLink: (up, reason) => {
        if (!up || this.armed) onState(up, reason);
        // Its server may be gone for good and another one in its place.
        if (!up && client instanceof Cluster && client.status === "ready") client.refreshSlotsCache();
      },
    });
    this.#trackers.set(id, tracker);
  }

  /** One tracker for each master of the Cluster; after a failover or a resharding not the same ones. */
  readonly #followTopology = (): void => {
    const { client, onState } = this.#options;
    // Before its first answer a Cluster calls the nodes of the address masters.
    if (!(client instanceof Cluster) || client.slots.length === 0 || this.#listeners.size === 0) return;
    const masters = new Map<string, RedisNode>();
    for (const { options: node } of client.nodes("master")) {
      if (node.host === undefined || node.port === undefined) continue;
      masters.set(`${node.host}:${node.port}`, { host: node.host, port: node.port });
    }
    for (const [id, tracker] of this.#trackers) {
      if (masters.has(id)) continue;
      this.#trackers.delete(id);
      tracker.close();
    }
    for (const [id, node] of masters) if (!this.#trackers.has(id)) this.#addTracker(id, node);
    if (this.armed) onState(true, "");
  };

  /** Every server that holds keys tells of changes. */
  get armed(): boolean {
    for (const tracker of this.#trackers.values()) if (!tracker.armed) return false;
    return this.#trackers.size > 0;
  }

  #dispatch(fullKey: string | null): void {
    const key = fullKey?.slice(this.#options.keyPrefix.length) ?? null;
    for (const [prefix, set] of this.#listeners) {
      if (key !== null && !key.startsWith(prefix)) continue;
      for (const onChange of set) this.#tell(onChange, key);
    }
  }

  #tell(onChange: OnChange, key: string | null): void {
    try {
      onChange(key);
    } catch (error) {
      this.#options.onListenerError(error);
    }
  }
}

/** Redis refuses prefixes of which one begins with another: the shorter one alone covers both. */
function withoutCovered(prefixes: readonly string[]): readonly string[] {
  return prefixes.filter((prefix) => !prefixes.some((other) => other !== prefix && prefix.startsWith(other)));
}
