// Holds one request with its response, as the proxy creates it and plugins see it.
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

/** A trace shows hooks that took longer than this or returned a promise. */
const tracedMs = 1;

const noFields: readonly string[] = [];

/** A plugin that runs only for some of the callers. */
export interface PartialPlugin {
  /** Its place in the chain. */
  readonly index: number;
  readonly step: { readonly name: string; takes(exchange: LiveExchange): boolean };
}

/** What the proxy does on behalf of an exchange. */
export interface ExchangeIo extends Pick<Exchange, "readBody" | "replaceBody" | "fetchUpstream"> {
  /** Whether the exchange has ended. */
  readonly over: boolean;
}

export interface ExchangeInit extends Pick<
  Exchange,
  "id" | "request" | "client" | "route" | "startedAt" | "startedMono"
> {
  readonly io: ExchangeIo;
}

/** An exchange in progress. Members that `Exchange` lacks are for the chain and the proxy only. */
export class LiveExchange implements Exchange, FieldWatcher {
  readonly id: string;
  readonly request: ExchangeRequest;
  readonly client: ExchangeClient;
  readonly route: RouteInfo;
  readonly startedAt: number;
  readonly startedMono: number;
  /** Undefined when the exchange is not traced. */
  trace: LiveTrace | undefined = undefined;
  /** Undefined when nothing is recorded for later questions, and once the exchange is over. */
  record: LiveRecord | undefined = undefined;
  /** Undefined unless a tap watches the exchange. */
  tapped: TappedExchange | undefined = undefined;
  identity: Identity | undefined = undefined;
  credentialFields: readonly string[] = noFields;
  cacheStatus: string | undefined = undefined;
  score: number | undefined = undefined;
  responseIsPersonal = false;
  refusedBecause: string | undefined = undefined;
  /** How many steps of the chain had their request phase. The response phase runs those, in reverse. */
  reached = 0;
  /** `reached` of the last step whose request phase failed open; 0 = none. */
  failedOpen = 0;
  /** Chosen plugin of each group of alternatives. The key is the name of the plugin that the others replace. */
  choices: Map<string, string> | undefined = undefined;
  /** Digest of the policy, if that policy is on trial beside the one in force. */
  candidate: string | undefined = undefined;
  /** The plugins of the chain that run only for some of the callers; undefined = all run for every caller. */
  partial: readonly PartialPlugin[] | undefined = undefined;
  /** When the running hook began, in milliseconds on the monotonic clock. */
  hookMono = 0;
  /** How often the request was sent to the upstream again. */
  retries = 0;
  /** Name of the plugin that answered in place of the upstream. */
  answeredBy: string | undefined = undefined;
  readonly #io: ExchangeIo;
  #clientGone = false;
  // How many hooks have returned a promise that is not settled yet.
  #waitingHooks = 0;
  #abandoned = false;
  #whenIdle: (() => void) | undefined = undefined;
  #bodyReads = 0;
  // One AbortController serves the running hook and is dropped when the hook ends, so most exchanges never create one.
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

  /** The exchange has ended: no further hook of its chain is called, except onComplete. */
  get over(): boolean {
    return this.#io.over;
  }

  /** Whether a hook's promise is still awaited. */
  get busy(): boolean {
    return this.#waitingHooks > 0 && !this.#abandoned;
  }

  /** Whether the running hook waits for the client's body rather than for its own work. */
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

  /** A hook that began at `hookMono` has ended, and the next one begins. @param plainly it returned no promise */
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

  /** The exchange is over, and so is its last hook. */
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

  /** Ends the exchange: aborts the signal of the running hook. */
  end(clientGone: boolean): void {
    this.#clientGone = clientGone;
    this.#controller?.abort();
  }

  /** Calls back once, when all awaited hooks have settled. Call it only while `busy`. */
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

  /** Stops waiting for hooks, because the process ends. */
  abandonHooks(): void {
    this.#abandoned = true;
    this.#idle();
  }

  /** The running hook passed its time limit: its signal is aborted. */
  cancelHook(reason: Error): void {
    this.#controller?.abort(reason);
    this.#controller = undefined;
  }

  /** The running hook ended by itself: its signal never fires afterwards. */
  endHook(): void {
    this.#controller = undefined;
  }

  #idle(): void {
    const callback = this.#whenIdle;
    this.#whenIdle = undefined;
    callback?.();
  }
}
