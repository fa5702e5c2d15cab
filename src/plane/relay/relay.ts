// Keeps one region's Redis up to date with another region's policy. The source's messages announce changes, and the
// relay also looks from time to time. While the source is away the target keeps its documents.
import type { PackageRedis } from "../../extensions/redis-source.ts";
import { disabledKey } from "../../kill-switch/kill-switch.ts";
import { RedisClock } from "../../kill-switch/redis-clock.ts";
import { signedOpener } from "../../kill-switch/signed-switch.ts";
import { type Store, StoreUnavailable } from "../../plugin-api/store.ts";
import { layerKey, sharedKey } from "../../policy/read.ts";
import { keySetKey, type Trust } from "../../policy/signature/key-sets.ts";
import { Poller } from "../../policy/sources/poller.ts";
import { isWrongType } from "./document-pair.ts";
import { type Ends, type Opened, type Outcome, relayDocument } from "./documents.ts";
import { relayKeySets } from "./key-sets.ts";
import { relayPackages } from "./packages.ts";
import { type Clocks, relaySwitches } from "./switches.ts";

/** Most layers that are relayed; more are reported. */
const maxLayers = 2_000;
const settleMs = 5;
const retryMs = 900;
/** Interval of scans for layers, which go over all keys of a Redis. */
const scanEveryMs = 60_000;
/** The interval while no messages about new keys come. */
const untoldScanEveryMs = 5_000;
const atOnce = 8;
/** Most consecutive looks that find a change meanwhile. Two relays beside each other cause one now and then. */
const maxMoved = 10;

/** Whether the key can be a service's layer. Other keys with this beginning are ignored, and may be of any length. */
const isLayer = (name: string): boolean =>
  name.startsWith(layerKey("")) && /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(name.slice(layerKey("").length));

export type WriteKind = "document" | "keys" | "package" | "switch";

export interface RelayOptions {
  readonly source: Store & PackageRedis;
  readonly target: Store & PackageRedis;
  /** The same in both regions. */
  readonly keyPrefix: string;
  readonly maxBytes: number;
  /** Computes trust from OUTRIGGER_POLICY_KEYS; undefined = nothing has to be signed. */
  readonly trust: ((documents: readonly Uint8Array[]) => Promise<Trust>) | undefined;
  /** Whether the source wins even if its documents are older, until all have been relayed once. */
  readonly takeOver: boolean;
  /** Epoch ms. */
  readonly now: () => number;
  readonly onWritten: (kind: WriteKind, name: string, revision?: number) => void;
  /** Receives what is not relayed, and why, once; `undefined` = the problem is over. */
  readonly onTold: (name: string, told: Told | undefined) => void;
  /** Called at the end of each look. @param problem why the look failed */
  readonly onRound: (problem: string | undefined) => void;
  readonly pollMs?: number;
}

/** `diverged`: the region has its own version. */
export interface Told {
  readonly kind: "refused" | "diverged";
  readonly message: string;
}

const refused = (message: string): Told => ({ kind: "refused", message });

export class Relay {
  readonly #options: RelayOptions;
  readonly #ends: Ends;
  readonly #clocks: Clocks;
  readonly #poller: Poller;
  readonly #told = new Map<string, Told>();
  readonly #stops: (() => void)[] = [];
  /** Names of documents that exist or existed. */
  #names = new Set([sharedKey]);
  /** Names of documents that may have changed; undefined = all. */
  #changed: Set<string> | undefined;
  #scannedMono = -Infinity;
  #lookedMono = -Infinity;
  #isDone = false;
  /** Consecutive looks in which something changed meanwhile. */
  #moved = 0;
  #takeOver: boolean;

  constructor(options: RelayOptions) {
    const { source, target, keyPrefix, maxBytes, now, pollMs = 5_000 } = options;
    this.#options = options;
    this.#takeOver = options.takeOver;
    const spread = (store: Store) => ({ sharded: store.sharded !== false, keyPrefix });
    this.#ends = {
      source,
      target,
      sourceSpread: spread(source),
      targetSpread: spread(target),
      maxBytes,
      now,
    };
    const clock = (store: Store) => new RedisClock(store, { now }, options.trust !== undefined);
    this.#clocks = { source: clock(source), target: clock(target) };
    this.#poller = new Poller({
      settleMs,
      pollMs: Math.min(pollMs, retryMs),
      retryMs,
      read: () => this.#look(pollMs),
    });
  }

  /** What is not relayed and why, by document. */
  get told(): ReadonlyMap<string, Told> {
    return this.#told;
  }

  start(): void {
    const { source } = this.#options;
    const changed = (name: string | null): void => {
      if (name === null) {
        // Messages may have been lost, also those about new layers.
        this.#changed = undefined;
        this.#scannedMono = -Infinity;
      } else this.#note(name);
      this.#isDone = false;
      this.#poller.trigger();
    };
    this.#stops.push(
      source.watch(sharedKey, changed),
      source.hear(disabledKey, () => changed(disabledKey)),
    );
    this.#poller.readNow();
  }

  /** Waits for the current look to end. */
  async stop(): Promise<void> {
    for (const stop of this.#stops) stop();
    await this.#poller.stop();
  }

  /** @returns whether the next look can wait for the usual interval */
  async #look(pollMs: number): Promise<boolean> {
    const { source, target, onRound } = this.#options;
    const isFresh = this.#isDone && performance.now() - this.#lookedMono < pollMs;
    if (isFresh && source.watching && source.up && target.up) {
      onRound(undefined);
      return true;
    }
    const changed = this.#isDone ? undefined : this.#changed;
    this.#changed = new Set();
    this.#isDone = true;
    let isWhole = false;
    try {
      isWhole = await this.#round(changed);
      this.#moved = isWhole ? 0 : this.#moved + 1;
      if (this.#moved < maxMoved) onRound(undefined);
      else onRound("this region changes each time that the relay is about to write");
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
      onRound(error.message);
    }
    this.#lookedMono = performance.now();
    if (isWhole) return true;
    this.#changed = undefined;
    this.#isDone = false;
    return false;
  }

  /** @param changed undefined = all @returns false = something changed meanwhile and has to be looked at again */
  async #round(changed: ReadonlySet<string> | undefined): Promise<boolean> {
    const { trust, source, target } = this.#options;
    if (!source.up) throw new StoreUnavailable("the source's Redis is out of reach");
    if (!target.up) throw new StoreUnavailable("this region's Redis is out of reach");
    const keys = trust && (await relayKeySets(this.#ends, trust));
    if (keys?.act === "written") this.#options.onWritten("keys", keySetKey);
    if (keys !== undefined)
      this.#tell(
        keySetKey,
        keys.message === undefined ? undefined : { kind: "refused", message: keys.message },
      );
    const all = changed === undefined || keys?.act === "written";
    if (all) await this.#findNames();
    const names = all ? this.#names : changed;
    const isWhole = await this.#documents(names, keys?.trust.keys);
    const isSwitched = await this.#switches(keys?.trust.keys);
    if (all && isWhole) this.#takeOver = false;
    return isWhole && isSwitched && keys?.act !== "moved";
  }

  #note(name: string): void {
    const isDocument = name === sharedKey || isLayer(name);
    if (!isDocument || (this.#names.size > maxLayers && !this.#names.has(name))) return;
    this.#names.add(name);
    this.#changed?.add(name);
  }

  async #findNames(): Promise<void> {
    const { source, target } = this.#options;
    const everyMs = source.watching ? scanEveryMs : untoldScanEveryMs;
    if (performance.now() - this.#scannedMono < everyMs) return;
    this.#scannedMono = performance.now();
    const scans = await Promise.all([source, target].map((store) => store.scan(layerKey(""), maxLayers + 1)));
    const found = new Set(scans.flat());
    const names = new Set([sharedKey, ...[...found].filter(isLayer), ...this.#names]);
    const isMany = names.size > maxLayers + 1 || scans.some(({ length }) => length > maxLayers);
    const many = `the regions have more than ${maxLayers} layers, and those beyond are not relayed`;
    this.#tell("layers", isMany ? refused(many) : undefined);
    const odd = [...found].filter((name) => !isLayer(name)).length;
    const oddly = `${odd} keys ${layerKey("…")} have names that no service can have: DEL them`;
    this.#tell("layer names", odd > 0 ? refused(oddly) : undefined);
    this.#names = new Set([...names].slice(0, maxLayers + 1));
  }

  async #documents(names: ReadonlySet<string>, trusted: Trust["keys"] | undefined): Promise<boolean> {
    const { source } = this.#options;
    const sourceHolds = await holdsShared(source);
    const task = {
      trusted,
      takeOver: this.#takeOver,
      sourceHolds,
      prepare: (content: Opened) => this.#packages(content),
    };
    let isWhole = true;
    const one = async (name: string): Promise<void> => {
      const outcome = await relayDocument(this.#ends, { ...task, name });
      if (outcome.act === "moved") isWhole = false;
      this.#report(name, outcome);
    };
    // The shared policy goes first: layers depend on it.
    if (names.has(sharedKey)) await one(sharedKey);
    const layers = [...names].filter((name) => name !== sharedKey);
    const next = async (): Promise<void> => {
      for (let name = layers.shift(); name !== undefined; name = layers.shift()) await one(name);
    };
    await Promise.all(Array.from({ length: atOnce }, next));
    return isWhole;
  }

  #report(name: string, outcome: Outcome): void {
    if (outcome.act === "moved") return;
    if (outcome.act === "written") this.#options.onWritten("document", name, outcome.revision);
    const isTold = outcome.act === "refused" || outcome.act === "diverged";
    this.#tell(name, isTold ? { kind: outcome.act, message: outcome.message } : undefined);
  }

  async #packages({ policy }: Opened): Promise<string | undefined> {
    const said = await relayPackages(this.#options, policy);
    if ("message" in said) return said.message;
    if (said.brought > 0) this.#options.onWritten("package", `${said.brought} packages`);
    return undefined;
  }

  async #switches(trusted: Trust["keys"] | undefined): Promise<boolean> {
    const { source } = this.#options;
    // A source that has lost its policy, or has an older one, may have lost kill switches, too.
    const isSound = this.#told.get(sharedKey)?.kind !== "refused" && (await holdsShared(source));
    const opener = trusted && signedOpener(() => trusted);
    let changed: number | undefined = 0;
    try {
      changed = await relaySwitches(this.#ends, this.#clocks, opener, isSound);
      this.#tell(disabledKey, undefined);
    } catch (error) {
      if (!isWrongType(error)) throw error;
      const message = `here or at the source ${disabledKey} is of another type (WRONGTYPE): no kill switch goes on; DEL it there`;
      this.#tell(disabledKey, refused(message));
    }
    if (changed !== undefined && changed > 0) this.#options.onWritten("switch", `${changed} kill switches`);
    return changed !== undefined;
  }

  #tell(name: string, told: Told | undefined): void {
    const before = this.#told.get(name);
    if (before?.message === told?.message) return;
    if (told === undefined) this.#told.delete(name);
    else this.#told.set(name, told);
    this.#options.onTold(name, told);
  }
}

/** Whether the store has a shared policy. Rejects with StoreUnavailable. */
async function holdsShared(store: Store): Promise<boolean> {
  try {
    return (await store.getBytes(sharedKey, undefined, 1)) !== null;
  } catch (error) {
    if (isWrongType(error)) return false;
    throw error;
  }
}
