// The course of one request, kept for `outrigger explain`: what ran, how long, what it said, which fields it changed. Names
// of fields and no values, no query, no body. Records are used again and again, so that keeping one makes no garbage.
import type { HookTime, Outcome } from "../../plugin-api/exchange.ts";
import type { FieldChange } from "../../plugin-api/fields.ts";
import type { Phase } from "../../runtime/hook-measures.ts";
import type { EndedExchange, Fact, HookEnd, LiveRecord } from "../../runtime/live-record.ts";

/** Of hooks, fields, facts and tries each; more are not told of. */
const most = { hooks: 128, changes: 64, facts: 32, tries: 16 };
const maxText = 256;
const maxName = 128;
const maxPath = 1_024;

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

/** What is known of a request at its end. */
export interface EndedRequest {
  readonly id: string;
  readonly atMs: number;
  readonly method: string;
  readonly path: string;
  readonly host: string;
  readonly scheme: string;
  readonly httpVersion: string;
  readonly client: string;
  readonly upgrade: string | undefined;
  readonly route: string;
  readonly upstream: string;
  readonly reached: number;
  readonly identity: { readonly userId: string; readonly method: string } | null;
  readonly credentialId: string | undefined;
  readonly plan: string | undefined;
  readonly traceId: string | undefined;
  readonly refusedBecause: string | undefined;
  readonly cacheStatus: string | undefined;
  readonly outcome: Omit<Outcome, "error">;
  readonly error: {
    readonly code: string;
    readonly detail: string;
    readonly cause: string | undefined;
  } | null;
}

/** Who gets a record that is complete. */
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
  /** When the service was asked, on the monotonic clock. */
  tries: number[] | undefined = undefined;
  startedMono = 0;
  /** Names of fields that did not come in. */
  dropped: readonly string[] | undefined = undefined;
  request: EndedRequest | undefined = undefined;
  readonly #take: TakeRecord;
  #textBytes = 0;

  constructor(take: TakeRecord) {
    this.#take = take;
  }

  /** What it takes of memory, about. */
  get bytes(): number {
    return plainBytes + 48 * (this.hooks.length + this.changes.length) + this.#textBytes;
  }

  begin(plugins: readonly string[], digest: string): void {
    // Names of clients' choosing are not kept beyond their request.
    for (let i = 0; i < this.changeCount; i += 1) (this.changes[i] as ChangeEntry).name = "";
    this.plugins = plugins;
    this.digest = digest;
    this.hookCount = 0;
    this.changeCount = 0;
    this.facts = undefined;
    this.tries = undefined;
    this.dropped = undefined;
    this.request = undefined;
    this.#textBytes = 0;
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
    this.tries ??= [];
    if (this.tries.length < most.tries) this.tries.push(nowMono);
    // A hook of nobody: the fields that the sidecar itself changed on the way out are its.
    this.hookRan("", "onRequest", 0, "returned");
  }

  ended(exchange: EndedExchange, outcome: Outcome): void {
    const { request } = exchange;
    // Whoever still holds the fields changes them for nobody.
    request.fields.watcher = undefined;
    this.startedMono = exchange.startedMono;
    this.dropped = request.fields.dropped;
    const ended = endedRequest(exchange, outcome);
    this.request = ended;
    this.#textBytes += textBytesOf(ended);
    for (const name of this.dropped ?? []) this.#textBytes += name.length;
    this.#take(this);
  }
}

function textBytesOf({ path, id, host, identity, credentialId, plan, refusedBecause }: EndedRequest): number {
  // One by one: a list of them would be made for every request.
  let length = path.length + id.length + host.length;
  if (identity !== null) length += identity.userId.length;
  if (credentialId !== undefined) length += credentialId.length;
  if (plan !== undefined) length += plan.length;
  if (refusedBecause !== undefined) length += refusedBecause.length;
  return 2 * length;
}

function shortFact(fact: Fact): Fact {
  return typeof fact === "string" ? ownText(fact, maxText) : fact;
}

/** Of a target with a query the path is a part of one text, which would be kept whole with it. */
function pathOf({ request: { path, query } }: EndedExchange): string {
  return query === "" && path.length <= maxPath ? path : ownText(path, maxPath);
}

/** The same text, or its beginning, that keeps no longer one in memory. */
function ownText(text: string, length: number): string {
  return Buffer.from(text.length > length ? `${text.slice(0, length)}…` : text).toString();
}

function endedRequest(exchange: EndedExchange, outcome: Outcome): EndedRequest {
  const { request, identity } = exchange;
  const { error } = outcome;
  return {
    id: exchange.id,
    atMs: exchange.startedAt,
    method: request.method,
    path: pathOf(exchange),
    host: request.host,
    scheme: request.scheme,
    httpVersion: request.httpVersion,
    client: exchange.client.address,
    upgrade: request.upgrade,
    route: exchange.route.pattern,
    upstream: exchange.route.upstream,
    reached: exchange.reached,
    // Not the identity itself: it has the caller's claims.
    identity: identity === undefined ? null : { userId: identity.userId, method: identity.method },
    credentialId: identity?.credentialId,
    plan: identity?.plan,
    traceId: exchange.trace?.traceId,
    refusedBecause: exchange.refusedBecause,
    cacheStatus: exchange.cacheStatus,
    // Nor the error, behind which are whole sockets.
    outcome: error === undefined ? outcome : { ...outcome, error: undefined },
    error: error === undefined ? null : errorOf(error),
  };
}

function errorOf({ code, detail, cause }: NonNullable<Outcome["error"]>): NonNullable<EndedRequest["error"]> {
  const system = cause instanceof Error && "code" in cause ? cause.code : undefined;
  return { code, detail, cause: typeof system === "string" ? system : undefined };
}
