// Implements the ABI functions for the log and the clock, and those that only guests' languages need.
import type { Effects } from "./effects.ts";
import type { HostFunctions } from "./host-functions.ts";
import type { Memory } from "./memory.ts";
import type { GuestState } from "./state.ts";

export class LogCalls {
  readonly #state: GuestState;
  readonly #memory: Memory;
  readonly #effects: Effects;

  constructor(state: GuestState, memory: Memory, effects: Effects) {
    this.#state = state;
    this.#memory = memory;
    this.#effects = effects;
  }

  functions(): HostFunctions {
    const memory = this.#memory;
    return {
      proxy_log: (level, message, size) => {
        if (level >>> 0 > 5) return 2;
        const text = memory.read(message, size);
        if (text === undefined) return 6;
        if (level >= this.#state.facts.logLevel) this.#effects.log(level, text);
        return 0;
      },
      proxy_get_log_level: (toLevel) => (memory.writeU32(toLevel, this.#state.facts.logLevel) ? 0 : 6),
      proxy_get_current_time_nanoseconds: (toTime) =>
        memory.writeU64(toTime, BigInt(Date.now()) * 1_000_000n) ? 0 : 6,
      // There are no foreign functions: none beyond the ABI.
      proxy_call_foreign_function: (name, size) => (memory.has(name, size) ? 1 : 6),
      emscripten_notify_memory_growth: () => 0,
      pthread_equal: (one, other) => (one === other ? 1 : 0),
    };
  }
}
