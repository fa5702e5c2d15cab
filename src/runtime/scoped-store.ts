// Restricts the store to what one plugin may use: its own keys and those that its definition declares. Only the keys
// passed to a call are checked. A script that makes up keys of its own is not inspected.
import type { HashBounds, Script, Store } from "../plugin-api/services.ts";
import { NotDeclared } from "./services/not-declared.ts";

type Call = Parameters<Store["runAll"]>[0][number];

/** The names that a plugin may use: whole names, and prefixes of names. */
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

/** Bytes that count as one more command: writing a megabyte costs the store more than writing a name. */
const bytesACommand = 4_096;
/** Commands that a scan counts as: it looks through the keys of all plugins. */
const commandsAScan = 100;

const weightOf = (bytes: number): number => 1 + Math.floor(bytes / bytesACommand);

/** Counts the commands against the quota. @returns the refusal if there are too many */
export type StoreRate = (commands: number) => Error | undefined;

export class ScopedStore implements Store {
  readonly #store: Store;
  readonly #scope: Scope;
  readonly #rate: StoreRate | undefined;

  /** @param rate undefined = no limit on commands */
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

  // These methods return the promise itself: one more promise per call would cost noticeable time.

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

/** @returns the beginning of a key: the rest may be the digest of a credential */
function shown(key: string): string {
  const colon = key.indexOf(":");
  return colon === -1 || colon > 40 ? key.slice(0, 40) : `${key.slice(0, colon)}:…`;
}
