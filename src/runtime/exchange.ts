// One request with its response, as the proxy makes it and the plugins see it.
import type {
  Exchange,
  ExchangeClient,
  ExchangeRequest,
  Identity,
  RouteInfo,
  UpstreamAnswer,
} from "../plugin-api/contract.ts";
import type { FieldChange, FieldWatcher } from "../plugin-api/fields.ts";
import type { HookTime, Outcome } from "../plugin-api/exchange.ts";
import type { Phase } from "./hook-measures.ts";
import type { Fact, HookEnd, LiveRecord, TappedExchange } from "./live-record.ts";
import type { LiveResponse } from "./response.ts";
import type { LiveTrace } from "./live-trace.ts";

/** A trace shows a hook that took longer, or waited for something. */
const tracedMs = 1;

const noFields: readonly string[] = [];

/** A plugin that runs for a part of the callers. */
export interface PartialPlugin {
  /** Its place in the chain. */
  readonly index: number;
  readonly step: { readonly name: string; takes(exchange: LiveExchange): boolean };
}

/** What the proxy does for an exchange. */
export interface ExchangeIo extends Pick<Exchange, "readBody" | "replaceBody" | "fetchUpstream"> {
  /** It has ended. */
  readonly over: boolean;
}

export interface ExchangeInit extends Pick<
  Exchange,
  "id" | "request" | "client" | "route" | "startedAt" | "startedMono"
> {
  readonly io: ExchangeIo;
}

/** An exchange in the making. What is not in `Exchange` is for the chain and the proxy alone. */
export class LiveExchange implements Exchange, FieldWatcher {
  readonly id: string;
  readonly request: ExchangeRequest;
  readonly client: ExchangeClient;
  readonly route: RouteInfo;
  readonly startedAt: number;
  readonly startedMono: number;
  /** Absent where nothing is traced. */
  trace: LiveTrace | undefined = undefined;
  /** Absent where nobody asks later, and once it is over. */
  record: LiveRecord | undefined = undefined;
  /** Absent unless somebody looks on. */
  tapped: TappedExchange | undefined = undefined;
  identity: Identity | undefined = undefined;
  credentialFields: readonly string[] = noFields;
  cacheStatus: string | undefined = undefined;
  score: number | undefined = undefined;
  responseIsPersonal = false;
  refusedBecause: string | undefined = undefined;
  /** How many steps of the chain had their request phase: the response phase runs those, in reverse. */
  reached = 0;
  /** Which of a policy's alternatives it was given, by the name of the one that the others replace. */
  choices: Map<string, string> | undefined = undefined;
  /** Digest of the policy, where that is tried beside the one in force. */
  candidate: string | undefined = undefined;
  /** Those of the chain that run for a part of the callers; undefined = all run for everybody. */
  partial: readonly PartialPlugin[] | undefined = undefined;
  /** When the running hook began, on the monotonic clock. */
  hookMono = 0;
  /** How often the service was asked again. */
  retries = 0;
  /** Name of the plugin that answered in place of the upstream. */
  answeredBy: string | undefined = undefined;
  readonly #io: ExchangeIo;
  #clientGone = false;
  // Hooks that have returned a promise which is not settled yet.
  #waitingHooks = 0;
  #abandoned = false;
  #whenIdle: (() => void) | undefined = undefined;
  #bodyReads = 0;
  // One controller serves the running hook and is dropped with it, so that most exchanges never make one.
  #controller: AbortController | undefined = undefined;
  #notes: Map<symbol, unknown> | undefined = undefined;

  constructor(init: ExchangeInit) {
    this.id = init.id;
    this.request = init.request;
    this.client = init.client;
    this.route = init.route;
    this.startedAt = init.startedAt;
    this.startedMono = init.startedMono;
    this.#io = init.io;
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.over) this.#controller.abort();
    return this.#controller.signal;
  }

  get notes(): Map<symbol, unknown> {
    this.#notes ??= new Map();
    return this.#notes;
  }

  get variant(): string {
    let text = this.candidate === undefined ? "" : `policy ${this.candidate}`;
    if (this.partial === undefined) return text;
    for (const { index, step } of this.partial)
      if (index >= this.reached) text += `${text && " "}${step.name}${step.takes(this) ? "+" : "-"}`;
    return text;
  }

  get clientGone(): boolean {
    return this.#clientGone;
  }

  /** It has ended: no further hook of its chain is called. */
  get over(): boolean {
    return this.#io.over;
  }

  /** A hook is still being waited for. */
  get busy(): boolean {
    return this.#waitingHooks > 0 && !this.#abandoned;
  }

  /** The running hook waits for the client's body, not for itself. */
  get readsBody(): boolean {
    return this.#bodyReads > 0;
  }

  explain(...facts: readonly Fact[]): void {
    this.record?.explain(facts);
  }

  hookTimes(): readonly HookTime[] {
    return this.record?.hookTimes() ?? [];
  }

  fieldChanged(change: FieldChange, lowerName: string): void {
    this.record?.fieldChanged(change, lowerName);
  }

  /** A hook that began at `hookMono` has ended, and the next one begins. @param plainly without a promise */
  hookRan(plugin: string, phase: Phase, nowMono: number, end: HookEnd, plainly: boolean): void {
    const { hookMono, trace } = this;
    this.record?.hookRan(plugin, phase, nowMono - hookMono, end);
    if (trace !== undefined && (!plainly || nowMono - hookMono > tracedMs))
      trace.hookRan(plugin, phase, hookMono, nowMono, end === "failed");
    this.hookMono = nowMono;
  }

  /** The response leaves for the client. */
  answered({ status, fields }: Pick<LiveResponse, "status" | "fields">): void {
    this.trace?.answered(fields);
    this.tapped?.answered(status, fields);
  }

  /** It is over, its last hook too. */
  completed(outcome: Outcome): void {
    const { record } = this;
    this.trace?.ended(this, outcome);
    this.tapped?.ended(this, outcome);
    this.record = undefined;
    record?.ended(this, outcome);
  }

  readBody(maxBytes: number): Promise<Buffer> {
    const body = this.#io.readBody(maxBytes);
    this.#bodyReads += 1;
    const through = (): void => void (this.#bodyReads -= 1);
    body.then(through, through);
    return body;
  }

  replaceBody(body: Buffer): void {
    this.#io.replaceBody(body);
  }

  fetchUpstream(request: Parameters<ExchangeIo["fetchUpstream"]>[0]): Promise<UpstreamAnswer> {
    return this.#io.fetchUpstream(request);
  }

  /** Whatever a running hook waits for is over. */
  end(clientGone: boolean): void {
    this.#clientGone = clientGone;
    this.#controller?.abort();
  }

  /** Calls back, once, when the hooks that are being waited for have settled. Only while `busy`. */
  whenIdle(callback: () => void): void {
    this.#whenIdle = callback;
  }

  /** A hook returned a promise; `hookSettled` follows. */
  hookWaits(): void {
    this.#waitingHooks += 1;
  }

  hookSettled(): void {
    this.#waitingHooks -= 1;
    if (this.#waitingHooks === 0) this.#idle();
  }

  /** Nobody waits for its hooks any more: the process ends. */
  abandonHooks(): void {
    this.#abandoned = true;
    this.#idle();
  }

  /** The running hook's time limit passed. */
  cancelHook(reason: Error): void {
    this.#controller?.abort(reason);
    this.#controller = undefined;
  }

  /** The running hook ended by itself: its signal never fires any more. */
  endHook(): void {
    this.#controller = undefined;
  }

  #idle(): void {
    const callback = this.#whenIdle;
    this.#whenIdle = undefined;
    callback?.();
  }
}
