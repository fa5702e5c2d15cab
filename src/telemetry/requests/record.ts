// Records the course of a request for `outrigger explain`: hooks, their times and facts, changed fields. Names of
// fields only: no values, no query, no body. Records are reused, so keeping one makes no garbage.
import type { HookTime, Outcome } from "../../plugin-api/exchange.ts";
import type { FieldChange } from "../../plugin-api/fields.ts";
import type { Phase } from "../../runtime/hook-measures.ts";
import { EndedRequest, ownText } from "./ended-request.ts";
import type { EndedExchange, Fact, HookEnd, LiveRecord } from "../../runtime/live-record.ts";

/** Bounds on hooks, fields, facts and tries of one request; more are not recorded. */
const most = { hooks: 128, changes: 64, facts: 32, tries: 16 };
const maxText = 256;
const maxName = 128;

/** One hook that ran. */
export interface HookEntry {
  readonly plugin: string;
  readonly phase: Phase;
  /** In tenths of a microsecond: a small integer needs no memory of its own. */
  readonly tenths: number;
  readonly end: HookEnd;
}

/** A field that a hook changed. */
export interface ChangeEntry {
  /** Position of the hook. A change by the sidecar itself gets a position after the hooks so far. */
  readonly hook: number;
  readonly change: FieldChange;
  readonly name: string;
}

/** Enumerations are packed as small numbers, two in one: an object for each entry took twice the memory. */
const phaseNumbers: Readonly<Record<Phase, number>> = {
  onRequest: 0,
  onResponse: 1,
  onError: 2,
  onComplete: 3,
  recheck: 4,
};
const endNumbers: Readonly<Record<HookEnd, number>> = { returned: 0, threw: 1, failed: 2, "left-out": 3 };
const changeNumbers: Readonly<Record<FieldChange, number>> = { set: 0, added: 1, removed: 2 };
const phases = Object.keys(phaseNumbers) as readonly Phase[];
const ends = Object.keys(endNumbers) as readonly HookEnd[];
const fieldChanges = Object.keys(changeNumbers) as readonly FieldChange[];

export interface FactEntry {
  readonly hook: number;
  readonly facts: readonly Fact[];
}

/** Gets every record whose request is over: keeps it if it is complete, else reuses it. */
export type TakeRecord = (record: RequestRecord) => void;

/** Approximate bytes of a record without its texts. */
const plainBytes = 1_024;

export class RequestRecord implements LiveRecord {
  plugins: readonly string[] = [];
  digest = "";
  /** Only the first `hookCount` entries of each list of hooks are valid; the rest is from an earlier use. */
  readonly hookPlugins: string[] = [];
  /** Phase and end, packed. */
  readonly hookKinds: number[] = [];
  readonly hookTenths: number[] = [];
  hookCount = 0;
  readonly changedNames: string[] = [];
  /** Position of the hook and kind of change, packed. */
  readonly changeKinds: number[] = [];
  changeCount = 0;
  facts: FactEntry[] | undefined = undefined;
  /** When the service was asked, monotonic milliseconds; the first `tryCount` are valid. */
  readonly tries: number[] = [];
  tryCount = 0;
  startedMono = 0;
  isWhole = true;
  /** Names of request fields that the sidecar dropped. */
  dropped: readonly string[] | undefined = undefined;
  /** Valid only while `isComplete`. */
  readonly request = new EndedRequest();
  isComplete = false;
  readonly #take: TakeRecord;
  #textBytes = 0;

  constructor(take: TakeRecord) {
    this.#take = take;
  }

  /** Approximate memory, in bytes. */
  get bytes(): number {
    return plainBytes + 32 * this.hookPlugins.length + 24 * this.changedNames.length + this.#textBytes;
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

  /** Clears the request's data at once, instead of when the record is next used. */
  forget(): void {
    for (let i = 0; i < this.changeCount; i += 1) this.changedNames[i] = "";
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
    this.hookPlugins[index] = plugin;
    this.hookKinds[index] = 4 * phaseNumbers[phase] + endNumbers[end];
    this.hookTenths[index] = Math.round(ms * 10_000);
  }

  /** The hooks that ran so far. */
  hooks(): HookEntry[] {
    return this.hookPlugins.slice(0, this.hookCount).map((plugin, index) => {
      const kind = this.hookKinds[index] as number;
      const [phase, end] = [phases[kind >> 2] as Phase, ends[kind & 3] as HookEnd];
      return { plugin, phase, tenths: this.hookTenths[index] as number, end };
    });
  }

  changes(): ChangeEntry[] {
    return this.changedNames.slice(0, this.changeCount).map((name, index) => {
      const kind = this.changeKinds[index] as number;
      return { hook: kind >> 2, change: fieldChanges[kind & 3] as FieldChange, name };
    });
  }

  hookTimes(): HookTime[] {
    return this.hooks()
      .filter(({ plugin }) => plugin !== "")
      .map(({ plugin, phase, tenths }) => ({ plugin, phase, ms: tenths / 10_000 }));
  }

  fieldChanged(change: FieldChange, name: string): void {
    const index = this.changeCount;
    if (index >= most.changes) return;
    this.changeCount = index + 1;
    const shown = name.length > maxName ? ownText(name, maxName) : name;
    this.#textBytes += shown.length;
    this.changedNames[index] = shown;
    this.changeKinds[index] = 4 * this.hookCount + changeNumbers[change];
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
    // An entry without a plugin: it stands for the sidecar, whose own changes on the way out belong to it.
    this.hookRan("", "onRequest", 0, "returned");
  }

  ended(exchange: EndedExchange, outcome: Outcome): void {
    const { request } = exchange;
    // Later changes of the fields are not recorded.
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

/**
 * Whether the request was refused or failed. Such requests are kept at any rate, because somebody may ask about them.
 */
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
