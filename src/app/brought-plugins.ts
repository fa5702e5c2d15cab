// Lists the plugins that the policy in force brings, for what the fleet is told. The process that governs may not have
// set any of them up.
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

  /** Remembers the plugins of a policy that has been set up. */
  compiled(policy: Compiled, extensions: readonly Extension[]): void {
    const brought = extensions.map((extension) => ({ name: extension.name, version: versionOf(extension) }));
    this.#byPolicy.set(policy, brought);
  }

  /** Marks the policy as in force. @returns whether its plugins, or their versions, differ from those before */
  swapped(policy: Compiled): boolean {
    const before = this.#inForce;
    this.#inForce = this.#byPolicy.get(policy) ?? [];
    return !isDeepStrictEqual(before, this.#inForce);
  }

  get plugins(): readonly Brought[] {
    return this.#inForce;
  }
}
