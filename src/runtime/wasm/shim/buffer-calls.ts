// Implements the ABI functions for buffers: bodies and configurations.
import type { Memory } from "./memory.ts";
import type { GuestState } from "./state.ts";
import type { HostFunctions } from "./host-functions.ts";

export class BufferCalls {
  readonly #state: GuestState;
  readonly #memory: Memory;
  /** Limit in bytes of a body. */
  readonly #most: number;

  constructor(state: GuestState, memory: Memory, most: number) {
    this.#state = state;
    this.#memory = memory;
    this.#most = most;
  }

  functions(): HostFunctions {
    return {
      proxy_get_buffer_bytes: (buffer, start, size, toValue, toSize) => {
        if (buffer >>> 0 > 8) return 2;
        const bytes = this.#buffer(buffer);
        if (bytes === undefined) return 1;
        const from = start >>> 0;
        return this.#memory.give(bytes.slice(from, from + (size >>> 0)), toValue, toSize);
      },
      proxy_get_buffer_status: (buffer, toLength, toFlags) => {
        if (buffer >>> 0 > 8) return 2;
        const bytes = this.#buffer(buffer);
        if (bytes === undefined) return 1;
        return this.#memory.writeU32(toLength, bytes.length) && this.#memory.writeU32(toFlags, 0) ? 0 : 6;
      },
      proxy_set_buffer_bytes: (buffer, start, size, value, valueSize) =>
        this.#set(buffer, start >>> 0, size >>> 0, value, valueSize),
      proxy_get_configuration: (toValue, toSize) =>
        this.#memory.give(this.#state.configuration, toValue, toSize),
    };
  }

  #buffer(buffer: number): string | undefined {
    const state = this.#state;
    if (buffer < 2) return state.stream?.bodies[buffer];
    if (buffer === 4) return state.callResponse?.body;
    if (buffer === 6) return state.facts.vmConfiguration;
    return buffer === 7 ? state.roots.get(state.root)?.configuration : undefined;
  }

  // Replaces `size` bytes at `start`. Size 0 at 0 prepends; a start at or past the end appends.
  #set(buffer: number, start: number, size: number, value: number, valueSize: number): number {
    if (buffer >>> 0 > 8) return 2;
    const { stream } = this.#state;
    const bytes = buffer < 2 ? stream?.bodies[buffer] : undefined;
    if (stream === undefined || bytes === undefined) return 1;
    if (bytes.length + (valueSize >>> 0) > this.#most) return 10;
    const added = this.#memory.read(value, valueSize);
    if (added === undefined) return 6;
    const from = Math.min(start, bytes.length);
    stream.bodies[buffer] = bytes.slice(0, from) + added + bytes.slice(from + size);
    stream.changed[buffer] = true;
    this.#state.touched.add(stream);
    return 0;
  }
}
