// Holds the state of plugins that all workers share without Redis. It lives in the primary, made at the first call.
import { textOf } from "../plugin-api/error-text.ts";
import type { Clock, PluginDefinition } from "../plugin-api/contract.ts";

export interface SharedStateResponse {
  readonly response: unknown;
  /** Why there is no response; undefined = there is one. */
  readonly error: string | undefined;
}

export class SharedStateServer {
  readonly #registry: readonly PluginDefinition[];
  readonly #clock: Clock;
  readonly #states = new Map<string, (request: unknown) => unknown>();

  constructor(registry: readonly PluginDefinition[], clock: Clock) {
    this.#registry = registry;
    this.#clock = clock;
  }

  /** Never throws. */
  handle(plugin: string, request: unknown): SharedStateResponse {
    try {
      return { response: this.#stateOf(plugin)(request), error: undefined };
    } catch (error) {
      return { response: undefined, error: textOf(error) };
    }
  }

  #stateOf(plugin: string): (request: unknown) => unknown {
    const known = this.#states.get(plugin);
    if (known !== undefined) return known;
    const made = this.#registry.find(({ name }) => name === plugin)?.sharedState?.(this.#clock);
    if (made === undefined) throw new Error(`plugin ${plugin} has no shared state`);
    this.#states.set(plugin, made);
    return made;
  }
}
