// The parts of plugins that all workers share while there is no Redis: made in the primary when a worker first asks.
import { textOf } from "../plugin-api/error-text.ts";
import type { Clock, PluginDefinition } from "../plugin-api/contract.ts";

export interface Answered {
  readonly answer: unknown;
  /** Why there is no answer. */
  readonly error: string | undefined;
}

export class Desk {
  readonly #registry: readonly PluginDefinition[];
  readonly #clock: Clock;
  readonly #parts = new Map<string, (question: unknown) => unknown>();

  constructor(registry: readonly PluginDefinition[], clock: Clock) {
    this.#registry = registry;
    this.#clock = clock;
  }

  /** Never throws. */
  answer(plugin: string, question: unknown): Answered {
    try {
      return { answer: this.#partOf(plugin)(question), error: undefined };
    } catch (error) {
      return { answer: undefined, error: textOf(error) };
    }
  }

  #partOf(plugin: string): (question: unknown) => unknown {
    const known = this.#parts.get(plugin);
    if (known !== undefined) return known;
    const made = this.#registry.find(({ name }) => name === plugin)?.share?.(this.#clock);
    if (made === undefined) throw new Error(`plugin ${plugin} has no shared part`);
    this.#parts.set(plugin, made);
    return made;
  }
}
