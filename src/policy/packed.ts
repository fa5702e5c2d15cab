// Packs an effective policy for its way from the thread that read it. It is serialised in parts, so that the event loop
// turns between them while they are unpacked. Routes that share objects before also share them after.
import { deserialize, serialize } from "node:v8";
import { Slices } from "../v8/slices.ts";
import type { EffectiveDocument } from "./layers/layers.ts";
import type { EffectivePolicy } from "./read.ts";
import type { EffectiveRoute } from "./document/routes.ts";

/** About half a millisecond of work. */
const routesPerPart = 200;

type DocumentRoute = EffectiveDocument["routes"][number];

/** A route whose shareable values are replaced by numbers: the index among all such values so far. */
interface PackedRoute extends Omit<EffectiveRoute, "plugins" | "pluginConfig"> {
  readonly plugins: number;
  readonly pluginConfig: readonly (readonly [plugin: string, options: number])[];
}

type Head = Omit<EffectivePolicy, "routes" | "unmatched">;

interface Part {
  /** Values that no earlier part had. */
  readonly shared: readonly unknown[];
  readonly routes: readonly PackedRoute[];
  readonly written: readonly DocumentRoute[];
}

/** @returns the parts for `unpack`, each with memory of its own */
export function pack(policy: EffectivePolicy): Uint8Array<ArrayBuffer>[] {
  const { routes, unmatched, ...head } = policy;
  const packer = new Packer();
  const { document } = head;
  const all = [...routes, unmatched];
  const parts: unknown[] = [{ ...head, document: { ...document, routes: [] } } satisfies Head];
  for (let from = 0; from < Math.max(all.length, document.routes.length); from += routesPerPart) {
    const packed = all.slice(from, from + routesPerPart).map((route) => packer.route(route));
    const written = document.routes.slice(from, from + routesPerPart);
    parts.push({ shared: packer.takeNew(), routes: packed, written } satisfies Part);
  }
  return parts.map((part) => new Uint8Array(serialize(part)));
}

/** @param parts the parts of a policy, in order; each can be freed once it is unpacked */
export async function unpack(parts: Uint8Array[]): Promise<EffectivePolicy> {
  const slices = new Slices();
  const [head, ...rest] = parts;
  const { document, ...judged } = deserialize(head as Uint8Array) as Head;
  const shared: unknown[] = [];
  const routes: EffectiveRoute[] = [];
  const written: DocumentRoute[] = [];
  for (const bytes of rest) {
    if (slices.over) await slices.next();
    const part = deserialize(bytes) as Part;
    shared.push(...part.shared);
    for (const route of part.routes) routes.push(unpackRoute(route, shared));
    written.push(...part.written);
  }
  const unmatched = routes.pop() as EffectiveRoute;
  return { ...judged, document: { ...document, routes: written }, routes, unmatched };
}

function unpackRoute({ plugins, pluginConfig, ...route }: PackedRoute, shared: readonly unknown[]) {
  const options = pluginConfig.map(([plugin, number]) => [plugin, shared[number]] as const);
  return { ...route, plugins: shared[plugins] as string[], pluginConfig: Object.fromEntries(options) };
}

class Packer {
  readonly #numbers = new Map<unknown, number>();
  #new: unknown[] = [];

  route({ plugins, pluginConfig, ...route }: EffectiveRoute): PackedRoute {
    const options = Object.entries(pluginConfig).map(([name, value]) => [name, this.#number(value)] as const);
    return { ...route, plugins: this.#number(plugins), pluginConfig: options };
  }

  takeNew(): unknown[] {
    const taken = this.#new;
    this.#new = [];
    return taken;
  }

  #number(value: unknown): number {
    const known = this.#numbers.get(value);
    if (known !== undefined) return known;
    this.#numbers.set(value, this.#numbers.size);
    this.#new.push(value);
    return this.#numbers.size - 1;
  }
}
