// Implements the ABI functions for maps of fields.
import type { Effects } from "./effects.ts";
import type { HeaderMap } from "./header-map.ts";
import type { Memory } from "./memory.ts";
import type { Pairs } from "./pairs.ts";
import type { GuestState } from "./state.ts";
import type { HostFunctions } from "./host-functions.ts";

export class HeaderCalls {
  readonly #state: GuestState;
  readonly #memory: Memory;
  readonly #effects: Effects;
  readonly #pairs: Pairs;
  /** Most lines that may be added to a map. */
  readonly #most: number;

  constructor(state: GuestState, memory: Memory, effects: Effects, pairs: Pairs, most: number) {
    this.#most = most;
    this.#state = state;
    this.#memory = memory;
    this.#effects = effects;
    this.#pairs = pairs;
  }

  functions(): HostFunctions {
    return {
      proxy_get_header_map_value: (map, name, nameSize, toValue, toSize) =>
        this.#get(map, name, nameSize, toValue, toSize),
      proxy_add_header_map_value: (map, name, nameSize, value, valueSize) =>
        this.#set("a", map, name, nameSize, value, valueSize),
      proxy_replace_header_map_value: (map, name, nameSize, value, valueSize) =>
        this.#set("s", map, name, nameSize, value, valueSize),
      proxy_remove_header_map_value: (map, name, nameSize) => this.#remove(map, name, nameSize),
      proxy_get_header_map_pairs: (map, toPairs, toSize) => {
        if (map >>> 0 > 7) return 2;
        return this.#memory.give(this.#pairs.encode(this.#map(map)?.flat() ?? []), toPairs, toSize);
      },
      proxy_set_header_map_pairs: (map, pairs, size) => this.#setAll(map, pairs, size),
      proxy_get_header_map_size: (map, toSize) => {
        if (map >>> 0 > 7) return 2;
        const size = this.#pairs.size(this.#map(map)?.flat() ?? []);
        return this.#memory.writeU32(toSize, size) ? 0 : 6;
      },
    };
  }

  #map(map: number): HeaderMap | undefined {
    const state = this.#state;
    if (map < 4) return state.stream?.maps[map];
    if (map === 6) return state.callResponse?.headers;
    return map === 7 ? state.callResponse?.trailers : undefined;
  }

  #get(map: number, name: number, nameSize: number, toValue: number, toSize: number): number {
    if (map >>> 0 > 7) return 2;
    const key = this.#memory.readName(name, nameSize);
    if (key === undefined) return 6;
    const value = this.#map(map)?.get(key);
    if (value !== undefined) return this.#memory.give(value, toValue, toSize);
    // Guests of ABI 0.1.0 expect an empty value for a missing field.
    return this.#state.facts.abi === "0.1.0" ? this.#memory.give("", toValue, toSize) : 1;
  }

  #set(kind: "a" | "s", map: number, name: number, nameSize: number, value: number, size: number): number {
    if (map >>> 0 > 7) return 2;
    const key = this.#memory.readName(name, nameSize);
    const text = this.#memory.read(value, size);
    if (key === undefined || text === undefined) return 6;
    if (key.includes("\0") || text.includes("\0")) return 2;
    const fields = this.#writable(map);
    if (fields === undefined) return 2;
    if (fields.added >= this.#most || !this.#effects.hasRoom(key.length + text.length + 32)) return 10;
    if (kind === "a") fields.add(key, text);
    else fields.replace(key, text);
    this.#effects.of(this.#state.active).add(kind, String(map), key, text);
    return 0;
  }

  #remove(map: number, name: number, nameSize: number): number {
    if (map >>> 0 > 7) return 2;
    const key = this.#memory.readName(name, nameSize);
    if (key === undefined) return 6;
    const fields = this.#writable(map);
    if (fields === undefined) return 2;
    if (fields.get(key) === undefined) return 0;
    fields.remove(key);
    this.#effects.of(this.#state.active).add("d", String(map), key);
    return 0;
  }

  #setAll(map: number, pairs: number, size: number): number {
    if (map >>> 0 > 7) return 2;
    const bytes = this.#memory.read(pairs, size);
    if (bytes === undefined) return 6;
    const flat = this.#pairs.decode(bytes);
    const fields = this.#writable(map);
    if (flat === undefined || fields === undefined) return 2;
    if (!this.#effects.hasRoom(bytes.length)) return 10;
    const named = flat.map((text, index) =>
      index % 2 === 0 ? text.toLowerCase().replaceAll("_", "-") : text,
    );
    fields.setAll(named);
    this.#effects.of(this.#state.active).add("S", String(map), named.join("\0"));
    return 0;
  }

  /** A guest may change only the fields of its exchange, not those of a call's response. */
  #writable(map: number): HeaderMap | undefined {
    return map < 4 ? this.#map(map) : undefined;
  }
}
