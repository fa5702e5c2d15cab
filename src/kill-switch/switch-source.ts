// Reads the kill switches of a service: told of a change by whoever makes it, and every few seconds anyway. Nothing here
// depends on a policy that can be read or is valid. What was read last holds while Redis is away, over a restart too
// where there is a state folder.
import type { Clock } from "../plugin-api/services.ts";
import { type Store, StoreUnavailable } from "../plugin-api/store.ts";
import { Poller } from "../policy/sources/poller.ts";
import {
  disabledKey,
  type KillSwitch,
  nothingOff,
  parseSwitchFacts,
  parseSwitchField,
  type SwitchFacts,
  switchBounds,
  SwitchedOff,
} from "./kill-switch.ts";
import type { KeptSwitches } from "./kept-switches.ts";

/** How a value is opened: undefined where it does not count (not signed, or by nobody who may). */
export type SwitchOpener = (value: string, field: string) => Promise<string | undefined>;

export interface SwitchSourceOptions {
  readonly store: Store;
  readonly service: string;
  /** Of the shared policy: what is lost together with it was not taken back. */
  readonly policyKey: string;
  /** By which a switch is over. */
  readonly clock: Pick<Clock, "now">;
  readonly kept?: KeptSwitches | undefined;
  readonly open?: SwitchOpener | undefined;
  /** Whether one that says no end does not count. */
  readonly needsEnd: boolean;
  readonly onChange: (off: SwitchedOff) => void;
  /** Told once of each field whose value does not count: of all that a reading brought together. */
  readonly onIgnored: (fields: readonly string[]) => void;
  /** Redis answers, and refuses this; told once. */
  readonly onRefused: (code: string) => void;
  /** They can be read again. */
  readonly onRead: () => void;
  /** Redis has lost them, with the policy that it had; told once. */
  readonly onLost: () => void;
  readonly pollMs?: number;
}

const settleMs = 5;
const limitMs = 1_000;
/** While changes are not told: no longer than honouring one may take. */
const untoldPollMs = 900;

export class SwitchSource {
  readonly #options: SwitchSourceOptions;
  readonly #poller: Poller;
  readonly #first = Promise.withResolvers<void>();
  #current = nothingOff;
  #text = "[]";
  /** Field, value, … as they were read last. */
  #read: readonly string[] = [];
  #judged = 0;
  #unhear: (() => void) | undefined;
  #end: NodeJS.Timeout | undefined;
  #ignored: ReadonlySet<string> = new Set<string>();
  #refused: string | undefined;
  /** Beside the switches that were read last; lost: they and it are there no more. */
  #policy: "absent" | "there" | "lost" = "absent";
  #readMono = -Infinity;
  #told = true;

  constructor(options: SwitchSourceOptions) {
    this.#options = options;
    const { pollMs = 10_000 } = options;
    this.#poller = new Poller({
      settleMs,
      pollMs: Math.min(untoldPollMs, pollMs),
      retryMs: untoldPollMs,
      read: () => this.#look(pollMs),
    });
  }

  get current(): SwitchedOff {
    return this.#current;
  }

  /** Resolves once it is known what is off, or within a bounded time when nobody can tell. */
  async start(): Promise<void> {
    const { store, kept } = this.#options;
    const last = await kept?.load();
    if (last !== undefined) await this.#judgeRead(last);
    this.#unhear = store.hear(disabledKey, () => {
      this.#told = true;
      this.#poller.trigger();
    });
    this.#poller.readNow();
    const timer = setTimeout(() => this.#first.resolve(), limitMs);
    await this.#first.promise;
    clearTimeout(timer);
  }

  async stop(): Promise<void> {
    this.#unhear?.();
    clearTimeout(this.#end);
    await this.#poller.stop();
  }

  async #look(pollMs: number): Promise<boolean> {
    const { store } = this.#options;
    if (!this.#told && store.watching && performance.now() - this.#readMono < pollMs) return true;
    this.#told = false;
    let texts: readonly string[];
    let isLost: boolean;
    try {
      texts = await store.readHash(disabledKey, switchBounds, limitMs);
      isLost = await this.#isLost(texts);
    } catch (error) {
      // Out of reach: the store counts and logs that, and what was read last holds.
      return this.#failed(error instanceof StoreUnavailable ? error.code : undefined);
    }
    if (this.#refused !== undefined) this.#options.onRead();
    this.#refused = undefined;
    this.#readMono = isLost ? -Infinity : performance.now();
    if (!isLost) await this.#judgeRead(texts);
    this.#first.resolve();
    return true;
  }

  /**
   * A Redis that has lost everything has lost switches, too: as the policy stays, so does what is off. Whoever takes the
   * last one back leaves the policy there. Rejects with StoreUnavailable.
   */
  async #isLost(texts: readonly string[]): Promise<boolean> {
    if (texts.length === 0 && this.#read.length === 0) return false;
    // After the switches: what is lost in between is seen at the next look.
    const isThere = await this.#hasPolicy();
    const isLost = !isThere && texts.length === 0 && this.#policy !== "absent";
    if (isLost && this.#policy !== "lost") this.#options.onLost();
    this.#policy = isLost ? "lost" : isThere ? "there" : "absent";
    return isLost;
  }

  async #hasPolicy(): Promise<boolean> {
    try {
      return (await this.#options.store.getBytes(this.#options.policyKey, limitMs, 1)) !== null;
    } catch (error) {
      // Something is there, and no part of it for us to read.
      if (error instanceof StoreUnavailable && error.code !== undefined) return true;
      throw error;
    }
  }

  /** Judges anew what was read last: others may sign now. */
  judge(): Promise<void> {
    return this.#judgeRead(this.#read);
  }

  async #judgeRead(texts: readonly string[]): Promise<void> {
    this.#read = texts;
    this.#judged += 1;
    const turn = this.#judged;
    const nowMs = this.#options.clock.now();
    const switches = await this.#parse(texts, nowMs);
    // What was read, or who may sign, has changed meanwhile: whoever brought that judges all of it.
    if (turn === this.#judged && this.#take(switches, nowMs)) this.#options.kept?.save(texts);
  }

  /** @returns whether there is no use in asking again soon */
  #failed(code: string | undefined): boolean {
    this.#readMono = code === undefined ? -Infinity : performance.now();
    if (code === undefined) return false;
    if (code !== this.#refused) this.#options.onRefused(code);
    this.#refused = code;
    this.#first.resolve();
    return true;
  }

  /** @param flat field, value, … */
  async #parse(flat: readonly string[], nowMs: number): Promise<KillSwitch[]> {
    const switches: KillSwitch[] = [];
    const ignored = new Set<string>();
    for (let i = 0; i + 1 < flat.length; i += 2) {
      const field = flat[i] ?? "";
      const target = parseSwitchField(field);
      if (target?.service !== undefined && target.service !== this.#options.service) continue;
      const facts = target && (await this.#facts(flat[i + 1] ?? "", field));
      const endless = facts?.untilMs === null && this.#options.needsEnd;
      if (target === undefined || facts === undefined || endless) ignored.add(field.slice(0, 200));
      else if (facts.untilMs === null || facts.untilMs > nowMs)
        switches.push({ ...target, ...facts, untilMs: facts.untilMs ?? undefined });
    }
    const unknown = [...ignored].filter((field) => !this.#ignored.has(field));
    if (unknown.length > 0) this.#options.onIgnored(unknown);
    this.#ignored = ignored;
    return switches.toSorted((a, b) => a.atMs - b.atMs);
  }

  /** @returns undefined for what does not count */
  async #facts(value: string, field: string): Promise<SwitchFacts | undefined> {
    const { open } = this.#options;
    const opened = open === undefined ? value : await open(value, field);
    return opened === undefined ? undefined : parseSwitchFacts(opened);
  }

  /** @returns whether anything changed */
  #take(switches: readonly KillSwitch[], nowMs: number): boolean {
    clearTimeout(this.#end);
    const live = switches.filter(({ untilMs }) => untilMs === undefined || untilMs > nowMs);
    const next = Math.min(...live.map(({ untilMs }) => untilMs ?? Infinity));
    if (next < Infinity) {
      const inMs = Math.min(next - nowMs, 2 ** 31 - 1);
      this.#end = setTimeout(() => this.#take(live, nowMs + inMs), inMs).unref();
    }
    const text = JSON.stringify(live);
    if (text === this.#text) return false;
    this.#text = text;
    this.#current = new SwitchedOff(live);
    this.#options.onChange(this.#current);
    return true;
  }
}
