// The plugins that the policy in force brings, for what the fleet is told: the process that governs may have none set up.
import { isDeepStrictEqual } from "node:util";
import type { Extension } from "../extensions/entry.ts";
import { versionOf } from "../runtime/extension-definition.ts";

interface Brought {
  readonly name: string;
  readonly version: string;
}

export class BroughtPlugins<Compiled extends object> {
  readonly #byPolicy = new WeakMap<Compiled, readonly Brought[]>();
  #inForce: readonly Brought[] = [];

  /** A policy with these is set up. */
  compiled(policy: Compiled, extensions: readonly Extension[]): void {
    const brought = extensions.map((extension) => ({ name: extension.name, version: versionOf(extension) }));
    this.#byPolicy.set(policy, brought);
  }

  /** It is in force from now on. @returns whether its plugins are others than those before, or of other versions */
  swapped(policy: Compiled): boolean {
    const before = this.#inForce;
    this.#inForce = this.#byPolicy.get(policy) ?? [];
    return !isDeepStrictEqual(before, this.#inForce);
  }

  get plugins(): readonly Brought[] {
    return this.#inForce;
  }
}
