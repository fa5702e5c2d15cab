// Implements the ABI functions for what a guest's contexts share: data and queues. Both live as long as the guest.
import type { Effects } from "./effects.ts";
import type { HostFunctions } from "./host-functions.ts";
import type { Memory } from "./memory.ts";
import type { GuestState } from "./state.ts";

/** Limits of what a guest may keep. */
export interface SharedBounds {
  readonly entries: number;
  readonly bytes: number;
  readonly queues: number;
  readonly queueItems: number;
}

interface Queue {
  readonly name: string;
  /** The root context that is told of new items. */
  root: number;
  readonly items: string[];
}

export class SharedCalls {
  readonly #state: GuestState;
  readonly #memory: Memory;
  readonly #effects: Effects;
  readonly #bounds: SharedBounds;
  readonly #data = new Map<string, { readonly value: string; readonly version: number }>();
  readonly #queues: Queue[] = [];
  /** Bytes of all data and items. */
  #bytes = 0;
  #lastVersion = 0;

  constructor(state: GuestState, memory: Memory, effects: Effects, bounds: SharedBounds) {
    this.#state = state;
    this.#memory = memory;
    this.#effects = effects;
    this.#bounds = bounds;
  }

  functions(): HostFunctions {
    return {
      proxy_get_shared_data: (key, keySize, toValue, toSize, toVersion) =>
        this.#get(key, keySize, toValue, toSize, toVersion),
      proxy_set_shared_data: (key, keySize, value, valueSize, version) =>
        this.#set(key, keySize, value, valueSize, version >>> 0),
      proxy_register_shared_queue: (name, size, toId) => this.#register(name, size, toId),
      proxy_resolve_shared_queue: (vm, vmSize, name, size, toId) =>
        this.#resolve(vm, vmSize, name, size, toId),
      proxy_enqueue_shared_queue: (id, value, size) => this.#enqueue(id >>> 0, value, size),
      proxy_dequeue_shared_queue: (id, toValue, toSize) => {
        const queue = this.#queues[(id >>> 0) - 1];
        if (queue === undefined) return 1;
        const item = queue.items.shift();
        if (item === undefined) return 7;
        this.#bytes -= item.length;
        return this.#memory.give(item, toValue, toSize);
      },
    };
  }

  #get(key: number, keySize: number, toValue: number, toSize: number, toVersion: number): number {
    const name = this.#memory.read(key, keySize);
    if (name === undefined) return 6;
    const entry = this.#data.get(name);
    if (entry === undefined) return 1;
    const status = this.#memory.give(entry.value, toValue, toSize);
    if (status !== 0) return status;
    return this.#memory.writeU32(toVersion, entry.version) ? 0 : 6;
  }

  #set(key: number, keySize: number, value: number, valueSize: number, version: number): number {
    const name = this.#memory.read(key, keySize);
    const text = this.#memory.read(value, valueSize);
    if (name === undefined || text === undefined) return 6;
    const known = this.#data.get(name);
    if (known !== undefined && version !== 0 && version !== known.version) return 8;
    const before = known === undefined ? 0 : name.length + known.value.length;
    const after = this.#bytes - before + name.length + text.length;
    if (after > this.#bounds.bytes || (!known && this.#data.size >= this.#bounds.entries)) return 10;
    this.#bytes = after;
    this.#lastVersion = (this.#lastVersion + 1) >>> 0 || 1;
    this.#data.set(name, { value: text, version: this.#lastVersion });
    return 0;
  }

  #register(name: number, size: number, toId: number): number {
    const text = this.#memory.read(name, size);
    if (text === undefined || !this.#memory.has(toId, 4)) return 6;
    let index = this.#queues.findIndex((queue) => queue.name === text);
    if (index === -1) {
      if (this.#queues.length >= this.#bounds.queues) return 10;
      index = this.#queues.push({ name: text, root: 0, items: [] }) - 1;
    }
    (this.#queues[index] as Queue).root = this.#state.root;
    this.#memory.writeU32(toId, index + 1);
    return 0;
  }

  #resolve(vm: number, vmSize: number, name: number, size: number, toId: number): number {
    const vmId = this.#memory.read(vm, vmSize);
    const text = this.#memory.read(name, size);
    if (vmId === undefined || text === undefined) return 6;
    // A guest cannot use the queues of other guests.
    if (vmId !== "" && vmId !== this.#state.facts.properties["plugin_vm_id"]) return 1;
    const index = this.#queues.findIndex((queue) => queue.name === text);
    if (index === -1) return 1;
    return this.#memory.writeU32(toId, index + 1) ? 0 : 6;
  }

  #enqueue(id: number, value: number, size: number): number {
    const queue = this.#queues[id - 1];
    if (queue === undefined) return 1;
    const item = this.#memory.read(value, size);
    if (item === undefined) return 6;
    const { queueItems, bytes } = this.#bounds;
    if (queue.items.length >= queueItems || this.#bytes + item.length > bytes) return 10;
    this.#bytes += item.length;
    queue.items.push(item);
    this.#effects.add("q", String(queue.root), String(id));
    return 0;
  }
}
