// The store as one plugin may use it: keys of its own and those that its definition declares. What the calls look at is
// the keys they are given; a script that makes up keys of its own is not looked into.
import type { HashBounds, Script, Store } from "../plugin-api/services.ts";
import { NotDeclared } from "./services/not-declared.ts";

type Call = Parameters<Store["runAll"]>[0][number];

/** What a plugin may name: whole names, and beginnings of names. */
export interface Scope {
  readonly plugin: string;
  readonly whole: ReadonlySet<string>;
  readonly prefixes: readonly string[];
}

export function isWithin(scope: Scope, name: string): boolean {
  return startsWithin(scope.prefixes, name) || scope.whole.has(name);
}

function startsWithin(prefixes: readonly string[], name: string): boolean {
  for (const prefix of prefixes) if (name.startsWith(prefix)) return true;
  return false;
}

/** What so many bytes count as, in commands: writing a megabyte costs the store more than a name does. */
const bytesACommand = 4_096;
/** What a scan counts as: it looks through the keys of everybody for those that it finds. */
const commandsAScan = 100;

const weightOf = (bytes: number): number => 1 + Math.floor(bytes / bytesACommand);

/** Counts so many commands. @returns the refusal, where they are too many */
export type StoreRate = (commands: number) => Error | undefined;

export class ScopedStore implements Store {
  readonly #store: Store;
  readonly #scope: Scope;
  readonly #rate: StoreRate | undefined;

  /** @param rate undefined = as many commands as the plugin likes */
  constructor(store: Store, scope: Scope, rate?: StoreRate) {
    this.#store = store;
    this.#scope = scope;
    this.#rate = rate;
  }

  get up(): boolean {
    return this.#store.up;
  }

  get watching(): boolean {
    return this.#store.watching;
  }

  get sharded(): boolean {
    return this.#store.sharded !== false;
  }

  // Plain returns: a promise more for each call would be felt.

  get(key: string, limitMs?: number): Promise<string | null> {
    return this.#outside(key) ?? this.#store.get(key, limitMs);
  }

  readHash(key: string, bounds: HashBounds, limitMs?: number): Promise<readonly string[]> {
    return this.#outside(key) ?? this.#store.readHash(key, bounds, limitMs);
  }

  getBytes(key: string, limitMs?: number, maxBytes?: number): Promise<Buffer | null> {
    return this.#outside(key) ?? this.#store.getBytes(key, limitMs, maxBytes);
  }

  set(key: string, value: string | Buffer, options?: Parameters<Store["set"]>[2]): Promise<boolean> {
    return this.#outside(key, weightOf(value.length)) ?? this.#store.set(key, value, options);
  }

  delete(...keys: string[]): Promise<number> {
    return this.#anyOutside(keys, keys.length) ?? this.#store.delete(...keys);
  }

  run(script: Script, keys: Call["keys"], args: Call["args"], limitMs?: number): Promise<unknown> {
    return this.#anyOutside(keys) ?? this.#store.run(script, keys, args, limitMs);
  }

  runAll(calls: readonly Call[], limitMs?: number): Promise<PromiseSettledResult<unknown>[]> {
    for (const { keys } of calls) {
      const refusal = this.#anyOutside(keys, 0);
      if (refusal !== undefined) return refusal;
    }
    const tooMany = this.#tooMany(calls.length);
    if (tooMany !== undefined) return tooMany;
    return this.#store.runAll(calls, limitMs);
  }

  append(stream: string, fields: Readonly<Record<string, string>>, maxLength: number): Promise<void> {
    const bytes = Object.values(fields).reduce((sum, { length }) => sum + length, 0);
    return this.#outside(stream, weightOf(bytes)) ?? this.#store.append(stream, fields, maxLength);
  }

  scan(prefix: string, limit: number): Promise<string[]> {
    const { plugin, prefixes } = this.#scope;
    if (!startsWithin(prefixes, prefix)) return Promise.reject(refusalOf(plugin, prefix));
    const tooMany = this.#tooMany(commandsAScan);
    if (tooMany !== undefined) return tooMany;
    return this.#store.scan(prefix, limit);
  }

  watch(prefix: string, onChange: (key: string | null) => void): () => void {
    const { plugin, prefixes } = this.#scope;
    if (!startsWithin(prefixes, prefix)) throw refusalOf(plugin, prefix);
    return this.#store.watch(prefix, onChange);
  }

  hear(key: string, onTold: (key: string | null) => void): () => void {
    if (!isWithin(this.#scope, key)) throw refusalOf(this.#scope.plugin, key);
    return this.#store.hear(key, onTold);
  }

  #anyOutside(keys: readonly string[], commands = 1): Promise<never> | undefined {
    for (const key of keys) if (!isWithin(this.#scope, key)) return this.#outside(key);
    return this.#tooMany(commands);
  }

  #outside(key: string, commands = 1): Promise<never> | undefined {
    return isWithin(this.#scope, key)
      ? this.#tooMany(commands)
      : Promise.reject(refusalOf(this.#scope.plugin, key));
  }

  #tooMany(commands: number): Promise<never> | undefined {
    const refusal = this.#rate?.(commands);
    return refusal && Promise.reject(refusal);
  }
}

function refusalOf(plugin: string, key: string): NotDeclared {
  return new NotDeclared(plugin, `the key "${shown(key)}"`, "keys");
}

/** A key's beginning: what follows may be the digest of a credential. */
function shown(key: string): string {
  const colon = key.indexOf(":");
  return colon === -1 || colon > 40 ? key.slice(0, 40) : `${key.slice(0, colon)}:…`;
}
