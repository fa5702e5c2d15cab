// The course of one request, kept for `outrigger explain`: what ran, how long, what it said, which fields it changed. Names
// of fields and no values, no query, no body. Records are used again and again, so that keeping one makes no garbage.
import type { HookTime, Outcome } from "../../plugin-api/exchange.ts";
import type { FieldChange } from "../../plugin-api/fields.ts";
import type { Phase } from "../../runtime/hook-measures.ts";
import { EndedRequest, ownText } from "./ended-request.ts";
import type { EndedExchange, Fact, HookEnd, LiveRecord } from "../../runtime/live-record.ts";

/** Of hooks, fields, facts and tries each; more are not told of. */
const most = { hooks: 128, changes: 64, facts: 32, tries: 16 };
const maxText = 256;
const maxName = 128;

/** One that ran. */
export interface HookEntry {
  plugin: string;
  phase: Phase;
  /** Tenths of a microsecond: a small whole number, which needs no memory of its own. */
  tenths: number;
  end: HookEnd;
}

/** A field that a hook changed. */
export interface ChangeEntry {
  /** Position of the hook; after the last one it is the sidecar itself. */
  hook: number;
  change: FieldChange;
  name: string;
}

export interface FactEntry {
  readonly hook: number;
  readonly facts: readonly Fact[];
}

/** Who gets a record whose request is over: to be kept if it is complete, else to be used again. */
export type TakeRecord = (record: RequestRecord) => void;

/** The bytes of a record without its texts, about. */
const plainBytes = 1_024;

export class RequestRecord implements LiveRecord {
  plugins: readonly string[] = [];
  digest = "";
  /** The first `hookCount` of them count; the others are from an earlier use. */
  readonly hooks: HookEntry[] = [];
  hookCount = 0;
  readonly changes: ChangeEntry[] = [];
  changeCount = 0;
  facts: FactEntry[] | undefined = undefined;
  /** When the service was asked, on the monotonic clock; the first `tryCount` count. */
  readonly tries: number[] = [];
  tryCount = 0;
  startedMono = 0;
  isWhole = true;
  /** Names of fields that did not come in. */
  dropped: readonly string[] | undefined = undefined;
  /** Of this use once `isComplete`. */
  readonly request = new EndedRequest();
  isComplete = false;
  readonly #take: TakeRecord;
  #textBytes = 0;

  constructor(take: TakeRecord) {
    this.#take = take;
  }

  /** What it takes of memory, about. */
  get bytes(): number {
    return plainBytes + 48 * (this.hooks.length + this.changes.length) + this.#textBytes;
  }

  begin(plugins: readonly string[], digest: string, isWhole: boolean): void {
    this.isWhole = isWhole;
    this.plugins = plugins;
    this.digest = digest;
    this.hookCount = 0;
    this.changeCount = 0;
    this.tryCount = 0;
    this.isComplete = false;
    this.#textBytes = 0;
  }

  /** What came with the request is not kept until the record is used again, nor while it is. */
  forget(): void {
    for (let i = 0; i < this.changeCount; i += 1) (this.changes[i] as ChangeEntry).name = "";
    this.changeCount = 0;
    this.facts = undefined;
    this.dropped = undefined;
    this.request.forget();
    this.isComplete = false;
  }

  hookRan(plugin: string, phase: Phase, ms: number, end: HookEnd): void {
    const index = this.hookCount;
    if (index >= most.hooks) return;
    this.hookCount = index + 1;
    const tenths = Math.round(ms * 10_000);
    const entry = this.hooks[index];
    if (entry === undefined) {
      this.hooks.push({ plugin, phase, tenths, end });
      return;
    }
    entry.plugin = plugin;
    entry.phase = phase;
    entry.tenths = tenths;
    entry.end = end;
  }

  hookTimes(): HookTime[] {
    return this.hooks
      .slice(0, this.hookCount)
      .filter(({ plugin }) => plugin !== "")
      .map(({ plugin, phase, tenths }) => ({ plugin, phase, ms: tenths / 10_000 }));
  }

  fieldChanged(change: FieldChange, name: string): void {
    const index = this.changeCount;
    if (index >= most.changes) return;
    this.changeCount = index + 1;
    const shown = name.length > maxName ? ownText(name, maxName) : name;
    this.#textBytes += shown.length;
    const entry = this.changes[index];
    if (entry === undefined) {
      this.changes.push({ hook: this.hookCount, change, name: shown });
      return;
    }
    entry.hook = this.hookCount;
    entry.change = change;
    entry.name = shown;
  }

  explain(facts: readonly Fact[]): void {
    if (!this.isWhole) return;
    this.facts ??= [];
    if (this.facts.length >= most.facts) return;
    let isLong = false;
    for (const fact of facts) {
      const length = typeof fact === "string" ? fact.length : 8;
      isLong ||= length > maxText;
      this.#textBytes += Math.min(length, maxText);
    }
    const short = isLong ? facts.map((fact) => shortFact(fact)) : facts;
    this.facts.push({ hook: this.hookCount, facts: short });
  }

  asked(nowMono: number): void {
    if (this.tryCount < most.tries) {
      this.tries[this.tryCount] = nowMono;
      this.tryCount += 1;
    }
    // A hook of nobody: the fields that the sidecar itself changed on the way out are its.
    this.hookRan("", "onRequest", 0, "returned");
  }

  ended(exchange: EndedExchange, outcome: Outcome): void {
    const { request } = exchange;
    // Whoever still holds the fields changes them for nobody.
    request.fields.watcher = undefined;
    if (this.isWhole || wentWrong(exchange, outcome)) {
      this.startedMono = exchange.startedMono;
      this.dropped = request.fields.dropped;
      this.request.take(exchange, outcome);
      this.isComplete = true;
      this.#textBytes += this.request.textBytes;
      for (const name of this.dropped ?? []) this.#textBytes += name.length;
    }
    this.#take(this);
  }
}

/** It was refused or failed, which is what somebody may ask about however many there were. */
function wentWrong(
  { refusedBecause }: EndedExchange,
  { status, end, error, grpcStatus = 0 }: Outcome,
): boolean {
  const isWell = status < 400 && grpcStatus === 0 && end === "complete";
  return !isWell || error !== undefined || refusedBecause !== undefined;
}

function shortFact(fact: Fact): Fact {
  return typeof fact === "string" ? ownText(fact, maxText) : fact;
}
