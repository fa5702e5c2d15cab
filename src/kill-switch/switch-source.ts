// Reads the kill switches of a service: after each announced change, and every few seconds. It works without any valid
// policy. The last reading stays in force while Redis is away, and with a state folder also over a restart.
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
import { RedisClock } from "./redis-clock.ts";

/** Opens a value; undefined = it does not count (unsigned, or not signed by a trusted key). */
export type SwitchOpener = (value: string, field: string) => Promise<string | undefined>;

export interface SwitchSourceOptions {
  readonly store: Store;
  readonly service: string;
  /**
   * Key of the shared policy. If the policy and all switches are missing, Redis has lost data, and the switches were
   * not removed.
   */
  readonly policyKey: string;
  /** This machine's clock, by which switches expire until Redis has told its time. */
  readonly clock: Pick<Clock, "now">;
  readonly kept?: KeptSwitches | undefined;
  readonly open?: SwitchOpener | undefined;
  /** Whether a switch without an end is ignored. */
  readonly needsEnd: boolean;
  readonly onChange: (off: SwitchedOff) => void;
  /** Receives fields whose value does not count, each once; one call for all of a reading. */
  readonly onIgnored: (fields: readonly string[]) => void;
  /** Redis answers but refuses the read; called once for each code. */
  readonly onRefused: (code: string) => void;
  /** The switches can be read again. */
  readonly onRead: () => void;
  /** Redis has lost the switches together with the policy; called once. */
  readonly onLost: () => void;
  readonly pollMs?: number;
}

const settleMs = 5;
const limitMs = 1_000;
/** Interval while no change messages come: a switch must take effect within this time. */
const untoldPollMs = 900;

export class SwitchSource {
  readonly #options: SwitchSourceOptions;
  readonly #poller: Poller;
  readonly #clock: RedisClock;
  readonly #first = Promise.withResolvers<void>();
  #current = nothingOff;
  #text = "[]";
  /** Field, value, … of the last reading. */
  #read: readonly string[] = [];
  #judged = 0;
  #unhear: (() => void) | undefined;
  #end: NodeJS.Timeout | undefined;
  #ignored: ReadonlySet<string> = new Set<string>();
  #refused: string | undefined;
  /** Whether the policy was there with the last switches; `lost`: both are gone. */
  #policy: "absent" | "there" | "lost" = "absent";
  #readMono = -Infinity;
  #told = true;

  constructor(options: SwitchSourceOptions) {
    this.#options = options;
    const { store, clock, needsEnd, pollMs = 10_000 } = options;
    this.#clock = new RedisClock(store, clock, needsEnd);
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

  /** Resolves once the switches are known, or after a bounded time if they cannot be read. */
  async start(): Promise<void> {
    const { store, kept } = this.#options;
    const last = await kept?.load();
    if (last !== undefined) {
      this.#clock.assume(last.aheadMs);
      // A Redis that has neither the policy nor the switches any more has lost them: a restart changes nothing of that.
      if (last.hadPolicy) this.#policy = "there";
      await this.#judgeRead(last.switches);
    }
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
      // Redis is unreachable: the store counts and logs that, and the last reading stays in force.
      return this.#failed(error instanceof StoreUnavailable ? error.code : undefined);
    }
    if (this.#refused !== undefined) this.#options.onRead();
    this.#refused = undefined;
    this.#readMono = isLost ? -Infinity : performance.now();
    if (texts.length > 0) await this.#clock.look();
    if (!isLost) await this.#judgeRead(texts);
    this.#first.resolve();
    return true;
  }

  /**
   * Whether Redis has lost its data. It has then lost the switches, too, and the last ones stay in force, like the
   * policy. An operator who removes the last switch leaves the policy there. Rejects with StoreUnavailable.
   */
  async #isLost(texts: readonly string[]): Promise<boolean> {
    if (texts.length === 0 && this.#read.length === 0) return false;
    // Read the policy after the switches: a loss in between shows at the next look.
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
      // The key exists, but cannot be read.
      if (error instanceof StoreUnavailable && error.code !== undefined) return true;
      throw error;
    }
  }

  /** Judges the last reading again, because other keys may sign now. */
  judge(): Promise<void> {
    return this.#judgeRead(this.#read);
  }

  async #judgeRead(texts: readonly string[]): Promise<void> {
    this.#read = texts;
    this.#judged += 1;
    const turn = this.#judged;
    const switches = await this.#parse(texts, this.#clock.now());
    // Unless the reading or the keys changed meanwhile: then a later call judges everything.
    if (turn !== this.#judged) return;
    const { aheadMs } = this.#clock;
    const reading = { switches: texts, hadPolicy: this.#policy !== "absent", aheadMs };
    if (this.#take(switches)) this.#options.kept?.save(reading);
    else if (texts.length > 0) this.#options.kept?.renew(reading);
  }

  /** @returns whether the next look can wait for the usual interval */
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

  /** @returns undefined for a value that does not count */
  async #facts(value: string, field: string): Promise<SwitchFacts | undefined> {
    const { open } = this.#options;
    const opened = open === undefined ? value : await open(value, field);
    return opened === undefined ? undefined : parseSwitchFacts(opened);
  }

  /** Puts the switches in force until the next one expires. @returns whether anything changed */
  #take(switches: readonly KillSwitch[]): boolean {
    clearTimeout(this.#end);
    const nowMs = this.#clock.now();
    const live = switches.filter(({ untilMs }) => untilMs === undefined || untilMs > nowMs);
    const next = Math.min(...live.map(({ untilMs }) => untilMs ?? Infinity));
    if (next < Infinity) {
      const inMs = Math.min(Math.ceil(next - nowMs), 2 ** 31 - 1);
      this.#end = setTimeout(() => this.#take(live), inMs).unref();
    }
    const text = JSON.stringify(live);
    if (text === this.#text) return false;
    this.#text = text;
    this.#current = new SwitchedOff(live);
    this.#options.onChange(this.#current);
    return true;
  }
}
