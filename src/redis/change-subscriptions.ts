// Keeps track of who watches which keys, and runs the clients that receive the changes: one for each server that holds
// keys.
import { Cluster, type Redis } from "ioredis";
import type { RedisAddress, RedisNode } from "./address.ts";
import { openNode, openServer } from "./connect.ts";
import { ScratchKey, scratchKey } from "./scratch-key.ts";
import { InvalidationClient } from "./invalidation-client.ts";

type OnChange = (key: string | null) => void;

export interface ChangeSubscriptionsOptions {
  readonly address: RedisAddress;
  /** The store's client; it knows the masters of a Cluster. */
  readonly client: Redis | Cluster;
  readonly connectionName: string;
  readonly keyPrefix: string;
  /**
   * Channels that will be heard sooner or later. They are subscribed together with the first, so that later callers
   * need not wait.
   */
  readonly channels?: readonly string[] | undefined;
  /** Up = changes of every server are received. */
  readonly onState: (up: boolean, reason: string) => void;
  readonly onListenerError: (error: unknown) => void;
}

export class ChangeSubscriptions {
  readonly #options: ChangeSubscriptionsOptions;
  readonly #prefixListeners = new Map<string, Set<OnChange>>();
  readonly #channelListeners = new Map<string, Set<OnChange>>();
  readonly #clients = new Map<string, InvalidationClient>();
  /** The watched prefixes, except those that another one covers. */
  #prefixesAsked: readonly string[] = [];
  #channelsAsked: ReadonlySet<string>;

  constructor(options: ChangeSubscriptionsOptions) {
    this.#options = options;
    this.#channelsAsked = new Set(options.channels);
    options.client.on("refresh", this.#followTopology); // a Cluster has re-read its slots
  }

  /** As `Store.watch`. */
  watch(prefix: string, onChange: OnChange): () => void {
    return this.#add(this.#prefixListeners, prefix, onChange, () => {
      if (this.#prefixesAsked.some((other) => prefix.startsWith(other))) return true;
      this.#prefixesAsked = withoutCovered([...this.#prefixListeners.keys()]);
      return false;
    });
  }

  /** As `Store.hear`. */
  hear(key: string, onTold: OnChange): () => void {
    return this.#add(this.#channelListeners, key, onTold, () => {
      if (this.#channelsAsked.has(key)) return true;
      this.#channelsAsked = new Set([...(this.#options.channels ?? []), ...this.#channelListeners.keys()]);
      return false;
    });
  }

  /** @param isHeard returns whether the servers report it already; if not, it adds it to what they are asked for */
  #add(
    listeners: Map<string, Set<OnChange>>,
    name: string,
    onChange: OnChange,
    isHeard: () => boolean,
  ): () => void {
    const own: OnChange = (key) => onChange(key); // the same function may watch twice
    const set = listeners.get(name) ?? new Set();
    listeners.set(name, set.add(own));
    if (isHeard()) {
      // A client that is not subscribed yet will notify every listener once it is.
      queueMicrotask(() => {
        if (set.has(own) && this.subscribed) this.#tell(own, null);
      });
    } else {
      for (const each of this.#clients.values()) each.resubscribe();
    }
    if (this.#options.client instanceof Cluster) this.#followTopology();
    else if (this.#clients.size === 0) this.#addClient("server", undefined);
    return () => {
      set.delete(own);
      // It stays subscribed until the next change of subscriptions: most often a new policy wants the same again.
      if (set.size === 0 && listeners.get(name) === set) listeners.delete(name);
    };
  }

  close(): void {
    this.#options.client.off("refresh", this.#followTopology);
    this.#prefixListeners.clear();
    this.#channelListeners.clear();
    for (const each of this.#clients.values()) each.close();
    this.#clients.clear();
  }

  #addClient(id: string, node: RedisNode | undefined): void {
    const { address, client, connectionName: name, keyPrefix, onState } = this.#options;
    const scratch = new ScratchKey(client, keyPrefix + scratchKey);
    const added = new InvalidationClient({
      open: (onLink) => (node ? openNode(address, node, name, onLink) : openServer(address, name, onLink)),
      wanted: () => ({
        prefixes: withoutCovered([...this.#prefixesAsked, scratchKey]).map((prefix) => keyPrefix + prefix),
        channels: [...this.#channelsAsked].map((key) => keyPrefix + key),
      }),
      probe: {
        matches: (key) => key.startsWith(keyPrefix + scratchKey),
        write: () => scratch.write(id),
      },
      onKey: (key) => this.#dispatch(key),
      onChannel: (channel) => this.#dispatchChannel(channel.slice(keyPrefix.length)),
      onLink: (up, reason) => {
        if (!up || this.subscribed) onState(up, reason);
      },
      onUnconnected: () => {
        // The server may be gone for good, and replaced by another one.
        if (client instanceof Cluster && client.status === "ready") client.refreshSlotsCache();
      },
    });
    this.#clients.set(id, added);
  }

  /** Keeps one client for each master of the Cluster; the masters change with a failover or a resharding. */
  readonly #followTopology = (): void => {
    const { client, onState } = this.#options;
    // Before its first answer, a Cluster client calls the nodes of the address masters.
    if (
      !(client instanceof Cluster) ||
      client.slots.length === 0 ||
      this.#prefixListeners.size + this.#channelListeners.size === 0
    )
      return;
    const masters = new Map<string, RedisNode>();
    // Not by the client's connections: a lost one is no longer among them, and its slots would go unheard.
    for (const id of new Set(client.slots.map(([master]) => master))) {
      if (id === undefined) continue;
      const colon = id.lastIndexOf(":");
      masters.set(id, { host: id.slice(0, colon), port: Number(id.slice(colon + 1)) });
    }
    for (const [id, each] of this.#clients) {
      if (masters.has(id)) continue;
      this.#clients.delete(id);
      each.close();
    }
    for (const [id, node] of masters) if (!this.#clients.has(id)) this.#addClient(id, node);
    if (this.subscribed) onState(true, "");
  };

  /** Whether every server that holds keys reports changes. */
  get subscribed(): boolean {
    for (const each of this.#clients.values()) if (!each.subscribed) return false;
    return this.#clients.size > 0;
  }

  #dispatch(fullKey: string | null): void {
    const key = fullKey?.slice(this.#options.keyPrefix.length) ?? null;
    for (const [prefix, set] of this.#prefixListeners) {
      if (key !== null && !key.startsWith(prefix)) continue;
      for (const onChange of set) this.#tell(onChange, key);
    }
    if (key !== null) return;
    for (const set of this.#channelListeners.values()) for (const onTold of set) this.#tell(onTold, null);
  }

  #dispatchChannel(key: string): void {
    for (const onTold of this.#channelListeners.get(key) ?? []) this.#tell(onTold, key);
  }

  #tell(onChange: OnChange, key: string | null): void {
    try {
      onChange(key);
    } catch (error) {
      this.#options.onListenerError(error);
    }
  }
}

/** Redis refuses prefixes of which one begins with another: the shorter one covers both. */
function withoutCovered(prefixes: readonly string[]): readonly string[] {
  return prefixes.filter((prefix) => !prefixes.some((other) => other !== prefix && prefix.startsWith(other)));
}
